"""What callers and a scheduler may do to a client, as rules of a Hypothesis state machine. See `scheduler_rules`."""

from __future__ import annotations

from functools import partial
from typing import Final

from hypothesis import strategies as st

from rescind_conformance.peers import TaskRef
from rescind_conformance.races.client_order import NONSENSE, RESULTS, ClientOrder
from rescind_conformance.races.names import STRANGE
from rescind_conformance.races.peer_order import CONFIRMS, ENDINGS
from rescind_conformance.races.rules import RaceRules, beginning, race

NUMBERS: Final = st.integers(0, 2)
ANSWERS: Final = st.sampled_from([*CONFIRMS][:3])
WORDS: Final = [*RESULTS, *CONFIRMS, "TaskLog", "Task", "GraphTask", "TaskCancel", "TaskCancel, force", *NONSENSE]
"""What a scheduler may say again, too late or unasked, and what it may not say to a client."""
GARBAGE: Final = 100
"""The kinds of garbage that are drawn."""
PARTINGS: Final = ["disconnects", "is dropped", "hears nothing", *ENDINGS]
STEPS: Final = (
    *("refused", "force", "cancel", "ask"),
    *("refused", "result", "canceled", "not found", "cancel, briefly", "limit"),
)
"""What may happen while a round is open, the likely more than once."""
SAID: Final = {"refused": "CANCEL_FAILED", "canceled": "CANCELED", "not found": "CANCEL_NOT_FOUND", "result": "SUCCESS"}
ROUNDS: Final = st.lists(st.sampled_from(STEPS), min_size=1, max_size=5)
SELDOM: Final = 15
"""In one of so many times a rule does something that ends most of the order."""


class ClientRules(RaceRules[ClientOrder]):
    """For clients of every kind."""

    @beginning()
    def begin(self) -> None:
        """The client connects."""
        self.order.connect()

    @race()
    def submit(self) -> None:
        """A caller submits a task."""
        self.order.submit(task=self.order.next_name)

    @race(number=NUMBERS, force=st.booleans(), brief=st.booleans())
    def cancel(self, number: int, force: bool, brief: bool) -> None:
        """A caller cancels a task, one that is submitted now if there is none; `brief`: and does not wait for long."""
        if (task := self._owned(number)) is not None:
            self.order.cancel(task=task.name, force=force, brief=brief)

    @race(number=NUMBERS)
    def ask(self, number: int) -> None:
        """A caller asks whether a task is cancelled."""
        if (task := self.order.owned(number)) is not None:
            self.order.ask(task=task.name)

    @race(number=NUMBERS, word=ANSWERS, force=st.booleans())
    def answer(self, number: int, word: str, force: bool) -> None:
        """The scheduler answers a TaskCancel; if there is none, a task is cancelled now."""
        if self.order.asked(number) is None and (task := self._owned(number)) is not None:
            self.player.play(lambda: self.order.cancel(task=task.name, force=force))
        if (asked := self.order.asked(number)) is not None:
            self.order.say(word=word, task=asked.name)

    @race(number=NUMBERS, word=st.sampled_from([*RESULTS]))
    def finish(self, number: int, word: str) -> None:
        """The scheduler sends the result of a task."""
        if (task := self._owned(number)) is not None:
            self.order.say(word=word, task=task.name)

    @race(task=st.integers(0, STRANGE), number=st.integers(0, len(WORDS) + GARBAGE))
    def speak(self, task: int, number: int) -> None:
        """The scheduler says anything about a task, one that there never was as well; or sends what is no message."""
        about = self.order.task(task).name
        if number < len(WORDS):
            self.order.say(word=WORDS[number], task=about)
        else:
            self.order.garble(task=about, number=number - len(WORDS))

    @race(number=NUMBERS, force=st.booleans(), steps=ROUNDS)
    def contest(self, number: int, force: bool, steps: list[str]) -> None:
        """A task is cancelled, and what may cross that does: all about the same task, until it is over."""
        task: TaskRef | None = None
        for step in ("force" if force else "cancel", *steps):
            if task is None or self.order.is_over(task):
                task = self._owned(number)
            if task is not None:
                self.player.play(partial(self._happen, step, task.name))

    @race(how=st.sampled_from(PARTINGS), number=st.integers(1, SELDOM), cancels=st.booleans())
    def part(self, how: str, number: int, cancels: bool) -> None:
        """The client disconnects, loses its connection, or is declared lost; seldom. Perhaps amid a round."""
        if number < SELDOM:
            return
        if cancels and (task := self._owned(0)) is not None:
            self.player.play(partial(self._happen, "cancel", task.name))
        if how == "disconnects":
            self.order.disconnect()
        elif how in ENDINGS:
            self.order.say(word=how)
        else:
            self.order.lose(dropped=how == "is dropped")

    def _happen(self, step: str, task: str) -> None:
        """One step in the round of a task."""
        match step:
            case "cancel" | "force" | "cancel, briefly":
                self.order.cancel(task=task, force=step == "force", brief=step == "cancel, briefly")
            case "ask":
                self.order.ask(task=task)
            case "limit":
                self.order.reach_limit(task=task)
            case _:
                self.order.say(word=SAID[step], task=task)

    def _owned(self, number: int) -> TaskRef | None:
        """A task; one that is submitted now if there is none."""
        if self.order.owned(number) is None:
            self.player.play(lambda: self.order.submit(task=self.order.next_name))
        return self.order.owned(number)


class LiveClientRules(ClientRules):
    """For clients that are processes: what is on its way at once has no order that anybody knows."""

    @race(count=st.integers(2, 4))
    def together(self, count: int) -> None:
        """The next things are done without waiting for what each causes."""
        self.order.send_together(count=count)


class MachineClientRules(ClientRules):
    """For machines: what only time brings."""

    @race(number=NUMBERS)
    def reach_limit(self, number: int) -> None:
        """The time limit of a `cancel()` is reached."""
        if (task := self.order.asked(number)) is not None:
            self.order.reach_limit(task=task.name)
