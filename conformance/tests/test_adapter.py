"""Adapters that misbehave: what they said is quoted, nothing hangs, and nothing is left behind."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from rescind_conformance import adapter
from rescind_conformance.adapter_subjects import adapter_by_command
from rescind_conformance.process import SubjectUnavailable
from rescind_conformance.runner import Plan, SuiteReport, run_suite, select_cases
from rescind_conformance.verdicts import Verdict

PLAN = Plan(deadline=0.5)


def play(fault: str) -> SuiteReport:
    command = shlex.join([sys.executable, str(Path(__file__).with_name("bad_adapter.py")), fault])
    cases = select_cases("asking.cancel-waits", role="client")
    return run_suite(lambda: adapter_by_command("client", command), cases, PLAN)


@pytest.fixture(autouse=True)
def _nothing_left_behind() -> Iterator[None]:
    yield
    assert psutil.Process().children() == []


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("hello: not JSON", "I am no JSON"),
        ("hello: another role", "for a worker"),
        ("hello: another protocol", "version 7"),
        ("hello: half of it", "'name' is a required property"),
        ("hello: something else", '"event": "settled"'),
        ("hello: twice", "2 lines"),
        ("hello: exits", "ImportError: no module named mine"),
        ("hello: silent", "nothing"),
        ("hello: floods", '"event": "settled"'),
        ("hello: never ends its line", "a line of more than"),
    ],
)
def test_without_an_introduction_nothing_can_run(fault: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter, "START_SECONDS", 2.0 if fault == "hello: silent" else 30.0)
    with pytest.raises(SubjectUnavailable, match=r"(?s).*") as caught:
        play(fault)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("not JSON", "segmentation fault"),
        ("not an object", '["event", "done"]'),
        ("not UTF-8", "a line that is not JSON"),
        ("nested without end", "[[[["),
        ("an unknown event", "dance"),
        ("an answer without its id", "'id' is a required property"),
        ("a field of another kind", "is not of type 'integer'"),
        ("a second answer", "not waiting for one"),
        ("an answer to nobody", "an answer to 999"),
        ("a second hello", "a second hello"),
        ("silent", "does not answer any more"),
        ("crashes", "Segmentation fault (core dumped)"),
        ("closes its output", "ended in the middle of the case"),
        ("floods", "of the task 'T9' it was never told"),
        ("floods with answers to nobody", "which is not waiting for one"),
        ("later: floods", "more than 1500 lines"),
        ("never ends its line", "a line of more than"),
        ("raises", "OSError: no route to host"),
        ("later: an answer without its fields", "an answer to 'submit' without task_id"),
        ("later: answers nothing but unknown commands", "submit(T1) has not returned"),
    ],
)
def test_what_a_bad_adapter_says_is_a_harness_error(fault: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter, "_MOST_LINES", 1500)
    report = play(fault)
    (result,) = report.results
    assert result.departures == []
    assert result.harness_error is not None
    assert says in result.harness_error
    assert [one.verdict for one in report.verdicts] == [Verdict.HARNESS_ERROR]
    assert report.exit_status == 2


def test_a_program_that_is_not_there() -> None:
    with pytest.raises(SubjectUnavailable, match="no-such-program"):
        adapter_by_command("client", "no-such-program --option")


def test_an_empty_command() -> None:
    with pytest.raises(SubjectUnavailable, match="--adapter"):
        adapter_by_command("client", " ")


@pytest.mark.parametrize("role", ["client", "worker"])
def test_the_template_runs_and_supports_nothing(role: str) -> None:
    command = shlex.join([sys.executable, "-m", "rescind_conformance.adapters.template", role])
    report = run_suite(lambda: adapter_by_command(role, command), select_cases(role=role)[:8], PLAN)
    assert {result.harness_error for result in report.results} == {None}
    assert {finding for one in report.verdicts for finding in one.findings.values()} == {Verdict.UNSUPPORTED}
    assert report.exit_status == 0
