"""The command `rescind conformance mutants`."""

from __future__ import annotations

import fnmatch
import json
import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from rescind_conformance.case import ROLES
from rescind_conformance.command_end import COULD_NOT_RUN, end_on_signals, fail
from rescind_conformance.mutants.catalogue import CatalogueError, Mutant, load_catalogue
from rescind_conformance.mutants.faulty_copy import EditDoesNotApply
from rescind_conformance.mutants.kill_matrix import STYLES, as_document, by_whom, idle_cases, print_findings
from rescind_conformance.mutants.playing import DEADLINE, Findings, MutantResult, NotImported, Outcome, run_mutants
from rescind_conformance.process import SubjectUnavailable

_JOBS_A_PROCESSOR = 4
"""Mutants mostly wait, and some hang."""
_WIDTH = 150
"""Of a table in a file."""


def mutants_command(
    role: Annotated[
        str | None, typer.Option(help=f"Only the mutants of this role: {', '.join(ROLES)}.", show_default=False)
    ] = None,
    mutant: Annotated[
        str | None, typer.Option("--mutant", help="Only the mutants whose name matches this glob.", show_default=False)
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Play all cases against each mutant: the whole matrix. Takes an hour or two.")
    ] = False,
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs",
            min=1,
            help=f"Mutants played at once. Default: {_JOBS_A_PROCESSOR} a processor, since they mostly wait.",
            show_default=False,
        ),
    ] = None,
    deadline: Annotated[
        float, typer.Option(min=0.5, max=3600, help="Seconds after which what has not come is taken as missing.")
    ] = DEADLINE,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", help="Write all findings into this file.", show_default=False, dir_okay=False),
    ] = None,
) -> None:
    """Run the suite against small faulty variants of the reference, and see that it catches each.

    A mutant is **killed** if a case of a requirement that it breaks finds it broken; **killed elsewhere** if only
    another case, or another requirement, tells; otherwise it has **survived**. Such a mutant is a hole in the suite.
    One that has **crashed** did not even start.

    Each mutant is played with the cases that are to catch it, and only if none does with others. Each case is to catch
    one at least.

    Exit status: 0 each mutant is killed, and each case has killed one; 1 some have not; 2 could not run.

    Examples:

    `rescind conformance mutants --role scheduler`

    `rescind conformance mutants --full --json matrix.json`
    """
    end_on_signals()
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH)
    try:
        chosen = _chosen(role, mutant)
        findings = _run(chosen, full, jobs or _JOBS_A_PROCESSOR * (os.cpu_count() or 1), deadline, console)
    except (CatalogueError, EditDoesNotApply, NotImported, SubjectUnavailable) as error:
        fail(str(error))
    print_findings(findings, console)
    if json_file is not None:
        try:
            json_file.write_text(json.dumps(as_document(findings), indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            fail(f"the findings cannot be written: {error}")
    unexplained: list[str] = []
    if mutant is None:
        idle, outdated = idle_cases(findings.results, load_catalogue())
        _print_list("These cases have killed no mutant:", idle, console)
        _print_list("These cases are listed as idle, but have killed a mutant:", outdated, console)
        unexplained = idle + outdated
    if findings.unsound:
        lines = [
            f"{role}: {one.case}: {', '.join(one.departed) or one.harness_error}" for role, one in findings.unsound
        ]
        _print_list("These cases fail of the sound reference, too, so that nothing can be said:", lines, console)
        console.print("Try a longer --deadline, or fewer --jobs.")
        raise typer.Exit(COULD_NOT_RUN)
    killed = all(result.outcome is Outcome.KILLED for result in findings.results)
    raise typer.Exit(0 if killed and not unexplained else 1)


def _chosen(role: str | None, pattern: str | None) -> list[Mutant]:
    if role is not None and role not in ROLES:
        fail(f"unknown role {role!r}; there are: {', '.join(ROLES)}")
    chosen = [
        one
        for one in load_catalogue().mutants
        if role in (None, one.role) and (pattern is None or fnmatch.fnmatchcase(one.name, pattern))
    ]
    if not chosen:
        fail("no mutant matches; see conformance/rescind_conformance/mutants/*.toml")
    return chosen


def _run(mutants: list[Mutant], full: bool, jobs: int, deadline: float, console: Console) -> Findings:
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("mutants", total=len(mutants))

        def show(result: MutantResult) -> None:
            progress.advance(bar)
            if progress.finished:
                progress.update(bar, description="mutants, and the sound reference in comparison")
            if result.outcome is not Outcome.KILLED:
                text = f"{result.outcome}: {result.mutant.name} ({', '.join(result.mutant.breaks)}) {by_whom(result)}"
                progress.console.print(f"[{STYLES[result.outcome]}]{escape(text)}[/]", highlight=False)

        return run_mutants(mutants, full=full, jobs=jobs, deadline=deadline, on_result=show)


def _print_list(title: str, lines: list[str], console: Console) -> None:
    if lines:
        console.print(f"\n[bold]{title}[/]", highlight=False)
        for line in lines:
            console.print(f"  {line}", markup=False, highlight=False)
