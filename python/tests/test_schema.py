"""The schema: any Cap'n Proto compiler takes it, and its numbers are those that the protocol fixes."""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import capnp
import pytest
from scaler.io.utility import serialize
from scaler.protocol import capnp as scaler
from scaler.protocol.helpers import PROTOCOL

from rescind import wire, wire_layout

SCHEMAS = sorted(wire.schema_directory().glob("*.capnp"))
MEMBERS = {
    "task": 0,
    "taskCancel": 1,
    "taskCancelConfirm": 2,
    "taskResult": 3,
    "taskLog": 4,
    "graphTask": 5,
    "objectInstruction": 6,
    "clientHeartbeat": 7,
    "clientHeartbeatEcho": 8,
    "workerHeartbeat": 9,
    "workerHeartbeatEcho": 10,
    "stateClient": 11,
    "stateObject": 12,
    "stateBalanceAdvice": 13,
    "stateScheduler": 14,
    "stateWorker": 15,
    "stateTask": 16,
    "stateGraphTask": 17,
    "clientDisconnect": 18,
    "clientShutdownResponse": 19,
    "processorInitialized": 20,
    "informationRequest": 21,
    "informationResponse": 22,
    "workerManagerHeartbeat": 23,
    "workerManagerHeartbeatEcho": 24,
    "workerManagerCommand": 25,
    "workerDisconnectNotification": 26,
}
"""The contract: members may be added, but none of these ever changes (E1)."""
FIELDS = {
    "Task": "taskId data, source data, metadata data, funcObjectId data, functionArgs list, capabilities list",
    "Task.Argument": "type enum, data data",
    "Capability": "name text, value int64",
    "TaskCancel": "taskId data, flags struct",
    "TaskCancel.Flags": "force bool",
    "TaskCancelConfirm": "taskId data, cancelConfirmType enum",
    "TaskResult": "taskId data, resultType enum, metadata data, results list",
    "TaskLog": "taskId data, logType enum, content text",
    "GraphTask": "taskId data, source data, targets list, graph list",
    "ObjectInstruction": "",
    "Resource": "cpu uint16, rss uint64",
    "ObjectStorageAddress": "host text, port uint16, scheme text",
    "ClientHeartbeat": "resource struct, latencyMicroseconds uint32, hostname text",
    "ClientHeartbeatEcho": "objectStorageAddress struct",
    "WorkerHeartbeat": "agent struct, rssFree uint64, queueSize uint32, queuedTasks uint32, "
    "latencyMicroseconds uint32, taskLock bool, processors list, capabilities list, workerManagerID data, "
    "memLimit uint64, hostname text, netSentBytes uint64, netRecvBytes uint64",
    "ProcessorStatus": "pid uint32, initialized bool, hasTask bool, suspended bool, resource struct, "
    "currentTaskId data, taskAgeSeconds uint32",
    "WorkerHeartbeatEcho": "objectStorageAddress struct",
    "ClientDisconnect": "disconnectType enum",
    "ClientShutdownResponse": "accepted bool",
    "WorkerDisconnectNotification": "",
    "Unused": "",
}
"""The fields of each struct in the order of their numbers, with their types: these never change either."""
ENUMERANTS = {
    "Task.Argument.Type": "task, objectID",
    "CancelConfirmType": "canceled, cancelFailed, cancelNotFound",
    "TaskResult.ResultType": "success, failed, failedWorkerDied",
    "TaskLog.Type": "stdout, stderr",
    "ClientDisconnect.Type": "disconnect, shutdown",
}


@pytest.mark.skipif(shutil.which("capnp") is None, reason="the capnp tool is not installed")
@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: schema.name)
def test_the_capnp_compiler_takes_it_and_makes_cpp_of_it(schema: Path, tmp_path: Path) -> None:
    arguments = ["capnp", "compile", f"-oc++:{tmp_path}", f"--src-prefix={schema.parent}", str(schema)]
    if shutil.which("capnpc-c++") is None:
        arguments[2] = "-o-"
    result = subprocess.run(arguments, capture_output=True, check=False, timeout=60)
    assert result.returncode == 0, result.stderr.decode()
    assert result.stderr == b""


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: schema.name)
def test_it_needs_no_file_that_is_not_beside_it(schema: Path) -> None:
    text = schema.read_text(encoding="utf-8")
    for imported in re.findall(r'import\s+"([^"]+)"', text):
        assert (schema.parent / imported).is_file()
    assert text.isascii()


def test_there_is_a_schema() -> None:
    assert [schema.name for schema in SCHEMAS] == ["message.capnp"]


def test_members_have_the_numbers_that_the_protocol_fixes() -> None:
    assert wire.MEMBERS == MEMBERS


def declared(path: str) -> Any:
    return functools.reduce(getattr, path.split("."), capnp.load(str(SCHEMAS[0]))).schema


@pytest.mark.parametrize("path", FIELDS)
def test_fields_have_the_numbers_and_types_that_the_protocol_fixes(path: str) -> None:
    nodes = sorted(declared(path).node.struct.fields, key=lambda field: field.ordinal.explicit)
    assert [node.ordinal.explicit for node in nodes] == list(range(len(nodes)))
    assert ", ".join(f"{node.name} {node.slot.type.which()}" for node in nodes) == FIELDS[path]


@pytest.mark.parametrize("path", ENUMERANTS)
def test_enumerants_have_the_numbers_that_the_protocol_fixes(path: str) -> None:
    numbers = declared(path).enumerants
    assert ", ".join(sorted(numbers, key=numbers.__getitem__)) == ENUMERANTS[path]


def test_every_struct_field_and_enumerant_is_explained() -> None:
    """A declaration is followed by its comment, except for members of the envelope and plain pairs."""
    lines = SCHEMAS[0].read_text(encoding="utf-8").splitlines()
    bare = []
    for number, line in enumerate(lines):
        declaration = re.match(r"\s*(?:struct (\w+) \{|(\w+) @\d+( :[\w()]+)?;)", line)
        if declaration and not lines[number + 1].lstrip().startswith("#"):
            bare.append(declaration[1] or declaration[2])
    assert set(bare) <= {*MEMBERS, "Flags", "Argument", "stdout", "stderr"}


@pytest.mark.parametrize("name", MEMBERS)
def test_scaler_gives_each_member_the_same_number(name: str) -> None:
    assert name in PROTOCOL
    frame = serialize(PROTOCOL[name]())
    # One segment; the root's data, of one word, follows the pointer to the root.
    assert frame[:4] == bytes(4)
    assert int.from_bytes(frame[16:18], "little") == MEMBERS[name]


@pytest.mark.parametrize("name", [name for name in MEMBERS if name not in wire_layout.BODIES])
def test_a_member_that_the_protocol_does_not_use_is_refused_by_name(name: str) -> None:
    with pytest.raises(wire.WireError, match=name) as caught:
        wire.decode(serialize(PROTOCOL[name]()))
    assert caught.value.reason == f"unsupported member {name}"


def copied(frame: bytes, name: str) -> bytes:
    """The frame that results when one member is read by our schema and set in a new message."""
    module: Any = capnp.load(str(SCHEMAS[0]))
    with module.Message.from_bytes(frame) as read:
        written = module.Message.new_message()
        setattr(written, name, getattr(read, name))
        result: bytes = written.to_bytes()
    return result


def test_opaque_members_are_copied_without_loss() -> None:
    metadata = scaler.ObjectMetadata(objectIds=[b"o" * 32], objectNames=[b"name"])
    instruction = scaler.ObjectInstruction(
        instructionType=scaler.ObjectInstruction.ObjectInstructionType.delete,
        objectUser=b"Client|x",
        objectMetadata=metadata,
    )
    frame = serialize(instruction)
    assert copied(frame, "objectInstruction") == frame
    frame = serialize(scaler.InformationRequest(request=b"what is there?"))
    assert copied(frame, "informationRequest") == frame
