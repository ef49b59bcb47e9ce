"""What passes between the suite and an adapter in a case: commands with their answers, and what it tells unasked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True, eq=False)
class Call:
    """A command to the adapter, and its answer when it has come."""

    text: str
    """For traces and departures: `cancel(T1)`."""
    command: str
    number: int = 0
    """Counts the commands."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    answer: dict[str, Any] | None = None
    quiet: bool = False
    """Whether it stays out of the trace."""
    probe: bool = False
    """Whether any answer will do, `unsupported` included."""

    @property
    def returned(self) -> bool:
        """Whether the adapter has answered."""
        return self.answer is not None

    @property
    def in_words(self) -> str:
        """What has become of it."""
        match self.answer:
            case None:
                return f"{self.text} has not returned"
            case {"event": "raised", "error": error}:
                return f"{self.text} raised {error}"
            case {"returned": value} | {"settled": value}:
                return f"{self.text} returned {value}"
            case {"outcome": outcome, "text": str(text)}:
                return f"{self.text} returned {outcome} {_shortened(text)!r}"
            case {"outcome": outcome}:
                return f"{self.text} returned {outcome}"
            case _:
                return f"{self.text} returned"


def _shortened(text: str, most: int = 60) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."


@dataclass(slots=True)
class Notice:
    """An event of the adapter that answers no command."""

    kind: str
    task: str
    outcome: str = field(default="")
