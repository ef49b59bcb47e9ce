"""The result of a run for the terminal: a table, what was expected in few words, what was not in many."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from rescind_conformance.case import all_cases
from rescind_conformance.report_document import KNOWN, SUBJECT_NAMES, case_verdict, known_reason, replay_command
from rescind_conformance.runner import SuiteReport, cases_in_words
from rescind_conformance.trace import trace_lines
from rescind_conformance.verdicts import CaseResult, RequirementVerdict, Verdict
from rescind_conformance.visible_text import visible

_OTHER_COLUMNS = 48
"""The width of the table without its columns of cases and of texts."""
_LEAST_TEXT = 28
"""Where no so many columns are left for the texts, these begin with what became of the other cases."""
_LONG_TEXT = 300
"""Characters of a requirement's text, of which then only the beginning is printed."""
_LOG_LINES = 10
_MOST_REQUIREMENTS = 8
"""That are named where something is missing."""
_FENCE_TASK = re.compile(r"\bF[0-9]+\b")

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
    for warning in report.warnings:
        console.print(f"Warning: {warning}", style="yellow", markup=False, highlight=False, soft_wrap=True)
    console.print(_table(report, console.width))
    if lacking := "; ".join(_lacking(report)):
        console.print(f"Unsupported: {lacking}", style="cyan", markup=False, highlight=False, soft_wrap=True)
    broken = [result for result in report.results if result.departures or result.harness_error]
    known = [result for result in broken if case_verdict(report, result) == KNOWN]
    if known:
        console.print()
        console.print(f"{cases_in_words(len(known))} failed as is known:", style="bold", highlight=False)
        for line in dict.fromkeys(line for result in known for line in _known_lines(report, result)):
            console.print(line, style=_KNOWN_STYLE, markup=False, highlight=False, soft_wrap=True)
    others = [result for result in broken if result not in known]
    failures = _Failures(report, console)
    for alike in _alike([*known, *others] if verbose else others):
        console.print()
        failures.print(alike[0], len(alike))
    if report.unexpected:
        console.print()
        console.print("Not expected:", style="bold red")
        for line in report.unexpected:
            console.print(f"  {line}", style="red", markup=False, highlight=False, soft_wrap=True)
    console.print()
    console.print(_totals(report), highlight=False)


def print_undecided(reports: Sequence[SuiteReport], console: Console) -> None:
    """The last line of a run in which nothing was tested: why, and what to do."""
    for report in reports:
        if report.undecided:
            role = f"{report.role}: " if len(reports) > 1 else ""
            console.print(f"{role}{report.undecided}", style="bold", markup=False, highlight=False, soft_wrap=True)


def _table(report: SuiteReport, width: int) -> Table:
    title = f"{report.role}: {report.subject} {report.subject_version}".strip()
    table = Table(title=escape(title), title_justify="left", header_style="bold")
    table.add_column("Requirement", no_wrap=True)
    table.add_column("Level", no_wrap=True)
    table.add_column("Verdict", no_wrap=True)
    counts = {one.requirement.id: case_count(report, one) for one in report.verdicts}
    wide = width - _OTHER_COLUMNS - max([5, *(len(" ".join(count)) for count in counts.values())]) >= _LEAST_TEXT
    cases = {name: " ".join(count) if wide else count[0] for name, count in counts.items()}
    room = width - _OTHER_COLUMNS - max([5, *map(len, cases.values())])
    table.add_column("Cases", no_wrap=True)
    table.add_column("Text", no_wrap=True, overflow="ellipsis", max_width=max(_LEAST_TEXT // 2, room))
    for one in report.verdicts:
        known = known_reason(report, one)
        verdict, style = (KNOWN, _KNOWN_STYLE) if known else (one.verdict.value, STYLES[one.verdict])
        text = f"known: {known}" if known else one.reason or one.requirement.text
        text = text if wide else f"{counts[one.requirement.id][1]} {text}".strip()
        level = one.requirement.level.value
        table.add_row(
            one.requirement.id, level, f"[{style}]{verdict}[/]", cases[one.requirement.id].strip(), escape(text)
        )
    return table


def case_count(report: SuiteReport, one: RequirementVerdict) -> tuple[str, str]:
    """Of the cases that are there to check a requirement how many pass, and what became of the others: `1/2`,
    `(1 unsupported)`.

    The verdict itself says what became of most: that is left out.
    """
    listing = {result.case for result in report.results if one.requirement.id in result.declared}
    found = Counter(finding for name, finding in one.findings.items() if name in listing)
    elsewhere = len(one.findings.keys() - listing)
    own = Verdict.FAIL if one.verdict is Verdict.NON_STRICT else one.verdict
    others = [f"{found[kind]} {kind.value}" for kind in Verdict if found[kind] and kind not in (own, Verdict.PASS)]
    if elsewhere:
        others.append(f"{elsewhere} elsewhere")
    if not one.findings:
        return "", ""
    return f"{found[Verdict.PASS]}/{len(listing)}", f"({', '.join(others)})" if others else ""


def _lacking(report: SuiteReport) -> Iterator[str]:
    """What is missing that cases need, with the requirements on which therefore nothing is known."""
    missed = Counter(result.lacks for result in report.results if result.lacks)
    unknown = [one.requirement.id for one in report.verdicts if one.verdict is Verdict.UNSUPPORTED]
    for what, count in missed.most_common():
        cases = [result for result in report.results if result.lacks == what]
        names = [name for name in unknown if any(name in result.declared for result in cases)]
        if len(names) > _MOST_REQUIREMENTS:
            names = [*names[:_MOST_REQUIREMENTS], f"and {len(names) - _MOST_REQUIREMENTS} more"]
        everything = count == len(report.results)
        yield f"{what} ({cases_in_words(count)})" + (f": {', '.join(names)}" if names and not everything else "")


def _known_lines(report: SuiteReport, result: CaseResult) -> Iterator[str]:
    for name in dict.fromkeys(departure.requirement for departure in result.departures):
        yield f"  {name} in {result.case}, known: {report.known.reason(result, name)}"


def _alike(results: Sequence[CaseResult]) -> list[list[CaseResult]]:
    """The repetitions of a case that found the same, together."""
    together: dict[tuple[object, ...], list[CaseResult]] = {}
    for result in results:
        departures = tuple((one.requirement, one.text) for one in result.departures)
        together.setdefault((result.case, departures, result.harness_error), []).append(result)
    return list(together.values())


class _Failures:
    """Prints cases that departed or broke, one after another."""

    def __init__(self, report: SuiteReport, console: Console) -> None:
        self._report = report
        self._console = console
        self._requirements = {one.requirement.id: one.requirement for one in report.verdicts}
        self._stories = {case.name: case.story for case in all_cases(report.role)}
        self._fences_explained = False

    def print(self, result: CaseResult, times: int) -> None:
        """One case, which was found so this many times."""
        again = f" ({times} times)" if times > 1 else ""
        self._console.rule(f"{escape(result.case)}: {escape(result.title)}{again}", align="left")
        if story := self._stories.get(result.case):
            self._say(" ".join(story.split()), "italic")
        self._print_departures(result)
        if result.harness_error:
            self._say(result.at_fault.heading, "bold magenta")
            self._say(result.harness_error.rstrip())
        for note in result.notes:
            self._say(note, "magenta")
        subject = SUBJECT_NAMES[self._report.role]
        if result.trace:
            self._say(f"Messages ({subject} is the subject; completed heartbeats are left out):", "bold")
            lines = trace_lines(result.trace, result.names)
            for line in lines:
                self._say(f"  {line}")
            self._explain_fences("\n".join([*lines, *(one.text for one in result.departures)]), subject)
        if result.log and result.departures:
            self._say("The subject's last lines:", "bold")
            for line in result.log.splitlines()[-_LOG_LINES:]:
                self._say(f"  {line}")
        self._say(f"Replay: {replay_command(self._report, result)}", "bold")

    def _print_departures(self, result: CaseResult) -> None:
        for name in dict.fromkeys(departure.requirement for departure in result.departures):
            known = self._report.known.reason(result, name)
            requirement = self._requirements[name]
            style = "bold red" if known is None else _KNOWN_STYLE
            self._say(f"{name} {requirement.level.value}: {_beginning(requirement.text)}", style)
            for departure in result.departures:
                if departure.requirement == name:
                    self._say(f"  {departure.text}")
            if known is not None:
                self._say(f"  known: {known}", _KNOWN_STYLE)

    def _explain_fences(self, text: str, subject: str) -> None:
        if self._report.role == "client" and not self._fences_explained and _FENCE_TASK.search(text):
            self._fences_explained = True
            self._say(
                f"  F1, F2...: tasks of the suite's own, which tell that {subject} has handled what came before", "dim"
            )

    def _say(self, text: str, style: str = "") -> None:
        self._console.print(visible(text), style=style, markup=False, highlight=False, soft_wrap=True)


def _beginning(text: str) -> str:
    """A requirement's text; of a long one its first sentence, or what stands before its list."""
    if len(text) <= _LONG_TEXT:
        return text
    sentence, _, rest = text.partition(". ")
    if len(sentence) <= _LONG_TEXT:
        return f"{sentence}. ..." if rest else text
    return f"{text[:_LONG_TEXT].partition(': ')[0]}: ..."


def _totals(report: SuiteReport) -> str:
    counts = Counter(one.verdict for one in report.verdicts)
    known = sum(known_reason(report, one) is not None for one in report.verdicts)
    parts = []
    for kind in Verdict:
        if counts[kind]:
            as_known = f" ({known} known)" if kind is Verdict.FAIL and known else ""
            parts.append(f"[{STYLES[kind]}]{counts[kind]} {kind.value}{as_known}[/]")
    broken = f" [bold magenta]{cases_in_words(report.broken)} with a harness error.[/]" if report.broken else ""
    end = f" [bold red]{len(report.unexpected)} not expected.[/]" if report.unexpected else ""
    played = f"{cases_in_words(len(report.results))} in {report.seconds:.1f} s."
    return f"{played} Requirements: {', '.join(parts)}.{broken}{end}"
