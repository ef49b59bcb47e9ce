"""A played client: submits, cancels, and sees that each task gets exactly one answer.

    python -m rescind_conformance.benchmark.client_player ENDPOINT NAME SECONDS

For each order it says what came of it; see `Client`.
"""

from __future__ import annotations

import hashlib
import os
import random
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, NoReturn

import zmq

from rescind import wire
from rescind.curve import Role
from rescind.messages import (
    CancelConfirmType,
    ClientDisconnect,
    ClientHeartbeat,
    ClientHeartbeatEcho,
    DisconnectType,
    Message,
    Task,
    TaskCancel,
    TaskCancelConfirm,
    TaskResult,
    TaskResultType,
)
from rescind_conformance.benchmark.forms import FrameForm, Recogniser
from rescind_conformance.benchmark.player import BATCH, SILENCE_SECONDS, Orders, PlayFailed, connect, leave, serve
from rescind_conformance.peers import new_routing_id

RUN, HOLD = b"r", b"h"
"""The first byte of a task id: played workers answer the one with a result at once, and keep the other."""
_HEARTBEAT_SECONDS = 2.0
_PAUSE_SECONDS = 0.002
"""The longest pause before a cancel whose round trip is measured."""
_PACE_MILLISECONDS = 2
"""The longest wait between two looks at whether the next task is due."""

RESULT, CANCELED, ECHO = "a result", "canceled", "an echo"


def meaning_of(message: Message) -> str:
    """What a message means to a client here, in words."""
    match message:
        case TaskResult(result_type=TaskResultType.SUCCESS):
            return RESULT
        case TaskCancelConfirm(cancel_confirm_type=CancelConfirmType.CANCELED):
            return CANCELED
        case ClientHeartbeatEcho():
            return ECHO
        case TaskCancelConfirm(cancel_confirm_type=kind):
            return kind.name if isinstance(kind, CancelConfirmType) else f"a confirm of the unknown type {kind}"
    return f"a {type(message).__name__}"


class Client:
    """One connection, and an order a method. Each raises `PlayFailed` if not every task gets its one answer."""

    def __init__(self, endpoint: str, name: str, orders: Orders, silence: float = SILENCE_SECONDS) -> None:
        self._orders = orders
        self._silence = silence
        routing_id = new_routing_id("Client", name)
        function = hashlib.md5(routing_id).digest() + bytes(16)
        self._task = FrameForm(lambda task_id: Task(task_id, routing_id, func_object_id=function))
        self._cancel = FrameForm(TaskCancel)
        self._heartbeat = wire.encode(ClientHeartbeat(hostname="benchmark"))
        self._recogniser = Recogniser(meaning_of)
        self._run_prefix = RUN + os.urandom(7)
        self._hold_prefix = HOLD + os.urandom(7)
        self._number = 0
        self._held: list[bytes] = []
        self._awaited: set[bytes] = set()
        self._echoes = 0
        """Heartbeats whose echo has not come yet."""
        self._beaten = time.monotonic()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = connect(self._context, endpoint, Role.CLIENT, routing_id)
        self._poller = zmq.Poller()
        self._poller.register(self._socket, zmq.POLLIN)

    def ready(self) -> dict[str, Any]:
        """Wait until the subject serves this client."""
        self._fence()
        return {"frame_bytes": self._task.size}

    def submit(self, tasks: int, window: int) -> dict[str, Any]:
        """Submit tasks that end at once, with so many of them on their way; wait for each result."""
        began = time.perf_counter()
        self._exchange(self._task_frames(tasks), window, RESULT)
        seconds = time.perf_counter() - began
        self._fence()
        return {"seconds": seconds, "answers": tasks}

    def fill(self, tasks: int, batch: int) -> dict[str, Any]:
        """Submit tasks that are kept, by the subject or by a worker; an echo is waited for after so many.

        Says when it began and ended by the clock that all processes share.
        """
        began = time.monotonic_ns()
        for first in range(0, tasks, batch):
            for _ in range(min(batch, tasks - first)):
                task_id = self._new_id(self._hold_prefix)
                self._held.append(task_id)
                self._socket.send(self._task.fill(task_id))
            self._fence()
        return {"began": began, "ended": time.monotonic_ns()}

    def cancel(self, tasks: int, window: int) -> dict[str, Any]:
        """Cancel so many of the kept tasks, newest first, so many at once; wait for `canceled` of each.

        Newest first is the worst order for a scheduler that searches its queue.
        """
        chosen = self._held[len(self._held) - tasks :][::-1]
        del self._held[len(self._held) - tasks :]
        if len(chosen) != tasks:
            raise PlayFailed(f"{tasks} cancels of {len(chosen)} kept tasks were asked for")
        began = time.perf_counter()
        self._exchange(((task_id, self._cancel.fill(task_id)) for task_id in chosen), window, CANCELED)
        seconds = time.perf_counter() - began
        self._fence()
        return {"seconds": seconds, "answers": tasks}

    def round_trips(self, count: int, seconds: float) -> dict[str, Any]:
        """Keep a task and cancel it, again and again; the nanoseconds from cancel to `canceled` of each.

        And when each cancel was sent, by the clock that all processes share. Ends early after so many seconds.
        """
        return self._cancel_one_by_one(count, seconds, lambda: False)

    def round_trips_until_told(self, count: int, seconds: float) -> dict[str, Any]:
        """The same, until any further order, which is taken as the end of this one. Says at once that it begins."""
        self._orders.answer(begun=True)
        found = self._cancel_one_by_one(count, seconds, self._orders.waiting)
        self._orders.next()
        return found

    def _cancel_one_by_one(self, count: int, seconds: float, enough: Callable[[], bool]) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        found: list[int] = []
        sent: list[int] = []
        while not found or (len(found) < count and time.monotonic() < deadline and not enough()):
            task_id = self._new_id(self._hold_prefix)
            self._socket.send(self._task.fill(task_id))
            self._fence()
            frame = self._cancel.fill(task_id)
            self._awaited.add(task_id)
            # At any moment: right after an echo a busy subject is always at the same point of its round.
            time.sleep(random.uniform(0, _PAUSE_SECONDS))
            began = time.monotonic_ns()
            self._socket.send(frame)
            while self._awaited:
                self._receive(CANCELED)
            found.append(time.monotonic_ns() - began)
            sent.append(began)
        return {"nanoseconds": found, "sent": sent}

    def flood(self, window: int) -> dict[str, Any]:
        """Submit tasks that end at once, always so many on their way, until any further order comes.

        That order is taken as the end of this one.
        """
        self._poller.register(self._orders.descriptor, zmq.POLLIN)

        def until_told() -> Iterator[tuple[bytes, bytes]]:
            while not self._orders.waiting():
                yield from self._task_frames(min(window, BATCH))

        began = time.perf_counter()
        try:
            answers = self._exchange(until_told(), window, RESULT)
        finally:
            self._poller.unregister(self._orders.descriptor)
        seconds = time.perf_counter() - began
        self._orders.next()
        self._fence()
        return {"seconds": seconds, "answers": answers}

    def paced(self, per_second: float) -> dict[str, Any]:
        """Submit tasks that end at once, so many a second however fast they are answered, until any further order.

        That order is taken as the end of this one.
        """
        self._poller.register(self._orders.descriptor, zmq.POLLIN)
        began = heard = time.monotonic()
        sent = answers = 0
        try:
            while not self._orders.waiting():
                now = time.monotonic()
                while sent < (now - began) * per_second:
                    task_id = self._new_id(self._run_prefix)
                    self._awaited.add(task_id)
                    self._socket.send(self._task.fill(task_id))
                    sent += 1
                self._beat_if_due()
                if self._poller.poll(_PACE_MILLISECONDS):
                    answers += self._take(RESULT)
                    heard = now
                elif now - heard > self._silence:
                    self._give_up(RESULT)
            seconds = time.monotonic() - began
            while self._awaited:
                answers += self._receive(RESULT)
        finally:
            self._poller.unregister(self._orders.descriptor)
        self._orders.next()
        self._fence()
        return {"seconds": seconds, "answers": answers}

    def leave(self) -> dict[str, Any]:
        """Say good-bye: the last order."""
        leave(self._context, [self._socket], wire.encode(ClientDisconnect(DisconnectType.DISCONNECT)))
        return {}

    def _task_frames(self, tasks: int) -> Iterator[tuple[bytes, bytes]]:
        for _ in range(tasks):
            task_id = self._new_id(self._run_prefix)
            yield task_id, self._task.fill(task_id)

    def _new_id(self, prefix: bytes) -> bytes:
        self._number += 1
        return prefix + self._number.to_bytes(8, "big")

    def _exchange(self, frames: Iterable[tuple[bytes, bytes]], window: int, expected: str) -> int:
        """Send frames, each about another task, with `window` of them unanswered; the number of answers."""
        coming = iter(frames)
        send, awaited = self._socket.send, self._awaited
        answers, more = 0, True
        while more or awaited:
            if more:
                room = window - len(awaited)
                sent = 0
                for task_id, frame in islice(coming, room):
                    awaited.add(task_id)
                    send(frame)
                    sent += 1
                more = sent == room
                self._beat_if_due()
            if awaited:
                answers += self._receive(expected)
        return answers

    def _receive(self, expected: str) -> int:
        """Wait for something, and take a batch of what has come; the number of answers to what is awaited."""
        if not self._poller.poll(int(self._silence * 1000)):
            self._give_up(expected)
        return self._take(expected)

    def _give_up(self, expected: str) -> NoReturn:
        raise PlayFailed(
            f"nothing came for {self._silence:g} s; {len(self._awaited):,} of the tasks wait for {expected}, "
            f"{self._echoes} heartbeats for an echo"
        )

    def _take(self, expected: str) -> int:
        """A batch of what has come; the number of answers to what is awaited."""
        receive, read, awaited = self._socket.recv, self._recogniser.read, self._awaited
        answers = 0
        for _ in range(BATCH):
            try:
                frame = receive(zmq.NOBLOCK)
            except zmq.Again:
                break
            meaning, task_id = read(frame)
            if meaning == expected and task_id in awaited:
                awaited.remove(task_id)
                answers += 1
            elif meaning == ECHO and self._echoes:
                self._echoes -= 1
            else:
                of = f" of task {task_id.hex()}, which waits for none or has had its answer," if task_id else ""
                raise PlayFailed(f"{meaning}{of} came where {expected} was awaited")
        return answers

    def _fence(self) -> None:
        """Wait for an echo: what the messages before it caused has come (S10.2), and any answer is one too many."""
        self._beat()
        while self._echoes:
            self._receive(ECHO)

    def _beat_if_due(self) -> None:
        if time.monotonic() - self._beaten > _HEARTBEAT_SECONDS:
            self._beat()

    def _beat(self) -> None:
        self._beaten = time.monotonic()
        self._echoes += 1
        self._socket.send(self._heartbeat)


def main() -> None:
    """Serve the orders on standard input."""
    orders = Orders()
    client = Client(sys.argv[1], sys.argv[2], orders, float(sys.argv[3]))
    serve(
        orders,
        {
            "ready": client.ready,
            "submit": client.submit,
            "fill": client.fill,
            "cancel": client.cancel,
            "round trips": client.round_trips,
            "round trips until told": client.round_trips_until_told,
            "flood": client.flood,
            "paced": client.paced,
            "leave": client.leave,
        },
    )


if __name__ == "__main__":
    main()
