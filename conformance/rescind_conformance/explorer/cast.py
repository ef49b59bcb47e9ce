"""Who plays the parties: the machines that are walked and the judges that watch them, each of their steps once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from rescind.client_machine import ClientMachine
from rescind.placement import Placement, WorkerRecord
from rescind.scheduler_machine import SchedulerMachine, SchedulerSettings
from rescind.worker_machine import WorkerMachine, WorkerSettings
from rescind_conformance.explorer.freeze import Cells, Freezer, ValueFreezer
from rescind_conformance.explorer.judge_structures import STRUCTURES
from rescind_conformance.explorer.numbers import Numbers
from rescind_conformance.judge.client import CLIENT_EVENTS, ClientJudge
from rescind_conformance.judge.records import EventKind, PartyJudge, Record, Violation
from rescind_conformance.judge.scheduler import SchedulerJudge
from rescind_conformance.judge.worker import WORKER_EVENTS, WorkerJudge

JudgeFactory = Callable[[], PartyJudge]
CRASH_REQUIREMENT = "S11.1"


@dataclass(frozen=True, slots=True)
class Cast:
    """What is explored: how to make each machine. The default is the reference.

    A machine is deterministic, and all that it knows is in its attributes.
    """

    scheduler: Callable[[SchedulerSettings], SchedulerMachine] = SchedulerMachine
    client: Callable[[], ClientMachine] = ClientMachine
    worker: Callable[[WorkerSettings], WorkerMachine] = WorkerMachine


@dataclass(frozen=True, slots=True)
class Bench:
    """How to make the judges of one party of each role; for nobody, by default."""

    scheduler: tuple[JudgeFactory, ...] = ()
    client: tuple[JudgeFactory, ...] = ()
    worker: tuple[JudgeFactory, ...] = ()


def bench(names: Mapping[bytes, str]) -> Bench:
    """The judges of SPEC.md; `names` are those of tasks."""
    worker_events = (*WORKER_EVENTS, EventKind.RESULT_RELEASED)
    return Bench(
        scheduler=(partial(SchedulerJudge, names),),
        client=(partial(ClientJudge, CLIENT_EVENTS, names),),
        worker=(partial(WorkerJudge, worker_events, names),),
    )


class Machine(Protocol):
    """What the machines have in common."""

    def handle(self, event: Any) -> list[Any]:
        """Take one event; what is to be done."""
        ...


M = TypeVar("M", bound=Machine)


@dataclass(frozen=True, slots=True)
class Raised:
    """Instead of instructions: the machine raised."""

    error: str


@dataclass(slots=True)
class MachineMemo(Generic[M]):
    """Machines of one kind, each state once, and what each did with each event. Not thread-safe."""

    cells: Cells = field(default_factory=lambda: Cells(Freezer(canonical={Placement: _rooms})))
    _known: dict[tuple[int, Any], tuple[int, tuple[Any, ...]]] = field(default_factory=dict)

    def intern(self, machine: M) -> int:
        """The number of a machine that the caller gives away."""
        return self.cells.intern(machine)

    def handle(self, number: int, event: Any) -> tuple[int, tuple[Any, ...]]:
        """The machine after `event`, and its instructions (a single `Raised`, where it raised)."""
        key = (number, event)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._handle(number, event)
        return known

    def thaw(self, number: int) -> M:
        """A copy of a machine."""
        machine: M = self.cells.thaw(number)
        return machine

    def _handle(self, number: int, event: Any) -> tuple[int, tuple[Any, ...]]:
        machine = self.thaw(number)
        try:
            returned = machine.handle(event)
        except Exception as error:
            return number, (Raised(f"{type(error).__name__}: {error}"),)
        instructions = tuple(returned)
        # The machine keeps the list until its next event, and does not look at it again.
        returned.clear()
        return self.cells.intern(machine), instructions


@dataclass(slots=True)
class JudgeMemo:
    """The judges of a party, each state once, and what each found in which records. Not thread-safe."""

    # Judges promise that equal attributes judge alike, and equal dicts may have another order.
    cells: Cells = field(default_factory=lambda: Cells(ValueFreezer(STRUCTURES)))
    records: Numbers[tuple[Record, ...]] = field(default_factory=Numbers)
    _known: dict[tuple[int, int], tuple[int, tuple[Violation, ...]]] = field(default_factory=dict)
    _rests: dict[int, tuple[Violation, ...]] = field(default_factory=dict)

    nobody: int = field(init=False)
    """The number of no judges."""

    def __post_init__(self) -> None:
        self.nobody = self.intern(())

    def intern(self, factories: Sequence[JudgeFactory]) -> int:
        """The number of a party's judges, at the beginning."""
        return self.cells.intern([factory() for factory in factories])

    def read(self, number: int, records: tuple[Record, ...]) -> tuple[int, tuple[Violation, ...]]:
        """The judges after `records`, and what they found."""
        if not records or number == self.nobody:
            return number, ()
        return self.read_numbered(number, self.records.of(records))

    def read_numbered(self, number: int, records: int) -> tuple[int, tuple[Violation, ...]]:
        """As `read`; `records` are some of `JudgeMemo.records`."""
        key = (number, records)
        known = self._known.get(key)
        if known is None:
            judges = self.cells.thaw(number)
            known = self._known[key] = self._read(judges, self.records[records]) if judges else (number, ())
        return known

    def _read(self, judges: list[PartyJudge], records: tuple[Record, ...]) -> tuple[int, tuple[Violation, ...]]:
        found: list[Violation] = []
        for record in records:
            for judge in judges:
                found += judge.read(record)
        return self.cells.intern(judges), tuple(found)

    def rest(self, number: int) -> tuple[Violation, ...]:
        """What the judges find at a moment of rest."""
        if number not in self._rests:
            judges = self.cells.thaw(number)
            self._rests[number] = tuple(violation for judge in judges for violation in judge.rest())
        return self._rests[number]


def _rooms(placement: Placement) -> list[tuple[int, list[tuple[bytes, WorkerRecord]]]]:
    """Workers with room by their load: the rest of a `Placement` is how it finds them fast."""
    buckets = sorted(placement._buckets.items())
    return [(load, list(bucket.items())) for load, bucket in buckets if bucket]
