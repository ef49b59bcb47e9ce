"""Reading recorded runs: what is left out, what is in which order, and which requirement a record breaks."""

from __future__ import annotations

import dataclasses
import re

import pytest
from recorded_lives import LIFE, T, came, entries, went

from rescind.messages import (
    ClientHeartbeat,
    ClientHeartbeatEcho,
    ObjectInstruction,
    Task,
    TaskCancelConfirm,
    TaskLog,
    TaskResult,
    TaskResultType,
    WorkerHeartbeat,
    WorkerHeartbeatEcho,
)
from rescind.scheduler_table import TRANSITIONS
from rescind.trace import TraceEvent
from rescind_conformance.audit import DROPPED, SILENT, STOPPED
from rescind_conformance.model.configurations import model_directory
from rescind_conformance.model.coverage import OF_NODES
from rescind_conformance.model.recorded_run import Run
from rescind_conformance.model.trace_rules import (
    ROW_RULES,
    TaskView,
    View,
    rule_of_missing,
    rule_of_unexplained,
)
from rescind_conformance.model.trace_validation import ACTIONS
from rescind_conformance.model.trace_values import case_run, own_run, seen_run
from rescind_conformance.requirements import load_requirements
from rescind_conformance.trace import Entry

MODULE = (model_directory() / "Trace.tla").read_text(encoding="utf-8")


# What is read of a trace


def said(run: Run) -> list[tuple[str, str, tuple[str | int, ...]]]:
    return [(step.kind, step.peer, step.said) for lane in run.lanes for step in lane.steps]


def test_a_trace_of_the_scheduler_is_one_lane_in_its_order() -> None:
    run = own_run("x", LIFE)
    assert run is not None
    assert len(run.lanes) == 1
    assert said(run) == [
        ("from", "W1", ("WorkerHeartbeat", 3)),
        ("to", "W1", ("WorkerHeartbeatEcho",)),
        ("from", "C1", ("Task", "t1")),
        ("to", "W1", ("Task", "t1")),
        ("from", "C1", ("TaskCancel", "t1", "cancel, force")),
        ("to", "W1", ("TaskCancel", "t1", "cancel, force")),
        ("from", "W1", ("TaskCancelConfirm", "t1", "canceled")),
        ("to", "C1", ("TaskCancelConfirm", "t1", "canceled")),
    ]


def test_a_queue_size_that_tlc_cannot_read_is_one_that_it_can() -> None:
    """A UInt32 goes to 2^32 - 1, TLC's numbers to 2^31 - 1; no run has so many tasks."""
    run = own_run("x", [came("b", WorkerHeartbeat(queue_size=2**32 - 1))])
    assert run is not None
    assert said(run) == [("from", "W1", ("WorkerHeartbeat", 1_000_000))]


def test_from_outside_each_peer_has_a_lane_for_either_way() -> None:
    run = seen_run(
        "x", [dataclasses.replace(one, at="a" if "a" in (one.sender, one.receiver) else "b") for one in LIFE]
    )
    assert run.outside
    assert own_run("x", [dataclasses.replace(one, at="a") for one in LIFE]) is None
    assert [[step.position for step in lane.steps] for lane in run.lanes] == [[1, 7], [2, 4, 6], [3, 5], [8]]
    assert run.into == {"W1": 1, "C1": 3}


def test_a_result_that_says_something_else_is_another() -> None:
    words = {
        own_run("x", [came("w", TaskResult(T, TaskResultType.SUCCESS, results=results))]).lanes[0].steps[0].said  # type: ignore[union-attr]
        for results in ((), (b"1",), (b"2",))
    }
    assert len(words) == 3


def test_what_the_model_leaves_out_is_counted_by_kind() -> None:
    run = own_run(
        "x",
        [
            *LIFE,
            came("a", None, "cut off"),
            came("b", TaskLog(T)),
            went("a", TaskLog(T)),
            came("a", ObjectInstruction()),
            came("b", TaskCancelConfirm(T, 9)),
        ],
    )
    assert run is not None
    assert run.length == len(LIFE)
    assert run.skipped == {
        "frames that are no message (M1, M3)": 1,
        "logs (S8.4)": 2,
        "bookkeeping of payloads": 1,
        "confirms of an unknown type (M6)": 1,
    }


def test_a_confirm_of_an_unknown_type_that_is_forwarded_is_not_left_out() -> None:
    run = own_run("x", [*LIFE, went("a", TaskCancelConfirm(T, 9))])
    assert run is not None
    assert said(run)[-1] == ("to", "C1", ("TaskCancelConfirm", "t1", "type 9"))


def test_only_heartbeats_that_repeat_the_last_are_taken_as_one() -> None:
    beat, echo = [came("b", WorkerHeartbeat(queue_size=3)), went("b", WorkerHeartbeatEcho())], went
    other = [came("a", ClientHeartbeat()), echo("a", ClientHeartbeatEcho())]
    larger = [came("b", WorkerHeartbeat(queue_size=4)), went("b", WorkerHeartbeatEcho())]
    run = own_run("x", [*beat, *other, *beat, *larger, *larger, *other, came("a", Task(T)), *beat])
    assert run is not None
    assert [step.position for step in run.lanes[0].steps] == [1, 2, 3, 4, 7, 8, 13, 14, 15]
    assert run.repeated == 6
    lost = TraceEvent(0.0, "scheduler", "peer lost", {"peer": "b"})
    run = own_run("x", [*beat, lost, *beat])
    assert run is not None
    assert run.repeated == 0


def test_a_case_ends_at_a_frame_that_is_no_message() -> None:
    trace = entries([*LIFE, came("a", None, "a frame of 3 bytes"), went("a", ClientHeartbeatEcho())])
    run = case_run("x", trace, at_rest=True)
    assert (run.length, run.cut) == (len(LIFE), "C1 sends a frame of 3 bytes")
    assert all(lane.open for lane in run.lanes)


def test_a_silent_peer_may_be_lost_and_a_stopped_scheduler_close() -> None:
    notes = [Entry(0, "W1", "W1", None, SILENT), Entry(0, "S", "S", None, STOPPED)]
    run = case_run("x", [*entries(LIFE), *notes], at_rest=True)
    events = [
        ("event", "W1", ("peer lost",)),
        ("event", "nobody", ("close requested",)),
        ("event", "nobody", ("grace over",)),
    ]
    assert [one for one in said(run) if one[0] == "event"] == events
    assert all(lane.open for lane in run.lanes)


def test_what_is_sent_after_a_connection_dropped_need_not_be_seen() -> None:
    trace = entries(LIFE)
    trace.insert(5, Entry(0, "W1", "W1", None, DROPPED))
    run = case_run("x", trace, at_rest=True)
    assert ("to", "W1", ("TaskCancel", "t1", "cancel, force")) not in said(run)
    assert ("to", "W1", ("Task", "t1")) in said(run)


def test_at_rest_only_those_who_were_fenced_last_have_got_everything() -> None:
    fences = [
        Entry(0, "C1", "S", ClientHeartbeat(), fence=True),
        Entry(0, "S", "C1", ClientHeartbeatEcho(), fence=True),
    ]
    run = case_run("x", [*entries(LIFE), *fences], at_rest=True)
    assert [run.lanes[run.into[peer]].open for peer in ("C1", "W1")] == [False, True]
    assert all(lane.open for lane in case_run("x", [*entries(LIFE), *fences], at_rest=False).lanes)


def test_limits_of_losses_that_make_no_difference_are_not_tried() -> None:
    run = case_run("x", [*entries(LIFE), Entry(0, "W1", "W1", None, SILENT)], at_rest=False)
    run.allow_any_limit_of_losses()
    assert run.losses == {1, 2}


# Which requirement is broken


def test_each_row_of_the_table_and_each_action_is_known() -> None:
    of_nodes = {(state, event) for _, state, event in OF_NODES}
    assert set(ROW_RULES) == {(str(state), str(event)) for state, event in TRANSITIONS} - of_nodes
    assert set(ROW_RULES.values()) <= set(load_requirements())
    named = set(re.findall(r'Step\(.*"(\w+)"\)', MODULE))
    assert {"dispatch", "rebalance", "echo"} == named <= set(ACTIONS)


def view(state: str = "new", **peers: str) -> View:
    task = TaskView(state, "C1", "W1" if state not in ("new", "queued", "ended") else "nobody")
    return View({"t1": task}, {"C1": "served", "C2": "served", "W1": "served", **peers}, frozenset(), "open")


@pytest.mark.parametrize(
    ("sent", "receiver", "known", "requirement"),
    [
        (("Task", "t1"), "W1", view("queued"), "S8.2"),
        (("Task", "t1"), "W2", view("dispatched"), "S8.2"),
        (("Task", "t1"), "W2", view("canceling"), "S7.8"),
        (("Task", "t1"), "W1", view("queued", W1="lost"), "S9.6"),
        (("Task", "t1"), "W1", view("ended"), "S1.2"),
        (("TaskCancel", "t1", "cancel"), "W1", view("rebalancing"), "S7.7"),
        (("TaskCancel", "t1", "cancel"), "W1", view("canceling"), "S6.1"),
        (("TaskCancel", "t1", "cancel, force"), "W1", view("dispatched"), "S7.1"),
        (("TaskCancel", "t1", "cancel"), "W2", view("dispatched"), "S4.1"),
        (("TaskCancel", "t1", "cancel"), "W1", view("queued"), "S3.1"),
        (("TaskCancelConfirm", "t1", "canceled"), "C1", view("canceling"), "S4.4"),
        (("TaskCancelConfirm", "t1", "cancelFailed"), "C1", view("escalated"), "S6.3"),
        (("TaskCancelConfirm", "t1", "cancelFailed"), "C1", view("rebalancing"), "S7.2"),
        (("TaskCancelConfirm", "t1", "canceled"), "C2", view("canceling"), "S2.4"),
        (("TaskResult", "t1", "success"), "C1", view("ended"), "S1.1"),
        (("TaskResult", "t1", "success"), "C1", view("dispatched"), "S8.1"),
        (("TaskResult", "t1", "success"), "C1", view("abandoned", C1="lost"), "S9.7"),
        (("WorkerHeartbeatEcho",), "W1", view(W1="lost"), "S9.6"),
        (("WorkerHeartbeatEcho",), "C1", view(), "S11.3"),
        (("ClientHeartbeatEcho",), "C1", view(), "S10.1"),
        (("ClientDisconnect", "disconnect"), "W1", view(), "S9.6"),
        (("ClientShutdownResponse", "accepted"), "C1", view(), "S11.6"),
    ],
)
def test_what_cannot_be_explained_breaks(sent: tuple[str, ...], receiver: str, known: View, requirement: str) -> None:
    assert rule_of_unexplained(sent, receiver, known) == requirement
    assert requirement in load_requirements()


@pytest.mark.parametrize(
    ("cause", "sender", "missing", "event", "known", "requirement"),
    [
        (("TaskCancelConfirm", "t1", "cancelFailed"), "W1", "cancelFailed", "cancelFailed", view("canceling"), "S4.2"),
        (("TaskResult", "t1", "type 7"), "W1", "canceled", "result", view("canceling"), "M6"),
        (("TaskCancel", "t1", "cancel"), "C2", "cancelNotFound", "", view("canceling"), "S2.2"),
        (("TaskCancel", "t1", "cancel"), "C1", "cancelNotFound", "", view("ended"), "S2.1"),
        (("TaskCancel", "t1", "cancel"), "C1", "cancelNotFound", "", view("ended", C1="lost"), "S9.8"),
        (("Task", "t1"), "C2", "cancelNotFound", "", view("canceling"), "S1.3"),
        (("peer lost",), "C1", "cancelNotFound", "owner lost", view("queued"), "S9.11"),
    ],
)
def test_what_is_missing_breaks(
    cause: tuple[str, ...], sender: str, missing: str, event: str, known: View, requirement: str
) -> None:
    assert rule_of_missing(cause, sender, ("TaskCancelConfirm", "t1", missing), event, known) == requirement
