"""Decoding at the speed of a comparison: frames that are laid out like one that was decoded before.

Peers send the same few messages over and over; only ids and other Data differ from frame to frame. A frame that `wire`
has decoded, and that is what `wire` would encode, gives a shape: which of its bytes are Data, and what all others are.
A later frame of the same length that has those others is the encoding of the same message with other Data, so that
nothing in it needs to be checked again, and its Data is read from where the shape says. Of heartbeats and their echoes,
which have numbers instead of Data, a frame that came before is known as it is: an idle peer says the same each time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from rescind import wire
from rescind.messages import (
    Argument,
    ClientHeartbeat,
    ClientHeartbeatEcho,
    Message,
    Task,
    TaskCancel,
    TaskCancelConfirm,
    TaskResult,
    WorkerHeartbeat,
    WorkerHeartbeatEcho,
)

_MAX_SHAPES: Final = 256
"""Shapes that are kept. Peers that send ever others cost the rest speed, and nobody memory."""
_MAX_FRAME: Final = 4096
"""The longest frame, in bytes, whose shape is kept: longer ones are rare."""
_MAX_BEATS: Final = 64
"""Frames of heartbeats that are kept."""
_MAX_LEAVES: Final = 32
"""The most values of Data in a message whose shape is kept."""
_SAMPLE: Final = 48
"""So many bytes at the beginning of a frame tell most shapes apart: length, member, and the first pointers."""

_Leaves = Sequence[bytes]


class _Layout(NamedTuple):
    """How the values of Data are taken from a message of one type, and how others are put in their places."""

    take: Callable[[Message], _Leaves]
    put: Callable[[Message, _Leaves], Message]


def _take_task(message: Message) -> _Leaves:
    assert isinstance(message, Task)
    data = [argument.data for argument in message.function_args]
    return [message.task_id, message.source, message.metadata, message.func_object_id, *data]


def _put_task(like: Message, leaves: _Leaves) -> Message:
    assert isinstance(like, Task)
    arguments = [Argument(each.type, data) for each, data in zip(like.function_args, leaves[4:], strict=True)]
    return Task(leaves[0], leaves[1], leaves[2], leaves[3], tuple(arguments), like.capabilities)


def _take_result(message: Message) -> _Leaves:
    assert isinstance(message, TaskResult)
    return [message.task_id, message.metadata, *message.results]


def _put_result(like: Message, leaves: _Leaves) -> Message:
    assert isinstance(like, TaskResult)
    return TaskResult(leaves[0], like.result_type, leaves[1], tuple(leaves[2:]))


def _take_id(message: Message) -> _Leaves:
    assert isinstance(message, TaskCancel | TaskCancelConfirm)
    return [message.task_id]


def _put_cancel(like: Message, leaves: _Leaves) -> Message:
    assert isinstance(like, TaskCancel)
    return TaskCancel(leaves[0], like.force)


def _put_confirm(like: Message, leaves: _Leaves) -> Message:
    assert isinstance(like, TaskCancelConfirm)
    return TaskCancelConfirm(leaves[0], like.cancel_confirm_type)


_LAYOUTS: Final[dict[type, _Layout]] = {
    Task: _Layout(_take_task, _put_task),
    TaskResult: _Layout(_take_result, _put_result),
    TaskCancel: _Layout(_take_id, _put_cancel),
    TaskCancelConfirm: _Layout(_take_id, _put_confirm),
}
"""The messages of which there are many. The others are decoded by `wire` each time, but those of `_BEATS`."""
_BEATS: Final = (ClientHeartbeat, ClientHeartbeatEcho, WorkerHeartbeat, WorkerHeartbeatEcho)


class _Shape(NamedTuple):
    length: int
    mask: int
    """The bits of a frame, read as one little-endian number, that are no Data."""
    fixed: int
    """What they are."""
    spans: tuple[slice, ...]
    """Where the values of Data are."""
    like: Message
    put: Callable[[Message, _Leaves], Message]


class Decoder:
    """Decodes the frames of a connection or more. Not thread-safe."""

    def __init__(self) -> None:
        self._shapes: dict[bytes, list[_Shape]] = {}
        self._beats: dict[bytes, Message] = {}

    def decode(self, frame: bytes) -> Message:
        """What `wire.decode` returns for the frame, or raises: `WireError`."""
        for shape in self._shapes.get(frame[:_SAMPLE], ()):
            length, mask, fixed, spans, like, put = shape
            if len(frame) == length and int.from_bytes(frame, "little") & mask == fixed:
                return put(like, [frame[span] for span in spans])
        if (beat := self._beats.get(frame)) is not None:
            return beat
        message = wire.decode(frame)
        if isinstance(message, _BEATS) and len(frame) <= _MAX_FRAME:
            if len(self._beats) >= _MAX_BEATS:
                del self._beats[next(iter(self._beats))]
            self._beats[frame] = message
        layout = _LAYOUTS.get(type(message))
        if layout is not None and len(frame) <= _MAX_FRAME:
            self._learn(frame, message, layout)
        return message

    def _learn(self, frame: bytes, message: Message, layout: _Layout) -> None:
        shape = _shape_of(frame, message, layout)
        if shape is None:
            return
        if sum(map(len, self._shapes.values())) >= _MAX_SHAPES:
            del self._shapes[next(iter(self._shapes))]
        self._shapes.setdefault(frame[:_SAMPLE], []).append(shape)


def _shape_of(frame: bytes, message: Message, layout: _Layout) -> _Shape | None:
    """None if the frame is not laid out as `wire` would, or has too much in it."""
    leaves = layout.take(message)
    if len(leaves) > _MAX_LEAVES or wire.encode(message) != frame:
        return None
    inverse = [(int.from_bytes(leaf) ^ (1 << 8 * len(leaf)) - 1).to_bytes(len(leaf)) for leaf in leaves]
    varied = wire.encode(layout.put(message, inverse))
    number = int.from_bytes(frame, "little")
    # Each bit of Data differs, and nothing else does.
    differing = number ^ int.from_bytes(varied, "little")
    changed = differing.to_bytes(len(frame), "little")
    spans = []
    end = 0
    for leaf in inverse:
        start = max(0, changed.find(b"\xff", end)) if leaf else end
        end = start + len(leaf)
        if varied[start:end] != leaf:
            return None  # Data does not stand in the order of the fields
        spans.append(slice(start, end))
    mask = (1 << 8 * len(frame)) - 1 ^ differing
    return _Shape(len(frame), mask, number & mask, tuple(spans), message, layout.put)
