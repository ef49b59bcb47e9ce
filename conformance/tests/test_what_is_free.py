"""What SPEC.md leaves free is not held against anybody: the order of dispatch, and the interval of heartbeats."""

from __future__ import annotations

import pytest

from rescind_conformance.adapter_subjects import shipped_adapter
from rescind_conformance.case import all_cases
from rescind_conformance.mutants.catalogue import Edit, Mutant
from rescind_conformance.mutants.playing import Outcome, run_mutants
from rescind_conformance.runner import Plan, run_suite, select_cases

LIMITED_ROOM = (
    "capacity.queue-size-is-kept",
    "capacity.queue-size-raised",
    "capacity.place-after-canceled",
    "capacity.place-beside-full-worker",
    "capacity.dispatch-on-last-word",
    "closing.task-waits",
    "holder.report-frees-no-place",
    "holder.report-of-waiting-task",
    "lost-clients.told-of-its-tasks",
    "transport.well-formed-frames",
    "undispatched.workers-full",
)
"""Cases in which more tasks wait than there is room for."""
NEWEST_FIRST = Edit(
    "scheduler_tasks.py",
    "            task_id, _ = self._queue.popitem(last=False)\n",
    "            task_id, _ = self._queue.popitem(last=True)\n",
)
READS_ON = (
    Edit("scheduler_tasks.py", "while self._queue and not self._closing:", "while self._queue and self._may:"),
    Edit(
        "scheduler_machine.py",
        "            case Received():\n                self._on_received(event)\n",
        "            case Received():\n"
        "                self._may = type(event.message).__name__.endswith('Heartbeat')\n"
        "                self._dispatch()\n"
        "                self._on_received(event)\n",
    ),
    Edit(
        "scheduler_machine.py",
        "        self._out = []\n        match",
        "        self._out, self._may = [], False\n        match",
    ),
)
"""It reads all that has come before it places anything, so that here only heartbeats, which are fenced, place tasks."""


@pytest.mark.parametrize(
    ("edits", "but"),
    [((NEWEST_FIRST,), ()), ((NEWEST_FIRST, *READS_ON), ("capacity.dispatch-on-last-word",))],
    ids=["newest first", "newest first of all that has come"],
)
def test_any_order_of_dispatch_will_do(
    edits: tuple[Edit, ...], but: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`but`: where nobody sends a heartbeat."""
    few = [case for case in all_cases() if case.name in LIMITED_ROOM and case.name not in but]
    assert len(few) == len(LIMITED_ROOM) - len(but)
    monkeypatch.setattr("rescind_conformance.mutants.playing.all_cases", lambda role: few)
    newest = Mutant("newest-first", "scheduler", ("S9.9",), ("capacity.queue-size-is-kept",), "made up", edits)
    findings = run_mutants([newest], deadline=3.0)
    (result,) = findings.results
    assert [(one.case, one.departed) for one in result.played if one.departed] == []
    assert result.outcome is Outcome.SURVIVED
    assert {one.case for one in result.played} == {case.name for case in few}


@pytest.mark.parametrize(
    ("role", "case"), [("client", "transport.usual-interval"), ("worker", "liveness.usual-interval")]
)
def test_an_interval_may_be_longer_than_the_deadline(role: str, case: str) -> None:
    """The reference's interval is two seconds."""
    report = run_suite(lambda: shipped_adapter(role, "reference"), select_cases(case, role=role), Plan(deadline=1.5))
    (result,) = report.results
    assert (result.departures, result.harness_error, result.unsupported) == ([], None, None)
