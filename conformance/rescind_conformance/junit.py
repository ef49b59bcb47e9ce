"""The report as JUnit XML, as CI systems read it: one testsuite a role, one testcase a case."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from rescind_conformance.report_document import KNOWN, UNEXPECTED_PASS, Document
from rescind_conformance.verdicts import AtFault, Verdict

_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_xml(document: Document) -> str:
    """The document of a report as JUnit XML.

    Known failures and what is unsupported are skipped, with the reason; a known failure that did not come is a
    failure; a harness error is an error; a SHOULD that is missed passes, and says so in its output.
    """
    root = ElementTree.Element("testsuites", name="rescind conformance", time=_seconds(document["seconds"]))
    for run in document["runs"]:
        root.append(_suite(run))
    for count in ("tests", "failures", "errors", "skipped"):
        root.set(count, str(sum(int(suite.get(count, "0")) for suite in root)))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _suite(run: Document) -> ElementTree.Element:
    suite = ElementTree.Element("testsuite", name=run["role"], time=_seconds(run["seconds"]))
    properties = ElementTree.SubElement(suite, "properties")
    for name in ("name", "version"):
        ElementTree.SubElement(properties, "property", name=f"subject.{name}", value=_clean(run["subject"][name]))
    for case in run["cases"]:
        suite.append(_testcase(run, case))
    tests = suite.findall("testcase")
    if run["exit_status"] == 1 and not suite.findall("testcase/failure"):
        # Such as a case that found one thing and then another, neither of which is a failure by itself.
        test = ElementTree.SubElement(suite, "testcase", classname=run["role"], name="as expected", time="0")
        _say(test, "failure", run["unexpected"][0], "\n".join(run["unexpected"]))
        tests.append(test)
    suite.set("tests", str(len(tests)))
    for count, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(count, str(len(suite.findall(f"testcase/{tag}"))))
    return suite


def _testcase(run: Document, case: Document) -> ElementTree.Element:
    again = f" ({case['repetition'] + 1})" if case["repetition"] else ""
    module, _, name = case["name"].partition(".")
    test = ElementTree.Element(
        "testcase", classname=f"{run['role']}.{module}", name=f"{name}{again}", time=_seconds(case["seconds"])
    )
    departures = "\n".join(f"{one['requirement']}: {one['text']}" for one in case["departures"])
    match case["verdict"]:
        case Verdict.HARNESS_ERROR:
            at_fault, lines = AtFault(case["at_fault"]), case["harness_error"].strip().splitlines()
            line = lines[0 if at_fault is AtFault.ADAPTER else -1]  # of a traceback the last says what it was
            _say(test, "error", f"{at_fault.heading} {line}", case["harness_error"])
        case Verdict.FAIL:
            levels = {one["id"]: one["level"] for one in run["requirements"]}
            loud = [one for one in case["departures"] if one["known"] is None]
            loud.sort(key=lambda one: levels[one["requirement"]] != "MUST")
            _say(test, "failure", f"{loud[0]['requirement']}: {loud[0]['text']}", _failure_text(case, departures))
        case verdict if verdict == UNEXPECTED_PASS:
            lines = [line for line in run["unexpected"] if f" in {case['name']}," in line]
            _say(test, "failure", "a known failure did not come", "\n".join(lines))
        case verdict if verdict == KNOWN:
            reasons = dict.fromkeys(f"{one['requirement']}: {one['known']}" for one in case["departures"])
            _say(test, "skipped", "known: " + "; ".join(reasons), "")
            ElementTree.SubElement(test, "system-out").text = _clean(departures)
        case Verdict.UNSUPPORTED:
            _say(test, "skipped", f"unsupported: {case['unsupported']}", "")
        case Verdict.NON_STRICT:
            ElementTree.SubElement(test, "system-out").text = _clean(f"non-strict: {departures}")
    return test


def _failure_text(case: Document, departures: str) -> str:
    lines = [f"  {one['from']:>3} -> {one['to']:<3} {one['words']}" for one in case["trace"] if one["shown"]]
    trace = "\n".join(lines if len(lines) <= 200 else [*lines[:100], "  ...", *lines[-100:]])
    notes = "".join(f"\n\n{note}" for note in case["notes"])
    return f"{departures}{notes}\n\nMessages:\n{trace}\n\nReplay: {case['replay']}"


def _say(test: ElementTree.Element, tag: str, message: str, text: str) -> None:
    ElementTree.SubElement(test, tag, message=_clean(message)).text = _clean(text)


def _clean(text: str) -> str:
    """Without the characters that XML cannot hold: a subject may write anything."""
    return _NOT_XML.sub("\ufffd", text)


def _seconds(value: float) -> str:
    return f"{value:.3f}"
