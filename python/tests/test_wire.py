"""The codec: whatever is sent is received; whatever else comes is refused, and nothing worse happens."""

from __future__ import annotations

import json
import random
import struct
import sys
import threading
import tracemalloc
from dataclasses import fields
from typing import Any

import message_strategies
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from rescind import vectors, wire, wire_layout
from rescind.messages import (
    Argument,
    CancelConfirmType,
    Capability,
    ClientDisconnect,
    ClientHeartbeat,
    ClientHeartbeatEcho,
    Message,
    ObjectStorageAddress,
    Resource,
    Task,
    TaskCancel,
    TaskCancelConfirm,
    TaskLog,
    TaskResult,
    WorkerHeartbeat,
    WorkerHeartbeatEcho,
)

ID = bytes(range(16))
VALID = [vector for vector in vectors.build() if vector.message is not None]
VALID_FRAMES = [vector.frame for vector in VALID]
VALID_NAMES = [vector.name for vector in VALID]

# How fast a machine is says nothing here: only that what comes is right.
slow_to_generate = settings(deadline=None, suppress_health_check=[HealthCheck.data_too_large, HealthCheck.too_slow])


def decode_or_reason(frame: bytes) -> Message | str:
    """What a receiver gets; any exception but `WireError` fails the test."""
    try:
        return wire.decode(frame)
    except wire.WireError as error:
        return error.reason


# --- What is sent is received --------------------------------------------------------------------------------


@slow_to_generate
@given(message_strategies.messages())
def test_decoding_what_was_encoded_gives_the_message(message: Message) -> None:
    assert wire.decode(wire.encode(message)) == message


@pytest.mark.parametrize("fill", [b"\x00", b"\xff", b"\x5a"])
def test_short_messages_are_what_pycapnp_makes_of_them(fill: bytes) -> None:
    """They are put together from what was encoded before: of each length of a task id and each word beside it."""
    for length in range(1, 256):
        task_id = fill * length
        short: list[Message] = [TaskCancel(task_id, force) for force in (False, True)]
        short += [TaskCancelConfirm(task_id, kind) for kind in (*CancelConfirmType, 3, 255, 65535)]
        for message in short:
            assert wire.encode(message) == wire._encode(message), message


@slow_to_generate
@given(message_strategies.messages())
def test_json_says_everything_about_a_message(message: Message) -> None:
    through_text = json.loads(json.dumps(wire.to_json(message)))
    assert wire.from_json(through_text) == message


@pytest.mark.parametrize("type_", message_strategies.messages_by_type(), ids=lambda type_: type_.__name__)
def test_every_type_of_message_is_in_the_table_with_all_its_fields_in_order(type_: type[Message]) -> None:
    body = wire_layout.BODIES[wire_layout.NAMES[type_]]
    assert [field.attribute for field in body.fields] == [field.name for field in fields(type_)]


def test_enumerants_are_decoded_to_their_enumeration_and_others_to_plain_numbers() -> None:
    known = wire.decode(wire.encode(TaskCancelConfirm(ID, 2)))
    unknown = wire.decode(wire.encode(TaskCancelConfirm(ID, 3)))
    assert isinstance(known, TaskCancelConfirm)
    assert isinstance(unknown, TaskCancelConfirm)
    assert repr(known.cancel_confirm_type) == "<CancelConfirmType.CANCEL_NOT_FOUND: 2>"
    assert type(unknown.cancel_confirm_type) is int
    assert unknown.cancel_confirm_type == 3


def test_a_message_is_named_as_on_the_wire() -> None:
    assert wire.member_name(TaskCancel(ID)) == "taskCancel"
    with pytest.raises(TypeError, match="not a message"):
        wire.member_name("task")  # type: ignore[arg-type]


def test_json_has_names_for_enumerants_and_hexadecimal_digits_for_data() -> None:
    message = TaskResult(b"\x00\xff", 0, b"", (b"\x01",))
    assert wire.to_json(message) == {
        "taskResult": {"taskId": "00ff", "resultType": "success", "metadata": "", "results": ["01"]}
    }
    assert wire.to_json(ClientDisconnect(9)) == {"clientDisconnect": {"disconnectType": 9}}


def test_json_may_leave_out_fields_that_have_a_default() -> None:
    assert wire.from_json({"taskCancel": {"taskId": "00"}}) == TaskCancel(b"\0")
    assert wire.from_json({"taskCancel": {"taskId": "00", "flags": {}}}) == TaskCancel(b"\0")


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ({}, "name of one message"),
        ({"task": {}, "taskCancel": {}}, "name of one message"),
        ({"taskKill": {}}, "unknown member"),
        ({"stateTask": {}}, "unsupported member stateTask"),
        ({"taskCancel": {}}, "task_id"),
        ({"taskCancel": {"taskId": "00", "force": True}}, "not an object of"),
        ({"taskCancel": {"taskId": "0g"}}, "taskCancel.taskId"),
        ({"taskCancel": {"taskId": 7}}, "hexadecimal"),
        ({"taskResult": {"taskId": "00", "resultType": "fine"}}, "none of success, failed, failedWorkerDied"),
        ({"taskResult": {"taskId": "00", "resultType": -1}}, "out of range"),
        ({"taskResult": {"taskId": "00", "results": "00"}}, "not a list"),
        ({"taskCancel": {"taskId": ""}}, "bad task id"),
        ({"taskCancel": {"taskId": "00", "flags": {"force": 1}}}, "taskCancel.flags"),
        ({"taskLog": {"taskId": "00", "content": 7}}, "taskLog.content"),
        ({"clientHeartbeat": {"latencyMicroseconds": 2**32}}, "clientHeartbeat.latencyMicroseconds"),
    ],
)
def test_json_that_is_no_message_is_refused_with_what_is_wrong(value: Any, complaint: str) -> None:
    with pytest.raises(wire.WireError, match=complaint):
        wire.from_json(value)


@pytest.mark.parametrize(
    ("message", "reason", "field"),
    [
        (TaskCancel(b""), "bad task id", "taskCancel.taskId"),
        (TaskCancel(bytes(256)), "bad task id", "taskCancel.taskId"),
        (TaskCancel("id"), "wrong type", "taskCancel.taskId"),  # type: ignore[arg-type]
        (TaskCancel(ID, 1), "wrong type", "taskCancel.flags"),  # type: ignore[arg-type]
        (TaskCancelConfirm(ID, -1), "out of range", "taskCancelConfirm.cancelConfirmType"),
        (TaskCancelConfirm(ID, 2**16), "out of range", "taskCancelConfirm.cancelConfirmType"),
        (ClientHeartbeat(Resource(cpu=2**16)), "out of range", "clientHeartbeat.resource: cpu"),
        (ClientHeartbeat(Resource(rss=-1)), "out of range", "clientHeartbeat.resource: rss"),
        (ClientHeartbeat(Resource(rss=2**64)), "out of range", "clientHeartbeat.resource: rss"),
        (ClientHeartbeat(latency_microseconds=2**32), "out of range", "latencyMicroseconds"),
        (ClientHeartbeat(latency_microseconds=1.5), "wrong type", "latencyMicroseconds"),  # type: ignore[arg-type]
        (Task(ID, capabilities=(Capability("x", 2**63),)), "out of range", r"task.capabilities: \[0\]: value"),
        (Task(ID, capabilities=(Capability("x", -(2**63) - 1),)), "out of range", "value"),
        (Task(ID, function_args=(b"x",)), "wrong type", r"functionArgs: \[0\]"),  # type: ignore[arg-type]
        (TaskResult(ID, results=b"xy"), "wrong type", "results"),  # type: ignore[arg-type]
        (TaskResult(ID, results=(b"",) * 65_537), "list too long", "results"),
        (TaskLog(ID, 0, "\ud800"), "text is not UTF-8", "taskLog.content"),
        (TaskResult(ID, metadata=bytes(2**24)), "too large", "taskResult"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_a_value_that_does_not_fit_is_refused_by_name(message: Message, reason: str, field: str) -> None:
    with pytest.raises(wire.WireError, match=field) as caught:
        wire.encode(message)
    assert caught.value.reason == reason


def test_an_echo_that_is_remembered_does_not_pass_for_another_of_a_wrong_type() -> None:
    for kind in (ClientHeartbeatEcho, WorkerHeartbeatEcho):
        for address in (ObjectStorageAddress("host", 1, "tcp"), ObjectStorageAddress("host", 2, "tcp")):
            for _ in range(2):
                assert wire.decode(wire.encode(kind(address))) == kind(address)
        for wrong in (ObjectStorageAddress("host", 1.0, "tcp"), ObjectStorageAddress("host", True, "tcp")):  # type: ignore[arg-type]
            with pytest.raises(wire.WireError) as caught:
                wire.encode(kind(wrong))
            assert caught.value.reason == "wrong type"


def test_the_longest_frame_is_accepted_and_one_word_more_is_not() -> None:
    # The metadata gets a segment of its own: what stands around it is as long for 1 MiB as for 16.
    overhead = len(wire.encode(TaskResult(ID, metadata=bytes(2**20)))) - 2**20
    message = TaskResult(ID, metadata=bytes(wire.MAX_FRAME_BYTES - overhead))
    frame = wire.encode(message)
    assert len(frame) == wire.MAX_FRAME_BYTES
    assert wire.decode(frame) == message
    assert decode_or_reason(frame + bytes(8)) == "too large"
    with pytest.raises(wire.WireError, match="too large"):
        wire.encode(TaskResult(ID, metadata=bytes(len(message.metadata) + 8)))


def test_an_error_says_why_in_a_word_for_counting_and_in_detail() -> None:
    with pytest.raises(wire.WireError) as caught:
        wire.decode(bytes(16) + b"more")
    assert isinstance(caught.value, ValueError)
    assert caught.value.reason == "trailing bytes"
    assert str(caught.value) == "trailing bytes: 12 after a message of 8"


# --- What else comes is refused ------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.binary(max_size=512))
@example(b"")
def test_no_bytes_make_decode_raise_anything_but_wire_error(frame: bytes) -> None:
    decode_or_reason(frame)


@settings(deadline=None)
@given(st.lists(st.binary(min_size=8, max_size=8), max_size=64))
def test_no_words_behind_a_right_segment_table_do_either(words: list[bytes]) -> None:
    decode_or_reason(struct.pack("<II", 0, len(words)) + b"".join(words))


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(VALID_FRAMES), st.lists(st.integers(min_value=0), min_size=1, max_size=8))
def test_no_flipped_bits_of_a_valid_frame_do_either(frame: bytes, bits: list[int]) -> None:
    changed = bytearray(frame)
    for bit in bits:
        position = bit % (8 * len(changed))
        changed[position // 8] ^= 1 << position % 8
    message = decode_or_reason(bytes(changed))
    if not isinstance(message, str):
        # What was accepted is wholly sound: it can be sent on, and shown.
        assert wire.decode(wire.encode(message)) == message
        assert wire.from_json(wire.to_json(message)) == message


@settings(max_examples=500, deadline=None)
@given(
    st.sampled_from(VALID_FRAMES),
    st.lists(
        st.tuples(st.integers(min_value=1), st.integers(-4, 40), st.integers(0, 3), st.integers(0, 2**32 - 1)),
        min_size=1,
        max_size=4,
    ),
)
def test_no_words_replaced_by_pointers_do_either(frame: bytes, changes: list[tuple[int, int, int, int]]) -> None:
    changed = bytearray(frame)
    for place, offset, kind, upper in changes:
        index = 8 * (place % (len(frame) // 8))
        changed[index : index + 8] = struct.pack("<iI", offset << 2 | kind, upper)
    decode_or_reason(bytes(changed))


@pytest.mark.parametrize("frame", VALID_FRAMES, ids=VALID_NAMES)
def test_every_shortened_frame_is_refused(frame: bytes) -> None:
    for length in range(len(frame)):
        assert decode_or_reason(frame[:length]) in {"empty frame", "truncated"}


def heartbeat_with_processors(list_pointer: bytes, content: bytes) -> bytes:
    """A WorkerHeartbeat whose second pointer is the last word before `content`."""
    words = struct.pack("<iHHQiHHQ", 0, 1, 1, 9, 0, 0, 2, 0) + list_pointer + content
    return struct.pack("<II", 0, len(words) // 8) + words


def measure(frame: bytes) -> tuple[Message | str, int]:
    """What decoding gives, and the memory that it took at its peak, in bytes."""
    tracemalloc.start()
    try:
        return decode_or_reason(frame), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("count", [1000, 65_536, 2**20, 2**29 - 1])
@pytest.mark.parametrize("as_structs", [True, False])
def test_elements_without_content_in_a_small_frame_cost_nothing(count: int, as_structs: bool) -> None:
    if as_structs:
        frame = heartbeat_with_processors(struct.pack("<iI", 1, 7), struct.pack("<IHH", count << 2, 0, 0))
    else:
        frame = heartbeat_with_processors(struct.pack("<iI", 1, count << 3), b"")
    assert len(frame) < 64
    outcome, memory = measure(frame)
    assert outcome == "malformed pointer"
    assert memory < 100_000


def test_elements_without_content_in_a_large_frame_are_limited_in_number() -> None:
    padding = bytes(8 * 70_000)
    content = struct.pack("<IHH", 65_537 << 2, 0, 0) + padding
    outcome, _ = measure(heartbeat_with_processors(struct.pack("<iI", 1, 7), content))
    assert outcome == "list too long"


def test_one_object_in_many_places_costs_no_more_than_the_frame() -> None:
    count, size = 1000, 2**20
    pointers = b"".join(struct.pack("<iI", (count - 1 - n) << 2 | 1, size << 3 | 2) for n in range(count))
    words = struct.pack("<iHHQiHHQ", 0, 1, 1, 3, 0, 1, 3, 0)
    words += struct.pack("<iIQiI", 2 << 2 | 1, 16 << 3 | 2, 0, 2 << 2 | 1, count << 3 | 6) + ID
    words += pointers + bytes(size)
    outcome, memory = measure(struct.pack("<II", 0, len(words) // 8) + words)
    assert outcome == "malformed pointer"
    assert memory < 3 * len(words)


def test_the_number_of_an_unknown_member_is_found_in_any_segment() -> None:
    in_first = bytearray(wire.encode(TaskCancel(ID)))
    in_first[16:18] = struct.pack("<H", 300)
    in_second = struct.pack("<IIII", 1, 1, len(in_first) // 8 - 1, 0) + struct.pack("<II", 2, 1) + in_first[8:]
    assert decode_or_reason(bytes(in_first)) == "unknown member"
    assert decode_or_reason(in_second) == "unknown member"


def test_bytes_at_any_address_are_decoded() -> None:
    frame = wire.encode(Task(ID, function_args=(Argument(1, b"x"),)))
    for shift in range(1, 9):
        assert wire.decode((bytes(shift) + frame)[shift:]) == wire.decode(frame)


# --- Threads -------------------------------------------------------------------------------------------------


def test_many_threads_encode_and_decode_at_once() -> None:
    failures: list[object] = []
    everyone = threading.Barrier(8)

    def work(seed: int) -> None:
        chosen = random.Random(seed)
        everyone.wait()
        for number in range(300):
            message = WorkerHeartbeat(queue_size=number, hostname=str(seed) * chosen.randrange(2000))
            try:
                if wire.decode(wire.encode(message)) != message:
                    failures.append(message)
                if decode_or_reason(b"\xff" * 16) != "too many segments":
                    failures.append("accepted")
            except BaseException as error:
                failures.append(error)
                raise

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not failures


def test_a_list_of_bytes_is_no_cheap_way_to_a_million_structs() -> None:
    """Cap'n Proto reads it as one of structs: each element of a byte would become an object of a hundred."""
    count = 65_536
    words = [
        struct.pack("<iHH", 0, 1, 1),  # the root, member 0: a Task
        struct.pack("<Q", 0),
        struct.pack("<iHH", 0, 0, 5),
        struct.pack("<iI", (4 << 2) | 1, (8 << 3) | 2),  # its id
        *[bytes(8)] * 3,
        struct.pack("<iI", (1 << 2) | 1, (count << 3) | 2),  # its arguments: bytes
        b"identity",
        bytes(count),
    ]
    body = b"".join(words)
    with pytest.raises(wire.WireError, match="list too long"):
        wire.decode(struct.pack("<II", 0, len(body) // 8) + body)
