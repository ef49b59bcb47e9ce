"""Plays again what was done to a client or a worker in an order that the race tests found."""

from __future__ import annotations

from typing import Any

from rescind_conformance.races.bench import Bench, Player
from rescind_conformance.races.broken import DIRECTORY, RequirementBroken, Tested
from rescind_conformance.races.names import Names
from rescind_conformance.races.peer_bench import ORDERS
from rescind_conformance.races.peer_order import PeerOrder
from rescind_conformance.replay_file import UnreadableReplay
from rescind_conformance.requirements import load_requirements


class _OneOrder(Bench[PeerOrder[Any]]):
    def __init__(self, role: str, world: Any, wanted: set[str]) -> None:
        super().__init__()
        self.tested = Tested(role, "the subject", "", "", DIRECTORY)
        self.known = set(load_requirements()) - wanted
        self._world = world

    def begin(self) -> PeerOrder[Any]:
        return ORDERS[self.tested.role](self._world, Names(""))

    def end(self, order: PeerOrder[Any]) -> None:
        """It is left to who has opened the world."""


def play_actions(document: dict[str, Any], world: Any) -> set[str]:
    """Do the actions of a replay file in a fresh world; which of its requirements were broken: one at most.

    Raises `UnreadableReplay`.
    """
    player = Player(_OneOrder(document["role"], world, {one["requirement"] for one in document["departures"]}))
    try:
        for each in document["actions"]:
            player.play(lambda each=each: player.order.perform(each))  # type: ignore[misc]
        player.finish()
    except RequirementBroken as error:
        return {error.requirement}
    except (KeyError, TypeError, ValueError) as error:
        raise UnreadableReplay(f"an action cannot be done: {error!r}") from error
    return set()
