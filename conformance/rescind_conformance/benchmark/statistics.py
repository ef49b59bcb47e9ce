"""Medians, spread, percentiles, ratios within a round, and slopes. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spread:
    """What several rounds found."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """The median, the least and the greatest. Raises `ValueError` of nothing."""
        if not values:
            raise ValueError("no values")
        return cls(statistics.median(values), min(values), max(values))


def ratio(values: Sequence[float], others: Sequence[float]) -> Spread:
    """How many times the others' the values are, round by round: what slows a whole round down cancels out.

    Raises `ValueError` unless there is one of each for every round.
    """
    return Spread.of([one / other for one, other in zip(values, others, strict=True)])


def percentile(values: Sequence[float], percent: float) -> float:
    """The least value that so many percent of the values do not exceed. Raises `ValueError` of nothing."""
    if not values:
        raise ValueError("no values")
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]


def slope(points: Sequence[tuple[float, float]]) -> float:
    """How `y` grows with `x`: the least-squares slope of log y over log x; 1 is linear, 2 quadratic.

    Raises `ValueError` unless there are two different `x`, all of them positive.
    """
    xs = [math.log(x) for x, _ in points]
    ys = [math.log(y) for _, y in points]
    if len(set(xs)) < 2:
        raise ValueError("a slope needs two points")
    mean_x, mean_y = statistics.fmean(xs), statistics.fmean(ys)
    return sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / sum((x - mean_x) ** 2 for x in xs)
