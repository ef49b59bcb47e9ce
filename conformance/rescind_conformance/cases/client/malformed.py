"""Section 3: messages that are malformed, from other versions, or carry values that nobody knows."""

from __future__ import annotations

from collections.abc import Iterable

from rescind import wire
from rescind.messages import (
    ClientDisconnect,
    ClientHeartbeat,
    ClientHeartbeatEcho,
    DisconnectType,
    GraphTask,
    Message,
    Task,
    TaskCancel,
    TaskCancelConfirm,
    TaskLog,
    TaskResult,
    WorkerDisconnectNotification,
    WorkerHeartbeat,
    WorkerHeartbeatEcho,
)
from rescind_conformance import frames
from rescind_conformance.case import case
from rescind_conformance.cases.client.asking import open_round, running_task
from rescind_conformance.cases.client.late import bear_with_strangers
from rescind_conformance.client_world import ClientWorld
from rescind_conformance.peers import CANCEL_NOT_FOUND, CANCELED, TaskRef

MEBIBYTE = 1 << 20
BAD_UTF8 = b"\xff\xfe\xfd\xfc"
PLACEHOLDER = "____"


def have_no_effect(
    world: ClientWorld, frames_to_send: Iterable[tuple[str, tuple[bytes, ...]]], task: TaskRef, requirement: str
) -> None:
    """None of these frames, which look like a message about the task, does anything to it; the client goes on."""
    for note, parts in frames_to_send:
        world.send_frames(*parts, note=f"{note} ({sum(map(len, parts))} bytes)")
        with world.after(note):
            world.expect_nothing(requirement, about=task)
            if not world.expect_state(task, requirement, settled=False):
                return  # of the frames after this one nothing can be said


def single(frames_to_send: Iterable[tuple[str, bytes]]) -> Iterable[tuple[str, tuple[bytes, ...]]]:
    """Messages of one frame each."""
    return ((note, (frame,)) for note, frame in frames_to_send)


def goes_on(world: ClientWorld, task: TaskRef, requirement: str) -> None:
    """The good message that follows has its effect."""
    world.finish(task)
    world.expect_settled(task, "finished", requirement)


@case("M1", title="frames that are not one message")
def misframed(world: ClientWorld) -> None:
    """TaskResults cut off, doubled, with bytes behind them: none has an effect, and the good one after them has."""
    task = running_task(world)
    have_no_effect(world, single(frames.misframed(wire.encode(world.result(task)))), task, "M1")
    goes_on(world, task, "M1")


@case("M1", title="pointers that lead nowhere")
def misdirected(world: ClientWorld) -> None:
    """TaskCancelConfirms whose pointers lead out of the message: the round is open until the good one comes."""
    task, call = open_round(world)
    confirm = wire.encode(TaskCancelConfirm(task.id, CANCELED))
    have_no_effect(world, single(frames.misdirected(confirm, 0, 0)), task, "M1")
    world.confirm(task, CANCELED)
    world.expect_end(call, "M1")


@case("M1", title="not exactly one frame")
def several_frames(world: ClientWorld) -> None:
    """A TaskResult with an empty frame before it or behind it, or twice in one message: no effect."""
    task = running_task(world)
    result = wire.encode(world.result(task))
    several = [
        ("an empty frame, then TaskResult", (b"", result)),
        ("TaskResult, then an empty frame", (result, b"")),
        ("TaskResult twice in one message", (result, result)),
    ]
    have_no_effect(world, several, task, "M1")
    goes_on(world, task, "M1")


@case("M1", title="a few bytes that stand for thousands of results")
def amplified(world: ClientWorld) -> None:
    """A TaskResult of a few bytes claims 65536 results of no size, and another has a hundred that are all the same
    4 kB: dropped, and the client goes on.
    """
    task = running_task(world)
    frame = wire.encode(TaskResult(task.id, results=(bytes(32),)))
    results = frames.pointer_at(frame, 0, 2)
    hundred = wire.encode(TaskResult(task.id, results=(bytes(4096), *[b"-"] * 99)))
    bent = [
        ("65536 results that weigh nothing", frames.with_word(frame, results, 1, 1 << 16 + 3)),
        ("a list longer than the frame", frames.with_word(frame, results, 1, (1 << 16 + 3) | 6)),
        ("a hundred results that are one", frames.with_shared_elements(hundred, 0, 2)),
    ]
    have_no_effect(world, single(bent), task, "M1")
    goes_on(world, task, "M1")


@case("M1", title="texts and task ids that are none")
def bad_texts_and_ids(world: ClientWorld) -> None:
    """A TaskLog that is not UTF-8, and answers with no task id or one of 256 bytes: dropped, the client goes on."""
    task = running_task(world)
    log = wire.encode(TaskLog(task.id, content=PLACEHOLDER))
    longest = wire.encode(TaskCancelConfirm(b"i" * 255, CANCELED))
    task_id = frames.pointer_at(longest, 0, 0)
    bent = [
        ("a TaskLog that is not UTF-8", log.replace(PLACEHOLDER.encode(), BAD_UTF8)),
        ("a TaskCancelConfirm without a task id", frames.with_length(longest, task_id, 0)),
        ("a TaskCancelConfirm with a task id of 256 bytes", frames.with_length(longest, task_id, 256)),
    ]
    have_no_effect(world, single(bent), task, "M1")
    goes_on(world, task, "M1")


@case("M2", title="a frame of a mebibyte")
def long_frame(world: ClientWorld) -> None:
    """A TaskResult fills a frame of exactly 1 MiB, most of it in a field of a later version. It is accepted."""
    task = running_task(world)
    result = world.result(task)
    content = bytes(MEBIBYTE - len(frames.widened(wire.encode(result), 0, content=b"")))
    full = frames.widened(wire.encode(result), 0, content=content)
    world.send_frames(full, means=result, note=f"{len(full)} bytes")
    world.expect_settled(task, "finished", "M2")


@case("M2", title="a long list in a frame of nearly a mebibyte")
def long_list(world: ClientWorld) -> None:
    """A TaskResult for a task that nobody knows has 20,000 results of 32 bytes: the client goes on."""
    task, unknown = running_task(world), world.new_task()
    bear_with_strangers(world)
    frame = wire.encode(TaskResult(unknown.id, results=(bytes(32),) * 20_000))
    assert len(frame) <= MEBIBYTE
    have_no_effect(world, [("a TaskResult with 20,000 results", (frame,))], task, "M2")
    goes_on(world, task, "M2")


@case("M3", title="members that nobody knows")
def unknown_members(world: ClientWorld) -> None:
    """Messages with members of a later version come: nothing comes of them."""
    task = running_task(world)
    frame = wire.encode(world.result(task))
    later = [(f"a message of member {number}", frames.with_member(frame, number)) for number in (27, 200, 0xFFFF)]
    have_no_effect(world, single(later), task, "M3")
    goes_on(world, task, "M3")


@case("M3", title="members that are for others")
def members_for_others(world: ClientWorld) -> None:
    """What only schedulers and workers understand comes to the client: nothing comes of it."""
    task = running_task(world)
    strangers: list[Message] = [
        Task(task.id, b"Client|stranger"),
        TaskCancel(task.id, force=True),
        GraphTask(task.id, b"Client|stranger", (), ()),
        ClientHeartbeat(),
        WorkerHeartbeat(),
        WorkerHeartbeatEcho(),
        WorkerDisconnectNotification(),
    ]
    have_no_effect(world, ((type(one).__name__, (wire.encode(one),)) for one in strangers), task, "M3")
    goes_on(world, task, "M3")


@case("M4", title="messages of a later version")
def later_version(world: ClientWorld) -> None:
    """An answer and a result have more data and pointers than today: each is read as if it had not."""
    task, call = open_round(world)
    confirm = TaskCancelConfirm(task.id, CANCELED)
    newer = frames.widened(frames.widened(wire.encode(confirm)), 0)
    world.send_frames(newer, means=confirm, note="of a later version")
    world.expect_end(call, "M4")
    other = world.submit()
    result = world.result(other, text="newer")
    world.send_frames(frames.widened(wire.encode(result), 0), means=result, note="of a later version")
    world.expect_settled(other, "finished", "M4")
    world.expect_result(other, "value", "M4", text="newer")


@case("M4", title="messages of an earlier version, and null pointers")
def earlier_version(world: ClientWorld) -> None:
    """A TaskCancelConfirm without data is `canceled`; an echo without content is an echo: the client goes on."""
    task, call = open_round(world)
    echo = wire.encode(ClientHeartbeatEcho(world.storage))
    empty = frames.with_word(echo, frames.pointer_at(echo, 0), 0, 0)
    world.send_frames(empty, means=ClientHeartbeatEcho(), note="null")
    world.expect_nothing("M4", about=task)
    older = frames.with_size(wire.encode(TaskCancelConfirm(task.id, CANCEL_NOT_FOUND)), 0, data=0, pointers=1)
    world.send_frames(older, means=TaskCancelConfirm(task.id, CANCELED), note="with no field but its id")
    world.expect_end(call, "M4")
    world.expect_settled(task, "cancelled", "M4")


@case("M4", title="a ClientDisconnect without content")
def null_disconnect(world: ClientWorld) -> None:
    """The scheduler says ClientDisconnect, whose content is null: it is `disconnect`, and all is cancelled.

    A first client shows that it understands the kind of today.
    """
    first = running_task(world)
    word = ClientDisconnect(DisconnectType.DISCONNECT)
    world.send(word)
    world.expect_settled(first, "cancelled", "C10.2")
    second = running_task(world)
    frame = wire.encode(word)
    world.send_frames(frames.with_word(frame, frames.pointer_at(frame, 0), 0, 0), means=word, note="null")
    world.expect_settled(second, "cancelled", "M4")


def several_segments(world: ClientWorld, segments: int) -> None:
    """An answer and a result each come in so many segments; a far pointer leads to the second."""

    def send(message: Message) -> None:
        bent = frames.in_segments(wire.encode(message), segments)
        world.send_frames(bent, means=message, note=f"in {segments} segments")

    task, call = open_round(world)
    send(TaskCancelConfirm(task.id, CANCELED))
    world.expect_end(call, "M4")
    other = world.submit()
    send(world.result(other))
    world.expect_settled(other, "finished", "M4")


@case("M4", title="messages in two segments")
def two_segments(world: ClientWorld) -> None:
    """An answer and a result each come in two segments, joined by a far pointer."""
    several_segments(world, 2)


@case("M4", title="messages in as many segments as there may be")
def many_segments(world: ClientWorld) -> None:
    """The same in 511 segments, of which most are empty."""
    several_segments(world, 511)


@case("M5", title="task ids are compared as bytes")
def opaque_ids(world: ClientWorld) -> None:
    """Answers come for ids that begin as a task's does, or go on after it: they are others' and change nothing."""
    task = running_task(world)
    bear_with_strangers(world)
    for alike in (task.id[:-1], task.id[:1], task.id + b"\0", b"\0" + task.id):
        if alike:
            world.confirm(world.new_task(alike), CANCELED)
            world.expect_nothing("M5", about=task)
    world.expect_state(task, "M5", settled=False)


@case("M5", title="task ids are never used twice")
def fresh_ids(world: ClientWorld) -> None:
    """A client submits thirty tasks, the first of which are over: each has an id of its own, of 1 to 255 bytes."""
    world.connect()
    tasks = []
    for _ in range(3):
        tasks += world.submit_several(10)
        for task in tasks[-10:]:
            world.finish(task)
    ids = {task.id for task in tasks}
    fit = all(1 <= len(one) <= 255 for one in ids)
    world.check("M5", len(ids) == len(tasks) and fit, "thirty ids of 1 to 255 bytes", f"there are {len(ids)}: {ids}")


@case("M6", title="a result of a kind that nobody knows")
def unknown_result_type(world: ClientWorld) -> None:
    """A result of a kind from a later version comes: the future is settled with an error, never with a value."""
    task = running_task(world)
    with world.unresponsive_means("M6"):
        world.finish(task, 7, text="in a way of its own")
        world.expect_settled(task, "finished", "M6")
        world.expect_result(task, "error", "M6")
        world.fence()


@case("M6", title="an answer of a kind that nobody knows")
def unknown_confirm_type(world: ClientWorld) -> None:
    """A cancel is answered with a kind of confirm from a later version: dropped, and the round is still open."""
    task, call = open_round(world)
    world.confirm(task, 9)
    world.expect_waits(call, "M6")
    world.confirm(task, CANCELED)
    world.expect_end(call, "M6")


@case("M6", title="a log line of a kind that nobody knows")
def unknown_log_type(world: ClientWorld) -> None:
    """A log line of a stream from a later version comes: it is shown or not, and the client goes on."""
    task = running_task(world)
    world.send(TaskLog(task.id, 5, "of a later version\n"))
    world.expect_nothing("M6", about=task)
    world.expect_state(task, "M6", settled=False)


@case("M6", title="a ClientDisconnect of a kind that nobody knows")
def unknown_disconnect_type(world: ClientWorld) -> None:
    """The scheduler says ClientDisconnect in a way from a later version: it is a disconnect, all is cancelled.

    A first client shows that it understands the kind of today.
    """
    first = running_task(world)
    world.send(ClientDisconnect(DisconnectType.DISCONNECT))
    world.expect_settled(first, "cancelled", "C10.2")
    second = running_task(world)
    world.send(ClientDisconnect(9))
    world.expect_settled(second, "cancelled", "M6")
