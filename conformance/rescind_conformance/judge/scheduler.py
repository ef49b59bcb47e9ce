"""The rules for a scheduler, in the order in which it received and sent its messages. Written from SPEC.md alone.

What it has received is in its books (`scheduler_received`, `scheduler_books`): what is due, what may be sent, and what
tempts. Here is what it sends, held against them. One wrong act is one violation: from then on the judge goes by what
the scheduler seems to believe, or, where that cannot be told, takes nothing amiss that follows from it.

Judged is each requirement of S, and of T and M as far as they are a scheduler's, but `NOT_JUDGED`. Of these, messages
do not show:

- S9.1: time-outs; that a peer is lost is in the trace (`EventKind.PEER_LOST`).
- S10.1: that the echo says where payloads are kept.
- M1, M3: counts and logs. What must be dropped is judged by what it must not cause.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from rescind.messages import (
    ArgumentType,
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
    TaskLogType,
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
    NOT_FOUND,
    SHUTDOWN,
    Books,
    Cause,
    PeerBook,
    TaskBook,
)
from rescind_conformance.judge.scheduler_dues import Due, effect_of
from rescind_conformance.judge.scheduler_received import DISPATCH, receive

NOT_JUDGED: Final[Mapping[str, str]] = {
    "T1": "sockets and routing ids are not in a trace",
    "T3": "the order in which messages came is not in a trace, only that in which they were handled",
    "T4": "it is about clients and workers",
    "T5": "that a send blocks or raises shows only as silence: what is missing then is found by its own requirement",
    "T6": "queues of sockets are not in a trace",
    "M2": "the size of frames is not in a trace; what is dropped for it is missing, by its own requirement",
    "S3.2": "time is not in a trace",
    "S9.5": "what is decided in the middle of a loss shows as S8.2, S9.2, S9.3 or S9.6",
    "S10.2": "what an echo overtakes is found missing at the echo, by the requirement that asks for it",
    "S11.1": "what one peer does to another is found by the requirement that is broken towards the other",
    "S11.2": "counts and logs are not in a trace",
}
"""Requirements that a scheduler's messages do not show, and why."""

_OF_LATER_VERSIONS = ("unknown member", "unsupported member")
"""How the note of a message begins that is well-formed and has a member that is not used here."""
_NEVER_SENT = ClientHeartbeat | WorkerHeartbeat | WorkerDisconnectNotification | GraphTask


class SchedulerJudge:
    """Implements `PartyJudge` for a scheduler. `names` are those of tasks, for the texts.

    A scheduler that takes a peer as lost by its silence, or that shuts down, has to say so in its trace
    (`EventKind.PEER_LOST`, `CLOSE_REQUESTED`, `GRACE_OVER`), or what it then does is taken for wrong.
    """

    def __init__(self, names: Mapping[bytes, str] | None = None) -> None:
        self._names = names if names is not None else {}
        self._books = Books()
        self._reacts = ""
        """The requirement by which nothing follows from what came last."""
        self._at = ""
        self._found: list[Violation] = []

    def read(self, record: Record) -> list[Violation]:
        self._at = record.at
        books = self._books
        before, cause = books.placeable(), ""
        if isinstance(record, EventRecord):
            self._on_event(record)
        elif record.sender != record.at:
            cause = record.sender
            self._on_received(record.sender, record.message, record.note)
        elif record.message is not None:
            self._on_sent(record.receiver, record.message)
        elif not record.note.startswith(_OF_LATER_VERSIONS):
            self._break("T2", f"sends {record.receiver} what is no message: {record.note}")
        after = books.placeable()
        if after > before:
            books.causes.append(Cause(cause, after - before))
        elif not after:
            books.causes.clear()
        return self._take()

    def rest(self) -> list[Violation]:
        books = self._books
        for due in list(books.dues):
            if not due.optional:
                self._missing(due)
                books.dues.late(due)
        for name, peer in books.peers.items():
            if peer.heartbeats and peer.role and not (peer.lost or peer.vague or peer.unseen):
                self._break("S10.1", f"has not echoed a heartbeat of {name}")
                peer.heartbeats = 0
        if count := books.placeable():
            self._left_waiting(count, "")
        return self._take()

    # --- what happens to it

    def _on_event(self, record: EventRecord) -> None:
        books = self._books
        peer = books.peer(record.peer) if record.peer else PeerBook()
        match record.event:
            case EventKind.PEER_LOST if peer.role and (peer.vague or not peer.lost):
                books.serve(record.peer, peer.role)
                books.lose(record.peer, silent=record.outcome != "dropped")
                self._reacts = "S11.4"
            case EventKind.CLOSE_REQUESTED:
                books.close()
                books.closing_unsaid = False
            case EventKind.GRACE_OVER if books.closing:
                for task_id, task in books.tasks.items():
                    if task.stage == "held" and not task.doubtful:
                        books.end(task_id, TaskCancelConfirm(task_id, CANCELED), "S9.10", never_again="S9.10")
            case EventKind.UNSEEN:
                books.hide(record.peer)

    def _on_received(self, sender: str, message: Message | None, note: str) -> None:
        self._reacts = ""
        if message is None:
            self._reacts = "M3" if note.startswith(_OF_LATER_VERSIONS) else "M1"
            return
        receive(self._books, sender, message)
        if isinstance(message, ClientDisconnect | WorkerDisconnectNotification) and self._books.peer(sender).lost:
            self._reacts = "S11.4"

    # --- what it sends

    def _on_sent(self, to: str, message: Message) -> None:
        books = self._books
        match message:
            case Task(task_id):
                if task_id in books.graphs:
                    books.peer(to).graphs = True
                else:
                    self._on_dispatched(to, message)
            case TaskCancel(task_id):
                if task_id not in books.graphs:
                    self._on_asked(to, message)
            case TaskCancelConfirm(task_id, kind):
                self._on_told(to, task_id, message, kind)
            case TaskResult(task_id):
                self._on_told(to, task_id, message, None)
            case TaskLog(task_id) if task_id not in books.graphs:
                self._on_logged(to, message)
            case ClientHeartbeatEcho():
                self._on_echoed(to, "client")
            case WorkerHeartbeatEcho():
                self._on_echoed(to, "worker")
            case ClientDisconnect():
                self._on_dismissed(to, message)
            case ClientShutdownResponse():
                self._on_response(to, message)
            case _ if isinstance(message, _NEVER_SENT):
                self._break("M3", f"sends {to} {self._words(message)}, which is not meant to come from it")
            case _:
                pass

    def _on_dispatched(self, to: str, message: Task) -> None:
        books, task_id = self._books, message.task_id
        peer, task = books.peer(to), books.tasks.get(task_id)
        said = f"sends {to} {self._words(message)}"
        if task is None:
            self._break(books.dropped.get(task_id) or self._reacts or "M5", f"{said}, which no client has submitted")
            for due in books.dues.about(message):
                books.dues.late(due)
            return
        tempted = task.tempting.pop(DISPATCH, None)
        if task.stage == "unclear":
            books.doubt(task, to)
        elif task.stage != "held":
            requirement = task.never_again if task.stage == "over" else "S9.7"
            told = task.terminal is not None and requirement not in ("S3.1", "S1.4")
            self._break("S1.2" if told else requirement, f"{said}, though {self._fate(task)}")
            books.give_up(task_id, task)
            books.doubt(task, to)
        elif peer.lost or task.holder or (task.doubtful and tempted == "S7.8"):
            why = f"though {to} is lost" if peer.lost else f"though {task.holder or 'nobody'} holds it"
            self._break("S9.6" if peer.lost else tempted or "S8.2", f"{said}, {why}")
            books.give_up(task_id, task)
            books.doubt(task, to)
        else:
            self._on_assigned(to, peer, task_id, task, message)

    def _on_assigned(self, to: str, peer: PeerBook, task_id: bytes, task: TaskBook, message: Task) -> None:
        """The dispatch of a task that waits."""
        books = self._books
        said = f"sends {to} {self._words(message)}"
        if books.closing:
            self._break("S9.10", f"{said}, though it is shutting down")
        elif peer.role != "worker" and not peer.vague:
            self._break("S11.3" if peer.role else "S8.2", f"{said}, though {to} is no worker")
        elif peer.load >= peer.queue_size:
            self._break("S8.2", f"{said}, though {to} holds {peer.load} tasks and its queue size is {peer.queue_size}")
        elif message != task.message:
            self._break(_changed(task.message), f"{said}, with other fields than it was submitted with")
        books.accept(task)
        books.assign(task_id, task, to)
        books.serve(to, "worker")

    def _on_asked(self, to: str, message: TaskCancel) -> None:
        books, task_id, force = self._books, message.task_id, message.force
        said = f"sends {to} {self._words(message)}"
        task = books.tasks.get(task_id)
        owed = [due for due in books.dues.about(message) if due.to == to and not due.optional]
        due = books.dues.take(to, message)
        if due is not None:
            if owed and owed[0] is not due and not due.optional:
                self._out_of_turn(said, owed[0])
            return
        if task is None:
            self._break(books.dropped.get(task_id) or self._reacts or "M5", f"{said}, which no client has submitted")
            return
        tempted = task.tempting.pop((to, effect_of(message)), None)
        if task.stage == "unclear":
            return
        if task.stage == "over":
            requirement = "S3.1" if task.never_again == "S3.1" else "S1.2"
            self._break(requirement, f"{said}, though {self._fate(task)}")
        elif task.holder != to:
            missed = books.dues.take_elsewhere(message)
            self._break(tempted or (missed and missed.requirement) or "S4.1", f"{said}, though {to} does not hold it")
        elif owed and isinstance(owed[0].message, TaskCancel):
            self._break(owed[0].requirement, f"{said}, not {self._words(owed[0].message)}")
            books.dues.remove(owed[0])
        elif task.stage == "abandoned":
            self._break(tempted or "S9.7", f"{said}, though its owner is lost and it was cancelled with force")
        elif not task.round:
            if force:
                self._break(tempted or self._reacts or "S7.1", f"{said}, which its owner has not asked for")
            task.round, task.asked = "move", 1
        elif force and task.round == "move":
            self._break(tempted or self._reacts or "S7.1", f"{said}, which its owner has not asked for")
        else:
            self._break(tempted or ("S6.1" if force else "S7.7"), f"{said}, though a round is open")

    def _on_told(self, to: str, task_id: bytes, message: Message, kind: int | None) -> None:
        """A TaskResult (`kind` is None) or a TaskCancelConfirm."""
        books = self._books
        said = f"sends {to} {self._words(message)}"
        task = books.tasks.get(task_id)
        owed = [due for due in books.dues.about(message) if due.to == to and not due.optional]
        due = books.dues.take(to, message)
        if task_id in books.graphs:
            self._on_told_of_graph(to, task_id, kind, said)
            return
        if due is not None:
            if owed and owed[0] is not due and not due.optional:
                self._out_of_turn(said, owed[0])
            self._discharge(to, task_id, task, message, due)
        elif task is None:
            elsewhere = books.dues.take_elsewhere(message) is not None
            unknown = "S2.4" if elsewhere else self._reacts or "M5"
            self._break(books.dropped.get(task_id) or unknown, f"{said}, which has not asked")
        elif task.stage == "unclear":
            pass
        elif task.owner != to:
            tempted = task.tempting.pop((to, effect_of(message)), None)
            missed = books.dues.take_elsewhere(message)
            if missed is not None:
                self._note_terminal(missed.to, task, message, kind)
            self._break(tempted or "S2.4", f"{said}, which does not own it")
        elif task.stage == "held":
            self._on_owner_told(task_id, task, message, said, kind)
        else:
            self._on_owner_told_again(task_id, task, message, said, kind)

    def _on_told_of_graph(self, to: str, task_id: bytes, kind: int | None, said: str) -> None:
        graphs = self._books.graphs
        owner, graph = graphs[task_id]
        if kind != NOT_FOUND:
            if owner not in ("", to) and task_id not in self._books.tasks:
                self._break("S2.4", f"{said}, which did not submit it")
        elif owner == to and graph == task_id:
            for one in [one for one, of in graphs.items() if of == (owner, graph)]:
                del graphs[one]  # it is refused

    def _discharge(self, to: str, task_id: bytes, task: TaskBook | None, message: Message, due: Due) -> None:
        """What was due, or allowed."""
        books = self._books
        own = isinstance(due.message, TaskResult) and due.requirement == "S9.4"
        if own and _kind(message) != _kind(due.message):
            self._break("S9.4", f"sends {to} {self._words(message)}, not {self._words(due.message)}")
        elif not own and due.message != message:
            said = f"sends {to} {self._words(message)}, other than the holder has sent it"
            self._break(_changed(due.message), said)
        if task is None or task.owner != to:
            return
        if not due.refuses:
            self._note_terminal(to, task, message, _kind_of_confirm(message))
        elif task.stage == "held":
            again = task.never_again
            books.forget(task_id, task, again)
            task.terminal = message
        elif task.stage == "over" and task.terminal is None:
            task.terminal = message
            for other in books.dues.about(message):
                if other.to == to and other.requirement == "S3.1" and not other.optional:
                    books.dues.late(other)
                    books.owe(to, message, "S2.1", to)  # the cancel that followed the Task is still to be answered
                elif other.to == to and other.requirement == "S9.10":
                    books.dues.excuse(other)

    def _note_terminal(self, owner: str, task: TaskBook, message: Message, kind: int | None) -> None:
        if task.stage != "over" or kind == CANCEL_FAILED or task.terminal is not None or task.owner != owner:
            return
        task.terminal = message
        books = self._books
        for due in books.dues.about(message):
            if due.refuses or (due.optional and isinstance(due.message, TaskCancel)):
                books.dues.remove(due)  # S1.2
        if kind != NOT_FOUND:
            books.accept(task)

    def _on_owner_told(self, task_id: bytes, task: TaskBook, message: Message, said: str, kind: int | None) -> None:
        """What was not due, of a task that is held."""
        books = self._books
        tempted = task.tempting.pop((task.owner, effect_of(message)), None)
        died = _kind(message) == TaskResultType.FAILED_WORKER_DIED
        if task.doubtful and kind == CANCEL_FAILED:
            task.tempting.pop(DISPATCH, None)
            return
        if kind == CANCELED and not task.holder and not task.doubtful and not books.closing and books.may_be_closing():
            self._close_unsaid()
            self._on_told(task.owner, task_id, message, kind)
            return
        if task.doubtful or (died and task.waits_by == "S9.3" and not task.holder):
            books.forget(task_id, task, "S1.2")
            task.terminal = message
            return
        if kind == CANCEL_FAILED:
            requirement = "S4.2"
        elif kind is None:
            requirement = "S9.3" if died else "S8.1"
        else:
            requirement = "S7.2" if task.round == "move" else "S4.4" if task.holder else "S1.1"
        self._break(tempted or self._reacts or requirement, f"{said}, for which there is no reason")
        books.give_up(task_id, task)

    def _on_owner_told_again(
        self, task_id: bytes, task: TaskBook, message: Message, said: str, kind: int | None
    ) -> None:
        """What was not due, of a task that is over or abandoned."""
        books = self._books
        tempted = task.tempting.pop((task.owner, effect_of(message)), None)
        owed = [due for due in books.dues.about(message) if due.to == task.owner and not due.optional]
        if task.terminal is not None:
            late_result = kind is None and isinstance(task.terminal, TaskCancelConfirm)
            default = "S1.2" if late_result or kind == CANCEL_FAILED else "S1.1"
            self._break(tempted or default, f"{said} after the terminal message {self._words(task.terminal)}")
        elif not owed:
            oddly = books.peer(task.owner).oddly
            self._break(tempted or ("M6" if oddly else "S9.7"), f"{said}, though {self._fate(task)}")
        elif owed[0].requirement == "S9.10" and task.losses and _kind(message) == TaskResultType.FAILED_WORKER_DIED:
            books.dues.remove(owed[0])
            task.terminal = message  # it may not run again, since nothing does: S9.3
        else:
            self._break(tempted or owed[0].requirement, f"{said}, not {self._words(owed[0].message)}")
            if kind != CANCEL_FAILED:
                books.dues.late(owed[0])
                task.terminal = message

    def _on_logged(self, to: str, message: TaskLog) -> None:
        books = self._books
        said = f"sends {to} {self._words(message)}"
        task = books.tasks.get(message.task_id)
        due = books.dues.take(to, message)
        if due is not None:
            if due.message != message:
                self._break(_changed(due.message), f"{said}, other than the holder has sent it")
        elif task is None or task.stage != "unclear":
            books.dues.take_elsewhere(message)
            abandoned = task is not None and task.stage == "abandoned" and task.owner == to
            self._break("S9.7" if abandoned else "S8.4", f"{said}, which is not for it")

    def _on_echoed(self, to: str, role: str) -> None:
        books = self._books
        peer = books.peer(to)
        if not (peer.heartbeats or peer.excused) or (peer.role != role and not peer.vague):
            lost = "M6" if peer.oddly else "S9.6" if peer.role == "worker" else "S9.8"
            requirement = "S11.3" if peer.role not in ("", role) else lost if peer.lost else self._reacts or "S10.1"
            self._break(requirement, f"sends {to} an echo, to no heartbeat of a {role} that it serves")
            return
        if peer.heartbeats:
            peer.heartbeats -= 1
        else:
            peer.excused -= 1
        books.serve(to, role)
        missing = books.dues.on_echo(to)
        for due in missing:
            self._missing(due)
        expired = False
        for cause in list(books.causes):
            if cause.sender == to and cause.echoes:
                cause.echoes -= 1
                if not cause.echoes:
                    expired = True
                    books.causes.remove(cause)
        left = books.placeable(surely=True) - sum(cause.count for cause in books.causes)
        if expired and left > 0:
            self._left_waiting(left, f" when it echoes {to}", silently=bool(missing))

    def _on_dismissed(self, to: str, message: ClientDisconnect) -> None:
        books = self._books
        peer = books.peer(to)
        said = f"sends {to} {self._words(message)}"
        if message == SHUTDOWN and not peer.sure and peer.heartbeats:
            books.excuse_heartbeats(to, 1)  # it may have come during the shutdown
        if books.dues.take(to, message) is not None:
            peer.told = peer.told or peer.lost or peer.role != "worker"
        elif peer.vague:
            peer.heartbeats = max(0, peer.heartbeats - 1)
        elif peer.excused and not peer.lost and message.disconnect_type == DisconnectType.DISCONNECT:
            peer.excused -= 1
        elif peer.lost:
            self._on_lost_told(to, peer, message, said)
        elif message == SHUTDOWN and peer.role == "worker" and books.may_be_closing():
            if not books.closing:
                self._close_unsaid()
                books.dues.take(to, message)
        elif not peer.sure and peer.heartbeats and message.disconnect_type == DisconnectType.DISCONNECT:
            peer.heartbeats -= 1
            peer.role = ""  # S11.5: it is one too many
            for due in books.dues.about(message):
                if due.to == to and due.message == SHUTDOWN:
                    books.dues.excuse(due)
        else:
            wanted = "S11.6" if books.refused_to_close and message == SHUTDOWN else "S9.1"
            self._break(self._reacts or wanted, f"{said}, which has not left")
            peer.vague = True
            for task_id, task in books.tasks.items():
                if to in (task.owner, task.holder) and task.stage in ("held", "abandoned"):
                    books.give_up(task_id, task)

    def _on_lost_told(self, to: str, peer: PeerBook, message: ClientDisconnect, said: str) -> None:
        """Not what was due, or unasked."""
        books = self._books
        asked = [due for due in books.dues.about(message) if due.to == to and isinstance(due.message, ClientDisconnect)]
        if not asked:
            peer.warned = True
            return
        books.dues.remove(asked[0])
        goes_on = message == SHUTDOWN and peer.told and peer.role == "worker"
        if not goes_on and not (peer.warned and peer.role == "worker"):
            self._break(asked[0].requirement, f"{said}, not {self._words(asked[0].message)}")
        peer.told = True

    def _on_response(self, to: str, message: ClientShutdownResponse) -> None:
        books = self._books
        said = f"sends {to} {self._words(message)}"
        if books.dues.take(to, message) is None:
            peer = books.peer(to)
            requirement = "S11.3" if peer.role == "worker" else "S9.8" if peer.lost else "S11.6"
            self._break(requirement, f"{said}, which has not asked for a shutdown")
        elif message.accepted:
            books.close()
            books.closing_unsaid = False
        else:
            books.refused_to_close = True
            asked = any(isinstance(due.message, ClientShutdownResponse) for due in books.dues)
            if books.closing_unsaid and not asked:
                self._break("S11.6", f"{said}, though it shuts down")
                books.closing_unsaid = False

    def _close_unsaid(self) -> None:
        self._books.close()
        self._books.closing_unsaid = True

    # --- what it finds

    def _out_of_turn(self, said: str, first: Due) -> None:
        self._break(first.requirement, f"{said} before {self._words(first.message)}")
        self._books.dues.late(first)

    def _missing(self, due: Due) -> None:
        books = self._books
        if books.peer(due.to).unseen:
            return
        self._break(due.requirement, f"has not sent {due.to} {self._words(due.message)}")
        task = books.tasks.get(getattr(due.message, "task_id", b""))
        if task is not None and task.finished_by and isinstance(due.message, TaskResult):
            books.doubt(task, task.finished_by)

    def _left_waiting(self, count: int, when: str, *, silently: bool = False) -> None:
        """So many tasks wait though there is room for them."""
        requirement, told = self._books.blame(count)
        names = " and ".join(self._words(Task(task_id)) for task_id in told)
        if not silently:
            self._break(requirement, f"leaves {names} waiting though a worker has room{when}")

    def _break(self, requirement: str, text: str) -> None:
        self._found.append(Violation(requirement, f"{self._at} {text}"))

    def _take(self) -> list[Violation]:
        found, self._found = self._found, []
        return found

    def _words(self, message: Message) -> str:
        return describe(message, self._names)

    def _fate(self, task: TaskBook) -> str:
        if task.terminal is not None:
            return f"{task.owner} was sent {self._words(task.terminal)}"
        return f"{task.owner} is lost" if task.stage == "abandoned" else "it is over"


def _kind(message: Message) -> int | None:
    return message.result_type if isinstance(message, TaskResult) else None


def _kind_of_confirm(message: Message) -> int | None:
    return message.cancel_confirm_type if isinstance(message, TaskCancelConfirm) else None


def _changed(message: Message) -> str:
    """What is broken if this message is not forwarded as it is: M6 where it has a value that nobody knows."""
    match message:
        case TaskResult(_, kind):
            odd = kind not in set(TaskResultType)
        case TaskLog(_, kind):
            odd = kind not in set(TaskLogType)
        case Task():
            odd = any(not isinstance(argument.type, ArgumentType) for argument in message.function_args)
        case _:
            odd = False
    return "M6" if odd else "M4"
