"""The bytes of one direction of a ZeroMQ connection (ZMTP 3), cut into what belongs together.

Nothing is changed and nothing is lost: the bytes of all pieces, one after the other, are the bytes that came.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

GREETING_BYTES = 64
LONGEST_FRAME = 16 * 1024 * 1024
"""Bytes. A longer frame is not collected: from there on the direction is passed on unread."""

_MECHANISM = slice(12, 32)
"""Where the greeting names it, padded with zeros; NULL is none."""
_MORE, _LONG, _COMMAND = 1, 2, 4


@dataclass(frozen=True, slots=True)
class Piece:
    """What must be passed on together."""

    raw: bytes
    frames: tuple[bytes, ...] | None = None
    """The frames, if it is one whole message; None: part of the greeting, a command, or what is not understood."""
    identity: bytes | None = None
    """What a READY command says of who sends it; None: it is no such command, or does not say."""


class Framing:
    """Reads one direction. Not thread-safe."""

    def __init__(self) -> None:
        self.unread = False
        """Whether this is not ZMTP 3, or encrypted, or too long to be collected: then everything passes as it comes."""
        self.encrypted_by = ""
        """The mechanism, of a connection that is encrypted."""
        self._greeting = b""
        self._buffer = bytearray()
        self._whole = 0
        """Of the buffer, the bytes of the frames that were read."""
        self._frames: list[bytes] = []

    def feed(self, data: bytes) -> Iterator[Piece]:
        """Take bytes; what is complete by then. Each must be passed on before the next is asked for."""
        if not self.unread and len(self._greeting) < GREETING_BYTES:
            # The two ends read one another's greeting piece by piece: keeping a piece back would stop both.
            part = data[: GREETING_BYTES - len(self._greeting)]
            data = data[len(part) :]
            self._greeting += part
            if _is_zmtp_3(self._greeting) and len(self._greeting) >= _MECHANISM.stop:
                name = self._greeting[_MECHANISM].rstrip(b"\0")
                self.encrypted_by = "" if name == b"NULL" else name.decode("ascii", "replace")
            self.unread = not _is_zmtp_3(self._greeting) or bool(self.encrypted_by)
            yield Piece(part)
        if not self.unread:
            self._buffer += data
            data = b""
            yield from self._complete()
        if self.unread:
            rest = bytes(self._buffer) + data
            self._buffer.clear()
            if rest:
                yield Piece(rest)

    def _complete(self) -> Iterator[Piece]:
        buffer = self._buffer
        while len(buffer) - self._whole >= 2:
            start = self._whole
            flags = buffer[start]
            body = start + (9 if flags & _LONG else 2)
            if len(buffer) < body:
                return
            length = int.from_bytes(buffer[start + 1 : body], "big")
            if length > LONGEST_FRAME or flags > _MORE | _LONG | _COMMAND:
                self.unread = True
                return
            end = body + length
            if len(buffer) < end:
                return
            content = bytes(buffer[body:end])
            self._whole = end
            if not flags & _COMMAND:
                self._frames.append(content)
                if flags & _MORE:
                    continue
            elif self._frames:
                continue  # a command amid a message stays there
            raw, frames = bytes(buffer[:end]), tuple(self._frames)
            del buffer[:end]
            self._whole = 0
            self._frames = []
            yield Piece(raw, None, _identity(content)) if flags & _COMMAND else Piece(raw, frames)


def _is_zmtp_3(greeting: bytes) -> bool:
    """Whether it may still be, as far as it has come."""
    return (
        greeting[0] == 0xFF
        and (len(greeting) < 10 or bool(greeting[9] & 1))
        and (len(greeting) < 11 or greeting[10] >= 3)
    )


def _identity(command: bytes) -> bytes | None:
    """The Identity in the properties of a READY command."""
    if not command.startswith(b"\x05READY"):
        return None
    at = 6
    while at < len(command):
        name_end = at + 1 + command[at]
        value = name_end + 4
        end = value + int.from_bytes(command[name_end:value], "big")
        if end > len(command):
            return None
        if command[at + 1 : name_end].lower() == b"identity":
            return command[value:end]
        at = end
    return None
