"""What the messages that a scheduler receives ask of it, and what they must not cause. They alone break nothing.

What it receives either has an effect or is dropped. An effect that must be seen is *due*: it is discharged when it is
sent, and missing when the sender of its cause has had a later heartbeat echoed (S10.2), or at rest. What is dropped
*tempts*: if its effect is seen all the same, the requirement by which it is dropped is broken.
"""

from __future__ import annotations

from dataclasses import replace

from rescind.messages import (
    CancelConfirmType,
    ClientDisconnect,
    ClientHeartbeat,
    ClientShutdownResponse,
    DisconnectType,
    GraphTask,
    Message,
    Task,
    TaskCancel,
    TaskCancelConfirm,
    TaskLog,
    TaskResult,
    WorkerDisconnectNotification,
    WorkerHeartbeat,
)
from rescind_conformance.judge import scheduler_graphs as graphs
from rescind_conformance.judge.scheduler_books import CANCEL_FAILED, CANCELED, NOT_FOUND, SHUTDOWN, Books
from rescind_conformance.judge.scheduler_dues import Effect, effect_of
from rescind_conformance.judge.scheduler_entries import GraphBook, PeerBook, TaskBook

DISPATCH = ("", effect_of(Task(b"")))
"""What a dropped message may tempt to: a Task to any worker."""


def receive(books: Books, sender: str, message: Message) -> None:
    """Take a message to the scheduler into its books."""
    peer = books.peer(sender)
    match message:
        case Task():
            _on_task(books, sender, peer, message)
        case GraphTask():
            _on_graph(books, sender, peer, message)
        case TaskCancel():
            _on_cancel(books, sender, peer, message)
        case TaskCancelConfirm(task_id, kind):
            _on_answer(books, sender, peer, task_id, message, kind)
        case TaskResult(task_id):
            _on_answer(books, sender, peer, task_id, message, None)
        case TaskLog(task_id):
            task = books.task(task_id)
            if task is not None and task.holder == sender and task.stage == "held":
                books.owe(task.owner, message, "S8.4", sender)
        case ClientHeartbeat():
            _on_heartbeat(books, sender, peer, "client")
        case WorkerHeartbeat():
            if peer.role != "client" or not peer.sure:
                peer.queue_size = message.queue_size
            _on_heartbeat(books, sender, peer, "worker")
        case ClientDisconnect(kind):
            _on_disconnect(books, sender, peer, kind)
        case WorkerDisconnectNotification() if peer.role == "worker" and not peer.lost:
            books.lose(sender)
        case _:
            pass  # M3, S11.3, and what is outside of this protocol


def _is(peer: PeerBook, role: str) -> bool:
    """Whether the scheduler knows the peer for one of this role, alive or lost."""
    return peer.role == role and peer.sure and not peer.vague


def _speaks_as(peer: PeerBook, role: str) -> None:
    """A peer that was not served yet speaks in the other role: as what it is registered, if at all, cannot be told."""
    if peer.role not in ("", role):
        peer.vague = True


def _tempt_worker(books: Books, sender: str, peer: PeerBook, task_ids: list[bytes]) -> None:
    """A worker speaks as a client does: it is neither obeyed nor answered."""
    requirement = "S9.6" if peer.lost else "S11.3"
    for task_id in task_ids:
        if task_id in books.tasks:
            refusal = (sender, effect_of(TaskCancelConfirm(task_id, NOT_FOUND)))
            books.held(task_id).tempting |= {refusal: requirement, DISPATCH: requirement}
        else:
            books.dropped[task_id] = requirement


def _on_task(books: Books, sender: str, peer: PeerBook, message: Task) -> None:
    task_id = message.task_id
    task = books.task(task_id)
    refusal = TaskCancelConfirm(task_id, NOT_FOUND)
    if _is(peer, "worker"):
        _tempt_worker(books, sender, peer, [task_id])
        return
    _speaks_as(peer, "client")
    peer.role = peer.role or "client"
    graph = books.graphs.get(task_id)
    if graph is not None and graph.stage != "over" and not (peer.lost and not peer.vague):
        _on_task_under_id_of_graph(books, sender, peer, graph, message)
        return
    if task is not None and task.doubtful and task.owner != sender and not _is(books.look(task.owner), "client"):
        books.give_up(task_id, task)  # whether it is held at all, nobody knows
    if task is not None and task.stage == "unclear":
        books.owe(sender, refusal, "S1.3", sender, optional=True)
    elif peer.vague:
        if task is None or task.stage == "over":
            books.submit(sender, message, doubtful=True)
        else:
            books.owe(sender, refusal, "S1.3", sender, optional=True)
    elif peer.lost:
        books.dropped[task_id] = peer.lost_by("S9.8")
        books.owe(sender, refusal, peer.lost_by("S9.8"), sender)
    elif task is not None and task.stage == "held" and task.owner == sender:
        task.never_again = "S1.4"
        task.tempting |= {(sender, effect_of(refusal)): "S1.4", DISPATCH: "S1.4"}
        if books.refusals(task):
            books.may_refuse(sender, task_id)
    elif task is not None and task.stage != "over":
        books.owe(sender, refusal, "S1.3", sender)
        task.tempting[DISPATCH] = "S1.3"
    elif books.closing or books.draining:
        books.dropped[task_id] = "S9.10" if books.closing else "S9.12"
        books.owe(sender, refusal, "S1.3", sender)
    else:
        books.submit(sender, message)


def _on_task_under_id_of_graph(books: Books, sender: str, peer: PeerBook, graph: GraphBook, message: Task) -> None:
    refusal = TaskCancelConfirm(message.task_id, NOT_FOUND)
    if graph.stage != "unclear" and peer.vague and graph.owner != sender:
        books.owe(sender, refusal, "S1.3", sender, optional=True)
    elif graph.stage == "unclear" or graphs.is_unclear(books, graph.message):
        books.owe(sender, refusal, "S1.3", sender, optional=True)
        books.give_up_graph(graph)
        former = books.task(message.task_id)
        if former is None or former.stage == "over":
            task = books.open(sender, message)
            task.places = former.places if former is not None else ()
            books.give_up(message.task_id, task)
        elif former.stage != "unclear":
            books.give_up(message.task_id, former)
    elif graph.owner != sender:
        books.owe(sender, refusal, "S1.3", sender)
        books.dropped.setdefault(message.task_id, "S1.3")
    else:
        books.dropped.setdefault(message.task_id, "S1.4")


def _on_graph(books: Books, sender: str, peer: PeerBook, message: GraphTask) -> None:
    """It is dropped, refused or accepted as a whole."""
    task_id, task = message.task_id, books.task(message.task_id)
    new = [one for one in (task_id, *(node.task_id for node in message.graph)) if one not in books.tasks]
    if _is(peer, "worker"):
        _tempt_worker(books, sender, peer, [*new, task_id])
        return
    _speaks_as(peer, "client")
    peer.role = peer.role or "client"
    if peer.lost and not peer.vague:
        books.dropped |= dict.fromkeys(new, "S9.8")
        graphs.refuse(books, sender, message, peer.lost_by("S9.8"))
    elif graphs.holds(books, sender, task_id) and not (peer.vague or (task is not None and task.doubtful)):
        books.dropped |= dict.fromkeys(new, "S1.4")
        if task is not None:
            task.tempting[sender, effect_of(TaskCancelConfirm(task_id, NOT_FOUND))] = "S1.4"
    elif peer.vague or graphs.is_unclear(books, message):
        graphs.take_for_unclear(books, sender, message)
    elif graphs.in_use(books, task_id) or books.closing or books.draining:
        books.dropped |= dict.fromkeys(new, "S9.12" if books.draining else "S1.3")
        graphs.refuse(books, sender, message, "S1.3")
    elif not graphs.can_run(message) or any(graphs.in_use(books, node.task_id) for node in message.graph):
        books.dropped |= dict.fromkeys(new, "S12.1")
        graphs.refuse(books, sender, message, "S12.1")
    else:
        graphs.submit(books, sender, message)


def _on_cancel_of_graph(books: Books, sender: str, peer: PeerBook, graph: GraphBook, message: TaskCancel) -> None:
    if graph.stage == "unclear" or (graph.owner == sender and (peer.vague or peer.role == "worker")):
        books.give_up_graph(graph)
        books.owe(sender, TaskCancelConfirm(message.task_id, NOT_FOUND), "S12.15", sender, optional=True)
    elif graph.owner == sender and graph.stage == "held":
        graphs.cancel(books, graph, message)
    else:
        requirement = peer.lost_by("S9.8") if peer.lost else "S12.15"
        unsure = peer.vague or peer.role == "worker"
        books.owe(sender, TaskCancelConfirm(message.task_id, NOT_FOUND), requirement, sender, optional=unsure)


def _on_cancel(books: Books, sender: str, peer: PeerBook, message: TaskCancel) -> None:
    task_id = message.task_id
    task = books.task(task_id)
    not_found = TaskCancelConfirm(task_id, NOT_FOUND)
    if _is(peer, "worker"):
        _tempt_worker(books, sender, peer, [task_id])
        if task is not None:
            task.tempting |= _effects_of_cancel(task, message, "S9.6" if peer.lost else "S11.3")
    elif task_id in books.graphs and (task is None or (task.stage == "over" and not books.graphs[task_id].replaced)):
        _on_cancel_of_graph(books, sender, peer, books.graphs[task_id], message)
    elif task is not None and task.owner == sender and task.stage in ("held", "unclear"):
        if peer.vague or peer.role == "worker":
            books.give_up(task_id, task)
        if task.stage == "held":
            graphs.on_owners_cancel(books, task_id, task, message)
    else:
        unsure = peer.vague or peer.role == "worker" or (task is not None and task.stage == "unclear")
        known = task is not None and task.stage != "over"
        of_graph = task is not None and task.graph and books.graphs[task.graph].stage == "held"
        requirement = "S12.15" if of_graph else "S2.2" if known else "S2.1"
        requirement = peer.lost_by("S9.8") if peer.lost else requirement
        books.owe(sender, not_found, requirement, sender, optional=unsure)
        if task is not None and task.stage == "held":
            task.tempting |= _effects_of_cancel(task, message, "S2.2")
            for kind in (CANCELED, CANCEL_FAILED):
                task.tempting[sender, effect_of(TaskCancelConfirm(task_id, kind))] = "S2.2"


def _effects_of_cancel(task: TaskBook, message: TaskCancel, requirement: str) -> dict[tuple[str, Effect], str]:
    """What a TaskCancel of somebody who does not own the task must not do."""
    return dict.fromkeys(graphs.effects_of_cancel(task, message), requirement)


def _on_answer(books: Books, sender: str, peer: PeerBook, task_id: bytes, message: Message, kind: int | None) -> None:
    """A TaskResult (`kind` is None) or a TaskCancelConfirm."""
    task = books.task(task_id)
    if task is None:
        return
    named = kind is None or kind in set(CancelConfirmType)
    if sender in task.places and kind is None:
        books.clear_doubt(task, sender)  # a confirm without a round would be dropped (S8.3)
    to_owner = (task.owner, effect_of(message))
    if task.stage == "unclear":
        pass
    elif sender != task.holder:
        dropped = "S11.3" if _is(peer, "client") else "S9.6" if peer.lost else "S8.1"
        if task.stage != "over":
            task.tempting |= {to_owner: dropped, DISPATCH: dropped}
        elif task.finished_by == sender and kind is not None:
            task.tempting[to_owner] = "S5.2"
        elif task.last_holder == sender and kind is None and dropped == "S8.1":
            task.tempting.pop(to_owner, None)  # it was the holder's to say, but too late: S1.1, S1.2
        else:
            task.tempting[to_owner] = dropped
    elif not named:
        task.tempting |= {to_owner: "M6", DISPATCH: "M6"}
    elif kind is None:
        _on_result(books, sender, task_id, task, message)
    elif task.stage == "abandoned":
        _on_last_answer(books, sender, task_id, task, kind)
    elif task.round:
        _on_confirm(books, sender, task_id, task, message, kind)
    elif peer.unseen:
        books.give_up(task_id, task)  # it may have been asked to give the task back
    else:
        task.tempting |= {to_owner: "S8.3", DISPATCH: "S8.3"}


def _on_result(books: Books, holder: str, task_id: bytes, task: TaskBook, message: Message) -> None:
    if task.stage == "abandoned":
        requirement = books.look(task.owner).lost_by("S9.7")
        books.forget(task_id, task, requirement)
        task.tempting[task.owner, effect_of(message)] = requirement
    else:
        requirement = {"owner": "S5.1", "move": "S7.4"}.get(task.round, "S4.3" if task.refused else "S1.1")
        books.end(task_id, message, requirement, cause=holder)
        task.finished_by = holder


def _on_last_answer(books: Books, holder: str, task_id: bytes, task: TaskBook, kind: int) -> None:
    """About a task whose owner is lost: only its place matters."""
    asked = task.asked > 0
    requirement = books.look(task.owner).lost_by("S9.7")
    task.asked = max(0, task.asked - 1)
    if kind != CANCEL_FAILED:
        books.forget(task_id, task, requirement)
        if not asked:
            books.doubt(task, holder)  # the table takes it for its last word, S8.3 for none
    task.tempting[task.owner, effect_of(TaskCancelConfirm(task_id, kind))] = requirement


def _on_confirm(books: Books, holder: str, task_id: bytes, task: TaskBook, message: Message, kind: int) -> None:
    """The answer in an open round."""
    to_owner = (task.owner, effect_of(message))
    task.asked -= 1
    if kind == CANCEL_FAILED:
        if task.round == "move":
            task.tempting |= {to_owner: "S7.2", DISPATCH: "S7.4"}
            books.close_round(task)
        elif task.asked > 0:
            task.tempting[to_owner] = "S6.3"
            task.absorbed = True
        else:
            taken_over = "S7.6" if task.taken_over and not task.forced else "S4.2"
            books.owe(task.owner, message, "S6.3" if task.absorbed else taken_over, holder)
            for due in books.cancels_due(task):
                books.dues.excuse(due)
            books.close_round(task)
            task.refused = True
    elif task.round == "move":
        books.give_back(task_id, task)
        task.tempting[to_owner] = "S7.2"
        if books.closing and task.stage == "held":
            canceled = TaskCancelConfirm(task_id, CANCELED)
            books.end(task_id, canceled, "S9.10", cause=holder, never_again="S9.10")
    else:
        answered = "S6.3" if task.absorbed else "S4.2"
        requirement = answered if not task.taken_over else "S7.5" if task.forced else "S7.6"
        books.end(task_id, message, requirement, cause=holder, never_again="S7.8")


def _on_heartbeat(books: Books, sender: str, peer: PeerBook, role: str) -> None:
    if peer.role not in ("", role) and peer.sure and not peer.vague:
        return  # S11.3
    _speaks_as(peer, role)
    if peer.lost and not peer.vague:
        kind = DisconnectType.SHUTDOWN if peer.told and role == "worker" else DisconnectType.DISCONNECT
        books.owe(sender, ClientDisconnect(kind), peer.lost_by("S9.6" if role == "worker" else "S9.8"), sender)
    elif role == "worker" and not peer.role and books.closing:
        books.owe(sender, SHUTDOWN, "S9.10", sender, optional=peer.told)
    else:
        peer.role = peer.role or role
        peer.heartbeats += 1
        books.dues.on_heartbeat(sender, peer.heartbeats)
        books.causes = tuple(
            replace(cause, echoes=peer.heartbeats) if cause.sender == sender and not cause.echoes else cause
            for cause in books.causes
        )


def _on_disconnect(books: Books, sender: str, peer: PeerBook, kind: int) -> None:
    if (peer.lost and not peer.vague) or _is(peer, "worker"):
        return
    if kind == DisconnectType.SHUTDOWN:
        books.owe(sender, ClientShutdownResponse(accepted=False), "S11.6", sender, optional=not _is(peer, "client"))
    elif peer.role == "client":
        books.lose(sender, oddly=kind not in set(DisconnectType))
