"""The trace of a case: every message, in the one order in which the runner sent or saw it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from rescind import wire
from rescind.messages import (
    CancelConfirmType,
    ClientDisconnect,
    ClientHeartbeat,
    ClientHeartbeatEcho,
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
    WorkerHeartbeatEcho,
)

SCHEDULER = "S"
"""The subject's name in traces."""

CONFIRM_WORDS: Mapping[int, str] = {
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

Heartbeats = (ClientHeartbeat, WorkerHeartbeat)
Echoes = (ClientHeartbeatEcho, WorkerHeartbeatEcho)


@dataclass(frozen=True, slots=True)
class Entry:
    """One message between a peer and the subject, or an event at a peer."""

    step: int
    """Counts what the runner did: what the subject sent in one step has no order across connections."""
    sender: str
    receiver: str
    message: Message | None
    """None: see `note`."""
    note: str = ""
    """What was sent or received instead of a message, or what happened."""

    fence: bool = False
    """Whether it is a heartbeat of the sender's role, or its echo."""


def describe(message: Message, names: Mapping[bytes, str]) -> str:
    """A message in a few words, task ids by the names that the case gave them."""

    def name(task_id: bytes) -> str:
        return names.get(task_id) or f"task {task_id.hex()}"

    match message:
        case Task(task_id):
            return f"Task {name(task_id)}"
        case TaskCancel(task_id, force):
            return f"TaskCancel {name(task_id)}{' force' if force else ''}"
        case TaskCancelConfirm(task_id, kind):
            return f"TaskCancelConfirm {name(task_id)} {CONFIRM_WORDS.get(kind, f'type {kind}')}"
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


def trace_lines(entries: Iterable[Entry], names: Mapping[bytes, str]) -> list[str]:
    """A trace as readable lines.

    Each fence (a heartbeat and its echo) is left out, except each peer's first heartbeat and those
    that nothing answered.
    """
    entries = list(entries)
    unanswered: dict[str, list[int]] = {}
    hidden: set[int] = set()
    introduced: set[str] = set()
    for index, entry in enumerate(entries):
        if entry.fence and entry.receiver == SCHEDULER:
            unanswered.setdefault(entry.sender, []).append(index)
        elif entry.fence and unanswered.get(entry.receiver):
            heartbeat = unanswered[entry.receiver].pop(0)
            if entry.receiver in introduced:
                hidden |= {heartbeat, index}
            introduced.add(entry.receiver)
    shown = [_line(entry, names) for index, entry in enumerate(entries) if index not in hidden]
    return [_times(line, len(list(run))) for line, run in groupby(shown)]


def _line(entry: Entry, names: Mapping[bytes, str]) -> str:
    if entry.receiver == entry.sender:
        return f"{entry.sender:>3}         {entry.note}"
    said = describe(entry.message, names) if entry.message is not None else entry.note
    if entry.message is not None and entry.note:
        said += f"   ({entry.note})"
    return f"{entry.sender:>3} -> {entry.receiver:<3}  {said}"


def _times(line: str, count: int) -> str:
    return line if count == 1 else f"{line}   ({count} times)"


def trace_json(entries: Iterable[Entry]) -> list[dict[str, Any]]:
    """A trace as JSON values: the fields of each `Entry`, messages as `wire.to_json` writes them."""
    return [
        {
            "step": entry.step,
            "from": entry.sender,
            "to": entry.receiver,
            "message": None if entry.message is None else wire.to_json(entry.message),
            "note": entry.note,
            "fence": entry.fence,
        }
        for entry in entries
    ]
