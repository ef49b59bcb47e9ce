"""The store of results, as far as it matters: which exist, and that each is taken away once.

A result is stored by the run that made it, under a name that no other run uses, and is then taken away once: by the
client that reads it (or discards it), by the worker whose process was ended before its answer, by the scheduler that
drops what a lost worker has stored; or together with everything else of its owner, when that has gone. What the
parties do here has no order across parties: whichever comes first, the same is left in the end, and a name that is
taken away twice is noticed.
"""

from __future__ import annotations

from typing import NamedTuple

from rescind_conformance.explorer.steps import StoreAction
from rescind_conformance.judge.records import Violation

PUT, TAKE, DISCARD, RELEASE_OWNER, CLOSE = "put", "take", "discard", "release owner", "close"
REQUIREMENT = "C3.2"


class Store(NamedTuple):
    """What is in the store."""

    results: frozenset[bytes] = frozenset()
    released: frozenset[bytes] = frozenset()
    """Owners that have gone: what is stored for them is thrown away at once."""
    closed: bool = False
    """It went with the scheduler."""


def result_name(owner: bytes, task_id: bytes, run: str) -> bytes:
    """Names the result of one run of a task."""
    return b"|".join((owner, task_id, run.encode()))


def act(store: Store, action: StoreAction) -> tuple[Store, Violation | None]:
    """The store after `action`, and what is wrong with it."""
    match action.does:
        case "put":
            if store.closed or _owner(action.name) in store.released:
                return store, None
            return store._replace(results=store.results | {action.name}), None
        case "release owner":
            kept = frozenset(name for name in store.results if _owner(name) != action.name)
            return store._replace(results=kept, released=store.released | {action.name}), None
        case "close":
            return Store(closed=True), None
        case "take" if action.name not in store.results:
            if store.closed or _owner(action.name) in store.released:
                return store, None
            return store, Violation(REQUIREMENT, f"takes {_words(action.name)} from the store, and it is not there")
        case _:
            return store._replace(results=store.results - {action.name}), None


def left(store: Store) -> list[Violation]:
    """What should not be there when nothing more happens."""
    return [
        Violation(REQUIREMENT, f"{_words(name)} is left in the store, and nobody will take it")
        for name in sorted(store.results)
    ]


def _owner(name: bytes) -> bytes:
    return name.partition(b"|")[0]


def _words(name: bytes) -> str:
    owner, task, run = name.decode().split("|")
    return f"the result of {task} of {owner} by {run}"
