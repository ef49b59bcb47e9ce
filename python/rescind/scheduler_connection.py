"""A client's or a worker's connection to its scheduler: one DEALER, one routing id, one life (T4, T7)."""

from __future__ import annotations

import contextlib
import time

import zmq
from zmq.utils.monitor import parse_monitor_message

from rescind.curve import HANDSHAKE_FAILURES, Handshakes, PeerKeys, Role
from rescind.wire_layout import MAX_FRAME_BYTES

_RETRY_SECONDS = 0.1
"""Between an attempt to connect that came to nothing and the next one."""
_FAREWELL_MILLISECONDS = 1000
"""How long the last messages may take to leave when the socket closes."""
_OVER = zmq.EVENT_CONNECT_RETRIED | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_AUTH
"""One of these ends each attempt that comes to nothing, and ends no other one."""
_MONITORED = _OVER | HANDSHAKE_FAILURES | zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED


class SchedulerConnection:
    """Tries to connect until the scheduler is there; once made, and dropped, it never comes back. For one thread.

    ZeroMQ by itself would connect again, and give what still waits to be sent, under the old routing id, to whoever
    listens there now: a scheduler that was started anew would run a Task whose future is cancelled. However quick this
    thread was, ZeroMQ's own could be quicker. So it is told never to connect again, and the attempts are made here.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        endpoint: str,
        routing_id: bytes,
        role: Role,
        keys: PeerKeys | None,
    ) -> None:
        """Make the first attempt. Raises `ValueError` if ZeroMQ cannot make sense of the endpoint."""
        self.made = False
        """Whether the handshake with the scheduler has succeeded."""
        self.lost: str | None = None
        """Why nothing more can be sent; what came before may still be received. Before it was `made`: it is refused."""
        self._endpoint = endpoint
        self._handshakes = Handshakes(keys, role)
        self._under_way = False
        self._next_attempt = 0.0
        self._waiting: list[bytes] = []
        self.socket = context.socket(zmq.DEALER)
        self.socket.setsockopt(zmq.ROUTING_ID, routing_id)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.RECONNECT_IVL, _NEVER_MILLISECONDS)
        for option in (zmq.SNDHWM, zmq.RCVHWM):
            self.socket.setsockopt(option, 0)  # T6
        self.socket.setsockopt(zmq.MAXMSGSIZE, 2 * MAX_FRAME_BYTES)
        if keys is not None:
            keys.apply(self.socket)
        self.monitor = self.socket.get_monitor_socket(_MONITORED)
        try:
            self._attempt()
        except zmq.ZMQError as error:
            self.close(orderly=False)
            raise ValueError(
                f"{endpoint!r} is no ZeroMQ endpoint ({error.strerror}): give one like tcp://127.0.0.1:6378"
            ) from error

    def watch(self) -> None:
        """Take in what has become of the connection, and try again if it is time. Does nothing once it is lost."""
        with contextlib.suppress(zmq.Again):
            while self.lost is None:
                told = parse_monitor_message(self.monitor.recv_multipart(zmq.NOBLOCK))
                self._on_event(told["event"], told["value"])
        if not self.made and self.lost is None and not self._under_way and time.monotonic() >= self._next_attempt:
            with contextlib.suppress(zmq.ZMQError):  # ZeroMQ has forgotten the last attempt by itself
                self.socket.disconnect(self._endpoint)
            self._attempt()

    def seconds_to_attempt(self) -> float:
        """Until `watch` has to be called, whatever comes; infinite if nothing but what comes matters."""
        if self.made or self.lost is not None or self._under_way:
            return float("inf")
        return max(0.0, self._next_attempt - time.monotonic())

    def send(self, frame: bytes) -> None:
        """Send, without waiting, or as soon as the connection is made; into the void if it is lost."""
        if not self.made:
            self._waiting.append(frame)
        elif self.lost is None and not self.socket.closed:
            try:
                self.socket.send(frame, zmq.NOBLOCK)
            except zmq.Again:  # there is no queue any more
                self.lost = _DROPPED

    def close(self, *, orderly: bool) -> None:
        """Close; if `orderly`, and there is somebody to hear it, what was sent has a second to leave."""
        if not self.socket.closed:
            self.socket.disable_monitor()
            self.monitor.close(linger=0)
            self.socket.close(linger=_FAREWELL_MILLISECONDS if orderly and self.made and self.lost is None else 0)

    def _attempt(self) -> None:
        # T1. From here on, not from ZeroMQ's first word of it: its thread may be late.
        self._under_way = True
        self.socket.connect(self._endpoint)

    def _on_event(self, event: int, value: int) -> None:
        if self.made:
            if event == zmq.EVENT_DISCONNECTED:
                self.lost = _DROPPED
            return
        self.lost = self._handshakes.on_event(event, value)
        if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            self.made = True
            for frame in self._waiting:
                self.send(frame)
            self._waiting.clear()
        elif event & _OVER:
            self._under_way = False
            self._next_attempt = time.monotonic() + _RETRY_SECONDS


_DROPPED = "the connection dropped"
_NEVER_MILLISECONDS = 1_000_000_000
"""Until ZeroMQ would connect again by itself (T7): days after the socket was closed. With -1, for never, it throws away
what has come and was not received yet, as soon as the connection ends."""
