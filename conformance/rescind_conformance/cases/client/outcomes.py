"""Section 6: how a round ended can be asked (C5.2)."""

from __future__ import annotations

from rescind_conformance.adapter_calls import Call
from rescind_conformance.case import case
from rescind_conformance.cases.client.asking import open_round, running_task
from rescind_conformance.client_world import ClientWorld
from rescind_conformance.peers import CANCEL_FAILED, CANCEL_NOT_FOUND, CANCELED, TaskRef

ENDS = {
    "confirmed": ("C2.1", True),
    "not found": ("C2.2", True),
    "result discarded": ("C3.1", True),
    "refused": ("C4.1", False),
    "timed out": ("C5.1", True),
    "disconnected": ("C10.1", True),
}
"""What else rules over each end."""


def round_to_ask_about(world: ClientWorld) -> tuple[TaskRef, Call]:
    """A round of a client that can tell how it will end."""
    world.needs("outcome")
    return open_round(world)


def expect(world: ClientWorld, task: TaskRef, call: Call, outcome: str) -> None:
    """The round ends as it must, and is said to have ended so."""
    requirement, returned = ENDS[outcome]
    world.expect_returned(call, returned, requirement)
    world.expect_outcome(task, outcome)


@case("C5.2", title="it tells: confirmed")
def confirmed(world: ClientWorld) -> None:
    """The round is answered `canceled`."""
    task, call = round_to_ask_about(world)
    world.confirm(task, CANCELED)
    expect(world, task, call, "confirmed")


@case("C2.2", "C5.2", title="it tells: not found")
def not_found(world: ClientWorld) -> None:
    """The round is answered `cancelNotFound`, which is recorded as such."""
    task, call = round_to_ask_about(world)
    world.confirm(task, CANCEL_NOT_FOUND)
    expect(world, task, call, "not found")


@case("C5.2", title="it tells: result discarded")
def result_discarded(world: ClientWorld) -> None:
    """The result comes while the round is open."""
    task, call = round_to_ask_about(world)
    world.finish(task)
    expect(world, task, call, "result discarded")


@case("C5.2", title="it tells: timed out")
def timed_out(world: ClientWorld) -> None:
    """Nothing answers the round within its time limit."""
    world.needs("outcome", "time-limit")
    task = running_task(world)
    expect(world, task, world.open_round(task, time_limit=0.2), "timed out")


@case("C5.2", title="it tells: disconnected")
def disconnected(world: ClientWorld) -> None:
    """The client disconnects while the round is open."""
    task, call = round_to_ask_about(world)
    world.call("disconnect", "disconnect()")
    expect(world, task, call, "disconnected")


@case("C5.2", title="it tells: refused")
def refused(world: ClientWorld) -> None:
    """The round is answered `cancelFailed`."""
    task, call = round_to_ask_about(world)
    world.confirm(task, CANCEL_FAILED)
    expect(world, task, call, "refused")


@case("C5.2", title="it tells of the last round")
def last_round(world: ClientWorld) -> None:
    """The first round is refused, the second confirmed: the second is what counts."""
    task, call = round_to_ask_about(world)
    world.confirm(task, CANCEL_FAILED)
    expect(world, task, call, "refused")
    again = world.start_cancel(task)
    world.expect_cancel(task, "C4.2")
    world.confirm(task, CANCELED)
    expect(world, task, again, "confirmed")
