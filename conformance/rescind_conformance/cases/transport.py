"""Section 2, "Transport and framing"."""

from __future__ import annotations

from rescind.messages import TaskCancel, TaskCancelConfirm
from rescind_conformance.case import case
from rescind_conformance.peers import CANCELED
from rescind_conformance.world import World, new_task_id


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
