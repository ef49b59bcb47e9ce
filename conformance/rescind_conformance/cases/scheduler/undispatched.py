"""Section 4, "Not yet dispatched"."""

from __future__ import annotations

from pathlib import Path

from rescind_conformance.case import case
from rescind_conformance.findings import new_task_id
from rescind_conformance.peers import CANCELED, FakeClient, TaskRef
from rescind_conformance.world import World

FEW, MANY = 200, 40_000
PORTION = 2000
TIMES_MORE = 3
"""A search through the queue costs about ten times more for MANY than for FEW."""
A_SEARCH = 10e-6
"""Seconds for each cancel: a search through so many takes longer, and what a larger memory costs is less."""
MEASUREMENTS = 15


@case("S3.1", title="cancel before there is any worker")
def no_worker(world: World) -> None:
    """Two tasks wait without a worker; one is cancelled, one with force. The worker that comes gets neither."""
    owner = world.client()
    plain, forced, kept = owner.submit_many(3)
    owner.cancel(plain)
    owner.expect_confirm(plain, CANCELED, "S3.1")
    owner.cancel(forced, force=True)
    owner.expect_confirm(forced, CANCELED, "S3.1")
    worker = world.worker()
    world.dispatched(kept, "S3.1")
    worker.expect_nothing("S3.1")
    owner.expect_nothing("S3.1")


@case("S3.1", title="cancel while all workers are full")
def workers_full(world: World) -> None:
    """A task waits behind a full worker and is cancelled: the worker hears nothing, and its next task is another."""
    owner, worker = world.client(), world.worker(queue_size=1)
    running = owner.submit()
    holder = world.dispatched(running)
    waiting, following = owner.submit_many(2)
    if holder is worker:
        worker.expect_nothing("S8.2", vital=True)
    owner.cancel(waiting)
    owner.expect_confirm(waiting, CANCELED, "S3.1")
    worker.expect_nothing("S3.1", about=waiting)
    worker.finish(running)
    world.dispatched(following, "S9.9")
    worker.expect_nothing("S3.1", about=waiting)


@case("S3.1", title="cancel in the middle of the queue")
def middle_of_queue(world: World) -> None:
    """Of ten waiting tasks every other one is cancelled, newest first. The worker that comes gets the rest."""
    owner = world.client()
    tasks = owner.submit_many(10)
    for task in reversed(tasks[1::2]):
        owner.cancel(task, fence=False)
    owner.fence()
    for task in tasks[1::2]:
        owner.expect_confirm(task, CANCELED, "S3.1")
    worker = world.worker()
    for task in tasks[0::2]:
        world.dispatched(task, "S3.1")
    worker.expect_nothing("S3.1")


@case("S3.1", title="submitted and cancelled in one breath")
def cancel_right_behind_task(world: World) -> None:
    """The cancel follows its Task without a pause, and no worker is there: `canceled`."""
    owner = world.client()
    task = owner.submit(fence=False)
    owner.cancel(task)
    owner.expect_confirm(task, CANCELED, "S3.1")
    worker = world.worker()
    worker.expect_nothing("S3.1")


@case("S3.2", title="what a cancel costs when many tasks wait")
def cost_of_cancel(world: World) -> None:
    """Two hundred waiting tasks are cancelled newest first: when nothing else waits, and behind 40,000 others. What
    counts is the scheduler's processor time, which others who keep the machine busy do not change.
    """
    owner = world.client()
    with world.unrecorded(owner, f"submits and cancels: {FEW} waiting tasks, and {FEW} newest of {MANY}"):
        few = min(_cost_of_cancelling(world, owner, _submit(owner, FEW)) for _ in range(5))
        waiting = _submit(owner, MANY)
        with world.unresponsive_means("S3.2"):
            many = min(_cost_of_cancelling(world, owner, _pop(waiting, FEW)) for _ in range(5))
    world.check(
        "S3.2",
        many < max(TIMES_MORE * few, few + FEW * A_SEARCH),
        f"{FEW} cancels behind {MANY} waiting tasks cost less than {TIMES_MORE} times as much as alone, "
        f"or {A_SEARCH * 1e6:.0f} µs more each",
        f"they cost {many / few:.1f} times as much ({many * 1000:.1f} ms for {few * 1000:.1f} ms)",
    )


def _submit(owner: FakeClient, count: int) -> list[TaskRef]:
    """In portions, since no deadline is meant to bound how long so many take."""
    tasks = [TaskRef(new_task_id(), "") for _ in range(count)]
    for begin in range(0, count, PORTION):
        for task in tasks[begin : begin + PORTION]:
            owner.submit(task, fence=False)
        owner.fence()
    return tasks


def _pop(tasks: list[TaskRef], count: int) -> list[TaskRef]:
    taken = tasks[-count:]
    del tasks[-count:]
    return taken


def _cost_of_cancelling(world: World, owner: FakeClient, tasks: list[TaskRef]) -> float:
    began = _processor_seconds(world)
    for task in reversed(tasks):
        owner.cancel(task, fence=False)
    world.fence([owner])
    cost = _processor_seconds(world) - began
    for task in tasks:
        owner.expect_confirm(task, CANCELED, "S3.1", vital=True)
    return cost


def _processor_seconds(world: World) -> float:
    """What the subject's main thread has used so far."""
    try:
        return int(Path(f"/proc/{world.instance.pid}/schedstat").read_text(encoding="ascii").split()[0]) / 1e9
    except (OSError, ValueError):
        world.unsupported("the processor time of this subject cannot be read here")
