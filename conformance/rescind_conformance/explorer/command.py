"""The command `rescind conformance explore`."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress as Bars
from rich.progress import SpinnerColumn, TaskID, TextColumn
from rich.table import Table

from rescind_conformance.command_end import COULD_NOT_RUN, end_on_signals, fail
from rescind_conformance.explorer.counterexample import Counterexample
from rescind_conformance.explorer.exploration import Explored, Manner, explore_all
from rescind_conformance.explorer.scenario import Scenario
from rescind_conformance.explorer.scenarios import LARGE, OPEN, SCENARIOS
from rescind_conformance.explorer.walk import Limits, Progress, WalkResult


def explore_command(
    scenarios: Annotated[
        list[str] | None, typer.Argument(help="Which; see --list. Default: all that take seconds.", show_default=False)
    ] = None,
    list_them: Annotated[
        bool, typer.Option("--list", help="List the scenarios, and what crosses what in each.")
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Scenarios walked at once. Default: one a processor.", show_default=False),
    ] = None,
    reduction: Annotated[
        bool, typer.Option("--reduction/--no-reduction", help="Of equivalent orders, walk only some.")
    ] = True,
    depth: Annotated[
        int | None, typer.Option(min=1, help="Go no deeper than so many steps.", show_default=False)
    ] = None,
    max_states: Annotated[
        int | None, typer.Option(min=1, help="Look at no more states than so many in a scenario.", show_default=False)
    ] = None,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Show the shortest order for each requirement that is broken.")
    ] = False,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report",
            help="Write a replay file and diagrams of each order that is shown to DIR/replays.",
            metavar="DIR",
            show_default=False,
            file_okay=False,
        ),
    ] = None,
) -> None:
    """Walk every order in which messages can cross, over the reference's machines, and judge each.

    A scenario says what clients, workers and the scheduler may do; each order of it is walked to its end, all of it
    judged by SPEC.md's rules for each party. At each end every future must be settled, every cancel() answered, every
    place at a worker and every stored result given back. Of a violation the shortest order is shown, as messages.

    Exit status: 0 every order was walked and nothing is wrong; 1 a requirement is broken; 2 could not run, or did not
    come to an end before a limit or Ctrl-C.

    Examples:

    `rescind conformance explore`

    `rescind conformance explore three-callers --no-reduction`

    `rescind conformance explore reused-id --report out`
    """
    end_on_signals()
    console = Console()
    if list_them:
        console.print(_table_of_scenarios())
        return
    chosen = _chosen(scenarios or [])
    manner = Manner(reduction, Limits(max_states, depth), keep_going)
    explored: list[Explored] = []
    try:
        _explore(chosen, manner, workers or os.cpu_count() or 1, console, explored)
    except ChildProcessError as error:
        fail(str(error))
    finally:
        if explored:
            _print(explored, len(chosen), reduction, console)
            _write(report, explored, console)
    raise typer.Exit(_exit_status(explored, len(chosen)))


def _chosen(names: list[str]) -> list[Scenario]:
    known = SCENARIOS | LARGE | OPEN
    for name in names:
        if name not in known:
            fail(f"unknown scenario {name!r}; there are: {', '.join(known)}")
    return [known[name] for name in dict.fromkeys(names)] or list(SCENARIOS.values())


def _explore(
    scenarios: list[Scenario], manner: Manner, workers: int, console: Console, explored: list[Explored]
) -> None:
    if not console.is_terminal:
        explored.extend(explore_all(scenarios, manner, workers, lambda name, progress: None))
        return
    with Bars(SpinnerColumn(), TextColumn("{task.description}"), console=console, transient=True) as bars:
        live = _Live(bars, len(scenarios))
        for each in explore_all(scenarios, manner, workers, live.show):
            explored.append(each)
            live.done(each.result)


class _Live:
    """A line for each scenario that is under way, and one for all."""

    def __init__(self, bars: Bars, count: int) -> None:
        self._bars = bars
        self._lines: dict[str, TaskID] = {}
        self._count = count
        self._done = 0
        self._all = bars.add_task(f"0 of {count} scenarios", total=None)

    def show(self, name: str, progress: Progress) -> None:
        """How far a scenario is."""
        if name not in self._lines:
            self._lines[name] = self._bars.add_task(name, total=None)
        rate = progress.transitions / progress.seconds if progress.seconds else 0
        counts = f"{progress.states:,} states, {progress.depth} deep, {rate:,.0f} transitions/s"
        self._bars.update(self._lines[name], description=f"{name}: {counts}")

    def done(self, result: WalkResult) -> None:
        """A scenario has been walked."""
        if result.scenario in self._lines:
            self._bars.remove_task(self._lines.pop(result.scenario))
        self._done += 1
        self._bars.update(self._all, description=f"{self._done} of {self._count} scenarios")
        if result.found:
            first = result.found[0].violation
            self._bars.console.print(f"[red]{first.requirement}[/] {result.scenario}", highlight=False)


def _print(explored: list[Explored], asked: int, reduction: bool, console: Console) -> None:
    for one in explored:
        for each in one.counterexamples:
            _print_counterexample(one.result, each, console)
    explored = sorted(explored, key=lambda each: each.result.scenario)
    console.print(_table_of_results(explored, reduction))
    for one in explored:
        if one.result.found:
            broken = dict.fromkeys(found.violation.requirement for found in one.result.found)
            console.print(f"{one.result.scenario}: broken: {', '.join(broken)}", style="red", highlight=False)
        elif not one.result.closed:
            why = f"{one.result.scenario}: ended before it was closed: {one.result.why_not}"
            console.print(why, style="yellow", highlight=False)
    transitions = sum(one.result.progress.transitions for one in explored)
    states = sum(one.result.progress.states for one in explored)
    closed = sum(one.result.closed for one in explored)
    console.print(
        f"{closed} of {asked} scenarios closed; {states:,} states, {transitions:,} transitions; judged by "
        "SPEC.md's rules for scheduler, client and worker",
        highlight=False,
    )


def _write(report: Path | None, explored: list[Explored], console: Console) -> None:
    shown = [each for one in explored for each in one.counterexamples]
    if report is None or not shown:
        return
    from rescind_conformance.explorer.order_file import write_orders  # takes longer to import than a scenario to walk

    try:
        paths = write_orders(report, shown)
    except OSError as error:
        fail(f"the replay files cannot be written: {error}")
    for path in paths:
        console.print(f"To see it again: rescind conformance replay {path}", highlight=False, soft_wrap=True)


def _print_counterexample(result: WalkResult, shown: Counterexample, console: Console) -> None:
    def say(text: str, style: str = "") -> None:
        console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)

    say(f"{shown.violation.requirement} is broken: {shown.violation.text}", "bold red")
    length = f"{'the shortest order' if shown.is_shortest else 'an order'}, {len(shown.steps)} steps"
    when = ", and then nothing more happens" if shown.at_rest else ""
    say(f"{result.scenario}, after the first heartbeats; {length}{when}:", "bold")
    for line in shown.lines():
        say(f"  {line}")
    say("")


def _table_of_results(explored: Iterable[Explored], reduction: bool) -> Table:
    title = "Every order, " + ("of equivalent ones only some" if reduction else "without reduction")
    table = Table(
        title=title, title_justify="left", header_style="bold", box=None, padding=(0, 1, 0, 0), pad_edge=False
    )
    table.add_column("Scenario", no_wrap=True)
    for heading in ("States", "Steps", "Depth", "Ends", "Seconds", "States/s"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for one in explored:
        result, progress = one.result, one.result.progress
        verdict = "[green]closed[/]" if result.closed else "[yellow]ended[/]"
        counts = [f"{number:,}" for number in (progress.states, progress.transitions, progress.depth, progress.ends)]
        rate = progress.states / progress.seconds if progress.seconds else 0
        verdict = "[red]broken[/]" if result.found else verdict
        table.add_row(result.scenario, *counts, f"{progress.seconds:.1f}", f"{rate:,.0f}", verdict)
    return table


def _table_of_scenarios() -> Table:
    table = Table(title="Scenarios", title_justify="left", header_style="bold")
    for heading in ("Scenario", "What crosses"):
        table.add_column(heading, overflow="fold")
    notes = dict.fromkeys(LARGE, "large") | dict.fromkeys(OPEN, "shows what SPEC.md leaves open")
    for name, scenario in (SCENARIOS | LARGE | OPEN).items():
        note = f" [dim]({notes[name]}: only when named)[/]" if name in notes else ""
        table.add_row(name, scenario.story + note)
    return table


def _exit_status(explored: list[Explored], expected: int) -> int:
    if any(one.result.found for one in explored):
        return 1
    return 0 if len(explored) == expected and all(one.result.closed for one in explored) else COULD_NOT_RUN
