"""Section 12: peers of a later version, whose messages have fields that today's do not have (`vector_versions`)."""

from __future__ import annotations

from rescind.messages import (
    ClientDisconnect,
    DisconnectType,
    Message,
    TaskCancel,
    TaskCancelConfirm,
    TaskResult,
    WorkerDisconnectNotification,
)
from rescind.vector_versions import evolved, evolved_fields
from rescind_conformance.case import case
from rescind_conformance.cases.scheduler.dispatched import dispatched_task
from rescind_conformance.cases.scheduler.graphs import graph_of
from rescind_conformance.peers import CANCEL_NOT_FOUND, CANCELED, Peer, TaskRef
from rescind_conformance.world import World


def send_evolved(sender: Peer, message: Message, *, fence: bool = True) -> None:
    """Send a message as the later version does."""
    sender.send_frames(evolved(message), means=message, note="of a later version", fence=fence)


def leave_evolved(peer: Peer, goodbye: Message, witness: Peer, task: TaskRef) -> None:
    """Say good-bye as the later version does; return when the witness has heard of the task, or will not."""
    send_evolved(peer, goodbye, fence=False)
    peer.gone = True
    peer.world.wait_until(lambda: bool(witness.waiting(task)))
    peer.world.settle()


def keeps_all(receiver: Peer, message: Message) -> None:
    """The receiver gets the message with everything in it that the later version has put there (E3)."""
    receiver.expect(message, "E3", vital=True)
    kept = evolved_fields(receiver.frames[-1]) == evolved_fields(evolved(message))
    what = type(message).__name__
    receiver.world.check("E3", kept, f"{receiver.name} gets all of {what}", f"{receiver.name} got something else")


@case("E3", title="a task of a later version waits, and is dispatched twice")
def every_dispatch(world: World) -> None:
    """A Task with new fields waits for a worker. The worker that gets it leaves, so that a second one gets it: each has
    all of it, in the elements of its lists, too.
    """
    owner = world.client()
    message = owner.task_message(world.new_task())
    send_evolved(owner, message)
    first = world.worker()
    keeps_all(first, message)
    second = world.worker()
    first.leave()
    keeps_all(second, message)


@case("E3", title="answers of a later version")
def answers(world: World) -> None:
    """The holder confirms a cancel: the owner gets the answer with its new fields."""
    owner, holder, task = dispatched_task(world)
    owner.cancel(task)
    holder.expect_cancel(task, "S4.1", vital=True)
    answer = TaskCancelConfirm(task.id, CANCELED)
    send_evolved(holder, answer)
    keeps_all(owner, answer)


@case("E2", title="heartbeats of a later version")
def heartbeats(world: World) -> None:
    """Client and worker come with heartbeats that have new fields: each is echoed, and the worker gets as many tasks as
    it says.
    """
    owner, worker = world.client(introduced=False), world.worker(queue_size=2, introduced=False)
    for peer in (owner, worker):
        peer.outstanding += 1
        send_evolved(peer, peer.heartbeat_message(), fence=False)
    world.wait_until(lambda: not owner.outstanding and not worker.outstanding)
    for peer in (owner, worker):
        world.check("E2", not peer.outstanding, f"an echo to {peer.name}", "none came", vital=True)
    tasks = owner.submit_many(3)
    world.wait_until(lambda: len(worker.waiting()) == 2)
    worker.fence()
    for task in tasks[:2]:
        worker.expect_task(task, "E2")
    worker.expect_nothing("E2")


@case("E2", title="a cancel of a later version")
def cancel(world: World) -> None:
    """TaskCancels have new fields and new flags, beside force: it is passed on as it was set, and the answer comes."""
    owner, holder = world.client(), world.worker()
    for force in (False, True):
        task = owner.submit()
        holder.expect_task(task, "S9.9", vital=True)
        send_evolved(owner, TaskCancel(task.id, force))
        holder.expect_cancel(task, "E2", force=force, vital=True)
        holder.confirm(task, CANCELED)
        owner.expect_confirm(task, CANCELED, "E2")


@case("E2", title="a graph of a later version")
def graph(world: World) -> None:
    """A GraphTask has new fields, and so has each task in it: its nodes run in their order. Where graphs are refused,
    it is refused as any other.
    """
    owner = world.client()
    world.worker()
    plan = graph_of(world, owner, {"a": "", "b": "a"}, "b")
    send_evolved(owner, plan.message)
    if TaskCancelConfirm(plan.ref.id, CANCEL_NOT_FOUND) in owner.inbox:
        owner.expect_confirm(plan["b"], CANCEL_NOT_FOUND, "E2")
        owner.expect_confirm(plan.ref, CANCEL_NOT_FOUND, "E2")
        return
    for name in "ab":
        owner.expect(world.dispatched(plan[name], "E2").finish(plan[name]), "E2")
    owner.expect(TaskResult(plan.ref.id), "E2")


@case("E2", title="a worker of a later version says good-bye")
def workers_goodbye(world: World) -> None:
    """A WorkerDisconnectNotification has fields, which today's has not: what the worker held is placed again."""
    _, holder, task = dispatched_task(world)
    other = world.worker()
    leave_evolved(holder, WorkerDisconnectNotification(), other, task)
    other.expect_task(task, "E2")


@case("E2", title="a client of a later version says good-bye")
def clients_goodbye(world: World) -> None:
    """A ClientDisconnect `disconnect` has new fields: the client's task is cancelled with force."""
    owner, holder, task = dispatched_task(world)
    leave_evolved(owner, ClientDisconnect(DisconnectType.DISCONNECT), holder, task)
    holder.expect_cancel(task, "E2", force=True)
