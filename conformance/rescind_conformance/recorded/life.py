"""The scenario of a recording, as a user's program: each message of the protocol is said, each state is cancelled in.

It runs beside the version that is recorded, with that version's client, and starts and ends its workers. It imports
nothing else of this project, since that would be today's. The recorder starts it, and answers on its standard input
each line in which it asks for something of the tap.
"""

from __future__ import annotations

import contextlib
import inspect
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

HEARTBEAT_SECONDS = 0.5
PATIENCE_SECONDS = 60.0
QUEUE_SIZE = 3


def square(number: int) -> int:
    """Ends at once."""
    return number * number


def add(one: int, other: int) -> int:
    """Ends at once."""
    return one + other


def divide(dividend: int, divisor: int) -> float:
    """May raise."""
    return dividend / divisor


def write(text: str) -> None:
    """Writes to standard output and to standard error."""
    import sys

    print(text, flush=True)
    print(text, file=sys.stderr, flush=True)


def die() -> None:
    """Ends the process that runs it, without a word."""
    import os

    os._exit(3)


def hold(began: str, go: str) -> str:
    """Says that it runs, then waits until it is let go."""
    from pathlib import Path

    Path(began).write_text("runs")
    return Path(go).read_text()


def hold_once(began: str, mark: str) -> str:
    """Says that it runs, and never ends; the next time that it is run, it ends at once."""
    import threading
    from pathlib import Path

    if Path(mark).exists():
        return "again"
    Path(mark).touch()
    Path(began).write_text("runs")
    threading.Event().wait()
    return "never"


class Life:
    """A cluster of this project's parties."""

    def __init__(self, endpoint: str, folder: Path) -> None:
        self.endpoint, self._folder = endpoint, folder
        self._workers: list[subprocess.Popen[bytes]] = []

    def client(self, name: str) -> Any:
        """A new client. With the output of tasks, if this version has that."""
        from rescind.client import Client

        streams: dict[str, Any] = {"stream_output": True}
        if "stream_output" not in inspect.signature(Client).parameters:
            streams = {}
        return Client(self.endpoint, name=name, heartbeat_interval=HEARTBEAT_SECONDS, **streams)

    def worker_command(self) -> list[str]:
        """Starts a worker with one process for tasks."""
        sizes = ["--processes", "1", "--queue-size", str(QUEUE_SIZE)]
        interval = ["--heartbeat-interval", str(HEARTBEAT_SECONDS)]
        return [sys.executable, "-m", "rescind", "worker", "--endpoint", self.endpoint, *sizes, *interval]

    def close(self) -> None:
        """End the workers that are left."""
        for worker in self._workers:
            _kill(worker)

    def play(self) -> None:
        """All of it. Raises `AssertionError` where something else came of a step than was expected."""
        with self.client("first") as client:
            lonely = client.submit(square, 1)
            assert lonely.cancel()  # there is no worker
            self._start_worker()
            self._cancel_in_each_state(client)
            self._end_in_each_way(client)
            self._cross(client)
            if hasattr(client, "get"):
                self._graphs(client)
            self._move(client)
            self._lose_workers(client)
            self._lose_a_client(client)
            self._runs_on(client, "left-over")
            assert client.shutdown_cluster()
            self._workers[-1].wait(PATIENCE_SECONDS)

    def _start_worker(self) -> subprocess.Popen[bytes]:
        worker = subprocess.Popen(self.worker_command(), start_new_session=True)
        self._workers.append(worker)
        return worker

    def _pipe(self, name: str) -> Path:
        """A named pipe: whoever reads it waits until somebody has written, so that nobody has to guess times."""
        path = self._folder / name
        os.mkfifo(path)
        return path

    def _held(self, client: Any, name: str) -> tuple[Any, Path]:
        """A task that runs by now, and the pipe that lets it go."""
        began, go = self._pipe(f"{name}-began"), self._pipe(f"{name}-go")
        future = client.submit(hold, str(began), str(go))
        began.read_text()
        return future, go

    def _runs_on(self, client: Any, name: str) -> Any:
        """A task that runs by now, and ends by itself only when it is run again."""
        began = self._pipe(f"{name}-began")
        future = client.submit(hold_once, str(began), str(self._folder / f"{name}-mark"))
        began.read_text()
        return future

    def _cancel_in_each_state(self, client: Any) -> None:
        assert client.submit(square, 7).result(PATIENCE_SECONDS) == 49
        runs, go = self._held(client, "runs")
        queued, kept, waiting = (client.submit(square, number) for number in (8, 9, 10))
        assert waiting.cancel()
        assert queued.cancel()
        assert not runs.cancel()
        go.write_text("go")
        assert runs.result(PATIENCE_SECONDS) == "go"
        assert kept.result(PATIENCE_SECONDS) == 81
        assert not kept.cancel()
        assert self._runs_on(client, "forced").cancel(force=True)

    def _end_in_each_way(self, client: Any) -> None:
        assert isinstance(client.submit(divide, 1, 0).exception(PATIENCE_SECONDS), ZeroDivisionError)
        assert client.submit(die).exception(PATIENCE_SECONDS) is not None
        client.submit(write, "some words").result(PATIENCE_SECONDS)

    def _cross(self, client: Any) -> None:
        """A result crosses a cancel on the way to the worker."""
        crossing, go = self._held(client, "crossing")
        _tell_tap("hold TaskCancel@W:1 until TaskResult")
        answers: list[bool] = []
        cancels = threading.Thread(target=lambda: answers.append(crossing.cancel()))
        cancels.start()
        _tell_tap("wait until held")
        go.write_text("go")
        cancels.join(PATIENCE_SECONDS)
        assert answers == [True]

    def _graphs(self, client: Any) -> None:
        graph = {"a": 2, "b": (square, "a"), "c": (add, "b", "a"), "d": (add, "c", "b")}
        assert client.get(graph, keys=["c", "d"]) == {"c": 6, "d": 10}
        failing = {"a": 0, "b": (divide, "a", "a"), "c": (square, "b")}
        assert client.get(failing, keys=["c"], block=False)["c"].exception(PATIENCE_SECONDS) is not None

    def _move(self, client: Any) -> None:
        """A second worker comes, and takes a task that waits at the first."""
        runs, go = self._held(client, "crowded")
        crowd = [client.submit(square, number) for number in (11, 12)]
        self._start_worker()
        assert crowd[1].result(PATIENCE_SECONDS) == 144
        go.write_text("go")
        assert crowd[0].result(PATIENCE_SECONDS) == 121
        assert runs.result(PATIENCE_SECONDS) == "go"

    def _lose_workers(self, client: Any) -> None:
        """Each of two workers runs a task; one leaves in order, one is killed."""
        orphans = [self._runs_on(client, f"orphan-{number}") for number in (1, 2)]
        leaves, dies = self._workers
        leaves.terminate()
        assert leaves.wait(PATIENCE_SECONDS) == 0
        _kill(dies)
        self._start_worker()
        assert [orphan.result(PATIENCE_SECONDS) for orphan in orphans] == ["again", "again"]

    def _lose_a_client(self, client: Any) -> None:
        """A second client leaves with a task that runs: it is cancelled with force."""
        leaver = self.client("second")
        self._runs_on(leaver, "abandoned")
        leaver.disconnect()
        assert client.submit(square, 13).result(PATIENCE_SECONDS) == 169


class ScalerLife(Life):
    """A cluster of OpenGRIS Scaler's parties. Its client always cancels with force; its workers have one process."""

    def client(self, name: str) -> Any:
        """A new client; its heartbeats come in whole seconds."""
        from scaler import Client

        return Client(self.endpoint, heartbeat_interval_seconds=1, stream_output=True)

    def worker_command(self) -> list[str]:
        """Starts a manager that starts one worker."""
        manager = str(Path(sys.executable).parent / "scaler_worker_manager")
        mode = ["--worker-manager-id", "recorded", "--mode", "fixed", "--max-task-concurrency", "1"]
        return [manager, "baremetal_native", self.endpoint, *mode, "--heartbeat-interval-seconds", "1"]

    def play(self) -> None:
        """What Scaler's parties come through: no cancel without force, and no loss of a worker that has a cancel."""
        client = self.client("first")
        self._start_worker()
        assert client.submit(square, 7).result(PATIENCE_SECONDS) == 49
        runs, go = self._held(client, "runs")
        queued, kept = client.submit(square, 8), client.submit(square, 9)
        _tell_tap("wait until placed")  # else its cancel may pass before it is placed
        assert queued.cancel(PATIENCE_SECONDS)
        go.write_text("go")
        assert runs.result(PATIENCE_SECONDS) == "go"
        assert kept.result(PATIENCE_SECONDS) == 81
        assert self._runs_on(client, "forced").cancel(PATIENCE_SECONDS)
        self._end_in_each_way(client)
        self._graphs(client)
        self._move(client)
        leaves, dies = self._workers
        leaves.terminate()
        _tell_tap("wait until a worker left")
        orphan = self._runs_on(client, "orphan")
        _kill(dies)
        self._start_worker()
        assert orphan.result(PATIENCE_SECONDS) == "again"
        leaver = self.client("second")
        self._runs_on(leaver, "abandoned")
        leaver.disconnect()
        assert client.submit(square, 13).result(PATIENCE_SECONDS) == 169
        client.shutdown()


def _kill(worker: subprocess.Popen[bytes]) -> None:
    """Kill a worker and all in its session."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()


def _tell_tap(line: str) -> None:
    print(line, flush=True)
    sys.stdin.readline()


def main() -> None:
    """`life.py rescind|scaler ENDPOINT FOLDER`."""
    make, endpoint, folder = sys.argv[1:]
    life = {"rescind": Life, "scaler": ScalerLife}[make](endpoint, Path(folder))
    try:
        life.play()
    finally:
        life.close()


if __name__ == "__main__":
    main()
