"""What must not reach from one case into the next, nor from a busy machine into a verdict."""

from __future__ import annotations

import time

import pytest

from rescind_conformance import runner
from rescind_conformance.case import TIMEOUT, Case, Profile
from rescind_conformance.runner import Plan, run_suite, select_cases
from rescind_conformance.subjects import ReferenceScheduler, RunningEndpoint
from rescind_conformance.verdicts import CaseResult
from rescind_conformance.world import World


def play(case: Case) -> CaseResult:
    [result] = run_suite(ReferenceScheduler, [case], Plan(jobs=1)).results
    return result


def held_up_times(world: World, times: list[float], departs: bool) -> None:
    """The next of these is how long the suite is held up; then something departs."""
    held_up = times.pop(0)
    begun = time.monotonic()
    while time.monotonic() - begun < held_up:
        pass
    world.client()
    world.check("S9.1", not departs, "nothing", "this")


def short(times: list[float], departs: bool, profile: Profile = Profile.SHORT_TIMEOUTS) -> Case:
    return Case(
        "toy.held-up",
        "held up",
        "",
        ("S9.1",),
        profile,
        lambda world: held_up_times(world, times, departs),
    )


def test_a_play_in_which_the_suite_was_held_up_says_nothing() -> None:
    times = [TIMEOUT, 0.0]
    result = play(short(times, departs=True))
    assert times == []
    assert result.harness_error is None
    assert [one.requirement for one in result.departures] == ["S9.1"]  # of the second play


def test_a_machine_that_is_always_too_busy_is_told_so() -> None:
    times = [TIMEOUT] * runner._MOST_PLAYS
    result = play(short(times, departs=True))
    assert times == []
    assert result.departures == []
    assert result.harness_error is not None
    assert "this machine is too busy: for 1." in result.harness_error


@pytest.mark.parametrize(
    ("departs", "profile"), [(False, Profile.SHORT_TIMEOUTS), (True, Profile.DEFAULT)], ids=["kept", "long-time-outs"]
)
def test_a_play_that_could_not_suffer_from_it_counts(departs: bool, profile: Profile) -> None:
    times = [TIMEOUT]
    result = play(short(times, departs, profile))
    assert times == []
    assert result.harness_error is None
    assert bool(result.departures) is departs


def test_no_peer_of_one_case_is_left_for_the_next() -> None:
    """Cases that leave silent workers and dropped connections behind, one after another with one scheduler, which
    would give the next case's tasks to them: its time-outs are longer than the test.
    """
    with ReferenceScheduler() as subject:
        endpoint = subject.acquire(Profile.DEFAULT, []).endpoint
        cases = [
            case
            for pattern in ("capacity.*", "departures.*", "client-loss.place-*")
            for case in select_cases(pattern)
            if case.profile is Profile.DEFAULT
        ]
        report = run_suite(lambda: RunningEndpoint(endpoint), cases, Plan(jobs=1))
    assert len(report.results) > 20
    assert {one.case: one.departed for one in report.results if one.departures or one.harness_error} == {}
