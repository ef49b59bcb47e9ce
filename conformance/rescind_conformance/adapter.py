"""Adapter processes: the suite's hands on a client or a worker (conformance/ADAPTER.md)."""

from __future__ import annotations

import itertools
import json
import os
import time
from collections import deque
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import zmq

from rescind_conformance.process import START_SECONDS, Process, SubjectUnavailable

PROTOCOL = 1
_QUOTED_LINES = 5
_LONGEST_LINE = 1 << 20
_MOST_LINES = 10_000
"""That an adapter says in one case."""
_ANSWERS: Mapping[str, tuple[str, ...]] = {
    "submit": ("task_id",),
    "cancel": ("returned",),
    "cancelled": ("returned",),
    "state": ("settled", "running"),
    "result": ("outcome",),
    "outcome": ("outcome",),
    "cancel_in_callback": ("returned",),
    "payload": ("object_id",),
    "stored": ("returned",),
    "task": ("function_id", "arguments"),
    "running": ("returned",),
    "exited": ("returned",),
}
"""The fields that `done` must have, by command."""


class AdapterFault(Exception):
    """The adapter broke its protocol; the text says how and quotes what it said last. A harness error."""


class Adapter(Process):
    """One adapter process. For one thread.

    Its standard output can be polled as `output`; `receive` then reads what has come, without waiting.
    """

    def __init__(self, role: str, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        """Start it; `wait_until_ready` waits for its hello. Raises `SubjectUnavailable` if there is no such program."""
        try:
            super().__init__(command, log, environment, piped=True)
        except OSError as error:
            raise SubjectUnavailable(f"the adapter {command[0]!r} cannot be started: {error.strerror}") from error
        self._role = role
        self.hello: dict[str, Any] = {}
        self._ids = itertools.count(1)
        self._open: dict[int, str] = {}
        """Commands without an answer, by id."""
        self._buffer = b""
        self._last: deque[str] = deque(maxlen=_QUOTED_LINES)
        self._said = 0
        self.ended = False
        """Its standard output has ended."""
        os.set_blocking(self.output, False)

    @property
    def output(self) -> int:
        """The descriptor of its standard output."""
        return self.stdout.fileno()

    def wait_until_ready(self) -> None:
        """Wait for its hello. Raises `SubjectUnavailable` if it is for another role or protocol, or does not come."""
        if self.hello:
            return
        deadline = time.monotonic() + START_SECONDS
        poller = zmq.Poller()
        poller.register(self.output, zmq.POLLIN)
        events: list[dict[str, Any]] = []
        try:
            while not events and not self.ended and (left := deadline - time.monotonic()) > 0:
                poller.poll(int(left * 1000) + 1)
                events = self.receive()
            if len(events) != 1 or events[0]["event"] != "hello":
                raise AdapterFault(f"expected: one line with its hello; but it said {len(events) or 'no'} lines")
        except AdapterFault as fault:
            raise SubjectUnavailable(f"the adapter did not introduce itself: {fault}\n{self.last_words()}") from fault
        (hello,) = events
        if hello["protocol"] != PROTOCOL or hello["role"] != self._role:
            raise SubjectUnavailable(
                f"the adapter speaks version {hello['protocol']} of the adapter protocol for a {hello['role']}; "
                f"this suite speaks version {PROTOCOL} and wants a {self._role}"
            )
        self.hello = hello

    def command(self, name: str, **fields: Any) -> int:
        """Send a command; its id. Raises `AdapterFault` if the adapter has gone."""
        number = next(self._ids)
        self._open[number] = name
        try:
            self.stdin.write(json.dumps({"id": number, "command": name, **fields}).encode() + b"\n")
            self.stdin.flush()
        except OSError as error:
            raise AdapterFault(
                f"the adapter has gone before {name!r}: {error.strerror}\n{self.last_words()}"
            ) from error
        return number

    def receive(self) -> list[dict[str, Any]]:
        """Events that have come, in order; sets `ended` at the end. Raises `AdapterFault` on a bad line.

        Not all of them at once, so that one that never stops is not read for ever.
        """
        while not self.ended and b"\n" not in self._buffer and len(self._buffer) <= _LONGEST_LINE:
            try:
                chunk = os.read(self.output, 1 << 16)
            except BlockingIOError:
                break
            self.ended = not chunk
            self._buffer += chunk
        *lines, self._buffer = self._buffer.split(b"\n")
        if len(self._buffer) > _LONGEST_LINE:
            raise AdapterFault(f"a line of more than {_LONGEST_LINE} bytes\n{self.last_words()}")
        return [self._event(line) for line in lines]

    def last_words(self) -> str:
        """What it said and logged last, for a report."""
        said = "\n".join(f"  {line}" for line in self._last) or "  nothing"
        return f"The adapter said last:\n{said}\nand logged:\n{self.log_tail() or '  nothing'}"

    def _event(self, line: bytes) -> dict[str, Any]:
        self._last.append(line[:500].decode(errors="replace"))
        self._said += 1
        if self._said > _MOST_LINES:
            raise AdapterFault(f"it has said more than {_MOST_LINES} lines\n{self.last_words()}")
        try:
            event = json.loads(line)
            _validator().validate(event)
        except (ValueError, RecursionError) as error:
            raise AdapterFault(f"a line that is not JSON: {error}\n{self.last_words()}") from error
        except jsonschema.ValidationError as error:
            raise AdapterFault(f"a line that does not fit: {error.message}\n{self.last_words()}") from error
        assert isinstance(event, dict)
        if event["event"] == "hello" and self.hello:
            raise AdapterFault(f"a second hello\n{self.last_words()}")
        if "id" in event:
            command = self._open.pop(event["id"], None)
            if command is None:
                raise AdapterFault(f"an answer to {event['id']}, which is not waiting for one\n{self.last_words()}")
            missing = [name for name in _ANSWERS.get(command, ()) if name not in event]
            if event["event"] == "done" and missing:
                raise AdapterFault(f"an answer to {command!r} without {', '.join(missing)}\n{self.last_words()}")
        return event


@cache
def _validator() -> Any:
    schema = json.loads((files("rescind_conformance") / "adapter.schema.json").read_text(encoding="utf-8"))
    return jsonschema.Draft202012Validator(
        {"$defs": schema["$defs"], "$ref": "#/$defs/event"},
    )
