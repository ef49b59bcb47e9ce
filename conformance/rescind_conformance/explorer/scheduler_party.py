"""The scheduler in a walk: its machine, its operator and its clock.

Time without a clock. The machine sees time only in when a peer was last heard, and in `TimePassed`, where it takes
the difference. So each peer is always heard at a moment of its own, which is just its number, and the silence of one
peer is a `Silence` of that number: the difference of the two is infinite, that of it to every other moment is nothing.
Whichever peers may be late, and in whichever order, each is lost alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from rescind import wire
from rescind.messages import (
    CancelConfirmType,
    ClientDisconnect,
    ClientHeartbeatEcho,
    DisconnectType,
    Message,
    Task,
    TaskCancelConfirm,
    TaskResult,
    WorkerDisconnectNotification,
    WorkerHeartbeatEcho,
)
from rescind.scheduler_machine import (
    Closed,
    CloseExpired,
    CloseRequested,
    Closing,
    Event,
    Forward,
    RebalanceDue,
    Received,
    ReleaseObjects,
    ReleaseOwner,
    SchedulerMachine,
    Send,
    TimePassed,
)
from rescind_conformance.explorer import custody
from rescind_conformance.explorer.cast import CRASH_REQUIREMENT, JudgeFactory, JudgeMemo, MachineMemo, Raised
from rescind_conformance.explorer.configuration import Taking
from rescind_conformance.explorer.payload_store import CLOSE, RELEASE_OWNER, TAKE
from rescind_conformance.explorer.scenario import SchedulerPlan
from rescind_conformance.explorer.steps import DROPPED, SCHEDULER_NAME, Does, Effects, Item, Local, Step, Turn
from rescind_conformance.judge.records import SCHEDULER, EventKind, EventRecord, MessageRecord, Violation

PROBE = b"probe"


class Silence(float):
    """The moment at which the peer that is always heard at this number has been silent for too long."""

    def __sub__(self, other: float) -> float:
        return math.inf if float(self) == other else 0.0


class SchedulerEnv(NamedTuple):
    """What else is known of the scheduler."""

    rebalances: int = 0
    loses: tuple[int, ...] = ()
    """Peers that it may take as lost though they live."""
    closes: bool = False
    gives_up: bool = False
    closing: bool = False
    closed: bool = False
    custodies: custody.Custodies = ()
    lost: tuple[tuple[int, int], ...] = ()
    """Peers, and lives of theirs, that it has taken as lost."""
    serves: tuple[tuple[int, int], ...] = ()
    """Those that it has echoed, and that have not left since."""


@dataclass(frozen=True, slots=True, eq=False)
class Turned:
    """What came of a turn, whatever the judges say of it."""

    machine: int
    env: SchedulerEnv
    records: int
    """One of `JudgeMemo.records`."""
    effects: Effects
    idle: bool
    """It had no effect, and the machine is what it was."""


class SchedulerParty:
    """The scheduler. Peers are numbers, with a routing id for each of their lives."""

    def __init__(
        self,
        plan: SchedulerPlan,
        names: list[list[str]],
        capacities: list[int],
        machine: SchedulerMachine,
        machines: MachineMemo[SchedulerMachine],
        judges: JudgeMemo,
        factories: tuple[JudgeFactory, ...],
    ) -> None:
        """`names`: of each peer, by life. `capacities`: of each peer, how many tasks it takes at once."""
        self.machines = machines
        self.judges = judges
        self.names = names
        self.peers = {name: (peer, life) for peer, lives in enumerate(names) for life, name in enumerate(lives)}
        self.capacities = capacities
        self._turned: dict[tuple[int, object, Hashable], Turned] = {}
        self._counted: dict[int, dict[str, int]] = {}
        self._probed: dict[tuple[int, tuple[tuple[int, int], ...]], list[Violation]] = {}
        env = SchedulerEnv(
            rebalances=plan.rebalances,
            loses=tuple(sorted(self.peers[name][0] for name in plan.loses)),
            closes=plan.closes,
            gives_up=plan.grace_ends,
        )
        self.start = Local(machines.intern(machine), judges.intern(factories), env)

    def moment(self, peer: int, life: int) -> float:
        """When this peer is always heard."""
        return 1.0 + peer + life * len(self.names)

    def choices(self, local: Local) -> list[Step]:
        """What it may do by itself; it need not."""
        env = local.env
        assert isinstance(env, SchedulerEnv)
        if env.closed:
            return []
        late = [each for each in env.serves if each[0] in env.loses]
        steps = [Step(SCHEDULER_NAME, Does.PRESUMES, peer=self.names[peer][life]) for peer, life in late]
        if env.rebalances:
            steps.append(Step(SCHEDULER_NAME, Does.REBALANCES))
        if env.closes:
            steps.append(Step(SCHEDULER_NAME, Does.CLOSES))
        if env.closing and env.gives_up:
            steps.append(Step(SCHEDULER_NAME, Does.GIVES_UP))
        return steps

    def act(self, local: Local, step: Step) -> Turned | None:
        """Do one of its choices; None: it would have no effect."""
        turned = self._turn(local, step, lambda turn: turn.act(step))
        return None if turned.idle else turned

    def take(self, local: Local, taking: Taking) -> Turned:
        """Take a message; or a peer has been silent for too long, since it is dead."""
        peer, life, item = taking
        if item is None:
            return self._turn(local, taking, lambda turn: turn.lose(peer, life))
        return self._turn(local, taking, lambda turn: turn.receive(peer, life, item))

    def judge(self, local: Local, turned: Turned) -> tuple[Local, tuple[Violation, ...]]:
        """What it knows after a turn, and what its judges find in it."""
        if not turned.effects.records:
            return Local(turned.machine, local.judge, turned.env), ()
        judge, found = self.judges.read_numbered(local.judge, turned.records)
        return Local(turned.machine, judge, turned.env), found

    def _turn(self, local: Local, what: Hashable, take: Callable[[SchedulerTurn], None]) -> Turned:
        """The machine and its surroundings are in few states, each beside many of the judges: a turn is taken once."""
        key = (local.machine, local.env, what)
        known = self._turned.get(key)
        if known is None:
            turn = SchedulerTurn(self, local)
            take(turn)
            records = self.judges.records.of(turn.records)
            idle = turn.machine == local.machine and not turn.has_effect()
            effects = turn.effects((), turn.records)
            known = self._turned[key] = Turned(turn.machine, turn.env, records, effects, idle)
        return known

    def holds_what_nobody_runs(self, local: Local) -> bool:
        """Whether it holds tasks only because there is no worker."""
        env = local.env
        assert isinstance(env, SchedulerEnv)
        counts = self._counts(local.machine)
        idle = not any(self.capacities[peer] for peer, _ in env.serves)
        return idle and counts["tasks"] > 0 and counts["tasks"] == counts.get("queued", 0)

    def at_rest(self, local: Local) -> list[Violation]:
        """What should not be so when nothing more happens and no task runs, beside what its judges say."""
        env = local.env
        assert isinstance(env, SchedulerEnv)
        if env.closed or self.holds_what_nobody_runs(local):
            return []
        if held := self._counts(local.machine)["tasks"]:
            return [Violation("S1.1", f"the scheduler holds {held} tasks for ever")]
        if env.custodies:
            return [Violation("S1.1", f"{each.task.decode()} stays assigned for ever") for each in env.custodies]
        return [] if env.closing else self._probe(local.machine, env.serves)

    def _counts(self, number: int) -> dict[str, int]:
        """What the machine says that it holds."""
        if number not in self._counted:
            self._counted[number] = dict(self.machines.thaw(number).counts)
        return self._counted[number]

    def _probe(self, number: int, serves: tuple[tuple[int, int], ...]) -> list[Violation]:
        """Whether each place at each worker can be used: as many tasks as there are places are placed at once."""
        key = (number, serves)
        if key not in self._probed:
            placed = dict.fromkeys((name for lives in self.names for name in lives), 0)
            expected = {self.names[peer][life]: self.capacities[peer] for peer, life in serves}
            for count in range(sum(expected.values())):
                task = Task(b"probe %d" % count, source=PROBE)
                number, instructions = self.machines.handle(number, Received(PROBE, task, _encode(task), 0.0))
                for each in instructions:
                    if isinstance(each, Forward | Send) and each.to.decode() in placed:
                        placed[each.to.decode()] += 1
            self._probed[key] = [
                Violation("S9.9", f"{name} has {capacity} places, and {placed[name]} can be used")
                for name, capacity in expected.items()
                if placed[name] != capacity
            ]
        return self._probed[key]


class SchedulerTurn(Turn):
    """One step of the scheduler."""

    def __init__(self, party: SchedulerParty, local: Local) -> None:
        super().__init__(SCHEDULER)
        assert isinstance(local.env, SchedulerEnv)
        self.env = local.env
        self.machine = local.machine
        self._party = party

    def act(self, step: Step) -> None:
        """Do one of its choices."""
        env = self.env
        match step.does:
            case Does.PRESUMES:
                peer, life = self._party.peers[step.peer]
                left = list(env.loses)
                left.remove(peer)
                self.env = env._replace(loses=tuple(left))
                self.lose(peer, life)
            case Does.REBALANCES:
                self.env = env._replace(rebalances=env.rebalances - 1)
                self._feed(RebalanceDue())
            case Does.CLOSES:
                self.env = env._replace(closes=False)
                self._note(EventKind.CLOSE_REQUESTED)
                self._feed(CloseRequested())
            case Does.GIVES_UP:
                self.env = env._replace(gives_up=False)
                self._note(EventKind.GRACE_OVER)
                self._feed(CloseExpired())
            case _:
                raise AssertionError(step)

    def lose(self, peer: int, life: int) -> None:
        """Take a peer as lost."""
        env = self.env
        if (peer, life) not in env.lost and not env.closed:
            self._note(EventKind.PEER_LOST, self._party.names[peer][life])
            self.env = env._replace(
                lost=tuple(sorted((*env.lost, (peer, life)))),
                serves=tuple(each for each in env.serves if each != (peer, life)),
                custodies=custody.lose(env.custodies, peer, life),
            )
            self._feed(TimePassed(Silence(self._party.moment(peer, life))))

    def receive(self, peer: int, life: int, item: Item) -> None:
        """Take a message."""
        assert item.message is not None
        name = self._party.names[peer][life]
        self.record(MessageRecord(SCHEDULER, name, SCHEDULER, item.message))
        self._learn(peer, life, item.message, item.honest)
        moment = self._party.moment(peer, life)
        self._feed(Received(name.encode(), item.message, _encode(item.message), moment))

    def _learn(self, peer: int, life: int, message: Message, honest: bool) -> None:
        env = self.env
        gone = False
        match message:
            case TaskResult(task) | TaskCancelConfirm(task) if honest:
                self.env = env._replace(custodies=custody.give_back(env.custodies, task, peer, life))
            case WorkerDisconnectNotification():
                gone = True
                if honest:
                    self.env = env._replace(custodies=custody.lose(env.custodies, peer, life))
            case ClientDisconnect(kind):
                gone = kind != DisconnectType.SHUTDOWN
        if gone:
            self.env = self.env._replace(serves=tuple(each for each in env.serves if each != (peer, life)))

    def _feed(self, event: Event) -> None:
        self.machine, instructions = self._party.machines.handle(self.machine, event)
        for instruction in instructions:
            match instruction:
                case Send(to, message):
                    self._say(to, message, event)
                case Forward(to, frame):
                    self._say(to, _decode(frame), event)
                case ReleaseOwner(owner):
                    self.store(RELEASE_OWNER, owner)
                case ReleaseObjects(names):
                    for each in names:
                        self.store(TAKE, each)
                case Closing():
                    self.env = self.env._replace(closing=True, closes=False, rebalances=0)
                case Closed():
                    self._end()
                case Raised(error):
                    self.accuse(CRASH_REQUIREMENT, f"the scheduler's machine raised {error}")

    def _say(self, to: bytes, message: Message, event: Event) -> None:
        name = to.decode()
        if name not in self._party.peers:
            self.accuse(
                CRASH_REQUIREMENT, f"the scheduler's machine sends a {type(message).__name__} to nobody ({to!r})"
            )
            return
        self.record(MessageRecord(SCHEDULER, SCHEDULER, name, message))
        peer, life = self._party.peers[name]
        env = self.env
        match message:
            case Task(task):
                if others := custody.keepers(env.custodies, task):
                    keeper = self._party.names[others[0][0]][others[0][1]]
                    self.accuse("S8.2", f"{task.decode()} is assigned to {name}, and {keeper} may run it")
                self.env = env._replace(custodies=custody.assign(env.custodies, task, peer, life))
            case TaskCancelConfirm(task, CancelConfirmType.CANCELED) if not isinstance(event, CloseExpired):
                if others := custody.keepers(env.custodies, task):
                    keeper = self._party.names[others[0][0]][others[0][1]]
                    self.accuse("S4.4", f"{name} is told that {task.decode()} is canceled, and {keeper} may run it")
            case ClientHeartbeatEcho() | WorkerHeartbeatEcho() if (peer, life) not in env.serves:
                self.env = env._replace(serves=tuple(sorted((*env.serves, (peer, life)))))
        self.send(peer, life, Item(message))

    def _end(self) -> None:
        """It exits: every connection drops, and the store goes with it."""
        self.env = SchedulerEnv(closing=True, closed=True)
        self.store(CLOSE, b"")
        for peer in range(len(self._party.names)):
            self.send(peer, -1, DROPPED)

    def _note(self, kind: EventKind, peer: str = "") -> None:
        self.record(EventRecord(SCHEDULER, kind, peer=peer))


@cache
def _encode(message: Message) -> bytes:
    return wire.encode(message)


@cache
def _decode(frame: bytes) -> Message:
    return wire.decode(frame)
