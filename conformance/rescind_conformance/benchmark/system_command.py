"""The command `rescind benchmark system`."""

from __future__ import annotations

import tempfile
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
from rescind_conformance.benchmark.systems import SLOTS, SYSTEMS, measure_system, require
from rescind_conformance.subjects import version_of

_ROUNDS, _TASKS, _RUNNING = 3, 2000, 5
_DISTRIBUTIONS = {"reference": "rescind", "opengris-scaler": "opengris-scaler", "dask": "distributed"}
MEASURES = (
    Measure("many_seconds", "run all", "s", 2),
    Measure("many_scheduler_cpu", "  scheduler CPU a task", "µs", 0),
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
    output: Output = None,
    quick: Quick = False,
) -> None:
    """Do the same job with real clients, workers and functions: this project's, Scaler's and Dask's.

    Two worker processes each, and a client that calls `submit`, `result` (Dask: `gather`) and `cancel` of one future
    after the other.
    *run all*: many functions that do nothing. *cancel half*: while both slots are taken, as many are submitted, and
    every other one is cancelled, newest first; *and run the rest* is the time until the last result of the others.
    Dask's `cancel` does not wait for an answer, and cannot end a task that runs.

    Exit status: as of `rescind benchmark scheduler`.

    Example: `rescind benchmark system --rounds 1`
    """
    names = list(dict.fromkeys(system or SYSTEMS))
    rounds, tasks = rounds or (1 if quick else _ROUNDS), tasks or (200 if quick else _TASKS)
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
                    results.add(name, measure_system(name, Path(place), tasks, 3 if quick else _RUNNING, progress.step))
    results.order(names)
    shown = console()
    shown.print(table(results, MEASURES, title=f"{tasks:,} tasks, {SLOTS} worker processes"))
    settings = {"rounds": rounds, "tasks": tasks, "worker_processes": SLOTS}
    versions = {name: version_of(_DISTRIBUTIONS[name]) for name in names}
    write(output, "system", part(command_line(), settings, versions, results_as_json(results, MEASURES)), shown)
