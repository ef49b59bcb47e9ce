"""Programs of the released Scaler for tests, ended with their context; they are those of `rescind interop`."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rescind_conformance.interop.programs import (
    Program,
    StorageServer,
    endpoint_of,
)
from rescind_conformance.interop.programs import scaler_scheduler as start_scheduler
from rescind_conformance.interop.programs import scaler_workers as start_workers

__all__ = ["StorageServer", "scaler_scheduler", "scaler_workers", "storage_server"]


@contextmanager
def storage_server(port: int | None = None) -> Iterator[StorageServer]:
    """Scaler's object storage server."""
    with tempfile.TemporaryDirectory() as folder:
        server = StorageServer(Path(folder) / "log", port)
        try:
            yield server
        finally:
            server.program.stop()


@contextmanager
def scaler_scheduler(folder: Path, storage: StorageServer) -> Iterator[str]:
    """Scaler's scheduler; its endpoint."""
    program = start_scheduler(folder / "scheduler-log", storage)
    try:
        yield endpoint_of(program)
    finally:
        program.stop()


@contextmanager
def scaler_workers(endpoint: str, number: int = 1) -> Iterator[Program]:
    """Scaler's workers, each with one process for tasks; tasks that are submitted before they are there wait."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        program = start_workers(Path(folder) / "log", endpoint, number)
        try:
            yield program
        finally:
            program.stop()
