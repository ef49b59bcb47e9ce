"""One episode: a small system, some faults in the middle of its rounds, and then everything has to be as it should."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from rescind.trace import TraceWriter
from rescind_conformance.faults.nursery import Nursery
from rescind_conformance.faults.plan import Plan
from rescind_conformance.faults.strike import Striker, Struck
from rescind_conformance.faults.system import PROCESSES, SCHEDULER, System
from rescind_conformance.faults.verdict import judge_clients, judge_losses, judge_traces, read_journal

_POLL: Final = 0.01
_SLOWER: Final = 15.0
"""Seconds by which the harness waits for longer than a client does, which says what is missing."""
_WARM_UP: Final = 5.0
_LOCK: Final = "lock"


@dataclass(slots=True)
class Report:
    """What came of an episode."""

    plan: Plan
    struck: list[Struck] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """What is wrong, in words."""
    counts: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0


def play(plan: Plan, nursery: Nursery, folder: Path) -> Report:
    """Play an episode. `folder` is its own, beside `store`, and empty; traces and journals are left there."""
    began = time.monotonic()
    report = Report(plan)
    system = System(nursery, folder, folder.parent / "store", plan)
    try:
        striker = Striker(system, nursery)
        report.struck = striker.struck
        _wait(lambda: len(system.links.open) >= plan.workers + plan.clients, _WARM_UP)
        for fault in plan.faults:
            striker.strike(fault)
        striker.heal()
        report.problems += _look_at_the_end(system, nursery, striker, report)
        report.problems += system.crashed()
    finally:
        system.close()
        for number, life in enumerate(system.links.lives, start=1):
            with (folder / f"trace-{number}.jsonl").open("w", encoding="utf-8") as stream:
                writer = TraceWriter(stream)
                for record in life:
                    writer.write(record)
    # Its word to the workers need not have passed a link: there may have been no worker.
    shut_down = any(one.took_effect and one.fault.kind.name == "leave-scheduler" for one in report.struck)
    report.problems += judge_clients(folder, system.links.lives, report.counts, shut_down=shut_down)
    befell = [(one.fault.kind.name, one.where) for one in report.struck if one.took_effect]
    report.problems += judge_losses(folder, befell, report.counts)
    if not report.problems:
        report.problems += judge_traces(system.links.lives, report.counts)
    report.seconds = time.monotonic() - began
    return report


def _look_at_the_end(system: System, nursery: Nursery, striker: Striker, report: Report) -> list[str]:
    """All faults are over: every future settles, every place is free, nothing is left."""
    patience = report.plan.patience
    clients = system.places("client")
    for place in clients:
        system.order(place, "finish")
    for place in clients:
        said = _await_word(system, place, "finished", patience + _SLOWER)
        if said is None:
            return [f"{system.members[place].name} says nothing {patience + _SLOWER:g} s after all faults were over"]
        if said["unsettled"] or said["waiting"]:
            return []  # its journal says so, too
    striker.look_after()
    places = len(system.places("worker")) * PROCESSES
    system.order(clients[0], f"meet {places}")
    met = _await_word(system, clients[0], "met", 2 * patience + _SLOWER)
    if met is None or not met["there"] or max(met["there"]) < places:
        return [f"of {places} places at the workers, tasks got only {max(met['there'], default=0) if met else 0}"]
    problems = []
    for place in clients:
        system.order(place, "leave")
    problems += [
        f"{system.members[place].name} has not left"
        for place in clients
        if not system.members[place].child.ended(patience)
    ]
    if not _wait(lambda: nursery.store()[0] == 0, patience):
        problems.append(f"objects are left in the store: {nursery.store()[0]}")
    for place in (*system.places("worker"), SCHEDULER):
        if not system.end(place, patience):
            problems.append(f"{system.members[place].name} has not ended {patience:g} s after SIGTERM")
    if not _wait(lambda: not nursery.left(), patience):
        problems.append(f"processes are left: {nursery.left()}")
    files = [name for name in nursery.store()[1] if name != _LOCK]
    if files:
        problems.append(f"files are left in the run directory: {files}")
    return problems


def _await_word(system: System, place: str, word: str, seconds: float) -> dict[str, Any] | None:
    """What a client writes into its journal under this word."""
    member = system.members[place]
    path = system.folder / f"{member.name}.journal"
    found: list[dict[str, Any]] = []

    def look() -> bool:
        found.extend(each for each in read_journal(path) if each["what"] == word)
        return bool(found) or member.child.ended()

    _wait(look, seconds)
    return found[0] if found else None


def _wait(happened: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not happened():
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL)
    return True
