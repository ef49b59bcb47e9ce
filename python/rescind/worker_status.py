"""What a worker shows of itself: the document of `/status`."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rescind.messages import CancelConfirmType, Message, TaskCancelConfirm, TaskResult
from rescind.scheduler_tally import CONFIRM_NAMES, RESULT_NAMES
from rescind.worker_machine import WorkerMachine

if TYPE_CHECKING:
    from rescind.worker import Worker


@dataclass(slots=True)
class WorkerCounts:
    """What a worker has done in all its lives. For one thread."""

    lives: int = 0
    started: int = 0
    ended: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys((*RESULT_NAMES.values(), "canceled"), 0)))
    cancels: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(CONFIRM_NAMES.values(), 0)))

    def note(self, message: Message) -> None:
        """It says this to the scheduler."""
        if isinstance(message, TaskResult):
            self.ended[RESULT_NAMES[message.result_type]] += 1
        elif isinstance(message, TaskCancelConfirm):
            self.cancels[CONFIRM_NAMES[message.cancel_confirm_type]] += 1
            self.ended["canceled"] += message.cancel_confirm_type == CancelConfirmType.CANCELED


def describe(worker: Worker, machine: WorkerMachine | None, started_at: float) -> dict[str, object]:
    """What `worker` knows; in its own thread. `machine` is that of the present life.

    `started_at` is in seconds since 1970. A look at each task that it holds, of which there are `queue_size` at most.
    """
    leaving = worker.draining and (machine is None or machine.leaving)
    return {
        "version": 1,
        "role": "worker",
        "endpoint": worker.endpoint,
        "id": worker.routing_id.decode(),
        "started_at": started_at,
        "now": time.time(),
        "phase": "closing" if leaving else "draining" if worker.draining else "serving",
        "processes": worker.settings.processes,
        "queue_size": worker.settings.queue_size,
        "tasks": {} if machine is None else machine.counts,
        "started": worker.counts.started,
        "ended": dict(worker.counts.ended),
        "cancels": dict(worker.counts.cancels),
        "lives": worker.counts.lives,
        "dropped": dict(worker.dropped),
    }
