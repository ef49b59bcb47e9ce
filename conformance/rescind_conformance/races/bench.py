"""What is common to the race tests of all roles: orders that are begun, played, judged and ended."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, Generic, TypeVar

from rescind_conformance.audit import Placed
from rescind_conformance.findings import Findings
from rescind_conformance.peers import Peer
from rescind_conformance.races.broken import Action, RequirementBroken, Story, Tested, broken
from rescind_conformance.recording import Recording
from rescind_conformance.verdicts import Departure

World = TypeVar("World", bound=Findings)


@dataclass(slots=True)
class PlayedOrder(ABC, Generic[World]):
    """One order, as it is played. What is done in it are its actions: methods that `action` decorates."""

    world: World
    actions: list[Action] = field(default_factory=list, init=False)
    length: int = field(default=0, init=False)
    """As in `Story`."""
    over: bool = field(default=False, init=False)
    """Nothing more can be done."""
    undecided: bool = field(default=False, init=False)
    """It could not be judged to the end."""

    @property
    def recording(self) -> Recording | None:
        """The frames that were sent, where a replay needs them."""
        return None

    @property
    def unfenced(self) -> bool:
        """See `Story`."""
        return False

    @abstractmethod
    def rest(self, *, last: bool = False) -> list[Placed]:
        """After each rule, and at the end: what was caused has come; what is broken by then, the first first."""

    @abstractmethod
    def judge(self) -> list[Placed]:
        """What is broken by now; for when the subject does not go on."""

    def know(self, names: Mapping[bytes, str]) -> None:
        """It is played again: tasks had these names, as far as they have the same ids again."""

    def perform(self, performed: Action) -> None:
        """Do what was done in an order. Raises `ValueError` if there is no such action, `KeyError` if what it is about
        is not there.
        """
        arguments = {name: value for name, value in performed.items() if name != "do"}
        act: Any = getattr(type(self), performed["do"], None)
        if not getattr(act, "is_action", False):
            raise ValueError(f"there is no action {performed['do']!r}")
        act(self, **arguments)


Played = TypeVar("Played", bound=PlayedOrder[Any])
Acts = TypeVar("Acts", bound=Callable[..., Any])


def action(method: Acts) -> Acts:
    """A method of an order, called with keywords, that does one thing to the subject. It is noted, and counts."""

    @wraps(method)
    def noted(self: PlayedOrder[Any], **arguments: Any) -> Any:
        plain = {name: value.name if isinstance(value, Peer) else value for name, value in arguments.items()}
        self.actions.append({"do": method.__name__, **plain})
        self.length += 1
        return method(self, **arguments)

    noted.is_action = True  # type: ignore[attr-defined]
    return noted  # type: ignore[return-value]


class Bench(ABC, Generic[Played]):
    """Where the orders of one test are played: a subject, or machines made for each. For one thread."""

    tested: Tested
    known: Collection[str] = ()
    """Requirements that may be broken: what comes after is judged all the same."""
    repeatable: bool = True
    """What is done again has the same effect again, each effect at the same moment. Of processes that is not so."""

    def __init__(self) -> None:
        self.found: dict[str, RequirementBroken] = {}
        """By requirement: the shortest order so far that broke it."""
        self.played = 0
        """Orders that were played to their end."""
        self.undecided = 0
        """Those of them that were judged only in part."""

    @abstractmethod
    def begin(self) -> Played:
        """An order in which nothing has happened yet. Raises `SubjectUnavailable`."""

    @abstractmethod
    def end(self, order: Played) -> None:
        """The order is over; nothing of it may be left for the next."""

    def close(self) -> None:
        """End everything that was started."""


class Player(Generic[Played]):
    """Plays one order at a bench.

    What an order at a process breaks is raised when it has ended, not at once: when it is seen depends on how fast
    things happen, and Hypothesis wants the same draws to end in the same place. After it nothing more is done.
    """

    def __init__(self, bench: Bench[Played]) -> None:
        self._bench = bench
        self.order = bench.begin()
        self._broken: RequirementBroken | None = None

    @property
    def over(self) -> bool:
        """Nothing more is done in this order."""
        return self.order.over or self._broken is not None

    def play(self, act: Callable[[], object]) -> None:
        """Do something, and judge what comes of it. Raises `RequirementBroken`."""
        if self.over:
            return
        try:
            act()
            found = [] if self._broken is not None else self.order.rest()  # a part of it may have been played
        except Departure as departure:
            if self._broken is None:
                self._fail([*map(_departure, self.order.judge()), departure])
        else:
            self._fail([*map(_departure, found)])
        if self._bench.repeatable:
            self._raise()

    def finish(self) -> None:
        """The order has ended: what is still on its way comes, and is judged. Raises `RequirementBroken`."""
        if self._broken is None:
            try:
                found = self.order.rest(last=True)
            except Departure as departure:
                self._fail([departure])
            else:
                self._fail([*map(_departure, found)])
            self._bench.played += 1
            self._bench.undecided += self.order.undecided
            self._raise()
        elif not self._bench.repeatable:
            self._raise()

    def end(self) -> None:
        """Leave nothing of the order."""
        self._bench.end(self.order)

    def _raise(self) -> None:
        if self._broken is not None:
            raise self._broken from None

    def _fail(self, departures: Sequence[Departure]) -> None:
        """Note the first that is not known. Something known after which nothing goes on ends the order."""
        order, world = self.order, self.order.world
        for departure in departures:
            if self._broken is None and departure.requirement not in self._bench.known:
                story = Story(
                    departure,
                    list(order.actions),
                    order.length,
                    list(world.trace),
                    dict(world.names),
                    order.recording,
                    world.log_tail(),
                    order.unfenced,
                )
                self._broken = broken(self._bench.tested, story)
                before = self._bench.found.get(departure.requirement)
                if before is None or story.length < before.length:
                    self._bench.found[departure.requirement] = self._broken
            order.over = order.over or departure.unresponsive


def _departure(placed: Placed) -> Departure:
    text = f"seen in the trace: {placed.violation.text}"
    return Departure(placed.violation.requirement, text, position=placed.position)
