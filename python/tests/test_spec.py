"""SPEC.md and the code hold each other: state tables, requirement ids, defaults."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from rescind import client_table, scheduler_table, worker_table
from rescind.scheduler_machine import SchedulerSettings

ROOT = Path(__file__).parents[2]
SPEC = (ROOT / "SPEC.md").read_text(encoding="utf-8")
REQUIREMENT = re.compile(r"^- \*\*([A-Z]+[0-9.]+)\*\* (MUST|SHOULD|MAY) — .+ \*Why: .+\*$")
CITATION = re.compile(r"\b([CSWMTE][0-9]{1,2}(?:\.[0-9]{1,2})?)\b")


class Row(NamedTuple):
    state: str
    event: str
    following: str
    action: str


def rows_under(heading: str) -> list[Row]:
    section = SPEC.split(f"### {heading}\n")[1].split("\n#")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    return [Row(*(cell.strip() for cell in line.strip("|").split("|"))) for line in lines]


def rows_of(transitions: Mapping[tuple[str, str], tuple[str, str]]) -> list[Row]:
    return [Row(str(state), str(event), *map(str, after[:2])) for (state, event), after in transitions.items()]


@pytest.mark.parametrize(
    ("heading", "transitions"),
    [
        ("The scheduler's table", scheduler_table.TRANSITIONS),
        ("The worker's table", worker_table.TRANSITIONS),
        ("The client's table", client_table.TRANSITIONS),
    ],
)
def test_the_state_tables_in_the_spec_are_those_in_the_code(
    heading: str, transitions: Mapping[tuple[str, str], tuple[str, str]]
) -> None:
    assert rows_under(heading) == rows_of(transitions)


def requirement_ids() -> list[str]:
    return [match[1] for line in SPEC.splitlines() if (match := REQUIREMENT.match(line))]


def test_every_requirement_is_well_formed_and_has_an_id_of_its_own() -> None:
    written = [line for line in SPEC.splitlines() if line.startswith("- **")]
    assert len(written) == len(requirement_ids()) > 80
    assert len(set(requirement_ids())) == len(written)


def test_every_requirement_that_spec_or_code_refers_to_exists() -> None:
    known = set(requirement_ids()) | {identifier.split(".")[0] for identifier in requirement_ids()}
    packages = (ROOT / "python" / "rescind", ROOT / "conformance" / "rescind_conformance")
    sources = [path for package in packages for path in package.rglob("*.py")]
    for path in [ROOT / "SPEC.md", *sources]:
        cited = {
            match[1]
            for match in CITATION.finditer(path.read_text(encoding="utf-8"))
            # names of peers and tasks in examples and traces look alike: C1, W1, T1 without a number after the dot
            if "." in match[1] or path.name == "SPEC.md"
        }
        assert cited <= known, f"{path.name} cites {sorted(cited - known)}"


def test_the_defaults_are_those_that_the_spec_gives() -> None:
    settings = SchedulerSettings()
    assert f"| worker time-out (scheduler) | {settings.worker_timeout:.0f} s |" in SPEC
    assert f"| client time-out (scheduler) | {settings.client_timeout:.0f} s |" in SPEC
    assert f"(the reference: {settings.max_attempts})" in SPEC
    assert f"| tasks held for each client | - | {settings.max_tasks_per_client:,} |" in SPEC
    assert (
        f"| tasks assigned to each worker, whatever its `queueSize` | 1,000 | {settings.max_tasks_per_worker:,} |"
        in SPEC
    )
    assert f"| nodes of a graph | - | {settings.max_nodes_per_graph:,} |" in SPEC
    assert f"| peers of each role | - | {settings.max_peers:,} |" in SPEC
    assert f"| lost peers' ids remembered | 1000 | {settings.remembered_lost_peers} |" in SPEC
