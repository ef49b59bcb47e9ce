"""Traces: every message that a party received or sent, and what else happened to it, one JSON object a line; and
messages in words. conformance/TRACES.md describes the format.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TextIO

from rescind import wire
from rescind.messages import (
    CancelConfirmType,
    ClientDisconnect,
    ClientShutdownResponse,
    DisconnectType,
    GraphTask,
    Message,
    Task,
    TaskCancel,
    TaskCancelConfirm,
    TaskLog,
    TaskLogType,
    TaskResult,
    TaskResultType,
    WorkerHeartbeat,
)

_CONFIRM_WORDS: Mapping[int, str] = {
    CancelConfirmType.CANCELED: "canceled",
    CancelConfirmType.CANCEL_FAILED: "cancelFailed",
    CancelConfirmType.CANCEL_NOT_FOUND: "cancelNotFound",
}
_RESULT_WORDS: Mapping[int, str] = {
    TaskResultType.SUCCESS: "success",
    TaskResultType.FAILED: "failed",
    TaskResultType.FAILED_WORKER_DIED: "failedWorkerDied",
}
_LOG_WORDS: Mapping[int, str] = {TaskLogType.STDOUT: "stdout", TaskLogType.STDERR: "stderr"}
_DISCONNECT_WORDS: Mapping[int, str] = {DisconnectType.DISCONNECT: "disconnect", DisconnectType.SHUTDOWN: "shutdown"}


@dataclass(frozen=True, slots=True)
class TraceRecord:
    """One message that went from `sender` to `receiver` at `time` (seconds, monotonic)."""

    time: float
    sender: str
    receiver: str
    message: Message | None
    """None: a frame that is no message; `note` says why."""
    note: str = ""
    at: str = ""
    """The party that recorded it; "": the scheduler. "tap": who stands between the two."""
    leg: str = ""
    """Of a tap's: "in" it came from its sender, "out" it went to its receiver, "" both at once."""


@dataclass(frozen=True, slots=True)
class TraceEvent:
    """What happened at a party and is no message. `details` are JSON values, by name."""

    time: float
    at: str
    event: str
    details: Mapping[str, Any] = field(default_factory=dict)


class TraceWriter:
    """Appends records to a text stream. Not thread-safe; it neither opens nor closes the stream."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, record: TraceRecord | TraceEvent) -> None:
        """Append one record."""
        value: dict[str, Any] = {"time": round(record.time, 6)}
        if isinstance(record, TraceEvent):
            value |= {"at": record.at, "event": record.event, **record.details}
        else:
            value |= {"at": record.at} if record.at else {}
            value |= {"leg": record.leg} if record.leg else {}
            value |= {"from": record.sender, "to": record.receiver}
            value |= {"malformed": record.note} if record.message is None else {"message": wire.to_json(record.message)}
        self._stream.write(json.dumps(value, separators=(",", ":")) + "\n")
        self._stream.flush()


def read_trace(stream: Iterable[str]) -> list[TraceRecord | TraceEvent]:
    """The records of a trace, in order. Raises `ValueError`, naming the line, on one that is not a record."""
    return [parse_record(line, number) for number, line in enumerate(stream, start=1)]


def parse_record(line: str, number: int) -> TraceRecord | TraceEvent:
    """One record, from the line with this number. Raises `ValueError`, naming it, if it is not one."""
    try:
        return _record(json.loads(line))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"line {number} of the trace is not a record: {error}") from error


def _record(value: dict[str, Any]) -> TraceRecord | TraceEvent:
    time = float(value["time"])
    if "event" in value:
        details = {name: detail for name, detail in value.items() if name not in ("time", "at", "event")}
        return TraceEvent(time, str(value["at"]), str(value["event"]), details)
    ends = (str(value["from"]), str(value["to"]))
    at, leg = str(value.get("at", "")), str(value.get("leg", ""))
    if "malformed" in value:
        return TraceRecord(time, *ends, None, str(value["malformed"]), at, leg)
    return TraceRecord(time, *ends, wire.from_json(value["message"]), "", at, leg)


@dataclass(slots=True)
class PeerNames:
    """Short names for the routing ids of a trace: C1, C2... for clients, W1... for workers, P1... for others."""

    names: dict[str, str] = field(default_factory=lambda: {"scheduler": "S"})

    def of(self, routing_id: str) -> str:
        """The name, a new one at the first sight of a routing id."""
        if routing_id not in self.names:
            role = {"Worker": "W", "Client": "C"}.get(routing_id.partition("|")[0], "P")
            number = 1 + sum(name.startswith(role) for name in self.names.values())
            self.names[routing_id] = f"{role}{number}"
        return self.names[routing_id]


def describe(message: Message, names: Mapping[bytes, str]) -> str:
    """A message in a few words: what a reader of a race wants to know. `names` are those of tasks, by task id."""

    def name(task_id: bytes) -> str:
        return names.get(task_id) or f"task {task_id.hex()}"

    match message:
        case Task(task_id):
            return f"Task {name(task_id)}"
        case TaskCancel(task_id, force):
            return f"TaskCancel {name(task_id)}{' force' if force else ''}"
        case TaskCancelConfirm(task_id, kind):
            return f"TaskCancelConfirm {name(task_id)} {_CONFIRM_WORDS.get(kind, f'type {kind}')}"
        case TaskResult(task_id, kind):
            return f"TaskResult {name(task_id)} {_RESULT_WORDS.get(kind, f'type {kind}')}"
        case TaskLog(task_id, kind, content):
            return f"TaskLog {name(task_id)} {_LOG_WORDS.get(kind, f'type {kind}')} {content!r}"
        case GraphTask(task_id, _, _, graph):
            return f"GraphTask {name(task_id)} of {len(graph)} tasks"
        case WorkerHeartbeat():
            return f"WorkerHeartbeat queueSize {message.queue_size}"
        case ClientDisconnect(kind):
            return f"ClientDisconnect {_DISCONNECT_WORDS.get(kind, f'type {kind}')}"
        case ClientShutdownResponse(accepted):
            return f"ClientShutdownResponse {'accepted' if accepted else 'refused'}"
        case _:
            return type(message).__name__
