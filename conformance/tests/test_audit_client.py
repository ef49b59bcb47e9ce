"""What the judge makes of a client of which only the suite's view is known."""

from __future__ import annotations

import contextlib
import random

import pytest
from judge_faults import CLIENT_FAULTS
from judge_peer_views import judged, seen_of
from judge_walks import NAMES, ClientWalk, words

from rescind.messages import (
    CancelConfirmType,
    ClientDisconnect,
    ClientHeartbeat,
    Message,
    Task,
    TaskCancel,
    TaskCancelConfirm,
    TaskResult,
)
from rescind_conformance.audit import Audit
from rescind_conformance.audit_client import (
    DROPS,
    FALLS_SILENT,
    HANDLED,
    LIMITED,
    RESUMES,
    RETURNS,
    judge_client_of,
)
from rescind_conformance.judge import outside
from rescind_conformance.judge.records import EventKind, EventRecord
from rescind_conformance.trace import SCHEDULER, Entry

T1, T2 = b"T1", b"T2"
CANCELED, FAILED, NOT_FOUND = CancelConfirmType
RESULT = TaskResult(T1, results=(b"result",))


def sent(message: Message) -> Entry:
    return Entry(0, "C1", SCHEDULER, message)


def got(message: Message | None, note: str = "") -> Entry:
    return Entry(0, SCHEDULER, "C1", message, note)


def event(kind: EventKind, task: bytes = b"", call: int = 0, *, note: str = "", **fields: object) -> Entry:
    record = EventRecord("C1", kind, task=task, call=call, **fields)  # type: ignore[arg-type]
    return Entry(0, "C1", "C1", None, note, event=record)


def note(text: str, who: str = "C1") -> Entry:
    return Entry(0, who, who, None, text)


def called(call: int = 1, task: bytes = T1, *, force: bool = False, limit: str = "") -> Entry:
    return event(EventKind.CANCEL_CALLED, task, call, force=force, note=limit)


def returned(value: bool, call: int = 1, task: bytes = T1) -> Entry:
    return event(EventKind.CANCEL_RETURNED, task, call, value=value)


def settled(outcome: str, task: bytes = T1) -> Entry:
    return event(EventKind.SETTLED, task, outcome=outcome)


def confirm(kind: CancelConfirmType | int) -> Entry:
    return got(TaskCancelConfirm(T1, kind))


ASKS, ASKED = event(EventKind.CANCELLED_CALLED, T1, 9), sent(TaskCancel(T1))
NO, YES = (event(EventKind.CANCELLED_RETURNED, T1, 9, value=value) for value in (False, True))
BEGIN = [sent(ClientHeartbeat()), sent(Task(T1))]
ROUND = [*BEGIN, called(), ASKED]
AGAIN = [ASKED, confirm(CANCELED), returned(True, 2), settled("cancelled")]
CLOSE = event(EventKind.DISCONNECT_CALLED)
CLOSED = event(EventKind.DISCONNECT_CALLED, value=True)
DROP, SILENCE, FENCE = note(DROPS, SCHEDULER), note(FALLS_SILENT, SCHEDULER), note(f"{HANDLED} (F1)")
LIMIT = called(limit=f"cancel(T1, {LIMITED} 1 s)")


def audited(trace: list[Entry], *, at_rest: bool = True, force: bool = True) -> Audit:
    features = {"force"} if force else set()
    return judge_client_of(trace, NAMES, features=features, at_rest=at_rest)


def broken(trace: list[Entry], *, at_rest: bool = True) -> list[str]:
    audit = audited(trace, at_rest=at_rest)
    assert not audit.undecided
    return list(dict.fromkeys(one.violation.requirement for one in audit.findings))


@pytest.mark.parametrize(
    "trace",
    [
        [*ROUND, confirm(CANCELED), returned(True), settled("cancelled")],
        # The adapter's lines and the messages come over different channels, in any order.
        [*BEGIN, called(), confirm(FAILED), ASKED, returned(False)],
        [*ROUND, confirm(CANCELED), settled("cancelled"), returned(True)],
        # The result crosses the cancel: which of them the client had first, nobody knows...
        [*BEGIN, called(), got(RESULT), ASKED, returned(True), settled("cancelled")],
        [*BEGIN, got(RESULT), called(), settled("finished"), returned(False)],
        [*BEGIN, called(), got(RESULT), returned(False), settled("finished")],
        # ... nor how a cancel() ends that is called while the answer to another is on its way.
        [*ROUND, called(2), confirm(FAILED), returned(False), returned(False, 2)],
        [*ROUND, called(2), confirm(FAILED), returned(False), *AGAIN],
        [*ROUND, ASKS, confirm(CANCELED), YES, returned(True), settled("cancelled")],
        [*BEGIN, called(), ASKS, NO, ASKED, confirm(CANCELED), returned(True), settled("cancelled")],
        # The time limit may be reached at any moment.
        [*BEGIN, LIMIT, ASKED, confirm(FAILED), returned(True), settled("cancelled")],
        [*BEGIN, LIMIT, ASKED, confirm(FAILED), returned(False), got(RESULT), settled("finished")],
        [*ROUND, SILENCE, returned(True), settled("cancelled")],
        [*ROUND, SILENCE, confirm(FAILED), returned(False)],
        [*ROUND, DROP, returned(True), settled("cancelled")],
        [*ROUND, DROP, note(RETURNS), sent(ClientHeartbeat()), sent(Task(T2)), returned(True), settled("cancelled")],
        # Whoever disconnects need not read what is on its way.
        [*ROUND, confirm(FAILED), CLOSE, returned(True), settled("cancelled"), CLOSED],
        [*BEGIN, got(RESULT), CLOSE, settled("cancelled"), CLOSED],
        [*BEGIN, got(RESULT), CLOSE, settled("finished"), CLOSED],
        [*BEGIN, got(None, "cut off"), got(RESULT), settled("finished")],
    ],
)
def test_what_is_allowed(trace: list[Entry]) -> None:
    assert broken(trace) == []


@pytest.mark.parametrize(
    ("requirement", "trace"),
    [
        ("C1.1", [*ROUND, returned(True)]),
        ("C1.1", [*BEGIN, called(), FENCE]),
        ("C1.1", [*ROUND, sent(TaskCancel(T1))]),
        ("C1.1", [*BEGIN, called(), sent(TaskCancel(T1, True))]),
        ("C2.1", [*ROUND, confirm(CANCELED), returned(False)]),
        ("C2.2", [*ROUND, confirm(NOT_FOUND), returned(True), FENCE]),
        ("C2.3", [*BEGIN, confirm(NOT_FOUND), FENCE]),
        ("C2.4", [*BEGIN, got(RESULT), settled("cancelled")]),
        ("C3.1", [*ROUND, got(RESULT), returned(False), settled("finished")]),
        ("C4.1", [*ROUND, confirm(FAILED), returned(True), settled("cancelled")]),
        ("C4.1", [*ROUND, confirm(FAILED), FENCE]),
        ("C4.1", [*ROUND, confirm(FAILED), returned(False), got(RESULT), settled("cancelled")]),
        ("C4.2", [*ROUND, confirm(FAILED), returned(False), called(2), FENCE]),
        ("C5.1", [*BEGIN, LIMIT, ASKED, settled("cancelled"), returned(False)]),
        ("C6.1", [*BEGIN, got(RESULT), settled("finished"), called(), returned(True)]),
        ("C6.1", [*BEGIN, got(RESULT), settled("finished"), called(), returned(False), ASKED]),
        ("C6.2", [*ROUND, called(2), FENCE, ASKED]),
        ("C6.3", [*ROUND, called(2, force=True), FENCE, confirm(FAILED), returned(False), FENCE]),
        ("C7.1", [*ROUND, ASKS, NO]),
        ("C8.1", [*BEGIN, got(RESULT), settled("finished"), settled("finished")]),
        ("C8.1", [*BEGIN, settled("finished")]),
        ("C9.1", [*BEGIN, got(RESULT), settled("finished"), confirm(CANCELED), settled("cancelled")]),
        ("C10.1", [*ROUND, CLOSE, CLOSED]),
        ("C10.2", [*ROUND, DROP, note(RETURNS), sent(ClientHeartbeat())]),
        ("C10.2", [*ROUND, got(ClientDisconnect()), FENCE]),
        ("C12.1", [sent(Task(T1))]),
        ("M1", [*BEGIN, got(None, "cut off"), settled("cancelled")]),
        ("M3", [*BEGIN, got(None, "member 99 with content"), settled("cancelled")]),
        ("M5", [*BEGIN, sent(Task(T1))]),
        ("M6", [*BEGIN, got(ClientDisconnect(7)), FENCE]),
        ("T2", [*BEGIN, Entry(0, "C1", SCHEDULER, None, "unreadable: cut off")]),
        ("T4", [*BEGIN, DROP, settled("cancelled"), note(RESUMES), sent(ClientHeartbeat())]),
    ],
)
def test_what_is_not(requirement: str, trace: list[Entry]) -> None:
    assert broken(trace)[:1] == [requirement]


def test_a_violation_is_placed_at_the_message_that_shows_it() -> None:
    trace = [*ROUND, got(RESULT), returned(False), settled("finished"), FENCE]
    first = audited(trace).findings[0]
    assert (first.violation.requirement, first.position) == ("C3.1", 6)
    assert "returns False from cancel() of T1" in first.violation.text


def test_a_client_that_chooses_force_itself() -> None:
    asks_otherwise = [*BEGIN, called(), sent(TaskCancel(T1, True)), confirm(CANCELED), returned(True)]
    shares = [*ROUND, called(2, force=True), FENCE, confirm(FAILED), returned(False), returned(False, 2)]
    for requirement, trace in (("C1.1", [*asks_otherwise, settled("cancelled")]), ("C6.3", shares)):
        assert audited(trace, force=False).findings == []
        assert [one.violation.requirement for one in audited(trace).findings][:1] == [requirement]


def test_a_cancel_of_its_own() -> None:
    """Of a done-callback only this is known, that there is one. Without it, the first cancel() is why it asks."""
    in_callback = event(EventKind.UNSEEN, T1)
    begin = [*BEGIN, got(RESULT), settled("finished")]
    end = [called(), ASKED, returned(False)]
    assert broken([*begin, *end]) == ["C6.1"]
    assert broken([*begin, in_callback, *end]) == []


def test_what_is_due_only_at_rest() -> None:
    trace = [*ROUND, confirm(CANCELED)]
    assert broken(trace, at_rest=False) == []
    assert broken(trace) == ["C2.1"]


def test_too_many_orders(monkeypatch: pytest.MonkeyPatch) -> None:
    trace = [*BEGIN, *(called(call, force=call % 2 == 0) for call in range(1, 6)), ASKED, got(RESULT)]
    trace += [*(returned(False, call) for call in range(1, 6)), settled("finished")]
    assert audited(trace).findings
    monkeypatch.setattr(outside, "MOST_STEPS", 50)
    audit = audited(trace)
    assert audit.undecided
    assert audit.findings == []


@pytest.mark.parametrize("delay", [0.0, 2.0, 6.0])
def test_a_right_client_is_not_accused(delay: float) -> None:
    undecided = 0
    for seed in range(60):
        walk = ClientWalk(random.Random(seed).choice)
        for _ in range(16):
            walk.step()
        walk.finish()
        audit = judged(seen_of(walk.records, delay, random.Random(seed)), at_rest=walk.at_rest)
        assert not audit.findings, f"{audit.findings}\n{words(walk.records)}"
        undecided += audit.undecided
    assert undecided <= 3


SHOWN = (
    "it asks twice",
    "it settles when it asks",
    "futures are cancelled twice",
    "futures are finished twice",
    "what is cancelled has a result",
    "a refusal cancels",
    "calls return the opposite",
    "cancel() does not wait",
    "an id is used twice",
)


@pytest.mark.parametrize("fault", SHOWN)
def test_a_fault_is_seen_from_outside(fault: str) -> None:
    make, expected = CLIENT_FAULTS[fault]
    for seed in range(200):
        walk = make(random.Random(seed).choice)
        with contextlib.suppress(KeyError):  # it trips over its own fault
            for _ in range(10):
                walk.step()
            walk.finish()
        audit = judged(seen_of(walk.records, 1.0, random.Random(seed)), at_rest=False) if walk.records else None
        if audit is not None and audit.findings and audit.findings[0].violation.requirement in expected.split():
            return
    pytest.fail(f"200 walks have not shown any of {expected}")
