"""Section 6: nobody answers."""

from __future__ import annotations

import time

from rescind_conformance.case import case
from rescind_conformance.cases.client.asking import running_task
from rescind_conformance.client_world import ClientWorld
from rescind_conformance.peers import CANCEL_FAILED, CANCELED, TaskRef

LIMIT, LONGER = 0.2, 1.0
"""Seconds."""
LIMITS = (LIMIT, LONGER, 5.0)
"""Seconds: one after the other, until the answer was faster."""


def timed_out(world: ClientWorld) -> TaskRef:
    """A task whose cancel was not answered within its time limit."""
    world.needs("time-limit")
    task = running_task(world)
    call = world.open_round(task, time_limit=LIMIT)
    world.expect_returned(call, True, "C5.1")
    world.expect_settled(task, "cancelled", "C5.1")
    return task


@case("C5.1", title="no answer within the time limit")
def no_answer(world: ClientWorld) -> None:
    """Neither a confirm nor a result comes: the client decides by itself, True, and the future is cancelled."""
    task = timed_out(world)
    world.expect_result(task, "cancelled", "C5.1")


@case("C5.1", title="the time limit is waited for")
def limit_is_waited_for(world: ClientWorld) -> None:
    """Nobody answers a cancel that has a second: it waits for an answer that long."""
    world.needs("time-limit")
    task = running_task(world)
    begun = time.monotonic()
    world.expect_returned(world.open_round(task, time_limit=LONGER), True, "C5.1")
    waited = time.monotonic() - begun
    world.check("C5.1", waited >= LONGER, f"cancel() waits for {LONGER:g} s", f"it returned after {waited:.2f} s")


@case("C5.1", "C9.1", title="the answer comes after the time limit")
def late_answer(world: ClientWorld) -> None:
    """The client has decided by itself; then `canceled` comes. It is dropped, and the client goes on."""
    task = timed_out(world)
    world.confirm(task, CANCELED)
    world.expect_nothing("C9.1", about=task)


@case("C5.1", "C9.1", title="a refusal comes after the time limit")
def late_refusal(world: ClientWorld) -> None:
    """The client has decided by itself; then `cancelFailed` comes, and a result: the future stays cancelled."""
    task = timed_out(world)
    world.confirm(task, CANCEL_FAILED)
    world.finish(task)
    world.expect_nothing("C9.1", about=task)
    world.expect_result(task, "cancelled", "C9.1")


@case("C5.1", "C9.2", title="the result comes after the time limit")
def late_result(world: ClientWorld) -> None:
    """The client has decided by itself; then the result comes. It is dropped, and its object released."""
    world.needs("release")
    task = timed_out(world)
    object_id = world.finish(task)
    world.expect_released(object_id, "C9.2")


@case("C4.1", "C5.1", title="the time limit of a round that has ended")
def limit_of_an_ended_round(world: ClientWorld) -> None:
    """A cancel with a time limit is refused at once. When the time is over, the future is running all the same.

    Where the limit was over before the refusal had come, it is played again with a longer one.
    """
    world.needs("time-limit")
    world.connect()
    for limit in LIMITS:
        task = world.submit()
        call = world.open_round(task, time_limit=limit)
        world.confirm(task, CANCEL_FAILED)
        world.expect_end(call, "C4.1")
        if (call.answer or {}).get("returned") is False:
            break
    world.expect_returned(call, False, "C4.1")
    other = world.submit()
    # A round that begins later and lasts as long: when it is over, so is the time of the first.
    later = world.open_round(other, time_limit=limit)
    world.expect_returned(later, True, "C5.1")
    world.fence()
    world.expect_state(task, "C5.1", settled=False)
