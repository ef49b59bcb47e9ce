"""What the worlds of a client and of a worker without sockets have in common: the test plays the scheduler.

Everything that a message or an event causes has come when its call returns, so that the order of a trace is the order
in which the machine had it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable
from typing import Any

from rescind import wire
from rescind.messages import ClientHeartbeat, ClientHeartbeatEcho, Message, WorkerHeartbeat, WorkerHeartbeatEcho
from rescind_conformance.audit import Placed
from rescind_conformance.audit_peer import record_of
from rescind_conformance.findings import Findings
from rescind_conformance.judge.records import EventRecord, PartyJudge
from rescind_conformance.trace import SCHEDULER, Entry


class PeerMachineWorld(Findings):
    """One machine, and the scheduler that it talks to. For one thread."""

    subject: str
    """Its name in traces."""
    raising: str
    """The requirement that a machine breaks which raises."""

    def __init__(self) -> None:
        super().__init__()
        self.gone = False
        """Nothing reaches it any more."""
        self.dropped = False
        """Its connection has dropped: what it sends reaches nobody."""
        self.judge = self.new_judge()
        """Of the present life."""
        self._step = 0
        self._read = 0
        self._found: list[Placed] = []

    @abstractmethod
    def new_judge(self) -> PartyJudge:
        """The judge of a machine that has just been made."""

    @abstractmethod
    def hand_over(self, frames: tuple[bytes, ...]) -> Iterable[Any]:
        """Give the machine one ZeroMQ message."""

    @abstractmethod
    def take(self, output: Any) -> None:
        """Do what the machine says."""

    def send(self, message: Message, note: str = "") -> None:
        """The scheduler sends a message."""
        self._arrive((wire.encode(message),), message, note)

    def send_frames(self, *frames: bytes, note: str) -> None:
        """The scheduler sends what must be dropped; `note` tells it in the trace."""
        self._arrive(frames, None, note)

    def violations(self) -> list[Placed]:
        """What the machine has broken since this was asked last, now that everything has come."""
        self._judge_so_far()
        found, self._found = self._found, []
        if self.is_at_rest():
            found += [Placed(one, len(self.trace)) for one in self.judge.rest()]
        return found

    def is_at_rest(self) -> bool:
        """Whether the machine has nothing to wait for but its scheduler and its callers."""
        return True

    def audit(self) -> None:
        if not self.departures:
            for violation, position in self.violations():
                self.depart(violation.requirement, f"seen in the trace: {violation.text}", position=position)

    def close(self) -> None:
        """Nothing has to be ended."""

    def happen(
        self, event: str, record: EventRecord | None, act: Callable[[], Iterable[Any] | None] = lambda: ()
    ) -> bool:
        """Something happens at the machine, which does what it does about it; whether there is such a thing there."""
        self._step += 1
        self.trace.append(Entry(self._step, self.subject, self.subject, None, event, event=record))
        index = len(self.trace)
        happened = self._do(act)
        if not happened:
            del self.trace[index - 1]
        return happened

    def note(self, event: str, record: EventRecord | None = None) -> None:
        """Write into the trace what the machine says of itself."""
        self.trace.append(Entry(self._step, self.subject, self.subject, None, event, event=record))

    def take_frame(self, frame: bytes) -> None:
        """The machine sends a message. Heartbeats are echoed."""
        if self.dropped:
            return
        try:
            message = wire.decode(frame)
        except wire.WireError as error:
            self.trace.append(Entry(self._step, self.subject, SCHEDULER, None, f"unreadable: {error}"))
            return
        beats = isinstance(message, ClientHeartbeat | WorkerHeartbeat)
        self.trace.append(Entry(self._step, self.subject, SCHEDULER, message, fence=beats))
        if beats and not self.gone:
            echo = ClientHeartbeatEcho() if isinstance(message, ClientHeartbeat) else WorkerHeartbeatEcho()
            self.trace.append(Entry(self._step, SCHEDULER, self.subject, echo, fence=True))
            self._do(lambda: self.hand_over((wire.encode(echo),)))

    def begin_life(self) -> None:
        """The former life of the machine is judged to its end; what comes is judged as another."""
        self._judge_so_far()
        self._found += [Placed(one, len(self.trace)) for one in self.judge.rest()]
        self.judge = self.new_judge()

    def _judge_so_far(self) -> None:
        for position, entry in enumerate(self.trace[self._read :], start=self._read + 1):
            if (record := record_of(entry, self.subject)) is not None:
                self._found += [Placed(one, position) for one in self.judge.read(record)]
        self._read = len(self.trace)

    def _arrive(self, frames: tuple[bytes, ...], message: Message | None, note: str) -> None:
        if self.gone:
            return
        self._step += 1
        self.trace.append(Entry(self._step, SCHEDULER, self.subject, message, note))
        self._do(lambda: self.hand_over(frames))

    def _do(self, act: Callable[[], Iterable[Any] | None]) -> bool:
        """Have the machine do something; whether there is such a thing."""
        try:
            made = act()
            outputs = [] if made is None else list(made)
        except Exception as error:
            raise self.depart(self.raising, f"the machine raised {error!r}", unresponsive=True) from error
        for each in outputs:
            self.take(each)
        return made is not None
