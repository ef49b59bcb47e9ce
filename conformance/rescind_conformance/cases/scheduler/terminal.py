"""Section 4, "One terminal message"."""

from __future__ import annotations

from rescind.messages import (
    Argument,
    ArgumentType,
    Capability,
    GraphTask,
    Task,
    TaskCancelConfirm,
    TaskResult,
    TaskResultType,
)
from rescind_conformance.case import case
from rescind_conformance.cases.scheduler.dispatched import dispatched_task
from rescind_conformance.peers import CANCEL_NOT_FOUND, CANCELED
from rescind_conformance.world import World


@case("S1.1", "S1.2", title="a result is told once")
def one_result(world: World) -> None:
    """A task runs to its end. The worker then repeats its result; the owner hears only the first."""
    owner, _ = world.client(), world.worker()
    task = owner.submit()
    holder = world.dispatched(task)
    owner.expect(holder.finish(task), "S1.1")
    holder.finish(task)
    owner.expect_nothing("S1.1", about=task)
    holder.expect_nothing("S1.2", about=task)


@case("S1.1", title="a failed task has its result")
def failed_result(world: World) -> None:
    """A task raises. `failed` is as terminal as `success`, and is forwarded as it came."""
    owner, _ = world.client(), world.worker()
    task = owner.submit()
    owner.expect(world.dispatched(task).finish(task, TaskResultType.FAILED), "S1.1")


@case("S1.1", title="a task whose process died has its result")
def worker_died_result(world: World) -> None:
    """What runs a task dies, and the worker says so. `failedWorkerDied` is forwarded as it came."""
    owner, _ = world.client(), world.worker()
    task = owner.submit()
    owner.expect(world.dispatched(task).finish(task, TaskResultType.FAILED_WORKER_DIED), "S1.1")


@case("S1.1", title="each of many tasks has one result")
def many_tasks(world: World) -> None:
    """Fifty tasks on three workers, finished newest first: fifty results, each once."""
    owner = world.client()
    for _ in range(3):
        world.worker(queue_size=20)
    tasks = owner.submit_many(50)
    holders = {task: world.dispatched(task) for task in tasks}
    results = [holders[task].finish(task, fence=False) for task in reversed(tasks)]
    for worker in world.workers:
        worker.fence()
    for result in results:
        owner.expect(result, "S1.1")
    owner.expect_nothing("S1.1")


@case("S1.2", title="after canceled, no result", field_bugs=(2,))
def late_result_after_canceled(world: World) -> None:
    """The holder confirms `canceled` and then, faulty, sends a result all the same. The owner does not get it."""
    owner, _ = world.client(), world.worker()
    task = owner.submit()
    holder = world.dispatched(task)
    owner.cancel(task)
    holder.expect_cancel(task, "S4.1", vital=True)
    holder.confirm(task, CANCELED)
    owner.expect_confirm(task, CANCELED, "S4.2", vital=True)
    holder.finish(task)
    owner.expect_nothing("S1.2", about=task)


@case("S1.2", title="after canceled, no start", field_bugs=(2,))
def no_start_after_canceled(world: World) -> None:
    """A waiting task is cancelled; only then does a worker come. It gets the other tasks, not this one."""
    owner = world.client()
    task, other = owner.submit_many(2)
    owner.cancel(task)
    owner.expect_confirm(task, CANCELED, "S3.1", vital=True)
    worker = world.worker()
    world.dispatched(other)
    worker.expect_nothing("S1.2", about=task)


@case("S1.3", title="an id that another client uses is refused")
def id_of_another_client(world: World) -> None:
    """Two clients submit under one id. The second is refused, and the task of the first goes on untouched."""
    first, second, _ = world.client(), world.client(), world.worker()
    task = first.submit()
    holder = world.dispatched(task)
    second.submit(task)
    second.expect_confirm(task, CANCEL_NOT_FOUND, "S1.3")
    holder.expect_nothing("S1.3", about=task)
    result = holder.finish(task)
    first.expect(result, "S1.3")
    second.expect_nothing("S1.3", about=task)


@case("S1.3", title="a graph is run or refused")
def graph_task(world: World) -> None:
    """A client submits a graph. A scheduler that does not run graphs says so; silence would hang the client."""
    owner, worker = world.client(), world.worker()
    graph, node = world.new_task(), world.new_task()
    inner = owner.task_message(node)
    owner.send(GraphTask(graph.id, owner.routing_id, (node.id,), (inner,)))
    runs = any(isinstance(message, Task) for message in worker.waiting(node))
    refused = TaskCancelConfirm(graph.id, CANCEL_NOT_FOUND) in owner.inbox
    world.check("S1.3", runs != refused, "the graph is dispatched, or refused", "it was neither, or both")


@case("S1.4", title="a task sent twice is one task")
def same_task_twice(world: World) -> None:
    """The owner repeats the Task of a dispatched task: it is not dispatched again, and has one result."""
    owner, _ = world.client(), world.worker()
    world.worker()
    task = owner.submit()
    holder = world.dispatched(task)
    owner.submit(task)
    for worker in world.workers:
        worker.expect_nothing("S1.4", about=task)
    owner.expect_nothing("S1.4", about=task)
    owner.expect(holder.finish(task), "S1.4")
    owner.expect_nothing("S1.4", about=task)


@case("S1.4", title="a waiting task sent twice is one task")
def same_waiting_task_twice(world: World) -> None:
    """The owner repeats the Task of a task that waits. When a worker comes it gets the task once."""
    owner = world.client()
    task = owner.submit()
    owner.submit(task)
    owner.expect_nothing("S1.4", about=task)
    worker = world.worker()
    world.wait_until(lambda: bool(worker.waiting(task)))
    worker.expect_task(task, "S1.4")


@case("S1.4", title="a graph under the id of a task")
def graph_of_same_id(world: World) -> None:
    """The owner of a dispatched task submits a graph under the same id. It is dropped, and the task goes on."""
    owner, holder, task = dispatched_task(world)
    node = world.new_task()
    owner.send(GraphTask(task.id, owner.routing_id, (node.id,), (owner.task_message(node),)))
    for peer in (owner, holder):
        peer.expect_nothing("S1.4")
    owner.expect(holder.finish(task), "S1.4")


@case("S1.5", title="a task comes with all that it carries")
def task_as_sent(world: World) -> None:
    """A Task has metadata, capabilities and arguments. Its worker gets them; so does the next one after a loss."""
    owner, first = world.client(), world.worker()
    task = world.new_task()
    carried = Task(
        task.id,
        source=owner.routing_id,
        metadata=b"\x01priority",
        func_object_id=bytes(range(32)),
        function_args=(Argument(ArgumentType.OBJECT_ID, bytes(32)), Argument(ArgumentType.OBJECT_ID, b"\xff" * 32)),
        capabilities=(Capability("gpu", 2), Capability("memory", -1)),
    )
    owner.send(carried)
    first.expect(carried, "S1.5")
    first.leave()
    world.worker().expect(carried, "S1.5")


@case("S1.5", title="a result comes with all that it carries")
def result_as_sent(world: World) -> None:
    """A TaskResult has metadata and two payloads, and the owner gets them."""
    owner, holder, task = dispatched_task(world)
    result = TaskResult(task.id, TaskResultType.FAILED, b"\x02profile", (b"one payload", b"another"))
    holder.send(result)
    owner.expect(result, "S1.5")
