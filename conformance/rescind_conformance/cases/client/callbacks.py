"""Section 6: calls from done-callbacks and from other threads (C11.1)."""

from __future__ import annotations

from rescind_conformance.adapter_calls import Call
from rescind_conformance.case import case
from rescind_conformance.cases.client.asking import open_round, refused_round
from rescind_conformance.client_world import ClientWorld
from rescind_conformance.peers import CANCEL_FAILED, CANCELED, TaskRef


def callback(world: ClientWorld, task: TaskRef, of: TaskRef) -> Call:
    """A done-callback of one task that cancels another, set and ready; it returns when it has run."""
    call = world.call(
        "cancel_in_callback", f"cancel({task.name}) in a callback of {of.name}", task=task.name, of=of.name
    )
    world.fence()
    return call


@case("C11.1", title="a callback cancels a sibling", field_bugs=(25,))
def cancel_from_callback(world: ClientWorld) -> None:
    """T1 is finished, and its callback cancels T2 and waits for the answer, which the client receives all the same."""
    world.connect()
    first, second = world.submit_several(2)
    call = callback(world, second, first)
    world.finish(first)
    world.expect_cancel(second, "C11.1")
    world.confirm(second, CANCELED)
    world.expect_end(call, "C11.1")
    world.expect_settled(second, "cancelled", "C11.1")


@case("C11.1", title="a callback of a cancelled task cancels a sibling", field_bugs=(25,))
def cancel_from_callback_of_cancelled(world: ClientWorld) -> None:
    """T1 is cancelled, and its callback cancels T2 and waits for the answer."""
    world.connect()
    first, second = world.submit_several(2)
    call = callback(world, second, first)
    cancel = world.open_round(first)
    world.confirm(first, CANCELED)
    world.expect_cancel(second, "C11.1")
    world.confirm(second, CANCELED)
    world.expect_end(call, "C11.1")
    world.expect_end(cancel)


@case("C11.1", title="a callback's cancel is refused", field_bugs=(25,))
def cancel_from_callback_refused(world: ClientWorld) -> None:
    """The callback's cancel is refused: it returns, and the client goes on."""
    refused_round(world)  # outside of a callback it returns
    first, second = world.submit_several(2)
    call = callback(world, second, first)
    world.finish(first)
    world.expect_cancel(second, "C11.1")
    world.confirm(second, CANCEL_FAILED)
    world.expect_end(call, "C11.1")
    world.expect_nothing("C11.1")


@case("C11.1", title="a callback cancels its own task", field_bugs=(25,))
def cancel_itself(world: ClientWorld) -> None:
    """A callback cancels the future that it is told of, which is settled: it returns at once."""
    world.connect()
    (task,) = world.submit_several(1)
    call = callback(world, task, task)
    world.finish(task)
    world.expect_end(call, "C11.1")
    world.expect_nothing("C11.1")


@case("C11.1", title="a callback cancels a sibling while the client closes", field_bugs=(25, 27))
def cancel_while_closing(world: ClientWorld) -> None:
    """The client disconnects, which cancels T1. The callback of T1 cancels T2, whose end has come too: it returns."""
    world.connect()
    first, second = world.submit_several(2)
    call = callback(world, second, first)
    disconnect = world.call("disconnect", "disconnect()")
    world.expect_settled(first, "cancelled", "C10.1")
    world.expect_end(call, "C11.1")
    world.expect_end(disconnect, "C11.1")


@case("C11.1", title="the others go on while a cancel waits")
def others_go_on(world: ClientWorld) -> None:
    """Cancels of twenty tasks wait in twenty threads. Results of other tasks are delivered in the meantime."""
    world.connect()
    tasks = world.submit_several(20)
    calls = [world.start_cancel(task) for task in tasks]
    for task in tasks:
        world.expect_cancel(task, "C11.1")
    with world.unresponsive_means("C11.1"):
        world.fence()
    for task, call in zip(tasks, calls, strict=True):
        world.confirm(task, CANCELED)
        world.expect_end(call, "C11.1")


@case("C8.1", title="several callbacks of one future")
def several_callbacks(world: ClientWorld) -> None:
    """A future has three callbacks besides the one that tells of its end. It is finished: all of them run."""
    world.connect()
    (task,) = world.submit_several(1)
    calls = [callback(world, task, task) for _ in range(3)]
    world.finish(task)
    for call in calls:
        world.expect_end(call, "C8.1")


@case("C11.1", title="a cancel begins while the client closes", field_bugs=(27,))
def cancel_as_it_closes(world: ClientWorld) -> None:
    """Threads call `cancel()`, `cancelled()` and `result()` as another disconnects, and when that has cancelled the
    futures: every one of them returns.
    """
    task, first = open_round(world)
    other = world.submit()
    calls = [
        world.call("disconnect", "disconnect()"),
        world.start_cancel(task),
        world.start_cancel(other),
        world.call("cancelled", f"cancelled({task.name})", task=task.name),
        world.call("result", f"result({other.name})", task=other.name),
        first,
    ]
    for call in calls:
        world.expect_end(call, "C11.1")
    world.expect_settled(task, "cancelled", "C10.1")
    world.expect_settled(other, "cancelled", "C10.1")
    for late in (
        world.start_cancel(task),
        world.call("cancelled", f"cancelled({task.name})", task=task.name),
    ):
        world.expect_end(late, "C11.1")
