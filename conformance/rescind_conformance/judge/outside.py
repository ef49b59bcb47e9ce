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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from rescind_conformance.judge.records import PartyJudge, Record, Violation

MOST_STEPS: Final = 5_000
"""So many records are read in search of an order; a trace that needs more is not judged to its end."""

_WINDOWS: Final = (10, 40)
"""So many records before one that seems wrong other orders are tried, before all of the trace is."""


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


@dataclass(slots=True)
class _Node:
    judge: PartyJudge
    done: frozenset[int]


def judge_from_outside(judge: PartyJudge, seen: Sequence[Seen], *, at_rest: bool) -> list[Finding]:
    """What every possible order of these records breaks. `judge` is used up.

    `at_rest`: nothing is on its way any more at the end. Raises `Undecided`.
    """
    return _Search(seen, at_rest).run(judge)


class _Search:
    def __init__(self, seen: Sequence[Seen], at_rest: bool) -> None:
        self._seen = seen
        self._at_rest = at_rest
        self._steps = 0
        self._findings: list[Finding] = []
        lanes: dict[str, list[int]] = {}
        for index, one in enumerate(seen):
            lanes.setdefault(one.lane, []).append(index)
        self._before: dict[int, int] = {}
        """What comes before it in its lane."""
        for lane in lanes.values():
            self._before |= dict(zip(lane[1:], lane, strict=False))
        self._certain = frozenset(index for index, one in enumerate(seen) if not one.optional)

    def run(self, judge: PartyJudge) -> list[Finding]:
        """As it was seen, a trace is mostly right, or becomes right when a record shortly before a wrong one moves."""
        wrong = self._as_seen(copy.deepcopy(judge), len(self._seen))
        if wrong is None:
            return []
        for window in (*_WINDOWS, wrong):
            begin = copy.deepcopy(judge)
            begins = max(0, wrong - window)
            self._as_seen(begin, begins)
            done = frozenset(index for index in range(begins) if not self._seen[index].optional)
            if self._explore(_Node(begin, done), self._eager) is None:
                return []
        node = _Node(judge, frozenset())
        while True:
            furthest = self._explore(node, self._children)
            if furthest is None:
                return self._findings
            node = self._go_wrong(furthest)
            if node.done >= self._certain:
                return self._findings

    def _as_seen(self, judge: PartyJudge, end: int) -> int | None:
        """Read the first records in the order in which they were seen; the index at which that breaks something."""
        for index, one in enumerate(self._seen[:end]):
            if not one.optional and judge.read(one.record):
                return index
        if end == len(self._seen) and self._at_rest and judge.rest():
            return end
        return None

    def _explore(self, start: _Node, children: Callable[[_Node], Iterator[_Node]]) -> _Node | None:
        """Look for an order that breaks nothing more: None if there is one, else how far the best one comes."""
        furthest = start
        stack = [children(start)]
        known = {start.done: [start.judge]}
        while stack:
            node = next(stack[-1], None)
            if node is None:
                stack.pop()
                continue
            if node.done >= self._certain and not (self._at_rest and copy.deepcopy(node.judge).rest()):
                return None
            if len(node.done & self._certain) > len(furthest.done & self._certain):
                furthest = node
            if any(_same(node.judge, other) for other in known.get(node.done, ())):
                continue
            known.setdefault(node.done, []).append(node.judge)
            stack.append(children(node))
        return furthest

    def _children(self, node: _Node) -> Iterator[_Node]:
        """What may have come next and breaks nothing."""
        for index in self._choices(node.done):
            judge = copy.deepcopy(node.judge)
            if not self._read(judge, index):
                yield _Node(judge, node.done | {index})

    def _eager(self, node: _Node) -> Iterator[_Node]:
        """Of those only one if the party may have sent something: what is sent early is seldom wrong for it."""
        choices = self._choices(node.done)
        for index in sorted(choices, key=lambda index: not self._seen[index].came):
            judge = copy.deepcopy(node.judge)
            if not self._read(judge, index):
                yield _Node(judge, node.done | {index})
                if self._seen[index].came:
                    return

    def _go_wrong(self, node: _Node) -> _Node:
        """No order gets beyond this: take the next record as it was seen, and what it breaks for found."""
        certain = [index for index in self._choices(node.done) if not self._seen[index].optional]
        if not certain:
            self._findings += [Finding(one, len(self._seen)) for one in node.judge.rest()]
            return node
        index = certain[0]
        judge = copy.deepcopy(node.judge)
        self._findings += [Finding(one, index) for one in judge.read(self._seen[index].record)]
        return _Node(judge, node.done | {index})

    def _choices(self, done: frozenset[int]) -> list[int]:
        """What the party may have had next, as it was seen first, what is optional last."""
        candidates = [
            index
            for index in range(len(self._seen))
            if index not in done and (index not in self._before or self._before[index] in done)
        ]
        came = min((index for index in candidates if self._seen[index].came), default=len(self._seen))
        possible = [index for index in candidates if self._seen[index].came or index < came]
        return sorted(possible, key=lambda index: (self._seen[index].optional, index))

    def _read(self, judge: PartyJudge, index: int) -> list[Violation]:
        self._steps += 1
        if self._steps > MOST_STEPS:
            raise Undecided(self._findings)
        return judge.read(self._seen[index].record)


def _same(one: PartyJudge, other: PartyJudge) -> bool:
    return bool(vars(one) == vars(other))
