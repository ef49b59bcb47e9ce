"""Section 4, S9.8 and S9.11: a client that was lost stays lost, and is told so."""

from __future__ import annotations

from rescind.messages import ClientDisconnect, ClientShutdownResponse, DisconnectType, GraphTask, TaskCancel
from rescind_conformance.case import Profile, case
from rescind_conformance.cases.scheduler.dispatched import dispatched_task
from rescind_conformance.cases.scheduler.losses import REMEMBERED, handled_of_lost, told_that_it_is_lost
from rescind_conformance.cases.scheduler.rounds import FORCES, open_round
from rescind_conformance.peers import CANCEL_NOT_FOUND, FakeClient, FakeWorker, TaskRef
from rescind_conformance.world import World


def refused_as_lost(client: FakeClient, worker: FakeWorker) -> None:
    """A lost client's heartbeats are answered with `disconnect`, and its Task is refused."""
    told_that_it_is_lost(client, DisconnectType.DISCONNECT, "S9.8", vital=True)
    task = client.submit(fence=False)
    handled_of_lost(client)
    client.expect_confirm(task, CANCEL_NOT_FOUND, "S9.8")
    client.expect(ClientDisconnect(DisconnectType.DISCONNECT), "S9.8")
    worker.expect_nothing("S9.8", about=task)


def left_behind(world: World) -> tuple[FakeClient, FakeWorker, TaskRef]:
    """A client that left while a worker has its task, the worker, and the task, whose last word is still to come."""
    client, holder, task = dispatched_task(world)
    client.disconnect()
    handled_of_lost(client)
    client.inbox.clear()
    holder.expect_cancel(task, "S9.7", force=True, vital=True)
    return client, holder, task


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


@case("S9.8", title="a client that left submits a graph")
def graph_after_goodbye(world: World) -> None:
    """A client leaves and submits a graph. It is refused as a Task is, and nobody gets a part of it."""
    client, worker = world.client(), world.worker()
    client.disconnect()
    graph, node = world.new_task(), world.new_task()
    client.send(GraphTask(graph.id, client.routing_id, (node.id,), (client.task_message(node),)), fence=False)
    handled_of_lost(client)
    client.expect_confirm(graph, CANCEL_NOT_FOUND, "S9.8")
    worker.expect_nothing("S9.8")


@case("S9.8", title="a client that left submits its task again")
def same_task_after_goodbye(world: World) -> None:
    """A client leaves while a worker has its task, and sends the Task again. It is refused, not taken for the one that
    is held.
    """
    client, holder, task = left_behind(world)
    client.submit(task, fence=False)
    handled_of_lost(client)
    client.expect_confirm(task, CANCEL_NOT_FOUND, "S9.8")
    holder.expect_nothing("S9.8", about=task)


@case("S9.8", "S11.1", title="a client that left cancels its task")
def cancel_after_goodbye(world: World) -> None:
    """A client leaves while a worker has its task, and cancels it then. It is told that nothing is held for it; nobody
    else is disturbed.
    """
    client, holder, task = left_behind(world)
    for force in (False, True):
        client.send(TaskCancel(task.id, force), fence=False)
        handled_of_lost(client)
        client.expect_confirm(task, CANCEL_NOT_FOUND, "S9.8")
        holder.expect_nothing("S9.8", about=task)
    other = world.client()
    following = other.submit()
    other.expect(world.dispatched(following, "S11.1").finish(following), "S11.1")


@case("S9.8", title="a client that left shuts the cluster down", profile=Profile.CLOSABLE)
def shutdown_after_goodbye(world: World) -> None:
    """A client leaves, and asks for a shutdown then. It has no say any more: no answer, and work goes on."""
    owner, holder, task = dispatched_task(world)
    leaving = world.client()
    leaving.disconnect()
    leaving.inbox.clear()
    with world.unresponsive_means("S9.8"):
        leaving.send(ClientDisconnect(DisconnectType.SHUTDOWN), fence=False)
        answered = any(isinstance(message, ClientShutdownResponse) for message in handled_of_lost(leaving))
        world.check("S9.8", not answered, f"{leaving.name} gets no ClientShutdownResponse", "it got one")
        holder.expect_nothing("S9.8")
        owner.expect(holder.finish(task), "S9.8")


@case("S1.3", title="the id of a task whose client left")
def id_of_abandoned_task(world: World) -> None:
    """A client leaves while a worker has its task, and another submits under that id. It is refused: the worker's
    answers would be taken for answers about the new task.
    """
    _, holder, task = left_behind(world)
    other = world.client()
    other.submit(task)
    other.expect_confirm(task, CANCEL_NOT_FOUND, "S1.3")
    holder.finish(task)
    for peer in (other, holder):
        peer.expect_nothing("S1.3", about=task)


@case("S9.11", title="what a paused client is told of its tasks", profile=Profile.SHORT_TIMEOUTS)
def told_of_its_tasks(world: World) -> None:
    """A client with five tasks is paused past its time-out: one waits, one is with a worker, three are being cancelled
    there. When it wakes it has been told `cancelNotFound` of each, and nothing else.
    """
    client, holder = world.client(), world.worker(queue_size=1 + len(FORCES))
    tasks = client.submit_many(1 + len(FORCES))
    dispatched, *cancelled = tasks
    for task in (dispatched, *cancelled):
        world.dispatched(task)
    tasks.append(client.submit())
    for task, forces in zip(cancelled, FORCES, strict=True):
        open_round(client, holder, task, forces)
    client.pause()
    world.wait_until(lambda: bool(holder.waiting(dispatched)))
    holder.expect_cancel(dispatched, "S9.7", force=True, vital=True)
    handled_of_lost(client)
    for task in tasks:
        client.expect_confirm(task, CANCEL_NOT_FOUND, "S9.11")
        client.expect_nothing("S9.11", about=task)


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
