"""A DEALER without a thread of its own: ZMTP 3 over one socket of the system.

One of ZeroMQ's own has a thread that wakes for each message, in either direction, and takes long to make and to close.
Live orders have three new ones each, over which a dozen messages go. This one does what they need: it connects once,
to whom is there, without keys, and what it sends waits until `Dealers.poll`, so that a message and the heartbeat that
fences it are written as one.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Final

import zmq

from rescind_conformance.tap.zmtp import Framing

_GREETING: Final = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
_READY: Final = b"\x05READY"
_MORE, _LONG, _COMMAND = 1, 2, 4
_CONNECT_SECONDS: Final = 10.0
_READ_BYTES: Final = 1 << 16
_UNSENT_MILLISECONDS: Final = 10
"""After which it is tried again to send what the system would not take."""


class PlainDealer:
    """As far as peers use one, a `zmq.Socket` of the type DEALER. For one thread. Made by `Dealers` only.

    A connection that cannot be made, or has ended, is silent: what is sent is lost, and nothing comes.
    """

    def __init__(self, dealers: Dealers) -> None:
        self.closed = False
        self._dealers = dealers
        self._routing_id = b""
        self._socket: socket.socket | None = None
        self._framing = Framing()
        self._unsent = bytearray()
        self._held: bytearray | None = bytearray()
        """What waits for the end of the handshake; None after it."""

    def setsockopt(self, option: int, value: bytes | int) -> None:
        """All but the routing id is without meaning here: nothing is queued."""
        if option == zmq.IDENTITY and isinstance(value, bytes):
            self._routing_id = value

    def connect(self, endpoint: str) -> None:
        """Connect, and have our part of the handshake sent: with NULL it does not depend on that of the other side."""
        with suppress(OSError):
            self._socket = _connected(endpoint)
            self._socket.setblocking(False)
        ready = _READY + _property(b"Socket-Type", b"DEALER") + _property(b"Identity", self._routing_id)
        self._unsent += _GREETING + _frame(_COMMAND, ready)
        self._dealers.unflushed[self] = None

    def fileno(self) -> int:
        """Of the socket; -1 if there is no connection."""
        return -1 if self._socket is None else self._socket.fileno()

    def send(self, frame: bytes) -> None:
        """Have one frame sent."""
        self.send_multipart([frame])

    def send_multipart(self, frames: Sequence[bytes]) -> None:
        """Have a message sent."""
        self._dealers.on_sent(tuple(frames))
        written = self._unsent if self._held is None else self._held
        for one in frames[:-1]:
            written += _frame(_MORE, one)
        written += _frame(0, frames[-1])
        self._dealers.unflushed[self] = None

    def receive(self) -> Iterator[Sequence[bytes]]:
        """The messages that have come. Does not wait."""
        if self._socket is None:
            return
        try:
            data = self._socket.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._end()
            return
        for piece in self._framing.feed(data):
            if piece.frames is not None:
                yield piece.frames
            elif self._held is not None and _READY in piece.raw:
                self._unsent += self._held
                self._held = None
                self._dealers.unflushed[self] = None

    def flush(self) -> bool:
        """Send what waits; whether that is all gone."""
        if self._socket is None:
            self._unsent.clear()
        elif self._unsent:
            try:
                del self._unsent[: self._socket.send(self._unsent)]
            except BlockingIOError:
                return False
            except OSError:
                self._end()
        return not self._unsent

    def close(self, linger: int = 0) -> None:
        """Send what the system takes of what waits, unless `linger` is 0, and end the connection."""
        if linger and self.flush() and self._socket is not None:
            with suppress(OSError):  # nothing more is there
                while self._socket.recv(_READ_BYTES):  # over TCP, what is not read takes along what was just sent
                    pass
        self._dealers.unregister(self)
        self._end()
        self.closed = True

    def _end(self) -> None:
        self._unsent.clear()
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class Dealers:
    """Those of one order, and as far as a world uses one, their `zmq.Poller`. For one thread."""

    def __init__(self, on_sent: Callable[[tuple[bytes, ...]], None]) -> None:
        """`on_sent` is told of each message before it is sent."""
        self.on_sent = on_sent
        self.unflushed: dict[PlainDealer, None] = {}
        self._registered: dict[PlainDealer, None] = {}

    def dealer(self) -> PlainDealer:
        """A new one, that is not connected."""
        return PlainDealer(self)

    def __contains__(self, dealer: PlainDealer) -> bool:
        return dealer in self._registered

    def register(self, dealer: PlainDealer, _: int = zmq.POLLIN) -> None:
        """Have `poll` tell what comes there."""
        self._registered[dealer] = None

    def unregister(self, dealer: PlainDealer) -> None:
        """Have `poll` be silent about it."""
        self._registered.pop(dealer, None)

    def poll(self, milliseconds: int) -> list[PlainDealer]:
        """Send what waits, then wait until something comes, and say where."""
        unflushed, self.unflushed = self.unflushed, {}
        for dealer in unflushed:
            if not dealer.flush():
                self.unflushed[dealer] = None
        poller = select.poll()
        found = {}
        for dealer in self._registered:
            if (number := dealer.fileno()) >= 0:
                found[number] = dealer
                poller.register(number, select.POLLIN)
        wait = min(milliseconds, _UNSENT_MILLISECONDS) if self.unflushed else milliseconds
        return [found[number] for number, _ in poller.poll(wait)]


def _connected(endpoint: str) -> socket.socket:
    """A connection to an endpoint as ZeroMQ writes it. Raises `OSError`."""
    transport, _, address = endpoint.partition("://")
    if transport == "ipc":
        made = socket.socket(socket.AF_UNIX)
        try:
            made.settimeout(_CONNECT_SECONDS)
            made.connect("\0" + address[1:] if address.startswith("@") else address)
        except OSError:
            made.close()
            raise
        return made
    host, _, port = address.rpartition(":")
    made = socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def _frame(flags: int, content: bytes) -> bytes:
    length = len(content)
    if length < 256:
        return bytes((flags, length)) + content
    return bytes((flags | _LONG,)) + length.to_bytes(8) + content


def _property(name: bytes, value: bytes) -> bytes:
    return bytes((len(name),)) + name + len(value).to_bytes(4) + value
