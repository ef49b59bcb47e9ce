"""Several reports side by side, requirement by requirement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from rescind_conformance.console_report import STYLES
from rescind_conformance.report_document import Document
from rescind_conformance.verdicts import Verdict

ABSENT = "absent"
"""The verdict where a report does not have the role or the requirement."""

Rows = dict[str, list[dict[str, Any]]]
"""For each role a row for each requirement: its `id`, `level` and `text`; `verdicts`, one for each report; whether
it `differs`; and the `cases` with other `findings`."""


def columns(documents: Sequence[Document]) -> list[str]:
    """What each report is called: its subject, with a number where several have the same."""
    names = [f"{one['runs'][0]['subject']['name']} {one['runs'][0]['subject']['version']}".strip() for one in documents]
    return [f"{name} #{names[:at].count(name) + 1}" if names.count(name) > 1 else name for at, name in enumerate(names)]


def compare(documents: Sequence[Document]) -> Rows:
    """The verdicts of several reports, side by side."""
    runs = [{run["role"]: run for run in document["runs"]} for document in documents]
    roles = dict.fromkeys(role for report in runs for role in report)
    return {role: _rows([report.get(role) for report in runs]) for role in roles}


def agree(rows: Rows) -> bool:
    """Whether no requirement has two verdicts, and no case two findings."""
    return not any(row["differs"] for role in rows.values() for row in role)


def print_comparison(names: Sequence[str], rows: Rows, console: Console) -> None:
    """A table for each role: what differs first, then the rest; differences are marked."""
    for role, requirements in rows.items():
        table = Table(title=role, title_justify="left", header_style="bold")
        for heading in ("", "Requirement", "Level"):
            table.add_column(heading, no_wrap=True)
        for name in names:
            table.add_column(escape(name), overflow="fold")
        for row in requirements:
            verdicts = [f"[{_style(verdict)}]{verdict}[/]" for verdict in row["verdicts"]]
            table.add_row("[bold red]≠[/]" if row["differs"] else "", row["id"], row["level"], *verdicts)
        console.print(table)
        different = [row for row in requirements if row["differs"]]
        for row in different:
            for one in row["cases"]:
                found = ", ".join(one["findings"])
                console.print(f"{row['id']} in {one['case']}: {found}", markup=False, highlight=False, soft_wrap=True)
        console.print(f"{len(different)} of {len(requirements)} requirements differ for a {role}.", highlight=False)


def _style(verdict: str) -> str:
    return "dim" if verdict == ABSENT else STYLES[Verdict(verdict)]


def _rows(runs: Sequence[Document | None]) -> list[dict[str, Any]]:
    by_id = [{one["id"]: one for one in run["requirements"]} if run is not None else {} for run in runs]
    known = {name: one for report in by_id for name, one in report.items()}
    rows = []
    for name in known:  # in the order of SPEC.md
        verdicts = [report[name]["verdict"] if name in report else ABSENT for report in by_id]
        everywhere = ABSENT not in verdicts  # otherwise each of its cases would differ
        cases = _differing_cases([report[name]["cases"] for report in by_id]) if everywhere else []
        rows.append(
            {
                "id": name,
                "level": known[name]["level"],
                "text": known[name]["text"],
                "verdicts": verdicts,
                "differs": len(set(verdicts)) > 1 or bool(cases),
                "cases": cases,
            }
        )
    return rows


def _differing_cases(findings: Sequence[dict[str, str]]) -> list[dict[str, Any]]:
    names = dict.fromkeys(name for report in findings for name in report)
    found = {name: [report.get(name, ABSENT) for report in findings] for name in names}
    return [{"case": name, "findings": each} for name, each in found.items() if len(set(each)) > 1]
