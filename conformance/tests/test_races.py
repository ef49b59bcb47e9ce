"""The race tests: the reference passes, faults are found, shrunk and played again, and RACES.md's examples run."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import race_faults
from hypothesis import Phase, settings
from typer.testing import CliRunner

from rescind_conformance.cli import app
from rescind_conformance.races import (
    RaceTest,
    ReferenceClient,
    ReferenceScheduler,
    ReferenceWorker,
    RequirementBroken,
    client_races,
    scheduler_races,
    worker_races,
)

pytestmark = pytest.mark.long

RACES: dict[str, Callable[..., type[RaceTest]]] = {
    "scheduler": scheduler_races,
    "client": client_races,
    "worker": worker_races,
}
REFERENCES: dict[str, Callable[[], Any]] = {
    "scheduler": ReferenceScheduler,
    "client": ReferenceClient,
    "worker": ReferenceWorker,
}
FAULTS = [
    ("scheduler", "believing", "S8.1", 3),
    ("scheduler", "forgetful", "S9.6 S9.8", 2),
    ("scheduler", "swallowing", "S6.3", 4),
    ("client", "delivering", "C3.1", 3),
    ("client", "keeping", "C9.2", 1),
    ("client", "stubborn", "C4.1", 3),
    ("client", "repeating", "C6.2", 3),
    ("client", "endless", "C5.1", 2),
    ("worker", "refusing", "W2.1", 3),
    ("worker", "silent", "W2.3", 2),
    ("worker", "telling_twice", "W2.5", 3),
    ("worker", "hasty", "W4.2", 2),
    ("worker", "mourning", "W3.1", 2),
]
"""The role, the machine in `race_faults`, the requirements that it breaks, and how long the order is at most."""
SHORT: dict[str, dict[str, Any]] = {
    "believing": {"max_examples": 4000, "stateful_step_count": 10, "phases": [Phase.generate]},
}
"""Machines whose fault needs so much around it that Hypothesis takes most of the time to shrink long orders.

Many short ones are tried instead, and `shortest` shrinks what is found, as it does in all others after Hypothesis.
"""
DOCUMENT = Path(__file__).parents[1] / "RACES.md"


def race(test: type[RaceTest], examples: int, **more: Any) -> None:
    """Run a race test, the same each time."""
    chosen = {"max_examples": examples, **more}
    test.settings = settings(test.settings, derandomize=True, database=None, **chosen)
    test("test_races").test_races()


class Found:
    """The orders that break machines of `race_faults`, each searched once."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._errors: dict[str, RequirementBroken] = {}

    def of(self, role: str, machine: str) -> tuple[RequirementBroken, Path]:
        """The error, and its replay file."""
        if machine not in self._errors:
            test = RACES[role](machine=getattr(race_faults, machine), directory=self._directory / machine)
            with pytest.raises(RequirementBroken) as caught:
                race(test, 400, report_multiple_bugs=False, **SHORT.get(machine, {}))
            self._errors[machine] = caught.value
        error = self._errors[machine]
        assert error.replay is not None
        return error, error.replay


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    return Found(tmp_path_factory.mktemp("races"))


def replayed(file: Path, *options: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["replay", str(file), *options])
    return result.exit_code, result.output


@pytest.mark.parametrize("role", RACES)
def test_the_reference_passes(role: str) -> None:
    race(RACES[role](machine=REFERENCES[role]), 80)


@pytest.mark.parametrize(("role", "machine", "requirement", "length"), FAULTS)
def test_a_fault_is_found_and_shrunk_and_its_replay_shows_it(
    role: str, machine: str, requirement: str, length: int, found: Found
) -> None:
    error, file = found.of(role, machine)
    assert error.requirement in requirement.split(), str(error)
    requirement = error.requirement
    assert error.length <= length, str(error)
    assert f"rescind conformance replay {file} --machine " in str(error)
    status, output = replayed(file, "--machine", f"{race_faults.__file__}:{machine}")
    assert (status, f"seen again: {requirement}" in output) == (1, True), output
    status, output = replayed(file, "--machine", f"rescind_conformance.races:{REFERENCES[role].__name__}")
    assert (status, f"not seen: {requirement}" in output) == (0, True), output


@pytest.mark.parametrize(
    ("role", "name", "key", "row"), [(role, *row) for role, rows in race_faults.ROWS.items() for row in rows]
)
def test_a_wrong_row_is_found(role: str, name: str, key: Any, row: Any, tmp_path: Path) -> None:
    """Each breaks something only in some orders, most of them while a round is open."""
    machine = race_faults.with_row(role, key, row)
    with pytest.raises(RequirementBroken):
        race(RACES[role](machine=machine, directory=tmp_path), 300, phases=[Phase.generate])


def test_an_order_is_told_as_its_messages(found: Found) -> None:
    error, _ = found.of("client", "delivering")
    told = str(error).splitlines()
    assert told[0].startswith("C3.1 (MUST) is broken by delivering: ")
    messages = [line.strip() for line in told if "->" in line]
    assert [" ".join(line.split()[3:]) for line in messages[2:]] == [
        "Task T1",
        "TaskCancel T1",
        "TaskResult T1 success",
    ]


@pytest.mark.parametrize(
    ("role", "machine"), [("scheduler", "believing"), ("client", "delivering"), ("worker", "refusing")]
)
def test_an_order_of_a_machine_is_played_against_a_process(role: str, machine: str, found: Found) -> None:
    error, file = found.of(role, machine)
    status, output = replayed(file, "--subject", "reference")
    assert (status, f"not seen: {error.requirement}" in output) == (0, True), output


@pytest.mark.parametrize(
    ("role", "machine", "fault"),
    [
        ("client", "delivering", "result-wins-over-cancel"),
        ("worker", "refusing", "a-queued-task-refuses"),
    ],
)
def test_an_order_of_a_machine_breaks_the_same_in_a_process_with_the_same_fault(
    role: str, machine: str, fault: str, found: Found
) -> None:
    error, file = found.of(role, machine)
    adapter = shlex.join([sys.executable, str(Path(__file__).with_name(f"faulty_{role}.py")), fault])
    status, output = replayed(file, "--adapter", adapter)
    assert (status, f"seen again: {error.requirement}" in output) == (1, True), output


def test_what_is_known_to_be_broken_does_not_fail(tmp_path: Path) -> None:
    race(client_races(machine=race_faults.keeping, known={"C3.2", "C9.2"}, directory=tmp_path), 50)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("action", "error"),
    [
        ({"do": "perform"}, "there is no action 'perform'"),
        ({"do": "say", "word": "CANCELED", "task": "T7"}, "an action cannot be done: KeyError"),
        ({"do": "submit"}, "an action cannot be done: TypeError"),
    ],
)
def test_a_replay_file_with_a_bad_action_is_told(
    action: dict[str, str], error: str, found: Found, tmp_path: Path
) -> None:
    document = json.loads(found.of("client", "keeping")[1].read_text(encoding="utf-8"))
    document["actions"].append(action)
    file = tmp_path / "bad.json"
    file.write_text(json.dumps(document), encoding="utf-8")
    status, output = replayed(file, "--machine", "rescind_conformance.races:ReferenceClient")
    assert (status, error in output) == (2, True), output


@pytest.mark.parametrize("options", [{}, {"machine": ReferenceClient, "subject": "reference"}])
def test_one_thing_is_put_to_the_test(options: dict[str, Any]) -> None:
    for make in RACES.values():
        with pytest.raises(ValueError, match="give one of machine, subject"):
            make(**options)


def test_replays_need_no_hypothesis_and_races_say_that_they_do(found: Found) -> None:
    _, file = found.of("client", "keeping")
    without = "import sys; sys.modules['hypothesis'] = None; "
    machine = "rescind_conformance.races.reference_client:ReferenceClient"
    for code, expected in [
        ("from rescind_conformance.races import client_races", "pip install 'rescind[races]'"),
        ("from rescind_conformance.cli import app; app()", "not seen: C9.2"),
    ]:
        command = [sys.executable, "-c", without + code, "replay", str(file), "--machine", machine]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert expected in done.stdout + done.stderr, done.stdout + done.stderr


def example_files() -> dict[str, str]:
    """The complete files in RACES.md, by name."""
    blocks = re.findall(r"```python\n(# (test_\w+\.py)\n.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    return {name: text for text, name in blocks}


def test_the_examples_run_and_are_short(tmp_path: Path) -> None:
    """Of the machines, and of a live scheduler, client and worker; with few orders each."""
    files = example_files()
    assert set(files) == {"test_my_scheduler.py", "test_my_client.py", "test_my_worker.py", "test_machines.py"}
    few = "settings.register_profile('few', max_examples=4, derandomize=True, database=None)"
    (tmp_path / "conftest.py").write_text(f"from hypothesis import settings\n{few}\nsettings.load_profile('few')\n")
    for name, text in files.items():
        assert len(text.splitlines()) < 30
        (tmp_path / name).write_text(text)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(tmp_path),
        str(tmp_path),
    ]
    # The examples say `python`.
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert "6 passed" in done.stdout, done.stdout + done.stderr
    assert not (tmp_path / "rescind-races").exists()
