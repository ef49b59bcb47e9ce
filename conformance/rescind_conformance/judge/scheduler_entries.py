"""What a scheduler's judge knows of one peer, and of one task.

Where the records allow more than one reading, it is written down so, and nothing is held against the scheduler that
one of them allows: a peer may be `vague`, a task `doubtful` or "unclear", a worker's place in doubt.

Entries are equal if the same may follow: what only decides by which requirement a violation is named is not compared.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from operator import attrgetter
from typing import TypeVar

from rescind.messages import GraphTask, Message, Task
from rescind_conformance.judge.scheduler_dues import Effect

T = TypeVar("T")

_LEAST_PLACES = 1000
"""So many tasks each worker may have that takes them; more is the scheduler's choice (S11.5, section 10)."""


def _named(default: T = "") -> T:  # type: ignore[assignment]
    """What only decides how a violation is named."""
    return field(default=default, compare=False)


@dataclass(slots=True)
class PeerBook:
    """A peer that has said something."""

    role: str = ""
    """"client" or "worker" from its first heartbeat or Task on."""
    sure: bool = False
    """It is registered for certain, since it was served; until then it may be one too many (S11.5)."""
    vague: bool = False
    """Whether it is registered, and as what, or lost, cannot be told: nothing is asked that concerns it."""
    lost: bool = False
    oddly: bool = _named(False)
    """It left with a disconnectType that has no name (M6)."""
    told: bool = False
    """It was lost, and its heartbeat has been answered with ClientDisconnect."""
    warned: bool = False
    """It was lost, and has been sent ClientDisconnect unasked."""
    unseen: bool = False
    """What is sent to it, nobody sees."""
    heartbeats: int = 0
    """Those that are still to be echoed."""
    excused: int = 0
    """Those that may be echoed, and need not be."""
    queue_size: int = 0
    load: int = 0
    """How many tasks it holds."""
    doubts: int = 0
    """How many more it may hold, in the scheduler's eyes."""

    def lost_by(self, requirement: str) -> str:
        """By which requirement it is treated as lost: this one, unless its good-bye had to be understood first."""
        return "M6" if self.oddly else requirement

    def is_served_as(self, role: str) -> bool:
        """Whether it is registered in this role for certain, and alive."""
        return self.role == role and self.sure and not self.vague and not self.lost

    @property
    def serves(self) -> bool:
        """Whether it is a worker that may be given tasks."""
        return self.role == "worker" and not self.lost and not self.vague

    def copy(self) -> PeerBook:
        """A copy."""
        return PeerBook(*_PEER(self))

    @property
    def room(self) -> int:
        """How many more tasks it can be given for certain, if it is registered."""
        return max(0, min(self.queue_size, _LEAST_PLACES) - self.load - self.doubts) if self.serves else 0


@dataclass(slots=True)
class TaskBook:
    """A task that a client has submitted."""

    owner: str
    message: Task
    stage: str = "held"
    """"held"; "abandoned": its owner is lost, its holder has it still; "over": its terminal message is sent or due;
    "unclear": the scheduler has done with it what makes no sense, and whatever follows is no surprise.
    """
    holder: str = ""
    last_holder: str = _named()
    """Who held it until it was given back, or lost, or over."""
    lost_with: str = _named()
    """The worker with which it was lost, if it was not placed again since."""
    finished_by: str = _named()
    """The holder whose result ended it: what it answers later is dropped (S5.2)."""
    round: str = ""
    """Whose round is open with the holder: "owner", "move", or ""."""
    taken_over: bool = _named(False)
    """The owner's round began as a move (S7.6)."""
    forced: bool = False
    """In this round a TaskCancel with force was sent to the holder, or is due."""
    asked: int = 0
    """TaskCancels that were sent to the holder, or are due, and are not answered."""
    absorbed: bool = _named(False)
    """In this round a refusal was not passed on, since force had joined (S6.3)."""
    refused: bool = _named(False)
    """A cancel of it has been refused."""
    doubtful: bool = False
    """Held, and it may have gone to a worker whose messages nobody sees, or have been refused, or is known to wait
    where it should not.
    """
    asked_in_doubt: bool = False
    """It is `doubtful`, and its owner has cancelled it."""
    waits_by: str = "S9.9"
    """By which requirement it is placed, while it waits."""
    losses: int = 0
    may_have_died: int = 0
    """Nobody has told its owner, who would know at the latest after so many echoes, that its last loss was one too many
    (S9.4); 0: it was not.
    """
    terminal: Message | None = None
    """The terminal message that was sent."""
    never_again: str = _named("S1.2")
    """What is broken if it is dispatched when it is over."""
    places: tuple[str, ...] = ()
    """Workers at which it may count as held though it is not."""
    graph: bytes = b""
    """The graph that it is a node of."""
    ready: bool = True
    """It is no node that waits for others."""
    asked_force: bool | None = None
    """The force of the last cancel of the node, by its owner or by what follows from others."""
    spared: Message | None = None
    """What the node ends with if it comes back from its worker: it is not needed any more."""
    tempting: dict[tuple[str, Effect], str] = field(default_factory=dict, compare=False)
    """Effects of what was dropped, by whom they would be sent to ("": any worker); and the requirement."""

    def copy(self) -> TaskBook:
        """A copy."""
        task = TaskBook(*_TASK(self))
        task.tempting = dict(self.tempting)
        return task


@dataclass(slots=True)
class GraphBook:
    """A graph that a client has submitted."""

    owner: str
    message: GraphTask
    stage: str = "held"
    """"held", "over" or "unclear", as of a task."""
    open: dict[bytes, None] = field(default_factory=dict)
    """Its nodes that have not ended."""
    results: dict[bytes, tuple[bytes, ...]] = field(default_factory=dict)
    """The payloads of those that succeeded."""
    replaced: bool = False
    """Its id was used again since, for a task (M5)."""
    asked: bool = False
    """A round of the whole graph is open."""
    canceled: bool = False
    failed: int | None = None
    """What the first node that failed ended with."""

    def copy(self) -> GraphBook:
        """A copy."""
        return replace(self, open=dict(self.open), results=dict(self.results))


_PEER = attrgetter(*(each.name for each in fields(PeerBook)))
_TASK = attrgetter(*(each.name for each in fields(TaskBook)))
