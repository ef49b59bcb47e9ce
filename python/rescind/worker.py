"""The worker's shell: one thread, one loop around the pure machine, tasks in processes of their own."""

from __future__ import annotations

import contextlib
import itertools
import logging
import signal
import socket
import threading
import time
import uuid
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import zmq

from rescind import wire
from rescind.allow_list import AllowList
from rescind.curve import HandshakeRefused, Role, read_peer_keys
from rescind.drop_log import DropLog
from rescind.messages import Message, ObjectStorageAddress, Task, TaskResult, TaskResultType, WorkerHeartbeatEcho
from rescind.payloads import NO_ALLOW_LIST, result_object_id
from rescind.peer_options import check_endpoint, check_name, check_seconds, check_times
from rescind.scheduler_connection import SchedulerConnection
from rescind.status_desk import StatusDesk
from rescind.store import ObjectStore, StorageNotFound, UnsupportedStorage, is_of_scaler, open_store
from rescind.worker_machine import (
    Drain,
    Dropped,
    EndProcess,
    Event,
    Farewell,
    Finished,
    HeartbeatDue,
    Instruction,
    Leave,
    Left,
    ProcessEnded,
    Received,
    ReleaseResult,
    Send,
    Start,
    UseStorage,
    WorkerMachine,
    WorkerSettings,
)
from rescind.worker_pool import CannotStartProcesses, ProcessPool
from rescind.worker_status import WorkerCounts, describe
from rescind.worker_vitals import Vitals

if TYPE_CHECKING:
    from rescind.status_server import StatusServer

logger = logging.getLogger(__name__)

_BATCH = 256
"""Messages handled between two looks at the processes and the time: a flood must not starve them."""
_LARGEST_QUEUE = 2**32 - 1
"""What a heartbeat can say."""


class Worker:
    """Runs tasks for one scheduler, in one life after another, until it is told to leave.

    `run` belongs to one thread. In the main thread SIGINT, SIGTERM and SIGHUP make it leave in order (W4.2); in
    another thread signals are not touched. `stop` may be called from any thread.
    """

    def __init__(
        self,
        endpoint: str,
        settings: WorkerSettings | None = None,
        *,
        name: str = "worker",
        heartbeat_interval: float = 2.0,
        curve: Path | str | None = None,
        allow: Sequence[str] = (),
        drain: float = 0.0,
        status: str | None = None,
    ) -> None:
        """`endpoint` is the scheduler's; it may start later. `heartbeat_interval` is in seconds.

        `curve`: the directory that `rescind keys` made for this worker; its connections are then encrypted, and made
        to no other scheduler than the one with the key there. `allow`: entries of an `AllowList`; tasks then run
        nothing else, and nothing is unpickled but plain values. `drain`: for how many seconds what runs may finish
        when it is to leave (W4.4). `status`: a host and a port, on which to tell how it is (`status_url`). Raises
        `ValueError` for an endpoint, a `name` (which becomes part of the routing id), times, sizes, entries or an
        address that cannot be, `AddressUnusable`, and `KeysUnusable`.
        """
        settings = settings or WorkerSettings()
        check_endpoint(endpoint)
        check_name(name)
        check_times(heartbeat_interval, settings.scheduler_timeout)
        check_seconds("drain", drain, or_none=True)
        if not (settings.processes >= 1 and 1 <= settings.queue_size <= _LARGEST_QUEUE):
            raise ValueError(f"processes must be 1 or more, and queue_size 1 to {_LARGEST_QUEUE:,}")
        self._endpoint = endpoint
        self._keys = None if curve is None else read_peer_keys(curve, Role.WORKER)
        self._allowed = AllowList(allow) if allow else None
        self._settings = settings
        self._name = name
        self._heartbeat_interval = heartbeat_interval
        self._drain = drain
        self._drops = DropLog(logger)
        self.dropped = self._drops.counts
        """Messages that had no effect, by reason."""
        self.counts = WorkerCounts()
        """What it has done, in all its lives."""
        self.routing_id = b""
        """Of the present life; empty before the first."""
        self.drain_deadline: float | None = None
        """Until when what runs may finish, once it drains."""
        self._was_admitted = False
        self._stops = 0
        """How often it was told to leave."""
        self._wake_reader, self._wake_writer = socket.socketpair()
        for end in (self._wake_reader, self._wake_writer):
            end.setblocking(False)
        self._started_at = time.time()
        self._desk = StatusDesk(self._wake)
        self._status = self._serve_status(status)

    def run(self) -> Farewell:
        """Serve until `stop`, a signal, or the scheduler's word; every process it started is gone when it returns.

        To be called once. Returns why the last life ended. Raises `ValueError` if the endpoint is not one,
        `HandshakeRefused` if keys stand in the way of the first connection (of a later one: it is logged, and tried
        again), and `CannotStartProcesses`, after an orderly good-bye, if tasks cannot be run here.
        """
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        pool = ProcessPool(self._settings.processes, self._endpoint, self._allowed)
        with self._signals():
            try:
                while True:
                    began = time.monotonic()
                    self.routing_id = f"Worker|{self._name}|{uuid.uuid4().hex}".encode()
                    self.counts.lives += 1
                    connection = SchedulerConnection(context, self._endpoint, self.routing_id, Role.WORKER, self._keys)
                    farewell = _Life(self, connection, pool).run()
                    self._look_at(connection)
                    if farewell is Farewell.EXIT or not self._pause_until(began + self._heartbeat_interval):
                        return farewell
                    logger.info("the connection or the scheduler is lost: joining again")
            finally:
                pool.close()
                context.term()
                if self._status is not None:
                    self._status.close()

    def _look_at(self, ended: SchedulerConnection) -> None:
        self._was_admitted = self._was_admitted or ended.made
        if ended.lost is not None and not ended.made:
            text = f"no connection to the scheduler at {self._endpoint}: {ended.lost}"
            if not self._was_admitted:
                raise HandshakeRefused(text)
            logger.error("%s", text)

    def stop(self) -> None:
        """Leave in order, after what runs has finished if it may; a second call ends that wait. Returns at once."""
        self._stops += 1
        self._wake()

    @property
    def status_url(self) -> str | None:
        """Where it tells how it is, if anywhere."""
        return None if self._status is None else self._status.url

    def _wake(self) -> None:
        with contextlib.suppress(OSError):  # enough wake-ups wait already, or it has left
            self._wake_writer.send(b"s")

    def _serve_status(self, address: str | None) -> StatusServer | None:
        if address is None:
            return None
        from rescind.status_server import StatusServer  # takes a moment, which most do not need

        return StatusServer(address, self._desk)

    def answer(self, machine: WorkerMachine | None = None) -> None:
        """Answer those who ask how it is; `machine` is that of the present life."""
        self._desk.answer(lambda: describe(self, machine, self._started_at))

    def count_dropped(self, reason: str, task_id: bytes = b"") -> None:
        """Count and log a message of the scheduler that had no effect."""
        self._drops.note(f"scheduler at {self._endpoint}", reason, task_id)

    @property
    def endpoint(self) -> str:
        """The scheduler's."""
        return self._endpoint

    @property
    def settings(self) -> WorkerSettings:
        """What the operator chose."""
        return self._settings

    @property
    def heartbeat_interval(self) -> float:
        """Seconds."""
        return self._heartbeat_interval

    @property
    def restricted(self) -> bool:
        """Whether it has an allow-list."""
        return self._allowed is not None

    @property
    def stop_requested(self) -> bool:
        """Whether `stop` was called or a signal came; and it is not to drain, or no longer."""
        if self._stops == 0:
            return False
        if self.drain_deadline is None:
            self.drain_deadline = time.monotonic() + self._drain
        return self._stops > 1 or time.monotonic() >= self.drain_deadline

    @property
    def draining(self) -> bool:
        """Whether it was told to leave."""
        return self._stops > 0

    @property
    def waker(self) -> socket.socket:
        """Readable after `stop` or a signal."""
        return self._wake_reader

    def _pause_until(self, moment: float) -> bool:
        """A scheduler that sends each life away at once must not keep the machine busy. False if told to stop."""
        while not self.draining and (left := moment - time.monotonic()) > 0:
            zmq.select([self._wake_reader], [], [], left)
            self.drain_waker()
            self.answer()
        return not self.draining

    def drain_waker(self) -> None:
        """Make `waker` unreadable again."""
        with contextlib.suppress(BlockingIOError):
            self._wake_reader.recv(4096)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def leave(number: int, frame: FrameType | None) -> None:
            self._stops += 1

        # The descriptor, not the handler, wakes the poll: a handler alone would not run before the next message.
        former_descriptor = signal.set_wakeup_fd(self._wake_writer.fileno(), warn_on_full_buffer=False)
        former = {number: signal.signal(number, leave) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
        try:
            yield
        finally:
            signal.set_wakeup_fd(former_descriptor)
            for number, handler in former.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)


class _Life:
    """A worker's time under one routing id."""

    def __init__(self, worker: Worker, connection: SchedulerConnection, pool: ProcessPool) -> None:
        self._worker = worker
        self._connection = connection
        self._pool = pool
        self._machine = WorkerMachine(worker.settings)
        self._vitals = Vitals()
        self._events: deque[Event] = deque()
        self._farewell: Farewell | None = None
        self._address: ObjectStorageAddress | None = None
        self._store: ObjectStore | None = None
        self._held: dict[bytes, Task] = {}
        """Tasks to start as soon as it is known where payloads are kept."""
        self._result_ids: dict[bytes, bytes] = {}
        """Under which the tasks that run store their results."""
        self._heartbeat_due = time.monotonic()
        self._heartbeat_sent: float | None = None
        self._latency_microseconds = 0
        self._broken: CannotStartProcesses | None = None

    def run(self) -> Farewell:
        """From the first heartbeat to the farewell."""
        poller = zmq.Poller()
        for source in (self._connection.socket, self._connection.monitor, self._worker.waker, self._pool):
            poller.register(source, zmq.POLLIN)
        try:
            while True:
                self._refill()
                if self._worker.stop_requested:
                    self._events.append(Leave(Farewell.EXIT))
                elif self._worker.draining and not self._machine.draining:
                    self._events.append(Drain())
                    self._heartbeat_due = time.monotonic()  # the scheduler is told at once to send no more
                    self._handle_events()
                self._beat()
                self._handle_events()
                if self._farewell is not None:
                    break
                self._wait(poller)
                self._events.extend(self._pool.collect())
                self._handle_events()
                self._connection.watch()  # before receiving: what was received before the loss is still handled
                self._receive()
                if self._connection.lost is not None and not self._connection.socket.closed:
                    poller.unregister(self._connection.socket)
                    poller.unregister(self._connection.monitor)
                    self._connection.close(orderly=False)
                    self._events.append(Leave(Farewell.REJOIN))
        finally:
            self._connection.close(orderly=self._farewell is Farewell.EXIT)
            if self._store is not None:
                self._store.close()
        if self._broken is not None:
            raise self._broken
        return self._farewell

    def _wait(self, poller: zmq.Poller) -> None:
        if self._events:
            return
        due = min(self._heartbeat_due, time.monotonic() + self._connection.seconds_to_attempt())
        if self._worker.drain_deadline is not None and not self._machine.leaving:
            due = min(due, self._worker.drain_deadline)
        poller.poll(max(0, int((due - time.monotonic()) * 1000) + 1))
        self._worker.drain_waker()
        self._worker.answer(self._machine)

    def _refill(self) -> None:
        if self._broken is None:
            try:
                self._pool.refill()
            except CannotStartProcesses as error:
                self._broken = error
                self._events.append(Leave(Farewell.EXIT))

    def _beat(self) -> None:
        now = time.monotonic()
        if now < self._heartbeat_due:
            return
        self._heartbeat_due = now + self._worker.heartbeat_interval
        if self._heartbeat_sent is None:
            self._heartbeat_sent = now
        self._events.append(
            HeartbeatDue(self._vitals.heartbeat(self._pool.statuses(), self._latency_microseconds), now)
        )

    def _receive(self) -> None:
        now = time.monotonic()
        for frames in self._received():
            if len(frames) != 1:
                self._worker.count_dropped("not one frame")
                continue
            try:
                message = wire.decode(frames[0])
            except wire.WireError as error:
                self._worker.count_dropped(error.reason)
                continue
            if isinstance(message, WorkerHeartbeatEcho) and self._heartbeat_sent is not None:
                self._latency_microseconds = int((now - self._heartbeat_sent) * 1_000_000)
                self._heartbeat_sent = None
            self._events.append(Received(message, now))
            self._handle_events()

    def _received(self) -> Iterator[list[bytes]]:
        """A batch of the messages that have come, each as its frames; all of them once the connection is lost."""
        if self._connection.socket.closed:
            return
        with contextlib.suppress(zmq.Again):
            for _ in itertools.count() if self._connection.lost is not None else range(_BATCH):
                yield self._connection.socket.recv_multipart(zmq.NOBLOCK)

    def _handle_events(self) -> None:
        while self._events and self._farewell is None:
            for instruction in self._machine.handle(self._events.popleft()):
                self._carry_out(instruction)

    def _carry_out(self, instruction: Instruction) -> None:
        match instruction:
            case Send(message):
                self._send(message)
            case Start(task):
                self._worker.counts.started += 1
                self._held[task.task_id] = task
                self._result_ids[task.task_id] = result_object_id(task.source)
                self._start_held()
            case EndProcess(task_id):
                if self._held.pop(task_id, None) is not None or not self._pool.end(task_id):
                    self._events.append(ProcessEnded(task_id))
            case ReleaseResult(task):
                self._release_result(task)
            case UseStorage(address):
                self._use_storage(address)
            case Dropped(reason, task_id):
                self._worker.count_dropped(reason, task_id)
            case Left(farewell):
                self._farewell = farewell

    def _send(self, message: Message) -> None:
        if isinstance(message, TaskResult):
            self._result_ids.pop(message.task_id, None)
        self._worker.counts.note(message)
        self._connection.send(wire.encode(message))

    def _use_storage(self, address: ObjectStorageAddress) -> None:
        if self._store is not None and address == self._address:
            return
        is_new, self._address, former, self._store = address != self._address, address, self._store, None
        if former is not None:
            former.close()
        try:
            if self._worker.restricted and is_of_scaler(address):
                raise UnsupportedStorage(NO_ALLOW_LIST)
            self._store = open_store(address, remembers=False)
            if is_of_scaler(address):
                self._pool.import_scaler()
        except (UnsupportedStorage, StorageNotFound) as error:
            if is_new:
                logger.error("no task can be run, and each is answered `failed`: %s", error)
        self._start_held()

    def _start_held(self) -> None:
        if self._address is None:
            return
        for task in self._held.values():
            if self._store is None:
                # Without a store there is nowhere to put the error: the log has it.
                self._events.append(Finished(task.task_id, TaskResultType.FAILED, ()))
            else:
                result_id = self._result_ids[task.task_id]
                # First the word: it must be known even if this worker ends before it can say so.
                self._announce(task, result_id, gone=False)
                self._pool.start(task, result_id, self._address, self._worker.routing_id)
        self._held.clear()

    def _release_result(self, task: Task) -> None:
        result_id = self._result_ids.pop(task.task_id)
        if self._store is None:
            return
        try:
            self._store.delete(task.source, [result_id])
            self._announce(task, result_id, gone=True)
        except Exception as error:
            # Whatever ails the store must not keep the scheduler from its answer.
            task_id = task.task_id.hex()
            logger.error("the result of task %s cannot be released: %s", task_id, error, extra={"task_id": task_id})

    def _announce(self, task: Task, result_id: bytes, *, gone: bool) -> None:
        """Tell the scheduler of a result in a store that knows no owners."""
        if self._address is None or not is_of_scaler(self._address):
            return
        from rescind.scaler_payloads import Word, write_instruction

        word = Word.DELETE if gone else Word.CREATE
        self._connection.send(write_instruction(word, task.source, [result_id]))
