"""What a suite sees of the life of a client or of a worker (`judge_walks`): later what it does, and earlier what it
handles, and of some things nothing.
"""

from __future__ import annotations

import random
from collections.abc import Sequence, Set
from dataclasses import replace

from judge_walks import NAMES

from rescind.messages import ClientHeartbeat, Task, WorkerHeartbeat
from rescind_conformance.audit import Audit
from rescind_conformance.audit_client import DROPS, FALLS_SILENT, LIMITED, judge_client_of
from rescind_conformance.audit_worker import STILL_RUNS, judge_worker_of
from rescind_conformance.judge.records import EventKind, EventRecord, MessageRecord, Record
from rescind_conformance.trace import SCHEDULER, Entry

UNSEEN = (EventKind.TIME_LIMIT, EventKind.RESULT_RELEASED, EventKind.PROCESS_ENDED)
"""What no suite is told of. Of processes it is, if it asks."""
CALLS = (EventKind.CANCEL_CALLED, EventKind.CANCELLED_CALLED)
COMMANDS = (*CALLS, EventKind.DISCONNECT_CALLED, EventKind.LEAVE_REQUESTED, EventKind.FINISHED)
"""What happens since the suite says so; that a function returns, too."""
_MOMENT = 1e-6


def seen_of(records: Sequence[Record], delay: float, chance: random.Random) -> list[Entry]:
    """The same life as the trace of a case. Each thing takes so many records at most until it is handled or seen."""
    party = records[0].at
    limited = {one.task for one in records if isinstance(one, EventRecord) and one.event is EventKind.TIME_LIMIT}
    view = _View(party, delay, chance, limited)
    for index, record in reversed(list(enumerate(records))):
        if _is_handled(record):
            view.handled(index, record)
    for index, record in enumerate(records):
        if not (_is_handled(record) or (isinstance(record, EventRecord) and record.event in UNSEEN)):
            view.done(index, record)
    if party == "W1":
        _ask_for_processes(records, view, chance)
    first = ClientHeartbeat() if party == "C1" else WorkerHeartbeat(queue_size=10)
    return [Entry(0, party, SCHEDULER, first), *view.trace()]


def judged(trace: Sequence[Entry], *, at_rest: bool) -> Audit:
    """What the audit of this role finds. Bodies wait until they are released."""
    if trace[0].sender == "C1":
        return judge_client_of(trace, NAMES, features={"force"}, at_rest=at_rest)
    return judge_worker_of(trace, NAMES, dict.fromkeys(NAMES, "hold"), at_rest=at_rest)


def _is_handled(record: Record) -> bool:
    """Whether it begins outside."""
    if isinstance(record, EventRecord):
        return record.event in COMMANDS or record.event is EventKind.SCHEDULER_LOST
    return record.receiver == record.at


class _View:
    def __init__(self, party: str, delay: float, chance: random.Random, limited: Set[bytes]) -> None:
        """`limited`: calls for these tasks have a time limit."""
        self._party, self._delay, self._chance, self._limited = party, delay, chance, limited
        self._times: list[tuple[float, Entry]] = []
        self._last: dict[str, float] = {}
        """By lane."""

    def handled(self, index: int, record: Record) -> None:
        """It began earlier; what comes after it in its lane was told before."""
        lane = _lane(record)
        time = min(self._last.get(lane, index) - _MOMENT, index - self._chance.random() * self._delay)
        self._last[lane] = time
        self.add(time, record)

    def done(self, index: int, record: Record) -> None:
        """It is seen later."""
        lane = f"done {_lane(record)}"
        time = max(self._last.get(lane, index), index + self._chance.random() * self._delay)
        self._last[lane] = time
        self.add(time, record)

    def add(self, time: float, record: Record) -> None:
        self._times.append((time, _entry(record, self._party, self._limited)))

    def trace(self) -> list[Entry]:
        """In the order of the suite's clock. What was on its way when the connection dropped is lost."""
        trace = [entry for _, entry in sorted(self._times, key=lambda one: one[0])]
        drop = next((position for position, entry in enumerate(trace) if entry.note == DROPS), len(trace))
        return [*trace[:drop], *(one for one in trace[drop:] if one.sender == one.receiver)]


def _lane(record: Record) -> str:
    if isinstance(record, MessageRecord) or record.event is EventKind.SCHEDULER_LOST:
        return "messages"
    return f"{record.task.hex()} {record.call}"


def _entry(record: Record, party: str, limited: Set[bytes]) -> Entry:
    if isinstance(record, MessageRecord):
        sender = party if record.sender == party else SCHEDULER
        receiver = SCHEDULER if record.sender == party else party
        return Entry(0, sender, receiver, record.message, record.note)
    if record.event is EventKind.SCHEDULER_LOST:
        return Entry(0, SCHEDULER, SCHEDULER, None, DROPS if record.outcome == "dropped" else FALLS_SILENT)
    limit = f", {LIMITED} 1 s" if record.event in CALLS and record.task in limited else ""
    note = f"{record.event}{limit}"
    return Entry(0, party, party, None, note, event=record)


def _ask_for_processes(records: Sequence[Record], view: _View, chance: random.Random) -> None:
    """Sometimes the suite asks whether the process of a task exists, which is answered for that very moment."""
    began: dict[bytes, int] = {}
    for index, record in enumerate(records):
        if not isinstance(record, EventRecord):
            continue
        if record.event is EventKind.STARTED:
            began[record.task] = index
        elif record.event in (EventKind.PROCESS_ENDED, EventKind.FINISHED) and record.task in began:
            first = began[record.task]
            asked = EventRecord(record.at, EventKind.PROCESS_ENDED, task=record.task)
            if chance.random() < 0.3:
                time = chance.uniform(first, index)
                view.add(time, replace(asked, outcome=STILL_RUNS))
            if record.event is EventKind.PROCESS_ENDED:
                del began[record.task]
                again = (n for n in range(index, len(records)) if _assigns(records[n], record.task))
                if chance.random() < 0.5:
                    view.add(chance.uniform(index, next(again, len(records))), asked)


def _assigns(record: Record, task: bytes) -> bool:
    return isinstance(record, MessageRecord) and record.message == Task(task)
