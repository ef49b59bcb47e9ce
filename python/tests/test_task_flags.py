"""What a task's flags do: its priority, and what it writes being sent to its client."""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import cloudpickle
import pytest
from cluster import Cluster, running_cluster
from scaler.utility.metadata.task_flags import TaskFlags as ScalerTaskFlags

from rescind.client import Client
from rescind.messages import Task, TaskLog, TaskLogType, TaskResultType
from rescind.task_flags import TaskFlags, priority_here, read_flags, running_with
from rescind.task_output import sent_line_by_line
from rescind.worker_machine import (
    Finished,
    ProcessEnded,
    Received,
    Send,
    Start,
    WorkerMachine,
    WorkerSettings,
    Wrote,
)

cloudpickle.register_pickle_by_value(sys.modules[__name__])

HANG = 60.0
"""Seconds; only bounds how long a failing test takes."""


@pytest.mark.parametrize(
    "flags", [TaskFlags(), TaskFlags(priority=3), TaskFlags(stream_output=True), TaskFlags(True, 2**31 - 1, True)]
)
def test_flags_are_those_of_scaler(flags: TaskFlags) -> None:
    data = flags.to_bytes()
    assert read_flags(data) == flags
    if data:
        theirs = ScalerTaskFlags.deserialize(data)
        assert (theirs.profiling, theirs.priority, theirs.stream_output) == (
            flags.profiling,
            flags.priority,
            flags.stream_output,
        )
    assert read_flags(ScalerTaskFlags(False, 5, True).serialize()) == TaskFlags(False, 5, True)


@pytest.mark.parametrize("metadata", [b"", b"\x00", b"\x01\x02\x03", bytes(7), b"{'priority': 1}"])
def test_metadata_of_another_layout_reads_as_no_flags(metadata: bytes) -> None:
    assert read_flags(metadata) == TaskFlags()


def test_a_negative_priority_is_the_lowest() -> None:
    assert read_flags(ScalerTaskFlags(False, -4, False).serialize()).priority == 0


def test_what_a_task_submits_goes_before_it() -> None:
    assert priority_here() == 0
    with running_with(0):
        assert priority_here() == 1
        with running_with(2**31 - 1):
            assert priority_here() == 2**31 - 1
    assert priority_here() == 0


def task(name: bytes, priority: int = 0) -> Task:
    return Task(name, b"Client|c|1", TaskFlags(priority=priority).to_bytes())


class Bench:
    """A worker machine, and which tasks it has started."""

    def __init__(self, processes: int) -> None:
        self.machine = WorkerMachine(WorkerSettings(processes=processes))

    def take(self, *tasks: Task) -> list[bytes]:
        return [name for one in tasks for name in self._started(Received(one, 0.0))]

    def finish(self, name: bytes) -> list[bytes]:
        return self._started(Finished(name, TaskResultType.SUCCESS, ()))

    def end(self, name: bytes) -> list[bytes]:
        return self._started(ProcessEnded(name))

    def _started(self, event: Received | Finished | ProcessEnded) -> list[bytes]:
        return [one.task.task_id for one in self.machine.handle(event) if isinstance(one, Start)]


def test_a_task_does_not_wait_for_those_of_a_lower_priority() -> None:
    bench = Bench(2)
    assert bench.take(task(b"a"), task(b"b"), task(b"c")) == [b"a", b"b"]
    assert bench.take(task(b"d", 1), task(b"e", 1), task(b"f", 1)) == [b"d", b"e"]
    assert bench.take(task(b"g", 2)) == [b"g"]
    assert bench.finish(b"g") == []  # those of priority 1 have both of their places
    assert bench.finish(b"d") == [b"f"]
    assert bench.finish(b"a") == []  # c would be the fourth that runs
    assert bench.finish(b"e") == []
    assert bench.end(b"f") == [b"c"]


def test_the_highest_priority_is_next_and_then_the_oldest() -> None:
    bench = Bench(1)
    waiting = [task(b"low"), task(b"one", 1), task(b"two", 2), task(b"one more", 1)]
    assert bench.take(task(b"runs", 3), *waiting) == [b"runs"]
    order = [b"runs"]
    while started := bench.finish(order[-1]):
        order += started
    assert order == [b"runs", b"two", b"one", b"one more", b"low"]


def test_what_a_task_writes_is_sent_while_it_runs() -> None:
    machine = WorkerMachine()
    machine.handle(Received(task(b"T1"), 0.0))
    log = TaskLog(b"T1", TaskLogType.STDERR, "text\n")
    assert machine.handle(Wrote(b"T1", TaskLogType.STDERR, "text\n")) == [Send(log)]


def test_lines_are_sent_whole_and_the_rest_at_the_end() -> None:
    sent: list[tuple[TaskLogType, str]] = []
    with sent_line_by_line(lambda log_type, text: sent.append((log_type, text))):
        print("one", 1)
        print("half", end="")
        print("error", file=sys.stderr)
        sys.stdout.write(" a line\nand\nmore")
    out, err = TaskLogType.STDOUT, TaskLogType.STDERR
    assert sent == [(out, "one 1\n"), (err, "error\n"), (out, "half a line\nand\n"), (out, "more")]


def test_long_lines_are_cut_and_what_cannot_travel_is_written_otherwise() -> None:
    sent: list[str] = []
    with sent_line_by_line(lambda _, text: sent.append(text)):
        sys.stdout.write("x" * 150_000)
        sys.stdout.write("\ud800\n")
    assert "".join(sent) == "x" * 150_000 + "\\ud800\n"
    assert max(map(len, sent)) <= 65_536


def test_streams_are_left_alone_unless_somebody_asked() -> None:
    own = io.StringIO()
    with redirect_stdout(own), sent_line_by_line(None):
        print("own")
    assert own.getvalue() == "own\n"


def fibonacci(address: str, number: int) -> int:
    if number < 2:
        return number
    with Client(address) as client:
        one, two = (client.submit(fibonacci, address, number - less) for less in (1, 2))
        return one.result() + two.result()


def say(text: str) -> int:
    print(text)
    sys.stderr.write(f"{text} too")
    if os.fork() == 0:
        print("of a child")
    return len(text)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with running_cluster(tmp_path, "--processes", "1") as running:
        yield running


def test_tasks_that_submit_tasks_end_though_there_is_one_process(cluster: Cluster) -> None:
    with Client(cluster.endpoint) as client:
        assert client.submit(fibonacci, cluster.endpoint, 4).result(HANG) == 3


def test_processes_beyond_the_number_that_was_asked_for_end_when_they_are_idle(cluster: Cluster) -> None:
    with Client(cluster.endpoint) as client:
        client.submit(fibonacci, cluster.endpoint, 5).result(HANG)
        deadline = time.monotonic() + HANG
        # One that runs tasks and one to spare, each with its guard, beside the worker, its server and the scheduler.
        while len(cluster.descendants()) > 7:
            client.submit(len, "a task, so that the worker looks").result(HANG)
            assert time.monotonic() < deadline, cluster.descendants()


def test_a_client_that_asks_for_it_sees_what_its_tasks_write(cluster: Cluster) -> None:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), Client(cluster.endpoint, stream_output=True) as client:
        assert client.submit(say, "something ✓").result(HANG) == 11
    assert out.getvalue() == "something ✓\n"
    assert err.getvalue() == "something ✓ too"


def test_a_client_that_does_not_ask_for_it_sees_nothing(cluster: Cluster) -> None:
    out = io.StringIO()
    with redirect_stdout(out), Client(cluster.endpoint) as client:
        client.submit(print, "something").result(HANG)
    assert out.getvalue() == ""
