"""Section 5: workers that leave, and workers that are told that they are lost."""

from __future__ import annotations

from collections.abc import Callable

from rescind.messages import ClientDisconnect, DisconnectType, WorkerDisconnectNotification
from rescind_conformance.case import case
from rescind_conformance.cases.worker.running import is_confirm
from rescind_conformance.peers import CANCELED, TaskRef
from rescind_conformance.worker_world import WorkerWorld

SHUTDOWN = ClientDisconnect(DisconnectType.SHUTDOWN)
LOST = ClientDisconnect(DisconnectType.DISCONNECT)


def says_goodbye(world: WorkerWorld, *running: TaskRef) -> None:
    """The good-bye comes when nothing runs any more, and nothing comes after it."""
    world.expect_goodbye("W4.2", vital=True)
    for task in running:
        world.expect_gone(task, "W4.2")
    world.left()
    after = world.after_goodbye()
    world.check("W4.2", not after, "nothing comes after the good-bye", ", ".join(map(world.describe, after)))


def nothing_about(world: WorkerWorld, requirement: str, *tasks: TaskRef) -> None:
    """No result of these tasks and no answer about them has come."""
    said = [message for task in tasks for message in world.waiting(task)]
    for message in said:
        world.inbox.remove(message)
    happened = ", ".join(map(world.describe, said))
    world.check(requirement, not said, "nothing is said about what ran", f"W1 sent {happened}")


def told_to_leave(world: WorkerWorld) -> None:
    """The scheduler sends `shutdown`."""
    world.send(SHUTDOWN)


def leaves(world: WorkerWorld) -> None:
    """The operator has it leave."""
    world.leave()


def goodbye_while_running(world: WorkerWorld, leave: Callable[[WorkerWorld], None]) -> None:
    """It leaves while a task runs and another waits."""
    world.start()
    running = world.run("spin")
    queued = world.assign("return")
    world.fence()
    leave(world)
    says_goodbye(world, running)
    world.expect_not_started(queued, "W4.1")
    nothing_about(world, "W4.2", running, queued)


@case("W4.2", title="an idle worker is told to leave")
def shutdown_when_idle(world: WorkerWorld) -> None:
    """ClientDisconnect `shutdown` comes: good-bye, and nothing after it."""
    world.start()
    world.send(SHUTDOWN)
    says_goodbye(world)


@case("W4.2", "W4.1", title="a worker is told to leave while tasks run", field_bugs=(4,))
def shutdown_while_running(world: WorkerWorld) -> None:
    """A task runs, another waits. What runs is ended, what waits never starts, and the good-bye comes last: said
    earlier, the tasks would be placed again while they still run.
    """
    goodbye_while_running(world, told_to_leave)


@case("W4.2", title="an idle worker leaves of its own accord")
def leave_when_idle(world: WorkerWorld) -> None:
    """Its operator has it leave: good-bye, and nothing after it."""
    world.start()
    world.leave()
    says_goodbye(world)


@case("W4.2", "W4.1", title="a worker leaves of its own accord while tasks run", field_bugs=(4,))
def leave_while_running(world: WorkerWorld) -> None:
    """The same while a task runs and another waits."""
    goodbye_while_running(world, leaves)


@case("W4.2", title="what tasks have started ends as well")
def shutdown_with_children(world: WorkerWorld) -> None:
    """A task has started a process in a session of its own. It is gone when the good-bye comes."""
    world.start()
    running = world.run("spawn")
    world.send(SHUTDOWN)
    says_goodbye(world, running)


@case("W4.1", title="a Task that comes while a worker leaves", field_bugs=(4,))
def task_while_leaving(world: WorkerWorld) -> None:
    """`shutdown` and a Task come in one breath, while a task runs (Dask PR 6878: a closing worker takes a task between
    its checks). The worker handles one after the other: the Task is never started; the good-bye gives it back.
    """
    world.start()
    running = world.run("hold")
    late = world.new_task()
    message = world.task_message(late, "return")
    world.send(SHUTDOWN)
    world.send(message)
    world.left()
    world.expect_not_started(late, "W4.1")
    nothing_about(world, "W4.1", running, late)


@case("W4.1", title="several processes become free while a worker leaves", field_bugs=(4,))
def free_processes_while_leaving(world: WorkerWorld) -> None:
    """Three tasks run at once, six wait, and `shutdown` comes: as the processes end, none of the six is started."""
    world.start(processes=3)
    for _ in range(3):
        world.run("hold")
    waiting = [world.assign("return") for _ in range(6)]
    world.fence()
    world.send(SHUTDOWN)
    world.left()
    for task in waiting:
        world.expect_not_started(task, "W4.1")


@case("W1.2", title="told to leave while a task is being ended")
def shutdown_while_ending(world: WorkerWorld) -> None:
    """A forced cancel and `shutdown` come in one breath. The cancel is answered by `canceled`, or by the good-bye."""
    world.start()
    task = world.run("spin")
    world.cancel(task, force=True)
    world.send(SHUTDOWN)
    world.wait_for(
        "W1.2",
        lambda: bool(world.waiting(task)) or bool(world.waiting(kind=WorkerDisconnectNotification)) or world.gone,
        "canceled or the good-bye comes",
        lambda: "neither does",
    )
    world.left()
    rest = [message for message in world.waiting(task) if not is_confirm(message, CANCELED)]
    happened = ", ".join(map(world.describe, rest))
    world.check("W1.2", not rest, "no answer but canceled", f"W1 sent {happened}")
    world.inbox.clear()


def told_that_it_is_lost(world: WorkerWorld, message: ClientDisconnect, requirement: str) -> None:
    """What runs ends, what waits never starts, and nothing is said about either."""
    world.start(brisk=True)
    running = world.run("hold")
    queued = world.assign("return")
    world.fence()
    world.send(message)
    world.expect_ended(running, requirement, vital=True)
    world.comes_back()
    nothing_about(world, requirement, running, queued)
    world.expect_not_started(queued, "W4.1")


@case("W4.3", title="a worker is told that it is lost", field_bugs=(18,))
def disconnect(world: WorkerWorld) -> None:
    """A worker was silent for too long and is told `disconnect` while a task runs and another waits: both are elsewhere
    by now. What runs ends, and nothing is said about it.
    """
    told_that_it_is_lost(world, LOST, "W4.3")


@case("M6", title="a disconnect of a kind that nobody knows")
def unknown_disconnect(world: WorkerWorld) -> None:
    """A scheduler of a later version has a new disconnectType: it is treated as `disconnect`."""
    told_that_it_is_lost(world, ClientDisconnect(9), "M6")


@case("W4.3", title="told that it is lost, while a task is being ended", field_bugs=(18,))
def disconnect_while_ending(world: WorkerWorld) -> None:
    """A forced cancel and `disconnect` come in one breath. Under its former routing id the worker says at most
    `canceled`, if it was so far; under another one, nothing.
    """
    world.start(brisk=True)
    task = world.run("spin")
    world.cancel(task, force=True)
    world.send(LOST)
    world.expect_ended(task, "W4.3", vital=True)
    world.comes_back()
    rest = [message for message in world.waiting(task) if not is_confirm(message, CANCELED)]
    happened = ", ".join(map(world.describe, rest))
    world.check("W4.3", not rest, "no word about the task but canceled", f"W1 sent {happened}")
    world.inbox.clear()


@case("W4.1", title="a Task comes right behind the word that the worker is lost", field_bugs=(4, 18))
def task_behind_disconnect(world: WorkerWorld) -> None:
    """`disconnect` and a Task come in one breath, while a task runs: the Task is never started."""
    world.start(brisk=True)
    running = world.run("hold")
    late = world.new_task()
    message = world.task_message(late, "return")
    world.send(LOST)
    world.send(message)
    world.expect_ended(running, "W4.3", vital=True)
    world.comes_back()
    world.expect_not_started(late, "W4.1")


@case("W1.1", "W4.3", title="a worker that was lost comes back and gets its task again", field_bugs=(3, 18))
def comes_back(world: WorkerWorld) -> None:
    """A worker is told `disconnect` while it runs a task, and comes back under another routing id. The scheduler
    happens to place the same task there: it has one result, and nothing of before is said.
    """
    world.start(brisk=True)
    task = world.new_task()
    message = world.task_message(task, "hold")
    world.send(message)
    world.expect_started(task, "W1.1", vital=True)
    world.send(LOST)
    world.expect_ended(task, "W4.3", vital=True)
    if not world.comes_back():
        world.unsupported("it does not come back")
    nothing_about(world, "W4.3", task)
    world.send(message)
    world.expect_started(task, "W1.1", times=2, vital=True)
    world.release(task)
    world.expect_result(task, "W4.3")
    world.expect_nothing("W4.3", about=task)
