"""The tap as a program would meet it: peers and a scheduler played over ZeroMQ, the relay in between."""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest
import zmq
from zmq.utils.monitor import recv_monitor_message

from rescind import wire
from rescind.messages import (
    Message,
    Task,
    TaskCancel,
    TaskResult,
    WorkerHeartbeat,
)
from rescind.trace import TraceEvent, TraceRecord
from rescind_conformance.tap.addresses import address_of
from rescind_conformance.tap.audience import Screen
from rescind_conformance.tap.relay import Relay
from rescind_conformance.tap.rules import Action, Rules, parse_rule
from rescind_conformance.tap.session import Session

HANG = 30.0
W1, W2 = b"Worker|w|1", b"Worker|w|2"


class Heard:
    """An audience that remembers."""

    def __init__(self) -> None:
        self.records: list[TraceRecord] = []
        self.events: list[TraceEvent] = []
        self.remarks: list[str] = []
        self.lines: list[str] = []
        self._screen = Screen(self.lines.append, heartbeats=True)
        self.changed = threading.Condition()

    def hear(self, record: TraceRecord | TraceEvent, remark: str) -> None:
        with self.changed:
            if isinstance(record, TraceEvent):
                self.events.append(record)
            else:
                self.records.append(record)
                self.remarks.append(remark)
            self._screen.hear(record, remark)
            self.changed.notify_all()

    def unreachable(self) -> None:
        with self.changed:
            self._screen.unreachable()
            self.changed.notify_all()

    def wait_for(self, happened: Callable[[], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(happened, HANG), self.lines


class Stage:
    """A scheduler and peers, played by the test, and the tap."""

    def __init__(self, *rules: tuple[Action, str], seed: int = 0, unread: bool = False) -> None:
        self.rules = Rules(random.Random(seed))
        for action, text in rules:
            self.rules.add(parse_rule(action, text))
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.scheduler = self.socket(zmq.ROUTER)
        port = self.scheduler.bind_to_random_port("tcp://127.0.0.1")
        self.heard = Heard()
        self.session = Session(self.rules, [self.heard])
        near, far = address_of("tcp://127.0.0.1:0", to_bind=True), address_of(f"tcp://127.0.0.1:{port}")
        self.relay = Relay(near, far, None if unread else self.session)
        self.rules.on_release = self.relay.look_again
        self.thread = threading.Thread(target=self.relay.run)
        self.thread.start()
        self.peers: dict[bytes, zmq.Socket[bytes]] = {}

    def socket(self, kind: int) -> zmq.Socket[bytes]:
        made = self.context.socket(kind)
        made.setsockopt(zmq.RCVTIMEO, int(HANG * 1000))
        for option in (zmq.LINGER, zmq.SNDHWM, zmq.RCVHWM):
            made.setsockopt(option, 0)
        return made

    def join(self, name: bytes) -> zmq.Socket[bytes]:
        """A peer whose first message has reached the scheduler."""
        self.peers[name] = self.socket(zmq.DEALER)
        self.peers[name].setsockopt(zmq.IDENTITY, name)
        self.peers[name].connect(self.relay.endpoint)
        self.peers[name].send(wire.encode(WorkerHeartbeat(queue_size=9)))
        assert self.scheduler.recv_multipart() == [name, wire.encode(WorkerHeartbeat(queue_size=9))]
        return self.peers[name]

    def tell(self, name: bytes, *messages: Message) -> None:
        for message in messages:
            self.scheduler.send_multipart([name, wire.encode(message)])

    def told(self, name: bytes, count: int) -> list[Message]:
        return [wire.decode(self.peers[name].recv()) for _ in range(count)]

    def close(self) -> None:
        self.relay.stop()
        self.thread.join(HANG)
        assert not self.thread.is_alive()
        self.session.close()
        self.context.destroy(linger=0)


@contextmanager
def staged(*rules: tuple[Action, str], seed: int = 0, unread: bool = False) -> Iterator[Stage]:
    stage = Stage(*rules, seed=seed, unread=unread)
    try:
        yield stage
    finally:
        stage.close()


def test_a_look_at_what_waits_spares_a_connection_that_is_being_made() -> None:
    with socket.create_server(("127.0.0.1", 0)) as scheduler:
        near, far = (
            address_of(f"tcp://127.0.0.1:{port}", to_bind=not port) for port in (0, scheduler.getsockname()[1])
        )
        relay = Relay(near, far)
        with socket.create_connection(("127.0.0.1", int(relay.endpoint.rpartition(":")[2])), HANG) as peer:
            relay.run_soon(relay.look_again)  # the first turn accepts the peer, and then looks
            thread = threading.Thread(target=relay.run)
            thread.start()
            try:
                scheduler.settimeout(HANG)
                taken, _ = scheduler.accept()
                with taken:
                    taken.settimeout(HANG)
                    peer.sendall(b"to the scheduler")
                    assert taken.recv(100) == b"to the scheduler"
                    taken.sendall(b"from the scheduler")
                    assert peer.recv(100) == b"from the scheduler"
            finally:
                relay.stop()
                thread.join(HANG)


def tasks(names: Sequence[int]) -> list[Message]:
    return [Task(b"%d" % name) for name in names]


def test_frames_pass_as_they_are() -> None:
    """Unknown, malformed, empty, several at once, large: none of them is ours to change."""
    odd = [
        [b""],
        [b"no message"],
        [b"several", b"", b"frames"],
        [bytes(range(256)) * 40_000],
        [wire.encode(TaskCancel(b"T")), wire.encode(TaskCancel(b"T"))],
    ]
    for unread in (True, False):
        with staged(unread=unread) as stage:
            worker = stage.join(W1)
            for frames in odd:
                worker.send_multipart(frames)
                assert stage.scheduler.recv_multipart() == [W1, *frames]
                stage.scheduler.send_multipart([W1, *frames])
                assert worker.recv_multipart() == frames
        notes = [one.note for one in stage.heard.records[1:]]
        assert notes[4:6] == (["3 frames in one message"] * 2 if not unread else [])
        assert len(notes) == (0 if unread else 2 * len(odd))


def test_a_connection_with_keys_passes_unread_and_that_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with staged((Action.DROP, "Task")) as stage:
        scheduler_key, scheduler_secret = zmq.curve_keypair()
        secret_scheduler = stage.socket(zmq.ROUTER)
        secret_scheduler.curve_server = True
        secret_scheduler.curve_publickey, secret_scheduler.curve_secretkey = scheduler_key, scheduler_secret
        port = secret_scheduler.bind_to_random_port("tcp://127.0.0.1")
        near, far = address_of("tcp://127.0.0.1:0", to_bind=True), address_of(f"tcp://127.0.0.1:{port}")
        relay = Relay(near, far, stage.session)
        thread = threading.Thread(target=relay.run)
        thread.start()
        try:
            client = stage.socket(zmq.DEALER)
            client.setsockopt(zmq.IDENTITY, b"C1")
            client.curve_publickey, client.curve_secretkey = zmq.curve_keypair()
            client.curve_serverkey = scheduler_key
            client.connect(relay.endpoint)
            for message in (Task(b"T1"), TaskCancel(b"T1")):
                client.send(wire.encode(message))
                assert secret_scheduler.recv_multipart() == [b"C1", wire.encode(message)]
        finally:
            relay.stop()
            thread.join(HANG)
        assert caplog.text.count("is encrypted (CURVE): it is passed on, and neither shown") == 1
        assert stage.heard.records == []


def test_what_is_shown() -> None:
    with staged((Action.DROP, "TaskResult:1")) as stage:
        worker = stage.join(W1)
        stage.tell(W1, Task(b"\x01\x02"), TaskCancel(b"\x01\x02", force=True))
        assert len(stage.told(W1, 2)) == 2
        for frame in (wire.encode(TaskResult(b"\x01\x02")), b"nonsense", wire.encode(TaskResult(b"\x01\x02"))):
            worker.send(frame)
        stage.scheduler.recv_multipart()
        stage.scheduler.recv_multipart()
        stage.heard.wait_for(lambda: len(stage.heard.records) == 6)
    shown = [line[12:] for line in stage.heard.lines]
    assert shown[:5] == [
        " W1 is Worker|w|1",
        " W1 -> S    WorkerHeartbeat queueSize 9",
        "  S -> W1   Task T1   (0102)",
        "  S -> W1   TaskCancel T1 force",
        " W1 -> S    TaskResult T1 success   (dropped)",
    ]
    assert shown[5].startswith(" W1 -> S    malformed: ")
    assert shown[6] == " W1 -> S    TaskResult T1 success"


RULES = [
    (Action.DELAY, "Task=0..0.01"),
    (Action.DELAY, "*%30=0..0.02"),
    (Action.DELAY, "TaskCancel@W1=0.01"),
    (Action.HOLD, "Task@W1:1 until Task@W2"),
    (Action.HOLD, "TaskCancel:2 until TaskResult"),
]


@pytest.mark.parametrize("seed", range(12))
def test_order_within_a_connection_is_kept(seed: int) -> None:
    """Whatever waits, for whatever reason: nothing on the same connection and direction overtakes it."""
    draws = random.Random(seed)
    rules = draws.sample(RULES, draws.randint(1, 3))
    conversation = [(draws.random() < 0.5, draws.random() < 0.5, draws.randrange(6)) for _ in range(60)]
    with staged(*rules, seed=seed) as stage:
        workers = [stage.join(W1), stage.join(W2)]
        down: dict[bytes, list[Message]] = {W1: [], W2: []}
        up: dict[bytes, list[Message]] = {W1: [], W2: []}
        for number, (to_worker, first, kind) in enumerate(conversation):
            name = W1 if first else W2
            task = b"%d" % (number if kind else 0)
            if to_worker:
                message: Message = TaskCancel(task) if kind == 1 else Task(task)
                down[name].append(message)
                stage.tell(name, message)
            else:
                message = TaskResult(task)
                up[name].append(message)
                workers[not first].send(wire.encode(message))
        everything = 2 + len(conversation)
        stage.heard.wait_for(lambda: sum(one.leg != "out" for one in stage.heard.records) == everything)
        stage.relay.run_soon(stage.rules.clear)  # what a hold waits for may never come
        came: dict[bytes, list[Message]] = {W1: [], W2: []}
        for _ in range(len(up[W1]) + len(up[W2])):
            sender, frame = stage.scheduler.recv_multipart()
            came[sender].append(wire.decode(frame))
        assert came == up
        for name in (W1, W2):
            assert stage.told(name, len(down[name])) == down[name]


def test_connections_overtake_one_another() -> None:
    """A hold on one of them is how orders between connections are made."""
    with staged((Action.HOLD, "Task@W1:1 until Task@W2")) as stage:
        stage.join(W1)
        stage.join(W2)
        stage.tell(W1, Task(b"a"), Task(b"b"))
        stage.heard.wait_for(lambda: len(stage.heard.records) == 4)
        assert stage.peers[W1].poll(0) == 0
        stage.tell(W2, Task(b"a"))
        assert stage.told(W2, 1) == [Task(b"a")]
        assert stage.told(W1, 2) == [Task(b"a"), Task(b"b")]
        stage.heard.wait_for(lambda: len(stage.heard.records) == 7)
    assert [
        (one.receiver, one.leg, remark) for one, remark in zip(stage.heard.records, stage.heard.remarks, strict=True)
    ][2:] == [
        ("Worker|w|1", "in", "held until Task@W2"),
        ("Worker|w|1", "in", "waits behind another"),
        ("Worker|w|2", "", ""),
        ("Worker|w|1", "out", "goes on"),
        ("Worker|w|1", "out", "goes on"),
    ]


def test_a_cancel_is_held_until_the_result_of_the_same_task() -> None:
    with staged((Action.HOLD, "TaskCancel@W:1 until TaskResult")) as stage:
        worker = stage.join(W1)
        stage.tell(W1, TaskCancel(b"x"))
        stage.heard.wait_for(lambda: len(stage.heard.records) == 2)
        worker.send(wire.encode(TaskResult(b"y")))
        assert wire.decode(stage.scheduler.recv_multipart()[1]) == TaskResult(b"y")
        assert worker.poll(0) == 0
        worker.send(wire.encode(TaskResult(b"x")))
        assert stage.told(W1, 1) == [TaskCancel(b"x")]
        assert wire.decode(stage.scheduler.recv_multipart()[1]) == TaskResult(b"x")


@pytest.mark.parametrize(
    ("rules", "arrive"),
    [
        ([(Action.DROP, "Task:1")], [2, 3]),
        ([(Action.DROP, "Task")], []),
        ([(Action.DROP, "task@W1:2")], [3]),
        ([(Action.DROP, "Task@W2")], [1, 2, 3]),
        ([(Action.DROP, "Task@C")], [1, 2, 3]),
        ([(Action.DROP, "TaskResult")], [1, 2, 3]),
        ([(Action.DROP, "Task@Worker|w|1:1")], [2, 3]),
        ([(Action.DUPLICATE, "Task:1")], [1, 1, 2, 3]),
        ([(Action.DUPLICATE, "Task:2"), (Action.DELAY, "Task:1=0.01")], [1, 1, 2, 2, 3]),
        ([(Action.DUPLICATE, "Task:1"), (Action.DUPLICATE, "Task:1")], [1, 1, 1, 2, 3]),
    ],
)
def test_dropped_and_duplicated_as_ordered(rules: list[tuple[Action, str]], arrive: list[int]) -> None:
    with staged(*rules) as stage:
        stage.join(W1)
        stage.tell(W1, *tasks([1, 2, 3]), TaskCancel(b"end"))
        assert stage.told(W1, len(arrive) + 1) == [*tasks(arrive), TaskCancel(b"end")]


def test_random_rules_draw_the_same_from_the_same_seed() -> None:
    def arrived(seed: int) -> list[Message]:
        with staged((Action.DROP, "Task%50"), seed=seed) as stage:
            stage.join(W1)
            stage.tell(W1, *tasks(range(64)), TaskCancel(b"end"))
            got: list[Message] = []
            while not isinstance((message := wire.decode(stage.peers[W1].recv())), TaskCancel):
                got.append(message)
            return got

    first = arrived(7)
    assert 10 < len(first) < 54
    assert arrived(7) == first
    assert arrived(8) != first


def lost(monitor: zmq.Socket[bytes]) -> bool:
    """Whether the connection drops."""
    while monitor.poll(int(HANG * 1000)):
        if recv_monitor_message(monitor)["event"] == zmq.EVENT_DISCONNECTED:
            return True
    return False


def test_a_peer_that_has_gone_is_gone_for_the_scheduler() -> None:
    with staged() as stage:
        stage.join(W1)
        stage.tell(W1, Task(b"a"))
        assert stage.told(W1, 1) == [Task(b"a")]
        monitor = stage.scheduler.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        stage.peers[W1].close(linger=0)
        assert lost(monitor)
        stage.scheduler.disable_monitor()
        stage.heard.wait_for(lambda: len(stage.heard.events) == 2)
    assert [(one.event, one.details.get("by")) for one in stage.heard.events] == [
        ("connection opened", None),
        ("connection closed", "peer"),
    ]


def test_what_a_peer_said_before_it_went_still_arrives() -> None:
    """Delayed or not: its messages are before its end."""
    with staged((Action.DELAY, "TaskResult=0.05")) as stage:
        worker = stage.join(W1)
        for number in range(5):
            worker.send(wire.encode(TaskResult(b"%d" % number)))
        worker.close(linger=int(HANG * 1000))
        said = [wire.decode(stage.scheduler.recv_multipart()[1]) for _ in range(5)]
        assert said == [TaskResult(b"%d" % number) for number in range(5)]


def test_a_scheduler_that_has_gone_is_gone_for_its_peers() -> None:
    with staged() as stage:
        worker = stage.join(W1)
        monitor = worker.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        stage.scheduler.close(linger=0)
        assert lost(monitor)
        worker.disable_monitor()
        stage.heard.wait_for(lambda: any("cannot be reached" in line for line in stage.heard.lines))
        assert stage.heard.events[-1].details["by"] == "scheduler"
        # It comes back at the same place, and so does the peer.
        back = stage.socket(zmq.ROUTER)
        back.bind(f"tcp://127.0.0.1:{stage.relay._scheduler.place[1]}")
        worker.send(wire.encode(TaskResult(b"x")))
        assert back.recv_multipart() == [W1, wire.encode(TaskResult(b"x"))]


def test_what_is_held_does_not_keep_a_connection_that_has_gone() -> None:
    with staged((Action.HOLD, "Task")) as stage:
        stage.join(W1)
        stage.tell(W1, Task(b"a"))
        stage.heard.wait_for(lambda: len(stage.heard.records) == 2)
        stage.peers[W1].close(linger=0)
        stage.heard.wait_for(lambda: len(stage.heard.events) == 2)


def test_a_flood_in_both_directions_passes_whole() -> None:
    """More than sockets take at once."""
    for unread in (True, False):
        with staged(unread=unread) as stage:
            worker = stage.join(W1)
            blocks = [bytes([number]) * 100_000 for number in range(200)]
            for block in blocks:
                worker.send(block)
                stage.scheduler.send_multipart([W1, block])
            assert [stage.scheduler.recv_multipart()[1] for _ in blocks] == blocks
            assert [worker.recv() for _ in blocks] == blocks
