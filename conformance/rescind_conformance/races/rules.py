"""What the state machines of all roles have in common."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ClassVar, Generic

from hypothesis import event
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from rescind_conformance.races.bench import Bench, Played, Player


class RaceRules(RuleBasedStateMachine, Generic[Played]):
    """The state machine of one role; subclasses have its rules, which do something to the order."""

    bench: ClassVar[Bench[Any]]

    def __init__(self) -> None:
        super().__init__()
        self.player: Player[Played] = Player(self.bench)
        self.order = self.player.order

    def teardown(self) -> None:
        """The order has ended."""
        try:
            self.player.finish()
            if self.order.undecided:
                event("judged only in part: too many orders are possible")
        finally:
            self.player.end()


def race(**arguments: Any) -> Callable[[Callable[..., None]], Any]:
    """A rule that takes these strategies, and is judged when it is over."""
    return _played(rule(**arguments))


def beginning(**arguments: Any) -> Callable[[Callable[..., None]], Any]:
    """The first rule of all."""
    return _played(initialize(**arguments))


def _played(make: Callable[[Any], Any]) -> Callable[[Callable[..., None]], Any]:
    def decorate(act: Callable[..., None]) -> Any:
        @wraps(act)
        def played(self: RaceRules[Any], **drawn: Any) -> None:
            self.player.play(lambda: act(self, **drawn))

        return make(played)

    return decorate
