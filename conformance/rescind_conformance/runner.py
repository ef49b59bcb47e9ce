"""Runs the cases in a fixed order, and makes one report of what they found."""

from __future__ import annotations

import fnmatch
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import zmq

from rescind_conformance.audit import audit
from rescind_conformance.case import Case, all_cases
from rescind_conformance.requirements import Level, Requirement, load_requirements
from rescind_conformance.subjects import ProfileUnavailable, Subject
from rescind_conformance.verdicts import CaseResult, Departure, RequirementVerdict, Unsupported, Verdict, judge
from rescind_conformance.world import Instance, World

DEADLINE = 10.0
"""Seconds after which an echo that has not come is taken as missing. Only bounds a hang."""

TESTED_ROLES = ("scheduler", "all")


class NothingSelected(Exception):
    """No case matches what was asked for; the text says so."""


@dataclass(frozen=True, slots=True)
class SuiteReport:
    """The result of one run."""

    subject: str
    subject_version: str
    replay_options: str
    results: Sequence[CaseResult]
    names: Mapping[str, Mapping[bytes, str]]
    """Task names, by case."""
    verdicts: Sequence[RequirementVerdict]
    seconds: float

    @property
    def exit_status(self) -> int:
        """0: every MUST that was tested holds. 1: departures. 2: the suite itself failed.

        What the subject does not show (unsupported) is no departure; what could not be reached is.
        """
        if any(result.harness_error is not None for result in self.results):
            return 2
        bad = (Verdict.FAIL, Verdict.NOT_REACHED)
        musts = [one.verdict for one in self.verdicts if one.requirement.level is Level.MUST]
        return 1 if any(verdict in bad for verdict in musts) else 0


def select_cases(pattern: str | None = None, requirement: str | None = None) -> list[Case]:
    """The cases whose name matches a glob and that declare a requirement, in the order in which they run.

    Raises `NothingSelected`.
    """
    chosen = [
        one
        for one in all_cases()
        if (pattern is None or fnmatch.fnmatchcase(one.name, pattern))
        and (requirement is None or requirement in one.requirements)
    ]
    if not chosen:
        wanted = " and ".join(
            text for text in (pattern and f"case {pattern}", requirement and f"requirement {requirement}") if text
        )
        raise NothingSelected(f"no case matches {wanted or 'anything'}: see `rescind conformance list`")
    return chosen


def run_scheduler_suite(
    subject: Subject,
    cases: Sequence[Case] | None = None,
    *,
    deadline: float = DEADLINE,
    on_case: Callable[[Case, CaseResult | None], None] | None = None,
) -> SuiteReport:
    """Run cases against a subject; the caller closes the subject.

    `on_case` is told of each case when it begins (with None) and when it has ended.
    Raises `SubjectUnavailable` when the subject does not start.
    """
    cases = all_cases() if cases is None else cases
    began = time.monotonic()
    results: list[CaseResult] = []
    names: dict[str, Mapping[bytes, str]] = {}
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    try:
        for index, case in enumerate(cases):
            if on_case is not None:
                on_case(case, None)
            result, names[case.name] = _run_case(context, subject, case, cases[index + 1 :], deadline)
            results.append(result)
            if on_case is not None:
                on_case(case, result)
    finally:
        context.destroy(linger=0)
    verdicts = [judge(one, results) for one in _relevant(cases, results)]
    return SuiteReport(
        subject.name, subject.version, subject.replay_options, results, names, verdicts, time.monotonic() - began
    )


def _relevant(cases: Sequence[Case], results: Sequence[CaseResult]) -> list[Requirement]:
    """All that bind a scheduler if every case was run, otherwise those that the selection touches."""
    requirements = load_requirements()
    touched = {name for case in cases for name in case.requirements}
    touched |= {name for result in results for name in result.departed}
    unknown = touched - requirements.keys()
    if unknown:
        raise ValueError(f"cases name requirements that SPEC.md does not have: {', '.join(sorted(unknown))}")
    if len(cases) == len(all_cases()):
        touched |= {one.id for one in requirements.values() if one.role in TESTED_ROLES}
    return [one for one in requirements.values() if one.id in touched]


def _run_case(
    context: zmq.Context[zmq.Socket[bytes]],
    subject: Subject,
    case: Case,
    upcoming: Sequence[Case],
    deadline: float,
) -> tuple[CaseResult, Mapping[bytes, str]]:
    result = CaseResult(case.name, case.title, case.requirements)
    began = time.monotonic()
    try:
        instance = subject.acquire(case.profile, [one.profile for one in upcoming])
    except ProfileUnavailable as reason:
        result.unsupported = str(reason)
        return result, {}
    world = World(context, instance, deadline)
    try:
        _play(case, world, result)
        _close_books(world, result, instance)
    finally:
        world.close(farewell=subject.shared)
        subject.release(instance)
    result.seconds = time.monotonic() - began
    return result, world.names


def _play(case: Case, world: World, result: CaseResult) -> None:
    try:
        case.play(world)
        world.settle()
    except Departure as departure:
        if departure not in world.departures:
            world.departures.append(departure)
    except Unsupported as reason:
        result.unsupported = str(reason)
    except Exception:
        result.harness_error = traceback.format_exc()


def _close_books(world: World, result: CaseResult, instance: Instance) -> None:
    def report(requirement: str, happened: str) -> None:
        text = f"seen in the trace: {happened}"
        if requirement not in {known.requirement for known in world.departures}:
            world.departures.append(Departure(requirement, text))

    try:
        audit(world.trace, world.names, {worker.name for worker in world.workers}, report)
    except Exception:
        result.harness_error = result.harness_error or traceback.format_exc()
    result.departures = world.departures
    result.checked = world.checked
    result.trace = world.trace
    if result.departures or result.harness_error:
        result.log = instance.log_tail()
    forgotten = set(result.declared) - result.checked - result.departed
    if forgotten and not result.departures and result.unsupported is None and result.harness_error is None:
        result.harness_error = f"the case ended without checking {', '.join(sorted(forgotten))}"
