"""The programs of the released Scaler as real processes: object storage server, scheduler, workers."""

from __future__ import annotations

import asyncio
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from scaler.config.types.address import AddressConfig
from scaler.io.mixins import ObjectStorageTotals
from scaler.io.network_backends import YMQNetworkBackend

from rescind.messages import ObjectStorageAddress

STARTS = 60.0
"""Seconds; only bounds how long a failing test takes."""
_ATTEMPTS = 10


class Program:
    """One of Scaler's console scripts, with whatever it starts itself."""

    def __init__(self, name: str, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [str(Path(sys.executable).parent / name), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1", "SCALER_NETWORK_BACKEND": "zmq"},
            start_new_session=True,
        )
        self.said: list[str] = []
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def wait_for(self, text: str) -> bool:
        """Whether it says `text`; False if it ends before."""
        while (line := self._lines.get(timeout=STARTS)) is not None:
            if text in line:
                return True
        return False

    def stop(self) -> None:
        """It stands still until `go_on`."""
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """The end of `stop`."""
        self._process.send_signal(signal.SIGCONT)

    def leave(self) -> None:
        """Ask it to end in order, and wait."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(STARTS)

    def kill(self) -> None:
        """End it and all that it has started, at once."""
        try:
            family = [psutil.Process(self._process.pid), *psutil.Process(self._process.pid).children(recursive=True)]
        except psutil.NoSuchProcess:
            family = []
        for each in family:
            try:
                each.kill()
            except psutil.NoSuchProcess:
                continue
        self._process.wait()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.said.append(line)
            self._lines.put(line)
        self._lines.put(None)


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class StorageServer:
    """Scaler's object storage server."""

    def __init__(self, port: int | None = None) -> None:
        for _ in range(_ATTEMPTS):
            self.port = free_port() if port is None else port
            self.url = f"tcp://127.0.0.1:{self.port}"
            self.address = ObjectStorageAddress("127.0.0.1", self.port, "tcp")
            self.program = Program("scaler_object_storage_server", self.url)
            if self.program.wait_for("ObjectStorageServer: started"):
                return
            self.program.kill()  # somebody else found the same port free
        raise AssertionError("".join(self.program.said))

    def count(self) -> int:
        """How many objects it holds."""
        number: int = asyncio.run(self._totals()).object_count
        return number

    def pending(self) -> int:
        """How many requests wait for an object that is not there."""
        number: int = asyncio.run(self._totals()).pending_request_count
        return number

    async def _totals(self) -> ObjectStorageTotals:
        # With Scaler's own connector: what ours says is under test.
        backend = YMQNetworkBackend(num_threads=1)
        connector = backend.create_async_object_storage_connector(uuid.uuid4().hex.encode())
        await connector.connect(AddressConfig.from_string(self.url))
        totals = asyncio.create_task(connector.info_get_total())
        try:
            while not totals.done():
                await connector.routine()
                await asyncio.sleep(0)
            return totals.result()
        finally:
            connector.destroy()
            backend.destroy()


@contextmanager
def storage_server(port: int | None = None) -> Iterator[StorageServer]:
    """A server that has ended when the context is left."""
    server = StorageServer(port)
    try:
        yield server
    finally:
        server.program.kill()


@contextmanager
def scaler_scheduler(folder: Path, storage: StorageServer) -> Iterator[str]:
    """Scaler's scheduler; its endpoint."""
    for _ in range(_ATTEMPTS):
        endpoint = f"tcp://127.0.0.1:{free_port()}"
        program = Program(
            "scaler_scheduler",
            endpoint,
            *("--object-storage-address", storage.url),
            *("--monitor-address", f"ipc://{folder}/monitor"),
        )
        try:
            if program.wait_for("listen to scheduler monitor address"):
                yield endpoint
                return
        finally:
            program.kill()
    raise AssertionError("".join(program.said))


@contextmanager
def scaler_workers(endpoint: str, number: int = 1) -> Iterator[Program]:
    """Scaler's workers, each with one process for tasks; tasks that are submitted before they are there wait."""
    program = Program(
        *("scaler_worker_manager", "baremetal_native", endpoint),
        *("--worker-manager-id", "test", "--mode", "fixed", "--max-task-concurrency", str(number)),
    )
    try:
        yield program
    finally:
        program.kill()
