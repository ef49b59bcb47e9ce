"""Section 3: messages that are malformed."""

from __future__ import annotations

from collections.abc import Iterable

from rescind import wire
from rescind.messages import (
    Argument,
    Capability,
    ClientHeartbeat,
    GraphTask,
    Task,
    TaskCancel,
    TaskLog,
    TaskResult,
)
from rescind_conformance import frames
from rescind_conformance.case import case
from rescind_conformance.cases.scheduler.dispatched import dispatched_task
from rescind_conformance.peers import FakeClient, FakeWorker, Peer, TaskRef
from rescind_conformance.trace import Echoes
from rescind_conformance.world import World

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
        with world.unresponsive_means("M1"):
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
    """A Task whose capability has a name that is not UTF-8 is dropped as a whole: it is not held, and the good one that
    follows under its id is.
    """
    owner, worker = world.client(), world.worker()
    task = world.new_task()
    message = Task(task.id, owner.routing_id, capabilities=(Capability(PLACEHOLDER, -1),))
    bent = wire.encode(message).replace(PLACEHOLDER.encode(), BAD_UTF8)
    with world.unresponsive_means("M1"):
        owner.send_frames(bent, note=f"Task {task.name} with a bad text")
    worker.expect_nothing("M1")
    owner.expect_nothing("M1", about=task)
    owner.expect(world.dispatched(owner.submit(task), "M1").finish(task), "M1")


@case("M1", title="a heartbeat with a text that is not UTF-8")
def heartbeat_not_utf8(world: World) -> None:
    """A client sends a ClientHeartbeat whose host name is not UTF-8, and a cancel of an unknown task behind it: the
    cancel is answered, the heartbeat is not echoed.
    """
    client, unknown = world.client(), world.new_task()
    bent = wire.encode(ClientHeartbeat(hostname=PLACEHOLDER)).replace(PLACEHOLDER.encode(), BAD_UTF8)
    client.silent = True  # another heartbeat's echo could not be told from this one's
    seen = len(world.trace)
    with world.unresponsive_means("M1"):
        client.send_frames(bent, note="ClientHeartbeat with a bad text", fence=False)
        client.cancel(unknown, fence=False)
        world.wait_until(lambda: bool(client.waiting(unknown)))
    echoed = any(isinstance(entry.message, Echoes) for entry in world.trace[seen:])
    world.check("M1", not echoed, f"{client.name} gets no echo", "it got one")


@case("M1", title="a log line that is not a text")
def log_is_no_text(world: World) -> None:
    """The holder sends a TaskLog that is not UTF-8, and one without its final zero. The owner gets neither."""
    owner, holder, task = dispatched_task(world)
    frame = wire.encode(TaskLog(task.id, content=PLACEHOLDER))
    for note, bent in (
        ("not UTF-8", frame.replace(PLACEHOLDER.encode(), BAD_UTF8)),
        ("without its final zero", frames.with_length(frame, frames.pointer_at(frame, 0, 1), len(PLACEHOLDER))),
    ):
        with world.unresponsive_means("M1"):
            holder.send_frames(bent, note=f"TaskLog {task.name}, {note}")
        owner.expect_nothing("M1")
    owner.expect(holder.finish(task), "M1")


@case("M1", title="pointers that share what they lead to")
def shared_elements(world: World) -> None:
    """A TaskResult has a hundred results, all of them the same 4 kB; another has two, both the same. They are dropped,
    the good one is forwarded.
    """
    owner, holder, task = dispatched_task(world)
    for count in (100, 2):
        frame = wire.encode(TaskResult(task.id, results=(bytes(4096), *[b"-"] * (count - 1))))
        with world.unresponsive_means("M1"):
            shared = frames.with_shared_elements(frame, 0, 2)
            holder.send_frames(shared, note=f"TaskResult {task.name} of {count} parts that are one")
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
        with world.unresponsive_means("M1"):
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
            with world.unresponsive_means("M1"):
                client.send_frames(bent, note=f"{type(message).__name__} with an id of {length} bytes")
            client.expect_nothing("M1")
            worker.expect_nothing("M1")
