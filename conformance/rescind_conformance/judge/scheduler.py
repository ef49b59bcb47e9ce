"""The rules for a scheduler, in the order in which it received and sent its messages. Written from SPEC.md alone.

What it has received is in its books (`scheduler_received`, `scheduler_books`): what is due, what may be sent, and what
tempts. What it sends is held against them (`scheduler_tasks`, `scheduler_peers`). One wrong act is one violation: from
then on the judge goes by what the scheduler seems to believe, or, where that cannot be told, takes nothing amiss that
follows from it.

Judged is each requirement of S, and of T and M as far as they are a scheduler's, but `NOT_JUDGED`. Of these, messages
do not show:

- S9.1: time-outs; that a peer is lost is in the trace (`EventKind.PEER_LOST`).
- S9.5: what is decided in the middle of a loss, but where it is sent to the lost worker (a TaskCancel of what was lost
  with it), or comes behind an echo: what a loss has for a client is sent to it before the echo to any heartbeat that
  came later (T3). A task that is placed twice breaks S8.2; a Task for the lost worker, S9.6.
- S9.12: that a scheduler that has drained shuts down, and when.
- S10.1: that the echo says where payloads are kept.
- S10.2: whether what an echo has overtaken is late or missing. At the echo it is found missing, by the requirement that
  asks for it; if it comes all the same before anything else can be why, the echo came too early.
- S11.1: why a scheduler acts wrongly. What a peer must not bring about has requirements of its own: S1.3, S1.4, S2.2,
  S8.1, S8.4, S11.3, S11.4. What else is done to another's task or to a worker, or not done for anybody any more, breaks
  this one if what came just before is of a peer that it does not concern, and has to be dropped whoever sends it.
- S11.5: that there are limits, and what they are: Tasks and peers may be refused for one, and a worker that has a
  thousand tasks need not be given more. What is said to a peer beyond
  one is judged: its heartbeat is answered with `disconnect`, and the Tasks before that heartbeat are refused before.
- M1, M3: counts and logs. What must be dropped is judged by what it must not cause.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from rescind.messages import (
    ClientDisconnect,
    ClientHeartbeat,
    ClientHeartbeatEcho,
    ClientShutdownResponse,
    GraphTask,
    Message,
    Task,
    TaskCancel,
    TaskCancelConfirm,
    TaskLog,
    TaskResult,
    WorkerDisconnectNotification,
    WorkerHeartbeat,
    WorkerHeartbeatEcho,
)
from rescind_conformance.judge.records import EventKind, EventRecord, MessageRecord, Record, Violation
from rescind_conformance.judge.scheduler_books import CANCELED, Cause
from rescind_conformance.judge.scheduler_entries import PeerBook
from rescind_conformance.judge.scheduler_graphs import settle
from rescind_conformance.judge.scheduler_peers import PeerRules
from rescind_conformance.judge.scheduler_received import receive
from rescind_conformance.judge.scheduler_tasks import TaskRules

NOT_JUDGED: Final[Mapping[str, str]] = {
    "T1": "sockets and routing ids are not in a trace",
    "T3": "the order in which messages came is not in a trace, only that in which they were handled",
    "T4": "it is about clients and workers",
    "T7": "it is about clients and workers",
    "T5": "that a send blocks or raises shows only as silence: what is missing then is found by its own requirement",
    "T6": "queues of sockets are not in a trace",
    "M2": "the size of frames is not in a trace; what is dropped for it is missing, by its own requirement",
    "M4": "a trace has messages as this version reads them; one that is dropped for its encoding is missing",
    "S3.2": "time is not in a trace",
    "S10.3": "what earlier lives have named, and left, is not in a trace of one life",
    "S11.2": "counts and logs are not in a trace",
    "S12.3": "a graph that is refused for its order is refused against S12.1",
    "S12.17": "what becomes of payloads is not in a trace of messages",
    "S12.19": "what a scheduler keeps is not in a trace",
    "S12.20": "a Task that is changed on its way is one from S1.5",
}
"""Requirements that a scheduler's messages do not show, and why."""

_OF_LATER_VERSIONS = ("unknown member", "unsupported member")
"""How the note of a message begins that is well-formed and has a member that is not used here."""
_NEVER_RECEIVED = ClientHeartbeatEcho | WorkerHeartbeatEcho | ClientShutdownResponse
_NEVER_SENT = ClientHeartbeat | WorkerHeartbeat | WorkerDisconnectNotification | GraphTask


class SchedulerJudge(TaskRules, PeerRules):
    """Implements `PartyJudge` for a scheduler. `names` are those of tasks, for the texts.

    A scheduler that takes a peer as lost by its silence, or that shuts down, has to say so in its trace
    (`EventKind.PEER_LOST`, `CLOSE_REQUESTED`, `GRACE_OVER`, `DRAIN_REQUESTED`), or what it then does is taken for
    wrong.
    """

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
            self._served, self._silenced_by = True, ""
            self._on_sent(record.receiver, record.message)
        elif not record.note.startswith(_OF_LATER_VERSIONS):
            self._break("T2", f"sends {record.receiver} what is no message: {record.note}")
        settle(books, cause)
        after = books.placeable()
        if after > before:
            books.causes = (*books.causes, Cause(cause, after - before))
        elif not after:
            books.causes = ()
        return self._take()

    def rest(self) -> list[Violation]:
        books = self._books
        if self._has_been_stopped():
            return self._take()
        while due := next((due for due in books.dues if not due.optional), None):
            books.dues.late(due)
            self._missing(due)
        for name, peer in list(books.peers.items()):
            if peer.heartbeats and peer.role and not (peer.lost or peer.vague or peer.unseen):
                self._break("S10.1", f"has not echoed a heartbeat of {name}")
                books.peer(name).heartbeats = 0
        if count := books.placeable():
            self._left_waiting(count, "")
        return self._take()

    def may_hurry(self, record: Record) -> bool:
        """Implements `Hurrying`: what is due, heartbeats that say nothing new, and echoes that overtake nothing."""
        if not isinstance(record, MessageRecord) or record.message is None:
            return False
        books, message = self._books, record.message
        match message:
            case ClientHeartbeat() | WorkerHeartbeat() if record.sender != record.at:
                return _says_nothing_new(books.look(record.sender), message)
            case ClientHeartbeatEcho() | WorkerHeartbeatEcho() if record.sender == record.at:
                peer = books.look(record.receiver)
                role = "client" if isinstance(message, ClientHeartbeatEcho) else "worker"
                overtakes = books.placeable() or any(due.cause == record.receiver and due.echoes for due in books.dues)
                return peer.is_served_as(role) and peer.heartbeats > 0 and not overtakes
            case _ if record.sender == record.at:
                owed = books.dues.owed(record.receiver, message)
                about = books.dues.about(message)
                waits = any(due.optional and isinstance(due.message, TaskCancel) for due in about)
                return bool(owed) and owed[0].message == message and not waits
            case _:
                return False

    # --- what happens to it

    def _on_event(self, record: EventRecord) -> None:
        self._silenced_by = ""
        books = self._books
        books.dues.forget_overtaken()
        books.overtaken = ()
        peer = books.peer(record.peer) if record.peer else PeerBook()
        match record.event:
            case EventKind.PEER_LOST if peer.role and (peer.vague or not peer.lost):
                books.serve(record.peer, peer.role)
                books.lose(record.peer, silent=record.outcome != "dropped")
                self._departed = True
            case EventKind.DRAIN_REQUESTED:
                books.draining = True
            case EventKind.CLOSE_REQUESTED:
                books.close()
                books.closing_unsaid = False
            case EventKind.GRACE_OVER if books.closing:
                for task_id, task in list(books.tasks.items()):
                    if task.stage == "held" and not task.doubtful:
                        books.end(task_id, TaskCancelConfirm(task_id, CANCELED), "S9.10", never_again="S9.10")
            case EventKind.UNSEEN:
                books.hide(record.peer)

    def _on_received(self, sender: str, message: Message | None, note: str) -> None:
        self._nonsense, self._departed = ("", ""), False
        if _is_dropped(self._books.look(sender), message) and self._served and self._is_idle():
            self._silenced_by = self._silenced_by or sender
        if message is None:
            self._nonsense = (sender, "M3" if note.startswith(_OF_LATER_VERSIONS) else "M1")
            return
        good_bye = isinstance(message, ClientDisconnect | WorkerDisconnectNotification)
        self._books.dues.forget_overtaken(None if good_bye else message)
        self._books.overtaken = ()
        receive(self._books, sender, message)
        self._departed = good_bye and self._books.look(sender).lost

    def _is_idle(self) -> bool:
        """Whether nothing is left for it to do."""
        books = self._books
        return not any(peer.heartbeats for peer in books.peers.values()) and all(due.optional for due in books.dues)

    def _has_been_stopped(self) -> bool:
        """At rest: whether it serves nobody any more since somebody has sent what has to be dropped (S11.1)."""
        books = self._books
        waiting = [name for name, peer in books.peers.items() if peer.heartbeats and peer.role and not peer.unseen]
        if not self._silenced_by or all(name == self._silenced_by or books.look(name).vague for name in waiting):
            return False
        names = " and ".join(waiting)
        self._break("S11.1", f"has not served {names}, nor anybody, since {self._silenced_by} has sent what is dropped")
        for due in [due for due in books.dues if not due.optional]:
            books.dues.late(due)
        for name in waiting:
            books.peer(name).heartbeats = 0
        if count := books.placeable():
            self._left_waiting(count, "", silently=True)
        return True

    # --- what it sends

    def _on_sent(self, to: str, message: Message) -> None:
        match message:
            case Task():
                self._on_dispatched(to, message)
            case TaskCancel():
                self._on_asked(to, message)
            case TaskCancelConfirm(task_id, kind):
                self._on_told(to, task_id, message, kind)
            case TaskResult(task_id):
                self._on_told(to, task_id, message, None)
            case TaskLog():
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


def _is_dropped(peer: PeerBook, message: Message | None) -> bool:
    """Whether a message has no effect, whatever its sender has said before: M1, M3, S9.1."""
    good_bye = isinstance(message, ClientDisconnect | WorkerDisconnectNotification)
    return message is None or isinstance(message, _NEVER_RECEIVED) or (good_bye and not peer.role)


def _says_nothing_new(peer: PeerBook, message: ClientHeartbeat | WorkerHeartbeat) -> bool:
    """Whether it does not matter when this heartbeat is handled."""
    role = "client" if isinstance(message, ClientHeartbeat) else "worker"
    if isinstance(message, WorkerHeartbeat) and message.queue_size != peer.queue_size:
        return False
    lost = peer.role == role and peer.lost and not peer.vague and (role == "client" or peer.told)
    return peer.is_served_as(role) or lost
