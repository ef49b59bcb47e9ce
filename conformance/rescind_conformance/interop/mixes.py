"""The mixes: which kind each party is of, and where payloads are kept."""

from __future__ import annotations

import fnmatch
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """Whose party it is."""

    REFERENCE = "ref"
    SCALER = "scaler"


@dataclass(frozen=True, slots=True)
class Mix:
    """One system."""

    client: Kind
    scheduler: Kind
    worker: Kind
    scaler_storage: bool = True
    """Whether payloads are in Scaler's object storage server; otherwise in this project's own store."""

    @property
    def name(self) -> str:
        """`client/scheduler/worker`; `+storage` where Scaler's storage is a choice, and was chosen."""
        added = "+storage" if self.scaler_storage and self.all_ours else ""
        return f"{self.client}/{self.scheduler}/{self.worker}{added}"

    @property
    def all_ours(self) -> bool:
        """Whether no party is Scaler's."""
        return Kind.SCALER not in (self.client, self.scheduler, self.worker)

    @property
    def all_scaler(self) -> bool:
        """Whether no party is ours."""
        return Kind.REFERENCE not in (self.client, self.scheduler, self.worker)

    @property
    def ours_keep_house(self) -> bool:
        """Whether scheduler and worker are ours, so that nothing may stay in the storage."""
        return Kind.SCALER not in (self.scheduler, self.worker)

    @property
    def needs_scaler(self) -> bool:
        """Whether the package opengris-scaler has to be installed."""
        return self.scaler_storage or not self.all_ours


def all_mixes() -> list[Mix]:
    """Each kind in each role, and the one that is all ours with either store."""
    mixes = [Mix(*kinds) for kinds in itertools.product(Kind, Kind, Kind)]
    return [Mix(Kind.REFERENCE, Kind.REFERENCE, Kind.REFERENCE, scaler_storage=False), *mixes]


def select_mixes(globs: Sequence[str]) -> list[Mix]:
    """The mixes whose name matches one of the globs; all without one."""
    return [mix for mix in all_mixes() if not globs or any(fnmatch.fnmatchcase(mix.name, glob) for glob in globs)]
