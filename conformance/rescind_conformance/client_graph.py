"""A graph that the client under test submits, and what is expected of it; used by cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rescind.messages import (
    ArgumentType,
    CancelConfirmType,
    GraphTask,
    TaskCancel,
    TaskResult,
    TaskResultType,
)
from rescind_conformance.adapter_calls import Call
from rescind_conformance.client_world import ClientWorld
from rescind_conformance.findings import new_task_id
from rescind_conformance.peers import TaskRef

Shape = Mapping[str, Sequence[str]]
"""By the name of each node the names of those whose results are its arguments, in order."""

DIAMOND: Shape = {"D": ("B", "C"), "B": ("A",), "C": ("A",), "A": ()}


@dataclass(slots=True)
class ClientGraph:
    """A graph whose GraphTask has come. For one thread."""

    world: ClientWorld
    ref: TaskRef
    message: GraphTask
    nodes: dict[str, TaskRef] = field(default_factory=dict)
    """By the names of its shape."""

    def finish(self, name: str, result_type: TaskResultType | int = TaskResultType.SUCCESS, text: str = "") -> bytes:
        """Send the result of a node; its object's id."""
        return self.world.finish(self.nodes[name], result_type, text)

    def fail_with(self, error: bytes, *names: str) -> None:
        """Send for each of these nodes that it has failed with this error."""
        for name in names:
            self.world.send(TaskResult(self.nodes[name].id, TaskResultType.FAILED, results=(error,)))

    def confirm(self, kind: CancelConfirmType | int, *names: str) -> None:
        """Send a TaskCancelConfirm for each of these nodes."""
        for name in names:
            self.world.confirm(self.nodes[name], kind)

    def end(self, result_type: TaskResultType | int = TaskResultType.SUCCESS) -> None:
        """Send the terminal message of the graph."""
        self.world.send(TaskResult(self.ref.id, result_type))

    def open_round(self, name: str, *, force: bool = False, time_limit: float | None = None) -> Call:
        """Have a thread call `cancel()` of a target, and take its TaskCancel: with the target's id or the graph's."""
        world, target = self.world, self.nodes[name]
        call = world.start_cancel(target, force=force, time_limit=time_limit)
        ids = (target.id, self.ref.id)

        def asked() -> list[TaskCancel]:
            return [one for one in world.inbox if isinstance(one, TaskCancel)]

        world.wait_for(
            "C13.3",
            lambda: bool(asked()),
            f"C1 sends TaskCancel {target.name} or {self.ref.name}",
            lambda: "it sent no TaskCancel",
            vital=True,
        )
        (sent, *_) = asked()
        world.inbox.remove(sent)
        right = sent.task_id in ids and (sent.force is force or "force" not in world.features)
        expected = f"C1 sends TaskCancel {target.name} or {self.ref.name}{' force' if force else ''}"
        world.check("C13.3", right, expected, f"it sent {world.describe(sent)}", vital=True)
        return call

    def expect_not_settled(self, requirement: str, *names: str) -> None:
        """Fence, then check that these targets are not settled."""
        with self.world.unresponsive_means(requirement):
            self.world.fence()
        for name in names:
            self.world.expect_state(self.nodes[name], requirement, settled=False)

    def let_it_release(self) -> None:
        """Fence; and where that can be seen wait until the client has released what was to go by then."""
        world = self.world
        if "release" not in world.features:
            world.fence()
            return
        later = world.payload("nobody's result")
        world.send(TaskResult(new_task_id(), results=(later,)))
        world.fence()
        world.wait_a_moment_for_release(later)

    def expect_kept(self, what: str, object_ids: Sequence[bytes], requirement: str = "C13.2") -> None:
        """Check that these objects are still stored when the client has handled all that was sent to it, and has done
        what it does of that (feature `release`).
        """
        world = self.world
        world.needs("release")
        with world.unresponsive_means(requirement):
            self.let_it_release()
        for object_id in object_ids:
            stored = world.ask("stored", "", object_id=object_id.hex())["returned"]
            world.check(requirement, stored, f"{what} is still stored", "it is not")


def numbered(shape: Shape, number: int) -> Shape:
    """The same shape with names of its own: a case can tell the nodes of several graphs apart."""
    return {f"{name}{number}": [f"{each}{number}" for each in arguments] for name, arguments in shape.items()}


def submit_graph(world: ClientWorld, *targets: str, shape: Shape = DIAMOND) -> ClientGraph:
    """Have the client submit a graph, and take its GraphTask (feature `graphs`)."""
    world.needs("graphs")
    answer = world.ask("graph", _told(shape, targets), "C13.4", **_fields(shape, targets))
    graphs = [one for one in world.names.values() if one.startswith("G")]
    name = f"G{len(graphs) + 1}"

    def come() -> list[GraphTask]:
        return [one for one in world.inbox if isinstance(one, GraphTask)]

    world.wait_for("C13.1", lambda: bool(come()), "C1 sends a GraphTask", lambda: "it did not", vital=True)
    (message,) = come()
    world.inbox.remove(message)
    graph = ClientGraph(world, TaskRef(message.task_id, name), message)
    _name_nodes(graph, shape, {one: bytes.fromhex(answer["task_ids"][one]) for one in targets})
    world.names.update({one.id: one.name for one in (graph.ref, *graph.nodes.values())})
    return graph


def refuse_graph(world: ClientWorld, what: str, *targets: str, shape: Shape) -> None:
    """Check that the client raises instead of sending a graph that cannot run (C13.4)."""
    world.needs("graphs")
    call = world.call("graph", _told(shape, targets), **_fields(shape, targets))
    world.wait_for("C13.4", lambda: call.returned, f"{call.text} raises", lambda: "it waits on", vital=True)
    raised = call.answer is not None and call.answer["event"] == "raised"
    world.check("C13.4", raised, f"{call.text}, {what}, raises", call.in_words)
    world.expect_nothing("C13.4")


def _told(shape: Shape, targets: Sequence[str]) -> str:
    nodes = ", ".join(f"{name}({', '.join(arguments)})" for name, arguments in shape.items())
    return f"graph({nodes} for {', '.join(targets)})"


def _fields(shape: Shape, targets: Sequence[str]) -> dict[str, object]:
    nodes = [{"task": name, "arguments": list(arguments)} for name, arguments in shape.items()]
    return {"nodes": nodes, "targets": list(targets)}


def _name_nodes(graph: ClientGraph, shape: Shape, targets: Mapping[str, bytes]) -> None:
    """Find out which task is which node: targets by their ids, the others by whose arguments they are."""
    tasks = {task.task_id: task for task in graph.message.graph}
    found = list(targets.items())
    for name, task_id in found:
        task = tasks.get(task_id)
        named = [one.data for one in task.function_args if one.type == ArgumentType.TASK] if task is not None else []
        if task is None or len(named) != len(shape[name]):
            raise graph.world.adapter.fault(f"the GraphTask that came is not the graph that was submitted: see {name}")
        graph.nodes[name] = TaskRef(task_id, name)
        found += [one for one in zip(shape[name], named, strict=True) if one[0] not in dict(found)]


def arguments_of(graph: ClientGraph) -> list[bytes]:
    """The ids of the functions and arguments that the nodes of a graph name."""
    arguments = [one for task in graph.message.graph for one in task.function_args]
    objects = [one.data for one in arguments if one.type == ArgumentType.OBJECT_ID]
    return list(dict.fromkeys([*objects, *(task.func_object_id for task in graph.message.graph)]))
