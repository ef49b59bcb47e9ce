"""The C++ peer: it builds without a warning, its own tests pass, and so does the whole suite, under sanitizers."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import peer_toolchains
import pytest

SUITE_SECONDS = 300

pytestmark = [pytest.mark.peers, pytest.mark.long]


def run(command: Sequence[str], environment: Mapping[str, str] | None = None) -> str:
    """Its output. Fails with it if the command does."""
    done = peer_toolchains.run(command, peer_toolchains.CPP, SUITE_SECONDS, environment)
    assert done.returncode == 0, f"{' '.join(command)} exits with {done.returncode}:\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def peer() -> Path:
    """The directory with the peer's programs."""
    return peer_toolchains.built_cpp()


def test_its_own_tests_pass(peer: Path) -> None:
    assert "100% tests passed" in run(["ctest", "--test-dir", str(peer), "--output-on-failure"])


@pytest.mark.parametrize("role", ["scheduler", "client", "worker"])
def test_the_suite_passes_without_a_word_of_the_sanitizers(peer: Path, tmp_path: Path, role: str) -> None:
    subject = {
        "scheduler": ["--command", f"{peer}/cpp-scheduler {{endpoint}} {SCHEDULER_OPTIONS}"],
        "client": ["--adapter", f"{peer}/cpp-client-adapter"],
        "worker": ["--adapter", f"{peer}/cpp-worker-adapter"],
    }[role]
    sanitizers = {f"{name}_OPTIONS": f"log_path={tmp_path}/sanitizer" for name in ("ASAN", "UBSAN")}
    assert " pass" in run([sys.executable, "-m", "rescind", "conformance", role, *subject, "--jobs", "2"], sanitizers)
    assert [report.read_text() for report in tmp_path.iterdir()] == []


SCHEDULER_OPTIONS = " ".join(
    f"--{name.replace('_', '-')} {{{name}}}"
    for name in (
        *("worker_timeout", "client_timeout", "rebalance_interval"),
        *("accept_shutdown", "max_tasks_per_client", "max_peers", "max_bytes_per_client"),
        "max_tasks_per_worker",
    )
)
"""What `rescind conformance scheduler --command` sets for each case."""
