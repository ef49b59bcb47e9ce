"""The events of a recorded trace (conformance/TRACES.md), read and checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from rescind.trace import TraceEvent
from rescind_conformance.judge.client import CLIENT_EVENTS
from rescind_conformance.judge.records import SCHEDULER, EventKind, EventRecord
from rescind_conformance.judge.worker import WORKER_EVENTS

_CALLS = {"task", "call"}
_NEEDS: Final[Mapping[EventKind, set[str]]] = {
    EventKind.SCHEDULER_STARTED: set(),
    EventKind.PEER_LOST: {"peer"},
    EventKind.DRAIN_REQUESTED: set(),
    EventKind.CLOSE_REQUESTED: set(),
    EventKind.GRACE_OVER: set(),
    EventKind.CLOSED: set(),
    EventKind.CANCEL_CALLED: _CALLS,
    EventKind.CANCEL_RETURNED: {*_CALLS, "value"},
    EventKind.CANCELLED_CALLED: _CALLS,
    EventKind.CANCELLED_RETURNED: {*_CALLS, "value"},
    EventKind.TIME_LIMIT: {"task"},
    EventKind.SETTLED: {"task", "outcome"},
    EventKind.RESULT_RELEASED: {"task"},
    EventKind.DISCONNECT_CALLED: set(),
    EventKind.SCHEDULER_LOST: {"outcome"},
    EventKind.STARTED: {"task"},
    EventKind.FINISHED: {"task", "outcome"},
    EventKind.PROCESS_ENDED: {"task"},
    EventKind.LEAVE_REQUESTED: set(),
}
"""The events that a trace may have, and which fields each of them must have."""
_MAY_HAVE: Final = {EventKind.PEER_LOST: {"outcome"}, EventKind.CANCEL_CALLED: {"force"}}
_LOST = {"dropped", "silent"}
_OUTCOMES: Final = {
    EventKind.PEER_LOST: _LOST,
    EventKind.SCHEDULER_LOST: _LOST,
    EventKind.SETTLED: {"finished", "cancelled"},
    EventKind.FINISHED: {"returned", "raised"},
}
_READ: Final[Mapping[str, tuple[type, Callable[[Any], Any]]]] = {
    "peer": (str, str),
    "task": (str, bytes.fromhex),
    "call": (int, int),
    "force": (bool, bool),
    "value": (bool, bool),
    "outcome": (str, str),
}
"""By field, the type that it has in JSON, and what is read from it."""


def event_record(event: TraceEvent) -> EventRecord:
    """What a judge reads of an event. Fields that nobody knows are left out.

    Raises `ValueError` if there is no such event at this party, or a field is missing or has a value that it cannot
    have.
    """
    if event.event not in set(_NEEDS):
        raise ValueError(f"no such event: {event.event!r}")
    kind = EventKind(event.event)
    at_clients_and_workers = kind in CLIENT_EVENTS or kind in WORKER_EVENTS
    if kind is not EventKind.DRAIN_REQUESTED and at_clients_and_workers == (event.at == SCHEDULER):
        raise ValueError(f"{event.event!r} is no event of {event.at}")
    missing = sorted(_NEEDS[kind] - event.details.keys())
    if missing:
        raise ValueError(f"{event.event!r} has no {missing[0]!r}")
    known = _NEEDS[kind] | _MAY_HAVE.get(kind, set())
    values = {name: _value(kind, name, value) for name, value in event.details.items() if name in known}
    return EventRecord(event.at, kind, **values)


def _value(kind: EventKind, name: str, value: object) -> Any:
    type_, read = _READ[name]
    if type(value) is not type_ or (name == "outcome" and value not in _OUTCOMES[kind]):
        raise ValueError(f"{kind.value!r} cannot have the {name} {value!r}")
    return read(value)
