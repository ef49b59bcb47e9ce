"""Graphs of tasks."""

from __future__ import annotations

from typing import Any

from rescind import Client
from rescind_conformance.interop import tasks
from rescind_conformance.interop.desk import PATIENCE, Desk, NotOffered
from rescind_conformance.interop.scenario import scenario

SUPPORTED = hasattr(Client, "get")
"""Whether the reference knows graphs. Where it does not, only mixes that are all Scaler's play them."""


def require_graphs(desk: Desk) -> None:
    """Raise `NotOffered` where a party does not know graphs."""
    if not SUPPORTED and not desk.all_scaler:
        raise NotOffered("the reference does not know graphs of tasks")


def _graph() -> dict[str, Any]:
    return {
        "one": 1,
        "ten": 10,
        "eleven": (tasks.add, "one", "ten"),
        "nine": (tasks.minus, "ten", "one"),
        "two": (tasks.minus, "eleven", "nine"),
    }


@scenario("graph", "S1.1")
def graph(desk: Desk) -> None:
    """A graph of tasks gives each key's result, at once and as futures."""
    require_graphs(desk)
    client = desk.client()
    got = client.get(_graph(), keys=["two", "one", "nine"])
    desk.check(got == {"two": 2, "one": 1, "nine": 9}, "C2.4", f"the graph gave {got}")
    futures = client.get(_graph(), keys=["eleven", "two"], block=False)
    values = {key: future.result(PATIENCE) for key, future in futures.items()}
    desk.check(values == {"eleven": 11, "two": 2}, "C2.4", f"the graph gave {values}")
