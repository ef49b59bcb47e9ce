"""Clients without sockets: what one has to offer, and a world in which the test plays its scheduler and its callers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from rescind.messages import ClientDisconnect, Message
from rescind_conformance.audit_client import DROPS, FALLS_SILENT, SUBJECT
from rescind_conformance.judge.client import CLIENT_EVENTS, ClientJudge
from rescind_conformance.judge.records import EventKind, EventRecord, PartyJudge
from rescind_conformance.peers import TaskRef
from rescind_conformance.races.peer_machine import PeerMachineWorld

FINISHED: Final = "finished"
CANCELLED: Final = "cancelled"


@dataclass(frozen=True, slots=True)
class Sends:
    """One frame, to the scheduler."""

    frame: bytes


@dataclass(frozen=True, slots=True)
class Settles:
    """The future of this task is settled; `outcome`: `FINISHED` or `CANCELLED`."""

    task_id: bytes
    outcome: str


@dataclass(frozen=True, slots=True)
class Returns:
    """The call with this number returns."""

    call: int
    value: bool


@dataclass(frozen=True, slots=True)
class Releases:
    """The payloads of a result of this task are released (C3.2, C9.2)."""

    task_id: bytes


Output = Sends | Settles | Returns | Releases


class ClientMachine(Protocol):
    """A client that does no I/O: each method returns what it does, in order. It must be deterministic.

    Calls of `cancel()` and `cancelled()` have numbers, by which it says later that they return.
    """

    def connect(self) -> Iterable[Output]:
        """It begins (C12.1)."""
        ...

    def receive(self, frames: Sequence[bytes]) -> Iterable[Output]:
        """One ZeroMQ message of the scheduler."""
        ...

    def submit(self, task_id: bytes) -> Iterable[Output]:
        """A caller submits a task, which gets this id."""
        ...

    def cancel(self, call: int, task_id: bytes, force: bool) -> Iterable[Output]:
        """A caller calls `cancel()`."""
        ...

    def cancelled(self, call: int, task_id: bytes) -> Iterable[Output]:
        """A caller calls `cancelled()`, which may wait (C7.1)."""
        ...

    def reach_time_limit(self, task_id: bytes) -> Iterable[Output]:
        """The time limit of a call of `cancel()` for this task is reached (C5.1)."""
        ...

    def disconnect(self) -> Iterable[Output]:
        """The caller disconnects (C10.1)."""
        ...

    def lose_scheduler(self) -> Iterable[Output]:
        """The connection has dropped, or nothing has come for the scheduler time-out (C10.2)."""
        ...


@dataclass(frozen=True, slots=True)
class _Call:
    number: int
    text: str
    task_id: bytes
    returned: EventKind
    """The event of its return."""


class ClientMachineWorld(PeerMachineWorld):
    """A client and its callers. Task ids are given to it."""

    subject = SUBJECT
    raising = "C8.1"  # what it raises in receives nothing more

    def __init__(self, machine: ClientMachine) -> None:
        super().__init__()
        self._machine = machine
        self._calls: list[_Call] = []

    def new_judge(self) -> PartyJudge:
        return ClientJudge(CLIENT_EVENTS, self.names)

    def connect(self) -> None:
        """It begins."""
        self.happen("connect() is called", None, self._machine.connect)

    def submit(self, name: str, task_id: bytes) -> TaskRef:
        """A caller submits a task."""
        task = TaskRef(task_id, name)
        self.names[task_id] = name
        self.happen(f"submit({name}) is called", None, lambda: self._machine.submit(task_id))
        return task

    def start_cancel(self, task: TaskRef, *, force: bool = False) -> None:
        """A caller calls `cancel()`."""
        call = self._call(f"cancel({task.name}{', force' if force else ''})", task.id, EventKind.CANCEL_RETURNED)
        record = EventRecord(SUBJECT, EventKind.CANCEL_CALLED, task=task.id, call=call.number, force=force)
        self.happen(f"{call.text} is called", record, lambda: self._machine.cancel(call.number, task.id, force))

    def ask(self, task: TaskRef) -> None:
        """A caller calls `cancelled()`."""
        call = self._call(f"cancelled({task.name})", task.id, EventKind.CANCELLED_RETURNED)
        record = EventRecord(SUBJECT, EventKind.CANCELLED_CALLED, task=task.id, call=call.number)
        self.happen(f"{call.text} is called", record, lambda: self._machine.cancelled(call.number, task.id))

    def reach_limit(self, task: TaskRef) -> None:
        """The time limit of a call is reached."""
        record = EventRecord(SUBJECT, EventKind.TIME_LIMIT, task=task.id)
        text = f"the time limit of cancel({task.name}) is reached"
        self.happen(text, record, lambda: self._machine.reach_time_limit(task.id))

    def disconnect(self) -> None:
        """The caller disconnects."""
        self.happen(
            "disconnect() is called", EventRecord(SUBJECT, EventKind.DISCONNECT_CALLED), self._machine.disconnect
        )
        self.gone = True

    def lose_scheduler(self, *, dropped: bool) -> None:
        """Its connection drops, or its scheduler is silent for too long."""
        self.gone, self.dropped = True, dropped
        record = EventRecord(SUBJECT, EventKind.SCHEDULER_LOST, outcome="dropped" if dropped else "")
        text = f"its scheduler {DROPS if dropped else FALLS_SILENT}"
        self.happen(text, record, self._machine.lose_scheduler)

    def send(self, message: Message, note: str = "") -> None:
        super().send(message, note)
        self.gone = self.gone or isinstance(message, ClientDisconnect)

    def hand_over(self, frames: tuple[bytes, ...]) -> Iterable[Output]:
        return self._machine.receive(frames)

    def take(self, output: Any) -> None:
        match output:
            case Sends(frame):
                self.take_frame(frame)
            case Settles(task_id, outcome):
                record = EventRecord(SUBJECT, EventKind.SETTLED, task=task_id, outcome=outcome)
                self.note(f"{self.names.get(task_id, 'an unknown task')} settled {outcome}", record)
            case Returns(number, value):
                call = self._calls[number - 1]
                record = EventRecord(SUBJECT, call.returned, task=call.task_id, call=number, value=value)
                self.note(f"{call.text} returned {value}", record)
            case Releases(task_id):
                record = EventRecord(SUBJECT, EventKind.RESULT_RELEASED, task=task_id)
                self.note(f"a result of {self.names.get(task_id, 'an unknown task')} is released", record)

    def _call(self, text: str, task_id: bytes, returned: EventKind) -> _Call:
        self._calls.append(_Call(len(self._calls) + 1, text, task_id, returned))
        return self._calls[-1]
