"""Random lives of the reference's scheduler, written down as a judge reads them; and those of a lazier one.

Its peers do what peers do, and now and then what they should not: they send what is another's to say, repeat
themselves, come back after they were lost, and use values that nobody knows.
"""

from __future__ import annotations

from judge_walks import DISCONNECTS, Action, Fault, Pick, Walk

from rescind import scheduler_machine as scheduler
from rescind.messages import (
    Argument,
    ArgumentType,
    CancelConfirmType,
    ClientDisconnect,
    ClientHeartbeat,
    ClientHeartbeatEcho,
    ClientShutdownResponse,
    DisconnectType,
    GraphTask,
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
from rescind_conformance.explorer.scheduler_party import Silence
from rescind_conformance.judge.records import SCHEDULER, EventKind, EventRecord, MessageRecord

IDS = tuple(f"T{number}".encode() for number in range(1, 13))
NAMES = {task_id: task_id.decode() for task_id in IDS}
CLIENTS = ("C1", "C2", "C3", "C4")
WORKERS = ("W1", "W2", "W3", "W4", "W5", "W6")
PEERS = (*CLIENTS, *WORKERS)
SHUTDOWN = ClientDisconnect(DisconnectType.SHUTDOWN)


class SchedulerWalk(Walk[scheduler.Instruction]):
    """A scheduler with up to four clients and four workers."""

    party = SCHEDULER

    def __init__(self, pick: Pick, fault: Fault[scheduler.Instruction] | None = None) -> None:
        super().__init__(pick, fault)
        self.machine = self._make_machine(
            scheduler.SchedulerSettings(
                max_attempts=pick((1, 2, 3)),
                max_tasks_per_client=pick((2, 100, 100)),
                max_peers=pick((2, 100, 100, 100)),
                accept_shutdown=pick((False, True)),
            )
        )
        self._frames: list[Message] = []
        self._sizes = {worker: pick((1, 1, 2, 3, 4)) for worker in WORKERS}
        self._unused = list(IDS)
        self._owners: dict[bytes, str] = {}
        self._live: dict[bytes, None] = {}
        """Tasks whose owner has not heard a last word."""
        self._assigned: dict[str, dict[bytes, int]] = {worker: {} for worker in WORKERS}
        """What each worker has, and how many TaskCancels about it are not answered."""
        self._closing = False
        for peer in ("C1", "W1", pick((*CLIENTS, *WORKERS[:3]))):
            self._beat(peer)

    def finish(self) -> None:
        for peer in PEERS * 2:
            if any(isinstance(one, MessageRecord) and one.sender == peer for one in self.records):
                self._beat(peer)

    @property
    def at_rest(self) -> bool:
        return True

    def _make_machine(self, settings: scheduler.SchedulerSettings) -> scheduler.SchedulerMachine:
        return scheduler.SchedulerMachine(settings)

    def _actions(self) -> list[Action]:
        return [
            *[self._client_acts] * 7,
            *[self._worker_acts] * 5,
            *[lambda: self._beat(self._pick((*CLIENTS, *WORKERS[:3])))] * 2,
            *[self._rebalance] * 2,
            self._somebody_errs,
            self._rarely,
        ]

    def _client_acts(self) -> None:
        if self._unused and (len(self._live) < self._pick((1, 2, 4)) or not self._owners):
            self._submit(self._pick(CLIENTS[:3]), self._unused.pop(0))
        else:
            task_id = self._pick(list(self._live) or list(self._owners))
            self._take(self._owners[task_id], TaskCancel(task_id, self._pick((True, False))))

    def _rebalance(self) -> None:
        """Advice is given when a worker comes, or at any time."""
        came = {one.sender for one in self.records if isinstance(one, MessageRecord)}
        newcomers = [worker for worker in WORKERS if worker not in came]
        if newcomers and self._perhaps():
            self._beat(newcomers[0])
        self._feed(scheduler.RebalanceDue())

    def _submit(self, client: str, task_id: bytes) -> None:
        self._owners[task_id] = client
        self._live[task_id] = None
        arguments = (Argument(self._pick((1, 1, 1, 5)), b"argument"),)
        self._take(client, Task(task_id, self._pick(CLIENTS).encode(), function_args=arguments))

    def _worker_acts(self) -> None:
        worker = self._pick([worker for worker in WORKERS if self._assigned[worker]] or WORKERS[:2])
        tasks = self._assigned[worker]
        if not tasks:
            self._beat(worker)
            return
        task_id = self._pick(list(tasks))
        if tasks[task_id] and self._pick((True, True, False)):
            tasks[task_id] -= 1
            kind = self._pick((*CancelConfirmType, *CancelConfirmType, 7))
            if kind != CancelConfirmType.CANCEL_FAILED and not tasks[task_id]:
                del tasks[task_id]
            self._take(worker, TaskCancelConfirm(task_id, kind))
        elif self._pick((True, True, False)):
            if not tasks[task_id]:
                del tasks[task_id]
            self._take(worker, TaskResult(task_id, self._pick((*TaskResultType, 7)), results=(b"result",)))
        elif self._pick((True, True, False)):
            self._take(worker, TaskLog(task_id, self._pick((0, 1, 7)), self._pick(("a", "b"))))
        else:
            self._take(worker, TaskCancelConfirm(task_id, self._pick(tuple(CancelConfirmType))))

    def _somebody_errs(self) -> None:
        """Anybody says anything about anything."""
        task_id = self._pick([*IDS, *[*self._live] * 4])
        messages: tuple[Message, ...] = (
            Task(task_id, metadata=self._pick((b"", b"other"))),
            GraphTask(task_id, graph=(Task(self._pick(IDS)),)),
            TaskCancel(task_id, self._pick((True, False))),
            TaskCancel(task_id, self._pick((True, False))),
            TaskCancelConfirm(task_id, self._pick((*CancelConfirmType, 7))),
            TaskCancelConfirm(task_id, self._pick(tuple(CancelConfirmType))),
            TaskResult(task_id, self._pick((*TaskResultType, 7)), results=(b"other result",)),
            TaskLog(task_id, content="x"),
            ClientHeartbeat(),
            WorkerHeartbeat(queue_size=self._pick((0, 1, 5))),
            ClientHeartbeatEcho(),
            WorkerHeartbeatEcho(),
            ClientShutdownResponse(True),
            ObjectInstruction(),
        )
        peer = self._pick(PEERS)
        if self._pick((True, True, True, False)):
            self._take(peer, self._pick(messages))
        else:
            self._receive_garbage(peer, self._pick(("malformed pointer", "unknown member: number 200")))

    def _receive_garbage(self, peer: str, note: str) -> None:
        self.records.append(MessageRecord(SCHEDULER, peer, SCHEDULER, None, note))

    def _rarely(self) -> None:
        busy = [worker for worker in WORKERS if self._assigned[worker]] or WORKERS
        good_byes: tuple[Message, ...] = (WorkerDisconnectNotification(), ClientDisconnect())
        actions: list[Action] = [
            *[lambda: self._take(self._pick(busy), WorkerDisconnectNotification())] * 3,
            *[lambda: self._take(self._pick(CLIENTS), ClientDisconnect(self._pick((*DISCONNECTS[:1] * 2, 7))))] * 2,
            *[lambda: self._fall_silent(self._pick(busy))] * 3,
            *[lambda: self._fall_silent(self._pick(CLIENTS))] * 2,
            lambda: self._take(self._pick(PEERS), self._pick(good_byes)),
            lambda: self._take(self._pick(CLIENTS), SHUTDOWN),
            self._expire if self._closing else self._close,
        ]
        self._pick(actions)()

    def _beat(self, peer: str) -> None:
        if peer in CLIENTS:
            self._take(peer, ClientHeartbeat())
        else:
            if self._pick((False, False, False, False, False, True)):
                self._sizes[peer] = self._pick((0, 1, 2, 3))
            self._take(peer, WorkerHeartbeat(queue_size=self._sizes[peer]))

    def _fall_silent(self, peer: str) -> None:
        self._feed(scheduler.TimePassed(Silence(_moment(peer))))

    def _close(self) -> None:
        self._rebalance()
        self._flush_before(None)
        self._note(EventKind.CLOSE_REQUESTED)
        self._feed(scheduler.CloseRequested())

    def _expire(self) -> None:
        self._flush_before(None)
        self._note(EventKind.GRACE_OVER)
        self._feed(scheduler.CloseExpired())

    def _take(self, sender: str, message: Message) -> None:
        if self.over:
            return
        self._frames.append(message)
        frame = str(len(self._frames) - 1).encode()
        self._flush_before(message, sender)
        self.records.append(MessageRecord(SCHEDULER, sender, SCHEDULER, message))
        self._feed(scheduler.Received(sender.encode(), message, frame, _moment(sender)))

    def _feed(self, event: scheduler.Event) -> None:
        if self.over:
            return
        cause = event.sender.decode() if isinstance(event, scheduler.Received) else ""
        decided: list[scheduler.Instruction] = [
            scheduler.Send(one.to, self._frames[int(one.frame)]) if isinstance(one, scheduler.Forward) else one
            for one in self.machine.handle(event)
        ]
        for instruction in self._decided(event, decided):
            match instruction:
                case scheduler.Send(to, message):
                    self._say(to.decode(), message, cause)
                case scheduler.Lost(peer):
                    self._flush_before(None)
                    self._note(EventKind.PEER_LOST, peer=peer.decode())
                case scheduler.Closing():
                    self._closing = True
                case scheduler.Closed():
                    self._flush_before(None)
                    self.over = True

    def _say(self, to: str, message: Message, cause: str) -> None:
        """The scheduler sends a message, since `cause` has sent one."""
        self._sent_to(to, message)

    def _sent_to(self, to: str, message: Message) -> None:
        self.records.append(MessageRecord(SCHEDULER, SCHEDULER, to, message))
        tasks = self._assigned.get(to, {})
        match message:
            case TaskResult(task_id):
                self._live.pop(task_id, None)
            case TaskCancelConfirm(task_id, kind) if kind != CancelConfirmType.CANCEL_FAILED:
                self._live.pop(task_id, None)
            case Task(task_id):
                tasks[task_id] = 0
            case TaskCancel(task_id) if task_id in tasks:
                tasks[task_id] += 1
            case TaskCancel(task_id):
                tasks[task_id] = 1

    def _flush_before(self, message: Message | None, sender: str = "") -> None:
        """Called before a message is handled; None: an event."""

    def _perhaps(self) -> bool:
        return self._pick((True, False))

    def _note(self, kind: EventKind, peer: str = "") -> None:
        self.records.append(EventRecord(SCHEDULER, kind, peer=peer))


def _moment(peer: str) -> float:
    """When a peer is always heard: `Silence` of that moment is that of this peer alone."""
    return 1.0 + PEERS.index(peer)


class LazyWalk(SchedulerWalk):
    """The scheduler decides at once, and sends later: in its order to each peer (T3) and about each task (S1.2), before
    an echo what the echo follows (S10.2), and before it handles what would make it wrong.
    """

    def __init__(self, pick: Pick, fault: Fault[scheduler.Instruction] | None = None) -> None:
        self._held_back: list[tuple[str, Message, str]] = []
        self._together: dict[bytes, set[bytes]] = {}
        """The ids that were in one graph with an id."""
        super().__init__(pick, fault)

    def step(self) -> None:
        super().step()
        while self._held_back and self._perhaps():
            self._release(self._pick(self._held_back))

    def finish(self) -> None:
        super().finish()
        self._flush_before(None)

    @property
    def at_rest(self) -> bool:
        return not self._held_back

    def _take(self, sender: str, message: Message) -> None:
        if isinstance(message, GraphTask):
            ids = {message.task_id, *message.targets, *(node.task_id for node in message.graph)}
            ids = ids.union(*(self._together.get(task_id, ()) for task_id in ids))
            self._together |= dict.fromkeys(ids, ids)
        super()._take(sender, message)

    def _say(self, to: str, message: Message, cause: str) -> None:
        self._held_back.append((to, message, cause))

    def _follows(self, echo: str, cause: str) -> bool:
        """Whether an echo to a peer follows what another, or itself, has caused."""
        return cause == echo

    def _release(self, one: tuple[str, Message, str]) -> None:
        """Send it, after what has to be sent before it."""
        to, message, _ = one
        echo = isinstance(message, ClientHeartbeatEcho | WorkerHeartbeatEcho)
        while True:
            index = next(index for index, other in enumerate(self._held_back) if other is one)
            earlier = [
                other
                for other in self._held_back[:index]
                if other[0] == to or _same_task(other[1], message) or (echo and self._follows(to, other[2]))
            ]
            if not earlier:
                break
            self._release(earlier[0])
        del self._held_back[index]
        self._sent_to(to, message)

    def _flush_before(self, message: Message | None, sender: str = "") -> None:
        ends = isinstance(message, ClientDisconnect | WorkerDisconnectNotification) or message is None
        for one in list(self._held_back):
            if not any(one is other for other in self._held_back):
                continue
            to, held_back, _ = one
            assigns = isinstance(held_back, Task) and to == sender
            if ends or assigns or (message is not None and self._may_concern(held_back, message)):
                self._release(one)

    def _may_concern(self, one: Message, other: Message) -> bool:
        together = self._together.get(getattr(other, "task_id", b""), ())
        return _same_task(one, other) or getattr(one, "task_id", None) in together


def _same_task(one: Message, other: Message) -> bool:
    task_id = getattr(one, "task_id", None)
    return task_id is not None and task_id == getattr(other, "task_id", None)


class GraphWalk(SchedulerWalk):
    """Clients submit graphs as well, some of which cannot run."""

    def _client_acts(self) -> None:
        if len(self._unused) < 4 or self._perhaps():
            super()._client_acts()
            return
        graph_id, *nodes = [self._unused.pop(0) for _ in range(self._pick((2, 3, 4)))]
        client = self._pick(CLIENTS[:3])
        for task_id in (graph_id, *nodes):
            self._owners[task_id] = client
            self._live[task_id] = None
        tasks = [
            Task(
                node,
                function_args=tuple(Argument(ArgumentType.TASK, each) for each in nodes[:index] if self._perhaps()),
            )
            for index, node in enumerate(nodes)
        ]
        if self._pick((True, *[False] * 9)):
            tasks.append(Task(self._pick(IDS)))
        targets = tuple(node for node in nodes if self._pick((True, False, False)))
        self._take(client, GraphTask(graph_id, b"", targets, tuple(reversed(tasks))))


class LazyGraphWalk(GraphWalk, LazyWalk):
    """Clients submit graphs to the lazy scheduler."""
