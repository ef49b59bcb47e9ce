"""Random lives of the reference's client and worker, written down as a judge reads them.

The party keeps to the specification, whatever its peers do. `Pick` takes each decision, so that Hypothesis or a seed
can. A `Fault` changes what the machine has decided before it is done, so that the judge has something to find.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from rescind import client_machine as client
from rescind import worker_machine as worker
from rescind.client_table import CancelOutcome
from rescind.messages import (
    Argument,
    ArgumentType,
    CancelConfirmType,
    ClientDisconnect,
    ClientHeartbeatEcho,
    ClientShutdownResponse,
    DisconnectType,
    Message,
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
from rescind.trace import describe
from rescind_conformance.judge.records import SCHEDULER, EventKind, EventRecord, MessageRecord, Record

T = TypeVar("T")
Decided = TypeVar("Decided")
Action = Callable[[], None]

IDS = tuple(f"T{number}".encode() for number in range(1, 5))
NAMES = {task_id: task_id.decode() for task_id in (*IDS, b"T9")}
STRANGE = b"T9"
"""The id of a task that is never submitted or assigned."""
RESULT_KINDS = (TaskResultType.SUCCESS, TaskResultType.FAILED, TaskResultType.FAILED_WORKER_DIED, 7)
DISCONNECTS = (DisconnectType.DISCONNECT, DisconnectType.SHUTDOWN, 7)


class Pick(Protocol):
    """Takes one of several, never none."""

    def __call__(self, options: Sequence[T], /) -> T: ...


Fault = Callable[[Any, list[Decided]], list[Decided]]
"""Takes an event and what the machine has decided on it; what is done instead."""


def words(records: Sequence[Record], names: Mapping[bytes, str] = NAMES) -> str:
    """A walk as lines for people."""
    lines = []
    for record in records:
        if isinstance(record, MessageRecord):
            said = record.note if record.message is None else describe(record.message, names)
            lines.append(f"{record.sender} -> {record.receiver}  {said}")
        else:
            details = [record.peer, record.task.decode(), *(["force"] if record.force else []), record.outcome]
            call = f" #{record.call} {record.value}" if record.call else ""
            lines.append(f"{record.at}  {record.event} {' '.join(details)}{call}")
    return "\n".join(lines)


class Walk(Generic[Decided]):
    """What walks of both roles have in common."""

    party = ""

    def __init__(self, pick: Pick, fault: Fault[Decided] | None = None) -> None:
        self.records: list[Record] = []
        self.over = False
        self._pick = pick
        self._fault = fault

    def step(self) -> None:
        """Let one thing happen."""
        if not self.over:
            self._pick(self._actions())()

    def finish(self) -> None:
        """Let everything come to its end that comes there by itself."""
        raise NotImplementedError

    @property
    def at_rest(self) -> bool:
        """Whether nothing more will happen by itself."""
        raise NotImplementedError

    def _actions(self) -> list[Action]:
        raise NotImplementedError

    def _decided(self, event: object, instructions: list[Decided]) -> list[Decided]:
        return self._fault(event, list(instructions)) if self._fault else instructions

    def _received(self, message: Message | None, note: str = "") -> None:
        self.records.append(MessageRecord(self.party, SCHEDULER, self.party, message, note))

    def _sent(self, message: Message) -> None:
        self.records.append(MessageRecord(self.party, self.party, SCHEDULER, message))

    def _event(self, kind: EventKind, **fields: object) -> None:
        self.records.append(EventRecord(self.party, kind, **fields))  # type: ignore[arg-type]

    def _receive_nonsense(self) -> None:
        self._received(None, self._pick(("malformed pointer", "unknown member: number 200")))


class WorkerWalk(Walk[worker.Instruction]):
    """A worker with two processes and a scheduler that sends it whatever it likes."""

    party = "W1"

    def __init__(self, pick: Pick, fault: Fault[worker.Instruction] | None = None) -> None:
        super().__init__(pick, fault)
        self._machine = worker.WorkerMachine(worker.WorkerSettings(processes=2))
        self._given: set[bytes] = set()
        """What the scheduler has not heard a last word about."""
        self._used: set[bytes] = set()
        self._processes: dict[bytes, str] = {}
        """Those that run a task, and whether they are "running", "told" to end, or have "returned" too late."""
        self._connected = True

    def finish(self) -> None:
        for task_id in list(self._processes):
            if self._processes.get(task_id) == "running" and self._pick((True, False)):
                self._return(task_id)
        while told := [task_id for task_id, how in self._processes.items() if how != "running"]:
            self._end(told[0])

    @property
    def at_rest(self) -> bool:
        return all(how == "running" for how in self._processes.values())

    def _actions(self) -> list[Action]:
        actions: list[Action] = [self._beat]
        for task_id, how in self._processes.items():
            actions.append(partial(self._end, task_id))
            if how != "returned":
                actions += [partial(self._return, task_id)] * 2
        if self._connected:
            fresh = [task_id for task_id in IDS if task_id not in self._used]
            again = [task_id for task_id in IDS if task_id in self._used - self._given]
            if fresh:
                actions += [partial(self._assign, fresh[0])] * 3
            if again:
                actions.append(partial(self._assign, self._pick(again)))
            cancel = TaskCancel(self._pick((*IDS, STRANGE)), self._pick((True, False)))
            actions += [partial(self._receive, cancel)] * 6
            actions += [partial(self._receive, WorkerHeartbeatEcho()), self._receive_nonsense]
            actions += [self._rarely] * self._pick((0, 0, 1))
        return actions

    def _rarely(self) -> None:
        """What happens once in a life, or should never happen."""
        not_for_it: tuple[Message, ...] = (TaskResult(IDS[0]), ClientShutdownResponse(True), ClientHeartbeatEcho())
        actions: tuple[Action, ...] = (
            partial(self._receive, Task(self._pick(IDS))),
            partial(self._receive, self._pick(not_for_it)),
            partial(self._receive, ClientDisconnect(self._pick(DISCONNECTS))),
            partial(self._leave, worker.Farewell.EXIT, EventKind.LEAVE_REQUESTED),
            partial(self._leave, worker.Farewell.REJOIN, EventKind.SCHEDULER_LOST),
        )
        self._pick(actions)()

    def _beat(self) -> None:
        self._handle(worker.HeartbeatDue(WorkerHeartbeat(), 0.0))

    def _assign(self, task_id: bytes) -> None:
        kind = self._pick((ArgumentType.OBJECT_ID, ArgumentType.OBJECT_ID, 5))
        self._given.add(task_id)
        self._used.add(task_id)
        self._receive(Task(task_id, function_args=(Argument(kind, b"argument"),)))

    def _receive(self, message: Message) -> None:
        self._received(message)
        self._handle(worker.Received(message, 0.0))

    def _return(self, task_id: bytes) -> None:
        """Its function returns or raises; one with an argument that nobody knows is reported failed."""
        raised = self._pick((False, True)) or self._unreadable(task_id)
        self._event(EventKind.FINISHED, task=task_id, outcome="raised" if raised else "returned")
        if self._processes[task_id] == "running":
            del self._processes[task_id]
        else:
            self._processes[task_id] = "returned"
        kind = TaskResultType.FAILED if raised else TaskResultType.SUCCESS
        self._handle(worker.Finished(task_id, kind, (b"result",)))

    def _unreadable(self, task_id: bytes) -> bool:
        tasks = [
            record.message
            for record in self.records
            if isinstance(record, MessageRecord)
            and isinstance(record.message, Task)
            and record.message.task_id == task_id
        ]
        return any(argument.type == 5 for task in tasks for argument in task.function_args)

    def _end(self, task_id: bytes) -> None:
        """What runs it ends: it was told to, or it dies."""
        self._event(EventKind.PROCESS_ENDED, task=task_id)
        del self._processes[task_id]
        self._handle(worker.ProcessEnded(task_id))

    def _leave(self, farewell: worker.Farewell, event: EventKind) -> None:
        dropped = event is EventKind.SCHEDULER_LOST and self._pick((True, False))
        self._event(event, outcome="dropped" if dropped else "")
        self._connected = self._connected and not dropped
        self._handle(worker.Leave(farewell))

    def _handle(self, event: worker.Event) -> None:
        for instruction in self._decided(event, self._machine.handle(event)):
            match instruction:
                case worker.Send(message) if self._connected:
                    self._sent(message)
                    if isinstance(message, TaskResult) or (
                        isinstance(message, TaskCancelConfirm)
                        and message.cancel_confirm_type != CancelConfirmType.CANCEL_FAILED
                    ):
                        self._given.discard(message.task_id)
                case worker.Start(task):
                    self._event(EventKind.STARTED, task=task.task_id)
                    self._processes[task.task_id] = "running"
                case worker.EndProcess(task_id):
                    self._processes[task_id] = "told"
                case worker.ReleaseResult(task):
                    self._event(EventKind.RESULT_RELEASED, task=task.task_id)
                case worker.Left():
                    self.over = True


@dataclass(slots=True)
class Caller:
    """A thread in `cancel()` or `cancelled()`."""

    number: int
    task: bytes
    asks: bool
    force: bool = False
    waits: bool = False
    """In a round; otherwise it has just called."""
    forced: bool = False
    """The round that it waits for has force."""


class ClientWalk(Walk[client.Instruction]):
    """A client with callers that are slow to be called and to return, and a scheduler that says whatever it likes."""

    party = "C1"

    def __init__(self, pick: Pick, fault: Fault[client.Instruction] | None = None) -> None:
        super().__init__(pick, fault)
        self._machine = client.ClientMachine()
        self._submitted = 0
        self._settled: dict[bytes, bool] = {}
        self._round: dict[bytes, bool] = {}
        """The open rounds, and whether they have force."""
        self._callers: list[Caller] = []
        self._answers: list[tuple[Caller, bool]] = []
        """Callers that are about to return."""
        self._calls = 0
        self.refused: set[bytes] = set()
        """Tasks of which a round was refused."""
        self._connected = True

    def finish(self) -> None:
        for caller in list(self._callers):
            if not caller.waits:
                self._enter(caller)
        while self._answers:
            self._return(self._answers[0])

    @property
    def at_rest(self) -> bool:
        return not self._answers and all(caller.waits for caller in self._callers)

    def _actions(self) -> list[Action]:
        task_id = self._pick((*IDS[: self._submitted], *IDS[: self._submitted], STRANGE))
        actions: list[Action] = [partial(self._call, task_id, asks=self._pick((True, True, False)))] * 2
        if self._submitted < len(IDS) and self._connected:
            actions += [self._submit] * 2
        actions += [partial(self._enter, caller) for caller in self._callers if not caller.waits] * 2
        actions += [partial(self._return, answer) for answer in self._answers]
        actions += [partial(self._expire, in_round) for in_round in self._round if self._pick((True, False, False))]
        if self._connected:
            actions += [partial(self._receive, self._about(each)) for each in (task_id, *self._round)]
            actions += [self._receive_nonsense]
            actions += [self._rarely] * self._pick((0, 0, 0, 1))
        return actions

    def _about(self, task_id: bytes) -> Message:
        messages: tuple[Message, ...] = (
            TaskCancelConfirm(task_id, self._pick((*CancelConfirmType, 7))),
            TaskCancelConfirm(task_id, self._pick(tuple(CancelConfirmType))),
            TaskResult(task_id, self._pick(RESULT_KINDS), results=(b"result",)),
            TaskResult(task_id, TaskResultType.FAILED_WORKER_DIED),
            TaskLog(task_id),
        )
        return self._pick(messages)

    def _rarely(self) -> None:
        not_for_it: tuple[Message, ...] = (WorkerDisconnectNotification(), TaskCancel(IDS[0]), WorkerHeartbeatEcho())
        actions: tuple[Action, ...] = (
            partial(self._receive, self._pick(not_for_it)),
            partial(self._receive, ClientHeartbeatEcho()),
            partial(self._receive, ClientDisconnect(self._pick(DISCONNECTS))),
            self._disconnect,
            self._lose,
        )
        self._pick(actions)()

    def _submit(self) -> None:
        task_id = IDS[self._submitted]
        self._submitted += 1
        self._handle(client.Submit(Task(task_id)))

    def _receive(self, message: Message) -> None:
        self._received(message)
        self._handle(client.Received(message))

    def _expire(self, task_id: bytes) -> None:
        self._event(EventKind.TIME_LIMIT, task=task_id)
        self._handle(client.TimeLimit(task_id))

    def _disconnect(self) -> None:
        self._event(EventKind.DISCONNECT_CALLED)
        self._connected = False
        self._handle(client.Disconnect(good_bye=True))

    def _lose(self) -> None:
        self._event(EventKind.SCHEDULER_LOST, outcome=self._pick(("dropped", "silent")))
        self._connected = False
        self._handle(client.Disconnect(good_bye=False))

    def _call(self, task_id: bytes, *, asks: bool) -> None:
        self._calls += 1
        caller = Caller(self._calls, task_id, asks, asks and self._pick((False, True)))
        kind = EventKind.CANCEL_CALLED if asks else EventKind.CANCELLED_CALLED
        self._event(kind, task=task_id, call=caller.number, force=caller.force)
        if task_id != STRANGE:
            self._callers.append(caller)

    def _enter(self, caller: Caller) -> None:
        """The caller gets at its future."""
        if caller.task in self._settled:
            self._answer(caller, self._settled[caller.task])
        elif not caller.asks and caller.task not in self._round:
            self._answer(caller, False)
        else:
            caller.waits = True
            if caller.asks:
                self._round.setdefault(caller.task, caller.force)
                self._handle(client.Cancel(caller.task, caller.force))
            caller.forced = self._round.get(caller.task, False)

    def _answer(self, caller: Caller, value: bool) -> None:
        if caller in self._callers:
            self._callers.remove(caller)
            self._answers.append((caller, value))

    def _return(self, answer: tuple[Caller, bool]) -> None:
        self._answers.remove(answer)
        caller, value = answer
        kind = EventKind.CANCEL_RETURNED if caller.asks else EventKind.CANCELLED_RETURNED
        self._event(kind, task=caller.task, call=caller.number, value=value)

    def _settle(self, task_id: bytes, cancelled: bool) -> None:
        self._event(EventKind.SETTLED, task=task_id, outcome="cancelled" if cancelled else "finished")
        self._settled[task_id] = cancelled
        self._round.pop(task_id, None)
        for caller in [caller for caller in self._callers if caller.task == task_id and caller.waits]:
            self._answer(caller, cancelled)

    def _end_round(self, task_id: bytes) -> None:
        """Refused. Those who asked for more ask again in the same step (C6.3)."""
        self.refused.add(task_id)
        forced = self._round.pop(task_id)
        waiting = [caller for caller in self._callers if caller.task == task_id and caller.waits]
        for caller in waiting:
            if forced or not caller.force:
                self._answer(caller, False)
        if not forced and any(caller.force for caller in waiting):
            self._round[task_id] = True
            self._handle(client.Cancel(task_id, force=True))

    def _handle(self, event: client.Event) -> None:
        for instruction in self._decided(event, self._machine.handle(event)):
            match instruction:
                case client.Send(message):
                    self._sent(message)
                case client.Deliver(result):
                    self._settle(result.task_id, False)
                case client.SetCancelled(task_id, outcome):
                    assert outcome is not CancelOutcome.REFUSED
                    self._settle(task_id, True)
                case client.EndRound(task_id):
                    self._end_round(task_id)
                case client.ReleaseResult(result):
                    self._event(EventKind.RESULT_RELEASED, task=result.task_id)
