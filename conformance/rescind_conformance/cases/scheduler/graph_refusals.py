"""Section 14: which graphs are refused, and how."""

from __future__ import annotations

from dataclasses import replace

from rescind.messages import GraphTask, TaskResultType
from rescind_conformance.case import case
from rescind_conformance.cases.scheduler.dispatched import dispatched_task
from rescind_conformance.cases.scheduler.graphs import Graph, graph_of, submitted
from rescind_conformance.cases.scheduler.losses import handled_of_lost
from rescind_conformance.peers import CANCEL_NOT_FOUND, FakeClient, TaskRef
from rescind_conformance.world import World


def is_refused(world: World, sender: FakeClient, message: GraphTask, *answered: TaskRef, fence: bool = True) -> None:
    """`cancelNotFound` for each of these, the last of them the graph, in an order that ends with it; nothing runs."""
    sender.send(message, fence=fence)
    if not fence:
        handled_of_lost(sender)
    last = next((m for m in reversed(sender.inbox) if getattr(m, "task_id", None)), None)
    world.check(
        "S12.2",
        last is None or getattr(last, "task_id", b"") == answered[-1].id,
        "the graph's id is answered last",
        "something came after it",
    )
    for task in answered:
        sender.expect_confirm(task, CANCEL_NOT_FOUND, "S12.2" if task is not answered[-1] else "S12.1")
    if fence:
        sender.expect_nothing("S12.2")
    for worker in world.workers:
        worker.expect_nothing("S12.1")


def all_of(graph: Graph, *targets: str) -> tuple[TaskRef, ...]:
    """What is answered if a graph with these targets is refused."""
    return (*(graph[name] for name in targets), graph.ref)


@case("S12.1", "S12.2", title="a cycle")
def cycle(world: World) -> None:
    """Two nodes need each other; a node needs itself. Neither graph could ever end: both are refused, and the graph of
    another client runs.
    """
    owner, other, _ = world.client(), world.client(), world.worker()
    for needs in ({"a": "b", "b": "a", "c": ""}, {"a": "a"}):
        graph = graph_of(world, owner, needs, "a")
        is_refused(world, owner, graph.message, *all_of(graph, "a"))
    served = submitted(world, other, {"a": ""}, "a")
    other.expect(world.dispatched(served["a"]).finish(served["a"]), "S1.1")
    served.ends(other, TaskResultType.SUCCESS)


@case("S12.1", "S12.2", title="a node that is missing")
def missing_node(world: World) -> None:
    """A node needs what is not in the graph; a target is not; a target is the graph itself, which is answered once."""
    owner, _ = world.client(), world.worker()
    graph = graph_of(world, owner, {"a": "x", "b": ""}, "ab")
    is_refused(world, owner, graph.message, *all_of(graph, "a", "b"))
    graph = graph_of(world, owner, {"a": ""}, "ax")
    is_refused(world, owner, graph.message, *all_of(graph, "a", "x"))
    graph = graph_of(world, owner, {"a": ""}, "a")
    itself = replace(graph.message, targets=(*graph.message.targets, graph.ref.id))
    is_refused(world, owner, itself, *all_of(graph, "a"))


@case("S12.1", "S12.2", title="an id twice")
def id_twice(world: World) -> None:
    """Two nodes have one id; a node has that of the graph. The target is answered once, though it is named twice."""
    owner, _ = world.client(), world.worker()
    graph = graph_of(world, owner, {"a": "", "b": "a"}, "bb")
    twice = replace(graph.message, graph=(*graph.message.graph, graph.message.graph[0]))
    is_refused(world, owner, twice, *all_of(graph, "b"))
    graph = graph_of(world, owner, {"a": "", "b": "a"}, "b")
    renamed = replace(graph.message.graph[0], task_id=graph.ref.id)
    is_refused(world, owner, replace(graph.message, graph=(*graph.message.graph, renamed)), *all_of(graph, "b"))


@case("S12.2", "S12.1", title="a target that is no task id")
def no_task_id(world: World) -> None:
    """A graph is refused whose targets are a node, nothing at all, and 256 bytes. Only the node can be answered."""
    owner, _ = world.client(), world.worker()
    graph = graph_of(world, owner, {"a": ""}, "a")
    message = replace(graph.message, targets=(b"", *graph.message.targets, b"i" * 256))
    is_refused(world, owner, message, *all_of(graph, "a"))


@case("S12.2", "S12.1", title="a target that is the graph")
def graph_as_target(world: World) -> None:
    """A graph names itself as a target, before its node. It is refused; its own id is answered once, last."""
    owner, _ = world.client(), world.worker()
    graph = graph_of(world, owner, {"a": ""}, "a")
    message = replace(graph.message, targets=(graph.ref.id, *graph.message.targets))
    is_refused(world, owner, message, *all_of(graph, "a"))


@case("S12.1", "S12.2", title="an id that its sender uses")
def id_of_own_task(world: World) -> None:
    """A worker has a task of the client that submits a graph with a node of that id. The graph is refused; of the task
    nothing is said, since its result is still to come.
    """
    owner, holder, task = dispatched_task(world)
    graph = graph_of(world, owner, {"a": "", "b": "a"}, "ab", a=task)
    is_refused(world, owner, graph.message, *all_of(graph, "b"))
    owner.expect(holder.finish(task), "S12.2")


@case("S12.1", "S12.2", title="an id that another client uses")
def id_of_another_client(world: World) -> None:
    """A node, and then the graph, has the id of another client's task. Both graphs are refused; the task goes on."""
    first, holder, task = dispatched_task(world)
    second = world.client()
    graph = graph_of(world, second, {"a": "", "b": "a"}, "ab", a=task)
    is_refused(world, second, graph.message, *all_of(graph, "a", "b"))
    graph = graph_of(world, second, {"a": ""}, "a", graph=task)
    is_refused(world, second, graph.message, *all_of(graph, "a"))
    first.expect(holder.finish(task), "S12.1")


@case("S12.1", "S1.3", "S1.4", title="ids of a graph that is held")
def ids_of_held_graph(world: World) -> None:
    """A graph waits. Its owner's Tasks under the graph's id and a node's are dropped; those of another client are
    refused, as are its graphs. No worker gets any of them.
    """
    owner, other = world.client(), world.client()
    held = submitted(world, owner, {"a": "", "b": "a"}, "b")
    for task in (held.ref, held["a"], held["b"]):
        owner.submit(task)
        owner.expect_nothing("S1.4")
        other.submit(task)
        other.expect_confirm(task, CANCEL_NOT_FOUND, "S1.3")
        graph = graph_of(world, other, {"x": ""}, "x", graph=task)
        is_refused(world, other, graph.message, *all_of(graph, "x"))
    worker = world.worker()
    for name in "ab":
        owner.expect(world.dispatched(held[name], "S12.1").finish(held[name]), "S1.1")
    worker.expect_nothing("S1.4")
    held.ends(owner, TaskResultType.SUCCESS)


@case("S12.2", "S12.1", title="a client that left")
def client_left(world: World) -> None:
    """A client leaves, and submits a graph. Its target and the graph are answered, and nobody gets a part of it."""
    client, _ = world.client(), world.worker()
    client.disconnect()
    graph = graph_of(world, client, {"a": "", "b": "a"}, "b")
    is_refused(world, client, graph.message, *all_of(graph, "b"), fence=False)
