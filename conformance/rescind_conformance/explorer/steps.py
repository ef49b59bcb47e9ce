"""What one step of a walk is: one party does one thing, or takes one message."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, NamedTuple

from rescind.messages import Message
from rescind.trace import describe
from rescind_conformance.judge.records import Record, Violation

SCHEDULER_NAME = "S"
"""The scheduler in the words of a step; its records name it as every trace does."""


class Does(StrEnum):
    """The kinds of steps."""

    RECEIVES = "receives"
    NOTICES = "notices that the scheduler is gone"
    JOINS = "joins"
    BEATS = "sends a heartbeat"
    # A client.
    SUBMITS = "submits"
    CANCELS = "cancels"
    LIMIT = "waits no longer for the cancel of"
    DISCONNECTS = "disconnects"
    SAYS = "says"
    # A worker.
    FINISHES = "finishes"
    FINISHES_LATE = "is told to end, and yet finishes"
    CRASHES = "sees the death of what runs"
    ENDS = "has ended what runs"
    LEAVES = "leaves"
    DIES = "dies without a word"
    DROPS = "loses its connection"
    # The scheduler.
    LOSES = "takes as lost"
    """It is dead."""
    PRESUMES = "takes as lost, whether it lives or not"
    REBALANCES = "rebalances"
    CLOSES = "begins to shut down"
    GIVES_UP = "grants no more grace"
    # Everybody.
    RESTS = "nothing more happens but the next heartbeats"


@dataclass(frozen=True, slots=True)
class Step:
    """One step. Which fields it uses, `does` says."""

    actor: str
    does: Does
    task: bytes = b""
    force: bool = False
    peer: str = ""
    """Whose message it is, or who is lost."""
    message: Message | None = None

    def words(self, names: Mapping[bytes, str]) -> str:
        """The step as a reader of a race wants to know it; `names` are those of tasks."""
        task = names.get(self.task) or self.task.hex()
        match self.does:
            case Does.RESTS:
                return self.does.value
            case Does.RECEIVES if self.message is not None:
                return f"{self.actor} <- {self.peer}  {describe(self.message, names)}"
            case Does.SAYS if self.message is not None:
                return f"{self.actor} sends {describe(self.message, names)}"
            case Does.LOSES:
                return f"{self.actor} takes {self.peer} as lost"
            case Does.PRESUMES:
                return f"{self.actor} takes {self.peer} as lost, whether it lives or not"
            case _ if self.task:
                return f"{self.actor} {self.does.value} {task}{' with force' if self.force else ''}"
            case _:
                return f"{self.actor} {self.does.value}"


class Item:
    """What travels in a channel. There is one of each, so that equal ones are found without looking at the message."""

    __slots__ = ("honest", "message")
    _known: ClassVar[dict[tuple[Message | None, bool], Item]] = {}
    message: Message | None
    """None: the connection has dropped, and nothing comes after it."""
    honest: bool
    """Of what a worker says of a task or of itself: whether it is so at that moment; see `custody`."""

    def __new__(cls, message: Message | None, honest: bool = True) -> Item:
        known = cls._known.get((message, honest))
        if known is None:
            known = cls._known[message, honest] = super().__new__(cls)
            known.message, known.honest = message, honest
        return known

    def __reduce__(self) -> tuple[type[Item], tuple[Message | None, bool]]:
        return Item, (self.message, self.honest)


DROPPED = Item(None)


class Local(NamedTuple):
    """All that is known at one party: the numbers of its machine and of its judges, and what else may happen to it."""

    machine: int
    judge: int
    env: object


class Effects(NamedTuple):
    """What a step did beyond its party."""

    sends: tuple[tuple[int, int, Item], ...]
    """Peer, life of that peer, and what is sent to it. A peer sends to the scheduler: its own number and life."""
    store: tuple[StoreAction, ...]
    records: tuple[Record, ...]
    violations: tuple[Violation, ...]
    silent: bool = False
    """From now on its party says nothing under this routing id, and the scheduler will notice by its silence."""


class StoreAction(NamedTuple):
    """Something done to the payloads; see `payload_store`."""

    does: str
    name: bytes


class Turn:
    """Collects what one step of the party `name` does. Subclasses know what its machine's instructions mean."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._sends: list[tuple[int, int, Item]] = []
        self._store: list[StoreAction] = []
        self._records: list[Record] = []
        self._violations: list[Violation] = []
        self._silent = False

    def record(self, record: Record) -> None:
        """Something that the party's judges are to know."""
        self._records.append(record)

    def send(self, peer: int, life: int, item: Item) -> None:
        """Put something into a channel."""
        self._sends.append((peer, life, item))

    def store(self, does: str, name: bytes) -> None:
        """Do something to the payloads."""
        self._store.append(StoreAction(does, name))

    def accuse(self, requirement: str, text: str) -> None:
        """Something that the explorer sees, and the party's judges might not."""
        self._violations.append(Violation(requirement, text))

    def fall_silent(self) -> None:
        """See `Effects.silent`."""
        self._silent = True

    def has_effect(self) -> bool:
        """Whether anything was sent, stored or found."""
        return bool(self._sends or self._store or self._violations or self._silent)

    def effects(self, found: tuple[Violation, ...], records: tuple[Record, ...]) -> Effects:
        """All of it, with what the judges found in `records`."""
        return Effects(tuple(self._sends), tuple(self._store), records, found + tuple(self._violations), self._silent)

    @property
    def records(self) -> tuple[Record, ...]:
        """What was recorded so far."""
        return tuple(self._records)
