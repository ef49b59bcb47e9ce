"""The runner against small faulty schedulers, each a ROUTER in a thread: the right verdict, and never a hang."""

from __future__ import annotations

import io
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil
import pytest
import zmq
from rich.console import Console

from rescind import wire
from rescind.messages import (
    CancelConfirmType,
    ClientHeartbeat,
    ClientHeartbeatEcho,
    Message,
    Task,
    TaskCancel,
    TaskCancelConfirm,
    TaskResult,
    WorkerHeartbeat,
    WorkerHeartbeatEcho,
)
from rescind_conformance import places, runner
from rescind_conformance.case import Case, Profile
from rescind_conformance.console_report import print_report
from rescind_conformance.findings import Conversation
from rescind_conformance.peers import CANCELED
from rescind_conformance.report_document import report_document
from rescind_conformance.requirements import Level, Requirement
from rescind_conformance.runner import NothingSelected, Plan, SuiteReport, run_suite, select_cases
from rescind_conformance.subjects import ProfileUnavailable, Subject
from rescind_conformance.verdicts import CaseResult, Departure, Verdict, judge
from rescind_conformance.world import World

DEADLINE = 0.3
"""Seconds: only faulty schedulers make the runner wait for it."""
HANG = 20.0

Faults = frozenset[str]


class ToyScheduler(threading.Thread):
    """Echoes, dispatches to the one worker, cancels what waits, forwards results; with faults on demand."""

    pid = None

    def __init__(self, faults: Faults) -> None:
        super().__init__(daemon=True)
        self._faults = faults
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self.endpoint = f"tcp://127.0.0.1:{self._socket.bind_to_random_port('tcp://127.0.0.1')}"
        self._owners: dict[bytes, bytes] = {}
        self._worker: bytes | None = None
        self._stopped = threading.Event()
        self._hanging = False

    def run(self) -> None:
        try:
            while not self._stopped.is_set():
                if not self._socket.poll(10):
                    continue
                sender, frame = self._socket.recv_multipart()
                if not self._hanging and not self._handle(sender, wire.decode(frame)):
                    return
        finally:
            self._context.destroy(linger=0)

    def _handle(self, sender: bytes, message: Message) -> bool:
        match message:
            case ClientHeartbeat() if "never echoes" not in self._faults:
                self._send(sender, ClientHeartbeatEcho())
                if "echoes twice" in self._faults:
                    self._send(sender, ClientHeartbeatEcho())
            case WorkerHeartbeat():
                self._worker = sender
                self._send(sender, WorkerHeartbeatEcho())
            case Task(task_id):
                self._owners[task_id] = sender
                if self._worker is not None:
                    self._send(self._worker, message)
            case TaskCancel(task_id):
                self._hanging = "hangs" in self._faults
                if "dies" in self._faults:
                    return False
                self._on_cancel(sender, task_id)
            case TaskResult(task_id):
                self._send(self._owners[task_id], message)
        return True

    def _on_cancel(self, sender: bytes, task_id: bytes) -> None:
        if "sends garbage" in self._faults:
            self._socket.send_multipart([sender, b"garbage"])
        if "swallows" not in self._faults:
            kind = CancelConfirmType.CANCELED if task_id in self._owners else CancelConfirmType.CANCEL_NOT_FOUND
            for _ in range(2 if "answers twice" in self._faults else 1):
                self._send(sender, TaskCancelConfirm(task_id, kind))

    def _send(self, to: bytes, message: Message) -> None:
        self._socket.send_multipart([to, wire.encode(message)])

    # What the runner asks of an instance.

    def alive(self) -> bool:
        return self.is_alive()

    def log_tail(self) -> str:
        return "the toy's last words"

    def ask_to_stop(self) -> bool:
        return False

    def stop(self) -> None:
        self._stopped.set()
        self.join()


class Toy(Subject):
    role = "scheduler"
    name = "toy"
    replay_options = "--subject toy"

    def __init__(self, *faults: str) -> None:
        self._faults = frozenset(faults)
        self.running: list[ToyScheduler] = []

    def open(self, conversation: Conversation, profile: Profile, upcoming: Sequence[Profile]) -> World:
        if profile is not Profile.DEFAULT:
            raise ProfileUnavailable(f"a toy has no {profile.value}")
        toy = ToyScheduler(self._faults)
        toy.start()
        self.running.append(toy)
        return World(conversation, toy)

    def leave(self, world: World) -> None:
        world.close()
        assert isinstance(world.instance, ToyScheduler)
        world.instance.stop()
        self.running.remove(world.instance)

    def close(self) -> None:
        assert self.running == []


def cancel_waiting(world: World) -> None:
    """A waiting task is cancelled."""
    owner = world.client()
    task = owner.submit()
    owner.cancel(task)
    owner.expect_confirm(task, CANCELED, "S3.1", vital=True)
    owner.expect_nothing("S1.1", about=task)


def make_case(play: Callable[[World], None], *requirements: str, profile: Profile = Profile.DEFAULT) -> Case:
    return Case(f"test.{play.__name__}", play.__name__, play.__doc__ or "", requirements, profile, play)


CANCEL_WAITING = make_case(cancel_waiting, "S3.1", "S1.1")


def run(*cases: Case, faults: Sequence[str] = ()) -> SuiteReport:
    return run_suite(lambda: Toy(*faults), cases, Plan(deadline=DEADLINE))


def verdicts(report: SuiteReport) -> dict[str, str]:
    return {one.requirement.id: one.verdict.value for one in report.verdicts}


def test_a_scheduler_that_does_as_it_should_passes() -> None:
    report = run(CANCEL_WAITING)
    assert verdicts(report) == {"S1.1": "pass", "S3.1": "pass"}
    assert report.exit_status == 0


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("never echoes", {"S1.1": "not reached", "S3.1": "not reached", "S10.1": "fail"}),
        ("hangs", {"S1.1": "not reached", "S3.1": "not reached", "S10.1": "fail"}),
        ("dies", {"S1.1": "not reached", "S3.1": "not reached", "S11.1": "fail"}),
        ("swallows", {"S1.1": "not reached", "S3.1": "fail"}),
        ("answers twice", {"S1.1": "fail", "S3.1": "pass"}),
        ("sends garbage", {"T2": "fail", "S1.1": "pass", "S3.1": "pass"}),
    ],
)
def test_a_fault_is_a_departure_from_its_requirement(fault: str, expected: dict[str, str]) -> None:
    report = run(CANCEL_WAITING, faults=[fault])
    assert verdicts(report) == expected
    assert report.exit_status == 1
    assert [result.harness_error for result in report.results] == [None]


def test_an_echo_too_many_is_a_departure() -> None:
    """What else is found hangs on when it comes: it may be taken for the echo of the next heartbeat."""
    assert verdicts(run(CANCEL_WAITING, faults=["echoes twice"]))["S10.1"] == "fail"


def test_a_blocked_requirement_says_what_blocked_it() -> None:
    report = run(CANCEL_WAITING, faults=["swallows"])
    reasons = {one.requirement.id: one.reason for one in report.verdicts}
    assert reasons["S1.1"] == "blocked by S3.1 in test.cancel_waiting"


def test_a_dead_scheduler_leaves_its_log_and_the_others_are_still_tested() -> None:
    def answers_unknown(world: World) -> None:
        client = world.client()
        world.check("S2.1", client.inbox == [], "nothing", "something came")

    report = run(CANCEL_WAITING, make_case(answers_unknown, "S2.1"), faults=["dies"])
    assert report.results[0].log == "the toy's last words"
    assert "died" in report.results[0].departures[0].text
    assert verdicts(report)["S2.1"] == "pass"


def test_an_exception_of_ours_is_a_harness_error() -> None:
    def broken(world: World) -> None:
        owner = world.client()
        owner.expect_nothing("S3.1")
        raise ZeroDivisionError("ours")

    report = run(make_case(broken, "S3.1"))
    assert verdicts(report) == {"S3.1": "harness error"}
    assert "ZeroDivisionError: ours" in (report.results[0].harness_error or "")
    assert report.exit_status == 2


def test_a_case_that_forgets_a_check_is_a_harness_error() -> None:
    def forgetful(world: World) -> None:
        world.client().expect_nothing("S3.1")

    report = run(make_case(forgetful, "S3.1", "S5.1"))
    assert report.exit_status == 2
    assert "S5.1" in (report.results[0].harness_error or "")


def test_what_is_not_shown_is_unsupported() -> None:
    def optional(world: World) -> None:
        world.unsupported("it never moves a task")

    def configured(world: World) -> None:
        raise AssertionError("must not run")

    report = run(make_case(optional, "S7.2"), make_case(configured, "S7.3", profile=Profile.REBALANCING))
    assert verdicts(report) == {"S7.2": "unsupported", "S7.3": "unsupported"}
    assert [one.reason for one in report.verdicts] == ["it never moves a task", "a toy has no rebalancing"]
    assert report.undecided == (
        "Nothing was tested: unsupported: it never moves a task (1 case); "
        "unsupported: a toy has no rebalancing (1 case)."
    )
    assert report.exit_status == 2


def test_what_is_not_shown_beside_what_is_does_no_harm() -> None:
    def optional(world: World) -> None:
        world.unsupported("it never moves a task")

    report = run(CANCEL_WAITING, make_case(optional, "S7.2"))
    assert report.undecided == ""
    assert report.exit_status == 0


@pytest.mark.parametrize(("jobs", "together"), [(1, 1), (2, 5)])
def test_a_case_that_waits_long_leaves_its_place(monkeypatch: pytest.MonkeyPatch, jobs: int, together: int) -> None:
    """Unless they are to be played one after the other."""
    monkeypatch.setattr(places, "LONG_WAIT", 0.0)
    made: list[int] = []

    def make(count: int) -> places.Places:
        made.append(count)
        return places.Places(count)

    monkeypatch.setattr(runner, "Places", make)
    begun: list[int] = []

    def meets(world: World) -> None:
        """Others are played at the same time."""
        begun.append(len(begun) + 1)
        met = world.wait_until(lambda: len(begun) >= together)
        world.check("S3.1", met, "all meet", f"{len(begun)} are there")
        if jobs == 1:
            begun.clear()

    plan = Plan(jobs=jobs, repeat=5, deadline=HANG)
    report = run_suite(Toy, [make_case(meets, "S3.1")], plan)
    assert verdicts(report) == {"S3.1": "pass"}
    assert len(report.results) == 5
    assert made == [jobs]
    assert jobs > 1 or begun == []


def test_who_comes_back_is_let_in_and_nobody_begins_until_there_is_room() -> None:
    room = places.Places(1)
    first, second = places.OwnPlace(room), places.OwnPlace(room)

    def over_when_asked(times: int) -> Callable[[], bool]:
        asked = itertools.count(1)
        return lambda: next(asked) >= times

    assert room.take(over_when_asked(3))
    assert not room.take(over_when_asked(3))
    first.leave()
    first.leave()  # it waits for something that waits
    assert room.take(over_when_asked(3))
    assert not room.take(over_when_asked(3))
    first.come_back()
    first.come_back()
    waits: list[bool] = []

    def over() -> bool:
        waits.append(True)
        return True

    room.give_way(over)
    assert waits
    second.leave()
    waits.clear()
    room.give_way(over)
    assert not waits


def test_a_missed_should_is_non_strict_and_no_failure() -> None:
    def misses(world: World) -> None:
        world.check("S8.4", False, "a log line", "it was swallowed")

    report = run(make_case(misses, "S8.4"))
    assert verdicts(report) == {"S8.4": "non-strict"}
    assert report.exit_status == 0


def test_the_audit_finds_what_no_expectation_was_about() -> None:
    def looks_away(world: World) -> None:
        owner = world.client()
        owner.cancel(owner.submit())
        world.check("S10.1", True, "", "")

    report = run(make_case(looks_away, "S10.1"), faults=["answers twice"])
    assert verdicts(report) == {"S1.1": "fail", "S10.1": "pass"}


def test_a_case_of_a_requirement_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match=r"S99\.9"):
        run(make_case(cancel_waiting, "S99.9"))


MUST = Requirement("S1.1", Level.MUST, "text", "reason")


def result(name: str, **changes: object) -> CaseResult:
    made = CaseResult(name, name, ("S1.1",))
    for attribute, value in changes.items():
        setattr(made, attribute, value)
    return made


PASSED = result("passed", checked={"S1.1"})
DEPARTED = result("departed", checked={"S1.1"}, departures=[Departure("S1.1", "no")])
BLOCKED = result("blocked", departures=[Departure("S2.1", "no")])
BROKEN = result("broken", harness_error="oops")
OPTIONAL = result("optional", unsupported="never seen")


@pytest.mark.parametrize(
    ("results", "verdict"),
    [
        ([], Verdict.NOT_CHECKED),
        ([PASSED], Verdict.PASS),
        ([PASSED, BLOCKED], Verdict.PASS),
        ([PASSED, OPTIONAL], Verdict.PASS),
        ([BLOCKED], Verdict.NOT_REACHED),
        ([OPTIONAL, BLOCKED], Verdict.UNSUPPORTED),
        ([PASSED, BROKEN], Verdict.HARNESS_ERROR),
        ([PASSED, DEPARTED], Verdict.FAIL),
        ([BROKEN, DEPARTED], Verdict.FAIL),
    ],
)
def test_verdicts_over_cases(results: list[CaseResult], verdict: Verdict) -> None:
    assert judge("scheduler", MUST, results).verdict is verdict


def test_a_departure_counts_wherever_it_was_found() -> None:
    elsewhere = CaseResult("other", "other", ("S2.1",), departures=[Departure("S1.1", "no")])
    assert judge("scheduler", MUST, [PASSED, elsewhere]).verdict is Verdict.FAIL


def test_cases_are_selected() -> None:
    assert {"S5.1"} <= set(select_cases(requirement="S5.1")[0].requirements)
    assert [case.name for case in select_cases("crossing.result-crosses-cancel")] == ["crossing.result-crosses-cancel"]
    with pytest.raises(NothingSelected, match="case none"):
        select_cases("none")
    both = ["crossing.result-crosses-cancel", "ownership.*"]
    assert select_cases(both) == [
        case for case in select_cases() if case in select_cases(both[0]) + select_cases(both[1])
    ]


def test_the_report_shows_trace_and_replay_command() -> None:
    report = run(CANCEL_WAITING, faults=["answers twice"])
    console = Console(width=100, file=io.StringIO())
    with console.capture() as captured:
        print_report(report, console)
    text = captured.get()
    assert "S -> C1   TaskCancelConfirm T1 canceled   (2 times)" in text
    assert "expected: C1 gets nothing about T1 more; but C1 got TaskCancelConfirm T1 canceled" in text
    assert "Replay: rescind conformance scheduler --subject toy --case test.cancel_waiting" in text
    as_json = json.loads(json.dumps(report_document([report])))
    assert as_json["runs"][0]["cases"][0]["trace"][-1]["to"] == "C1"


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts the real command with a temporary directory of its own."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "rescind_conformance", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": str(tmp_path)},
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def left_behind(directory: Path) -> list[psutil.Process]:
    """The processes whose temporary files are in a directory: what a run has started inherits that."""
    return [
        process
        for process in psutil.process_iter(["environ"])
        if (process.info["environ"] or {}).get("TMPDIR", "").startswith(str(directory))
    ]


def test_the_command_leaves_nothing(command: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    output = tmp_path / "report"
    process = command(
        "scheduler", "--subject", "reference", "--case", "undispatched.no-worker", "--report", str(output)
    )
    text, errors = process.communicate(timeout=60)
    assert process.returncode == 0, text + errors
    assert json.loads((output / "report.json").read_text())["runs"][0]["requirements"][0]["verdict"] == "pass"
    assert left_behind(tmp_path) == []
    assert [path.name for path in tmp_path.iterdir()] == ["report"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_everything(
    command: Callable[..., subprocess.Popen[str]], tmp_path: Path, number: signal.Signals
) -> None:
    process = command("scheduler", "--subject", "reference")
    runner = psutil.Process(process.pid)
    while not runner.children() and process.poll() is None:
        os.sched_yield()
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode not in (0, 1)
    assert left_behind(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_when_it_is_killed_what_it_has_started_ends(
    command: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    process = command("scheduler", "--subject", "reference")
    while len(left_behind(tmp_path)) < 4 and process.poll() is None:
        os.sched_yield()
    process.kill()
    process.communicate(timeout=60)
    given_up = time.monotonic() + 20
    while alive := left_behind(tmp_path):
        assert time.monotonic() < given_up, alive


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "--subject reference"),
        (["--subject", "nobody"], "reference, opengris-scaler"),
        (["--subject", "reference", "--case", "none"], "rescind conformance list"),
    ],
)
def test_what_cannot_run_says_why(
    command: Callable[..., subprocess.Popen[str]], arguments: list[str], says: str
) -> None:
    process = command("scheduler", *arguments)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert says in errors
