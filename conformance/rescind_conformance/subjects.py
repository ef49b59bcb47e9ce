"""What is put to the test: schedulers that the suite starts, or one that runs already.

A started subject gets a fresh process for each case; the next one or two start while a case runs.
Every process is the leader of a process group of its own, which is killed at the end as a whole.
"""

from __future__ import annotations

import atexit
import contextlib
import shlex
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Generic, Protocol, Self, TypeVar

import zmq
from zmq.utils.monitor import recv_monitor_message

from rescind.curve import HANDSHAKE_FAILURES, Handshakes, KeysUnusable, PeerKeys, Role, read_peer_keys
from rescind_conformance.case import LIMIT, LIMIT_BYTES, LIMIT_PLACES, LIMIT_QUEUE, SHORT_PROFILES, TIMEOUT, Profile
from rescind_conformance.findings import Conversation, Findings
from rescind_conformance.process import Process, SubjectUnavailable
from rescind_conformance.warm_start import Forkable, WarmStart
from rescind_conformance.world import World

_LONG = "86400"
_REBALANCING = (Profile.REBALANCING, Profile.RESTLESS)
_SPARES = 2
_LISTENS = "listening on "
RESCIND = Forkable(
    "rescind.cli:app", needs=("rescind.scheduler", "rescind.worker"), rehearsal=("scheduler", "--endpoint", "none")
)
SCALER_SCHEDULER = Forkable(
    "scaler.entry_points.scheduler:main",
    needs=(
        *("scaler.io.zmq_async_binder", "scaler.io.zmq_async_publisher"),
        "scaler.scheduler.controllers.policies.simple_policy.simple_policy",
        "scaler.utility.queues.async_priority_queue",
    ),
)
TRACE = "trace.jsonl"
"""The trace of a scheduler of this project, beside its log."""
CONNECT_SECONDS = 10.0
"""How long a scheduler that should run already may take to accept a connection."""


class ProfileUnavailable(Exception):
    """The subject runs, but cannot be configured as a case needs it; the text says why."""


class Subject(ABC):
    """An implementation under test. For one thread; a run with several jobs makes one for each."""

    role: str
    """The role that it plays: "scheduler", "client" or "worker"."""
    name: str
    """For reports."""
    replay_options: str
    """The command-line options that choose this subject."""
    version: str = ""
    warnings: Sequence[str] = ()
    """What whoever reads the report should know of the subject, a line each."""

    @abstractmethod
    def open(self, conversation: Conversation, profile: Profile, upcoming: Sequence[Profile]) -> Findings:
        """The world of the next case. `upcoming`: the profiles of the cases after it, to start ahead.

        Raises `ProfileUnavailable`, and `SubjectUnavailable` when it does not start.
        """

    @abstractmethod
    def leave(self, world: Any) -> None:
        """The case is over: close its world, and end what was started for it."""

    @abstractmethod
    def close(self) -> None:
        """End everything that was started. May be called twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class RunningEndpoint(Subject):
    """A scheduler that somebody else has started. It should be idle and have no workers of its own."""

    role = "scheduler"

    def __init__(self, endpoint: str, curve: Mapping[Role, Path] | None = None) -> None:
        """`curve`: the directories of keys of the clients and workers that are played, if it uses CURVE.

        Raises `SubjectUnavailable` if that is no endpoint, keys cannot be used, or nobody accepts a connection there.
        """
        curve = curve or {}
        try:
            self._keys = {role: read_peer_keys(directory, role) for role, directory in curve.items()}
        except KeysUnusable as error:
            raise SubjectUnavailable(str(error)) from error
        for role in self._keys or (Role.CLIENT,):
            _require_listener(endpoint, role, self._keys.get(role))
        self.name = endpoint
        options = [f"--curve-{role.value} {shlex.quote(str(directory))}" for role, directory in curve.items()]
        self.replay_options = " ".join([f"--endpoint {endpoint}", *options])
        self._endpoint = endpoint

    def open(self, conversation: Conversation, profile: Profile, upcoming: Sequence[Profile]) -> World:
        if profile is not Profile.DEFAULT:
            raise ProfileUnavailable(f"a scheduler that runs already cannot be given the profile {profile.value!r}")
        return World(conversation, _Attached(self._endpoint), self._keys)

    def leave(self, world: World) -> None:
        world.close(farewell=True)  # the next case meets the same scheduler

    def close(self) -> None:
        pass


def _require_listener(endpoint: str, role: Role, keys: PeerKeys | None) -> None:
    """Connect once and say nothing. Raises `SubjectUnavailable`.

    Not with a heartbeat: a scheduler that is there and does not echo departs from the specification.
    """
    handshakes = Handshakes(keys, role)
    refused: str | None = None
    with zmq.Context() as context, context.socket(zmq.DEALER) as probe:
        probe.setsockopt(zmq.LINGER, 0)
        if keys is not None:
            keys.apply(probe)
        monitor = probe.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED | HANDSHAKE_FAILURES)
        try:
            probe.connect(endpoint)
            until = time.monotonic() + CONNECT_SECONDS
            connected = False
            while not connected and refused is None and (left := until - time.monotonic()) > 0:
                if monitor.poll(int(left * 1000) + 1):
                    told = recv_monitor_message(monitor)
                    connected = told["event"] == zmq.EVENT_HANDSHAKE_SUCCEEDED
                    refused = handshakes.on_event(told["event"], told["value"])
        except (zmq.ZMQError, UnicodeEncodeError) as error:
            reason = zmq.strerror(error.errno or 0) if isinstance(error, zmq.ZMQError) else error.reason
            raise SubjectUnavailable(
                f"{endpoint!r} is no endpoint to connect to ({reason}). Example: tcp://127.0.0.1:6378"
            ) from error
        finally:
            probe.disable_monitor()
    if refused is not None:
        raise SubjectUnavailable(f"no connection of a {role.value} to {endpoint}: {refused}")
    if not connected:
        raise SubjectUnavailable(
            f"no ZeroMQ connection to {endpoint} came about in {CONNECT_SECONDS:g} s: "
            "does the scheduler run, and is this its endpoint?"
        )


class _Attached:
    pid = None

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


class StartedScheduler(Process):
    """A scheduler process that has been launched; `endpoint` waits until it is ready."""

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        environment: Mapping[str, str],
        ready: str,
        announces: str,
        warm: WarmStart | None = None,
    ) -> None:
        """`ready`: in the line that says it serves. `announces`: in the line that ends with its endpoint.

        `warm`: see `Process`.
        """
        super().__init__(command, log, environment, warm=warm)
        self._ready = ready
        self._announces = announces
        self.endpoint = ""

    def wait_until_ready(self) -> None:
        """Return when it serves. Raises `SubjectUnavailable`."""
        self.wait_for_line(self._ready)
        self.endpoint = self.wait_for_line(self._announces)


class Launched(Protocol):
    """A process that was started for one case."""

    log: Path

    def wait_until_ready(self) -> None:
        """Return when it can be used. Raises `SubjectUnavailable`."""

    def stop(self) -> None:
        """End it at once, with all that it started."""


Started = TypeVar("Started", bound=Launched)


class StartedSubject(Subject, Generic[Started]):
    """Starts a fresh process for each case, ahead of time, in a temporary directory of the run."""

    missing_options: Mapping[Profile, str] = {}
    """The profiles that this subject cannot be given, and why."""

    def __init__(self) -> None:
        base = None if len(tempfile.gettempdir()) < 40 else "/tmp"  # ipc endpoints are short
        self._directory = Path(tempfile.mkdtemp(prefix="rescind-conformance-", dir=base))
        self._processes: list[Launched] = []
        self._spares: list[tuple[Profile, Started]] = []
        self._launched = 0
        self._warm: WarmStart | None = None
        self._ending = threading.RLock()  # a signal may come within, and its handler's exception ends all of them
        atexit.register(self.close)

    @abstractmethod
    def launch(self, profile: Profile, directory: Path, log: Path) -> Started:
        """Start a process and return at once."""

    def acquire(self, profile: Profile, upcoming: Sequence[Profile]) -> Started:
        """A process for the next case, ready. Raises as `open` does."""
        if profile in self.missing_options:
            raise ProfileUnavailable(self.missing_options[profile])
        found = next((spare for spare in self._spares if spare[0] is profile), None)
        if found is not None:
            self._spares.remove(found)
        started = found[1] if found is not None else self._launch(profile)
        started.wait_until_ready()
        wanted = [one for one in upcoming[:_SPARES] if one not in self.missing_options]
        for spare in list(self._spares):
            if spare[0] in wanted:
                wanted.remove(spare[0])
            elif len(self._spares) == _SPARES:
                self._spares.remove(spare)
                self.end(spare[1])
        for missing in wanted[: _SPARES - len(self._spares)]:
            self._spares.append((missing, self._launch(missing)))
        return started

    def close(self) -> None:
        while self._processes:
            self.end(self._processes[-1])
        if self._warm is not None:
            self._warm.stop()
        shutil.rmtree(self._directory, ignore_errors=True)
        atexit.unregister(self.close)

    def run(self, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> Process:
        """Start a process that serves the whole run."""
        with signals_wait():
            process = Process(command, log, environment)
            self._processes.append(process)
        return process

    def warm(self, program: Forkable, environment: Mapping[str, str]) -> WarmStart:
        """What forks this program for the whole run; `environment` is that of the first time."""
        if self._warm is None:
            folder = self._directory / "warm"
            folder.mkdir()
            with signals_wait():
                self._warm = WarmStart(program, folder / "log", {**environment, "TMPDIR": str(folder)})
        return self._warm

    def end(self, process: Launched) -> None:
        """End a process and remove what it has written, unless that is done: at exit the main thread does it, too."""
        with self._ending:
            if process not in self._processes:
                return
            process.stop()
            self._processes.remove(process)
        shutil.rmtree(process.log.parent, ignore_errors=True)

    def _launch(self, profile: Profile) -> Started:
        self._launched += 1
        directory = self._directory / str(self._launched)
        directory.mkdir()
        with signals_wait():
            started = self.launch(profile, directory, directory / "log")
            self._processes.append(started)
        return started


class SchedulerSubject(StartedSubject[StartedScheduler]):
    """A scheduler that the suite starts."""

    role = "scheduler"

    def open(self, conversation: Conversation, profile: Profile, upcoming: Sequence[Profile]) -> World:
        return World(conversation, self.acquire(profile, upcoming))

    def leave(self, world: World) -> None:
        world.close()
        assert isinstance(world.instance, StartedScheduler)
        self.end(world.instance)


class ReferenceScheduler(SchedulerSubject):
    """The scheduler of this project."""

    name = "reference"
    replay_options = "--subject reference"

    def __init__(self, environment: Mapping[str, str] | None = None, *, trace: bool = False) -> None:
        """`environment` is added to that of its processes. `trace`: each writes one, `TRACE` beside its log."""
        super().__init__()
        self.version = version_of("rescind")
        self._trace = trace
        self._environment = dict(environment or {})

    def launch(self, profile: Profile, directory: Path, log: Path) -> StartedScheduler:
        timeout = f"{TIMEOUT:g}" if profile in SHORT_PROFILES else _LONG
        arguments = [
            *("rescind", "scheduler"),
            *("--endpoint", f"ipc://{directory}/s"),
            *("--run-directory", str(directory)),
            *("--worker-timeout", timeout, "--client-timeout", timeout),
            *("--rebalance-interval", "0.1" if profile in _REBALANCING else "0"),
            *("--grace", "2"),
            *(["--accept-shutdown"] if profile is Profile.CLOSABLE else []),
            *(["--max-tasks-per-client", str(LIMIT)] if profile is Profile.LIMITED else []),
            *(["--max-peers", str(LIMIT)] if profile is Profile.LIMITED else []),
            *(["--max-bytes-per-client", str(LIMIT_BYTES)] if profile is Profile.LIMITED_BYTES else []),
            *(["--max-tasks-per-worker", str(LIMIT_PLACES)] if profile is Profile.LIMITED_PLACES else []),
            *(["--max-queue", str(LIMIT_QUEUE)] if profile is Profile.LIMITED_QUEUES else []),
            *(["--drain", _LONG] if profile is Profile.DRAINING else []),
            *(["--trace", str(directory / TRACE)] if self._trace else []),
        ]
        warm = self.warm(RESCIND, self._environment)
        return StartedScheduler(arguments, log, {"TMPDIR": str(directory)}, _LISTENS, _LISTENS, warm)


class OpengrisScaler(SchedulerSubject):
    """The released scheduler of OpenGRIS Scaler, with its object storage server, over ZeroMQ."""

    name = "opengris-scaler"
    replay_options = "--subject opengris-scaler"
    missing_options: Mapping[Profile, str] = {
        Profile.LIMITED: "it has no option that limits tasks or peers",
        Profile.LIMITED_BYTES: "it has no option that limits bytes",
        Profile.LIMITED_PLACES: "it has no option that limits the tasks of a worker",
        Profile.LIMITED_QUEUES: "it has no option that limits queues",
        Profile.DRAINING: "it has no option that has it drain",
    }

    def __init__(self) -> None:
        self._storage = console_script("scaler_object_storage_server")
        super().__init__()
        self.version = version_of("opengris-scaler")
        self._environment = {"SCALER_NETWORK_BACKEND": "zmq", "PYTHONUNBUFFERED": "1"}
        storage = self._directory / "storage"
        storage.mkdir()
        self._storage_address = f"tcp://127.0.0.1:{free_port()}"
        server = self.run([self._storage, self._storage_address], storage / "log", self._environment)
        server.wait_for_line("ObjectStorageServer: started")

    def launch(self, profile: Profile, directory: Path, log: Path) -> StartedScheduler:
        timeout = f"{TIMEOUT:g}" if profile in SHORT_PROFILES else _LONG
        command = [
            *("scaler_scheduler", "tcp://127.0.0.1:0"),
            *("--object-storage-address", self._storage_address),
            *("--monitor-address", f"ipc://{directory}/m"),
            *("--worker-timeout-seconds", timeout, "--client-timeout-seconds", timeout),
            *("--load-balance-seconds", "1" if profile in _REBALANCING else "-1"),
            *("--load-balance-trigger-times", "1"),
            *(["--protected"] if profile is Profile.PROTECTED else []),
        ]
        return StartedScheduler(
            command,
            log,
            {"TMPDIR": str(directory)},
            "listen to scheduler monitor address",
            "listen to scheduler address",
            self.warm(SCALER_SCHEDULER, self._environment),
        )


SCHEDULERS: Mapping[str, type[SchedulerSubject]] = {
    ReferenceScheduler.name: ReferenceScheduler,
    OpengrisScaler.name: OpengrisScaler,
}
"""The schedulers that the suite can start, by the name that `--subject` takes."""


@contextlib.contextmanager
def signals_wait() -> Iterator[None]:
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


def console_script(name: str) -> str:
    """The path of one of Scaler's programs. Raises `SubjectUnavailable`."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.is_file() else shutil.which(name)
    if found is None:
        raise SubjectUnavailable(f"{name} is not installed: pip install 'rescind[opengris-scaler]'")
    return found


def version_of(distribution: str) -> str:
    """The installed version, "" if it cannot be had."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""


def free_port() -> int:
    """A TCP port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
