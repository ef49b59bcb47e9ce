"""One recorded run of a scheduler, and the same as a value of TLA+ for protocol/model/Trace.tla."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

Said = tuple[str | int, ...]
"""A message, or an event, as the model has it: its name, then the task or the word that it says."""
NOBODY = "nobody"
"""The peer of an event that is about none."""
LOSSES = frozenset({3})
"""The reference's limit of workers that a task is lost with (S9.4)."""
_MOST_LOSSES = 10
"""The highest limit that S9.4 lets a scheduler have."""


@dataclass(frozen=True, slots=True)
class Step:
    """One record of a run."""

    position: int
    """Counts the records of the run as it was recorded, from 1: the line in a trace file. 0 of what nobody saw."""
    kind: str
    """ "from", "to" or "event", as Trace.tla says."""
    peer: str
    """C1, C2... for clients, W1, W2... for workers."""
    said: Said
    words: str
    """The record as people read it."""

    def text(self) -> str:
        """The record as a value of TLA+."""
        said = ", ".join(str(part) if isinstance(part, int) else f'"{part}"' for part in self.said)
        return f'<<{self.position}, "{self.kind}", "{self.peer}", <<{said}>>>>'


@dataclass(slots=True)
class Lane:
    """Records that are in order."""

    steps: list[Step] = field(default_factory=list)
    open: bool = True
    """More may have been sent at its end than was seen."""


@dataclass(slots=True)
class Run:
    """One recorded run. The fields that Trace.tla has are explained there."""

    name: str
    peers: tuple[str, ...]
    tasks: tuple[str, ...]
    lanes: list[Lane]
    into: dict[str, int]
    """For each peer, which lane says what it was sent, counted from 0."""
    outside: bool
    losses: frozenset[int] = LOSSES
    limited: bool = False
    moves: bool = True
    skipped: Counter[str] = field(default_factory=Counter)
    """How many records the model has nothing to say about, by kind."""
    repeated: int = 0
    """How many records of heartbeats and echoes stand for one: nothing had happened since the ones before."""
    cut: str = ""
    """Why the run is held against the model only up to some record, "" if it is to its end."""
    may_have_happened: tuple[tuple[Step, ...], ...] = ()
    """Events that nobody has seen, if there were any: each of these is some that happen in their order, or begin to."""
    exits: bool = False
    """Whether the scheduler's end is in it: all that it sent was seen, by those who heard it out."""

    @property
    def length(self) -> int:
        """How many records are held against the model."""
        return sum(len(lane.steps) for lane in self.lanes)

    @property
    def has_graphs(self) -> bool:
        """Whether a client submits a graph, which the model leaves out."""
        return any(
            step.said[0] == "GraphTask" and step.peer.startswith("C") for lane in self.lanes for step in lane.steps
        )

    def allow_any_limit_of_losses(self) -> None:
        """Of another scheduler it is not known after how many losses it gives a task up (S9.4)."""
        losses = sum(
            step.said[0] == "WorkerDisconnectNotification"
            or (step.said[0] == "peer lost" and step.peer.startswith("W"))
            for lane in self.lanes
            for step in lane.steps
        )
        # Beyond what there is in the run a limit makes no difference.
        self.losses = frozenset(range(1, min(_MOST_LOSSES, losses + 1) + 1))

    def with_what_nobody_saw(self) -> Run:
        """The same, with the events that may have happened."""
        run = replace(self, lanes=[*self.lanes, *(Lane(list(steps)) for steps in self.may_have_happened)])
        if self.losses != LOSSES:
            run.allow_any_limit_of_losses()  # there may be more of them
        return run

    def at(self, position: int) -> Step | None:
        """The first record with a position, None if there is none."""
        return next((step for lane in self.lanes for step in lane.steps if step.position == position), None)

    def text(self) -> str:
        """The run as a value of TLA+."""
        into = " @@ ".join(f'"{peer}" :> {self.into[peer] + 1}' for peer in self.peers) or "<<>>"
        lanes = ",\n    ".join(
            f"[open |-> {_truth(lane.open)}, records |-> <<{', '.join(step.text() for step in lane.steps)}>>]"
            for lane in self.lanes
        )
        fields = (
            f"clients |-> {_set(peer for peer in self.peers if peer.startswith('C'))}",
            f"workers |-> {_set(peer for peer in self.peers if peer.startswith('W'))}",
            f"tasks |-> {_set(self.tasks)}",
            f"losses |-> {{{', '.join(map(str, sorted(self.losses)))}}}",
            f"limited |-> {_truth(self.limited)}",
            f"moves |-> {_truth(self.moves)}",
            f"outside |-> {_truth(self.outside)}",
            f"into |-> ({into})",
            f"lanes |-> <<{lanes}>>",
        )
        return f"[{', '.join(fields)}]"


def _truth(value: bool) -> str:
    return "TRUE" if value else "FALSE"


def _set(names: Iterable[str]) -> str:
    return "{" + ", ".join(f'"{name}"' for name in names) + "}"
