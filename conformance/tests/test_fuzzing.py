"""The corpus of the fuzzer, replayed without it; and mistakes that it has to find."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rescind import (
    client_machine,
    client_table,
    frame_shapes,
    scheduler_machine,
    scheduler_table,
    scheduler_tasks,
    wire,
    worker_machine,
    worker_table,
)
from rescind.cli import whole_app
from rescind.client_table import Action as ClientAction
from rescind.client_table import FutureInput, FutureState
from rescind.client_table import Transition as ClientTransition
from rescind.messages import TaskCancel, TaskResult
from rescind.scheduler_table import Action, TaskInput, TaskState, Transition
from rescind.worker_table import Action as WorkerAction
from rescind.worker_table import AssignmentInput, AssignmentState
from rescind.worker_table import Transition as WorkerTransition
from rescind_conformance.fuzzing.choices import MOST_BYTES, Choices
from rescind_conformance.fuzzing.corpus import load, minimised, save, shipped
from rescind_conformance.fuzzing.targets import TargetName, check_of
from rescind_conformance.fuzzing.transitions import all_rows, watched

MOST_SHIPPED = 500_000
"""Bytes of all that is checked in."""


@pytest.mark.parametrize("name", list(TargetName))
def test_nothing_is_found_in_the_corpus(name: TargetName) -> None:
    check = check_of(name)
    inputs = load(shipped(name))
    assert len(inputs) > 50
    for each in inputs:
        check(each)


def test_the_corpus_is_small() -> None:
    assert sum(shipped(name).stat().st_size for name in TargetName) < MOST_SHIPPED


def test_the_corpus_reaches_every_row_of_the_tables_but_one() -> None:
    left = set(all_rows())
    with watched(left.discard):
        for name in TargetName:
            for each in load(shipped(name)):
                check_of(name, every=False)(each)
    assert left == {("TaskState", TaskState.QUEUED, TaskInput.SKIP)}, "an input that takes it is still to be found"


def found(name: TargetName) -> bool:
    """Whether an input of the corpus breaks something."""
    check = check_of(name)
    for each in load(shipped(name)):
        try:
            check(each)
        except Exception:
            return True
    return False


def _any_length(patch: pytest.MonkeyPatch) -> None:
    """A frame that is longer than its shape is taken for one of that shape."""
    read = frame_shapes.Decoder.decode

    def decode(decoder: frame_shapes.Decoder, frame: bytes) -> object:
        for shapes in decoder._shapes.values():
            for shape in shapes:
                number = int.from_bytes(frame, "little")
                if len(frame) >= shape.length and number & shape.mask == shape.fixed:
                    return shape.put(shape.like, [frame[span] for span in shape.spans])
        return read(decoder, frame)

    patch.setattr(frame_shapes.Decoder, "decode", decode)


def _force_forgotten(patch: pytest.MonkeyPatch) -> None:
    encode = wire.encode
    patch.setattr(
        wire, "encode", lambda message: encode(TaskCancel(b"x") if isinstance(message, TaskCancel) else message)
    )


def _key_error(patch: pytest.MonkeyPatch) -> None:
    def decode(frame: bytes) -> object:
        message = read(frame)
        if isinstance(message, TaskResult) and message.result_type == 2:
            raise KeyError(2)
        return message

    read = wire.decode
    patch.setattr(wire, "decode", decode)


def _scheduler_row(state: TaskState, given: TaskInput, following: TaskState, action: Action) -> Plant:
    rows = {**scheduler_table.TRANSITIONS, (state, given): Transition(following, action)}
    return lambda patch: patch.setattr(scheduler_tasks, "TRANSITIONS", rows)


def _client_row(state: FutureState, given: FutureInput, following: FutureState, action: ClientAction) -> Plant:
    rows = {**client_table.TRANSITIONS, (state, given): ClientTransition(following, action)}
    return lambda patch: patch.setattr(client_machine, "TRANSITIONS", rows)


def _worker_row(
    state: AssignmentState, given: AssignmentInput, following: AssignmentState, action: WorkerAction
) -> Plant:
    rows = {**worker_table.TRANSITIONS, (state, given): WorkerTransition(following, action)}
    return lambda patch: patch.setattr(worker_machine, "TRANSITIONS", rows)


def _place_is_kept(patch: pytest.MonkeyPatch) -> None:
    take = scheduler_tasks.SchedulerTasks._take_from_worker

    def take_from_worker(machine: scheduler_tasks.SchedulerTasks, task: scheduler_tasks.TaskRecord) -> None:
        if not task.losses:
            take(machine, task)

    patch.setattr(scheduler_tasks.SchedulerTasks, "_take_from_worker", take_from_worker)


def _nothing(*_: object) -> None:
    """Does nothing."""


Plant = Callable[[pytest.MonkeyPatch], None]
PLANTED: dict[str, tuple[TargetName, Plant]] = {
    "a shape takes longer frames": (TargetName.WIRE, _any_length),
    "force is not encoded": (TargetName.WIRE, _force_forgotten),
    "another error than WireError": (TargetName.WIRE, _key_error),
    "a refusal is swallowed": (
        TargetName.SCHEDULER,
        _scheduler_row(TaskState.CANCELING, TaskInput.CANCEL_FAILED, TaskState.DISPATCHED, Action.NOTHING),
    ),
    "a lost owner's task runs on": (
        TargetName.SCHEDULER,
        _scheduler_row(TaskState.DISPATCHED, TaskInput.OWNER_LOST, TaskState.ABANDONED, Action.NOTHING),
    ),
    "a lost worker's place is kept": (TargetName.SCHEDULER, _place_is_kept),
    "ends of nodes mean nothing": (
        TargetName.SCHEDULER,
        lambda patch: patch.setattr(scheduler_machine.SchedulerMachine, "_settle_graphs", _nothing),
    ),
    "a result overtakes the cancel": (
        TargetName.CLIENT,
        _client_row(FutureState.CANCELING, FutureInput.RESULT, FutureState.FINISHED, ClientAction.DELIVER_RESULT),
    ),
    "a refusal ends nothing": (
        TargetName.CLIENT,
        _client_row(FutureState.CANCELING, FutureInput.CANCEL_FAILED, FutureState.CANCELING, ClientAction.JOIN),
    ),
    "what is discarded is not released": (
        TargetName.CLIENT,
        lambda patch: patch.setattr(client_machine.ClientMachine, "_discard", _nothing),
    ),
    "canceled before the process has ended": (
        TargetName.WORKER,
        _worker_row(
            AssignmentState.RUNNING, AssignmentInput.CANCEL_FORCE, AssignmentState.ENDED, WorkerAction.SEND_CANCELED
        ),
    ),
    "a late result is sent": (
        TargetName.WORKER,
        _worker_row(AssignmentState.ENDING, AssignmentInput.FINISHED, AssignmentState.ENDED, WorkerAction.SEND_RESULT),
    ),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_mistake_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    target, plant = PLANTED[name]
    plant(monkeypatch)
    assert found(target)


def test_choices_are_what_the_bytes_say_and_the_first_when_they_are_used_up() -> None:
    choices = Choices(bytes([7, 1, 255, 2, 65, 66, 67]))
    assert (choices.number(5), choices.flag(), choices.one_of("abc"), choices.bytes(9)) == (2, True, "a", b"AB")
    assert choices
    assert (choices.number(256), choices.number(5), choices.flag(), choices.bytes(9)) == (67, 0, False, b"")
    assert not choices
    long = Choices(random.Random(1).randbytes(1000))
    read = 0
    while long:
        long.number(256)
        read += 1
    assert read == MOST_BYTES


def test_a_corpus_made_small_reaches_as_much(tmp_path: Path) -> None:
    check = check_of(TargetName.WORKER)
    source = random.Random(3)
    inputs = [source.randbytes(source.randrange(60)) for _ in range(60)]
    kept = minimised([*inputs, *inputs], check)
    assert 1 < len(kept) < 60
    assert set(kept) <= set(inputs)
    save(tmp_path / "some.hex", kept)
    assert load(tmp_path / "some.hex") == kept
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "one").write_bytes(b"\x01")
    assert load(tmp_path / "folder") == [b"\x01"]


def test_command_replays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = CliRunner().invoke
    corpus = str(shipped(TargetName.CLIENT))
    fine = run(whole_app(), ["fuzz", "client", "--replay", corpus])
    assert (fine.exit_code, "nothing found" in fine.output) == (0, True)
    one = tmp_path / "crash-0123"
    one.write_bytes(b"\x01\x02")
    assert run(whole_app(), ["fuzz", "client", "--replay", str(one)]).exit_code == 0
    missing = run(whole_app(), ["fuzz", "client", "--replay", str(tmp_path / "none")])
    assert (missing.exit_code, "cannot read" in missing.output) == (2, True)
    monkeypatch.setattr(client_machine.ClientMachine, "_discard", _nothing)
    broken = run(whole_app(), ["fuzz", "client", "--replay", corpus])
    assert (broken.exit_code, "the judge says" in broken.output, "input: " in broken.output) == (1, True, True)


def test_command_says_that_atheris_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    missing = CliRunner().invoke(whole_app(), ["fuzz", "wire"])
    assert (missing.exit_code, "pip install 'rescind[fuzz]'" in missing.output) == (2, True)
