"""What the audits of clients and of workers have in common: one life after another, each with a judge of its own.

A client or a worker is judged under one routing id. When it comes back under another, what is told later of a task of
its former life still belongs to that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from rescind.messages import Task
from rescind_conformance.audit import Audit, Placed
from rescind_conformance.judge.outside import Finding, Seen, Undecided, judge_from_outside
from rescind_conformance.judge.records import EventKind, EventRecord, MessageRecord, PartyJudge, Record
from rescind_conformance.peers import task_id_of
from rescind_conformance.trace import Entry

INCOMING: Final = "what it gets"
OUTGOING: Final = "what it sends"
LOSS: Final = "the loss of its scheduler"


def record_of(entry: Entry, subject: str) -> Record | None:
    """What the subject's judge reads of an entry as it stands, None if it reads nothing."""
    if entry.sender == entry.receiver:
        return entry.event
    note = entry.note
    if entry.message is None:
        # A frame with a member that is not used here is no malformed one, and judges know it by how its note begins.
        note = f"unknown member: {note}" if "member" in note else note.removeprefix("unreadable: ")
    return MessageRecord(subject, entry.sender, entry.receiver, entry.message, note)


def by_then(subject: str, task: bytes = b"") -> EventRecord:
    """A record that has no effect, for a moment by which something else must have happened."""
    return EventRecord(subject, EventKind.UNSEEN, task=task)


@dataclass(slots=True)
class Life:
    """What was seen of a subject under one routing id."""

    seen: list[Seen] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    """For each, how many entries the trace has with it."""
    leaving: bool = False
    """It may read no more messages."""

    def add(
        self,
        record: Record,
        lane: str,
        position: int,
        *,
        came: bool = False,
        optional: bool = False,
        after: int | None = None,
    ) -> int:
        """See `Seen`. Its index."""
        self.seen.append(Seen(record, lane, came, optional, after))
        self.positions.append(position)
        return len(self.seen) - 1

    def wait_for(self, index: int, after: int) -> None:
        """What was added there comes after this."""
        self.seen[index] = replace(self.seen[index], after=after)

    def may_miss(self) -> None:
        """What it got since the last moment by which it must have read everything, it may not have read."""
        self.leaving = True
        for index in reversed(range(len(self.seen))):
            one = self.seen[index]
            if one.lane == INCOMING and one.came:
                return
            if one.lane == INCOMING:
                self.seen[index] = replace(one, optional=True)


@dataclass(slots=True)
class Lives:
    """The lives of a subject, of which the last is the present one."""

    lives: list[Life] = field(default_factory=lambda: [Life()])
    _tasks: dict[bytes, Life] = field(default_factory=dict)

    @property
    def present(self) -> Life:
        """The life that goes on."""
        return self.lives[-1]

    def of(self, record: Record) -> Life:
        """The life that something belongs to: that of its task, or the present one."""
        task = _task_of(record)
        return self._tasks.setdefault(task, self.present) if task else self.present

    def assign(self, task: bytes) -> bool:
        """A task belongs to the present life, whatever life it belonged to; whether that was another, or none."""
        new = self._tasks.get(task) is not self.present
        self._tasks[task] = self.present
        return new

    def begin(self) -> None:
        """It has come back under another routing id."""
        self.lives.append(Life())

    def judge(self, make_judge: Callable[[], PartyJudge], *, at_rest: bool, end: int) -> Audit:
        """What is broken in each. What has too many orders is judged task by task, as far as it goes."""
        findings: list[Placed] = []
        undecided = False
        for life in self.lives:
            positions = [*life.positions, end]
            try:
                found = judge_from_outside(make_judge(), life.seen, at_rest=at_rest)
            except Undecided as reason:
                found, undecided = [*reason.findings, *_task_by_task(life, make_judge)], True
            findings += [Placed(one.violation, positions[one.index]) for one in found]
        return Audit(sorted(dict.fromkeys(findings), key=lambda one: one.position), undecided)


def _task_by_task(life: Life, make_judge: Callable[[], PartyJudge]) -> Iterator[Finding]:
    """What is broken about single tasks: an order of everything is one of what is about one task, too."""
    messages = (one.record.message for one in life.seen if isinstance(one.record, MessageRecord))
    own = {message.task_id for message in messages if isinstance(message, Task)}
    for task in sorted(own):
        kept = [index for index, one in enumerate(life.seen) if _task_of(one.record) not in own - {task}]
        moved = {index: number for number, index in enumerate(kept)}
        seen = [
            replace(one, after=moved.get(one.after) if one.after is not None else None)
            for one in (life.seen[index] for index in kept)
        ]
        try:
            found = judge_from_outside(make_judge(), seen, at_rest=False)
        except Undecided as reason:
            found = list(reason.findings)
        yield from (replace(one, index=kept[one.index]) for one in found)


def _task_of(record: Record) -> bytes | None:
    return (record.task or None) if isinstance(record, EventRecord) else task_id_of(record.message)
