"""Graphs in the books of a scheduler's judge: which are accepted, and what the end of a node means for others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

from rescind.messages import (
    MAX_TASK_ID_BYTES,
    Argument,
    ArgumentType,
    GraphTask,
    Message,
    Task,
    TaskCancel,
    TaskCancelConfirm,
    TaskLog,
    TaskResult,
    TaskResultType,
)
from rescind_conformance.judge.scheduler_books import CANCEL_FAILED, CANCELED, NOT_FOUND, Books
from rescind_conformance.judge.scheduler_dues import Due, effect_of
from rescind_conformance.judge.scheduler_entries import GraphBook, TaskBook

SUCCESS, DIED = TaskResultType.SUCCESS, TaskResultType.FAILED_WORKER_DIED
_ANSWERS_LATER = ("S2.1", "S2.2", "S12.15")
"""By these a TaskCancel for what has ended is answered."""
ENDS = ("S12.14", "S12.18")
"""By these the graph's own message comes after those of its nodes."""
_MAX_HANDED_ON = 255
"""Bytes (S12.6)."""
Needs = Mapping[bytes, tuple[bytes, ...]]


@lru_cache(maxsize=256)
def needs_of(graph: GraphTask) -> Needs:
    """The dependencies of each node."""
    return {
        node.task_id: tuple(dict.fromkeys(each.data for each in node.function_args if each.type == ArgumentType.TASK))
        for node in graph.graph
    }


@lru_cache(maxsize=256)
def dependants_of(graph: GraphTask) -> Needs:
    """The dependants of each node."""
    needs = needs_of(graph)
    return {one: tuple(each for each, after in needs.items() if one in after) for one in needs}


@lru_cache(maxsize=256)
def can_run(graph: GraphTask) -> bool:
    """Whether S12.1 has nothing against the graph itself."""
    needs = needs_of(graph)
    named = {*graph.targets, *(each for after in needs.values() for each in after)}
    if len(needs) < len(graph.graph) or graph.task_id in needs or not named <= needs.keys():
        return False
    left = dict(needs)
    while ready := [one for one, after in left.items() if not any(each in left for each in after)]:
        for one in ready:
            del left[one]
    return not left


# --- acceptance


def holds(books: Books, owner: str, task_id: bytes) -> bool:
    """Whether a client has a held task or graph under an id."""
    held = (books.tasks.get(task_id), books.graphs.get(task_id))
    return any(one is not None and one.owner == owner and one.stage == "held" for one in held)


def in_use(books: Books, task_id: bytes) -> bool:
    """Whether an id is that of a task or graph that is not over."""
    task, graph = books.tasks.get(task_id), books.graphs.get(task_id)
    return (task is not None and task.stage != "over") or (graph is not None and graph.stage != "over")


def is_unclear(books: Books, message: GraphTask) -> bool:
    """Whether what becomes of a graph hangs on what cannot be known."""
    if any(peer.unseen and peer.serves for peer in books.peers.values()):
        return True
    for task_id in (message.task_id, *message.targets, *(node.task_id for node in message.graph)):
        task, graph = books.tasks.get(task_id), books.graphs.get(task_id)
        if task is not None and (task.stage == "unclear" or task.doubtful or books.refusals(task)):
            return True
        if graph is not None and (graph.stage == "unclear" or _may_be_refused(books, graph)):
            return True
    return False


def submit(books: Books, owner: str, message: GraphTask) -> None:
    """A graph is accepted, unless the scheduler still says that it is refused."""
    answered = _answered(books, owner, message)
    _open(books, owner, message)
    for task_id in (*answered, message.task_id):
        books.may_refuse(owner, task_id, of_graph=message.task_id)
    for node, after in needs_of(message).items():
        if not after:
            books.make_ready(node, books.held(node).message)


def take_for_unclear(books: Books, owner: str, message: GraphTask) -> None:
    """Whether a graph is accepted cannot be known."""
    for task_id in (*dict.fromkeys(message.targets), message.task_id):
        refusal = TaskCancelConfirm(task_id, NOT_FOUND)
        books.owe(owner, refusal, "S12.2", owner, optional=True, of_graph=message.task_id)
    for task_id in (message.task_id, *(node.task_id for node in message.graph)):
        if in_use(books, task_id):
            task, held = books.task(task_id), books.graphs.get(task_id)
            if task is not None and task.stage == "held" and (task.owner == owner or _may_not_be_there(books, task)):
                books.give_up(task_id, task)
            if held is not None and held.owner == owner:
                books.give_up_graph(held)
    new = [node for node in message.graph if _is_free_or_unclear(books, node.task_id)]
    graph, task = books.graphs.get(message.task_id), books.tasks.get(message.task_id)
    if graph is not None and graph.stage == "unclear" and (task is None or task.stage == "over"):
        graph.replaced = False  # the last that came under this id is a graph again
    if not in_use(books, message.task_id):
        books.give_up_graph(_open(books, owner, replace(message, graph=tuple(new))))
        return
    for node in new:
        books.give_up(node.task_id, books.open(owner, node))


def refuse(books: Books, owner: str, message: GraphTask, requirement: str) -> None:
    """A graph has to be refused: its targets are answered, then it is (S12.2)."""
    if not in_use(books, message.task_id):
        books.graphs[message.task_id] = GraphBook(owner, message, "over")
    for task_id in _answered(books, owner, message):
        books.owe(owner, TaskCancelConfirm(task_id, NOT_FOUND), "S12.2", owner, of_graph=message.task_id)
    books.owe(owner, TaskCancelConfirm(message.task_id, NOT_FOUND), requirement, owner, of_graph=message.task_id)


def refused(books: Books, graph: GraphBook) -> None:
    """The scheduler has begun to say that a graph is refused that could be accepted."""
    nodes = [books.held(task_id) for task_id in graph.open]
    if graph.asked or len(graph.open) < len(graph.message.graph) or any(task.stage != "held" for task in nodes):
        books.give_up_graph(graph)
        return
    graph.stage = "over"
    for task_id, task in zip(graph.open, nodes, strict=True):
        books.forget(task_id, task, "S12.2")
        task.graph = b""
    for task_id in (*graph.message.targets, graph.message.task_id):
        for due in books.dues.by_task.get(task_id, ()):
            if due.refuses and due.of_graph == graph.message.task_id:
                books.dues.remove(due)
                books.owe(due.to, due.message, "S12.2", due.cause, of_graph=due.of_graph)
            elif due.requirement == "S12.14":
                books.dues.remove(due)  # an empty graph would have ended at once


def ended(books: Books, graph: GraphBook) -> None:
    """The scheduler has sent the terminal message of a graph: it was not refused."""
    for due in books.dues.by_task.get(graph.message.task_id, ()):
        if due.refuses and due.of_graph == graph.message.task_id:
            books.dues.remove(due)


def _open(books: Books, owner: str, message: GraphTask) -> GraphBook:
    needs = needs_of(message)
    graph = books.graphs[message.task_id] = GraphBook(owner, message, open=dict.fromkeys(needs))
    for node in message.graph:
        former = books.tasks.get(node.task_id)
        task = books.open(owner, node)
        task.graph, task.ready = message.task_id, False
        task.places = former.places if former is not None else ()
    return graph


def _answered(books: Books, owner: str, message: GraphTask) -> list[bytes]:
    return [
        target
        for target in dict.fromkeys(message.targets)
        if 0 < len(target) <= MAX_TASK_ID_BYTES and target != message.task_id and not holds(books, owner, target)
    ]


def _is_free_or_unclear(books: Books, task_id: bytes) -> bool:
    """Whether there is no task under an id, nor a graph but one of which nothing is known."""
    if not in_use(books, task_id):
        return True
    task, graph = books.tasks.get(task_id), books.graphs.get(task_id)
    return (task is None or task.stage == "over") and graph is not None and graph.stage == "unclear"


def _may_not_be_there(books: Books, task: TaskBook) -> bool:
    """Whether it cannot be told if a task is held, since who has submitted it may be no client."""
    owner = books.look(task.owner)
    return task.doubtful and not (owner.role == "client" and owner.sure and not owner.vague)


def _may_be_refused(books: Books, graph: GraphBook) -> bool:
    about = books.dues.by_task.get(graph.message.task_id, ())
    return any(due.refuses and due.of_graph == graph.message.task_id for due in about)


# --- cancels


def cancel(books: Books, graph: GraphBook, message: TaskCancel) -> None:
    """A TaskCancel of the owner with the graph's id (S12.12, S12.13)."""
    for task_id in graph.open:
        on_owners_cancel(books, task_id, books.held(task_id), replace(message, task_id=task_id), by="S12.12")
    graph.asked = True


def on_owners_cancel(books: Books, task_id: bytes, task: TaskBook, message: TaskCancel, *, by: str = "") -> None:
    """Of a task that is held. `by`: the requirement that makes it, where it is not the task's own."""
    if task.graph and not (task.round == "owner" and task.forced):
        task.asked_force = message.force
    if task.doubtful:
        task.asked_in_doubt = True
    elif not task.holder:
        canceled = TaskCancelConfirm(task_id, CANCELED)
        books.end(task_id, canceled, by or "S3.1", cause=task.owner, never_again=by or "S3.1")
    elif not task.round:
        for tempting in effects_of_cancel(task, message):
            task.tempting.pop(tempting, None)
        task.tempting.pop((task.owner, effect_of(TaskCancelConfirm(b"", CANCEL_FAILED))), None)
        books.owe(task.holder, message, by or ("S4.3" if task.refused else "S4.1"), task.owner)
        task.round, task.forced, task.asked = "owner", message.force, 1
    else:
        moving = task.round == "move"
        if message.force and not task.forced:
            books.owe(task.holder, message, "S7.5" if moving else "S6.2", task.owner)
            task.asked += 1
        else:
            task.tempting[task.holder, effect_of(message)] = "S7.6" if moving else "S6.1"
        if not moving:
            task.tempting[task.owner, effect_of(TaskCancelConfirm(b"", CANCEL_FAILED))] = "S6.1"
        task.taken_over = task.taken_over or moving
        task.round, task.forced = "owner", task.forced or message.force


def effects_of_cancel(task: TaskBook, message: TaskCancel) -> list[tuple[str, tuple[object, ...]]]:
    """What a TaskCancel of somebody who does not own the task must not do."""
    effects = [(task.holder, effect_of(message))]
    return effects + [(task.owner, effect_of(said)) for said in (TaskCancelConfirm(b"", CANCELED), TaskResult(b""))]


# --- what the end of a node means


def settle(books: Books, cause: str) -> None:
    """Carry on what the ends of nodes mean, in the step in which they end; `cause`: whose message this step is of."""
    if not books.graphs:
        books.ended.clear()
        books.may_have_died.clear()
        return
    _leave_open_what_ends_differently(books)
    while books.ended:
        task_id, terminal, by = books.ended.pop(0)
        graph = books.graphs.get(books.tasks[task_id].graph)
        if graph is not None and graph.stage == "held":
            _on_end(books, graph, task_id, terminal, by or cause)
    for graph_id, graph in books.graphs.items():
        if graph.stage != "held":
            continue
        if not graph.open:
            graph.stage = "over"
            books.owe(graph.owner, last_word(graph), "S12.14", cause)
        elif graph.asked and not any(books.tasks[task_id].round == "owner" for task_id in graph.open):
            graph.asked = False
            books.owe(graph.owner, TaskCancelConfirm(graph_id, CANCEL_FAILED), "S12.13", cause)


def last_word(graph: GraphBook) -> Message:
    """The terminal message of a graph whose nodes have ended."""
    if graph.canceled:
        return TaskCancelConfirm(graph.message.task_id, CANCELED)
    return TaskResult(graph.message.task_id, SUCCESS if graph.failed is None else graph.failed)


def _leave_open_what_ends_differently(books: Books) -> None:
    """If nodes of one graph end differently in one step, which of them decides is free."""
    ends: dict[bytes, set[object]] = {}
    for task_id, terminal, _ in books.ended:
        task = books.tasks[task_id]
        ends.setdefault(task.graph, set()).add((_of(terminal, b""), task.asked_force))
    for task_id in books.may_have_died:
        graph_id = books.tasks[task_id].graph
        if graph_id in ends:
            ends[graph_id].add(DIED)
    books.may_have_died.clear()
    for graph_id, kinds in ends.items():
        if len(kinds) > 1 and graph_id in books.graphs:
            books.give_up_graph(books.graphs[graph_id])


def _on_end(books: Books, graph: GraphBook, task_id: bytes, terminal: Message, cause: str) -> None:
    message, task = graph.message, books.tasks[task_id]
    dependants = dependants_of(message)[task_id]
    graph.open.pop(task_id, None)
    requirement = "S12.7"
    if isinstance(terminal, TaskResult) and terminal.result_type == SUCCESS:
        if not dependants or (len(terminal.results) == 1 and _can_hand_on(terminal)):
            _on_success(books, graph, task_id, terminal)
            return
        requirement, terminal = "S12.6", TaskResult(task_id, DIED)
    if isinstance(terminal, TaskResult):
        graph.failed = int(terminal.result_type) if graph.failed is None else graph.failed
        payloads = terminal.results if _can_hand_on(terminal) else ()
        passed_on: Message = TaskResult(b"", terminal.result_type, b"", payloads)
    else:
        graph.canceled = True
        requirement, passed_on = "S12.10", TaskCancelConfirm(b"", CANCELED)
    for each in dependants:
        if _is_open(books, graph, each):
            books.held(each).asked_force = task.asked_force
            books.end(each, _of(passed_on, each), requirement, cause=cause, never_again=requirement)
    for each in needs_of(message)[task_id]:
        needed = each in message.targets or any(other in graph.open for other in dependants_of(message)[each])
        if not needed and _is_open(books, graph, each):
            _spare(books, each, _of(passed_on, each), task.asked_force, cause)


def _can_hand_on(result: TaskResult) -> bool:
    """Whether its payload ids are short enough to be copied (S12.6, S12.7)."""
    return sum(map(len, result.results)) <= _MAX_HANDED_ON


def _is_open(books: Books, graph: GraphBook, task_id: bytes) -> bool:
    """Whether a node has not ended, nor is about to."""
    return task_id in graph.open and books.tasks[task_id].stage == "held"


def _spare(books: Books, task_id: bytes, end: Message, force: bool | None, cause: str) -> None:
    """A node is not needed any more."""
    task = books.held(task_id)
    by_cancel = isinstance(end, TaskCancelConfirm)
    if by_cancel and force is None:
        return
    if by_cancel:
        task.asked_force = force
    if not task.holder:
        books.end(task_id, end, "S12.9", cause=cause, never_again="S12.9")
        return
    task.spared = end
    if by_cancel:
        on_owners_cancel(books, task_id, task, TaskCancel(task_id, bool(force)), by="S12.11")


def _on_success(books: Books, graph: GraphBook, task_id: bytes, terminal: TaskResult) -> None:
    graph.results[task_id] = terminal.results
    needs = needs_of(graph.message)
    for node in graph.message.graph:
        one = node.task_id
        if task_id in needs[one] and _is_open(books, graph, one) and graph.results.keys() >= {*needs[one]}:
            books.make_ready(one, _as_started(node, graph))


def _as_started(node: Task, graph: GraphBook) -> Task:
    """The Task for a worker (S12.5)."""
    arguments = tuple(
        Argument(ArgumentType.OBJECT_ID, graph.results[each.data][0]) if each.type == ArgumentType.TASK else each
        for each in node.function_args
    )
    return replace(node, function_args=arguments)


def _of(message: Message, task_id: bytes) -> Message:
    assert isinstance(message, TaskResult | TaskCancelConfirm)
    return replace(message, task_id=task_id)


def still_due_before(books: Books, graph: GraphBook, last: Due) -> Due | None:
    """The first terminal message of a node, or answer to a target, that has to come before the graph's own, `last`."""
    for task_id in graph.message.targets if last.of_graph else needs_of(graph.message):
        if task_id in books.graphs and not last.of_graph:
            continue  # its id was used again (M5): what is due may be of that graph
        for due in books.dues.by_task.get(task_id, ()):
            answers = due.requirement in _ANSWERS_LATER or due.message == TaskCancelConfirm(task_id, CANCEL_FAILED)
            other = not last.of_graph and (answers or isinstance(due.message, TaskLog))
            if due.to == graph.owner and due.of_graph == last.of_graph and not due.optional and not other:
                return due
    return None
