"""What clients and workers may do to a scheduler, as rules of a Hypothesis state machine.

No draw depends on what the scheduler has said: a rule takes numbers, which choose among those who are there and what
they have, so that the same draws are always possible. Where there is nothing to choose a rule does nothing. What is
ordinary has a rule of its own, what is odd shares one, so that most of what happens is ordinary.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from hypothesis import strategies as st

from rescind.messages import (
    CancelConfirmType,
    ClientDisconnect,
    ClientHeartbeatEcho,
    DisconnectType,
    GraphTask,
    Message,
    Task,
    TaskCancel,
    TaskCancelConfirm,
    TaskLog,
    TaskResult,
    TaskResultType,
    WorkerDisconnectNotification,
    WorkerHeartbeat,
)
from rescind_conformance.peers import FakeWorker, Peer, TaskRef
from rescind_conformance.races.garbage import garbage
from rescind_conformance.races.names import STRANGE
from rescind_conformance.races.rules import RaceRules, beginning, race
from rescind_conformance.races.scheduler_machine import CLOSES, GIVES_UP, MOVES, TIMES_OUT
from rescind_conformance.races.scheduler_order import SchedulerOrder

SEATS: Final = st.integers(0, 1)
ANYBODY: Final = st.integers(0, 3)
TASKS: Final = st.integers(0, STRANGE)
NUMBERS: Final = st.integers(0, 2)
SIZES: Final = st.sampled_from([1, 2, 3, 0])
RESULTS: Final = st.sampled_from([*TaskResultType, 9])
ANSWERS: Final = st.sampled_from([*CancelConfirmType])
NONSENSE: Final = 12
"""At least so many words are nonsense."""
DEPARTURES: Final = st.sampled_from(
    [
        "says good-bye",
        "loses its connection",
        "restores its connection",
        "makes room",
        "makes room for somebody shy",
    ]
)
SHUTDOWN, TOMORROW = ClientDisconnect(DisconnectType.SHUTDOWN), ClientDisconnect(9)


class SchedulerRules(RaceRules[SchedulerOrder]):
    """For schedulers of every kind."""

    @beginning(workers=st.integers(0, 2), queue_size=SIZES)
    def begin(self, workers: int, queue_size: int) -> None:
        """Some workers are there from the beginning."""
        for seat in range(workers):
            self.order.worker(seat, queue_size)

    @race(client=SEATS, count=st.integers(1, 3))
    def submit(self, client: int, count: int) -> None:
        """A client submits new tasks."""
        for _ in range(count):
            self.order.submit(client)

    @race(worker=SEATS, queue_size=SIZES)
    def take(self, worker: int, queue_size: int) -> None:
        """A worker comes, or says in a heartbeat how many tasks it takes."""
        self.order.beat(peer=self.order.worker(worker, queue_size), queue_size=queue_size)

    @race(task=NUMBERS, force=st.booleans())
    def cancel(self, task: int, force: bool) -> None:
        """A client cancels a task of its own, one that it submits now if there is none."""
        owner, wanted = self.order.owned(task) or self.order.submit(0)
        self.order.send(peer=owner, message=TaskCancel(wanted.id, force))

    @race(number=NUMBERS, kind=ANSWERS, force=st.booleans())
    def answer(self, number: int, kind: int, force: bool) -> None:
        """A worker answers a TaskCancel; if there is none, a task that some worker has is cancelled now."""
        if self.order.asked(number) is None and (held := self.order.holding(number)) is not None:
            self.player.play(partial(self.order.cancel, held[1], force))
        if (asked := self.order.asked(number)) is not None:
            self.order.send(peer=asked[0], message=TaskCancelConfirm(asked[1].id, kind))

    @race(number=NUMBERS, kind=RESULTS)
    def finish(self, number: int, kind: int) -> None:
        """A worker sends the result of a task that it has."""
        if (held := self.order.holding(number)) is not None:
            self.order.send(peer=held[0], message=self.order.result_of(held[1], kind))

    @race(who=ANYBODY, how=DEPARTURES)
    def depart(self, who: int, how: str) -> None:
        """Somebody goes, or comes back, or gives its seat to somebody new who comes."""
        match self.order.anybody(who), how:
            case None, _:
                pass
            case peer, "says good-bye":  # it may speak all the same
                self.order.leave(peer=peer)
            case peer, "loses its connection":
                self.order.drop(peer=peer)
            case peer, "restores its connection":
                self.order.reconnect(peer=peer)
            case _, "makes room":
                self.order.replace(who)
            case _, "makes room for somebody shy":
                self.order.replace(who, introduced=False)

    @race(who=ANYBODY, task=TASKS, number=st.integers(0, 7))
    def speak(self, who: int, task: int, number: int) -> None:
        """Somebody says something about a task: another's, one that is over, one that there never was. Or beats."""
        if (peer := self.order.anybody(who)) is None:
            return
        words = self._of(peer, self.order.task(task))
        if number < len(words):
            self.order.send(peer=peer, message=words[number])
        else:
            self.order.beat(peer=peer)

    @race(who=ANYBODY, task=TASKS, number=st.integers(0, 120))
    def talk_nonsense(self, who: int, task: int, number: int) -> None:
        """Somebody sends what only the other role sends, or the scheduler, or nobody; or frames that are no message."""
        if (peer := self.order.anybody(who)) is None or peer.silent:
            return  # of one that has not introduced itself it would not be nonsense
        about = self.order.task(task)
        if number < 2 * NONSENSE:
            words = self._not_of(peer, about)
            self.order.send(peer=peer, message=words[number % len(words)])
        else:
            whole = TaskResult(about.id) if isinstance(peer, FakeWorker) else TaskCancel(about.id, force=True)
            note, frames = garbage(whole, number - 2 * NONSENSE)
            self.order.send_frames(peer=peer, frames=frames, note=note)

    def _of(self, peer: Peer, task: TaskRef) -> list[Message]:
        """What one in the peer's role may say about a task."""
        return self._of_workers(task) if isinstance(peer, FakeWorker) else self._of_clients(peer, task)

    def _not_of(self, peer: Peer, task: TaskRef) -> list[Message]:
        """What one in the peer's role may not say, and two good-byes that are odd."""
        if isinstance(peer, FakeWorker):
            return [ClientHeartbeatEcho(), SHUTDOWN, ClientDisconnect(), *self._of_clients(peer, task)]
        odd: list[Message] = [TOMORROW, SHUTDOWN] if self.order.may_be_asked_to_close else [TOMORROW]
        wrong: list[Message] = [ClientHeartbeatEcho(), WorkerHeartbeat(queue_size=5), WorkerDisconnectNotification()]
        return [*wrong, *self._of_workers(task), *odd]

    def _of_workers(self, task: TaskRef) -> list[Message]:
        confirms = [TaskCancelConfirm(task.id, kind) for kind in (*CancelConfirmType, 7)]
        return [self.order.result_of(task, TaskResultType.SUCCESS), *confirms, TaskLog(task.id, content="a line")]

    def _of_clients(self, peer: Peer, task: TaskRef) -> list[Message]:
        whole = Task(task.id, peer.routing_id)
        graph = GraphTask(task.id, peer.routing_id, (task.id,), (whole,))
        return [TaskCancel(task.id), TaskCancel(task.id, force=True), whole, graph]


class LiveSchedulerRules(SchedulerRules):
    """For schedulers that are processes: what is on its way at once has no order that anybody knows."""

    @race(count=st.integers(2, 4))
    def together(self, count: int) -> None:
        """The next messages are sent without waiting for what each causes."""
        self.order.send_together(count=count)


class MachineSchedulerRules(SchedulerRules):
    """For machines: what only time brings, and an operator."""

    @race(seat=SEATS, queue_size=SIZES, comes=st.booleans())
    def rebalance(self, seat: int, queue_size: int, comes: bool) -> None:
        """The scheduler looks for tasks to move, perhaps to a worker that comes now."""
        if comes:
            self.order.replace(2 * seat + 1, queue_size=queue_size)
        self.order.happen(event=MOVES)

    @race(who=ANYBODY, really=st.booleans())
    def time_out(self, who: int, really: bool) -> None:
        """Somebody is silent for its time-out, while all others send heartbeats."""
        if really and (peer := self.order.anybody(who)) is not None:
            self.order.happen(event=TIMES_OUT, peer=peer)

    @race(number=st.integers(0, 9))
    def close(self, number: int) -> None:
        """The operator shuts the scheduler down, seldom; later its grace is over."""
        if number < 9:
            return
        self.order.happen(event=GIVES_UP if self.order.closing else CLOSES)
