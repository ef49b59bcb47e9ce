"""What the judges of clients and of workers have in common."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from typing import ClassVar, Self

from rescind.messages import ClientHeartbeat, ClientHeartbeatEcho, Message, WorkerHeartbeat, WorkerHeartbeatEcho
from rescind.trace import describe
from rescind_conformance.judge.records import EventKind, EventRecord, Record, Violation

_OF_LATER_VERSIONS = ("unknown member", "unsupported member")
"""How the note of a message begins that is well-formed and has a member that is not used here."""


class PeerJudge(ABC):
    """Implements `PartyJudge` for a party that knows nobody but the scheduler; one record breaks one requirement.

    `events` are the kinds that its recorder records, each at the moment at which the party has it; rules that need
    others are off. `names` are those of tasks, for the texts. `introduced`: the party's first heartbeat came before
    the first record.
    """

    _FIRST: ClassVar[type[ClientHeartbeat | WorkerHeartbeat]]
    """What it has to send first."""
    _FIRST_OF_ALL: ClassVar[str]
    """The requirement that says so."""
    _SENDS: ClassVar[tuple[type[Message], ...]]
    """What it may send."""

    def __init__(
        self, events: Collection[EventKind], names: Mapping[bytes, str] | None = None, *, introduced: bool = False
    ) -> None:
        self._events = tuple(sorted(set(events)))
        self._names = names if names is not None else {}
        self._introduced = introduced
        self._without_effect = ""
        """The requirement by which the last message that it received must not have an effect."""
        self._gone = ""
        """The requirement by which it sends nothing any more."""
        self._at = ""
        self._found: list[Violation] = []

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        """Its books, down to each entry; what never changes is shared."""
        other = object.__new__(type(self))
        for name, value in vars(self).items():
            setattr(other, name, value if name == "_names" else _copied(value))
        return other

    def read(self, record: Record) -> list[Violation]:
        """Take one record; what it breaks."""
        self._at = record.at
        if isinstance(record, EventRecord):
            self._on_event(record)
        elif record.receiver == record.at:
            self._without_effect = ""
            if record.message is None:
                self._without_effect = "M3" if record.note.startswith(_OF_LATER_VERSIONS) else "M1"
            else:
                self._on_received(record.message)
        elif record.message is not None:
            self._on_any_sent(record.message)
            self._without_effect = ""
        elif not record.note.startswith(_OF_LATER_VERSIONS):
            self._break("T2", f"sends what is no message: {record.note}")
        return self._take()[:1]

    def rest(self) -> list[Violation]:
        """At a moment of rest: what should have been done and was not."""
        if not self._introduced:
            self._break(self._FIRST_OF_ALL, "has not sent a heartbeat")
        self._at_rest()
        return self._take()

    def may_hurry(self, record: Record) -> bool:
        """Implements `Hurrying`: heartbeats, their echoes, and events that mean nothing to it."""
        if isinstance(record, EventRecord):
            return record.event is EventKind.UNSEEN
        match record.message:
            case ClientHeartbeat() | WorkerHeartbeat() if record.sender == record.at:
                return self._introduced and not self._gone and not self._without_effect
            case ClientHeartbeatEcho() | WorkerHeartbeatEcho():
                return record.sender != record.at and not self._without_effect
            case _:
                return False

    @abstractmethod
    def _on_event(self, record: EventRecord) -> None: ...

    @abstractmethod
    def _on_received(self, message: Message) -> None: ...

    @abstractmethod
    def _on_sent(self, message: Message, said: str) -> None: ...

    @abstractmethod
    def _at_rest(self) -> None: ...

    def _on_any_sent(self, message: Message) -> None:
        said = f"sends {describe(message, self._names)}"
        if not self._introduced and not isinstance(message, self._FIRST):
            self._break(self._FIRST_OF_ALL, f"{said} before its first heartbeat")
        self._introduced = True
        if self._gone:
            self._break(self._gone, f"{said}, though {_GONE[self._gone]}")
        elif not isinstance(message, self._SENDS):
            self._break("M3", f"{said}, which is not meant to come from it")
        else:
            self._on_sent(message, said)

    def _sees(self, *kinds: EventKind) -> bool:
        return all(kind in self._events for kind in kinds)

    def _name(self, task_id: bytes) -> str:
        return self._names.get(task_id) or f"task {task_id.hex()}"

    def _break(self, requirement: str, text: str) -> None:
        self._found.append(Violation(requirement, f"{self._at or 'it'} {text}"))

    def _take(self) -> list[Violation]:
        found, self._found = self._found, []
        return found


_GONE = {"T4": "its connection has dropped", "W4.2": "it has said good-bye"}


def _copied(value: object) -> object:
    if isinstance(value, dict):
        return {key: copy.copy(each) for key, each in value.items()}
    return list(value) if isinstance(value, list) else value
