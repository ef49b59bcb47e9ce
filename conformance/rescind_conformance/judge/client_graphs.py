"""The graphs in the books of a client's judge: which ids are whose, and what is released only when one has ended."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
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


def take_released(graphs: Graphs, task_id: bytes) -> bool:
    """Payloads of a result of this task are released. Whether it is a node of a graph that goes on."""
    graph = graph_of(graphs, task_id)
    if graph is not None:
        graph.kept = tuple(each for each in graph.kept if each != task_id)
    return graph is not None


def ids_of(message: GraphTask) -> Iterable[bytes]:
    """Every id that it gives a meaning to."""
    return message.task_id, *(node.task_id for node in message.graph)


def asked_for(graphs: Graphs, futures: Mapping[bytes, Future], calls: Iterable[Call], task_id: bytes) -> list[bytes]:
    """The targets that a TaskCancel may be for which has the id of their graph, or of another node of it.

    With the id of the graph it is for one that a `cancel()` waits for; where that is not one alone it may be for any
    that runs. With the id of another node it is only known to be for those that are waited for. Empty for other ids.
    """
    graph = graphs.get(task_id) or graph_of(graphs, task_id)
    if graph is None or task_id in graph.targets:
        return []
    running = [each for each in graph.targets if each in futures and futures[each].stage is Stage.RUNNING]
    asking = {call.task for call in calls if call.asks}
    waiting = [each for each in running if each in asking]
    return waiting if len(waiting) == 1 or task_id not in graphs else running


def leave_unclear(futures: Mapping[bytes, Future], calls: Iterable[Call], targets: Collection[bytes]) -> None:
    """Nobody can tell whose round was opened: nothing about these targets is judged from here on."""
    for each in targets:
        futures[each].stage = Stage.UNCLEAR
    for call in calls:
        if call.task in targets:
            call.answers = (False, True)
