"""Known failures: departures that are expected of a subject, each with its reason, from a TOML file.

```toml
[[known]]
role = "scheduler"
requirement = "S5.1"
case = "crossing.result-crosses-cancel"
reason = "The result is dropped while a cancel is open."
```

`case` is a glob. A departure that no entry names fails a run; so does an entry whose departure did not come, for then
the list is out of date. It did not come in a case that checks the requirement and found it kept. A case that does not
check it, and departs from it as a rule only in passing, proves nothing by itself: such an entry is out of date when
every case that its glob names was played to its end, and none departed from it. With `sometimes = true` it is never out
of date: that departure hangs on the subject's own timing.
"""

from __future__ import annotations

import fnmatch
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rescind_conformance.case import ROLES, all_cases
from rescind_conformance.requirements import Level, Requirement, load_requirements
from rescind_conformance.verdicts import CaseResult, Verdict, findings_by_case


class KnownFailuresError(ValueError):
    """The file cannot be used; the text says where and why."""


@dataclass(frozen=True, slots=True)
class KnownFailure:
    """One entry."""

    role: str
    requirement: str
    case: str
    reason: str
    sometimes: bool = False
    """It comes now and then."""

    def names(self, result: CaseResult, requirement: str) -> bool:
        """Whether it is about this requirement in this case."""
        return self.requirement == requirement and self.names_case(result)

    def names_case(self, result: CaseResult) -> bool:
        """Whether it is about this case."""
        return self.role == result.role and fnmatch.fnmatchcase(result.case, self.case)

    def absent(self, results: Sequence[CaseResult]) -> set[str]:
        """The cases that it names, if none of them checks its requirement, all were played to their end, and none
        departed from it; otherwise none.
        """
        named = [result for result in results if self.names_case(result)]
        if self.sometimes or any(self.requirement in result.declared or not _came_through(result) for result in named):
            return set()
        played = {result.case for result in named}
        there_are = {case.name for case in all_cases(self.role) if fnmatch.fnmatchcase(case.name, self.case)}
        return played if there_are <= played else set()


@dataclass(frozen=True, slots=True)
class KnownFailures:
    """The entries of a file."""

    entries: tuple[KnownFailure, ...] = ()

    def reason(self, result: CaseResult, requirement: str) -> str | None:
        """Why a departure from a requirement in a case is expected; None if it is not."""
        return next((one.reason for one in self.entries if one.names(result, requirement)), None)

    def _is_certain(self, result: CaseResult, requirement: str) -> bool:
        """Whether a departure is expected each time."""
        return any(one.names(result, requirement) and not one.sometimes for one in self.entries)

    def explain(self, result: CaseResult) -> bool:
        """Whether every departure of a case is known."""
        return all(self.reason(result, name) is not None for name in result.departed)

    def passes_unexpectedly(self, result: CaseResult, results: Sequence[CaseResult]) -> bool:
        """Whether a departure that is listed for this case alone, or that it checks for, did not come in it."""
        if any(result.finding(name) is Verdict.PASS and self._is_certain(result, name) for name in result.declared):
            return True
        return any(one.names_case(result) and one.absent(results) == {result.case} for one in self.entries)

    def unexpected(self, results: Sequence[CaseResult], requirements: Mapping[str, Requirement]) -> list[str]:
        """What makes a run fail, each in a line."""
        lines: dict[str, None] = {}
        for result in results:
            for name in sorted(result.departed | set(result.declared)):
                finding, known = result.finding(name), self.reason(result, name)
                must = requirements[name].level is Level.MUST
                if finding is Verdict.FAIL and known is None and must:
                    lines[f"{name} fails in {result.case}"] = None
                elif finding is Verdict.NOT_REACHED and must and not self.explain(result):
                    lines[f"{name} is not reached in {result.case}"] = None
                elif finding is Verdict.PASS and self._is_certain(result, name):
                    lines[f"{name} passes in {result.case}, though it is listed as a known failure"] = None
        for entry in self.entries:
            cases = sorted(entry.absent(results))
            if len(cases) == 1:
                lines[f"{entry.requirement} does not fail in {cases[0]}, though it is listed as a known failure"] = None
            elif cases:
                named = f"any of the {len(cases)} cases that {entry.case!r} names"
                lines[f"{entry.requirement} does not fail in {named}, though it is listed as a known failure"] = None
        for name in requirements:
            for case, finding in findings_by_case(name, results).items():
                if finding is Verdict.FLAKY:
                    lines[f"{name} is flaky in {case}"] = None
        return list(lines)


def _came_through(result: CaseResult) -> bool:
    """Whether a case was played to its end: a departure may have cut it short."""
    return not result.departures and result.unsupported is None and result.harness_error is None


def load_known_failures(path: Path) -> KnownFailures:
    """Read a file. Raises `KnownFailuresError`, and `SpecificationError`."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise KnownFailuresError(f"{path}: {error}") from error
    if document.keys() - {"known"}:
        raise KnownFailuresError(f"{path}: only [[known]] is understood, not {', '.join(document.keys() - {'known'})}")
    tables = document.get("known", [])
    if not isinstance(tables, list) or not all(isinstance(entry, dict) for entry in tables):
        raise KnownFailuresError(f"{path}: 'known' must be a list of tables: begin each entry with [[known]]")
    return KnownFailures(tuple(_entry(f"{path}: entry {number}", one) for number, one in enumerate(tables, start=1)))


def _entry(where: str, entry: Mapping[str, object]) -> KnownFailure:
    fields = ("role", "requirement", "case", "reason")
    texts = {name: value for name, value in entry.items() if isinstance(value, str) and value}
    sometimes = entry.get("sometimes", False)
    if set(entry) - {"sometimes"} != set(fields) or texts.keys() != set(fields) or not isinstance(sometimes, bool):
        raise KnownFailuresError(
            f"{where} must have the texts {', '.join(fields)}, may have sometimes = true, and no others"
        )
    role, name = texts["role"], texts["requirement"]
    if role not in ROLES:
        raise KnownFailuresError(f"{where}: unknown role {role!r}; there are: {', '.join(ROLES)}")
    requirement = load_requirements().get(name)
    if requirement is None:
        raise KnownFailuresError(f"{where}: unknown requirement {name!r}: see `rescind conformance list`")
    if requirement.role not in (role, "all"):
        raise KnownFailuresError(f"{where}: {name} binds a {requirement.role}, not a {role}")
    return KnownFailure(**texts, sometimes=sometimes)
