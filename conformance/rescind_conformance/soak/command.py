"""The command `rescind soak`."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from rescind_conformance.benchmark.contestants import StartedContestant
from rescind_conformance.benchmark.process_use import NotMeasurable, resident_bytes
from rescind_conformance.case import Profile
from rescind_conformance.command_end import end_on_signals, fail
from rescind_conformance.process import SubjectUnavailable
from rescind_conformance.soak.flatness import judge_flatness
from rescind_conformance.soak.load import Load, Unanswered
from rescind_conformance.subjects import SchedulerSubject, StartedScheduler

_SILENCE_SECONDS = 30.0
_MEGABYTE = 1024 * 1024
_TIMEOUT = "5"
"""Seconds. A peer that leaves may not get to say so: what it had has to be given up within the warm-up."""
_READY = "listening on "


class _ShortOfPatience(SchedulerSubject):
    """The scheduler of this project, with short time-outs."""

    name = "reference"
    replay_options = "--subject reference"

    def launch(self, profile: Profile, directory: Path, log: Path) -> StartedScheduler:
        command = [
            *(sys.executable, "-m", "rescind", "scheduler", "--endpoint", "tcp://127.0.0.1:0"),
            *("--run-directory", str(directory), "--worker-timeout", _TIMEOUT, "--client-timeout", _TIMEOUT),
        ]
        return StartedScheduler(command, log, {"PYTHONUNBUFFERED": "1"}, _READY, _READY)


def soak_command(
    minutes: Annotated[float, typer.Option("--minutes", min=0.05, max=100_000, help="How long.")] = 60.0,
    sample: Annotated[
        float, typer.Option("--sample", min=0.05, max=3600, help="Seconds between two looks at memory.")
    ] = 5.0,
    seed: Annotated[int, typer.Option("--seed", help="What the peers do is drawn from this number.")] = 1,
    output: Annotated[
        Path | None, typer.Option("--output", help="Write the samples to this file, as JSON.", show_default=False)
    ] = None,
) -> None:
    """Keep a scheduler of this package as busy as it can be, and see whether its memory stays flat.

    Four clients keep 500 tasks each, three workers answer at once; a third of the tasks is cancelled, some are in
    graphs, some frames are garbage, and each peer leaves after 20,000 messages, in the middle of everything, and
    another comes. The first fifth of the time is the warm-up. Flat is: the median of the last fifth is no more than 5 %
    or 4 MB above that of the second.

    Exit status: 0 flat; 1 it grew, or tasks were not answered; 2 could not run, or was stopped.

    Examples:

    `rescind soak --minutes 60`

    `rescind soak --minutes 1 --sample 1 --output memory.json`
    """
    end_on_signals()
    samples: list[int] = []
    try:
        contestant = StartedContestant(_ShortOfPatience())
        try:
            with contestant.serving() as running, Load(running.endpoint, seed) as load:
                assert running.pid is not None
                began = time.monotonic()
                _run(load, running.pid, minutes * 60, sample, samples)
                seconds = time.monotonic() - began
        finally:
            contestant.close()
        found = judge_flatness(samples)
    except (SubjectUnavailable, NotMeasurable, ValueError) as error:
        fail(str(error))
    except Unanswered as error:
        typer.echo(f"not answered: {error}")
        raise typer.Exit(1) from error
    except KeyboardInterrupt:
        fail(f"stopped after {len(samples)} samples")
    if output is not None:
        settings = {"minutes": minutes, "sample": sample, "seed": seed}
        output.write_text(json.dumps({"settings": settings, "counts": load.counts, "resident": samples}, indent=1))
    counts = ", ".join(f"{count:,} {what}" for what, count in sorted(load.counts.items()))
    typer.echo(f"{seconds / 60:.1f} minutes: {counts}; {load.counts['settled'] / seconds:,.0f} settled a second")
    typer.echo(
        f"memory: {found.warm / _MEGABYTE:.1f} MB when warm, {found.last / _MEGABYTE:.1f} MB at the end, "
        f"{found.most / _MEGABYTE:.1f} MB at most: {'flat' if found.is_flat else 'it grew'}"
    )
    raise typer.Exit(0 if found.is_flat else 1)


def _run(load: Load, pid: int, seconds: float, sample: float, samples: list[int]) -> None:
    end = time.monotonic() + seconds
    due = time.monotonic()
    while (now := time.monotonic()) < end:
        load.turn(_SILENCE_SECONDS)
        if now >= due:
            samples.append(resident_bytes(pid))
            due += sample
