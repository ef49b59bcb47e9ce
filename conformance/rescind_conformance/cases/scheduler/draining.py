"""Section 4: schedulers that are told to drain (S9.12)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from rescind_conformance.case import Profile, case
from rescind_conformance.cases.scheduler.dispatched import dispatched_task
from rescind_conformance.cases.scheduler.shutdown import TOLD, LastWords, goes_home
from rescind_conformance.peers import CANCEL_NOT_FOUND, CANCELED, FakeClient, FakeWorker, TaskRef
from rescind_conformance.world import World

Said = TypeVar("Said")


def told_to_drain(world: World, client: FakeClient) -> None:
    """The scheduler drains: it has refused a Task. What it takes until it has heard of that is cancelled.

    While this goes on no worker has room.
    """
    world.drain_scheduler()
    latest = time.monotonic() + world.deadline
    while not _refuses(world, client.submit(), client):
        world.check("S9.12", time.monotonic() < latest, "a Task is refused", "each is taken", vital=True)
    sent_home = [worker.name for worker in world.workers if TOLD in worker.inbox]
    happened = f"{', '.join(sent_home)} is"
    world.check("S9.12", not sent_home, "no worker is told to leave while a task is left", happened, vital=True)


def _refuses(world: World, task: TaskRef, client: FakeClient) -> bool:
    if client.waiting(task):
        return client.expect_confirm(task, CANCEL_NOT_FOUND, "S9.12", vital=True)
    client.cancel(task)
    client.expect_confirm(task, CANCELED, "S3.1", vital=True)
    return False


def ends(world: World, last: Callable[[], Said], *workers: FakeWorker) -> Said:
    """What `last` says, which ends the last task: then the workers are told to leave, and the scheduler exits."""
    last_words = LastWords(world)
    world.stopping = True
    said = last()
    for worker in workers:
        goes_home(last_words, worker, "S9.12")
    last_words.exits("S9.12")
    return said


@case("S9.12", title="what was accepted is finished", profile=Profile.DRAINING)
def finishes_what_it_has(world: World) -> None:
    """A worker has a task, and another waits, when the scheduler is told to drain. What comes is refused. Both tasks
    run, and their results are forwarded; then the worker is told to leave, and the scheduler exits.
    """
    owner, holder = world.client(), world.worker(queue_size=1)
    task = owner.submit()
    world.dispatched(task)
    waiting = owner.submit()
    told_to_drain(world, owner)
    owner.expect(holder.finish(task), "S9.12", vital=True)
    world.dispatched(waiting, "S9.12")
    owner.expect(ends(world, lambda: holder.finish(waiting, fence=False), holder), "S9.12")


@case("S9.12", title="cancels, losses and new workers during a drain", profile=Profile.DRAINING)
def serves_on(world: World) -> None:
    """A scheduler drains. The worker of its only task leaves; another comes and is given the task, whose owner cancels
    it. The worker says that it has; then it is told to leave, and the scheduler exits.
    """
    owner, holder, task = dispatched_task(world)
    holder.announce(1)
    told_to_drain(world, owner)
    holder.leave()
    second = world.worker()
    world.dispatched(task, "S9.12")
    owner.cancel(task)
    second.expect_cancel(task, "S9.12", vital=True)
    ends(world, lambda: second.confirm(task, CANCELED, fence=False), second)
    owner.expect_confirm(task, CANCELED, "S9.12")


@case("S9.12", title="a drain with nothing to do", profile=Profile.DRAINING)
def nothing_to_do(world: World) -> None:
    """A scheduler without a task is told to drain: it shuts down at once."""
    world.client()
    idle = world.worker()
    ends(world, world.drain_scheduler, idle)
