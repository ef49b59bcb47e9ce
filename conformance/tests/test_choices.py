"""The options of the commands: what cannot be meant, and what a run leaves out or says beforehand."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import zmq
from test_replay import recorded
from test_report import missing, result, suite
from test_runner import ToyScheduler
from typer.testing import CliRunner

from rescind_conformance import cli, subjects
from rescind_conformance.case import Case, all_cases
from rescind_conformance.cli import app
from rescind_conformance.process import SubjectUnavailable
from rescind_conformance.requirements import load_requirements
from rescind_conformance.runner import Plan, SuiteReport
from rescind_conformance.subjects import RunningEndpoint, free_port

Played = list[tuple[str, list[str], Plan]]


def invoke(*arguments: str) -> tuple[int, str]:
    """The exit status and what was printed. Whatever is raised but an exit is raised here."""
    answer = CliRunner().invoke(app, arguments, catch_exceptions=False)
    return answer.exit_code, answer.output


# --- an endpoint of a scheduler that should run


@pytest.mark.parametrize("endpoint", ["foo", "", "tcp://127.0.0.1", "tcp://*:99"])
def test_what_is_no_endpoint_is_said_at_once(endpoint: str) -> None:
    status, output = invoke("scheduler", "--endpoint", endpoint)
    assert status == 2
    assert f"{endpoint!r} is no endpoint to connect to (Invalid argument)" in output


def test_where_nobody_listens_no_case_is_played(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(subjects, "CONNECT_SECONDS", 0.2)
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    says = f"no ZeroMQ connection to {endpoint} came about in 0.2 s"
    replay = tmp_path / "replay.json"
    replay.write_text(json.dumps(recorded("answers twice")))
    for arguments in (["scheduler", "--endpoint", endpoint], ["replay", str(replay), "--endpoint", endpoint]):
        status, output = invoke(*arguments)
        assert status == 2, output
        assert says in output


def test_what_is_no_zeromq_is_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subjects, "CONNECT_SECONDS", 0.2)
    with zmq.Context() as context, context.socket(zmq.PUB) as other:  # answers, but no DEALER can talk to it
        port = other.bind_to_random_port("tcp://127.0.0.1")
        with pytest.raises(SubjectUnavailable, match="no ZeroMQ connection"):
            RunningEndpoint(f"tcp://127.0.0.1:{port}")


def test_a_scheduler_that_listens_and_never_echoes_is_put_to_the_test() -> None:
    toy = ToyScheduler(frozenset({"never echoes"}))
    toy.start()
    try:
        assert RunningEndpoint(toy.endpoint).name == toy.endpoint
    finally:
        toy.stop()


# --- replay files, reports, comparisons


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"drive": "dance"}, "unknown drive 'dance' of a scheduler; there are: steps, case"),
        ({"drive": "walk"}, "unknown drive 'walk' of a scheduler"),
        ({"role": "client"}, "unknown drive 'steps' of a client; there are: actions, case"),
        ({"role": "cook"}, "unknown role 'cook'"),
    ],
)
def test_a_replay_file_that_nobody_can_play(changes: dict[str, Any], says: str, tmp_path: Path) -> None:
    path = tmp_path / "replay.json"
    path.write_text(json.dumps({**recorded("answers twice"), **changes}))
    status, output = invoke("replay", str(path), "--subject", "reference")
    assert status == 2
    assert says in output


def test_a_report_that_cannot_be_written_is_told_before_the_run(tmp_path: Path, played: Played) -> None:
    (tmp_path / "file").write_text("")
    status, output = invoke("scheduler", "--subject", "reference", "--report", str(tmp_path / "file" / "report"))
    assert status == 2
    assert "the report cannot be written" in output
    assert played == []


def test_a_comparison_that_cannot_be_written(tmp_path: Path, played: Played) -> None:
    assert invoke("scheduler", "--subject", "reference", "--report", str(tmp_path))[0] == 0
    report = str(tmp_path / "report.json")
    status, output = invoke("compare", report, report, "--html", str(tmp_path / "none" / "page.html"))
    assert status == 2
    assert "the comparison cannot be written" in output


# --- what is played


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> Played:
    """Runs that are not made: each leaves its role, its cases and its plan here, and passes."""
    return stub_runs(monkeypatch, lambda role: suite(result("fine")))


def stub_runs(monkeypatch: pytest.MonkeyPatch, report_of: Callable[[str], SuiteReport]) -> Played:
    runs: Played = []

    def run_suite(opener: object, cases: Sequence[Case], plan: Plan, **_: object) -> SuiteReport:
        runs.append((cases[0].role, [case.name for case in cases], plan))
        return report_of(cases[0].role)

    monkeypatch.setattr(cli, "run_suite", run_suite)
    return runs


@pytest.mark.parametrize(
    ("departures", "options", "roles"),
    [
        (True, ["--fail-fast"], ["scheduler"]),
        (True, [], ["scheduler", "client", "worker"]),
        (False, ["--fail-fast"], ["scheduler", "client", "worker"]),
    ],
)
def test_fail_fast_ends_the_run_of_all_roles(
    monkeypatch: pytest.MonkeyPatch, departures: bool, options: list[str], roles: list[str]
) -> None:
    report = suite(result("bad", missing()) if departures else result("fine"))
    runs = stub_runs(monkeypatch, lambda role: report)
    status, output = invoke("all", "--subject", "reference", *options)
    assert [role for role, _, _ in runs] == roles
    assert status == (1 if departures else 0)
    assert ("Not begun, by --fail-fast: client, worker" in output) is (len(roles) == 1)


def test_all_takes_a_case_and_a_requirement(played: Played) -> None:
    status, output = invoke("all", "--subject", "reference", "--requirement", "S5.1")
    assert status == 0
    assert [role for role, _, _ in played] == ["scheduler"]
    assert played[0][1] == [case.name for case in all_cases("scheduler") if "S5.1" in case.requirements]
    assert "no case for a client matches requirement S5.1" in output
    played.clear()
    assert invoke("all", "--subject", "reference", "--case", "malformed.null-disconnect")[0] == 0
    assert [role for role, _, _ in played] == ["client", "worker"]
    assert invoke("all", "--subject", "reference", "--case", "none")[0] == 2


def test_several_cases_are_played(played: Played) -> None:
    """Each is given by an option of its own; one that no role has is refused, though others are there."""
    cases = ["crossing.result-crosses-cancel", "asking.canceled"]
    options = [word for case in cases for word in ("--case", case)]
    assert invoke("all", "--subject", "reference", *options)[0] == 0
    assert [(role, names) for role, names, _ in played] == [("scheduler", cases[:1]), ("client", cases[1:])]
    status, output = invoke("all", "--subject", "reference", *options, "--case", "asking.cancelled")
    assert status == 2
    assert "no case for a scheduler or client or worker matches case asking.cancelled" in " ".join(output.split())
    assert len(played) == 2


def test_a_shuffled_order_can_be_had_again(played: Played) -> None:
    status, output = invoke("client", "--subject", "reference", "--shuffle")
    (said,) = re.findall(r"--shuffle --seed (\d+)", output)
    assert status == 0
    assert invoke("client", "--subject", "reference", "--shuffle", "--seed", said)[0] == 0
    assert invoke("client", "--subject", "reference")[0] == 0
    assert [plan.shuffle_seed for _, _, plan in played] == [int(said), int(said), None]
    status, output = invoke("client", "--subject", "reference", "--seed", said)
    assert (status, "--seed goes with --shuffle" in output) == (2, True)


# --- list --json


def test_the_list_for_programs_has_every_requirement_and_every_case() -> None:
    status, output = invoke("list", "--json")
    assert status == 0
    listed = json.loads(output)
    assert [one["id"] for one in listed] == list(load_requirements())
    by_id = {one["id"]: one for one in listed}
    assert by_id["S5.1"]["role"] == "scheduler"
    assert by_id["S5.1"]["level"] == "MUST"
    assert by_id["S5.1"]["text"] == load_requirements()["S5.1"].text
    assert set(by_id["T1"]["cases"]) == {"scheduler", "client", "worker"}
    assert "every case uses it" in by_id["T1"]["not_observable"]["scheduler"]
    for role in ("scheduler", "client", "worker"):
        named = {name for one in listed for name in one["cases"].get(role, [])}
        assert named == {case.name for case in all_cases(role)}


def test_the_list_for_programs_of_one_role_and_by_case() -> None:
    of_workers = json.loads(invoke("list", "--json", "--role", "worker")[1])
    assert {one["role"] for one in of_workers} == {"worker", "all"}
    assert {role for one in of_workers for role in one["cases"]} == {"worker"}
    cases = json.loads(invoke("list", "--json", "--by-case", "--role", "client")[1])
    assert [(one["role"], one["name"]) for one in cases] == [("client", case.name) for case in all_cases("client")]
    assert cases[0].keys() == {"role", "name", "title", "story", "requirements", "tags", "profile"}
