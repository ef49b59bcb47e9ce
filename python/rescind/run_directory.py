"""The directory in which a scheduler keeps its object store while it serves; one scheduler at a time uses it."""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from pathlib import Path

_STORE = "objects.sqlite"


class RunDirectoryUnusable(OSError):
    """The directory cannot be used; the text says why."""


class RunDirectory:
    """A directory that was given, or a temporary one. Payloads do not outlive the scheduler: none is found or left."""

    def __init__(self, path: Path | None = None) -> None:
        """Make the directory if need be, lock it, and remove what a scheduler that was killed has left there.

        Raises `RunDirectoryUnusable`.
        """
        self._temporary = path is None
        self._path = Path(tempfile.mkdtemp(prefix="rescind-")) if path is None else path.absolute()
        try:
            self._path.mkdir(parents=True, exist_ok=True)
            self._lock = (self._path / "lock").open("w")
        except OSError as error:
            raise RunDirectoryUnusable(
                f"cannot use the run directory {self._path}: {error.strerror}. Choose another --run-directory"
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            raise RunDirectoryUnusable(
                f"the run directory {self._path} is in use by another scheduler. Choose another --run-directory"
            ) from error
        self._remove_store()

    @property
    def store(self) -> Path:
        """The file of the object store."""
        return self._path / _STORE

    def close(self) -> None:
        """Remove the store, and the directory if it was a temporary one."""
        self._remove_store()
        self._lock.close()
        if self._temporary:
            shutil.rmtree(self._path, ignore_errors=True)

    def _remove_store(self) -> None:
        for name in self._path.glob(f"{_STORE}*"):
            name.unlink(missing_ok=True)
