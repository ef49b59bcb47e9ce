"""Nothing stays in Scaler's object storage server that nobody will ask for, when scheduler and worker are ours."""

from __future__ import annotations

import select
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cloudpickle
import pytest
from scaler_system import StorageServer, storage_server
from test_scheduler import Serving
from test_worker import HANG, OWNER, FakeScheduler, working

from rescind import wire
from rescind.messages import (
    CancelConfirmType,
    ClientDisconnect,
    ClientHeartbeatEcho,
    Message,
    ObjectInstruction,
    ObjectStorageAddress,
    Task,
    TaskResult,
    TaskResultType,
    WorkerHeartbeat,
    WorkerHeartbeatEcho,
)
from rescind.payloads import argument_object_id, dump, load, result_object_id
from rescind.scaler_payloads import (
    Instruction,
    ScalerFormat,
    Word,
    read_instruction,
    serializer_object,
    serializer_object_id,
    write_instruction,
)
from rescind.scaler_store import ScalerStore
from rescind.scheduler import Scheduler
from rescind.scheduler_machine import SchedulerSettings
from rescind.store import ObjectMissing, SqliteStore, open_store
from rescind.worker_machine import Finished
from rescind.worker_pool import Happened, ProcessPool
from rescind.worker_process import TaskEnded, run_task

cloudpickle.register_pickle_by_value(sys.modules[__name__])

CLIENT, WORKER = b"C1", b"W1"
RESULT = result_object_id(OWNER)


@pytest.fixture
def server() -> Iterator[StorageServer]:
    with storage_server() as started:
        yield started


@pytest.fixture
def store(server: StorageServer) -> Iterator[ScalerStore]:
    made = ScalerStore(server.address, remembers=False, arrival_seconds=0.01)
    yield made
    made.close()


def wait_until_empty(store: ScalerStore) -> None:
    """What is released goes in the scheduler's own time."""
    deadline = time.monotonic() + HANG
    while store.count() and time.monotonic() < deadline:
        pass
    assert store.count() == 0


# The scheduler


@pytest.fixture
def serving(server: StorageServer) -> Iterator[Serving]:
    settings = SchedulerSettings(client_timeout=1.0)
    running = Serving(
        Scheduler(settings=settings, rebalance_interval=0.01, grace=0.0, object_storage_address=server.url)
    )
    yield running
    running.stop()


def put(store: ScalerStore, owner: bytes) -> bytes:
    object_id = argument_object_id(owner)
    store.put(owner, object_id, b"x")
    return object_id


def test_the_address_is_announced(server: StorageServer) -> None:
    for announced in (None, "tcp://10.1.2.3:77"):
        running = Serving(
            Scheduler(grace=0.0, object_storage_address=server.url, advertised_object_storage_address=announced)
        )
        client = running.peer(CLIENT)
        client.say(client.heartbeat)
        expected = ObjectStorageAddress("10.1.2.3", 77, "tcp") if announced else server.address
        assert client.hear() == ClientHeartbeatEcho(expected)
        running.stop()


@pytest.mark.parametrize("silent", [False, True])
def test_what_a_client_leaves_behind(serving: Serving, store: ScalerStore, silent: bool) -> None:
    client, worker = serving.peer(CLIENT), serving.peer(WORKER)
    client.fence()
    worker.fence()
    by_client, by_worker = put(store, CLIENT), put(store, CLIENT)
    client.socket.send(write_instruction(Word.CREATE, CLIENT, [by_client]))
    worker.socket.send(write_instruction(Word.CREATE, CLIENT, [by_worker]))
    client.fence()
    worker.fence()
    assert store.count() == 2
    if not silent:
        client.say(ClientDisconnect())
    wait_until_empty(store)


def test_what_a_client_no_longer_needs(serving: Serving, store: ScalerStore) -> None:
    """Scaler's `Client.clear`: its workers forget what they have read."""
    client, worker = serving.peer(CLIENT), serving.peer(WORKER)
    client.fence()
    worker.fence()
    cleared = put(store, CLIENT)
    client.socket.send(write_instruction(Word.CREATE, CLIENT, [cleared]))
    client.socket.send(write_instruction(Word.DELETE, CLIENT, [cleared]))
    frame = worker.socket.recv()
    assert read_instruction(frame) == Instruction(Word.DELETE, b"", (cleared,))
    wait_until_empty(store)


def test_nobody_speaks_for_another_client(serving: Serving, store: ScalerStore) -> None:
    client, stranger, worker = serving.peer(CLIENT), serving.peer(b"C2"), serving.peer(WORKER)
    for peer in (client, stranger, worker):
        peer.fence()
    kept, nobodys = put(store, CLIENT), put(store, b"nobody")
    stranger.socket.send(write_instruction(Word.DELETE, CLIENT, [kept]))
    stranger.socket.send(write_instruction(Word.CREATE, b"nobody", [nobodys]))
    worker.socket.send(write_instruction(Word.DELETE, b"nobody", [nobodys]))
    stranger.fence()
    worker.fence()
    serving.stop()  # when it has done all it will do
    assert (store.get(kept), store.get(nobodys)) == (b"x", b"x")


def test_a_result_whose_owner_has_left(serving: Serving, store: ScalerStore) -> None:
    client, worker = serving.peer(CLIENT), serving.peer(WORKER)
    worker.fence()
    client.say(Task(b"T1", CLIENT))
    client.fence()
    assert worker.fence() == [Task(b"T1", CLIENT)]
    client.say(ClientDisconnect())
    assert isinstance(worker.hear(), Message)  # the cancel: the owner has left
    result = put(store, CLIENT)
    worker.say(TaskResult(b"T1", results=(result,)))
    wait_until_empty(store)


def test_a_result_that_comes_twice_stays(serving: Serving, store: ScalerStore) -> None:
    client, worker = serving.peer(CLIENT), serving.peer(WORKER)
    worker.fence()
    client.say(Task(b"T1", CLIENT))
    client.fence()
    worker.fence()
    result = put(store, CLIENT)
    for _ in range(2):
        worker.say(TaskResult(b"T1", results=(result,)))
    worker.fence()
    assert client.fence() == [TaskResult(b"T1", results=(result,))]
    serving.stop()  # when it has done all it will do
    assert store.get(result) == b"x"


def test_options_that_do_not_go_together(server: StorageServer, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a run directory keeps"):
        Scheduler(object_storage_address=server.url, run_directory=tmp_path)
    with pytest.raises(ValueError, match="advertised, but none"):
        Scheduler(advertised_object_storage_address=server.url)


# The worker


class FakeSchedulerOfScaler(FakeScheduler):
    """Its payloads are where Scaler keeps them; ObjectInstructions are taken apart from the other messages."""

    def __init__(self, server: StorageServer) -> None:
        self.store = ScalerStore(server.address)  # type: ignore[assignment]
        self.calls_stored = set()
        self.storage = server.address
        self.worker = b""
        self.heartbeat = WorkerHeartbeat()
        self.told: list[Instruction | None] = []
        self.bind("tcp://127.0.0.1:0")
        self.store.put(OWNER, serializer_object_id(OWNER), serializer_object())
        self.calls_stored.add(serializer_object_id(OWNER))

    def hear(self, seconds: float = HANG) -> Message:
        while True:
            assert self.router.poll(int(seconds * 1000)), "the worker is silent"
            worker, frame = self.router.recv_multipart()
            if not isinstance(wire.decode(frame), ObjectInstruction):
                return self.take(worker, frame)
            self.told.append(read_instruction(frame))

    def take(self, worker: bytes, frame: bytes) -> Message:
        self.worker = worker
        message = wire.decode(frame)
        if isinstance(message, WorkerHeartbeat):
            self.heartbeat = message
            if self.storage is not None:
                self.say(WorkerHeartbeatEcho(self.storage))
        return message


@pytest.fixture
def scheduler(server: StorageServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSchedulerOfScaler]:
    # It would find the storage server, a process of this one.
    monkeypatch.setattr("test_worker.assert_nothing_left", lambda: None)
    made = FakeSchedulerOfScaler(server)
    yield made
    made.close()


def test_a_result_is_announced_before_it_exists(scheduler: FakeSchedulerOfScaler) -> None:
    """The scheduler can release it though the worker was killed before it could say so."""
    with working(scheduler):
        task_id = scheduler.submit(len, "abc")
        result = scheduler.next()
        assert isinstance(result, TaskResult)
        assert (result.task_id, result.result_type) == (task_id, TaskResultType.SUCCESS)
        assert load(scheduler.store.get(result.results[0])) == 3
        assert scheduler.told == [Instruction(Word.CREATE, OWNER, (result.results[0],))]


def test_the_result_of_a_process_that_was_ended_is_released(scheduler: FakeSchedulerOfScaler) -> None:
    def store_half_a_result_and_stay(address: ObjectStorageAddress) -> None:
        frame = sys._getframe()
        while "result_id" not in frame.f_locals:
            assert frame.f_back is not None
            frame = frame.f_back
        open_store(address).put(OWNER, frame.f_locals["result_id"], b"half")
        time.sleep(HANG)

    with working(scheduler):
        task_id = scheduler.submit(store_half_a_result_and_stay, scheduler.storage)
        while scheduler.results_stored() == 0:
            scheduler.hear()
        scheduler.cancel(task_id, force=True)
        scheduler.expect_confirm(task_id, CancelConfirmType.CANCELED)
        assert scheduler.results_stored() == 0
        created, deleted = scheduler.told
        assert created is not None
        assert deleted == Instruction(Word.DELETE, OWNER, created.object_ids)


def test_a_result_has_the_clients_serialization_and_the_error_its_traceback(scheduler: FakeSchedulerOfScaler) -> None:
    def fail(message: str) -> None:
        raise KeyError(message)

    with working(scheduler):
        error = scheduler.expect_result(scheduler.submit(fail, "lost"), TaskResultType.FAILED)
    assert (type(error), error.args) == (KeyError, ("lost",))
    assert error.__traceback__.tb_frame.f_code.co_name == "fail"


def run_in_pool(pool: ProcessPool, task: Task, storage: ObjectStorageAddress) -> Happened:
    """What becomes of a task whose result has the id `RESULT`."""
    pool.start(task, RESULT, storage, b"life")
    deadline = time.monotonic() + HANG
    while not (events := pool.collect()):
        assert select.select([pool], [], [], deadline - time.monotonic())[0], "nothing happens"
    return events[0]


@pytest.fixture
def pool() -> Iterator[ProcessPool]:
    made = ProcessPool(1)
    made.import_scaler()
    made.refill()
    yield made
    made.close()


def test_processes_have_imported_what_scalers_storage_needs(pool: ProcessPool, tmp_path: Path) -> None:
    """Each forced cancel costs a process, whose successor must not take long to be of use."""

    def imported() -> bool:
        return "rescind.scaler_store" in sys.modules and "rescind.scaler_payloads" in sys.modules

    payloads = SqliteStore(tmp_path / "objects")  # which needs neither
    task = Task(b"T1", OWNER, b"", argument_object_id(OWNER))
    payloads.put(OWNER, task.func_object_id, dump(imported))
    ended = run_in_pool(pool, task, ObjectStorageAddress(str(tmp_path / "objects"), 0, "sqlite"))
    assert ended == Finished(b"T1", TaskResultType.SUCCESS, (RESULT,))
    assert load(payloads.get(RESULT)) is True
    payloads.close()


def test_a_process_that_cannot_open_the_storage_fails_its_task(pool: ProcessPool) -> None:
    nobody = ObjectStorageAddress("127.0.0.1", 1, "tcp")
    assert run_in_pool(pool, Task(b"T1", OWNER), nobody) == Finished(b"T1", TaskResultType.FAILED, ())


def test_an_argument_that_is_not_there_fails_the_task(server: StorageServer) -> None:
    """W3.2; it is waited for, but not for ever."""
    store = ScalerStore(server.address, arrival_seconds=0.01)
    store.put(OWNER, serializer_object_id(OWNER), serializer_object())
    result_id = result_object_id(OWNER)
    ended = run_task(store, Task(b"T1", OWNER, b"", argument_object_id(OWNER)), result_id, ScalerFormat(store))
    assert ended == TaskEnded(b"T1", TaskResultType.FAILED, (result_id,))
    error = load(store.get(result_id))
    assert isinstance(error, ObjectMissing)
    assert "function" in error.__notes__[0]
    store.close()


def test_a_storage_that_has_gone_fails_the_task(server: StorageServer) -> None:
    store = ScalerStore(server.address)
    server.program.stop()
    ended = run_task(store, Task(b"T1", OWNER, b"", argument_object_id(OWNER)), bytes(32), ScalerFormat(store))
    assert ended == TaskEnded(b"T1", TaskResultType.FAILED, ())
    store.close()
