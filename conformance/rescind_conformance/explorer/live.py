"""The orders of a scenario, driven against a scheduler that runs, and judged.

Clients and workers are the same parties as in a walk over the machines, so that each does only what it may after what
it has seen; the scheduler is whatever is under test. `live_random` and `live_breadth` choose the orders.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from rescind_conformance.audit import Audit, changes_nothing, first_broken, judge_scheduler_of
from rescind_conformance.case import Profile
from rescind_conformance.explorer.cast import Bench
from rescind_conformance.explorer.live_peers import LivePeers
from rescind_conformance.explorer.live_world import LiveWorld
from rescind_conformance.explorer.scenario import ClientPlan, RawPlan, Scenario, SchedulerPlan
from rescind_conformance.explorer.system import System
from rescind_conformance.findings import Conversation
from rescind_conformance.recording import Recorder
from rescind_conformance.subjects import Subject
from rescind_conformance.trace import SCHEDULER
from rescind_conformance.verdicts import CaseResult, Departure
from rescind_conformance.world import World

_MOST_LEFT_OVER = 10


def drivable(scenario: Scenario) -> Scenario | None:
    """The scenario without what only a scheduler's own clock brings; None where nothing is left to cross.

    A death that is noticed by silence becomes a good-bye. Rebalancing is the subject's own affair.
    """
    if scenario.scheduler.closes or not scenario.introduced:
        return None
    clients: list[ClientPlan | RawPlan] = []
    for client in scenario.clients:
        if isinstance(client, RawPlan):
            clients.append(replace(client, drops=False))
        else:
            clients.append(replace(client, drops=False, disconnects=client.disconnects or client.drops))
    workers = tuple(
        replace(worker, dies=False, drops=False, lives=1, leaves=worker.leaves or worker.dies or worker.drops)
        for worker in scenario.workers
    )
    return replace(scenario, clients=tuple(clients), workers=workers, scheduler=SchedulerPlan())


@dataclass(slots=True)
class LiveResult:
    """What the orders of a scenario have shown."""

    scenario: str
    orders: int = 0
    inputs: set[int] = field(default_factory=set)
    """Hashes of what the scheduler was sent: orders that differ in it are different orders for the scheduler."""
    messages: int = 0
    broken: int = 0
    """Orders in which a requirement was broken."""
    undecided: int = 0
    """Orders that could not be judged to the end."""
    depth: int | None = None
    """Every order of so many messages to the scheduler was driven, and every shorter one."""
    closed: bool = False
    """Every order was driven to its end."""
    shortest: dict[str, CaseResult] = field(default_factory=dict)
    """By requirement: of the orders that break it, the shortest."""

    def note(self, requirement: str, result: CaseResult) -> None:
        """Keep an order if it is the shortest."""
        known = self.shortest.get(requirement)
        if known is None or length_of(result) < length_of(known):
            self.shortest[requirement] = result


def length_of(result: CaseResult) -> int:
    """How many messages were sent to the scheduler up to the first departure."""
    end = result.departures[0].position
    return sum(not entry.fence and entry.receiver == SCHEDULER for entry in result.trace[:end])


@dataclass(slots=True)
class Standing:
    """The scheduler that stays for the next order, or the next session: nothing is left over in it."""

    world: World | None = None
    """Of the order before, closed."""


class LiveSession:
    """Drives one order after another, against the same scheduler for as long as nothing is left over in it.

    For one thread. Use as a context: it ends what it has started.
    """

    def __init__(
        self,
        scenario: Scenario,
        subject: Subject,
        deadline: float,
        show: Callable[[int], None],
        standing: Standing | None = None,
    ) -> None:
        """`scenario` must be `drivable`. `deadline`: seconds after which a missing echo is taken as missing.
        `show` is called after each order with the number of those that were driven. `standing`: with what a session
        before this has left, and this leaves, a scheduler; otherwise it is ended with the session.
        """
        self.system = System(scenario, judges=Bench())  # the peers are not judged
        self.result = LiveResult(scenario.name)
        self._subject = subject
        self._recorder = Recorder()
        self._deadline = deadline
        self._show = show
        self._conversation = Conversation(self._recorder.context, deadline, threading.Event())
        self._world: World | None = None
        """Of the order that is driven."""
        self._stays = standing is not None
        self._standing = standing or Standing()
        self._left_over = 0
        """So many orders, one after another, in which something of an earlier one was left over."""

    def __enter__(self) -> LiveSession:
        return self

    def __exit__(self, *_: object) -> None:
        self._recorder.end()
        if self._world is not None:
            self._subject.leave(self._world)
        if self._standing.world is not None and not self._stays:
            self._subject.leave(self._standing.world)
        self._recorder.context.destroy(linger=0)

    def begin(self) -> LivePeers:
        """The peers of the next order, connected. Raises as `Subject.open` does."""
        former, self._standing.world = self._standing.world, None
        if former is None:
            opened = self._subject.open(self._conversation, Profile.DEFAULT, [])
            assert isinstance(opened, World)
            former = opened
        self._world = world = LiveWorld(self._conversation, former.instance, self._recorder.on_sent)
        self._recorder.begin(world.trace)
        return LivePeers(self.system.scenario, world)

    def end(self, peers: LivePeers, words: Sequence[str], departure: Departure | None) -> bool:
        """Judge the order. `words` tell it. `departure`: the subject did not go on.

        Returns whether longer orders may show something: not if what it breaks may have changed what follows.
        An order in which something of an earlier one was left over is not judged, and not counted; if that goes on,
        it is the subject that speaks of tasks that nobody has submitted.
        """
        assert self._world is not None
        found: list[Departure] = []
        self._left_over = self._left_over + 1 if peers.left_over else 0
        left_over = 0 < self._left_over < _MOST_LEFT_OVER
        if not left_over:
            found = [departure] if departure is not None else self._judge(peers)
            self._count(peers)
            if found:
                self._note(peers, words, found)
        # The clients go before the workers, so that none of their tasks is there when those of the next order come.
        if found or left_over or not self._world.close(farewell=True):
            self._subject.leave(self._world)
        else:
            self._standing.world = self._world
        self._world = None
        self._show(self.result.orders)
        return departure is None and all(changes_nothing(peers.world.trace, one.position or 0) for one in found)

    def _judge(self, peers: LivePeers) -> list[Departure]:
        """What it broke, as `first_broken` says."""
        found = self._judged(peers, goodbyes_may_be_late=False)
        # A good-bye has no fence: what it should have caused is waited for.
        bound = time.monotonic() + self._deadline
        while found.findings and time.monotonic() < bound:
            certain = self._judged(peers, goodbyes_may_be_late=True)
            if certain.findings:
                found = certain
                break
            peers.world.settle()
            found = self._judged(peers, goodbyes_may_be_late=False)
        self.result.undecided += found.undecided
        return [
            Departure(violation.requirement, f"seen in the trace: {violation.text}", position=position)
            for violation, position in found.findings
        ]

    def _judged(self, peers: LivePeers, *, goodbyes_may_be_late: bool) -> Audit:
        world = peers.world
        unheard = [peer.name for peer in peers.peers if not peer.living]
        return first_broken(
            lambda trace: judge_scheduler_of(
                trace, world.names, unheard=unheard, at_rest=True, goodbyes_may_be_late=goodbyes_may_be_late
            ),
            world.trace,
        )

    def _count(self, peers: LivePeers) -> None:
        self.result.orders += 1
        self.result.messages += sum(not entry.fence for entry in peers.world.trace)
        digest = hashlib.blake2b("\n".join(peers.inputs).encode(), digest_size=8).digest()
        self.result.inputs.add(int.from_bytes(digest))

    def _note(self, peers: LivePeers, words: Sequence[str], found: Sequence[Departure]) -> None:
        world, recording = peers.world, self._recorder.end()
        self.result.broken += 1
        for number, one in enumerate(found):
            title = f"in the scenario {self.system.scenario.name}"
            order = CaseResult(f"orders.{one.requirement}", title, (one.requirement,))
            order.departures, order.trace, order.names = [one], world.trace, world.names
            order.recording, order.log = recording, world.log_tail()
            order.notes = ["What clients and workers did:", *words]
            if number:
                order.notes.append("Before it an echo went to a client that has left: taken as the right answer here.")
            self.result.note(one.requirement, order)
