"""Schedulers without sockets: what one has to offer, and a world in which peers talk to it in the same process.

The world is the one of the suite's cases, with a loopback in the place of ZeroMQ: everything that a message causes has
come when its sending returns, so that the order of a trace is the order in which the scheduler had its messages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import zmq

from rescind import wire
from rescind.messages import Message
from rescind_conformance.audit import LOST, Placed
from rescind_conformance.findings import Conversation
from rescind_conformance.judge.records import EventKind, EventRecord, MessageRecord, Record
from rescind_conformance.judge.scheduler import SchedulerJudge
from rescind_conformance.peers import Peer
from rescind_conformance.recording import Recording
from rescind_conformance.replay_file import DIED
from rescind_conformance.trace import SCHEDULER, Entry
from rescind_conformance.verdicts import Departure
from rescind_conformance.world import World

LONG: Final = 1000.0
"""Seconds: longer than any time-out, and so much passes when a peer is silent for too long."""
TIMES_OUT: Final = "is silent for longer than its time-out"
MOVES: Final = "is told to rebalance"
CLOSES: Final = "is told to shut down in order"
GIVES_UP: Final = "has given its workers their grace"


@dataclass(frozen=True, slots=True)
class Sends:
    """One frame, to the peer with this routing id."""

    to: bytes
    frame: bytes


@dataclass(frozen=True, slots=True)
class Loses:
    """It takes this peer as lost for its silence (S9.1); what it sends about that follows."""

    peer: bytes


@dataclass(frozen=True, slots=True)
class Exits:
    """Its orderly shutdown is complete."""


Output = Sends | Loses | Exits


class SchedulerMachine(Protocol):
    """A scheduler that does no I/O: each method returns what it does, in order. It must be deterministic.

    The last three return None if there is no such thing.
    """

    def receive(self, sender: bytes, frames: Sequence[bytes], now: float) -> Iterable[Output]:
        """One ZeroMQ message of the peer with this routing id, at this moment (seconds)."""
        ...

    def pass_time(self, now: float) -> Iterable[Output]:
        """It is `now`: peers that have been silent for their time-out are lost."""
        ...

    def rebalance(self) -> Iterable[Output] | None:
        """Move tasks from crowded workers to idle ones, if that is its way."""
        ...

    def close(self) -> Iterable[Output] | None:
        """Begin an orderly shutdown (S9.10)."""
        ...

    def end_grace(self) -> Iterable[Output] | None:
        """The grace of the orderly shutdown is over."""
        ...


class MachineWorld(World):
    """The peers of one order, and the scheduler that they talk to. Nothing is waited for."""

    def __init__(self, machine: SchedulerMachine) -> None:
        context: Any = _Context(self._arrives)
        super().__init__(Conversation(context, deadline=0.0), _InProcess())
        self.recording = Recording()
        """What was sent, frame by frame."""
        self.exited = False
        """The scheduler has shut down."""
        self._machine = machine
        self._now = 0.0
        self._judge = SchedulerJudge(self.names)
        self._read = 0

    def fence(self, peers: Iterable[Peer], *, unanswered_is_fine: bool = False) -> None:
        """Send a heartbeat from each. Whether it is answered the judge says."""
        for peer in peers:
            peer.beat()

    def settle(self, rounds: int = 2, *, fenced: Peer | None = None) -> None:
        """The next message begins a step."""
        self._settled = True

    def reconnect(self, peer: Peer) -> None:
        self.note_reconnected(peer)
        peer.beat()

    def happen(self, event: str, peer: Peer | None = None) -> None:
        """Have one of the events happen that this module names; what the machine does not have changes nothing."""
        self._step += 1
        if event == TIMES_OUT and peer is not None:
            self.note_event(peer, event)
            peer.silent = True
            self._now += LONG
            self.fence(other for other in (*self.clients, *self.workers) if other.living)
            self._does(lambda: self._machine.pass_time(self._now))
            return
        machine = self._machine
        kinds: dict[str, tuple[Callable[[], Iterable[Output] | None], EventKind | None]] = {
            MOVES: (machine.rebalance, None),
            CLOSES: (machine.close, EventKind.CLOSE_REQUESTED),
            GIVES_UP: (machine.end_grace, EventKind.GRACE_OVER),
        }
        if event not in kinds:
            super().happen(event, peer)
            return
        act, kind = kinds[event]
        record = None if kind is None else EventRecord(SCHEDULER, kind)
        index = len(self.trace)
        self.trace.append(Entry(self._step, SCHEDULER, SCHEDULER, None, event, event=record))
        if not self._does(act):
            del self.trace[index]

    def violations(self) -> list[Placed]:
        """What the machine has broken since this was asked last, now that everything has come."""
        found: list[Placed] = []
        for position, entry in enumerate(self.trace[self._read :], start=self._read + 1):
            for record in _records(entry):
                found += [Placed(one, position) for one in self._judge.read(record)]
        self._read = len(self.trace)
        return found + [Placed(one, self._read) for one in self._judge.rest()]

    def audit(self) -> None:
        if not self.departures:
            for violation, position in self.violations():
                self.depart(violation.requirement, f"seen in the trace: {violation.text}", position=position)

    def broken(self) -> set[str]:
        """The requirements that the trace shows broken: its order is the one in which the machine had it."""
        judge = SchedulerJudge(self.names)
        found = [one for entry in self.trace for record in _records(entry) for one in judge.read(record)]
        return {one.requirement for one in (*found, *judge.rest())}

    def _pump(self, seconds: float) -> bool:
        return False

    def _arrives(self, sender: bytes, frames: tuple[bytes, ...]) -> None:
        self.recording.frames[len(self.trace) - 1] = frames
        self._does(lambda: self._machine.receive(sender, frames, self._now))

    def _does(self, act: Callable[[], Iterable[Output] | None]) -> bool:
        """Have the machine do something; whether there is such a thing."""
        try:
            outputs = act()
            done = [] if outputs is None else list(outputs)
        except Departure:
            raise
        except Exception as error:
            raise self.depart("S11.1", f"{DIED}: it raised {error!r}", unresponsive=True) from error
        peers = {peer.routing_id: peer for peer in (*self.clients, *self.workers)}
        for each in done:
            match each:
                case Loses(name) if name in peers:
                    peer = peers[name].name
                    lost = EventRecord(SCHEDULER, EventKind.PEER_LOST, peer=peer)
                    note = f"takes {peer} as lost"
                    self.trace.append(Entry(self._step, SCHEDULER, SCHEDULER, None, note, event=lost))
                case Exits():
                    self.exited = True
                case Sends(to, frame) if to in peers:
                    self._sent(peers[to], frame)
        return outputs is not None

    def _sent(self, peer: Peer, frame: bytes) -> None:
        if not peer.socket.closed:
            self._deliver(peer, [frame])
            return
        try:
            message: Message | None = wire.decode(frame)
        except wire.WireError:
            message = None
        self.trace.append(Entry(self._step, SCHEDULER, peer.name, message, LOST))


def _records(entry: Entry) -> Iterable[Record]:
    if entry.sender != entry.receiver:
        yield MessageRecord(SCHEDULER, entry.sender, entry.receiver, entry.message, entry.note)
    elif entry.event is not None:
        yield entry.event


class _InProcess:
    """Is nothing that could end or log."""

    endpoint = ""
    pid = None

    def alive(self) -> bool:
        return True

    def log_tail(self) -> str:
        return ""

    def ask_to_stop(self) -> bool:
        return False

    def stop(self) -> None:
        pass


class _Context:
    """Makes sockets that hand what is sent to a function."""

    def __init__(self, arrives: Callable[[bytes, tuple[bytes, ...]], None]) -> None:
        self._arrives = arrives

    def socket(self, kind: int) -> _Socket:
        return _Socket(self._arrives)


class _Socket:
    closed = False

    def __init__(self, arrives: Callable[[bytes, tuple[bytes, ...]], None]) -> None:
        self._arrives = arrives
        self._identity = b""

    def setsockopt(self, option: int, value: Any) -> None:
        if option == zmq.IDENTITY:
            self._identity = value

    def connect(self, endpoint: str) -> None:
        pass

    def send(self, frame: bytes) -> None:
        self.send_multipart((frame,))

    def send_multipart(self, frames: Sequence[bytes]) -> None:
        self._arrives(self._identity, tuple(frames))

    def close(self, linger: int = 0) -> None:
        self.closed = True
