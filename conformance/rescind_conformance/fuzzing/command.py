"""The command `rescind fuzz`."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from rescind_conformance.command_end import end_on_signals, fail
from rescind_conformance.fuzzing.corpus import load, minimised, save, seeds
from rescind_conformance.fuzzing.targets import TargetName, check_of

_LONGEST: Final = {TargetName.WIRE: 4096}
"""Bytes of an input. A machine's life reads a byte or a few for each event."""
_LONGEST_LIFE: Final = 192
_SECONDS_AN_INPUT: Final = 10
"""An input that takes longer is a finding."""
_MEGABYTES: Final = 1024
"""More memory than that is a finding: no input may leave anything behind."""
_RUNS: Final = re.compile(r"^stat::number_of_executed_units:\s*(\d+)", re.MULTILINE)


def fuzz_command(
    target: Annotated[
        TargetName, typer.Argument(help="The codec, or one of the machines.", show_default=False, case_sensitive=False)
    ],
    runs: Annotated[int, typer.Option("--runs", min=1, help="How many inputs are tried.")] = 100_000,
    seconds: Annotated[
        int | None, typer.Option("--seconds", min=1, help="End after so many, at the latest.", show_default=False)
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", min=1, help="Begin with this random number.", show_default=False)
    ] = None,
    corpus: Annotated[
        Path | None,
        typer.Option("--corpus", help="Keep what reaches something new in this folder.", show_default=False),
    ] = None,
    save_to: Annotated[
        Path | None,
        typer.Option("--save", help="Write the corpus, made small, to this file.", show_default=False),
    ] = None,
    replay: Annotated[
        Path | None,
        typer.Option(
            "--replay", help="Try the inputs in this file or folder instead, without Atheris.", show_default=False
        ),
    ] = None,
) -> None:
    """Look for bytes that the codec or a machine cannot take, guided by what code they reach.

    `wire`: any bytes as a frame; only a frame that cannot be read is an error, both readers agree, and what is encoded
    again is the same. `scheduler`, `client`, `worker`: bytes choose the events of a machine's life, from peers whose
    roles, ids and words collide; it never raises, its books agree, nothing is left at its end, and the judge finds
    nothing (it reads one life in eight; each one with `--replay`). Needs Atheris (`pip install 'rescind[fuzz]'`).

    An input that breaks something is left in a file `crash-…` in the folder where the command runs. Ctrl-C ends it.

    Exit status: 0 nothing found; 1 something was; 2 could not run, or was stopped.

    Examples:

    `rescind fuzz wire --runs 1000000`

    `rescind fuzz scheduler --corpus found --seconds 600`

    `rescind fuzz scheduler --replay crash-0123456789abcdef`
    """
    end_on_signals()
    if replay is not None:
        raise typer.Exit(_replay(target, replay))
    if importlib.util.find_spec("atheris") is None:
        fail("Atheris is not installed: pip install 'rescind[fuzz]'. With --replay it is not needed")
    with tempfile.TemporaryDirectory(prefix="rescind-fuzz-") as temporary:
        folder = corpus or Path(temporary)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for number, each in enumerate(seeds(target)):
                (folder / f"seed-{number:04}").write_bytes(each)
        except (OSError, ValueError) as error:
            fail(f"cannot use the corpus: {error}")
        status = _fuzz(target, folder, runs, seconds, seed)
        if status == 0 and save_to is not None:
            kept = minimised(load(folder), check_of(target))
            save(save_to, kept)
            typer.echo(f"{len(kept)} inputs, {sum(map(len, kept)):,} bytes: {save_to}")
    raise typer.Exit(status)


def _fuzz(target: TargetName, folder: Path, runs: int, seconds: int | None, seed: int | None) -> int:
    options = [
        f"-runs={runs}",
        f"-max_len={_LONGEST.get(target, _LONGEST_LIFE)}",
        f"-timeout={_SECONDS_AN_INPUT}",
        f"-rss_limit_mb={_MEGABYTES}",
        "-print_final_stats=1",
        "-len_control=10",
        *([f"-max_total_time={seconds}"] if seconds is not None else []),
        *([f"-seed={seed}"] if seed is not None else []),
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "rescind_conformance.fuzzing", target, *options, str(folder)],
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    try:
        said = _read(process)
    except BaseException as error:
        process.kill()
        process.wait()
        if isinstance(error, KeyboardInterrupt):
            fail("stopped; what was found so far is in the corpus")
        raise
    tried = _RUNS.search(said)
    if process.returncode == 0 and tried is not None:
        count = len(list(folder.iterdir()))
        typer.echo(f"{target}: {int(tried[1]):,} inputs tried, nothing found; {count:,} in the corpus")
        return 0
    found = re.search(r"Test unit written to (\S+)", said)
    if found is None:
        fail(f"the fuzzing process ended with status {process.returncode}: {said[-2000:]}")
    shown = said[max(0, said.find("=== Uncaught")) :].strip()
    typer.echo(f"{shown}\n\nAgain: rescind fuzz {target} --replay {found[1]}")
    return 1


def _read(process: subprocess.Popen[str]) -> str:
    """All that it says on standard error, shown as it comes if somebody looks."""
    assert process.stderr is not None
    kept: list[str] = []
    looked_at = sys.stderr.isatty()
    for line in process.stderr:
        if looked_at and line.startswith("#"):
            typer.echo(f"\r{line.strip()[:100]:100}", nl=False, err=True)
        if not line.startswith("#") or line.startswith("####"):
            kept.append(line)
            del kept[:-400]
    if looked_at:
        typer.echo("", err=True)
    process.wait()
    return "".join(kept)


def _replay(target: TargetName, path: Path) -> int:
    try:
        inputs: Sequence[bytes] = [path.read_bytes()] if _is_one_input(path) else load(path)
    except (OSError, ValueError) as error:
        fail(f"cannot read {path}: {error}")
    check = check_of(target)
    for each in inputs:
        try:
            check(each)
        except Exception as error:
            typer.echo(f"{type(error).__name__}: {error}\ninput: {each.hex()}")
            return 1
    typer.echo(f"{target}: {len(inputs)} inputs tried, nothing found")
    return 0


def _is_one_input(path: Path) -> bool:
    """Whether a file is an input itself, and not a list of some."""
    return path.is_file() and path.suffix != ".hex"
