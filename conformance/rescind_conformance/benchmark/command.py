"""The command `rescind benchmark`."""

from __future__ import annotations

import typer

from rescind_conformance.benchmark.held_command import held_command
from rescind_conformance.benchmark.scheduler_command import scheduler_command
from rescind_conformance.benchmark.system_command import system_command

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="""Measure what schedulers, and whole systems, take for tasks and cancels, side by side.

How, and what limits it: conformance/BENCHMARK.md. Example: `rescind benchmark scheduler --quick`
""",
)
app.command(name="scheduler")(scheduler_command)
app.command(name="held")(held_command)
app.command(name="system")(system_command)
