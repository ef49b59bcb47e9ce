"""Who is told what passes through a tap: the screen, a file, the judges."""

from __future__ import annotations

from collections.abc import Callable
from typing import TextIO

from rescind.messages import (
    ClientHeartbeat,
    ClientHeartbeatEcho,
    GraphTask,
    Message,
    Task,
    WorkerHeartbeat,
    WorkerHeartbeatEcho,
)
from rescind.trace import PeerNames, TraceEvent, TraceRecord, TraceWriter, describe
from rescind_conformance.judge.command import Story
from rescind_conformance.judge.tapped import OPENED, TappedCheck
from rescind_conformance.judge.trace_check import Found
from rescind_conformance.visible_text import visible

_BEATS = (ClientHeartbeat, ClientHeartbeatEcho, WorkerHeartbeat, WorkerHeartbeatEcho)
_MOST_NAMES = 100_000
"""Tasks that have names; when there are more, the first ones are forgotten."""


class TaskNames:
    """T1, T2... in the order in which tasks come."""

    def __init__(self) -> None:
        self.names: dict[bytes, str] = {}
        self._count = 0

    def introduce(self, message: Message | None) -> str:
        """Name the tasks that a message brings; the id of the one that it is about, if it is new."""
        if not isinstance(message, Task | GraphTask):
            return ""
        new = message.task_id not in self.names
        self._name(message.task_id)
        for node in message.graph if isinstance(message, GraphTask) else ():
            self._name(node.task_id)
        return message.task_id.hex() if new else ""

    def _name(self, task_id: bytes) -> None:
        if task_id in self.names:
            return
        if len(self.names) >= _MOST_NAMES:
            del self.names[next(iter(self.names))]
        self._count += 1
        self.names[task_id] = f"T{self._count}"


class Screen:
    """Writes a line a message. Heartbeats and echoes are left out, but for those that something was done to."""

    def __init__(self, write: Callable[[str], None], *, heartbeats: bool = False) -> None:
        """`heartbeats`: write those, too."""
        self._write = write
        self._heartbeats = heartbeats
        self._peers = PeerNames()
        self._tasks = TaskNames()
        self._began: float | None = None
        self._alone = False

    def hear(self, record: TraceRecord | TraceEvent, remark: str) -> None:
        """Implements `Audience`."""
        self._began = record.time if self._began is None else self._began
        at = f"{record.time - self._began:10.4f}"
        if isinstance(record, TraceEvent):
            self._alone = False
            name = str(record.details["peer"])
            if record.event == OPENED:
                self._write(f"{at}  {self._peers.of(name):>3} is {visible(name)}")
            else:
                by = "the scheduler" if record.details["by"] == "scheduler" else "itself"
                self._write(f"{at}  {self._peers.of(name):>3} is disconnected, by {by}")
            return
        new = self._tasks.introduce(record.message)
        if isinstance(record.message, _BEATS) and not remark and not self._heartbeats:
            return
        ends = f"{self._peers.of(record.sender):>3} -> {self._peers.of(record.receiver):<3}"
        said = f"malformed: {record.note}" if record.message is None else describe(record.message, self._tasks.names)
        more = f"   ({'; '.join(part for part in (new, remark) if part)})" if new or remark else ""
        self._write(f"{at}  {ends}  {visible(said)}{more}")

    def unreachable(self) -> None:
        """Implements `Audience`."""
        if not self._alone:
            self._alone = True
            self._write("the scheduler cannot be reached; peers are turned away until it can")


class Record:
    """Writes a trace."""

    def __init__(self, stream: TextIO) -> None:
        self._writer = TraceWriter(stream)

    def hear(self, record: TraceRecord | TraceEvent, remark: str) -> None:
        """Implements `Audience`."""
        self._writer.write(record)

    def unreachable(self) -> None:
        """Implements `Audience`."""


class Judges:
    """Judges while it goes on."""

    def __init__(self, check: TappedCheck) -> None:
        self.check = check
        self.broken = 0
        """Violations so far."""
        self._story = Story()

    def hear(self, record: TraceRecord | TraceEvent, remark: str) -> None:
        """Implements `Audience`."""
        self._story.add(self.check.lines + 1, record)
        self._all(self.check.feed(record))

    def unreachable(self) -> None:
        """Implements `Audience`."""

    def finish(self) -> None:
        """Nothing comes any more."""
        self._all(self.check.finish(at_rest=False))

    def _all(self, found: list[Found]) -> None:
        for one in found:
            self.broken += 1
            self._story.tell(one, self.check.names, verbose=False)
