"""Copies of the package `rescind` with a fault in them, which the processes of a subject import in its place.

The suite's own process goes on with the sound one.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import rescind
import rescind_conformance
from rescind.wire import schema_directory
from rescind_conformance.mutants.catalogue import Edit, Mutant

SOUND = Path(rescind.__file__).resolve().parent
"""The package that the copies are made of."""
_MARK = ".was-imported"


class EditDoesNotApply(ValueError):
    """What an edit looks for is not there, or is there more than once; the text says where."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy of the package on the disk."""

    directory: Path
    """Its parent."""
    changed: tuple[Path, ...]
    """Its files that are not as they were."""

    @property
    def environment(self) -> Mapping[str, str]:
        """Has a Python process import this copy, and the suite's own package from where it is."""
        path = [self.directory, Path(rescind_conformance.__file__).resolve().parents[1], os.environ.get("PYTHONPATH")]
        # Safe: without the working directory, which could hold the sound package, in front of all.
        return {"PYTHONPATH": os.pathsep.join(str(entry) for entry in path if entry), "PYTHONSAFEPATH": "1"}

    @property
    def was_imported(self) -> bool:
        """Whether some process has imported each file that was changed: each of them leaves a mark when it is run."""
        return all(Path(f"{changed}{_MARK}").exists() for changed in self.changed)


def edited(edit: Edit, source: str) -> str:
    """The text of a file with an edit made. Raises `EditDoesNotApply`."""
    count = source.count(edit.find) if edit.find else 0
    if count != 1:
        raise EditDoesNotApply(f"{edit.file} has this {count} times and not once: {edit.find!r}")
    return source.replace(edit.find, edit.replace)


@contextmanager
def faulty_copy(mutant: Mutant | None) -> Iterator[Copy]:
    """A copy of the package with a mutant's fault (None: without any), which goes when the block ends.

    Raises `EditDoesNotApply`.
    """
    with tempfile.TemporaryDirectory(prefix="rescind-mutant-", ignore_cleanup_errors=True) as parent:
        package = Path(parent) / "rescind"
        shutil.copytree(SOUND, package, ignore=shutil.ignore_patterns("protocol"))
        (package / "protocol").symlink_to(schema_directory(), target_is_directory=True)
        edits = mutant.edits if mutant is not None else ()
        for edit in edits:
            path = package / edit.file
            if not path.is_file():
                raise EditDoesNotApply(f"there is no {edit.file}")
            path.write_text(edited(edit, path.read_text(encoding="utf-8")), encoding="utf-8")
        changed = tuple({package / edit.file: None for edit in edits}) or (package / "__init__.py",)
        for path in changed:
            with path.open("a", encoding="utf-8") as stream:
                stream.write(f"\n\nopen(__file__ + {_MARK!r}, 'w').close()\n")
            for cached in path.parent.glob(f"__pycache__/{path.stem}.*"):
                cached.unlink()  # it may look as if it were of the file as it is now
        yield Copy(Path(parent), changed)
