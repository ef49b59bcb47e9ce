"""Section 6: the client leaves, or loses its scheduler."""

from __future__ import annotations

from rescind.messages import ClientDisconnect, DisconnectType
from rescind_conformance.adapter_calls import Call
from rescind_conformance.case import case
from rescind_conformance.cases.client.asking import open_round, running_task
from rescind_conformance.client_world import ClientWorld
from rescind_conformance.peers import TaskRef


def expect_the_end(world: ClientWorld, task: TaskRef, call: Call, other: TaskRef, requirement: str) -> None:
    """A task with a round open and another without: both are cancelled, and whoever waits is told."""
    world.expect_settled(task, "cancelled", requirement)
    world.expect_settled(other, "cancelled", requirement)
    world.expect_returned(call, True, requirement)
    world.expect_result(other, "cancelled", requirement)


@case("C10.1", title="the client disconnects with a cancel open", field_bugs=(27,))
def disconnect_with_round(world: ClientWorld) -> None:
    """A thread waits in `cancel()`, another disconnects; the scheduler says nothing. All is cancelled at once."""
    task, call = open_round(world)
    other = world.submit()
    disconnect = world.call("disconnect", "disconnect()")
    expect_the_end(world, task, call, other, "C10.1")
    world.expect_end(disconnect, "C10.1")


@case("C10.1", title="the client disconnects with many cancels open", field_bugs=(27,))
def disconnect_with_rounds(world: ClientWorld) -> None:
    """Ten rounds are open, each waited for by a thread; the client disconnects: every one of them returns True."""
    world.connect()
    rounds = [(task, world.open_round(task)) for task in world.submit_several(10)]
    world.call("disconnect", "disconnect()")
    for task, call in rounds:
        world.expect_settled(task, "cancelled", "C10.1")
        world.expect_returned(call, True, "C10.1")


@case("C10.1", title="whoever waits for a result when the client disconnects", field_bugs=(7,))
def disconnect_wakes_waiters(world: ClientWorld) -> None:
    """A thread waits in `result()`, nobody has asked to cancel, and the client disconnects: it is told of it."""
    task = running_task(world)
    waiting = world.call("result", f"result({task.name})", task=task.name)
    world.call("disconnect", "disconnect()")
    world.expect_settled(task, "cancelled", "C10.1")
    world.expect_end(waiting, "C10.1")
    told = (waiting.answer or {}).get("outcome")
    world.check("C10.1", told == "cancelled", f"{waiting.text} tells that it is cancelled", f"it tells: {told}")


@case("C10.2", title="the connection drops with a cancel open", field_bugs=(6,))
def connection_drops(world: ClientWorld) -> None:
    """The scheduler crashes and another starts in its place: what was pending is cancelled, nothing waits for ever."""
    task, call = open_round(world)
    other = world.submit()
    world.drop_connection()
    expect_the_end(world, task, call, other, "C10.2")


@case("C10.2", title="the connection drops as a result is handed over", field_bugs=(6,))
def connection_drops_with_result(world: ClientWorld) -> None:
    """A result is sent and the connection drops with it: the future is finished or cancelled, but does not hang."""
    task = running_task(world)
    world.finish(task)
    world.drop_connection()
    world.wait_for("C10.2", lambda: bool(world.settled(task)), f"{task.name} is settled", lambda: "it is not")


@case("C10.2", title="the scheduler falls silent with a cancel open")
def scheduler_falls_silent(world: ClientWorld) -> None:
    """The scheduler hangs: no echo, no answer, for longer than the client's time-out. All is cancelled."""
    world.connect(heartbeat_interval=0.1, scheduler_timeout=world.silence)
    task, other = world.submit_several(2)
    call = world.open_round(task)
    world.go_silent()
    world.wait_out(lambda: bool(world.settled(task)))
    expect_the_end(world, task, call, other, "C10.2")


@case("C10.2", title="the scheduler has given the client up")
def declared_lost(world: ClientWorld) -> None:
    """The client was paused; now the scheduler says ClientDisconnect. Its tasks are gone: all is cancelled."""
    told_to_go(world, DisconnectType.DISCONNECT)


@case("C10.2", title="the scheduler tells the client to leave")
def told_to_leave(world: ClientWorld) -> None:
    """ClientDisconnect `shutdown` comes, with a cancel open. C10.2 holds for every kind: all is cancelled."""
    told_to_go(world, DisconnectType.SHUTDOWN)


def told_to_go(world: ClientWorld, kind: DisconnectType) -> None:
    """ClientDisconnect comes while a task has a round open and another has none."""
    task, call = open_round(world)
    other = world.submit()
    world.send(ClientDisconnect(kind))
    expect_the_end(world, task, call, other, "C10.2")


@case("T4", title="the client does not go on under its routing id", field_bugs=(6,))
def new_life(world: ClientWorld) -> None:
    """The connection drops and the scheduler is back at once. Only another client comes, under a routing id of its own.

    The other client's heartbeats are the clock: at their pace the first one would have come back.
    """
    world.needs("timeouts")
    world.connect(heartbeat_interval=0.1, scheduler_timeout=60.0)
    world.submit()
    world.expect_heartbeats(1, "C12.1", vital=True)
    world.fence()  # the echo has come too: the client owes nothing and is owed nothing
    world.drop_connection()
    seen = len(world.routing_ids)
    world.connect(heartbeat_interval=0.1, scheduler_timeout=60.0)
    world.wait_for(
        "T4", lambda: len(world.routing_ids) > seen, "another routing id", lambda: "no other client comes", vital=True
    )
    world.expect_heartbeats(10, "C12.1", vital=True)
    world.check(
        "T4", not world.resumed, "nothing comes under the routing id of the dropped connection", "the client came back"
    )
