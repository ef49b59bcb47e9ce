"""The command `rescind conformance explore`, and how objects become numbers."""

from __future__ import annotations

from collections import OrderedDict
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from rescind.messages import ClientHeartbeat, WorkerHeartbeat
from rescind.placement import Placement, WorkerRecord
from rescind.scheduler_machine import Received, SchedulerMachine, TimePassed
from rescind.scheduler_table import TRANSITIONS, Action, TaskInput, TaskState, Transition
from rescind_conformance.cli import app
from rescind_conformance.explorer.cast import MachineMemo
from rescind_conformance.explorer.freeze import Cells, Freezer
from rescind_conformance.explorer.scheduler_party import Silence
from rescind_conformance.explorer.system import System


def explore(*arguments: str) -> tuple[int, str]:
    result = CliRunner(env={"COLUMNS": "120"}).invoke(app, ["explore", *arguments])
    return result.exit_code, result.output


def row(output: str, scenario: str) -> list[str]:
    """A row of the table at the end."""
    return next(line.split() for line in output.splitlines() if line.startswith(f"{scenario} "))


# The command


def test_what_closes_is_told_with_its_counts() -> None:
    status, output = explore("contested-id", "three-callers", "--workers", "1")
    assert status == 0
    name, states, steps, *_, verdict = row(output, "contested-id")
    assert (name, verdict) == ("contested-id", "closed")
    assert 2_000 < int(states.replace(",", "")) < int(steps.replace(",", "")) < 5_000
    assert "2 of 2 scenarios closed" in output


def test_without_reduction_there_are_more_states() -> None:
    def states(*more: str) -> int:
        return int(row(explore("contested-id", *more)[1], "contested-id")[1].replace(",", ""))

    assert states("--no-reduction") > 1.5 * states()


SHORTEST = """\
S4.4 is broken: scheduler sends C1 TaskCancelConfirm T2 canceled, for which there is no reason
three-callers, after the first heartbeats; the shortest order, 6 steps:
    1  C1 submits T1                 -> S  Task T1
    2  S <- C1  Task T1              -> W1  Task T1
    3  C1 submits T2                 -> S  Task T2
    4  S <- C1  Task T2              -> W1  Task T2
    5  C1 cancels T2 with force      -> S  TaskCancel T2 force
    6  S <- C1  TaskCancel T2 force  -> C1  TaskCancelConfirm T2 canceled
"""


def test_the_shortest_order_of_a_violation_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = (TaskState.DISPATCHED, TaskInput.CANCEL_FORCE)
    monkeypatch.setitem(TRANSITIONS, asked, Transition(TaskState.ENDED, Action.SEND_CANCELED))
    status, output = explore("three-callers", "--workers", "1")
    assert status == 1
    assert output.startswith(SHORTEST)
    assert row(output, "three-callers")[-1] == "broken"
    assert "three-callers: broken: S4.4\n" in output


def test_each_broken_requirement_is_shown_when_the_walk_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = (TaskState.DISPATCHED, TaskInput.WORKER_LOST_AGAIN)
    monkeypatch.setitem(TRANSITIONS, lost, Transition(TaskState.ENDED, Action.NOTHING))
    _, first = explore("lost-again", "--workers", "1")
    status, output = explore("lost-again", "--keep-going", "--workers", "1")
    assert status == 1
    assert first.count(" is broken: ") == 1
    assert output.count(" is broken: ") > 1


@pytest.mark.parametrize(
    ("limit", "why"), [(("--depth", "3"), "no deeper than 3 steps"), (("--max-states", "50"), "more than 50 states")]
)
def test_a_walk_that_is_cut_off_is_not_closed(limit: tuple[str, str], why: str) -> None:
    status, output = explore("closing", *limit)
    assert status == 2
    assert row(output, "closing")[-1] == "ended"
    assert why in output


def test_ctrl_c_prints_what_was_seen_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0
    ahead = System.ahead

    def interrupted(system: System, state: int, reduction: bool) -> Any:
        nonlocal calls
        calls += 1
        if calls == 200:
            raise KeyboardInterrupt
        return ahead(system, state, reduction)

    monkeypatch.setattr(System, "ahead", interrupted)
    status, output = explore("closing", "contested-id", "--workers", "1")
    assert status == 2
    assert "closing: ended before it was closed: interrupted" in output
    assert "contested-id" not in output


def test_an_unknown_scenario_is_named_with_those_that_there_are() -> None:
    status, output = explore("all-of-it")
    assert status == 2
    assert "unknown scenario 'all-of-it'" in output
    assert "late-worker" in output


def test_the_scenarios_are_listed() -> None:
    status, output = explore("--list")
    assert status == 0
    assert "three-cancels" in output
    assert "large: only when named" in output


# Objects as values


class Thing:
    def __init__(self, **attributes: Any) -> None:
        vars(self).update(attributes)


def test_equal_structures_are_equal_and_others_are_not() -> None:
    freeze = Freezer().freeze
    assert freeze(Thing(a=[1, {"b": {2}}])) == freeze(Thing(a=[1, {"b": {2}}]))
    assert freeze(Thing(a=[1])) != freeze(Thing(a=[2]))
    assert freeze(Thing(a=1)) != freeze(SimpleNamespace(a=1))
    assert freeze([1]) != freeze((1,))


def test_what_is_shared_is_not_what_is_copied() -> None:
    shared: list[int] = []
    freeze = Freezer().freeze
    assert freeze([shared, shared]) != freeze([[], []])
    assert freeze([shared, shared]) == freeze([shared, shared])
    other: list[int] = []
    assert freeze([shared, other, shared]) != freeze([shared, other, other])


def test_a_cycle_ends() -> None:
    one, other = Thing(), Thing()
    one.me, other.me = one, other  # type: ignore[attr-defined]
    assert Freezer().freeze(one) == Freezer().freeze(other)


def test_the_order_of_a_dict_counts_where_it_can_be_seen() -> None:
    one, other = {"a": 1, "b": 2}, {"b": 2, "a": 1}
    assert Freezer().freeze(one) != Freezer().freeze(other)
    assert Freezer(ordered=False).freeze(one) == Freezer(ordered=False).freeze(other)
    assert Freezer().freeze(OrderedDict(one)) != Freezer().freeze(one)


def test_what_is_made_to_be_looked_at_is_not_taken_for_what_was_seen() -> None:
    freezer = Freezer(canonical={Thing: lambda thing: [thing.a]})
    things = [Thing(a=number, noise=object()) for number in range(50)]
    frozen = freezer.freeze(things)
    assert frozen == freezer.freeze([Thing(a=number) for number in range(50)])
    assert frozen != freezer.freeze([Thing(a=0) for _ in range(50)])
    assert "seen before" not in repr(frozen)


def test_a_kept_object_is_not_changed_by_its_copies() -> None:
    class Local:
        """Pickle does not find it."""

        def __init__(self) -> None:
            self.values = [1]

    for value in (Thing(values=[1]), Local()):
        cells = Cells(Freezer())
        number = cells.intern(value)
        cells.thaw(number).values.append(2)
        assert cells.thaw(number).values == [1]
        changed = cells.thaw(number)
        changed.values.append(2)
        assert cells.intern(changed) == number + 1
        assert len(cells) == 2


def test_two_placements_that_choose_alike_are_one_state() -> None:
    def placed(*loads: int) -> Placement:
        """A placement whose only worker has had these loads."""
        placement, worker = Placement(), WorkerRecord(b"W1", 4, 0.0)
        for load in loads:
            worker.tasks = {b"%d" % number: None for number in range(load)}
            placement.update(worker)
        return placement

    memo: MachineMemo[Any] = MachineMemo()
    assert memo.intern(placed(1)) == memo.intern(placed(0, 2, 1))
    assert memo.intern(placed(1)) != memo.intern(placed(2))


def test_the_silence_of_one_peer_is_nobody_elses() -> None:
    machine = SchedulerMachine()
    for moment, name in enumerate((b"W1", b"W2", b"W3"), start=1):
        machine.handle(Received(name, WorkerHeartbeat(queue_size=1), b"", float(moment)))
    machine.handle(Received(b"C1", ClientHeartbeat(), b"", 4.0))
    machine.handle(TimePassed(Silence(2.0)))
    assert (machine.counts["workers"], machine.counts["clients"]) == (2, 1)
    machine.handle(TimePassed(Silence(2.0)))
    machine.handle(TimePassed(Silence(1.0)))
    assert (machine.counts["workers"], machine.counts["clients"]) == (1, 1)
    machine.handle(TimePassed(Silence(4.0)))
    assert (machine.counts["workers"], machine.counts["clients"]) == (1, 0)
