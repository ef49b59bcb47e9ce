"""Sections 2 and 6: the connection of a client."""

from __future__ import annotations

from rescind.messages import ClientHeartbeat, Task, TaskCancel
from rescind_conformance.case import case
from rescind_conformance.cases.client.asking import open_round, running_task
from rescind_conformance.cases.client.late import bear_with_strangers
from rescind_conformance.client_world import ClientWorld
from rescind_conformance.peers import CANCEL_FAILED, CANCELED, TaskRef, task_id_of
from rescind_conformance.trace import SCHEDULER

MANY = 2000


@case("T1", title="the client's routing id")
def routing_id(world: ClientWorld) -> None:
    """The client has set a routing id. Those that ZeroMQ makes up begin with a zero byte, and are used again."""
    world.connect()
    world.fence()
    (own,) = world.routing_ids
    world.check("T1", own[:1] != b"\0", "a routing id that the client has set", "ZeroMQ made one up")


@case("T2", title="what a client sends is well-formed")
def well_formed(world: ClientWorld) -> None:
    """Heartbeats, Tasks, TaskCancels: each is one frame with one message."""
    task, call = open_round(world)
    world.confirm(task, CANCELED)
    world.expect_end(call)
    world.fence()
    unreadable = [entry.note for entry in world.trace if entry.receiver == SCHEDULER and entry.message is None]
    world.check("T2", not unreadable, "every message is readable", f"it sent {unreadable}")


@case("T3", title="messages are handled in the order in which they come")
def handled_in_order(world: ClientWorld) -> None:
    """For ten tasks `canceled` comes before a result, for ten after it, all at once: what came first is what counts."""
    task = running_task(world)
    world.confirm(task, CANCELED)
    world.expect_settled(task, "cancelled", "C2.3")
    bear_with_strangers(world)
    tasks = world.submit_several(20)
    results = [world.result(one) for one in tasks]
    for number, (one, result) in enumerate(zip(tasks, results, strict=True)):
        if number % 2:
            world.send(result)
            world.confirm(one, CANCELED)
        else:
            world.confirm(one, CANCELED)
            world.send(result)
    for number, one in enumerate(tasks):
        world.expect_settled(one, "finished" if number % 2 else "cancelled", "T3")


@case("C8.1", title="thousands of tasks in one breath")
def many_in_one_breath(world: ClientWorld) -> None:
    """Two thousand calls of `submit()` are under way at once, and two thousand answers come at once: each Task comes,
    and each future is settled. A connection that cannot send while it is sending loses some of them.
    """
    world.connect()
    tasks = world.submit_at_once(MANY)
    for task in tasks:
        world.confirm(task, CANCELED)

    def settled() -> int:
        return len({one.task for one in world.notices if one.kind == "settled"})

    came = world.comes_to(settled, MANY)
    world.check("C8.1", came, "each is settled", f"{MANY - settled()} are not", vital=True)
    world.fence()
    ends = {task.name: world.settled(task) for task in tasks}
    wrong = [f"{name}: {how}" for name, how in ends.items() if how != ["cancelled"]]
    world.check("C8.1", not wrong, "each is cancelled, once", ", ".join(wrong))


@case("T3", title="messages are sent in the order in which they are decided")
def sent_in_order(world: ClientWorld) -> None:
    """Ten tasks are submitted one after another and all of them cancelled, before the first Task has been seen: the
    Tasks come in order, each before its TaskCancel.
    """
    world.connect()
    tasks = []
    for number in range(10):
        name = f"T{number + 1}"
        task_id = bytes.fromhex(world.ask("submit", f"submit({name})", "T3", task=name)["task_id"])
        tasks.append(TaskRef(task_id, name))
        world.names[task_id] = name
    calls = [world.start_cancel(task) for task in tasks]
    came = world.comes_to(lambda: sum(bool(world.waiting(one, TaskCancel)) for one in tasks), len(tasks))
    world.check("T3", came, "a TaskCancel comes for each", "it does not")
    sent = [entry.message for entry in world.trace if entry.receiver == SCHEDULER]
    order = [task_id_of(message) for message in sent if isinstance(message, Task)]
    world.check("T3", order == [task.id for task in tasks], "the Tasks come in the order of submission", "they do not")
    for task in tasks:
        kinds = [type(message) for message in sent if task_id_of(message) == task.id]
        world.check(
            "T3", kinds[:2] == [Task, TaskCancel], f"Task {task.name}, then its TaskCancel", f"they came as {kinds}"
        )
    world.inbox.clear()
    for task, call in zip(tasks, calls, strict=True):
        world.confirm(task, CANCELED)
        world.expect_end(call)


@case("C12.1", title="a heartbeat comes first of all")
def heartbeat_first(world: ClientWorld) -> None:
    """The first message of a client is a heartbeat."""
    running_task(world)
    first = next(entry.message for entry in world.trace if entry.receiver == SCHEDULER)
    said = world.describe(first) if first is not None else "something unreadable"
    world.check("C12.1", isinstance(first, ClientHeartbeat), "the first message is a ClientHeartbeat", f"it is {said}")


@case("C12.1", title="heartbeats go on while a cancel waits")
def heartbeats_go_on(world: ClientWorld) -> None:
    """A thread waits in `cancel()` and another has been refused. The heartbeats go on at their interval."""
    world.needs("timeouts")
    world.connect(heartbeat_interval=0.1, scheduler_timeout=60.0)
    task, other = world.submit_several(2)
    world.open_round(other)
    world.confirm(other, CANCEL_FAILED)
    waits = world.open_round(task)
    world.expect_heartbeats(5, "C12.1")
    world.confirm(task, CANCELED)
    world.expect_end(waits)


@case("C12.1", title="heartbeats at the usual interval")
def usual_interval(world: ClientWorld) -> None:
    """A client that was told nothing of intervals: its next heartbeat comes well within the usual time-out of 60 s."""
    world.connect()
    world.expect_usual_heartbeats("C12.1")
