"""Which worker takes the next task, and which tasks should move: pure bookkeeping.

Kept apart from the scheduler's machine because the protocol leaves the choice free (SPEC.md,
S7.1): another policy replaces this file and no requirement changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import islice


@dataclass(slots=True, eq=False)
class WorkerRecord:
    """A registered worker, the tasks assigned to it (oldest first) and when it was last heard, in seconds."""

    identity: bytes
    queue_size: int
    """Of its last heartbeat; at most what a worker may have."""
    last_seen: float
    tasks: dict[bytes, None] = field(default_factory=dict)
    relieved: bool = False
    """It was asked for what it has beyond its queue size, since the last time that passed: to look costs as much as it
    has tasks, and its heartbeats, as many as it likes, must not cost as much each (S11.1)."""
    bucket: int | None = None
    """The load under which `Placement` lists it; None while it has no room."""

    @property
    def load(self) -> int:
        """How many tasks are assigned to it."""
        return len(self.tasks)


class Placement:
    """Workers with room, listed by load, so that the least loaded is found in constant time (amortized).

    Not thread-safe: it belongs to one scheduler machine.
    """

    def __init__(self) -> None:
        self._buckets: dict[int, dict[bytes, WorkerRecord]] = {}
        self._lowest = 0
        self._with_room = 0

    def update(self, worker: WorkerRecord) -> None:
        """List `worker` again after its load or its queue size changed (or it is new)."""
        load = len(worker.tasks)
        wanted = load if load < worker.queue_size else None
        if wanted == worker.bucket:
            return
        self.remove(worker)
        if wanted is not None:
            bucket = self._buckets.get(wanted)
            if bucket is None:
                bucket = self._buckets[wanted] = {}
            bucket[worker.identity] = worker
            worker.bucket = wanted
            self._with_room += 1
            self._lowest = min(self._lowest, wanted)

    def remove(self, worker: WorkerRecord) -> None:
        """Take `worker` off the list; nothing happens where it is not listed."""
        if worker.bucket is not None:
            del self._buckets[worker.bucket][worker.identity]
            worker.bucket = None
            self._with_room -= 1

    def least_loaded(self) -> WorkerRecord | None:
        """The worker with room and the fewest tasks; among equals, the one that has waited longest."""
        if self._with_room == 0:
            return None
        while not self._buckets.get(self._lowest):
            self._buckets.pop(self._lowest, None)
            self._lowest += 1
        return next(iter(self._buckets[self._lowest].values()))


def tasks_to_move(
    workers: Mapping[bytes, WorkerRecord], movable: Callable[[bytes], bool], leaving: Callable[[bytes], bool]
) -> list[bytes]:
    """Task ids to take back from busy workers because others stand idle (S7.1).

    Newest first, since the oldest most likely runs and would be refused; never more than the idle
    workers can take, never below a fair share, and only tasks for which `movable` is true. Tasks for
    which `leaving` is true are on their way already and count as moved.
    """
    idle = [worker for worker in workers.values() if worker.load == 0 and worker.queue_size]
    if not idle:
        return []
    fair_share = -(-sum(worker.load for worker in workers.values()) // len(workers))  # rounded up
    moving = {worker.identity: sum(map(leaving, worker.tasks)) for worker in workers.values()}
    advice: list[bytes] = []
    room = sum(min(fair_share, worker.queue_size) for worker in idle) - sum(moving.values())
    for worker in sorted(workers.values(), key=lambda worker: worker.load, reverse=True):
        surplus = min(worker.load - moving[worker.identity] - fair_share, room - len(advice))
        advice.extend(islice(filter(movable, reversed(worker.tasks)), max(0, surplus)))
    return advice


def surplus_of(worker: WorkerRecord, movable: Callable[[bytes], bool], leaving: Callable[[bytes], bool]) -> list[bytes]:
    """Task ids to take back from a worker that has more than it takes (W4.4); see `tasks_to_move`."""
    surplus = worker.load - worker.queue_size
    if surplus <= 0:
        return []
    surplus -= sum(map(leaving, worker.tasks))
    return list(islice(filter(movable, reversed(worker.tasks)), max(0, surplus)))
