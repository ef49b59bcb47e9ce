"""The command `rescind faults`."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from rescind_conformance.command_end import end_on_first_signal, fail, quietly
from rescind_conformance.faults.plan import KINDS, draw_plan
from rescind_conformance.faults.run import NO_DISK, Done, Run, Wanted
from rescind_conformance.process import SubjectUnavailable

_PROGRESS_SECONDS: Final = 5.0
_FAULTS: Final = 200


def faults_command(
    seed: Annotated[int, typer.Option(help="What happens is drawn from this number.")] = 1,
    faults: Annotated[
        int | None,
        typer.Option(min=1, help=f"End after so many faults that took effect. Default: {_FAULTS}.", show_default=False),
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0.01, max=100_000, help="End after so long instead.", show_default=False)
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Systems that are played at once.")] = 2,
    kinds: Annotated[
        list[str] | None,
        typer.Option("--kind", help="Only faults of this kind. May be given again.", show_default=False),
    ] = None,
    per_episode: Annotated[int, typer.Option(min=1, help="Faults that are drawn for one system.")] = 20,
    episode: Annotated[int | None, typer.Option(min=0, help="Play this one only, again.", show_default=False)] = None,
    output: Annotated[
        Path, typer.Option(help="Where the traces go in which something was found.", file_okay=False)
    ] = Path("faults-found"),
    show_list: Annotated[bool, typer.Option("--list", help="List the kinds, and play nothing.")] = False,
) -> None:
    """Kill, stop and cut off real clients, schedulers and workers in the middle of cancel rounds.

    In each *episode* a scheduler, one or two workers and one to three clients are started, and tasks are submitted and
    cancelled. Faults strike as certain messages pass: "as a worker answers a cancel", say. When they are over,
    every future must be settled, every `cancel()` have returned, and what clients were told be true of what
    the tasks themselves wrote; every place at the workers must be free; no process, object or file may be left. The
    judge reads the trace of each life of the scheduler.

    The same seed draws the same faults; what they meet is up to the machine. What is counted is what took effect.

    Exit status: 0 nothing was found; 1 something was; 2 could not run, or was stopped.

    Examples:

    `rescind faults --faults 10000 --jobs 3`

    `rescind faults --seed 7 --minutes 5 --kind kill-worker --kind cut`

    `rescind faults --seed 7 --episode 12`
    """
    if show_list:
        with quietly(0):
            for kind in KINDS:
                typer.echo(f"{kind.name:16} {kind.text}")
        return
    unknown = set(kinds or ()) - {kind.name for kind in KINDS}
    if unknown:
        fail(f"there is no kind {sorted(unknown)[0]!r}: see `rescind faults --list`")
    if sys.platform != "linux":
        fail("this needs Linux: it finds processes that are left by its means")
    if faults is not None and minutes is not None:
        fail("give --faults or --minutes")
    if episode is not None and (faults is not None or minutes is not None):
        fail("give --episode alone, without --faults and --minutes: it plays that one")
    if (unusable := _not_a_directory(output)) is not None:
        fail(f"nothing can be kept in {output}: {unusable} is no directory to write to. Choose another --output")
    if episode is not None:
        jobs = 1
        for each in draw_plan(seed, episode, per_episode, kinds or ()).faults:
            typer.echo(str(each))
    wanted = Wanted(
        seed,
        None if minutes is not None else faults or _FAULTS,
        None if minutes is None else minutes * 60,
        episode,
        per_episode,
        jobs,
        kinds or (),
        output,
    )
    end_on_first_signal()
    progress = _Progress(wanted)
    run = Run(wanted, progress.on_episode)
    try:
        done = run.play()
    except SubjectUnavailable as unavailable:
        fail(str(unavailable))
    except KeyboardInterrupt:
        fail(f"stopped after {run.done.faults:,} faults; every process has ended")
    status = 1 if done.found else 0
    with quietly(status):
        _tell(done, wanted)
    raise typer.Exit(status)


def _not_a_directory(output: Path) -> Path | None:
    """What keeps the folder from being made, which is made only when there is something for it."""
    there = next(each for each in (output.absolute(), *output.absolute().parents) if each.exists())
    return None if there.is_dir() and os.access(there, os.W_OK | os.X_OK) else there


def _tell(done: Done, wanted: Wanted) -> None:
    for kind in KINDS:
        if done.kinds[kind.name]:
            typer.echo(f"{done.kinds[kind.name]:7,}  {kind.name:16} {kind.text}")
    typer.echo("; ".join(f"{count:,} {name}" for name, count in sorted(done.counts.items())))
    if not done.has_disk:
        typer.echo(f"The disk was never full: {NO_DISK}.")
    typer.echo(
        f"{done.faults:,} faults took effect, {done.in_time:,} of them at their very moment, in {done.episodes:,} "
        f"episodes and {done.seconds / 60:.1f} minutes (seed {wanted.seed}): "
        f"{f'something was found in {len(done.found)} episodes' if done.found else 'nothing was lost'}"
    )


class _Progress:
    """What is found, at once; and from time to time how far it is, on standard error."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._due = time.monotonic() + _PROGRESS_SECONDS
        self._told = 0

    def on_episode(self, done: Done) -> None:
        """An episode is over."""
        for number, lines in done.found[self._told :]:
            with quietly(1):
                self._tell(number, lines)
        self._told = len(done.found)
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + _PROGRESS_SECONDS
            of = f" of {self._wanted.faults:,}" if self._wanted.faults else ""
            text = f"{done.faults:,}{of} faults, {done.episodes:,} episodes, {len(done.found)} with findings"
            typer.echo(f"{text}, {done.seconds:.0f} s", err=True)

    def _tell(self, number: int, lines: Sequence[str]) -> None:
        for line in lines:
            typer.echo(line)
        kinds = "".join(f" --kind {kind}" for kind in self._wanted.kinds)
        typer.echo(
            f"  again: rescind faults --seed {self._wanted.seed} --episode {number}"
            f" --per-episode {self._wanted.per_episode}{kinds}"
        )
