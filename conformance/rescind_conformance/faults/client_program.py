"""A client under faults: submits and cancels at random, joins again when the scheduler is lost, and writes down
all that it was told of each future. A program of its own; `run` is its body.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import os
import random
import select
import signal
import sys
import threading
import time
from collections.abc import Sequence
from types import FrameType
from typing import Any, Final

from rescind.client import Client
from rescind.future import ScalerFuture
from rescind_conformance.faults.bodies import body, meet

HEARTBEAT: Final = 0.1
SCHEDULER_TIMEOUT: Final = 1.5
_CONNECT_SECONDS: Final = 1.0
_PAUSES: Final = (0.005, 0.05)
"""Seconds between two things that a client does."""
_KINDS: Final = {"short": 12, "long": 5, "hangs": 2, "spins": 1, "has children": 1, "dies": 1, "raises": 2, "large": 2}
"""What tasks do, and how often one is drawn."""
_ENDLESS: Final = ("hangs", "spins", "has children")
_MOST_PENDING: Final = 8
_STORM: Final = 12
_SHORT_LIMIT, _LIMIT = 0.1, 60.0
"""Seconds: time limits of `cancel()`. With the longer one, only an answer ends a round."""


class _Left(BaseException):
    """It was told to leave in order."""


class _Journal:
    """Lines of JSON, each written at once. Thread-safe."""

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(self, what: str, **more: object) -> None:
        line = json.dumps({"what": what, "at": round(time.monotonic(), 6), **more})
        os.write(self._descriptor, line.encode() + b"\n")


class _Load:
    """One process of a client. For its main thread."""

    def __init__(self, endpoint: str, name: str, seed: str, place: str, patience: str) -> None:
        self._endpoint = endpoint
        self._name = name
        self._patience = float(patience)
        self._random = random.Random(seed)
        self._bodies = f"{place}/bodies"
        self._orders = f"{place}/{name}.orders"
        self._journal = _Journal(f"{place}/{name}.journal")
        self._client: Client | None = None
        self._endless: set[str] = set()
        """Those that go on until they are ended."""
        self._futures: dict[str, ScalerFuture[Any]] = {}
        """All that are not known to be settled."""
        self._cancels: list[concurrent.futures.Future[None]] = []
        self._callers = concurrent.futures.ThreadPoolExecutor(16)
        self._submitted = 0
        self._orders_read = 0

    def run(self) -> None:
        """Until it is told to finish; then until every future is settled, or that takes too long."""
        while True:
            match self._order(self._random.uniform(*_PAUSES)):
                case "storm":
                    self._storm()
                case "finish":
                    break
                case _:
                    self._do_something()
        self._finish()
        while (order := self._order(0.02)) != "leave":
            if order.startswith("meet "):
                self._meet(int(order.split()[1]))
        self.leave()

    def leave(self) -> None:
        """Say good-bye."""
        if self._client is not None:
            self._client.disconnect()
        self._journal.write("left")

    def _order(self, patience: float) -> str:
        """The next that it is told, if that comes soon."""
        select.select([], [], [], patience)
        with contextlib.suppress(OSError), open(self._orders, encoding="ascii") as stream:
            orders = stream.read().splitlines()
            if len(orders) > self._orders_read:
                self._orders_read += 1
                return orders[self._orders_read - 1]
        return ""

    def _do_something(self) -> None:
        self._futures = {key: future for key, future in self._futures.items() if not future.done()}
        pending = list(self._futures)
        draw = self._random.random()
        if len(pending) >= _MOST_PENDING or (pending and draw < 0.35):
            self._cancel(self._random.choice(pending))
        elif draw < 0.4:
            self._submit_graph()
        else:
            self._submit(self._random.choices(list(_KINDS), list(_KINDS.values()))[0])

    def _storm(self) -> None:
        """Much at once, and each is cancelled in the same moment, some twice."""
        keys = [self._submit(self._random.choice(("short", "long", "hangs"))) for _ in range(_STORM)]
        for key in [each for each in keys if each in self._futures]:
            for _ in range(self._random.choice((1, 1, 2))):
                self._cancel(key)

    def _connected(self) -> Client | None:
        """A client that can be used; None if there is none at the moment."""
        if self._client is None:
            try:
                self._client = Client(
                    self._endpoint,
                    name=self._name,
                    heartbeat_interval=HEARTBEAT,
                    scheduler_timeout=SCHEDULER_TIMEOUT,
                    connect_timeout=_CONNECT_SECONDS,
                )
            except (OSError, ValueError) as error:
                self._journal.write("not joined", why=repr(error))
                return None
            self._journal.write("joined", identity=self._client.identity.decode())
        return self._client

    def _key(self) -> str:
        self._submitted += 1
        return f"{self._name}-{self._submitted}"

    def _submit(self, kind: str) -> str:
        key, client = self._key(), self._connected()
        if client is not None:
            try:
                future = client.submit(body, kind, self._bodies, key)
            except (RuntimeError, OSError) as error:
                self._refused(key, error)
            else:
                self._keep(key, kind, future, [])
        return key

    def _submit_graph(self) -> None:
        """Three tasks, of which two depend on the first, and the last on both."""
        keys, client = [self._key() for _ in range(3)], self._connected()
        if client is None:
            return
        kinds = [self._random.choice(("short", "long", "hangs", "raises")), "short", "short"]
        graph: dict[str, Any] = {
            "folder": self._bodies,
            **{f"kind {key}": kind for key, kind in zip(keys, kinds, strict=True)},
        }
        needs: tuple[list[str], ...] = ([], keys[:1], keys[:2])
        for key, others in zip(keys, needs, strict=True):
            graph[f"key {key}"] = key
            graph[key] = (body, f"kind {key}", "folder", f"key {key}", *others)
        try:
            futures = client.get(graph, keys, block=False)
        except (RuntimeError, OSError) as error:
            self._refused(keys[0], error)
            return
        for key, kind, others in zip(keys, kinds, needs, strict=True):
            self._keep(key, kind, futures[key], others)

    def _refused(self, key: str, error: Exception) -> None:
        self._journal.write("refused", key=key, why=repr(error))
        if self._client is not None and not isinstance(error, OSError):
            # Lost, for good: what it had must be settled by now or soon. A new one joins.
            self._client = None

    def _keep(self, key: str, kind: str, future: ScalerFuture[Any], others: Sequence[str]) -> None:
        self._journal.write("submitted", key=key, kind=kind, task=future.task_id.hex(), others=others)
        self._futures[key] = future
        if kind in _ENDLESS:
            self._endless.add(key)
        future.add_done_callback(lambda settled: self._note_settled(key, future))

    def _note_settled(self, key: str, future: ScalerFuture[Any]) -> None:
        if future.cancelled():
            outcome = future.cancel_outcome
            self._journal.write("settled", key=key, how="cancelled", why=outcome.name if outcome else "")
        elif (error := future.exception()) is not None:
            cause = error.__cause__
            self._journal.write(
                "settled",
                key=key,
                how="error",
                why=type(error).__name__,
                text=str(error)[:300],
                cause=repr(cause)[:300],
            )
        else:
            self._journal.write("settled", key=key, how="result", value=str(future.result())[:200])

    def _cancel(self, key: str) -> None:
        force = self._random.random() < 0.5
        limit = _SHORT_LIMIT if self._random.random() < 0.05 else _LIMIT
        self._cancels = [one for one in self._cancels if not one.done()]
        self._cancels.append(self._callers.submit(self._cancel_here, key, self._futures[key], force, limit))

    def _cancel_here(self, key: str, future: ScalerFuture[Any], force: bool, limit: float) -> None:
        self._journal.write("cancel called", key=key, force=force, limit=limit)
        value = future.cancel(limit, force=force)
        outcome = future.cancel_outcome
        self._journal.write(
            "cancel returned", key=key, value=value, why=outcome.name if outcome else "", cancelled=future.cancelled()
        )

    def _finish(self) -> None:
        """All that goes on for ever is ended; then every future settles, and every `cancel()` returns."""
        deadline = time.monotonic() + self._patience
        while time.monotonic() < deadline:
            left = {key: future for key, future in self._futures.items() if not future.done()}
            if not left:
                break
            calls = [
                self._callers.submit(self._cancel_here, key, future, True, _LIMIT)
                for key, future in left.items()
                if key in self._endless
            ]
            self._cancels += calls
            concurrent.futures.wait(calls or list(left.values()), max(0.0, deadline - time.monotonic()))
        waiting = concurrent.futures.wait(self._cancels, max(0.1, deadline - time.monotonic())).not_done
        unsettled = [key for key, future in self._futures.items() if not future.done()]
        for call in self._cancels:
            if call.done() and call.exception() is not None:
                self._journal.write("failed", why=repr(call.exception()))
        self._journal.write("finished", unsettled=unsettled, waiting=len(waiting))

    def _meet(self, number: int) -> None:
        """So many tasks that wait for one another: no place is taken by what is over."""
        there: list[int] = []
        for _ in range(3):  # a client that was lost in the last moment joins again
            if (client := self._connected()) is None:
                continue
            futures = []
            try:
                futures = [client.submit(meet, self._bodies, each, number, self._patience) for each in range(number)]
                there = [future.result(self._patience * 2) for future in futures]
                break
            except (RuntimeError, OSError, concurrent.futures.CancelledError, TimeoutError) as error:
                self._journal.write("not met", why=repr(error))
                self._client = None
                for each in futures:
                    each.cancel(force=True)
        self._journal.write("met", there=there)


def run(arguments: Sequence[str]) -> None:
    """The program of a client: endpoint, name, seed, folder, patience."""
    load = _Load(*arguments)

    def leave(number: int, frame: FrameType | None) -> None:
        raise _Left

    signal.signal(signal.SIGTERM, leave)
    try:
        load.run()
    except _Left:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        load.leave()
    finally:
        sys.stdout.flush()
        # Threads that wait in `cancel()` for ever would keep the process: that was written down by now.
        threading.Timer(0.0, os._exit, (0,)).start() if threading.active_count() > 50 else None
        os._exit(0)
