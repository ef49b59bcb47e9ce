"""A scheduler and a worker as real processes, for tests that need the whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from process_looks import is_alive

COMMAND = [sys.executable, "-m", "rescind"]


@dataclass
class Cluster:
    """The processes of a cluster, its endpoint and its run directory."""

    folder: Path
    endpoint: str = ""
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def store(self) -> Path:
        """The file of the object store."""
        (path,) = (self.folder / "run").glob("objects-*.sqlite")
        return path

    def start_scheduler(self, *options: str) -> subprocess.Popen[str]:
        """Start the scheduler and wait until it listens."""
        place = ["--endpoint", f"ipc://{self.folder}/scheduler", "--run-directory", str(self.folder / "run")]
        scheduler = self._start("scheduler", *place, *options, stdout=subprocess.PIPE)
        assert scheduler.stdout is not None
        self.endpoint = scheduler.stdout.readline().removeprefix("listening on ").strip()
        assert self.endpoint, "the scheduler did not start"
        return scheduler

    def start_worker(self, *options: str) -> subprocess.Popen[str]:
        """Start a worker; tasks that are submitted before it is there wait for it."""
        return self._start("worker", "--endpoint", self.endpoint, *options)

    def _start(self, *arguments: str, stdout: int | None = None) -> subprocess.Popen[str]:
        # A session of its own for each: what belongs to it can be found and signalled as one.
        process = subprocess.Popen([*COMMAND, *arguments], stdout=stdout, text=True, start_new_session=True)
        self.processes.append(process)
        return process

    def descendants(self) -> list[psutil.Process]:
        """Every process that the cluster has, its own included."""
        found: list[psutil.Process] = []
        for process in self.processes:
            try:
                parent = psutil.Process(process.pid)
                found += [parent, *parent.children(recursive=True)]
            except psutil.NoSuchProcess:
                continue
        return found

    def stop(self, number: int = signal.SIGTERM) -> list[int]:
        """Signal the processes, wait until each has ended and return their exit statuses."""
        for process in reversed(self.processes):
            if process.poll() is None:
                os.kill(process.pid, number)
        return [process.wait(timeout=30) for process in self.processes]


@contextmanager
def running_cluster(folder: Path, *worker_options: str) -> Iterator[Cluster]:
    """A cluster with one worker; it has ended when the context is left, whatever happened inside."""
    cluster = Cluster(folder)
    try:
        cluster.start_scheduler()
        cluster.start_worker(*worker_options)
        yield cluster
        cluster.stop()
    finally:
        for process in cluster.processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def wait_until_gone(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those of `processes` that are still there when all should long have ended."""
    _, alive = psutil.wait_procs(processes, timeout=20)
    return list(filter(is_alive, alive))
