"""Section 4, "Only the holder answers"."""

from __future__ import annotations

from rescind.messages import TaskLog, TaskResult, TaskResultType
from rescind_conformance.case import Profile, case
from rescind_conformance.cases.scheduler.dispatched import dispatched_task
from rescind_conformance.cases.scheduler.losses import handled_of_lost, placed_again
from rescind_conformance.cases.scheduler.rebalancing import asked_back, given_back_and_returned
from rescind_conformance.cases.scheduler.rounds import FORCES, open_round
from rescind_conformance.peers import CANCEL_FAILED, CANCEL_NOT_FOUND, CANCELED
from rescind_conformance.world import World

ANSWERS = (CANCELED, CANCEL_FAILED, CANCEL_NOT_FOUND)


@case("S8.1", title="a result of a worker that does not hold the task")
def result_of_stranger(world: World) -> None:
    """Another worker reports a task that it was never given. The owner hears nothing, and gets the holder's result."""
    owner, holder, task = dispatched_task(world)
    stranger = world.worker()
    stranger.finish(task, TaskResultType.FAILED)
    owner.expect_nothing("S8.1", about=task)
    owner.expect(holder.finish(task), "S8.1")


@case("S8.1", title="answers to a cancel from a worker that was not asked")
def confirms_of_stranger(world: World) -> None:
    """A cancel is with the holder, and another worker answers it in each way. Only the holder's answer counts."""
    owner, holder, task = dispatched_task(world)
    stranger = world.worker()
    owner.cancel(task)
    holder.expect_cancel(task, "S4.1", vital=True)
    for answer in ANSWERS:
        stranger.confirm(task, answer)
        owner.expect_nothing("S8.1", about=task)
    holder.confirm(task, CANCELED)
    owner.expect_confirm(task, CANCELED, "S8.1")


@case("S8.1", title="a report of a task that waits")
def report_of_waiting_task(world: World) -> None:
    """A full worker reports a task that nobody holds yet, in each way. The task goes on waiting, and runs."""
    owner, stranger = world.client(), world.worker(queue_size=1)
    busy = owner.submit()
    world.dispatched(busy)
    task = owner.submit()
    for answer in ANSWERS:
        stranger.confirm(task, answer)
    stranger.finish(task, TaskResultType.FAILED)
    owner.expect_nothing("S8.1", about=task)
    world.worker(queue_size=1)
    owner.expect(world.dispatched(task, "S8.1").finish(task), "S8.1")


@case("S8.1", title="a stranger's report frees no place")
def report_frees_no_place(world: World) -> None:
    """Two workers are full and a task waits. One reports the task of the other: no place is free."""
    owner, *_ = world.client(), world.worker(queue_size=1), world.worker(queue_size=1)
    task, busy = owner.submit_many(2)
    holder, stranger = world.dispatched(task), world.dispatched(busy)
    waiting = owner.submit()
    stranger.finish(task)
    stranger.confirm(task, CANCELED)
    for worker in world.workers:
        worker.expect_nothing("S8.1")
    owner.expect(holder.finish(task), "S8.1")
    world.dispatched(waiting, "S9.9")


@case("S8.1", title="the former holder answers after the present one", field_bugs=(12,))
def former_holder_after_goodbye(world: World) -> None:
    """A worker leaves and its task runs elsewhere; it then reports a failure, before and after the new holder's result
    (Dask issue 6689). Only the present holder's answer counts.
    """
    owner, former, task = dispatched_task(world)
    world.worker()
    former.leave(fence=False)
    holder = placed_again(world, task)
    report = TaskResult(task.id, TaskResultType.FAILED)
    former.send(report, fence=False)
    former.confirm(task, CANCELED, fence=False)
    handled_of_lost(former)
    owner.expect_nothing("S8.1", about=task)
    owner.expect(holder.finish(task), "S8.1")
    former.send(report, fence=False)
    handled_of_lost(former)
    owner.expect_nothing("S8.1", about=task)


@case("S8.1", title="a task given back that ran all the same", profile=Profile.REBALANCING, field_bugs=(12,))
def former_holder_after_move(world: World) -> None:
    """A worker gives a task back, yet runs it, and fails; the task is with another by then. Only that one counts."""
    owner, former, _, task = asked_back(world)
    for other in owner.submit_many(3):  # the idle worker keeps one place, the former holder gets one by giving back
        world.dispatched(other)
    former.confirm(task, CANCELED)
    holder = world.dispatched(task, "S7.3")
    if holder is former:
        world.unsupported("it placed the task at the same worker again")
    former.finish(task, TaskResultType.FAILED)
    owner.expect_nothing("S8.1", about=task)
    owner.expect(holder.finish(task), "S8.1")


@case("S8.3", title="an answer that nobody asked for")
def unasked_confirm(world: World) -> None:
    """The holder confirms, in each way, a cancel that was never sent. The task is still its, and its result counts."""
    owner, holder, task = dispatched_task(world)
    for answer in ANSWERS:
        holder.confirm(task, answer)
        owner.expect_nothing("S8.3", about=task)
        holder.expect_nothing("S8.3", about=task)
    owner.expect(holder.finish(task), "S8.3")


@case("S8.3", title="an answer that is repeated", field_bugs=(3, 13))
def repeated_confirm(world: World) -> None:
    """The holder refuses a cancel, twice over, and even says `canceled` of it then. The round had ended: the result
    still comes.
    """
    owner, holder, task = dispatched_task(world)
    owner.cancel(task)
    holder.expect_cancel(task, "S4.1", vital=True)
    holder.confirm(task, CANCEL_FAILED)
    owner.expect_confirm(task, CANCEL_FAILED, "S4.2", vital=True)
    for answer in (CANCEL_FAILED, CANCELED, CANCEL_NOT_FOUND):
        holder.confirm(task, answer)
        owner.expect_nothing("S8.3", about=task)
    owner.expect(holder.finish(task), "S8.3")


@case("S8.3", title="an answer of an earlier assignment", profile=Profile.REBALANCING, field_bugs=(3, 13))
def answer_of_earlier_assignment(world: World) -> None:
    """A worker gives a task back and gets it again; then it repeats its answers to the first cancel (Dask issue 6869,
    Dask PR 1119). They do not touch the new assignment.
    """
    owner, holder, task = given_back_and_returned(world)
    for answer in ANSWERS:
        holder.confirm(task, answer)
        for peer in (owner, *world.workers):
            peer.expect_nothing("S8.3", about=task)
    owner.expect(holder.finish(task), "S8.3")


@case("S8.4", title="what a task writes")
def log_of_holder(world: World) -> None:
    """The holder sends two lines that the task wrote: the owner gets them in order, nobody else does."""
    owner, holder, task = dispatched_task(world)
    other = world.client()
    lines = [holder.log(task, "one\n"), holder.log(task, "two\n")]
    world.check("S8.4", owner.waiting(task) == lines, f"{owner.name} gets both lines in order", "it did not")
    other.expect_nothing("S8.4")


@case("S8.4", title="what a task writes while it is being cancelled")
def log_in_rounds(world: World) -> None:
    """The holder has not answered a cancel, of each kind, and sends a line that the task wrote: the owner gets it."""
    owner, holder = world.client(), world.worker()
    for forces in FORCES:
        task = owner.submit()
        world.dispatched(task)
        open_round(owner, holder, task, forces)
        owner.expect(holder.log(task, "still here\n"), "S8.4")


@case("S8.4", title="what a task writes while it is asked back", profile=Profile.REBALANCING)
def log_in_move(world: World) -> None:
    """The holder was asked to give a task back, and sends a line that it wrote: the owner gets it."""
    owner, holder, _, task = asked_back(world)
    owner.expect(holder.log(task, "still here\n"), "S8.4")


@case("S8.4", title="what a stranger writes")
def log_of_stranger(world: World) -> None:
    """A worker that does not hold the task sends a line of it: nobody gets that."""
    owner, _, task = dispatched_task(world)
    world.worker().send(TaskLog(task.id, content="I am not the task\n"))
    owner.expect_nothing("S8.4", about=task)
