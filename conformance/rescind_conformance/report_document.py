"""A run as one JSON document: what `report.json` holds, and what every other form of the report is made from.

The format is described in conformance/REPORTS.md and, exactly, in `report.schema.json`.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import jsonschema

from rescind_conformance.case import all_cases
from rescind_conformance.known import KnownFailures
from rescind_conformance.requirements import Level
from rescind_conformance.runner import SuiteReport
from rescind_conformance.trace import trace_json
from rescind_conformance.verdicts import CaseResult, RequirementVerdict, Verdict

Document = dict[str, Any]
"""A report as JSON values."""

FORMAT: Final = "rescind-conformance-report"
VERSION: Final = 2
"""Rises when a reader has to change. 1 was a list of runs, without known failures."""

SUBJECT_NAMES: Final = {"scheduler": "S", "client": "C1", "worker": "W1"}
"""What the subject is called in traces, by its role."""

KNOWN: Final = "known failure"
UNEXPECTED_PASS: Final = "unexpected pass"

_TEXT = re.compile(r"expected: (?P<expected>.*?); (?:but )?(?P<happened>.*)", re.DOTALL)
_AUDITED = "seen in the trace: "


class UnreadableReport(Exception):
    """A file that is no report; the text says which, and why."""


def split_text(text: str) -> tuple[str, str]:
    """What a departure's text says was expected ("" if it does not say), and what happened."""
    match = _TEXT.fullmatch(text)
    if match is not None:
        return match["expected"], match["happened"]
    return "", text.removeprefix(_AUDITED)


def case_verdict(report: SuiteReport, result: CaseResult) -> str:
    """One word or two for a case: a `Verdict`, `KNOWN` or `UNEXPECTED_PASS`."""
    if result.harness_error is not None:
        return Verdict.HARNESS_ERROR
    if result.departures:
        if report.known.explain(result):
            return KNOWN
        levels = {one.requirement.id: one.requirement.level for one in report.verdicts}
        unknown = [name for name in result.departed if report.known.reason(result, name) is None]
        must = any(levels[name] is Level.MUST for name in unknown)
        return Verdict.FAIL if must else Verdict.NON_STRICT
    if report.known.passes_unexpectedly(result, report.results):
        return UNEXPECTED_PASS
    return Verdict.UNSUPPORTED if result.unsupported is not None else Verdict.PASS


def known_reason(report: SuiteReport, one: RequirementVerdict) -> str | None:
    """Why a requirement fails, case by case, if each departure from it is known; otherwise None."""
    reasons = [
        report.known.reason(result, one.requirement.id)
        for result in report.results
        if result.finding(one.requirement.id) is Verdict.FAIL
    ]
    known = [reason for reason in reasons if reason is not None]
    return " ".join(dict.fromkeys(known)) if known and len(known) == len(reasons) else None


def replay_command(report: SuiteReport, result: CaseResult) -> str:
    """The one command that runs a case again; a file's path is from the report's directory."""
    if report.replays_files:
        return f"rescind conformance replay {replay_name(result)} {report.replay_options}"
    return f"rescind conformance {report.role} {report.replay_options} --case {result.case}"


def replay_name(result: CaseResult) -> str:
    """The path of a case's replay file, from the report's directory."""
    return f"replays/{result.role}.{result.case}.json"


def report_document(reports: Sequence[SuiteReport]) -> Document:
    """One report of several runs."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "exit_status": max(report.exit_status for report in reports),
        "seconds": round(sum(report.seconds for report in reports), 3),
        "runs": [_run(report) for report in reports],
    }


def read_document(path: Path) -> Document:
    """The report in a `report.json`, or in the directory that holds one. Raises `UnreadableReport`."""
    file = path / "report.json" if path.is_dir() else path
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UnreadableReport(f"{file} cannot be read: {error}") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise UnreadableReport(f"{file} is not a report: give the report.json of a run with --report")
    if document.get("version") != VERSION:
        raise UnreadableReport(f"{file} has version {document.get('version')!r}, this suite reads version {VERSION}")
    try:
        report_validator().validate(document)
    except jsonschema.ValidationError as error:
        raise UnreadableReport(f"{file} does not fit report.schema.json: {error.json_path}: {error.message}") from error
    return document


@cache
def report_validator() -> Any:
    """Validates a document against `report.schema.json`."""
    schema = (files("rescind_conformance") / "report.schema.json").read_text(encoding="utf-8")
    return jsonschema.Draft202012Validator(json.loads(schema))


def _run(report: SuiteReport) -> Document:
    counts = Counter(one.verdict for one in report.verdicts)
    stories = {case.name: case.story for case in all_cases(report.role)}
    first: dict[tuple[str, ...], int] = {}
    for result in report.results:
        first.setdefault(_finding(result), result.repetition)
    return {
        "role": report.role,
        "subject": {"name": report.subject, "version": report.subject_version, "options": report.replay_options},
        "subject_in_traces": SUBJECT_NAMES[report.role],
        "seconds": round(report.seconds, 3),
        "exit_status": report.exit_status,
        "unexpected": report.unexpected,
        "undecided": report.undecided,
        "warnings": list(report.warnings),
        "counts": {kind.value: counts[kind] for kind in Verdict if counts[kind]},
        "requirements": [_requirement(report, one) for one in report.verdicts],
        "cases": [
            _case(report, result, stories.get(result.case, ""), first[_finding(result)]) for result in report.results
        ],
    }


def _finding(result: CaseResult) -> tuple[str, ...]:
    """What a case found: repetitions that are alike in this are told once."""
    return result.case, str(result.unsupported), str(result.harness_error), *(one.text for one in result.departures)


def _requirement(report: SuiteReport, one: RequirementVerdict) -> Document:
    return {
        "id": one.requirement.id,
        "level": one.requirement.level.value,
        "role": one.requirement.role,
        "text": one.requirement.text,
        "why": one.requirement.reason,
        "verdict": one.verdict.value,
        "reason": one.reason,
        "known": known_reason(report, one),
        "cases": {name: finding.value for name, finding in one.findings.items()},
    }


def _case(report: SuiteReport, result: CaseResult, story: str, first: int) -> Document:
    again = result.repetition != first
    seen = bool(result.departures or result.harness_error) and not again
    return {
        "name": result.case,
        "title": result.title,
        "story": story,
        "repetition": result.repetition,
        "requirements": list(result.declared),
        "checked": sorted(result.checked),
        "verdict": str(case_verdict(report, result)),
        "departures": departures_json(result, report.known),
        "unsupported": result.unsupported,
        "harness_error": result.harness_error,
        "at_fault": None if result.harness_error is None else result.at_fault.value,
        "notes": list(result.notes),
        "seconds": round(result.seconds, 3),
        "replay": replay_command(report, result),
        "replay_file": replay_name(result) if result.departures else None,
        "tasks": {name: task_id.hex() for task_id, name in result.names.items()} if seen else {},
        "trace": trace_json(result.trace, result.names) if seen else [],
        "log": "" if again else result.log,
        "same_as": first if again else None,
    }


def departures_json(result: CaseResult, known: KnownFailures | None = None) -> list[Document]:
    """The departures of a case, as report.json has them."""
    return [
        {
            "requirement": one.requirement,
            "text": one.text,
            "expected": split_text(one.text)[0],
            "happened": split_text(one.text)[1],
            "known": known.reason(result, one.requirement) if known is not None else None,
            "position": len(result.trace) if one.position is None else min(one.position, len(result.trace)),
        }
        for one in result.departures
    ]
