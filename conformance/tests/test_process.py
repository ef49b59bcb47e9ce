"""Processes of a run: they may be stopped twice, and the end of a log is cheap however long it is."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from rescind_conformance import process as process_module
from rescind_conformance.adapter import Adapter
from rescind_conformance.process import Process, last_lines
from rescind_conformance.subjects import ReferenceScheduler, StartedSubject
from rescind_conformance.visible_text import visible, visible_json
from rescind_conformance.warm_start import Forked, WarmStart


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


def test_a_forked_process_is_stopped_once(tmp_path: Path, killed: list[int]) -> None:
    """A second time its process id and its descriptor are another's."""
    warm = WarmStart(tmp_path / "warm", {})
    try:
        forked = warm.fork(["scheduler", "--help"], tmp_path / "log", {})
        forked.stop()
        taken = os.open(os.devnull, os.O_RDONLY)  # by whoever opens something next
        forked.stop()
        os.close(taken)
        assert killed == [forked.pid]
    finally:
        warm.stop()


def test_a_stop_that_a_signal_cut_short_is_made_up_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    warm = WarmStart(tmp_path / "warm", {})
    try:
        forked = warm.fork(["scheduler", "--help"], tmp_path / "log", {})

        def interrupt(pid: int) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as within:
            within.setattr(warm, "reap", interrupt)
            with pytest.raises(KeyboardInterrupt):
                forked.stop()
        output = forked._output
        forked.stop()
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(output)
    finally:
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
    stopped: list[Forked] = []

    def stop(forked: Forked) -> None:
        stopped.append(forked)

    monkeypatch.setattr(Forked, "stop", stop)
    subject = ReferenceScheduler.__new__(ReferenceScheduler)
    StartedSubject.__init__(subject)
    forked = Forked.__new__(Forked)
    forked.log = subject._directory / "1" / "log"
    subject._processes.append(forked)
    StartedSubject.close(subject)
    subject.end(forked)
    assert stopped == [forked]
