"""Known failures: departures that are expected of a subject, each with its reason, from a TOML file.

```toml
[[known]]
role = "scheduler"
requirement = "S5.1"
case = "crossing.result-crosses-cancel"
reason = "The result is dropped while a cancel is open."
```

`case` is a glob. A departure that no entry names fails a run; so does an entry whose departure did not
come in a case that was played, for then the list is out of date.
"""

from __future__ import annotations

import fnmatch
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rescind_conformance.requirements import Level, Requirement
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

    def names(self, result: CaseResult, requirement: str) -> bool:
        """Whether it is about this requirement in this case."""
        return (
            self.role == result.role and self.requirement == requirement and fnmatch.fnmatchcase(result.case, self.case)
        )


@dataclass(frozen=True, slots=True)
class KnownFailures:
    """The entries of a file."""

    entries: tuple[KnownFailure, ...] = ()

    def reason(self, result: CaseResult, requirement: str) -> str | None:
        """Why a departure from a requirement in a case is expected; None if it is not."""
        return next((one.reason for one in self.entries if one.names(result, requirement)), None)

    def explain(self, result: CaseResult) -> bool:
        """Whether every departure of a case is known."""
        return all(self.reason(result, name) is not None for name in result.departed)

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
                elif finding is Verdict.PASS and known is not None:
                    lines[f"{name} passes in {result.case}, though it is listed as a known failure"] = None
        for name in requirements:
            for case, finding in findings_by_case(name, results).items():
                if finding is Verdict.FLAKY:
                    lines[f"{name} is flaky in {case}"] = None
        return list(lines)


def load_known_failures(path: Path) -> KnownFailures:
    """Read a file. Raises `KnownFailuresError`."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise KnownFailuresError(f"{path}: {error}") from error
    if document.keys() - {"known"}:
        raise KnownFailuresError(f"{path}: only [[known]] is understood, not {', '.join(document.keys() - {'known'})}")
    entries = []
    for number, entry in enumerate(document.get("known", []), start=1):
        fields = ("role", "requirement", "case", "reason")
        if set(entry) != set(fields) or not all(isinstance(value, str) and value for value in entry.values()):
            raise KnownFailuresError(f"{path}: entry {number} must have the texts {', '.join(fields)}, and no others")
        entries.append(KnownFailure(**entry))
    return KnownFailures(tuple(entries))
