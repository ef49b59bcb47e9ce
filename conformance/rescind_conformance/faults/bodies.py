"""What the tasks do: each writes into a file of its own when it begins and when it is done, so that it can be told
afterwards what really ran, how often, and whether it went on after somebody was told that it does not.
"""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import Final

SHORT_SECONDS: Final = 0.01
LONG_SECONDS: Final = 0.15
_LARGE: Final = 200_000
_FOR_EVER: Final = 3600.0


class Raised(Exception):
    """What a body raises that is there to raise."""


def note(path: str, word: str) -> None:
    """Append a word: as one write, so that it is there as a whole or not at all."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, f"{word} {time.monotonic():.6f} {os.getpid()}\n".encode())
    finally:
        os.close(descriptor)


def value_of(key: str, *others: str) -> str:
    """What a body returns: nobody can make it up who has not run it."""
    return f"{key}({','.join(others)})"


def body(kind: str, folder: str, key: str, *others: str) -> str | bytes:
    """The task `key`. `others`: what it depends on, in a graph."""
    path = f"{folder}/{key}"
    note(path, "began")
    match kind:
        case "short":
            time.sleep(SHORT_SECONDS)
        case "long":
            time.sleep(LONG_SECONDS)
        case "hangs":
            time.sleep(_FOR_EVER)
        case "spins":
            while True:
                sum(range(1000))
        case "has children":
            # One of them in a session of its own: it must end with the task all the same.
            subprocess.Popen(["sleep", str(_FOR_EVER)], start_new_session=True)
            time.sleep(_FOR_EVER)
        case "dies":
            os._exit(3)
        case "raises":
            note(path, "done")
            raise Raised(key)
        case "large":
            note(path, "done")
            return value_of(key, *others) + "-" * _LARGE
    note(path, "done")
    return value_of(key, *others)


def meet(folder: str, number: int, of: int, seconds: float) -> int:
    """Wait until so many of these run at once; how many do, then or when the time is over."""
    place = Path(folder)
    (place / f"meets-{number}").touch()
    deadline = time.monotonic() + seconds
    while (there := sum(1 for _ in place.glob("meets-*"))) < of and time.monotonic() < deadline:
        time.sleep(0.005)
    return there
