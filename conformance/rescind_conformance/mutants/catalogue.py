"""The catalogue of mutants: `scheduler.toml`, `client.toml` and `worker.toml` in this directory.

```toml
[[mutant]]
name = "refusal-is-swallowed"
breaks = ["S4.2"]              # the requirements that it departs from
cases = ["dispatched.forwards-cancel-failed"]   # of those that check one of these, some that see it
field_bugs = [28]              # numbers of SPEC.md's section 16, where it stands for one
tells = "The holder's refusal is not passed on to the owner."
file = "scheduler_table.py"    # of the package `rescind`
find = "(s.CANCELING, i.CANCEL_FAILED, s.DISPATCHED, a.FORWARD_ANSWER)"     # occurs once
replace = "(s.CANCELING, i.CANCEL_FAILED, s.DISPATCHED, a.NOTHING)"
```

A fault that takes more than one edit has the others in `[[mutant.also]]`. Each case of the suite is named by a
mutant at least. The table `[without_mutant]` names
the MUSTs of the role that have none, `[idle_cases]` the cases that kill none; each with the reason.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from rescind_conformance.case import ROLES

_DIRECTORY = Path(__file__).parent
_EDIT = ("file", "find", "replace")
_TEXTS = ("name", "tells", *_EDIT)
_LISTS = ("breaks", "cases")


class CatalogueError(ValueError):
    """The catalogue cannot be used; the text says where and why."""


@dataclass(frozen=True, slots=True)
class Edit:
    """One place of the reference, and what stands there in the mutant."""

    file: str
    """Of the package `rescind`."""
    find: str
    """What the file has there. It occurs once."""
    replace: str


@dataclass(frozen=True, slots=True)
class Mutant:
    """A variant of the reference with one fault."""

    name: str
    role: str
    breaks: tuple[str, ...]
    """The requirements that it departs from."""
    cases: tuple[str, ...]
    """Each of them is to catch it; there may be others that do."""
    tells: str
    """What it does wrong, in a line."""
    edits: tuple[Edit, ...]
    field_bugs: tuple[int, ...] = ()
    """The real bugs that it stands for, by their numbers in SPEC.md's section 16."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All mutants, those of one role together."""

    mutants: tuple[Mutant, ...]
    without_mutant: Mapping[str, Mapping[str, str]]
    """By role and requirement: why a MUST has no mutant."""
    idle_cases: Mapping[str, Mapping[str, str]]
    """By role and case: why it kills no mutant."""


@cache
def load_catalogue(directory: Path = _DIRECTORY) -> Catalogue:
    """The catalogue of this package, or another. Raises `CatalogueError`."""
    documents = {role: _read(directory / f"{role}.toml") for role in ROLES}
    mutants = tuple(
        _mutant(role, number, entry)
        for role, document in documents.items()
        for number, entry in enumerate(document.get("mutant", []), start=1)
    )
    twice = [name for name, count in Counter(one.name for one in mutants).items() if count > 1]
    if twice:
        raise CatalogueError(f"two mutants are named {' and two '.join(twice)}")
    return Catalogue(
        mutants,
        {role: document.get("without_mutant", {}) for role, document in documents.items()},
        {role: document.get("idle_cases", {}) for role, document in documents.items()},
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CatalogueError(f"{path}: {error}") from error
    if unknown := document.keys() - {"mutant", "without_mutant", "idle_cases"}:
        raise CatalogueError(f"{path}: there is no use for {', '.join(sorted(unknown))}")
    return document


def _mutant(role: str, number: int, entry: Mapping[str, Any]) -> Mutant:
    where = f"{role}.toml, mutant {number} ({entry.get('name', 'without a name')})"
    known = {*_TEXTS, *_LISTS, "field_bugs", "also"}
    also = entry.get("also", [])
    fit = (
        entry.keys() <= known
        and all(isinstance(entry.get(name), str) for name in _TEXTS)
        and all(set(edit) == set(_EDIT) for edit in also)
        and all(isinstance(entry.get(name), list) and entry[name] for name in _LISTS)
    )
    if not fit:
        raise CatalogueError(f"{where} needs {', '.join((*_TEXTS, *_LISTS))}; it may have field_bugs and also")
    return Mutant(
        entry["name"],
        role,
        tuple(entry["breaks"]),
        tuple(entry["cases"]),
        entry["tells"],
        tuple(Edit(**{name: edit[name] for name in _EDIT}) for edit in (entry, *also)),
        tuple(entry.get("field_bugs", ())),
    )
