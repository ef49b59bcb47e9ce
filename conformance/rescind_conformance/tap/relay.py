"""Passes bytes between the peers of a scheduler and the scheduler: one connection to the scheduler for each of theirs.

A peer talks to the scheduler as if it had connected to it: its greeting, its routing id and every byte go through. If
either end closes its connection, so does the other. Within a connection and a direction nothing ever overtakes.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import logging
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from rescind_conformance.tap.addresses import Address
from rescind_conformance.tap.zmtp import Framing, Piece

logger = logging.getLogger(__name__)

_READ_BYTES = 256 * 1024
_MOST_WAITING = 64 * 1024 * 1024
"""Bytes that may wait to be passed on in one direction of a connection; then no more is read there."""
_BACKLOG = 1024


@dataclass(slots=True, eq=False)
class Peer:
    """One connection of a peer."""

    number: int
    """Counts connections."""
    routing_id: bytes = b""
    """As its READY command says."""
    introduced: bool = False
    """Whether it has said its routing id; it never does if frames are not read."""


@dataclass(slots=True, eq=False)
class Passage:
    """A message on its way."""

    peer: Peer
    to_scheduler: bool
    frames: tuple[bytes, ...]
    waits: bool = False
    """Whether it waits, for its own sake or behind another."""


@dataclass(slots=True, eq=False)
class Fate:
    """What becomes of a message."""

    copies: int = 1
    """How many are passed on; 0: it is dropped."""
    seconds: float = 0.0
    """For which it waits, and all behind it."""
    held: bool = False
    """While this is true it waits, and all behind it. Call `Relay.look_again` when it changes."""


class Watcher(Protocol):
    """What a relay shows what passes. Called in the relay's thread, in which nothing passes meanwhile."""

    def opened(self, peer: Peer) -> None:
        """A peer has said its routing id."""

    def closed(self, peer: Peer, by_scheduler: bool) -> None:
        """Its connection is closed, by whom."""

    def unreachable(self) -> None:
        """A connection to the scheduler could not be made; the peer's was closed."""

    def arrived(self, passage: Passage) -> Fate:
        """A message came: what shall become of it."""

    def passed(self, passage: Passage, leg: str) -> None:
        """Told before a message is passed on. `leg`: "" it came just now; "in" it came and waits, or is dropped;
        "out" it came before and goes now, or is a further copy.
        """


@dataclass(slots=True)
class _Waiting:
    raw: bytes
    passage: Passage | None
    fate: Fate | None
    due: float
    arrived: bool
    """Whether "in" was told."""


@dataclass(slots=True, eq=False)
class _Lane:
    """One direction of a connection."""

    source: socket.socket
    target: socket.socket
    to_scheduler: bool
    framing: Framing = field(default_factory=Framing)
    waiting: deque[_Waiting] = field(default_factory=deque)
    waiting_bytes: int = 0
    out: bytearray = field(default_factory=bytearray)
    ended: bool = False
    """The source says no more."""
    broken: bool = False
    """The target takes no more."""


@dataclass(slots=True, eq=False)
class _Connection:
    peer: Peer
    lanes: tuple[_Lane, _Lane]
    """To the scheduler, and from it."""
    made: bool = False
    """Whether the scheduler has taken it."""
    by_scheduler: bool = False
    closed: bool = False
    told_encrypted: bool = False


class Relay:
    """Serves until `stop`. `run` belongs to one thread; `stop` may be called from any, and from a signal handler."""

    def __init__(self, listen: Address, scheduler: Address, watcher: Watcher | None = None) -> None:
        """Listen. Without a watcher the bytes are passed on unread. Raises `OSError` if it cannot listen there."""
        self._scheduler = scheduler
        self._watcher = watcher
        self._listener = listen.listen(_BACKLOG)
        self._listen = listen
        self.endpoint = listen.bound(self._listener)
        """Where peers connect."""
        self._selector = selectors.DefaultSelector()
        self._wake_reader, self._wake_writer = socket.socketpair()
        for each in (self._wake_reader, self._wake_writer, self._listener):
            each.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._selector.register(self._wake_reader, selectors.EVENT_READ, self._woken)
        self._numbers = itertools.count(1)
        self._connections: set[_Connection] = set()
        self._timers: list[tuple[float, int, _Connection]] = []
        self._look_again = False
        self._stopped = False
        self._jobs: deque[Callable[[], None]] = deque()

    def run(self) -> None:
        """Pass on until stopped; then close every connection."""
        try:
            while not self._stopped:
                for key, events in self._selector.select(self._patience()):
                    key.data(events)
                    if self._stopped:
                        break
                self._run_jobs()
                self._run_timers()
        finally:
            self._release()

    def stop(self) -> None:
        """Have `run` return."""
        self._stopped = True
        self._wake()

    def run_soon(self, job: Callable[[], None]) -> None:
        """Have something done in the relay's thread, before anything passes that is sent from now on.

        May be called from any thread.
        """
        self._jobs.append(job)
        self._wake()

    def cut(self, which: Callable[[Peer], bool]) -> None:
        """Close the connections of these peers, both ends, with what was on its way. Only in the relay's thread."""
        for connection in list(self._connections):
            if which(connection.peer):
                self._close(connection)

    def next_number(self) -> int:
        """Of the next connection, at least. Only in the relay's thread."""
        return next(self._numbers)

    def look_again(self) -> None:
        """A message is held no more. Only in the relay's thread."""
        self._look_again = True

    def watch(self, descriptor: int, readable: Callable[[], bool]) -> None:
        """Call `readable` whenever there is something to read, until it returns False.

        Raises `OSError` if the system cannot wait for this kind of file.
        """

        def on_event(events: int) -> None:
            if not readable():
                self._selector.unregister(descriptor)

        self._selector.register(descriptor, selectors.EVENT_READ, on_event)

    def _wake(self) -> None:
        with contextlib.suppress(OSError):  # it wakes already, or has ended
            self._wake_writer.send(b"\0")

    def _woken(self, events: int) -> None:
        with contextlib.suppress(BlockingIOError):
            self._wake_reader.recv(4096)

    def _patience(self) -> float | None:
        if self._look_again or self._jobs:
            return 0.0
        return max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else None

    def _run_jobs(self) -> None:
        while self._jobs:
            self._jobs.popleft()()

    def _run_timers(self) -> None:
        while self._timers and self._timers[0][0] <= time.monotonic():
            self._pump(heapq.heappop(self._timers)[2])
        while self._look_again:
            self._look_again = False
            for connection in list(self._connections):
                self._pump(connection)

    def _accept(self, events: int) -> None:
        try:
            near, _ = self._listener.accept()
        except OSError:
            return
        near.setblocking(False)
        far = self._scheduler.make()
        far.setblocking(False)
        lanes = (_Lane(near, far, to_scheduler=True), _Lane(far, near, to_scheduler=False))
        connection = _Connection(Peer(next(self._numbers)), lanes)
        self._connections.add(connection)
        for each in (near, far):
            if each.family != socket.AF_UNIX:
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self._scheduler.connect(far)
        except BlockingIOError:
            pass
        except OSError:
            self._give_up(connection)
            return
        self._selector.register(far, selectors.EVENT_WRITE, lambda events: self._reached(connection))

    def _reached(self, connection: _Connection) -> None:
        """The scheduler has taken the connection, or refused it."""
        if connection.closed:
            return
        far = connection.lanes[0].target
        self._selector.unregister(far)
        if far.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._give_up(connection)
            return
        connection.made = True
        for lane in connection.lanes:
            self._selector.register(
                lane.source, selectors.EVENT_READ, lambda events, lane=lane: self._ready(connection, lane, events)
            )

    def _give_up(self, connection: _Connection) -> None:
        self._close(connection)
        if self._watcher is not None:
            self._watcher.unreachable()

    def _ready(self, connection: _Connection, lane: _Lane, events: int) -> None:
        """Something can be done at the socket from which this direction comes."""
        if connection.closed:
            return
        if events & selectors.EVENT_WRITE:
            other = connection.lanes[lane.to_scheduler]
            self._flush(connection, other)
        if events & selectors.EVENT_READ and not connection.closed:
            self._read(connection, lane)
        if not connection.closed:
            self._settle(connection)

    def _read(self, connection: _Connection, lane: _Lane) -> None:
        try:
            data = lane.source.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._run_jobs()  # what was asked for before this was sent is done before it passes
        if connection.closed:
            return
        if not data:
            lane.ended = True
            other = connection.lanes[lane.to_scheduler]
            other.broken = True  # who has closed reads no more
            connection.by_scheduler = connection.by_scheduler or not lane.to_scheduler
        elif self._watcher is None:
            lane.out += data
            self._flush(connection, lane)
        else:
            for piece in lane.framing.feed(data):
                self._take(connection, lane, piece, self._watcher)
            if lane.to_scheduler and lane.framing.encrypted_by and not connection.told_encrypted:
                connection.told_encrypted = True
                logger.warning(
                    "connection %d is encrypted (%s): it is passed on, and neither shown, nor judged, nor disturbed",
                    connection.peer.number,
                    lane.framing.encrypted_by,
                )
            self._flush(connection, lane)

    def _take(self, connection: _Connection, lane: _Lane, piece: Piece, watcher: Watcher) -> None:
        if piece.identity is not None and lane.to_scheduler:
            connection.peer.routing_id, connection.peer.introduced = piece.identity, True
            watcher.opened(connection.peer)
        if piece.frames is None:
            self._wait_or_go(connection, lane, _Waiting(piece.raw, None, None, 0.0, False))
            return
        passage = Passage(connection.peer, lane.to_scheduler, piece.frames)
        fate = watcher.arrived(passage)
        if fate.copies == 0 or lane.broken:
            watcher.passed(passage, "in")
            return
        due = time.monotonic() + fate.seconds if fate.seconds else 0.0
        self._wait_or_go(connection, lane, _Waiting(piece.raw, passage, fate, due, False))

    def _wait_or_go(self, connection: _Connection, lane: _Lane, one: _Waiting) -> None:
        if not lane.waiting and not one.due and (one.fate is None or not one.fate.held):
            self._go(lane, one)
            return
        if one.passage is not None and self._watcher is not None:
            one.passage.waits = one.arrived = True
            self._watcher.passed(one.passage, "in")
        lane.waiting.append(one)
        lane.waiting_bytes += len(one.raw)
        if one.due:
            heapq.heappush(self._timers, (one.due, next(self._numbers), connection))

    def _go(self, lane: _Lane, one: _Waiting) -> None:
        for number in range(one.fate.copies if one.fate is not None else 1):
            if one.passage is not None and self._watcher is not None:
                self._watcher.passed(one.passage, "out" if one.arrived or number else "")
                one.passage.waits = False
            if not lane.broken:
                lane.out += one.raw

    def _pump(self, connection: _Connection) -> None:
        """Pass on what waits no more."""
        if connection.closed or not connection.made:
            return
        for lane in connection.lanes:
            now = time.monotonic()
            while lane.waiting and not lane.broken:
                first = lane.waiting[0]
                if first.due > now or (first.fate is not None and first.fate.held):
                    break
                lane.waiting.popleft()
                lane.waiting_bytes -= len(first.raw)
                self._go(lane, first)
            self._flush(connection, lane)
        self._settle(connection)

    def _flush(self, connection: _Connection, lane: _Lane) -> None:
        while lane.out and not lane.broken:
            try:
                sent = lane.target.send(lane.out)
            except BlockingIOError:
                break
            except OSError:
                lane.broken = True
                connection.by_scheduler = connection.by_scheduler or lane.to_scheduler
                break
            del lane.out[:sent]

    def _settle(self, connection: _Connection) -> None:
        """Wait for what can be done next; close what has ended on both sides, or has nothing left to pass on."""
        for lane in connection.lanes:
            if lane.broken:
                lane.waiting.clear()
                lane.waiting_bytes = 0
                lane.out.clear()
        if any(lane.ended and not lane.waiting and not lane.out for lane in connection.lanes) or all(
            lane.broken for lane in connection.lanes
        ):
            self._close(connection)
            return
        for lane in connection.lanes:
            other = connection.lanes[lane.to_scheduler]
            full = lane.waiting_bytes + len(lane.out) > _MOST_WAITING
            events = selectors.EVENT_READ if not lane.ended and not full else 0
            if other.out and not other.broken:
                events |= selectors.EVENT_WRITE
            self._wait_for(connection, lane, events)

    def _wait_for(self, connection: _Connection, lane: _Lane, events: int) -> None:
        known = self._selector.get_map().get(lane.source)
        if known is None:
            if events:
                self._selector.register(lane.source, events, lambda ready: self._ready(connection, lane, ready))
        elif not events:
            self._selector.unregister(lane.source)
        elif known.events != events:
            self._selector.modify(lane.source, events, known.data)

    def _close(self, connection: _Connection) -> None:
        if connection.closed:
            return
        connection.closed = True
        self._connections.discard(connection)
        for lane in connection.lanes:
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(lane.source)
            lane.source.close()
        if self._watcher is not None and connection.peer.introduced:
            self._watcher.closed(connection.peer, connection.by_scheduler)

    def _release(self) -> None:
        self._watcher = None  # it is the tap that closes now: no peer has left, which would explain what it lacks
        for connection in list(self._connections):
            self._close(connection)
        self._selector.close()
        for each in (self._listener, self._wake_reader, self._wake_writer):
            each.close()
        self._listen.remove()
