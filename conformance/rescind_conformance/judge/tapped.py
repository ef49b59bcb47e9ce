"""Judges what a tap has seen: a trace of somebody between the scheduler and its peers, who has sent nothing himself.

A tap knows no party's own order. It knows the order in which messages came to it and went from it, and so both ends
are judged from outside: the scheduler by what it was given and what came from it, and so is each peer. As long as
the order that was seen breaks nothing, that is the proof that some order does not; only then are others looked for.

A record at which the scheduler seems to have broken something may be explained by a message that is still on its way
to the tap. So nothing is told of it before each peer that is there has had an echo to a later heartbeat: by then
whatever the scheduler had sent it has come (S10.2).
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from rescind.messages import (
    ClientDisconnect,
    ClientHeartbeat,
    ClientHeartbeatEcho,
    ClientShutdownResponse,
    DisconnectType,
    GraphTask,
    Task,
    TaskCancel,
    TaskCancelConfirm,
    WorkerHeartbeat,
    WorkerHeartbeatEcho,
)
from rescind.trace import TraceEvent, TraceRecord
from rescind_conformance.judge.client import ClientJudge
from rescind_conformance.judge.outside import Seen, Undecided, explain_from_outside, judge_from_outside
from rescind_conformance.judge.records import SCHEDULER, EventKind, EventRecord, MessageRecord, PartyJudge
from rescind_conformance.judge.scheduler import SchedulerJudge
from rescind_conformance.judge.trace_check import BadTrace, Found, role_of
from rescind_conformance.judge.worker import WorkerJudge

TAP = "tap"
"""The party that recorded, in a tap's trace."""
OPENED, CLOSED = "connection opened", "connection closed"
"""A tap's events."""

_LEGS = ("", "in", "out")
_CLOSES = EventRecord(SCHEDULER, EventKind.CLOSE_REQUESTED)
_GRACE_OVER = EventRecord(SCHEDULER, EventKind.GRACE_OVER)
_FORGETS_FROM = 1000
"""Records of a party that may be forgotten at once when nothing is on its way."""


@dataclass(slots=True)
class _Party:
    """What is known of one party."""

    name: str
    judge: PartyJudge
    """Has read all in an order that breaks nothing but what was found, unless there is a suspicion."""
    start: PartyJudge
    """Has read what was forgotten."""
    seen: list[Seen] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    events: list[EventRecord] = field(default_factory=list)
    """What may have happened unseen."""
    suspicion: int | None = None
    """The line at which the order in which it was seen breaks something that was not looked into yet."""
    told: set[tuple[int, str, str]] = field(default_factory=set)

    def add(self, line: int, record: MessageRecord) -> None:
        """Take a message; a suspicion if it breaks something as it was seen."""
        self.seen.append(Seen(record, f"{record.sender} to {record.receiver}", came=record.sender == self.name))
        self.lines.append(line)
        if self.suspicion is None and self.judge.read(record):
            self.suspicion = line

    def look(self, settled: int) -> list[Found]:
        """Look for an order that explains what was seen; what none explains and is certain. Raises `Undecided`.

        What was found at a line after `settled` may still be explained by what comes.
        """
        self.suspicion = None
        findings, self.judge = explain_from_outside(copy.deepcopy(self.start), self._all())
        certain = []
        for one in findings:
            line = self._line(one.index)
            key = (line, one.violation.requirement, one.violation.text)
            if line > settled:
                self.suspicion = line if self.suspicion is None else min(line, self.suspicion)
            elif key not in self.told:
                self.told.add(key)
                certain.append(Found(line, self.name, one.violation))
        return certain

    def at_rest(self) -> list[Found]:
        """What is missing, if nothing is on its way. Raises `Undecided`."""
        found = []
        for one in judge_from_outside(copy.deepcopy(self.start), self._all(), at_rest=True):
            line = self._line(one.index)
            if (line, one.violation.requirement, one.violation.text) not in self.told:
                found.append(Found(line, self.name, one.violation))
        return found

    def forget(self) -> None:
        """Nothing that was seen can be in another order with what comes."""
        self.start = copy.deepcopy(self.judge)
        self.seen, self.lines = [], []
        self.events = [one for one in self.events if one.event is not EventKind.UNSEEN]  # others may happen yet

    def _all(self) -> list[Seen]:
        optional = [
            Seen(one, f"{one.event} {one.peer}", came=False, optional=one.event is not EventKind.UNSEEN)
            for one in self.events
        ]
        return optional + self.seen

    def _line(self, index: int) -> int:
        index -= len(self.events)
        return self.lines[max(0, index)] if index < len(self.lines) else self.lines[-1]


@dataclass(slots=True)
class _Fences:
    """How far what the scheduler has sent must have come."""

    heartbeats: dict[str, deque[int]] = field(default_factory=dict)
    """By peer, at which lines the heartbeats went that were not answered."""
    answered: dict[str, int] = field(default_factory=dict)
    """By peer, at which line the last heartbeat went that was answered."""
    spoken: dict[str, int] = field(default_factory=dict)
    """By peer, at which line the last of its messages went."""

    def went(self, peer: str, message: object, line: int) -> None:
        """A peer's message has gone to the scheduler."""
        self.spoken[peer] = line
        self.answered.setdefault(peer, line - 1)
        if isinstance(message, ClientHeartbeat | WorkerHeartbeat):
            self.heartbeats.setdefault(peer, deque()).append(line)

    def came(self, peer: str, message: object) -> None:
        """A message has come to the tap for a peer."""
        waiting = self.heartbeats.get(peer)
        if waiting and isinstance(message, ClientHeartbeatEcho | WorkerHeartbeatEcho | ClientDisconnect):
            self.answered[peer] = waiting.popleft()

    def closed(self, peer: str) -> None:
        """Nothing more can come for it."""
        for each in (self.heartbeats, self.answered, self.spoken):
            each.pop(peer, None)

    def settled(self, now: int) -> int:
        """The last line before which all that the scheduler had sent has come."""
        return min(self.answered.values(), default=now)

    def all_handled(self) -> bool:
        """Whether the scheduler has handled all that went to it."""
        return all(self.answered[peer] >= line for peer, line in self.spoken.items())


class TappedCheck:
    """Reads a tap's trace, record by record, as it comes. Not thread-safe."""

    def __init__(self, all_peers: bool = False) -> None:
        """`all_peers`: all of the scheduler's peers connect through the tap, so that it can be judged."""
        self.names: dict[bytes, str] = {}
        """Names for tasks: T1, T2... in the order in which they come."""
        self.lines = 0
        self.undecided: list[str] = []
        """Parties that could not be judged to the end, since too many orders are possible."""
        self.unjudged: dict[str, str] = {}
        """Parties that could not be judged at all, and why; after `finish`."""
        self.unsure = 0
        """Violations found at the end that what was still on its way might have explained; after `finish`."""
        self._all_peers = all_peers
        self._parties: dict[str, _Party] = {}
        self._unknown: dict[str, list[tuple[int, MessageRecord]]] = {}
        """Of peers whose role nothing has told so far."""
        self._fences = _Fences()
        self._cancelled: set[bytes] = set()
        """Tasks of which a cancel has gone to the scheduler and no answer has come."""
        if all_peers:
            self._parties[SCHEDULER] = self._party(SCHEDULER, SchedulerJudge(self.names))

    @property
    def judged(self) -> list[str]:
        """The parties that are judged."""
        return list(self._parties)

    def feed(self, record: TraceRecord | TraceEvent) -> list[Found]:
        """Take the next record; what is certain by then. Raises `BadTrace` if it is not a tap's."""
        self.lines += 1
        if record.at != TAP:
            raise BadTrace(f"line {self.lines}: the trace of a tap has a record of {record.at or SCHEDULER}")
        if isinstance(record, TraceEvent):
            self._on_event(record)
            return list(self._certain())
        if SCHEDULER not in (record.sender, record.receiver) or record.leg not in _LEGS:
            raise BadTrace(f"line {self.lines}: it is neither to nor from the {SCHEDULER}, or has no such leg")
        self._on_message(record)
        return list(self._certain())

    def finish(self, *, at_rest: bool) -> list[Found]:
        """The trace has ended: what is certain then. `at_rest`: nothing was on its way any more."""
        found = list(self._certain())
        if at_rest:
            for party in list(self._parties.values()):
                if party.seen:
                    found += self._decided(party, None)
        for party in list(self._parties.values()):
            if party.suspicion is not None and not at_rest:
                settled = self._fences.settled(self.lines)
                found += self._decided(party, settled)
                self.unsure += party.suspicion is not None
        if not self._all_peers:
            self.unjudged[SCHEDULER] = "that needs --all-peers: that each of its peers connects through the tap"
        for peer in self._unknown:
            self.unjudged[peer] = "nothing tells whether it is a client or a worker"
        return found

    def _on_event(self, event: TraceEvent) -> None:
        peer = event.details.get("peer")
        if event.event not in (OPENED, CLOSED) or not isinstance(peer, str):
            raise BadTrace(f"line {self.lines}: a tap has no such event: {event.event!r}")
        if event.event == CLOSED:
            self._fences.closed(peer)
            if SCHEDULER in self._parties:
                # What the scheduler had sent it by then may not have come to the tap.
                unseen = EventRecord(SCHEDULER, EventKind.UNSEEN, peer=peer)
                self._parties[SCHEDULER].events.append(unseen)
                self._parties[SCHEDULER].judge.read(unseen)

    def _on_message(self, record: TraceRecord) -> None:
        if isinstance(record.message, Task):
            self.names.setdefault(record.message.task_id, f"T{len(self.names) + 1}")
        elif isinstance(record.message, GraphTask):
            for each in (record.message.task_id, *(node.task_id for node in record.message.graph)):
                self.names.setdefault(each, f"T{len(self.names) + 1}")
        to_scheduler = record.receiver == SCHEDULER
        peer = record.sender if to_scheduler else record.receiver
        at_scheduler, at_peer = (record.leg != "in", record.leg != "out")
        if not to_scheduler:
            at_scheduler, at_peer = at_peer, at_scheduler
        if at_peer:
            self._to_peers_judge(peer, record)
        if at_scheduler:
            if to_scheduler:
                self._fences.went(peer, record.message, self.lines)
            else:
                self._fences.came(peer, record.message)
            if SCHEDULER in self._parties:
                self._to_schedulers_judge(peer, record)

    def _to_schedulers_judge(self, peer: str, record: TraceRecord) -> None:
        party = self._parties[SCHEDULER]
        lost = EventRecord(SCHEDULER, EventKind.PEER_LOST, peer=peer)
        if lost not in party.events:
            party.events.append(lost)  # it may be, at any moment
        if _CLOSES not in party.events and self._shows_closing(record):
            party.events += [_CLOSES, _GRACE_OVER]
        self._read(party, MessageRecord(SCHEDULER, record.sender, record.receiver, record.message, record.note))

    def _shows_closing(self, record: TraceRecord) -> bool:
        """Whether a scheduler says this if it shuts down. Until then that is no explanation of anything: it would be
        told to workers, and to the owners of tasks, before the next fence.
        """
        message = record.message
        if isinstance(message, TaskCancel) and record.receiver == SCHEDULER:
            self._cancelled.add(message.task_id)
        if record.receiver == SCHEDULER:
            return False
        if isinstance(message, TaskCancelConfirm):
            asked = message.task_id in self._cancelled
            self._cancelled.discard(message.task_id)
            return not asked
        return isinstance(message, ClientShutdownResponse) or message == ClientDisconnect(DisconnectType.SHUTDOWN)

    def _to_peers_judge(self, peer: str, record: TraceRecord) -> None:
        one = MessageRecord(peer, record.sender, record.receiver, record.message, record.note)
        if peer in self._parties:
            self._read(self._parties[peer], one)
            return
        before = self._unknown.setdefault(peer, [])
        before.append((self.lines, one))
        role = role_of(peer, [each for _, each in before])
        if role:
            judge = ClientJudge((), self.names) if role == "client" else WorkerJudge((), self.names)
            self._parties[peer] = self._party(peer, judge)
            for line, each in self._unknown.pop(peer):
                self._parties[peer].add(line, each)

    def _party(self, name: str, judge: PartyJudge) -> _Party:
        return _Party(name, judge, copy.deepcopy(judge))

    def _read(self, party: _Party, record: MessageRecord) -> None:
        if party.name not in self.undecided:
            party.add(self.lines, record)

    def _certain(self) -> Iterator[Found]:
        for party in list(self._parties.values()):
            settled = self._fences.settled(self.lines) if party.name == SCHEDULER else self.lines
            if party.suspicion is not None and party.suspicion <= settled:
                yield from self._decided(party, settled)
            elif party.suspicion is None and len(party.seen) >= _FORGETS_FROM and self._fences.all_handled():
                party.forget()

    def _decided(self, party: _Party, settled: int | None) -> list[Found]:
        """What is certain, up to a line or (None) at rest; nothing any more if there are too many orders."""
        try:
            return party.at_rest() if settled is None else party.look(settled)
        except Undecided:
            self.undecided.append(party.name)
            party.suspicion = None
            party.seen, party.lines = [], []
            return []
