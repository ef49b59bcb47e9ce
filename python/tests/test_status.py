"""What a scheduler and a worker tell whoever watches them: `/status`, `/metrics`."""

from __future__ import annotations

import json
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from test_scheduler import Serving

from rescind import wire
from rescind.messages import CancelConfirmType, Task, TaskCancel, TaskCancelConfirm, TaskResult, TaskResultType
from rescind.scheduler import Scheduler
from rescind.status_desk import StatusDesk
from rescind.status_metrics import METRICS
from rescind.status_server import AddressUnusable, StatusServer
from rescind.worker import Worker

HANG = 20.0
ANYWHERE = "127.0.0.1:0"


def fetch(url: str | None) -> bytes:
    assert url is not None
    with urllib.request.urlopen(url, timeout=HANG) as answer:
        return bytes(answer.read())


def status(url: str | None) -> dict[str, Any]:
    found = json.loads(fetch(f"{url}/status"))
    assert isinstance(found, dict)
    return found


def metrics(url: str | None) -> dict[str, float]:
    """The samples, by name and label."""
    families = text_string_to_metric_families(fetch(f"{url}/metrics").decode())
    return {
        " ".join((sample.name, *sample.labels.values())): sample.value for each in families for sample in each.samples
    }


@pytest.fixture
def serving() -> Iterator[Serving]:
    running = Serving(Scheduler(rebalance_interval=None, grace=0.0, status=ANYWHERE))
    yield running
    running.stop()


def test_each_count_is_told_by_both(serving: Serving) -> None:
    client, worker = serving.peer(b"C1"), serving.peer(b"W1")
    worker.fence()
    for number in range(6):
        client.say(Task(b"T%d" % number))
    client.fence()
    for number, kind in enumerate((TaskResultType.SUCCESS, TaskResultType.FAILED, 7)):
        worker.say(TaskResult(b"T%d" % number, kind))
    worker.say(TaskResult(b"strange"))
    worker.fence()
    client.say(TaskCancel(b"T3", force=False))
    client.say(TaskCancel(b"T4", force=True))
    client.say(TaskCancel(b"unknown"))
    client.fence()
    worker.say(TaskCancelConfirm(b"T3", CancelConfirmType.CANCEL_FAILED))
    worker.fence()
    url = serving.scheduler.status_url
    told = status(url)
    assert told["phase"] == "serving"
    assert {state: count for state, count in told["tasks"].items() if count} == {"dispatched": 2, "forcing": 1}
    assert told["rounds"] == {"owner": 1, "rebalancing": 0}
    assert told["accepted"] == 6
    assert {how: count for how, count in told["ended"].items() if count} == {"success": 1, "failed": 1, "other": 1}
    assert told["cancels"] == {"canceled": 0, "cancelFailed": 1, "cancelNotFound": 1, "result": 0}
    assert told["dropped"] == {"unknown task": 1}
    assert told["held_bytes"] == 3 * len(wire.encode(Task(b"T5")))
    assert [(each["id"], each["tasks"]) for each in told["workers"]] == [("W1", 3)]
    assert [(each["id"], each["tasks"], each["bytes"]) for each in told["clients"]] == [("C1", 3, told["held_bytes"])]
    worker.say(TaskResult(b"T4"))
    worker.fence()
    seen = metrics(url)
    prefix = "rescind_scheduler_"
    assert seen[prefix + "tasks dispatched"] == 2
    assert seen[prefix + "tasks_accepted_total"] == 6
    assert seen[prefix + "tasks_ended_total success"] == 2
    assert seen[prefix + "cancels_total result"] == 1
    assert seen[prefix + "cancel_rounds owner"] == 0
    assert seen[prefix + "dropped_total unknown task"] == 1
    assert seen[prefix + "phase serving"] == 1


def test_many_peers_are_counted_and_the_busiest_are_listed(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rescind.scheduler_status._MOST_PEERS", 2)
    for number in range(4):
        client = serving.peer(b"C%d" % number)
        for task in range(number):
            client.say(Task(b"T%d-%d" % (number, task)))
        client.fence()
    told = status(serving.scheduler.status_url)
    assert told["peers"] == {"client": 4, "worker": 0}
    assert [each["id"] for each in told["clients"]] == ["C3", "C2"]


def test_a_worker_tells_its_own() -> None:
    worker = Worker("tcp://127.0.0.1:9", status=ANYWHERE)
    thread = threading.Thread(target=worker.run, daemon=True)
    thread.start()
    try:
        told = status(worker.status_url)
        assert told["role"] == "worker"
        assert told["phase"] == "serving"
        assert told["tasks"] == {"queued": 0, "running": 0, "ending": 0, "leaving": 0}
        assert metrics(worker.status_url)["rescind_worker_lives_total"] == 1
    finally:
        worker.stop()
        thread.join(HANG)
    assert not thread.is_alive()


@contextmanager
def desk_served(desk: StatusDesk) -> Iterator[str]:
    server = StatusServer(ANYWHERE, desk)
    yield server.url
    server.close()


def test_many_who_ask_at_once_get_one_answer_and_wake_the_loop_once() -> None:
    woken: list[None] = []
    desk = StatusDesk(lambda: woken.append(None))
    answers: list[object] = []
    asking = [threading.Thread(target=lambda: answers.append(desk.ask(HANG))) for _ in range(5)]
    for each in asking:
        each.start()
    while len(desk._questions) < 5:
        pass
    desk.answer(lambda: {"phase": "serving"})
    desk.answer(pytest.fail)
    for each in asking:
        each.join()
    assert (answers, len(woken)) == ([{"phase": "serving"}] * 5, 1)


def test_a_loop_that_does_not_answer_is_told_from_one_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StatusDesk.ask, "__defaults__", (0.01,))
    with desk_served(StatusDesk(lambda: None)) as url, pytest.raises(urllib.error.HTTPError, match="503"):
        fetch(f"{url}/status")


def test_other_places_name_those_that_are_there(serving: Serving) -> None:
    assert b"/metrics" in fetch(serving.scheduler.status_url)
    with pytest.raises(urllib.error.HTTPError, match="404"):
        fetch(f"{serving.scheduler.status_url}/elsewhere")


def test_more_connections_than_are_served_at_once_are_closed() -> None:
    with desk_served(StatusDesk(lambda: None)) as url:
        place = ("127.0.0.1", int(url.rpartition(":")[2]))
        idle = [socket.create_connection(place, timeout=HANG) for _ in range(9)]
        assert idle[8].recv(1) == b"", "neither served nor closed"
        idle[0].sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert idle[0].recv(4) == b"HTTP", "those that were there before are served"
        for each in idle:
            each.close()


def test_an_idle_connection_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rescind.status_server._Handler.timeout", 0.01)
    with desk_served(StatusDesk(lambda: None)) as url:
        place = ("127.0.0.1", int(url.rpartition(":")[2]))
        with socket.create_connection(place, timeout=HANG) as idle:
            assert idle.recv(1) == b""


def test_one_that_asks_a_byte_at_a_time_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rescind.status_server._Handler.timeout", 0.5)
    with desk_served(StatusDesk(lambda: None)) as url:
        place = ("127.0.0.1", int(url.rpartition(":")[2]))
        end = time.monotonic() + HANG
        with socket.create_connection(place, timeout=0.01) as slow, suppress(ConnectionError):
            while time.monotonic() < end:
                slow.sendall(b"G")
                with suppress(TimeoutError):
                    assert slow.recv(1) == b""
                    break
        assert time.monotonic() < end, "it has held its place"


@pytest.mark.parametrize("address", ["", "9363", "127.0.0.1", "127.0.0.1:70000", "http://127.0.0.1:1"])
def test_what_is_no_address_is_named(address: str) -> None:
    with pytest.raises(ValueError, match="no address for the status"):
        Scheduler(status=address)


def test_an_address_in_use_is_named(serving: Serving) -> None:
    assert serving.scheduler.status_url is not None
    with pytest.raises(AddressUnusable, match="Choose another --status"):
        Scheduler(status=serving.scheduler.status_url.removeprefix("http://"))


def test_the_name_service_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getfqdn", pytest.fail)
    StatusServer("0.0.0.0:0", StatusDesk(lambda: None)).close()


@pytest.mark.parametrize(("address", "warns"), [("0.0.0.0:0", True), (ANYWHERE, False), ("localhost:0", False)])
def test_a_status_that_other_machines_can_reach_is_warned_of(
    address: str, warns: bool, caplog: pytest.LogCaptureFixture
) -> None:
    StatusServer(address, StatusDesk(lambda: None)).close()
    assert ("can be reached from other machines" in caplog.text) == warns


def test_every_metric_is_documented() -> None:
    text = (Path(__file__).parent.parent / "OPERATING.md").read_text(encoding="utf-8")
    for role, rows in METRICS.items():
        for row in rows:
            assert f"`rescind_{role}_{row.name}{'_total' if 'Counter' in row.kind.__name__ else ''}`" in text
