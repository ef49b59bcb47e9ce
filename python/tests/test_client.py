"""The client against a scheduler that the test plays over a real socket, with a real store.

Nothing sleeps: the test takes each message that the client has sent from `FakeScheduler.received`.
Time limits only bound a hang, except where a time-out is what is tested.
"""

from __future__ import annotations

import concurrent.futures
import gc
import logging
import operator
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from functools import partial
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import pytest
import zmq

from rescind import Client, SchedulerLost, WorkerDied, wire
from rescind.call_store import MAX_ARGUMENTS
from rescind.client_table import CancelOutcome
from rescind.messages import (
    CancelConfirmType,
    ClientDisconnect,
    ClientHeartbeat,
    ClientHeartbeatEcho,
    ClientShutdownResponse,
    DisconnectType,
    Message,
    ObjectStorageAddress,
    Task,
    TaskCancel,
    TaskCancelConfirm,
    TaskLog,
    TaskResult,
    TaskResultType,
)
from rescind.payloads import RemoteTraceback, dump, dump_exception, load, result_object_id
from rescind.store import SqliteStore, UnsupportedStorage

HANG = 20.0


class FakeScheduler:
    """A ROUTER in a thread: it echoes heartbeats, hands all else to the test, and sends what the test says."""

    def __init__(self, directory: Path, address: str = "tcp://127.0.0.1:*") -> None:
        self.received: Queue[Message] = Queue()
        self.heartbeats: Queue[ClientHeartbeat] = Queue()
        self.path = directory / "objects.sqlite"
        self.store = SqliteStore(self.path)
        self.storage = ObjectStorageAddress(str(self.path), 0, "sqlite")
        self.echoes = True
        self.runs_tasks = False
        self.answers_cancels: CancelConfirmType | None = None
        self._context = zmq.Context()
        self._router = self._context.socket(zmq.ROUTER)
        self._router.set_hwm(0)
        self._orders = self._context.socket(zmq.PULL)
        self._orders.set_hwm(0)
        self._orders.bind("inproc://orders")
        self._push = self._context.socket(zmq.PUSH)
        self._push.set_hwm(0)
        self._push.connect("inproc://orders")
        self._push_lock = threading.Lock()
        self._client = b""
        self._router.bind(address)
        self.address = self._router.getsockopt_string(zmq.LAST_ENDPOINT)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def send(self, message: Message) -> None:
        self.send_frames(wire.encode(message))

    def send_frames(self, *frames: bytes) -> None:
        with self._push_lock:
            self._push.send_multipart(frames)

    def vanish(self) -> None:
        """Close the connection, as a scheduler that was killed."""
        if self._thread.is_alive():
            self.send_frames(b"")
            self._thread.join(HANG)

    def close(self) -> None:
        self.vanish()
        self._push.close(0)
        self._context.term()
        self.store.close()

    def next(self, kind: type[Message]) -> Any:
        """The next message, which must be of this kind."""
        message = self.received.get(timeout=HANG)
        assert isinstance(message, kind), message
        return message

    def nothing_received(self) -> bool:
        try:
            raise AssertionError(self.received.get_nowait())
        except Empty:
            return True

    def run(self, task: Task) -> None:
        """What a worker would do: read the call, run it, store the result, report it."""
        fn = load(self.store.get(task.func_object_id))
        arguments = [load(self.store.get(each.data)) for each in task.function_args]
        try:
            self.succeed(task, fn(*arguments))
        except Exception as error:
            self.report(task, dump_exception(error), TaskResultType.FAILED)

    def succeed(self, task: Task, value: Any) -> None:
        self.report(task, dump(value), TaskResultType.SUCCESS)

    def report(self, task: Task, data: bytes, result_type: TaskResultType) -> None:
        object_id = result_object_id(task.source)
        self.store.put(task.source, object_id, data)
        self.send(TaskResult(task.task_id, result_type, results=(object_id,)))

    def confirm(self, task: Task, kind: CancelConfirmType = CancelConfirmType.CANCELED) -> None:
        self.send(TaskCancelConfirm(task.task_id, kind))

    def _serve(self) -> None:
        poller = zmq.Poller()
        poller.register(self._router, zmq.POLLIN)
        poller.register(self._orders, zmq.POLLIN)
        while True:
            ready = dict(poller.poll())
            if self._orders in ready:
                frames = self._orders.recv_multipart()
                if frames == [b""]:
                    break
                self._router.send_multipart([self._client, *frames])
            if self._router in ready:
                self._client, frame = self._router.recv_multipart()
                self._on_message(wire.decode(frame))
        self._router.close(0)
        self._orders.close(0)

    def _on_message(self, message: Message) -> None:
        match message:
            case ClientHeartbeat():
                self.heartbeats.put(message)
                if self.echoes:
                    echo = wire.encode(ClientHeartbeatEcho(self.storage))
                    self._router.send_multipart([self._client, echo])
            case Task() if self.runs_tasks:
                self.run(message)
            case TaskCancel(task_id) if self.answers_cancels is not None:
                self.send(TaskCancelConfirm(task_id, self.answers_cancels))
                self.received.put(message)
            case _:
                self.received.put(message)


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[FakeScheduler]:
    made = FakeScheduler(tmp_path)
    yield made
    made.close()


@pytest.fixture
def client(scheduler: FakeScheduler) -> Iterator[Client]:
    made = Client(scheduler.address, name="test")
    yield made
    made.disconnect()


@pytest.fixture
def start() -> Iterator[Callable[..., concurrent.futures.Future[Any]]]:
    """Run a call in another thread."""
    with concurrent.futures.ThreadPoolExecutor(24) as pool:
        yield pool.submit


Start = Callable[..., concurrent.futures.Future[Any]]


def settled(future: concurrent.futures.Future[Any]) -> None:
    """Return when the future is settled: the fence after a message that settles it."""
    assert not concurrent.futures.wait([future], HANG).not_done


# Connecting


def test_without_a_scheduler_it_says_what_to_check(tmp_path: Path) -> None:
    address = f"ipc://{tmp_path}/nobody"
    with pytest.raises(ConnectionError, match=r"no connection to a scheduler at ipc://.*rescind scheduler"):
        Client(address, connect_timeout=0.05)


def test_a_peer_that_does_not_answer_is_told_apart(scheduler: FakeScheduler) -> None:
    scheduler.echoes = False
    with pytest.raises(ConnectionError, match="accepted the connection but did not answer"):
        Client(scheduler.address, connect_timeout=1)
    assert scheduler.heartbeats.get(timeout=HANG)
    scheduler.next(ClientDisconnect)


def test_a_scheduler_that_starts_later_is_waited_for(tmp_path: Path, start: Start) -> None:
    address = f"ipc://{tmp_path}/scheduler"
    connecting = start(Client, address)
    scheduler = FakeScheduler(tmp_path, address)
    connecting.result(HANG).shutdown()
    scheduler.close()


def test_a_store_that_it_cannot_reach_is_named(scheduler: FakeScheduler) -> None:
    scheduler.storage = ObjectStorageAddress("far", 1, "wss")
    with pytest.raises(UnsupportedStorage, match="wss"):
        Client(scheduler.address)
    scheduler.next(ClientDisconnect)


@pytest.mark.parametrize(
    ("address", "options", "error"),
    [
        ("127.0.0.1:6378", {}, "give one like tcp://"),
        ("tcp://127.0.0.1:notaport", {}, "give one like tcp://"),
        ("tcp://127.0.0.1:1", {"heartbeat_interval": 0}, "heartbeat_interval"),
        ("tcp://127.0.0.1:1", {"heartbeat_interval": 5, "scheduler_timeout": 5}, "scheduler_timeout"),
        ("tcp://127.0.0.1:1", {"connect_timeout": 0}, "connect_timeout"),
        ("tcp://127.0.0.1:1", {"name": "x" * 201}, "name"),
    ],
)
def test_arguments_that_cannot_be_are_refused(address: str, options: dict[str, Any], error: str) -> None:
    with pytest.raises(ValueError, match=error):
        Client(address, **options)


# Running


def test_a_call_travels_through_the_store_and_leaves_nothing_there(scheduler: FakeScheduler) -> None:
    scheduler.runs_tasks = True
    with Client(scheduler.address, name="test") as client:
        assert client.submit(divmod, 17, 5).result(HANG) == (3, 2)
        assert client.submit(int, "ff", base=16).result(HANG) == 255
        number = 4
        assert client.submit(lambda x: x + number, 1).result(HANG) == 5
        assert client.identity.startswith(b"Client|test|")
    assert scheduler.next(ClientDisconnect).disconnect_type is DisconnectType.DISCONNECT
    assert scheduler.store.count() == 0


def test_results_that_nobody_reads_are_released_while_the_client_lives(
    scheduler: FakeScheduler, client: Client
) -> None:
    future = client.submit(len, "abc")
    scheduler.run(scheduler.next(Task))
    settled(future)
    deletions = Deletions(client)
    del future
    gc.collect()
    deletions.wait_for_store(scheduler, objects=1)  # the function, which is kept for the next call


class Deletions:
    """Waits for the store's thread, turn by turn of the link's."""

    def __init__(self, client: Client) -> None:
        self._session = client._session

    def wait_for_store(self, scheduler: FakeScheduler, objects: int) -> None:
        deadline = time.monotonic() + HANG
        while scheduler.store.count() != objects:
            assert time.monotonic() < deadline, scheduler.store.count()
            turned, deleted = threading.Event(), threading.Event()
            self._session.link.run_soon(turned.set)
            assert turned.wait(HANG)
            self._session._deletions.post(deleted.set)
            assert deleted.wait(HANG)


def test_a_function_is_stored_once_and_idle_ones_do_not_pile_up(scheduler: FakeScheduler, client: Client) -> None:
    scheduler.runs_tasks = True
    for _ in range(10):
        assert client.submit(len, "abc").result(HANG) == 3
    Deletions(client).wait_for_store(scheduler, objects=1)
    for number in range(300):
        assert client.submit(partial(operator.add, number), 1).result(HANG) == 1 + number
    Deletions(client).wait_for_store(scheduler, objects=256)
    for number in range(300):
        assert client.submit(int, str(number), base=10).result(HANG) == number
    Deletions(client).wait_for_store(scheduler, objects=256)


def test_a_call_that_cannot_be_pickled_is_refused_at_once(scheduler: FakeScheduler, client: Client) -> None:
    with pytest.raises(TypeError, match="pickle"):
        client.submit(print, "fine", threading.Lock())
    with pytest.raises(TypeError, match="callable"):
        client.submit("not a function")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="one list"):
        client.submit(print, *range(MAX_ARGUMENTS + 1))
    assert scheduler.store.count() == 0
    assert scheduler.nothing_received()


def test_a_store_that_fails_half_way_is_tidied_up(
    scheduler: FakeScheduler, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = client._session.calls._store
    put = type(store).put

    def fail_late(self: SqliteStore, owner: bytes, object_id: bytes, data: bytes) -> None:
        if load(data) == "last":
            raise OSError("disk full")
        put(self, owner, object_id, data)

    monkeypatch.setattr(type(store), "put", fail_late)
    with pytest.raises(OSError, match="disk full"):
        client.submit(print, "first", "last", sep="")
    assert scheduler.store.count() == 0


def test_a_task_that_raises(scheduler: FakeScheduler, client: Client) -> None:
    future = client.submit(divmod, 1, 0)
    scheduler.run(scheduler.next(Task))
    with pytest.raises(ZeroDivisionError) as caught:
        future.result(HANG)
    assert isinstance(caught.value.__cause__, RemoteTraceback)


def test_a_worker_that_died(scheduler: FakeScheduler, client: Client) -> None:
    future = client.submit(divmod, 1, 0)
    scheduler.send(TaskResult(scheduler.next(Task).task_id, TaskResultType.FAILED_WORKER_DIED))
    assert isinstance(future.exception(HANG), WorkerDied)


def test_what_a_task_writes_is_shown(
    scheduler: FakeScheduler, client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    future = client.submit(print)
    shown = threading.Event()
    future.add_done_callback(lambda _: shown.set())
    task = scheduler.next(Task)
    scheduler.send(TaskLog(task.task_id, content="written by the task\n"))
    scheduler.confirm(task)
    assert shown.wait(HANG)
    assert capsys.readouterr().out == "written by the task\n"


def test_garbage_from_the_scheduler_is_dropped(
    scheduler: FakeScheduler, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    future = client.submit(len, "abc")
    task = scheduler.next(Task)
    scheduler.send_frames(b"garbage")
    scheduler.send_frames(b"two", b"frames")
    scheduler.send(Task(b"for a worker"))
    scheduler.run(task)
    assert future.result(HANG) == 3
    assert client._session.link.dropped.total() == 2
    assert client._session.manager.dropped == {"not for a client": 1}
    peers = [getattr(record, "peer", "") for record in caplog.records if record.message.startswith("dropped: ")]
    assert peers == [f"scheduler at {scheduler.address}"] * 2


def test_many_threads_submit_and_cancel(scheduler: FakeScheduler, start: Start) -> None:
    scheduler.runs_tasks = True
    with Client(scheduler.address) as client:

        def work(thread: int) -> int:
            futures = [client.submit(pow, number, 2) for number in range(20)]
            refused = sum(not each.cancel(HANG) for each in futures[:0:-4])
            assert [each.result(HANG) for each in futures if not each.cancelled()]
            return refused + thread

        scheduler.answers_cancels = CancelConfirmType.CANCEL_NOT_FOUND
        calls = [start(work, thread) for thread in range(20)]
        assert len([call.result(HANG) for call in calls]) == 20
    assert scheduler.store.count() == 0


# Cancelling


def test_cancel_is_answered(scheduler: FakeScheduler, client: Client, start: Start) -> None:
    future = client.submit(len, "abc")
    task = scheduler.next(Task)
    call = start(future.cancel, force=True)
    assert scheduler.next(TaskCancel) == TaskCancel(task.task_id, force=True)
    scheduler.confirm(task)
    assert call.result(HANG) is True
    Deletions(client).wait_for_store(scheduler, objects=1)


def test_a_cancel_that_crosses_the_result_leaves_nothing_in_the_store(
    scheduler: FakeScheduler, client: Client, start: Start
) -> None:
    future = client.submit(len, "abc")
    task = scheduler.next(Task)
    call = start(future.cancel)
    scheduler.next(TaskCancel)
    scheduler.run(task)
    scheduler.confirm(task, CancelConfirmType.CANCEL_NOT_FOUND)
    assert call.result(HANG) is True
    assert future.cancel_outcome is CancelOutcome.RESULT_DISCARDED
    Deletions(client).wait_for_store(scheduler, objects=1)


def test_a_round_that_nobody_waits_for_ends_by_the_clock_of_the_link(scheduler: FakeScheduler) -> None:
    client = Client(scheduler.address, heartbeat_interval=0.05)
    future = client.submit(len, "abc")
    client._session.manager.request_cancel(future, timeout=0.01)
    settled(future)
    assert future.cancel_outcome is CancelOutcome.TIMED_OUT
    client.shutdown()


# Losing the scheduler, leaving


def test_a_scheduler_that_vanishes_ends_every_wait(scheduler: FakeScheduler, client: Client, start: Start) -> None:
    running, in_round = client.submit(len, "abc"), client.submit(len, "abc")
    call = start(in_round.cancel, None)
    for kind in (Task, Task, TaskCancel):
        scheduler.next(kind)
    scheduler.vanish()
    assert call.result(HANG) is True
    with pytest.raises(CancelledError):
        running.result(HANG)
    assert {running.cancel_outcome, in_round.cancel_outcome} == {CancelOutcome.DISCONNECTED}
    with pytest.raises(SchedulerLost, match=f"{scheduler.address}.*the connection dropped"):
        client.submit(len, "abc")
    with pytest.raises(SchedulerLost):
        client.shutdown_cluster()
    assert issubclass(SchedulerLost, concurrent.futures.BrokenExecutor)


def test_what_came_before_the_connection_dropped_still_counts(scheduler: FakeScheduler, client: Client) -> None:
    futures = [client.submit(len, "abc") for _ in range(600)]
    for _ in futures:
        scheduler.run(scheduler.next(Task))
    settled(futures[-1])
    scheduler.vanish()
    client._session.link.join()
    assert {each.result() for each in futures} == {3}


def test_a_silent_scheduler_is_lost(scheduler: FakeScheduler) -> None:
    client = Client(scheduler.address, heartbeat_interval=0.05, scheduler_timeout=1)
    future = client.submit(len, "abc")
    scheduler.echoes = False
    with pytest.raises(CancelledError):
        future.result(HANG)
    with pytest.raises(SchedulerLost, match="nothing has come from it for 1 s"):
        client.submit(len, "abc")


def test_heartbeats_keep_it_alive(scheduler: FakeScheduler) -> None:
    with Client(scheduler.address, heartbeat_interval=0.1, scheduler_timeout=1) as client:
        for _ in range(15):
            assert scheduler.heartbeats.get(timeout=HANG).hostname
        client._session.check_usable()


def test_being_given_up(scheduler: FakeScheduler, client: Client) -> None:
    future = client.submit(len, "abc")
    scheduler.next(Task)
    scheduler.send(ClientDisconnect())
    with pytest.raises(CancelledError):
        future.result(HANG)
    with pytest.raises(SchedulerLost, match="given this client up"):
        client.submit(len, "abc")


def test_disconnect_ends_the_cancels_of_other_threads(scheduler: FakeScheduler, client: Client, start: Start) -> None:
    futures = [client.submit(len, "abc") for _ in range(4)]
    finished, unread = client.submit(len, "abc"), client.submit(len, "abcd")
    tasks = [scheduler.next(Task) for _ in range(6)]
    for task in tasks[4:]:
        scheduler.run(task)
    settled(unread)
    calls = [start(each.cancel, None) for each in futures]
    for _ in futures:
        scheduler.next(TaskCancel)
    client.disconnect()
    assert [call.result(HANG) for call in calls] == [True] * 4
    scheduler.next(ClientDisconnect)
    assert (finished.result(), unread.result()) == (3, 4)
    assert scheduler.store.count() == 0
    with pytest.raises(RuntimeError, match="after shutdown"):
        client.submit(len, "abc")
    client.disconnect()
    client.shutdown()


def test_everything_may_be_called_from_callbacks_while_it_closes(scheduler: FakeScheduler, client: Client) -> None:
    futures = [client.submit(len, "abc") for _ in range(5)]
    seen: Queue[Any] = Queue()

    def callback(done: concurrent.futures.Future[int]) -> None:
        results = [each.cancel() for each in futures], done.cancelled()
        client.disconnect()
        client.shutdown(cancel_futures=True)
        seen.put(results)

    for each in futures:
        each.add_done_callback(callback)
    scheduler.confirm(scheduler.next(Task))
    # The first callback cancels the other four without being answered until the scheduler says that they are gone.
    for _ in futures[1:]:
        scheduler.next(Task)
    for _ in futures[1:]:
        scheduler.confirm(Task(scheduler.next(TaskCancel).task_id))
    assert [seen.get(timeout=HANG) for _ in futures] == [([True] * 5, True)] * 5
    client.shutdown()


def test_shutdown_waits_for_what_is_pending_and_for_callbacks(
    scheduler: FakeScheduler, client: Client, start: Start
) -> None:
    future = client.submit(len, "abc")
    task = scheduler.next(Task)
    called: list[int] = []
    future.add_done_callback(lambda done: called.append(done.result()))
    client.shutdown(wait=False)
    with pytest.raises(RuntimeError, match="after shutdown"):
        client.submit(len, "abc")
    closing = start(client.shutdown)
    assert future.running()
    scheduler.run(task)
    closing.result(HANG)
    assert called == [3]
    scheduler.next(ClientDisconnect)


def test_shutdown_cancels_what_has_not_begun(scheduler: FakeScheduler, client: Client, start: Start) -> None:
    queued, running = client.submit(len, "abc"), client.submit(len, "abcd")
    tasks = [scheduler.next(Task), scheduler.next(Task)]
    closing = start(client.shutdown, cancel_futures=True)
    assert [scheduler.next(TaskCancel) for _ in tasks] == [TaskCancel(task.task_id, False) for task in tasks]
    scheduler.confirm(tasks[0])
    scheduler.confirm(tasks[1], CancelConfirmType.CANCEL_FAILED)
    scheduler.run(tasks[1])
    closing.result(HANG)
    assert queued.cancelled()
    assert running.result() == 4


def test_a_client_that_is_garbage_leaves_when_its_futures_are_settled(scheduler: FakeScheduler) -> None:
    client = Client(scheduler.address)
    future = client.submit(len, "abc")
    task = scheduler.next(Task)
    del client
    gc.collect()
    scheduler.run(task)
    assert future.result(HANG) == 3
    scheduler.next(ClientDisconnect)


@pytest.mark.parametrize("accepted", [True, False])
def test_the_cluster_can_be_asked_to_shut_down(
    scheduler: FakeScheduler, client: Client, start: Start, accepted: bool
) -> None:
    call = start(client.shutdown_cluster)
    assert scheduler.next(ClientDisconnect).disconnect_type is DisconnectType.SHUTDOWN
    scheduler.send(ClientShutdownResponse(accepted))
    assert call.result(HANG) is accepted
    scheduler.vanish()
    client._session.link.join()
    cause = "at this client's request" if accepted else "the connection dropped"
    with pytest.raises(SchedulerLost, match=cause):
        client.submit(len, "abc")


def test_a_shutdown_that_is_not_answered(scheduler: FakeScheduler, client: Client, start: Start) -> None:
    with pytest.raises(TimeoutError):
        client.shutdown_cluster(timeout=0.01)
    scheduler.next(ClientDisconnect)
    waiting = start(client.shutdown_cluster, None)
    scheduler.next(ClientDisconnect)
    scheduler.vanish()
    assert isinstance(waiting.exception(HANG), SchedulerLost)


# map


@pytest.mark.parametrize("chunksize", [1, 3, 100])
def test_map_gives_results_in_order(scheduler: FakeScheduler, client: Client, chunksize: int) -> None:
    scheduler.runs_tasks = True
    assert list(client.map(pow, range(10), [2] * 10, chunksize=chunksize)) == [each**2 for each in range(10)]
    assert list(client.map(pow, [], [])) == []


def test_map_submits_one_task_a_chunk(scheduler: FakeScheduler, client: Client) -> None:
    results = client.map(len, ["a", "ab", "abc"], chunksize=2)
    for task in reversed([scheduler.next(Task), scheduler.next(Task)]):
        scheduler.run(task)
    assert list(results) == [1, 2, 3]
    assert scheduler.nothing_received()


def test_map_that_times_out_cancels_the_rest_without_waiting(scheduler: FakeScheduler, client: Client) -> None:
    results = client.map(len, ["a", "ab", "abc"], timeout=0.05)
    tasks = [scheduler.next(Task) for _ in range(3)]
    with pytest.raises(TimeoutError):
        next(results)
    # Nobody has answered yet, and all have been asked.
    assert [scheduler.next(TaskCancel).task_id for _ in tasks] == [task.task_id for task in tasks]
    assert list(results) == []


@pytest.mark.parametrize("how", ["closed", "garbage", "garbage at once", "raised"])
def test_map_that_is_abandoned_cancels_the_rest(scheduler: FakeScheduler, client: Client, how: str) -> None:
    results = client.map(divmod, [4, 5, 6], [2, 0, 3])
    tasks = [scheduler.next(Task) for _ in range(3)]
    if how != "garbage at once":
        scheduler.run(tasks[0])
        assert next(results) == (2, 0)
    match how:
        case "closed":
            results.close()
        case "raised":
            scheduler.run(tasks[1])
            with pytest.raises(ZeroDivisionError):
                next(results)
    del results
    gc.collect()
    left = {"garbage at once": tasks, "raised": tasks[2:]}.get(how, tasks[1:])
    assert {scheduler.next(TaskCancel).task_id for _ in left} == {task.task_id for task in left}


def test_map_whose_arguments_cannot_be_pickled_cancels_what_it_began(scheduler: FakeScheduler, client: Client) -> None:
    with pytest.raises(TypeError, match="pickle"):
        client.map(print, ["fine", threading.Lock()])
    assert scheduler.next(Task).task_id == scheduler.next(TaskCancel).task_id
    for bad in ({"chunksize": 0}, {"timeout": -1}):
        with pytest.raises(ValueError, match="must be"):
            client.map(print, [1], **bad)


# Processes


SCRIPT = """
import sys
from rescind import Client
client = Client(sys.argv[1])
futures = [client.submit(len, "abc") for _ in range(3)]
futures[0].add_done_callback(lambda _: print("callback", flush=True))
print("submitted", flush=True)
"""


def test_the_interpreter_exits_without_shutdown(scheduler: FakeScheduler) -> None:
    finished = subprocess.run(
        [sys.executable, "-c", SCRIPT, scheduler.address],
        timeout=HANG,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert (finished.returncode, finished.stderr) == (0, "")
    assert finished.stdout.startswith("submitted")
    for _ in range(3):
        scheduler.next(Task)
    scheduler.next(ClientDisconnect)
    assert scheduler.store.count() == 0


def test_a_forked_child_is_told_to_make_its_own_client(
    scheduler: FakeScheduler, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client._session, "process", -1)
    with pytest.raises(RuntimeError, match="fork"):
        client.submit(len, "abc")
