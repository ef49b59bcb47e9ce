"""The worker as a pure machine: `handle(event) -> instructions`.

It decides which task runs when, what each cancel is answered, and when it is time to leave;
processes, sockets and clocks belong to the shell. What happens to a task is looked up in
`worker_table.TRANSITIONS`.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from enum import Enum

from rescind.messages import (
    CancelConfirmType,
    ClientDisconnect,
    DisconnectType,
    Message,
    ObjectInstruction,
    ObjectStorageAddress,
    Task,
    TaskCancel,
    TaskCancelConfirm,
    TaskLog,
    TaskLogType,
    TaskResult,
    TaskResultType,
    WorkerDisconnectNotification,
    WorkerHeartbeat,
    WorkerHeartbeatEcho,
)
from rescind.task_flags import read_flags
from rescind.worker_table import TRANSITIONS, Action, AssignmentInput, AssignmentState


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What an operator may choose. Times are in seconds."""

    processes: int = 1
    """How many tasks run at once. Those of a lower priority than a task's are not counted for it."""
    queue_size: int = 1000
    """How many tasks, running and queued, the scheduler may assign at once."""
    scheduler_timeout: float = 60.0
    """Silence after which the scheduler counts as lost (W5.2)."""


class Farewell(Enum):
    """Why a worker leaves, and so what it does when its last process has ended."""

    EXIT = "exit"
    """Say good-bye and stop (W4.2)."""
    REJOIN = "rejoin"
    """Say nothing, and come back under a new routing id (W4.3, W5.2)."""


@dataclass(frozen=True, slots=True)
class Received:
    """A well-formed message came in from the scheduler."""

    message: Message
    now: float


@dataclass(frozen=True, slots=True)
class Finished:
    """The function of `task_id` returned or raised; its payload objects are stored."""

    task_id: bytes
    result_type: TaskResultType
    results: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Wrote:
    """The function of `task_id`, whose client asked for it, has written a text."""

    task_id: bytes
    log_type: TaskLogType
    content: str


@dataclass(frozen=True, slots=True)
class ProcessEnded:
    """The process that ran `task_id` no longer exists."""

    task_id: bytes


@dataclass(frozen=True, slots=True)
class HeartbeatDue:
    """Time for a heartbeat; `vitals` carries what only the shell can measure."""

    vitals: WorkerHeartbeat
    now: float


@dataclass(frozen=True, slots=True)
class Drain:
    """Start nothing more, and leave of its own accord when nothing runs (W4.4)."""


@dataclass(frozen=True, slots=True)
class Leave:
    """End everything that runs and leave."""

    farewell: Farewell


Event = Received | Finished | Wrote | ProcessEnded | HeartbeatDue | Drain | Leave


@dataclass(frozen=True, slots=True)
class Send:
    """Send `message` to the scheduler."""

    message: Message


@dataclass(frozen=True, slots=True)
class Start:
    """Run `task` in a process of its own; answer with `Finished` or `ProcessEnded`."""

    task: Task


@dataclass(frozen=True, slots=True)
class EndProcess:
    """End the process that runs `task_id`, and all that it started; answer with `ProcessEnded` when it is gone."""

    task_id: bytes


@dataclass(frozen=True, slots=True)
class ReleaseResult:
    """Release whatever `task` has stored as its result, whole or in part: nobody will ask for it."""

    task: Task


@dataclass(frozen=True, slots=True)
class UseStorage:
    """The scheduler says where payloads are kept."""

    address: ObjectStorageAddress


@dataclass(frozen=True, slots=True)
class Dropped:
    """A message had no effect: count `reason` and log it."""

    reason: str
    task_id: bytes


@dataclass(frozen=True, slots=True)
class Left:
    """Every process has ended and the farewell is said."""

    farewell: Farewell


Instruction = Send | Start | EndProcess | ReleaseResult | UseStorage | Dropped | Left


@dataclass(slots=True, eq=False)
class _Assignment:
    task: Task
    state: AssignmentState = AssignmentState.QUEUED


class WorkerMachine:
    """One worker under one routing id. Not thread-safe: one thread calls `handle`."""

    def __init__(self, settings: WorkerSettings | None = None) -> None:
        self._settings = settings or WorkerSettings()
        self._assignments: dict[bytes, _Assignment] = {}
        self._waiting: OrderedDict[bytes, None] = OrderedDict()
        self._occupied = 0
        self._urgent: dict[bytes, int] = {}
        """The priorities of the tasks that have one above 0, in the order in which they came."""
        self._last_heard: float | None = None
        self._farewell: Farewell | None = None
        self.draining = False
        """Whether it starts nothing more, and leaves when nothing runs (W4.4)."""
        self._out: list[Instruction] = []

    def handle(self, event: Event) -> list[Instruction]:
        """Take one event; return what the shell must do, in this order. Never raises on what the scheduler sends."""
        self._out = []
        match event:
            case Received():
                self._last_heard = event.now
                self._on_message(event.message)
            case Finished(task_id):
                self._on_finished(task_id, event)
            case Wrote(task_id, log_type, content):
                if self._assignments[task_id].state is AssignmentState.RUNNING:
                    self._out.append(Send(TaskLog(task_id, log_type, content)))
            case ProcessEnded(task_id):
                self._on_process_ended(task_id)
            case HeartbeatDue():
                self._on_heartbeat_due(event)
            case Drain():
                self.draining = True
                self._leave_when_drained()
            case Leave(farewell):
                self._leave(farewell)
        return self._out

    @property
    def counts(self) -> dict[str, int]:
        """How many tasks are held now, by state."""
        counts = {state.value: 0 for state in AssignmentState if state is not AssignmentState.ENDED}
        for assignment in self._assignments.values():
            counts[assignment.state.value] += 1
        return counts

    @property
    def leaving(self) -> bool:
        """Whether it leaves, and starts nothing more."""
        return self._farewell is not None

    def _on_message(self, message: Message) -> None:
        match message:
            case Task():
                self._on_task(message)
            case TaskCancel(task_id, force):
                assignment = self._assignments.get(task_id)
                if assignment is None:
                    self._confirm(task_id, CancelConfirmType.CANCEL_NOT_FOUND)
                else:
                    self._apply(assignment, AssignmentInput.CANCEL_FORCE if force else AssignmentInput.CANCEL)
            case WorkerHeartbeatEcho(address):
                self._out.append(UseStorage(address))
            case ClientDisconnect(disconnect_type):
                shutdown = disconnect_type == DisconnectType.SHUTDOWN
                self._leave(Farewell.EXIT if shutdown else Farewell.REJOIN)
            case ObjectInstruction():
                pass  # outside of the protocol, and not an error
            case _:
                self._drop(message, "not for a worker")

    def _on_task(self, task: Task) -> None:
        if self._farewell is not None:
            self._drop(task, "leaving")  # W4.1: the good-bye gives it back
        elif task.task_id in self._assignments:
            self._drop(task, "duplicate task id")
        else:
            self._assignments[task.task_id] = _Assignment(task)
            self._waiting[task.task_id] = None
            if priority := read_flags(task.metadata).priority:
                self._urgent[task.task_id] = priority
            self._start_what_fits()

    def _on_finished(self, task_id: bytes, event: Finished) -> None:
        assignment = self._assignments[task_id]
        if assignment.state is AssignmentState.RUNNING:
            self._occupied -= 1
        self._apply(assignment, AssignmentInput.FINISHED, TaskResult(task_id, event.result_type, results=event.results))
        self._start_what_fits()
        self._leave_when_drained()

    def _on_process_ended(self, task_id: bytes) -> None:
        assignment = self._assignments[task_id]
        self._occupied -= 1
        self._out.append(ReleaseResult(assignment.task))
        self._apply(assignment, AssignmentInput.PROCESS_ENDED)
        self._start_what_fits()
        self._leave_when_empty()
        self._leave_when_drained()  # last: it may be the end, which is said once

    def _on_heartbeat_due(self, event: HeartbeatDue) -> None:
        if self._farewell is not None:
            return
        if self._last_heard is None:
            self._last_heard = event.now
        if event.now - self._last_heard > self._settings.scheduler_timeout:
            self._leave(Farewell.REJOIN)
            return
        heartbeat = replace(
            event.vitals,
            queue_size=0 if self.draining else self._settings.queue_size,
            queued_tasks=len(self._waiting),
            task_lock=self._occupied < self._settings.processes and not self.draining,
        )
        self._out.append(Send(heartbeat))

    def _leave(self, farewell: Farewell) -> None:
        if self._farewell is not None:
            return
        self._farewell = farewell
        for assignment in list(self._assignments.values()):
            self._apply(assignment, AssignmentInput.LEAVE)
        self._leave_when_empty()

    def _leave_when_drained(self) -> None:
        if self.draining and not self._occupied:
            self._leave(Farewell.EXIT)

    def _leave_when_empty(self) -> None:
        if self._farewell is None or self._assignments:
            return
        if self._farewell is Farewell.EXIT:
            self._out.append(Send(WorkerDisconnectNotification()))
        self._out.append(Left(self._farewell))

    def _start_what_fits(self) -> None:
        while self._waiting and not self.draining:
            task_id = self._first_waiting()
            if self._taken_for(self._urgent.get(task_id, 0)) >= self._settings.processes:
                return
            self._occupied += 1
            self._apply(self._assignments[task_id], AssignmentInput.START)

    def _first_waiting(self) -> bytes:
        """The queued task with the highest priority; among equals, the one that came first."""
        urgent = [task_id for task_id in self._urgent if task_id in self._waiting]
        return max(urgent, key=self._urgent.__getitem__) if urgent else next(iter(self._waiting))

    def _taken_for(self, priority: int) -> int:
        """How many processes are taken, as a task of this priority sees it.

        Those that run tasks of a lower one are not: such a task may be waiting for this one.
        """
        if priority == 0:
            return self._occupied
        return sum(other >= priority and task_id not in self._waiting for task_id, other in self._urgent.items())

    def _apply(self, assignment: _Assignment, given: AssignmentInput, result: TaskResult | None = None) -> None:
        task_id = assignment.task.task_id
        following, action = TRANSITIONS[assignment.state, given]
        if assignment.state is AssignmentState.QUEUED:
            del self._waiting[task_id]
        assignment.state = following
        if following is AssignmentState.ENDED:
            del self._assignments[task_id]
            self._urgent.pop(task_id, None)
        match action:
            case Action.NOTHING:
                pass
            case Action.START_PROCESS:
                self._out.append(Start(assignment.task))
            case Action.END_PROCESS:
                self._out.append(EndProcess(task_id))
            case Action.SEND_RESULT:
                assert result is not None
                self._out.append(Send(result))
            case Action.SEND_WORKER_DIED:
                self._out.append(Send(TaskResult(task_id, TaskResultType.FAILED_WORKER_DIED)))
            case Action.SEND_CANCELED:
                self._confirm(task_id, CancelConfirmType.CANCELED)
            case Action.SEND_CANCEL_FAILED:
                self._confirm(task_id, CancelConfirmType.CANCEL_FAILED)

    def _confirm(self, task_id: bytes, confirm_type: CancelConfirmType) -> None:
        self._out.append(Send(TaskCancelConfirm(task_id, confirm_type)))

    def _drop(self, message: Message, reason: str) -> None:
        self._out.append(Dropped(reason, getattr(message, "task_id", b"")))
