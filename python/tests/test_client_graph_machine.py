"""The client's machine with a graph: what comes for targets, other nodes and the graph itself (C13.1, C13.2)."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rescind.client_machine import (
    Cancel,
    ClientMachine,
    DeclaredLost,
    Deliver,
    Disconnect,
    Dropped,
    EndRound,
    Event,
    GraphEnded,
    Instruction,
    Received,
    ReleaseResult,
    Send,
    SetCancelled,
    ShowLog,
    Submit,
    SubmitGraph,
    TimeLimit,
)
from rescind.client_table import CancelOutcome
from rescind.messages import (
    CancelConfirmType,
    ClientDisconnect,
    DisconnectType,
    GraphTask,
    Message,
    Task,
    TaskCancel,
    TaskCancelConfirm,
    TaskLog,
    TaskResult,
    TaskResultType,
)

GRAPH = GraphTask(b"G", targets=(b"b", b"d"), graph=tuple(map(Task, (b"d", b"c", b"b", b"a"))))
"""a is read by b and c, and these by d."""
CANCELED, CANCEL_FAILED, NOT_FOUND = (
    CancelConfirmType.CANCELED,
    CancelConfirmType.CANCEL_FAILED,
    CancelConfirmType.CANCEL_NOT_FOUND,
)


def success(task_id: bytes) -> TaskResult:
    return TaskResult(task_id, results=(b"result of " + task_id,))


def failure(task_id: bytes, cause: bytes = b"a") -> TaskResult:
    return TaskResult(task_id, TaskResultType.FAILED, results=(b"error of " + cause,))


def confirm(task_id: bytes, kind: CancelConfirmType | int) -> TaskCancelConfirm:
    return TaskCancelConfirm(task_id, kind)


def running() -> ClientMachine:
    machine = ClientMachine()
    assert machine.handle(SubmitGraph(GRAPH)) == [Send(GRAPH)]
    assert machine.pending == 2
    return machine


def received(machine: ClientMachine, *messages: Message) -> list[Instruction]:
    return [instruction for message in messages for instruction in machine.handle(Received(message))]


def forgotten(machine: ClientMachine) -> bool:
    return not (machine._futures or machine._graphs or machine._graph_of)


# message, what it calls for, what the graph's end then calls for beside GraphEnded
ABOUT_THE_REST: list[tuple[Message, list[Instruction], list[Instruction]]] = [
    (success(b"a"), [], []),
    (TaskResult(b"a"), [], []),
    (failure(b"a"), [], [ReleaseResult(failure(b"a"))]),
    (TaskResult(b"a", 9, results=(b"?",)), [], [ReleaseResult(TaskResult(b"a", 9, results=(b"?",)))]),
    (TaskResult(b"a", TaskResultType.FAILED_WORKER_DIED), [], []),
    (confirm(b"c", CANCELED), [], []),
    (confirm(b"c", CANCEL_FAILED), [], []),
    (confirm(b"c", NOT_FOUND), [], []),
    (confirm(b"c", 9), [Dropped("unknown confirm type", b"c")], []),
    (confirm(b"G", CANCEL_FAILED), [], []),
    (confirm(b"G", 9), [Dropped("unknown confirm type", b"G")], []),
    (TaskLog(b"a", content="hello"), [ShowLog(TaskLog(b"a", content="hello"))], []),
]


@pytest.mark.parametrize(("message", "expected", "at_end"), ABOUT_THE_REST)
def test_what_comes_for_other_nodes_settles_nothing(
    message: Message, expected: list[Instruction], at_end: list[Instruction]
) -> None:
    machine = running()
    assert received(machine, message) == expected
    assert machine.pending == 2
    assert machine.handle(Disconnect(good_bye=False))[2:] == [GraphEnded(b"G"), *at_end]
    assert forgotten(machine)


@pytest.mark.parametrize(
    "end",
    [
        TaskResult(b"G"),
        TaskResult(b"G", TaskResultType.FAILED),
        TaskResult(b"G", 9),
        confirm(b"G", CANCELED),
        confirm(b"G", NOT_FOUND),
    ],
)
def test_the_end_of_the_graph_settles_nothing(end: Message) -> None:
    machine = running()
    assert received(machine, success(b"b")) == [Deliver(success(b"b"), b"G")]
    assert received(machine, end) == [GraphEnded(b"G")]
    assert machine.pending == 1
    # It is a task like any other then: whatever the scheduler still has to say of it counts.
    assert received(machine, success(b"d")) == [Deliver(success(b"d"))]
    assert forgotten(machine)


def test_an_end_that_names_a_payload_leaves_nothing_behind() -> None:
    end = TaskResult(b"G", results=(b"object",))
    assert received(running(), end) == [GraphEnded(b"G"), ReleaseResult(end)]


def test_a_result_is_released_neither_when_it_is_discarded_nor_when_it_is_late() -> None:
    machine = running()
    assert machine.handle(Cancel(b"b", force=False)) == [Send(TaskCancel(b"b", force=False))]
    assert received(machine, success(b"b")) == [SetCancelled(b"b", CancelOutcome.RESULT_DISCARDED)]
    assert machine.handle(Cancel(b"d", force=True)) == [Send(TaskCancel(b"d", force=True))]
    assert machine.handle(TimeLimit(b"d")) == [SetCancelled(b"d", CancelOutcome.TIMED_OUT)]
    assert received(machine, success(b"d")) == [Dropped("result of an unknown task", b"d")]
    assert received(machine, TaskResult(b"G")) == [
        GraphEnded(b"G"),
        ReleaseResult(success(b"b")),
        ReleaseResult(success(b"d")),
    ]
    assert forgotten(machine)


def test_after_the_end_a_result_is_that_of_any_unknown_task() -> None:
    machine = running()
    received(machine, success(b"b"), success(b"d"), TaskResult(b"G"))
    late = [ReleaseResult(success(b"a")), Dropped("result of an unknown task", b"a")]
    assert received(machine, success(b"a")) == late
    assert received(machine, TaskResult(b"G"))[1:] == [Dropped("result of an unknown task", b"G")]
    assert received(machine, confirm(b"G", CANCELED)) == [Dropped("canceled that nobody waits for", b"G")]
    assert received(machine, TaskLog(b"a")) == [Dropped("log of an unknown task", b"a")]


def test_a_round_of_a_target_is_ended_by_nothing_else() -> None:
    machine = running()
    machine.handle(Cancel(b"d", force=False))
    around: list[Message] = [
        confirm(b"c", CANCELED),
        confirm(b"a", CANCEL_FAILED),
        confirm(b"G", CANCEL_FAILED),
        success(b"a"),
    ]
    assert received(machine, *around) == []
    assert received(machine, TaskResult(b"G")) == [GraphEnded(b"G")]
    assert received(machine, confirm(b"d", CANCEL_FAILED)) == [EndRound(b"d")]
    assert machine.pending == 2


def test_a_cancelled_graph_of_scaler_cancels_each_target_once() -> None:
    """Its scheduler cancels the whole graph for one target, and tells of inner nodes as well."""
    machine = running()
    machine.handle(Cancel(b"b", force=False))
    messages = [confirm(each, CANCELED) for each in (b"a", b"b", b"c", b"d", b"G")]
    assert received(machine, *messages) == [
        SetCancelled(b"b", CancelOutcome.CONFIRMED),
        SetCancelled(b"d", CancelOutcome.CONFIRMED),
        GraphEnded(b"G"),
    ]
    assert forgotten(machine)


def test_a_refused_graph_is_cancelled() -> None:
    machine = running()
    assert received(machine, *(confirm(each, NOT_FOUND) for each in (b"b", b"d", b"G"))) == [
        SetCancelled(b"b", CancelOutcome.NOT_FOUND),
        SetCancelled(b"d", CancelOutcome.NOT_FOUND),
        GraphEnded(b"G"),
    ]
    assert forgotten(machine)


def test_leaving_ends_the_graph_before_the_good_bye() -> None:
    machine = running()
    received(machine, failure(b"a"), failure(b"b"))
    assert machine.handle(Disconnect(good_bye=True)) == [
        SetCancelled(b"d", CancelOutcome.DISCONNECTED),
        GraphEnded(b"G"),
        ReleaseResult(failure(b"a")),
        Send(ClientDisconnect(DisconnectType.DISCONNECT)),
    ]
    assert forgotten(machine)


def test_being_given_up_ends_the_graph() -> None:
    machine = running()
    assert received(machine, ClientDisconnect())[2:] == [GraphEnded(b"G"), DeclaredLost()]
    assert forgotten(machine)


IDS = (b"a", b"b", b"c", b"d", b"G", b"single")
OWN = (b"b", b"d", b"single")
"""Those that have a future."""
EVENTS: list[Event] = [
    *(Cancel(task_id, force) for task_id in OWN for force in (False, True)),
    *(TimeLimit(task_id) for task_id in OWN),
    *(Received(made(task_id)) for task_id in IDS for made in (success, failure)),
    *(Received(confirm(task_id, kind)) for task_id in IDS for kind in (*CancelConfirmType, 9)),
]


@given(st.lists(st.sampled_from(EVENTS), max_size=40))
def test_in_every_order_futures_settle_once_and_results_are_released_at_the_end(events: list[Event]) -> None:
    machine = running()
    machine.handle(Submit(Task(b"single")))
    outcomes: Counter[bytes] = Counter()
    owed: Counter[TaskResult] = Counter()
    goes_on = True
    for event in [*events, Disconnect(good_bye=False)]:
        message = event.message if isinstance(event, Received) else None
        if isinstance(message, TaskResult):
            inner = goes_on and message.task_id in (b"a", b"c") and message.result_type == TaskResultType.SUCCESS
            owed[message] += 0 if inner else 1
        instructions = machine.handle(event)
        for index, instruction in enumerate(instructions):
            match instruction:
                case GraphEnded(b"G"):
                    assert goes_on
                    goes_on = False
                case Deliver(result, graph_id):
                    assert message == result
                    assert graph_id == (b"G" if goes_on and result.task_id != b"single" else b"")
                    outcomes[result.task_id] += 1
                    owed[result] -= 1
                case SetCancelled(task_id):
                    if message is not None:
                        assert getattr(message, "task_id", None) == task_id  # C13.1
                    outcomes[task_id] += 1
                case ReleaseResult(result):
                    assert not goes_on or result.task_id == b"single", instructions[: index + 1]  # C13.2
                    owed[result] -= 1
                case Send(sent):
                    assert isinstance(event, Cancel)
                    assert sent == TaskCancel(event.task_id, event.force)
                case _:
                    pass
    assert outcomes == Counter([b"b", b"d", b"single"])
    assert not any(owed.values())
    assert forgotten(machine)
