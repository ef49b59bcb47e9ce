"""The process in which Atheris fuzzes one target; `rescind fuzz` starts it.

Arguments: the target, then libFuzzer's own. It ends as libFuzzer does.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["rescind"]):
    from rescind_conformance.fuzzing.targets import TargetName, check_of


def main() -> None:
    """Fuzz until libFuzzer ends the process."""
    name, *options = sys.argv[1:]
    atheris.Setup([sys.argv[0], *options], check_of(TargetName(name), every=False))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
