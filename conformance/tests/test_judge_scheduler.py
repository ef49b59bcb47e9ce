"""The judge of schedulers is judged: by the table and the races of SPEC.md, by random lives of the reference and of a
lazier scheduler, which it must not accuse, and by faults made on purpose, which it must find.

`JUDGE_WALKS` says how many lives there are of each kind (default 1500).
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from judge_scheduler_faults import FAULTS, Late, SchedulerFault
from judge_scheduler_walks import IDS, NAMES, PEERS, GraphWalk, LazyGraphWalk, LazyWalk, SchedulerWalk
from judge_traces import Trace, load_traces
from judge_walks import Pick, words

from rescind import scheduler_machine as scheduler
from rescind.messages import (
    ClientDisconnect,
    ClientHeartbeat,
    ClientHeartbeatEcho,
    DisconnectType,
    Message,
    Task,
    TaskCancel,
    TaskResult,
    TaskResultType,
    WorkerHeartbeat,
    WorkerHeartbeatEcho,
)
from rescind.scheduler_table import TRANSITIONS, TaskInput, TaskState, Transition
from rescind.scheduler_tasks import TaskRecord
from rescind_conformance.explorer.scheduler_party import Silence
from rescind_conformance.judge.records import SCHEDULER, EventKind, EventRecord, MessageRecord, Violation
from rescind_conformance.judge.scheduler import SchedulerJudge
from rescind_conformance.requirements import specification_path

TRACES = Path(__file__).parent / "traces"
WALKS = int(os.environ.get("JUDGE_WALKS", "1500"))


# --- the table and the races of SPEC.md


def rows_of(heading: str) -> set[str]:
    """The first two cells of each row of the table below a heading."""
    text = specification_path().read_text(encoding="utf-8")
    table = text[text.index(f"{heading}\n") :].split("\n| ", 1)[1].split("\n\n", 1)[0]
    rows = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in table.splitlines()[2:]]
    return {f"{row[0]} / {row[1]}" for row in rows}


def named_in(path: Path, kind: str) -> dict[str, Trace]:
    """What the comments of a file name, and the trace that they stand in."""
    found = {}
    traces = load_traces(path)
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if match := re.fullmatch(rf"# {kind}: (.*)", line):
            found[match[1]] = [trace for trace in traces if trace.number < number][-1]
    return found


TABLE = named_in(TRACES / "scheduler-table.txt", "row")
RACES = named_in(TRACES / "scheduler-races.txt", "race")


def test_each_row_of_the_table_is_in_a_valid_trace() -> None:
    assert set(TABLE) == rows_of("### The scheduler's table")


def test_each_race_is_in_a_valid_trace() -> None:
    """Those of two lives of a scheduler are in `test_check`: each judge has one life before it."""
    of_two_lives = ("death of S / ", "S is started anew / ")
    assert set(RACES) == {row for row in rows_of("## 8. Every race") if not row.startswith(of_two_lives)}


class Watched(scheduler.SchedulerMachine):
    """The reference; it notes which rows of the table it takes, and moves tasks when it is told to."""

    def __init__(self, settings: scheduler.SchedulerSettings) -> None:
        super().__init__(settings)
        self.rows: set[tuple[TaskState, TaskInput]] = set()

    def _apply(self, task: TaskRecord, given: TaskInput, frame: bytes | None = None) -> None:
        self.rows.add((task.state, given))
        super()._apply(task, given, frame)

    def move(self, task_id: bytes) -> list[scheduler.Instruction]:
        self._out = []
        self._apply(self._tasks[task_id], TaskInput.REBALANCE)
        return self._out


def replay(trace: Trace) -> Watched:
    """Have the reference live through a trace: it must send what is sent in it, in each of its steps."""
    sent = [line.record for line in trace.lines if isinstance(line.record, MessageRecord)]
    died = TaskResultType.FAILED_WORKER_DIED
    gives_up = any(isinstance(one.message, TaskResult) and one.message.result_type == died for one in sent)
    machine = Watched(scheduler.SchedulerSettings(max_attempts=1 if gives_up else 3))
    expected: list[tuple[str, Message | None]] = []
    frames: dict[bytes, Message] = {}

    def takes(instructions: list[scheduler.Instruction]) -> None:
        for one in instructions:
            if isinstance(one, scheduler.Send):
                expected.append((one.to.decode(), one.message))
            elif isinstance(one, scheduler.Forward):
                expected.append((one.to.decode(), frames[one.frame]))

    for line in trace.lines:
        record = line.record
        if isinstance(record, EventRecord):
            event = (
                scheduler.CloseRequested() if record.event == EventKind.CLOSE_REQUESTED else scheduler.CloseExpired()
            )
            takes(machine.handle(event))
        elif isinstance(record, MessageRecord) and record.receiver == SCHEDULER:
            assert record.message is not None
            assert expected == [], f"{trace.name}: the reference also sends {expected}, before line {line.number}"
            frame = str(len(frames)).encode()
            frames[frame] = record.message
            takes(machine.handle(scheduler.Received(record.sender.encode(), record.message, frame, 0.0)))
        elif isinstance(record, MessageRecord):
            if not expected and isinstance(record.message, TaskCancel):
                takes(machine.move(record.message.task_id))
            assert (record.receiver, record.message) in expected, f"{trace.name}: line {line.number}, not {expected}"
            expected.remove((record.receiver, record.message))
    assert expected == []
    return machine


@pytest.mark.parametrize("row", TABLE)
def test_the_reference_takes_that_row_in_that_trace(row: str) -> None:
    state, given = row.split(" / ")
    assert (TaskState(state), TaskInput(given)) in replay(TABLE[row]).rows


# --- random lives


Found = tuple[Violation, str]


def live(walk: SchedulerWalk, steps: int) -> Found | None:
    """Have the judge follow a life: the first violation, and what had happened by then."""
    judge = SchedulerJudge(NAMES)
    read = 0
    for step in range(steps + 1):
        walk.step() if step < steps else walk.finish()
        for record in walk.records[read:]:
            read += 1
            if found := judge.read(record):
                return found[0], words(walk.records[:read], NAMES)
        if walk.at_rest and (found := judge.rest()):
            return found[0], words(walk.records, NAMES) + "\n(at rest)"
    return None


@pytest.mark.parametrize(
    "make", [SchedulerWalk, LazyWalk, GraphWalk, LazyGraphWalk], ids=["reference", "lazy", "graphs", "lazy-graphs"]
)
def test_lawful_schedulers_are_not_accused(make: Callable[[Pick], SchedulerWalk]) -> None:
    for seed in range(WALKS):
        found = live(make(random.Random(seed).choice), 20 + seed % 70)
        assert found is None, f"walk {seed}: {found[0]}\n{found[1]}"


def test_the_walks_go_everywhere() -> None:
    rows: set[tuple[TaskState, TaskInput]] = set()
    events: set[EventKind] = set()
    kinds: set[type] = set()

    class Walked(GraphWalk):
        def _make_machine(self, settings: scheduler.SchedulerSettings) -> scheduler.SchedulerMachine:
            return Watched(settings)

    for seed in range(800):
        walk = Walked(random.Random(seed).choice)
        for _ in range(60):
            walk.step()
        assert isinstance(walk.machine, Watched)
        rows |= walk.machine.rows
        events |= {record.event for record in walk.records if isinstance(record, EventRecord)}
        kinds |= {type(record.message) for record in walk.records if isinstance(record, MessageRecord)}
    rare = {(TaskState.QUEUED, TaskInput.SKIP)}  # it is in a trace
    assert rows >= set(TRANSITIONS) - rare
    assert events == {EventKind.PEER_LOST, EventKind.CLOSE_REQUESTED, EventKind.GRACE_OVER}
    assert len(kinds) == len(Message.__args__) + 1  # and what has no meaning


def test_each_peer_is_lost_alone() -> None:
    moments = [1.0 + number for number in range(len(PEERS))]
    for lost in moments:
        assert [moment for moment in moments if Silence(lost) - moment > 60.0] == [lost]


# --- faults made on purpose

MOST_WALKS = 2000


@contextmanager
def at_fault(fault: SchedulerFault) -> Iterator[Callable[[Pick], SchedulerWalk]]:
    """How to make walks with this fault."""
    kept = {row: TRANSITIONS.get(row) for row in fault.rows}

    class Faulty(fault.walk):  # type: ignore[name-defined,misc]
        def _make_machine(self, settings: scheduler.SchedulerSettings) -> scheduler.SchedulerMachine:
            return fault.machine(settings)

    try:
        for row, (state, action) in fault.rows.items():
            TRANSITIONS[row] = Transition(state, action)
        yield lambda pick: Faulty(pick, fault.fault)
    finally:
        for row, transition in kept.items():
            if transition is None:
                del TRANSITIONS[row]
            else:
                TRANSITIONS[row] = transition


@pytest.mark.parametrize("name", FAULTS)
def test_faults_are_found(name: str) -> None:
    """By the requirement that the fault is about, in some walk; and first by none that it cannot break."""
    fault = FAULTS[name]
    expected = fault.expected.split()
    with at_fault(fault) as make:
        for seed in range(MOST_WALKS):
            found = live(make(random.Random(seed).choice), 50)
            if found is None:
                continue
            assert found[0].requirement in expected, f"walk {seed}: {found[0]}\n{found[1]}"
            if found[0].requirement == expected[0]:
                return
    pytest.fail(f"{MOST_WALKS} walks have not shown {expected[0]} first")


def test_what_an_echo_overtakes_is_missing_first_and_then_late() -> None:
    """The first violation is that something is missing at an echo; what comes all the same breaks S10.2."""
    first: set[str] = set()
    later: set[str] = set()
    for seed in range(300):
        walk = Late(random.Random(seed).choice)
        for _ in range(30):
            walk.step()
        walk.finish()
        judge = SchedulerJudge(NAMES)
        found = [one.requirement for record in walk.records for one in judge.read(record)]
        first.update(found[:1])
        later.update(found[1:])
    assert "S10.2" not in first
    assert "S10.2" in later


# --- what only many peers show


def lose_workers(count: int) -> SchedulerJudge:
    """A judge of a scheduler that has lost so many workers: W0, W1..."""
    judge = SchedulerJudge()
    for number in range(count):
        name = f"W{number}"
        for record in heartbeat(name, WorkerHeartbeatEcho()):
            assert judge.read(record) == []
        assert judge.read(EventRecord(SCHEDULER, EventKind.PEER_LOST, peer=name)) == []
    return judge


def heartbeat(worker: str, answer: Message) -> list[MessageRecord]:
    return [
        MessageRecord(SCHEDULER, worker, SCHEDULER, WorkerHeartbeat(queue_size=1)),
        MessageRecord(SCHEDULER, SCHEDULER, worker, answer),
    ]


def test_a_thousand_lost_workers_are_remembered() -> None:
    judge = lose_workers(1001)
    disconnect, echo = ClientDisconnect(DisconnectType.DISCONNECT), WorkerHeartbeatEcho()
    for worker, answer in (("W0", echo), ("W1", disconnect), ("W1000", disconnect)):
        for record in heartbeat(worker, answer):
            assert judge.read(record) == []
    assert [one.requirement for record in heartbeat("W2", echo) for one in judge.read(record)] == ["S9.6"]


def test_what_is_forgotten_may_be_remembered() -> None:
    judge = lose_workers(1001)
    for record in heartbeat("W0", ClientDisconnect(DisconnectType.DISCONNECT)):
        assert judge.read(record) == []
    assert judge.rest() == []


@pytest.mark.parametrize(("given", "broken"), [(999, ["S9.9"]), (1000, [])])
def test_whether_a_worker_is_given_more_than_a_thousand_tasks_is_free(given: int, broken: list[str]) -> None:
    judge = SchedulerJudge()
    beat, echo = WorkerHeartbeat(queue_size=5000), WorkerHeartbeatEcho()
    read = [MessageRecord(SCHEDULER, "W", SCHEDULER, beat), MessageRecord(SCHEDULER, SCHEDULER, "W", echo)]
    for number in range(given + 1):
        task = Task(b"%d" % number)
        read.append(MessageRecord(SCHEDULER, "C", SCHEDULER, task))
        if number < given:
            read.append(MessageRecord(SCHEDULER, SCHEDULER, "W", task))
    read.append(MessageRecord(SCHEDULER, "C", SCHEDULER, ClientHeartbeat()))
    read.append(MessageRecord(SCHEDULER, SCHEDULER, "C", ClientHeartbeatEcho()))
    assert [violation.requirement for record in read for violation in judge.read(record)] == broken


def test_all_faults_are_about_something() -> None:
    assert len(FAULTS) >= 25
    assert set(IDS) == set(NAMES)
