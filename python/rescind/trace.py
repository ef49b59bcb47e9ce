"""Traces: every message that a party received or sent, one JSON object a line.

`{"time": seconds, "from": name, "to": name, "message": {...}}`, the message as `wire.to_json` writes it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, TextIO

from rescind import wire
from rescind.messages import Message


class TraceWriter:
    """Appends messages to a text stream. Not thread-safe; it neither opens nor closes the stream."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, time: float, sender: str, receiver: str, message: Message) -> None:
        """Append one message that went from `sender` to `receiver` at `time` (seconds, monotonic)."""
        record = {"time": round(time, 6), "from": sender, "to": receiver, "message": wire.to_json(message)}
        self._stream.write(json.dumps(record, separators=(",", ":")) + "\n")
        self._stream.flush()


def read_trace(stream: TextIO) -> list[dict[str, Any]]:
    """The records of a trace, in order. Raises `ValueError`, naming the line, on one that is not a record."""
    records = []
    for number, line in enumerate(stream, start=1):
        try:
            record = json.loads(line)
            if not {"time", "from", "to", "message"} <= record.keys():
                raise ValueError("it lacks one of time, from, to, message")
        except (ValueError, AttributeError) as error:
            raise ValueError(f"line {number} of the trace is not a record: {error}") from error
        records.append(record)
    return records


@dataclass(frozen=True, slots=True)
class TraceLine:
    """One message as people read it."""

    time: float
    sender: str
    receiver: str
    kind: str
    text: str
    task: str


@dataclass(slots=True)
class TraceReader:
    """Turns records into lines in which peers and tasks have short names: C1, W1, S; T1, T2 or a given name."""

    task_names: dict[str, str] = field(default_factory=dict)
    """Names of tasks by task id in hexadecimal; an id that is not in it gets the next number."""
    peer_names: dict[str, str] = field(default_factory=lambda: {"scheduler": "S"})

    def line(self, record: dict[str, Any]) -> TraceLine:
        """The line of one record, which must be well-formed (see `read_trace`)."""
        ((kind, body),) = record["message"].items()
        task_id = body.get("taskId")
        return TraceLine(
            time=record["time"],
            sender=self._peer(record["from"]),
            receiver=self._peer(record["to"]),
            kind=kind,
            text=" ".join([kind[0].upper() + kind[1:], *self._details(body)]),
            task=self._task(task_id) if task_id is not None else "",
        )

    def _peer(self, identity: str) -> str:
        if identity not in self.peer_names:
            role = "W" if identity.startswith("Worker|") else "C" if identity.startswith("Client|") else "P"
            number = 1 + sum(name.startswith(role) for name in self.peer_names.values())
            self.peer_names[identity] = f"{role}{number}"
        return self.peer_names[identity]

    def _task(self, task_id: str) -> str:
        return self.task_names.setdefault(task_id, f"T{len(self.task_names) + 1}")

    @staticmethod
    def _details(body: dict[str, Any]) -> list[str]:
        """What a reader of a race wants to know of a message beside its task."""
        details = [str(body[key]) for key in ("cancelConfirmType", "resultType", "disconnectType") if key in body]
        if body.get("flags", {}).get("force"):
            details.append("force")
        if "accepted" in body:
            details.append("accepted" if body["accepted"] else "refused")
        return details
