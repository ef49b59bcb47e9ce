"""How many cases are played at once: those that wait long for the same thing do not count.

What a subject that departs never does is waited for until the deadline, by cases that do nothing meanwhile. How long a
slow machine needs for what does come is not known: so nobody waits for less.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Self

LOOK_SECONDS = 0.2
"""Between two looks whether the run is to end."""
LONG_WAIT = 1.0
"""Seconds after which a case that still waits for the same thing does next to nothing: most likely it does not come."""


class Interrupted(Exception):
    """The run was stopped in the middle of a case."""


class Place:
    """One of the cases that are played at once. What waits long leaves it to another, and comes back whenever it goes
    on. This is a place that nobody else waits for.
    """

    def leave(self) -> None:
        """Called by what waits long."""

    def come_back(self) -> None:
        """Called by it when it goes on. Returns at once."""


class Waiting:
    """Within: something is waited for. For one thread; may be nested."""

    __slots__ = ("_left", "_long", "_place", "_stop")

    def __init__(self, stop: threading.Event, place: Place) -> None:
        self._stop = stop
        self._place = place
        self._long = time.monotonic() + LONG_WAIT
        self._left = False

    def go_on(self) -> None:
        """Called several times a second. Raises `Interrupted` when the run is to end."""
        if self._stop.is_set():
            raise Interrupted
        if not self._left and time.monotonic() >= self._long:
            self._left = True
            self._place.leave()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._left:
            self._place.come_back()


class Places:
    """How many cases are played at once. Thread-safe."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._taken = 0
        self._changed = threading.Condition()

    def take(self, unless: Callable[[], bool]) -> bool:
        """Wait until a place is free and take it; False if there is nothing to take one for any more."""
        with self._changed:
            while not unless():
                if self._taken < self._count:
                    self._taken += 1
                    return True
                self._changed.wait(LOOK_SECONDS)
            return False

    def count(self, change: int) -> None:
        """So many more are taken."""
        with self._changed:
            self._taken += change
            self._changed.notify()

    def give_way(self, unless: Callable[[], bool]) -> None:
        """Where some have come back to places that others had taken: wait until no more are taken than there are."""
        with self._changed:
            self._taken -= 1
            while self._taken >= self._count and not unless():
                self._changed.wait(LOOK_SECONDS)
            self._taken += 1


class OwnPlace(Place):
    """That of one thread."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._waits = 0

    def leave(self) -> None:
        self._waits += 1
        if self._waits == 1:
            self._places.count(-1)

    def come_back(self) -> None:
        self._waits -= 1
        if self._waits == 0:
            self._places.count(1)
