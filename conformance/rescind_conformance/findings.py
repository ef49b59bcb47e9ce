"""What a case finds while it is played, for every role under test."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NoReturn

import zmq

from rescind.frame_shapes import Decoder
from rescind.trace import describe
from rescind_conformance.peers import Incoming, TaskRef, Unreadable
from rescind_conformance.places import Interrupted, Place, Waiting
from rescind_conformance.trace import Entry
from rescind_conformance.verdicts import Departure, Unsupported


@dataclass(frozen=True, slots=True)
class Conversation:
    """What the worlds of one job share."""

    context: zmq.Context[zmq.Socket[bytes]]
    deadline: float
    """Seconds after which what must come is taken as missing. Only bounds a hang."""
    stop: threading.Event = field(default_factory=threading.Event)
    """Set when the run is to end."""
    decoder: Decoder = field(default_factory=Decoder)
    """Of what comes."""
    place: Place = field(default_factory=Place)

    def waiting(self) -> Waiting:
        """Within: something is waited for."""
        return Waiting(self.stop, self.place)

    def go_on(self) -> None:
        """Called by what waits for a moment, several times a second. Raises `Interrupted` when the run is to end."""
        if self.stop.is_set():
            raise Interrupted


class Findings:
    """The trace of a case, the names of its tasks, and what was found kept or departed from. For one thread."""

    def __init__(self) -> None:
        self.trace: list[Entry] = []
        self.names: dict[bytes, str] = {}
        """Task ids by the names that traces use."""
        self.checked: set[str] = set()
        """Requirements that an expectation has found kept."""
        self.departures: list[Departure] = []
        self.held_up = 0.0
        """Seconds: the longest time in which this process did nothing for the case, not even send heartbeats."""
        self._after = ""

    def new_task(self, task_id: bytes | None = None) -> TaskRef:
        """A task with a new id (or this one), named T1, T2... in traces. Nothing is sent."""
        task = TaskRef(task_id or new_task_id(), f"T{len(self.names) + 1}")
        self.names[task.id] = task.name
        return task

    def check(self, requirement: str, holds: bool, expected: str, happened: str, *, vital: bool = False) -> bool:
        """Record that a requirement was kept, or the departure from it; returns `holds`.

        `vital`: the case cannot go on after the departure.
        """
        if holds:
            self.checked.add(requirement)
            return True
        departure = self.depart(requirement, f"expected: {expected}; but {happened}")
        if vital:
            raise departure
        return False

    def depart(
        self, requirement: str, text: str, *, unresponsive: bool = False, position: int | None = None
    ) -> Departure:
        """Record a departure, once; returns it, to be raised if the case cannot go on."""
        if self._after:
            text = f"{text} (after: {self._after})"
        departure = Departure(
            requirement, text, unresponsive=unresponsive, position=len(self.trace) if position is None else position
        )
        if all((known.requirement, known.text) != (requirement, text) for known in self.departures):
            self.departures.append(departure)
        return departure

    @contextmanager
    def after(self, what: str) -> Iterator[None]:
        """Within: what was just sent, which departures then name. For cases that try one thing after another."""
        self._after = what
        try:
            yield
        finally:
            self._after = ""

    def come_to_rest(self) -> None:
        """After the last word of a case: what is still on its way comes in."""

    def audit(self) -> None:
        """Look through the trace for departures that no expectation was about, and record them."""

    def log_tail(self) -> str:
        """The last lines that the subject wrote, "" if they cannot be had."""
        return ""

    def unsupported(self, reason: str, lacks: str = "") -> NoReturn:
        """End the case: the subject does not show an optional behaviour. See `Unsupported`."""
        raise Unsupported(reason, lacks)

    def describe(self, message: Incoming) -> str:
        """A message in words, with the names of this case's tasks."""
        return str(message) if isinstance(message, Unreadable) else describe(message, self.names)


def new_task_id() -> bytes:
    """16 bytes that were never used."""
    return uuid.uuid4().bytes
