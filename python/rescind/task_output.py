"""What a task writes to `sys.stdout` and `sys.stderr`, sent line by line to whoever asked for it."""

from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout

from rescind.messages import TaskLogType

_MOST = 65_536
"""Characters of one piece: a TaskLog has to pass every scheduler's limit of a frame (M2)."""

Tell = Callable[[TaskLogType, str], None]


@contextmanager
def sent_line_by_line(tell: Tell | None) -> Iterator[None]:
    """Hand what is written to `tell`, a line at a time and what is left at the end; None: leave the streams alone.

    `tell` is called by one thread at a time. What a process that the task forked writes goes to the worker's own
    streams: it cannot share the way back.
    """
    if tell is None:
        yield
        return
    lock = threading.Lock()
    with ExitStack() as stack:
        for log_type, redirect, own in (
            (TaskLogType.STDOUT, redirect_stdout, sys.stdout),
            (TaskLogType.STDERR, redirect_stderr, sys.stderr),
        ):
            stream = _Lines(log_type, tell, lock, own)
            stack.callback(stream.end)
            stack.enter_context(redirect(stream))
        yield


class _Lines(io.TextIOBase):
    def __init__(self, log_type: TaskLogType, tell: Tell, lock: threading.Lock, own: io.TextIOBase | object) -> None:
        self._log_type = log_type
        self._tell = tell
        self._lock = lock
        self._own = own
        self._process = os.getpid()
        self._begun = ""
        self._over = False

    def writable(self) -> bool:
        return True

    def write(self, text: str, /) -> int:
        if os.getpid() != self._process or self._over:
            return int(self._own.write(text))  # type: ignore[union-attr]
        with self._lock:
            lines = (self._begun + text).splitlines(keepends=True)
            self._begun = lines.pop() if lines and not lines[-1].endswith("\n") else ""
            if len(self._begun) > _MOST:
                lines.append(self._begun)
                self._begun = ""
            self._send("".join(lines))
        return len(text)

    def flush(self) -> None:
        if os.getpid() == self._process and not self._over:
            with self._lock:
                self._send_begun()

    def end(self) -> None:
        """The task is over: what a thread of it still writes is not the task's output any more."""
        if os.getpid() == self._process:
            with self._lock:
                self._send_begun()
                self._over = True

    def _send_begun(self) -> None:
        begun, self._begun = self._begun, ""
        self._send(begun)

    def _send(self, text: str) -> None:
        # A half of a surrogate pair cannot travel.
        sound = text.encode(errors="backslashreplace").decode()
        for first in range(0, len(sound), _MOST):
            self._tell(self._log_type, sound[first : first + _MOST])
