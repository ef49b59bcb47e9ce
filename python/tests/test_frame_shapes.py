"""Decoding by shapes says what decoding says, of every frame."""

from __future__ import annotations

from dataclasses import replace

import message_strategies
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rescind import frame_shapes, vectors, wire
from rescind.frame_shapes import Decoder
from rescind.messages import (
    Argument,
    ArgumentType,
    CancelConfirmType,
    Capability,
    ClientHeartbeat,
    ClientHeartbeatEcho,
    Message,
    ObjectStorageAddress,
    Resource,
    Task,
    TaskCancel,
    TaskCancelConfirm,
    TaskResult,
    WorkerHeartbeat,
    WorkerHeartbeatEcho,
)

TASK = Task(
    bytes(16),
    b"Client|1",
    b"metadata",
    bytes(32),
    (Argument(ArgumentType.OBJECT_ID, bytes(32)), Argument(7, b"odd")),
    (Capability("gpu", 2),),
)
RESULT = TaskResult(bytes(16), 1, b"profile", (bytes(32), b""))
EXAMPLES: list[Message] = [
    TASK,
    RESULT,
    TaskCancel(bytes(16), True),
    TaskCancelConfirm(bytes(16), CancelConfirmType.CANCEL_FAILED),
]
NAMES = [type(message).__name__ for message in EXAMPLES]


class Watched(Decoder):
    """Counts the frames whose shape was not known."""

    def __init__(self) -> None:
        super().__init__()
        self.learnt = 0

    def _learn(self, *arguments: object) -> None:
        self.learnt += 1
        super()._learn(*arguments)  # type: ignore[arg-type]


def outcome(decoder: Decoder | None, frame: bytes) -> Message | str:
    try:
        return decoder.decode(frame) if decoder is not None else wire.decode(frame)
    except wire.WireError as error:
        return error.reason


def with_other_data(message: Message) -> Message:
    """The same message with other values of Data, of the same lengths."""

    def other(data: bytes) -> bytes:
        return bytes(byte ^ 0x5A for byte in data)

    match message:
        case Task():
            return replace(
                message,
                task_id=other(message.task_id),
                source=other(message.source),
                metadata=other(message.metadata),
                func_object_id=other(message.func_object_id),
                function_args=tuple(Argument(each.type, other(each.data)) for each in message.function_args),
            )
        case TaskResult():
            return replace(
                message,
                task_id=other(message.task_id),
                metadata=other(message.metadata),
                results=tuple(map(other, message.results)),
            )
        case TaskCancel() | TaskCancelConfirm():
            return replace(message, task_id=other(message.task_id))
        case _:
            return message


@pytest.mark.parametrize("message", EXAMPLES, ids=NAMES)
def test_a_frame_with_other_data_is_read_by_its_shape(message: Message) -> None:
    decoder = Watched()
    decoder.decode(wire.encode(message))
    other = with_other_data(message)
    assert other != message
    assert decoder.decode(wire.encode(other)) == other
    assert decoder.learnt == 1


@pytest.mark.parametrize("message", EXAMPLES, ids=NAMES)
def test_every_bit_that_is_no_data_counts(message: Message) -> None:
    """Each bit of a frame is turned in its turn: the message, or the error, is that of a decoder without shapes."""
    frame = wire.encode(message)
    decoder = Decoder()
    decoder.decode(frame)
    for bit in range(len(frame) * 8):
        turned = bytearray(frame)
        turned[bit // 8] ^= 1 << bit % 8
        assert outcome(decoder, bytes(turned)) == outcome(None, bytes(turned)), f"bit {bit}"


@settings(deadline=None, suppress_health_check=[HealthCheck.data_too_large, HealthCheck.too_slow])
@given(st.lists(message_strategies.messages(), min_size=1, max_size=6), st.data())
def test_shapes_change_nothing(messages: list[Message], data: st.DataObject) -> None:
    """Any messages, their siblings with other Data, and what a flipped or missing byte makes of them."""
    decoder = Decoder()
    for message in messages:
        frame = wire.encode(message)
        frames = [frame, wire.encode(with_other_data(message)), frame + b"\x00", frame[:-8]]
        at = data.draw(st.integers(0, len(frame) - 1))
        frames.append(frame[:at] + bytes([frame[at] ^ 1 << data.draw(st.integers(0, 7))]) + frame[at + 1 :])
        for each in [*frames, *frames]:
            assert outcome(decoder, each) == outcome(None, each)


@pytest.mark.parametrize("vector", vectors.build(), ids=lambda vector: vector.name)
def test_every_vector_is_decoded_as_without_shapes(vector: vectors.Vector) -> None:
    decoder = Decoder()
    for message in EXAMPLES:
        decoder.decode(wire.encode(message))
    assert [outcome(decoder, vector.frame) for _ in range(2)] == [outcome(None, vector.frame)] * 2


def test_a_frame_of_the_same_beginning_and_another_shape_is_told_apart() -> None:
    """Two cancels differ in one bit behind the task id; two tasks of one length in how it is divided."""
    decoder = Watched()
    tasks = [Task(bytes(16), b"1" * 8, b"2" * length, b"3" * (48 - length)) for length in (8, 16, 24)]
    messages: list[Message] = [TaskCancel(bytes(16), True), TaskCancel(bytes(16), False), *tasks]
    for _ in range(3):
        assert [decoder.decode(wire.encode(message)) for message in messages] == messages
    assert decoder.learnt == len(messages)


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame_shapes, "_MAX_SHAPES", 4)
    decoder = Watched()
    for length in range(1, 200):
        assert decoder.decode(wire.encode(TaskCancel(bytes(length)))) == TaskCancel(bytes(length))
    assert sum(map(len, decoder._shapes.values())) <= 4
    assert decoder.decode(wire.encode(TaskCancel(b"\x01" * 199))).task_id == b"\x01" * 199  # type: ignore[union-attr]
    assert decoder.learnt == 199, "the last shape is still there"


def test_long_frames_and_those_laid_out_otherwise_are_not_remembered() -> None:
    decoder = Decoder()
    decoder.decode(wire.encode(TaskResult(bytes(16), results=(bytes(5000),))))
    decoder.decode(wire.encode(TaskResult(bytes(16), results=(b"1",) * 40)))
    frame = wire.encode(TaskCancel(bytes(16)))
    decoder.decode(frame[:4] + (int.from_bytes(frame[4:8], "little") + 1).to_bytes(4, "little") + frame[8:] + bytes(8))
    assert decoder._shapes == {}


BEATS: list[Message] = [
    ClientHeartbeat(Resource(12, 1 << 30), 7, "a host"),
    ClientHeartbeatEcho(ObjectStorageAddress("a host", 1, "tcp")),
    WorkerHeartbeat(Resource(12, 1 << 30), 1 << 20, 5, 2, hostname="a host"),
    WorkerHeartbeatEcho(ObjectStorageAddress("a host", 1, "tcp")),
]


@pytest.mark.parametrize("message", BEATS, ids=[type(each).__name__ for each in BEATS])
def test_a_heartbeat_that_came_before_is_not_decoded_again(message: Message, monkeypatch: pytest.MonkeyPatch) -> None:
    decoder, frame = Decoder(), wire.encode(message)
    assert decoder.decode(frame) == message
    for bit in range(8 * len(frame)):
        turned = bytearray(frame)
        turned[bit // 8] ^= 1 << bit % 8
        assert outcome(decoder, bytes(turned)) == outcome(None, bytes(turned)), f"bit {bit}"
    decoder.decode(frame)
    monkeypatch.setattr(wire, "decode", lambda _: pytest.fail("decoded again"))
    assert decoder.decode(frame) == message


def test_of_ever_other_heartbeats_only_the_last_are_kept() -> None:
    decoder = Decoder()
    for number in range(200):
        assert decoder.decode(wire.encode(ClientHeartbeat(latency_microseconds=number))) == ClientHeartbeat(
            latency_microseconds=number
        )
    assert len(decoder._beats) < 100
