"""What is put to the test: schedulers that the suite starts, or one that runs already.

A started subject gets a fresh process for each case; the next one or two start while a case runs.
Every process is the leader of a process group of its own, which is killed at the end as a whole.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Self

from rescind_conformance.case import LIMIT, Profile
from rescind_conformance.world import Instance

START_SECONDS = 60.0
"""How long a subject may take to start before it is given up."""
_LOG_LINES = 20
_LONG = "86400"
_SPARES = 2


class SubjectUnavailable(Exception):
    """The subject cannot be run at all; the text names the cause and the remedy."""


class ProfileUnavailable(Exception):
    """The subject runs, but cannot be configured as a case needs it; the text says why."""


class Subject(ABC):
    """An implementation under test."""

    name: str
    """For reports."""
    replay_options: str
    """The command-line options that choose this subject."""
    version: str = ""

    @abstractmethod
    def acquire(self, profile: Profile, upcoming: Sequence[Profile]) -> Instance:
        """A running instance for the next case. `upcoming`: the profiles of the cases after it, to start ahead.

        Raises `ProfileUnavailable`, and `SubjectUnavailable` when it does not start.
        """

    @abstractmethod
    def release(self, instance: Instance) -> None:
        """End the use of an instance."""

    @property
    def shared(self) -> bool:
        """Whether one instance serves all cases, so that each must clear away after itself."""
        return False

    @abstractmethod
    def close(self) -> None:
        """End everything that was started. May be called twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class RunningEndpoint(Subject):
    """A scheduler that somebody else has started. It should be idle and have no workers of its own."""

    def __init__(self, endpoint: str) -> None:
        self.name = endpoint
        self.replay_options = f"--endpoint {endpoint}"
        self._endpoint = endpoint

    @property
    def shared(self) -> bool:
        return True

    def acquire(self, profile: Profile, upcoming: Sequence[Profile]) -> Instance:
        if profile is not Profile.DEFAULT:
            raise ProfileUnavailable(f"a scheduler that runs already cannot be given the profile {profile.value!r}")
        return _Attached(self._endpoint)

    def release(self, instance: Instance) -> None:
        pass

    def close(self) -> None:
        pass


class _Attached:
    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint

    def alive(self) -> bool:
        return True  # cannot be told: a missing echo is all that will be seen

    def log_tail(self) -> str:
        return ""

    def ask_to_stop(self) -> bool:
        return False

    def stop(self) -> None:
        pass


class Process:
    """A child process with its log, in a process group of its own."""

    def __init__(self, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        self.log = log
        self.command = command
        with log.open("wb") as stream:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, **environment},
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def log_tail(self) -> str:
        """The last lines that it wrote."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-_LOG_LINES:])

    def wait_for_line(self, text: str) -> str:
        """The rest of the first line of its log after `text`. Raises `SubjectUnavailable` if it does not come."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            exited = not self.alive()
            for line in self.log.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True):
                _, found, after = line.partition(text)
                if found and line.endswith("\n"):
                    return after.strip()
            if exited or time.monotonic() > deadline:
                what = f"exited with status {self._process.returncode}" if exited else "did not start"
                raise SubjectUnavailable(f"{' '.join(self.command[:4])}... {what}; its last lines:\n{self.log_tail()}")
            try:
                self._process.wait(0.01)
            except subprocess.TimeoutExpired:
                continue

    def ask_to_stop(self) -> bool:
        """Send SIGTERM."""
        self._process.terminate()
        return True

    def stop(self) -> None:
        """Kill its whole process group and reap it."""
        # Nothing of it may be left (macOS says EPERM of a group of zombies).
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


class StartedScheduler(Process):
    """A scheduler process that has been launched; `endpoint` waits until it is ready."""

    def __init__(
        self, command: Sequence[str], log: Path, environment: Mapping[str, str], ready: str, announces: str
    ) -> None:
        """`ready`: in the line that says it serves. `announces`: in the line that ends with its endpoint."""
        super().__init__(command, log, environment)
        self._ready = ready
        self._announces = announces
        self.endpoint = ""

    def wait_until_ready(self) -> None:
        """Return when it serves. Raises `SubjectUnavailable`."""
        self.wait_for_line(self._ready)
        self.endpoint = self.wait_for_line(self._announces)


class StartedSubject(Subject):
    """Starts a fresh scheduler process for each case, ahead of time, in a temporary directory of the run."""

    missing_options: Mapping[Profile, str] = {}
    """The profiles that this scheduler cannot be given, and why."""

    def __init__(self) -> None:
        base = None if len(tempfile.gettempdir()) < 40 else "/tmp"  # ipc endpoints are short
        self._directory = Path(tempfile.mkdtemp(prefix="rescind-conformance-", dir=base))
        self._processes: list[Process] = []
        self._spares: list[tuple[Profile, StartedScheduler]] = []
        self._launched = 0
        atexit.register(self.close)

    @abstractmethod
    def launch(self, profile: Profile, directory: Path, log: Path) -> StartedScheduler:
        """Start a process and return at once."""

    def acquire(self, profile: Profile, upcoming: Sequence[Profile]) -> Instance:
        if profile in self.missing_options:
            raise ProfileUnavailable(self.missing_options[profile])
        started = next((spare for spare in self._spares if spare[0] is profile), None)
        if started is not None:
            self._spares.remove(started)
        else:
            started = profile, self._launch(profile)
        started[1].wait_until_ready()
        wanted = [one for one in upcoming[:_SPARES] if one not in self.missing_options]
        for spare in list(self._spares):
            if spare[0] in wanted:
                wanted.remove(spare[0])
            elif len(self._spares) == _SPARES:
                self._spares.remove(spare)
                self._end(spare[1])
        for missing in wanted[: _SPARES - len(self._spares)]:
            self._spares.append((missing, self._launch(missing)))
        return started[1]

    def release(self, instance: Instance) -> None:
        assert isinstance(instance, StartedScheduler)
        self._end(instance)

    def close(self) -> None:
        while self._processes:
            self._end(self._processes[-1])
        shutil.rmtree(self._directory, ignore_errors=True)
        atexit.unregister(self.close)

    def run(self, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> Process:
        """Start a process that serves the whole run."""
        with _signals_wait():
            process = Process(command, log, environment)
            self._processes.append(process)
        return process

    def _launch(self, profile: Profile) -> StartedScheduler:
        self._launched += 1
        directory = self._directory / str(self._launched)
        directory.mkdir()
        with _signals_wait():
            scheduler = self.launch(profile, directory, directory / "log")
            self._processes.append(scheduler)
        return scheduler

    def _end(self, process: Process) -> None:
        process.stop()
        self._processes.remove(process)
        shutil.rmtree(process.log.parent, ignore_errors=True)


class ReferenceScheduler(StartedSubject):
    """The scheduler of this project."""

    name = "reference"
    replay_options = "--subject reference"

    def __init__(self) -> None:
        super().__init__()
        self.version = _version_of("rescind")

    def launch(self, profile: Profile, directory: Path, log: Path) -> StartedScheduler:
        timeout = "1" if profile is Profile.SHORT_TIMEOUTS else _LONG
        command = [
            *(sys.executable, "-m", "rescind", "scheduler"),
            *("--endpoint", f"ipc://{directory}/s"),
            *("--worker-timeout", timeout, "--client-timeout", timeout),
            *("--rebalance-interval", "0.1" if profile is Profile.REBALANCING else "0"),
            *(["--accept-shutdown"] if profile is Profile.CLOSABLE else []),
            *(["--max-tasks-per-client", str(LIMIT)] if profile is Profile.LIMITED else []),
        ]
        environment = {"TMPDIR": str(directory), "PYTHONUNBUFFERED": "1"}
        return StartedScheduler(command, log, environment, "listening on ", "listening on ")


class OpengrisScaler(StartedSubject):
    """The released scheduler of OpenGRIS Scaler, with its object storage server, over ZeroMQ."""

    name = "opengris-scaler"
    replay_options = "--subject opengris-scaler"
    missing_options: Mapping[Profile, str] = {Profile.LIMITED: "it has no option that limits a client's tasks"}

    def __init__(self) -> None:
        self._scheduler = _console_script("scaler_scheduler")
        self._storage = _console_script("scaler_object_storage_server")
        super().__init__()
        self.version = _version_of("opengris-scaler")
        self._environment = {"SCALER_NETWORK_BACKEND": "zmq", "PYTHONUNBUFFERED": "1"}
        storage = self._directory / "storage"
        storage.mkdir()
        self._storage_address = f"tcp://127.0.0.1:{_free_port()}"
        server = self.run([self._storage, self._storage_address], storage / "log", self._environment)
        server.wait_for_line("ObjectStorageServer: started")

    def launch(self, profile: Profile, directory: Path, log: Path) -> StartedScheduler:
        timeout = "1" if profile is Profile.SHORT_TIMEOUTS else _LONG
        command = [
            *(self._scheduler, "tcp://127.0.0.1:0"),
            *("--object-storage-address", self._storage_address),
            *("--monitor-address", f"ipc://{directory}/m"),
            *("--worker-timeout-seconds", timeout, "--client-timeout-seconds", timeout),
            *("--load-balance-seconds", "1" if profile is Profile.REBALANCING else "-1"),
            *("--load-balance-trigger-times", "1"),
            *(["--protected"] if profile is Profile.PROTECTED else []),
        ]
        environment = {**self._environment, "TMPDIR": str(directory)}
        return StartedScheduler(
            command, log, environment, "listen to scheduler monitor address", "listen to scheduler address"
        )


SUBJECTS: Mapping[str, type[StartedSubject]] = {
    ReferenceScheduler.name: ReferenceScheduler,
    OpengrisScaler.name: OpengrisScaler,
}
"""The subjects that the suite can start, by the name that `--subject` takes."""


@contextlib.contextmanager
def _signals_wait() -> Iterator[None]:
    """Hold SIGINT and SIGTERM back while a process is made and noted: one that nobody noted would be left over.

    They are not masked, since the process would inherit the mask. Does nothing outside of the main thread,
    where Python delivers no signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[int] = []
    handlers = {
        number: signal.signal(number, lambda number, _: arrived.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for late in arrived:
            signal.raise_signal(late)


def _console_script(name: str) -> str:
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.is_file() else shutil.which(name)
    if found is None:
        raise SubjectUnavailable(f"{name} is not installed: pip install 'rescind[opengris-scaler]'")
    return found


def _version_of(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
