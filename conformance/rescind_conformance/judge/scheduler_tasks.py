"""The rules for what a scheduler sends about tasks: Task, TaskCancel, TaskCancelConfirm, TaskResult, TaskLog."""

from __future__ import annotations

from rescind.messages import (
    ArgumentType,
    Message,
    Task,
    TaskCancel,
    TaskCancelConfirm,
    TaskLog,
    TaskLogType,
    TaskResult,
    TaskResultType,
)
from rescind_conformance.judge.scheduler_books import CANCEL_FAILED, CANCELED, NOT_FOUND
from rescind_conformance.judge.scheduler_dues import Due, effect_of
from rescind_conformance.judge.scheduler_entries import GraphBook, PeerBook, TaskBook
from rescind_conformance.judge.scheduler_findings import Findings
from rescind_conformance.judge.scheduler_graphs import ENDS, ended, refused, still_due_before
from rescind_conformance.judge.scheduler_received import DISPATCH

DIED = TaskResultType.FAILED_WORKER_DIED


class TaskRules(Findings):
    """Each message is held against what is due about its task, what may be sent, and what tempts."""

    def _on_dispatched(self, to: str, message: Task) -> None:
        books, task_id = self._books, message.task_id
        peer, task = books.peer(to), books.task(task_id)
        said = f"sends {to} {self._words(message)}"
        if task is None:
            unknown = self._nonsense[1] or "M5"
            self._break(books.dropped.get(task_id) or unknown, f"{said}, which no client has submitted")
            task = books.open("", message)
            books.give_up(task_id, task)
            books.doubt(task, to)
            return
        tempted = task.tempting.pop(DISPATCH, None)
        if task.stage == "unclear":
            books.doubt(task, to)
        elif task.stage != "held":
            requirement = task.never_again if task.stage == "over" else "S9.7"
            told = task.terminal is not None and requirement not in ("S3.1", "S1.4")
            refusal = self._refusal_of_another(task)
            wanted = tempted or ("S1.3" if refusal else "S1.2" if told else requirement)
            fate = f"{refusal.to} is to be refused it" if refusal and not tempted else self._fate(task)
            if tempted or not (refusal and refusal.told):
                self._break(wanted, f"{said}, though {fate}")
            books.give_up(task_id, task)
            books.doubt(task, to)
        elif (lost := peer.lost and not peer.vague) or task.holder or task.asked_in_doubt:
            why = f"though {to} is lost" if lost else f"though {task.holder or 'nobody'} holds it"
            disturbed = self._disturbed_by(task.owner, task.holder)
            taken = tempted or disturbed or "S8.2" if task.holder else "S7.8"
            self._break("S9.6" if lost else taken, f"{said}, {why}")
            books.give_up(task_id, task)
            books.doubt(task, to)
        else:
            self._on_assigned(to, peer, task_id, task, message)

    def _refusal_of_another(self, task: TaskBook) -> Due | None:
        """What should have been told a client that has submitted a task under an id that was another's (S1.3)."""
        for due in self._books.dues.about(task.message):
            if due.requirement == "S1.3" and due.to != task.owner and (due.told or not due.optional):
                return due
        return None

    def _on_assigned(self, to: str, peer: PeerBook, task_id: bytes, task: TaskBook, message: Task) -> None:
        """The dispatch of a task that waits."""
        books = self._books
        said = f"sends {to} {self._words(message)}"
        if books.closing:
            self._break("S9.10", f"{said}, though it is shutting down")
        elif peer.role != "worker" and not peer.vague:
            self._break("S11.3" if peer.role else "S8.2", f"{said}, though {to} is no worker")
        elif not task.ready:
            self._break("S12.4", f"{said}, though not all that it depends on has succeeded")
            books.give_up(task_id, task)
            books.doubt(task, to)
            return
        elif peer.load >= peer.queue_size:
            self._break("S8.2", f"{said}, though {to} holds {peer.load} tasks and its queue size is {peer.queue_size}")
        elif message != task.message:
            again = "S12.16" if task.last_holder else "S12.5"
            changed = again if task.graph else _changed(task.message)
            self._break(changed, f"{said}, with other fields than it was submitted with")
        elif task_id in books.overtaken:
            self._overtaken(said)
        books.accept(task)
        books.assign(task_id, task, to)
        books.serve(to, "worker")

    def _on_asked(self, to: str, message: TaskCancel) -> None:
        books, task_id, force = self._books, message.task_id, message.force
        said = f"sends {to} {self._words(message)}"
        task = books.task(task_id)
        owed = books.dues.owed(to, message)
        due = books.dues.take(to, message)
        if due is not None:
            if owed and owed[0] is not due and not due.optional:
                self._out_of_turn(said, owed[0])
            self._come_late(said, due)
            return
        if task is None:
            unknown = self._nonsense[1] or "M5"
            self._break(books.dropped.get(task_id) or unknown, f"{said}, which no client has submitted")
            return
        tempted = task.tempting.pop((to, effect_of(message)), None)
        if task.stage == "unclear":
            return
        if task.lost_with == to and task.terminal is None and not task.holder:
            self._break("S9.5", f"{said}, though {to} is lost, and that task with it")
        elif task.stage == "over":
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
                self._unasked(task, tempted or ("S12.8" if books.has_failed(task) else None), said)
            task.round, task.asked = "move", 1
        elif force and task.round == "move":
            self._unasked(task, tempted, said)
        else:
            self._break(tempted or ("S6.1" if force else "S7.7"), f"{said}, though a round is open")

    def _unasked(self, task: TaskBook, tempted: str | None, said: str) -> None:
        """A TaskCancel with force for which there is no reason."""
        wanted = tempted or self._reacts(task.owner) or self._disturbed_by(task.owner, task.holder) or "S7.1"
        self._break(wanted, f"{said}, which its owner has not asked for")

    def _on_told(self, to: str, task_id: bytes, message: Message, kind: int | None) -> None:
        """A TaskResult (`kind` is None) or a TaskCancelConfirm."""
        books = self._books
        said = f"sends {to} {self._words(message)}"
        task = books.task(task_id)
        owed = books.dues.owed(to, message)
        due = books.dues.take(to, message)
        graph = books.graphs.get(task_id)
        of_target = due is not None and due.of_graph not in (b"", task_id)
        if graph is not None and not of_target and (task is None or (task.stage == "over" and not graph.replaced)):
            self._on_told_of_graph(to, graph, message, due, said)
            return
        if due is not None:
            if owed and owed[0] is not due and not due.optional:
                self._out_of_turn(said, owed[0])
            self._come_late(said, due)
            self._discharge(to, task_id, task, message, due)
        elif kind is not None and owed and isinstance(owed[0].message, TaskCancelConfirm):
            lost = task is not None and task.waits_by == "S9.3" and kind == NOT_FOUND
            self._break("S9.3" if lost else owed[0].requirement, f"{said}, not {self._words(owed[0].message)}")
            books.dues.late(owed[0])
            if task is not None:
                self._note_terminal(to, task, message, kind)
        elif task is None:
            books.dues.take_elsewhere(message)
            self._break(books.dropped.get(task_id) or self._reacts(to) or "S2.4", f"{said}, which has not asked")
        elif task.stage == "unclear":
            pass
        elif task.owner != to:
            tempted = task.tempting.pop((to, effect_of(message)), None)
            missed = books.dues.take_elsewhere(message)
            if missed is not None:
                self._note_terminal(missed.to, task, message, kind)
            source = task.message.source == to.encode()
            self._break(tempted or ("S2.3" if source else "S2.4"), f"{said}, which does not own it")
        elif task.stage == "held":
            self._on_owner_told(task_id, task, message, said, kind)
        else:
            self._on_owner_told_again(task_id, task, message, said, kind)

    def _on_told_of_graph(self, to: str, graph: GraphBook, message: Message, due: Due | None, said: str) -> None:
        books = self._books
        owed = books.dues.owed(to, message)
        if due is None and graph.stage != "unclear":
            refusal = _kind_of_confirm(message) == CANCEL_FAILED
            lost = books.look(to).lost
            wanted = (
                "S2.4" if to != graph.owner else owed[0].requirement if owed else "S12.13" if refusal else ENDS[lost]
            )
            self._break(self._reacts(to) or wanted, f"{said}, for which there is no reason")
            if to == graph.owner:
                books.give_up_graph(graph)
        if due is None:
            return
        if due.message != message and not due.optional:
            self._break(due.requirement, f"{said}, not {self._words(due.message)}")
        if due.refuses and due.of_graph and to == graph.owner:
            refused(books, graph)
        elif due.requirement == "S12.14":
            ended(books, graph)
        before = still_due_before(books, graph, due) if due.message == message and to == graph.owner else None
        last = _kind_of_confirm(message) != CANCEL_FAILED
        if before is not None and last and not due.optional:
            wanted = due.requirement if due.requirement in ENDS else "S12.2"
            self._break(wanted, f"{said} before {self._words(before.message)}")
            books.dues.late(before)

    def _discharge(self, to: str, task_id: bytes, task: TaskBook | None, message: Message, due: Due) -> None:
        """What was due, or allowed."""
        books = self._books
        own = isinstance(due.message, TaskResult) and due.requirement == "S9.4"
        if own and _kind(message) != _kind(due.message):
            self._break("S9.4", f"sends {to} {self._words(message)}, not {self._words(due.message)}")
        elif due.requirement == "S12.9" and task is not None and task.losses and _kind(message) == DIED:
            pass  # it came back from a lost worker, and may not run again: S9.3
        elif due.requirement.startswith("S12.") and due.message != message:
            self._break(due.requirement, f"sends {to} {self._words(message)}, with other fields than it should have")
        elif not own and due.message != message:
            said = f"sends {to} {self._words(message)}, other than the holder has sent it"
            self._break(_changed(due.message), said)
        if task is None or task.owner != to:
            return
        if not due.refuses:
            self._note_terminal(to, task, message, _kind_of_confirm(message))
        elif task.stage == "held" and task.graph:
            refused(books, books.graphs[task.graph])
            task.terminal = message
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
        task.refused, task.losses, task.waits_by = False, 0, "S9.9"  # it does not matter any more
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
            task.asked_in_doubt = False
            return
        if kind == CANCELED and not task.holder and not task.doubtful and not books.closing and books.may_be_closing():
            books.close_unsaid()
            self._on_told(task.owner, task_id, message, kind)
            return
        if task.doubtful or (died and task.waits_by == "S9.3" and not task.holder):
            books.forget(task_id, task, "S1.2")
            task.terminal = message
            books.note_ended(task_id, task, message)
            for due in books.dues.by_task.get(task.graph, ()):
                if due.requirement == "S12.13":
                    books.dues.excuse(due)  # it has decided that in the step of the loss
            return
        asks = books.cancels_due(task)
        if kind == CANCEL_FAILED:
            requirement = asks[0].requirement if asks else "S4.2"
            tempted = tempted if not asks else None
        elif kind is None:
            requirement = "S9.3" if died else "S8.1"
        else:
            unasked = asks[0].requirement if asks and kind == NOT_FOUND else "S4.4"
            denied = kind == CANCELED and books.refused_to_close
            waits = "S9.3" if task.waits_by == "S9.3" else "S11.6" if denied else "S1.1"
            requirement = "S7.2" if task.round == "move" else unasked if task.holder else waits
        if task.graph and not task.holder and kind != CANCEL_FAILED:
            requirement = "S12.10" if kind is not None else "S12.8" if books.has_failed(task) else requirement
        concerned = (task.owner, task.holder)
        wanted = tempted or self._reacts(*concerned) or self._disturbed_by(*concerned) or requirement
        self._break(wanted, f"{said}, for which there is no reason")
        books.give_up(task_id, task)

    def _on_owner_told_again(
        self, task_id: bytes, task: TaskBook, message: Message, said: str, kind: int | None
    ) -> None:
        """What was not due, of a task that is over or abandoned."""
        books = self._books
        tempted = task.tempting.pop((task.owner, effect_of(message)), None)
        owed = books.dues.owed(task.owner, message)
        if task.terminal is not None:
            late_result = kind is None and isinstance(task.terminal, TaskCancelConfirm)
            default = "S1.2" if late_result or kind == CANCEL_FAILED else "S1.1"
            self._break(tempted or default, f"{said} after the terminal message {self._words(task.terminal)}")
        elif not owed and task.graph in books.graphs and books.graphs[task.graph].stage == "unclear":
            task.terminal = message  # which of its nodes has ended first, and how, nobody knows
        elif not owed:
            self._break(tempted or books.look(task.owner).lost_by("S9.7"), f"{said}, though {self._fate(task)}")
        elif owed[0].requirement in ("S9.10", "S12.9") and task.losses and _kind(message) == DIED:
            books.dues.remove(owed[0])
            task.terminal = message  # it may not run again, since nothing does: S9.3
        else:
            if tempted == "S5.2":
                tempted = None  # that answer came behind a result, and it is the result that is lost
            self._break(tempted or owed[0].requirement, f"{said}, not {self._words(owed[0].message)}")
            if kind != CANCEL_FAILED:
                books.dues.late(owed[0])
                task.terminal = message

    def _on_logged(self, to: str, message: TaskLog) -> None:
        books = self._books
        said = f"sends {to} {self._words(message)}"
        task = books.task(message.task_id)
        due = books.dues.take(to, message)
        if due is not None:
            self._come_late(said, due)
            if due.message != message:
                self._break(_changed(due.message), f"{said}, other than the holder has sent it")
        elif task is None or task.stage != "unclear":
            books.dues.take_elsewhere(message)
            abandoned = task is not None and task.stage == "abandoned" and task.owner == to
            self._break("S9.7" if abandoned else "S8.4", f"{said}, which is not for it")


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
            odd = any(argument.type not in set(ArgumentType) for argument in message.function_args)
        case _:
            odd = False
    return "M6" if odd else "S1.5"
