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
from rescind_conformance.subjects import console_script

SLOTS = 2
"""Processes that run tasks."""


@dataclass(frozen=True, slots=True)
class System:
    """A system that runs."""

    endpoint: str
    scheduler: Program


def _place(folder: Path, name: str) -> Path:
    place = folder / name
    place.mkdir()
    return place / "log"


def _reference(folder: Path, stack: ExitStack) -> System:
    scheduler = reference_scheduler(_place(folder, "scheduler"), None, "--worker-timeout", "60")
    stack.callback(scheduler.stop)
    endpoint = endpoint_of(scheduler)
    stack.callback(reference_worker(_place(folder, "worker"), endpoint, "--processes", str(SLOTS)).stop)
    return System(endpoint, scheduler)


def _scaler(folder: Path, stack: ExitStack) -> System:
    storage = StorageServer(_place(folder, "storage"))
    stack.callback(storage.program.stop)
    scheduler = scaler_scheduler(_place(folder, "scheduler"), storage, "--worker-timeout-seconds", "60")
    stack.callback(scheduler.stop)
    endpoint = endpoint_of(scheduler)
    stack.callback(scaler_workers(_place(folder, "worker"), endpoint, SLOTS).stop)
    return System(endpoint, scheduler)


def _dask(folder: Path, stack: ExitStack) -> System:
    module = [sys.executable, "-m"]
    options = ["--host", "127.0.0.1", "--no-dashboard"]
    scheduler = Program(
        [*module, "distributed.cli.dask_scheduler", *options, "--port", "0"], _place(folder, "scheduler")
    )
    stack.callback(scheduler.stop)
    endpoint = scheduler.wait_for_line("Scheduler at:")
    for number in range(SLOTS):
        log = _place(folder, f"worker-{number}")
        place = ["--nthreads", "1", "--no-nanny", "--local-directory", str(log.parent)]
        worker = Program([*module, "distributed.cli.dask_worker", endpoint, *options, *place], log)
        stack.callback(worker.stop)
    return System(endpoint, scheduler)


SYSTEMS: Mapping[str, Callable[[Path, ExitStack], System]] = {
    "reference": _reference,
    "opengris-scaler": _scaler,
    "dask": _dask,
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
        client = Peer(folder, "client", "system_player", name, system.endpoint, str(SLOTS), str(folder))
        stack.callback(client.close)
        try:
            client.ask("ready")
            yield system, client
        except BenchmarkFailed as failed:
            raise BenchmarkFailed(f"{name}: {failed}") from failed


def measure_system(
    name: str, folder: Path, tasks: int, running_cancels: int, on_step: Callable[[str], None]
) -> dict[str, float]:
    """Start a system, do each job once, and end it; the figures by their keys. Raises as `running`."""
    with running(name, folder) as (system, client):
        on_step(f"{tasks:,} tasks")
        before = cpu_time(system.scheduler.pid)
        many = client.ask("many", tasks=tasks)
        used = cpu_time(system.scheduler.pid) - before
        on_step(f"{tasks:,} tasks, every other one cancelled")
        queued = client.ask("cancel queued", tasks=tasks)
        on_step("cancels of tasks that run")
        ended = client.ask("cancel running", count=running_cancels)["milliseconds"]
    found = {
        "many_seconds": many["seconds"],
        "many_scheduler_cpu": used.total / tasks * 1e6,
        "queued_calls_seconds": queued["calls"],
        "queued_seconds": queued["seconds"],
        "queued_ran": float(queued["ran"]),
    }
    return found | ({"running_milliseconds": statistics.median(ended)} if ended else {})
