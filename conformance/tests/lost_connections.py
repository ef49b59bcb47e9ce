"""How a connection is bent that ZeroMQ makes again, under the same routing id, when it has dropped."""

from __future__ import annotations

from typing import Any

import zmq

from rescind import wire
from rescind.messages import Message

_kept: list[bytes] = []
"""Frames for the next connection."""


def connecting_again(on_event: Any) -> Any:
    """For `SchedulerConnection._on_event`: once the connection was made nothing more is noticed."""
    return lambda self, event, value: None if self.made else on_event(self, event, value)


def reconnecting(setsockopt: Any) -> Any:
    """For `zmq.Socket.setsockopt`: ZeroMQ tries again by itself."""
    return lambda self, option, value: setsockopt(self, option, 20 if option == zmq.RECONNECT_IVL else value)


def keep_for_the_next(message: Message) -> None:
    """Have `sending_what_is_kept` send it."""
    _kept.append(wire.encode(message))


def sending_what_is_kept(send: Any) -> Any:
    """For `SchedulerConnection.send`: the first message of a connection is followed by what an earlier one has left."""

    def changed(self: Any, frame: bytes) -> None:
        send(self, frame)
        while _kept and self.lost is None and not self.socket.closed:
            send(self, _kept.pop())

    return changed
