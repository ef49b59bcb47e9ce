"""The judge is judged: by traces written by hand (`judge_traces` says how to write them), by random lives of the
reference, which it must not accuse, and by faults made on purpose, which it must find.
"""

from __future__ import annotations

import contextlib
import copy
import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judge_faults import CLIENT_FAULTS, WORKER_FAULTS, WalkMaker
from judge_graph_walks import GRAPH_FAULTS, GraphWalk, WholesaleWalk
from judge_traces import Trace, TraceError, load_traces, play
from judge_walks import NAMES, ClientWalk, Decided, Walk, WorkerWalk, words

from rescind_conformance.judge import client, scheduler, worker
from rescind_conformance.judge.client import CLIENT_EVENTS, ClientJudge
from rescind_conformance.judge.peer import PeerJudge
from rescind_conformance.judge.records import EventKind, EventRecord, MessageRecord, PartyJudge, Record, Violation
from rescind_conformance.judge.scheduler import SchedulerJudge
from rescind_conformance.judge.worker import WORKER_EVENTS, WorkerJudge
from rescind_conformance.requirements import load_requirements

TRACES = Path(__file__).parent / "traces"
ALL_TRACES = [trace for path in sorted(TRACES.glob("*.txt")) for trace in load_traces(path)]


# --- traces written by hand


def judge_of(trace: Trace) -> PartyJudge:
    if trace.party == "S":
        return SchedulerJudge(trace.tasks)
    if trace.party.startswith("C"):
        events = CLIENT_EVENTS if trace.events is None else trace.events
        return ClientJudge(events, trace.tasks, introduced=not trace.whole)
    events = WORKER_EVENTS if trace.events is None else trace.events
    return WorkerJudge(events, trace.tasks, introduced=not trace.whole)


@pytest.mark.parametrize("trace", ALL_TRACES, ids=lambda trace: trace.name)
def test_trace(trace: Trace) -> None:
    play(trace, judge_of(trace))


def about(trace: Trace) -> str:
    """The requirement of a trace's file, "" if it is not about one."""
    name = trace.path.stem.removesuffix(".scheduler")
    return name if name in load_requirements() else ""


@pytest.mark.parametrize(
    ("parties", "kinds", "not_judged"),
    [
        ("C", "C", client.NOT_JUDGED),
        ("W", "W", worker.NOT_JUDGED),
        ("S", "STM", scheduler.NOT_JUDGED),
    ],
    ids=["client", "worker", "scheduler"],
)
def test_each_requirement_has_traces(parties: str, kinds: str, not_judged: Mapping[str, str]) -> None:
    """`kinds`: the first letters of the requirements of which a party's judge has to say whether it judges them."""
    by_requirement: dict[str, list[Trace]] = defaultdict(list)
    for trace in ALL_TRACES:
        if trace.party[0] in parties:
            by_requirement[about(trace)].append(trace)
    for requirement in load_requirements():
        if requirement[0] not in kinds or requirement in not_judged:
            continue
        broken = sum(trace.breaks == requirement for trace in by_requirement[requirement])
        valid = sum(not trace.breaks for trace in by_requirement[requirement])
        assert min(valid, broken) >= 1, f"{requirement}: {valid} valid traces, {broken} broken ones"
        assert valid + broken >= 3, f"{requirement}: only {valid + broken} traces"


@pytest.mark.parametrize(
    ("parties", "not_judged"),
    [("C", client.NOT_JUDGED), ("W", worker.NOT_JUDGED), ("S", scheduler.NOT_JUDGED)],
    ids=["client", "worker", "scheduler"],
)
def test_what_is_not_judged_is_broken_by_no_trace(parties: str, not_judged: Mapping[str, str]) -> None:
    assert not set(not_judged) & {trace.breaks for trace in ALL_TRACES if trace.party[0] in parties}
    assert set(not_judged) <= set(load_requirements())


def test_a_trace_breaks_the_requirement_of_its_file() -> None:
    assert [trace.name for trace in ALL_TRACES if trace.breaks not in ("", about(trace))] == []


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("== valid: x\n", "line 1: expected a line 'party: NAME'"),
        ("party: W1\nW1  started T1\n", "line 2: expected a line '== valid"),
        ("party: W1\n== broken: x\n", "line 2: expected '== valid"),
        ("party: W1\n== valid: x\nW1 -> S  TaskCancle T1\n", "line 3: expected one of Task,"),
        ("party: W1\n== valid: x\nW1 -> S  TaskResult T1 won\n", "line 3: expected one of success,"),
        ("party: W1\n== valid: x\nW1 -> S  TaskCancel task1\n", "line 3: expected the name of a task"),
        ("party: W1\n== valid: x\nS -> W2  Task T1\n", "line 3: expected a message that W1"),
        ("party: W1\n== valid: x\nW1  begins T1\n", "line 3: expected an event"),
        ("party: W1\n== valid: x\nevents: begun\n", "line 3: 'begun' is not a valid EventKind"),
        ("party: W1\n== valid: x\nS -> W1  Task T1  !\n", "line 2: a valid trace has no !"),
        ("party: W1\n== breaks W1.1: x\nS -> W1  Task T1\n", "line 2: one ! is needed"),
        ("party: W1\n== breaks W1.1: x\nS -> W1  Task T1  ! W1.2\n", "line 2: one ! is needed"),
        ("party: W1\n== valid: x\nS -> W1  Task T1  ! W1.2\n", "line 3: expected no requirement behind !"),
    ],
)
def test_a_trace_that_cannot_be_read_names_its_line(text: str, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "W9.txt"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(TraceError) as caught:
        load_traces(path)
    assert str(caught.value).startswith(f"W9.txt, {complaint}")


class _Silent:
    def read(self, record: Record) -> list[Violation]:
        return []

    def rest(self) -> list[Violation]:
        return []


def test_a_judge_that_finds_nothing_passes_only_what_is_valid() -> None:
    for trace in ALL_TRACES:
        if trace.breaks:
            with pytest.raises(AssertionError, match=trace.breaks):
                play(trace, _Silent())
        else:
            play(trace, _Silent())


# --- what a judge is made of


def assert_plain(value: object) -> None:
    """Only what compares by its structure and copies well."""
    if isinstance(value, dict):
        for each in (*value.keys(), *value.values()):
            assert_plain(each)
    elif isinstance(value, list | tuple):
        for each in value:
            assert_plain(each)
    elif is_dataclass(value):
        for each in fields(value):
            assert_plain(getattr(value, each.name))
    else:
        assert isinstance(value, bytes | str | int | bool | Enum | None), value


@pytest.mark.parametrize("trace", ALL_TRACES, ids=lambda trace: trace.name)
def test_a_copy_judges_alike(trace: Trace) -> None:
    judge = judge_of(trace)
    for line in trace.lines:
        other = copy.deepcopy(judge)
        assert_plain(vars(judge))
        for one in (judge, other):
            one.rest() if line.record is None else one.read(line.record)
        assert vars(judge) == vars(other)


def after(text: str, tmp_path: Path) -> dict[str, object]:
    """What a judge knows after a trace."""
    path = tmp_path / "W1.1.txt"
    path.write_text(text, encoding="utf-8")
    (trace,) = load_traces(path)
    judge = judge_of(trace)
    play(trace, judge)
    return {name: value for name, value in vars(judge).items() if name != "_names"}


def test_a_judge_forgets_what_can_no_longer_matter(tmp_path: Path) -> None:
    settled = "C1 -> S  Task T1\nS -> C1  TaskCancelConfirm T1 canceled\nC1  settled T1 cancelled\n"
    asked = """
        C1 -> S  Task T1
        C1  calls cancel T1 #5
        C1 -> S  TaskCancel T1
        S -> C1  TaskCancelConfirm T1 cancelFailed
        C1  cancel T1 #5 returns False
        C1  calls cancel T1 force #6
        C1 -> S  TaskCancel T1 force
        S -> C1  TaskResult T1 success
        C1  released T1
        C1  settled T1 cancelled
        C1  cancel T1 #6 returns True
        S -> C1  ClientHeartbeatEcho
        """
    short, long = (f"party: C1\n== valid: x\n{text.replace('        ', '')}" for text in (settled, asked))
    assert after(short, tmp_path) == after(long, tmp_path)
    run = "S -> W1  Task T1\nW1  started T1\nW1  finished T1\nW1 -> S  TaskResult T1 success\n"
    refused = run.replace("W1  fin", "S -> W1  TaskCancel T1\nW1 -> S  TaskCancelConfirm T1 cancelFailed\nW1  fin")
    assert after(f"party: W1\n== valid: x\n{run}", tmp_path) == after(f"party: W1\n== valid: x\n{refused}", tmp_path)


# --- random lives of the reference

WORKER_ALL = (*WORKER_EVENTS, EventKind.RESULT_RELEASED)
STEPS = 40


def first_violation(judge: PeerJudge, records: Sequence[Record]) -> tuple[Violation, Sequence[Record]] | None:
    """And what had been read by then."""
    for number, record in enumerate(records, start=1):
        if found := judge.read(record):
            return found[0], records[:number]
    return (found[0], records) if (found := judge.rest()) else None


def visible(record: Record, events: Sequence[EventKind]) -> bool:
    return isinstance(record, MessageRecord) or record.event in events


def live(walk: Walk[Decided], judge: PeerJudge, events: Sequence[EventKind]) -> None:
    """Have the judge follow a life, of which only these events are seen, and accuse it of nothing."""
    read = 0
    for step in range(STEPS + 1):
        walk.step() if step < STEPS else walk.finish()
        seen = [record for record in walk.records if visible(record, events)]
        for record in seen[read:]:
            read += 1
            assert judge.read(record) == [], words(seen[:read])
        if walk.at_rest:
            assert judge.rest() == [], words(seen)
    assert_plain(vars(judge))


@settings(max_examples=60, deadline=None)
@given(st.data())
@pytest.mark.parametrize("partly", [False, True], ids=["all events", "some events"])
@pytest.mark.parametrize(
    ("make_walk", "make_judge", "kinds"),
    [
        (WorkerWalk, WorkerJudge, WORKER_ALL),
        (ClientWalk, ClientJudge, CLIENT_EVENTS),
        (GraphWalk, ClientJudge, CLIENT_EVENTS),
        (WholesaleWalk, ClientJudge, CLIENT_EVENTS),
    ],
    ids=["worker", "client", "graph", "wholesale"],
)
def test_the_reference_is_not_accused(
    make_walk: WalkMaker,
    make_judge: Callable[..., PeerJudge],
    kinds: tuple[EventKind, ...],
    partly: bool,
    data: st.DataObject,
) -> None:
    def pick(options: Sequence[Any]) -> Any:
        return options[data.draw(st.integers(0, len(options) - 1))]

    events = tuple(data.draw(st.sets(st.sampled_from(kinds)))) if partly else kinds
    live(make_walk(pick), make_judge(events, NAMES, introduced=True), events)


# --- faults made on purpose

MOST_WALKS = 3000


def find(make: WalkMaker, make_judge: Callable[[], PeerJudge], expected: Sequence[str]) -> None:
    """Live with a fault until the requirement that it is about is the first that is seen to be broken."""
    for seed in range(MOST_WALKS):
        walk = make(random.Random(seed).choice)
        with contextlib.suppress(KeyError):  # it trips over its own fault
            for _ in range(STEPS):
                walk.step()
            walk.finish()
        found = first_violation(make_judge(), walk.records)
        if found is not None:
            violation, records = found
            assert violation.requirement in expected, f"{violation}\n{words(records)}"
            if violation.requirement == expected[0]:
                return
    pytest.fail(f"{MOST_WALKS} walks have not shown {expected[0]} first")


@pytest.mark.parametrize("name", WORKER_FAULTS)
def test_faults_of_a_worker_are_found(name: str) -> None:
    fault, expected = WORKER_FAULTS[name]
    find(partial(WorkerWalk, fault=fault), lambda: WorkerJudge(WORKER_ALL, NAMES, introduced=True), expected.split())


@pytest.mark.parametrize("name", [*CLIENT_FAULTS, *GRAPH_FAULTS])
def test_faults_of_a_client_are_found(name: str) -> None:
    make, expected = {**CLIENT_FAULTS, **GRAPH_FAULTS}[name]
    find(make, lambda: ClientJudge(CLIENT_EVENTS, NAMES, introduced=True), expected.split())


def test_the_walks_go_everywhere() -> None:
    """Each kind of event and of message is in some walk: faults of any of them would be seen."""
    for make, kinds in ((WorkerWalk, WORKER_ALL), (ClientWalk, CLIENT_EVENTS)):
        seen: set[object] = set()
        for seed in range(100):
            walk = make(random.Random(seed).choice)
            for _ in range(STEPS):
                walk.step()
            seen |= {record.event for record in walk.records if isinstance(record, EventRecord)}
        assert seen == set(kinds) - {EventKind.DRAIN_REQUESTED}, "that is in traces written by hand"
