"""The part of the scheduler's machine that knows tasks: the books of them, and how one moves, as the table says.

`scheduler_table.TRANSITIONS` says what happens to a task; which input a message is, `scheduler_machine` says.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from rescind.messages import (
    CancelConfirmType,
    GraphTask,
    Message,
    Task,
    TaskCancel,
    TaskCancelConfirm,
    TaskResult,
    TaskResultType,
)
from rescind.placement import Placement, WorkerRecord
from rescind.scheduler_events import Dropped, Forward, Instruction, Received, SchedulerSettings, Send
from rescind.scheduler_table import TRANSITIONS, Action, TaskInput, TaskState


@dataclass(slots=True, eq=False)
class TaskRecord:
    task_id: bytes
    owner: bytes
    frame: bytes
    state: TaskState = TaskState.QUEUED
    worker: WorkerRecord | None = None
    losses: int = 0
    stays: bool = False
    """Its worker refused to give it back: no use asking again."""


@dataclass(slots=True, eq=False)
class ClientRecord:
    last_seen: float
    tasks: dict[bytes, None] = field(default_factory=dict)


class SchedulerTasks:
    """Tasks, their owners and holders."""

    def __init__(self, settings: SchedulerSettings | None = None) -> None:
        self._settings = settings or SchedulerSettings()
        self._tasks: dict[bytes, TaskRecord] = {}
        self._queue: OrderedDict[bytes, None] = OrderedDict()
        self._clients: dict[bytes, ClientRecord] = {}
        self._workers: dict[bytes, WorkerRecord] = {}
        self._placement = Placement()
        self._closing = False
        self._out: list[Instruction] = []

    @property
    def counts(self) -> dict[str, int]:
        """How many tasks, tasks by state, clients and workers are held now."""
        counts = {"tasks": len(self._tasks), "clients": len(self._clients), "workers": len(self._workers)}
        for task in self._tasks.values():
            counts[task.state.value] = counts.get(task.state.value, 0) + 1
        return counts

    def _held_by_sender(self, event: Received, task_id: bytes) -> TaskRecord | None:
        """The task if the sender holds it (S8.1); otherwise None, and the message is dropped."""
        task = self._tasks.get(task_id)
        if task is None:
            self._drop(event, "unknown task")
            return None
        if task.worker is None or task.worker.identity != event.sender:
            self._drop(event, "not the holder")
            return None
        return task

    def _dispatch(self) -> None:
        while self._queue and not self._closing:
            worker = self._placement.least_loaded()
            if worker is None:
                return
            task_id, _ = self._queue.popitem(last=False)
            task = self._tasks[task_id]
            task.worker, task.stays = worker, False
            worker.tasks[task_id] = None
            self._placement.update(worker)
            self._apply(task, TaskInput.DISPATCH)

    def _listed(self, task: TaskRecord, given: TaskInput) -> bool:
        """Whether the table has a row for this; without one it changes nothing."""
        return (task.state, given) in TRANSITIONS

    def _apply(self, task: TaskRecord, given: TaskInput, frame: bytes | None = None) -> None:
        """Move `task` as the table says; `frame` is the message that caused it, where one did."""
        following, action = TRANSITIONS[task.state, given]
        self._act(task, action, frame)
        if following in (TaskState.QUEUED, TaskState.ENDED):
            self._take_from_worker(task)
        if following is TaskState.QUEUED:
            self._queue[task.task_id] = None
            self._queue.move_to_end(task.task_id, last=False)
        elif following is TaskState.ENDED:
            del self._tasks[task.task_id]
            self._queue.pop(task.task_id, None)
            client = self._clients.get(task.owner)
            if client is not None:
                client.tasks.pop(task.task_id, None)
        task.state = following
        if following is TaskState.QUEUED and self._closing:
            self._apply(task, TaskInput.CLOSE)  # S9.10: it cannot run any more

    def _take_from_worker(self, task: TaskRecord) -> None:
        worker, task.worker = task.worker, None
        if worker is not None:
            del worker.tasks[task.task_id]
            if worker.identity in self._workers:
                self._placement.update(worker)

    def _act(self, task: TaskRecord, action: Action, frame: bytes | None) -> None:
        holder = task.worker.identity if task.worker is not None else b""
        match action:
            case Action.NOTHING:
                pass
            case Action.SEND_TASK:
                self._out.append(Forward(holder, task.frame))
            case Action.SEND_CANCEL:
                self._send(holder, TaskCancel(task.task_id, force=False))
            case Action.SEND_CANCEL_FORCE:
                self._send(holder, TaskCancel(task.task_id, force=True))
            case Action.FORWARD_ANSWER:
                assert frame is not None
                self._out.append(Forward(task.owner, frame))
            case Action.SEND_CANCELED:
                self._send(task.owner, TaskCancelConfirm(task.task_id, CancelConfirmType.CANCELED))
            case Action.SEND_WORKER_DIED:
                self._send(task.owner, TaskResult(task.task_id, TaskResultType.FAILED_WORKER_DIED))

    def _send(self, to: bytes, message: Message) -> None:
        self._out.append(Send(to, message))

    def _refuse(self, event: Received, reason: str) -> None:
        """S1.3: the sender is told at once that nothing is, or will be, held for it under this id."""
        if isinstance(event.message, Task | GraphTask):
            self._send(event.sender, TaskCancelConfirm(event.message.task_id, CancelConfirmType.CANCEL_NOT_FOUND))
        self._drop(event, reason)

    def _drop(self, event: Received, reason: str) -> None:
        self._out.append(Dropped(event.sender, reason, getattr(event.message, "task_id", b"")))
