"""A scheduler that a command line starts, of which each order gets a fresh process."""

from __future__ import annotations

import contextlib
import shlex
import socket
import subprocess
import time
from pathlib import Path
from typing import Final

from rescind_conformance.case import Profile
from rescind_conformance.process import START_SECONDS, SubjectUnavailable
from rescind_conformance.subjects import SchedulerSubject, StartedScheduler, free_port

HOST: Final = "127.0.0.1"
ENDPOINT: Final = "{endpoint}"
"""What stands for the endpoint in a command line."""
_CONNECTING: Final = 1.0
"""Seconds: how long one try to connect may take."""
_BETWEEN_TRIES: Final = 0.02
"""Seconds."""


class CommandedScheduler(SchedulerSubject):
    """Its command line has `ENDPOINT` where the endpoint is to stand that it binds."""

    version = ""
    replay_options = ""

    def __init__(self, command: str) -> None:
        """Raises `SubjectUnavailable` if no process can come of it."""
        if ENDPOINT not in command:
            raise SubjectUnavailable(f"the command line has no {ENDPOINT}: my-scheduler --bind {ENDPOINT}")
        try:
            self.words = shlex.split(command)
        except ValueError as error:
            raise SubjectUnavailable(f"this is no command line ({error}): {command}") from error
        super().__init__()
        self.name = Path(self.words[0]).name

    def launch(self, profile: Profile, directory: Path, log: Path) -> StartedScheduler:
        return self.start(self.words, directory, log)

    @staticmethod
    def start(words: list[str], directory: Path, log: Path) -> StartedScheduler:
        """Start the process of a command line, with a free port for its `ENDPOINT`."""
        return _Bound(words, directory, log)


class _Bound(StartedScheduler):
    def __init__(self, words: list[str], directory: Path, log: Path) -> None:
        self._port = free_port()
        endpoint = f"tcp://{HOST}:{self._port}"
        command = [word.replace(ENDPOINT, endpoint) for word in words]
        try:
            super().__init__(command, log, {"TMPDIR": str(directory)}, "", "")
        except OSError as error:
            raise SubjectUnavailable(f"{command[0]!r} cannot be started: {error.strerror}") from error
        self.endpoint = endpoint

    def wait_until_ready(self) -> None:
        """Return when it listens. Raises `SubjectUnavailable`."""
        deadline = time.monotonic() + START_SECONDS
        while self.alive() and time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection((HOST, self._port), _CONNECTING):
                return
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.wait(_BETWEEN_TRIES)
        what = "does not listen" if self.alive() else "has ended"
        raise SubjectUnavailable(f"{self.command_line[0]} {what}; its last lines:\n{self.log_tail()}")
