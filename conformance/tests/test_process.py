"""Processes of a run: they may be stopped twice, and the end of a log is cheap however long it is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rescind_conformance import process as process_module
from rescind_conformance.adapter import Adapter
from rescind_conformance.process import Process, SubjectUnavailable, last_lines
from rescind_conformance.subjects import ReferenceScheduler, StartedScheduler, StartedSubject
from rescind_conformance.visible_text import visible, visible_json
from rescind_conformance.warm_start import Forkable, WarmStart

HANG = 20.0


def test_of_a_long_log_only_the_end_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "log"
    with log.open("wb") as stream:
        stream.truncate(1 << 33)  # of which a byte takes no room; nobody could read it all
        stream.seek(0, os.SEEK_END)
        stream.write(b"\n" + b"".join(b"line %d\n" % number for number in range(30)))
    assert last_lines(log).splitlines() == [f"line {number}" for number in range(10, 30)]


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (b"", ""),
        (b"one\ntwo\n", "one\ntwo"),
        (b"x" * 40 + b"\nlast", "last"),
        (b"x" * 40, "x" * 16),
        (b"\x1b[31m\xff", "\\x1b[31m\ufffd"),
    ],
)
def test_the_end_of_a_log(written: bytes, shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_module, "_LOG_BYTES", 16)
    (tmp_path / "log").write_bytes(written)
    assert last_lines(tmp_path / "log") == shown


def test_what_is_visible_stays_as_it_is() -> None:
    plain = "tab\tnewline\n \u00e9 \u2028 \U0001f600 \\x1b"
    assert visible(plain) == plain
    assert visible("\r\x7f\x85\udfff\ufffe") == r"\x0d\x7f\x85\udfff\ufffe"
    assert visible_json({"\x00": ["\x1b", 1, None, {"a": "\x07"}]}) == {r"\x00": [r"\x1b", 1, None, {"a": r"\x07"}]}


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The process groups that were killed, in order."""
    groups: list[int] = []
    kill = os.killpg

    def note(group: int, number: int) -> None:
        groups.append(group)
        kill(group, number)

    monkeypatch.setattr(os, "killpg", note)
    return groups


CAT = Forkable("test_process:cat")


def cat() -> None:
    """Says its name, then what it is told, until nothing more comes."""
    if "FORK" in os.environ and os.fork() == 0:
        os.setsid()  # its parent's group is killed without it
        os.read(0, 1)
        os._exit(0)
    print(sys.argv, os.environ["OF_ITS_OWN"], flush=True)
    while line := os.read(0, 100):
        os.write(1, line)
    sys.exit(7)


@pytest.fixture
def warm(tmp_path: Path) -> Iterator[WarmStart]:
    """Forks `cat`."""
    warm = WarmStart(CAT, tmp_path / "warm", {"PYTHONPATH": os.pathsep.join(sys.path)})
    yield warm
    warm.stop()


def forked(warm: WarmStart, tmp_path: Path, *, piped: bool = True) -> Process:
    return Process(["cat", "a"], tmp_path / "log", {"OF_ITS_OWN": "yes"}, piped=piped, warm=warm)


def test_a_forked_process_has_arguments_environment_and_pipes_of_its_own(warm: WarmStart, tmp_path: Path) -> None:
    one, other = forked(warm, tmp_path), forked(warm, tmp_path)
    for each in (one, other):
        assert each.stdout.readline() == b"['cat', 'a'] yes\n"
    one.stdin.write(b"one")
    one.stdin.close()
    assert one.stdout.read() == b"one"
    assert one.wait(HANG) == 7
    assert (one.alive(), other.alive()) == (False, True)
    with pytest.raises(subprocess.TimeoutExpired):
        other.wait(0)
    for each in (one, other):
        each.stop()
    assert not other.alive()


def test_a_forked_process_without_pipes_writes_into_its_log(warm: WarmStart, tmp_path: Path) -> None:
    one = forked(warm, tmp_path, piped=False)
    assert one.wait(HANG) == 7
    assert one.log_tail() == "['cat', 'a'] yes"
    one.stop()


def test_the_end_of_a_forked_process_is_seen_though_what_it_has_forked_lives(warm: WarmStart, tmp_path: Path) -> None:
    parent = Process(["fork"], tmp_path / "log", {"OF_ITS_OWN": "yes", "FORK": "yes"}, piped=True, warm=warm)
    assert parent.stdout.readline()
    os.kill(parent.pid, signal.SIGKILL)
    assert parent.wait(HANG) == -signal.SIGKILL
    parent.stdin.close()  # at which the other one ends
    parent.stop()


def test_a_forked_process_is_stopped_once(warm: WarmStart, tmp_path: Path, killed: list[int]) -> None:
    """A second time its process id and its descriptors are another's."""
    one = forked(warm, tmp_path, piped=False)
    one.stop()
    taken = [os.open(os.devnull, os.O_RDONLY) for _ in range(3)]  # by whoever opens something next
    one.stop()
    for each in taken:
        os.close(each)
    assert killed == [one.pid]


def test_a_stop_that_a_signal_cut_short_is_made_up_for(
    warm: WarmStart, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(pid: int) -> None:
        raise KeyboardInterrupt

    one = forked(warm, tmp_path)
    with monkeypatch.context() as within:
        within.setattr(warm, "reap", interrupt)
        with pytest.raises(KeyboardInterrupt):
            one.stop()
    one.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(one.pid, 0)


def test_a_program_that_cannot_be_imported_is_told_with_what_it_said(tmp_path: Path) -> None:
    warm = WarmStart(Forkable("no_such_module:main"), tmp_path / "warm", {})
    with pytest.raises(SubjectUnavailable, match="No module named 'no_such_module'"):
        Process(["none"], tmp_path / "log", {}, warm=warm)
    warm.stop()


def test_what_a_forked_process_raises_is_in_its_log(tmp_path: Path) -> None:
    warm = WarmStart(Forkable("time:sleep"), tmp_path / "warm", {})
    one = Process(["sleep"], tmp_path / "log", {}, warm=warm)
    assert one.wait(HANG) == 1
    assert "TypeError" in one.log_tail()
    one.stop()
    warm.stop()


def test_a_started_process_is_killed_once(tmp_path: Path, killed: list[int]) -> None:
    started = Process([sys.executable, "-c", "input()"], tmp_path / "log", {})
    started.stop()
    started.stop()
    assert killed == [started.pid]


def test_an_adapter_is_stopped_once(tmp_path: Path, killed: list[int]) -> None:
    adapter = Adapter("client", [sys.executable, "-c", "input()"], tmp_path / "log", {})
    adapter.stop()
    adapter.stop()
    assert killed == [adapter.pid]


def test_a_subject_ends_each_process_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when the main thread leaves while a job is about to end its process."""
    stopped: list[Process] = []

    def stop(process: Process) -> None:
        stopped.append(process)

    monkeypatch.setattr(Process, "stop", stop)
    subject = ReferenceScheduler.__new__(ReferenceScheduler)
    StartedSubject.__init__(subject)
    started = StartedScheduler.__new__(StartedScheduler)
    started.log = subject._directory / "1" / "log"
    subject._processes.append(started)
    StartedSubject.close(subject)
    subject.end(started)
    assert stopped == [started]
