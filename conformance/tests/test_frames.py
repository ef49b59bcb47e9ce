"""The frames that the suite bends are bent as it says: checked with the codec."""

from __future__ import annotations

import pytest

from rescind import wire
from rescind.messages import (
    Argument,
    Capability,
    GraphTask,
    Message,
    Task,
    TaskCancel,
    TaskCancelConfirm,
    TaskLog,
    TaskResult,
    WorkerHeartbeat,
)
from rescind_conformance import frames

MESSAGES: list[Message] = [
    Task(b"i" * 16, b"source", b"", b"f" * 32, (Argument(1, b"a" * 32),), (Capability("gpu", 2),)),
    TaskCancel(b"i" * 16, force=True),
    TaskCancelConfirm(b"i" * 16, 1),
    TaskResult(b"i" * 16, 0, b"meta", (b"r" * 32,)),
    WorkerHeartbeat(queue_size=7, hostname="here"),
]
CARRYING_IDS = [message for message in MESSAGES if not isinstance(message, WorkerHeartbeat)]


@pytest.mark.parametrize("message", MESSAGES, ids=wire.member_name)
def test_later_versions_and_segments_mean_the_same(message: Message) -> None:
    frame = wire.encode(message)
    for bent in (
        frames.widened(frame),
        frames.widened(frame, 0),
        frames.widened(frames.widened(frame, 0)),
        frames.in_two_segments(frame),
    ):
        assert bent != frame
        assert wire.decode(bent) == message


def test_a_wider_struct_within() -> None:
    cancel = TaskCancel(b"i" * 16, force=True)
    assert wire.decode(frames.widened(wire.encode(cancel), 0, 1)) == cancel


def test_an_earlier_version_lacks_fields() -> None:
    frame = frames.with_size(wire.encode(TaskCancel(b"i" * 16, force=True)), 0, data=0, pointers=1)
    assert wire.decode(frame) == TaskCancel(b"i" * 16, force=False)


def test_an_earlier_version_lacks_data() -> None:
    frame = frames.with_size(wire.encode(TaskCancelConfirm(b"i" * 16, 2)), 0, data=0, pointers=1)
    assert wire.decode(frame) == TaskCancelConfirm(b"i" * 16, 0)


def test_a_later_version_may_say_much() -> None:
    frame = frames.widened(wire.encode(TaskCancel(b"i" * 16)), 0, content=bytes(1 << 16))
    assert len(frame) > 1 << 16
    assert wire.decode(frame) == TaskCancel(b"i" * 16)


@pytest.mark.parametrize("message", CARRYING_IDS, ids=wire.member_name)
def test_what_is_called_malformed_is_malformed(message: Message) -> None:
    frame = wire.encode(message)
    for note, bent in (*frames.misframed(frame), *frames.misdirected(frame, 0, 0)):
        with pytest.raises(wire.WireError):
            pytest.fail(f"{note} was read as {wire.decode(bent)}")


def test_another_member() -> None:
    with pytest.raises(wire.WireError, match="200"):
        wire.decode(frames.with_member(wire.encode(MESSAGES[1]), 200))


@pytest.mark.parametrize("length", [0, 256])
def test_another_length_of_an_id(length: int) -> None:
    frame = wire.encode(TaskCancel(b"i" * 255))
    with pytest.raises(wire.WireError, match=f"{length} bytes"):
        wire.decode(frames.with_length(frame, frames.pointer_at(frame, 0, 0), length))


def test_a_pointer_is_found_by_what_it_leads_to() -> None:
    frame = wire.encode(GraphTask(b"g", graph=(Task(b"inner id"),)))
    with pytest.raises(wire.WireError, match="0 bytes"):
        wire.decode(frames.with_length(frame, frames.pointer_to(frame, b"inner id"), 0))
    with pytest.raises(ValueError, match="no pointer"):
        frames.pointer_to(frame, b"nowhere")


def test_elements_that_share() -> None:
    frame = wire.encode(TaskResult(b"i", results=(bytes(4096), *[b"-"] * 99)))
    with pytest.raises(wire.WireError):
        wire.decode(frames.with_shared_elements(frame, 0, 2))
    twice = wire.encode(TaskResult(b"i", results=(b"shared", b"------")))
    read = wire.decode(frames.with_shared_elements(twice, 0, 2))
    assert read == TaskResult(b"i", results=(b"shared", b"shared"))


def test_a_text_without_its_zero() -> None:
    frame = wire.encode(TaskLog(b"i", content="text"))
    with pytest.raises(wire.WireError):
        wire.decode(frames.with_length(frame, frames.pointer_at(frame, 0, 1), 4))


def test_a_null_pointer_is_a_default() -> None:
    frame = wire.encode(TaskCancel(b"i", force=True))
    assert wire.decode(frames.with_word(frame, frames.pointer_at(frame, 0, 1), 0, 0)) == TaskCancel(b"i")
