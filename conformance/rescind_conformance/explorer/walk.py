"""Walks every interleaving of a scenario, breadth first.

Reduction. Most interleavings differ only in the order of steps that do not know of each other. With the reduction, of
all orders that are equivalent in this sense at least one is walked, and the others need not be.

A state's steps belong to its components, the scheduler and the peers. Two steps of one component depend on each other.
Two steps of different components do not: each changes its own component, takes from the head of a channel that the
other can only append to, and appends to the tail of a channel that the other can only take from; what they do to the
store has no order either (`payload_store`); and an exit of the scheduler, which cuts the channels to it, and a message
into such a channel leave the same behind in either order. Neither makes the other impossible.

A set of steps of a state is *persistent* if nothing that can be done without them depends on one of them. Two are used:

- *All steps of a peer to which something is on its way.* Its own steps are of the same component. What else could
  become possible for it is a message, and one can always be handled now: those that come later come behind it.
- *All steps of the scheduler, if it can take something, and no peer can give it a step that it has not now.* To peers
  nothing is on its way (else the first set is used), so that until the scheduler moves they have only steps of their
  own, and these only lengthen channels to it that are not empty anyway (`Configurations.quiet`).

Otherwise every step is taken. Why this misses nothing: let a path lead from a state to its end. Both sets contain a
step that must happen before anything can end or be at rest (something is to be handled), so the path has a step of the
set; the first one of them depends on no step before it, and so can be moved to the front. What remains is an equivalent
path of the same length whose first step is walked; and so on, step by step. (`System.rest`, the one step that looks at
all components, is possible only where nothing is to be handled, and so comes after.) Equivalent paths lead through the
same states of each component, in the same order, with the same messages, to the same end. What is checked is checked in
a step of one component (the judges, `custody`) or at the end, and so is the same in all of them: no condition of
visibility is needed. Nor is one for cycles: each step uses up a message or a budget, and a message is answered by
finitely many, so that the graph has none. (A broken machine may play ping-pong for ever. The walk still ends, since the
states are finite, but where that cycle excludes others' steps for ever they might not be seen.)

A path to a violation, however, may in the reduced walk contain steps that have nothing to do with it: see
`counterexample`.

States are remembered packed (see `packed`), whole: no two are taken for one.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field

from rescind_conformance.explorer.packed import State
from rescind_conformance.explorer.system import System
from rescind_conformance.judge.records import Violation

INTERRUPTED = "interrupted"
"""Why a walk is not closed that was ended by Ctrl-C."""

_ROOT = 2**32 - 1


@dataclass(frozen=True, slots=True)
class Limits:
    """Where a walk ends before it is closed; None: nowhere."""

    states: int | None = None
    depth: int | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A violation, and the shortest walked path to it: the labels of its steps, the prelude left out."""

    violation: Violation
    path: tuple[int, ...]
    at_rest: bool
    """It is what is wrong with the end of the path, not with its last step."""


@dataclass(slots=True)
class Progress:
    """How far a walk is."""

    states: int = 0
    transitions: int = 0
    depth: int = 0
    ends: int = 0
    seconds: float = 0.0


@dataclass(slots=True)
class WalkResult:
    """What a walk has seen."""

    scenario: str
    reduction: bool
    progress: Progress
    closed: bool = False
    """Every state was walked."""
    why_not: str = ""
    """Why it is not closed."""
    found: list[Found] = field(default_factory=list)
    """The first of each requirement and text."""
    end_states: set[int] = field(default_factory=set)
    """Packed; only comparable between walks over the same `System`."""


def walk(
    system: System,
    *,
    reduction: bool = True,
    limits: Limits | None = None,
    stop: Callable[[Violation], bool] | None = None,
    show: Callable[[Progress], None] | None = None,
    visit: Callable[[State], None] | None = None,
) -> WalkResult:
    """Walk every interleaving, or until `limits`, or until the first violation for which `stop` is true.

    `show` is called about five times a second; `visit` with every state. Ctrl-C ends the walk, and what was seen so
    far is returned.
    """
    walker = _Walker(system, reduction, limits or Limits(), stop, show, visit)
    try:
        walker.run()
    except KeyboardInterrupt:
        walker.result.closed, walker.result.why_not = False, INTERRUPTED
    walker.clock()
    return walker.result


class _Stopped(Exception):
    """The walk need not go on."""


class _Walker:
    def __init__(
        self,
        system: System,
        reduction: bool,
        limits: Limits,
        stop: Callable[[Violation], bool] | None,
        show: Callable[[Progress], None] | None,
        visit: Callable[[State], None] | None,
    ) -> None:
        self.result = WalkResult(system.scenario.name, reduction, Progress())
        self._system = system
        self._reduction = reduction
        self._limits = limits
        self._stop = stop
        self._show = show
        self._visit = visit
        # How each state was reached first.
        self._parents = array("I", [_ROOT])
        self._labels = array("I", [0])
        self._known: set[tuple[str, str]] = set()
        self._began = self._shown = time.perf_counter()

    def run(self) -> None:
        """See `walk`."""
        progress = self.result.progress
        initial = self._system.pack(self._system.initial)
        seen = {initial}
        frontier = [initial]
        first = 0
        progress.states = 1
        try:
            while frontier:
                if progress.depth == self._limits.depth:
                    self.result.why_not = f"no deeper than {progress.depth} steps, as was asked for"
                    return
                following = self._walk_level(frontier, first, seen)
                first += len(frontier)
                frontier = following
                progress.depth += bool(frontier)
            self.result.closed = True
        except _Stopped as why:
            self.result.why_not = str(why)

    def _walk_level(self, frontier: list[int], first: int, seen: set[int]) -> list[int]:
        progress = self.result.progress
        system, reduction = self._system, self._reduction
        ahead = system.ahead
        add, add_parent, add_label, visit = seen.add, self._parents.append, self._labels.append, self._visit
        following: list[int] = []
        most = self._limits.states
        count, transitions = len(seen), progress.transitions
        for number, state in enumerate(frontier, start=first):
            if visit is not None:
                visit(system.unpack(state))
            steps, rests = ahead(state, reduction)
            if rests:
                goes_on = system.goes_on(state)
                if goes_on is not None:
                    steps = [*steps, goes_on]
                else:
                    progress.ends += 1
                    self.result.end_states.add(state)
                    for violation in system.wrong(state):
                        self._report(violation, number, None)
            transitions += len(steps)
            for label, adds, found in steps:
                if found:
                    for violation in system.findings[found]:
                        self._report(violation, number, label)
                after = state + adds
                add(after)
                if len(seen) != count:
                    count += 1
                    add_parent(number)
                    add_label(label)
                    following.append(after)
            if not number & 0xFF:
                progress.states, progress.transitions = count, transitions
                if most is not None and count > most:
                    raise _Stopped(f"more than {most} states, as was asked for")
                if time.perf_counter() - self._shown > 0.2:
                    self._tell()
        progress.states, progress.transitions = count, transitions
        return following

    def _report(self, violation: Violation, state: int, label: int | None) -> None:
        known = (violation.requirement, violation.text)
        if known in self._known:
            return
        self._known.add(known)
        path = self._path(state) + (() if label is None else (label,))
        self.result.found.append(Found(violation, path, label is None))
        if self._stop is not None and self._stop(violation):
            raise _Stopped("a violation was found")

    def _path(self, state: int) -> tuple[int, ...]:
        """The labels of the steps to a state, by its number."""
        labels: list[int] = []
        while self._parents[state] != _ROOT:
            labels.append(self._labels[state])
            state = self._parents[state]
        return tuple(reversed(labels))

    def _tell(self) -> None:
        """Say how far the walk is."""
        self._shown = self.clock()
        if self._show is not None:
            self._show(self.result.progress)

    def clock(self) -> float:
        """Note how long it has taken."""
        now = time.perf_counter()
        self.result.progress.seconds = now - self._began
        return now
