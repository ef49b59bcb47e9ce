"""The result of a run for the terminal: a table, what was expected in few words, what was not in many."""

from __future__ import annotations

from collections import Counter

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from rescind_conformance.report_document import KNOWN, SUBJECT_NAMES, case_verdict, known_reason, replay_command
from rescind_conformance.runner import SuiteReport
from rescind_conformance.trace import trace_lines
from rescind_conformance.verdicts import CaseResult, RequirementVerdict, Verdict

_OTHER_COLUMNS = 53
"""The width of the table without its text column."""

STYLES = {
    Verdict.PASS: "green",
    Verdict.NON_STRICT: "yellow",
    Verdict.FAIL: "bold red",
    Verdict.FLAKY: "bold red",
    Verdict.NOT_REACHED: "yellow",
    Verdict.UNSUPPORTED: "cyan",
    Verdict.NOT_CHECKED: "dim",
    Verdict.HARNESS_ERROR: "bold magenta",
}
_KNOWN_STYLE = "yellow"


def print_report(report: SuiteReport, console: Console, *, verbose: bool = False) -> None:
    """Print the table of verdicts, known failures in a line each, then what was not expected with its trace, and the
    totals. `verbose`: known failures with their traces, too.
    """
    console.print(_table(report, console.width))
    broken = [result for result in report.results if result.departures or result.harness_error]
    known = [result for result in broken if case_verdict(report, result) == KNOWN]
    if known:
        console.print()
        console.print(f"{len(known)} cases fail as is known:", style="bold", highlight=False)
        for result in known:
            _print_known(report, result, console)
    others = [result for result in broken if result not in known]
    for result in [*known, *others] if verbose else others:
        console.print()
        _print_failure(report, result, console)
    if report.unexpected:
        console.print()
        console.print("Not expected:", style="bold red")
        for line in report.unexpected:
            console.print(f"  {line}", style="red", markup=False, highlight=False, soft_wrap=True)
    console.print()
    console.print(_totals(report), highlight=False)


def _table(report: SuiteReport, width: int) -> Table:
    title = f"{report.role}: {report.subject} {report.subject_version}".strip()
    table = Table(title=escape(title), title_justify="left", header_style="bold")
    table.add_column("Requirement", no_wrap=True)
    table.add_column("Level", no_wrap=True)
    table.add_column("Verdict", no_wrap=True)
    table.add_column("Cases", justify="right", no_wrap=True)
    table.add_column("Text", no_wrap=True, overflow="ellipsis", max_width=max(20, width - _OTHER_COLUMNS))
    for one in report.verdicts:
        known = known_reason(report, one)
        verdict, style = (KNOWN, _KNOWN_STYLE) if known else (one.verdict.value, STYLES[one.verdict])
        text = f"known: {known}" if known else one.reason or one.requirement.text
        level = one.requirement.level.value
        table.add_row(one.requirement.id, level, f"[{style}]{verdict}[/]", _count(one), escape(text))
    return table


def _count(one: RequirementVerdict) -> str:
    if not one.findings:
        return ""
    passed = sum(finding is Verdict.PASS for finding in one.findings.values())
    return f"{passed}/{len(one.findings)}"


def _print_known(report: SuiteReport, result: CaseResult, console: Console) -> None:
    for name in dict.fromkeys(departure.requirement for departure in result.departures):
        reason = report.known.reason(result, name)
        line = f"  {name} in {result.case}, known: {reason}"
        console.print(line, style=_KNOWN_STYLE, markup=False, highlight=False, soft_wrap=True)


def _print_failure(report: SuiteReport, result: CaseResult, console: Console) -> None:
    def say(text: str, style: str = "") -> None:
        console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)

    console.rule(f"{escape(result.case)}: {escape(result.title)}", align="left")
    requirements = {one.requirement.id: one.requirement for one in report.verdicts}
    for name in dict.fromkeys(departure.requirement for departure in result.departures):
        known = report.known.reason(result, name)
        style = "bold red" if known is None else _KNOWN_STYLE
        say(f"{name} {requirements[name].level.value}: {requirements[name].text}", style)
        for departure in result.departures:
            if departure.requirement == name:
                say(f"  {departure.text}")
        if known is not None:
            say(f"  known: {known}", _KNOWN_STYLE)
    if result.harness_error:
        say("The suite itself failed; this says nothing about the subject:", "bold magenta")
        say(result.harness_error.rstrip())
    if result.trace:
        say(f"Messages ({SUBJECT_NAMES[report.role]} is the subject; completed heartbeats are left out):", "bold")
        for line in trace_lines(result.trace, result.names):
            say(f"  {line}")
    if result.log and any(departure.unresponsive for departure in result.departures):
        say("The subject's last lines:", "bold")
        for line in result.log.splitlines():
            say(f"  {line}")
    say(f"Replay: {replay_command(report, result)}", "bold")


def _totals(report: SuiteReport) -> str:
    counts = Counter(one.verdict for one in report.verdicts)
    known = sum(known_reason(report, one) is not None for one in report.verdicts)
    parts = []
    for kind in Verdict:
        if counts[kind]:
            as_known = f" ({known} known)" if kind is Verdict.FAIL and known else ""
            parts.append(f"[{STYLES[kind]}]{counts[kind]} {kind.value}{as_known}[/]")
    end = f" [bold red]{len(report.unexpected)} not expected.[/]" if report.unexpected else ""
    return f"{len(report.results)} cases in {report.seconds:.1f} s. Requirements: {', '.join(parts)}.{end}"
