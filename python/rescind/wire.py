"""The codec: messages to frames and back, and to readable JSON and back. No I/O but reading the schema once.

A frame is one unpacked Cap'n Proto message in the standard stream framing (SPEC.md T2), laid out as
`protocol/message.capnp` says. Every function here may be called from any thread, at the same time.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, cast

from rescind.messages import (
    MAX_TASK_ID_BYTES,
    ClientHeartbeatEcho,
    Message,
    ObjectStorageAddress,
    TaskCancel,
    TaskCancelConfirm,
    WorkerHeartbeatEcho,
)
from rescind.wire_layout import (
    BODIES,
    MAX_FRAME_BYTES,
    MAX_LIST_ELEMENTS,
    MEMBERS,
    NAMES,
    ROOM,
    SCHEMA,
    WireError,
    schema_directory,
)

__all__ = [
    "MAX_DEPTH",
    "MAX_FRAME_BYTES",
    "MAX_LIST_ELEMENTS",
    "MAX_SEGMENTS",
    "MAX_TASK_ID_BYTES",
    "MEMBERS",
    "WireError",
    "decode",
    "encode",
    "from_json",
    "member_name",
    "schema_directory",
    "to_json",
]

MAX_SEGMENTS: Final = 512
MAX_DEPTH: Final = 64
"""How many pointers may follow one another."""
_SPARE_WORDS: Final = 64
"""Added to a frame's length to get how much of it may be read: lists of structs without content weigh a word
for each element though they take no room."""


def member_name(message: Message) -> str:
    """The message's name in the envelope, such as "taskCancel". Raises `TypeError` on what is no message."""
    try:
        return NAMES[type(message)]
    except KeyError:
        raise TypeError(f"{message!r} is not a message") from None


def encode(message: Message) -> bytes:
    """The message as one frame. Every field is written, in the order of their numbers.

    Raises `WireError`, naming the field, if a value has the wrong type or does not fit, and `TypeError` if
    `message` is none of the protocol's messages.
    """
    if isinstance(message, TaskCancel):
        word: int = message.force
    elif isinstance(message, TaskCancelConfirm):
        word = message.cancel_confirm_type
    elif isinstance(message, ClientHeartbeatEcho | WorkerHeartbeatEcho):
        match message.object_storage_address:
            case ObjectStorageAddress(str() as host, int() as port, str() as scheme):
                return _echo(member_name(message), host, port, scheme)
        return _encode(message)
    else:
        return _encode(message)
    task_id = message.task_id
    if isinstance(task_id, bytes) and isinstance(word, int):
        before, after = _around_task_id(member_name(message), len(task_id), word)
        return before + task_id + after
    return _encode(message)


def _encode(message: Message) -> bytes:
    name = member_name(message)
    root = SCHEMA.Message.new_message()
    try:
        BODIES[name].write(root, name, message)
    except WireError as error:
        raise WireError(error.reason, f"{name}.{error.detail}") from error
    frame: bytes = root.to_bytes()
    if len(frame) > MAX_FRAME_BYTES:
        raise WireError("too large", f"{name}: a frame of {len(frame)} bytes, more than {MAX_FRAME_BYTES}")
    return frame


@lru_cache(maxsize=16, typed=True)
def _echo(name: str, host: str, port: int, scheme: str) -> bytes:
    """The echo to each heartbeat says the same."""
    return _encode(BODIES[name].type(ObjectStorageAddress(host, port, scheme)))


@lru_cache(maxsize=256, typed=True)
def _around_task_id(name: str, length: int, word: int) -> tuple[bytes, bytes]:
    """What stands before a task id of this length and behind it, in a message that says but one word more of it."""
    kind = BODIES[name].type
    zeros, ones = [_encode(kind(byte * length, word)) for byte in (b"\x00", b"\xff")]
    start = next(at for at, byte in enumerate(zeros) if byte != ones[at])
    return zeros[:start], zeros[start + length :]


def decode(frame: bytes) -> Message:
    """The one message that is in the frame, wholly read and checked.

    Raises `WireError`, and nothing else, on every other sequence of bytes (M1, M3). Time and memory are bounded
    by a multiple of the frame's length, whatever is in it.
    """
    words = _check_framing(frame)
    try:
        with SCHEMA.Message.from_bytes(
            frame, traversal_limit_in_words=words + _SPARE_WORDS, nesting_limit=MAX_DEPTH
        ) as root:
            ROOM.left = words + _SPARE_WORDS
            name = _member(root, frame)
            if name not in BODIES:
                raise WireError(f"unsupported member {name}", "the protocol does not use it")
            return cast("Message", BODIES[name].read(getattr(root, name)))
    except WireError:
        raise
    except UnicodeDecodeError as error:
        raise WireError("text is not UTF-8", str(error)) from error
    except Exception as error:
        # pycapnp raises KjException, ValueError, RuntimeError and others, differently from release to release.
        # Whatever it is, it must not reach the loop of the caller.
        raise WireError("malformed pointer", str(error).partition("\n")[0]) from error


def _check_framing(frame: bytes) -> int:
    """The frame's length in words, if by its segment table it is exactly one message; or else `WireError`."""
    length = len(frame)
    if length == 0:
        raise WireError("empty frame")
    if length > MAX_FRAME_BYTES:
        raise WireError("too large", f"{length} bytes, more than {MAX_FRAME_BYTES}")
    if length < 8:
        raise WireError("truncated", f"{length} bytes, less than a segment table")
    (last_segment,) = struct.unpack_from("<I", frame)
    if last_segment >= MAX_SEGMENTS:
        raise WireError("too many segments", f"{last_segment + 1}, more than {MAX_SEGMENTS}")
    table_words = (last_segment + 3) // 2  # the count and one size for each segment, 4 bytes each
    if length < table_words * 8:
        raise WireError("truncated", f"{length} bytes, less than the table of {last_segment + 1} segments")
    words: int = table_words + sum(struct.unpack_from(f"<{last_segment + 1}I", frame, 4))
    if length < words * 8:
        raise WireError("truncated", f"{length} bytes of {words * 8}")
    if length > words * 8:
        raise WireError("trailing bytes", f"{length - words * 8} after a message of {words * 8}")
    return words


def _member(root: Any, frame: bytes) -> str:
    """The name of the envelope's member that is set. Raises `WireError` if the schema does not know it."""
    try:
        return str(root.which)
    except Exception as error:
        # pycapnp does not say which number it was. Any struct that begins with a UInt16 reads it: it stands
        # first in the root.
        with SCHEMA.Resource.from_bytes(frame) as same_bytes:
            number: int = same_bytes.cpu
        raise WireError("unknown member", f"number {number}") from error


def to_json(message: Message) -> dict[str, Any]:
    """The message as JSON values: `{"taskCancel": {"taskId": "0c5f...", "flags": {"force": true}}}`.

    Names are the schema's; Data is hexadecimal digits; an enumeration's value is its name, or its number if it
    has none. All fields are there. Raises `TypeError` if `message` is none of the protocol's messages.
    """
    name = member_name(message)
    return {name: BODIES[name].to_json(message)}


def from_json(value: Mapping[str, Any]) -> Message:
    """The message that `to_json` gave `value` for. Fields that are left out have their defaults.

    Raises `WireError`, naming the field, on anything else.
    """
    if not isinstance(value, Mapping) or len(value) != 1:
        raise WireError("wrong type", f"{value!r} is not an object with the name of one message")
    ((name, body),) = value.items()
    if name not in BODIES:
        raise WireError(f"unsupported member {name}" if name in MEMBERS else "unknown member", str(name))
    try:
        return cast("Message", BODIES[name].from_json(body))
    except WireError as error:
        raise WireError(error.reason, f"{name}.{error.detail}") from error
