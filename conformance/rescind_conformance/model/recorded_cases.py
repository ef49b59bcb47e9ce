"""Plays the suite's cases against a scheduler, and takes a recorded run of each."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rescind.trace import read_trace
from rescind_conformance.case import Case, Profile
from rescind_conformance.known import KnownFailures
from rescind_conformance.model.recorded_run import Run
from rescind_conformance.model.trace_values import case_run, own_run
from rescind_conformance.runner import Plan, SuiteReport, run_suite
from rescind_conformance.subjects import SCHEDULERS, TRACE, ReferenceScheduler, StartedScheduler
from rescind_conformance.verdicts import CaseResult
from rescind_conformance.world import World

_MOVES = (Profile.REBALANCING, Profile.RESTLESS)
_MOST_SECONDS_TO_END = 5.0
"""A scheduler that has not ended in order by then is killed."""
_SECONDS_BETWEEN_SIGNALS = 0.05


@dataclass(slots=True)
class RecordedCase:
    """One case as it was played."""

    result: CaseResult
    run: Run | None
    """None: see `without`."""
    without: str = ""
    """Why there is no run that can be held against the model."""


def record_cases(
    subject: str,
    cases: Sequence[Case],
    jobs: int,
    *,
    outside: bool = False,
    known: KnownFailures | None = None,
    on_case: Callable[[Case, CaseResult | None], None] = lambda case, result: None,
) -> tuple[list[RecordedCase], SuiteReport]:
    """Play cases for a scheduler; each as it was played, by name, and the suite's report.

    The reference records its own order, unless `outside`; others are seen from outside. `known` and `on_case` are those
    of `run_suite`. Raises as `run_suite` does.
    """
    own = subject == ReferenceScheduler.name and not outside
    opener = _RecordingReference if own else SCHEDULERS[subject]
    recorded: list[RecordedCase] = []

    def note(case: Case, result: CaseResult | None) -> None:
        if result is not None:
            recorded.append(_recorded(case, result, subject, own))
        on_case(case, result)

    report = run_suite(opener, cases, Plan(jobs), known=known, on_case=note)
    return sorted(recorded, key=lambda one: one.result.case), report


def _recorded(case: Case, result: CaseResult, subject: str, own: bool) -> RecordedCase:
    if not result.trace:
        return RecordedCase(result, None, result.unsupported or result.harness_error or "nothing was said")
    if result.harness_error is not None and not own:
        # Where the suite itself was held up, its peers may have been lost though they never meant to be silent.
        return RecordedCase(result, None, result.harness_error)
    run = own_run(case.name, read_trace(_RecordingReference.last.lines)) if own else case_run(case.name, result.trace)
    if run is None or not run.length:
        return RecordedCase(result, None, f"it begins with what the model leaves out: {run.cut}" if run else "no trace")
    if run.has_graphs:
        return RecordedCase(result, None, "graphs, which the model leaves out")
    run.limited = case.profile in (Profile.LIMITED, Profile.LIMITED_BYTES, Profile.DRAINING)
    run.moves = case.profile in _MOVES
    if subject != ReferenceScheduler.name:
        run.allow_any_limit_of_losses()
    return RecordedCase(result, run)


def _end_in_order(instance: StartedScheduler) -> None:
    """So that its trace is complete; the second signal ends the grace (S9.10)."""
    until = time.monotonic() + _MOST_SECONDS_TO_END
    while time.monotonic() < until:
        try:
            instance.wait(_SECONDS_BETWEEN_SIGNALS)
            return
        except subprocess.TimeoutExpired:
            instance.ask_to_stop()


class _Last(threading.local):
    """The trace of the case that this thread played last: one thread plays a case and tells what came of it."""

    lines: Sequence[str] = ()


class _RecordingReference(ReferenceScheduler):
    last = _Last()

    def __init__(self) -> None:
        super().__init__(trace=True)

    def leave(self, world: World) -> None:
        instance = world.instance
        assert isinstance(instance, StartedScheduler)
        world.close()
        _end_in_order(instance)
        instance.stop()
        written = instance.log.with_name(TRACE).read_text(encoding="utf-8")
        # If it did not end in order it was killed, perhaps while it wrote.
        self.last.lines = written[: written.rfind("\n") + 1].splitlines()
        self.end(instance)
