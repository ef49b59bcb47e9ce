"""Section 5: tasks whose function, process or payloads fail."""

from __future__ import annotations

from dataclasses import replace

from rescind.messages import TaskResult, TaskResultType
from rescind_conformance.case import case
from rescind_conformance.cases.worker.running import is_confirm, still_works
from rescind_conformance.peers import CANCEL_FAILED, CANCEL_NOT_FOUND, CANCELED, TaskRef
from rescind_conformance.worker_world import WorkerWorld

DIED, FAILED = TaskResultType.FAILED_WORKER_DIED, TaskResultType.FAILED


def fails(world: WorkerWorld, task: TaskRef, requirement: str = "W3.2") -> None:
    """TaskResult `failed` comes, with the error as its result; then the worker runs another task."""
    result = world.expect_result(task, requirement, FAILED)
    if result is None:
        return
    names_what_is_stored(world, result, requirement)
    still_works(world, requirement)
    world.expect_nothing("W1.1", about=task)


def names_what_is_stored(world: WorkerWorld, result: TaskResult, requirement: str) -> None:
    """A result names an object; with feature `release` also: what it names is in the store."""
    what = "the error" if result.result_type == FAILED else "the returned value"
    world.check(requirement, bool(result.results), f"{what} is the result", "it names no result")
    if "release" not in world.features:
        return
    for object_id in result.results:

        def is_stored(object_id: bytes = object_id) -> bool:
            return bool(world.ask("stored", "", object_id=object_id.hex())["returned"])

        missing = f"the object {object_id.hex()}, which {world.describe(result)} names, is not there"
        # More than once: a store may take its time to show what it has accepted.
        world.poll_for(requirement, is_stored, f"{what} is in the store", missing)


@case("W3.1", title="the process of a task dies")
def dies(world: WorkerWorld) -> None:
    """A function brings its process down, as a crash does: `failedWorkerDied`, and the worker goes on."""
    world.start()
    task = world.assign("die")
    world.expect_result(task, "W3.1", DIED)
    still_works(world, "W3.1")
    world.expect_nothing("W1.1", about=task)


@case("W3.1", title="tasks wait behind one whose process dies")
def dies_before_others(world: WorkerWorld) -> None:
    """Three tasks in one breath for one process, the first brings it down: the others run all the same."""
    world.start()
    first, *others = [world.new_task() for _ in range(3)]
    messages = [world.task_message(first, "die"), *(world.task_message(task, "return") for task in others)]
    for message in messages:
        world.send(message)
    world.expect_result(first, "W3.1", DIED)
    for task in others:
        world.expect_result(task, "W3.1")


@case("W3.1", title="the process of one of several tasks dies")
def dies_beside_others(world: WorkerWorld) -> None:
    """Two tasks run at once and the process of a third dies: the two go on."""
    world.start(processes=3)
    others = [world.run("hold") for _ in range(2)]
    task = world.assign("die")
    world.expect_result(task, "W3.1", DIED)
    still_works(world, "W3.1")
    for other in others:
        world.release(other)
        world.expect_result(other, "W3.1")


@case("W1.1", title="the process dies while the task is cancelled with force")
def death_crosses_force(world: WorkerWorld) -> None:
    """Five times: a process dies by itself as a forced cancel comes. One outcome: `failedWorkerDied`, and
    `cancelNotFound` for the cancel; or `canceled` alone.
    """
    world.start()
    for _ in range(5):
        task = world.new_task()
        message = world.task_message(task, "die")
        world.send(message)
        world.cancel(task, force=True)
        world.expect_word(task, "W1.1")
        if world.waiting(task, TaskResult):
            world.expect_result(task, "W3.1", DIED)
            world.expect_confirm(task, CANCEL_NOT_FOUND, "W1.1")
        else:
            world.expect_confirm(task, CANCELED, "W1.1")
        world.expect_nothing("W1.1", about=task)


@case("W1.1", "W1.2", title="the process dies while the task is cancelled without force")
def death_crosses_cancel(world: WorkerWorld) -> None:
    """The same without force: the cancel is refused, or finds nothing, or the task queued. One outcome, one answer."""
    world.start()
    for _ in range(5):
        task = world.new_task()
        message = world.task_message(task, "die")
        world.send(message)
        world.cancel(task)
        if is_confirm(world.expect_word(task, "W1.2", answer=True), CANCELED):
            world.expect_confirm(task, CANCELED, "W1.1")
        else:
            world.expect_result(task, "W1.1", DIED)
            world.inbox[:] = [one for one in world.inbox if not is_confirm(one, CANCEL_FAILED, CANCEL_NOT_FOUND)]
        world.expect_nothing("W1.1", about=task)


@case("W3.2", title="a function raises")
def raises(world: WorkerWorld) -> None:
    """TaskResult `failed` with the error as result; the worker goes on."""
    world.start()
    fails(world, world.assign("raise"))


@case("W3.2", title="a result cannot be stored")
def unstorable(world: WorkerWorld) -> None:
    """A function returns what no serialization can store. `failed`, and the worker goes on."""
    world.start()
    fails(world, world.assign("unstorable"))


@case("W3.2", title="a result that is stored")
def stored(world: WorkerWorld) -> None:
    """A function returns a value. `success` says that it is stored, since the worker would have to say `failed` if it
    were not: it names the object.
    """
    world.start()
    result = world.expect_result(world.assign("return"), "W3.2")
    if result is not None:
        names_what_is_stored(world, result, "W3.2")


@case("W3.2", title="what is stored is no function")
def no_function(world: WorkerWorld) -> None:
    """The object that a Task names as its function is one of its arguments. `failed`, and the worker goes on."""
    world.start()
    task = world.new_task()
    message = world.task_message(task, "return")
    world.send(replace(message, func_object_id=message.function_args[0].data))
    fails(world, task)


@case("W3.2", title="a function that is not in the store")
def missing_function(world: WorkerWorld) -> None:
    """Nobody has stored the object that a Task names as its function. `failed`, and the worker goes on."""
    world.start()
    task = world.new_task()
    world.send(world.unreadable_message(task))
    fails(world, task)


@case("W3.2", title="an argument that is not in the store")
def missing_argument(world: WorkerWorld) -> None:
    """Nobody has stored the object that a Task names as its first argument. `failed`, and the worker goes on."""
    world.start()
    task = world.new_task()
    message = world.task_message(task, "return")
    first, *others = message.function_args
    missing = replace(first, data=bytes(reversed(first.data)))
    world.send(replace(message, function_args=(missing, *others)))
    fails(world, task)
