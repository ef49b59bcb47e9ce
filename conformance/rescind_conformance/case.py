"""Cases: functions that play one race, and declare the requirements that they check."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from rescind_conformance.requirements import Requirement
from rescind_conformance.world import World

LIMIT = 5
"""Tasks that a client may hold in `Profile.LIMITED`."""


class Profile(StrEnum):
    """How the subject is configured for a case."""

    DEFAULT = "default"
    """Time-outs longer than any case, and no rebalancing."""
    SHORT_TIMEOUTS = "short time-outs"
    """Workers and clients are lost after 1 s of silence. No rebalancing."""
    REBALANCING = "rebalancing"
    """Rebalancing as often as the subject can. Long time-outs."""
    CLOSABLE = "closable"
    """As the default, and any client may shut the cluster down."""
    PROTECTED = "protected"
    """As the default, and no client may shut the cluster down."""
    LIMITED = "limited"
    """As the default, and each client may hold `LIMIT` tasks."""


@dataclass(frozen=True, slots=True)
class Case:
    """One race, and what must hold in it."""

    name: str
    """`module.function`, dashes for underscores."""
    title: str
    story: str
    """The race, told in a sentence or two."""
    requirements: tuple[str, ...]
    profile: Profile
    play: Callable[[World], None]

    @property
    def sort_key(self) -> tuple[tuple[str, tuple[int, ...]], str]:
        """The order of a run: by the first requirement, then by name."""
        first = self.requirements[0]
        return (first[0], tuple(int(part) for part in first[1:].split("."))), self.name


_registry: dict[str, Case] = {}


def case(
    *requirements: str, title: str, profile: Profile = Profile.DEFAULT
) -> Callable[[Callable[[World], None]], Callable[[World], None]]:
    """Register a function as a case that checks these requirements; its docstring tells the race.

    Each requirement declared must be checked on every path that ends without a departure.
    """

    def register(play: Callable[[World], None]) -> Callable[[World], None]:
        module = play.__module__.rpartition(".")[2]
        name = f"{module}.{play.__name__}".replace("_", "-")
        story = inspect.getdoc(play)
        if not requirements or not story:
            raise ValueError(f"the case {name} needs requirement ids and a docstring that tells the race")
        if name in _registry:
            raise ValueError(f"two cases are named {name}")
        _registry[name] = Case(name, title, story, requirements, profile, play)
        return play

    return register


def all_cases() -> list[Case]:
    """Every case of the package `cases`, in the order in which they run."""
    from rescind_conformance import cases

    for module in pkgutil.iter_modules(cases.__path__):
        importlib.import_module(f"{cases.__name__}.{module.name}")
    return sorted(_registry.values(), key=lambda one: one.sort_key)


def cases_for(requirement: Requirement) -> list[Case]:
    """The cases that declare a requirement."""
    return [one for one in all_cases() if requirement.id in one.requirements]
