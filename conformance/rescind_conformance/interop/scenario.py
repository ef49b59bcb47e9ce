"""Scenarios: what is done in every mix, each under a name and the requirement that it is about first of all."""

from __future__ import annotations

import fnmatch
import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rescind_conformance.interop.desk import Desk

LIMIT = 90.0
"""Seconds for a scenario that says nothing else."""
_MODULES = ("running", "cancelling", "leaving", "carrying", "graphs", "documentation")


@dataclass(frozen=True, slots=True)
class Scenario:
    """One row of the matrix."""

    name: str
    requirement: str
    """What is said to be broken when it does not end within its limit."""
    title: str
    play: Callable[[Desk], None]
    limit: float = LIMIT
    ends_system: bool = False
    """Whether the system is to have ended after it."""
    slow: bool = False
    """Whether it is left out of a quick run."""
    in_python: bool = False
    """Whether it is about what only clients in Python have, such as a graph of functions."""


_REGISTERED: dict[str, Scenario] = {}


def scenario(
    name: str,
    requirement: str,
    *,
    limit: float = LIMIT,
    ends_system: bool = False,
    slow: bool = False,
    in_python: bool = False,
) -> Callable[[Callable[[Desk], None]], Callable[[Desk], None]]:
    """Register the decorated function. Its docstring's first line is the title."""

    def register(play: Callable[[Desk], None]) -> Callable[[Desk], None]:
        title = (play.__doc__ or "").strip().partition("\n")[0].rstrip(".")
        assert title, f"{name} needs a docstring"
        assert name not in _REGISTERED, f"{name} is there twice"
        _REGISTERED[name] = Scenario(name, requirement, title, play, limit, ends_system, slow, in_python)
        return play

    return register


def all_scenarios() -> list[Scenario]:
    """Every scenario, in the order in which they are played: one that ends the system is last."""
    for module in _MODULES:
        importlib.import_module(f"rescind_conformance.interop.scenarios.{module}")
    return sorted(_REGISTERED.values(), key=lambda one: one.ends_system)


def select_scenarios(globs: Sequence[str], *, quick: bool = False) -> list[Scenario]:
    """Those whose name matches one of the globs; all without one, or all but the slow ones."""
    if not globs:
        return [one for one in all_scenarios() if not (quick and one.slow)]
    return [one for one in all_scenarios() if any(fnmatch.fnmatchcase(one.name, glob) for glob in globs)]
