"""What a tap judges: sound conversations, planted faults, orders that only look wrong; live with real parties."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest
import zmq
from lossy_forwarder import forwarding
from test_check import SAID, C, S, W, checked, written
from typer.testing import CliRunner

from rescind import Client, wire
from rescind.cli import whole_app
from rescind.messages import (
    ClientHeartbeat,
    ClientHeartbeatEcho,
    Message,
    Task,
    TaskCancel,
    TaskResult,
    WorkerHeartbeat,
    WorkerHeartbeatEcho,
)
from rescind.trace import TraceEvent, TraceRecord, read_trace
from rescind_conformance.judge.outside import Finding, Seen, explain_from_outside
from rescind_conformance.judge.records import PartyJudge
from rescind_conformance.judge.tapped import TAP, TappedCheck
from rescind_conformance.judge.trace_check import BadTrace, Found

HANG = 60.0
T1 = b"1" * 16

Said = tuple[str, str, Message]
BEATS: list[Said] = [
    (C, S, ClientHeartbeat()),
    (S, C, ClientHeartbeatEcho()),
    (W, S, WorkerHeartbeat(queue_size=1)),
    (S, W, WorkerHeartbeatEcho()),
]
LATER = BEATS * 4
BEGIN: list[Said] = [*BEATS, (C, S, Task(T1)), (S, W, Task(T1))]


def tapped(said: Sequence[Said]) -> list[TraceRecord | TraceEvent]:
    return [TraceRecord(float(number), *one, at=TAP) for number, one in enumerate(said)]


def found(records: Sequence[TraceRecord | TraceEvent], *, at_rest: bool = False) -> list[Found]:
    check = TappedCheck(all_peers=True)
    live = [one for record in records for one in check.feed(record)]
    return live + check.finish(at_rest=at_rest)


def test_a_sound_conversation() -> None:
    assert found(tapped(SAID), at_rest=True) == []


@pytest.mark.parametrize("twice", [5, 8, 10, 12, 14])
def test_what_a_scheduler_says_twice_is_found_after_the_next_fence(twice: int) -> None:
    records = tapped([*SAID[: twice + 1], SAID[twice], *SAID[twice + 1 : -1], *LATER])
    check = TappedCheck(all_peers=True)
    at = [(number, one) for number, record in enumerate(records, start=1) for one in check.feed(record)]
    assert [(one.line, one.party) for _, one in at][:1] == [(twice + 2, S)]
    assert at[0][0] >= len(SAID) - 1  # not before each peer has had an echo


@pytest.mark.parametrize("missing", [5, 12, 14])
def test_what_a_scheduler_does_not_say_is_found_while_it_goes_on(missing: int) -> None:
    records = tapped([*SAID[:missing], *SAID[missing + 1 : -1], *LATER])
    check = TappedCheck(all_peers=True)
    assert S in [one.party for record in records for one in check.feed(record)]


def test_what_is_still_on_its_way_is_no_fault() -> None:
    """The worker's echo overtakes the result to the client, on another connection: S10.2 holds, only the tap sees
    them so.
    """
    late = (S, C, TaskResult(T1))
    said = [*BEGIN, (W, S, TaskResult(T1)), *BEATS[2:], late, *BEATS]
    check = TappedCheck(all_peers=True)
    assert [one for record in tapped(said) for one in check.feed(record)] == []
    assert (check.finish(at_rest=False), check.unsure) == ([], 0)
    never = [*BEGIN, (W, S, TaskResult(T1)), *BEATS[2:], *LATER]
    assert {one.party for one in found(tapped(never))} == {S}


CROSSING: list[Said] = [*BEGIN, (W, S, TaskResult(T1)), *BEATS[2:], (S, C, TaskResult(T1))]
"""As the tap sees it, the echo to the worker comes before what it should come after."""


def test_what_only_looks_wrong_is_explained_and_what_follows_is_judged() -> None:
    crossing: list[Said] = [*CROSSING, *LATER]
    assert found(tapped(crossing)) == []
    wrong: list[Said] = [*crossing, (S, C, TaskResult(T1)), *BEATS]
    assert [(one.line, one.party) for one in found(tapped(wrong))] == [(len(crossing) + 1, S)]


def test_an_order_is_looked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that was found is gone on from: looking again for each record would cost more and more."""
    searches = []

    def counted(judge: PartyJudge, seen: Sequence[Seen]) -> tuple[list[Finding], PartyJudge]:
        searches.append(len(seen))
        return explain_from_outside(judge, seen)

    monkeypatch.setattr("rescind_conformance.judge.tapped.explain_from_outside", counted)
    assert found(tapped([*CROSSING, *LATER, *LATER])) == []
    assert len(searches) == 1


def test_a_worker_may_have_been_given_a_task_as_it_went() -> None:
    """The scheduler has sent a task to a worker whose connection has closed, and does not know that yet. Another worker
    that is free does not show that it forgot the task.
    """
    other = "Worker|v|2"
    free: list[Said] = [(other, S, WorkerHeartbeat(queue_size=1)), (S, other, WorkerHeartbeatEcho())]
    gone = TraceEvent(9.0, TAP, "connection closed", {"peer": W, "by": "peer"})
    beats = [*free, *BEATS[:2]] * 4
    begin = [*free, *CROSSING, *LATER]
    assert found([*tapped(begin), gone, *tapped([(C, S, Task(b"2")), *beats])]) == []
    assert {one.party for one in found(tapped([*begin, (C, S, Task(b"2")), *[*free, *BEATS] * 4]))} == {S}


def test_a_worker_is_judged_at_once() -> None:
    said: list[Said] = [*BEGIN, (W, S, TaskResult(T1)), (W, S, TaskResult(T1))]
    check = TappedCheck()
    at = [(number, one.party) for number, record in enumerate(tapped(said)) for one in check.feed(record)]
    assert at == [(len(said) - 1, W)]
    check.finish(at_rest=False)
    assert list(check.unjudged) == [S]


def legs(said: Sequence[tuple[Said, str]]) -> list[TraceRecord | TraceEvent]:
    return [dataclasses.replace(one, leg=leg) for one, (_, leg) in zip(plain([s for s, _ in said]), said, strict=True)]


def plain(said: Sequence[Said]) -> list[TraceRecord]:
    return [TraceRecord(float(number), *one, at=TAP) for number, one in enumerate(said)]


def test_what_the_tap_has_dropped_or_repeated_is_nobodys_fault() -> None:
    both = [(one, "") for one in BEGIN]
    beats = [(one, "") for one in BEATS]
    result: list[tuple[Said, str]] = [((W, S, TaskResult(T1)), ""), ((S, C, TaskResult(T1)), "")]
    dropped = [*both, result[0], (result[1][0], "in"), *beats * 4]
    assert found(legs(dropped)) == []
    repeated = [*both, result[0], (result[0][0], "out"), *result[1:], (result[1][0], "out"), *beats * 4]
    assert found(legs(repeated)) == []
    # The same, had the parties themselves done it.
    assert [one.party for one in found(tapped([one for one, _ in repeated]))] != []
    assert [one.party for one in found(tapped([one for one, leg in dropped if leg != "in"]))] != []


def test_what_was_sent_to_a_peer_that_has_gone_need_not_be_seen() -> None:
    gone = TraceEvent(9.0, TAP, "connection closed", {"peer": C, "by": "peer"})
    said = [*tapped([*BEGIN, (W, S, TaskResult(T1))]), gone, *tapped([*BEATS[2:] * 4])]
    assert found(said) == []
    stays = tapped([*BEGIN, (W, S, TaskResult(T1)), *LATER])
    assert {one.party for one in found(stays)} == {S}


def test_a_long_conversation_is_forgotten_and_judged_on() -> None:
    many: list[Said] = []
    for number in range(400):
        task = b"%d" % number
        many += [(C, S, Task(task)), (S, W, Task(task)), (W, S, TaskResult(task)), (S, C, TaskResult(task)), *BEATS]
    check = TappedCheck(all_peers=True)
    assert [one for record in tapped([*BEATS, *many]) for one in check.feed(record)] == []
    assert all(len(party.seen) <= 1100 for party in check._parties.values())
    wrong = tapped([(S, C, TaskResult(b"7")), *LATER])
    assert [one.violation.requirement for record in wrong for one in check.feed(record)] == ["S1.1"]


@pytest.mark.parametrize(
    "record",
    [
        TraceRecord(0.0, C, S, ClientHeartbeat()),
        TraceRecord(0.0, C, S, ClientHeartbeat(), at=C),
        TraceRecord(0.0, C, W, ClientHeartbeat(), at=TAP),
        TraceRecord(0.0, C, S, ClientHeartbeat(), at=TAP, leg="sideways"),
        TraceEvent(0.0, TAP, "no such event", {"peer": C}),
        TraceEvent(0.0, TAP, "connection closed", {}),
    ],
)
def test_what_is_no_record_of_a_tap(record: TraceRecord | TraceEvent) -> None:
    with pytest.raises(BadTrace):
        TappedCheck().feed(record)


def test_check_reads_a_taps_trace(tmp_path: Path) -> None:
    path = written(tmp_path, tapped(SAID))
    assert checked(path, "--all-peers") == (
        0,
        "no violations in 20 records of a tap: scheduler and 2 of its peers, from outside.\n",
    )
    status, said = checked(path)
    assert (status, said.splitlines()[0][:27]) == (0, "scheduler was not judged: t")
    wrong = [*SAID[:14], (S, C, TaskResult(T1)), *SAID[14:-1], *LATER]
    status, said = checked(written(tmp_path, tapped(wrong)), "--all-peers")
    assert status == 1
    assert "line 16: S1.1 MUST" in said


class Tap:
    """`rescind tap` as a process."""

    def __init__(self, scheduler: str, *options: str) -> None:
        command = [sys.executable, "-m", "rescind", "tap", "--listen", "tcp://127.0.0.1:0", "--scheduler", scheduler]
        self.process = subprocess.Popen(
            [*command, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.lines: list[str] = []
        self.changed = threading.Condition()
        self.thread = threading.Thread(target=self._read)
        self.thread.start()
        self.endpoint = self.wait_for("listening on ").removeprefix("listening on ")

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self.changed:
                self.lines.append(line.rstrip("\n"))
                self.changed.notify_all()

    def wait_for(self, text: str) -> str:
        with self.changed:
            assert self.changed.wait_for(lambda: any(text in line for line in self.lines), HANG), self.lines
            return next(line for line in self.lines if text in line)

    def say(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def end(self, number: int = signal.SIGINT) -> int:
        self.process.send_signal(number)
        status = self.process.wait(HANG)
        self.thread.join(HANG)
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()
        return status


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[str, list[subprocess.Popen[str]]]]:
    """A scheduler, and what else is to be ended."""
    command = [sys.executable, "-m", "rescind", "scheduler", "--endpoint", "tcp://127.0.0.1:0"]
    scheduler = subprocess.Popen([*command, "--accept-shutdown"], stdout=subprocess.PIPE, text=True)
    started = [scheduler]
    assert scheduler.stdout is not None
    yield scheduler.stdout.readline().removeprefix("listening on ").strip(), started
    for each in started[::-1]:
        each.terminate()
        each.wait(HANG)
    scheduler.stdout.close()


def start_worker(endpoint: str, started: list[subprocess.Popen[str]]) -> None:
    command = [sys.executable, "-m", "rescind", "worker", "--endpoint", endpoint, "--processes", "1"]
    started.append(subprocess.Popen([*command, "--heartbeat-interval", "0.1"], text=True))


def test_a_real_cluster_through_a_tap_is_judged_clean(
    cluster: tuple[str, list[subprocess.Popen[str]]], tmp_path: Path
) -> None:
    """A cancel crosses a result because the tap is told to, while it runs; nobody does anything wrong."""
    endpoint, started = cluster
    trace = tmp_path / "run.jsonl"
    tap = Tap(endpoint, "--record", str(trace), "--judge", "--all-peers")
    start_worker(tap.endpoint, started)
    with Client(tap.endpoint, heartbeat_interval=0.1) as client:
        assert client.submit(pow, 2, 10).result() == 1024
        tap.say("hold TaskCancel@W:1 until TaskResult")
        tap.wait_for("from now on: hold")
        go = tmp_path / "go"
        running = client.submit(_wait_for_file, str(go))
        tap.wait_for("Task T2")
        cancelled: list[bool] = []
        thread = threading.Thread(target=lambda: cancelled.append(running.cancel()))
        thread.start()
        tap.wait_for("held until TaskResult")
        go.touch()
        thread.join(HANG)
        assert cancelled == [True]  # C3.1: the result came while it waited
        tap.wait_for("cancelNotFound")
    tap.wait_for("C1 is disconnected, by itself")
    before = len(read_trace(trace.read_text().splitlines()))
    assert tap.end() == 0
    assert tap.lines[-1].startswith("no violations in ")
    assert tap.lines[-1].endswith("of a tap: scheduler and 2 of its peers, from outside.")
    status, said = checked(str(trace), "--all-peers")
    assert status == 0, said
    records = read_trace(trace.read_text().splitlines())
    assert len(records) >= before > 10
    assert any(isinstance(one, TraceRecord) and one.leg == "in" for one in records)


def _wait_for_file(name: str) -> str:
    import time
    from pathlib import Path

    while not Path(name).exists():
        time.sleep(0.005)
    return "done"


def test_a_planted_fault_of_a_scheduler_is_found_while_it_runs() -> None:
    """It answers each task itself, once more than is right, and no worker ever hears of it."""

    def fault(message: Message) -> Sequence[Message] | None:
        return [TaskResult(message.task_id), TaskResult(message.task_id)] if isinstance(message, Task) else None

    with forwarding(fault) as endpoint:
        tap = Tap(endpoint, "--judge", "--all-peers", "--quiet")
        # A peer of our own making: it does not look at payloads.
        with zmq.Context() as context, context.socket(zmq.DEALER) as client, context.socket(zmq.DEALER) as worker:
            beats = ((worker, W, WorkerHeartbeat(queue_size=1)), (client, C, ClientHeartbeat()))
            for peer, name, _ in beats:
                peer.setsockopt(zmq.IDENTITY, name.encode())
                peer.setsockopt(zmq.LINGER, 0)
                peer.setsockopt(zmq.RCVTIMEO, int(HANG * 1000))
                peer.connect(tap.endpoint)
            for number in range(4):
                for peer, _, beat in beats:
                    peer.send(wire.encode(beat))
                    peer.recv()
                if number == 0:
                    client.send(wire.encode(Task(T1)))
                    assert [wire.decode(client.recv()) for _ in range(2)] == [TaskResult(T1), TaskResult(T1)]
            assert "S" in tap.wait_for("MUST")
        assert tap.end(signal.SIGTERM) == 1
    assert "violation" in tap.lines[-1]


def test_the_end_of_the_tap_explains_nothing(tmp_path: Path) -> None:
    """A cancel is not answered, and the tap is ended before that is sure: no peer has left, which could explain it."""
    trace = tmp_path / "run.jsonl"

    def fault(message: Message) -> Sequence[Message] | None:
        return [] if isinstance(message, TaskCancel) else None

    with forwarding(fault) as endpoint:
        tap = Tap(endpoint, "--judge", "--all-peers", "--record", str(trace))
        with zmq.Context() as context, context.socket(zmq.DEALER) as client:
            client.setsockopt(zmq.IDENTITY, C.encode())
            client.setsockopt(zmq.LINGER, 0)
            client.setsockopt(zmq.RCVTIMEO, int(HANG * 1000))
            client.connect(tap.endpoint)
            for message in (ClientHeartbeat(), Task(T1), TaskCancel(T1), ClientHeartbeat()):
                client.send(wire.encode(message))
            for _ in range(2):
                assert isinstance(wire.decode(client.recv()), ClientHeartbeatEcho)
            assert tap.end() == 0
    assert tap.lines[-2].startswith("What came last may be wrong")
    assert "connection closed" not in trace.read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_leaves_nothing_behind(number: int, tmp_path: Path) -> None:
    place = tmp_path / "tap"
    command = [sys.executable, "-m", "rescind", "tap", "--listen", f"ipc://{place}", "--scheduler", "tcp://127.0.0.1:9"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == f"listening on ipc://{place}\n"
    assert place.exists()
    assert psutil.Process(process.pid).children(recursive=True) == []
    os.kill(process.pid, number)
    assert process.wait(HANG) == 0
    process.stdout.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--scheduler", "nowhere"], "'nowhere' is no endpoint; give one like tcp://127.0.0.1:6378"),
        (["--scheduler", "tcp://127.0.0.1:0"], "nobody listens at port 0"),
        (["--delay", "TaskCancel"], "write MESSAGE[@PEER][:COUNT][%PERCENT]=SECONDS[..SECONDS]"),
        (["--delay", "TaskCancel=2..1"], "the seconds go from the least to the most"),
        (["--drop", "TaskCancl"], "there is no message 'TaskCancl'; there are: *, malformed, Task, TaskCancel,"),
        (["--drop", "TaskCancel=1"], "write MESSAGE[@PEER][:COUNT][%PERCENT]"),
        (["--drop", "Task:0"], "the count is 1 or more"),
        (["--drop", "Task%200"], "the percentage is more than 0 and at most 100"),
        (["--drop", "Task until Task"], "only a hold has an end"),
        (["--all-peers"], "give --judge, too"),
        (["--record", "/nowhere/at/all"], "cannot write /nowhere/at/all: No such file or directory"),
    ],
)
def test_what_cannot_be_is_told(options: list[str], said: str) -> None:
    result = CliRunner().invoke(whole_app(), ["tap", "--listen", "tcp://127.0.0.1:0", *options])
    assert result.exit_code == 2
    assert said in result.output


def test_a_place_that_is_taken() -> None:
    with forwarding(lambda _: None) as endpoint:
        result = CliRunner().invoke(whole_app(), ["tap", "--listen", endpoint])
    assert result.exit_code == 2
    assert "Choose another --listen" in result.output


def test_what_it_writes_is_json(tmp_path: Path) -> None:
    path = written(tmp_path, [*legs([(SAID[0], "in")]), TraceEvent(1.0, TAP, "connection opened", {"peer": C})])
    first, second = (json.loads(line) for line in Path(path).read_text().splitlines())
    assert (first["at"], first["leg"], first["from"]) == ("tap", "in", C)
    assert second == {"time": 1.0, "at": "tap", "event": "connection opened", "peer": C}
