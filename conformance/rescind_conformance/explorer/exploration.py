"""Explores many scenarios, in several processes at once.

Scenarios are not split: half of the time of a walk is spent on computing steps for the first time, which several
processes on one scenario would each have to do for themselves.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from rescind_conformance.explorer.counterexample import Counterexample, counterexample, shortest_of
from rescind_conformance.explorer.processes import Crew, unprepared
from rescind_conformance.explorer.scenario import Scenario
from rescind_conformance.explorer.system import System
from rescind_conformance.explorer.walk import INTERRUPTED, Limits, Progress, WalkResult, walk


@dataclass(frozen=True, slots=True)
class Manner:
    """How to explore."""

    reduction: bool = True
    limits: Limits = Limits()
    keep_going: bool = False
    """Walk on after a violation, and look for the shortest path to each requirement that is broken."""


@dataclass(frozen=True, slots=True)
class Explored:
    """What was found out about one scenario."""

    result: WalkResult
    counterexamples: tuple[Counterexample, ...]
    """One for each requirement that is broken."""


Show = Callable[[str, Progress], None]
"""Called with the name of a scenario, a few times a second."""


def explore(scenario: Scenario, manner: Manner, show: Show | None = None) -> Explored:
    """Walk one scenario of the reference, judged by SPEC.md; Ctrl-C ends the walk.

    Meanwhile no garbage is collected: most of what a walk makes stays until its end, and to go through it again and
    again takes a third of the time.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        return _explored(scenario, manner, show)
    finally:
        if collects:
            gc.enable()


def _explored(scenario: Scenario, manner: Manner, show: Show | None) -> Explored:
    system = System(scenario)
    result = walk(
        system,
        reduction=manner.reduction,
        limits=manner.limits,
        stop=None if manner.keep_going else lambda violation: True,
        show=None if show is None else lambda progress: show(scenario.name, progress),
    )
    search = result.why_not != INTERRUPTED
    broken = dict.fromkeys(found.violation.requirement for found in result.found)
    shortest = [
        counterexample(system, result, shortest_of(result, requirement), search=search) for requirement in broken
    ]
    return Explored(replace(result, end_states=set()), tuple(shortest))


def explore_all(scenarios: Sequence[Scenario], manner: Manner, workers: int, show: Show) -> Iterator[Explored]:
    """Walk each scenario, `workers` at once, each in a process; in the order in which they are done.

    The first Ctrl-C ends the walks that are under way, and what they have seen is yielded; the second one ends all.
    Raises `ChildProcessError` if a process was killed.
    """
    if min(workers, len(scenarios)) == 1:
        for scenario in scenarios:
            explored = explore(scenario, manner, show)
            yield explored
            if explored.result.why_not == INTERRUPTED:
                return
    else:
        work = [(scenario, manner) for scenario in scenarios]
        yield from Crew(partial(unprepared, _explore), work, workers).run(lambda progress: show(*progress))


def _explore(work: tuple[Scenario, Manner], show: Callable[[tuple[str, Progress]], None]) -> Explored:
    return explore(*work, lambda name, progress: show((name, progress)))
