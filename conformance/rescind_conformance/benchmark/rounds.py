"""One round of one scheduler: tasks, cancels, and round trips, idle and under load."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rescind_conformance.benchmark.contestants import Running
from rescind_conformance.benchmark.driver import BenchmarkFailed, Peer, playing
from rescind_conformance.benchmark.process_use import CpuTime, cpu_time
from rescind_conformance.benchmark.statistics import percentile

_WARM_UP = 500
"""Tasks that are run, and cancelled, before anything is counted."""
FILL_BATCH = 1000
"""Tasks sent between two fences where many are to be kept."""
_PERCENTS = (50, 99, 99.9)


@dataclass(frozen=True)
class Plan:
    """How much is done in a round."""

    tasks: int = 10_000
    """Run, and again as many cancelled."""
    window: int = 1000
    """On their way at once."""
    workers: int = 4
    rate: float = 1000.0
    """Tasks a second that another client submits where there is load: the same for every subject."""
    burst: int = 20_000
    """Tasks that a client sends in one go where fairness is measured."""
    round_trips: int = 1000
    round_trip_seconds: float = 5.0
    """After which a series of round trips ends, complete or not."""
    silence: float = 60.0
    """Seconds after which a subject that does not answer is given up."""


def measure_round(running: Running, folder: Path, plan: Plan, on_step: Callable[[str], None]) -> dict[str, float]:
    """Measure a scheduler that serves and is idle; the figures by their keys.

    `folder` takes the logs of the played peers; `on_step` hears what is done next. Raises `BenchmarkFailed` if a task
    does not get exactly one answer, the right one, or a cancel does not reach its worker.
    """
    found: dict[str, float] = {} if running.start_seconds is None else {"start": running.start_seconds}
    with playing(running, folder, plan.silence) as cast:
        workers = cast.workers(plan.workers, 2 * plan.tasks + plan.window)
        client = cast.client()
        on_step("warm-up")
        client.ask("submit", tasks=_WARM_UP, window=plan.window)
        client.ask("fill", tasks=_WARM_UP, batch=_WARM_UP)
        client.ask("cancel", tasks=_WARM_UP, window=plan.window)
        on_step(f"{plan.tasks:,} tasks")
        found |= _rate("task", running.pid, client, workers, "submit", plan)
        client.ask("fill", tasks=plan.tasks, batch=FILL_BATCH)
        on_step(f"{plan.tasks:,} cancels")
        found |= _rate("cancel", running.pid, client, workers, "cancel", plan)
        on_step("round trips, idle")
        probe = cast.client("probe")
        before = _cpu(running.pid)
        idle = _round_trips(probe, plan)
        after = _cpu(running.pid)
        if before is not None and after is not None:
            found["idle_cpu"] = (after - before).total / len(idle) * 1e6
        found |= _percentiles("idle", idle)
        on_step("round trips, under load")
        loaded, load = _round_trips_during(probe, client, plan, "paced", per_second=plan.rate)
        found |= _percentiles("load", loaded)
        on_step("round trips, in a flood")
        flooded, flood = _round_trips_during(probe, client, plan, "flood", window=plan.window)
        found |= _percentiles("flood", flooded)
        found["flood_tasks_per_second"] = flood["answers"] / flood["seconds"]
        _check(workers, plan, load["answers"] + flood["answers"], len(idle) + len(loaded) + len(flooded))
    return found


def _rate(what: str, pid: int | None, client: Peer, workers: Peer, order: str, plan: Plan) -> dict[str, float]:
    """How fast an order is done, and what it costs the scheduler, and the driver."""
    before = _cpu(pid), client.cpu(), workers.cpu()
    done = client.ask(order, tasks=plan.tasks, window=plan.window)
    after = _cpu(pid), client.cpu(), workers.cpu()
    number, seconds = done["answers"], done["seconds"]
    driver = [after[1] - before[1], after[2] - before[2]]
    found = {
        f"{what}s_per_second": number / seconds,
        f"{what}_driver_cpu": sum(one.total for one in driver) / number * 1e6,
        f"{what}_driver_share": max(one.main for one in driver) / seconds * 100,
    }
    if before[0] is not None and after[0] is not None:
        used = after[0] - before[0]
        found[f"{what}_cpu"] = used.total / number * 1e6
        found[f"{what}_main_cpu"] = used.main / number * 1e6
    return found


def _round_trips(probe: Peer, plan: Plan) -> list[float]:
    """Milliseconds from a cancel to its answer, one at a time."""
    answer = probe.ask("round trips", count=plan.round_trips, seconds=plan.round_trip_seconds)
    return [each / 1e6 for each in answer["nanoseconds"]]


def _round_trips_during(
    probe: Peer, client: Peer, plan: Plan, order: str, **arguments: float
) -> tuple[list[float], dict[str, Any]]:
    """Round trips while another client carries out an order; and what came of that."""
    client.tell(order, **arguments)
    found = _round_trips(probe, plan)
    client.tell("end")
    return found, client.hear()


def _percentiles(what: str, milliseconds: list[float]) -> dict[str, float]:
    return {f"{what}_p{percent}": percentile(milliseconds, percent) for percent in _PERCENTS}


def _check(workers: Peer, plan: Plan, flooded: int, round_trips: int) -> None:
    """Each task was run, or given up, by a worker: a scheduler that answers by itself does something else."""
    counts = workers.ask("counts")
    expected = {
        "ran": _WARM_UP + plan.tasks + flooded,
        "gave_up": _WARM_UP + plan.tasks + round_trips,
        "held": 0,
    }
    wrong = [
        f"{name}: {counts[name]:,} instead of {number:,}" for name, number in expected.items() if counts[name] != number
    ]
    if wrong:
        raise BenchmarkFailed(f"the workers did something else than what was asked for: {'; '.join(wrong)}")


def _cpu(pid: int | None) -> CpuTime | None:
    return None if pid is None else cpu_time(pid)
