"""Section 12: a scheduler and clients of a later version, whose messages have fields that today's do not have."""

from __future__ import annotations

from rescind.messages import ClientDisconnect, DisconnectType, Message, TaskCancel
from rescind.vector_versions import evolved
from rescind_conformance.case import case
from rescind_conformance.peers import CANCEL_FAILED, CANCELED
from rescind_conformance.worker_world import WorkerWorld


def send_evolved(world: WorkerWorld, message: Message) -> None:
    """Send a message as the later version does."""
    world.send_frames(evolved(message), means=message, note="of a later version")


@case("E2", title="a task and cancels of a later version")
def task_and_cancels(world: WorkerWorld) -> None:
    """A Task has new fields, in its arguments, too: it runs. So have cancels, without force and with it: the first is
    refused, the second ends the task.
    """
    world.start()
    task = world.new_task()
    send_evolved(world, world.task_message(task, "hold"))
    world.expect_started(task, "E2", vital=True)
    for force, kind in ((False, CANCEL_FAILED), (True, CANCELED)):
        send_evolved(world, TaskCancel(task.id, force))
        world.expect_confirm(task, kind, "E2")


@case("E2", title="echoes of a later version")
def echoes(world: WorkerWorld) -> None:
    """All echoes have new fields, and so has the address in them: the worker finds what a task needs, and stores its
    result.
    """
    world.write_echo = evolved
    with world.unresponsive_means("E2"):
        world.start()
    task = world.run("hold", "E2")
    world.release(task)
    world.expect_result(task, "E2")


@case("E2", title="a shutdown of a later version")
def shutdown(world: WorkerWorld) -> None:
    """ClientDisconnect `shutdown` has new fields: the worker says good-bye."""
    world.start()
    send_evolved(world, ClientDisconnect(DisconnectType.SHUTDOWN))
    world.expect_goodbye("E2", vital=True)
    world.left()
