"""States in one number each, so that a step is an addition.

A packed state has, side by side, from its lowest bits on: calm (one bit; see `System.rest`), the number of each peer's
configuration, that of the store, and that of the scheduler's state. What a step changes is the difference of two such
numbers, and does not depend on the rest of the state.
"""

from __future__ import annotations

from typing import NamedTuple

from rescind_conformance.explorer.configuration import Configurations, Move

State = tuple[int, ...]
"""Scheduler, store, calm, first peer, second peer..."""
FIRST = 3
"""Where the first peer stands in a `State`."""

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
        self.peers = tuple(1 + peer * _PEER_BITS for peer in range(peers))
        self.store = 1 + peers * _PEER_BITS
        self.scheduler = self.store + _STORE_BITS
        self.peers_mask = 2**self.store - 1
        """Calm, and all peers."""

    def pack(self, state: State) -> int:
        """The state in one number."""
        packed = state[0] << self.scheduler | state[1] << self.store | state[2]
        for shift, number in zip(self.peers, state[FIRST:], strict=True):
            packed |= number << shift
        return packed

    def unpack(self, packed: int) -> State:
        """The state that is packed so."""
        peers = (packed >> shift & PEER for shift in self.peers)
        return (packed >> self.scheduler, packed >> self.store & STORE, packed & CALM, *peers)


class Addend(NamedTuple):
    """A step of a peer."""

    label: int
    adds: int
    """To the packed state, but for what it does to the store."""
    store: int
    found: int
    """Both as in `Move`."""


class Ahead:
    """What can happen next to one peer; as `Moves`, but packed."""

    __slots__ = ("all", "delivers", "idle", "must", "number", "quiet", "takes")

    def __init__(self, configurations: Configurations, number: int, shift: int) -> None:
        """`shift`: where its number stands."""

        def addend(move: Move) -> Addend:
            return Addend(move.label, (move.leads_to - number) << shift, move.store, move.found)

        moves = configurations.moves(number)
        self.number = number
        self.must = [addend(move) for move in moves.must]
        self.all = self.must + [addend(move) for move in moves.may]
        self.takes = [(taking, (left - number) << shift) for taking, left in moves.offers]
        self.delivers = moves.delivers
        self.idle = moves.idle
        self.quiet = moves.quiet


class PeersAhead(NamedTuple):
    """What can happen next while all peers stand as they do."""

    moves: list[Addend]
    takes: list[tuple[int, int]]
    """What the scheduler can take, and what that adds to the packed state."""
    rests: bool
    """Nothing has to happen."""
    chooses: bool
    """The scheduler may do something by itself."""
