"""Adapter processes: the suite's hands on a client or a worker (conformance/ADAPTER.md)."""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import os
import select
import shlex
import subprocess
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
from rescind_conformance.visible_text import visible, visible_json
from rescind_conformance.warm_start import WarmStart

logger = logging.getLogger(__name__)

PROTOCOL = 1
HINT_SECONDS = 10.0
"""After which whoever wrote the adapter is told what they may have forgotten. It is waited for all the same: a machine
may be slow."""
FEATURES = ("force", "time-limit", "outcome", "timeouts", "release", "graphs", "processes", "leave", "drain")
"""What an adapter may name in its hello."""
_LAST_SECONDS = 1.0
"""How long an adapter may take to end after its standard input has."""
_QUOTED_LINES = 5
_MOST_OWED = 10
"""Commands without an answer that are named."""
_LONGEST_QUOTATION = 300
_ONLY_EVENTS = "Only events may go there: print to standard error"
_LONGEST_LINE = 1 << 20
_MOST_LINES = 10_000
"""That an adapter says in one case."""
_ANSWERS: Mapping[str, tuple[str, ...]] = {
    "submit": ("task_id",),
    "graph": ("task_ids",),
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


_INTERPRETERS = {".py": "python", ".js": "node", ".rb": "ruby", ".sh": "sh", ".jar": "java -jar"}


class AdapterFault(Exception):
    """The adapter broke its protocol: says nothing about the implementation behind it."""

    def __init__(self, reason: str, last_words: str) -> None:
        """`reason`: what it did. `last_words`: what it said and logged last."""
        super().__init__(f"{reason}\n{last_words}")
        self.reason = reason


class Adapter(Process):
    """One adapter process. For one thread.

    Its standard output can be polled as `output`; `receive` then reads what has come, without waiting.
    """

    def __init__(
        self,
        role: str,
        command: Sequence[str],
        log: Path,
        environment: Mapping[str, str],
        warm: WarmStart | None = None,
    ) -> None:
        """Start it; `wait_until_ready` waits for its hello. `warm`: see `Process`.

        Raises `SubjectUnavailable` if there is no such program.
        """
        try:
            super().__init__(command, log, environment, piped=True, warm=warm)
        except OSError as error:
            raise SubjectUnavailable(_cannot_start(command, error)) from error
        self._role = role
        self.hello: dict[str, Any] = {}
        self._ids = itertools.count(1)
        self._open: dict[int, str] = {}
        """Commands without an answer, by id."""
        self._answered: dict[int, str] = {}
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
        latest = time.monotonic() + START_SECONDS
        hint = time.monotonic() + HINT_SECONDS
        poller = zmq.Poller()
        poller.register(self.output, zmq.POLLIN)
        events: list[dict[str, Any]] = []
        try:
            while not events and not self.ended and (now := time.monotonic()) < latest:
                if now >= hint:
                    logger.warning("%s It is waited for on.", _no_hello(HINT_SECONDS))
                    hint = latest
                poller.poll(int((min(hint, latest) - now) * 1000) + 1)
                events = self.receive()
            if not events and self.ended:
                raise self.fault(f"the adapter {self._end()} before its hello")
            if not events:
                raise self.fault(_no_hello(START_SECONDS))
            if len(events) != 1 or events[0]["event"] != "hello":
                raise self.fault("the adapter did not begin with one line with its hello")
        except AdapterFault as fault:
            raise SubjectUnavailable(str(fault)) from fault
        (hello,) = events
        if hello["protocol"] != PROTOCOL:
            raise SubjectUnavailable(
                f"the adapter speaks version {hello['protocol']} of the adapter protocol, "
                f"and this suite version {PROTOCOL}"
            )
        if hello["role"] != self._role:
            words = list(self.command_line)
            words = [*(words[:-1] if words[-1] == hello["role"] else words), self._role]
            raise SubjectUnavailable(
                f"the adapter says that it is a {hello['role']}'s, and this run is for a {self._role}: run "
                f"`rescind conformance {hello['role']}`, or, if it takes its role as an argument as the template "
                f"does, start it with --adapter {shlex.quote(shlex.join(words))}"
            )
        self.hello = hello

    def unknown_features(self) -> list[str]:
        """What its hello names and this suite does not know."""
        return sorted(set(self.hello["features"]) - set(FEATURES))

    def command(self, name: str, **fields: Any) -> int:
        """Send a command; its id. Raises `AdapterFault` if the adapter has gone."""
        number = next(self._ids)
        self._open[number] = name
        try:
            self.stdin.write(json.dumps({"id": number, "command": name, **fields}).encode() + b"\n")
            self.stdin.flush()
        except OSError as error:
            raise self.fault(f"the adapter {self._end()} before the command {name!r}") from error
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
            raise self.fault(f"standard output has a line of more than {_LONGEST_LINE} bytes")
        return [self._event(line) for line in lines]

    def fault(self, reason: str) -> AdapterFault:
        """What to raise when it did not do its part."""
        lines = list(self._last)
        if self._buffer:
            lines.append(f"{visible(self._buffer[:_LONGEST_QUOTATION].decode(errors='replace'))}   (no newline yet)")
        said = "\n".join(f"  {line}" for line in lines) or "  nothing"
        logged = "\n".join(f"  {line}" for line in self.log_tail().splitlines()) or "  nothing"
        return AdapterFault(reason, f"The adapter said last:\n{said}\nand logged:\n{logged}")

    def ended_early(self) -> AdapterFault:
        """What to raise when its standard output has ended in the middle of a case."""
        return self.fault(f"the adapter {self._end()} in the middle of the case")

    def silent(self) -> AdapterFault:
        """What to raise when it leaves commands without an answer."""
        waiting = [f"{name} (id {number})" for number, name in self._open.items()]
        if (more := len(waiting) - _MOST_OWED) > 0:
            waiting[_MOST_OWED - 1 : -1] = [f"{more + 1} more"]
        return self.fault(
            f"the adapter does not answer any more; it owes an answer to {', '.join(waiting)}. "
            "Does it read on while a command waits?"
        )

    def stop(self) -> None:
        """End its standard input, at which it ends what it has started (ADAPTER.md), then kill its process group.

        May be called again.
        """
        if self.stdout.closed:
            return
        with contextlib.suppress(OSError):
            self.stdin.close()
        output = select.poll()
        output.register(self.output, 0)  # for nothing but its end; who waits for the process gives its id away
        output.poll(int(_LAST_SECONDS * 1000))
        super().stop()
        self.stdout.close()

    def _end(self) -> str:
        """How it has ended, for a text that goes on."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            status = self.wait(_LAST_SECONDS)
            return f"ended with status {status}" if status >= 0 else f"was ended by signal {-status}"
        return "closed its standard output"

    def _event(self, line: bytes) -> dict[str, Any]:
        self._last.append(visible(line[:500].decode(errors="replace")))
        self._said += 1
        if self._said > _MOST_LINES:
            raise self.fault(f"it has said more than {_MOST_LINES} lines")
        try:
            exact = json.loads(line)
            event = visible_json(exact)
        except (ValueError, RecursionError) as error:
            raise self.fault(f"standard output has a line that is not JSON: {_quoted(line)}. {_ONLY_EVENTS}") from error
        if not isinstance(event, dict):
            raise self.fault(f"standard output has a line that is no JSON object: {_quoted(line)}. {_ONLY_EVENTS}")
        try:
            _validator().validate(event)
        except jsonschema.ValidationError as error:
            path = ".".join(str(step) for step in error.absolute_path)
            field = f', field "{path}"' if path else ""
            raise self.fault(f"{self._called(event)}{field}: {error.message[:_LONGEST_QUOTATION]}") from error
        if event["event"] == "hello" and self.hello:
            raise self.fault("a second hello")
        if event["event"] == "hello" and event["storage"] != exact["storage"]:
            raise self.fault(f'hello, field "storage": no address has such characters: {event["storage"]}')
        if "id" in event:
            self._take_answer(event)
        return event

    def _take_answer(self, event: dict[str, Any]) -> None:
        number = event["id"]
        if number in self._answered:
            raise self.fault(
                f"a second answer to id {number} ({self._answered[number]}): each command is answered once"
            )
        command = self._open.pop(number, None)
        if command is None:
            raise self.fault(f"an answer to id {number}, which no command had")
        self._answered[number] = command
        missing = [name for name in _ANSWERS.get(command, ()) if name not in event]
        if event["event"] == "done" and missing:
            raise self.fault(f"done of {command} (id {number}): without {', '.join(missing)}")

    def _called(self, event: dict[str, Any]) -> str:
        """Which event this is, for a text about it."""
        kind, number = event.get("event"), event.get("id")
        if not isinstance(kind, str):
            return "an event"
        known = {**self._open, **self._answered}
        return f"{kind} of {known[number]} (id {number})" if isinstance(number, int) and number in known else kind


def _no_hello(seconds: float) -> str:
    return f"the adapter runs, but wrote no hello in {seconds:g} s: is standard output flushed?"


def _quoted(line: bytes) -> str:
    text = visible(line.decode(errors="backslashreplace"))
    return f'"{text[:_LONGEST_QUOTATION]}{"..." if len(text) > _LONGEST_QUOTATION else ""}"'


def _cannot_start(command: Sequence[str], error: OSError) -> str:
    """Why no process came of a command line, and what to do."""
    program = Path(command[0])
    text = f"the adapter {command[0]!r} cannot be started: {error.strerror}"
    if not program.is_file():
        return text
    if program.suffix not in _INTERPRETERS and os.access(program, os.X_OK) and "/" not in command[0]:
        here = shlex.join([f"./{command[0]}", *command[1:]])
        return f"{text}; the file is here, so start it with its path: --adapter {shlex.quote(here)}"
    words = f"{_INTERPRETERS.get(program.suffix, 'INTERPRETER')} {shlex.join(command)}"
    return f"{text}; start it with its interpreter: --adapter {shlex.quote(words)}"


@cache
def _validator() -> Any:
    schema = json.loads((files("rescind_conformance") / "adapter.schema.json").read_text(encoding="utf-8"))
    return jsonschema.Draft202012Validator(
        {"$defs": schema["$defs"], "$ref": "#/$defs/event"},
    )
