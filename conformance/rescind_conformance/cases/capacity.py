"""Section 4: how many tasks a worker has (S8.2), and that a place that has become free is used (S9.9)."""

from __future__ import annotations

from collections.abc import Sequence

from rescind.messages import CancelConfirmType, Task
from rescind_conformance.case import Profile, case
from rescind_conformance.cases.rebalancing import CROWD, asked_back
from rescind_conformance.peers import CANCEL_NOT_FOUND, CANCELED, FakeWorker, TaskRef
from rescind_conformance.world import World


def received(worker: FakeWorker, tasks: Sequence[TaskRef]) -> list[TaskRef]:
    """Those of the tasks whose Task has come to the worker and was not taken."""
    return [task for task in tasks if any(isinstance(message, Task) for message in worker.waiting(task))]


def has_received(world: World, worker: FakeWorker, tasks: Sequence[TaskRef], count: int) -> None:
    """The worker has got so many of the tasks, no fewer and no more."""
    world.wait_until(lambda: len(received(worker, tasks)) >= count)
    found = len(received(worker, tasks))
    expected, happened = f"{worker.name} gets {count} of {len(tasks)} tasks", f"it got {found}"
    world.check("S9.9", found >= count, expected, happened, vital=True)
    world.check("S8.2", found <= count, expected, happened)


@case("S8.2", "S9.9", title="a worker gets no more than it takes")
def queue_size_is_kept(world: World) -> None:
    """Five tasks, and a worker that takes two: it gets two, and one more for each that it ends."""
    owner, worker = world.client(), world.worker(queue_size=2)
    tasks = owner.submit_many(5)
    for ended in range(3):
        has_received(world, worker, tasks, 2 + ended)
        worker.finish(received(worker, tasks)[ended])


@case("S8.2", "S9.9", title="a worker that takes nothing")
def queue_size_of_zero(world: World) -> None:
    """A worker with queue size 0 gets no task; one that comes later does."""
    owner, closed = world.client(), world.worker(queue_size=0)
    task = owner.submit()
    closed.expect_nothing("S8.2", about=task)
    world.worker()
    is_used(world, task)
    closed.expect_nothing("S8.2", about=task)


@case("S8.2", title="a worker that takes fewer from now on")
def queue_size_lowered(world: World) -> None:
    """A worker with one task lowers its queue size from three to one in a heartbeat. It gets no other until it is
    done.
    """
    owner, worker = world.client(), world.worker(queue_size=3)
    task = owner.submit()
    world.dispatched(task)
    worker.announce(1)
    others = owner.submit_many(2)
    has_received(world, worker, others, 0)
    worker.finish(task)
    has_received(world, worker, others, 1)


@case("S8.2", title="one holder for each task")
def one_holder(world: World) -> None:
    """Nine tasks and three workers with room for all of them: each task is dispatched to one worker."""
    owner, *_ = world.client(), world.worker(), world.worker(), world.worker()
    for task in owner.submit_many(9):
        world.dispatched(task)


def taken_place(world: World) -> tuple[FakeWorker, TaskRef, TaskRef]:
    """A full worker, its task, and a task that waits."""
    owner, worker = world.client(), world.worker(queue_size=1)
    task, waiting = owner.submit_many(2)
    world.dispatched(task)
    worker.expect_nothing("S8.2", about=waiting)
    return worker, task, waiting


def is_used(world: World, waiting: TaskRef) -> None:
    """The task that waited has come to a worker."""
    holder = world.dispatched(waiting, "S9.9")
    world.check("S9.9", True, f"Task {waiting.name} is dispatched", f"{holder.name} got it")


@case("S9.9", title="the place of a task with a result")
def place_after_result(world: World) -> None:
    """A worker is full and a task waits. The worker sends its result, and gets the task that waited."""
    worker, task, waiting = taken_place(world)
    worker.finish(task)
    is_used(world, waiting)


def place_after_cancel(world: World, answer: CancelConfirmType) -> None:
    """The owner cancels the worker's task, and the task that waited gets its place."""
    worker, task, waiting = taken_place(world)
    world.clients[0].cancel(task, force=True)
    worker.expect_cancel(task, "S4.1", force=True, vital=True)
    worker.confirm(task, answer)
    is_used(world, waiting)


@case("S9.9", title="the place of a cancelled task")
def place_after_canceled(world: World) -> None:
    """A worker is full and a task waits. The worker's task is cancelled, and it gets the task that waited."""
    place_after_cancel(world, CANCELED)


@case("S9.9", title="the place of a task that the worker did not have")
def place_after_not_found(world: World) -> None:
    """A worker is full and a task waits. The worker answers a cancel with `cancelNotFound`: it has room after all."""
    place_after_cancel(world, CANCEL_NOT_FOUND)


@case("S9.9", title="the place of a task whose result crossed the cancel")
def place_after_crossing(world: World) -> None:
    """A worker is full and a task waits. A cancel and the result cross: the result alone makes room."""
    worker, task, waiting = taken_place(world)
    world.clients[0].cancel(task)
    worker.expect_cancel(task, "S4.1", vital=True)
    worker.finish(task)
    is_used(world, waiting)


@case("S9.9", title="the place of a task that was given back", profile=Profile.REBALANCING)
def place_after_move(world: World) -> None:
    """All places are taken and a task waits when a worker gives another task back: one of the two gets the place."""
    owner, holder, _, task = asked_back(world)
    *others, waiting = owner.submit_many(CROWD + 1)
    for other in others:
        world.dispatched(other)
    holder.confirm(task, CANCELED)
    used = world.wait_until(lambda: bool(received(holder, (task, waiting))))
    world.check("S9.9", used, f"{holder.name} gets Task {task.name} or {waiting.name}", "it got neither")


@case("S9.9", title="a place beside a full worker")
def place_beside_full_worker(world: World) -> None:
    """Two workers are full, one takes three tasks, one takes one. The larger has a place free again: it is used, even
    though it still has more tasks than the smaller.
    """
    owner, large = world.client(), world.worker(queue_size=3)
    first, *more = owner.submit_many(3)
    for task in (first, *more):
        world.dispatched(task)
    world.worker(queue_size=1)
    single, waiting = owner.submit_many(2)
    world.dispatched(single)
    large.finish(first)
    is_used(world, waiting)
