"""Section 4, S11.5: a client that asks for more than it may have."""

from __future__ import annotations

from rescind_conformance.case import LIMIT, Profile, case
from rescind_conformance.peers import CANCEL_NOT_FOUND, CANCELED
from rescind_conformance.world import World


@case("S11.5", title="a client with too many tasks", profile=Profile.LIMITED)
def too_many_tasks(world: World) -> None:
    """A client has as many tasks as it may, and submits another: refused. Another client may still submit; and the
    first may again when one of its tasks has ended.
    """
    greedy, modest = world.client(), world.client()
    tasks = greedy.submit_many(LIMIT)
    refused = greedy.submit()
    greedy.expect_confirm(refused, CANCEL_NOT_FOUND, "S11.5")
    kept = modest.submit()
    modest.expect_nothing("S11.5", about=kept)
    greedy.cancel(tasks[0])
    greedy.expect_confirm(tasks[0], CANCELED, "S3.1")
    accepted = greedy.submit()
    greedy.expect_nothing("S11.5", about=accepted)
    worker = world.worker(queue_size=LIMIT + 2)
    for task in (*tasks[1:], kept, accepted):
        world.dispatched(task)
    worker.expect_nothing("S11.5", about=refused)
