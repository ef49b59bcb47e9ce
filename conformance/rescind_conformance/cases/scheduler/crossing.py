"""Section 4, "Cancel crosses result"."""

from __future__ import annotations

from itertools import product

from rescind.messages import TaskResultType
from rescind_conformance.case import case
from rescind_conformance.cases.scheduler.dispatched import dispatched_task
from rescind_conformance.peers import CANCEL_FAILED, CANCEL_NOT_FOUND, CANCELED
from rescind_conformance.world import World


@case("S5.1", "S5.2", title="a result crosses the cancel")
def result_crosses_cancel(world: World) -> None:
    """The worker finishes before the cancel reaches it; its late `cancelNotFound` follows the result."""
    owner, holder, task = dispatched_task(world)
    owner.cancel(task)
    holder.expect_cancel(task, "S4.1", vital=True)
    owner.expect(holder.finish(task), "S5.1")
    holder.confirm(task, CANCEL_NOT_FOUND)
    owner.expect_nothing("S5.2", about=task)


@case("S5.1", "S5.2", title="a result crosses the cancel with force")
def result_crosses_forced_cancel(world: World) -> None:
    """The function returns before its process is ended. The result stands, and the late answer is dropped."""
    owner, holder, task = dispatched_task(world)
    owner.cancel(task, force=True)
    holder.expect_cancel(task, "S4.1", force=True, vital=True)
    owner.expect(holder.finish(task), "S5.1")
    holder.confirm(task, CANCEL_NOT_FOUND)
    owner.expect_nothing("S5.2", about=task)


@case("S5.1", title="a failure crosses the cancel")
def failure_crosses_cancel(world: World) -> None:
    """The task raises, or its process dies by itself, as the cancel comes, with force or without: the owner is told
    that.
    """
    owner, _ = world.client(), world.worker()
    for kind, force in product((TaskResultType.FAILED, TaskResultType.FAILED_WORKER_DIED), (False, True)):
        task = owner.submit()
        holder = world.dispatched(task)
        owner.cancel(task, force=force)
        holder.expect_cancel(task, "S4.1", force=force, vital=True)
        owner.expect(holder.finish(task, kind), "S5.1")


@case("S5.2", title="both answers come after the result")
def both_answers_after_result(world: World) -> None:
    """Force has overtaken a cancel, and the result crosses both. The worker answers each of them, and the owner hears
    neither answer.
    """
    owner, holder, task = dispatched_task(world)
    owner.cancel(task)
    holder.expect_cancel(task, "S4.1", vital=True)
    owner.cancel(task, force=True)
    holder.expect_cancel(task, "S6.2", force=True)
    owner.expect(holder.finish(task), "S5.1", vital=True)
    for _ in range(2):
        holder.confirm(task, CANCEL_NOT_FOUND)
        owner.expect_nothing("S5.2", about=task)


@case("S5.2", title="whatever the holder answers after its result is dropped")
def any_answer_after_result(world: World) -> None:
    """A worker that is wrong about the task answers `canceled`, another one `cancelFailed`, after the result."""
    owner, _ = world.client(), world.worker()
    for answer in (CANCELED, CANCEL_FAILED):
        task = owner.submit()
        holder = world.dispatched(task)
        owner.cancel(task)
        holder.expect_cancel(task, "S4.1", vital=True)
        owner.expect(holder.finish(task), "S5.1", vital=True)
        holder.confirm(task, answer)
        owner.expect_nothing("S5.2", about=task)
