"""A peer's connection to its scheduler, as ZeroMQ makes and ends it (SPEC.md, T1, T4 and T7)."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path
from typing import Any

import pytest
import zmq

from rescind import scheduler_connection
from rescind.curve import Role
from rescind.scheduler_connection import SchedulerConnection

HANG = 30.0
"""Seconds after which a test gives up."""
GREETING = b"\xff" + bytes(7) + b"\1\x7f\3\0NULL" + bytes(48)
"""How a peer of ZeroMQ begins that uses no keys."""


def test_what_came_before_the_connection_ended_is_received() -> None:
    """ZeroMQ may tell of both at one moment; what a scheduler says as it ends must not be lost (S9.10)."""
    for _ in range(5):
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        scheduler: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        router = scheduler.socket(zmq.ROUTER)
        endpoint = f"tcp://127.0.0.1:{router.bind_to_random_port('tcp://127.0.0.1')}"
        connection = SchedulerConnection(context, endpoint, b"C1", Role.CLIENT, None)
        while not connection.made:
            assert connection.monitor.poll(int(HANG) * 1000)
            connection.watch()
        connection.send(b"hello")
        assert router.recv_multipart() == [b"C1", b"hello"]
        with contextlib.suppress(zmq.Again):  # from here on it waits for a word that there is something
            connection.socket.recv(zmq.NOBLOCK)
        for number in range(3):
            router.send_multipart([b"C1", b"%d" % number])
        router.close(linger=-1)
        scheduler.term()
        while connection.lost is None:
            assert connection.monitor.poll(int(HANG) * 1000)
            connection.watch()
        came: list[bytes] = []
        with contextlib.suppress(zmq.Again):
            while True:
                came.append(connection.socket.recv(zmq.NOBLOCK))
        connection.close(orderly=False)
        context.term()
        assert came == [b"0", b"1", b"2"]


@pytest.fixture
def attempts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every address that a socket is told to connect to, as it is told."""
    told: list[str] = []
    connect = zmq.Socket.connect

    def tell(self: zmq.Socket[bytes], address: str) -> Any:
        told.append(address)
        return connect(self, address)

    monkeypatch.setattr(zmq.Socket, "connect", tell)
    return told


def test_zeromq_may_be_late_to_connect(monkeypatch: pytest.MonkeyPatch, attempts: list[str]) -> None:
    """An attempt lasts until ZeroMQ tells how it has ended. Who tries again before that has two connections under one
    routing id, and a ROUTER hears one of them only.
    """
    monkeypatch.setattr(scheduler_connection, "_RETRY_SECONDS", 0.0)  # the next is due before ZeroMQ can say a word
    with zmq.Context() as context, zmq.Context() as scheduler, scheduler.socket(zmq.ROUTER) as router:
        endpoint = f"tcp://127.0.0.1:{router.bind_to_random_port('tcp://127.0.0.1')}"
        connection = SchedulerConnection(context, endpoint, b"C1", Role.CLIENT, None)
        while not connection.made:
            connection.watch()
            assert attempts.count(endpoint) == 1
        connection.send(b"hello")
        assert router.recv_multipart() == [b"C1", b"hello"]
        connection.close(orderly=False)


@pytest.mark.parametrize("endpoint", ["tcp://127.0.0.1:{port}", "tcp://no..where:{port}", "ipc://{folder}/nobody"])
def test_an_attempt_that_comes_to_nothing_is_followed_by_another(
    endpoint: str, tmp_path: Path, attempts: list[str]
) -> None:
    """Whether nobody listens, or there is no such name."""
    with socket.socket() as taken, zmq.Context() as context:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        address = endpoint.format(port=taken.getsockname()[1], folder=tmp_path)
        connection = SchedulerConnection(context, address, b"C1", Role.CLIENT, None)
        while attempts.count(address) < 3:
            turn(connection)
        connection.close(orderly=False)


@pytest.mark.parametrize("words", [b"", GREETING + b"\4\6\5NEVER"], ids=["none", "wrong"])
def test_so_is_one_whose_handshake_fails(words: bytes, attempts: list[str]) -> None:
    """Whether the listener hangs up, or says what nobody may say."""
    with socket.create_server(("127.0.0.1", 0)) as listener, zmq.Context() as context:
        listener.settimeout(HANG)
        address = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        connection = SchedulerConnection(context, address, b"C1", Role.CLIENT, None)
        for number in range(1, 4):
            with listener.accept()[0] as accepted:
                accepted.sendall(words)
                accepted.shutdown(socket.SHUT_WR)
                while attempts.count(address) == number:
                    turn(connection)
        connection.close(orderly=False)


def turn(connection: SchedulerConnection) -> None:
    """What a peer's loop does for a connection that is not made yet."""
    milliseconds = int(min(HANG, connection.seconds_to_attempt()) * 1000) + 1
    assert connection.monitor.poll(milliseconds) or milliseconds < HANG * 1000
    connection.watch()
