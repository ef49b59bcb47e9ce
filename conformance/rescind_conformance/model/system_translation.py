"""What a step of the explorer's system is in the model: read off the step, what it sent, and the machines after it."""

from __future__ import annotations

from collections.abc import Iterator

from rescind.client_machine import ClientMachine
from rescind.messages import ClientHeartbeat, Task, TaskCancel
from rescind.scheduler_machine import SchedulerMachine
from rescind.worker_machine import WorkerMachine
from rescind_conformance.explorer.configuration import Configuration, PeerParty
from rescind_conformance.explorer.counterexample import Told
from rescind_conformance.explorer.packed import FIRST, State
from rescind_conformance.explorer.raw_party import RawParty
from rescind_conformance.explorer.scenario import ClientPlan, Scenario, task_id
from rescind_conformance.explorer.steps import SCHEDULER_NAME, Does
from rescind_conformance.explorer.system import System
from rescind_conformance.explorer.worker_party import WorkerEnv, WorkerParty
from rescind_conformance.judge.records import EventKind, EventRecord
from rescind_conformance.model.system_values import (
    NOBODY,
    SCHEDULER_PARTY,
    ModelStep,
    NotInTheModel,
    Words,
    kind_of_cancel,
    moves,
    of_scheduler,
    with_after,
    words,
)


def submitted(scenario: Scenario) -> list[tuple[str, str]]:
    """The tasks that clients submit, and which clients."""
    pairs: list[tuple[str, str]] = []
    for number, plan in enumerate(scenario.clients, start=1):
        if isinstance(plan, ClientPlan):
            tasks = list(plan.submits)
        else:
            tasks = [each.task_id.decode() for each in plan.script if isinstance(each, Task)]
        pairs += [(task, f"C{number}") for task in tasks]
    return pairs


def name_of(task: str, owner: str) -> str:
    """A task as the model calls it: a name has the same owner in all runs."""
    return f"{owner}.{task}"


def names_of(scenario: Scenario) -> dict[bytes, str]:
    """The names of its tasks, by task id."""
    return {task_id(task): name_of(task, owner) for task, owner in submitted(scenario)}


class Translation:
    """One step, from one state to the next."""

    def __init__(self, system: System, before: State, after: State, told: Told, settled: dict[str, str]) -> None:
        self._system = system
        self._before = before
        self._after = after
        self._told = told
        self._step = told.step
        self._names = names_of(system.scenario)
        self._task = self._names.get(told.step.task, NOBODY)
        self._settled = settled
        self._got: tuple[Words, ...] = (
            (words(told.step.message, self._names),)
            if told.step.does is Does.RECEIVES and told.step.message is not None
            else ()
        )

    def steps(self) -> list[ModelStep]:
        if self._step.does is Does.RESTS:
            return list(self._of_rest())
        if self._step.actor == SCHEDULER_NAME:
            return with_after(self._of_scheduler(), SCHEDULER_PARTY, self._tasks())
        position = next(
            position
            for position in range(FIRST, len(self._before))
            if self._party(position).name == self._step.actor.partition(".")[0]
        )
        party = self._party(position)
        if isinstance(party, WorkerParty):
            who = party.life_name(self._env(self._before, position).life)
            return with_after(self._of_worker(who, position), who, self._assignments(position))
        return with_after([self._of_client()], self._step.actor, self._futures(party, position))

    # The scheduler

    def _of_scheduler(self) -> list[ModelStep]:
        step = self._step
        sent = [
            (each.receiver, words(each.message, self._names)) for each in self._told.sent if each.message is not None
        ]
        exits = any(each.message is None for each in self._told.sent)
        match step.does:
            case Does.RECEIVES:
                main = [ModelStep("Take", step.peer, got=self._got)]
            case Does.LOSES:
                main = [self._loss()]
            case Does.PRESUMES:
                main = [ModelStep("Fails", step.peer, word="silence")]
            case Does.REBALANCES:
                return moves(sent)
            case Does.CLOSES:
                main = [ModelStep("ShutDown")]
            case Does.GIVES_UP:
                main, exits = [ModelStep("GraceOver")], False
            case _:
                raise AssertionError(step)
        return of_scheduler(main, sent, exits)

    def _loss(self) -> ModelStep:
        """A peer that is dead is missed; in the model not before its last message has come, but by a failure."""
        peer = self._step.peer
        number, life = self._system.scheduler.peers[peer]
        machine = self._scheduler(self._before)
        if peer.encode() not in machine._clients and peer.encode() not in machine._workers:
            return ModelStep("MissesNobody", peer)
        on_their_way = self._system.configurations.known[self._before[FIRST + number]].ups[life]
        return ModelStep("Fails", peer, word="silence") if on_their_way else ModelStep("Miss", peer)

    def _tasks(self) -> Iterator[tuple[str, str, str]]:
        held = self._scheduler(self._after)._tasks
        for number, task in self._names.items():
            record = held.get(number)
            if record is None:
                yield task, "none", NOBODY
            else:
                yield task, record.state.value, record.worker.identity.decode() if record.worker else NOBODY

    # A client

    def _of_client(self) -> ModelStep:
        step = self._step
        who, up = step.actor, self._up()
        match step.does:
            case Does.RECEIVES:
                return ModelStep("ClientReads", who, got=self._got, up=up)
            case Does.NOTICES:
                return ModelStep("Notice", who, up=up)
            case Does.JOINS | Does.BEATS:
                return ModelStep("Fence", who, up=up)
            case Does.SUBMITS:
                return ModelStep("Submit", who, self._task, up=up)
            case Does.CANCELS:
                return ModelStep("Cancel", who, self._task, kind_of_cancel(step.force), up=up)
            case Does.SAYS:
                return self._said(who, up)
        word = {Does.LIMIT: "time limit", Does.DISCONNECTS: "departure", Does.DROPS: "death"}[step.does]
        return ModelStep("Fails", who, self._task, word, up=up)

    def _said(self, who: str, up: tuple[Words, ...]) -> ModelStep:
        match self._step.message:
            case Task(task):
                return ModelStep("Submit", who, self._names[task], up=up)
            case TaskCancel(task, force):
                return ModelStep("Intrude", who, self._names[task], kind_of_cancel(force), up=up)
            case ClientHeartbeat():
                return ModelStep("Fence", who, up=up)
            case message:
                raise NotInTheModel(f"{who} says {message!r}")

    def _futures(self, party: PeerParty, position: int) -> Iterator[tuple[str, str, str]]:
        if isinstance(party, RawParty):
            return
        for record in self._told.effects.records:
            if isinstance(record, EventRecord) and record.event is EventKind.SETTLED:
                self._settled[self._names[record.task]] = record.outcome
        machine = self._machine(self._after, position)
        assert isinstance(machine, ClientMachine)
        plan = self._system.scenario.clients[party.peer]
        assert isinstance(plan, ClientPlan)
        pending = {self._names[task]: state.value for task, state in machine._futures.items()}
        for submit in plan.submits:
            task = self._names[task_id(submit)]
            yield task, pending.get(task) or self._settled.get(task, "new"), NOBODY

    # A worker

    def _of_worker(self, who: str, position: int) -> list[ModelStep]:
        up = self._up()
        has_left = self._has_left(position)
        good_bye = tuple(message for message in up if has_left and message == ("WorkerDisconnectNotification",))
        steps = self._main_of_worker(who, position, tuple(message for message in up if message not in good_bye))
        for record in self._told.effects.records:
            if isinstance(record, EventRecord) and record.event is EventKind.STARTED:
                steps.append(ModelStep("Start", who, self._names[record.task]))
        if has_left:
            steps.append(ModelStep("Leave", who, up=good_bye))
        return steps

    def _main_of_worker(self, who: str, position: int, up: tuple[Words, ...]) -> list[ModelStep]:
        match self._step.does:
            case Does.RECEIVES:
                return [ModelStep("WorkerReads", who, got=self._got, up=up)]
            case Does.NOTICES:
                leaves = self._env(self._before, position).joined and not self._is_leaving(position)
                return [ModelStep("Notice" if leaves else "NoticesInVain", who, up=up)]
            case Does.JOINS:
                return [ModelStep("Join", who, up=up)]
            case Does.BEATS:
                return [ModelStep("Fence", who, up=up)]
            case Does.FINISHES:
                return [ModelStep("Finish", who, self._task, up=up)]
            case Does.FINISHES_LATE:
                return [ModelStep("FinishesLate", who, self._task, up=up)]
            case Does.ENDS:
                return [ModelStep("Ended", who, self._task, up=up)]
            case Does.DROPS:
                return [ModelStep("Fails", who, word="cut"), ModelStep("Notice", who, up=up)]
        word = {Does.CRASHES: "crash", Does.LEAVES: "departure", Does.DIES: "death"}[self._step.does]
        return [ModelStep("Fails", who, self._task, word, up=up)]

    def _is_leaving(self, position: int) -> bool:
        machine = self._machine(self._before, position)
        assert isinstance(machine, WorkerMachine)
        return machine._farewell is not None

    def _has_left(self, position: int) -> bool:
        before, after = self._env(self._before, position), self._env(self._after, position)
        is_over = after.life != before.life or not after.joined
        return before.joined and is_over and self._step.does is not Does.DIES

    def _assignments(self, position: int) -> Iterator[tuple[str, str, str]]:
        is_over = self._has_left(position) or self._step.does is Does.DIES
        machine = self._machine(self._after, position)
        assert isinstance(machine, WorkerMachine)
        held = {} if is_over else machine._assignments
        for number, task in self._names.items():
            yield task, held[number].state.value if number in held else "none", NOBODY

    # Everybody

    def _of_rest(self) -> Iterator[ModelStep]:
        """The next heartbeats, of those that do not know yet that they are lost."""
        for position in range(FIRST, len(self._before)):
            before, after = self._configuration(self._before, position), self._configuration(self._after, position)
            for life, (old, new) in enumerate(zip(before.ups, after.ups, strict=True)):
                sent = tuple(words(each.message, self._names) for each in new[len(old) :] if each.message is not None)
                if sent:
                    yield ModelStep("LearnOfLoss", self._party(position).life_name(life), up=sent)

    def _up(self) -> tuple[Words, ...]:
        return tuple(words(each.message, self._names) for each in self._told.sent if each.message is not None)

    def _configuration(self, state: State, position: int) -> Configuration:
        return self._system.configurations.known[state[position]]

    def _party(self, position: int) -> PeerParty:
        return self._system.configurations.parties[position - FIRST]

    def _env(self, state: State, position: int) -> WorkerEnv:
        env = self._configuration(state, position).local.env
        assert isinstance(env, WorkerEnv)
        return env

    def _machine(self, state: State, position: int) -> object:
        party = self._party(position)
        assert not isinstance(party, RawParty)
        return party.machines.thaw(self._configuration(state, position).local.machine)

    def _scheduler(self, state: State) -> SchedulerMachine:
        return self._system.scheduler.machines.thaw(self._system.scheduler_states[state[0]].machine)
