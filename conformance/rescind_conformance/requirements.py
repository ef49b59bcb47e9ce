"""The requirements, read from SPEC.md: the suite has no list of its own that could drift from it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path


class Level(StrEnum):
    """How binding a requirement is, as RFC 2119 says."""

    MUST = "MUST"
    SHOULD = "SHOULD"
    MAY = "MAY"


@dataclass(frozen=True, slots=True)
class Requirement:
    """One requirement of SPEC.md."""

    id: str
    level: Level
    text: str
    reason: str

    @property
    def role(self) -> str:
        """Whom it binds: "scheduler", "worker", "client", or "all"."""
        return {"S": "scheduler", "W": "worker", "C": "client"}.get(self.id[0], "all")

    @property
    def sort_key(self) -> tuple[str, tuple[int, ...]]:
        """Orders ids as a reader would: S2.1 before S10.1."""
        return self.id[0], tuple(int(part) for part in self.id[1:].split("."))


class SpecificationError(ValueError):
    """SPEC.md cannot be read as requirements; the text names the line and what is wrong with it."""


_REQUIREMENT = re.compile(
    r"- \*\*(?P<id>[A-Z][0-9]+(?:\.[0-9]+)?)\*\* (?P<level>MUST|SHOULD|MAY) — (?P<text>\S.*\S) "
    r"\*Why: (?P<reason>\S.*\S)\*"
)
_LOOKS_LIKE_ONE = re.compile(r"\s*[-*]\s*\*\*\s*[A-Z][0-9]|.*\*Why:")


def parse_requirements(specification: str) -> dict[str, Requirement]:
    """The requirements of a specification's text, by id, in its order.

    Raises `SpecificationError` on a line that begins like a requirement, or gives a reason, and is
    not a well-formed one, on an id that stands twice, and when there is none at all.
    """
    found: dict[str, Requirement] = {}
    for number, line in enumerate(specification.splitlines(), start=1):
        match = _REQUIREMENT.fullmatch(line)
        if match is None:
            if _LOOKS_LIKE_ONE.match(line):
                raise SpecificationError(
                    f"line {number} is not a requirement of the form "
                    f"'- **ID** LEVEL — text *Why: reason*': {line[:80]!r}"
                )
            continue
        requirement = Requirement(match["id"], Level(match["level"]), match["text"], match["reason"])
        if requirement.id in found:
            raise SpecificationError(f"line {number}: the id {requirement.id} stands twice")
        found[requirement.id] = requirement
    if not found:
        raise SpecificationError("no requirements found: is this SPEC.md?")
    return found


def specification_path() -> Path:
    """SPEC.md: beside this package in an installed wheel, at the top of the checkout otherwise."""
    package = Path(__file__).resolve().parent
    for candidate in (package / "SPEC.md", package.parent.parent / "SPEC.md"):
        if candidate.is_file():
            return candidate
    raise SpecificationError(f"SPEC.md is neither in {package} nor in {package.parent.parent}: reinstall the package")


@cache
def load_requirements() -> Mapping[str, Requirement]:
    """The requirements of the SPEC.md that belongs to this package. Raises `SpecificationError`."""
    return parse_requirements(specification_path().read_text(encoding="utf-8"))
