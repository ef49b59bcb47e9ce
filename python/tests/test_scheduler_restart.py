"""A scheduler is killed and started anew at the same address (SPEC.md, section 11), with real processes.

Whoever it was lost to learns of it, nothing that was pending is run by the next one, and workers come back.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cloudpickle
import pytest
from cluster import COMMAND, Cluster

from rescind import CancelOutcome, Client, ScalerFuture
from rescind.client import SchedulerLost
from rescind.trace import TraceEvent, TraceRecord, read_trace

HANG = 30.0
"""Seconds after which a test gives up."""
cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import this file
BRISK = ("--processes", "1", "--heartbeat-interval", "0.1")


@pytest.fixture
def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cluster]:
    """A scheduler and a worker with one process; both lives of the scheduler append to one trace."""
    cluster = Cluster(tmp_path)
    try:
        options = [] if getattr(request, "param", "tcp") == "ipc" else ["--endpoint", "tcp://127.0.0.1:0"]
        cluster.start_scheduler("--trace", str(tmp_path / "trace"), *options)
        yield cluster
        cluster.stop()
    finally:
        for process in cluster.processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def kill(scheduler: subprocess.Popen[str]) -> None:
    scheduler.kill()
    scheduler.wait()


def start_anew(cluster: Cluster) -> subprocess.Popen[str]:
    """At the same address, in the same run directory."""
    return cluster.start_scheduler("--endpoint", cluster.endpoint, "--trace", str(cluster.folder / "trace"))


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + HANG
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def mark_and_hold(mark: Path, release: Path) -> int:
    """Say that it runs, wait until it may end, and return who ran it."""
    with mark.open("a") as stream:
        stream.write("begun\n")
    while not release.exists():
        time.sleep(0.01)
    return os.getppid()


def begun(mark: Path) -> int:
    return mark.read_text().count("begun") if mark.exists() else 0


def add(*numbers: int) -> int:
    return sum(numbers)


def peers_of_lives(trace: Path) -> list[set[str]]:
    """Who spoke to the scheduler, in each of its lives."""
    lives: list[set[str]] = []
    with trace.open(encoding="utf-8") as stream:
        for record in read_trace(stream):
            if isinstance(record, TraceEvent) and record.event == "scheduler started":
                lives.append(set())
            elif isinstance(record, TraceRecord) and record.receiver == "scheduler":
                lives[-1].add(record.sender)
    return lives


@pytest.mark.parametrize(
    ("cluster", "paused"),
    [("ipc", False), ("tcp", True)],
    indirect=["cluster"],
    ids=["all awake", "the worker is paused"],
)
def test_what_was_pending_is_cancelled_and_a_new_client_is_served(cluster: Cluster, paused: bool) -> None:
    """C10.2, C10.3, W5.3, W5.4, T7, S10.3: a task that runs, one that waits, one with a cancel open, and a graph."""
    worker = cluster.start_worker(*BRISK)
    runs, waits, release = (cluster.folder / name for name in ("runs", "waits", "release"))
    former_store = cluster.store
    client = Client(cluster.endpoint, name="former", heartbeat_interval=0.1)
    running = client.submit(mark_and_hold, runs, release)
    wait_for(lambda: begun(runs))
    waiting = client.submit(mark_and_hold, waits, release)
    graph = client.get({"a": (add,), "b": (mark_and_hold_after, "a", "w", "r"), "w": waits, "r": release}, ["b"], False)
    pending: list[ScalerFuture[int]] = [running, waiting, graph["b"]]
    cancelled = []
    os.kill(worker.pid, signal.SIGSTOP)  # so that no answer comes to the cancel
    asking = threading.Thread(target=lambda: cancelled.append(running.cancel()))
    asking.start()
    wait_for(lambda: "taskCancel" in (cluster.folder / "trace").read_text())
    if not paused:
        os.kill(worker.pid, signal.SIGCONT)

    kill(cluster.processes[0])
    start_anew(cluster)
    asking.join(HANG)
    assert cancelled in ([True], [False])  # False: refused before the scheduler was killed
    for future in pending:
        wait_for(future.done)
        assert future.cancelled()
        assert future.cancel() is True
    assert waiting.cancel_outcome is graph["b"].cancel_outcome is CancelOutcome.DISCONNECTED
    with pytest.raises(SchedulerLost, match=r"dropped\. Make a new Client"):
        client.submit(add, 1)
    client.shutdown()

    os.kill(worker.pid, signal.SIGCONT)
    release.touch()
    again = cluster.folder / "again"
    with Client(cluster.endpoint, name="next") as anew:
        assert anew.submit(mark_and_hold, again, release).result(HANG) > 0
    assert (begun(runs), begun(waits), begun(again)) == (1, 0, 1)
    assert cluster.store != former_store
    assert not former_store.exists()
    first, second = peers_of_lives(cluster.folder / "trace")
    assert first & second == set()
    assert {name.split("|")[1] for name in second} == {"next", "worker"}
    cluster.stop()
    check = [*COMMAND, "check", str(cluster.folder / "trace")]
    judged = subprocess.run(check, check=False, capture_output=True, text=True)
    assert judged.returncode == 0, judged.stdout + judged.stderr


def mark_and_hold_after(_: int, mark: Path, release: Path) -> int:
    return mark_and_hold(mark, release)


CLIENT = """
import ctypes, os, sys, time
from rescind import Client
from rescind.messages import Task

def hold():
    os.write(1, b"held\\n")
    ctypes.PyDLL(None).getchar()  # with the interpreter's lock: only ZeroMQ's own thread goes on

client = Client(sys.argv[1], name="former", heartbeat_interval=0.1)
pending = client.submit(abs, -1)
client._session.link._outbox.extend([hold, Task(b"late")])
client._session.link.wake()
while not pending.done():
    time.sleep(0.01)
print(pending.cancelled())
"""


def test_a_client_that_is_held_up_while_its_scheduler_is_started_anew(cluster: Cluster) -> None:
    """T4, T7: its thread is in the middle of what it sends, and finds another scheduler there when it goes on."""
    process = subprocess.Popen(
        [sys.executable, "-c", CLIENT, cluster.endpoint], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    cluster.processes.append(process)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    kill(cluster.processes[0])
    start_anew(cluster)
    cluster.start_worker(*BRISK)
    with Client(cluster.endpoint, name="next") as anew:
        assert anew.submit(add, 1, 2).result(HANG) == 3  # meanwhile ZeroMQ would have connected again
        said, _ = process.communicate("\n", timeout=HANG)
        assert said == "True\n"
        assert anew.submit(add, 1, 2).result(HANG) == 3
    first, second = peers_of_lives(cluster.folder / "trace")
    assert first & second == set()
    assert {name.split("|")[1] for name in second} == {"next", "worker"}


def test_a_worker_waits_for_a_scheduler_that_is_away_for_long(cluster: Cluster) -> None:
    """W5.2, W5.4: longer than its time-out, twice; and it never came before, or was lost."""
    options = [*BRISK, "--scheduler-timeout", "0.3", "--verbose"]
    command = [*COMMAND, "worker", "--endpoint", cluster.endpoint, *options]
    worker = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    cluster.processes.append(worker)
    with Client(cluster.endpoint) as client:
        assert client.submit(add, 1).result(HANG) == 1
    kill(cluster.processes[0])
    assert worker.stderr is not None
    rejoined = 0
    while rejoined < 3:
        line = worker.stderr.readline()
        assert line, "the worker has ended"
        rejoined += "joining again" in line
    start_anew(cluster)
    with contextlib.closing(worker.stderr), Client(cluster.endpoint) as client:
        assert client.submit(add, 2).result(HANG) == 2
        cluster.stop()


def test_temporary_directories_of_schedulers_that_were_killed_are_removed(tmp_path: Path) -> None:
    """S10.3: and not those of schedulers that serve."""
    command = [*COMMAND, "scheduler", "--endpoint"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    started: list[subprocess.Popen[str]] = []
    seen: list[set[Path]] = []
    try:
        for number in range(3):
            address = f"ipc://{tmp_path}/s{number}"
            process = subprocess.Popen([*command, address], stdout=subprocess.PIPE, text=True, env=environment)
            started.append(process)
            assert process.stdout is not None
            assert process.stdout.readline()
            seen.append({store.parent for store in tmp_path.glob("rescind-scheduler-*/objects-*.sqlite")})
            if number == 1:
                kill(process)
    finally:
        for process in started:
            process.terminate()
            process.wait()
    first, both, last = seen
    assert [len(each) for each in seen] == [1, 2, 2]
    assert first < last
    assert both & last == first
    assert not list(tmp_path.glob("rescind-scheduler-*"))
