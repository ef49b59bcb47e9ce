"""The adapter for the client of OpenGRIS Scaler: `python -m rescind_conformance.adapters.scaler_client`.

Its `cancel()` always asks with force, so that it does not have the feature `force`; nor can it tell how a
round ended.
"""

from __future__ import annotations

import concurrent.futures
import threading
from typing import Any

from rescind_conformance.adapters.scaler_storage import ScalerStorage  # before Scaler: it chooses the transport

# isort: split
from scaler import Client
from scaler.client.future import ScalerFuture

from rescind_conformance.adapters import lines


class ScalerClient:
    """The client, its futures by the names that the suite gives them, and the store that it uses."""

    def __init__(self) -> None:
        self._storage = ScalerStorage()
        self._client: Client | None = None
        self._clients: list[Client] = []
        """Also those of before, which would leave, and wait, if they were garbage."""
        self._futures: dict[str, ScalerFuture] = {}

    def serve(self) -> None:
        """Obey the suite until it has gone."""
        hello = {
            "role": "client",
            "name": "opengris-scaler",
            "version": lines.version_of("opengris-scaler"),
            "features": ["time-limit", "timeouts", "release"],
            "storage": self._storage.address,
        }
        calls: dict[str, lines.Command] = {
            "connect": self.connect,
            "submit": self.submit,
            "cancel": self.cancel,
            "cancelled": self.cancelled,
            "state": self.state,
            "result": self.result,
            "cancel_in_callback": self.cancel_in_callback,
            "disconnect": self.disconnect,
        }
        commands = {**calls, "payload": self.payload, "stored": self.stored}
        lines.serve(hello, commands, waiting=calls, at_end=self._storage.close)

    def connect(self, endpoint: str, heartbeat_interval: float = 2, scheduler_timeout: float = 60) -> dict[str, Any]:
        """Make a client."""
        self._client = Client(
            endpoint, heartbeat_interval_seconds=heartbeat_interval, timeout_seconds=scheduler_timeout
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
        return {"task_id": bytes(future.task_id).hex()}

    def cancel(self, task: str, force: bool, time_limit: float | None) -> dict[str, Any]:
        """Cancel, always with force, and wait for the end."""
        if force:
            raise lines.Unsupported
        return {"returned": self._futures[task].cancel(timeout=time_limit)}

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
        return {"object_id": self._storage.put_result(self._client.identity, text, error=error).hex()}

    def stored(self, object_id: str) -> dict[str, Any]:
        """Look into the store."""
        return {"returned": self._storage.stored(bytes.fromhex(object_id))}

    def disconnect(self) -> dict[str, Any]:
        """Leave."""
        assert self._client is not None
        self._client.disconnect()
        return {}


if __name__ == "__main__":
    lines.begin()
    ScalerClient().serve()
