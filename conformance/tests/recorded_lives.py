"""Short runs of a scheduler, as its trace has them: a is a client, b a worker."""

from __future__ import annotations

from collections.abc import Sequence

from rescind.messages import (
    CancelConfirmType,
    Message,
    Task,
    TaskCancel,
    TaskCancelConfirm,
    WorkerHeartbeat,
    WorkerHeartbeatEcho,
)
from rescind.trace import TraceEvent, TraceRecord
from rescind_conformance.trace import Entry


def came(sender: str, message: Message | None, note: str = "") -> TraceRecord:
    return TraceRecord(0.0, sender, "scheduler", message, note)


def went(receiver: str, message: Message) -> TraceRecord:
    return TraceRecord(0.0, "scheduler", receiver, message)


T = b"t" * 16
LIFE = [
    came("b", WorkerHeartbeat(queue_size=3)),
    went("b", WorkerHeartbeatEcho()),
    came("a", Task(T)),
    went("b", Task(T)),
    came("a", TaskCancel(T, force=True)),
    went("b", TaskCancel(T, force=True)),
    came("b", TaskCancelConfirm(T, CancelConfirmType.CANCELED)),
    went("a", TaskCancelConfirm(T, CancelConfirmType.CANCELED)),
]
"""A task that is cancelled with force."""
CLOSED = TraceEvent(0.0, "scheduler", "closed")
"""The scheduler's end."""


def entries(records: Sequence[TraceRecord]) -> list[Entry]:
    names = {"scheduler": "S", "a": "C1", "b": "W1"}
    return [Entry(0, names[one.sender], names[one.receiver], one.message, one.note) for one in records]
