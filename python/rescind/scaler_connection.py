"""A connection to Scaler's object storage server, by the sockets of the package `opengris-scaler` (2.9).

That package's synchronous connector takes one request at a time and waits for ever for an object that is
not there. Here several threads have requests under way at once, and no wait is without an end.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import socket
import threading
import time
import uuid
import weakref
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from rescind.messages import ObjectStorageAddress

try:
    # The sockets with callbacks: a call after `shutdown` ends the process, so that each is made under a lock,
    # which those that wait do not allow.
    from scaler.io.ymq import _ymq
    from scaler.protocol.capnp import ObjectRequestHeader, ObjectResponseHeader
    from scaler.protocol.helpers import to_capnp_object_id
    from scaler.utility.identifiers import ObjectID
except ImportError as _error:
    raise ImportError(
        "payloads are kept in Scaler's object storage server, for which the package opengris-scaler is needed "
        f"({_error}): pip install 'rescind[opengris-scaler]'"
    ) from _error

_CONNECT_SECONDS = 5.0
_SLOWEST = 1_000_000
"""Bytes a second below which a transfer counts as stuck."""
_WHOLE = 2**64 - 1
_BATCH = 1000
"""Requests that are sent before their answers are awaited."""

Request = ObjectRequestHeader.ObjectRequestType
Response = ObjectResponseHeader.ObjectResponseType


class ConnectionFailed(OSError):
    """Nobody listens, or the connection has dropped; the text says which, and where."""


class NoAnswer(ConnectionFailed):
    """The server is there, but has not answered in time."""


@dataclass(frozen=True, slots=True)
class _Answer:
    kind: Any
    payload: bytes


@dataclass(frozen=True, slots=True)
class _Transfer:
    """A payload that is on its way to us."""

    header: Any
    began: float
    deadline: float


class StorageConnection:
    """One connection, from its making to its end; it does not come back. Thread-safe.

    It is of no use in a process that was forked from the one that made it, and says so.
    """

    def __init__(self, address: ObjectStorageAddress, *, patience: float) -> None:
        """Connect to `address`, whose scheme is "tcp" or "ipc".

        `patience`: seconds within which the server answers, transfers apart. Raises `ConnectionFailed`.
        """
        self._address = address
        self._patience = patience
        self._pid = os.getpid()
        self._failure: str | None = None
        self._number = 0
        self._waiting: dict[int, Future[_Answer]] = {}
        self._transfer: _Transfer | None = None
        self._transferred = 0.0
        """Seconds that payloads took to come, in all."""
        self._lock = threading.Lock()
        """Held for each call of the socket, none of which waits; and for what is noted here."""
        if _EXITING.is_set():
            raise ConnectionFailed(f"no connection to {name_of(address)}: the interpreter exits")
        # Asked first: Scaler's socket would try for the better part of a minute.
        url = _listening(address)
        connected: Future[None] = Future()
        self._socket = _ymq.ConnectorSocket.connect(
            _settling(connected), _context_of_this_process(), f"rescind-{uuid.uuid4().hex}", url, 1, 50
        )
        try:
            connected.result(_CONNECT_SECONDS)
            with self._lock:
                self._socket.recv_message(self._on_received)
        except Exception as error:
            raise ConnectionFailed(self._fail(_told(error))) from error
        _OPEN.add(self)

    @property
    def usable(self) -> bool:
        """False once it has dropped or was closed, and after a fork."""
        return self._failure is None and self._pid == os.getpid()

    def set_object(self, object_id: bytes, data: bytes) -> None:
        """Store an object, over one that has this id. Raises `ConnectionFailed`."""
        _, future = self._send(Request.setObject, object_id, data)
        self._expect(self._wait(future, transfer=len(data)), Response.setOK)

    def get_object(self, object_id: bytes, arrival_seconds: float) -> bytes | None:
        """An object's bytes; None if it is not there and does not come within `arrival_seconds`.

        Raises `ConnectionFailed`.
        """
        number, future = self._send(Request.getObject, object_id)
        try:
            answer = self._wait(future, arrival_seconds)
        except NoAnswer:
            # Is the object missing, or the server stuck? It answers in order, but for what is missing.
            self._wait(self._send(Request.deleteObject, uuid.uuid4().bytes * 2)[1])
            with self._lock:
                self._waiting.pop(number, None)
            if not future.done():
                return None
            answer = future.result()
        self._expect(answer, Response.getOK)
        return answer.payload

    def delete_objects(self, object_ids: Iterable[bytes]) -> None:
        """Delete those of the objects that exist. Raises `ConnectionFailed`."""
        remaining = list(object_ids)
        while remaining:
            batch, remaining = remaining[:_BATCH], remaining[_BATCH:]
            for _, future in [self._send(Request.deleteObject, each) for each in batch]:
                self._expect(self._wait(future), Response.delOK, Response.delNotExists)

    def count(self) -> int:
        """How many objects the server holds. Raises `ConnectionFailed`."""
        answer = self._wait(self._send(Request.infoGetTotal, bytes(32))[1])
        self._expect(answer, Response.infoGetTotalOK)
        return int.from_bytes(answer.payload[:8], "little")

    def close(self) -> None:
        """End it; whoever waits for an answer is told. May be called twice."""
        if self._pid == os.getpid():
            self._fail("it was closed")

    def _send(self, kind: Any, object_id: bytes, data: bytes | None = None) -> tuple[int, Future[_Answer]]:
        """Hand a request to the socket, which does not wait; its number and its answer to come."""
        future: Future[_Answer] = Future()
        with self._lock:
            self._check()
            self._number += 1
            number = self._number
            self._waiting[number] = future
            header = ObjectRequestHeader(
                objectID=to_capnp_object_id(ObjectID(object_id)),
                payloadLength=_WHOLE if kind == Request.getObject else len(data or b""),
                requestID=number,
                requestType=kind,
            )
            # Nobody else may send between a header and its payload.
            self._socket.send_message(self._on_sent, _ymq.Bytes(header.to_bytes()))
            if data is not None:
                self._socket.send_message(self._on_sent, _ymq.Bytes(data))
        return number, future

    def _on_sent(self, error: BaseException | None) -> None:
        """Called by the socket's own thread."""
        if isinstance(error, BaseException):
            self._fail(_told(error), in_socket=True)

    def _wait(self, future: Future[_Answer], seconds: float | None = None, *, transfer: int = 0) -> _Answer:
        """The answer. Raises `ConnectionFailed`; `NoAnswer` after `seconds` in which no payload was on its way.

        By default they are the patience with the server, more if `transfer` bytes go there before it can answer,
        and the connection is given up.
        """
        allowed = self._transfer_seconds(transfer) if seconds is None else seconds
        began, transferred = time.monotonic(), self._time_of_transfers()
        while (left := allowed - (time.monotonic() - began) + self._time_of_transfers() - transferred) > 0:
            try:
                return future.result(max(left, 0.01))
            except TimeoutError:
                coming = self._transfer
                if coming is not None and time.monotonic() > coming.deadline:
                    raise NoAnswer(self._fail("a payload does not come to its end")) from None
        if seconds is None:
            raise NoAnswer(self._fail(f"no answer within {allowed:g} s"))
        raise NoAnswer("no answer yet")

    def _on_received(self, received: Any) -> None:
        """Called by the socket's own thread, with a message or with an error."""
        try:
            if isinstance(received, BaseException):
                raise received
            data: bytes = received.payload.data or b""
            if self._transfer is not None:
                header, payload = self._transfer.header, data
                self._transferred, self._transfer = self._time_of_transfers(), None
                self._answer(header, payload)
            else:
                header = ObjectResponseHeader.from_bytes(data)
                if header.payloadLength > 0:
                    now = time.monotonic()
                    self._transfer = _Transfer(header, now, now + self._transfer_seconds(header.payloadLength))
                else:
                    self._answer(header, b"")
            with self._lock:
                if self._failure is None:
                    self._socket.recv_message(self._on_received)
        except Exception as error:
            self._fail(_told(error), in_socket=True)

    def _answer(self, header: Any, payload: bytes) -> None:
        with self._lock:
            future = self._waiting.pop(header.responseID, None)
        if future is not None:
            future.set_result(_Answer(header.responseType, payload))

    def _time_of_transfers(self) -> float:
        transfer = self._transfer
        return self._transferred + (0.0 if transfer is None else time.monotonic() - transfer.began)

    def _transfer_seconds(self, size: int) -> float:
        return self._patience + size / _SLOWEST

    def _check(self) -> None:
        if self._pid != os.getpid():
            raise ConnectionFailed("this connection was made before the process was forked: open the store again")
        if self._failure is not None:
            raise ConnectionFailed(self._failure)

    def _fail(self, cause: str, *, in_socket: bool = False) -> str:
        """The connection is of no use any more; returns its first cause in full.

        `in_socket`: called by the socket's own thread.
        """
        with self._lock:
            first = self._failure is None
            if self._failure is None:
                self._failure = f"the object storage server at {name_of(self._address)}: {cause}"
            waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            future.set_exception(ConnectionFailed(self._failure))
        # Not under the lock, and not in the socket's thread: it waits for that thread.
        if first and in_socket:
            with suppress(RuntimeError):  # the interpreter ends
                threading.Thread(target=self._socket.shutdown, name="rescind-storage-end", daemon=True).start()
        elif first:
            self._socket.shutdown()
        return self._failure

    def _expect(self, answer: _Answer, *kinds: Any) -> None:
        if answer.kind not in kinds:
            raise ConnectionFailed(self._fail(f"it answered {answer.kind}: is it of another version than 2.9?"))


_CONTEXTS_LOCK = threading.Lock()
_CONTEXTS: dict[int, Any] = {}
"""By process, and never freed: a context that the thread of a socket frees waits for that very thread."""


def _context_of_this_process() -> Any:
    with _CONTEXTS_LOCK:
        if os.getpid() not in _CONTEXTS:
            _CONTEXTS[os.getpid()] = _ymq.IOContext(num_threads=1)
        return _CONTEXTS[os.getpid()]


_OPEN: weakref.WeakSet[StorageConnection] = weakref.WeakSet()
_EXITING = threading.Event()


@atexit.register
def _close_all() -> None:
    """The interpreter exits, and waits in vain for the threads of sockets that are open; no more are made."""
    _EXITING.set()
    for connection in list(_OPEN):
        connection.close()


def _after_fork() -> None:
    """The child has inherited contexts and sockets, and none of their threads, for which freeing them would wait."""
    global _CONTEXTS_LOCK  # noqa: PLW0603 - a thread that did not come along may hold it
    _CONTEXTS_LOCK = threading.Lock()
    for inherited in [*_CONTEXTS.values(), *(connection._socket for connection in _OPEN)]:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(inherited))


os.register_at_fork(after_in_child=_after_fork)


def name_of(address: ObjectStorageAddress) -> str:
    """The address as people and Scaler's options write it."""
    port = f":{address.port}" if address.scheme == "tcp" else ""
    return f"{address.scheme}://{address.host}{port}"


def _settling(future: Future[None]) -> Callable[[BaseException | None], None]:
    """What settles `future` when the socket calls it."""

    def settle(result: BaseException | None) -> None:
        if isinstance(result, BaseException):
            future.set_exception(result)
        else:
            future.set_result(None)

    return settle


def _listening(address: ObjectStorageAddress) -> str:
    """Connect and hang up; what to connect to, with a number for the host. Raises `ConnectionFailed`."""
    try:
        if address.scheme == "ipc":
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
                probe.settimeout(_CONNECT_SECONDS)
                probe.connect(address.host)
                _expect_magic(probe, address)
            return f"ipc://{address.host}"
        with socket.create_connection((address.host.strip("[]"), address.port), _CONNECT_SECONDS) as probe:
            host = probe.getpeername()[0]
            _expect_magic(probe, address)
        return f"tcp://[{host}]:{address.port}" if ":" in host else f"tcp://{host}:{address.port}"
    except ConnectionFailed:
        raise
    except OSError as error:
        raise ConnectionFailed(
            f"nobody listens at {name_of(address)}, where Scaler's object storage server should be: {error}. "
            f"Start it with: scaler_object_storage_server {name_of(address)}"
        ) from error


def _expect_magic(probe: socket.socket, address: ObjectStorageAddress) -> None:
    """Whoever listens speaks first: is it a socket of Scaler's?"""
    magic: bytes = _ymq.MAGIC_STRING
    heard = b""
    with suppress(OSError):  # silence
        while len(heard) < len(magic) and (more := probe.recv(len(magic) - len(heard))):
            heard += more
    if heard != magic:
        raise ConnectionFailed(
            f"what listens at {name_of(address)} does not answer as Scaler's object storage server does: "
            "is it one, and not stuck?"
        )


def _told(error: BaseException) -> str:
    if isinstance(error, _ymq.YMQException):
        return str(error.code.explanation())
    return str(error) or type(error).__name__
