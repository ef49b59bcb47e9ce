"""Trace validation of what only the peers of a scheduler have recorded."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from recorded_lives import LIFE, T, came, went
from test_trace_validation import BEAT, STOP, U, needs_tlc, validate

from rescind.messages import (
    CancelConfirmType,
    ClientDisconnect,
    ClientHeartbeat,
    ClientHeartbeatEcho,
    DisconnectType,
    Task,
    TaskCancel,
    TaskCancelConfirm,
    TaskResult,
    TaskResultType,
    WorkerDisconnectNotification,
    WorkerHeartbeat,
    WorkerHeartbeatEcho,
)
from rescind.trace import TraceRecord
from rescind_conformance.model.recorded_run import Run
from rescind_conformance.model.trace_values import seen_run

GONE = ClientDisconnect(DisconnectType.DISCONNECT)
NOT_FOUND, CANCELED = (
    TaskCancelConfirm(T, word) for word in (CancelConfirmType.CANCEL_NOT_FOUND, CancelConfirmType.CANCELED)
)
COMES = [came("a", ClientHeartbeat()), went("a", ClientHeartbeatEcho())]
OTHER = [came("d", WorkerHeartbeat(queue_size=3)), went("d", WorkerHeartbeatEcho())]
SUBMITTED = [came("a", Task(T)), went("b", Task(T))]
ROOM = [came("b", WorkerHeartbeat(queue_size=1)), went("b", WorkerHeartbeatEcho())]
LAWFUL: dict[str, list[TraceRecord]] = {
    "a Task comes after the echo to the heartbeat that makes room": [
        *[*ROOM, *SUBMITTED, came("a", Task(U)), *COMES, *BEAT, went("b", Task(U)), *BEAT],
    ],
    "a worker is lost that nobody saw fall silent": [*BEAT, BEAT[0], went("b", GONE)],
    "and is told twice": [*BEAT, BEAT[0], went("b", GONE), BEAT[0], went("b", STOP)],
    "a client is lost": [*COMES, came("a", Task(T)), went("a", NOT_FOUND), COMES[0], went("a", GONE)],
    "a worker is sent home": [*BEAT, went("b", STOP), came("b", WorkerDisconnectNotification())],
    "a task that waits is answered in a shutdown": [*COMES, came("a", Task(T)), *BEAT[:0], went("a", CANCELED)],
    "a task that runs is answered when the grace is over": [*BEAT, *SUBMITTED, went("b", STOP), went("a", CANCELED)],
    "a task of a silent worker goes to another": [
        *[*BEAT, *SUBMITTED, *OTHER, went("d", Task(T))],
        *[came("d", TaskResult(T)), went("a", TaskResult(T))],
    ],
    "a task of a silent worker ends with it": [
        *[*BEAT, *SUBMITTED, went("a", TaskResult(T, TaskResultType.FAILED_WORKER_DIED))],
    ],
    "a task is cancelled when its owner is lost": [*BEAT, *SUBMITTED, went("b", TaskCancel(T, force=True))],
}
WRONG: dict[str, tuple[list[TraceRecord], str, int]] = {
    "a Task comes after the next echo": (
        [*ROOM, *SUBMITTED, came("a", Task(U)), *COMES, *BEAT, *BEAT, went("b", Task(U)), *BEAT],
        "S10.2",
        11,
    ),
    "a task goes to another though its worker lives": (
        [*BEAT, *SUBMITTED, *OTHER, went("d", Task(T)), *BEAT],
        "S8.2",
        7,
    ),
    "a worker is told that it is lost, and echoed": ([*BEAT, BEAT[0], went("b", GONE), *BEAT], "S9.1", 4),
    "a worker is sent home, and gets a Task": ([*BEAT, went("b", STOP), *SUBMITTED], "S9.10", 3),
    "a Task that nobody has submitted": ([*BEAT, went("b", Task(T))], "M5", 3),
    "a refusal that nobody has given": (
        [*LIFE[:6], went("a", dataclasses.replace(CANCELED, cancel_confirm_type=CancelConfirmType.CANCEL_FAILED))],
        "S4.2",
        7,
    ),
}


def seen(name: str, records: Sequence[TraceRecord]) -> Run:
    """As the peers have recorded it."""
    at = (one.sender if one.receiver == "scheduler" else one.receiver for one in records)
    run = seen_run(name, [dataclasses.replace(one, at=peer) for one, peer in zip(records, at, strict=True)])
    run.allow_any_limit_of_losses()
    return run


@needs_tlc
def test_what_nobody_has_seen_may_have_happened() -> None:
    validated = validate([seen(name, records) for name, records in LAWFUL.items()])
    assert [(one.run.name, one.rejection) for one in validated if not one.explained] == []


@needs_tlc
def test_what_nothing_unseen_explains_is_told() -> None:
    told = {}
    for one in validate([seen(name, records) for name, (records, _, _) in WRONG.items()]):
        told[one.run.name] = one.rejection and (one.rejection.requirement, one.rejection.step.position)
    assert told == {name: (requirement, position) for name, (_, requirement, position) in WRONG.items()}


def test_what_nobody_saw_is_no_record_of_the_run() -> None:
    run = seen("x", LIFE)
    assert len(run.with_what_nobody_saw().lanes) == len(run.lanes) + 3  # either peer's loss, a shutdown
    assert run.length == len(LIFE)
