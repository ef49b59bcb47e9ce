"""What a case gets: peers to play, steps that really happened in that order, and a place for its findings."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Protocol

import zmq

from rescind import wire
from rescind.curve import PeerKeys, Role
from rescind.messages import (
    Argument,
    ArgumentType,
    ClientDisconnect,
    DisconnectType,
    GraphTask,
    Message,
    Task,
    WorkerDisconnectNotification,
)
from rescind_conformance.audit import (
    DRAINS,
    DROPPED,
    RECONNECTS,
    STOPPED,
    UNDECIDED,
    Audit,
    first_broken,
    judge_scheduler_of,
)
from rescind_conformance.findings import Conversation, Findings
from rescind_conformance.peers import FakeClient, FakeWorker, Peer, TaskRef, Unreadable, new_routing_id, result_payload
from rescind_conformance.trace import SCHEDULER, Entry

KEEP_ALIVE_INTERVAL = 0.2
"""Seconds between the heartbeats of the living peers while a case waits for what only time brings."""
FAREWELL = 1.0
"""Seconds that those who take their leave wait at most for the answer to their last heartbeats."""


_READABLE = int(zmq.POLLIN)
"""A plain number: what is done for each message is not to make members of an enumeration."""

NOT_FRAMING = ("bad task id", "text is not UTF-8", "malformed pointer", "list too long", "too large")
"""What the codec says of messages that are malformed though T2 holds."""


class Instance(Protocol):
    """One running subject."""

    @property
    def endpoint(self) -> str:
        """Where its ROUTER is bound."""
        ...

    @property
    def pid(self) -> int | None:
        """Its process id, None if it is not known."""
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


class World(Findings):
    """The peers of one case and their conversation with the subject. For one thread.

    A step is one send of a peer, followed by fences (SPEC.md, section 7): when the step returns, all
    that the subject does about it has been seen. So what an expectation does not find will not come,
    and no case sleeps. `deadline` (seconds) only bounds how long a missing echo is waited for.
    """

    def __init__(
        self, conversation: Conversation, instance: Instance, keys: Mapping[Role, PeerKeys] | None = None
    ) -> None:
        """`keys`: those that clients and workers connect with, if the subject uses CURVE."""
        super().__init__()
        self.keys = keys or {}
        self.context = conversation.context
        self.endpoint = instance.endpoint
        self.stopping = False
        """The subject was asked to shut down: nothing is fenced any more, and its exit is no departure."""
        self.clients: list[FakeClient] = []
        self.workers: list[FakeWorker] = []
        self.instance = instance
        self._conversation = conversation
        self.deadline = conversation.deadline
        """Seconds after which what must come is taken as missing."""
        self._decode = conversation.decoder.decode
        self._poller = zmq.Poller()
        self._peers: dict[zmq.Socket[bytes], Peer] = {}
        self._owners: dict[bytes, bytes] = {}
        self._submitted: dict[bytes, list[Task]] = {}
        self._nodes: dict[bytes, Task] = {}
        """What a worker is to be sent for each node of a graph (S12.5)."""
        self._assigned: set[bytes] = set()
        self._step = 0
        self._settled = True
        self._recording = True
        self._at_rest = False
        self._unresponsive_means: str | None = None
        self._looked = time.monotonic()

    # --- peers and tasks

    def client(self, *, introduced: bool = True, receive_queue: int = 0, routing_id: bytes | None = None) -> FakeClient:
        """A new client, connected and known to the subject.

        With `introduced=False` it has said nothing yet, and is silent (`Peer.silent`).
        Its socket takes in `receive_queue` messages that are not read (0: all); the rest stays with the subject.
        Without a `routing_id`, which nobody may have used, it gets a random one.
        """
        name = f"C{len(self.clients) + 1}"
        client = FakeClient(self, name, routing_id or new_routing_id("Client", name), receive_queue)
        self.clients.append(client)
        client.silent = not introduced
        self._introduce(client)
        return client

    def worker(
        self,
        queue_size: int = 10,
        *,
        introduced: bool = True,
        receive_queue: int = 0,
        routing_id: bytes | None = None,
    ) -> FakeWorker:
        """A new worker that takes so many tasks, connected and known to the subject. For the others see `client`."""
        name = f"W{len(self.workers) + 1}"
        worker = FakeWorker(self, name, routing_id or new_routing_id("Worker", name), queue_size, receive_queue)
        self.workers.append(worker)
        worker.silent = not introduced
        self._introduce(worker)
        return worker

    def dealer(self) -> zmq.Socket[bytes]:
        """What a peer connects with."""
        made: zmq.Socket[bytes] = self.context.socket(zmq.DEALER)
        return made

    def owner_of(self, task: TaskRef) -> bytes:
        """The routing id of the client that submitted a task first, b"" if none did."""
        return self._owners.get(task.id, b"")

    def dispatched(self, task: TaskRef, requirement: str = "S9.9") -> FakeWorker:
        """The worker that has the task, its Task taken. Waits for the dispatch; departs if none comes, or another
        Task than was submitted.
        """

        def holders() -> list[FakeWorker]:
            return [worker for worker in self.workers if any(isinstance(m, Task) for m in worker.waiting(task))]

        self.wait_until(lambda: bool(holders()))
        found = holders()
        self.check(requirement, bool(found), f"Task {task.name} is dispatched", "no worker got it", vital=True)
        if len(found) > 1:
            names = " and ".join(worker.name for worker in found)
            self.check("S8.2", False, f"Task {task.name} is dispatched to one worker", f"{names} got it", vital=True)
        found[0].expect_task(task, "S8.2", content=requirement, vital=True)
        return found[0]

    def check_content(self, task: TaskRef, received: Task, requirement: str) -> None:
        """Check that a worker got the Task that was submitted. A change at the first dispatch is one from S1.5."""
        submitted = self._submitted.get(task.id, [])
        first = task.id not in self._assigned
        self._assigned.add(task.id)
        if task.id in self._nodes:
            expected = f"Task {task.name} comes with the results of what it depends on, and all else as submitted"
            self.check("S12.5" if first else "S12.16", received == self._nodes[task.id], expected, "its fields differ")
        elif submitted:
            expected = f"Task {task.name} comes with all that it was submitted with"
            self.check("S1.5" if first else requirement, received in submitted, expected, "its fields differ")

    # --- time

    def settle(self, rounds: int = 2, *, fenced: Peer | None = None) -> None:
        """Fence all living peers, twice: then all that will come of what was sent has come.

        Once is enough after a fence of the only peer that has sent something; and if it is `fenced`, it need not be
        fenced again.
        """
        if self.stopping:
            return
        for _ in range(rounds):
            self.fence([peer for peer in self._peers.values() if peer.living and peer is not fenced])
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
        raise self.depart(
            self.blame("S10.1"), f"expected: the heartbeat of {names} is echoed; no echo came in {self.deadline:g} s"
        )

    def wait_until(self, condition: Callable[[], bool], *, meanwhile: Callable[[], None] | None = None) -> bool:
        """Wait for what only time brings (a time-out, a move to another worker); living peers send heartbeats.

        `meanwhile` is called as often as they do. Then settle. Returns whether the condition came true before
        the deadline.
        """
        held = self._pump_until(condition, beats=not self.stopping, meanwhile=meanwhile)
        self.settle()
        return held

    def come_to_rest(self) -> None:
        self.settle()
        self._at_rest = not self.stopping

    def audit(self) -> None:
        """Where the case has found a departure this says nothing: it would most likely be the same one. Of what the
        judge finds only the first is told: what comes after that may be its consequence.
        """
        if self.departures:
            return
        judged = self._judged(self.trace)
        for violation, position in judged.findings[:1]:
            self.depart(violation.requirement, f"seen in the trace: {violation.text}", position=position)
        if judged.undecided:
            self.trace.append(Entry(self._step, SCHEDULER, SCHEDULER, None, UNDECIDED))

    def broken(self) -> set[str]:
        """The requirements that the trace shows broken, as `first_broken` says."""
        return {violation.requirement for violation, _ in first_broken(self._judged, self.trace).findings}

    def _judged(self, trace: Sequence[Entry]) -> Audit:
        unheard = [peer.name for peer in (*self.clients, *self.workers) if not peer.living]
        return judge_scheduler_of(trace, self.names, unheard=unheard, at_rest=self._at_rest, goodbyes_may_be_late=True)

    def log_tail(self) -> str:
        return self.instance.log_tail()

    def stop_scheduler(self) -> None:
        """Ask the subject for an orderly shutdown. The case ends as unsupported where there is no way to."""
        self._ask_to_stop(STOPPED)
        self.stopping = True

    def drain_scheduler(self) -> None:
        """Tell a subject in `Profile.DRAINING` to drain: it serves on, and may exit as soon as nothing is left."""
        self._ask_to_stop(DRAINS)

    def _ask_to_stop(self, note: str) -> None:
        if not self.instance.ask_to_stop():
            self.unsupported("this subject cannot be asked to shut down")
        self.trace.append(Entry(self._step, SCHEDULER, SCHEDULER, None, note))

    def scheduler_exited(self) -> bool:
        """Whether the subject's process has ended."""
        return not self.instance.alive()

    @contextmanager
    def unresponsive_means(self, requirement: str) -> Iterator[None]:
        """Within: that the subject dies, or does not echo each heartbeat once, is a departure from this requirement.

        Without this it is one from S11.1 or S10.1.
        """
        self._unresponsive_means = requirement
        try:
            yield
        finally:
            self._unresponsive_means = None

    def blame(self, requirement: str) -> str:
        """The requirement that a missing sign of life is a departure from: this one, or `unresponsive_means`."""
        return self._unresponsive_means or requirement

    # --- the conversation

    def note_sent(self, peer: Peer, message: Message | None, note: str = "", *, fence: bool = False) -> None:
        """Called by peers for each message that they send; `fence`: it is a heartbeat of their own."""
        if not fence and self._settled:
            self._step += 1
            self._settled = False
        if isinstance(message, Task):
            self._owners.setdefault(message.task_id, peer.routing_id)
            self._submitted.setdefault(message.task_id, []).append(message)
        if isinstance(message, GraphTask):
            for node in message.graph:
                self._owners.setdefault(node.task_id, peer.routing_id)
                if node.task_id not in self._submitted:
                    self._nodes.setdefault(node.task_id, _as_started(node, peer.routing_id))
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
        """Stop reading a peer's socket. It is not fenced any more, and can still send."""
        peer.silent = True
        self._poller.unregister(peer.socket)

    def heed(self, peer: Peer) -> None:
        """Read a peer's socket again."""
        peer.silent = False
        self._poller.register(peer.socket, zmq.POLLIN)

    def note_event(self, peer: Peer, event: str) -> None:
        """Write into the trace what happened at a peer."""
        self.trace.append(Entry(self._step, peer.name, peer.name, None, event))

    def happen(self, event: str, peer: Peer | None = None) -> None:
        """Have something happen that a replay file tells of: a peer's connection, otherwise it is only noted."""
        if peer is None:
            self.trace.append(Entry(self._step, SCHEDULER, SCHEDULER, None, event))
        elif event == DROPPED:
            peer.cut()
        elif event == RECONNECTS:
            self.reconnect(peer)
        else:
            self.note_event(peer, event)

    def forget(self, peer: Peer) -> None:
        """Close a peer's socket; what had not been received is lost."""
        if peer.socket in self._poller:
            self._poller.unregister(peer.socket)
        del self._peers[peer.socket]
        peer.socket.close(linger=0)

    def reconnect(self, peer: Peer) -> None:
        """Have a peer whose connection was dropped connect again under its routing id, as none should (T4).

        Returns when the subject has answered its heartbeat. As long as ZeroMQ takes the former connection for alive
        it discards what comes over the new one, so that it is tried again. Departs (S10.1) when no answer comes.
        """
        self.note_reconnected(peer)
        peer.beat()
        begun = time.monotonic()
        while not self._answered(peer) and time.monotonic() - begun < self.deadline:
            self.forget(peer)
            peer.connect()
            self._admit(peer)
            peer.socket.send(wire.encode(peer.heartbeat_message()))
        self.settle()

    def note_reconnected(self, peer: Peer) -> None:
        """A new connection of a peer under its former routing id, and a line that tells of it."""
        self.note_event(peer, RECONNECTS)
        peer.gone = peer.dismissed = peer.silent = False
        peer.outstanding = 0
        peer.connect()
        self._admit(peer)

    def _answered(self, peer: Peer) -> bool:
        """Whether all its heartbeats are answered soon."""
        until = time.monotonic() + KEEP_ALIVE_INTERVAL
        while peer.outstanding and (left := until - time.monotonic()) > 0:
            self._conversation.go_on()
            self._pump(left)
        return not peer.outstanding

    def close(self, *, farewell: bool = False) -> bool:
        """Close every socket. `farewell`: the subject will be used again, so the peers take their leave first.

        Returns whether it has answered all of them.
        """
        try:
            return not farewell or self._take_leave()
        finally:
            for peer in self._peers.values():
                peer.socket.close(linger=1000 if farewell else 0)
            self._peers.clear()

    def _take_leave(self) -> bool:
        """Nobody whom the subject may still take for a peer stays: those that are silent say good-bye as well, and
        those whose connections have dropped come back for it. None of it is judged. Returns whether all were answered:
        then nothing of the clients is left.

        What a worker says after its good-bye could register it again: so it first says that it takes no tasks, which
        its echo fences.
        """
        departures, self._recording = list(self.departures), False
        for peer in (*self.clients, *self.workers):
            peer.silent = False
            if peer.socket.closed:
                peer.gone = False
                peer.connect()
                self._admit(peer)
            elif peer.socket not in self._poller:
                self._poller.register(peer.socket, zmq.POLLIN)
        leaving = [peer for peer in self._peers.values() if peer.living]
        for peer in leaving:
            if isinstance(peer, FakeWorker):
                peer.queue_size = 0
            else:
                peer.send(ClientDisconnect(DisconnectType.DISCONNECT), fence=False)
            peer.beat()
        bound = time.monotonic() + FAREWELL
        while any(peer.outstanding for peer in leaving) and (left := bound - time.monotonic()) > 0:
            self._conversation.go_on()
            self._pump(min(left, KEEP_ALIVE_INTERVAL))
        for peer in leaving:
            if isinstance(peer, FakeWorker):
                peer.send(WorkerDisconnectNotification(), fence=False)
        self.departures[:] = departures
        return not any(peer.outstanding for peer in leaving)

    def _append(self, entry: Entry) -> None:
        if self._recording:
            self.trace.append(entry)

    def _introduce(self, peer: Peer) -> None:
        self._admit(peer)
        if not peer.silent:
            peer.fence()

    def _admit(self, peer: Peer) -> None:
        self._peers[peer.socket] = peer
        self._poller.register(peer.socket, zmq.POLLIN)

    def _pump_until(
        self, condition: Callable[[], bool], *, beats: bool, meanwhile: Callable[[], None] | None = None
    ) -> bool:
        deadline = time.monotonic() + self.deadline
        next_beat = time.monotonic()
        with self._conversation.waiting() as waiting:
            while not condition():
                waiting.go_on()
                now = time.monotonic()
                if now >= deadline:
                    return False
                if (beats or meanwhile is not None) and now >= next_beat:
                    next_beat = now + KEEP_ALIVE_INTERVAL
                    for peer in self._peers.values() if beats else ():
                        if peer.living and not peer.outstanding:
                            peer.beat()
                    if meanwhile is not None:
                        meanwhile()
                came = self._pump(min(deadline, now + KEEP_ALIVE_INTERVAL) - now)
                if not came and not self.stopping and not self.instance.alive():
                    self._pump(0)
                    if condition():
                        return True
                    raise self.depart(self.blame("S11.1"), "the scheduler died", unresponsive=True)
        return True

    def _pump(self, seconds: float) -> bool:
        """Take in what comes within so many seconds; whether anything did."""
        ready = self._poller.poll(max(0, int(seconds * 1000) + 1))
        self._look()
        for socket, _ in ready:
            peer = self._peers.get(socket)
            while peer is not None and peer.socket is socket and int(socket.getsockopt(zmq.EVENTS)) & _READABLE:
                self._deliver(peer, socket.recv_multipart(zmq.NOBLOCK))
        return bool(ready)

    def _look(self) -> None:
        now = time.monotonic()
        self.held_up, self._looked = max(self.held_up, now - self._looked), now

    def _deliver(self, peer: Peer, frames: Sequence[bytes]) -> None:
        try:
            if len(frames) != 1:
                raise wire.WireError("not one frame", f"{len(frames)} frames in one message")
            message = self._decode(frames[0])
        except wire.WireError as error:
            self._append(Entry(self._step, SCHEDULER, peer.name, None, f"unreadable: {error}"))
            if "member" in error.reason:
                return  # M3
            peer.inbox.append(Unreadable(str(error)))
            if error.reason not in NOT_FRAMING:
                expected = "each message is one frame with one well-formed message"
                self.check("T2", False, expected, f"{peer.name} got: {error}")
            return
        echo = isinstance(message, peer.echo_type)
        self._append(Entry(self._step, SCHEDULER, peer.name, message, fence=echo))
        if not echo:
            peer.frames.append(frames[0])
        peer.deliver(message)


def _as_started(node: Task, owner: bytes) -> Task:
    """A node of a graph as a worker gets it, when played workers have run what it depends on."""
    arguments = tuple(
        Argument(ArgumentType.OBJECT_ID, result_payload(owner, each.data)) if each.type == ArgumentType.TASK else each
        for each in node.function_args
    )
    return replace(node, function_args=arguments)
