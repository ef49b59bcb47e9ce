"""What the judge of a worker keeps about each task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from rescind.messages import CancelConfirmType

CANCELED: Final = CancelConfirmType.CANCELED
CANCEL_FAILED: Final = CancelConfirmType.CANCEL_FAILED
NOT_FOUND: Final = CancelConfirmType.CANCEL_NOT_FOUND


class Phase(StrEnum):
    """How far a task is at the worker, as far as the records show it."""

    ABSENT = "absent"
    HELD = "held"
    """It was received; starts are not recorded."""
    QUEUED = "queued"
    RUNNING = "running"
    BEGUN = "begun"
    """It runs, or has returned: returns are not recorded."""
    RETURNED = "returned"
    """Its function returned or raised before anybody told it to end."""
    ENDING = "ending"
    """It was cancelled with force while it ran."""
    UNCLEAR = "unclear"
    """The specification does not say, or a wrong act makes it a guess: nothing about it is judged."""


class LastWord(StrEnum):
    """How the assignment ended that a worker had last under a task id."""

    NONE = ""
    """There was none."""
    DROPPED = "dropped"
    """It was cancelled before it began."""
    CANCELED = "canceled"
    RESULT = "result"


@dataclass(frozen=True, slots=True)
class Asked:
    """A TaskCancel that is to be answered."""

    answers: tuple[CancelConfirmType, ...]
    requirement: str
    """What any other answer breaks."""
    held: bool = False
    """The task was held then and still is: `canceled` ends the assignment."""
    late: bool = False
    """The result may come first; then the answer is `cancelNotFound`."""
    optional: bool = False
    """It need not be answered."""

    @property
    def may_end(self) -> bool:
        """Whether that task may be being ended, so that a good-bye answers it."""
        return self.held and CANCELED in self.answers


@dataclass(slots=True)
class Assigned:
    """One task id: its present assignment, and how the one before ended."""

    phase: Phase = Phase.ABSENT
    last: LastWord = LastWord.NONE
    asked: tuple[Asked, ...] = field(default=())
    """The TaskCancels that are not answered, the oldest first."""
    again: bool = False
    """Its Task has come more than once, this or the last time."""
    joined: bool = False
    """A TaskCancel came while it was being ended."""
    ended: bool = False
    """What ran it has ended."""
    raised: bool = False
    unreadable: bool = False
    """It has an argument of a kind that nobody knows."""
    unreleased: bool = False
    """It returned while it was being ended, and its result is not released."""
    silenced: str = ""
    """It ran when the worker was told that it is lost, or began to leave: the requirement that forbids a word about it,
    or (W4.2) a result of it.
    """

    @property
    def runs(self) -> bool:
        """Whether it certainly has begun and not come to its end."""
        return self.phase in (Phase.RUNNING, Phase.ENDING) and not self.ended

    @property
    def first(self) -> Asked | None:
        """The oldest TaskCancel that must be answered."""
        return next((asked for asked in self.asked if not asked.optional), None)

    def answered_by(self, kind: int) -> int | None:
        """Which TaskCancel an answer of this kind is for: the oldest that must be answered, or else an older one."""
        found = None
        for number, asked in enumerate(self.asked):
            if kind in asked.answers and (found is None or not asked.optional):
                found = number
            if not asked.optional:
                break
        return found


ASKED: Final[Mapping[tuple[Phase, bool], Asked]] = {
    (Phase.ABSENT, False): Asked((NOT_FOUND,), "W2.4"),
    (Phase.ABSENT, True): Asked((NOT_FOUND,), "W2.4"),
    (Phase.QUEUED, False): Asked((CANCELED,), "W2.1"),
    (Phase.QUEUED, True): Asked((CANCELED,), "W2.1"),
    (Phase.HELD, False): Asked((CANCELED, CANCEL_FAILED), "W1.2", held=True, late=True),
    (Phase.HELD, True): Asked((CANCELED,), "W2.2", held=True, late=True),
    (Phase.RUNNING, False): Asked((CANCEL_FAILED,), "W2.3", held=True),
    (Phase.RUNNING, True): Asked((CANCELED,), "W2.2", held=True),
    (Phase.BEGUN, False): Asked((CANCEL_FAILED,), "W2.3", held=True, late=True),
    (Phase.BEGUN, True): Asked((CANCELED,), "W2.2", held=True, late=True),
    (Phase.RETURNED, False): Asked((CANCEL_FAILED,), "W2.3", held=True, late=True),
    (Phase.RETURNED, True): Asked((CANCELED,), "W2.2", held=True, late=True),
    (Phase.ENDING, False): Asked((), "W1.2", held=True, optional=True),
    (Phase.ENDING, True): Asked((), "W1.2", held=True, optional=True),
}
"""What a TaskCancel is to be answered that finds a task in this phase and has force or not.

One that comes when the process has ended and `canceled` is not sent yet shares that answer, or is answered for itself
after it. One that comes before is not answered for itself.
"""
