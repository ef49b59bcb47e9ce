"""What the commands share: which subject is meant, how a run ends early, and how a command gives up."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import NoReturn

import typer

from rescind.curve import Role
from rescind_conformance.adapter_subjects import SHIPPED, adapter_by_command, shipped_adapter
from rescind_conformance.commanded_profiles import ProfiledScheduler
from rescind_conformance.known import KnownFailures, KnownFailuresError, load_known_failures
from rescind_conformance.requirements import SpecificationError
from rescind_conformance.subjects import SCHEDULERS, RunningEndpoint, Subject

COULD_NOT_RUN = 2
_SHIPPED_KNOWN_FAILURES = Path(__file__).parent / "known_failures"
Opener = Callable[[], Subject]


def scheduler_opener(
    subject: str | None,
    endpoint: str | None,
    command: str | None = None,
    curve: Mapping[Role, Path | None] | None = None,
) -> Opener:
    """Opens the scheduler that is meant. `curve`: directories of keys for one that runs already."""
    keys = {role: directory for role, directory in (curve or {}).items() if directory is not None}
    if keys and (endpoint is None or len(keys) < len(Role)):
        fail("--curve-client and --curve-worker go together, and with --endpoint: the suite plays both")
    if command is not None:
        if subject is not None or endpoint is not None:
            fail("give only one of --subject, --endpoint and --command")
        return lambda: ProfiledScheduler(command)
    if subject is not None and endpoint is not None:
        fail("give only one of --subject and --endpoint")
    if subject is None and endpoint is None:
        fail("give one of --subject and --endpoint. Example: --subject reference")
    if endpoint is not None:
        return lambda: RunningEndpoint(endpoint, keys)
    assert subject is not None
    return SCHEDULERS[_known_subject(subject)]


def adapter_opener(role: str, subject: str | None, adapter: str | None) -> Opener:
    """Opens the client or worker that is meant."""
    if subject is not None and adapter is not None:
        fail("give only one of --subject and --adapter")
    if subject is None and adapter is None:
        fail("give one of --subject and --adapter. Example: --subject reference")
    if adapter is not None:
        return lambda: adapter_by_command(role, adapter)
    assert subject is not None
    name = _known_subject(subject)
    return lambda: shipped_adapter(role, name)


def known_failures(named: str | None) -> KnownFailures:
    """The known failures in a file, or in the shipped one of this name."""
    if named is None:
        return KnownFailures()
    shipped = _SHIPPED_KNOWN_FAILURES / f"{named}.toml"
    try:
        return load_known_failures(shipped if shipped.is_file() else Path(named))
    except (KnownFailuresError, SpecificationError) as error:
        fail(str(error))


def end_on_signals() -> None:
    """Unwind as Ctrl-C does when told to end, so that everything that was started is ended."""

    def on_signal(number: int, frame: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, on_signal)


def end_on_first_signal() -> None:
    """As `end_on_signals` and Ctrl-C, but what comes while everything is being ended does not cut that short.

    For a command whose processes are killed, which is soon done.
    """

    def on_signal(number: int, frame: FrameType | None) -> NoReturn:
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, on_signal)


def fail(text: str) -> NoReturn:
    """End the command: it could not run, and why."""
    typer.echo(f"rescind: {text}", err=True)
    try:
        sys.stdout.flush()
    except OSError:  # else Python tries once more as it ends, and changes the exit status
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise typer.Exit(COULD_NOT_RUN)


def _known_subject(subject: str) -> str:
    if subject not in SHIPPED:
        fail(f"unknown subject {subject!r}; there are: {', '.join(SHIPPED)}")
    return subject
