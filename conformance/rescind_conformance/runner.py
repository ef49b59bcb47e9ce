"""Runs the cases, several at once if told to, and makes one report of what they found."""

from __future__ import annotations

import fnmatch
import threading
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random

from rescind_conformance.adapter import AdapterFault
from rescind_conformance.case import SHORT_PROFILES, TIMEOUT, Case, all_cases
from rescind_conformance.findings import Conversation, Findings
from rescind_conformance.known import KnownFailures
from rescind_conformance.places import LOOK_SECONDS, Interrupted, OwnPlace, Places
from rescind_conformance.recording import Recorder
from rescind_conformance.requirements import Requirement, load_requirements
from rescind_conformance.subjects import ProfileUnavailable, Subject
from rescind_conformance.verdicts import (
    AtFault,
    CaseResult,
    Departure,
    RequirementVerdict,
    Unsupported,
    Verdict,
    judge,
)

DEADLINE = 10.0
"""Seconds after which an echo that has not come is taken as missing. Only bounds a hang."""
_MOST_PLAYS = 3
"""Of a case whose plays are void."""
_THREADS = 3
"""For each place at which a case is played: what the cases of a scheduler that departs do most is to wait."""
_UNDECIDED = {Verdict.UNSUPPORTED, Verdict.NOT_CHECKED, Verdict.NOT_REACHED, Verdict.HARNESS_ERROR}
_FIRST_COMMANDS = ("connect()", "start()")
"""Without which an adapter can do nothing."""


class NothingSelected(Exception):
    """No case matches what was asked for; the text says so."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How the cases of a run are played."""

    jobs: int = 1
    """How many are played at once, each with a subject of its own. Where it is more than one, those that wait long for
    the same thing do not count: `_THREADS` times as many may be under way."""
    repeat: int = 1
    """How often each is played."""
    shuffle_seed: int | None = None
    """The order is shuffled by this number; None keeps it."""
    fail_fast: bool = False
    """Begin no case after the first departure that is not known."""
    deadline: float = DEADLINE


@dataclass(frozen=True, slots=True)
class SuiteReport:
    """The result of one run against one subject in one role."""

    role: str
    subject: str
    subject_version: str
    replay_options: str
    results: Sequence[CaseResult]
    verdicts: Sequence[RequirementVerdict]
    seconds: float
    known: KnownFailures
    warnings: Sequence[str] = ()
    """What to know of the subject, a line each."""
    replays_files: bool = False
    """Its results are of no cases, so that they are played again from the replay files of its report."""

    @property
    def unexpected(self) -> list[str]:
        """What makes the run fail, each in a line: departures that are not known, known ones that did not come."""
        return self.known.unexpected(self.results, {one.requirement.id: one.requirement for one in self.verdicts})

    @property
    def exit_status(self) -> int:
        """0: every MUST that was tested holds, or fails as is known. 1: otherwise. 2: the suite itself failed, or an
        adapter, or nothing was tested.

        What the subject does not show (unsupported) is no departure; what could not be reached is.
        """
        if self.broken or self.undecided:
            return 2
        return 1 if self.unexpected else 0

    @property
    def departed(self) -> bool:
        """Whether some case departed where that is not known, or broke: what `Plan.fail_fast` ends a run for."""
        return any(_ends_early(result, self.known) for result in self.results)

    @property
    def broken(self) -> int:
        """How many cases ended with a harness error."""
        return sum(result.harness_error is not None for result in self.results)

    @property
    def undecided(self) -> str:
        """Why no requirement at all was decided, in a sentence; "" if one was."""
        if not {one.verdict for one in self.verdicts} <= _UNDECIDED:
            return ""
        lacking = Counter(result.lacks for result in self.results if result.lacks)
        for first in _FIRST_COMMANDS:
            if first in lacking:  # whatever else is missing comes behind it
                answers = f'the adapter answers "unsupported" to {first.removesuffix("()")}'
                return f"Nothing was tested: {answers}: fill in the template's TODOs."
        reasons = [f"unsupported: {what} ({cases_in_words(count)})" for what, count in lacking.most_common()]
        if self.broken:
            reasons.append(f"{cases_in_words(self.broken)} ended with a harness error")
        return f"Nothing was tested: {'; '.join(reasons) or 'no case checks what was asked for'}."


def select_cases(
    pattern: str | Sequence[str] | None = None,
    requirement: str | None = None,
    tag: str | None = None,
    *,
    role: str = "scheduler",
) -> list[Case]:
    """The cases for a role whose name matches a glob (or one of several), that declare a requirement, and that have a
    tag. Raises `NothingSelected`.
    """
    patterns = [pattern] if isinstance(pattern, str) else pattern or ()
    chosen = [
        one
        for one in all_cases(role)
        if (not patterns or any(fnmatch.fnmatchcase(one.name, each) for each in patterns))
        and (requirement is None or requirement in one.requirements)
        and (tag is None or tag in one.tags)
    ]
    if not chosen:
        wanted = [("case", " or ".join(patterns) or None), ("requirement", requirement), ("tag", tag)]
        asked = " and ".join(f"{what} {given}" for what, given in wanted if given is not None)
        raise NothingSelected(f"no case for a {role} matches {asked or 'anything'}: see `rescind conformance list`")
    return chosen


def require_cases(patterns: Sequence[str], roles: Sequence[str]) -> None:
    """Raise `NothingSelected` if one of the globs matches no case of these roles: most likely it has a typing error."""
    names = [one.name for role in roles for one in all_cases(role)]
    for pattern in patterns:
        if not fnmatch.filter(names, pattern):
            raise NothingSelected(
                f"no case for a {' or '.join(roles)} matches case {pattern}: see `rescind conformance list`"
            )


def run_suite(
    open_subject: Callable[[], Subject],
    cases: Sequence[Case],
    plan: Plan = Plan(),
    *,
    known: KnownFailures | None = None,
    on_case: Callable[[Case, CaseResult | None], None] | None = None,
) -> SuiteReport:
    """Play cases, all of one role, against a subject.

    `open_subject` is called by each thread that plays; what it makes is closed. `on_case` is told of each case
    when it begins (with None) and when it has ended, one call at a time. Ends everything that was
    started, also when it is interrupted. Raises what `open_subject` raises, and `SubjectUnavailable`
    when the subject does not start.
    """
    began = time.monotonic()
    known = known or KnownFailures()
    play = _Run(open_subject, cases, plan, known, on_case or _ignore)
    results, subject = play.run()
    order = {case.name: number for number, case in enumerate(cases)}
    results.sort(key=lambda result: (order[result.case], result.repetition))
    verdicts = [judge(cases[0].role, one, results) for one in _relevant(cases, results)]
    return SuiteReport(
        cases[0].role,
        subject.name,
        subject.version,
        subject.replay_options,
        results,
        verdicts,
        time.monotonic() - began,
        known,
        subject.warnings,
    )


def cases_in_words(count: int) -> str:
    """`1 case`, `2 cases`."""
    return f"{count} case{'' if count == 1 else 's'}"


class _Run:
    """Threads take case after case from one queue, each case at a place of its own."""

    def __init__(
        self,
        open_subject: Callable[[], Subject],
        cases: Sequence[Case],
        plan: Plan,
        known: KnownFailures,
        on_case: Callable[[Case, CaseResult | None], None],
    ) -> None:
        self._open_subject = open_subject
        self._plan = plan
        self._known = known
        self._on_case = on_case
        order = [(case, repetition) for repetition in range(plan.repeat) for case in cases]
        if plan.shuffle_seed is not None:
            Random(plan.shuffle_seed).shuffle(order)
        self._queue = deque(order)
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._places = Places(plan.jobs)
        self._results: list[CaseResult] = []
        self._subjects: list[Subject] = []
        self._error: BaseException | None = None
        self._ended = threading.Semaphore(0)
        """Counts the jobs that have ended."""

    def run(self) -> tuple[list[CaseResult], Subject]:
        threads = self._plan.jobs * (_THREADS if self._plan.jobs > 1 else 1)
        jobs = [threading.Thread(target=self._job) for _ in range(min(threads, len(self._queue)))]
        try:
            for job in jobs:
                job.start()  # within: a signal may come before the last has begun
            # Not by joining them: Python 3.11 takes a thread for ended if a signal's exception comes out of `join`.
            for _ in jobs:
                while not self._ended.acquire(timeout=LOOK_SECONDS):  # in pieces, so that a signal is handled
                    pass
        finally:
            self._stop.set()
            for job in jobs:
                if job.ident is not None:
                    job.join()
        if self._error is not None:
            raise self._error
        return self._results, self._subjects[0]

    def _job(self) -> None:
        try:
            recorder = Recorder()
            try:
                self._play(recorder)
            finally:
                recorder.context.destroy(linger=0)
        except Interrupted:
            pass
        except BaseException as error:
            self._error = self._error or error
            self._stop.set()
        finally:
            self._ended.release()

    def _play(self, recorder: Recorder) -> None:
        if not self._places.take(self._is_over):
            return
        place = OwnPlace(self._places)
        try:
            with self._open_subject() as subject:
                self._subjects.append(subject)
                conversation = Conversation(recorder.context, self._plan.deadline, self._stop, place=place)
                while (taken := self._take()) is not None:
                    case, repetition, upcoming = taken
                    result = play_case(conversation, recorder, subject, case, upcoming)
                    self._note(case, replace(result, repetition=repetition))
                    self._places.give_way(self._is_over)
        finally:
            self._places.count(-1)

    def _is_over(self) -> bool:
        return self._stop.is_set() or not self._queue

    def _take(self) -> tuple[Case, int, list[Case]] | None:
        with self._lock:
            if self._stop.is_set() or not self._queue:
                return None
            case, repetition = self._queue.popleft()
            # With several jobs the next cases go to all of them in turn.
            upcoming = [one for one, _ in list(self._queue)[self._plan.jobs - 1 :: self._plan.jobs]]
            self._on_case(case, None)
            return case, repetition, upcoming

    def _note(self, case: Case, result: CaseResult) -> None:
        with self._lock:
            self._results.append(result)
            if self._plan.fail_fast and _ends_early(result, self._known):
                self._queue.clear()
            self._on_case(case, result)


def _ends_early(result: CaseResult, known: KnownFailures) -> bool:
    return result.harness_error is not None or not known.explain(result)


def _ignore(case: Case, result: CaseResult | None) -> None:
    pass


def _relevant(cases: Sequence[Case], results: Sequence[CaseResult]) -> list[Requirement]:
    """All that bind the role if every case was run, otherwise those that the selection touches."""
    requirements = load_requirements()
    role = cases[0].role
    touched = {name for case in cases for name in case.requirements}
    touched |= {name for result in results for name in result.departed}
    unknown = touched - requirements.keys()
    if unknown:
        raise ValueError(f"cases name requirements that SPEC.md does not have: {', '.join(sorted(unknown))}")
    if len(cases) == len(all_cases(role)):
        touched |= {one.id for one in requirements.values() if one.role in (role, "all")}
    return [one for one in requirements.values() if one.id in touched]


def play_case(
    conversation: Conversation, recorder: Recorder, subject: Subject, case: Case, upcoming: Sequence[Case] = ()
) -> CaseResult:
    """Play one case in this thread, whose conversation and recorder these are. `upcoming`: see `Subject.open`.

    A play with departures in which the suite was held up for so long that a scheduler with short time-outs may have
    lost its peers says nothing about the scheduler, and is void: the case is played again.
    Raises `SubjectUnavailable` when the subject does not start, and `Interrupted`.
    """
    for _ in range(_MOST_PLAYS):
        result, held_up = _play_once(conversation, recorder, subject, case, upcoming)
        if not (result.departures and case.profile in SHORT_PROFILES and held_up > TIMEOUT / 2):
            return result
    result.harness_error = (
        f"this machine is too busy: for {held_up:.1f} s the suite could not send the heartbeats of its peers, which "
        f"are lost after {TIMEOUT:g} s. It was so in {_MOST_PLAYS} plays; use fewer --jobs, or a quieter machine."
    )
    result.departures = []
    return result


def _play_once(
    conversation: Conversation, recorder: Recorder, subject: Subject, case: Case, upcoming: Sequence[Case]
) -> tuple[CaseResult, float]:
    """The result, and for how many seconds the suite itself was held up (`Findings.held_up`)."""
    result = CaseResult(case.name, case.title, case.requirements, role=case.role)
    began = time.monotonic()
    try:
        world = subject.open(conversation, case.profile, [one.profile for one in upcoming])
    except ProfileUnavailable as reason:
        result.unsupported = result.lacks = str(reason)
        return result, 0.0
    recorder.begin(world.trace)
    try:
        _play(case, world, result)
        _close_books(world, result)
    finally:
        recording = recorder.end()
        subject.leave(world)
    if result.departures:
        result.recording = recording
    result.seconds = time.monotonic() - began
    return result, world.held_up


def _play(case: Case, world: Findings, result: CaseResult) -> None:
    try:
        case.play(world)
        world.come_to_rest()
    except Departure as departure:
        if departure not in world.departures:
            world.departures.append(departure)
    except Unsupported as reason:
        result.unsupported, result.lacks = str(reason), reason.lacks
    except Interrupted:
        raise
    except AdapterFault as fault:
        if world.departures:
            # What was found before stays found; what was to come is lost, as after any departure.
            result.notes.append(f"Then {fault}")
        else:
            result.harness_error, result.at_fault = str(fault), AtFault.ADAPTER
    except Exception:
        result.harness_error = traceback.format_exc()


def _close_books(world: Findings, result: CaseResult) -> None:
    try:
        if result.harness_error is None:
            world.audit()
    except Exception:
        result.harness_error = result.harness_error or traceback.format_exc()
    result.departures = world.departures
    result.checked = world.checked
    result.trace = world.trace
    result.names = world.names
    if result.departures or result.harness_error:
        result.log = world.log_tail()
    forgotten = set(result.declared) - result.checked - result.departed
    if forgotten and not result.departures and result.unsupported is None and result.harness_error is None:
        result.harness_error = f"the case ended without checking {', '.join(sorted(forgotten))}"
