"""What a scenario has at hand: clients of the mix's kind, files that tasks share with it, a word with the runner."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

from rescind_conformance.interop.mixes import PEERS, Kind

PATIENCE = 45.0
"""Seconds; bounds how long something is waited for that is to happen in milliseconds."""


class Departed(Exception):
    """A party did not do what a requirement says; the text tells what happened."""

    def __init__(self, requirement: str, text: str) -> None:
        super().__init__(text)
        self.requirement = requirement


class NotOffered(Exception):
    """The kind of client, or of worker, has no such feature; the text says what is missing."""


class Desk:
    """For one scenario, and one thread."""

    def __init__(self, order: dict[str, Any], stdin: TextIO, stdout: TextIO) -> None:
        self.kind = Kind(order["client"])
        self.scheduler = Kind(order["scheduler"])
        self.worker = Kind(order["worker"])
        self.all_scaler: bool = order["all_scaler"]
        """Whether no party is ours."""
        self.endpoint: str = order["endpoint"]
        self.large_bytes: int = order["large_bytes"]
        self.slots: int = order["slots"]
        self.many: int = order["many"]
        """How many tasks are many."""
        self.depth: int = order["depth"]
        """How deep tasks submit tasks."""
        self.examples: str = order["examples"]
        """A directory of Scaler's examples; "": none was given."""
        self._folder = Path(order["folder"])
        self._stdin, self._stdout = stdin, stdout
        self._clients: list[Any] = []
        self._adapter: list[str] = order["adapter"]
        """The command of the adapter that holds a client which is not in Python."""
        self._storage: dict[str, Any] | None = order["storage"]
        """Where such a client keeps payloads; None: where the scheduler says."""
        self._adapters: list[Any] = []

    def client(self, **options: Any) -> Any:
        """A client of the mix's kind. It is disconnected when the scenario is over."""
        made: Any
        if self.kind in PEERS:
            made = self._adapter_client(**options)
        elif self.kind is Kind.REFERENCE:
            from rescind import Client

            made = Client(self.endpoint, **options)
        else:
            import scaler

            made = scaler.Client(address=self.endpoint, **options)
        self._clients.append(made)
        return made

    def _adapter_client(self, **options: Any) -> Any:
        from rescind_conformance.interop.adapter_client import AdapterClient

        if options:
            raise NotOffered(f"an adapter has no {' and no '.join(options)}")
        log = self._folder / f"client-{len(self._adapters)}.log"
        made = AdapterClient(self._adapter, log, self.endpoint, self._storage)
        self._adapters.append(made)
        return made

    @property
    def in_python(self) -> bool:
        """Whether client and workers are: values are any that can be pickled, errors are what was raised."""
        return self.kind not in PEERS

    def is_error_of_fail(self, error: object, what: str) -> bool:
        """Whether this is what `tasks.fail` has raised."""
        if self.in_python:
            return isinstance(error, KeyError) and error.args == (what,)
        return error is not None and what in str(error)

    def forget(self, client: Any) -> None:
        """It has been closed by the scenario."""
        self._clients.remove(client)

    def close(self) -> None:
        """Disconnect the clients that are left."""
        for each in self._clients:
            with contextlib.suppress(Exception):
                each.disconnect()
        for each in self._adapters:
            each.close()

    def cancel(self, future: Any, *, force: bool = True) -> bool:
        """Cancel. Scaler's client always asks with force."""
        if self.kind is Kind.SCALER:
            return bool(future.cancel(timeout=PATIENCE))
        return bool(future.cancel(timeout=PATIENCE, force=force))

    def path(self, name: str) -> str:
        """Where tasks and the scenario find the same file."""
        return str(self._folder / name)

    def let_go(self, name: str) -> None:
        """Make the file that tasks wait for."""
        Path(self.path(name)).touch()

    def ask(self, what: str) -> Any:
        """Have the runner do something to the system; its answer."""
        self._say({"ask": what})
        return json.loads(self._stdin.readline())["answer"]

    def step(self, what: str) -> None:
        """Say what comes now, for the report of a scenario that does not end."""
        self._say({"step": what})

    def check(self, holds: bool, requirement: str, text: str) -> None:
        """Raise `Departed` unless it holds."""
        if not holds:
            raise Departed(requirement, text)

    def wait_until(
        self, happened: Callable[[], bool], requirement: str, text: str, *, seconds: float = PATIENCE
    ) -> None:
        """Wait until something has happened. Raises `Departed` if it does not."""
        for _ in self._looks(seconds):
            if happened():
                return
        raise Departed(requirement, text)

    def wait_for_file(self, name: str, requirement: str, text: str) -> int:
        """Wait until a task has written this file; the process id in it."""
        file = Path(self.path(name))
        self.wait_until(file.exists, requirement, text)
        return int(file.read_text() or 0)

    def wait_until_gone(self, pid: int, requirement: str, text: str) -> None:
        """Wait until a process has ended."""
        self.wait_until(lambda: not runs(pid), requirement, text)

    def _looks(self, seconds: float) -> Iterator[None]:
        pause, deadline = threading.Event(), time.monotonic() + seconds
        while time.monotonic() < deadline:
            yield
            pause.wait(0.01)

    def _say(self, word: dict[str, Any]) -> None:
        self._stdout.write(json.dumps(word) + "\n")
        self._stdout.flush()


def runs(pid: int) -> bool:
    """Whether a process runs: a zombie does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return True
