"""Messages over a socket to a process that is not trusted to read or write, without ever waiting for it."""

from __future__ import annotations

import itertools
import socket
import struct
from collections.abc import Iterator

_LENGTH = struct.Struct("!i")
_LARGEST = 1 << 16
"""Bytes of one message to the worker; what a task writes into the socket of its process is soon seen to be none."""
_CHUNK = 1 << 16
_CHUNKS = 64
"""Read at once: a process that never stops writing must not keep the worker from the others."""


class MessagePipe:
    """One end of a socket pair whose other end is a `multiprocessing.connection.Connection`. Not thread-safe."""

    def __init__(self, end: socket.socket) -> None:
        """Take `end` over."""
        end.setblocking(False)
        self._socket = end
        self._incoming = bytearray()
        self._outgoing = bytearray()

    def fileno(self) -> int:
        """The descriptor to poll."""
        return self._socket.fileno()

    def queue(self, message: bytes) -> None:
        """Have a message sent by `write`, after those queued before."""
        self._outgoing += _LENGTH.pack(len(message)) + message

    def write(self) -> bool:
        """Send what can be sent now; whether there is more. Raises `OSError` if the other end is gone."""
        while self._outgoing:
            try:
                sent = self._socket.send(self._outgoing[:_CHUNK])
            except BlockingIOError:
                return True
            del self._outgoing[:sent]
        return False

    def read(self, *, everything: bool = False) -> Iterator[bytes]:
        """The messages that have come, each whole; `everything`: the other end is gone, so that there is an end.

        Raises `EOFError` at the end, `ValueError` for what is no message.
        """
        for _ in itertools.count() if everything else range(_CHUNKS):
            try:
                chunk = self._socket.recv(_CHUNK)
            except BlockingIOError:
                return
            if not chunk:
                raise EOFError
            self._incoming += chunk
            yield from self._whole_messages()

    def close(self) -> None:
        """Close this end."""
        self._socket.close()

    def _whole_messages(self) -> Iterator[bytes]:
        while len(self._incoming) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._incoming)
            if not 0 <= length <= _LARGEST:
                raise ValueError(f"a message of {length} bytes")
            end = _LENGTH.size + length
            if len(self._incoming) < end:
                return
            message = bytes(self._incoming[_LENGTH.size : end])
            del self._incoming[:end]
            yield message
