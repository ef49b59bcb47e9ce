"""What a scheduler's machine has done so far: how often each row of its table was taken, and what follows from that.

Everything that is shown of tasks is computed from those numbers when somebody asks, so that neither a message nor a
look costs more with a million tasks held: how many are in a state is how many came into it less those that left it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from rescind.messages import CancelConfirmType, TaskResultType
from rescind.scheduler_table import ROWS, TRANSITIONS, Action, TaskInput, TaskState

RESULT_NAMES: Final[Mapping[int, str]] = {
    TaskResultType.SUCCESS: "success",
    TaskResultType.FAILED: "failed",
    TaskResultType.FAILED_WORKER_DIED: "failedWorkerDied",
}
"""As the schema names them; another number is `other` (M6)."""
CONFIRM_NAMES: Final[Mapping[int, str]] = {
    CancelConfirmType.CANCELED: "canceled",
    CancelConfirmType.CANCEL_FAILED: "cancelFailed",
    CancelConfirmType.CANCEL_NOT_FOUND: "cancelNotFound",
}
_CONFIRMS: Final = {
    TaskInput.CANCELED: "canceled",
    TaskInput.CANCEL_FAILED: "cancelFailed",
    TaskInput.CANCEL_NOT_FOUND: "cancelNotFound",
}
_ENDINGS: Final = {
    Action.SEND_CANCELED: "canceled",
    Action.SEND_WORKER_DIED: "failedWorkerDied",
    Action.SEND_FAILURE: "skipped",
    Action.NOTHING: "forgotten",
}
_MOVES: Final = {
    (TaskState.DISPATCHED, TaskInput.REBALANCE): "asked",
    (TaskState.REBALANCING, TaskInput.CANCELED): "moved",
    (TaskState.REBALANCING, TaskInput.CANCEL_NOT_FOUND): "moved",
    (TaskState.REBALANCING, TaskInput.CANCEL_FAILED): "refused",
}
_ROUNDS: Final = {
    TaskState.CANCELING: "owner",
    TaskState.ESCALATED: "owner",
    TaskState.FORCING: "owner",
    TaskState.REBALANCING: "rebalancing",
}
_ASKING: Final = tuple(state for state, whose in _ROUNDS.items() if whose == "owner")


def _nothing() -> list[int]:
    return [0] * (len(ROWS) + 1)  # the last is for rows that are in no table


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts of one machine, which alone changes them. Any two are equal: what was is no state of a machine."""

    rows: list[int] = field(default_factory=_nothing, compare=False)
    """How often each row was taken, by its number."""
    failures: Counter[int] = field(default_factory=Counter, compare=False)
    """Results of holders that were no success, by their type."""
    not_held: Counter[str] = field(default_factory=Counter, compare=False)
    """Cancels of what is not held for their sender (S2.1, S2.2), under "cancelNotFound"."""

    def __reduce__(self) -> tuple[type[Tally], tuple[()]]:
        """A copy of a machine counts anew."""
        return Tally, ()

    def states(self, *, held: int, queued: int) -> dict[str, int]:
        """How many tasks are in each state, of `held` tasks of which `queued` are queued."""
        counts = dict.fromkeys(TaskState, 0)
        for (state, given), count in zip(ROWS, self.rows, strict=False):
            counts[state] -= count
            counts[TRANSITIONS[state, given].state] += count
        del counts[TaskState.ENDED]
        # A Task begins as queued, a node as waiting, and neither comes by a row.
        counts[TaskState.QUEUED] = counts[TaskState.WAITING] = 0
        waiting = held - queued - sum(counts.values())
        counts |= {TaskState.QUEUED: queued, TaskState.WAITING: waiting}
        return {state.value: count for state, count in counts.items()}

    def ended(self) -> dict[str, int]:
        """How many tasks have ended, by how. `skipped`: S12.7, S12.9; `forgotten`: with their owner (S9.7)."""
        counts = dict.fromkeys((*RESULT_NAMES.values(), "other", "canceled", "cancelNotFound", *_ENDINGS.values()), 0)
        for (state, given), count in zip(ROWS, self.rows, strict=False):
            following, action, _ = TRANSITIONS[state, given]
            if following is not TaskState.ENDED:
                continue
            if given is TaskInput.RESULT:
                counts["success"] += count
            elif action is Action.FORWARD_ANSWER:
                counts[_CONFIRMS[given]] += count
            else:
                counts[_ENDINGS[action]] += count
        for kind, count in self.failures.items():
            counts["success"] -= count
            counts[RESULT_NAMES.get(kind, "other")] += count
        return counts

    def cancels(self) -> dict[str, int]:
        """What owners' cancels of held tasks came to, and cancels of others (`cancelNotFound`).

        `result`: a result came first (S5.1). `canceled` counts what a shutdown or the loss of a worker cancelled, too.
        """
        counts = dict.fromkeys((*CONFIRM_NAMES.values(), "result"), 0)
        for (state, given), count in zip(ROWS, self.rows, strict=False):
            action = TRANSITIONS[state, given].action
            if action is Action.SEND_CANCELED:
                counts["canceled"] += count
            elif action is Action.FORWARD_ANSWER and given in _CONFIRMS:
                counts[_CONFIRMS[given]] += count
            elif given is TaskInput.RESULT and state in _ASKING:
                counts["result"] += count
        for answer, count in self.not_held.items():
            counts[answer] += count
        return counts

    def moves(self) -> dict[str, int]:
        """Rebalancing rounds by what came of them, and tasks that were placed again since their worker was `lost`."""
        counts = dict.fromkeys((*_MOVES.values(), "lost"), 0)
        for (state, given), count in zip(ROWS, self.rows, strict=False):
            if (state, given) in _MOVES:
                counts[_MOVES[state, given]] += count
            elif given is TaskInput.WORKER_LOST and TRANSITIONS[state, given].state is TaskState.QUEUED:
                counts["lost"] += count
        return counts


def rounds(states: Mapping[str, int]) -> dict[str, int]:
    """How many cancel rounds are open, by whose they are; `states` is what `Tally.states` returns."""
    counts = dict.fromkeys(_ROUNDS.values(), 0)
    for state, whose in _ROUNDS.items():
        counts[whose] += states[state.value]
    return counts
