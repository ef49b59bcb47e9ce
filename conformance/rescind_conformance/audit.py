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

AUDITED = ("S1.1", "S1.2", "S2.4", "S4.1", "S7.8", "S8.2")
"""The requirements that the audit can find departures from."""

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
    holders: set[str] = field(default_factory=set)
    ever_held: set[str] = field(default_factory=set)
    asked: dict[str, _Asked] = field(default_factory=dict)


class _Audit:
    def __init__(self, names: Mapping[bytes, str], workers: Collection[str], report: Report) -> None:
        self._names = names
        self._workers = workers
        self._report = report
        self._tasks: dict[bytes, _TaskHistory] = {}
        self._queue_size: dict[str, int] = {}
        self._held: Counter[str] = Counter()
        self._outstanding: Counter[str] = Counter()
        self._incomprehensible: set[str] = set()
        """Peers that sent what the trace cannot name: what they asked, and may be answered, is not known."""

    def read(self, entry: Entry) -> None:
        if entry.message is None:
            if entry.sender == entry.receiver != SCHEDULER:
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
                if peer == history.owner and history.terminal is None and history.round_opened is None:
                    history.round_opened = entry.step
            case TaskResult(task_id):
                self._last_word(peer, task_id)
            case TaskCancelConfirm(task_id, kind):
                history = self._history(task_id)
                if peer in history.holders:
                    history.round_opened = None
                if kind in (CancelConfirmType.CANCELED, CancelConfirmType.CANCEL_NOT_FOUND):
                    self._last_word(peer, task_id)
            case WorkerHeartbeat():
                self._queue_size[peer] = message.queue_size
                self._outstanding[peer] += 1
            case WorkerDisconnectNotification() | ClientDisconnect():
                self._lose(peer)
            case _ if isinstance(message, Heartbeats):
                self._outstanding[peer] += 1

    def _on_heard(self, peer: str, entry: Entry, message: Message) -> None:
        if isinstance(message, Echoes):
            self._on_echo(peer)
        elif isinstance(message, ClientDisconnect):
            self._lose(peer)
        elif (task_id := task_id_of(message)) is not None:
            history = self._history(task_id)
            if peer in self._workers:
                self._on_heard_by_worker(peer, entry, message, history)
            else:
                self._on_heard_by_client(peer, entry, message, history)

    def _on_echo(self, client: str) -> None:
        """All that was sent before the heartbeat has been handled, its answers included (S10.2)."""
        self._outstanding[client] = max(0, self._outstanding[client] - 1)
        if self._outstanding[client]:
            return
        for history in self._tasks.values():
            if history.terminal is None and client in history.asked:
                history.asked[client].pending = 0

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
            self._report("S2.4", f"{client} does not own the task, but got {said}")
            return
        terminal = isinstance(message, TaskResult) or (
            isinstance(message, TaskCancelConfirm) and message.cancel_confirm_type != CancelConfirmType.CANCEL_FAILED
        )
        if history.terminal is None:
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
        elif terminal:
            self._report("S1.1", f"{client} got {said} after the terminal message {earlier}")
        else:
            self._report("S1.2", f"{client} got {said} after the terminal message {earlier}")

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
        if not isinstance(message, Task):
            return
        if history.round_opened is not None and entry.step > history.round_opened:
            self._report("S7.8", f"{worker} got {said} while the owner's cancel was open")
        others = sorted(history.holders - {worker})
        if others:
            self._report("S8.2", f"{worker} got {said} while {others[0]} held it")
        elif worker in history.holders:
            self._report("S8.2", f"{worker} got {said} a second time")
        if worker not in history.holders:
            self._held[worker] += 1
        history.holders.add(worker)
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
            history.holders.discard(worker)
            self._held[worker] -= 1

    def _lose(self, peer: str) -> None:
        """It left, fell silent, or was told to leave: when the subject takes it as lost, the trace does not show."""
        for history in self._tasks.values():
            history.holders.discard(peer)
        self._held[peer] = 0
        self._queue_size.pop(peer, None)


def audit(trace: Sequence[Entry], names: Mapping[bytes, str], workers: Collection[str], report: Report) -> None:
    """Report each departure that the trace of a case shows. `workers` are the names of its workers."""
    reading = _Audit(names, workers, report)
    for entry in trace:
        reading.read(entry)
