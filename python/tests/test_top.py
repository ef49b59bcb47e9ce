"""`rescind top`: the view, its rates, and what it says when nobody answers."""

from __future__ import annotations

import io
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from rich.console import Console
from test_scheduler import Serving

from rescind.messages import Task, TaskResult
from rescind.scheduler import Scheduler
from rescind.status_desk import StatusDesk
from rescind.status_server import StatusServer
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


@pytest.mark.parametrize("said", [b"+PONG\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}"])
def test_what_answers_and_is_no_status_is_told(said: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        answering = threading.Thread(target=lambda: answer_once(listener, said))
        answering.start()
        with pytest.raises(StatusNotFound, match="cannot be spoken to by HTTP"):
            fetch(f"127.0.0.1:{listener.getsockname()[1]}")
        answering.join()


def answer_once(listener: socket.socket, said: bytes) -> None:
    with listener.accept()[0] as asking:
        asking.recv(4096)
        asking.sendall(said)


def test_a_port_that_is_none_is_told() -> None:
    with pytest.raises(StatusNotFound, match="cannot be spoken to by HTTP"):
        fetch("127.0.0.1:scheduler")


def test_one_that_is_there_but_busy_is_told_from_none() -> None:
    server = StatusServer("127.0.0.1:0", StatusDesk(lambda: None))
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(StatusDesk.ask, "__defaults__", (0.01,))
            with pytest.raises(StatusNotFound, match="it is there, and has not answered"):
                fetch(server.url)
    finally:
        server.close()


def test_no_proxy_is_asked(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setattr("urllib.request._opener", None)  # what it was told before any test
    assert fetch(url_of(serving))["role"] == "scheduler"


def test_a_reader_that_has_seen_enough_ends_it_quietly(serving: Serving) -> None:
    command = [sys.executable, "-m", "rescind", "top", url_of(serving), "--json", "--interval", "0.1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stdout.readline()
        running.stdout.close()
        assert running.wait(20) == 0
        assert running.stderr is not None
        assert running.stderr.read() == ""


@pytest.mark.parametrize("address", ["ftp://127.0.0.1:1", "tcp://127.0.0.1:1"])
def test_what_is_no_address_is_named(address: str) -> None:
    with pytest.raises(ValueError, match="no address of a status"):
        fetch(address)


def test_a_status_of_another_version_is_not_misread(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rescind.top._VERSION", 2)
    with pytest.raises(StatusNotFound, match="version 1, and this reads version 2"):
        fetch(url_of(serving))
