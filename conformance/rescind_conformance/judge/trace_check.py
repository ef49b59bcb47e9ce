"""Judges a recorded trace (conformance/TRACES.md): each party whose records are in it, and its peers from outside."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from rescind.messages import (
    ClientHeartbeat,
    GraphTask,
    Task,
    TaskCancel,
    TaskResult,
    WorkerDisconnectNotification,
    WorkerHeartbeat,
)
from rescind.trace import TraceEvent, TraceRecord
from rescind_conformance.judge.client import CLIENT_EVENTS, ClientJudge
from rescind_conformance.judge.outside import Seen, Undecided, judge_from_outside
from rescind_conformance.judge.records import (
    SCHEDULER,
    EventKind,
    EventRecord,
    MessageRecord,
    PartyJudge,
    Record,
    Violation,
)
from rescind_conformance.judge.scheduler import SchedulerJudge
from rescind_conformance.judge.trace_events import event_record
from rescind_conformance.judge.worker import WORKER_EVENTS, WorkerJudge

_SAYS = {
    "client": (ClientHeartbeat, Task, GraphTask, TaskCancel),
    "worker": (WorkerHeartbeat, TaskResult, WorkerDisconnectNotification),
}
"""By what they send, peers are known for what they are; else by how their names begin."""


class BadTrace(Exception):
    """A record that makes no sense; the text names its line."""


@dataclass(frozen=True, slots=True)
class Found:
    """A violation in a trace."""

    line: int
    """Of the record at which it is certain; the number of lines if that is the end."""
    party: str
    violation: Violation


@dataclass(slots=True)
class TraceCheck:
    """Reads a trace record by record. Not thread-safe.

    A party with records of its own is judged as it goes; one that is only seen by others at the end (`finish`).
    """

    all_peers: bool = False
    """The trace has the records of all the scheduler's peers, so that a scheduler can be judged by them."""
    names: dict[bytes, str] = field(default_factory=dict)
    """Names for tasks: T1, T2... in the order in which they come."""
    lines: int = 0
    undecided: list[str] = field(default_factory=list)
    """Parties that could not be judged to the end, since too many orders are possible."""
    unjudged: dict[str, str] = field(default_factory=dict)
    """Parties that could not be judged at all, and why."""
    _judges: dict[str, PartyJudge] = field(default_factory=dict)
    _records: list[tuple[int, Record]] = field(default_factory=list)
    _former: set[str] = field(default_factory=set)
    """Who has spoken to an earlier life of the scheduler."""
    _present: set[str] = field(default_factory=set)
    """Who has spoken to it at all."""
    _resuming: set[str] = field(default_factory=set)
    """Who has gone on under its routing id."""

    @property
    def judged(self) -> list[str]:
        """The parties with records of their own."""
        return list(self._judges)

    def feed(self, record: TraceRecord | TraceEvent) -> list[Found]:
        """Take the next record; what its party has broken by then. Raises `BadTrace`."""
        self.lines += 1
        read = self._understood(record)
        self._records.append((self.lines, read))
        if isinstance(read, EventRecord) and read.event is EventKind.SCHEDULER_STARTED:
            self._former |= self._present
            self._judges[SCHEDULER] = self._judge(SCHEDULER, read)
            return []
        if read.at not in self._judges:
            self._judges[read.at] = self._judge(read.at, read)
        found = [Found(self.lines, read.at, one) for one in self._judges[read.at].read(read)]
        if isinstance(read, MessageRecord) and read.at == SCHEDULER == read.receiver:
            found += self._resumed(read.sender)
        return found

    def finish(self, *, at_rest: bool) -> list[Found]:
        """The trace has ended: what is found then. `at_rest`: nothing was on its way any more."""
        found = []
        if at_rest:
            for party, judge in self._judges.items():
                found += [Found(self.lines, party, one) for one in judge.rest()]
        for party in self.others():
            if party == SCHEDULER and not self.all_peers:
                self.unjudged[party] = "it has no records of its own; --all-peers if each of its peers has"
            elif party != SCHEDULER and not role_of(party, [record for _, record in self._records]):
                self.unjudged[party] = "nothing tells whether it is a client or a worker"
            else:
                found += self._from_outside(party, at_rest)
        return found

    def others(self) -> list[str]:
        """The parties that have no records of their own."""
        ends = {
            name
            for _, record in self._records
            if isinstance(record, MessageRecord)
            for name in (record.sender, record.receiver)
        }
        return sorted(ends - self._judges.keys())

    def _resumed(self, peer: str) -> Iterator[Found]:
        """Whether it goes on with a scheduler that was started anew; told once."""
        if peer in self._former and peer not in self._resuming:
            self._resuming.add(peer)
            yield Found(self.lines, peer, Violation("T4", f"{peer} goes on under its routing id at the next scheduler"))
        self._present.add(peer)

    def _from_outside(self, party: str, at_rest: bool) -> Iterator[Found]:
        seen = list(self._unseen_events()) if party == SCHEDULER else []
        lines = [0] * len(seen)
        for line, record in self._records:
            if isinstance(record, MessageRecord) and party in (record.sender, record.receiver):
                own = MessageRecord(party, record.sender, record.receiver, record.message, record.note)
                seen.append(Seen(own, f"{record.sender} to {record.receiver}", came=record.sender == party))
                lines.append(line)
        judge = self._judge(party, None)
        # What an earlier life of the scheduler has sent may not have come, and nobody waits for an answer.
        at_rest = at_rest and party not in self._former
        try:
            findings = judge_from_outside(judge, seen, at_rest=at_rest)
        except Undecided as undecided:
            self.undecided.append(party)
            findings = list(undecided.findings)
        for finding in findings:
            line = lines[finding.index] if finding.index < len(lines) else self.lines
            yield Found(line, party, finding.violation)

    def _unseen_events(self) -> Iterator[Seen]:
        """What may have happened at a scheduler at any moment, or not at all (S9.1, S9.10)."""
        events = [EventRecord(SCHEDULER, kind) for kind in (EventKind.CLOSE_REQUESTED, EventKind.GRACE_OVER)]
        events += [EventRecord(SCHEDULER, EventKind.PEER_LOST, peer=peer) for peer in self.judged]
        dropped = {record.at for _, record in self._records if _has_dropped(record)}
        events += [EventRecord(SCHEDULER, EventKind.UNSEEN, peer=peer) for peer in sorted(dropped)]
        for event in events:
            yield Seen(event, f"{event.event} {event.peer}", came=False, optional=event.event is not EventKind.UNSEEN)

    def _judge(self, party: str, first: Record | None) -> PartyJudge:
        """A judge of this party, which has these records; None: seen from outside, so without its events."""
        if party == SCHEDULER:
            return SchedulerJudge(self.names)
        role = role_of(party, [first] if first is not None else [record for _, record in self._records])
        if role == "client":
            return ClientJudge(CLIENT_EVENTS if first is not None else (), self.names)
        if role == "worker":
            return WorkerJudge(WORKER_EVENTS if first is not None else (), self.names)
        raise BadTrace(f"line {self.lines}: it cannot be told whether {party} is a client or a worker")

    def _understood(self, record: TraceRecord | TraceEvent) -> Record:
        if isinstance(record, TraceRecord):
            at = record.at or SCHEDULER
            if at not in (record.sender, record.receiver):
                raise BadTrace(f"line {self.lines}: {at} neither sent nor received it")
            if SCHEDULER not in (record.sender, record.receiver):
                raise BadTrace(f"line {self.lines}: it is neither to nor from the {SCHEDULER}")
            if isinstance(record.message, Task):
                self.names.setdefault(record.message.task_id, f"T{len(self.names) + 1}")
            return MessageRecord(at, record.sender, record.receiver, record.message, record.note)
        try:
            return event_record(record)
        except ValueError as error:
            raise BadTrace(f"line {self.lines}: {error}") from error


def _has_dropped(record: Record) -> bool:
    """Whether a peer has lost its connection: what was sent to it then is not in the trace (T4)."""
    if not isinstance(record, EventRecord):
        return False
    return record.event is EventKind.SCHEDULER_LOST and record.outcome == "dropped"


def role_of(party: str, records: Sequence[Record]) -> str:
    """ "client" or "worker", "" if nothing tells."""
    for record in records:
        if isinstance(record, EventRecord) and (record.event in CLIENT_EVENTS) != (record.event in WORKER_EVENTS):
            return "client" if record.event in CLIENT_EVENTS else "worker"
        if isinstance(record, MessageRecord) and record.sender == party:
            for role, kinds in _SAYS.items():
                if isinstance(record.message, kinds):
                    return role
    return {"Client": "client", "Worker": "worker"}.get(party.partition("|")[0], "")
