"""`rescind check`: recorded traces are judged, whole ones and ones that were tampered with."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rescind.cli import whole_app
from rescind.messages import (
    CancelConfirmType,
    ClientDisconnect,
    ClientHeartbeat,
    ClientHeartbeatEcho,
    Message,
    Task,
    TaskCancel,
    TaskCancelConfirm,
    TaskResult,
    WorkerHeartbeat,
    WorkerHeartbeatEcho,
)
from rescind.trace import TraceEvent, TraceRecord, TraceWriter, read_trace

C, W, S = "Client|a|1", "Worker|w|1", "scheduler"
T1, T2 = b"1" * 16, b"2" * 16
CANCELED, FAILED, _ = CancelConfirmType

SAID: list[tuple[str, str, Message]] = [
    (C, S, ClientHeartbeat()),
    (S, C, ClientHeartbeatEcho()),
    (W, S, WorkerHeartbeat(queue_size=1)),
    (S, W, WorkerHeartbeatEcho()),
    (C, S, Task(T1)),
    (S, W, Task(T1)),
    (C, S, Task(T2)),
    (C, S, TaskCancel(T1)),
    (S, W, TaskCancel(T1)),
    (W, S, TaskCancelConfirm(T1, FAILED)),
    (S, C, TaskCancelConfirm(T1, FAILED)),
    (C, S, TaskCancel(T2)),
    (S, C, TaskCancelConfirm(T2, CANCELED)),
    (W, S, TaskResult(T1)),
    (S, C, TaskResult(T1)),
    (C, S, ClientHeartbeat()),
    (S, C, ClientHeartbeatEcho()),
    (W, S, WorkerHeartbeat(queue_size=1)),
    (S, W, WorkerHeartbeatEcho()),
    (C, S, ClientDisconnect()),
]
NOT_MISSED = {1, 16, 19}
"""Echoes that a client does not wait for, since it leaves; and its good-bye."""


def written(tmp_path: Path, records: list[TraceRecord | TraceEvent]) -> str:
    path = tmp_path / "trace.jsonl"
    with path.open("w", encoding="utf-8") as stream:
        writer = TraceWriter(stream)
        for record in records:
            writer.write(record)
    return str(path)


def trace_of(said: list[tuple[str, str, Message]]) -> list[TraceRecord | TraceEvent]:
    return [TraceRecord(float(number), *one) for number, one in enumerate(said)]


def checked(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(whole_app(), ["check", *arguments])
    return result.exit_code, result.output


def test_a_sound_trace(tmp_path: Path) -> None:
    status, said = checked(written(tmp_path, trace_of(SAID)), "--at-rest")
    assert (status, said) == (0, "no violations in 20 records of scheduler, and 2 of its peers from outside.\n")


@pytest.mark.parametrize("missing", range(len(SAID)))
def test_a_record_is_missing(tmp_path: Path, missing: int) -> None:
    """Nearly each message matters to somebody."""
    path = written(tmp_path, trace_of(SAID[:missing] + SAID[missing + 1 :]))
    status, said = checked(path, "--at-rest")
    assert status == (0 if missing in NOT_MISSED else 1), said


@pytest.mark.parametrize("twice", [5, 8, 10, 12, 14])
def test_a_record_is_there_twice(tmp_path: Path, twice: int) -> None:
    status, said = checked(written(tmp_path, trace_of([*SAID[: twice + 1], SAID[twice], *SAID[twice + 1 :]])))
    assert status == 1, said
    assert f"line {twice + 2}: " in said


def test_what_is_told_of_a_violation(tmp_path: Path) -> None:
    path = written(tmp_path, trace_of([*SAID[:14], (S, C, TaskResult(T2)), *SAID[14:]]))
    status, said = checked(path, "--verbose")
    assert status == 1
    first, rule, *story = said.splitlines()
    assert first == (
        "line 15: S1.2 MUST: S sends C1 TaskResult T2 success after the terminal message TaskCancelConfirm T2 canceled"
    )
    assert rule.startswith("  After the terminal message the scheduler sends nothing more")
    assert [line.split()[-4:] for line in story[-3:-1]] == [
        ["C1", "TaskCancelConfirm", "T2", "canceled"],
        ["C1", "TaskResult", "T2", "success"],
    ]
    assert story[-1] == "1 violation in 21 records of scheduler, and 2 of its peers from outside."


def test_a_worker_is_judged_from_what_the_scheduler_saw(tmp_path: Path) -> None:
    path = written(tmp_path, trace_of([*SAID[:14], (W, S, TaskCancelConfirm(T1, CANCELED)), *SAID[14:]]))
    status, said = checked(path)
    assert status == 1
    assert "line 15: W1." in said.splitlines()[0]


def test_events_count(tmp_path: Path) -> None:
    """A worker falls silent with a cancel open: `canceled` is right if it is lost, and wrong if it is not."""
    records = [*trace_of(SAID[:9]), TraceRecord(9.0, S, C, TaskCancelConfirm(T1, CANCELED))]
    assert checked(written(tmp_path, records))[0] == 1
    lost = TraceEvent(9.0, S, "peer lost", {"peer": W})
    assert checked(written(tmp_path, [*records[:-1], lost, records[-1]]))[0] == 0


def test_a_malformed_frame_is_held_against_its_sender_only(tmp_path: Path) -> None:
    malformed = TraceRecord(0.0, C, S, None, "trailing bytes: 8")
    records = trace_of(SAID)
    status, said = checked(written(tmp_path, [*records[:8], malformed, *records[8:]]))
    assert status == 1
    assert said.startswith("line 9: T2 MUST: C1 sends")
    assert "1 violation" in said


def test_the_first_is_enough_and_standard_input_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    for record in trace_of([*SAID[:6], SAID[5], SAID[5]]):
        TraceWriter(stream).write(record)
    result = CliRunner().invoke(whole_app(), ["check", "-", "--first"], input=stream.getvalue())
    assert result.exit_code == 1
    assert result.output.count("S8.2") == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("nonsense\n", "line 1 of the trace is not a record"),
        ('{"time": 1, "at": "scheduler", "event": "party"}\n', "line 1: no such event"),
        ('{"time": 1, "at": "x", "from": "a", "to": "scheduler", "malformed": ""}\n', "line 1: x neither sent nor"),
        ('{"time": 1, "at": "a", "from": "a", "to": "b", "malformed": ""}\n', "neither to nor from the scheduler"),
    ],
)
def test_what_is_no_trace(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "trace"
    path.write_text(text)
    status, output = checked(str(path))
    assert status == 2
    assert said in output


def test_what_is_written_is_read(tmp_path: Path) -> None:
    records = [
        *trace_of(SAID),
        TraceRecord(1.0, C, S, None, "empty frame", at=C),
        TraceEvent(2.0, S, "peer lost", {"peer": W}),
    ]
    path = Path(written(tmp_path, records))
    assert read_trace(path.read_text().splitlines()) == records
    assert all(isinstance(json.loads(line), dict) for line in path.read_text().splitlines())
