"""Work for the processes of `test_orders`, which must be able to import it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from rescind_conformance.process import SubjectUnavailable

KILLED, UNAVAILABLE, ODD = 13, 14, 15


def half(work: int, show: Callable[[int], None]) -> int:
    """Half of an even number; or something goes wrong."""
    show(work)
    if work == KILLED:
        os.kill(os.getpid(), signal.SIGKILL)
    if work == UNAVAILABLE:
        raise SubjectUnavailable("nobody listens")
    if work % 2:
        raise ValueError(f"{work} is odd")
    return work // 2
