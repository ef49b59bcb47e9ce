"""The process in which Atheris fuzzes one target; `rescind fuzz` starts it.

Arguments: the target, then libFuzzer's own. It ends as libFuzzer does.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import atheris

with atheris.instrument_imports(include=["rescind"]):
    from rescind_conformance.fuzzing.targets import TargetName, check_of
    from rescind_conformance.fuzzing.transitions import all_rows, watched


def main() -> None:
    """Fuzz until libFuzzer ends the process."""
    name, *options = sys.argv[1:]
    check = check_of(TargetName(name), every=False)
    rows = {row: number for number, row in enumerate(all_rows())} if name != TargetName.WIRE else {}
    marks = [[_mark() for _ in rows] for _ in rows]
    last = 0

    def on_row(row: object) -> None:
        """Each row after each other row is code of its own to Atheris: a life that takes a new pair is kept."""
        nonlocal last
        number = rows[row]
        marks[last][number]()
        last = number

    def check_one(data: bytes) -> None:
        nonlocal last
        last = 0
        check(data)

    with watched(on_row):
        atheris.Setup([sys.argv[0], *options], check_one)
        atheris.Fuzz()


def _mark() -> Callable[[], None]:
    def mark() -> None:
        """Does nothing, and Atheris sees that it was called."""

    instrumented: Callable[[], None] = atheris.instrument_func(mark)
    return instrumented


if __name__ == "__main__":
    main()
