"""The commands that take what a run has written: `compare` and `replay`."""

from __future__ import annotations

import shlex
import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from rescind.curve import Role
from rescind_conformance.adapter import AdapterFault
from rescind_conformance.case import Profile
from rescind_conformance.command_end import end_on_signals, fail
from rescind_conformance.command_line import Opener, adapter_opener, scheduler_opener
from rescind_conformance.compare import agree, columns, compare, print_comparison
from rescind_conformance.console_report import print_report, print_undecided
from rescind_conformance.explorer.order_file import ROLE as SYSTEM
from rescind_conformance.explorer.order_replay import replay_order
from rescind_conformance.findings import Conversation, Findings
from rescind_conformance.html_report import render_comparison
from rescind_conformance.process import SubjectUnavailable
from rescind_conformance.recording import RecordingContext
from rescind_conformance.replay import Replayed, differences, play_steps, same_departures
from rescind_conformance.replay_file import UnreadableReplay, read_replay
from rescind_conformance.report_document import SUBJECT_NAMES, UnreadableReport, read_document
from rescind_conformance.runner import DEADLINE, NothingSelected, Plan, run_suite, select_cases
from rescind_conformance.subjects import ProfileUnavailable, Subject
from rescind_conformance.trace import trace_lines
from rescind_conformance.verdicts import Unsupported
from rescind_conformance.visible_text import visible
from rescind_conformance.world import World

_ROLES = ("scheduler", "client", "worker")


def compare_command(
    reports: Annotated[list[Path], typer.Argument(help="Two or more report.json, or the directories that hold them.")],
    html: Annotated[
        Path | None, typer.Option("--html", help="Write the comparison to this file, too.", show_default=False)
    ] = None,
) -> None:
    """Show the verdicts of several subjects, or of several runs, side by side.

    Exit status: 0 all agree; 1 some differ; 2 a report cannot be read, or the page not be written.

    Example: `rescind conformance compare reference/report.json scaler/report.json --html compare.html`
    """
    try:
        documents = [read_document(path) for path in reports]
    except UnreadableReport as error:
        fail(str(error))
    if len(documents) < 2:
        fail("give two reports or more. Example: rescind conformance compare monday/report.json today/report.json")
    names, rows = columns(documents), compare(documents)
    print_comparison(names, rows, Console())
    if html is not None:
        try:
            html.write_text(render_comparison(names, rows), encoding="utf-8")
        except OSError as error:
            fail(f"the comparison cannot be written: {error}")
    raise typer.Exit(0 if agree(rows) else 1)


def replay_command(
    file: Annotated[Path, typer.Argument(help="A file that a run with --report has written to replays/.")],
    subject: Annotated[
        str | None, typer.Option(help="Play it against this one. Default: the recording's.", show_default=False)
    ] = None,
    endpoint: Annotated[
        str | None, typer.Option(help="Play it against the scheduler that runs there.", show_default=False)
    ] = None,
    adapter: Annotated[
        str | None, typer.Option(help="Play it against what is behind this adapter.", show_default=False)
    ] = None,
    machine: Annotated[
        str | None,
        typer.Option(help="Play it against the machine that FILE.py:NAME makes (RACES.md).", show_default=False),
    ] = None,
) -> None:
    """Play the messages of a failure again, in the same order, and say whether the same departures are seen.

    Exit status: 0 none of them is seen; 1 at least one is; 2 it could not be played.

    Example: `rescind conformance replay report/replays/scheduler.joining.one-refusal.json --subject reference`
    """
    end_on_signals()
    try:
        document = read_replay(file)
        if document["role"] == SYSTEM:
            raise typer.Exit(_play_order(document, (subject, endpoint, adapter, machine)))
        opener = _opener(document, subject, endpoint, adapter, machine)
        if document["drive"] == "case":
            raise typer.Exit(_play_case(document, opener))
        with opener() as opened:
            raise typer.Exit(_play(document, opened, Console()))
    except (UnreadableReplay, SubjectUnavailable, NothingSelected, ProfileUnavailable, AdapterFault) as error:
        fail(str(error))
    except Unsupported as reason:
        fail(f"this subject does not support it: {reason}")


def _opener(
    document: dict[str, Any], subject: str | None, endpoint: str | None, adapter: str | None, machine: str | None
) -> Opener:
    role = document["role"]
    if role not in _ROLES:
        raise UnreadableReplay(f"unknown role {role!r}; there are: {', '.join(_ROLES)}")
    if (subject, endpoint, adapter, machine) == (None,) * 4:
        try:
            words = shlex.split(str(document["subject"].get("options", "")))
        except ValueError as error:
            raise UnreadableReplay(f"the subject's options cannot be read: {error}") from error
        chosen = dict(zip(words[::2], words[1::2], strict=False))
        if role == "scheduler" and "--command" in chosen:
            return scheduler_opener(None, None, chosen["--command"])
        subject, endpoint, adapter, machine = (
            chosen.get(f"--{name}") for name in ("subject", "endpoint", "adapter", "machine")
        )
        curve = {role: Path(chosen[name]) for role in Role if (name := f"--curve-{role.value}") in chosen}
        if curve and endpoint is not None:
            return scheduler_opener(None, endpoint, None, curve)
        if (subject, endpoint, adapter, machine) == (None,) * 4:
            fail("the file names no subject that can be started: give --subject, --endpoint, --adapter or --machine")
    if machine is not None:
        if (subject, endpoint, adapter) != (None, None, None):
            fail("give only one of --subject, --endpoint, --adapter and --machine")
        from rescind_conformance.races.machines import machine_subject  # it would be loaded for every command

        return partial(machine_subject, role, machine)
    if role == "scheduler":
        if adapter is not None:
            fail("a scheduler has no adapter: give --subject or --endpoint")
        return scheduler_opener(subject, endpoint)
    if endpoint is not None:
        fail(f"a {role} is tested through its adapter: give --subject or --adapter")
    return adapter_opener(role, subject, adapter)


def _play_order(document: dict[str, Any], others: Sequence[str | None]) -> int:
    """Take the steps of an order that `explore` has found."""
    if any(other is not None for other in others):
        fail("in this file every party is a machine of the reference: give no subject")
    console = Console()
    return _conclude(document, replay_order(document, console), console)


def _play_case(document: dict[str, Any], opener: Opener) -> int:
    """Run the case again, and look for the recording's departures among its own."""
    cases = [one for one in select_cases(role=document["role"]) if one.name == document["case"]]
    if not cases:
        raise UnreadableReplay(f"there is no case {document['case']!r} for a {document['role']} any more")
    report = run_suite(opener, cases, Plan())
    console = Console()
    print_report(report, console)
    print_undecided([report], console)
    if report.exit_status == 2:
        return 2
    departed = {name for result in report.results for name in result.departed}
    return _conclude(document, [one["requirement"] in departed for one in document["departures"]], console)


def _play(document: dict[str, Any], subject: Subject, console: Console) -> int:
    """Do the steps or the actions of a file in a fresh world."""
    context = RecordingContext()
    try:
        profile = Profile(document["profile"])
    except ValueError as error:
        raise UnreadableReplay(f"unknown profile {document['profile']!r}") from error
    try:
        world = subject.open(Conversation(context, DEADLINE, threading.Event()), profile, [])
        try:
            if document["drive"] == "actions":
                return _conclude(document, _play_actions(document, world, subject, console), console)
            assert isinstance(world, World)
            seen = play_steps(document, world)
        finally:
            subject.leave(world)
    finally:
        context.destroy(linger=0)
    _print_replay(document, seen, world, subject, console)
    return _conclude(document, same_departures(document, seen), console)


def _play_actions(document: dict[str, Any], world: Findings, subject: Subject, console: Console) -> list[bool]:
    """For each departure of the file, whether it is seen again."""
    from rescind_conformance.races.replaying import play_actions  # it would be loaded for every command

    broken = play_actions(document, world)
    _print_trace(document, world, subject, console)
    return [one["requirement"] in broken for one in document["departures"]]


def _print_trace(document: dict[str, Any], world: Findings, subject: Subject, console: Console) -> None:
    recorded = f"{document['subject'].get('name')} {document['subject'].get('version')}".strip()
    played = f"{subject.name} {subject.version}".rstrip()
    _say(console, f"{document['case']}, recorded of {recorded}, played against {played}", "bold")
    under_test = SUBJECT_NAMES[document["role"]]
    _say(console, f"Messages ({under_test} is the subject; completed heartbeats are left out):", "bold")
    for line in trace_lines(world.trace, world.names):
        _say(console, f"  {line}")


def _print_replay(document: dict[str, Any], seen: Replayed, world: World, subject: Subject, console: Console) -> None:
    _print_trace(document, world, subject, console)
    lines = list(differences(document, seen))
    _say(console, "It says other things than the recording:" if lines else "It says what the recording says.", "bold")
    for line in lines:
        _say(console, f"  {line}")


def _say(console: Console, text: str, style: str = "") -> None:
    console.print(visible(text), style=style, markup=False, highlight=False, soft_wrap=True)


def _conclude(document: dict[str, Any], again: list[bool], console: Console) -> int:
    for departure, is_seen in zip(document["departures"], again, strict=True):
        verdict = "seen again" if is_seen else "not seen"
        _say(console, f"{verdict}: {departure['requirement']} {departure['text']}", "red" if is_seen else "green")
    return 1 if any(again) else 0
