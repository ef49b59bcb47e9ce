"""The network between the peers and the scheduler: records what passes, tells of it, and can be cut, muted and slowed
for one peer at a time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from rescind.frame_shapes import Decoder
from rescind.messages import ClientDisconnect, DisconnectType, Message
from rescind.trace import TraceEvent, TraceRecord
from rescind_conformance.judge.records import SCHEDULER
from rescind_conformance.judge.tapped import CLOSED, OPENED, TAP
from rescind_conformance.tap.addresses import address_of
from rescind_conformance.tap.relay import Fate, Passage, Peer, Relay
from rescind_conformance.tap.session import read_frames, routing_id

Record = TraceRecord | TraceEvent


@dataclass(slots=True)
class _Line:
    """The link of one process."""

    down: bool = False
    severed: bool = False
    """It is being cut: nothing gets through any more."""
    delay: float = 0.0
    """Seconds by which each message is late."""
    rate: float = 0.0
    """Bytes a second; 0: as fast as it goes."""
    free_at: float = 0.0
    """When all is through that a slow link has taken."""
    muted: dict[bool, bool] = field(default_factory=dict)
    """By direction (to the scheduler?), whether nothing gets through."""
    kept: list[Fate] = field(default_factory=list)
    """What has not got through."""


class Links:
    """All links, in a thread of its own. Any thread may call it; what it calls, it calls in its own."""

    def __init__(self, scheduler: str) -> None:
        """`scheduler`: where it listens, in all of its lives."""
        self.lives: list[list[Record]] = [[]]
        """The trace of each life of the scheduler."""
        self.on_message: Callable[[str, bool, Message | None], None] = lambda name, to_scheduler, message: None
        """Called before a message passes: whose link, in which direction, which message."""
        self.open: set[str] = set()
        """The routing ids of the peers that are connected."""
        self.told_to_leave: set[str] = set()
        """The names of the processes that the scheduler has told to leave."""
        self._lines: dict[str, _Line] = {}
        self._decoder = Decoder()
        self._first_of_life = [0]
        """By life, the number of the first connection that belongs to it."""
        self._connections = 0
        self._relay = Relay(address_of("tcp://127.0.0.1:0", to_bind=True), address_of(scheduler), self)
        self.endpoint = self._relay.endpoint
        self._thread = threading.Thread(target=self._relay.run, name="links", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """No link any more."""
        self._relay.stop()
        self._thread.join()

    def is_open(self, name: str) -> bool:
        """Whether the process there is connected."""
        return any(_process(each.encode()).partition(".")[0] == name for each in tuple(self.open))

    def run_soon(self, job: Callable[[], None]) -> None:
        """Have it done when what passes now has passed."""
        self._relay.run_soon(job)

    def begin_life(self) -> None:
        """The scheduler has ended, and another will come: what connects from now on belongs to its life."""

        def begin() -> None:
            self._relay.cut(lambda peer: True)
            self.lives.append([])
            self._first_of_life.append(self._relay.next_number())

        self._do(begin)

    def cut(self, name: str, down: bool) -> None:
        """Break the link of a process; with `down` it cannot be made again until `mend`."""
        line = self._line(name)
        line.down, line.severed = down, True

        def cut() -> None:
            self._relay.cut(lambda peer: _name(peer) == name)
            line.severed = False

        self._do(cut)

    def mute(self, name: str, to_scheduler: bool) -> None:
        """Nothing gets through in this direction, and nobody is told."""
        self._line(name).muted[to_scheduler] = True

    def slow(self, name: str, delay: float, rate: float) -> None:
        """Each message is late by `delay` seconds, and bytes pass at a rate."""
        line = self._line(name)
        line.delay, line.rate, line.free_at = delay, rate, 0.0

    def mend(self, name: str) -> None:
        """The link is as good as new; what was on its way gets through."""
        line = self._line(name)

        def mend() -> None:
            line.down, line.delay, line.rate, line.muted = False, 0.0, 0.0, {}
            for fate in line.kept:
                fate.held = False
            line.kept = []
            self._relay.look_again()

        self._do(mend)

    # Called by the relay, in its thread.

    def opened(self, peer: Peer) -> None:
        """Implements `Watcher`."""
        self.open.add(routing_id(peer))
        self._write(peer, TraceEvent(time.monotonic(), TAP, OPENED, {"peer": routing_id(peer)}))
        if self._line(_name(peer)).down:
            self._relay.run_soon(lambda: self._relay.cut(lambda each: each is peer))

    def closed(self, peer: Peer, by_scheduler: bool) -> None:
        """Implements `Watcher`."""
        self.open.discard(routing_id(peer))
        by = SCHEDULER if by_scheduler else "peer"
        self._write(peer, TraceEvent(time.monotonic(), TAP, CLOSED, {"peer": routing_id(peer), "by": by}))

    def unreachable(self) -> None:
        """Implements `Watcher`."""

    def arrived(self, passage: Passage) -> Fate:
        """Implements `Watcher`."""
        name = _name(passage.peer)
        message = self._read(passage)[0]
        if message == ClientDisconnect(DisconnectType.SHUTDOWN) and not passage.to_scheduler:
            self.told_to_leave.add(_process(passage.peer.routing_id))
        self.on_message(name, passage.to_scheduler, message)
        line = self._line(name)
        if line.severed:
            return Fate(copies=0)
        if line.muted.get(passage.to_scheduler):
            fate = Fate(held=True)
            line.kept.append(fate)
            return fate
        if not line.delay and not line.rate:
            return _PASSES
        now = time.monotonic()
        if line.rate:
            line.free_at = max(now, line.free_at) + sum(map(len, passage.frames)) / line.rate
        return Fate(seconds=max(line.delay, line.free_at - now, 1e-4))

    def passed(self, passage: Passage, leg: str) -> None:
        """Implements `Watcher`."""
        peer = routing_id(passage.peer)
        ends = (peer, SCHEDULER) if passage.to_scheduler else (SCHEDULER, peer)
        self._write(passage.peer, TraceRecord(time.monotonic(), *ends, *self._read(passage), TAP, leg))

    def _read(self, passage: Passage) -> tuple[Message | None, str]:
        return read_frames(passage.frames, self._decoder.decode)

    def _write(self, peer: Peer, record: Record) -> None:
        life = max(life for life, first in enumerate(self._first_of_life) if peer.number >= first)
        self.lives[life].append(record)

    def _line(self, name: str) -> _Line:
        return self._lines.setdefault(name, _Line())

    def _do(self, job: Callable[[], None]) -> None:
        """Have it done in the relay's thread, and wait for it."""
        if threading.current_thread() is self._thread:
            self._relay.run_soon(job)
            return
        done = threading.Event()

        def run() -> None:
            job()
            done.set()

        self._relay.run_soon(run)
        done.wait(10.0)


_PASSES = Fate()


def _name(peer: Peer) -> str:
    """The place of the process that a routing id names: that of `Client|c1.2|...` is `c1`."""
    return _process(peer.routing_id).partition(".")[0]


def _process(routing_id: bytes) -> str:
    """The name of the process: that of `Client|c1.2|...` is `c1.2`."""
    parts = routing_id.split(b"|")
    return parts[1].decode("ascii", "replace") if len(parts) == 3 else ""
