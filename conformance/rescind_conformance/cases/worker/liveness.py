"""Section 5: heartbeats, a scheduler that falls silent, and a connection that drops."""

from __future__ import annotations

from rescind.messages import WorkerHeartbeat, WorkerHeartbeatEcho
from rescind_conformance.case import case
from rescind_conformance.cases.worker.leaving import nothing_about
from rescind_conformance.peers import TaskRef
from rescind_conformance.worker_world import WorkerWorld

INTERVAL = 0.1
"""Seconds between the heartbeats that the suite asks for."""


def heartbeats_come(world: WorkerWorld, what: str) -> None:
    """Five more heartbeats come; how fast is not measured."""
    world.expect_heartbeats(5, "W5.1", f" while {what}")


def first_is_heartbeat(world: WorkerWorld, since: int = 0) -> None:
    """The first message in the trace from that place on is a heartbeat."""
    first = next((entry for entry in world.trace[since:] if entry.sender == "W1" != entry.receiver), None)
    said = "nothing" if first is None else first.note if first.message is None else world.describe(first.message)
    holds = first is not None and isinstance(first.message, WorkerHeartbeat)
    world.check("W5.1", holds, "the first message is a heartbeat", f"it is {said}")


@case("W5.1", title="the first word of a worker")
def first_word(world: WorkerWorld) -> None:
    """A worker connects: a heartbeat comes before all else."""
    world.start()
    first_is_heartbeat(world)


@case("W5.1", title="heartbeats while nothing runs")
def idle(world: WorkerWorld) -> None:
    """An idle worker sends heartbeats at its interval."""
    world.start(heartbeat_interval=INTERVAL)
    heartbeats_come(world, "nothing runs")


@case("W5.1", title="heartbeats while a task computes")
def while_running(world: WorkerWorld) -> None:
    """A function computes without giving way, and another task waits: heartbeats come all the same."""
    world.start(heartbeat_interval=INTERVAL)
    world.run("spin")
    world.assign("return")
    heartbeats_come(world, "a task runs")


@case("W5.1", title="heartbeats while the echo is late")
def without_echo(world: WorkerWorld) -> None:
    """The scheduler is slow and echoes nothing for a while: the next heartbeat does not wait for the echo."""
    world.start(heartbeat_interval=INTERVAL)
    world.run("hold")
    world.go_silent()
    heartbeats_come(world, "no echo comes")


@case("W3.2", title="a task before the first echo")
def task_before_echo(world: WorkerWorld) -> None:
    """The scheduler dispatches a task before it echoes the first heartbeat, as S10.2 has it: the task runs, if not
    before then when the echo has told where payloads are.
    """
    world.echoes = False
    world.start()
    task = world.assign("return")
    world.fence()
    world.echoes = True
    world.send(WorkerHeartbeatEcho(world.storage))
    world.expect_result(task, "W3.2")


@case("W5.1", title="heartbeats at the usual interval")
def usual_interval(world: WorkerWorld) -> None:
    """A worker that was told nothing of intervals: its next heartbeat comes well within the usual time-out of 60 s."""
    world.start()
    world.expect_usual_heartbeats("W5.1")


@case("W5.2", title="the scheduler falls silent")
def silence(world: WorkerWorld) -> None:
    """A task runs, another waits, and nothing comes from the scheduler for longer than the time-out: by then it has
    placed both elsewhere. What runs ends; what waits never starts.
    """
    world.start(heartbeat_interval=INTERVAL, scheduler_timeout=world.silence)
    running = world.run("hold")
    queued = world.assign("return")
    world.fence()
    world.go_silent()
    world.wait_out(lambda: world.has_ended(running))
    world.expect_ended(running, "W5.2", vital=True)
    world.comes_back()
    world.expect_not_started(queued, "W4.1")


@case("W5.2", title="the scheduler falls silent, and what tasks have started ends as well")
def silence_with_children(world: WorkerWorld) -> None:
    """The task has started a process in a session of its own. It ends as well."""
    world.start(heartbeat_interval=INTERVAL, scheduler_timeout=world.silence)
    running = world.run("spawn")
    world.go_silent()
    world.wait_out(lambda: world.has_ended(running))
    world.expect_ended(running, "W5.2")


def dropped(world: WorkerWorld) -> tuple[TaskRef, TaskRef]:
    """A task runs and another waits as the connection drops. The scheduler can be reached again at once."""
    world.start(brisk=True)
    running = world.run("hold")
    queued = world.assign("return")
    world.fence()
    world.drop_connection()
    return running, queued


@case("W5.3", title="the connection drops")
def connection_drops(world: WorkerWorld) -> None:
    """What ran ends, what waited never starts, and nothing is said about them: both are placed elsewhere by then."""
    running, queued = dropped(world)
    world.expect_ended(running, "W5.3", vital=True)
    world.comes_back()
    nothing_about(world, "W5.3", running, queued)
    world.expect_not_started(queued, "W4.1")


@case("T4", title="a routing id is one life of one connection")
def another_routing_id(world: WorkerWorld) -> None:
    """The connection drops and the scheduler can be reached again: the worker does not go on under its routing id, as
    messages may have been lost. If it comes back it is as another, whose first word is a heartbeat.
    """
    dropped(world)
    seen = len(world.trace)
    goes_on = world.goes_on_as(world.routing_ids[0])
    world.check("T4", not goes_on, "W1 does not go on under its routing id", "it answers under it")
    if not goes_on and len(world.routing_ids) > 1:
        first_is_heartbeat(world, seen)


@case("W5.3", title="the connection drops, and the worker comes back")
def comes_back(world: WorkerWorld) -> None:
    """A worker whose connection dropped comes back under another routing id, and is given the very task that it ran
    before: it runs again, and has one result.
    """
    world.start(brisk=True)
    task = world.new_task()
    message = world.task_message(task, "hold")
    world.send(message)
    world.expect_started(task, "W1.1", vital=True)
    world.drop_connection()
    world.expect_ended(task, "W5.3", vital=True)
    if not world.comes_back():
        world.unsupported("it does not come back")
    world.send(message)
    world.expect_started(task, "W5.3", times=2, vital=True)
    world.release(task)
    world.expect_result(task, "W5.3")
    world.expect_nothing("W5.3", about=task)
