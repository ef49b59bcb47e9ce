"""The trace of a client behind its adapter, put to the judge.

Messages and calls are known only from outside: a message was handled after it was sent, `settled` was told after it
was true, a call was made after the command for it. What nobody tells of, as that a time limit is reached, may have
happened at any moment from which on it can have.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from rescind.messages import ClientDisconnect, ClientHeartbeatEcho, GraphTask, Task, TaskCancel
from rescind_conformance.audit import Audit
from rescind_conformance.audit_peer import INCOMING, LOSS, OUTGOING, Life, Lives, by_then, record_of
from rescind_conformance.judge.client import ClientJudge
from rescind_conformance.judge.records import EventKind, EventRecord, MessageRecord
from rescind_conformance.trace import SCHEDULER, Entry

SUBJECT: Final = "C1"
LIMITED, HANDLED = "time limit", "has handled everything so far"
"""What the trace says of a call that has a time limit, and of a fence."""
FALLS_SILENT, DROPS = "falls silent", "drops its connections and comes back"
"""What it says of the scheduler that the suite plays."""
RETURNS, RESUMES = "comes back under another routing id", "comes back under the routing id of the dropped connection"
"""What it says of the subject."""
_EVENTS: Final = (
    EventKind.CANCEL_CALLED,
    EventKind.CANCEL_RETURNED,
    EventKind.CANCELLED_CALLED,
    EventKind.CANCELLED_RETURNED,
    EventKind.TIME_LIMIT,
    EventKind.SETTLED,
    EventKind.DISCONNECT_CALLED,
    EventKind.SCHEDULER_LOST,
)
_CALLED: Final = (EventKind.CANCEL_CALLED, EventKind.CANCELLED_CALLED)
_RETURNED: Final = (EventKind.CANCEL_RETURNED, EventKind.CANCELLED_RETURNED)


def judge_client_of(
    trace: Sequence[Entry],
    names: Mapping[bytes, str],
    *,
    features: Collection[str],
    at_rest: bool,
) -> Audit:
    """What a client broke for certain, under each of its routing ids.

    `features` are its adapter's. Frames that have no meaning are ones that must be dropped (M1, M3). `at_rest`: the
    trace ends when nothing is on its way any more.
    """
    lives = _Reader(trace, free_force="force" not in features).lives
    return lives.judge(lambda: ClientJudge(_EVENTS, names), at_rest=at_rest, end=len(trace))


@dataclass(frozen=True, slots=True)
class _Called:
    """A call that has been read."""

    like: tuple[EventKind, bytes, bool, bool | None]
    """Calls that differ in when they were made and returned only."""
    returned: int
    """The position of its return, or of the trace's end."""
    index: int
    """In what was seen of that life."""


class _Reader:
    """Reads a trace twice: first how calls return, then everything in order."""

    def __init__(self, trace: Sequence[Entry], *, free_force: bool) -> None:
        """`free_force`: the client chooses the force of its TaskCancels."""
        self.lives = Lives()
        self._free_force = free_force
        self._loss: int | None = None
        """Since the connection was dropped: the index of that in what was seen of that life."""
        self._calls: list[_Called] = []
        self._submitted: dict[bytes, int] = {}
        """By task: the index of its Task in what was seen of its life."""
        self._callers: dict[bytes, int] = {}
        """By task that nobody else cancels: the index of the first call of its `cancel()`."""
        self._unseen_callers: set[bytes] = set()
        """Tasks that a done-callback cancels."""
        self._end = len(trace)
        self._returns: dict[int, tuple[int, bool]] = {}
        """By call: where it returns, and what."""
        for position, entry in enumerate(trace, start=1):
            if entry.event is not None and entry.event.event in _RETURNED:
                self._returns[entry.event.call] = (position, entry.event.value)
        for position, entry in enumerate(trace, start=1):
            record = record_of(entry, SUBJECT)
            if isinstance(record, EventRecord):
                self._take_event(record, entry, position)
            elif isinstance(record, MessageRecord):
                self._take_message(record, position)
            else:
                self._take_note(entry, position)

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
        elif entry.note.startswith(HANDLED):
            echo = MessageRecord(SUBJECT, SCHEDULER, SUBJECT, ClientHeartbeatEcho())
            life.add(echo, INCOMING, position, came=True)

    def _take_event(self, record: EventRecord, entry: Entry, position: int) -> None:
        life = self.lives.of(record)
        match record.event:
            case EventKind.SETTLED:
                submitted = self._submitted.get(record.task)
                life.add(record, f"settled {record.task.hex()}", position, came=True, after=submitted)
            case EventKind.DISCONNECT_CALLED:
                returned = record.value
                if not returned:
                    life.may_miss()
                life.add(record, "disconnect", position, came=returned)
            case EventKind.RESULT_RELEASED:
                life.add(record, f"release {position}", position, came=True)
            case EventKind.UNSEEN:
                self._unseen_callers.add(record.task)
                self._callers.pop(record.task, None)
            case kind if kind in _CALLED:
                self._take_call(life, replace(record, force=record.force and not self._free_force), position)
                if LIMITED in entry.note:
                    limit = EventRecord(SUBJECT, EventKind.TIME_LIMIT, task=record.task)
                    life.add(limit, f"limit {record.call}", position, optional=True)
            case _:
                life.add(record, f"call {record.call}", position, came=True)

    def _take_call(self, life: Life, record: EventRecord, position: int) -> None:
        """Of calls that are alike, one that was made first and returns first may as well have been the first."""
        returned, value = self._returns.get(record.call, (self._end, None))
        like = (record.event, record.task, record.force, value)
        before = [one for one in self._calls if one.like == like and one.returned <= returned]
        after = before[-1].index if before else None
        index = life.add(record, f"call {record.call}", position, after=after)
        if record.event is EventKind.CANCEL_CALLED and not (life.leaving or record.task in self._unseen_callers):
            self._callers.setdefault(record.task, index)
        self._calls.append(_Called(like, returned, index))

    def _take_message(self, record: MessageRecord, position: int) -> None:
        if record.sender == SUBJECT:
            if self._free_force and isinstance(record.message, TaskCancel):
                record = replace(record, message=TaskCancel(record.message.task_id))
            after = self._callers.get(record.message.task_id) if isinstance(record.message, TaskCancel) else None
            index = self.lives.of(record).add(record, OUTGOING, position, came=True, after=after)
            if isinstance(record.message, Task | GraphTask):
                for task_id in getattr(record.message, "targets", (record.message.task_id,)):
                    self._submitted.setdefault(task_id, index)
        elif self._loss is None:  # else it is sent to nobody
            life = self.lives.present
            life.add(record, INCOMING, position, optional=life.leaving)
            life.leaving = life.leaving or isinstance(record.message, ClientDisconnect)
