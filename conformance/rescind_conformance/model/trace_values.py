"""Reads recorded runs of a scheduler: of its own records, of its peers', or of a case of the suite.

What the model does not speak of is left out and counted (`Run.skipped`): frames that are no messages, logs,
bookkeeping of payloads, and confirms of an unknown type, which M6 has dropped. That they have no effect is held
against the model all the same, since whatever else is recorded must be explained without them.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from rescind.messages import (
    ArgumentType,
    CancelConfirmType,
    ClientDisconnect,
    ClientHeartbeat,
    ClientHeartbeatEcho,
    ClientShutdownResponse,
    DisconnectType,
    GraphTask,
    Message,
    ObjectInstruction,
    ObjectStorageAddress,
    Task,
    TaskCancel,
    TaskCancelConfirm,
    TaskLog,
    TaskResult,
    TaskResultType,
    WorkerDisconnectNotification,
    WorkerHeartbeat,
    WorkerHeartbeatEcho,
)
from rescind.trace import TraceEvent, TraceRecord, describe
from rescind_conformance.audit import DRAINS, DROPPED, EXITED, RECONNECTS, SILENT, STOPPED, UNDECIDED
from rescind_conformance.judge.records import SCHEDULER, EventKind
from rescind_conformance.model.recorded_run import NOBODY, Lane, Run, Said, Step
from rescind_conformance.model.trace_ends import close_fenced_lanes
from rescind_conformance.trace import SCHEDULER as SUBJECT
from rescind_conformance.trace import Entry

_CONFIRMS: Mapping[int, str] = {
    CancelConfirmType.CANCELED: "canceled",
    CancelConfirmType.CANCEL_FAILED: "cancelFailed",
    CancelConfirmType.CANCEL_NOT_FOUND: "cancelNotFound",
}
_RESULTS: Mapping[int, str] = {
    TaskResultType.SUCCESS: "success",
    TaskResultType.FAILED: "failed",
    TaskResultType.FAILED_WORKER_DIED: "failedWorkerDied",
}
_REGISTERING = (ClientHeartbeat, Task, GraphTask, WorkerHeartbeat)
"""By the first of these that it sends, the scheduler learns the role of a peer (S10.1)."""
_OF_WORKERS = (TaskResult, TaskCancelConfirm, WorkerDisconnectNotification)
_EVENTS = (EventKind.PEER_LOST, EventKind.CLOSE_REQUESTED, EventKind.GRACE_OVER, EventKind.CLOSED)
_UNREMARKABLE = (RECONNECTS, UNDECIDED, "sends no heartbeat for a while", "sends no more heartbeats")
_HEARTBEATS = {"ClientHeartbeat": "ClientHeartbeatEcho", "WorkerHeartbeat": "WorkerHeartbeatEcho"}
_ENDINGS = ("ClientDisconnect", "WorkerDisconnectNotification", EventKind.PEER_LOST)

OTHER_ADDRESS = "with another address"
"""What an echo says that names another place for payloads than the ones before."""
_MOST_PLACES = 1_000_000
"""More than any run has tasks: TLC's numbers end at 2^31, those of heartbeats at 2^32."""

_Placed = Sequence[tuple[int, TraceRecord | TraceEvent]]
"""Records with their positions."""


def own_run(name: str, records: Sequence[TraceRecord | TraceEvent]) -> Run | None:
    """A run in the scheduler's own order, of its last life; None if it has recorded nothing itself."""
    own = [one for one in enumerate(records, start=1) if (one[1].at or SCHEDULER) == SCHEDULER]
    starts = [number for number, (_, one) in enumerate(own, start=1) if _is(one, EventKind.SCHEDULER_STARTED)]
    own = own[starts[-1] :] if starts else own
    if not own:
        return None
    run = _Reader(name, own, outside=False).run()
    lane = run.lanes[0]
    # In its own order all that a record has caused is there when another follows.
    run.exits = bool(lane.steps) and lane.steps[-1].said == (EventKind.CLOSED,)
    lane.open = not run.exits
    kept = _without_repetitions(lane.steps)
    run.repeated, lane.steps = len(lane.steps) - len(kept), kept
    return run


def seen_run(name: str, records: Sequence[TraceRecord | TraceEvent]) -> Run:
    """A run as the peers have recorded it, in the order of one clock; what the scheduler has recorded is left out.

    None of them sees that the scheduler has lost one of them, or was asked to shut down.
    """
    seen = [
        one
        for one in enumerate(records, start=1)
        if isinstance(one[1], TraceRecord) and (one[1].at or SCHEDULER) != SCHEDULER
    ]
    run = _Reader(name, seen, outside=True).run()
    close_fenced_lanes(run)
    shutdown = (EventKind.CLOSE_REQUESTED, EventKind.GRACE_OVER)
    run.may_have_happened = (
        *((_unseen(EventKind.PEER_LOST, peer),) for peer in run.peers),
        tuple(_unseen(event) for event in shutdown),
    )
    return run


def _unseen(event: EventKind, peer: str = NOBODY) -> Step:
    return Step(0, "event", peer, (str(event),), f"S: {event}")


def case_run(name: str, trace: Sequence[Entry]) -> Run:
    """A run as the peers of a case of the suite saw it.

    It ends where the trace does not show everything, or where a peer sends a frame that is no message: what that is
    answered is its case's business.
    """
    records, cut = _records_of(trace)
    run = _Reader(name, records, outside=True).run()
    run.cut = cut
    close_fenced_lanes(run)
    run.exits = any(_is(record, EventKind.CLOSED) for _, record in records)
    if run.exits:
        dropped = {entry.sender for entry in trace if entry.note == DROPPED}
        for routing_id, peer in _names(record for _, record in records).items():
            if routing_id not in dropped:
                run.lanes[run.into[peer]].open = False
    return run


def _records_of(trace: Sequence[Entry]) -> tuple[_Placed, str]:
    """The records of a case, each with its place in its trace; and why they end before it does, "" if not."""
    records: list[tuple[int, TraceRecord | TraceEvent]] = []
    dropped: set[str] = set()
    for position, entry in enumerate(trace, start=1):
        if entry.sender == entry.receiver:
            if entry.note in (STOPPED, DRAINS) and entry.sender == SUBJECT:
                records += [(position, _event(EventKind.CLOSE_REQUESTED)), (position, _event(EventKind.GRACE_OVER))]
            elif entry.note in (SILENT, DROPPED):
                records.append((position, _event(EventKind.PEER_LOST, peer=entry.sender)))
                dropped |= {entry.sender} if entry.note == DROPPED else set()
            elif entry.note == EXITED and entry.sender == SUBJECT:
                records.append((position, _event(EventKind.CLOSED)))
            elif entry.note not in _UNREMARKABLE:
                return records, f"{entry.sender} {entry.note}"
        elif entry.message is None and entry.receiver == SUBJECT:
            return records, f"{entry.sender} sends {entry.note or 'what is no message'}"
        elif entry.receiver not in dropped:  # what is sent to those cannot all be seen, not even when they come back
            sender, receiver = (SCHEDULER if end == SUBJECT else end for end in (entry.sender, entry.receiver))
            records.append((position, TraceRecord(0.0, sender, receiver, entry.message, entry.note)))
            if entry.message == ClientDisconnect(DisconnectType.SHUTDOWN) and entry.receiver == SUBJECT:
                records.append((position, _event(EventKind.GRACE_OVER)))
    return records, ""


def _event(kind: EventKind, **details: str) -> TraceEvent:
    return TraceEvent(0.0, SCHEDULER, kind, details)


def _is(record: TraceRecord | TraceEvent, kind: EventKind) -> bool:
    return isinstance(record, TraceEvent) and record.event == kind


class _Reader:
    """Reads the records of one run, and names its peers and tasks."""

    def __init__(self, name: str, records: _Placed, *, outside: bool) -> None:
        self._name = name
        self._records = records
        self._outside = outside
        self._peers = _names(record for _, record in records)
        self._tasks: dict[bytes, str] = {}
        self._addresses: dict[str, ObjectStorageAddress] = {}
        self._skipped: Counter[str] = Counter()

    def run(self) -> Run:
        lanes: dict[str, Lane] = {}
        for step in self._steps():
            lanes.setdefault(self._lane_of(step), Lane()).steps.append(step)
        into = {peer: f"to {peer}" if self._outside else "" for peer in self._peers.values()}
        for lane in into.values():
            lanes.setdefault(lane, Lane())
        places = {lane: place for place, lane in enumerate(lanes)}
        return Run(
            self._name,
            tuple(self._peers.values()),
            tuple(self._tasks.values()),
            list(lanes.values()),
            {peer: places[lane] for peer, lane in into.items()},
            self._outside,
            skipped=self._skipped,
        )

    def _lane_of(self, step: Step) -> str:
        if not self._outside:
            return ""
        return f"{step.position} {step.said[0]}" if step.kind == "event" else f"{step.kind} {step.peer}"

    def _steps(self) -> Iterator[Step]:
        for position, record in self._records:
            if isinstance(record, TraceEvent):
                yield from self._event(position, record)
                continue
            incoming = record.receiver == SCHEDULER
            if record.message is None:
                self._skipped["frames that are no message (M1, M3)"] += 1
            elif (kind := _left_out(record.message, incoming=incoming)) is not None:
                self._skipped[kind] += 1
            else:
                peer = self._peers[record.sender if incoming else record.receiver]
                said = self._said(record.message)
                ends = f"{peer} -> S" if incoming else f"S -> {peer}"
                words = f"{ends}  {describe(record.message, self._tasks)}"
                yield Step(position, "from" if incoming else "to", peer, said, words)

    def _event(self, position: int, record: TraceEvent) -> Iterator[Step]:
        if record.event not in _EVENTS:
            self._skipped[f"events: {record.event}"] += 1
            return
        peer = self._peers.get(str(record.details.get("peer", "")), NOBODY)
        if record.event == EventKind.PEER_LOST and peer == NOBODY:
            return  # it has said nothing that counts
        how = ("dropped",) if record.details.get("outcome") == "dropped" else ()
        words = f"S: {' '.join((record.event, peer, *how))}".removesuffix(f" {NOBODY}")
        yield Step(position, "event", peer, (str(record.event), *how), words)

    def _task(self, task_id: bytes) -> str:
        return self._tasks.setdefault(task_id, f"t{len(self._tasks) + 1}")

    def _said(self, message: Message) -> Said:
        name = type(message).__name__
        match message:
            case Task(task_id):
                return (name, self._task(task_id), _content(message))
            case GraphTask(task_id):
                return (name, self._task(task_id))
            case TaskCancel(task_id, force):
                return (name, self._task(task_id), "cancel, force" if force else "cancel")
            case TaskCancelConfirm(task_id, confirm_type):
                return (name, self._task(task_id), _CONFIRMS.get(confirm_type, f"type {confirm_type}"))
            case TaskResult(task_id, result_type):
                word = _RESULTS.get(result_type, f"type {result_type}")
                return (name, self._task(task_id), word + _content(message))
            case ClientHeartbeatEcho(address) | WorkerHeartbeatEcho(address):
                # It does not change while the scheduler runs (protocol/message.capnp).
                same = address == self._addresses.setdefault(name, address)
                return (name,) if same else (name, OTHER_ADDRESS)
            case WorkerHeartbeat():
                return (name, min(message.queue_size, _MOST_PLACES))
            case ClientDisconnect(disconnect_type):
                return (name, "shutdown" if disconnect_type == DisconnectType.SHUTDOWN else "disconnect")  # M6
            case ClientShutdownResponse(accepted):
                return (name, "accepted" if accepted else "refused")
            case _:
                return (name,)


def _content(message: Task | TaskResult) -> str:
    """What else it says, so that one that was altered on its way is not the same; "" if nothing."""
    if isinstance(message, TaskResult):
        said: tuple[object, ...] = (message.metadata, message.results)
        unknown = ""
    else:
        arguments = [(int(argument.type), argument.data) for argument in message.function_args]
        said = (message.source, message.metadata, message.func_object_id, arguments, message.capabilities)
        types = {number for number, _ in arguments} - set(ArgumentType)
        unknown = "".join(f" type {number}" for number in sorted(types))
    return f"{unknown} {hashlib.sha256(repr(said).encode()).hexdigest()[:8]}" if any(said) else ""


def _left_out(message: Message, *, incoming: bool) -> str | None:
    """The kind of a message that the model has nothing to say about, None of others."""
    match message:
        case TaskLog():
            return "logs (S8.4)"
        case ObjectInstruction():
            return "bookkeeping of payloads"
        case TaskCancelConfirm(_, confirm_type) if incoming and confirm_type not in _CONFIRMS:
            return "confirms of an unknown type (M6)"
        case _:
            return None


def _names(records: Iterable[TraceRecord | TraceEvent]) -> dict[str, str]:
    """C1, C2... for clients and W1, W2... for workers, by routing id."""
    sent: dict[str, list[Message]] = {}
    for record in records:
        if isinstance(record, TraceRecord):
            incoming = record.receiver == SCHEDULER
            by_peer = sent.setdefault(record.sender if incoming else record.receiver, [])
            if incoming and record.message is not None:
                by_peer.append(record.message)
    names: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for peer, messages in sent.items():
        first = next((message for message in messages if isinstance(message, _REGISTERING)), None)
        is_worker = (
            isinstance(first, WorkerHeartbeat)
            if first is not None
            else any(isinstance(message, _OF_WORKERS) for message in messages)
        )
        role = "W" if is_worker else "C"
        counts[role] += 1
        names[peer] = f"{role}{counts[role]}"
    return names


def _without_repetitions(steps: Sequence[Step]) -> list[Step]:
    """Without the heartbeats and echoes that can be left out, since nothing has happened since the last echo and this
    peer has said the same before: they change nothing (`Changes` of Trace.tla). Most of a case's records are fences.
    """
    kept: list[Step] = []
    said: dict[str, Said] = {}
    echoed = False
    index = 0
    while index < len(steps):
        step = steps[index]
        echo = steps[index + 1] if index + 1 < len(steps) else None
        if step.kind == "from" and echo is not None and _is_echo(echo, step):
            if not (echoed and said.get(step.peer) == step.said):
                kept += [step, echo]
            said[step.peer], echoed = step.said, True
            index += 2
            continue
        if step.said[0] in _ENDINGS:
            said.pop(step.peer, None)
        kept.append(step)
        echoed = False
        index += 1
    return kept


def _is_echo(step: Step, heartbeat: Step) -> bool:
    expected = _HEARTBEATS.get(str(heartbeat.said[0]))
    return step.kind == "to" and step.peer == heartbeat.peer and step.said == (expected,)
