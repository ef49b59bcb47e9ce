"""Which requirement of SPEC.md a recorded run breaks where the model's scheduler cannot follow it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rescind_conformance.model.recorded_run import Said

ECHOES = ("ClientHeartbeatEcho", "WorkerHeartbeatEcho")
_ROUND = ("canceling", "escalated", "forcing")
ROW_RULES: Mapping[tuple[str, str], str] = {
    ("queued", "dispatch"): "S9.9",
    ("queued", "cancel"): "S3.1",
    ("queued", "cancel, force"): "S3.1",
    ("queued", "owner lost"): "S9.7",
    ("dispatched", "cancel"): "S4.1",
    ("dispatched", "cancel, force"): "S4.1",
    ("dispatched", "rebalance"): "S7.1",
    ("dispatched", "result"): "S1.1",
    ("dispatched", "worker lost"): "S9.3",
    ("dispatched", "worker lost again"): "S9.4",
    ("dispatched", "owner lost"): "S9.7",
    **{(state, "cancel"): "S6.1" for state in _ROUND},
    ("canceling", "cancel, force"): "S6.2",
    ("escalated", "cancel, force"): "S6.1",
    ("forcing", "cancel, force"): "S6.1",
    **{(state, "result"): "S5.1" for state in _ROUND},
    **{(state, answer): "S4.2" for state in _ROUND for answer in ("canceled", "cancelFailed", "cancelNotFound")},
    ("escalated", "cancelFailed"): "S6.3",
    **{(state, loss): "S9.2" for state in _ROUND for loss in ("worker lost", "worker lost again")},
    **{(state, "owner lost"): "S9.7" for state in _ROUND},
    ("rebalancing", "cancel"): "S7.6",
    ("rebalancing", "cancel, force"): "S7.5",
    ("rebalancing", "result"): "S7.4",
    ("rebalancing", "canceled"): "S7.3",
    ("rebalancing", "cancelFailed"): "S7.4",
    ("rebalancing", "cancelNotFound"): "S7.3",
    ("rebalancing", "worker lost"): "S9.3",
    ("rebalancing", "worker lost again"): "S9.4",
    ("rebalancing", "owner lost"): "S9.7",
    **{("abandoned", event): "S9.7" for event in ("result", "canceled", "cancelFailed", "cancelNotFound")},
    **{("abandoned", event): "S9.7" for event in ("worker lost", "worker lost again")},
    **{(state, "close"): "S9.10" for state in ("queued", "dispatched", *_ROUND, "rebalancing", "abandoned")},
}
"""For each row of the scheduler's table, the requirement that asks for what it sends."""


@dataclass(frozen=True, slots=True)
class TaskView:
    """What the model's scheduler knows of a task."""

    state: str = "new"
    owner: str = ""
    holder: str = ""


@dataclass(frozen=True, slots=True)
class View:
    """What the model's scheduler knows where it cannot follow."""

    tasks: Mapping[str, TaskView]
    peers: Mapping[str, str]
    """new, served, lost or told."""
    owed: frozenset[str]
    mode: str
    content: Mapping[str, str] = field(default_factory=dict)
    """What each task was accepted with, as `Said` has it."""
    submitted: frozenset[tuple[str, str, str]] = frozenset()
    """Each Task that came: from whom, its task, its content."""
    canceling_workers: frozenset[tuple[str, str]] = frozenset()
    """Workers that have sent a TaskCancel, and the task."""
    has_refused_to_close: bool = False
    """A client has asked for a shutdown and was refused."""
    heard: tuple[tuple[str, Said], ...] = ()
    """What came so far about tasks: from whom, and what."""
    told: tuple[tuple[str, Said], ...] = ()
    """What was sent about tasks, and echoes: to whom, and what."""

    def task(self, said: Said) -> TaskView:
        """The task that a message is about."""
        return self.tasks.get(str(said[1]), TaskView()) if len(said) > 1 else TaskView()

    def is_first_heartbeat_of(self, peer: str) -> bool:
        """Whether the echo that it waits for is its first."""
        return peer in self.owed and not any(self.count_told(peer, echo) for echo in ECHOES)

    def who_said(self, said: Said) -> set[str]:
        """Whose message this is."""
        return {peer for peer, each in self.heard if each == said}

    def count_heard(self, peer: str, *words: str) -> int:
        """How many messages of a peer begin so."""
        return sum(peer == sender and said[: len(words)] == words for sender, said in self.heard)

    def count_told(self, peer: str, *words: str) -> int:
        """How many messages to a peer begin so."""
        return sum(peer == receiver and said[: len(words)] == words for receiver, said in self.told)


def rule_of_missing(cause: Said, sender: str, missing: Said, event: str, view: View) -> str:
    """The requirement that has the scheduler send `missing` when it handles `cause`; `event` is that of the table's
    row for it, "" where no row is.
    """
    task = view.task(missing)
    if str(cause[-1]).startswith("type "):
        return "M6"
    if missing[0] == "TaskCancelConfirm" and missing[2] == "cancelNotFound" and cause[0] == "peer lost":
        return "S9.11"
    if event:
        return ROW_RULES[(task.state, event)]
    lost = view.peers.get(sender) in ("lost", "told")
    match missing[0]:
        case "TaskCancelConfirm" if cause[0] in ("Task", "GraphTask"):
            return "S9.8" if lost else "S1.3"
        case "TaskCancelConfirm":
            return "S9.8" if lost else "S2.2" if task.owner not in ("", "nobody", sender) else "S2.1"
        case "ClientDisconnect" if cause[0] == "ClientHeartbeat":
            return "S9.8" if lost else "S11.5"
        case "ClientDisconnect" if cause[0] == "WorkerHeartbeat" and lost:
            return "S9.6"
        case "ClientDisconnect" if cause[0] == "ClientDisconnect":
            return "S11.6"
        case "ClientDisconnect":
            return "S9.10"
        case "ClientShutdownResponse":
            return "S11.6"
        case _:
            return "S10.1"


def rule_of_unexplained(sent: Said, receiver: str, view: View) -> str:
    """The requirement that keeps the scheduler from sending this now."""
    task = view.task(sent)
    match sent[0]:
        case "Task":
            return _of_task(sent, task, receiver, view)
        case "TaskCancel":
            return _of_cancel(sent, task, receiver, view)
        case "TaskCancelConfirm" | "TaskResult":
            return _of_answer(sent, task, receiver, view)
        case "ClientHeartbeatEcho" | "WorkerHeartbeatEcho":
            if str(sent[0])[0] != receiver[0]:
                return "S11.3"
            if view.peers.get(receiver) in ("lost", "told"):
                return "S9.8" if sent[0] == "ClientHeartbeatEcho" else "S9.6"
            return "S10.2" if receiver in view.owed and len(sent) == 1 else "S10.1"
        case "ClientShutdownResponse" if receiver.startswith("C"):
            return "S9.8" if view.peers.get(receiver) == "lost" else "S11.6"
        case "ClientShutdownResponse":
            return "S11.3"
        case "ClientDisconnect" if sent[1] == "disconnect" and view.is_first_heartbeat_of(receiver):
            return "S10.1"
        case "ClientDisconnect" if receiver.startswith("C"):
            return "S9.8" if view.peers.get(receiver) == "lost" else "S9.1"
        case "ClientDisconnect" if sent[1] == "shutdown" and view.peers.get(receiver) not in ("lost", "told"):
            return "S11.6" if view.has_refused_to_close else "S9.10"
        case "ClientDisconnect":
            return "S9.6" if view.peers.get(receiver) in ("lost", "told") else "S9.1"
        case _:
            return "M3"


def _of_task(sent: Said, task: TaskView, receiver: str, view: View) -> str:
    if receiver.startswith("C"):
        return "S11.3"
    if view.peers.get(receiver) in ("lost", "told"):
        return "S9.6"
    if task.state == "new":
        return _of_no_task(sent, view)
    if task.state == "queued" and view.mode == "open" and is_altered(sent, view):
        return _of_content(sent, task, view)
    if task.state == "queued":
        return "S9.10" if view.mode != "open" else "S8.2"
    return {"abandoned": "S9.7", "ended": "S1.2"}.get(task.state, "S7.8" if task.state in _ROUND else "S8.2")


def _of_no_task(sent: Said, view: View) -> str:
    """What a worker is told of a task that was never accepted."""
    senders = {peer for peer, name, _ in view.submitted if name == sent[1]}
    if not senders:
        return "M5"
    clients = {peer for peer in senders if peer.startswith("C")}
    if not clients:
        return "S11.3"
    return "S9.8" if all(view.peers.get(peer) == "lost" for peer in clients) else "S1.2"  # it was refused


def is_altered(sent: Said, view: View) -> bool:
    """Whether a Task goes to a worker that is not what was accepted."""
    return sent[0] == "Task" and sent[2] != view.content.get(str(sent[1]), sent[2])


def _of_content(sent: Said, task: TaskView, view: View) -> str:
    """What was submitted under this id in vain, or by another, has no effect. Otherwise it was altered."""
    name, content = str(sent[1]), str(sent[2])
    if (task.owner, name, content) in view.submitted:
        return "S1.4"
    if any((other, content) == (name, each) for _, other, each in view.submitted):
        return "S11.1"
    return "M6" if view.content[name].startswith(" type ") else "S1.5"


def _of_cancel(sent: Said, task: TaskView, receiver: str, view: View) -> str:
    if task.state == "new":
        return _of_no_task(sent, view)
    if task.state == "ended":
        return "S1.2"
    if task.state == "queued":
        return "S3.1"
    if task.holder != receiver:
        return "S4.1"
    if task.state == "dispatched":
        return "S7.1"
    if task.state == "abandoned":
        return "S9.7"
    return "S6.1" if task.state in _ROUND else "S7.7" if sent[2] == "cancel" else "S7.5"


def _of_answer(sent: Said, task: TaskView, receiver: str, view: View) -> str:
    if sent[0] == "TaskCancelConfirm" and str(sent[2]).startswith("type "):
        return "M6"
    if (receiver, sent[1]) in view.canceling_workers:
        return "S11.3"
    if view.peers.get(receiver) == "lost":
        return "S9.7"
    if task.state in ("ended", "new"):
        return "S1.1" if receiver == task.owner else "S2.4"
    if receiver != task.owner:
        return "S2.4"
    if task.state == "abandoned":
        return "S9.7"
    others = view.who_said(sent) - {task.holder}
    if sent[0] == "TaskResult":
        if others and all(peer.startswith("C") for peer in others):
            return "S11.3"
        return "S9.3" if sent[2] == "failedWorkerDied" and not others else "S8.1"
    if sent[2] == "cancelFailed":
        return _of_refusal(sent, task, view)
    if task.state == "rebalancing":
        return "S7.2"
    if task.state == "queued":
        return _of_waiting(sent, task, others, view)
    if sent[2] == "cancelNotFound" and view.count_heard(task.owner, "Task", str(sent[1])) > 1:
        return "S1.4"
    if others:
        return "S11.3" if all(peer.startswith("C") for peer in others) else "S8.1"
    if task.state == "dispatched" and view.who_said(sent):
        return "S8.3"
    return "S4.4" if sent[2] == "canceled" else "S4.2"


def _of_refusal(sent: Said, task: TaskView, view: View) -> str:
    """A `cancelFailed` to the owner of a task that is held."""
    name = str(sent[1])
    asked = view.count_heard(task.owner, "TaskCancel", name)
    answered = view.count_told(task.owner, "TaskCancelConfirm", name)
    # More than the owner was told of: one of them was not for it.
    is_kept = view.count_heard(task.holder, *map(str, sent)) > view.count_told(task.owner, *map(str, sent))
    if task.state == "escalated" or (task.state == "forcing" and is_kept):
        return "S6.3"
    if task.state == "rebalancing":
        return "S7.2"
    if task.state == "dispatched" and is_kept:
        return "S7.2" if view.count_told(task.holder, "TaskCancel", name) > answered else "S8.3"
    # Each TaskCancel that joined a round looks as if it were not answered.
    joined = asked > answered if task.state == "dispatched" else asked > answered + 1
    return "S6.1" if joined else "S4.2"


def _of_waiting(sent: Said, task: TaskView, others: set[str], view: View) -> str:
    """A terminal TaskCancelConfirm to the owner of a task that waits."""
    name = str(sent[1])
    if others:
        return "S7.2"  # a move's
    if sent[2] == "cancelNotFound" and view.count_heard(task.owner, "Task", name) > 1:
        return "S1.4"
    if any(view.count_told(peer, "Task", name) for peer, state in view.peers.items() if state in ("lost", "told")):
        return "S9.3"
    return "S11.6" if sent[2] == "canceled" and view.has_refused_to_close else "S1.1"
