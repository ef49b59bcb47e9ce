"""What the adapters of clients have in common whose futures are those of `concurrent.futures`."""

from __future__ import annotations

import concurrent.futures
import threading
from typing import Any

from rescind_conformance.adapters import lines


def combine(*arguments: Any) -> Any:
    """What the nodes of a graph call; nothing runs it."""
    return arguments


class FutureCommands:
    """The clients that were made, and the present one's futures by the names that the suite gives them."""

    def __init__(self) -> None:
        self._clients: list[Any] = []
        """The last one is the present; those of before would leave, and perhaps wait, if they were garbage."""
        self._futures: dict[str, Any] = {}

    @property
    def client(self) -> Any:
        """The present client."""
        return self._clients[-1]

    def submit(self, task: str) -> dict[str, Any]:
        """Submit, with a callback that tells of the end."""
        return {"task_id": self._keep(task, self.client.submit(abs, -1))}

    def graph(self, nodes: list[dict[str, Any]], targets: list[str]) -> dict[str, Any]:
        """Submit a graph; its targets have futures, with the same callback."""
        calls = {node["task"]: (combine, *(node["arguments"] or ["a value"])) for node in nodes}
        futures = self.client.get({"a value": -1, **calls}, targets, block=False)
        return {"task_ids": {task: self._keep(task, futures[task]) for task in targets}}

    def _keep(self, task: str, future: Any) -> str:
        """Add the callback; the future's task id in hexadecimal."""
        self._futures[task] = future
        future.add_done_callback(
            lambda done: lines.say(
                {"event": "settled", "task": task, "outcome": "cancelled" if done.cancelled() else "finished"}
            )
        )
        return bytes(future.task_id).hex()

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

    def disconnect(self) -> dict[str, Any]:
        """Leave at once."""
        self.client.disconnect()
        return {}
