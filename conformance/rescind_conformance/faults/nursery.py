"""Real schedulers, workers and clients in milliseconds: forked from a process that has imported everything already.

That process, the nursery, is where every orphan comes to: so it knows whether anything is left of what it started, and
ends all of it when its own parent is gone, however that came about.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import mmap
import os
import select
import shutil
import signal
import socket
import sqlite3
import struct
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rescind import worker_pool, worker_process
from rescind_conformance.process import SubjectUnavailable, last_lines

_PR_SET_CHILD_SUBREAPER = 36
_PROC = Path("/proc")
_NEW_MOUNTS = 0x00020000
_CLOCK = struct.Struct("=d")
_STORE_BYTES = 16 * 1024 * 1024


class Child:
    """A process that was started. For any thread: a signal never reaches another process than this one."""

    def __init__(self, pid: int, name: str, log: Path, clock: Path) -> None:
        self.pid = pid
        self.name = name
        self.log = log
        self.clock = clock
        """The file that says how far its wall clock is ahead."""
        try:
            self._handle: int | None = os.pidfd_open(pid)
        except ProcessLookupError:  # it has ended already
            self._handle = None

    def send(self, number: int) -> bool:
        """Send a signal; False if it has ended."""
        if self._handle is None:
            return False
        try:
            signal.pidfd_send_signal(self._handle, number)
        except ProcessLookupError:
            return False
        return True

    def ended(self, within: float = 0.0) -> bool:
        """Whether it has ended, or does within so many seconds."""
        return self._handle is None or bool(select.select([self._handle], [], [], max(0.0, within))[0])

    def step_clock(self, seconds: float) -> None:
        """Its wall clock, and that of what it forks from now on and before, is ahead by so much from now on."""
        with self.clock.open("r+b") as stream:
            stream.write(_CLOCK.pack(seconds))

    def forget(self) -> None:
        """Let go of it."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


class Nursery:
    """The process that forks them. `start` and `left` belong to one thread."""

    def __init__(self, folder: Path, log: Path, inherited: Sequence[int] = (), spoil: str = "") -> None:
        """`folder` is removed at the end, however it comes about; `store` in it becomes a small disk of its own, if
        this account may mount one. `inherited`: descriptors that stay open until all is over.
        `spoil`: a function that breaks something, as `module:name`; it is called before anything is started.
        """
        self.log = log
        (folder / "store").mkdir()
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, log.open("wb") as stream:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno()), str(folder), spoil],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                pass_fds=[theirs.fileno(), *inherited],
                start_new_session=True,
            )
        self.has_disk = self._answer() == "disk"
        """Whether the store has one."""

    def start(self, name: str, arguments: Sequence[str], log: Path, environment: Mapping[str, str]) -> Child:
        """Have `rescind` run with these arguments (or the program of a client, if the first is `client`).

        Raises `SubjectUnavailable` if this process has ended.
        """
        clock = log.with_suffix(".clock")
        clock.write_bytes(_CLOCK.pack(0.0))
        pid = self._ask(
            run=list(arguments), log=str(log), clock=str(clock), environment={**environment, "TMPDIR": str(log.parent)}
        )
        return Child(int(pid), name, log, clock)

    def left(self) -> dict[int, str]:
        """All processes that still are there, by id, and their names."""
        return {int(pid): name for pid, name in json.loads(self._ask(left=True)).items()}

    def status(self, child: Child) -> int:
        """With which status one has ended that has; the negative of a signal that has ended it."""
        return int(self._ask(status=child.pid))

    def store(self) -> tuple[int, list[str]]:
        """How many objects are in the store, -1 without one; and which files are there."""
        count, files = json.loads(self._ask(store=True))
        return count, files

    def disk(self, order: str) -> bool:
        """`fill` the disk, or `clear` it; whether that was done."""
        return self._ask(disk=order) == "done"

    def end_all(self) -> None:
        """Kill all that was started."""
        self._ask(end=True)

    def stop(self) -> None:
        """Kill all that was started, and this process; may be called twice."""
        self._control.close()
        try:
            self._process.wait(20.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _ask(self, **request: object) -> str:
        with contextlib.suppress(OSError):
            self._control.send(json.dumps(request).encode())
        return self._answer()

    def _answer(self) -> str:
        answer = b""
        with contextlib.suppress(OSError):
            answer = self._control.recv(1 << 16)
        if not answer:
            raise SubjectUnavailable(f"the process that starts the others has ended:\n{last_lines(self.log)}")
        return answer.decode()


def descendants(pid: int) -> dict[int, tuple[int, str]]:
    """All processes below one: by id, the parent's id and the name."""
    every: dict[int, tuple[int, str]] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                head, _, tail = (entry / "stat").read_text().rpartition(")")
                if not tail.startswith(" Z"):
                    every[int(entry.name)] = (int(tail.split()[1]), head.partition("(")[2])
    below: dict[int, tuple[int, str]] = {}
    while found := {each: of for each, of in every.items() if each not in below and (of[0] == pid or of[0] in below)}:
        below |= found
    return below


def _serve(control: socket.socket, folder: str, spoil: str) -> None:
    # What a child needs is imported once, here.
    from rescind import cli, client, scheduler, worker  # noqa: F401
    from rescind_conformance.faults import client_program

    with contextlib.suppress(SystemExit):
        cli.app(["scheduler", "--endpoint", "none"])  # ends there; what parsing options imports is here now

    if spoil:
        module, _, name = spoil.partition(":")
        getattr(importlib.import_module(module), name)()
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, ctypes.c_ulong(1), 0, 0, 0)
    store = Path(folder, "store")
    disk = _mount(libc, str(store))
    control.send(b"disk" if disk else b"none")
    statuses: dict[int, int] = {}
    while True:
        ready = select.select([control], [], [], 0.05)[0]
        _reap(statuses)
        if not ready:
            continue
        data = control.recv(1 << 16)
        if not data:
            _end_all()
            libc.umount2(str(store).encode(), 2)
            shutil.rmtree(folder, ignore_errors=True)
            return
        request = json.loads(data)
        if "run" in request:
            pid = os.fork()
            if pid == 0:
                control.close()
                _become(request, cli.app, client_program.run)
            control.send(str(pid).encode())
        elif "left" in request:
            control.send(json.dumps({pid: name for pid, (_, name) in descendants(os.getpid()).items()}).encode())
        elif "status" in request:
            control.send(str(statuses[request["status"]]).encode())
        elif "store" in request:
            control.send(json.dumps(_look(store)).encode())
        elif "disk" in request:
            control.send(b"done" if disk and _fill(store, request["disk"] == "fill") else b"not done")
        else:
            _end_all()
            control.send(b"ended")


def _mount(libc: ctypes.CDLL, folder: str) -> bool:
    """A small disk that only this process and its children see: it goes with the last of them."""
    if libc.unshare(_NEW_MOUNTS):
        return False
    private, recursive = 1 << 18, 1 << 14
    if libc.mount(b"none", b"/", None, ctypes.c_ulong(private | recursive), None):
        return False
    options = f"size={_STORE_BYTES}".encode()
    return not libc.mount(b"tmpfs", folder.encode(), b"tmpfs", ctypes.c_ulong(0), options)


def _fill(folder: Path, full: bool) -> bool:
    ballast = folder / "ballast"
    if not full:
        ballast.unlink(missing_ok=True)
        return True
    with contextlib.suppress(OSError), ballast.open("ab", buffering=0) as stream:
        for size in (1 << 20, 1 << 12):
            with contextlib.suppress(OSError):
                while True:
                    stream.write(bytes(size))
    return True


def _look(folder: Path) -> list[object]:
    """How many objects are in the store, or -1 if it is not there; which files."""
    files = sorted(each.name for each in folder.iterdir())
    count = -1
    for name in files:
        if name.endswith(".sqlite"):
            connection = sqlite3.connect(folder / name, timeout=5.0)
            with contextlib.closing(connection), contextlib.suppress(sqlite3.Error):
                count = max(count, 0) + connection.execute("SELECT COUNT(*) FROM objects").fetchone()[0]
    return [count, files]


def _reap(statuses: dict[int, int]) -> None:
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            statuses[ended[0]] = os.waitstatus_to_exitcode(ended[1])


def _end_all() -> None:
    deadline = time.monotonic() + 15.0
    while (left := descendants(os.getpid())) and time.monotonic() < deadline:
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.005)
        _reap({})
    _reap({})


def _become(request: Mapping[str, object], app: object, client: object) -> None:
    """The forked process: never returns."""
    status = 1
    try:
        os.setsid()
        log = os.open(str(request["log"]), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for descriptor in (1, 2):
            os.dup2(log, descriptor)
        os.close(log)
        assert isinstance(request["environment"], dict)
        assert isinstance(request["run"], list)
        os.environ.update(request["environment"])
        _follow(str(request["clock"]))
        setattr(worker_pool, "subprocess", _FirstForked())  # noqa: B010 - it is a module there
        sys.argv = ["rescind", *request["run"]]
        assert callable(app)
        assert callable(client)
        if request["run"][0] == "client":
            client(request["run"][1:])
        else:
            app()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


class _FirstForked:
    """In place of the module `subprocess`: a worker's first server is forked, and not started, which takes long.

    It lets go of everything that the worker has open, as it would if it had been started. Later ones are: by then the
    worker has the store open, which a process must not take along.
    """

    DEVNULL = subprocess.DEVNULL
    TimeoutExpired = subprocess.TimeoutExpired

    def __init__(self) -> None:
        self._forked = False

    def Popen(self, command: Sequence[str], **options: Any) -> Any:  # noqa: N802 - as there
        """What the worker uses of it."""
        if self._forked:
            return subprocess.Popen(command, **options)
        self._forked = True
        return _ForkedServer(command, options["pass_fds"][0])


class _ForkedServer:
    """As much of a `subprocess.Popen` as a worker uses."""

    def __init__(self, command: Sequence[str], control: int) -> None:
        self._status: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.setsid()
                os.closerange(3, control)
                os.closerange(control + 1, 4096)
                signal.set_wakeup_fd(-1)
                for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                    signal.signal(number, signal.SIG_DFL)
                worker_process.serve(control, json.loads(command[-1]))
            finally:
                os._exit(0)

    def poll(self) -> int | None:
        if self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self._status = os.waitstatus_to_exitcode(status) if pid else None
        return self._status

    def wait(self, timeout: float = 60.0) -> int:
        deadline = time.monotonic() + timeout
        while (status := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("server", timeout)
            time.sleep(0.002)
        return status

    def kill(self) -> None:
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)


def _follow(path: str) -> None:
    """Have this process's wall clock be ahead by what the file says."""
    with open(path, "rb") as stream:
        shown = mmap.mmap(stream.fileno(), _CLOCK.size, prot=mmap.PROT_READ)
    wall, wall_ns = time.time, time.time_ns
    time.time = lambda: wall() + _CLOCK.unpack(shown[:])[0]
    time.time_ns = lambda: wall_ns() + int(_CLOCK.unpack(shown[:])[0] * 1e9)


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as own:
        _serve(own, *sys.argv[2:])
