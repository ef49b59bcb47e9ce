"""What the parts of the benchmark share: who takes part, progress, failures, and where figures go."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from rescind_conformance.benchmark.chart import NO_CHART, draw
from rescind_conformance.benchmark.contestants import (
    CONTESTANTS,
    ON_REQUEST,
    Contestant,
    RunningContestant,
    open_contestant,
)
from rescind_conformance.benchmark.driver import BenchmarkFailed
from rescind_conformance.benchmark.figures import FILE as FIGURES
from rescind_conformance.benchmark.figures import markdown
from rescind_conformance.benchmark.process_use import NotMeasurable
from rescind_conformance.benchmark.report import FILE, write_part
from rescind_conformance.command_end import end_on_signals, fail
from rescind_conformance.process import SubjectUnavailable
from rescind_conformance.report_files import require_writable

_WIDTH = 160
"""Columns that a table takes: a narrower terminal wraps it."""

Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        help="A directory for benchmark.json, .md and .svg. What is there of the other parts stays.",
        show_default=False,
        file_okay=False,
    ),
]
Subjects = Annotated[
    list[str] | None,
    typer.Option(
        "--subject",
        help=f"{', '.join(CONTESTANTS)}, {', '.join(ON_REQUEST)}; may be given again. Default: all but the last. "
        "The first is compared to the others.",
        show_default=False,
    ),
]
Endpoint = Annotated[
    str | None,
    typer.Option(
        "--endpoint", help="Measure the scheduler that runs here, too. It should be idle.", show_default=False
    ),
]
ProcessId = Annotated[
    int | None,
    typer.Option("--pid", help="With --endpoint: its process, to know its CPU time.", show_default=False),
]
Quick = Annotated[bool, typer.Option("--quick", help="A small run, to see whether all works: the figures are rough.")]


def chosen(subject: Sequence[str] | None, endpoint: str | None, pid: int | None) -> list[str]:
    """The names of those that take part beside the endpoint. Ends the command if the options do not fit."""
    if pid is not None and endpoint is None:
        fail("--pid goes with --endpoint")
    return list(subject or ([] if endpoint is not None else CONTESTANTS))


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
def contestants(names: Sequence[str], endpoint: str | None, pid: int | None) -> Iterator[list[Contestant]]:
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
def failures_told() -> Iterator[None]:
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
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="rescind-benchmark-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def require_output(output: Path | None) -> None:
    if output is not None:
        try:
            require_writable(output)
        except OSError as error:
            fail(f"the figures cannot be written: {error}")


def write(output: Path | None, name: str, part: Mapping[str, Any], shown: Console) -> None:
    """Put a part's figures, and a chart of all parts that are there, into the directory, if one is given."""
    if output is None:
        return
    try:
        content = write_part(output / FILE, name, part)
        (output / FIGURES).write_text(markdown(content), encoding="utf-8")
    except OSError as error:
        fail(f"the figures cannot be written: {error}")
    except ValueError as error:
        fail(f"{output / FILE} is no file of this command's: {error}. Choose another directory")
    shown.print(f"The figures: {output / FILE}, {output / FIGURES}", highlight=False, soft_wrap=True)
    chart = draw(content, output)
    shown.print(f"The chart: {chart}" if chart else NO_CHART, highlight=False, soft_wrap=True)


def console() -> Console:
    console = Console()
    return console if console.width >= _WIDTH else Console(width=_WIDTH)


def command_line() -> str:
    return " ".join(["rescind", *sys.argv[1:]])
