"""Whole systems, each with its own scheduler, workers and client, and one job for all of them."""

from __future__ import annotations

import importlib.util
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rescind_conformance.benchmark.driver import BenchmarkFailed, Peer
from rescind_conformance.benchmark.process_use import cpu_time
from rescind_conformance.interop.programs import (
    Program,
    StorageServer,
    endpoint_of,
    reference_scheduler,
    reference_worker,
    scaler_scheduler,
    scaler_workers,
)
from rescind_conformance.process import SubjectUnavailable
from rescind_conformance.subjects import console_script, signals_wait

SLOTS = 2
"""Processes that run tasks."""


@dataclass(frozen=True, slots=True)
class System:
    """A system that runs."""

    endpoint: str
    scheduler: Program | None


def _place(folder: Path, name: str) -> Path:
    place = folder / name
    place.mkdir()
    return place / "log"


def _reference(folder: Path, stack: ExitStack) -> System:
    place = _place(folder, "scheduler")
    scheduler = _run(stack, lambda: reference_scheduler(place, None, "--worker-timeout", "60"))
    endpoint = endpoint_of(scheduler)
    place = _place(folder, "worker")
    _run(stack, lambda: reference_worker(place, endpoint, "--processes", str(SLOTS)))
    return System(endpoint, scheduler)


def _scaler(folder: Path, stack: ExitStack) -> System:
    place = _place(folder, "storage")
    with signals_wait():
        storage = StorageServer(place)
        stack.callback(storage.program.stop)
    place = _place(folder, "scheduler")
    scheduler = _run(stack, lambda: scaler_scheduler(place, storage, "--worker-timeout-seconds", "60"))
    endpoint = endpoint_of(scheduler)
    place = _place(folder, "worker")
    _run(stack, lambda: scaler_workers(place, endpoint, SLOTS))
    return System(endpoint, scheduler)


def _dask(folder: Path, stack: ExitStack) -> System:
    module = [sys.executable, "-m"]
    options = ["--host", "127.0.0.1", "--no-dashboard"]
    command = [*module, "distributed.cli.dask_scheduler", *options, "--port", "0"]
    place = _place(folder, "scheduler")
    scheduler = _run(stack, lambda: Program(command, place))
    endpoint = scheduler.wait_for_line("Scheduler at:")
    for number in range(SLOTS):
        _run_dask_worker(
            _place(folder, f"worker-{number}"), [*module, "distributed.cli.dask_worker", endpoint, *options], stack
        )
    return System(endpoint, scheduler)


def _pool(folder: Path, stack: ExitStack) -> System:
    return System("", None)  # it is in the client's process


def _run_dask_worker(place: Path, command: list[str], stack: ExitStack) -> None:
    options = ["--nthreads", "1", "--no-nanny", "--local-directory", str(place.parent)]
    _run(stack, lambda: Program([*command, *options], place))


def _run(stack: ExitStack, start: Callable[[], Program]) -> Program:
    """Start a program that ends with the stack, whenever a signal comes."""
    with signals_wait():
        program = start()
        stack.callback(program.stop)
    return program


SYSTEMS: Mapping[str, Callable[[Path, ExitStack], System]] = {
    "reference": _reference,
    "opengris-scaler": _scaler,
    "dask": _dask,
    "process-pool": _pool,
}
"""How each is started, by the name that `--system` takes."""


def require(name: str) -> None:
    """Raises `SubjectUnavailable` if there is no such system, or it is not installed."""
    if name not in SYSTEMS:
        raise SubjectUnavailable(f"unknown system {name!r}; there are: {', '.join(SYSTEMS)}")
    if name == "dask" and importlib.util.find_spec("distributed") is None:
        raise SubjectUnavailable("distributed is not installed: pip install 'rescind[benchmark]'")
    if name == "opengris-scaler":
        for program in ("scaler_object_storage_server", "scaler_scheduler", "scaler_worker_manager"):
            console_script(program)


@contextmanager
def running(name: str, folder: Path) -> Iterator[tuple[System, Peer]]:
    """A system and its client, ready; they end with the block. Raises `SubjectUnavailable`, `BenchmarkFailed`."""
    with ExitStack() as stack:
        system = SYSTEMS[name](folder, stack)
        with signals_wait():
            client = Peer(folder, "client", "system_player", name, system.endpoint, str(SLOTS), str(folder))
            stack.callback(client.close)
        try:
            client.ask("ready")
            yield system, client
        except BenchmarkFailed as failed:
            raise BenchmarkFailed(f"{name}: {failed}") from failed


@dataclass(frozen=True, slots=True)
class Amounts:
    """How much each job has."""

    tasks: int
    alone: int
    running: int
    steady: int


_CHUNK = 100
_WINDOW = 200


def measure_system(name: str, folder: Path, amounts: Amounts, on_step: Callable[[str], None]) -> dict[str, float]:
    """Start a system, do each job once, and end it; the figures by their keys. Raises as `running`."""
    tasks = amounts.tasks
    found: dict[str, float] = {}
    with running(name, folder) as (system, client):
        on_step(f"{tasks:,} tasks")
        pid = system.scheduler.pid if system.scheduler is not None else None
        before = cpu_time(pid) if pid is not None else None
        found["many_seconds"] = client.ask("many", tasks=tasks)["seconds"]
        if pid is not None and before is not None:
            found["many_scheduler_cpu"] = (cpu_time(pid) - before).total / tasks * 1e6
        on_step("one task after the other")
        found["alone_milliseconds"] = statistics.median(client.ask("alone", tasks=amounts.alone)["milliseconds"])
        on_step("map in chunks")
        if (seconds := client.ask("chunks", tasks=tasks * 10, size=_CHUNK)["seconds"]) is not None:
            found["chunk_calls"] = tasks * 10 / seconds
        on_step(f"{amounts.steady:,} tasks, {_WINDOW} at once")
        steady = client.ask("steady", tasks=amounts.steady, window=_WINDOW)
        found["grown_bytes"] = steady["grown"] / steady["finished"]
        on_step(f"{tasks:,} tasks, every other one cancelled")
        if queued := client.ask("cancel queued", tasks=tasks):
            found["queued_calls_seconds"] = queued["calls"]
            found["queued_seconds"] = queued["seconds"]
            found["queued_ran"] = float(queued["ran"])
        on_step("cancels of tasks that run")
        if ended := client.ask("cancel running", count=amounts.running)["milliseconds"]:
            found["running_milliseconds"] = statistics.median(ended)
    return found
