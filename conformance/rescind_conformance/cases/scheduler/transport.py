"""Section 2, "Transport and framing"."""

from __future__ import annotations

from collections import Counter

from rescind.messages import ClientDisconnect, TaskCancel, TaskCancelConfirm, TaskResult, TaskResultType
from rescind_conformance.case import case
from rescind_conformance.findings import new_task_id
from rescind_conformance.peers import CANCELED, TaskRef, Unreadable
from rescind_conformance.world import World

MANY = 3000
FENCED = 500
"""Of so many messages, the last is fenced."""
LONG = 10_000
"""Bytes of metadata, so that the results do not fit into the buffers of sockets and kernels."""


@case("T2", title="what a scheduler sends is one message in one frame")
def well_formed_frames(world: World) -> None:
    """A task runs, one is cancelled at its holder, one before it has any: each message that comes can be read. (So is
    every message of every other case: what cannot be read is a departure there.)
    """
    owner, worker = world.client(), world.worker(queue_size=2)
    done, cancelled = owner.submit_many(2)
    for task in (done, cancelled):
        world.dispatched(task)
    waiting = owner.submit()
    for task in (waiting, cancelled):
        owner.cancel(task)
    worker.expect_cancel(cancelled, "S4.1", vital=True)
    worker.confirm(cancelled, CANCELED)
    worker.finish(done)
    received = [message for peer in (owner, worker) for message in peer.inbox]
    readable = len(received) == 3 and not any(isinstance(message, Unreadable) for message in received)
    happened = ", ".join(world.describe(message) for message in received) or "nothing"
    world.check("T2", readable, "C1 gets canceled twice and a result", f"the peers got {happened}")


@case("T3", title="a connection keeps its order")
def order_of_a_connection(world: World) -> None:
    """A client sends fifty pairs of Task and TaskCancel in one breath: fifty `canceled` come, in that order."""
    owner = world.client()
    tasks = []
    for _ in range(50):
        tasks.append(owner.submit(fence=False))
        owner.cancel(tasks[-1], fence=False)
    owner.fence()
    expected = [TaskCancelConfirm(task.id, CANCELED) for task in tasks]
    happened = ", ".join(world.describe(message) for message in owner.inbox) or "nothing"
    world.check("T3", owner.inbox == expected, "C1 gets canceled for T1, T2... T50 in order", f"C1 got {happened}")
    owner.inbox.clear()


@case("T5", title="a client that does not read")
def client_that_does_not_read(world: World) -> None:
    """A client asks ten thousand times and never reads an answer. Whoever else is there is served all the same."""
    owner, _ = world.client(), world.worker()
    deaf = world.client(receive_queue=1)
    world.ignore(deaf)
    with world.unrecorded(deaf, "sends 10000 TaskCancels of unknown tasks and reads nothing"):
        for number in range(1, 10_001):
            deaf.send(TaskCancel(new_task_id()), fence=False)
            if number % FENCED == 0:  # by another: whoever does not read cannot be fenced
                with world.unresponsive_means("T5"):
                    world.fence([owner])
    with world.unresponsive_means("T5"):
        for _ in range(20):
            task = owner.submit()
            owner.expect(world.dispatched(task, "T5").finish(task), "T5")


@case("S1.1", "T6", title="a client that reads late")
def client_that_reads_late(world: World) -> None:
    """A client has three thousand tasks that run, and does not read while their results come; then it reads. It gets
    three thousand results: none was thrown away because it did not read in time.
    """
    client, worker = world.client(receive_queue=1), world.worker(queue_size=MANY)
    with world.unrecorded(client, f"submits {MANY} tasks, and does not read while their results come"):
        tasks = [TaskRef(new_task_id(), "") for _ in range(MANY)]
        # Fenced now and then: the deadline is not for all of it together.
        for number, task in enumerate(tasks, start=1):
            client.submit(task, fence=number % FENCED == 0)
        world.fence([worker])
        worker.inbox.clear()
        world.ignore(client)
        for number, task in enumerate(tasks, start=1):
            result = TaskResult(task.id, TaskResultType.SUCCESS, bytes(LONG))
            worker.send(result, fence=number % FENCED == 0)
        world.heed(client)
        while True:  # as long as something comes
            seen = len(client.inbox)
            world.fence([client], unanswered_is_fine=True)  # the echo may have been thrown away too
            if not client.outstanding or len(client.inbox) == seen:
                break
    if any(isinstance(message, ClientDisconnect) for message in client.inbox):
        world.unsupported("it takes a client whose queue is full as lost")
    results = Counter(message.task_id for message in client.inbox if isinstance(message, TaskResult))
    once = sum(results[task.id] == 1 for task in tasks)
    expected, happened = f"{client.name} gets {MANY} results", f"it got those of {once} tasks"
    client.inbox.clear()
    client.silent = True  # the fences of the end would be answered as this one was
    for requirement in ("T6", "S1.1"):
        world.check(requirement, once == MANY, expected, happened)
