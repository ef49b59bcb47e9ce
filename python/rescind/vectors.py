"""The test vectors in `protocol/vectors`: written, compared and loaded here, and defined in `vector_frames` and
`vector_versions`.

`python -m rescind.vectors` writes them, `python -m rescind.vectors --check` compares what is there with what
would be written and exits with 1 if anything differs. `protocol/vectors/README.md` explains the files.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from rescind import vector_frames, vector_versions, wire
from rescind.vector_frames import Vector

__all__ = ["Vector", "build", "differences", "files", "load", "main", "write"]


def load(directory: Path | None = None) -> list[Vector]:
    """All vectors, from `directory` or from where the schema is.

    Raises `OSError` if a file is missing, and `ValueError` if one is not what it should be.
    """
    directory = directory or wire.schema_directory() / "vectors"
    index = json.loads((directory / "index.json").read_text(encoding="utf-8"))
    vectors = []
    for entry in index["vectors"]:
        described = json.loads((directory / f"{entry['name']}.json").read_text(encoding="utf-8"))
        vectors.append(
            Vector(
                name=entry["name"],
                description=described["description"],
                frame=(directory / f"{entry['name']}.bin").read_bytes(),
                expect=described["expect"],
                receivers=described["receivers"],
                message=wire.from_json(described["message"]) if "message" in described else None,
                reason=described.get("reason", ""),
            )
        )
    return vectors


def build() -> list[Vector]:
    """All vectors, the same at every call."""
    return [*vector_frames.build(), *vector_versions.build()]


def files() -> dict[str, bytes]:
    """Path within the directory to content, of every file that is generated."""
    vectors = build()
    index = {
        "format": 1,
        "vectors": [
            {"name": vector.name, "expect": vector.expect, "description": vector.description} for vector in vectors
        ],
    }
    contents = {"index.json": _json(index), vector_versions.LATER_SCHEMA: vector_versions.later_schema().encode()}
    for vector in vectors:
        contents[f"{vector.name}.bin"] = vector.frame
        contents[f"{vector.name}.json"] = _json(vector.describe())
    return contents


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def differences(directory: Path) -> list[str]:
    """One line for each generated file that is missing, differs, or should not be there."""
    expected = files()
    present = {
        path.relative_to(directory).as_posix(): path
        for pattern in ("*.json", "*.bin", "*.capnp")
        for path in directory.rglob(pattern)
    }
    lines = [f"missing: {name}" for name in expected if name not in present]
    lines += [f"not a vector: {name}" for name in present if name not in expected]
    lines += [
        f"differs: {name}"
        for name, content in expected.items()
        if name in present and present[name].read_bytes() != content
    ]
    return sorted(lines)


def write(directory: Path) -> None:
    """Make `directory` hold the vectors of today, and no `.json`, `.bin` or `.capnp` besides."""
    expected = files()
    for line in differences(directory):
        kind, _, name = line.partition(": ")
        if kind == "not a vector":
            (directory / name).unlink()
        else:
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            (directory / name).write_bytes(expected[name])


def main(arguments: list[str] | None = None) -> int:
    """The command. Returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m rescind.vectors", description="Write the test vectors, or compare them with --check."
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if anything differs")
    parser.add_argument("--directory", type=Path, default=wire.schema_directory() / "vectors")
    options = parser.parse_args(arguments)
    if not options.check:
        write(options.directory)
        return 0
    found = differences(options.directory)
    for line in found:
        print(line)
    if found:
        print(f"{len(found)} differences in {options.directory}; write them with: {parser.prog}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
