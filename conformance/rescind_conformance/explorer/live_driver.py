"""What a process does that drives orders against a subject of its own. Imports no more than that takes."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

from rescind_conformance.explorer.live import LiveResult, LiveSession
from rescind_conformance.explorer.live_breadth import drive_by_length
from rescind_conformance.explorer.live_random import drive_at_random
from rescind_conformance.explorer.scenario import Scenario
from rescind_conformance.subjects import SCHEDULERS, RunningEndpoint, Subject

_ALLOCATIONS: Final = 50_000
"""So many between two collections of garbage."""


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
        yield partial(_drive, opened)


def _drive(subject: Subject, work: Work, show: Callable[[tuple[str, int]], None]) -> LiveResult:
    scenario = work.scenario
    with LiveSession(scenario, subject, work.deadline, lambda driven: show((scenario.name, driven))) as session:
        try:
            if work.seed is None:
                return drive_by_length(session, work.orders)
            return drive_at_random(session, work.orders, work.seed)
        except KeyboardInterrupt:
            return session.result


def _open(subject: str | None, endpoint: str | None) -> Subject:
    return RunningEndpoint(endpoint) if endpoint is not None else SCHEDULERS[subject or ""]()
