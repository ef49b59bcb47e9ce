"""Explores many scenarios, in several processes at once.

Scenarios are not split: half of the time of a walk is spent on computing steps for the first time, which several
processes on one scenario would each have to do for themselves.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event

from rescind_conformance.explorer.counterexample import Counterexample, counterexample, shortest_of
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
    """Walk one scenario of the reference, judged by SPEC.md; Ctrl-C ends the walk."""
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
        yield from _Walkers(scenarios, manner, min(workers, len(scenarios))).run(show)


class _Walkers:
    """Processes that walk scenarios, each with a pipe: scenarios go in, progress and what was found out come out."""

    def __init__(self, scenarios: Sequence[Scenario], manner: Manner, count: int) -> None:
        self._waiting = list(scenarios)
        # Not forked: a thread that draws the progress may hold a lock.
        context = multiprocessing.get_context("spawn")
        self._interrupted = context.Event()
        self._processes: dict[Connection, BaseProcess] = {}
        for _ in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, manner, self._interrupted), daemon=True)
            process.start()
            theirs.close()
            self._processes[ours] = process

    def run(self, show: Show) -> Iterator[Explored]:
        try:
            for pipe in list(self._processes):
                self._give(pipe)
            while self._processes:
                for pipe in self._ready():
                    said = self._hear(pipe)
                    if isinstance(said, Explored):
                        self._give(pipe)
                        yield said
                    else:
                        show(*said)
        finally:
            for process in self._processes.values():
                process.terminate()
                process.join()

    def _ready(self) -> list[Connection]:
        while True:
            try:
                return [each for each in wait(list(self._processes)) if isinstance(each, Connection)]
            except KeyboardInterrupt:
                if self._interrupted.is_set():
                    raise
                self._interrupted.set()
                self._waiting.clear()

    def _hear(self, pipe: Connection) -> Explored | tuple[str, Progress]:
        try:
            said: Explored | tuple[str, Progress] = pipe.recv()
        except EOFError:
            process = self._processes[pipe]
            process.join()
            raise ChildProcessError(f"a process that walks has ended with exit code {process.exitcode}") from None
        return said

    def _give(self, pipe: Connection) -> None:
        """The next scenario, or nothing more to do."""
        if self._waiting:
            pipe.send(self._waiting.pop(0))
        else:
            pipe.send(None)
            self._processes.pop(pipe).join()


def _serve(pipe: Connection, manner: Manner, interrupted: Event) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent says it

    def show(name: str, progress: Progress) -> None:
        if interrupted.is_set():
            raise KeyboardInterrupt
        pipe.send((name, progress))

    with contextlib.suppress(EOFError, BrokenPipeError):  # the parent was killed
        while (scenario := pipe.recv()) is not None:
            pipe.send(explore(scenario, manner, show))
