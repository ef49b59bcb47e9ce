"""Section 4, "Several cancels"."""

from __future__ import annotations

from rescind_conformance.case import case
from rescind_conformance.cases.scheduler.dispatched import dispatched_task
from rescind_conformance.peers import CANCEL_FAILED, CANCEL_NOT_FOUND, CANCELED, FakeClient, FakeWorker, TaskRef
from rescind_conformance.world import World


@case("S6.1", title="three cancels, one round")
def cancels_join(world: World) -> None:
    """The owner cancels three times before the holder answers: one TaskCancel is passed on, one answer comes."""
    owner, holder, task = dispatched_task(world)
    owner.cancel(task)
    holder.expect_cancel(task, "S4.1", vital=True)
    owner.cancel(task)
    owner.cancel(task)
    holder.expect_nothing("S6.1", about=task)
    owner.expect_nothing("S6.1", about=task)
    holder.confirm(task, CANCELED)
    owner.expect_confirm(task, CANCELED, "S6.1")
    owner.expect_nothing("S6.1", about=task)


@case("S6.1", title="a cancel joins a round with force")
def cancels_join_forced_round(world: World) -> None:
    """The first cancel had force; those that follow, with force or without, have nothing to add."""
    owner, holder, task = dispatched_task(world)
    owner.cancel(task, force=True)
    holder.expect_cancel(task, "S4.1", force=True, vital=True)
    owner.cancel(task)
    owner.cancel(task, force=True)
    holder.expect_nothing("S6.1", about=task)
    holder.confirm(task, CANCELED)
    owner.expect_confirm(task, CANCELED, "S6.1")
    owner.expect_nothing("S6.1", about=task)


@case("S6.1", title="the refusal of a round with two cancels comes once")
def one_refusal(world: World) -> None:
    """Two cancels without force share a round, and the holder refuses: one `cancelFailed`."""
    owner, holder, task = dispatched_task(world)
    owner.cancel(task)
    holder.expect_cancel(task, "S4.1", vital=True)
    owner.cancel(task)
    holder.expect_nothing("S6.1", about=task)
    holder.confirm(task, CANCEL_FAILED)
    owner.expect_confirm(task, CANCEL_FAILED, "S4.2")
    owner.expect_nothing("S6.1", about=task)


@case("S6.1", "S6.2", title="force overtakes a cancel without")
def force_joins(world: World) -> None:
    """The holder has not answered the first cancel when the owner asks with force: that is passed on, once."""
    owner, holder, task = dispatched_task(world)
    owner.cancel(task)
    holder.expect_cancel(task, "S4.1", vital=True)
    owner.cancel(task, force=True)
    holder.expect_cancel(task, "S6.2", force=True)
    owner.cancel(task, force=True)
    owner.cancel(task)
    holder.expect_nothing("S6.1", about=task)


@case("S6.2", title="force joins the second cancel")
def force_joins_after_another(world: World) -> None:
    """Two cancels without force share a round when the owner asks with force: that is passed on."""
    owner, holder, task = dispatched_task(world)
    owner.cancel(task)
    holder.expect_cancel(task, "S4.1", vital=True)
    owner.cancel(task)
    holder.expect_nothing("S6.1", about=task)
    owner.cancel(task, force=True)
    holder.expect_cancel(task, "S6.2", force=True)


def escalated(world: World) -> tuple[FakeClient, FakeWorker, TaskRef]:
    """A task with two TaskCancels at its holder, the second with force, neither answered."""
    owner, holder, task = dispatched_task(world)
    owner.cancel(task)
    holder.expect_cancel(task, "S4.1", vital=True)
    owner.cancel(task, force=True)
    holder.expect_cancel(task, "S6.2", force=True, vital=True)
    return owner, holder, task


@case("S6.1", "S6.3", title="more cancels after the one with force")
def cancels_join_overtaken_round(world: World) -> None:
    """Force has overtaken a cancel, and the owner cancels twice more: that changes nothing. It hears nothing until the
    holder has refused the first and obeyed the second, and then one `canceled`.
    """
    owner, holder, task = escalated(world)
    for force in (False, True):
        owner.cancel(task, force=force)
        for peer in (owner, holder):
            peer.expect_nothing("S6.1", about=task)
    holder.confirm(task, CANCEL_FAILED)
    owner.expect_nothing("S6.3", about=task)
    holder.confirm(task, CANCELED)
    owner.expect_confirm(task, CANCELED, "S6.1")
    owner.expect_nothing("S6.1", about=task)


@case("S6.3", title="the refusal that force has overtaken")
def refusal_then_canceled(world: World) -> None:
    """The holder refuses the first cancel, then obeys the second. The owner hears `canceled` only."""
    owner, holder, task = escalated(world)
    holder.confirm(task, CANCEL_FAILED)
    owner.expect_nothing("S6.3", about=task)
    holder.confirm(task, CANCELED)
    owner.expect_confirm(task, CANCELED, "S6.3")
    owner.expect_nothing("S6.3", about=task)


@case("S6.3", title="refused, then finished before force came")
def refusal_then_result(world: World) -> None:
    """The holder refuses the first cancel and finishes before the second reaches it: the result is the end."""
    owner, holder, task = escalated(world)
    holder.confirm(task, CANCEL_FAILED)
    owner.expect_nothing("S6.3", about=task)
    owner.expect(holder.finish(task), "S6.3")
    holder.confirm(task, CANCEL_NOT_FOUND)
    owner.expect_nothing("S6.3", about=task)


@case("S6.3", title="refused twice")
def refused_twice(world: World) -> None:
    """A holder that cannot end the task refuses both: only the second refusal ends the round, and the task goes on."""
    owner, holder, task = escalated(world)
    holder.confirm(task, CANCEL_FAILED)
    owner.expect_nothing("S6.3", about=task)
    holder.confirm(task, CANCEL_FAILED)
    owner.expect_confirm(task, CANCEL_FAILED, "S6.3")
    owner.expect(holder.finish(task), "S6.3")


@case("S6.3", title="dropped by the first cancel")
def canceled_by_the_first(world: World) -> None:
    """The task was still queued at the holder: `canceled` answers the first cancel, `cancelNotFound` the second."""
    owner, holder, task = escalated(world)
    holder.confirm(task, CANCELED)
    owner.expect_confirm(task, CANCELED, "S6.3")
    holder.confirm(task, CANCEL_NOT_FOUND)
    owner.expect_nothing("S6.3", about=task)
