"""Cases: functions that play one race, and declare the requirements that they check."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from rescind_conformance.findings import Findings

WorldOfRole = TypeVar("WorldOfRole", bound=Findings)

LIMIT = 5
"""Tasks that a client may hold, clients and workers that there may be in `Profile.LIMITED`."""
LIMIT_BYTES = 1 << 20
"""Bytes that a client's tasks may take in `Profile.LIMITED_BYTES`: as few as a scheduler may allow (section 10)."""
LIMIT_PLACES = 1000
"""Tasks that a worker may have in `Profile.LIMITED_PLACES`: as few as a scheduler may allow (section 10)."""
LIMIT_QUEUE = 20
"""Messages that may wait to be sent to a peer in `Profile.LIMITED_QUEUES`."""
TIMEOUT = 1.0
"""Seconds of silence after which a peer is lost in `Profile.SHORT_TIMEOUTS` and `Profile.RESTLESS`."""


class Profile(StrEnum):
    """How the subject is configured for a case."""

    DEFAULT = "default"
    """Time-outs longer than any case, and no rebalancing."""
    SHORT_TIMEOUTS = "short time-outs"
    """Workers and clients are lost after `TIMEOUT` of silence. No rebalancing."""
    REBALANCING = "rebalancing"
    """Rebalancing as often as the subject can. Long time-outs."""
    RESTLESS = "short time-outs and rebalancing"
    """Both."""
    CLOSABLE = "closable"
    """As the default, and any client may shut the cluster down."""
    PROTECTED = "protected"
    """As the default, and no client may shut the cluster down."""
    LIMITED = "limited"
    """As the default, and each client may hold `LIMIT` tasks; as many clients, and workers, may be there."""
    LIMITED_BYTES = "limited bytes"
    """As the default, and each client's tasks may take `LIMIT_BYTES`."""
    LIMITED_PLACES = "limited places"
    """As the default, and each worker may have `LIMIT_PLACES` tasks, whatever its queueSize."""
    LIMITED_QUEUES = "limited queues"
    """As the default, and `LIMIT_QUEUE` messages may wait to be sent to a peer."""
    DRAINING = "draining"
    """As the default, and when it is asked to shut down it drains first, for longer than any case."""


SHORT_PROFILES = (Profile.SHORT_TIMEOUTS, Profile.RESTLESS)
"""Those in which a peer that is silent for `TIMEOUT` is lost."""


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
    play: Callable[[Any], None]
    """Takes the world of its role: `World`, `ClientWorld` or `WorkerWorld`."""
    role: str = "scheduler"
    """The role under test: "scheduler", "client" or "worker"."""
    tags: frozenset[str] = frozenset()
    """Its module, its profile, and what else it may be chosen by."""

    @property
    def sort_key(self) -> tuple[tuple[str, tuple[int, ...]], str]:
        """The order of a run: by the first requirement, then by name."""
        first = self.requirements[0]
        return (first[0], tuple(int(part) for part in first[1:].split("."))), self.name


ROLES = ("scheduler", "client", "worker")

_registry: dict[tuple[str, str], Case] = {}


def case(
    *requirements: str, title: str, profile: Profile = Profile.DEFAULT, field_bugs: tuple[int, ...] = ()
) -> Callable[[Callable[[WorldOfRole], None]], Callable[[WorldOfRole], None]]:
    """Register a function as a case that checks these requirements; its docstring tells the race.

    Its role is the package in `cases` that it stands in. Each requirement declared must be checked on
    every path that ends without a departure. `field_bugs` are numbers of SPEC.md's section 16.
    """

    def register(play: Callable[[WorldOfRole], None]) -> Callable[[WorldOfRole], None]:
        role, module = play.__module__.split(".")[-2:]
        name = f"{module}.{play.__name__}".replace("_", "-")
        tags = frozenset({module.replace("_", "-"), *(f"field-bug-{number}" for number in field_bugs)})
        story = inspect.getdoc(play)
        if not requirements or not story:
            raise ValueError(f"the case {name} needs requirement ids and a docstring that tells the race")
        if (role, name) in _registry:
            raise ValueError(f"two cases for a {role} are named {name}")
        _registry[role, name] = Case(name, title, story, requirements, profile, play, role, tags)
        return play

    return register


def all_cases(role: str = "scheduler") -> list[Case]:
    """Every case of a role, in the order in which they run."""
    package = importlib.import_module(f"rescind_conformance.cases.{role}")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
    return sorted((one for one in _registry.values() if one.role == role), key=lambda one: one.sort_key)
