"""Clients, schedulers and workers of either kind over Scaler's object storage server, as real processes."""

from __future__ import annotations

import inspect
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
import scaler
from cluster import Cluster
from scaler_system import StorageServer, scaler_scheduler, scaler_workers, storage_server

from rescind.client import Client
from rescind.store import StoreFailed

pytestmark = pytest.mark.long

cloudpickle.register_pickle_by_value(sys.modules[__name__])

HANG = 60.0
"""Seconds; only bounds how long a failing test takes."""


def add(one: int, two: int = 10) -> int:
    return one + two


def fail(what: str) -> None:
    raise KeyError(what)


def note_and_stay(note: str, ballast: bytes) -> None:
    Path(note).write_bytes(ballast[:1])
    time.sleep(HANG)


def wait_until(happened: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + HANG
    while not happened():
        assert time.monotonic() < deadline, what


@pytest.fixture
def server() -> Iterator[StorageServer]:
    with storage_server() as started:
        yield started


@contextmanager
def reference(folder: Path, server: StorageServer, *options: str) -> Iterator[Cluster]:
    """Our scheduler on Scaler's storage; no process of the cluster is left at the end."""
    cluster = Cluster(folder)
    try:
        place = ("--endpoint", "tcp://127.0.0.1:0", "--object-storage-address", server.url)
        scheduler = cluster._start("scheduler", *place, *options, stdout=subprocess.PIPE)
        assert scheduler.stdout is not None
        cluster.endpoint = scheduler.stdout.readline().removeprefix("listening on ").strip()
        assert cluster.endpoint, "the scheduler did not start"
        yield cluster
        cluster.stop()
    finally:
        for process in cluster.processes:
            if process.poll() is None:
                process.kill()
                process.wait()


@contextmanager
def system(scheduler: str, worker: str, folder: Path, server: StorageServer) -> Iterator[str]:
    """The endpoint of a scheduler that has two processes for tasks."""
    with ExitStack() as stack:
        if scheduler == "reference":
            cluster = stack.enter_context(reference(folder, server))
            endpoint = cluster.endpoint
        else:
            endpoint = stack.enter_context(scaler_scheduler(folder, server))
            cluster = Cluster(folder, endpoint)
            stack.callback(cluster.stop)
        if worker == "reference":
            cluster.start_worker("--processes", "2")
        else:
            stack.enter_context(scaler_workers(endpoint, 2))
        yield endpoint


MIXES = [
    ("reference", "reference", "reference"),
    ("scaler", "reference", "reference"),
    ("reference", "scaler", "scaler"),
    ("scaler", "scaler", "reference"),
    ("reference", "reference", "scaler"),
]
"""Client, scheduler, worker: each of either kind beside each of either kind."""


@pytest.mark.parametrize(("client", "scheduler", "worker"), MIXES)
def test_real_functions_run_and_nothing_stays(
    client: str, scheduler: str, worker: str, tmp_path: Path, server: StorageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCALER_NETWORK_BACKEND", "zmq")
    with system(scheduler, worker, tmp_path, server) as endpoint:
        submitter: Any = Client(endpoint) if client == "reference" else scaler.Client(endpoint)
        try:
            assert submitter.submit(add, 1).result(HANG) == 11
            assert submitter.submit(add, 1, two=2).result(HANG) == 3
            with pytest.raises(KeyError, match="lost") as failure:
                submitter.submit(fail, "lost").result(HANG)
            assert "in fail" in "".join(traceback.format_exception(failure.value))
            assert submitter.submit(len, bytes(10_000_000)).result(HANG) == 10_000_000
            assert list(submitter.map(add, range(20), range(20))) == list(range(0, 40, 2))
            graph = {"x": 1, "a": (add, "x"), "b": (add, "a"), "c": (add, "a", "x"), "d": (add, "b", "c")}
            assert submitter.get(graph, keys=["d", "b", "x"]) == {"d": 33, "b": 21, "x": 1}
            failing = submitter.get({**graph, "a": (fail, "x")}, keys=["b", "d"], block=False)
            for future in failing.values():
                with pytest.raises(KeyError):
                    future.result(HANG)
            notes = [tmp_path / f"runs-{number}" for number in range(2)]
            running = [submitter.submit(note_and_stay, str(note), bytes(10_000)) for note in notes]
            waiting = [submitter.submit(add, number, 2) for number in range(4)]
            wait_until(lambda: all(note.exists() for note in notes), "the tasks do not start")
            force = {"force": True} if client == "reference" else {}  # Scaler's client always asks with force
            for future in (waiting[0], running[0]):
                assert future.cancel(timeout=HANG, **force)
                assert future.cancelled()
            assert [future.result(HANG) for future in waiting[1:]] == [3, 4, 5]
        finally:
            submitter.disconnect()  # one task is still running
        wait_until(lambda: server.count() == 0, f"{server.count()} objects stay in the storage")
    assert server.count() == 0  # and none has come since


def submit_from_inside(number: int) -> int:
    with scaler.Client() as client:  # it asks the process that it is in for the addresses, and for its priority
        total: int = client.submit(add, number).result(HANG)
        return total


def test_scalers_client_inside_a_task_of_ours(
    tmp_path: Path, server: StorageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCALER_NETWORK_BACKEND", "zmq")
    with reference(tmp_path, server) as cluster:
        cluster.start_worker("--processes", "1")
        client = scaler.Client(address=cluster.endpoint)
        assert client.submit(submit_from_inside, 5).result(HANG) == 15
        client.disconnect()


def test_get_is_called_as_scalers_is() -> None:
    ours, theirs = (inspect.signature(each.get).parameters.values() for each in (Client, scaler.Client))
    assert [(one.name, one.kind, one.default) for one in ours] == [(one.name, one.kind, one.default) for one in theirs]


LEAVES_ALL_BEHIND = """
import sys; sys.path[:] = eval(sys.argv[1])
from rescind.client import Client
from test_scaler_mixes import add, note_and_stay
client = Client(sys.argv[2])
unread = client.submit(add, 1)
client.submit(note_and_stay, sys.argv[3], bytes(10_000))
sys.stdin.read()
"""


def test_nothing_stays_when_clients_and_workers_are_killed(tmp_path: Path, server: StorageServer) -> None:
    with reference(tmp_path, server, "--client-timeout", "4", "--worker-timeout", "4") as cluster:
        worker = cluster.start_worker("--processes", "2", "--heartbeat-interval", "0.3")
        note = tmp_path / "runs"
        command = [sys.executable, "-c", LEAVES_ALL_BEHIND, repr(sys.path), cluster.endpoint, str(note)]
        doomed = subprocess.Popen(command, stdin=subprocess.PIPE)
        wait_until(note.exists, "the task does not start")
        with Client(cluster.endpoint, heartbeat_interval=0.3) as client:
            future = client.submit(note_and_stay, str(note) + "2", b"x")
            wait_until((tmp_path / "runs2").exists, "the task does not start")
            os.kill(worker.pid, signal.SIGKILL)
            doomed.kill()
            doomed.communicate()
            assert future.cancel(force=True, timeout=HANG)
            cluster.start_worker("--heartbeat-interval", "0.3")
            assert client.submit(add, 1).result(HANG) == 11
        wait_until(lambda: server.count() == 0, f"{server.count()} objects stay in the storage")
    assert server.count() == 0


LOGS_AND_WAITS = """
import logging, rescind.client_session
logging.basicConfig(level=logging.INFO)
rescind.client_session._EXIT_TIMEOUT = 60.0
"""


def test_a_program_that_does_not_disconnect_leaves_before_its_storage_is_closed(
    tmp_path: Path, server: StorageServer
) -> None:
    with reference(tmp_path, server) as cluster:
        cluster.start_worker("--processes", "1")
        command = [sys.executable, "-c", LEAVES_ALL_BEHIND + LOGS_AND_WAITS, repr(sys.path), cluster.endpoint]
        ended = subprocess.run(
            [*command, str(tmp_path / "runs")],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=HANG,
            check=False,
        )
        assert (ended.returncode, ended.stderr) == (0, "")
        wait_until(lambda: server.count() == 0, f"{server.count()} objects stay in the storage")


def test_a_client_is_told_that_the_storage_has_gone(tmp_path: Path, server: StorageServer) -> None:
    with reference(tmp_path, server) as cluster:
        client = Client(cluster.endpoint)
        server.program.stop()
        with pytest.raises(StoreFailed, match=r"the object storage server at tcp://127|nobody listens"):
            client.submit(add, 1)
        client.disconnect()


def test_a_scheduler_does_not_start_without_its_storage() -> None:
    options = ["--endpoint", "tcp://127.0.0.1:0", "--object-storage-address", "tcp://127.0.0.1:1"]
    ended = subprocess.run(
        [sys.executable, "-m", "rescind", "scheduler", *options],
        capture_output=True,
        text=True,
        timeout=HANG,
        check=False,
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith("rescind: nobody listens at tcp://127.0.0.1:1")
