"""Options of the command line that are numbers: what cannot be is refused at once, with what can (exit status 2).

Typer's own bounds do not show what was given, and let through what has no end (`inf`).
"""

from __future__ import annotations

from typing import Any

import typer

from rescind.peer_options import LONGEST_SECONDS


def count(explanation: str, *, least: int = 1, most: int | None = None) -> Any:
    """An option that is a whole number from `least` to `most`; without `most` however large."""
    return _number(int, explanation, "NUMBER", "a whole number", least, most)


def seconds(explanation: str, *, least: float = 0.001, most: float = LONGEST_SECONDS) -> Any:
    """An option that is a time in seconds, from `least` to `most`."""
    return _number(float, explanation, "SECONDS", "a number of seconds", least, most)


def _number(
    kind: type[int] | type[float], explanation: str, name: str, what: str, least: float, most: float | None
) -> Any:
    bounds = f"{least:,} or more" if most is None else f"{least:,} to {int(most):,}"

    def parse(given: str) -> int | float:
        try:
            number = kind(given)
        except ValueError:
            number = None
        # Written so that it is false for a number that is none.
        if number is None or not (number >= least and (most is None or number <= most)):
            raise typer.BadParameter(f"{given} is not allowed. Give {what}, {bounds}.")
        return number

    return typer.Option(help=explanation, parser=parse, metavar=f"{name} ({bounds})")
