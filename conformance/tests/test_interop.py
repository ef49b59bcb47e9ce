"""`rescind interop`: what a run says, how it ends, and that nothing of it is left."""

from __future__ import annotations

import fnmatch
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import peer_toolchains
import psutil
import pytest
import zmq
from typer.testing import CliRunner

from rescind import wire
from rescind.cli import whole_app
from rescind.messages import Message, Task, TaskCancel, TaskCancelConfirm, TaskResult
from rescind.trace import read_trace
from rescind_conformance.interop import command
from rescind_conformance.interop.desk import Departed, Desk
from rescind_conformance.interop.expected import Expected, ExpectedUnusable, load_expected
from rescind_conformance.interop.mixes import PAYLOADS, Kind, Part, all_mixes, not_offered, select_mixes
from rescind_conformance.interop.peers import built_peers as peer_programs
from rescind_conformance.interop.player import play
from rescind_conformance.interop.proxy import Proxy
from rescind_conformance.interop.report import markdown
from rescind_conformance.interop.runner import Cell, Plan, Run, Status
from rescind_conformance.interop.scenario import Scenario, all_scenarios, select_scenarios
from rescind_conformance.process import SubjectUnavailable

pytestmark = pytest.mark.long

HANG = 120.0
"""Seconds; only bounds how long a failing test takes."""
RESCIND = [sys.executable, "-m", "rescind"]


@pytest.fixture
def marked(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Every process that the test starts, however indirectly, has this in its environment; at the end all are gone."""
    mark = uuid.uuid4().hex
    monkeypatch.setenv("RESCIND_TEST_MARK", mark)
    yield mark
    monkeypatch.delenv("RESCIND_TEST_MARK")
    deadline = time.monotonic() + 20
    while left := processes_with(mark):
        assert time.monotonic() < deadline, left


def processes_with(mark: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("RESCIND_TEST_MARK") == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def interop(*options: str, faults: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command; Python processes of the run begin with what is in `faults`/sitecustomize.py."""
    path = os.environ.get("PYTHONPATH", "")
    environment = {**os.environ, "PYTHONPATH": f"{faults}:{path}" if faults else path}
    return subprocess.run(
        [*RESCIND, "interop", *options], capture_output=True, text=True, timeout=HANG, env=environment, check=False
    )


def test_cells_that_pass_and_what_is_written_of_them(tmp_path: Path, marked: str) -> None:
    ended = interop(
        *("--mix", "ref/ref/ref", "--scenario", "results", "--scenario", "doc-scaler-readme"),
        *("--output", str(tmp_path / "report")),
    )
    assert ended.returncode == 0, ended.stderr
    assert "3 cells in" in ended.stdout
    assert "2 pass, 0 depart as is known, 1 not offered, 0 unexpected" in ended.stdout
    assert "[1/3] ref/ref/ref  results: pass" in ended.stderr
    document = json.loads((tmp_path / "report" / "interop.json").read_text())
    told = {cell["scenario"]: cell["status"] for cell in document["cells"]}
    assert told == {"results": "pass", "doc-scaler-readme": "not offered", "storage-empty": "pass"}
    assert "| results | pass |" in (tmp_path / "report" / "interop.md").read_text()


LYING_WORKER = """
from rescind.messages import CancelConfirmType
from rescind.worker_machine import WorkerMachine
sound = WorkerMachine._confirm
WorkerMachine._confirm = lambda self, task_id, kind: sound(self, task_id, CancelConfirmType.CANCELED)
"""
"""It says `canceled` of a task that goes on."""


def test_a_fault_in_a_party_is_a_failed_cell_with_what_was_said(tmp_path: Path, marked: str) -> None:
    (tmp_path / "sitecustomize.py").write_text(LYING_WORKER)
    report = tmp_path / "report"
    ended = interop(*("--mix", "ref/ref/ref", "--scenario", "cancel-running", "--output", str(report)), faults=tmp_path)
    assert ended.returncode == 1, ended.stderr
    assert "FAIL C4.1  cancel-running in ref/ref/ref: cancel() of a running task without force returned" in ended.stdout
    page = (report / "interop.md").read_text()
    assert "W1 -> S    TaskCancelConfirm T1 canceled" in page
    with (report / "conversations" / "ref-ref-ref--cancel-running.jsonl").open() as stream:
        said = [getattr(record, "message", None) for record in read_trace(stream)]
    assert any(isinstance(message, TaskCancelConfirm) for message in said)


HOARDING = """
import sys
from rescind.store import SqliteStore
SqliteStore.delete = SqliteStore.release_owners = lambda *_: None
if "interop" in sys.orig_argv:
    from rescind_conformance.interop import runner
    runner._EMPTY_SECONDS = 0.2
"""
"""Nothing is ever deleted."""


def test_what_stays_in_the_storage_is_told(tmp_path: Path, marked: str) -> None:
    (tmp_path / "sitecustomize.py").write_text(HOARDING)
    options = ("--mix", "ref/ref/ref", "--scenario", "exceptions", "--output", str(tmp_path / "report"))
    ended = interop(*options, faults=tmp_path)
    assert ended.returncode == 1, ended.stderr
    assert "FAIL C3.2  storage-empty in ref/ref/ref: " in ended.stdout
    assert "objects after exceptions" in ended.stdout
    (conversation,) = (tmp_path / "report" / "conversations").iterdir()
    assert "storage-empty" in conversation.name
    assert "taskResult" in conversation.read_text()


def test_an_expected_departure_that_passes_is_unexpected(tmp_path: Path, marked: str) -> None:
    entry = '[[expected]]\nmix = "ref/*"\nscenario = "map"\nrequirement = "C2.4"\nreason = "maps are lost"\n'
    (tmp_path / "expected.toml").write_text(entry)
    options = ("--mix", "ref/ref/ref", "--scenario", "map", "--expected", str(tmp_path / "expected.toml"))
    ended = interop(*options)
    assert ended.returncode == 1, ended.stderr
    assert "PASS C2.4" in ended.stdout
    assert "it is listed as departing from C2.4: maps are lost" in ended.stdout


def test_a_departure_of_scaler_is_known_with_its_requirement(marked: str) -> None:
    ended = interop("--mix", "ref/scaler/ref", "--scenario", "cancel-running", "--scenario", "results")
    assert ended.returncode == 0, ended.stderr
    assert "S4.2  cancel-running: Scaler's scheduler does not forward" in ended.stdout
    assert "1 pass, 1 depart as is known" in ended.stdout


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--mix", "ref/ref/nobody"], "no mix has such a name: see `rescind interop --list`"),
        (["--scenario", "nothing"], "no scenario has such a name"),
        (["--expected", "/nowhere.toml"], "/nowhere.toml: "),
        (["--output", "/dev/null/report"], "Not a directory"),
    ],
)
def test_what_cannot_run_is_told(options: list[str], told: str) -> None:
    ended = CliRunner().invoke(whole_app(), ["interop", *options])
    assert ended.exit_code == 2
    assert told in ended.output


def test_without_scaler_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise SubjectUnavailable(f"{name} is not installed: pip install 'rescind[opengris-scaler]'")

    monkeypatch.setattr(command, "console_script", missing)
    ended = CliRunner().invoke(whole_app(), ["interop", "--mix", "ref/scaler/ref"])
    assert ended.exit_code == 2
    assert "pip install 'rescind[opengris-scaler]'. Without it: rescind interop --mix ref/ref/ref" in ended.output


def test_the_list_names_every_mix_and_scenario() -> None:
    ended = CliRunner().invoke(whole_app(), ["interop", "--list"])
    assert ended.exit_code == 0
    for name in [mix.name for mix in all_mixes()] + [one.name for one in all_scenarios()]:
        assert f"{name}" in ended.output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("impatient", [False, True])
def test_a_run_that_is_stopped_leaves_nothing(number: int, impatient: bool, tmp_path: Path, marked: str) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    options = ["--mix", "ref/ref/ref", "--mix", "ref/scaler/scaler", "--scenario", "results", "--scenario", "worker-*"]
    running = subprocess.Popen(
        [*RESCIND, "interop", *options],
        env={**os.environ, "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stderr is not None
    first = running.stderr.readline()
    assert "results: pass" in first  # the other mix is starting, or plays
    running.send_signal(number)
    while impatient and running.poll() is None:
        running.send_signal(number)
    running.communicate(timeout=HANG)
    assert running.returncode == 128 + number
    assert list(temporary.iterdir()) == []


def test_mixes_are_each_kind_in_each_role_and_both_stores() -> None:
    names = [mix.name for mix in all_mixes()]
    assert len(names) == len(set(names)) == 25
    assert [mix.name for mix in all_mixes() if mix.part is Part.PYTHON and not mix.scaler_storage] == ["ref/ref/ref"]
    assert [mix.name for mix in select_mixes(["scaler/[rs]*/ref"])] == ["scaler/ref/ref", "scaler/scaler/ref"]
    for role in ("client", "scheduler", "worker"):
        assert {getattr(mix, role) for mix in all_mixes()} == set(Kind)


def test_a_mix_is_offered_where_client_and_worker_share_payloads_and_all_others_are_told_with_the_reason() -> None:
    assert all(PAYLOADS[mix.client] == PAYLOADS[mix.worker] for mix in all_mixes())
    refused = [text.partition(": ")[0] for text in not_offered()]
    assert len(refused) == 10
    for client, scheduler, worker in itertools.product(Kind, Kind, Kind):
        name = f"{client}/{scheduler}/{worker}"
        offered = any(mix.name == name for mix in all_mixes())
        assert offered != any(fnmatch.fnmatchcase(name, glob) for glob in refused), name
    assert "cpp/*/ref: texts in a directory of the client, pickles of the worker" in not_offered()


def test_a_quick_run_has_each_kind_in_each_role() -> None:
    quick = select_mixes([], quick=True)
    for role in ("client", "scheduler", "worker"):
        assert {getattr(mix, role) for mix in quick} == set(Kind)
    assert len(quick) < len(all_mixes())


def test_a_peer_that_is_not_built_says_so_and_is_no_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = ("--cpp-peer", str(tmp_path), "--scenario", "results", "--output", str(tmp_path / "report"))
    monkeypatch.delenv("CI", raising=False)
    ended = interop("--mix", "[c]*/ref/*", *options)
    assert ended.returncode == 0, ended.stderr
    told = f"not built: the C++ peer ({tmp_path}); run: cd conformance/peers/cpp && cmake --preset release && "
    assert told in ended.stdout
    assert "1 cells in 0 s: 0 pass, 0 depart as is known, 0 not offered, 1 not built, 0 unexpected." in ended.stdout
    assert "| results | not built |" in (tmp_path / "report" / "interop.md").read_text()
    named = interop("--mix", "cpp/ref/cpp", *options)
    assert (named.returncode, told in named.stderr) == (2, True)
    monkeypatch.setenv("CI", "true")
    in_ci = interop("--mix", "[c]*/ref/*", *options)
    assert (in_ci.returncode, told in in_ci.stderr) == (2, True)


def test_without_node_the_typescript_peer_cannot_take_part(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    told = "not built: the TypeScript peer needs Node.js 20 or later (Debian: nodejs, npm)"
    assert peer_programs().missing(Kind.TYPESCRIPT) == told


@pytest.fixture(scope="module")
def built_peers() -> list[str]:
    """The options that say where the peers are."""
    places = {"--cpp-peer": peer_toolchains.built_cpp(), "--typescript-peer": peer_toolchains.built_typescript()}
    return [str(word) for pair in places.items() for word in pair]


@pytest.mark.peers
def test_the_peers_play_each_role(built_peers: list[str], tmp_path: Path, marked: str) -> None:
    mixes = [f"--mix={mix}" for mix in ("cpp/ref/cpp", "ts/ref/ts", "cpp/ts/cpp", "ts/cpp/ts", "ref/cpp/ref")]
    scenarios = [f"--scenario={one}" for one in ("exceptions", "cancel-running*", "cancel-crossing", "worker-leaves")]
    os.environ |= (sanitizers := {f"{name}_OPTIONS": f"log_path={tmp_path}/sanitizer" for name in ("ASAN", "UBSAN")})
    try:
        ended = interop(*mixes, *scenarios, *built_peers)
    finally:
        for name in sanitizers:
            del os.environ[name]
    assert ended.returncode == 0, ended.stdout
    assert "25 pass, 0 depart as is known, 0 not offered, 0 unexpected" in ended.stdout
    assert [report.read_text() for report in tmp_path.iterdir()] == []


@pytest.mark.peers
def test_a_broken_cpp_client_is_a_failed_cell(built_peers: list[str], tmp_path: Path, marked: str) -> None:
    """Its adapter always asks with force: a task that was to go on is ended."""
    for program in peer_toolchains.CPP_BUILD.glob("cpp-*"):
        (tmp_path / program.name).symlink_to(program)
    adapter = tmp_path / "cpp-client-adapter"
    sound = adapter.readlink()
    adapter.unlink()
    adapter.write_text(f"#!/bin/sh\nsed -u 's/\"force\": false/\"force\": true/' | '{sound}'\n")
    adapter.chmod(0o755)
    ended = interop("--mix=cpp/ref/cpp", "--scenario=cancel-running", f"--cpp-peer={tmp_path}")
    assert ended.returncode == 1, ended.stdout
    assert "FAIL C4.1  cancel-running in cpp/ref/cpp: cancel() of a running task without force returned" in ended.stdout


@pytest.mark.peers
def test_a_broken_typescript_worker_is_a_failed_cell(built_peers: list[str], tmp_path: Path, marked: str) -> None:
    """It says `canceled` of a task that goes on."""
    shutil.copytree(peer_toolchains.TYPESCRIPT / "build", tmp_path / "build")
    shutil.copy(peer_toolchains.TYPESCRIPT / "package.json", tmp_path)
    (tmp_path / "node_modules").symlink_to(peer_toolchains.TYPESCRIPT / "node_modules")
    broken = tmp_path / "build" / "src" / "worker_machine.js"
    text = broken.read_text()
    assert '"cancelFailed"' in text
    broken.write_text(text.replace('"cancelFailed"', '"canceled"'))
    peer = f"--typescript-peer={tmp_path / 'build'}"
    ended = interop("--mix=ts/ref/ts", "--scenario=cancel-running", peer)
    assert ended.returncode == 1, ended.stdout
    assert "FAIL C4.1  cancel-running in ts/ref/ts: cancel() of a running task without force returned" in ended.stdout


def test_what_only_clients_in_python_have_is_not_offered_by_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Desk, "step", lambda *_: None)

    def fails(_: Desk) -> None:
        raise AssertionError("it was played")

    only = Scenario("toy", "C2.4", "a toy", fails, in_python=True)
    assert play(only, desk(tmp_path, "cpp"))["verdict"] == "not offered"
    assert play(only, desk(tmp_path, "ref"))["verdict"] == "departed"


def test_an_error_of_another_language_is_known_by_its_words(tmp_path: Path) -> None:
    ours, theirs = desk(tmp_path, "ref"), desk(tmp_path, "ts")
    assert ours.is_error_of_fail(KeyError("lost"), "lost")
    assert not ours.is_error_of_fail(ValueError("lost"), "lost")
    assert theirs.is_error_of_fail(ValueError("Error: lost"), "lost")
    assert not theirs.is_error_of_fail(ValueError("Error: other"), "lost")
    assert not theirs.is_error_of_fail(None, "lost")


def test_a_quick_run_leaves_out_what_is_slow_unless_it_is_named() -> None:
    quick = {one.name for one in select_scenarios([], quick=True)}
    assert "worker-killed" not in quick
    assert "results" in quick
    assert [one.name for one in select_scenarios(["worker-k*"], quick=True)] == ["worker-killed"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("nonsense", "Expected"),
        ("[[known]]\n", "only entries that begin with [[expected]]"),
        ('[[expected]]\nmix = "*"\n', "must have the texts mix, reason, requirement, scenario"),
        ('[[expected]]\nmix = "*"\nscenario = "*"\nrequirement = "X9"\nreason = "r"\n', "unknown requirement 'X9'"),
    ],
)
def test_a_file_of_expected_departures_that_cannot_be_used_is_told(text: str, told: str, tmp_path: Path) -> None:
    file = tmp_path / "expected.toml"
    file.write_text(text)
    with pytest.raises(ExpectedUnusable) as unusable:
        load_expected(file)
    assert told in str(unusable.value)


def test_every_shipped_entry_names_cells_that_there_are() -> None:
    for entry in load_expected():
        assert any(entry.names(mix.name, one.name) for mix in all_mixes() for one in all_scenarios()), entry


def judged(cell: Cell, *expected: Expected) -> Cell:
    return Run(Plan([], [], expected, 1), lambda _: None)._judged(cell)


def test_a_departure_from_another_requirement_than_is_expected_fails() -> None:
    entry = Expected("ref/*", "map", "C2.4", "why")
    assert judged(Cell("ref/x", "map", Status.FAIL, "C2.4"), entry).status is Status.KNOWN
    assert judged(Cell("ref/x", "map", Status.FAIL, "C2.1"), entry).status is Status.FAIL
    assert judged(Cell("ref/x", "other", Status.FAIL, "C2.4"), entry).status is Status.FAIL
    assert judged(Cell("ref/x", "map", Status.NOT_OFFERED), entry).status is Status.NOT_OFFERED


def test_text_of_a_party_is_shown_and_not_acted_upon() -> None:
    page = markdown([Cell("ref/ref/ref", "map", Status.FAIL, "C2.4", "it said \x1b[2J")], "rescind interop")
    assert "\x1b" not in page
    assert "it said \\x1b[2J" in page


def desk(tmp_path: Path, client: str = "ref") -> Desk:
    order: dict[str, Any] = {
        "client": client,
        "scheduler": "ref",
        "worker": client,
        "adapter": [],
        "storage": None,
        "all_scaler": False,
        "endpoint": "",
        "folder": str(tmp_path),
        "large_bytes": 1,
        "slots": 1,
        "many": 1,
        "depth": 4,
        "examples": "",
    }
    with open(os.devnull, "w") as nobody, open(os.devnull) as nothing:
        return Desk(order, nothing, nobody)


def test_a_scenario_that_raises_departs_from_what_it_is_about(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Desk, "step", lambda *_: None)

    def unlucky(_: Desk) -> None:
        raise OSError("no such thing")

    def departs(_: Desk) -> None:
        raise Departed("W2.2", "it runs on")

    raised = play(Scenario("toy", "C2.4", "a toy", unlucky), desk(tmp_path))
    assert (raised["verdict"], raised["requirement"]) == ("departed", "C2.4")
    assert raised["text"] == "OSError: no such thing"
    departed = play(Scenario("toy", "C2.4", "a toy", departs), desk(tmp_path))
    assert (departed["verdict"], departed["requirement"], departed["text"]) == ("departed", "W2.2", "it runs on")


class Stage:
    """A scheduler and a worker, played by the test, with the proxy in between."""

    def __init__(self) -> None:
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.scheduler = self.context.socket(zmq.ROUTER)
        port = self.scheduler.bind_to_random_port("tcp://127.0.0.1")
        self.proxy = Proxy(f"tcp://127.0.0.1:{port}")
        self.worker = self.context.socket(zmq.DEALER)
        self.worker.setsockopt(zmq.IDENTITY, b"Worker|w|1")
        self.worker.connect(self.proxy.endpoint)
        for socket in (self.scheduler, self.worker):
            socket.setsockopt(zmq.RCVTIMEO, int(HANG * 1000))

    def to_scheduler(self, message: Message) -> None:
        self.worker.send(wire.encode(message))
        assert self.scheduler.recv_multipart() == [b"Worker|w|1", wire.encode(message)]

    def to_worker(self, *messages: Message) -> None:
        for message in messages:
            self.scheduler.send_multipart([b"Worker|w|1", wire.encode(message)])

    def arrived(self) -> Message:
        return wire.decode(self.worker.recv())

    def close(self) -> None:
        self.proxy.close()
        self.context.destroy(linger=0)


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage()
    yield made
    made.close()


def test_the_proxy_makes_a_cancel_and_a_result_cross_and_keeps_order(stage: Stage) -> None:
    stage.to_scheduler(TaskResult(b"T0"))
    stage.proxy.hold_cancel()
    stage.to_worker(Task(b"T1"), TaskCancel(b"T1"), Task(b"T2"))
    assert stage.arrived() == Task(b"T1")
    assert stage.proxy.is_held.wait(HANG)
    assert stage.worker.poll(0) == 0
    stage.to_scheduler(TaskResult(b"T1"))
    assert [stage.arrived(), stage.arrived()] == [TaskCancel(b"T1"), Task(b"T2")]
    stage.to_worker(TaskCancel(b"T2"))  # only one is held back
    assert stage.arrived() == TaskCancel(b"T2")
    said = [(record.sender, record.message) for record in stage.proxy.recorded()]
    assert said == [
        ("Worker|w|1", TaskResult(b"T0")),
        ("scheduler", Task(b"T1")),
        ("Worker|w|1", TaskResult(b"T1")),
        ("scheduler", TaskCancel(b"T1")),
        ("scheduler", Task(b"T2")),
        ("scheduler", TaskCancel(b"T2")),
    ]
    stage.proxy.mark()
    assert stage.proxy.recorded() == []
