"""The command `rescind benchmark scheduler`."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Annotated

import typer

from rescind_conformance.benchmark.fairness import measure_fairness
from rescind_conformance.benchmark.measures import Results
from rescind_conformance.benchmark.report import part, results_as_json, table
from rescind_conformance.benchmark.rounds import Plan, measure_round
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

_TASKS, _ROUNDS = 10_000, 5


def scheduler_command(
    subject: Subjects = None,
    endpoint: Endpoint = None,
    pid: ProcessId = None,
    rounds: Annotated[int | None, typer.Option(min=1, help=f"Default: {_ROUNDS}.", show_default=False)] = None,
    tasks: Annotated[
        int | None,
        typer.Option(
            min=100, help=f"In each round run, and as many cancelled. Default: {_TASKS:,}.", show_default=False
        ),
    ] = None,
    window: Annotated[int, typer.Option(min=1, help="Tasks, or cancels, on their way at once.")] = Plan.window,
    workers: Annotated[int, typer.Option(min=1, max=1000, help="Workers that are played.")] = Plan.workers,
    rate: Annotated[float, typer.Option(min=1, max=1e6, help="Tasks a second where there is load.")] = Plan.rate,
    output: Output = None,
    quick: Quick = False,
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
    plan = Plan(tasks=tasks or _TASKS, window=window, workers=workers, rate=rate)
    if quick:
        plan = replace(plan, tasks=tasks or 2000, round_trips=200, round_trip_seconds=1.0, burst=5000)
    rounds = rounds or (2 if quick else _ROUNDS)
    names = chosen(subject, endpoint, pid)
    require_output(output)
    results = Results()
    with failures_told(), contestants(names, endpoint, pid) as taking_part, folder() as logs:
        progress = Progress(rounds * len(taking_part))
        for number in range(rounds):
            # By turns, and each second round the other way round: nobody is always the first.
            for one in taking_part if number % 2 == 0 else taking_part[::-1]:
                progress.begin(f"round {number + 1}, {one.name}")
                with one.serving() as running:
                    found = measure_round(running, logs, plan, progress.step)
                if one.holds_tasks:
                    with one.serving() as running:
                        found |= measure_fairness(running, logs, plan, progress.step)
                results.add(one.name, found)
        versions = {one.name: one.version for one in taking_part}
    results.order(versions)
    shown = console()
    shown.print(table(results))
    settings = {"rounds": rounds, **asdict(plan)}
    write(output, "scheduler", part(command_line(), settings, versions, results_as_json(results)), shown)
