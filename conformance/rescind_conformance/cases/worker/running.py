"""Section 5: tasks that run."""

from __future__ import annotations

from rescind.messages import CancelConfirmType, TaskCancelConfirm
from rescind_conformance.case import case
from rescind_conformance.peers import CANCEL_FAILED, CANCEL_NOT_FOUND, CANCELED, TaskRef
from rescind_conformance.worker_world import WorkerWorld


def ended_by_force(world: WorkerWorld, task: TaskRef, requirement: str = "W2.2") -> None:
    """The answer to a forced cancel: when it comes, nothing of the task is left."""
    world.expect_confirm(task, CANCELED, requirement, vital=True)
    world.expect_gone(task, requirement, vital=True)


def is_confirm(message: object, *kinds: CancelConfirmType) -> bool:
    """Whether a message is an answer of one of these kinds."""
    return isinstance(message, TaskCancelConfirm) and message.cancel_confirm_type in kinds


def still_works(world: WorkerWorld, requirement: str = "W1.1") -> None:
    """The worker runs another task to its end."""
    following = world.assign("return")
    world.expect_result(following, requirement)


@case("W2.2", title="force ends a task that waits", field_bugs=(29,))
def force(world: WorkerWorld) -> None:
    """The function sleeps. `canceled` comes, and not before its process has ended: a caller who submits again must not
    have it running twice. Then the worker runs the next task.
    """
    world.start()
    task = world.run("hold")
    world.cancel(task, force=True)
    ended_by_force(world, task)
    still_works(world)
    world.expect_nothing("W1.1", about=task)


@case("W2.2", title="force ends a task that never gives way", field_bugs=(29,))
def force_on_spin(world: WorkerWorld) -> None:
    """The same with a function that computes for ever: asking it would not help."""
    world.start()
    task = world.run("spin")
    world.cancel(task, force=True)
    ended_by_force(world, task)
    still_works(world)


@case("W2.2", title="force ends what the task has started", field_bugs=(29,))
def force_on_children(world: WorkerWorld) -> None:
    """The function has started a process in a session of its own, which hears no signal but the last. "All of it" has
    ended when `canceled` comes.
    """
    world.start()
    task = world.run("spawn")
    world.cancel(task, force=True)
    ended_by_force(world, task)
    still_works(world)


@case("W2.2", title="the tasks of other processes go on")
def force_beside_others(world: WorkerWorld) -> None:
    """Three tasks run at once and the second is ended by force: the others go on and have their results."""
    world.start(processes=3)
    tasks = [world.run("hold") for _ in range(3)]
    world.cancel(tasks[1], force=True)
    ended_by_force(world, tasks[1])
    still_works(world)
    for task in tasks[0::2]:
        world.release(task)
        world.expect_result(task, "W2.2")


@case("W2.2", title="several tasks are ended at once")
def force_on_several(world: WorkerWorld) -> None:
    """Three tasks run at once and all are ended by force in one breath: one `canceled` for each, whatever the order."""
    world.start(processes=3)
    tasks = [world.run(body) for body in ("hold", "spin", "hold")]
    for task in tasks:
        world.cancel(task, force=True)
    for task in tasks:
        ended_by_force(world, task)
    still_works(world)


@case("W2.1", "W2.2", title="what waits behind a task that is ended")
def queue_goes_on(world: WorkerWorld) -> None:
    """A task runs, two wait. The first that waits is cancelled and the running one ended by force, in one breath: the
    second that waits is run, and only that.
    """
    world.start()
    running = world.run("hold")
    dropped, kept = world.assign("return"), world.assign("return")
    world.cancel(dropped)
    world.cancel(running, force=True)
    world.expect_confirm(dropped, CANCELED, "W2.1")
    ended_by_force(world, running)
    world.expect_result(kept, "W1.1")
    world.pass_time("W1.1")
    world.expect_not_started(dropped, "W2.1")


@case("W1.1", "W1.2", title="a cancel crosses the start of its task")
def cancel_crosses_start(world: WorkerWorld) -> None:
    """Five times: a task runs, another waits. The running one is ended by force and the other cancelled, in one
    breath, so that the other may begin before its cancel is handled. Either `canceled` alone, and it has not begun; or
    `cancelFailed`, or `cancelNotFound` if it has ended by then, and its result.
    """
    world.start()
    for _ in range(5):
        running, other = world.run("hold"), world.assign("return")
        world.cancel(running, force=True)
        world.cancel(other)
        ended_by_force(world, running)
        answer = world.expect_word(other, "W1.2", answer=True)
        world.inbox.remove(answer)
        if is_confirm(answer, CANCELED):
            world.pass_time("W1.1")
            world.expect_not_started(other, "W2.1")
        else:
            world.expect_result(other, "W1.1")
        world.expect_nothing("W1.1", about=other)


@case("W1.2", title="force twice")
def force_twice(world: WorkerWorld) -> None:
    """A second forced cancel in the same breath. It comes while the process is being ended and shares the one
    `canceled`; or after it, and finds nothing.
    """
    world.start()
    task = world.run("spin")
    for _ in range(2):
        world.cancel(task, force=True)
    world.expect_confirm(task, CANCELED, "W1.2", vital=True)
    still_works(world)  # its process is free again: the end of the first task has been handled
    rest = [message for message in world.waiting(task) if not is_confirm(message, CANCEL_NOT_FOUND)]
    for message in world.waiting(task):
        world.inbox.remove(message)
    happened = ", ".join(map(world.describe, rest))
    world.check("W1.2", not rest, "one canceled, at most cancelNotFound after it", f"then it sent {happened}")


@case("W1.2", title="a cancel without force follows one with force")
def no_force_after_force(world: WorkerWorld) -> None:
    """The task is being ended, and a cancel without force comes: it is not refused, since the task does not go on."""
    world.start()
    task = world.run("spin")
    world.cancel(task, force=True)
    world.cancel(task)
    world.expect_confirm(task, CANCELED, "W1.2", vital=True)
    still_works(world)  # its process is free again: the end of the first task has been handled
    refused = [message for message in world.waiting(task) if is_confirm(message, CANCEL_FAILED)]
    world.check("W1.2", not refused, "no cancelFailed about a task that is being ended", "it sent cancelFailed")
    world.inbox[:] = [message for message in world.inbox if message not in world.waiting(task)]


@case("W2.3", title="without force a running task refuses", field_bugs=(28,))
def refused(world: WorkerWorld) -> None:
    """The function sleeps (Ray issue 32954: nothing happens and nobody is told). `cancelFailed` while it still runs;
    then the task goes on and its result follows.
    """
    world.start()
    task = world.run("hold")
    world.cancel(task)
    world.expect_confirm(task, CANCEL_FAILED, "W2.3")
    world.check("W2.3", world.runs(task), "T1 goes on", "its process has ended")
    world.release(task)
    world.expect_result(task, "W2.3")


@case("W2.3", title="without force a task that never gives way refuses", field_bugs=(28,))
def refused_by_spin(world: WorkerWorld) -> None:
    """The function computes without giving way: the worker answers at once all the same."""
    world.start()
    task = world.run("spin")
    world.cancel(task)
    world.expect_confirm(task, CANCEL_FAILED, "W2.3")
    world.release(task)
    world.expect_result(task, "W2.3")


@case("W1.2", title="refused three times")
def refused_again_and_again(world: WorkerWorld) -> None:
    """Three cancels without force in one breath: three answers."""
    world.start()
    task = world.run("hold")
    for _ in range(3):
        world.cancel(task)
    for _ in range(3):
        world.expect_confirm(task, CANCEL_FAILED, "W1.2")
    world.expect_nothing("W1.2", about=task)


@case("W1.2", "W2.2", title="refused, then ended by force")
def force_after_refusal(world: WorkerWorld) -> None:
    """A cancel without force and one with force in one breath: `cancelFailed`, then `canceled`, in that order."""
    world.start()
    task = world.run("hold")
    world.cancel(task)
    world.cancel(task, force=True)
    world.expect_confirm(task, CANCEL_FAILED, "W1.2")
    ended_by_force(world, task)
    seen = [entry.message for entry in world.trace if is_confirm(entry.message, CANCEL_FAILED, CANCELED)]
    in_order = [is_confirm(message, CANCELED) for message in seen] == [False, True]
    world.check("W1.2", in_order, "cancelFailed, then canceled", ", ".join(map(str, seen)))


@case("W2.4", title="a task that was never there")
def unknown(world: WorkerWorld) -> None:
    """A TaskCancel, with force and without, for a task that the worker never had: `cancelNotFound`."""
    world.start()
    for force in (False, True):
        task = world.new_task()
        world.cancel(task, force=force)
        world.expect_confirm(task, CANCEL_NOT_FOUND, "W2.4", vital=True)


@case("W2.4", title="a task that has finished")
def finished(world: WorkerWorld) -> None:
    """The result has been sent and the cancel comes after it: the worker does not hold the task any more."""
    world.start()
    for force in (False, True):
        task = world.run("return")
        world.expect_result(task, "W1.1")
        world.cancel(task, force=force)
        world.expect_confirm(task, CANCEL_NOT_FOUND, "W2.4")
        world.expect_nothing("W1.2", about=task)


@case("W2.4", title="a task that was cancelled")
def cancelled_before(world: WorkerWorld) -> None:
    """A task was ended by force, another dropped from the queue. A cancel that comes after that finds neither."""
    world.start()
    running = world.run("hold")
    queued = world.assign("return")
    for task in (queued, running):
        world.cancel(task, force=True)
        world.expect_confirm(task, CANCELED, "W1.2", vital=True)
    for task in (queued, running):
        world.cancel(task)
        world.expect_confirm(task, CANCEL_NOT_FOUND, "W2.4")
        world.expect_nothing("W1.2", about=task)


@case("W1.1", title="the result crosses the cancel")
def result_crosses_cancel(world: WorkerWorld) -> None:
    """Ten times: a function returns as the forced cancel comes. Either TaskResult, and `cancelNotFound` for the cancel;
    or `canceled` alone.
    """
    world.start()
    for number in range(10):
        task = world.run("hold")
        first, second = world.release, lambda one: world.cancel(one, force=True)
        for act in (first, second) if number % 2 else (second, first):
            act(task)
        one_outcome(world, task)


def one_outcome(world: WorkerWorld, task: TaskRef) -> None:
    """`canceled` alone, or TaskResult and `cancelNotFound`."""
    if not is_confirm(world.expect_word(task, "W1.1"), CANCELED):
        world.expect_result(task, "W1.1")
        world.expect_confirm(task, CANCEL_NOT_FOUND, "W1.1")
    else:
        world.expect_confirm(task, CANCELED, "W1.1")
    world.expect_nothing("W1.1", about=task)


@case("W2.5", title="the function returns while it is being ended")
def returns_while_ended(world: WorkerWorld) -> None:
    """A task is being ended by force, which may take a while, when its function is let go and returns: the result is
    discarded. `canceled`, and no TaskResult.
    """
    world.start()
    task = world.run("hold")
    world.cancel(task, force=True)
    world.fence()
    world.release(task)
    world.expect_confirm(task, CANCELED, "W2.5", vital=True)
    still_works(world)
    world.expect_nothing("W2.5", about=task)


@case("W2.5", title="half a result is released", field_bugs=(30,))
def half_result(world: WorkerWorld) -> None:
    """A process has stored what it has of its result when it is ended by force. When `canceled` comes it is not in the
    store any more.
    """
    world.needs("release")
    world.start()
    task = world.run("half")
    object_id = next(bytes.fromhex(one.outcome) for one in world.notices if one.task == task.name)
    world.cancel(task, force=True)
    world.expect_confirm(task, CANCELED, "W1.2", vital=True)
    world.check("W2.5", not world.stored(object_id), "what was stored is released", "it is still in the store")


@case("W1.1", title="tasks that run at once")
def at_once(world: WorkerWorld) -> None:
    """Four tasks run at once in a worker with four processes, and end in another order than they began: one result
    each.
    """
    world.start(processes=4)
    tasks = [world.run("hold") for _ in range(4)]
    for task in (tasks[2], tasks[0], tasks[3], tasks[1]):
        world.release(task)
        world.expect_result(task, "W1.1")
    world.expect_nothing("W1.1")


@case("W1.1", title="more tasks than processes")
def queue(world: WorkerWorld) -> None:
    """Eight tasks come in one breath to a worker with one process: each has one result."""
    world.start()
    tasks = [world.new_task() for _ in range(8)]
    for message in [world.task_message(task, "return") for task in tasks]:
        world.send(message)
    for task in tasks:
        if world.expect_result(task, "W1.1") is None:
            return  # the others would be waited for as long
    world.expect_nothing("W1.1")
