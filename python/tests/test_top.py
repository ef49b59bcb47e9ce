"""`rescind top`: the view, its rates, and what it says when nobody answers."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Iterator

import pytest
from rich.console import Console
from test_scheduler import Serving

from rescind.messages import Task, TaskResult
from rescind.scheduler import Scheduler
from rescind.top import StatusNotFound, fetch, rates, show, watch


@pytest.fixture
def serving() -> Iterator[Serving]:
    running = Serving(Scheduler(rebalance_interval=None, grace=0.0, status="127.0.0.1:0"))
    yield running
    running.stop()


def url_of(serving: Serving) -> str:
    assert serving.scheduler.status_url is not None
    return serving.scheduler.status_url


def shown(serving: Serving) -> str:
    console = Console(file=io.StringIO(), width=100)
    now = fetch(url_of(serving))
    console.print(show(now, rates(None, now)))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def row(text: str, name: str) -> list[str]:
    """The cells of the first row that is about something."""
    line = next(line for line in text.splitlines() if name in line)
    return [cell.strip() for cell in line.strip("│").split("│")]


def test_the_view_has_tasks_rounds_peers_and_drops(serving: Serving) -> None:
    client, worker = serving.peer(b"C[1]"), serving.peer(b"W1")
    worker.fence()
    for number in range(3):
        client.say(Task(b"T%d" % number))
    client.fence()
    worker.say(TaskResult(b"T0"))
    worker.say(TaskResult(b"strange"))
    worker.fence()
    text = shown(serving)
    assert row(text, "dispatched")[1] == "2"
    assert row(text, "cancel rounds: owner")[1] == "0"
    assert row(text, "accepted")[2] == "3"
    assert row(text, "success")[2] == "1"
    assert row(text, "W1")[1] == "2"
    assert row(text, "C[1]")[1] == "2"
    assert row(text, "unknown task")[1] == "1"


def test_rates_are_those_since_the_last_look_at_the_same_life() -> None:
    before = {"started_at": 10.0, "now": 20.0, "accepted": 100, "ended": {"success": 40, "failed": 10}, "dropped": {}}
    now = before | {"now": 22.0, "accepted": 110, "ended": {"success": 60, "failed": 12}, "dropped": {"x": 4}}
    assert rates(before, now) == {"accepted": 5.0, "ended": 11.0, "dropped": 2.0}
    assert rates(before, now | {"started_at": 21.0})["accepted"] == 110.0
    assert rates(None, before)["accepted"] == 10.0


def test_json_and_an_output_that_is_no_terminal(serving: Serving, capsys: pytest.CaptureFixture[str]) -> None:
    watch(url_of(serving).removeprefix("http://"), 1.0, once=True, as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert (told["role"], told["per_second"]["accepted"]) == ("scheduler", 0.0)
    watch(url_of(serving), 1.0, once=True, as_json=False)
    assert "scheduler tcp://" in capsys.readouterr().out


def test_nobody_there_is_told_with_what_to_start(serving: Serving) -> None:
    address = url_of(serving).removeprefix("http://")
    serving.scheduler.stop()
    serving.thread.join()
    said = subprocess.run(
        [sys.executable, "-m", "rescind", "top", address, "--once"], capture_output=True, text=True, check=False
    )
    assert said.returncode == 2
    assert f"Start a scheduler or worker with `--status {address}`" in said.stderr


@pytest.mark.parametrize("address", ["ftp://127.0.0.1:1", "tcp://127.0.0.1:1"])
def test_what_is_no_address_is_named(address: str) -> None:
    with pytest.raises(ValueError, match="no address of a status"):
        fetch(address)


def test_a_status_of_another_version_is_not_misread(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rescind.top._VERSION", 2)
    with pytest.raises(StatusNotFound, match="version 1, and this reads version 2"):
        fetch(url_of(serving))
