"""The scheduler's machine at its limits: what it drops, refuses, remembers, and no longer waits for."""

from __future__ import annotations

import pytest
from scheduler_system import Frame, System, confirm

from rescind.messages import (
    CancelConfirmType,
    ClientDisconnect,
    ClientHeartbeat,
    ClientHeartbeatEcho,
    ClientShutdownResponse,
    DisconnectType,
    GraphTask,
    Message,
    ObjectInstruction,
    ObjectStorageAddress,
    Task,
    TaskCancel,
    TaskCancelConfirm,
    TaskLog,
    TaskResult,
    WorkerDisconnectNotification,
    WorkerHeartbeat,
    WorkerHeartbeatEcho,
)
from rescind.scheduler_machine import (
    Closed,
    CloseExpired,
    CloseRequested,
    Closing,
    Dropped,
    Lost,
    RebalanceDue,
    Received,
    ReleaseObjects,
    ReleaseOwner,
    SchedulerMachine,
    SchedulerSettings,
    Send,
    TimePassed,
)

CANCELED = CancelConfirmType.CANCELED
FAILED = CancelConfirmType.CANCEL_FAILED
NOT_FOUND = CancelConfirmType.CANCEL_NOT_FOUND
SHUTDOWN = DisconnectType.SHUTDOWN


def instructions(system: System, sender: bytes, message: Message) -> list[object]:
    return list(system.machine.handle(Received(sender, message, Frame.of(message), system.now)))


@pytest.mark.parametrize(
    ("sender", "message", "reason"),
    [
        (b"C1", ClientHeartbeatEcho(), "not for a scheduler"),
        (b"C1", Task(b"T1"), "duplicate task id"),
        (b"W1", Task(b"T2"), "wrong role"),
        (b"W1", TaskCancel(b"T1", force=True), "wrong role"),
        (b"W1", ClientDisconnect(), "wrong role"),
        (b"W1", ClientHeartbeat(), "wrong role"),
        (b"C1", WorkerHeartbeat(), "wrong role"),
        (b"C1", WorkerDisconnectNotification(), "unknown worker"),
        (b"C9", ClientDisconnect(), "unknown client"),
        (b"W1", TaskResult(b"T9"), "unknown task"),
        (b"C2", TaskResult(b"T1"), "not the holder"),
        (b"W1", TaskLog(b"T9"), "unknown task"),
        (b"W1", TaskLog(b"T0"), "log of a task whose owner has left"),
        (b"W1", confirm(b"T1", CANCELED), "canceled without a cancel"),
        (b"W1", confirm(b"T1", FAILED), "cancelFailed without a cancel"),
        (b"W1", confirm(b"T1", NOT_FOUND), "cancelNotFound without a cancel"),
        (b"W1", TaskCancelConfirm(b"T1", 7), "unknown confirm type"),
        (b"W0", TaskResult(b"T1"), "lost peer"),
        (b"W0", Task(b"T2"), "lost peer"),
        (b"C0", TaskResult(b"T1"), "lost peer"),
        (b"C0", ClientDisconnect(SHUTDOWN), "lost peer"),
        (b"C0", WorkerHeartbeat(), "lost peer"),
    ],
)
def test_what_is_dropped_is_reported_with_its_sender_its_task_and_the_reason(
    sender: bytes, message: Message, reason: str
) -> None:
    system = System()
    system.worker(b"W0")
    system.say(b"W0", WorkerDisconnectNotification())
    system.dispatched(b"T0", owner=b"C0")
    system.say(b"C0", ClientDisconnect())
    system.dispatched(b"T1")
    dropped = Dropped(sender, reason, getattr(message, "task_id", b""))
    late_result = sender == b"W0" and isinstance(message, TaskResult)
    released: list[object] = [ReleaseObjects(())] if late_result else []
    assert instructions(system, sender, message) == [dropped, *released]


def test_what_a_lost_worker_has_stored_as_a_result_is_released() -> None:
    system = System()
    system.worker()
    system.say(b"W1", WorkerDisconnectNotification())
    assert instructions(system, b"W1", TaskResult(b"T1", results=(b"one", b"two"))) == [
        Dropped(b"W1", "lost peer", b"T1"),
        ReleaseObjects((b"one", b"two")),
    ]


def refusals(system: System, sender: bytes, message: Task | GraphTask, reason: str) -> None:
    assert instructions(system, sender, message) == [
        Send(sender, confirm(message.task_id, NOT_FOUND)),
        Dropped(sender, reason, message.task_id),
    ]


def test_what_is_refused_is_reported_with_the_reason() -> None:
    system = System(SchedulerSettings(max_tasks_per_client=1, max_peers=2))
    system.say(b"C1", Task(b"T1"))
    system.say(b"C2", ClientHeartbeat())
    refusals(system, b"C1", GraphTask(b"T2", graph=(Task(b"T2"),)), "an id twice in a graph")
    refusals(system, b"C2", Task(b"T1"), "task id in use")
    refusals(system, b"C1", Task(b"T2"), "too many tasks")
    refusals(system, b"C3", Task(b"T2"), "too many clients")
    system.say(b"C2", ClientDisconnect())
    refusals(system, b"C2", Task(b"T2"), "lost client")
    system.happen(CloseRequested())
    refusals(system, b"C1", Task(b"T2"), "closing")


def test_a_client_may_have_so_many_tasks_at_once_and_those_that_ended_do_not_count() -> None:
    system = System(SchedulerSettings(max_tasks_per_client=2))
    system.worker()
    for name in (b"T1", b"T2"):
        system.dispatched(name)
    for number in range(3, 6):
        system.say(b"C1", Task(b"full"))
        assert system.heard(b"C1") == [confirm(b"full", NOT_FOUND)]
        system.say(b"W1", TaskResult(b"T%d" % (number - 1)))
        system.dispatched(b"T%d" % number)


def test_a_client_too_many_is_told_so() -> None:
    system = System(SchedulerSettings(max_peers=2))
    for name in (b"C1", b"C2"):
        system.say(name, ClientHeartbeat())
        assert system.heard(name) == [ClientHeartbeatEcho()]
    system.say(b"C3", ClientHeartbeat())
    assert system.heard(b"C3") == [ClientDisconnect()]
    assert system.dropped == ["too many clients"]
    assert system.machine.counts == {"tasks": 0, "clients": 2, "workers": 0}


def test_a_worker_too_many_is_told_so() -> None:
    system = System(SchedulerSettings(max_peers=2))
    for name in (b"W1", b"W2"):
        system.worker(name)
        assert system.heard(name) == [WorkerHeartbeatEcho()]
    assert instructions(system, b"W3", WorkerHeartbeat(queue_size=1)) == [
        Send(b"W3", ClientDisconnect()),
        Dropped(b"W3", "too many workers", b""),
    ]
    system.worker(b"W2")
    assert system.heard(b"W2") == [WorkerHeartbeatEcho()], "those that are there stay"
    assert system.machine.counts["workers"] == 2


def test_echoes_say_where_payloads_are_kept() -> None:
    address = ObjectStorageAddress("/store", 0, "sqlite")
    system = System(SchedulerSettings(object_storage_address=address))
    system.worker()
    system.say(b"C1", ClientHeartbeat())
    assert system.boxes == {b"W1": [WorkerHeartbeatEcho(address)], b"C1": [ClientHeartbeatEcho(address)]}


def test_a_peer_is_lost_when_it_was_silent_for_longer_than_its_time_out() -> None:
    machine = SchedulerMachine(SchedulerSettings(client_timeout=10.0, worker_timeout=20.0))
    system = System()
    system.machine = machine
    system.now = 100.0
    system.worker()
    system.say(b"C1", ClientHeartbeat())
    assert machine.handle(TimePassed(110.0)) == []
    assert machine.handle(TimePassed(110.5)) == [Lost(b"C1"), ReleaseOwner(b"C1")]
    assert machine.handle(TimePassed(120.0)) == []
    assert machine.handle(TimePassed(120.5)) == [Lost(b"W1")]
    assert machine.counts == {"tasks": 0, "clients": 0, "workers": 0}


def test_a_heartbeat_of_a_worker_changes_its_queue_size_and_nothing_else() -> None:
    system = System()
    system.worker(queue_size=1)
    for name in (b"T1", b"T2", b"T3"):
        system.say(b"C1", Task(name))
    assert system.heard(b"W1") == [WorkerHeartbeatEcho(), Task(b"T1")]
    system.worker(queue_size=1)
    assert system.heard(b"W1") == [WorkerHeartbeatEcho()]
    system.worker(queue_size=2)
    assert system.heard(b"W1") == [Task(b"T2"), WorkerHeartbeatEcho()]


@pytest.mark.parametrize("remembered", [1, 2])
def test_so_many_lost_peers_are_remembered_and_the_oldest_is_forgotten_first(remembered: int) -> None:
    system = System(SchedulerSettings(remembered_lost_peers=remembered))
    names = [b"W1", b"W2", b"W3"]
    for name in names:
        system.worker(name)
        system.say(name, WorkerDisconnectNotification())
    system.boxes.clear()
    for name in names[-remembered:]:
        system.worker(name)
        assert system.heard(name) == [ClientDisconnect()]
    system.worker(names[-remembered - 1])
    assert system.heard(names[-remembered - 1]) == [WorkerHeartbeatEcho()]


def test_a_client_that_is_no_longer_remembered_as_lost_may_come_back_beside_its_abandoned_task() -> None:
    system = System(SchedulerSettings(remembered_lost_peers=0))
    system.dispatched(b"T1")
    system.say(b"C1", ClientDisconnect())
    system.boxes.clear()
    system.say(b"C1", ClientHeartbeat())
    assert system.heard(b"C1") == [ClientHeartbeatEcho()]
    system.say(b"C1", TaskCancel(b"T1"))
    assert system.heard(b"C1") == [confirm(b"T1", NOT_FOUND)]
    system.say(b"C1", Task(b"T1"))
    assert system.heard(b"C1") == [confirm(b"T1", NOT_FOUND)], "S1.3: abandoned, and not over"
    system.say(b"W1", confirm(b"T1", CANCELED))
    system.say(b"C1", Task(b"T1"))
    assert system.boxes == {b"W1": [Task(b"T1")]}


def test_logs_go_to_the_owner_for_as_long_as_it_is_there() -> None:
    system = System()
    system.dispatched()
    log = TaskLog(b"T1", content="hello")
    system.say(b"W1", log)
    assert system.boxes == {b"C1": [log]}
    system.say(b"C1", ClientDisconnect())
    system.boxes.clear()
    system.say(b"W1", log)
    assert system.boxes == {}
    assert system.dropped == ["log of a task whose owner has left"]


def test_no_client_may_shut_the_cluster_down_unless_the_operator_says_so() -> None:
    system = System()
    system.say(b"C1", ClientDisconnect(SHUTDOWN))
    assert system.boxes == {b"C1": [ClientShutdownResponse(False)]}
    assert system.others == []


def test_bookkeeping_of_payloads_is_no_error() -> None:
    assert instructions(System(), b"C1", ObjectInstruction()) == []


def test_a_closing_scheduler_moves_nothing() -> None:
    system = System()
    for name in (b"T1", b"T2"):
        system.dispatched(name)
    system.worker(b"W2")
    system.happen(CloseRequested())
    system.boxes.clear()
    system.happen(RebalanceDue())
    assert system.boxes == {}


@pytest.mark.parametrize("kind", [CANCELED, NOT_FOUND])
def test_a_task_that_is_given_back_to_a_closing_scheduler_is_over(kind: CancelConfirmType) -> None:
    system = System()
    for name in (b"T1", b"T2"):
        system.dispatched(name)
    system.worker(b"W2")
    system.happen(RebalanceDue())
    system.happen(CloseRequested())
    system.boxes.clear()
    system.say(b"W1", confirm(b"T2", kind))
    assert system.boxes == {b"C1": [confirm(b"T2", CANCELED)]}
    assert system.machine.counts["tasks"] == 1
    system.boxes.clear()
    system.happen(CloseExpired())
    assert system.boxes == {b"C1": [confirm(b"T1", CANCELED)]}


def test_a_scheduler_without_workers_closes_at_once_and_only_once() -> None:
    system = System()
    system.say(b"C1", Task(b"T1"))
    system.happen(CloseRequested())
    system.happen(CloseRequested())
    assert system.boxes == {b"C1": [confirm(b"T1", CANCELED)]}
    assert system.others == [Closing(), Closed()]


def test_a_refused_cancel_of_the_owner_does_not_keep_a_task_from_being_moved() -> None:
    system = System()
    for name in (b"T1", b"T2"):
        system.dispatched(name)
    system.say(b"C1", TaskCancel(b"T2"))
    system.say(b"W1", confirm(b"T2", FAILED))
    system.worker(b"W2")
    system.boxes.clear()
    system.happen(RebalanceDue())
    assert system.boxes == {b"W1": [TaskCancel(b"T2")]}


def test_a_refused_move_counts_for_the_holder_that_refused() -> None:
    """Placed anew, a task may be asked for again."""
    system = System()
    for name in (b"T1", b"T2"):
        system.dispatched(name)
    system.worker(b"W2")
    system.happen(RebalanceDue())
    system.say(b"W1", confirm(b"T2", FAILED))
    system.say(b"W1", WorkerDisconnectNotification())
    system.worker(b"W3")
    system.boxes.clear()
    system.happen(RebalanceDue())
    assert system.boxes == {b"W2": [TaskCancel(b"T2")]}
