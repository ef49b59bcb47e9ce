"""`rescind conformance scheduler --command`: what a command line leaves open is set for each case."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rescind_conformance.case import LIMIT, TIMEOUT, Profile
from rescind_conformance.cli import app
from rescind_conformance.commanded_profiles import ProfiledScheduler
from rescind_conformance.process import SubjectUnavailable
from rescind_conformance.runner import Plan, run_suite, select_cases

OPTIONS = (
    "--worker-timeout {worker_timeout} --client-timeout {client_timeout} --rebalance-interval {rebalance_interval} "
    "--max-tasks-per-client {max_tasks_per_client} --max-peers {max_peers}"
)
REFERENCE = f"{sys.executable} -m rescind scheduler --endpoint {{endpoint}}"


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        (Profile.DEFAULT, ["86400", "0", "false", "1000000"]),
        (Profile.SHORT_TIMEOUTS, [f"{TIMEOUT:g}", "0", "false", "1000000"]),
        (Profile.RESTLESS, [f"{TIMEOUT:g}", "0.1", "false", "1000000"]),
        (Profile.CLOSABLE, ["86400", "0", "true", "1000000"]),
        (Profile.LIMITED, ["86400", "0", "false", str(LIMIT)]),
    ],
)
def test_each_profile_sets_its_options(tmp_path: Path, profile: Profile, expected: list[str]) -> None:
    command = "sleep {worker_timeout} {rebalance_interval} {accept_shutdown} {max_peers} {endpoint}"
    with ProfiledScheduler(command) as subject:
        started = subject.launch(profile, tmp_path, tmp_path / "log")
        try:
            assert started.command_line[1:-1] == expected
            assert started.command_line[-1].startswith("tcp://127.0.0.1:")
        finally:
            started.stop()


def test_a_scheduler_is_started_as_the_cases_need_it() -> None:
    """One case of the default, one of short time-outs, and one for which the command line has no option."""
    names = ["undispatched.no-worker", "lost-clients.messages-after-silence", "shutdown.client-shuts-down"]
    report = run_suite(
        lambda: ProfiledScheduler(f"{REFERENCE} {OPTIONS}"),
        [case for name in names for case in select_cases(name)],
        Plan(jobs=1),
    )
    assert [(result.departures, result.harness_error) for result in report.results] == [([], None)] * 3
    assert [result.unsupported for result in report.results] == [
        None,
        None,
        "its command line has no {accept_shutdown}",
    ]


def test_a_command_line_needs_an_endpoint() -> None:
    with pytest.raises(SubjectUnavailable, match=r"no \{endpoint\}"):
        ProfiledScheduler("my-scheduler")


def test_only_one_subject_can_be_given() -> None:
    told = CliRunner().invoke(app, ["scheduler", "--command", "x {endpoint}", "--subject", "reference"])
    assert told.exit_code == 2
    assert "only one of --subject, --endpoint and --command" in told.output
