"""The scheduler's state table: one row a transition, the same rows as in SPEC.md.

A test reads the table in SPEC.md (section "The scheduler's table") and holds it against
`TRANSITIONS`, so neither can change alone. What is not in the table does not happen: an input that
a state does not list changes nothing and sends nothing.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class TaskState(StrEnum):
    """Where a task stands in the scheduler."""

    __hash__ = str.__hash__  # the same, without a detour through Python

    WAITING = "waiting"
    QUEUED = "queued"
    DISPATCHED = "dispatched"
    CANCELING = "canceling"
    ESCALATED = "escalated"
    FORCING = "forcing"
    REBALANCING = "rebalancing"
    ABANDONED = "abandoned"
    ENDED = "ended"


class TaskInput(StrEnum):
    """What can happen to a task. Answers count only when they come from its holder (S8.1)."""

    __hash__ = str.__hash__

    READY = "ready"
    SKIP = "skip"
    DISPATCH = "dispatch"
    CANCEL = "cancel"
    CANCEL_FORCE = "cancel, force"
    REBALANCE = "rebalance"
    RESULT = "result"
    CANCELED = "canceled"
    CANCEL_FAILED = "cancelFailed"
    CANCEL_NOT_FOUND = "cancelNotFound"
    WORKER_LOST = "worker lost"
    WORKER_LOST_AGAIN = "worker lost again"
    OWNER_LOST = "owner lost"
    CLOSE = "close"


class Action(StrEnum):
    """What is sent on a transition."""

    SEND_TASK = "Task to worker"
    SEND_CANCEL = "TaskCancel to worker"
    SEND_CANCEL_FORCE = "TaskCancel, force, to worker"
    FORWARD_ANSWER = "the answer to owner"
    SEND_CANCELED = "canceled to owner"
    SEND_WORKER_DIED = "failedWorkerDied to owner"
    SEND_FAILURE = "the failure to owner"
    NOTHING = "nothing"


class Transition(NamedTuple):
    """The state that follows and what is sent on the way."""

    state: TaskState
    action: Action
    number: int = -1
    """Which row it is, to be counted under; that of `ROWS`."""


def _rows() -> dict[tuple[TaskState, TaskInput], Transition]:
    s, i, a = TaskState, TaskInput, Action
    rows = [
        (s.WAITING, i.READY, s.QUEUED, a.NOTHING),
        (s.WAITING, i.SKIP, s.ENDED, a.SEND_FAILURE),
        (s.WAITING, i.CANCEL, s.ENDED, a.SEND_CANCELED),
        (s.WAITING, i.CANCEL_FORCE, s.ENDED, a.SEND_CANCELED),
        (s.WAITING, i.OWNER_LOST, s.ENDED, a.NOTHING),
        (s.WAITING, i.CLOSE, s.ENDED, a.SEND_CANCELED),
        (s.QUEUED, i.SKIP, s.ENDED, a.SEND_FAILURE),
        (s.QUEUED, i.DISPATCH, s.DISPATCHED, a.SEND_TASK),
        (s.QUEUED, i.CANCEL, s.ENDED, a.SEND_CANCELED),
        (s.QUEUED, i.CANCEL_FORCE, s.ENDED, a.SEND_CANCELED),
        (s.QUEUED, i.OWNER_LOST, s.ENDED, a.NOTHING),
        (s.QUEUED, i.CLOSE, s.ENDED, a.SEND_CANCELED),
        (s.DISPATCHED, i.CANCEL, s.CANCELING, a.SEND_CANCEL),
        (s.DISPATCHED, i.CANCEL_FORCE, s.FORCING, a.SEND_CANCEL_FORCE),
        (s.DISPATCHED, i.REBALANCE, s.REBALANCING, a.SEND_CANCEL),
        (s.DISPATCHED, i.RESULT, s.ENDED, a.FORWARD_ANSWER),
        (s.DISPATCHED, i.WORKER_LOST, s.QUEUED, a.NOTHING),
        (s.DISPATCHED, i.WORKER_LOST_AGAIN, s.ENDED, a.SEND_WORKER_DIED),
        (s.DISPATCHED, i.OWNER_LOST, s.ABANDONED, a.SEND_CANCEL_FORCE),
        (s.DISPATCHED, i.CLOSE, s.ENDED, a.SEND_CANCELED),
        (s.CANCELING, i.CANCEL, s.CANCELING, a.NOTHING),
        (s.CANCELING, i.CANCEL_FORCE, s.ESCALATED, a.SEND_CANCEL_FORCE),
        (s.CANCELING, i.RESULT, s.ENDED, a.FORWARD_ANSWER),
        (s.CANCELING, i.CANCELED, s.ENDED, a.FORWARD_ANSWER),
        (s.CANCELING, i.CANCEL_FAILED, s.DISPATCHED, a.FORWARD_ANSWER),
        (s.CANCELING, i.CANCEL_NOT_FOUND, s.ENDED, a.FORWARD_ANSWER),
        (s.CANCELING, i.WORKER_LOST, s.ENDED, a.SEND_CANCELED),
        (s.CANCELING, i.WORKER_LOST_AGAIN, s.ENDED, a.SEND_CANCELED),
        (s.CANCELING, i.OWNER_LOST, s.ABANDONED, a.SEND_CANCEL_FORCE),
        (s.CANCELING, i.CLOSE, s.ENDED, a.SEND_CANCELED),
        (s.ESCALATED, i.CANCEL, s.ESCALATED, a.NOTHING),
        (s.ESCALATED, i.CANCEL_FORCE, s.ESCALATED, a.NOTHING),
        (s.ESCALATED, i.RESULT, s.ENDED, a.FORWARD_ANSWER),
        (s.ESCALATED, i.CANCELED, s.ENDED, a.FORWARD_ANSWER),
        (s.ESCALATED, i.CANCEL_FAILED, s.FORCING, a.NOTHING),
        (s.ESCALATED, i.CANCEL_NOT_FOUND, s.ENDED, a.FORWARD_ANSWER),
        (s.ESCALATED, i.WORKER_LOST, s.ENDED, a.SEND_CANCELED),
        (s.ESCALATED, i.WORKER_LOST_AGAIN, s.ENDED, a.SEND_CANCELED),
        (s.ESCALATED, i.OWNER_LOST, s.ABANDONED, a.NOTHING),
        (s.ESCALATED, i.CLOSE, s.ENDED, a.SEND_CANCELED),
        (s.FORCING, i.CANCEL, s.FORCING, a.NOTHING),
        (s.FORCING, i.CANCEL_FORCE, s.FORCING, a.NOTHING),
        (s.FORCING, i.RESULT, s.ENDED, a.FORWARD_ANSWER),
        (s.FORCING, i.CANCELED, s.ENDED, a.FORWARD_ANSWER),
        (s.FORCING, i.CANCEL_FAILED, s.DISPATCHED, a.FORWARD_ANSWER),
        (s.FORCING, i.CANCEL_NOT_FOUND, s.ENDED, a.FORWARD_ANSWER),
        (s.FORCING, i.WORKER_LOST, s.ENDED, a.SEND_CANCELED),
        (s.FORCING, i.WORKER_LOST_AGAIN, s.ENDED, a.SEND_CANCELED),
        (s.FORCING, i.OWNER_LOST, s.ABANDONED, a.NOTHING),
        (s.FORCING, i.CLOSE, s.ENDED, a.SEND_CANCELED),
        (s.REBALANCING, i.CANCEL, s.CANCELING, a.NOTHING),
        (s.REBALANCING, i.CANCEL_FORCE, s.ESCALATED, a.SEND_CANCEL_FORCE),
        (s.REBALANCING, i.RESULT, s.ENDED, a.FORWARD_ANSWER),
        (s.REBALANCING, i.CANCELED, s.QUEUED, a.NOTHING),
        (s.REBALANCING, i.CANCEL_FAILED, s.DISPATCHED, a.NOTHING),
        (s.REBALANCING, i.CANCEL_NOT_FOUND, s.QUEUED, a.NOTHING),
        (s.REBALANCING, i.WORKER_LOST, s.QUEUED, a.NOTHING),
        (s.REBALANCING, i.WORKER_LOST_AGAIN, s.ENDED, a.SEND_WORKER_DIED),
        (s.REBALANCING, i.OWNER_LOST, s.ABANDONED, a.SEND_CANCEL_FORCE),
        (s.REBALANCING, i.CLOSE, s.ENDED, a.SEND_CANCELED),
        (s.ABANDONED, i.RESULT, s.ENDED, a.NOTHING),
        (s.ABANDONED, i.CANCELED, s.ENDED, a.NOTHING),
        (s.ABANDONED, i.CANCEL_FAILED, s.ABANDONED, a.NOTHING),
        (s.ABANDONED, i.CANCEL_NOT_FOUND, s.ENDED, a.NOTHING),
        (s.ABANDONED, i.WORKER_LOST, s.ENDED, a.NOTHING),
        (s.ABANDONED, i.WORKER_LOST_AGAIN, s.ENDED, a.NOTHING),
        (s.ABANDONED, i.CLOSE, s.ENDED, a.NOTHING),
    ]
    return {
        (state, given): Transition(following, action, number)
        for number, (state, given, following, action) in enumerate(rows)
    }


TRANSITIONS = _rows()
ROWS = tuple(TRANSITIONS)
"""The states and inputs by number."""
