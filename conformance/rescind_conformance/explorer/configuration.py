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
        configuration = self.known[number]
        return self._run(configuration, step)[1]

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
        party = self.parties[configuration.peer]
        must: list[Move] = []
        may: list[Move] = []
        if configuration.down:
            must.append(self._move(configuration, self._delivery(configuration)))
        for step, has_to in party.choices(configuration.local):
            moved = party.act(configuration.local, step)
            if moved is not None:
                (must if has_to else may).append(self._move(configuration, step))
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

    def _delivery(self, configuration: Configuration) -> Step:
        party = self.parties[configuration.peer]
        name = party.life_name(party.life(configuration.local))
        message = configuration.down[0].message
        if message is None:
            return Step(name, Does.NOTICES)
        return Step(name, Does.RECEIVES, peer=SCHEDULER_NAME, message=message)

    def _move(self, configuration: Configuration, step: Step) -> Move:
        following, effects = self._run(configuration, step)
        return Move(
            self._labels.of(step),
            self.known.of(following),
            self._actions.of(effects.store),
            self._findings.of(effects.violations),
        )

    def _run(self, configuration: Configuration, step: Step) -> tuple[Configuration, Effects]:
        party = self.parties[configuration.peer]
        down = configuration.down
        if step.does in (Does.RECEIVES, Does.NOTICES):
            local, effects = party.receive(configuration.local, down[0])
            down = down[1:]
        else:
            moved = party.act(configuration.local, step)
            assert moved is not None
            local, effects = moved
        return self._after(configuration, local, effects, down), effects

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
