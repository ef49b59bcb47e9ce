"""The worker's state table: one row a transition, the same rows as in SPEC.md.

A test reads the table in SPEC.md (section "The worker's table") and holds it against `TRANSITIONS`.
An input that a state does not list changes nothing and sends nothing.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class AssignmentState(StrEnum):
    """Where a task stands in the worker that holds it."""

    QUEUED = "queued"
    RUNNING = "running"
    ENDING = "ending"
    LEAVING = "leaving"
    ENDED = "ended"


class AssignmentInput(StrEnum):
    """What can happen to a task that a worker holds."""

    START = "start"
    CANCEL = "cancel"
    CANCEL_FORCE = "cancel, force"
    FINISHED = "finished"
    PROCESS_ENDED = "process ended"
    LEAVE = "leave"


class Action(StrEnum):
    """What is done on a transition."""

    START_PROCESS = "start it"
    END_PROCESS = "end its process"
    SEND_RESULT = "TaskResult"
    SEND_WORKER_DIED = "TaskResult, failedWorkerDied"
    SEND_CANCELED = "TaskCancelConfirm, canceled"
    SEND_CANCEL_FAILED = "TaskCancelConfirm, cancelFailed"
    NOTHING = "nothing"


class Transition(NamedTuple):
    """The state that follows and what is done on the way."""

    state: AssignmentState
    action: Action


def _rows() -> dict[tuple[AssignmentState, AssignmentInput], Transition]:
    s, i, a = AssignmentState, AssignmentInput, Action
    rows = [
        (s.QUEUED, i.START, s.RUNNING, a.START_PROCESS),
        (s.QUEUED, i.CANCEL, s.ENDED, a.SEND_CANCELED),
        (s.QUEUED, i.CANCEL_FORCE, s.ENDED, a.SEND_CANCELED),
        (s.QUEUED, i.LEAVE, s.ENDED, a.NOTHING),
        (s.RUNNING, i.CANCEL, s.RUNNING, a.SEND_CANCEL_FAILED),
        (s.RUNNING, i.CANCEL_FORCE, s.ENDING, a.END_PROCESS),
        (s.RUNNING, i.FINISHED, s.ENDED, a.SEND_RESULT),
        (s.RUNNING, i.PROCESS_ENDED, s.ENDED, a.SEND_WORKER_DIED),
        (s.RUNNING, i.LEAVE, s.LEAVING, a.END_PROCESS),
        (s.ENDING, i.CANCEL, s.ENDING, a.NOTHING),
        (s.ENDING, i.CANCEL_FORCE, s.ENDING, a.NOTHING),
        (s.ENDING, i.FINISHED, s.ENDING, a.NOTHING),
        (s.ENDING, i.PROCESS_ENDED, s.ENDED, a.SEND_CANCELED),
        (s.ENDING, i.LEAVE, s.LEAVING, a.NOTHING),
        (s.LEAVING, i.CANCEL, s.LEAVING, a.NOTHING),
        (s.LEAVING, i.CANCEL_FORCE, s.LEAVING, a.NOTHING),
        (s.LEAVING, i.FINISHED, s.LEAVING, a.NOTHING),
        (s.LEAVING, i.PROCESS_ENDED, s.ENDED, a.NOTHING),
    ]
    return {(state, given): Transition(following, action) for state, given, following, action in rows}


TRANSITIONS = _rows()
