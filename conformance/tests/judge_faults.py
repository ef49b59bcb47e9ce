"""Small faults of a client and of a worker, made on purpose: `judge_walks` lives with them, and the judge finds them.

A fault is a walk that goes wrong, and the requirements by which that may first be seen; the first of them is what the
fault is about, and some walk must show it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from judge_walks import IDS, Caller, ClientWalk, Fault, Pick, Walk

from rescind import client_machine as client
from rescind import worker_machine as worker
from rescind.client_table import CancelOutcome
from rescind.messages import (
    CancelConfirmType,
    Message,
    Task,
    TaskCancel,
    TaskCancelConfirm,
    TaskResult,
    TaskResultType,
    WorkerDisconnectNotification,
    WorkerHeartbeat,
)

CANCELED = CancelConfirmType.CANCELED
CANCEL_FAILED = CancelConfirmType.CANCEL_FAILED
NOT_FOUND = CancelConfirmType.CANCEL_NOT_FOUND

WalkMaker = Callable[[Pick], Walk[Any]]


def sends(instruction: object, kind: type[Message] | CancelConfirmType | TaskResultType) -> bool:
    """Whether an instruction sends a message of this kind."""
    message = instruction.message if isinstance(instruction, worker.Send | client.Send) else None
    if isinstance(kind, CancelConfirmType):
        return isinstance(message, TaskCancelConfirm) and message.cancel_confirm_type == kind
    if isinstance(kind, TaskResultType):
        return isinstance(message, TaskResult) and message.result_type == kind
    return isinstance(message, kind)


def drop(what: Callable[[object], bool]) -> Fault[Any]:
    return lambda event, decided: [one for one in decided if not what(one)]


def double(what: Callable[[object], bool]) -> Fault[Any]:
    return lambda event, decided: [each for one in decided for each in ([one, one] if what(one) else [one])]


def change(what: Callable[[object], bool], into: Callable[[Any], object]) -> Fault[Any]:
    return lambda event, decided: [into(one) if what(one) else one for one in decided]


def send(kind: type[Message] | CancelConfirmType | TaskResultType) -> Callable[[object], bool]:
    return lambda instruction: sends(instruction, kind)


def confirm(kind: CancelConfirmType) -> Callable[[worker.Send], worker.Send]:
    def into(instruction: worker.Send) -> worker.Send:
        message = instruction.message
        assert isinstance(message, TaskCancelConfirm)
        return worker.Send(replace(message, cancel_confirm_type=kind))

    return into


def result(kind: TaskResultType) -> Callable[[worker.Send], worker.Send]:
    def into(instruction: worker.Send) -> worker.Send:
        message = instruction.message
        assert isinstance(message, TaskResult)
        return worker.Send(replace(message, result_type=kind))

    return into


# --- of a worker


def starts_late_tasks(event: worker.Event, decided: list[worker.Instruction]) -> list[worker.Instruction]:
    if isinstance(event, worker.Received) and isinstance(event.message, Task) and refused(decided, "leaving"):
        return [*decided, worker.Start(event.message)]
    return decided


def answers_late_tasks(event: worker.Event, decided: list[worker.Instruction]) -> list[worker.Instruction]:
    if isinstance(event, worker.Received) and isinstance(event.message, Task) and refused(decided, "leaving"):
        return [*decided, worker.Send(TaskResult(event.message.task_id, TaskResultType.FAILED))]
    return decided


def refused(decided: list[Any], reason: str) -> bool:
    return any(isinstance(one, worker.Dropped | client.Dropped) and one.reason == reason for one in decided)


def sends_late_results(event: worker.Event, decided: list[worker.Instruction]) -> list[worker.Instruction]:
    if isinstance(event, worker.Finished) and not any(sends(one, TaskResult) for one in decided):
        return [worker.Send(TaskResult(event.task_id, event.result_type)), *decided]
    return decided


def reports_every_end(event: worker.Event, decided: list[worker.Instruction]) -> list[worker.Instruction]:
    silent = not any(sends(one, TaskCancelConfirm) or sends(one, TaskResult) for one in decided)
    if isinstance(event, worker.ProcessEnded) and silent:
        return [worker.Send(TaskResult(event.task_id, TaskResultType.FAILED_WORKER_DIED)), *decided]
    return decided


def canceled_at_once(event: worker.Event, decided: list[worker.Instruction]) -> list[worker.Instruction]:
    if isinstance(event, worker.ProcessEnded):
        return [one for one in decided if not sends(one, CANCELED)]
    ends = next((one for one in decided if isinstance(one, worker.EndProcess)), None)
    if isinstance(event, worker.Received) and isinstance(event.message, TaskCancel) and ends is not None:
        return [worker.Send(TaskCancelConfirm(ends.task_id, CANCELED)), *decided]
    return decided


def answers_before_it_releases(event: worker.Event, decided: list[worker.Instruction]) -> list[worker.Instruction]:
    return sorted(decided, key=lambda one: isinstance(one, worker.ReleaseResult))


def answers_strangers(event: worker.Event, decided: list[worker.Instruction]) -> list[worker.Instruction]:
    if refused(decided, "not for a worker"):
        return [*decided, worker.Send(TaskCancelConfirm(IDS[3], NOT_FOUND))]
    return decided


def goodbye_at_once(event: worker.Event, decided: list[worker.Instruction]) -> list[worker.Instruction]:
    leaves = isinstance(event, worker.Leave) and event.farewell is worker.Farewell.EXIT
    if leaves and any(isinstance(one, worker.EndProcess) for one in decided):
        return [worker.Send(WorkerDisconnectNotification()), *decided]
    return decided


def heartbeat_after_goodbye(event: worker.Event, decided: list[worker.Instruction]) -> list[worker.Instruction]:
    if any(sends(one, WorkerDisconnectNotification) for one in decided):
        return [*decided[:-1], worker.Send(WorkerHeartbeat()), decided[-1]]
    return decided


WORKER_FAULTS: dict[str, tuple[Fault[worker.Instruction], str]] = {
    "results are not sent": (drop(send(TaskResult)), "W1.1 W2.4 W3.1"),
    "results are sent twice": (double(send(TaskResult)), "W1.1"),
    "a death is not reported": (drop(send(TaskResultType.FAILED_WORKER_DIED)), "W3.1 W2.4"),
    "a death is called an exception": (
        change(send(TaskResultType.FAILED_WORKER_DIED), result(TaskResultType.FAILED)),
        "W3.1",
    ),
    "an exception is called a success": (
        change(send(TaskResultType.FAILED), result(TaskResultType.SUCCESS)),
        "W3.2 M6",
    ),
    "an exception is called a death": (
        change(send(TaskResultType.FAILED), result(TaskResultType.FAILED_WORKER_DIED)),
        "W3.2",
    ),
    "canceled is not sent": (drop(send(CANCELED)), "W2.1 W2.2 W1.2"),
    "canceled is sent twice": (double(send(CANCELED)), "W1.2"),
    "canceled becomes a refusal": (change(send(CANCELED), confirm(CANCEL_FAILED)), "W2.1 W2.2 W1.2"),
    "a refusal becomes canceled": (change(send(CANCEL_FAILED), confirm(CANCELED)), "W2.3"),
    "refusals are not sent": (drop(send(CANCEL_FAILED)), "W2.3 W1.2"),
    "refusals are sent twice": (double(send(CANCEL_FAILED)), "W1.2"),
    "what is not there is canceled": (change(send(NOT_FOUND), confirm(CANCELED)), "W2.4 W1.1"),
    "what is not there is not answered": (drop(send(NOT_FOUND)), "W2.4 W1.2"),
    "processes are not ended": (drop(lambda one: isinstance(one, worker.EndProcess)), "W2.2 W4.2 W4.3 W5.2 W5.3 M6"),
    "canceled is sent at once": (canceled_at_once, "W2.2"),
    "late results are sent": (sends_late_results, "W2.5 W4.3 M6 W2.4 W4.2"),
    "results are released too late": (answers_before_it_releases, "W2.5"),
    "tasks are started twice": (double(lambda one: isinstance(one, worker.Start)), "W1.1"),
    "tasks are not started": (drop(lambda one: isinstance(one, worker.Start)), "W1.1 W2.1 W2.4 W1.2"),
    "tasks are started while it leaves": (starts_late_tasks, "W4.1"),
    "tasks are answered while it leaves": (answers_late_tasks, "W4.1 W1.1 W2.2 W2.5 W3.1 W4.3 M6"),
    "the good-bye is not said": (drop(send(WorkerDisconnectNotification)), "W4.2"),
    "the good-bye comes too early": (goodbye_at_once, "W4.2"),
    "a heartbeat follows the good-bye": (heartbeat_after_goodbye, "W4.2"),
    "a lost worker reports what it ended": (reports_every_end, "W4.3 M6 W2.2 W4.2"),
    "a worker that leaves reports what it ended": (reports_every_end, "W4.2 W4.3 M6 W2.2"),
    "a worker that leaves waits for what runs": (sends_late_results, "W4.2 W2.5 W4.3 M6 W2.4"),
    "what is for others is answered": (answers_strangers, "M3 W2.2"),
}

# --- of a client


def asks_for_each_call(event: client.Event, decided: list[client.Instruction]) -> list[client.Instruction]:
    if isinstance(event, client.Cancel) and not decided:
        return [client.Send(TaskCancel(event.task_id, event.force))]
    return decided


def settles_when_asked(event: client.Event, decided: list[client.Instruction]) -> list[client.Instruction]:
    if isinstance(event, client.Cancel) and decided:
        return [*decided, client.SetCancelled(event.task_id, CancelOutcome.CONFIRMED)]
    return decided


def settles_late(event: client.Event, decided: list[client.Instruction]) -> list[client.Instruction]:
    late = next((one for one in decided if isinstance(one, client.Dropped) and "nobody waits" in one.reason), None)
    return [*decided, client.SetCancelled(late.task_id, CancelOutcome.CONFIRMED)] if late else decided


def settles_on_unknown_answers(event: client.Event, decided: list[client.Instruction]) -> list[client.Instruction]:
    if isinstance(event, client.Received) and refused(decided, "unknown confirm type"):
        assert isinstance(event.message, TaskCancelConfirm)
        return [*decided, client.SetCancelled(event.message.task_id, CancelOutcome.CONFIRMED)]
    return decided


def settles_on_strange_messages(event: client.Event, decided: list[client.Instruction]) -> list[client.Instruction]:
    if refused(decided, "not for a client"):
        return [*decided, client.SetCancelled(IDS[0], CancelOutcome.DISCONNECTED)]
    return decided


def ignores(kind: type[client.Event]) -> Fault[client.Instruction]:
    return lambda event, decided: [] if isinstance(event, kind) else decided


def forgets_one(event: client.Event, decided: list[client.Instruction]) -> list[client.Instruction]:
    lost = isinstance(event, client.Disconnect)
    return [one for number, one in enumerate(decided) if not (lost and number == 0 and is_settling(one))]


def is_settling(instruction: object) -> bool:
    return isinstance(instruction, client.SetCancelled | client.Deliver)


def flip(instruction: client.Send) -> client.Send:
    assert isinstance(instruction.message, TaskCancel)
    return client.Send(replace(instruction.message, force=not instruction.message.force))


def deliver(instruction: client.SetCancelled) -> client.Deliver:
    return client.Deliver(TaskResult(instruction.task_id))


def cancel(instruction: client.Deliver) -> client.SetCancelled:
    return client.SetCancelled(instruction.result.task_id, CancelOutcome.RESULT_DISCARDED)


def end(instruction: client.EndRound) -> client.SetCancelled:
    return client.SetCancelled(instruction.task_id, CancelOutcome.CONFIRMED)


class Liar(ClientWalk):
    """Every call returns the opposite."""

    def _answer(self, caller: Caller, value: bool) -> None:
        super()._answer(caller, not value)


class Hasty(ClientWalk):
    """cancel() asks and returns at once."""

    def _enter(self, caller: Caller) -> None:
        super()._enter(caller)
        if caller.asks:
            self._answer(caller, True)


class Guesser(ClientWalk):
    """cancelled() never waits."""

    def _enter(self, caller: Caller) -> None:
        super()._enter(caller)
        if not caller.asks:
            self._answer(caller, False)


class Sleeper(ClientWalk):
    """Only the first who waits is woken."""

    def _settle(self, task_id: bytes, cancelled: bool) -> None:
        waiting = [caller for caller in self._callers if caller.task == task_id and caller.waits]
        for caller in waiting[1:]:
            self._callers.remove(caller)
        super()._settle(task_id, cancelled)


class Content(ClientWalk):
    """A call with force takes the refusal of a round without for its own."""

    def _end_round(self, task_id: bytes) -> None:
        for caller in self._callers:
            caller.force = caller.force and not (caller.task == task_id and caller.waits)
        super()._end_round(task_id)


class Resigned(ClientWalk):
    """After a refusal cancel() asks no more."""

    def _enter(self, caller: Caller) -> None:
        if caller.asks and caller.task in self.refused and caller.task not in (*self._round, *self._settled):
            self._answer(caller, False)
        else:
            super()._enter(caller)


class Reuser(ClientWalk):
    """It uses an id twice."""

    def _submit(self) -> None:
        super()._submit()
        if self._submitted == 3:
            self._sent(Task(IDS[0]))


def _client(fault: Fault[client.Instruction]) -> WalkMaker:
    return partial(ClientWalk, fault=fault)


_IS_CANCELLED = partial(lambda kind, one: isinstance(one, kind), client.SetCancelled)
_IS_DELIVERED = partial(lambda kind, one: isinstance(one, kind), client.Deliver)
_ENDS = partial(lambda kind, one: isinstance(one, kind), client.EndRound)

CLIENT_FAULTS: dict[str, tuple[WalkMaker, str]] = {
    "it asks twice": (_client(double(send(TaskCancel))), "C1.1 C6.2"),
    "it does not ask": (_client(drop(send(TaskCancel))), "C1.1 C2.3 C3.1 C4.1 C4.2 C6.3 C7.1 C10.1 C10.2"),
    "it asks with the other force": (_client(change(send(TaskCancel), flip)), "C1.1"),
    "each call asks": (_client(asks_for_each_call), "C6.2"),
    "it settles when it asks": (_client(settles_when_asked), "C1.1"),
    "nothing is cancelled": (_client(drop(_IS_CANCELLED)), "C2.1 C2.2 C2.3 C3.1 C5.1 C10.1 C10.2 M6"),
    "nothing is finished": (_client(drop(_IS_DELIVERED)), "C2.4 C4.1"),
    "futures are cancelled twice": (_client(double(_IS_CANCELLED)), "C8.1"),
    "futures are finished twice": (_client(double(_IS_DELIVERED)), "C8.1"),
    "what is cancelled has a result": (
        _client(change(_IS_CANCELLED, deliver)),
        "C2.1 C2.2 C2.3 C3.1 C5.1 C10.1 C10.2 M6",
    ),
    "what is finished is cancelled": (_client(change(_IS_DELIVERED, cancel)), "C2.4 C4.1"),
    "a refusal cancels": (_client(change(_ENDS, end)), "C4.1"),
    "a refusal is ignored": (_client(drop(_ENDS)), "C4.1 C6.3 C7.1"),
    "results are not released": (_client(drop(lambda one: isinstance(one, client.ReleaseResult))), "C3.2 C9.2"),
    "the time limit is ignored": (_client(ignores(client.TimeLimit)), "C5.1"),
    "one future survives a disconnect": (_client(forgets_one), "C10.1 C10.2"),
    "a late answer settles": (_client(settles_late), "C9.1 C4.1"),
    "an unknown answer settles": (_client(settles_on_unknown_answers), "M6"),
    "what is for others settles": (_client(settles_on_strange_messages), "M3 C1.1 C7.1"),
    "calls return the opposite": (Liar, "C2.1 C2.2 C2.3 C3.1 C4.1 C5.1 C6.1 C7.1 C10.1 C10.2 M6"),
    "cancel() does not wait": (Hasty, "C1.1 C4.1"),
    "cancelled() does not wait": (Guesser, "C7.1 C2.1 C2.2 C2.3 C3.1 C5.1 C10.1 C10.2"),
    "not everybody is woken": (Sleeper, "C8.1"),
    "a refusal is enough for who asked for more": (Content, "C6.3 C2.1 C3.1"),
    "a refusal is for ever": (Resigned, "C4.2 C6.3 C10.1 C10.2"),
    "an id is used twice": (Reuser, "M5"),
}
