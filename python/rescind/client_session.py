"""One life of a client: its futures, its connection and its part of the object store, wired together.

`Client` is the handle that users hold. The session goes on without it until its last future is settled.
"""

from __future__ import annotations

import atexit
import concurrent.futures
import logging
import os
import sys
import threading
import time
import uuid
import weakref
from collections import deque
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from rescind.call_store import CallStore
from rescind.client_machine import DeclaredLost, ShowLog, ShutdownAnswered, UseStorage
from rescind.curve import PeerKeys
from rescind.future import ScalerFuture
from rescind.future_manager import ClientFutureManager, Notice
from rescind.messages import (
    ClientDisconnect,
    DisconnectType,
    Message,
    ObjectStorageAddress,
    Task,
    TaskLog,
    TaskLogType,
)
from rescind.scheduler_link import SchedulerLink
from rescind.serial_thread import SerialThread
from rescind.store import ObjectStore, is_of_scaler, open_store

logger = logging.getLogger(__name__)

_EXPIRE_INTERVAL = 0.25
"""Seconds between two looks for rounds that are at their time limit while nobody waits for them."""
_EXIT_TIMEOUT = 5.0
"""Seconds that the interpreter's exit waits for a client to leave."""


class SchedulerLost(concurrent.futures.BrokenExecutor):
    """The scheduler is lost to this client, for good: make a new one. The text names the endpoint and the cause."""


class ClientSession:
    """Wires the parts of one client together. Its methods are thread-safe.

    Threads: the link's (socket, heartbeats, settling), one for callbacks, one that deletes from the store.
    """

    def __init__(
        self,
        address: str,
        name: str,
        *,
        heartbeat_interval: float,
        scheduler_timeout: float,
        stream_output: bool = False,
        keys: PeerKeys | None = None,
    ) -> None:
        """Prepare a connection; `connect` makes it. Times are in seconds. Raises `ValueError` for a bad address."""
        self.identity = f"Client|{name}|{uuid.uuid4().hex}".encode()
        self.address = address
        self.process = os.getpid()
        self._stream_output = stream_output
        self._lost_cause: str | None = None
        self._leaving = False
        self._ended = False
        self._calls: CallStore | None = None
        self._storage: ObjectStorageAddress | None = None
        self._answered = threading.Event()
        self._shutdown_waiters: deque[concurrent.futures.Future[bool]] = deque()
        self._shutdown_accepted = False
        self._released: deque[Task | bytes] = deque()
        self._callbacks = SerialThread("rescind-callbacks")
        self._deletions = SerialThread("rescind-store")
        self._expire_due = 0.0
        self.link = SchedulerLink(
            address,
            self.identity,
            self,
            heartbeat_interval=heartbeat_interval,
            scheduler_timeout=scheduler_timeout,
            keys=keys,
        )
        self.manager = ClientFutureManager(
            self.link.send, payloads=self, run_callbacks=self._callbacks.post, notify=self._on_notice
        )

    def connect(self, timeout: float) -> None:
        """Start, and wait for the scheduler's first echo, up to `timeout` seconds.

        Raises `ConnectionError` without one, and what `rescind.store.open_store` raises.
        """
        _SESSIONS.add(self)
        self.link.start()
        try:
            self._answered.wait(timeout)
            if self._storage is None:
                raise ConnectionError(self._why_not_connected(timeout))
            store = self._open_store(self._storage)
            _leave_first_at_exit()
            self._calls = CallStore(store, self.identity, stream_output=self._stream_output)
            # `keep_results` reads in that thread, perhaps when the scheduler has just removed the store.
            self.link.run_soon(self._calls.open_in_this_thread)
        except BaseException:
            self.leave_now()
            self.link.join()
            raise

    def _open_store(self, address: ObjectStorageAddress) -> ObjectStore:
        store = open_store(address)
        if not is_of_scaler(address):
            return store
        from rescind.scaler_payloads import AnnouncedStore

        try:
            return AnnouncedStore(store, self.identity, self.link.send_frame)
        except BaseException:
            store.close()
            raise

    def check_usable(self) -> None:
        """Raise `SchedulerLost`, or `RuntimeError` if this session is closing or belongs to another process."""
        if os.getpid() != self.process:
            raise RuntimeError(
                "this Client was made before the process was forked, and its threads did not come along: "
                "make a new Client in the child"
            )
        if self._lost_cause is not None:
            raise SchedulerLost(
                f"the scheduler at {self.address} is lost: {self._lost_cause}. Make a new Client to go on"
            )
        if self._leaving:
            raise RuntimeError("cannot schedule new futures after shutdown")

    @property
    def calls(self) -> CallStore:
        """Where calls are written. Only after `connect`."""
        assert self._calls is not None
        return self._calls

    def cancel_soon(self, futures: Sequence[ScalerFuture[Any]]) -> None:
        """Open a round without force for each, in the link's thread; takes no lock and does not wait."""
        self.link.run_soon(partial(_open_rounds, self.manager, futures))

    def ask_shutdown(self, timeout: float | None) -> bool:
        """Ask the scheduler to shut the cluster down; its answer. Raises `TimeoutError` and `SchedulerLost`."""
        waiter: concurrent.futures.Future[bool] = concurrent.futures.Future()
        self._shutdown_waiters.append(waiter)
        self.link.send(ClientDisconnect(DisconnectType.SHUTDOWN))
        if self._ended or self._lost_cause is not None:
            self._fail_shutdown_waiters()
        return waiter.result(timeout)

    def leave_when_idle(self) -> None:
        """Accept no more futures, and leave in order once none is pending; does not wait."""
        self.manager.refuse_new()
        self._leaving = True
        self.link.wake()

    def leave_now(self) -> None:
        """Cancel every pending future at once and leave; does not wait."""
        self._leaving = True
        self.manager.disconnect()
        self.link.wake()

    def abandon(self) -> None:
        """The Client is garbage: as `leave_when_idle`, but without taking a lock."""
        self.link.run_soon(self.leave_when_idle)

    def join(self, timeout: float | None = None, *, callbacks: bool) -> None:
        """Wait until the session has ended (up to `timeout` seconds), with `callbacks` until the last one has run."""
        self.link.join(timeout)
        if callbacks:
            self._callbacks.join()

    # Payloads: called by futures and their manager

    def fetch(self, object_id: bytes) -> bytes:
        """Read a result."""
        return self.calls.read(object_id)

    def release(self, object_ids: Iterable[bytes]) -> None:
        """Have results deleted; takes no lock."""
        if not self._ended:
            self._released.extend(object_ids)
            self.link.wake()

    def release_call(self, task: Task) -> None:
        """Have what a call stored deleted; takes no lock."""
        if not self._ended:
            self._released.append(task)
            self.link.wake()

    # LinkUser: called in the link's thread

    def on_message(self, message: Message) -> None:
        """Hand it to the futures."""
        self.manager.on_message(message)

    def on_turn(self) -> bool:
        """Look after time limits and deletions, and leave when that is wanted and nothing is pending."""
        if (now := time.monotonic()) >= self._expire_due:
            self._expire_due = now + _EXPIRE_INTERVAL
            self.manager.expire()
        self._delete_released()
        if not self._leaving or self.manager.pending:
            return False
        # First the results: after the good-bye the scheduler deletes everything of this client.
        self.manager.keep_results()
        self.manager.disconnect(good_bye=True)
        return True

    def on_lost(self, cause: str) -> None:
        """The scheduler is lost: no future waits for ever (C10.2)."""
        if self._shutdown_accepted:
            cause = "the cluster was shut down at this client's request"
        if not self._leaving:
            logger.log(
                logging.INFO if self._shutdown_accepted else logging.WARNING,
                "the scheduler at %s is lost: %s; %d futures are cancelled",
                self.address,
                cause,
                self.manager.pending,
            )
        self._lost_cause = cause
        self.manager.disconnect()
        self._fail_shutdown_waiters()
        self.manager.keep_results()

    def on_ended(self) -> None:
        """Delete what this client has stored, and let the threads end."""
        self._delete_released()
        self._ended = True
        self._deletions.close()
        self._deletions.join()
        if self._calls is not None:
            try:
                self._calls.close()
            except Exception as error:
                logger.info("the object store could not be tidied up: %r", error)
        self._callbacks.close()
        self._fail_shutdown_waiters()
        self._answered.set()

    def _on_notice(self, notice: Notice) -> None:
        """Called by the manager, under its lock, in the link's thread."""
        match notice:
            case UseStorage(address):
                self._storage = address
                self._answered.set()
            case ShutdownAnswered(accepted):
                self._shutdown_accepted = self._shutdown_accepted or accepted
                if self._shutdown_waiters:
                    self._shutdown_waiters.popleft().set_result(accepted)
            case ShowLog(log):
                self._callbacks.post(partial(_show, log))
            case DeclaredLost():
                self._lost_cause = "it has given this client up, having heard nothing for its client time-out"
                self.link.lose(self._lost_cause)

    def _delete_released(self) -> None:
        tasks: list[Task] = []
        object_ids: list[bytes] = []
        for _ in range(len(self._released)):
            each = self._released.popleft()
            if isinstance(each, Task):
                tasks.append(each)
            else:
                object_ids.append(each)
        if self._calls is not None and (tasks or object_ids):
            self._deletions.post(partial(self._calls.release, tasks, object_ids))

    def _fail_shutdown_waiters(self) -> None:
        while True:
            try:
                waiter = self._shutdown_waiters.popleft()
            except IndexError:
                return
            cause = self._lost_cause or "the client has left"
            waiter.set_exception(SchedulerLost(f"no answer from the scheduler at {self.address}: {cause}"))

    def _why_not_connected(self, timeout: float) -> str:
        if self._lost_cause is not None:
            return f"the scheduler at {self.address} was lost before it answered: {self._lost_cause}"
        if self.link.connected:
            return (
                f"something at {self.address} accepted the connection but did not answer a heartbeat within "
                f"{timeout:g} s: is it the client endpoint of a scheduler, and does it still run?"
            )
        return (
            f"no connection to a scheduler at {self.address} within {timeout:g} s: check that `rescind scheduler` "
            "runs, that it printed this address as the one it listens on, and that no firewall is in between"
        )


def _open_rounds(manager: ClientFutureManager, futures: Iterable[ScalerFuture[Any]]) -> None:
    for future in futures:
        manager.request_cancel(future)


def _show(log: TaskLog) -> None:
    stream = sys.stderr if log.log_type == TaskLogType.STDERR else sys.stdout
    stream.write(log.content)


_SESSIONS: weakref.WeakSet[ClientSession] = weakref.WeakSet()


def _leave_first_at_exit() -> None:
    """What was registered last runs first: before the connections end that a store has opened in the meantime."""
    atexit.unregister(_leave_all)
    atexit.register(_leave_all)


def _leave_all() -> None:
    """The interpreter exits: say good-bye, so that the scheduler need not wait for its time-out."""
    sessions = [session for session in _SESSIONS if session.process == os.getpid()]
    for session in sessions:
        session.leave_now()
    for session in sessions:
        session.join(_EXIT_TIMEOUT, callbacks=False)
