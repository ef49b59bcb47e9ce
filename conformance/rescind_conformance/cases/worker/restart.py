"""Sections 2, 5 and 11: the scheduler is killed, and another listens at its address before the worker knows."""

from __future__ import annotations

from rescind_conformance.case import case
from rescind_conformance.peers import TaskRef
from rescind_conformance.trace import SCHEDULER
from rescind_conformance.worker_world import WorkerWorld


def restart(world: WorkerWorld) -> int:
    """The scheduler is started anew; from which place in the trace on."""
    world.drop_connection()
    return len(world.trace)


def nothing_of_former(world: WorkerWorld, since: int, *tasks: TaskRef) -> None:
    """No outcome of these tasks, no answer about them and no good-bye has come, under whatever routing id."""
    since_then = [entry.message for entry in world.trace[since:] if entry.receiver == SCHEDULER]
    said = [message for message in since_then if message is not None and message in world.inbox]
    happened = ", ".join(map(world.describe, said)) or "something comes under the former routing id"
    for message in said:
        world.inbox.remove(message)
    expected = f"nothing about {', '.join(task.name for task in tasks)}"
    world.check("T7", not said and not world.resumed, expected, happened)


def goes_on(world: WorkerWorld, lives: int) -> bool:
    """The worker has come back, for that time; as another, which serves."""
    came = world.comes_back(lives)
    world.check("W5.4", came, "W1 comes back", "it does not")
    if came:
        world.expect_result(world.assign("return"), "W5.4")
    return came


@case("W5.4", "W5.3", "T7", title="a scheduler is started anew, twice, with tasks that run and that wait")
def comes_back(world: WorkerWorld) -> None:
    """One task runs and another waits, each time: what ran ends, what waited never starts, and the new scheduler hears
    of neither. The place is free again: a task of the new scheduler runs.
    """
    world.start(brisk=True)
    for lives in (1, 2):
        running = world.run("hold")
        queued = world.assign("return")
        world.fence()
        since = restart(world)
        world.expect_ended(running, "W5.3", vital=True)
        came = goes_on(world, lives)
        world.expect_not_started(queued, "W4.1")
        nothing_of_former(world, since, running, queued)
        if not came:
            return


@case("T7", title="a task returns as its scheduler is started anew")
def with_result(world: WorkerWorld) -> None:
    """One task returns, and another is cancelled with force, as the connection drops. Their outcomes were for the
    former scheduler: what it did not hear, the new one does not either.
    """
    world.start(processes=2, brisk=True)
    returning, cancelled = world.run("hold"), world.run("hold")
    world.fence()
    world.cancel(cancelled, force=True)
    world.call("release", f"release({returning.name})", task=returning.name)
    since = restart(world)
    world.expect_ended(cancelled, "W5.3", vital=True)  # the other's process may serve further tasks
    if not world.comes_back():
        world.unsupported("it does not come back")
    world.expect_result(world.assign("return"), "W5.3")
    nothing_of_former(world, since, returning, cancelled)
