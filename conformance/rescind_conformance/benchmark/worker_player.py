"""Played workers: they answer some tasks at once, keep others, and give up those that are cancelled.

    python -m rescind_conformance.benchmark.worker_player ENDPOINT WORKERS QUEUE_SIZE

All of them are in this one process, since what they do is much less than what a scheduler does for it.
"""

from __future__ import annotations

import hashlib
import sys
import time
from typing import Any, NamedTuple

import zmq

from rescind import wire
from rescind.curve import Role
from rescind.messages import (
    CancelConfirmType,
    Message,
    Task,
    TaskCancel,
    TaskCancelConfirm,
    TaskResult,
    WorkerDisconnectNotification,
    WorkerHeartbeat,
    WorkerHeartbeatEcho,
)
from rescind_conformance.benchmark.client_player import RUN
from rescind_conformance.benchmark.forms import FrameForm, Recogniser
from rescind_conformance.benchmark.player import BATCH, SILENCE_SECONDS, Orders, PlayFailed, connect, leave
from rescind_conformance.peers import new_routing_id

_HEARTBEAT_SECONDS = 2.0
_ROOM = 1 << 30
"""Bytes of memory that a played worker claims to have."""


class _Given(NamedTuple):
    """A Task of a client: how its result looks."""

    result: FrameForm


class _Asked:
    """A TaskCancel."""


class _Echo:
    """The answer to a heartbeat."""


def _interpret(message: Message) -> _Given | _Asked | _Echo:
    match message:
        case Task(source=source):
            owner = hashlib.md5(source).digest()
            return _Given(FrameForm(lambda task_id: TaskResult(task_id, results=(owner + task_id,))))
        case TaskCancel():
            return _Asked()
        case WorkerHeartbeatEcho():
            return _Echo()
    raise PlayFailed(f"a {type(message).__name__} came to a worker")


class Workers:
    """Connections of workers, served until an order comes."""

    def __init__(self, endpoint: str, workers: int, queue_size: int, orders: Orders) -> None:
        self._orders = orders
        self._recogniser = Recogniser(_interpret)
        self._canceled = FrameForm(lambda task_id: TaskCancelConfirm(task_id, CancelConfirmType.CANCELED))
        self._not_found = FrameForm(lambda task_id: TaskCancelConfirm(task_id, CancelConfirmType.CANCEL_NOT_FOUND))
        self._heartbeat = wire.encode(
            WorkerHeartbeat(rss_free=_ROOM, mem_limit=_ROOM, queue_size=queue_size, hostname="benchmark")
        )
        self._held: set[bytes] = set()
        self._ran = self._gave_up = self._echoes = 0
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._poller = zmq.Poller()
        self._poller.register(orders.descriptor, zmq.POLLIN)
        self._sockets = []
        for number in range(workers):
            socket = connect(self._context, endpoint, Role.WORKER, new_routing_id("Worker", f"benchmark{number}"))
            self._poller.register(socket, zmq.POLLIN)
            self._sockets.append(socket)
        self._beaten = time.monotonic()

    def ready(self) -> dict[str, Any]:
        """Wait until the subject has registered all of them."""
        self._beat()
        deadline = time.monotonic() + SILENCE_SECONDS
        while self._echoes < len(self._sockets):
            if time.monotonic() > deadline:
                raise PlayFailed(f"{self._echoes} of {len(self._sockets)} workers got an echo of their heartbeat")
            self._turn(100)
        return {}

    def counts(self) -> dict[str, Any]:
        """What they have done so far."""
        return {
            "ran": self._ran,
            "gave_up": self._gave_up,
            "held": len(self._held),
            "decoded": self._recogniser.decoded,
        }

    def leave(self) -> dict[str, Any]:
        """Say good-bye: the last order."""
        leave(self._context, self._sockets, wire.encode(WorkerDisconnectNotification()))
        return {}

    def run(self) -> None:
        """Serve the subject, and the orders on standard input until there are no more."""
        handlers = {"ready": self.ready, "counts": self.counts, "leave": self.leave}
        while True:
            self._turn(500)
            if time.monotonic() - self._beaten > _HEARTBEAT_SECONDS:
                self._beat()
            if self._orders.waiting():
                order = self._orders.next()
                if order is None:
                    return
                self._orders.answer(**handlers[order["order"]]())
                if order["order"] == "leave":
                    return

    def _turn(self, milliseconds: int) -> None:
        for socket, _ in self._poller.poll(milliseconds):
            if isinstance(socket, zmq.Socket):
                self._serve(socket)

    def _serve(self, socket: zmq.Socket[bytes]) -> None:
        receive, send, read = socket.recv, socket.send, self._recogniser.read
        for _ in range(BATCH):
            try:
                frame = receive(zmq.NOBLOCK)
            except zmq.Again:
                return
            meaning, task_id = read(frame)
            if type(meaning) is _Given:
                if task_id.startswith(RUN):
                    send(meaning.result.fill(task_id))
                    self._ran += 1
                else:
                    self._held.add(task_id)
            elif type(meaning) is _Asked:
                if task_id in self._held:
                    self._held.remove(task_id)
                    send(self._canceled.fill(task_id))
                    self._gave_up += 1
                else:
                    send(self._not_found.fill(task_id))
            else:
                self._echoes += 1

    def _beat(self) -> None:
        self._beaten = time.monotonic()
        for socket in self._sockets:
            socket.send(self._heartbeat)


def main() -> None:
    """Play them."""
    orders = Orders()
    try:
        Workers(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), orders).run()
    except (PlayFailed, wire.WireError) as error:
        orders.answer(failed=str(error))


if __name__ == "__main__":
    main()
