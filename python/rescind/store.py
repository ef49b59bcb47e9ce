"""Where payloads (functions, arguments, results) are kept, and the embedded store: one SQLite file.

The other store is Scaler's object storage server (`rescind.scaler_store`).

Payloads are outside of the protocol. An object belongs to the client whose routing id is its owner;
it is gone when that client releases it, or with everything else of the client when the client leaves.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from rescind.messages import ObjectStorageAddress

_BUSY_SECONDS = 30.0
"""How long one process waits for another's write; a write of the largest object takes a few seconds."""
_ROW_OVERHEAD = 4096
"""Bytes that ids and headers take of SQLite's limit on one row."""
_LOG_BYTES = 64 * 1024 * 1024
"""The write-ahead log is cut back to this after a large object has passed through it."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (id BLOB NOT NULL UNIQUE, owner BLOB NOT NULL, data BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS objects_by_owner ON objects (owner);
CREATE TABLE IF NOT EXISTS released (owner BLOB PRIMARY KEY) WITHOUT ROWID;
"""

_PUT = """
INSERT INTO objects (id, owner, data)
SELECT :id, :owner, :data WHERE NOT EXISTS (SELECT 1 FROM released WHERE owner = :owner)
ON CONFLICT (id) DO UPDATE SET data = excluded.data WHERE owner = excluded.owner
"""


class ObjectMissing(KeyError):
    """No object has this id: it was never stored, or it has been released."""

    def __init__(self, object_id: bytes) -> None:
        super().__init__(object_id)
        self.object_id = object_id

    def __str__(self) -> str:
        return f"object {self.object_id.hex()} is not in the store: it was never stored, or has been released"


class ObjectTooLarge(ValueError):
    """The object is larger than the store can hold; the text says how large it may be."""


class UnsupportedStorage(ValueError):
    """The scheduler names a store of a kind that this package does not speak."""


class StorageNotFound(OSError):
    """The scheduler names a store that does not exist on this machine, or cannot be opened."""


class StoreFailed(OSError):
    """The store cannot do this now: its disk is full, or another process writes for too long. The text says which."""


class StoreGone(StoreFailed):
    """The store was removed: it went with its scheduler, and so did everything in it."""


class ObjectStore(Protocol):
    """Objects by id. Thread-safe, and usable from several processes at once. Any method may raise `StoreFailed`."""

    def put(self, owner: bytes, object_id: bytes, data: bytes) -> None:
        """Store `data`. The same again changes nothing; after `release_owner(owner)` it is discarded silently.

        Raises `ObjectTooLarge`.
        """

    def get(self, object_id: bytes) -> bytes:
        """The object's bytes. Raises `ObjectMissing`."""

    def delete(self, owner: bytes | None, object_ids: Iterable[bytes]) -> None:
        """Remove those of the objects that exist and belong to `owner`; None: to whomever."""

    def release_owner(self, owner: bytes) -> None:
        """Remove every object of `owner` and refuse its later ones, as one step."""

    def count(self) -> int:
        """How many objects there are."""

    def close(self) -> None:
        """Release files. Any other call after it raises `ValueError`. Closing twice does nothing."""


class _Connection(sqlite3.Connection):
    """One thread's connection. The lock is for `close`, which comes from another thread."""

    lock: threading.Lock

    def __del__(self) -> None:
        with suppress(sqlite3.Error):  # it may never have been opened
            self.close()


class SqliteStore:
    """An `ObjectStore` in one SQLite file, shared by all the processes of one machine.

    Each thread has a connection of its own. A process that was forked from one that used the store
    opens connections of its own, too.
    """

    def __init__(self, path: Path | str, *, create: bool = True, busy_seconds: float = _BUSY_SECONDS) -> None:
        """Open the store at `path`. With `create` it is made if it is missing.

        A call waits up to `busy_seconds` for other processes that write.

        Raises `StorageNotFound` if it is missing and not to be made, or cannot be opened.
        """
        self._path = Path(path)
        self._mode = "rwc" if create else "rw"
        self._busy_seconds = busy_seconds
        self._closed = False
        self._new_process()
        if not create and not os.access(self._path, os.R_OK | os.W_OK):
            raise StorageNotFound(
                f"there is no object store {self._path} on this machine that this account can use. The embedded "
                "store serves one machine: "
                "run clients and workers where the scheduler runs, under an account that can write its run directory"
            )
        try:
            with self._connected() as connection:
                if create:
                    # The mode is kept in the file, so that who opens it later need not set it.
                    connection.execute("PRAGMA journal_mode = WAL")
                    connection.executescript(_SCHEMA)
                self._largest = connection.getlimit(sqlite3.SQLITE_LIMIT_LENGTH) - _ROW_OVERHEAD
            self._mode = "rw"  # a thread that comes when the store was removed must not leave another file there
        except (sqlite3.Error, StoreFailed) as error:
            self.close()
            raise StorageNotFound(f"cannot open the object store {self._path}: {error}") from error

    def put(self, owner: bytes, object_id: bytes, data: bytes) -> None:
        """See `ObjectStore.put`. An object that exists is overwritten by its owner only."""
        if len(data) > self._largest:
            raise ObjectTooLarge(
                f"an object of {len(data):,} bytes: the store holds up to {self._largest:,} in one. "
                "Pass large data in parts, or by the name of a file"
            )
        with self._connected() as connection, self._writing:
            connection.execute(_PUT, {"id": object_id, "owner": owner, "data": data})

    def get(self, object_id: bytes) -> bytes:
        """See `ObjectStore.get`."""
        with self._connected() as connection:
            row = connection.execute("SELECT data FROM objects WHERE id = ?", (object_id,)).fetchone()
        if row is None:
            raise ObjectMissing(object_id)
        data: bytes = row[0]
        return data

    def delete(self, owner: bytes | None, object_ids: Iterable[bytes]) -> None:
        """See `ObjectStore.delete`."""
        doomed = [{"id": object_id, "owner": owner} for object_id in object_ids]
        with self._connected() as connection, self._writing, _transaction(connection):
            connection.executemany("DELETE FROM objects WHERE id = :id AND owner = ifnull(:owner, owner)", doomed)

    def release_owner(self, owner: bytes) -> None:
        """See `ObjectStore.release_owner`."""
        self.release_owners([owner])

    def release_owners(self, owners: Iterable[bytes]) -> None:
        """As `release_owner` for each, in one transaction."""
        doomed = [(owner,) for owner in owners]
        with self._connected() as connection, self._writing, _transaction(connection):
            connection.executemany("INSERT OR IGNORE INTO released (owner) VALUES (?)", doomed)
            connection.executemany("DELETE FROM objects WHERE owner = ?", doomed)

    def count(self) -> int:
        """See `ObjectStore.count`."""
        with self._connected() as connection:
            number: int = connection.execute("SELECT COUNT(*) FROM objects").fetchone()[0]
        return number

    def close(self) -> None:
        """See `ObjectStore.close`."""
        with self._guard:
            self._closed = True
            connections = list(self._connections)
        if os.getpid() != self._pid:
            return
        for connection in connections:
            with connection.lock:
                connection.close()

    def _new_process(self) -> None:
        self._pid = os.getpid()
        self._guard = threading.Lock()
        self._writing = threading.Lock()
        """SQLite lets one writer in at a time and is not fair: threads that write a lot would starve another."""
        self._local = threading.local()
        self._connections: weakref.WeakSet[_Connection] = weakref.WeakSet()

    @contextmanager
    def _connected(self) -> Iterator[_Connection]:
        if os.getpid() != self._pid:
            # SQLite forbids even to close a connection that came through a fork.
            _INHERITED.append((self._local, list(self._connections)))
            self._new_process()
        try:
            connection: _Connection | None = getattr(self._local, "connection", None)
            if connection is None:
                connection = self._local.connection = self._connect()
            with connection.lock:
                if self._closed:
                    raise ValueError(f"the object store {self._path} is closed")
                yield connection
        except sqlite3.OperationalError as error:
            if not self._path.exists():
                raise StoreGone(f"the object store {self._path} has gone with its scheduler") from error
            raise StoreFailed(
                f"the object store {self._path}: {error}. If its disk is full, make room or put it elsewhere with "
                "`rescind scheduler --run-directory`; if it is locked, see which process writes to it"
            ) from error

    def _connect(self) -> _Connection:
        connection = sqlite3.connect(
            f"{self._path.absolute().as_uri()}?mode={self._mode}",
            uri=True,
            timeout=self._busy_seconds,
            isolation_level=None,
            check_same_thread=False,  # `close` comes from any thread
            factory=_Connection,
        )
        connection.lock = threading.Lock()
        connection.execute("PRAGMA synchronous = OFF")  # payloads do not outlive the cluster
        connection.execute(f"PRAGMA journal_size_limit = {_LOG_BYTES}")
        with self._guard:
            self._connections.add(connection)
        return connection


_INHERITED: list[object] = []


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if connection.in_transaction:  # a full disk has ended it already
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def is_of_scaler(address: ObjectStorageAddress) -> bool:
    """Whether it is the address of Scaler's object storage server, over TCP or a Unix socket."""
    return address.scheme in ("tcp", "ipc")


def open_store(address: ObjectStorageAddress, *, remembers: bool = True) -> ObjectStore:
    """The store at the address that a heartbeat's echo carries.

    `remembers`: see `rescind.scaler_store.ScalerStore`. Raises `UnsupportedStorage` for a scheme that is neither
    `sqlite` nor one of Scaler's object storage server, and where the package that speaks to that is missing;
    `StorageNotFound` where the embedded store is not on this machine, or nobody listens.
    """
    if address.scheme == "sqlite":
        return SqliteStore(address.host, create=False)
    if is_of_scaler(address):
        try:
            from rescind.scaler_store import ScalerStore
        except ImportError as error:
            raise UnsupportedStorage(str(error)) from error
        return ScalerStore(address, remembers=remembers)
    raise UnsupportedStorage(
        f"the scheduler keeps payloads in a store of the kind {address.scheme!r} "
        f"(host {address.host!r}, port {address.port}); supported are 'sqlite', this package's own store on one "
        "machine, and 'tcp' and 'ipc', Scaler's object storage server without TLS"
    )
