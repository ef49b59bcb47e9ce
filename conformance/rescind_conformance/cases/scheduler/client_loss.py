"""Section 4, "Loss of a client": what a loss is, and what becomes of the client's tasks."""

from __future__ import annotations

import time
from itertools import product

from rescind.messages import Message, TaskCancel, TaskResult, TaskResultType
from rescind_conformance.case import Profile, case
from rescind_conformance.cases.scheduler.dispatched import dispatched_task
from rescind_conformance.cases.scheduler.losses import fatal_loss, handled_of_lost, lost_until
from rescind_conformance.cases.scheduler.rebalancing import NO_MOVE, asked_back
from rescind_conformance.cases.scheduler.rounds import FORCES, open_round
from rescind_conformance.cases.scheduler.worker_loss import not_too_soon
from rescind_conformance.findings import new_task_id
from rescind_conformance.peers import CANCEL_FAILED, CANCEL_NOT_FOUND, CANCELED, FakeClient, FakeWorker, TaskRef
from rescind_conformance.world import World

# --- what a loss is


@case("S9.1", "S9.7", title="a client says good-bye", field_bugs=(17,))
def goodbye(world: World) -> None:
    """A client leaves while a worker has its task: cancelled with force, for nobody will ask for the result."""
    owner, holder, task = dispatched_task(world)
    owner.disconnect()
    holder.expect_cancel(task, "S9.1", force=True, vital=True)
    holder.expect_nothing("S9.7", about=task)


@case("S9.1", "S9.7", title="a client is killed", profile=Profile.SHORT_TIMEOUTS, field_bugs=(17,))
def silence(world: World) -> None:
    """A client is killed while a worker has its task. After the client time-out, and not before, that is cancelled with
    force.
    """
    owner, holder, task = dispatched_task(world)
    began = time.monotonic()
    owner.fence()
    owner.cut()
    world.wait_until(lambda: bool(holder.waiting(task)))
    holder.expect_cancel(task, "S9.1", force=True, vital=True)
    not_too_soon(world, owner.name, began)
    holder.expect_nothing("S9.7", about=task)


@case("S9.1", title="a client that talks is alive", profile=Profile.SHORT_TIMEOUTS, field_bugs=(17,))
def talking(world: World) -> None:
    """Three clients find no time for heartbeats: one submits one task after the other, one cancels old ones, one sends
    what is a worker's (which is dropped, and shows life all the same). Another, which says nothing for less long, is
    lost; these are not, and get their results.
    """
    holder = world.worker(queue_size=4)
    talkers = [world.client() for _ in range(3)]
    tasks = {talker: talker.submit() for talker in talkers}
    silent = world.client()
    other = silent.submit()
    for task in (*tasks.values(), other):
        world.dispatched(task)
    for talker in talkers:
        talker.silent = True
        world.note_event(talker, "sends no more heartbeats")
    silent.fence()
    silent.pause()

    def talk_on() -> None:
        task, old = world.new_task(), new_task_id()
        news: tuple[Message, ...] = (talkers[0].task_message(task), TaskCancel(old), TaskResult(old))
        for talker, message in zip(talkers, news, strict=True):
            talker.send(message, fence=False)

    lost = world.wait_until(lambda: bool(holder.inbox), meanwhile=talk_on)
    world.check("S9.1", lost, f"{silent.name} is lost", f"its task {other.name} was not cancelled", vital=True)
    for talker, task in tasks.items():
        result = holder.finish(task)
        handled_of_lost(talker)
        talker.expect(result, "S9.1")


# --- tasks that are not dispatched, tasks that are


@case("S9.7", title="the waiting tasks of a client that left", field_bugs=(17,))
def waiting_tasks(world: World) -> None:
    """A client leaves while its tasks wait among another's. The worker that comes gets the other's only."""
    leaving, staying = world.client(), world.client()
    forgotten, kept, more = leaving.submit(), staying.submit(), leaving.submit()
    leaving.disconnect()
    worker = world.worker()
    staying.expect(world.dispatched(kept).finish(kept), "S1.1")
    for task in (forgotten, more):
        worker.expect_nothing("S9.7", about=task)


def left_in_round(world: World, forces: tuple[bool, ...]) -> None:
    """The owner leaves with a round open: the holder is sent force if it was not yet, and nothing more."""
    owner, holder, task = dispatched_task(world)
    open_round(owner, holder, task, forces)
    owner.disconnect()
    if not any(forces):
        holder.expect_cancel(task, "S9.7", force=True)
    holder.expect_nothing("S9.7", about=task)


@case("S9.7", title="a client leaves while it cancels", field_bugs=(17,))
def round_open(world: World) -> None:
    """A cancel without force is with the holder when its owner leaves: one with force follows."""
    left_in_round(world, (False,))


@case("S9.7", title="a client leaves while it cancels with force", field_bugs=(17,))
def forced_round_open(world: World) -> None:
    """A cancel with force is with the holder when its owner leaves: there is nothing to add."""
    left_in_round(world, (True,))


@case("S9.7", title="a client leaves when force has overtaken its cancel", field_bugs=(17,))
def overtaken_round_open(world: World) -> None:
    """Two cancels are with the holder when their owner leaves, the second with force: there is nothing to add."""
    left_in_round(world, (False, True))


@case("S9.7", title="a client leaves during a move", profile=Profile.REBALANCING, field_bugs=(17,))
def move_open(world: World) -> None:
    """The holder is asked to give a task back when its owner leaves: a cancel with force follows. The task that is then
    given back goes nowhere.
    """
    owner, holder, _, task = asked_back(world)
    owner.disconnect()
    holder.expect_cancel(task, "S9.7", force=True)
    holder.confirm(task, CANCELED)
    for worker in world.workers:
        worker.expect_nothing("S9.7", about=task)


def left_with(world: World, holder: FakeWorker, owner: FakeClient, tasks: dict[TaskRef, tuple[bool, ...]]) -> None:
    """The owner leaves when these rounds are open for its tasks, and has heard all that the scheduler itself says."""
    for task, forces in tasks.items():
        open_round(owner, holder, task, forces)
    owner.disconnect()
    handled_of_lost(owner)
    owner.inbox.clear()
    holder.inbox.clear()


def nobody_hears(world: World, owner: FakeClient, *tasks: TaskRef) -> None:
    """Neither the client that left nor anybody else has heard of the tasks since."""
    handled_of_lost(owner)
    for task in tasks:
        for peer in (*world.clients, *(worker for worker in world.workers if worker.living)):
            peer.expect_nothing("S9.7", about=task)


@case("S9.7", title="what comes for a client that left", field_bugs=(17,))
def nothing_is_forwarded(world: World) -> None:
    """A client leaves with sixteen tasks, of which some are being cancelled, in each way. Their holder writes a line of
    each and ends or keeps it, in each way. Nobody hears of it.
    """
    owner, _, holder = world.client(), world.client(), world.worker(queue_size=16)
    answers = (None, CANCELED, CANCEL_FAILED, CANCEL_NOT_FOUND)
    kinds = list(product(((), *FORCES), answers))
    tasks = owner.submit_many(len(kinds))
    for task in tasks:
        world.dispatched(task)
    left_with(world, holder, owner, {task: forces for task, (forces, _) in zip(tasks, kinds, strict=True)})
    for task, (_, answer) in zip(tasks, kinds, strict=True):
        holder.log(task, "for nobody\n")
        if answer is None:
            holder.finish(task, TaskResultType.FAILED, fence=False)
        else:
            holder.confirm(task, answer, fence=False)
    holder.fence()
    nobody_hears(world, owner, *tasks)


def worker_leaves_too(world: World, holder: FakeWorker, *, losses: int) -> None:
    """A client leaves with tasks of which some are being cancelled, and that were lost with so many workers already.
    Then their holder leaves.
    """
    owner = world.client()
    tasks = owner.submit_many(1 + len(FORCES))
    holder = lost_until(world, holder, *tasks, losses=losses)
    left_with(world, holder, owner, dict(zip(tasks, ((), *FORCES), strict=True)))
    world.worker()
    holder.leave(fence=False)
    handled_of_lost(holder)
    nobody_hears(world, owner, *tasks)


@case("S9.7", title="a client leaves, then the worker of its tasks", field_bugs=(17,))
def worker_follows(world: World) -> None:
    """A client leaves, some of its tasks being cancelled; then their worker leaves. Nobody hears of the tasks, and
    nobody gets them.
    """
    worker_leaves_too(world, world.worker(), losses=0)


@case("S9.7", title="a client leaves, then the last worker that its tasks may be lost with", field_bugs=(17,))
def last_worker_follows(world: World) -> None:
    """The same with tasks that have been lost as often as tasks may be, but for once: no failedWorkerDied either."""
    fatal, idle = fatal_loss(world, 1 + len(FORCES))
    worker_leaves_too(world, idle, losses=fatal - 1)


@case("S9.7", title="the balancer and the tasks of a client that left", profile=Profile.REBALANCING, field_bugs=(17,))
def no_move_after_goodbye(world: World) -> None:
    """A client leaves with six tasks at a worker that has a seventh of another client's in the middle. An idle worker
    comes: the seventh is asked back, the others have been cancelled for good.
    """
    leaving, staying, holder = world.client(), world.client(), world.worker()
    unwanted = leaving.submit_many(3)
    kept = staying.submit()
    unwanted += leaving.submit_many(3)
    for task in (*unwanted, kept):
        world.dispatched(task)
    leaving.disconnect()
    for task in unwanted:
        holder.expect_cancel(task, "S9.7", force=True, vital=True)
    world.worker()
    asked = world.wait_until(lambda: bool(holder.inbox))
    for task in unwanted:
        holder.expect_nothing("S9.7", about=task)
    if not asked:
        world.unsupported(NO_MOVE)


# --- their places


def place_taken(world: World, forces: tuple[bool, ...] = ()) -> tuple[FakeClient, FakeWorker, TaskRef, TaskRef]:
    """The only worker is full with the task of a client that left, and another client's task waits."""
    leaving, staying = world.client(), world.client()
    holder = world.workers[0] if world.workers else world.worker(queue_size=1)
    task = leaving.submit()
    world.dispatched(task)
    waiting = staying.submit()
    open_round(leaving, holder, task, forces)
    leaving.disconnect()
    if not any(forces):
        holder.expect_cancel(task, "S9.7", force=True, vital=True)
    holder.expect_nothing("S9.7")
    return staying, holder, task, waiting


@case("S9.7", "S9.9", title="the place of a task whose client left", field_bugs=(17,))
def place_after_last_word(world: World) -> None:
    """A worker is full with the task of a client that left, or that left while it cancelled. The place is free when the
    worker has said `canceled`, and not before.
    """
    for forces in ((), *FORCES):
        staying, holder, task, waiting = place_taken(world, forces)
        holder.confirm(task, CANCELED)
        staying.expect(world.dispatched(waiting, "S9.9").finish(waiting), "S9.9")


@case("S9.9", title="each last word about a task whose client left", field_bugs=(17,))
def place_after_each_word(world: World) -> None:
    """The same where the worker ends the task before the cancel reaches it, or does not have it."""
    staying, holder, task, waiting = place_taken(world)
    holder.finish(task)
    staying.expect(world.dispatched(waiting, "S9.9").finish(waiting), "S9.9")
    staying, holder, task, waiting = place_taken(world)
    holder.confirm(task, CANCEL_NOT_FOUND)
    staying.expect(world.dispatched(waiting, "S9.9").finish(waiting), "S9.9")


@case("S9.7", "S9.9", title="a worker that cannot end the task of a client that left", field_bugs=(17,))
def place_after_refusal(world: World) -> None:
    """The same, but the worker refuses, and finishes the task later: only then is the place free."""
    staying, holder, task, waiting = place_taken(world)
    holder.confirm(task, CANCEL_FAILED)
    holder.expect_nothing("S9.7")
    holder.finish(task)
    staying.expect(world.dispatched(waiting, "S9.9").finish(waiting), "S9.9")
