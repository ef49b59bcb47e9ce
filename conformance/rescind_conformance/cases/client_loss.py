"""Section 4, "Loss of a client": what becomes of it, and of its tasks."""

from __future__ import annotations

from rescind.messages import ClientDisconnect, DisconnectType, TaskResultType
from rescind_conformance.case import Profile, case
from rescind_conformance.cases.dispatched import dispatched_task
from rescind_conformance.cases.rebalancing import asked_back
from rescind_conformance.cases.worker_loss import REMEMBERED, handled_of_lost, told_that_it_is_lost
from rescind_conformance.peers import CANCEL_FAILED, CANCEL_NOT_FOUND, CANCELED, FakeClient, FakeWorker, TaskRef
from rescind_conformance.world import World


@case("S9.1", "S9.7", title="a client says good-bye")
def goodbye(world: World) -> None:
    """A client leaves while a worker has its task: cancelled with force, for nobody will ask for the result."""
    owner, holder, task = dispatched_task(world)
    owner.disconnect()
    holder.expect_cancel(task, "S9.1", force=True, vital=True)
    holder.expect_nothing("S9.7", about=task)


@case("S9.1", "S9.7", title="a client is killed", profile=Profile.SHORT_TIMEOUTS)
def silence(world: World) -> None:
    """A client is killed while a worker has its task. After the client time-out that is cancelled with force."""
    owner, holder, task = dispatched_task(world)
    owner.cut()
    world.wait_until(lambda: bool(holder.waiting(task)))
    holder.expect_cancel(task, "S9.1", force=True, vital=True)
    holder.expect_nothing("S9.7", about=task)


@case("S9.1", title="a client that talks is alive", profile=Profile.SHORT_TIMEOUTS)
def talking(world: World) -> None:
    """A client submits one task after the other and finds no time for heartbeats. Another, which says nothing for less
    long, is lost; the talking one is not, and gets its result.
    """
    talking, silent, holder = world.client(), world.client(), world.worker(queue_size=2)
    task, other = talking.submit(), silent.submit()
    for one in (task, other):
        world.dispatched(one)
    talking.silent = True
    world.note_event(talking, "sends no more heartbeats")
    silent.fence()
    silent.pause()
    lost = world.wait_until(
        lambda: bool(holder.waiting(task) or holder.waiting(other)),
        meanwhile=lambda: talking.send(talking.task_message(world.new_task()), fence=False),
    )
    world.check("S9.1", lost, f"{silent.name} is lost", f"its task {other.name} was not cancelled", vital=True)
    result = holder.finish(task)
    handled_of_lost(talking)
    talking.expect(result, "S9.1")


@case("S9.7", title="the waiting tasks of a client that left")
def waiting_tasks(world: World) -> None:
    """A client leaves while its tasks wait among another's. The worker that comes gets the other's only."""
    leaving, staying = world.client(), world.client()
    forgotten, kept, more = leaving.submit(), staying.submit(), leaving.submit()
    leaving.disconnect()
    worker = world.worker()
    staying.expect(world.dispatched(kept).finish(kept), "S1.1")
    for task in (forgotten, more):
        worker.expect_nothing("S9.7", about=task)


@case("S9.7", title="a client leaves while it cancels")
def round_open(world: World) -> None:
    """A cancel without force is with the holder when its owner leaves: one with force follows."""
    owner, holder, task = dispatched_task(world)
    owner.cancel(task)
    holder.expect_cancel(task, "S4.1", vital=True)
    owner.disconnect()
    holder.expect_cancel(task, "S9.7", force=True)


@case("S9.7", title="a client leaves while it cancels with force")
def forced_round_open(world: World) -> None:
    """A cancel with force is with the holder when its owner leaves: there is nothing to add."""
    owner, holder, task = dispatched_task(world)
    owner.cancel(task, force=True)
    holder.expect_cancel(task, "S4.1", force=True, vital=True)
    owner.disconnect()
    holder.expect_nothing("S9.7", about=task)


@case("S9.7", title="a client leaves during a move", profile=Profile.REBALANCING)
def move_open(world: World) -> None:
    """The holder is asked to give a task back when its owner leaves: a cancel with force follows. The task that is then
    given back goes nowhere.
    """
    owner, holder, _, task = asked_back(world)
    owner.disconnect()
    holder.expect_cancel(task, "S9.7", force=True)
    holder.confirm(task, CANCELED)
    for worker in world.workers:
        worker.expect_nothing("S9.7", about=task)


@case("S9.7", title="what comes for a client that left")
def nothing_is_forwarded(world: World) -> None:
    """The holders of three tasks of a client that left write a line and end them: with a result, `canceled`,
    `cancelNotFound`. Nobody hears of it.
    """
    owner, other, holder = world.client(), world.client(), world.worker()
    finished, cancelled, unknown = tasks = owner.submit_many(3)
    for task in tasks:
        world.dispatched(task)
    owner.disconnect()
    for task in tasks:
        holder.log(task, "for nobody\n")
    holder.finish(finished, TaskResultType.FAILED)
    holder.confirm(cancelled, CANCELED)
    holder.confirm(unknown, CANCEL_NOT_FOUND)
    handled_of_lost(owner)
    for task in tasks:
        for client in (owner, other):
            client.expect_nothing("S9.7", about=task)


def place_taken(world: World) -> tuple[FakeClient, FakeWorker, TaskRef, TaskRef]:
    """A worker that is full with the task of a client that left, and another client's task that waits."""
    leaving, staying, holder = world.client(), world.client(), world.worker(queue_size=1)
    task = leaving.submit()
    world.dispatched(task)
    waiting = staying.submit()
    leaving.disconnect()
    holder.expect_cancel(task, "S9.7", force=True, vital=True)
    holder.expect_nothing("S9.7")
    return staying, holder, task, waiting


@case("S9.7", "S9.9", title="the place of a task whose client left")
def place_after_last_word(world: World) -> None:
    """A worker is full with the task of a client that left. The place is free when the worker has said `canceled`, and
    not before.
    """
    staying, holder, task, waiting = place_taken(world)
    holder.confirm(task, CANCELED)
    staying.expect(world.dispatched(waiting, "S9.9").finish(waiting), "S9.9")


@case("S9.7", "S9.9", title="a worker that cannot end the task of a client that left")
def place_after_refusal(world: World) -> None:
    """The same, but the worker refuses, and finishes the task later: only then is the place free."""
    staying, holder, task, waiting = place_taken(world)
    holder.confirm(task, CANCEL_FAILED)
    holder.expect_nothing("S9.7")
    holder.finish(task)
    staying.expect(world.dispatched(waiting, "S9.9").finish(waiting), "S9.9")


@case("S9.8", title="a client that left and goes on")
def messages_after_goodbye(world: World) -> None:
    """A client leaves and goes on under the same id: its heartbeat is answered with `disconnect`, its Task refused."""
    client, worker = world.client(), world.worker()
    client.disconnect()
    refused_as_lost(client, worker)


@case("S9.8", title="a paused client wakes", profile=Profile.SHORT_TIMEOUTS)
def messages_after_silence(world: World) -> None:
    """A client is paused past its time-out. When it wakes it is told `disconnect`, and its Task is refused."""
    client, holder, task = dispatched_task(world)
    client.pause()
    world.wait_until(lambda: bool(holder.waiting(task)))
    holder.expect_cancel(task, "S9.7", force=True, vital=True)
    refused_as_lost(client, holder)


def refused_as_lost(client: FakeClient, worker: FakeWorker) -> None:
    """A lost client's heartbeats are answered with `disconnect`, and its Task is refused."""
    told_that_it_is_lost(client, DisconnectType.DISCONNECT, "S9.8", vital=True)
    task = client.submit(fence=False)
    handled_of_lost(client)
    client.expect_confirm(task, CANCEL_NOT_FOUND, "S9.8")
    client.expect(ClientDisconnect(DisconnectType.DISCONNECT), "S9.8")
    worker.expect_nothing("S9.8", about=task)


@case("S9.8", title="a thousand clients later")
def thousand_lost_clients(world: World) -> None:
    """A client leaves, and 999 others after it. It is still told that it is lost."""
    first = world.client()
    first.disconnect(fence=False)
    for _ in range(REMEMBERED - 1):
        other = world.client()
        other.disconnect(fence=False)
        told_that_it_is_lost(other, DisconnectType.DISCONNECT, "S9.8", vital=True)
        other.cut()
    told_that_it_is_lost(first, DisconnectType.DISCONNECT, "S9.8")
