"""The report and the comparison as pages: one file each, with nothing from outside, readable without a script."""

from __future__ import annotations

import json
from collections import Counter
from functools import cache
from typing import Any

import jinja2
from markupsafe import Markup, escape

from rescind_conformance.report_document import KNOWN, UNEXPECTED_PASS, Document
from rescind_conformance.sequence_diagram import diagram_rows, diagram_svg
from rescind_conformance.verdicts import AtFault, Verdict
from rescind_conformance.visible_text import visible

_BAD = (Verdict.FAIL, UNEXPECTED_PASS, Verdict.HARNESS_ERROR)
_SHOWN_CASES = (*_BAD, Verdict.NON_STRICT, KNOWN)
"""The cases that the page tells of, worst first."""
MOST_MESSAGES = 200
"""Of a longer trace the page decodes the first and the last; report.json has all of them."""


def render_report(document: Document) -> str:
    """`report.html` of a report's document."""
    runs = [_run(run) for run in document["runs"]]
    template = _environment().get_template("report.html.j2")
    return template.render(document=document, runs=runs, departed=any(run["failures"] for run in runs))


def render_comparison(subjects: list[str], roles: dict[str, list[dict[str, Any]]]) -> str:
    """The page of a comparison; `roles` has the rows of each role, see `compare`."""
    return _environment().get_template("compare.html.j2").render(subjects=subjects, roles=roles)


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("rescind_conformance"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["slug"] = slug
    environment.filters["code"] = with_code
    environment.filters["decoded"] = lambda message: visible(json.dumps(message, indent=1, ensure_ascii=False))
    return environment


def slug(text: str) -> str:
    """A verdict as the name of a class."""
    return text.replace(" ", "-")


def with_code(text: str) -> Markup:
    """A text of SPEC.md, its `code` as code; everything is escaped."""
    parts = text.split("`")
    code = Markup("<code>{}</code>")
    return Markup("").join(code.format(part) if number % 2 else escape(part) for number, part in enumerate(parts))


def shown_verdict(requirement: Document) -> str:
    """A requirement's verdict, `KNOWN` if it fails as is known."""
    return KNOWN if requirement["known"] is not None else str(requirement["verdict"])


def _run(run: Document) -> dict[str, Any]:
    cases = [case for case in run["cases"] if case["verdict"] in _SHOWN_CASES and case.get("same_as") is None]
    alike = Counter((case["name"], case.get("same_as")) for case in run["cases"])
    cases.sort(key=lambda case: _SHOWN_CASES.index(case["verdict"]))  # stable: else in the order of the run
    requirements = [{**one, "shown": shown_verdict(one)} for one in run["requirements"]]
    counts = Counter(one["shown"] for one in requirements)
    order = [*(kind.value for kind in Verdict), KNOWN]
    unsupported = [case for case in run["cases"] if case["verdict"] == Verdict.UNSUPPORTED]
    return {
        **run,
        "called": f"{run['subject']['name']} {run['subject']['version']}".strip(),
        "requirements": requirements,
        "counts": {kind: counts[kind] for kind in order if counts[kind]},
        "unsupported": unsupported,
        "failures": [{**_failure(run, case), "times": 1 + alike[case["name"], case["repetition"]]} for case in cases],
        "bad": sum(case["verdict"] in _BAD for case in cases),
    }


def _failure(run: Document, case: Document) -> dict[str, Any]:
    subject = run["subject_in_traces"]
    requirements = {one["id"]: one for one in run["requirements"]}
    rows = diagram_rows(case["trace"], case["departures"], subject)
    messages = [entry for entry in case["trace"] if entry["shown"] and entry["from"] != entry["to"]]
    left_out = max(0, len(messages) - MOST_MESSAGES)
    if left_out:
        messages = messages[: MOST_MESSAGES // 2] + messages[-MOST_MESSAGES // 2 :]
    return {
        **case,
        "anchor": anchor(run["role"], case),
        "rules": [
            {
                **requirements[name],
                "known": next(one["known"] for one in case["departures"] if one["requirement"] == name),
                "departures": [one for one in case["departures"] if one["requirement"] == name],
            }
            for name in dict.fromkeys(one["requirement"] for one in case["departures"])
        ],
        # The diagram escapes what is in it.
        "diagram": Markup(diagram_svg(rows, subject, f"{case['name']}: {case['title']}")) if rows else "",
        "messages": messages,
        "left_out": left_out,
        "whose_fault": AtFault(case["at_fault"]).heading if case["harness_error"] else "",
    }


def anchor(role: str, case: Document) -> str:
    """The name of a case within the page."""
    again = f"-{case['repetition'] + 1}" if case["repetition"] else ""
    return f"{role}.{case['name']}{again}"
