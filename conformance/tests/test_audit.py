"""The audit of traces, on traces written by hand."""

from __future__ import annotations

import pytest

from rescind.messages import (
    CancelConfirmType,
    ClientHeartbeat,
    ClientHeartbeatEcho,
    GraphTask,
    Message,
    Task,
    TaskCancel,
    TaskCancelConfirm,
    TaskResult,
    WorkerDisconnectNotification,
    WorkerHeartbeat,
)
from rescind_conformance.audit import audit
from rescind_conformance.trace import Entry

T1, T2 = b"1" * 16, b"2" * 16
CANCELED, FAILED, NOT_FOUND = CancelConfirmType

Said = tuple[str, str, Message]
Step = list[Said]


def found(steps: list[Step]) -> list[str]:
    """The requirements that the audit finds broken; each step is a list of (from, to, message)."""
    entries = [Entry(number, *said) for number, step in enumerate(steps) for said in step]
    broken: list[str] = []
    audit(entries, {T1: "T1", T2: "T2"}, {"W1", "W2"}, lambda requirement, _: broken.append(requirement))
    return broken


def confirm(kind: CancelConfirmType) -> TaskCancelConfirm:
    return TaskCancelConfirm(T1, kind)


JOIN: Step = [("W1", "S", WorkerHeartbeat(queue_size=1)), ("W2", "S", WorkerHeartbeat(queue_size=1))]
SUBMIT: Step = [("C1", "S", Task(T1)), ("S", "W1", Task(T1))]
CANCEL: Step = [("C1", "S", TaskCancel(T1)), ("S", "W1", TaskCancel(T1))]
FINISH: Step = [("W1", "S", TaskResult(T1)), ("S", "C1", TaskResult(T1))]
FENCE: Step = [("C1", "S", ClientHeartbeat()), ("S", "C1", ClientHeartbeatEcho())]


@pytest.mark.parametrize(
    "steps",
    [
        [SUBMIT, FINISH],
        [SUBMIT, CANCEL, [("W1", "S", confirm(CANCELED)), ("S", "C1", confirm(CANCELED))]],
        [SUBMIT, FINISH, [("C1", "S", TaskCancel(T1)), ("S", "C1", confirm(NOT_FOUND))]],
        [SUBMIT, [("C1", "S", TaskCancel(T1)), *FINISH, ("S", "C1", confirm(NOT_FOUND))]],
        [SUBMIT, CANCEL, [("W1", "S", confirm(FAILED)), ("S", "C1", confirm(FAILED))], FINISH],
        [SUBMIT, [("C2", "S", TaskCancel(T1)), ("S", "C2", confirm(NOT_FOUND))], FINISH],
        [SUBMIT, [("C2", "S", Task(T1)), ("S", "C2", confirm(NOT_FOUND))], FINISH],
        [[("C1", "S", GraphTask(T1)), ("S", "C1", confirm(NOT_FOUND))]],
        [JOIN, SUBMIT, FINISH, [("C1", "S", Task(T2)), ("S", "W1", Task(T2))]],
        [JOIN, SUBMIT, [("W1", "S", WorkerDisconnectNotification()), ("S", "W2", Task(T1))]],
        [SUBMIT, CANCEL, [("W1", "S", confirm(CANCELED))], [("S", "W2", Task(T1))]],
    ],
)
def test_what_is_allowed(steps: list[Step]) -> None:
    assert found(steps) == []


@pytest.mark.parametrize(
    ("requirement", "steps"),
    [
        ("S1.1", [SUBMIT, FINISH, [("S", "C1", TaskResult(T1))]]),
        ("S1.1", [SUBMIT, FINISH, [("S", "C1", confirm(NOT_FOUND))]]),
        ("S1.1", [SUBMIT, CANCEL, FENCE, FINISH, [("S", "C1", confirm(NOT_FOUND))]]),
        ("S1.2", [SUBMIT, FINISH, [("S", "C1", confirm(FAILED))]]),
        ("S1.2", [SUBMIT, FINISH, [("S", "W2", Task(T1))]]),
        ("S1.2", [SUBMIT, FINISH, [("S", "W1", TaskCancel(T1))]]),
        ("S2.4", [SUBMIT, [("W1", "S", TaskResult(T1)), ("S", "C2", TaskResult(T1))]]),
        ("S2.4", [SUBMIT, [("S", "C2", confirm(NOT_FOUND))]]),
        ("S2.4", [SUBMIT, [("C2", "S", TaskCancel(T1)), ("S", "C2", confirm(CANCELED))]]),
        ("S4.1", [SUBMIT, [("C1", "S", TaskCancel(T1)), ("S", "W2", TaskCancel(T1))]]),
        ("S7.8", [[("C1", "S", Task(T1))], [("C1", "S", TaskCancel(T1))], [("S", "W1", Task(T1))]]),
        ("S8.2", [SUBMIT, [("S", "W2", Task(T1))]]),
        ("S8.2", [SUBMIT, [("S", "W1", Task(T1))]]),
        ("S8.2", [JOIN, SUBMIT, [("C1", "S", Task(T2)), ("S", "W1", Task(T2))]]),
    ],
)
def test_what_is_not(requirement: str, steps: list[Step]) -> None:
    assert found(steps) == [requirement]
