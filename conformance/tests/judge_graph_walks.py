"""Random lives of the reference's client with a graph, and faults in them for the judge to find; see `judge_walks`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from judge_walks import IDS, ClientWalk, Fault

from rescind import client_machine as client
from rescind.client_table import CancelOutcome
from rescind.messages import (
    Argument,
    ArgumentType,
    GraphTask,
    Message,
    Task,
    TaskCancel,
    TaskCancelConfirm,
    TaskResult,
    TaskResultType,
)

FIRST, INNER, LAST = IDS[:3]
GRAPH = GraphTask(
    b"G1",
    targets=(LAST, FIRST),
    graph=tuple(
        Task(task_id, function_args=tuple(Argument(ArgumentType.TASK, each) for each in needs))
        for task_id, needs in ((LAST, [INNER, FIRST]), (INNER, [FIRST]), (FIRST, []))
    ),
)


class GraphWalk(ClientWalk):
    """A client with a graph of three nodes, two of them targets, and one other task."""

    def _submit(self) -> None:
        if self._submitted:
            super()._submit()
        else:
            self._submitted = len(GRAPH.graph)
            self._handle(client.SubmitGraph(GRAPH))

    def _call(self, task_id: bytes, *, asks: bool) -> None:
        if task_id != INNER:  # it has no future
            super()._call(task_id, asks=asks)

    def _about(self, task_id: bytes) -> Message:
        return super()._about(self._pick((task_id, task_id, task_id, GRAPH.task_id, INNER)))


class WholesaleWalk(GraphWalk):
    """It asks with the id of the graph, as C13.3 allows."""

    def _sent(self, message: Message) -> None:
        if isinstance(message, TaskCancel) and self._machine._graph_of.get(message.task_id):
            message = replace(message, task_id=GRAPH.task_id)
        super()._sent(message)


def settles_at_the_end(event: object, decided: list[Any]) -> list[Any]:
    message = event.message if isinstance(event, client.Received) else None
    ended = isinstance(message, TaskResult | TaskCancelConfirm) and client.GraphEnded(GRAPH.task_id) in decided
    return [client.SetCancelled(LAST, CancelOutcome.CONFIRMED), *decided] if ended else decided


def releases_at_once(whose: tuple[bytes, ...]) -> Fault[Any]:
    def fault(event: object, decided: list[Any]) -> list[Any]:
        message = event.message if isinstance(event, client.Received) else None
        if not isinstance(message, TaskResult) or message.task_id not in whose or not message.results:
            return decided
        released = message.result_type == TaskResultType.SUCCESS
        return [*decided, client.ReleaseResult(message)] if released else decided

    return fault


def keeps_what_was_discarded(event: object, decided: list[Any]) -> list[Any]:
    ended = any(isinstance(one, client.GraphEnded) for one in decided)
    return [one for one in decided if not (ended and isinstance(one, client.ReleaseResult))]


def asks_for_another(event: object, decided: list[Any]) -> list[Any]:
    return [
        client.Send(replace(one.message, task_id=INNER))
        if isinstance(one, client.Send) and isinstance(one.message, TaskCancel) and one.message.task_id == LAST
        else one
        for one in decided
    ]


class Circular(GraphWalk):
    """It sends a graph with a cycle."""

    def _sent(self, message: Message) -> None:
        if isinstance(message, GraphTask):
            needs_last = (Argument(ArgumentType.TASK, LAST),)
            message = replace(message, graph=tuple(replace(each, function_args=needs_last) for each in message.graph))
        super()._sent(message)


def _graph(fault: Fault[client.Instruction]) -> Callable[[Any], GraphWalk]:
    return partial(GraphWalk, fault=fault)


GRAPH_FAULTS: dict[str, tuple[Callable[[Any], GraphWalk], str]] = {
    "the end of its graph cancels a target": (_graph(settles_at_the_end), "C13.1"),
    "results of targets are released when they come": (_graph(releases_at_once((FIRST, LAST))), "C13.2"),
    "results of other nodes are released when they come": (_graph(releases_at_once((INNER,))), "C13.2"),
    "what was discarded is kept for ever": (_graph(keeps_what_was_discarded), "C13.2"),
    "it asks for another node": (_graph(asks_for_another), "C13.3 C1.1 C2.3 C3.1 C4.1 C4.2 C6.3 C7.1 C10.1 C10.2"),
    "it sends a cycle": (Circular, "C13.4"),
}
