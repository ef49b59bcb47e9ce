"""The test vectors: what is checked in is what the generator makes, and what it says about each frame is so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rescind import vectors, wire, wire_layout
from rescind.vectors import Vector

DIRECTORY = wire.schema_directory() / "vectors"
ALL = vectors.load(DIRECTORY)

each_vector = pytest.mark.parametrize("vector", ALL, ids=[vector.name for vector in ALL])


@each_vector
def test_a_frame_is_read_as_its_json_says(vector: Vector) -> None:
    if vector.message is None:
        with pytest.raises(wire.WireError) as caught:
            wire.decode(vector.frame)
        assert caught.value.reason == vector.reason
    else:
        assert wire.decode(vector.frame) == vector.message


@each_vector
def test_a_message_is_written_as_its_frame_says(vector: Vector) -> None:
    if vector.message is not None:
        assert (wire.encode(vector.message) == vector.frame) is (vector.expect == "message")


@each_vector
def test_it_is_said_what_each_role_does(vector: Vector) -> None:
    assert vector.receivers.keys() == {"client", "scheduler", "worker"}
    assert vector.expect in {"message", "accept", "drop", "either"}
    assert (vector.expect == "drop") is (vector.message is None)
    assert (vector.expect == "drop") is bool(vector.reason)
    if vector.expect == "drop":
        assert set(vector.receivers.values()) == {"drop"}


def test_every_message_and_every_enumerant_has_a_vector() -> None:
    said = "\n".join(json.dumps(vector.describe()) for vector in ALL if vector.expect == "message")
    for name in wire_layout.BODIES:
        assert f'"{name}":' in said or name == "objectInstruction"
    for enumerant in (
        *("task", "objectID", "canceled", "cancelFailed", "cancelNotFound", "success", "failed"),
        *("failedWorkerDied", "stdout", "stderr", "disconnect", "shutdown"),
    ):
        assert f'ype": "{enumerant}"' in said


def test_every_member_that_the_protocol_does_not_use_has_a_vector() -> None:
    unused = {f"unsupported member {name}" for name in wire.MEMBERS if name not in wire_layout.BODIES}
    assert len(unused) == 13
    assert unused <= {vector.reason for vector in ALL}


def test_what_is_checked_in_is_what_the_generator_makes(capsys: pytest.CaptureFixture[str]) -> None:
    assert vectors.main(["--check"]) == 0
    assert capsys.readouterr().out == ""


def test_loading_gives_what_was_built() -> None:
    assert vectors.load(DIRECTORY) == vectors.build()


def test_check_finds_what_differs_is_missing_or_is_too_many_and_writing_mends_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--directory", str(tmp_path)]
    assert vectors.main(arguments) == 0
    (tmp_path / "README.md").write_text("kept")
    (tmp_path / "messages/task.bin").write_bytes(b"other")
    (tmp_path / "malformed/empty.json").unlink()
    (tmp_path / "malformed/stale.bin").write_bytes(b"")
    assert vectors.main([*arguments, "--check"]) == 1
    assert capsys.readouterr().out.splitlines()[:3] == [
        "differs: messages/task.bin",
        "missing: malformed/empty.json",
        "not a vector: malformed/stale.bin",
    ]
    assert vectors.main(arguments) == 0
    assert vectors.main([*arguments, "--check"]) == 0
    assert (tmp_path / "README.md").read_text() == "kept"


def test_all_files_are_small() -> None:
    assert max(path.stat().st_size for path in DIRECTORY.rglob("*.bin")) < 4096
