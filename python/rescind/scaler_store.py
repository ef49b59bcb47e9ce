"""Payloads in Scaler's object storage server, so that its clients and workers and ours share them.

The server knows ids and bytes, and no owners. It answers the reading of an object that is not there when
the object comes, which may be never.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import TypeVar

from rescind.messages import ObjectStorageAddress
from rescind.object_ledger import ObjectLedger, belongs
from rescind.scaler_connection import ConnectionFailed, StorageConnection
from rescind.store import ObjectMissing, StorageNotFound, StoreFailed

T = TypeVar("T")

_ARRIVAL_SECONDS = 20.0
"""How long an object may be on its way when somebody already asks for it. Scaler's client hands its task to the
scheduler when it has sent the arguments, not when they are stored, and its worker a result likewise."""
_PATIENCE = 30.0
"""Seconds within which the server answers; transfers take their time in addition."""


class ScalerStore:
    """An `ObjectStore` on Scaler's object storage server. Thread-safe.

    Each process opens one of its own, after a fork as well. A connection that has dropped is made again by
    the next call; the calls that were under way raise `StoreFailed`.

    Since the server knows no owners, `release_owner` removes what was put through this very object, nothing else.
    An id begins with the MD5 of its owner, as `rescind.payloads` makes them.
    """

    def __init__(
        self,
        address: ObjectStorageAddress,
        *,
        remembers: bool = True,
        arrival_seconds: float = _ARRIVAL_SECONDS,
        patience: float = _PATIENCE,
    ) -> None:
        """Connect to the server at `address`.

        `remembers`: whether what is put is noted for `release_owner`, at some 200 bytes each until it is deleted;
        otherwise that does nothing.
        `arrival_seconds`: how long `get` waits for an object that is not there. `patience`: within how many
        seconds the server must answer anything else. Raises `StorageNotFound` if nobody listens there.
        """
        self._address = address
        self._ledger = ObjectLedger() if remembers else None
        self._arrival_seconds = arrival_seconds
        self._patience = patience
        self._lock = threading.Lock()
        self._closed = False
        try:
            self._connection = StorageConnection(address, patience=patience)
        except ConnectionFailed as error:
            raise StorageNotFound(str(error)) from error

    def put(self, owner: bytes, object_id: bytes, data: bytes) -> None:
        """See `ObjectStore.put`. Raises `ValueError` for an id that is not one of `owner`."""
        if not belongs(object_id, owner):
            raise ValueError(f"{object_id.hex()} is no object id of {owner!r}: 32 bytes, the first half its MD5")
        if self._ledger is not None and not self._ledger.note(owner, [object_id]):
            return
        self._call(lambda connection: connection.set_object(object_id, data))
        if self._ledger is not None and self._ledger.is_released(owner):  # in the meantime
            self._call(lambda connection: connection.delete_objects([object_id]))

    def get(self, object_id: bytes) -> bytes:
        """See `ObjectStore.get`. It waits for one that is not there, but not for ever."""
        data = self._call(
            lambda connection: connection.get_object(object_id, self._arrival_seconds) if len(object_id) == 32 else None
        )
        if data is None:
            raise ObjectMissing(object_id)
        return data

    def delete(self, owner: bytes | None, object_ids: Iterable[bytes]) -> None:
        """See `ObjectStore.delete`."""
        doomed = [each for each in object_ids if len(each) == 32 and (owner is None or belongs(each, owner))]
        self._call(lambda connection: connection.delete_objects(doomed))
        if self._ledger is not None:
            self._ledger.forget(doomed)

    def release_owner(self, owner: bytes) -> None:
        """See `ObjectStore.release_owner`; of the owner's objects those that were put through this store object."""
        if self._ledger is not None:
            doomed = self._ledger.release(owner)
            self._call(lambda connection: connection.delete_objects(doomed))

    def count(self) -> int:
        """See `ObjectStore.count`. Objects of whomever: the server may have other users."""
        return self._call(lambda connection: connection.count())

    def close(self) -> None:
        """See `ObjectStore.close`."""
        with self._lock:
            self._closed = True
        self._connection.close()

    def _call(self, action: Callable[[StorageConnection], T]) -> T:
        try:
            return action(self._usable_connection())
        except ConnectionFailed as error:
            if self._closed:
                raise ValueError("the object store is closed") from error
            raise StoreFailed(str(error)) from error

    def _usable_connection(self) -> StorageConnection:
        with self._lock:
            if self._closed:
                raise ValueError("the object store is closed")
            if not self._connection.usable:
                self._connection = StorageConnection(self._address, patience=self._patience)
            return self._connection
