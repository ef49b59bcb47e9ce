"""What is dropped, and what else is logged, names the task and the peer, in both formats."""

from __future__ import annotations

import errno
import io
import json
import logging
import subprocess
import sys

import pytest
from test_scheduler import Serving

from rescind.drop_log import DropLog
from rescind.log_format import JsonFormatter
from rescind.messages import ClientHeartbeat, Task, TaskLog, TaskResult
from rescind.scheduler import Scheduler
from rescind.worker import Worker

TASK = bytes(range(16))


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, object]]:
    return [json.loads(JsonFormatter().format(record)) for record in caplog.records]


def test_a_drop_is_counted_and_logged_ever_more_rarely(caplog: pytest.LogCaptureFixture) -> None:
    drops = DropLog(logging.getLogger("x"))
    for _ in range(5):
        drops.note("W1", "unknown task", TASK)
    drops.note("W2", "unknown task")
    assert drops.counts == {"unknown task": 6}
    assert [(line["peer"], line.get("task_id"), line["reason"], line["count"]) for line in lines(caplog)] == [
        *(("W1", TASK.hex(), "unknown task", count) for count in (1, 2, 4)),
        ("W2", None, "unknown task", 1),
    ]
    assert f"dropped: unknown task (peer W1, task {TASK.hex()}, 1 so far)" in caplog.text


def test_strangers_do_not_fill_the_memory() -> None:
    drops = DropLog(logging.getLogger("x"), logging.DEBUG)
    for number in range(20_001):
        drops.note(str(number), "lost peer")
    assert (drops.counts["lost peer"], len(drops._complaints)) == (20_001, 1)


def test_a_schedulers_drop_names_the_peer_and_the_task(caplog: pytest.LogCaptureFixture) -> None:
    running = Serving(Scheduler(rebalance_interval=None, grace=0.0))
    client, worker = running.peer(b"C1"), running.peer(b"W1")
    worker.fence()
    worker.say(Task(TASK))
    worker.fence()
    client.fence()
    running.stop()
    dropped = [line for line in lines(caplog) if "reason" in line]
    assert [(one["peer"], one["task_id"], one["reason"]) for one in dropped] == [("W1", TASK.hex(), "wrong role")]


def test_what_cannot_be_sent_names_the_peer_and_the_task(caplog: pytest.LogCaptureFixture) -> None:
    running = Serving(Scheduler(rebalance_interval=None, grace=0.0))
    client, worker = running.peer(b"C1"), running.peer(b"W1")
    client.say(Task(TASK))
    client.fence()
    worker.fence()
    client.socket.close()
    while "cannot be sent" not in caplog.text:  # the closing travels on its own connection
        worker.say(TaskLog(TASK))
        worker.fence()
    running.stop()
    (first, *_) = [line for line in lines(caplog) if "reason" in line]
    assert (first["peer"], first["task_id"], first["count"]) == ("C1", TASK.hex(), 1)


def test_two_peers_are_told_apart_whatever_their_routing_ids(caplog: pytest.LogCaptureFixture) -> None:
    running = Serving(Scheduler(rebalance_interval=None, grace=0.0))
    for routing_id in (b"C\xff", b"C\xfe", b"C\n", b"C |"):
        peer = running.peer(routing_id)
        peer.say(TaskResult(TASK))
        peer.fence()
    running.stop()
    told = [line["peer"] for line in lines(caplog) if line.get("reason") == "unknown task"]
    assert told == ["43ff", "43fe", "430a", "C |"]


def test_a_workers_drop_names_the_scheduler_and_the_task(caplog: pytest.LogCaptureFixture) -> None:
    worker = Worker("tcp://127.0.0.1:9")
    worker.count_dropped("duplicate task id", TASK)
    (line,) = lines(caplog)
    assert (line["peer"], line["task_id"]) == ("scheduler at tcp://127.0.0.1:9", TASK.hex())
    assert worker.dropped == {"duplicate task id": 1}


def test_one_line_of_json_whatever_is_logged() -> None:
    try:
        raise ValueError("two\nlines")
    except ValueError:
        record = logging.LogRecord("n", logging.ERROR, "", 0, 'a "%s"\n', ("b",), sys.exc_info())
    record.peer = ClientHeartbeat()  # what JSON does not know is written as text
    text = JsonFormatter().format(record)
    assert "\n" not in text
    line = json.loads(text)
    assert (line["level"], line["logger"], line["message"]) == ("ERROR", "n", 'a "b"\n')
    assert line["time"].endswith("+00:00")
    assert "ValueError: two" in line["error"]


@pytest.mark.parametrize("command", [["scheduler", "--endpoint", "nowhere"], ["worker", "--status", "nowhere"]])
def test_what_keeps_it_from_starting_is_a_line_of_json_too(command: list[str]) -> None:
    said = subprocess.run(
        [sys.executable, "-m", "rescind", *command, "--log-format", "json"], capture_output=True, text=True, check=False
    )
    (line,) = map(json.loads, said.stderr.splitlines())
    assert said.returncode == 2
    assert (line["level"], "'nowhere' is no" in line["message"]) == ("ERROR", True)


UNCAUGHT = """
import threading, warnings
from rescind.log_format import LogFormat, set_up_logging
set_up_logging(False, LogFormat.JSON)
warnings.warn("careful")
thread = threading.Thread(target=lambda: 1 / 0)
thread.start()
thread.join()
{}["nothing"]
"""


def test_what_nobody_caught_is_a_line_of_json_too() -> None:
    said = subprocess.run([sys.executable, "-c", UNCAUGHT], capture_output=True, text=True, check=False)
    warning, thread, end = map(json.loads, said.stderr.splitlines())
    assert "careful" in warning["message"]
    assert "ZeroDivisionError" in thread["error"]
    assert (end["level"], said.returncode) == ("CRITICAL", 1)


def test_a_trace_that_cannot_be_written_ends_and_the_scheduler_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    class Full(io.StringIO):
        def flush(self) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    running = Serving(Scheduler(grace=0.0, trace=Full()))
    running.peer(b"C1").fence()
    running.stop()
    told = [line["message"] for line in lines(caplog) if line["level"] == "ERROR"]
    assert told == ["the trace ends here, since it cannot be written: No space left on device"]
