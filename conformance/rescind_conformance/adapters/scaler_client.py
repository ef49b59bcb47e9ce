"""The adapter for the client of OpenGRIS Scaler: `python -m rescind_conformance.adapters.scaler_client`.

Its `cancel()` always asks with force, so that it does not have the feature `force`; nor can it tell how a
round ended.
"""

from __future__ import annotations

from typing import Any

from rescind_conformance.adapters.scaler_storage import ScalerStorage  # before Scaler: it chooses the transport

# isort: split
from scaler import Client

from rescind_conformance.adapters import lines
from rescind_conformance.adapters.futures import FutureCommands


class ScalerClient(FutureCommands):
    """The client, and the store that it uses."""

    def __init__(self) -> None:
        super().__init__()
        self._storage = ScalerStorage()

    def serve(self) -> None:
        """Obey the suite until it has gone."""
        hello = {
            "role": "client",
            "name": "opengris-scaler",
            "version": lines.version_of("opengris-scaler"),
            "features": ["time-limit", "timeouts", "release", "graphs"],
            "storage": self._storage.address,
        }
        calls: dict[str, lines.Command] = {
            "connect": self.connect,
            "submit": self.submit,
            "graph": self.graph,
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
        client = Client(endpoint, heartbeat_interval_seconds=heartbeat_interval, timeout_seconds=scheduler_timeout)
        self._clients.append(client)
        return {}

    def cancel(self, task: str, force: bool, time_limit: float | None) -> dict[str, Any]:
        """Cancel, always with force, and wait for the end."""
        if force:
            raise lines.Unsupported
        return {"returned": self._futures[task].cancel(timeout=time_limit)}

    def payload(self, error: bool, text: str) -> dict[str, Any]:
        """Store a result as a worker does."""
        return {"object_id": self._storage.put_result(self.client.identity, text, error=error).hex()}

    def stored(self, object_id: str) -> dict[str, Any]:
        """Look into the store."""
        return {"returned": self._storage.stored(bytes.fromhex(object_id))}


def main() -> None:
    """Obey the suite."""
    lines.begin()
    ScalerClient().serve()


if __name__ == "__main__":
    main()
