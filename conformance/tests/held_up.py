"""A suite that does not get on for a while, as on a machine that is busy with something else."""

from __future__ import annotations

import threading
from typing import Any

import pytest


def hold_up(monkeypatch: pytest.MonkeyPatch, world: type[object], step: str, seconds: float) -> None:
    """Hold the suite up for so long before it takes this step of a case (a method of its world) for the first time."""
    take = getattr(world, step)
    held = threading.Event()

    def late(self: object, *arguments: Any, **options: Any) -> Any:
        if not held.is_set():
            held.wait(seconds)
            held.set()
        return take(self, *arguments, **options)

    monkeypatch.setattr(world, step, late)
