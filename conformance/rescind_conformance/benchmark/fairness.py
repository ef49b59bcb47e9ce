"""One client sends a flood in one go, another cancels a single task: how long does that wait?

There is no worker, so that nothing but the scheduler answers. The forwarder, which holds no tasks, has no part in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rescind_conformance.benchmark.contestants import Running
from rescind_conformance.benchmark.driver import playing
from rescind_conformance.benchmark.rounds import Plan
from rescind_conformance.benchmark.statistics import percentile

_MANY = 1_000_000
_LONG_SECONDS = 600.0


def measure_fairness(running: Running, folder: Path, plan: Plan, on_step: Callable[[str], None]) -> dict[str, float]:
    """Round trips of single cancels, alone and while another client's flood is handled; the figures by their keys.

    Raises `BenchmarkFailed`.
    """
    with playing(running, folder, plan.silence) as cast:
        probe, flooder = cast.client("probe"), cast.client("flooder")
        on_step("a single cancel, alone")
        alone = probe.ask("round trips", count=plan.round_trips, seconds=plan.round_trip_seconds)
        on_step(f"a single cancel, while {plan.burst:,} tasks of another client arrive")
        probe.tell("round trips until told", count=_MANY, seconds=_LONG_SECONDS)
        probe.hear()  # it has begun
        flood = flooder.ask("fill", tasks=plan.burst, batch=plan.burst)
        probe.tell("end")
        during = _within(probe.hear(), flood)
    quiet = [each / 1e6 for each in alone["nanoseconds"]]
    return {
        "alone_p50": percentile(quiet, 50),
        "alone_p99": percentile(quiet, 99),
        "burst_p50": percentile(during, 50),
        "burst_p99": percentile(during, 99),
        "burst_longest": max(during),
        "burst_round_trips": len(during),
    }


def _within(found: Mapping[str, Any], flood: Mapping[str, int]) -> list[float]:
    """Milliseconds of the round trips that overlapped the flood."""
    return [
        each / 1e6
        for sent, each in zip(found["sent"], found["nanoseconds"], strict=True)
        if sent <= flood["ended"] and sent + each >= flood["began"]
    ]
