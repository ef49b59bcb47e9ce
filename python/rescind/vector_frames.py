"""What the test vectors are: each frame, what it says, and what a receiver does with it.

What is well-formed by today's schema is encoded by `wire`. What is not, or what only another version of the
protocol would send, is put together word by word, with the functions that stand before the vectors.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from rescind import wire
from rescind.messages import (
    Argument,
    ArgumentType,
    CancelConfirmType,
    Capability,
    ClientDisconnect,
    ClientHeartbeat,
    ClientHeartbeatEcho,
    ClientShutdownResponse,
    DisconnectType,
    GraphTask,
    Message,
    ObjectInstruction,
    ObjectStorageAddress,
    ProcessorStatus,
    Resource,
    Task,
    TaskCancel,
    TaskCancelConfirm,
    TaskLog,
    TaskLogType,
    TaskResult,
    TaskResultType,
    WorkerDisconnectNotification,
    WorkerHeartbeat,
    WorkerHeartbeatEcho,
)

Expectation = Literal["message", "accept", "drop", "either"]
"""message: must be read, and encoding the message gives these bytes. accept: must be read; there are other
bytes for the same message. drop: must be dropped. either: may be read or dropped, and does no harm."""


@dataclass(frozen=True, slots=True)
class Vector:
    """One frame and what is to be done with it."""

    name: str
    """Folder and file without its ending, such as "malformed/empty"."""
    description: str
    frame: bytes
    expect: Expectation
    receivers: Mapping[str, str]
    """By role ("client", "scheduler", "worker"): handle, drop, forward, or in words."""
    message: Message | None = None
    """What the frame says; None if it is to be dropped."""
    reason: str = ""
    """Why `wire.decode` refuses it; empty if it does not."""

    def describe(self) -> dict[str, Any]:
        """The JSON that stands beside the frame."""
        described: dict[str, Any] = {
            "description": self.description,
            "bytes": len(self.frame),
            "expect": self.expect,
            "receivers": dict(self.receivers),
        }
        if self.message is not None:
            described["message"] = wire.to_json(self.message)
        if self.reason:
            described["reason"] = self.reason
        return described


# --- Frames, word by word ------------------------------------------------------------------------------------

Words = list[bytes]
"""A segment: 8 bytes each, or a multiple of it."""
_NULL: Final = bytes(8)


def _struct(offset: int, data: int, pointers: int) -> bytes:
    """A pointer to a struct `offset` words after it, with so many words of data and so many pointers."""
    return struct.pack("<iHH", offset << 2, data, pointers)


def _list(offset: int, size: int, count: int) -> bytes:
    """A pointer to a list. `size` is the code of its elements' size; 2 is a byte, 6 a pointer, 7 a struct."""
    return struct.pack("<iI", offset << 2 | 1, count << 3 | size)


def _far(segment: int, word: int, *, double: bool = False) -> bytes:
    """A pointer into another segment, to one landing pad or to a pair."""
    return struct.pack("<II", word << 3 | double << 2 | 2, segment)


def _tag(count: int, data: int, pointers: int) -> bytes:
    """What stands before the elements of a list of structs."""
    return struct.pack("<IHH", count << 2, data, pointers)


def _number(value: int) -> bytes:
    return struct.pack("<Q", value)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 8)


def _frame(*segments: Words) -> bytes:
    """The segments behind their table."""
    contents = [b"".join(segment) for segment in segments]
    sizes = [len(content) // 8 for content in contents]
    return _padded(struct.pack(f"<I{len(sizes)}I", len(sizes) - 1, *sizes)) + b"".join(contents)


def _patched(message: Message, words: Mapping[int, bytes]) -> bytes:
    """The frame of a message that fits one segment, with some of the segment's words replaced."""
    frame = bytearray(wire.encode(message))
    for index, word in words.items():
        frame[8 + 8 * index : 16 + 8 * index] = word
    return bytes(frame)


# --- The vectors ---------------------------------------------------------------------------------------------

_ID: Final = bytes.fromhex("5f0c7a1e9b3d4c5e8f60718293a4b5c6")
_OTHER_ID: Final = bytes.fromhex("0d1b2a394857466580748392a1b0cfde")
_CLIENT: Final = b"Client|example|0f1e2d3c4b5a69788796a5b4c3d2e1f0"
_FUNCTION: Final = bytes(range(0x20, 0x40))
_OBJECT: Final = bytes(range(0x40, 0x60))

_FOR_SCHEDULER: Final = {"client": "drop", "scheduler": "handle", "worker": "drop"}
_FOR_CLIENT: Final = {"client": "handle", "scheduler": "drop", "worker": "drop"}
_FOR_WORKER: Final = {"client": "drop", "scheduler": "drop", "worker": "handle"}
_TO_WORKERS: Final = {"client": "drop", "scheduler": "handle", "worker": "handle"}
_TO_CLIENTS: Final = {"client": "handle", "scheduler": "handle", "worker": "drop"}
_FOR_ALL: Final = {"client": "handle", "scheduler": "handle", "worker": "handle"}
_DROP: Final = {"client": "drop", "scheduler": "drop", "worker": "drop"}
_EITHER: Final = dict.fromkeys(_DROP, "handle or drop")

_TASK: Final = Task(
    _ID,
    source=_CLIENT,
    metadata=b"\x01\x02\x03",
    func_object_id=_FUNCTION,
    function_args=(Argument(ArgumentType.OBJECT_ID, _OBJECT),),
    capabilities=(Capability("gpu", 2),),
)
_CANCEL: Final = TaskCancel(_ID, force=True)
"""Its one segment: 0 pointer to the root, 1 the member's number, 2 pointer to the struct, 3 pointer to taskId,
4 pointer to flags, 5 and 6 the id, 7 the flag."""
_LOG: Final = TaskLog(_ID, TaskLogType.STDERR, "abc")
"""0 pointer to the root, 1 number, 2 pointer to the struct, 3 logType, 4 taskId, 5 content, 6 and 7 the id, 8 abc."""
_RESULT: Final = TaskResult(_ID, TaskResultType.SUCCESS, b"", (_OBJECT,))


def build() -> list[Vector]:
    """All vectors of this version, the same at every call."""
    return [*_messages(), *_variants(), *_unknown(), *_malformed()]


def _messages() -> Iterator[Vector]:
    """Every message and every enumerant, as the reference encodes them (and Scaler 2.9)."""
    processors = (
        ProcessorStatus(4711, True, True, False, Resource(1000, 1 << 28), _ID, 12),
        ProcessorStatus(4712, True, False, True, Resource(0, 1 << 27), b"", 0),
    )
    heartbeat = WorkerHeartbeat(
        agent=Resource(25, 1 << 26),
        rss_free=1 << 33,
        queue_size=1000,
        queued_tasks=3,
        latency_microseconds=250,
        task_lock=True,
        processors=processors,
        capabilities=(Capability("gpu", 2), Capability("linux", -1)),
        worker_manager_id=b"manager",
        mem_limit=1 << 34,
        hostname="rechner-münchen",
        net_sent_bytes=(1 << 64) - 1,
        net_recv_bytes=1 << 63,
    )
    tcp = ObjectStorageAddress("192.0.2.1", 2346, "tcp")
    sqlite = ObjectStorageAddress("/run/cluster/objects.sqlite", 0, "sqlite")
    graph = GraphTask(
        _ID,
        source=_CLIENT,
        targets=(_OTHER_ID,),
        graph=(
            Task(_OTHER_ID, _CLIENT, b"", _FUNCTION, (Argument(ArgumentType.TASK, b"\x02" * 16),)),
            Task(b"\x02" * 16, _CLIENT, b"", _FUNCTION),
        ),
    )
    first = Argument(ArgumentType.TASK, b"\x02" * 16)
    other = Argument(ArgumentType.TASK, _OTHER_ID)
    shared = GraphTask(
        _ID,
        source=_CLIENT,
        targets=(b"\x03" * 16, _OTHER_ID),
        graph=(
            Task(
                b"\x03" * 16,
                _CLIENT,
                b"\xff\x00",
                _FUNCTION,
                (other, Argument(ArgumentType.OBJECT_ID, _OBJECT), other, first),
            ),
            Task(_OTHER_ID, _CLIENT, b"", _FUNCTION, (first,)),
            Task(b"\x02" * 16, _CLIENT, b"", _FUNCTION),
        ),
    )
    rows: list[tuple[str, str, Message, Mapping[str, str]]] = [
        ("task", "A task with one argument and one capability.", _TASK, _TO_WORKERS),
        ("task-argument-task", "An argument of type task: it names another task's id.",
         Task(_ID, _CLIENT, b"", _FUNCTION, (Argument(ArgumentType.TASK, _OTHER_ID),)), _TO_WORKERS),
        ("task-empty-fields", "Every Data and list empty, but none a null pointer.", Task(_ID), _TO_WORKERS),
        ("task-many", "Several arguments and capabilities; text that is not ASCII; a negative and a large value.",
         Task(_ID, _CLIENT, b"", _FUNCTION,
              tuple(Argument(ArgumentType.OBJECT_ID, bytes([n]) * 32) for n in range(4)),
              (Capability("größe", -1), Capability("", 0), Capability("x", (1 << 63) - 1))), _TO_WORKERS),
        ("task-id-shortest", "A task id of 1 byte.", TaskCancel(b"\x00"), _TO_WORKERS),
        ("task-id-longest", "A task id of 255 bytes.", TaskCancel(bytes(range(255))), _TO_WORKERS),
        ("task-cancel", "Without force.", TaskCancel(_ID), _TO_WORKERS),
        ("task-cancel-force", "With force.", _CANCEL, _TO_WORKERS),
        ("task-cancel-confirm-canceled", "cancelConfirmType canceled.",
         TaskCancelConfirm(_ID, CancelConfirmType.CANCELED), _TO_CLIENTS),
        ("task-cancel-confirm-cancel-failed", "cancelConfirmType cancelFailed.",
         TaskCancelConfirm(_ID, CancelConfirmType.CANCEL_FAILED), _TO_CLIENTS),
        ("task-cancel-confirm-cancel-not-found", "cancelConfirmType cancelNotFound.",
         TaskCancelConfirm(_ID, CancelConfirmType.CANCEL_NOT_FOUND), _TO_CLIENTS),
        ("task-result-success", "resultType success, one result.", _RESULT, _TO_CLIENTS),
        ("task-result-failed", "resultType failed; metadata.",
         TaskResult(_ID, TaskResultType.FAILED, b"\xff\x00", (_OBJECT,)), _TO_CLIENTS),
        ("task-result-failed-worker-died", "resultType failedWorkerDied, no results.",
         TaskResult(_ID, TaskResultType.FAILED_WORKER_DIED), _TO_CLIENTS),
        ("task-log-stdout", "logType stdout; text that is not ASCII.",
         TaskLog(_ID, TaskLogType.STDOUT, "Zeile 1\n日本 🙂"), _TO_CLIENTS),
        ("task-log-stderr", "logType stderr.", _LOG, _TO_CLIENTS),
        ("graph-task", "Two tasks, the first of which takes the second's result.", graph, _FOR_SCHEDULER),
        ("graph-task-shared-dependency",
         "Two targets, which take the result of the same task; one of them also an object and, twice, the other's.",
         shared, _FOR_SCHEDULER),
        ("graph-task-target-too-long", "A target of 256 bytes is well-formed. It is no task id: none is refused "
         "under it (S12.2).", GraphTask(_ID, _CLIENT, (bytes(256), _OTHER_ID), graph.graph), _FOR_SCHEDULER),
        ("client-heartbeat", "With figures.",
         ClientHeartbeat(Resource(1234, 1 << 30), 1500, "laptop"), _FOR_SCHEDULER),
        ("client-heartbeat-echo-tcp", "Payloads are in Scaler's object storage server.",
         ClientHeartbeatEcho(tcp), _FOR_CLIENT),
        ("client-heartbeat-echo-sqlite", "Payloads are in a database file.",
         ClientHeartbeatEcho(sqlite), _FOR_CLIENT),
        ("worker-heartbeat", "With two processes, two capabilities, and the largest numbers.",
         heartbeat, _FOR_SCHEDULER),
        ("worker-heartbeat-zero", "All figures zero but queueSize; no process, no capability.",
         WorkerHeartbeat(queue_size=1), _FOR_SCHEDULER),
        ("worker-heartbeat-echo", "Payloads are in a database file.", WorkerHeartbeatEcho(sqlite), _FOR_WORKER),
        ("client-disconnect-disconnect", "disconnectType disconnect.",
         ClientDisconnect(DisconnectType.DISCONNECT), _FOR_ALL),
        ("client-disconnect-shutdown", "disconnectType shutdown.",
         ClientDisconnect(DisconnectType.SHUTDOWN), _FOR_ALL),
        ("client-shutdown-response-accepted", "accepted true.", ClientShutdownResponse(True), _FOR_CLIENT),
        ("client-shutdown-response-refused", "accepted false.", ClientShutdownResponse(False), _FOR_CLIENT),
        ("worker-disconnect-notification", "Without fields.", WorkerDisconnectNotification(), _FOR_SCHEDULER),
    ]  # fmt: skip
    for name, description, message, receivers in rows:
        frame = wire.encode(message)
        yield Vector(f"messages/{name}", description, frame, "message", receivers, message)


def _variants() -> Iterator[Vector]:
    """Other bytes for a message: in several segments, by a later or an earlier version, or merely unusual."""
    cancel = [_struct(0, 1, 1), _number(1), _struct(0, 0, 2)]
    flags = _number(1)
    bomb = [_struct(0, 0, 1)] * 200
    rows: list[tuple[str, str, Message, Expectation, bytes]] = [
        ("two-segments", "taskId is in a second segment, reached by a far pointer.", _CANCEL, "accept",
         _frame([*cancel, _far(1, 0), _struct(0, 1, 0), flags], [_list(0, 2, 16), _ID])),
        ("three-segments", "taskId is reached by a far pointer to a pair of words in a third segment.",
         _CANCEL, "accept",
         _frame([*cancel, _far(2, 0, double=True), _struct(0, 1, 0), flags], [_ID],
                [_far(1, 0), _list(0, 2, 16)])),
        ("root-in-second-segment", "The first segment is only a far pointer to the root.", _CANCEL, "accept",
         _frame([_far(1, 0)], _words(_CANCEL))),
        ("511-segments", "As many segments as Cap'n Proto's own stream reader takes; all but one are empty.",
         _CANCEL, "accept", _frame(_words(_CANCEL), *[[]] * 510)),
        ("later-version-struct", "The root, TaskCancel and flags each have more data and pointers than known.",
         _CANCEL, "accept",
         _frame([_struct(0, 2, 2), _number(1), b"\xff" * 8, _struct(1, 1, 3), _list(9, 2, 8), b"\xff" * 8,
                 _list(2, 2, 16), _struct(3, 2, 1), _list(5, 2, 8), _ID, flags, b"\xff" * 8, _NULL,
                 b"unknown\x00"])),
        ("later-version-list", "Task has another pointer; its Argument more data and another pointer.",
         Task(_ID, function_args=(Argument(ArgumentType.OBJECT_ID, b"argument"),)), "accept",
         _frame([_struct(0, 1, 1), _number(0), _struct(0, 0, 7), _list(6, 2, 16), _NULL, _NULL, _NULL,
                 _list(4, 7, 4), _NULL, _NULL, _ID, _tag(1, 2, 2), _number(1), b"\xff" * 8, _list(1, 2, 8),
                 _NULL, b"argument"])),
        ("earlier-version-task", "Task ends after funcObjectId: no arguments, no capabilities.",
         Task(_ID, func_object_id=_FUNCTION), "accept",
         _frame([_struct(0, 1, 1), _number(0), _struct(0, 0, 4), _list(3, 2, 16), _NULL, _NULL,
                 _list(2, 2, 32), _ID, _FUNCTION])),
        ("earlier-version-heartbeat", "WorkerHeartbeat ends after queuedTasks; the rest has its defaults.",
         WorkerHeartbeat(rss_free=5, queue_size=6, queued_tasks=7), "accept",
         _frame([_struct(0, 1, 1), _number(9), _struct(0, 2, 1), _number(5), _number(7 << 32 | 6), _NULL])),
        ("earlier-version-confirm", "TaskCancelConfirm without cancelConfirmType: canceled.",
         TaskCancelConfirm(_ID, CancelConfirmType.CANCELED), "accept",
         _frame([_struct(0, 1, 1), _number(2), _struct(0, 0, 1), _list(0, 2, 16), _ID])),
        ("earlier-version-list", "Three ProcessorStatus without content: three times the defaults.",
         WorkerHeartbeat(processors=(ProcessorStatus(),) * 3), "accept",
         _frame([_struct(0, 1, 1), _number(9), _struct(0, 0, 2), _NULL, _list(0, 7, 0), _tag(3, 0, 0)])),
        ("null-flags", "flags is a null pointer: no force.", TaskCancel(_ID), "accept",
         _patched(_CANCEL, {4: _NULL})),
        ("null-body", "The member is a null pointer, which is a struct of defaults.",
         ClientDisconnect(DisconnectType.DISCONNECT), "accept",
         _frame([_struct(0, 1, 1), _number(18), _NULL])),
        ("unreferenced-words", "Words that no pointer leads to stand before, between and after.", _CANCEL, "accept",
         _frame([_struct(1, 1, 1), b"garbage!", _number(1), _struct(1, 0, 2), b"garbage!", _list(2, 2, 16),
                 _struct(4, 1, 0), b"garbage!", _ID, b"garbage!", flags, b"garbage!"])),
        ("text-with-nul", "A text that contains a NUL besides the one that ends it.",
         TaskLog(_ID, TaskLogType.STDERR, "a\0c"), "message",
         wire.encode(TaskLog(_ID, TaskLogType.STDERR, "a\0c"))),
        ("object-instruction", "As Scaler sends it: create, with a user and no objects. Its content is opaque.",
         ObjectInstruction(), "accept",
         _frame([_struct(0, 1, 1), _number(6), _struct(0, 1, 2), _number(0), _list(1, 2, 8), _NULL,
                 b"Client|x"])),
        ("nesting-bomb-unread", "200 pointers in one another, in a pointer that TaskCancel does not have.",
         _CANCEL, "either",
         _frame([*cancel[:2], _struct(0, 0, 3), _list(2, 2, 16), _struct(3, 1, 0), _struct(3, 0, 1), _ID, flags,
                 *bomb, _NULL])),
        ("cycle-unread", "A struct that contains itself, in a pointer that TaskCancel does not have.",
         _CANCEL, "either",
         _frame([*cancel[:2], _struct(0, 0, 3), _list(2, 2, 16), _struct(3, 1, 0), _struct(-1, 0, 1), _ID,
                 flags])),
        ("wild-pointer-unread", "A pointer out of the message, in a pointer that TaskCancel does not have.",
         _CANCEL, "either",
         _frame([*cancel[:2], _struct(0, 0, 3), _list(2, 2, 16), _struct(3, 1, 0), _list(9999, 2, 8), _ID,
                 flags])),
    ]  # fmt: skip
    handled = {
        Task: _TO_WORKERS,
        TaskCancel: _TO_WORKERS,
        TaskCancelConfirm: _TO_CLIENTS,
        TaskLog: _TO_CLIENTS,
        WorkerHeartbeat: _FOR_SCHEDULER,
        ClientDisconnect: _FOR_ALL,
        ObjectInstruction: dict.fromkeys(_DROP, "ignore"),
    }
    for name, description, message, expect, frame in rows:
        receivers = _EITHER if expect == "either" else handled[type(message)]
        yield Vector(f"variants/{name}", description, frame, expect, receivers, message)


def _words(message: Message) -> Words:
    """The only segment of a message that fits one."""
    return [wire.encode(message)[8:]]


def _unknown() -> Iterator[Vector]:
    """What a later version, or another use of the envelope, may send."""
    enums: list[tuple[str, str, Message, Mapping[str, str]]] = [
        ("argument-type", "Argument.type 7.", Task(_ID, _CLIENT, b"", _FUNCTION, (Argument(7, _OBJECT),)),
         {"client": "drop", "scheduler": "forward", "worker": "report the task failed"}),
        ("cancel-confirm-type", "cancelConfirmType 7. The round stays open.", TaskCancelConfirm(_ID, 7), _DROP),
        ("result-type", "resultType 7. Terminal like any other.", TaskResult(_ID, 7, b"", (_OBJECT,)),
         {"client": "treat as failed", "scheduler": "forward", "worker": "drop"}),
        ("log-type", "logType 7.", TaskLog(_ID, 7, "abc"),
         {"client": "treat as stdout", "scheduler": "forward", "worker": "drop"}),
        ("disconnect-type", "disconnectType 7.", ClientDisconnect(7),
         dict.fromkeys(_DROP, "treat as disconnect")),
        ("enum-largest", "resultType 65535, the largest number that an enumeration can have.",
         TaskResult(_ID, 65535), {"client": "treat as failed", "scheduler": "forward", "worker": "drop"}),
    ]  # fmt: skip
    for name, description, message, receivers in enums:
        frame = wire.encode(message)
        yield Vector(f"unknown/{name}", description, frame, "message", receivers, message)
    for number in (len(wire.MEMBERS), 65535):
        yield Vector(
            f"unknown/member-{number}",
            f"A member of the envelope that this version does not have: {number}.",
            _patched(_CANCEL, {1: _number(number)}),
            "drop",
            _DROP,
            reason="unknown member",
        )
    used = {wire.member_name(vector.message) for vector in [*_messages(), *_variants()] if vector.message}
    for name, number in wire.MEMBERS.items():
        if name not in used:
            yield Vector(
                f"unknown/unused-{number}",
                f"The member {name}, which is not part of this protocol, as an empty struct.",
                _frame([_struct(0, 1, 1), _number(number), _struct(-1, 0, 0)]),
                "drop",
                _DROP,
                reason=f"unsupported member {name}",
            )


def _malformed() -> Iterator[Vector]:
    """What must be dropped as a whole, whichever party it comes to."""
    cancel, task = wire.encode(_CANCEL), wire.encode(_TASK)
    table = struct.pack
    rows = [
        ("empty", "No bytes.", "empty frame", b""),
        ("truncated-table-3", "Three bytes.", "truncated", cancel[:3]),
        ("truncated-table-7", "One byte less than the segment table.", "truncated", cancel[:7]),
        ("truncated-table-of-many", "The table of 511 segments is cut off.", "truncated",
         table("<III", 510, 8, 0) + bytes(4)),
        ("truncated-no-segment", "Only the segment table.", "truncated", cancel[:8]),
        ("truncated-half", "Cut off in the middle.", "truncated", cancel[:40]),
        ("truncated-word", "The last word is missing.", "truncated", cancel[:-8]),
        ("truncated-byte", "The last byte is missing.", "truncated", cancel[:-1]),
        ("truncated-second-segment", "The second of two segments is missing.", "truncated",
         table("<IIII", 1, 8, 3, 0) + cancel[8:]),
        ("trailing-byte", "A byte after the message.", "trailing bytes", cancel + b"\0"),
        ("trailing-word", "A word after the message.", "trailing bytes", cancel + bytes(8)),
        ("trailing-garbage", "Text after the message.", "trailing bytes", cancel + b"\r\n-- \r\nbye"),
        ("two-messages", "Two whole messages in one frame.", "trailing bytes", cancel + task),
        ("segments-513", "One segment more than allowed, all there.", "too many segments",
         _frame([cancel[8:]], *[[]] * 512)),
        ("segment-count-bomb", "The table says that there are 4,294,967,296 segments.", "too many segments",
         b"\xff" * 4 + cancel[4:]),
        ("segment-size-bomb", "The table says that the segment has 4,294,967,295 words.", "truncated",
         cancel[:4] + b"\xff" * 4 + cancel[8:]),
        ("segment-sizes-overflow", "The sizes of two segments add up to the true one in 32 bits only.",
         "truncated", table("<IIII", 1, 0xFFFFFFFF, 9, 0) + cancel[8:]),
        ("no-root", "One segment without words.", "malformed pointer", _frame([])),
        ("text-not-json", "Not Cap'n Proto at all.", "too many segments", b'{"task": "cancel it, please"}   '),
        ("all-ones", "64 bytes of 0xff.", "too many segments", b"\xff" * 64),
        ("zeros", "64 zero bytes: an empty segment, and more after it.", "trailing bytes", bytes(64)),
        *_wild_pointers(),
        ("text-not-utf8", "content is Latin-1.", "text is not UTF-8",
         _patched(_LOG, {8: b"ab\xe9\0\0\0\0\0"})),
        ("text-overlong", "content has an overlong encoding of NUL.", "text is not UTF-8",
         _patched(_LOG, {8: b"a\xc0\x80\0\0\0\0\0"})),
        ("text-surrogate", "content has half a surrogate pair.", "text is not UTF-8",
         _patched(_LOG, {8: b"\xed\xa0\x80\0\0\0\0\0"})),
        ("text-cut", "content ends in the middle of a character.", "text is not UTF-8",
         _patched(_LOG, {8: b"a\xf0\x9f\0\0\0\0\0"})),
        ("text-not-utf8-in-list", "The name of a capability is not UTF-8.", "text is not UTF-8",
         task.replace(b"gpu\0", b"gp\xff\0")),
        ("text-without-nul", "content is not ended by a NUL.", "malformed pointer",
         _patched(_LOG, {5: _list(2, 2, 3)})),
        ("text-without-bytes", "content has no bytes, not even the NUL.", "malformed pointer",
         _patched(_LOG, {5: _list(2, 2, 0)})),
        ("task-id-empty", "taskId has no bytes.", "bad task id", _patched(_CANCEL, {3: _list(1, 2, 0)})),
        ("task-id-null", "taskId is a null pointer.", "bad task id", _patched(_CANCEL, {3: _NULL})),
        ("task-id-missing", "TaskCancel ends before taskId.", "bad task id",
         _frame([_struct(0, 1, 1), _number(1), _struct(-1, 0, 0)])),
        ("task-id-too-long", "taskId has 256 bytes.", "bad task id",
         _frame([_struct(0, 1, 1), _number(1), _struct(0, 0, 2), _list(1, 2, 256), _NULL, bytes(256)])),
        ("task-id-empty-in-graph", "A task of the graph has an empty id.", "bad task id",
         _frame([_struct(0, 1, 1), _number(5), _struct(0, 0, 4), _list(3, 2, 16), _NULL, _NULL,
                 _list(2, 7, 0), _ID, _tag(1, 0, 0)])),
        ("null-root", "The root is a null pointer: a Task of defaults, with an empty id.", "bad task id",
         _frame([_NULL])),
        ("amplified-structs", "536,870,911 ProcessorStatus that take no room.", "malformed pointer",
         _frame([_struct(0, 1, 1), _number(9), _struct(0, 0, 2), _NULL, _list(0, 7, 0),
                 _tag(2**29 - 1, 0, 0)])),
        ("amplified-voids", "536,870,911 ProcessorStatus, said to be of size zero.", "malformed pointer",
         _frame([_struct(0, 1, 1), _number(9), _struct(0, 0, 2), _NULL, _list(0, 0, 2**29 - 1)])),
        ("amplified-sharing", "100 results that are all the same 800 bytes.", "malformed pointer",
         _frame([_struct(0, 1, 1), _number(3), _struct(0, 1, 3), _number(0), _list(2, 2, 16), _NULL,
                 _list(2, 6, 100), _ID, *[_list(99 - n, 2, 800) for n in range(100)], bytes(800)])),
    ]  # fmt: skip
    for name, description, reason, frame in rows:
        yield Vector(f"malformed/{name}", description, frame, "drop", _DROP, reason=reason)


def _wild_pointers() -> Iterator[tuple[str, str, str, bytes]]:
    """A TaskCancel with one pointer changed: 0 leads to the root, 2 to the struct, 3 to taskId, 4 to flags."""
    rows = [
        ("root-out-of-message", "The root is 100 words beyond the end.", {0: _struct(100, 1, 1)}),
        ("root-before-message", "The root is before the beginning.", {0: _struct(-9, 1, 1)}),
        ("root-too-large", "The root has more words than the message.", {0: _struct(0, 65535, 65535)}),
        ("root-is-list", "The root is a list.", {0: _list(0, 2, 8)}),
        ("root-is-capability", "The root is a capability.", {0: struct.pack("<II", 3, 0)}),
        ("body-out-of-message", "The member is beyond the end.", {2: _struct(1000, 0, 2)}),
        ("body-is-list", "The member is a list.", {2: _list(0, 2, 8)}),
        ("data-out-of-message", "taskId begins beyond the end.", {3: _list(1000, 2, 16)}),
        ("data-beyond-end", "taskId ends one byte beyond the end.", {3: _list(1, 2, 25)}),
        ("data-largest", "taskId has 536,870,911 bytes.", {3: _list(1, 2, 2**29 - 1)}),
        ("data-is-struct", "taskId is a struct.", {3: _struct(1, 1, 0)}),
        ("data-is-words", "taskId is a list of words.", {3: _list(1, 5, 2)}),
        ("data-is-bits", "taskId is a list of bits.", {3: _list(1, 1, 128)}),
        ("data-is-capability", "taskId is a capability.", {3: struct.pack("<II", 3, 0)}),
        ("data-is-reserved", "taskId is a pointer of a reserved kind.", {3: struct.pack("<II", 7, 0)}),
        ("far-no-segment", "taskId is in segment 7, of one.", {3: _far(7, 0)}),
        ("far-out-of-segment", "taskId's landing pad is beyond the end.", {3: _far(0, 1000)}),
        ("far-to-itself", "taskId's landing pad is the far pointer itself.", {3: _far(0, 3)}),
        ("far-double-to-itself", "Both words of taskId's landing pad are wrong.", {3: _far(0, 3, double=True)}),
        ("read-last", "Only flags, the last field, is wrong: it is beyond the end.", {4: _struct(100, 1, 0)}),
        ("struct-is-list", "flags is a list.", {4: _list(2, 5, 1)}),
    ]
    for name, description, words in rows:
        yield f"pointer-{name}", description, "malformed pointer", _patched(_CANCEL, words)
    heartbeat = [_struct(0, 1, 1), _number(9), _struct(0, 0, 2), _NULL]
    lists: list[tuple[str, str, Words]] = [
        ("list-tag-too-many", "The tag of a list of structs counts more than the list holds.",
         [_list(0, 7, 2), _tag(3, 2, 2), bytes(16)]),
        ("list-tag-is-list", "The tag of a list of structs is a pointer to a list.",
         [_list(0, 7, 4), _list(1, 2, 2), bytes(32)]),
        ("list-of-pointers", "A list of structs is one of texts, the first of which is beyond the end.",
         [_list(0, 6, 1), _list(1000, 2, 8)]),
        ("in-list", "A pointer within the second of two list elements leads out of the message.",
         [_list(0, 7, 4), _tag(2, 0, 2), _NULL, _NULL, _NULL, _list(1000, 2, 8)]),
    ]  # fmt: skip
    for name, description, tail in lists:
        yield f"pointer-{name}", description, "malformed pointer", _frame([*heartbeat, *tail])
