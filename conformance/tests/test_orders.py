"""The command `rescind conformance orders`: live orders are driven, judged and told, and nothing is left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil
import pytest
from crew_work import KILLED, ODD, UNAVAILABLE, half

from rescind.messages import Task, WorkerHeartbeat
from rescind_conformance.explorer.live import LiveResult, LiveSession, drivable
from rescind_conformance.explorer.live_breadth import drive_by_length
from rescind_conformance.explorer.live_random import drive_at_random
from rescind_conformance.explorer.processes import Crew, unprepared
from rescind_conformance.explorer.scenario import CancelCall, ClientPlan, Scenario, WorkerPlan
from rescind_conformance.explorer.scenarios import SCENARIOS
from rescind_conformance.mutants.catalogue import load_catalogue
from rescind_conformance.mutants.faulty_copy import faulty_copy
from rescind_conformance.process import SubjectUnavailable
from rescind_conformance.subjects import ReferenceScheduler

SECONDS = 120
"""A bound for what would otherwise hang."""
SCHEDULERS = 4
"""Processes: of two, each with the one that it is forked from."""
TWO_CANCELS = Scenario(
    "two-cancels",
    "cancels cross the result",
    (ClientPlan(submits=("T1",), cancels=(CancelCall("T1"), CancelCall("T1", force=True))),),
    (WorkerPlan(),),
)


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command, as a user gives it."""
    command = [sys.executable, "-m", "rescind", "conformance", *arguments]
    variables = {**os.environ, "COLUMNS": "100", **environment}
    return subprocess.run(command, capture_output=True, text=True, env=variables, timeout=SECONDS, check=False)


def row(output: str, scenario: str) -> list[str]:
    """A row of the table at the end."""
    return next(line.split() for line in output.splitlines() if line.strip().startswith(f"{scenario} "))


# The command


def test_orders_of_the_reference_are_counted_and_break_nothing() -> None:
    names = ("narrow", "worker-leaves", "graph-fails")
    done = run("orders", *names, "--subject", "reference", "--orders", "36")
    assert done.returncode == 0, done.stderr
    assert [row(done.stdout, name)[1] for name in names] == ["12", "12", "12"]
    assert "36 orders were driven" in done.stdout
    assert "Nothing is broken" in done.stdout


def test_the_shortest_broken_order_is_told_and_can_be_replayed(tmp_path: Path) -> None:
    """A scheduler that keeps a refusal to itself: Task, TaskCancel, cancelFailed, and no order breaks S4.2 sooner."""
    mutant = next(one for one in load_catalogue().mutants if one.name == "refusal-is-swallowed")
    with faulty_copy(mutant) as copy:
        faulty = dict(copy.environment)
        report = ["--report", str(tmp_path)]
        done = run("orders", "narrow", "--subject", "reference", "--shortest", "--orders", "400", *report, **faulty)
        assert done.returncode == 1, done.stderr
        assert "broken first in one of them: S4.2" in " ".join(done.stdout.split())
        assert (
            "Replay: rescind conformance replay replays/scheduler.orders.S4.2.json --subject reference" in done.stdout
        )
        (file,) = tmp_path.glob("**/*S4.2*.json")
        document = json.loads(file.read_text(encoding="utf-8"))
        assert [departure["requirement"] for departure in document["departures"]] == ["S4.2"]
        again = run("replay", str(file), "--subject", "reference", **faulty)
        assert again.returncode == 1, again.stdout
    sound = run("replay", str(file), "--subject", "reference")
    assert sound.returncode == 0, sound.stdout


def test_ctrl_c_tells_what_was_driven_and_leaves_nothing_behind() -> None:
    command = [sys.executable, "-m", "rescind", "conformance", "orders", "--subject", "reference"]
    command += ["three-cancels", "stranger", "--orders", "20000"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, start_new_session=True) as process:
        try:
            started: dict[int, psutil.Process] = {}
            while sum("rescind_conformance.warm_start" in _command(one) for one in started.values()) < SCHEDULERS:
                started.update((one.pid, one) for one in psutil.Process(process.pid).children(recursive=True))
                assert process.poll() is None
            os.killpg(process.pid, signal.SIGINT)
            stdout, stderr = process.communicate(timeout=SECONDS)
        finally:
            process.kill()
    assert process.returncode == 2
    assert "interrupted" in stderr
    assert "Traceback" not in stderr
    assert "orders were driven" in stdout
    assert psutil.wait_procs(list(started.values()), timeout=10)[1] == []


def _command(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


# The two ways to choose


def test_both_ways_come_to_the_same_orders() -> None:
    """All orders of a scenario at random are those of all lengths that nothing can be added to."""
    at_random = _driven(lambda session: drive_at_random(session, 10_000, seed=3))
    by_length = _driven(lambda session: drive_by_length(session, 10_000))
    assert at_random.closed
    assert by_length.closed
    assert at_random.orders >= len(at_random.inputs) > 8
    assert len(by_length.inputs) == by_length.orders  # each is driven once
    assert at_random.inputs < by_length.inputs  # which has their beginnings, too
    assert at_random.broken == by_length.broken == 0


def test_the_ids_in_a_graph_are_fresh_in_each_order() -> None:
    """Otherwise all that is heard of its nodes would be taken for what an earlier order has left over."""
    scenario = drivable(SCENARIOS["graph-fails"])
    assert scenario is not None
    with ReferenceScheduler() as subject, LiveSession(scenario, subject, 10.0, lambda driven: None) as session:
        graph = next(message for client in scenario.clients for message in client.script[:1])  # type: ignore[union-attr]
        for _ in range(2):
            peers = session.begin()
            peers.say(1, WorkerHeartbeat(queue_size=1))
            heard = peers.say(0, graph)
            assert [type(message) for message in heard[1]] == [Task]
            assert not peers.left_over
            session.end(peers, [], None)


def test_seeds_choose_the_orders() -> None:
    def inputs(seed: int) -> set[int]:
        return _driven(lambda session: drive_at_random(session, 8, seed)).inputs

    assert inputs(1) == inputs(1)
    assert inputs(1) != inputs(2)


def _driven(drive: Callable[[LiveSession], LiveResult]) -> LiveResult:
    shown: list[int] = []
    with ReferenceScheduler() as subject, LiveSession(TWO_CANCELS, subject, 10.0, shown.append) as session:
        result = drive(session)
    assert shown[-1] == result.orders
    return result


# The processes


def test_work_is_shared_and_progress_is_told() -> None:
    told: list[int] = []
    crew: Crew[int, int, int] = Crew(partial(unprepared, half), [2, 4, 6, 8], 2)
    assert sorted(crew.run(told.append)) == [1, 2, 3, 4]
    assert sorted(told) == [2, 4, 6, 8]
    assert not crew.interrupted


@pytest.mark.parametrize(
    ("work", "raised", "text"),
    [
        (KILLED, ChildProcessError, "exit code -9"),
        (UNAVAILABLE, SubjectUnavailable, "nobody listens"),
        (ODD, ChildProcessError, "ValueError: 15 is odd"),
    ],
    ids=["killed", "unavailable", "failed"],
)
def test_a_process_that_cannot_go_on_ends_the_run(work: int, raised: type[Exception], text: str) -> None:
    crew: Crew[int, int, int] = Crew(partial(unprepared, half), [work, *range(100, 200, 2)], 2)
    with pytest.raises(raised, match=text):
        list(crew.run(lambda progress: None))
    assert [one for one in psutil.Process().children() if "spawn_main" in " ".join(_command(one))] == []
