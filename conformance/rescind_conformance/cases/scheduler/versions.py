"""Section 3: messages that are long, in an unusual form, or from other versions, and values that nobody knows."""

from __future__ import annotations

import os
from dataclasses import replace

from rescind import wire
from rescind.messages import (
    Argument,
    ClientDisconnect,
    ClientHeartbeat,
    ClientHeartbeatEcho,
    ClientShutdownResponse,
    Message,
    Task,
    TaskCancel,
    TaskCancelConfirm,
    TaskLog,
    TaskResult,
    WorkerHeartbeatEcho,
)
from rescind_conformance import frames
from rescind_conformance.case import case
from rescind_conformance.cases.scheduler.dispatched import dispatched_task
from rescind_conformance.cases.scheduler.losses import handled_of_lost
from rescind_conformance.peers import CANCELED, Peer
from rescind_conformance.world import World

MEBIBYTE = 1 << 20
SEGMENTS = 511
"""How many a frame may have for certain (section 10)."""
UNKNOWN_DATA, UNKNOWN_TEXT = b"\xa5" * 8, b"tomorrow"
"""What `frames.widened` adds."""


@case("M2", title="a frame of a mebibyte")
def long_frame(world: World) -> None:
    """A Task fills a frame of exactly 1 MiB. It is accepted, and reaches the worker as it is."""
    owner, worker = world.client(), world.worker()
    task = world.new_task()
    empty = owner.task_message(task)
    message = replace(empty, metadata=bytes(MEBIBYTE - len(wire.encode(empty))))
    owner.send(message)
    worker.expect(message, "M2")


@case("M2", title="a list of 65,536 elements")
def long_list(world: World) -> None:
    """A worker sends a TaskResult with 65,536 results. It is forwarded as it is."""
    owner, holder, task = dispatched_task(world)
    result = TaskResult(task.id, results=(b"",) * 65_536)
    holder.send(result)
    owner.expect(result, "M2")


@case("M3", title="members that nobody knows")
def unknown_members(world: World) -> None:
    """Client and worker send messages with members from a later version: nothing comes of them."""
    owner, holder, task = dispatched_task(world)
    for sender, message in ((owner, TaskCancel(task.id)), (holder, TaskResult(task.id))):
        for number in (27, 200, 0xFFFF):
            bent = frames.with_member(wire.encode(message), number)
            with world.unresponsive_means("M3"):
                sender.send_frames(bent, note=f"a message of member {number}")
            owner.expect_nothing("M3")
            holder.expect_nothing("M3")
    owner.expect(holder.finish(task), "M3")


@case("M3", title="members that are for others")
def members_for_others(world: World) -> None:
    """Client and worker send what only a scheduler sends, echoes, and answers of a shutdown: nothing comes of them."""
    owner, holder, task = dispatched_task(world)
    for message in (ClientHeartbeatEcho(), WorkerHeartbeatEcho(), ClientShutdownResponse(True)):
        for sender in (owner, holder):
            with world.unresponsive_means("M3"):
                sender.send(message)
            owner.expect_nothing("M3")
            holder.expect_nothing("M3")
    owner.expect(holder.finish(task), "M3")


@case("M4", title="messages of a later version")
def later_version(world: World) -> None:
    """Each message of a task's life has more data and pointers than today: it is read as if it had not."""
    owner, worker = world.client(), world.worker()
    task = world.new_task()
    submit = owner.task_message(task)
    newer = frames.widened(frames.widened(wire.encode(submit), 0))
    owner.send_frames(newer, means=submit, note="of a later version")
    worker.expect_task(task, "M4", vital=True)
    cancel = TaskCancel(task.id, force=True)
    owner.send_frames(frames.widened(wire.encode(cancel), 0, 1), means=cancel, note="with another flag")
    worker.expect_cancel(task, "M4", force=True)
    confirm = TaskCancelConfirm(task.id, CANCELED)
    worker.send_frames(frames.widened(wire.encode(confirm), 0), means=confirm, note="of a later version")
    owner.expect_confirm(task, CANCELED, "M4")


def keeps_what_it_does_not_know(sender: Peer, receiver: Peer, message: Message) -> None:
    """What a later version has added to a message is still in it when the scheduler has forwarded it."""
    world = sender.world
    sender.send_frames(frames.widened(wire.encode(message), 0), means=message, note="of a later version")
    receiver.expect(message, "M4", vital=True)
    kept = UNKNOWN_DATA in receiver.frames[-1] and UNKNOWN_TEXT in receiver.frames[-1]
    what = type(message).__name__
    world.check("M4", kept, f"{receiver.name} gets all of {what}", f"{receiver.name} got what is known of it today")


@case("M4", title="what a later version adds to a task")
def unknown_parts_of_task(world: World) -> None:
    """A Task has data and pointers that the scheduler does not know. It is forwarded with them: the worker may know."""
    owner, worker = world.client(), world.worker()
    keeps_what_it_does_not_know(owner, worker, owner.task_message(world.new_task()))


@case("M4", title="what a later version adds to a result")
def unknown_parts_of_result(world: World) -> None:
    """The same of a TaskResult, which the client may know."""
    owner, holder, task = dispatched_task(world)
    keeps_what_it_does_not_know(holder, owner, TaskResult(task.id, results=(bytes(32),)))


@case("M4", title="what a later version adds to a log line")
def unknown_parts_of_log(world: World) -> None:
    """The same of a TaskLog, by whoever forwards those."""
    owner, holder, task = dispatched_task(world)
    if holder.log(task, "ordinary") not in owner.inbox:
        world.unsupported("it does not forward TaskLog")
    keeps_what_it_does_not_know(holder, owner, TaskLog(task.id, content="of a later version"))


@case("M4", title="messages of an earlier version")
def earlier_version(world: World) -> None:
    """A Task that has no function and no arguments, and a TaskCancel without flags: what they lack has its default."""
    owner, worker = world.client(), world.worker()
    task = world.new_task()
    submit = Task(task.id, owner.routing_id)
    older = frames.with_size(wire.encode(submit), 0, data=0, pointers=2)
    owner.send_frames(older, means=submit, note="with no field but id and source")
    worker.expect_task(task, "M4", vital=True)
    forced = wire.encode(TaskCancel(task.id, force=True))
    plain = frames.with_size(forced, 0, data=0, pointers=1)
    owner.send_frames(plain, means=TaskCancel(task.id), note="with no field but its id")
    worker.expect_cancel(task, "M4", force=False)


@case("M4", title="pointers that are null")
def null_pointers(world: World) -> None:
    """A ClientHeartbeat without content is echoed, and a TaskCancel whose flags are null has no force."""
    owner, holder, task = dispatched_task(world)
    heartbeat = wire.encode(ClientHeartbeat())
    owner.outstanding += 1
    empty = frames.with_word(heartbeat, frames.pointer_at(heartbeat, 0), 0, 0)
    owner.send_frames(empty, means=ClientHeartbeat(), note="null", fence=False)
    with world.unresponsive_means("M4"):
        owner.fence()
    cancel = wire.encode(TaskCancel(task.id, force=True))
    plain = frames.with_word(cancel, frames.pointer_at(cancel, 0, 1), 0, 0)
    owner.send_frames(plain, means=TaskCancel(task.id), note="with null flags")
    holder.expect_cancel(task, "M4", force=False)


def several_segments(world: World, segments: int) -> None:
    """Task, TaskCancel and its answer each come in so many segments; a far pointer leads to the second."""
    owner, worker = world.client(), world.worker()
    task = world.new_task()

    def send(sender: Peer, message: Message) -> None:
        bent = frames.in_segments(wire.encode(message), segments)
        with world.unresponsive_means("M4"):
            sender.send_frames(bent, means=message, note=f"in {segments} segments")

    send(owner, owner.task_message(task))
    worker.expect_task(task, "M4", vital=True)
    send(owner, TaskCancel(task.id))
    worker.expect_cancel(task, "M4")
    send(worker, TaskCancelConfirm(task.id, CANCELED))
    owner.expect_confirm(task, CANCELED, "M4")


@case("M4", title="messages in two segments")
def two_segments(world: World) -> None:
    """Task, TaskCancel and its answer each come in two segments, joined by a far pointer."""
    several_segments(world, 2)


@case("M4", title="messages in as many segments as there may be")
def many_segments(world: World) -> None:
    """The same in 511 segments, of which most are empty."""
    several_segments(world, SEGMENTS)


@case("M5", title="task ids are opaque bytes")
def opaque_ids(world: World) -> None:
    """Ids of 1 to 255 bytes, zeros among them, most of them the beginning of others: each names its own task."""
    owner = world.client()
    some = os.urandom(8)
    ids = [some[:1], some[:2], some, some + b"\0", some + b"\0\0", some + bytes(246), some + bytes(247), b"\0" + some]
    tasks = [owner.submit(world.new_task(task_id)) for task_id in ids]
    for task in tasks[0::2]:
        owner.cancel(task)
        owner.expect_confirm(task, CANCELED, "M5")
    owner.expect_nothing("M5")
    worker = world.worker()
    for task in tasks[1::2]:
        owner.expect(world.dispatched(task, "M5").finish(task), "M5")
    worker.expect_nothing("M5")


@case("M6", title="a result of a kind that nobody knows")
def unknown_result_type(world: World) -> None:
    """A worker of a later version sends a new kind of result: forwarded as it is, and terminal. The success that it
    sends then comes too late.
    """
    owner, holder, task = dispatched_task(world)
    owner.expect(holder.finish(task, 7), "M6", vital=True)
    holder.finish(task)
    owner.expect_nothing("M6", about=task)


@case("M6", title="an answer of a kind that nobody knows")
def unknown_confirm_type(world: World) -> None:
    """The holder answers a cancel with a new kind of confirm: dropped, and the round is still open."""
    owner, holder, task = dispatched_task(world)
    owner.cancel(task)
    holder.expect_cancel(task, "S4.1", vital=True)
    holder.confirm(task, 9)
    owner.expect_nothing("M6", about=task)
    holder.confirm(task, CANCELED)
    owner.expect_confirm(task, CANCELED, "M6")


@case("M6", title="an argument of a kind that nobody knows")
def unknown_argument_type(world: World) -> None:
    """A Task of a later version has a new kind of argument: it is forwarded as it is, the worker will judge."""
    owner, worker = world.client(), world.worker()
    task = world.new_task()
    message = owner.task_message(task, arguments=(Argument(5, bytes(32)),))
    owner.send(message)
    worker.expect(message, "M6")


@case("M6", title="a log line of a kind that nobody knows")
def unknown_log_type(world: World) -> None:
    """A worker of a later version writes to a new stream: forwarded like any other, by whoever forwards logs."""
    owner, holder, task = dispatched_task(world)
    ordinary = holder.log(task, "ordinary")
    if ordinary not in owner.inbox:
        world.unsupported("it does not forward TaskLog")
    owner.inbox.remove(ordinary)
    unknown = TaskLog(task.id, 5, "of a later version")
    holder.send(unknown)
    owner.expect(unknown, "M6")


@case("M6", title="a good-bye of a kind that nobody knows")
def unknown_disconnect_type(world: World) -> None:
    """A client says good-bye, and one of a later version says it in a new way: that is a good-bye too, and its task is
    cancelled with force as the other's is.
    """
    today, tomorrow, holder = world.client(), world.client(), world.worker()
    known, unknown = today.submit(), tomorrow.submit()
    for task in (known, unknown):
        world.dispatched(task)
    today.disconnect()
    holder.expect_cancel(known, "S9.1", force=True, vital=True)
    tomorrow.send(ClientDisconnect(9), fence=False)
    tomorrow.gone = True
    handled_of_lost(tomorrow)
    holder.expect_cancel(unknown, "M6", force=True)
