"""Bytes read as a series of choices, so that every input means something."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

T = TypeVar("T")
MOST_BYTES: Final = 256
"""What is beyond is not read: a life of more events says little that a shorter one does not."""


class Broken(AssertionError):
    """Something that always holds does not; the text says what."""


class Choices:
    """Not thread-safe. When the bytes are used up every choice is the first."""

    def __init__(self, data: bytes) -> None:
        self._data = data[:MOST_BYTES]
        self._at = 0

    def __bool__(self) -> bool:
        """Whether there are bytes left."""
        return self._at < len(self._data)

    def number(self, below: int) -> int:
        """From 0 to `below` - 1; `below` is at most 256."""
        if self._at >= len(self._data):
            return 0
        byte = self._data[self._at]
        self._at += 1
        return byte % below

    def flag(self) -> bool:
        return bool(self.number(2))

    def one_of(self, values: Sequence[T]) -> T:
        return values[self.number(len(values))]

    def some_of(self, values: Sequence[T], most: int) -> tuple[T, ...]:
        """Up to `most` of them, perhaps one several times."""
        return tuple(self.one_of(values) for _ in range(self.number(most + 1)))

    def bytes(self, most: int) -> bytes:
        """The next bytes as they are, up to `most`."""
        count = self.number(most + 1)
        taken = self._data[self._at : self._at + count]
        self._at += len(taken)
        return taken
