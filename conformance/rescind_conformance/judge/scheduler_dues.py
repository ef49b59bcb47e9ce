"""What a scheduler has to send, or may send, and until when."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from rescind.messages import ClientDisconnect, Message, TaskCancel, TaskCancelConfirm

Effect = tuple[object, ...]
"""What a message does, without what it carries: two messages with the same effect differ only in their content."""


def effect_of(message: Message) -> Effect:
    """See `Effect`."""
    match message:
        case TaskCancel(_, force):
            return "TaskCancel", force
        case TaskCancelConfirm(_, kind):
            return "TaskCancelConfirm", int(kind)
        case ClientDisconnect(kind):
            return "ClientDisconnect", int(kind)
        case _:
            return (type(message).__name__,)


@dataclass(frozen=True, slots=True)
class Due:
    """A message that must be sent; or, if `optional`, may be."""

    to: str
    message: Message
    requirement: str
    """That asks for it, or allows it."""
    cause: str = ""
    """Whose message caused it; "": it is only due at rest."""
    echoes: int = 0
    """With so many echoes to `cause` it is missing; 0: it has sent no heartbeat since."""
    optional: bool = False
    refuses: bool = False
    """It is optional, and refuses a Task that otherwise is held (S1.3)."""
    of_graph: bytes = b""
    """The GraphTask that it answers, for itself or for one of its targets (S12.2)."""
    told: bool = False
    """It is optional, since it has been found missing: that is told once."""
    overtaken: bool = False
    """It was found missing at an echo to `cause`, and about its task nothing has come since: if it is sent now, it is
    that echo that came too early (S10.2).
    """
    step: bool = False
    """It is the fate of a task in the loss of a worker, which is one step: what its receiver, `cause`, has caused since
    then comes behind it (S9.5).
    """
    behind: bool = False
    """It is such a fate, and something has come before it all the same."""


@dataclass(slots=True)
class Dues:
    """What is due, oldest first. What is no longer asked for may still be sent until the echo to its cause."""

    by_task: dict[bytes, tuple[Due, ...]] = field(default_factory=dict)

    def copy(self) -> Dues:
        """A copy."""
        return Dues(dict(self.by_task))

    def add(self, due: Due) -> None:
        about = _about(due.message)
        self.by_task[about] = (*self.by_task.get(about, ()), due)

    def about(self, message: Message) -> tuple[Due, ...]:
        """What is due to anyone about the task of a message."""
        return self.by_task.get(_about(message), ())

    def owed(self, to: str, message: Message) -> list[Due]:
        """What must be sent to a peer about the task of a message."""
        return [due for due in self.about(message) if due.to == to and not due.optional]

    def take(self, to: str, message: Message) -> Due | None:
        """Discharge what this message discharges; None: nothing. What must be sent goes before what may be, and the
        same message before one that only has the same effect.
        """
        effect = effect_of(message)
        among = [due for due in self.about(message) if due.to == to and effect_of(due.message) == effect]
        among.sort(key=lambda due: (due.optional, due.message != message))
        if not among:
            return None
        self.remove(among[0])
        return among[0]

    def take_elsewhere(self, message: Message) -> Due | None:
        """Discharge what this message would discharge if it had been sent to the right peer."""
        effect = effect_of(message)
        for due in self.about(message):
            if not due.optional and effect_of(due.message) == effect:
                self.remove(due)
                return due
        return None

    def remove(self, due: Due) -> None:
        self._replace(due, ())

    def excuse(self, due: Due) -> None:
        """It need not be sent any more."""
        self._replace(due, (replace(due, optional=True),))

    def late(self, due: Due, *, overtaken: bool = False) -> None:
        """It has been found missing, and will not be a second time: it may come late."""
        late = replace(due, optional=True, told=True, cause="", echoes=0, overtaken=due.overtaken or overtaken)
        self._replace(due, (late,))

    def forget_overtaken(self, message: Message | None = None) -> None:
        """What comes from now on, about the task of this message or about any, may have another cause."""
        for due in self.about(message) if message is not None else list(self):
            if due.overtaken:
                self._replace(due, (replace(due, overtaken=False),))

    def defer(self, due: Due) -> None:
        """One of the heartbeats that came before its turn is answered."""
        self._replace(due, (replace(due, echoes=due.echoes - 1),))

    def detach(self, sender: str) -> None:
        """No echo to this peer comes after anything."""
        for due in list(self):
            if due.cause == sender:
                self._replace(due, (replace(due, cause="", echoes=0),))

    def on_heartbeat(self, sender: str, unechoed: int) -> None:
        """The echo to this heartbeat, the last of so many, comes after all that its sender has caused (S10.2)."""
        for due in list(self):
            if due.cause == sender and not due.echoes:
                self._replace(due, (replace(due, echoes=unechoed),))

    def on_echo(self, to: str) -> list[Due]:
        """What should have come before this echo."""
        missing = []
        for due in list(self):
            if due.cause != to or not due.echoes:
                continue
            if due.echoes > 1:
                self._replace(due, (replace(due, echoes=due.echoes - 1),))
            elif due.step and not due.optional:
                self._replace(due, (replace(due, cause="", echoes=0, behind=True),))
            elif due.optional:
                self.remove(due)
            else:
                missing.append(due)
                self.late(due, overtaken=True)
        return missing

    def _replace(self, due: Due, by: tuple[Due, ...]) -> None:
        about = _about(due.message)
        dues = self.by_task[about]
        index = next(index for index, one in enumerate(dues) if one is due)
        left = (*dues[:index], *by, *dues[index + 1 :])
        if left:
            self.by_task[about] = left
        else:
            del self.by_task[about]

    def __iter__(self) -> Iterator[Due]:
        return (due for dues in self.by_task.values() for due in dues)


def _about(message: Message) -> bytes:
    return getattr(message, "task_id", b"")
