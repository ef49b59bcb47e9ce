"""Faults of clients with graphs."""

from __future__ import annotations

from typing import Any

from client_bending import drop_instructions, fault, patch

from rescind import call_graph
from rescind.client_machine import ClientMachine, Deliver, GraphEnded, SetCancelled
from rescind.client_table import CancelOutcome
from rescind.messages import TaskCancel
from rescind.result_keeper import ResultKeeper
from rescind.scheduler_link import SchedulerLink


@fault
def the_end_of_a_graph_cancels_its_targets() -> None:
    def make(handle: Any) -> Any:
        def changed(self: ClientMachine, event: Any) -> list[Any]:
            targets = {each: graph.targets for each, graph in self._graphs.items()}
            out = handle(self, event)
            ended = [
                target for each in out if isinstance(each, GraphEnded) for target in sorted(targets[each.graph_id])
            ]
            left = [target for target in ended if self._futures.pop(target, None) is not None]
            return [*out, *(SetCancelled(target, CancelOutcome.CONFIRMED) for target in left)]

        return changed

    patch(ClientMachine, "handle", make)


@fault
def results_of_targets_are_released_when_they_are_read() -> None:
    ResultKeeper.hold = lambda *_: None  # type: ignore[method-assign]


@fault
def what_a_graph_discards_is_never_released() -> None:
    drop_instructions(lambda each, out: each not in out[:1] and any(isinstance(one, GraphEnded) for one in out))


@fault
def the_cancel_of_a_target_names_another_node() -> None:
    nodes: dict[bytes, bytes] = {}

    def make(send: Any) -> Any:
        def changed(self: SchedulerLink, message: Any) -> None:
            for target in getattr(message, "targets", ()):
                nodes[target] = next(task.task_id for task in message.graph if task.task_id not in message.targets)
            if isinstance(message, TaskCancel):
                message = TaskCancel(nodes.get(message.task_id, message.task_id), message.force)
            send(self, message)

        return changed

    patch(SchedulerLink, "send", make)


@fault
def only_the_first_target_is_delivered() -> None:
    delivered: set[bytes] = set()

    def second(each: Any, _: list[Any]) -> bool:
        if not isinstance(each, Deliver) or not each.graph_id:
            return False
        again = each.graph_id in delivered
        delivered.add(each.graph_id)
        return again

    drop_instructions(second)


@fault
def a_cycle_is_sent() -> None:
    class Anything:
        def __init__(self, _: object) -> None:
            pass

        def prepare(self) -> None:
            pass

    patch(call_graph, "TopologicalSorter", lambda _: Anything)
