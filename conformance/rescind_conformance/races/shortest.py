"""Shortens an order that breaks a requirement, and tells how surely it does, by playing it again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

from rescind_conformance.adapter import AdapterFault
from rescind_conformance.races.bench import Bench, Player
from rescind_conformance.races.broken import Action, RequirementBroken, Seen, Story

REPETITIONS: Final = 4
"""How often an order is played again at a process, to see whether it breaks the requirement each time."""
SECONDS: Final = 60.0
"""How long shorter orders are looked for at a process. Only then does nothing more begin: what is begun is ended."""
_BEGINNINGS: Final = ("connect", "start")
"""Actions without which there is nobody to do anything."""


def shortest(bench: Bench[Any], error: RequirementBroken, *, seconds: float = SECONDS) -> Story:
    """The order of an error without each action that can be left out, so that the same requirement is broken still.

    Its `seen` tells how often it was when the order was played again; at a machine, once is enough. An order that
    does not break it again is told as it was.
    """
    until = None if bench.repeatable else time.monotonic() + seconds
    best, seen = _again(bench, error.story)
    if best is None:
        return replace(error.story, seen=seen)
    tries = 1 if seen.times == seen.runs else REPETITIONS

    def breaks(actions: Sequence[Action]) -> Story | None:
        for _ in range(tries):
            story = _played(bench, replace(error.story, actions=actions))
            if story is not None and story.departure.requirement == error.requirement:
                return story
        return None

    best = _without_needless(best, breaks, lambda: until is not None and time.monotonic() > until)
    again, seen = _again(bench, best)
    return replace(again or best, seen=seen)


def _again(bench: Bench[Any], wanted: Story) -> tuple[Story | None, Seen]:
    """Play an order again, and again: the shortest in which the same requirement was broken, and how often it was."""
    runs = 1 if bench.repeatable else REPETITIONS
    played = [_played(bench, wanted) for _ in range(runs)]
    requirement = wanted.departure.requirement
    seen = [story for story in played if story is not None and story.departure.requirement == requirement]
    return min(seen, key=lambda story: len(story.actions), default=None), Seen(len(seen), runs)


def _without_needless(
    best: Story, breaks: Callable[[Sequence[Action]], Story | None], is_late: Callable[[], bool]
) -> Story:
    """Leave out ever smaller parts, the last first, until no single action can be left out."""
    size = len(best.actions) // 2
    while size > 0:
        before = len(best.actions)
        for start, end in _parts(before, size):
            if is_late():
                return best
            actions = best.actions
            kept = [
                action
                for index, action in enumerate(actions)
                if not start <= index < end or action["do"] in _BEGINNINGS
            ]
            if len(kept) < len(actions) and (shorter := breaks(kept)) is not None:
                best = shorter
        if size > 1:
            size //= 2
        elif len(best.actions) == before:
            break
    return best


def _parts(length: int, size: int) -> Iterator[tuple[int, int]]:
    """From the end to the beginning, so that what was left out before does not move what is left."""
    for end in range(length, 0, -size):
        yield max(0, end - size), end


def _played(bench: Bench[Any], story: Story) -> Story | None:
    """Play an order again; what is broken."""
    player = Player(bench)
    player.order.know(story.names)
    try:
        for each in story.actions:
            player.play(lambda each=each: player.order.perform(each))  # type: ignore[misc]
        player.finish()
    except RequirementBroken as error:
        return error.story
    except (KeyError, IndexError, AdapterFault):
        return None  # it needs what was left out
    finally:
        player.end()
    return None
