"""The figures of a run as Markdown, for a README: what stands there can be made again by the command beside it."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rescind_conformance.benchmark.report import ratio_text

FILE = "benchmark.md"
_SCHEDULER = {
    "task_cpu": ("scheduler CPU a task, µs", 1),
    "cancel_cpu": ("scheduler CPU a cancel, µs", 1),
    "tasks_per_second": ("tasks a second", 0),
    "cancels_per_second": ("cancels a second", 0),
    "idle_p50": ("round trip of a cancel, idle, p50, ms", 2),
    "idle_p99": ("p99", 2),
    "load_p50": ("under load, p50", 2),
    "load_p99": ("p99", 2),
    "flood_p50": ("in a flood, p50", 2),
    "flood_p99": ("p99", 2),
    "burst_p50": ("of a waiting task, while a burst of another client arrives, p50", 2),
    "burst_p99": ("p99", 2),
    "start": ("start-up, s", 2),
}
_SYSTEM = {
    "many_seconds": ("run all, s", 2),
    "queued_seconds": ("cancel half while it waits and run the rest, s", 2),
    "alone_milliseconds": ("one task after the other, each, ms", 2),
    "chunk_calls": ("map, 100 calls a task, calls/s", 0),
    "grown_bytes": ("client's memory grows by, a finished task, bytes", 0),
    "queued_ran": ("cancelled, and ran all the same", 0),
    "running_milliseconds": ("cancel a task that runs, ms", 1),
}


def markdown(whole: Mapping[str, Any]) -> str:
    """The parts that are there, each with its command and machine."""
    parts = {"scheduler": _scheduler, "held": _held, "system": _system}
    return "\n".join(
        "\n".join([*_origin(whole[name]), "", *make(whole[name]), ""]) for name, make in parts.items() if name in whole
    )


def _origin(part: Mapping[str, Any]) -> list[str]:
    machine = part["machine"]
    versions = ", ".join(f"{name} {version}".strip() for name, version in part["versions"].items())
    return [
        f"`{part['command']}` on {machine['processors']} processors ({machine['processor']}), "
        f"Python {machine['python']}: {versions}."
    ]


def _scheduler(part: Mapping[str, Any]) -> list[str]:
    return _figures(part, _SCHEDULER)


def _system(part: Mapping[str, Any]) -> list[str]:
    return _figures(part, _SYSTEM)


def _figures(part: Mapping[str, Any], shown: Mapping[str, tuple[str, int]]) -> list[str]:
    """A row a measure: each subject's median, and the first one's ratio to each other, with its spread."""
    subjects, ratios = part["subjects"], part["ratios"]
    rows = []
    for key, (title, digits) in shown.items():
        if not any(key in found for found in subjects.values()):
            continue
        medians = [f"{found[key]['median']:,.{digits}f}" if key in found else "-" for found in subjects.values()]
        rows.append([title, *medians, *(_ratio(found.get(key)) for found in ratios.values())])
    return _table(["", *subjects, *ratios], rows)


def _ratio(spread: Mapping[str, float] | None) -> str:
    if spread is None:
        return "-"
    median, low, high = (ratio_text(spread[name]) for name in ("median", "low", "high"))
    return median if low == high else f"{median} ({low}-{high})"


def _held(part: Mapping[str, Any]) -> list[str]:
    """A row a state and size, a column a figure and subject; the slope below each group."""
    found = part["measurements"]
    slopes = {(one["subject"], one["where"]): one["slope"] for one in part["slopes"]}
    names = list(dict.fromkeys(one["subject"] for one in found))
    rows = []
    for where in dict.fromkeys(one["where"] for one in found):
        groups = [[one for one in found if (one["subject"], one["where"]) == (name, where)] for name in names]
        for size in sorted({one["tasks"] for one in found if one["where"] == where}):
            cells = [_median(of, size, "own_bytes", 0) for of in groups]
            cells += [_median(of, size, "cancel_microseconds", 1) for of in groups]
            rows.append([f"{size:,} tasks {where}", *cells])
        growth = [slopes.get((name, where)) for name in names]
        rows.append(["slope", *("" for _ in names), *("-" if one is None else f"{one:.2f}" for one in growth)])
    return _table(["", *(f"bytes a task, {name}" for name in names), *(f"µs a cancel, {name}" for name in names)], rows)


def _median(found: Sequence[Mapping[str, Any]], size: int, key: str, digits: int) -> str:
    values = [one[key] for one in found if one["tasks"] == size]
    return f"{statistics.median(values):,.{digits}f}" if values else "-"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    rule = ["---", *("--:" for _ in heads[1:])]
    return [f"| {' | '.join(cells)} |" for cells in (heads, rule, *rows)]
