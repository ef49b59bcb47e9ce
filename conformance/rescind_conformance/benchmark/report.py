"""What a benchmark says: a table, and a JSON document."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from rescind_conformance.benchmark.measures import MEASURES, Measure, Results
from rescind_conformance.benchmark.statistics import Spread, ratio
from rescind_conformance.subjects import version_of

FILE = "benchmark.json"
FORMAT = 1
"""Of that file."""
_PACKAGES = ("rescind", "opengris-scaler", "distributed", "pyzmq", "pycapnp")


def table(results: Results, measures: Sequence[Measure] = MEASURES, *, title: str = "") -> Table:
    """A row a measure: each subject's median and spread, and the first subject's ratio to each other."""
    subjects = list(results.values)
    first, *others = subjects
    shown = Table(
        "median (least-greatest)", "unit", *subjects, *(f"{first} / {other}" for other in others), title=title or None
    )
    for column in shown.columns[1:]:
        column.justify = "right"
    for measure in measures:
        if not any(results.of(subject, measure.key) for subject in subjects):
            continue
        cells = [_cell(results.of(subject, measure.key), measure) for subject in subjects]
        ratios = [_ratio_cell(results, measure, first, other) for other in others]
        shown.add_row(measure.title, measure.unit, *cells, *ratios)
    return shown


def part(
    command: str, settings: Mapping[str, Any], versions: Mapping[str, str], figures: Mapping[str, Any]
) -> dict[str, Any]:
    """A part of the benchmark as JSON: how it was run, on what, and its figures."""
    return {
        "command": command,
        "settings": dict(settings),
        "versions": dict(versions),
        "machine": {
            "processors": os.cpu_count(),
            "processor": _processor(),
            "system": platform.platform(),
            "python": platform.python_version(),
            "packages": {name: found for name in _PACKAGES if (found := version_of(name))},
        },
        **figures,
    }


def write_part(path: Path, name: str, content: Mapping[str, Any]) -> dict[str, Any]:
    """Put a part into the file, beside what is there of others; returns all of it.

    Raises `OSError`, and `ValueError` if what is there is something else.
    """
    whole: dict[str, Any] = {"format": FORMAT}
    if path.exists():
        whole = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(whole, dict) or whole.get("format") != FORMAT:
            raise ValueError(f"its format is not {FORMAT}")
    whole[name] = dict(content)
    path.write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")
    return whole


def results_as_json(results: Results, measures: Sequence[Measure] = MEASURES) -> dict[str, Any]:
    """Figures by subject and measure: the median, the spread, each round's, and the first subject's ratios."""
    subjects = list(results.values)
    first, *others = subjects
    return {
        "units": {one.key: one.unit for one in measures},
        "subjects": {
            subject: {key: {**_spread(Spread.of(values)), "rounds": values} for key, values in found.items()}
            for subject, found in results.values.items()
        },
        "ratios": {
            f"{first} / {other}": {
                measure.key: _spread(found)
                for measure in measures
                if (found := ratio_of(results, measure, first, other)) is not None
            }
            for other in others
        },
    }


def ratio_of(results: Results, measure: Measure, subject: str, other: str) -> Spread | None:
    """How many times the other's a subject's figure is, round by round; None if it was not measured of both."""
    values, others = results.of(subject, measure.key), results.of(other, measure.key)
    if not values or len(values) != len(others) or not all(others):
        return None
    return ratio(values, others)


def ratio_text(value: float) -> str:
    """A ratio with the digits that it needs."""
    return f"{value:.2f}" if value >= 0.1 or value == 0 else f"{value:.2g}"


def _cell(values: Sequence[float], measure: Measure) -> str:
    if not values:
        return "-"
    spread = Spread.of(values)
    median, low, high = (f"{value:,.{measure.digits}f}" for value in (spread.median, spread.low, spread.high))
    return median if low == high else f"{median} [dim]({low}-{high})[/]"


def _ratio_cell(results: Results, measure: Measure, subject: str, other: str) -> str:
    found = ratio_of(results, measure, subject, other)
    if found is None:
        return "-"
    median, low, high = (ratio_text(value) for value in (found.median, found.low, found.high))
    return median if low == high else f"{median} [dim]({low}-{high})[/]"


def _spread(spread: Spread) -> dict[str, float]:
    return {"median": spread.median, "low": spread.low, "high": spread.high}


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor()
