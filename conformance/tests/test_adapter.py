"""Adapters that misbehave: what they said is quoted, nothing hangs, and nothing is left behind."""

from __future__ import annotations

import io
import re
import shlex
import socket
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import psutil
import pytest
from rich.console import Console
from typer.testing import CliRunner

from rescind_conformance import adapter
from rescind_conformance.adapter_calls import Call
from rescind_conformance.adapter_subjects import adapter_by_command
from rescind_conformance.cli import app
from rescind_conformance.console_report import print_report
from rescind_conformance.html_report import render_report
from rescind_conformance.junit import junit_xml
from rescind_conformance.process import SubjectUnavailable
from rescind_conformance.report_document import report_document, report_validator
from rescind_conformance.report_files import write_report
from rescind_conformance.runner import Plan, SuiteReport, run_suite, select_cases
from rescind_conformance.verdicts import AtFault, Verdict

PLAN = Plan(deadline=0.5)
TESTS = Path(__file__).parent
DOCUMENT = TESTS.parent / "ADAPTER.md"


def command_of(program: str, *arguments: str) -> str:
    """A command line that starts one of the programs beside this file."""
    return shlex.join([sys.executable, str(TESTS / program), *arguments])


def play(fault: str) -> SuiteReport:
    command = command_of("bad_adapter.py", fault)
    cases = select_cases("asking.cancel-waits", role="client")
    return run_suite(lambda: adapter_by_command("client", command), cases, PLAN)


def play_bent(fault: str, case: str) -> SuiteReport:
    """A case against the reference behind an adapter with this fault."""
    command = command_of("bent_adapter.py", fault)
    return run_suite(lambda: adapter_by_command("client", command), select_cases(case, role="client"), Plan(deadline=2))


def printed(report: SuiteReport) -> str:
    console = Console(width=110, file=io.StringIO())
    with console.capture() as captured:
        print_report(report, console)
    return captured.get()


@pytest.fixture(autouse=True)
def _nothing_left_behind() -> Iterator[None]:
    before = psutil.Process().children()  # such as multiprocessing's, of other tests
    yield
    assert [one for one in psutil.Process().children() if one not in before] == []


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("hello: not JSON", 'a line that is not JSON: "Traceback: I am no JSON". Only events may go there'),
        ("hello: another role", "says that it is a worker's, and this run is for a client"),
        ("hello: another protocol", "version 7"),
        ("hello: half of it", "hello: 'name' is a required property"),
        ("hello: something else", '"event": "settled"'),
        ("hello: twice", "one line with its hello"),
        ("hello: half a character in an address", 'hello, field "storage": no address has such characters: '),
        ("hello: exits", "the adapter ended with status 3 before its hello"),
        ("hello: exits", "ImportError: no module named mine"),
        ("hello: silent", "wrote no hello in 2 s: is standard output flushed?"),
        ("hello: not flushed", "wrote no hello in 2 s: is standard output flushed?"),
        ("hello: floods", '"event": "settled"'),
        ("hello: never ends its line", "a line of more than"),
    ],
)
def test_without_an_introduction_nothing_can_run(fault: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    silent = fault in ("hello: silent", "hello: not flushed")
    monkeypatch.setattr(adapter, "START_SECONDS", 2.0 if silent else 30.0)
    with pytest.raises(SubjectUnavailable) as caught:
        play(fault)
    assert says in str(caught.value)
    assert str(caught.value).count("The adapter said last:") <= 1


def test_a_late_introduction_is_waited_for(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """With a word on what may be the cause."""
    monkeypatch.setattr(adapter, "HINT_SECONDS", 0.1)
    opened = adapter_by_command("client", command_of("bad_adapter.py", "hello: late"))
    opened.close()
    assert opened.name == "bad"
    (word,) = caplog.messages
    assert word == "the adapter runs, but wrote no hello in 0.1 s: is standard output flushed? It is waited for on."


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("not JSON", 'is not JSON: "debug: started". Only events may go there: print to standard error'),
        ("not an object", '["event", "done"]'),
        ("not UTF-8", "a line that is not JSON"),
        ("nested without end", "[[[["),
        ("an unknown event", 'dance, field "event": '),
        ("an answer without its id", "done: 'id' is a required property"),
        ("a field of another kind", "is not of type 'integer'"),
        ("a second answer", "a second answer to id 1 (connect): each command is answered once"),
        ("an answer to nobody", "an answer to id 999, which no command had"),
        ("a second hello", "a second hello"),
        ("settled of a list", "settled, field \"task\": ['T1'] is not of type 'string'"),
        ("started of an object", "started, field \"task\": {'T1': 1} is not of type 'string'"),
        ("an id that is a list", "settled, field \"id\": [1] is not of type 'integer'"),
        ("raised nothing", "raised of connect (id 1), field \"error\": None is not of type 'string'"),
        ("half a character", 'dance \\ud800, field "event": '),
        ("half a character in bytes", 'dance \\ud800, field "event": '),
        ("control characters", 'is not JSON: "\\x1b[31mdebug\\x07". Only events'),
        ("raises half a character", "OSError: \\ud800"),
        ("silent", "it owes an answer to connect (id 1), ping (id 2). Does it read on while a command waits?"),
        ("crashes", "the adapter was ended by signal 6 in the middle of the case"),
        ("crashes", "Segmentation fault (core dumped)"),
        ("closes its output", "closed its standard output in the middle of the case"),
        ("floods", "of the task 'T9', of which it was never told"),
        ("floods with answers to nobody", "an answer to id 77, which no command had"),
        ("later: floods", "more than 1500 lines"),
        ("never ends its line", "a line of more than"),
        ("raises", "OSError: no route to host"),
        ("later: an answer without its fields", "done of submit (id 2): without task_id"),
        ("later: a wrong field", 'done of submit (id 2), field "task_id": '),
        ("later: answers nothing but unknown commands", "submit(T1) has not returned"),
    ],
)
def test_what_a_bad_adapter_says_is_a_harness_error(fault: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter, "_MOST_LINES", 1500)
    report = play(fault)
    (result,) = report.results
    assert result.departures == []
    assert result.harness_error is not None
    assert says in result.harness_error
    assert "Traceback (most recent" not in result.harness_error
    assert result.at_fault is AtFault.ADAPTER
    assert [one.verdict for one in report.verdicts] == [Verdict.HARNESS_ERROR]
    assert report.exit_status == 2


def test_every_report_says_that_it_was_the_adapter() -> None:
    report = play("not JSON")
    heading = AtFault.ADAPTER.heading
    assert heading in printed(report)
    assert "1 case with a harness error" in printed(report)
    document = report_document([report])
    report_validator().validate(document)
    assert document["runs"][0]["cases"][0]["at_fault"] == "adapter"
    assert heading in render_report(document)
    error = ElementTree.fromstring(junit_xml(document)).find(".//error")
    assert error is not None
    assert error.attrib["message"].startswith(f"{heading} standard output has a line that is not JSON")


def test_what_the_adapter_does_after_a_departure_is_a_note() -> None:
    report = play_bent("lies and crashes", "asking.cancel-waits")
    (result,) = report.results
    assert result.departed == {"C1.1"}
    assert result.harness_error is None
    (note,) = result.notes
    assert "the adapter ended with status 5 in the middle of the case" in note
    assert report.exit_status == 1
    document = report_document([report])
    report_validator().validate(document)
    for form in (printed(report), render_report(document), junit_xml(document)):
        assert "the adapter ended with status 5 in the middle of the case" in form


@pytest.mark.parametrize("case", ["asking.canceled", "asking.canceled-unasked"])
def test_an_adapter_that_never_tells_of_the_end_is_to_blame(case: str) -> None:
    """With a fence before it, and without."""
    (result,) = play_bent("forgets settled", case).results
    assert result.departures == []
    assert 'F1 is settled, but the adapter never wrote "settled"' in (result.harness_error or "")


def test_another_task_id_than_that_of_the_task() -> None:
    (result,) = play_bent("another task id", "asking.canceled").results
    said = re.search(r"returned the task_id 0{32}, but the Task that came has (\w+)", result.harness_error or "")
    assert said is not None
    assert said[1] != "0" * 32


def test_the_trace_shows_what_calls_have_returned() -> None:
    (result,) = play_bent("lies and crashes", "asking.cancel-waits").results
    assert "done(T1) returned True" in [entry.note for entry in result.trace]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (None, "result(T1) has not returned"),
        ({"event": "raised", "error": "OSError: no"}, "result(T1) raised OSError: no"),
        ({"returned": False}, "result(T1) returned False"),
        ({"settled": True, "running": False}, "result(T1) returned True"),
        ({"outcome": "value", "text": "it"}, "result(T1) returned value 'it'"),
        ({"outcome": "error", "text": "x" * 100}, f"result(T1) returned error '{'x' * 57}...'"),
        ({"outcome": "cancelled"}, "result(T1) returned cancelled"),
        ({"task_id": "00"}, "result(T1) returned"),
    ],
)
def test_an_answer_in_words(answer: dict[str, Any] | None, words: str) -> None:
    assert Call("result(T1)", "result", answer=answer).in_words == words


def test_a_feature_that_nobody_knows_is_warned_of() -> None:
    report = play_bent("an unknown feature", "asking.canceled")
    assert report.exit_status == 0
    (warning,) = report.warnings
    assert warning.startswith("the adapter's hello names features that this suite does not know: telepathy. There are:")
    assert f"Warning: {warning}" in printed(report)
    assert warning.partition("'")[2] in render_report(report_document([report]))


def test_hexadecimal_may_be_in_capitals() -> None:
    assert play_bent("capitals", "asking.canceled").exit_status == 0


def test_whatever_a_subject_says_a_report_of_it_can_be_read(tmp_path: Path) -> None:
    """No control character and no half of a character comes through, on the terminal or in a file."""
    report = play_bent("raises anything", "asking.canceled")
    (result,) = report.results
    said = r"[/bold] \x00\x1b[31m </text><b> ]]> \x07\x9b \ud800 \uffff"
    assert said in result.departures[0].text
    assert r"\x1b[31m\x00 logged" in result.log
    assert report.exit_status == 1
    write_report(tmp_path, [report])
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.suffix for path in written} == {".html", ".json", ".xml", ".svg"}
    for path in written:
        if path.suffix in (".xml", ".svg"):
            ElementTree.parse(path)
    texts = [printed(report), *(path.read_text(encoding="utf-8") for path in written)]
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\ufffe\uffff]", "".join(texts))
    assert said in printed(report)


@pytest.mark.parametrize("fault", ["starts a session", "leaves a child"])
def test_what_an_adapter_has_started_ends(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It can end by itself what has left its process group, because it sees the end of its standard input; what is
    left in the group is killed.
    """
    mark = uuid.uuid4().hex
    monkeypatch.setenv("CONFORMANCE_TEST", mark)
    assert play_bent(fault, "asking.canceled").exit_status == 0
    started = [one for one in psutil.process_iter(["environ"]) if mark in (one.info["environ"] or {}).values()]
    _, alive = psutil.wait_procs([one for one in started if one != psutil.Process()], timeout=10)
    assert alive == []


def test_a_program_that_is_not_there() -> None:
    with pytest.raises(SubjectUnavailable, match="no-such-program"):
        adapter_by_command("client", "no-such-program --option")


def test_an_empty_command() -> None:
    with pytest.raises(SubjectUnavailable, match="--adapter"):
        adapter_by_command("client", " ")


def test_a_script_that_nothing_interprets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my_adapter.py").write_text("")
    Path("compiled").write_text("")
    Path("compiled").chmod(0o755)
    for command, remedy in (
        ("my_adapter.py client", "'python my_adapter.py client'"),
        ("./my_adapter.py client", "'python ./my_adapter.py client'"),
        ("compiled", "./compiled"),
    ):
        with pytest.raises(SubjectUnavailable, match=f"--adapter {re.escape(remedy)}$"):
            adapter_by_command("client", command)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--adapter", "python 'x"], "the adapter's command is no command line (No closing quotation): "),
        (["--adapter", "x", "--subject", "reference"], "give only one of --subject and --adapter"),
        ([], "give one of --subject and --adapter"),
    ],
)
def test_what_cannot_be_meant(options: list[str], says: str) -> None:
    answer = CliRunner().invoke(app, ["client", *options])
    assert answer.exit_code == 2
    assert says in answer.output


@pytest.mark.parametrize(("role", "first"), [("client", "connect"), ("worker", "start")])
def test_the_template_runs_and_supports_nothing(role: str, first: str) -> None:
    command = shlex.join([sys.executable, "-m", "rescind_conformance.adapters.template", role])
    report = run_suite(lambda: adapter_by_command(role, command), select_cases(role=role)[:8], PLAN)
    assert {result.harness_error for result in report.results} == {None}
    assert {finding for one in report.verdicts for finding in one.findings.values()} == {Verdict.UNSUPPORTED}
    assert report.exit_status == 2
    says = f'Nothing was tested: the adapter answers "unsupported" to {first}: fill in the template\'s TODOs.'
    assert report.undecided == says
    assert f"Unsupported: {first}() (" in printed(report)
    answer = CliRunner().invoke(app, [role, "--adapter", command, "--case", "transport.*"])
    assert answer.exit_code == 2
    assert answer.output.rstrip().endswith(says)


def test_the_template_must_be_told_its_role() -> None:
    command = shlex.join([sys.executable, "-m", "rescind_conformance.adapters.template"])
    with pytest.raises(SubjectUnavailable, match=r"(?s)ended with status 1 before its hello.*usage: .*client\|worker"):
        adapter_by_command("client", command)


def test_the_templates_socket_does_what_is_said_of_it(tmp_path: Path) -> None:
    """The code that stands there as a comment."""
    source = Path(adapter.__file__).with_name("adapters") / "template.py"
    _, _, rest = source.read_text().partition("# The socket of the functions.")
    comment, _, _ = rest.partition("\n\ndef release")
    code = [line.removeprefix("#     ") for line in comment.splitlines() if line.startswith("#     ")]
    said: list[dict[str, Any]] = []
    names: dict[str, Any] = {"socket": socket, "say": said.append}
    exec("\n".join(code), names)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "bodies"))
    listener.listen()
    threading.Thread(target=names["attend"], args=(listener,), daemon=True).start()

    def begin(text: bytes) -> socket.socket:
        body = socket.socket(socket.AF_UNIX)
        body.settimeout(30)
        body.connect(str(tmp_path / "bodies"))
        body.sendall(text)
        return body

    begin(b"").close()  # it died before it could say its name
    body, half = begin(b"T1\n"), begin(b"T2 0a0b\n")
    assert (body.recv(1), half.recv(1)) == (b"!", b"!")
    assert said == [
        {"event": "started", "task": "T1"},
        {"event": "started", "task": "T2", "object_id": "0a0b"},
    ]
    (_, connection), (_, other) = names["bodies"]
    assert names["is_open"](connection)
    names["let_go"](connection)
    assert body.recv(1) == b"!"
    copy = body.dup()  # as of a process that the body has started
    body.close()
    assert names["is_open"](connection)
    copy.close()
    assert not names["is_open"](connection)
    names["let_go"](connection)
    assert names["is_open"](other)


@pytest.mark.parametrize("role", ["client", "worker"])
def test_the_commands_that_the_document_begins_with_are_enough_for_its_first_case(role: str) -> None:
    text = " ".join(DOCUMENT.read_text().split())
    asked = re.search(rf"[Ff]or a {role} fill in (.*?)[;.]|; for a {role} (.*?)\.", text)
    case = re.search(rf"rescind conformance {role} --adapter '[^']*' --case (\S+?)[` ]", text)
    assert asked is not None
    assert case is not None
    commands = re.findall(r"`(\w+)`", asked[0])
    assert len(commands) in (4, 5)
    command = command_of("bent_adapter.py", "only", role, *commands)
    report = run_suite(lambda: adapter_by_command(role, command), select_cases(case[1], role=role), Plan(deadline=5))
    (result,) = report.results
    assert (result.unsupported, result.harness_error, result.departures) == (None, None, [])
    assert report.exit_status == 0
