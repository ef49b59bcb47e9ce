"""Child processes of a run: each in a process group of its own, with a log, and ended as a whole."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from rescind_conformance.visible_text import visible
from rescind_conformance.warm_start import ForkedChild, NotForked, WarmStart

START_SECONDS = 60.0
"""How long a subject may take to start before it is given up."""
_LOG_LINES = 20
_LOG_BYTES = 16_384
"""In which the last lines are looked for."""


class SubjectUnavailable(Exception):
    """The subject cannot be run at all; the text names the cause and the remedy."""


def last_lines(log: Path) -> str:
    """The end of a log, for reports. Only the end is read: a subject may write without end."""
    with log.open("rb") as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size - _LOG_BYTES))
        text = stream.read(_LOG_BYTES).decode(errors="replace")
    lines = text.splitlines()
    if size > _LOG_BYTES:
        lines = lines[1:] or lines  # the first is the end of one
    return "\n".join(visible(line) for line in lines[-_LOG_LINES:])


class Process:
    """A child process with its log, in a process group of its own."""

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        environment: Mapping[str, str],
        *,
        piped: bool = False,
        warm: WarmStart | None = None,
    ) -> None:
        """`piped`: its standard input and output are pipes, and only its standard error goes into the log.

        `warm`: what forks it, as its program with this command's arguments. Raises `SubjectUnavailable` if that has
        ended.
        """
        self.log = log
        self.command_line = command
        self._stopped = False
        self._process: subprocess.Popen[bytes] | ForkedChild
        with log.open("wb") as stream:
            if warm is not None:
                try:
                    self._process = warm.start(command, stream, environment, piped)
                except NotForked:
                    said = last_lines(warm.log)
                    raise SubjectUnavailable(f"{command[0]} did not start; its last lines:\n{said}") from None
                return
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE if piped else subprocess.DEVNULL,
                stdout=subprocess.PIPE if piped else stream,
                stderr=stream if piped else subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, **environment},
            )

    @property
    def stdin(self) -> IO[bytes]:
        """Its standard input, if piped."""
        assert self._process.stdin is not None
        return self._process.stdin

    @property
    def stdout(self) -> IO[bytes]:
        """Its standard output, if piped."""
        assert self._process.stdout is not None
        return self._process.stdout

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def wait_until_ready(self) -> None:
        """Return when it can be used. Raises `SubjectUnavailable`."""

    def alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def log_tail(self) -> str:
        """The last lines that it wrote."""
        return last_lines(self.log)

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
                raise SubjectUnavailable(
                    f"{' '.join(self.command_line[:4])}... {what}; its last lines:\n{self.log_tail()}"
                )
            try:
                self._process.wait(0.01)
            except subprocess.TimeoutExpired:
                continue

    def ask_to_stop(self) -> bool:
        """Send SIGTERM."""
        self._process.terminate()
        return True

    def wait(self, seconds: float) -> int:
        """Its exit status when it has ended. Raises `subprocess.TimeoutExpired`."""
        return self._process.wait(seconds)

    def stop(self) -> None:
        """Kill its whole process group and reap it. May be called again: by then the process id may be another's."""
        if self._stopped:
            return
        # Nothing of it may be left (macOS says EPERM of a group of zombies).
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._stopped = True
