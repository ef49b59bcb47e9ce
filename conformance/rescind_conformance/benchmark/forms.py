"""Frames that differ in a task id only: built by filling it in, and recognised without decoding.

A driver that encoded and decoded each message would take longer than the scheduler that it measures. So each
form of a frame goes through the codec once; after that, bytes are compared and joined.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from rescind import wire
from rescind.messages import Message
from rescind_conformance.findings import new_task_id

ID_BYTES = 16
"""The length of every task id here."""
_MAX_FORMS = 16
"""Forms of one length that are kept: a subject whose frames are all different is decoded, not remembered."""

Meaning = TypeVar("Meaning")


class FrameForm:
    """A message as a frame with a gap for each place where its task id stands. Immutable; for any thread."""

    def __init__(self, build: Callable[[bytes], Message]) -> None:
        """`build` makes the message about a task."""
        task_id = new_task_id()
        self._parts = wire.encode(build(task_id)).split(task_id)

    def fill(self, task_id: bytes) -> bytes:
        """The frame about this task."""
        return task_id.join(self._parts)

    @property
    def size(self) -> int:
        """The length of the frame, in bytes."""
        return len(self.fill(bytes(ID_BYTES)))


class Recogniser(Generic[Meaning]):
    """Tells what a frame means and which task it is about. For one thread.

    A frame of a form that was not seen yet is decoded by `wire`. One that differs from a known form in the task id
    alone means the same, and every byte of it is compared.
    """

    def __init__(self, interpret: Callable[[Message], Meaning]) -> None:
        """`interpret` says what a message means, whatever task it is about."""
        self._interpret = interpret
        self._forms: dict[int, list[tuple[int, list[bytes], Meaning]]] = {}
        self.decoded = 0
        """Frames that had to be decoded."""

    def read(self, frame: bytes) -> tuple[Meaning, bytes]:
        """Its meaning and its task id. The latter is only of use where the message has one.

        Raises `wire.WireError` if it cannot be decoded.
        """
        for start, parts, meaning in self._forms.get(len(frame), ()):
            task_id = frame[start : start + ID_BYTES]
            if task_id.join(parts) == frame:
                return meaning, task_id
        return self._learn(frame)

    def _learn(self, frame: bytes) -> tuple[Meaning, bytes]:
        self.decoded += 1
        message = wire.decode(frame)
        task_id: bytes = getattr(message, "task_id", b"")
        meaning = self._interpret(message)
        forms = self._forms.setdefault(len(frame), [])
        if len(forms) < _MAX_FORMS and len(task_id) in (0, ID_BYTES):
            parts = frame.split(task_id) if task_id else [frame]
            forms.append((len(parts[0]) if task_id else 0, parts, meaning))
        return meaning, task_id
