"""The mixes: which kind each party is of, and where payloads are kept."""

from __future__ import annotations

import fnmatch
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """Whose party it is."""

    REFERENCE = "ref"
    SCALER = "scaler"
    CPP = "cpp"
    TYPESCRIPT = "ts"


PYTHON: Final = (Kind.REFERENCE, Kind.SCALER)
"""Those whose payloads are pickles in one store: the client of one and the worker of the other understand them."""
PEERS: Final = (Kind.CPP, Kind.TYPESCRIPT)
"""The peers in other languages, which have to be built."""
PAYLOADS: Final[Mapping[Kind, str]] = {
    Kind.REFERENCE: "pickles",
    Kind.SCALER: "pickles",
    Kind.CPP: "texts in a directory",
    Kind.TYPESCRIPT: "JSON objects in a folder",
}
"""The format in which its clients and workers keep functions, arguments and results."""


class Part(StrEnum):
    """A table of its own in the matrix; the text is its title."""

    PYTHON = "The reference and Scaler"
    FOREIGN_SCHEDULER = "Schedulers in C++ and TypeScript, with clients and workers of the reference and Scaler"
    FOREIGN_ENDS = "Clients with their workers in C++ and TypeScript, on each scheduler"


@dataclass(frozen=True, slots=True)
class Mix:
    """One system."""

    client: Kind
    scheduler: Kind
    worker: Kind
    scaler_storage: bool = True
    """Whether Scaler's object storage server runs; otherwise payloads are in this project's own store, or in files."""

    @property
    def name(self) -> str:
        """`client/scheduler/worker`; `+storage` where Scaler's storage is a choice, and was chosen."""
        added = "+storage" if self.scaler_storage and self.all_ours else ""
        return f"{self.client}/{self.scheduler}/{self.worker}{added}"

    @property
    def kinds(self) -> set[Kind]:
        """Those that take part."""
        return {self.client, self.scheduler, self.worker}

    @property
    def part(self) -> Part:
        """The table in which it stands."""
        if self.client in PEERS:
            return Part.FOREIGN_ENDS
        return Part.FOREIGN_SCHEDULER if self.scheduler in PEERS else Part.PYTHON

    @property
    def all_ours(self) -> bool:
        """Whether each party is the reference's."""
        return self.kinds == {Kind.REFERENCE}

    @property
    def all_scaler(self) -> bool:
        """Whether each party is Scaler's."""
        return self.kinds == {Kind.SCALER}

    @property
    def ours_keep_house(self) -> bool:
        """Whether scheduler and worker are the reference's, so that nothing may stay in the storage."""
        return self.scheduler is Kind.REFERENCE and self.worker is Kind.REFERENCE

    @property
    def needs_scaler(self) -> bool:
        """Whether the package opengris-scaler has to be installed."""
        return self.scaler_storage or Kind.SCALER in self.kinds

    @property
    def slow(self) -> bool:
        """Whether it is left out of a quick run, for which one of each peer's schedulers and two of its clients do."""
        match self.part:
            case Part.FOREIGN_SCHEDULER:  # Scaler's workers take seconds for each cancel with force
                return (self.client, self.worker) != (Kind.SCALER, Kind.REFERENCE)
            case Part.FOREIGN_ENDS:  # of Scaler's scheduler some answers are waited for in vain
                return self.scheduler in (Kind.SCALER, self.client)
            case _:
                return False


def all_mixes() -> list[Mix]:
    """Every mix in which the client and the worker understand one another's payloads, part by part."""
    own_store = Mix(Kind.REFERENCE, Kind.REFERENCE, Kind.REFERENCE, scaler_storage=False)
    python = [Mix(*kinds) for kinds in itertools.product(PYTHON, PYTHON, PYTHON)]
    foreign_scheduler = [Mix(client, one, worker) for one, client, worker in itertools.product(PEERS, PYTHON, PYTHON)]
    foreign_ends = [
        Mix(one, scheduler, one, scaler_storage=scheduler is Kind.SCALER)
        for one, scheduler in itertools.product(PEERS, Kind)
    ]
    return [own_store, *python, *foreign_scheduler, *foreign_ends]


def select_mixes(globs: Sequence[str], *, quick: bool = False) -> list[Mix]:
    """Those whose name matches one of the globs; all without one, or all but the slow ones."""
    if not globs:
        return [mix for mix in all_mixes() if not (quick and mix.slow)]
    return [mix for mix in all_mixes() if any(fnmatch.fnmatchcase(mix.name, glob) for glob in globs)]


def not_offered() -> list[str]:
    """The mixes that there are not, as globs, each with the reason."""
    offered = {(mix.client, mix.worker) for mix in all_mixes()}
    return [
        f"{client}/*/{worker}: {PAYLOADS[client]} of the client, {PAYLOADS[worker]} of the worker"
        for client, worker in itertools.product(Kind, Kind)
        if (client, worker) not in offered
    ]
