"""Section 14: in which order the nodes of a graph run, with which arguments, and what a failure means for others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rescind.messages import (
    Argument,
    ArgumentType,
    Capability,
    GraphTask,
    Task,
    TaskCancelConfirm,
    TaskResult,
    TaskResultType,
)
from rescind_conformance.case import case
from rescind_conformance.peers import CANCEL_NOT_FOUND, FakeClient, TaskRef
from rescind_conformance.world import World

DIED = TaskResultType.FAILED_WORKER_DIED
FAILED = TaskResultType.FAILED


@dataclass(frozen=True)
class Graph:
    """A graph of a case: its id, and its nodes by short names (a, b...)."""

    ref: TaskRef
    nodes: Mapping[str, TaskRef]
    message: GraphTask

    def __getitem__(self, name: str) -> TaskRef:
        return self.nodes[name]

    def ends(self, owner: FakeClient, result_type: TaskResultType, requirement: str = "S12.14") -> None:
        """Check that the owner is told how the graph ended, and nothing more."""
        owner.expect(TaskResult(self.ref.id, result_type), requirement)
        owner.expect_nothing("S12.14")


def graph_of(
    world: World, owner: FakeClient, needs: Mapping[str, Sequence[str]], targets: Iterable[str], **others: TaskRef
) -> Graph:
    """A graph that nobody has submitted yet: what each node depends on, listed in this order. `others`: the tasks that
    it has nodes of, where it does not get new ones.
    """
    ref = others.get("graph") or world.new_task()
    names = dict.fromkeys([*needs, *(each for after in needs.values() for each in after), *targets])
    nodes = {name: others.get(name) or world.new_task() for name in names}
    tasks = [
        owner.task_message(nodes[name], arguments=tuple(Argument(ArgumentType.TASK, nodes[each].id) for each in after))
        for name, after in needs.items()
    ]
    message = GraphTask(ref.id, owner.routing_id, tuple(nodes[name].id for name in targets), tuple(tasks))
    return Graph(ref, nodes, message)


def submit(world: World, owner: FakeClient, graph: Graph, requirement: str = "S12.1") -> Graph:
    """Submit a graph that can run. The case ends as unsupported where the scheduler supports no graphs."""
    owner.send(graph.message)
    refusal = TaskCancelConfirm(graph.ref.id, CANCEL_NOT_FOUND)
    if refusal in owner.inbox:
        simplest = graph_of(world, owner, {"a": ""}, "a")
        owner.send(simplest.message)
        if TaskCancelConfirm(simplest.ref.id, CANCEL_NOT_FOUND) in owner.inbox:
            world.unsupported("it does not run graphs")
    happened = f"{owner.name} got {world.describe(refusal)}"
    world.check(requirement, refusal not in owner.inbox, "the graph is accepted", happened, vital=True)
    return graph


def submitted(world: World, owner: FakeClient, needs: Mapping[str, Sequence[str]], *targets: str) -> Graph:
    """The owner submits a graph."""
    return submit(world, owner, graph_of(world, owner, needs, targets))


def runs(world: World, owner: FakeClient, *nodes: TaskRef) -> None:
    """Each node, one after another, is dispatched and succeeds, and its result is forwarded."""
    for task in nodes:
        owner.expect(world.dispatched(task, "S12.4").finish(task), "S1.1")


@case("S12.3", "S12.4", "S12.5", "S12.14", title="a diamond")
def diamond(world: World) -> None:
    """d needs b and c, which need a; they are listed in that order. Each is dispatched when what it needs has
    succeeded, with the payloads in the place of the ids. When all have ended, the graph has.
    """
    owner, worker = world.client(), world.worker()
    graph = submit(world, owner, graph_of(world, owner, {"d": "bc", "c": "a", "b": "a", "a": ""}, "d"), "S12.3")
    holder = world.dispatched(graph["a"], "S12.3")
    worker.expect_nothing("S12.4")
    owner.expect(holder.finish(graph["a"]), "S1.1")
    for name in "cb":
        holder = world.dispatched(graph[name], "S12.4")
        worker.expect_nothing("S12.4", about=graph["d"])
    for name in "cb":
        owner.expect(holder.finish(graph[name]), "S1.1")
    owner.expect_nothing("S12.14", about=graph.ref)
    runs(world, owner, graph["d"])
    graph.ends(owner, TaskResultType.SUCCESS)


@case("S12.5", title="an argument twice, and others beside it")
def mixed_arguments(world: World) -> None:
    """b takes a payload whose id looks like a's, and the result of a, twice. Only what names a becomes its result, in
    its place; metadata, capabilities and all else are as they were submitted.
    """
    owner, _ = world.client(), world.worker()
    graph = graph_of(world, owner, {"a": "", "b": "a"}, "b")
    first, second = graph.message.graph
    named = second.function_args[0]
    arguments = (Argument(ArgumentType.OBJECT_ID, graph["a"].id), named, named)
    needs = (Capability("gpu", 1),)
    changed = Task(second.task_id, b"anybody", b"metadata", second.func_object_id, arguments, needs)
    message = GraphTask(graph.ref.id, b"", graph.message.targets, (changed, first))
    submit(world, owner, Graph(graph.ref, graph.nodes, message))
    runs(world, owner, graph["a"])
    world.dispatched(graph["b"], "S12.5")


@case("S12.4", title="the last dependency on another worker")
def two_workers(world: World) -> None:
    """c needs a and b, which two workers have. Only the end of the second, whichever it is, makes it ready."""
    owner = world.client()
    for _ in range(2):
        world.worker(queue_size=1)
    for first, last in ("ab", "ba"):
        graph = submitted(world, owner, {"a": "", "b": "", "c": "ab"}, "c")
        holders = {name: world.dispatched(graph[name]) for name in "ab"}
        owner.expect(holders[first].finish(graph[first]), "S1.1")
        for worker in world.workers:
            worker.expect_nothing("S12.4", about=graph["c"])
        owner.expect(holders[last].finish(graph[last]), "S1.1")
        runs(world, owner, graph["c"])
        graph.ends(owner, TaskResultType.SUCCESS)


@case("S12.1", "S12.14", title="an empty graph")
def empty(world: World) -> None:
    """A graph without nodes has nothing to wait for."""
    owner = world.client()
    submitted(world, owner, {}).ends(owner, TaskResultType.SUCCESS, "S12.1")


@case("S12.3", title="a target twice")
def target_twice(world: World) -> None:
    """A GraphTask names its target twice. It has one result, as has the graph."""
    owner, _ = world.client(), world.worker()
    graph = submit(world, owner, graph_of(world, owner, {"a": ""}, "aa"), "S12.3")
    owner.expect(world.dispatched(graph["a"], "S12.3").finish(graph["a"]), "S12.3")
    owner.expect_nothing("S12.3", about=graph["a"])
    graph.ends(owner, TaskResultType.SUCCESS)


@case("S12.6", "S12.14", title="a result that cannot be handed on")
def result_without_payload(world: World) -> None:
    """a succeeds, and its TaskResult names no payload, or two, or one by 256 bytes. It is forwarded; b, which needs
    one, ends with `failedWorkerDied`, and so does the graph.
    """
    owner, worker = world.client(), world.worker()
    for payloads in ((), (b"one", b"two"), (bytes(256),)):
        graph = submitted(world, owner, {"a": "", "b": "a"}, "b")
        result = TaskResult(graph["a"].id, results=payloads)
        world.dispatched(graph["a"]).send(result)
        owner.expect(result, "S12.6")
        owner.expect(TaskResult(graph["b"].id, DIED), "S12.6")
        worker.expect_nothing("S12.6")
        graph.ends(owner, DIED)


@case("S12.6", title="a result of no payload that nobody needs")
def last_result_without_payload(world: World) -> None:
    """A node that nothing depends on succeeds without a payload. So does its graph."""
    owner, _ = world.client(), world.worker()
    graph = submitted(world, owner, {"a": ""}, "a")
    result = TaskResult(graph["a"].id)
    world.dispatched(graph["a"]).send(result)
    owner.expect(result, "S12.6")
    graph.ends(owner, TaskResultType.SUCCESS, "S12.6")


@case("S12.7", "S12.14", title="a failure is that of all who need it")
def failure(world: World) -> None:
    """a fails; b needs it, and c needs b. Both have a's TaskResult, under their ids and without its metadata."""
    owner, worker = world.client(), world.worker()
    for kind in (FAILED, DIED):
        graph = submitted(world, owner, {"c": "b", "b": "a", "a": ""}, "c")
        fails(world, owner, graph, kind)
        worker.expect_nothing("S12.7")
        graph.ends(owner, kind)


def fails(world: World, owner: FakeClient, graph: Graph, kind: TaskResultType | int) -> None:
    """a fails, and b and c, that need it, with it."""
    result = TaskResult(graph["a"].id, kind, b"metadata", (b"error",))
    world.dispatched(graph["a"]).send(result)
    owner.expect(result, "S12.7")
    for name in "bc":
        owner.expect(TaskResult(graph[name].id, kind, b"", (b"error",)), "S12.7")


@case("S12.7", title="a failure whose payload ids are long")
def long_failure(world: World) -> None:
    """a fails, and its TaskResult names payloads by 256 bytes together. It is forwarded; b, which needs a, has it
    without payloads.
    """
    owner, _ = world.client(), world.worker()
    graph = submitted(world, owner, {"a": "", "b": "a"}, "b")
    result = TaskResult(graph["a"].id, FAILED, b"", (bytes(128), bytes(128)))
    world.dispatched(graph["a"]).send(result)
    owner.expect(result, "S12.7")
    owner.expect(TaskResult(graph["b"].id, FAILED), "S12.7")


@case("S12.7", "S12.14", title="a failure that has no name")
def unknown_failure(world: World) -> None:
    """a ends with a resultType that nobody knows. It is passed on to what needs it, and to the graph, as it is."""
    owner, _ = world.client(), world.worker()
    graph = submitted(world, owner, {"c": "b", "b": "a", "a": ""}, "c")
    fails(world, owner, graph, 7)
    owner.expect(TaskResult(graph.ref.id, 7), "S12.14")
    owner.expect_nothing("S12.14")


@case("S12.7", title="one dependency fails, another succeeds")
def failure_and_success(world: World) -> None:
    """c needs a and b. One fails and the other succeeds, in either order: c has the failure, once, and never runs."""
    owner, worker = world.client(), world.worker()
    for bad, good in ("ab", "ba"):
        for first in (bad, good):
            graph = submitted(world, owner, {"a": "", "b": "", "c": "ab"}, "b", "c", "a")
            for name in (first, bad if first == good else good):
                holder = world.dispatched(graph[name])
                owner.expect(holder.finish(graph[name], FAILED if name == bad else TaskResultType.SUCCESS), "S1.1")
            copies = [m for m in owner.waiting(graph["c"]) if isinstance(m, TaskResult)]
            once = len(copies) == 1 and copies[0].result_type == FAILED
            world.check("S12.7", once, "c has the failure", f"{owner.name} got {len(copies)} results of it")
            owner.inbox[:] = [message for message in owner.inbox if message not in copies]
            worker.expect_nothing("S12.7")
            graph.ends(owner, FAILED)


@case("S12.8", "S12.14", title="a failure is none of what does not need it")
def independent(world: World) -> None:
    """a fails while x runs, which y needs. Both succeed; only the graph has failed, as a did, though what runs z dies
    later.
    """
    owner, worker = world.client(), world.worker()
    graph = submitted(world, owner, {"a": "", "x": "", "y": "x", "z": ""}, "a", "y", "z")
    failing = world.dispatched(graph["a"])
    running = world.dispatched(graph["x"])
    dying = world.dispatched(graph["z"])
    owner.expect(failing.finish(graph["a"], FAILED), "S1.1")
    owner.expect_nothing("S12.8")
    worker.expect_nothing("S12.8")
    owner.expect(running.finish(graph["x"]), "S12.8")
    owner.expect(world.dispatched(graph["y"], "S12.8").finish(graph["y"]), "S12.8")
    owner.expect(dying.finish(graph["z"], DIED), "S12.8")
    graph.ends(owner, FAILED)


@case("S12.8", title="what runs for nothing is not killed")
def running_for_nothing(world: World) -> None:
    """c needs a and x, which both run. a fails, and with it c. Nobody has asked to kill x: it runs on, and its result
    is forwarded once.
    """
    owner, worker = world.client(), world.worker()
    graph = submitted(world, owner, {"a": "", "x": "", "c": "ax"}, "c")
    holders = {name: world.dispatched(graph[name]) for name in "ax"}
    failed = holders["a"].finish(graph["a"], FAILED)
    owner.expect(failed, "S1.1")
    owner.expect(TaskResult(graph["c"].id, FAILED, b"", failed.results), "S12.7")
    worker.expect_nothing("S12.8")
    owner.expect_nothing("S12.8")
    owner.expect(holders["x"].finish(graph["x"]), "S12.8")
    graph.ends(owner, FAILED)


@case("S12.9", title="what is not needed any more is not dispatched")
def not_needed(world: World) -> None:
    """c needs a and b, and there is room for one. It fails, and with it c. The other ends with c, in the same step, and
    is not dispatched.
    """
    owner, worker = world.client(), world.worker(queue_size=1)
    graph = submitted(world, owner, {"a": "", "b": "", "c": "ab"}, "c")
    world.wait_until(lambda: bool(worker.inbox))
    first, other = "ab" if worker.waiting(graph["a"]) else "ba"
    failed = world.dispatched(graph[first]).finish(graph[first], FAILED)
    owner.expect(failed, "S1.1")
    owner.expect(TaskResult(graph["c"].id, FAILED, b"", failed.results), "S12.7")
    worker.expect_nothing("S12.9", vital=True)
    owner.expect(TaskResult(graph[other].id, FAILED, b"", failed.results), "S12.9")
    graph.ends(owner, FAILED)


@case("S12.9", title="what is not needed any more comes back")
def not_needed_comes_back(world: World) -> None:
    """c needs a and x, which run. a fails, and with it c. The worker leaves, and x with it: it is not dispatched again,
    and ends as c did.
    """
    owner, leaving = world.client(), world.worker()
    graph = submitted(world, owner, {"a": "", "x": "", "c": "ax"}, "c")
    for name in "ax":
        world.dispatched(graph[name])
    failed = leaving.finish(graph["a"], FAILED)
    owner.expect(failed, "S1.1")
    owner.expect(TaskResult(graph["c"].id, FAILED, b"", failed.results), "S12.7")
    other = world.worker()
    leaving.leave()
    world.wait_until(lambda: bool(owner.inbox or other.inbox))
    other.expect_nothing("S12.9", vital=True)
    owner.expect(TaskResult(graph["x"].id, FAILED, b"", failed.results), "S12.9")
    graph.ends(owner, FAILED)


@case("S12.20", title="a Task that names another task")
def task_argument_outside(world: World) -> None:
    """A Task has an argument of type `task`, and is in no graph. It is forwarded as it is, whatever it names."""
    owner, _ = world.client(), world.worker()
    named, task = world.new_task(), world.new_task()
    owner.send(owner.task_message(task, arguments=(Argument(ArgumentType.TASK, named.id),)))
    holder = world.dispatched(task, "S12.20")
    owner.expect(holder.finish(task, FAILED), "S12.20")
