"""The flags of a task, in its `metadata`: laid out as OpenGRIS Scaler lays them out, so that either side reads them.

Outside of the protocol: schedulers forward them as they are. A task without flags has the defaults.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_LAYOUT = struct.Struct("!?i?")
_HIGHEST = 2**31 - 1


@dataclass(frozen=True, slots=True)
class TaskFlags:
    """What a client asks of whoever runs its task."""

    profiling: bool = False
    """Measure it. This package's workers do not."""
    priority: int = 0
    """A task does not wait for those with a lower one. That of a task that a task submits is one higher than its."""
    stream_output: bool = False
    """Send what the task writes to its client, as TaskLog."""

    def to_bytes(self) -> bytes:
        """The metadata; empty if all are defaults."""
        return b"" if self == TaskFlags() else _LAYOUT.pack(self.profiling, self.priority, self.stream_output)


def read_flags(metadata: bytes) -> TaskFlags:
    """The flags in a task's metadata. What is laid out otherwise is somebody else's, and reads as the defaults."""
    if len(metadata) != _LAYOUT.size:
        return TaskFlags()
    profiling, priority, stream_output = _LAYOUT.unpack(metadata)
    return TaskFlags(profiling, max(0, priority), stream_output)


_running: list[int] = []
"""The priority of the task that this process runs, if it is one of this package's that run tasks."""


@contextmanager
def running_with(priority: int) -> Iterator[None]:
    """A task with this priority runs in this process."""
    _running.append(priority)
    try:
        yield
    finally:
        _running.pop()


def priority_here() -> int:
    """The priority of a task that is submitted here: above that of the task which submits it, if one does.

    So a task that waits for its own tasks does not keep them from running, in this package's workers and in Scaler's.
    """
    parent = _running[-1] if _running else _priority_in_scaler()
    return 0 if parent is None else min(parent + 1, _HIGHEST)


def _priority_in_scaler() -> int | None:
    """The priority of the task that runs here in a process of Scaler's worker, if this is one."""
    module = sys.modules.get("scaler.worker.agent.processor.processor")
    processor = module.Processor.get_current_processor() if module is not None else None
    task = processor.current_task() if processor is not None else None
    return None if task is None else read_flags(bytes(task.metadata)).priority
