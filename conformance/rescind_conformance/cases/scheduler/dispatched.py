"""Section 4, "Dispatched"."""

from __future__ import annotations

from rescind.messages import CancelConfirmType
from rescind_conformance.case import case
from rescind_conformance.peers import CANCEL_FAILED, CANCEL_NOT_FOUND, CANCELED, FakeClient, FakeWorker, TaskRef
from rescind_conformance.world import World


def dispatched_task(world: World) -> tuple[FakeClient, FakeWorker, TaskRef]:
    """An owner with one task, and its holder."""
    owner, _ = world.client(), world.worker()
    task = owner.submit()
    return owner, world.dispatched(task), task


@case("S4.1", title="a cancel goes to the holder only")
def passed_on(world: World) -> None:
    """Two workers, one holds the task: it gets the TaskCancel, once; the other hears nothing."""
    owner, _ = world.client(), world.worker()
    world.worker()
    task = owner.submit()
    holder = world.dispatched(task)
    owner.cancel(task)
    holder.expect_cancel(task, "S4.1")
    for worker in world.workers:
        worker.expect_nothing("S4.1", about=task)


@case("S4.1", title="force is passed on")
def passed_on_with_force(world: World) -> None:
    """The same with force: the flag arrives at the holder."""
    owner, _ = world.client(), world.worker()
    world.worker()
    task = owner.submit()
    holder = world.dispatched(task)
    owner.cancel(task, force=True)
    holder.expect_cancel(task, "S4.1", force=True)
    for worker in world.workers:
        worker.expect_nothing("S4.1", about=task)


@case("S4.1", title="a cancel right behind its Task follows it", field_bugs=(1,))
def cancel_follows_dispatch(world: World) -> None:
    """Task and TaskCancel come in one breath: either the task is never dispatched, or both reach the holder."""
    owner, worker = world.client(), world.worker()
    task = owner.submit(fence=False)
    owner.cancel(task)
    if worker.waiting(task):
        worker.expect_task(task, "S4.1")
        worker.expect_cancel(task, "S4.1")
    else:
        owner.expect_confirm(task, CANCELED, "S4.1")


def forwards(world: World, answer: CancelConfirmType, *, force: bool) -> None:
    """The holder's answer to a cancel reaches the owner, once."""
    owner, holder, task = dispatched_task(world)
    owner.cancel(task, force=force)
    holder.expect_cancel(task, "S4.1", force=force, vital=True)
    holder.confirm(task, answer)
    owner.expect_confirm(task, answer, "S4.2")
    owner.expect_nothing("S4.2", about=task)


@case("S4.2", title="canceled is forwarded")
def forwards_canceled(world: World) -> None:
    """The holder drops the queued task and says so; the owner is told, and that is the end."""
    forwards(world, CANCELED, force=False)


@case("S4.2", title="canceled with force is forwarded")
def forwards_forced_canceled(world: World) -> None:
    """The holder ends the running task and says so; the owner is told, and that is the end."""
    forwards(world, CANCELED, force=True)


@case("S4.2", title="cancelFailed is forwarded", field_bugs=(28,))
def forwards_cancel_failed(world: World) -> None:
    """The holder refuses because the task runs. A refusal that is swallowed leaves the caller waiting."""
    forwards(world, CANCEL_FAILED, force=False)


@case("S4.2", title="cancelNotFound is forwarded")
def forwards_cancel_not_found(world: World) -> None:
    """The holder does not have the task. The owner is told: nothing will ever produce a result."""
    forwards(world, CANCEL_NOT_FOUND, force=False)


@case("S4.2", title="cancelFailed with force is forwarded", field_bugs=(28,))
def forwards_forced_cancel_failed(world: World) -> None:
    """The holder cannot end the task and says so. That is one cancel and one answer, which is the owner's."""
    forwards(world, CANCEL_FAILED, force=True)


@case("S4.2", title="cancelNotFound with force is forwarded")
def forwards_forced_cancel_not_found(world: World) -> None:
    """The holder does not have the task that it is to end. The owner is told."""
    forwards(world, CANCEL_NOT_FOUND, force=True)


@case("S4.3", title="a refused cancel does not cost the result")
def result_after_refusal(world: World) -> None:
    """The holder refuses, and finishes a moment later: the result is forwarded as if no cancel had been."""
    owner, holder, task = dispatched_task(world)
    owner.cancel(task)
    holder.expect_cancel(task, "S4.1", vital=True)
    holder.confirm(task, CANCEL_FAILED)
    owner.expect(holder.finish(task), "S4.3")


@case("S4.3", title="a refused cancel may be followed by one with force")
def force_after_refusal(world: World) -> None:
    """The holder refuses; the owner asks again, with force. That opens another round and is passed on again."""
    owner, holder, task = dispatched_task(world)
    owner.cancel(task)
    holder.expect_cancel(task, "S4.1", vital=True)
    holder.confirm(task, CANCEL_FAILED)
    owner.cancel(task, force=True)
    if holder.expect_cancel(task, "S4.3", force=True):
        holder.confirm(task, CANCELED)
        owner.expect_confirm(task, CANCELED, "S4.3")


@case("S4.3", title="refused three times")
def refused_again_and_again(world: World) -> None:
    """Each cancel without force is passed on anew after each refusal; in the end the result comes."""
    owner, holder, task = dispatched_task(world)
    for _ in range(3):
        owner.cancel(task)
        holder.expect_cancel(task, "S4.3", vital=True)
        holder.confirm(task, CANCEL_FAILED)
    owner.expect(holder.finish(task), "S4.3")


@case("S4.4", title="no canceled before the holder has answered")
def no_early_answer(world: World) -> None:
    """The holder takes its time. Until it has answered the owner hears nothing, with force or without."""
    owner, _ = world.client(), world.worker()
    for force in (False, True):
        task = owner.submit()
        world.dispatched(task)
        owner.cancel(task, force=force)
        owner.expect_nothing("S4.4", about=task)
