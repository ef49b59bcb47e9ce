"""Today's parties against recorded traffic of earlier versions. `protocol/recorded/README.md` says what is replayed."""

from __future__ import annotations

import functools
import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import capnp
import pytest

import rescind_conformance.recorded
from rescind import vectors, wire
from rescind.frame_shapes import Decoder
from rescind.messages import GraphTask, ObjectInstruction, Task
from rescind_conformance.judge.tapped import TappedCheck
from rescind_conformance.recorded.__main__ import main
from rescind_conformance.recorded.older_schema import OlderSchema, says_the_same
from rescind_conformance.recorded.replay_peers import replay_to_peers
from rescind_conformance.recorded.replay_scheduler import count_terminal, replay_to_scheduler
from rescind_conformance.recorded.traffic import FRAMES, MANIFEST, Recording, load, load_all, save

RECORDINGS = load_all()
OWN = [recording for recording in RECORDINGS if recording.schema is not None]
MOST_BYTES = 120_000
"""Of one recording."""
SAID = {
    *("task", "taskCancel", "taskCancelConfirm", "taskResult", "clientHeartbeat", "clientHeartbeatEcho"),
    *("workerHeartbeat", "workerHeartbeatEcho", "clientDisconnect", "clientShutdownResponse"),
    "workerDisconnectNotification",
}
"""What each recording has. Logs and graphs came later."""

each_recording = pytest.mark.parametrize("recording", RECORDINGS, ids=lambda recording: recording.name)
each_own = pytest.mark.parametrize("recording", OWN, ids=lambda recording: recording.name)


def expected(recording: Recording, kind: str) -> set[str]:
    path = Path(rescind_conformance.recorded.__file__).parent / "expected.toml"
    entries = tomllib.loads(path.read_text(encoding="utf-8"))["expected"]
    assert all(entry["reason"] and entry["kind"] in {"dropped", "violation", "scheduler", "peer"} for entry in entries)
    names = {recording.name} | ({"*"} if recording in OWN else set())
    return {entry["what"] for entry in entries if entry["recording"] in names and entry["kind"] == kind}


@functools.cache
def tasks_of(name: str) -> dict[str, set[bytes]]:
    """What each client of a recording submitted: tasks, graphs and the nodes of graphs."""
    recording = next(recording for recording in RECORDINGS if recording.name == name)
    submitted: dict[str, set[bytes]] = {}
    for one in recording.frames():
        message = wire.decode(one.frame)
        if one.to_scheduler and isinstance(message, Task | GraphTask):
            nodes = {node.task_id for node in message.graph} if isinstance(message, GraphTask) else set()
            submitted.setdefault(one.peer, set()).update({message.task_id} | nodes)
    return submitted


def stayed(recording: Recording) -> str:
    """The client that is there to the end: the first one; the second leaves before its task has ended."""
    return next(iter(tasks_of(recording.name)))


@each_recording
def test_what_it_is_of_is_written_beside_it(recording: Recording) -> None:
    assert {"version", "recorded", "scenario", "command"} <= recording.manifest.keys()
    assert recording.schema is None or len(recording.manifest["commit"]) == 40
    assert sum(path.stat().st_size for path in recording.folder.iterdir()) < MOST_BYTES


@each_recording
def test_each_frame_is_read_by_todays_codec_and_written_as_it_was(recording: Recording) -> None:
    said = set()
    decoder = Decoder()
    for one in recording.frames():
        message = wire.decode(one.frame)
        assert decoder.decode(one.frame) == message
        said.add(wire.member_name(message))
        if not isinstance(message, ObjectInstruction):  # its content is opaque, and not read
            assert wire.encode(message) == one.frame
    assert said >= SAID


@each_own
def test_each_frame_says_today_what_it_said_then(recording: Recording) -> None:
    assert recording.schema is not None
    older = OlderSchema(recording.schema)
    for one in recording.frames():
        assert says_the_same(wire.to_json(wire.decode(one.frame)), older.read(one.frame))


def bent_schemas() -> Iterator[tuple[str, str, str]]:
    """What a change that E1 forbids would look like: a name for it, and what is replaced by what."""
    yield "fields that change places", "cancelConfirmType @1 :CancelConfirmType", "added @1 :CancelConfirmType"
    yield "an enumeration in another order", "cancelNotFound @2", "cancelNotFound @1"
    yield "members that change places", "taskResult @3 :TaskResult", "taskResult @4 :TaskResult"
    yield "another type", "queueSize @2 :UInt32", "queueSize @2 :UInt16"
    yield "a bool that moves", "accepted @0 :Bool", "accepted @1 :Bool"


MENDED = {
    "cancelNotFound @1": ("cancelFailed @1", "cancelFailed @2"),
    "taskResult @4 :TaskResult": ("taskLog @4 :TaskLog", "taskLog @3 :TaskLog"),
    "accepted @1 :Bool": ("struct ClientShutdownResponse {", "struct ClientShutdownResponse {\nadded @0 :Bool;"),
}
"""What must change, too, for the bent schema to be one."""


@pytest.mark.parametrize(("name", "declared", "instead"), list(bent_schemas()), ids=lambda value: str(value)[:30])
def test_a_schema_that_breaks_e1_is_noticed(name: str, declared: str, instead: str, tmp_path: Path) -> None:
    schema = OWN[-1].schema
    assert schema is not None
    text = schema.read_text(encoding="utf-8")
    assert declared in text
    text = text.replace(declared, instead)
    if instead in MENDED:
        text = text.replace(*MENDED[instead])
    (tmp_path / "message.capnp").write_text(text, encoding="utf-8")
    bent = OlderSchema(tmp_path / "message.capnp")

    def reads_as_today(frame: bytes) -> bool:
        try:
            return says_the_same(wire.to_json(wire.decode(frame)), bent.read(frame))
        except capnp.KjException:
            return False

    assert not all(reads_as_today(one.frame) for one in OWN[-1].frames()), name


@each_own
def test_the_version_reads_what_todays_parties_send(recording: Recording) -> None:
    assert recording.schema is not None
    older = OlderSchema(recording.schema)
    for vector in vectors.load():
        if vector.expect == "message" and vector.message is not None:
            assert says_the_same(wire.to_json(vector.message), older.read(wire.encode(vector.message)))


def test_each_version_reads_those_recorded_after_it() -> None:
    for earlier, later in product(OWN, OWN):
        if earlier.name < later.name:
            assert earlier.schema is not None
            assert later.schema is not None
            reads, knows = OlderSchema(earlier.schema), OlderSchema(later.schema)
            for one in later.frames():
                assert says_the_same(knows.read(one.frame), reads.read(one.frame))


@each_recording
def test_each_task_has_one_terminal_message_in_the_recording(recording: Recording) -> None:
    said = [(one.peer, wire.decode(one.frame)) for one in recording.frames() if not one.to_scheduler]
    found = count_terminal((peer, message) for peer, message in said if peer in tasks_of(recording.name))
    client = stayed(recording)
    assert {task: found[client, task] for task in tasks_of(recording.name)[client]} == dict.fromkeys(
        tasks_of(recording.name)[client], 1
    )


@each_recording
def test_todays_scheduler_says_to_recorded_peers_what_they_were_told(recording: Recording) -> None:
    replayed = replay_to_scheduler(recording)
    differences = replayed.differences()
    names = {
        type(message).__name__
        for topic in differences
        for message in (*replayed.sent[topic], *replayed.recorded[topic])
    }
    assert names == expected(recording, "scheduler"), differences
    assert replayed.changed == []
    assert set(replayed.dropped) == expected(recording, "dropped")
    client = stayed(recording)
    terminal = replayed.terminal()
    assert {terminal[client, task] for task in tasks_of(recording.name)[client]} == {1}


@each_recording
def test_the_judge_finds_in_the_recorded_scheduler_what_is_known_and_no_more(recording: Recording) -> None:
    violations = replay_to_scheduler(recording).violations
    assert {one.requirement for one in violations} == expected(recording, "violation"), violations


@each_recording
def test_the_judge_finds_nothing_in_the_recorded_peers(recording: Recording) -> None:
    check = TappedCheck()
    found = [violation for one in recording.passed for violation in check.feed(one.traced())]
    assert found + check.finish(at_rest=True) == []
    assert len(check.judged) == 5  # two clients and three workers


@each_recording
def test_todays_clients_and_workers_answer_the_recorded_scheduler_as_the_recorded_did(recording: Recording) -> None:
    unlike: list[Any] = []
    for replayed in replay_to_peers(recording):
        unlike += replayed.differences()
        assert replayed.dropped == []
        assert replayed.settled == Counter(replayed.submitted)
        assert replayed.recorded
    found = {name for text in unlike for name in re.findall(r"(?:recorded|today) (\w+)\(", text)}
    assert found == expected(recording, "peer"), unlike


def test_what_is_saved_is_loaded_again(tmp_path: Path) -> None:
    schema = "struct Message {  # the root\n\n  # alone\n}\n"
    save(tmp_path / "again", OWN[0].manifest, OWN[0].passed, schema)
    again = load(tmp_path / "again")
    assert (again.manifest, again.passed) == (OWN[0].manifest, OWN[0].passed)
    assert (tmp_path / "again" / "message.capnp").read_text(encoding="utf-8") == "struct Message {\n}\n"


def test_a_line_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text("{}")
    (tmp_path / FRAMES).write_text('{"time":0,"peer":"Client|x"}\n')
    with pytest.raises(ValueError, match="no line of a recording"):
        load(tmp_path)


def test_a_commit_that_is_none_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["record", "--commit", "no-such-commit", "--output", str(tmp_path / "new")]) == 2
    assert "no-such-commit" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_a_recording_stays_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    """The old peers are still out there."""
    folder = OWN[0].folder
    before = (folder / MANIFEST).read_bytes()
    assert main(["record", "--commit", "no-such-commit", "--output", str(folder)]) == 2
    assert "give another --output" in capsys.readouterr().err
    assert (folder / MANIFEST).read_bytes() == before
