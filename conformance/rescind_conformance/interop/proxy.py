"""A proxy between the peers of a scheduler and the scheduler: records every message, and can make two of them cross.

Each peer has a connection of its own to the scheduler, under its own routing id; order is kept in both directions.
"""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass

import zmq

from rescind import wire
from rescind.messages import Message, TaskCancel, TaskResult
from rescind.trace import TraceRecord

_MOST_RECORDED = 20_000
"""Messages of one scenario; of more, the first ones are kept."""


@dataclass(slots=True)
class _Peer:
    name: str
    connection: zmq.Socket[bytes]
    held: list[list[bytes]] | None = None
    """What the scheduler said since a TaskCancel was held back; None: nothing is held."""


class Proxy:
    """Runs in a thread of its own until `close`. `mark`, `recorded` and `hold_cancel` may be called from any thread."""

    def __init__(self, scheduler: str) -> None:
        """Stand in front of the scheduler at this endpoint; `endpoint` is where peers connect."""
        self._scheduler = scheduler
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._front = self._socket(zmq.ROUTER)
        port = self._front.bind_to_random_port("tcp://127.0.0.1")
        self.endpoint = f"tcp://127.0.0.1:{port}"
        self._lock = threading.Lock()
        self._records: list[tuple[float, str, str, bytes]] = []
        self._peers: dict[bytes, _Peer] = {}
        self._armed = False
        self.cancel_is_held = threading.Event()
        """Set when a TaskCancel on its way to a worker has been held back."""
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="interop-proxy", daemon=True)
        self._thread.start()

    def mark(self) -> None:
        """Forget what was recorded, and whatever was to be held back."""
        with self._lock:
            self._records.clear()
        self._armed = False
        self.cancel_is_held.clear()

    def hold_cancel(self) -> None:
        """Hold the next TaskCancel to a worker back until that worker has sent a TaskResult: the two cross."""
        self.cancel_is_held.clear()
        self._armed = True

    def recorded(self) -> list[TraceRecord]:
        """What was said since `mark`, in the order in which it passed."""
        with self._lock:
            records = list(self._records)
        return [TraceRecord(at, sender, receiver, *_read(frame)) for at, sender, receiver, frame in records]

    def close(self) -> None:
        """End it. May be called again."""
        self._closed.set()
        self._thread.join()

    def _socket(self, kind: int) -> zmq.Socket[bytes]:
        made = self._context.socket(kind)
        for option in (zmq.SNDHWM, zmq.RCVHWM, zmq.LINGER):
            made.setsockopt(option, 0)
        return made

    def _run(self) -> None:
        poller = zmq.Poller()
        poller.register(self._front, zmq.POLLIN)
        by_connection: dict[zmq.Socket[bytes], bytes] = {}
        try:
            while not self._closed.is_set():
                for source, _ in poller.poll(50):
                    if source is self._front:
                        self._from_peers(poller, by_connection)
                    else:
                        self._from_scheduler(by_connection[source])
        finally:
            self._context.destroy(linger=0)

    def _from_peers(self, poller: zmq.Poller, by_connection: dict[zmq.Socket[bytes], bytes]) -> None:
        with contextlib.suppress(zmq.Again):
            for _ in range(256):
                identity, *frames = self._front.recv_multipart(zmq.NOBLOCK)
                peer = self._peers.get(identity)
                if peer is None:
                    connection = self._socket(zmq.DEALER)
                    connection.setsockopt(zmq.IDENTITY, identity)
                    connection.connect(self._scheduler)
                    poller.register(connection, zmq.POLLIN)
                    peer = self._peers[identity] = _Peer(identity.decode(errors="replace"), connection)
                    by_connection[connection] = identity
                self._record(peer.name, "scheduler", frames)
                peer.connection.send_multipart(frames)
                if peer.held is not None and isinstance(_read(frames[-1])[0], TaskResult):
                    held, peer.held = peer.held, None
                    for late in held:
                        self._to_peer(identity, peer, late)

    def _from_scheduler(self, identity: bytes) -> None:
        peer = self._peers[identity]
        with contextlib.suppress(zmq.Again):
            for _ in range(256):
                frames = peer.connection.recv_multipart(zmq.NOBLOCK)
                if self._armed and identity.startswith(b"Worker|") and isinstance(_read(frames[-1])[0], TaskCancel):
                    self._armed = False
                    peer.held = []
                    self.cancel_is_held.set()
                if peer.held is not None:
                    peer.held.append(frames)
                else:
                    self._to_peer(identity, peer, frames)

    def _to_peer(self, identity: bytes, peer: _Peer, frames: list[bytes]) -> None:
        self._record("scheduler", peer.name, frames)
        self._front.send_multipart([identity, *frames])

    def _record(self, sender: str, receiver: str, frames: list[bytes]) -> None:
        with self._lock:
            if len(self._records) < _MOST_RECORDED:
                self._records.append((time.monotonic(), sender, receiver, frames[-1] if frames else b""))


def _read(frame: bytes) -> tuple[Message | None, str]:
    try:
        return wire.decode(frame), ""
    except wire.WireError as error:
        return None, error.reason
