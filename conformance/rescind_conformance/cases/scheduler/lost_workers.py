"""Section 4, S9.6: a worker that was lost stays lost, and is told so."""

from __future__ import annotations

from rescind.messages import DisconnectType, TaskCancel, TaskCancelConfirm, TaskResultType
from rescind_conformance.case import Profile, case
from rescind_conformance.cases.scheduler.dispatched import dispatched_task
from rescind_conformance.cases.scheduler.losses import (
    REMEMBERED,
    handled_of_lost,
    placed_again,
    told_that_it_is_lost,
    waiting_again,
)
from rescind_conformance.peers import CANCEL_NOT_FOUND, CANCELED, FakeWorker, TaskRef
from rescind_conformance.world import World

INSISTENT = 3
"""How often a lost worker that was told `disconnect` goes on."""


def told_again_and_again(worker: FakeWorker) -> None:
    """A lost worker is told `disconnect` first, and then `shutdown` as often as it asks."""
    told_that_it_is_lost(worker, DisconnectType.DISCONNECT, "S9.6", vital=True)
    for _ in range(INSISTENT):
        told_that_it_is_lost(worker, DisconnectType.SHUTDOWN, "S9.6", vital=True)


@case("S9.6", title="a worker that left and goes on", field_bugs=(18,))
def heartbeat_after_goodbye(world: World) -> None:
    """A worker says good-bye, and sends heartbeats all the same: it is told `disconnect`, then `shutdown`."""
    _, leaving, task = dispatched_task(world)
    world.worker()
    leaving.leave(fence=False)
    placed_again(world, task)
    told_again_and_again(leaving)


@case("S9.6", title="a paused worker wakes", profile=Profile.SHORT_TIMEOUTS, field_bugs=(18,))
def heartbeat_after_silence(world: World) -> None:
    """A worker is paused past its time-out and its task placed elsewhere. Its first heartbeat after that tells it that
    it holds nothing: `disconnect`; if it goes on, `shutdown`.
    """
    _, paused, task = dispatched_task(world)
    world.worker()
    paused.pause()
    placed_again(world, task)
    told_again_and_again(paused)


@case("S9.6", "S8.1", title="a paused worker wakes and reports", profile=Profile.SHORT_TIMEOUTS, field_bugs=(18,))
def report_after_silence(world: World) -> None:
    """A worker is paused past its time-out and its task placed elsewhere. It wakes with a failure of that task:
    dropped, and the present holder's result counts.
    """
    owner, paused, task = dispatched_task(world)
    world.worker()
    paused.pause()
    holder = placed_again(world, task)
    paused.finish(task, TaskResultType.FAILED, fence=False)
    handled_of_lost(paused)
    owner.expect_nothing("S9.6", about=task)
    owner.expect(holder.finish(task), "S8.1")


def reports(world: World, lost: FakeWorker, task: TaskRef) -> None:
    """A lost worker answers and ends a task that waits again: nobody hears of that, and the next worker gets it."""
    owner = world.clients[0]
    for answer in (CANCELED, CANCEL_NOT_FOUND):
        lost.confirm(task, answer, fence=False)
    late = lost.finish(task, TaskResultType.FAILED, fence=False)
    handled_of_lost(lost)
    heard = [message for message in owner.waiting(task) if message == late or isinstance(message, TaskCancelConfirm)]
    happened = f"it got {', '.join(map(world.describe, heard))}"
    world.check("S8.1", not heard, f"{owner.name} gets nothing that {lost.name} says", happened, vital=True)
    world.worker()
    owner.expect(placed_again(world, task, "S8.1").finish(task), "S8.1")


@case("S8.1", title="a worker that left reports a task that waits again", field_bugs=(12,))
def report_of_waiting_task(world: World) -> None:
    """The only worker leaves, and then answers and ends its task, which waits for another worker: dropped, and the next
    worker's result counts.
    """
    _, leaving, task = dispatched_task(world)
    leaving.leave(fence=False)
    reports(world, leaving, task)


@case(
    "S8.1",
    title="a paused worker wakes and reports a task that waits again",
    profile=Profile.SHORT_TIMEOUTS,
    field_bugs=(12, 18),
)
def late_report_of_waiting_task(world: World) -> None:
    """A worker with two tasks is paused past its time-out. One of them goes to a worker that takes one, the other waits
    when the paused one wakes and reports it: dropped, and the next worker's result counts.
    """
    owner, paused = world.client(), world.worker(queue_size=2)
    tasks = owner.submit_many(2)
    for task in tasks:
        world.dispatched(task)
    small = world.worker(queue_size=1)
    paused.pause()
    reports(world, paused, *waiting_again(world, small, *tasks))


@case("S9.6", title="a worker that left submits and cancels")
def orders_after_goodbye(world: World) -> None:
    """A worker leaves, and then sends a Task, and a TaskCancel of its former task and of an unknown one, as a client
    would: dropped without an answer.
    """
    owner, leaving, task = dispatched_task(world)
    other = world.worker()
    leaving.leave(fence=False)
    placed_again(world, task)
    new = world.new_task()
    leaving.send(owner.task_message(new, source=leaving.routing_id), fence=False)
    for known in (task, world.new_task()):
        leaving.send(TaskCancel(known.id, force=True), fence=False)
    heard = [message for message in handled_of_lost(leaving) if getattr(message, "task_id", None) is not None]
    happened = f"{leaving.name} got {', '.join(map(world.describe, heard))}"
    world.check("S9.6", not heard, f"{leaving.name}, which is lost, gets no answer", happened)
    for peer in (owner, other):
        peer.expect_nothing("S9.6")


@case("S9.6", title="a lost worker gets no task")
def no_task_for_the_lost(world: World) -> None:
    """The only worker leaves with a task and then sends a heartbeat. The task waits for another worker all the same."""
    owner, leaving, task = dispatched_task(world)
    leaving.leave(fence=False)
    handled_of_lost(leaving)
    leaving.expect_nothing("S9.6", about=task, vital=True)
    world.worker()
    owner.expect(placed_again(world, task).finish(task), "S9.6")


@case("S9.6", title="a thousand workers later")
def thousand_lost_workers(world: World) -> None:
    """A worker leaves, and 999 others after it. It is still told that it is lost."""
    first = world.worker()
    first.leave()
    for _ in range(REMEMBERED - 1):
        other = world.worker()
        other.leave(fence=False)
        told_that_it_is_lost(other, DisconnectType.DISCONNECT, "S9.6", vital=True)
        other.cut()
    told_that_it_is_lost(first, DisconnectType.DISCONNECT, "S9.6")
