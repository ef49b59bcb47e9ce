"""Reference schedulers in milliseconds: forked from a process that has imported everything already.

Each is a process of its own, as fresh as if it had been started, in a process group of its own; what it
says on standard output comes through a pipe, whose end is the end of the process. The process that forks them
waits for a child only when told to, so that a process id cannot pass to somebody else in between.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from rescind_conformance.process import START_SECONDS, SubjectUnavailable, last_lines

_LAST_WORDS_SECONDS = 2.0
"""How long a process that ends is waited for, so that its log can be quoted."""


class Forked:
    """One process that was forked. For one thread."""

    def __init__(self, parent: WarmStart, pid: int, output: int, log: Path) -> None:
        self.pid = pid
        self.log = log
        self.endpoint = ""
        self._parent = parent
        self._output = output
        self._over = False
        self._reaped = False

    def wait_until_ready(self) -> None:
        """Return when it serves: it says where. Raises `SubjectUnavailable`."""
        deadline = time.monotonic() + START_SECONDS
        said = b""
        while self.endpoint == "":
            ready, _, _ = select.select([self._output], [], [], max(0.0, deadline - time.monotonic()))
            chunk = os.read(self._output, 4096) if ready else b""
            said += chunk
            if not chunk:
                raise SubjectUnavailable(f"the scheduler did not start; its last lines:\n{self.log_tail()}")
            if said.endswith(b"\n"):
                self.endpoint = said.decode().partition("listening on ")[2].strip()

    def alive(self, *, within: float = 0) -> bool:
        """Whether it runs, and does not end within so many seconds."""
        if not self._over and select.select([self._output], [], [], within)[0]:
            self._over = not os.read(self._output, 4096)
        return not self._over

    def log_tail(self) -> str:
        """The last lines that it wrote."""
        return last_lines(self.log)

    def ask_to_stop(self) -> bool:
        """Send SIGTERM."""
        os.kill(self.pid, signal.SIGTERM)
        return True

    def stop(self) -> None:
        """Kill it, with its process group, and have it reaped. May be called again, also after a signal cut it short:
        by then its process id and its descriptor may be another's.
        """
        if not self._reaped:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
            self._reaped = True
            self._parent.reap(self.pid)
        output, self._output = self._output, -1
        if output >= 0:
            os.close(output)


class WarmStart:
    """The process that forks them. For one thread; `stop` ends it, and what it has forked must be stopped before."""

    def __init__(self, log: Path, environment: Mapping[str, str]) -> None:
        self.log = log
        self._control, theirs = socket.socketpair()
        with theirs, log.open("wb") as stream:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                env={**os.environ, **environment},
            )

    def fork(self, arguments: Sequence[str], log: Path, environment: Mapping[str, str]) -> Forked:
        """Have `rescind` run with these arguments. Raises `SubjectUnavailable` if this process has ended."""
        output, theirs = os.pipe()
        try:
            with log.open("wb") as stream:
                request = json.dumps({"arguments": list(arguments), "environment": dict(environment)}).encode()
                socket.send_fds(self._control, [request], [theirs, stream.fileno()])
            answer = self._control.recv(64)
        except OSError:
            answer = b""
        finally:
            os.close(theirs)
        if not answer:
            os.close(output)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_LAST_WORDS_SECONDS)  # it closes its end before it has said why
            raise SubjectUnavailable(f"the reference did not start; its last lines:\n{last_lines(self.log)}")
        return Forked(self, int(answer), output, log)

    def reap(self, pid: int) -> None:
        """Wait for the end of one of its children."""
        with contextlib.suppress(OSError):
            self._control.send(str(pid).encode())
            self._control.recv(64)

    def stop(self) -> None:
        """End it; may be called twice."""
        self._control.close()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def serve(control: socket.socket) -> None:
    """Fork on each request, reap on each process id, until the other side is gone."""
    from rescind import cli, scheduler  # noqa: F401 - what a child needs is imported once, here

    with contextlib.suppress(SystemExit):
        cli.app(["scheduler", "--endpoint", "none"])  # ends there; what parsing options imports is here now
    children: set[int] = set()
    while True:
        request, descriptors, _, _ = socket.recv_fds(control, 1 << 16, 2)
        if not request:
            for pid in children:  # whoever asked for them was killed
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)
            return
        if not descriptors:
            os.waitpid(int(request), 0)
            children.discard(int(request))
            control.send(b"reaped")
            continue
        pid = os.fork()
        if pid == 0:
            control.close()
            _become(json.loads(request), *descriptors)
        children.add(pid)
        os.setpgid(pid, pid)  # here, so that it can be killed as a group as soon as it is known
        for descriptor in descriptors:
            os.close(descriptor)
        control.send(str(pid).encode())


def _become(request: Mapping[str, object], output: int, errors: int) -> None:
    """The forked process: never returns."""
    from rescind import cli

    status = 1
    try:
        os.dup2(output, 1)
        os.dup2(errors, 2)
        for descriptor in (output, errors):
            os.close(descriptor)
        assert isinstance(request["environment"], dict)
        os.environ.update(request["environment"])
        sys.argv = ["rescind", *map(str, request["arguments"])]  # type: ignore[call-overload]
        cli.app()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    finally:
        sys.stdout.flush()
        os._exit(status)


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as own:
        serve(own)
