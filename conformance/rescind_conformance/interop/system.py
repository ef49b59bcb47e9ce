"""One mixed system: storage, scheduler and workers of the kinds that a mix names, with a recording proxy in between."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from rescind.messages import ObjectStorageAddress
from rescind.store import SqliteStore
from rescind_conformance.interop.mixes import PEERS, Kind, Mix
from rescind_conformance.interop.peers import PeerPrograms
from rescind_conformance.interop.programs import (
    SLOTS,
    WORKER_TIMEOUT,
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
from rescind_conformance.process import START_SECONDS
from rescind_conformance.warm_start import WarmStarts

_POLL_SECONDS = 0.02


class System:
    """The processes of a mix, but for its client. Start it, and close it; for one thread, but for `close`."""

    def __init__(self, mix: Mix, folder: Path, peers: PeerPrograms, warm: WarmStarts) -> None:
        """Nothing runs yet. `folder` is for what the processes write. `warm` forks those in Python."""
        self.mix = mix
        self._folder = folder
        self._peers = peers
        self._warm = warm
        self._files = folder / "payloads"
        """Of clients and workers that are not in Python."""
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
        self._files.mkdir(parents=True)
        if self.mix.scaler_storage:
            self._storage = StorageServer(self._place("storage"), warm=self._warm)
            self._add("storage", self._storage.program)
        self._add("scheduler", self._start_scheduler())
        self._proxy = Proxy(endpoint_of(self._programs["scheduler"]))
        self.start_worker()

    def _start_scheduler(self) -> Program:
        log = self._place("scheduler")
        if self.mix.scheduler is Kind.REFERENCE:
            return reference_scheduler(log, self._storage, "--accept-shutdown", warm=self._warm)
        if self.mix.scheduler in PEERS:
            at = ObjectStorageAddress(str(self._files), 0, "file") if self._storage is None else self._storage.address
            return Program(self._peers.scheduler(self.mix.scheduler, at, WORKER_TIMEOUT), log)
        assert self._storage is not None
        return scaler_scheduler(log, self._storage, warm=self._warm)

    @property
    def own_files(self) -> Path | None:
        """Where client and workers keep payloads, if they are not in Python and the scheduler says another place."""
        return self._files if self.mix.client in PEERS and self.mix.scheduler not in PEERS else None

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
        before = self.proxy.workers()
        self._add("worker", self._start_worker(log))
        if self.mix.scheduler is Kind.TYPESCRIPT and self.mix.worker is Kind.SCALER:
            # Each is a worker with one process, and this scheduler never moves a task to one that comes later (S7.1).
            wait_for(lambda: len(self.proxy.workers() - before) >= SLOTS or self._closed, START_SECONDS)

    def _start_worker(self, log: Path) -> Program:
        match self.mix.worker:
            case Kind.REFERENCE:
                return reference_worker(log, self.endpoint, warm=self._warm)
            case Kind.SCALER:
                return scaler_workers(log, self.endpoint, warm=self._warm)
            case _:
                return Program(self._peers.worker(self.mix.worker, self.endpoint, SLOTS, self.own_files), log)

    def kill_worker(self) -> None:
        """Kill the worker, with all that it has started, without a word."""
        self._programs.pop("worker").stop()

    def have_worker_leave(self, seconds: float) -> bool:
        """Tell the worker to leave, and start another one; whether the first has ended by itself in time."""
        leaving = self._programs.pop("worker")
        leaving.ask_to_stop()
        left = not wait_until_ended({"worker": leaving}, seconds)
        leaving.stop()
        self.start_worker()
        return left

    def objects_left(self) -> int:
        """How many objects the storage holds now."""
        if self._storage is not None:
            return self._storage.count()
        # A scheduler that has ended has removed it.
        return sum(_count(path) for path in (self._folder / "scheduler").glob("objects-*.sqlite"))

    def wait_until_empty(self, seconds: float) -> int:
        """Wait until nothing is in the storage; how many objects are there when that, or the time, is over."""
        wait_for(lambda: self._closed or self.objects_left() == 0, seconds)
        return self.objects_left()

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


def wait_for(happened: Callable[[], bool], seconds: float) -> None:
    """Wait until something has happened, at most so long."""
    waiting, deadline = threading.Event(), time.monotonic() + seconds
    while not happened() and time.monotonic() < deadline:
        waiting.wait(_POLL_SECONDS)


class Closed(Exception):
    """The system was closed while something was started."""


def _count(path: Path) -> int:
    store = SqliteStore(path, create=False)
    try:
        return store.count()
    finally:
        store.close()
