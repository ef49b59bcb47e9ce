"""Workers without sockets: what one has to offer, and a world in which the test plays the scheduler and what runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from rescind_conformance.audit_client import DROPS, FALLS_SILENT, RETURNS
from rescind_conformance.audit_worker import SUBJECT
from rescind_conformance.judge.records import EventKind, EventRecord, PartyJudge
from rescind_conformance.judge.worker import WORKER_EVENTS, WorkerJudge
from rescind_conformance.races.peer_machine import PeerMachineWorld

EVENTS = (*WORKER_EVENTS, EventKind.RESULT_RELEASED)


@dataclass(frozen=True, slots=True)
class Sends:
    """One frame, to the scheduler."""

    frame: bytes


@dataclass(frozen=True, slots=True)
class Starts:
    """It gives this task a process, which runs from now on."""

    task_id: bytes


@dataclass(frozen=True, slots=True)
class Ends:
    """It tells the process of this task to end. That it has ended it is told later."""

    task_id: bytes


@dataclass(frozen=True, slots=True)
class Releases:
    """Whatever this task has stored as its result is released (W2.5)."""

    task_id: bytes


@dataclass(frozen=True, slots=True)
class Leaves:
    """It has gone. `returns`: it would come back under another routing id."""

    returns: bool


Output = Sends | Starts | Ends | Releases | Leaves


class WorkerMachine(Protocol):
    """A worker that does no I/O: each method returns what it does, in order. It must be deterministic."""

    def start(self, processes: int) -> Iterable[Output]:
        """It begins (W5.1), and runs at most so many tasks at once."""
        ...

    def receive(self, frames: Sequence[bytes]) -> Iterable[Output]:
        """One ZeroMQ message of the scheduler."""
        ...

    def finish(self, task_id: bytes, raised: bool) -> Iterable[Output]:
        """The function of a task has returned or raised, and its process is free for another: it runs that no more.

        Also of a task whose process was told to end; then `process_ended` follows.
        """
        ...

    def process_ended(self, task_id: bytes) -> Iterable[Output]:
        """The process of a task has ended, as it was told to, or by itself."""
        ...

    def leave(self) -> Iterable[Output]:
        """Its operator asks it to leave (W4.2)."""
        ...

    def lose_scheduler(self) -> Iterable[Output]:
        """The connection has dropped (W5.3), or nothing has come for the scheduler time-out (W5.2)."""
        ...


@dataclass(slots=True)
class Process:
    """What runs a task."""

    ending: bool = False
    """It was told to end."""
    finished: bool = False
    """Its function has returned all the same."""


class WorkerMachineWorld(PeerMachineWorld):
    """A worker and what it runs; when it comes back, another is made."""

    subject = SUBJECT
    raising = "W1.1"  # tasks get no outcome any more

    def __init__(self, factory: Callable[[], WorkerMachine]) -> None:
        super().__init__()
        self.processes: dict[bytes, Process] = {}
        """By task id."""
        self.returns = False
        """It has gone, and would come back."""
        self._factory = factory
        self._machine = factory()

    def new_judge(self) -> PartyJudge:
        return WorkerJudge(EVENTS, self.names)

    def is_at_rest(self) -> bool:
        return not any(process.ending for process in self.processes.values())

    def start(self, *, processes: int) -> None:
        """It begins."""
        self.happen("start() is called", None, lambda: self._machine.start(processes))

    def come_back(self, *, processes: int) -> None:
        """One that has gone, and would come back, does."""
        self.begin_life()
        self.processes.clear()
        self.gone = self.dropped = self.returns = False
        self._machine = self._factory()
        self.note(RETURNS)
        self.start(processes=processes)

    def finish(self, task_id: bytes, *, raised: bool) -> None:
        """The function of what runs returns or raises."""
        process = self.processes[task_id]
        if process.ending:
            process.finished = True
        else:
            del self.processes[task_id]
        outcome = "raised" if raised else "returned"
        record = EventRecord(SUBJECT, EventKind.FINISHED, task=task_id, outcome=outcome)
        self.happen(
            f"the function of {self._name(task_id)} {outcome}", record, lambda: self._machine.finish(task_id, raised)
        )

    def end_process(self, task_id: bytes) -> None:
        """What runs a task has ended."""
        told = self.processes.pop(task_id).ending
        record = EventRecord(SUBJECT, EventKind.PROCESS_ENDED, task=task_id)
        text = f"the process of {self._name(task_id)} {'has ended' if told else 'dies'}"
        self.happen(text, record, lambda: self._machine.process_ended(task_id))

    def leave(self) -> None:
        """Its operator asks it to leave."""
        self.happen(
            "is asked by its operator to leave", EventRecord(SUBJECT, EventKind.LEAVE_REQUESTED), self._machine.leave
        )

    def lose_scheduler(self, *, dropped: bool) -> None:
        """Its connection drops, or its scheduler is silent for too long."""
        self.gone, self.dropped = True, dropped
        record = EventRecord(SUBJECT, EventKind.SCHEDULER_LOST, outcome="dropped" if dropped else "")
        text = f"its scheduler {DROPS if dropped else FALLS_SILENT}"
        self.happen(text, record, self._machine.lose_scheduler)

    def hand_over(self, frames: tuple[bytes, ...]) -> Iterable[Output]:
        return self._machine.receive(frames)

    def take(self, output: Any) -> None:
        match output:
            case Sends(frame):
                self.take_frame(frame)
            case Starts(task_id):
                self.processes[task_id] = Process()
                record = EventRecord(SUBJECT, EventKind.STARTED, task=task_id)
                self.note(f"starts {self._name(task_id)}", record)
            case Ends(task_id):
                self.note(f"tells the process of {self._name(task_id)} to end")
                if task_id in self.processes:
                    self.processes[task_id].ending = True
            case Releases(task_id):
                record = EventRecord(SUBJECT, EventKind.RESULT_RELEASED, task=task_id)
                self.note(f"releases what {self._name(task_id)} has stored", record)
            case Leaves(returns):
                self.gone, self.returns = True, returns
                self.note("has left" if not returns else "has left, and would come back")

    def _name(self, task_id: bytes) -> str:
        return self.names.get(task_id, "an unknown task")
