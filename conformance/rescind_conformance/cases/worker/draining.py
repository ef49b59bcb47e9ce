"""Section 5: workers that are told to drain (W4.4)."""

from __future__ import annotations

from rescind.messages import WorkerHeartbeat
from rescind_conformance.case import case
from rescind_conformance.peers import CANCELED
from rescind_conformance.worker_world import WorkerWorld

LATER = 600.0
"""Seconds between heartbeats: none but the first, and those that have another cause, come within a case."""


def told_to_drain(world: WorkerWorld) -> None:
    """The worker has been told, and has said in a heartbeat that it takes no tasks any more."""
    world.leave()
    world.wait_for(
        "W4.4",
        lambda: takes_none(world),
        "a heartbeat comes at once, with the queueSize 0",
        lambda: "none does",
        vital=True,
    )


def takes_none(world: WorkerWorld) -> bool:
    """Whether it has said so."""
    said = [entry.message for entry in world.trace if isinstance(entry.message, WorkerHeartbeat)]
    return bool(said) and said[-1].queue_size == 0


def says_goodbye(world: WorkerWorld) -> None:
    """Nothing runs any more: it leaves."""
    world.expect_goodbye("W4.4", vital=True)
    world.left()
    after = world.after_goodbye()
    world.check("W4.2", not after, "nothing comes after the good-bye", ", ".join(map(world.describe, after)))


@case("W4.4", "W4.2", title="a worker drains while tasks run")
def finishes_what_runs(world: WorkerWorld) -> None:
    """A task runs and two wait when a worker is told to drain: it says at once that it takes no more. It gives back
    what it is asked for. The task that runs comes to its end; then the worker says good-bye, and has started nothing.
    """
    world.start(drains=True, heartbeat_interval=LATER)
    running = world.run("hold")
    asked_back, queued = world.assign("return"), world.assign("return")
    world.fence()
    told_to_drain(world)
    late = world.assign("return")
    world.cancel(asked_back)
    world.expect_confirm(asked_back, CANCELED, "W4.4", vital=True)
    world.release(running)
    world.expect_result(running, "W4.4")
    says_goodbye(world)
    for task in (asked_back, queued, late):
        world.expect_not_started(task, "W4.4")


@case("W4.4", "W4.2", title="an idle worker drains")
def idle(world: WorkerWorld) -> None:
    """Nothing runs when a worker is told to drain: it says good-bye at once."""
    world.start(drains=True)
    world.leave()
    says_goodbye(world)


@case("W4.4", "W4.2", title="the last task of a worker that drains is cancelled by force")
def cancelled_by_force(world: WorkerWorld) -> None:
    """A worker that drains runs one task, which is cancelled with force: `canceled`, and then the good-bye, once."""
    world.start(drains=True, heartbeat_interval=LATER)
    running = world.run("spin")
    told_to_drain(world)
    world.cancel(running, force=True)
    world.expect_confirm(running, CANCELED, "W4.4", vital=True)
    says_goodbye(world)
