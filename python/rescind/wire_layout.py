"""How each message is laid out: the kinds of values that the schema has, and one table over the messages.

The table says which dataclass a member of the envelope is and which kind of value each of its fields holds.
`wire`, which is the interface to all this, decodes, encodes and shows JSON by it.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from enum import IntEnum
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

import capnp

from rescind import messages
from rescind.messages import MAX_TASK_ID_BYTES

MAX_FRAME_BYTES: Final = 16 * 1024 * 1024
"""The longest frame, in bytes, that is decoded or encoded (M2)."""
MAX_LIST_ELEMENTS: Final = 65_536
"""The longest list: elements that take no room in the frame still take time and memory (M2)."""


class WireError(ValueError):
    """A frame that cannot be decoded, or a message or JSON value that cannot be encoded.

    `reason` is one of a small fixed set, fit for counting by; `detail` is for people.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


def schema_directory() -> Path:
    """Where `message.capnp` and the test vectors are: in the installed package, or else in the checkout.

    Raises `FileNotFoundError` if they are in neither.
    """
    package = Path(__file__).resolve().parent
    candidates = [package / "protocol", package.parents[1] / "protocol"]
    for candidate in candidates:
        if (candidate / "message.capnp").is_file():
            return candidate
    raise FileNotFoundError(
        f"message.capnp is neither in {candidates[0]} nor in {candidates[1]}: install the package again"
    )


# A parser of our own: what else this process loads with pycapnp can then not collide with it.
_PARSER = capnp.SchemaParser()
SCHEMA: Any = _PARSER.load(str(schema_directory() / "message.capnp"))


class _Kind:
    """One type of the schema: how its values are read, written, and shown as JSON."""

    def read(self, value: Any) -> Any:
        """What pycapnp returned for a field, as the dataclass holds it. Raises on what is malformed."""
        return value

    def check(self, value: Any) -> Any:
        """What the dataclass holds, as pycapnp takes it. Raises `WireError` if it does not fit."""
        raise NotImplementedError

    def write(self, into: Any, name: str, value: Any) -> None:
        """Set field `name` of the builder `into`."""
        setattr(into, name, self.check(value))

    def to_json(self, value: Any) -> Any:
        return value

    def from_json(self, value: Any) -> Any:
        """What `to_json` returned, as the dataclass holds it. Raises `WireError` on anything else."""
        return self.check(value)


class _Bool(_Kind):
    def check(self, value: Any) -> bool:
        if not isinstance(value, bool):
            raise WireError("wrong type", f"a {type(value).__name__} where a bool belongs")
        return value


class _Int(_Kind):
    def __init__(self, low: int, high: int) -> None:
        self._low, self._high = low, high

    def check(self, value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise WireError("wrong type", f"a {type(value).__name__} where an int belongs")
        if not self._low <= value <= self._high:
            raise WireError("out of range", f"{value} is not between {self._low} and {self._high}")
        return int(value)


class _Text(_Kind):
    def check(self, value: Any) -> str:
        if not isinstance(value, str):
            raise WireError("wrong type", f"a {type(value).__name__} where a str belongs")
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise WireError("text is not UTF-8", str(error)) from error
        return str(value)


class _Data(_Kind):
    def check(self, value: Any) -> bytes:
        if not isinstance(value, bytes):
            raise WireError("wrong type", f"a {type(value).__name__} where bytes belongs")
        return bytes(value)

    def to_json(self, value: Any) -> str:
        return cast("bytes", value).hex()

    def from_json(self, value: Any) -> bytes:
        if not isinstance(value, str):
            raise WireError("wrong type", f"{value!r} is not a string of hexadecimal digits")
        try:
            return bytes.fromhex(value)
        except ValueError as error:
            raise WireError("wrong type", f"{value!r}: {error}") from error


class _TaskId(_Data):
    def read(self, value: Any) -> bytes:
        if not 1 <= len(value) <= MAX_TASK_ID_BYTES:
            raise WireError("bad task id", f"{len(value)} bytes, not 1 to {MAX_TASK_ID_BYTES}")
        return cast("bytes", value)

    def check(self, value: Any) -> bytes:
        return self.read(super().check(value))

    def from_json(self, value: Any) -> bytes:
        return self.read(super().from_json(value))


class _Enum(_Kind):
    """Numbers that the enumeration does not name stay numbers: each receiver deals with them as M6 says."""

    def __init__(self, enum: type[IntEnum], schema: Any) -> None:
        self._enum = enum
        self._by_number: dict[int, IntEnum] = {int(member): member for member in enum}
        numbers: Mapping[str, int] = schema.schema.enumerants
        self._by_name = {name: enum(number) for name, number in numbers.items()}
        self._names = {number: name for name, number in numbers.items()}
        self._range = _Int(0, 2**16 - 1)

    def read(self, value: Any) -> int:
        raw: int = value.raw
        return self._by_number.get(raw, raw)

    def check(self, value: Any) -> int:
        return self._range.check(value)

    def to_json(self, value: Any) -> str | int:
        return self._names.get(value, int(value))

    def from_json(self, value: Any) -> int:
        if isinstance(value, str):
            if value not in self._by_name:
                raise WireError("wrong type", f"{value!r} is none of {', '.join(self._by_name)}")
            return self._by_name[value]
        number = self.check(value)
        return self._by_number.get(number, number)


class _Flag(_Kind):
    """A struct whose one field is a Bool, which the dataclass holds directly."""

    def __init__(self, name: str) -> None:
        self._name = name

    def read(self, value: Any) -> bool:
        return cast("bool", getattr(value, self._name))

    def write(self, into: Any, name: str, value: Any) -> None:
        setattr(into.init(name), self._name, _BOOL.check(value))

    def to_json(self, value: Any) -> dict[str, bool]:
        return {self._name: value}

    def from_json(self, value: Any) -> bool:
        _only_keys(value, {self._name})
        return _BOOL.check(value.get(self._name, False))


class _Field(NamedTuple):
    name: str
    """In the schema and in JSON."""
    attribute: str
    """In the dataclass, whose parameters stand in the same order."""
    kind: _Kind


class _Struct(_Kind):
    def __init__(self, type_: type[Any], *fields: tuple[str, str, _Kind]) -> None:
        self.type = type_
        self.fields = [_Field(*field) for field in fields]

    def read(self, value: Any) -> Any:
        return self.type(*[kind.read(getattr(value, name)) for name, _, kind in self.fields])

    def write(self, into: Any, name: str, value: Any) -> None:
        self.fill(into.init(name), value)

    def fill(self, builder: Any, value: Any) -> None:
        """Set every field of the builder, in the order of their numbers: so does Scaler, and order is layout."""
        if not isinstance(value, self.type):
            raise WireError("wrong type", f"a {type(value).__name__} where a {self.type.__name__} belongs")
        for name, attribute, kind in self.fields:
            try:
                kind.write(builder, name, getattr(value, attribute))
            except WireError as error:
                raise WireError(error.reason, f"{name}: {error.detail}") from error

    def to_json(self, value: Any) -> dict[str, Any]:
        return {name: kind.to_json(getattr(value, attribute)) for name, attribute, kind in self.fields}

    def from_json(self, value: Any) -> Any:
        _only_keys(value, {name for name, _, _ in self.fields})
        known = {}
        for name, attribute, kind in self.fields:
            if name in value:
                try:
                    known[attribute] = kind.from_json(value[name])
                except WireError as error:
                    raise WireError(error.reason, f"{name}: {error.detail}") from error
        try:
            return self.type(**known)
        except TypeError as error:  # a field without a default is missing
            raise WireError("wrong type", str(error)) from error


class _Room(threading.local):
    """How many elements of lists the frame may still have that this thread reads: it holds a word for each."""

    left: int = 0


ROOM: Final = _Room()


class _List(_Kind):
    def __init__(self, element: _Kind) -> None:
        self._element = element

    def read(self, value: Any) -> tuple[Any, ...]:
        _check_length(value)
        # Cap'n Proto reads a list of bytes, or of less, as one of structs: a megabyte could hold a million of them.
        ROOM.left -= len(value)
        if ROOM.left < 0:
            raise WireError("list too long", "more elements than the frame has words")
        read = self._element.read
        return tuple([read(element) for element in value])

    def write(self, into: Any, name: str, value: Any) -> None:
        if not isinstance(value, Sequence) or isinstance(value, str | bytes):
            raise WireError("wrong type", f"a {type(value).__name__} where a sequence belongs")
        _check_length(value)
        builder = into.init(name, len(value))
        for index, element in enumerate(value):
            try:
                if isinstance(self._element, _Struct):
                    self._element.fill(builder[index], element)
                else:
                    builder[index] = self._element.check(element)
            except WireError as error:
                raise WireError(error.reason, f"[{index}]: {error.detail}") from error

    def to_json(self, value: Any) -> list[Any]:
        return [self._element.to_json(element) for element in value]

    def from_json(self, value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise WireError("wrong type", f"{value!r} is not a list")
        return tuple(self._element.from_json(element) for element in value)


def _check_length(value: Any) -> None:
    if len(value) > MAX_LIST_ELEMENTS:
        raise WireError("list too long", f"{len(value)} elements, more than {MAX_LIST_ELEMENTS}")


def _only_keys(value: Any, names: set[str]) -> None:
    if not isinstance(value, dict) or not value.keys() <= names:
        raise WireError("wrong type", f"{value!r} is not an object of {', '.join(sorted(names)) or 'nothing'}")


_BOOL, _TEXT, _DATA, _TASK_ID = _Bool(), _Text(), _Data(), _TaskId()
_UINT16, _UINT32, _UINT64 = _Int(0, 2**16 - 1), _Int(0, 2**32 - 1), _Int(0, 2**64 - 1)
_INT64 = _Int(-(2**63), 2**63 - 1)

ARGUMENT = _Struct(
    messages.Argument,
    ("type", "type", _Enum(messages.ArgumentType, SCHEMA.Task.Argument.Type)),
    ("data", "data", _DATA),
)
CAPABILITY = _Struct(messages.Capability, ("name", "name", _TEXT), ("value", "value", _INT64))
RESOURCE = _Struct(messages.Resource, ("cpu", "cpu", _UINT16), ("rss", "rss", _UINT64))
ADDRESS = _Struct(
    messages.ObjectStorageAddress,
    ("host", "host", _TEXT),
    ("port", "port", _UINT16),
    ("scheme", "scheme", _TEXT),
)
PROCESSOR = _Struct(
    messages.ProcessorStatus,
    ("pid", "pid", _UINT32),
    ("initialized", "initialized", _BOOL),
    ("hasTask", "has_task", _BOOL),
    ("suspended", "suspended", _BOOL),
    ("resource", "resource", RESOURCE),
    ("currentTaskId", "current_task_id", _DATA),
    ("taskAgeSeconds", "task_age_seconds", _UINT32),
)
_TASK = _Struct(
    messages.Task,
    ("taskId", "task_id", _TASK_ID),
    ("source", "source", _DATA),
    ("metadata", "metadata", _DATA),
    ("funcObjectId", "func_object_id", _DATA),
    ("functionArgs", "function_args", _List(ARGUMENT)),
    ("capabilities", "capabilities", _List(CAPABILITY)),
)
BODIES: Final[dict[str, _Struct]] = {
    "task": _TASK,
    "taskCancel": _Struct(
        messages.TaskCancel,
        ("taskId", "task_id", _TASK_ID),
        ("flags", "force", _Flag("force")),
    ),
    "taskCancelConfirm": _Struct(
        messages.TaskCancelConfirm,
        ("taskId", "task_id", _TASK_ID),
        (
            "cancelConfirmType",
            "cancel_confirm_type",
            _Enum(messages.CancelConfirmType, SCHEMA.CancelConfirmType),
        ),
    ),
    "taskResult": _Struct(
        messages.TaskResult,
        ("taskId", "task_id", _TASK_ID),
        ("resultType", "result_type", _Enum(messages.TaskResultType, SCHEMA.TaskResult.ResultType)),
        ("metadata", "metadata", _DATA),
        ("results", "results", _List(_DATA)),
    ),
    "taskLog": _Struct(
        messages.TaskLog,
        ("taskId", "task_id", _TASK_ID),
        ("logType", "log_type", _Enum(messages.TaskLogType, SCHEMA.TaskLog.Type)),
        ("content", "content", _TEXT),
    ),
    "graphTask": _Struct(
        messages.GraphTask,
        ("taskId", "task_id", _TASK_ID),
        ("source", "source", _DATA),
        ("targets", "targets", _List(_DATA)),
        ("graph", "graph", _List(_TASK)),
    ),
    "objectInstruction": _Struct(messages.ObjectInstruction),
    "clientHeartbeat": _Struct(
        messages.ClientHeartbeat,
        ("resource", "resource", RESOURCE),
        ("latencyMicroseconds", "latency_microseconds", _UINT32),
        ("hostname", "hostname", _TEXT),
    ),
    "clientHeartbeatEcho": _Struct(
        messages.ClientHeartbeatEcho,
        ("objectStorageAddress", "object_storage_address", ADDRESS),
    ),
    "workerHeartbeat": _Struct(
        messages.WorkerHeartbeat,
        ("agent", "agent", RESOURCE),
        ("rssFree", "rss_free", _UINT64),
        ("queueSize", "queue_size", _UINT32),
        ("queuedTasks", "queued_tasks", _UINT32),
        ("latencyMicroseconds", "latency_microseconds", _UINT32),
        ("taskLock", "task_lock", _BOOL),
        ("processors", "processors", _List(PROCESSOR)),
        ("capabilities", "capabilities", _List(CAPABILITY)),
        ("workerManagerID", "worker_manager_id", _DATA),
        ("memLimit", "mem_limit", _UINT64),
        ("hostname", "hostname", _TEXT),
        ("netSentBytes", "net_sent_bytes", _UINT64),
        ("netRecvBytes", "net_recv_bytes", _UINT64),
    ),
    "workerHeartbeatEcho": _Struct(
        messages.WorkerHeartbeatEcho,
        ("objectStorageAddress", "object_storage_address", ADDRESS),
    ),
    "clientDisconnect": _Struct(
        messages.ClientDisconnect,
        ("disconnectType", "disconnect_type", _Enum(messages.DisconnectType, SCHEMA.ClientDisconnect.Type)),
    ),
    "clientShutdownResponse": _Struct(
        messages.ClientShutdownResponse,
        ("accepted", "accepted", _BOOL),
    ),
    "workerDisconnectNotification": _Struct(messages.WorkerDisconnectNotification),
}
NAMES: Final[dict[type[Any], str]] = {body.type: name for name, body in BODIES.items()}

MEMBERS: Final[dict[str, int]] = {
    field.name: field.discriminantValue for field in SCHEMA.Message.schema.node.struct.fields
}
"""Every member of the envelope, those that the protocol does not use included: wire name to number."""
