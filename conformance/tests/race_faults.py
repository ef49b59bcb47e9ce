"""Machines with faults that the race tests must find. They can be named on a command line, as FILE.py:NAME."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

from rescind import client_table, scheduler_table, worker_table
from rescind.client_machine import ClientMachine, ReleaseResult
from rescind.client_table import FutureInput, FutureState
from rescind.messages import WorkerDisconnectNotification
from rescind.scheduler_machine import SchedulerMachine
from rescind.scheduler_table import TaskInput, TaskState
from rescind.worker_machine import Send, WorkerMachine
from rescind.worker_table import AssignmentInput, AssignmentState
from rescind_conformance.races import ReferenceClient, ReferenceScheduler, ReferenceWorker


@contextmanager
def rows(table: Any, changed: Mapping[Any, Any]) -> Iterator[None]:
    """Within: these rows of a table are others; None: the row is missing."""
    before = dict(table)
    for key, row in changed.items():
        if row is None:
            del table[key]
        else:
            table[key] = row
    try:
        yield
    finally:
        table.clear()
        table.update(before)


class BentScheduler(SchedulerMachine):
    """Has other rows in its table."""

    changed: ClassVar[Mapping[Any, Any]] = {}

    def handle(self, event: Any) -> Any:
        with rows(scheduler_table.TRANSITIONS, self.changed):
            return super().handle(event)


class BentClient(ClientMachine):
    """As `BentScheduler`."""

    changed: ClassVar[Mapping[Any, Any]] = {}

    def handle(self, event: Any) -> Any:
        with rows(client_table.TRANSITIONS, self.changed):
            return super().handle(event)


class BentWorker(WorkerMachine):
    """As `BentScheduler`."""

    changed: ClassVar[Mapping[Any, Any]] = {}

    def handle(self, event: Any) -> Any:
        with rows(worker_table.TRANSITIONS, self.changed):
            return super().handle(event)


# --- schedulers


class Believing(SchedulerMachine):
    """Takes an answer from anybody."""

    def _held_by_sender(self, event: Any, task_id: bytes) -> Any:
        return self._tasks.get(task_id)


class Forgetful(SchedulerMachine):
    """Forgets that a peer was lost."""

    def _remember_lost(self, identity: bytes, peer: Any) -> None:
        pass


class Swallowing(BentScheduler):
    """Forwards the refusal that belongs to the cancel before the forced one."""

    changed: ClassVar[Mapping[Any, Any]] = {
        (TaskState.ESCALATED, TaskInput.CANCEL_FAILED): scheduler_table.Transition(
            TaskState.DISPATCHED, scheduler_table.Action.FORWARD_ANSWER
        )
    }


def believing() -> ReferenceScheduler:
    return ReferenceScheduler(Believing())


def forgetful() -> ReferenceScheduler:
    return ReferenceScheduler(Forgetful())


def swallowing() -> ReferenceScheduler:
    return ReferenceScheduler(Swallowing())


# --- clients


class Delivering(BentClient):
    """Delivers a result while a round is open."""

    changed: ClassVar[Mapping[Any, Any]] = {
        (FutureState.CANCELING, FutureInput.RESULT): client_table.Transition(
            FutureState.FINISHED, client_table.Action.DELIVER_RESULT
        )
    }


class Keeping(ClientMachine):
    """Releases no result."""

    def handle(self, event: Any) -> Any:
        return [each for each in super().handle(event) if not isinstance(each, ReleaseResult)]


class Stubborn(BentClient):
    """Takes a refusal for nothing, and waits on."""

    changed: ClassVar[Mapping[Any, Any]] = {(FutureState.CANCELING, FutureInput.CANCEL_FAILED): None}


class Repeating(BentClient):
    """Sends a TaskCancel for each call."""

    changed: ClassVar[Mapping[Any, Any]] = {
        (FutureState.CANCELING, FutureInput.CANCEL): client_table.Transition(
            FutureState.CANCELING, client_table.Action.SEND_CANCEL
        )
    }


class Endless(BentClient):
    """Knows no time limit."""

    changed: ClassVar[Mapping[Any, Any]] = {(FutureState.CANCELING, FutureInput.TIME_LIMIT): None}


def delivering() -> ReferenceClient:
    return ReferenceClient(Delivering())


def keeping() -> ReferenceClient:
    return ReferenceClient(Keeping())


def stubborn() -> ReferenceClient:
    return ReferenceClient(Stubborn())


def repeating() -> ReferenceClient:
    return ReferenceClient(Repeating())


def endless() -> ReferenceClient:
    return ReferenceClient(Endless())


# --- workers


class Refusing(BentWorker):
    """Refuses to cancel what it has not begun."""

    changed: ClassVar[Mapping[Any, Any]] = {
        (AssignmentState.QUEUED, AssignmentInput.CANCEL): worker_table.Transition(
            AssignmentState.QUEUED, worker_table.Action.SEND_CANCEL_FAILED
        )
    }


class Silent(BentWorker):
    """Does not say that a task runs on."""

    changed: ClassVar[Mapping[Any, Any]] = {
        (AssignmentState.RUNNING, AssignmentInput.CANCEL): worker_table.Transition(
            AssignmentState.RUNNING, worker_table.Action.NOTHING
        )
    }


class TellingTwice(BentWorker):
    """Sends the result of a task that it is ending, and canceled after it."""

    changed: ClassVar[Mapping[Any, Any]] = {
        (AssignmentState.ENDING, AssignmentInput.FINISHED): worker_table.Transition(
            AssignmentState.ENDING, worker_table.Action.SEND_RESULT
        )
    }


class Hasty(WorkerMachine):
    """Says good-bye before what runs has ended."""

    def handle(self, event: Any) -> Any:
        before = self._farewell
        instructions = super().handle(event)
        good_bye = Send(WorkerDisconnectNotification())
        instructions = [each for each in instructions if each != good_bye]
        says_it = before is None and self._farewell is not None and self._farewell.value == "exit"
        return [good_bye, *instructions] if says_it else instructions


class Mourning(BentWorker):
    """Does not say that what ran a task has died."""

    changed: ClassVar[Mapping[Any, Any]] = {
        (AssignmentState.RUNNING, AssignmentInput.PROCESS_ENDED): worker_table.Transition(
            AssignmentState.ENDED, worker_table.Action.NOTHING
        )
    }


def refusing() -> ReferenceWorker:
    return ReferenceWorker(Refusing)


def silent() -> ReferenceWorker:
    return ReferenceWorker(Silent)


def telling_twice() -> ReferenceWorker:
    return ReferenceWorker(TellingTwice)


def hasty() -> ReferenceWorker:
    return ReferenceWorker(Hasty)


def mourning() -> ReferenceWorker:
    return ReferenceWorker(Mourning)
