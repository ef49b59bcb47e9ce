"""What played clients and workers have in common: orders on standard input, answers on standard output.

Each is a process of its own. An order is a JSON object on a line, and so is its answer; `{"failed": ...}` says in
words what went wrong, and the process then ends. So it does when its standard input ends: nothing is left over when
whoever gave the orders is gone.
"""

from __future__ import annotations

import json
import os
import select
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import zmq

from rescind import wire
from rescind.curve import Role, read_peer_keys

SILENCE_SECONDS = 60.0
"""How long the subject may say nothing while something is awaited. Only bounds a hang."""
_FAREWELL_MILLISECONDS = 1000
BATCH = 256
"""Messages received between two looks at everything else."""
KEYS = "RESCIND_BENCHMARK_KEYS"
"""The variable of the environment with the directory of keys, for a scheduler that uses CURVE."""
KEYS_OF = "benchmark"
"""The name of the peers whose keys are there."""
_STANDARD_INPUT, _STANDARD_OUTPUT, _STANDARD_ERROR = 0, 1, 2


class PlayFailed(Exception):
    """The subject did not do what is measured; the text says what it did instead."""


class Orders:
    """Standard input, line by line, and the answers on standard output. For one thread. One in a process."""

    descriptor = _STANDARD_INPUT

    def __init__(self) -> None:
        self._buffer = b""
        # What libraries print must not be taken for an answer: it goes to standard error from now on.
        self._answers = os.fdopen(os.dup(_STANDARD_OUTPUT), "w", encoding="utf-8")
        os.dup2(_STANDARD_ERROR, _STANDARD_OUTPUT)

    def next(self) -> dict[str, Any] | None:
        """Wait for an order; None when there will be no more."""
        while b"\n" not in self._buffer:
            chunk = os.read(_STANDARD_INPUT, 65536)
            if not chunk:
                return None
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        order: dict[str, Any] = json.loads(line)
        return order

    def waiting(self) -> bool:
        """Whether `next` would not wait."""
        return b"\n" in self._buffer or bool(select.select([_STANDARD_INPUT], [], [], 0)[0])

    def answer(self, **fields: Any) -> None:
        """Answer an order."""
        self._answers.write(json.dumps(fields) + "\n")
        self._answers.flush()


def serve(orders: Orders, handlers: Mapping[str, Callable[..., dict[str, Any]]]) -> None:
    """Carry out orders, `{"order": name, ...arguments}`, until there are no more or one fails."""
    while (order := orders.next()) is not None:
        try:
            fields = handlers[order.pop("order")](**order)
        except (PlayFailed, wire.WireError, zmq.ZMQError) as error:
            orders.answer(failed=str(error))
            return
        orders.answer(**fields)


def connect(context: zmq.Context[zmq.Socket[bytes]], endpoint: str, role: Role, routing_id: bytes) -> zmq.Socket[bytes]:
    """A DEALER of that routing id without limits to its queues (T1, T6), with the keys of `role` if there are any."""
    dealer = context.socket(zmq.DEALER)
    for option in (zmq.SNDHWM, zmq.RCVHWM, zmq.LINGER):
        dealer.setsockopt(option, 0)
    dealer.setsockopt(zmq.IDENTITY, routing_id)
    if (keys := os.environ.get(KEYS)) is not None:
        read_peer_keys(Path(keys) / role.folder / KEYS_OF, role).apply(dealer)
    dealer.connect(endpoint)
    return dealer


def leave(context: zmq.Context[zmq.Socket[bytes]], sockets: Iterable[zmq.Socket[bytes]], farewell: bytes) -> None:
    """Say good-bye on each connection and close it: the next peers may meet the same scheduler."""
    for socket in sockets:
        socket.send(farewell)
        socket.close(linger=_FAREWELL_MILLISECONDS)
    context.term()
