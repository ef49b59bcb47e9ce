"""`python -m rescind_conformance.recorded`: records the traffic of a version of this project, or of Scaler."""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import shlex
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rescind_conformance.process import SubjectUnavailable
from rescind_conformance.recorded.recorder import LifeFailed, Scaler, SourceTree, Version, record
from rescind_conformance.recorded.traffic import MANIFEST, save

_SCENARIO = "recorded/life.py: each message, cancels in each state, a move, losses of workers and of a client, the end"
_ARCHIVED = ("python/rescind", "conformance/rescind_conformance", "protocol/message.capnp", "pyproject.toml")
"""What a version's programs need; the command line of each version asks for its suite."""
_COULD_NOT_RUN = 2


class _CannotRecord(Exception):
    """The text names cause and remedy."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns the exit status: 0 recorded; 1 the scenario did not come through; 2 it could not run."""
    parser = argparse.ArgumentParser(prog="python -m rescind_conformance.recorded", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="record")
    recording = commands.add_parser(
        "record",
        help="play the scenario and keep every frame that passes",
        description="Play the scenario (some 5 seconds) with the parties of one version, and keep every frame that "
        "passes between its scheduler and their peers. Run it in a checkout.",
        epilog="Example: python -m rescind_conformance.recorded record --output protocol/recorded/0.1.0",
    )
    recording.add_argument("--output", type=Path, required=True, help="the folder to write; its name is the version's")
    which = recording.add_mutually_exclusive_group()
    which.add_argument("--commit", default="HEAD", help="the commit whose parties are recorded (default: HEAD)")
    which.add_argument("--scaler", action="store_true", help="record the installed OpenGRIS Scaler instead")
    options = parser.parse_args(arguments)
    command = f"{parser.prog} {shlex.join(sys.argv[1:] if arguments is None else arguments)}"
    try:
        if (options.output / MANIFEST).exists():
            raise _CannotRecord(f"{options.output} has a recording, and those stay as they are: give another --output")
        with _scaler() if options.scaler else _checked_out(options.commit) as (version, about, schema):
            print(f"recording {about['version']}: this takes some 5 seconds", flush=True)
            passed = record(version)
    except (_CannotRecord, SubjectUnavailable) as error:
        print(error, file=sys.stderr)
        return _COULD_NOT_RUN
    except LifeFailed as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: nothing is written", file=sys.stderr)
        return _COULD_NOT_RUN
    today = datetime.now(UTC).date().isoformat()
    about |= {"recorded": today, "scenario": _SCENARIO, "command": command}
    try:
        save(options.output, about, passed, schema)
    except OSError as error:
        print(f"cannot write to {options.output}: {error.strerror}. Give another --output", file=sys.stderr)
        return _COULD_NOT_RUN
    print(f"{options.output}: {sum(not one.event for one in passed)} frames")
    return 0


@contextlib.contextmanager
def _checked_out(commit: str) -> Iterator[tuple[Version, dict[str, Any], str]]:
    """What a commit holds of the parties, in a directory that is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="rescind-version-") as directory:
        source = Path(directory)
        archive = source / "archive.tar"
        _git("archive", "--output", str(archive), commit, *_ARCHIVED)
        with tarfile.open(archive) as packed:
            packed.extractall(source, filter="data")
        project = tomllib.loads((source / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        sha, date, subject = _git("show", "--no-patch", "--format=%H%n%cs%n%s", commit).splitlines()
        about = {"version": f"{project['name']} {project['version']}", "commit": sha, "date": date, "subject": subject}
        schema = (source / "protocol" / "message.capnp").read_text(encoding="utf-8")
        yield SourceTree(source), about, schema


@contextlib.contextmanager
def _scaler() -> Iterator[tuple[Version, dict[str, Any], None]]:
    try:
        version = importlib.metadata.version("opengris-scaler")
    except importlib.metadata.PackageNotFoundError as error:
        raise _CannotRecord("OpenGRIS Scaler is not installed: pip install '.[opengris-scaler]'") from error
    yield Scaler(), {"version": f"opengris-scaler {version}"}, None


def _git(*arguments: str) -> str:
    try:
        return subprocess.run(["git", *arguments], check=True, capture_output=True, text=True).stdout
    except FileNotFoundError as error:
        raise _CannotRecord("git is not installed: what is recorded is a commit") from error
    except subprocess.CalledProcessError as error:
        raise _CannotRecord(f"git {shlex.join(arguments)}: {error.stderr.strip()}. Run it in a checkout") from error


if __name__ == "__main__":
    sys.exit(main())
