"""Section 4, "Loss of a worker": what a loss is, and what becomes of the tasks that the worker held."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

from rescind.messages import Message, Task, TaskCancelConfirm, TaskLog, TaskResult
from rescind_conformance.case import TIMEOUT, Profile, case
from rescind_conformance.cases.scheduler.dispatched import dispatched_task
from rescind_conformance.cases.scheduler.losses import (
    LOSSES,
    dispatched_or_died,
    fatal_loss,
    handled_of_lost,
    lost_until,
    placed_again,
    waiting_again,
    worker_died,
)
from rescind_conformance.cases.scheduler.rebalancing import CROWD, asked_back, asked_of
from rescind_conformance.cases.scheduler.rounds import FORCES, open_round
from rescind_conformance.findings import new_task_id
from rescind_conformance.peers import CANCEL_FAILED, CANCELED, FakeClient, FakeWorker, TaskRef
from rescind_conformance.world import World

# --- what a loss is


@case("S9.1", "S9.3", title="a worker says good-bye")
def goodbye(world: World) -> None:
    """A worker leaves in order while it holds a task. The task is placed at another, and its result is told once."""
    owner, leaving, task = dispatched_task(world)
    world.worker()
    leaving.leave(fence=False)
    holder = placed_again(world, task, "S9.1")
    owner.expect(holder.finish(task), "S9.3")
    owner.expect_nothing("S9.3", about=task)


@case("S9.1", "S9.3", title="a worker falls silent", profile=Profile.SHORT_TIMEOUTS, field_bugs=(16,))
def silence(world: World) -> None:
    """A worker is killed while it holds a task. After the worker time-out, and not before, the task is placed at
    another.
    """
    owner, killed, task = dispatched_task(world)
    world.worker()
    began = time.monotonic()
    killed.fence()
    killed.cut()
    holder = placed_again(world, task, "S9.1")
    not_too_soon(world, killed.name, began)
    owner.expect(holder.finish(task), "S9.3")
    owner.expect_nothing("S9.3", about=task)


def not_too_soon(world: World, name: str, began: float) -> None:
    """A loss has been seen of a peer that was heard after `began`. However slow the machine is, that takes its time."""
    seconds = time.monotonic() - began
    expected = f"{name} is lost when nothing has come from it for {TIMEOUT:g} s"
    world.check("S9.1", seconds > 0.9 * TIMEOUT, expected, f"that was seen {seconds:.1f} s after it was heard")


@case("S9.1", title="a worker that talks is alive", profile=Profile.SHORT_TIMEOUTS)
def talking(world: World) -> None:
    """Three workers find no time for heartbeats: one streams what its task writes, one repeats an old result, one an
    old answer (which is dropped, and shows life all the same). Another, which says nothing for less long, is lost;
    these are not, and their results count.
    """
    owner = world.client()
    for _ in range(3):
        world.worker(queue_size=1)
    tasks, old = owner.submit_many(3), new_task_id()
    news: tuple[Message, ...] = (
        TaskLog(tasks[0].id, content="on\n"),
        TaskResult(old),
        TaskCancelConfirm(old, CANCELED),
    )
    talk = dict(zip(tasks, news, strict=True))
    holders = {task: world.dispatched(task) for task in talk}
    silent, other = world.worker(queue_size=1), owner.submit()
    world.dispatched(other)
    spare = world.worker(queue_size=1)
    for holder in holders.values():
        holder.silent = True
        world.note_event(holder, "sends no more heartbeats")
    silent.fence()
    silent.pause()

    def talk_on() -> None:
        for task, message in talk.items():
            holders[task].send(message, fence=False)

    lost = world.wait_until(lambda: bool(spare.waiting()) or worker_died(owner, other), meanwhile=talk_on)
    world.check("S9.1", lost, f"{silent.name} is lost", f"its task {other.name} was not placed again", vital=True)
    for task, holder in holders.items():
        result = holder.finish(task, fence=False)
        handled_of_lost(holder)
        owner.expect(result, "S9.1")


@case("S9.1", title="a scheduler that was held up loses nobody", profile=Profile.SHORT_TIMEOUTS)
def scheduler_held_up(world: World) -> None:
    """The scheduler's process is stopped for longer than the time-outs, again and again, while its peers go on sending
    heartbeats. When it goes on they have arrived, though they were not handled: nobody is lost.
    """
    process = world.instance.pid
    if process is None:
        world.unsupported("its process cannot be stopped for a while")
    owner, holder, task = dispatched_task(world)
    seconds = 1.25 * TIMEOUT

    def beat() -> None:
        for peer in (owner, holder):
            peer.beat()

    for _ in range(4):  # what it does first when it goes on may be luck
        world.happen(f"is stopped for {seconds:g} s")
        os.kill(process, signal.SIGSTOP)
        end = time.monotonic() + seconds

        def over(end: float = end) -> bool:
            if time.monotonic() < end:
                return False
            os.kill(process, signal.SIGCONT)
            return True

        world.wait_until(over, meanwhile=beat)
        for peer in (owner, holder):
            peer.expect_nothing("S9.1", vital=True)
    owner.expect(holder.finish(task), "S9.1")


# --- tasks that were being cancelled


def canceled_once(world: World, owner: FakeClient, *tasks: TaskRef) -> None:
    """Each owner's round of a lost worker ends in one `canceled`; the task goes to nobody."""
    world.wait_until(lambda: all(owner.waiting(task) for task in tasks))
    for task in tasks:
        owner.expect_confirm(task, CANCELED, "S9.2")
    for peer in (owner, *(worker for worker in world.workers if worker.living)):
        for task in tasks:
            peer.expect_nothing("S9.2", about=task)


def rounds_open(world: World) -> tuple[FakeClient, FakeWorker, list[TaskRef]]:
    """Three tasks of one worker in an open round: without force, with force, with force after one without."""
    owner, holder = world.client(), world.worker()
    tasks = owner.submit_many(len(FORCES))
    for task, forces in zip(tasks, FORCES, strict=True):
        world.dispatched(task)
        open_round(owner, holder, task, forces)
    world.worker()
    return owner, holder, tasks


@case("S9.2", title="a worker leaves while its tasks are being cancelled", field_bugs=(14,))
def goodbye_in_rounds(world: World) -> None:
    """Three cancels are with a worker, one of them overtaken by force, and it says good-bye: each is `canceled`, once,
    and none is placed again.
    """
    owner, leaving, tasks = rounds_open(world)
    leaving.leave(fence=False)
    canceled_once(world, owner, *tasks)


@case(
    "S9.2",
    title="a worker falls silent while its tasks are being cancelled",
    profile=Profile.SHORT_TIMEOUTS,
    field_bugs=(14,),
)
def silence_in_rounds(world: World) -> None:
    """The same, and the worker is killed: the owner waits for the worker time-out, not for ever."""
    owner, killed, tasks = rounds_open(world)
    killed.cut()
    canceled_once(world, owner, *tasks)


@case("S9.2", title="the last worker that a task may be lost with leaves while it is being cancelled")
def last_loss_in_rounds(world: World) -> None:
    """Three tasks have been lost as often as tasks may be, but for once. With the next worker they are being cancelled,
    in each way, when it leaves: `canceled` is the answer to the cancels, not failedWorkerDied.
    """
    fatal, idle = fatal_loss(world, len(FORCES))
    owner = world.client()
    tasks = owner.submit_many(len(FORCES))
    holder = lost_until(world, idle, *tasks, losses=fatal - 1)
    for task, forces in zip(tasks, FORCES, strict=True):
        open_round(owner, holder, task, forces)
    world.worker()
    holder.leave(fence=False)
    canceled_once(world, owner, *tasks)


@case("S9.2", title="the lost worker answers the cancel", profile=Profile.SHORT_TIMEOUTS)
def late_answer(world: World) -> None:
    """A worker with a cancel is paused past its time-out and the owner told `canceled`. It wakes and answers, once for
    each way there is: dropped.
    """
    owner, paused, task = dispatched_task(world)
    world.worker()
    open_round(owner, paused, task, (True,))
    paused.pause()
    canceled_once(world, owner, task)
    paused.finish(task, fence=False)
    for answer in (CANCELED, CANCEL_FAILED):
        paused.confirm(task, answer, fence=False)
    handled_of_lost(paused)
    owner.expect_nothing("S9.2", about=task)


# --- tasks that are placed again


@case("S9.3", title="the tasks of the last worker wait", field_bugs=(16,))
def goodbye_of_last_worker(world: World) -> None:
    """The only worker leaves with two tasks. They wait; the next worker gets both, each once."""
    owner, leaving = world.client(), world.worker()
    tasks = owner.submit_many(2)
    for task in tasks:
        world.dispatched(task)
    leaving.leave(fence=False)
    world.worker()
    for task in tasks:
        owner.expect(placed_again(world, task).finish(task), "S9.3")


@case("S3.1", title="cancelled while it waits again")
def cancelled_while_waiting_again(world: World) -> None:
    """A worker leaves with three tasks, and another has room for one of them. One of those that wait again is
    cancelled: `canceled` at once, and the worker that comes gets the other only.
    """
    owner, leaving = world.client(), world.worker(queue_size=3)
    tasks = owner.submit_many(3)
    for task in tasks:
        world.dispatched(task)
    small = world.worker(queue_size=1)
    leaving.leave(fence=False)
    task, other = waiting_again(world, small, *tasks)
    owner.cancel(task)
    owner.expect_confirm(task, CANCELED, "S3.1", vital=True)
    worker = world.worker()
    placed_again(world, other)
    for peer in (owner, small, worker):
        peer.expect_nothing("S3.1", about=task)


@case("S9.3", "S7.2", title="a worker leaves during a move", profile=Profile.REBALANCING, field_bugs=(8,))
def goodbye_in_move(world: World) -> None:
    """A worker leaves with the TaskCancel of a move unanswered. The task is not lost with it: it is placed again, and
    the owner hears nothing but its result.
    """
    owner, leaving, _, task = asked_back(world)
    leaving.leave(fence=False)
    holder = placed_again(world, task)
    owner.expect_nothing("S7.2", about=task)
    owner.expect(holder.finish(task), "S9.3")


@case("S9.3", "S7.2", title="a worker dies during a move", profile=Profile.RESTLESS, field_bugs=(8,))
def silence_in_move(world: World) -> None:
    """A worker is killed with the TaskCancel of a move unanswered (Scaler PR 883). The same, after the time-out."""
    owner, killed, _, task = asked_back(world)
    killed.cut()
    holder = placed_again(world, task)
    owner.expect_nothing("S7.2", about=task)
    owner.expect(holder.finish(task), "S9.3")


@case("S9.3", title="the last worker that a task may be lost with leaves during a move", profile=Profile.REBALANCING)
def last_loss_in_move(world: World) -> None:
    """Four tasks have been lost as often as tasks may be, but for once. The next worker is asked to give some back when
    it leaves: their owner is told failedWorkerDied, or they are placed again; not `canceled`, and not nothing.
    """
    fatal, idle = fatal_loss(world, CROWD)
    owner = world.client()
    tasks = owner.submit_many(CROWD)
    holder = lost_until(world, idle, *tasks, losses=fatal - 1)
    world.worker(queue_size=CROWD)
    asked = asked_of(holder, tasks)
    holder.leave(fence=False)
    for task in asked:
        if dispatched_or_died(world, task) is None:
            owner.expect(world.dispatched(task, "S9.3").finish(task), "S9.3")
        else:
            world.check("S9.3", True, "failedWorkerDied is told", "it was")


def lost_with_each(world: World, lose: Callable[[FakeWorker], None]) -> None:
    """Each worker that gets the task is lost. When ten are the owner has been told failedWorkerDied; and then the task
    goes to nobody, whoever comes.
    """
    owner = world.client()
    task = owner.submit()
    for _ in range(LOSSES):
        world.worker(queue_size=1)
        if dispatched_or_died(world, task):
            break
        lose(world.dispatched(task, "S9.3"))
    else:
        world.worker(queue_size=1)
        dispatched_or_died(world, task)
    expected, happened = f"{owner.name} gets TaskResult failedWorkerDied", f"it was placed after {LOSSES} losses"
    if world.check("S9.4", worker_died(owner, task), expected, happened):
        world.worker().expect_nothing("S1.2", about=task)


@case("S9.4", title="a task whose workers all say good-bye")
def deadly_task(world: World) -> None:
    """Each worker that gets the task leaves in order, at once. After ten of them at most failedWorkerDied is told."""
    lost_with_each(world, lambda holder: holder.leave(fence=False))


@case("S9.4", title="a task whose workers all fall silent", profile=Profile.SHORT_TIMEOUTS)
def deadly_task_in_silence(world: World) -> None:
    """Each worker that gets the task is killed. After ten of them at most failedWorkerDied is told."""
    lost_with_each(world, lambda holder: holder.cut())


# --- one step


@case("S9.5", title="a worker leaves while much is being done", field_bugs=(4, 10))
def goodbye_in_traffic(world: World) -> None:
    """A worker with forty tasks says good-bye while their owner cancels half of them, newest first, and submits more.
    Whichever is handled first, each cancelled task is either `canceled` with the worker or cancelled where it went, and
    each other one has one new holder.
    """
    owner, leaving = world.client(), world.worker(queue_size=40)
    tasks = owner.submit_many(40)
    for task in tasks:
        world.dispatched(task)
    world.worker(queue_size=100)
    leaving.leave(fence=False)
    for task in reversed(tasks[::2]):
        owner.cancel(task, fence=False)
        tasks.append(owner.submit(fence=False))
    for task in (*tasks[1:40:2], *tasks[40:]):
        placed_again(world, task, "S9.5")
    for task in tasks[0:40:2]:
        fate_of_cancelled(world, owner, task)


@case("S9.5", title="the free places of a worker that leaves")
def goodbye_with_room(world: World) -> None:
    """A worker that has room for more leaves with its task, which takes the only place that another has. A task that is
    submitted then waits: the free places of the one that left went with it. The worker that comes gets it.
    """
    owner, leaving, task = dispatched_task(world)
    world.worker(queue_size=1)
    leaving.leave(fence=False)
    placed_again(world, task, "S9.5")
    following = owner.submit()
    leaving.expect_nothing("S9.5", about=following)
    world.worker()
    owner.expect(placed_again(world, following, "S9.5").finish(following), "S9.5")


def fate_of_cancelled(world: World, owner: FakeClient, task: TaskRef) -> None:
    """The cancel of a task whose worker was lost at the same time has one of the two ends that it may have."""
    holder = world.workers[-1]
    if any(isinstance(message, Task) for message in holder.waiting(task)):
        holder.expect_task(task, "S9.5")
        holder.expect_cancel(task, "S9.5")
        owner.expect_nothing("S9.5", about=task)
    else:
        owner.expect_confirm(task, CANCELED, "S9.5")
        holder.expect_nothing("S9.5", about=task)


@case("S9.5", title="a worker leaves while its tasks are moved", profile=Profile.REBALANCING, field_bugs=(8, 10))
def goodbye_in_moves(world: World) -> None:
    """The balancer runs all the time and has asked a worker for some of its tasks when it leaves (notes in Scaler 2.9's
    source). Each task is placed once.
    """
    owner, leaving, *_ = asked_back(world)
    leaving.leave(fence=False)
    holders = [placed_again(world, TaskRef(task_id, name), "S9.5") for task_id, name in world.names.items()]
    for holder in holders:
        holder.expect_nothing("S9.5")
    owner.expect_nothing("S9.5")
