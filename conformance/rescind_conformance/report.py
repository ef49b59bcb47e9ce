"""The result of a run, for people (tables and traces) and for machines (JSON)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from rescind_conformance.runner import SuiteReport
from rescind_conformance.trace import trace_json, trace_lines
from rescind_conformance.verdicts import CaseResult, RequirementVerdict, Verdict

JSON_FORMAT = "rescind-conformance-report"
JSON_VERSION = 1

_OTHER_COLUMNS = 51
"""The width of the table without its text column."""

STYLES = {
    Verdict.PASS: "green",
    Verdict.NON_STRICT: "yellow",
    Verdict.FAIL: "bold red",
    Verdict.NOT_REACHED: "yellow",
    Verdict.UNSUPPORTED: "cyan",
    Verdict.NOT_CHECKED: "dim",
    Verdict.HARNESS_ERROR: "bold magenta",
}


def print_report(report: SuiteReport, console: Console) -> None:
    """Print the table of verdicts, each departure with its trace, and the totals."""
    console.print(_table(report, console.width))
    for result in report.results:
        if result.departures or result.harness_error:
            console.print()
            _print_failure(report, result, console)
    console.print()
    console.print(_totals(report), highlight=False)


def report_json(report: SuiteReport) -> dict[str, Any]:
    """All of it as JSON values. The format is versioned: `version` rises when a reader has to change."""
    return {
        "format": JSON_FORMAT,
        "version": JSON_VERSION,
        "subject": {"name": report.subject, "version": report.subject_version},
        "seconds": round(report.seconds, 3),
        "exit_status": report.exit_status,
        "requirements": [
            {
                "id": one.requirement.id,
                "level": one.requirement.level.value,
                "role": one.requirement.role,
                "text": one.requirement.text,
                "verdict": one.verdict.value,
                "reason": one.reason,
                "cases": {name: finding.value for name, finding in one.findings.items()},
            }
            for one in report.verdicts
        ],
        "cases": [
            {
                "name": result.case,
                "title": result.title,
                "requirements": list(result.declared),
                "checked": sorted(result.checked),
                "departures": [{"requirement": one.requirement, "text": one.text} for one in result.departures],
                "unsupported": result.unsupported,
                "harness_error": result.harness_error,
                "seconds": round(result.seconds, 3),
                "tasks": {name: task_id.hex() for task_id, name in report.names[result.case].items()},
                "trace": trace_json(result.trace),
                "log": result.log,
                "replay": replay_command(report, result),
            }
            for result in report.results
        ],
    }


def replay_command(report: SuiteReport, result: CaseResult) -> str:
    """The one command that runs a case again."""
    return f"rescind conformance scheduler {report.replay_options} --case {result.case}"


def _table(report: SuiteReport, width: int) -> Table:
    table = Table(title=f"{report.subject} {report.subject_version}".strip(), title_justify="left", header_style="bold")
    table.add_column("Requirement", no_wrap=True)
    table.add_column("Level", no_wrap=True)
    table.add_column("Verdict", no_wrap=True)
    table.add_column("Cases", justify="right", no_wrap=True)
    table.add_column("Text", no_wrap=True, overflow="ellipsis", max_width=max(20, width - _OTHER_COLUMNS))
    for one in report.verdicts:
        style = STYLES[one.verdict]
        table.add_row(
            one.requirement.id,
            one.requirement.level.value,
            f"[{style}]{one.verdict.value}[/]",
            _count(one),
            escape(one.reason or one.requirement.text),
        )
    return table


def _count(one: RequirementVerdict) -> str:
    if not one.findings:
        return ""
    passed = sum(finding is Verdict.PASS for finding in one.findings.values())
    return f"{passed}/{len(one.findings)}"


def _print_failure(report: SuiteReport, result: CaseResult, console: Console) -> None:
    def say(text: str, style: str = "") -> None:
        console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)

    console.rule(f"{escape(result.case)}: {escape(result.title)}", align="left")
    requirements = {one.requirement.id: one.requirement for one in report.verdicts}
    for name in dict.fromkeys(departure.requirement for departure in result.departures):
        say(f"{name} {requirements[name].level.value}: {requirements[name].text}", "bold red")
        for departure in result.departures:
            if departure.requirement == name:
                say(f"  {departure.text}")
    if result.harness_error:
        say("The suite itself failed; this says nothing about the subject:", "bold magenta")
        say(result.harness_error.rstrip())
    say("Messages (S is the subject; completed heartbeats are left out):", "bold")
    for line in trace_lines(result.trace, report.names[result.case]):
        say(f"  {line}")
    if result.log and any(departure.unresponsive for departure in result.departures):
        say("The subject's last lines:", "bold")
        for line in result.log.splitlines():
            say(f"  {line}")
    say(f"Replay: {replay_command(report, result)}", "bold")


def _totals(report: SuiteReport) -> str:
    counts = Counter(one.verdict for one in report.verdicts)
    parts = ", ".join(f"[{STYLES[kind]}]{counts[kind]} {kind.value}[/]" for kind in _present(counts))
    return f"{len(report.results)} cases in {report.seconds:.1f} s. Requirements: {parts}."


def _present(counts: Counter[Verdict]) -> Iterator[Verdict]:
    return (kind for kind in Verdict if counts[kind])
