"""The command `rescind conformance orders`: the scenarios of `explore`, driven against a scheduler that runs."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, TypeAlias

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from rescind_conformance.command_end import end_on_signals, fail
from rescind_conformance.command_line import known_failures, scheduler_opener
from rescind_conformance.console_report import print_report
from rescind_conformance.explorer.live import LiveResult, drivable
from rescind_conformance.explorer.live_driver import Work, driver
from rescind_conformance.explorer.processes import Crew
from rescind_conformance.explorer.scenario import Scenario
from rescind_conformance.explorer.scenarios import LARGE, SCENARIOS
from rescind_conformance.process import SubjectUnavailable
from rescind_conformance.report_files import write_report
from rescind_conformance.requirements import load_requirements
from rescind_conformance.runner import SuiteReport
from rescind_conformance.verdicts import CaseResult, RequirementVerdict, judge

_Drivers: TypeAlias = Crew[Work, tuple[str, int], LiveResult]


def orders_command(
    scenarios: Annotated[
        list[str] | None,
        typer.Argument(help="Which; see `rescind conformance explore --list`. Default: all.", show_default=False),
    ] = None,
    subject: Annotated[str | None, typer.Option(help="The scheduler: reference or opengris-scaler.")] = None,
    endpoint: Annotated[str | None, typer.Option(help="A scheduler that runs already, and is idle.")] = None,
    orders: Annotated[int, typer.Option(min=1, help="So many orders in all, or all that there are.")] = 2000,
    seed: Annotated[int, typer.Option(help="Which orders are drawn.")] = 1,
    shortest: Annotated[
        bool, typer.Option("--shortest", help="Instead of drawing: the shortest orders first, each of a length.")
    ] = False,
    jobs: Annotated[int, typer.Option(min=1, help="Processes that drive, each with a scheduler of its own.")] = 2,
    known_failing: Annotated[
        str | None, typer.Option(help="A file of known failures, or the name of one that is shipped.")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Write the report, and replay files, to this directory.")] = None,
    deadline: Annotated[
        float, typer.Option(min=0.1, max=3600, help="Seconds after which an echo is taken as missing.")
    ] = 10.0,
) -> None:
    """Drive a scheduler through the orders in which messages can reach it, one at a time, and judge each.

    Clients and workers do what a scenario lets them do, each in every order; a heartbeat after each message fences it,
    so that the order is what really happened. Orders are drawn at random and never twice, until all of a scenario have
    been driven or `--orders` in all. For each requirement that is broken first in some order, the shortest such order
    is shown, and with `--report` written as a replay file.

    Exit status: 0 nothing is broken (or only what is known), 1 something is, 2 could not run, or was
    interrupted (what was driven by then is told).

    Example: `rescind conformance orders --subject reference --orders 20000`
    """
    end_on_signals()
    opener = scheduler_opener(subject, endpoint)
    known = known_failures(known_failing)
    chosen = _chosen(scenarios or [])
    console = Console()
    began = time.monotonic()
    results = {one.name: LiveResult(one.name) for one in chosen}
    share = -(-orders // len(chosen))
    work = [Work(one, share, None if shortest else seed, deadline) for one in chosen]
    try:
        with opener() as opened:
            described = (opened.name, opened.version, opened.replay_options)
        crew: _Drivers = Crew(partial(driver, subject, endpoint), work, jobs if endpoint is None else 1)
        for result in _with_progress(crew, orders, console):
            results[result.scenario] = result
    except (SubjectUnavailable, ChildProcessError) as error:
        fail(str(error))
    console.print(_table(results))
    found = _shortest(results)
    seconds = time.monotonic() - began
    summary = SuiteReport("scheduler", *described, found, _verdicts(found), seconds, known, replays_files=True)
    if found:
        print_report(summary, console)
    _print_totals(results, found, console)
    if report is not None and found:
        write_report(report, [summary])
        console.print(f"The report: {report / 'report.html'}", highlight=False, soft_wrap=True)
    elif found:
        console.print("With --report DIR the replay files are written, too, to DIR.", highlight=False)
    if crew.interrupted:
        fail("interrupted: what is shown had been driven by then")
    raise typer.Exit(1 if summary.unexpected else 0)


def _chosen(names: Sequence[str]) -> list[Scenario]:
    known = {**SCENARIOS, **LARGE}
    for name in names:
        if name not in known:
            fail(f"unknown scenario {name!r}; there are: {', '.join(known)}")
        if drivable(known[name]) is None:
            fail(f"the scenario {name!r} needs what only a scheduler's operator can do: see `explore`")
    wanted = [known[name] for name in dict.fromkeys(names)] or list(SCENARIOS.values())
    return [driven for one in wanted if (driven := drivable(one)) is not None]


def _with_progress(crew: _Drivers, orders: int, console: Console) -> Iterator[LiveResult]:
    driven: dict[str, int] = {}
    with Progress(BarColumn(), TextColumn("{task.description}"), console=console, transient=True) as bars:
        bar = bars.add_task("starting", total=orders)

        def show(progress: tuple[str, int]) -> None:
            driven.update([progress])
            done = sum(driven.values())
            bars.update(bar, completed=done, description=f"{done:,} of {orders:,} orders")

        yield from crew.run(show)


def _shortest(results: Mapping[str, LiveResult]) -> list[CaseResult]:
    """Of each requirement that was broken, the shortest order of all scenarios."""
    best = LiveResult("")
    for result in results.values():
        for requirement, order in result.shortest.items():
            best.note(requirement, order)
    known = load_requirements()
    return [best.shortest[one] for one in sorted(best.shortest, key=lambda one: known[one].sort_key)]


def _verdicts(found: Sequence[CaseResult]) -> list[RequirementVerdict]:
    requirements = load_requirements()
    return [judge("scheduler", requirements[name], found) for result in found for name in result.departed]


def _table(results: Mapping[str, LiveResult]) -> Table:
    table = Table(header_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("Scenario", no_wrap=True)
    for heading in ("Orders", "Distinct", "Messages", "Broken"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("Complete", no_wrap=True)  # every order of up to so many messages, or every order
    for name, one in results.items():
        counts = [f"{number:,}" for number in (one.orders, len(one.inputs), one.messages, one.broken)]
        depth = "" if one.depth is None else f"to {one.depth} messages"
        table.add_row(name, *counts, "all orders" if one.closed else depth)
    return table


def _print_totals(results: Mapping[str, LiveResult], found: Sequence[CaseResult], console: Console) -> None:
    orders, distinct, broken, undecided = (
        sum(numbers)
        for numbers in zip(
            *((one.orders, len(one.inputs), one.broken, one.undecided) for one in results.values()), strict=True
        )
    )
    said = f"{orders:,} orders were driven, {distinct:,} of them different for the scheduler."
    if found:
        names = ", ".join(one.departures[0].requirement for one in found)
        said += f" In {broken:,} something is broken; what is broken first in one of them: {names}."
    else:
        said += " Nothing is broken in any of them."
    if undecided:
        said += f" {undecided:,} could not be judged to their end."
    console.print(said, highlight=False)
