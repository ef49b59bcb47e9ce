"""A step of the explorer's system in the words of the model: the actions of `Cancellation.tla` that it consists of.

One step of the explorer is everything that a party does before it takes the next message; in the model a scheduler that
takes a message, places the tasks that wait, and sends its echo has taken three steps. What was sent tells which.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from rescind.messages import (
    CancelConfirmType,
    ClientDisconnect,
    ClientHeartbeat,
    ClientHeartbeatEcho,
    DisconnectType,
    Message,
    Task,
    TaskCancel,
    TaskCancelConfirm,
    TaskResult,
    TaskResultType,
    WorkerDisconnectNotification,
    WorkerHeartbeat,
    WorkerHeartbeatEcho,
)

NOBODY = "nobody"
SCHEDULER_PARTY = "scheduler"

Words = tuple[str, ...]
"""A message of the model: `("TaskCancel", "T1", "cancel, force")`."""

_CONFIRMS = {
    CancelConfirmType.CANCELED: "canceled",
    CancelConfirmType.CANCEL_FAILED: "cancelFailed",
    CancelConfirmType.CANCEL_NOT_FOUND: "cancelNotFound",
}
_RESULTS = {TaskResultType.SUCCESS: "success", TaskResultType.FAILED_WORKER_DIED: "failedWorkerDied"}
_DISCONNECTS = {DisconnectType.DISCONNECT: "disconnect", DisconnectType.SHUTDOWN: "shutdown"}
_PLAIN = (
    ClientHeartbeat,
    ClientHeartbeatEcho,
    WorkerHeartbeat,
    WorkerHeartbeatEcho,
    WorkerDisconnectNotification,
)


class NotInTheModel(Exception):
    """A message, or a step, that the model has no word for; the text names it."""


@dataclass(frozen=True, slots=True)
class ModelStep:
    """One action of the model, and what the run tells of it. Which fields it uses, `do` says."""

    do: str
    """The action: an operator of SystemTrace.tla."""
    who: str = NOBODY
    """The peer that it is about."""
    task: str = NOBODY
    word: str = ""
    """The event of a cancel, or what goes wrong."""
    got: tuple[Words, ...] = ()
    """The message that was taken, if one was."""
    up: tuple[Words, ...] = ()
    """What the peer sent."""
    down: tuple[tuple[str, Words], ...] = ()
    """What the scheduler sent, and to whom."""
    first: tuple[str, ...] = ()
    """Of several tasks with one fate, in which order they had it."""
    party: str = NOBODY
    after: tuple[tuple[str, str, str], ...] = ()
    """Of `party`, if it is told: each task, its state afterwards, and who holds it."""


def words(message: Message, names: Mapping[bytes, str]) -> Words:
    """A message as the model has it; `names` are those of tasks. Raises `NotInTheModel`."""
    try:
        match message:
            case Task(task):
                return ("Task", names[task])
            case TaskCancel(task, force):
                return ("TaskCancel", names[task], kind_of_cancel(force))
            case TaskCancelConfirm(task, CancelConfirmType() as confirm):
                return ("TaskCancelConfirm", names[task], _CONFIRMS[confirm])
            case TaskResult(task, TaskResultType() as result):
                return ("TaskResult", names[task], _RESULTS[result])
            case ClientDisconnect(DisconnectType() as kind):
                return ("ClientDisconnect", _DISCONNECTS[kind])
    except KeyError as error:
        raise NotInTheModel(f"{message!r}: {error}") from error
    if isinstance(message, _PLAIN):
        return (type(message).__name__,)
    raise NotInTheModel(repr(message))


def kind_of_cancel(force: bool) -> str:
    """The event of the tables."""
    return "cancel, force" if force else "cancel"


def of_scheduler(main: Iterable[ModelStep], down: Iterable[tuple[str, Words]], exits: bool) -> list[ModelStep]:
    """What the scheduler did in one step: what led to it, and then, as what it sent tells, what it decided.

    `main` are the steps that led to it, of which the last is the one that sent what follows from no decision. `exits`:
    it said no more after this.
    """
    sent = list(down)
    decided: list[ModelStep] = []
    reaction: list[tuple[str, Words]] = []
    for to, message in sent:
        step = _decision(to, message)
        if step is None:
            reaction.append((to, message))
        else:
            decided.append(replace(step, down=((to, message),)))
    steps = list(main)
    if steps:
        steps[-1] = replace(steps[-1], down=tuple(reaction), first=_order(sent))
    steps += decided
    if exits:
        steps.append(ModelStep("GraceOver"))
    if not _in_order(steps, sent):
        steps.append(ModelStep("nothing sends in this order", down=tuple(sent)))
    return steps


def _decision(to: str, message: Words) -> ModelStep | None:
    match message:
        case ("Task", task):
            return ModelStep("Place", to, task)
        case ("ClientHeartbeatEcho" | "WorkerHeartbeatEcho",):
            return ModelStep("SendEcho", to)
        case _:
            return None


def moves(down: Iterable[tuple[str, Words]]) -> list[ModelStep]:
    """What a rebalancing was: a step for each task that was asked back, or one that says that nothing came of it."""
    asked = [
        ModelStep("Move", task=message[1] if len(message) > 1 else NOBODY, down=((to, message),))
        for to, message in down
    ]
    return asked or [ModelStep("Nothing")]


def _order(sent: Iterable[tuple[str, Words]]) -> tuple[str, ...]:
    """The tasks that were spoken about, in the order of their first mention."""
    return tuple(dict.fromkeys(message[1] for _, message in sent if len(message) > 1 and message[0].startswith("Task")))


def _in_order(steps: Iterable[ModelStep], sent: Iterable[tuple[str, Words]]) -> bool:
    """Whether to each peer the steps send in the order in which it was sent."""
    told: dict[str, list[Words]] = {}
    for step in steps:
        for to, message in step.down:
            told.setdefault(to, []).append(message)
    really: dict[str, list[Words]] = {}
    for to, message in sent:
        really.setdefault(to, []).append(message)
    return told == really


def tla(value: object) -> str:
    """A value as TLC reads it: text, numbers, and tuples of them."""
    match value:
        case str():
            return f'"{value}"'
        case int():
            return str(value)
        case tuple():
            return f"<<{', '.join(map(tla, value))}>>"
        case _:
            raise TypeError(value)


def record(fields: Mapping[str, str]) -> str:
    """A record, of values that are written already."""
    return f"[{', '.join(f'{name} |-> {value}' for name, value in fields.items())}]"


def function(pairs: Mapping[str, str]) -> str:
    """A function of texts, of values that are written already."""
    if not pairs:
        return "<<>>"
    return f"({' @@ '.join(f'{tla(key)} :> {value}' for key, value in pairs.items())})"


def written(step: ModelStep, tasks: Iterable[str]) -> str:
    """A step as SystemTrace.tla has it; `tasks` are all that there are."""
    first = (*step.first, *(task for task in tasks if task not in step.first))
    return record(
        {
            "do": tla(step.do),
            "who": tla(step.who),
            "task": tla(step.task),
            "word": tla(step.word),
            "got": tla(step.got),
            "up": tla(step.up),
            "down": tla(step.down),
            "first": tla(first),
            "party": tla(step.party),
            "after": function({task: tla((state, holder)) for task, state, holder in step.after}),
        }
    )


def told(step: ModelStep) -> str:
    """A step in short, for people."""
    parts: list[str] = [step.do, *(part for part in (step.who, step.task, step.word) if part not in (NOBODY, ""))]
    parts += [f"<- {' '.join(message)}" for message in step.got]
    parts += [f"-> scheduler {' '.join(message)}" for message in step.up]
    parts += [f"-> {to} {' '.join(message)}" for to, message in step.down]
    return " ".join(parts)


def with_after(steps: list[ModelStep], party: str, after: Iterator[tuple[str, str, str]]) -> list[ModelStep]:
    """The steps, the last of which tells the states of the party's tasks."""
    if steps:
        steps[-1] = replace(steps[-1], party=party, after=tuple(after))
    return steps
