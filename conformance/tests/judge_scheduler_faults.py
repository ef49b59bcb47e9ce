"""Small faults of a scheduler, made on purpose: `judge_scheduler_walks` lives with them, and the judge finds them.

A fault is a change of the machine's table, of its code, or of what it has decided, and the requirements by which it
may first be seen; the first of them is what the fault is about, and some walk must show it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from judge_faults import change, double, drop
from judge_scheduler_walks import CLIENTS, WORKERS, LazyWalk, SchedulerWalk
from judge_walks import Fault

from rescind import scheduler_machine as scheduler
from rescind.messages import (
    CancelConfirmType,
    ClientDisconnect,
    ClientHeartbeatEcho,
    DisconnectType,
    Message,
    Task,
    TaskCancel,
    TaskCancelConfirm,
    TaskLog,
    TaskResult,
    TaskResultType,
    WorkerHeartbeat,
    WorkerHeartbeatEcho,
)
from rescind.scheduler_machine import Received, SchedulerMachine, Send
from rescind.scheduler_table import Action, TaskInput, TaskState
from rescind.scheduler_tasks import ClientRecord

Decided = scheduler.Instruction
Rows = Mapping[tuple[TaskState, TaskInput], tuple[TaskState, Action]]
CANCELED, CANCEL_FAILED, NOT_FOUND = CancelConfirmType


@dataclass(frozen=True, slots=True)
class SchedulerFault:
    """What is different, and by which requirements it may first be seen."""

    expected: str
    fault: Fault[Decided] | None = None
    rows: Rows = field(default_factory=dict)
    machine: type[SchedulerMachine] = SchedulerMachine
    walk: type[SchedulerWalk] = SchedulerWalk


# --- what it says


def says(kind: type[Message] | CancelConfirmType | TaskResultType) -> Callable[[object], bool]:
    def what(instruction: object) -> bool:
        message = instruction.message if isinstance(instruction, Send) else None
        if isinstance(kind, CancelConfirmType):
            return isinstance(message, TaskCancelConfirm) and message.cancel_confirm_type == kind
        if isinstance(kind, TaskResultType):
            return isinstance(message, TaskResult) and message.result_type == kind
        return isinstance(message, kind)

    return what


def altered(**fields: Any) -> Callable[[Send], Send]:
    return lambda one: Send(one.to, replace(one.message, **fields))


def flipped(one: Send) -> Send:
    assert isinstance(one.message, TaskCancel)
    return Send(one.to, replace(one.message, force=not one.message.force))


def misdirected(among: tuple[str, ...]) -> Callable[[Send], Send]:
    def other(one: Send) -> Send:
        index = among.index(one.to.decode()) if one.to.decode() in among else 0
        return Send(among[(index + 1) % len(among)].encode(), one.message)

    return other


def also_to(what: Callable[[object], bool], among: tuple[str, ...]) -> Fault[Decided]:
    other = misdirected(among)
    return lambda event, decided: [
        each
        for one in decided
        for each in ([one, other(one)] if what(one) else [one])  # type: ignore[arg-type]
    ]


def answers_everybody_who_joins(event: scheduler.Event, decided: list[Decided]) -> list[Decided]:
    if isinstance(event, Received) and isinstance(event.message, TaskCancel) and not decided:
        return [Send(event.sender, TaskCancelConfirm(event.message.task_id, CANCEL_FAILED))]
    return decided


def answers_at_once(event: scheduler.Event, decided: list[Decided]) -> list[Decided]:
    if isinstance(event, Received) and isinstance(event.message, TaskCancel) and any(map(says(TaskCancel), decided)):
        return [*decided, Send(event.sender, TaskCancelConfirm(event.message.task_id, CANCELED))]
    return decided


def refuses_in_silence(event: scheduler.Event, decided: list[Decided]) -> list[Decided]:
    if isinstance(event, Received) and isinstance(event.message, Task):
        return [one for one in decided if not says(NOT_FOUND)(one)]
    return decided


def refuses_repetitions(event: scheduler.Event, decided: list[Decided]) -> list[Decided]:
    if isinstance(event, Received) and any(
        isinstance(one, scheduler.Dropped) and one.reason == "duplicate task id" for one in decided
    ):
        return [*decided, Send(event.sender, TaskCancelConfirm(event.message.task_id, NOT_FOUND))]  # type: ignore[union-attr]
    return decided


def shuts_down_in_silence(event: scheduler.Event, decided: list[Decided]) -> list[Decided]:
    return [
        one
        for one in decided
        if not (isinstance(one, Send) and one.message == ClientDisconnect(DisconnectType.SHUTDOWN))
    ]


def forgets_one_of_many(event: scheduler.Event, decided: list[Decided]) -> list[Decided]:
    """Of several TaskCancels and answers in one step the last is lost."""
    said = [one for one in decided if says(TaskCancel)(one) or says(CANCELED)(one)]
    return [one for one in decided if one is not said[-1]] if len(said) > 1 else decided


def newest_first(event: scheduler.Event, decided: list[Decided]) -> list[Decided]:
    return decided[::-1]


# --- how it decides


class AnybodyCancels(SchedulerMachine):
    def _on_task_cancel(self, event: Received) -> None:
        assert isinstance(event.message, TaskCancel)
        task = self._tasks.get(event.message.task_id)
        owner = task.owner if task is not None and event.sender not in self._workers else event.sender
        super()._on_task_cancel(replace(event, sender=owner))


class AnybodyAnswers(SchedulerMachine):
    def _held_by_sender(self, event: Received, task_id: bytes) -> Any:
        task = self._tasks.get(task_id)
        return task if task is not None and task.worker is not None else super()._held_by_sender(event, task_id)


class LeakyPlaces(SchedulerMachine):
    """A place at which a task was refused once is not used again."""

    def _take_from_worker(self, task: Any) -> None:
        worker = task.worker
        if worker is not None and task.state in (TaskState.CANCELING, TaskState.FORCING, TaskState.ESCALATED):
            worker.queue_size -= 1
        super()._take_from_worker(task)


class GenerousPlaces(SchedulerMachine):
    """The place of a task is free as soon as its owner is lost."""

    def _apply(self, task: Any, given: TaskInput, frame: bytes | None = None) -> None:
        super()._apply(task, given, frame)
        if given is TaskInput.OWNER_LOST and task.worker is not None:
            task.worker.queue_size += 1
            self._placement.update(task.worker)


class RemembersTheLost(SchedulerMachine):
    """A lost worker is still there when tasks are placed."""

    def _lose_worker(self, identity: bytes) -> None:
        worker = self._workers[identity]
        super()._lose_worker(identity)
        self._placement.update(worker)


class ForgetsTheLost(SchedulerMachine):
    def _remember_lost(self, identity: bytes, peer: Any) -> None:
        pass


class ForgetsTheirTasks(SchedulerMachine):
    """What was lost with a worker is not in the queue again."""

    def _lose_worker(self, identity: bytes) -> None:
        tasks = list(self._workers[identity].tasks)
        super()._lose_worker(identity)
        for task_id in tasks:
            self._queue.pop(task_id, None)

    def _dispatch(self) -> None:
        for task_id in [task_id for task_id in self._queue if self._tasks[task_id].losses]:
            del self._queue[task_id]
        super()._dispatch()


class CancelledStayQueued(SchedulerMachine):
    """Cancelled tasks are answered, and dispatched when their turn comes."""

    def _on_task_cancel(self, event: Received) -> None:
        task = self._tasks.get(event.message.task_id)  # type: ignore[union-attr]
        queued = task is not None and task.state is TaskState.QUEUED and task.owner == event.sender
        super()._on_task_cancel(event)
        if queued and task is not None:
            self._tasks[task.task_id], self._queue[task.task_id], task.state = task, None, TaskState.QUEUED


class BalancesEverything(SchedulerMachine):
    """The balancer does not look at what is on its way already."""

    def _on_rebalance_due(self) -> None:
        super()._on_rebalance_due()
        for task in self._tasks.values():
            if task.worker is not None and task.state in (TaskState.CANCELING, TaskState.REBALANCING):
                self._send(task.worker.identity, TaskCancel(task.task_id))


class OneTaskTooMany(SchedulerMachine):
    def _on_worker_heartbeat(self, event: Received) -> None:
        assert isinstance(event.message, WorkerHeartbeat)
        more = replace(event.message, queue_size=event.message.queue_size + 1)
        super()._on_worker_heartbeat(replace(event, message=more))


class ReadsQueueSizeOnce(SchedulerMachine):
    def _on_worker_heartbeat(self, event: Received) -> None:
        known = self._workers.get(event.sender)
        size = known.queue_size if known is not None else event.message.queue_size  # type: ignore[union-attr]
        super()._on_worker_heartbeat(replace(event, message=WorkerHeartbeat(queue_size=size)))


class RolesMix(SchedulerMachine):
    """A client's TaskResult counts for a task of its own."""

    def _held_by_sender(self, event: Received, task_id: bytes) -> Any:
        task = self._tasks.get(task_id)
        if task is not None and task.owner == event.sender and task.worker is not None:
            return task
        return super()._held_by_sender(event, task_id)


class WorkersSubmit(SchedulerMachine):
    def _client_of(self, event: Received) -> Any:
        if event.sender in self._workers:
            return self._clients.setdefault(event.sender, ClientRecord(event.now))
        return super()._client_of(event)


class UnknownIsCanceled(SchedulerMachine):
    def _on_task_cancel_confirm(self, event: Received) -> None:
        message = event.message
        if isinstance(message, TaskCancelConfirm) and not isinstance(message.cancel_confirm_type, CancelConfirmType):
            event = replace(event, message=replace(message, cancel_confirm_type=CANCELED))
        super()._on_task_cancel_confirm(event)


class UnknownGoodByeIsNone(SchedulerMachine):
    def _on_client_disconnect(self, event: Received) -> None:
        if isinstance(event.message.disconnect_type, DisconnectType):  # type: ignore[union-attr]
            super()._on_client_disconnect(event)


class GoodByeIsNone(SchedulerMachine):
    def _on_worker_disconnect(self, event: Received) -> None:
        pass


class ClosesForEverybody(SchedulerMachine):
    """It says that it does not shut down, and does."""

    def _on_client_disconnect(self, event: Received) -> None:
        super()._on_client_disconnect(event)
        if event.message == ClientDisconnect(DisconnectType.SHUTDOWN) and event.sender in self._clients:
            self._on_close_requested()


class TakesTasksToTheEnd(SchedulerMachine):
    def _on_task(self, event: Received) -> None:
        closing, self._closing = self._closing, False
        super()._on_task(event)
        self._closing = closing


class ForgetsTheQueue(SchedulerMachine):
    """A shutdown answers only what workers hold."""

    def _on_close_requested(self) -> None:
        waiting = {task_id: self._tasks.pop(task_id) for task_id in self._queue}
        super()._on_close_requested()
        self._tasks |= waiting


class LastWordFromAnywhere(SchedulerMachine):
    """An answer that nobody asked for ends the task."""

    def _on_answer(self, event: Received, task_id: bytes, given: TaskInput) -> None:
        task = self._held_by_sender(event, task_id)
        if task is not None and task.state is TaskState.DISPATCHED and given is not TaskInput.RESULT:
            task.state = TaskState.CANCELING
        super()._on_answer(event, task_id, given)


class AnswersGarbage(SchedulerWalk):
    def _receive_garbage(self, peer: str, note: str) -> None:
        super()._receive_garbage(peer, note)
        self._say(peer, ClientDisconnect(), peer)


class LossesInParts(SchedulerMachine):
    """What a loss has for clients is sent when the next event has been handled."""

    def __init__(self, settings: scheduler.SchedulerSettings) -> None:
        super().__init__(settings)
        self.held_back: list[Decided] = []
        self._of_loss: list[Decided] = []

    def handle(self, event: scheduler.Event) -> list[Decided]:
        decided = super().handle(event)
        held_back, self.held_back, self._of_loss = self.held_back, self._of_loss, []
        return [one for one in decided if not any(one is other for other in self.held_back)] + held_back

    def _lose_worker(self, identity: bytes) -> None:
        before = len(self._out)
        super()._lose_worker(identity)
        self._of_loss += [one for one in self._out[before:] if says(CANCELED)(one)]


class RestsWhenAllIsSent(SchedulerWalk):
    """Lives with `LossesInParts`."""

    @property
    def at_rest(self) -> bool:
        assert isinstance(self.machine, LossesInParts)
        return not self.machine.held_back


class AsksTheLost(SchedulerMachine):
    """A cancel goes to the worker with which its task was lost, if that was not placed again."""

    def __init__(self, settings: scheduler.SchedulerSettings) -> None:
        super().__init__(settings)
        self._lost_with: dict[bytes, bytes] = {}

    def _lose_worker(self, identity: bytes) -> None:
        self._lost_with |= dict.fromkeys(self._workers[identity].tasks, identity)
        super()._lose_worker(identity)

    def _on_task_cancel(self, event: Received) -> None:
        assert isinstance(event.message, TaskCancel)
        task = self._tasks.get(event.message.task_id)
        if task is not None and task.owner == event.sender and task.state is TaskState.QUEUED and task.losses:
            self._send(self._lost_with[task.task_id], event.message)
        super()._on_task_cancel(event)


class GarbageCancels(SchedulerWalk):
    """What cannot be read from one has the tasks of all others cancelled."""

    def _receive_garbage(self, peer: str, note: str) -> None:
        super()._receive_garbage(peer, note)
        for worker, tasks in self._assigned.items():
            for task_id in tasks:
                if peer not in (worker, self._owners.get(task_id)):
                    self._say(worker, TaskCancel(task_id, True), peer)
                    return


class GarbageStops(SchedulerWalk):
    """What cannot be read ends it."""

    _stopped = False

    def _receive_garbage(self, peer: str, note: str) -> None:
        super()._receive_garbage(peer, note)
        self._stopped = True

    def _feed(self, event: scheduler.Event) -> None:
        if not self._stopped:
            super()._feed(event)


class Late(LazyWalk):
    """Its echoes overtake what they should follow."""

    def _follows(self, echo: str, cause: str) -> bool:
        return False


def table(expected: str, state: TaskState, given: TaskInput, following: TaskState, action: Action) -> SchedulerFault:
    """One row of the table is wrong."""
    return SchedulerFault(expected, rows={(state, given): (following, action)})


def machine(expected: str, kind: type[SchedulerMachine]) -> SchedulerFault:
    return SchedulerFault(expected, machine=kind)


FAULTS: dict[str, SchedulerFault] = {
    "results are not sent": SchedulerFault("S1.1 S5.1 S4.3 S9.3 S7.4", drop(says(TaskResult))),
    "results are sent twice": SchedulerFault("S1.1", double(says(TaskResult))),
    "results are successes": SchedulerFault("S1.5 M6 S8.1", change(says(TaskResult), altered(result_type=0))),
    "results of an unknown kind are failures": SchedulerFault(
        "M6 S1.5 S8.1", change(says(TaskResult), altered(result_type=1))
    ),
    "results go to another client": SchedulerFault("S2.4 S2.3", change(says(TaskResult), misdirected(CLIENTS))),
    "everybody hears of a confirm": SchedulerFault(
        "S2.4 S2.3 S9.10 S9.8 S4.4 M6 S1.1 S7.2 S8.3 S1.2", also_to(says(TaskCancelConfirm), CLIENTS)
    ),
    "canceled is not sent": SchedulerFault("S4.2 S3.1 S9.2 S9.10 S6.3 S7.5 S7.6", drop(says(CANCELED))),
    "cancelFailed is not sent": SchedulerFault("S4.2 S6.3 S7.6", drop(says(CANCEL_FAILED))),
    "cancelNotFound is not sent": SchedulerFault(
        "S2.1 S4.2 S9.9 S1.3 S9.8 S9.11 S2.2 M6 S3.1 S6.3 S7.5 S9.10 S7.6", drop(says(NOT_FOUND))
    ),
    "cancelNotFound is canceled": SchedulerFault(
        "S2.1 S4.2 S1.1 S1.3 S9.8 S9.11 S2.2 M6 S11.6 S6.3 S7.5 S7.6 S9.7",
        change(says(NOT_FOUND), altered(cancel_confirm_type=0)),
    ),
    "canceled is said twice": SchedulerFault("S1.1", double(says(CANCELED))),
    "cancelFailed is said twice": SchedulerFault("S4.2 S6.1 S6.3", double(says(CANCEL_FAILED))),
    "canceled is said at once": SchedulerFault("S4.4", answers_at_once),
    "each cancel that joins is answered": SchedulerFault("S6.1 S4.2", answers_everybody_who_joins),
    "tasks are sent twice": SchedulerFault("S8.2", double(says(Task))),
    "tasks are sent to two workers": SchedulerFault("S8.2 S9.6", also_to(says(Task), WORKERS)),
    "tasks are sent to others": SchedulerFault(
        "S8.2 S1.1 S4.1 S8.4 S9.6 S9.3 S9.7 S11.3", change(says(Task), misdirected(WORKERS))
    ),
    "tasks lose their arguments": SchedulerFault("S1.5 M6", change(says(Task), altered(function_args=()))),
    "cancels are not passed on": SchedulerFault("S4.1 S9.7 M6", drop(says(TaskCancel))),
    "cancels are passed on twice": SchedulerFault("S6.1 S7.7 S9.7", double(says(TaskCancel))),
    "cancels change their force": SchedulerFault("S4.1 S7.1 S9.7 M6", change(says(TaskCancel), flipped)),
    "cancels have no force": SchedulerFault(
        "S4.1 S6.2 S9.7 S4.3 M6 S7.5", change(says(TaskCancel), altered(force=False))
    ),
    "cancels have force": SchedulerFault("S7.1 S4.1 S4.3", change(says(TaskCancel), altered(force=True))),
    "cancels go to another worker": SchedulerFault("S4.1 S9.7 M6", change(says(TaskCancel), misdirected(WORKERS))),
    "the last of several messages is lost": SchedulerFault("S9.7 S9.2 S9.10 M6", forgets_one_of_many),
    "logs are not sent": SchedulerFault("S8.4", drop(says(TaskLog))),
    "logs are sent to others as well": SchedulerFault("S8.4", also_to(says(TaskLog), CLIENTS)),
    "clients are not echoed": SchedulerFault("S10.1", drop(says(ClientHeartbeatEcho))),
    "workers are echoed twice": SchedulerFault("S10.1", double(says(WorkerHeartbeatEcho))),
    "echoes overtake": SchedulerFault("S4.1 S1.1 S9.9 S4.2 S5.1 S8.4 S4.3 S6.2 S7.6", walk=Late),
    "losses are handled in parts": SchedulerFault("S9.5 S9.2 S9.10", machine=LossesInParts, walk=RestsWhenAllIsSent),
    "lost workers are asked": machine("S9.5 S3.1", AsksTheLost),
    "garbage cancels": SchedulerFault("S11.1 S6.1 S6.2 S9.7 S1.2 M1 M3", walk=GarbageCancels),
    "garbage ends it": SchedulerFault("S11.1 S10.1", walk=GarbageStops),
    "refusals are silent": SchedulerFault("S1.3 S9.9 S9.8 M6 S2.1 S9.10", refuses_in_silence),
    "a repeated Task is refused": SchedulerFault("S1.4", refuses_repetitions),
    "garbage is answered": SchedulerFault("M1 M3", walk=AnswersGarbage),
    "workers are not told of a shutdown": SchedulerFault("S9.10 S9.6", shuts_down_in_silence),
    "anybody cancels": machine("S2.2", AnybodyCancels),
    "anybody answers": machine("S8.1 S8.4 S11.3", AnybodyAnswers),
    "an owner answers for its worker": machine("S11.3 S8.4", RolesMix),
    "workers submit tasks": machine("S11.3 S1.2", WorkersSubmit),
    "places of cancelled tasks leak": machine("S9.9 S9.3", LeakyPlaces),
    "places of abandoned tasks are free": machine("S8.2", GenerousPlaces),
    "lost workers are given tasks": machine("S9.6", RemembersTheLost),
    "lost peers are taken back": machine("S9.6 S9.8 M6 S11.3 S1.2", ForgetsTheLost),
    "tasks of lost workers are forgotten": machine("S9.3", ForgetsTheirTasks),
    "cancelled tasks stay in the queue": machine("S3.1 S1.1", CancelledStayQueued),
    "the balancer repeats itself": machine("S7.7 S6.1 S2.2", BalancesEverything),
    "one task too many": machine("S8.2", OneTaskTooMany),
    "the queue size is read once": machine("S8.2 S9.9 S9.3", ReadsQueueSizeOnce),
    "an unknown confirm is canceled": machine("M6 S8.2 S7.2", UnknownIsCanceled),
    "an unknown good-bye is none": machine("M6", UnknownGoodByeIsNone),
    "a worker's good-bye is none": machine("S9.2 S9.6 S9.3 S9.10 S8.4 S3.1", GoodByeIsNone),
    "it shuts down and denies it": machine("S11.6 S2.2", ClosesForEverybody),
    "tasks are taken in a shutdown": machine("S9.10 S1.3 S1.2", TakesTasksToTheEnd),
    "a shutdown forgets the queue": machine("S9.10", ForgetsTheQueue),
    "an answer unasked counts": machine("S8.3", LastWordFromAnywhere),
    "a result leaves the task waiting": table(
        "S1.2 S1.1", TaskState.DISPATCHED, TaskInput.RESULT, TaskState.QUEUED, Action.FORWARD_ANSWER
    ),
    "canceled leaves the task waiting": table(
        "S1.2 S1.1", TaskState.CANCELING, TaskInput.CANCELED, TaskState.QUEUED, Action.FORWARD_ANSWER
    ),
    "canceled is swallowed": table(
        "S4.2 S7.6", TaskState.CANCELING, TaskInput.CANCELED, TaskState.ENDED, Action.NOTHING
    ),
    "a refusal ends the task": table(
        "S4.3 S8.2 S8.4 S9.3 S8.3 S9.7 S1.4 M6",
        TaskState.CANCELING,
        TaskInput.CANCEL_FAILED,
        TaskState.ENDED,
        Action.FORWARD_ANSWER,
    ),
    "the first refusal is told": table(
        "S6.3", TaskState.ESCALATED, TaskInput.CANCEL_FAILED, TaskState.FORCING, Action.FORWARD_ANSWER
    ),
    "the first refusal ends the round": table(
        "S6.3 S6.1 S9.7 S7.5 S7.7 S7.6 S9.2",
        TaskState.ESCALATED,
        TaskInput.CANCEL_FAILED,
        TaskState.DISPATCHED,
        Action.NOTHING,
    ),
    "force does not join": table(
        "S6.2", TaskState.CANCELING, TaskInput.CANCEL_FORCE, TaskState.CANCELING, Action.NOTHING
    ),
    "each cancel is passed on": table(
        "S6.1", TaskState.CANCELING, TaskInput.CANCEL, TaskState.CANCELING, Action.SEND_CANCEL
    ),
    "moves have force": table(
        "S7.1 S11.3", TaskState.DISPATCHED, TaskInput.REBALANCE, TaskState.REBALANCING, Action.SEND_CANCEL_FORCE
    ),
    "owners hear of moves": table(
        "S7.2 S1.1", TaskState.REBALANCING, TaskInput.CANCELED, TaskState.QUEUED, Action.FORWARD_ANSWER
    ),
    "owners hear of refused moves": table(
        "S7.2", TaskState.REBALANCING, TaskInput.CANCEL_FAILED, TaskState.DISPATCHED, Action.FORWARD_ANSWER
    ),
    "a task that is given back ends": table(
        "S7.3 S9.9 S9.10", TaskState.REBALANCING, TaskInput.CANCELED, TaskState.ENDED, Action.NOTHING
    ),
    "a refused move is made": table(
        "S7.4 S4.4", TaskState.REBALANCING, TaskInput.CANCEL_FAILED, TaskState.QUEUED, Action.NOTHING
    ),
    "a result in a move is dropped": table(
        "S7.4", TaskState.REBALANCING, TaskInput.RESULT, TaskState.ENDED, Action.NOTHING
    ),
    "force waits for the move": table(
        "S7.5", TaskState.REBALANCING, TaskInput.CANCEL_FORCE, TaskState.REBALANCING, Action.NOTHING
    ),
    "a cancel in a move is passed on": table(
        "S7.6", TaskState.REBALANCING, TaskInput.CANCEL, TaskState.CANCELING, Action.SEND_CANCEL
    ),
    "a cancel in a move is forgotten": table(
        "S7.8 S7.6 S9.2", TaskState.REBALANCING, TaskInput.CANCEL, TaskState.REBALANCING, Action.NOTHING
    ),
    "what is cancelled is placed again": table(
        "S9.2", TaskState.CANCELING, TaskInput.WORKER_LOST, TaskState.QUEUED, Action.NOTHING
    ),
    "what is cancelled ends in silence": table(
        "S9.2", TaskState.FORCING, TaskInput.WORKER_LOST, TaskState.ENDED, Action.NOTHING
    ),
    "a loss is canceled": table(
        "S9.3", TaskState.DISPATCHED, TaskInput.WORKER_LOST, TaskState.ENDED, Action.SEND_CANCELED
    ),
    "the last loss is silent": table(
        "S9.3 S9.10", TaskState.DISPATCHED, TaskInput.WORKER_LOST_AGAIN, TaskState.ENDED, Action.NOTHING
    ),
    "abandoned tasks are not cancelled": table(
        "S9.7 M6", TaskState.DISPATCHED, TaskInput.OWNER_LOST, TaskState.ABANDONED, Action.NOTHING
    ),
    "results of abandoned tasks are sent": table(
        "S9.7 M6", TaskState.ABANDONED, TaskInput.RESULT, TaskState.ENDED, Action.FORWARD_ANSWER
    ),
    "a waiting cancel is silent": table("S3.1", TaskState.QUEUED, TaskInput.CANCEL, TaskState.ENDED, Action.NOTHING),
    "a grace ends in silence": table("S9.10", TaskState.DISPATCHED, TaskInput.CLOSE, TaskState.ENDED, Action.NOTHING),
}
"""By what is wrong."""
