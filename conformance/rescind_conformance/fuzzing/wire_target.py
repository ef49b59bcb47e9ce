"""The codec under any bytes: what is decoded by both readers, encoded, and decoded again."""

from __future__ import annotations

import zlib
from typing import Any, Final

from rescind import wire
from rescind.frame_shapes import Decoder
from rescind.messages import GraphTask, Message, Task, TaskResult, WorkerHeartbeat
from rescind_conformance.fuzzing.choices import Broken

_SPARE: Final = 64
"""Words that a frame may lead to beyond its own (SPEC.md, section 10)."""
_DAMAGES: Final = 3


def check_frame(frame: bytes) -> None:
    """Decode a frame, and some that differ from it in a byte or in length.

    Raises `Broken` if the two readers disagree, if what was read is encoded as something else, or if it is more than
    the frame can hold; and whatever `wire.decode` raises beside `WireError`.
    """
    decoder = Decoder()
    message = _read(decoder, frame)
    if isinstance(message, str):
        return
    _check_size(message, len(frame))
    again = wire.encode(message)
    if wire.decode(again) != message:
        raise Broken(f"{message!r} is encoded as {wire.decode(again)!r}")
    shown: dict[str, Any] = wire.to_json(message)
    if wire.from_json(shown) != message:
        raise Broken(f"{message!r} is shown as {shown!r}")
    # The decoder now knows the shape of this frame, if it has one, and must not take another for it.
    others = [frame, again, frame + bytes(8), frame[:-8], frame + frame]
    for number in range(_DAMAGES):
        damage = zlib.crc32(frame, number)
        damaged = bytearray(again if number else frame)
        damaged[damage % len(damaged)] ^= 1 << (damage >> 24) % 8
        others.append(bytes(damaged))
    for other in others:
        _read(decoder, other)


def _read(decoder: Decoder, frame: bytes) -> Message | str:
    """The message, or the reason why there is none."""
    expected, found = _outcome(wire.decode, frame), _outcome(decoder.decode, frame)
    if expected != found:
        raise Broken(f"one reader says {expected!r}, the other {found!r}")
    return expected


def _outcome(decode: Any, frame: bytes) -> Message | str:
    try:
        message: Message = decode(frame)
    except wire.WireError as error:
        return error.reason
    return message


def _check_size(message: Message, length: int) -> None:
    """As many elements and bytes as the words that may be read, at most."""
    words = length // 8 + _SPARE
    match message:
        case GraphTask():
            elements = len(message.targets) + len(message.graph) + sum(map(_of_task, message.graph))
        case Task():
            elements = _of_task(message)
        case TaskResult():
            elements = len(message.results)
        case WorkerHeartbeat():
            elements = len(message.processors) + len(message.capabilities)
        case _:
            elements = 0
    if elements > words:
        raise Broken(f"{elements} elements in a frame of {length} bytes")


def _of_task(task: Task) -> int:
    return len(task.function_args) + len(task.capabilities)
