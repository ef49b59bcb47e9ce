"""What a scheduler's judge knows of peers and tasks, and the steps that change several of them at once.

Where the records allow more than one reading, the books say so, and nothing is held against the scheduler that one of
them allows: a peer may be `vague`, a task `doubtful` or "unclear", a worker's place in doubt.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from rescind.messages import (
    CancelConfirmType,
    ClientDisconnect,
    ClientShutdownResponse,
    DisconnectType,
    Message,
    Task,
    TaskCancel,
    TaskCancelConfirm,
    TaskResult,
    TaskResultType,
)
from rescind_conformance.judge.scheduler_dues import Due, Dues, Effect

NOT_FOUND: Final = CancelConfirmType.CANCEL_NOT_FOUND
CANCELED: Final = CancelConfirmType.CANCELED
CANCEL_FAILED: Final = CancelConfirmType.CANCEL_FAILED
SHUTDOWN: Final = ClientDisconnect(DisconnectType.SHUTDOWN)

MOST_LOSSES: Final = 10
"""S9.4."""
REMEMBERED: Final = 1000
"""So many lost peers' ids are remembered at least (S9.6, S9.8)."""


@dataclass(slots=True)
class PeerBook:
    """A peer that has said something."""

    role: str = ""
    """"client" or "worker" from its first heartbeat or Task on."""
    sure: bool = False
    """It is registered for certain, since it was served; until then it may be one too many (S11.5)."""
    vague: bool = False
    """Whether it is registered, and as what, or lost, cannot be told: nothing is asked that concerns it."""
    lost: bool = False
    oddly: bool = False
    """It left with a disconnectType that has no name (M6)."""
    told: bool = False
    """It was lost, and its heartbeat has been answered with ClientDisconnect."""
    warned: bool = False
    """It was lost, and has been sent ClientDisconnect unasked."""
    unseen: bool = False
    """What is sent to it, nobody sees."""
    heartbeats: int = 0
    """Those that are still to be echoed."""
    excused: int = 0
    """Those that may be echoed, and need not be."""
    queue_size: int = 0
    load: int = 0
    """How many tasks it holds."""
    doubts: int = 0
    """How many more it may hold, in the scheduler's eyes."""
    graphs: bool = False
    """It was given tasks of graphs: how many it holds is not known."""

    @property
    def serves(self) -> bool:
        """Whether it is a worker that may be given tasks."""
        return self.role == "worker" and not self.lost and not self.vague

    @property
    def room(self) -> int:
        """How many more tasks it can be given for certain, if it is registered."""
        return max(0, self.queue_size - self.load - self.doubts) if self.serves and not self.graphs else 0


@dataclass(slots=True)
class TaskBook:
    """A task that a client has submitted."""

    owner: str
    message: Task
    stage: str = "held"
    """"held"; "abandoned": its owner is lost, its holder has it still; "over": its terminal message is sent or due;
    "unclear": the scheduler has done with it what makes no sense, and whatever follows is no surprise.
    """
    holder: str = ""
    returned_by: str = ""
    """The holder that gave it back last."""
    finished_by: str = ""
    """The holder whose result ended it: what it answers later is dropped (S5.2)."""
    round: str = ""
    """Whose round is open with the holder: "owner", "move", or ""."""
    taken_over: bool = False
    """The owner's round began as a move (S7.6)."""
    forced: bool = False
    """In this round a TaskCancel with force was sent to the holder, or is due."""
    asked: int = 0
    """TaskCancels that were sent to the holder, or are due, and are not answered."""
    refused: bool = False
    """A cancel of it has been refused."""
    doubtful: bool = False
    """Held, and it may have gone to a worker whose messages nobody sees, or have been refused, or is known to wait
    where it should not.
    """
    waits_by: str = "S9.9"
    """By which requirement it is placed, while it waits."""
    losses: int = 0
    terminal: Message | None = None
    """The terminal message that was sent."""
    never_again: str = "S1.2"
    """What is broken if it is dispatched when it is over."""
    places: tuple[str, ...] = ()
    """Workers at which it may count as held though it is not."""
    tempting: dict[tuple[str, Effect], str] = field(default_factory=dict)
    """Effects of what was dropped, by whom they would be sent to ("": any worker); and the requirement."""


@dataclass(slots=True)
class Cause:
    """A message that made it possible to place so many more tasks (S9.9)."""

    sender: str
    count: int
    echoes: int = 0
    """As in `Due`."""


@dataclass(slots=True)
class Books:
    """The state of a scheduler, as its messages show it."""

    peers: dict[str, PeerBook] = field(default_factory=dict)
    tasks: dict[bytes, TaskBook] = field(default_factory=dict)
    graphs: dict[bytes, tuple[str, bytes]] = field(default_factory=dict)
    """The ids of graphs, and of tasks in graphs, of which nothing is defined: who sent them, in which graph."""
    dropped: dict[bytes, str] = field(default_factory=dict)
    """Task ids that were only ever in messages that are dropped, and by which requirement."""
    dues: Dues = field(default_factory=Dues)
    waiting: dict[bytes, None] = field(default_factory=dict)
    """Tasks that wait for a worker, and that any worker may run."""
    causes: list[Cause] = field(default_factory=list)
    """Why tasks could be placed that were not yet."""
    lost: dict[str, None] = field(default_factory=dict)
    """Lost peers that the scheduler must remember, the one lost first comes first."""
    closing: bool = False
    closing_unsaid: bool = False
    """It shuts down for a client, and has not answered accordingly yet (S11.6)."""
    refused_to_close: bool = False

    def __deepcopy__(self, memo: dict[int, object]) -> Books:
        """As `copy.deepcopy` does, but messages, which nobody changes, are shared: they are most of it."""
        return Books(
            {name: replace(peer) for name, peer in self.peers.items()},
            {task_id: replace(task, tempting=dict(task.tempting)) for task_id, task in self.tasks.items()},
            dict(self.graphs),
            dict(self.dropped),
            self.dues.copy(),
            dict(self.waiting),
            [replace(cause) for cause in self.causes],
            dict(self.lost),
            self.closing,
            self.closing_unsaid,
            self.refused_to_close,
        )

    def peer(self, name: str) -> PeerBook:
        """What is known of a peer, nothing for a new one."""
        return self.peers.setdefault(name, PeerBook())

    def owe(self, to: str, message: Message, requirement: str, cause: str = "", *, optional: bool = False) -> None:
        """From now on a message is due."""
        self.dues.add(Due(to, message, requirement, cause, optional=optional))

    def serve(self, name: str, role: str) -> None:
        """It has become clear that a peer is registered."""
        peer = self.peer(name)
        peer.role, peer.sure = role, True
        if peer.vague:
            peer.vague = peer.lost = False
            self.lost.pop(name, None)
            self.excuse_heartbeats(name, peer.heartbeats)

    def excuse_heartbeats(self, name: str, count: int) -> None:
        """So many of a peer's heartbeats need not be echoed; nor does any echo to it come after anything."""
        peer = self.peer(name)
        peer.heartbeats -= count
        peer.excused += count
        for due in list(self.dues):
            if due.cause == name:
                due.cause, due.echoes = "", 0

    # --- one task

    def submit(self, owner: str, message: Task, *, doubtful: bool = False) -> None:
        """A task is accepted, unless the scheduler still says that it is refused."""
        task_id = message.task_id
        former = self.tasks.get(task_id)
        task = self.tasks[task_id] = TaskBook(owner, message, doubtful=doubtful)
        task.places = former.places if former is not None else ()
        self.may_refuse(owner, task_id)
        self._wait(task_id, task, "S9.9")

    def may_refuse(self, owner: str, task_id: bytes) -> None:
        """A Task may be refused for a limit, until its sender has an echo."""
        self.dues.add(Due(owner, TaskCancelConfirm(task_id, NOT_FOUND), "S1.3", owner, optional=True, refuses=True))

    def refusals(self, task: TaskBook) -> list[Due]:
        """By which it may still be refused."""
        return [due for due in self.dues.about(task.message) if due.refuses and due.to == task.owner]

    def accept(self, task: TaskBook) -> None:
        """It has become clear that a task was not refused."""
        for due in self.refusals(task):
            self.dues.remove(due)
        task.doubtful = False
        if task.stage == "held":
            self.serve(task.owner, "client")

    def assign(self, task_id: bytes, task: TaskBook, worker: str) -> None:
        """A worker holds the task."""
        self.waiting.pop(task_id, None)
        task.holder = worker
        self.peer(worker).load += 1

    def release(self, task_id: bytes, task: TaskBook) -> None:
        """No worker holds the task any more, and it does not wait for one."""
        self.waiting.pop(task_id, None)
        if task.holder:
            self.peer(task.holder).load -= 1
            for due in self.cancels_due(task):
                self.dues.excuse(due)
        task.holder = ""
        self.close_round(task)

    def give_back(self, task_id: bytes, task: TaskBook) -> None:
        """The holder says that it does not have it: it is placed again."""
        task.returned_by = task.holder
        self.release(task_id, task)
        self._wait(task_id, task, "S7.3")

    def close_round(self, task: TaskBook) -> None:
        """No round is open for the task."""
        task.round, task.asked, task.forced, task.taken_over = "", 0, False, False

    def cancels_due(self, task: TaskBook) -> list[Due]:
        """The TaskCancels that have to be sent to the holder."""
        dues = self.dues.about(task.message)
        return [
            due for due in dues if isinstance(due.message, TaskCancel) and due.to == task.holder and not due.optional
        ]

    def end(
        self, task_id: bytes, terminal: Message, requirement: str, *, cause: str = "", never_again: str = "S1.2"
    ) -> None:
        """The task is over: its terminal message is due."""
        task = self.tasks[task_id]
        self.forget(task_id, task, never_again)
        self.owe(task.owner, terminal, requirement, cause)

    def forget(self, task_id: bytes, task: TaskBook, never_again: str) -> None:
        """The task is over, whatever becomes of its owner."""
        self.release(task_id, task)
        task.stage, task.never_again = "over", never_again
        task.tempting.clear()

    def give_up(self, task_id: bytes, task: TaskBook) -> None:
        """What the scheduler has done makes no sense: what it takes the task for cannot be known from now on."""
        if task.holder:
            self.doubt(task, task.holder)
        self.release(task_id, task)
        task.stage = "unclear"
        for due in self.dues.about(task.message):
            self.dues.late(due)

    def doubt(self, task: TaskBook, worker: str) -> None:
        """In the scheduler's eyes the task may have a place there."""
        if worker not in task.places:
            task.places = (*task.places, worker)
            self.peer(worker).doubts += 1

    def clear_doubt(self, task: TaskBook, worker: str) -> None:
        """It has no place there for certain."""
        if worker in task.places:
            task.places = tuple(name for name in task.places if name != worker)
            self.peer(worker).doubts -= 1

    def _wait(self, task_id: bytes, task: TaskBook, requirement: str) -> None:
        task.waits_by = requirement
        if any(peer.unseen and peer.serves for peer in self.peers.values()):
            task.doubtful = True
        if not task.doubtful and not task.message.capabilities:
            self.waiting[task_id] = None

    # --- peers

    def lose(self, name: str, *, silent: bool = False, oddly: bool = False) -> None:
        """A peer is lost: S9.2, S9.3, S9.7, in one step (S9.5)."""
        peer = self.peer(name)
        peer.lost, peer.vague, peer.heartbeats, peer.oddly = True, not peer.sure, 0, oddly
        for due in list(self.dues):
            task = self.tasks.get(getattr(due.message, "task_id", b""))
            if due.to != name:
                continue
            if task is not None and task.owner == name and task.stage == "held" and not due.refuses:
                self.dues.remove(due)
            else:
                self.dues.excuse(due)
        for task_id, task in list(self.tasks.items()):
            self.clear_doubt(task, name)
            if task.holder == name:
                self._lose_holder(task_id, task)
            elif task.owner == name and task.stage == "held":
                self._lose_owner(task_id, task, silent=silent)
        self.lost.pop(name, None)
        self.lost[name] = None
        if len(self.lost) > REMEMBERED:
            forgotten = next(iter(self.lost))
            del self.lost[forgotten]
            self.peer(forgotten).vague = True

    def _lose_holder(self, task_id: bytes, task: TaskBook) -> None:
        owners_round = task.round == "owner"
        task.losses += 1
        self.release(task_id, task)
        if task.stage == "abandoned":
            self.forget(task_id, task, "S9.7")
        elif owners_round:
            self.end(task_id, TaskCancelConfirm(task_id, CANCELED), "S9.2", never_again="S9.2")
        elif self.closing:
            self.end(task_id, TaskCancelConfirm(task_id, CANCELED), "S9.10", never_again="S9.10")
        elif task.losses >= MOST_LOSSES:
            died = TaskResult(task_id, TaskResultType.FAILED_WORKER_DIED)
            self.end(task_id, died, "S9.4", never_again="S9.4")
        else:
            self._wait(task_id, task, "S9.3")

    def _lose_owner(self, task_id: bytes, task: TaskBook, *, silent: bool) -> None:
        requirement = "M6" if self.peer(task.owner).oddly else "S9.7"
        if not task.holder:
            self.forget(task_id, task, requirement)
        else:
            task.stage = "abandoned"
            if not task.forced:
                for due in self.cancels_due(task):
                    self.dues.remove(due)
                    task.asked -= 1
                self.owe(task.holder, TaskCancel(task_id, force=True), requirement)
                task.asked += 1
        if silent and not task.doubtful:
            self.owe(task.owner, TaskCancelConfirm(task_id, NOT_FOUND), "S9.11")

    def close(self) -> None:
        """An orderly shutdown begins (S9.10)."""
        if self.closing:
            return
        self.closing = True
        for name, peer in list(self.peers.items()):
            if peer.serves:
                self.owe(name, SHUTDOWN, "S9.10")
        for task_id, task in self.tasks.items():
            if task.stage == "held" and not task.holder and not task.doubtful:
                self.end(task_id, TaskCancelConfirm(task_id, CANCELED), "S9.10", never_again="S9.10")

    def may_be_closing(self) -> bool:
        """Whether it shuts down, or a client has asked it to and it has not answered."""
        return self.closing or any(isinstance(due.message, ClientShutdownResponse) for due in self.dues)

    def hide(self, name: str) -> None:
        """From now on nobody sees what is sent to a peer."""
        self.peer(name).unseen = True
        for task_id, task in self.tasks.items():
            if task.stage == "held" and not task.holder:
                self.waiting.pop(task_id, None)
                self._wait(task_id, task, task.waits_by)

    # --- places (S9.9)

    def placeable(self, *, surely: bool = False) -> int:
        """How many of the tasks that wait there is room for; `surely`: those that are not refused, at workers that are
        registered.
        """
        if not self.waiting or self.may_be_closing():
            return 0
        room = sum(peer.room for peer in self.peers.values() if peer.sure or not surely)
        if not surely or not room:
            return min(len(self.waiting), room)
        return min(sum(not self.refusals(self.tasks[task_id]) for task_id in self.waiting), room)

    def blame(self, count: int) -> tuple[str, list[bytes]]:
        """Which of the tasks that wait beside room are told of, and the requirement. They are told of once."""
        elsewhere = [name for name, peer in self.peers.items() if peer.room]

        def directly(task_id: bytes) -> str:
            """By which requirement this task is placed, unless it is the place that may have been forgotten."""
            task = self.tasks[task_id]
            return task.waits_by if elsewhere != [task.returned_by] else "S9.9"

        told = sorted(self.waiting, key=lambda task_id: directly(task_id) == "S9.9")[:count]
        requirement = directly(told[0])
        for task_id in told:
            self.tasks[task_id].doubtful = True
            del self.waiting[task_id]
        return requirement, told
