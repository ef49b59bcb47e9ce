"""Section 4: each last word of the holder, in each kind of round that the owner may have open."""

from __future__ import annotations

from rescind.messages import TaskCancel
from rescind_conformance.case import case
from rescind_conformance.peers import CANCEL_NOT_FOUND, CANCELED, FakeClient, FakeWorker, TaskRef
from rescind_conformance.world import World

FORCES = ((False,), (True,), (False, True))
"""The TaskCancels of each kind of round, by their force: without, with, without and overtaken by one with."""


def open_round(owner: FakeClient, holder: FakeWorker, task: TaskRef, forces: tuple[bool, ...]) -> None:
    """The owner sends these TaskCancels, and the holder gets them and does not answer.

    That the one which overtakes comes to the holder is what `joining` is about: here it may be missing.
    """
    for number, force in enumerate(forces):
        owner.cancel(task, force=force)
        if number == 0:
            holder.expect_cancel(task, "S4.1", force=force, vital=True)
        elif TaskCancel(task.id, force) in holder.inbox:
            holder.inbox.remove(TaskCancel(task.id, force))


def each_last_word(world: World, forces: tuple[bool, ...]) -> None:
    """A worker is full and a task waits behind it, three times over: the round is ended by a result, by `canceled`, by
    `cancelNotFound`. The owner is told that; a result that comes after it is not; and the task that waited has the
    place.
    """
    owner, holder = world.client(), world.worker(queue_size=1)
    task = owner.submit()
    world.dispatched(task)
    for answer in (None, CANCELED, CANCEL_NOT_FOUND):
        following = owner.submit()
        open_round(owner, holder, task, forces)
        if answer is None:
            owner.expect(holder.finish(task), "S5.1")
        else:
            holder.confirm(task, answer)
            owner.expect_confirm(task, answer, "S4.2")
        holder.finish(task)
        owner.expect_nothing("S1.2", about=task)
        world.dispatched(following, "S9.9")
        task = following


@case("S1.2", "S4.2", "S5.1", "S9.9", title="each end of a round without force")
def without_force(world: World) -> None:
    """A cancel without force is with the holder, and ends in each of the ways that end the task too: told once, and the
    place is free.
    """
    each_last_word(world, (False,))


@case("S1.2", "S4.2", "S5.1", "S9.9", title="each end of a round with force")
def with_force(world: World) -> None:
    """The same with force."""
    each_last_word(world, (True,))


@case("S1.2", "S4.2", "S5.1", "S9.9", title="each end of a round that force has overtaken")
def overtaken(world: World) -> None:
    """The same with two TaskCancels, the second with force: whichever of the two the holder answers, its word is the
    end.
    """
    each_last_word(world, (False, True))
