"""The command `rescind benchmark held`."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.table import Column, Table

from rescind_conformance.benchmark.contestants import Contestant
from rescind_conformance.benchmark.held import LARGE, SIZES, Held, Where, expected_seconds, growth, measure_held
from rescind_conformance.benchmark.report import part
from rescind_conformance.benchmark.session import (
    Endpoint,
    Output,
    ProcessId,
    Progress,
    Quick,
    Subjects,
    chosen,
    command_line,
    console,
    contestants,
    failures_told,
    folder,
    require_output,
    write,
)

_SMALL = 10_000
"""Up to this size a measurement is repeated, since it is short and so more easily disturbed."""
_REPEATS = 3
_BUDGET, _LARGE_BUDGET = 60.0, 600.0


def held_command(
    subject: Subjects = None,
    endpoint: Endpoint = None,
    pid: ProcessId = None,
    large: Annotated[
        bool,
        typer.Option("--large", help="A million tasks, too. Takes 2 GB of memory and, with all subjects, 15 minutes."),
    ] = False,
    budget: Annotated[
        float | None,
        typer.Option(
            min=1,
            max=100_000,
            help=f"Seconds; a size that is expected to take a subject longer is left out. Default: {_BUDGET}, "
            f"with --large {_LARGE_BUDGET}.",
            show_default=False,
        ),
    ] = None,
    output: Output = None,
    quick: Quick = False,
) -> None:
    """Let schedulers hold 1,000 to 100,000 tasks: the memory of each, and the cost of a cancel as they become more.

    Once *waiting*, without a worker, and once *dispatched* to one. All are then cancelled, newest first: the worst
    order for a scheduler that searches its queue. The slope is that of log CPU time for all cancels over log number of
    tasks: 1 is a cancel that costs the same however many there are, 2 one that costs in proportion to them.

    Exit status: as of `rescind benchmark scheduler`.

    Examples:

    `rescind benchmark held`

    `rescind benchmark held --subject reference --large`
    """
    sizes = [*(SIZES[:2] if quick else SIZES), *([LARGE] if large else [])]
    budget = budget or (_LARGE_BUDGET if large else _BUDGET)
    names = chosen(subject, endpoint, pid)
    require_output(output)
    found: list[Held] = []
    with failures_told(), contestants(names, endpoint, pid) as taking_part, folder() as logs:
        series = [(where, size, one) for where in Where for size in sizes for one in taking_part if _can(one, where)]
        progress = Progress(len(series))
        for where, size, one in series:
            progress.begin(one.name)
            seconds = expected_seconds(_of(found, one.name, where), size)
            if seconds > budget and size > sizes[0]:
                progress.step(
                    f"{size:,} tasks, {where}, are left out: {seconds:,.0f} s expected, --budget is {budget:g}"
                )
                continue
            for _ in range(1 if quick or size > _SMALL else _REPEATS):
                with one.serving() as running:
                    found.append(measure_held(one.name, running, logs, size, where, progress.step))
        versions = {one.name: one.version for one in taking_part}
    shown = console()
    shown.print(_table(found, sizes))
    settings = {"sizes": sizes, "budget": budget}
    write(output, "held", part(command_line(), settings, versions, _as_json(found)), shown)


def _can(one: Contestant, where: Where) -> bool:
    return one.holds_tasks or where is Where.DISPATCHED


def _of(found: Sequence[Held], name: str, where: Where) -> list[Held]:
    return [one for one in found if one.subject == name and one.where is where]


def _table(found: Sequence[Held], sizes: Sequence[int]) -> Table:
    """A row a state and size, a column a figure and subject; the slope below each group."""
    names = list(dict.fromkeys(one.subject for one in found))
    table = Table("tasks are", Column("number", justify="right"))
    for title in ("bytes a task", "µs a cancel"):
        for name in names:
            table.add_column(f"{title}\n{name}", justify="right")
    for where in Where:
        groups = [_of(found, name, where) for name in names]
        for size in sizes:
            cells = [_median(of, size, "own_bytes", 0) for of in groups]
            cells += [_median(of, size, "cancel_microseconds", 1) for of in groups]
            table.add_row(str(where), f"{size:,}", *cells)
        slopes = [growth(of) for of in groups]
        shown = ["-" if slope is None else f"{slope:.2f}" for slope in slopes]
        table.add_row("", "slope", *("" for _ in names), *shown, end_section=True)
    frames = {one.frame_bytes for one in found}
    table.caption = f"Resident bytes beyond the task's frame, which has {', '.join(map(str, sorted(frames)))}."
    return table


def _median(found: Sequence[Held], size: int, attribute: str, digits: int) -> str:
    values = [getattr(one, attribute) for one in found if one.tasks == size]
    return f"{statistics.median(values):,.{digits}f}" if values else "-"


def _as_json(found: Sequence[Held]) -> dict[str, Any]:
    groups = {(one.subject, one.where) for one in found}
    return {
        "measurements": [
            {**asdict(one), "own_bytes": one.own_bytes, "cancel_microseconds": one.cancel_microseconds} for one in found
        ],
        "slopes": [
            {"subject": name, "where": where, "slope": growth(_of(found, name, where))}
            for name, where in sorted(groups)
        ],
    }
