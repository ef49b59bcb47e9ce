"""The client of `rescind interop` behind an adapter: what it makes of one that says this or that."""

from __future__ import annotations

import concurrent.futures
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rescind import CancelOutcome
from rescind_conformance.adapter import AdapterFault
from rescind_conformance.interop import tasks
from rescind_conformance.interop.adapter_client import AdapterClient, AdapterFuture, PeerError
from rescind_conformance.interop.desk import NotOffered

ADAPTER = """
import json, sys
answers = {answers!r}
def say(**event):
    print(json.dumps(event), flush=True)
storage = {{"host": "", "port": 0, "scheme": "file"}}
say(event="hello", protocol=1, role="client", name="toy", version="1", features=[], storage=storage)
for line in sys.stdin:
    command = json.loads(line)
    print(line, end="", file=sys.stderr, flush=True)
    for event in answers.get(command["command"], [{{"event": "done"}}]):
        if event["event"] == "end":
            sys.exit(3)
        say(**event, **({{"id": command["id"]}} if event["event"] not in ("settled", "started") else {{}}))
"""
"""Says to each command what a test tells it."""

Answers = list[dict[str, object]]
SUBMITTED: Answers = [{"event": "done", "task_id": "aa"}]


@contextmanager
def client(tmp_path: Path, **answers: Answers) -> Iterator[AdapterClient]:
    program = tmp_path / "adapter.py"
    program.write_text(ADAPTER.format(answers={"submit": SUBMITTED, **answers}))
    storage = {"host": "/there", "port": 0, "scheme": "file"}
    made = AdapterClient([sys.executable, str(program)], tmp_path / "log", "tcp://127.0.0.1:1", storage)
    try:
        yield made
    finally:
        made.close()


def test_it_says_what_is_to_be_done(tmp_path: Path) -> None:
    with client(tmp_path, cancel=[{"event": "done", "returned": True}]) as made:
        future = made.submit(tasks.note_and_wait, "note", "go", b"abc")
        assert future.cancel(2.5, force=True) is True
    said = (tmp_path / "log").read_text()
    assert '"command": "connect", "endpoint": "tcp://127.0.0.1:1", "storage": {"host": "/there"' in said
    assert '"function": "note_and_wait", "arguments": ["note", "go", "abc"]' in said
    assert '"command": "cancel", "task": "T1", "force": true, "time_limit": 2.5' in said


def test_results_are_values_errors_and_cancellations(tmp_path: Path) -> None:
    def answer(**fields: object) -> Answers:
        return [{"event": "done", **fields}]

    with client(tmp_path, result=answer(outcome="value", text="11", value=11), outcome=answer(outcome=None)) as made:
        future = made.submit(tasks.add, 1)
        assert (future.result(), future.exception(), future.cancel_outcome) == (11, None, None)
    with client(tmp_path, result=answer(outcome="error", text="lost"), outcome=answer(outcome="not found")) as made:
        future = made.submit(tasks.add, 1)
        assert str(future.exception()) == "lost"
        assert future.cancel_outcome is CancelOutcome.NOT_FOUND
        with pytest.raises(PeerError, match="lost"):
            future.result()
    with client(tmp_path, result=answer(outcome="cancelled")) as made, pytest.raises(concurrent.futures.CancelledError):
        made.submit(tasks.add, 1).result()


def test_each_settlement_is_told_also_the_one_before_it_was_asked_for(tmp_path: Path) -> None:
    settled: dict[str, object] = {"event": "settled", "task": "T1", "outcome": "finished"}
    state: Answers = [settled, {"event": "done", "settled": True, "running": False}]
    with client(tmp_path, submit=[settled, *SUBMITTED], state=state) as made:
        told: list[AdapterFuture] = []
        future = made.submit(tasks.add, 1)
        future.add_done_callback(told.append)
        assert told == [future]
        assert future.done()
        made.call("disconnect")  # by its answer, the one before it has been told
        assert told == [future, future]


@pytest.mark.parametrize(
    ("event", "error"),
    [
        ({"event": "unsupported"}, NotOffered),
        ({"event": "raised", "error": "OSError: no"}, RuntimeError),
        ({"event": "end"}, AdapterFault),
        ({"event": "done"}, AdapterFault),  # without a task_id
    ],
)
def test_an_adapter_that_cannot_or_does_not_answer_is_told(
    event: dict[str, object], error: type[Exception], tmp_path: Path
) -> None:
    with client(tmp_path, submit=[event]) as made:
        with pytest.raises(error):
            made.submit(tasks.add, 1)
        if error is AdapterFault:
            with pytest.raises(AdapterFault):  # from now on
                made.disconnect()


def test_silence_ends_with_an_error(tmp_path: Path) -> None:
    with client(tmp_path, disconnect=[]) as made, pytest.raises(TimeoutError, match="has not returned within"):
        made.call("disconnect", 0.1)
