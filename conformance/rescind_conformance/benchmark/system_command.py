"""The command `rescind benchmark system`."""

from __future__ import annotations

import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import typer

from rescind_conformance.benchmark.measures import Measure, Results
from rescind_conformance.benchmark.report import part, results_as_json, table
from rescind_conformance.benchmark.session import (
    Output,
    Progress,
    Quick,
    command_line,
    console,
    failures_told,
    require_output,
    write,
)
from rescind_conformance.benchmark.systems import SLOTS, SYSTEMS, Amounts, measure_system, require
from rescind_conformance.subjects import version_of

_ROUNDS, _TASKS = 3, 2000
_LONG, _SHORT = Amounts(_TASKS, 200, 5, 5000), Amounts(200, 20, 3, 500)
_DISTRIBUTIONS = {
    "reference": "rescind",
    "opengris-scaler": "opengris-scaler",
    "dask": "distributed",
}
MEASURES = (
    Measure("many_seconds", "run all", "s", 2),
    Measure("many_scheduler_cpu", "  scheduler CPU a task", "µs", 0),
    Measure("alone_milliseconds", "one task after the other, each", "ms", 2),
    Measure("chunk_calls", "map, 100 calls a task", "calls/s", 0, more_is_better=True),
    Measure("grown_bytes", "client's memory grows by, a finished task", "bytes", 1),
    Measure("queued_calls_seconds", "cancel half", "s", 2),
    Measure("queued_seconds", "  and run the rest", "s", 2),
    Measure("queued_ran", "  cancelled, and ran all the same", "", 0),
    Measure("running_milliseconds", "cancel one that runs", "ms", 1),
)


def system_command(
    system: Annotated[
        list[str] | None,
        typer.Option(
            "--system",
            help=f"{', '.join(SYSTEMS)}; may be given again. Default: all. The first is compared to the others.",
            show_default=False,
        ),
    ] = None,
    rounds: Annotated[int | None, typer.Option(min=1, help=f"Default: {_ROUNDS}.", show_default=False)] = None,
    tasks: Annotated[
        int | None, typer.Option(min=10, help=f"In each job. Default: {_TASKS:,}.", show_default=False)
    ] = None,
    finished: Annotated[
        int | None,
        typer.Option(min=100, help=f"To see whether memory grows. Default: {_LONG.steady:,}.", show_default=False),
    ] = None,
    output: Output = None,
    quick: Quick = False,
) -> None:
    """Do the same job with real clients, workers and functions: this project's, Scaler's, Dask's, and a process pool's.

    Two worker processes each, and a client that calls `submit`, `result` (Dask: `gather`) and `cancel` of one future
    after the other.
    *run all*: many functions that do nothing. *cancel half*: while both slots are taken, as many are submitted, and
    every other one is cancelled, newest first; *and run the rest* is the time until the last result of the others.
    Dask's `cancel` does not wait for an answer, and cannot end a task that runs. A `ProcessPoolExecutor` is the local
    limit: it has no scheduler, and hands tasks on that it cannot cancel then.

    Exit status: as of `rescind benchmark scheduler`.

    Example: `rescind benchmark system --rounds 1`
    """
    names = list(dict.fromkeys(system or SYSTEMS))
    rounds, amounts = rounds or (1 if quick else _ROUNDS), _SHORT if quick else _LONG
    amounts = replace(amounts, tasks=tasks or amounts.tasks, steady=finished or amounts.steady)
    require_output(output)
    results = Results()
    with failures_told():
        for name in names:
            require(name)
        progress = Progress(rounds * len(names))
        for number in range(rounds):
            for name in names if number % 2 == 0 else names[::-1]:
                progress.begin(f"round {number + 1}, {name}")
                with tempfile.TemporaryDirectory(prefix="rescind-", ignore_cleanup_errors=True) as place:
                    results.add(name, measure_system(name, Path(place), amounts, progress.step))
    results.order(names)
    shown = console()
    shown.print(table(results, MEASURES, title=f"{amounts.tasks:,} tasks, {SLOTS} worker processes"))
    settings = {"rounds": rounds, "worker_processes": SLOTS, **asdict(amounts)}
    versions = {name: version_of(_DISTRIBUTIONS[name]) for name in names if name in _DISTRIBUTIONS}
    write(output, "system", part(command_line(), settings, versions, results_as_json(results, MEASURES)), shown)
