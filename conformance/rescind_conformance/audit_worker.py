"""The trace of a worker behind its adapter, put to the judge.

Of what runs only this is known: when a body was told to have begun, and whether its process existed when somebody
asked. That a function has returned, or a process has ended, may have happened at any moment from which on it can have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from rescind.messages import ArgumentType, ClientDisconnect, Task, TaskCancel, TaskResult, TaskResultType
from rescind_conformance.audit import Audit
from rescind_conformance.audit_client import DROPS, FALLS_SILENT, RESUMES, RETURNS
from rescind_conformance.audit_peer import INCOMING, LOSS, OUTGOING, Life, Lives, by_then, record_of
from rescind_conformance.judge.records import EventKind, EventRecord, MessageRecord
from rescind_conformance.judge.worker import WORKER_EVENTS, WorkerJudge
from rescind_conformance.peers import task_id_of
from rescind_conformance.trace import SCHEDULER, Entry

SUBJECT: Final = "W1"
STILL_RUNS: Final = "still runs"
"""`outcome` of a PROCESS_ENDED that has not happened: its process existed at that moment."""
FORMER: Final = "under the former routing id"
"""Note of a message that only a worker gets that comes back as it should not (T4)."""
UNREADABLE: Final = "unreadable"
"""What a task does whose function or arguments cannot be read: its body does not begin."""
_RETURNS_BY_ITSELF: Final = {"return": "returned", "raise": "raised", "unstorable": "raised"}


def judge_worker_of(
    trace: Sequence[Entry], names: Mapping[bytes, str], bodies: Mapping[bytes, str], *, at_rest: bool
) -> Audit:
    """What a worker broke for certain, under each of its routing ids. `bodies`: what its tasks do, by task id.

    Frames that have no meaning are ones that must be dropped (M1, M3). `at_rest`: the trace ends when nothing is on
    its way any more, and every body that can return by itself has.
    """
    lives = _Reader(trace, bodies).lives
    return lives.judge(lambda: WorkerJudge(WORKER_EVENTS, names), at_rest=at_rest, end=len(trace))


@dataclass(slots=True)
class _Known:
    """What is known of a task id; positions are those of entries."""

    assigned: list[int] = field(default_factory=list)
    started: list[int] = field(default_factory=list)
    told_to_end: int = 0
    """The last TaskCancel with force, or what had the worker leave."""
    ran: int = 0
    """When its process was seen last."""
    ended: int = 0
    """When, for the first time after that, there was none."""
    released: int = 0
    touched: int = 0
    """When it last was seen to run, asked to be cancelled, or spoken of."""
    died: bool = False
    """It was said that what ran it has died."""
    first: int | None = None
    """The index of its first Task in what was seen of that life."""

    begun: int | None = None
    """The index of its only start, if that is clear and was told by then."""
    supposed: list[int] = field(default_factory=list)
    """The indices of what can only come after that."""

    @property
    def assigned_once(self) -> bool:
        """Whether it is clear which assignment something is about."""
        return len(self.assigned) == 1

    @property
    def runs_undisturbed(self) -> bool:
        """Whether it certainly has begun, and comes to its own end."""
        return self.assigned_once and bool(self.started) and not self.told_to_end


class _Reader:
    """Reads a trace twice: first what is known of each task, then everything in order."""

    def __init__(self, trace: Sequence[Entry], bodies: Mapping[bytes, str]) -> None:
        self.lives = Lives()
        self._bodies = dict(bodies)
        self._known: dict[bytes, _Known] = {}
        self._loss: int | None = None
        """Since the connection was dropped: the index of that in what was seen of that life."""
        for position, entry in enumerate(trace, start=1):
            self._learn(entry, position)
        for position, entry in enumerate(trace, start=1):
            record = record_of(entry, SUBJECT)
            if isinstance(record, EventRecord):
                self._take_event(record, position)
            elif isinstance(record, MessageRecord):
                self._take_message(record, position)
            else:
                self._take_note(entry, position)

    # --- what is known

    def _learn(self, entry: Entry, position: int) -> None:
        match entry.message:
            case Task(task_id, function_args=arguments) if entry.sender == SCHEDULER:
                known = self._known.setdefault(task_id, _Known())
                known.assigned.append(position)
                if any(argument.type not in set(ArgumentType) for argument in arguments):
                    self._bodies[task_id] = UNREADABLE
            case TaskCancel(task_id, True) if entry.sender == SCHEDULER and task_id in self._known:
                self._known[task_id].told_to_end = position
            case TaskResult(task_id, TaskResultType.FAILED_WORKER_DIED) if task_id in self._known:
                self._known[task_id].died = True
            case _ if _has_it_leave(entry):
                for each in self._known.values():
                    each.told_to_end = position
        if (about := task_id_of(entry.message)) in self._known and not isinstance(entry.message, Task):
            self._known[about].touched = position
        if entry.event is not None and entry.event.task in self._known:
            self._learn_event(self._known[entry.event.task], entry.event, position)

    def _learn_event(self, known: _Known, event: EventRecord, position: int) -> None:
        if event.event is not EventKind.PROCESS_ENDED or event.outcome == STILL_RUNS or known.started:
            known.touched = position
        if event.event is EventKind.STARTED:
            known.started.append(position)
        elif event.event is EventKind.FINISHED:
            known.released = known.released or position
        elif event.event is EventKind.PROCESS_ENDED and event.outcome == STILL_RUNS:
            known.ran, known.ended = position, 0
        elif event.event is EventKind.PROCESS_ENDED and known.started:
            known.ended = known.ended or position

    # --- what was seen, and what may be supposed

    def _take_note(self, entry: Entry, position: int) -> None:
        life = self.lives.present
        if entry.sender == SCHEDULER and entry.note == DROPS:
            life.may_miss()
            self._loss = life.add(EventRecord(SUBJECT, EventKind.SCHEDULER_LOST, outcome="dropped"), LOSS, position)
        elif entry.sender == SCHEDULER and entry.note == FALLS_SILENT:
            life.add(EventRecord(SUBJECT, EventKind.SCHEDULER_LOST), LOSS, position, optional=True)
        elif entry.note in (RESUMES, RETURNS):
            if self._loss is not None:
                life.add(by_then(SUBJECT), OUTGOING, position, came=True, after=self._loss)
            if entry.note == RETURNS:
                self.lives.begin()
            self._loss = None

    def _take_event(self, record: EventRecord, position: int) -> None:
        life = self.lives.of(record)
        known = self._known.get(record.task, _Known())
        match record.event:
            case EventKind.STARTED:
                index = life.add(record, f"start {position}", position, came=True, after=known.first)
                if known.assigned_once and known.started == [position]:
                    known.begun = index
                    for each in known.supposed:
                        life.wait_for(each, index)
            case EventKind.LEAVE_REQUESTED | EventKind.DRAIN_REQUESTED:
                life.add(record, "leave", position)
            case EventKind.FINISHED if not self._returns(record.task):
                optional = not (position == known.released and known.runs_undisturbed)
                self._suppose_what(known, life, record, f"finish {position}", position, optional, known.first)
            case EventKind.PROCESS_ENDED if position == known.ran and known.assigned_once:
                self._suppose_end(record.task, known, known.assigned[0], position, known.first)
            case EventKind.PROCESS_ENDED if position == known.ended and known.assigned_once:
                life.add(by_then(SUBJECT, record.task), f"end {known.assigned[0]}", position, came=True)

    def _take_message(self, record: MessageRecord, position: int) -> None:
        if record.sender == SUBJECT:
            self.lives.of(record).add(record, OUTGOING, position, came=True)
        elif not (self._loss is not None or record.note == FORMER):  # else it is sent to nobody
            life = self.lives.present
            index = life.add(record, INCOMING, position)
            if isinstance(record.message, Task):
                task_id = record.message.task_id
                known = self._known[task_id]
                known.first = index if self.lives.assign(task_id) or known.first is None else known.first
                self._suppose(task_id, known, position, index)

    def _suppose(self, task_id: bytes, known: _Known, position: int, index: int) -> None:
        """What may become of an assignment, and nobody tells."""
        if known.touched < position:
            return  # nothing that was seen depends on it
        life = self.lives.present
        told_to_end = known.told_to_end > position
        untold = told_to_end or self._bodies.get(task_id) == UNREADABLE
        if untold and len(known.started) < len(known.assigned):
            started = EventRecord(SUBJECT, EventKind.STARTED, task=task_id)
            life.add(started, f"start {position}", position, optional=True, after=index)
        if outcome := self._returns(task_id):
            finished = EventRecord(SUBJECT, EventKind.FINISHED, task=task_id, outcome=outcome)
            optional = not known.runs_undisturbed
            self._suppose_what(known, life, finished, f"finish {position}", position, optional, index)
        ends = told_to_end or known.ended or known.died or self._bodies.get(task_id) == "die"
        if ends and not (known.assigned_once and known.ran > position):
            self._suppose_end(task_id, known, position, position, index)

    def _suppose_end(self, task_id: bytes, known: _Known, assigned: int, position: int, after: int | None) -> None:
        """What ran an assignment may have ended from this position on."""
        dies = self._bodies.get(task_id) == "die" and bool(known.started)
        certain = known.assigned_once and (known.ended > 0 or dies)
        ended = EventRecord(SUBJECT, EventKind.PROCESS_ENDED, task=task_id)
        life = self.lives.of(ended)
        self._suppose_what(known, life, ended, f"end {assigned}", position, not certain, after)

    def _suppose_what(
        self,
        known: _Known,
        life: Life,
        record: EventRecord,
        lane: str,
        position: int,
        optional: bool,
        after: int | None,
    ) -> None:
        """Something that comes after its start, or after its Task at least."""
        after = known.begun if known.begun is not None else after
        known.supposed.append(life.add(record, lane, position, optional=optional, after=after))

    def _returns(self, task_id: bytes) -> str:
        """How a body ends that ends by itself; "": it waits, or dies."""
        return _RETURNS_BY_ITSELF.get(self._bodies.get(task_id, ""), "")


def _has_it_leave(entry: Entry) -> bool:
    if entry.sender == SCHEDULER:
        return isinstance(entry.message, ClientDisconnect) or entry.note in (DROPS, FALLS_SILENT)
    return entry.event is not None and entry.event.event is EventKind.LEAVE_REQUESTED
