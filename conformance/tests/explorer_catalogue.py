"""The faults that the explorer must find, each with a small scenario and the shortest order in which it shows."""

from __future__ import annotations

from typing import Any

from explorer_faults import (
    Fault,
    KeepsResults,
    LeaksPlaces,
    ReleasesForNodes,
    SaysGoodByeFirst,
    StartsCancelled,
    TakesLostPeersBack,
)

from rescind import client_table, scheduler_table, worker_table
from rescind.client_table import FutureInput, FutureState
from rescind.messages import ClientHeartbeat, Task, TaskCancel
from rescind.scheduler_table import TaskInput, TaskState
from rescind.worker_table import AssignmentInput, AssignmentState
from rescind_conformance.explorer.cast import Cast
from rescind_conformance.explorer.scenario import CancelCall, ClientPlan, RawPlan, Scenario, SchedulerPlan, WorkerPlan
from rescind_conformance.explorer.scenarios import CHAIN_OF_TARGETS

S, C, W = scheduler_table.Action, client_table.Action, worker_table.Action

WEAK, FORCED = CancelCall("T1"), CancelCall("T1", force=True)
WORKER, NARROW, COMES = WorkerPlan(), WorkerPlan(queue_size=1), WorkerPlan(comes=True)
MORTAL = WorkerPlan(dies=True)
ENDLESS = WorkerPlan(endless=True)
SUBMITTED, ASKED, FORCE = Task(b"T1", source=b"C1"), TaskCancel(b"T1"), TaskCancel(b"T1", force=True)


def client(*calls: CancelCall, submits: tuple[str, ...] = ("T1",), **more: Any) -> ClientPlan:
    """A client with the task T1, unless others are given."""
    return ClientPlan(submits, calls, **more)


def scenario(*peers: ClientPlan | RawPlan | WorkerPlan, **plan: Any) -> Scenario:
    """The least in which a fault shows."""
    clients = tuple(each for each in peers if not isinstance(each, WorkerPlan))
    workers = tuple(each for each in peers if isinstance(each, WorkerPlan))
    return Scenario("of a fault", "", clients, workers, SchedulerPlan(**plan))


def moving(*calls: CancelCall, **more: Any) -> Scenario:
    """Two tasks at one worker, one of which is moved when another comes."""
    return scenario(client(*calls, submits=("T2", "T1"), **more), WORKER, COMES, rebalances=1)


FAULTS = [
    Fault(
        "a forced cancel does not overtake a rebalancing",
        moving(FORCED, heartbeats=1),
        "S7.5",
        [
            "C1 submits T2",
            "S <- C1  Task T2",
            "C1 submits T1",
            "S <- C1  Task T1",
            "W2 joins",
            "S <- W2  WorkerHeartbeat queueSize 2",
            "S rebalances",
            "C1 cancels T1 with force",
            "S <- C1  TaskCancel T1 force",
            "C1 sends a heartbeat",
            "S <- C1  ClientHeartbeat",
        ],
        {(TaskState.REBALANCING, TaskInput.CANCEL_FORCE): (TaskState.CANCELING, S.NOTHING)},
    ),
    Fault(
        "a moved task ends for its owner",
        moving(),
        "S7.2",
        [
            "C1 submits T2",
            "S <- C1  Task T2",
            "W1 <- S  Task T2",
            "C1 submits T1",
            "S <- C1  Task T1",
            "W1 <- S  Task T1",
            "W2 joins",
            "S <- W2  WorkerHeartbeat queueSize 2",
            "S rebalances",
            "W1 <- S  TaskCancel T1",
            "S <- W1  TaskCancelConfirm T1 canceled",
        ],
        {(TaskState.REBALANCING, TaskInput.CANCELED): (TaskState.ENDED, S.FORWARD_ANSWER)},
    ),
    Fault(
        "an owner's cancel is swallowed by a rebalancing",
        moving(WEAK),
        "S7.8",
        [
            "C1 submits T2",
            "S <- C1  Task T2",
            "W1 <- S  Task T2",
            "C1 submits T1",
            "S <- C1  Task T1",
            "W1 <- S  Task T1",
            "W2 joins",
            "S <- W2  WorkerHeartbeat queueSize 2",
            "S rebalances",
            "W1 <- S  TaskCancel T1",
            "C1 cancels T1",
            "S <- C1  TaskCancel T1",
            "S <- W1  TaskCancelConfirm T1 canceled",
        ],
        {(TaskState.REBALANCING, TaskInput.CANCEL): (TaskState.REBALANCING, S.NOTHING)},
    ),
    Fault(
        "the refusal of an overtaken cancel is forwarded",
        scenario(RawPlan((SUBMITTED, ASKED, FORCE)), WORKER),
        "S6.3",
        [
            "C1 sends Task T1",
            "S <- C1  Task T1",
            "W1 <- S  Task T1",
            "C1 sends TaskCancel T1",
            "S <- C1  TaskCancel T1",
            "W1 <- S  TaskCancel T1",
            "C1 sends TaskCancel T1 force",
            "S <- C1  TaskCancel T1 force",
            "S <- W1  TaskCancelConfirm T1 cancelFailed",
        ],
        {(TaskState.ESCALATED, TaskInput.CANCEL_FAILED): (TaskState.DISPATCHED, S.FORWARD_ANSWER)},
    ),
    Fault(
        "force that joins is not passed on",
        scenario(RawPlan((SUBMITTED, ASKED, FORCE, ClientHeartbeat())), WORKER),
        "S6.2",
        [
            "C1 sends Task T1",
            "S <- C1  Task T1",
            "C1 sends TaskCancel T1",
            "S <- C1  TaskCancel T1",
            "C1 sends TaskCancel T1 force",
            "S <- C1  TaskCancel T1 force",
            "C1 sends ClientHeartbeat",
            "S <- C1  ClientHeartbeat",
        ],
        {(TaskState.CANCELING, TaskInput.CANCEL_FORCE): (TaskState.CANCELING, S.NOTHING)},
    ),
    Fault(
        "a result that crosses a cancel is lost",
        scenario(client(WEAK), WORKER),
        "S5.1",
        [
            "C1 submits T1",
            "S <- C1  Task T1",
            "W1 <- S  Task T1",
            "C1 cancels T1",
            "S <- C1  TaskCancel T1",
            "W1 finishes T1",
            "W1 <- S  TaskCancel T1",
            "S <- W1  TaskResult T1 success",
            "S <- W1  TaskCancelConfirm T1 cancelNotFound",
        ],
        {(TaskState.CANCELING, TaskInput.RESULT): (TaskState.CANCELING, S.NOTHING)},
    ),
    Fault(
        "a task that is being cancelled is placed again",
        scenario(client(WEAK), MORTAL, WORKER),
        "S9.2",
        [
            "C1 submits T1",
            "S <- C1  Task T1",
            "C1 cancels T1",
            "S <- C1  TaskCancel T1",
            "W1 dies without a word",
            "S takes W1 as lost",
        ],
        {(TaskState.CANCELING, TaskInput.WORKER_LOST): (TaskState.QUEUED, S.NOTHING)},
    ),
    Fault(
        "a lost worker's task is forgotten",
        scenario(client(), MORTAL, WORKER),
        "S9.3",
        ["C1 submits T1", "S <- C1  Task T1", "W1 dies without a word", "S takes W1 as lost"],
        {(TaskState.DISPATCHED, TaskInput.WORKER_LOST): (TaskState.ENDED, S.NOTHING)},
    ),
    Fault(
        "a lost client's task runs on",
        scenario(client(drops=True), ENDLESS),
        "S9.7",
        ["C1 submits T1", "S <- C1  Task T1", "W1 <- S  Task T1", "C1 loses its connection", "S takes C1 as lost"],
        {(TaskState.DISPATCHED, TaskInput.OWNER_LOST): (TaskState.ABANDONED, S.NOTHING)},
    ),
    Fault(
        "canceled is promised before the holder has answered",
        scenario(client(FORCED), WORKER),
        "S4.4",
        ["C1 submits T1", "S <- C1  Task T1", "C1 cancels T1 with force", "S <- C1  TaskCancel T1 force"],
        {(TaskState.DISPATCHED, TaskInput.CANCEL_FORCE): (TaskState.ENDED, S.SEND_CANCELED)},
    ),
    Fault(
        "after a refusal no cancel is passed on",
        scenario(client(WEAK, FORCED), ENDLESS),
        "S4.3",
        [
            "C1 submits T1",
            "S <- C1  Task T1",
            "W1 <- S  Task T1",
            "C1 cancels T1",
            "S <- C1  TaskCancel T1",
            "W1 <- S  TaskCancel T1",
            "S <- W1  TaskCancelConfirm T1 cancelFailed",
            "C1 cancels T1 with force",
            "C1 <- S  TaskCancelConfirm T1 cancelFailed",
            "S <- C1  TaskCancel T1 force",
        ],
        {
            (TaskState.CANCELING, TaskInput.CANCEL_FAILED): (TaskState.CANCELING, S.FORWARD_ANSWER),
            (TaskState.CANCELING, TaskInput.CANCEL_FORCE): (TaskState.CANCELING, S.NOTHING),
        },
    ),
    Fault(
        "a lost worker is taken back under its id",
        scenario(client(), WorkerPlan(heartbeats=1), loses=("W1",)),
        "S9.6",
        ["S takes W1 as lost, whether it lives or not", "W1 sends a heartbeat", "S <- W1  WorkerHeartbeat queueSize 2"],
        cast=Cast(scheduler=TakesLostPeersBack),
    ),
    Fault(
        "a place leaks",
        scenario(client(), NARROW),
        "S9.9",
        [
            "C1 submits T1",
            "S <- C1  Task T1",
            "W1 <- S  Task T1",
            "W1 finishes T1",
            "S <- W1  TaskResult T1 success",
            "C1 <- S  TaskResult T1 success",
        ],
        cast=Cast(scheduler=LeaksPlaces),
    ),
    Fault(
        "a queued task that was cancelled starts all the same",
        scenario(client(WEAK, submits=("T2", "T1")), WORKER),
        "W2.1",
        [
            "C1 submits T2",
            "S <- C1  Task T2",
            "W1 <- S  Task T2",
            "C1 submits T1",
            "S <- C1  Task T1",
            "W1 <- S  Task T1",
            "C1 cancels T1",
            "S <- C1  TaskCancel T1",
            "W1 <- S  TaskCancel T1",
            "W1 finishes T2",
        ],
        cast=Cast(worker=StartsCancelled),
    ),
    Fault(
        "canceled is said before the process has ended",
        scenario(client(FORCED), WORKER),
        "W2.2",
        [
            "C1 submits T1",
            "S <- C1  Task T1",
            "W1 <- S  Task T1",
            "C1 cancels T1 with force",
            "S <- C1  TaskCancel T1 force",
            "W1 <- S  TaskCancel T1 force",
        ],
        {(AssignmentState.RUNNING, AssignmentInput.CANCEL_FORCE): (AssignmentState.ENDING, W.SEND_CANCELED)},
    ),
    Fault(
        "a result that came too late is sent",
        scenario(client(FORCED), WorkerPlan(late_finishes=1)),
        "W2.5",
        [
            "C1 submits T1",
            "S <- C1  Task T1",
            "W1 <- S  Task T1",
            "C1 cancels T1 with force",
            "S <- C1  TaskCancel T1 force",
            "W1 <- S  TaskCancel T1 force",
            "W1 is told to end, and yet finishes T1",
        ],
        {(AssignmentState.ENDING, AssignmentInput.FINISHED): (AssignmentState.ENDING, W.SEND_RESULT)},
    ),
    Fault(
        "a death is not reported",
        scenario(client(), WorkerPlan(crashes=1)),
        "W3.1",
        ["C1 submits T1", "S <- C1  Task T1", "W1 <- S  Task T1", "W1 sees the death of what runs T1"],
        {(AssignmentState.RUNNING, AssignmentInput.PROCESS_ENDED): (AssignmentState.ENDED, W.NOTHING)},
    ),
    Fault(
        "a cancel of a running task is not answered",
        scenario(client(WEAK), ENDLESS),
        "W2.3",
        [
            "C1 submits T1",
            "S <- C1  Task T1",
            "W1 <- S  Task T1",
            "C1 cancels T1",
            "S <- C1  TaskCancel T1",
            "W1 <- S  TaskCancel T1",
        ],
        {(AssignmentState.RUNNING, AssignmentInput.CANCEL): (AssignmentState.RUNNING, W.NOTHING)},
    ),
    Fault(
        "the good-bye comes first",
        scenario(client(), WorkerPlan(leaves=True)),
        "W4.2",
        ["C1 submits T1", "S <- C1  Task T1", "W1 <- S  Task T1", "W1 leaves"],
        cast=Cast(worker=SaysGoodByeFirst),
    ),
    Fault(
        "a worker that leaves reports what it has ended",
        scenario(client(), WorkerPlan(leaves=True)),
        "W4.2",
        ["C1 submits T1", "S <- C1  Task T1", "W1 <- S  Task T1", "W1 leaves", "W1 has ended what runs T1"],
        {(AssignmentState.LEAVING, AssignmentInput.PROCESS_ENDED): (AssignmentState.ENDED, W.SEND_WORKER_DIED)},
    ),
    Fault(
        "a result in a round is delivered",
        scenario(client(WEAK), WORKER),
        "C3.1",
        [
            "C1 submits T1",
            "S <- C1  Task T1",
            "W1 <- S  Task T1",
            "W1 finishes T1",
            "S <- W1  TaskResult T1 success",
            "C1 cancels T1",
            "C1 <- S  TaskResult T1 success",
        ],
        {(FutureState.CANCELING, FutureInput.RESULT): (FutureState.FINISHED, C.DELIVER_RESULT)},
    ),
    Fault(
        "a result that is discarded is kept",
        scenario(client(WEAK), WORKER),
        "C3.2",
        [
            "C1 submits T1",
            "S <- C1  Task T1",
            "W1 <- S  Task T1",
            "W1 finishes T1",
            "S <- W1  TaskResult T1 success",
            "C1 cancels T1",
            "C1 <- S  TaskResult T1 success",
            "S <- C1  TaskCancel T1",
            "C1 <- S  TaskCancelConfirm T1 cancelNotFound",
        ],
        cast=Cast(client=KeepsResults),
    ),
    Fault(
        "a result that a node may read is released when it is discarded",
        scenario(ClientPlan(graph=CHAIN_OF_TARGETS, cancels=(CancelCall("T1"),)), WORKER),
        "C13.2",
        [
            "C1 submits G1",
            "S <- C1  GraphTask G1 of 2 tasks",
            "W1 <- S  Task T1",
            "W1 finishes T1",
            "S <- W1  TaskResult T1 success",
            "C1 cancels T1",
            "C1 <- S  TaskResult T1 success",
        ],
        cast=Cast(client=ReleasesForNodes),
    ),
    Fault(
        "a refusal does not end the round",
        scenario(client(WEAK), ENDLESS),
        "C4.1",
        [
            "C1 submits T1",
            "S <- C1  Task T1",
            "W1 <- S  Task T1",
            "C1 cancels T1",
            "S <- C1  TaskCancel T1",
            "W1 <- S  TaskCancel T1",
            "S <- W1  TaskCancelConfirm T1 cancelFailed",
            "C1 <- S  TaskCancelConfirm T1 cancelFailed",
        ],
        {(FutureState.CANCELING, FutureInput.CANCEL_FAILED): None},
    ),
    Fault(
        "cancelNotFound without a round is dropped",
        scenario(client(), client(), WORKER),
        "C2.3",
        [
            "C1 submits T1",
            "S <- C1  Task T1",
            "W1 <- S  Task T1",
            "C2 submits T1",
            "S <- C2  Task T1",
            "C2 <- S  TaskCancelConfirm T1 cancelNotFound",
            "W1 finishes T1",
            "S <- W1  TaskResult T1 success",
            "C1 <- S  TaskResult T1 success",
        ],
        {(FutureState.RUNNING, FutureInput.CANCEL_NOT_FOUND): None},
    ),
    Fault(
        "a time limit that settles nothing",
        scenario(client(WEAK, time_limits=("T1",)), WORKER),
        "C5.1",
        ["C1 submits T1", "C1 cancels T1", "C1 waits no longer for the cancel of T1"],
        {(FutureState.CANCELING, FutureInput.TIME_LIMIT): (FutureState.RUNNING, C.REFUSED)},
    ),
    Fault(
        "a disconnect forgets what is cancelled",
        scenario(client(WEAK, disconnects=True), WORKER),
        "C10.1",
        [
            "C1 submits T1",
            "S <- C1  Task T1",
            "W1 <- S  Task T1",
            "W1 finishes T1",
            "S <- W1  TaskResult T1 success",
            "C1 cancels T1",
            "S <- C1  TaskCancel T1",
            "C1 disconnects",
            "S <- C1  ClientDisconnect disconnect",
        ],
        {(FutureState.CANCELING, FutureInput.DISCONNECT): None},
    ),
]
