"""Byte for byte, our frames are those of OpenGRIS Scaler for the same values, and each side reads the other's.

Not compared: ObjectInstruction, whose fields this protocol does not list, and numbers that an enumeration does
not name, which Scaler's classes cannot hold.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import message_strategies
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scaler.io.utility import deserialize, serialize
from scaler.protocol import capnp as scaler

from rescind import vectors, wire, wire_layout
from rescind.messages import (
    Argument,
    ArgumentType,
    CancelConfirmType,
    Capability,
    DisconnectType,
    GraphTask,
    Message,
    ObjectInstruction,
    ObjectStorageAddress,
    ProcessorStatus,
    Resource,
    Task,
    TaskCancel,
    TaskLog,
    TaskLogType,
    TaskResult,
    TaskResultType,
    WorkerHeartbeat,
)

ID = bytes(range(16))
COMPARED = {
    type_: strategy
    for type_, strategy in message_strategies.messages_by_type(unknown_enumerants=False).items()
    if type_ is not ObjectInstruction
}
SCALER_NAMES: dict[type[Any], Any] = {
    Argument: scaler.Task.Argument,
    ArgumentType: scaler.Task.Argument.ArgumentType,
    CancelConfirmType: scaler.TaskCancelConfirmType,
    Capability: scaler.TaskCapability,
    DisconnectType: scaler.ClientDisconnect.DisconnectType,
    ObjectStorageAddress: scaler.ObjectStorageAddress,
    ProcessorStatus: scaler.ProcessorStatus,
    Resource: scaler.Resource,
    TaskLogType: scaler.TaskLog.LogType,
    TaskResultType: scaler.TaskResultType,
}
"""Where Scaler's class has another name than ours."""
STRUCTS = {body.type: body for body in wire_layout.BODIES.values()} | {
    struct.type: struct
    for struct in (
        wire_layout.ARGUMENT,
        wire_layout.CAPABILITY,
        wire_layout.RESOURCE,
        wire_layout.ADDRESS,
        wire_layout.PROCESSOR,
    )
}


def to_scaler(value: Any) -> Any:
    """A message, or a part of one, as Scaler's classes hold it."""
    if isinstance(value, TaskCancel):
        flags = scaler.TaskCancel.TaskCancelFlags(force=value.force)
        return scaler.TaskCancel(taskId=value.task_id, flags=flags)
    if isinstance(value, tuple):
        return [to_scaler(element) for element in value]
    if isinstance(value, IntEnum):
        return SCALER_NAMES[type(value)](int(value))
    if type(value) in STRUCTS:
        class_ = SCALER_NAMES.get(type(value)) or getattr(scaler, type(value).__name__)
        struct = STRUCTS[type(value)]
        return class_(**{name: to_scaler(getattr(value, attribute)) for name, attribute, _ in struct.fields})
    return value


def differences(ours: Any, theirs: Any, path: str) -> list[str]:
    """The fields in which what Scaler read is not what we wrote."""
    if isinstance(ours, TaskCancel):
        theirs_flat = (bytes(theirs.taskId), theirs.flags.force)
        return [] if theirs_flat == (ours.task_id, ours.force) else [f"{path}: {theirs_flat}"]
    if isinstance(ours, tuple):
        if len(ours) != len(theirs):
            return [f"{path}: {len(theirs)} elements, not {len(ours)}"]
        pairs = enumerate(zip(ours, theirs, strict=True))
        return [line for n, (a, b) in pairs for line in differences(a, b, f"{path}[{n}]")]
    if type(ours) in STRUCTS:
        return [
            line
            for name, attribute, _ in STRUCTS[type(ours)].fields
            for line in differences(getattr(ours, attribute), getattr(theirs, name), f"{path}.{name}")
        ]
    if isinstance(ours, IntEnum):
        ours, theirs = int(ours), int(getattr(theirs, "value", theirs))
    return [] if ours == theirs else [f"{path}: {theirs!r}, not {ours!r}"]


def check(message: Message) -> None:
    ours, theirs = wire.encode(message), serialize(to_scaler(message))
    assert ours == theirs
    assert wire.decode(theirs) == message
    assert differences(message, deserialize(ours), wire.member_name(message)) == []


@pytest.mark.parametrize("type_", COMPARED, ids=lambda type_: type_.__name__)
@settings(suppress_health_check=[HealthCheck.data_too_large, HealthCheck.too_slow], deadline=None)
@given(data=st.data())
def test_frames_are_equal_and_each_side_reads_the_others(type_: type[Message], data: st.DataObject) -> None:
    check(data.draw(COMPARED[type_]))


VECTORS = [
    vector
    for vector in vectors.build()
    if vector.expect == "message" and not vector.name.startswith("unknown/") and vector.message is not None
]


@pytest.mark.parametrize("vector", VECTORS, ids=[vector.name for vector in VECTORS])
def test_the_vectors_are_scalers_frames(vector: vectors.Vector) -> None:
    assert vector.message is not None
    assert serialize(to_scaler(vector.message)) == vector.frame
    check(vector.message)


# The first segment of a builder has 1024 words; what does not fit opens another.
AROUND_A_SEGMENT = [*range(8192 - 160, 8192 + 24, 8), 8191, 8193]


@pytest.mark.parametrize("size", [*AROUND_A_SEGMENT, 2 * 8192, 3 * 8192, 100_000, 1_000_000])
def test_long_data_and_text_open_the_same_segments(size: int) -> None:
    check(TaskResult(ID, TaskResultType.SUCCESS, bytes(size), (b"r" * 32, bytes(size), b"s")))
    check(TaskLog(ID, TaskLogType.STDOUT, "x" * size))


@pytest.mark.parametrize("count", [1, 2, 100, 341, 342, 500, 512, 513, 1000, 3000, 20_000])
def test_long_lists_open_the_same_segments(count: int) -> None:
    check(Task(ID, function_args=tuple(Argument(ArgumentType.OBJECT_ID, b"o" * 32) for _ in range(count))))
    check(Task(ID, capabilities=tuple(Capability(f"c{n}", n) for n in range(count))))
    check(TaskResult(ID, results=(b"r" * 32,) * count))
    check(WorkerHeartbeat(processors=tuple(ProcessorStatus(pid=n) for n in range(count)), hostname="é" * 99))


def test_a_long_graph_opens_the_same_segments() -> None:
    tasks = tuple(
        Task(bytes([n]) * 16, b"client", bytes(n * 40), b"f" * 32, (Argument(ArgumentType.TASK, ID),) * n)
        for n in range(100)
    )
    check(GraphTask(ID, b"client", (ID,) * 10, tasks))


def test_scaler_may_leave_fields_out_and_we_read_the_defaults() -> None:
    assert wire.decode(serialize(scaler.WorkerHeartbeat(queueSize=7))) == WorkerHeartbeat(queue_size=7)
    assert wire.decode(serialize(scaler.TaskCancel(taskId=ID))) == TaskCancel(ID)
    assert wire.decode(serialize(scaler.TaskResult(taskId=ID))) == TaskResult(ID)


def test_an_object_instruction_of_scaler_is_read_opaquely() -> None:
    metadata = scaler.ObjectMetadata(objectIds=[b"o" * 32], objectNames=[b"name"])
    kind = scaler.ObjectInstruction.ObjectInstructionType.delete
    theirs = scaler.ObjectInstruction(instructionType=kind, objectUser=b"Client|x", objectMetadata=metadata)
    assert wire.decode(serialize(theirs)) == ObjectInstruction()
