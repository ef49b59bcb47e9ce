"""The command `list`: the requirements and the cases that check them, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from rescind_conformance.case import ROLES, Case, all_cases
from rescind_conformance.command_end import fail
from rescind_conformance.coverage import not_observable, not_seen
from rescind_conformance.requirements import Requirement, SpecificationError, load_requirements


def list_command(
    role: Annotated[
        str | None, typer.Option(help=f"Only what binds this role: {', '.join(ROLES)}.", show_default=False)
    ] = None,
    by_case: Annotated[
        bool, typer.Option("--by-case", help="The other way round: the cases, and what each is about.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs: see conformance/REPORTS.md.")] = False,
) -> None:
    """List the requirements, and the cases that check each.

    Examples:

    `rescind conformance list --role scheduler | grep S7`

    `rescind conformance list --role client --by-case`

    `rescind conformance list --json`
    """
    if role is not None and role not in ROLES:
        fail(f"unknown role {role!r}; there are: {', '.join(ROLES)}")
    try:
        requirements = load_requirements()
    except SpecificationError as error:
        fail(str(error))
    cases = {shown: all_cases(shown) for shown in ([role] if role is not None else ROLES)}
    if as_json:
        listed = [case_json(one) for each in cases.values() for one in each] if by_case else None
        typer.echo(json.dumps(requirements_json(list(requirements.values()), cases) if listed is None else listed))
        return
    console = Console()
    for shown, each in cases.items():
        if by_case:
            console.print(_table_of_cases(shown, each))
            continue
        console.print(_table_of_requirements(shown, list(requirements.values()), each))
        console.print(f"{len(each)} cases for a {shown}")


def requirements_json(requirements: Sequence[Requirement], cases: Mapping[str, Sequence[Case]]) -> list[dict[str, Any]]:
    """What `list --json` prints of the requirements that bind a role of `cases`, which has the cases of each role."""
    listed = []
    for one in requirements:
        bound = [role for role in cases if one.role in (role, "all")]
        if bound:
            by_role = {role: [case.name for case in cases[role] if one.id in case.requirements] for role in bound}
            reasons = {role: not_observable(role)[one.id] for role in bound if one.id in not_observable(role)}
            unseen = {role: not_seen(role)[one.id] for role in bound if one.id in not_seen(role)}
            listed.append(
                {
                    "id": one.id,
                    "level": one.level.value,
                    "role": one.role,
                    "text": one.text,
                    "why": one.reason,
                    "cases": by_role,
                    "not_observable": reasons,
                    "not_seen": unseen,
                }
            )
    return listed


def case_json(case: Case) -> dict[str, Any]:
    """What `list --by-case --json` prints of a case."""
    return {
        "role": case.role,
        "name": case.name,
        "title": case.title,
        "story": " ".join(case.story.split()),
        "requirements": list(case.requirements),
        "tags": sorted(case.tags),
        "profile": case.profile.value,
    }


def _table_of_requirements(role: str, requirements: Sequence[Requirement], cases: Sequence[Case]) -> Table:
    table = Table(title=role, title_justify="left", header_style="bold")
    for heading in ("Requirement", "Level"):
        table.add_column(heading, no_wrap=True)
    table.add_column("Cases", overflow="fold")
    for one in requirements:
        if one.role in (role, "all"):
            names = "\n".join(known.name for known in cases if one.id in known.requirements)
            none = f"[dim]none: {not_observable(role).get(one.id, 'not written yet')}[/]"
            unseen = f"\n[dim]no case sees {not_seen(role)[one.id]}[/]" if one.id in not_seen(role) else ""
            table.add_row(one.id, one.level.value, (names or none) + unseen)
    return table


def _table_of_cases(role: str, cases: Sequence[Case]) -> Table:
    table = Table(title=role, title_justify="left", header_style="bold")
    for heading in ("Case", "Requirements", "Tags", "What happens in it"):
        table.add_column(heading, overflow="fold")
    for case in cases:
        story = " ".join(case.story.split())
        table.add_row(case.name, ", ".join(case.requirements), ", ".join(sorted(case.tags)), story)
    return table
