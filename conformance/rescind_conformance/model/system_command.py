"""The command `rescind conformance behaviours`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from rescind_conformance.command_end import end_on_signals, fail
from rescind_conformance.explorer.cast import Cast
from rescind_conformance.model.configurations import ModelUnusable, model_directory
from rescind_conformance.model.coverage import ACTIONS, NEVER, Row, actions_of, row_name, rows_of_tables
from rescind_conformance.model.system_rows import paths_to_rows
from rescind_conformance.model.system_runs import Run, RunMaker, unfit
from rescind_conformance.model.system_scenarios import DRAWN, ROWS_FROM
from rescind_conformance.model.system_validation import Validation, validate_runs
from rescind_conformance.model.tlc import CannotCheck, find_jar, find_java

RUNS = 12
"""Of each scenario, unless told otherwise."""
SEARCHED_STATES = 30_000
"""So many states of a scenario are looked at for rows that have not been taken."""
_WIDTH = 110
_SHOWN = 5
"""So many runs that were rejected are shown in full."""


def behaviours_command(
    names: Annotated[
        list[str] | None, typer.Argument(help="Scenarios, as in `explore --list`. Default: all.", show_default=False)
    ] = None,
    runs: Annotated[int, typer.Option("--runs", min=1, help="How many runs of each scenario are drawn.")] = RUNS,
    first_seed: Annotated[int, typer.Option("--seed", min=0, help="The seed of the first of them.")] = 0,
) -> None:
    """Check that runs of the whole system are behaviours of the formal model, with TLC.

    The explorer's system is the reference's machines: clients, scheduler and workers with their queues. Runs of it are
    drawn at random, each to its end, and led to each row of the state tables. Each of their steps (what was taken from
    which queue, what was sent to whom, in what state every task is then) must be a step of protocol/model's
    Cancellation.tla; for a run that is none, the first such step is shown. The same seeds give the same runs. Without
    names, each action of the model and each row of its tables must be taken.

    Exit status: 0 all are behaviours of the model; 1 one is not, or something is never taken; 2 could not run.

    Examples:

    `rescind conformance behaviours`

    `rescind conformance behaviours closing late-worker --runs 500 --seed 1000`
    """
    end_on_signals()
    console = Console()
    if not console.is_terminal:
        console = Console(width=max(console.width, _WIDTH))
    for name in names or []:
        if name not in DRAWN:
            fail(f"unknown scenario {name!r}; there are: {', '.join(DRAWN)}")
    chosen = {name: DRAWN[name] for name in dict.fromkeys(names or DRAWN)}
    left_out = {name: why for name, scenario in chosen.items() if (why := unfit(scenario)) is not None}
    drawn: list[Run] = []
    try:
        directory = model_directory()
        find_java()  # what is missing is told before anything is drawn
        find_jar()
        makers = [RunMaker(scenario) for name, scenario in chosen.items() if name not in left_out]
        with Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), console=console, transient=True
        ) as progress:
            bar = progress.add_task("drawing runs", total=len(makers) * runs)
            for run in draw_runs(makers, runs, first_seed):
                drawn.append(run)
                progress.advance(bar)
            if not names:
                drawn += runs_to_rows()
            steps = sum(len(run.model_steps) for run in drawn)
            bar = progress.add_task("steps explained", total=steps)
            validation = validate_runs(
                directory, drawn, lambda name, states, depth: progress.update(bar, completed=min(states, steps))
            )
        missing = set() if names else rows_of_tables(directory) - validation.rows - NEVER
    except (ModelUnusable, CannotCheck, OSError) as error:
        fail(str(error))
    except KeyboardInterrupt:
        fail(f"stopped after {len(drawn)} runs were drawn")
    raise typer.Exit(_report(validation, left_out, missing, console, whole=not names))


def draw_runs(makers: list[RunMaker], count: int, first_seed: int) -> Iterator[Run]:
    """So many runs of each."""
    for maker in makers:
        for seed in range(first_seed, first_seed + count):
            yield maker.draw(seed)


def runs_to_rows(cast: Cast | None = None) -> Iterator[Run]:
    """Runs that are led to each row of the state tables that can be taken; the steps are taken by `cast`."""
    known: set[Row] = set()
    for scenario in ROWS_FROM:
        maker = RunMaker(scenario, cast)
        for number, path in enumerate(paths_to_rows(scenario, known, SEARCHED_STATES)):
            yield maker.draw(number, path.steps, row_name(path.row))


def _report(
    validation: Validation, left_out: dict[str, str], missing: set[Row], console: Console, *, whole: bool
) -> int:
    def say(text: str, style: str = "") -> None:
        console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)

    for each in validation.rejected[:_SHOWN]:
        for number, line in enumerate(each.lines()):
            say(line, "bold red" if number == 0 else "")
    if len(validation.rejected) > _SHOWN:
        say(f"and {len(validation.rejected) - _SHOWN} more runs that are no behaviours of the model", "bold red")
    taken = actions_of(validation.accepted)
    console.print(_table(taken))
    for name, why in left_out.items():
        say(f"not drawn from {name}: {why}")
    never = [name for name in ACTIONS if whole and not taken[name]] + sorted(map(row_name, missing))
    for name in never:
        say(f"never taken: {name}", "bold red")
    rows = sum(row[0] != "fault" for row in validation.rows)
    say(f"{rows} rows of the tables taken")
    say(
        f"{len(validation.accepted)} of {len(validation.runs)} runs are behaviours of the model;"
        f" {sum(taken.values()):,} steps; {validation.seconds:.1f} s"
    )
    return 1 if never or validation.rejected else 0


def _table(taken: Counter[str]) -> Table:
    table = Table(
        title="The actions of the model that the runs take",
        title_justify="left",
        header_style="bold",
        box=None,
        padding=(0, 2, 0, 0),
        pad_edge=False,
    )
    for _ in range(2):
        table.add_column("Action", no_wrap=True)
        table.add_column("Taken", justify="right", no_wrap=True)
    names = [*ACTIONS, *sorted(taken.keys() - set(ACTIONS))]
    half = (len(names) + 1) // 2
    for left, right in zip(names[:half], [*names[half:], ""][:half], strict=True):
        cells = [cell for name in (left, right) for cell in (name, f"{taken[name]:,}" if name else "")]
        table.add_row(*cells)
    return table
