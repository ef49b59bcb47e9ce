"""The directory that `--report` writes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rescind_conformance.html_report import render_report
from rescind_conformance.junit import junit_xml
from rescind_conformance.replay_file import replay_document
from rescind_conformance.report_document import replay_name, report_document
from rescind_conformance.runner import SuiteReport


def write_report(directory: Path, reports: Sequence[SuiteReport]) -> None:
    """Write report.json, junit.xml, report.html and the replay files of cases that departed.

    Makes the directory; replaces what an earlier report has left there. Raises `OSError`.
    """
    replays = directory / "replays"
    replays.mkdir(parents=True, exist_ok=True)
    for old in replays.glob("*.json"):
        old.unlink()
    for report in reports:
        for result in reversed(report.results):  # so that the first time a case departed stays
            if result.departures:
                _write_json(directory / replay_name(result), replay_document(report, result))
    document = report_document(reports)
    _write_json(directory / "report.json", document)
    (directory / "junit.xml").write_text(junit_xml(document), encoding="utf-8")
    (directory / "report.html").write_text(render_report(document), encoding="utf-8")


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
