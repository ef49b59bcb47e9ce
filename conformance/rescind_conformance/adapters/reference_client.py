"""The adapter for the client of this project: `python -m rescind_conformance.adapters.reference_client`."""

from __future__ import annotations

import concurrent.futures
import tempfile
import threading
from pathlib import Path
from typing import Any

from rescind import Client
from rescind.future import ScalerFuture
from rescind.payloads import argument_object_id, dump, dump_exception
from rescind.store import ObjectMissing, SqliteStore
from rescind_conformance.adapters import lines

FEATURES = ["force", "time-limit", "outcome", "timeouts", "release"]


class ReferenceClient:
    """The client, its futures by the names that the suite gives them, and the store that it uses."""

    def __init__(self) -> None:
        self._path = Path(tempfile.mkdtemp()) / "objects.sqlite"
        self._store = SqliteStore(self._path)
        self._client: Client | None = None
        self._clients: list[Client] = []
        """Also those of before, which would leave if they were garbage."""
        self._futures: dict[str, ScalerFuture[Any]] = {}

    def serve(self) -> None:
        """Obey the suite until it has gone."""
        hello = {
            "role": "client",
            "name": "reference",
            "version": lines.version_of("rescind"),
            "features": FEATURES,
            "storage": {"scheme": "sqlite", "host": str(self._path), "port": 0},
        }
        calls: dict[str, lines.Command] = {
            "connect": self.connect,
            "submit": self.submit,
            "cancel": self.cancel,
            "cancelled": self.cancelled,
            "state": self.state,
            "result": self.result,
            "outcome": self.outcome,
            "cancel_in_callback": self.cancel_in_callback,
            "disconnect": self.disconnect,
        }
        lines.serve(hello, {**calls, "payload": self.payload, "stored": self.stored}, waiting=calls)

    def connect(
        self, endpoint: str, heartbeat_interval: float = 2.0, scheduler_timeout: float = 60.0
    ) -> dict[str, Any]:
        """Make a client."""
        self._client = Client(
            endpoint,
            name="conformance",
            heartbeat_interval=heartbeat_interval,
            scheduler_timeout=scheduler_timeout,
        )
        self._clients.append(self._client)
        return {}

    def submit(self, task: str) -> dict[str, Any]:
        """Submit, with a callback that tells of the end."""
        assert self._client is not None
        future = self._client.submit(abs, -1)
        self._futures[task] = future
        future.add_done_callback(
            lambda done: lines.say(
                {"event": "settled", "task": task, "outcome": "cancelled" if done.cancelled() else "finished"}
            )
        )
        return {"task_id": future.task_id.hex()}

    def cancel(self, task: str, force: bool, time_limit: float | None) -> dict[str, Any]:
        """Cancel and wait for the end of the round."""
        future = self._futures[task]
        if time_limit is None:
            return {"returned": future.cancel(force=force)}
        return {"returned": future.cancel(time_limit, force=force)}

    def cancelled(self, task: str) -> dict[str, Any]:
        """Ask whether it is cancelled."""
        return {"returned": self._futures[task].cancelled()}

    def state(self, task: str) -> dict[str, Any]:
        """Ask what never waits."""
        future = self._futures[task]
        return {"settled": future.done(), "running": future.running()}

    def result(self, task: str) -> dict[str, Any]:
        """Wait for the result."""
        try:
            return {"outcome": "value", "text": str(self._futures[task].result())}
        except concurrent.futures.CancelledError:
            return {"outcome": "cancelled"}
        except Exception as error:
            return {"outcome": "error", "text": str(error)}

    def outcome(self, task: str) -> dict[str, Any]:
        """Ask how the last round ended."""
        outcome = self._futures[task].cancel_outcome
        return {"outcome": None if outcome is None else outcome.value}

    def cancel_in_callback(self, task: str, of: str) -> dict[str, Any]:
        """Cancel one future in the callback of another."""
        future = self._futures[task]
        returned: list[bool] = []
        ran = threading.Event()

        def callback(_: object) -> None:
            try:
                returned.append(future.cancel())
                if future.cancelled():
                    self.result(task)
            finally:
                ran.set()

        self._futures[of].add_done_callback(callback)
        ran.wait()
        return {"returned": returned[0]}

    def payload(self, error: bool, text: str) -> dict[str, Any]:
        """Store a result as a worker does."""
        assert self._client is not None
        object_id = argument_object_id(self._client.identity)
        self._store.put(self._client.identity, object_id, dump_exception(RuntimeError(text)) if error else dump(text))
        return {"object_id": object_id.hex()}

    def stored(self, object_id: str) -> dict[str, Any]:
        """Look into the store."""
        try:
            self._store.get(bytes.fromhex(object_id))
        except ObjectMissing:
            return {"returned": False}
        return {"returned": True}

    def disconnect(self) -> dict[str, Any]:
        """Leave at once."""
        assert self._client is not None
        self._client.disconnect()
        return {}


if __name__ == "__main__":
    lines.begin()
    ReferenceClient().serve()
