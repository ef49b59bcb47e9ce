"""A client in a walk: its machine, the callers that wait for their `cancel()`, and what they may still do.

The callers behave as those of the reference's futures do: calls share a round, and one with force that shared a
round without it asks again when that one is refused (C6.3).
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from rescind.client_machine import (
    Cancel,
    ClientMachine,
    DeclaredLost,
    Deliver,
    Disconnect,
    EndRound,
    Event,
    GraphEnded,
    Received,
    ReleaseResult,
    Send,
    SetCancelled,
    Submit,
    SubmitGraph,
    TimeLimit,
)
from rescind.messages import ClientHeartbeat, Message, Task
from rescind_conformance.explorer.cast import CRASH_REQUIREMENT, JudgeFactory, JudgeMemo, MachineMemo, Raised
from rescind_conformance.explorer.payload_store import TAKE
from rescind_conformance.explorer.scenario import ClientPlan, task_id
from rescind_conformance.explorer.steps import Does, Effects, Item, Local, Step, Turn
from rescind_conformance.judge.records import SCHEDULER, EventKind, EventRecord, MessageRecord, Violation


class Call(NamedTuple):
    """One call of `cancel()`."""

    number: int
    task: bytes
    force: bool


class Round(NamedTuple):
    """A cancel round that is open, and the calls that wait for its end."""

    task: bytes
    force: bool
    calls: tuple[Call, ...]


class ClientEnv(NamedTuple):
    """What else is known of a client."""

    there: bool = False
    """Its connection lives."""
    joined: bool = False
    submits: tuple[bytes, ...] = ()
    calls: tuple[Call, ...] = ()
    """Those that may still be made."""
    limits: tuple[bytes, ...] = ()
    heartbeats: int = 0
    disconnects: bool = False
    drops: bool = False
    pending: tuple[bytes, ...] = ()
    """Tasks whose futures are not settled."""
    rounds: tuple[Round, ...] = ()
    kept: tuple[bytes, ...] = ()
    """Results that were read, and that nodes of the graph may still read (C13.2)."""


class ClientParty:
    """The client at position `peer`; its routing id is its name."""

    def __init__(
        self,
        peer: int,
        name: str,
        plan: ClientPlan,
        machine: ClientMachine,
        machines: MachineMemo[ClientMachine],
        judges: JudgeMemo,
        factories: tuple[JudgeFactory, ...],
    ) -> None:
        self.peer = peer
        self.name = name
        self.machines = machines
        self._judges = judges
        calls = [(task_id(each.task), each.force) for each in plan.cancels for _ in range(each.times)]
        self.graph = plan.graph
        graphs = () if plan.graph is None else (plan.graph.task_id,)
        env = ClientEnv(
            there=True,
            submits=(*graphs, *map(task_id, plan.submits)),
            calls=tuple(Call(number, *call) for number, call in enumerate(calls, start=1)),
            limits=tuple(map(task_id, plan.time_limits)),
            heartbeats=plan.heartbeats,
            disconnects=plan.disconnects,
            drops=plan.drops,
        )
        self.start = Local(machines.intern(machine), judges.intern(factories), env)

    def life_name(self, life: int) -> str:
        """Its routing id and its name in records; a client has one life."""
        return self.name

    def life(self, local: Local) -> int:
        """Under which of its routing ids it is there."""
        return 0

    def listens(self, local: Local) -> bool:
        """Whether what is sent to it arrives."""
        assert isinstance(local.env, ClientEnv)
        return local.env.there

    def choices(self, local: Local) -> list[tuple[Step, bool]]:
        """What it can do by itself, and whether it must sooner or later."""
        env = local.env
        assert isinstance(env, ClientEnv)
        if not env.there:
            return []
        if not env.joined:
            return [(Step(self.name, Does.JOINS), True)]
        steps = [Step(self.name, Does.SUBMITS, task) for task in env.submits[:1]]
        possible = {(call.task, call.force): None for call in env.calls if call.task in env.pending}
        steps += [Step(self.name, Does.CANCELS, task, force) for task, force in possible]
        steps += [Step(self.name, Does.LIMIT, each.task) for each in env.rounds if each.task in env.limits]
        if env.heartbeats:
            steps.append(Step(self.name, Does.BEATS))
        if env.disconnects:
            steps.append(Step(self.name, Does.DISCONNECTS))
        if env.drops:
            steps.append(Step(self.name, Does.DROPS))
        return [(step, False) for step in steps]

    def act(self, local: Local, step: Step) -> tuple[Local, Effects] | None:
        """Do one of its choices; None: it would have no effect."""
        turn = _ClientTurn(self, local)
        turn.act(step)
        return self._close(turn)

    def receive(self, local: Local, item: Item) -> tuple[Local, Effects]:
        """Take what has come."""
        turn = _ClientTurn(self, local)
        turn.receive(item)
        return self._close(turn)

    def beat(self, local: Local) -> tuple[Local, Effects]:
        """The next heartbeat that it sends in any case."""
        turn = _ClientTurn(self, local)
        turn.beat()
        return self._close(turn)

    def at_rest(self, local: Local, busy: bool) -> list[Violation]:
        """What should not be so when nothing more happens, beside what its judges say; `busy`: its tasks may wait."""
        env = local.env
        assert isinstance(env, ClientEnv)
        found = [Violation("C1.1", f"cancel() of {each.task.decode()} never returns") for each in env.rounds]
        if not busy:
            found += [Violation("C8.1", f"the future of {task.decode()} is never settled") for task in env.pending]
        if (held := self.machines.thaw(local.machine).pending) != len(env.pending):
            found.append(Violation("C8.1", f"holds {held} futures, and {len(env.pending)} are not settled"))
        return found

    def _close(self, turn: _ClientTurn) -> tuple[Local, Effects]:
        judge, found = self._judges.read(turn.judge, turn.records)
        return Local(turn.machine, judge, turn.env), turn.effects(found, turn.records)


class _ClientTurn(Turn):
    def __init__(self, party: ClientParty, local: Local) -> None:
        super().__init__(party.name)
        assert isinstance(local.env, ClientEnv)
        self.env = local.env
        self.machine = local.machine
        self.judge = local.judge
        self._party = party

    def act(self, step: Step) -> None:
        env = self.env
        match step.does:
            case Does.JOINS:
                self.env = env._replace(joined=True)
                self.beat()
            case Does.BEATS:
                self.env = env._replace(heartbeats=env.heartbeats - 1)
                self.beat()
            case Does.SUBMITS if (graph := self._party.graph) is not None and step.task == graph.task_id:
                self.env = env._replace(submits=env.submits[1:], pending=(*env.pending, *graph.targets))
                self._feed(SubmitGraph(graph))
            case Does.SUBMITS:
                self.env = env._replace(submits=env.submits[1:], pending=(*env.pending, step.task))
                self._feed(Submit(Task(step.task, source=self.name.encode())))
            case Does.CANCELS:
                self._cancel(next(call for call in env.calls if (call.task, call.force) == (step.task, step.force)))
            case Does.LIMIT:
                self.env = env._replace(limits=tuple(task for task in env.limits if task != step.task))
                self._note(EventKind.TIME_LIMIT, step.task)
                self._feed(TimeLimit(step.task))
            case Does.DISCONNECTS:
                self._note(EventKind.DISCONNECT_CALLED)
                self._feed(Disconnect(good_bye=True))
                self._leave()
            case Does.DROPS:
                self._lose_scheduler()
                self.fall_silent()
            case _:
                raise AssertionError(step)

    def receive(self, item: Item) -> None:
        if item.message is None:
            self._lose_scheduler()
            return
        self.record(MessageRecord(self.name, SCHEDULER, self.name, item.message))
        self._feed(Received(item.message))

    def beat(self) -> None:
        self._say(ClientHeartbeat())

    def _cancel(self, call: Call) -> None:
        env = self.env
        self.record(EventRecord(self.name, EventKind.CANCEL_CALLED, task=call.task, call=call.number, force=call.force))
        current = next((each for each in env.rounds if each.task == call.task), Round(call.task, call.force, ()))
        self.env = env._replace(calls=tuple(each for each in env.calls if each != call))
        self._open(current._replace(calls=(*current.calls, call)))
        self._feed(Cancel(call.task, call.force))

    def _feed(self, event: Event) -> None:
        events = deque([event])
        while events:
            self.machine, instructions = self._party.machines.handle(self.machine, events.popleft())
            for instruction in instructions:
                match instruction:
                    case Send(message):
                        self._say(message)
                    case Deliver(result, graph_id):
                        self.env = self.env._replace(kept=(*self.env.kept, *result.results))
                        if not graph_id:
                            self._take_kept(result.results)
                        self._settle(result.task_id, "finished")
                    case SetCancelled(task):
                        self._settle(task, "cancelled")
                    case GraphEnded():
                        self._take_kept(self.env.kept)
                    case EndRound(task):
                        events.extend(self._refuse(task))
                    case ReleaseResult(result):
                        if result.results:
                            self._note(EventKind.RESULT_RELEASED, result.task_id)
                        for name in result.results:
                            self.store(TAKE, name)
                    case DeclaredLost():
                        self._leave()
                    case Raised(error):
                        self.accuse(CRASH_REQUIREMENT, f"the client's machine raised {error}")

    def _take_kept(self, names: tuple[bytes, ...]) -> None:
        for name in names:
            self.store(TAKE, name)
        self.env = self.env._replace(kept=tuple(each for each in self.env.kept if each not in names))

    def _settle(self, task: bytes, outcome: str) -> None:
        env = self.env
        self.record(EventRecord(self.name, EventKind.SETTLED, task=task, outcome=outcome))
        ended = [each for each in env.rounds if each.task == task]
        self.env = env._replace(
            pending=tuple(each for each in env.pending if each != task),
            rounds=tuple(each for each in env.rounds if each.task != task),
            calls=tuple(each for each in env.calls if each.task != task),
            limits=tuple(each for each in env.limits if each != task),
        )
        for each in ended:
            self._return(each.calls, outcome == "cancelled")

    def _refuse(self, task: bytes) -> list[Event]:
        """The round was refused; the round that follows it (C6.3)."""
        ended = next((each for each in self.env.rounds if each.task == task), None)
        if ended is None:
            return []
        again = () if ended.force else tuple(call for call in ended.calls if call.force)
        self.env = self.env._replace(rounds=tuple(each for each in self.env.rounds if each != ended))
        self._return(tuple(call for call in ended.calls if call not in again), False)
        if not again:
            return []
        self._open(Round(task, True, again))
        return [Cancel(task, force=True)]

    def _return(self, calls: tuple[Call, ...], value: bool) -> None:
        for call in calls:
            self.record(
                EventRecord(
                    self.name,
                    EventKind.CANCEL_RETURNED,
                    task=call.task,
                    call=call.number,
                    force=call.force,
                    value=value,
                )
            )

    def _open(self, opened: Round) -> None:
        others = tuple(each for each in self.env.rounds if each.task != opened.task)
        self.env = self.env._replace(rounds=(*others, opened))

    def _lose_scheduler(self) -> None:
        self.record(EventRecord(self.name, EventKind.SCHEDULER_LOST, outcome="dropped"))
        self._feed(Disconnect(good_bye=False))
        self._leave()

    def _leave(self) -> None:
        """Nothing is sent or heard any more."""
        self.env = ClientEnv(pending=self.env.pending, rounds=self.env.rounds)

    def _note(self, kind: EventKind, task: bytes = b"") -> None:
        self.record(EventRecord(self.name, kind, task=task))

    def _say(self, message: Message) -> None:
        self.record(MessageRecord(self.name, self.name, SCHEDULER, message))
        self.send(self._party.peer, 0, Item(message))
