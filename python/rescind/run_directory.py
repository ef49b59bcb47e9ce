"""The directory in which a scheduler keeps its object store while it serves; one scheduler at a time uses it."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import stat
import tempfile
from pathlib import Path

_STORES = "objects-*.sqlite*"
"""What there may be of stores: SQLite keeps files of its own beside each."""
_TEMPORARY = "rescind-scheduler-"


class RunDirectoryUnusable(OSError):
    """The directory cannot be used; the text says why."""


class RunDirectory:
    """A directory that was given, or a temporary one. Payloads do not outlive the scheduler: none is found or left.

    The store has another name in each life of a scheduler (S10.3). Peers of a former one still read, write and delete
    for a moment, and whoever closes an SQLite file last removes by name what belongs to it.

    What is made here is for the scheduler's account alone. In a directory that was there and that its group may
    write to, the group shares the store: so clients and workers may run under accounts of their own.
    """

    def __init__(self, path: Path | None = None) -> None:
        """Make the directory if need be, lock it, and remove what a scheduler that was killed has left there.

        With a temporary one, what such a scheduler of this account has left in another is removed.

        Raises `RunDirectoryUnusable`.
        """
        self._temporary = path is None
        if path is None:
            _remove_abandoned()
        self._path = Path(tempfile.mkdtemp(prefix=_TEMPORARY)) if path is None else path.absolute()
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
        self._remove_stores()
        self.store = self._path / f"objects-{secrets.token_hex(8)}.sqlite"
        """The file of the object store."""
        self._make_store()

    def close(self) -> None:
        """Remove the store, and the directory if it was a temporary one."""
        self._remove_stores()
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

    def _remove_stores(self) -> None:
        for name in self._path.glob(_STORES):
            name.unlink(missing_ok=True)


def _remove_abandoned() -> None:
    """Remove temporary directories whose scheduler was killed: they have a store, and nobody holds the lock."""
    for store in Path(tempfile.gettempdir()).glob(f"{_TEMPORARY}*/objects-*.sqlite"):
        try:
            with (store.parent / "lock").open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(store.parent, ignore_errors=True)
        except OSError:
            continue  # it is served, or another account's
