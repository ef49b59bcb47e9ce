"""Section 4, S11.5: a client that asks for more than it may have, and more peers than there may be."""

from __future__ import annotations

from dataclasses import replace

from rescind.messages import ClientDisconnect, DisconnectType, Task, TaskResultType
from rescind_conformance.case import LIMIT, LIMIT_BYTES, LIMIT_PLACES, Profile, case
from rescind_conformance.cases.scheduler.graph_refusals import all_of
from rescind_conformance.cases.scheduler.graphs import Graph, graph_of, runs, submit, submitted
from rescind_conformance.cases.scheduler.losses import handled_of_lost, told_that_it_is_lost
from rescind_conformance.peers import CANCEL_NOT_FOUND, CANCELED, FakeClient, TaskRef
from rescind_conformance.world import World

HEAVY = bytes(LIMIT_BYTES * 2 // 7)
"""Metadata: three tasks with it fit into what a client may have, whatever else of them counts; four do not."""
FITTING = 3


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


@case("S11.5", "S9.7", title="a worker that takes any number, and answers nothing", profile=Profile.LIMITED_PLACES)
def too_many_tasks_of_a_worker(world: World) -> None:
    """Clients submit and leave, and a worker that takes any number of tasks answers none. When it has as many as it may
    have, another client's task waits: until the worker has said `canceled` of one of the others.
    """
    owner, hoarder = world.client(), world.worker(queue_size=2**32 - 1)
    abandoned: list[TaskRef] = []
    with world.unrecorded(hoarder, f"is given {LIMIT_PLACES} tasks, and answers nothing when their clients leave"):
        for _ in range(2):
            leaving = world.client()
            abandoned += [leaving.submit(fence=False) for _ in range(LIMIT_PLACES // 2)]
            leaving.disconnect()
        came = sum(isinstance(message, Task) for message in hoarder.inbox)
        world.check("S9.9", came == LIMIT_PLACES, f"W1 gets {LIMIT_PLACES} tasks", f"it got {came}", vital=True)
        hoarder.inbox.clear()
    task = owner.submit()
    hoarder.expect_nothing("S11.5", about=task)
    hoarder.confirm(abandoned[0], CANCELED)
    owner.expect(world.dispatched(task, "S9.7").finish(task), "S1.1")


def submit_heavy(client: FakeClient) -> TaskRef:
    """Submit a task with much metadata as one step."""
    task = client.world.new_task()
    client.send(replace(client.task_message(task), metadata=HEAVY))
    return task


@case("S11.5", title="a client with too many bytes", profile=Profile.LIMITED_BYTES)
def too_many_bytes(world: World) -> None:
    """A client's tasks take nearly as many bytes as they may, and it submits another: refused. Another client's is
    held. When a task of the first has been cancelled, and later when one has ended, there is room for another; and each
    that was held comes to the worker as it was submitted.
    """
    greedy, modest = world.client(), world.client()
    tasks = [submit_heavy(greedy) for _ in range(FITTING)]
    greedy.expect_nothing("S11.5")
    refused = submit_heavy(greedy)
    greedy.expect_confirm(refused, CANCEL_NOT_FOUND, "S11.5")
    kept = submit_heavy(modest)
    modest.expect_nothing("S11.5", about=kept)
    greedy.cancel(tasks[0])
    greedy.expect_confirm(tasks[0], CANCELED, "S3.1")
    accepted = submit_heavy(greedy)
    greedy.expect_nothing("S11.5", about=accepted)
    worker = world.worker()
    for task in (*tasks[1:], kept, accepted):
        world.dispatched(task, "S11.5")
    worker.expect_nothing("S11.5", about=refused)
    greedy.expect(worker.finish(accepted), "S1.1")
    world.dispatched(submit_heavy(greedy), "S11.5")


def heavy_graph(world: World, owner: FakeClient, names: str) -> Graph:
    """A graph, not submitted yet, of which each node has much metadata and needs none."""
    graph = graph_of(world, owner, dict.fromkeys(names, ""), names)
    nodes = tuple(replace(node, metadata=HEAVY) for node in graph.message.graph)
    return replace(graph, message=replace(graph.message, graph=nodes))


@case("S11.5", title="a graph with too many bytes", profile=Profile.LIMITED_BYTES)
def graph_with_too_many_bytes(world: World) -> None:
    """Each node of a graph would fit, and all of them do not: the graph is refused as a whole, and leaves nothing that
    takes room: one that fits is accepted. While that goes on a Task more is refused; when it has ended, another graph
    is accepted.
    """
    owner, _ = world.client(), world.worker()
    first = submitted(world, owner, {"a": ""}, "a")
    runs(world, owner, first["a"])
    first.ends(owner, TaskResultType.SUCCESS)
    beyond = heavy_graph(world, owner, "abcd")
    owner.send(beyond.message)
    for task in all_of(beyond, *"abcd"):
        owner.expect_confirm(task, CANCEL_NOT_FOUND, "S11.5", vital=True)
    for _ in range(2):
        fits = submit(world, owner, heavy_graph(world, owner, "abc"), "S11.5")
        refused = submit_heavy(owner)
        owner.expect_confirm(refused, CANCEL_NOT_FOUND, "S11.5")
        runs(world, owner, *fits.nodes.values())
        fits.ends(owner, TaskResultType.SUCCESS)
