"""Section 14: the cancel of a graph, and of one node."""

from __future__ import annotations

from rescind.messages import TaskResultType
from rescind_conformance.case import case
from rescind_conformance.cases.scheduler.graphs import Graph, submitted
from rescind_conformance.peers import CANCEL_FAILED, CANCEL_NOT_FOUND, CANCELED, FakeClient
from rescind_conformance.world import World


def is_canceled(owner: FakeClient, graph: Graph, requirement: str = "S12.14") -> None:
    """The graph's terminal message is `canceled`, and nothing comes after it."""
    owner.expect_confirm(graph.ref, CANCELED, requirement)
    owner.expect_nothing("S12.14")


@case("S12.12", "S12.13", "S12.14", title="a graph without a worker")
def nobody_runs(world: World) -> None:
    """A graph waits for a worker and is cancelled: each node is `canceled`, then the graph. No worker gets one."""
    owner = world.client()
    graph = submitted(world, owner, {"a": "", "b": "a", "c": "b"}, "c", "a")
    owner.cancel(graph.ref)
    for name in "abc":
        owner.expect_confirm(graph[name], CANCELED, "S12.12")
    is_canceled(owner, graph, "S12.13")
    world.worker().expect_nothing("S12.12")


@case("S12.12", "S12.13", "S12.14", title="a graph whose first node runs", field_bugs=(19,))
def first_node_runs(world: World) -> None:
    """a runs, b waits for it. The graph is cancelled, without force or with it: b is `canceled` at once, a's holder is
    asked with the same force, and when it has answered the graph is over. A result of a that follows is not forwarded.
    """
    owner, _ = world.client(), world.worker()
    for force in (False, True):
        graph = submitted(world, owner, {"a": "", "b": "a"}, "b")
        holder = world.dispatched(graph["a"])
        owner.cancel(graph.ref, force=force)
        owner.expect_confirm(graph["b"], CANCELED, "S12.12")
        holder.expect_cancel(graph["a"], "S12.12", force=force, vital=True)
        owner.expect_nothing("S12.13")
        holder.confirm(graph["a"], CANCELED)
        owner.expect_confirm(graph["a"], CANCELED, "S4.2")
        is_canceled(owner, graph, "S12.13")
        holder.finish(graph["a"])
        owner.expect_nothing("S12.14")


@case("S12.13", title="a cancel of a graph that is refused")
def refused(world: World) -> None:
    """a and x run, and the graph is cancelled. a's holder refuses: that is told for a. x is `canceled`, and now the
    graph's round is refused as well. Another with force asks a again, another without joins: one answer, a's result
    ends the graph.
    """
    owner, worker = world.client(), world.worker()
    graph = submitted(world, owner, {"a": "", "x": ""}, "a", "x")
    for name in "ax":
        world.dispatched(graph[name])
    owner.cancel(graph.ref)
    for name in "ax":
        worker.expect_cancel(graph[name], "S12.12", vital=True)
    worker.confirm(graph["a"], CANCEL_FAILED)
    owner.expect_confirm(graph["a"], CANCEL_FAILED, "S4.2")
    owner.expect_nothing("S12.13")
    worker.confirm(graph["x"], CANCELED)
    owner.expect_confirm(graph["x"], CANCELED, "S4.2")
    owner.expect_confirm(graph.ref, CANCEL_FAILED, "S12.13")
    owner.cancel(graph.ref, force=True)
    worker.expect_cancel(graph["a"], "S12.12", force=True)
    owner.cancel(graph.ref)
    worker.expect_nothing("S12.12")
    owner.expect_nothing("S12.13")
    owner.expect(worker.finish(graph["a"]), "S5.1")
    is_canceled(owner, graph, "S12.13")


@case("S12.14", "S12.13", title="the last result crosses the cancel of a graph")
def last_result_crosses(world: World) -> None:
    """The last node runs, and the graph is cancelled. The holder has sent the result: it is forwarded, and ends the
    graph, with `success`. What the holder says to the cancel is dropped.
    """
    owner, _ = world.client(), world.worker()
    graph = submitted(world, owner, {"a": ""}, "a")
    holder = world.dispatched(graph["a"])
    owner.cancel(graph.ref)
    holder.expect_cancel(graph["a"], "S12.12", vital=True)
    owner.expect(holder.finish(graph["a"]), "S5.1")
    graph.ends(owner, TaskResultType.SUCCESS, "S12.13")
    holder.confirm(graph["a"], CANCEL_NOT_FOUND)
    owner.expect_nothing("S12.14")


@case("S12.14", title="a failure crosses the cancel of a graph")
def failure_crosses(world: World) -> None:
    """a runs, b waits for it, and the graph is cancelled. a fails: that is forwarded, and the graph is `canceled`, as b
    was.
    """
    owner, _ = world.client(), world.worker()
    graph = submitted(world, owner, {"a": "", "b": "a"}, "b")
    holder = world.dispatched(graph["a"])
    owner.cancel(graph.ref)
    owner.expect_confirm(graph["b"], CANCELED, "S12.12")
    holder.expect_cancel(graph["a"], "S12.12", vital=True)
    owner.expect(holder.finish(graph["a"], TaskResultType.FAILED), "S5.1")
    is_canceled(owner, graph)


@case("S12.13", "S12.15", title="a graph that is over")
def over(world: World) -> None:
    """A graph has succeeded. A cancel of it, and of its node, finds nothing."""
    owner, _ = world.client(), world.worker()
    graph = submitted(world, owner, {"a": ""}, "a")
    owner.expect(world.dispatched(graph["a"]).finish(graph["a"]), "S1.1")
    graph.ends(owner, TaskResultType.SUCCESS, "S12.13")
    for task in (graph.ref, graph["a"]):
        owner.cancel(task, force=True)
        owner.expect_confirm(task, CANCEL_NOT_FOUND, "S12.15")


@case("S12.10", title="what needs a cancelled node")
def dependants(world: World) -> None:
    """a runs, b needs it and c needs b. a is cancelled: b and c wait for the answer. When a is `canceled`, or not
    found, so are they `canceled`, and never run.
    """
    owner, worker = world.client(), world.worker()
    for answer in (CANCELED, CANCEL_NOT_FOUND):
        graph = submitted(world, owner, {"a": "", "b": "a", "c": "b"}, "c", "a")
        holder = world.dispatched(graph["a"])
        owner.cancel(graph["a"])
        holder.expect_cancel(graph["a"], "S4.1", vital=True)
        owner.expect_nothing("S12.10")
        holder.confirm(graph["a"], answer)
        owner.expect_confirm(graph["a"], answer, "S4.2")
        for name in "bc":
            owner.expect_confirm(graph[name], CANCELED, "S12.10")
        worker.expect_nothing("S12.10")
        is_canceled(owner, graph)


@case("S12.10", title="a cancel of a node that is refused")
def refused_node(world: World) -> None:
    """a runs, b needs it. A cancel of a is refused; another is overtaken by a's success. Neither changes anything for
    b, which runs.
    """
    owner, _ = world.client(), world.worker()
    graph = submitted(world, owner, {"a": "", "b": "a"}, "b")
    holder = world.dispatched(graph["a"])
    owner.cancel(graph["a"])
    holder.expect_cancel(graph["a"], "S4.1", vital=True)
    holder.confirm(graph["a"], CANCEL_FAILED)
    owner.expect_confirm(graph["a"], CANCEL_FAILED, "S4.2")
    owner.expect_nothing("S12.10")
    owner.cancel(graph["a"], force=True)
    holder.expect_cancel(graph["a"], "S4.3", force=True, vital=True)
    owner.expect(holder.finish(graph["a"]), "S5.1")
    owner.expect(world.dispatched(graph["b"], "S12.10").finish(graph["b"]), "S12.10")
    graph.ends(owner, TaskResultType.SUCCESS)


@case("S12.11", "S12.10", title="what only a cancelled target needs")
def only_target(world: World) -> None:
    """d needs b, which needs a and x, which run; x is a target too. d is cancelled, without force or with it: it and b
    are `canceled` at once, and a's holder is asked with the same force. x goes on.
    """
    owner, worker = world.client(), world.worker()
    for force in (False, True):
        graph = submitted(world, owner, {"a": "", "x": "", "b": "ax", "d": "b"}, "d", "x")
        for name in "ax":
            world.dispatched(graph[name])
        owner.cancel(graph["d"], force=force)
        owner.expect_confirm(graph["d"], CANCELED, "S3.1")
        owner.expect_confirm(graph["b"], CANCELED, "S12.11")
        worker.expect_cancel(graph["a"], "S12.11", force=force, vital=True)
        worker.expect_nothing("S12.11")
        worker.confirm(graph["a"], CANCELED)
        owner.expect_confirm(graph["a"], CANCELED, "S12.11")
        owner.expect_nothing("S12.10")
        owner.expect(worker.finish(graph["x"]), "S12.10")
        is_canceled(owner, graph)


@case("S12.11", title="two targets need the same node")
def shared_node(world: World) -> None:
    """b and c need a, which runs. b is cancelled: a goes on for c. Then c is: a is cancelled. Its holder refuses, which
    the owner is told under a's id.
    """
    owner, _ = world.client(), world.worker()
    graph = submitted(world, owner, {"a": "", "b": "a", "c": "a"}, "b", "c")
    holder = world.dispatched(graph["a"])
    owner.cancel(graph["b"], force=True)
    owner.expect_confirm(graph["b"], CANCELED, "S3.1")
    holder.expect_nothing("S12.11")
    owner.cancel(graph["c"])
    owner.expect_confirm(graph["c"], CANCELED, "S3.1")
    holder.expect_cancel(graph["a"], "S12.11", vital=True)
    holder.confirm(graph["a"], CANCEL_FAILED)
    owner.expect_confirm(graph["a"], CANCEL_FAILED, "S12.11")
    owner.expect(holder.finish(graph["a"]), "S4.3")
    is_canceled(owner, graph)


@case("S12.15", title="another client cancels a graph")
def stranger(world: World) -> None:
    """Another client cancels a graph and its nodes, with force. It finds none of them, and nothing happens to them. The
    owner's cancel of a node that has ended finds nothing either, while its graph goes on.
    """
    owner, other, _ = world.client(), world.client(), world.worker()
    graph = submitted(world, owner, {"a": "", "b": "a"}, "b")
    holder = world.dispatched(graph["a"])
    for task in (graph.ref, graph["a"], graph["b"]):
        other.cancel(task, force=True)
        other.expect_confirm(task, CANCEL_NOT_FOUND, "S12.15")
    for peer in (owner, holder, other):
        peer.expect_nothing("S12.15")
    owner.expect(holder.finish(graph["a"]), "S12.15")
    owner.cancel(graph["a"])
    owner.expect_confirm(graph["a"], CANCEL_NOT_FOUND, "S12.15")
    owner.expect(world.dispatched(graph["b"], "S12.15").finish(graph["b"]), "S12.15")
    graph.ends(owner, TaskResultType.SUCCESS)
