"""The directory that `--report` writes."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from rescind_conformance.html_report import render_report
from rescind_conformance.junit import junit_xml
from rescind_conformance.replay_file import replay_document
from rescind_conformance.report_document import SUBJECT_NAMES, departures_json, replay_name, report_document
from rescind_conformance.runner import SuiteReport
from rescind_conformance.sequence_diagram import diagram_file, diagram_rows
from rescind_conformance.trace import trace_json
from rescind_conformance.verdicts import CaseResult


def require_writable(directory: Path) -> None:
    """Make the directory of a report, and make sure that files can be made in it. Raises `OSError`."""
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=directory):
        pass


def write_report(directory: Path, reports: Sequence[SuiteReport]) -> None:
    """Write report.json, junit.xml, report.html, and of cases that departed replay files and pictures.

    Makes the directory; replaces what an earlier report has left there. Raises `OSError`.
    """
    replays = directory / "replays"
    replays.mkdir(parents=True, exist_ok=True)
    for old in (*replays.glob("*.json"), *replays.glob("*.svg")):
        old.unlink()
    for report in reports:
        for result in reversed(report.results):  # so that the first time a case departed stays
            if result.departures:
                _write_json(directory / replay_name(result), replay_document(report, result))
                (directory / picture_name(result)).write_text(picture(result), encoding="utf-8")
    document = report_document(reports)
    _write_json(directory / "report.json", document)
    (directory / "junit.xml").write_text(junit_xml(document), encoding="utf-8")
    (directory / "report.html").write_text(render_report(document), encoding="utf-8")


def picture_name(result: CaseResult) -> str:
    """The path of the sequence diagram of a case, from the report's directory."""
    return str(PurePosixPath(replay_name(result)).with_suffix(".svg"))


def picture(result: CaseResult) -> str:
    """The sequence diagram of a case that departed, as an SVG file."""
    subject = SUBJECT_NAMES[result.role]
    rows = diagram_rows(trace_json(result.trace, result.names), departures_json(result), subject)
    return diagram_file(rows, subject, f"{result.case}: {result.title}")


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
