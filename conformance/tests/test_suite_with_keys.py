"""The suite as the peers of a scheduler that uses CURVE."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rescind.cli import whole_app
from rescind.curve import Role, make_keys
from rescind.scheduler import Scheduler
from rescind_conformance.runner import Plan, run_suite, select_cases
from rescind_conformance.subjects import RunningEndpoint

HANG = 20.0


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("keys")
    make_keys(directory, [(Role.CLIENT, "suite"), (Role.WORKER, "suite")])
    return directory


@pytest.fixture(scope="module")
def endpoint(keys: Path) -> Iterator[str]:
    """A scheduler with keys, in a thread."""
    scheduler = Scheduler("tcp://127.0.0.1:0", rebalance_interval=None, grace=0.0, curve=keys / "scheduler")
    thread = threading.Thread(target=scheduler.run, daemon=True)
    thread.start()
    yield scheduler.endpoint
    scheduler.stop()
    thread.join(HANG)
    assert not thread.is_alive()


@pytest.mark.parametrize("glob", ["crossing.*", "ownership.*", "roles.*", "joining.*"])
def test_the_reference_keeps_the_specification_with_keys(endpoint: str, keys: Path, glob: str) -> None:
    curve = {role: keys / role.folder / "suite" for role in Role}
    cases = [case for case in select_cases(glob, None, None, role="scheduler") if case.profile.value == "default"]
    assert len(cases) >= 3
    report = run_suite(lambda: RunningEndpoint(endpoint, curve), cases, Plan(jobs=1))
    assert not report.departed
    assert report.exit_status == 0


def test_the_command_takes_keys(endpoint: str, keys: Path) -> None:
    base = ["conformance", "scheduler", "--endpoint", endpoint, "--case", "crossing.result-crosses-cancel"]
    clients, workers = (
        ["--curve-client", str(keys / "clients/suite")],
        ["--curve-worker", str(keys / "workers/suite")],
    )
    run = CliRunner().invoke(whole_app(), [*base, *clients, *workers])
    assert run.exit_code == 0, run.output
    run = CliRunner().invoke(whole_app(), [*base, *clients])
    assert run.exit_code == 2
    assert "go together" in run.output
    run = CliRunner().invoke(whole_app(), [*base, "--curve-client", str(keys / "scheduler"), *workers])
    assert run.exit_code == 2
    assert "has no client.key_secret" in run.output


def test_a_scheduler_that_asks_for_keys_is_told_of_at_once(endpoint: str) -> None:
    run = CliRunner().invoke(whole_app(), ["conformance", "scheduler", "--endpoint", endpoint])
    assert run.exit_code == 2
    assert "it speaks to nobody without keys" in run.output
