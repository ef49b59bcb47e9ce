"""Expected departures: cells of the matrix in which a party is known to depart, each with its requirement and reason.

```toml
[[expected]]
mix = "scaler/*/*"
scenario = "cancel-crossing"
requirement = "C3.1"
reason = "Scaler's client delivers a result that comes while cancel() waits."
```

`mix` and `scenario` are globs. A cell that departs from another requirement than its entries name, or that passes
though an entry names it, is unexpected.
"""

from __future__ import annotations

import fnmatch
import tomllib
from dataclasses import dataclass
from pathlib import Path

from rescind_conformance.requirements import load_requirements

SHIPPED = Path(__file__).parent / "expected.toml"
_FIELDS = {"mix", "scenario", "requirement", "reason"}


class ExpectedUnusable(ValueError):
    """The file cannot be used; the text says where and why."""


@dataclass(frozen=True, slots=True)
class Expected:
    """One entry."""

    mix: str
    scenario: str
    requirement: str
    reason: str

    def names(self, mix: str, scenario: str) -> bool:
        """Whether it is about this cell."""
        return fnmatch.fnmatchcase(mix, self.mix) and fnmatch.fnmatchcase(scenario, self.scenario)


def load_expected(path: Path = SHIPPED) -> list[Expected]:
    """The entries of a file. Raises `ExpectedUnusable`, and `SpecificationError`."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ExpectedUnusable(f"{path}: {error}") from error
    entries = document.get("expected", [])
    if document.keys() - {"expected"} or not isinstance(entries, list):
        raise ExpectedUnusable(f"{path}: only entries that begin with [[expected]] are understood")
    return [_entry(f"{path}: entry {number}", entry) for number, entry in enumerate(entries, start=1)]


def _entry(where: str, entry: object) -> Expected:
    if not isinstance(entry, dict) or set(entry) != _FIELDS or not all(isinstance(one, str) for one in entry.values()):
        raise ExpectedUnusable(f"{where} must have the texts {', '.join(sorted(_FIELDS))}, and no others")
    if entry["requirement"] not in load_requirements():
        raise ExpectedUnusable(f"{where}: unknown requirement {entry['requirement']!r}: see `rescind conformance list`")
    return Expected(**entry)
