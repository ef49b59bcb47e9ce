"""Shutdown that drains: of a scheduler (S9.12) and of a worker (W4.4)."""

from __future__ import annotations

import io
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

from cluster import running_cluster
from scheduler_system import System, confirm
from test_scheduler import HANG, QUEUE_SIZE, Serving

from rescind import Client
from rescind.messages import (
    CancelConfirmType,
    ClientDisconnect,
    DisconnectType,
    GraphTask,
    Task,
    TaskCancel,
    TaskCancelConfirm,
    TaskResult,
    TaskResultType,
    WorkerDisconnectNotification,
    WorkerHeartbeat,
    WorkerHeartbeatEcho,
)
from rescind.scheduler import Scheduler
from rescind.scheduler_machine import (
    Closed,
    CloseRequested,
    Closing,
    Draining,
    DrainRequested,
    RebalanceDue,
    TimePassed,
)
from rescind.trace import TraceEvent, read_trace
from rescind.worker_machine import (
    Drain,
    Event,
    Farewell,
    Finished,
    HeartbeatDue,
    Left,
    ProcessEnded,
    Received,
    Send,
    Start,
    WorkerMachine,
    WorkerSettings,
)

NOT_FOUND = CancelConfirmType.CANCEL_NOT_FOUND
SHUTDOWN = ClientDisconnect(DisconnectType.SHUTDOWN)


# The scheduler's machine


def test_what_was_accepted_is_finished_and_what_comes_is_refused() -> None:
    system = System()
    system.worker(queue_size=1)
    system.say(b"C1", Task(b"T1"))
    system.say(b"C1", Task(b"T2"))
    system.happen(DrainRequested())
    assert (system.others, system.machine.phase) == ([Draining()], "draining")
    system.say(b"C1", Task(b"T3"))
    system.say(b"C1", GraphTask(b"G", b"", (b"N",), (Task(b"N"),)))
    assert system.heard(b"C1") == [confirm(each, NOT_FOUND) for each in (b"T3", b"N", b"G")]
    assert system.dropped == ["draining", "draining"]
    system.say(b"W1", TaskResult(b"T1"))
    assert system.heard(b"W1")[-1] == Task(b"T2")
    assert system.others == [Draining()]
    system.say(b"W1", TaskResult(b"T2"))
    assert system.heard(b"C1") == [TaskResult(b"T1"), TaskResult(b"T2")]
    assert system.heard(b"W1") == [SHUTDOWN]
    assert (system.others, system.machine.phase) == ([Draining(), Closing()], "closing")
    system.say(b"W1", WorkerDisconnectNotification())
    assert system.others[-1] == Closed()


def test_the_end_of_a_graph_ends_the_drain() -> None:
    system = System()
    system.worker()
    system.say(b"C1", GraphTask(b"G", b"", (b"N",), (Task(b"N"),)))
    system.happen(DrainRequested())
    system.say(b"W1", TaskResult(b"N", results=(b"p",)))
    assert system.heard(b"C1") == [TaskResult(b"N", results=(b"p",)), TaskResult(b"G")]
    assert system.others[-1] == Closing()


def test_a_cancel_and_a_loss_end_it_too_and_a_worker_may_come() -> None:
    system = System()
    system.dispatched()
    system.say(b"C1", Task(b"T2"))
    system.happen(DrainRequested())
    system.say(b"W1", WorkerDisconnectNotification())
    assert Closing() not in system.others, "T1 is placed again"
    system.worker(b"W2", queue_size=1)
    assert Task(b"T1") in system.heard(b"W2")
    system.say(b"C1", TaskCancel(b"T2"))
    system.say(b"W2", TaskResult(b"T1", TaskResultType.FAILED))
    assert system.others[-1] == Closing()


def test_one_that_has_nothing_shuts_down_at_once() -> None:
    system = System()
    system.happen(DrainRequested())
    assert system.others == [Draining(), Closing(), Closed()]
    system.happen(DrainRequested())
    assert system.others == [Draining(), Closing(), Closed()]


def test_the_time_is_over() -> None:
    system = System()
    system.dispatched()
    system.happen(DrainRequested())
    system.happen(CloseRequested())
    assert system.heard(b"W1") == [SHUTDOWN]
    system.say(b"W1", WorkerDisconnectNotification())
    assert system.heard(b"C1") == [confirm(b"T1", CancelConfirmType.CANCELED)]


def test_what_a_draining_worker_has_queued_is_taken_back() -> None:
    system = System()
    for name in (b"T1", b"T2", b"T3"):
        system.dispatched(name)
    system.say(b"W1", WorkerHeartbeat(queue_size=0))
    *asked, echo = system.heard(b"W1")
    assert (asked, type(echo)) == ([TaskCancel(name) for name in (b"T3", b"T2", b"T1")], WorkerHeartbeatEcho)
    system.worker(b"W2")
    system.boxes.clear()
    system.say(b"W1", confirm(b"T3", CancelConfirmType.CANCELED))
    system.say(b"W1", confirm(b"T1", CancelConfirmType.CANCEL_FAILED))
    system.happen(RebalanceDue())
    assert (system.heard(b"W1"), system.heard(b"W2")) == ([], [Task(b"T3")])


def test_a_flood_of_its_heartbeats_is_not_a_flood_of_looks_at_its_tasks() -> None:
    system = System()
    system.dispatched(b"T1")
    system.say(b"C1", TaskCancel(b"T1"))
    system.say(b"W1", WorkerHeartbeat(queue_size=0))
    system.say(b"W1", confirm(b"T1", CancelConfirmType.CANCEL_FAILED))
    system.boxes.clear()
    for _ in range(3):
        system.say(b"W1", WorkerHeartbeat(queue_size=0))
        assert [type(each) for each in system.heard(b"W1")] == [WorkerHeartbeatEcho]
    system.happen(TimePassed(0.0))
    system.say(b"W1", WorkerHeartbeat(queue_size=0))
    assert system.heard(b"W1")[0] == TaskCancel(b"T1")


# The scheduler's shell


def test_a_scheduler_drains_and_says_so_in_its_trace() -> None:
    trace = io.StringIO()
    running = Serving(Scheduler(drain=1e6, grace=1e6, trace=trace))
    client, worker = running.peer(b"C1"), running.peer(b"W1")
    worker.fence()
    client.say(Task(b"T1"))
    client.fence()
    assert worker.fence() == [Task(b"T1")]
    running.scheduler.stop()
    while "drain requested" not in trace.getvalue():
        worker.fence()
    client.say(Task(b"T2"))
    assert client.hear() == TaskCancelConfirm(b"T2", NOT_FOUND)
    worker.say(TaskResult(b"T1"))
    assert client.hear() == TaskResult(b"T1")
    assert worker.hear() == SHUTDOWN
    worker.say(WorkerDisconnectNotification())
    running.thread.join(HANG / 1000)
    running.stop()
    trace.seek(0)
    events = [record.event for record in read_trace(trace) if isinstance(record, TraceEvent)]
    assert events == ["scheduler started", "drain requested", "close requested", "closed"]


def test_a_drain_has_an_end_and_a_second_stop_is_one() -> None:
    for drain, stops in ((0.05, 1), (1e6, 2)):
        running = Serving(Scheduler(drain=drain, grace=0.0))
        client, worker = running.peer(b"C1"), running.peer(b"W1")
        worker.fence()
        client.say(Task(b"T1"))
        client.fence()
        for _ in range(stops):
            running.scheduler.stop()
        assert client.hear() == TaskCancelConfirm(b"T1", CancelConfirmType.CANCELED)
        running.thread.join(HANG / 1000)
        running.stop()


# The worker's machine


def sent(machine: WorkerMachine, event: Event) -> list[object]:
    return [each.message if isinstance(each, Send) else each for each in machine.handle(event)]


def test_a_worker_finishes_what_runs_starts_nothing_and_leaves() -> None:
    machine = WorkerMachine(WorkerSettings(processes=1, queue_size=QUEUE_SIZE))
    for name in (b"T1", b"T2", b"T3"):
        machine.handle(Received(Task(name), 0.0))
    assert sent(machine, Drain()) == []
    (heartbeat,) = sent(machine, HeartbeatDue(WorkerHeartbeat(), 0.0))
    assert isinstance(heartbeat, WorkerHeartbeat)
    assert (heartbeat.queue_size, heartbeat.queued_tasks, heartbeat.task_lock) == (0, 2, False)
    assert sent(machine, Received(Task(b"T4"), 0.0)) == []
    assert sent(machine, Received(TaskCancel(b"T2"), 0.0)) == [confirm(b"T2", CancelConfirmType.CANCELED)]
    assert sent(machine, Received(TaskCancel(b"T1"), 0.0)) == [confirm(b"T1", CancelConfirmType.CANCEL_FAILED)]
    assert sent(machine, Finished(b"T1", TaskResultType.SUCCESS, ())) == [
        TaskResult(b"T1"),
        WorkerDisconnectNotification(),
        Left(Farewell.EXIT),
    ]


def test_a_worker_whose_last_task_is_ended_says_good_bye_once() -> None:
    for ended_by, said in ((TaskCancel(b"T1", force=True), confirm(b"T1", CancelConfirmType.CANCELED)), (None, died())):
        machine = WorkerMachine()
        machine.handle(Received(Task(b"T1"), 0.0))
        machine.handle(Drain())
        if ended_by is not None:
            machine.handle(Received(ended_by, 0.0))
        assert sent(machine, ProcessEnded(b"T1"))[1:] == [said, WorkerDisconnectNotification(), Left(Farewell.EXIT)]


def died() -> TaskResult:
    return TaskResult(b"T1", TaskResultType.FAILED_WORKER_DIED)


def test_a_worker_without_work_leaves_at_once() -> None:
    machine = WorkerMachine()
    assert sent(machine, Drain()) == [WorkerDisconnectNotification(), Left(Farewell.EXIT)]


def test_a_worker_that_does_not_drain_starts_the_next_one() -> None:
    machine = WorkerMachine()
    machine.handle(Received(Task(b"T1"), 0.0))
    machine.handle(Received(Task(b"T2"), 0.0))
    assert Start(Task(b"T2")) in machine.handle(Finished(b"T1", TaskResultType.SUCCESS, ()))


# As processes


def test_a_worker_drains_and_another_takes_what_it_had_queued(tmp_path: Path) -> None:
    def wait_for(gate: str) -> str:
        Path(gate).with_suffix(".begun").touch()
        while not Path(gate).exists():
            time.sleep(0.01)
        return "done"

    with running_cluster(tmp_path, "--processes", "1", "--drain", "30") as cluster:
        gates = [tmp_path / name for name in ("first", "second")]
        with Client(cluster.endpoint) as client:
            first, second = [client.submit(wait_for, str(gate)) for gate in gates]
            until(lambda: gates[0].with_suffix(".begun").exists())
            cluster.processes[1].send_signal(signal.SIGTERM)
            cluster.start_worker("--processes", "1")
            until(lambda: gates[1].with_suffix(".begun").exists(), "what is queued is not taken back while it drains")
            gates[0].touch()
            assert first.result(HANG / 1000) == "done"
            assert cluster.processes[1].wait(HANG / 1000) == 0
            gates[1].touch()
            assert second.result(HANG / 1000) == "done"


def until(happened: Callable[[], bool], told: str = "") -> None:
    wait = threading.Event()
    end = time.monotonic() + HANG / 1000
    while not happened():
        assert time.monotonic() < end, told
        wait.wait(0.01)
