"""The store of results, as far as it matters: which exist, and that each is taken away once.

A result is stored by the run that made it, under a name that no other run uses, and is then taken away once: by the
client that reads it (or discards it), by the worker whose process was ended before its answer, or by the scheduler
that drops what a lost worker has stored. Only when its owner has gone, or the store with the scheduler, may it be left.

Across parties these actions have no order: whichever comes first, the same is left, and that a name is taken away
twice is noticed at the second time. For that, what is stored for an owner that has gone still counts, and who takes
something away says so only if it was stored ("take it away if it is there" would depend on the order).
"""

from __future__ import annotations

from typing import NamedTuple

from rescind_conformance.explorer.steps import StoreAction
from rescind_conformance.judge.records import Violation

PUT, TAKE, RELEASE_OWNER, CLOSE = "put", "take", "release owner", "close"
REQUIREMENT = "C3.2"


class Store(NamedTuple):
    """What is in the store."""

    results: frozenset[bytes] = frozenset()
    """Those that nobody has taken away."""
    released: frozenset[bytes] = frozenset()
    """Owners that have gone, and their results with them."""
    closed: bool = False
    """It went with the scheduler."""


def result_name(owner: bytes, task_id: bytes, run: str) -> bytes:
    """Names the result of one run of a task."""
    return b"|".join((owner, task_id, run.encode()))


def act(store: Store, action: StoreAction) -> tuple[Store, Violation | None]:
    """The store after `action`, and what is wrong with it."""
    match action.does:
        case "put":
            return store._replace(results=store.results | {action.name}), None
        case "take" if action.name in store.results:
            return store._replace(results=store.results - {action.name}), None
        case "take":
            return store, Violation(REQUIREMENT, f"takes {_words(action.name)} from the store, and it is not there")
        case "release owner":
            return store._replace(released=store.released | {action.name}), None
        case _:
            return store._replace(closed=True), None


def left(store: Store) -> list[Violation]:
    """What is left that should not be, when nothing more happens."""
    kept = [] if store.closed else [name for name in store.results if _owner(name) not in store.released]
    return [Violation(REQUIREMENT, f"{_words(name)} is left in the store") for name in sorted(kept)]


def _owner(name: bytes) -> bytes:
    return name.partition(b"|")[0]


def _words(name: bytes) -> str:
    owner, task, run = name.decode().split("|")
    return f"the result of {task} of {owner} by {run}"
