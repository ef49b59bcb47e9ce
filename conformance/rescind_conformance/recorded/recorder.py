"""Records what the parties of one version say to one another while `life` is played."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from rescind.messages import Message, Task, WorkerDisconnectNotification
from rescind.trace import PeerNames
from rescind_conformance.interop.programs import Program, StorageServer, endpoint_of, scaler_scheduler
from rescind_conformance.judge.tapped import CLOSED, OPENED
from rescind_conformance.process import Process
from rescind_conformance.recorded import life
from rescind_conformance.recorded.traffic import Passed
from rescind_conformance.tap.addresses import address_of
from rescind_conformance.tap.relay import Fate, Passage, Peer, Relay
from rescind_conformance.tap.rules import Action, Rules, Sight, parse_rule
from rescind_conformance.tap.session import read_frames, routing_id

WAIT_SECONDS = 30.0
"""How long the life waits for what it expects to pass."""
LIFE_SECONDS = 180.0
"""How long a life may take; the longest takes a tenth."""


class LifeFailed(Exception):
    """The scenario did not come through; the text has its last words."""


class Version(Protocol):
    """What is recorded."""

    make: str
    """The name under which `life` knows it."""
    worker_timeout: int
    """Seconds of silence after which its scheduler gives a worker up; the life waits for that."""

    def scheduler(self, folder: Path) -> tuple[Process, ...]:
        """Start a scheduler that listens; it is the last of what was started. Raises `SubjectUnavailable`."""

    def endpoint(self, scheduler: Process) -> str:
        """Where it listens."""

    def environment(self) -> dict[str, str]:
        """Of clients and workers."""


class SourceTree:
    """A version of this project, in a directory with `python` and `protocol`."""

    make = "rescind"
    worker_timeout = 2

    def __init__(self, source: Path) -> None:
        self._source = source

    def scheduler(self, folder: Path) -> tuple[Process, ...]:
        """Implements `Version`."""
        options = ["--endpoint", "tcp://127.0.0.1:0", "--run-directory", str(folder / "run"), "--accept-shutdown"]
        times = ["--worker-timeout", str(self.worker_timeout), "--rebalance-interval", "0.2"]
        command = [sys.executable, "-m", "rescind", "scheduler", *options, *times]
        return (Process(command, folder / "scheduler.log", self.environment()),)

    def endpoint(self, scheduler: Process) -> str:
        """Implements `Version`."""
        return scheduler.wait_for_line("listening on ")

    def environment(self) -> dict[str, str]:
        """Implements `Version`."""
        return {"PYTHONPATH": f"{self._source / 'python'}:{self._source / 'conformance'}", "PYTHONUNBUFFERED": "1"}


class Scaler:
    """The installed release of OpenGRIS Scaler."""

    make = "scaler"
    worker_timeout = 4

    def scheduler(self, folder: Path) -> tuple[Process, ...]:
        """Implements `Version`."""
        storage = StorageServer(folder / "storage.log")
        timeout = ["--worker-timeout-seconds", str(self.worker_timeout)]
        return storage.program, scaler_scheduler(folder / "scheduler.log", storage, *timeout)

    def endpoint(self, scheduler: Process) -> str:
        """Implements `Version`."""
        assert isinstance(scheduler, Program)
        return endpoint_of(scheduler)

    def environment(self) -> dict[str, str]:
        """Implements `Version`."""
        return {"SCALER_NETWORK_BACKEND": "zmq", "PYTHONUNBUFFERED": "1"}


class _Keeper:
    """Implements the relay's `Watcher`: keeps each frame as it is, and holds back what it is told to."""

    def __init__(self) -> None:
        self.rules = Rules()
        self.is_held = threading.Event()
        self.changed = threading.Condition()
        """Notified when something has passed."""
        self.passages: list[Passed] = []
        self._began = time.monotonic()
        self._names = PeerNames()

    def opened(self, peer: Peer) -> None:
        self._names.of(routing_id(peer))
        self.passages.append(Passed(self._now(), routing_id(peer), event=OPENED))

    def closed(self, peer: Peer, by_scheduler: bool) -> None:
        by = "scheduler" if by_scheduler else "peer"
        self.passages.append(Passed(self._now(), routing_id(peer), event=CLOSED, by=by))

    def unreachable(self) -> None:
        pass

    def arrived(self, passage: Passage) -> Fate:
        fate = self.rules.decide(self._sight(passage))[0] if self.rules else Fate()
        if fate.held:
            self.is_held.set()
        return fate

    def passed(self, passage: Passage, leg: str) -> None:
        peer = routing_id(passage.peer)
        with self.changed:
            self.passages += [Passed(self._now(), peer, passage.to_scheduler, frame, leg) for frame in passage.frames]
            self.changed.notify()
        if leg != "in" and self.rules:
            self.rules.passed(self._sight(passage))

    def wait_for(self, happened: Callable[[], bool]) -> None:
        """Until something has passed, or what could make it pass must have failed."""
        with self.changed:
            self.changed.wait_for(happened, WAIT_SECONDS)

    def all_placed(self) -> bool:
        """Whether each Task that came from a client has passed to a worker."""
        tasks = [(one.to_scheduler, message.task_id) for one, message in self._read() if isinstance(message, Task)]
        return all((False, task_id) in tasks for to_scheduler, task_id in tasks if to_scheduler)

    def a_worker_left(self) -> bool:
        """Whether a worker has said good-bye."""
        return any(isinstance(message, WorkerDisconnectNotification) for _, message in self._read())

    def _read(self) -> Iterator[tuple[Passed, Message | None]]:
        return ((one, read_frames((one.frame,))[0]) for one in self.passages if not one.event)

    def _now(self) -> float:
        return time.monotonic() - self._began

    def _sight(self, passage: Passage) -> Sight:
        name = routing_id(passage.peer)
        return Sight(read_frames(passage.frames)[0], self._names.of(name), name)


def record(version: Version) -> list[Passed]:
    """Play the life and return what passed. Raises `LifeFailed`, or `SubjectUnavailable`."""
    with tempfile.TemporaryDirectory(prefix="rescind-recorded-") as directory:
        folder = Path(directory)
        started = version.scheduler(folder)
        try:
            with _tapped(version.endpoint(started[-1])) as (relay, keeper):
                _live(version, folder, relay, keeper)
                _wait_for_the_end(started[-1])
        finally:
            for each in reversed(started):
                each.stop()
    return keeper.passages


def _live(version: Version, folder: Path, relay: Relay, keeper: _Keeper) -> None:
    command = [sys.executable, life.__file__, version.make, relay.endpoint, str(folder)]
    program = Process(command, folder / "life.log", version.environment(), piped=True)
    limit = threading.Timer(LIFE_SECONDS, program.stop)
    limit.start()
    try:
        for line in program.stdout:
            _do(line.decode().strip(), relay, keeper)
            with contextlib.suppress(BrokenPipeError):  # it has ended; its status tells
                program.stdin.write(b"\n")
                program.stdin.flush()
        if program.wait(LIFE_SECONDS) != 0:
            raise LifeFailed(f"the life did not come through; its last words:\n{program.log_tail()}")
    finally:
        limit.cancel()
        program.stop()


def _do(line: str, relay: Relay, keeper: _Keeper) -> None:
    """What the life asks of the tap."""
    if line == "wait until held":
        keeper.is_held.wait(LIFE_SECONDS)
    elif line == "wait until placed":
        keeper.wait_for(keeper.all_placed)
    elif line == "wait until a worker left":
        keeper.wait_for(keeper.a_worker_left)
    elif line.startswith("hold "):
        rule = parse_rule(Action.HOLD, line.removeprefix("hold "))
        relay.run_soon(lambda: keeper.rules.add(rule))  # before anything passes that is sent from now on


@contextlib.contextmanager
def _tapped(endpoint: str) -> Iterator[tuple[Relay, _Keeper]]:
    keeper = _Keeper()
    relay = Relay(address_of("tcp://127.0.0.1:0", to_bind=True), address_of(endpoint), keeper)
    keeper.rules.on_release = relay.look_again
    thread = threading.Thread(target=relay.run, name="recorder")
    thread.start()
    try:
        yield relay, keeper
    finally:
        relay.stop()
        thread.join()


def _wait_for_the_end(scheduler: Process) -> None:
    """What it says last belongs to the recording. Raises `LifeFailed`."""
    try:
        scheduler.wait(LIFE_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise LifeFailed(f"the scheduler did not end; its last words:\n{scheduler.log_tail()}") from error
