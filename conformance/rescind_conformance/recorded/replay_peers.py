"""The recorded scheduler talks to today's clients and workers: their machines and the codec, without sockets or clocks.

What users and functions did is taken from what the recorded peers said: a recorded Task is a call of `submit` with that
id, a TaskResult is the end of its function. Nothing is told to a machine that only it can decide.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import zip_longest

from rescind import client_machine, wire, worker_machine
from rescind.messages import (
    ClientDisconnect,
    ClientHeartbeat,
    DisconnectType,
    GraphTask,
    Message,
    ObjectInstruction,
    Task,
    TaskCancel,
    TaskLog,
    TaskLogType,
    TaskResult,
    TaskResultType,
    WorkerDisconnectNotification,
    WorkerHeartbeat,
)
from rescind.worker_machine import Farewell
from rescind_conformance.judge.records import MessageRecord
from rescind_conformance.judge.trace_check import role_of
from rescind_conformance.recorded.traffic import Recording


@dataclass(slots=True)
class PeerReplayed:
    """What came of the replay of one peer's connection to today's peer."""

    peer: str
    sent: list[Message] = field(default_factory=list)
    """By today's peer; without heartbeats."""
    recorded: list[Message] = field(default_factory=list)
    """By the recorded one; a worker's without its remarks on a run (`metadata`), which are its own."""
    dropped: list[str] = field(default_factory=list)
    """Messages without effect: the reasons."""
    settled: Counter[bytes] = field(default_factory=Counter)
    """At a client: how often the future of each task was settled."""
    submitted: set[bytes] = field(default_factory=set)
    """At a client: the tasks that have futures."""

    def differences(self) -> list[str]:
        """Where today's peer said something else, in words."""
        pairs = zip_longest(self.recorded, self.sent)
        return [f"{self.peer}: recorded {one}, today {other}" for one, other in pairs if one != other]


def replay_to_peers(recording: Recording) -> Iterator[PeerReplayed]:
    """Replay each client's and each worker's connection of a recording to one of today."""
    conversations: dict[str, list[tuple[bool, Message]]] = {}
    for one in recording.passed:
        if one.at_peer:
            try:
                message = wire.decode(one.frame)
            except wire.WireError:
                continue  # of a program that is neither; `replay_to_scheduler` tells of it
            conversations.setdefault(one.peer, []).append((one.to_scheduler, message))
    for peer, said in conversations.items():
        records = [MessageRecord(peer, peer if mine else "", "", message) for mine, message in said]
        match role_of(peer, records):
            case "client":
                yield _replay_to_client(peer, said)
            case "worker":
                yield _replay_to_worker(peer, said)


def _replay_to_client(peer: str, said: list[tuple[bool, Message]]) -> PeerReplayed:
    result, machine = PeerReplayed(peer), client_machine.ClientMachine()

    def handle(event: client_machine.Event) -> None:
        for instruction in machine.handle(event):
            match instruction:
                case client_machine.Send(message):
                    result.sent.append(wire.decode(wire.encode(message)))
                case client_machine.Deliver(outcome):
                    result.settled[outcome.task_id] += 1
                case client_machine.SetCancelled(task_id):
                    result.settled[task_id] += 1
                case client_machine.Dropped(reason):
                    result.dropped.append(reason)

    for mine, message in said:
        if not mine:
            handle(client_machine.Received(message))
            continue
        match message:
            case ClientHeartbeat() | ObjectInstruction() | ClientDisconnect(DisconnectType.SHUTDOWN):
                continue
            case Task():
                result.submitted.add(message.task_id)
                handle(client_machine.Submit(message))
            case GraphTask():
                result.submitted |= set(message.targets)
                handle(client_machine.SubmitGraph(message))
            case TaskCancel(task_id, force):
                handle(client_machine.Cancel(task_id, force))
            case ClientDisconnect():
                handle(client_machine.Disconnect(good_bye=True))
        result.recorded.append(message)
    return result


class _Worker:
    """Today's worker, and what it runs: nothing ends there before it is told."""

    def __init__(self, result: PeerReplayed, settings: worker_machine.WorkerSettings) -> None:
        self._machine = worker_machine.WorkerMachine(settings)
        self._result = result
        self._ending: list[bytes] = []

    def handle(self, event: worker_machine.Event) -> None:
        """Take an event; processes that are to be ended have ended at once."""
        for instruction in self._machine.handle(event):
            match instruction:
                case worker_machine.Send(message):
                    self._result.sent.append(wire.decode(wire.encode(message)))
                case worker_machine.EndProcess(task_id):
                    self._ending.append(task_id)
                case worker_machine.Dropped(reason):
                    self._result.dropped.append(reason)
        while self._ending:
            self.handle(worker_machine.ProcessEnded(self._ending.pop(0)))


def _replay_to_worker(peer: str, said: list[tuple[bool, Message]]) -> PeerReplayed:
    result = PeerReplayed(peer)
    queue_size = next(message.queue_size for mine, message in said if mine and isinstance(message, WorkerHeartbeat))
    worker = _Worker(result, worker_machine.WorkerSettings(processes=1, queue_size=queue_size))
    for mine, message in said:
        if not mine:
            worker.handle(worker_machine.Received(message, 0.0))
            continue
        match message:
            case WorkerHeartbeat() | ObjectInstruction():
                continue
            case TaskResult(task_id, TaskResultType.FAILED_WORKER_DIED):
                worker.handle(worker_machine.ProcessEnded(task_id))
            case TaskResult(task_id, result_type, _, results):
                worker.handle(worker_machine.Finished(task_id, TaskResultType(result_type), results))
            case TaskLog(task_id, log_type, content):
                worker.handle(worker_machine.Wrote(task_id, TaskLogType(log_type), content))
            case WorkerDisconnectNotification():
                worker.handle(worker_machine.Leave(Farewell.EXIT))  # or it has been told to: that changes nothing
        result.recorded.append(replace(message, metadata=b"") if isinstance(message, TaskResult) else message)
    return result
