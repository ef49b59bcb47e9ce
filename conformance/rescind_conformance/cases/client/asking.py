"""Section 6: a round, from `cancel()` to each answer that ends it."""

from __future__ import annotations

from rescind.messages import CancelConfirmType, TaskResult, TaskResultType
from rescind_conformance.adapter_calls import Call
from rescind_conformance.case import case
from rescind_conformance.client_world import ClientWorld
from rescind_conformance.peers import CANCEL_FAILED, CANCEL_NOT_FOUND, CANCELED, TaskRef


def running_task(world: ClientWorld) -> TaskRef:
    """A client with one task whose future is running."""
    world.connect()
    return world.submit()


def open_round(world: ClientWorld, *, force: bool = False) -> tuple[TaskRef, Call]:
    """A task and a `cancel()` of it that waits for the answer."""
    task = running_task(world)
    call = world.open_round(task, force=force)
    world.expect_waits(call, "C1.1")
    return task, call


@case("C1.1", title="cancel waits for its answer", field_bugs=(24,))
def cancel_waits(world: ClientWorld) -> None:
    """One TaskCancel goes out, nothing answers it, and other messages come and go: `cancel()` has not returned."""
    task = running_task(world)
    call = world.open_round(task)
    world.expect_waits(call, "C1.1")
    world.expect_nothing("C1.1", about=task)
    world.expect_state(task, "C1.1", settled=False)
    world.confirm(task, CANCELED)
    world.expect_end(call)


@case("C1.1", title="cancel with force waits for its answer")
def forced_cancel_waits(world: ClientWorld) -> None:
    """The same with force: TaskCancel has the flag, and `cancel()` waits all the same."""
    task = running_task(world)
    call = world.open_round(task, force=True)
    world.expect_waits(call, "C1.1")
    world.expect_nothing("C1.1", about=task)
    world.confirm(task, CANCELED)
    world.expect_end(call)


def cancelled_by(world: ClientWorld, kind: CancelConfirmType, requirement: str) -> None:
    """The round is answered in this way, which cancels the future."""
    task, call = open_round(world)
    world.confirm(task, kind)
    world.expect_returned(call, True, requirement)
    world.expect_settled(task, "cancelled", requirement)
    world.expect_result(task, "cancelled", requirement)


@case("C2.1", title="canceled")
def canceled(world: ClientWorld) -> None:
    """The scheduler confirms `canceled`: `cancel()` returns True and the future is cancelled."""
    cancelled_by(world, CANCELED, "C2.1")


@case("C2.2", title="cancelNotFound")
def not_found(world: ClientWorld) -> None:
    """The scheduler holds no such task: `cancel()` returns True and the future is cancelled."""
    cancelled_by(world, CANCEL_NOT_FOUND, "C2.2")


@case("C2.1", title="canceled, with force")
def canceled_with_force(world: ClientWorld) -> None:
    """A round with force is confirmed: `cancel()` returns True and the future is cancelled."""
    task, call = open_round(world, force=True)
    world.confirm(task, CANCELED)
    world.expect_returned(call, True, "C2.1")
    world.expect_settled(task, "cancelled", "C2.1")


@case("C2.3", title="canceled, and nobody has asked")
def canceled_unasked(world: ClientWorld) -> None:
    """The scheduler closes and says `canceled` for a task of which no cancel is under way: the future is cancelled."""
    task = running_task(world)
    world.confirm(task, CANCELED)
    world.expect_settled(task, "cancelled", "C2.3")
    world.expect_result(task, "cancelled", "C2.3")


@case("C2.3", title="the scheduler refuses a task")
def refused_task(world: ClientWorld) -> None:
    """The scheduler will not hold the Task and answers `cancelNotFound`: the future is cancelled, and does not hang."""
    task = running_task(world)
    world.confirm(task, CANCEL_NOT_FOUND)
    world.expect_settled(task, "cancelled", "C2.3")
    world.expect_result(task, "cancelled", "C2.3")


def refused_round(world: ClientWorld, *, force: bool = False) -> TaskRef:
    """A task whose cancel was refused."""
    task, call = open_round(world, force=force)
    world.confirm(task, CANCEL_FAILED)
    world.expect_returned(call, False, "C4.1")
    return task


@case("C4.1", title="refused, and the task goes on", field_bugs=(28,))
def refused(world: ClientWorld) -> None:
    """The task runs and the cancel had no force: `cancel()` returns False, plainly, and the future is running again."""
    task = refused_round(world)
    world.fence()
    world.expect_state(task, "C4.1", settled=False)
    world.expect_running_again(task)


@case("C4.1", title="cancelFailed, then the result", field_bugs=(28,))
def refused_then_result(world: ClientWorld) -> None:
    """A refused cancel costs nothing: the result that follows sets the future as if nobody had asked."""
    task = refused_round(world)
    world.finish(task, text="worth the wait")
    world.expect_settled(task, "finished", "C4.1")
    world.expect_result(task, "value", "C4.1", text="worth the wait")


@case("C4.1", title="cancelFailed and the result in one batch")
def refused_and_result_at_once(world: ClientWorld) -> None:
    """The refusal and the result stand in the client's queue together: False, and the result is delivered."""
    task, call = open_round(world)
    result = world.result(task, text="worth the wait")
    world.confirm(task, CANCEL_FAILED)
    world.send(result)
    world.expect_returned(call, False, "C4.1")
    world.expect_settled(task, "finished", "C4.1")
    world.expect_result(task, "value", "C4.1", text="worth the wait")


@case("C4.1", "C4.2", title="cancelFailed, then another cancel")
def refused_then_cancel(world: ClientWorld) -> None:
    """After a refusal `cancel()` asks again: another TaskCancel goes out, and this time it is confirmed."""
    task = refused_round(world)
    again = world.start_cancel(task)
    world.expect_cancel(task, "C4.2")
    world.expect_waits(again, "C4.2")
    world.confirm(task, CANCELED)
    world.expect_end(again, "C4.2")
    world.expect_settled(task, "cancelled", "C4.2")


@case("C4.2", title="cancelFailed, then a cancel with force")
def refused_then_force(world: ClientWorld) -> None:
    """What the client refused without force it asks again with force: TaskCancel has the flag."""
    world.needs("force")
    task = refused_round(world)
    again = world.start_cancel(task, force=True)
    world.expect_cancel(task, "C4.2", force=True)
    world.confirm(task, CANCELED)
    world.expect_end(again, "C4.2")


@case("C4.2", title="refused three times")
def refused_again_and_again(world: ClientWorld) -> None:
    """Each `cancel()` is refused, each opens a round of its own, and in the end the result is delivered."""
    task = refused_round(world)
    for _ in range(2):
        again = world.start_cancel(task)
        world.expect_cancel(task, "C4.2")
        world.confirm(task, CANCEL_FAILED)
        world.expect_end(again, "C4.2")
    world.finish(task)
    world.expect_settled(task, "finished", "C4.2")


@case("C2.4", title="a result that nobody has cancelled")
def result(world: ClientWorld) -> None:
    """The ordinary end of a task: its result comes."""
    task = running_task(world)
    world.finish(task, text="what it was submitted for")
    world.expect_settled(task, "finished", "C2.4")
    world.expect_result(task, "value", "C2.4", text="what it was submitted for")


@case("C2.4", title="a success without a payload")
def nothing_to_fetch(world: ClientWorld) -> None:
    """`success` comes and names no object: the future is finished, with no value, and without an error."""
    task = running_task(world)
    world.send(TaskResult(task.id, TaskResultType.SUCCESS))
    world.expect_settled(task, "finished", "C2.4")
    world.expect_result(task, "value", "C2.4")


@case("C2.4", title="an error that nobody has cancelled")
def error(world: ClientWorld) -> None:
    """The task has failed: the future is finished, with the error."""
    task = running_task(world)
    world.finish(task, TaskResultType.FAILED, text="what went wrong")
    world.expect_settled(task, "finished", "C2.4")
    world.expect_result(task, "error", "C2.4", text="what went wrong")


@case("C2.4", title="the worker has died, and nobody has cancelled")
def death(world: ClientWorld) -> None:
    """`failedWorkerDied` comes, without any object: the future is finished, with an error."""
    task = running_task(world)
    world.send(TaskResult(task.id, TaskResultType.FAILED_WORKER_DIED))
    world.expect_settled(task, "finished", "C2.4")
    world.expect_result(task, "error", "C2.4")
