"""What clients and workers may do to a scheduler, as rules of a Hypothesis state machine.

No draw depends on what the scheduler has said: a rule takes numbers, which choose among those who are there and what
they have, so that the same draws are always possible. Where there is nothing to choose a rule does nothing. What is
ordinary has a rule of its own, what is odd shares one, so that most of what happens is ordinary.
"""

from __future__ import annotations

from collections.abc import Sequence
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


ORDINARY: Final = (
    *("refused", "force", "cancel", "refused", "force", "cancel"),
    *("canceled", "not found", "result", "worker comes"),
)
"""What may happen in a round, the likely more than once."""
LOSSES: Final = ("worker leaves", "worker drops", "owner leaves", "owner drops")
MACHINE_LOSSES: Final = (*LOSSES, "worker is silent", "worker leaves", "owner is silent", "moves", "moves")
CONFIRMS: Final = {
    "refused": CancelConfirmType.CANCEL_FAILED,
    "canceled": CancelConfirmType.CANCELED,
    "not found": CancelConfirmType.CANCEL_NOT_FOUND,
}
LONGEST: Final = 5
"""So much happens at most in a round before something else does."""
SELDOM: Final = 20
"""In one of so many times a rule does something that ends most of the order."""


def rounds(more: Sequence[str]) -> st.SearchStrategy[list[str]]:
    """What happens in a round: what is `ORDINARY`, and this; in half of the rounds the former only."""
    ordinary = st.lists(st.sampled_from(ORDINARY), min_size=1, max_size=LONGEST)
    anything = st.lists(st.sampled_from([*ORDINARY, *more]), min_size=1, max_size=LONGEST)
    return st.one_of(ordinary, anything)


class SchedulerRules(RaceRules[SchedulerOrder]):
    """For schedulers of every kind."""

    most = 0
    """So many tasks go on at a time: with few, most of what happens is about the same one."""

    @beginning(workers=st.integers(0, 2), queue_size=SIZES, most=st.sampled_from([2, 1, 3, 8]))
    def begin(self, workers: int, queue_size: int, most: int) -> None:
        """Some workers are there from the beginning."""
        self.most = most
        for seat in range(workers):
            self.order.worker(seat, queue_size)

    @race(client=SEATS, count=st.integers(1, 3))
    def submit(self, client: int, count: int) -> None:
        """A client submits new tasks."""
        for _ in range(count):
            if self.order.has_room(self.most):
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

    def _contest(self, number: int, steps: Sequence[str]) -> None:
        """These things happen to a task that a worker has, and to the next one when it has none of it any more."""
        task: TaskRef | None = None
        for step in steps:
            if task is None or self.order.holder(task) is None:
                task = self._held(number)
            if task is None:
                return
            self.player.play(partial(self._happen, step, task))
            if step == "moves" and (asked := self.order.asked(0)) is not None:
                task = asked[1]  # the one that the scheduler has chosen

    def _held(self, number: int) -> TaskRef | None:
        """A task that a worker has; if none has one, one that comes now."""
        if self.order.holding(number) is None:
            self.player.play(self._have_one_held)
        held = self.order.holding(number)
        return None if held is None else held[1]

    def _have_one_held(self) -> None:
        self.order.crowd(1, self.order.idle_worker(2))

    def _happen(self, step: str, task: TaskRef) -> None:
        """One step in the round of a task."""
        order = self.order
        owner, holder = order.owner(task), order.holder(task)
        match step:
            case "cancel" | "force":
                order.cancel(task, step == "force")
            case "worker comes":
                order.idle_worker(2)
            case "owner leaves" if owner is not None:
                order.leave(peer=owner)
            case "owner drops" if owner is not None:
                order.drop(peer=owner)
            case "owner is silent" if owner is not None:
                order.happen(event=TIMES_OUT, peer=owner)
            case "moves":
                order.crowd(2, holder)
                order.idle_worker(2)
                order.happen(event=MOVES)
            case _ if holder is None:
                pass
            case "result":
                order.send(peer=holder, message=order.result_of(task, TaskResultType.SUCCESS))
            case "worker leaves":
                order.leave(peer=holder)
            case "worker drops":
                order.drop(peer=holder)
            case "worker is silent":
                order.happen(event=TIMES_OUT, peer=holder)
            case _ if step in CONFIRMS:
                order.send(peer=holder, message=TaskCancelConfirm(task.id, CONFIRMS[step]))

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

    @race(number=NUMBERS, steps=rounds(LOSSES))
    def contest(self, number: int, steps: list[str]) -> None:
        """A task is cancelled, and what may cross that does."""
        self._contest(number, ["cancel", *steps])

    @race(number=NUMBERS, steps=rounds(LOSSES))
    def escalate(self, number: int, steps: list[str]) -> None:
        """A task is cancelled, and then with force."""
        self._contest(number, ["cancel", "force", *steps])

    @race(number=NUMBERS, times=st.integers(1, 2), steps=rounds(LOSSES))
    def lose(self, number: int, times: int, steps: list[str]) -> None:
        """The worker of a task is lost, and another has it then; perhaps twice."""
        self._contest(number, [*("worker leaves", "worker comes") * times, *steps])

    @race(count=st.integers(2, 4))
    def together(self, count: int) -> None:
        """The next messages are sent without waiting for what each causes."""
        self.order.send_together(count=count)


class MachineSchedulerRules(SchedulerRules):
    """For machines: what only time brings, and an operator."""

    @race(number=NUMBERS, steps=rounds(MACHINE_LOSSES))
    def contest(self, number: int, steps: list[str]) -> None:
        """A task is cancelled, and what may cross that does."""
        self._contest(number, ["cancel", *steps])

    @race(number=NUMBERS, steps=rounds(MACHINE_LOSSES))
    def escalate(self, number: int, steps: list[str]) -> None:
        """A task is cancelled, and then with force."""
        self._contest(number, ["cancel", "force", *steps])

    @race(number=NUMBERS, steps=rounds(MACHINE_LOSSES))
    def move(self, number: int, steps: list[str]) -> None:
        """A task is to be moved to another worker, and what may cross that does."""
        self._contest(number, ["moves", *steps])

    @race(number=NUMBERS, times=st.integers(1, 2), steps=rounds(MACHINE_LOSSES))
    def lose(self, number: int, times: int, steps: list[str]) -> None:
        """The worker of a task is lost, and another has it then; perhaps twice."""
        self._contest(number, [*("worker leaves", "worker comes") * times, *steps])

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

    @race(number=st.integers(0, SELDOM))
    def close(self, number: int) -> None:
        """The operator shuts the scheduler down, seldom; later its grace is over."""
        if number < SELDOM:
            return
        self.order.happen(event=GIVES_UP if self.order.closing else CLOSES)
