"""The whole: real scheduler and worker processes, real functions, a real client."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import CancelledError, as_completed, wait
from contextlib import closing
from pathlib import Path

import cloudpickle
import psutil
import pytest
from cluster import COMMAND, Cluster, running_cluster, wait_until_gone
from process_looks import is_alive

from rescind import CancelOutcome, Client, WorkerDied

# The workers cannot import this module: its functions travel whole.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    # Room for two running tasks and one queued: the fourth waits at the scheduler.
    with running_cluster(tmp_path_factory.mktemp("cluster"), "--processes", "2", "--queue-size", "3") as running:
        yield running


@pytest.fixture
def client(cluster: Cluster) -> Iterator[Client]:
    with Client(cluster.endpoint, name="test") as connected:
        yield connected


def fifo(path: Path) -> Path:
    """A named pipe: reading it waits until somebody has written."""
    os.mkfifo(path)
    return path


def report_and_spin(started: str) -> None:
    Path(started).write_text(str(os.getpid()))
    while True:
        pass


def report_and_wait(started: str, release: str) -> str:
    Path(started).write_text(str(os.getpid()))
    return Path(release).read_text()


def raise_from(depth: int) -> None:
    if depth == 0:
        raise LookupError("at the bottom")
    raise_from(depth - 1)


def objects_left(cluster: Cluster) -> int:
    with closing(sqlite3.connect(cluster.store)) as connection:
        ((count,),) = connection.execute("SELECT count(*) FROM objects")
        return int(count)


def test_results_and_exceptions_travel(client: Client) -> None:
    assert client.submit(pow, 2, 10).result(timeout=30) == 1024
    assert client.submit(int, "ff", base=16).result(timeout=30) == 255
    assert list(client.map(lambda a, b: a * b, range(50), range(50), chunksize=7)) == [n * n for n in range(50)]
    error = client.submit(raise_from, 2).exception(timeout=30)
    assert isinstance(error, LookupError)
    assert "raise_from(depth - 1)" in str(error.__cause__)


def test_a_large_argument_and_result_travel(client: Client) -> None:
    data = os.urandom(5_000_000)
    assert client.submit(lambda given: given[::-1], data).result(timeout=30) == data[::-1]


def test_futures_work_with_the_standard_library(client: Client) -> None:
    futures = [client.submit(pow, number, 2) for number in range(10)]
    done, not_done = wait(futures, timeout=30)
    assert not not_done
    assert sorted(future.result() for future in as_completed(done)) == [number**2 for number in range(10)]


def test_results_that_nobody_has_read_yet_outlive_the_scheduler(tmp_path: Path) -> None:
    """C6.1: a future that has its result keeps it, though the scheduler takes the store with it when it leaves."""
    with running_cluster(tmp_path) as own, Client(own.endpoint) as client:
        futures = [client.submit(pow, number, 2) for number in range(100)]
        wait(futures, timeout=30)
        own.stop()
        assert [future.result() for future in futures] == [number**2 for number in range(100)]


def test_a_forced_cancel_ends_the_process_of_an_infinite_loop(client: Client, tmp_path: Path) -> None:
    started = fifo(tmp_path / "started")
    future = client.submit(report_and_spin, str(started))
    pid = int(started.read_text())
    process = psutil.Process(pid)
    assert future.cancel(force=True)
    assert not is_alive(process)
    assert future.cancel_outcome is CancelOutcome.CONFIRMED
    with pytest.raises(CancelledError):
        future.result()


def test_every_state_can_be_cancelled(client: Client, tmp_path: Path) -> None:
    pipes = [(fifo(tmp_path / f"started-{n}"), fifo(tmp_path / f"release-{n}")) for n in range(2)]
    running = [client.submit(report_and_wait, str(started), str(release)) for started, release in pipes]
    for started, _ in pipes:
        started.read_text()
    queued, undispatched = client.submit(pow, 2, 2), client.submit(pow, 2, 3)
    for future in (undispatched, queued):
        assert future.cancel()
        assert future.cancel_outcome is CancelOutcome.CONFIRMED
    assert not running[0].cancel()
    assert running[0].cancel_outcome is CancelOutcome.REFUSED
    for number, (_, release) in enumerate(pipes):
        release.write_text(f"let go {number}")
    assert [future.result(timeout=30) for future in running] == ["let go 0", "let go 1"]
    assert not running[0].cancel()


def test_the_death_of_a_process_is_reported_and_the_worker_goes_on(client: Client) -> None:
    with pytest.raises(WorkerDied):
        client.submit(os._exit, 3).result(timeout=30)
    assert client.submit(pow, 2, 5).result(timeout=30) == 32


def test_nothing_is_left_in_the_store_when_the_client_has_gone(cluster: Cluster, tmp_path: Path) -> None:
    with Client(cluster.endpoint) as client:
        started = fifo(tmp_path / "started")
        spinning = client.submit(report_and_spin, str(started))
        started.read_text()
        read, unread = client.submit(bytes, 1000), client.submit(bytes, 1000)
        assert read.result(timeout=30) == bytes(1000)
        wait([unread], timeout=30)
        assert spinning.cancel(force=True)
        assert objects_left(cluster) > 0
    # The next client's first echo follows the handling of the other's good-bye.
    with Client(cluster.endpoint):
        pass
    assert objects_left(cluster) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_mid_run_leaves_no_process_and_no_future_pending(tmp_path: Path, number: int) -> None:
    with running_cluster(tmp_path, "--processes", "2", "--queue-size", "2") as cluster:
        client = Client(cluster.endpoint)
        started = fifo(tmp_path / "started")
        futures = [client.submit(report_and_spin, str(started))]
        started.read_text()
        futures += [client.submit(report_and_spin, os.devnull) for _ in range(3)]
        processes = cluster.descendants()
        assert len(processes) >= 4
        assert cluster.stop(number) == [0, 0]
        assert wait_until_gone(processes) == []
        done, pending = wait(futures, timeout=30)
        assert not pending
        assert not [future for future in done if not future.cancelled()]
        client.disconnect()


def test_ctrl_c_at_the_terminal_reaches_everybody_and_leaves_nothing(tmp_path: Path) -> None:
    """As a terminal does it: SIGINT to the whole foreground group at once."""
    demo = subprocess.Popen([*COMMAND, "demo"], stdout=subprocess.PIPE, text=True, start_new_session=True, cwd=tmp_path)
    # Its worker is there once the demo has three descendants: scheduler, worker, and a process of the worker.
    parent = psutil.Process(demo.pid)
    while len(parent.children(recursive=True)) < 3 and demo.poll() is None:
        pass
    processes = [parent, *parent.children(recursive=True)]
    os.killpg(demo.pid, signal.SIGINT)
    demo.communicate(timeout=30)
    assert demo.returncode != 0
    assert wait_until_gone(processes) == []


def test_the_demo_shows_a_cancel_in_every_state() -> None:
    demo = subprocess.run([*COMMAND, "demo"], capture_output=True, text=True, timeout=60, check=False)
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert "DIFFERENT" not in demo.stdout
    for said in (
        "TaskCancel spin force",
        "TaskCancelConfirm waiting canceled",
        "TaskCancelConfirm hold-1 cancelFailed",
        "TaskResult square success",
    ):
        assert said in demo.stdout, demo.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["scheduler", "--endpoint", "nonsense"], "give one like tcp://"),
        (["scheduler", "--endpoint", "inproc://here"], "give one like tcp://"),
        (["scheduler", "--endpoint", "tcp://127.0.0.1:99999"], "give one like tcp://"),
        (["scheduler", "--endpoint", "ipc:///no/such/folder/s"], "cannot bind"),
        (["scheduler", "--endpoint", "tcp://127.0.0.1:0", "--run-directory", "/proc/nobody"], "--run-directory"),
        (["scheduler", "--endpoint", "tcp://127.0.0.1:0", "--trace", "/no/such/folder/t"], "/no/such/folder/t"),
        (["worker", "--endpoint", "tcp://127.0.0.1"], "give one like tcp://"),
        (["worker", "--name", "n" * 300], "at most 200"),
        (["worker", "--heartbeat-interval", "100"], "less than scheduler_timeout"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(arguments: list[str], said: str) -> None:
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.startswith("rescind: ")
    assert done.stderr.count("\n") == 1


def test_an_endpoint_in_use_is_a_clear_error(cluster: Cluster) -> None:
    second = subprocess.run(
        [*COMMAND, "scheduler", "--endpoint", cluster.endpoint],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert second.returncode == 2
    assert "cannot bind" in second.stderr
    assert "--endpoint" in second.stderr
