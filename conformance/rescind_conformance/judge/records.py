"""What a judge reads: messages and events at one party, in the order in which that party had them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from rescind.messages import Message

SCHEDULER = "scheduler"
"""How traces name the scheduler. Every message has it at one end."""


class EventKind(StrEnum):
    """What happens at a party and is no message."""

    # At a scheduler.
    SCHEDULER_STARTED = "scheduler started"
    """A life of it begins, with nothing. What stands before it was another life's, which has ended somehow."""
    PEER_LOST = "peer lost"
    """It takes `peer` as lost: silent for its time-out, or its connection dropped. Not for a good-bye."""
    DRAIN_REQUESTED = "drain requested"
    """Its operator tells it to drain. At a worker too."""
    CLOSE_REQUESTED = "close requested"
    """An orderly shutdown begins: its operator asks for it, or it has drained."""
    GRACE_OVER = "grace over"
    """The grace of an orderly shutdown is over."""
    CLOSED = "closed"
    """An orderly shutdown is complete: nothing is handled or sent any more."""
    UNSEEN = "unseen"
    """From now on the trace does not show what is sent to `peer`: nobody reads it."""

    # At a client. A call is of `cancel()` or `cancelled()`; `call` numbers the calls of a client.
    CANCEL_CALLED = "cancel called"
    """`task`, `call`, `force`."""
    CANCEL_RETURNED = "cancel returned"
    """`task`, `call`, `value`: what it returned."""
    CANCELLED_CALLED = "cancelled called"
    """`task`, `call`."""
    CANCELLED_RETURNED = "cancelled returned"
    """`task`, `call`, `value`."""
    TIME_LIMIT = "time limit"
    """The time limit of a `cancel()` for `task` is reached."""
    SETTLED = "settled"
    """The future of `task` is settled; `outcome`: "finished" or "cancelled"."""
    RESULT_RELEASED = "result released"
    """The payloads of a result of `task` are released; at a worker: nothing of them is stored any more."""
    DISCONNECT_CALLED = "disconnect called"
    SCHEDULER_LOST = "scheduler lost"
    """`outcome`: "dropped", its connection; or "silent", nothing has come for the time-out. At a worker too."""

    # At a worker.
    STARTED = "started"
    """`task` gets what it runs in, whether its function has begun or not."""
    FINISHED = "finished"
    """The function of `task` returned or raised (`outcome`: "returned", "raised"), and the worker has noticed."""
    PROCESS_ENDED = "process ended"
    """What ran `task` has ended, all of it."""
    LEAVE_REQUESTED = "leave requested"
    """Its operator asks it to leave."""


@dataclass(frozen=True, slots=True)
class MessageRecord:
    """One message that the party `at` received (`receiver == at`) or sent (`sender == at`)."""

    at: str
    sender: str
    receiver: str
    message: Message | None
    """None: a frame that is malformed or has a meaning that nobody knows; `note` says why."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class EventRecord:
    """One event at the party `at`. Which fields it uses, its kind says."""

    at: str
    event: EventKind
    peer: str = ""
    task: bytes = b""
    call: int = 0
    force: bool = False
    value: bool = False
    outcome: str = ""


Record = MessageRecord | EventRecord


@dataclass(frozen=True, slots=True)
class Violation:
    """A requirement that a party broke."""

    requirement: str
    text: str
    """What it did, in words."""


class PartyJudge(Protocol):
    """Judges one party, record by record, in that party's own order. Not thread-safe.

    Deterministic, and all that it knows is in its attributes, of plain values: it can be copied in the middle,
    and two judges with equal attributes will judge alike. What can no longer matter it forgets.
    """

    def read(self, record: Record) -> list[Violation]:
        """Take one record; what it breaks, most telling first. Never raises on what parties do."""
        ...

    def rest(self) -> list[Violation]:
        """At a moment of rest, when nothing is on its way any more: what should have been done and was not."""
        ...
