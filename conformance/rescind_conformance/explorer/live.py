"""The orders of a scenario, driven against a scheduler that runs: one message at a time, each fenced.

Clients and workers are the same parties as in a walk over the machines, so that each does only what it may after what
it has seen; the scheduler is whatever is under test. An order is one path from the beginning to where nothing more
happens. Orders are drawn at random without repetition, until all have been driven or enough have.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from random import Random
from typing import Final

from rescind.messages import (
    ClientDisconnect,
    ClientHeartbeat,
    Message,
    Task,
    WorkerDisconnectNotification,
    WorkerHeartbeat,
)
from rescind_conformance.audit import judge_scheduler_of
from rescind_conformance.case import Profile
from rescind_conformance.explorer.scenario import ClientPlan, RawPlan, Scenario, SchedulerPlan
from rescind_conformance.explorer.steps import Item
from rescind_conformance.explorer.system import FIRST, System
from rescind_conformance.findings import Conversation, new_task_id
from rescind_conformance.peers import FakeClient, FakeWorker, Peer, Unreadable, task_id_of
from rescind_conformance.recording import Recorder
from rescind_conformance.subjects import Subject
from rescind_conformance.trace import SCHEDULER
from rescind_conformance.verdicts import CaseResult, Departure
from rescind_conformance.world import World

MOST_STEPS: Final = 200
"""No order is longer; one that were would be an error of the scenario."""


def drivable(scenario: Scenario) -> Scenario | None:
    """The scenario without what only a scheduler's own clock brings; None where nothing is left to cross.

    A death that is noticed by silence becomes a good-bye. Rebalancing is the subject's own affair.
    """
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
    if scenario.scheduler.closes or not scenario.introduced:
        return None
    return replace(scenario, clients=tuple(clients), workers=workers, scheduler=SchedulerPlan())


@dataclass(slots=True)
class Branch:
    """What is known of the orders that begin alike."""

    options: int | None = None
    """How many steps may follow; None: nobody has been here."""
    open: set[int] = field(default_factory=set)
    """Of these, those behind which orders are left."""
    following: dict[int, Branch] = field(default_factory=dict)


@dataclass(slots=True)
class LiveResult:
    """What a live walk of a scenario has found."""

    scenario: str
    orders: int = 0
    inputs: set[int] = field(default_factory=set)
    """Hashes of what the scheduler was sent: orders that differ in it are different orders for the scheduler."""
    messages: int = 0
    broken: int = 0
    """Orders in which a requirement was broken."""
    undecided: int = 0
    """Orders that could not be judged to the end."""
    closed: bool = False
    """Every order has been driven."""
    shortest: dict[str, CaseResult] = field(default_factory=dict)
    """By requirement: of the orders whose first violation is of it, the shortest."""

    def add(self, other: LiveResult) -> None:
        """Take in the result of another walk of the same scenario."""
        self.orders += other.orders
        self.inputs |= other.inputs
        self.messages += other.messages
        self.broken += other.broken
        self.undecided += other.undecided
        self.closed = self.closed or other.closed
        for requirement, result in other.shortest.items():
            self.note(requirement, result)

    def note(self, requirement: str, result: CaseResult) -> None:
        """Keep an order if it is the shortest."""
        known = self.shortest.get(requirement)
        if known is None or length_of(result) < length_of(known):
            self.shortest[requirement] = result


def length_of(result: CaseResult) -> int:
    """How many messages were sent to the scheduler up to the first departure."""
    end = result.departures[0].position
    return sum(not entry.fence and entry.receiver == SCHEDULER for entry in result.trace[:end])


class LiveWalk:
    """Drives the orders of one scenario. For one thread."""

    def __init__(
        self, scenario: Scenario, subject: Subject, deadline: float, seed: int, stop: threading.Event | None = None
    ) -> None:
        """`scenario` must be `drivable`. `deadline`: seconds after which a missing echo is taken as missing."""
        self._system = System(scenario)
        self._subject = subject
        self._recorder = Recorder()
        self._conversation = Conversation(self._recorder.context, deadline, stop or threading.Event())
        self._random = Random(seed)
        self._root = Branch()
        self._world: World | None = None
        self.result = LiveResult(scenario.name)

    def run(self, orders: int) -> LiveResult:
        """Drive so many orders, or all if there are fewer. Raises as `Subject.open` does, and `Interrupted`."""
        try:
            while self.result.orders < orders and not self.result.closed:
                self._drive()
            return self.result
        finally:
            self._recorder.end()
            if self._world is not None:
                self._subject.leave(self._world)
                self._world = None

    def _drive(self) -> None:
        world = self._begin()
        self._recorder.begin(world.trace)
        order = _Order(self._system, world, self._root, self._random)
        departures: list[Departure] = []
        try:
            order.drive()
        except Departure as departure:
            departures.append(departure)
        self._judge(order, departures)
        if departures or order.left_over:  # what is left of this order would get into the next one
            self._subject.leave(world)
            self._world = None
        else:
            world.close(farewell=True)
        order.close()
        self.result.closed = self._root.options is not None and not self._root.open

    def _begin(self) -> World:
        if self._world is None:
            world = self._subject.open(self._conversation, Profile.DEFAULT, [])
            assert isinstance(world, World)
        else:
            world = World(self._conversation, self._world.instance)
        self._world = world
        return world

    def _judge(self, order: _Order, departures: list[Departure]) -> None:
        world, result = order.world, self.result
        result.orders += 1
        result.messages += sum(not entry.fence for entry in world.trace)
        digest = hashlib.blake2b("\n".join(order.inputs).encode(), digest_size=8).digest()
        result.inputs.add(int.from_bytes(digest))
        recording = self._recorder.end()
        if not departures:
            unheard = [peer.name for peer in order.peers if not peer.living]
            audit = judge_scheduler_of(world.trace, world.names, unheard=unheard, at_rest=True)
            result.undecided += audit.undecided
            # What comes after the first violation mostly comes of it.
            departures = [
                Departure(one.violation.requirement, f"seen in the trace: {one.violation.text}", position=one.position)
                for one in audit.findings[:1]
            ]
        if departures:
            result.broken += 1
            order.left_over = True
            scenario, requirement = self._system.scenario, departures[0].requirement
            case = CaseResult(f"orders.{scenario.name}.{requirement}", scenario.story, (requirement,))
            case.departures, case.trace, case.names, case.recording = departures, world.trace, world.names, recording
            case.notes = ["The order:", *order.words]
            result.note(requirement, case)


class _Order:
    """One order, as it is driven."""

    def __init__(self, system: System, world: World, root: Branch, random: Random) -> None:
        self.world = world
        self.peers: list[Peer] = []
        self.words: list[str] = []
        self.inputs: list[str] = []
        """What the scheduler was sent, in words."""
        self.left_over = False
        """Something of this order may be left in the scheduler, or something of another was."""
        self._system = system
        self._random = random
        self._path: list[tuple[Branch, int]] = []
        self._branch = root
        self._state = list(system.initial[FIRST:])
        self._fresh = {task: new_task_id() for task in system.scenario.names}
        self._known = {fresh: task for task, fresh in self._fresh.items()}
        world.names |= {self._fresh[task]: name for task, name in system.scenario.names.items()}
        for client in system.scenario.clients:
            self.peers.append(world.client(introduced=not isinstance(client, RawPlan)))
        for worker in system.scenario.workers:
            self.peers.append(world.worker(worker.queue_size))

    def drive(self) -> None:
        """Take step after step until none is left. Raises `Departure` where the scheduler does not go on."""
        while (options := self._options()) and len(self._path) < MOST_STEPS:
            branch = self._branch
            if branch.options is None:
                branch.options, branch.open = len(options), set(range(len(options)))
            # A scheduler that decides otherwise than the last time leads elsewhere: then anything will do.
            index = self._random.choice(sorted(branch.open) or range(len(options))) % len(options)
            self._path.append((branch, index))
            self._branch = branch.following.setdefault(index, Branch())
            self._take(*options[index])
        if self._branch.options is None:
            self._branch.options = 0
        self.world.settle()
        self.left_over = self.left_over or not self._is_over()

    def close(self) -> None:
        """This order has been driven: what has no other order behind it need not be visited again."""
        if self._branch.options is None:
            self._branch.options = 0
        for branch, index in reversed(self._path):
            child = branch.following[index]
            if child.open or child.options is None:
                return
            branch.open.discard(index)
            del branch.following[index]

    def _options(self) -> list[tuple[int, int, int]]:
        """Where a peer stands, what it does (a label, -1: the scheduler takes its message), and what follows.

        Of what peers do by themselves only as much as the scheduler can tell apart; see `System.successors`.
        """
        configurations = self._system.configurations
        own: list[tuple[int, int, int]] = []
        takes: list[tuple[int, int, int]] = []
        for position, number in enumerate(self._state):
            moves = configurations.moves(number)
            steps = [(position, move.label, move.leads_to) for move in (*moves.must, *moves.may)]
            if moves.delivers:
                return steps
            own += steps
            takes += [(position, -1 - taking, left) for taking, left in moves.offers]
        if takes and all(configurations.quiet(number, 0) for number in self._state):
            return takes
        return own + takes

    def _take(self, position: int, what: int, leads_to: int) -> None:
        self._state[position] = leads_to
        if what >= 0:
            self.words.append(self._system.labels[what].words(self._system.scenario.names))
            return
        item = self._system.configurations.takings[-1 - what].item
        if item is None or item.message is None:
            return
        peer = self.peers[position]
        said = f"S <- {peer.name}  {self.world.describe(self._translated(item.message, self._fresh))}"
        self.words.append(said)
        self.inputs.append(said)
        self._say(peer, item.message)
        for number, other in enumerate(self.peers):
            heard = [Item(message) for message in self._heard(other)]
            if heard:
                batch = self._system.configurations.batches.of(tuple((-1, one) for one in heard))
                self._state[number] = self._system.configurations.append(self._state[number], batch)

    def _say(self, peer: Peer, message: Message) -> None:
        """Send a message, and wait until all that it causes has come."""
        match message:
            case ClientHeartbeat() | WorkerHeartbeat():
                pass  # its fence is one
            case ClientDisconnect() if isinstance(peer, FakeClient):
                peer.disconnect()
                return
            case WorkerDisconnectNotification() if isinstance(peer, FakeWorker):
                peer.leave()
                return
            case _:
                peer.silent = False
                translated = self._translated(message, self._fresh)
                if isinstance(translated, Task):
                    translated = replace(translated, source=peer.routing_id)
                peer.send(translated, fence=False)
        self.world.fence([peer])
        self.world.settle(rounds=1)

    def _heard(self, peer: Peer) -> Iterator[Message]:
        for message in peer.inbox:
            task_id = task_id_of(message)
            if isinstance(message, Unreadable) or (task_id is not None and task_id not in self._known):
                self.left_over = True
            else:
                yield self._translated(message, self._known)
        peer.inbox.clear()

    def _translated(self, message: Message, ids: dict[bytes, bytes]) -> Message:
        """The message under the other task id."""
        task_id = task_id_of(message)
        return message if task_id not in ids else replace(message, task_id=ids[task_id])  # type: ignore[arg-type]

    def _is_over(self) -> bool:
        return all(self._system.configurations.moves(number).idle for number in self._state)
