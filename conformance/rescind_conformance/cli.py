"""The command `rescind conformance`."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from rescind.curve import Role
from rescind_conformance.adapter_subjects import SHIPPED
from rescind_conformance.case import Case
from rescind_conformance.command_end import end_on_signals, fail
from rescind_conformance.command_line import Opener, adapter_opener, known_failures, scheduler_opener
from rescind_conformance.commanded_profiles import COMMAND_HELP
from rescind_conformance.console_report import STYLES, print_report, print_undecided
from rescind_conformance.explorer.command import explore_command
from rescind_conformance.explorer.live_command import orders_command
from rescind_conformance.known import KnownFailures
from rescind_conformance.list_command import list_command
from rescind_conformance.model.command import model_command
from rescind_conformance.model.system_command import behaviours_command
from rescind_conformance.model.validate_command import validate_command
from rescind_conformance.mutants.command import mutants_command
from rescind_conformance.process import SubjectUnavailable
from rescind_conformance.report_commands import compare_command, replay_command
from rescind_conformance.report_files import require_writable, write_report
from rescind_conformance.requirements import Level, SpecificationError, load_requirements
from rescind_conformance.runner import NothingSelected, Plan, SuiteReport, require_cases, run_suite, select_cases
from rescind_conformance.verdicts import CaseResult, Verdict

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="""Test an implementation against SPEC.md: the suite plays its peers and gives a verdict per requirement.

Example: `rescind conformance scheduler --subject reference`
""",
)

app.command(name="list")(list_command)
app.command(name="compare")(compare_command)
app.command(name="replay")(replay_command)
app.command(name="mutants")(mutants_command)
app.command(name="model")(model_command)
app.command(name="validate")(validate_command)
app.command(name="behaviours")(behaviours_command)
app.command(name="explore")(explore_command)
app.command(name="orders")(orders_command)

_PROGRESS_SECONDS = 10.0
"""Between two lines of progress where there is no terminal."""

SubjectName = Annotated[
    str | None, typer.Option("--subject", help=f"Test this one: {', '.join(SHIPPED)}.", show_default=False)
]
AdapterCommand = Annotated[
    str | None,
    typer.Option("--adapter", help="Test what is behind the adapter that this command starts.", show_default=False),
]
CurveClient = Annotated[
    Path | None,
    typer.Option(
        help="With --endpoint, for a scheduler that uses CURVE: the directory of keys of the clients that are played, "
        "as `rescind keys` makes it.",
        show_default=False,
        file_okay=False,
    ),
]
CurveWorker = Annotated[
    Path | None, typer.Option(help="The same for the workers.", show_default=False, file_okay=False)
]
CaseGlob = Annotated[
    list[str] | None,
    typer.Option("--case", help="Only the cases whose name matches this glob. May be given again.", show_default=False),
]
RequirementId = Annotated[
    str | None, typer.Option("--requirement", help="Only the cases that check this requirement.", show_default=False)
]
Tag = Annotated[
    str | None,
    typer.Option("--tag", help="Only the cases with this tag: a module's name, or field-bug-N.", show_default=False),
]
Jobs = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        min=1,
        help="Cases played at once; if several, those that wait for seconds are not counted. Default: two a processor.",
        show_default=False,
    ),
]
Repeat = Annotated[int, typer.Option("--repeat", min=1, help="Play each case so often; two findings are *flaky*.")]
Shuffle = Annotated[bool, typer.Option("--shuffle", help="Play the cases in another order each time.")]
Seed = Annotated[
    int | None,
    typer.Option("--seed", help="With --shuffle: the order that this number gives, as of a run that printed it."),
]
FailFast = Annotated[bool, typer.Option("--fail-fast", help="Begin no case after the first departure.")]
KnownFailing = Annotated[
    str | None,
    typer.Option(
        "--known-failing",
        help="A TOML file of departures that are expected, or the name of one that ships: opengris-scaler.",
        show_default=False,
    ),
]
ReportDirectory = Annotated[
    Path | None,
    typer.Option(
        "--report",
        help="Write report.html, report.json, junit.xml and a replay file for each failure into this directory.",
        show_default=False,
        file_okay=False,
    ),
]
Verbose = Annotated[bool, typer.Option("--verbose", help="Show the messages of known failures, too.")]


@dataclass(frozen=True, slots=True)
class _Choice:
    """What to play, and how."""

    case: Sequence[str]
    requirement: str | None
    tag: str | None
    plan: Plan
    known: KnownFailures
    report: Path | None
    verbose: bool


@app.command()
def scheduler(
    subject: SubjectName = None,
    endpoint: Annotated[
        str | None,
        typer.Option(
            help="Test the scheduler that runs at this ZeroMQ endpoint instead. It should be idle and have no workers.",
            show_default=False,
        ),
    ] = None,
    command: Annotated[str | None, typer.Option(help=COMMAND_HELP, show_default=False)] = None,
    curve_client: CurveClient = None,
    curve_worker: CurveWorker = None,
    case: CaseGlob = None,
    requirement: RequirementId = None,
    tag: Tag = None,
    jobs: Jobs = None,
    repeat: Repeat = 1,
    shuffle: Shuffle = False,
    seed: Seed = None,
    fail_fast: FailFast = False,
    known_failing: KnownFailing = None,
    report: ReportDirectory = None,
    verbose: Verbose = False,
) -> None:
    """Play clients and workers against a scheduler, race by race, and give a verdict on each requirement.

    Verdicts: **pass**; **fail**; **non-strict** (a SHOULD is missed); **not reached** (each check stood behind
    another departure); **unsupported** (optional behaviour that the subject does not show); **flaky** (the same case
    found one thing and then another); **not checked** (no case was run for it); **harness error** (the suite itself
    failed, or the adapter).

    Exit status: 0 every MUST that was tested holds, or fails as is known; 1 departures; 2 could not run, nothing was
    tested, or the suite itself failed.

    Examples:

    `rescind conformance scheduler --subject reference`

    `rescind conformance scheduler --subject opengris-scaler --known-failing opengris-scaler`

    `rescind conformance scheduler --endpoint tcp://127.0.0.1:6378 --case 'crossing.*' --report report`
    """
    opener = scheduler_opener(subject, endpoint, command, {Role.CLIENT: curve_client, Role.WORKER: curve_worker})
    if endpoint is not None:
        if jobs not in (None, 1):
            fail("one scheduler that runs already is tested with one case at a time: leave --jobs out")
        jobs = 1
    choice = _choice(case, requirement, tag, jobs, repeat, shuffle, seed, fail_fast, known_failing, report, verbose)
    raise typer.Exit(_test({"scheduler": opener}, choice))


@app.command()
def client(
    subject: SubjectName = None,
    adapter: AdapterCommand = None,
    case: CaseGlob = None,
    requirement: RequirementId = None,
    tag: Tag = None,
    jobs: Jobs = None,
    repeat: Repeat = 1,
    shuffle: Shuffle = False,
    seed: Seed = None,
    fail_fast: FailFast = False,
    known_failing: KnownFailing = None,
    report: ReportDirectory = None,
    verbose: Verbose = False,
) -> None:
    """Play the scheduler against a client behind an adapter. Verdicts and exit status: see `scheduler --help`.

    An adapter is a small program that holds the implementation. How to write one: conformance/ADAPTER.md, which is
    installed beside this package's modules, too.

    Example: `rescind conformance client --adapter 'python my_adapter.py client'`
    """
    choice = _choice(case, requirement, tag, jobs, repeat, shuffle, seed, fail_fast, known_failing, report, verbose)
    raise typer.Exit(_test({"client": adapter_opener("client", subject, adapter)}, choice))


@app.command()
def worker(
    subject: SubjectName = None,
    adapter: AdapterCommand = None,
    case: CaseGlob = None,
    requirement: RequirementId = None,
    tag: Tag = None,
    jobs: Jobs = None,
    repeat: Repeat = 1,
    shuffle: Shuffle = False,
    seed: Seed = None,
    fail_fast: FailFast = False,
    known_failing: KnownFailing = None,
    report: ReportDirectory = None,
    verbose: Verbose = False,
) -> None:
    """Play the scheduler against a worker behind an adapter. Verdicts and exit status: see `scheduler --help`.

    Example: `rescind conformance worker --subject reference`
    """
    choice = _choice(case, requirement, tag, jobs, repeat, shuffle, seed, fail_fast, known_failing, report, verbose)
    raise typer.Exit(_test({"worker": adapter_opener("worker", subject, adapter)}, choice))


@app.command(name="all")
def all_roles(
    subject: SubjectName = None,
    case: CaseGlob = None,
    requirement: RequirementId = None,
    tag: Tag = None,
    jobs: Jobs = None,
    repeat: Repeat = 1,
    shuffle: Shuffle = False,
    seed: Seed = None,
    fail_fast: FailFast = False,
    known_failing: KnownFailing = None,
    report: ReportDirectory = None,
    verbose: Verbose = False,
) -> None:
    """Test an implementation's scheduler, client and worker. Exit status: the worst of the three.

    A role in which no case matches --case, --requirement and --tag is passed over.

    Example: `rescind conformance all --subject reference`
    """
    choice = _choice(case, requirement, tag, jobs, repeat, shuffle, seed, fail_fast, known_failing, report, verbose)
    openers = {"scheduler": scheduler_opener(subject, None)}
    openers |= {role: adapter_opener(role, subject, None) for role in ("client", "worker")}
    raise typer.Exit(_test(openers, choice))


def _choice(
    case: list[str] | None,
    requirement: str | None,
    tag: str | None,
    jobs: int | None,
    repeat: int,
    shuffle: bool,
    seed: int | None,
    fail_fast: bool,
    known_failing: str | None,
    report: Path | None,
    verbose: bool,
) -> _Choice:
    if seed is not None and not shuffle:
        fail("--seed goes with --shuffle")
    if shuffle and seed is None:
        seed = random.randrange(1_000_000)
    if report is not None:
        try:
            require_writable(report)
        except OSError as error:
            fail(f"the report cannot be written: {error}")
    plan = Plan(jobs or 2 * (os.cpu_count() or 1), repeat, seed, fail_fast)
    return _Choice(case or (), requirement, tag, plan, known_failures(known_failing), report, verbose)


def _test(openers: dict[str, Opener], choice: _Choice) -> int:
    """Run the suite for each role; the worst exit status."""
    end_on_signals()
    console = Console()
    reports: list[SuiteReport] = []
    if choice.plan.shuffle_seed is not None:
        console.print(f"Shuffled: --shuffle --seed {choice.plan.shuffle_seed}", style="dim", highlight=False)
    try:
        require_cases(choice.case, list(openers))
        for role, opener in openers.items():
            try:
                cases = select_cases(choice.case, choice.requirement, choice.tag, role=role)
            except NothingSelected as nothing:
                if len(openers) == 1 or (role == list(openers)[-1] and not reports):
                    raise
                console.print(str(nothing), style="dim", highlight=False)
                continue
            reports.append(_run(opener, cases, choice, console))
            print_report(reports[-1], console, verbose=choice.verbose)
            left = list(openers)[list(openers).index(role) + 1 :]
            if left and choice.plan.fail_fast and reports[-1].departed:
                console.print(f"Not begun, by --fail-fast: {', '.join(left)}", style="dim", highlight=False)
                break
    except (SubjectUnavailable, NothingSelected, SpecificationError) as error:
        fail(str(error))
    if choice.report is not None:
        try:
            write_report(choice.report, reports)
        except OSError as error:
            fail(f"the report cannot be written: {error}")
        console.print(f"The report: {choice.report / 'report.html'}", highlight=False, soft_wrap=True)
    print_undecided(reports, console)
    return max(report.exit_status for report in reports)


def _run(opener: Opener, cases: Sequence[Case], choice: _Choice, console: Console) -> SuiteReport:
    if not console.is_terminal:
        told = ProgressLines(len(cases) * choice.plan.repeat, choice.known)
        return run_suite(opener, cases, choice.plan, known=choice.known, on_case=told.on_case)
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("starting", total=len(cases) * choice.plan.repeat)

        def show(case: Case, result: CaseResult | None) -> None:
            if result is None:
                progress.update(bar, description=case.title)
                return
            progress.advance(bar)
            for departure in result.departures:
                if choice.known.reason(result, departure.requirement) is None:
                    style = STYLES[Verdict.FAIL]
                    progress.console.print(f"[{style}]{departure.requirement}[/] {case.title}", highlight=False)

        return run_suite(opener, cases, choice.plan, known=choice.known, on_case=show)


class ProgressLines:
    """Tells on standard error how far a run has come, where there is no terminal for a bar."""

    def __init__(self, total: int, known: KnownFailures) -> None:
        self._total = total
        self._known = known
        self._ended = self._failed = self._broken = 0
        self._last = time.monotonic()

    def on_case(self, case: Case, result: CaseResult | None) -> None:
        """A case begins, or has ended."""
        if result is None:
            return
        self._ended += 1
        self._failed += any(
            self._known.reason(result, name) is None and load_requirements()[name].level is Level.MUST
            for name in result.departed
        )
        self._broken += result.harness_error is not None
        if time.monotonic() - self._last >= _PROGRESS_SECONDS and self._ended < self._total:
            self._last = time.monotonic()
            broken = f", {self._broken} with a harness error" if self._broken else ""
            typer.echo(f"{self._ended} of {self._total} cases, {self._failed} fail{broken}", err=True)
