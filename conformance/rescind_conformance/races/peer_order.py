"""What orders for a client and for a worker have in common: tasks that have names, and words that are said of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from rescind.messages import (
    CancelConfirmType,
    ClientDisconnect,
    DisconnectType,
    GraphTask,
    Message,
    Task,
    TaskCancel,
    TaskCancelConfirm,
    TaskLog,
    TaskResult,
)
from rescind_conformance.audit import UNDECIDED, Placed
from rescind_conformance.findings import Findings
from rescind_conformance.judge.records import Violation
from rescind_conformance.peers import TaskRef
from rescind_conformance.races.bench import PlayedOrder
from rescind_conformance.races.names import STRANGE, Names

World = TypeVar("World", bound=Findings)
T = TypeVar("T")

CONFIRMS: Final[Mapping[str, int]] = {kind.name: kind for kind in CancelConfirmType} | {"AN UNKNOWN ANSWER": 7}
"""What a TaskCancel is answered, by the word that actions use."""
ENDINGS: Final[Mapping[str, Message]] = {
    "disconnect": ClientDisconnect(DisconnectType.DISCONNECT),
    "shutdown": ClientDisconnect(DisconnectType.SHUTDOWN),
    "a ClientDisconnect of an unknown type": ClientDisconnect(9),
}
"""What the scheduler may tell a peer that is to go."""
ABOUT_TASKS: Final[Mapping[str, Callable[[bytes], Message]]] = {
    "Task": lambda task_id: Task(task_id, b"Client|a stranger|0"),
    "GraphTask": lambda task_id: GraphTask(task_id, b"Client|a stranger|0", (task_id,), (Task(task_id),)),
    "TaskCancel": TaskCancel,
    "TaskCancel, force": lambda task_id: TaskCancel(task_id, force=True),
    "TaskResult": TaskResult,
    "TaskCancelConfirm": lambda task_id: TaskCancelConfirm(task_id, CancelConfirmType.CANCELED),
    "TaskLog": lambda task_id: TaskLog(task_id, content="a line"),
}
"""What anybody may say about a task, by the word that actions use."""


@dataclass(slots=True)
class PeerOrder(PlayedOrder[World]):
    """An order in which the suite plays the scheduler of one client or worker. Actions name tasks by their names."""

    names: Names
    tasks: list[TaskRef] = field(default_factory=list)
    """Those that the client has submitted, or the worker was given: the latest first."""
    _strangers: dict[str, TaskRef] = field(default_factory=dict)
    """Tasks that nobody has heard of."""
    _together: int = 0
    """So many more rules are played without a fence in between."""
    _read: int = 0

    def task(self, number: int) -> TaskRef:
        """One of the tasks; for the number `STRANGE`, and if there is none, one that nobody has heard of."""
        known = None if number >= STRANGE else pick(self.tasks, number)
        return known or self.named(f"X{len(self._strangers) + 1}")

    def named(self, name: str) -> TaskRef:
        """The task with this name. Raises `KeyError`."""
        for task in self.tasks:
            if task.name == name:
                return task
        if not name.startswith("X"):
            raise KeyError(name)
        if name not in self._strangers:
            self._strangers[name] = TaskRef(self.names.task(name), name)
            self.world.names[self._strangers[name].id] = name
        return self._strangers[name]

    @property
    def next_name(self) -> str:
        """Of a task that is submitted, or given to the worker, next."""
        return f"T{len(self.tasks) + 1}"

    def rest(self, *, last: bool = False) -> list[Placed]:
        found: list[Placed] = []
        if last:
            found = self.end()
        elif self._together > 0:
            self._together -= 1
        else:
            found = self.settle()
        self.take_in()
        return found

    @abstractmethod
    def settle(self) -> list[Placed]:
        """After each rule: what was caused has come; what is broken by then, if it is known by then."""

    @abstractmethod
    def end(self) -> list[Placed]:
        """Everything that is on its way comes; what is broken."""

    @abstractmethod
    def take_in(self) -> None:
        """Read in the trace what has come."""

    def audited(self) -> list[Placed]:
        """What a world over sockets finds at its end."""
        self.world.come_to_rest()
        self.world.audit()
        self.undecided = self.undecided or any(entry.note == UNDECIDED for entry in self.world.trace)
        return [
            Placed(
                Violation(one.requirement, one.text.removeprefix("seen in the trace: ")),
                len(self.world.trace) if one.position is None else one.position,
            )
            for one in self.world.departures
        ]


def pick(options: Sequence[T], number: int) -> T | None:
    """One of them, whatever the number."""
    return options[number % len(options)] if options else None
