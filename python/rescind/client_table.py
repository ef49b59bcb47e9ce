"""The client's state table: one row a transition, the same rows as in SPEC.md.

A test reads the table in SPEC.md (section "The client's table") and holds it against `TRANSITIONS`.
An input that a state does not list changes nothing and sends nothing.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class FutureState(StrEnum):
    """Where a future stands in the client."""

    RUNNING = "running"
    CANCELING = "canceling"
    FINISHED = "finished"
    CANCELLED = "cancelled"


class FutureInput(StrEnum):
    """What can happen to a future."""

    CANCEL = "cancel"
    CANCEL_FORCE = "cancel, force"
    RESULT = "result"
    CANCELED = "canceled"
    CANCEL_FAILED = "cancelFailed"
    CANCEL_NOT_FOUND = "cancelNotFound"
    TIME_LIMIT = "time limit"
    DISCONNECT = "disconnect"


class CancelOutcome(StrEnum):
    """How the last cancel round of a future ended, or why it is cancelled without one (C5.2)."""

    CONFIRMED = "confirmed"
    NOT_FOUND = "not found"
    RESULT_DISCARDED = "result discarded"
    TIMED_OUT = "timed out"
    DISCONNECTED = "disconnected"
    REFUSED = "refused"


class Action(StrEnum):
    """What is done on a transition."""

    SEND_CANCEL = "TaskCancel"
    SEND_CANCEL_FORCE = "TaskCancel, force"
    DELIVER_RESULT = "deliver the result"
    CONFIRMED = "cancelled: confirmed"
    NOT_FOUND = "cancelled: not found"
    RESULT_DISCARDED = "cancelled: result discarded"
    TIMED_OUT = "cancelled: timed out"
    DISCONNECTED = "cancelled: disconnected"
    REFUSED = "round ends: refused"
    JOIN = "join the round"


class Transition(NamedTuple):
    """The state that follows and what is done on the way."""

    state: FutureState
    action: Action


def _rows() -> dict[tuple[FutureState, FutureInput], Transition]:
    s, i, a = FutureState, FutureInput, Action
    rows = [
        (s.RUNNING, i.CANCEL, s.CANCELING, a.SEND_CANCEL),
        (s.RUNNING, i.CANCEL_FORCE, s.CANCELING, a.SEND_CANCEL_FORCE),
        (s.RUNNING, i.RESULT, s.FINISHED, a.DELIVER_RESULT),
        (s.RUNNING, i.CANCELED, s.CANCELLED, a.CONFIRMED),
        (s.RUNNING, i.CANCEL_NOT_FOUND, s.CANCELLED, a.NOT_FOUND),
        (s.RUNNING, i.DISCONNECT, s.CANCELLED, a.DISCONNECTED),
        (s.CANCELING, i.CANCEL, s.CANCELING, a.JOIN),
        (s.CANCELING, i.CANCEL_FORCE, s.CANCELING, a.JOIN),
        (s.CANCELING, i.RESULT, s.CANCELLED, a.RESULT_DISCARDED),
        (s.CANCELING, i.CANCELED, s.CANCELLED, a.CONFIRMED),
        (s.CANCELING, i.CANCEL_FAILED, s.RUNNING, a.REFUSED),
        (s.CANCELING, i.CANCEL_NOT_FOUND, s.CANCELLED, a.NOT_FOUND),
        (s.CANCELING, i.TIME_LIMIT, s.CANCELLED, a.TIMED_OUT),
        (s.CANCELING, i.DISCONNECT, s.CANCELLED, a.DISCONNECTED),
    ]
    return {(state, given): Transition(following, action) for state, given, following, action in rows}


TRANSITIONS = _rows()
