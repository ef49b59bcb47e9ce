"""Recorded clients and workers talk to today's scheduler: its machine and the codec, without sockets or a clock.

Task ids, routing ids and the moments are those of the recording. What a scheduler chooses, it chooses as the recorded
one did, or the peers' next words would make no sense: which worker takes the next task, and when to look for tasks to
move. All else is today's: it must come to the same words.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from rescind import wire
from rescind.messages import (
    CancelConfirmType,
    ClientHeartbeatEcho,
    Message,
    ObjectInstruction,
    ObjectStorageAddress,
    Task,
    TaskCancel,
    TaskCancelConfirm,
    TaskResult,
    WorkerHeartbeatEcho,
)
from rescind.placement import Placement, WorkerRecord
from rescind.scheduler_events import (
    Dropped,
    Event,
    Forward,
    Lost,
    QueueFull,
    RebalanceDue,
    Received,
    SchedulerSettings,
    Send,
)
from rescind.scheduler_machine import SchedulerMachine
from rescind_conformance.judge.records import SCHEDULER, EventKind, EventRecord, MessageRecord, Violation
from rescind_conformance.judge.scheduler import SchedulerJudge
from rescind_conformance.judge.tapped import CLOSED
from rescind_conformance.recorded.traffic import Passed, Recording

Topic = tuple[str, str]
"""A peer, and the task in hexadecimal digits, or the name of a message that is about none."""


@dataclass(slots=True)
class Replayed:
    """What came of a replay."""

    sent: dict[Topic, list[Message]] = field(default_factory=lambda: defaultdict(list))
    """By today's scheduler."""
    recorded: dict[Topic, list[Message]] = field(default_factory=lambda: defaultdict(list))
    """By the recorded one."""
    changed: list[str] = field(default_factory=list)
    """Frames that were forwarded and are none of those that came."""
    dropped: list[str] = field(default_factory=list)
    """Messages without effect: "reason: Message"."""
    violations: list[Violation] = field(default_factory=list)
    """Of the recorded scheduler, as the judge of today sees it."""

    def differences(self) -> dict[Topic, str]:
        """Where the two schedulers said something else about one task to one peer, with both in words."""
        return {
            topic: f"recorded {_words(self.recorded[topic])}, today {_words(self.sent[topic])}"
            for topic in sorted(self.sent.keys() | self.recorded.keys())
            if self.recorded[topic] != self.sent[topic]
        }

    def terminal(self) -> Counter[tuple[str, bytes]]:
        """How many terminal messages today's scheduler sent to which peer about which task."""
        return count_terminal((peer, message) for (peer, _), said in self.sent.items() for message in said)


class _AsRecorded(Placement):
    """Places each task where the recorded scheduler did."""

    def __init__(self, places: Iterable[str]) -> None:
        super().__init__()
        self._workers: dict[bytes, WorkerRecord] = {}
        self._places = deque(place.encode() for place in places)

    def update(self, worker: WorkerRecord) -> None:
        self._workers[worker.identity] = worker

    def remove(self, worker: WorkerRecord) -> None:
        del self._workers[worker.identity]

    def least_loaded(self) -> WorkerRecord | None:
        worker = self._workers.get(self._places[0]) if self._places else None
        if worker is None or worker.load >= worker.queue_size:
            return None
        self._places.popleft()
        return worker


def replay_to_scheduler(recording: Recording) -> Replayed:
    """Replay a recording to today's scheduler, and judge the recorded one."""
    replay = _Replay([one for one in recording.passed if one.event or one.at_scheduler])
    replay.run()
    return replay.result


class _Replay:
    def __init__(self, passed: list[Passed]) -> None:
        self._passed = passed
        said = [(one.peer, wire.decode(one.frame)) for one in passed if not one.event and not one.to_scheduler]
        echoes = (message for _, message in said if isinstance(message, ClientHeartbeatEcho | WorkerHeartbeatEcho))
        address = next((echo.object_storage_address for echo in echoes), ObjectStorageAddress())
        settings = SchedulerSettings(accept_shutdown=True, object_storage_address=address)
        places = [peer for peer, message in said if isinstance(message, Task)]
        self._machine = SchedulerMachine(settings, _AsRecorded(places))
        self._judge = SchedulerJudge({})
        self._came: set[bytes] = set()
        self._holders: dict[bytes, str] = {}
        """By task, to which worker the recorded scheduler gave it last."""
        self._closed: dict[str, None] = {}
        """Peers whose connections have closed, and that it may not have missed so far."""
        self.result = Replayed()

    def run(self) -> None:
        for one in self._passed:
            if one.event:
                self._closed |= {one.peer: None} if one.event == CLOSED else {}
                continue
            try:
                message = wire.decode(one.frame)
            except wire.WireError as error:
                self.result.dropped.append(f"{error.reason}: {one.peer.partition('|')[0]}")
                continue
            if not one.to_scheduler and isinstance(message, Task):
                self._note_place(message.task_id, one.peer)
            sender, receiver = (one.peer, SCHEDULER) if one.to_scheduler else (SCHEDULER, one.peer)
            self.result.violations += self._judge.read(MessageRecord(SCHEDULER, sender, receiver, message))
            if one.to_scheduler:
                self._came.add(one.frame)
                self._handle(Received(one.peer.encode(), message, one.frame, one.time))
            else:
                self._expect(one.peer, message)
        self.result.violations += self._judge.rest()

    def _note_place(self, task_id: bytes, worker: str) -> None:
        """The recorded scheduler gives a task to a worker: one that is gone and had it counts as lost by now."""
        before = self._holders.get(task_id, "")
        self._holders[task_id] = worker
        if before in self._closed:
            for peer in self._closed:
                self._handle(QueueFull(peer.encode()))  # the one event by which a scheduler is told of a loss
            self._closed.clear()

    def _expect(self, peer: str, message: Message) -> None:
        if isinstance(message, ObjectInstruction):
            return  # outside of the protocol
        topic = _topic(peer, message)
        self.result.recorded[topic].append(message)
        if isinstance(message, TaskCancel) and len(self.result.sent[topic]) < len(self.result.recorded[topic]):
            self._handle(RebalanceDue())  # nobody else has asked for it

    def _handle(self, event: Event) -> None:
        for instruction in self._machine.handle(event):
            match instruction:
                case Send(to, message):
                    # As the peer would read it.
                    read = wire.decode(wire.encode(message))
                    self.result.sent[_topic(to.decode(), read)].append(read)
                case Forward(to, frame):
                    read = wire.decode(frame)
                    self.result.sent[_topic(to.decode(), read)].append(read)
                    if frame not in self._came:
                        self.result.changed.append(f"{type(read).__name__} to {to.decode()}")
                case Dropped(_, reason, _):
                    assert isinstance(event, Received)
                    self.result.dropped.append(f"{reason}: {type(event.message).__name__}")
                case Lost(peer):
                    lost = EventRecord(SCHEDULER, EventKind.PEER_LOST, peer=peer.decode())
                    self.result.violations += self._judge.read(lost)


def count_terminal(said: Iterable[tuple[str, Message]]) -> Counter[tuple[str, bytes]]:
    """How many terminal messages are among these, by receiver and task."""
    found: Counter[tuple[str, bytes]] = Counter()
    for peer, message in said:
        refused = isinstance(message, TaskCancelConfirm) and (
            message.cancel_confirm_type == CancelConfirmType.CANCEL_FAILED
        )
        if isinstance(message, TaskResult | TaskCancelConfirm) and not refused:
            found[peer, message.task_id] += 1
    return found


def _topic(peer: str, message: Message) -> Topic:
    task_id = getattr(message, "task_id", b"")
    return peer, task_id.hex() or type(message).__name__


def _words(messages: list[Message]) -> str:
    return ", ".join(map(str, messages)) or "nothing"
