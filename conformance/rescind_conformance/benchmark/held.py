"""Many tasks that are held: the memory of each, and what the cancel of one costs as they become more (S3.2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from rescind_conformance.benchmark.contestants import Running
from rescind_conformance.benchmark.driver import playing
from rescind_conformance.benchmark.process_use import NotMeasurable, cpu_time, resident_bytes
from rescind_conformance.benchmark.rounds import FILL_BATCH
from rescind_conformance.benchmark.statistics import slope

SIZES = (1000, 10_000, 30_000, 100_000)
LARGE = 1_000_000
_WARM_UP = 500
_WINDOW = 1000
_SILENCE_SECONDS = 600.0


class Where(StrEnum):
    """Where the tasks are."""

    WAITING = "waiting"
    """With the scheduler: there is no worker."""
    DISPATCHED = "dispatched"
    """With a worker."""


@dataclass(frozen=True, slots=True)
class Held:
    """What so many tasks took."""

    subject: str
    where: Where
    tasks: int
    bytes_per_task: float
    """Resident memory of the scheduler's process a task, its frame included."""
    frame_bytes: int
    cancel_cpu: float
    """CPU seconds of the scheduler's process for the cancel of all of them, newest first."""
    fill_seconds: float
    cancel_seconds: float

    @property
    def own_bytes(self) -> float:
        """Resident bytes a task beyond its frame."""
        return self.bytes_per_task - self.frame_bytes

    @property
    def cancel_microseconds(self) -> float:
        """CPU time of one cancel."""
        return self.cancel_cpu / self.tasks * 1e6


def measure_held(
    name: str, running: Running, folder: Path, tasks: int, where: Where, on_step: Callable[[str], None]
) -> Held:
    """Have a fresh scheduler hold so many tasks, then cancel them all.

    Raises `BenchmarkFailed` if not each is answered `canceled`, and `NotMeasurable`.
    """
    if running.pid is None:
        raise NotMeasurable("whose memory and CPU time is meant? Give --pid with --endpoint")
    with playing(running, folder, _SILENCE_SECONDS) as cast:
        if where is Where.DISPATCHED:
            cast.workers(1, tasks + _WARM_UP)
        client = cast.client()
        client.ask("fill", tasks=_WARM_UP, batch=_WARM_UP)
        client.ask("cancel", tasks=_WARM_UP, window=_WINDOW)
        memory = resident_bytes(running.pid)
        on_step(f"{tasks:,} tasks, {where}")
        filled = client.ask("fill", tasks=tasks, batch=FILL_BATCH)
        memory = resident_bytes(running.pid) - memory
        on_step("their cancels, newest first")
        before = cpu_time(running.pid)
        done = client.ask("cancel", tasks=tasks, window=_WINDOW)
        used = cpu_time(running.pid) - before
    return Held(
        name,
        where,
        tasks,
        memory / tasks,
        client.frame_bytes,
        used.total,
        (filled["ended"] - filled["began"]) / 1e9,
        done["seconds"],
    )


def growth(found: Sequence[Held]) -> float | None:
    """The slope of log CPU time for the cancel of all over log number; None of fewer than two sizes."""
    points = [(float(one.tasks), one.cancel_cpu) for one in found]
    return slope(points) if len({x for x, _ in points}) > 1 else None


def expected_seconds(found: Sequence[Held], tasks: int) -> float:
    """What this many tasks would take, by what fewer took: so that what would take hours is left out."""
    if not found:
        return 0.0
    last = max(found, key=lambda one: one.tasks)
    factor = tasks / last.tasks
    return float(last.fill_seconds * factor + last.cancel_seconds * factor ** max(1.0, growth(found) or 1.0))
