"""The directory in which a scheduler keeps its object store while it serves; one scheduler at a time uses it."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
from pathlib import Path

_STORE = "objects.sqlite"


class RunDirectoryUnusable(OSError):
    """The directory cannot be used; the text says why."""


class RunDirectory:
    """A directory that was given, or a temporary one. Payloads do not outlive the scheduler: none is found or left.

    What is made here is for the scheduler's account alone. In a directory that was there and that its group may
    write to, the group shares the store: so clients and workers may run under accounts of their own.
    """

    def __init__(self, path: Path | None = None) -> None:
        """Make the directory if need be, lock it, and remove what a scheduler that was killed has left there.

        Raises `RunDirectoryUnusable`.
        """
        self._temporary = path is None
        self._path = Path(tempfile.mkdtemp(prefix="rescind-")) if path is None else path.absolute()
        try:
            self._path.mkdir(0o700, parents=True, exist_ok=True)
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
        self._make_store()

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

    def _make_store(self) -> None:
        """An empty file, whose mode those have, too, that SQLite makes beside it."""
        shared = self._path.stat().st_mode & stat.S_IWGRP
        try:
            descriptor = os.open(self.store, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        except OSError as error:
            self._lock.close()
            raise RunDirectoryUnusable(f"cannot make {self.store}: {error.strerror}") from error
        os.fchmod(descriptor, 0o660 if shared else 0o600)  # whatever the umask is
        os.close(descriptor)

    def _remove_store(self) -> None:
        for name in self._path.glob(f"{_STORE}*"):
            name.unlink(missing_ok=True)
