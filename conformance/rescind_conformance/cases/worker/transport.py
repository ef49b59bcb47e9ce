"""Section 2, as far as it binds a worker. The end of a connection (T4) is in `liveness`."""

from __future__ import annotations

from rescind.messages import ClientDisconnect, DisconnectType, TaskCancel, TaskCancelConfirm
from rescind_conformance.case import case
from rescind_conformance.cases.worker.queued import busy
from rescind_conformance.peers import CANCEL_FAILED, CANCEL_NOT_FOUND, CANCELED, Unreadable
from rescind_conformance.worker_world import WorkerWorld

MANY = 50
THOUSANDS = 2000


@case("T1", title="a worker sets its routing id")
def routing_id(world: WorkerWorld) -> None:
    """A ROUTER makes ids that begin with a zero byte up for peers that set none: the worker's does not."""
    world.start()
    given = world.routing_ids[0]
    world.check("T1", given[:1] != b"\0", "W1 has set a routing id", f"its id, {given.hex()}, was made up by ZeroMQ")


@case("T2", title="what a worker sends is one message in one frame")
def well_formed_frames(world: WorkerWorld) -> None:
    """Every kind of message that a worker sends: heartbeat, results of all kinds, answers, the good-bye. (So is every
    message of every other case: what cannot be read is a departure there.)
    """
    world.start()
    for body in ("return", "raise", "die"):
        world.wait_for_outcome(world.assign(body))
    running = world.run("hold")
    for force, answer in ((False, CANCEL_FAILED), (True, CANCELED)):
        world.cancel(running, force=force)
        world.expect_confirm(running, answer, "W1.2")
    world.send(ClientDisconnect(DisconnectType.SHUTDOWN))
    world.left()
    unreadable = [message for message in world.inbox if isinstance(message, Unreadable)]
    world.check("T2", not unreadable, "each message can be read", f"W1 sent {', '.join(map(str, unreadable))}")
    world.inbox.clear()


@case("T3", title="a connection keeps its order")
def order(world: WorkerWorld) -> None:
    """Fifty pairs of Task and TaskCancel come in one breath, while the process is busy: fifty `canceled` come, in that
    order.
    """
    busy(world)
    tasks = [world.new_task() for _ in range(MANY)]
    for message in [world.task_message(task, "return") for task in tasks]:
        world.send(message)
        world.send(TaskCancel(message.task_id))
    world.comes_to(lambda: len(world.waiting(kind=TaskCancelConfirm)), MANY)
    expected = [TaskCancelConfirm(task.id, CANCELED) for task in tasks]
    happened = ", ".join(map(world.describe, world.inbox)) or "nothing"
    world.check("T3", world.inbox == expected, "canceled for each task, in order", f"W1 sent {happened}")
    world.inbox.clear()


@case("W2.4", title="thousands of cancels in one breath")
def many_in_one_breath(world: WorkerWorld) -> None:
    """Two thousand TaskCancels come at once, of tasks that the worker does not hold: each is answered. A connection
    that cannot send while it is sending loses some of the answers.
    """
    world.start()
    tasks = [world.new_task() for _ in range(THOUSANDS)]
    for task in tasks:
        world.cancel(task)
    expected = [TaskCancelConfirm(task.id, CANCEL_NOT_FOUND) for task in tasks]
    world.comes_to(lambda: len(world.inbox), THOUSANDS)
    happened = f"{len(world.inbox)} answers came" if len(world.inbox) != THOUSANDS else "others came"
    world.check("W2.4", world.inbox == expected, "cancelNotFound for each, in order", happened)
    world.inbox.clear()
    world.expect_nothing("W1.2")
