"""Values under small numbers."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class Numbers(Generic[T]):
    """Gives each distinct value a number, from 0 on, in the order of their first sight. Not thread-safe."""

    def __init__(self, values: Iterable[T] = (), *, most: int | None = None) -> None:
        """`most`: there is room for so many numbers only; one more raises `OverflowError`."""
        self._numbers: dict[T, int] = {}
        self._values: list[T] = []
        self._most = most
        for value in values:
            self.of(value)

    def of(self, value: T) -> int:
        """The number of `value`."""
        number = self._numbers.setdefault(value, len(self._values))
        if number == len(self._values):
            if number == self._most:
                raise OverflowError(f"there is no room for more than {number:,} of these")
            self._values.append(value)
        return number

    def __getitem__(self, number: int) -> T:
        return self._values[number]

    def __len__(self) -> int:
        return len(self._values)
