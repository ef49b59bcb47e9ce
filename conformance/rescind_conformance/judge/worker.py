"""The rules for a worker, in the order in which it handled, did and sent things. Written from SPEC.md alone.

Judged: all of W1.1 to W5.4 but `NOT_JUDGED`, and M1, M3, M6, T2 and T4 as far as a worker's records show them. What
they do not show:

- W2.2: that "all of it" has ended is what `PROCESS_ENDED` claims.
- W2.5: that a result is released, unless `RESULT_RELEASED` is among the events: nothing of it is stored any more.
- W3.2: which error is the result, and whether payloads could be read.
- W4.2: when a task came to its end whose result is sent before the good-bye, unless `STARTED` and `FINISHED` are among
  the events (for `failedWorkerDied`, `PROCESS_ENDED`): one that had returned before the worker was told to leave may
  have its result after that. So nothing is said of it where a worker is only seen from outside.
- W5.1, W5.2: intervals and silence; records have no time. That a heartbeat comes first is judged.
- M1, M3: counts and logs. What must be dropped is judged by what it must not cause.
- M2, M4, M5, T3: they are about frames and connections; breaking them breaks something else here.

A worker may answer TaskCancels of different tasks in any order: W1.2 orders the answers about one task. Between two
records it may be slow: an answer is missing at rest, or when what has to come after it is sent. A task is started when
it gets what it will run in, so that a `STARTED` that is recorded later, such as at the first line of its function,
makes a refusal look wrong. A second Task under an id that is held makes that id unclear: nothing is said about it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Final

from rescind.messages import (
    ArgumentType,
    CancelConfirmType,
    ClientDisconnect,
    DisconnectType,
    Message,
    ObjectInstruction,
    Task,
    TaskCancel,
    TaskCancelConfirm,
    TaskLog,
    TaskResult,
    TaskResultType,
    WorkerDisconnectNotification,
    WorkerHeartbeat,
    WorkerHeartbeatEcho,
)
from rescind_conformance.judge.peer import PeerJudge
from rescind_conformance.judge.records import EventKind, EventRecord, MessageRecord, Record
from rescind_conformance.judge.worker_books import (
    ASKED,
    CANCEL_FAILED,
    CANCELED,
    NOT_FOUND,
    Asked,
    Assigned,
    LastWord,
    Phase,
)

WORKER_EVENTS: Final = (
    EventKind.STARTED,
    EventKind.FINISHED,
    EventKind.PROCESS_ENDED,
    EventKind.DRAIN_REQUESTED,
    EventKind.LEAVE_REQUESTED,
    EventKind.SCHEDULER_LOST,
)
"""What happens at a worker."""

NOT_JUDGED: Final[Mapping[str, str]] = {"W5.4": "it is about two lives of a worker, which are judged apart"}
"""Requirements of workers that a trace cannot show, and why."""

_WORDS: Final = {CANCELED: "canceled", CANCEL_FAILED: "cancelFailed", NOT_FOUND: "cancelNotFound"}

_IS: Final = {
    Phase.ABSENT: "is not held",
    Phase.HELD: "is held",
    Phase.QUEUED: "is queued",
    Phase.RUNNING: "runs",
    Phase.BEGUN: "has begun",
    Phase.RETURNED: "has only just returned",
    Phase.ENDING: "is being ended by force",
    Phase.UNCLEAR: "is unclear",
}


class WorkerJudge(PeerJudge):
    """Judges a worker under one routing id; see `PeerJudge`."""

    _FIRST = WorkerHeartbeat
    _FIRST_OF_ALL = "W5.1"
    _SENDS = (
        WorkerHeartbeat,
        TaskResult,
        TaskCancelConfirm,
        TaskLog,
        ObjectInstruction,
        WorkerDisconnectNotification,
    )

    def __init__(
        self,
        events: Collection[EventKind] = WORKER_EVENTS,
        names: Mapping[bytes, str] | None = None,
        *,
        introduced: bool = False,
    ) -> None:
        super().__init__(events, names, introduced=introduced)
        self._tasks: dict[bytes, Assigned] = {}
        self._leaving = ""
        """The requirement by which it has to end what runs."""
        self._owes_goodbye = False
        self._draining = False

    def may_hurry(self, record: Record) -> bool:
        """Implements `Hurrying`: beside what every peer may hurry, `cancelNotFound` if nothing else is to be said."""
        if isinstance(record, MessageRecord) and isinstance(record.message, TaskCancelConfirm):
            task = self._tasks.get(record.message.task_id)
            if task is None or task.phase is not Phase.ABSENT or task.silenced or self._gone:
                return False
            only = all(asked.answers == (NOT_FOUND,) and not asked.optional for asked in task.asked)
            return record.message.cancel_confirm_type == NOT_FOUND and len(task.asked) > 0 and only
        return super().may_hurry(record)

    # --- what happens to it

    def _on_received(self, message: Message) -> None:
        match message:
            case _ if self._gone:
                pass
            case Task(task_id):
                self._on_task(task_id, message)
            case TaskCancel(task_id, force):
                self._on_cancel(task_id, force)
            case ClientDisconnect(DisconnectType.SHUTDOWN):
                self._leave("W4.2")
            case ClientDisconnect(kind):
                requirement = "W4.3" if kind == DisconnectType.DISCONNECT else "M6"
                self._leave(requirement)
                self._silence(requirement)
            case WorkerHeartbeatEcho() | ObjectInstruction():
                pass
            case _:
                self._without_effect = "M3"

    def _on_task(self, task_id: bytes, message: Task) -> None:
        task = self._tasks.get(task_id, Assigned())
        if self._leaving:
            if task.phase is Phase.ABSENT:
                self._tasks[task_id] = Assigned(asked=task.asked)  # it drops a new assignment
            return
        if task.phase is not Phase.ABSENT:
            task.again = True
            self._without_effect = "W1.3"
            return
        task.phase = Phase.QUEUED if self._sees(EventKind.STARTED) else Phase.HELD
        task.unreadable = any(argument.type not in set(ArgumentType) for argument in message.function_args)
        self._tasks[task_id] = task

    def _on_cancel(self, task_id: bytes, force: bool) -> None:
        task = self._tasks.get(task_id, Assigned())
        if task.phase is Phase.UNCLEAR:
            return
        asked = ASKED[task.phase, force]
        if any(earlier.held and earlier.answers == (CANCELED,) for earlier in task.asked):
            asked = replace(asked, optional=True)  # it may share that answer
        if not self._sees(EventKind.LEAVE_REQUESTED, EventKind.SCHEDULER_LOST):
            # It may be leaving: then the good-bye may come first, and it may have dropped that task.
            asked = replace(asked, answers=(*asked.answers, NOT_FOUND), optional=True)
        if self._leaving and task.phase is Phase.QUEUED:
            asked = Asked((CANCELED, NOT_FOUND), "W2.1")  # nobody says when it drops what it holds
        elif self._leaving and task.phase is not Phase.ABSENT:
            asked = Asked(tuple(CancelConfirmType), asked.requirement, held=True, optional=True)
        elif task.phase is Phase.QUEUED:
            task = self._close(task_id, LastWord.DROPPED)
        elif task.phase is Phase.ENDING:
            task.joined = True
            if not task.ended and self._sees(EventKind.PROCESS_ENDED):
                return  # the answer of the first is its answer too
        elif task.ended:
            asked = replace(asked, late=True)  # it may not have noticed yet
        elif task.phase is Phase.RUNNING and force:
            task.phase = Phase.ENDING
        task.asked = (*task.asked, asked)
        self._tasks[task_id] = task

    def _on_event(self, record: EventRecord) -> None:
        task = self._tasks.get(record.task, Assigned())
        absent = task.phase in (Phase.ABSENT, Phase.UNCLEAR)
        match record.event:
            case EventKind.STARTED:
                self._on_started(record.task, task)
            case EventKind.FINISHED if task.phase is Phase.ENDING:
                task.unreleased = True
            case EventKind.FINISHED if not absent:
                task.phase, task.raised = Phase.RETURNED, record.outcome == "raised"
            case EventKind.PROCESS_ENDED if not absent:
                task.ended = True
                task.phase = Phase.HELD if task.phase is Phase.QUEUED else task.phase
            case EventKind.RESULT_RELEASED:
                task.unreleased = False
            case EventKind.DRAIN_REQUESTED:
                self._draining = True
            case EventKind.LEAVE_REQUESTED:
                self._leave("W4.2")
            case EventKind.SCHEDULER_LOST:
                dropped = record.outcome == "dropped"
                self._leave("W5.3" if dropped else "W5.2")
                self._gone = self._gone or ("T4" if dropped else "")

    def _on_started(self, task_id: bytes, task: Assigned) -> None:
        said = f"starts {self._name(task_id)}"
        if task.phase is Phase.UNCLEAR:
            return
        if self._leaving:
            self._break("W4.1", f"{said}, though it is leaving")
        elif self._draining:
            self._break("W4.4", f"{said}, though it drains")
        elif task.phase in (Phase.QUEUED, Phase.HELD):
            task.phase = Phase.RUNNING if self._sees(EventKind.FINISHED) else Phase.BEGUN
            task.ended = False
            return
        elif task.phase is not Phase.ABSENT:
            again = task.again and task.phase is not Phase.RETURNED
            self._break("W3.1" if task.ended else "W1.3" if again else "W1.1", f"{said} a second time")
        elif task.last is LastWord.DROPPED:
            self._break("W2.1", f"{said}, which was cancelled before it began")
        elif task.last is LastWord.NONE:
            self._break(self._without_effect or "W1.1", f"{said}, which it was not given")
        else:
            self._break("W1.3" if task.again else "W1.1", f"{said}, about which it has had its last word")
        self._give_up(task_id)

    def _leave(self, requirement: str) -> None:
        orderly = requirement == "W4.2"
        if self._leaving and (orderly or self._leaving != "W4.2"):
            return
        self._leaving, self._owes_goodbye = requirement, orderly
        for task in self._tasks.values():
            task.asked = tuple(replace(asked, optional=asked.optional or asked.may_end) for asked in task.asked)
        if orderly:
            self._silence(requirement)

    def _silence(self, requirement: str) -> None:
        """What runs now is to be ended, and has no result any more. What has come to its own end still has."""
        for task in self._tasks.values():
            task.silenced = task.silenced or (requirement if task.runs else "")

    # --- what it sends

    def _on_sent(self, message: Message, said: str) -> None:
        match message:
            case TaskResult(task_id, kind):
                self._on_result(task_id, self._tasks.get(task_id, Assigned()), kind, said)
            case TaskCancelConfirm(task_id, kind):
                self._on_confirm(task_id, self._tasks.get(task_id, Assigned()), kind, said)
            case WorkerHeartbeat() if self._draining and message.queue_size:
                self._break("W4.4", f"{said} with room for tasks, though it drains")
            case WorkerDisconnectNotification():
                for task_id, task in self._tasks.items():
                    if self._is_alive(task):
                        self._break("W4.2", f"{said}, while {self._name(task_id)} runs")
                    elif (missed := task.first) is not None:
                        unanswered = f"a TaskCancel of {self._name(task_id)} with {_words(missed)}"
                        self._break(missed.requirement, f"{said} before it has answered {unanswered}")
                self._gone, self._leaving, self._owes_goodbye = "W4.2", "W4.2", False
                self._tasks.clear()

    def _on_result(self, task_id: bytes, task: Assigned, kind: int, said: str) -> None:
        if task.phase is Phase.UNCLEAR:
            return
        missed = next((asked for asked in task.asked if not (asked.late or asked.optional)), None)
        if task.phase is Phase.ABSENT and task.last is not LastWord.NONE:
            outcome = "a result" if task.last is LastWord.RESULT else "canceled"
            requirement = "W1.3" if task.again else "W1.1"
            self._break(requirement, f"{said}, though that assignment has ended with {outcome}")
        elif task.phase is Phase.ABSENT:
            requirement = "W4.1" if self._leaving else self._without_effect or "W1.1"
            self._break(requirement, f"{said}, a task that it {'drops as it leaves' if self._leaving else 'has not'}")
        elif task.silenced and not (kind == TaskResultType.FAILED_WORKER_DIED and self._may_have_died(task)):
            told = "it leaves, which ends that task" if task.silenced == "W4.2" else "it was told that it is lost"
            self._break(task.silenced, f"{said}, though {told}")
        elif (wrong := self._wrong_result(task, kind)) is not None:
            self._break(wrong[0], f"{said}, though {wrong[1]}")
        elif missed is not None:
            self._break(missed.requirement, f"{said} before it has answered a TaskCancel with {_words(missed)}")
        if task.phase is not Phase.ABSENT:
            closed = self._close(task_id, LastWord.RESULT)
            if missed is not None:  # it may still be answered, too late
                closed.asked = (Asked((CANCEL_FAILED, NOT_FOUND), missed.requirement, optional=True), *closed.asked)

    def _wrong_result(self, task: Assigned, kind: int) -> tuple[str, str] | None:
        """What is wrong with a result of this kind."""
        died = kind == TaskResultType.FAILED_WORKER_DIED
        lives = not task.ended and self._sees(EventKind.PROCESS_ENDED)
        if task.unreadable and not died and kind != TaskResultType.FAILED:
            return "M6", "that task has an argument of a kind that nobody knows"
        match task.phase:
            case Phase.ENDING:
                return ("W2.2" if died else "W2.5"), "that task was told to end"
            case Phase.QUEUED | Phase.RUNNING if died and lives:
                return "W3.1", "what runs that task has not died"
            case Phase.RUNNING if task.ended and not died:
                return "W3.1", "what ran that task has died"
            case Phase.QUEUED | Phase.RUNNING if kind == TaskResultType.SUCCESS:
                return "W1.1", "that task has not returned"
            case Phase.RETURNED if died and lives:
                return "W3.2", "the function of that task came to its end"
            case Phase.RETURNED if task.raised and kind == TaskResultType.SUCCESS:
                return "W3.2", "the function of that task raised"
        return None

    def _on_confirm(self, task_id: bytes, task: Assigned, kind: int, said: str) -> None:
        if task.phase is Phase.UNCLEAR:
            return
        number = task.answered_by(kind)
        if task.silenced not in ("", "W4.2") and kind != NOT_FOUND:
            self._break(task.silenced, f"{said}, though it was told that it is lost")
            self._give_up(task_id)
        elif number is None:
            self._wrong_confirm(task, kind, said)
            if task.phase is not Phase.ABSENT:
                self._give_up(task_id)
            task.asked = tuple(replace(asked, optional=True) for asked in task.asked)
        else:
            ends = kind == CANCELED and task.asked[number].held
            task.asked = task.asked[:number] + task.asked[number + 1 :]
            if ends:
                self._on_end(task_id, task, said)
            elif kind == CANCEL_FAILED and task.phase is Phase.HELD:
                task.phase = Phase.BEGUN
        if self._tasks.get(task_id) == Assigned():
            del self._tasks[task_id]

    def _on_end(self, task_id: bytes, task: Assigned, said: str) -> None:
        """`canceled`, of a task that was held."""
        if task.runs and self._sees(EventKind.PROCESS_ENDED):
            self._break("W2.2", f"{said} before what runs that task has ended")
        elif task.unreleased and self._sees(EventKind.RESULT_RELEASED):
            self._break("W2.5", f"{said} before the result of that task is released")
        self._close(task_id, LastWord.CANCELED)

    def _wrong_confirm(self, task: Assigned, kind: int, said: str) -> None:
        first = task.first
        if kind == CANCELED and task.phase is Phase.ABSENT and task.last is LastWord.RESULT:
            self._break("W1.1", f"{said}, though that assignment has ended with a result")
        elif kind not in set(CancelConfirmType):
            self._break("W1.2", f"{said}, which is no answer")
        elif any(kind in asked.answers for asked in task.asked):
            self._break("W1.2", f"{said} before it has answered an earlier TaskCancel")
        elif first is None:
            again = kind == CANCELED and task.phase is Phase.ABSENT and task.last is not LastWord.NONE
            requirement = "W1.2" if again else self._without_effect or "W1.2"
            self._break(requirement, f"{said}, which no TaskCancel asks for")
        elif task.joined:
            self._break("W1.2", f"{said}, though one canceled answers all that came while that task was being ended")
        elif first.late and kind == NOT_FOUND:
            self._break("W2.4", f"{said}, though it holds that task and has not sent a result")
        else:
            was = "had not begun" if first.requirement == "W2.1" else _IS[task.phase]
            self._break(first.requirement, f"{said}, not {_words(first)}, though that task {was}")

    # --- what it finds

    def _close(self, task_id: bytes, last: LastWord) -> Assigned:
        """The assignment is over. A TaskCancel of it that is still open finds nothing any more."""
        asked = tuple(
            Asked((NOT_FOUND,), "W2.4", optional=one.optional) if one.held else one
            for one in self._tasks[task_id].asked
            if not one.held or one.late or one.optional
        )
        self._tasks[task_id] = Assigned(last=last, asked=asked, again=self._tasks[task_id].again)
        return self._tasks[task_id]

    def _give_up(self, task_id: bytes) -> None:
        self._tasks[task_id] = Assigned(Phase.UNCLEAR)

    def _at_rest(self) -> None:
        if not (self._leaving or self._sees(EventKind.SCHEDULER_LOST)):
            return
        alive = [task_id for task_id, task in self._tasks.items() if self._is_alive(task)]
        if self._leaving:
            for task_id in alive:
                self._break(self._leaving, f"has not ended {self._name(task_id)}")
            if self._owes_goodbye and not alive and self._sees(EventKind.SCHEDULER_LOST):
                self._break("W4.2", "has not said good-bye")
            return
        idle = all(task.phase in (Phase.ABSENT, Phase.QUEUED) for task in self._tasks.values())
        for task_id, task in self._tasks.items():
            name, missed = self._name(task_id), task.first
            if task.phase is Phase.ENDING and task_id in alive:
                self._break("W2.2", f"has not ended {name}, which was cancelled with force")
            elif missed is not None:
                words = _words(missed)
                self._break(missed.requirement, f"has not answered a TaskCancel of {name} with {words}")
            elif task.phase is Phase.RETURNED:
                self._break("W1.1", f"has not sent the result of {name}")
            elif task.ended:
                self._break("W3.1", f"has not said that what ran {name} has died")
            elif task.phase is Phase.QUEUED and idle and not self._draining:
                self._break("W1.1", f"does not start {name}, though nothing runs")

    def _may_have_died(self, task: Assigned) -> bool:
        """By itself, before it was told to end because the worker leaves: nobody has recorded when it died."""
        return task.silenced == "W4.2" and task.phase is Phase.RUNNING and not self._sees(EventKind.PROCESS_ENDED)

    def _is_alive(self, task: Assigned) -> bool:
        return task.runs and not task.unreleased and self._sees(EventKind.PROCESS_ENDED)


def _words(asked: Asked) -> str:
    return " or ".join(_WORDS[kind] for kind in asked.answers)
