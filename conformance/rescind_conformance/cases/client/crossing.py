"""Section 6: the result crosses the cancel."""

from __future__ import annotations

from dataclasses import replace

from rescind.messages import TaskResult, TaskResultType
from rescind_conformance.case import case
from rescind_conformance.cases.client.asking import open_round
from rescind_conformance.client_world import ClientWorld
from rescind_conformance.peers import CANCEL_NOT_FOUND, CANCELED, TaskRef


@case("C3.1", title="the result comes before the answer")
def result_first(world: ClientWorld) -> None:
    """The task ends while the cancel is on its way. The caller did not want the result and does not see it: True."""
    task, call = open_round(world)
    world.finish(task)
    world.expect_returned(call, True, "C3.1")
    world.expect_settled(task, "cancelled", "C3.1")
    world.expect_result(task, "cancelled", "C3.1")


@case("C3.1", title="an error comes before the answer")
def error_first(world: ClientWorld) -> None:
    """The task fails while the cancel is on its way: the caller is not told of the error, the future is cancelled."""
    task, call = open_round(world)
    world.finish(task, TaskResultType.FAILED)
    world.expect_returned(call, True, "C3.1")
    world.expect_settled(task, "cancelled", "C3.1")
    world.expect_result(task, "cancelled", "C3.1")


@case("C3.1", title="the worker died before the answer")
def death_first(world: ClientWorld) -> None:
    """`failedWorkerDied` without any object ends the round too: cancelled, True."""
    task, call = open_round(world)
    world.send(TaskResult(task.id, TaskResultType.FAILED_WORKER_DIED))
    world.expect_returned(call, True, "C3.1")
    world.expect_settled(task, "cancelled", "C3.1")


@case("C3.1", title="the result comes before the answer, with force")
def result_before_forced_answer(world: ClientWorld) -> None:
    """The round had force; the task was faster. The result is discarded, as in any round."""
    task, call = open_round(world, force=True)
    world.finish(task)
    world.expect_returned(call, True, "C3.1")
    world.expect_settled(task, "cancelled", "C3.1")


@case("C3.1", "C9.1", title="the result, then the answer, in one batch")
def result_and_not_found_at_once(world: ClientWorld) -> None:
    """Both stand in the client's queue: the result ends the round, the `cancelNotFound` behind it is dropped."""
    task, call = open_round(world)
    result = world.result(task)
    world.send(result)
    world.confirm(task, CANCEL_NOT_FOUND)
    world.expect_returned(call, True, "C3.1")
    world.expect_settled(task, "cancelled", "C3.1")
    world.expect_nothing("C9.1", about=task)


@case("C2.1", "C9.1", title="the answer, then a result, in one batch")
def canceled_and_result_at_once(world: ClientWorld) -> None:
    """`canceled` and a result stand in the client's queue: the first ends the round, the other is dropped."""
    task, call = open_round(world)
    result = world.result(task)
    world.confirm(task, CANCELED)
    world.send(result)
    world.expect_returned(call, True, "C2.1")
    world.expect_settled(task, "cancelled", "C2.1")
    world.expect_nothing("C9.1", about=task)
    world.expect_result(task, "cancelled", "C9.1")


@case("C3.2", title="a discarded result is released")
def discarded_is_released(world: ClientWorld) -> None:
    """The result that ended a round is not wanted by anybody: its object goes from the store."""
    world.needs("release")
    task, call = open_round(world)
    object_id = world.finish(task)
    world.expect_returned(call, True, "C3.1")
    world.expect_released(object_id, "C3.2")


@case("C3.2", title="all of a discarded result is released")
def discarded_objects_are_released(world: ClientWorld) -> None:
    """The result that ended a round names two objects. Nobody wants either: both go from the store."""
    world.needs("release")
    task, call = open_round(world)
    result = result_of_two_objects(world, task)
    world.send(result)
    world.expect_returned(call, True, "C3.1")
    for object_id in result.results:
        world.expect_released(object_id, "C3.2")


def result_of_two_objects(world: ClientWorld, task: TaskRef) -> TaskResult:
    """A TaskResult that names two objects; nothing is sent."""
    result = world.result(task)
    return replace(result, results=(*result.results, world.payload("the rest of it")))


@case("C3.2", title="a discarded error is released")
def discarded_error_is_released(world: ClientWorld) -> None:
    """So is the object of an error."""
    world.needs("release")
    task, call = open_round(world)
    object_id = world.finish(task, TaskResultType.FAILED)
    world.expect_returned(call, True, "C3.1")
    world.expect_released(object_id, "C3.2")
