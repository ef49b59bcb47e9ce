"""Options of every command that are fractions have an upper bound: what has no end (`inf`) is refused (status 2)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args, get_type_hints

import typer
from typer.models import OptionInfo

from rescind.cli import whole_app


def fractions(app: typer.Typer) -> Iterator[tuple[str, OptionInfo | None]]:
    """Each option that is a fraction, by its command's function and its name, and what Typer is told of it."""
    for group in app.registered_groups:
        assert group.typer_instance is not None
        yield from fractions(group.typer_instance)
    for command in app.registered_commands:
        assert command.callback is not None
        for name, hint in get_type_hints(command.callback, include_extras=True).items():
            kind, *told = get_args(hint) or (hint,)
            if kind is float or float in get_args(kind):
                yield (
                    f"{command.callback.__name__} {name}",
                    next((each for each in told if isinstance(each, OptionInfo)), None),
                )


def test_no_fraction_may_be_without_end() -> None:
    found = dict(fractions(whole_app()))
    assert {"scheduler worker_timeout", "soak_command minutes", "orders_command deadline"} <= set(found)
    endless = [name for name, told in found.items() if told is None or (told.max is None and told.parser is None)]
    assert endless == []
