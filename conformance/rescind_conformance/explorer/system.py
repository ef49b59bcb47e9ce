"""A whole system, in which a state is a few small numbers and a step is a few look-ups.

The scheduler, the store and each peer (with its channels: `configuration`) have a number for what is known of them.
What each does next depends on nothing else, so that each step is computed once, by the machines, and is from then on
a look-up: a step of a peer leads from one configuration to another; a step of the scheduler takes something from one
configuration and appends something to others.

A state is the tuple (scheduler, store, calm, first peer, second peer, ...). `calm` is 1 when nothing more happens by
itself but what must; see `System.rest`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from rescind.worker_machine import WorkerSettings
from rescind_conformance.explorer import payload_store
from rescind_conformance.explorer.cast import Bench, Cast, JudgeMemo, MachineMemo, bench
from rescind_conformance.explorer.client_party import ClientParty
from rescind_conformance.explorer.configuration import Configuration, Configurations, Moves, PeerParty, Taking
from rescind_conformance.explorer.numbers import Numbers
from rescind_conformance.explorer.payload_store import Store
from rescind_conformance.explorer.raw_party import RawParty
from rescind_conformance.explorer.scenario import RawPlan, Scenario, WorkerPlan
from rescind_conformance.explorer.scheduler_party import SchedulerEnv, SchedulerParty
from rescind_conformance.explorer.steps import SCHEDULER_NAME, Does, Effects, Item, Local, Step, StoreAction
from rescind_conformance.explorer.worker_party import WorkerParty
from rescind_conformance.judge.records import Violation

State = tuple[int, ...]
FIRST = 3
"""Where the first peer stands in a state."""


class Successor(NamedTuple):
    """A step from a state."""

    label: int
    state: State
    found: int
    """The number of what is wrong with the step; 0 for nothing."""


class Reaction(NamedTuple):
    """A step of the scheduler."""

    label: int
    leads_to: int
    appends: tuple[tuple[int, int], ...]
    """Where a peer stands in a state, and the number of what is appended to its channel."""
    store: int
    found: int


class Rest(NamedTuple):
    """What becomes of a state in which nothing has to happen."""

    goes_on: Successor | None
    """Not everybody knows what has happened: the next heartbeats tell."""
    found: tuple[Violation, ...]
    """What is wrong, where it does not go on."""


class System:
    """A scenario, played by a cast. Not thread-safe."""

    def __init__(self, scenario: Scenario, cast: Cast | None = None, judges: Bench | None = None) -> None:
        """`cast` is the reference and `judges` those of SPEC.md, unless others are given."""
        self.scenario = scenario
        cast = cast or Cast()
        judges = bench(scenario.names) if judges is None else judges
        self.labels: Numbers[Step] = Numbers()
        self.findings: Numbers[tuple[Violation, ...]] = Numbers([()])
        self.stores: Numbers[Store] = Numbers()
        self._actions: Numbers[tuple[StoreAction, ...]] = Numbers([()])
        self._judges = JudgeMemo()
        self.configurations = Configurations(
            _make_peers(scenario, cast, self._judges, judges), self.labels, self._actions, self.findings
        )
        self.scheduler = self._make_scheduler(scenario, cast, judges)
        self.scheduler_states: Numbers[Local] = Numbers()
        self._choices: dict[int, list[Reaction]] = {}
        self._reactions: dict[tuple[int, int], Reaction] = {}
        self._stored: dict[tuple[int, int], tuple[int, int]] = {}
        self._scheduler_rests: dict[tuple[int, bool], list[Violation]] = {}
        self._peer_rests: dict[tuple[int, bool], list[Violation]] = {}
        self.prelude: list[int] = []
        """The labels of what happens before the walk."""
        self.initial = self._begin()

    # The hot part

    def successors(self, state: State, reduction: bool) -> list[Successor]:
        """What can happen next; with `reduction`, as much of it as has to be looked at (see `walk`)."""
        moves_of = self.configurations.moves
        calm = state[2]
        everything: list[tuple[int, Moves]] = []
        for position in range(FIRST, len(state)):
            moves = moves_of(state[position])
            if reduction and moves.delivers:
                return self._of_peers(state, [(position, moves)])
            everything.append((position, moves))
        steps = self._of_scheduler(state, everything)
        if reduction and any(moves.offers for _, moves in everything):
            quiet = self.configurations.quiet
            if all(quiet(state[position], calm) for position, _ in everything):
                return steps
        return self._of_peers(state, everything) + steps

    def _of_peers(self, state: State, peers: list[tuple[int, Moves]]) -> list[Successor]:
        found_all: list[Successor] = []
        calm = state[2]
        for position, moves in peers:
            for label, leads_to, store, found in moves.must if calm else moves.must + moves.may:
                after = list(state)
                after[position] = leads_to
                if store:
                    after[1], wrong = self._store(state[1], store)
                    if wrong:
                        found = self._both(found, wrong)  # noqa: PLW2901
                found_all.append(Successor(label, tuple(after), found))
        return found_all

    def _of_scheduler(self, state: State, peers: list[tuple[int, Moves]]) -> list[Successor]:
        steps: list[Successor] = []
        number = state[0]
        reactions = self._reactions
        if not state[2]:
            choices = self._choices.get(number)
            if choices is None:
                choices = self._choices[number] = self._choose(number)
            for reaction in choices:
                steps.append(self._react(state, list(state), reaction))
        for position, moves in peers:
            for taking, left in moves.offers:
                reaction = reactions.get((number, taking)) or self._take(number, taking)
                after = list(state)
                after[position] = left
                steps.append(self._react(state, after, reaction))
        return steps

    def _react(self, state: State, after: list[int], reaction: Reaction) -> Successor:
        label, leads_to, appends, store, found = reaction
        after[0] = leads_to
        for position, batch in appends:
            after[position] = self.configurations.append(after[position], batch)
        if store:
            after[1], wrong = self._store(state[1], store)
            if wrong:
                found = self._both(found, wrong)
        return Successor(label, tuple(after), found)

    # What is computed once

    def _choose(self, number: int) -> list[Reaction]:
        local = self.scheduler_states[number]
        reactions = []
        for step in self.scheduler.choices(local):
            acted = self.scheduler.act(local, step)
            if acted is not None:
                reactions.append(self._reaction(step, *acted))
        return reactions

    def _take(self, number: int, taking: int) -> Reaction:
        step, local, effects = self._taken(self.scheduler_states[number], self.configurations.takings[taking])
        known = self._reactions[number, taking] = self._reaction(step, local, effects)
        return known

    def _taken(self, local: Local, taking: Taking) -> tuple[Step, Local, Effects]:
        peer, life, item = taking
        name = self.scheduler.names[peer][life]
        if item is None:
            return Step(SCHEDULER_NAME, Does.LOSES, peer=name), *self.scheduler.notice(local, peer, life)
        step = Step(SCHEDULER_NAME, Does.RECEIVES, peer=name, message=item.message)
        return step, *self.scheduler.receive(local, peer, life, item)

    def _reaction(self, step: Step, local: Local, effects: Effects) -> Reaction:
        batches: dict[int, list[tuple[int, Item]]] = {}
        for peer, life, item in effects.sends:
            batches.setdefault(peer, []).append((life, item))
        appends = [
            (FIRST + peer, self.configurations.batches.of(tuple(batch))) for peer, batch in sorted(batches.items())
        ]
        return Reaction(
            self.labels.of(step),
            self.scheduler_states.of(local),
            tuple(appends),
            self._actions.of(effects.store),
            self.findings.of(effects.violations),
        )

    def _store(self, store: int, actions: int) -> tuple[int, int]:
        known = self._stored.get((store, actions))
        if known is None:
            current, wrong = self.stores[store], []
            for action in self._actions[actions]:
                current, violation = payload_store.act(current, action)
                wrong += [violation] if violation is not None else []
            known = self._stored[store, actions] = (self.stores.of(current), self.findings.of(tuple(wrong)))
        return known

    def _both(self, found: int, wrong: int) -> int:
        return self.findings.of(self.findings[found] + self.findings[wrong])

    # The beginning and the end

    def is_at_rest(self, state: State) -> bool:
        """Whether nothing has to happen: no message is on its way, no task runs, nobody is to be noticed."""
        return all(self.configurations.moves(number).idle for number in state[FIRST:])

    def rest(self, state: State) -> Rest:
        """What becomes of a state that is at rest, if nothing more happens than what must.

        Peers send heartbeats for ever. That changes something only for one that the scheduler has taken as lost and
        that does not know it yet: all of these send their next one, once. Otherwise this is an end.
        """
        if not state[2]:
            lost = self._env(state).lost
            beating = [
                position
                for position in range(FIRST, len(state))
                if self._listens_as(state[position]) in lost
                and self.configurations.beat(state[position]) != state[position]
            ]
            if beating:
                after = list(state)
                after[2] = 1
                for position in beating:
                    after[position] = self.configurations.beat(state[position])
                return Rest(Successor(self.labels.of(Step("", Does.RESTS)), tuple(after), 0), ())
        return Rest(None, tuple(self._wrong_at_rest(state)))

    def _env(self, state: State) -> SchedulerEnv:
        env = self.scheduler_states[state[0]].env
        assert isinstance(env, SchedulerEnv)
        return env

    def _listens(self, configuration: Configuration) -> bool:
        return self.configurations.parties[configuration.peer].listens(configuration.local)

    def _listens_as(self, number: int) -> tuple[int, int] | None:
        configuration = self.configurations.known[number]
        life = self.configurations.parties[configuration.peer].life(configuration.local)
        return (configuration.peer, life) if self._listens(configuration) else None

    def _wrong_at_rest(self, state: State) -> list[Violation]:
        """Of an end. While a task runs for ever, or nobody can run one, others may wait; but nobody for an answer."""
        peers = [self.configurations.known[number] for number in state[FIRST:]]
        there = {self.configurations.parties[each.peer].name.encode() for each in peers if self._listens(each)}
        wrong: list[Violation] = []
        busy = self.scheduler.holds_what_nobody_runs(self.scheduler_states[state[0]])
        for each in peers:
            party = self.configurations.parties[each.peer]
            for task in party.runs(each.local) if isinstance(party, WorkerParty) else ():
                busy = True
                if task.source not in there:
                    wrong.append(Violation("S9.7", f"{party.name} runs {task.task_id.decode()}, whose owner has left"))
        wrong += self._wrong_with_scheduler(state[0], busy)
        for number in state[FIRST:]:
            wrong += self._wrong_with_peer(number, busy)
        return wrong + payload_store.left(self.stores[state[1]])

    def _wrong_with_scheduler(self, number: int, busy: bool) -> list[Violation]:
        known = self._scheduler_rests.get((number, busy))
        if known is None:
            local = self.scheduler_states[number]
            known = [*self._judges.rest(local.judge), *(() if busy else self.scheduler.at_rest(local))]
            self._scheduler_rests[number, busy] = known
        return known

    def _wrong_with_peer(self, number: int, busy: bool) -> list[Violation]:
        known = self._peer_rests.get((number, busy))
        if known is None:
            peer, local = self.configurations.known[number][:2]
            known = list(self._judges.rest(local.judge)) if local.judge >= 0 else []
            known += self.configurations.parties[peer].at_rest(local, busy)
            self._peer_rests[number, busy] = known
        return known

    def _begin(self) -> State:
        start = self.scheduler_states.of(self.scheduler.start)
        state: State = (start, self.stores.of(Store()), 0, *self.configurations.initial())
        plans = [*self.scenario.clients, *self.scenario.workers]
        for party, plan in zip(self.configurations.parties, plans, strict=True):
            if self.scenario.introduced and not getattr(plan, "comes", isinstance(plan, RawPlan)):
                state = self._introduce(state, party.name)
        return state

    def _introduce(self, state: State, name: str) -> State:
        """One peer joins, and what follows from that happens."""
        while True:
            for step in self.successors(state, False):
                label = self.labels[step.label]
                delivers = label.does is Does.RECEIVES
                if delivers or (label.does is Does.JOINS and label.actor == name):
                    self.prelude.append(step.label)
                    state = step.state
                    break
            else:
                return state

    def follow(self, state: State, label: int) -> Successor | None:
        """The step with this label, whatever a reduction would say; None where it cannot happen."""
        if self.labels[label].does is Does.RESTS:
            return self.rest(state).goes_on if self.is_at_rest(state) else None
        return next((each for each in self.successors(state, False) if each.label == label), None)

    def effects(self, state: State, label: int) -> Effects:
        """What a step from a state does, in full."""
        step = self.labels[label]
        local = self.scheduler_states[state[0]]
        if step.does is Does.RESTS:
            return Effects((), (), (), ())
        if step.actor != SCHEDULER_NAME:
            for number in state[FIRST:]:
                party = self.configurations.parties[self.configurations.known[number].peer]
                if step.actor.partition(".")[0] == party.name:
                    return self.configurations.explain(number, step)
        for number in state[FIRST:]:
            for taking, _ in self.configurations.moves(number).offers:
                taken, _, effects = self._taken(local, self.configurations.takings[taking])
                if taken == step:
                    return effects
        acted = self.scheduler.act(local, step)
        assert acted is not None
        return acted[1]

    def _make_scheduler(self, scenario: Scenario, cast: Cast, judges: Bench) -> SchedulerParty:
        plans: list[Any] = [*scenario.clients, *scenario.workers]
        names = [
            [party.life_name(life) for life in range(getattr(plan, "lives", 1))]
            for party, plan in zip(self.configurations.parties, plans, strict=True)
        ]
        return SchedulerParty(
            scenario.scheduler,
            names,
            [getattr(plan, "queue_size", 0) for plan in plans],
            cast.scheduler(scenario.scheduler.settings),
            MachineMemo(),
            self._judges,
            judges.scheduler,
        )


def _make_peers(scenario: Scenario, cast: Cast, memo: JudgeMemo, judges: Bench) -> list[PeerParty]:
    clients: MachineMemo[Any] = MachineMemo()
    workers: MachineMemo[Any] = MachineMemo()
    peers: list[PeerParty] = []
    for number, client in enumerate(scenario.clients, start=1):
        if isinstance(client, RawPlan):
            peers.append(RawParty(len(peers), f"C{number}", client))
        else:
            made = cast.client()
            peers.append(ClientParty(len(peers), f"C{number}", client, made, clients, memo, judges.client))
    for number, worker in enumerate(scenario.workers, start=1):
        machine = cast.worker(_settings(worker))
        peers.append(WorkerParty(len(peers), f"W{number}", worker, machine, workers, memo, judges.worker))
    return peers


def _settings(plan: WorkerPlan) -> WorkerSettings:
    return WorkerSettings(processes=plan.processes, queue_size=plan.queue_size)
