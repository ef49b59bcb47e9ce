"""The scheduler's socket: what ZeroMQ is told so that no peer can make it wait, or hold more than may be held."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import zmq

from rescind.peer_options import MOST_MESSAGES, check_seconds
from rescind.wire import MAX_FRAME_BYTES

LEAST_FRAME_BYTES: Final = 1024 * 1024
"""What each scheduler has to accept (M2)."""
_UNHANDLED: Final = 100
"""Messages of one peer that wait to be handled. Then nothing more is read of it, and its own side has to wait (T6); so
has that of a second peer under the routing id of one that is connected, which is never read."""
_KEEPALIVE_SECONDS: Final = (60, 10, 6)
"""Silence after which TCP asks whether the other side is there; between two questions; and how many are asked (no
unit): a machine that has vanished does not hold a connection, and what waits for it, for ever."""


@dataclass(frozen=True, slots=True)
class SocketLimits:
    """What an operator may choose of the socket. Raises `ValueError` for what cannot be."""

    max_frame_bytes: int = MAX_FRAME_BYTES
    """A longer frame is dropped and counted; one of more than twice as many bytes closes its connection, unread."""
    max_queue: int = 1_000_000
    """Messages that wait to be sent to one peer. It is lost when there would be more (T6, S9.1)."""

    handshake_timeout: float = 10.0
    """Seconds that a connection may take until it speaks ZeroMQ's protocol; then it is closed."""

    def __post_init__(self) -> None:
        if not LEAST_FRAME_BYTES <= self.max_frame_bytes <= MAX_FRAME_BYTES:
            raise ValueError(
                f"max_frame_bytes must be from {LEAST_FRAME_BYTES} to {MAX_FRAME_BYTES}, not {self.max_frame_bytes}"
            )
        if not 1 <= self.max_queue <= MOST_MESSAGES:
            raise ValueError(f"max_queue must be from 1 to {MOST_MESSAGES}, not {self.max_queue}")
        check_seconds("handshake_timeout", self.handshake_timeout)


def open_socket(context: zmq.Context[zmq.Socket[bytes]], limits: SocketLimits) -> zmq.Socket[bytes]:
    """A ROUTER with these limits, that is not bound yet."""
    socket = context.socket(zmq.ROUTER)
    # ZeroMQ counts messages that were sent, and not taken by the connection yet.
    socket.setsockopt(zmq.SNDHWM, limits.max_queue)
    socket.setsockopt(zmq.RCVHWM, _UNHANDLED)
    # ZeroMQ closes the connection and does not say why, so that its limit is beyond the one that is counted and logged.
    socket.setsockopt(zmq.MAXMSGSIZE, 2 * limits.max_frame_bytes)
    socket.setsockopt(zmq.HANDSHAKE_IVL, max(1, int(limits.handshake_timeout * 1000)))
    idle, interval, count = _KEEPALIVE_SECONDS
    socket.setsockopt(zmq.TCP_KEEPALIVE, 1)
    socket.setsockopt(zmq.TCP_KEEPALIVE_IDLE, idle)
    socket.setsockopt(zmq.TCP_KEEPALIVE_INTVL, interval)
    socket.setsockopt(zmq.TCP_KEEPALIVE_CNT, count)
    # T5, S11.4: a send to a departed peer, or to one whose queue is full, is reported instead of silently discarded.
    socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
    return socket


def is_served(path: Path) -> bool:
    """Whether some process listens at a Unix socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True
