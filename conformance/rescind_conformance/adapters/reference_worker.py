"""The adapter of this project's worker, which is started as `rescind worker` starts it, in a process of its own."""

from __future__ import annotations

import inspect
import os
import shutil
import signal
import sys
import tempfile
import threading
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import rescind.worker  # noqa: F401  so that the forked process need not
from rescind import cli
from rescind.payloads import argument_object_id, dump, function_object_id
from rescind.store import ObjectMissing, SqliteStore
from rescind_conformance.adapters import lines
from rescind_conformance.adapters.bodies import BODIES, BodyWatch
from rescind_conformance.subjects import version_of

_LONG = 86400.0
"""Seconds: the time-out where the suite gives none, and the time to drain."""


class WorkerProcess:
    """The process of the worker: forked before there are threads, with everything imported, it waits for its start."""

    def __init__(self) -> None:
        waiting, self._order = os.pipe()
        self._ended = threading.Event()
        self._started = False
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._order)
            _run_worker(waiting)
        os.close(waiting)

    def start(self, arguments: list[str]) -> None:
        """Have it run `rescind worker` with these arguments. Once."""
        os.write(self._order, "\0".join(arguments).encode())
        os.close(self._order)
        self._started = True
        threading.Thread(target=self._reap, daemon=True).start()

    def ended(self) -> bool:
        """Whether it has ended."""
        return self._ended.is_set()

    def leave(self) -> None:
        """Have it leave as its operator would, and wait until it is gone."""
        if not self._ended.is_set():
            os.kill(self.pid, signal.SIGTERM)
            self._ended.wait()

    def kill(self) -> None:
        """End it at once; what it started ends with it."""
        if self._started:
            if not self._ended.is_set():
                os.kill(self.pid, signal.SIGKILL)
        else:
            os.close(self._order)  # it reads the end, and ends

    def _reap(self) -> None:
        os.waitpid(self.pid, 0)
        self._ended.set()


def _run_worker(waiting: int) -> NoReturn:
    """In the process of the worker."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)  # standard input and output are the suite's
    os.dup2(2, 1)
    status = 1
    try:
        with os.fdopen(waiting, "rb") as order:
            arguments = order.read().decode().split("\0")
        if arguments != [""]:
            cli.app(["worker", *arguments], standalone_mode=False)
        status = 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


class ReferenceWorker:
    """The commands of ADAPTER.md."""

    def __init__(self, process: WorkerProcess) -> None:
        self._process = process
        self._directory = Path(tempfile.mkdtemp(prefix="worker-"))
        self._store = SqliteStore(self._directory / "objects.sqlite")
        self._watch = BodyWatch(self._directory, lines.say)
        self.hello: dict[str, Any] = {
            "role": "worker",
            "name": "rescind",
            "version": version_of("rescind"),
            "features": ["timeouts", "release", "processes", "leave", "drain"],
            "storage": {"host": str(self._directory / "objects.sqlite"), "port": 0, "scheme": "sqlite"},
        }

    def start(
        self,
        endpoint: str,
        processes: int,
        queue_size: int,
        heartbeat_interval: float | None = None,
        scheduler_timeout: float = _LONG,
        drain: bool = False,
    ) -> None:
        """Starts a worker, with its own heartbeat interval where the suite gives none."""
        self._process.start(
            [
                f"--endpoint={endpoint}",
                f"--processes={processes}",
                f"--queue-size={queue_size}",
                *([] if heartbeat_interval is None else [f"--heartbeat-interval={heartbeat_interval}"]),
                f"--scheduler-timeout={scheduler_timeout}",
                *([f"--drain={_LONG}"] if drain else []),
            ]
        )

    def task(self, task: str, body: str, task_id: str, source: str) -> dict[str, Any]:
        """Stores the function and its arguments."""
        owner = bytes.fromhex(source)
        function = dump(BODIES[body])
        function_id = function_object_id(owner, function)
        self._store.put(owner, function_id, function)
        values: list[Any] = [self._watch.address, task]
        if body == "half":
            values.append(partial(store_as_result, str(self._directory / "objects.sqlite"), owner))
        arguments = []
        for value in values:
            object_id = argument_object_id(owner)
            self._store.put(owner, object_id, dump(value))
            arguments.append(object_id.hex())
        return {"function_id": function_id.hex(), "arguments": arguments}

    def release(self, task: str) -> None:
        """Lets a body go on."""
        self._watch.release(task)

    def running(self, task: str) -> dict[str, Any]:
        """Whether a process of the body exists."""
        return {"returned": self._watch.running(task)}

    def stored(self, object_id: str) -> dict[str, Any]:
        """Whether the store has an object."""
        try:
            self._store.get(bytes.fromhex(object_id))
        except ObjectMissing:
            return {"returned": False}
        return {"returned": True}

    def leave(self) -> None:
        """SIGTERM, as from an operator."""
        self._process.leave()
        self._watch.look()

    def exited(self) -> dict[str, Any]:
        """Whether the worker has ended."""
        ended = self._process.ended()
        self._watch.look()
        return {"returned": ended}

    def close(self) -> None:
        """Ends everything."""
        self._process.kill()
        self._store.close()
        shutil.rmtree(self._directory, ignore_errors=True)


def store_as_result(path: str, owner: bytes, data: bytes) -> bytes:
    """Store data as the result of the task that runs here, as the worker's own code does; the object's id."""
    frame = inspect.currentframe()
    while frame is not None and "result_id" not in frame.f_locals:
        frame = frame.f_back
    assert frame is not None, "nothing knows under which id the result will be stored"
    object_id: bytes = frame.f_locals["result_id"]
    store = SqliteStore(path, create=False)
    store.put(owner, object_id, data)
    store.close()
    return object_id


def main() -> NoReturn:
    """Obey the suite."""
    process = WorkerProcess()
    lines.begin()
    worker = ReferenceWorker(process)
    lines.serve(
        worker.hello,
        {
            "start": worker.start,
            "task": worker.task,
            "release": worker.release,
            "running": worker.running,
            "stored": worker.stored,
            "leave": worker.leave,
            "exited": worker.exited,
        },
        waiting={"leave"},
        at_end=worker.close,
    )


if __name__ == "__main__":
    main()
