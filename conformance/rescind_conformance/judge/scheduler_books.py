"""The books of a scheduler's judge, and the steps that change several entries at once."""

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
from rescind_conformance.judge.scheduler_dues import Due, Dues
from rescind_conformance.judge.scheduler_entries import GraphBook, PeerBook, TaskBook

NOT_FOUND: Final = CancelConfirmType.CANCEL_NOT_FOUND
CANCELED: Final = CancelConfirmType.CANCELED
CANCEL_FAILED: Final = CancelConfirmType.CANCEL_FAILED
SHUTDOWN: Final = ClientDisconnect(DisconnectType.SHUTDOWN)

MOST_LOSSES: Final = 10
"""S9.4."""
REMEMBERED: Final = 1000
"""So many lost peers' ids are remembered at least (S9.6, S9.8)."""


@dataclass(frozen=True, slots=True)
class Cause:
    """A message that made it possible to place so many more tasks (S9.9)."""

    sender: str
    count: int
    echoes: int = 0
    """As in `Due`."""


_NOBODY: Final = PeerBook()


@dataclass(slots=True)
class Books:
    """The state of a scheduler, as its messages show it.

    Copies share what does not change: entries are changed by way of `peer` and `task` only, from one call of `settle`
    to the next.
    """

    peers: dict[str, PeerBook] = field(default_factory=dict)
    tasks: dict[bytes, TaskBook] = field(default_factory=dict)
    graphs: dict[bytes, GraphBook] = field(default_factory=dict)
    dropped: dict[bytes, str] = field(default_factory=dict, compare=False)
    """Task ids that were only ever in messages that are dropped, and by which requirement."""
    dues: Dues = field(default_factory=Dues)
    waiting: dict[bytes, None] = field(default_factory=dict)
    """Tasks that wait for a worker, and that any worker may run."""
    causes: tuple[Cause, ...] = ()
    """Why tasks could be placed that were not yet."""
    overtaken: tuple[bytes, ...] = ()
    """Tasks that an echo has come before, though they should have been placed; nothing has come since."""
    lost: dict[str, None] = field(default_factory=dict)
    """Lost peers that the scheduler must remember, the one lost first comes first."""
    draining: bool = False
    closing: bool = False
    closing_unsaid: bool = False
    """It shuts down for a client, and has not answered accordingly yet (S11.6)."""
    refused_to_close: bool = field(default=False, compare=False)
    ended: list[tuple[bytes, Message, str]] = field(default_factory=list, compare=False)
    """Nodes that have ended in this step, how, and whose message has caused it."""
    may_have_died: list[bytes] = field(default_factory=list, compare=False)
    """Nodes that were lost with their worker in this step: they wait, or end as `failedWorkerDied` (S9.3)."""
    own_peers: dict[str, None] = field(default_factory=dict, compare=False)
    """Entries that were changed since `settle`: no copy shares them."""
    own_tasks: dict[bytes, None] = field(default_factory=dict, compare=False)

    def copy(self) -> Books:
        """A copy; what nobody changes is shared: most of it."""
        self.settle()
        return Books(
            dict(self.peers),
            dict(self.tasks),
            {graph_id: graph.copy() for graph_id, graph in self.graphs.items()},
            dict(self.dropped),
            self.dues.copy(),
            dict(self.waiting),
            self.causes,
            self.overtaken,
            dict(self.lost),
            self.draining,
            self.closing,
            self.closing_unsaid,
            self.refused_to_close,
        )

    def settle(self) -> None:
        """What was changed is not changed any more: the next change is to a copy."""
        self.own_peers.clear()
        self.own_tasks.clear()

    def peer(self, name: str) -> PeerBook:
        """The entry of a peer, to be changed; a new one for a new peer."""
        if name not in self.own_peers:
            self.own_peers[name] = None
            self.peers[name] = self.peers[name].copy() if name in self.peers else PeerBook()
        return self.peers[name]

    def task(self, task_id: bytes) -> TaskBook | None:
        """The entry of a task, to be changed."""
        if task_id not in self.own_tasks and task_id in self.tasks:
            self.own_tasks[task_id] = None
            self.tasks[task_id] = self.tasks[task_id].copy()
        return self.tasks.get(task_id)

    def held(self, task_id: bytes) -> TaskBook:
        """The entry of a task that there is, to be changed."""
        task = self.task(task_id)
        assert task is not None
        return task

    def look(self, name: str) -> PeerBook:
        """What is known of a peer."""
        return self.peers.get(name, _NOBODY)

    def owe(
        self,
        to: str,
        message: Message,
        requirement: str,
        cause: str = "",
        *,
        optional: bool = False,
        of_graph: bytes = b"",
    ) -> None:
        """From now on a message is due."""
        self.dues.add(Due(to, message, requirement, cause, optional=optional, of_graph=of_graph))

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
        self.dues.detach(name)

    # --- one task

    def submit(self, owner: str, message: Task, *, doubtful: bool = False) -> None:
        """A task is accepted, unless the scheduler still says that it is refused."""
        task_id = message.task_id
        former = self.tasks.get(task_id)
        task = self.open(owner, message)
        task.doubtful = doubtful
        task.places = former.places if former is not None else ()
        self.may_refuse(owner, task_id)
        self._wait(task_id, task, "S9.9")

    def open(self, owner: str, message: Task) -> TaskBook:
        """A new entry."""
        self.own_tasks[message.task_id] = None
        if message.task_id in self.graphs:
            self.graphs[message.task_id].replaced = True
        task = self.tasks[message.task_id] = TaskBook(owner, message)
        return task

    def may_refuse(self, owner: str, task_id: bytes, *, of_graph: bytes = b"") -> None:
        """A Task, or a graph, may be refused for a limit, until its sender has an echo."""
        refusal = TaskCancelConfirm(task_id, NOT_FOUND)
        self.dues.add(Due(owner, refusal, "S1.3", owner, optional=True, refuses=True, of_graph=of_graph))

    def refusals(self, task: TaskBook) -> list[Due]:
        """By which it may still be refused."""
        about = self.dues.by_task.get(task.graph or task.message.task_id, ())
        return [due for due in about if due.refuses and due.to == task.owner and due.of_graph == task.graph]

    def accept(self, task: TaskBook) -> None:
        """It has become clear that a task was not refused."""
        for due in self.refusals(task):
            self.dues.remove(due)
        if task.graph in self.graphs:
            for target in self.graphs[task.graph].message.targets:
                for due in [due for due in self.dues.by_task.get(target, ()) if due.of_graph == task.graph]:
                    if due.refuses:
                        self.dues.remove(due)
        task.doubtful = task.asked_in_doubt = False
        if task.stage == "held":
            self.serve(task.owner, "client")

    def assign(self, task_id: bytes, task: TaskBook, worker: str) -> None:
        """A worker holds the task."""
        self.waiting.pop(task_id, None)
        task.holder, task.lost_with, task.may_have_died = worker, "", 0
        self.peer(worker).load += 1

    def release(self, task_id: bytes, task: TaskBook) -> None:
        """No worker holds the task any more, and it does not wait for one."""
        self.waiting.pop(task_id, None)
        if task.holder:
            self.peer(task.holder).load -= 1
            for due in self.cancels_due(task):
                self.dues.excuse(due)
            task.last_holder = task.holder
        task.holder = ""
        self.close_round(task)

    def give_back(self, task_id: bytes, task: TaskBook) -> None:
        """The holder says that it does not have it: it is placed again."""
        self.release(task_id, task)
        self._wait(task_id, task, "S7.3")

    def close_round(self, task: TaskBook) -> None:
        """No round is open for the task."""
        task.round, task.asked, task.forced, task.taken_over, task.absorbed = "", 0, False, False, False
        joining = [what for what, by in task.tempting.items() if by in ("S6.1", "S7.6") and what[0] != task.owner]
        for what in joining:
            del task.tempting[what]

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
        task = self.held(task_id)
        self.forget(task_id, task, never_again)
        self.owe(task.owner, terminal, requirement, cause)
        self.note_ended(task_id, task, terminal, cause)

    def note_ended(self, task_id: bytes, task: TaskBook, terminal: Message, cause: str = "") -> None:
        """If the task is a node, others may depend on how it has ended."""
        if task.graph:
            self.ended.append((task_id, terminal, cause))

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
        if task.graph:
            self.give_up_graph(self.graphs[task.graph])
        for due in self.dues.about(task.message):
            self.dues.late(due)

    def has_failed(self, task: TaskBook) -> bool:
        """Whether it is a node of a graph in which another has failed."""
        return task.graph in self.graphs and self.graphs[task.graph].failed is not None

    def give_up_graph(self, graph: GraphBook) -> None:
        """The same of a whole graph."""
        if graph.stage == "unclear":
            return
        graph.stage = "unclear"
        for task_id in (graph.message.task_id, *(node.task_id for node in graph.message.graph)):
            for due in self.dues.by_task.get(task_id, ()):
                self.dues.late(due)
            task = self.task(task_id)
            if task is not None and task.graph == graph.message.task_id and task.stage == "held":
                self.give_up(task_id, task)

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

    def make_ready(self, task_id: bytes, message: Task) -> None:
        """All that a node depends on has succeeded: this is what its worker is to be sent."""
        task = self.held(task_id)
        task.message, task.ready = message, True
        self._wait(task_id, task, "S12.4")

    def _wait(self, task_id: bytes, task: TaskBook, requirement: str) -> None:
        task.waits_by = requirement
        if task.spared is not None:
            self.end(task_id, task.spared, "S12.9", never_again="S12.9")
            return
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
            if due.to != name:
                continue
            task = self.tasks.get(getattr(due.message, "task_id", b""))
            if task is not None and task.owner == name and task.stage == "held" and not due.refuses:
                self.dues.remove(due)
            else:
                self.dues.excuse(due)
        for task_id, task in list(self.tasks.items()):
            if name in task.places:
                self.clear_doubt(self.held(task_id), name)
            if task.holder == name:
                self._lose_holder(task_id, self.held(task_id))
            elif task.owner == name and task.stage == "held":
                self._lose_owner(task_id, self.held(task_id), silent=silent)
        for graph_id, graph in self.graphs.items():
            if graph.owner == name and graph.stage == "held":
                graph.stage = "over"
                if silent:
                    self.owe(name, TaskCancelConfirm(graph_id, NOT_FOUND), "S12.18")
        self.lost.pop(name, None)
        self.lost[name] = None
        if len(self.lost) > REMEMBERED:
            forgotten = next(iter(self.lost))
            del self.lost[forgotten]
            self.peer(forgotten).vague = True

    def _lose_holder(self, task_id: bytes, task: TaskBook) -> None:
        owners_round = task.round == "owner"
        task.losses += 1
        # A stranger's TaskCancel that was not answered yet is as likely a reason as the loss, for what comes next.
        strangers = any(due.requirement == "S2.2" for due in self.dues.by_task.get(task_id, ()))
        task.tempting = {what: by for what, by in task.tempting.items() if strangers and by == "S2.2"}
        self.release(task_id, task)
        task.lost_with = task.last_holder
        if task.stage == "abandoned":
            self.forget(task_id, task, "S9.7")
        elif owners_round:
            self._end_in_loss(task_id, task, TaskCancelConfirm(task_id, CANCELED), "S9.2")
        elif self.closing:
            self._end_in_loss(task_id, task, TaskCancelConfirm(task_id, CANCELED), "S9.10")
        elif task.losses >= MOST_LOSSES:
            self._end_in_loss(task_id, task, TaskResult(task_id, TaskResultType.FAILED_WORKER_DIED), "S9.4")
        else:
            task.may_have_died = self.look(task.owner).heartbeats + 1
            self._wait(task_id, task, "S9.3")
            if task.graph and task.stage == "held":
                self.may_have_died.append(task_id)

    def _end_in_loss(self, task_id: bytes, task: TaskBook, terminal: Message, requirement: str) -> None:
        """As `end`, in the one step that a loss is (S9.5)."""
        self.forget(task_id, task, requirement)
        self.dues.add(Due(task.owner, terminal, requirement, task.owner, step=True))
        self.note_ended(task_id, task, terminal)

    def _lose_owner(self, task_id: bytes, task: TaskBook, *, silent: bool) -> None:
        requirement = self.look(task.owner).lost_by("S12.18" if task.graph and not task.ready else "S9.7")
        task.graph = b""
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
        for task_id, task in list(self.tasks.items()):
            if task.stage == "held" and not task.holder and not task.doubtful:
                requirement = "S9.10" if task.ready else "S12.18"
                self.end(task_id, TaskCancelConfirm(task_id, CANCELED), requirement, never_again=requirement)

    def close_unsaid(self) -> None:
        """It has begun a shutdown that a client has asked for, and has not said so."""
        self.close()
        self.closing_unsaid = True

    def may_be_closing(self) -> bool:
        """Whether it shuts down, or a client has asked it to and it has not answered."""
        return self.closing or any(isinstance(due.message, ClientShutdownResponse) for due in self.dues)

    def hide(self, name: str) -> None:
        """From now on nobody sees what is sent to a peer."""
        self.peer(name).unseen = True
        for task_id, task in list(self.tasks.items()):
            if task.stage == "held" and not task.holder:
                self.waiting.pop(task_id, None)
                if task.graph:
                    self.give_up(task_id, self.held(task_id))
                else:
                    self._wait(task_id, self.held(task_id), task.waits_by)

    # --- places (S9.9)

    def placeable(self, *, surely: bool = False) -> int:
        """How many of the tasks that wait there is room for; `surely`: those that are held for certain, at workers that
        are registered.
        """
        if not self.waiting or self.may_be_closing():
            return 0
        room = sum(peer.room for peer in self.peers.values() if peer.sure or not surely)
        room = max(0, room - self._unclear_nodes())
        if not surely or not room:
            return min(len(self.waiting), room)
        return min(sum(self._surely_held(self.tasks[task_id]) for task_id in self.waiting), room)

    def _surely_held(self, task: TaskBook) -> bool:
        return not task.may_have_died and not self.refusals(task)

    def _unclear_nodes(self) -> int:
        """How many tasks of graphs may wait, or hold places, that nobody knows of."""
        nodes = [
            node.task_id for graph in self.graphs.values() if graph.stage == "unclear" for node in graph.message.graph
        ]
        return sum(task_id in self.tasks and self.tasks[task_id].stage == "unclear" for task_id in nodes)

    def left_waiting(self, echoed: str) -> int:
        """How many tasks should have been placed before this echo, since it was the peer that made it possible."""
        due = [cause for cause in self.causes if cause.sender == echoed and cause.echoes]
        self.causes = tuple(
            replace(cause, echoes=cause.echoes - 1) if cause in due else cause
            for cause in self.causes
            if cause not in due or cause.echoes > 1
        )
        known = False
        for task_id in self.waiting:
            task = self.tasks[task_id]
            if task.may_have_died and task.owner == echoed:
                task = self.held(task_id)
                task.may_have_died -= 1
                known = known or not task.may_have_died
        if all(cause.echoes > 1 for cause in due) and not known:
            return 0
        return self.placeable(surely=True) - sum(cause.count for cause in self.causes)

    def blame(self, count: int) -> tuple[str, list[bytes]]:
        """Which of the tasks that wait beside room are told of, and the requirement. They are told of once."""
        elsewhere = [name for name, peer in self.peers.items() if peer.room]

        def directly(task_id: bytes) -> str:
            """By which requirement this task is placed, unless it is the place that may have been forgotten."""
            task = self.tasks[task_id]
            return task.waits_by if elsewhere != [task.last_holder] else "S9.9"

        told = sorted(self.waiting, key=lambda task_id: directly(task_id) == "S9.9")[:count]
        requirement = directly(told[0])
        for task_id in told:
            self.held(task_id).doubtful = True
            del self.waiting[task_id]
        return requirement, told
