"""Sections 2, 6 and 11: the scheduler is killed, and another listens at its address before the client knows."""

from __future__ import annotations

from rescind.messages import Task
from rescind_conformance.case import case
from rescind_conformance.client_world import ClientWorld
from rescind_conformance.peers import TaskRef


def another_client_is_served(world: ClientWorld) -> None:
    """Another client comes, and ten of its heartbeats: by then the first one would have come, too."""
    seen = len(world.routing_ids)
    world.connect(heartbeat_interval=0.1, scheduler_timeout=60.0)
    world.wait_for(
        "T4", lambda: len(world.routing_ids) > seen, "another routing id", lambda: "no other client comes", vital=True
    )
    world.expect_heartbeats(10, "C12.1", vital=True)


def nothing_came(world: ClientWorld, since: int, requirement: str = "T7") -> None:
    """Since that place in the trace nothing came under the former routing id, and nothing but heartbeats at all."""
    came = [entry.message for entry in world.trace[since:] if entry.sender == "C1" != entry.receiver]
    said = [message for message in came if message in world.inbox]
    happened = ", ".join(map(world.describe, said)) or "something comes under the former routing id"
    world.inbox.clear()
    expected = "nothing of what the former scheduler was to have"
    world.check(requirement, not said and not world.resumed, expected, happened)


@case("C10.2", "C10.3", "T7", title="a scheduler is started anew with tasks, a cancel and submissions under way")
def with_tasks(world: ClientWorld) -> None:
    """One task has a cancel open, one has none, and five are submitted as the connection drops: whether before the
    client has noticed or after, each is cancelled, or `submit()` raises. The new scheduler hears of none of them.
    """
    world.needs("timeouts")
    world.connect(heartbeat_interval=0.1, scheduler_timeout=60.0)
    task, other = world.submit_several(2)
    call = world.open_round(task)
    world.fence()
    world.drop_connection()
    since = len(world.trace)
    late = [world.call("submit", f"submit(late {number})", task=f"late {number}") for number in range(5)]
    world.expect_returned(call, True, "C10.2")
    for pending in (task, other):
        world.expect_settled(pending, "cancelled", "C10.2")
    for one in late:
        world.expect_end(one, "C10.3")
    given = [one.fields["task"] for one in late if one.answer is not None and one.answer["event"] == "done"]

    def unsettled() -> list[str]:
        return [name for name in given if "cancelled" not in world.settled(TaskRef(b"", name))]

    world.wait_for(
        "C10.3", lambda: not unsettled(), "what was submitted late is cancelled", lambda: f"{unsettled()} are not"
    )
    another_client_is_served(world)
    again = [message for message in world.inbox if isinstance(message, Task)]
    world.check("C10.3", not again, "the client submits nothing again", f"{len(again)} Tasks come")
    for message in again:
        world.inbox.remove(message)
    nothing_came(world, since)


@case("T7", title="a client leaves as its scheduler is started anew")
def with_good_bye(world: ClientWorld) -> None:
    """The client disconnects as the connection drops. Its good-bye was for the former scheduler: the new one, at which
    it was never registered, does not hear it, however long the client waits for its messages to leave.
    """
    world.needs("timeouts")
    world.connect(heartbeat_interval=0.1, scheduler_timeout=60.0)
    task = world.submit()
    world.fence()
    world.drop_connection()
    since = len(world.trace)
    leaves = world.call("disconnect", "disconnect()")
    world.expect_settled(task, "cancelled", "C10.1")
    world.expect_end(leaves, "C10.1")
    another_client_is_served(world)
    nothing_came(world, since)
