"""The mutants: the catalogue fits the reference and SPEC.md, and a run tells the kinds of mutants apart."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from rescind_conformance.case import ROLES, all_cases
from rescind_conformance.coverage import not_observable
from rescind_conformance.mutants.catalogue import Catalogue, CatalogueError, Edit, Mutant, load_catalogue
from rescind_conformance.mutants.faulty_copy import SOUND, EditDoesNotApply, edited, faulty_copy
from rescind_conformance.mutants.kill_matrix import as_document, idle_cases, kills_by_case
from rescind_conformance.mutants.playing import Findings, MutantResult, Outcome, Played, run_mutants
from rescind_conformance.requirements import Level, load_requirements, specification_path
from rescind_conformance.runner import play_case
from rescind_conformance.verdicts import AtFault, CaseResult

MUTANTS = {mutant.name: mutant for mutant in load_catalogue().mutants}
"""By name."""
DEADLINE = 3.0
"""Seconds: only mutants make the suite wait for it."""


@pytest.fixture
def marked(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Every process that a test starts, however indirectly, has this in its environment; at the end all are gone.

    Not for each test, since to look for them takes a while.
    """
    mark = uuid.uuid4().hex
    monkeypatch.setenv("CONFORMANCE_TEST", mark)
    yield mark
    assert left_behind(mark) == []


def left_behind(mark: str) -> list[psutil.Process]:
    """The processes of a test that do not end by themselves either."""
    marked = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get("CONFORMANCE_TEST") == mark:
                marked.append(process)
        except psutil.Error:
            continue
    alive: list[psutil.Process] = psutil.wait_procs(marked, timeout=10)[1]
    return alive


# --- the catalogue


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=MUTANTS)
def test_edits_apply_and_compile(mutant: Mutant) -> None:
    texts: dict[str, str] = {}
    for edit in mutant.edits:
        before = texts.get(edit.file) or (SOUND / edit.file).read_text(encoding="utf-8")
        texts[edit.file] = edited(edit, before)
        assert texts[edit.file] != before
    for file, text in texts.items():
        compile(text, file, "exec")


def test_no_two_mutants_are_the_same() -> None:
    """Of one role: what a client, a scheduler and a worker have in common may be wrong in each."""
    made: dict[object, str] = {}
    for mutant in MUTANTS.values():
        texts: dict[str, str] = {}
        for edit in mutant.edits:
            texts[edit.file] = edited(edit, texts.get(edit.file) or (SOUND / edit.file).read_text(encoding="utf-8"))
        # Without white space, which may tell two apart that do the same.
        key = (mutant.role, frozenset((file, "".join(text.split())) for file, text in texts.items()))
        assert key not in made, f"{mutant.name} is {made[key]}"
        made[key] = mutant.name


def test_catalogue_names_what_there_is() -> None:
    requirements = load_requirements()
    known_bugs = field_bugs_of_the_specification()
    cases = {role: {case.name: case for case in all_cases(role)} for role in ROLES}
    for mutant in MUTANTS.values():
        for name in mutant.breaks:
            assert requirements[name].role in (mutant.role, "all"), mutant.name
        assert set(mutant.field_bugs) <= known_bugs, mutant.name
        for case in mutant.cases:
            assert set(cases[mutant.role][case].requirements) & set(mutant.breaks), mutant.name


@pytest.mark.parametrize("role", ROLES)
def test_each_case_is_to_catch_a_mutant(role: str) -> None:
    named = {case for mutant in MUTANTS.values() if mutant.role == role for case in mutant.cases}
    idle = load_catalogue().idle_cases[role]
    assert {case.name for case in all_cases(role)} - named == set(idle)
    assert all(idle.values())


def field_bugs_of_the_specification() -> set[int]:
    """The numbers in the table of SPEC.md's section 16."""
    section = specification_path().read_text(encoding="utf-8").partition("## 16.")[2]
    return {int(number) for row in re.findall(r"^\| ([\d, ]+) \|", section, re.MULTILINE) for number in row.split(",")}


@pytest.mark.parametrize("role", ROLES)
def test_each_must_has_a_mutant_or_cannot_be_seen_broken(role: str) -> None:
    """A MUST without a mutant is one that no case can check, either."""
    musts = {one.id for one in load_requirements().values() if one.level is Level.MUST and one.role in (role, "all")}
    broken = {name for mutant in MUTANTS.values() if mutant.role == role for name in mutant.breaks}
    reasons = load_catalogue().without_mutant[role]
    assert musts - broken == set(reasons)
    assert all(reasons.values())
    assert set(reasons) <= set(not_observable(role))


def test_field_bugs_have_mutants() -> None:
    bugs = {bug for mutant in MUTANTS.values() for bug in mutant.field_bugs}
    assert bugs == field_bugs_of_the_specification()


def test_what_clients_of_this_protocol_have_had_is_there() -> None:
    assert {
        "event-of-the-canceller-is-never-set",
        "waiter-is-made-after-the-request",
        "cancel-returns-before-any-answer",
        "time-limit-means-false",
        "result-is-delivered-to-a-cancelled-future",
        "result-in-a-round-is-lost",
        "second-confirm-settles-again",
        "callbacks-run-twice",
        "callbacks-of-cancelled-futures-do-not-run",
    } <= MUTANTS.keys()


ENTRY = """
[[mutant]]
name = "x"
breaks = ["S1.1"]
cases = ["terminal.one-result"]
tells = "It does something wrong."
file = "wire.py"
find = "a"
replace = "b"
"""


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (('find = "a"\n', ""), "mutant 1 (x) needs"),
        (('["S1.1"]', "[]"), "mutant 1 (x) needs"),
        (('["terminal.one-result"]', '"terminal.one-result"'), "mutant 1 (x) needs"),
        (('replace = "b"\n', 'replace = "b"\nby = "me"\n'), "mutant 1 (x) needs"),
        (('replace = "b"\n', 'replace = "b"\n[[mutant.also]]\nfile = "wire.py"\n'), "mutant 1 (x) needs"),
        (("", ENTRY), "two mutants are named x"),
        (("[[mutant]]", "[[mutants]]"), "there is no use for mutants"),
        (("[[mutant]]", "[[mutant"), "scheduler.toml: "),
    ],
)
def test_a_catalogue_that_does_not_fit_says_where(change: tuple[str, str], complaint: str, tmp_path: Path) -> None:
    for role in ROLES:
        (tmp_path / f"{role}.toml").write_text("", encoding="utf-8")
    (tmp_path / "scheduler.toml").write_text(ENTRY.replace(*change, 1), encoding="utf-8")
    with pytest.raises(CatalogueError, match=re.escape(complaint)):
        load_catalogue(tmp_path)


# --- copies


@pytest.mark.usefixtures("marked")
def test_copy_is_what_the_processes_import() -> None:
    edit = Edit("placement.py", "def least_loaded(self)", "def least_loaded(self)")
    mutant = made_up("made-up", "scheduler", "S8.2", "capacity.one-holder", edit)
    show = "import rescind, rescind.wire, rescind_conformance as c; print(rescind.__file__, c.__file__)"
    with faulty_copy(mutant) as copy:
        environment = {**os.environ, **copy.environment}
        # In a directory that holds the sound package, which must not come first.
        said = subprocess.run(
            [sys.executable, "-c", show], env=environment, cwd=SOUND.parent, capture_output=True, text=True, check=True
        ).stdout.split()
        assert Path(said[0]).parents[1] == copy.directory
        assert not copy.was_imported
        subprocess.run([sys.executable, "-c", "import rescind.placement"], env=environment, check=True)
        assert copy.was_imported
    assert not copy.directory.exists()


def test_edit_must_fit_exactly_once() -> None:
    wire = (SOUND / "wire.py").read_text(encoding="utf-8")
    with pytest.raises(EditDoesNotApply, match=r"wire\.py has this 0 times and not once"):
        edited(Edit("wire.py", "there is nothing like it", ""), wire)
    with pytest.raises(EditDoesNotApply, match=r"wire\.py has this [2-9] times and not once"):
        edited(Edit("wire.py", "import ", ""), wire)
    nowhere = made_up("nowhere", "scheduler", "S1.1", "terminal.one-result", Edit("nowhere.py", "a", "b"))
    with pytest.raises(EditDoesNotApply, match=r"no nowhere\.py"), faulty_copy(nowhere):
        pass


# --- runs


def made_up(name: str, role: str, breaks: str, case: str, edit: Edit) -> Mutant:
    """A mutant that is not in the catalogue."""
    return Mutant(name, role, (breaks,), (case,), "made up", (edit,))


HANGS = made_up(
    "hangs",
    "scheduler",
    "S10.1",
    "heartbeats.client-heartbeats",
    Edit(
        "scheduler_machine.py",
        "        self._out = []\n        match event:\n",
        "        self._out = []\n        while isinstance(event, Received):\n            pass\n        match event:\n",
    ),
)
RAISES = Edit("wire.py", "MAX_DEPTH: Final = 64\n", "raise RuntimeError('on purpose')\n")
CRASHES = [
    made_up("crashing-scheduler", "scheduler", "S1.1", "terminal.one-result", RAISES),
    made_up("crashing-client", "client", "C1.1", "asking.cancel-waits", RAISES),
    made_up("crashing-worker", "worker", "W1.1", "running.at-once", RAISES),
]
ELSEWHERE = made_up(
    "elsewhere",
    "scheduler",
    "M2",  # but what it breaks is S3.1
    "versions.long-frame",
    Edit(
        "scheduler_table.py",
        "(s.QUEUED, i.CANCEL, s.ENDED, a.SEND_CANCELED)",
        "(s.QUEUED, i.CANCEL, s.QUEUED, a.NOTHING)",
    ),
)


@pytest.mark.usefixtures("marked")
def test_run_tells_the_kinds_apart() -> None:
    killed = [
        MUTANTS[one] for one in ("refusal-is-swallowed", "canceled-returns-false", "running-task-is-not-answered")
    ]
    told: list[str] = []
    mutants = [*killed, HANGS, *CRASHES, ELSEWHERE]
    findings = run_mutants(mutants, jobs=4, deadline=DEADLINE, on_result=lambda one: told.append(one.mutant.name))
    assert [one.mutant for one in findings.results] == mutants
    assert sorted(told) == sorted(mutant.name for mutant in mutants)
    assert findings.unsound == []
    results = {one.mutant.name: one for one in findings.results}
    for mutant in (*killed, HANGS):
        assert results[mutant.name].outcome is Outcome.KILLED, results[mutant.name]
        assert [one.case for one in results[mutant.name].played] == list(mutant.cases)  # and no other was needed
    for mutant in CRASHES:
        assert results[mutant.name].outcome is Outcome.CRASHED
        assert "on purpose" in results[mutant.name].crash
    assert results["elsewhere"].outcome is Outcome.ELSEWHERE
    assert results["elsewhere"].played[0].departed == ()
    assert results["hangs"].seconds < 10 * DEADLINE
    document = json.loads(json.dumps(as_document(findings)))
    assert [one["outcome"] for one in document["mutants"]] == [one.outcome for one in findings.results]


@pytest.mark.usefixtures("marked")
def test_survivor_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no fault that anybody could see. Of the cases of its requirement, and of the others, one is played."""
    edit = Edit("future.py", "DEFAULT_CANCEL_TIMEOUT = 30.0", "DEFAULT_CANCEL_TIMEOUT = 30.5")
    few = [case for case in all_cases("client") if case.name in ("asking.canceled", "asking.not-found")]
    monkeypatch.setattr("rescind_conformance.mutants.playing.all_cases", lambda role: few)
    findings = run_mutants([made_up("survivor", "client", "C2.2", "asking.not-found", edit)], deadline=DEADLINE)
    (result,) = findings.results
    assert result.outcome is Outcome.SURVIVED
    assert [one.case for one in result.played] == ["asking.not-found", "asking.canceled"]


@pytest.mark.parametrize(
    ("at_fault", "text", "reason"),
    [
        (AtFault.ADAPTER, "it ended\nIts last lines:\nbye", "it ended"),
        (AtFault.SUITE, "Traceback (most recent call last):\n  File ...\nKeyError: 1\n", "KeyError: 1"),
    ],
    ids=["adapter", "suite"],
)
@pytest.mark.usefixtures("marked")
def test_case_that_fails_itself_kills_nothing(
    at_fault: AtFault, text: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has found the departure, and then failed. What it comes to is told in a line."""

    def fail_in_the_end(*arguments: Any) -> CaseResult:
        result = play_case(*arguments)
        result.harness_error, result.at_fault = text, at_fault
        return result

    mutant = MUTANTS["canceled-returns-false"]
    monkeypatch.setattr("rescind_conformance.mutants.playing.play_case", fail_in_the_end)
    monkeypatch.setattr(
        "rescind_conformance.mutants.playing.all_cases",
        lambda role: [case for case in all_cases(role) if case.name in mutant.cases],
    )
    (result,) = run_mutants([mutant], deadline=DEADLINE).results
    assert [(set(one.departed), one.harness_error) for one in result.played] == [(set(mutant.breaks), reason)]
    assert result.outcome is Outcome.HARNESS_ERROR
    assert not any(kills_by_case([result], "client").values())
    (told,) = as_document(Findings([result], [], 0.0))["mutants"]
    assert told["killed_by"] == []
    assert told["cases"][0]["harness_error"] == reason


@pytest.mark.usefixtures("marked")
def test_kills_of_the_sound_reference_are_void(monkeypatch: pytest.MonkeyPatch) -> None:
    """With so short a deadline the sound scheduler fails the same case: nothing can be said."""
    mutant = MUTANTS["waits-for-workers-for-ever"]
    findings = run_mutants([mutant], deadline=0.5)
    assert [(role, one.case) for role, one in findings.unsound] == [("scheduler", case) for case in mutant.cases]


def test_idle_cases_and_kills_are_counted() -> None:
    def played(case: str, *departed: str) -> Played:
        (one,) = (known for known in all_cases("client") if known.name == case)
        return Played(case, one.requirements, departed, "", 0.1)

    mutant = MUTANTS["canceled-returns-false"]
    result = MutantResult(
        mutant, [played("asking.canceled", "C2.1"), played("asking.not-found", "C2.1"), played("sharing.threads-share")]
    )
    counts = kills_by_case([result], "client")
    assert counts["asking.canceled"] == 1
    assert counts["asking.not-found"] == 0  # it found what it does not check
    assert len(counts) == len(all_cases("client"))
    reasons = {"client": {"asking.canceled": "a reason", "asking.not-found": "a reason"}}
    catalogue = Catalogue((mutant,), {}, {**{role: {} for role in ROLES}, **reasons})
    unexplained, outdated = idle_cases([result], catalogue)
    assert outdated == ["client: asking.canceled"]
    assert "client: asking.not-found" not in unexplained
    assert "client: sharing.threads-share" in unexplained


@pytest.mark.usefixtures("marked")
def test_command(tmp_path: Path) -> None:
    report = tmp_path / "matrix.json"
    done = command("--role", "client", "--mutant", "refusal-returns-*", "--json", str(report))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 mutant in" in done.stdout
    (mutant,) = json.loads(report.read_text(encoding="utf-8"))["mutants"]
    assert mutant["name"] == "refusal-returns-true"
    assert mutant["outcome"] == "killed"
    assert mutant["killed_by"] == list(MUTANTS["refusal-returns-true"].cases)
    for options, text in ((("--mutant", "no-such-*"), "no mutant matches"), (("--role", "judge"), "unknown role")):
        wrong = command(*options)
        assert wrong.returncode == 2
        assert text in wrong.stderr


def command(*options: str) -> subprocess.CompletedProcess[str]:
    """`rescind conformance mutants`, to its end."""
    return subprocess.run(arguments(*options), capture_output=True, text=True, check=False, timeout=100)


def arguments(*options: str) -> list[str]:
    """The command line."""
    return [sys.executable, "-m", "rescind", "conformance", "mutants", *options]


def test_interrupted_run_leaves_nothing_behind(marked: str, tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    run = subprocess.Popen(
        arguments("--jobs", "3"), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 30
    while len(psutil.Process(run.pid).children(recursive=True)) < 4 and time.monotonic() < deadline:
        with pytest.raises(subprocess.TimeoutExpired):
            run.wait(0.05)
    run.send_signal(signal.SIGINT)
    assert run.wait(30) != 0
    assert left_behind(marked) == []
    assert list(tmp_path.iterdir()) == []
