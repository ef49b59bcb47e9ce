"""The client's machine under any events: what its callers ask, and whatever a scheduler says."""

from __future__ import annotations

from collections import deque
from typing import Final

from rescind.client_machine import (
    Cancel,
    ClientMachine,
    DeclaredLost,
    Deliver,
    Disconnect,
    EndRound,
    Event,
    Received,
    ReleaseResult,
    Send,
    SetCancelled,
    Submit,
    SubmitGraph,
    TimeLimit,
)
from rescind.messages import ClientHeartbeat, GraphTask, Task
from rescind_conformance.fuzzing import frames
from rescind_conformance.fuzzing.choices import Broken, Choices
from rescind_conformance.judge.client import ClientJudge
from rescind_conformance.judge.records import SCHEDULER, EventKind, EventRecord, MessageRecord, Record

_NAME: Final = "C1"
_OF_SCHEDULERS: Final = (frames.RESULT, frames.CONFIRM, frames.RESULT, frames.CONFIRM, frames.LOG)


class ClientLife:
    """One life of a machine under a shell of the simplest kind."""

    def __init__(self, choices: Choices, *, judged: bool) -> None:
        self._choices = choices
        self._machine = ClientMachine()
        self._judge = ClientJudge() if judged else None
        self._fresh = list(frames.IDS)
        """Ids that were not used yet (C13.4, M5)."""
        self._pending: set[bytes] = set()
        self._settled: dict[bytes, bool] = {}
        self._rounds: dict[bytes, tuple[bool, dict[int, bool]]] = {}
        """Of each open round: whether it has force, and its calls."""
        self._calls = 0
        self._gone = False

    def play(self) -> None:
        """Raises `Broken`, and whatever the machine raises."""
        self._record(MessageRecord(_NAME, _NAME, SCHEDULER, ClientHeartbeat()))
        while self._choices and not self._gone:
            self._play_one()
        if not self._gone:
            if self._machine.pending != len(self._pending):
                raise Broken(f"{self._machine.pending} futures are held, {len(self._pending)} are not settled")
            self._blame(self._judge.rest() if self._judge else [])
            self._note(EventKind.DISCONNECT_CALLED)
            self._feed(Disconnect(good_bye=True))
        machine = self._machine
        if machine._futures or machine._graphs or machine._graph_of or self._pending or self._rounds:
            raise Broken(f"gone, and still there: {machine._futures}, {machine._graphs}, {self._pending}")

    def _play_one(self) -> None:
        choices = self._choices
        match choices.number(16):
            case 0 | 1 if self._fresh:
                task_id = self._fresh.pop(0)
                self._pending.add(task_id)
                self._feed(Submit(Task(task_id)))
            case 2 if self._fresh:
                self._submit_graph()
            case 3 | 4 | 5:
                self._cancel(choices.one_of(frames.IDS), force=choices.flag())
            case 6 if self._rounds:
                task_id = choices.one_of(sorted(self._rounds))
                self._note(EventKind.TIME_LIMIT, task_id)
                self._feed(TimeLimit(task_id))
            case 7 if choices.number(16) == 15:
                self._record(EventRecord(_NAME, EventKind.SCHEDULER_LOST, outcome="dropped"))
                self._feed(Disconnect(good_bye=False))
                self._gone = True
            case 8:
                message, why = frames.noise(choices)
                self._record(MessageRecord(_NAME, SCHEDULER, _NAME, message, why))
                if message is not None:
                    self._feed(Received(message))
            case _:
                message = frames.any_message(choices, _OF_SCHEDULERS)
                self._record(MessageRecord(_NAME, SCHEDULER, _NAME, message))
                self._feed(Received(message))

    def _submit_graph(self) -> None:
        """A graph that C13.4 lets pass: each node depends on earlier ones only."""
        count = min(self._choices.number(4), len(self._fresh) - 1)
        graph_id, *ids = (self._fresh.pop(0) for _ in range(1 + count))
        nodes = tuple(
            Task(each, function_args=frames.node(self._choices, ids[:number]).function_args if number else ())
            for number, each in enumerate(ids)
        )
        targets = tuple(dict.fromkeys(self._choices.some_of(ids, 2))) if ids else ()
        self._pending.update(targets)
        self._feed(SubmitGraph(GraphTask(graph_id, b"", targets, nodes)))

    def _cancel(self, task_id: bytes, *, force: bool) -> None:
        if task_id not in self._pending:
            return
        self._calls += 1
        self._record(EventRecord(_NAME, EventKind.CANCEL_CALLED, task=task_id, call=self._calls, force=force))
        self._rounds.setdefault(task_id, (force, {}))[1][self._calls] = force
        self._feed(Cancel(task_id, force))

    def _feed(self, event: Event) -> None:
        events = deque([event])
        while events:
            for instruction in self._machine.handle(events.popleft()):
                match instruction:
                    case Send(message):
                        frames.encode(message)
                        self._record(MessageRecord(_NAME, _NAME, SCHEDULER, message))
                    case Deliver(result):
                        self._settle(result.task_id, cancelled=False)
                    case SetCancelled(task_id):
                        self._settle(task_id, cancelled=True)
                    case EndRound(task_id):
                        events.extend(self._refuse(task_id))
                    case ReleaseResult(result) if result.results:
                        self._note(EventKind.RESULT_RELEASED, result.task_id)
                    case DeclaredLost():
                        self._gone = True

    def _settle(self, task_id: bytes, *, cancelled: bool) -> None:
        if task_id not in self._pending:
            raise Broken(f"{task_id!r} is settled twice, or was never submitted")
        self._pending.remove(task_id)
        self._settled[task_id] = cancelled
        self._note(EventKind.SETTLED, task_id, "cancelled" if cancelled else "finished")
        self._return(task_id, dict(self._rounds.pop(task_id, (False, {}))[1]), value=cancelled)

    def _refuse(self, task_id: bytes) -> list[Event]:
        """C6.3: calls with force that shared a round without it ask again."""
        if task_id not in self._rounds:
            raise Broken(f"a round of {task_id!r} ends that nobody opened")
        forced, calls = self._rounds.pop(task_id)
        again = {} if forced else {call: True for call, force in calls.items() if force}
        self._return(task_id, {call: force for call, force in calls.items() if call not in again}, value=False)
        if not again:
            return []
        self._rounds[task_id] = (True, again)
        return [Cancel(task_id, force=True)]

    def _return(self, task_id: bytes, calls: dict[int, bool], *, value: bool) -> None:
        for call, force in calls.items():
            returned = EventKind.CANCEL_RETURNED
            self._record(EventRecord(_NAME, returned, task=task_id, call=call, force=force, value=value))

    def _note(self, kind: EventKind, task_id: bytes = b"", outcome: str = "") -> None:
        self._record(EventRecord(_NAME, kind, task=task_id, outcome=outcome))

    def _record(self, record: Record) -> None:
        if self._judge is not None:
            self._blame(self._judge.read(record))

    def _blame(self, found: object) -> None:
        if found:
            raise Broken(f"the judge says: {found}")


def play_client(data: bytes, *, judged: bool) -> None:
    """One life, as the bytes have it. Raises `Broken`, and whatever the machine raises."""
    ClientLife(Choices(data), judged=judged).play()
