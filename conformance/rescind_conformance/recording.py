"""What the peers of a case really sent, frame by frame, for its replay file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import zmq

from rescind_conformance.trace import SCHEDULER, Entry


@dataclass(slots=True)
class Recording:
    """The frames of one case."""

    frames: dict[int, tuple[bytes, ...]] = field(default_factory=dict)
    """What went over the wire for an entry of the trace, by its index."""
    complete: bool = True
    """Whether every message sent has its entry. A case that floods does not write one for each."""


class Recorder:
    """Sees what the sockets of one job send. For one thread."""

    def __init__(self) -> None:
        self.context = RecordingContext()
        self.context.on_sent = self.on_sent
        self._trace: Sequence[Entry] | None = None
        self._recording = Recording()

    def begin(self, trace: Sequence[Entry]) -> None:
        """Record a case whose peers write into this trace, each message just before it is sent."""
        self._trace = trace
        self._recording = Recording()

    @property
    def so_far(self) -> Recording:
        """What was sent since `begin`."""
        return self._recording

    def end(self) -> Recording:
        """What was sent since `begin`; nothing is recorded any more."""
        self._trace = None
        return self._recording

    def on_sent(self, frames: tuple[bytes, ...]) -> None:
        """A peer sends these, the last entry of the trace."""
        if self._trace is None:
            return
        index = len(self._trace) - 1
        last = self._trace[-1] if self._trace else None
        if last is None or last.receiver != SCHEDULER or last.sender == SCHEDULER or index in self._recording.frames:
            self._recording.complete = False
        else:
            self._recording.frames[index] = frames


class _RecordingSocket(zmq.Socket[bytes]):
    on_sent: Callable[[tuple[bytes, ...]], None] | None = None
    pending: tuple[bytes, ...] = ()

    def send(self, data: Any, flags: int = 0, *options: Any, **named: Any) -> Any:
        self.pending = (*self.pending, bytes(data))
        if not flags & zmq.SNDMORE:
            if self.on_sent is not None:
                self.on_sent(self.pending)
            self.pending = ()
        return super().send(data, flags, *options, **named)


class RecordingContext(zmq.Context[zmq.Socket[bytes]]):
    """A ZeroMQ context whose sockets say what they send."""

    on_sent: Callable[[tuple[bytes, ...]], None] | None = None

    def socket(self, socket_type: int, *options: Any, **named: Any) -> Any:
        made = super().socket(socket_type, socket_class=_RecordingSocket)
        made.on_sent = self.on_sent
        return made
