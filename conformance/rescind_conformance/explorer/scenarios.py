"""The scenarios that are explored, by name."""

from __future__ import annotations

from typing import Final

from rescind.messages import Argument, ArgumentType, ClientHeartbeat, GraphTask, Task, TaskCancel
from rescind.scheduler_machine import SchedulerSettings
from rescind_conformance.explorer.scenario import CancelCall, ClientPlan, RawPlan, Scenario, SchedulerPlan, WorkerPlan

T1, T2, T3, T4, G1 = b"T1", b"T2", b"T3", b"T4", b"G1"


def _both(*tasks: str, times: int = 1) -> tuple[CancelCall, ...]:
    """Each task may be cancelled without force and with it."""
    return tuple(CancelCall(task, force, times) for task in tasks for force in (False, True))


def _node(task_id: bytes, *needs: bytes) -> Task:
    return Task(task_id, source=b"C1", function_args=tuple(Argument(ArgumentType.TASK, each) for each in needs))


def _graph(*nodes: Task, targets: tuple[bytes, ...]) -> GraphTask:
    return GraphTask(G1, b"C1", targets, nodes)


CHAIN = _graph(_node(T2, T1), _node(T1), targets=(T2,))
CHAIN_OF_TARGETS = _graph(_node(T2, T1), _node(T1), targets=(T2, T1))

_SCENARIOS = [
    Scenario(
        "one-task",
        "one task: its owner cancels it in both ways and leaves, a stranger cancels it, and its worker leaves",
        (
            ClientPlan(("T1",), _both("T1"), disconnects=True),
            RawPlan((ClientHeartbeat(), TaskCancel(T1), TaskCancel(T1, force=True)), shuffled=True),
        ),
        (WorkerPlan(leaves=True, late_finishes=1),),
    ),
    Scenario(
        "cancels-loss-rebalancing",
        "two tasks, a cancel of each kind for each, the death of a worker, and a rebalancing",
        (ClientPlan(("T1", "T2"), _both("T1", "T2")),),
        (WorkerPlan(dies=True, late_finishes=1), WorkerPlan(comes=True)),
        SchedulerPlan(rebalances=1),
    ),
    Scenario(
        "contested-id",
        "two clients submit a task under one id, each cancels it, one of them with force, and one says good-bye",
        (
            ClientPlan(("T1",), (CancelCall("T1"),)),
            ClientPlan(("T1",), (CancelCall("T1", force=True),), disconnects=True),
        ),
        (WorkerPlan(), WorkerPlan()),
    ),
    Scenario(
        "stranger",
        "a client cancels another's tasks, with force and without, and dies",
        (
            ClientPlan(("T1", "T2"), _both("T2")),
            RawPlan(
                (TaskCancel(T2, force=True), TaskCancel(T2), TaskCancel(T1, force=True)), shuffled=True, drops=True
            ),
        ),
        (WorkerPlan(), WorkerPlan(comes=True)),
        SchedulerPlan(rebalances=1),
    ),
    Scenario(
        "three-callers",
        "three calls of cancel() for one task, one with force; it is moved, and the time limit is reached",
        (ClientPlan(("T1", "T2"), (CancelCall("T2", times=2), CancelCall("T2", force=True)), time_limits=("T2",)),),
        (WorkerPlan(late_finishes=1), WorkerPlan(comes=True)),
        SchedulerPlan(rebalances=1),
    ),
    Scenario(
        "three-cancels",
        "three TaskCancels of one owner, with force and without in any order, who does not wait for answers",
        (
            ClientPlan(("T1",)),
            RawPlan(
                (Task(T2, source=b"C2"), TaskCancel(T2), TaskCancel(T2, force=True), TaskCancel(T2)), shuffled=True
            ),
        ),
        (WorkerPlan(dies=True, late_finishes=1), WorkerPlan(comes=True)),
        SchedulerPlan(rebalances=1),
    ),
    Scenario(
        "crossing-heartbeats",
        "heartbeats of everybody cross cancels, results and a rebalancing: the fences",
        (ClientPlan(("T1", "T2"), _both("T2"), heartbeats=1),),
        (WorkerPlan(heartbeats=1), WorkerPlan(heartbeats=1, comes=True)),
        SchedulerPlan(rebalances=1),
    ),
    Scenario(
        "late-worker",
        "a worker is taken as lost though it lives; it answers late, and comes back as another",
        (ClientPlan(("T1", "T2"), _both("T2")),),
        (WorkerPlan(heartbeats=1, lives=2, late_finishes=1), WorkerPlan(comes=True)),
        SchedulerPlan(rebalances=1, loses=("W1",)),
    ),
    Scenario(
        "late-workers",
        "both workers are taken as lost though they live, in any order",
        (ClientPlan(("T1",), _both("T1")),),
        (WorkerPlan(heartbeats=1, lives=2), WorkerPlan(heartbeats=1, lives=2)),
        SchedulerPlan(loses=("W1", "W2")),
    ),
    Scenario(
        "late-mover",
        "a worker is taken as lost, though it lives, while a task is moved to it or from it",
        (ClientPlan(("T1", "T2"), (CancelCall("T2"),)),),
        (WorkerPlan(heartbeats=1), WorkerPlan(heartbeats=1, lives=2, comes=True)),
        SchedulerPlan(rebalances=1, loses=("W2",)),
    ),
    Scenario(
        "client-leaves",
        "a client says good-bye in every state of its tasks; another's goes on",
        (ClientPlan(("T1", "T2"), _both("T2"), disconnects=True), ClientPlan(("T3",))),
        (WorkerPlan(late_finishes=1), WorkerPlan(queue_size=1, comes=True)),
        SchedulerPlan(rebalances=1),
    ),
    Scenario(
        "client-dies",
        "a client dies in every state of its tasks, and so does their worker",
        (ClientPlan(("T1", "T2"), _both("T2"), drops=True),),
        (WorkerPlan(dies=True, late_finishes=1), WorkerPlan(comes=True)),
        SchedulerPlan(rebalances=1),
    ),
    Scenario(
        "late-client",
        "a client is taken as lost though it lives, and goes on submitting and cancelling",
        (ClientPlan(("T1", "T2", "T3"), _both("T2"), heartbeats=1),),
        (WorkerPlan(), WorkerPlan(comes=True)),
        SchedulerPlan(rebalances=1, loses=("C1",)),
    ),
    Scenario(
        "closing",
        "the scheduler shuts down in order in every state of two tasks, with cancels and a rebalancing open",
        (ClientPlan(("T1", "T2"), _both("T2"), heartbeats=1),),
        (WorkerPlan(late_finishes=1), WorkerPlan(comes=True)),
        SchedulerPlan(rebalances=1, closes=True, grace_ends=True),
    ),
    Scenario(
        "closing-losses",
        "the scheduler shuts down while a worker dies, one is late, and a client leaves",
        (ClientPlan(("T1", "T2"), (CancelCall("T1", force=True),), disconnects=True),),
        (WorkerPlan(dies=True), WorkerPlan(heartbeats=1, lives=2)),
        SchedulerPlan(closes=True, loses=("W2",)),
    ),
    Scenario(
        "crash-under-force",
        "what runs a task dies by itself, or finishes, while cancels with force are under way",
        (
            ClientPlan(("T2",), (CancelCall("T2"),)),
            RawPlan((Task(T1, source=b"C2"), *2 * (TaskCancel(T1, force=True),), TaskCancel(T1)), shuffled=True),
        ),
        (WorkerPlan(crashes=1, late_finishes=1), WorkerPlan(comes=True)),
        SchedulerPlan(rebalances=1),
    ),
    Scenario(
        "worker-leaves",
        "a worker leaves in order, another loses its connection and comes back",
        (ClientPlan(("T1", "T2"), _both("T2")),),
        (WorkerPlan(leaves=True, late_finishes=1), WorkerPlan(drops=True, lives=2)),
        SchedulerPlan(rebalances=1),
    ),
    Scenario(
        "lost-again",
        "two tasks may not be lost with a worker, and are, whatever is asked for them meanwhile",
        (ClientPlan(("T1", "T2"), _both("T2"), disconnects=True),),
        (WorkerPlan(dies=True, late_finishes=1), WorkerPlan(comes=True)),
        SchedulerPlan(rebalances=1, settings=SchedulerSettings(max_attempts=1)),
    ),
    Scenario(
        "narrow",
        "more tasks than places: what waits is cancelled, placed, returned",
        (ClientPlan(("T1", "T2", "T3"), (*_both("T2"), CancelCall("T3"))),),
        (WorkerPlan(queue_size=2, dies=True), WorkerPlan(queue_size=1)),
        SchedulerPlan(rebalances=1),
    ),
    Scenario(
        "endless",
        "tasks that may run for ever: no answer waits for their end, and none outlives its owner",
        (ClientPlan(("T1", "T2"), (*_both("T1"), CancelCall("T2")), disconnects=True),),
        (WorkerPlan(endless=True, heartbeats=1), WorkerPlan(endless=True, comes=True)),
        SchedulerPlan(rebalances=1),
    ),
    Scenario(
        "joining",
        "everybody comes at any moment, clients first or workers first, and one worker dies",
        (ClientPlan(("T1", "T2"), _both("T2")),),
        (WorkerPlan(dies=True), WorkerPlan()),
        SchedulerPlan(rebalances=1),
        introduced=False,
    ),
    Scenario(
        "graph-cancel",
        "T2 needs T1; the graph and both nodes are cancelled in any order, a worker dies, and a rebalancing",
        (RawPlan((CHAIN, TaskCancel(G1), TaskCancel(T1, force=True), TaskCancel(T2)), shuffled=True),),
        (WorkerPlan(dies=True), WorkerPlan(comes=True)),
        SchedulerPlan(rebalances=1),
    ),
    Scenario(
        "graph-force",
        "T3 needs T1, which is a target too, and T2; the graph is cancelled in both ways, and T3 with force",
        (
            RawPlan(
                (
                    _graph(_node(T3, T1, T2), _node(T1), _node(T2), targets=(T3, T1)),
                    *(TaskCancel(G1), TaskCancel(G1, force=True), TaskCancel(T3, force=True)),
                ),
                shuffled=True,
            ),
        ),
        (WorkerPlan(late_finishes=1), WorkerPlan(comes=True)),
    ),
    Scenario(
        "graph-fails",
        "T3 needs T1 and T2, for which there is one place, and T4 needs nothing; what runs one may die, or its worker",
        (RawPlan((_graph(_node(T3, T1, T2), _node(T1), _node(T2), _node(T4), targets=(T3, T4)), TaskCancel(T3))),),
        (WorkerPlan(queue_size=1, crashes=1, dies=True), WorkerPlan(queue_size=1, comes=True)),
        SchedulerPlan(settings=SchedulerSettings(max_attempts=2)),
    ),
    Scenario(
        "graph-client-dies",
        "the owner of a graph dies in every state of it, and cancels its nodes before",
        (RawPlan((CHAIN, TaskCancel(T2, force=True), TaskCancel(T1)), shuffled=True, drops=True),),
        (WorkerPlan(late_finishes=1), WorkerPlan(comes=True)),
        SchedulerPlan(rebalances=1),
    ),
    Scenario(
        "graph-client",
        "a client cancels both targets of a graph, of which one reads the other, in both ways and up to a time limit",
        (ClientPlan(graph=CHAIN_OF_TARGETS, cancels=_both("T1", "T2"), time_limits=("T1",)),),
        (WorkerPlan(crashes=1), WorkerPlan(comes=True)),
    ),
    Scenario(
        "graph-client-leaves",
        "a client cancels the only target of a graph and leaves; a worker dies, and a rebalancing",
        (ClientPlan(graph=CHAIN, cancels=_both("T2"), disconnects=True),),
        (WorkerPlan(dies=True, late_finishes=1), WorkerPlan(comes=True)),
        SchedulerPlan(rebalances=1),
    ),
    Scenario(
        "graph-closing",
        "the scheduler shuts down in every state of a graph that is cancelled, and a worker is late",
        (RawPlan((CHAIN, TaskCancel(G1))),),
        (WorkerPlan(late_finishes=1), WorkerPlan(heartbeats=1, lives=2)),
        SchedulerPlan(closes=True, grace_ends=True, loses=("W2",)),
    ),
    Scenario(
        "graph-late-worker",
        "a worker that is taken as lost says late that what others wait for has succeeded",
        (RawPlan((CHAIN, TaskCancel(G1), TaskCancel(T2, force=True)), shuffled=True),),
        (WorkerPlan(heartbeats=1, lives=2), WorkerPlan(comes=True)),
        SchedulerPlan(loses=("W1",)),
    ),
    Scenario(
        "graph-stranger",
        "another client cancels a graph and its nodes, and submits a graph with a node of the same id",
        (
            RawPlan((CHAIN, TaskCancel(T1))),
            RawPlan(
                (
                    TaskCancel(G1, force=True),
                    TaskCancel(T2, force=True),
                    GraphTask(b"G2", b"C2", (T1, T4), (Task(T1, source=b"C2"), Task(T4, source=b"C2"))),
                ),
                shuffled=True,
            ),
        ),
        (WorkerPlan(), WorkerPlan(comes=True)),
    ),
]

_LARGE = [
    Scenario(
        "large-cancels",
        "three tasks, two of them cancelled in both ways; three workers, of which one dies, one comes; a rebalancing",
        (ClientPlan(("T1", "T2", "T3"), _both("T1", "T3")),),
        (WorkerPlan(dies=True, late_finishes=1), WorkerPlan(queue_size=1), WorkerPlan(comes=True)),
        SchedulerPlan(rebalances=1),
    ),
    Scenario(
        "large-losses",
        "a client that dies, and three workers: one is late and comes back, one dies, one comes",
        (ClientPlan(("T1", "T2"), _both("T2"), drops=True),),
        (WorkerPlan(heartbeats=1, lives=2), WorkerPlan(dies=True), WorkerPlan(comes=True)),
        SchedulerPlan(rebalances=1, loses=("W1",)),
    ),
    Scenario(
        "large-closing",
        "an orderly shutdown crosses cancels and the good-bye of a client, a death, a late worker and a rebalancing",
        (ClientPlan(("T1", "T2", "T3"), _both("T2"), disconnects=True),),
        (WorkerPlan(dies=True), WorkerPlan(heartbeats=1, comes=True)),
        SchedulerPlan(rebalances=1, closes=True, grace_ends=True, loses=("W2",)),
    ),
]

_OPEN = [
    Scenario(
        "reused-id",
        "a client submits a task under the id of another's that is over, and about which its worker owes an answer",
        (
            ClientPlan(("T1",), (CancelCall("T1"),)),
            ClientPlan(("T1",), (CancelCall("T1", force=True),), disconnects=True),
        ),
        (WorkerPlan(),),
    ),
]

SCENARIOS: Final = {scenario.name: scenario for scenario in _SCENARIOS}
"""Those that are explored unless others are named: each closes in seconds."""
LARGE: Final = {scenario.name: scenario for scenario in _LARGE}
"""Those that take minutes: only when they are named."""
OPEN: Final = {scenario.name: scenario for scenario in _OPEN}
"""Those that show what SPEC.md leaves open, and so do not close without a violation: only when they are named."""
