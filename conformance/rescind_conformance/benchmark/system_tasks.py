"""The functions that real workers run in the benchmark of whole systems."""

from __future__ import annotations

import os
import time
from pathlib import Path

_POLL_SECONDS = 0.002


def same(number: int) -> int:
    """The shortest task."""
    return number


def mark(path: str, number: int) -> int:
    """Say in a file that this task ran."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(descriptor, f"{number}\n".encode())  # appended as a whole, whoever else writes
    finally:
        os.close(descriptor)
    return number


def block(begun: str, release: str) -> None:
    """Keep a slot until a file is there."""
    Path(begun).touch()
    while not os.path.exists(release):
        time.sleep(_POLL_SECONDS)


def stand(begun: str, seconds: float) -> None:
    """Run until ended by force; or for so long, should nobody do that."""
    Path(begun).touch()
    time.sleep(seconds)
