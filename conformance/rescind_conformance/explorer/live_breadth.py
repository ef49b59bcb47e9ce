"""Every order of one message to the scheduler, then every order of two, and so on: what breaks first is the shortest.

What peers do before they send is not seen by a scheduler. So an order is here a sequence of messages that it is sent;
what the peers may have done on the way to it is a set of their states, of which each goes on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rescind.messages import Message
from rescind_conformance.explorer.live import LiveResult, LiveSession
from rescind_conformance.explorer.packed import FIRST
from rescind_conformance.explorer.steps import Item
from rescind_conformance.explorer.system import System
from rescind_conformance.verdicts import Departure

Input = tuple[int, Message]
"""Where a peer stands, and what it sends."""
State = tuple[int, ...]
"""Of all peers."""


@dataclass(frozen=True, slots=True)
class _Beginning:
    """An order so far, and where its peers may stand."""

    inputs: tuple[Input, ...]
    states: frozenset[State]


def drive_by_length(session: LiveSession, orders: int) -> LiveResult:
    """Drive orders by their length, so many at most. What has broken more than an idle echo does not go on.

    Raises as `LiveSession.begin` does.
    """
    system, result = session.system, session.result
    level = [_Beginning((), frozenset([system.initial[FIRST:]]))]
    result.depth = 0
    while level:
        following: list[_Beginning] = []
        for beginning in level:
            for taken, states in _next_inputs(system, beginning.states).items():
                if result.orders >= orders:
                    return result
                longer = _drive(session, (*beginning.inputs, taken), states)
                following += [longer] if longer is not None else []
        result.depth += bool(following)
        level = following
    result.closed = True
    return result


def _drive(session: LiveSession, inputs: tuple[Input, ...], states: frozenset[State]) -> _Beginning | None:
    """Drive an order from its beginning; None: it need not go on."""
    while True:
        peers = session.begin()
        heard: dict[int, list[Message]] = {}
        departure = None
        try:
            for position, message in inputs:
                heard = peers.say(position, message)
        except Departure as unresponsive:
            departure = unresponsive
        goes_on = session.end(peers, peers.inputs, departure)
        if not peers.left_over:
            break
    if not goes_on:
        return None
    configurations = session.system.configurations
    batches = {
        number: configurations.batches.of(tuple((-1, Item(message)) for message in messages))
        for number, messages in heard.items()
    }
    reached = {
        tuple(
            configurations.append(standing, batches[number]) if number in batches else standing
            for number, standing in enumerate(state)
        )
        for state in states
    }
    return _Beginning(inputs, frozenset(reached))


def _next_inputs(system: System, states: frozenset[State]) -> dict[Input, frozenset[State]]:
    """What the scheduler may be sent next, and where the peers stand then."""
    found: dict[Input, set[State]] = {}
    for state in _closure(system, states):
        for position, number in enumerate(state):
            for taking, left in system.configurations.moves(number).offers:
                item = system.configurations.takings[taking].item
                if item is not None and item.message is not None:
                    after = (*state[:position], left, *state[position + 1 :])
                    found.setdefault((position, item.message), set()).add(after)
    return {taken: frozenset(after) for taken, after in found.items()}


def _closure(system: System, states: frozenset[State]) -> Iterator[State]:
    """The states, and those that the peers may reach from them by themselves."""
    known = set(states)
    waiting = list(states)
    while waiting:
        state = waiting.pop()
        yield state
        for position, number in enumerate(state):
            moves = system.configurations.moves(number)
            for move in (*moves.must, *moves.may):
                after = (*state[:position], move.leads_to, *state[position + 1 :])
                if after not in known:
                    known.add(after)
                    waiting.append(after)
