"""Section 14: graphs. A is read by B and C, and these by D, unless a case says otherwise."""

from __future__ import annotations

from rescind.messages import TaskLog, TaskResult, TaskResultType
from rescind_conformance.case import case
from rescind_conformance.client_graph import DIAMOND, ClientGraph, arguments_of, numbered, refuse_graph, submit_graph
from rescind_conformance.client_world import ClientWorld
from rescind_conformance.findings import new_task_id
from rescind_conformance.peers import CANCEL_FAILED, CANCEL_NOT_FOUND, CANCELED

FAILED = TaskResultType.FAILED


def running_graph(world: ClientWorld, *targets: str) -> ClientGraph:
    """A client that has submitted a graph."""
    world.connect()
    return submit_graph(world, *(targets or ("B", "D")))


# --- what settles a target


@case("C13.1", title="targets are settled one by one")
def one_by_one(world: ClientWorld) -> None:
    """Results of all nodes come, each as it ends. B can be read before D has ended, and D before the graph has."""
    graph = running_graph(world)
    b, d = graph.nodes["B"], graph.nodes["D"]
    graph.finish("A")
    graph.expect_not_settled("C13.1", "B", "D")
    graph.finish("B", text="the result of B")
    world.expect_settled(b, "finished", "C13.1")
    world.expect_result(b, "value", "C13.1", text="the result of B")
    graph.finish("C")
    graph.expect_not_settled("C13.1", "D")
    graph.finish("D", text="the result of D")
    world.expect_settled(d, "finished", "C13.1")
    world.expect_result(d, "value", "C13.1", text="the result of D")
    graph.end()
    world.expect_nothing("C13.1")


@case("C13.1", title="what comes for other nodes is no error")
def other_nodes(world: ClientWorld) -> None:
    """Results, refusals, confirmations and output of nodes that are no targets come, which no future stands for."""
    graph = running_graph(world, "D")
    graph.finish("A")
    world.send(TaskLog(graph.nodes["B"].id, content="words of B\n"))
    graph.confirm(CANCEL_FAILED, "B", "C")
    graph.confirm(CANCELED, "C")
    graph.confirm(CANCEL_NOT_FOUND, "C")
    graph.fail_with(world.payload("B is broken", error=True), "B")
    graph.expect_not_settled("C13.1", "D")
    graph.finish("D")
    world.expect_settled(graph.nodes["D"], "finished", "C13.1")


@case("C13.1", title="what comes for the graph settles no target")
def only_the_graph(world: ClientWorld) -> None:
    """A round of the graph is refused, then the graph ends, each in a way of its own, before anything has come for the
    targets: what comes for them afterwards settles them.
    """
    world.connect()
    for number, end in enumerate((TaskResultType.SUCCESS, FAILED, CANCELED, CANCEL_NOT_FOUND), start=1):
        target = f"D{number}"
        graph = submit_graph(world, target, shape=numbered({"D": ("A",), "A": ()}, number))
        with world.after(f"the graph's {end.name}"):
            world.confirm(graph.ref, CANCEL_FAILED)
            if isinstance(end, TaskResultType):
                graph.end(end)
            else:
                world.confirm(graph.ref, end)
            graph.expect_not_settled("C13.1", target)
            graph.finish(target)
            world.expect_settled(graph.nodes[target], "finished", "C13.1")


@case("C2.3", title="a graph that is refused")
def refused(world: ClientWorld) -> None:
    """The scheduler answers `cancelNotFound` for each target, then for the graph (S12.2): all futures are cancelled."""
    graph = running_graph(world)
    graph.confirm(CANCEL_NOT_FOUND, "B", "D")
    world.confirm(graph.ref, CANCEL_NOT_FOUND)
    for name in ("B", "D"):
        world.expect_settled(graph.nodes[name], "cancelled", "C2.3")
    world.expect_nothing("C2.3")


@case("C2.4", title="one error of several targets")
def one_error(world: ClientWorld) -> None:
    """A fails, and B and D with it: each of them raises A's error, though the other was read before."""
    graph = running_graph(world)
    error = world.payload("A is broken", error=True)
    for names in (("A", "B"), ("C", "D")):
        graph.fail_with(error, *names)
        world.expect_settled(graph.nodes[names[1]], "finished", "C2.4")
        world.expect_result(graph.nodes[names[1]], "error", "C2.4", text="A is broken")
        graph.let_it_release()
    graph.end(FAILED)


# --- payloads


@case("C13.2", title="what nodes may still read stays")
def payloads_stay(world: ClientWorld) -> None:
    """B is read while C, and D after it, may still read it: it stays until the graph has ended, and so do the functions
    and arguments. Then B goes.
    """
    world.needs("release")
    graph = running_graph(world)
    graph.finish("A")
    read = graph.finish("B")
    world.expect_settled(graph.nodes["B"], "finished", "C13.2")
    world.expect_result(graph.nodes["B"], "value", "C13.2")
    world.confirm(graph.ref, CANCEL_FAILED)
    graph.expect_kept("the result of B", [read])
    graph.expect_kept("what the nodes call", arguments_of(graph))
    graph.finish("C")
    graph.finish("D")
    world.expect_settled(graph.nodes["D"], "finished", "C13.2")
    graph.end()
    world.expect_released(read, "C13.2")


@case("C13.2", title="the results of other nodes are the scheduler's")
def inner_results_stay(world: ClientWorld) -> None:
    """A and C succeed, which no future shows. The client releases neither when they come nor when the graph ends."""
    graph = running_graph(world)
    inner = [graph.finish("A"), graph.finish("C")]
    graph.expect_kept("the result of an inner node", inner)
    graph.confirm(CANCELED, "B", "D")
    world.confirm(graph.ref, CANCELED)
    graph.expect_kept("the result of an inner node", inner)


@case("C13.2", "C3.1", title="a result that is discarded stays for other nodes")
def discarded_stays(world: ClientWorld) -> None:
    """B's result crosses the cancel of B, and is discarded. D reads it all the same: it stays until the graph ends."""
    world.needs("release")
    graph = running_graph(world)
    call = graph.open_round("B")
    discarded = graph.finish("B")
    world.expect_returned(call, True, "C3.1")
    graph.expect_kept("the result of B", [discarded])
    graph.finish("D")
    world.expect_settled(graph.nodes["D"], "finished", "C13.2")
    graph.end()
    world.expect_released(discarded, "C13.2")


@case("C13.2", title="a late result stays for other nodes")
def late_stays(world: ClientWorld) -> None:
    """`cancel()` of B reaches its time limit, then B's result comes. It stays until the graph has ended."""
    world.needs("release", "time-limit")
    graph = running_graph(world)
    call = graph.open_round("B", time_limit=0.0)
    world.expect_returned(call, True, "C5.1")
    late = graph.finish("B")
    graph.expect_kept("the result of B", [late])
    graph.finish("D")
    graph.end()
    world.expect_released(late, "C13.2")


@case("C13.2", title="an error goes when every future has shown it")
def error_of_several(world: ClientWorld) -> None:
    """B and D have the same error. When B has been read it stays for D; when D has been, and the graph has ended, it
    goes.
    """
    world.needs("release")
    graph = running_graph(world)
    error = world.payload("A is broken", error=True)
    graph.fail_with(error, "A", "B")
    world.expect_settled(graph.nodes["B"], "finished", "C2.4")
    world.expect_result(graph.nodes["B"], "error", "C13.2")
    graph.expect_kept("the error of A", [error])
    graph.fail_with(error, "C", "D")
    world.expect_settled(graph.nodes["D"], "finished", "C2.4")
    graph.end(FAILED)
    world.expect_result(graph.nodes["D"], "error", "C13.2", text="A is broken")
    world.expect_released(error, "C13.2")


@case("C13.2", title="an error that no future shows is released")
def error_of_none(world: ClientWorld) -> None:
    """B and D are cancelled when A fails: nobody will ask for A's error, and it goes when the graph has ended."""
    world.needs("release")
    graph = running_graph(world)
    graph.confirm(CANCELED, "B", "D")
    error = world.payload("A is broken", error=True)
    graph.fail_with(error, "A")
    graph.expect_kept("the error of A", [error])
    world.confirm(graph.ref, CANCELED)
    world.expect_released(error, "C13.2")


@case("C9.2", title="after the end a result is released")
def result_after_the_end(world: ClientWorld) -> None:
    """The graph has ended, and a result of D comes, which was cancelled: it goes from the store like any other."""
    world.needs("release")
    graph = running_graph(world)
    graph.confirm(CANCELED, "B", "D")
    world.confirm(graph.ref, CANCELED)
    world.expect_settled(graph.nodes["D"], "cancelled", "C2.3")
    world.expect_released(graph.finish("D"), "C9.2")


# --- cancel


@case("C13.3", "C2.1", title="a target is cancelled")
def cancel_target(world: ClientWorld) -> None:
    """`cancel()` of D sends one TaskCancel, with D's id or the graph's, and waits for what comes for D."""
    graph = running_graph(world)
    call = graph.open_round("D")
    world.expect_waits(call, "C1.1")
    world.expect_nothing("C13.3")
    graph.confirm(CANCELED, "D")
    world.expect_returned(call, True, "C2.1")
    world.expect_settled(graph.nodes["D"], "cancelled", "C2.1")
    graph.expect_not_settled("C13.1", "B")


@case("C13.3", "C4.1", title="the cancel of a target is refused")
def cancel_refused(world: ClientWorld) -> None:
    """D runs and refuses: `cancel()` returns False, D is running again, and its result is delivered."""
    graph = running_graph(world)
    call = graph.open_round("D")
    graph.confirm(CANCEL_FAILED, "D")
    world.expect_returned(call, False, "C4.1")
    world.expect_running_again(graph.nodes["D"])
    graph.finish("D")
    world.expect_settled(graph.nodes["D"], "finished", "C4.1")


@case("C13.3", title="the cancel of a target with force")
def cancel_with_force(world: ClientWorld) -> None:
    """The same with force: TaskCancel has the flag."""
    world.needs("force")
    graph = running_graph(world)
    call = graph.open_round("D", force=True)
    graph.confirm(CANCELED, "D")
    world.expect_returned(call, True, "C2.1")


@case("C13.3", title="what comes for others ends no round")
def others_end_no_round(world: ClientWorld) -> None:
    """While the round of D is open, it is refused for C, for B and for the graph: `cancel()` of D waits on."""
    graph = running_graph(world)
    call = graph.open_round("D")
    graph.confirm(CANCEL_FAILED, "C", "B")
    world.confirm(graph.ref, CANCEL_FAILED)
    world.expect_waits(call, "C13.3")
    graph.confirm(CANCELED, "D")
    world.expect_returned(call, True, "C13.3")


@case("C13.3", title="the graph's end ends no round")
def end_ends_no_round(world: ClientWorld) -> None:
    """While the round of D is open the graph ends, before anything has come for D: `cancel()` of D waits on."""
    graph = running_graph(world)
    call = graph.open_round("D")
    world.confirm(graph.ref, CANCELED)
    world.expect_waits(call, "C13.3")
    graph.confirm(CANCELED, "D")
    world.expect_returned(call, True, "C13.3")


@case("C13.3", title="two targets are cancelled at once")
def two_rounds(world: ClientWorld) -> None:
    """Two threads cancel B and D. Each is answered for itself: B has ended, D refuses."""
    graph = running_graph(world)
    first, second = graph.open_round("B"), graph.open_round("D")
    graph.confirm(CANCELED, "B")
    world.expect_returned(first, True, "C13.3")
    world.expect_waits(second, "C13.3")
    graph.confirm(CANCEL_FAILED, "D")
    world.expect_returned(second, False, "C13.3")


@case("C2.3", "C13.1", title="the scheduler cancels the graph as a whole")
def cancelled_as_a_whole(world: ClientWorld) -> None:
    """For the cancel of B the scheduler ends every node, as some do: D is cancelled too, though nobody has asked."""
    graph = running_graph(world)
    call = graph.open_round("B")
    graph.confirm(CANCELED, "A", "B", "C", "D")
    world.confirm(graph.ref, CANCELED)
    world.expect_returned(call, True, "C2.1")
    world.expect_settled(graph.nodes["D"], "cancelled", "C2.3")
    world.expect_nothing("C13.1")


# --- leaving


@case("C10.1", title="disconnect with an open graph")
def disconnect(world: ClientWorld) -> None:
    """B's round is open, D runs, and A has ended as the client disconnects: all futures are cancelled."""
    graph = running_graph(world)
    graph.finish("A")
    call = graph.open_round("B")
    leaving = world.call("disconnect", "disconnect()")
    world.expect_returned(call, True, "C10.1")
    for name in ("B", "D"):
        world.expect_settled(graph.nodes[name], "cancelled", "C10.1")
    world.expect_end(leaving, "C10.1")


@case("C13.2", title="what was kept goes with the client")
def disconnect_releases(world: ClientWorld) -> None:
    """B's result was discarded and is kept for D. The client disconnects: nobody reads it any more, and it goes."""
    world.needs("release")
    graph = running_graph(world)
    call = graph.open_round("B")
    discarded = graph.finish("B")
    world.expect_returned(call, True, "C3.1")
    graph.expect_kept("the result of B", [discarded])
    world.expect_end(world.call("disconnect", "disconnect()"), "C10.1")
    world.expect_released(discarded, "C13.2")


@case("C10.2", title="the scheduler is lost with a graph")
def scheduler_lost(world: ClientWorld) -> None:
    """The connection drops while a graph goes on: the futures that are left are cancelled."""
    graph = running_graph(world)
    graph.finish("B")
    world.expect_settled(graph.nodes["B"], "finished", "C2.4")
    world.drop_connection()
    world.expect_settled(graph.nodes["D"], "cancelled", "C10.2")


# --- what is sent


@case("C13.4", title="a cycle is not sent")
def cycle(world: ClientWorld) -> None:
    """Nodes that depend on one another, and one that depends on itself: the client raises."""
    world.connect()
    refuse_graph(world, "a cycle", "A", shape={"A": ("B",), "B": ("A",)})
    refuse_graph(world, "a cycle behind the target", "A", shape={"A": ("B",), "B": ("C",), "C": ("B",)})
    refuse_graph(world, "a node that depends on itself", "A", shape={"A": ("A",)})


@case("C13.4", title="names that do not exist are not sent")
def missing_names(world: ClientWorld) -> None:
    """An argument that is no node, and a target that is none: the client raises."""
    world.connect()
    refuse_graph(world, "an argument that is no node", "A", shape={"A": ("B",)})
    refuse_graph(world, "a target that is no node", "B", shape={"A": ()})


@case("C13.4", title="every id is new")
def new_ids(world: ClientWorld) -> None:
    """The same graph is submitted twice beside a task: no id is used again, and what its nodes name is there."""
    world.connect()
    task = world.submit()
    ids = [task.id]
    for number in (1, 2):
        graph = submit_graph(world, f"B{number}", f"D{number}", shape=numbered(DIAMOND, number))
        sent = [graph.ref.id, *(node.task_id for node in graph.message.graph)]
        expected = "each id is one that C1 has not used before"
        world.check("C13.4", len({*ids, *sent}) == len(ids) + len(sent), expected, "one is used again")
        ids += sent
    world.send(TaskResult(new_task_id()))
    world.expect_nothing("C13.4")
