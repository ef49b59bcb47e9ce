"""What a scheduler's judge knows: peers, tasks, and what is due to be sent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from rescind.messages import (
    CancelConfirmType,
    ClientDisconnect,
    DisconnectType,
    Message,
    Task,
    TaskCancel,
    TaskCancelConfirm,
)

NOT_FOUND: Final = CancelConfirmType.CANCEL_NOT_FOUND
CANCELED: Final = CancelConfirmType.CANCELED
CANCEL_FAILED: Final = CancelConfirmType.CANCEL_FAILED

MOST_LOSSES: Final = 10
"""S9.4."""

Effect = tuple[object, ...]
"""What a message does, without what it carries: two messages with the same effect differ only in their content."""


def effect_of(message: Message) -> Effect:
    """See `Effect`."""
    match message:
        case TaskCancel(_, force):
            return TaskCancel, force
        case TaskCancelConfirm(_, kind):
            return TaskCancelConfirm, int(kind)
        case ClientDisconnect(kind):
            return ClientDisconnect, int(kind)
        case _:
            return (type(message),)


@dataclass(slots=True)
class PeerBook:
    """A peer that has said something."""

    role: str = ""
    """"client" or "worker", once it is registered."""
    lost: bool = False
    echoed: bool = False
    """Whether it was ever echoed: from then on it is not one too many (S11.5)."""
    unseen: bool = False
    """What is sent to it, nobody sees."""
    heartbeats: int = 0
    """Those that are still to be echoed."""
    queue_size: int = 0
    load: int = 0
    """How many tasks it holds."""
    told: bool = False
    """It was lost, and has been sent ClientDisconnect since."""


@dataclass(slots=True)
class Due:
    """What must be sent."""

    to: str
    message: Message
    requirement: str
    cause: str
    """Whose message caused it; "": it is only due at rest."""
    echoes: int = 0
    """With so many echoes to `cause` it is missing; 0: it has sent no heartbeat since."""


@dataclass(slots=True)
class TaskBook:
    """A task that a client has submitted."""

    owner: str
    message: Task
    stage: str = "held"
    """"held"; "abandoned": its owner is lost, its holder has it still; "over": its terminal message is sent or due."""
    holder: str = ""
    former: str = ""
    """The holder whose result ended it: what it answers later is dropped (S5.2)."""
    round: str = ""
    """Whose round is open with the holder: "owner", "move", or ""."""
    taken_over: bool = False
    """The owner's round began as a move (S7.6)."""
    forced: bool = False
    """In this round a TaskCancel with force was sent to the holder, or is due."""
    asked: int = 0
    """TaskCancels that the holder has not answered."""
    refusable: bool = True
    """Its Task may still be refused (S1.3)."""
    refused: bool = False
    """A cancel of it has been refused."""
    perhaps: bool = False
    """Nobody is seen to hold it, but a worker whose messages nobody sees may."""
    losses: int = 0
    terminal: Message | None = None
    """The terminal message that was sent."""
    never_again: str = "S1.2"
    """What is broken if it is dispatched when it is over."""
    tempting: dict[tuple[str, Effect], str] = field(default_factory=dict)
    """Effects of what was dropped, by whom they would be sent to ("": any worker); and the requirement."""


def _about(message: Message) -> bytes:
    return getattr(message, "task_id", b"")


@dataclass(slots=True)
class Dues:
    """What is due, by receiver and task."""

    by_receiver: dict[tuple[str, bytes], list[Due]] = field(default_factory=dict)
    """And by task id."""

    def add(self, due: Due) -> None:
        self.by_receiver.setdefault((due.to, _about(due.message)), []).append(due)

    def of(self, to: str, task_id: bytes) -> list[Due]:
        """What is due to a peer about a task, oldest first."""
        return self.by_receiver.get((to, task_id), [])

    def take(self, to: str, message: Message) -> Due | None:
        """Discharge what this message discharges, or else what has at least its effect; None: nothing is."""
        among = self.of(to, _about(message))
        for matches in (lambda due: due.message == message, lambda due: effect_of(due.message) == effect_of(message)):
            for due in among:
                if matches(due):
                    self.remove(due)
                    return due
        return None

    def remove(self, due: Due) -> None:
        key = (due.to, _about(due.message))
        self.by_receiver[key].remove(due)
        if not self.by_receiver[key]:
            del self.by_receiver[key]

    def remove_cancels(self, to: str, task_id: bytes) -> int:
        """Forget the TaskCancels that are due to a worker for a task; how many they were."""
        cancels = [due for due in self.of(to, task_id) if isinstance(due.message, TaskCancel)]
        for due in cancels:
            self.remove(due)
        return len(cancels)

    def remove_receiver(self, to: str) -> None:
        """Forget all that is due to a peer."""
        self.by_receiver = {key: dues for key, dues in self.by_receiver.items() if key[0] != to}

    def on_heartbeat(self, sender: str, unechoed: int) -> None:
        """The echo to this heartbeat, the last of so many, comes after all that its sender has caused (S10.2)."""
        for due in self:
            if due.cause == sender and not due.echoes:
                due.echoes = unechoed

    def on_echo(self, to: str) -> list[Due]:
        """What should have come before this echo, and is now forgotten."""
        missing = []
        for due in list(self):
            if due.cause == to and due.echoes:
                due.echoes -= 1
                if not due.echoes:
                    missing.append(due)
                    self.remove(due)
        return missing

    def __iter__(self) -> Iterator[Due]:
        return (due for dues in self.by_receiver.values() for due in dues)


@dataclass(slots=True)
class Books:
    """The state of a scheduler, as its messages show it, and the steps that change several parts of it at once."""

    peers: dict[str, PeerBook] = field(default_factory=dict)
    tasks: dict[bytes, TaskBook] = field(default_factory=dict)
    graphs: dict[bytes, str] = field(default_factory=dict)
    """The ids of graphs, and of tasks in graphs, and who sent them: this version defines nothing for them."""
    dropped: dict[bytes, str] = field(default_factory=dict)
    """Task ids that were only ever in messages that are dropped, and by which requirement."""
    dues: Dues = field(default_factory=Dues)
    waiting: dict[bytes, None] = field(default_factory=dict)
    """Tasks that are held by the scheduler and by no worker."""
    closing: bool = False
    refused_to_close: bool = False
    """It has refused a shutdown."""

    def __deepcopy__(self, memo: dict[int, object]) -> Books:
        """As `copy.deepcopy` does, but messages, which nobody changes, are shared: they are most of it."""
        return Books(
            {name: replace(peer) for name, peer in self.peers.items()},
            {task_id: replace(task, tempting=dict(task.tempting)) for task_id, task in self.tasks.items()},
            dict(self.graphs),
            dict(self.dropped),
            Dues({key: [replace(due) for due in dues] for key, dues in self.dues.by_receiver.items()}),
            dict(self.waiting),
            self.closing,
            self.refused_to_close,
        )

    def peer(self, name: str) -> PeerBook:
        """What is known of a peer, nothing for a new one."""
        return self.peers.setdefault(name, PeerBook())

    def owe(self, to: str, message: Message, requirement: str, cause: str = "") -> None:
        """From now on a message is due."""
        self.dues.add(Due(to, message, requirement, cause))

    def submit(self, owner: str, message: Task) -> None:
        """A task is accepted."""
        self.tasks[message.task_id] = TaskBook(owner, message)
        self._wait(message.task_id)

    def assign(self, task_id: bytes, task: TaskBook, worker: str) -> None:
        """A worker holds the task, and no other."""
        self.take_back(task_id, task)
        self.waiting.pop(task_id, None)
        task.holder, task.refusable, task.perhaps = worker, False, False
        self.peer(worker).load += 1

    def take_back(self, task_id: bytes, task: TaskBook) -> None:
        """Nobody holds the task any more."""
        if task.holder:
            self.peer(task.holder).load -= 1
            self.dues.remove_cancels(task.holder, task_id)
            if task.stage == "held":
                self._wait(task_id)
        task.holder = ""
        self.close_round(task)

    def close_round(self, task: TaskBook) -> None:
        """No round is open for the task."""
        task.round, task.asked, task.forced, task.taken_over = "", 0, False, False

    def end(
        self, task_id: bytes, terminal: Message, requirement: str, *, cause: str = "", never_again: str = "S1.2"
    ) -> None:
        """The task is over: its terminal message is due."""
        task = self.tasks[task_id]
        self.forget(task_id, task, never_again)
        self.owe(task.owner, terminal, requirement, cause)

    def forget(self, task_id: bytes, task: TaskBook, never_again: str) -> None:
        """The task is over, whatever becomes of its owner."""
        self.take_back(task_id, task)
        self.waiting.pop(task_id, None)
        task.stage, task.never_again = "over", never_again
        task.tempting.clear()

    def lose(self, name: str, *, silent: bool = False) -> None:
        """A peer is lost: S9.2, S9.3, S9.7, in one step (S9.5)."""
        peer = self.peer(name)
        peer.lost, peer.heartbeats = True, 0
        self.dues.remove_receiver(name)
        for task_id, task in list(self.tasks.items()):
            if task.holder == name:
                self._lose_holder(task_id, task)
            elif task.owner == name and task.stage == "held":
                self._lose_owner(task_id, task, silent=silent)

    def close(self) -> None:
        """An orderly shutdown begins (S9.10)."""
        if self.closing:
            return
        self.closing = True
        for name, peer in list(self.peers.items()):
            if peer.role == "worker" and not peer.lost:
                self.owe(name, ClientDisconnect(DisconnectType.SHUTDOWN), "S9.10")
        for task_id in list(self.waiting):
            self.end(task_id, TaskCancelConfirm(task_id, CANCELED), "S9.10")

    def waits_beside_room(self) -> bool:
        """Whether a task waits though a worker that may run it has room (S9.9)."""
        return (
            not self.closing
            and any(self._may_run(self.tasks[task_id]) for task_id in self.waiting)
            and any(
                peer.role == "worker" and not peer.lost and peer.load < peer.queue_size for peer in self.peers.values()
            )
        )

    def hide(self, name: str) -> None:
        """From now on nobody sees what is sent to a peer."""
        self.peer(name).unseen = True
        for task_id in self.waiting:
            self._wait(task_id)

    def _wait(self, task_id: bytes) -> None:
        self.waiting[task_id] = None
        if any(peer.unseen and peer.role == "worker" and not peer.lost for peer in self.peers.values()):
            self.tasks[task_id].perhaps = True

    @staticmethod
    def _may_run(task: TaskBook) -> bool:
        """Whether the task waits, and any worker may run it, as far as this document knows."""
        return not task.perhaps and not task.message.capabilities

    def _lose_holder(self, task_id: bytes, task: TaskBook) -> None:
        owners_round = task.round == "owner"
        task.losses = min(task.losses + 1, MOST_LOSSES + 1)
        self.take_back(task_id, task)
        if task.stage == "abandoned":
            self.forget(task_id, task, "S9.7")
        elif owners_round:
            self.end(task_id, TaskCancelConfirm(task_id, CANCELED), "S9.2", never_again="S9.2")
        elif self.closing:
            self.end(task_id, TaskCancelConfirm(task_id, CANCELED), "S9.10")

    def _lose_owner(self, task_id: bytes, task: TaskBook, *, silent: bool) -> None:
        if not task.holder:
            self.forget(task_id, task, "S9.7")
        else:
            task.stage = "abandoned"
            if not task.forced:
                self.dues.remove_cancels(task.holder, task_id)
                self.owe(task.holder, TaskCancel(task_id, force=True), "S9.7")
        if silent:
            self.owe(task.owner, TaskCancelConfirm(task_id, NOT_FOUND), "S9.11")
