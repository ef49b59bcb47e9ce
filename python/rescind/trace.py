"""Traces: every message that a party received or sent, one JSON object a line.

`{"time": seconds, "from": name, "to": name, "message": {...}}`, the message as `wire.to_json` writes it.
"""

from __future__ import annotations

import json
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
