"""Inputs that are worth keeping: one for each thing that the code can be made to do.

A corpus is a text file, an input a line as hexadecimal digits; a folder of files, as libFuzzer keeps one, is read, too.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, Final

from rescind import wire
from rescind_conformance.fuzzing.targets import Check, TargetName
from rescind_conformance.fuzzing.transitions import watched

_SHIPPED: Final = Path(__file__).parent / "corpus"
_FOLLOWED: Final = str(Path(wire.__file__).parent)
"""Where the code is whose lines count."""


def shipped(name: TargetName) -> Path:
    """The corpus of a target that is checked in."""
    return _SHIPPED / f"{name}.hex"


def load(path: Path) -> list[bytes]:
    """The inputs in a file or folder. Raises `OSError`, and `ValueError` if a line is not hexadecimal."""
    if path.is_dir():
        return [each.read_bytes() for each in sorted(path.iterdir()) if each.is_file()]
    lines = path.read_text(encoding="ascii").splitlines()
    return [bytes.fromhex(line) for line in lines]


def save(path: Path, inputs: Iterable[bytes]) -> None:
    """Write inputs to a file, the shortest first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [each.hex() for each in sorted(set(inputs), key=lambda one: (len(one), one))]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="ascii")


def seeds(name: TargetName) -> Iterator[bytes]:
    """What fuzzing begins with: the corpus that is checked in, and the test vectors where frames are asked for."""
    if shipped(name).is_file():
        yield from load(shipped(name))
    if name is TargetName.WIRE:
        for each in sorted((wire.schema_directory() / "vectors").rglob("*.bin")):
            yield each.read_bytes()


def minimised(inputs: Iterable[bytes], check: Check) -> list[bytes]:
    """As many of the inputs as take every step from line to line, and from row to row of the tables, about as often,
    that all of them take; the short ones first."""
    kept, known = [], set[object]()
    for each in sorted(set(inputs), key=lambda one: (len(one), one)):
        steps = {(step, count.bit_length()) for step, count in _steps(each, check).items()}
        if not steps <= known:
            known |= steps
            kept.append(each)
    return kept


def _steps(data: bytes, check: Check) -> Counter[object]:
    """How often it goes from one line of the package to the next in the same function, and from one row to the next."""
    steps: Counter[object] = Counter()

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        code = frame.f_code
        if not code.co_filename.startswith(_FOLLOWED):
            return None
        last = 0

        def on_line(frame: FrameType, event: str, argument: Any) -> Any:
            nonlocal last
            steps[code.co_filename, last, frame.f_lineno] += 1
            last = frame.f_lineno
            return on_line

        return on_line

    taken: list[object] = [None]

    def on_row(row: object) -> None:
        steps[taken[-1], row] += 1
        taken.append(row)

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        with watched(on_row):
            check(data)
    finally:
        sys.settrace(before)
    return steps
