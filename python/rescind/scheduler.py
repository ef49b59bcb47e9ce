"""The scheduler's shell: one thread, one ROUTER, one loop around the pure machine."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, cast

import zmq
from zmq.backend import Socket as BareSocket

from rescind import wire
from rescind.curve import read_scheduler_keys
from rescind.curve_guard import ConnectionGuard
from rescind.drop_log import DropLog
from rescind.frame_shapes import Decoder
from rescind.messages import Message, ObjectStorageAddress
from rescind.payload_keeper import keep_payloads, look_after
from rescind.peer_options import check_endpoint, check_seconds, is_loopback
from rescind.scheduler_machine import (
    Closed,
    CloseExpired,
    CloseRequested,
    Closing,
    Draining,
    DrainRequested,
    Dropped,
    Event,
    Forward,
    Instruction,
    Lost,
    QueueFull,
    RebalanceDue,
    Received,
    ReleaseObjects,
    ReleaseOwner,
    SchedulerMachine,
    SchedulerSettings,
    Send,
    TimePassed,
)
from rescind.scheduler_socket import SocketLimits, is_served, open_socket
from rescind.scheduler_status import describe
from rescind.status_desk import StatusDesk
from rescind.trace import TraceEvent, TraceRecord, TraceWriter

if TYPE_CHECKING:
    from rescind.status_server import StatusServer

logger = logging.getLogger(__name__)

_BATCH = 256
"""Messages handled between two looks at the timers: a flood must not starve them."""
_LOOK_EVERY = 8
"""Messages between two looks for connections that were quiet: ZeroMQ by itself looks with every hundredth message, and
a lone cancel would wait for so many of a flood."""
_FAREWELL_MILLISECONDS = 1000
"""How long the last messages may take to leave when the socket closes."""


_SEND_MORE = zmq.NOBLOCK | zmq.SNDMORE
_TRACED_EVENTS = {DrainRequested: "drain requested", CloseRequested: "close requested", CloseExpired: "grace over"}
_FULL = "cannot be sent: its queue is full"
_STOP, _ASK = b"s", b"?"
"""What wakes the loop: `stop` was called, or somebody asks for the status."""


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
        drain: float = 0.0,
        run_directory: Path | None = None,
        object_storage_address: str | None = None,
        advertised_object_storage_address: str | None = None,
        limits: SocketLimits | None = None,
        trace: TextIO | None = None,
        curve: Path | str | None = None,
        status: str | None = None,
    ) -> None:
        """Bind `endpoint` and open the store.

        `rebalance_interval` and `grace` (of an orderly shutdown) are in seconds; None for the former
        switches rebalancing off. `drain`: for how many seconds tasks may finish before that (S9.12).
        `run_directory` keeps the embedded store; without it a temporary directory
        serves. What is in the embedded store goes with the scheduler. `object_storage_address`: payloads are kept
        in Scaler's object storage server there instead, which clients and workers reach at
        `advertised_object_storage_address`, by default at the same one. `limits`: of the socket. `trace` receives every
        message as a JSON line. `curve`: the directory that `rescind keys` made for the scheduler; only the keys in it
        are admitted, and a routing id belongs to the key that it came with (K1, K2). `status`: a host and a
        port, on which to tell how it is (`status_url`). Raises `ValueError` for an endpoint, addresses or times that
        cannot be, `EndpointInUse` when the endpoint cannot be bound, `AddressUnusable`, `KeysUnusable`,
        `RunDirectoryUnusable`, `StorageNotFound`, `UnsupportedStorage`.
        """
        check_endpoint(endpoint, to_bind=True)
        settings = settings or SchedulerSettings()
        _check_times(settings, rebalance_interval, grace, drain)
        self._grace, self._drain = grace, drain
        self._drops = DropLog(logger)
        self.dropped = self._drops.counts
        """Messages that had no effect, by reason (S11.2)."""
        self._trace = TraceWriter(trace) if trace is not None else None
        self._decoder = Decoder()
        self._context = zmq.Context()
        limits = limits or SocketLimits()
        self._max_frame_bytes = limits.max_frame_bytes
        self._full: dict[bytes, None] = {}
        """Peers to whom a message of this turn could not be sent, since too many wait for them."""
        self._socket = open_socket(self._context, limits)
        self._wake_reader, self._wake_writer = socket.socketpair()
        for end in (self._wake_reader, self._wake_writer):
            end.setblocking(False)
        self._started_at = time.time()
        self._desk = StatusDesk(partial(self._wake, _ASK))
        self._status: StatusServer | None = None
        self._guard: ConnectionGuard | None = None
        self._receive: Callable[[], list[bytes]] = self._receive_frames
        self._decode: Callable[[bytes], Message] = self._decoder.decode
        # Not zmq.Socket's own: it looks at arguments that are not used here, for longer than it takes to send.
        self._send: Callable[[bytes, int], object] = partial(BareSocket.send, self._socket)
        try:
            if curve is not None:
                self._use_keys(curve)
            self.endpoint = self._bind(endpoint)
            self._status = self._serve_status(status)
            self._payloads = keep_payloads(run_directory, object_storage_address, advertised_object_storage_address)
        except (OSError, ValueError):
            self._close_openings()
            self._context.destroy(linger=0)
            raise
        self._warn(settings, limits, keys=curve is not None)
        address: ObjectStorageAddress = self._payloads.address
        self._machine = SchedulerMachine(replace(settings, object_storage_address=address))
        now = time.monotonic()
        check = min(1.0, settings.worker_timeout / 4, settings.client_timeout / 4)
        self._patience = min(settings.worker_timeout, settings.client_timeout) / 4
        """Seconds by which a flood of messages, or a stop of this process, may delay that a silent peer is noticed."""
        self._turned = self._judges_from = now
        self._timers = [_Timer(check, now + check, TimePassed)]
        if rebalance_interval is not None:
            self._timers.append(_Timer(rebalance_interval, now + rebalance_interval, RebalanceDue))
        self._drain_deadline: float | None = None
        self._close_deadline: float | None = None
        self._closed = False

    def run(self) -> None:
        """Serve until stopped and the orderly shutdown (S9.10) is complete; then release everything."""
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._wake_reader, zmq.POLLIN)
        for each in self._guard.sockets if self._guard is not None else ():
            poller.register(each, zmq.POLLIN)
        self._write_event("scheduler started")
        try:
            while not self._closed:
                wait = self._milliseconds_to_next_timer()
                ready = dict(poller.poll(wait))
                if self._wake_reader.fileno() in ready:
                    self._on_wake()
                if self._guard is not None:
                    self._guard.turn(ready, self._serves)
                drained = self._socket not in ready or self._receive_batch()
                self._run_timers(wait / 1000, drained=drained)
            self._write_event("closed")
        finally:
            self._release()

    def stop(self) -> None:
        """Begin to drain, or the orderly shutdown; a second call ends all waiting. Any thread, any signal handler."""
        self._wake(_STOP)

    @property
    def status_url(self) -> str | None:
        """Where it tells how it is, if anywhere."""
        return None if self._status is None else self._status.url

    def _wake(self, why: bytes) -> None:
        try:
            self._wake_writer.send(why)
        except (BlockingIOError, OSError):
            return  # enough wake-ups wait already, or it has stopped

    def _serve_status(self, address: str | None) -> StatusServer | None:
        if address is None:
            return None
        from rescind.status_server import StatusServer  # takes a moment, which most do not need

        return StatusServer(address, self._desk)

    def _describe(self) -> dict[str, object]:
        own: dict[str, object] = {"version": 1, "role": "scheduler", "endpoint": self.endpoint}
        own |= {"started_at": self._started_at, "now": time.time(), "dropped": dict(self.dropped)}
        return own | describe(self._machine, time.monotonic(), _name)

    def _warn(self, settings: SchedulerSettings, limits: SocketLimits, *, keys: bool) -> None:
        """Of what may be meant, and may go wrong."""
        if limits.max_queue < settings.safe_queue:
            logger.warning(
                "with a max_queue of %d a client or worker that reads is lost, too, if more comes for it at once: %d "
                "is safe (twice the larger of max_tasks_per_worker and max_nodes_per_graph)",
                *(limits.max_queue, settings.safe_queue),
            )
        if not keys and not is_loopback(self.endpoint):
            logger.warning(
                "%s can be reached from other machines, and whoever reaches it can run code on every worker: make keys "
                "with `rescind keys DIRECTORY` and serve with --curve, or bind to 127.0.0.1",
                self.endpoint,
            )

    def _use_keys(self, directory: Path | str) -> None:
        """Have what is received and sent go through a guard; without one nothing of it costs anything."""
        guard = ConnectionGuard(
            self._socket,
            read_scheduler_keys(directory),
            lambda sender, reason: self._count_dropped(Dropped(sender, reason, b"")),
        )
        self._guard = guard
        self._receive, self._send = guard.receive_frames, guard.send
        self._decode = partial(guard.decode, decode=self._decoder.decode)

    def _serves(self, routing_id: bytes) -> bool:
        return routing_id in self._machine.clients or routing_id in self._machine.workers

    def _bind(self, endpoint: str) -> str:
        if endpoint.startswith("ipc://") and is_served(Path(endpoint.removeprefix("ipc://"))):
            # ZeroMQ would take the name away from the scheduler that serves there.
            raise EndpointInUse(f"cannot bind {endpoint}: another scheduler runs there. Choose another --endpoint")
        try:
            self._socket.bind(endpoint)
        except zmq.ZMQError as error:
            remedy = "Is another scheduler running there? Choose another --endpoint"
            raise EndpointInUse(f"cannot bind {endpoint}: {error.strerror or error}. {remedy}") from error
        return str(self._socket.get_string(zmq.LAST_ENDPOINT)).rstrip("\0")

    def _milliseconds_to_next_timer(self) -> int:
        due = min(timer.due for timer in self._timers)
        deadline = self._drain_deadline if self._close_deadline is None else self._close_deadline
        if deadline is not None:
            due = min(due, deadline)
        return max(0, int((due - time.monotonic()) * 1000) + 1)

    def _run_timers(self, waited: float, *, drained: bool) -> None:
        """`waited`: the seconds for which this turn of the loop may have waited for messages."""
        now = time.monotonic()
        if now - self._turned - waited > self._patience:
            # This process was stopped for a while, or starved: ZeroMQ has not even read yet what has arrived.
            self._judges_from = now + self._patience
        self._turned = now
        for timer in self._timers:
            if now >= timer.due:
                # S9.1: what has come and was not handled yet may show that a peer lives.
                if timer.event is TimePassed and now < self._judges_from:
                    timer.due = self._judges_from
                    continue
                if timer.event is TimePassed and not drained and now < timer.due + self._patience:
                    continue
                timer.due = now + timer.interval
                self._look_after_payloads()
                self._handle(TimePassed(now) if timer.event is TimePassed else RebalanceDue())
        if self._drain_deadline is not None and now >= self._drain_deadline:
            self._drain_deadline = None
            self._handle(CloseRequested())
        if self._close_deadline is not None and now >= self._close_deadline:
            self._handle(CloseExpired())

    def _on_wake(self) -> None:
        why = self._wake_reader.recv(64)
        self._desk.answer(self._describe)
        for _ in range(why.count(_STOP)):
            if self._machine.phase == "serving":
                self._handle(DrainRequested() if self._drain > 0 else CloseRequested())
            else:
                self._drain_deadline = None
                self._handle(CloseRequested())
                self._close_deadline = time.monotonic()

    def _receive_batch(self) -> bool:
        """Handle a batch of messages; whether there are no more."""
        now = time.monotonic()
        for number in range(_BATCH):
            if number % _LOOK_EVERY == 1 and not self._may_receive():
                return True
            try:
                frames = self._receive()
            except zmq.Again:
                return True
            sender = frames[0]
            try:
                if len(frames) != 2:
                    raise wire.WireError("not one frame", f"{len(frames) - 1} frames in one message")
                if len(frames[1]) > self._max_frame_bytes:
                    raise wire.WireError("too large", f"{len(frames[1])} bytes, more than {self._max_frame_bytes}")
                message = self._decode(frames[1])
            except wire.WireError as error:
                self._write_trace(_name(sender), "scheduler", None, str(error))
                self._count_dropped(Dropped(sender, error.reason, b""))
                continue
            if self._trace is not None:
                self._write_trace(_name(sender), "scheduler", message)
            received = Received(sender, message, frames[1], now)
            look_after(self._payloads, self._machine, received, self._handle(received))
        return False

    def _may_receive(self) -> bool:
        return bool(cast("int", self._socket.get(zmq.EVENTS)) & zmq.POLLIN)

    def _receive_frames(self) -> list[bytes]:
        """`recv_multipart`, at half its cost; of what a ROUTER gives there are two frames at least."""
        receive = self._socket.recv
        frames = [receive(zmq.NOBLOCK), receive(zmq.NOBLOCK)]
        while self._socket.get(zmq.RCVMORE):
            frames.append(receive(zmq.NOBLOCK))
        return frames

    def _handle(self, event: Event) -> list[Instruction]:
        if (said := _TRACED_EVENTS.get(type(event))) is not None:
            self._write_event(said)
        done = self._machine.handle(event)
        for instruction in done:
            self._carry_out(instruction)
        while self._full:
            # Only now: what the machine had decided before comes first (S9.5).
            peer, _ = self._full.popitem()
            for instruction in self._machine.handle(QueueFull(peer)):
                self._carry_out(instruction)
        return done

    def _look_after_payloads(self) -> None:
        self._payloads.look_after_store()
        for frame in self._payloads.news_for_workers():
            for worker in self._machine.workers:
                self._send_frame(worker, frame, None)

    def _carry_out(self, instruction: Instruction) -> None:
        match instruction:
            case Forward(to, frame):
                self._send_frame(to, frame, None)
            case Send(to, message):
                self._send_frame(to, wire.encode(message), message)
            case Dropped():
                self._count_dropped(instruction)
            case Lost(peer, unread=True):
                logger.warning(
                    "lost, since it does not read what it is sent: %s", _name(peer), extra={"peer": _name(peer)}
                )
                self._write_event("peer lost", peer=_name(peer), outcome="dropped")
            case Lost(peer):
                logger.warning("lost, since it was silent for too long: %s", _name(peer), extra={"peer": _name(peer)})
                self._write_event("peer lost", peer=_name(peer))
            case ReleaseOwner(owner):
                self._payloads.release_owner(owner)
            case ReleaseObjects(object_ids):
                self._payloads.release_objects(object_ids)
            case Draining():
                logger.info("draining for up to %g seconds: %s", self._drain, self._machine.counts)
                self._drain_deadline = time.monotonic() + self._drain
            case Closing():
                if self._drain_deadline is not None:
                    self._drain_deadline = None
                    self._write_event("close requested")
                logger.info("shutting down: %s", self._machine.counts)
                self._close_deadline = time.monotonic() + self._grace
            case Closed():
                self._closed = True

    def _send_frame(self, to: bytes, frame: bytes, message: Message | None) -> None:
        if to in self._full:
            self._count_unsent(to, _FULL, frame)  # nothing comes behind a gap
            return
        if self._trace is not None:
            self._write_trace("scheduler", _name(to), message or wire.decode(frame))
        try:
            self._send(to, _SEND_MORE)
            self._send(frame, zmq.NOBLOCK)
        except zmq.Again:
            self._full[to] = None
            self._count_unsent(to, _FULL, frame)
        except zmq.ZMQError as error:
            self._count_unsent(to, f"cannot be sent: {error.strerror}", frame)

    def _write_trace(self, sender: str, receiver: str, message: Message | None, note: str = "") -> None:
        if self._trace is not None:
            self._record(self._trace, TraceRecord(time.monotonic(), sender, receiver, message, note))

    def _write_event(self, event: str, **details: str) -> None:
        if self._trace is not None:
            self._record(self._trace, TraceEvent(time.monotonic(), "scheduler", event, details))

    def _record(self, trace: TraceWriter, record: TraceRecord | TraceEvent) -> None:
        try:
            trace.write(record)
        except OSError as error:
            self._trace = None  # with a gap it would tell of what never was
            logger.error("the trace ends here, since it cannot be written: %s", error.strerror or error)

    def _count_dropped(self, dropped: Dropped) -> None:
        self._drops.note(_name(dropped.sender), dropped.reason, dropped.task_id)

    def _count_unsent(self, to: bytes, reason: str, frame: bytes) -> None:
        self._count_dropped(Dropped(to, reason, getattr(self._decoder.decode(frame), "task_id", b"")))

    def _release(self) -> None:
        if self.dropped:
            logger.warning("dropped in all: %s", dict(self.dropped))
        if self._guard is not None:
            self._guard.close()
        self._socket.close(linger=_FAREWELL_MILLISECONDS)
        if self._guard is not None:
            self._guard.end()
        self._context.term()
        self._close_openings()
        self._payloads.close()

    def _close_openings(self) -> None:
        if self._status is not None:
            self._status.close()
        self._wake_reader.close()
        self._wake_writer.close()


def _check_times(settings: SchedulerSettings, rebalance_interval: float | None, grace: float, drain: float) -> None:
    check_seconds("client_timeout", settings.client_timeout)
    check_seconds("worker_timeout", settings.worker_timeout)
    if rebalance_interval is not None:
        check_seconds("rebalance_interval", rebalance_interval)
    check_seconds("grace", grace, or_none=True)
    check_seconds("drain", drain, or_none=True)


def _name(routing_id: bytes) -> str:
    """A routing id as people read it; two that differ are not written alike."""
    if routing_id.isascii() and (text := routing_id.decode("ascii")).isprintable():
        return text
    return routing_id.hex()
