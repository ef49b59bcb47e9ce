"""The rules for a client, in the order in which it handled, did and sent things. Written from SPEC.md alone.

Judged: all of C1.1 to C13.4 but `NOT_JUDGED`, and M1, M3, M5, M6, T2 and T4 as far as a client's records show them.
What they do not show of these:

- C7.1: calls of `done()` and `running()`. That `cancelled()` waits is judged.
- C8.1: callbacks. That a future is settled once, and that calls return, is judged.
- C12.1: intervals; records have no time. That a heartbeat comes first is judged.
- M1, M3: counts and logs. What must be dropped is judged by what it must not cause.
- M6: that a result of an unknown type is not a success; `SETTLED` does not tell a result from an exception.
- M2, M4, T3: they are about frames and connections; breaking them breaks something else here.

Between two records a client may be slow. What it does on its own account, without a call, is judged by its messages.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Final

from rescind.messages import (
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
)
from rescind_conformance.judge import client_graphs
from rescind_conformance.judge.client_books import Call, Future, Stage
from rescind_conformance.judge.client_words import OUTCOMES, because, words_of
from rescind_conformance.judge.peer import PeerJudge
from rescind_conformance.judge.records import EventKind, EventRecord, Record
from rescind_conformance.judge.scheduler_graphs import can_run

CLIENT_EVENTS: Final = (
    EventKind.CANCEL_CALLED,
    EventKind.CANCEL_RETURNED,
    EventKind.CANCELLED_CALLED,
    EventKind.CANCELLED_RETURNED,
    EventKind.TIME_LIMIT,
    EventKind.SETTLED,
    EventKind.RESULT_RELEASED,
    EventKind.DISCONNECT_CALLED,
    EventKind.SCHEDULER_LOST,
)
"""What happens at a client."""

NOT_JUDGED: Final[Mapping[str, str]] = {
    "C5.2": "no record says how a round ended, only that a future is finished or cancelled",
    "C8.2": "what a waiter waits on is inside the client; made too late, a call never returns, which is C8.1",
    "C10.3": "it is about two lives of a client, which are judged apart",
    "C11.1": "records do not show threads; a deadlock is a call that never returns, which is C8.1 or C1.1",
}
"""Requirements of clients that a trace cannot show, and why."""

_REQUIREMENTS: Final = {CancelConfirmType.CANCELED: "C2.1", CancelConfirmType.CANCEL_NOT_FOUND: "C2.2"}


class ClientJudge(PeerJudge):
    """Judges a client under one routing id; see `PeerJudge`.

    A call is every `cancel()` and `cancelled()` whose caller waits for what it returns.
    """

    _FIRST = ClientHeartbeat
    _FIRST_OF_ALL = "C12.1"
    _SENDS = (Task, TaskCancel, GraphTask, ObjectInstruction, ClientHeartbeat, ClientDisconnect)

    def __init__(
        self,
        events: Collection[EventKind] = CLIENT_EVENTS,
        names: Mapping[bytes, str] | None = None,
        *,
        introduced: bool = False,
    ) -> None:
        super().__init__(events, names, introduced=introduced)
        self._futures: dict[bytes, Future] = {}
        """Those that are not settled."""
        self._settled: dict[bytes, bool] = {}
        """Whether it is cancelled."""
        self._graphs: dict[bytes, client_graphs.Graph] = {}
        """Those whose terminal message has not come."""
        self._calls: dict[int, Call] = {}
        self._owed: dict[bytes, str] = {}
        """Results whose payloads are to be released, and by which requirement."""
        self._late = b""
        """The last message was about this task, which was settled before."""

    def may_hurry(self, record: Record) -> bool:
        """Implements `Hurrying`: beside what every peer may hurry, calls about what is settled, and their returns."""
        if not isinstance(record, EventRecord):
            return super().may_hurry(record)
        match record.event:
            case EventKind.CANCEL_CALLED | EventKind.CANCELLED_CALLED:
                return record.task in self._settled and self._sees(EventKind.SETTLED)
            case EventKind.CANCEL_RETURNED | EventKind.CANCELLED_RETURNED:
                call = self._calls.get(record.call)
                over = record.task in self._settled and self._sees(EventKind.SETTLED)
                return over and (call is None or record.value in call.answers)
            case _:
                return super().may_hurry(record)

    # --- what happens to it

    def _on_received(self, message: Message) -> None:
        self._late = b""
        match message:
            case TaskResult(task_id) if task_id in self._graphs:
                self._end_graph(task_id)
                self._without_effect = "C13.1"
            case TaskResult(task_id) if client_graphs.is_inner(self._graphs, task_id):
                if message.result_type != TaskResultType.SUCCESS:
                    self._owe(task_id, "C13.2", bool(message.results))
                self._without_effect = "C13.1"
            case TaskResult(task_id):
                self._on_result(task_id, bool(message.results))
            case TaskCancelConfirm(task_id, kind):
                self._on_confirm(task_id, kind)
            case ClientDisconnect(kind):
                self._lose("C10.2" if kind in set(DisconnectType) else "M6")
            case TaskLog() | ClientHeartbeatEcho() | ClientShutdownResponse() | ObjectInstruction():
                pass
            case _:
                self._without_effect = "M3"

    def _on_result(self, task_id: bytes, payload: bool) -> None:
        future = self._futures.get(task_id)
        if future is not None and future.open:
            future.payload = payload
            if future.stage is Stage.CANCELING:
                self._decide(task_id, cancelled=True, requirement="C3.1")
                self._owe(task_id, "C3.2", payload)
            else:
                self._decide(task_id, cancelled=False, requirement="C4.1" if future.refused else "C2.4")
        elif future is None or future.stage is Stage.DUE:
            # Of one that has its result, it may name the payloads that are still to be read.
            has_result = not future.cancelled if future is not None else self._settled.get(task_id) is False
            self._owe(task_id, "C9.2", payload and not has_result)
            self._late = task_id

    def _on_confirm(self, task_id: bytes, kind: int) -> None:
        future = self._futures.get(task_id)
        if kind not in set(CancelConfirmType):
            self._without_effect = "M6"
        elif task_id in self._graphs or client_graphs.is_inner(self._graphs, task_id):
            if task_id in self._graphs and kind != CancelConfirmType.CANCEL_FAILED:
                self._end_graph(task_id)
            self._without_effect = "C13.1"
        elif future is None or not future.open:
            self._late = task_id
        elif kind != CancelConfirmType.CANCEL_FAILED:
            in_round = future.stage is Stage.CANCELING
            self._decide(task_id, True, _REQUIREMENTS[CancelConfirmType(kind)] if in_round else "C2.3")
        elif future.stage is Stage.CANCELING:
            self._refuse(task_id, future)
        else:
            self._without_effect = "C4.1"

    def _refuse(self, task_id: bytes, future: Future) -> None:
        future.stage, future.refused = Stage.RUNNING, True
        for call in self._waiting(task_id):
            if call.force and not future.force:
                call.wants_force, call.requirement = True, "C6.3"
            else:
                call.answers, call.requirement = (False,), "C4.1" if call.asks else "C7.1"
                call.decided = call.opened
                if self._may_be_cancelled(future) and not self._sees(EventKind.SETTLED):
                    call.answers, call.decided = (False, True), False

    def _decide(self, task_id: bytes, cancelled: bool, requirement: str) -> None:
        """The future is to be settled so; calls that wait return so."""
        future = self._futures[task_id]
        future.stage, future.cancelled, future.requirement = Stage.DUE, cancelled, requirement
        for call in self._waiting(task_id):
            call.answers = _with(call.answers, cancelled)
            call.requirement = requirement if cancelled or future.refused else "C6.1"
        if self._sees(EventKind.SETTLED):
            return
        if not cancelled and self._may_be_cancelled(future):
            future.stage = Stage.UNCLEAR  # that may have been before
            for call in self._waiting(task_id):
                call.answers = (False, True)
        else:
            self._settle(task_id, cancelled)

    def _settle(self, task_id: bytes, cancelled: bool) -> None:
        self._futures.pop(task_id, None)
        self._settled[task_id] = cancelled

    def _lose(self, requirement: str) -> None:
        for task_id, future in list(self._futures.items()):
            if future.open:
                self._decide(task_id, True, requirement)
        for graph_id in list(self._graphs):
            self._end_graph(graph_id)

    def _end_graph(self, graph_id: bytes) -> None:
        self._owed.update(dict.fromkeys(self._graphs.pop(graph_id).kept, "C13.2"))

    def _owe(self, task_id: bytes, requirement: str, payload: bool) -> None:
        if not payload or not self._sees(EventKind.RESULT_RELEASED):
            return
        graph = client_graphs.graph_of(self._graphs, task_id)
        if graph is not None:
            graph.kept += (task_id,)
        else:
            self._owed.setdefault(task_id, requirement)

    # --- what its callers do, and what it does for them

    def _on_event(self, record: EventRecord) -> None:
        match record.event:
            case EventKind.CANCEL_CALLED if self._sees(EventKind.CANCEL_RETURNED):
                self._on_called(record, asks=True)
            case EventKind.CANCELLED_CALLED if self._sees(EventKind.CANCELLED_RETURNED):
                self._on_called(record, asks=False)
            case EventKind.CANCEL_RETURNED | EventKind.CANCELLED_RETURNED:
                call = self._calls.pop(record.call, None)
                if call is not None and record.value not in call.answers:
                    self._on_wrong_return(call, record.value)
            case EventKind.TIME_LIMIT:
                future = self._futures.get(record.task)
                if future is not None and future.stage is Stage.CANCELING:
                    self._decide(record.task, True, "C5.1")
            case EventKind.SETTLED:
                self._on_settled(record.task, record.outcome == "cancelled")
            case EventKind.RESULT_RELEASED:
                self._owed.pop(record.task, None)
                goes_on = client_graphs.take_released(self._graphs, record.task)
                if goes_on and self._sees(EventKind.DISCONNECT_CALLED, EventKind.SCHEDULER_LOST):
                    self._break("C13.2", f"releases a result of {self._name(record.task)}, whose graph has not ended")
            case EventKind.DISCONNECT_CALLED:
                self._lose("C10.1")
            case EventKind.SCHEDULER_LOST:
                self._lose("C10.2")
                self._gone = "T4" if record.outcome == "dropped" else self._gone
        self._without_effect = ""

    def _on_called(self, record: EventRecord, *, asks: bool) -> None:
        task_id = record.task
        future, call = self._futures.get(task_id), Call(task_id, asks, record.force)
        if task_id in self._settled:
            call.answers, call.requirement = (self._settled[task_id],), "C6.1" if asks else "C5.1"
        elif future is None or future.stage is Stage.UNCLEAR:
            return
        elif future.stage is Stage.DUE:
            call.answers = (False, True) if future.either else (future.cancelled,)
            call.requirement = "C6.1" if asks else future.requirement
        elif not asks:
            call.answers, call.requirement = () if future.stage is Stage.CANCELING else (False,), "C7.1"
        self._calls[record.call] = call

    def _on_wrong_return(self, call: Call, value: bool) -> None:
        future = self._futures.get(call.task)
        said = f"returns {value} from {words_of(call)} {self._name(call.task)}"
        if future is not None and value and self._may_be_cancelled(future):
            if not self._sees(EventKind.SETTLED):
                for other in self._waiting(call.task):
                    other.answers = _with(other.answers, True)
                self._settle(call.task, True)
        elif call.answers:
            why = because(call.requirement, call.answers[0])
            self._break(call.requirement, f"{said}, not {call.answers[0]}, though {why}")
        elif not call.asks:
            self._break("C7.1", f"{said}, though a round is open")
        elif future is not None and future.stage is Stage.CANCELING:
            self._break("C13.3" if self._without_effect == "C13.1" else "C1.1", f"{said}, though its round is open")
        elif call.wants_force:
            self._break("C4.1" if value else "C6.3", f"{said}, though only a round without force was refused")
        else:
            again = future is not None and future.refused
            self._break("C4.2" if again else "C1.1", f"{said}, though it has not opened a round")

    def _on_settled(self, task_id: bytes, cancelled: bool) -> None:
        future = self._futures.get(task_id)
        said = f"settles {self._name(task_id)} as {OUTCOMES[cancelled]}"
        if future is None:
            if task_id in self._settled:
                requirement = self._without_effect or ("C9.1" if self._late == task_id else "C8.1")
                before = OUTCOMES[self._settled[task_id]]
                self._break(requirement, f"{said}, though it has settled it as {before}")
            return
        if future.stage is Stage.DUE:
            if cancelled != future.cancelled and not future.either:
                why = because(future.requirement, future.cancelled)
                self._break(future.requirement, f"{said}, not as {OUTCOMES[future.cancelled]}, though {why}")
            elif future.either and cancelled:
                self._owe(task_id, "C3.2", future.payload)
        elif future.open and not (cancelled and self._may_be_cancelled(future)):
            if future.stage is Stage.CANCELING:
                default, why = "C1.1", "though its round is open and unanswered"
            else:
                default = "C8.1" if not cancelled else "C4.1" if future.refused else "C1.1"
                why = "which nothing that came calls for"
            self._break(self._without_effect or default, f"{said}, {why}")
        for call in self._waiting(task_id):
            call.answers = _with(call.answers, cancelled)
        self._settle(task_id, cancelled)

    # --- what it sends

    def _on_sent(self, message: Message, said: str) -> None:
        match message:
            case Task(task_id):
                if self._has_used(task_id):
                    self._break("M5", f"{said}, whose id it has used before")
                else:
                    self._futures[task_id] = Future()
            case GraphTask():
                self._on_graph(message, said)
            case TaskCancel(task_id, force):
                self._on_asked(task_id, force, said)
            case ClientDisconnect(kind) if kind != DisconnectType.SHUTDOWN:
                self._lose("C10.1")

    def _on_graph(self, message: GraphTask, said: str) -> None:
        if can_run(message) and not any(map(self._has_used, client_graphs.ids_of(message))):
            self._graphs[message.task_id] = client_graphs.book_of(message)
            self._futures.update({task_id: Future() for task_id in message.targets})
            return
        why = "with an id that it has used before" if can_run(message) else "that no scheduler can run"
        self._break("C13.4", f"{said} {why}")
        for task_id in client_graphs.ids_of(message):
            self._futures.setdefault(task_id, Future(Stage.UNCLEAR))

    def _has_used(self, task_id: bytes) -> bool:
        used = task_id in self._futures or task_id in self._settled or task_id in self._graphs
        return used or client_graphs.is_inner(self._graphs, task_id)

    def _on_asked(self, task_id: bytes, force: bool, said: str) -> None:
        targets = client_graphs.asked_for(self._graphs, self._futures, self._calls.values(), task_id)
        if targets and task_id not in self._graphs:
            self._break("C13.3", f"{said}, which is no target, for the cancel() of {self._name(targets[0])}")
        if len(targets) > 1:
            client_graphs.leave_unclear(self._futures, self._calls.values(), targets)
        task_id = targets[0] if targets else task_id
        future = self._futures.get(task_id)
        waiting = [call for call in self._waiting(task_id) if call.asks]
        if task_id in self._settled and self._sees(EventKind.SETTLED):
            settled = OUTCOMES[self._settled[task_id]]
            self._break("C6.1", f"{said}, though it has settled that task as {settled}")
        elif future is None or future.stage is Stage.DUE:
            if future is not None:
                future.either = True  # the round may have been opened before the result was looked at
            for call in waiting:
                call.answers = (False, True)
        elif future.stage is Stage.CANCELING:
            self._break("C6.2" if len(waiting) > 1 else "C1.1", f"{said}, though a round is open")
        elif future.stage is Stage.RUNNING:
            if waiting and not any(call.force == force for call in waiting):
                self._break("C1.1", f"{said}, though its caller asked {'without' if force else 'with'} force")
            future.stage, future.asked, future.force = Stage.CANCELING, True, force
            for call in waiting:
                call.opened = len(waiting) == 1

    # --- what it finds

    def _at_rest(self) -> None:
        for task_id, future in self._futures.items():
            if future.stage is Stage.DUE:
                requirement = future.requirement
                outcome, why = OUTCOMES[future.cancelled], because(future.requirement, future.cancelled)
                self._break(requirement, f"has not settled {self._name(task_id)} as {outcome}, though {why}")
        for call in self._calls.values():
            held = self._futures.get(call.task)
            said = f"has not returned from {words_of(call)} {self._name(call.task)}"
            if held is not None and held.stage is not Stage.RUNNING and not call.decided:
                continue  # its round is open, or it is said above that the future is not settled
            if call.answers:
                self._break(
                    "C8.1" if held is None else call.requirement,
                    f"{said}, though {because(call.requirement, call.answers[0])}",
                )
            elif call.wants_force:
                self._break("C6.3", f"{said}, nor asked with force when a round without force was refused")
            elif held is not None:
                self._break("C4.2" if held.refused else "C1.1", f"{said}, nor sent a TaskCancel for it")
        for task_id, requirement in self._owed.items():
            self._break(requirement, f"has not released a result of {self._name(task_id)}")

    def _may_be_cancelled(self, future: Future) -> bool:
        """Whether something may have cancelled it that is not recorded."""
        if not self._sees(EventKind.DISCONNECT_CALLED, EventKind.SCHEDULER_LOST):
            return True
        return future.asked and not self._sees(EventKind.TIME_LIMIT)

    def _waiting(self, task_id: bytes) -> Iterator[Call]:
        return (call for call in self._calls.values() if call.task == task_id and not call.decided)


def _with(answers: tuple[bool, ...], another: bool) -> tuple[bool, ...]:
    return tuple(sorted({*answers, another}))
