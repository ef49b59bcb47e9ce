"""The adapter for the client of this project: `python -m rescind_conformance.adapters.reference_client`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from rescind import Client
from rescind.payloads import argument_object_id, dump, dump_exception
from rescind.store import ObjectMissing, SqliteStore
from rescind_conformance.adapters import lines
from rescind_conformance.adapters.futures import FutureCommands

FEATURES = ["force", "time-limit", "outcome", "timeouts", "release", "graphs"]


class ReferenceClient(FutureCommands):
    """The client, and the store that it uses."""

    def __init__(self) -> None:
        super().__init__()
        self._path = Path(tempfile.mkdtemp()) / "objects.sqlite"
        self._store = SqliteStore(self._path)

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
            "graph": self.graph,
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
        self, endpoint: str, heartbeat_interval: float | None = None, scheduler_timeout: float | None = None
    ) -> dict[str, Any]:
        """Make a client, with its own times where the suite gives none."""
        times = {"heartbeat_interval": heartbeat_interval, "scheduler_timeout": scheduler_timeout}
        given: dict[str, Any] = {name: seconds for name, seconds in times.items() if seconds is not None}
        self._clients.append(Client(endpoint, name="conformance", **given))
        return {}

    def cancel(self, task: str, force: bool, time_limit: float | None) -> dict[str, Any]:
        """Cancel and wait for the end of the round."""
        future = self._futures[task]
        if time_limit is None:
            return {"returned": future.cancel(force=force)}
        return {"returned": future.cancel(time_limit, force=force)}

    def outcome(self, task: str) -> dict[str, Any]:
        """Ask how the last round ended."""
        outcome = self._futures[task].cancel_outcome
        return {"outcome": None if outcome is None else outcome.value}

    def payload(self, error: bool, text: str) -> dict[str, Any]:
        """Store a result as a worker does."""
        object_id = argument_object_id(self.client.identity)
        self._store.put(self.client.identity, object_id, dump_exception(RuntimeError(text)) if error else dump(text))
        return {"object_id": object_id.hex()}

    def stored(self, object_id: str) -> dict[str, Any]:
        """Look into the store."""
        try:
            self._store.get(bytes.fromhex(object_id))
        except ObjectMissing:
            return {"returned": False}
        return {"returned": True}


def main() -> None:
    """Obey the suite."""
    lines.begin()
    ReferenceClient().serve()


if __name__ == "__main__":
    main()
