"""Peers that mean harm, at a scheduler that runs: an honest client and worker beside them go on, and memory stays."""

from __future__ import annotations

import re
import signal
import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
import zmq
from cluster import COMMAND
from raw_peers import RawPeer, connected, framed

from rescind import wire
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
    TaskResult,
    WorkerHeartbeat,
    WorkerHeartbeatEcho,
)

HANG = 20_000
"""Milliseconds after which a test gives up waiting for what must come."""
MEGABYTE = 1 << 20
NOT_FOUND = CancelConfirmType.CANCEL_NOT_FOUND


@dataclass
class Honest:
    """A client or a worker that keeps the protocol, over ZeroMQ."""

    socket: zmq.Socket[bytes]
    heartbeat: Message

    def say(self, message: Message) -> None:
        self.socket.send(wire.encode(message))

    def hear(self) -> Message:
        return wire.decode(self.socket.recv())

    def fence(self) -> list[Message]:
        self.say(self.heartbeat)
        heard: list[Message] = []
        while not isinstance(message := self.hear(), ClientHeartbeatEcho | WorkerHeartbeatEcho):
            heard.append(message)
        return heard


@dataclass
class Attacked:
    """A scheduler in a process of its own, with an honest client and an honest worker."""

    process: subprocess.Popen[str]
    endpoint: str
    log: Path
    context: zmq.Context[zmq.Socket[bytes]] = field(default_factory=zmq.Context)
    rounds: int = 0

    def __post_init__(self) -> None:
        self.client = self.peer(b"honest client", ClientHeartbeat())
        self.worker = self.peer(b"honest worker", WorkerHeartbeat(queue_size=10_000))
        self.serves()
        self.memory = self._resident()

    def peer(self, name: bytes, heartbeat: Message) -> Honest:
        socket = self.context.socket(zmq.DEALER)
        for option, value in ((zmq.LINGER, 0), (zmq.RCVTIMEO, HANG), (zmq.SNDHWM, 0), (zmq.RCVHWM, 0)):
            socket.setsockopt(option, value)
        socket.setsockopt(zmq.ROUTING_ID, name)
        socket.connect(self.endpoint)
        honest = Honest(socket, heartbeat)
        assert honest.fence() == []
        return honest

    def serves(self) -> None:
        """The honest client gets the result of a task that the honest worker runs."""
        self.rounds += 1
        task = Task(b"honest %d" % self.rounds)
        self.client.say(task)
        while self.worker.hear() != task:
            pass
        self.worker.say(TaskResult(task.task_id))
        assert self.client.hear() == TaskResult(task.task_id)

    def grown(self) -> int:
        """Megabytes that the scheduler's process has more than at first."""
        return (self._resident() - self.memory) // MEGABYTE

    def _resident(self) -> int:
        return int(psutil.Process(self.process.pid).memory_info().rss)

    def logged(self, text: str) -> bool:
        """Whether the log says it by the end."""
        self.stop()
        return re.search(text, self.log.read_text(encoding="utf-8")) is not None

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(timeout=30) == 0


Attack = Callable[..., Attacked]


@pytest.fixture
def attack(tmp_path: Path) -> Iterator[Attack]:
    """Starts a scheduler with options; at the end it has to stop in order."""
    started: list[Attacked] = []

    def start(*options: str) -> Attacked:
        log = tmp_path / "log"
        command = [*COMMAND, "scheduler", "--endpoint", "tcp://127.0.0.1:0", "--grace", "0", *options]
        with log.open("w") as errors:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        assert process.stdout is not None
        endpoint = process.stdout.readline().removeprefix("listening on ").strip()
        started.append(Attacked(process, endpoint, log))
        return started[-1]

    yield start
    for each in started:
        try:
            each.stop()
        finally:
            each.process.kill()
            each.context.destroy(linger=0)


def test_a_flood_of_tasks_is_refused_beyond_the_limit(attack: Attack) -> None:
    attacked = attack("--max-tasks-per-client", "100")
    full = attacked.peer(b"idle worker", WorkerHeartbeat(queue_size=0))
    flood = attacked.peer(b"flood", ClientHeartbeat())
    attacked.worker.heartbeat = WorkerHeartbeat(queue_size=0)
    attacked.worker.fence()
    for number in range(20_000):
        flood.say(Task(b"flood %d" % number, metadata=bytes(1000)))
    refused = flood.fence()
    assert len(refused) == 19_900
    assert refused[0] == TaskCancelConfirm(b"flood 100", NOT_FOUND)
    assert full.fence() == []
    attacked.worker.heartbeat = WorkerHeartbeat(queue_size=10_000)
    attacked.worker.say(attacked.worker.heartbeat)
    attacked.serves()
    assert attacked.grown() < 40


def test_what_a_client_has_is_limited_in_bytes(attack: Attack) -> None:
    attacked = attack("--max-bytes-per-client", str(4 * MEGABYTE))
    attacked.worker.heartbeat = WorkerHeartbeat(queue_size=0)
    attacked.worker.fence()
    heavy = attacked.peer(b"heavy", ClientHeartbeat())
    for number in range(100):
        heavy.say(Task(b"heavy %d" % number, metadata=bytes(MEGABYTE // 2)))
    refused = heavy.fence()
    assert [each.task_id for each in refused if isinstance(each, TaskCancelConfirm)] == [
        b"heavy %d" % number for number in range(7, 100)
    ]
    heavy.say(TaskCancel(b"heavy 0"))
    heavy.say(Task(b"heavy again", metadata=bytes(MEGABYTE // 2)))
    assert heavy.fence() == [TaskCancelConfirm(b"heavy 0", CancelConfirmType.CANCELED)]
    assert attacked.grown() < 40
    assert attacked.logged("too many bytes")


def test_a_flood_of_garbage_is_counted_and_hurts_nobody(attack: Attack) -> None:
    attacked = attack()
    garbage = RawPeer(attacked.endpoint, b"garbage")
    for _ in range(50):
        garbage.socket.sendall(framed(b"\xff" * 40) * 1000)
        attacked.serves()
    garbage.say(ClientHeartbeat())
    assert isinstance(garbage.hear(), ClientHeartbeatEcho)
    assert attacked.grown() < 20
    assert attacked.logged(r"dropped in all: \{'too many segments': 50000\}")
    assert len(attacked.log.read_text(encoding="utf-8").splitlines()) < 40


def test_a_client_that_does_not_read_is_lost(attack: Attack) -> None:
    attacked = attack("--max-queue", "1000")
    deaf = RawPeer(attacked.endpoint, b"deaf")
    deaf.say(ClientHeartbeat())
    # Each is answered. What the connection itself holds, some megabytes, comes on top of the queue.
    for batch in range(200):
        deaf.say(*[TaskCancel(b"%d %d" % (batch, number)) for number in range(1000)])
        attacked.serves()
    assert attacked.grown() < 40
    assert "does not read" in attacked.log.read_text(encoding="utf-8")
    deaf.say(ClientHeartbeat())
    while deaf.hear() != ClientDisconnect(DisconnectType.DISCONNECT):
        deaf.say(ClientHeartbeat())
    attacked.serves()
    assert attacked.logged("lost, since it does not read what it is sent: deaf")


def test_a_worker_that_reads_is_not_lost_by_what_comes_for_it_at_once(attack: Attack) -> None:
    attacked = attack("--max-queue", "1000", "--max-tasks-per-worker", "500", "--max-nodes-per-graph", "500")
    attacked.worker.heartbeat = WorkerHeartbeat(queue_size=0)
    attacked.worker.fence()
    leaving = attacked.peer(b"leaving", ClientHeartbeat())
    for number in range(3000):
        leaving.say(Task(b"task %d" % number))
    assert leaving.fence() == []
    reads = attacked.peer(b"reads", WorkerHeartbeat())
    reads.heartbeat = WorkerHeartbeat(queue_size=2**32 - 1)
    assert reads.fence() == [Task(b"task %d" % number) for number in range(500)]
    leaving.say(ClientDisconnect(DisconnectType.DISCONNECT))
    assert [reads.hear() for _ in range(500)] == [TaskCancel(b"task %d" % number, force=True) for number in range(500)]
    attacked.worker.say(WorkerHeartbeat(queue_size=10_000))
    attacked.serves()


def test_the_tasks_of_a_worker_that_does_not_read_run_elsewhere(attack: Attack) -> None:
    attacked = attack("--max-queue", "100")
    deaf = RawPeer(attacked.endpoint, b"deaf")
    attacked.worker.heartbeat = WorkerHeartbeat(queue_size=0)
    attacked.worker.fence()
    deaf.say(WorkerHeartbeat(queue_size=100_000))
    assert isinstance(deaf.hear(), WorkerHeartbeatEcho)
    expected = [b"heavy %d" % number for number in range(600)]
    for each in expected:
        attacked.client.say(Task(each, metadata=bytes(100_000)))
    assert attacked.client.fence() == []
    attacked.worker.say(WorkerHeartbeat(queue_size=20))
    for _ in expected:
        while not isinstance(message := attacked.worker.hear(), Task):
            pass
        attacked.worker.say(TaskResult(message.task_id))
    results = [attacked.client.hear() for _ in expected]
    assert sorted(results, key=repr) == sorted(map(TaskResult, expected), key=repr)
    assert attacked.logged("lost, since it does not read what it is sent: deaf")


def test_a_frame_that_is_too_large_is_dropped_and_a_huge_one_is_not_even_read(attack: Attack) -> None:
    attacked = attack("--max-frame-bytes", str(MEGABYTE))
    client = attacked.peer(b"large", ClientHeartbeat())
    attacked.worker.heartbeat = WorkerHeartbeat(queue_size=0)
    attacked.worker.fence()
    without = len(wire.encode(Task(b"fits", metadata=bytes(MEGABYTE // 2)))) - MEGABYTE // 2
    largest = Task(b"fits", metadata=bytes(MEGABYTE - without))
    assert len(wire.encode(largest)) == MEGABYTE
    client.say(largest)
    client.say(Task(b"does not", metadata=bytes(MEGABYTE)))
    client.say(TaskCancel(b"fits"))
    client.say(TaskCancel(b"does not"))
    assert client.fence() == [
        TaskCancelConfirm(b"fits", CancelConfirmType.CANCELED),
        TaskCancelConfirm(b"does not", NOT_FOUND),
    ]
    huge = RawPeer(attacked.endpoint, b"huge")
    huge.socket.sendall(b"\x02" + struct.pack(">Q", 3 * MEGABYTE))
    assert huge.is_closed()
    attacked.worker.say(WorkerHeartbeat(queue_size=10))
    attacked.serves()
    assert attacked.grown() < 40
    assert attacked.logged(r"dropped: too large \(peer large")


def test_a_task_id_that_collides_is_refused_and_the_first_owner_loses_nothing(attack: Attack) -> None:
    attacked = attack()
    thief = attacked.peer(b"thief", ClientHeartbeat())
    attacked.client.say(Task(b"mine"))
    assert attacked.worker.hear() == Task(b"mine")
    for _ in range(1000):
        thief.say(Task(b"mine", metadata=b"other"))
        thief.say(TaskCancel(b"mine", force=True))
        thief.say(TaskResult(b"mine"))
    assert thief.fence() == [TaskCancelConfirm(b"mine", NOT_FOUND)] * 2000
    assert attacked.worker.fence() == []
    attacked.worker.say(TaskResult(b"mine"))
    assert attacked.client.hear() == TaskResult(b"mine")
    attacked.serves()


def test_a_second_connection_under_an_id_in_use_is_not_heard(attack: Attack) -> None:
    attacked = attack()
    attacked.client.say(Task(b"mine"))
    assert attacked.worker.hear() == Task(b"mine")
    stolen = RawPeer(attacked.endpoint, b"honest client")
    stolen.say(TaskCancel(b"mine", force=True), ClientDisconnect(DisconnectType.DISCONNECT), Task(b"theirs"))
    stolen.socket.settimeout(2)
    with pytest.raises(TimeoutError):  # nothing more of it is read, and it has to wait
        stolen.socket.sendall(framed(bytes(100_000)) * 1000)
    assert attacked.worker.fence() == []
    attacked.worker.say(TaskResult(b"mine"))
    assert attacked.client.hear() == TaskResult(b"mine")
    attacked.serves()
    assert attacked.grown() < 40


def test_whoever_comes_under_an_id_that_nobody_has_is_taken_for_its_owner(attack: Attack) -> None:
    """Nothing but a key could tell them apart (SPEC.md, section 13)."""
    attacked = attack()
    first = attacked.peer(b"first", ClientHeartbeat())
    first.say(Task(b"mine"))
    assert attacked.worker.hear() == Task(b"mine")
    first.socket.close()
    heir = None
    while heir is None:  # until the scheduler has seen that the first is gone
        candidate = RawPeer(attacked.endpoint, b"first")
        candidate.socket.settimeout(0.5)
        candidate.say(ClientHeartbeat())
        with suppress(TimeoutError):
            assert isinstance(candidate.hear(), ClientHeartbeatEcho)
            heir = candidate
    heir.say(TaskCancel(b"mine", force=True))
    assert attacked.worker.hear() == TaskCancel(b"mine", force=True)
    attacked.serves()


def test_heartbeats_without_end_are_answered_and_hold_up_nobody(attack: Attack) -> None:
    attacked = attack()
    eager = [attacked.peer(b"eager client", ClientHeartbeat()), attacked.peer(b"eager", WorkerHeartbeat())]
    for _ in range(100):
        for each in eager:
            for _ in range(100):
                each.say(each.heartbeat)
        attacked.serves()
    for each in eager:
        echoes = [each.hear() for _ in range(10_000)]
        assert all(isinstance(echo, ClientHeartbeatEcho | WorkerHeartbeatEcho) for echo in echoes)
        assert each.fence() == []
    assert attacked.grown() < 20


def test_connections_that_say_nothing_are_closed(attack: Attack) -> None:
    attacked = attack("--handshake-timeout", "1")
    silent = [connected(attacked.endpoint) for _ in range(200)]
    halfway = [connected(attacked.endpoint) for _ in range(200)]
    for each in halfway:
        each.sendall(b"\xff" + bytes(8) + b"\x7f")
    attacked.serves()
    for each in (*silent, *halfway):
        while each.recv(64):  # its greeting; then nothing, since it has closed the connection
            pass
        each.close()
    attacked.serves()
    assert attacked.grown() < 20
