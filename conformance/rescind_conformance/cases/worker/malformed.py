"""Section 3, as far as it binds a worker: messages that are malformed, from other versions, or of unknown values."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace

from rescind import wire
from rescind.messages import (
    Argument,
    ArgumentType,
    Capability,
    ClientDisconnect,
    ClientHeartbeat,
    ClientHeartbeatEcho,
    ClientShutdownResponse,
    DisconnectType,
    GraphTask,
    Message,
    ObjectStorageAddress,
    TaskCancel,
    TaskCancelConfirm,
    TaskLog,
    TaskResult,
    TaskResultType,
    WorkerDisconnectNotification,
    WorkerHeartbeat,
    WorkerHeartbeatEcho,
)
from rescind_conformance import frames
from rescind_conformance.case import case
from rescind_conformance.peers import CANCEL_FAILED, CANCEL_NOT_FOUND, CANCELED, TaskRef
from rescind_conformance.worker_world import WorkerWorld

MEBIBYTE = 1 << 20
SOME = 30_000
"""Capabilities that leave room in a frame of 1 MiB."""
BAD_UTF8 = b"\xff\xfe\xfd\xfc"
PLACEHOLDER = "____"


def running_task(world: WorkerWorld) -> TaskRef:
    """A worker with one process, and the task that it runs."""
    world.start()
    return world.run("hold")


def have_no_effect(world: WorkerWorld, bent: Iterable[tuple[str, tuple[bytes, ...]]], requirement: str = "M1") -> None:
    """Nothing comes of any of these, and the worker goes on.

    What would be answered at once shows which of them was taken for a message.
    """
    for note, parts in bent:
        world.send_frames(*parts, note=f"{note} ({sum(map(len, parts))} bytes)")
        with world.after(note):
            world.expect_nothing(requirement)


def goes_on(world: WorkerWorld, task: TaskRef, requirement: str = "M1") -> None:
    """The task still runs, which a good TaskCancel finds; then it has its result."""
    world.check(requirement, world.runs(task), f"{task.name} goes on", "its process has ended")
    world.cancel(task)
    world.expect_confirm(task, CANCEL_FAILED, requirement)
    world.release(task)
    world.expect_result(task, requirement)


def not_held(world: WorkerWorld, task: TaskRef, requirement: str = "M1") -> None:
    """A Task that was dropped: it does not begin, and a TaskCancel does not find it."""
    world.cancel(task)
    world.expect_confirm(task, CANCEL_NOT_FOUND, requirement)
    world.pass_time(requirement)
    world.expect_not_started(task, requirement)


@case("M1", title="frames that are not one message")
def misframed(world: WorkerWorld) -> None:
    """TaskCancels cut off, doubled, with bytes behind them: none is answered, the good one after them is."""
    task = running_task(world)
    cancel = wire.encode(TaskCancel(task.id))
    have_no_effect(world, ((note, (frame,)) for note, frame in frames.misframed(cancel)))
    goes_on(world, task)


@case("M1", title="pointers that lead nowhere")
def misdirected(world: WorkerWorld) -> None:
    """TaskCancels whose pointers lead out of the message: none is answered, the good one after them is."""
    task = running_task(world)
    cancel = wire.encode(TaskCancel(task.id))
    have_no_effect(world, ((note, (frame,)) for note, frame in frames.misdirected(cancel, 0, 0)))
    goes_on(world, task)


@case("M1", title="not exactly one frame")
def several_frames(world: WorkerWorld) -> None:
    """A TaskCancel with an empty frame before it, as a REP socket sends, or behind it, or twice: no answer."""
    task = running_task(world)
    cancel = wire.encode(TaskCancel(task.id))
    several = (
        ("an empty frame, then TaskCancel", (b"", cancel)),
        ("TaskCancel, then an empty frame", (cancel, b"")),
        ("TaskCancel twice in one message", (cancel, cancel)),
    )
    have_no_effect(world, several)
    goes_on(world, task)


@case("M1", title="task ids that are empty or too long")
def bad_task_ids(world: WorkerWorld) -> None:
    """TaskCancels, and a Task, whose id is empty or has 256 bytes: not even an answer comes."""
    task = running_task(world)
    longest = world.new_task(b"i" * 255)
    submitted = wire.encode(world.task_message(longest, "return"))
    for kind, frame in (("TaskCancel", wire.encode(TaskCancel(longest.id))), ("Task", submitted)):
        for length in (0, 256):
            bent = frames.with_length(frame, frames.pointer_at(frame, 0, 0), length)
            have_no_effect(world, [(f"{kind} with an id of {length} bytes", (bent,))])
    goes_on(world, task)
    world.pass_time("M1")
    world.expect_not_started(longest, "M1")


@case("M1", title="a few bytes that stand for thousands of arguments")
def amplified(world: WorkerWorld) -> None:
    """A Task of a few bytes claims 65536 arguments of no size. It is dropped, and the worker goes on."""
    world.start()
    task = world.new_task()
    message = replace(world.task_message(task, "return"), function_args=(Argument(ArgumentType.OBJECT_ID, bytes(32)),))
    frame = wire.encode(message)
    arguments = frames.pointer_at(frame, 0, 4)
    for note, bent in (
        ("65536 elements that weigh nothing", frames.with_word(frame, arguments, 1, 1 << 16 + 3)),
        ("a list longer than the frame", frames.with_word(frame, arguments, 1, (1 << 16 + 3) | 7)),
    ):
        have_no_effect(world, [(f"Task {task.name} with {note}", (bent,))])
    not_held(world, task)


@case("M1", title="texts that are not UTF-8")
def not_utf8(world: WorkerWorld) -> None:
    """A Task whose capability has a bad name is dropped as a whole. So is an echo that names a bad place for payloads:
    the worker still finds them.
    """
    world.start()
    task = world.new_task()
    message = replace(world.task_message(task, "return"), capabilities=(Capability(PLACEHOLDER, -1),))
    echo = WorkerHeartbeatEcho(ObjectStorageAddress(PLACEHOLDER, 1, "sqlite"))
    for note, good in ((f"Task {task.name}", message), ("WorkerHeartbeatEcho", echo)):
        bent = wire.encode(good).replace(PLACEHOLDER.encode(), BAD_UTF8)
        have_no_effect(world, [(f"{note} with a bad text", (bent,))])
    not_held(world, task)


@case("M2", title="a frame of 1 MiB")
def large_frame(world: WorkerWorld) -> None:
    """A Task with tens of thousands of capabilities fills a frame of exactly 1 MiB. It is accepted, and runs."""
    world.start()
    task = world.new_task()
    message = world.task_message(task, "return")
    some = (Capability("", 1),) * SOME
    frame, room = b"", 0
    while len(frame) != MEBIBYTE:  # how much an encoder adds varies a little
        room += (MEBIBYTE - len(frame)) if frame else 7
        full = replace(message, capabilities=(*some, Capability("n" * room, 1)))
        frame = wire.encode(full)
    world.send_frames(
        frame, note=f"Task {task.name} of 1 MiB with {len(full.capabilities)} capabilities", means=message
    )
    world.expect_result(task, "M2")


@case("M3", title="members that nobody knows")
def unknown_members(world: WorkerWorld) -> None:
    """Messages about a running task, with members from a later version: nothing comes of them."""
    task = running_task(world)
    cancel = wire.encode(TaskCancel(task.id, force=True))
    for number in (27, 200, 0xFFFF):
        bent = frames.with_member(cancel, number)
        have_no_effect(world, [(f"a message of member {number}", (bent,))], "M3")
    goes_on(world, task, "M3")


@case("M3", title="members that are for others")
def members_for_others(world: WorkerWorld) -> None:
    """What only clients and workers send, and what only clients are sent, about a running task: nothing comes of it."""
    task = running_task(world)
    for message in (
        TaskResult(task.id),
        TaskCancelConfirm(task.id, CANCELED),
        TaskLog(task.id, content="nothing"),
        GraphTask(world.new_task().id),
        ClientHeartbeat(),
        ClientHeartbeatEcho(),
        ClientShutdownResponse(True),
        WorkerHeartbeat(),
        WorkerDisconnectNotification(),
    ):
        world.send(message)
        with world.after(type(message).__name__):
            world.expect_nothing("M3")
    goes_on(world, task, "M3")


@case("M4", title="messages of a later version")
def later_version(world: WorkerWorld) -> None:
    """Task and TaskCancel have more data and pointers than today: they are read as if they had not."""
    world.start()
    task = world.new_task()
    message = world.task_message(task, "hold")
    newer = frames.widened(frames.widened(wire.encode(message), 0))
    world.send_frames(newer, means=message, note="of a later version")
    world.expect_started(task, "M4", vital=True)
    cancel = TaskCancel(task.id, force=True)
    world.send_frames(frames.widened(wire.encode(cancel), 0, 1), means=cancel, note="with another flag")
    world.expect_confirm(task, CANCELED, "M4")


@case("M4", title="messages of an earlier version")
def earlier_version(world: WorkerWorld) -> None:
    """A Task that has no capabilities, and a TaskCancel without flags, which has no force."""
    world.start()
    task = world.new_task()
    message = world.task_message(task, "hold")
    older = frames.with_size(wire.encode(message), 0, data=0, pointers=5)
    world.send_frames(older, means=message, note="with no field behind its arguments")
    world.expect_started(task, "M4", vital=True)
    plain = frames.with_size(wire.encode(TaskCancel(task.id, force=True)), 0, data=0, pointers=1)
    world.send_frames(plain, means=TaskCancel(task.id), note="with no field but its id")
    world.expect_confirm(task, CANCEL_FAILED, "M4")


@case("M4", title="pointers that are null")
def null_pointers(world: WorkerWorld) -> None:
    """A TaskCancel whose flags are null has no force: the running task refuses."""
    task = running_task(world)
    cancel = wire.encode(TaskCancel(task.id, force=True))
    plain = frames.with_word(cancel, frames.pointer_at(cancel, 0, 1), 0, 0)
    world.send_frames(plain, means=TaskCancel(task.id), note="with null flags")
    world.expect_confirm(task, CANCEL_FAILED, "M4")


@case("M4", title="a ClientDisconnect without content")
def null_disconnect(world: WorkerWorld) -> None:
    """The scheduler says ClientDisconnect, whose content is null: it is `disconnect`, and what runs is ended.

    In a life before the worker shows that it understands one with content.
    """
    world.start(brisk=True)
    first = world.run("hold")
    word = ClientDisconnect(DisconnectType.DISCONNECT)
    world.send(word)
    world.expect_ended(first, "W4.3", vital=True)
    if not world.comes_back():
        world.unsupported("it does not come back")
    second = world.run("hold")
    frame = wire.encode(word)
    world.send_frames(frames.with_word(frame, frames.pointer_at(frame, 0), 0, 0), means=word, note="null")
    world.expect_ended(second, "M4", vital=True)
    world.comes_back(2)


def several_segments(world: WorkerWorld, segments: int) -> None:
    """Task and TaskCancel come in so many segments; a far pointer leads to the second."""
    world.start()
    task = world.new_task()

    def send(message: Message) -> None:
        bent = frames.in_segments(wire.encode(message), segments)
        world.send_frames(bent, means=message, note=f"in {segments} segments")

    send(world.task_message(task, "hold"))
    world.expect_started(task, "M4", vital=True)
    send(TaskCancel(task.id, force=True))
    world.expect_confirm(task, CANCELED, "M4")


@case("M4", title="messages in two segments")
def two_segments(world: WorkerWorld) -> None:
    """Task and TaskCancel come in two segments, joined by a far pointer."""
    several_segments(world, 2)


@case("M4", title="messages in as many segments as there may be")
def many_segments(world: WorkerWorld) -> None:
    """The same in 511 segments, of which most are empty."""
    several_segments(world, 511)


@case("M5", title="task ids are opaque bytes")
def opaque_ids(world: WorkerWorld) -> None:
    """Ids of 1 to 255 bytes, zeros among them, most of them the beginning of others: each names its own task."""
    blocker = running_task(world)
    some = os.urandom(8)
    ids = [some[:1], some[:2], some, some + b"\0", some + b"\0\0", some + bytes(246), some + bytes(247), b"\0" + some]
    tasks = [world.assign("return", world.new_task(task_id)) for task_id in ids]
    for task in tasks[0::2]:
        world.cancel(task)
        world.expect_confirm(task, CANCELED, "M5")
    world.release(blocker)
    world.expect_result(blocker, "M5")
    for task in tasks[1::2]:
        world.expect_result(task, "M5")
    world.expect_nothing("M5")
    for task in tasks[0::2]:
        world.expect_not_started(task, "M5")


@case("M6", title="an argument of a kind that nobody knows")
def unknown_argument_type(world: WorkerWorld) -> None:
    """A client of a later version has a new kind of argument. The worker cannot know what it means: `failed`."""
    world.start()
    task = world.new_task()
    message = world.task_message(task, "return")
    arguments = tuple(replace(argument, type=5) for argument in message.function_args)
    world.send(replace(message, function_args=arguments), note="its argument has the unknown type 5")
    world.expect_result(task, "M6", TaskResultType.FAILED)
    world.expect_not_started(task, "M6")
