"""The reference client behind an adapter with the fault that its first argument names: the adapter's, not the client's.

`only client` and `only worker` as the first arguments: an adapter that has the commands that follow, and no features.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Collection
from typing import Any

from rescind_conformance.adapters import lines, reference_client, reference_worker
from rescind_conformance.adapters.reference_client import ReferenceClient


class Bent(ReferenceClient):
    """Does as the reference's adapter does, but for one thing."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        self._fault = fault

    def submit(self, task: str) -> dict[str, Any]:
        """Submits, and perhaps tells of another task, or in capitals."""
        answer = super().submit(task)
        if self._fault == "capitals":
            return {"task_id": answer["task_id"].upper()}
        return {"task_id": "00" * 16} if self._fault == "another task id" else answer

    def state(self, task: str) -> dict[str, Any]:
        """Asks, or lies."""
        return {"settled": True, "running": False} if self._fault == "lies and crashes" else super().state(task)

    def cancel(self, task: str, force: bool, time_limit: float | None) -> dict[str, Any]:
        """Cancels, and perhaps crashes when that has returned, or raises."""
        answer = super().cancel(task, force, time_limit)
        if self._fault == "raises anything":
            raise RuntimeError("[/bold] \x00\x1b[31m </text><b> ]]> \x07\x9b \ud800 \uffff")
        if self._fault == "lies and crashes":
            os._exit(5)
        return answer


def bend(fault: str) -> None:
    """What is not in a command."""
    say, serve = lines.say, lines.serve
    match fault:
        case "forgets settled":
            lines.say = lambda event: say(event) if event["event"] != "settled" else None
        case "raises anything":
            reference_client.FEATURES.append("\x1b\ud800")
            print("\x1b[31m\x00 logged", file=sys.stderr, flush=True)
        case "an unknown feature":
            reference_client.FEATURES.append("telepathy")
        case "leaves a child":
            subprocess.Popen(["sleep", "600"])
        case "starts a session":
            child = subprocess.Popen(["sleep", "600"], start_new_session=True)
            lines.serve = lambda hello, commands, waiting: serve(hello, commands, waiting, child.kill)  # type: ignore


def have_only(names: Collection[str]) -> None:
    """The adapters have no features, and only these commands."""
    serve = lines.serve

    def serve_these(hello: Any, commands: Any, waiting: Any = (), **options: Any) -> Any:
        serve({**hello, "features": []}, {name: commands[name] for name in names}, waiting, **options)

    lines.serve = serve_these  # type: ignore[assignment]


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["only", "worker", *names]:
            have_only(names)
            reference_worker.main()
        case ["only", "client", *names]:
            have_only(names)
            lines.begin()
            ReferenceClient().serve()
        case [fault]:
            lines.begin()
            bend(fault)
            Bent(fault).serve()
