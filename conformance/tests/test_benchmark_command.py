"""The command `rescind benchmark`: what it prints and writes, its exit status, and that nothing is left of it."""

from __future__ import annotations

import importlib.util
import json
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from lossy_forwarder import forwarding

from rescind.messages import Message, TaskResult

pytestmark = pytest.mark.long

_COMMAND = (sys.executable, "-m", "rescind", "benchmark")
_SMALL = ("--rounds", "1", "--tasks", "300", "--quick")


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*_COMMAND, *arguments], capture_output=True, text=True, timeout=120, check=False)


def test_two_subjects_are_compared(tmp_path: Path) -> None:
    done = _run("scheduler", *_SMALL, "--subject", "reference", "--subject", "forwarder", "--output", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "scheduler CPU a task" in done.stdout
    assert "round 1, forwarder" in done.stderr
    written = json.loads((tmp_path / "benchmark.json").read_text(encoding="utf-8"))
    figures = written["scheduler"]
    if importlib.util.find_spec("matplotlib"):
        assert "<svg" in (tmp_path / "benchmark.svg").read_text(encoding="utf-8")
    ours, limit = (figures["subjects"][name]["task_cpu"]["rounds"] for name in ("reference", "forwarder"))
    assert figures["ratios"]["reference / forwarder"]["task_cpu"]["median"] == pytest.approx(ours[0] / limit[0])
    assert figures["settings"]["tasks"] == 300
    assert figures["command"].startswith("rescind benchmark scheduler --rounds 1")


def test_a_scheduler_that_runs_already_is_measured() -> None:
    with forwarding(lambda _: None) as endpoint:
        done = _run("scheduler", *_SMALL, "--endpoint", endpoint)
    assert done.returncode == 0, done.stderr
    assert "scheduler CPU" not in done.stdout  # nobody said which process it is
    assert "cancel, in a flood, p50" in done.stdout


def test_a_falsified_answer_is_exit_status_1() -> None:
    def twice(message: Message) -> list[Message] | None:
        return [message, message] if isinstance(message, TaskResult) else None

    with forwarding(twice) as endpoint:
        done = _run("scheduler", *_SMALL, "--endpoint", endpoint)
    assert done.returncode == 1
    assert "has had its answer" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--subject", "none"], "unknown subject 'none'"),
        (["--pid", "1"], "--pid goes with --endpoint"),
        (["--endpoint", "nonsense"], "is no endpoint"),
        (["--subject", "forwarder", "--output", "/dev/null/here"], "cannot be written"),
    ],
)
def test_what_cannot_run_is_exit_status_2(arguments: list[str], said: str) -> None:
    done = _run("scheduler", *arguments)
    assert done.returncode == 2
    assert said in done.stderr


_SCHEDULER = ("scheduler", "--tasks", "1000000")
_SYSTEM = ("system", "--tasks", "1000000", "--system")


@pytest.mark.parametrize(
    ("arguments", "number"),
    [
        (_SCHEDULER, signal.SIGINT),
        (_SCHEDULER, signal.SIGTERM),
        ((*_SYSTEM, "reference"), signal.SIGINT),
        ((*_SYSTEM, "opengris-scaler"), signal.SIGTERM),
    ],
)
def test_nothing_is_left_of_a_run_that_is_ended(arguments: tuple[str, ...], number: signal.Signals) -> None:
    with subprocess.Popen([*_COMMAND, *arguments], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "1,000,000 tasks" in line:
                break
        family = psutil.Process(process.pid).children(recursive=True)
        assert len(family) >= 3  # a scheduler, a client, workers
        process.send_signal(number)
        assert process.wait(60) == 128 + number
    _, alive = psutil.wait_procs(family, timeout=10)
    assert not alive


def test_tasks_that_are_held(tmp_path: Path) -> None:
    done = _run("held", "--quick", "--subject", "forwarder", "--output", str(tmp_path))
    assert done.returncode == 0, done.stderr
    written = json.loads((tmp_path / "benchmark.json").read_text(encoding="utf-8"))["held"]
    assert {one["where"] for one in written["measurements"]} == {"dispatched"}  # it holds none by itself
    (slope,) = written["slopes"]
    assert slope["slope"] < 1.5
    assert "µs a cancel" in done.stdout


@pytest.mark.parametrize("name", ["reference", "opengris-scaler", "dask", "process-pool"])
def test_a_whole_system(name: str, tmp_path: Path) -> None:
    if name == "dask" and importlib.util.find_spec("distributed") is None:
        pytest.skip("Dask is not installed: pip install 'rescind[benchmark]'")
    done = _run("system", "--quick", "--tasks", "20", "--system", name, "--output", str(tmp_path))
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "benchmark.json").read_text(encoding="utf-8"))["system"]["subjects"][name]
    assert found["many_seconds"]["median"] > 0
    assert found["alone_milliseconds"]["median"] > 0
    assert ("chunk_calls" in found) == (name in ("reference", "process-pool"))
    assert ("running_milliseconds" in found) == (name in ("reference", "opengris-scaler"))
    if "running_milliseconds" in found:
        assert found["queued_ran"]["median"] == 0


def test_a_system_that_is_not_there_is_exit_status_2() -> None:
    done = _run("system", "--system", "none")
    assert done.returncode == 2
    assert "unknown system 'none'" in done.stderr
