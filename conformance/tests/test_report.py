"""What a run writes: the console, report.json, junit.xml, report.html, its diagrams, and the comparison."""

from __future__ import annotations

import copy
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest
from chromium import Page, find_chromium
from rich.console import Console
from typer.testing import CliRunner

from rescind.messages import (
    CancelConfirmType,
    ClientHeartbeat,
    ClientHeartbeatEcho,
    Task,
    TaskCancel,
    TaskCancelConfirm,
    TaskLog,
)
from rescind_conformance import cli
from rescind_conformance.cli import app
from rescind_conformance.compare import agree, columns, compare
from rescind_conformance.console_report import case_count, print_report
from rescind_conformance.html_report import render_report
from rescind_conformance.junit import junit_xml
from rescind_conformance.known import KnownFailure, KnownFailures
from rescind_conformance.report_document import (
    Document,
    UnreadableReport,
    read_document,
    report_document,
    report_validator,
    split_text,
)
from rescind_conformance.report_files import write_report
from rescind_conformance.requirements import Level, Requirement, load_requirements
from rescind_conformance.runner import SuiteReport, select_cases
from rescind_conformance.sequence_diagram import MOST_ROWS, Kind, Row, diagram_rows, diagram_svg, participants
from rescind_conformance.trace import Entry
from rescind_conformance.verdicts import CaseResult, Departure, judge

TASK = b"1" * 16
NAMES = {TASK: "T1"}
HOSTILE = "</script><script>alert(1)</script>\x00\x1b"
"""What a subject may write into a log, a name or a message."""
RULES = {
    "S5.1": Requirement("S5.1", Level.MUST, "A result <is> forwarded; `canceled` is not.", "it is done"),
    "S8.4": Requirement("S8.4", Level.SHOULD, "Logs are forwarded.", "people read them"),
}
CANCELED = TaskCancelConfirm(TASK, CancelConfirmType.CANCELED)
TRACE = [
    Entry(1, "C1", "S", Task(TASK, b"C1")),
    Entry(1, "S", "W1", Task(TASK, b"C1")),
    Entry(2, "C1", "S", TaskCancel(TASK)),
    Entry(2, "S", "C1", CANCELED),
    Entry(3, "W1", "W1", None, "falls silent"),
    Entry(3, "W1", "S", TaskLog(TASK, content=HOSTILE)),
    Entry(3, "W1", "S", None, "garbage"),
]


def result(name: str, *departures: Departure, **changes: Any) -> CaseResult:
    made = CaseResult(f"crossing.{name}", f"title of {name}", ("S5.1",), trace=list(TRACE), names=NAMES)
    made.departures = list(departures)
    made.checked = {"S5.1"}
    for attribute, value in changes.items():
        setattr(made, attribute, value)
    return made


def missing() -> Departure:
    return Departure("S5.1", "expected: C1 gets TaskResult T1 success; but C1 got nothing", position=3)


def unwanted() -> Departure:
    text = "expected: C1 gets nothing about T1 more; but C1 got TaskCancelConfirm T1 canceled"
    return Departure("S5.1", text, position=len(TRACE))


def suite(*results: CaseResult, known: KnownFailures | None = None, subject: str = "toy") -> SuiteReport:
    verdicts = [judge("scheduler", one, results) for one in RULES.values()]
    return SuiteReport("scheduler", subject, "1.0", "--subject toy", results, verdicts, 1.5, known or KnownFailures())


def known(case: str) -> KnownFailures:
    return KnownFailures((KnownFailure("scheduler", "S5.1", case, "It swallows <it>."),))


BROKEN = result("broken", harness_error="ZeroDivisionError: ours")
MIXED = suite(
    result("as-known", missing()),
    result("worse", missing(), unwanted(), log=HOSTILE),
    BROKEN,
    result("optional", unsupported="never shown"),
    result("lenient", Departure("S8.4", "expected: a line; but none")),
    result("fine"),
    known=known("crossing.as-known"),
)


def printed(report: SuiteReport, *, verbose: bool = False, width: int = 110) -> str:
    console = Console(width=width, file=io.StringIO())
    with console.capture() as captured:
        print_report(report, console, verbose=verbose)
    return captured.get()


# --- the console


def test_known_failures_take_a_line_and_the_unexpected_comes_last() -> None:
    text = printed(MIXED)
    assert "S5.1 in crossing.as-known, known: It swallows <it>." in text
    assert "crossing.as-known: title of as-known" not in text
    assert text.index("crossing.worse: title of worse") > text.index("in crossing.as-known, known:")
    after = text[text.index("Not expected:") :]
    assert "  S5.1 fails in crossing.worse" in after
    assert "as-known" not in after
    assert "Messages (S is the subject" in text
    assert "1 fail" in text.splitlines()[-1] or "1 fail" in text.splitlines()[-2]


def test_verbose_shows_the_messages_of_known_failures() -> None:
    assert "crossing.as-known: title of as-known" in printed(MIXED, verbose=True)


def test_a_requirement_whose_departures_are_all_known_says_so() -> None:
    text = printed(suite(result("as-known", missing()), known=known("crossing.as-known")))
    assert "known failure" in text
    assert "known: It swallows <it>." in text
    assert "Not expected" not in text


def test_of_the_cases_of_a_requirement_all_are_counted() -> None:
    stray = result("stray", missing())
    stray.declared = ("S8.4",)
    unreached = result("unreached", Departure("S8.4", "no"), checked=set())
    optional = result("optional", checked=set(), unsupported="no rebalancing", lacks="feature moves")
    few = suite(result("fine"), optional)
    many = suite(result("fine"), result("bad", missing()), optional, unreached, stray)
    assert [case_count(few, one) for one in few.verdicts] == [("1/2", "(1 unsupported)"), ("", "")]
    assert [case_count(many, one) for one in many.verdicts] == [
        ("1/4", "(1 not reached, 1 unsupported, 1 elsewhere)"),
        ("0/1", "(1 not reached, 1 elsewhere)"),
    ]
    assert "Unsupported: feature moves (1 case)" in printed(many)
    assert "│ 1/2 (1 unsupported) │ A result" in printed(few)
    assert "│ 1/2   │ (1 unsupported) A result" in printed(few, width=80)


def test_what_is_missing_names_the_requirements_that_hang_on_it() -> None:
    optional = [
        result(name, checked=set(), declared=("S8.4",), unsupported=f"{name} is long", lacks="feature moves")
        for name in ("one", "two")
    ]
    assert "Unsupported: feature moves (2 cases): S8.4" in printed(suite(result("fine"), *optional))


def test_a_failure_tells_its_story_and_the_end_of_the_log() -> None:
    (case,) = select_cases("crossing.result-crosses-cancel")
    failed = result("result-crosses-cancel", missing(), log="\n".join(f"line {number}" for number in range(30)))
    text = " ".join(printed(suite(failed)).split())
    assert " ".join(case.story.split()) in text
    assert "The subject's last lines: line 20 line 21" in text
    assert text.index("line 29 Replay:") > text.index("Messages (S is the subject")


def test_a_departure_that_comes_with_each_repetition_is_told_once() -> None:
    again = [result("again", missing(), repetition=number) for number in range(5)]
    again[3] = result("again", unwanted(), repetition=3)
    text = printed(suite(*again))
    assert text.count("crossing.again: title of again (4 times)") == 1
    assert text.count("crossing.again: title of again") == 2
    known_text = printed(suite(*again[:3], known=known("*")))
    assert known_text.count("S5.1 in crossing.again, known:") == 1


def test_a_long_requirement_is_told_by_its_beginning() -> None:
    requirements = load_requirements()
    for name, says in (
        ("M1", "the receiver goes on. ..."),
        ("M6", "A value that an enumeration does not name is handled so: ..."),
    ):
        failed = result("case", Departure(name, "no"), declared=(name,), checked=set())
        verdicts = [judge("scheduler", requirements[name], [failed])]
        report = SuiteReport("scheduler", "toy", "1.0", "", [failed], verdicts, 1.5, KnownFailures())
        (line,) = (line for line in printed(report).splitlines() if line.startswith(f"{name} MUST: "))
        assert line.endswith(says)


def test_the_tasks_of_fences_are_explained_once() -> None:
    fence = Entry(2, "C1", "C1", None, "has handled everything so far (F1)")
    failures = [result(name, missing(), trace=[fence], role="client") for name in ("one", "two")]
    report = suite(*failures)
    client = SuiteReport("client", "toy", "1.0", "", report.results, report.verdicts, 1.5, KnownFailures())
    explained = "F1, F2...: tasks of the suite's own, which tell that C1 has handled what came before"
    assert printed(client).count(explained) == 1
    assert explained not in printed(report)


def test_where_there_is_no_terminal_progress_is_told_in_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter(range(0, 1000, 6))
    monkeypatch.setattr("rescind_conformance.cli.time.monotonic", lambda: next(clock))
    told = cli.ProgressLines(5, known("crossing.as-known"))
    (case,) = select_cases("crossing.result-crosses-cancel")
    for each in (result("fine"), result("as-known", missing()), result("worse", missing()), BROKEN, result("last")):
        told.on_case(case, None)
        told.on_case(case, each)
    assert capsys.readouterr().err.splitlines() == [
        "2 of 5 cases, 0 fail",
        "4 of 5 cases, 1 fail, 1 with a harness error",
    ]


# --- report.json


def test_the_document_fits_its_schema() -> None:
    document = json.loads(json.dumps(report_document([MIXED])))
    report_validator().validate(document)
    verdicts = {case["name"].partition(".")[2]: case["verdict"] for case in document["runs"][0]["cases"]}
    assert verdicts == {
        "as-known": "known failure",
        "worse": "fail",
        "broken": "harness error",
        "optional": "unsupported",
        "lenient": "non-strict",
        "fine": "pass",
    }
    cases = {case["name"]: case for case in document["runs"][0]["cases"]}
    assert cases["crossing.fine"]["trace"] == []
    assert cases["crossing.worse"]["trace"][2]["message"]["taskCancel"]["flags"] == {"force": False}
    assert document["exit_status"] == 2


def test_the_schema_refuses_what_is_not_described() -> None:
    document = report_document([MIXED])
    document["runs"][0]["cases"][0]["verdict"] = "splendid"
    with pytest.raises(jsonschema.ValidationError):
        report_validator().validate(document)


@pytest.mark.parametrize(
    ("text", "expected", "happened"),
    [
        ("expected: C1 gets A; but C1 got B; then C", "C1 gets A", "C1 got B; then C"),
        ("expected: the heartbeat is echoed; no echo came in 10 s", "the heartbeat is echoed", "no echo came in 10 s"),
        ("seen in the trace: C1 got A", "", "C1 got A"),
        ("the scheduler died", "", "the scheduler died"),
    ],
)
def test_a_text_says_what_was_expected_and_what_happened(text: str, expected: str, happened: str) -> None:
    assert split_text(text) == (expected, happened)


@pytest.mark.parametrize(
    ("content", "says"),
    [("{", "cannot be read"), ("[]", "is not a report"), ('{"format": "rescind-conformance-report"}', "version None")],
)
def test_what_is_no_report_is_refused(tmp_path: Path, content: str, says: str) -> None:
    (tmp_path / "report.json").write_text(content)
    with pytest.raises(UnreadableReport, match=says):
        read_document(tmp_path)


# --- junit.xml


def test_junit_has_one_testcase_a_case() -> None:
    document = report_document([MIXED])
    root = ElementTree.fromstring(junit_xml(document))
    (role,) = root.findall("testsuite")
    assert (role.get("name"), role.get("tests"), role.get("failures"), role.get("errors")) == (
        "scheduler",
        "6",
        "1",
        "1",
    )
    tests = {test.get("name"): test for test in role.findall("testcase")}
    failure = tests["worse"].find("failure")
    assert failure is not None
    assert failure.get("message") == "S5.1: expected: C1 gets TaskResult T1 success; but C1 got nothing"
    assert "C1 -> S   TaskCancel T1" in (failure.text or "")
    skipped = tests["as-known"].find("skipped")
    assert skipped is not None
    assert skipped.get("message") == "known: S5.1: It swallows <it>."
    assert [len(tests[name]) for name in ("broken", "optional", "lenient", "fine")] == [1, 1, 1, 0]


def test_junit_fails_where_the_run_fails() -> None:
    """A known failure that did not come, and a case that found one thing and then another."""
    passes = suite(result("as-known"), known=known("crossing.as-known"))
    flaky = suite(result("optional", checked=set(), unsupported="no"), result("optional", repetition=1))
    for report in (passes, flaky):
        assert report.exit_status == 1
        assert 'failures="1"' in junit_xml(report_document([report]))


def test_junit_is_well_formed_whatever_was_said() -> None:
    report = suite(result("case", Departure("S5.1", f"expected: C1 gets it; but C1 got {HOSTILE}")))
    failure = ElementTree.fromstring(junit_xml(report_document([report]))).find(".//failure")
    assert failure is not None
    assert "</script>" in failure.attrib["message"]


# --- diagrams


def rows_of(*departures: Departure) -> list[Row]:
    document = report_document([suite(result("case", *departures))])
    case = document["runs"][0]["cases"][0]
    return diagram_rows(case["trace"], case["departures"], "S")


def test_a_message_that_did_not_come_is_drawn_where_it_was_due() -> None:
    rows = rows_of(missing())
    assert rows[3] == Row(Kind.REQUIRED, "S", "C1", "S5.1 required: TaskResult T1 success")
    assert [row.kind for row in rows].count(Kind.REQUIRED) == 1
    assert Kind.OFFENDING not in [row.kind for row in rows]


def test_a_message_that_should_not_have_come_is_marked() -> None:
    rows = rows_of(unwanted())
    assert rows[3] == Row(Kind.OFFENDING, "S", "C1", "TaskCancelConfirm T1 canceled")
    assert rows[-1] == Row(Kind.RULE, "", "", "S5.1 required: C1 gets nothing about T1 more")


def test_the_same_words_to_another_peer_are_not_to_blame() -> None:
    case = result("case", Departure("S5.1", unwanted().text, position=len(TRACE) + 1))
    case.trace = [*TRACE, Entry(4, "S", "C2", CANCELED)]
    document = report_document([suite(case)])["runs"][0]["cases"][0]
    rows = diagram_rows(document["trace"], document["departures"], "S")
    assert [row.receiver for row in rows if row.kind is Kind.OFFENDING] == ["C1"]


def test_answered_heartbeats_are_not_drawn() -> None:
    fence = [Entry(0, "C1", "S", ClientHeartbeat(), fence=True), Entry(0, "S", "C1", ClientHeartbeatEcho(), fence=True)]
    case = result("case", missing(), trace=[*fence, *fence, *TRACE])
    document = report_document([suite(case)])["runs"][0]["cases"][0]
    rows = diagram_rows(document["trace"], document["departures"], "S")
    assert [row.text for row in rows].count("ClientHeartbeatEcho") == 1


def test_a_client_under_test_is_to_blame_for_what_it_sends() -> None:
    texts = {"expected": "C1 sends TaskCancel T1", "happened": "it sent nothing"}
    departure = {"requirement": "C1.1", "position": 0, **texts}
    assert diagram_rows([], [departure], "C1") == [Row(Kind.REQUIRED, "C1", "S", "C1.1 required: TaskCancel T1")]


def test_the_scheduler_stands_between_clients_and_workers() -> None:
    rows = [Row(Kind.MESSAGE, "W10", "S", ""), Row(Kind.MESSAGE, "W2", "S", ""), Row(Kind.MESSAGE, "C1", "S", "")]
    assert participants(rows, "S") == ["C1", "S", "W2", "W10"]


def test_a_long_trace_is_folded_and_its_departure_stays() -> None:
    entry = report_document([suite(result("case", missing()))])["runs"][0]["cases"][0]["trace"]
    trace = [{**entry[0], "words": f"Task T{number}"} for number in range(1000)]
    departure = {"requirement": "S5.1", "expected": "C1 gets it", "happened": "C1 got nothing", "position": 500}
    rows = diagram_rows(trace, [departure], "S")
    assert len(rows) <= MOST_ROWS
    assert [row.kind for row in rows].count(Kind.FOLD) == 2
    assert [row.kind for row in rows].count(Kind.REQUIRED) == 1


def test_a_diagram_is_well_formed_whatever_is_in_it() -> None:
    svg = diagram_svg([Row(Kind.MESSAGE, "C1", "S", "<&\"'>"), Row(Kind.EVENT, "W1", "W1", "]]>")], "S", "<title>")
    root = ElementTree.fromstring(svg)
    texts = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts == ["C1", "S", "W1", "<&\"'>", "]]>"]


# --- report.html


def test_the_page_escapes_what_a_subject_says() -> None:
    page = render_report(report_document([MIXED]))
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "A result &lt;is&gt; forwarded; <code>canceled</code> is not." in page
    assert not re.search(r"""(src|href)=["'](?!#|data:,)""", page)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    program = find_chromium()
    if program is None:
        pytest.skip("there is no Chromium: apt-get install chromium")
    with Page(program, tmp_path_factory.mktemp("chromium")) as page:
        yield page


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_in_a_browser(browser: Page, tmp_path: Path, width: int, dark: bool) -> None:
    write_report(tmp_path, [MIXED])
    page = tmp_path / "report.html"
    browser.show(page.as_uri(), width=width, dark=dark)
    browser.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    assert [address for address in browser.requests() if not address.startswith("data:")] == [page.as_uri()]
    diagrams = "[...document.querySelectorAll('details.failure svg.sequence')]"
    assert browser.evaluate(f"{diagrams}.filter(one => one.getBoundingClientRect().height > 100).length") == 4
    assert browser.evaluate("document.querySelectorAll('svg .required .arrow').length") == 2
    assert browser.evaluate("document.querySelectorAll('svg .offending .arrow').length") == 1
    assert browser.evaluate("getComputedStyle(document.querySelector('.required .arrow')).strokeDasharray") != "none"
    brightness = "getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g).reduce((sum, one) => sum + +one, 0)"
    assert (browser.evaluate(brightness) < 3 * 128) is dark


def test_the_filter_hides_a_verdict_without_a_script(browser: Page, tmp_path: Path) -> None:
    write_report(tmp_path, [MIXED])
    browser.show((tmp_path / "report.html").as_uri(), width=1280)
    height = "document.getElementById('scheduler.S5.1').getBoundingClientRect().height"
    assert browser.evaluate(height) > 0
    browser.evaluate("document.getElementById('show-scheduler-fail').click()")
    assert browser.evaluate(height) == 0


# --- files


def test_a_report_replaces_the_replay_files_of_an_earlier_one(tmp_path: Path) -> None:
    write_report(tmp_path, [MIXED])
    assert (tmp_path / "replays" / "scheduler.crossing.worse.json").is_file()
    write_report(tmp_path, [suite(result("fine"))])
    assert list((tmp_path / "replays").iterdir()) == []
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["junit.xml", "replays", "report.html", "report.json"]


# --- comparing


def written(directory: Path, *reports: SuiteReport) -> str:
    write_report(directory, reports)
    return str(directory)


def test_equal_reports_agree(tmp_path: Path) -> None:
    one, other = (written(tmp_path / name, MIXED) for name in ("one", "other"))
    answer = CliRunner().invoke(app, ["compare", one, other])
    assert answer.exit_code == 0, answer.output
    assert "0 of 2 requirements differ" in answer.output


def test_a_difference_is_marked_and_told_by_case(tmp_path: Path) -> None:
    one, other = written(tmp_path / "one", MIXED), written(tmp_path / "two", suite(result("worse"), subject="better"))
    page = tmp_path / "compare.html"
    answer = CliRunner().invoke(app, ["compare", one, other, "--html", str(page)])
    assert answer.exit_code == 1
    assert "S5.1 in crossing.worse: fail, pass" in answer.output
    assert page.read_text().count('class="differs"') == 2


def test_another_case_that_fails_is_a_difference() -> None:
    """The verdict is the same in both."""
    one = report_document([suite(result("one", missing()), result("two"))])
    other = report_document([suite(result("one"), result("two", missing()))])
    row = compare([one, other])["scheduler"][0]
    assert (row["verdicts"], row["differs"]) == (["fail", "fail"], True)
    assert [each["case"] for each in row["cases"]] == ["crossing.one", "crossing.two"]


def test_a_role_that_one_report_lacks_is_absent() -> None:
    document: Document = report_document([MIXED])
    other = copy.deepcopy(document)
    other["runs"][0]["role"] = "worker"
    rows = compare([document, other])
    assert [row["verdicts"][1] for row in rows["scheduler"]] == ["absent", "absent"]
    assert not agree(rows)
    assert columns([document, other]) == ["toy 1.0 #1", "toy 1.0 #2"]


def test_what_cannot_be_compared_says_why(tmp_path: Path) -> None:
    answer = CliRunner().invoke(app, ["compare", str(tmp_path), str(tmp_path)])
    assert answer.exit_code == 2
    assert "cannot be read" in answer.output
