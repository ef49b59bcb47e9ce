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
    Addend,
    Ahead,
    Layout,
    PackedStep,
    PeerAhead,
    PeersAhead,
    State,
)
from rescind_conformance.explorer.payload_store import Store
from rescind_conformance.explorer.raw_party import RawParty
from rescind_conformance.explorer.rest import Rests
from rescind_conformance.explorer.scenario import RawPlan, Scenario, WorkerPlan
from rescind_conformance.explorer.scheduler_party import SchedulerEnv, SchedulerParty, Turned
from rescind_conformance.explorer.steps import SCHEDULER_NAME, Does, Effects, Item, Local, Step, StoreAction
from rescind_conformance.explorer.worker_party import WorkerParty
from rescind_conformance.judge.records import Violation


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
    appends: tuple[tuple[int, int, dict[int, int]], ...]
    """Where a peer stands in a packed state, the number of what is appended to its channel, and what that adds."""
    store: int
    found: int


class Outcome(NamedTuple):
    """What a turn of the scheduler does to others, whatever its judges say; as in `Reaction`."""

    appends: tuple[tuple[int, int, dict[int, int]], ...]
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
        self._choices: dict[int, list[tuple[int, int]]] = {}
        """What the scheduler may do by itself, as if it took something: under a number below 0, and that adds 0."""
        self._layout = Layout(len(self.configurations.parties))
        self._waiting, self._peers_mask = self._layout.waiting, self._layout.peers_mask
        self._scheduler_shift = self._layout.scheduler
        self._first_waiting = [self._layout.first_waiting(waiting) for waiting in range(self._layout.waiting + 2)]
        self._ahead: dict[int, PeerAhead] = {}
        self._peers_of: tuple[dict[int, PeersAhead], dict[int, PeersAhead]] = ({}, {})
        """By whether some is left out by a reduction, and by where the peers stand."""
        self._appended: dict[int, dict[int, int]] = {}
        """What it adds that a batch is appended, by the batch and by where its peer stands."""
        self._reactions: dict[int, dict[int, Reaction]] = {}
        """By the scheduler's state, and by what it takes."""
        self._outcomes: dict[Turned, Outcome] = {}
        self._taking_labels: dict[int, int] = {}
        self._stored: dict[tuple[int, int], tuple[int, int]] = {}
        self._rests = Rests(self.configurations, self.scheduler, self.scheduler_states, self.stores, self._judges)
        self._resting = self.labels.of(Step("", Does.RESTS))
        self.prelude: list[int] = []
        """The labels of what happens before the walk."""
        self.initial = self._begin()

    # The hot part

    def ahead(self, state: int, reduction: bool) -> Ahead:
        """What can happen next to a packed state, and whether nothing has to.

        With `reduction`, as much of it as has to be looked at (see `walk`). Not to be changed: it may be kept.
        """
        if reduction and (shift := self._first_waiting[state & self._waiting]):
            number = state >> shift & PEER
            peer = self._ahead.get(number) or self._look_at_peer(number)
            calm = state & CALM
            return peer.delivered[calm] or (self._stored_steps(state, peer.moves[calm]), False)
        peers_of = self._peers_of[reduction].get(state & self._peers_mask)
        if peers_of is None:
            peers_of = self._look_at_peers(state, reduction)
        known, moves, takes, rests, chooses = peers_of
        if not takes and not chooses and known is not None:
            return known, rests
        steps = self._stored_steps(state, moves) if known is None else known.copy()
        scheduler = state >> self._scheduler_shift
        reactions = self._reactions.get(scheduler)
        if reactions is None:
            reactions = self._reactions[scheduler] = {}
        if chooses:
            choices = self._choices.get(scheduler)
            if choices is None:
                choices = self._choices[scheduler] = self._choose(scheduler, reactions)
            if choices:
                takes = choices + takes
        for taking, taken in takes:
            label, more, appends, store, found = reactions.get(taking) or self._take(scheduler, taking)
            adds = taken + more
            if appends:
                after = state + adds
                for shift, batch, appended in appends:
                    number = after >> shift & PEER
                    adds += appended.get(number) or self._append(appended, number, batch)
            steps.append(self._with_store(state, label, adds, store, found) if store else (label, adds, found))
        return steps, rests

    def _append(self, known: dict[int, int], number: int, batch: int) -> int:
        after = self.configurations.append(number, batch)
        adds = known[number] = self._layout.between(self.configurations, number, after)
        return adds

    def _look_at_peer(self, number: int) -> PeerAhead:
        known = self._ahead[number] = PeerAhead(self.configurations, number, self._layout)
        return known

    def _look_at_peers(self, state: int, reduction: bool) -> PeersAhead:
        """What can happen next while the peers stand as in this state, wherever the scheduler is.

        With `reduction`, nothing is on its way to any of them.
        """
        calm = state & CALM
        numbers = [state >> shift & PEER for shift in self._layout.peers]
        peers = [self._ahead.get(number) or self._look_at_peer(number) for number in numbers]
        takes: list[tuple[int, int]] = []
        for peer in peers:
            if peer.takes:
                takes = takes + peer.takes if takes else peer.takes
        rests = not takes
        steps: list[PackedStep] | None = []
        moves: list[Addend] = []
        if not (reduction and takes and self._are_quiet(peers, calm)):
            for peer in peers:
                rests = rests and peer.idle
                if more := peer.moves[calm]:
                    at_once = peer.at_once[calm]
                    moves = moves + more if moves else more
                    steps = None if steps is None or at_once is None else steps + at_once if steps else at_once
        found = self._peers_of[reduction][state & self._peers_mask] = (steps, moves, takes, rests, not calm)
        return found

    def _are_quiet(self, peers: list[PeerAhead], calm: int) -> bool:
        for peer in peers:
            quiet = peer.quiet[calm]
            if not (self.configurations.quiet(peer.number, calm) if quiet is None else quiet):
                return False
        return True

    def _stored_steps(self, state: int, moves: list[Addend]) -> list[PackedStep]:
        return [
            self._with_store(state, label, adds, store, found) if store else (label, adds, found)
            for label, adds, store, found in moves
        ]

    def _with_store(self, state: int, label: int, adds: int, actions: int, found: int) -> PackedStep:
        """The step, when what it does to the store is done as well."""
        store = state >> self._layout.store & STORE
        more, wrong = self._stored.get((store, actions)) or self._store(store, actions)
        if wrong:
            found = self.findings.of(self.findings[found] + self.findings[wrong])
        return label, adds + more, found

    def goes_on(self, state: int) -> PackedStep | None:
        """What happens in a packed state in which nothing has to; None: nothing, it is an end.

        Peers send heartbeats for ever. That changes something only for one that the scheduler has taken as lost and
        that does not know it yet: all of these send their next one, once.
        """
        env = self.scheduler_states[state >> self._layout.scheduler].env
        assert isinstance(env, SchedulerEnv)
        if state & CALM or not env.lost:
            return None
        adds = 0
        for shift in self._layout.peers:
            number = state >> shift & PEER
            if self._rests.listens_as(number) in env.lost:
                adds += self._layout.between(self.configurations, number, self.configurations.beat(number))
        return (self._resting, adds + CALM, 0) if adds else None

    def wrong(self, state: int) -> tuple[Violation, ...]:
        """What is wrong with an end."""
        scheduler, store, _, *peers = self._layout.unpack(state)
        return self._rests.wrong(scheduler, store, peers)

    # The same, to be looked at

    def successors(self, state: State, reduction: bool) -> list[Successor]:
        """What can happen next to a state."""
        packed = self.pack(state)
        return [self._successor(packed, step) for step in self.ahead(packed, reduction)[0]]

    def is_at_rest(self, state: State) -> bool:
        """Whether nothing has to happen: no message is on its way, no task runs, nobody is to be noticed."""
        return all(self.configurations.moves(number).idle for number in state[FIRST:])

    def rest(self, state: State) -> Rest:
        """What becomes of a state that is at rest, if nothing more happens than what must: see `goes_on`."""
        packed = self.pack(state)
        step = self.goes_on(packed)
        return Rest(None, self.wrong(packed)) if step is None else Rest(self._successor(packed, step), ())

    def pack(self, state: State) -> int:
        """The state in one number."""
        known = self.configurations.known
        return self._layout.pack(state, [peer for peer, number in enumerate(state[FIRST:]) if known[number].down])

    def unpack(self, packed: int) -> State:
        """The state that is packed so."""
        return self._layout.unpack(packed)

    def _successor(self, packed: int, step: PackedStep) -> Successor:
        label, adds, found = step
        return Successor(label, self.unpack(packed + adds), found)

    # What is computed once

    def _choose(self, number: int, reactions: dict[int, Reaction]) -> list[tuple[int, int]]:
        local = self.scheduler_states[number]
        choices: list[tuple[int, int]] = []
        for step in self.scheduler.choices(local):
            turned = self.scheduler.act(local, step)
            if turned is not None:
                choices.append((-1 - len(choices), 0))
                reactions[choices[-1][0]] = self._reaction(number, self.labels.of(step), turned)
        return choices

    def _take(self, number: int, taking: int) -> Reaction:
        turned = self.scheduler.take(self.scheduler_states[number], self.configurations.takings[taking])
        label = self._taking_labels.get(taking)
        if label is None:
            step = self._taking_step(self.configurations.takings[taking])
            label = self._taking_labels[taking] = self.labels.of(step)
        known = self._reactions[number][taking] = self._reaction(number, label, turned)
        return known

    def _taking_step(self, taking: Taking) -> Step:
        peer, life, item = taking
        name = self.scheduler.names[peer][life]
        if item is None:
            return Step(SCHEDULER_NAME, Does.LOSES, peer=name)
        return Step(SCHEDULER_NAME, Does.RECEIVES, peer=name, message=item.message)

    def _reaction(self, number: int, label: int, turned: Turned) -> Reaction:
        outcome = self._outcomes.get(turned)
        if outcome is None:
            outcome = self._outcomes[turned] = self._outcome(turned.effects)
        local, found = self.scheduler.judge(self.scheduler_states[number], turned)
        adds = (self.scheduler_states.of(local) - number) << self._layout.scheduler
        wrong = self.findings.of(found + turned.effects.violations) if found else outcome.found
        return Reaction(label, adds, outcome.appends, outcome.store, wrong)

    def _outcome(self, effects: Effects) -> Outcome:
        batches: dict[int, list[tuple[int, Item]]] = {}
        for peer, life, item in effects.sends:
            batches.setdefault(peer, []).append((life, item))
        appends: list[tuple[int, int, dict[int, int]]] = []
        for peer, batch in sorted(batches.items()):
            appended = self.configurations.batches.of(tuple(batch))
            appends.append((self._layout.peers[peer], appended, self._appended.setdefault(appended, {})))
        return Outcome(tuple(appends), self._actions.of(effects.store), self.findings.of(effects.violations))

    def _store(self, store: int, actions: int) -> tuple[int, int]:
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
                    return self._judged(local, self.scheduler.take(local, self.configurations.takings[taking]))
        turned = self.scheduler.act(local, step)
        assert turned is not None
        return self._judged(local, turned)

    def _judged(self, local: Local, turned: Turned) -> Effects:
        effects = turned.effects
        return effects._replace(violations=self.scheduler.judge(local, turned)[1] + effects.violations)

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
