"""The chart of what was measured, as SVG. Needs matplotlib; without it there is no chart, and nothing else is amiss."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE = "benchmark.svg"
NO_CHART = "No chart: pip install 'rescind[benchmark]' for matplotlib"
_COLOURS = {"reference": "#2a6f97", "opengris-scaler": "#c8553d", "forwarder": "#8a8a8a", "dask": "#588157"}
_OTHER_COLOUR = "#222222"
_COLUMNS = 2


def draw(content: Mapping[str, Any], directory: Path) -> Path | None:
    """Draw what is there of the parts; None without matplotlib. Raises `OSError`."""
    try:
        from matplotlib import rc_context
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure
    except ImportError:
        return None
    panels = [(panel, content[name]) for name, panel in _PANELS if name in content and panel.fits(content[name])]
    rows = math.ceil(len(panels) / _COLUMNS)
    figure = Figure(figsize=(5.0 * _COLUMNS, 3.4 * max(1, rows)), layout="constrained")
    FigureCanvasSVG(figure)
    for number, (panel, part) in enumerate(panels):
        axes = figure.add_subplot(rows, _COLUMNS, number + 1)
        axes.spines[["top", "right"]].set_visible(False)
        panel.draw(axes, part)
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("")
    path = directory / FILE
    # Text stays text, and the same figures give the same file.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": FILE}):
        figure.savefig(path, metadata={"Date": None})
    return path


@dataclass(frozen=True)
class _Bars:
    """Groups of bars, a colour a subject, with the spread."""

    title: str
    keys: Mapping[str, str]
    """What is drawn, and what stands below it."""

    def fits(self, part: Mapping[str, Any]) -> bool:
        """Whether there is anything to draw."""
        return any(key in found for found in part["subjects"].values() for key in self.keys)

    def draw(self, axes: Any, part: Mapping[str, Any]) -> None:
        """Draw it."""
        subjects = part["subjects"]
        width = 0.8 / len(subjects)
        for place, (subject, found) in enumerate(subjects.items()):
            shift = (place - (len(subjects) - 1) / 2) * width
            at = [number + shift for number, key in enumerate(self.keys) if key in found]
            figures = [found[key] for key in self.keys if key in found]
            medians = [one["median"] for one in figures]
            errors = [[one["median"] - one["low"] for one in figures], [one["high"] - one["median"] for one in figures]]
            colour = _COLOURS.get(subject, _OTHER_COLOUR)
            bars = axes.bar(at, medians, width, label=subject, color=colour, yerr=errors, ecolor="#00000066")
            axes.bar_label(bars, [f"{value:,.3g}" for value in medians], padding=2, fontsize=8)
        axes.set_xticks(range(len(self.keys)), list(self.keys.values()))
        axes.set_yscale("log")
        axes.set_title(self.title)
        axes.legend(frameon=False, fontsize=8)


class _Lines:
    """The cost of a cancel over the number of tasks held."""

    def fits(self, part: Mapping[str, Any]) -> bool:
        """Whether there is anything to draw."""
        return bool(part["measurements"])

    def draw(self, axes: Any, part: Mapping[str, Any]) -> None:
        """Draw it."""
        found: dict[tuple[str, str], dict[int, list[float]]] = {}
        for one in part["measurements"]:
            line = found.setdefault((one["subject"], one["where"]), {})
            line.setdefault(one["tasks"], []).append(one["cancel_microseconds"])
        for (subject, where), points in found.items():
            style = "-" if where == "dispatched" else "--"
            values = [statistics.median(values) for values in points.values()]
            colour = _COLOURS.get(subject, _OTHER_COLOUR)
            axes.plot(list(points), values, style, marker="o", label=f"{subject}, {where}", color=colour)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("tasks held")
        axes.set_title("Scheduler CPU of one cancel, µs")
        axes.legend(frameon=False, fontsize=8)


_PANELS: tuple[tuple[str, _Bars | _Lines], ...] = (
    ("scheduler", _Bars("Scheduler CPU, µs", {"task_cpu": "a task", "cancel_cpu": "a cancel round"})),
    (
        "scheduler",
        _Bars(
            "Round trip of a cancel, ms",
            {"idle_p50": "idle, p50", "idle_p99": "idle, p99", "load_p50": "load, p50", "load_p99": "load, p99"},
        ),
    ),
    ("held", _Lines()),
    (
        "system",
        _Bars(
            "The same job in whole systems, s",
            {"many_seconds": "run all", "queued_seconds": "cancel half,\nrun the rest"},
        ),
    ),
)
