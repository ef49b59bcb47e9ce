"""One mixed system: storage, scheduler and workers of the kinds that a mix names, with a recording proxy in between."""

from __future__ import annotations

import threading
from pathlib import Path

from rescind.store import SqliteStore
from rescind_conformance.interop.mixes import Kind, Mix
from rescind_conformance.interop.programs import (
    Program,
    StorageServer,
    endpoint_of,
    reference_scheduler,
    reference_worker,
    scaler_scheduler,
    scaler_workers,
    wait_until_ended,
)
from rescind_conformance.interop.proxy import Proxy

_POLL_SECONDS = 0.02


class System:
    """The processes of a mix, but for its client. Start it, and close it; for one thread, but for `close`."""

    def __init__(self, mix: Mix, folder: Path) -> None:
        """Nothing runs yet. `folder` is for what the processes write."""
        self.mix = mix
        self._folder = folder
        self._programs: dict[str, Program] = {}
        self._lock = threading.Lock()
        self._closed = False
        self._workers_started = 0
        self._storage: StorageServer | None = None
        self._proxy: Proxy | None = None

    def start(self) -> None:
        """Start everything; `endpoint` is where a client connects then. What has been started ends with `close`.

        Raises `SubjectUnavailable`, or `Closed` if it was closed meanwhile.
        """
        if self.mix.scaler_storage:
            self._storage = StorageServer(self._place("storage"))
            self._add("storage", self._storage.program)
        self._add("scheduler", self._start_scheduler())
        self._proxy = Proxy(endpoint_of(self._programs["scheduler"]))
        self.start_worker()

    def _start_scheduler(self) -> Program:
        log = self._place("scheduler")
        if self.mix.scheduler is Kind.REFERENCE:
            return reference_scheduler(log, self._storage, "--accept-shutdown")
        assert self._storage is not None
        return scaler_scheduler(log, self._storage)

    @property
    def proxy(self) -> Proxy:
        """Between the peers and the scheduler."""
        assert self._proxy is not None
        return self._proxy

    @property
    def endpoint(self) -> str:
        """Where clients and workers connect."""
        return self.proxy.endpoint

    def start_worker(self) -> None:
        """Start a worker of the mix's kind; tasks that are submitted before it is there wait for it."""
        self._workers_started += 1
        log = self._place(f"worker-{self._workers_started}")
        ours = self.mix.worker is Kind.REFERENCE
        self._add("worker", reference_worker(log, self.endpoint) if ours else scaler_workers(log, self.endpoint))

    def kill_worker(self) -> None:
        """Kill the worker, with all that it has started, without a word."""
        self._programs.pop("worker").stop()

    def objects_left(self) -> int:
        """How many objects the storage holds now."""
        if self._storage is not None:
            return self._storage.count()
        path = self._folder / "scheduler" / "objects.sqlite"
        return _count(path) if path.exists() else 0  # a scheduler that has ended has removed it

    def wait_until_empty(self, seconds: float) -> int:
        """Wait until nothing is in the storage; how many objects are there when that, or the time, is over."""
        waiting = threading.Event()
        left = self.objects_left()
        for _ in range(int(seconds / _POLL_SECONDS)):
            if left == 0 or self._closed or waiting.wait(_POLL_SECONDS):
                break
            left = self.objects_left()
        return left

    def still_running(self, seconds: float) -> list[str]:
        """Which of scheduler and worker have not ended by themselves after so many seconds."""
        ending = {name: program for name, program in self._programs.items() if name != "storage"}
        return wait_until_ended(ending, seconds)

    def dead(self) -> list[str]:
        """Which programs have ended."""
        return [name for name, program in self._programs.items() if not program.alive()]

    def last_words(self) -> dict[str, str]:
        """The last lines of each program's log."""
        return {name: program.log_tail() for name, program in self._programs.items()}

    def close(self) -> None:
        """End all of it. May be called again, and from any thread: nothing can be started any more."""
        with self._lock:
            self._closed = True
        for name in ("worker", "scheduler", "storage"):
            if name in self._programs:
                self._programs[name].stop()
        if self._proxy is not None:
            self._proxy.close()

    def _place(self, name: str) -> Path:
        folder = self._folder / name
        folder.mkdir(parents=True)
        return folder / "log"

    def _add(self, name: str, program: Program) -> None:
        with self._lock:
            self._programs[name] = program
            if not self._closed:
                return
        program.stop()
        raise Closed


class Closed(Exception):
    """The system was closed while something was started."""


def _count(path: Path) -> int:
    store = SqliteStore(path, create=False)
    try:
        return store.count()
    finally:
        store.close()
