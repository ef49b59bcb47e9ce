"""How the commands end: early on a signal, or because they could not run."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

import typer

COULD_NOT_RUN = 2


def end_on_signals() -> None:
    """Unwind as Ctrl-C does when told to end, so that everything that was started is ended."""

    def on_signal(number: int, frame: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, on_signal)


def end_on_first_signal() -> None:
    """As `end_on_signals` and Ctrl-C, but what comes while everything is being ended does not cut that short.

    For a command whose processes are killed, which is soon done.
    """

    def on_signal(number: int, frame: FrameType | None) -> NoReturn:
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, on_signal)


@contextmanager
def quietly(status: int) -> Iterator[None]:
    """Within: what is printed. If nobody reads it any more (`rescind ... | head`) the command ends with this status."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        _print_to_nobody()
        raise typer.Exit(status) from None


def _print_to_nobody() -> None:
    """Else Python tries once more to print what it has kept as it ends, and changes the exit status."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def fail(text: str) -> NoReturn:
    """End the command: it could not run, and why."""
    typer.echo(f"rescind: {text}", err=True)
    try:
        sys.stdout.flush()
    except OSError:
        _print_to_nobody()
    raise typer.Exit(COULD_NOT_RUN)
