"""The graphs in the books of a client's judge: which ids are whose, and what is released only when one has ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rescind.messages import GraphTask
from rescind_conformance.judge.client_books import Call, Future, Stage


@dataclass(slots=True)
class Graph:
    """A graph whose terminal message has not come. Its fields are plain values: a copy of it is one."""

    targets: tuple[bytes, ...]
    inner: tuple[bytes, ...]
    """The nodes that are no targets."""
    kept: tuple[bytes, ...] = ()
    """Nodes with a result that is to be released when the graph has ended (C13.2)."""


Graphs = Mapping[bytes, Graph]
"""By the id of the graph."""


def book_of(message: GraphTask) -> Graph:
    """The entry of a graph that was sent."""
    return Graph(message.targets, tuple(node.task_id for node in message.graph if node.task_id not in message.targets))


def graph_of(graphs: Graphs, task_id: bytes) -> Graph | None:
    """The graph that a task is a node of, if that goes on."""
    return next((one for one in graphs.values() if task_id in one.targets or task_id in one.inner), None)


def is_inner(graphs: Graphs, task_id: bytes) -> bool:
    """Whether it is a node of a graph that goes on, and no target."""
    return any(task_id in one.inner for one in graphs.values())


def ids_of(message: GraphTask) -> Iterable[bytes]:
    """Every id that it gives a meaning to."""
    return message.task_id, *(node.task_id for node in message.graph)


def asked_for(graphs: Graphs, futures: Mapping[bytes, Future], calls: Iterable[Call], task_id: bytes) -> bytes | None:
    """The target whose `cancel()` a TaskCancel is for that has the id of its graph, or of a node that is no target.

    None if there is none that waits for one, or the id is another.
    """
    graph = graphs.get(task_id) or graph_of(graphs, task_id)
    if graph is None or task_id in graph.targets:
        return None
    for call in calls:
        future = futures.get(call.task)
        if call.asks and call.task in graph.targets and future is not None and future.stage is Stage.RUNNING:
            return call.task
    return None
