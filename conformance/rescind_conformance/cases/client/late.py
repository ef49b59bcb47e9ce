"""Section 6: messages that nobody waits for."""

from __future__ import annotations

from rescind.messages import CancelConfirmType, TaskLog, TaskResult, TaskResultType
from rescind_conformance.case import case
from rescind_conformance.cases.client.asking import refused_round, running_task
from rescind_conformance.cases.client.crossing import result_of_two_objects
from rescind_conformance.cases.client.settled import finished_task
from rescind_conformance.client_world import ClientWorld
from rescind_conformance.peers import CANCEL_FAILED, CANCEL_NOT_FOUND, CANCELED

ANSWERS = (CANCELED, CANCEL_FAILED, CANCEL_NOT_FOUND)


def bear_with_strangers(world: ClientWorld) -> None:
    """The client drops an answer and a result for a task that it never had, and goes on."""
    unknown = world.new_task()
    world.confirm(unknown, CANCELED)
    world.send(TaskResult(unknown.id))
    world.expect_nothing("C9.1", about=unknown)


@case("C9.1", title="answers for a task that nobody knows")
def unknown_confirms(world: ClientWorld) -> None:
    """TaskCancelConfirms of each kind come for a task that the client never had: dropped, and the client goes on."""
    task, unknown = running_task(world), world.new_task()
    for kind in ANSWERS:
        world.confirm(unknown, kind)
        world.expect_nothing("C9.1")
    world.expect_state(task, "C9.1", settled=False)
    world.finish(task)
    world.expect_settled(task, "finished", "C9.1")


@case("C9.1", title="a result for a task that nobody knows")
def unknown_result(world: ClientWorld) -> None:
    """A TaskResult and a TaskLog come for a task that the client never had: dropped, and the client goes on."""
    task, unknown = running_task(world), world.new_task()
    world.finish(unknown)
    world.send(TaskLog(unknown.id, content="nobody's words\n"))
    world.send(TaskResult(unknown.id, TaskResultType.FAILED_WORKER_DIED))
    world.expect_nothing("C9.1")
    world.expect_state(task, "C9.1", settled=False)
    world.finish(task)
    world.expect_settled(task, "finished", "C9.1")


@case("C9.1", title="answers for a task that is finished")
def confirms_after_result(world: ClientWorld) -> None:
    """The result was faster than a cancel's answer, or an answer comes twice: the future keeps its result."""
    task = finished_task(world, "C8.1")
    for kind in ANSWERS:
        world.confirm(task, kind)
    world.expect_nothing("C9.1", about=task)
    world.expect_result(task, "value", "C9.1")


@case("C4.1", title="a refusal that nobody waits for")
def unasked_refusal(world: ClientWorld) -> None:
    """`cancelFailed` comes for a task that runs and that nobody cancels: nothing changes, its result is delivered."""
    task = running_task(world)
    world.confirm(task, CANCEL_FAILED)
    world.expect_nothing("C4.1", about=task)
    world.expect_state(task, "C4.1", settled=False)
    world.finish(task)
    world.expect_settled(task, "finished", "C4.1")


@case("C4.1", title="the refusal comes twice")
def duplicate_refusal(world: ClientWorld) -> None:
    """`cancelFailed` comes again after the round has ended: the task goes on all the same, its result is delivered."""
    task = refused_round(world)
    world.confirm(task, CANCEL_FAILED)
    world.expect_nothing("C4.1", about=task)
    world.expect_state(task, "C4.1", settled=False)
    world.expect_running_again(task)
    world.finish(task)
    world.expect_settled(task, "finished", "C4.1")


def late_result_is_released(
    world: ClientWorld, end: CancelConfirmType, result_type: TaskResultType = TaskResultType.SUCCESS
) -> None:
    """The future was settled by this answer; then its result comes, or its error."""
    world.needs("release")
    task = running_task(world)
    world.confirm(task, end)
    world.expect_settled(task, "cancelled", "C2.3")
    object_id = world.finish(task, result_type)
    world.expect_released(object_id, "C9.2")


@case("C9.2", title="an error after canceled is released")
def error_after_canceled(world: ClientWorld) -> None:
    """A task that is cancelled already has failed all the same: the object that says why goes from the store."""
    late_result_is_released(world, CANCELED, TaskResultType.FAILED)


@case("C9.2", title="a result after canceled is released")
def result_after_canceled(world: ClientWorld) -> None:
    """A result comes for a task that is cancelled already. Nobody will ask for it: its object goes from the store."""
    late_result_is_released(world, CANCELED)


@case("C9.2", title="all of a result after canceled is released")
def objects_after_canceled(world: ClientWorld) -> None:
    """The result that comes for a task that is cancelled already names two objects: both go from the store."""
    world.needs("release")
    task = running_task(world)
    world.confirm(task, CANCELED)
    world.expect_settled(task, "cancelled", "C2.3")
    result = result_of_two_objects(world, task)
    world.send(result)
    for object_id in result.results:
        world.expect_released(object_id, "C9.2")


@case("C9.2", title="a result after cancelNotFound is released")
def result_after_not_found(world: ClientWorld) -> None:
    """The same for a task that the scheduler has refused."""
    late_result_is_released(world, CANCEL_NOT_FOUND)


@case("C9.2", title="a result for a task that nobody knows is released")
def unknown_result_is_released(world: ClientWorld) -> None:
    """A TaskResult comes for a task that this client never had: its object goes from the store."""
    world.needs("release")
    world.connect()
    world.fence()
    object_id = world.finish(world.new_task())
    world.expect_released(object_id, "C9.2")
