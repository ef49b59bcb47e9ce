"""Section 12: a scheduler and workers of a later version, whose messages have fields that today's do not have."""

from __future__ import annotations

from rescind.messages import (
    ClientDisconnect,
    DisconnectType,
    Message,
    TaskLog,
    TaskResultType,
)
from rescind.vector_versions import evolved
from rescind_conformance.case import case
from rescind_conformance.cases.client.asking import running_task
from rescind_conformance.client_world import ClientWorld


def send_evolved(world: ClientWorld, message: Message) -> None:
    """Send a message as the later version does."""
    world.send_frames(evolved(message), means=message, note="of a later version")


@case("E2", title="output and an error of a later version")
def error(world: ClientWorld) -> None:
    """A task writes, and raises, both with new fields: the future has the error."""
    task = running_task(world)
    send_evolved(world, TaskLog(task.id, content="of a later version\n"))
    world.expect_state(task, "E2", settled=False)
    send_evolved(world, world.result(task, TaskResultType.FAILED))
    world.expect_settled(task, "finished", "E2")
    world.expect_result(task, "error", "E2")


@case("E2", title="echoes of a later version")
def echoes(world: ClientWorld) -> None:
    """All echoes have new fields, and so has the address in them: the client connects, and reads a result."""
    world.write_echo = evolved
    with world.unresponsive_means("E2"):
        world.connect()
    task = world.submit()
    world.finish(task, text="as ever")
    world.expect_settled(task, "finished", "E2")
    world.expect_result(task, "value", "E2", text="as ever")


@case("E2", title="a dismissal of a later version")
def dismissal(world: ClientWorld) -> None:
    """ClientDisconnect `disconnect` has new fields: what is pending is cancelled. A first client shows that it
    understands the one of today.
    """
    word = ClientDisconnect(DisconnectType.DISCONNECT)
    first = running_task(world)
    world.send(word)
    world.expect_settled(first, "cancelled", "C10.2")
    second = running_task(world)
    send_evolved(world, word)
    world.expect_settled(second, "cancelled", "E2")
