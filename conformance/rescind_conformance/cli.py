"""The command `rescind conformance`."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from rescind_conformance.case import Case, all_cases
from rescind_conformance.coverage import NOT_OBSERVABLE
from rescind_conformance.report import STYLES, print_report, report_json
from rescind_conformance.requirements import SpecificationError, load_requirements
from rescind_conformance.runner import TESTED_ROLES, NothingSelected, SuiteReport, run_scheduler_suite, select_cases
from rescind_conformance.subjects import SUBJECTS, RunningEndpoint, Subject, SubjectUnavailable
from rescind_conformance.verdicts import CaseResult, Verdict

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="""Test an implementation against SPEC.md: the suite plays its peers and gives a verdict per requirement.

Example: `rescind conformance scheduler --subject reference`
""",
)

_COULD_NOT_RUN = 2


@app.command()
def scheduler(
    subject: Annotated[
        str | None,
        typer.Option(help=f"Start this scheduler and test it: {', '.join(SUBJECTS)}.", show_default=False),
    ] = None,
    endpoint: Annotated[
        str | None,
        typer.Option(
            help="Test the scheduler that runs at this ZeroMQ endpoint instead. It should be idle and have no workers.",
            show_default=False,
        ),
    ] = None,
    case: Annotated[
        str | None, typer.Option(help="Only the cases whose name matches this glob.", show_default=False)
    ] = None,
    requirement: Annotated[
        str | None, typer.Option(help="Only the cases that check this requirement.", show_default=False)
    ] = None,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", help="Write everything to this file: verdicts, traces, logs.", show_default=False),
    ] = None,
) -> None:
    """Play clients and workers against a scheduler, race by race, and give a verdict on each requirement.

    Verdicts: **pass**; **fail**; **non-strict** (a SHOULD is missed); **not reached** (each check stood behind
    another departure); **unsupported** (optional behaviour that the scheduler does not show); **not checked** (no
    case was run for it); **harness error** (the suite itself failed).

    Exit status: 0 every MUST holds, 1 departures, 2 could not run.

    Examples:

    `rescind conformance scheduler --subject reference`

    `rescind conformance scheduler --subject opengris-scaler --requirement S5.1`

    `rescind conformance scheduler --endpoint tcp://127.0.0.1:6378 --case 'crossing.*' --json report.json`
    """
    if (subject is None) == (endpoint is None):
        _fail("give one of --subject and --endpoint. Example: --subject reference")
    if subject is not None and subject not in SUBJECTS:
        _fail(f"unknown subject {subject!r}; there are: {', '.join(SUBJECTS)}")
    signal.signal(signal.SIGTERM, _on_sigterm)
    console = Console()
    try:
        cases = select_cases(case, requirement)
        with _open_subject(subject, endpoint) as tested:
            report = _run(tested, cases, console)
    except (SubjectUnavailable, NothingSelected, SpecificationError) as error:
        _fail(str(error))
    print_report(report, console)
    if json_file is not None:
        json_file.write_text(json.dumps(report_json(report), indent=1) + "\n", encoding="utf-8")
    raise typer.Exit(report.exit_status)


@app.command(name="list")
def list_requirements() -> None:
    """List the requirements that bind a scheduler, and the cases that check each.

    Example: `rescind conformance list | grep S7`
    """
    try:
        requirements = load_requirements()
    except SpecificationError as error:
        _fail(str(error))
    cases = all_cases()
    console = Console()
    table = Table(header_style="bold")
    for heading in ("Requirement", "Level"):
        table.add_column(heading, no_wrap=True)
    table.add_column("Cases", overflow="fold")
    for one in requirements.values():
        if one.role in TESTED_ROLES:
            names = "\n".join(known.name for known in cases if one.id in known.requirements)
            none = f"[dim]none: {NOT_OBSERVABLE.get(one.id, 'not written yet')}[/]"
            table.add_row(one.id, one.level.value, names or none)
    console.print(table)
    console.print(f"{len(cases)} cases")


def _open_subject(subject: str | None, endpoint: str | None) -> Subject:
    if endpoint is not None:
        return RunningEndpoint(endpoint)
    assert subject is not None
    return SUBJECTS[subject]()


def _run(subject: Subject, cases: list[Case], console: Console) -> SuiteReport:
    if not console.is_terminal:
        return run_scheduler_suite(subject, cases)
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("starting", total=len(cases))

        def show(case: Case, result: CaseResult | None) -> None:
            if result is None:
                progress.update(bar, description=case.title)
                return
            progress.advance(bar)
            for departure in result.departures:
                style = STYLES[Verdict.FAIL]
                progress.console.print(f"[{style}]{departure.requirement}[/] {case.title}", highlight=False)

        return run_scheduler_suite(subject, cases, on_case=show)


def _on_sigterm(number: int, frame: FrameType | None) -> NoReturn:
    """Unwind as Ctrl-C does, so that everything that was started is ended."""
    raise SystemExit(128 + number)


def _fail(text: str) -> NoReturn:
    typer.echo(f"rescind: {text}", err=True)
    raise typer.Exit(_COULD_NOT_RUN)
