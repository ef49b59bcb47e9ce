"""Section 5: tasks that a worker has received and not begun."""

from __future__ import annotations

from rescind_conformance.case import case
from rescind_conformance.peers import CANCEL_NOT_FOUND, CANCELED, TaskRef
from rescind_conformance.worker_world import WorkerWorld


def busy(world: WorkerWorld) -> TaskRef:
    """A worker with one process, and the task that keeps it busy."""
    world.start()
    return world.run("hold")


def never_starts(world: WorkerWorld, blocker: TaskRef, *tasks: TaskRef) -> None:
    """The process becomes free and runs other tasks, but none of these."""
    world.release(blocker)
    world.expect_result(blocker, "W1.1")
    world.pass_time("W1.1")
    for task in tasks:
        world.expect_not_started(task, "W2.1")
        world.expect_nothing("W2.1", about=task)


@case("W2.1", title="a queued task is cancelled", field_bugs=(1, 2))
def cancelled(world: WorkerWorld) -> None:
    """A task waits behind another and is cancelled (Ray issue 24359: the caller waits for ever; PR 52703: it starts all
    the same). `canceled` at once, and it never starts.
    """
    blocker = busy(world)
    queued = world.assign("return")
    world.cancel(queued)
    world.expect_confirm(queued, CANCELED, "W2.1")
    never_starts(world, blocker, queued)


@case("W2.1", title="a queued task is cancelled with force", field_bugs=(1, 2))
def cancelled_with_force(world: WorkerWorld) -> None:
    """The same with force. What runs is another task and goes on."""
    blocker = busy(world)
    queued = world.assign("return")
    world.cancel(queued, force=True)
    world.expect_confirm(queued, CANCELED, "W2.1")
    never_starts(world, blocker, queued)


@case("W2.1", title="one of many queued tasks is cancelled", field_bugs=(2,))
def one_of_many(world: WorkerWorld) -> None:
    """Five tasks wait; the second and the fourth are cancelled. Those never start, the others run to their end."""
    blocker = busy(world)
    tasks = [world.assign("return") for _ in range(5)]
    for task in tasks[1::2]:
        world.cancel(task)
        world.expect_confirm(task, CANCELED, "W2.1")
    never_starts(world, blocker, *tasks[1::2])
    for task in tasks[0::2]:
        world.expect_result(task, "W2.1")


@case("W2.1", title="a cancel right behind its Task", field_bugs=(1, 2, 3))
def in_one_breath(world: WorkerWorld) -> None:
    """Task and TaskCancel come in one breath, while the process is busy: the worker handles one after the other, so
    that the task is queued when its cancel is handled.
    """
    blocker = busy(world)
    task = world.new_task()
    message = world.task_message(task, "return")
    world.send(message)
    world.cancel(task)
    world.expect_confirm(task, CANCELED, "W2.1")
    never_starts(world, blocker, task)


@case("W1.2", title="a queued task is cancelled twice")
def twice(world: WorkerWorld) -> None:
    """Two TaskCancels in one breath. The first drops the task; the second finds nothing and is answered as well."""
    busy(world)
    queued = world.assign("return")
    for force in (False, True):
        world.cancel(queued, force=force)
    world.expect_confirm(queued, CANCELED, "W1.2")
    world.expect_confirm(queued, CANCEL_NOT_FOUND, "W1.2")
    world.expect_nothing("W1.2", about=queued)


@case("W2.1", "W1.1", title="cancelled, assigned again, and cancelled again", field_bugs=(3, 11, 13))
def assigned_again_and_cancelled(world: WorkerWorld) -> None:
    """A scheduler takes a queued task back, assigns it again to the same worker, and takes it back again (Dask issues
    6159, 6869): each cancel is answered by one `canceled`, and the task never starts.
    """
    blocker = busy(world)
    task = world.new_task()
    message = world.task_message(task, "return")
    for _ in range(3):
        world.send(message)
        world.cancel(task)
    for _ in range(3):
        world.expect_confirm(task, CANCELED, "W2.1")
    world.expect_nothing("W1.1", about=task)
    never_starts(world, blocker, task)


@case("W1.1", title="cancelled, assigned again, and run", field_bugs=(3, 13))
def assigned_again_and_run(world: WorkerWorld) -> None:
    """A scheduler takes a queued task back and assigns it again at once (Dask PR 1119: the report of the first
    assignment ends the second). One `canceled`, then the task runs, once, and has one result.
    """
    blocker = busy(world)
    task = world.new_task()
    message = world.task_message(task, "return")
    world.send(message)
    world.cancel(task)
    world.send(message)
    world.expect_confirm(task, CANCELED, "W2.1")
    world.release(blocker)
    world.expect_result(blocker, "W1.1")
    world.expect_result(task, "W1.1")
    world.pass_time("W1.1")
    world.expect_not_started(task, "W1.1", times=1)
    world.expect_nothing("W1.1", about=task)


@case("W1.3", "W1.1", title="a Task comes twice while it is queued")
def sent_twice(world: WorkerWorld) -> None:
    """A Task that waits comes again. It runs once, and its result is told once."""
    blocker = busy(world)
    queued = world.new_task()
    message = world.task_message(queued, "return")
    for _ in range(2):
        world.send(message)
    world.fence()
    world.release(blocker)
    world.expect_result(blocker, "W1.1")
    world.expect_result(queued, "W1.3")
    world.pass_time("W1.3")
    world.expect_nothing("W1.3", about=queued)
    world.expect_not_started(queued, "W1.1", times=1)


@case("W1.3", title="a Task comes twice while it runs")
def sent_again(world: WorkerWorld) -> None:
    """The Task of what runs comes again. What runs goes on, its result is told once, and nothing runs a second time."""
    world.start()
    task = world.new_task()
    message = world.task_message(task, "hold")
    world.send(message)
    world.expect_started(task, "W1.1", vital=True)
    world.send(message)
    world.fence()
    world.check("W1.3", world.runs(task), f"{task.name} goes on", "it was ended")
    world.release(task)
    world.expect_result(task, "W1.3")
    world.pass_time("W1.3")
    world.expect_nothing("W1.3", about=task)
    world.expect_not_started(task, "W1.3", times=1)
