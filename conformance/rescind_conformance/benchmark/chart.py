"""The chart of what was measured, as SVG. Needs matplotlib; without it there is no chart, and nothing else is amiss."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FILE = "benchmark.svg"
NO_CHART = "No chart: pip install 'rescind[benchmark]' for matplotlib"
_COLOURS = ("#2a6f97", "#c8553d", "#8a8a8a", "#588157")
_ROUND_TRIPS = {
    "idle_p50": "idle, p50",
    "idle_p99": "idle, p99",
    "load_p50": "load, p50",
    "load_p99": "load, p99",
}


def draw(content: Mapping[str, Any], directory: Path) -> Path | None:
    """Draw the parts that are there; None without matplotlib. Raises `OSError`."""
    try:
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure
    except ImportError:
        return None
    panels = [(name, panel) for name, panel in _PANELS if name in content]
    figure = Figure(figsize=(4.6 * len(panels), 3.6), layout="constrained")
    FigureCanvasSVG(figure)
    for number, (name, panel) in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), number + 1)
        axes.spines[["top", "right"]].set_visible(False)
        panel(axes, content[name])
    path = directory / FILE
    figure.savefig(path, metadata={"Date": None})
    return path


def _cpu(axes: Any, part: Mapping[str, Any]) -> None:
    keys = {"task_cpu": "a task", "cancel_cpu": "a cancel round"}
    _bars(axes, part, keys)
    axes.set_title("Scheduler CPU time, µs")


def _round_trips(axes: Any, part: Mapping[str, Any]) -> None:
    _bars(axes, part, _ROUND_TRIPS)
    axes.set_title("Round trip of a cancel, ms")


def _bars(axes: Any, part: Mapping[str, Any], keys: Mapping[str, str]) -> None:
    """Groups of bars, a colour a subject, with the spread."""
    subjects = part["subjects"]
    width = 0.8 / len(subjects)
    for place, (subject, found) in enumerate(subjects.items()):
        at = [number + (place - (len(subjects) - 1) / 2) * width for number, key in enumerate(keys) if key in found]
        figures = [found[key] for key in keys if key in found]
        medians = [one["median"] for one in figures]
        errors = [[one["median"] - one["low"] for one in figures], [one["high"] - one["median"] for one in figures]]
        colour = _COLOURS[place % len(_COLOURS)]
        bars = axes.bar(at, medians, width, label=subject, color=colour, yerr=errors, ecolor="#00000066")
        axes.bar_label(bars, [f"{value:,.3g}" for value in medians], padding=2, fontsize=8)
    axes.set_xticks(range(len(keys)), list(keys.values()))
    axes.set_yscale("log")
    axes.legend(frameon=False, fontsize=8)


def _held(axes: Any, part: Mapping[str, Any]) -> None:
    """Lines: the cost of a cancel over the number of tasks held."""
    found: dict[tuple[str, str], dict[int, list[float]]] = {}
    for one in part["measurements"]:
        line = found.setdefault((one["subject"], one["where"]), {})
        line.setdefault(one["tasks"], []).append(one["cancel_microseconds"])
    colours = dict(zip(part["versions"], _COLOURS, strict=False))
    for (subject, where), points in found.items():
        style = "-" if where == "dispatched" else "--"
        values = [statistics.median(values) for values in points.values()]
        colour = colours.get(subject, "black")
        axes.plot(list(points), values, style, marker="o", label=f"{subject}, {where}", color=colour)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("tasks held")
    axes.set_title("CPU time of one cancel, µs")
    axes.legend(frameon=False, fontsize=8)


def _system(axes: Any, part: Mapping[str, Any]) -> None:
    _bars(axes, part, {"many_seconds": "run all", "queued_seconds": "cancel half,\nrun the rest"})
    axes.set_title(f"{part['settings']['tasks']:,} tasks in whole systems, s")


_PANELS = (("scheduler", _cpu), ("scheduler", _round_trips), ("held", _held), ("system", _system))
