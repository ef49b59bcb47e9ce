"""What must hold in every trace, whatever its case is about: read off the trace alone.

A first piece of a trace checker. It is lenient where the trace does not show the order in which the
subject did two things: what it sends to two peers in one step has none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from rescind.messages import (
    CancelConfirmType,
    ClientDisconnect,
    ClientShutdownResponse,
    DisconnectType,
    GraphTask,
    Message,
    Task,
    TaskCancel,
    TaskCancelConfirm,
    TaskLog,
    TaskResult,
    WorkerDisconnectNotification,
    WorkerHeartbeat,
)
from rescind.trace import describe
from rescind_conformance.peers import task_id_of
from rescind_conformance.trace import SCHEDULER, Echoes, Entry, Heartbeats

Report = Callable[[str, str], None]
"""Takes the requirement and what happened."""


@dataclass(slots=True)
class _Asked:
    """What a client has asked about one task and may be answered for."""

    pending: int = 0
    """Cancels that the subject may not have handled yet, or handled after the terminal message."""
    tasks: int = 0


@dataclass(slots=True)
class _TaskHistory:
    owner: str = ""
    terminal: Entry | None = None
    round_opened: int | None = None
    """The step in which the owner's open round was opened."""
    holders: dict[str, int] = field(default_factory=dict)
    """Who has it, and since which step."""
    ever_held: set[str] = field(default_factory=set)
    asked: dict[str, _Asked] = field(default_factory=dict)
    cancels: int = 0
    """How many TaskCancels the owner has sent."""
    answers: int = 0
    """How many TaskCancelConfirms it has heard."""
    forced: bool = False
    """Somebody has sent a TaskCancel with force."""
    moving: bool = False
    """A worker was asked for it while no round of the owner's was open."""
    said: set[int] = field(default_factory=set)
    """The kinds of TaskCancelConfirm that anybody has sent."""


class _Audit:
    def __init__(self, names: Mapping[bytes, str], workers: Collection[str], report: Report) -> None:
        self._names = names
        self._workers = workers
        self._report = report
        self._tasks: dict[bytes, _TaskHistory] = {}
        self._queue_size: dict[str, int] = {}
        self._held: Counter[str] = Counter()
        self._outstanding: Counter[str] = Counter()
        self._unfenced: set[str] = set()
        """Peers that have sent a TaskCancel since their last heartbeat."""
        self._incomprehensible: set[str] = set()
        """Peers that sent what the trace cannot name: what they asked, and may be answered, is not known."""
        self._registered: set[str] = set()
        """Peers that have been echoed."""
        self._lost: set[str] = set()
        """Peers that left, fell silent, or were told to leave."""
        self._shutdowns: Counter[str] = Counter()
        """How often a peer has asked for a shutdown and not been answered."""
        self._dismissed: list[tuple[str, str]] = []
        """Who was told to leave without a reason that is seen there: requirement and what happened."""
        self._closing = False
        self._refused_shutdown = False

    def read(self, entry: Entry) -> None:
        if entry.message is None:
            if entry.sender == entry.receiver:
                if entry.sender == SCHEDULER:
                    self._closing = True
                else:
                    self._lose(entry.sender)
            elif entry.receiver == SCHEDULER:
                self._incomprehensible.add(entry.sender)
            return
        if entry.receiver == SCHEDULER:
            self._on_said(entry.sender, entry, entry.message)
        else:
            self._on_heard(entry.receiver, entry, entry.message)

    def _on_said(self, peer: str, entry: Entry, message: Message) -> None:
        match message:
            case Task(task_id) if peer not in self._workers:
                self._submitted(peer, task_id)
            case GraphTask(task_id, _, _, graph) if peer not in self._workers:
                for submitted in (task_id, *(node.task_id for node in graph)):
                    self._submitted(peer, submitted)
            case TaskCancel(task_id) if peer not in self._workers:
                history = self._history(task_id)
                history.asked.setdefault(peer, _Asked()).pending += 1
                self._unfenced.add(peer)
                history.forced = history.forced or message.force
                history.cancels += peer == history.owner
                if peer == history.owner and history.terminal is None and history.round_opened is None:
                    history.round_opened = entry.step
            case TaskResult(task_id):
                self._last_word(peer, task_id)
            case TaskCancelConfirm(task_id, kind):
                history = self._history(task_id)
                history.said.add(kind)
                if peer in history.holders:
                    history.round_opened = None
                if kind in (CancelConfirmType.CANCELED, CancelConfirmType.CANCEL_NOT_FOUND):
                    self._last_word(peer, task_id)
            case WorkerHeartbeat():
                self._queue_size[peer] = message.queue_size
                self._outstanding[peer] += 1
                self._unfenced.discard(peer)
            case ClientDisconnect(DisconnectType.SHUTDOWN):
                self._shutdowns[peer] += 1
            case WorkerDisconnectNotification() | ClientDisconnect():
                self._lose(peer)
            case _ if isinstance(message, Heartbeats):
                self._outstanding[peer] += 1
                self._unfenced.discard(peer)

    def _on_heard(self, peer: str, entry: Entry, message: Message) -> None:
        if isinstance(message, Echoes):
            self._registered.add(peer)
            self._on_echo(peer)
        elif isinstance(message, ClientShutdownResponse):
            self._on_shutdown_response(peer, message)
        elif isinstance(message, ClientDisconnect):
            self._on_dismissed(peer, describe(message, self._names))
        elif (task_id := task_id_of(message)) is not None:
            history = self._history(task_id)
            if peer in self._workers:
                self._on_heard_by_worker(peer, entry, message, history)
            else:
                self._on_heard_by_client(peer, entry, message, history)

    def _on_echo(self, client: str) -> None:
        """All that was sent before the heartbeat has been handled, its answers included (S10.2)."""
        self._outstanding[client] = max(0, self._outstanding[client] - 1)
        if self._outstanding[client] or client in self._unfenced:
            return
        for history in self._tasks.values():
            if history.terminal is None and client in history.asked:
                history.asked[client].pending = 0

    def _on_shutdown_response(self, peer: str, message: ClientShutdownResponse) -> None:
        self._closing = self._closing or message.accepted
        self._refused_shutdown = self._refused_shutdown or not message.accepted
        if self._shutdowns[peer] == 0 and peer not in self._incomprehensible:
            self._report("S11.6", f"{peer} got {describe(message, self._names)} without having asked")
        self._shutdowns[peer] -= 1

    def _on_dismissed(self, peer: str, said: str) -> None:
        if peer in self._registered - self._lost - self._incomprehensible:
            others = f"{peer} got {said} after the departure of {', '.join(sorted(self._lost))}"
            neither = f"{peer} got {said}, but had neither left nor been silent"
            self._dismissed.append(("S11.4", others) if self._lost else ("S9.1", neither))
        self._lose(peer)

    def finish(self) -> None:
        """At the end of the trace: whoever was told to leave had left or been silent, unless everybody was told."""
        if self._closing:
            return
        for requirement, happened in self._dismissed:
            self._report("S11.6" if self._refused_shutdown else requirement, happened)

    def _on_heard_by_client(self, client: str, entry: Entry, message: Message, history: _TaskHistory) -> None:
        said = describe(message, self._names)
        not_found = isinstance(message, TaskCancelConfirm) and (
            message.cancel_confirm_type == CancelConfirmType.CANCEL_NOT_FOUND
        )
        asked = history.asked.setdefault(client, _Asked())
        if client != history.owner:
            if not_found and asked.pending + asked.tasks > 0:
                if asked.pending:
                    asked.pending -= 1
                else:
                    asked.tasks -= 1
                return
            if not_found and client in self._incomprehensible:
                return
            if not isinstance(message, Task | TaskCancel):  # what is a worker's: S11.3
                self._report("S2.4", f"{client} does not own the task, but got {said}")
            return
        terminal = isinstance(message, TaskResult) or (
            isinstance(message, TaskCancelConfirm) and message.cancel_confirm_type != CancelConfirmType.CANCEL_FAILED
        )
        if history.terminal is None:
            if isinstance(message, TaskCancelConfirm):
                self._on_confirmed(client, entry, message, history)
            if not isinstance(message, TaskLog):
                history.round_opened = None
            if terminal:
                history.terminal = entry
                if isinstance(message, TaskCancelConfirm):
                    asked.pending = max(0, asked.pending - 1)
            return
        assert history.terminal.message is not None
        earlier = describe(history.terminal.message, self._names)
        if not_found and asked.pending > 0:
            asked.pending -= 1
        elif not_found and asked.tasks > 1:
            asked.tasks -= 1  # it has submitted the task again, and was refused
        elif terminal:
            self._report("S1.1", f"{client} got {said} after the terminal message {earlier}")
        else:
            self._report("S1.2", f"{client} got {said} after the terminal message {earlier}")

    def _on_confirmed(self, owner: str, entry: Entry, message: TaskCancelConfirm, history: _TaskHistory) -> None:
        """The owner is told `canceled` when a holder has said so or is lost, and nothing while a task is moved."""
        history.answers += 1
        if self._closing or any(self._shutdowns.values()) or owner in self._incomprehensible:
            return
        said = describe(message, self._names)
        unasked = history.answers > history.cancels
        if unasked and history.moving and owner not in self._lost:
            self._report("S7.2", f"{owner} got {said} of a move")
            return
        silent = sorted(worker for worker, since in history.holders.items() if since < entry.step)
        canceled = message.cancel_confirm_type == CancelConfirmType.CANCELED
        if canceled and silent and CancelConfirmType.CANCELED not in history.said:
            self._report("S4.4", f"{owner} got {said}, but {silent[0]} has the task and has not said so")

    def _on_heard_by_worker(self, worker: str, entry: Entry, message: Message, history: _TaskHistory) -> None:
        said = describe(message, self._names)
        if not isinstance(message, Task | TaskCancel):
            return  # for a worker of the other role's conduct: S11.3
        if history.terminal is not None and entry.step > history.terminal.step:
            assert history.terminal.message is not None
            earlier = describe(history.terminal.message, self._names)
            self._report("S1.2", f"{worker} got {said} after the owner got {earlier}")
        if isinstance(message, TaskCancel) and worker not in history.ever_held:
            self._report("S4.1", f"{worker} got {said} but was never assigned the task")
        if isinstance(message, TaskCancel):
            owner_is_there = history.owner not in self._lost | self._incomprehensible
            if message.force and not history.forced and owner_is_there and not self._closing:
                self._report("S7.1", f"{worker} got {said}, but nobody has sent one with force")
            history.moving = history.moving or (history.round_opened is None and owner_is_there)
            return
        history.moving = False
        if history.round_opened is not None and entry.step > history.round_opened:
            self._report("S7.8", f"{worker} got {said} while the owner's cancel was open")
        others = sorted(history.holders.keys() - {worker})
        if others:
            self._report("S8.2", f"{worker} got {said} while {others[0]} held it")
        elif worker in history.holders:
            self._report("S8.2", f"{worker} got {said} a second time")
        if worker not in history.holders:
            self._held[worker] += 1
        history.holders.setdefault(worker, entry.step)
        history.ever_held.add(worker)
        room = self._queue_size.get(worker)
        if room is not None and self._held[worker] > room:
            self._report("S8.2", f"{worker} holds {self._held[worker]} tasks, its queue size is {room}")

    def _submitted(self, client: str, task_id: bytes) -> None:
        history = self._history(task_id)
        history.owner = history.owner or client
        history.asked.setdefault(client, _Asked()).tasks += 1

    def _history(self, task_id: bytes) -> _TaskHistory:
        return self._tasks.setdefault(task_id, _TaskHistory())

    def _last_word(self, worker: str, task_id: bytes) -> None:
        history = self._history(task_id)
        if worker in history.holders:
            del history.holders[worker]
            self._held[worker] -= 1

    def _lose(self, peer: str) -> None:
        """It left, fell silent, or was told to leave: when the subject takes it as lost, the trace does not show."""
        self._lost.add(peer)
        for history in self._tasks.values():
            history.holders.pop(peer, None)
        self._held[peer] = 0
        self._queue_size.pop(peer, None)


def audit(trace: Sequence[Entry], names: Mapping[bytes, str], workers: Collection[str], report: Report) -> None:
    """Report each departure that the trace of a case shows. `workers` are the names of its workers."""
    reading = _Audit(names, workers, report)
    for entry in trace:
        reading.read(entry)
    reading.finish()
