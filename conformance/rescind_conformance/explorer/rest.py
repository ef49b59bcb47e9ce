"""Where nothing happens any more: what is wrong there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rescind_conformance.explorer import payload_store
from rescind_conformance.explorer.cast import JudgeMemo
from rescind_conformance.explorer.configuration import Configurations
from rescind_conformance.explorer.numbers import Numbers
from rescind_conformance.explorer.payload_store import Store
from rescind_conformance.explorer.scheduler_party import SchedulerParty
from rescind_conformance.explorer.steps import Local
from rescind_conformance.explorer.worker_party import WorkerParty
from rescind_conformance.judge.records import Violation


class Resting(NamedTuple):
    """A peer to which nothing has to happen."""

    listens_as: tuple[int, int] | None
    """As whom the scheduler knows it, by its number and life, if it can be told something."""
    name: bytes
    runs: tuple[tuple[bytes, bytes], ...]
    """What it runs, and may run for ever: the tasks and their owners."""


class Rests:
    """What is found at the ends of orders, each part of it once. Not thread-safe."""

    def __init__(
        self,
        configurations: Configurations,
        scheduler: SchedulerParty,
        scheduler_states: Numbers[Local],
        stores: Numbers[Store],
        judges: JudgeMemo,
    ) -> None:
        self._configurations = configurations
        self._scheduler = scheduler
        self._scheduler_states = scheduler_states
        self._stores = stores
        self._judges = judges
        self._resting: dict[int, Resting] = {}
        self._waits: dict[int, bool] = {}
        self._of_scheduler: dict[tuple[int, bool], tuple[Violation, ...]] = {}
        self._of_peer: dict[tuple[int, bool], tuple[Violation, ...]] = {}
        self._of_store: dict[int, tuple[Violation, ...]] = {}

    def listens_as(self, number: int) -> tuple[int, int] | None:
        """See `Resting`; of the peer in this configuration."""
        return self._rest_of(number).listens_as

    def wrong(self, scheduler: int, store: int, peers: Sequence[int]) -> tuple[Violation, ...]:
        """What is wrong with an end. While a task runs for ever, or nobody can run one, others may wait; but nobody for
        an answer.
        """
        resting = [self._rest_of(number) for number in peers]
        wrong: list[Violation] = []
        busy = self._scheduler_waits(scheduler)
        for each in resting:
            for task, owner in each.runs:
                busy = True
                if not any(other.listens_as is not None and other.name == owner for other in resting):
                    text = f"{each.name.decode()} runs {task.decode()}, whose owner has left"
                    wrong.append(Violation("S9.7", text))
        wrong += self._wrong_with_scheduler(scheduler, busy)
        for number in peers:
            wrong += self._wrong_with_peer(number, busy)
        return (*wrong, *self._left_in_store(store))

    def _rest_of(self, number: int) -> Resting:
        known = self._resting.get(number)
        if known is None:
            peer, local = self._configurations.known[number][:2]
            party = self._configurations.parties[peer]
            running = party.runs(local) if isinstance(party, WorkerParty) else ()
            known = self._resting[number] = Resting(
                (peer, party.life(local)) if party.listens(local) else None,
                party.name.encode(),
                tuple((task.task_id, task.source) for task in running),
            )
        return known

    def _scheduler_waits(self, number: int) -> bool:
        known = self._waits.get(number)
        if known is None:
            known = self._waits[number] = self._scheduler.holds_what_nobody_runs(self._scheduler_states[number])
        return known

    def _wrong_with_scheduler(self, number: int, busy: bool) -> tuple[Violation, ...]:
        known = self._of_scheduler.get((number, busy))
        if known is None:
            local = self._scheduler_states[number]
            found = [*self._judges.rest(local.judge), *(() if busy else self._scheduler.at_rest(local))]
            known = self._of_scheduler[number, busy] = tuple(found)
        return known

    def _wrong_with_peer(self, number: int, busy: bool) -> tuple[Violation, ...]:
        known = self._of_peer.get((number, busy))
        if known is None:
            peer, local = self._configurations.known[number][:2]
            found = list(self._judges.rest(local.judge)) if local.judge >= 0 else []
            found += self._configurations.parties[peer].at_rest(local, busy)
            known = self._of_peer[number, busy] = tuple(found)
        return known

    def _left_in_store(self, number: int) -> tuple[Violation, ...]:
        known = self._of_store.get(number)
        if known is None:
            known = self._of_store[number] = tuple(payload_store.left(self._stores[number]))
        return known
