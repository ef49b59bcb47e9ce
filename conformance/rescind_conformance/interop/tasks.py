"""What the scenarios have run. Pickled by value, as functions of a user's program are: workers need not have them."""

from __future__ import annotations

import hashlib
import os
import sys
import threading
from pathlib import Path
from typing import Any


def add(one: int, two: int = 10) -> int:
    """A sum."""
    return one + two


def echo(value: Any) -> Any:
    """What it is given."""
    return value


def fail(what: str) -> None:
    """Raise."""
    raise KeyError(what)


def digest_and_double(data: bytes) -> tuple[str, bytes]:
    """That the argument came whole is seen in its digest; the result is as long as the argument."""
    return hashlib.sha256(data).hexdigest(), data[::-1]


def note_and_wait(note: str, go: str, ballast: bytes = b"") -> int:
    """Say in the file `note` which process runs it, and return when there is a file `go`."""
    written = Path(f"{note}.part")
    written.write_text(str(os.getpid()))
    written.rename(note)
    waiting = threading.Event()
    while not Path(go).exists():
        waiting.wait(0.01)
    return len(ballast)


def note(path: str) -> None:
    """Say that it ran."""
    Path(path).touch()


def wait_once(note: str, go: str) -> str:
    """As `note_and_wait` the first time that it is run, and at once after that."""
    if Path(note).exists():
        return "again"
    note_and_wait(note, go)
    return "first"


def die() -> None:
    """End the process that runs it, without a word."""
    os._exit(3)


def write_both(text: str) -> int:
    """Write to standard output and to standard error."""
    print(f"out {text}", flush=True)
    print(f"err {text}", file=sys.stderr, flush=True)
    return len(text)


def fibonacci_with_client(client: Any, number: int) -> int:
    """Each of its calls is a task that a client inside of the task submits; the client came as an argument."""
    if number < 2:
        return number
    one = client.submit(fibonacci_with_client, client, number - 1)
    two = client.submit(fibonacci_with_client, client, number - 2)
    total: int = one.result() + two.result()
    return total


def fibonacci_by_address(address: str, number: int) -> int:
    """As `fibonacci_with_client`, with a client that the task makes itself."""
    if number < 2:
        return number
    from rescind import Client

    with Client(address) as client:
        one = client.submit(fibonacci_by_address, address, number - 1)
        two = client.submit(fibonacci_by_address, address, number - 2)
        total: int = one.result() + two.result()
    return total


def minus(one: int, two: int) -> int:
    """A difference."""
    return one - two


def wait_for(go: str) -> str:
    """Return when there is a file `go`."""
    waiting = threading.Event()
    while not Path(go).exists():
        waiting.wait(0.01)
    return "went"
