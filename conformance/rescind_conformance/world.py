"""What a case gets: peers to play, steps that really happened in that order, and a place for its findings."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn, Protocol

import zmq

from rescind import wire
from rescind.messages import Message, Task
from rescind.trace import describe
from rescind_conformance.peers import FakeClient, FakeWorker, Incoming, Peer, TaskRef, Unreadable, new_routing_id
from rescind_conformance.trace import SCHEDULER, Entry
from rescind_conformance.verdicts import Departure, Unsupported

KEEP_ALIVE_INTERVAL = 0.2
"""Seconds between the heartbeats of the living peers while a case waits for what only time brings."""


_NOT_FRAMING = ("bad task id", "text is not UTF-8")
"""What the codec says of messages that are malformed though T2 holds."""


class Instance(Protocol):
    """One running subject."""

    @property
    def endpoint(self) -> str:
        """Where its ROUTER is bound."""
        ...

    def alive(self) -> bool:
        """Whether it runs, as far as can be told."""
        ...

    def log_tail(self) -> str:
        """The last lines that it wrote, "" if they cannot be had."""
        ...

    def ask_to_stop(self) -> bool:
        """Ask for an orderly shutdown. Returns False if there is no way to."""
        ...

    def stop(self) -> None:
        """End it at once, with all that it started."""
        ...


class World:
    """The peers of one case and their conversation with the subject. For one thread.

    A step is one send of a peer, followed by fences (SPEC.md, section 7): when the step returns, all
    that the subject does about it has been seen. So what an expectation does not find will not come,
    and no case sleeps. `deadline` (seconds) only bounds how long a missing echo is waited for.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], instance: Instance, deadline: float) -> None:
        self.context = context
        self.endpoint = instance.endpoint
        self.trace: list[Entry] = []
        self.names: dict[bytes, str] = {}
        """Task ids by the names that traces use."""
        self.checked: set[str] = set()
        """Requirements that an expectation has found kept."""
        self.departures: list[Departure] = []
        self.stopping = False
        """The subject was asked to shut down: nothing is fenced any more, and its exit is no departure."""
        self.clients: list[FakeClient] = []
        self.workers: list[FakeWorker] = []
        self._instance = instance
        self._deadline = deadline
        self._poller = zmq.Poller()
        self._peers: dict[zmq.Socket[bytes], Peer] = {}
        self._owners: dict[bytes, bytes] = {}
        self._step = 0
        self._settled = True
        self._recording = True
        self._unresponsive_means: str | None = None

    # --- peers and tasks

    def client(self, *, introduced: bool = True, receive_queue: int = 0) -> FakeClient:
        """A new client, connected and known to the subject.

        With `introduced=False` it has said nothing yet, and is silent (`Peer.silent`).
        Its socket takes in `receive_queue` messages that are not read (0: all); the rest stays with the subject.
        """
        name = f"C{len(self.clients) + 1}"
        client = FakeClient(self, name, new_routing_id("Client", name), receive_queue)
        self.clients.append(client)
        client.silent = not introduced
        self._introduce(client)
        return client

    def worker(self, queue_size: int = 10) -> FakeWorker:
        """A new worker that takes so many tasks, connected and known to the subject."""
        name = f"W{len(self.workers) + 1}"
        worker = FakeWorker(self, name, new_routing_id("Worker", name), queue_size)
        self.workers.append(worker)
        self._introduce(worker)
        return worker

    def new_task(self, task_id: bytes | None = None) -> TaskRef:
        """A task with a new id (or this one), named T1, T2... in traces. Nothing is sent."""
        task = TaskRef(task_id or new_task_id(), f"T{len(self.names) + 1}")
        self.names[task.id] = task.name
        return task

    def owner_of(self, task: TaskRef) -> bytes:
        """The routing id of the client that submitted a task first, b"" if none did."""
        return self._owners.get(task.id, b"")

    def dispatched(self, task: TaskRef, requirement: str = "S1.1") -> FakeWorker:
        """The worker that has the task, its Task taken. Waits for the dispatch; departs if none comes."""

        def holders() -> list[FakeWorker]:
            return [worker for worker in self.workers if any(isinstance(m, Task) for m in worker.waiting(task))]

        self.wait_until(lambda: bool(holders()))
        found = holders()
        if not found:
            self.check(requirement, False, f"Task {task.name} is dispatched", "no worker got it", vital=True)
        if len(found) > 1:
            names = " and ".join(worker.name for worker in found)
            self.check("S8.2", False, f"Task {task.name} is dispatched to one worker", f"{names} got it", vital=True)
        found[0].expect_task(task, "S8.2", vital=True)
        return found[0]

    # --- time

    def settle(self) -> None:
        """Fence all living peers, twice: then all that will come of what was sent has come."""
        if self.stopping:
            return
        for _ in range(2):
            self.fence([peer for peer in self._peers.values() if peer.living])
        self._settled = True

    def fence(self, peers: Iterable[Peer], *, unanswered_is_fine: bool = False) -> None:
        """Send a heartbeat from each of these peers and wait until all are answered."""
        if self.stopping:
            return
        peers = list(peers)
        for peer in peers:
            peer.beat()
        if self._pump_until(lambda: all(peer.outstanding == 0 for peer in peers), beats=False):
            return
        if unanswered_is_fine:
            return
        names = ", ".join(peer.name for peer in peers if peer.outstanding)
        raise self._record(
            "S10.1", f"expected: the heartbeat of {names} is echoed; no echo came in {self._deadline:g} s"
        )

    def wait_until(self, condition: Callable[[], bool], *, meanwhile: Callable[[], None] | None = None) -> bool:
        """Wait for what only time brings (a time-out, a move to another worker); living peers send heartbeats.

        `meanwhile` is called as often as they do. Then settle. Returns whether the condition came true before
        the deadline.
        """
        held = self._pump_until(condition, beats=not self.stopping, meanwhile=meanwhile)
        self.settle()
        return held

    def stop_scheduler(self) -> None:
        """Ask the subject for an orderly shutdown. The case ends as unsupported where there is no way to."""
        if not self._instance.ask_to_stop():
            self.unsupported("this subject cannot be asked to shut down")
        self.stopping = True
        self.trace.append(Entry(self._step, SCHEDULER, SCHEDULER, None, "is asked to shut down"))

    def scheduler_exited(self) -> bool:
        """Whether the subject's process has ended."""
        return not self._instance.alive()

    # --- findings

    def check(self, requirement: str, holds: bool, expected: str, happened: str, *, vital: bool = False) -> bool:
        """Record that a requirement was kept, or the departure from it; returns `holds`.

        `vital`: the case cannot go on after the departure.
        """
        if holds:
            self.checked.add(requirement)
            return True
        departure = self._record(requirement, f"expected: {expected}; but {happened}")
        if vital:
            raise departure
        return False

    @contextmanager
    def unresponsive_means(self, requirement: str) -> Iterator[None]:
        """Within: that the subject dies or does not echo is a departure from this requirement.

        Without this it is one from S11.1 or S10.1.
        """
        self._unresponsive_means = requirement
        try:
            yield
        finally:
            self._unresponsive_means = None

    def unsupported(self, reason: str) -> NoReturn:
        """End the case: the subject does not show an optional behaviour."""
        raise Unsupported(reason)

    def _record(self, requirement: str, text: str, *, unresponsive: bool = False) -> Departure:
        departure = Departure(requirement, text, unresponsive=unresponsive)
        if all((known.requirement, known.text) != (requirement, text) for known in self.departures):
            self.departures.append(departure)
        return departure

    # --- the conversation

    def note_sent(self, peer: Peer, message: Message | None, note: str = "", *, fence: bool = False) -> None:
        """Called by peers for each message that they send; `fence`: it is a heartbeat of their own."""
        if not fence and self._settled:
            self._step += 1
            self._settled = False
        if isinstance(message, Task):
            self._owners.setdefault(message.task_id, peer.routing_id)
        self._append(Entry(self._step, peer.name, SCHEDULER, message, note, fence))

    @contextmanager
    def unrecorded(self, peer: Peer, instead: str) -> Iterator[None]:
        """Within: what is sent and received stays out of the trace, where one line says what a peer does."""
        self.note_event(peer, instead)
        self._recording = False
        try:
            yield
        finally:
            self._recording = True

    def ignore(self, peer: Peer) -> None:
        """Stop reading a peer's socket, for good. It is not fenced any more, and can still send."""
        peer.silent = True
        self._poller.unregister(peer.socket)

    def note_event(self, peer: Peer, event: str) -> None:
        """Write into the trace what happened at a peer."""
        self.trace.append(Entry(self._step, peer.name, peer.name, None, event))

    def forget(self, peer: Peer) -> None:
        """Close a peer's socket; what had not been received is lost."""
        if peer.socket in self._poller:
            self._poller.unregister(peer.socket)
        del self._peers[peer.socket]
        peer.socket.close(linger=0)

    def close(self, *, farewell: bool = False) -> None:
        """Close every socket. `farewell`: the subject will be used again, so the peers take their leave first."""
        if farewell:
            for worker in self.workers:
                if worker.living:
                    worker.leave(fence=False)
            for client in self.clients:
                if client.living:
                    client.disconnect(fence=False)
        for peer in self._peers.values():
            peer.socket.close(linger=1000 if farewell else 0)
        self._peers.clear()

    def _append(self, entry: Entry) -> None:
        if self._recording:
            self.trace.append(entry)

    def _introduce(self, peer: Peer) -> None:
        self._peers[peer.socket] = peer
        self._poller.register(peer.socket, zmq.POLLIN)
        peer.fence()

    def _pump_until(
        self, condition: Callable[[], bool], *, beats: bool, meanwhile: Callable[[], None] | None = None
    ) -> bool:
        deadline = time.monotonic() + self._deadline
        next_beat = time.monotonic()
        while not condition():
            now = time.monotonic()
            if now >= deadline:
                return False
            if beats and now >= next_beat:
                next_beat = now + KEEP_ALIVE_INTERVAL
                for peer in self._peers.values():
                    if peer.living and not peer.outstanding:
                        peer.beat()
                if meanwhile is not None:
                    meanwhile()
            self._pump(min(deadline, next_beat if beats else deadline, now + KEEP_ALIVE_INTERVAL) - now)
            if not self.stopping and not self._instance.alive():
                self._pump(0)
                if condition():
                    return True
                raise self._record(self._unresponsive_means or "S11.1", "the scheduler died", unresponsive=True)
        return True

    def _pump(self, seconds: float) -> None:
        for socket, _ in self._poller.poll(max(0, int(seconds * 1000) + 1)):
            peer = self._peers.get(socket)
            while peer is not None and peer.socket is socket:
                try:
                    frames = socket.recv_multipart(zmq.NOBLOCK)
                except zmq.Again:
                    break
                self._deliver(peer, frames)

    def _deliver(self, peer: Peer, frames: Sequence[bytes]) -> None:
        try:
            if len(frames) != 1:
                raise wire.WireError("not one frame", f"{len(frames)} frames in one message")
            message = wire.decode(frames[0])
        except wire.WireError as error:
            self._append(Entry(self._step, SCHEDULER, peer.name, None, f"unreadable: {error}"))
            if "member" in error.reason:
                return  # M3
            peer.inbox.append(Unreadable(str(error)))
            if error.reason not in _NOT_FRAMING:
                expected = "each message is one frame with one well-formed message"
                self.check("T2", False, expected, f"{peer.name} got: {error}")
            return
        echo = isinstance(message, peer.echo_type)
        self._append(Entry(self._step, SCHEDULER, peer.name, message, fence=echo))
        peer.deliver(message)

    def describe(self, message: Incoming) -> str:
        """A message in words, with the names of this case's tasks."""
        return str(message) if isinstance(message, Unreadable) else describe(message, self.names)


def new_task_id() -> bytes:
    """16 bytes that were never used."""
    return uuid.uuid4().bytes
