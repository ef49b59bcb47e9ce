"""The trace of a case for a scheduler, put to the judge: whatever the case is about, nothing else may be broken."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rescind.messages import ClientDisconnect, DisconnectType
from rescind_conformance.judge.outside import Seen, Undecided, judge_from_outside
from rescind_conformance.judge.records import EventKind, EventRecord, MessageRecord, Violation
from rescind_conformance.judge.scheduler import SchedulerJudge
from rescind_conformance.trace import SCHEDULER, Entry

SILENT, DROPPED = "falls silent", "drops its connection"
"""Notes of peers that the scheduler may take as lost."""


class Placed(NamedTuple):
    """A violation in a trace."""

    violation: Violation
    position: int
    """How many entries of the trace it takes."""


@dataclass(frozen=True, slots=True)
class Audit:
    """What a trace shows."""

    findings: Sequence[Placed]
    undecided: bool
    """There were too many possible orders to judge it to the end."""


def judge_scheduler_of(
    trace: Sequence[Entry], names: Mapping[bytes, str], *, unheard: Iterable[str] = (), at_rest: bool
) -> Audit:
    """What a scheduler broke for certain. What is sent to the peers in `unheard` may not all have come.

    A trace is judged up to where it does not show everything, or shows a frame that has no meaning: what that is
    answered is its case's business. `at_rest`: the trace ends when nothing is on its way any more.
    """
    judged, complete = _judged(trace)
    placed = [*_seen(judged), *((_unseen(name), len(judged)) for name in unheard)]
    seen = [one for one, _ in placed]
    undecided = False
    try:
        findings = judge_from_outside(SchedulerJudge(names), seen, at_rest=at_rest and complete)
    except Undecided as reason:
        findings, undecided = list(reason.findings), True
    positions = [position for _, position in placed] + [len(judged)]
    return Audit([Placed(one.violation, positions[one.index]) for one in findings], undecided)


def _judged(trace: Sequence[Entry]) -> tuple[Sequence[Entry], bool]:
    known_notes = (SILENT, DROPPED, "sends no heartbeat for a while", "sends no more heartbeats")
    for index, entry in enumerate(trace):
        if entry.message is not None or entry.sender == SCHEDULER:
            continue
        if entry.receiver == SCHEDULER or entry.note not in known_notes:
            return trace[:index], False
    return trace, True


def _seen(trace: Sequence[Entry]) -> Iterator[tuple[Seen, int]]:
    for position, entry in enumerate(trace, start=1):
        for seen in _records(entry, position):
            yield seen, position


def _records(entry: Entry, position: int) -> Iterator[Seen]:
    if entry.sender == entry.receiver == SCHEDULER:
        yield _hidden(EventRecord(SCHEDULER, EventKind.CLOSE_REQUESTED), "close")
        yield _hidden(EventRecord(SCHEDULER, EventKind.GRACE_OVER), "grace")
    elif entry.sender == entry.receiver and entry.note in (SILENT, DROPPED):
        yield _unseen(entry.sender)
        yield _hidden(EventRecord(SCHEDULER, EventKind.PEER_LOST, peer=entry.sender), f"loss of {entry.sender}")
    elif entry.sender != entry.receiver:
        came = entry.sender == SCHEDULER
        record = MessageRecord(SCHEDULER, entry.sender, entry.receiver, entry.message, entry.note)
        yield Seen(record, f"{entry.sender} to {entry.receiver}", came)
        if entry.message == ClientDisconnect(DisconnectType.SHUTDOWN) and not came:
            yield _hidden(EventRecord(SCHEDULER, EventKind.GRACE_OVER), f"grace {position}")


def _hidden(event: EventRecord, lane: str) -> Seen:
    return Seen(event, lane, came=False, optional=True)


def _unseen(peer: str) -> Seen:
    return Seen(EventRecord(SCHEDULER, EventKind.UNSEEN, peer=peer), f"unseen {peer}", came=False)
