"""What the judge of a client keeps about each future and each call."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Stage(StrEnum):
    """Where a future stands that is not settled."""

    RUNNING = "running"
    CANCELING = "canceling"
    """A round is open."""
    DUE = "due"
    """What has come decides it, and it is to be settled."""
    UNCLEAR = "unclear"
    """The specification does not say what becomes of it: nothing about it is judged."""


@dataclass(slots=True)
class Future:
    """A future that is not settled."""

    stage: Stage = Stage.RUNNING
    force: bool = False
    """Of the open round, or the last one."""
    asked: bool = False
    """A round has been opened."""
    refused: bool = False
    """A round has been refused."""
    cancelled: bool = False
    """How it is to be settled, if that is due."""
    either: bool = False
    """A round was opened when its result had come: it may be settled either way."""
    requirement: str = ""
    """What another settling breaks, if it is due."""
    payload: bool = False
    """Its result has come, and names payloads."""

    @property
    def open(self) -> bool:
        """Whether nothing has decided it."""
        return self.stage in (Stage.RUNNING, Stage.CANCELING)


@dataclass(slots=True)
class Call:
    """A call of `cancel()` or `cancelled()` that has not returned."""

    task: bytes
    asks: bool
    """It is `cancel()`, not `cancelled()`."""
    force: bool = False
    answers: tuple[bool, ...] = ()
    """What it may return by now; nothing: it has to wait."""
    requirement: str = ""
    """What another return breaks."""
    opened: bool = False
    """It certainly has opened the round that is open."""
    decided: bool = False
    """What comes after the round that it opened does not change its answer."""
    wants_force: bool = False
    """The round that it shared was refused, and it asked for more (C6.3)."""
