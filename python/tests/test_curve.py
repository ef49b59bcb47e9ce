"""CURVE: keys in files, who is admitted, and that nobody speaks, or is spoken to, under another's routing id."""

from __future__ import annotations

import shutil
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import zmq
from cluster import Cluster
from raw_peers import GREETING, connected
from typer.testing import CliRunner

from rescind import Client, wire
from rescind.cli import app
from rescind.curve import (
    HandshakeRefused,
    KeysUnusable,
    PeerKeys,
    Role,
    make_keys,
    read_peer_keys,
    read_scheduler_keys,
)
from rescind.curve_guard import ConnectionGuard
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
    WorkerHeartbeat,
    WorkerHeartbeatEcho,
)
from rescind.peer_options import is_loopback
from rescind.scheduler import Scheduler
from rescind.worker import Worker
from rescind.worker_machine import WorkerSettings

HANG = 20.0
"""Seconds after which a test gives up waiting for what must come."""
ECHOES = (ClientHeartbeatEcho, WorkerHeartbeatEcho)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keys for a scheduler, the clients alice and mallory, and the worker rack."""
    directory = tmp_path_factory.mktemp("keys")
    make_keys(directory, [(Role.CLIENT, "alice"), (Role.CLIENT, "mallory"), (Role.WORKER, "rack")])
    return directory


class Peer:
    """One DEALER with keys; a heartbeat is its fence."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], endpoint: str, name: bytes, keys: PeerKeys) -> None:
        self.socket = context.socket(zmq.DEALER)
        self.socket.setsockopt(zmq.IDENTITY, name)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.RCVTIMEO, int(HANG * 1000))
        keys.apply(self.socket)
        self.socket.connect(endpoint)
        self.heartbeat: Message = WorkerHeartbeat(queue_size=5) if name.startswith(b"W") else ClientHeartbeat()

    def say(self, *messages: Message) -> None:
        for message in messages:
            self.socket.send(wire.encode(message))

    def fence(self) -> list[Message]:
        """What came before the echo of a heartbeat that is sent now."""
        self.say(self.heartbeat)
        heard: list[Message] = []
        while not isinstance(message := wire.decode(self.socket.recv()), ECHOES):
            heard.append(message)
        return heard

    def heard(self) -> list[Message]:
        """What has come; does not wait."""
        found: list[Message] = []
        while self.socket.poll(0):
            found.append(wire.decode(self.socket.recv()))
        return found


class Serving:
    """A scheduler with keys in a thread, and peers that speak to it."""

    def __init__(self, keys: Path) -> None:
        self.keys = keys
        self.scheduler = Scheduler("tcp://127.0.0.1:0", rebalance_interval=None, grace=0.0, curve=keys / "scheduler")
        self.dropped = self.scheduler.dropped
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.thread = threading.Thread(target=self.scheduler.run, daemon=True)
        self.thread.start()

    def client(self, name: bytes, whose: str = "alice") -> Peer:
        return Peer(
            self.context, self.scheduler.endpoint, name, read_peer_keys(self.keys / "clients" / whose, Role.CLIENT)
        )

    def worker(self, name: bytes, whose: str = "rack") -> Peer:
        return Peer(
            self.context, self.scheduler.endpoint, name, read_peer_keys(self.keys / "workers" / whose, Role.WORKER)
        )

    def stop(self) -> None:
        self.scheduler.stop()
        self.thread.join(HANG)
        assert not self.thread.is_alive()
        self.context.destroy(linger=0)


def until(holds: Callable[[], object], meanwhile: Callable[[], object]) -> None:
    """Do something again and again until a condition holds."""
    end = time.monotonic() + HANG
    while not holds():
        meanwhile()
        assert time.monotonic() < end, "what was waited for did not happen"


@pytest.fixture
def serving(keys: Path) -> Iterator[Serving]:
    running = Serving(keys)
    yield running
    running.stop()


# Files


def test_keys_are_made_so_that_only_their_account_can_read_them(tmp_path: Path) -> None:
    made = make_keys(tmp_path / "new" / "keys", [(Role.CLIENT, "alice"), (Role.WORKER, "rack")])
    directory = tmp_path / "new" / "keys"
    assert made == [directory / "scheduler", directory / "clients/alice", directory / "workers/rack"]
    modes = {
        str(each.relative_to(directory)): stat.S_IMODE(each.stat().st_mode)
        for each in [directory, *directory.rglob("*")]
    }
    secrets = {"scheduler/scheduler.key_secret", "clients/alice/client.key_secret", "workers/rack/worker.key_secret"}
    assert {name for name in modes if "secret" in name} == secrets
    for name, mode in modes.items():
        assert mode == (0o700 if (directory / name).is_dir() else 0o600 if name in secrets else 0o644), name
    scheduler = read_scheduler_keys(directory / "scheduler")
    client = read_peer_keys(directory / "clients/alice", Role.CLIENT)
    assert client.scheduler == scheduler.public
    assert scheduler.authorised()[client.public].roles == {Role.CLIENT}
    assert client.secret.decode() not in repr(client)
    assert scheduler.secret.decode() not in repr(scheduler)


def test_nothing_is_overwritten_and_nothing_is_made_if_something_cannot_be(tmp_path: Path) -> None:
    make_keys(tmp_path, [(Role.CLIENT, "alice")])
    before = {each: each.read_bytes() for each in tmp_path.rglob("*") if each.is_file()}
    with pytest.raises(KeysUnusable, match="clients/alice is there already, and nothing was made"):
        make_keys(tmp_path, [(Role.WORKER, "rack"), (Role.CLIENT, "alice")])
    with pytest.raises(KeysUnusable, match="is no name for keys"):
        make_keys(tmp_path, [(Role.WORKER, "rack"), (Role.CLIENT, "../bob")])
    (tmp_path / "scheduler/workers/rack.key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(KeysUnusable, match=r"rack\.key is there already"):
        make_keys(tmp_path, [(Role.WORKER, "rack")])
    assert {each: each.read_bytes() for each in tmp_path.rglob("*") if each.is_file()} == before
    make_keys(tmp_path, [(Role.CLIENT, "bob")])
    assert {each: each.read_bytes() for each in before} == before, "the scheduler's keys stay"


def test_keys_that_cannot_be_used_are_told_with_a_remedy(tmp_path: Path, keys: Path) -> None:
    alice = shutil.copytree(keys / "clients/alice", tmp_path / "alice")
    with pytest.raises(KeysUnusable, match=r"has no worker\.key_secret, which a worker needs, but client\.key_secret"):
        read_peer_keys(alice, Role.WORKER)
    with pytest.raises(KeysUnusable, match=r"has no scheduler\.key_secret"):
        read_scheduler_keys(keys)
    (alice / "client.key_secret").chmod(0o604)
    with pytest.raises(KeysUnusable, match="every account of this machine"):
        read_peer_keys(alice, Role.CLIENT)
    (alice / "client.key_secret").chmod(0o600)
    (alice / "client.key_secret").write_bytes(
        (keys / "clients/mallory/client.key_secret").read_bytes().replace(b"public-key", b"x")
    )
    with pytest.raises(KeysUnusable, match="is no file of keys"):
        read_peer_keys(alice, Role.CLIENT)
    public = (keys / "clients/alice/client.key_secret").read_text().splitlines()[3]
    secret = (keys / "clients/mallory/client.key_secret").read_text().splitlines()[4]
    (alice / "client.key_secret").write_text(f"curve\n{public}\n{secret}\n")
    with pytest.raises(KeysUnusable, match="no secret key that belongs to its public key"):
        read_peer_keys(alice, Role.CLIENT)
    (alice / "scheduler.key").write_text('curve\n    public-key = "short"\n')
    shutil.copy(keys / "clients/alice/client.key_secret", alice)
    with pytest.raises(KeysUnusable, match=r"scheduler\.key is no file of keys \(a key has 40 characters"):
        read_peer_keys(alice, Role.CLIENT)


def test_the_command_makes_keys_and_lists_who_is_admitted(tmp_path: Path) -> None:
    run = CliRunner().invoke(app, ["keys", str(tmp_path / "keys"), "--client", "alice", "--worker", "alice"])
    assert run.exit_code == 0, run.output
    assert f"made {tmp_path}/keys/workers/alice" in run.output
    listed = CliRunner().invoke(app, ["keys", str(tmp_path / "keys")])
    assert [line.split()[2:] for line in listed.output.splitlines()] == [["client", "alice"], ["worker", "alice"]]
    again = CliRunner().invoke(app, ["keys", str(tmp_path / "keys"), "--client", "alice"])
    assert again.exit_code == 2
    assert "Choose another name" in again.output


# Who is admitted


def test_a_task_makes_its_round(serving: Serving) -> None:
    client, worker = serving.client(b"C1"), serving.worker(b"W1")
    task = Task(b"T1", source=b"C1", func_object_id=bytes(32))
    client.say(task)
    assert client.fence() == []
    assert worker.fence() == [task]
    worker.say(TaskResult(b"T1"))
    assert worker.fence() == []
    assert client.fence() == [TaskResult(b"T1")]
    assert not serving.dropped


def _refusals(keys: Path, serving: Serving, scratch: Path) -> dict[str, tuple[Path | None, str, str]]:
    """Directories of keys that get no client in, what it is told, and what the scheduler counts."""
    make_keys(scratch / "strange", [(Role.CLIENT, "eve"), (Role.WORKER, "eve")])
    for peers in ("clients", "workers"):
        shutil.copytree(scratch / "strange" / peers / "eve", scratch / peers)
        shutil.copy(keys / "scheduler/scheduler.key", scratch / peers)
    shutil.copytree(keys / "clients/alice", scratch / "misled")
    shutil.copy(scratch / "strange/scheduler/scheduler.key", scratch / "misled")
    return {
        "no key": (None, "it speaks to nobody without keys", "handshake failed"),
        "not authorised": (scratch / "clients", "it refuses the key", "key not authorised"),
        "wrong scheduler": (
            scratch / "misled",
            "the public key of this very scheduler",
            "handshake failed: the peer has",
        ),
    }


@pytest.mark.parametrize("which", ["no key", "not authorised", "wrong scheduler"])
def test_a_client_that_is_not_admitted_is_told_why_at_once(
    serving: Serving, keys: Path, tmp_path: Path, which: str, caplog: pytest.LogCaptureFixture
) -> None:
    directory, told, counted = _refusals(keys, serving, tmp_path)[which]
    began = time.monotonic()
    with pytest.raises(ConnectionError, match=told):
        Client(serving.scheduler.endpoint, curve=directory, connect_timeout=300.0)
    assert time.monotonic() - began < HANG
    until(lambda: any(reason.startswith(counted) for reason in serving.dropped), serving.client(b"C2").fence)
    assert counted in caplog.text


def test_a_worker_that_is_not_admitted_ends_and_says_why(serving: Serving, tmp_path: Path, keys: Path) -> None:
    _refusals(keys, serving, tmp_path)
    for directory, told in ((None, "without keys"), (tmp_path / "workers", "refuses the key")):
        with pytest.raises(HandshakeRefused, match=told):
            Worker(serving.scheduler.endpoint, WorkerSettings(processes=1), curve=directory).run()


def test_a_client_with_keys_is_told_that_the_scheduler_has_none(keys: Path) -> None:
    plain = Scheduler("tcp://127.0.0.1:0")
    thread = threading.Thread(target=plain.run)
    thread.start()
    try:
        with pytest.raises(ConnectionError, match=r"does not use keys|does it use keys"):
            Client(plain.endpoint, curve=keys / "clients/alice", connect_timeout=300.0)
    finally:
        plain.stop()
        thread.join(HANG)


def test_keys_are_added_and_removed_while_the_scheduler_runs(keys: Path, tmp_path: Path) -> None:
    serving = Serving(shutil.copytree(keys, tmp_path / "keys"))
    try:
        make_keys(tmp_path / "keys", [(Role.CLIENT, "late")])
        late = serving.client(b"C1", "late")
        assert late.fence() == []
        other = serving.client(b"C2")

        def speak() -> None:
            late.say(TaskCancel(b"T1"))
            other.fence()

        (tmp_path / "keys/scheduler/clients/late.key").unlink()
        until(lambda: serving.dropped["not a role of its key"], speak)
        late.say(late.heartbeat)
        other.fence()
        # Answers of the time before may still be on their way.
        assert set(late.heard()) <= {TaskCancelConfirm(b"T1", CancelConfirmType.CANCEL_NOT_FOUND)}
        with pytest.raises(ConnectionError, match="refuses the key"):
            Client(serving.scheduler.endpoint, curve=tmp_path / "keys/clients/late", connect_timeout=300.0)
    finally:
        serving.stop()


def test_what_is_no_key_does_not_stop_a_running_scheduler(
    keys: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    serving = Serving(shutil.copytree(keys, tmp_path / "keys"))
    try:
        (tmp_path / "keys/scheduler/clients/broken.key").write_text("nothing")
        client = serving.client(b"C1")
        until(lambda: "broken.key is no file of keys" in caplog.text, client.fence)
        assert serving.client(b"C2", "mallory").fence() == []
    finally:
        serving.stop()
    with pytest.raises(KeysUnusable, match=r"broken\.key"):
        Scheduler(curve=tmp_path / "keys/scheduler")


# Identity


def _task_of_alice(serving: Serving) -> tuple[Peer, Peer]:
    """Alice, whose task T1 is with a worker; and that worker."""
    alice, worker = serving.client(b"C1"), serving.worker(b"W1")
    alice.say(Task(b"T1"))
    assert alice.fence() == []
    assert worker.fence() == [Task(b"T1")]
    return alice, worker


def _vanish(serving: Serving, peer: Peer, worker: Peer) -> None:
    """A peer's connection drops, and the scheduler's ZeroMQ has seen that."""
    peer.socket.close(linger=0)
    unreachable = serving.dropped.total()

    def write() -> None:
        worker.say(TaskLog(b"T1"))
        worker.fence()

    until(lambda: serving.dropped.total() > unreachable, write)


def test_nobody_speaks_under_the_routing_id_of_another_key(serving: Serving, caplog: pytest.LogCaptureFixture) -> None:
    alice, worker = _task_of_alice(serving)
    _vanish(serving, alice, worker)
    mallory = serving.client(b"C1", "mallory")
    mallory.say(TaskCancel(b"T1", force=True), Task(b"T2"), ClientHeartbeat())
    until(lambda: serving.dropped["another's routing id"] == 3, worker.fence)
    assert worker.fence() == [], "neither is the task cancelled nor another one accepted"
    before = serving.dropped.copy()
    worker.say(TaskResult(b"T1", results=(b"secret",)))
    assert worker.fence() == []
    assert (serving.dropped - before).total() == 1, "it is not sent"
    assert mallory.heard() == []
    assert "client mallory uses the routing id of client alice" in caplog.text
    assert "another's routing id (peer C1" in caplog.text


def test_nobody_listens_under_the_routing_id_of_another_key(serving: Serving) -> None:
    alice, worker = _task_of_alice(serving)
    _vanish(serving, alice, worker)
    mallory = serving.client(b"C1", "mallory")
    for _ in range(300):  # whenever it is that ZeroMQ gives it that name
        worker.say(TaskLog(b"T1", content="secret"))
        worker.fence()
    assert mallory.heard() == []
    mallory.say(ClientHeartbeat())
    until(lambda: serving.dropped["another's routing id"] == 1, worker.fence)


def test_a_routing_id_that_is_connected_cannot_be_taken(serving: Serving) -> None:
    alice, worker = _task_of_alice(serving)
    mallory = serving.client(b"C1", "mallory")
    monitor = mallory.socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
    mallory.say(*[TaskCancel(b"T1")] * 3)
    assert not monitor.poll(0)
    worker.say(TaskResult(b"T1"))
    assert worker.fence() == []
    assert alice.fence() == [TaskResult(b"T1")]
    assert mallory.heard() == []
    mallory.socket.disable_monitor()


def test_another_routing_id_has_no_say_in_the_task(serving: Serving) -> None:
    alice, worker = _task_of_alice(serving)
    mallory = serving.client(b"C2", "mallory")
    mallory.say(TaskCancel(b"T1", force=True))
    assert mallory.fence() == [TaskCancelConfirm(b"T1", CancelConfirmType.CANCEL_NOT_FOUND)]
    assert worker.fence() == []
    assert alice.fence() == []


def test_the_same_key_may_come_back_under_its_routing_id(serving: Serving) -> None:
    alice, worker = _task_of_alice(serving)
    _vanish(serving, alice, worker)
    again = serving.client(b"C1")
    assert again.fence() == []
    worker.say(TaskResult(b"T1"))
    assert worker.fence() == []
    assert again.fence() == [TaskResult(b"T1")]


def test_a_key_has_no_other_role_than_it_was_given(serving: Serving) -> None:
    alice = serving.client(b"C1")
    alice.say(Task(b"T1"))
    assert alice.fence() == []
    false_worker = serving.client(b"W1", "mallory")
    false_worker.say(WorkerHeartbeat(queue_size=5), TaskResult(b"T1"))
    until(lambda: serving.dropped["not a role of its key"] == 2, alice.fence)
    assert false_worker.heard() == []
    false_client = serving.worker(b"C3")
    false_client.say(Task(b"T2"), TaskCancel(b"T1"), ClientHeartbeat())
    until(lambda: serving.dropped["not a role of its key"] == 5, alice.fence)
    assert false_client.heard() == []
    assert serving.worker(b"W2").fence() == [Task(b"T1")]


def test_one_key_may_have_both_roles(keys: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(keys, tmp_path / "keys")
    shutil.copy(copy / "scheduler/clients/alice.key", copy / "scheduler/workers/alice.key")
    serving = Serving(copy)
    try:
        assert serving.client(b"W1").fence() == []
        assert serving.client(b"C1").fence() == []
        assert not serving.dropped
    finally:
        serving.stop()


def test_connections_come_and_go_and_those_that_stay_are_served(serving: Serving) -> None:
    """Descriptors are used again: the end of one connection must not be taken for that of another."""
    staying = [serving.client(b"stays %d" % number) for number in range(5)]
    for number in range(100):
        passing = serving.client(b"passes %d" % number)
        assert passing.fence() == []
        passing.socket.close(linger=0)
        newcomer = serving.client(b"comes %d" % number)
        assert newcomer.fence() == []
        for each in staying:
            assert each.fence() == []
        if number % 2:
            newcomer.socket.close(linger=0)
        else:
            staying = [*staying[1:], newcomer]
    assert not serving.dropped


def test_a_descriptor_that_is_used_again_is_another_connections(keys: Path) -> None:
    """What has ended is read late here: after the first message of whoever got the descriptor."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    router = context.socket(zmq.ROUTER)
    guard = ConnectionGuard(router, read_scheduler_keys(keys / "scheduler"), lambda _, reason: pytest.fail(reason))
    port = router.bind_to_random_port("tcp://127.0.0.1")
    handler, monitor = guard.sockets
    alice = read_peer_keys(keys / "clients/alice", Role.CLIENT)
    descriptors: list[int] = []
    try:
        for number in range(20):
            name = b"C%d" % number
            peer = Peer(context, f"tcp://127.0.0.1:{port}", name, alice)
            peer.say(ClientHeartbeat())
            assert handler.poll(int(HANG * 1000))
            guard.turn([handler], lambda _: True)
            assert router.poll(int(HANG * 1000))
            frames = guard.receive_frames()
            assert (frames[0], guard.decode(frames[1], wire.decode)) == (name, ClientHeartbeat())
            guard.turn([monitor], lambda _: True)
            assert name not in guard._severed
            descriptors.append(guard._bindings[name].descriptor)
            peer.socket.close(linger=0)
            assert monitor.poll(int(HANG * 1000)), "it has ended, and nobody has looked"
    finally:
        guard.close()
        router.close(linger=0)
        guard.end()
        context.destroy(linger=0)
    assert len(set(descriptors)) < len(descriptors), "some are used again"


@pytest.mark.parametrize("late", [False, True])
def test_a_handshake_that_fails_is_reported_with_the_address_unless_it_is_looked_for_too_late(
    keys: Path, late: bool
) -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    router = context.socket(zmq.ROUTER)
    reported: list[tuple[bytes, str]] = []
    guard = ConnectionGuard(router, read_scheduler_keys(keys / "scheduler"), lambda *said: reported.append(said))
    endpoint = f"tcp://127.0.0.1:{router.bind_to_random_port('tcp://127.0.0.1')}"
    _, monitor = guard.sockets

    def look() -> None:
        assert monitor.poll(int(HANG * 1000))
        guard.turn([monitor], lambda _: True)

    try:
        with connected(endpoint) as stranger:
            if not late:
                look()
            stranger.sendall(GREETING)
            with suppress(ConnectionResetError):
                while stranger.recv(64):
                    pass
        with connected(endpoint) as another:  # most likely under the same descriptor
            assert another.recv(1)
            until(lambda: reported, look)
            assert reported == [(b"unknown" if late else b"127.0.0.1", "handshake failed: the peer uses no keys")]
            until(lambda: list(guard._open.values()) == [b"127.0.0.1"], look)
    finally:
        guard.close()
        router.close(linger=0)
        guard.end()
        context.destroy(linger=0)


def test_nothing_is_kept_of_peers_that_have_gone(serving: Serving) -> None:
    guard = serving.scheduler._guard
    assert guard is not None
    staying = serving.client(b"stays")
    for number in range(20):
        leaving = serving.client(b"leaves %d" % number)
        assert leaving.fence() == []
        leaving.say(ClientDisconnect(DisconnectType.DISCONNECT))
        leaving.say(leaving.heartbeat)
        assert wire.decode(leaving.socket.recv()) == ClientDisconnect(DisconnectType.DISCONNECT)
        leaving.socket.close(linger=0)
    until(lambda: (len(guard._bindings), len(guard._by_descriptor), len(guard._severed)) == (1, 1, 0), staying.fence)


# Where nobody looks


@pytest.mark.parametrize(
    ("endpoint", "alone"),
    [
        ("tcp://127.0.0.1:1", True),
        ("tcp://127.3.2.1:1", True),
        ("tcp://[::1]:1", True),
        ("ipc:///tmp/socket", True),
        ("tcp://0.0.0.0:1", False),
        ("tcp://[::]:1", False),
        ("tcp://192.168.1.5:1", False),
        ("tcp://[fe80::1%eth0]:1", False),
    ],
)
def test_which_endpoints_are_for_this_machine(endpoint: str, alone: bool) -> None:
    assert is_loopback(endpoint) is alone


@pytest.mark.parametrize(
    ("endpoint", "curve", "warned"), [("*", False, True), ("*", True, False), ("127.0.0.1", False, False)]
)
def test_a_scheduler_that_others_can_reach_without_keys_warns(
    endpoint: str, curve: bool, warned: bool, keys: Path, caplog: pytest.LogCaptureFixture
) -> None:
    scheduler = Scheduler(f"tcp://{endpoint}:0", grace=0.0, curve=keys / "scheduler" if curve else None)
    scheduler.stop()
    scheduler.run()
    assert ("can be reached from other machines" in caplog.text) is warned
    assert ("rescind keys" in caplog.text) is warned


def test_real_processes_work_with_keys(tmp_path: Path, keys: Path) -> None:
    cluster = Cluster(tmp_path)
    try:
        cluster.start_scheduler("--curve", str(keys / "scheduler"), "--endpoint", "tcp://127.0.0.1:0")
        cluster.start_worker("--curve", str(keys / "workers/rack"), "--processes", "1")
        with Client(cluster.endpoint, curve=keys / "clients/alice") as client:
            assert client.submit(pow, 2, 10).result(HANG) == 1024
            slow = client.submit(time.sleep, 3600)
            other = Client(cluster.endpoint, curve=keys / "clients/mallory")
            assert slow.cancel(force=True)
            other.disconnect()
    finally:
        statuses = cluster.stop()
    assert statuses == [0, 0]
