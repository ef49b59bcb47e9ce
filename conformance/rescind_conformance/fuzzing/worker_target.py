"""The worker's machine under any events: whatever a scheduler says, and what happens to its processes."""

from __future__ import annotations

from typing import Final

from rescind.messages import TaskLogType, TaskResultType, WorkerHeartbeat
from rescind.worker_machine import (
    Drain,
    EndProcess,
    Event,
    Farewell,
    Finished,
    HeartbeatDue,
    Leave,
    Left,
    ProcessEnded,
    Received,
    Send,
    Start,
    WorkerMachine,
    WorkerSettings,
    Wrote,
)
from rescind_conformance.fuzzing import frames
from rescind_conformance.fuzzing.choices import Broken, Choices
from rescind_conformance.judge.records import SCHEDULER, EventKind, EventRecord, MessageRecord, Record
from rescind_conformance.judge.worker import WorkerJudge

_NAME: Final = "W1"
_OF_SCHEDULERS: Final = (frames.TASK, frames.CANCEL, frames.TASK, frames.CANCEL)
_RESULT_TYPES: Final = (TaskResultType.SUCCESS, TaskResultType.FAILED)


class WorkerLife:
    """One life of a machine and of the processes that it has."""

    def __init__(self, choices: Choices, *, judged: bool) -> None:
        self._choices = choices
        self._processes = 1 + choices.number(2)
        self._machine = WorkerMachine(WorkerSettings(processes=self._processes))
        self._judge = WorkerJudge() if judged else None
        self._running: dict[bytes, bool] = {}
        """By the id of the task that each process runs: whether it was told to end."""
        self._stored: set[bytes] = set()
        """Those told to end whose function returned all the same."""
        self._left = False

    def play(self) -> None:
        """Raises `Broken`, and whatever the machine raises."""
        self._feed(HeartbeatDue(WorkerHeartbeat(), 0.0))
        while self._choices and not self._left:
            self._play_one()
        while self._running and not self._left:
            self._end(next(iter(self._running)))
        if self._judge is not None and not self._left:
            self._blame(self._judge.rest())
        if not self._left:
            if sum(self._machine.counts.values()):
                raise Broken(f"nothing runs, and it holds {self._machine.counts}")
            self._leave()
        machine = self._machine
        if not self._left or self._running or machine._assignments or machine._waiting or machine._urgent:
            raise Broken(f"gone, and still there: {machine._assignments}, {self._running}")
        if machine._occupied:
            raise Broken(f"{machine._occupied} processes are taken by nothing")

    def _play_one(self) -> None:
        choices = self._choices
        match choices.number(16):
            case 0 | 1 | 2 if self._running:
                self._finish(choices.one_of(sorted(self._running)))
            case 3 | 4 if self._running:
                self._end(choices.one_of(sorted(self._running)))
            case 5 if self._running:
                self._feed(Wrote(choices.one_of(sorted(self._running)), TaskLogType.STDOUT, "text"))
            case 6:
                self._feed(HeartbeatDue(WorkerHeartbeat(), 0.0))
            case 7 if choices.number(8) == 7:
                self._leave()
            case 7 if choices.number(8) == 7:
                self._record(EventRecord(_NAME, EventKind.SCHEDULER_LOST, outcome="silent"))
                self._feed(HeartbeatDue(WorkerHeartbeat(), 1000.0))
            case 7 if choices.number(8) == 7:
                self._note(EventKind.DRAIN_REQUESTED)
                self._feed(Drain())
            case 8:
                message, why = frames.noise(choices)
                self._record(MessageRecord(_NAME, SCHEDULER, _NAME, message, why))
                if message is not None:
                    self._feed(Received(message, 0.0))
            case _:
                message = frames.any_message(choices, _OF_SCHEDULERS)
                self._record(MessageRecord(_NAME, SCHEDULER, _NAME, message))
                self._feed(Received(message, 0.0))

    def _finish(self, task_id: bytes) -> None:
        if task_id in self._stored:
            return
        if self._running[task_id]:
            self._stored.add(task_id)
        else:
            del self._running[task_id]
        self._note(EventKind.FINISHED, task_id, "returned")
        self._feed(Finished(task_id, self._choices.one_of(_RESULT_TYPES), (task_id,)))

    def _end(self, task_id: bytes) -> None:
        del self._running[task_id]
        self._stored.discard(task_id)
        self._note(EventKind.PROCESS_ENDED, task_id)
        self._feed(ProcessEnded(task_id))

    def _leave(self) -> None:
        self._note(EventKind.LEAVE_REQUESTED)
        self._feed(Leave(Farewell.EXIT))
        while self._running and not self._left:
            self._end(next(iter(self._running)))

    def _feed(self, event: Event) -> None:
        for instruction in self._machine.handle(event):
            match instruction:
                case Send(message):
                    frames.encode(message)
                    self._record(MessageRecord(_NAME, _NAME, SCHEDULER, message))
                case Start(task):
                    if task.task_id in self._running:
                        raise Broken(f"{task.task_id!r} is started, and runs")
                    self._note(EventKind.STARTED, task.task_id)
                    self._running[task.task_id] = False
                case EndProcess(task_id):
                    self._running[task_id] = True
                case Left():
                    if self._running or self._left:
                        raise Broken(f"leaves while {self._running} run, or a second time")
                    self._left = True

    def _note(self, kind: EventKind, task_id: bytes = b"", outcome: str = "") -> None:
        self._record(EventRecord(_NAME, kind, task=task_id, outcome=outcome))

    def _record(self, record: Record) -> None:
        if self._judge is not None:
            self._blame(self._judge.read(record))

    def _blame(self, found: object) -> None:
        if found:
            raise Broken(f"the judge says: {found}")


def play_worker(data: bytes, *, judged: bool) -> None:
    """One life, as the bytes have it. Raises `Broken`, and whatever the machine raises."""
    WorkerLife(Choices(data), judged=judged).play()
