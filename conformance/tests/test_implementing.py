"""IMPLEMENTING.md: what it names exists, and its steps together play every case and name every requirement."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rescind_conformance.case import ROLES, all_cases
from rescind_conformance.commanded_profiles import COMMAND_HELP
from rescind_conformance.requirements import load_requirements
from rescind_conformance.runner import NothingSelected, select_cases

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "conformance" / "IMPLEMENTING.md").read_text(encoding="utf-8")
SECTIONS = {
    role: GUIDE.split(f"\n## {number}. A {role}\n")[1].split("\n## ")[0]
    for role, number in (("scheduler", 3), ("worker", 4), ("client", 5))
}
TRAPS = GUIDE.split("\n## Traps\n")[1]
CODE = re.compile(r"`([^`]+)`")
GLOB = re.compile(r"[a-z-]+\.[a-z*\[\]-]+|[a-z]+\*")
FILE = re.compile(r".*\.(json|jsonl|md|py|capnp|toml)")
IDENTIFIER = re.compile(r"\b([TMSWCE])(\d+)(?:\.(\d+))?\b(?: to ([TMSWCE])(\d+)(?:\.(\d+))?\b)?")
REQUIREMENTS = load_requirements()


def rows(role: str) -> list[list[str]]:
    """The cells of each step: its name, what to build, requirements, what to play."""
    lines = [line for line in SECTIONS[role].splitlines() if re.match(r"\| \d", line)]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def filters(play: str) -> Iterator[tuple[str, str]]:
    """Each `--case GLOB` and `--tag TAG`; the option is said once for several that follow it."""
    option = ""
    for code in CODE.findall(play):
        words = code.replace("'", "").split()
        if len(words) == 2:
            option = words[0]
        yield option, words[-1]


def chosen(role: str, option: str, word: str) -> set[str]:
    """The names of the cases that the command plays."""
    assert option in ("--case", "--tag"), word
    pattern, tag = (word, None) if option == "--case" else (None, word)
    try:
        return {case.name for case in select_cases(pattern, tag=tag, role=role)}
    except NothingSelected:
        return set()


def named(text: str) -> set[str]:
    """The requirements that the text names: single ones, ranges, and whole groups such as S3."""
    found: set[str] = set()
    for letter, group, number, _, last_group, last_number in IDENTIFIER.findall(text):
        groups = range(int(group), int(last_group or group) + 1)
        if number:
            some = {f"{letter}{group}.{n}" for n in range(int(number), int(last_number or number) + 1)}
        else:
            some = {one for one in REQUIREMENTS if any(re.fullmatch(rf"{letter}{n}(\.\d+)?", one) for n in groups)}
        assert some, text
        found |= some
    return found


@pytest.mark.parametrize("role", ROLES)
def test_each_command_of_a_step_plays_a_case(role: str) -> None:
    assert len(rows(role)) >= 5
    for step in rows(role):
        commands = list(filters(step[-1]))
        assert commands, step
        assert [each for each in commands if not chosen(role, *each)] == []


@pytest.mark.parametrize("role", ROLES)
def test_the_steps_play_every_case(role: str) -> None:
    played = {name for step in rows(role) for each in filters(step[-1]) for name in chosen(role, *each)}
    assert {case.name for case in all_cases(role)} - played == set()


@pytest.mark.parametrize("role", ROLES)
def test_the_steps_name_every_requirement_that_cases_of_the_role_check(role: str) -> None:
    said = named(" ".join(step[-2] for step in rows(role)))
    assert said - REQUIREMENTS.keys() == set()
    checked = {one for case in all_cases(role) for one in case.requirements}
    assert checked - said == set()


def test_each_requirement_that_is_named_exists() -> None:
    assert len(named(GUIDE)) > 100
    assert named(GUIDE) - REQUIREMENTS.keys() == set()


def test_each_case_in_the_traps_exists() -> None:
    globs = [code for code in CODE.findall(TRAPS) if GLOB.fullmatch(code) and not FILE.fullmatch(code)]
    assert len(globs) > 20
    assert [glob for glob in globs if not any(chosen(role, "--case", glob) for role in ROLES)] == []


def test_the_vectors_that_are_named_exist_and_are_as_many_as_is_said() -> None:
    folder = ROOT / "protocol" / "vectors"
    index = json.loads((folder / "index.json").read_text(encoding="utf-8"))["vectors"]
    assert f" {len(index)} frames" in GUIDE
    vectors = re.findall(r"`(malformed/[a-z-]+)`", GUIDE)
    assert len(vectors) == 2
    assert set(vectors) <= {vector["name"] for vector in index}


def options(command: str) -> set[str]:
    """What `rescind COMMAND --help` has."""
    asked = [sys.executable, "-m", "rescind", *command.split(), "--help"]
    wide = {**os.environ, "COLUMNS": "200"}
    shown = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=True, env=wide)
    return set(re.findall(r"--[a-z-]+", shown.stdout))


def test_each_option_that_is_named_exists() -> None:
    commands = ("conformance scheduler", "conformance client", "conformance worker", "conformance orders")
    known = set().union(*map(options, (*commands, "conformance list", "tap", "check")))
    # The words before braces are the implementation's own; what is in the braces is the suite's.
    own = re.findall(r"(--[a-z-]+) \{", GUIDE)
    assert len(own) == 10
    said = re.findall(r"(?<![\w-])--[a-z][a-z-]*", GUIDE)
    assert set(said) - known - set(own) == set()


def test_what_stands_in_braces_is_what_the_suite_sets() -> None:
    braces = set(re.findall(r"\{[a-z_]+\}", GUIDE))
    assert len(braces) == 11
    assert braces == set(re.findall(r"\{[a-z_]+\}", COMMAND_HELP))
