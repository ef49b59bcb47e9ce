"""Section 2, "Transport and framing"."""

from __future__ import annotations

from rescind.messages import TaskCancel, TaskCancelConfirm
from rescind_conformance.case import case
from rescind_conformance.peers import CANCELED, Unreadable
from rescind_conformance.world import World, new_task_id


@case("T2", title="what a scheduler sends is one message in one frame")
def well_formed_frames(world: World) -> None:
    """A task runs, one is cancelled at its holder, one before it has any: each message that comes can be read. (So is
    every message of every other case: what cannot be read is a departure there.)
    """
    owner, worker = world.client(), world.worker(queue_size=2)
    done, cancelled, waiting = owner.submit_many(3)
    for task in (done, cancelled):
        world.dispatched(task)
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
        for _ in range(10_000):
            deaf.send(TaskCancel(new_task_id()), fence=False)
    with world.unresponsive_means("T5"):
        for _ in range(20):
            task = owner.submit()
            owner.expect(world.dispatched(task, "T5").finish(task), "T5")
