"""The worker's cases: the reference passes all of them, and each kind of faulty worker is caught by the right one."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from held_up import hold_up
from process_looks import name_of

from rescind_conformance.adapter_subjects import AdapterSubject, shipped_adapter
from rescind_conformance.case import all_cases
from rescind_conformance.runner import Plan, SuiteReport, run_suite, select_cases
from rescind_conformance.trace import trace_lines
from rescind_conformance.verdicts import Verdict
from rescind_conformance.worker_world import WorkerWorld

pytestmark = pytest.mark.long

MARK = "CONFORMANCE_TEST"
"""The environment variable by which a test knows its processes."""
FAULTS = {
    # fault: (the requirement that it breaks, a case that sees it)
    "a-task-has-both-outcomes": ("W1.1", "running.force"),
    "results-are-not-sent": ("W1.1", "running.queue"),
    "the-answer-of-the-first-assignment-ends-the-second": ("W1.1", "queued.assigned-again-and-run"),
    "cancels-during-the-end-are-answered-too": ("W1.2", "running.force-twice"),
    "a-cancel-is-refused-while-the-task-is-ended": ("W1.2", "running.no-force-after-force"),
    "repeated-refusals-are-swallowed": ("W1.2", "running.refused-again-and-again"),
    "a-task-that-comes-twice-runs-twice": ("W1.3", "queued.sent-again"),
    "a-cancelled-queued-task-starts": ("W2.1", "queued.cancelled"),
    "a-queued-task-refuses": ("W2.1", "queued.one-of-many"),
    "canceled-comes-before-the-end": ("W2.2", "running.force"),
    "processes-are-not-ended": ("W2.2", "running.force"),
    "grandchildren-are-left": ("W2.2", "running.force-on-children"),
    "spinning-tasks-are-only-asked": ("W2.2", "running.force-on-spin"),
    "a-running-task-is-not-answered": ("W2.3", "running.refused"),
    "a-running-task-is-always-ended": ("W2.3", "running.refused"),
    "an-unknown-task-is-not-answered": ("W2.4", "running.unknown"),
    "results-during-the-end-are-sent": ("W2.5", "running.returns-while-ended"),
    "half-a-result-is-left": ("W2.5", "running.half-result"),
    "a-death-is-not-reported": ("W3.1", "failing.dies"),
    "a-death-is-a-failure": ("W3.1", "failing.dies"),
    "a-raising-function-ends-the-worker": ("W3.2", "failing.raises"),
    "errors-have-no-payload": ("W3.2", "failing.raises"),
    "a-leaving-worker-takes-tasks": ("W4.1", "leaving.task-while-leaving"),
    "a-leaving-worker-starts-what-waits": ("W4.1", "leaving.free-processes-while-leaving"),
    "goodbye-comes-first": ("W4.2", "leaving.shutdown-while-running"),
    "goodbye-is-not-said": ("W4.2", "leaving.leave-when-idle"),
    "goodbye-is-not-the-last-word": ("W4.2", "leaving.shutdown-when-idle"),
    "a-lost-worker-goes-on": ("W4.3", "leaving.disconnect"),
    "a-lost-worker-reports": ("W4.3", "leaving.disconnect"),
    "what-waits-is-begun-while-it-drains": ("W4.4", "draining.finishes-what-runs"),
    "no-heartbeats-while-a-task-runs": ("W5.1", "liveness.while-running"),
    "heartbeats-wait-for-their-echo": ("W5.1", "liveness.without-echo"),
    "something-comes-before-the-heartbeat": ("W5.1", "liveness.first-word"),
    "silence-is-not-noticed": ("W5.2", "liveness.silence"),
    "a-dropped-connection-is-made-again": ("W5.3", "liveness.connection-drops"),
    "no-routing-id": ("T1", "transport.routing-id"),
    "a-word-behind-each-message": ("T2", "transport.well-formed-frames"),
    "answers-come-in-pairs-the-second-first": ("T3", "transport.order"),
    "bytes-behind-a-message-are-ignored": ("M1", "malformed.misframed"),
    "what-is-dropped-ends-the-worker": ("M1", "malformed.several-frames"),
    "long-frames-are-dropped": ("M2", "malformed.large-frame"),
    "only-one-segment-is-read": ("M4", "malformed.two-segments"),
    "longer-structs-are-dropped": ("E2", "evolution.task-and-cancels"),
    "ids-end-at-a-zero": ("M5", "malformed.opaque-ids"),
    "unknown-arguments-are-object-ids": ("M6", "malformed.unknown-argument-type"),
    "an-unknown-disconnect-is-ignored": ("M6", "leaving.unknown-disconnect"),
}
MORE = {
    # a fault that a second requirement forbids as well
    ("what-is-dropped-ends-the-worker", "M3", "malformed.unknown-members"),
    ("a-dropped-connection-is-made-again", "T4", "liveness.another-routing-id"),
    ("a-worker-reports-to-the-next-scheduler", "T7", "restart.with-result"),
    ("a-worker-ends-with-its-scheduler", "W5.4", "restart.comes-back"),
}
DEADLINE = 4.0
"""Seconds: only faulty workers make the suite wait for it."""
AT_ONCE = 6
"""How many faulty workers are played at once: they mostly make the suite wait."""

Played = Mapping[tuple[str, str], Future[tuple[SuiteReport, list[psutil.Process]]]]
"""By fault and case: the report, and the processes that were left behind."""


@pytest.fixture
def marked(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Every process that a test starts, however indirectly, has this in its environment; at the end all are gone."""
    mark = uuid.uuid4().hex
    monkeypatch.setenv(MARK, mark)
    yield mark
    assert left_behind(mark) == []


def left_behind(mark: str) -> list[psutil.Process]:
    """The processes of a test that do not end by themselves either."""
    alive: list[psutil.Process] = psutil.wait_procs(marked_processes(mark), timeout=10)[1]
    return alive


def marked_processes(mark: str) -> list[psutil.Process]:
    """The processes that a test has started."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(MARK) == mark and process.pid != os.getpid():
                found.append(process)
    return found


def play(fault: str, case: str) -> tuple[SuiteReport, list[psutil.Process]]:
    """A case against a faulty worker, and what it has left behind."""
    command = [sys.executable, str(Path(__file__).with_name("faulty_worker.py")), fault]
    mark = uuid.uuid4().hex
    cases = select_cases(case, role="worker")
    report = run_suite(
        lambda: AdapterSubject("worker", command, f"--adapter {shlex.join(command)}", {MARK: mark}),
        cases,
        Plan(deadline=DEADLINE),
    )
    return report, left_behind(mark)


@pytest.fixture(scope="module")
def played(request: pytest.FixtureRequest) -> Iterator[Played]:
    """All faults that are to be tested, several at once."""
    wanted = [
        (str(item.callspec.params["fault"]), str(item.callspec.params["case"]))
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.function is test_a_faulty_worker_is_caught
    ]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {each: pool.submit(play, *each) for each in wanted}
        pool.shutdown(cancel_futures=True)


def test_the_reference_passes_every_case(marked: str) -> None:
    report = run_suite(lambda: shipped_adapter("worker", "reference"), all_cases("worker"), Plan(jobs=4))
    assert [result.harness_error for result in report.results if result.harness_error] == []
    assert [(result.case, result.departures) for result in report.results if result.departures] == []
    assert [(result.case, result.unsupported) for result in report.results if result.unsupported] == []
    unchecked = {one.requirement.id for one in report.verdicts if one.verdict is not Verdict.PASS}
    assert unchecked == {"T5", "T6", "E1", "E3", "E4", *(f"K{number}" for number in range(1, 8))}
    assert report.exit_status == 0


@pytest.mark.parametrize(
    ("fault", "requirement", "case"),
    [*((fault, *seen) for fault, seen in FAULTS.items()), *sorted(MORE)],
)
def test_a_faulty_worker_is_caught(played: Played, fault: str, requirement: str, case: str) -> None:
    report, left = played[fault, case].result()
    (result,) = report.results
    assert result.harness_error is None
    departed = {departure.requirement for departure in result.departures}
    assert departed == {requirement}, "\n".join(
        [*map(str, result.departures), *trace_lines(result.trace, result.names), result.log]
    )
    assert left == []


def test_a_connection_over_which_nothing_is_said_is_not_the_workers() -> None:
    """Nor is its end: of an attempt that was given up, or of a look whether somebody listens."""
    report, _ = play("somebody-looks-first-whether-the-scheduler-listens", "running.force-on-children")
    (result,) = report.results
    assert (result.departures, result.harness_error) == ([], None)


def test_a_slow_machine_is_not_held_against_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """The suite itself is held up, once, while the worker waits to hear from it."""
    hold_up(monkeypatch, WorkerWorld, "fence", 2.5)
    cases = select_cases("liveness.silence", role="worker")
    (result,) = run_suite(lambda: shipped_adapter("worker", "reference"), cases, Plan(deadline=6)).results
    assert (result.departures, result.harness_error) == ([], None)


def test_what_is_wrong_with_a_message_is_told() -> None:
    """In the departure where a case tries one after another; in the trace where the words of a message hide it."""
    report, _ = play("bytes-behind-a-message-are-ignored", "malformed.misframed")
    assert report.results[0].departures[0].text.endswith("(after: a message with a byte behind it)")
    report, _ = play("unknown-arguments-are-object-ids", "malformed.unknown-argument-type")
    (result,) = report.results
    assert [line for line in trace_lines(result.trace, result.names) if "its argument has the unknown type 5" in line]


def test_each_requirement_has_a_fault() -> None:
    tested = {name for case in all_cases("worker") for name in case.requirements}
    assert tested - {requirement for requirement, _ in FAULTS.values()} - {one[1] for one in MORE} == set()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_stopped_leaves_nothing_behind(number: signal.Signals, marked: str) -> None:
    command = [sys.executable, "-m", "rescind", "conformance", "worker", "--subject", "reference", "--tag", "running"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
        deadline = time.monotonic() + 60
        while not any("rescind-task" in name_of(process) for process in marked_processes(marked)):
            assert run.poll() is None
            assert time.monotonic() < deadline
        run.send_signal(number)
        assert run.wait(30) != 0
    assert left_behind(marked) == []
