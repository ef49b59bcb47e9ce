"""Judges a party of which only its peers' view is known: what they sent to it and what came, in the order of one clock.

When a peer has sent a message, the party may not have handled it yet; when a message has come, it may have been sent
long before. So the order in which the party had its messages is not known, only that

- of one peer, what it sent was handled in that order, and what it got was sent in that order (T3);
- what had come before a message was sent to the party was sent by it before it handled that message.

A violation is reported only if every order that keeps to this has one. Time-outs and other events that nobody outside
sees may have happened at any moment from one that is given, or not at all.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

from rescind.messages import (
    ClientDisconnect,
    ClientHeartbeat,
    ClientHeartbeatEcho,
    ClientShutdownResponse,
    DisconnectType,
    Task,
    TaskCancel,
    TaskCancelConfirm,
    WorkerDisconnectNotification,
    WorkerHeartbeat,
    WorkerHeartbeatEcho,
)
from rescind_conformance.judge.records import EventRecord, MessageRecord, PartyJudge, Record, Violation

MOST_STEPS: Final = 20_000
"""So many records are read in search of an order; a trace that needs more is not judged to its end."""

_UNLIKELY: Final = 5
_ENDINGS = ClientDisconnect | ClientShutdownResponse | TaskCancelConfirm
"""What a shutdown may be why of."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One record of the party, as its peers know it: `record` says what the party did or what happened to it."""

    record: Record
    lane: str
    """Records of one lane are in order: what one peer sent, what one peer got."""
    came: bool
    """A peer has got it: the party sent it at that moment or earlier. Otherwise it is handled then or later."""
    optional: bool = False
    """It may not have happened."""
    after: int | None = None
    """The index of a record that the party had before it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A violation, and the index of what was seen when it was certain (the number of all, at rest)."""

    violation: Violation
    index: int


class Undecided(Exception):
    """There are too many orders; `findings` are those that were found before."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        super().__init__("too many orders are possible")
        self.findings = findings


@runtime_checkable
class Hurrying(Protocol):
    """A judge that knows what can only be too late, and never too early."""

    def may_hurry(self, record: Record) -> bool:
        """Whether an order that goes on with this record now breaks nothing if one with it later does not."""
        ...


def judge_from_outside(judge: PartyJudge, seen: Sequence[Seen], *, at_rest: bool) -> list[Finding]:
    """What every possible order of these records breaks. `judge` is used up.

    `at_rest`: nothing is on its way any more at the end. Raises `Undecided`.
    """
    return _Search(seen, at_rest).run(judge)


def explain_from_outside(judge: PartyJudge, seen: Sequence[Seen]) -> tuple[list[Finding], PartyJudge]:
    """As `judge_from_outside`, while it goes on; and a judge that has read all in an order that breaks no more."""
    search = _Search(seen, at_rest=False)
    findings = search.run(judge)
    return findings, search.reader


_Name = str | bytes
"""Of a peer, or the id of a task."""


@dataclass(slots=True)
class _Node:
    judge: PartyJudge
    done: tuple[int, ...]
    """How many records of each lane were read."""
    last: int = 0
    """What was read last."""


@dataclass(slots=True)
class _Choice:
    node: _Node
    others: Iterator[_Node]
    """What may follow it and was not tried yet."""
    chosen: frozenset[_Name]
    """Who and what the record is about that led to it."""
    conflict: frozenset[_Name]
    """Who and what is to do with it that nothing that followed it led to the end."""


class _Search:
    def __init__(self, seen: Sequence[Seen], at_rest: bool) -> None:
        self._seen = seen
        self._at_rest = at_rest
        self._steps = 0
        self._findings: list[Finding] = []
        self.reader: PartyJudge
        """After `run`: a judge that has read everything in the best order that there is."""
        lanes: dict[str, list[int]] = {}
        for index, one in enumerate(seen):
            lanes.setdefault(one.lane, []).append(index)
        self._lanes = list(lanes.values())
        self._numbers = {index: number for number, lane in enumerate(self._lanes) for index in lane}
        self._coming = [self._coming_in(lane) for lane in self._lanes]
        """By lane, and by how many of its records were read: the next that came."""
        self._ordinals = {index: ordinal for lane in self._lanes for ordinal, index in enumerate(lane)}
        messages = [one.record for one in seen if isinstance(one.record, MessageRecord)]
        self._only_peer = len({name for message in messages for name in (message.sender, message.receiver)}) <= 2
        self._involved: dict[_Name, set[_Name]] = {}
        """By task, who has sent it or was sent it."""
        for message in messages if not self._only_peer else ():
            if isinstance(message.message, Task):
                peers = self._involved.setdefault(message.message.task_id, set())
                peers |= {message.sender, message.receiver} - {message.at}
        peers_and_tasks: set[_Name] = {name for message in messages for name in (message.sender, message.receiver)}
        peers_and_tasks.update(task for one in seen if (task := _task_of(one.record)) is not None)
        self._everything = frozenset(peers_and_tasks)

    def _coming_in(self, lane: Sequence[int]) -> list[int]:
        coming = [len(self._seen)]
        for index in reversed(lane):
            coming.append(index if self._seen[index].came else coming[-1])
        return coming[::-1]

    def run(self, judge: PartyJudge) -> list[Finding]:
        """As it was seen, a trace is often right; else likely orders are tried, then all, and each record that none
        allows is found wrong.
        """
        for order in (self._as_fenced, self._as_seen):
            self.reader = copy.deepcopy(judge)
            if order(self.reader):
                return []
        node: _Node | None = _Node(judge, (0,) * len(self._lanes))
        while node is not None:
            if self._explore(node, likely=True) is None:
                break
            furthest = self._explore(node, likely=False)
            if furthest is None:
                break
            node = self._go_wrong(self._plainly(node, self._goal(furthest)) or furthest)
        return self._findings

    def _as_seen(self, judge: PartyJudge) -> bool:
        """Whether reading all in the order in which it was seen breaks nothing; what has to wait comes later."""
        return self._is_right(judge, sorted(range(len(self._seen)), key=self._earliest))

    def _as_fenced(self, judge: PartyJudge) -> bool:
        """Whether it breaks nothing if all that came after a message to the party was sent at once when it was handled,
        before the echoes of the heartbeats that fence it: to one peer it may have come later than the echo to another.
        """
        if any(one.after is not None for one in self._seen):
            return False
        order: list[int] = []
        later: list[int] = []
        echoed: set[str] = set()
        """The lanes of what is to come `later`: what they hold is in order."""
        known: set[str] = set()
        for index, one in enumerate(self._seen):
            beats = _beats(one.record)
            if one.came and one.lane not in echoed and not beats:
                order.append(index)
            elif one.came or (beats and one.lane in known):
                later.append(index)
                echoed.update([one.lane] if one.came else [])
            else:
                order += [*later, index]
                later.clear()
                echoed.clear()
                known.update([one.lane] if beats else [])
        return self._is_right(judge, [*order, *later])

    def _is_right(self, judge: PartyJudge, order: Sequence[int]) -> bool:
        """Whether reading all in this order breaks nothing."""
        if any(judge.read(self._seen[index].record) for index in order if not self._seen[index].optional):
            return False
        return not (self._at_rest and judge.rest())

    def _earliest(self, index: int) -> tuple[int, ...]:
        """A place among the indices: its own, or behind what it has to wait for."""
        before = self._seen[index].after
        return (index,) if before is None else max((index,), (*self._earliest(before), index))

    def _plainly(self, start: _Node, end: int) -> _Node | None:
        """What comes of reading all before `end` as it was seen; None if that breaks something, or does not do."""
        node = start
        while following := [index for index in self._choices(node, False) if not self._seen[index].optional]:
            index = min(following)
            if index >= end:
                break
            judge = copy.deepcopy(node.judge)
            if self._read(judge, index):
                return None
            node = self._after(node, judge, index)
        return node if self._goal(node) == end else None

    def _goal(self, node: _Node) -> int:
        """The first record of those that came and are not explained, or the number of all."""
        return min(came[done] for came, done in zip(self._coming, node.done, strict=True))

    def _explore(self, start: _Node, *, likely: bool) -> _Node | None:
        """Look for an order that breaks nothing more: None if there is one, else how far the best one comes."""
        furthest = start
        if self._is_over(start):
            self.reader = start.judge
            return None
        stack = [_Choice(start, self._children(start, likely), frozenset(), self._stake(start))]
        known = {start.done: stack[:]}
        while stack:
            choice = stack[-1]
            node = next(choice.others, None)
            if node is None:
                _give_up(stack, likely)
                continue
            if self._is_over(node):
                self.reader = node.judge
                return None
            if self._progress(node) > self._progress(furthest):
                furthest = node
            same = [other for other in known.get(node.done, ()) if _same(node.judge, other.node.judge)]
            if same:
                choice.conflict |= same[0].conflict
                continue
            chosen = self._names(self._seen[node.last].record)
            stack.append(_Choice(node, self._children(node, likely), chosen, self._stake(node)))
            known.setdefault(node.done, []).append(stack[-1])
        return furthest

    def _stake(self, node: _Node) -> frozenset[_Name]:
        """Who and what the record is about that has to be explained next."""
        index = self._goal(node)
        if index == len(self._seen):
            return self._everything
        goal = self._seen[index].record
        names = self._names(goal)
        if isinstance(goal, EventRecord):
            return names
        if isinstance(goal.message, ClientHeartbeatEcho | WorkerHeartbeatEcho):
            return names | {task for task, peers in self._involved.items() if goal.receiver in peers}
        return names.union(*(self._involved.get(name, ()) for name in names))

    def _names(self, record: Record) -> frozenset[_Name]:
        """Who and what a record is about; of what ends a peer, or all, everything that may be touched by it."""
        if isinstance(record, EventRecord):
            if record.task:
                return frozenset({record.task})
            peers = {record.peer} if record.peer else self._everything
        else:
            peers = {record.sender, record.receiver} - {record.at}
            if not isinstance(record.message, ClientDisconnect | WorkerDisconnectNotification):
                task = _task_of(record)
                if task is not None:
                    return frozenset({task} if self._only_peer else peers | {task})
                return frozenset(peers)
        if self._only_peer:
            return self._everything
        return frozenset(peers | {task for task, involved in self._involved.items() if peers & involved})

    def _is_over(self, node: _Node) -> bool:
        if self._goal(node) < len(self._seen):
            return False
        return all(self._need_not_be(node, index) for index in self._left(node)) and not (
            self._at_rest and copy.deepcopy(node.judge).rest()
        )

    def _need_not_be(self, node: _Node, index: int) -> bool:
        one = self._seen[index]
        return one.optional or (not one.came and self._waits(node, index))

    def _progress(self, node: _Node) -> tuple[int, int]:
        read = sum(done for done, lane in zip(node.done, self._lanes, strict=True) if not self._seen[lane[0]].optional)
        return self._goal(node), read

    def _children(self, node: _Node, likely: bool) -> Iterator[_Node]:
        """What may have come next and breaks nothing: the most promising first."""
        choices = self._choices(node, likely)
        if isinstance(node.judge, Hurrying):
            hurried = [index for index in choices if node.judge.may_hurry(self._seen[index].record)]
            choices = hurried[:1] or choices
        for index in choices:
            judge = copy.deepcopy(node.judge)
            if not self._read(judge, index):
                yield self._after(node, judge, index)

    def _after(self, node: _Node, judge: PartyJudge, index: int) -> _Node:
        number = self._numbers[index]
        return _Node(judge, (*node.done[:number], node.done[number] + 1, *node.done[number + 1 :]), index)

    def _go_wrong(self, node: _Node) -> _Node | None:
        """No order gets beyond this: take the next record as it was seen, and what it breaks for found."""
        certain = [index for index in sorted(self._choices(node, False)) if not self._seen[index].optional]
        if not certain:
            self.reader = node.judge
            self._findings += [Finding(one, len(self._seen)) for one in node.judge.rest()]
            return None
        judge = copy.deepcopy(node.judge)
        self._findings += [Finding(one, certain[0]) for one in judge.read(self._seen[certain[0]].record)]
        return self._after(node, judge, certain[0])

    def _left(self, node: _Node) -> list[int]:
        """The next record of each lane."""
        return [lane[done] for done, lane in zip(node.done, self._lanes, strict=True) if done < len(lane)]

    def _waits(self, node: _Node, index: int) -> bool:
        """Whether what comes before a record in another lane was not read."""
        before = self._seen[index].after
        return before is not None and node.done[self._numbers[before]] <= self._ordinals[before]

    def _choices(self, node: _Node, likely: bool) -> list[int]:
        """What the party may have had next.

        What came first has to be explained first: that it was sent now, or what the party has received before that
        and that concerns it, or that something else was sent; and what is not `likely`: anything else.
        """
        first = self._goal(node)
        possible = [
            index
            for index in self._left(node)
            if (self._seen[index].came or index < first) and not self._waits(node, index)
        ]
        if first == len(self._seen):
            return possible
        ranks = {index: self._rank(node, index, first) for index in possible}
        return sorted(
            (index for index in possible if not likely or ranks[index] < _UNLIKELY),
            key=lambda index: (ranks[index], index),
        )

    def _rank(self, node: _Node, index: int, first: int) -> int:
        if index == first:
            return 1
        if self._seen[index].came:
            sent = self._seen[index].record
            unasked = isinstance(sent, MessageRecord) and isinstance(sent.message, ClientDisconnect)
            return _UNLIKELY if unasked else 3
        number = self._numbers[index]
        goal = self._seen[first].record
        waiting = self._lanes[number][node.done[number] :]
        records = [self._seen[one].record for one in itertools.takewhile(lambda one: one < first, waiting)]
        if any(_asks_for(record, goal) for record in records):
            return 0
        concerned = any(self._concerns(record, goal) for record in records)
        return (4 if self._seen[index].optional else 2) if concerned else _UNLIKELY

    def _concerns(self, record: Record, goal: Record) -> bool:
        """Whether what the party received, or what happened to it, may be why it did something."""
        if self._only_peer or isinstance(goal, EventRecord):
            mentioned = _task_of(record)
            return mentioned is None or _task_of(goal) in (None, mentioned)
        about = _task_of(goal)
        involved = (goal.receiver, *(self._involved.get(about, ()) if about is not None else ()))
        if isinstance(record, EventRecord):
            return record.peer in involved if record.peer else isinstance(goal.message, _ENDINGS)
        if isinstance(record.message, ClientDisconnect | WorkerDisconnectNotification):
            shutdown = record.message == ClientDisconnect(DisconnectType.SHUTDOWN)
            return record.sender in involved or (shutdown and isinstance(goal.message, _ENDINGS))
        return record.sender == goal.receiver or (about is not None and about == _task_of(record))

    def _read(self, judge: PartyJudge, index: int) -> list[Violation]:
        self._steps += 1
        if self._steps > MOST_STEPS:
            raise Undecided(self._findings)
        return judge.read(self._seen[index].record)


def _give_up(stack: list[_Choice], likely: bool) -> None:
    """Nothing that was tried after the last choice leads to the end: choose otherwise before it. If only likely orders
    are looked for, a choice that has nothing to do with it stands.
    """
    failed = stack.pop()
    conflict = failed.conflict
    while stack:
        stack[-1].conflict |= conflict
        if not likely or failed.chosen & conflict:
            return
        failed = stack.pop()


def _asks_for(record: Record, goal: Record) -> bool:
    """Whether what the party received is most likely why it sent something that it could have sent unasked."""
    about = _task_of(goal)
    if isinstance(record, EventRecord):
        return bool(record.task) and record.task == about
    if not isinstance(goal, MessageRecord):
        return False
    match goal.message:
        case TaskCancel():
            return isinstance(record.message, TaskCancel) and _task_of(record) == about
        case TaskCancelConfirm() if record.sender == goal.receiver:
            return isinstance(record.message, TaskCancel | Task) and _task_of(record) == about
        case ClientDisconnect() if record.sender == goal.receiver:
            return isinstance(record.message, ClientHeartbeat | WorkerHeartbeat)
        case _:
            return False


def _beats(record: Record) -> bool:
    """Whether it is a heartbeat or an echo."""
    beats = ClientHeartbeat | ClientHeartbeatEcho | WorkerHeartbeat | WorkerHeartbeatEcho
    return isinstance(record, MessageRecord) and isinstance(record.message, beats)


def _task_of(record: Record) -> bytes | None:
    if isinstance(record, EventRecord):
        return record.task or None
    task: bytes | None = getattr(record.message, "task_id", None)
    return task


def _same(one: PartyJudge, other: PartyJudge) -> bool:
    return one == other or bool(vars(one) == vars(other))
