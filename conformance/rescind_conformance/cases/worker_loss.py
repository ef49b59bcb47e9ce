"""Section 4, "Loss of a worker": what becomes of it, and of the tasks that it held."""

from __future__ import annotations

from rescind.messages import (
    ClientDisconnect,
    DisconnectType,
    Message,
    Task,
    TaskLog,
    TaskResult,
    TaskResultType,
)
from rescind.trace import describe
from rescind_conformance.case import Profile, case
from rescind_conformance.cases.dispatched import dispatched_task
from rescind_conformance.cases.rebalancing import asked_back
from rescind_conformance.peers import CANCEL_FAILED, CANCELED, FakeClient, FakeWorker, Peer, TaskRef
from rescind_conformance.world import World

REMEMBERED = 1000
"""How many lost peers a scheduler remembers at least (S9.6, S9.8)."""
LOSSES = 10
"""More workers than a task should be lost with (S9.4)."""


def handled_of_lost(peer: Peer) -> list[Message]:
    """What a peer that left or was lost hears up to the answer to a heartbeat, whatever that is.

    Then all that it sent before has been handled, and what that caused has come.
    """
    seen = len(peer.world.trace)
    peer.beat()
    peer.world.wait_until(lambda: not peer.outstanding)
    heard = peer.world.trace[seen:]
    return [entry.message for entry in heard if entry.receiver == peer.name and entry.message is not None]


def told_that_it_is_lost(peer: Peer, kind: DisconnectType, requirement: str, *, vital: bool = False) -> None:
    """A lost peer's heartbeat is answered with ClientDisconnect, and not echoed."""
    wanted = ClientDisconnect(kind)
    heard = handled_of_lost(peer)
    peer.inbox[:] = [message for message in peer.inbox if message != wanted]
    names = peer.world.names
    happened = f"{peer.name} got {', '.join(describe(message, names) for message in heard) or 'nothing'}"
    expected = f"{peer.name}, which is lost, gets {describe(wanted, names)} and no echo"
    peer.world.check(requirement, heard == [wanted], expected, happened, vital=vital)


def worker_died(owner: FakeClient, task: TaskRef) -> bool:
    """Whether the owner was sent failedWorkerDied for the task."""
    return any(
        isinstance(message, TaskResult) and message.result_type == TaskResultType.FAILED_WORKER_DIED
        for message in owner.waiting(task)
    )


def dispatched_or_died(world: World, task: TaskRef) -> FakeClient | None:
    """Wait until a task of a lost worker has gone to another, or its owner was told failedWorkerDied.

    Returns the owner in the latter case.
    """
    owner = next(client for client in world.clients if client.routing_id == world.owner_of(task))

    def dispatched() -> bool:
        return any(isinstance(message, Task) for worker in world.workers for message in worker.waiting(task))

    world.wait_until(lambda: dispatched() or worker_died(owner, task))
    return owner if worker_died(owner, task) else None


def placed_again(world: World, task: TaskRef, requirement: str = "S9.3") -> FakeWorker:
    """The worker that got the task of a lost one. The case ends where the owner is told failedWorkerDied instead."""
    died = dispatched_or_died(world, task)
    holder = world.dispatched(task, requirement) if died is None else None
    world.check(requirement, True, f"Task {task.name} is dispatched again, or failedWorkerDied told", "it was")
    if holder is None:
        world.unsupported("it does not place the task of a lost worker again")
    return holder


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


@case("S9.1", "S9.3", title="a worker falls silent", profile=Profile.SHORT_TIMEOUTS)
def silence(world: World) -> None:
    """A worker is killed while it holds a task. After the worker time-out the task is placed at another."""
    owner, killed, task = dispatched_task(world)
    world.worker()
    killed.cut()
    holder = placed_again(world, task, "S9.1")
    owner.expect(holder.finish(task), "S9.3")
    owner.expect_nothing("S9.3", about=task)


@case("S9.1", title="a worker that talks is alive", profile=Profile.SHORT_TIMEOUTS)
def talking(world: World) -> None:
    """A worker streams what its task writes and finds no time for heartbeats. Another, which says nothing for less
    long, is lost; the talking one is not, and its result counts.
    """
    owner, talking = world.client(), world.worker(queue_size=1)
    task = owner.submit()
    world.dispatched(task)
    silent = world.worker(queue_size=1)
    other = owner.submit()
    world.dispatched(other)
    world.worker(queue_size=1)
    talking.silent = True
    world.note_event(talking, "sends no more heartbeats")
    silent.fence()
    silent.pause()
    line = TaskLog(task.id, content="still here\n")
    spare = world.workers[-1]
    lost = world.wait_until(
        lambda: bool(spare.waiting()) or worker_died(owner, other),
        meanwhile=lambda: talking.send(line, fence=False),
    )
    world.check("S9.1", lost, f"{silent.name} is lost", f"its task {other.name} was not placed again", vital=True)
    result = talking.finish(task, fence=False)
    handled_of_lost(talking)
    owner.expect(result, "S9.1")


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
    tasks = owner.submit_many(3)
    for task, rounds in zip(tasks, ((False,), (True,), (False, True)), strict=True):
        world.dispatched(task)
        for force in rounds:
            owner.cancel(task, force=force)
        holder.expect_cancel(task, "S4.1", force=rounds[0], vital=True)
    world.worker()
    return owner, holder, tasks


@case("S9.2", title="a worker leaves while its tasks are being cancelled")
def goodbye_in_rounds(world: World) -> None:
    """Three cancels are with a worker, one of them overtaken by force, and it says good-bye: each is `canceled`, once,
    and none is placed again.
    """
    owner, leaving, tasks = rounds_open(world)
    leaving.leave(fence=False)
    canceled_once(world, owner, *tasks)


@case("S9.2", title="a worker falls silent while its tasks are being cancelled", profile=Profile.SHORT_TIMEOUTS)
def silence_in_rounds(world: World) -> None:
    """The same, and the worker is killed: the owner waits for the worker time-out, not for ever."""
    owner, killed, tasks = rounds_open(world)
    killed.cut()
    canceled_once(world, owner, *tasks)


@case("S9.2", title="the lost worker answers the cancel", profile=Profile.SHORT_TIMEOUTS)
def late_answer(world: World) -> None:
    """A worker with a cancel is paused past its time-out and the owner told `canceled`. It wakes and answers, once for
    each way there is: dropped.
    """
    owner, paused, task = dispatched_task(world)
    world.worker()
    owner.cancel(task, force=True)
    paused.expect_cancel(task, "S4.1", force=True, vital=True)
    paused.pause()
    canceled_once(world, owner, task)
    paused.finish(task, fence=False)
    for answer in (CANCELED, CANCEL_FAILED):
        paused.confirm(task, answer, fence=False)
    handled_of_lost(paused)
    owner.expect_nothing("S9.2", about=task)


# --- tasks that are placed again


@case("S9.3", title="the tasks of the last worker wait")
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


@case("S9.3", "S7.2", title="a worker leaves during a move", profile=Profile.REBALANCING)
def goodbye_in_move(world: World) -> None:
    """A worker dies with the TaskCancel of a move unanswered (Scaler PR 883). The task is not lost with it: it is
    placed again, and the owner hears nothing but its result.
    """
    owner, leaving, _, task = asked_back(world)
    leaving.leave(fence=False)
    holder = placed_again(world, task)
    owner.expect_nothing("S7.2", about=task)
    owner.expect(holder.finish(task), "S9.3")


@case("S9.4", title="a task that is lost with each of its workers")
def deadly_task(world: World) -> None:
    """Each worker that gets the task says good-bye at once. When ten of them have gone the owner has been told
    failedWorkerDied.
    """
    owner = world.client()
    task = owner.submit()
    for _ in range(LOSSES):
        world.worker(queue_size=1)
        if dispatched_or_died(world, task):
            break
        world.dispatched(task, "S9.3").leave(fence=False)
    else:
        world.worker(queue_size=1)
        dispatched_or_died(world, task)
    expected, happened = f"{owner.name} gets TaskResult failedWorkerDied", f"it was placed after {LOSSES} losses"
    world.check("S9.4", worker_died(owner, task), expected, happened)


# --- one step


@case("S9.5", title="a worker leaves while much is being done")
def goodbye_in_traffic(world: World) -> None:
    """A worker with forty tasks says good-bye while their owner cancels half of them and submits more. Whichever is
    handled first, each cancelled task is either `canceled` with the worker or cancelled where it went, and each other
    one has one new holder.
    """
    owner, leaving = world.client(), world.worker(queue_size=40)
    tasks = owner.submit_many(40)
    for task in tasks:
        world.dispatched(task)
    world.worker(queue_size=100)
    leaving.leave(fence=False)
    for task in tasks[::2]:
        owner.cancel(task, fence=False)
        tasks.append(owner.submit(fence=False))
    for task in (*tasks[1:40:2], *tasks[40:]):
        placed_again(world, task, "S9.5")
    for task in tasks[0:40:2]:
        fate_of_cancelled(world, owner, task)


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


@case("S9.5", title="a worker leaves while its tasks are moved", profile=Profile.REBALANCING)
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


# --- a lost worker stays lost


@case("S9.6", title="a worker that left and goes on")
def heartbeat_after_goodbye(world: World) -> None:
    """A worker says good-bye, and sends heartbeats all the same: it is told `disconnect`, then `shutdown`."""
    _, leaving, task = dispatched_task(world)
    world.worker()
    leaving.leave(fence=False)
    placed_again(world, task)
    told_that_it_is_lost(leaving, DisconnectType.DISCONNECT, "S9.6", vital=True)
    told_that_it_is_lost(leaving, DisconnectType.SHUTDOWN, "S9.6")


@case("S9.6", title="a paused worker wakes", profile=Profile.SHORT_TIMEOUTS)
def heartbeat_after_silence(world: World) -> None:
    """A worker is paused past its time-out and its task placed elsewhere. Its first heartbeat after that tells it that
    it holds nothing: `disconnect`; if it goes on, `shutdown`.
    """
    _, paused, task = dispatched_task(world)
    world.worker()
    paused.pause()
    placed_again(world, task)
    told_that_it_is_lost(paused, DisconnectType.DISCONNECT, "S9.6", vital=True)
    told_that_it_is_lost(paused, DisconnectType.SHUTDOWN, "S9.6")


@case("S9.6", "S8.1", title="a paused worker wakes and reports", profile=Profile.SHORT_TIMEOUTS)
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
