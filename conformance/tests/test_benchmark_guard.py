"""The scheduler stays as fast as it is. Ratios within one run, never absolute times: the machine does not matter.

It is compared with the bare forwarder, by CPU time, and each by its best of several turns: whatever else runs on the
machine can only make a turn dearer. Where the machine is busy it takes more turns until both have had a quiet one.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from rescind_conformance.benchmark.contestants import Contestant, Forwarder, Reference, StartedContestant
from rescind_conformance.benchmark.driver import Peer, playing
from rescind_conformance.benchmark.held import Where, measure_held
from rescind_conformance.benchmark.process_use import cpu_time
from rescind_conformance.benchmark.rounds import FILL_BATCH
from rescind_conformance.case import Profile
from rescind_conformance.subjects import StartedScheduler

_TURNS = 6
_TASKS = 1000
_WINDOW = 500
_TASK_LIMIT, _CANCEL_LIMIT = 1.6, 1.6
"""How many times the forwarder's CPU time ours may be."""
_GROWTH_LIMIT = 2.0
"""How many times as much the cancel of one task may cost where eight times as many are held; a search makes it 8."""


class _Slow(Reference):
    """Ours with a brake, whatever it is made of: Python writes down every allocation."""

    def launch(self, profile: Profile, directory: Path, log: Path) -> StartedScheduler:
        command = [
            *(sys.executable, "-m", "rescind", "scheduler", "--endpoint", "tcp://127.0.0.1:0"),
            *("--run-directory", str(directory), "--rebalance-interval", "0"),
        ]
        environment = {"PYTHONUNBUFFERED": "1", "PYTHONTRACEMALLOC": "1"}
        return StartedScheduler(command, log, environment, "listening on ", "listening on ")


@contextmanager
def _contestants(*classes: type[Reference] | type[Forwarder]) -> Iterator[list[Contestant]]:
    with ExitStack() as stack:
        found: list[Contestant] = []
        for each in classes:
            found.append(StartedContestant(each()))
            stack.callback(found[-1].close)
        yield found


def _ratios(contestants: list[Contestant], folder: Path, most_turns: int = 60) -> Mapping[str, float]:
    """How many times the second's CPU time of the scheduler's process the first takes for a task, and for a cancel.

    By the least of any turn. They are not over before both are within the limits, or `most_turns` were taken.
    """
    with ExitStack() as stack:
        running: list[tuple[int, Peer]] = []
        for number, one in enumerate(contestants):
            serving = stack.enter_context(one.serving())
            assert serving.pid is not None
            place = folder / str(number)
            place.mkdir()
            cast = stack.enter_context(playing(serving, place))
            cast.workers(2, 10 * _TASKS)
            running.append((serving.pid, cast.client()))
        least = [{"task": float("inf"), "cancel": float("inf")} for _ in running]
        ratios: dict[str, float] = {}
        for turn in range(most_turns + 1):
            for (pid, client), found in zip(running, least, strict=True):
                before = cpu_time(pid).total
                client.ask("submit", tasks=_TASKS, window=_WINDOW)
                between = cpu_time(pid).total
                client.ask("fill", tasks=_TASKS, batch=FILL_BATCH)
                filled = cpu_time(pid).total
                client.ask("cancel", tasks=_TASKS, window=_WINDOW)
                after = cpu_time(pid).total
                if turn:  # the first is warm-up
                    found["task"] = min(found["task"], (between - before) / _TASKS)
                    found["cancel"] = min(found["cancel"], (after - filled) / _TASKS)
            if turn >= _TURNS:
                first, second = least
                ratios = {kind: first[kind] / second[kind] for kind in first}
                if ratios["task"] < _TASK_LIMIT and ratios["cancel"] < _CANCEL_LIMIT:
                    break
        return ratios


def test_tasks_and_cancels_cost_little_more_than_the_forwarder_takes(tmp_path: Path) -> None:
    with _contestants(Reference, Forwarder) as contestants:
        ratios = _ratios(contestants, tmp_path)
    assert ratios["task"] < _TASK_LIMIT
    assert ratios["cancel"] < _CANCEL_LIMIT


def test_a_slowdown_is_seen(tmp_path: Path) -> None:
    with _contestants(_Slow, Forwarder) as contestants:
        ratios = _ratios(contestants, tmp_path, most_turns=_TURNS)
    assert ratios["task"] > _TASK_LIMIT
    assert ratios["cancel"] > _CANCEL_LIMIT


@pytest.mark.parametrize("where", list(Where))
def test_a_cancel_costs_the_same_however_many_tasks_there_are(where: Where, tmp_path: Path) -> None:
    with _contestants(Reference) as (ours,):
        costs = {}
        for tasks in (1000, 8000):
            turns = []
            for _ in range(2):
                with ours.serving() as running:
                    turns.append(measure_held("ours", running, tmp_path, tasks, where, lambda _: None))
            costs[tasks] = min(one.cancel_microseconds for one in turns)
    assert costs[8000] / costs[1000] < _GROWTH_LIMIT
