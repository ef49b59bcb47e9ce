"""Section 14: a graph when a worker or its owner is lost, and when the scheduler shuts down."""

from __future__ import annotations

from rescind_conformance.case import Profile, case
from rescind_conformance.cases.scheduler.graphs import submitted
from rescind_conformance.cases.scheduler.losses import handled_of_lost, placed_again
from rescind_conformance.cases.scheduler.shutdown import TOLD, asked_to_stop
from rescind_conformance.peers import CANCEL_NOT_FOUND, CANCELED
from rescind_conformance.world import World


@case("S12.16", title="a node whose worker leaves")
def worker_leaves(world: World) -> None:
    """b needs a, which has succeeded, and runs. Its worker leaves: b is placed again, with the same arguments, and a
    is not run again.
    """
    owner, leaving = world.client(), world.worker()
    graph = submitted(world, owner, {"a": "", "b": "a"}, "b")
    for name in "ab":
        world.dispatched(graph[name])
        if name == "a":
            owner.expect(leaving.finish(graph["a"]), "S1.1")
    other = world.worker()
    leaving.leave(fence=False)
    owner.expect(placed_again(world, graph["b"], "S12.16").finish(graph["b"]), "S12.16")
    other.expect_nothing("S12.16")


@case("S12.18", title="the owner leaves", field_bugs=(20,))
def owner_leaves(world: World) -> None:
    """a runs, b waits for it, and their owner leaves. a is cancelled with force. Its holder says that it has
    succeeded: nobody gets b.
    """
    owner, holder = world.client(), world.worker()
    graph = submitted(world, owner, {"a": "", "b": "a"}, "b")
    world.dispatched(graph["a"])
    owner.disconnect()
    handled_of_lost(owner)
    holder.expect_cancel(graph["a"], "S12.18", force=True)
    owner.inbox.clear()
    holder.finish(graph["a"])
    holder.expect_nothing("S12.18")
    owner.expect_nothing("S12.18", about=graph["b"])


@case("S12.18", title="a silent owner is told of its graph", profile=Profile.SHORT_TIMEOUTS)
def owner_is_silent(world: World) -> None:
    """An owner is paused past its time-out, with one node that runs and one that waits. It is told that nothing will
    come of either, and then of the graph.
    """
    owner, holder = world.client(), world.worker()
    graph = submitted(world, owner, {"a": "", "b": "a"}, "b")
    world.dispatched(graph["a"])
    owner.pause()
    world.wait_until(lambda: bool(holder.waiting(graph["a"])) and bool(owner.waiting(graph.ref)))
    holder.expect_cancel(graph["a"], "S9.7", force=True)
    answers = owner.waiting()
    told = [getattr(message, "task_id", b"") for message in answers]
    last = graph.ref.id in told and told.index(graph.ref.id) == len(told) - 1
    world.check("S12.18", last, "the graph is told of last, and once", "it was not")
    for task in (graph["a"], graph["b"], graph.ref):
        owner.expect_confirm(task, CANCEL_NOT_FOUND, "S12.18")


@case("S12.18", title="a graph in a shutdown")
def shutdown(world: World) -> None:
    """a runs, b waits for it, and the scheduler shuts down. b is `canceled` at once. a may still end: it is forwarded,
    and then the graph is over.
    """
    owner, holder = world.client(), world.worker()
    graph = submitted(world, owner, {"a": "", "b": "a"}, "b")
    world.dispatched(graph["a"])
    last_words = asked_to_stop(world)
    last_words.wait_for(lambda: TOLD in holder.inbox)
    holder.expect(TOLD, "S9.10")
    last_words.fence(owner)
    owner.expect_confirm(graph["b"], CANCELED, "S12.18")
    last_words.wait_for(lambda: bool(owner.waiting(graph.ref)))
    owner.expect_confirm(graph.ref, CANCELED, "S12.18")
