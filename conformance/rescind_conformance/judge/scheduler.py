"""The rules for a scheduler, in the order in which it received and sent its messages. Written from SPEC.md alone.

What it receives either has an effect or is dropped. An effect that must be seen is *due*: it is discharged when it is
sent, and missing when the sender of its cause has had a later heartbeat echoed (S10.2), or at rest. What is dropped
*tempts*: if its effect is seen all the same, the requirement by which it is dropped is broken.

Not judged, since its messages do not show it: T1, T3, T4 and M2 (what reaches it), T5, T6 and S3.2 (blocking, cost),
S9.5 (what comes of breaking it is S8.2), S11.1 and S11.4 (that it goes on: S10.1), S11.2 (counts and logs), S11.5.
"""

from __future__ import annotations

from collections.abc import Mapping

from rescind.messages import (
    CancelConfirmType,
    ClientDisconnect,
    ClientHeartbeat,
    ClientHeartbeatEcho,
    ClientShutdownResponse,
    DisconnectType,
    GraphTask,
    Message,
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
from rescind.trace import describe
from rescind_conformance.judge.records import EventKind, EventRecord, Record, Violation
from rescind_conformance.judge.scheduler_books import (
    CANCEL_FAILED,
    CANCELED,
    MOST_LOSSES,
    NOT_FOUND,
    Books,
    Due,
    Effect,
    PeerBook,
    TaskBook,
    effect_of,
)

_DISPATCH = ("", effect_of(Task(b"")))
"""What a dropped message may tempt to: a Task to any worker."""


class SchedulerJudge:
    """Implements `PartyJudge` for a scheduler. `names` are those of tasks, for the texts.

    A scheduler that takes a peer as lost by its silence, or that shuts down, has to say so in its trace
    (`EventKind.PEER_LOST`, `CLOSE_REQUESTED`, `GRACE_OVER`), or what it then does is taken for wrong.
    """

    def __init__(self, names: Mapping[bytes, str] | None = None) -> None:
        self._names = dict(names) if names is not None else {}
        self._books = Books()
        self._placing: dict[str, int] = {}
        """Whose messages have left a task waiting beside room for it; as `Due.echoes` (S9.9, S10.2)."""
        self._found: list[Violation] = []

    def read(self, record: Record) -> list[Violation]:
        self._found = []
        if isinstance(record, EventRecord):
            self._on_event(record)
        elif record.sender == record.at:
            if record.message is None:
                self._break("T2", f"sends {record.receiver} what is no message: {record.note}")
            else:
                self._on_sent(record.receiver, record.message)
        elif record.message is not None:
            self._on_received(record.sender, record.message)
            if self._books.waits_beside_room():
                self._placing.setdefault(record.sender, 0)
        if self._placing and not self._books.waits_beside_room():
            self._placing.clear()
        return self._found

    def rest(self) -> list[Violation]:
        self._found = []
        for due in list(self._books.dues):
            self._books.dues.remove(due)
            self._missing(due)
        for name, peer in self._books.peers.items():
            if peer.heartbeats and not peer.lost and not peer.unseen:
                self._break("S10.1", f"has not echoed a heartbeat of {name}")
        if self._books.waits_beside_room():
            self._break("S9.9", "leaves a task waiting though a worker has room")
        return self._found

    # --- what happens to it

    def _on_event(self, record: EventRecord) -> None:
        books = self._books
        peer = books.peer(record.peer) if record.peer else PeerBook()
        match record.event:
            case EventKind.PEER_LOST if peer.role and not peer.lost:
                books.lose(record.peer, silent=True)
            case EventKind.CLOSE_REQUESTED:
                books.close()
            case EventKind.GRACE_OVER if books.closing:
                for task_id, task in books.tasks.items():
                    if task.stage == "held":
                        books.end(task_id, TaskCancelConfirm(task_id, CANCELED), "S9.10")
            case EventKind.UNSEEN:
                books.hide(record.peer)

    def _on_received(self, sender: str, message: Message) -> None:
        books = self._books
        peer = books.peer(sender)
        match message:
            case Task():
                self._on_task(sender, peer, message)
            case GraphTask():
                self._on_graph(sender, peer, message)
            case TaskCancel(task_id) if task_id not in books.graphs:
                self._on_cancel(sender, peer, message)
            case TaskCancelConfirm(task_id, kind):
                self._on_answer(sender, peer, task_id, message, kind)
            case TaskResult(task_id):
                self._on_answer(sender, peer, task_id, message, None)
            case TaskLog(task_id):
                task = books.tasks.get(task_id)
                if task is not None and task.holder == sender and task.stage == "held":
                    books.owe(task.owner, message, "S8.4", sender)
            case ClientHeartbeat():
                self._on_heartbeat(sender, peer, "client")
            case WorkerHeartbeat():
                if peer.role != "client":
                    peer.queue_size = message.queue_size
                self._on_heartbeat(sender, peer, "worker")
            case ClientDisconnect(kind) if not peer.lost:
                if kind == DisconnectType.SHUTDOWN and peer.role != "worker":
                    books.owe(sender, ClientShutdownResponse(accepted=False), "S11.6", sender)
                elif kind != DisconnectType.SHUTDOWN and peer.role == "client":
                    books.lose(sender)
            case WorkerDisconnectNotification() if peer.role == "worker" and not peer.lost:
                books.lose(sender)
            case _:
                pass  # M3, S11.3, and what is outside of this protocol

    def _on_task(self, sender: str, peer: PeerBook, message: Task) -> None:
        books, task_id = self._books, message.task_id
        task = books.tasks.get(task_id)
        refusal = TaskCancelConfirm(task_id, NOT_FOUND)
        if task is None and (peer.role == "worker" or peer.lost):
            books.dropped[task_id] = "S11.3" if peer.role == "worker" else "S9.8"
        if peer.role == "worker":
            return
        if peer.lost:
            books.owe(sender, refusal, "S9.8", sender)
        elif task is not None and task.stage == "held" and task.owner == sender:
            task.tempting |= {(sender, effect_of(refusal)): "S1.4", _DISPATCH: "S1.4"}
            task.refusable = False
        elif task is not None and task.stage != "over":
            books.owe(sender, refusal, "S1.3", sender)
            task.tempting[_DISPATCH] = "S1.3"
        elif books.closing:
            books.owe(sender, refusal, "S9.10", sender)
        else:
            peer.role = "client"
            books.submit(sender, message)

    def _on_graph(self, sender: str, peer: PeerBook, message: GraphTask) -> None:
        """Under an id that is in use it is dropped or refused; otherwise this version does not define what comes."""
        books = self._books
        task = books.tasks.get(message.task_id)
        in_use = task is not None and task.stage != "over"
        new = [one for one in (message.task_id, *(node.task_id for node in message.graph)) if one not in books.tasks]
        if peer.role == "worker":
            books.dropped |= dict.fromkeys(new, "S11.3")
        elif task is not None and in_use and task.owner == sender:
            books.dropped |= dict.fromkeys(new, "S1.4")
        elif in_use or peer.lost:
            books.dropped |= dict.fromkeys(new, "S9.8" if peer.lost else "S1.3")
            books.owe(sender, TaskCancelConfirm(message.task_id, NOT_FOUND), "S9.8" if peer.lost else "S1.3", sender)
        else:
            peer.role = "client"
            books.graphs |= {one: sender for one in new if one not in books.graphs}

    def _on_cancel(self, sender: str, peer: PeerBook, message: TaskCancel) -> None:
        books, task_id, force = self._books, message.task_id, message.force
        task = books.tasks.get(task_id)
        if peer.role == "worker":
            if task is not None:
                task.tempting |= _effects_of_cancel(task, message, "S11.3")
        elif task is None or task.stage == "over" or task.owner != sender:
            over = task is None or task.stage == "over"
            requirement = "S9.8" if peer.lost else "S2.1" if over else "S2.2"
            books.owe(sender, TaskCancelConfirm(task_id, NOT_FOUND), requirement, sender)
            if task is not None and not over:
                task.tempting |= _effects_of_cancel(task, message, "S2.2")
                for kind in (CANCELED, CANCEL_FAILED):
                    task.tempting[sender, effect_of(TaskCancelConfirm(task_id, kind))] = "S2.2"
        elif task.stage == "abandoned":
            books.owe(sender, TaskCancelConfirm(task_id, NOT_FOUND), "S9.8", sender)
        elif task.perhaps:
            task.tempting[_DISPATCH] = "S7.8"
        elif not task.holder:
            books.end(task_id, TaskCancelConfirm(task_id, CANCELED), "S3.1", cause=sender, never_again="S3.1")
        elif not task.round:
            books.owe(task.holder, message, "S4.3" if task.refused else "S4.1", sender)
            task.round, task.forced = "owner", force
        else:
            moving = task.round == "move"
            if force and not task.forced:
                books.owe(task.holder, message, "S7.5" if moving else "S6.2", sender)
            else:
                task.tempting[task.holder, effect_of(message)] = "S7.6" if moving else "S6.1"
            task.taken_over = task.taken_over or moving
            task.round, task.forced = "owner", task.forced or force

    def _on_answer(self, sender: str, peer: PeerBook, task_id: bytes, message: Message, kind: int | None) -> None:
        """A TaskResult (`kind` is None) or a TaskCancelConfirm."""
        task = self._books.tasks.get(task_id)
        if task is None:
            return
        to_owner = (task.owner, effect_of(message))
        if sender == task.holder and peer.unseen:
            task.asked += self._books.dues.remove_cancels(sender, task_id)  # most likely it has got them
        if sender != task.holder:
            if task.stage == "over":
                task.tempting[to_owner] = "S5.2" if task.former == sender and kind is not None else "S8.1"
            else:
                dropped = "S11.3" if peer.role == "client" else "S9.6" if peer.lost else "S8.1"
                task.tempting |= {to_owner: dropped, _DISPATCH: dropped}
        elif kind is not None and kind not in set(CancelConfirmType):
            task.tempting |= {to_owner: "M6", _DISPATCH: "M6"}
        elif kind is not None and not task.asked:
            task.tempting |= {to_owner: "S8.3", _DISPATCH: "S8.3"}
        elif kind is None:
            self._on_result(sender, task_id, task, message)
        else:
            self._on_confirm(sender, task_id, task, message, kind)

    def _on_result(self, holder: str, task_id: bytes, task: TaskBook, message: Message) -> None:
        if task.stage == "abandoned":
            self._books.forget(task_id, task, "S9.7")
            task.tempting[task.owner, effect_of(message)] = "S9.7"
        else:
            requirement = {"owner": "S5.1", "move": "S7.4"}.get(task.round, "S1.1")
            self._books.end(task_id, message, requirement, cause=holder)
            task.former = holder

    def _on_confirm(self, holder: str, task_id: bytes, task: TaskBook, message: Message, kind: int) -> None:
        """The answer to a TaskCancel that the holder had."""
        books = self._books
        to_owner = (task.owner, effect_of(message))
        others = task.asked - 1 + sum(isinstance(due.message, TaskCancel) for due in books.dues.of(holder, task_id))
        if task.stage == "abandoned":
            if kind == CANCEL_FAILED:
                task.asked -= 1
            else:
                books.forget(task_id, task, "S9.7")
            task.tempting[to_owner] = "S9.7"
        elif kind == CANCEL_FAILED:
            task.asked -= 1
            if task.round == "move":
                task.tempting |= {to_owner: "S7.2", _DISPATCH: "S7.4"}
                books.close_round(task)
            elif others > 0:
                task.tempting[to_owner] = "S6.3"
            else:
                books.owe(task.owner, message, "S7.6" if task.taken_over and not task.forced else "S4.2", holder)
                books.close_round(task)
                task.refused = True
        elif task.round == "move":
            books.take_back(task_id, task)
            task.tempting[to_owner] = "S7.2"
            if books.closing:
                books.end(task_id, TaskCancelConfirm(task_id, CANCELED), "S9.10", cause=holder)
        else:
            requirement = "S4.2" if not task.taken_over else "S7.5" if task.forced else "S7.6"
            books.end(task_id, message, requirement, cause=holder, never_again="S7.8")

    def _on_heartbeat(self, sender: str, peer: PeerBook, role: str) -> None:
        books = self._books
        if peer.role not in ("", role):
            return  # S11.3
        if peer.lost:
            kind = DisconnectType.SHUTDOWN if peer.told and role == "worker" else DisconnectType.DISCONNECT
            books.owe(sender, ClientDisconnect(kind), "S9.6" if role == "worker" else "S9.8", sender)
        elif role == "worker" and not peer.role and books.closing:
            books.owe(sender, ClientDisconnect(DisconnectType.SHUTDOWN), "S9.10", sender)
        else:
            peer.role = role
            peer.heartbeats += 1
            books.dues.on_heartbeat(sender, peer.heartbeats)
            if self._placing.get(sender) == 0:
                self._placing[sender] = peer.heartbeats

    # --- what it sends

    def _on_sent(self, to: str, message: Message) -> None:
        books = self._books
        match message:
            case Task(task_id) if task_id not in books.graphs:
                self._on_dispatched(to, message)
            case TaskCancel(task_id) if task_id not in books.graphs:
                if books.dues.take(to, message) is None:
                    self._on_asked(to, message)
                else:
                    books.tasks[task_id].asked += 1
            case TaskCancelConfirm(task_id, kind):
                self._on_told(to, task_id, message, kind)
            case TaskResult(task_id):
                self._on_told(to, task_id, message, None)
            case TaskLog(task_id) if task_id not in books.graphs:
                due = books.dues.take(to, message)
                if due is None or due.message != message:
                    self._break("S8.4", f"sends {to} {self._words(message)}, which no holder has sent")
            case ClientHeartbeatEcho():
                self._on_echoed(to, "client")
            case WorkerHeartbeatEcho():
                self._on_echoed(to, "worker")
            case ClientDisconnect():
                self._on_dismissed(to, message)
            case ClientShutdownResponse(accepted):
                if books.dues.take(to, message) is None:
                    requirement = "S11.3" if books.peer(to).role == "worker" else "S11.6"
                    self._break(requirement, f"sends {to} {self._words(message)}, which has not asked for a shutdown")
                if accepted:
                    books.close()
                books.refused_to_close = books.refused_to_close or not accepted
            case _:
                pass

    def _on_dispatched(self, to: str, message: Task) -> None:
        books, task_id = self._books, message.task_id
        peer, task = books.peer(to), books.tasks.get(task_id)
        said = f"sends {to} {self._words(message)}"
        if task is None:
            self._break(books.dropped.get(task_id, "S1.2"), f"{said}, which no client has submitted")
            return
        tempted = task.tempting.pop(_DISPATCH, None)
        if task.stage != "held":
            requirement = task.never_again if task.stage == "over" else "S9.7"
            requirement = "S1.2" if requirement == "S7.8" and task.terminal is not None else requirement
            self._break(requirement, f"{said}, though {self._fate(task)}")
            return
        if peer.lost:
            self._break("S9.6", f"{said}, though {to} is lost")
        elif task.holder or (task.perhaps and tempted):
            self._break(tempted or "S8.2", f"{said}, though {task.holder} holds it")
        elif books.closing:
            self._break("S9.10", f"{said}, though it is shutting down")
        elif peer.role != "worker":
            self._break("S11.3" if peer.role else "S8.2", f"{said}, though {to} is no worker")
        elif peer.load >= peer.queue_size:
            self._break("S8.2", f"{said}, though {to} holds {peer.load} tasks and its queue size is {peer.queue_size}")
        elif message != task.message:
            self._break("M4", f"{said}, with other fields than it was submitted with")
        elif task.losses > MOST_LOSSES:
            self._break("S9.4", f"{said}, though it was lost with {MOST_LOSSES} workers and more")
        books.assign(task_id, task, to)

    def _on_asked(self, to: str, message: TaskCancel) -> None:
        """A TaskCancel that was not due."""
        books, task_id, force = self._books, message.task_id, message.force
        said = f"sends {to} {self._words(message)}"
        task = books.tasks.get(task_id)
        if task is None:
            self._break(books.dropped.get(task_id, "S4.1"), f"{said}, which no client has submitted")
            return
        tempted = task.tempting.pop((to, effect_of(message)), None)
        if task.stage == "over":
            self._break("S1.2", f"{said}, though {self._fate(task)}")
            return
        if task.holder != to:
            self._break(tempted or "S4.1", f"{said}, though {to} does not hold it")
            return
        task.asked += 1
        if task.stage == "abandoned":
            self._break("S9.7", f"{said}, though its owner is lost and it was cancelled with force")
        elif books.dues.remove_cancels(to, task_id):
            self._break("S4.1", f"{said}, though its owner has sent it {'without' if force else 'with'} force")
        elif not task.round and not force:
            task.round = "move"
        elif force and task.round != "owner":
            self._break(tempted or "S7.1", f"{said}, which its owner has not asked for")
        else:
            self._break(tempted or ("S6.1" if force else "S7.7"), f"{said}, though a round is open")

    def _on_told(self, to: str, task_id: bytes, message: Message, kind: int | None) -> None:
        """A TaskResult (`kind` is None) or a TaskCancelConfirm."""
        books = self._books
        said = f"sends {to} {self._words(message)}"
        task = books.tasks.get(task_id)
        if task_id in books.graphs:
            if books.graphs[task_id] != to:
                self._break("S2.4", f"{said}, which did not submit it")
            return
        first = next(iter(books.dues.of(to, task_id)), None)
        due = books.dues.take(to, message)
        if due is not None:
            if due is not first and first is not None:
                self._break(first.requirement, f"{said} before {self._words(first.message)}")
            if due.message != message:
                odd = isinstance(message, TaskResult) and due.message != message and _odd(due.message)
                self._break("M6" if odd else "M4", f"{said}, other than the holder has sent it")
            if task is not None and task.owner == to and kind != CANCEL_FAILED and task.terminal is None:
                task.terminal = message
        elif task is None:
            self._break(books.dropped.get(task_id, "S2.4"), f"{said}, which has not asked")
        elif task.owner != to:
            self._break(task.tempting.pop((to, effect_of(message)), "S2.4"), f"{said}, which does not own it")
        elif task.stage == "held":
            self._on_owner_told(task_id, task, message, said, kind)
        else:
            self._on_owner_told_again(task_id, task, message, said, kind)

    def _on_owner_told(self, task_id: bytes, task: TaskBook, message: Message, said: str, kind: int | None) -> None:
        """What was not due, of a task that is held."""
        books = self._books
        tempted = task.tempting.pop((task.owner, effect_of(message)), None)
        refused = kind == NOT_FOUND and task.refusable and not task.holder
        died = kind is None and message == TaskResult(task_id, TaskResultType.FAILED_WORKER_DIED)
        if kind == CANCEL_FAILED:
            if not task.perhaps:
                self._break(tempted or ("S4.2" if task.round else "S4.3"), f"{said}, which no holder has answered")
            return
        if not refused and not task.perhaps and not (died and task.losses and not task.holder):
            told = "S7.2" if task.round == "move" else "S4.4" if task.holder else "S1.1"
            default = "S8.1" if kind is None else told
            self._break(tempted or default, f"{said}, for which there is no reason")
        books.forget(task_id, task, "S1.2")
        task.terminal = message

    def _on_owner_told_again(
        self, task_id: bytes, task: TaskBook, message: Message, said: str, kind: int | None
    ) -> None:
        """What was not due, of a task that is over or abandoned."""
        books = self._books
        tempted = task.tempting.pop((task.owner, effect_of(message)), None)
        due = next(iter(books.dues.of(task.owner, task_id)), None)
        if task.terminal is not None:
            late_result = kind is None and isinstance(task.terminal, TaskCancelConfirm)
            default = "S1.2" if late_result or kind == CANCEL_FAILED else "S1.1"
            self._break(tempted or default, f"{said} after the terminal message {self._words(task.terminal)}")
        elif due is None:
            self._break(tempted or "S9.7", f"{said}, though {self._fate(task)}")
        elif kind == NOT_FOUND and task.refusable and due.requirement == "S3.1":
            books.dues.remove(due)  # the Task is refused; the cancel that followed it is still to be answered
            books.owe(task.owner, message, "S2.1", due.cause)
            task.terminal = message
        else:
            self._break(tempted or due.requirement, f"{said}, not {self._words(due.message)}")
            if kind != CANCEL_FAILED:
                books.dues.remove(due)
                task.terminal = message

    def _on_echoed(self, to: str, role: str) -> None:
        peer = self._books.peer(to)
        if not peer.heartbeats or peer.role != role:
            lost = "S9.6" if peer.role == "worker" else "S9.8"
            requirement = "S11.3" if peer.role not in ("", role) else lost if peer.lost else "S10.1"
            self._break(requirement, f"sends {to} an echo, to no heartbeat of a {role} that it serves")
            return
        peer.heartbeats -= 1
        peer.echoed = True
        for due in self._books.dues.on_echo(to):
            self._missing(due)
        if self._placing.get(to):
            self._placing[to] -= 1
            if not self._placing[to]:
                del self._placing[to]
                self._break("S9.9", f"echoes {to} while a task waits though a worker has room")

    def _on_dismissed(self, to: str, message: ClientDisconnect) -> None:
        books = self._books
        peer = books.peer(to)
        if books.dues.take(to, message) is not None:
            peer.told = peer.lost
        elif peer.lost:
            for due in list(books.dues.of(to, b""))[:1]:
                books.dues.remove(due)
                if not peer.told:
                    self._break(due.requirement, f"sends {to} {self._words(message)}, not {self._words(due.message)}")
            peer.told = True
        elif not peer.echoed and message.disconnect_type == DisconnectType.DISCONNECT:
            peer.role, peer.heartbeats = "", 0  # S11.5: it is one too many
        elif not (books.closing and message.disconnect_type == DisconnectType.SHUTDOWN):
            others = any(other.lost for other in books.peers.values())
            requirement = "S11.6" if books.refused_to_close else "S11.4" if others else "S9.1"
            self._break(requirement, f"sends {to} {self._words(message)}, which has not left")
            books.lose(to, silent=True)

    # --- what it finds

    def _missing(self, due: Due) -> None:
        if not self._books.peer(due.to).unseen:
            self._break(due.requirement, f"has not sent {due.to} {self._words(due.message)}")

    def _break(self, requirement: str, text: str) -> None:
        self._found.append(Violation(requirement, text))

    def _words(self, message: Message) -> str:
        return describe(message, self._names)

    def _fate(self, task: TaskBook) -> str:
        if task.terminal is not None:
            return f"{task.owner} was sent {self._words(task.terminal)}"
        return f"{task.owner} is lost" if task.stage == "abandoned" else "it is over"


def _effects_of_cancel(task: TaskBook, message: TaskCancel, requirement: str) -> dict[tuple[str, Effect], str]:
    """What a TaskCancel of somebody who does not own the task must not do."""
    effects = [(task.holder, effect_of(message))]
    effects += [(task.owner, effect_of(said)) for said in (TaskCancelConfirm(b"", CANCELED), TaskResult(b""))]
    return dict.fromkeys(effects, requirement)


def _odd(message: Message) -> bool:
    """Whether it is a result of a kind that this version does not name (M6)."""
    return isinstance(message, TaskResult) and message.result_type not in set(TaskResultType)
