"""What a case can see of a peer that was lost, and of the tasks that a lost worker had."""

from __future__ import annotations

from rescind.messages import ClientDisconnect, DisconnectType, Message, Task, TaskResult, TaskResultType
from rescind.trace import describe
from rescind_conformance.peers import FakeClient, FakeWorker, Peer, TaskRef
from rescind_conformance.trace import Echoes
from rescind_conformance.world import World

NEVER_AGAIN = "it does not place the task of a lost worker again"
REMEMBERED = 1000
"""How many lost peers a scheduler remembers at least (S9.6, S9.8)."""
LOSSES = 10
"""How many workers a task should be lost with at most (S9.4)."""


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
    """A lost peer's heartbeat is answered with ClientDisconnect, and not echoed; other things may be said beside it."""
    wanted = ClientDisconnect(kind)
    heard = handled_of_lost(peer)
    peer.inbox[:] = [message for message in peer.inbox if message != wanted]
    names = peer.world.names
    happened = f"{peer.name} got {', '.join(describe(message, names) for message in heard) or 'nothing'}"
    expected = f"{peer.name}, which is lost, gets {describe(wanted, names)} and no echo"
    holds = wanted in heard and not any(isinstance(message, Echoes) for message in heard)
    peer.world.check(requirement, holds, expected, happened, vital=vital)


def owner_among(world: World, task: TaskRef) -> FakeClient:
    """The client of the case that has submitted a task."""
    return next(client for client in world.clients if client.routing_id == world.owner_of(task))


def worker_died(owner: FakeClient, task: TaskRef) -> bool:
    """Whether the owner was sent failedWorkerDied for the task."""
    return any(
        isinstance(message, TaskResult) and message.result_type == TaskResultType.FAILED_WORKER_DIED
        for message in owner.waiting(task)
    )


def dispatched_or_died(world: World, task: TaskRef) -> FakeClient | None:
    """Wait until a task of a lost worker has gone to another, or its owner was told failedWorkerDied.

    Returns the owner in the latter case: then the task has gone to nobody.
    """
    owner = owner_among(world, task)

    def dispatched() -> bool:
        return any(isinstance(message, Task) for worker in world.workers for message in worker.waiting(task))

    world.wait_until(lambda: dispatched() or worker_died(owner, task))
    if not worker_died(owner, task):
        return None
    for worker in world.workers:
        if worker.living:
            worker.expect_nothing("S1.2", about=task)
    return owner


def placed_again(world: World, task: TaskRef, requirement: str = "S9.3") -> FakeWorker:
    """The worker that got the task of a lost one. The case ends where the owner is told failedWorkerDied instead."""
    died = dispatched_or_died(world, task)
    holder = world.dispatched(task, requirement) if died is None else None
    world.check(requirement, True, f"Task {task.name} is dispatched again, or failedWorkerDied told", "it was")
    if holder is None:
        world.unsupported(NEVER_AGAIN)
    return holder


def waiting_again(world: World, small: FakeWorker, *tasks: TaskRef) -> list[TaskRef]:
    """Of the tasks of a lost worker, those that wait because the only other worker has one place, which one of them
    got.

    The case ends where the owner is told failedWorkerDied instead.
    """

    def died() -> bool:
        return any(worker_died(owner_among(world, task), task) for task in tasks)

    world.wait_until(lambda: bool(small.waiting()) or died())
    if died():
        world.unsupported(NEVER_AGAIN)
    placed = [task for task in tasks if small.waiting(task)]
    happened = f"it got {len(placed)}"
    world.check("S9.3", len(placed) == 1, f"{small.name} gets one of {len(tasks)} tasks", happened, vital=True)
    small.expect_task(placed[0], "S9.3")
    return [task for task in tasks if task not in placed]


def lost_until(world: World, holder: FakeWorker, *tasks: TaskRef, losses: int) -> FakeWorker:
    """The worker that has the tasks after so many others have left with them, the given one first."""
    for _ in range(losses):
        for task in tasks:
            placed_again(world, task)
        holder.leave(fence=False)
        holder = world.worker(queue_size=len(tasks))
    for task in tasks:
        placed_again(world, task)
    return holder


def fatal_loss(world: World, queue_size: int) -> tuple[int, FakeWorker]:
    """At which loss of its worker a task is given up, 1 for the first, and an idle worker that takes so many tasks.

    The case ends where that is beyond the tenth.
    """
    owner = world.client()
    task = owner.submit()
    losses = 0
    holder = world.worker(queue_size)
    while dispatched_or_died(world, task) is None:
        if losses == LOSSES:
            world.unsupported(f"it does not give a task up that was lost with {LOSSES} workers")
        world.dispatched(task, "S9.3").leave(fence=False)
        losses += 1
        holder = world.worker(queue_size)
    owner.inbox.clear()
    return losses, holder
