"""`rescind faults`: what it draws, that it finds what is broken, that it leaves nothing, and a short run."""

from __future__ import annotations

import ctypes
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import psutil
import pytest
from process_looks import is_alive, name_of
from typer.testing import CliRunner

from rescind.cli import whole_app
from rescind.messages import Message, TaskCancel
from rescind_conformance.faults.episode import Report, play
from rescind_conformance.faults.job import keep
from rescind_conformance.faults.nursery import Nursery
from rescind_conformance.faults.plan import KINDS, Fault, Moment, draw_plan
from rescind_conformance.faults.strike import Striker
from rescind_conformance.faults.system import System
from rescind_conformance.faults.verdict import judge_clients

FAULTS = 25
PATIENCE = 3.0
MOST_EPISODES = 8
HANG = 60.0


def handles_of_processes() -> int:
    """How many descriptors of this process stand for others."""
    found = 0
    for each in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the one for this very list
            found += "pidfd" in str(each.readlink())
    return found


def environment(place: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(place)}


def test_a_seed_draws_the_same_again() -> None:
    plans = [draw_plan(7, episode, 50) for episode in range(20)]
    assert plans == [draw_plan(7, episode, 50) for episode in range(20)]
    assert {fault.kind for plan in plans for fault in plan.faults} == set(KINDS)
    assert plans != [draw_plan(8, episode, 50) for episode in range(20)]
    assert {fault.kind.name for fault in draw_plan(7, 0, 50, ["cut", "clock"]).faults} == {"cut", "clock"}


def episodes(place: Path, kinds: Sequence[str], spoil: str) -> Generator[Report, None, None]:
    """Some short ones. What faults meet is up to the machine: not each shows what is broken."""
    root = place / "systems"
    root.mkdir()
    nursery = Nursery(root, place / "nursery.log", spoil=spoil and f"spoiled_parties:{spoil}")
    try:
        for number in range(MOST_EPISODES):
            folder = root / str(number)
            folder.mkdir()
            yield play(replace(draw_plan(1, number, 8, kinds), patience=PATIENCE), nursery, folder)
    finally:
        nursery.stop()
        assert not root.exists()


@pytest.mark.parametrize(
    ("spoil", "kinds", "found"),
    [
        ("owes_answers_of_lost_workers", ["kill-worker", "leave-worker", "storm"], "was not settled|have not returned"),
        ("lets_tasks_of_lost_clients_run", ["kill-client", "storm"], "places at the workers|was not settled"),
        ("keeps_payloads_of_lost_clients", ["kill-client"], "objects are left"),
        ("leaves_processes", ["storm"], "processes are left"),
        ("settles_what_was_lost", ["cut"], "never returned"),
        ("runs_twice", ["storm"], r"W1\.1"),
        ("trusts_the_wall_clock", ["clock"], "that nothing had befallen"),
        ("gives_up", ["cut"], "ended with status 0"),
    ],
)
def test_what_is_broken_is_found(tmp_path: Path, spoil: str, kinds: Sequence[str], found: str) -> None:
    with closing(episodes(tmp_path, kinds, spoil)) as reports:
        assert any(re.search(found, problem) for report in reports for problem in report.problems)


def test_a_short_run(tmp_path: Path) -> None:
    """What CI plays; and what it tells."""
    ran = subprocess.run(
        [sys.executable, "-m", "rescind", "faults", "--seed", "3", "--faults", str(FAULTS), "--output", "found"],
        env=environment(tmp_path),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
        timeout=HANG * 4,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout
    took = re.search(
        r"^(\d+) faults took effect, \d+ of them at their very moment, in (\d+) episodes", ran.stdout, re.M
    )
    assert took is not None, ran.stdout
    assert int(took[1]) >= FAULTS
    assert "nothing was lost" in ran.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_stopped_it_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "rescind", "faults", "--faults", "1000", "--jobs", "1"]
    run = subprocess.Popen(command, env=environment(tmp_path), cwd=tmp_path)
    family: list[psutil.Process] = []
    while not any(name_of(each) == "rescind-task" for each in family):
        family = psutil.Process(run.pid).children(recursive=True)
    run.send_signal(number)
    assert run.wait(HANG) == {signal.SIGTERM: 128 + signal.SIGTERM, signal.SIGKILL: -signal.SIGKILL}[number]
    if number is not signal.SIGKILL:  # what is left of that one ends by itself, soon
        assert list(filter(is_alive, family)) == []
        assert list(tmp_path.iterdir()) == []
    _, alive = psutil.wait_procs(family, timeout=HANG)
    assert alive == []
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_cannot_be_full_is_not_waited_for(tmp_path: Path) -> None:
    """No fault would ever take effect."""

    def may_not_mount() -> None:
        drop_from_bounding_set, cap_sys_admin = 24, 21
        ctypes.CDLL(None).prctl(drop_from_bounding_set, ctypes.c_ulong(cap_sys_admin), 0, 0, 0)

    command = [sys.executable, "-m", "rescind", "faults", "--kind", "disk-full"]
    ran = subprocess.run(
        command,
        env=environment(tmp_path),
        preexec_fn=may_not_mount,
        stderr=subprocess.PIPE,
        text=True,
        timeout=HANG,
        check=False,
    )
    assert ran.returncode == 2
    assert "Run as root" in ran.stderr


def test_what_cannot_be_kept_is_told_all_the_same(tmp_path: Path) -> None:
    assert keep(tmp_path, ["something"], Path("/dev/null/found")).startswith("not kept: ")


def test_what_cannot_be_asked_for(tmp_path: Path) -> None:
    for arguments, said in (
        (["--kind", "earthquake"], "there is no kind 'earthquake'"),
        (["--faults", "3", "--minutes", "1"], "give --faults or --minutes"),
        (["--episode", "3", "--minutes", "1"], "give --episode alone"),
        (["--output", "/dev/null/found"], "/dev/null is no directory"),
    ):
        ran = CliRunner().invoke(whole_app(), ["faults", *arguments])
        assert (ran.exit_code, said in ran.output) == (2, True)
    ran = CliRunner().invoke(whole_app(), ["faults", "--list"])
    assert [line.split()[0] for line in ran.output.splitlines()] == [kind.name for kind in KINDS]


@pytest.mark.parametrize("shut_down", [False, True])
def test_only_a_scheduler_that_shuts_down_cancels_what_nobody_asked_for(shut_down: bool, tmp_path: Path) -> None:
    lines: list[dict[str, object]] = [
        {"what": "submitted", "key": "c1.1-1", "kind": "hangs", "task": "aa", "others": []},
        {"what": "settled", "key": "c1.1-1", "how": "cancelled", "why": "CONFIRMED"},
    ]
    (tmp_path / "c1.1.journal").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = judge_clients(tmp_path, [], {}, shut_down=shut_down)
    asked = "c1.1: c1.1-1 was cancelled (CONFIRMED), and nobody had asked for it"
    assert found == ([] if shut_down else [asked])


class LinksThatWait:
    """A message passes when somebody waits for it; what is to be done once it has passed is done at the next wait."""

    def __init__(self) -> None:
        self.on_message: Callable[[str, bool, Message | None], None] = lambda name, to_scheduler, message: None
        self.soon: list[Callable[[], None]] = []
        self.run_soon = self.soon.append

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """In place of `Event.wait`."""
        if event.is_set():  # nobody waits
            return True
        if self.soon:
            self.soon.pop()()
        else:
            self.on_message("c1", True, TaskCancel(b"a"))
        return event.is_set()


def test_a_fault_that_is_late_is_done_before_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the last one strikes a client that has been told to finish, and is not started again."""
    links = LinksThatWait()
    monkeypatch.setattr(threading.Event, "wait", lambda event, seconds: links.wait(event, seconds))  # noqa: PLW0108 - a function becomes a method
    striker = Striker(cast("System", SimpleNamespace(links=links, members={})), cast("Nursery", None))
    done: list[Fault] = []
    monkeypatch.setattr(striker, "_do", lambda fault, struck, near: done.append(fault))
    moment = Moment("as a client asks to cancel", TaskCancel, "client", True)
    fault = replace(draw_plan(1, 0, 1, ["kill-client"]).faults[0], moment=moment, late=True)
    striker.strike(fault)
    assert done == [fault]


def test_an_episode_leaves_no_handle_of_a_process(tmp_path: Path) -> None:
    """A run of some hundred episodes would have more than it may."""
    with closing(episodes(tmp_path, ["pause-task"], "")) as played:
        report = next(played)
        assert any(each.took_effect for each in report.struck)
        assert handles_of_processes() == 0


@pytest.mark.parametrize(("option", "found", "status"), [("--list", [], 0), ("--", [], 0), ("--", [(1, ["lost"])], 1)])
def test_whoever_reads_may_leave(option: str, found: list[tuple[int, list[str]]], status: int, tmp_path: Path) -> None:
    """`rescind faults | true`: without a word, and with the status that it has anyway. Nothing is played here."""
    program = (
        "import sys; from rescind_conformance.faults.run import Done, Run; from rescind.cli import whole_app;"
        f"Run.play = lambda self: (self._on_episode(done := Done(found={found!r})), done)[1];"
        f"whole_app()(['faults', {option!r}])"
    )
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as closed:
        ran = subprocess.run(
            [sys.executable, "-c", program],
            env=environment(tmp_path),
            cwd=tmp_path,
            stdout=closed,
            stderr=subprocess.PIPE,
            text=True,
            timeout=HANG,
            check=False,
        )
    assert (ran.returncode, ran.stderr) == (status, "")
