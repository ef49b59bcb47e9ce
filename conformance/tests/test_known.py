"""The list of known failures: when an entry of it is out of date, and which lists are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from rescind_conformance.case import all_cases
from rescind_conformance.cli import app
from rescind_conformance.known import KnownFailure, KnownFailures, KnownFailuresError, load_known_failures
from rescind_conformance.report_document import UNEXPECTED_PASS, case_verdict
from rescind_conformance.requirements import load_requirements
from rescind_conformance.runner import SuiteReport
from rescind_conformance.verdicts import CaseResult, Departure, judge

CASE = "crossing.result-crosses-cancel"
PASSING = "S9.8"
"""A requirement that the case does not declare."""


def played(case: str = CASE, *departed: str, declared: tuple[str, ...] = ("S5.1",), **changes: object) -> CaseResult:
    result = CaseResult(case, case, declared, [Departure(one, "no") for one in departed], set(declared) - {*departed})
    for attribute, value in changes.items():
        setattr(result, attribute, value)
    return result


def unexpected(entry_case: str, *results: CaseResult, requirement: str = PASSING) -> list[str]:
    known = KnownFailures((KnownFailure("scheduler", requirement, entry_case, "because"),))
    return known.unexpected(results, load_requirements())


def test_a_departure_that_comes_now_and_then_is_known_and_never_missed() -> None:
    known = KnownFailures((KnownFailure("scheduler", "S5.1", "crossing.*", "because", sometimes=True),))
    for result in (played(), played(CASE, "S5.1")):
        assert known.unexpected([result], load_requirements()) == []
        assert not known.passes_unexpectedly(result, [result])
    assert known.reason(played(CASE, "S5.1"), "S5.1") == "because"
    assert known.unexpected([played(CASE, "S5.2")], load_requirements()) == [f"S5.2 fails in {CASE}"]


def test_a_departure_in_passing_that_did_not_come_is_an_unexpected_pass() -> None:
    assert unexpected(CASE, played()) == [
        f"{PASSING} does not fail in {CASE}, though it is listed as a known failure",
    ]
    assert unexpected(CASE, played(CASE, PASSING)) == []
    assert unexpected(CASE, played(), played(CASE, PASSING, repetition=1)) == []


@pytest.mark.parametrize(
    "result",
    [
        played(CASE, "S8.4"),
        played(unsupported="never moves a task"),
        played(harness_error="oops"),
        played("crossing.another"),
        played(role="client"),
    ],
    ids=["cut short", "unsupported", "broken", "not named", "another role"],
)
def test_what_proves_nothing(result: CaseResult) -> None:
    assert unexpected(CASE, result) == []


def test_of_a_glob_every_case_must_have_been_played() -> None:
    names = [case.name for case in all_cases("scheduler") if case.name.startswith("crossing.")]
    results = [played(name) for name in names]
    assert len(names) > 1
    (line,) = unexpected("crossing.*", *results)
    assert f"any of the {len(names)} cases that 'crossing.*' names" in line
    assert unexpected("crossing.*", *results[1:]) == []
    assert unexpected("crossing.*", played(names[0], PASSING), *results[1:]) == []


def test_of_a_declared_requirement_each_case_tells_once() -> None:
    (line,) = unexpected(CASE, played(), requirement="S5.1")
    assert line == f"S5.1 passes in {CASE}, though it is listed as a known failure"


def test_the_case_has_that_verdict_in_reports() -> None:
    known = KnownFailures((KnownFailure("scheduler", PASSING, CASE, "because"),))
    for result, verdict in ((played(), UNEXPECTED_PASS), (played("crossing.another"), "pass")):
        verdicts = [judge("scheduler", load_requirements()["S5.1"], [result])]
        report = SuiteReport("scheduler", "toy", "1", "", [result], verdicts, 0.1, known)
        assert case_verdict(report, result) == verdict
        assert report.exit_status == (1 if verdict == UNEXPECTED_PASS else 0)


ENTRY = '[[known]]\nrole = "scheduler"\nrequirement = "S5.1"\ncase = "*"\nreason = "x"\n'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("known = 3", "'known' must be a list of tables: begin each entry with [[known]]"),
        ("known = [3]", "'known' must be a list of tables"),
        ("[known]\nrole = 3", "'known' must be a list of tables"),
        (ENTRY.replace('"x"', "3"), "entry 1 must have the texts role, requirement, case, reason"),
        (ENTRY.replace('role = "scheduler"\n', ""), "entry 1 must have the texts"),
        (ENTRY + 'sometimes = "often"\n', "may have sometimes = true"),
        (ENTRY.replace("scheduler", "sheduler"), "entry 1: unknown role 'sheduler'; there are: scheduler, client"),
        (ENTRY + ENTRY.replace("S5.1", "S99"), "entry 2: unknown requirement 'S99'"),
        (ENTRY.replace("scheduler", "client"), "entry 1: S5.1 binds a scheduler, not a client"),
        ("[[known]", "at line 1"),
    ],
)
def test_a_list_that_cannot_be_meant(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "known.toml"
    path.write_text(text)
    with pytest.raises(KnownFailuresError) as caught:
        load_known_failures(path)
    assert says in str(caught.value)
    answer = CliRunner().invoke(app, ["scheduler", "--subject", "reference", "--known-failing", str(path)])
    assert answer.exit_code == 2
    assert says in answer.output


def test_the_list_that_ships_can_be_read() -> None:
    shipped = Path(__file__).parents[1] / "rescind_conformance" / "known_failures" / "opengris-scaler.toml"
    assert load_known_failures(shipped).entries
