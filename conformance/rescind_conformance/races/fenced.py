"""The trace of a machine as a process would leave it: with heartbeats of everybody after each thing that was done.

A machine needs no fences; whoever plays its order against a process does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from rescind.messages import (
    ClientDisconnect,
    ClientHeartbeat,
    ClientHeartbeatEcho,
    DisconnectType,
    Message,
    WorkerDisconnectNotification,
    WorkerHeartbeat,
    WorkerHeartbeatEcho,
)
from rescind_conformance.audit import RECONNECTS
from rescind_conformance.recording import Recording
from rescind_conformance.trace import SCHEDULER, Entry


@dataclass(slots=True)
class Fenced:
    """A trace with fences."""

    trace: list[Entry] = field(default_factory=list)
    positions: list[int] = field(default_factory=lambda: [0])
    """How many entries it has where the trace without fences has so many."""
    recording: Recording = field(default_factory=Recording)


def fenced(trace: Sequence[Entry], recording: Recording) -> Fenced:
    """The trace with fences, and its recording."""
    result = Fenced()
    heartbeats: dict[str, Message] = {}
    for index, entry in enumerate(trace):
        if _begins(entry):
            result.trace += [each for name in heartbeats for each in _fence(entry.step, name, heartbeats[name])]
        if index in recording.frames:
            result.recording.frames[len(result.trace)] = recording.frames[index]
        result.trace.append(entry)
        result.positions.append(len(result.trace))
        _learn(heartbeats, entry)
    result.trace += [each for name in heartbeats for each in _fence(0, name, heartbeats[name])]
    return result


def _begins(entry: Entry) -> bool:
    """Whether something is done, not only said to it."""
    is_said_to_it = entry.sender == SCHEDULER and entry.receiver != SCHEDULER
    return not entry.fence and not is_said_to_it and not (entry.event is not None and entry.event.peer)


def _learn(heartbeats: dict[str, Message], entry: Entry) -> None:
    """Who is there to be fenced, and with which heartbeat."""
    peer = entry.receiver if entry.sender == SCHEDULER else entry.sender
    if peer == SCHEDULER:
        return
    if _departs(entry):
        heartbeats.pop(peer, None)
    elif entry.sender == peer and isinstance(entry.message, ClientHeartbeat | WorkerHeartbeat) and entry.fence:
        heartbeats[peer] = entry.message


def _departs(entry: Entry) -> bool:
    """Whether its sender, or who it is sent to, is not there any more."""
    if entry.sender == entry.receiver:
        return entry.note != RECONNECTS
    match entry.message:
        case WorkerDisconnectNotification():
            return entry.sender.startswith("W")
        case ClientDisconnect(kind):
            return entry.sender == SCHEDULER or (entry.sender.startswith("C") and kind != DisconnectType.SHUTDOWN)
        case _:
            return False


def _fence(step: int, name: str, heartbeat: Message) -> Iterator[Entry]:
    echo = ClientHeartbeatEcho() if name.startswith("C") else WorkerHeartbeatEcho()
    yield Entry(step, name, SCHEDULER, heartbeat, fence=True)
    yield Entry(step, SCHEDULER, name, echo, fence=True)
