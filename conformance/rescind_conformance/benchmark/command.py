"""The command `rescind benchmark`."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from rescind_conformance.benchmark.contestants import CONTESTANTS, Contestant, RunningContestant, open_contestant
from rescind_conformance.benchmark.driver import BenchmarkFailed
from rescind_conformance.benchmark.measures import Results
from rescind_conformance.benchmark.process_use import NotMeasurable
from rescind_conformance.benchmark.report import document, results_as_json, table, write_json
from rescind_conformance.benchmark.rounds import Plan, measure_round
from rescind_conformance.command_line import end_on_signals, fail
from rescind_conformance.process import SubjectUnavailable
from rescind_conformance.report_files import require_writable

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="""Measure what schedulers take for tasks and cancels, side by side.

Example: `rescind benchmark scheduler --quick`
""",
)

_QUICK_TASKS, _QUICK_ROUNDS, _QUICK_ROUND_TRIPS, _QUICK_SECONDS = 2000, 2, 200, 1.0
_TASKS, _ROUNDS = 10_000, 5
_WIDTH = 150
"""Columns that the table takes: a narrower terminal wraps it."""

Output = Annotated[
    Path | None,
    typer.Option(
        "--output", help="Write benchmark.json and a chart into this directory.", show_default=False, file_okay=False
    ),
]


@app.command()
def scheduler(
    subject: Annotated[
        list[str] | None,
        typer.Option(
            "--subject",
            help=f"{', '.join(CONTESTANTS)}; may be given again. Default: all. The first is compared to the others.",
            show_default=False,
        ),
    ] = None,
    endpoint: Annotated[
        str | None,
        typer.Option(
            help="Measure the scheduler that runs at this endpoint, too. It should be idle.", show_default=False
        ),
    ] = None,
    pid: Annotated[
        int | None, typer.Option(help="With --endpoint: its process, to know its CPU time.", show_default=False)
    ] = None,
    rounds: Annotated[int | None, typer.Option(min=1, help=f"Default: {_ROUNDS}.", show_default=False)] = None,
    tasks: Annotated[
        int | None,
        typer.Option(
            min=100, help=f"Run, and again cancelled, in each round. Default: {_TASKS:,}.", show_default=False
        ),
    ] = None,
    window: Annotated[int, typer.Option(min=1, help="Tasks, or cancels, on their way at once.")] = Plan.window,
    workers: Annotated[int, typer.Option(min=1, help="Workers that are played.")] = Plan.workers,
    rate: Annotated[float, typer.Option(min=1, help="Tasks a second where there is load.")] = Plan.rate,
    output: Output = None,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer rounds, tasks and round trips: half a minute.")] = False,
) -> None:
    """Drive schedulers with played clients and workers, by turns, and compare what they take.

    The subjects take turns within a round, each as a fresh process; a ratio is taken within each round, and what is
    shown is the median over the rounds with the least and the greatest. `forwarder` is the limit: a bare Python loop
    that reads kind and task id and forwards.

    Exit status: 0 measured; 1 a subject lost, repeated or falsified an answer; 2 could not run.

    Examples:

    `rescind benchmark scheduler`

    `rescind benchmark scheduler --subject reference --subject forwarder --rounds 3 --output figures`
    """
    plan = Plan(
        tasks=tasks or (_QUICK_TASKS if quick else _TASKS),
        window=window,
        workers=workers,
        rate=rate,
        round_trips=_QUICK_ROUND_TRIPS if quick else Plan.round_trips,
        round_trip_seconds=_QUICK_SECONDS if quick else Plan.round_trip_seconds,
    )
    rounds = rounds or (_QUICK_ROUNDS if quick else _ROUNDS)
    if pid is not None and endpoint is None:
        fail("--pid goes with --endpoint")
    _require_output(output)
    names = subject or ([] if endpoint is not None else list(CONTESTANTS))
    console = _console()
    results = Results()
    with _failures_told(), _contestants(names, endpoint, pid) as contestants, _folder() as folder:
        progress = Progress(rounds * len(contestants))
        for number in range(rounds):
            # By turns, and each second round the other way round: nobody is always the first.
            for contestant in contestants if number % 2 == 0 else contestants[::-1]:
                progress.begin(f"round {number + 1}, {contestant.name}")
                with contestant.serving() as running:
                    found = measure_round(running, folder, plan, progress.step)
                results.add(contestant.name, found)
        versions = {one.name: one.version for one in contestants}
    results.values = {one.name: results.values[one.name] for one in contestants}
    console.print(table(results))
    settings = {"rounds": rounds, **asdict(plan)}
    _write(output, document(_command(), settings, versions, {"scheduler": results_as_json(results)}), console)


class Progress:
    """Tells on standard error what is done, a line each."""

    def __init__(self, total: int) -> None:
        """`total`: how many things will begin."""
        self._total = total
        self._begun = 0
        self._what = ""

    def begin(self, what: str) -> None:
        """The next thing begins."""
        self._begun += 1
        self._what = what
        self.step("starts")

    def step(self, what: str) -> None:
        """The next step of it begins."""
        typer.echo(f"[{self._begun}/{self._total}] {self._what}: {what}", err=True)


@contextmanager
def _contestants(names: Sequence[str], endpoint: str | None, pid: int | None) -> Iterator[list[Contestant]]:
    """Those that take part; they end with the block."""
    with ExitStack() as stack:
        found: list[Contestant] = []
        for name in dict.fromkeys(names):
            found.append(open_contestant(name))
            stack.callback(found[-1].close)
        if endpoint is not None:
            found.append(RunningContestant(endpoint, pid))
        yield found


@contextmanager
def _failures_told() -> Iterator[None]:
    """What goes wrong is told in words, with the exit status that it has."""
    end_on_signals()
    try:
        yield
    except BenchmarkFailed as failed:
        typer.echo(f"rescind: {failed}", err=True)
        raise typer.Exit(1) from failed
    except (SubjectUnavailable, NotMeasurable) as error:
        fail(str(error))
    except KeyboardInterrupt:
        typer.echo("rescind: stopped; every process has ended", err=True)
        raise typer.Exit(130) from None


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="rescind-benchmark-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def _require_output(output: Path | None) -> None:
    if output is not None:
        try:
            require_writable(output)
        except OSError as error:
            fail(f"the figures cannot be written: {error}")


def _write(output: Path | None, content: dict[str, object], console: Console) -> None:
    if output is None:
        return
    try:
        write_json(output / "benchmark.json", content)
    except OSError as error:
        fail(f"the figures cannot be written: {error}")
    console.print(f"The figures: {output / 'benchmark.json'}", highlight=False, soft_wrap=True)


def _console() -> Console:
    console = Console()
    return console if console.width >= _WIDTH else Console(width=_WIDTH)


def _command() -> str:
    return " ".join(["rescind", *sys.argv[1:]])
