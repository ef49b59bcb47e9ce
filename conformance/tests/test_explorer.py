"""The explorer: that it walks every order, once, and sees what there is to see."""

from __future__ import annotations

from typing import Any, cast

import pytest
from explorer_catalogue import FAULTS
from explorer_faults import Fault, shown
from plain_walk import PlainWalk

from rescind import client_machine, scheduler_table, scheduler_tasks, worker_machine, worker_table
from rescind.messages import CancelConfirmType, ObjectInstruction, Task, TaskCancel, TaskCancelConfirm
from rescind.scheduler_table import Action, TaskInput, TaskState
from rescind.worker_table import AssignmentInput, AssignmentState
from rescind_conformance.explorer import custody
from rescind_conformance.explorer.cast import Bench
from rescind_conformance.explorer.client_party import ClientEnv
from rescind_conformance.explorer.counterexample import counterexample
from rescind_conformance.explorer.exploration import Explored, Manner, explore, explore_all
from rescind_conformance.explorer.packed import FIRST, State
from rescind_conformance.explorer.scenario import CancelCall, ClientPlan, RawPlan, Scenario, SchedulerPlan, WorkerPlan
from rescind_conformance.explorer.scenarios import OPEN, SCENARIOS
from rescind_conformance.explorer.scheduler_party import SchedulerEnv
from rescind_conformance.explorer.steps import Does
from rescind_conformance.explorer.system import System
from rescind_conformance.explorer.walk import INTERRUPTED, Limits, WalkResult, walk
from rescind_conformance.explorer.worker_party import WorkerEnv
from rescind_conformance.judge.records import SCHEDULER, EventKind, EventRecord, MessageRecord

WORKER = worker_table.Action
UNJUDGED = Bench()
QUICK = ["contested-id", "three-callers", "lost-again", "joining"]
EVERY_ROW = [*QUICK, "three-cancels", "closing", "closing-losses", "crash-under-force", "worker-leaves"]
EVERY_ROW += ["graph-cancel", "graph-fails", "graph-client-dies", "graph-closing"]
by_name = pytest.mark.parametrize("fault", FAULTS, ids=[fault.name.replace(" ", "-") for fault in FAULTS])


def requirements(result: WalkResult) -> set[str]:
    return {found.violation.requirement for found in result.found}


# How many orders there are


@pytest.mark.parametrize("count", [1, 2, 5])
def test_two_clients_that_only_talk_are_in_as_many_states_as_one_can_count(count: int) -> None:
    # Of one: i messages said and j <= i of them heard. Each step says one more, or has one more heard.
    talker = RawPlan((ObjectInstruction(),) * count)
    one = (count + 1) * (count + 2) // 2
    result = walk(System(Scenario("talk", "", (talker, talker), ()), judges=UNJUDGED), reduction=False)
    assert result.closed
    assert result.progress.states == one * one
    assert result.progress.transitions == 2 * one * count * (count + 1)
    assert result.progress.depth == 4 * count
    assert result.progress.ends == (count + 1) ** 2


BOTH_CALLS = (CancelCall("T1"), CancelCall("T1", force=True))


@pytest.mark.parametrize(
    "scenario",
    [
        Scenario("cancelled", "", (ClientPlan(("T1",), BOTH_CALLS),), (WorkerPlan(),)),
        Scenario("contested", "", (ClientPlan(("T1",)), ClientPlan(("T1",))), (WorkerPlan(),)),
        Scenario("queued", "", (ClientPlan(("T1", "T2")),), (WorkerPlan(),)),
        Scenario("at-once", "", (ClientPlan(("T1", "T2")),), (WorkerPlan(processes=2),)),
    ],
    ids=lambda scenario: scenario.name,
)
def test_there_are_as_many_orders_as_a_walk_without_any_memory_finds(scenario: Scenario) -> None:
    assert orders(System(scenario, judges=UNJUDGED)) == PlainWalk(scenario).orders()


def orders(system: System) -> int:
    """How many paths there are on which everything happens that can, counted backwards over the states."""
    known: dict[State, int] = {}

    def count(state: State) -> int:
        if state not in known:
            steps = system.successors(state, False)
            known[state] = sum(count(step.state) for step in steps) if steps else 1
        return known[state]

    return count(system.initial)


# What is walked


def untaken(monkeypatch: pytest.MonkeyPatch, *scenarios: Scenario) -> set[tuple[str, str]]:
    """The rows of the three tables, by state and input, that no step of these scenarios takes."""
    unused: list[set[Any]] = []
    for machine in (scheduler_tasks, client_machine, worker_machine):
        # One set each: rows of different tables compare equal.
        unused.append(set())
        monkeypatch.setattr(machine, "TRANSITIONS", Watched(machine.TRANSITIONS, unused[-1]))
    for scenario in scenarios:
        result = walk(System(scenario, judges=UNJUDGED))
        assert result.closed
    return {row for rows in unused for row in rows}


SUBMITTED, ASKED, FORCED = Task(b"T1", source=b"C1"), TaskCancel(b"T1"), TaskCancel(b"T1", force=True)
HASTY = Scenario("hasty", "", (RawPlan((SUBMITTED, FORCED, ASKED, FORCED)),), (WorkerPlan(),))
ONLY_OF_FAULTY_PEERS: dict[tuple[str, str], dict[Any, Any]] = {
    # Only a worker that refuses force.
    (TaskState.FORCING, TaskInput.CANCEL_FAILED): {
        (AssignmentState.RUNNING, AssignmentInput.CANCEL_FORCE): (AssignmentState.RUNNING, WORKER.SEND_CANCEL_FAILED)
    },
    # Only a scheduler that has asked with force and asks again.
    (AssignmentState.ENDING, AssignmentInput.CANCEL): {
        (TaskState.FORCING, TaskInput.CANCEL): (TaskState.FORCING, Action.SEND_CANCEL)
    },
    (AssignmentState.ENDING, AssignmentInput.CANCEL_FORCE): {
        (TaskState.FORCING, TaskInput.CANCEL_FORCE): (TaskState.FORCING, Action.SEND_CANCEL_FORCE)
    },
}
"""Rows that no order takes, each with the rows of the other table with which one would."""


def test_every_row_of_the_three_tables_is_walked_but_those_that_only_faulty_peers_need(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert untaken(monkeypatch, *(SCENARIOS[name] for name in EVERY_ROW)) == set(ONLY_OF_FAULTY_PEERS)


@pytest.mark.parametrize("row", ONLY_OF_FAULTY_PEERS, ids=" ".join)
def test_a_row_that_is_not_walked_waits_for_a_faulty_peer(
    row: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as sound:
        assert row in untaken(sound, HASTY)
    Fault("", HASTY, "", [], ONLY_OF_FAULTY_PEERS[row]).install(monkeypatch)
    assert row not in untaken(monkeypatch, HASTY)


def test_the_tables_have_no_such_peers() -> None:
    answers = {
        row.action for (_, given), row in worker_table.TRANSITIONS.items() if given is AssignmentInput.CANCEL_FORCE
    }
    assert WORKER.SEND_CANCEL_FAILED not in answers
    has_forced = {TaskState.ESCALATED, TaskState.FORCING, TaskState.ABANDONED}
    rows = scheduler_table.TRANSITIONS
    sends = {row.action for (state, _), row in rows.items() if state in has_forced}
    assert not sends & {Action.SEND_CANCEL, Action.SEND_CANCEL_FORCE}
    forces = {row.state for row in rows.values() if row.action is Action.SEND_CANCEL_FORCE}
    assert forces <= has_forced
    # From there no way leads to where a cancel can be sent but by an answer, which ends what the worker was asked.
    leaves = {given for (state, given), row in rows.items() if state in has_forced and row.state not in has_forced}
    assert (
        leaves
        - {
            TaskInput.RESULT,
            TaskInput.CANCELED,
            TaskInput.CANCEL_FAILED,
            TaskInput.CANCEL_NOT_FOUND,
            TaskInput.WORKER_LOST,
            TaskInput.WORKER_LOST_AGAIN,
            TaskInput.CLOSE,
        }
        == set()
    )


class Watched(dict[Any, Any]):
    """A table that removes from `unused` what is looked up in it."""

    def __init__(self, rows: Any, unused: set[Any]) -> None:
        super().__init__(rows)
        unused.update(rows)
        self._unused = unused

    def __getitem__(self, key: Any) -> Any:
        self._unused.discard(key)
        return super().__getitem__(key)


@pytest.mark.parametrize("name", QUICK)
def test_the_reference_is_sound_in_every_order(name: str) -> None:
    explored = explore(SCENARIOS[name], Manner())
    assert explored.result.closed
    assert explored.counterexamples == ()


# Faults


@by_name
def test_a_fault_shows_in_its_shortest_order(fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    told = shown(fault)
    assert told.words == fault.words
    assert told.is_shortest
    fault.install(monkeypatch)
    system = System(fault.scenario, fault.cast)
    full = walk(system, reduction=False, stop=lambda violation: violation.requirement == fault.requirement)
    assert full.found[-1].violation.requirement == fault.requirement
    assert len(full.found[-1].path) == len(fault.words)


@by_name
def test_without_the_fault_there_is_nothing_to_find(fault: Fault) -> None:
    result = walk(System(fault.scenario))
    assert result.closed
    assert result.found == []


# Safety across parties


def runs_twice(system: System, state: State, *, lost_too: bool = False) -> bool:
    """Whether in this state, seen from outside, a task runs at two workers (of which none is declared lost)."""
    env = cast(SchedulerEnv, system.scheduler_states[state[0]].env)
    running: list[bytes] = []
    for number in state[FIRST:]:
        configuration = system.configurations.known[number]
        worker = configuration.local.env
        if isinstance(worker, WorkerEnv) and (lost_too or (configuration.peer, worker.life) not in env.lost):
            running += [process.task.task_id for process in worker.processes]
    return len(running) != len(set(running))


def is_promised_while_it_runs(system: System, state: State) -> bool:
    """Whether `canceled` is on its way to a client, while the task runs at a worker that is not declared lost."""
    env = cast(SchedulerEnv, system.scheduler_states[state[0]].env)
    running: set[bytes] = set()
    promised: set[bytes] = set()
    for number in state[FIRST:]:
        configuration = system.configurations.known[number]
        worker = configuration.local.env
        if isinstance(worker, ClientEnv):
            answers = [item.message for item in configuration.down if isinstance(item.message, TaskCancelConfirm)]
            promised |= {each.task_id for each in answers if each.cancel_confirm_type is CancelConfirmType.CANCELED}
        elif isinstance(worker, WorkerEnv) and (configuration.peer, worker.life) not in env.lost:
            running |= {process.task.task_id for process in worker.processes}
    return bool(running & promised)


def places_again(state: TaskState, given: TaskInput) -> dict[Any, Any]:
    return {(state, given): (TaskState.QUEUED, Action.NOTHING)}


def promises(state: TaskState, given: TaskInput) -> dict[Any, Any]:
    return {(state, given): (TaskState.ENDED, Action.SEND_CANCELED)}


LIES = {(AssignmentState.RUNNING, AssignmentInput.CANCEL): (AssignmentState.RUNNING, WORKER.SEND_CANCELED)}


@pytest.mark.parametrize(
    ("rows", "twice", "promised"),
    [
        ({}, False, False),
        (places_again(TaskState.REBALANCING, TaskInput.CANCEL_FAILED), True, True),
        (places_again(TaskState.CANCELING, TaskInput.CANCEL_FAILED), True, False),
        (places_again(TaskState.DISPATCHED, TaskInput.CANCEL_FORCE), True, False),
        (LIES, True, True),
        (places_again(TaskState.CANCELING, TaskInput.CANCELED), False, False),
        (places_again(TaskState.CANCELING, TaskInput.CANCEL_NOT_FOUND), False, False),
        (promises(TaskState.DISPATCHED, TaskInput.CANCEL_FORCE), False, True),
        (promises(TaskState.CANCELING, TaskInput.CANCEL_FAILED), False, True),
        (promises(TaskState.CANCELING, TaskInput.CANCELED), False, False),
    ],
)
def test_custody_tells_what_the_states_show(
    rows: dict[Any, Any], twice: bool, promised: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = ClientPlan(("T1", "T2"), (CancelCall("T2"), CancelCall("T2", force=True)))
    workers = (WorkerPlan(dies=True), WorkerPlan(comes=True))
    fault = Fault("", Scenario("", "", (client,), workers, SchedulerPlan(rebalances=1)), "", [], rows)
    fault.install(monkeypatch)
    system = System(fault.scenario, judges=UNJUDGED)
    states: list[State] = []
    walk(system, reduction=False, visit=states.append)
    assert any(runs_twice(system, state) for state in states) == twice
    assert any(is_promised_while_it_runs(system, state) for state in states) == promised
    broken = requirements(walk(system))
    assert ("S8.2" in broken) == twice
    assert ("S4.4" in broken) == promised


def test_custody_is_counted_for_each_life_of_a_worker() -> None:
    known = custody.assign(custody.assign(custody.assign((), b"T1", 0, 0), b"T1", 0, 1), b"T1", 0, 0)
    known = custody.assign(custody.assign(known, b"T1", 1, 0), b"T2", 1, 0)
    assert custody.keepers(known, b"T1") == [(0, 0), (0, 1), (1, 0)]
    once = custody.give_back(known, b"T1", 0, 0)
    assert custody.keepers(once, b"T1") == [(0, 0), (0, 1), (1, 0)]
    twice = custody.give_back(once, b"T1", 0, 0)
    assert custody.keepers(twice, b"T1") == [(0, 1), (1, 0)]
    assert custody.give_back(twice, b"T1", 0, 0) == twice
    assert custody.keepers(custody.lose(known, 0, 0), b"T1") == [(0, 1), (1, 0)]
    assert custody.keepers(custody.lose(known, 1, 0), b"T2") == []
    assert custody.lose(known, 2, 0) == known


def test_a_late_worker_may_run_what_another_runs_and_that_is_no_fault() -> None:
    system = System(SCENARIOS["late-mover"], judges=UNJUDGED)
    twice: set[tuple[bool, bool]] = set()
    result = walk(
        system, visit=lambda state: twice.add((runs_twice(system, state, lost_too=True), runs_twice(system, state)))
    )
    assert twice == {(False, False), (True, False)}
    assert result.found == []


# Counterexamples


@pytest.mark.parametrize(("search", "certain"), [(True, True), (False, False)])
def test_an_end_is_the_shortest_order_only_if_no_step_breaks_the_same_before(search: bool, certain: bool) -> None:
    system = System(OPEN["reused-id"])
    cut_off = walk(system, stop=lambda violation: True)
    (found,) = cut_off.found
    assert found.at_rest
    told = counterexample(system, cut_off, found, search=search)
    assert (told.at_rest, told.is_shortest) == (True, certain)


def test_a_counterexample_has_the_records_of_every_party() -> None:
    told = shown(next(each for each in FAULTS if each.requirement == "C3.1"))
    messages = [each for each in told.records if isinstance(each, MessageRecord)]
    for each in messages:
        if each.receiver == each.at:
            assert any(
                (one.sender, one.message) == (each.sender, each.message) and one.at == one.sender for one in messages
            )
    at_client = [each for each in told.records if each.at == "C1" and isinstance(each, EventRecord)]
    assert [each.event for each in at_client] == [
        EventKind.CANCEL_CALLED,
        EventKind.SETTLED,
        EventKind.CANCEL_RETURNED,
    ]
    assert {each.at for each in told.records} == {"C1", "W1", SCHEDULER}
    assert [line.split("  ")[-1] for line in told.lines()][-1] == "T1 is finished, cancel() of T1 returns False"


# Ends of a walk


def test_a_walk_stops_at_its_limits() -> None:
    system = System(SCENARIOS["three-callers"], judges=UNJUDGED)
    few = walk(system, limits=Limits(states=300))
    assert (few.closed, few.why_not) == (False, "more than 300 states, as was asked for")
    shallow = walk(system, limits=Limits(depth=4))
    assert (shallow.closed, shallow.progress.depth) == (False, 4)
    assert shallow.why_not == "no deeper than 4 steps, as was asked for"


def test_ctrl_c_ends_a_walk_with_what_it_has_seen() -> None:
    system = System(SCENARIOS["cancels-loss-rebalancing"], judges=UNJUDGED)
    visited = 0

    def interrupt(_: State) -> None:
        nonlocal visited
        visited += 1
        if visited == 500:
            raise KeyboardInterrupt

    result = walk(system, visit=interrupt)
    assert (result.closed, result.why_not) == (False, INTERRUPTED)
    assert result.progress.states > 100


def test_several_processes_count_what_one_counts() -> None:
    chosen = [SCENARIOS[name] for name in ("contested-id", "three-callers")]

    def counts(explored: list[Explored]) -> dict[str, tuple[int, int, int, int]]:
        progress = {each.result.scenario: each.result.progress for each in explored}
        return {name: (each.states, each.transitions, each.depth, each.ends) for name, each in progress.items()}

    one = list(explore_all(chosen, Manner(), 1, lambda name, progress: None))
    two = list(explore_all(chosen, Manner(), 2, lambda name, progress: None))
    assert counts(one) == counts(two)
    assert set(counts(one)) == {each.name for each in chosen}


def test_the_prelude_introduces_those_that_do_not_come_later() -> None:
    system = System(SCENARIOS["cancels-loss-rebalancing"])
    done = [system.labels[label] for label in system.prelude]
    assert [step.actor for step in done if step.does is Does.JOINS] == ["C1", "W1"]
    assert len(done) == 6
