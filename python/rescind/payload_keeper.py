"""The scheduler's part in payloads: where they are, and that those of a client that has left are released.

The embedded store releases a client's objects as one. For Scaler's object storage server, which knows no
owners, the scheduler keeps the books: ObjectInstructions say what is there and what has gone.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

from rescind.messages import ObjectInstruction, ObjectStorageAddress, TaskResult
from rescind.object_ledger import ObjectLedger, belongs
from rescind.peer_options import parse_storage_address
from rescind.run_directory import RunDirectory
from rescind.scheduler_machine import Dropped, Forward, Instruction, Received, SchedulerMachine
from rescind.serial_thread import SerialThread
from rescind.store import ObjectStore, SqliteStore, StoreFailed, open_store

logger = logging.getLogger(__name__)

_BUSY_SECONDS = 10.0
"""How long the embedded store is waited for when somebody else writes to it."""
_MOST_WAITING = 64 * 1024 * 1024
"""Bytes of object ids that wait for the store, which is slower than messages that name them."""
_ID_BYTES = 64
"""What an object id takes beside itself."""


class PayloadKeeper(Protocol):
    """What the scheduler's shell needs. For one thread; nothing here waits for a store, but `close`."""

    address: ObjectStorageAddress
    """What is announced to clients and workers."""

    def release_owner(self, owner: bytes) -> None:
        """The client is gone: release what is kept for it, at the latest when `look_after_store` is called next."""

    def release_objects(self, object_ids: Sequence[bytes]) -> None:
        """Nobody will ask for these: release them, unless more are to be released than the store can follow."""

    def on_instruction(self, frame: bytes, may_own: Callable[[bytes], bool]) -> None:
        """An ObjectInstruction came; `may_own` says of an owner whether the sender may speak for it."""

    def news_for_workers(self) -> Iterator[bytes]:
        """The frames, if any, that each worker is to be sent now."""

    def look_after_store(self) -> None:
        """Called about once a second: have done what waits for it, and what the store could not do before, since its
        disk may have room again.
        """

    def close(self) -> None:
        """Finish what was begun, and let go of the store."""


class EmbeddedPayloads:
    """A `PayloadKeeper` with the embedded store, which is made for it."""

    def __init__(self, run_directory: Path | None) -> None:
        """The store is in `run_directory`, or in a temporary one. Raises `RunDirectoryUnusable`, `StorageNotFound`."""
        self._run_directory = RunDirectory(run_directory)
        self._store = SqliteStore(self._run_directory.store, busy_seconds=_BUSY_SECONDS)
        self._storekeeper = _Storekeeper()
        self._gone: list[bytes] = []
        """Clients whose objects are not released yet. A transaction for each would cost more than all else that is
        done for one that comes, stores nothing and leaves; and whether it stores anything nobody tells the scheduler.
        """
        self._busy = False
        """One was released since the last look: those that follow wait for the next."""
        self.address = ObjectStorageAddress(host=str(self._run_directory.store), port=0, scheme="sqlite")

    def release_owner(self, owner: bytes) -> None:
        """See `PayloadKeeper`."""
        self._gone.append(owner)
        if not self._busy:
            self._busy = True
            self._release()

    def release_objects(self, object_ids: Sequence[bytes]) -> None:
        """See `PayloadKeeper`."""
        self._storekeeper.delete(self._store, object_ids)

    def on_instruction(self, frame: bytes, may_own: Callable[[bytes], bool]) -> None:
        """Nothing to do: the store knows what it has."""

    def news_for_workers(self) -> Iterator[bytes]:
        """None: our workers keep no objects."""
        return iter(())

    def look_after_store(self) -> None:
        """See `PayloadKeeper`."""
        self._storekeeper.try_again()
        self._busy = False
        self._release()

    def close(self) -> None:
        """See `PayloadKeeper`. With the store goes all that is in it."""
        self._storekeeper.close()
        self._store.close()
        self._run_directory.close()

    def _release(self) -> None:
        gone, self._gone = self._gone, []
        if gone:
            self._storekeeper.post(partial(self._store.release_owners, gone))


class ScalerPayloads:
    """A `PayloadKeeper` with Scaler's object storage server, which somebody else has started and goes on without it.

    What clients leave behind that end after this scheduler stays there.
    """

    def __init__(self, storage: ObjectStorageAddress, announced: ObjectStorageAddress | None = None) -> None:
        """The server is at `storage`; clients and workers reach it at `announced`, by default at the same address.

        Raises `UnsupportedStorage`, `StorageNotFound`.
        """
        self._store: ObjectStore = open_store(storage, remembers=False)
        self._ledger = ObjectLedger()
        self._gone: list[bytes] = []
        """What workers have not been told of yet."""
        self._storekeeper = _Storekeeper()
        self.address = announced or storage

    def release_owner(self, owner: bytes) -> None:
        """See `PayloadKeeper`."""
        if object_ids := self._ledger.release(owner):
            self._gone.extend(object_ids)
            self._storekeeper.post(partial(self._store.delete, None, object_ids))

    def release_objects(self, object_ids: Sequence[bytes]) -> None:
        """See `PayloadKeeper`."""
        if object_ids and self._storekeeper.delete(self._store, object_ids):
            self._gone.extend(object_ids)
            self._ledger.forget(object_ids)

    def on_instruction(self, frame: bytes, may_own: Callable[[bytes], bool]) -> None:
        """See `PayloadKeeper`."""
        from rescind.scaler_payloads import Word, read_instruction

        read = read_instruction(frame)
        if read is None or not may_own(read.owner):
            logger.debug("an ObjectInstruction is ignored: %s", read)
        elif read.word is Word.CREATE:
            self._ledger.note(read.owner, read.object_ids)
        else:
            self.release_objects([each for each in read.object_ids if belongs(each, read.owner)])

    def news_for_workers(self) -> Iterator[bytes]:
        """What has gone since the last call: Scaler's workers keep in memory what they have once read."""
        from rescind.scaler_payloads import deleted

        gone, self._gone = self._gone, []
        return deleted(b"", gone)

    def look_after_store(self) -> None:
        """See `PayloadKeeper`."""
        self._storekeeper.try_again()

    def close(self) -> None:
        """See `PayloadKeeper`."""
        self._storekeeper.close()
        self._store.close()


def keep_payloads(run_directory: Path | None, storage: str | None, advertised: str | None) -> PayloadKeeper:
    """What keeps payloads for these options of `rescind.scheduler.Scheduler`. Raises as that does."""
    if storage is None:
        if advertised is not None:
            raise ValueError("an address of object storage is advertised, but none is given to be used")
        return EmbeddedPayloads(run_directory)
    if run_directory is not None:
        raise ValueError("a run directory keeps the embedded store, which object storage elsewhere replaces")
    return ScalerPayloads(
        parse_storage_address(storage), None if advertised is None else parse_storage_address(advertised)
    )


_ABOUT_PAYLOADS = (TaskResult, ObjectInstruction)


def look_after(
    payloads: PayloadKeeper, machine: SchedulerMachine, received: Received, instructions: Sequence[Instruction]
) -> None:
    """Do what a message means for the payloads, which are outside of the protocol.

    `instructions`: what the machine wanted to be done about it.
    """
    message, sender = received.message, received.sender
    if not isinstance(message, _ABOUT_PAYLOADS):
        return
    if any(isinstance(each, Dropped) for each in instructions):
        return
    if isinstance(message, ObjectInstruction):
        # A client speaks for itself, a worker for the clients whose tasks it runs.
        others = machine.clients if sender in machine.workers else ()
        payloads.on_instruction(received.frame, lambda owner: owner == sender or owner in others)
    elif not any(isinstance(each, Forward) and each.frame is received.frame for each in instructions):
        payloads.release_objects(message.results)  # its owner has left


class _Storekeeper:
    """A thread of its own for the store (T5): clients may keep it busy for long. What fails is done later."""

    def __init__(self) -> None:
        self._thread = SerialThread("rescind-store")
        self._undone: deque[Callable[[], None]] = deque()
        """For that thread only, but whether there are any."""
        self._failing = False
        self._posted = self._deleted = 0
        """Bytes of ids: the first is of the thread that posts, the second of the other."""
        self._refusing = False

    def post(self, action: Callable[[], None]) -> None:
        self._thread.post(partial(self._do, action))

    def delete(self, store: ObjectStore, object_ids: Sequence[bytes]) -> bool:
        """Have these deleted. False if too much waits already: they then go when their client does."""
        size = sum(map(len, object_ids)) + _ID_BYTES * len(object_ids)
        waiting = self._posted - self._deleted
        if waiting + size <= _MOST_WAITING:
            self._refusing = self._refusing and waiting > 0
            self._posted += size
            self.post(partial(self._delete, store, object_ids, size))
            return True
        if not self._refusing:
            self._refusing = True
            logger.error("payloads stay until their clients leave: more are to be released than the store can follow")
        return False

    def _delete(self, store: ObjectStore, object_ids: Sequence[bytes], size: int) -> None:
        store.delete(None, object_ids)
        self._deleted += size

    def try_again(self) -> None:
        """Only if something has failed."""
        if self._undone:
            self._thread.post(self._do)

    def close(self) -> None:
        """Wait until all is done."""
        self._thread.close()
        self._thread.join()

    def _do(self, *actions: Callable[[], None]) -> None:
        self._undone.extend(actions)
        try:
            while self._undone:
                self._undone[0]()
                self._undone.popleft()
                self._failing = False
        except StoreFailed as error:
            if not self._failing:
                logger.error("payloads of a peer that has gone stay in the store for now: %s", error)
            self._failing = True
