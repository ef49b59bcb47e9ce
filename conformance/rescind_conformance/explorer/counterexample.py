"""Counterexamples: the shortest path to a violation, told so that people can follow it.

A path that a reduced walk has found may hold steps that have nothing to do with the violation (they happened at other
parties meanwhile), and be the longer for it. So first every step is left out that can be left out, the last ones
first; and then the unreduced interleavings are walked that are shorter than what remains.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rescind.messages import Message
from rescind.trace import describe
from rescind_conformance.explorer.packed import State
from rescind_conformance.explorer.scenario import Scenario
from rescind_conformance.explorer.steps import SCHEDULER_NAME, Does, Effects, Step
from rescind_conformance.explorer.system import System
from rescind_conformance.explorer.walk import Found, Limits, WalkResult, walk
from rescind_conformance.judge.records import EventKind, EventRecord, Record, Violation

SEARCHED_STATES = 300_000
"""So many states are looked at, at most, in search of a shorter path."""


class Sent(NamedTuple):
    """Something that a step sent."""

    sender: str
    receiver: str
    message: Message | None
    """None: the sender has exited, and the connection drops."""

    def said(self, names: Mapping[bytes, str]) -> str:
        """What it says; `names` are those of tasks."""
        return "the connection drops" if self.message is None else describe(self.message, names)


class Told(NamedTuple):
    """A step, and what it did."""

    step: Step
    effects: Effects
    sent: tuple[Sent, ...] = ()

    def outcomes(self, names: Mapping[bytes, str]) -> list[str]:
        """What came of it at its party, in words, beside what was sent; `names` are those of tasks."""
        events = (each for each in self.effects.records if isinstance(each, EventRecord))
        return [words for each in events if (words := _event_words(each, names)) is not None]


@dataclass(frozen=True, slots=True)
class Counterexample:
    """How a violation comes about."""

    violation: Violation
    steps: tuple[Told, ...]
    at_rest: bool
    """The violation is what is wrong when all of this has happened and nothing more does."""
    is_shortest: bool
    """No path to a violation of this requirement is shorter."""
    scenario: Scenario

    @property
    def names(self) -> dict[bytes, str]:
        """The names of tasks, by task id."""
        return self.scenario.names

    @property
    def words(self) -> list[str]:
        """The steps alone, in words."""
        return [told.step.words(self.names) for told in self.steps]

    @property
    def records(self) -> list[Record]:
        """Everything that every party received, sent and did, in the order of the steps."""
        return [record for told in self.steps for record in told.effects.records]

    def lines(self) -> Iterator[str]:
        """The steps, each with what it sent and what came of it, as lines to print."""
        return told_lines(self.steps, self.names)


def told_lines(steps: Sequence[Told], names: Mapping[bytes, str]) -> Iterator[str]:
    """Steps, each with what it sent and what came of it, as lines to print."""
    words = [told.step.words(names) for told in steps]
    width = max(map(len, words), default=0)
    for number, (told, said) in enumerate(zip(steps, words, strict=True), start=1):
        sent = () if told.step.does is Does.SAYS else told.sent
        outcome = ", ".join([*(f"-> {each.receiver}  {each.said(names)}" for each in sent), *told.outcomes(names)])
        yield f"{number:>3}  {said:<{width}}  {outcome}".rstrip()


def shortest_of(result: WalkResult, requirement: str) -> Found:
    """The shortest walked path to a violation of this requirement, of which there is one."""
    broken = [found for found in result.found if found.violation.requirement == requirement]
    return min(broken, key=lambda found: len(found.path))


def counterexample(system: System, result: WalkResult, found: Found, *, search: bool = True) -> Counterexample:
    """The shortest path to the violation that `result`, a walk over `system`, has found.

    Without `search` no shorter path is looked for than what remains of the walked one.
    """
    path, is_shortest, at_rest = found.path, True, found.at_rest
    if result.reduction and not at_rest:
        path = _without_idle_steps(system, found)
    if result.reduction and (not at_rest or _may_break_in_a_step(result, found)):
        shorter, is_shortest = _searched(system, path, found.violation.requirement) if search else (None, False)
        if shorter is not None:
            path, at_rest = shorter, False
    path = _tidied(system, path)
    steps: list[Told] = []
    state = system.initial
    for label in path:
        following = system.follow(state, label)
        assert following is not None
        steps.append(tell(system, state, label))
        state = following.state
    violation = found.violation
    if not at_rest and following is not None:
        # A shorter path may break the same requirement in other words.
        same = [each for each in system.findings[following.found] if each.requirement == violation.requirement]
        violation = same[0]
    return Counterexample(violation, tuple(steps), at_rest, is_shortest, system.scenario)


def tell(system: System, state: State, label: int) -> Told:
    """A step that can happen in a state."""
    step, effects = system.labels[label], system.effects(state, label)
    sent: list[Sent] = []
    for peer, life, item in effects.sends:
        # An exit of the scheduler is for whichever life listens.
        name = system.scheduler.names[peer][max(life, 0)]
        between = (SCHEDULER_NAME, name) if step.actor == SCHEDULER_NAME else (name, SCHEDULER_NAME)
        sent.append(Sent(*between, item.message))
    return Told(step, effects, tuple(sent))


def _without_idle_steps(system: System, found: Found) -> tuple[int, ...]:
    path = list(found.path)
    for index in reversed(range(len(path) - 1)):
        shorter = path[:index] + path[index + 1 :]
        if _breaks(system, shorter, found.violation.requirement):
            path = shorter
    return tuple(path)


def _tidied(system: System, path: tuple[int, ...]) -> tuple[int, ...]:
    """The same steps in an order that reads well: nobody begins anything before it matters."""
    labels = list(path)
    for start in reversed(range(len(labels) - 2)):
        if _handles(system.labels[labels[start]]):
            continue
        state = _after(system, labels[:start])
        for index in range(start, len(labels) - 2):
            one, other = labels[index : index + 2]
            as_it_is, swapped = _after(system, [one, other], state), _after(system, [other, one], state)
            if swapped is None or swapped != as_it_is:
                break
            labels[index : index + 2] = other, one
            state = _after(system, [other], state)
    return tuple(labels)


def _after(system: System, labels: list[int], state: State | None = None) -> State | None:
    """The state after these steps; None where they cannot happen."""
    state = state or system.initial
    for label in labels:
        following = system.follow(state, label)
        if following is None:
            return None
        state = following.state
    return state


def _handles(step: Step) -> bool:
    return step.does in (Does.RECEIVES, Does.NOTICES, Does.LOSES)


def _breaks(system: System, path: list[int], requirement: str) -> bool:
    """Whether the steps can happen in this order, and the last of them breaks the requirement."""
    state: State = system.initial
    found = 0
    for label in path:
        following = system.follow(state, label)
        if following is None:
            return False
        state, found = following.state, following.found
    return any(violation.requirement == requirement for violation in system.findings[found])


def _may_break_in_a_step(result: WalkResult, at_rest: Found) -> bool:
    """Whether what is wrong at an end may break in a step as well: then perhaps in a shorter order than is walked."""
    requirement = at_rest.violation.requirement
    known = any(each.violation.requirement == requirement and not each.at_rest for each in result.found)
    return known or not result.closed


def _searched(system: System, path: tuple[int, ...], requirement: str) -> tuple[tuple[int, ...] | None, bool]:
    """A path that is shorter and breaks the requirement in its last step; and whether no other is shorter still."""
    limits = Limits(states=SEARCHED_STATES, depth=len(path) - 1)
    shorter = walk(system, reduction=False, limits=limits, stop=lambda violation: violation.requirement == requirement)
    for each in shorter.found:
        if each.violation.requirement == requirement and not each.at_rest:
            return each.path, True
    return None, shorter.progress.states <= SEARCHED_STATES


def _event_words(record: EventRecord, names: Mapping[bytes, str]) -> str | None:
    task = names.get(record.task) or record.task.hex()
    match record.event:
        case EventKind.SETTLED:
            return f"{task} is {record.outcome}"
        case EventKind.CANCEL_RETURNED:
            return f"cancel() of {task} returns {record.value}"
        case EventKind.STARTED:
            return f"{task} runs"
        case EventKind.RESULT_RELEASED:
            return f"the result of {task} is released"
        case _:
            return None
