"""What happens in an episode, drawn from a seed: which faults, at which moments."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from rescind.messages import Message, Task, TaskCancel, TaskCancelConfirm, TaskResult


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault."""

    name: str
    target: str
    """What it befalls: `client`, `worker`, `scheduler`, `any` of these, `link`, `store`; or a process that a worker has
    started, by its name.
    """
    action: str
    """What `strike` does: see there."""
    weight: int
    seconds: tuple[float, float] = (0.0, 0.0)
    """How long it lasts, or how soon after it the process is started again: from, to."""
    text: str = ""


_SHORT, _LONG, _BACK = (0.03, 0.4), (1.7, 2.1), (0.0, 0.25)
"""Seconds: less than the time-outs; more than all of them; until what ended is started again."""

KINDS: Final = (
    Kind("kill-client", "client", "kill", 3, _BACK, "kill -9 of a client"),
    Kind("kill-worker", "worker", "kill", 2, _BACK, "kill -9 of a worker"),
    Kind("kill-scheduler", "scheduler", "kill", 1, _BACK, "kill -9 of the scheduler, which comes back empty"),
    Kind("kill-task", "rescind-task", "kill", 3, text="kill -9 of a process that runs a task"),
    Kind("kill-guard", "rescind-guard", "kill", 2, text="kill -9 of the guard of such a process"),
    Kind("kill-server", "rescind-server", "kill", 1, text="kill -9 of what forks such processes"),
    Kind("leave-client", "client", "term", 2, _BACK, "SIGTERM of a client, which says good-bye"),
    Kind("leave-worker", "worker", "term", 2, _BACK, "SIGTERM of a worker, which says good-bye"),
    Kind("leave-scheduler", "scheduler", "term", 1, _BACK, "SIGTERM of the scheduler, which shuts down in order"),
    Kind("pause-client", "client", "stop", 3, _SHORT, "SIGSTOP of a client for less than its time-out"),
    Kind("pause-worker", "worker", "stop", 4, _SHORT, "SIGSTOP of a worker for less than its time-out"),
    Kind("pause-scheduler", "scheduler", "stop", 4, _SHORT, "SIGSTOP of the scheduler for less than its time-out"),
    Kind("pause-task", "rescind-task", "stop", 3, _SHORT, "SIGSTOP of a process that runs a task"),
    Kind("freeze-client", "client", "stop", 1, _LONG, "SIGSTOP of a client for longer: it is lost, and comes back"),
    Kind("freeze-worker", "worker", "stop", 1, _LONG, "SIGSTOP of a worker for longer: it is lost, and comes back"),
    Kind("freeze-scheduler", "scheduler", "stop", 1, _LONG, "SIGSTOP of the scheduler for longer: it is lost"),
    Kind("cut", "link", "cut", 5, (0.0, 0.0), "a connection drops"),
    Kind("down", "link", "down", 2, (0.05, 0.5), "a link drops and cannot be made for a while"),
    Kind("mute-out", "link", "mute-out", 2, _SHORT, "nothing gets through to the scheduler for a while"),
    Kind("mute-in", "link", "mute-in", 2, _SHORT, "nothing gets through from the scheduler for a while"),
    Kind("black-hole", "link", "black-hole", 1, _LONG, "nothing gets through either way, until both sides give up"),
    Kind("delay", "link", "delay", 3, (0.1, 0.6), "each message is late"),
    Kind("throttle", "link", "throttle", 3, (0.1, 0.6), "bytes pass slowly"),
    Kind("disk-full", "store", "fill", 3, (0.05, 0.3), "the disk of the store is full"),
    Kind("clock", "any", "clock", 3, text="the wall clock of a process jumps, by up to a year either way"),
    Kind("storm", "client", "storm", 3, text="a client submits and cancels much at once"),
)
"""All kinds."""


@dataclass(frozen=True, slots=True)
class Moment:
    """When a fault strikes: as the next such message passes."""

    name: str
    message: type[Message] | None
    """None: at any moment, soon."""
    role: str = ""
    """Whose link: `client` or `worker`."""
    to_scheduler: bool = False


MOMENTS: Final = (
    Moment("as a client asks to cancel", TaskCancel, "client", True),
    Moment("as a cancel goes to a worker", TaskCancel, "worker", False),
    Moment("as a worker answers a cancel", TaskCancelConfirm, "worker", True),
    Moment("as the answer goes to a client", TaskCancelConfirm, "client", False),
    Moment("as a task goes to a worker", Task, "worker", False),
    Moment("as a worker has a result", TaskResult, "worker", True),
    Moment("as a result goes to a client", TaskResult, "client", False),
    Moment("at any moment", None),
)
"""Most are in the middle of a cancel round."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of an episode."""

    number: int
    kind: Kind
    moment: Moment
    late: bool
    """Whether it strikes when the message has passed, and not before."""
    pick: float
    """Which of the processes that it may befall, from 0 to 1."""
    seconds: float
    strength: float
    """From 0 to 1: how slow, how far a clock jumps."""

    def __str__(self) -> str:
        side = "" if self.moment.message is None else " (once it has passed)" if self.late else " (before it passes)"
        lasts = f" for {self.seconds:.2f} s" if self.seconds else ""
        return f"{self.number:3} {self.kind.name}{lasts}, {self.moment.name}{side}"


@dataclass(frozen=True, slots=True)
class Plan:
    """An episode. The same seed and number make the same plan."""

    seed: int
    episode: int
    workers: int
    clients: int
    faults: tuple[Fault, ...]
    patience: float = 30.0
    """Seconds: how long anything may take, once all faults are over, until it is found missing."""

    @property
    def name(self) -> str:
        """What is drawn in the episode is drawn from this, too."""
        return f"{self.seed}/{self.episode}"


def draw_plan(seed: int, episode: int, faults: int, kinds: Collection[str] = ()) -> Plan:
    """Draw an episode. `kinds`: by name, those that may come; all if there are none."""
    source = random.Random(f"{seed}/{episode}")
    allowed = [kind for kind in KINDS if not kinds or kind.name in kinds]
    weights = [kind.weight for kind in allowed]
    return Plan(
        seed,
        episode,
        workers=source.choice((1, 2, 2)),
        clients=source.choice((1, 2, 2, 3)),
        faults=tuple(_draw_fault(source, number, allowed, weights) for number in range(1, faults + 1)),
    )


def _draw_fault(source: random.Random, number: int, kinds: Sequence[Kind], weights: Sequence[int]) -> Fault:
    kind = source.choices(kinds, weights)[0]
    return Fault(
        number,
        kind,
        source.choice(MOMENTS),
        late=source.random() < 0.5,
        pick=source.random(),
        seconds=source.uniform(*kind.seconds),
        strength=source.random(),
    )
