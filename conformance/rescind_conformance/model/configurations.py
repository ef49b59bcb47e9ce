"""What is checked of the model: its configurations, which hold, and its broken variants, which must not."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rescind.wire_layout import schema_directory

HOLDS = "holds"
TEMPORAL = frozenset(
    {"ComesToRest", "EachCancelIsAnsweredInTime", "EachFutureSettlesInTime", "CapacityComesBackInTime"}
)
"""Promises of which TLC says only that one of them is broken, not which."""
_COUNTED = frozenset({"rounds", "parting", "fence", "unheard"})
"""Together they take every action, or the command fails. To count takes TLC half as long again: the others do not."""
_SECTION = re.compile(r"^(CONSTANTS?|INVARIANTS?|PROPERT(?:Y|IES)|SPECIFICATION)\b")


class ModelUnusable(Exception):
    """A file of the model is missing or says what cannot be; the text names it."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """One run of TLC."""

    name: str
    module: str
    text: str
    """What TLC reads as its configuration file."""
    expected: str
    """`HOLDS`, or the promise that must be broken."""
    large: bool = False
    counts: bool = False
    """TLC counts how often each action is taken."""


def model_directory() -> Path:
    """Where the modules are. Raises `ModelUnusable` if they are not there."""
    directory = schema_directory() / "model"
    if not (directory / "Promises.tla").is_file():
        raise ModelUnusable(f"the model is not in {directory}: install the package again")
    return directory


def load_configurations(directory: Path) -> list[Configuration]:
    """All that can be checked: first what holds, the small before the large, then the broken variants.

    Raises `ModelUnusable` if a file cannot be read or a variant fits no configuration.
    """
    try:
        small = {path.stem: path.read_text(encoding="utf-8") for path in sorted(directory.glob("*.cfg"))}
        large = {path.stem: path.read_text(encoding="utf-8") for path in sorted(directory.glob("large/*.cfg"))}
        variants = tomllib.loads((directory / "variants.toml").read_text(encoding="utf-8"))["variant"]
        return [
            *(_holding(name, text) for name, text in small.items()),
            *(_holding(name, text, large=True) for name, text in large.items()),
            *(_variant(row, small) for row in variants),
        ]
    except (OSError, tomllib.TOMLDecodeError, KeyError) as error:
        raise ModelUnusable(f"{directory}: {error!r}") from error


def promises(text: str) -> list[str]:
    """The names of the invariants and properties in a configuration file."""
    names: list[str] = []
    section = ""
    for line in text.splitlines():
        head = _SECTION.match(line)
        if head is not None:
            section = head[1]
        elif section.startswith(("INVARIANT", "PROPERT")) and line.strip():
            names.append(line.strip())
    return names


def _holding(name: str, text: str, *, large: bool = False) -> Configuration:
    """What is taken is told, but for where temporal promises are checked: that is slow, and takes nothing else."""
    if not re.search(r"^SPECIFICATION Safe$", text, re.MULTILINE):
        return Configuration(name, "Promises", text, HOLDS, large)
    told = f"{text}\nCONSTANT Used <- UsedAndTold\n"
    return Configuration(name, "Coverage", told, HOLDS, large, counts=name in _COUNTED)


def _variant(row: Mapping[str, object], bases: Mapping[str, str]) -> Configuration:
    by, base, breaks = str(row["by"]), str(row["in"]), str(row["breaks"])
    name = str(row.get("name", by))
    text = bases[base]
    if breaks not in promises(text):
        raise ModelUnusable(f"variants.toml: {name}: {base}.cfg does not check {breaks}")
    constants = row.get("constants", {})
    assert isinstance(constants, Mapping)
    for constant, value in constants.items():
        text, replaced = re.subn(rf"^( *{constant} =) .*$", rf"\1 {value}", text, flags=re.MULTILINE)
        if replaced != 1:
            raise ModelUnusable(f"variants.toml: {name}: {base}.cfg has no constant {constant}")
    aside = row.get("aside", [])
    assert isinstance(aside, list)
    for promise in aside:
        if promise not in promises(text) or promise == breaks:
            raise ModelUnusable(f"variants.toml: {name}: {base}.cfg has no {promise} to set aside")
    # So that it is known which one is broken: of the temporal promises, none but the one that is expected.
    lines = [line for line in text.splitlines() if line.strip() not in (TEMPORAL - {breaks}) | set(aside)]
    # A heading with nothing below it is not one for TLC.
    kept = [
        line
        for line, following in zip(lines, [*lines[1:], "SPECIFICATION"], strict=True)
        if not (line.startswith("PROPERT") and _SECTION.match(following))
    ]
    text = "\n".join([*kept, f"CONSTANT {row['instead_of']} <- {by}", ""])
    return Configuration(name, "Broken", text, breaks)
