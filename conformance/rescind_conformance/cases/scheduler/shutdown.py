"""Section 4: how a scheduler shuts down (S9.10), and who may ask for it (S11.6)."""

from __future__ import annotations

from collections.abc import Callable

import zmq

from rescind.messages import ClientDisconnect, ClientShutdownResponse, DisconnectType, TaskCancelConfirm, TaskResult
from rescind_conformance.audit import EXITED
from rescind_conformance.case import Profile, case
from rescind_conformance.cases.scheduler.dispatched import dispatched_task
from rescind_conformance.peers import CANCEL_NOT_FOUND, CANCELED, FakeClient, FakeWorker, Peer, TaskRef
from rescind_conformance.world import World

TOLD = ClientDisconnect(DisconnectType.SHUTDOWN)
NO_WAITING = "it does not wait for its workers to leave"


class LastWords:
    """Hears a scheduler out that shuts down: when all connections have dropped, all that it had sent has come."""

    def __init__(self, world: World) -> None:
        """Make this before the scheduler is asked to shut down, when all peers of the case are there."""
        self._world = world
        self._peers: list[Peer] = [*world.clients, *world.workers]
        self._open = {peer.socket.get_monitor_socket(zmq.EVENT_DISCONNECTED) for peer in self._peers}
        self._dropped = False
        self._heard_out = False

    def wait_for(self, heard: Callable[[], bool]) -> None:
        """Wait until something was heard, or will not be."""
        self._world.wait_until(lambda: heard() or self._ended(), meanwhile=self._beat)

    def wait_or_end(self, heard: Callable[[], bool]) -> None:
        """The same; the case ends if the scheduler has ended instead."""
        self.wait_for(heard)
        if not heard() and (self._dropped or self._world.scheduler_exited()):
            self._world.unsupported(NO_WAITING)

    def fence(self, *peers: Peer) -> None:
        """One after the other, these peers get an echo of all that they have sent. May end the case (`wait_or_end`)."""
        for peer in peers:
            peer.beat()
            self.wait_or_end(lambda peer=peer: not peer.outstanding)  # type: ignore[misc]
            expected = f"the heartbeat of {peer.name} is echoed"
            self._world.check("S10.1", not peer.outstanding, expected, "no echo came", vital=True)

    def exits(self, requirement: str) -> None:
        """Check that the scheduler exits, and hear it out."""
        self._world.wait_until(self._world.scheduler_exited, meanwhile=self._beat)
        if self._world.check(requirement, self._world.scheduler_exited(), "the scheduler exits", "it runs on"):
            self.wait_for(lambda: False)
            if self._dropped and not self._heard_out:
                self._heard_out = True
                self._world.happen(EXITED)

    def _beat(self) -> None:
        for peer in self._peers:
            if peer.living:
                peer.beat()

    def _ended(self) -> bool:
        # True one look late: what came before the connections dropped is read in between.
        ended = self._dropped
        for monitor in list(self._open):
            if monitor.poll(0):
                self._open.remove(monitor)
        self._dropped = not self._open
        return ended


def asked_to_stop(world: World) -> LastWords:
    """The scheduler has been asked for an orderly shutdown."""
    last_words = LastWords(world)
    world.stop_scheduler()
    return last_words


def goes_home(last_words: LastWords, worker: FakeWorker, requirement: str = "S9.10") -> None:
    """The worker is told to leave, and says good-bye as W4.2 asks."""
    last_words.wait_for(lambda: TOLD in worker.inbox)
    worker.expect(TOLD, requirement, vital=True)
    worker.leave(fence=False)


def settles(last_words: LastWords, owner: FakeClient, *tasks: TaskRef) -> None:
    """Each of the tasks ends in one `canceled`, and the scheduler exits."""
    last_words.wait_for(lambda: all(owner.waiting(task) for task in tasks))
    for task in tasks:
        owner.expect_confirm(task, CANCELED, "S9.10")
    last_words.exits("S9.10")
    for task in tasks:
        owner.expect_nothing("S9.10", about=task)


@case("S9.10", title="shutdown with tasks that wait")
def waiting_tasks(world: World) -> None:
    """Three tasks wait for a worker when the scheduler shuts down: each is `canceled`."""
    owner = world.client()
    tasks = owner.submit_many(3)
    settles(asked_to_stop(world), owner, *tasks)


@case("S9.10", title="shutdown with tasks that run")
def running_tasks(world: World) -> None:
    """A worker has two tasks, one of them with a cancel open, when the scheduler shuts down. The worker is told to
    leave; when it has, each of the tasks is `canceled`, once.
    """
    owner, holder, task = dispatched_task(world)
    cancelled = owner.submit()
    world.dispatched(cancelled)
    owner.cancel(cancelled)
    holder.expect_cancel(cancelled, "S4.1", vital=True)
    last_words = asked_to_stop(world)
    goes_home(last_words, holder)
    settles(last_words, owner, task, cancelled)


@case("S9.10", title="shutdown without a worker's good-bye", profile=Profile.SHORT_TIMEOUTS)
def worker_does_not_leave(world: World) -> None:
    """The worker of a task hangs when the scheduler shuts down. Its good-bye is not waited for for ever."""
    owner, hanging, task = dispatched_task(world)
    last_words = asked_to_stop(world)
    hanging.pause()
    settles(last_words, owner, task)


@case("S9.10", title="a Task comes during the shutdown")
def task_during_shutdown(world: World) -> None:
    """The scheduler has begun to shut down and waits for a worker when a client submits: refused, as S1.3 says."""
    owner, holder, task = dispatched_task(world)
    last_words = asked_to_stop(world)
    last_words.wait_for(lambda: TOLD in holder.inbox)
    holder.expect(TOLD, "S9.10", vital=True)
    late = owner.submit(fence=False)
    last_words.wait_or_end(lambda: bool(owner.waiting(late)))
    owner.expect_confirm(late, CANCEL_NOT_FOUND, "S9.10")
    holder.leave(fence=False)
    settles(last_words, owner, task)


@case("S9.10", title="a result crosses the shutdown")
def result_during_shutdown(world: World) -> None:
    """A worker finishes its task as it is told to leave. The owner hears one end of it: the result or `canceled`."""
    owner, holder, task = dispatched_task(world)
    last_words = asked_to_stop(world)
    last_words.wait_for(lambda: TOLD in holder.inbox)
    holder.expect(TOLD, "S9.10", vital=True)
    result = holder.finish(task, fence=False)
    holder.leave(fence=False)
    last_words.exits("S9.10")
    ends = [message for message in owner.waiting(task) if isinstance(message, TaskResult | TaskCancelConfirm)]
    one_of_two = ends in ([result], [TaskCancelConfirm(task.id, CANCELED)])
    said = ", ".join(world.describe(message) for message in ends) or "nothing"
    world.check("S9.10", one_of_two, f"{owner.name} gets the result or canceled, once", f"it got {said}")


def answers_shutdown(world: World, *, introduced: bool = True) -> None:
    """A client asks for the shutdown, and what the scheduler does next is what it has answered."""
    owner, holder, task = dispatched_task(world)
    asking = world.client(introduced=introduced)
    last_words = LastWords(world)
    world.stopping = True
    asking.send(TOLD, fence=False)
    last_words.wait_for(lambda: bool(asking.inbox))
    accepted = ClientShutdownResponse(True) in asking.inbox
    answered = accepted or ClientShutdownResponse(False) in asking.inbox
    world.check("S11.6", answered, f"{asking.name} gets ClientShutdownResponse", "it got none", vital=True)
    if accepted:
        goes_home(last_words, holder, "S11.6")
        last_words.exits("S11.6")
        settles(last_words, owner, task)
    else:
        world.stopping = False
        asking.inbox.clear()
        with world.unresponsive_means("S11.6"):
            owner.expect(holder.finish(task), "S11.6")
            for peer in (owner, asking, holder):
                peer.expect_nothing("S11.6")
            following = asking.submit()
            asking.expect(world.dispatched(following, "S11.6").finish(following), "S11.6")


@case("S11.6", title="a client shuts the cluster down", profile=Profile.CLOSABLE)
def client_shuts_down(world: World) -> None:
    """A client asks for the shutdown where clients may. If that is accepted it happens, in order."""
    answers_shutdown(world)


@case("S11.6", title="a client may not shut the cluster down", profile=Profile.PROTECTED)
def client_is_refused(world: World) -> None:
    """A client asks for the shutdown where clients may not. If that is refused everything goes on."""
    answers_shutdown(world)


@case("S11.6", title="a shutdown is the first word", profile=Profile.PROTECTED)
def first_word_is_refused(world: World) -> None:
    """The same from a client that has said nothing before: it waits for the answer like any other."""
    answers_shutdown(world, introduced=False)
