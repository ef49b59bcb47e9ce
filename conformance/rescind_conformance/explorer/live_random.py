"""Orders drawn at random, each driven to its end, none twice."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Final

from rescind_conformance.explorer.live import LiveResult, LiveSession
from rescind_conformance.explorer.live_peers import LivePeers
from rescind_conformance.explorer.packed import FIRST
from rescind_conformance.explorer.steps import Item
from rescind_conformance.explorer.system import System
from rescind_conformance.verdicts import Departure

MOST_STEPS: Final = 200
"""No order is longer; one that were would be an error of the scenario."""

Option = tuple[int, int, int]
"""Where a peer stands, what it does (a label; below 0: the scheduler takes its message), and what follows."""


@dataclass(slots=True)
class Branch:
    """What is known of the orders that begin alike."""

    options: int | None = None
    """How many steps may follow; None: nobody has been here."""
    open: set[int] = field(default_factory=set)
    """Of these, those behind which orders are left."""
    following: dict[int, Branch] = field(default_factory=dict)


def drive_at_random(session: LiveSession, orders: int, seed: int) -> LiveResult:
    """Drive so many orders, or all if there are fewer. Raises as `LiveSession.begin` does."""
    root, random = Branch(), Random(seed)
    while session.result.orders < orders and not session.result.closed:
        order = _Order(session.system, session.begin(), root, random)
        departure = None
        try:
            order.drive()
        except Departure as found:
            departure = found
        session.end(order.peers, order.words, departure)
        order.close()
        session.result.closed = root.options is not None and not root.open
    return session.result


class _Order:
    def __init__(self, system: System, peers: LivePeers, root: Branch, random: Random) -> None:
        self.peers = peers
        self.words: list[str] = []
        self._system = system
        self._random = random
        self._path: list[tuple[Branch, int]] = []
        self._branch = root
        self._state = list(system.initial[FIRST:])

    def drive(self) -> None:
        """Take step after step until none is left. Raises `Departure` where the scheduler does not go on."""
        while (options := options_of(self._system, self._state)) and len(self._path) < MOST_STEPS:
            branch = self._branch
            if branch.options is None:
                branch.options, branch.open = len(options), set(range(len(options)))
            # A scheduler that decides otherwise than the last time leads elsewhere: then anything will do.
            index = self._random.choice(sorted(branch.open) or range(len(options))) % len(options)
            self._path.append((branch, index))
            self._branch = branch.following.setdefault(index, Branch())
            self._take(options[index])

    def close(self) -> None:
        """This order has been driven: what has no other order behind it need not be visited again."""
        if self._branch.options is None:
            self._branch.options = 0
        for branch, index in reversed(self._path):
            child = branch.following[index]
            if child.open or child.options is None:
                return
            branch.open.discard(index)
            del branch.following[index]

    def _take(self, option: Option) -> None:
        position, what, leads_to = option
        self._state[position] = leads_to
        if what >= 0:
            self.words.append(self._system.labels[what].words(self._system.scenario.names))
            return
        item = self._system.configurations.takings[-1 - what].item
        if item is not None and item.message is not None:
            heard = self.peers.say(position, item.message)
            self.words.append(self.peers.inputs[-1])
            for number, messages in heard.items():
                batch = self._system.configurations.batches.of(tuple((-1, Item(message)) for message in messages))
                self._state[number] = self._system.configurations.append(self._state[number], batch)


def options_of(system: System, state: list[int]) -> list[Option]:
    """What may come next. Of what peers do by themselves only as much as the scheduler can tell apart; see
    `System.successors`.
    """
    own: list[Option] = []
    takes: list[Option] = []
    for position, number in enumerate(state):
        moves = system.configurations.moves(number)
        steps = [(position, move.label, move.leads_to) for move in (*moves.must, *moves.may)]
        if moves.delivers:
            return steps
        own += steps
        takes += [(position, -1 - taking, left) for taking, left in moves.offers]
    if takes and all(system.configurations.quiet(number, 0) for number in state):
        return takes
    return own + takes
