"""Graphs on real processes: what `Client.get` gives, and that nothing stays in the store however a graph ends."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError, wait
from contextlib import closing
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
from cluster import Cluster, running_cluster

from rescind import CancelOutcome, Client, WorkerDied

# The workers cannot import this module: its functions travel whole.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

HANG = 60


def inc(i: int) -> int:
    return i + 1


def add(a: int, b: int) -> int:
    return a + b


def minus(a: int, b: int) -> int:
    return a - b


def fail(_: object) -> None:
    raise LookupError("at the bottom")


def report_and_wait(pipes: tuple[str, str]) -> str:
    Path(pipes[0]).write_text(str(os.getpid()))
    return Path(pipes[1]).read_text()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_cluster(tmp_path_factory.mktemp("cluster"), "--processes", "2") as running:
        yield running


@pytest.fixture
def client(cluster: Cluster) -> Iterator[Client]:
    """One that leaves nothing in the store."""
    with Client(cluster.endpoint, name="test") as connected:
        yield connected
    with Client(cluster.endpoint):
        pass  # its first echo follows the handling of the other's good-bye
    with closing(sqlite3.connect(cluster.store)) as connection:
        assert connection.execute("SELECT count(*) FROM objects").fetchone() == (0,)


def in_store(cluster: Cluster, client: Client) -> int:
    """How many objects the client has in the store while it lives, when all that it wanted released has been."""
    fence = client.submit(int)
    assert fence.result(HANG) == 0
    with closing(sqlite3.connect(cluster.store)) as connection:
        return int(connection.execute("SELECT count(*) FROM objects").fetchone()[0])


def wait_for_store(cluster: Cluster, client: Client, objects: int) -> None:
    deadline = time.monotonic() + HANG
    while (count := in_store(cluster, client)) != objects:
        assert time.monotonic() < deadline, f"{count} objects in the store, not {objects}"


@pytest.fixture
def pipes(tmp_path: Path) -> tuple[str, str]:
    """A task that reads the second has begun when the first can be read; both wait for the other side."""
    names = tmp_path / "started", tmp_path / "release"
    for name in names:
        os.mkfifo(name)
    return str(names[0]), str(names[1])


def test_the_example_that_users_of_scaler_know(client: Client) -> None:
    graph = {
        "a": 2,
        "b": 2,
        "c": (inc, "a"),  # c = a + 1 = 2 + 1 = 3
        "d": (add, "a", "b"),  # d = a + b = 2 + 2 = 4
        "e": (minus, "d", "c"),  # e = d - c = 4 - 3 = 1
        "f": add,
    }
    result = client.get(graph, keys=["a", "b", "c", "d", "e", "f"])
    assert result.get("e") == 1
    assert result == {"a": 2, "b": 2, "c": 3, "d": 4, "e": 1, "f": add}


def test_a_success_leaves_only_functions(cluster: Cluster, client: Client) -> None:
    graph: dict[str, Any] = {"x": 1, "a": (inc, "x"), "b": (inc, "a"), "c": (add, "a", "a"), "d": (minus, "c", "b")}
    for _ in range(2):
        assert client.get(graph, ["d", "b"]) == {"d": 1, "b": 3}
        wait_for_store(cluster, client, 4)  # functions are kept for the next call: inc, add, minus and int


def test_a_node_that_fails_fails_what_depends_on_it(cluster: Cluster, client: Client) -> None:
    graph: dict[str, Any] = {"x": 1, "a": (fail, "x"), "b": (inc, "a"), "c": (add, "b", "x"), "d": (inc, "x")}
    futures = client.get(graph, ["b", "c", "d"], block=False)
    assert futures["d"].result(HANG) == 2
    for name in ("b", "c"):
        error = futures[name].exception(HANG)
        assert isinstance(error, LookupError)
        assert 'raise LookupError("at the bottom")' in str(error.__cause__)
    wait_for_store(cluster, client, 4)
    with pytest.raises(LookupError):
        client.get(graph, ["d", "c"])
    assert client.get(graph, ["d"]) == {"d": 2}  # and the client goes on
    wait_for_store(cluster, client, 4)


def test_a_node_that_kills_its_process(cluster: Cluster, client: Client) -> None:
    futures = client.get({"code": 3, "a": (os._exit, "code"), "b": (inc, "a"), "c": (inc, "code")}, ["b", "c"], False)
    with pytest.raises(WorkerDied):
        futures["b"].result(HANG)
    assert futures["c"].result(HANG) == 4
    wait_for_store(cluster, client, 3)


@pytest.mark.parametrize("force", [True, False])
def test_cancel_of_a_target_ends_what_only_it_needs(
    cluster: Cluster, client: Client, pipes: tuple[str, str], force: bool
) -> None:
    graph: dict[str, Any] = {"p": pipes, "a": (report_and_wait, "p"), "b": (len, "a"), "x": 1, "c": (inc, "x")}
    futures = client.get(graph, ["b", "c"], block=False)
    assert Path(pipes[0]).read_text()
    assert futures["c"].result(HANG) == 2
    assert futures["b"].cancel(force=force)  # it waits, and what it waits for runs
    assert futures["b"].cancel_outcome is CancelOutcome.CONFIRMED
    if not force:
        Path(pipes[1]).write_text("it was not ended")
    wait_for_store(cluster, client, 4)


def test_cancel_of_a_target_that_runs(cluster: Cluster, client: Client, pipes: tuple[str, str]) -> None:
    graph: dict[str, Any] = {"p": pipes, "a": (report_and_wait, "p"), "b": (len, "a")}
    futures = client.get(graph, ["a", "b"], block=False)
    assert Path(pipes[0]).read_text()
    assert not futures["a"].cancel()
    assert futures["a"].cancel_outcome is CancelOutcome.REFUSED
    assert futures["b"].running()
    assert futures["a"].cancel(force=True)
    with pytest.raises(CancelledError):
        futures["b"].result(HANG)
    wait_for_store(cluster, client, 3)


def test_a_client_that_leaves_in_the_middle(cluster: Cluster, client: Client, pipes: tuple[str, str]) -> None:
    own = Client(cluster.endpoint)
    graph: dict[str, Any] = {"p": pipes, "x": 1, "a": (report_and_wait, "p"), "b": (len, "a"), "c": (inc, "x")}
    futures = own.get(graph, ["b", "c"], block=False)
    assert Path(pipes[0]).read_text()
    wait([futures["c"]], HANG)
    own.disconnect()
    assert futures["b"].cancel_outcome is CancelOutcome.DISCONNECTED
    assert futures["c"].result(0) == 2
    wait_for_store(cluster, client, 1)


DIES = """
import sys
from rescind import Client
client = Client(sys.argv[1], heartbeat_interval=0.2)
client.get({"p": (sys.argv[2], sys.argv[3]), "a": (eval(sys.argv[4]), "p"), "b": (len, "a")}, ["b"])
"""
WAITS = "lambda pipes: (open(pipes[0], 'w').close(), open(pipes[1]).read())"


def test_a_client_that_is_killed(tmp_path: Path, pipes: tuple[str, str]) -> None:
    cluster = Cluster(tmp_path)
    try:
        cluster.start_scheduler("--client-timeout", "2")
        cluster.start_worker()
        with subprocess.Popen([sys.executable, "-c", DIES, cluster.endpoint, *pipes, WAITS]) as process:
            Path(pipes[0]).read_text()
            process.kill()
        with Client(cluster.endpoint, heartbeat_interval=0.2) as other:
            wait_for_store(cluster, other, 1)
        cluster.stop()
    finally:
        for each in cluster.processes:
            if each.poll() is None:
                os.killpg(each.pid, signal.SIGKILL)
                each.wait()


def test_a_thousand_nodes(cluster: Cluster, client: Client) -> None:
    graph: dict[str, Any] = {"0": 0, **{str(number): (inc, str(number - 1)) for number in range(1, 501)}}
    graph |= {f"sum {number}": (add, str(number), f"sum {number - 1}") for number in range(1, 501)}
    graph["sum 0"] = 0
    result = client.get(graph, ["sum 500", "500", "250"])
    assert result == {"sum 500": 500 * 501 // 2, "500": 500, "250": 250}
    wait_for_store(cluster, client, 3)
