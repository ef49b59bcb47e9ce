"""Peers that speak ZeroMQ's protocol by hand, and so can do what a ZeroMQ socket would not."""

from __future__ import annotations

import socket
import struct
from urllib.parse import urlsplit

from rescind import wire
from rescind.messages import Message

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
"""Of a peer without keys."""
_HANG = 20.0
"""Seconds after which a test gives up."""


def connected(endpoint: str) -> socket.socket:
    """A TCP connection on which nothing has been said."""
    address = urlsplit(endpoint)
    return socket.create_connection((address.hostname, address.port), timeout=_HANG)


class RawPeer:
    """A DEALER that reads only when it is told to."""

    def __init__(self, endpoint: str, routing_id: bytes) -> None:
        self.socket = connected(endpoint)
        self.socket.sendall(GREETING)
        self._read(64)
        ready = b"\x05READY" + _property(b"Socket-Type", b"DEALER") + _property(b"Identity", routing_id)
        self.socket.sendall(bytes([4, len(ready)]) + ready)
        _, length = self._read(2)
        self._read(length)

    def say(self, *messages: Message) -> None:
        """Send them with one call."""
        self.socket.sendall(b"".join(framed(wire.encode(each)) for each in messages))

    def hear(self) -> Message:
        """The next message."""
        flags = self._read(1)[0]
        length = struct.unpack(">Q", self._read(8))[0] if flags & 2 else self._read(1)[0]
        return wire.decode(self._read(length))

    def is_closed(self) -> bool:
        """Wait until the other side has closed the connection; whatever comes before is skipped."""
        try:
            while self.socket.recv(65536):
                pass
        except ConnectionResetError:
            pass
        return True

    def _read(self, count: int) -> bytes:
        read = b""
        while len(read) < count:
            more = self.socket.recv(count - len(read))
            assert more, "the connection was closed"
            read += more
        return read


def framed(payload: bytes) -> bytes:
    """A message of one part."""
    return b"\x02" + struct.pack(">Q", len(payload)) + payload


def _property(name: bytes, value: bytes) -> bytes:
    return bytes([len(name)]) + name + struct.pack(">I", len(value)) + value
