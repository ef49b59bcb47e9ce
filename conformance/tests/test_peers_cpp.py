"""The C++ peer: it builds without a warning, its own tests pass, and so does a part of the suite, under sanitizers.

A step of its own in CI: `pytest -m peers`. The whole suite against it: its README.md.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

PEER = Path(__file__).parents[1] / "peers" / "cpp"
PRESET = "sanitize"
BUILD = PEER / "build" / PRESET
"""Ignored by git, and kept: a second run compiles what has changed."""
PACKAGES = {
    "cmake": "cmake",
    "capnp": "capnproto",
    "c++": "g++",
    "pkg-config": "pkg-config",
}
"""Programs that the build needs, with Debian's package of each."""
LIBRARIES = {"capnp": "libcapnp-dev", "libzmq": "libzmq3-dev", "nlohmann_json": "nlohmann-json3-dev"}
"""Libraries that it needs, as pkg-config names them."""
BUILD_SECONDS = 600
SUITE_SECONDS = 120

pytestmark = pytest.mark.peers


def missing_packages() -> list[str]:
    """What has to be installed before the peer can be built."""
    missing = [package for program, package in PACKAGES.items() if shutil.which(program) is None]
    if "pkg-config" in missing:
        return [*missing, *LIBRARIES.values()]  # it cannot be asked what is there
    return missing + [
        package
        for library, package in LIBRARIES.items()
        if subprocess.run(["pkg-config", "--exists", library], check=False).returncode != 0
    ]


def run(command: Sequence[str], seconds: float, environment: Mapping[str, str] | None = None) -> str:
    """Its output. Fails with it if the command does."""
    done = subprocess.run(
        command,
        cwd=PEER,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(command)} exits with {done.returncode}:\n{done.stdout}"
    return done.stdout


@pytest.fixture(scope="module")
def peer() -> Path:
    """The directory with the peer's programs."""
    missing = missing_packages()
    if missing:
        reason = f"the C++ peer cannot be built: apt-get install {' '.join(missing)}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    run(["cmake", "--preset", PRESET], BUILD_SECONDS)
    run(["cmake", "--build", "--preset", PRESET, "--parallel", "2"], BUILD_SECONDS)
    return BUILD


def test_its_own_tests_pass(peer: Path) -> None:
    assert "100% tests passed" in run(["ctest", "--test-dir", str(peer), "--output-on-failure"], SUITE_SECONDS)


@pytest.mark.parametrize(
    ("role", "tags"),
    [
        ("scheduler", ("crossing", "rebalancing", "malformed")),
        ("client", ("asking", "callbacks", "malformed")),
        ("worker", ("running", "leaving", "malformed")),
    ],
)
def test_part_of_the_suite_passes_without_a_word_of_the_sanitizers(
    peer: Path, tmp_path: Path, role: str, tags: tuple[str, ...]
) -> None:
    subject = {
        "scheduler": ["--command", f"{peer}/cpp-scheduler {{endpoint}} {SCHEDULER_OPTIONS}"],
        "client": ["--adapter", f"{peer}/cpp-client-adapter"],
        "worker": ["--adapter", f"{peer}/cpp-worker-adapter"],
    }[role]
    sanitizers = {f"{name}_OPTIONS": f"log_path={tmp_path}/sanitizer" for name in ("ASAN", "UBSAN")}
    for tag in tags:
        command = [sys.executable, "-m", "rescind", "conformance", role, *subject, "--tag", tag]
        assert " pass" in run(command, SUITE_SECONDS, sanitizers)
    assert [report.read_text() for report in tmp_path.iterdir()] == []


SCHEDULER_OPTIONS = " ".join(
    f"--{name.replace('_', '-')} {{{name}}}"
    for name in (
        *("worker_timeout", "client_timeout", "rebalance_interval"),
        *("accept_shutdown", "max_tasks_per_client", "max_peers"),
    )
)
"""What `rescind conformance scheduler --command` sets for each case."""
