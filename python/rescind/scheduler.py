"""The scheduler's shell: one thread, one ROUTER, one loop around the pure machine."""

from __future__ import annotations

import logging
import shutil
import socket
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO

import zmq

from rescind import wire
from rescind.messages import Message, ObjectStorageAddress
from rescind.scheduler_machine import (
    Closed,
    CloseExpired,
    CloseRequested,
    Closing,
    Dropped,
    Event,
    Forward,
    Instruction,
    RebalanceDue,
    Received,
    ReleaseOwner,
    SchedulerMachine,
    SchedulerSettings,
    Send,
    TimePassed,
)
from rescind.store import SqliteStore
from rescind.trace import TraceRecord, TraceWriter

logger = logging.getLogger(__name__)

_MAX_COMPLAINTS = 10_000
"""Peers and reasons that are counted apart, so that strangers cannot fill the memory."""
_BATCH = 256
"""Messages handled between two looks at the timers: a flood must not starve them."""
_FAREWELL_MILLISECONDS = 1000
"""How long the last messages may take to leave when the socket closes."""


class EndpointInUse(OSError):
    """The endpoint cannot be bound; the text names it and says why."""


@dataclass(slots=True)
class _Timer:
    interval: float
    due: float
    event: type[TimePassed] | type[RebalanceDue]


class Scheduler:
    """Serves one endpoint until `stop` is called.

    `run` belongs to one thread; `stop` may be called from any thread and from a signal handler.
    """

    def __init__(
        self,
        endpoint: str = "tcp://127.0.0.1:0",
        settings: SchedulerSettings | None = None,
        *,
        rebalance_interval: float | None = 1.0,
        grace: float = 5.0,
        run_directory: Path | None = None,
        trace: TextIO | None = None,
    ) -> None:
        """Bind `endpoint` and open the embedded store.

        `rebalance_interval` and `grace` (of an orderly shutdown) are in seconds; None for the former
        switches rebalancing off. `run_directory` keeps the store; without it a temporary directory
        serves and is removed at the end. `trace` receives every message as a JSON line.
        Raises `EndpointInUse` when the endpoint cannot be bound.
        """
        self._grace = grace
        self.dropped: Counter[str] = Counter()
        """Messages that had no effect, by reason (S11.2)."""
        self._complaints: Counter[tuple[bytes, str]] = Counter()
        """The same by peer and reason, for the log."""
        self._trace = TraceWriter(trace) if trace is not None else None
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        try:
            self.endpoint = self._bind(endpoint)
        except EndpointInUse:
            self._context.destroy(linger=0)
            raise
        self._owns_run_directory = run_directory is None
        self._run_directory = run_directory or Path(tempfile.mkdtemp(prefix="rescind-"))
        self._run_directory.mkdir(parents=True, exist_ok=True)
        store_path = self._run_directory.absolute() / "objects.sqlite"
        self._store = SqliteStore(store_path)
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._wake_reader.setblocking(False)
        self._wake_writer.setblocking(False)
        settings = settings or SchedulerSettings()
        address = ObjectStorageAddress(host=str(store_path), port=0, scheme="sqlite")
        self._machine = SchedulerMachine(replace(settings, object_storage_address=address))
        now = time.monotonic()
        check = min(1.0, settings.worker_timeout / 4, settings.client_timeout / 4)
        self._timers = [_Timer(check, now + check, TimePassed)]
        if rebalance_interval is not None:
            self._timers.append(_Timer(rebalance_interval, now + rebalance_interval, RebalanceDue))
        self._close_deadline: float | None = None
        self._closed = False

    def run(self) -> None:
        """Serve until stopped and the orderly shutdown (S9.10) is complete; then release everything."""
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._wake_reader, zmq.POLLIN)
        try:
            while not self._closed:
                ready = dict(poller.poll(self._milliseconds_to_next_timer()))
                if self._wake_reader.fileno() in ready:
                    self._on_wake()
                if self._socket in ready:
                    self._receive_batch()
                self._run_timers()
        finally:
            self._release()

    def stop(self) -> None:
        """Begin an orderly shutdown; a second call ends the grace at once. Any thread, any signal handler."""
        try:
            self._wake_writer.send(b"s")
        except (BlockingIOError, OSError):
            return  # enough wake-ups wait already, or it has stopped

    def _bind(self, endpoint: str) -> str:
        # A limit of ZeroMQ's own would close the offender's connection unseen: wire.decode counts instead.
        for option in (zmq.SNDHWM, zmq.RCVHWM):
            self._socket.setsockopt(option, 0)
        # T5, S11.4: a send to a departed peer is reported instead of silently discarded, so that it is counted.
        self._socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        try:
            self._socket.bind(endpoint)
        except zmq.ZMQError as error:
            raise EndpointInUse(f"cannot bind {endpoint}: {error.strerror or error}") from error
        return str(self._socket.get_string(zmq.LAST_ENDPOINT)).rstrip("\0")

    def _milliseconds_to_next_timer(self) -> int:
        due = min(timer.due for timer in self._timers)
        if self._close_deadline is not None:
            due = min(due, self._close_deadline)
        return max(0, int((due - time.monotonic()) * 1000) + 1)

    def _run_timers(self) -> None:
        now = time.monotonic()
        for timer in self._timers:
            if now >= timer.due:
                timer.due = now + timer.interval
                self._handle(TimePassed(now) if timer.event is TimePassed else RebalanceDue())
        if self._close_deadline is not None and now >= self._close_deadline:
            self._handle(CloseExpired())

    def _on_wake(self) -> None:
        requests = len(self._wake_reader.recv(64))
        if self._close_deadline is None:
            self._handle(CloseRequested())
            requests -= 1
        if requests > 0:
            self._close_deadline = time.monotonic()

    def _receive_batch(self) -> None:
        now = time.monotonic()
        for _ in range(_BATCH):
            try:
                frames = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            sender = frames[0]
            try:
                if len(frames) != 2:
                    raise wire.WireError("not one frame", f"{len(frames) - 1} frames in one message")
                message = wire.decode(frames[1])
            except wire.WireError as error:
                self._count_dropped(Dropped(sender, error.reason, b""))
                continue
            if self._trace is not None:
                self._trace.write(TraceRecord(time.monotonic(), _name(sender), "scheduler", message))
            self._handle(Received(sender, message, frames[1], now))

    def _handle(self, event: Event) -> None:
        for instruction in self._machine.handle(event):
            self._carry_out(instruction)

    def _carry_out(self, instruction: Instruction) -> None:
        match instruction:
            case Forward(to, frame):
                self._send_frame(to, frame, None)
            case Send(to, message):
                self._send_frame(to, wire.encode(message), message)
            case Dropped():
                self._count_dropped(instruction)
            case ReleaseOwner(owner):
                self._store.release_owner(owner)
            case Closing():
                logger.info("shutting down: %s", self._machine.counts)
                self._close_deadline = time.monotonic() + self._grace
            case Closed():
                self._closed = True

    def _send_frame(self, to: bytes, frame: bytes, message: Message | None) -> None:
        if self._trace is not None:
            sent = message or wire.decode(frame)
            self._trace.write(TraceRecord(time.monotonic(), "scheduler", _name(to), sent))
        try:
            self._socket.send_multipart([to, frame], zmq.NOBLOCK)
        except zmq.ZMQError as error:
            self._count_dropped(Dropped(to, f"cannot be sent: {error.strerror}", b""))

    def _count_dropped(self, dropped: Dropped) -> None:
        self.dropped[dropped.reason] += 1
        if len(self._complaints) >= _MAX_COMPLAINTS:
            self._complaints.clear()
        complaint = (dropped.sender, dropped.reason)
        self._complaints[complaint] += 1
        count = self._complaints[complaint]
        # A flood of the same complaint must not become a flood of log lines: log the 1st, 2nd, 4th, 8th...
        if count & (count - 1) == 0:
            logger.warning(
                "dropped: %s (peer %s, task %s, %d so far)",
                dropped.reason,
                _name(dropped.sender),
                dropped.task_id.hex() or "-",
                count,
            )

    def _release(self) -> None:
        if self.dropped:
            logger.warning("dropped in all: %s", dict(self.dropped))
        self._socket.close(linger=_FAREWELL_MILLISECONDS)
        self._context.term()
        self._store.close()
        self._wake_reader.close()
        self._wake_writer.close()
        if self._owns_run_directory:
            shutil.rmtree(self._run_directory, ignore_errors=True)


def _name(routing_id: bytes) -> str:
    """A routing id as people read it."""
    text = routing_id.decode("ascii", "replace")
    return text if text.isprintable() else routing_id.hex()
