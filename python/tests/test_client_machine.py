"""The client's machine: each row of its table, and what holds in every order of events."""

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
    Instruction,
    Received,
    ReleaseResult,
    Send,
    SetCancelled,
    ShowLog,
    ShutdownAnswered,
    Submit,
    TimeLimit,
    UseStorage,
)
from rescind.client_table import TRANSITIONS, CancelOutcome, FutureInput, FutureState
from rescind.messages import (
    CancelConfirmType,
    ClientDisconnect,
    ClientHeartbeat,
    ClientHeartbeatEcho,
    ClientShutdownResponse,
    DisconnectType,
    ObjectInstruction,
    ObjectStorageAddress,
    Task,
    TaskCancel,
    TaskCancelConfirm,
    TaskLog,
    TaskResult,
)

ID = b"task"
TASK = Task(ID)
RESULT = TaskResult(ID, results=(b"object",))


def confirm(kind: CancelConfirmType | int, task_id: bytes = ID) -> Received:
    return Received(TaskCancelConfirm(task_id, kind))


EVENTS: dict[FutureInput, Event] = {
    FutureInput.CANCEL: Cancel(ID, force=False),
    FutureInput.CANCEL_FORCE: Cancel(ID, force=True),
    FutureInput.RESULT: Received(RESULT),
    FutureInput.CANCELED: confirm(CancelConfirmType.CANCELED),
    FutureInput.CANCEL_FAILED: confirm(CancelConfirmType.CANCEL_FAILED),
    FutureInput.CANCEL_NOT_FOUND: confirm(CancelConfirmType.CANCEL_NOT_FOUND),
    FutureInput.TIME_LIMIT: TimeLimit(ID),
    FutureInput.DISCONNECT: Disconnect(good_bye=False),
}


def settled(outcome: CancelOutcome) -> tuple[list[Instruction], int]:
    return [SetCancelled(ID, outcome)], 0


# Written out by hand, so that a change of the table has to be made twice.
EXPECTED: dict[tuple[FutureState, FutureInput], tuple[list[Instruction], int]] = {
    (FutureState.RUNNING, FutureInput.CANCEL): ([Send(TaskCancel(ID, force=False))], 1),
    (FutureState.RUNNING, FutureInput.CANCEL_FORCE): ([Send(TaskCancel(ID, force=True))], 1),
    (FutureState.RUNNING, FutureInput.RESULT): ([Deliver(RESULT)], 0),
    (FutureState.RUNNING, FutureInput.CANCELED): settled(CancelOutcome.CONFIRMED),
    (FutureState.RUNNING, FutureInput.CANCEL_FAILED): ([Dropped("cancelFailed that nobody waits for", ID)], 1),
    (FutureState.RUNNING, FutureInput.CANCEL_NOT_FOUND): settled(CancelOutcome.NOT_FOUND),
    (FutureState.RUNNING, FutureInput.TIME_LIMIT): ([], 1),
    (FutureState.RUNNING, FutureInput.DISCONNECT): settled(CancelOutcome.DISCONNECTED),
    (FutureState.CANCELING, FutureInput.CANCEL): ([], 1),
    (FutureState.CANCELING, FutureInput.CANCEL_FORCE): ([], 1),
    (FutureState.CANCELING, FutureInput.RESULT): (
        [ReleaseResult(RESULT), SetCancelled(ID, CancelOutcome.RESULT_DISCARDED)],
        0,
    ),
    (FutureState.CANCELING, FutureInput.CANCELED): settled(CancelOutcome.CONFIRMED),
    (FutureState.CANCELING, FutureInput.CANCEL_FAILED): ([EndRound(ID)], 1),
    (FutureState.CANCELING, FutureInput.CANCEL_NOT_FOUND): settled(CancelOutcome.NOT_FOUND),
    (FutureState.CANCELING, FutureInput.TIME_LIMIT): settled(CancelOutcome.TIMED_OUT),
    (FutureState.CANCELING, FutureInput.DISCONNECT): settled(CancelOutcome.DISCONNECTED),
}
for _state in (FutureState.FINISHED, FutureState.CANCELLED):
    for _input in FutureInput:
        EXPECTED[_state, _input] = ([], 0)
    EXPECTED[_state, FutureInput.RESULT] = ([ReleaseResult(RESULT), Dropped("result of an unknown task", ID)], 0)
    for _answer in (FutureInput.CANCELED, FutureInput.CANCEL_FAILED, FutureInput.CANCEL_NOT_FOUND):
        EXPECTED[_state, _answer] = ([Dropped(f"{_answer.value} that nobody waits for", ID)], 0)

INTO_STATE: dict[FutureState, list[Event]] = {
    FutureState.RUNNING: [],
    FutureState.CANCELING: [Cancel(ID, force=False)],
    FutureState.FINISHED: [Received(RESULT)],
    FutureState.CANCELLED: [confirm(CancelConfirmType.CANCELED)],
}


def machine_in(state: FutureState) -> ClientMachine:
    machine = ClientMachine()
    assert machine.handle(Submit(TASK)) == [Send(TASK)]
    for event in INTO_STATE[state]:
        machine.handle(event)
    return machine


@pytest.mark.parametrize("given_input", list(FutureInput))
@pytest.mark.parametrize("state", list(FutureState))
def test_each_state_does_with_each_input_what_is_written_here(state: FutureState, given_input: FutureInput) -> None:
    machine = machine_in(state)
    instructions, pending = EXPECTED[state, given_input]
    assert machine.handle(EVENTS[given_input]) == instructions
    assert machine.pending == pending


def test_the_table_has_no_row_for_a_settled_future() -> None:
    assert {state for state, _ in TRANSITIONS} == {FutureState.RUNNING, FutureState.CANCELING}


def test_a_refused_round_may_be_followed_by_another_and_by_the_result() -> None:
    machine = machine_in(FutureState.CANCELING)
    machine.handle(confirm(CancelConfirmType.CANCEL_FAILED))
    assert machine.handle(Cancel(ID, force=True)) == [Send(TaskCancel(ID, force=True))]
    machine.handle(confirm(CancelConfirmType.CANCEL_FAILED))
    assert machine.handle(Received(RESULT)) == [Deliver(RESULT)]


@pytest.mark.parametrize("state", [FutureState.RUNNING, FutureState.CANCELING])
def test_a_confirm_of_unknown_type_is_dropped(state: FutureState) -> None:
    machine = machine_in(state)
    assert machine.handle(confirm(7)) == [Dropped("unknown confirm type", ID)]
    assert machine.pending == 1


def test_the_good_bye_comes_after_the_futures_are_cancelled() -> None:
    machine = machine_in(FutureState.RUNNING)
    assert machine.handle(Disconnect(good_bye=True)) == [
        SetCancelled(ID, CancelOutcome.DISCONNECTED),
        Send(ClientDisconnect(DisconnectType.DISCONNECT)),
    ]


def test_a_client_that_is_given_up_cancels_everything() -> None:
    machine = machine_in(FutureState.CANCELING)
    assert machine.handle(Received(ClientDisconnect())) == [
        SetCancelled(ID, CancelOutcome.DISCONNECTED),
        DeclaredLost(),
    ]


def test_what_is_not_about_a_future_is_passed_on() -> None:
    machine = machine_in(FutureState.RUNNING)
    address = ObjectStorageAddress("host", 1, "sqlite")
    log = TaskLog(ID, content="hello")
    assert machine.handle(Received(ClientHeartbeatEcho(address))) == [UseStorage(address)]
    assert machine.handle(Received(ClientShutdownResponse(True))) == [ShutdownAnswered(True)]
    assert machine.handle(Received(log)) == [ShowLog(log)]
    assert machine.handle(Received(TaskLog(b"other"))) == [Dropped("log of an unknown task", b"other")]
    assert machine.handle(Received(ClientHeartbeat())) == [Dropped("not for a client", b"")]
    assert machine.handle(Received(TASK)) == [Dropped("not for a client", ID)]
    assert machine.handle(Received(ObjectInstruction())) == []
    assert machine.pending == 1


IDS = st.sampled_from([b"1", b"2", b"3"])
ANY_EVENT = st.one_of(
    st.builds(Cancel, IDS, st.booleans()),
    st.builds(TimeLimit, IDS),
    st.builds(lambda task_id: Received(TaskResult(task_id, results=(b"object",))), IDS),
    st.builds(lambda task_id, kind: confirm(kind, task_id), IDS, st.sampled_from([*CancelConfirmType, 9])),
    st.builds(Disconnect, st.just(False)),
)


@given(st.lists(st.tuples(st.sampled_from(range(12)), ANY_EVENT), max_size=40))
def test_in_every_order_a_future_settles_once_and_a_round_has_one_request(events: list[tuple[int, Event]]) -> None:
    machine = ClientMachine()
    for task_id in (b"1", b"2", b"3"):
        machine.handle(Submit(Task(task_id)))
    outcomes: Counter[bytes] = Counter()
    open_rounds: set[bytes] = set()
    for weight, event in events:
        if isinstance(event, Disconnect) and weight:
            continue  # rare, or there would be nothing left to look at
        instructions = machine.handle(event)
        released = Counter(each.result.task_id for each in instructions if isinstance(each, ReleaseResult))
        delivered = Counter(each.result.task_id for each in instructions if isinstance(each, Deliver))
        for instruction in instructions:
            match instruction:
                case Deliver(result):
                    assert result.task_id not in open_rounds  # C3.1
                    outcomes[result.task_id] += 1
                case SetCancelled(task_id):
                    outcomes[task_id] += 1
                    open_rounds.discard(task_id)
                case EndRound(task_id):
                    assert task_id in open_rounds
                    open_rounds.remove(task_id)
                case Send(TaskCancel(task_id)):
                    assert task_id not in open_rounds
                    assert not outcomes[task_id]
                    open_rounds.add(task_id)
                case Send(message):
                    raise AssertionError(f"sent {message}")
                case _:
                    pass
        if isinstance(event, Received) and isinstance(event.message, TaskResult):
            # C3.2, C9.2: a result is either delivered or released.
            assert delivered + released == Counter([event.message.task_id])
        assert max(outcomes.values(), default=0) <= 1
        assert machine.pending == 3 - outcomes.total()
    machine.handle(Disconnect(good_bye=False))
    assert machine.pending == 0
