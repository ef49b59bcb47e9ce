"""Replay files: what they hold, and that playing them tells a subject that departs from one that does not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from test_runner import CANCEL_WAITING, DEADLINE, Toy, make_case, run
from typer.testing import CliRunner

from rescind.messages import Task, TaskCancel
from rescind_conformance.case import Profile, all_cases
from rescind_conformance.cli import app
from rescind_conformance.findings import Conversation
from rescind_conformance.recording import RecordingContext
from rescind_conformance.replay import Replayed, differences, play_steps, same_departures
from rescind_conformance.replay_file import UnreadableReplay, read_replay, replay_document
from rescind_conformance.runner import Plan, run_suite
from rescind_conformance.world import World


def recorded(*faults: str, case: Any = CANCEL_WAITING) -> dict[str, Any]:
    report = run(case, faults=faults)
    document: dict[str, Any] = json.loads(json.dumps(replay_document(report, report.results[0])))
    return document


def replayed(document: dict[str, Any], *faults: str) -> tuple[Replayed, World]:
    context = RecordingContext()
    subject = Toy(*faults)
    try:
        world = subject.open(Conversation(context, DEADLINE), Profile.DEFAULT, [])
        try:
            return play_steps(document, world), world
        finally:
            subject.leave(world)
    finally:
        context.destroy(linger=0)


def test_a_file_has_what_was_sent_and_what_was_said_to_it() -> None:
    document = recorded("answers twice")
    assert document["drive"] == "steps"
    done = [next(iter(action.get("message", action))) for step in document["steps"] for action in step["do"]]
    assert done == ["peer", "task", "taskCancel"]
    assert document["steps"][-1]["heard"] == {"C1": ["TaskCancelConfirm T1 canceled"] * 2}
    (departure,) = document["departures"]
    assert (departure["requirement"], departure["step"]) == ("S1.1", len(document["steps"]) - 1)


@pytest.mark.parametrize(
    ("faults", "mended"),
    [
        (["answers twice"], "step 3, C1: recorded TaskCancelConfirm T1 canceled; now nothing instead"),
        (["swallows"], "step 3, C1: recorded nothing; now TaskCancelConfirm T1 canceled instead"),
        (["dies"], "step 3, S: recorded the scheduler died; now nothing instead"),
        (["hangs"], "step 3, C1: recorded no echo; now nothing instead"),
    ],
)
def test_a_departure_is_seen_again_where_it_is_and_not_where_it_is_mended(faults: Sequence[str], mended: str) -> None:
    document = recorded(*faults)
    same, _ = replayed(document, *faults)
    assert all(same_departures(document, same))
    assert list(differences(document, same)) == []
    other, _ = replayed(document)
    assert not any(same_departures(document, other))
    assert mended in list(differences(document, other))


def test_a_departure_that_was_read_off_the_trace_is_read_off_the_replays() -> None:
    def looks_away(world: World) -> None:
        owner = world.client()
        owner.cancel(owner.submit())
        world.check("S10.1", True, "", "")

    document = recorded("answers twice", case=make_case(looks_away, "S10.1"))
    assert document["departures"][0]["expected"] == ""
    assert same_departures(document, replayed(document, "answers twice")[0]) == [True]
    assert same_departures(document, replayed(document)[0]) == [False]


def test_a_replay_has_ids_of_its_own() -> None:
    document = recorded("answers twice")
    _, world = replayed(document)
    tasks = {name: task_id.hex() for task_id, name in world.names.items()}
    assert tasks.keys() == document["tasks"].keys()
    assert tasks["T1"] != document["tasks"]["T1"]
    sources = {entry.message.source for entry in world.trace if isinstance(entry.message, Task)}
    assert sources == {world.clients[0].routing_id}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_what_is_no_message_is_replayed_byte_by_byte() -> None:
    def garbage(world: World) -> None:
        client = world.client()
        with world.unresponsive_means("M1"):
            client.send_frames(b"junk", b"", note="junk")

    document = recorded(case=make_case(garbage, "M1"))
    frames = [action for step in document["steps"] for action in step["do"] if "frames" in action]
    assert frames == [{"peer": "C1", "frames": ["6a756e6b", ""], "note": "junk"}]
    seen, world = replayed(document)
    assert same_departures(document, seen) == [True]  # this toy dies of it
    assert [entry.note for entry in world.trace if entry.note] == ["junk"]


def test_a_flood_is_replayed_by_its_case() -> None:
    def flood(world: World) -> None:
        client = world.client()
        with world.unrecorded(client, "sends three TaskCancels"):
            for task in (world.new_task(), world.new_task(), world.new_task()):
                client.send(TaskCancel(task.id), fence=False)
        world.check("S1.1", False, "an answer", "none came")

    document = recorded(case=make_case(flood, "S1.1"))
    assert document["drive"] == "case"
    assert "floods" in document["why"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("nonsense", "cannot be read"),
        ("{}", "is not a replay file"),
        ('{"format": "rescind-conformance-replay", "version": 9}', "version 9"),
        ('{"format": "rescind-conformance-replay", "version": 1}', "no usable 'role'"),
    ],
)
def test_what_is_no_replay_file_is_refused(tmp_path: Path, content: str, says: str) -> None:
    file = tmp_path / "file.json"
    file.write_text(content)
    with pytest.raises(UnreadableReplay, match=says):
        read_replay(file)
    assert CliRunner().invoke(app, ["replay", str(file)]).exit_code == 2


def test_a_step_that_cannot_be_done_says_which() -> None:
    document = recorded("answers twice")
    document["steps"][1]["do"] = [{"peer": "C9", "message": {"taskCancel": {}}}]
    with pytest.raises(UnreadableReplay, match="step 2"):
        replayed(document)


def written(tmp_path: Path, document: dict[str, Any]) -> str:
    file = tmp_path / "file.json"
    file.write_text(json.dumps(document))
    return str(file)


def test_the_command_plays_a_file_against_another_subject(tmp_path: Path) -> None:
    file = written(tmp_path, recorded("answers twice"))
    answer = CliRunner().invoke(app, ["replay", file, "--subject", "reference"])
    assert answer.exit_code == 0, answer.output
    assert "not seen: S1.1" in answer.output
    assert "TaskCancelConfirm T1 canceled" in answer.output


def test_the_command_sees_the_same_departure_again(tmp_path: Path) -> None:
    file = written(tmp_path, recorded("answers twice"))
    subject = Toy("answers twice")
    context = RecordingContext()
    world = subject.open(Conversation(context, DEADLINE), Profile.DEFAULT, [])
    answer = CliRunner().invoke(app, ["replay", file, "--endpoint", world.endpoint])
    subject.leave(world)
    context.destroy(linger=0)
    assert answer.exit_code == 1, answer.output
    assert "seen again: S1.1" in answer.output
    assert "It says what the recording says." in answer.output


def test_a_client_is_replayed_by_its_case(tmp_path: Path) -> None:
    case = next(one for one in all_cases("client") if one.name.startswith("asking."))
    document = recorded("answers twice")
    document |= {"role": "client", "case": case.name, "drive": "case"}
    answer = CliRunner().invoke(app, ["replay", written(tmp_path, document), "--subject", "reference"])
    assert answer.exit_code == 0, answer.output
    assert "not seen: S1.1" in answer.output


def test_a_recording_costs_a_run_nothing_of_its_verdicts() -> None:
    report = run_suite(Toy, [CANCEL_WAITING], Plan(deadline=DEADLINE))
    assert [result.recording for result in report.results] == [None]
