"""A client in another language, with the methods of `rescind.Client` that scenarios use: behind it is its adapter.

The scenarios are the same for every client. What they have run goes by its name: workers of that language have
functions of the same names.
"""

from __future__ import annotations

import concurrent.futures
import itertools
import queue
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import zmq

from rescind import CancelOutcome
from rescind_conformance.adapter import Adapter, AdapterFault
from rescind_conformance.interop.desk import PATIENCE, NotOffered
from rescind_conformance.process import Process

_END_SECONDS = 5.0
_MARGIN_SECONDS = 10.0
"""By which an answer may come later than the time limit that the client was given."""


class PeerError(Exception):
    """What a task raised, in the words in which its client tells it."""


class AdapterClient:
    """Connected when it is made; for any thread. Ends with `close`."""

    def __init__(self, command: Sequence[str], log: Path, endpoint: str, storage: dict[str, Any] | None) -> None:
        """`storage`: payloads are there, whatever the scheduler says.

        Raises `SubjectUnavailable` if there is no such adapter, and what `call` raises.
        """
        self._adapter = Adapter("client", command, log, {})
        self._lock = threading.Lock()
        self._answers: dict[int, queue.SimpleQueue[dict[str, Any] | AdapterFault]] = {}
        self._callbacks: dict[str, list[Callable[[AdapterFuture], object]]] = {}
        self._settled: Counter[str] = Counter()
        self._futures: dict[str, AdapterFuture] = {}
        self._fault: AdapterFault | None = None
        self._numbers = itertools.count(1)
        self._adapter.wait_until_ready()
        self._reader = threading.Thread(target=self._read, name="interop-adapter", daemon=True)
        self._reader.start()
        place: dict[str, Any] = {} if storage is None else {"storage": storage}
        self.call("connect", endpoint=endpoint, **place)

    def submit(self, function: Callable[..., object], *arguments: Any) -> AdapterFuture:
        """Submit the worker's function of this name. Arguments are what JSON has; bytes become as long a text."""
        name = f"T{next(self._numbers)}"
        values = [one.decode("latin-1") if isinstance(one, bytes) else one for one in arguments]
        future = self._futures[name] = AdapterFuture(self, name)
        self.call("submit", task=name, function=function.__name__, arguments=values)
        return future

    def disconnect(self) -> None:
        """Disconnect the client; its futures can be asked until `close`."""
        self.call("disconnect")

    def close(self) -> None:
        """End the adapter."""
        with self._lock:
            self._adapter.stdin.close()
        self._reader.join(_END_SECONDS)
        if self._reader.is_alive():
            Process.stop(self._adapter)
            self._reader.join()
        self._adapter.stop()

    def call(self, name: str, seconds: float = PATIENCE, **fields: Any) -> dict[str, Any]:
        """Send a command; the fields of its answer.

        Raises `NotOffered` if it is unsupported, `RuntimeError` if it raised, `TimeoutError`, and `AdapterFault`.
        """
        answer: queue.SimpleQueue[dict[str, Any] | AdapterFault] = queue.SimpleQueue()
        with self._lock:
            if self._fault is not None:
                raise self._fault
            self._answers[self._adapter.command(name, **fields)] = answer
        try:
            event = answer.get(timeout=seconds)
        except queue.Empty:
            raise TimeoutError(f"the client's {name} has not returned within {seconds:g} s") from None
        if isinstance(event, AdapterFault):
            raise event
        if event["event"] == "unsupported":
            raise NotOffered(f"the client has no {name}")
        if event["event"] == "raised":
            raise RuntimeError(f"the client's {name} raised: {event['error']}")
        return event

    def when_settled(self, task: str, callback: Callable[[AdapterFuture], object]) -> None:
        """Call it for each time that the client says, or has said, that the task is settled."""
        with self._lock:
            self._callbacks.setdefault(task, []).append(callback)
            said = self._settled[task]
        for _ in range(said):
            callback(self._futures[task])

    def _read(self) -> None:
        poller = zmq.Poller()
        poller.register(self._adapter.output, zmq.POLLIN)
        while True:
            poller.poll()
            with self._lock:
                try:
                    events = self._adapter.receive()
                    if self._adapter.ended:
                        raise self._adapter.ended_early()
                except AdapterFault as fault:
                    self._fault = fault
                    for waiting in self._answers.values():
                        waiting.put(fault)
                    return
                settled = [self._take(event) for event in events]
            for task, callbacks in settled:
                for callback in callbacks:
                    callback(self._futures[task])

    def _take(self, event: dict[str, Any]) -> tuple[str, list[Callable[[AdapterFuture], object]]]:
        """Pass an answer on; the task that is settled, and whom to tell."""
        if "id" in event:
            self._answers.pop(event["id"]).put(event)
            return "", []
        task = event["task"]
        self._settled[task] += 1
        return task, list(self._callbacks.get(task, ()))


class AdapterFuture:
    """A future of such a client. Each method asks the client."""

    def __init__(self, client: AdapterClient, task: str) -> None:
        """`task`: its name."""
        self._client = client
        self._task = task

    def result(self, timeout: float = PATIENCE) -> Any:
        """The value. Raises `PeerError` if the task failed, `CancelledError`, and what `AdapterClient.call` raises."""
        answer = self._client.call("result", max(timeout, 1.0), task=self._task)
        match answer["outcome"]:
            case "value":
                return answer["value"]
            case "cancelled":
                raise concurrent.futures.CancelledError
        raise PeerError(answer["text"])

    def exception(self, timeout: float = PATIENCE) -> PeerError | None:
        """What the task raised; None if it has a value."""
        try:
            self.result(timeout)
        except PeerError as error:
            return error
        return None

    def cancel(self, timeout: float, *, force: bool = False) -> bool:
        """As `rescind.Future.cancel`; `timeout` in seconds."""
        limit = {"force": force, "time_limit": timeout}
        return bool(self._client.call("cancel", timeout + _MARGIN_SECONDS, task=self._task, **limit)["returned"])

    def cancelled(self) -> bool:
        """Whether it is cancelled; may wait."""
        return bool(self._client.call("cancelled", task=self._task)["returned"])

    def done(self) -> bool:
        """Whether it is settled."""
        return bool(self._client.call("state", task=self._task)["settled"])

    @property
    def cancel_outcome(self) -> CancelOutcome | None:
        """How the last round ended."""
        outcome = self._client.call("outcome", task=self._task)["outcome"]
        return None if outcome is None else CancelOutcome(outcome)

    def add_done_callback(self, callback: Callable[[AdapterFuture], object]) -> None:
        """Have it called for each time that the client's own callback has run."""
        self._client.when_settled(self._task, callback)
