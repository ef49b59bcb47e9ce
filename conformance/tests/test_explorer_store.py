"""The explorer's store of results: that the order of what parties do to it does not matter, and what is left in it."""

from __future__ import annotations

from collections import Counter
from itertools import combinations, product
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rescind.store import SqliteStore
from rescind_conformance.explorer.payload_store import CLOSE, PUT, RELEASE_OWNER, TAKE, Store, act, left, result_name
from rescind_conformance.explorer.steps import StoreAction
from rescind_conformance.judge.records import Violation

OWNERS = (b"C1", b"C2")
RESULTS = [result_name(owner, b"T1", run) for owner, run in product(OWNERS, ("W1", "W2"))]
ACTIONS = [
    *(StoreAction(does, name) for does in (PUT, TAKE) for name in RESULTS),
    *(StoreAction(RELEASE_OWNER, owner) for owner in OWNERS),
    StoreAction(CLOSE, b""),
]
STORES = [
    Store(frozenset(results), frozenset(released), closed)
    for count in range(len(RESULTS) + 1)
    for results in combinations(RESULTS, count)
    for released in ((), OWNERS[:1], OWNERS)
    for closed in (False, True)
]


def after(store: Store, *actions: StoreAction) -> tuple[Store, Counter[Violation]]:
    """What is stored, and all that was found wrong on the way."""
    wrong: Counter[Violation] = Counter()
    for action in actions:
        store, violation = act(store, action)
        wrong.update([violation] if violation is not None else [])
    return store, wrong


def is_caused(one: StoreAction, other: StoreAction) -> bool:
    """A result is taken by somebody who knows that it was stored: the two actions are never exchanged."""
    return one.name == other.name and {one.does, other.does} == {PUT, TAKE}


def test_what_two_parties_do_has_no_order() -> None:
    for store, one, other in product(STORES, ACTIONS, ACTIONS):
        if not is_caused(one, other):
            assert after(store, one, other) == after(store, other, one)


def test_only_what_has_a_cause_has_an_order() -> None:
    put, take = StoreAction(PUT, RESULTS[0]), StoreAction(TAKE, RESULTS[0])
    assert is_caused(put, take)
    assert after(Store(), put, take) != after(Store(), take, put)


@pytest.mark.parametrize("more", [[], [StoreAction(RELEASE_OWNER, b"C1")], [StoreAction(CLOSE, b"")]])
def test_what_is_taken_twice_is_noticed_once_wherever_the_rest_stands(more: list[StoreAction]) -> None:
    put, take = StoreAction(PUT, RESULTS[0]), StoreAction(TAKE, RESULTS[0])
    for place in range(4):
        actions = [put, take, take]
        actions[place:place] = more
        wrong = after(Store(), *actions)[1]
        assert [violation.requirement for violation in wrong.elements()] == ["C3.2"]


@st.composite
def histories(draw: st.DrawFn) -> list[StoreAction]:
    """What parties do to a store: each result is put and then, perhaps, taken; owners leave, and it may close."""
    put = draw(st.lists(st.sampled_from(RESULTS), unique=True))
    taken = draw(st.lists(st.sampled_from(put), unique=True)) if put else []
    ends = draw(st.lists(st.sampled_from([*OWNERS, b""]), unique=True))
    actions = [StoreAction(PUT, name) for name in put] + [StoreAction(TAKE, name) for name in taken]
    actions += [StoreAction(RELEASE_OWNER, name) if name else StoreAction(CLOSE, b"") for name in ends]
    mixed = list(draw(st.permutations(actions)))
    for number, action in enumerate(mixed):
        cause = StoreAction(PUT, action.name)
        if action.does == TAKE and cause in mixed[number:]:
            other = mixed.index(cause)
            mixed[number], mixed[other] = cause, action
    return mixed


@given(histories())
@settings(max_examples=40, deadline=None, derandomize=True)
def test_what_is_left_is_what_a_real_store_still_holds(history: list[StoreAction]) -> None:
    with TemporaryDirectory() as directory:
        real = SqliteStore(Path(directory) / "store")
        for action in history:
            owner = action.name.partition(b"|")[0]
            match action.does:
                case "put":
                    real.put(owner, action.name, b"a result")
                case "take":
                    real.delete(owner, [action.name])
                case "release owner":
                    real.release_owner(action.name)
        held = real.count()
        real.close()
    store, wrong = after(Store(), *history)
    assert not wrong
    # What went with the scheduler is in nobody's way, however much it was.
    assert len(left(store)) == (0 if store.closed else held)
