"""The explorer's partial-order reduction against the walk without it."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import pytest
from explorer_catalogue import FAULTS
from explorer_faults import Fault
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st

from rescind import client_table, scheduler_table, worker_table
from rescind.messages import Task, TaskCancel
from rescind_conformance.explorer.cast import Bench
from rescind_conformance.explorer.packed import State
from rescind_conformance.explorer.scenario import CancelCall, ClientPlan, RawPlan, Scenario, SchedulerPlan, WorkerPlan
from rescind_conformance.explorer.scenarios import SCENARIOS
from rescind_conformance.explorer.system import System
from rescind_conformance.explorer.walk import Limits, WalkResult, walk

UNJUDGED = Bench()
judged_or_not = pytest.mark.parametrize("judges", [None, UNJUDGED], ids=["judged", "unjudged"])


def broken(result: WalkResult) -> set[str]:
    return {found.violation.requirement for found in result.found}


def comes_back(system: System) -> bool:
    """Whether any order leads back to a state in which it was."""
    finished, path = set(), OrderedDict[State, list[State]]()
    path[system.initial] = [step.state for step in system.successors(system.initial, False)]
    while path:
        following = next(reversed(path.values()))
        if not following:
            finished.add(path.popitem()[0])
            continue
        step = following.pop()
        if step in path:
            return True
        if step not in finished:
            path[step] = [each.state for each in system.successors(step, False)]
    return False


# Chosen


@pytest.mark.parametrize("name", ["contested-id", "three-callers", "lost-again"])
def test_no_order_ever_comes_back_to_where_it_was(name: str) -> None:
    assert not comes_back(System(SCENARIOS[name], judges=UNJUDGED))


@pytest.mark.parametrize(
    ("name", "judges"),
    [
        ("contested-id", None),
        ("three-callers", None),
        ("lost-again", None),
        ("contested-id", UNJUDGED),
        ("closing", UNJUDGED),
    ],
)
def test_the_reduced_walk_has_the_same_ends(name: str, judges: Bench | None) -> None:
    system = System(SCENARIOS[name], judges=judges)
    full, reduced = walk(system, reduction=False), walk(system)
    assert reduced.end_states == full.end_states
    assert broken(reduced) == broken(full) == set()
    assert reduced.progress.states < 0.6 * full.progress.states


@judged_or_not
@pytest.mark.parametrize("fault", FAULTS, ids=[fault.name.replace(" ", "-") for fault in FAULTS])
def test_the_reduced_walk_finds_the_same_faults(
    fault: Fault, judges: Bench | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault.install(monkeypatch)
    system = System(fault.scenario, fault.cast, judges)
    full, reduced = walk(system, reduction=False), walk(system)
    assert full.closed
    assert reduced.closed
    assert broken(reduced) == broken(full)
    assert reduced.end_states == full.end_states


# Drawn

MOST_STATES = 2_000
TABLES: list[dict[Any, Any]] = [
    scheduler_table.TRANSITIONS,
    client_table.TRANSITIONS,
    worker_table.TRANSITIONS,
]
few, rarely = st.sampled_from([0, 0, 1]), st.sampled_from([False, False, True])


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    """What little can happen in few states."""
    clients: list[ClientPlan | RawPlan] = []
    for name in draw(st.sampled_from([["C1"], ["C1"], ["C1", "C2"]])):
        call = CancelCall("T1", draw(st.booleans()))
        calls = draw(st.sampled_from([(), (call,), (call, CancelCall("T1", not call.force))]))
        limits = ("T1",) if draw(rarely) else ()
        machine = ClientPlan(("T1",), calls, limits, heartbeats=draw(few), disconnects=draw(rarely), drops=draw(rarely))
        cancels = [TaskCancel(b"T1", force) for force in draw(st.lists(st.booleans(), max_size=2))]
        raw = RawPlan((Task(b"T1", source=name.encode()), *cancels), shuffled=draw(rarely), drops=draw(rarely))
        clients.append(raw if draw(rarely) else machine)
    workers = tuple(
        WorkerPlan(
            queue_size=draw(st.sampled_from([1, 2])),
            comes=draw(rarely),
            endless=draw(rarely),
            heartbeats=draw(few),
            crashes=draw(few),
            late_finishes=draw(few),
            leaves=draw(rarely),
            dies=draw(rarely),
            drops=draw(rarely),
            lives=draw(st.sampled_from([1, 1, 2])),
        )
        for _ in range(draw(st.sampled_from([1, 1, 2])))
    )
    peers = [f"C{number + 1}" for number in range(len(clients))] + [f"W{number + 1}" for number in range(len(workers))]
    loses = tuple(draw(st.lists(st.sampled_from(peers), unique=True, max_size=1)))
    plan = SchedulerPlan(draw(few), loses, draw(rarely), draw(rarely))
    return Scenario("drawn", "", tuple(clients), workers, plan, introduced=draw(st.sampled_from([True, True, False])))


@st.composite
def faults(draw: st.DrawFn) -> dict[Any, Any]:
    """Rows of the tables that lead elsewhere, or do something else."""
    rows: dict[Any, Any] = {}
    for table in TABLES:
        transitions = list(table.values())
        for key in draw(st.lists(st.sampled_from(list(table)), unique=True, max_size=4)):
            state, action = (draw(st.sampled_from(transitions)) for _ in range(2))
            rows[key] = (state.state, action.action)
    return rows


@given(scenarios(), faults(), st.sampled_from([None, UNJUDGED]))
@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_the_reduced_walk_sees_what_the_full_one_sees(
    scenario: Scenario, rows: dict[Any, Any], judges: Bench | None
) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        Fault("", scenario, "", [], rows).install(monkeypatch)
        system = System(scenario, judges=judges)
        full = walk(system, reduction=False, limits=Limits(states=MOST_STATES))
        assume(full.closed)
        reduced = walk(system)
        event(f"broken: {bool(full.found)}")
        assert reduced.closed
        same = (reduced.end_states, broken(reduced)) == (full.end_states, broken(full))
        assert same or comes_back(system)  # in broken machines that play ping-pong: see `walk`
        assert reduced.progress.states <= full.progress.states
