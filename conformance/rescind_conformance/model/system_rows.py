"""The shortest paths of the explorer's system to each row of the state tables: chance seldom finds the rarest ones."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from rescind.client_machine import ClientMachine
from rescind.client_table import FutureInput
from rescind.messages import TaskResult
from rescind.scheduler_machine import SchedulerMachine
from rescind.scheduler_table import TaskInput
from rescind.scheduler_tasks import TaskRecord
from rescind.worker_machine import WorkerMachine, _Assignment
from rescind.worker_table import AssignmentInput
from rescind_conformance.explorer.cast import Bench, Cast
from rescind_conformance.explorer.packed import State
from rescind_conformance.explorer.scenario import Scenario
from rescind_conformance.explorer.steps import SCHEDULER_NAME, Step
from rescind_conformance.explorer.system import System

Row = tuple[str, str, str]
"""Table, state, event."""


class PathToRow(NamedTuple):
    """Steps of the explorer, of which the last one takes the row, or another that could happen there does."""

    row: Row
    steps: tuple[Step, ...]


class _Watch:
    """The rows that machines of this watch take."""

    def __init__(self) -> None:
        self.taken: list[Row] = []

    def cast(self) -> Cast:
        taken = self.taken

        class Scheduler(SchedulerMachine):
            def _apply(self, task: TaskRecord, given: TaskInput, frame: bytes | None = None) -> None:
                taken.append(("scheduler", task.state.value, given.value))
                super()._apply(task, given, frame)

        class Client(ClientMachine):
            def _apply(self, task_id: bytes, given: FutureInput, result: TaskResult | None = None) -> bool:
                state = self._futures.get(task_id)
                known = super()._apply(task_id, given, result)
                if known and state is not None:
                    taken.append(("client", state.value, given.value))
                return known

        class Worker(WorkerMachine):
            def _apply(self, assignment: _Assignment, given: AssignmentInput, result: TaskResult | None = None) -> None:
                taken.append(("worker", assignment.state.value, given.value))
                super()._apply(assignment, given, result)

        return Cast(Scheduler, Client, Worker)


_ACTORS = {"scheduler": SCHEDULER_NAME, "client": "C", "worker": "W"}


def paths_to_rows(scenario: Scenario, known: set[Row], most_states: int) -> Iterator[PathToRow]:
    """Paths to the rows that are not in `known`, to which they are added; so many states are looked at, at most.

    A step is computed once, when a state is looked at in which it can happen. So a row that is new was taken by one of
    the steps that can happen there, and there is a path for each of these that the row's party takes.
    """
    watch = _Watch()
    system = System(scenario, watch.cast(), Bench())
    known |= set(watch.taken)
    watch.taken.clear()
    came: dict[State, tuple[State, int] | None] = {system.initial: None}
    waiting = deque([system.initial])
    while waiting and len(came) < most_states:
        state = waiting.popleft()
        # Not reduced: a reduction would look ahead.
        following = system.successors(state, False)
        new = dict.fromkeys(row for row in watch.taken if row not in known)
        watch.taken.clear()
        for row in new:
            known.add(row)
            for each in following:
                if system.labels[each.label].actor.startswith(_ACTORS[row[0]]):
                    labels = (*_path(came, state), each.label)
                    yield PathToRow(row, tuple(system.labels[label] for label in labels))
        if not following and (rest := system.rest(state).goes_on) is not None:
            following = [rest]
        for each in following:
            if each.state not in came:
                came[each.state] = (state, each.label)
                waiting.append(each.state)


def _path(came: dict[State, tuple[State, int] | None], state: State) -> tuple[int, ...]:
    labels: list[int] = []
    while (step := came[state]) is not None:
        state, label = step
        labels.append(label)
    return tuple(reversed(labels))
