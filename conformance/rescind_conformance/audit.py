"""The trace of a case for a scheduler, put to the judge: whatever the case is about, nothing else may be broken."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from rescind.messages import ClientDisconnect, ClientHeartbeatEcho, DisconnectType, WorkerDisconnectNotification
from rescind_conformance.judge.outside import Seen, Undecided, judge_from_outside
from rescind_conformance.judge.records import EventKind, EventRecord, MessageRecord, Violation
from rescind_conformance.judge.scheduler import SchedulerJudge
from rescind_conformance.trace import SCHEDULER, Entry

SILENT, DROPPED = "falls silent", "drops its connection"
"""Notes of peers that the scheduler may take as lost."""
RECONNECTS = "connects again under its routing id"
"""Note of one that comes back as it should not (T4)."""
LOST = "lost, since its connection has dropped"
"""Note of a message to a peer that is not there; only a machine's are known."""
STOPPED = "is asked to shut down"
"""Note of the scheduler itself."""
DRAINS = "is told to drain"
"""Another: it shuts down when nothing is left."""
EXITED = "has exited, and all that it sent has come"
"""Another."""
UNDECIDED = "is judged only in part: too many orders"
"""Note of the scheduler at the end of a trace."""
_UNREMARKABLE = (SILENT, DROPPED, RECONNECTS, "sends no heartbeat for a while", "sends no more heartbeats")

_SHUTDOWN = ClientDisconnect(DisconnectType.SHUTDOWN)


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
    trace: Sequence[Entry],
    names: Mapping[bytes, str],
    *,
    unheard: Iterable[str] = (),
    at_rest: bool,
    garbage_is_dropped: bool = False,
    goodbyes_may_be_late: bool = False,
) -> Audit:
    """What a scheduler broke for certain. What is sent to the peers in `unheard` may not all have come.

    A trace is judged up to where it does not show everything, or shows a frame that has no meaning: what that is
    answered is its case's business, unless `garbage_is_dropped`: each of them is one that must be dropped (M1, M3).
    `at_rest`: the trace ends when nothing is on its way any more. `goodbyes_may_be_late`: but for a worker's good-bye,
    if nothing that it sent later was a fence.
    """
    judged, complete = _judged(trace, garbage_is_dropped)
    placed = [*_seen(judged, goodbyes_may_be_late), *((_unseen(name), len(judged)) for name in unheard)]
    seen = [one for one, _ in placed]
    undecided = False
    try:
        findings = judge_from_outside(SchedulerJudge(names), seen, at_rest=at_rest and complete)
    except Undecided as reason:
        findings, undecided = list(reason.findings), True
    positions = [position for _, position in placed] + [len(judged)]
    return Audit([Placed(one.violation, positions[one.index]) for one in findings], undecided)


def first_broken(judge: Callable[[Sequence[Entry]], Audit], trace: Sequence[Entry]) -> Audit:
    """What a scheduler broke first; and beside echoes to clients that have left (S9.8), what else it broke first.

    What is found after a violation may come of it, and is not told. But such an echo changes nothing: the answer that
    it should have been is put in its place, and the trace is judged again.
    """
    found: list[Placed] = []
    mended = list(trace)
    while True:
        audit = judge(mended)
        if not audit.findings:
            break
        position = audit.findings[0].position
        found.append(audit.findings[0])
        if not changes_nothing(mended, position):
            break
        mended[position - 1] = replace(mended[position - 1], message=ClientDisconnect())
    return Audit(found, audit.undecided)


def changes_nothing(trace: Sequence[Entry], position: int) -> bool:
    """Whether what is broken at this place is an echo to a client that has left: nothing depends on it."""
    echo = trace[position - 1]
    left = any(one.sender == echo.receiver and one.message == ClientDisconnect() for one in trace[: position - 1])
    return left and isinstance(echo.message, ClientHeartbeatEcho)


class OnlineAudit:
    """Judges a trace that grows, at moments of rest, for as long as it is right in the very order in which it was seen.

    Cheap: each entry is read once. Frames without a meaning are ones that must be dropped.
    """

    def __init__(self, names: Mapping[bytes, str]) -> None:
        self._judge = SchedulerJudge(names)
        self._read = 0
        self._right = True

    def is_right(self, trace: Sequence[Entry]) -> bool:
        """Whether it is, up to its end now. Once it is not, other orders have to be looked for."""
        if self._right:
            before = {entry.sender for entry in trace[: self._read] if entry.note == DROPPED}
            seen = [one for one, _ in _seen(trace[self._read :], False, before) if not one.optional]
            self._read = len(trace)
            self._right = not any(self._judge.read(one.record) for one in seen) and not self._judge.rest()
        return self._right


def _judged(trace: Sequence[Entry], garbage_is_dropped: bool) -> tuple[Sequence[Entry], bool]:
    for index, entry in enumerate(trace):
        if entry.message is not None or entry.sender == SCHEDULER:
            continue
        if entry.receiver == SCHEDULER:
            if not garbage_is_dropped:
                return trace[:index], False
        elif entry.note not in _UNREMARKABLE:
            return trace[:index], False
    return trace, True


def _seen(
    trace: Sequence[Entry], goodbyes_may_be_late: bool, dropped_before: Iterable[str] = ()
) -> Iterator[tuple[Seen, int]]:
    dropped = set(dropped_before)
    last = {entry.sender: position for position, entry in enumerate(trace, start=1) if entry.sender != entry.receiver}
    for position, entry in enumerate(trace, start=1):
        if entry.note == DROPPED and entry.sender == entry.receiver:
            dropped.add(entry.sender)
        if entry.sender == SCHEDULER and entry.receiver in dropped:
            continue  # not everything that is sent to it can be seen, not even when it connects again
        for seen in _records(entry, position):
            good_bye = isinstance(entry.message, WorkerDisconnectNotification)
            late = goodbyes_may_be_late and good_bye and position == last[entry.sender]
            yield replace(seen, optional=True) if late else seen, position


def _records(entry: Entry, position: int) -> Iterator[Seen]:
    if entry.sender != entry.receiver:
        came = entry.sender == SCHEDULER
        record = MessageRecord(SCHEDULER, entry.sender, entry.receiver, entry.message, entry.note)
        yield Seen(record, f"{entry.sender} to {entry.receiver}", came)
        if not came and entry.message == _SHUTDOWN:
            yield _hidden(EventRecord(SCHEDULER, EventKind.GRACE_OVER), f"grace {position}")
    elif entry.sender == SCHEDULER and entry.note in (STOPPED, DRAINS):
        if entry.note == DRAINS:
            yield _hidden(EventRecord(SCHEDULER, EventKind.DRAIN_REQUESTED), "drain")
        yield _hidden(EventRecord(SCHEDULER, EventKind.CLOSE_REQUESTED), "close")
        yield _hidden(EventRecord(SCHEDULER, EventKind.GRACE_OVER), "grace")
    elif entry.note in (SILENT, DROPPED):
        yield _unseen(entry.sender)
        yield _hidden(EventRecord(SCHEDULER, EventKind.PEER_LOST, peer=entry.sender), f"loss of {entry.sender}")


def _hidden(event: EventRecord, lane: str) -> Seen:
    return Seen(event, lane, came=False, optional=True)


def _unseen(peer: str) -> Seen:
    return Seen(EventRecord(SCHEDULER, EventKind.UNSEEN, peer=peer), f"unseen {peer}", came=False)
