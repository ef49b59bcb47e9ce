"""What may happen in a walk: who takes part, and what each of them may do, how often.

Every ability has a budget, so that each walk is finite. What a party *must* do sooner or later (handle a message,
finish a task that runs, end a process that was told to end) needs none; what it *may* do it does in some paths, at
each moment at which it can, and in others not.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from rescind.messages import GraphTask, Message, Task
from rescind.scheduler_machine import SchedulerSettings


@dataclass(frozen=True, slots=True)
class CancelCall:
    """`cancel()` may be called so often for `task`, while its future is pending."""

    task: str
    force: bool = False
    times: int = 1


@dataclass(frozen=True, slots=True)
class ClientPlan:
    """A client, driven through `ClientMachine`."""

    submits: tuple[str, ...] = ()
    """The tasks that it may submit, in this order."""
    cancels: tuple[CancelCall, ...] = ()
    time_limits: tuple[str, ...] = ()
    """The tasks of which one cancel round may reach its time limit."""
    heartbeats: int = 0
    """Beside the first."""
    disconnects: bool = False
    """It may say good-bye."""
    drops: bool = False
    """Its connection may drop, or it may die: it says nothing more, and the scheduler takes it as lost later."""
    graph: GraphTask | None = None
    """It may submit this, before the tasks; each target has a future."""


@dataclass(frozen=True, slots=True)
class RawPlan:
    """A client that is no machine: it sends what is written here, if it sends it, and does not mind what comes."""

    script: tuple[Message, ...]
    shuffled: bool = False
    """It sends the first message first, and the others in any order."""
    drops: bool = False


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """A worker, driven through `WorkerMachine`."""

    processes: int = 1
    queue_size: int = 2
    comes: bool = False
    """It comes at any moment of the walk, not before it: tasks can then be moved to it."""
    endless: bool = False
    """Its tasks may run for ever: what has to happen must not wait for their end."""
    heartbeats: int = 0
    """Beside the first."""
    crashes: int = 0
    """So often may what runs a task die by itself."""
    late_finishes: int = 0
    """So often may a task finish whose process has been told to end."""
    leaves: bool = False
    """It may leave by itself."""
    dies: bool = False
    """It may say nothing more; the scheduler takes it as lost later."""
    drops: bool = False
    """Its connection may drop: it ends its tasks and comes back as another, if it has lives left."""
    lives: int = 1
    """Under so many routing ids, one after another, may it be there."""


@dataclass(frozen=True, slots=True)
class SchedulerPlan:
    """The scheduler, driven through `SchedulerMachine`."""

    rebalances: int = 0
    loses: tuple[str, ...] = ()
    """Peers that it may take as lost though they live, each entry once: "C1", "W1"."""
    closes: bool = False
    """Its operator may ask for an orderly shutdown."""
    grace_ends: bool = False
    """The grace of the shutdown may be over before the workers have left."""
    settings: SchedulerSettings = field(default_factory=SchedulerSettings)


@dataclass(frozen=True, slots=True)
class Scenario:
    """A system and what may happen in it. Clients are C1, C2..., workers W1, W2..., in the order of the tuples."""

    name: str
    story: str
    """One line: what crosses what."""
    clients: tuple[ClientPlan | RawPlan, ...]
    workers: tuple[WorkerPlan, ...]
    scheduler: SchedulerPlan = SchedulerPlan()
    introduced: bool = True
    """The first heartbeats are exchanged before the walk, one peer after another (but for workers that come); otherwise
    within it."""

    @property
    def names(self) -> dict[bytes, str]:
        """The names of its tasks and graphs, by task id."""
        tasks: dict[bytes, str] = {}
        for client in self.clients:
            if isinstance(client, ClientPlan):
                tasks |= {task_id(task): task for task in client.submits}
                if client.graph is not None:
                    ids = (client.graph.task_id, *(node.task_id for node in client.graph.graph))
                    tasks |= {each: each.decode() for each in ids}
            else:
                submitted = [each for each in client.script if isinstance(each, Task | GraphTask)]
                nodes = [node for each in submitted if isinstance(each, GraphTask) for node in each.graph]
                tasks |= {each.task_id: each.task_id.decode() for each in (*submitted, *nodes)}
        return tasks


def task_id(task: str) -> bytes:
    """The id under which the task of a scenario travels."""
    return task.encode()
