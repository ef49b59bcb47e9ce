"""`Client.get` against a scheduler that the test plays: what is sent, what is kept in the store, and how it ends."""

from __future__ import annotations

import concurrent.futures
import gc
import graphlib
import operator
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError
from dataclasses import replace
from typing import Any

import pytest
from test_client import HANG, Deletions, FakeScheduler, Start, settled, start

from rescind import CancelOutcome, Client, SchedulerLost
from rescind.call_store import CallStore
from rescind.future import ScalerFuture
from rescind.messages import (
    Argument,
    ArgumentType,
    CancelConfirmType,
    Capability,
    ClientDisconnect,
    GraphTask,
    Task,
    TaskCancel,
    TaskCancelConfirm,
    TaskResult,
    TaskResultType,
)
from rescind.payloads import RemoteTraceback, dump, dump_exception, load, result_object_id
from rescind.store import SqliteStore

__all__ = ["start"]

DIAMOND: dict[str, Any] = {
    "x": 3,
    "not needed": (operator.inv, "x"),
    "d": (operator.add, "b", "c"),
    "b": (operator.abs, "a"),
    "c": (operator.pos, "a"),
    "a": (operator.neg, "x"),
}
"""Each node has a function of its own, by which the test knows it again."""


class Played:
    """A scheduler with workers for one client: nodes run when the test says."""

    def __init__(self, scheduler: FakeScheduler) -> None:
        self.scheduler = scheduler
        self.store = scheduler.store
        self.graph = GraphTask(b"")
        self.results: dict[bytes, bytes] = {}
        self._names = {node[0]: name for name, node in DIAMOND.items() if name != "x"}

    def take(self) -> GraphTask:
        """The next message, which must be a graph."""
        self.graph = self.scheduler.next(GraphTask)
        self.results.clear()
        return self.graph

    def node(self, name: str) -> Task:
        return next(each for each in self.graph.graph if self._names[load(self.store.get(each.func_object_id))] == name)

    def run(self, *names: str) -> None:
        """Run these nodes, one after another, as workers and the scheduler of the protocol do."""
        for name in names:
            task = self.node(name)
            arguments = [
                load(self.store.get(self.results[each.data] if each.type == ArgumentType.TASK else each.data))
                for each in task.function_args
            ]
            try:
                value, kind = dump(load(self.store.get(task.func_object_id))(*arguments)), TaskResultType.SUCCESS
            except Exception as error:
                value, kind = dump_exception(error), TaskResultType.FAILED
            object_id = result_object_id(task.source)
            self.store.put(task.source, object_id, value)
            self.results[task.task_id] = object_id
            self.tell(task.task_id, kind, object_id)

    def tell(self, task_id: bytes, kind: TaskResultType = TaskResultType.SUCCESS, *object_ids: bytes) -> None:
        self.scheduler.send(TaskResult(task_id, kind, results=object_ids))

    def confirm(self, task_id: bytes, kind: CancelConfirmType = CancelConfirmType.CANCELED) -> None:
        self.scheduler.send(TaskCancelConfirm(task_id, kind))

    def end(self, kind: TaskResultType = TaskResultType.SUCCESS) -> None:
        """The graph's terminal message, after what the scheduler releases (S12.17)."""
        inner = [self.results[each] for each in self.results if each not in self.graph.targets]
        if kind is TaskResultType.SUCCESS:
            self.store.delete(self.graph.source, inner)
        self.tell(self.graph.task_id, kind)


@pytest.fixture
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeScheduler]:
    made = FakeScheduler(tmp_path_factory.mktemp("store"))
    yield made
    made.close()


@pytest.fixture
def client(scheduler: FakeScheduler) -> Iterator[Client]:
    made = Client(scheduler.address, name="test")
    yield made
    made.disconnect()


@pytest.fixture
def played(scheduler: FakeScheduler) -> Played:
    return Played(scheduler)


@pytest.fixture(autouse=True)
def keep_no_function(monkeypatch: pytest.MonkeyPatch) -> None:
    """Functions that no pending call uses are deleted at once: then the store shows what a graph leaves behind."""
    release = CallStore.release

    def release_and_forget(self: CallStore, calls: Any = (), object_ids: Any = ()) -> None:
        release(self, calls, object_ids)
        idle = [each for each, users in self._users.items() if not users]
        for each in idle:
            del self._users[each]
        self._store.delete(self._owner, idle)

    monkeypatch.setattr(CallStore, "release", release_and_forget)


def ask(client: Client, *keys: str, graph: dict[str, Any] = DIAMOND) -> list[ScalerFuture[Any]]:
    return list(client.get(graph, keys, block=False).values())


def shown(client: Client, played: Played) -> None:
    """Return when the client has handled all that was sent to it before: a task that ends is the fence."""
    marker = client.submit(int)
    played.scheduler.run(played.scheduler.next(Task))
    assert marker.result(HANG) == 0


# What is sent


def test_what_the_keys_need_is_sent_as_one_message(client: Client, played: Played) -> None:
    futures = client.get(DIAMOND, ["x", "d", "b"], block=False, capabilities={"gpu": 2})
    graph = played.take()
    a, b, c, d = (played.node(name) for name in "abcd")
    assert graph.source == client.identity
    assert graph.targets == (d.task_id, b.task_id) == (futures["d"].task_id, futures["b"].task_id)
    assert {each.task_id for each in graph.graph} == {each.task_id for each in (a, b, c, d)}
    assert len({graph.task_id, *(each.task_id for each in graph.graph)}) == 5
    assert [each.type for each in a.function_args] == [ArgumentType.OBJECT_ID]
    assert b.function_args == c.function_args == (Argument(ArgumentType.TASK, a.task_id),)
    assert d.function_args == (
        Argument(ArgumentType.TASK, b.task_id),
        Argument(ArgumentType.TASK, c.task_id),
    )
    assert {each.capabilities for each in graph.graph} == {(Capability("gpu", 2),)}
    assert {each.source for each in graph.graph} == {client.identity}
    assert list(futures) == ["x", "d", "b"]
    assert futures["x"].done()
    assert not futures["x"].cancel()
    assert futures["x"].result(0) == 3


def test_the_results_come_in_the_order_of_the_keys(client: Client, played: Played, start: Start) -> None:
    call = start(client.get, DIAMOND, ["d", "x", "b"])
    played.take()
    played.run("a", "c", "b", "d")
    played.end()
    assert list(call.result(HANG).items()) == [("d", 0), ("x", 3), ("b", 3)]
    Deletions(client).wait_for_store(played.scheduler, objects=0)


def test_a_value_and_a_function_that_are_used_twice_are_stored_once(client: Client, played: Played) -> None:
    data = list(range(1000))
    graph = {"data": data, "one": (len, "data"), "two": (len, "data"), "three": (operator.add, "data", "data")}
    client.get(graph, ["one", "two", "three"], block=False)
    message = played.scheduler.next(GraphTask)
    assert played.store.count() == 3
    assert len({each.data for task in message.graph for each in task.function_args}) == 1
    for task in (*message.graph, message):
        played.confirm(task.task_id)
    Deletions(client).wait_for_store(played.scheduler, objects=0)


@pytest.mark.parametrize("keys", [[], ["x"], ["x", "nothing to call"]])
def test_values_alone_are_not_sent(client: Client, played: Played, keys: list[str]) -> None:
    graph = {**DIAMOND, "nothing to call": ("a", "tuple")}
    assert client.get(graph, keys) == {key: graph[key] for key in keys}
    assert played.store.count() == 0
    assert played.scheduler.nothing_received()


@pytest.mark.parametrize(
    ("graph", "keys", "error", "said"),
    [
        ({}, ["a"], KeyError, "'a' is asked for"),
        ({"a": (abs, "b")}, ["a"], KeyError, "'b' is an argument of 'a'"),
        ({"a": (abs, "b"), "b": 1}, ["a", "a"], KeyError, "once"),
        ({"a": (abs, 1), 1: 1}, ["a"], TypeError, "1 is an argument of 'a'"),
        ({"a": (abs, [1])}, ["a"], TypeError, "no name"),
        ({"a": (abs, "a")}, ["a"], graphlib.CycleError, "cycle"),
        ({"a": (abs, "b"), "b": (abs, "c"), "c": (abs, "b")}, ["a"], graphlib.CycleError, "cycle"),
        ({"a": (print, "x", "lock"), "x": 1, "lock": threading.Lock()}, ["a"], TypeError, "pickle"),
        ({"a": (threading.Lock().acquire, "x"), "x": 1}, ["a"], TypeError, "pickle"),
        ({"a": (print, *["x"] * 65_537), "x": 1}, ["a"], ValueError, "in parts"),
    ],
)
def test_a_bad_graph_raises_before_anything_is_stored_or_sent(
    client: Client, played: Played, graph: dict[str, Any], keys: list[str], error: type[Exception], said: str
) -> None:
    """C13.4."""
    for block in (True, False):
        with pytest.raises(error, match=said):
            client.get(graph, keys, block=block)
    assert played.store.count() == 0
    assert played.scheduler.nothing_received()


@pytest.mark.parametrize("capabilities", [{"gpu": "two"}, {1: 1}, {"gpu": 2**63}])
def test_capabilities_that_are_no_amounts_are_named_as_the_cause(client: Client, capabilities: Any) -> None:
    with pytest.raises(ValueError, match="capabilities are amounts"):
        client.get(DIAMOND, ["d"], capabilities=capabilities)


def test_a_cycle_that_no_key_needs_does_not_matter(client: Client, played: Played) -> None:
    graph = {**DIAMOND, "e": (abs, "e"), "f": (abs, "missing")}
    client.get(graph, ["b"], block=False)
    assert len(played.take().graph) == 2


def test_a_store_that_fails_half_way_is_tidied_up(
    client: Client, played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = SqliteStore.put

    def fail_late(self: SqliteStore, owner: bytes, object_id: bytes, data: bytes) -> None:
        if load(data) == "last":
            raise OSError("disk full")
        put(self, owner, object_id, data)

    monkeypatch.setattr(type(client._session.calls._store), "put", fail_late)
    with pytest.raises(OSError, match="disk full"):
        client.get({"one": 1, "two": "last", "a": (print, "one"), "b": (print, "a", "two")}, ["b"])
    assert played.store.count() == 0
    assert played.scheduler.nothing_received()


def test_a_client_that_has_left_sends_nothing(client: Client, played: Played) -> None:
    client.disconnect()
    with pytest.raises(RuntimeError, match="after shutdown"):
        client.get(DIAMOND, ["x"])
    played.scheduler.next(ClientDisconnect)
    assert played.store.count() == 0


# What is kept, and until when (C13.2)


def test_a_result_that_was_read_stays_for_the_nodes_that_need_it(client: Client, played: Played) -> None:
    b, d = ask(client, "b", "d")
    played.take()
    played.run("a", "b")
    assert b.result(HANG) == 3
    shown(client, played)
    Deletions(client).wait_for_store(played.scheduler, objects=4 + 1 + 2)  # functions, the value, results
    played.run("c", "d")
    assert d.result(HANG) == 0
    played.end()
    Deletions(client).wait_for_store(played.scheduler, objects=0)


def test_a_result_that_nobody_has_read_outlives_the_graph(client: Client, played: Played) -> None:
    b, d = ask(client, "b", "d")
    played.take()
    played.run("a", "b", "c", "d")
    played.end()
    Deletions(client).wait_for_store(played.scheduler, objects=2)
    assert d.result(HANG) == 0
    Deletions(client).wait_for_store(played.scheduler, objects=1)
    del b
    gc.collect()
    Deletions(client).wait_for_store(played.scheduler, objects=0)
    assert not client._session.manager._results


def test_a_result_that_was_discarded_stays_for_the_nodes_that_need_it(client: Client, played: Played) -> None:
    b, d = ask(client, "b", "d")
    played.take()
    played.run("a")
    client._session.cancel_soon([b])
    assert played.scheduler.next(TaskCancel) == TaskCancel(b.task_id)
    played.run("b")
    settled(b)
    assert b.cancel_outcome is CancelOutcome.RESULT_DISCARDED
    shown(client, played)
    played.run("c", "d")
    assert d.result(HANG) == 0
    played.end()
    Deletions(client).wait_for_store(played.scheduler, objects=0)


@pytest.mark.parametrize("reads_first", [True, False])
def test_one_error_of_several_futures(client: Client, played: Played, reads_first: bool) -> None:
    futures = ask(client, "b", "c", "d", graph={**DIAMOND, "x": "no number"})
    played.take()
    played.run("a")
    error = played.results[played.node("a").task_id]
    for future in futures:
        played.tell(future.task_id, TaskResultType.FAILED, error)
    for future in futures[: 2 if reads_first else 0]:
        with pytest.raises(TypeError, match="bad operand"):
            future.result(HANG)
    played.end(TaskResultType.FAILED)
    Deletions(client).wait_for_store(played.scheduler, objects=1)
    for future in futures:
        raised = future.exception(HANG)
        assert isinstance(raised, TypeError)
        assert isinstance(raised.__cause__, RemoteTraceback)
    Deletions(client).wait_for_store(played.scheduler, objects=0)


def test_a_client_that_leaves_takes_its_graph_along(scheduler: FakeScheduler) -> None:
    with Client(scheduler.address) as own:
        played = Played(scheduler)
        b, d = ask(own, "b", "d")
        played.take()
        played.run("a", "b")
        settled(b)
        own.disconnect()
        assert d.cancel_outcome is CancelOutcome.DISCONNECTED
        assert b.result(0) == 3
    scheduler.next(ClientDisconnect)
    assert scheduler.store.count() == 0


def test_a_scheduler_that_is_lost_takes_the_graph_along(client: Client, played: Played, start: Start) -> None:
    call = start(client.get, DIAMOND, ["b", "d"])
    played.take()
    played.run("a", "b")
    played.scheduler.vanish()
    with pytest.raises(CancelledError):
        call.result(HANG)
    with pytest.raises(SchedulerLost):
        client.get(DIAMOND, ["d"])


# Cancel and refusal


def test_cancel_sends_the_id_of_the_target(client: Client, played: Played, start: Start) -> None:
    """C13.3; and a message for the graph ends no round (C13.1)."""
    b, d = ask(client, "b", "d")
    graph = played.take()
    call = start(d.cancel, force=True)
    assert played.scheduler.next(TaskCancel) == TaskCancel(d.task_id, force=True)
    played.confirm(graph.task_id, CancelConfirmType.CANCEL_FAILED)
    played.confirm(played.node("c").task_id)
    shown(client, played)
    assert not call.done()
    played.confirm(d.task_id)
    assert call.result(HANG) is True
    assert b.running()
    played.run("a", "b")
    assert b.result(HANG) == 3


def test_a_refused_graph_cancels_its_futures(client: Client, played: Played) -> None:
    futures = ask(client, "b", "d")
    graph = played.take()
    for task_id in (*graph.targets, graph.task_id):
        played.confirm(task_id, CancelConfirmType.CANCEL_NOT_FOUND)
    for future in futures:
        settled(future)
        assert future.cancel_outcome is CancelOutcome.NOT_FOUND
    Deletions(client).wait_for_store(played.scheduler, objects=0)


def test_an_error_cancels_the_other_keys_and_the_client_goes_on(client: Client, played: Played, start: Start) -> None:
    call = start(client.get, {**DIAMOND, "a": (operator.neg, "x"), "x": "no number"}, ["b", "d"])
    graph = played.take()
    played.run("a")
    error = played.results[played.node("a").task_id]
    played.tell(graph.targets[0], TaskResultType.FAILED, error)
    assert played.scheduler.next(TaskCancel) == TaskCancel(graph.targets[1], force=False)
    with pytest.raises(TypeError, match="bad operand"):
        call.result(HANG)
    played.confirm(graph.targets[1])
    played.confirm(graph.task_id)
    call = start(client.get, DIAMOND, ["b"])
    played.take()
    played.run("a", "b")
    played.end()
    assert call.result(HANG) == {"b": 3}
    del call
    Deletions(client).wait_for_store(played.scheduler, objects=0)


def test_a_graph_is_no_obstacle_to_leaving_when_its_targets_are_settled(client: Client, played: Played) -> None:
    (b,) = ask(client, "b")
    played.take()
    played.run("a", "b")
    settled(b)
    client.shutdown()
    assert b.result(0) == 3
    assert isinstance(played.scheduler.next(ClientDisconnect), ClientDisconnect)
    assert played.store.count() == 0


def test_ids_in_use_are_refused(client: Client, played: Played) -> None:
    """C13.4, for whoever hands in a graph of his own."""
    (b,) = ask(client, "b")
    graph = played.take()
    manager = client._session.manager
    for again in (graph, replace(graph, task_id=b"another"), replace(graph, graph=(Task(graph.task_id),))):
        with pytest.raises(ValueError, match="never used twice"):
            manager.add_graph(again, [])
    assert played.scheduler.nothing_received()
    assert concurrent.futures.wait([b], 0).not_done
