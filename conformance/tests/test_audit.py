"""The judgement of a scheduler from outside, where the order in which it had its messages is not known."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from rescind.messages import (
    CancelConfirmType,
    ClientDisconnect,
    ClientHeartbeat,
    ClientHeartbeatEcho,
    ClientShutdownResponse,
    DisconnectType,
    GraphTask,
    Message,
    Task,
    TaskCancel,
    TaskCancelConfirm,
    TaskResult,
    WorkerDisconnectNotification,
    WorkerHeartbeat,
    WorkerHeartbeatEcho,
)
from rescind_conformance.audit import STOPPED, Audit, first_broken, judge_scheduler_of
from rescind_conformance.trace import Entry

T1, T2 = b"1" * 16, b"2" * 16
CANCELED, FAILED, NOT_FOUND = CancelConfirmType

Said = tuple[str, str, Message]
Step = list[Said]


def found(steps: list[Step], *, at_rest: bool = False) -> list[str]:
    """The requirements that are found broken; each step is a list of (from, to, message)."""
    return judged([Entry(number, *said) for number, step in enumerate(steps) for said in step], at_rest=at_rest)


def judged(trace: list[Entry], *, at_rest: bool = False) -> list[str]:
    judged = judge_scheduler_of(trace, {T1: "T1", T2: "T2"}, at_rest=at_rest)
    assert not judged.undecided
    return [one.violation.requirement for one in judged.findings]


def confirm(kind: CancelConfirmType) -> TaskCancelConfirm:
    return TaskCancelConfirm(T1, kind)


JOIN: Step = [("W2", "S", WorkerHeartbeat(queue_size=1)), ("S", "W2", WorkerHeartbeatEcho())]
ECHO: Step = [("W1", "S", WorkerHeartbeat(queue_size=1)), ("S", "W1", WorkerHeartbeatEcho())]
SUBMIT: Step = [*ECHO, ("C1", "S", Task(T1)), ("S", "W1", Task(T1))]
TASK: Step = [("C1", "S", Task(T1))]
CANCEL: Step = [("C1", "S", TaskCancel(T1)), ("S", "W1", TaskCancel(T1))]
FINISH: Step = [("W1", "S", TaskResult(T1)), ("S", "C1", TaskResult(T1))]
FENCE: Step = [("C1", "S", ClientHeartbeat()), ("S", "C1", ClientHeartbeatEcho())]
MOVE: Step = [("S", "W1", TaskCancel(T1))]
FORCE: Step = [("C1", "S", TaskCancel(T1, True)), ("S", "W1", TaskCancel(T1, True))]
TOLD, REFUSED, ACCEPTED = ClientDisconnect(), ClientShutdownResponse(False), ClientShutdownResponse(True)
ASK: Said = ("C1", "S", ClientDisconnect(DisconnectType.SHUTDOWN))
LEAVE: Step = [("C2", "S", ClientHeartbeat()), ("S", "C2", ClientHeartbeatEcho()), ("C2", "S", ClientDisconnect())]
GO_HOME: Said = ("S", "W1", ClientDisconnect(DisconnectType.SHUTDOWN))


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
        [SUBMIT, CANCEL, [("W1", "S", WorkerDisconnectNotification()), ("S", "C1", confirm(CANCELED))]],
        [[("C1", "S", Task(T1))], [("C1", "S", TaskCancel(T1)), ("S", "C1", confirm(CANCELED))]],
        [SUBMIT, MOVE, [("W1", "S", confirm(FAILED))], FINISH],
        [JOIN, SUBMIT, MOVE, [("W1", "S", confirm(CANCELED)), ("S", "W2", Task(T1))]],
        [SUBMIT, MOVE, [("C1", "S", TaskCancel(T1))], [("W1", "S", confirm(CANCELED)), ("S", "C1", confirm(CANCELED))]],
        [[FENCE[0], ("C1", "S", TaskCancel(T1)), FENCE[1], ("S", "C1", confirm(NOT_FOUND))]],
        [SUBMIT, FINISH, [("C1", "S", Task(T1)), ("S", "C1", confirm(NOT_FOUND))]],
        [SUBMIT, MOVE, FORCE, [("W1", "S", confirm(CANCELED)), ("S", "C1", confirm(CANCELED))]],
        [SUBMIT, [("C1", "S", ClientDisconnect()), ("S", "W1", TaskCancel(T1, True))]],
        [FENCE, [("C1", "S", ClientDisconnect()), ("S", "C1", TOLD)]],
        [[("C1", "S", ClientHeartbeat()), ("S", "C1", TOLD)]],  # beyond a limit
        [ECHO, FENCE, [ASK, GO_HOME, ("S", "C1", ACCEPTED)]],
        [ECHO, FENCE, [ASK, ("S", "C1", REFUSED)]],
        [SUBMIT, [ASK, ("S", "C1", ACCEPTED), ("S", "C1", confirm(CANCELED))]],
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
        ("S1.2", [SUBMIT, FINISH, ECHO, [("S", "W1", TaskCancel(T1))]]),
        ("S2.4", [SUBMIT, [("W1", "S", TaskResult(T1)), ("S", "C2", TaskResult(T1))]]),
        ("S2.4", [SUBMIT, [("S", "C2", confirm(NOT_FOUND))]]),
        ("S2.2", [SUBMIT, [("C2", "S", TaskCancel(T1)), ("S", "C2", confirm(CANCELED))]]),
        ("S4.1", [SUBMIT, [("C1", "S", TaskCancel(T1)), ("S", "W2", TaskCancel(T1))]]),
        ("S4.4", [SUBMIT, CANCEL, [("S", "C1", confirm(CANCELED))]]),
        ("S4.4", [SUBMIT, [("S", "C1", confirm(CANCELED))]]),
        ("S7.1", [SUBMIT, [("S", "W1", TaskCancel(T1, True))]]),
        ("S6.1", [SUBMIT, CANCEL, [("S", "W1", TaskCancel(T1, True))]]),
        ("S7.2", [SUBMIT, [*MOVE, ("S", "C1", confirm(CANCELED))]]),
        ("S7.2", [SUBMIT, MOVE, [("W1", "S", confirm(FAILED)), ("S", "C1", confirm(FAILED))]]),
        ("S9.1", [FENCE, [("S", "C1", TOLD)]]),
        ("S9.1", [ECHO, [GO_HOME]]),
        ("S11.4", [FENCE, LEAVE, [("S", "C1", TOLD)]]),
        ("S11.6", [ECHO, FENCE, [ASK, ("S", "C1", REFUSED), GO_HOME]]),
        ("S11.6", [FENCE, [("S", "C1", REFUSED)]]),
        ("S3.1", [TASK, [("C1", "S", TaskCancel(T1)), ("S", "C1", confirm(CANCELED))], ECHO, [("S", "W1", Task(T1))]]),
        ("S7.8", [JOIN, SUBMIT, CANCEL, FENCE, [("W1", "S", confirm(CANCELED))], [("S", "W2", Task(T1))]]),
        ("S8.2", [SUBMIT, [("S", "W2", Task(T1))]]),
        ("S8.2", [SUBMIT, [("S", "W1", Task(T1))]]),
        ("S8.2", [JOIN, SUBMIT, [("C1", "S", Task(T2)), ("S", "W1", Task(T2))]]),
    ],
)
def test_what_is_not(requirement: str, steps: list[Step]) -> None:
    assert found(steps) == [requirement]


def test_who_fell_silent_may_be_told_to_leave() -> None:
    registered = [Entry(number, *said) for number, said in enumerate(FENCE)]
    silent, told = Entry(2, "C1", "C1", None, "falls silent"), Entry(3, "S", "C1", TOLD)
    assert judged([*registered, told]) == ["S9.1"]
    assert judged([*registered, silent, told]) == []


def test_whoever_is_asked_to_shut_down_may_tell_all_to_leave() -> None:
    entries = [Entry(number, *said) for number, said in enumerate((*ECHO, GO_HOME))]
    assert judged(entries) == ["S9.1"]
    assert judged([*entries[:-1], Entry(3, "S", "S", None, STOPPED), entries[-1]]) == []


def test_what_comes_in_one_step_may_have_been_sent_in_any_order() -> None:
    """A cancel and a result are on their way at once: each order is allowed, a mixture of both is not."""
    both: Step = [("C1", "S", TaskCancel(T1, True)), ("W1", "S", TaskResult(T1))]
    cancel_first: Step = [("S", "W1", TaskCancel(T1, True)), ("S", "C1", TaskResult(T1))]
    result_first: Step = [("S", "C1", TaskResult(T1)), ("S", "C1", confirm(NOT_FOUND))]
    assert found([SUBMIT, both, cancel_first]) == []
    assert found([SUBMIT, both, result_first]) == []
    assert found([SUBMIT, both, [*cancel_first, ("S", "C1", confirm(NOT_FOUND))]]) == ["S1.1"]


def test_what_is_missing_is_found_when_the_echo_has_come() -> None:
    cancel: Step = [("C1", "S", TaskCancel(T1))]
    assert found([ECHO, SUBMIT, cancel]) == []
    assert found([ECHO, SUBMIT, cancel, FENCE]) == ["S4.1"]
    assert found([ECHO, SUBMIT, cancel], at_rest=True)[0] == "S4.1"
    assert found([ECHO, [("C1", "S", TaskCancel(T2))], FENCE]) == ["S2.1"]
    assert found([ECHO, [("C1", "S", Task(T1))], FENCE]) == ["S9.9"]


def test_each_violation_is_told_once_and_the_judge_goes_on() -> None:
    stranger: Step = [("S", "C2", confirm(CANCELED))]
    assert found([SUBMIT, stranger, FINISH, [("S", "C1", TaskResult(T1))]]) == ["S2.4", "S1.1"]


def test_a_trace_is_judged_up_to_where_it_does_not_show_everything() -> None:
    wrong = [Entry(number, *said) for number, said in enumerate([*SUBMIT, *FINISH, ("S", "C1", TaskResult(T1))])]
    flood, garbage = Entry(0, "C1", "C1", None, "floods"), Entry(0, "C1", "S", None, "an empty frame")
    for unclear in (flood, garbage):
        assert judged([unclear, *wrong]) == []
        assert judged([*wrong, unclear]) == ["S1.1"]


def first_of(steps: list[Step]) -> list[tuple[str, int]]:
    """What is broken first, and where."""

    def judge(trace: Sequence[Entry]) -> Audit:
        return judge_scheduler_of(trace, {T1: "T1"}, at_rest=True)

    trace = [Entry(number, *said) for number, step in enumerate(steps) for said in step]
    return [(one.violation.requirement, one.position) for one in first_broken(judge, trace).findings]


def test_an_echo_to_a_client_that_left_hides_nothing() -> None:
    """Its task is not cancelled with force, either."""
    leaves: Step = [("C1", "S", ClientDisconnect()), *FENCE]
    assert first_of([SUBMIT, leaves, ECHO])[0] == ("S9.8", 7)
    assert [requirement for requirement, _ in first_of([SUBMIT, leaves, ECHO])] == ["S9.8", "S9.7"]
    ended: Step = [("S", "W1", TaskCancel(T1, True)), ("W1", "S", confirm(CANCELED))]
    obeyed: Step = [("C1", "S", ClientDisconnect()), *ended, *FENCE]
    assert [requirement for requirement, _ in first_of([SUBMIT, obeyed, ECHO])] == ["S9.8"]


def test_what_follows_another_violation_is_not_told() -> None:
    """The second result may come of the first wrong one."""
    twice: Step = [("S", "C1", TaskResult(T1)), ("S", "C1", TaskResult(T1))]
    assert len(first_of([SUBMIT, twice, ECHO])) == 1
