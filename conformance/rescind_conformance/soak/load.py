"""Peers that keep a scheduler as busy as it can be: tasks, cancels, graphs, garbage, and some that leave."""

from __future__ import annotations

import itertools
import random
import uuid
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Iterator
from typing import Final

import zmq

from rescind import wire
from rescind.frame_shapes import Decoder
from rescind.messages import (
    Argument,
    ArgumentType,
    CancelConfirmType,
    ClientDisconnect,
    ClientHeartbeat,
    DisconnectType,
    GraphTask,
    Message,
    Task,
    TaskCancel,
    TaskCancelConfirm,
    TaskResult,
    WorkerDisconnectNotification,
    WorkerHeartbeat,
)

_WINDOW: Final = 500
"""Tasks that a client has at once."""
_QUEUE: Final = 400
"""Tasks that a worker takes at once: fewer than there are, so that some always wait."""
_BATCH: Final = 200
_CANCELLED: Final = 0.3
_IN_GRAPHS: Final = 0.05
_GARBAGE: Final = 0.02
_LIFE: Final = 20_000
"""Messages that a peer receives before it leaves, and another comes in its place."""
_CLIENTS, _WORKERS = 4, 3
_FRAME_BYTES: Final = 300


class Unanswered(Exception):
    """Nothing comes any more, and something should; the text says what."""


class Load:
    """For one thread. A context manager: everything is closed at its end."""

    def __init__(self, endpoint: str, seed: int) -> None:
        self._endpoint = endpoint
        self._random = random.Random(seed)
        self._context = zmq.Context()
        self._decoder = Decoder()
        self.counts: Counter[str] = Counter()
        self._clients = [self._client() for _ in range(_CLIENTS)]
        self._workers = [self._worker() for _ in range(_WORKERS)]

    def __enter__(self) -> Load:
        return self

    def __exit__(self, *_: object) -> None:
        self._context.destroy(linger=0)

    def turn(self, seconds: float) -> None:
        """Let each peer take what has come, and say what is next. Raises `Unanswered` if none of it is.

        `seconds`: how long an answer may take.
        """
        heard = 0
        peers: list[_Peer] = [*self._clients, *self._workers]
        for peer in peers:
            for message in self._received(peer.socket):
                heard += 1
                peer.hear(message)
            peer.speak()
        self._clients = [self._client() if self._leaves(each) else each for each in self._clients]
        self._workers = [self._worker() if self._leaves(each) else each for each in self._workers]
        if not heard:
            poller = zmq.Poller()
            for peer in (*self._clients, *self._workers):
                poller.register(peer.socket, zmq.POLLIN)
            if not poller.poll(int(seconds * 1000)):
                raise Unanswered(f"nothing has come for {seconds:g} s, and {self._held} tasks are held")

    @property
    def _held(self) -> int:
        return sum(len(client.open) for client in self._clients)

    def _client(self) -> _Client:
        return _Client(self._open(), self._random, self.counts)

    def _worker(self) -> _Worker:
        return _Worker(self._open(), self._random, self.counts)

    def _leaves(self, peer: _Peer) -> bool:
        if peer.heard <= _LIFE:
            return False
        peer.leave()
        self.counts["peers that left"] += 1
        return True

    def _open(self) -> zmq.Socket[bytes]:
        socket = self._context.socket(zmq.DEALER)
        for option, value in ((zmq.LINGER, 1000), (zmq.SNDHWM, 0), (zmq.RCVHWM, 0)):
            socket.setsockopt(option, value)
        socket.setsockopt(zmq.ROUTING_ID, f"soak|{uuid.UUID(int=self._random.getrandbits(128)).hex}".encode())
        socket.connect(self._endpoint)
        return socket

    def _received(self, socket: zmq.Socket[bytes]) -> Iterator[Message]:
        for _ in range(_BATCH):
            try:
                frame = socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                return
            yield self._decoder.decode(frame)


class _Peer(ABC):
    def __init__(self, socket: zmq.Socket[bytes], source: random.Random, counts: Counter[str]) -> None:
        self.socket = socket
        self.heard = 0
        self._random = source
        self._counts = counts

    @abstractmethod
    def hear(self, message: Message) -> None: ...

    @abstractmethod
    def speak(self) -> None: ...

    @abstractmethod
    def leave(self) -> None: ...

    def _say(self, message: Message) -> None:
        self.socket.send(wire.encode(message))
        if self._random.random() < _GARBAGE:
            self.socket.send(self._random.randbytes(64))
            self._counts["garbage"] += 1


class _Client(_Peer):
    """Keeps its window full. Every id that it has submitted is settled before it leaves, or goes with it."""

    def __init__(self, socket: zmq.Socket[bytes], source: random.Random, counts: Counter[str]) -> None:
        super().__init__(socket, source, counts)
        self.open: dict[bytes, None] = {}
        self._say(ClientHeartbeat())

    def hear(self, message: Message) -> None:
        self.heard += 1
        refused = isinstance(message, TaskCancelConfirm) and (
            message.cancel_confirm_type == CancelConfirmType.CANCEL_FAILED
        )
        if isinstance(message, TaskResult | TaskCancelConfirm) and not refused:
            self.open.pop(message.task_id, None)
            self._counts["settled"] += 1

    def speak(self) -> None:
        if self._random.random() < 0.05:
            self._say(ClientHeartbeat())
        while len(self.open) < _WINDOW:
            if self._random.random() < _IN_GRAPHS:
                self._submit_graph()
            else:
                self._submit(Task(self._id(), b"soak", bytes(_FRAME_BYTES)))

    def leave(self) -> None:
        self._say(ClientDisconnect(DisconnectType.DISCONNECT))
        self.socket.close()

    def _submit(self, task: Task) -> None:
        self.open[task.task_id] = None
        self._counts["tasks"] += 1
        self._say(task)
        if self._random.random() < _CANCELLED:
            self._counts["cancels"] += 1
            self._say(TaskCancel(next(iter(self.open)), force=self._random.random() < 0.5))

    def _submit_graph(self) -> None:
        first = Task(self._id(), b"soak", bytes(_FRAME_BYTES))
        after = Task(self._id(), b"soak", b"", b"", (Argument(ArgumentType.TASK, first.task_id),))
        graph = GraphTask(self._id(), b"soak", (after.task_id,), (first, after))
        self.open |= dict.fromkeys((graph.task_id, first.task_id, after.task_id))
        self._counts["graphs"] += 1
        self._say(graph)

    def _id(self) -> bytes:
        return self._random.randbytes(16)


class _Worker(_Peer):
    """Runs nothing: what has waited longest is said to have a result. A cancel finds the newest ones queued."""

    def __init__(self, socket: zmq.Socket[bytes], source: random.Random, counts: Counter[str]) -> None:
        super().__init__(socket, source, counts)
        self._held: dict[bytes, None] = {}
        self._due: deque[Message] = deque()
        self._say(WorkerHeartbeat(queue_size=_QUEUE))

    def hear(self, message: Message) -> None:
        self.heard += 1
        if isinstance(message, Task):
            self._held[message.task_id] = None
        elif isinstance(message, TaskCancel):
            self._due.append(TaskCancelConfirm(message.task_id, self._answer(message)))

    def speak(self) -> None:
        if self._random.random() < 0.05:
            self._say(WorkerHeartbeat(queue_size=_QUEUE))
        while self._due:
            self._say(self._due.popleft())
        for task_id in list(itertools.islice(self._held, _BATCH)):
            del self._held[task_id]
            self._say(TaskResult(task_id, metadata=bytes(40), results=(bytes(32),)))

    def leave(self) -> None:
        self._say(WorkerDisconnectNotification())
        self.socket.close()

    def _answer(self, message: TaskCancel) -> CancelConfirmType:
        if message.task_id not in self._held:
            return CancelConfirmType.CANCEL_NOT_FOUND
        if not message.force and self._random.random() < 0.5:
            return CancelConfirmType.CANCEL_FAILED
        del self._held[message.task_id]
        return CancelConfirmType.CANCELED
