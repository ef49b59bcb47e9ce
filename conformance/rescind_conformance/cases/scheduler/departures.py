"""Section 4, S11.4: a peer that departs disturbs nobody else."""

from __future__ import annotations

from rescind_conformance.case import case
from rescind_conformance.cases.scheduler.losses import handled_of_lost
from rescind_conformance.world import World


@case("S11.4", title="results for a client that was killed", field_bugs=(6, 15))
def killed_client(world: World) -> None:
    """A client is killed as the results of its ten tasks come (Scaler PRs 900 and 927). Sending them fails, and another
    client gets its own all the same.
    """
    killed, staying, holder = world.client(), world.client(), world.worker(queue_size=20)
    lost, kept = killed.submit_many(10), staying.submit_many(10)
    for task in (*lost, *kept):
        world.dispatched(task)
    killed.cut()
    with world.unresponsive_means("S11.4"):
        for one, other in zip(lost, kept, strict=True):
            holder.finish(one)
            staying.expect(holder.finish(other), "S11.4")


@case("S11.4", title="tasks and cancels for a worker that was killed", field_bugs=(15,))
def killed_worker(world: World) -> None:
    """A worker is killed, and before that is noticed its tasks are cancelled and others dispatched to it. Another
    worker gets tasks and cancels as before.
    """
    owner, killed = world.client(), world.worker(queue_size=10)
    lost = owner.submit_many(5)
    for task in lost:
        world.dispatched(task)
    killed.cut()
    with world.unresponsive_means("S11.4"):
        for task in owner.submit_many(5):
            owner.cancel(task, force=True)
        for task in lost:
            owner.cancel(task)
        serves(world)


@case("S11.4", title="a client leaves in the middle of its results", field_bugs=(15,))
def leaving_client(world: World) -> None:
    """A client says good-bye while the results of its tasks come between another's. The other gets all of its own."""
    leaving, staying, holder = world.client(), world.client(), world.worker(queue_size=20)
    unwanted, kept = leaving.submit_many(10), staying.submit_many(10)
    for task in (*unwanted, *kept):
        world.dispatched(task)
    results = []
    for number, (one, other) in enumerate(zip(unwanted, kept, strict=True)):
        holder.finish(one, fence=False)
        results.append(holder.finish(other, fence=False))
        if number == 5:
            leaving.disconnect(fence=False)
            handled_of_lost(leaving)
    holder.fence()
    for result in results:
        staying.expect(result, "S11.4")


@case("S11.4", title="peers that only look in", field_bugs=(15,))
def passing_peers(world: World) -> None:
    """Ten clients are killed after their first word, and ten workers as soon as they are full. The others are served as
    before, whether that was taken for the loss of those workers or not.
    """
    owner = world.client()
    with world.unresponsive_means("S11.4"):
        for _ in range(10):
            world.client().cut()
            passing = world.worker(queue_size=1)
            owner.submit()
            full = world.wait_until(lambda passing=passing: bool(passing.waiting()))  # type: ignore[misc]
            world.check("S11.4", full, f"{passing.name} gets a task", "it got none", vital=True)
            passing.cut()
        serves(world)


@case("S11.4", title="a client leaves, and others stay", field_bugs=(15,))
def others_stay(world: World) -> None:
    """A client and a worker say good-bye while two others of each are there. Those hear nothing, and are served."""
    leaving, *staying = [world.client() for _ in range(3)]
    going, *working = [world.worker() for _ in range(3)]
    leaving.disconnect()
    going.leave()
    for peer in (*staying, *working):
        peer.expect_nothing("S11.4")
    for client in staying:
        task = client.submit()
        client.expect(world.dispatched(task, "S11.4").finish(task), "S11.4")


def serves(world: World) -> None:
    """A new client has a task run, and one cancelled."""
    client = world.client()
    world.worker(queue_size=100)
    done = client.submit()
    client.expect(world.dispatched(done, "S11.4").finish(done), "S11.4")
    cancelled = client.submit()
    holder = world.dispatched(cancelled, "S11.4")
    client.cancel(cancelled)
    holder.expect_cancel(cancelled, "S11.4")
