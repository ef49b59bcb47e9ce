"""The dissector for Wireshark, with tshark: on a capture of our own traffic, on every test vector, on garbage."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import zmq
from packets import GREETING, capture, fields, framed, needs_tshark, ready, tshark

from rescind import wire
from rescind.messages import (
    CancelConfirmType,
    ClientHeartbeat,
    Message,
    Task,
    TaskCancel,
    TaskCancelConfirm,
    TaskResult,
    WorkerHeartbeat,
)

pytestmark = needs_tshark

VECTORS = Path(__file__).parent.parent.parent / "protocol" / "vectors"
CONVERSATION = Path(__file__).parent / "captures" / "conversation.pcap"
HANG = 30.0
T = bytes(range(16))
HANDSHAKE = [
    (True, GREETING[:11]),
    (False, GREETING[:11]),
    (True, GREETING[11:]),
    (False, GREETING[11:]),
    (True, ready(b"DEALER", b"Client|a|1f3c")),
    (False, ready(b"ROUTER")),
]
READ_AS_SOUND = {
    "amplified-sharing",
    "amplified-structs",
    "pointer-in-list",
    *("text-not-utf8", "text-not-utf8-in-list", "text-overlong", "text-surrogate", "text-cut"),
}
"""Malformed in fields that the dissector does not read, or in ways that do not matter to who only looks."""


def infos(path: Path, *options: str) -> list[str]:
    return [line[0] for line in fields(path, ["_ws.col.Info"], *options)]


def test_a_capture_reads_as_a_conversation() -> None:
    """A client, a scheduler and a worker as they really spoke; recorded with tcpdump."""
    said = infos(CONVERSATION)
    assert said[:7] == [
        "greeting ZMTP 3.1 NULL",
        "greeting ZMTP 3.1 NULL",
        "Client|vm|f76b… → scheduler  READY DEALER Client|vm|f76bbe5cacb1472dbfb17661f793e417",
        "scheduler → Client|vm|f76b…  READY ROUTER",
        "Client|vm|f76b… → scheduler  ClientHeartbeat",
        "scheduler → Client|vm|f76b…  ClientHeartbeatEcho",
        "Client|vm|f76b… → scheduler  Task a4285074…",
    ]
    of_one = [line for line in said if "8b02546f…" in line]
    client, worker = "Client|vm|f76b…", "Worker|worker|a9ac…"
    assert of_one == [
        f"{client} → scheduler  Task 8b02546f…",
        f"scheduler → {worker}  Task 8b02546f…",
        f"{client} → scheduler  TaskCancel 8b02546f…",
        f"scheduler → {worker}  TaskCancel 8b02546f…",
        f"{worker} → scheduler  TaskCancelConfirm 8b02546f… cancelFailed",
        f"scheduler → {client}  TaskCancelConfirm 8b02546f… cancelFailed",
        f"{client} → scheduler  TaskCancel 8b02546f… force",
        f"scheduler → {worker}  TaskCancel 8b02546f… force",
        f"{worker} → scheduler  TaskCancelConfirm 8b02546f… canceled",
        f"scheduler → {client}  TaskCancelConfirm 8b02546f… canceled",
    ]
    assert "GraphTask 0b83a343… of 2 tasks" in "\n".join(said)
    assert said[-1] == f"{worker} → scheduler  WorkerDisconnectNotification"


def test_it_reads_the_same_when_packets_are_read_twice() -> None:
    """Wireshark dissects a packet again whenever it is shown."""
    again = infos(CONVERSATION, "-2")
    assert again[0] == "Client|vm|f76b… → scheduler  greeting ZMTP 3.1 NULL"  # by then it knows who that is
    assert [line for line in again if "greeting" not in line and "READY" not in line] == [
        line for line in infos(CONVERSATION) if "greeting" not in line and "READY" not in line
    ]


@pytest.mark.parametrize(
    ("filter_", "count"),
    [
        ("rescind.force == true", 2),
        ("rescind.kind == TaskCancel && rescind.to_scheduler == true", 3),
        ("rescind.confirm_type == 1", 2),
        ("rescind.result_type == 1", 2),
        ('rescind.content contains "hello"', 2),
        ('rescind.peer contains "Worker"', None),
        ("rescind.malformed", 0),
        ("rescind.queue_size == 1000", 1),
        ("rescind.nodes == 2", 1),
    ],
)
def test_filters(filter_: str, count: int | None) -> None:
    found = tshark(CONVERSATION, "-Y", filter_).splitlines()
    assert len(found) == count if count is not None else len(found) > 5


def as_frames(path: Path, frames: Sequence[bytes]) -> Path:
    """A capture with each of these in a packet of its own, from a client."""
    return capture(path, [*HANDSHAKE, *((True, framed(one)) for one in frames)])


def index() -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = []
    for entry in json.loads((VECTORS / "index.json").read_text())["vectors"]:
        name = entry["name"] if isinstance(entry, dict) else entry
        entries.append({"name": name, **json.loads((VECTORS / f"{name}.json").read_text())})
    return entries


def test_each_vector_is_read_as_its_json_says(tmp_path: Path) -> None:
    entries = index()
    frames = [(VECTORS / f"{entry['name']}.bin").read_bytes() for entry in entries]
    names = ["rescind.kind", "rescind.task_id", "rescind.force", "rescind.queue_size"]
    read = fields(as_frames(tmp_path / "vectors.pcap", frames), names)[-len(frames) :]
    assert len(read) == len(entries) > 100
    sound = set()
    for entry, (kind, task_ids, force, queue_size) in zip(entries, read, strict=True):
        if entry["expect"] in ("message", "accept"):
            (member, body), *_ = entry["message"].items()
            assert kind.lower() == member.lower(), entry["name"]
            if "taskId" in body:
                assert task_ids.split(",")[0] == body["taskId"], entry["name"]
            if member == "taskCancel":
                assert (force in ("1", "True")) == body["flags"]["force"], entry["name"]
            if member == "workerHeartbeat":
                assert int(queue_size) == body["queueSize"], entry["name"]
        elif entry["name"].startswith("malformed/") and kind != "malformed":
            sound.add(entry["name"].removeprefix("malformed/"))
    assert sound == READ_AS_SOUND


def test_garbage_is_told_and_never_stops_it(tmp_path: Path) -> None:
    """Bytes changed at random in frames of every kind, and frames of nothing but random bytes."""
    draws = random.Random(20)
    frames = []
    for entry in index():
        frame = bytearray((VECTORS / f"{entry['name']}.bin").read_bytes()[:4000])
        for _ in range(10):
            bent = bytearray(frame)
            for _ in range(draws.randint(1, 8)):
                if bent:
                    bent[draws.randrange(len(bent))] = draws.choice([0, 1, 2, 6, 0x7F, 0xFF, draws.randrange(256)])
            frames.append(bytes(bent[: draws.randint(0, len(bent))] if draws.random() < 0.2 else bent))
    frames += [draws.randbytes(draws.randint(0, 300)) for _ in range(300)]
    read = fields(as_frames(tmp_path / "garbage.pcap", frames), ["rescind.kind"])[-len(frames) :]
    assert len(read) == len(frames)
    assert sum(kind == "malformed" for (kind,) in read) > len(frames) / 3


def test_what_is_no_zmtp_is_told(tmp_path: Path) -> None:
    said = infos(
        capture(tmp_path / "x.pcap", [*HANDSHAKE, (True, b"GET / HTTP/1.1\r\n\r\n"), (False, b"\x02\xff" * 9)])
    )
    assert said[-2:] == [
        "Client|a|1f3c → scheduler  not ZMTP 3: flags 0x47",
        "scheduler → Client|a|1f3c  not ZMTP 3: a frame of 18375529817958449152 bytes",
    ]


def test_random_bytes_as_a_connection(tmp_path: Path) -> None:
    draws = random.Random(3)
    for number in range(5):
        garbage = [(draws.random() < 0.5, draws.randbytes(draws.randint(1, 200))) for _ in range(50)]
        path = capture(tmp_path / f"{number}.pcap", garbage)
        tshark(path, "-d", "tcp.port==6378,rescind", "-V")
        tshark(capture(tmp_path / "behind.pcap", [*HANDSHAKE, *garbage]), "-V")


MESSAGES: list[Message] = [
    ClientHeartbeat(hostname="h" * 300),
    Task(T, metadata=bytes(5000)),
    TaskCancel(T, force=True),
    TaskCancel(b"t"),
]
SAID = ["ClientHeartbeat", "Task 00010203…", "TaskCancel 00010203… force", "TaskCancel 74"]


@pytest.mark.parametrize("size", [1, 7, 100, 60_000])
def test_messages_are_put_together(tmp_path: Path, size: int) -> None:
    """However TCP has cut them, or put several into one segment."""
    data = b"".join(framed(wire.encode(message)) for message in MESSAGES)
    cut = [(True, data[at : at + size]) for at in range(0, len(data), size)]
    said = infos(capture(tmp_path / "cut.pcap", [*HANDSHAKE, *cut]))[4:]
    assert ", ".join(line.removeprefix("Client|a|1f3c → scheduler  ") for line in said) == ", ".join(SAID)


def test_several_frames_in_a_message_are_told(tmp_path: Path) -> None:
    cancel = wire.encode(TaskCancel(T))
    data = [framed(b"", flags=1) + framed(cancel), framed(cancel)]
    said = infos(capture(tmp_path / "several.pcap", [*HANDSHAKE, *((True, one) for one in data)]))
    assert said[-2:] == [
        "Client|a|1f3c → scheduler  frame 1 of several, frame 2 of several",
        "Client|a|1f3c → scheduler  TaskCancel 00010203…",
    ]


def test_a_connection_whose_beginning_is_missing(tmp_path: Path) -> None:
    path = capture(tmp_path / "late.pcap", [(True, framed(wire.encode(TaskResult(T))))])
    assert infos(path) == []
    assert infos(path, "-d", "tcp.port==6378,rescind") == ["TaskResult 00010203… success"]


@pytest.mark.skipif(shutil.which("tcpdump") is None, reason="tcpdump is not installed")
def test_live_on_loopback(tmp_path: Path) -> None:
    """Frames that ZeroMQ itself sends."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    scheduler, worker = context.socket(zmq.ROUTER), context.socket(zmq.DEALER)
    port = scheduler.bind_to_random_port("tcp://127.0.0.1")
    path = tmp_path / "live.pcap"
    command = [
        "tcpdump",
        "-i",
        "lo",
        "-U",
        "-s",
        "0",
        "-Z",
        "root",
        "-w",
        str(path),
        f"tcp port {port}",
    ]
    capturing = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert capturing.stderr is not None
        began = capturing.stderr.readline()
        if "listening" not in began:
            pytest.skip(f"tcpdump may not capture here: {began.strip()}")
        for socket in (scheduler, worker):
            socket.setsockopt(zmq.RCVTIMEO, int(HANG * 1000))
            socket.setsockopt(zmq.LINGER, 0)
        worker.setsockopt(zmq.IDENTITY, b"Worker|w|09be")
        worker.connect(f"tcp://127.0.0.1:{port}")
        worker.send(wire.encode(WorkerHeartbeat(queue_size=7)))
        scheduler.recv_multipart()
        scheduler.send_multipart([b"Worker|w|09be", wire.encode(TaskCancel(T, force=True))])
        worker.recv()
        worker.send(wire.encode(TaskCancelConfirm(T, CancelConfirmType.CANCEL_NOT_FOUND)))
        scheduler.recv_multipart()
        wait_for_bytes(path, wire.encode(TaskCancelConfirm(T, CancelConfirmType.CANCEL_NOT_FOUND)), worker)
    finally:
        capturing.terminate()
        capturing.communicate(timeout=HANG)
        context.destroy(linger=0)
    assert infos(path)[4:7] == [
        "Worker|w|09be → scheduler  WorkerHeartbeat queueSize 7",
        "scheduler → Worker|w|09be  TaskCancel 00010203… force",
        "Worker|w|09be → scheduler  TaskCancelConfirm 00010203… cancelNotFound",
    ]


def wait_for_bytes(path: Path, content: bytes, worker: zmq.Socket[bytes]) -> None:
    """Return when the file has them. Bounded. The last packet may not be written before another one comes."""
    pause = threading.Event()
    for _ in range(int(HANG * 10)):
        if content in path.read_bytes():
            return
        worker.send(wire.encode(WorkerHeartbeat()))
        pause.wait(0.1)
    pytest.fail("tcpdump has not seen it")
