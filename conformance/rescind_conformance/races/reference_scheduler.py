"""The scheduler of this project as the race tests take one without sockets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rescind import wire
from rescind.scheduler_machine import (
    Closed,
    CloseExpired,
    CloseRequested,
    Event,
    Forward,
    Lost,
    RebalanceDue,
    Received,
    SchedulerMachine,
    Send,
    TimePassed,
)
from rescind_conformance.races.scheduler_machine import Exits, Loses, Output, Sends


class ReferenceScheduler:
    """A `SchedulerMachine` of the race tests over one of `rescind`'s, whose shell it plays."""

    def __init__(self, machine: SchedulerMachine | None = None) -> None:
        self._machine = machine or SchedulerMachine()

    def receive(self, sender: bytes, frames: Sequence[bytes], now: float) -> Iterable[Output]:
        """A message; what cannot be read is dropped."""
        try:
            if len(frames) != 1:
                return []
            message = wire.decode(frames[0])
        except wire.WireError:
            return []
        return self._handle(Received(sender, message, frames[0], now))

    def pass_time(self, now: float) -> Iterable[Output]:
        """Looks for peers that have been silent for too long."""
        return self._handle(TimePassed(now))

    def rebalance(self) -> Iterable[Output]:
        """Moves what waits at crowded workers."""
        return self._handle(RebalanceDue())

    def close(self) -> Iterable[Output]:
        """Shuts down in order."""
        return self._handle(CloseRequested())

    def end_grace(self) -> Iterable[Output]:
        """Ends the grace."""
        return self._handle(CloseExpired())

    def _handle(self, event: Event) -> Iterator[Output]:
        for instruction in self._machine.handle(event):
            match instruction:
                case Send(to, message):
                    yield Sends(to, wire.encode(message))
                case Forward(to, frame):
                    yield Sends(to, frame)
                case Lost(peer):
                    yield Loses(peer)
                case Closed():
                    yield Exits()
