"""The peers that a case plays: clients and workers with one DEALER each, all in the runner's one thread."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import zmq

from rescind import wire
from rescind.curve import Role
from rescind.messages import (
    Argument,
    CancelConfirmType,
    ClientDisconnect,
    ClientHeartbeat,
    ClientHeartbeatEcho,
    DisconnectType,
    Message,
    ObjectInstruction,
    Task,
    TaskCancel,
    TaskCancelConfirm,
    TaskLog,
    TaskResult,
    TaskResultType,
    WorkerDisconnectNotification,
    WorkerHeartbeat,
    WorkerHeartbeatEcho,
)

if TYPE_CHECKING:
    from rescind_conformance.world import World

CANCELED = CancelConfirmType.CANCELED
CANCEL_FAILED = CancelConfirmType.CANCEL_FAILED
CANCEL_NOT_FOUND = CancelConfirmType.CANCEL_NOT_FOUND


@dataclass(frozen=True, slots=True)
class TaskRef:
    """A task of a case: its id, and its name in traces (T1, T2...)."""

    id: bytes
    name: str


@dataclass(frozen=True, slots=True)
class Unreadable:
    """What the subject sent and nobody can read."""

    reason: str

    def __str__(self) -> str:
        return f"what is unreadable: {self.reason}"


Incoming = Message | Unreadable


def task_id_of(message: Incoming | None) -> bytes | None:
    """The task that a message is about, None if it is about none."""
    task_id = getattr(message, "task_id", None)
    return task_id if isinstance(task_id, bytes) else None


class Peer:
    """One connection to the subject. Made by `World.client` and `World.worker` only.

    Each `send` is a step: it returns when the subject has handled the message and everything that it
    caused anywhere has arrived. What arrives waits in `inbox` until an expectation takes it.
    """

    role: Role
    """Whose keys it connects with, if the subject uses CURVE."""

    def __init__(self, world: World, name: str, routing_id: bytes, receive_queue: int = 0) -> None:
        self.world = world
        self.name = name
        """The name in traces: C1, W2..."""
        self.routing_id = routing_id
        self.inbox: list[Incoming] = []
        """What came and no expectation has taken, oldest first; echoes and object bookkeeping are left out."""
        self.frames: list[bytes] = []
        """All that came, echoes left out, as it stood on the wire."""
        self.outstanding = 0
        """Heartbeats without an answer yet."""
        self.gone = False
        """It said good-bye, was told to leave, or dropped its connection: it is not fenced any more."""
        self.dismissed = False
        """It was told to leave."""
        self.silent = False
        """It is paused: it sends nothing, not even heartbeats, but its connection stays."""
        self._receive_queue = receive_queue
        self.connect()

    def connect(self) -> None:
        """Open a connection under its routing id. Called by the world only."""
        self.socket = self.world.dealer()
        for option, value in ((zmq.SNDHWM, 0), (zmq.RCVHWM, self._receive_queue), (zmq.LINGER, 0)):
            self.socket.setsockopt(option, value)
        self.socket.setsockopt(zmq.IDENTITY, self.routing_id)
        if (keys := self.world.keys.get(self.role)) is not None:
            keys.apply(self.socket)
        self.socket.connect(self.world.endpoint)

    @property
    def echo_type(self) -> type[Message]:
        """What answers its heartbeat."""
        raise NotImplementedError

    @property
    def living(self) -> bool:
        """Whether it takes part in fences."""
        return not self.gone and not self.silent

    # --- sending

    def send(self, message: Message, *, fence: bool = True) -> None:
        """Send one message as one step. With `fence=False` only send: the next step's fences cover it."""
        self.world.note_sent(self, message)
        self.socket.send(wire.encode(message))
        if fence:
            self.fence()

    def send_frames(self, *frames: bytes, note: str, means: Message | None = None, fence: bool = True) -> None:
        """Send one ZeroMQ message of any frames at all.

        The trace says `note`, and the message that a receiver must take it for, if it must not drop it.
        """
        self.world.note_sent(self, means, note)
        self.socket.send_multipart(frames)
        if fence:
            self.fence()

    def heartbeat_message(self) -> Message:
        """The heartbeat that this peer sends."""
        raise NotImplementedError

    def beat(self) -> None:
        """Send a heartbeat and do not wait: `outstanding` falls to 0 when it is answered."""
        self.outstanding += 1
        message = self.heartbeat_message()
        self.world.note_sent(self, message, fence=True)
        self.socket.send(_heartbeat_frame(message))

    def fence(self) -> None:
        """Wait until the subject has handled all that this peer sent, then until all that this caused has come.

        Departs (S10.1, or S11.1 if the subject has died) when an echo does not come.
        """
        if self.living:
            self.world.fence([self])
        self.world.settle()

    def pause(self) -> None:
        """Fall silent: no heartbeat, no answer, from now on."""
        self.silent = True
        self.world.note_event(self, "falls silent")

    def cut(self) -> None:
        """Drop the connection without a word, as a killed process does."""
        self.gone = True
        self.world.note_event(self, "drops its connection")
        self.world.forget(self)

    # --- receiving

    def deliver(self, message: Message) -> None:
        """Called by the world for each message that has come."""
        if isinstance(message, self.echo_type):
            self.outstanding -= 1
            if self.outstanding < 0:
                self.outstanding = 0
                if self.dismissed:
                    return  # of a heartbeat before
                requirement = self.world.blame("S10.1")
                self.world.check(requirement, False, "one echo for each heartbeat", f"{self.name} got one more")
        elif isinstance(message, ClientDisconnect):
            self.dismissed = True
            self.outstanding = 0
            self.gone = True
            self.inbox.append(message)
        elif not isinstance(message, ObjectInstruction):
            self.inbox.append(message)

    def waiting(self, about: TaskRef | None = None) -> list[Incoming]:
        """What has come (about one task, if given) and was not taken by an expectation."""
        return [message for message in self.inbox if about is None or task_id_of(message) == about.id]

    def expect(self, message: Message, requirement: str, *, vital: bool = False) -> bool:
        """Check that this message has come, and take it.

        If it has not, what else has come of its kind about the same task is taken in its place.
        `vital`: the case cannot go on without it. Returns whether it came.
        """
        holds = message in self.inbox
        happened = self._in_words(self._rivals(message))
        for taken in [message] if holds else self._rivals(message):
            self.inbox.remove(taken)
        expected = f"{self.name} gets {self.world.describe(message)}"
        return self.world.check(requirement, holds, expected, happened, vital=vital)

    def expect_nothing(self, requirement: str, about: TaskRef | None = None, *, vital: bool = False) -> bool:
        """Check that nothing (about one task, if given) has come that no expectation took; take it if it has."""
        found = self.waiting(about)
        for message in found:
            self.inbox.remove(message)
        what = f"nothing about {about.name}" if about is not None else "nothing"
        return self.world.check(
            requirement, not found, f"{self.name} gets {what} more", self._in_words(found), vital=vital
        )

    def _rivals(self, message: Message) -> list[Incoming]:
        return [
            other for other in self.inbox if type(other) is type(message) and task_id_of(other) == task_id_of(message)
        ]

    def _in_words(self, rivals: Sequence[Incoming]) -> str:
        shown = rivals or self.inbox
        if not shown:
            return f"{self.name} got nothing"
        return f"{self.name} got " + ", ".join(map(self.world.describe, shown))


class FakeClient(Peer):
    """A client that does as it is told."""

    role = Role.CLIENT

    @property
    def echo_type(self) -> type[Message]:
        return ClientHeartbeatEcho

    def heartbeat_message(self) -> Message:
        return ClientHeartbeat(hostname="conformance")

    def task_message(self, task: TaskRef, *, source: bytes | None = None, arguments: tuple[Argument, ...] = ()) -> Task:
        """The Task that this client sends: `source` is its routing id unless it is forged."""
        owner = hashlib.md5(self.routing_id).digest()
        function = owner + hashlib.md5(b"function").digest()
        return Task(
            task_id=task.id,
            source=self.routing_id if source is None else source,
            func_object_id=function,
            function_args=arguments,
        )

    def submit(self, task: TaskRef | None = None, *, source: bytes | None = None, fence: bool = True) -> TaskRef:
        """Submit a new task (or one under an id that is in use already) as one step."""
        task = task or self.world.new_task()
        self.send(self.task_message(task, source=source), fence=fence)
        return task

    def submit_many(self, count: int) -> list[TaskRef]:
        """Submit new tasks as one step, in order."""
        tasks = [self.submit(fence=False) for _ in range(count)]
        self.fence()
        return tasks

    def cancel(self, task: TaskRef, *, force: bool = False, fence: bool = True) -> None:
        """Send a TaskCancel."""
        self.send(TaskCancel(task.id, force), fence=fence)

    def disconnect(self, *, fence: bool = True) -> None:
        """Say good-bye as one step.

        The heartbeat that fences it is answered by ClientDisconnect (S9.8) or, by a scheduler that departs
        from that, by an echo. One that does not answer at all is not a departure here.
        """
        self.send(ClientDisconnect(DisconnectType.DISCONNECT), fence=False)
        if fence:
            self.world.fence([self], unanswered_is_fine=True)
        self.gone = True
        if fence:
            self.world.settle()

    def expect_confirm(self, task: TaskRef, kind: CancelConfirmType, requirement: str, *, vital: bool = False) -> bool:
        """Check that a TaskCancelConfirm has come, and take it."""
        return self.expect(TaskCancelConfirm(task.id, kind), requirement, vital=vital)


class FakeWorker(Peer):
    """A worker that runs nothing and answers as it is told."""

    role = Role.WORKER

    def __init__(self, world: World, name: str, routing_id: bytes, queue_size: int, receive_queue: int = 0) -> None:
        self.queue_size = queue_size
        super().__init__(world, name, routing_id, receive_queue)

    @property
    def echo_type(self) -> type[Message]:
        return WorkerHeartbeatEcho

    def heartbeat_message(self) -> Message:
        return WorkerHeartbeat(rss_free=1 << 30, mem_limit=1 << 30, queue_size=self.queue_size, hostname="conformance")

    def finish(
        self,
        task: TaskRef,
        result_type: TaskResultType | int = TaskResultType.SUCCESS,
        *,
        fence: bool = True,
    ) -> TaskResult:
        """Send a TaskResult. Returns it, for the owner to expect."""
        result = TaskResult(task.id, result_type, b"", (result_payload(self.world.owner_of(task), task.id),))
        self.send(result, fence=fence)
        return result

    def confirm(self, task: TaskRef, kind: CancelConfirmType | int, *, fence: bool = True) -> None:
        """Send a TaskCancelConfirm."""
        self.send(TaskCancelConfirm(task.id, kind), fence=fence)

    def log(self, task: TaskRef, content: str) -> TaskLog:
        """Send a TaskLog. Returns it, for the owner to expect."""
        message = TaskLog(task.id, content=content)
        self.send(message)
        return message

    def announce(self, queue_size: int) -> None:
        """Send a heartbeat with another queue size, as one step."""
        self.queue_size = queue_size
        self.fence()

    def leave(self, *, fence: bool = True) -> None:
        """Say good-bye. With `fence` the other peers then settle.

        A good-bye itself cannot be fenced, since a worker says nothing after it: wait for its first
        effect (`World.wait_until`) before anything that depends on its having been handled.
        """
        self.send(WorkerDisconnectNotification(), fence=False)
        self.gone = True
        if fence:
            self.world.settle()

    def expect_task(self, task: TaskRef, requirement: str, *, content: str = "", vital: bool = False) -> bool:
        """Check that exactly one Task under this id has come, and take it.

        That it is the one that was submitted is checked as well (`World.check_content`): for `content`, or
        `requirement` if that is empty.
        """
        found = [message for message in self.inbox if isinstance(message, Task) and message.task_id == task.id]
        for message in found:
            self.inbox.remove(message)
        holds = len(found) == 1
        happened = f"{self.name} got it {len(found)} times" if found else self._in_words(())
        if holds:
            self.world.check_content(task, found[0], content or requirement)
        return self.world.check(requirement, holds, f"{self.name} gets Task {task.name}", happened, vital=vital)

    def expect_cancel(self, task: TaskRef, requirement: str, *, force: bool = False, vital: bool = False) -> bool:
        """Check that a TaskCancel with this force flag has come, and take it."""
        return self.expect(TaskCancel(task.id, force), requirement, vital=vital)


def result_payload(owner: bytes, task_id: bytes) -> bytes:
    """The payload id of the result of a client's task, as played workers name it."""
    return hashlib.md5(owner).digest() + hashlib.md5(task_id).digest()


@lru_cache(maxsize=64)
def _heartbeat_frame(message: Message) -> bytes:
    return wire.encode(message)


def new_routing_id(role: str, name: str) -> bytes:
    """A routing id that was never used: `Client|C1|hex`."""
    return f"{role}|{name}|{uuid.uuid4().hex}".encode()
