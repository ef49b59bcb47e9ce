"""The client as a pure machine: `handle(event) -> instructions`.

It holds the futures that are not settled yet; a settled one is forgotten, so that whatever comes
later for it is dropped (C9.1). What happens to a future is looked up in `client_table.TRANSITIONS`.
The targets of a graph are futures like any other; of the graph itself it knows until its terminal
message which ids are its own, and which results may not be released yet (C13.2).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from rescind.client_table import TRANSITIONS, Action, CancelOutcome, FutureInput, FutureState
from rescind.messages import (
    CancelConfirmType,
    ClientDisconnect,
    ClientHeartbeatEcho,
    ClientShutdownResponse,
    DisconnectType,
    GraphTask,
    Message,
    ObjectInstruction,
    ObjectStorageAddress,
    Task,
    TaskCancel,
    TaskCancelConfirm,
    TaskLog,
    TaskResult,
    TaskResultType,
)


@dataclass(frozen=True, slots=True)
class Submit:
    """A caller hands in a task; its id is fresh."""

    task: Task


@dataclass(frozen=True, slots=True)
class SubmitGraph:
    """A caller hands in tasks that depend on one another; each id in it is fresh (C13.4)."""

    graph: GraphTask


@dataclass(frozen=True, slots=True)
class Cancel:
    """A caller asks to cancel a task."""

    task_id: bytes
    force: bool


@dataclass(frozen=True, slots=True)
class TimeLimit:
    """A caller has waited for a cancel round for as long as it would (C5.1)."""

    task_id: bytes


@dataclass(frozen=True, slots=True)
class Received:
    """A well-formed message came in from the scheduler."""

    message: Message


@dataclass(frozen=True, slots=True)
class Disconnect:
    """The connection ends: by the caller (`good_bye`), or because the scheduler is lost."""

    good_bye: bool


Event = Submit | SubmitGraph | Cancel | TimeLimit | Received | Disconnect


@dataclass(frozen=True, slots=True)
class Send:
    """Send `message` to the scheduler."""

    message: Message


@dataclass(frozen=True, slots=True)
class Deliver:
    """The future of `result.task_id` has its result or exception.

    `graph_id`: the graph whose nodes may read the payloads too, until its `GraphEnded` (C13.2); empty if there is none.
    """

    result: TaskResult
    graph_id: bytes = b""


@dataclass(frozen=True, slots=True)
class SetCancelled:
    """The future is cancelled; `outcome` says how that came about."""

    task_id: bytes
    outcome: CancelOutcome


@dataclass(frozen=True, slots=True)
class EndRound:
    """The round ended without an outcome: the cancel was refused and the task goes on (C4.1)."""

    task_id: bytes


@dataclass(frozen=True, slots=True)
class ReleaseResult:
    """Release the payload objects of a result that nobody will read (C3.2)."""

    result: TaskResult


@dataclass(frozen=True, slots=True)
class GraphEnded:
    """No node of the graph reads a payload any more: release what its calls stored, and delivered results when
    they have been read (C13.2)."""

    graph_id: bytes


@dataclass(frozen=True, slots=True)
class ShowLog:
    """A task wrote something that its owner asked to see."""

    log: TaskLog


@dataclass(frozen=True, slots=True)
class UseStorage:
    """The scheduler says where payloads are kept."""

    address: ObjectStorageAddress


@dataclass(frozen=True, slots=True)
class ShutdownAnswered:
    """The scheduler answered a request to shut the cluster down."""

    accepted: bool


@dataclass(frozen=True, slots=True)
class DeclaredLost:
    """The scheduler has given this client up: nothing more can be asked under this routing id (C10.2)."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """A message had no effect: count `reason` and log it."""

    reason: str
    task_id: bytes


Instruction = (
    Send
    | Deliver
    | SetCancelled
    | EndRound
    | ReleaseResult
    | GraphEnded
    | ShowLog
    | UseStorage
    | ShutdownAnswered
    | DeclaredLost
    | Dropped
)

_ANSWERS = {
    CancelConfirmType.CANCELED: FutureInput.CANCELED,
    CancelConfirmType.CANCEL_FAILED: FutureInput.CANCEL_FAILED,
    CancelConfirmType.CANCEL_NOT_FOUND: FutureInput.CANCEL_NOT_FOUND,
}

_OUTCOMES = {
    Action.CONFIRMED: CancelOutcome.CONFIRMED,
    Action.NOT_FOUND: CancelOutcome.NOT_FOUND,
    Action.RESULT_DISCARDED: CancelOutcome.RESULT_DISCARDED,
    Action.TIMED_OUT: CancelOutcome.TIMED_OUT,
    Action.DISCONNECTED: CancelOutcome.DISCONNECTED,
}


@dataclass(slots=True, eq=False)
class _Graph:
    """A graph whose terminal message has not come."""

    targets: frozenset[bytes]
    nodes: tuple[bytes, ...]
    discarded: list[TaskResult] = field(default_factory=list)
    """Results that no future shows, and errors: another node may still read, or another result name, their payloads."""


class ClientMachine:
    """One client on one connection. Not thread-safe: its owner serializes the calls of `handle`."""

    def __init__(self) -> None:
        self._futures: dict[bytes, FutureState] = {}
        self._graphs: dict[bytes, _Graph] = {}
        self._graph_of: dict[bytes, bytes] = {}
        """The id of its graph, by the id of a node."""
        self._out: list[Instruction] = []

    def handle(self, event: Event) -> list[Instruction]:
        """Take one event; return what must be done, in this order. Never raises on what the scheduler sends."""
        self._out = []
        match event:
            case Submit(task):
                self._futures[task.task_id] = FutureState.RUNNING
                self._out.append(Send(task))
            case SubmitGraph(graph):
                self._submit_graph(graph)
            case Cancel(task_id, force):
                self._apply(task_id, FutureInput.CANCEL_FORCE if force else FutureInput.CANCEL)
            case TimeLimit(task_id):
                self._apply(task_id, FutureInput.TIME_LIMIT)
            case Received(message):
                self._on_message(message)
            case Disconnect(good_bye):
                self._disconnect()
                if good_bye:
                    self._out.append(Send(ClientDisconnect(DisconnectType.DISCONNECT)))
        return self._out

    @property
    def pending(self) -> int:
        """How many futures are not settled."""
        return len(self._futures)

    def _on_message(self, message: Message) -> None:
        match message:
            case TaskResult(task_id):
                self._on_result(task_id, message)
            case TaskCancelConfirm(task_id, confirm_type):
                given = _ANSWERS.get(confirm_type) if isinstance(confirm_type, CancelConfirmType) else None
                if given is None:
                    self._out.append(Dropped("unknown confirm type", task_id))
                elif task_id in self._graphs:
                    # `cancelFailed`: it goes on. What becomes of a target has come for the target (C13.1).
                    if given is not FutureInput.CANCEL_FAILED:
                        self._end_graph(task_id)
                elif not self._apply(task_id, given) and not self._is_inner(task_id):
                    self._out.append(Dropped(f"{given.value} that nobody waits for", task_id))
            case TaskLog(task_id):
                known = task_id in self._futures or task_id in self._graph_of
                self._out.append(ShowLog(message) if known else Dropped("log of an unknown task", task_id))
            case ClientHeartbeatEcho(address):
                self._out.append(UseStorage(address))
            case ClientShutdownResponse(accepted):
                self._out.append(ShutdownAnswered(accepted))
            case ClientDisconnect():
                self._disconnect()
                self._out.append(DeclaredLost())
            case ObjectInstruction():
                pass  # outside of the protocol, and not an error
            case _:
                self._out.append(Dropped("not for a client", getattr(message, "task_id", b"")))

    def _on_result(self, task_id: bytes, result: TaskResult) -> None:
        if task_id in self._graphs:
            self._end_graph(task_id)
            if result.results:
                self._out.append(ReleaseResult(result))
        elif self._apply(task_id, FutureInput.RESULT, result):
            return
        elif not self._is_inner(task_id):
            # C9.2: dropped, and yet nothing is left behind.
            self._discard(result)
            self._out.append(Dropped("result of an unknown task", task_id))
        elif result.result_type != TaskResultType.SUCCESS:
            self._discard(result)  # a success is the scheduler's to release (C13.2)

    def _submit_graph(self, graph: GraphTask) -> None:
        nodes = tuple(task.task_id for task in graph.graph)
        self._graphs[graph.task_id] = _Graph(frozenset(graph.targets), nodes)
        self._graph_of.update(dict.fromkeys(nodes, graph.task_id))
        self._futures.update(dict.fromkeys(graph.targets, FutureState.RUNNING))
        self._out.append(Send(graph))

    def _end_graph(self, graph_id: bytes) -> None:
        graph = self._graphs.pop(graph_id)
        for task_id in graph.nodes:
            del self._graph_of[task_id]
        self._out.append(GraphEnded(graph_id))
        self._out.extend(map(ReleaseResult, graph.discarded))

    def _is_inner(self, task_id: bytes) -> bool:
        """Whether it is a node of a graph that goes on, and no target (C13.1)."""
        graph_id = self._graph_of.get(task_id)
        return graph_id is not None and task_id not in self._graphs[graph_id].targets

    def _discard(self, result: TaskResult) -> None:
        """Release it, but if it is of a node not before the end of the graph (C13.2)."""
        graph_id = self._graph_of.get(result.task_id)
        if graph_id is None:
            self._out.append(ReleaseResult(result))
        elif result.results:
            self._graphs[graph_id].discarded.append(result)

    def _disconnect(self) -> None:
        for task_id in list(self._futures):
            self._apply(task_id, FutureInput.DISCONNECT)
        for graph_id in list(self._graphs):
            self._end_graph(graph_id)

    def _apply(self, task_id: bytes, given: FutureInput, result: TaskResult | None = None) -> bool:
        """Move the future as the table says; False where it is unknown or the table has no such row."""
        state = self._futures.get(task_id)
        if state is None or (state, given) not in TRANSITIONS:
            return False
        following, action = TRANSITIONS[state, given]
        if following in (FutureState.FINISHED, FutureState.CANCELLED):
            del self._futures[task_id]
        else:
            self._futures[task_id] = following
        match action:
            case Action.JOIN:
                pass
            case Action.SEND_CANCEL:
                self._out.append(Send(TaskCancel(task_id, force=False)))
            case Action.SEND_CANCEL_FORCE:
                self._out.append(Send(TaskCancel(task_id, force=True)))
            case Action.DELIVER_RESULT:
                assert result is not None
                self._out.append(Deliver(result, self._graph_of.get(task_id, b"")))
            case Action.REFUSED:
                self._out.append(EndRound(task_id))
            case _:
                if result is not None:
                    self._discard(result)
                self._out.append(SetCancelled(task_id, _OUTCOMES[action]))
        return True
