"""What the judge makes of a worker of which only the suite's view is known."""

from __future__ import annotations

import contextlib
import random
from dataclasses import replace

import pytest
from judge_faults import WORKER_FAULTS
from judge_peer_views import judged, seen_of
from judge_walks import NAMES, WorkerWalk, words

from rescind.messages import (
    Argument,
    CancelConfirmType,
    ClientDisconnect,
    DisconnectType,
    Message,
    Task,
    TaskCancel,
    TaskCancelConfirm,
    TaskResult,
    TaskResultType,
    WorkerDisconnectNotification,
    WorkerHeartbeat,
)
from rescind_conformance.audit import Audit
from rescind_conformance.audit_client import DROPS, FALLS_SILENT, RESUMES, RETURNS
from rescind_conformance.audit_worker import FORMER, STILL_RUNS, UNREADABLE, judge_worker_of
from rescind_conformance.judge import outside
from rescind_conformance.judge.records import EventKind, EventRecord
from rescind_conformance.trace import SCHEDULER, Entry

T1, T2, T9 = b"T1", b"T2", b"T9"
HOLDS, RETURNS_AT_ONCE, RAISES, DIES = ({T1: body, T2: body} for body in ("hold", "return", "raise", "die"))
CANCELED, FAILED, NOT_FOUND = CancelConfirmType


def sent(message: Message) -> Entry:
    return Entry(0, "W1", SCHEDULER, message)


def got(message: Message | None, note: str = "") -> Entry:
    return Entry(0, SCHEDULER, "W1", message, note)


def event(kind: EventKind, task: bytes = b"", outcome: str = "") -> Entry:
    return Entry(0, "W1", "W1", None, str(kind), event=EventRecord("W1", kind, task=task, outcome=outcome))


def note(text: str, who: str = "W1") -> Entry:
    return Entry(0, who, who, None, text)


def result(kind: TaskResultType = TaskResultType.SUCCESS, task: bytes = T1) -> Entry:
    return sent(TaskResult(task, kind))


def confirm(kind: CancelConfirmType, task: bytes = T1) -> Entry:
    return sent(TaskCancelConfirm(task, kind))


def cancel(task: bytes = T1, *, force: bool = False) -> Entry:
    return got(TaskCancel(task, force))


BEAT = sent(WorkerHeartbeat(queue_size=10))
GIVEN, STARTED = got(Task(T1)), event(EventKind.STARTED, T1)
GIVEN_T2, STARTED_T2 = got(Task(T2)), event(EventKind.STARTED, T2)
RELEASED = event(EventKind.FINISHED, T1, "returned")
RUNS, GONE = event(EventKind.PROCESS_ENDED, T1, STILL_RUNS), event(EventKind.PROCESS_ENDED, T1)
FENCE = [cancel(T9), confirm(NOT_FOUND, T9)]
RUNNING = [BEAT, GIVEN, STARTED]
LEAVE, GOODBYE = event(EventKind.LEAVE_REQUESTED), sent(WorkerDisconnectNotification())
GO_HOME, LOST = got(ClientDisconnect(DisconnectType.SHUTDOWN)), got(ClientDisconnect())
DROP, SILENCE = note(DROPS, SCHEDULER), note(FALLS_SILENT, SCHEDULER)
DIED, RAISED = TaskResultType.FAILED_WORKER_DIED, TaskResultType.FAILED
STRANGE_ARGUMENT = got(Task(T1, function_args=(Argument(5, b"argument"),)))


def audited(trace: list[Entry], bodies: dict[bytes, str] = HOLDS, *, at_rest: bool = True) -> Audit:
    return judge_worker_of(trace, NAMES, bodies, at_rest=at_rest)


def broken(trace: list[Entry], bodies: dict[bytes, str] = HOLDS, *, at_rest: bool = True) -> list[str]:
    audit = audited(trace, bodies, at_rest=at_rest)
    assert not audit.undecided
    return list(dict.fromkeys(one.violation.requirement for one in audit.findings))


@pytest.mark.parametrize(
    ("bodies", "trace"),
    [
        (HOLDS, [*RUNNING, RELEASED, result()]),
        # What the adapter tells may be late.
        (RETURNS_AT_ONCE, [BEAT, GIVEN, result(), STARTED]),
        (RETURNS_AT_ONCE, [BEAT, GIVEN, cancel(), result(), confirm(NOT_FOUND), STARTED]),
        (HOLDS, [BEAT, GIVEN, cancel(), confirm(FAILED), STARTED]),
        (HOLDS, [BEAT, GIVEN, cancel(), confirm(CANCELED)]),
        (HOLDS, [BEAT, GIVEN, cancel(force=True), confirm(CANCELED), GONE]),
        # The result crosses the cancel, with or without force; so does the death of what runs it.
        (HOLDS, [*RUNNING, RELEASED, cancel(), confirm(FAILED), result()]),
        (HOLDS, [*RUNNING, RELEASED, cancel(), result(), confirm(NOT_FOUND)]),
        (HOLDS, [*RUNNING, RELEASED, cancel(force=True), confirm(CANCELED)]),
        (HOLDS, [*RUNNING, RELEASED, cancel(force=True), result(), confirm(NOT_FOUND)]),
        (DIES, [*RUNNING, result(DIED)]),
        (DIES, [*RUNNING, cancel(force=True), result(DIED), confirm(NOT_FOUND)]),
        (DIES, [*RUNNING, cancel(force=True), confirm(CANCELED)]),
        (HOLDS, [*RUNNING, cancel(force=True), RUNS, confirm(CANCELED), GONE]),
        (HOLDS, [*RUNNING, cancel(), cancel(force=True), confirm(FAILED), confirm(CANCELED)]),
        (HOLDS, [*RUNNING, cancel(force=True), cancel(force=True), confirm(CANCELED)]),
        (HOLDS, [*RUNNING, cancel(force=True), cancel(), confirm(CANCELED), confirm(NOT_FOUND)]),
        (HOLDS, [*RUNNING, cancel(force=True), confirm(CANCELED), GIVEN, STARTED, RELEASED, result()]),
        (HOLDS, [*RUNNING, GIVEN, RELEASED, result()]),
        (RAISES, [*RUNNING, result(RAISED)]),
        ({T1: UNREADABLE}, [BEAT, GIVEN, result(RAISED)]),
        ({T1: UNREADABLE}, [BEAT, GIVEN, cancel(), confirm(FAILED), result(RAISED)]),
        (HOLDS, [BEAT, STRANGE_ARGUMENT, result(RAISED)]),
        (HOLDS, [*RUNNING, GIVEN_T2, cancel(T2), LEAVE, confirm(CANCELED, T2), GOODBYE]),
        (HOLDS, [*RUNNING, cancel(), LEAVE, GOODBYE]),
        (HOLDS, [*RUNNING, GO_HOME, cancel(), got(Task(T2)), GOODBYE]),
        (HOLDS, [*RUNNING, GO_HOME, RELEASED, result(), GOODBYE]),
        (HOLDS, [*RUNNING, LOST, note(RETURNS), BEAT, GIVEN, STARTED, RELEASED, result()]),
        (HOLDS, [*RUNNING, SILENCE, RELEASED, result()]),
        (HOLDS, [*RUNNING, cancel(), DROP, note(RETURNS), BEAT, *FENCE]),
        (HOLDS, [*RUNNING, DROP, got(TaskCancel(T9), FORMER), note(RETURNS), BEAT, got(TaskCancel(T9), FORMER)]),
        (HOLDS, [BEAT, got(None, "cut off"), got(None, "member 99"), *FENCE]),
    ],
)
def test_what_is_allowed(bodies: dict[bytes, str], trace: list[Entry]) -> None:
    assert broken(trace, bodies) == []


@pytest.mark.parametrize(
    ("requirement", "bodies", "trace"),
    [
        ("W1.1", RETURNS_AT_ONCE, [*RUNNING, result(), result()]),
        ("W1.1", RETURNS_AT_ONCE, [*RUNNING, *FENCE]),
        ("W1.1", HOLDS, [*RUNNING, STARTED]),
        ("W1.1", HOLDS, [*RUNNING, result()]),
        ("W1.1", RETURNS_AT_ONCE, [*RUNNING, result(), cancel(), confirm(CANCELED)]),
        ("W1.2", HOLDS, [*RUNNING, cancel(), confirm(FAILED), confirm(FAILED)]),
        ("W1.2", HOLDS, [*RUNNING, cancel(force=True), cancel(force=True), confirm(CANCELED), confirm(CANCELED)]),
        ("W1.3", HOLDS, [*RUNNING, GIVEN, *FENCE, RELEASED, result(), *FENCE, STARTED]),
        ("W2.1", HOLDS, [*RUNNING, GIVEN_T2, cancel(T2), confirm(CANCELED, T2), STARTED_T2]),
        ("W2.1", HOLDS, [*RUNNING, GIVEN_T2, cancel(T2), confirm(NOT_FOUND, T2)]),
        ("W2.2", HOLDS, [*RUNNING, cancel(force=True), confirm(CANCELED), RUNS, GONE]),
        ("W2.2", HOLDS, [*RUNNING, cancel(force=True), RUNS, *FENCE]),
        ("W2.3", HOLDS, [*RUNNING, cancel(), *FENCE]),
        ("W2.3", HOLDS, [*RUNNING, cancel(), confirm(CANCELED)]),
        ("W2.4", HOLDS, [BEAT, cancel(T9)]),
        ("W2.4", HOLDS, [BEAT, cancel(T9), confirm(CANCELED, T9)]),
        ("W3.1", DIES, [*RUNNING, *FENCE]),
        ("W3.1", DIES, [*RUNNING, result()]),
        ("W3.2", RAISES, [*RUNNING, result()]),
        ("W4.1", HOLDS, [BEAT, LEAVE, GOODBYE, GIVEN, STARTED]),
        ("W4.2", HOLDS, [*RUNNING, GO_HOME, GOODBYE, RUNS]),
        ("W4.2", HOLDS, [*RUNNING, LEAVE, GOODBYE, BEAT]),
        ("W4.2", HOLDS, [BEAT, LEAVE, *FENCE]),
        ("W5.1", HOLDS, [*FENCE, BEAT]),
        ("M1", HOLDS, [BEAT, got(None, "cut off"), confirm(NOT_FOUND)]),
        ("M3", HOLDS, [BEAT, sent(Task(T1))]),
        ("M6", HOLDS, [BEAT, STRANGE_ARGUMENT, STARTED, RELEASED, result()]),
        ("T2", HOLDS, [BEAT, Entry(0, "W1", SCHEDULER, None, "unreadable: cut off")]),
        ("T4", HOLDS, [BEAT, DROP, note(RESUMES), BEAT]),
    ],
)
def test_what_is_not(requirement: str, bodies: dict[bytes, str], trace: list[Entry]) -> None:
    assert broken(trace, bodies)[:1] == [requirement]


def test_a_violation_is_placed_at_the_message_that_shows_it() -> None:
    trace = [*RUNNING, cancel(), confirm(CANCELED), *FENCE]
    first = audited(trace).findings[0]
    assert (first.violation.requirement, first.position) == ("W2.3", 5)
    assert "TaskCancelConfirm T1 canceled, not cancelFailed" in first.violation.text


def test_what_a_lost_worker_ends_it_does_not_report() -> None:
    trace = [*RUNNING, LOST, note("its connection ends"), confirm(CANCELED)]
    assert broken(trace, at_rest=False) == ["W4.3"]
    assert broken([*RUNNING, cancel(force=True), *trace[3:]], at_rest=False) == []  # it was asked before


def test_too_many_orders(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then each task is judged by itself; what is found in no other way is not found."""
    tasks = [b"%d" % number for number in range(4)]
    trace = [BEAT, *(got(Task(task)) for task in tasks), *(cancel(task, force=True) for task in tasks)]
    trace += [*(confirm(CANCELED, task) for task in reversed(tasks)), result(), *FENCE]
    monkeypatch.setattr(outside, "MOST_STEPS", 2000)
    audit = audited(trace, dict.fromkeys(tasks, "return"))
    assert audit.undecided
    assert {(one.violation.requirement, one.position) for one in audit.findings} == {("W1.1", 14)}
    monkeypatch.setattr(outside, "MOST_STEPS", 20)
    audit = audited(trace, dict.fromkeys(tasks, "return"))
    assert audit.undecided
    assert audit.findings == []


@pytest.mark.parametrize("delay", [0.0, 2.0, 6.0])
def test_a_right_worker_is_not_accused(delay: float) -> None:
    undecided = 0
    for seed in range(60):
        walk = WorkerWalk(random.Random(seed).choice)
        for _ in range(14):
            walk.step()
        if not walk.over:
            walk.finish()
        audit = judged(seen_of(walk.records, delay, random.Random(seed)), at_rest=walk.at_rest)
        assert not audit.findings, f"{audit.findings}\n{words(walk.records)}"
        undecided += audit.undecided
    assert undecided <= 3


SHOWN = (
    "results are not sent",
    "results are sent twice",
    "an exception is called a success",
    "canceled is not sent",
    "canceled is sent twice",
    "canceled becomes a refusal",
    "a refusal becomes canceled",
    "refusals are not sent",
    "what is not there is canceled",
    "what is not there is not answered",
    "processes are not ended",
    "tasks are started twice",
    "the good-bye comes too early",
    "a heartbeat follows the good-bye",
)


@pytest.mark.parametrize("fault", SHOWN)
def test_a_fault_is_seen_from_outside(fault: str) -> None:
    bent, expected = WORKER_FAULTS[fault]
    for seed in range(300):
        walk = WorkerWalk(random.Random(seed).choice, bent)
        with contextlib.suppress(KeyError):  # it trips over its own fault
            for _ in range(14):
                walk.step()
            walk.finish()
        if not walk.records:
            continue
        audit = judged(seen_of(walk.records, 1.0, random.Random(seed)), at_rest=walk.at_rest)
        if audit.findings and audit.findings[0].violation.requirement == expected.split()[0]:
            return
    pytest.fail(f"300 walks have not shown {expected.split()[0]}")


def test_notes_tell_what_is_no_message() -> None:
    """A member of a later version is not judged; what cannot be read is."""
    later = Entry(0, "W1", SCHEDULER, None, "unreadable: unknown member: number 99")
    assert broken([BEAT, later, *FENCE]) == []
    assert broken([BEAT, replace(later, note="unreadable: cut off"), *FENCE]) == ["T2"]
