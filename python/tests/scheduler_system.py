"""A scheduler's machine with clients and workers that say what a test wants, without sockets."""

from __future__ import annotations

from rescind.messages import CancelConfirmType, Message, Task, TaskCancelConfirm, WorkerHeartbeat
from rescind.scheduler_machine import (
    Dropped,
    Event,
    Forward,
    Instruction,
    Received,
    SchedulerMachine,
    SchedulerSettings,
    Send,
)


class Frame(bytes):
    """Stands for a frame on the wire and remembers what it says."""

    message: Message

    @classmethod
    def of(cls, message: Message) -> Frame:
        frame = cls(repr(message).encode())
        frame.message = message
        return frame


class System:
    """A machine and what it has sent to each peer since it was last looked at."""

    def __init__(self, machine_settings: SchedulerSettings | None = None) -> None:
        self.machine = SchedulerMachine(machine_settings)
        self.now = 0.0
        self.boxes: dict[bytes, list[Message]] = {}
        self.dropped: list[str] = []
        self.others: list[Instruction] = []

    def happen(self, event: Event) -> None:
        for instruction in self.machine.handle(event):
            match instruction:
                case Send(to, message):
                    self.boxes.setdefault(to, []).append(message)
                case Forward(to, frame):
                    assert isinstance(frame, Frame)
                    self.boxes.setdefault(to, []).append(frame.message)
                case Dropped(_, reason, _):
                    self.dropped.append(reason)
                case _:
                    self.others.append(instruction)

    def say(self, sender: bytes, message: Message) -> None:
        self.happen(Received(sender, message, Frame.of(message), self.now))

    def heard(self, peer: bytes) -> list[Message]:
        return self.boxes.pop(peer, [])

    def worker(self, name: bytes = b"W1", queue_size: int = 10) -> bytes:
        self.say(name, WorkerHeartbeat(queue_size=queue_size))
        return name

    def dispatched(self, name: bytes = b"T1", owner: bytes = b"C1", worker: bytes = b"W1") -> Task:
        """A task of `owner` that `worker` has been sent; the boxes are empty afterwards."""
        if worker not in self.machine._workers:
            self.worker(worker)
        task = Task(name)
        self.say(owner, task)
        assert task in self.heard(worker)
        self.boxes.clear()
        return task


def confirm(task_id: bytes, kind: CancelConfirmType) -> TaskCancelConfirm:
    return TaskCancelConfirm(task_id, kind)
