"""One order of messages to a scheduler: who is there, what they do, and what the scheduler has broken by then.

The scheduler is a process, to which peers talk over ZeroMQ with a fence after each message, or a machine; both are
worlds with the same peers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from rescind.messages import (
    CancelConfirmType,
    ClientDisconnect,
    ClientShutdownResponse,
    DisconnectType,
    Message,
    Task,
    TaskCancel,
    TaskCancelConfirm,
    TaskResult,
    WorkerDisconnectNotification,
)
from rescind_conformance.audit import OnlineAudit, Placed, judge_scheduler_of
from rescind_conformance.peers import FakeClient, FakeWorker, Peer, TaskRef
from rescind_conformance.races.bench import PlayedOrder, action
from rescind_conformance.races.names import STRANGE, Names
from rescind_conformance.races.scheduler_machine import CLOSES, MachineWorld
from rescind_conformance.recording import Recorder, Recording
from rescind_conformance.trace import SCHEDULER
from rescind_conformance.world import World

T = TypeVar("T")


@dataclass(slots=True)
class _Holding:
    """A task that was dispatched to a worker which has not said its last word about it."""

    worker: FakeWorker
    task: TaskRef
    asked: int = 0
    """TaskCancels that it has not answered."""


@dataclass(slots=True)
class SchedulerOrder(PlayedOrder[World]):
    """Peers sit in seats, two of each role: who is not there comes when something is asked of the seat."""

    names: Names
    recorder: Recorder | None = None
    """What records the frames of `world`; None: it does so itself."""
    may_be_asked_to_close: bool = True
    """By clients: it is known to refuse, or it is a machine."""
    closing: bool = False
    """Its operator has shut it down."""
    _together: int = 0
    """So many more rules are played without a fence in between."""
    _peers: dict[str, Peer] = field(default_factory=dict)
    """By the names that the actions use."""
    _seats: dict[tuple[str, int], Peer] = field(default_factory=dict)
    _spoke: dict[str, Peer] = field(default_factory=dict)
    """Who has said something since the last fence."""
    _tasks: list[TaskRef] = field(default_factory=list)
    """The latest first, as in the next."""
    _holdings: list[_Holding] = field(default_factory=list)
    _over: set[bytes] = field(default_factory=set)
    """Tasks whose owners have had a terminal message."""
    _read: int = 0
    _online: OnlineAudit | None = None
    _searched: bool = False

    @property
    def recording(self) -> Recording | None:
        if isinstance(self.world, MachineWorld):
            return self.world.recording
        return None if self.recorder is None else self.recorder.so_far

    @property
    def unfenced(self) -> bool:
        return isinstance(self.world, MachineWorld)

    def know(self, names: Mapping[bytes, str]) -> None:
        self.world.names.update(names)

    # --- who and what

    def client(self, seat: int) -> Peer:
        """The client in this seat. One comes if nobody is there, or has left."""
        peer = self._seats.get(("client", seat))
        return self.replace(2 * seat) if peer is None or peer.gone else peer

    def worker(self, seat: int, queue_size: int) -> Peer:
        """The worker in this seat, as `client`."""
        peer = self._seats.get(("worker", seat))
        return self.replace(2 * seat + 1, queue_size=queue_size) if peer is None or peer.gone else peer

    def anybody(self, seat: int) -> Peer | None:
        """Who is in one of all the seats, or was there last: even numbers are clients'."""
        return self._seats.get(("worker" if seat % 2 else "client", seat // 2))

    def replace(self, seat: int, *, introduced: bool = True, queue_size: int = 2) -> Peer:
        """Somebody new takes a seat of `anybody`."""
        role, peers = ("worker", self.world.workers) if seat % 2 else ("client", self.world.clients)
        name = f"{role[0].upper()}{len(peers) + 1}"
        peer: Peer = self.join(name=name, introduced=introduced, queue_size=queue_size)
        self._seats[role, seat // 2] = peer
        return peer

    def new_task(self) -> TaskRef:
        """A task that nobody has heard of."""
        task = self.world.new_task(self.names.task(len(self.world.names)))
        self._tasks.insert(0, task)
        return task

    def task(self, number: int) -> TaskRef:
        """One of the tasks, submitted or not; for the number `STRANGE`, and if there is none, a new one."""
        known = None if number >= STRANGE else _pick(self._tasks, number)
        return known or self.new_task()

    def owned(self, number: int) -> tuple[FakeClient, TaskRef] | None:
        """A task that is not over, as far as its owner knows, and its owner: one whose round is open before one that a
        worker has, and that before one that waits. If there is none, one that is over.
        """
        owned = [(owner, task) for task in self._tasks if (owner := self._owner(task)) is not None]
        asked = {each.task.id: each.asked > 0 for each in reversed(self._there())}
        going_on = [each for each in owned if each[1].id not in self._over]
        going_on.sort(key=lambda each: {True: 0, False: 1, None: 2}[asked.get(each[1].id)])
        return _pick(going_on, number) or _pick(owned, number)

    def has_room(self, most: int) -> bool:
        """Whether fewer tasks than that go on, as far as their owners know."""
        return sum(bool(self.world.owner_of(task)) and task.id not in self._over for task in self._tasks) < most

    def holding(self, number: int) -> tuple[FakeWorker, TaskRef] | None:
        """A worker, and a task that it has: of those that are there before those that have gone."""
        found = _pick(self._there() or self._holdings, number)
        return None if found is None else (found.worker, found.task)

    def asked(self, number: int) -> tuple[FakeWorker, TaskRef] | None:
        """A worker, and a task of which it has not answered a TaskCancel; as `holding`."""
        there, all_of_them = ([each for each in some if each.asked] for some in (self._there(), self._holdings))
        found = _pick(there or all_of_them, number)
        return None if found is None else (found.worker, found.task)

    def holder(self, task: TaskRef) -> FakeWorker | None:
        """The worker that has a task; if none has it, the last one that had it and has said nothing about it."""
        found = [each for each in (*self._there(), *self._holdings) if each.task.id == task.id]
        return found[0].worker if found else None

    def owner(self, task: TaskRef) -> Peer | None:
        """The client that has submitted a task."""
        return self._owner(task)

    def crowd(self, count: int, worker: Peer | None) -> None:
        """A client submits tasks until this worker has so many; it says before that it takes them."""
        if not isinstance(worker, FakeWorker) or worker.gone:
            return
        if worker.queue_size < count:
            self.beat(peer=worker, queue_size=count)
        for _ in range(2 * count):
            self._take_in()
            if sum(each.worker is worker for each in self._holdings) >= count:
                return
            self.submit(0)

    def idle_worker(self, queue_size: int) -> Peer:
        """A worker that has no task, and takes so many: one that is there, or one that comes now."""
        busy = {each.worker.name for each in self._holdings}
        seats = [self._seats.get(("worker", seat)) for seat in (0, 1)]
        for seat, peer in enumerate(seats):
            if isinstance(peer, FakeWorker) and peer.living and peer.name not in busy:
                if peer.queue_size != queue_size:
                    self.beat(peer=peer, queue_size=queue_size)
                return peer
            if peer is None or peer.gone:
                return self.replace(2 * seat + 1, queue_size=queue_size)
        return self.replace(3, queue_size=queue_size)

    def result_of(self, task: TaskRef, kind: int) -> TaskResult:
        """A result whose payload is the owner's."""
        owner = hashlib.md5(self.world.owner_of(task)).digest()
        return TaskResult(task.id, kind, b"", (owner + hashlib.md5(task.id).digest(),))

    def submit(self, seat: int) -> tuple[Peer, TaskRef]:
        """The client in this seat submits a new task."""
        client, task = self.client(seat), self.new_task()
        assert isinstance(client, FakeClient)
        self.send(peer=client, message=client.task_message(task))
        return client, task

    def cancel(self, task: TaskRef, force: bool) -> None:
        """The owner of a task cancels it."""
        if (owner := self._owner(task)) is not None:
            self.send(peer=owner, message=TaskCancel(task.id, force))

    # --- what they do: each is one action

    @action
    def join(self, *, name: str, introduced: bool, queue_size: int) -> Peer:
        """Somebody comes; a client that is not `introduced` sends no heartbeat, a worker takes so many tasks.

        The later actions of an order know it by this name.
        """
        self.length -= 1  # it is not much of an action
        routing_id = self.names.peer("Client" if name.startswith("C") else "Worker", name)
        if name.startswith("C"):
            peer: Peer = self.world.client(introduced=introduced, routing_id=routing_id)
        else:
            peer = self.world.worker(queue_size, routing_id=routing_id)
        self._peers[name] = peer
        return peer

    @action
    def send(self, *, peer: Peer | str, message: Message) -> None:
        """Somebody sends a message."""
        if (speaker := self._speaker(peer)) is not None:
            speaker.send(message, fence=False)

    @action
    def send_frames(self, *, peer: Peer | str, frames: tuple[bytes, ...], note: str) -> None:
        """Somebody sends what is no message, or one that must be dropped."""
        if (speaker := self._speaker(peer)) is not None:
            speaker.send_frames(*frames, note=note, fence=False)

    @action
    def beat(self, *, peer: Peer | str, queue_size: int | None = None) -> None:
        """Somebody sends a heartbeat; a worker may take another number of tasks from then on."""
        if (speaker := self._speaker(peer)) is not None:
            if isinstance(speaker, FakeWorker) and queue_size is not None:
                speaker.queue_size = queue_size
            speaker.beat()

    @action
    def leave(self, *, peer: Peer | str) -> None:
        """Somebody says good-bye, and may go on all the same."""
        if (speaker := self._speaker(peer)) is not None:
            client = isinstance(speaker, FakeClient)
            word = ClientDisconnect(DisconnectType.DISCONNECT) if client else WorkerDisconnectNotification()
            speaker.send(word, fence=False)
            speaker.gone = True

    @action
    def drop(self, *, peer: Peer | str) -> None:
        """Somebody's connection drops."""
        if (dropped := self._speaker(peer)) is not None:
            if not isinstance(self.world, MachineWorld):
                self._fence()  # what it has said must have arrived
            self._spoke.pop(dropped.name, None)
            dropped.cut()

    @action
    def reconnect(self, *, peer: Peer | str) -> None:
        """Somebody whose connection has dropped comes back under the same routing id."""
        if (back := self._known(peer)).socket.closed:
            self.world.reconnect(back)

    @action
    def happen(self, *, event: str, peer: Peer | str | None = None) -> None:
        """Something happens to a machine; see `scheduler_machine`."""
        before = len(self.world.trace)
        self.world.happen(event, None if peer is None else self._known(peer))
        self.closing = self.closing or (event == CLOSES and len(self.world.trace) > before)

    @action
    def send_together(self, *, count: int) -> None:
        """What the next rules send is sent without waiting for what each message causes."""
        self.length -= 1
        self._together = count

    # --- what comes of it

    def rest(self, *, last: bool = False) -> list[Placed]:
        if isinstance(self.world, MachineWorld):
            self.world.settle()
            self.over = self.world.exited
        elif self._together > 0 and not last:
            self._together -= 1
            return []
        else:
            self._fence()
        found = self._look(last)
        self._take_in()
        return found

    def _look(self, last: bool) -> list[Placed]:
        """Other orders than the one that was seen are searched once, and once more at the end: it takes long."""
        if isinstance(self.world, MachineWorld):
            return self.world.violations()
        if self._online is None:
            self._online = OnlineAudit(self.world.names)
        if self._online.is_right(self.world.trace) or (self._searched and not last):
            return []
        self._searched = True
        return self.judge()

    def judge(self) -> list[Placed]:
        world = self.world
        if isinstance(world, MachineWorld):
            return world.violations()
        unheard = [peer.name for peer in (*world.clients, *world.workers) if peer.silent or peer.outstanding]
        audit = judge_scheduler_of(
            world.trace, world.names, unheard=unheard, at_rest=not world.stopping, garbage_is_dropped=True
        )
        self.undecided = self.undecided or audit.undecided
        return list(audit.findings)

    def farewell(self) -> None:
        """Have everybody leave, so that nothing of this order is left with a scheduler that goes on."""
        world = self.world
        if world.stopping:
            return
        for worker in world.workers:
            worker.queue_size = 0
        world.settle()
        for role in (world.workers, world.clients):
            for peer in role:
                if peer.living:
                    self.leave(peer=peer)
            self._fence()

    def _owner(self, task: TaskRef) -> FakeClient | None:
        routing_id = self.world.owner_of(task)
        return next((client for client in self.world.clients if client.routing_id == routing_id), None)

    def _fence(self) -> None:
        """Those who have left are answered as lost peers are (S9.6, S9.8), which fences them, too."""
        if not self.world.stopping:
            gone = [peer for peer in self._spoke.values() if peer.gone]
            self.world.fence(gone, unanswered_is_fine=True)
            self.world.fence([peer for peer in self._spoke.values() if peer.living])
            self.world.settle(rounds=1 if len(self._spoke) < 2 else 2)
        self._spoke.clear()

    def _speaker(self, peer: Peer | str) -> Peer | None:
        """Who speaks now; None: its connection has dropped."""
        speaker = self._known(peer)
        if speaker.socket.closed:
            return None
        speaker.silent = False
        self._spoke[speaker.name] = speaker
        return speaker

    def _known(self, peer: Peer | str) -> Peer:
        return peer if isinstance(peer, Peer) else self._peers[peer]

    def _take_in(self) -> None:
        """Read what has come: who holds what, and who was asked."""
        workers = {worker.name: worker for worker in self.world.workers}
        for entry in self.world.trace[self._read :]:
            if entry.receiver in workers and entry.message is not None:
                self._hears(workers[entry.receiver], entry.message)
            elif entry.sender in workers and entry.receiver == SCHEDULER and entry.message is not None:
                self._says(entry.sender, entry.message)
            elif isinstance(entry.message, TaskResult | TaskCancelConfirm):
                self._is_told(entry.message)
            elif isinstance(entry.message, ClientShutdownResponse) and entry.message.accepted:
                self.over = self.world.stopping = True
        self._read = len(self.world.trace)

    def _hears(self, worker: FakeWorker, message: Message) -> None:
        match message:
            case Task(task_id):
                names: Mapping[bytes, str] = self.world.names
                self._holdings.insert(0, _Holding(worker, TaskRef(task_id, names.get(task_id, "unknown"))))
            case TaskCancel(task_id):
                for each in self._held(worker.name, task_id):
                    each.asked += 1
                    self._holdings.remove(each)  # what is going on with it is the latest
                    self._holdings.insert(0, each)

    def _says(self, worker: str, message: Message) -> None:
        match message:
            case TaskResult(task_id) | TaskCancelConfirm(task_id):
                for each in self._held(worker, task_id):
                    each.asked = max(0, each.asked - 1)
                    if message != TaskCancelConfirm(task_id, CancelConfirmType.CANCEL_FAILED):
                        self._holdings.remove(each)

    def _is_told(self, message: TaskResult | TaskCancelConfirm) -> None:
        if message != TaskCancelConfirm(message.task_id, CancelConfirmType.CANCEL_FAILED):
            self._over.add(message.task_id)

    def _there(self) -> list[_Holding]:
        """Those of workers that have not gone."""
        return [each for each in self._holdings if not each.worker.gone]

    def _held(self, worker: str, task_id: bytes) -> list[_Holding]:
        return [each for each in self._holdings if each.worker.name == worker and each.task.id == task_id][:1]


def _pick(options: Sequence[T], number: int) -> T | None:
    return options[number % len(options)] if options else None
