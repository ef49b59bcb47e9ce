"""What tasks do in the cases for a worker, and the adapter's view of it.

A body runs in a process of the worker under test. It connects to the adapter's Unix socket, says its task's
name and a newline, and keeps the connection open for as long as it runs: the kernel closes it when the
process ends, in whatever way. `spawns` hands a copy of it to the process that it starts. A byte that comes
back releases a body that waits; the end of the connection means that the adapter is gone, and ends the process.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

_CHILD = """
import os, select, signal, sys
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
adapter = select.poll()
adapter.register(int(sys.argv[1]), 0)  # 0: only the end of the connection
os.write(1, b"+")
adapter.poll()
"""


def returns(address: str, task: str) -> str:
    """`return`: returns at once."""
    with _reported(address, task):
        return f"the result of {task}"


def raises(address: str, task: str) -> NoReturn:
    """`raise`: raises an error."""
    with _reported(address, task):
        raise ValueError("raised on purpose")


def cannot_be_stored(address: str, task: str) -> object:
    """`unstorable`: returns what no serialization can store."""
    with _reported(address, task):
        return threading.Lock()


def holds(address: str, task: str) -> str:
    """`hold`: waits until it is released, then returns."""
    with _reported(address, task) as adapter:
        _wait(adapter)
        return f"the result of {task}"


def spins(address: str, task: str) -> str:
    """`spin`: computes until it is released, and never waits."""
    with _reported(address, task) as adapter:
        released: list[bool] = []

        def watch() -> None:
            _wait(adapter)
            released.append(True)

        threading.Thread(target=watch, daemon=True).start()
        while not released:
            pass
        return f"the result of {task}"


def dies(address: str, task: str) -> NoReturn:
    """`die`: ends its own process at once."""
    with _reported(address, task):
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("still alive")


def spawns(address: str, task: str) -> str:
    """`spawn`: starts a process that outlives a careless parent, then waits as `hold` does."""
    with _connected(address) as adapter:
        descriptor = adapter.fileno()
        command = [sys.executable, "-S", "-c", _CHILD, str(descriptor)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, pass_fds=[descriptor], start_new_session=True)
        assert child.stdout is not None
        child.stdout.read(1)  # from now on it does not hear signals
        _say(adapter, task)
        _wait(adapter)
        return f"the result of {task}"


def halves(address: str, task: str, store: Callable[[bytes], bytes]) -> str:
    """`half`: stores a part of its result, then waits as `hold` does.

    `store` puts data where the worker puts the result of the task that runs, and returns the object's id.
    """
    object_id = store(b"half")
    with _reported(address, f"{task} {object_id.hex()}") as adapter:
        _wait(adapter)
        return f"the result of {task}"


BODIES: Mapping[str, Callable[..., Any]] = {
    "return": returns,
    "raise": raises,
    "unstorable": cannot_be_stored,
    "hold": holds,
    "spin": spins,
    "die": dies,
    "spawn": spawns,
    "half": halves,
}
"""By the names that ADAPTER.md gives them. Each takes the socket's path and the task's name; `half` also a function."""


def _connected(address: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(address)
    return connection


def _reported(address: str, text: str) -> socket.socket:
    connection = _connected(address)
    _say(connection, text)
    return connection


def _say(connection: socket.socket, text: str) -> None:
    connection.sendall(text.encode() + b"\n")


def _wait(connection: socket.socket) -> None:
    if connection.recv(1) == b"":
        os._exit(1)


class BodyWatch:
    """The adapter's side: knows which bodies have begun, and whether their processes still exist. Thread-safe."""

    def __init__(self, directory: Path, say: Callable[[Mapping[str, Any]], None]) -> None:
        """Listens in `directory`. `say` gets the event of each body that begins."""
        self.address = str(directory / "bodies")
        self._say = say
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.address)
        self._listener.listen(128)
        self._listener.setblocking(False)
        self._lock = threading.Lock()
        self._bodies: list[_Body] = []
        self._selector = selectors.DefaultSelector()  # may be added to while another thread waits on it
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._released: Counter[str] = Counter()
        """Releases that came before their body had begun."""
        threading.Thread(target=self._watch, daemon=True).start()

    def look(self) -> None:
        """Take in all that has happened. To be called before each answer to the suite: events keep their order."""
        with self._lock:
            self._look()

    def release(self, task: str) -> None:
        """Let a body that waits go on; the next one of this name, if there is none now."""
        with self._lock:
            self._look()
            waiting = [body for body in self._bodies if body.task == task and not body.released]
            if not waiting:
                self._released[task] += 1
            for body in waiting:
                body.release()

    def running(self, task: str) -> bool:
        """Whether any process of the task's body still exists."""
        with self._lock:
            self._look()
            return any(body.task == task for body in self._bodies)

    def _look(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                body = _Body(self._listener.accept()[0])
                self._bodies.append(body)
                self._selector.register(body.connection, selectors.EVENT_READ)
        for body in self._bodies:
            begun = body.task
            body.read()
            if body.task and not begun:
                self._selector.unregister(body.connection)
                event = {"event": "started", "task": body.task}
                self._say(event | ({"object_id": body.object_id} if body.object_id else {}))
                if self._released[body.task]:
                    self._released[body.task] -= 1
                    body.release()
            elif not body.task and not body.open:
                self._selector.unregister(body.connection)
        for body in self._bodies:
            if not body.open:
                body.connection.close()
        self._bodies = [body for body in self._bodies if body.open]

    def _watch(self) -> None:
        while True:
            self._selector.select()
            self.look()


class _Body:
    """One connection of a body."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.task = ""
        """Its name; empty until it has said it."""
        self.object_id = ""
        self.open = True
        self.released = False
        self._said = b""
        connection.setblocking(False)

    def read(self) -> None:
        """Take in what it has said, and whether it is still there."""
        with contextlib.suppress(BlockingIOError):
            while self.open:
                try:
                    chunk = self.connection.recv(4096)
                except ConnectionError:
                    chunk = b""
                self.open = chunk != b""
                self._said += chunk
        if not self.task and self._said.endswith(b"\n"):
            self.task, _, self.object_id = self._said.decode().strip().partition(" ")

    def release(self) -> None:
        """Let it go on."""
        self.released = True
        with contextlib.suppress(OSError):
            self.connection.send(b"!")
