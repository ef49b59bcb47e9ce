"""What a case finds, and how the findings of all cases become one verdict for each requirement."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Any

from rescind_conformance.coverage import not_observable
from rescind_conformance.recording import Recording
from rescind_conformance.requirements import Level, Requirement
from rescind_conformance.trace import Entry


class Departure(Exception):
    """The subject did not do what a requirement says, and the case cannot go on.

    Checks that can go on after a departure record one (`World.check`) rather than raise it.
    """

    def __init__(self, requirement: str, text: str, *, unresponsive: bool = False, position: int | None = None) -> None:
        """`text`: what was expected and what happened. `unresponsive`: the subject has died or does not echo.
        `position`: how many entries the trace had when it was found.
        """
        super().__init__(f"{requirement}: {text}")
        self.requirement = requirement
        self.text = text
        self.unresponsive = unresponsive
        self.position = position

    def __reduce__(self) -> tuple[Any, ...]:
        """Departures are found in other processes, too."""
        made = partial(Departure, unresponsive=self.unresponsive, position=self.position)
        return made, (self.requirement, self.text)


class Unsupported(Exception):
    """The subject does not show an optional behaviour, so that what it must then do cannot be seen."""

    def __init__(self, reason: str, lacks: str = "") -> None:
        """`lacks`: in a word or two what is missing, alike for all cases that miss it; "" takes the reason."""
        super().__init__(reason)
        self.lacks = lacks or reason


class Verdict(StrEnum):
    """The finding on one requirement."""

    PASS = "pass"
    """Checked in at least one case, and no case departed from it."""
    NON_STRICT = "non-strict"
    """A SHOULD or MAY that the subject does otherwise."""
    FAIL = "fail"
    NOT_REACHED = "not reached"
    """Each check of it stood behind a departure from another requirement."""
    UNSUPPORTED = "unsupported"
    """The optional behaviour that it rules over was not shown."""
    NOT_CHECKED = "not checked"
    """No case that was run checks it."""
    FLAKY = "flaky"
    """The same case found one thing and then another."""
    HARNESS_ERROR = "harness error"
    """The suite itself failed, or the adapter: says nothing about the subject."""


class AtFault(StrEnum):
    """Who has failed where it is not the subject."""

    SUITE = "suite"
    ADAPTER = "adapter"

    @property
    def heading(self) -> str:
        """What to say above a harness error."""
        if self is AtFault.SUITE:
            return "The suite itself failed; this says nothing about the subject:"
        return (
            "The adapter did not do its part, so that the case could not be played; "
            "this says nothing about the implementation:"
        )


@dataclass(slots=True)
class CaseResult:
    """What one run of one case found."""

    case: str
    title: str
    declared: tuple[str, ...]
    departures: list[Departure] = field(default_factory=list)
    checked: set[str] = field(default_factory=set)
    unsupported: str | None = None
    """Why the rest of the case could not be seen, if it could not."""
    lacks: str = ""
    """The same in a word or two, see `Unsupported`."""
    harness_error: str | None = None
    """What is not the subject's doing: the traceback of an exception, or what the adapter did."""
    at_fault: AtFault = AtFault.SUITE
    """Whose doing it is."""
    notes: list[str] = field(default_factory=list)
    """What else is to be said: how the adapter failed after the first departure."""
    trace: list[Entry] = field(default_factory=list)
    log: str = ""
    """The last lines that the subject wrote, if it departed."""
    seconds: float = 0.0
    names: Mapping[bytes, str] = field(default_factory=dict)
    """Of its tasks, by task id."""
    role: str = "scheduler"
    recording: Recording | None = None
    """What its peers sent, frame by frame, if it departed."""
    actions: Sequence[Mapping[str, Any]] = ()
    """What was done to a client or a worker in an order that the race tests found, for its replay."""
    repetition: int = 0
    """Counts how often the case was played before in this run."""

    @property
    def departed(self) -> set[str]:
        """The requirements that the subject departed from."""
        return {departure.requirement for departure in self.departures}

    def finding(self, requirement: str) -> Verdict:
        """This case's finding on one requirement, whether it declares it or not; FAIL for every level."""
        if requirement in self.departed:
            return Verdict.FAIL
        if requirement not in self.declared:
            return Verdict.NOT_CHECKED
        if self.harness_error is not None:
            return Verdict.HARNESS_ERROR
        if requirement in self.checked:
            return Verdict.PASS
        return Verdict.UNSUPPORTED if self.unsupported is not None else Verdict.NOT_REACHED


@dataclass(frozen=True, slots=True)
class RequirementVerdict:
    """The finding on one requirement over all cases."""

    requirement: Requirement
    verdict: Verdict
    findings: Mapping[str, Verdict]
    """By case, for the cases that declare it or departed from it."""
    reason: str = ""
    """For what is neither pass nor fail: why."""


def findings_by_case(requirement: str, results: Iterable[CaseResult]) -> dict[str, Verdict]:
    """Each case's finding on a requirement, for the cases that declare it or departed from it."""
    found: dict[str, Verdict] = {}
    for result in results:
        finding = result.finding(requirement)
        if finding is not Verdict.NOT_CHECKED:
            before = found.setdefault(result.case, finding)
            if before is not finding:
                found[result.case] = Verdict.FLAKY
    return found


def judge(role: str, requirement: Requirement, results: Sequence[CaseResult]) -> RequirementVerdict:
    """The verdict on one requirement for one role.

    A departure outweighs everything; then two findings of one case; then a harness error, because a case
    that might have departed was not seen; then a pass; then what could not be seen.
    """
    findings = findings_by_case(requirement.id, results)
    by_case = {result.case: result for result in results}
    order = (
        Verdict.FAIL,
        Verdict.FLAKY,
        Verdict.HARNESS_ERROR,
        Verdict.PASS,
        Verdict.UNSUPPORTED,
        Verdict.NOT_REACHED,
    )
    verdict = next((kind for kind in order if kind in findings.values()), Verdict.NOT_CHECKED)
    reasons = sorted(_reason(by_case[name], verdict) for name, finding in findings.items() if finding is verdict)
    if verdict is Verdict.NOT_CHECKED:
        reasons = [not_observable(role).get(requirement.id, "")]
    if verdict is Verdict.FAIL and requirement.level is not Level.MUST:
        verdict = Verdict.NON_STRICT
    return RequirementVerdict(requirement, verdict, findings, next((text for text in reasons if text), ""))


def _reason(result: CaseResult, verdict: Verdict) -> str:
    match verdict:
        case Verdict.NOT_REACHED:
            return f"blocked by {', '.join(sorted(result.departed))} in {result.case}"
        case Verdict.UNSUPPORTED:
            return result.unsupported or ""
        case Verdict.HARNESS_ERROR | Verdict.FLAKY:
            return f"in {result.case}"
        case _:
            return ""
