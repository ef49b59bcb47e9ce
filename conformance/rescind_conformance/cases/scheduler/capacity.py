"""Section 4: how many tasks a worker has (S8.2), and that a place that has become free is used (S9.9)."""

from __future__ import annotations

from collections.abc import Sequence

from rescind.messages import CancelConfirmType, Task, TaskCancel
from rescind_conformance.case import Profile, case
from rescind_conformance.cases.scheduler.dispatched import dispatched_task
from rescind_conformance.cases.scheduler.losses import placed_again
from rescind_conformance.cases.scheduler.rebalancing import CROWD, asked_back
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
    ended: list[TaskRef] = []
    for count in range(2, 5):
        has_received(world, worker, tasks, count)
        ended.append(next(task for task in received(worker, tasks) if task not in ended))
        worker.finish(ended[-1])


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


@case("S8.2", title="a worker that takes no more from now on")
def queue_size_set_to_zero(world: World) -> None:
    """An idle worker lowers its queue size from three to zero. It gets no task; one that comes later does."""
    owner, closed = world.client(), world.worker(queue_size=3)
    closed.announce(0)
    task = owner.submit()
    closed.expect_nothing("S8.2", about=task)
    world.worker()
    is_used(world, task)
    closed.expect_nothing("S8.2", about=task)


@case("S8.2", title="a worker that has more than it takes")
def queue_size_below_load(world: World) -> None:
    """A worker with three tasks lowers its queue size to one. It may be asked to give some back (S7.1), and keeps all.
    It gets the one that waits when the three have ended, not before.
    """
    owner, worker = world.client(), world.worker(queue_size=3)
    tasks = owner.submit_many(3)
    for task in tasks:
        world.dispatched(task)
    worker.announce(1)
    waiting = owner.submit()
    world.fence([owner, worker])
    back = [TaskCancel(task.id) for task in tasks]
    worker.inbox[:] = [message for message in worker.inbox if message not in back]
    for task in tasks:
        worker.expect_nothing("S8.2")
        owner.expect(worker.finish(task), "S1.1")
    is_used(world, waiting)


@case("S9.9", title="a worker that takes more from now on")
def queue_size_raised(world: World) -> None:
    """A worker that takes one task has one, and another waits. The worker raises its queue size to two, and gets it."""
    worker, _, waiting = taken_place(world)
    worker.announce(2)
    is_used(world, waiting)


@case("S8.2", title="one holder for each task")
def one_holder(world: World) -> None:
    """Nine tasks and three workers with room for all of them: each task is dispatched to one worker."""
    owner, *_ = world.client(), world.worker(), world.worker(), world.worker()
    for task in owner.submit_many(9):
        world.dispatched(task)


def taken_place(world: World) -> tuple[FakeWorker, TaskRef, TaskRef]:
    """A full worker, its task, and a task that waits."""
    owner, worker = world.client(), world.worker(queue_size=1)
    task = owner.submit()
    world.dispatched(task)
    waiting = owner.submit()
    worker.expect_nothing("S8.2", about=waiting)
    return worker, task, waiting


def is_used(world: World, waiting: TaskRef) -> None:
    """The task that waited has come to a worker."""
    world.dispatched(waiting, "S9.9")


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


def place_after_move(world: World, answer: CancelConfirmType | None) -> None:
    """All places are taken and a task waits when a worker answers, or ends, a task that it was asked for: one of the
    two gets the place.
    """
    owner, holder, _, task = asked_back(world)
    for other in owner.submit_many(CROWD):
        world.dispatched(other)
    waiting = owner.submit()
    if answer is None:
        holder.finish(task)
    else:
        holder.confirm(task, answer)
    used = world.wait_until(lambda: bool(received(holder, (task, waiting))))
    world.check("S9.9", used, f"{holder.name} gets Task {task.name} or {waiting.name}", "it got neither")


@case("S9.9", title="the place of a task that was given back", profile=Profile.REBALANCING)
def place_after_giving_back(world: World) -> None:
    """All places are taken and a task waits when a worker gives another task back: one of the two gets the place."""
    place_after_move(world, CANCELED)


@case("S9.9", title="the place of a task that was not there to give back", profile=Profile.REBALANCING)
def place_after_move_of_nothing(world: World) -> None:
    """The same where the worker does not have the task that it is asked for."""
    place_after_move(world, CANCEL_NOT_FOUND)


@case("S9.9", title="the place of a task whose result crossed a move", profile=Profile.REBALANCING)
def place_after_result_in_move(world: World) -> None:
    """The same where the worker ends the task before it is asked: the task that waited gets the place."""
    place_after_move(world, None)


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
    world.dispatched(owner.submit())
    waiting = owner.submit()
    large.finish(first)
    is_used(world, waiting)


# --- what causes a dispatch: heartbeats hide it where it is missing, so here nobody sends any


def no_more_heartbeats(world: World) -> None:
    """From now on peers send only what the case tells them to. No time-out is near."""
    for peer in (*world.clients, *world.workers):
        peer.silent = True
        world.note_event(peer, "sends no heartbeat for a while")


@case("S9.9", title="a Task is enough for its dispatch")
def dispatch_on_submit(world: World) -> None:
    """A worker has room. A client submits, and then nobody says anything: the worker gets the task."""
    owner, _ = world.client(), world.worker()
    no_more_heartbeats(world)
    is_used(world, owner.submit(fence=False))


@case("S9.9", title="a last word is enough for the next dispatch")
def dispatch_on_last_word(world: World) -> None:
    """A worker is full and three tasks wait. It ends its task, gives the next up to a cancel, does not have the third;
    and then nobody says anything: it gets another task each time, whichever it is.
    """
    owner, worker = world.client(), world.worker(queue_size=1)
    waiting = owner.submit_many(4)
    finished = next_of(world, worker, waiting)
    no_more_heartbeats(world)
    worker.finish(finished, fence=False)
    for answer in (CANCELED, CANCEL_NOT_FOUND):
        task = next_of(world, worker, waiting)
        owner.cancel(task, fence=False)
        world.wait_until(lambda task=task: bool(worker.waiting(task)))  # type: ignore[misc]
        worker.expect_cancel(task, "S4.1", vital=True)
        worker.confirm(task, answer, fence=False)
    next_of(world, worker, waiting)


def next_of(world: World, worker: FakeWorker, waiting: list[TaskRef]) -> TaskRef:
    """One of the tasks that wait has come to the worker: any will do. It is taken out of the list."""
    world.wait_until(lambda: bool(received(worker, waiting)))
    came = received(worker, waiting)
    names = ", ".join(task.name for task in waiting)
    world.check("S9.9", bool(came), f"{worker.name} gets one of {names}", "it got none", vital=True)
    is_used(world, came[0])
    waiting.remove(came[0])
    return came[0]


@case("S9.9", title="a loss is enough for the next dispatch")
def dispatch_on_loss(world: World) -> None:
    """A worker leaves with a task while another has room, and then nobody says anything: the other gets the task."""
    _, leaving, task = dispatched_task(world)
    world.worker()
    no_more_heartbeats(world)
    leaving.leave(fence=False)
    placed_again(world, task, "S9.9")
