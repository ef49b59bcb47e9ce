"""`rescind check`: recorded traces are judged, whole ones and ones that were tampered with."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rescind.cli import whole_app
from rescind.messages import (
    CancelConfirmType,
    ClientDisconnect,
    ClientHeartbeat,
    ClientHeartbeatEcho,
    DisconnectType,
    Message,
    Task,
    TaskCancel,
    TaskCancelConfirm,
    TaskResult,
    WorkerHeartbeat,
    WorkerHeartbeatEcho,
)
from rescind.trace import TraceEvent, TraceRecord, TraceWriter, read_trace

C, W, W2, S = "Client|a|1", "Worker|w|1", "Worker|w|2", "scheduler"
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


STARTED = TraceEvent(0.0, S, "scheduler started")


@pytest.mark.parametrize("cut", range(len(SAID)))
def test_a_scheduler_is_killed_and_started_anew(tmp_path: Path, cut: int) -> None:
    """What the first life owed nobody is blamed for, not even by peers of which nothing came any more (TRACES.md)."""
    others = {C: "Client|a|2", W: "Worker|w|2", S: S}
    again = [(others[sender], others[receiver], message) for sender, receiver, message in SAID]
    records = [STARTED, *trace_of(SAID[:cut]), STARTED, *trace_of(again)]
    status, said = checked(written(tmp_path, records), "--at-rest")
    assert status == 0, said


def test_a_peer_that_goes_on_at_the_next_scheduler(tmp_path: Path) -> None:
    """T4; told once for each peer."""
    path = written(tmp_path, [STARTED, *trace_of(SAID), STARTED, *trace_of(SAID)])
    status, said = checked(path)
    assert status == 1
    assert [line for line in said.splitlines() if ": T4 MUST: " in line] == [
        f"line {line}: T4 MUST: {peer} goes on under its routing id at the next S"
        for line, peer in ((len(SAID) + 3, "C1"), (len(SAID) + 5, "W1"))
    ]


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
        ('{"time": 1, "at": "scheduler", "event": "party"}\n', "line 1: no such event: 'party'"),
        ('{"time": 1, "at": "scheduler", "event": "unseen", "peer": "a"}\n', "line 1: no such event: 'unseen'"),
        ('{"time": 1, "at": "scheduler", "event": "peer lost"}\n', "line 1: 'peer lost' has no 'peer'"),
        ('{"time": 1, "at": "scheduler", "event": "peer lost", "peer": ["a"]}\n', "cannot have the peer ['a']"),
        ('{"time": 1, "at": "a", "event": "peer lost", "peer": "b"}\n', "'peer lost' is no event of a"),
        ('{"time": 1, "at": "scheduler", "event": "settled", "task": "11"}\n', "is no event of scheduler"),
        (
            '{"time": 1, "at": "a", "event": "settled", "task": "11", "outcome": "lost"}\n',
            "have the outcome 'lost'",
        ),
        (
            '{"time": 1, "at": "a", "event": "settled", "task": "no", "outcome": "finished"}\n',
            "non-hexadecimal",
        ),
        ('{"time": 1, "at": "a", "event": "cancel called", "task": "11", "call": "x"}\n', "cannot have the call 'x'"),
        ('{"time": 1, "at": "a", "event": "cancel called", "task": "11", "call": true}\n', "cannot have the call True"),
        ('{"time": 1, "at": "a", "event": "cancel returned", "task": "11", "call": 1}\n', "has no 'value'"),
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


# A scheduler without records of its own


def at_peers(said: list[tuple[str, str, Message]]) -> list[TraceRecord | TraceEvent]:
    """The records of clients and workers."""
    ends = (({sender, receiver} - {S}, (sender, receiver, message)) for sender, receiver, message in said)
    return [TraceRecord(float(number), *one, at=min(at)) for number, (at, one) in enumerate(ends)]


LOST_BY_SILENCE: list[tuple[str, str, Message]] = [
    *SAID[:6],
    (W2, S, WorkerHeartbeat(queue_size=1)),
    (S, W2, Task(T1)),
    (S, W2, WorkerHeartbeatEcho()),
    (W2, S, TaskResult(T1)),
    (S, C, TaskResult(T1)),
    (W, S, WorkerHeartbeat(queue_size=1)),
    (S, W, ClientDisconnect()),
]
SHUT_DOWN: list[tuple[str, str, Message]] = [
    *SAID[:7],
    (S, C, TaskCancelConfirm(T2, CANCELED)),
    (S, W, ClientDisconnect(DisconnectType.SHUTDOWN)),
    (S, C, TaskCancelConfirm(T1, CANCELED)),
]


def said_of_the_scheduler(path: str, *options: str) -> tuple[list[str], str]:
    """The requirements that it is told to break, and the last line. (The peers' events are not in these traces.)"""
    output = checked(path, *options)[1].splitlines()
    return [line.split()[2] for line in output if re.match(r"line \d+: \S+ \S+ S ", line)], output[-1]


@pytest.mark.parametrize("said", [LOST_BY_SILENCE, SHUT_DOWN], ids=["a time-out", "an operator"])
def test_what_no_peer_can_see_may_have_happened(tmp_path: Path, said: list[tuple[str, str, Message]]) -> None:
    broken, summary = said_of_the_scheduler(written(tmp_path, at_peers(said)), "--all-peers", "--at-rest")
    assert broken == []
    assert summary.endswith("and scheduler from outside.")


def test_what_no_order_explains_is_broken(tmp_path: Path) -> None:
    """Nobody has asked for what the second worker gets."""
    said = [*LOST_BY_SILENCE[:7], *LOST_BY_SILENCE[8:]]
    assert said_of_the_scheduler(written(tmp_path, at_peers(said)), "--all-peers")[0] == ["S8.1"]


def test_of_some_peers_alone_no_scheduler_is_judged(tmp_path: Path) -> None:
    """That the others said nothing cannot be known."""
    path = written(tmp_path, at_peers([one for one in SAID if W in one[:2]]))
    assert said_of_the_scheduler(path, "--at-rest")[0] == []
    assert "scheduler was not judged: it has no records of its own" in checked(path, "--at-rest")[1]
    assert said_of_the_scheduler(path, "--all-peers")[0] != []


def test_a_stranger_hides_nothing(tmp_path: Path) -> None:
    """A frame of somebody who is neither client nor worker; what is missing at the end is found all the same."""
    stranger = TraceRecord(0.0, "somebody", S, None, "no message")
    path = written(tmp_path, [*trace_of(SAID[:12]), stranger])
    status, output = checked(path, "--at-rest")
    assert status == 1
    assert "line 13: S3.1 MUST: S has not sent C1 TaskCancelConfirm T2 canceled" in output
    assert "somebody was not judged: nothing tells whether it is a client or a worker" in output
