"""Section 4, "Rebalancing": a task is asked back from a crowded worker while another worker stands idle."""

from __future__ import annotations

from collections.abc import Sequence

from rescind.messages import CancelConfirmType, TaskCancel
from rescind_conformance.case import Profile, case
from rescind_conformance.cases.scheduler.rounds import FORCES, open_round
from rescind_conformance.peers import CANCEL_FAILED, CANCEL_NOT_FOUND, CANCELED, FakeClient, FakeWorker, TaskRef
from rescind_conformance.world import World

CROWD = 4
"""How many tasks the crowded worker holds when the idle one comes; both take no more than that."""
NO_MOVE = "it takes no task back from a crowded worker while another is idle"


def asked_back(world: World) -> tuple[FakeClient, FakeWorker, FakeWorker, TaskRef]:
    """The owner, the holder, an idle worker, and a task that the holder is asked to give back and has not yet.

    Which task is asked back is the subject's choice; others may be asked back beside it and stay unanswered.
    """
    owner, holder = world.client(), world.worker(queue_size=CROWD)
    tasks = owner.submit_many(CROWD)
    for task in tasks:
        world.dispatched(task)
    idle = world.worker(queue_size=CROWD)
    return owner, holder, idle, asked_of(holder, tasks)[0]


def asked_of(holder: FakeWorker, tasks: Sequence[TaskRef]) -> list[TaskRef]:
    """Those of its tasks that a crowded worker is asked to give back, now that another is idle."""
    world = holder.world
    world.wait_until(lambda: any(holder.waiting(task) for task in tasks))
    asked = [task for task in tasks if holder.waiting(task)]
    if not asked:
        world.unsupported(NO_MOVE)
    for task in asked:
        holder.expect_cancel(task, "S7.1", vital=True)
    return asked


def idle_is_filled(world: World, owner: FakeClient) -> None:
    """The idle worker is full of other tasks: a task that is given back has only the place that it had."""
    for other in owner.submit_many(CROWD):
        world.dispatched(other)


def given_back_and_returned(world: World) -> tuple[FakeClient, FakeWorker, TaskRef]:
    """A task that its holder has given back and got again, in a second assignment."""
    owner, holder, _, task = asked_back(world)
    idle_is_filled(world, owner)
    holder.confirm(task, CANCELED)
    again = world.dispatched(task, "S7.3")
    world.check("S8.2", again is holder, f"{holder.name} gets Task {task.name}", f"{again.name}, full, did", vital=True)
    return owner, holder, task


@case("S7.1", "S7.2", title="a task is asked back", profile=Profile.REBALANCING)
def asked_without_force(world: World) -> None:
    """One worker is crowded, another idle. What is asked back is asked without force; the owner hears nothing."""
    owner, _, _, task = asked_back(world)
    owner.expect_nothing("S7.2", about=task)


@case("S4.1", title="cancels while the balancer runs", profile=Profile.REBALANCING)
def cancels_of_a_crowd(world: World) -> None:
    """One worker is crowded, another idle, and the owner cancels all tasks of the crowded one. Whether it was asked for
    them before or not, one TaskCancel comes for each.
    """
    owner, holder = world.client(), world.worker(queue_size=CROWD)
    tasks = owner.submit_many(CROWD)
    for task in tasks:
        world.dispatched(task)
    world.worker(queue_size=CROWD)
    world.wait_until(lambda: bool(holder.inbox))
    for task in tasks:
        owner.cancel(task)
    for task in tasks:
        holder.expect_cancel(task, "S4.1")
        holder.expect_nothing("S4.1", about=task)


def moves(world: World, answer: CancelConfirmType) -> None:
    """The holder does not have the task any more: it is placed once, and its result is told once."""
    owner, holder, _, task = asked_back(world)
    holder.confirm(task, answer)
    new_holder = world.dispatched(task, "S7.3")
    owner.expect_nothing("S7.2", about=task)
    owner.expect(new_holder.finish(task), "S7.3")
    for peer in (owner, *world.workers):
        peer.expect_nothing("S7.3", about=task)


@case("S7.2", "S7.3", title="a task is given back", profile=Profile.REBALANCING)
def given_back(world: World) -> None:
    """The holder has not begun the task and gives it back. It is placed again and runs once; the owner hears only
    its result.
    """
    moves(world, CANCELED)


@case("S7.2", "S7.3", title="a task that the holder does not have", profile=Profile.REBALANCING)
def not_found(world: World) -> None:
    """The holder answers `cancelNotFound`. Nobody asked for a cancel, so the task does not end: it is placed again."""
    moves(world, CANCEL_NOT_FOUND)


@case("S7.3", title="given back, got again, cancelled", profile=Profile.REBALANCING, field_bugs=(11,))
def canceled_in_second_assignment(world: World) -> None:
    """Cancel, assign again, cancel on one worker (Dask issue 6159): the second cancel is the owner's, and its answer
    is the one outcome.
    """
    owner, holder, task = given_back_and_returned(world)
    owner.cancel(task)
    holder.expect_cancel(task, "S4.1", vital=True)
    holder.confirm(task, CANCELED)
    owner.expect_confirm(task, CANCELED, "S7.3")
    for peer in (owner, *world.workers):
        peer.expect_nothing("S7.3", about=task)


@case("S7.2", "S7.4", title="a move is refused", profile=Profile.REBALANCING)
def refused(world: World) -> None:
    """The holder runs the task and refuses to give it back. The owner hears nothing of that, and gets the result."""
    owner, holder, idle, task = asked_back(world)
    holder.confirm(task, CANCEL_FAILED)
    owner.expect_nothing("S7.2", about=task)
    idle.expect_nothing("S7.4", about=task)
    owner.expect(holder.finish(task), "S7.4")


@case("S4.1", "S8.3", title="cancelled after a move that was refused", profile=Profile.REBALANCING)
def cancelled_after_refusal(world: World) -> None:
    """The holder refuses to give a task back, and says `canceled` all the same a moment later: dropped, the move was
    over. Then the owner cancels: that is passed on.
    """
    owner, holder, _, task = asked_back(world)
    idle_is_filled(world, owner)  # so that there is no reason to ask again
    holder.confirm(task, CANCEL_FAILED)
    holder.confirm(task, CANCELED)
    for peer in (owner, *world.workers):
        peer.expect_nothing("S8.3", about=task)
    owner.cancel(task)
    holder.expect_cancel(task, "S4.1")


@case("S7.4", title="a result crosses a move", profile=Profile.REBALANCING)
def result_crosses_move(world: World) -> None:
    """The holder finishes before it is asked. The result is told; its `cancelNotFound` does not place the task
    again.
    """
    owner, holder, _, task = asked_back(world)
    owner.expect(holder.finish(task), "S7.4")
    holder.confirm(task, CANCEL_NOT_FOUND)
    for peer in (owner, *world.workers):
        peer.expect_nothing("S7.4", about=task)


def forced(world: World) -> tuple[FakeClient, FakeWorker, FakeWorker, TaskRef]:
    """A task that is asked back and then cancelled by its owner with force, neither answered."""
    owner, holder, idle, task = asked_back(world)
    owner.cancel(task, force=True)
    holder.expect_cancel(task, "S7.5", force=True, vital=True)
    return owner, holder, idle, task


@case("S7.5", title="force during a move that is granted", profile=Profile.REBALANCING)
def force_and_given_back(world: World) -> None:
    """The owner cancels with force while the task is asked back: passed on at once. The holder gives the task back:
    that `canceled` is the owner's, the task goes nowhere, and the `cancelNotFound` that follows is dropped.
    """
    owner, holder, idle, task = forced(world)
    holder.confirm(task, CANCELED)
    owner.expect_confirm(task, CANCELED, "S7.5")
    holder.confirm(task, CANCEL_NOT_FOUND)
    for peer in (owner, idle, holder):
        peer.expect_nothing("S7.5", about=task)


@case("S7.5", title="force during a move that is refused", profile=Profile.REBALANCING)
def force_and_refused(world: World) -> None:
    """The holder refuses to give the task back, then ends it by force. The owner hears `canceled` only."""
    owner, holder, _, task = forced(world)
    holder.confirm(task, CANCEL_FAILED)
    owner.expect_nothing("S7.5", about=task)
    holder.confirm(task, CANCELED)
    owner.expect_confirm(task, CANCELED, "S7.5")
    for peer in (owner, *world.workers):
        peer.expect_nothing("S7.5", about=task)


def takes_over(world: World, answer: CancelConfirmType) -> tuple[FakeClient, FakeWorker, TaskRef]:
    """The owner's cancel needs no second TaskCancel; the answer to the first is the owner's."""
    owner, holder, _, task = asked_back(world)
    owner.cancel(task)
    holder.expect_nothing("S7.6", about=task)
    owner.expect_nothing("S7.6", about=task)
    holder.confirm(task, answer)
    owner.expect_confirm(task, answer, "S7.6", vital=True)
    return owner, holder, task


@case("S7.6", "S7.8", title="cancelled during a move that is granted", profile=Profile.REBALANCING)
def takeover_canceled(world: World) -> None:
    """The owner cancels while the task is asked back, and the holder gives it back: it is cancelled, not placed."""
    owner, _, task = takes_over(world, CANCELED)
    owner.expect_nothing("S7.6", about=task)
    for worker in world.workers:
        worker.expect_nothing("S7.8", about=task)


@case("S7.6", title="cancelled during a move that is refused", profile=Profile.REBALANCING)
def takeover_refused(world: World) -> None:
    """The owner cancels while the task is asked back, and the holder refuses: the owner is told, and the result
    follows.
    """
    owner, holder, task = takes_over(world, CANCEL_FAILED)
    owner.expect(holder.finish(task), "S4.3")


@case("S7.6", "S7.8", title="cancelled during a move of what is not there", profile=Profile.REBALANCING)
def takeover_not_found(world: World) -> None:
    """The owner cancels while the task is asked back, and the holder does not have it: the owner is told that."""
    owner, _, task = takes_over(world, CANCEL_NOT_FOUND)
    owner.expect_nothing("S7.6", about=task)
    for worker in world.workers:
        worker.expect_nothing("S7.8", about=task)


@case("S5.1", "S7.6", title="a result crosses a move that the owner took over", profile=Profile.REBALANCING)
def takeover_result(world: World) -> None:
    """The owner cancels while the task is asked back, and the holder finishes: the result is the end."""
    owner, holder, _, task = asked_back(world)
    owner.cancel(task)
    holder.expect_nothing("S7.6", about=task)
    owner.expect(holder.finish(task), "S5.1")


@case("S6.2", title="force after the move was taken over", profile=Profile.REBALANCING)
def force_after_takeover(world: World) -> None:
    """The owner cancels while the task is asked back, then again with force: that is passed on."""
    owner, holder, _, task = asked_back(world)
    owner.cancel(task)
    holder.expect_nothing("S7.6", about=task)
    owner.cancel(task, force=True)
    holder.expect_cancel(task, "S6.2", force=True)


@case("S7.7", title="the balancer repeats itself", profile=Profile.REBALANCING, field_bugs=(9,))
def one_move_at_a_time(world: World) -> None:
    """A slow worker has not answered when the balancer looks again (Scaler commit a90ad03f): a second worker is crowded
    by then, and a third is idle, so that more is asked back of one of them. What was asked back is not asked back
    again.
    """
    owner, holder = world.client(), world.worker(queue_size=CROWD)
    tasks = owner.submit_many(CROWD)
    for task in tasks:
        world.dispatched(task)
    second = world.worker(queue_size=CROWD)
    asked = asked_of(holder, tasks)
    idle_is_filled(world, owner)
    world.worker(queue_size=CROWD)
    if not world.wait_until(lambda: any(isinstance(one, TaskCancel) for one in (*holder.inbox, *second.inbox))):
        world.unsupported("it asked for nothing more when another worker came, so that no repetition could be seen")
    for task in asked:
        again = [message for message in holder.waiting(task) if isinstance(message, TaskCancel)]
        world.check("S7.7", not again, f"one TaskCancel for {task.name}", f"{holder.name} got another")


@case("S7.7", title="the balancer and the owner's round", profile=Profile.REBALANCING, field_bugs=(9,))
def no_move_in_owners_round(world: World) -> None:
    """The owner has cancelled six tasks of seven, in each way, and the holder has not answered when an idle worker
    comes. The balancer asks for the seventh, which is in the middle, and not for these.
    """
    owner, holder = world.client(), world.worker()
    *older, free, newer_1, newer_2, newer_3 = owner.submit_many(7)
    cancelled = (*older, newer_1, newer_2, newer_3)
    for task in (*cancelled, free):
        world.dispatched(task)
    for task, forces in zip(cancelled, (*FORCES, *FORCES), strict=True):
        open_round(owner, holder, task, forces)
    world.worker()
    asked = world.wait_until(lambda: bool(holder.inbox))
    for task in cancelled:
        holder.expect_nothing("S7.7", about=task)
    if not asked:
        world.unsupported(NO_MOVE)


@case(
    "S7.8",
    "S9.2",
    title="cancelled during a move, and the holder leaves",
    profile=Profile.REBALANCING,
    field_bugs=(14,),
)
def takeover_and_goodbye(world: World) -> None:
    """The owner cancels while the task is asked back, and the holder says good-bye: `canceled`, and not placed."""
    owner, holder, _, task = asked_back(world)
    owner.cancel(task)
    holder.leave(fence=False)
    world.wait_until(lambda: bool(owner.waiting(task)))
    owner.expect_confirm(task, CANCELED, "S9.2")
    for worker in world.workers:
        worker.expect_nothing("S7.8", about=task)
    owner.expect_nothing("S9.2", about=task)
