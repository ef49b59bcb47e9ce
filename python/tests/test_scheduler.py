"""The scheduler's shell over real sockets."""

from __future__ import annotations

import io
import json
import logging
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq
from cluster import COMMAND

from rescind import payload_keeper, wire
from rescind.messages import (
    CancelConfirmType,
    ClientDisconnect,
    ClientHeartbeat,
    ClientHeartbeatEcho,
    DisconnectType,
    Message,
    Task,
    TaskCancel,
    TaskCancelConfirm,
    TaskLog,
    TaskResult,
    WorkerDisconnectNotification,
    WorkerHeartbeat,
    WorkerHeartbeatEcho,
)
from rescind.payload_keeper import EmbeddedPayloads
from rescind.run_directory import RunDirectoryUnusable
from rescind.scheduler import EndpointInUse, Scheduler
from rescind.scheduler_machine import SchedulerSettings
from rescind.store import SqliteStore
from rescind.trace import TraceEvent, read_trace

VECTORS = wire.schema_directory() / "vectors"
ECHOES = (ClientHeartbeatEcho, WorkerHeartbeatEcho)
QUEUE_SIZE = 50
HANG = 20_000
"""Milliseconds after which a test gives up waiting for what must come."""


class Peer:
    """One DEALER; a heartbeat is its fence."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], endpoint: str, name: bytes) -> None:
        self.socket = context.socket(zmq.DEALER)
        self.socket.setsockopt(zmq.IDENTITY, name)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.RCVTIMEO, HANG)
        self.socket.connect(endpoint)
        self.heartbeat: Message = WorkerHeartbeat(queue_size=QUEUE_SIZE) if name.startswith(b"W") else ClientHeartbeat()

    def say(self, message: Message) -> None:
        self.socket.send(wire.encode(message))

    def hear(self) -> Message:
        return wire.decode(self.socket.recv())

    def fence(self) -> list[Message]:
        """What came before the echo of a heartbeat that is sent now."""
        self.say(self.heartbeat)
        heard: list[Message] = []
        while not isinstance(message := self.hear(), ECHOES):
            heard.append(message)
        return heard


class Serving:
    """A scheduler in a thread, and peers that speak to it."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.context = zmq.Context()
        self.peers: list[Peer] = []
        self.thread = threading.Thread(target=scheduler.run, daemon=True)
        self.thread.start()

    def peer(self, name: bytes) -> Peer:
        peer = Peer(self.context, self.scheduler.endpoint, name)
        self.peers.append(peer)
        return peer

    def stop(self) -> None:
        self.scheduler.stop()
        self.thread.join(HANG / 1000)
        assert not self.thread.is_alive()
        for peer in self.peers:
            peer.socket.close()
        self.context.term()


@pytest.fixture
def serving() -> Iterator[Serving]:
    running = Serving(Scheduler(rebalance_interval=None, grace=0.0))
    yield running
    running.stop()


def test_a_task_makes_its_round(serving: Serving) -> None:
    client, worker = serving.peer(b"C1"), serving.peer(b"W1")
    task = Task(b"T1", source=b"C1", func_object_id=bytes(32))
    client.say(task)
    assert client.fence() == []
    assert worker.fence() == [task]
    worker.say(TaskResult(b"T1"))
    assert worker.fence() == []
    assert client.fence() == [TaskResult(b"T1")]


def malformed_frames() -> list[bytes]:
    """Every vector that all receivers must drop."""
    index = json.loads((VECTORS / "index.json").read_text(encoding="utf-8"))
    return [(VECTORS / f"{one['name']}.bin").read_bytes() for one in index["vectors"] if one["expect"] == "drop"]


@pytest.mark.parametrize("sender", [b"C2", b"W2"])
def test_no_malformed_frame_disturbs_others_and_each_is_counted(
    serving: Serving, sender: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    frames = malformed_frames()
    assert len(frames) > 30
    client, worker, sick = serving.peer(b"C1"), serving.peer(b"W1"), serving.peer(sender)
    worker.fence()
    sick.fence()
    with caplog.at_level(logging.WARNING):
        for frame in frames:
            sick.socket.send(frame)
        sick.socket.send_multipart([b"one frame", b"too many"])
        assert sick.fence() == []
    assert sum(serving.scheduler.dropped.values()) == len(frames) + 1
    assert sender.decode() in caplog.text
    client.say(Task(b"T1"))
    client.fence()
    assert worker.fence() == [Task(b"T1")]


def test_peers_that_vanish_do_not_disturb_others(serving: Serving) -> None:
    client, worker = serving.peer(b"C1"), serving.peer(b"W1")
    worker.fence()
    for number in range(20):
        vanishing = serving.peer(b"C-vanishing-%d" % number)
        vanishing.say(Task(b"V%d" % number))
        vanishing.fence()
        vanishing.say(ClientDisconnect())
        vanishing.socket.close()
    client.say(Task(b"T1"))
    client.fence()
    worker.say(TaskResult(b"T1"))
    for number in range(20):
        worker.say(TaskResult(b"V%d" % number))
    worker.fence()
    assert TaskResult(b"T1") in client.fence()


def test_a_message_to_a_peer_that_is_gone_is_counted(serving: Serving) -> None:
    client, worker = serving.peer(b"C1"), serving.peer(b"W1")
    client.say(Task(b"T1"))
    client.fence()
    assert worker.fence() == [Task(b"T1")]
    client.socket.close()
    # The closing travels on its own connection: until it has come, what is sent to the client is queued.
    while not any(reason.startswith("cannot be sent") for reason in serving.scheduler.dropped):
        worker.say(TaskLog(b"T1"))
        assert worker.fence() == []


def test_stopping_settles_every_task_and_removes_the_run_directory() -> None:
    running = Serving(Scheduler(grace=HANG / 1000))
    client, worker = running.peer(b"C1"), running.peer(b"W1")
    worker.fence()
    for number in range(QUEUE_SIZE + 2):
        client.say(Task(b"T%d" % number))
    client.fence()
    assert len(worker.fence()) == QUEUE_SIZE
    run_directory = Path(running.scheduler._payloads.address.host).parent
    assert run_directory.exists()
    running.scheduler.stop()
    assert worker.hear() == ClientDisconnect(DisconnectType.SHUTDOWN)
    worker.say(TaskResult(b"T0"))
    worker.say(WorkerDisconnectNotification())
    heard = [client.hear() for _ in range(QUEUE_SIZE + 2)]
    assert TaskResult(b"T0") in heard
    assert sum(message.__class__ is TaskCancelConfirm for message in heard) == QUEUE_SIZE + 1
    running.stop()
    assert not run_directory.exists()


def test_a_second_stop_ends_the_wait_for_workers_that_do_not_leave() -> None:
    running = Serving(Scheduler(grace=1e6))
    client, worker = running.peer(b"C1"), running.peer(b"W1")
    worker.fence()
    client.say(Task(b"T1"))
    client.fence()
    running.scheduler.stop()
    assert worker.hear() == Task(b"T1")
    assert worker.hear() == ClientDisconnect(DisconnectType.SHUTDOWN)
    running.scheduler.stop()
    assert client.hear() == TaskCancelConfirm(b"T1", CancelConfirmType.CANCELED)
    running.stop()


def test_silent_peers_are_lost() -> None:
    running = Serving(Scheduler(settings=SchedulerSettings(worker_timeout=0.2, client_timeout=1e6)))
    client, worker = running.peer(b"C1"), running.peer(b"W1")
    worker.fence()
    client.say(Task(b"T1"))
    client.say(TaskCancel(b"T1"))
    assert client.hear() == TaskCancelConfirm(b"T1", CancelConfirmType.CANCELED)
    worker.say(WorkerHeartbeat(queue_size=QUEUE_SIZE))
    heard = [worker.hear() for _ in range(3)]
    assert heard[-1] == ClientDisconnect(DisconnectType.DISCONNECT)
    running.stop()


def test_every_message_and_event_is_traced() -> None:
    trace = io.StringIO()
    settings = SchedulerSettings(client_timeout=0.05)
    running = Serving(Scheduler(settings=settings, trace=trace, rebalance_interval=None, grace=0.0))
    client, silent = running.peer(b"Client|traced|1"), running.peer(b"Client|silent|1")
    silent.fence()
    client.socket.send(b"garbage")
    client.say(Task(b"T1"))
    while "peer lost" not in trace.getvalue():
        client.fence()
    running.stop()
    trace.seek(0)
    seen = []
    for record in read_trace(trace):
        if isinstance(record, TraceEvent):
            seen.append((record.at, record.event, *record.details.values()))
        elif "traced" in record.sender + record.receiver:
            said = "malformed" if record.message is None else type(record.message).__name__
            seen.append((record.sender.partition("|")[0], record.receiver.partition("|")[0], said))
    fences = {("Client", "scheduler", "ClientHeartbeat"), ("scheduler", "Client", "ClientHeartbeatEcho")}
    assert [one for one in seen if one not in fences] == [
        ("scheduler", "scheduler started"),
        ("Client", "scheduler", "malformed"),
        ("Client", "scheduler", "Task"),
        ("scheduler", "peer lost", "Client|silent|1"),
        ("scheduler", "close requested"),
        ("scheduler", "Client", "TaskCancelConfirm"),
        ("scheduler", "grace over"),
        ("scheduler", "closed"),
    ]


@pytest.mark.parametrize("line", ["", "[]", "7", "{}", '{"time": 1, "from": "a", "to": "b", "message": {"task": {}}}'])
def test_a_line_that_is_no_trace_record_is_named(line: str) -> None:
    with pytest.raises(ValueError, match="line 1 of the trace is not a record"):
        read_trace(io.StringIO(line + "\n"))


def test_an_endpoint_that_cannot_be_bound_is_named(serving: Serving) -> None:
    with pytest.raises(EndpointInUse, match=serving.scheduler.endpoint):
        Scheduler(serving.scheduler.endpoint)
    with pytest.raises(ValueError, match="nonsense"):
        Scheduler("nonsense")


def test_a_second_scheduler_at_a_unix_socket_is_refused(tmp_path: Path) -> None:
    running = Serving(Scheduler(f"ipc://{tmp_path}/s", grace=0.0))
    with pytest.raises(EndpointInUse, match="another scheduler runs there"):
        Scheduler(running.scheduler.endpoint)
    running.peer(b"C1").fence()
    running.stop()


def test_a_run_directory_serves_one_scheduler_at_a_time_and_keeps_nothing(tmp_path: Path) -> None:
    directory = tmp_path / "run"
    directory.mkdir()
    former = SqliteStore(directory / "objects-0123.sqlite")
    former.put(b"former", bytes(32), b"left by one that was killed")
    running = Serving(Scheduler(run_directory=directory, grace=0.0))
    (path,) = directory.glob("objects*.sqlite")
    store = SqliteStore(path, create=False)
    assert store.count() == 0
    with pytest.raises(RunDirectoryUnusable, match="in use by another scheduler"):
        Scheduler(run_directory=directory)
    former.put(b"former", bytes(31), b"by a peer of the one that was killed")
    former.close()
    assert store.count() == 0
    store.close()
    running.stop()
    assert not list(directory.glob("objects*"))
    (tmp_path / "file").touch()
    with pytest.raises(RunDirectoryUnusable, match="Choose another --run-directory"):
        Scheduler(run_directory=tmp_path / "file")


def test_a_store_that_others_keep_busy_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """T5, S11.1: a client that is stopped in the middle of a write holds the lock for as long as it likes."""
    monkeypatch.setattr("rescind.payload_keeper._BUSY_SECONDS", 0.05)
    running = Serving(Scheduler(run_directory=tmp_path, grace=0.0))
    leaving, staying = running.peer(b"C1"), running.peer(b"C2")
    for peer in (leaving, staying):
        peer.fence()
    held = sqlite3.connect(running.scheduler._payloads.address.host, isolation_level=None)
    held.execute("BEGIN IMMEDIATE")
    leaving.say(ClientDisconnect(DisconnectType.DISCONNECT))
    for _ in range(3):
        assert staying.fence() == []
    held.execute("ROLLBACK")
    held.close()
    running.stop()


def test_what_the_store_could_not_do_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client leaves while the disk is full, or somebody writes for long: what it has stored goes later."""
    monkeypatch.setattr("rescind.payload_keeper._BUSY_SECONDS", 0.05)
    running = Serving(Scheduler(settings=SchedulerSettings(client_timeout=0.4), run_directory=tmp_path, grace=0.0))
    leaving, staying = running.peer(b"C1"), running.peer(b"C2")
    leaving.fence()
    (path,) = tmp_path.glob("objects*.sqlite")
    store = SqliteStore(path, create=False)
    store.put(b"C1", bytes(32), b"of a client that leaves")
    held = sqlite3.connect(path, isolation_level=None)
    held.execute("BEGIN IMMEDIATE")
    leaving.say(ClientDisconnect(DisconnectType.DISCONNECT))
    ended = time.monotonic() + 0.5
    while time.monotonic() < ended:  # nothing can be seen of what fails
        staying.fence()
    held.execute("ROLLBACK")
    held.close()
    ended = time.monotonic() + 10.0
    while store.count() and time.monotonic() < ended:
        staying.fence()
    assert store.count() == 0
    store.close()
    running.stop()


def test_clients_that_leave_together_are_released_together(tmp_path: Path) -> None:
    """The first at once, whatever the clock does; the others when the scheduler looks after its store next."""
    payloads = EmbeddedPayloads(tmp_path)
    store = SqliteStore(payloads.address.host, create=False)

    def left() -> int:
        done = threading.Event()
        payloads._storekeeper.post(done.set)
        assert done.wait(HANG / 1000)
        return store.count()

    owners = [b"C%d" % number for number in range(4)]
    for owner in owners:
        store.put(owner, owner.ljust(32), b"payload")
    for owner in owners:
        payloads.release_owner(owner)
    assert left() == 3
    store.put(owners[1], bytes(32), b"on its way while its client left")
    payloads.look_after_store()
    assert left() == 0
    store.put(owners[1], bytes(32), b"too late")
    assert left() == 0
    for owner in (b"C4", b"C5"):
        store.put(owner, bytes(32), b"of one that leaves alone")
        payloads.release_owner(owner)
        assert left() == 0
        payloads.look_after_store()
    store.close()
    payloads.close()


def test_what_waits_to_be_released_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A worker that is lost names payloads faster than the store deletes them; what its client leaves goes with it."""
    monkeypatch.setattr(payload_keeper, "_MOST_WAITING", 1000)
    payloads = EmbeddedPayloads(tmp_path)
    store = SqliteStore(payloads.address.host, create=False)
    goes_on = threading.Event()

    def left() -> int:
        done = threading.Event()
        payloads._storekeeper.post(done.set)
        assert done.wait(HANG / 1000)
        return store.count()

    def block() -> None:
        goes_on.wait(HANG / 1000)

    payloads._storekeeper.post(block)
    names = [bytes([number]) * 36 for number in range(20)]
    for name in names:
        store.put(b"C1", name, b"payload")
        payloads.release_objects([name])
    goes_on.set()
    assert (left(), caplog.text.count("than the store can follow")) == (10, 1)
    payloads.release_objects([names[-1]])
    assert left() == 9
    payloads.release_owner(b"C1")
    assert left() == 0
    store.close()
    payloads.close()


def test_it_serves_though_nobody_can_read_where() -> None:
    options = ["--endpoint", "tcp://127.0.0.1:0", "--status", "127.0.0.1:0", "--grace", "0"]
    with open("/dev/full", "w") as full:
        process = subprocess.Popen([*COMMAND, "scheduler", *options], stdout=full, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    said = process.stderr.readline()
    process.terminate()
    assert "No space left" in said
    assert "status at http" in said
    assert (process.wait(HANG / 1000), process.stderr.read()) == (0, "")
    process.stderr.close()


def test_what_has_arrived_shows_that_its_sender_lives(tmp_path: Path) -> None:
    """S9.1: the scheduler is stopped for longer than its time-out, and finds more than it reads at once."""
    options = ["--endpoint", f"ipc://{tmp_path}/s", "--client-timeout", "0.3", "--run-directory", str(tmp_path / "run")]
    process = subprocess.Popen(
        [sys.executable, "-m", "rescind", "scheduler", *options], stdout=subprocess.PIPE, text=True
    )
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    try:
        assert process.stdout is not None
        endpoint = process.stdout.readline().removeprefix("listening on ").strip()
        peers = [Peer(context, endpoint, b"C%d" % number) for number in range(300)]
        lived_from = time.monotonic()
        for peer in peers:
            peer.say(ClientHeartbeat())
        assert {type(peer.hear()) for peer in peers} == {ClientHeartbeatEcho}
        assert time.monotonic() - lived_from < 0.3, "this machine is too slow to tell"
        process.send_signal(signal.SIGSTOP)
        for peer in peers:
            peer.say(ClientHeartbeat())
        peers[0].socket.poll(600)  # nothing can come: the time-out passes
        process.send_signal(signal.SIGCONT)
        assert {type(peer.hear()) for peer in peers} == {ClientHeartbeatEcho}
    finally:
        process.kill()
        process.wait()
        for peer in peers:
            peer.socket.close()
        context.term()


@pytest.mark.parametrize(
    ("directory", "mode"), [(None, 0o600), (0o700, 0o600), (0o755, 0o600), (0o770, 0o660), (0o777, 0o660)]
)
def test_the_store_is_read_by_its_account_and_by_a_group_that_shares_the_directory(
    tmp_path: Path, directory: int | None, mode: int
) -> None:
    place = tmp_path / "run"
    if directory is not None:
        place.mkdir()
        place.chmod(directory)
    scheduler = Scheduler(run_directory=place, grace=0.0)
    (path,) = place.glob("objects*.sqlite")
    store = SqliteStore(path, create=False)
    store.put(b"C1", b"id", b"data")
    files = {each.name: each.stat().st_mode & 0o777 for each in place.glob("objects*")}
    assert files == dict.fromkeys((path.name + suffix for suffix in ("", "-wal", "-shm")), mode)
    assert place.stat().st_mode & 0o777 == (0o700 if directory is None else directory)
    store.close()
    scheduler.stop()
    scheduler.run()
