"""What a run of mutants is told as: a table for people, a JSON document with every case of every mutant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from rescind_conformance.case import all_cases
from rescind_conformance.mutants.catalogue import Catalogue
from rescind_conformance.mutants.playing import Findings, MutantResult, Outcome

STYLES = {
    Outcome.KILLED: "green",
    Outcome.ELSEWHERE: "yellow",
    Outcome.SURVIVED: "bold red",
    Outcome.CRASHED: "bold magenta",
    Outcome.HARNESS_ERROR: "bold magenta",
}


def kills_by_case(results: Sequence[MutantResult], role: str) -> Counter[str]:
    """How many mutants each case of a role has found to break a requirement that the case declares."""
    kills = Counter({case.name: 0 for case in all_cases(role)})
    for result in results:
        if result.mutant.role == role:
            sound = (one for one in result.played if not one.harness_error)
            kills.update(one.case for one in sound if set(one.departed) & set(one.declared))
    return kills


def idle_cases(results: Sequence[MutantResult], catalogue: Catalogue) -> tuple[list[str], list[str]]:
    """Of a run of all mutants of some roles: the cases that have killed none without a reason, and those that have
    killed one although they are listed as idle. Each as "role: case".
    """
    unexplained, outdated = [], []
    for role in sorted({result.mutant.role for result in results}):
        known = catalogue.idle_cases[role]
        for case, count in kills_by_case(results, role).items():
            if count == 0 and case not in known:
                unexplained.append(f"{role}: {case}")
            elif count > 0 and case in known:
                outdated.append(f"{role}: {case}")
    return unexplained, outdated


def print_findings(findings: Findings, console: Console) -> None:
    """Print the table of mutants, and the totals."""
    table = Table(header_style="bold")
    table.add_column("Mutant", overflow="fold")
    table.add_column("Breaks", overflow="fold")
    table.add_column("Bug", justify="right")
    table.add_column("Outcome", no_wrap=True)
    table.add_column("By", overflow="fold")
    for role in dict.fromkeys(result.mutant.role for result in findings.results):
        table.add_section()
        for result in findings.results:
            mutant = result.mutant
            if mutant.role == role:
                bugs = ", ".join(map(str, mutant.field_bugs))
                style = STYLES[result.outcome]
                breaks = ", ".join(mutant.breaks)
                table.add_row(mutant.name, breaks, bugs, f"[{style}]{result.outcome}[/]", escape(by_whom(result)))
    console.print(table)
    totals = Counter(result.outcome for result in findings.results)
    told = ", ".join(f"{count} {outcome}" for outcome, count in totals.items())
    count = len(findings.results)
    mutants = "1 mutant" if count == 1 else f"{count} mutants"
    console.print(f"{mutants} in {findings.seconds:.1f} s: {told}.", highlight=False)


def by_whom(result: MutantResult) -> str:
    """The case that killed it (with how many others), or what happened instead."""
    if killers := [one.case for one in result.killers]:
        missed = [case for case in result.mutant.cases if case not in killers]
        more = f" and {len(killers) - 1} more" if killers[1:] else ""
        return f"{killers[0]}{more}" + (f", but not {' and '.join(missed)}" if missed else "")
    match result.outcome:
        case Outcome.ELSEWHERE:
            caught = [f"{one.case} says {', '.join(one.departed)}" for one in result.played if one.departed]
            return "; ".join(caught[:3]) + (f"; and {len(caught) - 3} more" if caught[3:] else "")
        case Outcome.CRASHED:
            return result.crash.strip().rpartition("\n")[2]
        case Outcome.HARNESS_ERROR:
            return next(f"{one.case}: {one.harness_error}" for one in result.played if one.harness_error)
        case _:
            return ""


def as_document(findings: Findings) -> dict[str, Any]:
    """The findings as JSON values."""
    return {
        "seconds": round(findings.seconds, 1),
        "unsound": [{"role": role, "case": one.case, "departed": one.departed} for role, one in findings.unsound],
        "mutants": [_mutant(result) for result in findings.results],
    }


def _mutant(result: MutantResult) -> Mapping[str, Any]:
    mutant = result.mutant
    return {
        "name": mutant.name,
        "role": mutant.role,
        "breaks": mutant.breaks,
        "cases_to_catch_it": mutant.cases,
        "field_bugs": mutant.field_bugs,
        "tells": mutant.tells,
        "outcome": result.outcome,
        "killed_by": [one.case for one in result.killers],
        "crash": result.crash,
        "seconds": round(result.seconds, 2),
        "cases": [
            {
                "case": one.case,
                "departed": one.departed,
                "seconds": round(one.seconds, 2),
                **({"harness_error": one.harness_error} if one.harness_error else {}),
            }
            for one in result.played
        ],
    }
