"""The client of this project as the race tests take one without sockets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from rescind import wire
from rescind.client_machine import (
    Cancel,
    ClientMachine,
    Deliver,
    Disconnect,
    EndRound,
    Event,
    Received,
    ReleaseResult,
    Send,
    SetCancelled,
    Submit,
    TimeLimit,
)
from rescind.messages import ClientHeartbeat, Task
from rescind_conformance.races.client_machine import CANCELLED, FINISHED, Output, Releases, Returns, Sends, Settles


@dataclass(slots=True)
class _Round:
    force: bool
    calls: dict[int, bool] = field(default_factory=dict)
    """Of `cancel()`, and whether each asked with force."""
    questions: list[int] = field(default_factory=list)
    """Calls of `cancelled()`."""


class ReferenceClient:
    """A `ClientMachine` of the race tests over one of `rescind`'s, whose futures and their callers it plays.

    They behave as `rescind`'s do: calls share a round, and one with force that shared a round without it asks again
    when that one is refused (C6.3).
    """

    def __init__(self, machine: ClientMachine | None = None) -> None:
        self._machine = machine or ClientMachine()
        self._settled: dict[bytes, bool] = {}
        """Whether each was cancelled."""
        self._rounds: dict[bytes, _Round] = {}

    def connect(self) -> Iterable[Output]:
        """Sends its first heartbeat."""
        return [Sends(wire.encode(ClientHeartbeat()))]

    def receive(self, frames: Sequence[bytes]) -> Iterable[Output]:
        """A message; what cannot be read is dropped."""
        try:
            if len(frames) != 1:
                return []
            message = wire.decode(frames[0])
        except wire.WireError:
            return []
        return self._handle(Received(message))

    def submit(self, task_id: bytes) -> Iterable[Output]:
        """Sends a Task."""
        return self._handle(Submit(Task(task_id)))

    def cancel(self, call: int, task_id: bytes, force: bool) -> Iterable[Output]:
        """Opens a round, or joins the one that is open."""
        if task_id in self._settled:
            return [Returns(call, self._settled[task_id])]
        self._rounds.setdefault(task_id, _Round(force)).calls[call] = force
        return self._handle(Cancel(task_id, force))

    def cancelled(self, call: int, task_id: bytes) -> Iterable[Output]:
        """Waits for the end of the round that is open."""
        if task_id in self._rounds:
            self._rounds[task_id].questions.append(call)
            return []
        return [Returns(call, self._settled.get(task_id, False))]

    def reach_time_limit(self, task_id: bytes) -> Iterable[Output]:
        """Ends the round."""
        return self._handle(TimeLimit(task_id))

    def disconnect(self) -> Iterable[Output]:
        """Says good-bye."""
        return self._handle(Disconnect(good_bye=True))

    def lose_scheduler(self) -> Iterable[Output]:
        """Cancels what is pending."""
        return self._handle(Disconnect(good_bye=False))

    def _handle(self, event: Event) -> Iterator[Output]:
        for instruction in self._machine.handle(event):
            match instruction:
                case Send(message):
                    yield Sends(wire.encode(message))
                case Deliver(result):
                    yield from self._settle(result.task_id, cancelled=False)
                case SetCancelled(task_id):
                    yield from self._settle(task_id, cancelled=True)
                case EndRound(task_id):
                    yield from self._refuse(task_id)
                case ReleaseResult(result):
                    yield Releases(result.task_id)

    def _settle(self, task_id: bytes, *, cancelled: bool) -> Iterator[Output]:
        self._settled[task_id] = cancelled
        yield Settles(task_id, CANCELLED if cancelled else FINISHED)
        if (ended := self._rounds.pop(task_id, None)) is not None:
            yield from (Returns(call, cancelled) for call in (*ended.calls, *ended.questions))

    def _refuse(self, task_id: bytes) -> Iterator[Output]:
        if (ended := self._rounds.pop(task_id, None)) is None:
            return
        again: dict[int, bool] = {} if ended.force else {call: True for call, force in ended.calls.items() if force}
        yield from (Returns(call, False) for call in (*ended.calls, *ended.questions) if call not in again)
        if again:
            self._rounds[task_id] = _Round(True, again)
            yield from self._handle(Cancel(task_id, force=True))
