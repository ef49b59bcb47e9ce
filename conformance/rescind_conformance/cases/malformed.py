"""Section 3: messages that are malformed, from other versions, or carry values that nobody knows."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace

from rescind import wire
from rescind.messages import (
    Argument,
    Capability,
    ClientDisconnect,
    ClientHeartbeat,
    ClientHeartbeatEcho,
    ClientShutdownResponse,
    GraphTask,
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
from rescind_conformance.cases.dispatched import dispatched_task
from rescind_conformance.peers import CANCEL_NOT_FOUND, CANCELED, FakeClient, FakeWorker, Peer, TaskRef
from rescind_conformance.world import World

MEBIBYTE = 1 << 20
BAD_UTF8 = b"\xff\xfe\xfd\xfc"
PLACEHOLDER = "____"


def have_no_effect(
    frames_to_send: Iterable[tuple[str, bytes]], sender: Peer, owner: FakeClient, holder: FakeWorker, task: TaskRef
) -> None:
    """None of these frames, which look like a message about the task, does anything to it."""
    for note, frame in frames_to_send:
        with sender.world.unresponsive_means("M1"):
            sender.send_frames(frame, note=f"{note} ({len(frame)} bytes)")
        owner.expect_nothing("M1", about=task)
        holder.expect_nothing("M1", about=task)


@case("M1", title="a client's frames that are not one message")
def client_misframed(world: World) -> None:
    """TaskCancels cut off, doubled, with bytes behind them: none has an effect, and the good one after them has."""
    owner, holder, task = dispatched_task(world)
    cancel = wire.encode(TaskCancel(task.id, force=True))
    have_no_effect(frames.misframed(cancel), owner, owner, holder, task)
    owner.cancel(task)
    holder.expect_cancel(task, "M1")


@case("M1", title="a worker's frames that are not one message")
def worker_misframed(world: World) -> None:
    """TaskResults cut off, doubled, with bytes behind them: none has an effect, and the good one after them has."""
    owner, holder, task = dispatched_task(world)
    result = wire.encode(TaskResult(task.id, results=(bytes(32),)))
    have_no_effect(frames.misframed(result), holder, owner, holder, task)
    owner.expect(holder.finish(task), "M1")


@case("M1", title="a client's pointers that lead nowhere")
def client_misdirected(world: World) -> None:
    """TaskCancels whose pointers lead out of the message: none has an effect, and the good one after them has."""
    owner, holder, task = dispatched_task(world)
    cancel = wire.encode(TaskCancel(task.id, force=True))
    have_no_effect(frames.misdirected(cancel, 0, 0), owner, owner, holder, task)
    owner.cancel(task)
    holder.expect_cancel(task, "M1")


@case("M1", title="a worker's pointers that lead nowhere")
def worker_misdirected(world: World) -> None:
    """TaskResults whose pointers lead out of the message: none has an effect, and the good one after them has."""
    owner, holder, task = dispatched_task(world)
    result = wire.encode(TaskResult(task.id))
    have_no_effect(frames.misdirected(result, 0, 0), holder, owner, holder, task)
    owner.expect(holder.finish(task), "M1")


@case("M1", title="not exactly one frame")
def several_frames(world: World) -> None:
    """A TaskCancel with an empty frame before it, as a REQ socket sends, or behind it, or twice: no effect."""
    owner, holder, task = dispatched_task(world)
    cancel = wire.encode(TaskCancel(task.id, force=True))
    for note, parts in (
        ("an empty frame, then TaskCancel", (b"", cancel)),
        ("TaskCancel, then an empty frame", (cancel, b"")),
        ("TaskCancel twice in one message", (cancel, cancel)),
    ):
        owner.send_frames(*parts, note=note)
        owner.expect_nothing("M1", about=task)
        holder.expect_nothing("M1", about=task)
    owner.cancel(task)
    holder.expect_cancel(task, "M1")


@case("M1", title="a few bytes that stand for thousands of arguments")
def amplified(world: World) -> None:
    """A Task of a few bytes claims 65536 arguments of no size. It is dropped, and the scheduler goes on."""
    owner, worker = world.client(), world.worker()
    task = world.new_task()
    frame = wire.encode(owner.task_message(task, arguments=(Argument(1, bytes(32)),)))
    arguments = frames.pointer_at(frame, 0, 4)
    for note, bent in (
        ("65536 elements that weigh nothing", frames.with_word(frame, arguments, 1, 1 << 16 + 3)),
        ("a list longer than the frame", frames.with_word(frame, arguments, 1, (1 << 16 + 3) | 7)),
    ):
        with world.unresponsive_means("M1"):
            owner.send_frames(bent, note=f"Task {task.name} with {note}")
        worker.expect_nothing("M1")
        owner.expect_nothing("M1", about=task)
    world.dispatched(owner.submit(), "M1")


@case("M1", title="a text that is not UTF-8")
def not_utf8(world: World) -> None:
    """A Task whose capability has a name that is not UTF-8 is dropped as a whole: it is not held."""
    owner, worker = world.client(), world.worker()
    task = world.new_task()
    message = Task(task.id, owner.routing_id, capabilities=(Capability(PLACEHOLDER, -1),))
    owner.send_frames(
        wire.encode(message).replace(PLACEHOLDER.encode(), BAD_UTF8), note=f"Task {task.name} with a bad text"
    )
    worker.expect_nothing("M1")
    owner.expect_nothing("M1", about=task)
    owner.cancel(task)
    owner.expect_confirm(task, CANCEL_NOT_FOUND, "M1")


@case("M1", title="a log line that is not a text")
def log_is_no_text(world: World) -> None:
    """The holder sends a TaskLog that is not UTF-8, and one without its final zero. The owner gets neither."""
    owner, holder, task = dispatched_task(world)
    frame = wire.encode(TaskLog(task.id, content=PLACEHOLDER))
    for note, bent in (
        ("not UTF-8", frame.replace(PLACEHOLDER.encode(), BAD_UTF8)),
        ("without its final zero", frames.with_length(frame, frames.pointer_at(frame, 0, 1), len(PLACEHOLDER))),
    ):
        holder.send_frames(bent, note=f"TaskLog {task.name}, {note}")
        owner.expect_nothing("M1")
    owner.expect(holder.finish(task), "M1")


@case("M1", title="pointers that share what they lead to")
def shared_elements(world: World) -> None:
    """A TaskResult of 6 kB has a hundred results, all of them the same 4 kB: dropped, the good one is forwarded."""
    owner, holder, task = dispatched_task(world)
    frame = wire.encode(TaskResult(task.id, results=(bytes(4096), *[b"-"] * 99)))
    with world.unresponsive_means("M1"):
        holder.send_frames(frames.with_shared_elements(frame, 0, 2), note=f"TaskResult {task.name} of shared parts")
    owner.expect_nothing("M1")
    owner.expect(holder.finish(task), "M1")


@case("M1", title="a task id within a graph that is empty or too long")
def bad_task_ids_in_graph(world: World) -> None:
    """One task of a graph has no id, or one of 256 bytes: the graph is dropped as a whole, without an answer."""
    client, worker = world.client(), world.worker()
    longest = world.new_task(b"i" * 255)
    for length in (0, 256):
        graph = world.new_task()
        frame = wire.encode(GraphTask(graph.id, client.routing_id, (), (client.task_message(longest),)))
        bent = frames.with_length(frame, frames.pointer_to(frame, longest.id), length)
        client.send_frames(bent, note=f"GraphTask {graph.name} with an id of {length} bytes")
        client.expect_nothing("M1")
        worker.expect_nothing("M1")


@case("M1", title="a task id that is empty or too long")
def bad_task_ids(world: World) -> None:
    """Tasks and TaskCancels with no id, and with one of 256 bytes, are dropped without an answer."""
    client, worker = world.client(), world.worker()
    longest = world.new_task(b"i" * 255)
    for message in (client.task_message(longest), TaskCancel(longest.id)):
        for length in (0, 256):
            frame = wire.encode(message)
            bent = frames.with_length(frame, frames.pointer_at(frame, 0, 0), length)
            client.send_frames(bent, note=f"{type(message).__name__} with an id of {length} bytes")
            client.expect_nothing("M1")
            worker.expect_nothing("M1")


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


@case("M4", title="messages in two segments")
def two_segments(world: World) -> None:
    """Task, TaskCancel and its answer each come in two segments, joined by a far pointer."""
    owner, worker = world.client(), world.worker()
    task = world.new_task()

    def send(sender: Peer, message: Message) -> None:
        sender.send_frames(frames.in_two_segments(wire.encode(message)), means=message, note="in two segments")

    send(owner, owner.task_message(task))
    worker.expect_task(task, "M4", vital=True)
    send(owner, TaskCancel(task.id))
    worker.expect_cancel(task, "M4")
    send(worker, TaskCancelConfirm(task.id, CANCELED))
    owner.expect_confirm(task, CANCELED, "M4")


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
    """A worker of a later version sends a new kind of result: forwarded as it is, and terminal."""
    owner, holder, task = dispatched_task(world)
    owner.expect(holder.finish(task, 7), "M6", vital=True)
    owner.cancel(task)
    owner.expect_confirm(task, CANCEL_NOT_FOUND, "M6")


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
    """A client of a later version says good-bye in a new way: it is a disconnect, its task is cancelled with force."""
    owner, holder, task = dispatched_task(world)
    owner.send(ClientDisconnect(9))
    holder.expect_cancel(task, "M6", force=True)
