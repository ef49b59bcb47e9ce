"""Which worker takes the next task, and which tasks should move."""

from __future__ import annotations

import pytest

from rescind.placement import Placement, WorkerRecord, tasks_to_move


def record(name: str, tasks: str = "", queue_size: int = 10) -> WorkerRecord:
    """A worker that holds one task for each letter of `tasks`, the oldest first."""
    return WorkerRecord(name.encode(), queue_size, 0.0, {letter.encode(): None for letter in tasks})


def assign(placement: Placement, worker: WorkerRecord, task: str) -> None:
    worker.tasks[task.encode()] = None
    placement.update(worker)


def end(placement: Placement, worker: WorkerRecord, task: str) -> None:
    del worker.tasks[task.encode()]
    placement.update(worker)


def test_the_least_loaded_worker_with_room_is_next_and_among_equals_the_one_that_waited_longest() -> None:
    placement = Placement()
    first, second, third = record("1"), record("2", "a"), record("3")
    assert placement.least_loaded() is None
    for worker in (second, first, third):
        placement.update(worker)
    taken = []
    for task in "bcdefg":
        chosen = placement.least_loaded()
        assert chosen is not None
        taken.append(chosen.identity)
        assign(placement, chosen, task)
    assert taken == [b"1", b"3", b"2", b"1", b"3", b"2"]


def test_a_worker_without_room_is_not_listed_and_is_again_when_it_has_room() -> None:
    placement = Placement()
    small, large = record("small", queue_size=1), record("large", "abc")
    placement.update(small)
    placement.update(large)
    assert placement.least_loaded() is small
    assign(placement, small, "d")
    assert placement.least_loaded() is large
    large.queue_size = 3
    placement.update(large)
    assert placement.least_loaded() is None
    end(placement, large, "a")
    assert placement.least_loaded() is large
    end(placement, small, "d")
    assert placement.least_loaded() is small


def test_an_update_without_a_change_keeps_the_place_in_the_line() -> None:
    placement = Placement()
    first, second = record("1"), record("2")
    for worker in (first, second, first):
        placement.update(worker)
    assert placement.least_loaded() is first


def test_a_removed_worker_is_not_found_and_may_be_removed_twice() -> None:
    placement = Placement()
    first, second = record("1"), record("2")
    placement.update(first)
    placement.update(second)
    placement.remove(first)
    placement.remove(first)
    assert placement.least_loaded() is second
    placement.remove(second)
    assert placement.least_loaded() is None
    placement.update(first)
    assert placement.least_loaded() is first


def test_the_lowest_load_is_found_again_after_it_rose() -> None:
    placement = Placement()
    worker = record("1", "abc")
    placement.update(worker)
    assert placement.least_loaded() is worker
    for task in "abc":
        end(placement, worker, task)
        assert placement.least_loaded() is worker
    other = record("2", "d")
    placement.update(other)
    assert placement.least_loaded() is worker


@pytest.mark.parametrize(
    ("workers", "advice"),
    [
        pytest.param([record("1", "abcd"), record("2")], "dc", id="down to the fair share, newest first"),
        pytest.param([record("1", "abc"), record("2")], "c", id="the fair share is rounded up"),
        pytest.param([record("1", "a"), record("2")], "", id="one task does not move"),
        pytest.param([record("1"), record("2")], "", id="nothing to move"),
        pytest.param([], "", id="no workers"),
        pytest.param([record("1", "abcd"), record("2", "e")], "", id="nobody is idle"),
        pytest.param([record("1", "abcd"), record("2", queue_size=0)], "", id="an idle worker takes no tasks"),
        pytest.param([record("1", "abcd"), record("2", queue_size=1)], "d", id="no more than the idle one can take"),
        pytest.param([record("1", "abcdef"), record("2"), record("3")], "fedc", id="two idle workers take twice"),
        pytest.param([record("1", "abcd"), record("2", "efghi"), record("3", queue_size=1)], "i", id="longest first"),
        pytest.param([record("1", "abcdef"), record("2", "ghijk"), record("3")], "fek", id="from every crowded one"),
        pytest.param(
            [record("1", "abcdef"), record("2", "ghijk"), record("3", queue_size=2)], "fe", id="room is used up once"
        ),
        pytest.param(
            [record("1", "abcdefg"), record("2", "h"), record("3")], "gfe", id="none from one below its share"
        ),
    ],
)
def test_what_moves_from_crowded_workers_to_idle_ones(workers: list[WorkerRecord], advice: str) -> None:
    by_identity = {worker.identity: worker for worker in workers}
    assert b"".join(tasks_to_move(by_identity, lambda task: True, lambda task: False)).decode() == advice


@pytest.mark.parametrize(
    ("workers", "fixed", "leaving", "advice"),
    [
        pytest.param([record("1", "abcd"), record("2")], "d", "", "cb", id="what cannot move is passed over"),
        pytest.param([record("1", "abcd"), record("2")], "abd", "", "c", id="fewer than there is room for"),
        pytest.param([record("1", "abcd"), record("2"), record("3")], "", "d", "c", id="on its way: off the surplus"),
        pytest.param([record("1", "abcdef"), record("2", queue_size=2)], "", "ef", "", id="on its way: off the room"),
    ],
)
def test_tasks_that_may_not_move_and_tasks_that_do_already(
    workers: list[WorkerRecord], fixed: str, leaving: str, advice: str
) -> None:
    by_identity = {worker.identity: worker for worker in workers}
    moved = tasks_to_move(
        by_identity, lambda task: task.decode() not in fixed + leaving, lambda task: task.decode() in leaving
    )
    assert b"".join(moved).decode() == advice
