"""Options of `rescind scheduler` and `rescind worker` that are numbers: they work, or are refused at once."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import get_type_hints

import pytest
from cluster import Cluster
from typer.testing import CliRunner

import rescind.scheduler
import rescind.worker
from rescind import Client, cli
from rescind.scheduler import Scheduler
from rescind.scheduler_machine import SchedulerSettings
from rescind.scheduler_socket import SocketLimits
from rescind.worker import Worker

LONGEST, HUGE = "2147483", str(2**63)
REFUSED: dict[type, list[str]] = {
    int: ["nan", "inf", "-1", "1e300", "1.5", "text", ""],
    float: ["nan", "inf", "-inf", "-1", "1e300", HUGE, "text", ""],
}
OR_NONE = {"rebalance_interval", "grace", "drain"}
BOUNDED = {"max_frame_bytes", "max_queue", "processes", "queue_size"}
"""Whole numbers that may not be however large."""


def numbers(command: Callable[..., None]) -> dict[str, type]:
    """The options of a command that are numbers, those that are added later included."""
    return {name: kind for name, kind in get_type_hints(command).items() if kind in REFUSED}


CASES = [
    (
        command.__name__,
        name,
        value,
        value in REFUSED[kind] or (name not in OR_NONE if value == "0" else name in BOUNDED),
    )
    for command in (cli.scheduler, cli.worker)
    for name, kind in numbers(command).items()
    for value in dict.fromkeys((*REFUSED[kind], "0", HUGE))
]


@pytest.mark.parametrize(("command", "name", "value", "refused"), CASES)
def test_a_number_works_or_is_refused_with_what_is_allowed(
    command: str, name: str, value: str, refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def begins(*_: object, **__: object) -> None:
        raise ValueError("it begins")

    for module, role in ((rescind.scheduler, "Scheduler"), (rescind.worker, "Worker")):
        monkeypatch.setattr(module, role, begins)
    option = f"--{name.replace('_', '-')}"
    told = CliRunner().invoke(cli.app, [command, option, value], env={"TERMINAL_WIDTH": "200"})
    said = " ".join(re.sub("[│╭╮╰╯─]", " ", told.output).split())
    assert told.exit_code == 2
    assert ("it begins" in said) is not refused
    assert not refused or re.search(f"'{option}': {re.escape(value)} ?is not allowed. Give a .*[0-9]", said), said


def test_there_are_options() -> None:
    assert len(numbers(cli.scheduler)) >= 14
    assert len(numbers(cli.worker)) >= 5


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -1.0])
@pytest.mark.parametrize(
    ("what", "make"),
    [
        ("worker_timeout", lambda number: Scheduler(settings=SchedulerSettings(worker_timeout=number))),
        ("client_timeout", lambda number: Scheduler(settings=SchedulerSettings(client_timeout=number))),
        ("rebalance_interval", lambda number: Scheduler(rebalance_interval=number)),
        ("grace", lambda number: Scheduler(grace=number)),
        ("drain", lambda number: Scheduler(drain=number)),
        ("handshake_timeout", lambda number: SocketLimits(handshake_timeout=number)),
        ("drain", lambda number: Worker("tcp://127.0.0.1:1", drain=number)),
    ],
)
def test_a_time_that_cannot_be_is_refused_where_it_comes_in(
    what: str, make: Callable[[float], object], number: float
) -> None:
    with pytest.raises(ValueError, match=what):
        make(number)


@pytest.mark.parametrize(("queue", "warns"), [(199, True), (200, False)])
def test_a_queue_that_a_peer_that_reads_may_fill_is_warned_of(
    queue: int, warns: bool, caplog: pytest.LogCaptureFixture
) -> None:
    settings = SchedulerSettings(max_tasks_per_worker=100, max_nodes_per_graph=50)
    scheduler = Scheduler(settings=settings, limits=SocketLimits(max_queue=queue))
    scheduler.stop()
    scheduler.run()
    assert ("200 is safe" in caplog.text) is warns


def test_the_largest_numbers_serve(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    times = [f"--{each}-timeout" for each in ("worker", "client")]
    try:
        scheduler = cluster.start_scheduler(
            *(
                word
                for each in (*times, "--rebalance-interval", "--grace", "--drain", "--handshake-timeout")
                for word in (each, LONGEST)
            ),
            *("--max-queue", str(2**31 - 1), "--max-tasks-per-worker", HUGE),
        )
        worker = cluster.start_worker(
            *("--drain", LONGEST, "--scheduler-timeout", LONGEST, "--heartbeat-interval", "2147482"),
            *("--queue-size", str(2**32 - 1), "--processes", "1"),
        )
        with Client(cluster.endpoint) as client:
            assert client.submit(pow, 2, 5).result(timeout=60) == 32
        for process in (worker, scheduler):
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=60) == 0
    finally:
        for process in cluster.processes:
            process.kill()
