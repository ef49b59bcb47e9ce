"""What a scheduler may do to a worker, and what may happen to what it runs, as rules of a Hypothesis state machine.

See `scheduler_rules`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from hypothesis import strategies as st

from rescind_conformance.peers import TaskRef
from rescind_conformance.races.names import STRANGE
from rescind_conformance.races.peer_order import ENDINGS
from rescind_conformance.races.rules import RaceRules, beginning, race
from rescind_conformance.races.worker_order import BODIES, NONSENSE, WorkerOrder

NUMBERS: Final = st.integers(0, 2)
CANCELS: Final = ("TaskCancel", "TaskCancel, force")
WORDS: Final = [*CANCELS, *CANCELS, "GraphTask", "TaskResult", "TaskCancelConfirm", "TaskLog", *NONSENSE]
"""What a scheduler may say again, too late or unasked, and what it may not say to a worker."""
GARBAGE: Final = 100
"""The kinds of garbage that are drawn."""
PARTINGS: Final = ["leaves", "is dropped", "hears nothing", *ENDINGS]
STEPS: Final = ("cancel", "force", "finishes", "cancel", "force", "finishes", "raises", "again", "another")
"""What may happen while a task is cancelled, or the worker leaves; the likely more than once."""
ROUNDS: Final = st.lists(st.sampled_from(STEPS), min_size=1, max_size=5)
MACHINE_ROUNDS: Final = st.lists(st.sampled_from([*STEPS, "ends", "dies"]), min_size=1, max_size=5)
SELDOM: Final = 8
"""In one of so many times a rule does something that ends a life of the worker."""


class WorkerRules(RaceRules[WorkerOrder]):
    """For workers of every kind."""

    @beginning(processes=st.integers(1, 2))
    def begin(self, processes: int) -> None:
        """The worker starts."""
        self.order.start(processes=processes)

    @race(body=st.sampled_from([*BODIES, "hold", "hold"]), again=st.integers(0, 5))
    def assign(self, body: str, again: int) -> None:
        """The worker is given a task; sometimes one that it has, or had."""
        if again == 5 and self.order.tasks:
            self.order.assign_again(task=self.order.tasks[0].name)
        else:
            self.order.assign(task=self.order.next_name, body=body)

    @race(number=NUMBERS, force=st.booleans())
    def cancel(self, number: int, force: bool) -> None:
        """A task is cancelled, one that the worker is given now if it has none."""
        if self.order.held(number) is None:
            self.player.play(lambda: self.order.assign(task=self.order.next_name, body="hold"))
        if (task := self.order.held(number)) is not None:
            self.order.say(word=CANCELS[force], task=task.name)

    @race(task=st.integers(0, STRANGE), number=st.integers(0, len(WORDS) + GARBAGE))
    def speak(self, task: int, number: int) -> None:
        """The scheduler says anything about a task, one that there never was as well; or sends what is no message."""
        about = self.order.task(task).name
        if number < len(WORDS):
            self.order.say(word=WORDS[number], task=about)
        else:
            self.order.garble(task=about, number=number - len(WORDS))

    def _contest(self, number: int, steps: Sequence[str]) -> None:
        """These things happen to a task that the worker has, one that it is given now if it has none."""
        if self.order.held(number) is None:
            self.player.play(lambda: self.order.assign(task=self.order.next_name, body="hold"))
        if (task := self.order.held(number)) is not None:
            self._go_on(task, steps)

    def _go_on(self, task: TaskRef, steps: Sequence[str]) -> None:
        for step in steps:
            self.player.play(partial(self._happen, step, task.name))

    def _happen(self, step: str, task: str) -> None:
        """One thing happens to a task."""
        match step:
            case "cancel" | "force":
                self.order.say(word=CANCELS[step == "force"], task=task)
            case "finishes" | "raises":
                self.order.finish(task=task, raised=step == "raises")
            case "again":
                self.order.assign_again(task=task)
            case "another":
                self.order.assign(task=self.order.next_name, body="hold")
            case _:
                self.order.end_process(task=task, dies=step == "dies")

    def _part(self, how: str, number: int, steps: Sequence[str]) -> None:
        if number < SELDOM:
            self.order.come_back()
            return
        if self.order.held(0) is None:
            self.player.play(lambda: self.order.assign(task=self.order.next_name, body="hold"))
        task = self.order.held(0)
        self.player.play(partial(self._leave, how))
        if task is not None:
            self._go_on(task, steps)

    def _leave(self, how: str) -> None:
        if how == "leaves":
            self.order.leave()
        elif how in ENDINGS:
            self.order.say(word=how)
        else:
            self.order.lose(dropped=how == "is dropped")


class LiveWorkerRules(WorkerRules):
    """For workers that are processes: what is on its way at once has no order that anybody knows."""

    @race(how=st.sampled_from(PARTINGS), number=st.integers(1, SELDOM), steps=ROUNDS)
    def part(self, how: str, number: int, steps: list[str]) -> None:
        """The worker leaves, loses its connection, is told to leave, or that it is lost; seldom, and then goes on with
        what it runs. Or it comes back.
        """
        self._part(how, number, steps)

    @race(number=NUMBERS, force=st.booleans(), steps=ROUNDS)
    def contest(self, number: int, force: bool, steps: list[str]) -> None:
        """A task is cancelled, and what may cross that does: all about the same task."""
        self._contest(number, ["force" if force else "cancel", *steps])

    @race(count=st.integers(2, 4))
    def together(self, count: int) -> None:
        """The next things are done without waiting for what each causes."""
        self.order.send_together(count=count)

    @race(number=NUMBERS)
    def release(self, number: int) -> None:
        """A body that holds goes on."""
        if (task := self.order.held(number)) is not None:
            self.order.finish(task=task.name, raised=False)


class MachineWorkerRules(WorkerRules):
    """For machines: what happens in what they run."""

    @race(how=st.sampled_from(PARTINGS), number=st.integers(1, SELDOM), steps=MACHINE_ROUNDS)
    def part(self, how: str, number: int, steps: list[str]) -> None:
        """The worker leaves, loses its connection, is told to leave, or that it is lost; seldom, and then goes on with
        what it runs. Or it comes back.
        """
        self._part(how, number, steps)

    @race(number=NUMBERS, force=st.booleans(), steps=MACHINE_ROUNDS)
    def contest(self, number: int, force: bool, steps: list[str]) -> None:
        """A task is cancelled, and what may cross that does: all about the same task."""
        self._contest(number, ["force" if force else "cancel", *steps])

    @race(number=NUMBERS, raised=st.booleans(), late=st.booleans())
    def finish(self, number: int, raised: bool, late: bool) -> None:
        """A function returns or raises; `late`: after its process was told to end, if there is one."""
        task = self.order.running(number, ending=late) or self.order.running(number, ending=not late)
        if task is not None:
            self.order.finish(task=task.name, raised=raised)

    @race(number=NUMBERS, dies=st.booleans())
    def end_process(self, number: int, dies: bool) -> None:
        """A process has ended as it was told to, or dies."""
        if (task := self.order.running(number, ending=not dies, returned=True)) is not None:
            self.order.end_process(task=task.name)
