"""The part of the scheduler's machine that knows tasks: the books of them, and how one moves, as the table says.

`scheduler_table.TRANSITIONS` says what happens to a task; which input a message is, `scheduler_machine` says.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from rescind.messages import (
    MAX_TASK_ID_BYTES,
    CancelConfirmType,
    GraphTask,
    Message,
    Task,
    TaskCancel,
    TaskCancelConfirm,
    TaskResult,
    TaskResultType,
)
from rescind.placement import Placement, WorkerRecord
from rescind.scheduler_events import Dropped, Forward, Instruction, Received, ReleaseObjects, SchedulerSettings, Send
from rescind.scheduler_graph import Graph, Node, settle
from rescind.scheduler_table import TRANSITIONS, Action, TaskInput, TaskState
from rescind.scheduler_tally import Tally


@dataclass(slots=True, eq=False)
class TaskRecord:
    task_id: bytes
    owner: bytes
    frame: bytes
    state: TaskState = TaskState.QUEUED
    worker: WorkerRecord | None = None
    losses: int = 0
    stays: bool = False
    """Its worker refused to give it back: no use asking again."""
    node: Node | None = None
    """Its place in a graph, if it belongs to one whose owner is there."""


@dataclass(slots=True, eq=False)
class ClientRecord:
    last_seen: float
    weight: int = 0
    """What its tasks and graphs weigh (S11.5)."""
    tasks: dict[bytes, None] = field(default_factory=dict)
    graphs: dict[bytes, None] = field(default_factory=dict)


_ASKING = (TaskState.CANCELING, TaskState.ESCALATED, TaskState.FORCING)
"""The states in which a round of the owner is open."""
_FORCED = (TaskState.ESCALATED, TaskState.FORCING)


class SchedulerTasks:
    """Tasks, their owners and holders."""

    def __init__(self, settings: SchedulerSettings | None = None, placement: Placement | None = None) -> None:
        self._settings = settings or SchedulerSettings()
        self._tasks: dict[bytes, TaskRecord] = {}
        self._graphs: dict[bytes, Graph] = {}
        self._ended_nodes: deque[Node] = deque()
        """What their ends mean for others is still to be seen to."""
        self._changed_graphs: dict[bytes, Graph] = {}
        self._queue: OrderedDict[bytes, None] = OrderedDict()
        self._clients: dict[bytes, ClientRecord] = {}
        self._workers: dict[bytes, WorkerRecord] = {}
        self._placement = placement or Placement()
        self._closing = False
        self._out: list[Instruction] = []
        self._tally = Tally()

    @property
    def counts(self) -> dict[str, int]:
        """How many tasks, tasks by state, clients and workers are held now; no walk through them."""
        counts = {"tasks": len(self._tasks), "clients": len(self._clients), "workers": len(self._workers)}
        return counts | {state: count for state, count in self.states.items() if count}

    @property
    def states(self) -> dict[str, int]:
        """How many tasks are in each state now; no walk through them."""
        return self._tally.states(held=len(self._tasks), queued=len(self._queue))

    @property
    def tally(self) -> Tally:
        """What it has done so far."""
        return self._tally

    @property
    def graphs(self) -> int:
        """How many graphs are held now."""
        return len(self._graphs)

    @property
    def workers(self) -> Mapping[bytes, WorkerRecord]:
        """The workers that are registered, by routing id; always those of now, and not to be changed."""
        return self._workers

    @property
    def clients(self) -> Mapping[bytes, ClientRecord]:
        """The clients that are registered, by routing id; always those of now, and not to be changed."""
        return self._clients

    def _holds(self, owner: bytes, task_id: bytes) -> bool:
        """Whether a task or graph of this owner is held under an id."""
        task, graph = self._tasks.get(task_id), self._graphs.get(task_id)
        if task is not None:
            return task.owner == owner and task.state is not TaskState.ABANDONED
        return graph is not None and graph.owner == owner

    def _in_use(self, task_id: bytes) -> bool:
        return task_id in self._tasks or task_id in self._graphs

    def _held_by_sender(self, event: Received, task_id: bytes) -> TaskRecord | None:
        """The task if the sender holds it (S8.1); otherwise None, and the message is dropped."""
        task = self._tasks.get(task_id)
        if task is None:
            self._drop(event, "unknown task")
            return None
        if task.worker is None or task.worker.identity != event.sender:
            self._drop(event, "not the holder")
            return None
        return task

    def _dispatch(self) -> None:
        while self._queue and not self._closing:
            worker = self._placement.least_loaded()
            if worker is None:
                return
            task_id, _ = self._queue.popitem(last=False)
            task = self._tasks[task_id]
            task.worker, task.stays = worker, False
            worker.tasks[task_id] = None
            self._placement.update(worker)
            self._apply(task, TaskInput.DISPATCH)

    # Graphs

    def _accept_graph(self, graph: Graph, client: ClientRecord) -> None:
        self._graphs[graph.graph_id] = graph
        client.graphs[graph.graph_id] = None
        client.weight += graph.weight
        client.tasks |= graph.open
        for node_id, node in graph.nodes.items():
            self._tasks[node_id] = TaskRecord(node_id, graph.owner, b"", TaskState.WAITING, node=node)
        for node_id, node in graph.nodes.items():
            if not node.missing:
                self._apply(self._tasks[node_id], TaskInput.READY)
        self._changed_graphs[graph.graph_id] = graph  # it may be empty

    def _cancel_graph(self, graph: Graph, given: TaskInput) -> None:
        """S12.12: each node is cancelled; S12.13: those that a worker holds answer for the graph.

        Nodes for which it changes nothing are not looked at: a short message, sent again and again, must not cost each
        time what ten thousand do (S11.1).
        """
        for node_id in list(graph.unforced if given is TaskInput.CANCEL_FORCE else graph.unasked):
            self._apply(self._tasks[node_id], given)
        graph.asking = True

    def _settle_graphs(self) -> None:
        """Carry on what the ends of nodes mean for others. A loop, since a chain of nodes may be long."""
        if not (self._ended_nodes or self._changed_graphs):
            return
        while self._ended_nodes:
            for about, consequence in settle(self._ended_nodes.popleft()):
                if isinstance(consequence, tuple):
                    self._out.append(ReleaseObjects(consequence))
                elif self._listed(self._tasks[about], consequence):
                    self._apply(self._tasks[about], consequence)
        for graph in self._changed_graphs.values():
            if not graph.open:
                del self._graphs[graph.graph_id]
                owner = self._clients[graph.owner]
                del owner.graphs[graph.graph_id]
                owner.weight -= graph.weight
                self._send(graph.owner, graph.last_word())
                graph.dissolve()
            elif graph.asking and len(graph.unasked) == len(graph.open):
                graph.asking = False
                self._send(graph.owner, TaskCancelConfirm(graph.graph_id, CancelConfirmType.CANCEL_FAILED))
        if self._changed_graphs:
            self._changed_graphs = {}
            self._dispatch()

    def _note_node(self, task: TaskRecord, node: Node, given: TaskInput) -> None:
        """After a transition of a node. What its end means is seen to by `_settle_graphs`."""
        graph = node.graph
        self._changed_graphs[graph.graph_id] = graph
        if given is TaskInput.CANCEL_FORCE or (given is TaskInput.CANCEL and task.state not in _FORCED):
            node.asked = given
        for books, states in ((graph.unasked, _ASKING), (graph.unforced, _FORCED)):
            if task.state in states or task.state is TaskState.ENDED:
                books.pop(task.task_id, None)
            else:
                books[task.task_id] = None
        if task.state is TaskState.ENDED:
            del graph.open[task.task_id]
            self._ended_nodes.append(node)

    # One task

    def _listed(self, task: TaskRecord, given: TaskInput) -> bool:
        """Whether the table has a row for this; without one it changes nothing."""
        return (task.state, given) in TRANSITIONS

    def _apply(self, task: TaskRecord, given: TaskInput, frame: bytes | None = None) -> None:
        """Move `task` as the table says; `frame` is the message that caused it, where one did."""
        following, action, number = TRANSITIONS[task.state, given]
        self._tally.rows[number] += 1
        self._act(task, action, frame)
        if following in (TaskState.QUEUED, TaskState.ENDED):
            self._take_from_worker(task)
        if following is TaskState.QUEUED:
            self._queue[task.task_id] = None
            if given is not TaskInput.READY:
                self._queue.move_to_end(task.task_id, last=False)
        elif following is TaskState.ENDED:
            del self._tasks[task.task_id]
            self._queue.pop(task.task_id, None)
            client = self._clients.get(task.owner)
            if client is not None and task.task_id in client.tasks:
                del client.tasks[task.task_id]
                client.weight -= len(task.frame)
        elif following is TaskState.ABANDONED:
            task.frame = b""  # it is not dispatched again, and its owner's limit does not count it any more
        task.state = following
        if task.node is not None:
            self._note_node(task, task.node, given)
        if following is TaskState.QUEUED and self._closing:
            self._apply(task, TaskInput.CLOSE)  # S9.10: it cannot run any more
        elif following is TaskState.QUEUED and task.node is not None and task.node.spared is not None:
            self._apply(task, task.node.spared)  # S12.9

    def _take_from_worker(self, task: TaskRecord) -> None:
        worker, task.worker = task.worker, None
        if worker is not None:
            del worker.tasks[task.task_id]
            if worker.identity in self._workers:
                self._placement.update(worker)

    def _act(self, task: TaskRecord, action: Action, frame: bytes | None) -> None:
        holder = task.worker.identity if task.worker is not None else b""
        match action:
            case Action.NOTHING:
                pass
            case Action.SEND_TASK if task.node is not None:
                self._send(holder, task.node.call())
            case Action.SEND_TASK:
                self._out.append(Forward(holder, task.frame))
            case Action.SEND_CANCEL:
                self._send(holder, TaskCancel(task.task_id, force=False))
            case Action.SEND_CANCEL_FORCE:
                self._send(holder, TaskCancel(task.task_id, force=True))
            case Action.FORWARD_ANSWER:
                assert frame is not None
                self._out.append(Forward(task.owner, frame))
            case Action.SEND_CANCELED:
                self._send(task.owner, TaskCancelConfirm(task.task_id, CancelConfirmType.CANCELED))
            case Action.SEND_WORKER_DIED:
                self._send_made(task, TaskResult(task.task_id, TaskResultType.FAILED_WORKER_DIED))
            case Action.SEND_FAILURE:
                assert task.node is not None
                assert task.node.failure is not None
                self._send_made(task, replace(task.node.failure, task_id=task.task_id))

    def _send_made(self, task: TaskRecord, result: TaskResult) -> None:
        """Send the owner a TaskResult of the scheduler's own making."""
        if task.node is not None:
            task.node.outcome = result
        self._send(task.owner, result)

    def _send(self, to: bytes, message: Message) -> None:
        self._out.append(Send(to, message))

    def _refuse(self, event: Received, reason: str) -> None:
        """S1.3: the sender is told at once that nothing is, or will be, held for it under this id."""
        if isinstance(event.message, GraphTask):
            for target in dict.fromkeys(event.message.targets):  # S12.2: their futures wait
                is_id = 0 < len(target) <= MAX_TASK_ID_BYTES and target != event.message.task_id
                if is_id and not self._holds(event.sender, target):
                    self._send(event.sender, TaskCancelConfirm(target, CancelConfirmType.CANCEL_NOT_FOUND))
        if isinstance(event.message, Task | GraphTask):
            self._send(event.sender, TaskCancelConfirm(event.message.task_id, CancelConfirmType.CANCEL_NOT_FOUND))
        self._drop(event, reason)

    def _drop(self, event: Received, reason: str) -> None:
        self._out.append(Dropped(event.sender, reason, getattr(event.message, "task_id", b"")))
