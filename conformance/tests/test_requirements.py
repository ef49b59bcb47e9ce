"""SPEC.md is read strictly, and the cases and SPEC.md name the same requirements."""

from __future__ import annotations

import pytest

from rescind_conformance.case import ROLES, all_cases
from rescind_conformance.coverage import not_observable, not_seen
from rescind_conformance.requirements import (
    Level,
    Requirement,
    SpecificationError,
    load_requirements,
    parse_requirements,
)

LINE = "- **S2.1** MUST — A cancel is answered. *Why: the sender waits.*"


def test_a_requirement_is_read() -> None:
    text = f"# Title\n\nProse.\n\n{LINE}\n- **W1** SHOULD — Work. *Why: it is a worker.*\n- an ordinary item\n"
    parsed = parse_requirements(text)
    assert list(parsed) == ["S2.1", "W1"]
    assert parsed["S2.1"] == Requirement("S2.1", Level.MUST, "A cancel is answered.", "the sender waits.")
    assert parsed["W1"].level is Level.SHOULD


@pytest.mark.parametrize(
    "line",
    [
        "- **S2.1** MUST - A hyphen for the dash. *Why: typing.*",
        "- **S2.1** MUST — No reason.",
        "- **S2.1** MUST NOT — A level that is none. *Why: RFC 2119 knows it.*",
        "- **S2.1** — No level. *Why: forgotten.*",
        "- **S2.** MUST — Half an id. *Why: a slip.*",
        "  - **S2.1** MUST — Indented. *Why: a slip.*",
        "S2.1 MUST — Not an item. *Why: a slip.*",
        "- **S2.1** MUST — Text behind. *Why: a reason.* And more.",
    ],
)
def test_a_malformed_requirement_is_an_error(line: str) -> None:
    with pytest.raises(SpecificationError, match="line 3"):
        parse_requirements(f"- **S1** MUST — Fine. *Why: it is.*\n\n{line}\n")


def test_an_id_stands_once() -> None:
    with pytest.raises(SpecificationError, match=r"S2\.1 stands twice"):
        parse_requirements(f"{LINE}\n{LINE}\n")


def test_a_text_without_requirements_is_an_error() -> None:
    with pytest.raises(SpecificationError, match="no requirements"):
        parse_requirements("# A page\n")


@pytest.mark.parametrize(
    ("name", "role"), [("S1.1", "scheduler"), ("W2.1", "worker"), ("C3.1", "client"), ("T1", "all"), ("M6", "all")]
)
def test_the_letter_is_the_role(name: str, role: str) -> None:
    assert Requirement(name, Level.MUST, "", "").role == role


def test_ids_sort_as_numbers() -> None:
    shuffled = [Requirement(name, Level.MUST, "", "") for name in ("S10.1", "S2.1", "S1.2")]
    assert [one.id for one in sorted(shuffled, key=lambda one: one.sort_key)] == ["S1.2", "S2.1", "S10.1"]


@pytest.mark.parametrize("role", ROLES)
class TestCoverage:
    def test_every_requirement_has_a_case_or_a_reason(self, role: str) -> None:
        tested = {name for case in all_cases(role) for name in case.requirements}
        assert sorted(binding(role) - tested - not_observable(role).keys()) == []

    def test_no_reason_is_given_for_what_has_a_case(self, role: str) -> None:
        tested = {name for case in all_cases(role) for name in case.requirements}
        assert sorted(tested & not_observable(role).keys()) == []
        assert sorted(not_observable(role).keys() - binding(role)) == []

    def test_what_is_not_seen_is_of_requirements_that_have_a_case(self, role: str) -> None:
        tested = {name for case in all_cases(role) for name in case.requirements}
        assert sorted(not_seen(role).keys() - tested) == []

    def test_cases_check_what_binds_the_role(self, role: str) -> None:
        foreign = {case.name: set(case.requirements) - binding(role) for case in all_cases(role)}
        assert {name: ids for name, ids in foreign.items() if ids} == {}


def binding(role: str) -> set[str]:
    return {one.id for one in load_requirements().values() if one.role in (role, "all")}
