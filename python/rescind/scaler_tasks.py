"""A process of this package's worker, as Scaler's client sees it from inside a task.

There that client asks the process for the task's priority, so that what it submits goes before what waits for it, and
for the addresses of scheduler and storage if it was given none.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from scaler.config.types.address import AddressConfig
from scaler.worker.agent.processor import processor

from rescind.messages import ObjectStorageAddress, Task


@dataclass(frozen=True, slots=True)
class _Flags:
    metadata: bytes


@dataclass(frozen=True, slots=True)
class _Process:
    """What `scaler.Client` asks of a process that runs tasks."""

    task: Task
    scheduler: str
    storage: ObjectStorageAddress

    def current_task(self) -> _Flags:
        return _Flags(self.task.metadata)

    def scheduler_address(self) -> Any:
        return AddressConfig.from_string(self.scheduler)

    def object_storage_address(self) -> Any:
        port = "" if self.storage.scheme == "ipc" else f":{self.storage.port}"
        return AddressConfig.from_string(f"{self.storage.scheme}://{self.storage.host}{port}")


@contextmanager
def seen_by_scaler(task: Task, scheduler: str, storage: ObjectStorageAddress) -> Iterator[None]:
    """The task runs in this thread, for the scheduler at this endpoint, with payloads in Scaler's storage there."""
    token = processor._current_processor.set(_Process(task, scheduler, storage))
    try:
        yield
    finally:
        processor._current_processor.reset(token)
