"""The trace of a case: every message, in the one order in which the runner sent or saw it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from rescind import wire
from rescind.messages import (
    ClientHeartbeat,
    ClientHeartbeatEcho,
    Message,
    WorkerHeartbeat,
    WorkerHeartbeatEcho,
)
from rescind.trace import describe
from rescind_conformance.judge.records import EventRecord

SCHEDULER = "S"
"""The subject's name in traces."""

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

    event: EventRecord | None = None
    """What a judge reads of an event, if it reads anything."""


def shown(entries: Sequence[Entry]) -> list[bool]:
    """Which entries of a trace a reader wants to see.

    Each fence (a heartbeat and its echo) is left out, except each peer's first heartbeat, those that say another
    queue size than the one before, and those that nothing answered.
    """
    unanswered: dict[str, list[int]] = {}
    hidden: set[int] = set()
    said: dict[str, int] = {}
    for index, entry in enumerate(entries):
        if entry.fence and entry.receiver == SCHEDULER:
            unanswered.setdefault(entry.sender, []).append(index)
        elif entry.fence and unanswered.get(entry.receiver):
            heartbeat = unanswered[entry.receiver].pop(0)
            message = entries[heartbeat].message
            size = message.queue_size if isinstance(message, WorkerHeartbeat) else 0
            if said.get(entry.receiver) == size:
                hidden |= {heartbeat, index}
            said[entry.receiver] = size
    return [index not in hidden for index in range(len(entries))]


def words(entry: Entry, names: Mapping[bytes, str]) -> str:
    """What was said, or what happened, in words."""
    if entry.message is None:
        return entry.note
    said = describe(entry.message, names)
    return f"{said}   ({entry.note})" if entry.note else said


def trace_lines(entries: Iterable[Entry], names: Mapping[bytes, str]) -> list[str]:
    """A trace as readable lines, without what `shown` leaves out."""
    entries = list(entries)
    lines = [_line(entry, names) for entry, visible in zip(entries, shown(entries), strict=True) if visible]
    return [_times(line, len(list(run))) for line, run in groupby(lines)]


def _line(entry: Entry, names: Mapping[bytes, str]) -> str:
    if entry.receiver == entry.sender:
        return f"{entry.sender:>3}         {entry.note}"
    return f"{entry.sender:>3} -> {entry.receiver:<3}  {words(entry, names)}"


def _times(line: str, count: int) -> str:
    return line if count == 1 else f"{line}   ({count} times)"


def trace_json(entries: Sequence[Entry], names: Mapping[bytes, str]) -> list[dict[str, Any]]:
    """A trace as JSON values: the fields of each `Entry`, messages as `wire.to_json` writes them, and in words."""
    return [
        {
            "step": entry.step,
            "from": entry.sender,
            "to": entry.receiver,
            "message": None if entry.message is None else wire.to_json(entry.message),
            "note": entry.note,
            "fence": entry.fence,
            "words": words(entry, names),
            "shown": visible,
        }
        for entry, visible in zip(entries, shown(entries), strict=True)
    ]
