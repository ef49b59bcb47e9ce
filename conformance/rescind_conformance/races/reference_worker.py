"""The worker of this project as the race tests take one without sockets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from rescind import wire
from rescind.messages import TaskResultType, WorkerHeartbeat
from rescind.worker_machine import (
    EndProcess,
    Event,
    Farewell,
    Finished,
    HeartbeatDue,
    Leave,
    Left,
    ProcessEnded,
    Received,
    ReleaseResult,
    Send,
    Start,
    WorkerMachine,
    WorkerSettings,
)
from rescind_conformance.races.worker_machine import Ends, Leaves, Output, Releases, Sends, Starts


class ReferenceWorker:
    """A `WorkerMachine` of the race tests over one of `rescind`'s, whose shell it plays."""

    def __init__(self, make: Callable[[WorkerSettings], WorkerMachine] = WorkerMachine) -> None:
        self._make = make
        self._machine: WorkerMachine = make(WorkerSettings())

    def start(self, processes: int) -> Iterable[Output]:
        """Sends its first heartbeat."""
        self._machine = self._make(WorkerSettings(processes=processes))
        return self._handle(HeartbeatDue(WorkerHeartbeat(), 0.0))

    def receive(self, frames: Sequence[bytes]) -> Iterable[Output]:
        """A message; what cannot be read is dropped."""
        try:
            if len(frames) != 1:
                return []
            message = wire.decode(frames[0])
        except wire.WireError:
            return []
        return self._handle(Received(message, 0.0))

    def finish(self, task_id: bytes, raised: bool) -> Iterable[Output]:
        """A function has returned, or raised."""
        return self._handle(Finished(task_id, TaskResultType.FAILED if raised else TaskResultType.SUCCESS, (task_id,)))

    def process_ended(self, task_id: bytes) -> Iterable[Output]:
        """A process no longer exists."""
        return self._handle(ProcessEnded(task_id))

    def leave(self) -> Iterable[Output]:
        """Ends what runs and leaves."""
        return self._handle(Leave(Farewell.EXIT))

    def lose_scheduler(self) -> Iterable[Output]:
        """Ends what runs, to come back as another."""
        return self._handle(Leave(Farewell.REJOIN))

    def _handle(self, event: Event) -> Iterator[Output]:
        for instruction in self._machine.handle(event):
            match instruction:
                case Send(message):
                    yield Sends(wire.encode(message))
                case Start(task):
                    yield Starts(task.task_id)
                case EndProcess(task_id):
                    yield Ends(task_id)
                case ReleaseResult(task):
                    yield Releases(task.task_id)
                case Left(farewell):
                    yield Leaves(farewell is Farewell.REJOIN)
