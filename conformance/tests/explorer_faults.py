"""Faults put into the reference's machines on purpose, each with the shortest order in which it shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import pytest

from rescind import client_machine, client_table, scheduler_table, scheduler_tasks, worker_machine, worker_table
from rescind.client_machine import ClientMachine, ReleaseResult
from rescind.client_machine import Event as ClientEvent
from rescind.client_machine import Instruction as ClientInstruction
from rescind.client_table import FutureState
from rescind.messages import CancelConfirmType, WorkerDisconnectNotification
from rescind.scheduler_machine import SchedulerMachine
from rescind.scheduler_table import TaskState
from rescind.worker_machine import Event as WorkerEvent
from rescind.worker_machine import Instruction as WorkerInstruction
from rescind.worker_machine import Leave, Send, WorkerMachine
from rescind.worker_table import AssignmentInput, AssignmentState
from rescind_conformance.explorer.cast import Cast
from rescind_conformance.explorer.counterexample import Counterexample, counterexample, shortest_of
from rescind_conformance.explorer.scenario import Scenario
from rescind_conformance.explorer.system import System
from rescind_conformance.explorer.walk import walk

_PLACES: Mapping[type, tuple[Any, Any]] = {
    TaskState: (scheduler_tasks, scheduler_table),
    FutureState: (client_machine, client_table),
    AssignmentState: (worker_machine, worker_table),
}


@dataclass(frozen=True, eq=False)
class Fault:
    """A fault, a scenario in which it shows, and how."""

    name: str
    scenario: Scenario
    requirement: str
    words: list[str]
    """The shortest order."""
    rows: dict[Any, Any] = field(default_factory=dict)
    """Rows of a table by state and input; None: the row is missing."""
    cast: Cast = Cast()

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Change the tables, for one test."""
        for key, row in self.rows.items():
            machine, table = _PLACES[type(key[0])]
            rows = dict(machine.TRANSITIONS)
            if row is None:
                del rows[key]
            else:
                rows[key] = table.Transition(*row)
            monkeypatch.setattr(machine, "TRANSITIONS", rows)


@cache
def shown(fault: Fault) -> Counterexample:
    """How the explorer shows it."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        fault.install(monkeypatch)
        system = System(fault.scenario, fault.cast)
        result = walk(system)
        assert result.closed
        return counterexample(system, result, shortest_of(result, fault.requirement))


class TakesLostPeersBack(SchedulerMachine):
    """Forgets that a peer was lost."""

    def _remember_lost(self, identity: bytes, peer: Any) -> None:
        pass


class LeaksPlaces(SchedulerMachine):
    """Does not list a worker again when a task ends there."""

    def _take_from_worker(self, task: Any) -> None:
        worker, task.worker = task.worker, None
        if worker is not None:
            del worker.tasks[task.task_id]


class StartsCancelled(WorkerMachine):
    """Answers a cancel of a queued task, and keeps the task."""

    def _apply(self, assignment: Any, given: AssignmentInput, result: Any = None) -> None:
        if (assignment.state, given) == (AssignmentState.QUEUED, AssignmentInput.CANCEL):
            self._confirm(assignment.task.task_id, CancelConfirmType.CANCELED)
        else:
            super()._apply(assignment, given, result)


class KeepsResults(ClientMachine):
    """Does not release a result that it discards."""

    def handle(self, event: ClientEvent) -> list[ClientInstruction]:
        return [each for each in super().handle(event) if not isinstance(each, ReleaseResult)]


class SaysGoodByeFirst(WorkerMachine):
    """Says good-bye before what runs has ended."""

    def handle(self, event: WorkerEvent) -> list[WorkerInstruction]:
        instructions = super().handle(event)
        good_bye = Send(WorkerDisconnectNotification())
        instructions = [each for each in instructions if each != good_bye]
        return [good_bye, *instructions] if isinstance(event, Leave) else instructions


class ReleasesForNodes(ClientMachine):
    """Releases a result that it discards, though another node of its graph may read it."""

    def _discard(self, result: Any) -> None:
        self._out.append(ReleaseResult(result))
