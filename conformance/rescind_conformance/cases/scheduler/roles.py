"""Section 4, "Nothing that a peer does harms another": the wrong role, garbage, and bad manners."""

from __future__ import annotations

import random

from rescind import wire
from rescind.messages import (
    CancelConfirmType,
    ClientDisconnect,
    ClientHeartbeat,
    DisconnectType,
    GraphTask,
    Message,
    TaskCancel,
    TaskCancelConfirm,
    TaskResult,
    WorkerDisconnectNotification,
    WorkerHeartbeat,
)
from rescind_conformance import frames
from rescind_conformance.case import case
from rescind_conformance.cases.scheduler.dispatched import dispatched_task
from rescind_conformance.cases.scheduler.losses import handled_of_lost
from rescind_conformance.peers import CANCELED, FakeClient, FakeWorker, Peer, TaskRef
from rescind_conformance.world import World


@case("S11.3", title="a client that sends results")
def client_sends_result(world: World) -> None:
    """The owner itself, and another client, send a TaskResult for a running task. Only the holder's counts."""
    owner, holder, task = dispatched_task(world)
    other = world.client()
    for impostor in (owner, other):
        impostor.send(TaskResult(task.id, results=(bytes(32),)))
        owner.expect_nothing("S11.3", about=task)
        other.expect_nothing("S11.3", about=task)
    owner.expect(holder.finish(task), "S11.3")


@case("S11.3", title="a client that answers its own cancel")
def client_sends_confirm(world: World) -> None:
    """The owner cancels, and sends `canceled` itself. Only the holder's answer counts."""
    owner, holder, task = dispatched_task(world)
    owner.cancel(task)
    holder.expect_cancel(task, "S4.1", vital=True)
    owner.send(TaskCancelConfirm(task.id, CancelConfirmType.CANCELED))
    owner.expect_nothing("S11.3", about=task)
    holder.confirm(task, CANCELED)
    owner.expect_confirm(task, CANCELED, "S11.3")


@case("S11.3", title="a client that sends a worker's heartbeat")
def client_as_worker(world: World) -> None:
    """A client sends a WorkerHeartbeat. It is not echoed, and no task is dispatched to the client."""
    owner, posing = world.client(), world.client()
    with world.unresponsive_means("S11.3"):
        posing.send(WorkerHeartbeat(queue_size=10))
    posing.expect_nothing("S11.3")
    task = owner.submit()
    posing.expect_nothing("S11.3", about=task)
    owner.expect_nothing("S11.3", about=task)


@case("S11.3", title="a client that says a worker's good-bye")
def client_leaves_as_worker(world: World) -> None:
    """A client sends WorkerDisconnectNotification. It is still there, and so is its task."""
    owner, holder, task = dispatched_task(world)
    with world.unresponsive_means("S11.3"):
        owner.send(WorkerDisconnectNotification())
    holder.expect_nothing("S11.3", about=task)
    owner.expect(holder.finish(task), "S11.3")


@case("S11.3", title="a worker that sends a client's heartbeat")
def worker_as_client(world: World) -> None:
    """A worker sends a ClientHeartbeat. It is not echoed."""
    worker = world.worker()
    with world.unresponsive_means("S11.3"):
        worker.send(ClientHeartbeat())
    worker.expect_nothing("S11.3")


@case("S11.3", title="a worker that submits")
def worker_submits(world: World) -> None:
    """A worker sends a Task: nobody is assigned it, and nothing is answered."""
    client, worker = world.client(), world.worker()
    other = world.worker()
    task = world.new_task()
    with world.unresponsive_means("S11.3"):
        worker.send(client.task_message(task, source=worker.routing_id))
    worker.expect_nothing("S11.3", about=task)
    other.expect_nothing("S11.3", about=task)


@case("S11.3", title="a worker that submits a graph")
def worker_submits_graph(world: World) -> None:
    """A worker sends a GraphTask: nobody is assigned a part of it, and nothing is answered."""
    client, worker, other = world.client(), world.worker(), world.worker()
    graph, node = world.new_task(), world.new_task()
    with world.unresponsive_means("S11.3"):
        worker.send(GraphTask(graph.id, worker.routing_id, (node.id,), (client.task_message(node),)))
    for peer in (client, worker, other):
        peer.expect_nothing("S11.3")


@case("S11.3", title="a worker that cancels")
def worker_cancels(world: World) -> None:
    """Another worker, and the holder itself, send a TaskCancel with force: nobody hears of it, the task goes on."""
    owner, holder, task = dispatched_task(world)
    other = world.worker()
    for impostor in (other, holder):
        with world.unresponsive_means("S11.3"):
            impostor.send(TaskCancel(task.id, force=True))
        for peer in (owner, holder, other):
            peer.expect_nothing("S11.3", about=task)
    owner.expect(holder.finish(task), "S11.3")


@case("S11.3", title="a worker that says a client's good-bye")
def worker_leaves_as_client(world: World) -> None:
    """A worker sends ClientDisconnect `disconnect`, which is a client's word. It is still a worker."""
    owner, holder, task = dispatched_task(world)
    with world.unresponsive_means("S11.3"):
        holder.send(ClientDisconnect(DisconnectType.DISCONNECT))
    owner.expect(holder.finish(task), "S11.3")
    world.dispatched(owner.submit(), "S11.3")


@case("S11.3", title="a worker that shuts the cluster down")
def worker_shuts_down(world: World) -> None:
    """A worker sends ClientDisconnect `shutdown`. It has no say in that: no answer, and work goes on."""
    owner, holder, task = dispatched_task(world)
    with world.unresponsive_means("S11.3"):
        holder.send(ClientDisconnect(DisconnectType.SHUTDOWN))
    holder.expect_nothing("S11.3")
    owner.expect(holder.finish(task), "S11.3")


def still_serves(world: World, owner: FakeClient, holder: FakeWorker, task: TaskRef) -> None:
    """The task of a client that did nothing wrong has its result, and so has its next one."""
    owner.expect_nothing("S11.1")
    holder.expect_nothing("S11.1")
    owner.expect(holder.finish(task), "S11.1")
    following = owner.submit()
    owner.expect(world.dispatched(following, "S11.1").finish(following), "S11.1")


def garbage(sender: Peer, victims: Message) -> None:
    """Everything malformed, made from a message about somebody else's task, and random bytes."""
    frame = wire.encode(victims)
    for note, bent in (*frames.misframed(frame), *frames.misdirected(frame, 0, 0)):
        sender.send_frames(bent, note=f"{note} ({len(bent)} bytes)", fence=False)
    sender.fence()
    chosen = random.Random(20240229)
    for _ in range(100):
        noise = chosen.randbytes(chosen.randrange(200))
        sender.send_frames(noise, note="random bytes", fence=False)
    sender.fence()


@case("S11.1", title="a client that sends garbage")
def garbage_of_client(world: World) -> None:
    """A client sends hundreds of malformed frames made from a cancel of another's task: that task goes on."""
    owner, holder, task = dispatched_task(world)
    garbage(world.client(), TaskCancel(task.id, force=True))
    still_serves(world, owner, holder, task)


@case("S11.1", title="a worker that sends garbage")
def garbage_of_worker(world: World) -> None:
    """A worker sends hundreds of malformed frames made from a result of another's task: that task goes on."""
    owner, holder, task = dispatched_task(world)
    garbage(world.worker(), TaskResult(task.id, results=(bytes(32),)))
    still_serves(world, owner, holder, task)


@case("S11.1", title="good-byes that end nothing")
def needless_goodbyes(world: World) -> None:
    """A client and a worker that nobody knows say good-bye; a client and a worker that have left say it twice more. A
    client that did nothing wrong is served all the same.
    """
    owner, holder, task = dispatched_task(world)
    strangers = (world.client(introduced=False), world.worker(introduced=False))
    left = (world.client(), world.worker())
    for client, worker in (strangers, left, left, left):
        client.send(ClientDisconnect(DisconnectType.DISCONNECT), fence=False)
        worker.send(WorkerDisconnectNotification(), fence=False)
    with world.unresponsive_means("S11.1"):
        for peer in left:
            peer.gone = True
            handled_of_lost(peer)
        still_serves(world, owner, holder, task)
