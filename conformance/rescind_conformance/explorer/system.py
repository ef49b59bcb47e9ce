"""A whole system, in which a state is a few small numbers and a step is a few look-ups.

The scheduler, the store and each peer (with its channels: `configuration`) have a number for what is known of them.
What each does next depends on nothing else, so that each step is computed once, by the machines, and is from then on
a look-up: a step of a peer leads from one configuration to another; a step of the scheduler takes something from one
configuration and appends something to others.

A state is the tuple (scheduler, store, calm, first peer, second peer, ...). `calm` is 1 when nothing more happens by
itself but what must; see `System.goes_on`. The walk has it packed into one number: see `packed`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from rescind.worker_machine import WorkerSettings
from rescind_conformance.explorer import payload_store
from rescind_conformance.explorer.cast import Bench, Cast, JudgeMemo, MachineMemo, bench
from rescind_conformance.explorer.client_party import ClientParty
from rescind_conformance.explorer.configuration import Configurations, PeerParty, Taking
from rescind_conformance.explorer.numbers import Numbers
from rescind_conformance.explorer.packed import (
    CALM,
    FIRST,
    MOST_CONFIGURATIONS,
    MOST_STORES,
    PEER,
    STORE,
    Ahead,
    Layout,
    PeersAhead,
    State,
)
from rescind_conformance.explorer.payload_store import Store
from rescind_conformance.explorer.raw_party import RawParty
from rescind_conformance.explorer.rest import Rests
from rescind_conformance.explorer.scenario import RawPlan, Scenario, WorkerPlan
from rescind_conformance.explorer.scheduler_party import SchedulerEnv, SchedulerParty
from rescind_conformance.explorer.steps import SCHEDULER_NAME, Does, Effects, Item, Local, Step, StoreAction
from rescind_conformance.explorer.worker_party import WorkerParty
from rescind_conformance.judge.records import Violation

PackedStep = tuple[int, int, int]
"""As `Successor`, and its state is packed."""


class Successor(NamedTuple):
    """A step from a state."""

    label: int
    state: State
    found: int
    """The number of what is wrong with the step; 0 for nothing."""


class Reaction(NamedTuple):
    """A step of the scheduler."""

    label: int
    adds: int
    """To the packed state, but for what it does to peers and to the store."""
    appends: tuple[tuple[int, int], ...]
    """Where a peer stands in a packed state, and the number of what is appended to its channel."""
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
        self.stores: Numbers[Store] = Numbers(most=MOST_STORES)
        self._actions: Numbers[tuple[StoreAction, ...]] = Numbers([()])
        self._judges = JudgeMemo()
        self.configurations = Configurations(
            _make_peers(scenario, cast, self._judges, judges),
            self.labels,
            self._actions,
            self.findings,
            MOST_CONFIGURATIONS,
        )
        self.scheduler = self._make_scheduler(scenario, cast, judges)
        self.scheduler_states: Numbers[Local] = Numbers()
        self._choices: dict[int, list[Reaction]] = {}
        self._layout = Layout(len(self.configurations.parties))
        self._shifts = self._layout.peers
        self._ahead: dict[int, Ahead] = {}
        self._peers_of: tuple[dict[int, PeersAhead], dict[int, PeersAhead]] = ({}, {})
        """By whether some is left out by a reduction, and by where the peers stand."""
        self._appended: dict[tuple[int, int], int] = {}
        self._reactions: dict[int, dict[int, Reaction]] = {}
        """By the scheduler's state, and by what it takes."""
        self._taking_labels: dict[int, int] = {}
        self._stored: dict[tuple[int, int], tuple[int, int]] = {}
        self._rests = Rests(self.configurations, self.scheduler, self.scheduler_states, self.stores, self._judges)
        self._resting = self.labels.of(Step("", Does.RESTS))
        self.prelude: list[int] = []
        """The labels of what happens before the walk."""
        self.initial = self._begin()

    # The hot part

    def ahead(self, state: int, reduction: bool) -> tuple[list[PackedStep], bool]:
        """What can happen next to a packed state, and whether nothing has to.

        With `reduction`, as much of it as has to be looked at (see `walk`).
        """
        peers_of = self._peers_of[reduction].get(state & self._layout.peers_mask)
        if peers_of is None:
            peers_of = self._look_at_peers(state, reduction)
        moves, takes, rests, chooses = peers_of
        steps: list[PackedStep] = [
            self._with_store(label, state + adds, store, found) if store else (label, state + adds, found)
            for label, adds, store, found in moves
        ]
        if chooses or takes:
            scheduler = state >> self._layout.scheduler
            if chooses:
                choices = self._choices.get(scheduler)
                if choices is None:
                    choices = self._choices[scheduler] = self._choose(scheduler)
                for reaction in choices:
                    steps.append(self._reacted(state, reaction))
            if takes:
                reactions = self._reactions.get(scheduler)
                if reactions is None:
                    reactions = self._reactions[scheduler] = {}
                for taking, adds in takes:
                    reaction = reactions.get(taking) or self._take(scheduler, taking)
                    steps.append(self._reacted(state + adds, reaction))
        return steps, rests

    def _look_at_peers(self, state: int, reduction: bool) -> PeersAhead:
        """What can happen next while the peers stand as in this state, wherever the scheduler is."""
        known, calm = self._ahead, state & CALM
        peers: list[Ahead] = []
        found: PeersAhead | None = None
        for shift in self._shifts:
            number = state >> shift & PEER
            peer = known.get(number)
            if peer is None:
                peer = known[number] = Ahead(self.configurations, number, shift)
            if reduction and peer.delivers:
                found = PeersAhead(peer.must if calm else peer.all, [], False, False)
                break
            peers.append(peer)
        if found is None:
            takes = [take for peer in peers for take in peer.takes]
            quiet = reduction and takes and self._are_quiet(peers, calm)
            moves = [] if quiet else [move for peer in peers for move in (peer.must if calm else peer.all)]
            found = PeersAhead(moves, takes, all(peer.idle for peer in peers), not calm)
        self._peers_of[reduction][state & self._layout.peers_mask] = found
        return found

    def _are_quiet(self, peers: list[Ahead], calm: int) -> bool:
        for peer in peers:
            quiet = peer.quiet[calm]
            if not (self.configurations.quiet(peer.number, calm) if quiet is None else quiet):
                return False
        return True

    def _reacted(self, state: int, reaction: Reaction) -> PackedStep:
        label, adds, appends, store, found = reaction
        appended = self._appended
        for shift, batch in appends:
            number = state >> shift & PEER
            farther = appended.get((number, batch))
            if farther is None:
                farther = (self.configurations.append(number, batch) - number) << shift
                appended[number, batch] = farther
            adds += farther
        return self._with_store(label, state + adds, store, found) if store else (label, state + adds, found)

    def _with_store(self, label: int, state: int, actions: int, found: int) -> PackedStep:
        """The step, when what it does to the store is done as well."""
        adds, wrong = self._store(state >> self._layout.store & STORE, actions)
        if wrong:
            found = self.findings.of(self.findings[found] + self.findings[wrong])
        return label, state + adds, found

    def goes_on(self, state: int) -> PackedStep | None:
        """What happens in a packed state in which nothing has to; None: nothing, it is an end.

        Peers send heartbeats for ever. That changes something only for one that the scheduler has taken as lost and
        that does not know it yet: all of these send their next one, once.
        """
        env = self.scheduler_states[state >> self._layout.scheduler].env
        assert isinstance(env, SchedulerEnv)
        if state & CALM or not env.lost:
            return None
        after = state
        for shift in self._shifts:
            number = state >> shift & PEER
            if self._rests.listens_as(number) in env.lost:
                after += (self.configurations.beat(number) - number) << shift
        return None if after == state else (self._resting, after | CALM, 0)

    def wrong(self, state: int) -> tuple[Violation, ...]:
        """What is wrong with an end."""
        scheduler, store, _, *peers = self._layout.unpack(state)
        return self._rests.wrong(scheduler, store, peers)

    # The same, to be looked at

    def successors(self, state: State, reduction: bool) -> list[Successor]:
        """What can happen next to a state."""
        steps, _ = self.ahead(self.pack(state), reduction)
        return [self._unpacked(step) for step in steps]

    def is_at_rest(self, state: State) -> bool:
        """Whether nothing has to happen: no message is on its way, no task runs, nobody is to be noticed."""
        return all(self.configurations.moves(number).idle for number in state[FIRST:])

    def rest(self, state: State) -> Rest:
        """What becomes of a state that is at rest, if nothing more happens than what must: see `goes_on`."""
        packed = self.pack(state)
        step = self.goes_on(packed)
        return Rest(None, self.wrong(packed)) if step is None else Rest(self._unpacked(step), ())

    def pack(self, state: State) -> int:
        """The state in one number."""
        return self._layout.pack(state)

    def unpack(self, packed: int) -> State:
        """The state that is packed so."""
        return self._layout.unpack(packed)

    def _unpacked(self, step: PackedStep) -> Successor:
        label, after, found = step
        return Successor(label, self.unpack(after), found)

    # What is computed once

    def _choose(self, number: int) -> list[Reaction]:
        local = self.scheduler_states[number]
        reactions = []
        for step in self.scheduler.choices(local):
            acted = self.scheduler.act(local, step)
            if acted is not None:
                reactions.append(self._reaction(number, self.labels.of(step), *acted))
        return reactions

    def _take(self, number: int, taking: int) -> Reaction:
        local, effects = self._taken(self.scheduler_states[number], self.configurations.takings[taking])
        label = self._taking_labels.get(taking)
        if label is None:
            step = self._taking_step(self.configurations.takings[taking])
            label = self._taking_labels[taking] = self.labels.of(step)
        known = self._reactions[number][taking] = self._reaction(number, label, local, effects)
        return known

    def _taken(self, local: Local, taking: Taking) -> tuple[Local, Effects]:
        peer, life, item = taking
        if item is None:
            return self.scheduler.notice(local, peer, life)
        return self.scheduler.receive(local, peer, life, item)

    def _taking_step(self, taking: Taking) -> Step:
        peer, life, item = taking
        name = self.scheduler.names[peer][life]
        if item is None:
            return Step(SCHEDULER_NAME, Does.LOSES, peer=name)
        return Step(SCHEDULER_NAME, Does.RECEIVES, peer=name, message=item.message)

    def _reaction(self, number: int, label: int, local: Local, effects: Effects) -> Reaction:
        batches: dict[int, list[tuple[int, Item]]] = {}
        for peer, life, item in effects.sends:
            batches.setdefault(peer, []).append((life, item))
        appends = [
            (self._shifts[peer], self.configurations.batches.of(tuple(batch)))
            for peer, batch in sorted(batches.items())
        ]
        return Reaction(
            label,
            (self.scheduler_states.of(local) - number) << self._layout.scheduler,
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
            adds = (self.stores.of(current) - store) << self._layout.store
            known = self._stored[store, actions] = (adds, self.findings.of(tuple(wrong)))
        return known

    # The beginning

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
                if self._taking_step(self.configurations.takings[taking]) == step:
                    return self._taken(local, self.configurations.takings[taking])[1]
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
