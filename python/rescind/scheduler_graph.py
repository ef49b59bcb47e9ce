"""Graphs of a scheduler: which node waits for which, whose result is still needed, and how a graph ends.

Only books: what happens to a node is looked up in `scheduler_table.TRANSITIONS` like what happens to any other task.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from graphlib import CycleError, TopologicalSorter
from typing import Final

from rescind.messages import (
    Argument,
    ArgumentType,
    CancelConfirmType,
    GraphTask,
    Task,
    TaskCancelConfirm,
    TaskResult,
    TaskResultType,
)
from rescind.scheduler_table import TaskInput

MAX_HANDED_ON: Final = 255
"""Bytes of the payload ids of one TaskResult that are handed on to dependants: a message of a worker may name any, and
each dependant's message would have them again, perhaps in each argument."""
_NODE_BYTES: Final = 256
"""What a Task has beside what it names."""
_ELEMENT_BYTES: Final = 24
"""What an element of a list takes beside its Data or Text, rounded up."""


class BadGraph(ValueError):
    """A GraphTask that cannot be run (S12.1); the text says why."""


@dataclass(slots=True, eq=False)
class Node:
    """One task of a graph, from the submission to the end of the graph."""

    task: Task
    graph: Graph
    is_target: bool
    dependencies: list[Node] = field(default_factory=list)
    dependants: list[Node] = field(default_factory=list)
    missing: int = 0
    """Dependencies that have not succeeded yet."""
    needed_by: int = 0
    """Dependants that have not ended."""
    asked: TaskInput | None = None
    """The last cancel that it was given, or SKIP if it failed: what its end passes on."""
    spared: TaskInput | None = None
    """What it gets if it comes back from its worker: it is not needed any more."""
    failure: TaskResult | None = None
    """Why it, or what it depends on, failed."""
    outcome: TaskResult | None = None
    """The TaskResult that it ended with."""
    results: tuple[bytes, ...] = ()
    """The payloads of its success."""

    def call(self) -> Task:
        """The Task for a worker: the dependencies' results in the place of their ids (S12.5)."""
        nodes = self.graph.nodes
        arguments = tuple(
            Argument(ArgumentType.OBJECT_ID, nodes[each.data].results[0]) if each.type == ArgumentType.TASK else each
            for each in self.task.function_args
        )
        return replace(self.task, function_args=arguments)


@dataclass(slots=True, eq=False)
class Graph:
    """A GraphTask that was accepted and is not over."""

    graph_id: bytes
    owner: bytes
    nodes: dict[bytes, Node] = field(default_factory=dict)
    open: dict[bytes, None] = field(default_factory=dict)
    """The nodes that have not ended."""
    unasked: dict[bytes, None] = field(default_factory=dict)
    """Those of them that have no owner's round open: another cancel of the graph means these, and no others."""
    unforced: dict[bytes, None] = field(default_factory=dict)
    """Those that have none with force."""
    asking: bool = False
    """Whether a round of the whole graph is open (S12.13)."""
    canceled: bool = False
    failure: TaskResult | None = None
    weight: int = 0
    """What its nodes weigh, by what their Tasks may take when they are sent."""
    largest: int = 0
    """What the heaviest node weighs."""

    def last_word(self) -> TaskResult | TaskCancelConfirm:
        """Its terminal message (S12.14)."""
        if self.canceled:
            return TaskCancelConfirm(self.graph_id, CancelConfirmType.CANCELED)
        return TaskResult(self.graph_id, self.failure.result_type if self.failure else TaskResultType.SUCCESS)

    def dissolve(self) -> None:
        """It is over, or was refused: untie its nodes, so that nothing is left for a garbage collector."""
        for node in self.nodes.values():
            node.dependencies.clear()
            node.dependants.clear()
        self.nodes.clear()


def plan(message: GraphTask, owner: bytes) -> Graph:
    """The books of a new graph. Raises `BadGraph`."""
    graph = Graph(message.task_id, owner)
    try:
        _fill(graph, message)
    except BadGraph:
        graph.dissolve()
        raise
    graph.open, graph.unasked, graph.unforced = (dict.fromkeys(graph.nodes) for _ in range(3))
    return graph


def _fill(graph: Graph, message: GraphTask) -> None:
    targets = set(message.targets)
    for task in message.graph:
        if task.task_id in graph.nodes or task.task_id == message.task_id:
            raise BadGraph("an id twice in a graph")
        graph.nodes[task.task_id] = Node(task, graph, task.task_id in targets)
        weight = _weight(task)
        graph.weight += weight
        graph.largest = max(graph.largest, weight)
    if not targets <= graph.nodes.keys():
        raise BadGraph("a target that is not in its graph")
    for node in graph.nodes.values():
        # In the order of the arguments: a set of bytes has another one in each process.
        dependencies = dict.fromkeys(each.data for each in node.task.function_args if each.type == ArgumentType.TASK)
        if not dependencies.keys() <= graph.nodes.keys():
            raise BadGraph("an argument that is not in its graph")
        node.dependencies = [graph.nodes[each] for each in dependencies]
        node.missing = len(dependencies)
        for each in node.dependencies:
            each.dependants.append(node)
            each.needed_by += 1
    try:
        TopologicalSorter({node: node.dependencies for node in graph.nodes.values()}).prepare()
    except CycleError as error:
        raise BadGraph("a cycle in a graph") from error


def _weight(task: Task) -> int:
    """The most bytes that the Task for a worker may have (S12.5), whatever its dependencies' results are."""
    arguments = sum(MAX_HANDED_ON if each.type == ArgumentType.TASK else len(each.data) for each in task.function_args)
    capabilities = sum(4 * len(each.name) for each in task.capabilities)
    named = len(task.task_id) + len(task.source) + len(task.metadata) + len(task.func_object_id)
    elements = len(task.function_args) + len(task.capabilities)
    return _NODE_BYTES + named + arguments + capabilities + _ELEMENT_BYTES * elements


def handed_on(result: TaskResult) -> TaskResult:
    """What of a node's TaskResult may be handed on: its payload ids, unless they are too long (S12.6, S12.7)."""
    return result if sum(map(len, result.results)) <= MAX_HANDED_ON else replace(result, results=())


Consequence = tuple[bytes, TaskInput | tuple[bytes, ...]]
"""What a node gets, by its id; or payloads of its that nobody needs any more."""


def settle(node: Node) -> Iterator[Consequence]:
    """What the end of a node means for the nodes of its graph, itself included."""
    outcome, node.outcome = node.outcome, None
    succeeded = outcome is not None and outcome.result_type == TaskResultType.SUCCESS
    if outcome is None:
        node.graph.canceled = True
    elif succeeded:
        node.results = outcome.results
    if outcome is not None and succeeded and node.dependants and len(node.results) != 1:
        outcome, succeeded = TaskResult(b"", TaskResultType.FAILED_WORKER_DIED), False  # S12.6
    if outcome is not None and not succeeded:
        node.failure, node.asked = replace(outcome, metadata=b""), TaskInput.SKIP
        node.graph.failure = node.graph.failure or node.failure
    for each in node.dependants:
        if not succeeded:
            yield from _spare(each, node)
            continue
        each.missing -= 1
        if not each.missing and each.task.task_id in node.graph.open:
            yield each.task.task_id, TaskInput.READY
    yield from _release(node)
    for each in node.dependencies:
        each.needed_by -= 1
        yield from _release(each)
        if not each.needed_by and not each.is_target:
            yield from _spare(each, node)


def _release(each: Node) -> Iterator[Consequence]:
    if each.results and not each.needed_by and not each.is_target:
        yield each.task.task_id, each.results  # S12.17


def _spare(each: Node, cause: Node) -> Iterator[Consequence]:
    """`each` cannot run, or need not, because of how `cause` has ended. If it has begun, its row decides."""
    if each.task.task_id in each.graph.open and cause.asked is not None:
        each.spared, each.failure = cause.asked, each.failure or cause.failure
        yield each.task.task_id, cause.asked
