"""Ids that are the same in each order."""

from __future__ import annotations

import hashlib
from typing import Final

STRANGE: Final = 3
"""The number of a task that nobody has heard of."""


class Names:
    """Task ids and routing ids, the same in each order that has the same `prefix`, and never twice in one."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    def task(self, number: int | str) -> bytes:
        """Of the task with this number, or name."""
        return hashlib.md5(f"{self._prefix} task {number}".encode()).digest()

    def peer(self, role: str, name: str) -> bytes:
        """A routing id, by custom."""
        return f"{role}|{name}|{hashlib.md5(f'{self._prefix} {role} {name}'.encode()).hexdigest()}".encode()
