"""States in one number each, so that a step is an addition.

A packed state has, side by side, from its lowest bits on: calm (one bit; see `System.rest`), for each peer whether
something is on its way to it (one bit), the number of each peer's configuration, that of the store, and that of the
scheduler's state. What a step changes is the difference of two such numbers, and does not depend on the rest of the
state.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rescind_conformance.explorer.configuration import Configurations, Move

State = tuple[int, ...]
"""Scheduler, store, calm, first peer, second peer..."""
FIRST = 3
"""Where the first peer stands in a `State`."""
PackedStep = tuple[int, int, int]
"""The number of its label, what it adds to the packed state, and the number of what is wrong with it; 0 for nothing."""
Ahead = tuple[list[PackedStep], bool]
"""What can happen next, and whether nothing has to."""

_PEER_BITS, _STORE_BITS = 20, 16
MOST_CONFIGURATIONS, MOST_STORES = 2**_PEER_BITS, 2**_STORE_BITS
PEER, STORE = MOST_CONFIGURATIONS - 1, MOST_STORES - 1
"""What masks a number."""
CALM = 1
"""The bit."""


class Layout:
    """Where each number stands in a packed state."""

    def __init__(self, peers: int) -> None:
        """`peers`: how many there are."""
        first = 1 + peers
        self.peers = tuple(first + peer * _PEER_BITS for peer in range(peers))
        self.store = first + peers * _PEER_BITS
        self.scheduler = self.store + _STORE_BITS
        self.peers_mask = 2**self.store - 1
        """Calm, and all that is of peers."""
        self.waiting = 2**first - 1 - CALM
        """The bits that say to which peers something is on its way."""

    def first_waiting(self, waiting: int) -> int:
        """Where the first peer stands to which something is on its way; 0: to none. `waiting`: these bits."""
        return next((shift for peer, shift in enumerate(self.peers) if waiting >> 1 + peer & 1), 0)

    def pack(self, state: State, waiting: Sequence[int] = ()) -> int:
        """The state in one number. `waiting`: the peers to which something is on its way."""
        packed = state[0] << self.scheduler | state[1] << self.store | state[2]
        for shift, number in zip(self.peers, state[FIRST:], strict=True):
            packed |= number << shift
        return packed | sum(1 << 1 + peer for peer in waiting)

    def unpack(self, packed: int) -> State:
        """The state that is packed so."""
        peers = (packed >> shift & PEER for shift in self.peers)
        return (packed >> self.scheduler, packed >> self.store & STORE, packed & CALM, *peers)

    def between(self, configurations: Configurations, before: int, after: int) -> int:
        """What it adds to a packed state that a peer goes from one configuration to another."""
        former, latter = configurations.known[before], configurations.known[after]
        waits = bool(latter.down) - bool(former.down)
        return ((after - before) << self.peers[former.peer]) + (waits << 1 + former.peer)


class Addend(NamedTuple):
    """A step of a peer."""

    label: int
    adds: int
    """To the packed state, but for what it does to the store."""
    store: int
    found: int
    """Both as in `Move`."""


def _at_once(moves: Sequence[Addend]) -> list[PackedStep] | None:
    """The steps, if the store has nothing to do with any of them."""
    return None if any(move.store for move in moves) else [(move.label, move.adds, move.found) for move in moves]


class PeerAhead:
    """What can happen next to one peer; as `Moves`, but packed."""

    __slots__ = ("at_once", "delivered", "idle", "moves", "number", "quiet", "takes")

    def __init__(self, configurations: Configurations, number: int, layout: Layout) -> None:
        def addend(move: Move) -> Addend:
            return Addend(move.label, layout.between(configurations, number, move.leads_to), move.store, move.found)

        moves = configurations.moves(number)
        self.number = number
        must = [addend(move) for move in moves.must]
        self.moves = (must + [addend(move) for move in moves.may], must)
        """By `calm`."""
        self.at_once = (_at_once(self.moves[0]), _at_once(must))
        """The same, where the store has nothing to do with any of them."""
        self.takes = [(taking, layout.between(configurations, number, left)) for taking, left in moves.offers]
        self.idle = moves.idle
        self.quiet = moves.quiet
        self.delivered: list[Ahead | None] = [None if steps is None else (steps, False) for steps in self.at_once]
        """What there is to look at if something is on its way to it, by `calm`; None: that hangs on the store."""


PeersAhead = tuple[list[PackedStep] | None, list[Addend], list[tuple[int, int]], bool, bool]
"""What can happen next while all peers stand as they do: their own steps, or None if what they are hangs on the store,
and the moves that these are; what the scheduler can take, and what that adds to the packed state; whether nothing has
to happen; and whether the scheduler may do something by itself.
"""
