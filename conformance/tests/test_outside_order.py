"""The order in which a trace is read first, when a party is judged from outside: one of those that are possible."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rescind.messages import (
    ClientHeartbeat,
    ClientHeartbeatEcho,
    Message,
    Task,
    TaskCancel,
    TaskResult,
    WorkerHeartbeat,
    WorkerHeartbeatEcho,
)
from rescind_conformance.judge.outside import Seen, _Search
from rescind_conformance.judge.records import SCHEDULER, MessageRecord, PartyJudge, Record, Violation

SENT: list[Message] = [ClientHeartbeat(), WorkerHeartbeat(), Task(b"T1"), TaskCancel(b"T1"), TaskResult(b"T1")]
CAME: list[Message] = [ClientHeartbeatEcho(), WorkerHeartbeatEcho(), Task(b"T1"), TaskResult(b"T1")]


class Reader:
    """A judge that notes what it reads."""

    def __init__(self) -> None:
        self.order: list[Record] = []

    def read(self, record: Record) -> list[Violation]:
        self.order.append(record)
        return []

    def rest(self) -> list[Violation]:
        return []


def seen_of(steps: Sequence[tuple[str, Message, bool]]) -> list[Seen]:
    """Each record has its index in its note."""
    seen = []
    for index, (peer, message, came) in enumerate(steps):
        sender, receiver = (SCHEDULER, peer) if came else (peer, SCHEDULER)
        record = MessageRecord(SCHEDULER, sender, receiver, message, str(index))
        seen.append(Seen(record, f"{sender} to {receiver}", came))
    return seen


def read_first(seen: Sequence[Seen]) -> list[int]:
    reader = Reader()
    judge: PartyJudge = reader
    assert _Search(seen, False)._as_fenced(judge)
    return [int(record.note) for record in reader.order if isinstance(record, MessageRecord)]


@st.composite
def traces(draw: st.DrawFn) -> list[Seen]:
    sent = st.tuples(st.sampled_from(["C1", "W1", "W2"]), st.sampled_from(SENT), st.just(False))
    came = st.tuples(st.sampled_from(["C1", "W1", "W2"]), st.sampled_from(CAME), st.just(True))
    return seen_of(draw(st.lists(st.one_of(sent, came), max_size=14)))


@given(traces())
@settings(max_examples=300, deadline=None, derandomize=True)
def test_it_is_possible(seen: list[Seen]) -> None:
    order = read_first(seen)
    assert sorted(order) == list(range(len(seen)))
    place = {index: position for position, index in enumerate(order)}
    for later, one in enumerate(seen):
        for earlier, other in enumerate(seen[:later]):
            if one.lane == other.lane or (other.came and not one.came):
                assert place[earlier] < place[later]


def test_what_a_message_causes_comes_before_the_echo_that_fences_it() -> None:
    beat, echo = WorkerHeartbeat(), WorkerHeartbeatEcho()
    seen = seen_of(
        [
            ("W1", beat, False),
            ("W1", echo, True),
            ("W1", TaskResult(b"T1"), False),
            ("W1", beat, False),
            ("W1", echo, True),
            ("C1", TaskResult(b"T1"), True),
        ]
    )
    assert read_first(seen) == [0, 1, 2, 5, 3, 4]


@pytest.mark.parametrize("second", [TaskResult(b"T1"), ClientHeartbeatEcho()])
def test_what_came_after_an_echo_to_the_same_peer_stays_behind_it(second: Message) -> None:
    seen = seen_of([("C1", TaskCancel(b"T1"), False), ("C1", ClientHeartbeatEcho(), True), ("C1", second, True)])
    assert read_first(seen) == [0, 1, 2]
