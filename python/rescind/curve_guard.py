"""The scheduler's side of CURVE: who is admitted, and what binds a routing id to the key of its connection.

A routing id is what its peer chose, and with CURVE alone any peer that is admitted could choose another's. Here
every connection that is admitted gets a number, which ZeroMQ attaches to each message that comes over it. The first
message under a routing id binds it to that connection, and so to its key, for as long as the scheduler serves the
peer (K2). For one thread, the scheduler's.
"""

from __future__ import annotations

import errno
import itertools
import logging
import os
import socket
import time
from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import cast

import zmq
from zmq.backend import Frame
from zmq.backend import Socket as BareSocket
from zmq.utils import z85
from zmq.utils.monitor import parse_monitor_message

from rescind import wire
from rescind.curve import Authorised, KeysUnusable, Role, SchedulerKeys
from rescind.messages import (
    ClientDisconnect,
    ClientHeartbeat,
    GraphTask,
    Message,
    Task,
    TaskCancel,
    TaskCancelConfirm,
    TaskLog,
    TaskResult,
    WorkerDisconnectNotification,
    WorkerHeartbeat,
)

logger = logging.getLogger(__name__)

_HANDLER = "inproc://zeromq.zap.01"
_DOMAIN = b"rescind"
_USER_ID = "User-Id"
_BATCH = 64
"""Handshakes answered, and events taken, in one turn of the scheduler's loop."""
_LOOK_SECONDS = 1.0
"""Between two looks for keys that were removed, and for peers that are not served any more."""
_CLOCK_STEP = 1_000_000_000
"""Nanoseconds within which a second change of a directory may bear the time of the first."""
_WATCHED = (
    zmq.EVENT_ACCEPTED
    | zmq.EVENT_DISCONNECTED
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
)
_MEANT_FOR: dict[Role, frozenset[type]] = {
    Role.CLIENT: frozenset({Task, GraphTask, TaskCancel, ClientHeartbeat, ClientDisconnect}),
    Role.WORKER: frozenset({TaskCancelConfirm, TaskResult, TaskLog, WorkerHeartbeat, WorkerDisconnectNotification}),
}
_UNKNOWN = b"unknown"
_OF_SOME_ROLE = frozenset().union(*_MEANT_FOR.values())
_NOBODY = Authorised("nobody", frozenset())
_FAILURES: dict[int, str] = {
    zmq.PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH: "handshake failed: the peer uses no keys",
    zmq.PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC: "handshake failed: the peer has another key for this scheduler",
}

Report = Callable[[bytes, str], None]
"""Counts and logs that something of a sender was refused."""


@dataclass(slots=True)
class _Binding:
    """Which connection a routing id belongs to."""

    user_id: str
    """The number of the connection, a space, and its key."""
    descriptor: int
    forbidden: frozenset[type]
    """Messages that are not of its key's roles."""
    disputed: bool = False
    """Whether another key was seen with it, which is logged once."""


class ConnectionGuard:
    """Stands between a ROUTER and its scheduler: what it lets through, comes from whom it claims to come from."""

    def __init__(self, socket: zmq.Socket[bytes], keys: SchedulerKeys, report: Report) -> None:
        """Have `socket`, which is not bound yet, admit those whom `keys` authorise. Raises `KeysUnusable`."""
        self._socket = socket
        self._keys = keys
        self._report = report
        self._numbers = itertools.count(1)
        self._bindings: dict[bytes, _Binding] = {}
        self._by_descriptor: dict[int, bytes] = {}
        self._open: dict[int, bytes] = {}
        """Where each connection comes from, by its descriptor."""
        self._failed: list[str] = []
        """How handshakes failed whose connections are about to end."""
        self._severed: set[bytes] = set()
        """Bound routing ids whose connection has ended: whoever takes their name now gets nothing."""
        self._sender = b""
        self._frame: Frame | None = None
        self._look_due = time.monotonic() + _LOOK_SECONDS
        self._authorised: dict[bytes, Authorised] = {}
        self._changed_at: tuple[int, ...] = ()
        self._read_at = 0
        """When keys were read, in nanoseconds since the epoch."""
        self._read_keys()
        socket.curve_server = True
        socket.curve_publickey = keys.public
        socket.curve_secretkey = keys.secret
        socket.zap_domain = _DOMAIN
        # Before anybody can connect: without a handler ZeroMQ admits everybody.
        self._handler = socket.context.socket(zmq.REP)
        self._handler.bind(_HANDLER)
        self._monitor = socket.get_monitor_socket(_WATCHED)

    @property
    def sockets(self) -> tuple[zmq.Socket[bytes], zmq.Socket[bytes]]:
        """To poll for reading; `turn` reads them."""
        return self._handler, self._monitor

    def turn(self, ready: Container[object], serves: Callable[[bytes], bool]) -> None:
        """Do what is due. Does not wait.

        `ready`: which `sockets` can be read; `serves` says of a routing id whether its peer is registered.
        """
        if self._monitor in ready:
            self._watch()
        if self._handler in ready:
            self._admit()
        if (now := time.monotonic()) >= self._look_due:
            self._look_due = now + _LOOK_SECONDS
            self._look_for_keys()
            for routing_id in [each for each in self._bindings if not serves(each)]:
                self._forget(routing_id)

    def receive_frames(self) -> list[bytes]:
        """The frames of the next message, to be given to `decode` next. Raises `zmq.Again`."""
        self._sender = self._socket.recv(zmq.NOBLOCK)
        self._frame = cast("Frame", BareSocket.recv(self._socket, zmq.NOBLOCK, copy=False))
        frames = [self._sender, self._frame.bytes]
        while self._socket.get(zmq.RCVMORE):
            frames.append(self._socket.recv(zmq.NOBLOCK))
        return frames

    def decode(self, payload: bytes, decode: Callable[[bytes], Message]) -> Message:
        """The message that was received last. Raises `wire.WireError` for one that is to be dropped."""
        assert self._frame is not None
        try:
            user_id = str(self._frame.get(_USER_ID))
        except zmq.ZMQError as error:
            raise wire.WireError("no key", "ZeroMQ does not say whose connection it is") from error
        binding = self._bindings.get(self._sender)
        if binding is None or binding.user_id != user_id:
            binding = self._bind(self._sender, user_id, self._frame, binding)
        message = decode(payload)
        if type(message) in binding.forbidden:
            raise wire.WireError(
                "not a role of its key", f"{type(message).__name__} of {self._holder(binding.user_id)}"
            )
        return message

    def send(self, data: bytes, flags: int) -> None:
        """As the ROUTER's own; a peer whose connection has ended cannot be reached. Raises `zmq.ZMQError`."""
        if data in self._severed and flags & zmq.SNDMORE:
            raise zmq.ZMQError(errno.EHOSTUNREACH)
        BareSocket.send(self._socket, data, flags)

    def close(self) -> None:
        """Watch no more; to be called before the ROUTER is closed."""
        self._socket.disable_monitor()
        self._monitor.close(linger=0)

    def end(self) -> None:
        """Admit nobody any more; to be called after the ROUTER is closed."""
        self._handler.close(linger=0)

    def _admit(self) -> None:
        for _ in range(_BATCH):
            try:
                request = self._handler.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            self._handler.send_multipart(self._answer(request))

    def _answer(self, request: list[bytes]) -> list[bytes]:
        """What the handler says to ZeroMQ, which asks for each connection whether it is admitted (RFC 27)."""
        if len(request) != 7 or request[0] != b"1.0" or request[5] != b"CURVE" or len(request[6]) != 32:
            return [*request[:2], b"500", b"not understood", b"", b""]
        key, address = z85.encode(request[6]), request[3]
        if key not in self._authorised:
            self._look_for_keys()
        holder = self._authorised.get(key)
        if holder is None:
            self._report(address + b" with " + key, "key not authorised")
            return [*request[:2], b"400", b"not authorised", b"", b""]
        logger.info("admitted: %s, from %s", holder.name, address.decode("ascii", "replace"))
        return [*request[:2], b"200", b"OK", b"%d %s" % (next(self._numbers), key), b""]

    def _bind(self, routing_id: bytes, user_id: str, frame: Frame, former: _Binding | None) -> _Binding:
        """The routing id comes over another connection than before, or for the first time."""
        # First what has ended: a descriptor that is used again must not be taken for the connection that had it.
        self._watch(everything=True)
        if former is not None and _key(former.user_id) != _key(user_id):
            if not former.disputed:
                former.disputed = True
                logger.warning("%s uses the routing id of %s", self._holder(user_id), self._holder(former.user_id))
            # ZeroMQ would not have let it through while the former connection was there.
            self._severed.add(routing_id)
            raise wire.WireError("another's routing id", f"it comes from {self._holder(user_id)}")
        if former is None:
            logger.info("%r is the routing id of %s", routing_id, self._holder(user_id))
        else:
            self._forget(routing_id)
        descriptor = frame.get(zmq.SRCFD)
        binding = self._bindings[routing_id] = _Binding(user_id, descriptor, self._forbidden(user_id))
        if descriptor in self._open:
            self._by_descriptor[descriptor] = routing_id
        else:
            self._severed.add(routing_id)  # these are its last messages
        return binding

    def _forget(self, routing_id: bytes) -> None:
        descriptor = self._bindings.pop(routing_id).descriptor
        if self._by_descriptor.get(descriptor) == routing_id:
            del self._by_descriptor[descriptor]
        self._severed.discard(routing_id)

    def _forbidden(self, user_id: str) -> frozenset[type]:
        holder = self._authorised.get(_key(user_id), _NOBODY)
        return _OF_SOME_ROLE.difference(*(_MEANT_FOR[role] for role in holder.roles))

    def _holder(self, user_id: str) -> str:
        return self._authorised.get(_key(user_id), _NOBODY).name

    def _watch(self, *, everything: bool = False) -> None:
        """Take in what has become of connections.

        ZeroMQ says of a failed handshake neither whose it was nor from where. But the end of its connection is what it
        says next, and while that is open the system knows its other end.
        """
        told = self._told(None if everything else _BATCH)
        ends = {value: number for number, (event, value) in enumerate(told) if event == zmq.EVENT_DISCONNECTED}
        for number, (event, value) in enumerate(told):
            if event == zmq.EVENT_ACCEPTED:
                # Not where the descriptor has been closed since: it may be another's by now.
                is_open = ends.get(value, -1) < number and (everything or len(told) < _BATCH)
                self._open[value] = _other_end(value) if is_open else _UNKNOWN
            elif event == zmq.EVENT_DISCONNECTED:
                address = self._open.pop(value, _UNKNOWN)
                while self._failed:
                    self._report(address, self._failed.pop())
                if (routing_id := self._by_descriptor.pop(value, None)) is not None:
                    self._severed.add(routing_id)
            else:
                self._failed.append(_FAILURES.get(value, "handshake failed: the peer has gone, or broke the rules"))

    def _told(self, most: int | None) -> list[tuple[int, int]]:
        """What ZeroMQ has to tell of connections: events and their values."""
        told: list[tuple[int, int]] = []
        while most is None or len(told) < most:
            try:
                event = parse_monitor_message(self._monitor.recv_multipart(zmq.NOBLOCK))
            except zmq.Again:
                break
            told.append((int(event["event"]), int(event["value"])))
        return told

    def _read_keys(self) -> None:
        """Take in which keys were added and removed since they were read last. Raises `KeysUnusable`."""
        changed_at, now = self._keys.changed_at(), time.time_ns()
        if changed_at == self._changed_at and self._read_at - max(changed_at) > _CLOCK_STEP:
            return
        self._authorised, self._changed_at, self._read_at = self._keys.authorised(), changed_at, now
        for routing_id, binding in self._bindings.items():
            binding.forbidden = self._forbidden(binding.user_id)
            if _key(binding.user_id) not in self._authorised:
                self._severed.add(routing_id)

    def _look_for_keys(self) -> None:
        try:
            self._read_keys()
        except KeysUnusable as error:
            logger.error("keys that were added or removed are not taken in: %s", error)


def _other_end(descriptor: int) -> bytes:
    """The address that a connection comes from, as ZeroMQ tells that of one whose key can be read."""
    try:
        with socket.socket(fileno=os.dup(descriptor)) as connection:
            name = connection.getpeername()
    except OSError:
        return _UNKNOWN  # it has ended already
    return str(name[0]).encode() if isinstance(name, tuple) else b"this machine"


def _key(user_id: str) -> bytes:
    return user_id.partition(" ")[2].encode()
