"""The client's cases: the reference passes all of them, and each kind of faulty client is caught by the right one."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path

import psutil
import pytest
from held_up import hold_up

from rescind_conformance.adapter_subjects import adapter_by_command, shipped_adapter
from rescind_conformance.case import all_cases
from rescind_conformance.client_world import ClientWorld
from rescind_conformance.known import load_known_failures
from rescind_conformance.runner import Plan, run_suite, select_cases
from rescind_conformance.verdicts import Verdict

pytestmark = pytest.mark.long

KNOWN = Path(str(files("rescind_conformance"))) / "known_failures" / "opengris-scaler.toml"

FAULTS = {
    # fault: (the requirement that it breaks, a case that sees it)
    "cancel-returns-before-any-answer": ("C1.1", "asking.cancel-waits"),
    "cancel-never-returns": ("C1.1", "asking.cancel-waits"),
    "each-cancel-is-sent-twice": ("C1.1", "asking.cancel-waits"),
    "confirmed-means-false": ("C2.1", "asking.canceled"),
    "not-found-means-false": ("C2.2", "asking.not-found"),
    "unasked-canceled-is-ignored": ("C2.3", "asking.canceled-unasked"),
    "refused-task-hangs": ("C2.3", "asking.refused-task"),
    "results-are-ignored": ("C2.4", "asking.result"),
    "result-wins-over-cancel": ("C3.1", "crossing.result-first"),
    "discarded-result-is-kept": ("C3.2", "crossing.discarded-is-released"),
    "refusal-is-swallowed": ("C4.1", "asking.refused"),
    "refusal-costs-the-result": ("C4.1", "asking.refused-then-result"),
    "refused-once-refused-for-ever": ("C4.2", "asking.refused-then-cancel"),
    "time-limit-means-false": ("C5.1", "time-limit.no-answer"),
    "time-limit-is-forgotten": ("C5.1", "time-limit.no-answer"),
    "every-outcome-is-confirmed": ("C5.2", "outcomes.refused"),
    "finished-futures-are-cancelled-too": ("C6.1", "settled.cancel-finished"),
    "each-thread-sends-its-own-cancel": ("C6.2", "sharing.threads-share"),
    "the-second-thread-is-never-woken": ("C6.2", "sharing.threads-share"),
    "the-first-time-limit-counts": ("C6.2", "sharing.shortest-limit"),
    "force-does-not-ask-again": ("C6.3", "sharing.force-asks-again"),
    "cancelled-does-not-wait": ("C7.1", "sharing.cancelled-waits"),
    "done-waits": ("C7.1", "sharing.cancelled-waits"),
    "callbacks-run-twice": ("C8.1", "settled.duplicate-result"),
    "a-second-settling-raises": ("C8.1", "settled.duplicate-confirm"),
    "readers-of-a-cancelled-task-hang": ("C8.1", "settled.waiters-are-woken"),
    "the-waiter-is-made-after-the-request": ("C8.2", "settled.fast-ends"),
    "late-result-is-kept": ("C9.2", "late.result-after-canceled"),
    "disconnect-leaves-futures-pending": ("C10.1", "leaving.disconnect-with-round"),
    "a-dropped-connection-is-made-again": ("C10.2", "leaving.connection-drops"),
    "silence-is-not-noticed": ("C10.2", "leaving.scheduler-falls-silent"),
    "client-disconnect-is-ignored": ("C10.2", "leaving.declared-lost"),
    "callbacks-run-in-the-receiving-thread": ("C11.1", "callbacks.cancel-from-callback"),
    "something-comes-before-the-heartbeat": ("C12.1", "transport.heartbeat-first"),
    "heartbeats-stop": ("C12.1", "transport.heartbeats-go-on"),
    "only-the-first-target-is-delivered": ("C13.1", "graphs.one-by-one"),
    "the-end-of-a-graph-cancels-its-targets": ("C13.1", "graphs.only-the-graph"),
    "results-of-targets-are-released-when-they-are-read": ("C13.2", "graphs.payloads-stay"),
    "what-a-graph-discards-is-never-released": ("C13.2", "graphs.error-of-none"),
    "the-cancel-of-a-target-names-another-node": ("C13.3", "graphs.cancel-target"),
    "a-cycle-is-sent": ("C13.4", "graphs.cycle"),
    "no-routing-id": ("T1", "transport.routing-id"),
    "a-word-behind-each-message": ("T2", "transport.well-formed"),
    "messages-are-handled-last-first": ("T3", "transport.handled-in-order"),
    "a-malformed-frame-ends-the-client": ("M1", "malformed.misframed"),
    "long-frames-are-dropped": ("M2", "malformed.long-frame"),
    "an-unknown-member-ends-the-client": ("M3", "malformed.unknown-members"),
    "a-strangers-message-ends-the-client": ("M3", "malformed.members-for-others"),
    "several-segments-are-dropped": ("M4", "malformed.two-segments"),
    "longer-structs-are-dropped": ("E2", "evolution.error"),
    "task-ids-are-compared-in-part": ("M5", "malformed.opaque-ids"),
    "an-unknown-result-is-a-success": ("M6", "malformed.unknown-result-type"),
    "an-unknown-confirm-is-canceled": ("M6", "malformed.unknown-confirm-type"),
    "an-unknown-disconnect-is-ignored": ("M6", "malformed.unknown-disconnect-type"),
}
ALSO = {
    "a-second-settling-raises": ("C9.1", "late.unknown-confirms"),
    "a-dropped-connection-is-made-again": ("T4", "leaving.new-life"),
    "a-lost-client-says-good-bye-to-the-next-scheduler": ("T7", "restart.with-good-bye"),
    "what-was-lost-is-submitted-again": ("C10.3", "restart.with-tasks"),
}


@pytest.fixture(autouse=True)
def _nothing_left_behind() -> Iterator[None]:
    before = psutil.Process().children()  # such as multiprocessing's, of other tests
    yield
    assert [one for one in psutil.Process().children() if one not in before] == []


def test_the_reference_client_passes() -> None:
    report = run_suite(lambda: shipped_adapter("client", "reference"), select_cases(role="client"), Plan(jobs=2))
    assert [(one.case, one.departures, one.harness_error, one.unsupported) for one in report.results] == [
        (one.name, [], None, None) for one in all_cases("client")
    ]
    verdicts = {one.requirement.id: one.verdict for one in report.verdicts}
    assert set(verdicts.values()) == {Verdict.PASS, Verdict.NOT_CHECKED}
    unchecked = {name for name, verdict in verdicts.items() if verdict is Verdict.NOT_CHECKED}
    assert unchecked == {"T5", "T6", "E1", "E3", "E4", *(f"K{number}" for number in range(1, 8))}
    assert report.exit_status == 0


def test_each_requirement_has_a_fault() -> None:
    tested = {name for case in all_cases("client") for name in case.requirements}
    assert tested - {requirement for table in (FAULTS, ALSO) for requirement, _ in table.values()} == set()


def test_the_client_of_scaler_departs_as_is_known() -> None:
    known = load_known_failures(KNOWN)
    names = ["asking.canceled", "crossing.result-first", "sharing.cancelled-waits", "time-limit.no-answer"]
    cases = [one for name in names for one in select_cases(name, role="client")]
    report = run_suite(lambda: shipped_adapter("client", "opengris-scaler"), cases, Plan(jobs=2), known=known)
    assert [(one.case, one.departed) for one in report.results] == [
        ("asking.canceled", set()),
        ("crossing.result-first", {"C3.1"}),
        ("sharing.cancelled-waits", {"C7.1"}),
        ("time-limit.no-answer", {"C5.1"}),
    ]
    assert report.unexpected == []
    assert report.exit_status == 0


def test_each_known_failure_of_a_client_names_a_case() -> None:
    known = load_known_failures(KNOWN)
    entries = [one for one in known.entries if one.role == "client"]
    assert entries != []
    for entry in entries:
        assert select_cases(entry.case, role="client") != []


@pytest.mark.parametrize(
    ("fault", "requirement", "case"), [(fault, *seen) for table in (FAULTS, ALSO) for fault, seen in table.items()]
)
def test_a_faulty_client_is_caught(fault: str, requirement: str, case: str) -> None:
    command = shlex.join([sys.executable, str(Path(__file__).with_name("faulty_client.py")), fault])
    cases = select_cases(case, role="client")
    report = run_suite(lambda: adapter_by_command("client", command), cases, Plan(deadline=1.0))
    (result,) = report.results
    assert result.harness_error is None
    assert result.departed == {requirement}, result.departures


def test_a_departure_names_the_frame_that_it_came_after() -> None:
    fault = "a-malformed-frame-ends-the-client"
    command = shlex.join([sys.executable, str(Path(__file__).with_name("faulty_client.py")), fault])
    cases = select_cases("malformed.misframed", role="client")
    (result,) = run_suite(lambda: adapter_by_command("client", command), cases, Plan(deadline=1.0)).results
    (departure,) = result.departures
    assert departure.text.endswith("(after: an empty frame)")


@pytest.mark.parametrize(
    ("case", "step", "seconds"),
    [("leaving.scheduler-falls-silent", "open_round", 1.5), ("time-limit.limit-of-an-ended-round", "confirm", 0.5)],
)
def test_a_slow_machine_is_not_held_against_the_client(
    case: str, step: str, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The suite itself is held up, once, where time runs for the client."""
    hold_up(monkeypatch, ClientWorld, step, seconds)
    report = run_suite(
        lambda: shipped_adapter("client", "reference"), select_cases(case, role="client"), Plan(deadline=4)
    )
    (result,) = report.results
    assert (result.departures, result.harness_error) == ([], None)


@pytest.mark.parametrize(
    ("each_wait_brings", "gone", "comes"), [(1, False, True), (3, False, True), (0, False, False), (0, True, False)]
)
def test_the_deadline_is_for_each_of_many_things(
    each_wait_brings: int, gone: bool, comes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    came = 0

    def wait(self: ClientWorld, condition: Callable[[], bool]) -> bool:
        nonlocal came
        came += each_wait_brings
        return condition()

    monkeypatch.setattr(ClientWorld, "_wait", wait)
    world: ClientWorld = object.__new__(ClientWorld)
    world.gone = gone
    assert world.comes_to(lambda: came, 7) is comes
