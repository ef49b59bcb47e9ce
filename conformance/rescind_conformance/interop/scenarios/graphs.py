"""Graphs of tasks."""

from __future__ import annotations

from typing import Any

from rescind import Client
from rescind_conformance.interop import tasks
from rescind_conformance.interop.desk import PATIENCE, Desk, NotOffered
from rescind_conformance.interop.mixes import Kind
from rescind_conformance.interop.scenario import scenario

SUPPORTED = hasattr(Client, "get")
"""Whether the reference knows graphs. Where it does not, only mixes that are all Scaler's play them."""


def require_graphs(desk: Desk) -> None:
    """Raise `NotOffered` where a party does not know graphs."""
    if not SUPPORTED and not desk.all_scaler:
        raise NotOffered("the reference does not know graphs of tasks")
    if desk.scheduler is Kind.TYPESCRIPT:
        raise NotOffered("the scheduler in TypeScript refuses graphs, as it may (SPEC.md, section 14)")


def _graph() -> dict[str, Any]:
    return {
        "one": 1,
        "ten": 10,
        "eleven": (tasks.add, "one", "ten"),
        "nine": (tasks.minus, "ten", "one"),
        "two": (tasks.minus, "eleven", "nine"),
    }


@scenario("graph", "S1.1", in_python=True)
def graph(desk: Desk) -> None:
    """A graph of tasks gives each key's result, at once and as futures."""
    require_graphs(desk)
    client = desk.client()
    got = client.get(_graph(), keys=["two", "one", "nine"])
    desk.check(got == {"two": 2, "one": 1, "nine": 9}, "C2.4", f"the graph gave {got}")
    futures = client.get(_graph(), keys=["eleven", "two"], block=False)
    values = {key: future.result(PATIENCE) for key, future in futures.items()}
    desk.check(values == {"eleven": 11, "two": 2}, "C2.4", f"the graph gave {values}")


@scenario("graph-failure", "S12.7", in_python=True)
def graph_failure(desk: Desk) -> None:
    """A node fails: what depends on it fails with the same error, and what does not has its result."""
    require_graphs(desk)
    client = desk.client()
    told = {
        "what": "lost",
        "one": 1,
        "fails": (tasks.fail, "what"),
        "follows": (tasks.echo, "fails"),
        "apart": (tasks.wait_for, "path"),
        "path": desk.path("go"),
    }
    futures = client.get(told, keys=["follows", "apart", "fails"], block=False)
    for key in ("fails", "follows"):
        error = futures[key].exception(PATIENCE)
        desk.check(isinstance(error, KeyError) and error.args == ("lost",), "S12.7", f"{key} ended with {error!r}")
    desk.let_go("go")
    error = futures["apart"].exception(PATIENCE)
    desk.check(error is None, "S12.8", f"what does not depend on the node that failed ended with {error!r}")
    desk.check(futures["apart"].result(0) == "went", "S12.8", "what does not depend on it has another result")


@scenario("graph-cancel", "S12.10", limit=45, slow=True, in_python=True)
def graph_cancel(desk: Desk) -> None:
    """A node that runs is cancelled with force: what depends on it is cancelled, and its process ends."""
    require_graphs(desk)
    client = desk.client()
    told = {"note": desk.path("note"), "never": desk.path("never")}
    calls = {"runs": (tasks.note_and_wait, "note", "never"), "follows": (tasks.echo, "runs")}
    futures = client.get(told | calls, keys=["runs", "follows"], block=False)
    pid = desk.wait_for_file("note", "S12.4", "the first node does not start")
    desk.check(desk.cancel(futures["runs"]) is True, "C2.1", "cancel() returned False")
    desk.check(futures["runs"].cancelled(), "C2.1", "cancel() returned True, and the future is not cancelled")
    desk.wait_until(futures["follows"].done, "S12.10", "what depends on the cancelled node is not told", seconds=10)
    desk.check(futures["follows"].cancelled(), "S12.10", "what depends on the cancelled node is not cancelled")
    desk.wait_until_gone(pid, "W2.2", "the process of the cancelled node still runs")
    desk.check(client.submit(tasks.add, 1).result(PATIENCE) == 11, "S9.9", "the next task did not run")
