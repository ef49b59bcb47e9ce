"""What a scheduler's judge finds, and in which words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from rescind.messages import Message, Task
from rescind.trace import describe
from rescind_conformance.judge.records import Violation
from rescind_conformance.judge.scheduler_books import Books
from rescind_conformance.judge.scheduler_dues import Due
from rescind_conformance.judge.scheduler_entries import TaskBook


class Findings:
    """The books, and what was found broken. `names` are those of tasks."""

    def __init__(self, names: Mapping[bytes, str] | None = None) -> None:
        self._names = names if names is not None else {}
        self._books = Books()
        self._nonsense = ("", "")
        """Who has sent what came last, if it has no meaning, and the requirement by which nothing follows from it."""
        self._departed = False
        """A peer was lost last."""
        self._served = False
        """It has sent something."""
        self._silenced_by = ""
        """Whose message has to be dropped, was the first that came when nothing was left to do, and nothing was sent
        since.
        """
        self._at = ""
        self._found: list[Violation] = []

    def _reacts(self, *senders: str) -> str:
        """The requirement by which nothing follows from what came last, if it is nonsense of one of these."""
        sender, requirement = self._nonsense
        return requirement if sender and sender in senders else ""

    def __eq__(self, other: object) -> bool:
        """Whether it finds the same right and wrong, by whatever requirement."""
        return isinstance(other, Findings) and self._books == other._books

    __hash__ = None  # type: ignore[assignment]

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        """The names are shared, and so is most of the books."""
        other = object.__new__(type(self))
        vars(other).update(vars(self))
        other._books, other._found = self._books.copy(), list(self._found)
        return other

    def _disturbed_by(self, *concerned: str) -> str:
        """S11.1, if what came last is nonsense of a peer that all this does not concern."""
        sender, requirement = self._nonsense
        return "S11.1" if requirement and sender not in concerned else ""

    def _come_late(self, said: str, due: Due) -> None:
        """What is sent was due, and something should not have come before it."""
        if due.behind:
            self._break("S9.5", f"{said} after an echo to what came when that worker was lost")
        elif due.overtaken:
            self._overtaken(said)

    def _overtaken(self, said: str) -> None:
        self._break("S10.2", f"{said} after the echo that should have come behind it")
        self._books.dues.forget_overtaken()
        self._books.overtaken = ()

    def _out_of_turn(self, said: str, first: Due) -> None:
        self._break(first.requirement, f"{said} before {self._words(first.message)}")
        self._books.dues.late(first)

    def _missing(self, due: Due) -> None:
        books = self._books
        graph = books.graphs.get(getattr(due.message, "task_id", b""))
        follows = graph is not None and graph.stage == "unclear" and due.requirement in ("S12.13", "S12.14")
        if books.look(due.to).unseen or follows:
            return
        self._break(due.requirement, f"has not sent {due.to} {self._words(due.message)}")
        task = books.task(getattr(due.message, "task_id", b""))
        if task is not None and task.stage == "over" and task.owner == due.to and task.terminal is None:
            books.give_up(task.message.task_id, task)  # the scheduler may not know that it is over
            if task.last_holder:
                books.doubt(task, task.last_holder)

    def _left_waiting(self, count: int, when: str, *, silently: bool = False) -> None:
        """So many tasks wait though there is room for them."""
        requirement, told = self._books.blame(count)
        self._books.overtaken = tuple(told) if when else ()
        names = " and ".join(self._words(Task(task_id)) for task_id in told)
        if not silently:
            self._break(requirement, f"leaves {names} waiting though a worker has room{when}")

    def _break(self, requirement: str, text: str) -> None:
        self._found.append(Violation(requirement, f"{self._at} {text}"))

    def _take(self) -> list[Violation]:
        found, self._found = self._found, []
        self._books.settle()
        return found

    def _words(self, message: Message) -> str:
        return describe(message, self._names)

    def _fate(self, task: TaskBook) -> str:
        if task.terminal is not None:
            return f"{task.owner} was sent {self._words(task.terminal)}"
        return f"{task.owner} is lost" if task.stage == "abandoned" else "it is over"
