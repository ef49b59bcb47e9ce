"""`rescind demo`: a local cluster, real tasks, a cancel in every state, and what was said."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from rich.console import Console
from rich.table import Table

from rescind.client import Client
from rescind.future import ScalerFuture
from rescind.messages import ClientHeartbeat, ClientHeartbeatEcho, WorkerHeartbeat, WorkerHeartbeatEcho
from rescind.trace import PeerNames, TraceRecord, describe, read_trace

_HEARTBEATS = (ClientHeartbeat, ClientHeartbeatEcho, WorkerHeartbeat, WorkerHeartbeatEcho)


def square(number: int) -> int:
    """A task that ends at once."""
    return number * number


def divide(dividend: int, divisor: int) -> float:
    """A task that may raise."""
    return dividend / divisor


def spin(started: str) -> None:
    """A task that never ends: it says that it runs, then loops."""
    Path(started).write_text("running")
    while True:
        pass


def hold(started: str, release: str) -> str:
    """A task that says that it runs, then waits until it is let go."""
    Path(started).write_text("running")
    return f"let go: {Path(release).read_text()}"


def run_demo(processes: int = 2) -> int:
    """Run the demonstration; returns the exit status: 0 if every outcome was the expected one, otherwise 1.

    `processes`: of the local worker, 2 or more.
    """
    console = Console()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)  # unwinds as Ctrl-C does, so that the cluster ends with this process
    with tempfile.TemporaryDirectory(prefix="rescind-demo-") as directory:
        folder = Path(directory)
        with _cluster(folder, processes) as endpoint:
            outcomes, names = _cancel_in_every_state(endpoint, folder, processes)
        with (folder / "trace.jsonl").open(encoding="utf-8") as trace:
            records = [record for record in read_trace(trace) if isinstance(record, TraceRecord)]
    _show_messages(console, records, names)
    return 0 if _show_outcomes(console, outcomes) else 1


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def _cancel_in_every_state(
    endpoint: str, folder: Path, processes: int
) -> tuple[list[tuple[str, str, str, str]], dict[bytes, str]]:
    """What was cancelled in which state, what was expected and what came of it; and names for the task ids."""
    outcomes: list[tuple[str, str, str, str]] = []
    names: dict[bytes, str] = {}

    def submitted(name: str, future: ScalerFuture[Any]) -> ScalerFuture[Any]:
        names[future.task_id] = name
        return future

    def note(task: str, state: str, expected: str, seen: object) -> None:
        outcomes.append((task, state, expected, str(seen)))

    with Client(endpoint, name="demo") as client:
        finished = submitted("square", client.submit(square, 7))
        note("square", "runs to its end", "49", finished.result(timeout=60))
        failing = submitted("divide", client.submit(divide, 1, 0))
        error = failing.exception(timeout=60)
        note("divide", "raises", "ZeroDivisionError('division by zero')", repr(error))

        held, releases = [], []
        for number in range(1, processes + 1):
            started, release = _fifo(folder / f"held-{number}"), _fifo(folder / f"release-{number}")
            held.append(submitted(f"hold-{number}", client.submit(hold, str(started), str(release))))
            releases.append(release)
            started.read_text()
        queued = submitted("queued", client.submit(square, 8))
        waiting = submitted("waiting", client.submit(square, 9))
        note("waiting", "not dispatched", "True, confirmed", _cancel(waiting))
        note("queued", "queued at the worker", "True, confirmed", _cancel(queued))
        note("hold-1", "running, without force", "False, refused", _cancel(held[0]))
        for release in releases:
            release.write_text("go")
        note("hold-1", "its result afterwards", "let go: go", held[0].result(timeout=60))

        started = _fifo(folder / "spinning")
        spinning = submitted("spin", client.submit(spin, str(started)))
        started.read_text()
        note("spin", "running, with force", "True, confirmed", _cancel(spinning, force=True))
        note("square", "just finished", "False, 49", f"{finished.cancel()}, {finished.result()}")
        for future in held:
            future.result(timeout=60)
    return outcomes, names


def _cancel(future: ScalerFuture[Any], *, force: bool = False) -> str:
    return f"{future.cancel(force=force)}, {future.cancel_outcome}"


def _fifo(path: Path) -> Path:
    """A named pipe: whoever reads it waits until somebody has written, so that nobody has to guess times."""
    os.mkfifo(path)
    return path


@contextmanager
def _cluster(folder: Path, processes: int) -> Iterator[str]:
    """A scheduler and a worker as processes of their own; both have ended when the context is left."""
    command = [sys.executable, "-m", "rescind"]
    # A queue of one more than what runs leaves the next task with the scheduler: both kinds of waiting are shown.
    trace = ["--trace", str(folder / "trace.jsonl"), "--run-directory", str(folder / "run")]
    scheduler = subprocess.Popen(
        [*command, "scheduler", "--endpoint", f"ipc://{folder}/scheduler", "--rebalance-interval", "0", *trace],
        stdout=subprocess.PIPE,
        text=True,
    )
    started: list[subprocess.Popen[Any]] = [scheduler]
    try:
        assert scheduler.stdout is not None
        endpoint = scheduler.stdout.readline().removeprefix("listening on ").strip()
        if not endpoint:
            raise RuntimeError(f"the scheduler did not start: it exited with status {scheduler.wait()}")
        sizes = ["--processes", str(processes), "--queue-size", str(processes + 1)]
        started.append(subprocess.Popen([*command, "worker", "--endpoint", endpoint, *sizes]))
        yield endpoint
    finally:
        for process in reversed(started):
            process.send_signal(signal.SIGTERM)
        for process in started:
            process.wait()


def _show_messages(console: Console, records: list[TraceRecord], names: dict[bytes, str]) -> None:
    table = Table(title="What was said", title_justify="left", caption="heartbeats are left out", box=None)
    for heading in ("ms", "from", "to", "message"):
        table.add_column(heading, justify="right" if heading == "ms" else "left")
    peers = PeerNames()
    first = records[0].time if records else 0.0
    for record in records:
        sender, receiver = peers.of(record.sender), peers.of(record.receiver)
        if record.message is not None and not isinstance(record.message, _HEARTBEATS):
            table.add_row(f"{(record.time - first) * 1000:.0f}", sender, receiver, describe(record.message, names))
    console.print(table)


def _show_outcomes(console: Console, outcomes: list[tuple[str, str, str, str]]) -> bool:
    table = Table(title="\nWhat came of it", title_justify="left", box=None)
    for heading in ("task", "state", "expected", "seen", ""):
        table.add_column(heading)
    for task, state, expected, seen in outcomes:
        table.add_row(task, state, expected, seen, "ok" if expected == seen else "DIFFERENT")
    console.print(table)
    return all(expected == seen for _, _, expected, seen in outcomes)
