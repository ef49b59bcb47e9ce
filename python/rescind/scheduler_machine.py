"""The scheduler as a pure machine: `handle(event) -> instructions`.

No clock, socket, thread or randomness inside: time enters with the events, and the same machine
serves real sockets, tests and explorers. What happens to a task is looked up in
`scheduler_table.TRANSITIONS`; this module decides which input a message is, `scheduler_tasks` carries out the action.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from rescind.messages import (
    CancelConfirmType,
    ClientDisconnect,
    ClientHeartbeat,
    ClientHeartbeatEcho,
    ClientShutdownResponse,
    DisconnectType,
    GraphTask,
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
from rescind.placement import Placement, WorkerRecord, surplus_of, tasks_to_move
from rescind.scheduler_events import (
    Closed,
    CloseExpired,
    CloseRequested,
    Closing,
    Draining,
    DrainRequested,
    Dropped,
    Event,
    Forward,
    Instruction,
    Lost,
    QueueFull,
    RebalanceDue,
    Received,
    ReleaseObjects,
    ReleaseOwner,
    SchedulerSettings,
    Send,
    TimePassed,
)
from rescind.scheduler_graph import BadGraph, handed_on, plan
from rescind.scheduler_table import TaskInput, TaskState
from rescind.scheduler_tasks import ClientRecord, SchedulerTasks, TaskRecord
from rescind.wire_layout import MAX_FRAME_BYTES

__all__ = [
    "CloseExpired",
    "CloseRequested",
    "Closed",
    "Closing",
    "DrainRequested",
    "Draining",
    "Dropped",
    "Event",
    "Forward",
    "Instruction",
    "Lost",
    "QueueFull",
    "RebalanceDue",
    "Received",
    "ReleaseObjects",
    "ReleaseOwner",
    "SchedulerMachine",
    "SchedulerSettings",
    "Send",
    "TimePassed",
]


@dataclass(slots=True, eq=False)
class _LostPeer:
    was_worker: bool
    told: bool = False


_ANSWERS = {
    CancelConfirmType.CANCELED: TaskInput.CANCELED,
    CancelConfirmType.CANCEL_FAILED: TaskInput.CANCEL_FAILED,
    CancelConfirmType.CANCEL_NOT_FOUND: TaskInput.CANCEL_NOT_FOUND,
}


_LOST_WORKER = WorkerHeartbeat
"""What a lost worker is still answered (S9.6)."""
_LOST_CLIENT = Task | GraphTask | TaskCancel | ClientHeartbeat
"""What a lost client is still answered (S9.8)."""


class SchedulerMachine(SchedulerTasks):
    """One scheduler. Not thread-safe: one thread calls `handle`, in the order in which messages came in."""

    def __init__(self, settings: SchedulerSettings | None = None, placement: Placement | None = None) -> None:
        """`placement`: another choice of workers than this package's."""
        super().__init__(settings, placement)
        self._draining = False
        self._lost: OrderedDict[bytes, _LostPeer] = OrderedDict()
        """By routing id, the one lost first comes first (S9.6, S9.8)."""
        self._on_message: dict[type, Callable[[Received], None]] = {
            Task: self._on_task,
            GraphTask: self._on_graph_task,
            TaskCancel: self._on_task_cancel,
            TaskCancelConfirm: self._on_task_cancel_confirm,
            TaskResult: self._on_task_result,
            TaskLog: self._on_task_log,
            ClientHeartbeat: self._on_client_heartbeat,
            WorkerHeartbeat: self._on_worker_heartbeat,
            ClientDisconnect: self._on_client_disconnect,
            WorkerDisconnectNotification: self._on_worker_disconnect,
            ObjectInstruction: self._on_object_instruction,
        }

    def handle(self, event: Event) -> list[Instruction]:
        """Take one event; return what the shell must do, in this order. Never raises on what peers send."""
        self._out = []
        match event:
            case Received():
                self._on_received(event)
            case TimePassed(now):
                self._on_time_passed(now)
            case QueueFull(peer):
                self._on_queue_full(peer)
            case RebalanceDue():
                self._on_rebalance_due()
            case DrainRequested():
                self._on_drain_requested()
            case CloseRequested():
                self._on_close_requested()
            case CloseExpired():
                self._finish_closing()
        self._settle_graphs()
        if self._draining and not (self._tasks or self._graphs):
            self._on_close_requested()
        return self._out

    @property
    def phase(self) -> str:
        """What it does: `serving`, `draining` (S9.12) or `closing` (S9.10)."""
        return "closing" if self._closing else "draining" if self._draining else "serving"

    # What a message means

    def _on_received(self, event: Received) -> None:
        peer = self._clients.get(event.sender) or self._workers.get(event.sender)
        if peer is not None:
            peer.last_seen = event.now
        handler = self._on_message.get(type(event.message))
        lost = self._lost.get(event.sender)
        if handler is None:
            self._drop(event, "not for a scheduler")
        elif lost is not None and not isinstance(event.message, _LOST_WORKER if lost.was_worker else _LOST_CLIENT):
            self._drop(event, "lost peer")
            if lost.was_worker and isinstance(event.message, TaskResult):
                self._out.append(ReleaseObjects(event.message.results))
        else:
            handler(event)

    def _on_task(self, event: Received) -> None:
        assert isinstance(event.message, Task)
        task_id, sender = event.message.task_id, event.sender
        if self._holds(sender, task_id):
            self._drop(event, "duplicate task id")  # S1.4: its terminal message is still to come
            return
        client = self._client_of(event)
        if client is None:
            return
        if self._in_use(task_id):
            self._refuse(event, "task id in use")
        elif self._draining:
            self._refuse(event, "draining")
        elif self._closing:
            self._refuse(event, "closing")
        elif len(client.tasks) >= self._settings.max_tasks_per_client:
            self._refuse(event, "too many tasks")
        elif client.weight + len(event.frame) > self._settings.max_bytes_per_client:
            self._refuse(event, "too many bytes")
        else:
            client.tasks[task_id] = None
            client.weight += len(event.frame)
            self._tasks[task_id] = TaskRecord(task_id, sender, event.frame)
            self._queue[task_id] = None
            self._dispatch()

    def _on_graph_task(self, event: Received) -> None:
        assert isinstance(event.message, GraphTask)
        if self._holds(event.sender, event.message.task_id):
            self._drop(event, "duplicate task id")  # S1.4
            return
        client = self._client_of(event)
        if client is None:
            return
        if len(event.message.graph) > self._settings.max_nodes_per_graph:
            self._refuse(event, "too many tasks in a graph")  # S11.5
            return
        try:
            graph = plan(event.message, event.sender)
        except BadGraph as error:
            self._refuse(event, str(error))
            return
        if any(map(self._in_use, (graph.graph_id, *graph.nodes))):
            reason = "task id in use"
        elif self._draining:
            reason = "draining"
        elif self._closing:
            reason = "closing"
        elif len(client.tasks) + len(graph.nodes) > self._settings.max_tasks_per_client:
            reason = "too many tasks"
        elif graph.largest > MAX_FRAME_BYTES:
            reason = "too large a task in a graph"  # its Task could not be sent (S12.5)
        elif client.weight + graph.weight > self._settings.max_bytes_per_client:
            reason = "too many bytes"
        else:
            self._accept_graph(graph, client)
            return
        graph.dissolve()
        self._refuse(event, reason)

    def _on_task_cancel(self, event: Received) -> None:
        assert isinstance(event.message, TaskCancel)
        if event.sender in self._workers:
            self._drop(event, "wrong role")
            return
        graph = self._graphs.get(event.message.task_id)
        if graph is not None and graph.owner == event.sender:
            self._cancel_graph(graph, TaskInput.CANCEL_FORCE if event.message.force else TaskInput.CANCEL)
            return
        task = self._tasks.get(event.message.task_id)
        if task is None or task.owner != event.sender or task.state is TaskState.ABANDONED:
            # S2.1, S2.2: to whoever does not own it, a task does not exist.
            self._tally.not_held["cancelNotFound"] += 1
            self._send(event.sender, TaskCancelConfirm(event.message.task_id, CancelConfirmType.CANCEL_NOT_FOUND))
            return
        self._apply(task, TaskInput.CANCEL_FORCE if event.message.force else TaskInput.CANCEL, event.frame)

    def _on_task_cancel_confirm(self, event: Received) -> None:
        assert isinstance(event.message, TaskCancelConfirm)
        confirm_type = event.message.cancel_confirm_type
        if not isinstance(confirm_type, CancelConfirmType):
            self._drop(event, "unknown confirm type")
            return
        self._on_answer(event, event.message.task_id, _ANSWERS[confirm_type])

    def _on_task_result(self, event: Received) -> None:
        assert isinstance(event.message, TaskResult)
        self._on_answer(event, event.message.task_id, TaskInput.RESULT)

    def _on_answer(self, event: Received, task_id: bytes, given: TaskInput) -> None:
        task = self._held_by_sender(event, task_id)
        if task is None:
            return
        if not self._listed(task, given):
            self._drop(event, f"{given.value} without a cancel")  # S8.3: a stale answer
            return
        if isinstance(event.message, TaskResult) and event.message.result_type is not TaskResultType.SUCCESS:
            self._tally.failures[event.message.result_type] += 1
        if task.state is TaskState.REBALANCING and given is TaskInput.CANCEL_FAILED:
            task.stays = True
        if task.node is not None and isinstance(event.message, TaskResult):
            task.node.outcome = handed_on(event.message)
        self._apply(task, given, event.frame)
        self._settle_graphs()  # S12.9: what is not needed any more does not take the place
        self._dispatch()

    def _on_task_log(self, event: Received) -> None:
        assert isinstance(event.message, TaskLog)
        task = self._held_by_sender(event, event.message.task_id)
        if task is not None and task.state is not TaskState.ABANDONED:
            self._out.append(Forward(task.owner, event.frame))
        elif task is not None:
            self._drop(event, "log of a task whose owner has left")

    def _on_client_heartbeat(self, event: Received) -> None:
        if self._client_of(event) is not None:
            self._send(event.sender, ClientHeartbeatEcho(self._settings.object_storage_address))
        elif event.sender not in self._workers:
            # S9.8 of one that is lost, S11.5 of one too many: either way it has nothing to wait for here.
            self._send(event.sender, ClientDisconnect(DisconnectType.DISCONNECT))

    def _on_worker_heartbeat(self, event: Received) -> None:
        assert isinstance(event.message, WorkerHeartbeat)
        sender = event.sender
        lost = self._lost.get(sender)
        if lost is not None:
            # S9.6: first the word that invites it back, then the one that every worker knows.
            self._send(sender, ClientDisconnect(DisconnectType.SHUTDOWN if lost.told else DisconnectType.DISCONNECT))
            lost.told = True
            return
        if sender in self._clients:
            self._drop(event, "wrong role")
            return
        worker = self._workers.get(sender)
        places = min(event.message.queue_size, self._settings.max_tasks_per_worker)  # S11.5
        if worker is None:
            if self._closing:
                self._send(sender, ClientDisconnect(DisconnectType.SHUTDOWN))
                return
            if len(self._workers) >= self._settings.max_peers:
                self._send(sender, ClientDisconnect(DisconnectType.DISCONNECT))  # S11.5
                self._drop(event, "too many workers")
                return
            worker = WorkerRecord(sender, places, event.now)
            self._workers[sender] = worker
        else:
            worker.queue_size = places
            if worker.load > places and not (self._closing or worker.relieved):
                # At once: a worker that drains gives back by its good-bye what it has left, which is a loss (S9.4).
                worker.relieved = True
                self._take_back(surplus_of(worker, self._is_movable, self._is_leaving))
        self._placement.update(worker)
        self._dispatch()
        self._send(sender, WorkerHeartbeatEcho(self._settings.object_storage_address))

    def _on_client_disconnect(self, event: Received) -> None:
        assert isinstance(event.message, ClientDisconnect)
        if event.sender in self._workers:
            self._drop(event, "wrong role")
        elif event.message.disconnect_type == DisconnectType.SHUTDOWN:
            accepted = self._settings.accept_shutdown
            self._send(event.sender, ClientShutdownResponse(accepted))
            if accepted:
                self._on_close_requested()
        elif event.sender not in self._clients:
            self._drop(event, "unknown client")
        else:
            self._lose_client(event.sender)

    def _on_worker_disconnect(self, event: Received) -> None:
        if event.sender in self._workers:
            self._lose_worker(event.sender)
        else:
            self._drop(event, "unknown worker")

    def _on_object_instruction(self, event: Received) -> None:
        """Bookkeeping of payloads is outside of the protocol, and not an error (section 3)."""

    # Peers that come and go

    def _client_of(self, event: Received) -> ClientRecord | None:
        """The sender as a client, registered now if it is new; None (and the message dropped) if it cannot be one."""
        client = self._clients.get(event.sender)
        if client is not None:
            return client
        if event.sender in self._workers:
            self._drop(event, "wrong role")
            return None
        if event.sender in self._lost:
            self._refuse(event, "lost client")
            return None
        if len(self._clients) >= self._settings.max_peers:
            self._refuse(event, "too many clients")
            return None
        client = self._clients[event.sender] = ClientRecord(event.now)
        return client

    def _lose_client(self, identity: bytes, *, tell: bool = False) -> None:
        client = self._clients.pop(identity, None)
        if client is None:
            return
        self._remember_lost(identity, _LostPeer(was_worker=False))
        for graph_id in client.graphs:
            self._graphs.pop(graph_id).dissolve()
        for task_id in list(client.tasks):
            self._tasks[task_id].node = None  # S12.18: it is a task like any other
            self._apply(self._tasks[task_id], TaskInput.OWNER_LOST)
            if tell:
                # S9.11: should it still be there, it learns that nothing will come.
                self._send(identity, TaskCancelConfirm(task_id, CancelConfirmType.CANCEL_NOT_FOUND))
        for graph_id in client.graphs if tell else ():
            self._send(identity, TaskCancelConfirm(graph_id, CancelConfirmType.CANCEL_NOT_FOUND))
        self._out.append(ReleaseOwner(identity))

    def _lose_worker(self, identity: bytes) -> None:
        """One step (S9.5): nothing can come between the worker's removal and the fate of its tasks."""
        worker = self._workers.pop(identity)
        self._placement.remove(worker)
        self._remember_lost(identity, _LostPeer(was_worker=True))
        # Newest first, since each goes to the head of the queue: the oldest ends up foremost.
        for task_id in reversed(list(worker.tasks)):
            task = self._tasks[task_id]
            task.losses += 1
            if self._closing:
                self._apply(task, TaskInput.CLOSE)
            elif task.losses < self._settings.max_attempts:
                self._apply(task, TaskInput.WORKER_LOST)
            else:
                self._apply(task, TaskInput.WORKER_LOST_AGAIN)
        self._settle_graphs()
        self._dispatch()
        if self._closing and not self._workers:
            self._finish_closing()

    def _remember_lost(self, identity: bytes, peer: _LostPeer) -> None:
        self._lost[identity] = peer
        if len(self._lost) > self._settings.remembered_lost_peers:
            self._lost.popitem(last=False)

    def _on_time_passed(self, now: float) -> None:
        for identity, worker in list(self._workers.items()):
            if now - worker.last_seen > self._settings.worker_timeout:
                self._out.append(Lost(identity))
                self._lose_worker(identity)
            worker.relieved = False
        for identity, client in list(self._clients.items()):
            if now - client.last_seen > self._settings.client_timeout:
                self._out.append(Lost(identity))
                self._lose_client(identity, tell=True)

    def _on_queue_full(self, peer: bytes) -> None:
        """T6: a message to it is gone, so that it is lost as one is whose connection has dropped (S9.1)."""
        if peer in self._workers:
            self._out.append(Lost(peer, unread=True))
            self._lose_worker(peer)
        elif peer in self._clients:
            self._out.append(Lost(peer, unread=True))
            self._lose_client(peer)

    def _on_rebalance_due(self) -> None:
        if not self._closing:
            self._take_back(tasks_to_move(self._workers, self._is_movable, self._is_leaving))

    def _take_back(self, task_ids: Iterable[bytes]) -> None:
        for task_id in task_ids:
            self._apply(self._tasks[task_id], TaskInput.REBALANCE)

    def _is_movable(self, task_id: bytes) -> bool:
        task = self._tasks[task_id]
        return task.state is TaskState.DISPATCHED and not task.stays  # S7.7

    def _is_leaving(self, task_id: bytes) -> bool:
        return self._tasks[task_id].state is TaskState.REBALANCING

    def _on_drain_requested(self) -> None:
        if not (self._draining or self._closing):
            self._draining = True
            self._out.append(Draining())

    def _on_close_requested(self) -> None:
        if self._closing:
            return
        self._draining = False
        self._closing = True
        self._out.append(Closing())
        for task in [task for task in self._tasks.values() if task.worker is None]:
            self._apply(task, TaskInput.CLOSE)
        for identity in self._workers:
            self._send(identity, ClientDisconnect(DisconnectType.SHUTDOWN))
        if not self._workers:
            self._finish_closing()

    def _finish_closing(self) -> None:
        for task in list(self._tasks.values()):
            self._apply(task, TaskInput.CLOSE)
        self._settle_graphs()
        self._out.append(Closed())
