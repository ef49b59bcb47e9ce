"""Graphs in the scheduler's machine, event by event, without sockets; and random lives of small graphs."""

from __future__ import annotations

import gc
import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import pytest
from scheduler_system import System, confirm

from rescind.messages import (
    Argument,
    ArgumentType,
    CancelConfirmType,
    Capability,
    ClientDisconnect,
    ClientHeartbeat,
    DisconnectType,
    GraphTask,
    Message,
    Task,
    TaskCancel,
    TaskCancelConfirm,
    TaskResult,
    TaskResultType,
    WorkerDisconnectNotification,
)
from rescind.scheduler_machine import (
    CloseExpired,
    CloseRequested,
    RebalanceDue,
    ReleaseObjects,
    ReleaseOwner,
    SchedulerSettings,
    TimePassed,
)

CANCELED = CancelConfirmType.CANCELED
FAILED = CancelConfirmType.CANCEL_FAILED
NOT_FOUND = CancelConfirmType.CANCEL_NOT_FOUND
DIED = TaskResultType.FAILED_WORKER_DIED
DIAMOND = {b"D": (b"B", b"C"), b"B": (b"A",), b"C": (b"A",), b"A": ()}
CHAIN = {b"A": (), b"B": (b"A",)}


def node(task_id: bytes, dependencies: Iterable[bytes] = ()) -> Task:
    return Task(task_id, function_args=tuple(Argument(ArgumentType.TASK, each) for each in dependencies))


def graph(nodes: Mapping[bytes, Iterable[bytes]], *targets: bytes, name: bytes = b"G") -> GraphTask:
    return GraphTask(name, b"", targets, tuple(node(each, after) for each, after in nodes.items()))


def payload(task_id: bytes) -> bytes:
    return b"result of " + task_id


def success(task_id: bytes) -> TaskResult:
    return TaskResult(task_id, metadata=b"profile", results=(payload(task_id),))


def failure(task_id: bytes) -> TaskResult:
    return TaskResult(task_id, TaskResultType.FAILED, b"profile", (b"error",))


def started(task_id: bytes, dependencies: Iterable[bytes] = ()) -> Task:
    """What a worker is sent for a node."""
    return Task(task_id, function_args=tuple(Argument(ArgumentType.OBJECT_ID, payload(each)) for each in dependencies))


def running(nodes: Mapping[bytes, Iterable[bytes]], *targets: bytes) -> System:
    """A worker has what it can have of a graph; nothing is unread."""
    system = System()
    system.worker()
    system.say(b"C1", graph(nodes, *targets))
    system.boxes.clear()
    return system


def id_of(message: Message) -> bytes:
    """The task or graph that a message is about, b"" if it is about none."""
    task_id: bytes = getattr(message, "task_id", b"")
    return task_id


def forgotten(system: System) -> bool:
    """Whether nothing of a graph, and no task, is kept (S12.19)."""
    machine = system.machine
    return not any((machine._graphs, machine._tasks, machine._changed_graphs, machine._ended_nodes, machine._queue))


# --- order and arguments


def test_a_diamond_runs_in_its_order_with_the_results_as_arguments() -> None:
    system = System()
    system.worker()
    system.heard(b"W1")
    system.say(b"C1", graph(DIAMOND, b"D"))
    assert system.heard(b"W1") == [started(b"A")]
    system.say(b"W1", success(b"A"))
    assert system.heard(b"W1") == [started(b"B", [b"A"]), started(b"C", [b"A"])]
    system.say(b"W1", success(b"C"))
    assert system.heard(b"W1") == []
    assert system.others == []
    system.say(b"W1", success(b"B"))
    assert system.heard(b"W1") == [started(b"D", [b"B", b"C"])]
    system.say(b"W1", success(b"D"))
    told = [success(each) for each in (b"A", b"C", b"B", b"D")]
    assert system.heard(b"C1") == [*told, TaskResult(b"G")]
    assert system.others == [ReleaseObjects((payload(each),)) for each in (b"A", b"B", b"C")]
    assert forgotten(system)


def test_only_arguments_that_name_a_node_are_replaced() -> None:
    mixed = Task(
        b"B",
        b"source",
        b"metadata",
        b"function",
        (
            Argument(ArgumentType.OBJECT_ID, b"A"),
            Argument(ArgumentType.TASK, b"A"),
            Argument(9, b"A"),
            Argument(ArgumentType.TASK, b"A"),
        ),
        (Capability("gpu", 1),),
    )
    system = System()
    system.say(b"C1", GraphTask(b"G", b"", (b"B",), (mixed, node(b"A"))))
    system.worker()
    system.say(b"W1", success(b"A"))
    read = Argument(ArgumentType.OBJECT_ID, payload(b"A"))
    arguments = (mixed.function_args[0], read, mixed.function_args[2], read)
    assert system.heard(b"W1")[-1] == Task(b"B", b"source", b"metadata", b"function", arguments, mixed.capabilities)


def test_ready_nodes_queue_behind_what_waits() -> None:
    system = System()
    system.worker(queue_size=1)
    system.say(b"C1", graph(CHAIN, b"B"))
    system.say(b"C2", Task(b"T1"))
    system.say(b"W1", success(b"A"))
    system.say(b"W1", success(b"T1"))
    assert [m.task_id for m in system.heard(b"W1") if isinstance(m, Task)] == [b"A", b"T1", b"B"]


@pytest.mark.parametrize("results", [(), (b"one", b"two")])
def test_a_success_that_cannot_be_handed_on_ends_the_dependants(results: tuple[bytes, ...]) -> None:
    system = running(CHAIN, b"B")
    system.say(b"W1", TaskResult(b"A", results=results))
    assert system.heard(b"C1") == [TaskResult(b"A", results=results), TaskResult(b"B", DIED), TaskResult(b"G", DIED)]
    assert system.others == ([ReleaseObjects(results)] if results else [])
    assert forgotten(system)


def test_without_dependants_any_number_of_results_will_do() -> None:
    system = running({b"A": ()}, b"A")
    system.say(b"W1", TaskResult(b"A"))
    assert system.heard(b"C1") == [TaskResult(b"A"), TaskResult(b"G")]


def test_an_empty_graph_succeeds() -> None:
    system = System()
    system.say(b"C1", graph({}))
    assert system.heard(b"C1") == [TaskResult(b"G")]
    assert forgotten(system)


def test_a_long_chain_is_no_recursion() -> None:
    names = [b"%d" % number for number in range(5000)]
    system = System()
    system.say(b"C1", graph({name: names[i - 1 : i] if i else () for i, name in enumerate(names)}, names[-1]))
    system.say(b"C1", TaskCancel(names[0]))
    assert system.heard(b"C1") == [confirm(name, CANCELED) for name in (*names, b"G")]


# --- acceptance


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (graph({b"A": (b"B",), b"B": (b"A",)}, b"B"), "a cycle in a graph"),
        (graph({b"A": (b"A",)}, b"A"), "a cycle in a graph"),
        (graph({b"A": (b"X",)}, b"A"), "an argument that is not in its graph"),
        (graph({b"A": (b"G",)}, b"A"), "an argument that is not in its graph"),
        (graph({b"A": ()}, b"X", b"A", b"X"), "a target that is not in its graph"),
        (graph({b"G": ()}, b"G"), "an id twice in a graph"),
        (GraphTask(b"G", b"", (b"A",), (node(b"A"), node(b"A"))), "an id twice in a graph"),
    ],
)
def test_what_cannot_run_is_refused_for_each_target(bad: GraphTask, reason: str) -> None:
    system = System()
    system.worker()
    system.heard(b"W1")
    system.say(b"C1", bad)
    targets = [each for each in dict.fromkeys(bad.targets) if each != b"G"]
    assert system.heard(b"C1") == [confirm(each, NOT_FOUND) for each in (*targets, b"G")]
    assert (system.heard(b"W1"), system.dropped) == ([], [reason])
    assert forgotten(system)


def test_a_target_that_is_no_task_id_is_not_answered() -> None:
    system = System()
    system.say(b"C1", graph({b"A": ()}, b"", b"x" * 256, b"y" * 255))
    assert system.heard(b"C1") == [confirm(b"y" * 255, NOT_FOUND), confirm(b"G", NOT_FOUND)]


def test_a_graph_with_an_id_in_use_is_refused_and_what_is_held_goes_on() -> None:
    system = System()
    system.dispatched(b"A")
    system.say(b"C1", graph(CHAIN, b"A", b"B"))
    assert system.heard(b"C1") == [confirm(b"B", NOT_FOUND), confirm(b"G", NOT_FOUND)]
    system.say(b"C2", graph(CHAIN, b"A", b"B"))
    assert system.heard(b"C2") == [confirm(each, NOT_FOUND) for each in (b"A", b"B", b"G")]
    system.say(b"W1", success(b"A"))
    assert system.heard(b"C1") == [success(b"A")]


def test_ids_of_a_graph_are_in_use() -> None:
    system = running(CHAIN, b"B")
    for task_id in (b"G", b"A", b"B"):
        system.say(b"C1", Task(task_id))
        system.say(b"C1", graph({b"X": ()}, b"X", name=task_id))
        system.say(b"C2", Task(task_id))
        system.say(b"C2", graph({b"Y": ()}, b"Y", name=task_id))
        assert system.heard(b"C1") == []
        assert system.heard(b"C2") == [confirm(each, NOT_FOUND) for each in (task_id, b"Y", task_id)]
    assert system.boxes == {}


def test_nodes_count_towards_the_limit() -> None:
    system = System(SchedulerSettings(max_tasks_per_client=4))
    system.say(b"C1", graph(CHAIN, b"B"))
    system.say(b"C1", graph({b"X": (), b"Y": (), b"Z": ()}, b"X", name=b"H"))
    assert system.heard(b"C1") == [confirm(b"X", NOT_FOUND), confirm(b"H", NOT_FOUND)]
    system.say(b"C1", graph({b"X": (), b"Y": ()}, b"X", name=b"H"))
    system.say(b"C1", Task(b"T1"))
    assert system.heard(b"C1") == [confirm(b"T1", NOT_FOUND)]


def test_a_graph_may_have_so_many_nodes() -> None:
    system = System(SchedulerSettings(max_nodes_per_graph=2))
    system.say(b"C1", graph({b"X": (), b"Y": (), b"Z": ()}, b"X", name=b"H"))
    assert system.heard(b"C1") == [confirm(b"X", NOT_FOUND), confirm(b"H", NOT_FOUND)]
    assert system.dropped == ["too many tasks in a graph"]
    system.say(b"C1", graph(CHAIN, b"B"))
    assert len(CHAIN) == 2
    assert system.heard(b"C1") == []


def test_workers_and_lost_clients_submit_no_graphs() -> None:
    system = System()
    system.worker()
    system.heard(b"W1")
    system.say(b"W1", graph(CHAIN, b"B"))
    assert (system.boxes, system.dropped) == ({}, ["wrong role"])
    system.say(b"C1", ClientHeartbeat())
    system.say(b"C1", ClientDisconnect(DisconnectType.DISCONNECT))
    system.heard(b"C1")
    system.say(b"C1", graph(CHAIN, b"B"))
    assert system.boxes == {b"C1": [confirm(b"B", NOT_FOUND), confirm(b"G", NOT_FOUND)]}


# --- failures


@pytest.mark.parametrize("kind", [TaskResultType.FAILED, DIED, 9])
def test_a_failure_is_that_of_all_that_depends_on_it(kind: TaskResultType | int) -> None:
    system = running(DIAMOND, b"D")
    system.say(b"W1", TaskResult(b"A", kind, b"profile", (b"error",)))
    copies = [TaskResult(each, kind, b"", (b"error",)) for each in (b"B", b"C", b"D")]
    told = system.heard(b"C1")
    assert told[0] == TaskResult(b"A", kind, b"profile", (b"error",))
    assert sorted(told[1:-1], key=id_of) == copies
    assert told[-1] == TaskResult(b"G", kind)
    assert forgotten(system)


def test_what_does_not_depend_on_a_failure_goes_on() -> None:
    system = running({b"A": (), b"B": (b"A",), b"X": (), b"Y": (b"X",)}, b"B", b"Y")
    system.say(b"W1", failure(b"A"))
    assert system.heard(b"C1") == [failure(b"A"), TaskResult(b"B", TaskResultType.FAILED, b"", (b"error",))]
    system.say(b"W1", success(b"X"))
    system.say(b"W1", success(b"Y"))
    assert system.heard(b"C1") == [success(b"X"), success(b"Y"), TaskResult(b"G", TaskResultType.FAILED)]
    assert system.others == [ReleaseObjects((payload(b"X"),))]


@pytest.mark.parametrize("fails_first", [True, False])
def test_the_failure_of_one_dependency_beats_the_success_of_another(fails_first: bool) -> None:
    system = running({b"A": (), b"X": (), b"B": (b"A", b"X")}, b"B")
    answers = [failure(b"A"), success(b"X")]
    for answer in answers if fails_first else reversed(answers):
        system.say(b"W1", answer)
    assert TaskResult(b"B", TaskResultType.FAILED, b"", (b"error",)) in system.heard(b"C1")
    assert system.heard(b"W1") == []
    assert system.others == [ReleaseObjects((payload(b"X"),))]


def test_what_is_not_needed_after_a_failure_is_not_dispatched() -> None:
    system = System()
    system.worker(queue_size=1)
    system.say(b"C1", graph({b"A": (), b"X": (), b"B": (b"A", b"X")}, b"B"))
    system.boxes.clear()
    system.say(b"W1", failure(b"A"))
    told = system.heard(b"C1")
    assert [m.task_id for m in told if isinstance(m, TaskResult)] == [b"A", b"B", b"X", b"G"]
    assert system.heard(b"W1") == []


def test_what_is_not_needed_ends_when_it_comes_back() -> None:
    system = running({b"A": (), b"X": (), b"B": (b"A", b"X")}, b"B")
    system.say(b"W1", failure(b"A"))
    system.heard(b"C1")
    system.say(b"W1", WorkerDisconnectNotification())
    error = TaskResult(b"X", TaskResultType.FAILED, b"", (b"error",))
    assert system.heard(b"C1") == [error, TaskResult(b"G", TaskResultType.FAILED)]


def test_a_target_is_always_needed() -> None:
    system = running({b"A": (), b"X": (), b"B": (b"A", b"X")}, b"B", b"X")
    system.say(b"W1", failure(b"A"))
    system.say(b"W1", WorkerDisconnectNotification())
    system.worker(b"W2")
    assert started(b"X") in system.heard(b"W2")


def test_a_node_that_may_not_run_again_fails_its_dependants() -> None:
    system = System(SchedulerSettings(max_attempts=1))
    system.worker()
    system.say(b"C1", graph(CHAIN, b"B"))
    system.say(b"W1", WorkerDisconnectNotification())
    assert system.heard(b"C1") == [TaskResult(each, DIED) for each in (b"A", b"B", b"G")]


# --- cancels


def test_a_graph_without_a_worker_is_cancelled_at_once() -> None:
    system = System()
    system.say(b"C1", graph(DIAMOND, b"D"))
    system.say(b"C1", TaskCancel(b"G"))
    told = system.heard(b"C1")
    assert sorted(map(id_of, told[:-1])) == [b"A", b"B", b"C", b"D"]
    assert told[-1] == confirm(b"G", CANCELED)
    assert forgotten(system)


@pytest.mark.parametrize("force", [False, True])
def test_a_graph_whose_first_node_runs_is_cancelled(force: bool) -> None:
    system = running(CHAIN, b"B")
    system.say(b"C1", TaskCancel(b"G", force))
    assert system.boxes == {b"C1": [confirm(b"B", CANCELED)], b"W1": [TaskCancel(b"A", force)]}
    system.boxes.clear()
    system.say(b"W1", confirm(b"A", CANCELED))
    assert system.heard(b"C1") == [confirm(b"A", CANCELED), confirm(b"G", CANCELED)]


def test_a_round_of_a_graph_is_refused_when_no_node_is_asked_any_more() -> None:
    system = running({b"A": (), b"X": ()}, b"A", b"X")
    system.say(b"C1", TaskCancel(b"G"))
    system.say(b"W1", confirm(b"A", FAILED))
    assert system.heard(b"C1") == [confirm(b"A", FAILED)]
    system.say(b"W1", confirm(b"X", CANCELED))
    assert system.heard(b"C1") == [confirm(b"X", CANCELED), confirm(b"G", FAILED)]
    system.heard(b"W1")
    system.say(b"C1", TaskCancel(b"G", force=True))
    system.say(b"C1", TaskCancel(b"G"))
    assert system.heard(b"W1") == [TaskCancel(b"A", force=True)]
    system.say(b"W1", success(b"A"))
    assert system.heard(b"C1") == [success(b"A"), confirm(b"G", CANCELED)]
    system.say(b"C1", TaskCancel(b"G"))
    assert system.heard(b"C1") == [confirm(b"G", NOT_FOUND)]


def test_a_round_of_a_graph_lasts_while_a_node_has_one() -> None:
    system = running({b"A": (), b"X": ()}, b"A", b"X")
    system.say(b"C1", TaskCancel(b"G"))
    system.say(b"W1", confirm(b"A", FAILED))
    system.say(b"C1", TaskCancel(b"A"))
    system.say(b"W1", confirm(b"X", CANCELED))
    assert system.heard(b"C1") == [confirm(b"A", FAILED), confirm(b"X", CANCELED)]
    system.say(b"W1", confirm(b"A", FAILED))
    assert system.heard(b"C1") == [confirm(b"A", FAILED), confirm(b"G", FAILED)]


def test_a_cancel_of_a_graph_costs_what_it_changes() -> None:
    """A flood of them would hold everybody up, at ten thousand nodes each."""
    system = running({b"A": (), b"B": (), b"C": ()})

    def cost(force: bool) -> tuple[int, list[Message]]:
        before = sum(system.machine.tally.rows)
        system.say(b"C1", TaskCancel(b"G", force))
        return sum(system.machine.tally.rows) - before, system.heard(b"W1")

    def asked(*nodes: bytes, force: bool = False) -> tuple[int, list[Message]]:
        return len(nodes), [TaskCancel(each, force) for each in nodes]

    assert cost(force=False) == asked(b"A", b"B", b"C")
    assert cost(force=False) == asked()
    system.say(b"W1", confirm(b"B", FAILED))
    assert cost(force=False) == asked(b"B")
    assert cost(force=True) == asked(b"A", b"B", b"C", force=True)
    assert cost(force=True) == cost(force=False) == asked()
    system.say(b"W1", confirm(b"A", FAILED))
    system.say(b"W1", confirm(b"A", FAILED))
    assert cost(force=False) == asked(b"A")
    assert cost(force=True) == asked(b"A", force=True)


def test_the_last_result_may_end_the_round_of_a_graph() -> None:
    system = running({b"A": ()}, b"A")
    system.say(b"C1", TaskCancel(b"G"))
    system.say(b"W1", success(b"A"))
    assert system.heard(b"C1") == [success(b"A"), TaskResult(b"G")]


@pytest.mark.parametrize("force", [False, True])
def test_the_cancel_of_the_only_target_reaches_what_only_it_needs(force: bool) -> None:
    nodes = {b"A": (), b"X": (), b"B": (b"A",), b"D": (b"A", b"B", b"X"), b"Z": (b"X",)}
    system = running(nodes, b"D", b"Z")
    system.say(b"C1", TaskCancel(b"D", force))
    assert system.heard(b"C1") == [confirm(b"D", CANCELED), confirm(b"B", CANCELED)]
    assert system.heard(b"W1") == [TaskCancel(b"A", force)]


def test_a_cancel_that_is_refused_or_overtaken_changes_nothing_for_dependants() -> None:
    system = running(CHAIN, b"B")
    system.say(b"C1", TaskCancel(b"A"))
    system.say(b"W1", confirm(b"A", FAILED))
    system.say(b"C1", TaskCancel(b"A", force=True))
    system.say(b"W1", success(b"A"))
    assert system.heard(b"C1") == [confirm(b"A", FAILED), success(b"A")]
    assert system.heard(b"W1")[-1] == started(b"B", [b"A"])


@pytest.mark.parametrize("kind", [CANCELED, NOT_FOUND])
def test_the_dependants_of_a_cancelled_node_are_canceled(kind: CancelConfirmType) -> None:
    system = running(CHAIN, b"B")
    system.say(b"C1", TaskCancel(b"A"))
    system.say(b"W1", confirm(b"A", kind))
    assert system.heard(b"C1") == [confirm(b"A", kind), confirm(b"B", CANCELED), confirm(b"G", CANCELED)]


def test_strangers_cancel_nothing_and_ended_nodes_are_not_found() -> None:
    system = running(CHAIN, b"B")
    for task_id in (b"G", b"A", b"B"):
        system.say(b"C2", TaskCancel(task_id, force=True))
    assert system.boxes == {b"C2": [confirm(each, NOT_FOUND) for each in (b"G", b"A", b"B")]}
    system.say(b"W1", success(b"A"))
    system.heard(b"C1")
    system.say(b"C1", TaskCancel(b"A"))
    assert system.heard(b"C1") == [confirm(b"A", NOT_FOUND)]


def test_a_weaker_cancel_that_joins_does_not_take_force_away() -> None:
    nodes = {b"A": (), b"X": (), b"B": (b"A", b"X")}
    system = running(nodes, b"B")
    system.say(b"C1", TaskCancel(b"A", force=True))
    system.say(b"C1", TaskCancel(b"A"))
    system.heard(b"W1")
    system.say(b"W1", confirm(b"A", CANCELED))
    assert system.heard(b"W1") == [TaskCancel(b"X", force=True)]


# --- losses and the end


def test_a_node_that_is_placed_again_has_the_same_arguments() -> None:
    system = running(CHAIN, b"B")
    system.say(b"W1", success(b"A"))
    assert system.heard(b"W1") == [started(b"B", [b"A"])]
    system.say(b"W1", WorkerDisconnectNotification())
    system.worker(b"W2")
    assert started(b"B", [b"A"]) in system.heard(b"W2")
    assert system.others == []


def test_the_graphs_of_a_silent_owner_are_forgotten() -> None:
    system = running(DIAMOND, b"D")
    system.happen(TimePassed(61.0))
    told = system.heard(b"C1")
    assert set(told) == {confirm(each, NOT_FOUND) for each in (*DIAMOND, b"G")}
    assert told[-1] == confirm(b"G", NOT_FOUND)
    assert system.machine._graphs == {}


def test_what_the_nodes_of_a_lost_owner_do_starts_nothing() -> None:
    system = running(CHAIN, b"B")
    system.say(b"C1", ClientDisconnect(DisconnectType.DISCONNECT))
    assert system.boxes == {b"W1": [TaskCancel(b"A", force=True)]}
    system.boxes.clear()
    system.say(b"W1", success(b"A"))
    assert system.boxes == {}
    assert system.others == [ReleaseOwner(b"C1")]
    assert forgotten(system)


def test_a_shutdown_answers_what_waits_and_starts_nothing() -> None:
    system = running(CHAIN, b"B")
    system.happen(CloseRequested())
    assert system.heard(b"C1") == [confirm(b"B", CANCELED)]
    system.heard(b"W1")
    system.say(b"W1", success(b"A"))
    assert system.heard(b"C1") == [success(b"A"), confirm(b"G", CANCELED)]
    assert system.heard(b"W1") == []


def test_a_graph_ends_before_the_scheduler_does() -> None:
    system = running(CHAIN, b"B")
    system.happen(CloseRequested())
    system.happen(CloseExpired())
    assert system.heard(b"C1") == [confirm(each, CANCELED) for each in (b"B", b"A", b"G")]


# --- random lives


def is_final(message: Message) -> bool:
    return not (isinstance(message, TaskCancelConfirm) and message.cancel_confirm_type == FAILED)


def succeeded(message: Message) -> bool:
    return isinstance(message, TaskResult) and message.result_type == TaskResultType.SUCCESS


@dataclass
class Life:
    """A small graph, and peers that do at random what peers may do; what must always hold is checked at each step."""

    pick: random.Random
    system: System = field(init=False)
    needs: dict[bytes, list[bytes]] = field(init=False)
    targets: list[bytes] = field(init=False)
    with_worker: dict[bytes, dict[bytes, list[bool]]] = field(default_factory=dict)
    """By worker and node: the cancels, forced or not, that are still to be answered."""
    told: list[Message] = field(default_factory=list)
    results: dict[bytes, bytes] = field(default_factory=dict)
    released: list[bytes] = field(default_factory=list)
    workers: int = 0
    stored: int = 0
    round_open: bool = False
    owner_lost: bool = False
    closing: bool = False

    def __post_init__(self) -> None:
        pick = self.pick
        self.system = System(SchedulerSettings(max_attempts=pick.choice([1, 3])))
        names = [b"%d" % number for number in range(pick.randint(1, 7))]
        density = pick.choice([0.2, 0.6])
        self.needs = {name: [each for each in names[:i] if pick.random() < density] for i, name in enumerate(names)}
        self.targets = [name for name in names if pick.random() < 0.4] or names[-1:]
        if pick.random() < 0.7:
            self.worker_comes()
        nodes = list(self.needs.items())
        pick.shuffle(nodes)
        self.say(b"C1", graph(dict(nodes), *self.targets))

    # What peers do

    def live(self) -> None:
        ordinary = [self.worker_comes, self.cancel_graph, self.cancel_node, self.stranger_cancels, self.rebalance]
        ordinary += [self.worker_leaves, *[self.some_worker_answers] * 4]
        for _ in range(self.pick.randint(0, 25)):
            rare = self.pick.random()
            (self.owner_leaves if rare < 0.04 else self.close if rare < 0.08 else self.pick.choice(ordinary))()
        if not self.closing:
            self.worker_comes()
        while any(self.with_worker.values()):
            self.some_worker_answers()
        if self.closing:
            self.system.happen(CloseExpired())
            self.look()

    def worker_comes(self) -> None:
        self.workers += 1
        name = b"W%d" % self.workers
        self.with_worker[name] = {}
        self.system.worker(name, self.pick.randint(1, 3))
        self.look()

    def worker_leaves(self) -> None:
        if self.with_worker:
            name = self.pick.choice(list(self.with_worker))
            del self.with_worker[name]
            self.say(name, WorkerDisconnectNotification())

    def some_worker_answers(self) -> None:
        having = [(worker, task_id) for worker, tasks in self.with_worker.items() for task_id in tasks]
        if not having:
            return
        worker, task_id = self.pick.choice(having)
        cancels = self.with_worker[worker][task_id]
        choice = self.pick.random()
        if not cancels or choice < 0.25:
            self.finish(worker, task_id)
        elif choice < 0.65 or cancels[0]:
            del self.with_worker[worker][task_id]
            self.say(worker, confirm(task_id, CANCELED if self.pick.random() < 0.9 else NOT_FOUND))
        else:
            cancels.pop(0)
            self.say(worker, confirm(task_id, FAILED))

    def finish(self, worker: bytes, task_id: bytes) -> None:
        del self.with_worker[worker][task_id]
        kind = self.pick.choice([*[TaskResultType.SUCCESS] * 6, TaskResultType.FAILED, DIED])
        self.stored += 1
        stored = b"stored %d" % self.stored
        if kind == TaskResultType.SUCCESS:
            self.results[task_id] = stored
        self.say(worker, TaskResult(task_id, kind, b"profile", () if kind == DIED else (stored,)))

    def cancel_graph(self) -> None:
        self.cancel(b"G")

    def cancel_node(self) -> None:
        self.cancel(self.pick.choice(list(self.needs)))

    def cancel(self, task_id: bytes) -> None:
        if self.owner_lost:
            return
        request = TaskCancel(task_id, self.pick.random() < 0.5)
        if self.end_of(task_id) is not None:
            self.system.say(b"C1", request)
            assert self.system.boxes == {b"C1": [confirm(task_id, NOT_FOUND)]}
            self.system.boxes.clear()
            return
        self.round_open = self.round_open or task_id == b"G"
        self.say(b"C1", request)

    def stranger_cancels(self) -> None:
        task_id = self.pick.choice([*self.needs, b"G"])
        self.say(b"C2", TaskCancel(task_id, force=True))

    def rebalance(self) -> None:
        self.system.happen(RebalanceDue())
        self.look()

    def owner_leaves(self) -> None:
        if not self.owner_lost:
            self.owner_lost = True
            self.say(b"C1", ClientDisconnect(DisconnectType.DISCONNECT))

    def close(self) -> None:
        if not self.closing:
            self.closing = True
            self.system.happen(CloseRequested())
            self.look()

    def say(self, sender: bytes, message: Message) -> None:
        self.system.say(sender, message)
        if isinstance(message, TaskCancel) and sender == b"C2":
            assert self.system.boxes == {b"C2": [confirm(message.task_id, NOT_FOUND)]}
            self.system.boxes.clear()
        self.look()

    # What must hold

    def look(self) -> None:
        for instruction in self.system.others:
            if isinstance(instruction, ReleaseObjects):
                assert not set(instruction.object_ids) & set(self.released)
                self.released += instruction.object_ids
        self.system.others.clear()
        owner_hears = self.system.heard(b"C1")
        assert not (owner_hears and self.owner_lost)
        for message in owner_hears:
            if message == confirm(b"G", FAILED):
                assert self.round_open
                self.round_open = False
        self.told += owner_hears
        for name in list(self.system.boxes):
            for message in self.system.heard(name):
                if isinstance(message, Task):
                    self.check_dispatch(name, message)
                elif isinstance(message, TaskCancel) and message.task_id in self.with_worker.get(name, {}):
                    self.with_worker[name][message.task_id].append(message.force)
        if self.owner_lost or self.end_of(b"G") is not None:
            return
        held = [task_id for tasks in self.with_worker.values() for task_id in tasks]
        asked = [cancels for tasks in self.with_worker.values() for cancels in tasks.values() if cancels]
        assert asked or not self.round_open, "no node is asked, and the round of the graph is open"
        if self.closing:
            assert all(self.end_of(each) is not None or each in held for each in self.needs)

    def check_dispatch(self, worker: bytes, message: Task) -> None:
        task_id = message.task_id
        assert not any(task_id in tasks for tasks in self.with_worker.values())
        assert self.end_of(task_id) is None
        arguments = [argument.data for argument in message.function_args]
        assert arguments == [self.results[each] for each in self.needs[task_id]]
        assert not set(arguments) & set(self.released)
        dependants = [name for name, needs in self.needs.items() if task_id in needs]
        needed = task_id in self.targets or not dependants or any(self.end_of(each) is None for each in dependants)
        assert needed
        self.with_worker[worker][task_id] = []

    def end_of(self, task_id: bytes) -> Message | None:
        ends = [one for one in self.told if id_of(one) == task_id and is_final(one)]
        assert len(ends) <= 1
        return ends[0] if ends else None

    def check_end(self) -> None:
        assert forgotten(self.system)
        if self.owner_lost:
            return
        ends: Sequence[Message | None] = [self.end_of(each) for each in self.needs]
        last = self.told[-1]
        assert last == self.end_of(b"G")
        if any(isinstance(each, TaskCancelConfirm) for each in ends):
            assert last == confirm(b"G", CANCELED)
        else:
            assert succeeded(last) == all(each is not None and succeeded(each) for each in ends)
        good = {each for each in self.needs if (end := self.end_of(each)) is not None and succeeded(end)}
        assert sorted(self.released) == sorted(self.results[each] for each in good - set(self.targets))


@pytest.mark.parametrize("portion", range(4))
def test_random_lives_of_graphs(portion: int) -> None:
    ends: dict[str, int] = defaultdict(int)
    for seed in range(portion * 500, portion * 500 + 500):
        life = Life(random.Random(seed))
        life.live()
        life.check_end()
        ends["lost" if life.owner_lost else str(life.told[-1])] += 1
    assert len(ends) >= 5, "lost, canceled, success, failed, failedWorkerDied"


def test_nothing_is_left_for_a_garbage_collector() -> None:
    """A scheduler's process runs without one: whatever ends, by whatever, is freed at once."""
    refused = [
        graph({b"A": (b"B",), b"B": (b"A",)}, b"A"),
        graph({b"A": (b"Z",)}, b"A"),
        graph({b"A": ()}, b"Z"),
        graph({b"A": (), b"G": ()}, b"A"),
    ]
    machines = []
    gc.collect()
    gc.disable()
    try:
        for seed in range(100):
            life = Life(random.Random(seed))
            life.live()
            system = life.system
            for each in refused:
                system.say(b"C9", each)
            for owner in (b"C8", b"C9"):
                system.say(owner, graph(DIAMOND, b"D", name=b"H"))
            machines.append(system.machine)
            del life, system
        left = {type(each).__name__ for each in _garbage()}
    finally:
        gc.enable()
    assert not left & {"Graph", "Node", "TaskRecord", "ClientRecord", "WorkerRecord", "Received", "Forward", "Send"}


def _garbage() -> list[object]:
    """What only a garbage collector finds."""
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        gc.collect()
        return [*gc.garbage]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
