"""Python programs started in milliseconds: forked from a process that has imported everything already.

Each is a process of its own, as fresh as if it had been started, in a process group of its own. The process that forks
them waits for a child only when told to, so that a process id cannot pass to somebody else in between.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, NoReturn

_LAST_WORDS_SECONDS = 2.0
"""How long a process that ends is waited for, so that its log can be quoted."""


@dataclass(frozen=True, slots=True)
class Forkable:
    """What is forked: a function that takes its arguments from `sys.argv`."""

    main: str
    """`module:function`."""
    needs: tuple[str, ...] = ()
    """Modules that it would import when it runs; those that are not there are passed over."""
    rehearsal: tuple[str, ...] = ()
    """Arguments with which it ends at once: what it imports until then is imported once, too."""


class NotForked(Exception):
    """The process that forks has ended."""


class ForkedChild:
    """One process that was forked, with the methods of `subprocess.Popen` that are used here. Thread-safe."""

    def __init__(self, parent: WarmStart, pid: int, life: int, pipes: tuple[int, int] | None) -> None:
        """`life`: a pipe that ends with it. `pipes`: the ends of its standard input and output that are ours."""
        self.pid = pid
        self.returncode: int | None = None
        self.stdin: IO[bytes] | None = None if pipes is None else os.fdopen(pipes[0], "wb")
        self.stdout: IO[bytes] | None = None if pipes is None else os.fdopen(pipes[1], "rb")
        self._parent = parent
        self._life = life
        weakref.finalize(self, os.close, life)  # not before: another thread may wait for its end
        self._lock = threading.Lock()

    def poll(self) -> int | None:
        """Its exit status; None: it runs."""
        if self.returncode is None and self._has_ended(0):
            self._reap()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended. Raises `subprocess.TimeoutExpired`."""
        if self.returncode is None:
            if timeout is not None and not self._has_ended(timeout):
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            self._reap()
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it is known to have ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def _has_ended(self, within: float) -> bool:
        return bool(select.select([self._life], [], [], within)[0])

    def _reap(self) -> None:
        with self._lock:
            if self.returncode is None:
                self.returncode = self._parent.reap(self.pid)


class WarmStart:
    """The process that forks them. Thread-safe; `stop` ends it, and what it has forked must be stopped before."""

    def __init__(self, program: Forkable, log: Path, environment: Mapping[str, str]) -> None:
        """`environment` is added to this process's own."""
        self.log = log
        self._lock = threading.Lock()
        self._control, theirs = socket.socketpair()
        with theirs, log.open("wb") as stream:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno()), json.dumps(asdict(program))],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                env={**os.environ, **environment, "PYTHONUNBUFFERED": "1"},
            )

    def start(self, command: Sequence[str], log: IO[bytes], environment: Mapping[str, str], piped: bool) -> ForkedChild:
        """Have the program run as this command: its name and its arguments. `piped`: only its errors go to the log.

        Raises `NotForked`.
        """
        request = json.dumps({"command": list(command), "environment": dict(environment)}).encode()
        life, theirs_alive = os.pipe()
        ours, theirs = [life], [theirs_alive, log.fileno()]
        if piped:
            (stdin_read, stdin_write), (stdout_read, stdout_write) = os.pipe(), os.pipe()
            ours += [stdin_write, stdout_read]
            theirs += [stdin_read, stdout_write]
        try:
            with self._lock:
                socket.send_fds(self._control, [request], theirs)
                answer = self._control.recv(64)
        except OSError:
            answer = b""
        finally:
            for descriptor in (theirs_alive, *theirs[2:]):
                os.close(descriptor)
        if not answer:
            for descriptor in ours:
                os.close(descriptor)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_LAST_WORDS_SECONDS)  # it closes its end before it has said why
            raise NotForked
        return ForkedChild(self, int(answer), life, (ours[1], ours[2]) if piped else None)

    def reap(self, pid: int) -> int:
        """Wait for the end of one of its children; its exit status, as `subprocess` has it."""
        with contextlib.suppress(OSError), self._lock:
            self._control.send(str(pid).encode())
            if answer := self._control.recv(64):
                return int(answer)
        return -signal.SIGKILL  # what becomes of the children of one that has ended

    def stop(self) -> None:
        """End it; may be called twice."""
        self._control.close()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


class WarmStarts:
    """One for each program, made when it is first wanted. Thread-safe; `stop` ends them all."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        """`folder` is there; `environment` is added to that of their processes."""
        self._folder = folder
        self._environment = environment
        self._made: dict[Forkable, WarmStart] = {}
        self._lock = threading.Lock()

    def of(self, program: Forkable) -> WarmStart:
        """What forks this program."""
        with self._lock:
            if program not in self._made:
                log = self._folder / f"warm-{len(self._made)}"
                self._made[program] = WarmStart(program, log, self._environment)
            return self._made[program]

    def stop(self) -> None:
        """End them. What they have forked must be stopped before, and nothing may be asked of them any more."""
        with self._lock:
            for one in self._made.values():
                one.stop()
            self._made.clear()


def serve(control: socket.socket, program: Forkable) -> None:
    """Fork on each request, reap on each process id, until the other side is gone."""
    _prepare(program)
    children: set[int] = set()
    while True:
        request, descriptors, _, _ = socket.recv_fds(control, 1 << 16, 4)
        if not request:
            for pid in children:  # whoever asked for them was killed
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)
            return
        if not descriptors:
            status = 0
            if (pid := int(request)) in children:  # whoever asks may have been cut short the first time
                _, status = os.waitpid(pid, 0)
                children.remove(pid)
            control.send(str(os.waitstatus_to_exitcode(status)).encode())
            continue
        pid = os.fork()
        if pid == 0:
            control.close()
            _become(program, json.loads(request), *descriptors)
        children.add(pid)
        os.setpgid(pid, pid)  # here, so that it can be killed as a group as soon as it is known
        for descriptor in descriptors:
            os.close(descriptor)
        control.send(str(pid).encode())


def _prepare(program: Forkable) -> None:
    """Import once what every child needs."""
    module, _, _ = program.main.partition(":")
    importlib.import_module(module)
    for needed in program.needs:
        with contextlib.suppress(ImportError):
            importlib.import_module(needed)
    if program.rehearsal:
        sys.argv = ["rehearsal", *program.rehearsal]
        with contextlib.suppress(SystemExit):
            _run(program)
    gc.collect()
    gc.freeze()  # no child goes through it again, or copies its pages


def _run(program: Forkable) -> None:
    module, _, function = program.main.partition(":")
    getattr(sys.modules[module], function)()


def _become(
    program: Forkable,
    request: Mapping[str, object],
    life: int,
    errors: int,
    stdin: int | None = None,
    stdout: int | None = None,
) -> NoReturn:
    """The forked process. `life` is open as long as it lives: no process that it starts has it, too."""
    status = 1
    try:
        os.set_inheritable(life, False)
        held = [life]
        os.register_at_fork(after_in_child=lambda: os.close(held.pop()) if held else None)
        if stdin is not None:
            os.dup2(stdin, 0)
        os.dup2(errors if stdout is None else stdout, 1)
        os.dup2(errors, 2)
        for descriptor in filter(None, (errors, stdin, stdout)):
            os.close(descriptor)
        command, environment = request["command"], request["environment"]
        assert isinstance(command, list)
        assert isinstance(environment, dict)
        os.environ.update(environment)
        tempfile.tempdir = None  # it may have been asked for
        sys.argv = command
        _run(program)
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    fields = json.loads(sys.argv[2])
    chosen = Forkable(fields["main"], tuple(fields["needs"]), tuple(fields["rehearsal"]))
    with socket.socket(fileno=int(sys.argv[1])) as own:
        serve(own, chosen)
