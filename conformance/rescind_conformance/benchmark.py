"""What cancelling waiting tasks costs a scheduler as their number grows (SPEC.md S3.2).

Each task is submitted to a scheduler without workers; then all are cancelled, newest first, which is
the worst order for one that searches its queue. The subjects take turns, size by size, in one run.
"""

from __future__ import annotations

import hashlib
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
import zmq
from rich.console import Console
from rich.table import Table

from rescind import wire
from rescind.messages import (
    CancelConfirmType,
    ClientHeartbeat,
    ClientHeartbeatEcho,
    Task,
    TaskCancel,
    TaskCancelConfirm,
)
from rescind_conformance.case import Profile
from rescind_conformance.findings import new_task_id
from rescind_conformance.peers import new_routing_id
from rescind_conformance.process import SubjectUnavailable
from rescind_conformance.subjects import SCHEDULERS, SchedulerSubject

_SIZES = 4
"""How often the number of tasks is halved, the full number included."""
_HANG = 600_000
"""Milliseconds after which a subject that does not answer is given up."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """The cost of cancelling `tasks` waiting tasks, newest first."""

    tasks: int
    seconds: float
    """From the first cancel sent to the last answer received."""
    cpu_seconds: float
    """Of the scheduler's process alone, over the same time."""


class BenchmarkFailed(Exception):
    """A subject did not do what is measured; the text says what it did instead."""


def measure(subject: SchedulerSubject, tasks: int) -> Measurement:
    """Cancel `tasks` waiting tasks of a fresh instance, newest first. Raises `BenchmarkFailed`."""
    instance = subject.acquire(Profile.DEFAULT, [])
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    client = context.socket(zmq.DEALER)
    try:
        routing_id = new_routing_id("Client", "benchmark")
        client.setsockopt(zmq.IDENTITY, routing_id)
        client.setsockopt(zmq.SNDHWM, 0)
        client.setsockopt(zmq.RCVHWM, 0)
        client.setsockopt(zmq.RCVTIMEO, _HANG)
        client.connect(instance.endpoint)
        _fence(client)
        task_ids = [new_task_id() for _ in range(tasks)]
        function = hashlib.md5(routing_id).digest() + bytes(16)
        for task_id in task_ids:
            client.send(wire.encode(Task(task_id, routing_id, func_object_id=function)))
        _fence(client)
        cancels = [wire.encode(TaskCancel(task_id)) for task_id in reversed(task_ids)]
        confirms = {wire.encode(TaskCancelConfirm(task_id, CancelConfirmType.CANCELED)) for task_id in task_ids}
        cpu, began = _cpu_seconds(instance.pid), time.perf_counter()
        for cancel in cancels:
            client.send(cancel)
        answers = [client.recv() for _ in cancels]
        measurement = Measurement(tasks, time.perf_counter() - began, _cpu_seconds(instance.pid) - cpu)
    except zmq.Again as silence:
        raise BenchmarkFailed(f"{subject.name} has not answered for {_HANG / 1000:g} s") from silence
    finally:
        client.close(linger=0)
        context.term()
        subject.end(instance)
    if set(answers) != confirms:
        raise BenchmarkFailed(f"{subject.name} did not answer each of {tasks} cancels with canceled")
    return measurement


def slope(measurements: list[Measurement]) -> float:
    """How the cost grows: the least-squares slope of log CPU time over log number; 1 is linear, 2 quadratic."""
    xs = [math.log(one.tasks) for one in measurements]
    ys = [math.log(one.cpu_seconds) for one in measurements]
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    return sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / sum((x - mean_x) ** 2 for x in xs)


def main(
    subject: Annotated[list[str] | None, typer.Option(help="May be given several times; all by default.")] = None,
    tasks: Annotated[int, typer.Option(min=8, help="The largest number of tasks.")] = 100_000,
    budget: Annotated[float, typer.Option(min=1, help="Seconds; a size expected to take longer is left out.")] = 30.0,
) -> None:
    """Measure what cancelling waiting tasks, newest first, costs each scheduler.

    Example: `python -m rescind_conformance.benchmark --subject reference --tasks 100000`
    """
    console = Console()
    names = subject or list(SCHEDULERS)
    table = Table("subject", "tasks", "seconds", "cancels/s", "scheduler CPU, µs a cancel")
    slopes = []
    try:
        for name in names:
            if name not in SCHEDULERS:
                raise SubjectUnavailable(f"unknown subject {name!r}; there are: {', '.join(SCHEDULERS)}")
            found: list[Measurement] = []
            with SCHEDULERS[name]() as tested:
                for size in [tasks >> power for power in reversed(range(_SIZES))]:
                    expected = _expected_seconds(found, size)
                    if expected > budget:
                        table.add_row(name, f"{size:,}", f"left out: about {expected:.0f} expected", "", "")
                        continue
                    with console.status(f"{name}: {size:,} tasks"):
                        one = measure(tested, size)
                    found.append(one)
                    table.add_row(
                        name,
                        f"{size:,}",
                        f"{one.seconds:.2f}",
                        f"{size / one.seconds:,.0f}",
                        f"{one.cpu_seconds / size * 1e6:.1f}",
                    )
            if len(found) > 1:
                slopes.append(f"{name}: slope {slope(found):.2f}")
    except (SubjectUnavailable, BenchmarkFailed) as error:
        typer.echo(f"rescind: {error}", err=True)
        raise typer.Exit(2) from error
    console.print(table)
    console.print(f"Slope of log CPU time over log number (1 is linear, 2 quadratic): {'; '.join(slopes)}")


def _expected_seconds(found: list[Measurement], size: int) -> float:
    """What the next size would take, by the growth seen so far."""
    if not found:
        return 0.0
    growth = max(1.0, slope(found)) if len(found) > 1 else 1.0
    return found[-1].seconds * math.pow(size / found[-1].tasks, growth)


def _fence(client: zmq.Socket[bytes]) -> None:
    client.send(wire.encode(ClientHeartbeat()))
    while not isinstance(wire.decode(client.recv()), ClientHeartbeatEcho):
        pass


def _cpu_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    typer.run(main)
