"""Section 2, T5 and T6: peers that do not read, where what may wait for them is limited."""

from __future__ import annotations

from dataclasses import replace

from rescind.messages import Task, TaskCancel, TaskResult, TaskResultType
from rescind_conformance.case import LIMIT_QUEUE, Profile, case
from rescind_conformance.peers import CANCELED, FakeWorker, Peer
from rescind_conformance.world import World

MANY = 4 * LIMIT_QUEUE
LONG = bytes(200_000)
"""Metadata: so many messages with it, 16 MB, are more than the buffers of kernels and a full queue take."""
AT_ONCE = LIMIT_QUEUE // 2
"""Tasks that a worker takes which reads: as many messages may come for it in one step, and be no sign of anything."""


def is_lost(peer: Peer) -> bool:
    """Whether a peer that reads again is told that it was lost. It asks until it is answered: an answer may have been
    thrown away while its queue was still full.
    """
    asked = 0

    def ask() -> None:
        nonlocal asked
        asked += 1
        peer.beat()

    peer.world.heed(peer)
    peer.silent = True  # nothing else of it is fenced: how many of its heartbeats are answered is open
    ask()
    peer.world.wait_until(lambda: peer.outstanding < asked, meanwhile=ask)
    return peer.dismissed


def work(world: World, worker: FakeWorker, count: int, metadata: bytes = b"") -> int:
    """The worker ends each task that comes, until it has had so many, or it is told to cancel one, or none comes.

    Returns how many it has had.
    """

    def fresh() -> list[bytes]:
        return [message.task_id for message in worker.inbox if isinstance(message, Task)]

    ended = 0
    while ended < count and world.wait_until(lambda: bool(worker.inbox)):
        come = fresh()
        if len(come) < len(worker.inbox):
            break
        worker.inbox.clear()
        for task_id in come:
            worker.send(TaskResult(task_id, TaskResultType.SUCCESS, metadata), fence=False)
        ended += len(come)
    return ended


@case("T5", "T6", title="a client whose queue is full", profile=Profile.LIMITED_QUEUES)
def client_does_not_read(world: World) -> None:
    """A client does not read while the results of its tasks come, more than may wait. Another's cancel goes its way.
    When the first reads again it has every result; or it is told that it was lost, and its other tasks were cancelled.
    """
    deaf, other, worker = world.client(receive_queue=1), world.client(), world.worker(AT_ONCE)
    task = other.submit()
    world.dispatched(task)
    with world.unrecorded(deaf, f"submits {MANY} tasks, and does not read while their results come"):
        tasks = deaf.submit_many(MANY)
        world.ignore(deaf)
        with world.unresponsive_means("T5"):
            work(world, worker, MANY, LONG)
        other.cancel(task)
        worker.expect_cancel(task, "T5", vital=True)
        worker.confirm(task, CANCELED)
        other.expect_confirm(task, CANCELED, "T5")
        cancelled = [message for message in worker.inbox if isinstance(message, TaskCancel) and message.force]
        worker.inbox.clear()
        if is_lost(deaf):
            deaf.inbox.clear()
            world.check("T6", bool(cancelled), f"{deaf.name} is lost, and its tasks are cancelled", "none was")
            return
        results = [message.task_id for message in deaf.inbox if isinstance(message, TaskResult)]
        deaf.inbox.clear()
    every = sorted(results) == sorted(each.id for each in tasks)
    world.check("T6", every, f"{deaf.name} gets {MANY} results, each once", f"it got {len(results)}")


@case("T5", "T6", title="a worker whose queue is full", profile=Profile.LIMITED_QUEUES)
def worker_does_not_read(world: World) -> None:
    """A worker does not read while more tasks come for it than may wait. Another client's task waits, and is cancelled.
    When the worker reads again it has every task; or it is told that it was lost, and one that comes gets every task.
    """
    deaf, owner, other = world.worker(MANY, receive_queue=1), world.client(), world.client()
    world.ignore(deaf)
    with world.unrecorded(deaf, f"does not read while {MANY} tasks come for it"):
        for _ in range(MANY):
            owner.send(replace(owner.task_message(world.new_task()), metadata=LONG), fence=False)
        with world.unresponsive_means("T5"):
            world.fence([owner])
            waiting = other.submit()
        other.cancel(waiting)
        other.expect_confirm(waiting, CANCELED, "T5")
        if is_lost(deaf):
            deaf.inbox.clear()
            received = work(world, world.worker(AT_ONCE), MANY)
            owner.inbox.clear()
            world.check("T6", received == MANY, f"{deaf.name} is lost, W2 gets its {MANY} tasks", f"it got {received}")
            return
        received = len({message.task_id for message in deaf.inbox if isinstance(message, Task)})
        deaf.inbox.clear()
    world.check("T6", received == MANY, f"{deaf.name} gets {MANY} tasks", f"it got {received}")
