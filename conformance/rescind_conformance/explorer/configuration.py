"""A peer together with its channels, and what can happen to it next; each computed once and kept under a number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rescind_conformance.explorer.client_party import ClientParty
from rescind_conformance.explorer.numbers import Numbers
from rescind_conformance.explorer.raw_party import RawParty
from rescind_conformance.explorer.steps import SCHEDULER_NAME, Does, Effects, Item, Local, Step, StoreAction
from rescind_conformance.explorer.worker_party import WorkerParty
from rescind_conformance.judge.records import Violation

PeerParty = ClientParty | RawParty | WorkerParty


class Configuration(NamedTuple):
    """A peer and its channels."""

    peer: int
    local: Local
    down: tuple[Item, ...] = ()
    """From the scheduler; what was sent to an earlier life of the peer is not in it."""
    ups: tuple[tuple[Item, ...], ...] = ((),)
    """To the scheduler, for each life."""
    heard: tuple[int, ...] = ()
    """Lives from which the scheduler has taken something: only those can fall silent for it."""
    silences: tuple[int, ...] = ()
    """Lives that have ended without a word, which the scheduler has not noticed yet."""
    cut: bool = False
    """The scheduler has exited."""


class Taking(NamedTuple):
    """What the scheduler can take from a peer: the first message of a channel, or (None) notice of its silence."""

    peer: int
    life: int
    item: Item | None


Batch = tuple[tuple[int, Item], ...]
"""What the scheduler sends to one peer in one step, with the life that it is for (-1: whichever)."""


class Move(NamedTuple):
    """A step of a peer."""

    label: int
    leads_to: int
    store: int
    """The number of what it does to the store; 0 for nothing."""
    found: int
    """The number of the violations; 0 for none."""


class _Act(NamedTuple):
    """What a peer does, whatever is in its channels."""

    label: int
    has_to: bool
    """Sooner or later."""
    local: Local
    effects: Effects
    store: int
    found: int
    """Both as in `Move`."""


class Moves:
    """What can happen next to a configuration."""

    __slots__ = ("delivers", "idle", "may", "must", "offers", "quiet")

    def __init__(self, must: list[Move], may: list[Move], offers: list[tuple[int, int]], *, delivers: bool) -> None:
        self.must = must
        """Steps that the peer must take sooner or later; to handle what has come first is the first of them."""
        self.may = may
        self.offers = offers
        """For the scheduler: the number of what it takes, and the configuration without it."""
        self.delivers = delivers
        """Something is in the channel to the peer."""
        self.idle = not must and not offers
        """Nothing has to happen."""
        self.quiet: list[bool | None] = [None, None]
        """Whether the peer can give the scheduler no step that it has not now; by `calm`."""


class Configurations:
    """Every configuration that was met. Not thread-safe."""

    def __init__(
        self,
        parties: Sequence[PeerParty],
        labels: Numbers[Step],
        actions: Numbers[tuple[StoreAction, ...]],
        findings: Numbers[tuple[Violation, ...]],
        most: int,
    ) -> None:
        """`most`: there is room for so many; one more raises `OverflowError`."""
        self.parties = parties
        self.known: Numbers[Configuration] = Numbers(most=most)
        self.takings: Numbers[Taking] = Numbers()
        self.batches: Numbers[Batch] = Numbers()
        self._labels = labels
        self._actions = actions
        self._findings = findings
        self._moves: dict[int, Moves] = {}
        self._acts: dict[tuple[int, Local], list[_Act]] = {}
        """What a peer can do by itself."""
        self._receipts: dict[tuple[int, Local, Item], _Act] = {}
        self._appended: dict[tuple[int, int], int] = {}

    def initial(self) -> list[int]:
        """The configurations of all peers at the beginning."""
        return [self.known.of(Configuration(peer, party.start)) for peer, party in enumerate(self.parties)]

    def moves(self, number: int) -> Moves:
        """What can happen next."""
        known = self._moves.get(number)
        if known is None:
            known = self._moves[number] = self._compute(self.known[number])
        return known

    def append(self, number: int, batch: int) -> int:
        """The configuration after the scheduler has sent something."""
        known = self._appended.get((number, batch))
        if known is None:
            known = self._appended[number, batch] = self.known.of(
                self._with_batch(self.known[number], self.batches[batch])
            )
        return known

    def beat(self, number: int) -> int:
        """The configuration after the peer's next heartbeat (the same where it sends none)."""
        configuration = self.known[number]
        local, effects = self.parties[configuration.peer].beat(configuration.local)
        return self.known.of(self._after(configuration, local, effects, configuration.down))

    def explain(self, number: int, step: Step) -> Effects:
        """What a step does, in full."""
        peer, local, down = self.known[number][:3]
        if step.does in (Does.RECEIVES, Does.NOTICES):
            return self.parties[peer].receive(local, down[0])[1]
        moved = self.parties[peer].act(local, step)
        assert moved is not None
        return moved[1]

    def quiet(self, number: int, calm: int) -> bool:
        """See `Moves.quiet`; for a configuration with nothing in the channel to the peer."""
        moves = self.moves(number)
        known = moves.quiet[calm]
        if known is None:
            offered = [taking for taking, _ in moves.offers]
            known = moves.quiet[calm] = all(
                [taking for taking, _ in self.moves(each.leads_to).offers] == offered
                and self.quiet(each.leads_to, calm)
                for each in (moves.must if calm else moves.must + moves.may)
            )
        return known

    def _compute(self, configuration: Configuration) -> Moves:
        must: list[Move] = []
        may: list[Move] = []
        down = configuration.down
        if down:
            must.append(
                self._move(configuration, self._receipt(configuration.peer, configuration.local, down[0]), down[1:])
            )
        for act in self._acts_of(configuration.peer, configuration.local):
            (must if act.has_to else may).append(self._move(configuration, act, down))
        offers = [
            (
                self.takings.of(Taking(configuration.peer, life, up[0])),
                self.known.of(_without_first(configuration, life)),
            )
            for life, up in enumerate(configuration.ups)
            if up
        ]
        for life in sorted({*configuration.silences} & {*configuration.heard}):
            others = tuple(each for each in configuration.silences if each != life)
            left = self.known.of(configuration._replace(silences=others))
            offers.append((self.takings.of(Taking(configuration.peer, life, None)), left))
        return Moves(must, may, offers, delivers=bool(configuration.down))

    def _acts_of(self, peer: int, local: Local) -> list[_Act]:
        known = self._acts.get((peer, local))
        if known is None:
            party = self.parties[peer]
            known = self._acts[peer, local] = [
                self._act(step, has_to, *moved)
                for step, has_to in party.choices(local)
                if (moved := party.act(local, step)) is not None
            ]
        return known

    def _receipt(self, peer: int, local: Local, item: Item) -> _Act:
        """It takes what has come."""
        known = self._receipts.get((peer, local, item))
        if known is None:
            party = self.parties[peer]
            name = party.life_name(party.life(local))
            if item.message is None:
                step = Step(name, Does.NOTICES)
            else:
                step = Step(name, Does.RECEIVES, peer=SCHEDULER_NAME, message=item.message)
            known = self._receipts[peer, local, item] = self._act(step, True, *party.receive(local, item))
        return known

    def _act(self, step: Step, has_to: bool, local: Local, effects: Effects) -> _Act:
        store, found = self._actions.of(effects.store), self._findings.of(effects.violations)
        return _Act(self._labels.of(step), has_to, local, effects, store, found)

    def _move(self, configuration: Configuration, act: _Act, down: tuple[Item, ...]) -> Move:
        following = self._after(configuration, act.local, act.effects, down)
        return Move(act.label, self.known.of(following), act.store, act.found)

    def _after(
        self, configuration: Configuration, local: Local, effects: Effects, down: tuple[Item, ...]
    ) -> Configuration:
        party = self.parties[configuration.peer]
        former, life = party.life(configuration.local), party.life(local)
        if life != former or not party.listens(local):
            down = ()
        silences = configuration.silences
        ups = list(configuration.ups)
        ups += [()] * (life + 1 - len(ups))
        if not configuration.cut:
            for _, sender, item in effects.sends:
                ups[sender] = (*ups[sender], item)
            if effects.silent:
                silences = (*silences, former)
        return configuration._replace(local=local, down=down, ups=tuple(ups), silences=silences)

    def _with_batch(self, configuration: Configuration, batch: Batch) -> Configuration:
        party = self.parties[configuration.peer]
        life = party.life(configuration.local)
        listens = party.listens(configuration.local)
        for to, item in batch:
            if item.message is None:
                ups = ((),) * len(configuration.ups)
                configuration = configuration._replace(ups=ups, silences=(), cut=True)
            if listens and to in (life, -1):
                configuration = configuration._replace(down=(*configuration.down, item))
        return configuration


def _without_first(configuration: Configuration, life: int) -> Configuration:
    ups = list(configuration.ups)
    ups[life] = ups[life][1:]
    return configuration._replace(ups=tuple(ups), heard=tuple(sorted({*configuration.heard, life})))
