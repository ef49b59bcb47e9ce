"""Whether memory stays where it is, judged from samples."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_PARTS: Final = 5
"""The samples are cut in so many parts of one length. The first is the warm-up: caches fill, and pools grow."""
_LEAST: Final = 8
"""Fewer samples than this say nothing."""
TOLERATED_BYTES: Final = 4 * 1024 * 1024
TOLERATED_SHARE: Final = 0.05


@dataclass(frozen=True, slots=True)
class Flatness:
    """What samples of memory, taken at equal distances, say. All in bytes."""

    warm: int
    """The median after the warm-up: of the second part."""
    last: int
    """The median of the last part."""
    most: int

    @property
    def grown(self) -> int:
        return self.last - self.warm

    @property
    def is_flat(self) -> bool:
        """Whether what was added since the warm-up is no more than what memory moves by anyway."""
        return self.grown <= max(TOLERATED_BYTES, TOLERATED_SHARE * self.warm)


def judge_flatness(samples: Sequence[int]) -> Flatness:
    """Raises `ValueError` of too few samples."""
    if len(samples) < _LEAST:
        raise ValueError(f"{len(samples)} samples of memory; at least {_LEAST} are needed")
    size = len(samples) // _PARTS
    parts = [samples[at * size : (at + 1) * size] for at in range(1, _PARTS - 1)]
    warm, last = parts[0], samples[(_PARTS - 1) * size :]
    return Flatness(int(statistics.median(warm)), int(statistics.median(last)), max(samples))
