"""The worker's machine, event by event, without processes or sockets."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from hypothesis.strategies import DataObject, booleans, data, integers, sampled_from

from rescind.messages import (
    CancelConfirmType,
    ClientDisconnect,
    ClientHeartbeat,
    DisconnectType,
    Message,
    ObjectInstruction,
    ObjectStorageAddress,
    Task,
    TaskCancel,
    TaskCancelConfirm,
    TaskLog,
    TaskResult,
    TaskResultType,
    WorkerDisconnectNotification,
    WorkerHeartbeat,
    WorkerHeartbeatEcho,
)
from rescind.worker_machine import (
    Dropped,
    EndProcess,
    Farewell,
    Finished,
    HeartbeatDue,
    Instruction,
    Leave,
    Left,
    ProcessEnded,
    Received,
    ReleaseResult,
    Send,
    Start,
    UseStorage,
    WorkerMachine,
    WorkerSettings,
)
from rescind.worker_table import TRANSITIONS, Action, AssignmentInput, AssignmentState

CANCELED = CancelConfirmType.CANCELED
FAILED = CancelConfirmType.CANCEL_FAILED
NOT_FOUND = CancelConfirmType.CANCEL_NOT_FOUND
SUCCESS = TaskResultType.SUCCESS
BLOCKER, SUBJECT = b"blocker", b"subject"


def worker(processes: int = 1) -> WorkerMachine:
    return WorkerMachine(WorkerSettings(processes=processes, queue_size=10, scheduler_timeout=60.0))


def say(machine: WorkerMachine, message: Message, now: float = 0.0) -> list[Instruction]:
    return machine.handle(Received(message, now))


def finish(machine: WorkerMachine, task_id: bytes) -> list[Instruction]:
    return machine.handle(Finished(task_id, SUCCESS, (b"result of " + task_id,)))


def confirm(task_id: bytes, confirm_type: CancelConfirmType) -> Send:
    return Send(TaskCancelConfirm(task_id, confirm_type))


def result(task_id: bytes) -> Send:
    return Send(TaskResult(task_id, SUCCESS, results=(b"result of " + task_id,)))


def machine_with_subject(state: AssignmentState) -> WorkerMachine:
    machine = worker()
    if state is AssignmentState.QUEUED:
        say(machine, Task(BLOCKER))
    say(machine, Task(SUBJECT))
    if state is AssignmentState.ENDING:
        say(machine, TaskCancel(SUBJECT, force=True))
    elif state is AssignmentState.LEAVING:
        machine.handle(Leave(Farewell.REJOIN))
    assert machine.counts[state] == 1
    return machine


def give(machine: WorkerMachine, given: AssignmentInput) -> list[Instruction]:
    match given:
        case AssignmentInput.START:
            return finish(machine, BLOCKER)
        case AssignmentInput.CANCEL:
            return say(machine, TaskCancel(SUBJECT))
        case AssignmentInput.CANCEL_FORCE:
            return say(machine, TaskCancel(SUBJECT, force=True))
        case AssignmentInput.FINISHED:
            return finish(machine, SUBJECT)
        case AssignmentInput.PROCESS_ENDED:
            return machine.handle(ProcessEnded(SUBJECT))
        case AssignmentInput.LEAVE:
            return machine.handle(Leave(Farewell.REJOIN))


EXPECTED: dict[Action, list[Instruction]] = {
    Action.START_PROCESS: [Start(Task(SUBJECT))],
    Action.END_PROCESS: [EndProcess(SUBJECT)],
    Action.SEND_RESULT: [result(SUBJECT)],
    Action.SEND_WORKER_DIED: [Send(TaskResult(SUBJECT, TaskResultType.FAILED_WORKER_DIED))],
    Action.SEND_CANCELED: [confirm(SUBJECT, CANCELED)],
    Action.SEND_CANCEL_FAILED: [confirm(SUBJECT, FAILED)],
    Action.NOTHING: [],
}


@pytest.mark.parametrize(("state", "given"), list(TRANSITIONS))
def test_each_row_of_the_table(state: AssignmentState, given: AssignmentInput) -> None:
    machine = machine_with_subject(state)
    following, action = TRANSITIONS[state, given]
    expected = EXPECTED[action]
    if given is AssignmentInput.PROCESS_ENDED:
        expected = [ReleaseResult(Task(SUBJECT)), *expected]
    others = [result(BLOCKER), EndProcess(BLOCKER), Left(Farewell.REJOIN)]
    assert [each for each in give(machine, given) if each not in others] == expected
    if following is AssignmentState.ENDED:
        if machine.counts[AssignmentState.LEAVING] == 0 and given is not AssignmentInput.LEAVE:
            assert say(machine, TaskCancel(SUBJECT)) == [confirm(SUBJECT, NOT_FOUND)]
    else:
        assert machine.counts[following] == 1


def test_received_but_not_begun_is_queued_and_never_starts() -> None:
    """Field bugs 1 and 2."""
    machine = worker()
    say(machine, Task(BLOCKER))
    say(machine, Task(SUBJECT))
    assert say(machine, TaskCancel(SUBJECT)) == [confirm(SUBJECT, CANCELED)]
    assert finish(machine, BLOCKER) == [result(BLOCKER)]


def test_a_leaving_worker_starts_nothing_and_drops_what_comes() -> None:
    """Field bug 4."""
    machine = worker(processes=2)
    for task_id in (b"a", b"b", b"queued"):
        say(machine, Task(task_id))
    assert say(machine, ClientDisconnect(DisconnectType.SHUTDOWN)) == [EndProcess(b"a"), EndProcess(b"b")]
    assert machine.handle(ProcessEnded(b"a")) == [ReleaseResult(Task(b"a"))]
    assert say(machine, Task(b"late")) == [Dropped("leaving", b"late")]
    assert finish(machine, b"b") == []
    last = machine.handle(ProcessEnded(b"b"))
    assert last == [ReleaseResult(Task(b"b")), Send(WorkerDisconnectNotification()), Left(Farewell.EXIT)]


def test_canceled_only_when_the_process_is_gone_and_half_its_result_with_it() -> None:
    """Field bugs 29 and 30."""
    machine = worker()
    say(machine, Task(SUBJECT))
    say(machine, Task(b"next"))
    assert say(machine, TaskCancel(SUBJECT, force=True)) == [EndProcess(SUBJECT)]
    assert say(machine, TaskCancel(SUBJECT, force=True)) == []
    assert finish(machine, SUBJECT) == []
    assert machine.handle(ProcessEnded(SUBJECT)) == [
        ReleaseResult(Task(SUBJECT)),
        confirm(SUBJECT, CANCELED),
        Start(Task(b"next")),
    ]


def test_the_same_task_may_come_back_after_a_cancel() -> None:
    """Field bugs 3 and 11: cancel, assign again, cancel on one worker; an answer each."""
    machine = worker()
    for _ in range(3):
        assert say(machine, Task(SUBJECT)) == [Start(Task(SUBJECT))]
        assert say(machine, TaskCancel(SUBJECT, force=True)) == [EndProcess(SUBJECT)]
        assert machine.handle(ProcessEnded(SUBJECT)) == [ReleaseResult(Task(SUBJECT)), confirm(SUBJECT, CANCELED)]


def test_a_second_task_of_the_same_id_changes_nothing() -> None:
    machine = worker()
    say(machine, Task(SUBJECT))
    assert say(machine, Task(SUBJECT)) == [Dropped("duplicate task id", SUBJECT)]
    assert finish(machine, SUBJECT) == [result(SUBJECT)]


def test_what_is_not_for_a_worker_is_dropped() -> None:
    assert say(worker(), ClientHeartbeat()) == [Dropped("not for a worker", b"")]
    assert say(worker(), TaskLog(SUBJECT)) == [Dropped("not for a worker", SUBJECT)]
    assert say(worker(), ObjectInstruction()) == []


def test_a_function_that_raised_is_told_as_what_it_is() -> None:
    machine = worker()
    say(machine, Task(SUBJECT))
    finished = Finished(SUBJECT, TaskResultType.FAILED, (b"exception",))
    assert machine.handle(finished) == [Send(TaskResult(SUBJECT, TaskResultType.FAILED, results=(b"exception",)))]


@pytest.mark.parametrize(
    ("disconnect_type", "farewell"),
    [(DisconnectType.SHUTDOWN, Farewell.EXIT), (DisconnectType.DISCONNECT, Farewell.REJOIN), (7, Farewell.REJOIN)],
)
def test_told_to_leave(disconnect_type: DisconnectType | int, farewell: Farewell) -> None:
    """W4.2, W4.3, and M6 for a value that is not known."""
    good_bye = [Send(WorkerDisconnectNotification())] if farewell is Farewell.EXIT else []
    machine = worker()
    assert say(machine, ClientDisconnect(disconnect_type)) == [*good_bye, Left(farewell)]
    assert machine.handle(Leave(Farewell.EXIT)) == []


def test_heartbeats_say_what_the_machine_knows_and_silence_ends_the_life() -> None:
    machine = worker()
    for task_id in (b"a", b"b", b"c"):
        say(machine, Task(task_id), now=10.0)
    (sent,) = machine.handle(HeartbeatDue(WorkerHeartbeat(hostname="here"), now=70.0))
    assert isinstance(sent, Send)
    assert isinstance(sent.message, WorkerHeartbeat)
    assert (sent.message.hostname, sent.message.queue_size, sent.message.queued_tasks) == ("here", 10, 2)
    address = ObjectStorageAddress("/store", 0, "sqlite")
    assert say(machine, WorkerHeartbeatEcho(address), now=70.0) == [UseStorage(address)]
    (sent,) = machine.handle(HeartbeatDue(WorkerHeartbeat(), now=130.0))
    assert isinstance(sent, Send)
    assert machine.handle(HeartbeatDue(WorkerHeartbeat(), now=130.1)) == [EndProcess(b"a")]
    assert machine.handle(HeartbeatDue(WorkerHeartbeat(), now=140.0)) == []
    assert machine.handle(ProcessEnded(b"a")) == [ReleaseResult(Task(b"a")), Left(Farewell.REJOIN)]


def test_a_scheduler_that_never_speaks_is_lost_after_the_time_out_too() -> None:
    machine = worker()
    for now in (100.0, 160.0):
        assert machine.handle(HeartbeatDue(WorkerHeartbeat(), now)) == [
            Send(WorkerHeartbeat(queue_size=10, task_lock=True))
        ]
    assert machine.handle(HeartbeatDue(WorkerHeartbeat(), 160.5)) == [Left(Farewell.REJOIN)]


def test_heartbeats_say_whether_a_task_would_start_at_once() -> None:
    machine = worker(processes=2)
    for task_id, free in ((b"a", True), (b"b", False), (b"c", False)):
        say(machine, Task(task_id))
        (sent,) = machine.handle(HeartbeatDue(WorkerHeartbeat(), now=0.0))
        assert isinstance(sent, Send)
        assert isinstance(sent.message, WorkerHeartbeat)
        assert sent.message.task_lock is free


class AnyOrder(RuleBasedStateMachine):
    """A scheduler that may say anything, and processes that may end at any moment."""

    def __init__(self) -> None:
        super().__init__()
        self.processes = 2
        self.machine = worker(self.processes)
        self.held: set[bytes] = set()
        """Assigned, and neither result nor `canceled` heard."""
        self.running: set[bytes] = set()
        self.ending: set[bytes] = set()
        """Told to end and not gone."""
        self.finished_late: set[bytes] = set()
        self.released: set[bytes] = set()
        """Results released since the assignment."""
        self.cancels: Counter[bytes] = Counter()
        """Unanswered."""
        self.leaving = False
        self.left = False
        self.said_good_bye = False

    def carry_out(self, instructions: list[Instruction]) -> None:
        for instruction in instructions:
            assert not self.left, f"{instruction} after it has left"
            match instruction:
                case Start(task):
                    assert not self.leaving, "started while leaving"
                    assert task.task_id in self.held
                    assert task.task_id not in self.running
                    self.running.add(task.task_id)
                    self.released.discard(task.task_id)
                    assert len(self.running) <= self.processes, "more at once than there are slots"
                case EndProcess(task_id):
                    assert task_id in self.running - self.ending
                    self.ending.add(task_id)
                case ReleaseResult(task):
                    self.released.add(task.task_id)
                case Send(TaskResult(task_id)):
                    assert not self.leaving
                    assert task_id in self.held - self.ending, "a second outcome"
                    self.held.remove(task_id)
                    assert self.cancels.pop(task_id, 0) == 0, "a cancel that came before the result was not answered"
                case Send(TaskCancelConfirm(task_id, confirm_type)):
                    self.check_confirm(task_id, confirm_type)
                case Send(WorkerDisconnectNotification()):
                    assert self.leaving
                    assert not self.running
                    self.said_good_bye = True
                case Left():
                    assert self.leaving
                    assert not self.running
                    self.left = True

    def check_confirm(self, task_id: bytes, confirm_type: CancelConfirmType | int) -> None:
        assert self.cancels[task_id] > 0, "an answer to no cancel"
        if confirm_type == CANCELED:
            assert not self.leaving
            assert task_id in self.held, "canceled, of what was not held"
            assert task_id not in self.running, "canceled before the process has ended"
            if task_id in self.ending:
                assert task_id in self.released, "its result is left behind"
            self.held.remove(task_id)
            del self.cancels[task_id]  # those that came meanwhile are answered by it (W1.2)
            self.ending.discard(task_id)
        else:
            assert (task_id in self.held) is (confirm_type == FAILED)
            self.cancels[task_id] -= 1

    def hear(self, message: Message) -> None:
        self.carry_out(self.machine.handle(Received(message, 0.0)))

    @precondition(lambda self: not self.left)
    @rule(number=integers(0, 5))
    def assign(self, number: int) -> None:
        task_id = b"%d" % number
        if not self.leaving:
            self.held.add(task_id)
        self.hear(Task(task_id))

    @precondition(lambda self: not self.left)
    @rule(number=integers(0, 6), force=booleans())
    def cancel(self, number: int, force: bool) -> None:
        task_id = b"%d" % number
        known = task_id in self.held
        self.cancels[task_id] += 1
        self.hear(TaskCancel(task_id, force))
        if self.leaving:
            return  # `cancelNotFound`, or the good-bye answers it (W1.2)
        if not known:
            assert self.cancels[task_id] == 0, "a cancel for what is not held must be answered at once"
        else:
            assert self.cancels[task_id] == 0 or task_id in self.ending

    @precondition(lambda self: self.running - self.finished_late)
    @rule(draw=data())
    def function_returns(self, draw: DataObject) -> None:
        task_id = draw.draw(sampled_from(sorted(self.running - self.finished_late)))
        if task_id in self.ending:
            self.finished_late.add(task_id)
        else:
            self.running.remove(task_id)
        self.carry_out(finish(self.machine, task_id))

    @precondition(lambda self: self.running)
    @rule(draw=data())
    def process_ends(self, draw: DataObject) -> None:
        task_id = draw.draw(sampled_from(sorted(self.running)))
        self.running.remove(task_id)
        self.finished_late.discard(task_id)
        was_ending = task_id in self.ending
        if self.leaving:
            self.ending.discard(task_id)
            self.held.discard(task_id)
        self.released.discard(task_id)
        instructions = self.machine.handle(ProcessEnded(task_id))
        assert instructions[0] == ReleaseResult(Task(task_id))
        died = Send(TaskResult(task_id, TaskResultType.FAILED_WORKER_DIED))
        assert (died in instructions) is (not was_ending and not self.leaving)
        self.carry_out(instructions)

    @rule(farewell=sampled_from(Farewell), told=booleans())
    def leave(self, farewell: Farewell, told: bool) -> None:
        self.leaving = True
        self.held &= self.running
        if told:
            shutdown = farewell is Farewell.EXIT
            self.hear(ClientDisconnect(DisconnectType.SHUTDOWN if shutdown else DisconnectType.DISCONNECT))
        else:
            self.carry_out(self.machine.handle(Leave(farewell)))

    @invariant()
    def idle_slots_have_no_work_waiting(self) -> None:
        if not self.leaving and len(self.running) < self.processes:
            assert self.held <= self.running, "a task waits although a slot is free"

    @invariant()
    def the_machine_holds_what_it_owes(self) -> None:
        if not self.leaving:
            assert sum(self.machine.counts.values()) == len(self.held)

    def teardown(self) -> None:
        while self.running:
            task_id = sorted(self.running)[0]
            self.running.remove(task_id)
            if self.leaving:
                self.ending.discard(task_id)
            self.carry_out(self.machine.handle(ProcessEnded(task_id)))
        if self.leaving:
            assert self.left, "nothing runs, and it does not leave"
        else:
            assert not self.held, "an assignment without an outcome"
            assert not +self.cancels, "a cancel without an answer"


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
