"""What is measured: names, units, and how figures are shown. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Measure:
    """One figure of a subject."""

    key: str
    """In results and JSON."""
    title: str
    unit: str
    digits: int = 1
    """After the point, where it is shown."""
    more_is_better: bool = False


TASK_CPU = Measure("task_cpu", "scheduler CPU a task", "µs")
CANCEL_CPU = Measure("cancel_cpu", "scheduler CPU a cancel", "µs")
IDLE_P50 = Measure("idle_p50", "cancel, idle, p50", "ms", 3)
LOAD_P50 = Measure("load_p50", "cancel, under load, p50", "ms", 3)
MEASURES = (
    Measure("start", "start-up", "s", 2),
    Measure("tasks_per_second", "tasks", "/s", 0, more_is_better=True),
    Measure("cancels_per_second", "cancels", "/s", 0, more_is_better=True),
    TASK_CPU,
    Measure("task_main_cpu", "  main thread", "µs"),
    CANCEL_CPU,
    Measure("cancel_main_cpu", "  main thread", "µs"),
    Measure("idle_cpu", "CPU of a lone task and cancel", "µs"),
    IDLE_P50,
    Measure("idle_p99", "  p99", "ms", 3),
    Measure("idle_p99.9", "  p99.9", "ms", 3),
    LOAD_P50,
    Measure("load_p99", "  p99", "ms", 3),
    Measure("load_p99.9", "  p99.9", "ms", 3),
    Measure("flood_p50", "cancel, in a flood, p50", "ms", 3),
    Measure("flood_p99", "  p99", "ms", 3),
    Measure("flood_p99.9", "  p99.9", "ms", 3),
    Measure("flood_tasks_per_second", "  tasks meanwhile", "/s", 0, more_is_better=True),
    Measure("alone_p50", "waiting task's, idle, p50", "ms", 3),
    Measure("alone_p99", "  p99", "ms", 3),
    Measure("burst_p50", "  in another's burst, p50", "ms", 3),
    Measure("burst_p99", "  p99", "ms", 3),
    Measure("burst_longest", "  the longest", "ms", 3),
    Measure("burst_round_trips", "  how many meanwhile", "", 0, more_is_better=True),
    Measure("task_driver_cpu", "driver CPU a task", "µs"),
    Measure("task_driver_share", "  busiest thread", "%", 0),
    Measure("cancel_driver_cpu", "driver CPU a cancel", "µs"),
    Measure("cancel_driver_share", "  busiest thread", "%", 0),
)
"""Of a round, in the order of the table."""
BY_KEY: Mapping[str, Measure] = {one.key: one for one in MEASURES}


@dataclass(slots=True)
class Results:
    """What was found, by subject and measure, a value a round."""

    values: dict[str, dict[str, list[float]]] = field(default_factory=dict)

    def add(self, subject: str, found: Mapping[str, float]) -> None:
        """Another round of a subject."""
        of = self.values.setdefault(subject, {})
        for key, value in found.items():
            of.setdefault(key, []).append(value)

    def order(self, subjects: Iterable[str]) -> None:
        """Put the subjects in this order."""
        self.values = {subject: self.values[subject] for subject in subjects if subject in self.values}

    def of(self, subject: str, key: str) -> list[float]:
        """The values of one measure, a round each; none if it was not measured."""
        return self.values.get(subject, {}).get(key, [])
