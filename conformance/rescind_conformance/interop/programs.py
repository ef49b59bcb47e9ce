"""The programs of a mixed system as processes: object storage server, schedulers and workers of either kind."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from rescind.messages import ObjectStorageAddress
from rescind_conformance.process import Process, SubjectUnavailable
from rescind_conformance.subjects import RESCIND, SCALER_SCHEDULER, console_script, free_port
from rescind_conformance.warm_start import Forkable, WarmStart, WarmStarts

SLOTS = 2
"""Tasks that run at once."""
WORKER_TIMEOUT = 8
"""Seconds of silence after which a scheduler gives a worker up: short, since a scenario waits for it."""
_PORTS_TRIED = 10
_KILLED_SECONDS = 10.0
_ANSWER_SECONDS = 10.0


ENVIRONMENT = {"PYTHONUNBUFFERED": "1", "SCALER_NETWORK_BACKEND": "zmq"}
"""Of every program."""
_SCALER_STORAGE = Forkable("scaler.entry_points.object_storage_server:main")
_SCALER_WORKERS = Forkable(
    "scaler.entry_points.worker_manager:main", needs=("scaler.worker_manager.native.worker_manager",)
)


class Program(Process):
    """A program with whatever it starts itself."""

    def __init__(
        self, command: Sequence[str], log: Path, *, piped: bool = False, warm: WarmStart | None = None
    ) -> None:
        super().__init__(command, log, {**ENVIRONMENT, "TMPDIR": str(log.parent)}, piped=piped, warm=warm)

    def pause(self) -> None:
        """It stands still until `go_on`."""
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """The end of `pause`."""
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """Kill it and all that it has started, those in sessions of their own included."""
        try:
            import psutil  # comes with opengris-scaler; programs of this project end what they have started
        except ImportError:
            super().stop()
            return
        try:
            family = psutil.Process(self.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            family = []
        super().stop()
        for each in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        psutil.wait_procs(family, timeout=_KILLED_SECONDS)


class StorageServer:
    """Scaler's object storage server. Raises `SubjectUnavailable`."""

    def __init__(self, log: Path, port: int | None = None, warm: WarmStarts | None = None) -> None:
        for attempt in range(_PORTS_TRIED):
            self.port = free_port() if port is None else port
            self.url = f"tcp://127.0.0.1:{self.port}"
            self.address = ObjectStorageAddress("127.0.0.1", self.port, "tcp")
            self.program = _scaler_program(["scaler_object_storage_server", self.url], log, _SCALER_STORAGE, warm)
            try:
                self.program.wait_for_line("ObjectStorageServer: started")
                return
            except SubjectUnavailable:  # perhaps somebody else found the same port free
                self.program.stop()
                if attempt == _PORTS_TRIED - 1:
                    raise

    def count(self) -> int:
        """How many objects it holds."""
        return asyncio.run(self._totals())[0]

    def pending(self) -> int:
        """How many requests wait for an object that is not there."""
        return asyncio.run(self._totals())[1]

    async def _totals(self) -> tuple[int, int]:
        # With Scaler's own connector: what ours says is under test.
        from scaler.config.types.address import AddressConfig
        from scaler.io.network_backends import YMQNetworkBackend

        backend = YMQNetworkBackend(num_threads=1)
        connector = backend.create_async_object_storage_connector(uuid.uuid4().hex.encode())
        await asyncio.wait_for(connector.connect(AddressConfig.from_string(self.url)), _ANSWER_SECONDS)
        totals = asyncio.create_task(connector.info_get_total())
        try:
            while not totals.done():
                await connector.routine()
                await asyncio.sleep(0)
            result = totals.result()
            return result.object_count, result.pending_request_count
        finally:
            connector.destroy()
            backend.destroy()


def reference_scheduler(
    log: Path, storage: StorageServer | None, *options: str, warm: WarmStarts | None = None
) -> Program:
    """Our scheduler. It has said where it listens when `endpoint_of` returns."""
    where = ["--run-directory", str(log.parent)] if storage is None else ["--object-storage-address", storage.url]
    command = ["scheduler", "--endpoint", "tcp://127.0.0.1:0", *where]
    return _rescind([*command, "--worker-timeout", str(WORKER_TIMEOUT), *options], log, warm)


def _rescind(arguments: Sequence[str], log: Path, warm: WarmStarts | None) -> Program:
    if warm is None:
        return Program([sys.executable, "-m", "rescind", *arguments], log)
    return Program(["rescind", *arguments], log, warm=warm.of(RESCIND))


def _scaler_program(command: Sequence[str], log: Path, program: Forkable, warm: WarmStarts | None) -> Program:
    if warm is None:
        return Program([console_script(command[0]), *command[1:]], log)
    return Program(command, log, warm=warm.of(program))


def scaler_scheduler(log: Path, storage: StorageServer, *options: str, warm: WarmStarts | None = None) -> Program:
    """Scaler's scheduler, with its own time-outs but for workers."""
    command = [
        *("scaler_scheduler", "tcp://127.0.0.1:0"),
        *("--object-storage-address", storage.url),
        *("--monitor-address", "tcp://127.0.0.1:0"),  # a Unix socket's name may be too long where `log` is
        *("--worker-timeout-seconds", str(WORKER_TIMEOUT)),
    ]
    return _scaler_program([*command, *options], log, SCALER_SCHEDULER, warm)


def endpoint_of(scheduler: Program) -> str:
    """Where a scheduler of either kind listens, once it does. Raises `SubjectUnavailable`."""
    if Path(scheduler.command_line[0]).name != "scaler_scheduler":
        return scheduler.wait_for_line("listening on ")
    scheduler.wait_for_line("listen to scheduler monitor address")
    return scheduler.wait_for_line("listen to scheduler address")


def reference_worker(log: Path, endpoint: str, *options: str, warm: WarmStarts | None = None) -> Program:
    """One worker of ours, with `SLOTS` processes for tasks."""
    return _rescind(["worker", "--endpoint", endpoint, "--processes", str(SLOTS), *options], log, warm)


def scaler_workers(log: Path, endpoint: str, number: int = SLOTS, warm: WarmStarts | None = None) -> Program:
    """Scaler's workers, each with one process for tasks."""
    command = [
        *("scaler_worker_manager", "baremetal_native", endpoint),
        *("--worker-manager-id", "interop", "--mode", "fixed", "--max-task-concurrency", str(number)),
    ]
    return _scaler_program(command, log, _SCALER_WORKERS, warm)


def wait_until_ended(programs: Mapping[str, Program], seconds: float) -> list[str]:
    """The names of those that have not ended by themselves after so many seconds."""
    deadline = time.monotonic() + seconds
    left = []
    for name, program in programs.items():
        with contextlib.suppress(Exception):
            program.wait(max(0.0, deadline - time.monotonic()))
        if program.alive():
            left.append(name)
    return left
