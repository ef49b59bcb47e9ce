"""Section 4, "Who may cancel"."""

from __future__ import annotations

from rescind_conformance.case import case
from rescind_conformance.peers import CANCEL_FAILED, CANCEL_NOT_FOUND, CANCELED
from rescind_conformance.world import World


@case("S2.1", title="a cancel of an unknown task is answered")
def unknown_task(world: World) -> None:
    """Nobody ever submitted the task, with force or without: `cancelNotFound`, and no worker hears of it."""
    client, worker = world.client(), world.worker()
    for force in (False, True):
        task = world.new_task()
        client.cancel(task, force=force)
        client.expect_confirm(task, CANCEL_NOT_FOUND, "S2.1")
        worker.expect_nothing("S2.1", about=task)


@case("S2.1", title="a cancel is the first word")
def cancel_of_a_new_client(world: World) -> None:
    """A client's first message is a TaskCancel, of a task that nobody holds. It waits for an answer like any other."""
    client = world.client(introduced=False)
    task = world.new_task()
    client.cancel(task, fence=False)
    world.wait_until(lambda: bool(client.waiting(task)))
    client.expect_confirm(task, CANCEL_NOT_FOUND, "S2.1")


@case("S2.1", title="a cancel crosses the result on its way to the owner")
def cancel_after_result(world: World) -> None:
    """The owner cancels before it has read the result. The result is on its way, then comes `cancelNotFound`."""
    owner, _ = world.client(), world.worker()
    task = owner.submit()
    holder = world.dispatched(task)
    owner.expect(holder.finish(task), "S1.1", vital=True)
    owner.cancel(task)
    owner.expect_confirm(task, CANCEL_NOT_FOUND, "S2.1")
    holder.expect_nothing("S2.1", about=task)


@case("S2.1", title="a cancel of a cancelled task is answered")
def cancel_after_canceled(world: World) -> None:
    """A waiting task is cancelled twice, one after the other: `canceled`, then `cancelNotFound`."""
    owner = world.client()
    task = owner.submit()
    owner.cancel(task)
    owner.expect_confirm(task, CANCELED, "S3.1", vital=True)
    owner.cancel(task, force=True)
    owner.expect_confirm(task, CANCEL_NOT_FOUND, "S2.1")


@case("S2.2", title="a stranger cancels a waiting task")
def stranger_and_waiting_task(world: World) -> None:
    """Another client's cancel is answered as if the task did not exist, and the task still runs."""
    owner, stranger = world.client(), world.client()
    task = owner.submit()
    for force in (False, True):
        stranger.cancel(task, force=force)
        stranger.expect_confirm(task, CANCEL_NOT_FOUND, "S2.2")
        owner.expect_nothing("S2.2", about=task, vital=True)
    world.worker()
    result = world.dispatched(task, "S2.2").finish(task)
    owner.expect(result, "S2.2")
    stranger.expect_nothing("S2.2", about=task)


@case("S2.2", title="a stranger cancels a running task")
def stranger_and_dispatched_task(world: World) -> None:
    """Another client's cancel never reaches the worker, and the owner gets its result."""
    owner, stranger, _ = world.client(), world.client(), world.worker()
    task = owner.submit()
    holder = world.dispatched(task)
    stranger.cancel(task)
    stranger.expect_confirm(task, CANCEL_NOT_FOUND, "S2.2")
    holder.expect_nothing("S2.2", about=task)
    owner.expect_nothing("S2.2", about=task)
    owner.expect(holder.finish(task), "S2.2")


@case("S2.2", title="a stranger cancels a running task with force")
def stranger_with_force(world: World) -> None:
    """The same with force: one client must not be able to kill another's task."""
    owner, stranger, _ = world.client(), world.client(), world.worker()
    task = owner.submit()
    holder = world.dispatched(task)
    stranger.cancel(task, force=True)
    stranger.expect_confirm(task, CANCEL_NOT_FOUND, "S2.2")
    holder.expect_nothing("S2.2", about=task)
    owner.expect_nothing("S2.2", about=task)
    owner.expect(holder.finish(task), "S2.2")


@case("S2.2", title="a stranger cancels while the owner's round is open")
def stranger_in_open_round(world: World) -> None:
    """The stranger neither joins the round, nor adds force to it, nor gets its answer."""
    owner, stranger, _ = world.client(), world.client(), world.worker()
    task = owner.submit()
    holder = world.dispatched(task)
    owner.cancel(task)
    holder.expect_cancel(task, "S4.1", vital=True)
    stranger.cancel(task, force=True)
    stranger.expect_confirm(task, CANCEL_NOT_FOUND, "S2.2")
    holder.expect_nothing("S2.2", about=task)
    holder.confirm(task, CANCELED)
    owner.expect_confirm(task, CANCELED, "S2.2")
    stranger.expect_nothing("S2.2", about=task)


@case("S2.3", title="a forged source does not make an owner")
def forged_source(world: World) -> None:
    """A client submits a task in another's name. Its result still goes to the connection that the Task came over."""
    sender, named, _ = world.client(), world.client(), world.worker()
    task = sender.submit(source=named.routing_id)
    result = world.dispatched(task).finish(task)
    sender.expect(result, "S2.3")
    named.expect_nothing("S2.3", about=task)


@case("S2.3", title="a forged source does not take the right to cancel")
def forged_source_and_cancel(world: World) -> None:
    """A task waits that names another client as its source. Its sender can cancel it, the named one cannot."""
    sender, named = world.client(), world.client()
    task = sender.submit(source=named.routing_id)
    named.cancel(task)
    named.expect_confirm(task, CANCEL_NOT_FOUND, "S2.3")
    sender.expect_nothing("S2.3", about=task)
    sender.cancel(task)
    sender.expect_confirm(task, CANCELED, "S2.3")
    named.expect_nothing("S2.3", about=task)


@case("S2.3", title="a source that is nobody does not matter")
def source_is_nobody(world: World) -> None:
    """A client leaves the source of its Task empty. It owns the task all the same."""
    sender, _ = world.client(), world.worker()
    task = sender.submit(source=b"")
    sender.expect(world.dispatched(task, "S2.3").finish(task), "S2.3")


@case("S2.4", title="only the owner hears of a task")
def only_the_owner_hears(world: World) -> None:
    """Two clients and two workers; one task is finished, one cancelled, one refused. The others hear nothing."""
    owner, other, _ = world.client(), world.client(), world.worker()
    world.worker()
    finished, cancelled, refused = owner.submit_many(3)
    holders = {task: world.dispatched(task) for task in (finished, cancelled, refused)}
    holders[finished].finish(finished)
    for task, answer in ((cancelled, CANCELED), (refused, CANCEL_FAILED)):
        owner.cancel(task)
        holders[task].expect_cancel(task, "S4.1", vital=True)
        holders[task].confirm(task, answer)
    for bystander in (other, *world.workers):
        bystander.expect_nothing("S2.4")
