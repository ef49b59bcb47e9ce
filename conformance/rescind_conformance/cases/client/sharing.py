"""Section 6: several calls for one future at once, and what asks of it meanwhile."""

from __future__ import annotations

from rescind.messages import TaskCancel, TaskCancelConfirm
from rescind_conformance.adapter_calls import Call
from rescind_conformance.case import case
from rescind_conformance.cases.client.asking import open_round, refused_round, running_task
from rescind_conformance.client_world import ClientWorld
from rescind_conformance.peers import CANCEL_FAILED, CANCELED

THREADS = 8


def expect_one_outcome(world: ClientWorld, calls: list[Call]) -> None:
    """All calls that shared a round return, and return the same."""
    for call in calls:
        world.expect_end(call, "C6.2")
    told = {call.in_words.removeprefix(call.text) for call in calls}
    world.check("C6.2", len(told) == 1, "the calls have one outcome", f"they {' and '.join(sorted(told))}")


@case("C6.2", title="eight threads, one round", field_bugs=(26,))
def threads_share(world: ClientWorld) -> None:
    """Eight threads cancel one future: one TaskCancel goes out, and its confirm is the outcome of all eight."""
    task, first = open_round(world)
    calls = [first, *(world.start_cancel(task) for _ in range(THREADS - 1))]
    world.expect_nothing("C6.2", about=task)
    world.confirm(task, CANCELED)
    expect_one_outcome(world, calls)


@case("C6.2", title="eight threads and a result", field_bugs=(26,))
def threads_share_a_result(world: ClientWorld) -> None:
    """Eight threads cancel one future, and the result comes: all of them return, and say the same."""
    task, first = open_round(world)
    calls = [first, *(world.start_cancel(task) for _ in range(THREADS - 1))]
    world.expect_nothing("C6.2", about=task)
    world.finish(task)
    expect_one_outcome(world, calls)


@case("C6.2", title="eight threads are refused", field_bugs=(26,))
def threads_are_refused(world: ClientWorld) -> None:
    """Eight threads cancel one future and the cancel is refused: all of them return False, none is forgotten."""
    refused_round(world)  # one thread alone is told
    task = world.submit()
    first = world.open_round(task)
    calls = [first, *(world.start_cancel(task) for _ in range(THREADS - 1))]
    world.expect_nothing("C6.2", about=task)
    world.confirm(task, CANCEL_FAILED)
    refuse_latecomers(world, calls)
    expect_one_outcome(world, calls)


def refuse_latecomers(world: ClientWorld, calls: list[Call]) -> None:
    """A thread that had not come to call `cancel()` when the round was refused opens another, which is refused too."""

    def over() -> bool:
        for late in world.waiting(kind=TaskCancel):
            world.inbox.remove(late)
            assert isinstance(late, TaskCancel)
            world.send(TaskCancelConfirm(late.task_id, CANCEL_FAILED))
        return all(call.returned for call in calls)

    world.wait_for(
        "C6.2",
        over,
        "all calls return",
        lambda: ", ".join(call.in_words for call in calls if not call.returned),
        vital=True,
    )


@case("C6.2", title="the shortest time limit", field_bugs=(26,))
def shortest_limit(world: ClientWorld) -> None:
    """One thread would wait for long, another joins it with a short time limit: its end is the end for both."""
    world.needs("time-limit")
    task, patient = open_round(world)
    hasty = world.start_cancel(task, time_limit=0.2)
    world.expect_returned(hasty, True, "C6.2")
    expect_one_outcome(world, [hasty, patient])


@case("C6.2", title="a longer time limit joins", field_bugs=(26,))
def longer_limit_joins(world: ClientWorld) -> None:
    """The thread that opened the round has a short time limit, and one that would wait for an hour joins it: the
    shorter one is the end for both all the same.
    """
    world.needs("time-limit")
    task = running_task(world)
    hasty = world.open_round(task, time_limit=1.0)
    patient = world.start_cancel(task, time_limit=3600.0)
    world.expect_returned(hasty, True, "C6.2")
    expect_one_outcome(world, [hasty, patient])


@case("C6.2", title="force joins a round without")
def force_joins(world: ClientWorld) -> None:
    """A call with force comes while a round without is open: no second TaskCancel, and the confirm answers both."""
    world.needs("force")
    task, plain = open_round(world)
    forced = world.start_cancel(task, force=True)
    world.expect_nothing("C6.2", about=task)
    world.confirm(task, CANCELED)
    expect_one_outcome(world, [plain, forced])


@case("C6.3", title="force asks again after the refusal")
def force_asks_again(world: ClientWorld) -> None:
    """The round that a call with force has joined is refused: it asks again with force, the other returns False."""
    world.needs("force")
    refused_round(world)  # one call alone is told
    task = world.submit()
    plain = world.open_round(task)
    forced = world.start_cancel(task, force=True)
    world.fence()
    for early in world.waiting(task):
        world.inbox.remove(early)  # C6.2
    world.confirm(task, CANCEL_FAILED)
    world.expect_cancel(task, "C6.3", force=True)
    world.expect_returned(plain, False, "C4.1")
    world.expect_waits(forced, "C6.3")
    world.confirm(task, CANCELED)
    world.expect_end(forced, "C6.3")
    world.expect_settled(task, "cancelled", "C6.3")


@case("C6.3", title="force is refused too")
def force_is_refused_too(world: ClientWorld) -> None:
    """The round with force that follows a refusal is refused as well: False, and the result is delivered."""
    world.needs("force")
    refused_round(world)  # one call alone is told
    task = world.submit()
    plain = world.open_round(task)
    forced = world.start_cancel(task, force=True)
    world.fence()
    for early in world.waiting(task):
        world.inbox.remove(early)  # C6.2
    world.confirm(task, CANCEL_FAILED)
    world.expect_cancel(task, "C6.3", force=True)
    world.confirm(task, CANCEL_FAILED)
    world.expect_end(forced, "C6.3")
    world.expect_returned(plain, False, "C4.1")
    world.finish(task)
    world.expect_settled(task, "finished", "C6.3")


@case("C7.1", title="cancelled() waits for the round", field_bugs=(22,))
def cancelled_waits(world: ClientWorld) -> None:
    """`cancelled()` is asked while a round is open. It waits, `done()` does not, and says True when it is confirmed."""
    task, _ = open_round(world)
    asked = world.call("cancelled", f"cancelled({task.name})", task=task.name)
    world.expect_waits(asked, "C7.1")
    world.expect_state(task, "C7.1", settled=False)
    world.confirm(task, CANCELED)
    world.expect_returned(asked, True, "C7.1")


@case("C7.1", title="cancelled() waits for the refusal", field_bugs=(22,))
def cancelled_waits_for_refusal(world: ClientWorld) -> None:
    """The round that `cancelled()` waits for is refused: it says False, and does not wait on."""
    task, cancel = open_round(world)
    asked = world.call("cancelled", f"cancelled({task.name})", task=task.name)
    world.expect_waits(asked, "C7.1")
    world.confirm(task, CANCEL_FAILED)
    world.expect_returned(cancel, False, "C4.1")
    world.expect_returned(asked, False, "C7.1")


@case("C7.1", title="cancelled() waits for a result", field_bugs=(22,))
def cancelled_waits_for_result(world: ClientWorld) -> None:
    """The round that `cancelled()` waits for is ended by a result: it returns what the future is then."""
    task, cancel = open_round(world)
    asked = world.call("cancelled", f"cancelled({task.name})", task=task.name)
    world.expect_waits(asked, "C7.1")
    world.finish(task)
    world.expect_end(cancel)
    world.expect_end(asked, "C7.1")
    told = (cancel.answer or {}).get("returned")
    world.check("C7.1", (asked.answer or {}).get("returned") is told, f"it says {told}", asked.in_words)


@case("C7.1", title="cancelled() without a round")
def cancelled_without_round(world: ClientWorld) -> None:
    """Nobody has asked to cancel: there is nothing to wait for, `cancelled()` says False at once."""
    task = running_task(world)
    world.expect_returned(world.call("cancelled", f"cancelled({task.name})", task=task.name), False, "C7.1")
    world.expect_state(task, "C7.1", settled=False)
