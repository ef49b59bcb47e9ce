"""A client's connection to its scheduler: the one thread that touches the socket."""

from __future__ import annotations

import logging
import os
import platform
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

import zmq

from rescind import wire
from rescind.curve import PeerKeys, Role
from rescind.drop_log import DropLog
from rescind.messages import ClientHeartbeat, ClientHeartbeatEcho, Message, Resource
from rescind.scheduler_connection import SchedulerConnection

logger = logging.getLogger(__name__)

_BATCH = 256
"""Messages sent, or received, between two looks at everything else."""


class LinkUser(Protocol):
    """What the link calls, in its own thread. Nothing here may wait for a message."""

    def on_message(self, message: Message) -> None:
        """A well-formed message came."""

    def on_turn(self) -> bool:
        """Called at each turn of the loop, at least once a heartbeat interval. True: leave now."""

    def on_lost(self, cause: str) -> None:
        """The scheduler is lost, for good; the socket is still open but nothing more is sent or received."""

    def on_ended(self) -> None:
        """The socket is closed and the thread ends: the last call."""


class SchedulerLink:
    """One life of one connection (T4): it does not come back after it has dropped."""

    def __init__(
        self,
        address: str,
        identity: bytes,
        user: LinkUser,
        *,
        heartbeat_interval: float,
        scheduler_timeout: float,
        keys: PeerKeys | None = None,
    ) -> None:
        """Prepare a connection to `address` under the routing id `identity`; `start` makes it.

        Times are in seconds. `keys`: those of a client, for a scheduler that asks for some. Raises `ValueError` if
        ZeroMQ cannot make sense of the address.
        """
        self.address = address
        self._drops = DropLog(logger)
        self.dropped = self._drops.counts
        """Messages that were malformed, by reason."""
        self._user = user
        self._heartbeat_interval = heartbeat_interval
        self._scheduler_timeout = scheduler_timeout
        self._outbox: deque[Message | bytes | Callable[[], None]] = deque()
        self._lost: str | None = None
        self._ended = False
        self._context = zmq.Context()
        try:
            self._connection = SchedulerConnection(self._context, address, identity, Role.CLIENT, keys)
        except ValueError:
            self._context.term()
            raise
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._wake_reader.setblocking(False)
        self._wake_writer.setblocking(False)
        self._awake = False
        self._now = self._last_heard = time.monotonic()
        self._heartbeat_due = self._now
        self._heartbeat_sent: float | None = None
        self._latency = 0.0
        self._cpu = _CpuMeter()
        self._thread = threading.Thread(target=self._run, name="rescind-link", daemon=True)

    @property
    def connected(self) -> bool:
        """Whether the handshake with the scheduler has succeeded."""
        return self._connection.made

    def start(self) -> None:
        """Start the thread; the first heartbeat goes out."""
        self._thread.start()

    def join(self, timeout: float | None = None) -> None:
        """Wait until the thread has ended, up to `timeout` seconds; returns at once in that thread itself."""
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout)

    def send(self, message: Message) -> None:
        """Have `message` sent after those handed in before; never waits. Any thread."""
        if not self._ended:
            self._outbox.append(message)
            self.wake()

    def send_frame(self, frame: bytes) -> None:
        """As `send`, a message that is encoded already."""
        if not self._ended:
            self._outbox.append(frame)
            self.wake()

    def run_soon(self, action: Callable[[], None]) -> None:
        """Have `action` run by the link's thread; takes no lock, so that it may be called in garbage collection."""
        if not self._ended:
            self._outbox.append(action)
            self.wake()

    def wake(self) -> None:
        """Make the loop turn; takes no lock."""
        # The loop lowers the flag before it looks: what was appended before is then seen.
        if not self._awake:
            self._awake = True
            with suppress(OSError):  # enough wake-ups wait already, or the thread has ended
                self._wake_writer.send(b"\0")

    def lose(self, cause: str) -> None:
        """Treat the scheduler as lost. Only in the link's thread."""
        self._lost = self._lost or cause

    def _run(self) -> None:
        orderly = False
        try:
            orderly = self._serve()
        except Exception as error:
            # An error of ours: futures must not wait for a thread that is gone.
            logger.exception("the connection to %s failed", self.address)
            self._lost = f"internal error: {error!r}"
        try:
            if self._lost is not None:
                self._user.on_lost(self._lost)
        finally:
            self._ended = True
            self._outbox.clear()
            self._connection.close(orderly=orderly)
            self._context.term()
            self._wake_reader.close()
            self._wake_writer.close()
            self._user.on_ended()

    def _serve(self) -> bool:
        """Turn the loop; True when the user has left, False when the scheduler is lost."""
        poller = zmq.Poller()
        poller.register(self._connection.socket, zmq.POLLIN)
        poller.register(self._connection.monitor, zmq.POLLIN)
        poller.register(self._wake_reader, zmq.POLLIN)
        while True:
            self._beat()
            ready = dict(poller.poll(self._milliseconds_to_next_turn()))
            self._now = time.monotonic()
            if self._wake_reader.fileno() in ready:
                with suppress(BlockingIOError):
                    self._wake_reader.recv(64)
            self._awake = False
            if self._connection.monitor in ready or not self.connected:
                self._connection.watch()
            self._lost = self._lost or self._connection.lost
            # What arrived before the connection dropped still counts.
            more = self._receive_batch()
            if self._lost is None and self._now - self._last_heard > self._scheduler_timeout:
                self._lost = f"nothing has come from it for {self._scheduler_timeout:g} s"
            if self._lost is not None and not more:
                return False
            if self._lost is None:
                self._send_batch(_BATCH)
                if self._user.on_turn():
                    self._send_batch(len(self._outbox))
                    return True

    def _milliseconds_to_next_turn(self) -> int:
        if self._outbox or self._lost is not None:
            return 0
        due = min(self._heartbeat_due, self._last_heard + self._scheduler_timeout) - time.monotonic()
        return max(0, int(min(due, self._connection.seconds_to_attempt()) * 1000) + 1)

    def _receive_batch(self) -> bool:
        """Handle what has come; True if there may be more."""
        for _ in range(_BATCH):
            try:
                frames = self._connection.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return False
            self._last_heard = self._now
            try:
                if len(frames) != 1:
                    raise wire.WireError("not one frame", f"{len(frames)} frames in one message")
                message = wire.decode(frames[0])
            except wire.WireError as error:
                self._drops.note(f"scheduler at {self.address}", error.reason)  # M1
                continue
            if isinstance(message, ClientHeartbeatEcho) and self._heartbeat_sent is not None:
                self._latency, self._heartbeat_sent = self._now - self._heartbeat_sent, None
            self._user.on_message(message)
        return True

    def _send_batch(self, limit: int) -> None:
        for _ in range(min(limit, len(self._outbox))):
            each = self._outbox.popleft()
            if callable(each):
                each()
            elif isinstance(each, bytes):
                self._connection.send(each)
            else:
                self._connection.send(wire.encode(each))

    def _beat(self) -> None:
        """Send a heartbeat if one is due (C12.1)."""
        if self._now < self._heartbeat_due:
            return
        self._heartbeat_due = self._now + self._heartbeat_interval
        if self._heartbeat_sent is None:
            self._heartbeat_sent = self._now
        beat = ClientHeartbeat(
            Resource(cpu=self._cpu.tenths_of_a_percent(), rss=_resident_bytes()),
            latency_microseconds=min(int(self._latency * 1e6), 2**32 - 1),
            hostname=platform.node(),
        )
        self._connection.send(wire.encode(beat))


class _CpuMeter:
    """The share of one processor that this process has used since it was last asked."""

    def __init__(self) -> None:
        self._wall, self._used = time.monotonic(), time.process_time()

    def tenths_of_a_percent(self) -> int:
        """1000 is one processor; as a heartbeat's 16 bits hold it."""
        wall, used = time.monotonic(), time.process_time()
        share = (used - self._used) / max(wall - self._wall, 1e-3)
        self._wall, self._used = wall, used
        return min(max(0, round(share * 1000)), 0xFFFF)


def _resident_bytes() -> int:
    """The memory of this process, or 0 where the system does not tell."""
    try:
        with open("/proc/self/statm", "rb") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0
