"""Section 4, S11.5: a client that asks for more than it may have, and more peers than there may be."""

from __future__ import annotations

from rescind.messages import ClientDisconnect, DisconnectType
from rescind_conformance.case import LIMIT, Profile, case
from rescind_conformance.cases.scheduler.losses import handled_of_lost, told_that_it_is_lost
from rescind_conformance.peers import CANCEL_NOT_FOUND, CANCELED
from rescind_conformance.world import World


@case("S11.5", title="a client with too many tasks", profile=Profile.LIMITED)
def too_many_tasks(world: World) -> None:
    """A client has as many tasks as it may, and submits another: refused. Another client may still submit; and the
    first may again when one of its tasks has ended.
    """
    greedy, modest = world.client(), world.client()
    tasks = greedy.submit_many(LIMIT)
    greedy.expect_nothing("S11.5")
    refused = greedy.submit()
    greedy.expect_confirm(refused, CANCEL_NOT_FOUND, "S11.5")
    kept = modest.submit()
    modest.expect_nothing("S11.5", about=kept)
    greedy.cancel(tasks[0])
    greedy.expect_confirm(tasks[0], CANCELED, "S3.1")
    accepted = greedy.submit()
    greedy.expect_nothing("S11.5", about=accepted)
    worker = world.worker(queue_size=LIMIT + 2)
    for task in (*tasks[1:], kept, accepted):
        world.dispatched(task, "S11.5")
    worker.expect_nothing("S11.5", about=refused)


@case("S11.5", title="too many clients", profile=Profile.LIMITED)
def too_many_clients(world: World) -> None:
    """There are as many clients as may be, and another comes: its heartbeat is answered `disconnect`, and its Task is
    refused. When one of the others has left there is room for a new one.
    """
    clients = [world.client() for _ in range(LIMIT)]
    task = clients[-1].submit()
    clients[-1].expect_nothing("S11.5", about=task)
    beyond = world.client(introduced=False)
    told_that_it_is_lost(beyond, DisconnectType.DISCONNECT, "S11.5")
    refused = beyond.submit(fence=False)
    handled_of_lost(beyond)
    beyond.expect_confirm(refused, CANCEL_NOT_FOUND, "S11.5")
    clients[0].disconnect()
    with world.unresponsive_means("S11.5"):
        new = world.client()
    accepted = new.submit()
    worker = world.worker()
    for held in (task, accepted):
        world.dispatched(held, "S11.5")
    worker.expect_nothing("S11.5", about=refused)


@case("S11.5", title="too many workers", profile=Profile.LIMITED)
def too_many_workers(world: World) -> None:
    """There are as many workers as may be, all full, and another comes: its heartbeat is answered `disconnect`, and it
    gets no task. When one of the others has left there is room for a new one.
    """
    owner = world.client()
    workers = [world.worker(queue_size=0) for _ in range(LIMIT)]
    task = owner.submit()
    beyond = world.worker(introduced=False)
    told_that_it_is_lost(beyond, DisconnectType.DISCONNECT, "S11.5")
    beyond.expect_nothing("S11.5", about=task)
    workers[0].leave(fence=False)
    handled_of_lost(workers[0])
    with world.unresponsive_means("S11.5"):
        new = world.worker()
    dismissed = ClientDisconnect(DisconnectType.DISCONNECT) in new.inbox
    world.check("S11.5", not dismissed, f"{new.name} is taken", "it was told to leave", vital=True)
    world.dispatched(task, "S11.5")
