"""Section 4: what a scheduler still does while it shuts down, and what becomes of tasks that are left at the end."""

from __future__ import annotations

from functools import partial

from rescind.messages import ClientShutdownResponse, Task, TaskCancelConfirm
from rescind_conformance.case import Profile, case
from rescind_conformance.cases.scheduler.dispatched import dispatched_task
from rescind_conformance.cases.scheduler.lost_clients import left_behind
from rescind_conformance.cases.scheduler.rebalancing import asked_back
from rescind_conformance.cases.scheduler.rounds import FORCES, open_round
from rescind_conformance.cases.scheduler.shutdown import NO_WAITING, TOLD, LastWords, asked_to_stop, goes_home, settles
from rescind_conformance.peers import CANCEL_FAILED, CANCEL_NOT_FOUND, CANCELED, FakeClient, FakeWorker, Peer, TaskRef
from rescind_conformance.trace import Echoes
from rescind_conformance.world import World

ROUND_TRIPS = 3
"""Heartbeats of one peer that have been echoed when the first of another should have been answered."""


def closing(world: World) -> tuple[LastWords, FakeClient, FakeWorker, TaskRef]:
    """A scheduler that has told the worker of one task to leave, and waits for it."""
    owner, holder, task = dispatched_task(world)
    last_words = asked_to_stop(world)
    last_words.wait_for(lambda: TOLD in holder.inbox)
    holder.expect(TOLD, "S9.10", vital=True)
    holder.gone = False  # it is still there
    return last_words, owner, holder, task


@case("S9.10", title="every worker is told to leave")
def all_workers(world: World) -> None:
    """Three workers are there when the scheduler shuts down, one of them with a task: each is told to leave, and the
    task is `canceled`.
    """
    owner, *_ = world.client(), world.worker(), world.worker(), world.worker()
    task = owner.submit()
    world.dispatched(task)
    last_words = asked_to_stop(world)
    for worker in world.workers:
        goes_home(last_words, worker)
    settles(last_words, owner, task)


def echoes(peer: Peer, since: int) -> int:
    """How many echoes a peer got after a place in the trace."""
    heard = peer.world.trace[since:]
    return sum(entry.receiver == peer.name and isinstance(entry.message, Echoes) for entry in heard)


@case("S9.10", title="a worker comes during the shutdown")
def worker_comes(world: World) -> None:
    """The scheduler waits for a worker to leave when another, connected already, sends its first heartbeat: it is told
    to leave as well.
    """
    late = world.worker(introduced=False)
    last_words, owner, holder, task = closing(world)
    seen = len(world.trace)
    late.beat()
    last_words.wait_for(lambda: TOLD in late.inbox)
    if TOLD not in late.inbox and echoes(owner, seen) < ROUND_TRIPS:
        world.unsupported(NO_WAITING)
    late.expect(TOLD, "S9.10")
    holder.leave(fence=False)
    settles(last_words, owner, task)


@case("S9.10", title="a worker that stays to the end")
def tasks_left(world: World) -> None:
    """A worker with four tasks, three of them being cancelled, in each way, is told to leave, and neither does nor
    answers. When the scheduler will wait no longer each task is `canceled`, and then it exits.
    """
    owner, holder = world.client(), world.worker()
    tasks = owner.submit_many(1 + len(FORCES))
    for task, forces in zip(tasks, ((), *FORCES), strict=True):
        world.dispatched(task)
        open_round(owner, holder, task, forces)
    settles(asked_to_stop(world), owner, *tasks)


@case("S9.10", title="a worker that stays with a task that it was asked for", profile=Profile.REBALANCING)
def move_left(world: World) -> None:
    """The same with a task that the worker was asked to give back and did not."""
    owner, _, _, task = asked_back(world)
    settles(asked_to_stop(world), owner, task)


@case("S9.10", title="a task waits while a worker is waited for")
def task_waits(world: World) -> None:
    """A worker is full and a task waits behind it when the scheduler shuts down. The task that waits is `canceled`,
    though the worker is still waited for.
    """
    owner, holder = world.client(), world.worker(queue_size=1)
    task = owner.submit()
    world.dispatched(task)
    waiting = owner.submit()
    last_words = asked_to_stop(world)
    last_words.wait_for(lambda: TOLD in holder.inbox)
    last_words.fence(owner)
    owner.expect_confirm(waiting, CANCELED, "S9.10")
    holder.leave(fence=False)
    settles(last_words, owner, task)


@case("S9.10", title="a worker leaves during the shutdown, and another stays")
def one_worker_leaves(world: World) -> None:
    """Two workers have a task each and are told to leave. One of them does: its task can no longer run and is
    `canceled`, though the other worker is still waited for.
    """
    owner, *_ = world.client(), world.worker(queue_size=1), world.worker(queue_size=1)
    task, other = owner.submit_many(2)
    leaving = world.dispatched(task)
    world.dispatched(other)
    last_words = asked_to_stop(world)
    goes_home(last_words, leaving)
    last_words.fence(leaving, owner)
    owner.expect_confirm(task, CANCELED, "S9.10")
    settles(last_words, owner, other)


@case("S9.7", "S9.10", title="a task of a client that left is left")
def abandoned_left(world: World) -> None:
    """A worker has a task of a client that left and one of another's, and stays. When the scheduler will wait no longer
    the other's is `canceled`; the client that left hears nothing.
    """
    leaving, holder, task = left_behind(world)
    owner = world.client()
    kept = owner.submit()
    world.dispatched(kept)
    holder.inbox.clear()
    settles(asked_to_stop(world), owner, kept)
    leaving.expect_nothing("S9.7", about=task)


@case("S9.10", title="a task is given back during the shutdown", profile=Profile.REBALANCING)
def given_back(world: World) -> None:
    """A worker was asked for a task before the shutdown and gives it back after: it goes to nobody and is `canceled` at
    once, though the worker is still waited for.
    """
    owner, holder, idle, task = asked_back(world)
    last_words = asked_to_stop(world)
    last_words.wait_for(lambda: TOLD in holder.inbox)
    holder.expect(TOLD, "S9.10", vital=True)
    holder.confirm(task, CANCELED, fence=False)
    last_words.fence(holder, owner)
    owner.expect_confirm(task, CANCELED, "S9.10", vital=True)
    last_words.exits("S9.10")
    owner.expect_nothing("S9.10", about=task)
    for worker in (holder, idle):
        dispatched = any(isinstance(message, Task) for message in worker.waiting(task))
        world.check("S9.10", not dispatched, f"{worker.name} gets no Task {task.name}", "it got it")


@case("S2.1", "S4.1", "S4.2", "S10.1", title="heartbeats and cancels during the shutdown")
def cancels_go_on(world: World) -> None:
    """The scheduler waits for a worker to leave. The owner of its task sends a heartbeat, cancels a task that nobody
    holds, and its own: answered as ever.
    """
    last_words, owner, holder, task = closing(world)
    seen, unknown = len(world.trace), world.new_task()
    owner.beat()
    for cancelled in (unknown, task):
        owner.cancel(cancelled, fence=False)
    owner.beat()
    last_words.wait_or_end(lambda: bool(owner.waiting(unknown)) or not owner.outstanding)
    world.check("S10.1", echoes(owner, seen) > 0, f"the heartbeat of {owner.name} is echoed", "no echo came")
    owner.expect_confirm(unknown, CANCEL_NOT_FOUND, "S2.1")
    last_words.fence(owner, holder)
    if owner.waiting(task):
        world.unsupported(NO_WAITING)
    holder.expect_cancel(task, "S4.1", vital=True)
    seen = len(world.trace)
    holder.beat()
    holder.confirm(task, CANCEL_FAILED, fence=False)
    holder.beat()
    last_words.wait_or_end(lambda: bool(owner.waiting(task)) or not holder.outstanding)
    last_words.wait_for(lambda: bool(owner.waiting(task)) and echoes(holder, seen) > 0)
    world.check("S10.1", echoes(holder, seen) > 0, f"the heartbeat of {holder.name} is echoed", "no echo came")
    owner.expect_confirm(task, CANCEL_FAILED, "S4.2")


@case("S1.1", title="results during the shutdown")
def results_go_on(world: World) -> None:
    """The scheduler waits for a worker to leave, which ends its task first. If the owner was not told `canceled` by
    then it gets the result.
    """
    last_words, owner, holder, task = closing(world)
    result = holder.finish(task, fence=False)
    last_words.fence(holder, owner)
    if TaskCancelConfirm(task.id, CANCELED) in owner.inbox:
        world.unsupported(NO_WAITING)
    owner.expect(result, "S1.1")


def answered(client: FakeClient) -> bool:
    """Whether a client was told whether the cluster shuts down, or will not be: its last heartbeat has been echoed."""
    return any(isinstance(message, ClientShutdownResponse) for message in client.inbox) or not client.outstanding


@case("S11.6", title="the shutdown is asked for twice", profile=Profile.CLOSABLE)
def asked_twice(world: World) -> None:
    """A client has asked for the shutdown, which waits for a worker, and another client asks for it: answered, too."""
    _, holder, _ = dispatched_task(world)
    first, second = world.client(), world.client()
    last_words = LastWords(world)
    world.stopping = True
    for client in (first, second):
        client.send(TOLD, fence=False)
        client.beat()
        last_words.wait_or_end(partial(answered, client))
        answers = [message for message in client.inbox if isinstance(message, ClientShutdownResponse)]
        happened = f"it got {len(answers)}"
        world.check("S11.6", len(answers) == 1, f"{client.name} gets one ClientShutdownResponse", happened, vital=True)
        if answers != [ClientShutdownResponse(True)]:
            world.unsupported("it does not let a client shut the cluster down")
    goes_home(last_words, holder)
