"""The scheduler's machine under any events: peers whose roles, ids and words collide, time, and its own end."""

from __future__ import annotations

from typing import Final

from rescind.messages import Message
from rescind.scheduler_machine import (
    Closed,
    CloseExpired,
    CloseRequested,
    Closing,
    DrainRequested,
    Event,
    Forward,
    Lost,
    RebalanceDue,
    Received,
    SchedulerMachine,
    SchedulerSettings,
    Send,
    TimePassed,
)
from rescind.scheduler_table import TaskState
from rescind_conformance.fuzzing import frames
from rescind_conformance.fuzzing.choices import Broken, Choices
from rescind_conformance.judge.records import SCHEDULER, EventKind, EventRecord, MessageRecord, Record
from rescind_conformance.judge.scheduler import SchedulerJudge

PEERS: Final = (b"C1", b"C2", b"C3", b"W1", b"W2", b"W3", b"X")
_OF_CLIENTS: Final = (frames.TASK, frames.CANCEL, frames.CLIENT_BEAT, frames.GRAPH, frames.CLIENT_LEAVES, frames.TASK)
_OF_WORKERS: Final = (frames.RESULT, frames.CONFIRM, frames.WORKER_BEAT, frames.LOG, frames.WORKER_LEAVES)
_STEP: Final = 25.0
"""Seconds; a peer is lost after 60 without a word."""


class SchedulerLife:
    """One life of a machine, from the first event to its end. `judged`: by the judge, too, which takes ten times as
    long."""

    def __init__(self, choices: Choices, *, judged: bool, machine: type[SchedulerMachine] = SchedulerMachine) -> None:
        self._choices = choices
        self._settings = SchedulerSettings(
            max_attempts=2,
            max_tasks_per_client=5,
            max_nodes_per_graph=4,
            max_peers=3,
            accept_shutdown=choices.flag(),
        )
        self._machine = machine(self._settings)
        self._judge = SchedulerJudge() if judged else None
        self._now = 0.0
        self._closed = False
        self._drains = False
        """It was told to, and has not begun to shut down yet, of which the judge has to be told."""

    def play(self) -> None:
        """Raises `Broken`, and whatever the machine raises."""
        while self._choices and not self._closed:
            self._play_one()
        self._check_books()
        if self._judge is not None and not self._closed:
            self._blame(self._judge.rest())
        self._close()
        if not self._closed:
            self._record(EventRecord(SCHEDULER, EventKind.GRACE_OVER))
            self._feed(CloseExpired())
        self._check_nothing_left()

    def _play_one(self) -> None:
        choices = self._choices
        match choices.number(32):
            case 0:
                self._now += _STEP
                self._feed(TimePassed(self._now))
            case 1 | 2:
                self._feed(RebalanceDue())
            case 3 if choices.number(8) == 7:
                self._close()
            case 3 if choices.number(8) == 7 and self._machine.phase == "serving":
                self._drains = True
                self._record(EventRecord(SCHEDULER, EventKind.DRAIN_REQUESTED))
                self._feed(DrainRequested())
            case 4:
                sender = choices.one_of(PEERS)
                message, why = frames.noise(choices)
                self._say(sender, message, why)
            case _:
                sender = choices.one_of(PEERS)
                usual = _OF_WORKERS if sender.startswith(b"W") else _OF_CLIENTS
                self._say(sender, frames.any_message(choices, usual))

    def _close(self) -> None:
        self._drains = False
        self._record(EventRecord(SCHEDULER, EventKind.CLOSE_REQUESTED))
        self._feed(CloseRequested())

    def _say(self, sender: bytes, message: Message | None, why: str = "") -> None:
        self._record(MessageRecord(SCHEDULER, sender.decode(), SCHEDULER, message, why))
        if message is not None:
            self._feed(Received(sender, message, frames.encode(message), self._now))

    def _feed(self, event: Event) -> None:
        if self._closed:
            return
        for instruction in self._machine.handle(event):
            match instruction:
                case Send(to, message):
                    frames.encode(message)
                    self._record(MessageRecord(SCHEDULER, SCHEDULER, to.decode(), message))
                case Forward(to, frame) if self._judge is not None:
                    self._record(MessageRecord(SCHEDULER, SCHEDULER, to.decode(), frames.decode(frame)))
                case Lost(peer):
                    self._record(EventRecord(SCHEDULER, EventKind.PEER_LOST, peer.decode(), outcome="silent"))
                case Closing() if self._drains:
                    self._drains = False
                    self._record(EventRecord(SCHEDULER, EventKind.CLOSE_REQUESTED))
                case Closed():
                    self._closed = True

    def _record(self, record: Record) -> None:
        if self._judge is not None and not self._closed:
            self._blame(self._judge.read(record))

    def _blame(self, found: object) -> None:
        if found:
            raise Broken(f"the judge says: {found}")

    def _check_books(self) -> None:
        """Every task is where its state says, once, and counted for its owner and its holder."""
        machine = self._machine
        queued = {each for each, task in machine._tasks.items() if task.state is TaskState.QUEUED}
        if queued != set(machine._queue):
            raise Broken("the queue is not the tasks that are queued")
        owned = {each: name for name, client in machine._clients.items() for each in client.tasks}
        held = {each: worker.identity for worker in machine._workers.values() for each in worker.tasks}
        for each, task in machine._tasks.items():
            holder = task.worker.identity if task.worker is not None else None
            if held.pop(each, None) != holder:
                raise Broken(f"{task} is not with its holder")
            if owned.pop(each, None) != (None if task.state is TaskState.ABANDONED else task.owner):
                raise Broken(f"{task} is not with its owner")
        if owned or held:
            raise Broken(f"counted, and not held: {owned or held}")
        for worker in machine._workers.values():
            if worker.queue_size > len(worker.tasks) and machine._queue and not self._closed and not machine._closing:
                raise Broken("a task waits, and there is room")
        if len(machine._clients) > self._settings.max_peers or len(machine._workers) > self._settings.max_peers:
            raise Broken("more peers than may be")

    def _check_nothing_left(self) -> None:
        machine = self._machine
        left = (machine._tasks, machine._graphs, machine._queue, machine._ended_nodes, machine._changed_graphs)
        if any(left) or any(client.tasks or client.graphs for client in machine._clients.values()):
            raise Broken(f"closed, and still there: {machine.counts}, {left}")
        if any(worker.tasks for worker in machine._workers.values()):
            raise Broken("closed, and a worker still holds tasks")


def play_scheduler(data: bytes, *, judged: bool) -> None:
    """One life, as the bytes have it. Raises `Broken`, and whatever the machine raises."""
    SchedulerLife(Choices(data), judged=judged).play()
