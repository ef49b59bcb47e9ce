"""What a process does that drives orders against a subject of its own. Imports no more than that takes."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

from rescind_conformance.explorer.live import LiveResult, LiveSession, Standing
from rescind_conformance.explorer.live_breadth import drive_by_length
from rescind_conformance.explorer.live_random import drive_at_random
from rescind_conformance.explorer.scenario import Scenario
from rescind_conformance.subjects import SCHEDULERS, RunningEndpoint, Subject

_ALLOCATIONS: Final = 50_000
"""So many between two collections of garbage."""
_SHOWN_EVERY: Final = 0.1
"""Seconds: whoever shows how far it is has to wake up for it."""


@dataclass(frozen=True, slots=True)
class Work:
    """A scenario, and how it is driven."""

    scenario: Scenario
    orders: int
    seed: int | None
    """None: by length."""
    deadline: float


@contextmanager
def driver(
    subject: str | None, endpoint: str | None
) -> Iterator[Callable[[Work, Callable[[tuple[str, int]], None]], LiveResult]]:
    """What drives in one process: the subject is opened once."""
    # What is known of a scenario grows and stays: to go through it for garbage takes longer than a few orders.
    gc.set_threshold(_ALLOCATIONS)
    with _open(subject, endpoint) as opened:
        yield partial(_drive, opened, Standing())


def _drive(subject: Subject, standing: Standing, work: Work, show: Callable[[tuple[str, int]], None]) -> LiveResult:
    scenario = work.scenario
    shown = time.monotonic()

    def show_now_and_then(driven: int) -> None:
        nonlocal shown
        if (now := time.monotonic()) >= shown + _SHOWN_EVERY:
            shown = now
            show((scenario.name, driven))

    with LiveSession(scenario, subject, work.deadline, show_now_and_then, standing) as session:
        try:
            if work.seed is None:
                return drive_by_length(session, work.orders)
            return drive_at_random(session, work.orders, work.seed)
        except KeyboardInterrupt:
            return session.result


def _open(subject: str | None, endpoint: str | None) -> Subject:
    return RunningEndpoint(endpoint) if endpoint is not None else SCHEDULERS[subject or ""]()
