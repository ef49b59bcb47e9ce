"""Section 6: futures that are settled already, and how they are settled."""

from __future__ import annotations

from rescind.messages import CancelConfirmType, TaskResultType
from rescind_conformance.case import case
from rescind_conformance.cases.client.asking import open_round, refused_round, running_task
from rescind_conformance.client_world import ClientWorld
from rescind_conformance.peers import CANCEL_FAILED, CANCEL_NOT_FOUND, CANCELED, TaskRef


def finished_task(world: ClientWorld, requirement: str, kind: TaskResultType = TaskResultType.SUCCESS) -> TaskRef:
    """A task whose future has its result, or its error."""
    task = running_task(world)
    world.finish(task, kind)
    world.expect_settled(task, "finished", requirement)
    return task


@case("C6.1", title="cancel after the result")
def cancel_finished(world: ClientWorld) -> None:
    """The future has its result: `cancel()` returns False at once, sends nothing, and the result stays."""
    task = finished_task(world, "C8.1")
    world.expect_returned(world.start_cancel(task), False, "C6.1")
    world.expect_nothing("C6.1", about=task)
    world.expect_result(task, "value", "C6.1")


@case("C6.1", title="cancel after an error")
def cancel_failed(world: ClientWorld) -> None:
    """The future has its error: `cancel()` returns False at once, sends nothing, and the error stays."""
    task = finished_task(world, "C8.1", TaskResultType.FAILED)
    world.expect_returned(world.start_cancel(task), False, "C6.1")
    world.expect_nothing("C6.1", about=task)
    world.expect_result(task, "error", "C6.1")


@case("C6.1", title="cancel after a cancel")
def cancel_cancelled(world: ClientWorld) -> None:
    """The future is cancelled: `cancel()` returns True at once and sends nothing."""
    task, call = open_round(world)
    world.confirm(task, CANCELED)
    world.expect_settled(task, "cancelled", "C2.1")
    world.expect_end(call)
    world.expect_returned(world.start_cancel(task), True, "C6.1")
    world.expect_nothing("C6.1", about=task)


@case("C6.1", title="cancel with force after the result")
def force_finished(world: ClientWorld) -> None:
    """Force changes nothing of it: False, nothing is sent, and the result stays."""
    world.needs("force")
    task = finished_task(world, "C8.1")
    world.expect_returned(world.start_cancel(task, force=True), False, "C6.1")
    world.expect_nothing("C6.1", about=task)
    world.expect_result(task, "value", "C6.1")


@case("C8.1", title="whoever waits on a cancelled task is woken", field_bugs=(5, 7))
def waiters_are_woken(world: ClientWorld) -> None:
    """Three threads wait in `result()`. The task is cancelled: each of them is told so, and so are later readers."""
    task = running_task(world)
    waiting = [world.call("result", f"result({task.name})", task=task.name) for _ in range(3)]
    cancel = world.open_round(task)
    world.confirm(task, CANCELED)
    world.expect_end(cancel)
    for call in waiting:
        world.expect_end(call, "C8.1")
        told = (call.answer or {}).get("outcome")
        world.check("C8.1", told == "cancelled", f"{call.text} tells that it is cancelled", f"it tells: {told}")
    world.expect_result(task, "cancelled", "C8.1")


@case("C8.1", title="readers of a result while it is cancelled", field_bugs=(5,))
def one_outcome_for_all(world: ClientWorld) -> None:
    """Threads wait in `result()`, the result crosses the cancel: all of them are told the same."""
    task = running_task(world)
    waiting = [world.call("result", f"result({task.name})", task=task.name) for _ in range(3)]
    cancel = world.open_round(task)
    world.finish(task)
    world.expect_end(cancel)
    for call in waiting:
        world.expect_end(call, "C8.1")
    last = world.ask("result", f"result({task.name})", "C8.1", task=task.name)
    told = sorted({str(answer["outcome"]) for answer in [last, *(call.answer or last for call in waiting)]})
    world.check("C8.1", len(told) == 1, f"every reader of {task.name} is told the same", f"they are told {told}")


@case("C8.1", "C9.1", title="the answer comes twice", field_bugs=(23,))
def duplicate_confirm(world: ClientWorld) -> None:
    """`canceled` comes three times. The future is settled once, its callback runs once, and the client goes on."""
    task, call = open_round(world)
    with world.unresponsive_means("C8.1"):
        for _ in range(3):
            world.confirm(task, CANCELED)
        world.fence()
    world.expect_settled(task, "cancelled", "C2.1")
    world.expect_end(call)
    world.check("C8.1", len(world.settled(task)) == 1, "the callback runs once", f"it ran for {world.settled(task)}")
    world.expect_nothing("C9.1", about=task)


@case("C8.1", "C9.1", title="the result comes twice", field_bugs=(23,))
def duplicate_result(world: ClientWorld) -> None:
    """The result comes twice. The future is settled once, its callback runs once, and the client goes on."""
    task = running_task(world)
    result = world.result(task)
    with world.unresponsive_means("C8.1"):
        world.send(result)
        world.send(result)
        world.fence()
    world.expect_settled(task, "finished", "C8.1")
    world.check("C8.1", len(world.settled(task)) == 1, "the callback runs once", f"it ran for {world.settled(task)}")
    world.expect_nothing("C9.1", about=task)


@case("C8.1", title="every end at once", field_bugs=(23,))
def every_end_at_once(world: ClientWorld) -> None:
    """Canceled, a result, not found, a refusal and the result again: one outcome, one callback, the client goes on."""
    task, call = open_round(world)
    result = world.result(task)
    with world.unresponsive_means("C8.1"):
        world.confirm(task, CANCELED)
        world.send(result)
        world.confirm(task, CANCEL_NOT_FOUND)
        world.confirm(task, CANCEL_FAILED)
        world.send(result)
        world.fence()
    world.expect_end(call)
    world.check("C8.1", len(world.settled(task)) == 1, "the callback runs once", f"it ran for {world.settled(task)}")


@case("C8.2", title="the answer is as fast as it can be", field_bugs=(21,))
def fast_answers(world: ClientWorld) -> None:
    """Each of fifty cancels is refused the moment its TaskCancel is seen: each `cancel()` returns.

    A gap between sending and waiting is seen only if it is wider than the round trip to the suite.
    """
    task = refused_round(world)  # at leisure it works
    answer_at_once(world, task, CANCEL_FAILED, 50)


@case("C8.2", title="a fast answer that settles", field_bugs=(21, 22))
def fast_ends(world: ClientWorld) -> None:
    """Each of twenty tasks is confirmed cancelled the moment its TaskCancel is seen: each `cancel()` returns.

    A gap between sending and waiting is seen only if it is wider than the round trip to the suite.
    """
    world.connect()
    for _ in range(20):
        answer_at_once(world, world.submit(), CANCELED, 1)


def answer_at_once(world: ClientWorld, task: TaskRef, kind: CancelConfirmType, times: int) -> None:
    """Cancel so often, and answer each time without a step in between."""
    for _ in range(times):
        call = world.start_cancel(task)
        world.expect_cancel(task, "C8.2")
        world.confirm(task, kind)
        world.expect_end(call, "C8.2")
