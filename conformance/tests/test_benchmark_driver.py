"""The benchmark's driver: every task gets its one answer, or the benchmark fails and says why."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest
from lossy_forwarder import Fault, forwarding

from rescind import wire
from rescind.messages import (
    CancelConfirmType,
    Message,
    Task,
    TaskCancel,
    TaskCancelConfirm,
    TaskResult,
    TaskResultType,
)
from rescind_conformance.benchmark.contestants import CONTESTANTS, ON_REQUEST, Running, open_contestant
from rescind_conformance.benchmark.driver import BenchmarkFailed
from rescind_conformance.benchmark.forms import FrameForm, Recogniser
from rescind_conformance.benchmark.rounds import Plan, measure_round
from rescind_conformance.findings import new_task_id

_SMALL = Plan(tasks=300, window=50, workers=2, round_trips=10, rate=200, silence=0.5)


def _measure(fault: Fault, folder: Path) -> dict[str, float]:
    with forwarding(fault) as endpoint:
        return measure_round(Running(endpoint, os.getpid(), None, lambda: ""), folder, _SMALL, lambda _: None)


class _Nth:
    """Does something to the nth message of a kind."""

    def __init__(self, kind: type[Message], number: int, *instead: str) -> None:
        self._kind = kind
        self._left = number
        self._instead = instead

    def __call__(self, message: Message) -> Sequence[Message] | None:
        if isinstance(message, self._kind):
            self._left -= 1
            if self._left == 0:
                return [_changed(message, how) for how in self._instead]
        return None


def _changed(message: Message, how: str) -> Message:
    assert isinstance(message, Task | TaskCancel | TaskCancelConfirm | TaskResult)
    match how:
        case "same":
            return message
        case "other task":
            return TaskResult(new_task_id())
        case "failed":
            return TaskResult(message.task_id, TaskResultType.FAILED)
        case "not found":
            return TaskCancelConfirm(message.task_id, CancelConfirmType.CANCEL_NOT_FOUND)
        case "canceled":
            return TaskCancelConfirm(message.task_id, CancelConfirmType.CANCELED)
    raise ValueError(how)


def test_a_scheduler_that_does_its_work_is_measured(tmp_path: Path) -> None:
    found = _measure(lambda _: None, tmp_path)
    assert found["tasks_per_second"] > 0
    assert found["cancel_cpu"] > 0
    assert found["idle_p50"] <= found["idle_p99"] <= found["idle_p99.9"]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (_Nth(TaskResult, 600), "1 of the tasks wait for a result"),
        (_Nth(TaskCancelConfirm, 600), "1 of the tasks wait for canceled"),
        (_Nth(TaskResult, 600, "same", "same"), "has had its answer"),
        (_Nth(TaskCancelConfirm, 600, "same", "same"), "has had its answer"),
        (_Nth(TaskResult, 600, "other task"), "waits for none"),
        (_Nth(TaskResult, 600, "failed"), "a TaskResult of task"),
        (_Nth(TaskCancelConfirm, 600, "not found"), "CANCEL_NOT_FOUND of task"),
        (_Nth(TaskCancel, 600, "canceled"), "did something else"),
    ],
    ids=["lost", "lost-cancel", "twice", "twice-cancel", "stranger", "failed", "refused", "not-asked"],
)
def test_a_scheduler_that_does_not_makes_the_benchmark_fail(fault: Fault, said: str, tmp_path: Path) -> None:
    with pytest.raises(BenchmarkFailed, match=said):
        _measure(fault, tmp_path)
    assert not _players()


def test_a_scheduler_that_dies_is_told_with_its_last_words(tmp_path: Path) -> None:
    contestant = open_contestant("forwarder")
    try:
        with contestant.serving() as running:
            assert running.pid is not None
            process = psutil.Process(running.pid)

            def on_step(step: str) -> None:
                if "cancels" in step:
                    process.kill()

            with pytest.raises(BenchmarkFailed, match="The scheduler has ended"):
                measure_round(running, tmp_path, _SMALL, on_step)
    finally:
        contestant.close()
    assert not _players()


@pytest.mark.parametrize("name", [*CONTESTANTS, *ON_REQUEST])
def test_each_subject_is_measured(name: str, tmp_path: Path) -> None:
    contestant = open_contestant(name)
    try:
        with contestant.serving() as running:
            plan = Plan(tasks=300, window=50, workers=2, round_trips=10, rate=200)
            found = measure_round(running, tmp_path, plan, lambda _: None)
    finally:
        contestant.close()
    assert found["start"] > 0
    assert 0 < found["task_main_cpu"] <= found["task_cpu"]


def test_frames_are_filled_as_they_would_be_encoded() -> None:
    task_id = new_task_id()
    assert FrameForm(TaskCancel).fill(task_id) == wire.encode(TaskCancel(task_id))
    twice = FrameForm(lambda each: TaskResult(each, results=(b"o" * 16 + each,)))
    assert twice.fill(task_id) == wire.encode(TaskResult(task_id, results=(b"o" * 16 + task_id,)))


def test_frames_are_recognised_by_every_byte_but_the_task_id() -> None:
    recogniser = Recogniser(repr)
    first, second = new_task_id(), new_task_id()
    meaning, task_id = recogniser.read(wire.encode(TaskCancel(first)))
    assert (meaning, task_id) == (repr(TaskCancel(first)), first)
    assert recogniser.read(wire.encode(TaskCancel(second))) == (meaning, second)
    assert recogniser.decoded == 1
    assert recogniser.read(wire.encode(TaskCancel(second, force=True)))[0] != meaning
    assert recogniser.decoded == 2
    with pytest.raises(wire.WireError):
        recogniser.read(wire.encode(TaskCancel(second))[:-8])


def _players() -> list[psutil.Process]:
    """Those that this test process has started and that still run."""
    return [one for one in psutil.Process().children(recursive=True) if "benchmark" in " ".join(one.cmdline())]
