"""Counterexamples of the explorer as files: played again, and drawn."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from explorer_catalogue import FAULTS
from explorer_faults import Fault, shown
from typer.testing import CliRunner

from rescind.messages import TaskCancel
from rescind.scheduler_table import TRANSITIONS, Action, TaskInput, TaskState, Transition
from rescind_conformance.cli import app
from rescind_conformance.explorer.order_diagram import order_svg, order_text
from rescind_conformance.explorer.order_file import order_document, play_order, write_orders
from rescind_conformance.explorer.scenario import RawPlan, Scenario, WorkerPlan
from rescind_conformance.explorer.scenario_json import scenario_from_json, scenario_to_json
from rescind_conformance.explorer.scenarios import LARGE, OPEN, SCENARIOS
from rescind_conformance.replay_file import UnreadableReplay, read_replay

by_name = pytest.mark.parametrize("fault", FAULTS, ids=[fault.name.replace(" ", "-") for fault in FAULTS])


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, arguments)
    return result.exit_code, result.output


def fault_of(requirement: str) -> Fault:
    return next(fault for fault in FAULTS if fault.requirement == requirement)


def document_of(fault: Fault) -> Any:
    return json.loads(json.dumps(order_document(shown(fault))))


# Played again


@by_name
def test_a_fault_is_seen_again_in_its_replay(fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    document = document_of(fault)
    fault.install(monkeypatch)
    played = play_order(document, fault.cast)
    assert played.again(document) == [True]
    assert (played.stuck, played.differences) == ("", ())
    assert [told.step.words(fault.scenario.names) for told in played.steps] == fault.words
    assert document["departures"][0]["text"] in [violation.text for violation in played.found]


@by_name
def test_without_the_fault_its_replay_goes_another_way(fault: Fault) -> None:
    document = document_of(fault)
    played = play_order(document)
    assert played.again(document) == [False]
    assert played.found == ()


WRONG_ANSWER = (TaskState.DISPATCHED, TaskInput.CANCEL_FORCE)
PROMISES = Transition(TaskState.ENDED, Action.SEND_CANCELED)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """What `explore --report` writes of a scheduler that promises `canceled`."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setitem(TRANSITIONS, WRONG_ANSWER, PROMISES)
        status, output = run("explore", "three-callers", "--workers", "1", "--report", str(tmp_path))
    assert status == 1
    path = tmp_path / "replays" / "system.explore.three-callers.S4.4.json"
    assert f"To see it again: rescind conformance replay {path}" in output
    return path


def test_the_command_shows_the_same_violation(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TRANSITIONS, WRONG_ANSWER, PROMISES)
    status, output = run("replay", str(file))
    assert status == 1
    assert "   6  S <- C1  TaskCancel T2 force  -> C1  TaskCancelConfirm T2 canceled\n" in output
    assert "It goes as the recording goes.\n" in output
    assert "seen again: S4.4 scheduler sends C1 TaskCancelConfirm T2 canceled, for which there is no reason" in output


def test_the_command_says_where_mended_machines_go_another_way(file: Path) -> None:
    status, output = run("replay", str(file))
    assert status == 0
    assert "step 6, C1: recorded TaskCancelConfirm T2 canceled; now nothing\n" in output
    assert "step 6, W1: recorded nothing; now TaskCancel T2 force\n" in output
    assert "not seen: S4.4" in output


def test_a_step_that_cannot_be_taken_any_more_is_named() -> None:
    document = document_of(fault_of("S7.8"))
    document["steps"][0]["do"][0]["event"] = "disconnects"
    played = play_order(document)
    assert played.stuck == "step 1 cannot be taken: C1 disconnects T2"
    assert played.steps == ()


def test_another_violation_is_named(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = json.loads(file.read_text())
    document["departures"][0]["requirement"] = "S1.1"
    file.write_text(json.dumps(document))
    monkeypatch.setitem(TRANSITIONS, WRONG_ANSWER, PROMISES)
    status, output = run("replay", str(file))
    assert status == 0
    assert "broken besides: S4.4" in output


def test_what_is_wrong_at_the_end_is_seen_again(tmp_path: Path) -> None:
    status, output = run("explore", "reused-id", "contested-id", "--workers", "2", "--report", str(tmp_path))
    assert status == 1
    (path,) = (tmp_path / "replays").glob("*.json")
    assert read_replay(path)["departures"][0]["at_rest"] is True
    status, output = run("replay", str(path))
    assert status == 1
    assert "seen again: C3.2 the result of T1 of C1 by W1 is left in the store" in output


def test_only_what_an_earlier_walk_has_left_is_removed(tmp_path: Path) -> None:
    replays = tmp_path / "replays"
    replays.mkdir()
    (replays / "system.explore.old.S1.1.json").touch()
    (replays / "scheduler.orders.S5.1.json").touch()
    (written,) = write_orders(tmp_path, [shown(fault_of("S4.4"))])
    assert {path.name for path in replays.iterdir()} == {
        "scheduler.orders.S5.1.json",
        *(written.with_suffix(suffix).name for suffix in (".json", ".svg", ".txt")),
    }


def test_a_report_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "replays").touch()
    status, output = run("explore", "reused-id", "--workers", "1", "--report", str(tmp_path))
    assert status == 2
    assert "the replay files cannot be written" in output


def test_no_other_subject_can_be_given(file: Path) -> None:
    status, output = run("replay", str(file), "--subject", "reference")
    assert status == 2
    assert "every party is a machine of the reference: give no subject" in output


# What a file may not say


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("scenario",), []),
        (("scenario", "workers"), [{"legs": 2}]),
        (("scenario", "workers"), [{"processes": "two"}]),
        (("scenario", "workers"), [3]),
        (("scenario", "clients"), [{"submits": ["T1"], "cancels": [{}]}]),
        (("scenario", "clients"), [{"submits": [1]}]),
        (("scenario", "clients"), [{"script": [{"nonsense": {}}]}]),
        (("scenario", "scheduler"), {"loses": ["W9"]}),
        (("scenario", "scheduler"), {"settings": {"max_attempts": 1.5}}),
        (("steps", 0, "do"), []),
        (("steps", 0, "do", 0, "event"), "dances"),
        (("steps", 0, "do", 0, "task"), "not hexadecimal"),
        (("steps", 0, "heard"), None),
    ],
)
def test_a_file_that_makes_no_sense_is_refused(place: tuple[Any, ...], value: Any, file: Path) -> None:
    document = json.loads(file.read_text())
    inner = document
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = value
    with pytest.raises(UnreadableReplay, match="cannot be played"):
        play_order(document)
    file.write_text(json.dumps(document))
    assert run("replay", str(file))[0] == 2


@pytest.mark.parametrize("scenario", (SCENARIOS | LARGE | OPEN).values(), ids=lambda scenario: scenario.name)
def test_a_scenario_is_the_same_after_a_file(scenario: Scenario) -> None:
    assert scenario_from_json(json.loads(json.dumps(scenario_to_json(scenario)))) == scenario


def test_only_what_is_not_as_usual_is_in_a_file() -> None:
    scenario = Scenario("few", "words", (RawPlan((TaskCancel(b"T1"),)),), (WorkerPlan(), WorkerPlan(dies=True)))
    assert scenario_to_json(scenario) == {
        "name": "few",
        "story": "words",
        "clients": [{"script": [{"taskCancel": {"taskId": "5431", "flags": {"force": False}}}]}],
        "workers": [{}, {"dies": True}],
    }


# Drawn

OVERTAKEN = """\
S6.2 is broken in of a fault, after the first heartbeats; the shortest order, 8 steps

     C1                                           S                                            W1
     |                                            |                                            |
  1  * sends Task T1                              |                                            |
  2  |--------------------------------- Task T1 ->|                                            |
  3  * sends TaskCancel T1                        |                                            |
  4  |--------------------------- TaskCancel T1 ->|                                            |
  5  * sends TaskCancel T1 force                  |                                            |
  6  |--------------------- TaskCancel T1 force ->|                                            |
  7  * sends ClientHeartbeat                      |                                            |
  8  |------------------------- ClientHeartbeat ->|                                            |
     |                                            |--------------- Task T1 (has not arrived) ->|
     |                                            |--------- TaskCancel T1 (has not arrived) ->|
     |<-- ClientHeartbeatEcho (has not arrived) --|                                            |
     == S6.2: scheduler has not sent W1 TaskCancel T1 force ==                                 |
"""


def test_a_diagram_in_text_has_a_line_for_each_step() -> None:
    assert order_text(shown(fault_of("S6.2"))) == OVERTAKEN


def test_what_one_step_sends_and_does_not_arrive_is_drawn_in_its_order() -> None:
    (fault,) = [fault for fault in FAULTS if fault.name == "a worker that leaves reports what it has ended"]
    text = order_text(shown(fault))
    assert text.index("TaskResult T1 failedWorkerDied (") < text.index("WorkerDisconnectNotification (has not arrived)")


def test_a_message_that_has_waited_says_since_when() -> None:
    text = order_text(shown(fault_of("S6.3")))
    assert "TaskCancelConfirm T1 cancelFailed, sent in 6 " in text
    assert "Task T1, sent" not in text


def test_what_has_not_arrived_is_drawn_all_the_same() -> None:
    text = order_text(shown(fault_of("S4.4")))
    assert "<-- TaskCancelConfirm T1 canceled (has not arrived) -" in text


def test_a_picture_joins_the_sending_and_the_arrival() -> None:
    told = shown(fault_of("S6.3"))
    root = ET.fromstring(order_svg(told))
    space = "{http://www.w3.org/2000/svg}"
    texts = [each.text or "" for each in root.iter(f"{space}text")]
    assert texts[:3] == ["C1", "S", "W1"]
    assert texts[-1].startswith("S6.3: ")
    life = {text: float(each.attrib["x"]) for text, each in zip(texts, root.iter(f"{space}text"), strict=True)}
    arrows = [
        tuple(float(each.attrib[name]) for name in ("x1", "y1", "x2", "y2"))
        for each in root.iter(f"{space}line")
        if each.attrib["class"] == "arrow"
    ]
    assert len(arrows) == sum(len(step.sent) for step in told.steps)
    assert all(y2 > y1 for _, y1, _, y2 in arrows)
    from_worker = [(y1, y2) for x1, y1, x2, y2 in arrows if x1 == life["W1"] and x2 < x1]
    to_worker = [(y1, y2) for x1, y1, x2, y2 in arrows if x1 == life["S"] and x2 > x1]
    # The worker's refusal and the cancel with force are on their way at the same time: their arrows cross.
    assert any(a < d and c < b for a, b in from_worker for c, d in to_worker)


def test_what_a_name_says_is_text_and_not_markup() -> None:
    told = shown(fault_of("S4.4"))
    bad = Scenario("<b>&", "", told.scenario.clients, told.scenario.workers, told.scenario.scheduler)
    title = ET.fromstring(order_svg(type(told)(told.violation, told.steps, False, True, bad)))[0].text
    assert title is not None
    assert "<b>&" in title
