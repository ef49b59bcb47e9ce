"""Machines with faults that the race tests must find. They can be named on a command line, as FILE.py:NAME."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

from rescind import client_table, scheduler_table, worker_table
from rescind.client_machine import ClientMachine, ReleaseResult
from rescind.client_table import FutureInput, FutureState
from rescind.messages import TaskLog, WorkerDisconnectNotification
from rescind.scheduler_machine import SchedulerMachine
from rescind.scheduler_table import TaskInput, TaskState
from rescind.worker_machine import Send, WorkerMachine
from rescind.worker_table import AssignmentInput, AssignmentState
from rescind_conformance.races import ReferenceClient, ReferenceScheduler, ReferenceWorker

Row = tuple[str, tuple[Any, Any], Any]
"""What is wrong, the state and the input, and what follows; None: nothing does."""


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


# --- single rows


def _scheduler_rows() -> Iterator[Row]:
    s, i, a = TaskState, TaskInput, scheduler_table.Action
    rows = [
        ("a result in a round is dropped", s.CANCELING, i.RESULT, s.CANCELING, a.NOTHING),
        ("a result in an escalated round is dropped", s.ESCALATED, i.RESULT, s.ESCALATED, a.NOTHING),
        ("a force that joins is swallowed", s.CANCELING, i.CANCEL_FORCE, s.CANCELING, a.NOTHING),
        ("the first refusal is told", s.ESCALATED, i.CANCEL_FAILED, s.FORCING, a.FORWARD_ANSWER),
        ("a refusal ends the task", s.FORCING, i.CANCEL_FAILED, s.ENDED, a.FORWARD_ANSWER),
        ("what is cancelled is placed again", s.CANCELING, i.WORKER_LOST, s.QUEUED, a.NOTHING),
        ("what is escalated is placed again", s.ESCALATED, i.WORKER_LOST, s.QUEUED, a.NOTHING),
        ("a cancel does not take a move over", s.REBALANCING, i.CANCEL, s.REBALANCING, a.NOTHING),
        ("a force in a move is swallowed", s.REBALANCING, i.CANCEL_FORCE, s.ESCALATED, a.NOTHING),
        ("a refused move is told", s.REBALANCING, i.CANCEL_FAILED, s.DISPATCHED, a.FORWARD_ANSWER),
        ("a move goes on without an owner", s.REBALANCING, i.OWNER_LOST, s.ABANDONED, a.NOTHING),
        ("what is forced is forced again", s.FORCING, i.OWNER_LOST, s.ABANDONED, a.SEND_CANCEL_FORCE),
        ("what is escalated is forced again", s.ESCALATED, i.OWNER_LOST, s.ABANDONED, a.SEND_CANCEL_FORCE),
    ]
    for name, state, given, following, action in rows:
        yield name, (state, given), scheduler_table.Transition(following, action)


def _client_rows() -> Iterator[Row]:
    s, i, a = FutureState, FutureInput, client_table.Action
    rows = [
        ("a refusal cancels", s.CANCELING, i.CANCEL_FAILED, s.CANCELLED, a.CONFIRMED),
        ("a forced call in a round is sent", s.CANCELING, i.CANCEL_FORCE, s.CANCELING, a.SEND_CANCEL_FORCE),
        ("a time limit leaves the future pending", s.CANCELING, i.TIME_LIMIT, s.RUNNING, a.REFUSED),
        ("a forced cancel is sent as another", s.RUNNING, i.CANCEL_FORCE, s.CANCELING, a.SEND_CANCEL),
    ]
    for name, state, given, following, action in rows:
        yield name, (state, given), client_table.Transition(following, action)
    yield "an answer in a round is lost", (s.CANCELING, i.CANCEL_NOT_FOUND), None
    yield "a disconnect in a round leaves it open", (s.CANCELING, i.DISCONNECT), None


def _worker_rows() -> Iterator[Row]:
    s, i, a = AssignmentState, AssignmentInput, worker_table.Action
    rows = [
        ("what runs is said to be cancelled", s.RUNNING, i.CANCEL, s.RUNNING, a.SEND_CANCELED),
        ("what waits refuses force", s.QUEUED, i.CANCEL_FORCE, s.QUEUED, a.SEND_CANCEL_FAILED),
        ("a result wins over an end", s.ENDING, i.FINISHED, s.ENDED, a.SEND_RESULT),
        ("what ends refuses", s.ENDING, i.CANCEL, s.ENDING, a.SEND_CANCEL_FAILED),
        ("what was ended has died", s.ENDING, i.PROCESS_ENDED, s.ENDED, a.SEND_WORKER_DIED),
        ("one that leaves answers", s.LEAVING, i.PROCESS_ENDED, s.ENDED, a.SEND_CANCELED),
        ("one that leaves sends results", s.LEAVING, i.FINISHED, s.LEAVING, a.SEND_RESULT),
    ]
    for name, state, given, following, action in rows:
        yield name, (state, given), worker_table.Transition(following, action)


ROWS: Mapping[str, Sequence[Row]] = {
    "scheduler": [*_scheduler_rows()],
    "client": [*_client_rows()],
    "worker": [*_worker_rows()],
}
"""By role, faults of one row each."""


def with_row(role: str, key: Any, row: Any) -> Callable[[], Any]:
    """What makes machines in whose table one row is another."""
    bases: Mapping[str, type[Any]] = {"scheduler": BentScheduler, "client": BentClient, "worker": BentWorker}
    bent = type("Bent", (bases[role],), {"changed": {key: row}})
    match role:
        case "scheduler":
            return lambda: ReferenceScheduler(bent())
        case "client":
            return lambda: ReferenceClient(bent())
        case _:
            return lambda: ReferenceWorker(bent)


# --- schedulers


class Believing(SchedulerMachine):
    """Takes an answer from any worker; the lines of a TaskLog it does not."""

    def _held_by_sender(self, event: Any, task_id: bytes) -> Any:
        believes = event.sender in self._workers and not isinstance(event.message, TaskLog)
        return self._tasks.get(task_id) if believes else super()._held_by_sender(event, task_id)


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
