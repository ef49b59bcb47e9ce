"""The schedulers that are measured: each a fresh process at an endpoint over TCP, with rebalancing switched off."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import zmq

from rescind import wire
from rescind.curve import Role, make_keys, read_peer_keys
from rescind.messages import ClientHeartbeat
from rescind_conformance.benchmark.player import KEYS_OF
from rescind_conformance.case import Profile
from rescind_conformance.peers import new_routing_id
from rescind_conformance.process import SubjectUnavailable
from rescind_conformance.subjects import (
    CONNECT_SECONDS,
    OpengrisScaler,
    RunningEndpoint,
    SchedulerSubject,
    StartedScheduler,
    version_of,
)

_ENDPOINT = "tcp://127.0.0.1:0"
_LONG = "86400"
"""Seconds after which a silent peer is lost: never, here."""
_READY = "listening on "
_END_SECONDS = 1.0
"""How long a scheduler that something is wrong with is given to show that it ends."""


class Reference(SchedulerSubject):
    """The scheduler of this project, as `rescind scheduler` starts it."""

    name = "reference"
    replay_options = "--subject reference"

    def __init__(self) -> None:
        super().__init__()
        self.version = version_of("rescind")

    def launch(self, profile: Profile, directory: Path, log: Path) -> StartedScheduler:
        return StartedScheduler(self.command(directory), log, {"PYTHONUNBUFFERED": "1"}, _READY, _READY)

    def command(self, directory: Path, *options: str) -> list[str]:
        """What starts it."""
        return [
            *(sys.executable, "-m", "rescind", "scheduler", "--endpoint", _ENDPOINT),
            *("--run-directory", str(directory), "--rebalance-interval", "0"),
            *("--worker-timeout", _LONG, "--client-timeout", _LONG, "--max-tasks-per-client", "10000000"),
            *("--max-tasks-per-worker", "10000000"),
            *options,
        ]


class ReferenceWithKeys(Reference):
    """The same with CURVE."""

    name = "reference-curve"
    replay_options = "--subject reference-curve"

    def __init__(self) -> None:
        super().__init__()
        self.keys = self._directory / "keys"
        make_keys(self.keys, [(role, KEYS_OF) for role in Role])

    def launch(self, profile: Profile, directory: Path, log: Path) -> StartedScheduler:
        started = self.command(directory, "--curve", str(self.keys / "scheduler"))
        return StartedScheduler(started, log, {"PYTHONUNBUFFERED": "1"}, _READY, _READY)


class Forwarder(SchedulerSubject):
    """The bare forwarder: `rescind_conformance.benchmark.forwarder`."""

    name = "forwarder"
    replay_options = "--subject forwarder"

    def launch(self, profile: Profile, directory: Path, log: Path) -> StartedScheduler:
        command = [sys.executable, "-m", "rescind_conformance.benchmark.forwarder", _ENDPOINT]
        return StartedScheduler(command, log, {"PYTHONUNBUFFERED": "1"}, _READY, _READY)


CONTESTANTS: Mapping[str, type[SchedulerSubject]] = {
    Reference.name: Reference,
    OpengrisScaler.name: OpengrisScaler,
    Forwarder.name: Forwarder,
}
"""Those that take part unless others are named, by the name that `--subject` takes."""
ON_REQUEST: Mapping[str, type[SchedulerSubject]] = {ReferenceWithKeys.name: ReferenceWithKeys}
"""The others."""


@dataclass(frozen=True, slots=True)
class Running:
    """A scheduler that serves."""

    endpoint: str
    pid: int | None
    """None: nobody has said, and CPU time cannot be told."""
    start_seconds: float | None
    """From its launch until it answered a client; None if somebody else has started it."""
    last_words: Callable[[], str]
    """The end of its log if it has ended, otherwise nothing."""
    keys: Path | None = None
    """If it uses CURVE: where `rescind keys` made keys of both roles for `KEYS_OF`."""


class Contestant(Protocol):
    """What takes part in a benchmark. For one thread."""

    name: str
    version: str
    holds_tasks: bool
    """Whether tasks wait with it where there is no worker."""

    def serving(self) -> AbstractContextManager[Running]:
        """An instance for the time of the block: a fresh one, if it is this package that starts it.

        Raises `SubjectUnavailable`.
        """

    def close(self) -> None:
        """End everything that was started."""


class StartedContestant:
    """One of `CONTESTANTS` or `ON_REQUEST`: each block gets a fresh process."""

    def __init__(self, subject: SchedulerSubject) -> None:
        self.name = subject.name
        self.version = subject.version
        self.holds_tasks = not isinstance(subject, Forwarder)
        self._keys = subject.keys if isinstance(subject, ReferenceWithKeys) else None
        self._subject = subject

    @contextmanager
    def serving(self) -> Iterator[Running]:
        """As `Contestant` says."""
        began = time.perf_counter()
        process = self._subject.acquire(Profile.DEFAULT, [])
        assert isinstance(process, StartedScheduler)  # none of these is forked
        _await_echo(process.endpoint, self._keys)
        seconds = time.perf_counter() - began

        def last_words() -> str:
            try:
                process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                return ""
            return process.log_tail() or "(it has written nothing)"

        try:
            yield Running(process.endpoint, process.pid, seconds, last_words, self._keys)
        finally:
            self._subject.end(process)

    def close(self) -> None:
        """As `Contestant` says."""
        self._subject.close()


class RunningContestant:
    """A scheduler that somebody else has started. It should be idle and have no workers of its own."""

    version = ""
    holds_tasks = True

    def __init__(self, endpoint: str, pid: int | None) -> None:
        """`pid`: its process, if it is on this machine. Raises `SubjectUnavailable` if nobody listens there."""
        RunningEndpoint(endpoint)
        self.name = endpoint
        self._running = Running(endpoint, pid, None, lambda: "")

    @contextmanager
    def serving(self) -> Iterator[Running]:
        """As `Contestant` says."""
        yield self._running

    def close(self) -> None:
        """As `Contestant` says."""


def _await_echo(endpoint: str, keys: Path | None) -> None:
    """Return when a client is served. Raises `SubjectUnavailable`."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as client:
        client.setsockopt(zmq.LINGER, 0)
        client.setsockopt(zmq.IDENTITY, new_routing_id("Client", "first"))
        if keys is not None:
            read_peer_keys(keys / Role.CLIENT.folder / KEYS_OF, Role.CLIENT).apply(client)
        client.connect(endpoint)
        client.send(wire.encode(ClientHeartbeat()))
        if not client.poll(int(CONNECT_SECONDS * 1000)):
            raise SubjectUnavailable(f"the scheduler at {endpoint} did not answer a heartbeat in {CONNECT_SECONDS:g} s")


def open_contestant(name: str) -> StartedContestant:
    """The contestant of that name. Raises `SubjectUnavailable` if there is none, or it is not installed."""
    known = {**CONTESTANTS, **ON_REQUEST}
    if name not in known:
        raise SubjectUnavailable(f"unknown subject {name!r}; there are: {', '.join(known)}")
    return StartedContestant(known[name]())
