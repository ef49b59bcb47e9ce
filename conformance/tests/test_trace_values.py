"""Reading recorded runs: what is left out, what is in which order, and which requirement a record breaks."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from recorded_lives import CLOSED, LIFE, T, came, entries, went

from rescind.messages import (
    Argument,
    ArgumentType,
    Capability,
    ClientDisconnect,
    ClientHeartbeat,
    ClientHeartbeatEcho,
    DisconnectType,
    ObjectInstruction,
    ObjectStorageAddress,
    Task,
    TaskCancelConfirm,
    TaskLog,
    TaskResult,
    TaskResultType,
    WorkerDisconnectNotification,
    WorkerHeartbeat,
    WorkerHeartbeatEcho,
)
from rescind.scheduler_table import TRANSITIONS
from rescind.trace import TraceEvent, TraceRecord
from rescind_conformance.audit import DROPPED, EXITED, SILENT, STOPPED
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
from rescind_conformance.model.trace_values import OTHER_ADDRESS, case_run, own_run, seen_run
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
        ("from", "C1", ("Task", "t1", "")),
        ("to", "W1", ("Task", "t1", "")),
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
    run = seen_run("x", [replace(one, at="a" if "a" in (one.sender, one.receiver) else "b") for one in LIFE])
    assert run.outside
    assert own_run("x", [replace(one, at="a") for one in LIFE]) is None
    assert [[step.position for step in lane.steps] for lane in run.lanes] == [[1, 7], [2, 4, 6], [3, 5], [8]]
    assert run.into == {"W1": 1, "C1": 3}


def test_a_result_that_says_something_else_is_another() -> None:
    words = {
        own_run("x", [came("w", TaskResult(T, TaskResultType.SUCCESS, results=results))]).lanes[0].steps[0].said  # type: ignore[union-attr]
        for results in ((), (b"1",), (b"2",))
    }
    assert len(words) == 3


def task_words(task: Task) -> str:
    run = own_run("x", [came("a", task)])
    assert run is not None
    return str(run.lanes[0].steps[0].said[2])


def test_a_task_that_says_something_else_is_another() -> None:
    tasks = [
        Task(T),
        Task(T, source=b"1"),
        Task(T, metadata=b"1"),
        Task(T, func_object_id=b"1"),
        Task(T, function_args=(Argument(ArgumentType.OBJECT_ID, b"1"),)),
        Task(T, function_args=(Argument(ArgumentType.TASK, b"1"),)),
        Task(T, function_args=(Argument(ArgumentType.OBJECT_ID, b"1"), Argument(ArgumentType.OBJECT_ID, b"2"))),
        Task(T, function_args=(Argument(ArgumentType.OBJECT_ID, b"2"), Argument(ArgumentType.OBJECT_ID, b"1"))),
        Task(T, function_args=(Argument(9, b"1"),)),
        Task(T, capabilities=(Capability("gpu", 1),)),
        Task(T, capabilities=(Capability("gpu", 2),)),
    ]
    words = [task_words(task) for task in tasks]
    assert len(set(words)) == len(tasks)
    assert words[0] == ""
    assert words[8].startswith(" type 9 ")  # M6
    as_read = Task(T, function_args=(Argument(1, b"1"),))
    assert task_words(as_read) == words[4]


def test_an_echo_that_names_another_place_for_payloads_is_another() -> None:
    """It does not change while the scheduler runs, but clients and workers may have a way of their own."""
    here, there = ObjectStorageAddress("here", 1, "x"), ObjectStorageAddress("there", 1, "x")
    beat, echo = came("a", ClientHeartbeat()), went("a", ClientHeartbeatEcho(here))
    worker = [came("b", WorkerHeartbeat()), went("b", WorkerHeartbeatEcho(there))]
    run = own_run("x", [beat, echo, *worker, beat, echo, beat, went("a", ClientHeartbeatEcho(there))])
    assert run is not None
    assert [words for kind, _, words in said(run) if kind == "to"] == [
        ("ClientHeartbeatEcho",),
        ("WorkerHeartbeatEcho",),
        ("ClientHeartbeatEcho", OTHER_ADDRESS),
    ]


def test_a_trace_that_has_the_end_of_the_scheduler_is_complete() -> None:
    run, cut_off = own_run("x", [*LIFE, CLOSED]), own_run("x", LIFE)
    assert run is not None
    assert cut_off is not None
    assert (run.exits, run.lanes[0].open) == (True, False)
    assert (cut_off.exits, cut_off.lanes[0].open) == (False, True)


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
    run = case_run("x", trace)
    assert (run.length, run.cut) == (len(LIFE), "C1 sends a frame of 3 bytes")
    assert all(lane.open for lane in run.lanes)


def test_a_silent_peer_may_be_lost_and_a_stopped_scheduler_close() -> None:
    notes = [Entry(0, "W1", "W1", None, SILENT), Entry(0, "S", "S", None, STOPPED)]
    run = case_run("x", [*entries(LIFE), *notes])
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
    run = case_run("x", trace)
    assert ("to", "W1", ("TaskCancel", "t1", "cancel, force")) not in said(run)
    assert ("to", "W1", ("Task", "t1", "")) in said(run)


def test_who_hears_the_scheduler_out_has_got_everything() -> None:
    stopped, exited = (Entry(0, "S", "S", None, note) for note in (STOPPED, EXITED))
    run = case_run("x", [*entries(LIFE), stopped, exited])
    assert said(run)[-1] == ("event", "nobody", ("closed",))
    assert run.exits
    assert [run.lanes[run.into[peer]].open for peer in ("C1", "W1")] == [False, False]
    run = case_run("x", [*entries(LIFE), Entry(0, "W1", "W1", None, DROPPED), stopped, exited])
    assert [run.lanes[run.into[peer]].open for peer in ("C1", "W1")] == [False, True]
    assert not case_run("x", [*entries(LIFE), stopped]).exits


# Who has got everything, if nobody knows when the scheduler did what

CLIENT_ASKS, CLIENT_HEARS = came("a", ClientHeartbeat()), went("a", ClientHeartbeatEcho())
WORKER_ASKS, WORKER_HEARS = came("b", WorkerHeartbeat(queue_size=3)), went("b", WorkerHeartbeatEcho())
FENCES = [CLIENT_ASKS, CLIENT_HEARS, WORKER_ASKS, WORKER_HEARS]
TASK, GOOD_BYE = LIFE[2:4], came("b", WorkerDisconnectNotification())
RESULT, ITS_END = came("b", TaskResult(T)), went("a", TaskResult(T))


@pytest.mark.parametrize(
    ("records", "have_all"),
    [
        ([], "C1 W1"),
        ([CLIENT_ASKS], "C1 W1"),
        ([WORKER_ASKS, CLIENT_ASKS, CLIENT_HEARS, WORKER_HEARS], "C1 W1"),
        # What was sent to another may have been sent after the echo.
        ([CLIENT_ASKS, RESULT, ITS_END, CLIENT_HEARS], ""),
        ([CLIENT_ASKS, went("b", Task(T)), CLIENT_HEARS], ""),
        ([went("b", Task(T)), CLIENT_ASKS, CLIENT_HEARS], "C1"),
        # The first echo may be the answer to the first heartbeat only.
        ([CLIENT_ASKS, went("b", Task(T)), CLIENT_ASKS, CLIENT_HEARS], ""),
        ([CLIENT_ASKS, went("b", Task(T)), CLIENT_ASKS, CLIENT_HEARS, CLIENT_HEARS], "C1"),
        # What another has sent may have been handled after the echo, and certainly was handled.
        ([RESULT, CLIENT_ASKS, CLIENT_HEARS, WORKER_ASKS, WORKER_HEARS], "W1"),
        ([RESULT, WORKER_ASKS, CLIENT_ASKS, CLIENT_HEARS, WORKER_HEARS], "W1"),
        ([RESULT, WORKER_ASKS, WORKER_HEARS, CLIENT_ASKS, CLIENT_HEARS], "C1 W1"),
        # It may not have been handled at all.
        ([RESULT, CLIENT_ASKS, CLIENT_HEARS, WORKER_ASKS], "C1 W1"),
        ([GOOD_BYE, CLIENT_ASKS, CLIENT_HEARS], "C1 W1"),
        # One that was lost is told so in place of an echo; an unasked word is no answer.
        ([CLIENT_ASKS, went("a", ClientDisconnect())], "C1 W1"),
        ([WORKER_ASKS, went("b", ClientDisconnect(DisconnectType.SHUTDOWN))], ""),
        ([went("a", ClientDisconnect())], ""),
    ],
)
def test_a_fence_shows_that_everything_has_come(records: list[TraceRecord], have_all: str) -> None:
    run = case_run("x", entries([*TASK, *FENCES, *records]))
    assert " ".join(peer for peer in ("C1", "W1") if not run.lanes[run.into[peer]].open) == have_all


def test_limits_of_losses_that_make_no_difference_are_not_tried() -> None:
    run = case_run("x", [*entries(LIFE), Entry(0, "W1", "W1", None, SILENT)])
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
    known = {"C1": "served", "C2": "served", "W1": "served", **peers}
    return View({"t1": task}, known, frozenset(), "open", {"t1": "1"})


MANY_TASKS = replace(view("queued"), submitted=frozenset({("C1", "t1", "1"), ("C1", "t1", "2"), ("C2", "t1", "3")}))
UNKNOWN_TYPE = replace(view("queued"), content={"t1": " type 9 1"})
REFUSED_TO_CLOSE = replace(view(), has_refused_to_close=True)
REFUSED, CANCELED, NOT_FOUND = (
    ("TaskCancelConfirm", "t1", word) for word in ("cancelFailed", "canceled", "cancelNotFound")
)
ECHOED = replace(view(), owed=frozenset({"C1"}), told=(("C1", ("ClientHeartbeatEcho",)),))
HAS_JOINED = replace(view("canceling"), heard=(("C1", ("TaskCancel", "t1", "cancel")),) * 2)
SUBMITTED_TWICE = replace(view("dispatched"), heard=(("C1", ("Task", "t1", "1")),) * 2)
REFUSED_A_MOVE = replace(view("dispatched"), heard=(("W1", REFUSED),), told=(("W1", ("TaskCancel", "t1", "cancel")),))


def submitted_by(peer: str) -> View:
    return replace(view(), submitted=frozenset({(peer, "t2", "")}))


def said_by(peer: str, name: str, word: str, state: str = "dispatched") -> View:
    return replace(view(state), heard=((peer, (name, "t1", word)),))


WORKER_CANCELS = replace(view(), canceling_workers=frozenset({("W1", "t1")}))


@pytest.mark.parametrize(
    ("sent", "receiver", "known", "requirement"),
    [
        (("Task", "t1", "1"), "W1", view("queued"), "S8.2"),
        (("Task", "t1", "1"), "W2", view("dispatched"), "S8.2"),
        (("Task", "t1", "1"), "W2", view("canceling"), "S7.8"),
        (("Task", "t1", "1"), "W1", view("queued", W1="lost"), "S9.6"),
        (("Task", "t1", "1"), "W1", view("ended"), "S1.2"),
        (("Task", "t1", "2"), "W1", view("queued"), "S1.5"),
        (("Task", "t1", "2"), "W1", view("canceling"), "S7.8"),
        (("Task", "t1", "2"), "W1", UNKNOWN_TYPE, "M6"),
        (("Task", "t1", "2"), "W1", MANY_TASKS, "S1.4"),
        (("Task", "t1", "3"), "W1", MANY_TASKS, "S11.1"),
        (("Task", "t1", "4"), "W1", MANY_TASKS, "S1.5"),
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
        (("TaskCancelConfirm", "t1", "type 9"), "C1", view("forcing"), "M6"),
        (("TaskCancelConfirm", "t1", "cancelNotFound"), "W1", WORKER_CANCELS, "S11.3"),
        (("TaskCancelConfirm", "t1", "cancelNotFound"), "W1", view(), "S2.4"),
        (("ClientHeartbeatEcho", OTHER_ADDRESS), "C1", replace(view(), owed=frozenset({"C1"})), "S10.1"),
        (("ClientDisconnect", "disconnect"), "W1", view(), "S9.1"),
        (("ClientDisconnect", "disconnect"), "W1", view(W1="told"), "S9.6"),
        (("ClientDisconnect", "disconnect"), "C1", view(), "S9.1"),
        (("ClientDisconnect", "disconnect"), "C1", replace(view(), owed=frozenset({"C1"})), "S10.1"),
        (("ClientDisconnect", "disconnect"), "C1", ECHOED, "S9.1"),
        (("Task", "t2", ""), "W1", view(), "M5"),
        (("TaskCancel", "t2", "cancel"), "W1", view(), "M5"),
        (("Task", "t2", ""), "W1", submitted_by("W1"), "S11.3"),
        (("Task", "t2", ""), "W1", submitted_by("C1"), "S1.2"),
        (("Task", "t2", ""), "W1", replace(submitted_by("C1"), peers={"C1": "lost"}), "S9.8"),
        (("Task", "t1", "1"), "C1", view("queued"), "S11.3"),
        (("TaskResult", "t1", "failedWorkerDied"), "C1", view("dispatched"), "S9.3"),
        (("TaskResult", "t1", "success"), "C1", said_by("W2", "TaskResult", "success"), "S8.1"),
        (("TaskResult", "t1", "success"), "C1", said_by("C2", "TaskResult", "success"), "S11.3"),
        (REFUSED, "C1", view("canceling"), "S4.2"),
        (REFUSED, "C1", view("dispatched"), "S4.2"),
        (REFUSED, "C1", view("forcing"), "S4.2"),
        (REFUSED, "C1", said_by("W1", "TaskCancelConfirm", "cancelFailed", "forcing"), "S6.3"),
        (REFUSED, "C1", said_by("W1", "TaskCancelConfirm", "cancelFailed"), "S8.3"),
        (REFUSED, "C1", REFUSED_A_MOVE, "S7.2"),
        (REFUSED, "C1", HAS_JOINED, "S6.1"),
        (REFUSED, "C1", replace(HAS_JOINED, tasks=view("dispatched").tasks, told=(("C1", REFUSED),)), "S6.1"),
        (CANCELED, "C1", said_by("W1", "TaskCancelConfirm", "canceled"), "S8.3"),
        (CANCELED, "C1", said_by("W2", "TaskCancelConfirm", "canceled"), "S8.1"),
        (CANCELED, "C1", said_by("C2", "TaskCancelConfirm", "canceled"), "S11.3"),
        (CANCELED, "C1", said_by("W1", "TaskCancelConfirm", "canceled", "queued"), "S7.2"),
        (CANCELED, "C1", view("queued"), "S1.1"),
        (CANCELED, "C1", replace(view("queued"), has_refused_to_close=True), "S11.6"),
        (CANCELED, "C1", replace(view("queued", W1="lost"), told=(("W1", ("Task", "t1", "1")),)), "S9.3"),
        (NOT_FOUND, "C1", view("canceling"), "S4.2"),
        (NOT_FOUND, "C1", SUBMITTED_TWICE, "S1.4"),
        (NOT_FOUND, "C1", replace(SUBMITTED_TWICE, tasks=view("queued").tasks), "S1.4"),
        (("ClientDisconnect", "shutdown"), "W1", view(), "S9.10"),
        (("ClientDisconnect", "shutdown"), "W1", REFUSED_TO_CLOSE, "S11.6"),
        (("ClientDisconnect", "shutdown"), "W1", view(W1="lost"), "S9.6"),
        (("ClientDisconnect", "shutdown"), "C1", view(), "S9.1"),
        (("ClientDisconnect", "shutdown"), "C1", view(C1="lost"), "S9.8"),
        (("ClientShutdownResponse", "accepted"), "C1", view(), "S11.6"),
        (("ClientShutdownResponse", "refused"), "C1", view(C1="lost"), "S9.8"),
        (("ClientShutdownResponse", "refused"), "W1", view(), "S11.3"),
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


def test_a_shutdown_that_was_accepted_and_does_not_come_breaks_the_answer() -> None:
    told = ("ClientDisconnect", "shutdown")
    assert rule_of_missing(told, "C1", told, "", view()) == "S11.6"
    assert rule_of_missing(("close requested",), "nobody", told, "", view()) == "S9.10"
