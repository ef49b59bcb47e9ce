"""What payloads are where Scaler keeps them: bytes that its clients and workers read, and the word that they are there.

- The *serializer object* of a client: a cloudpickle of an object with `serialize` and `deserialize`, under the MD5
  of its routing id and that of b"serializer". Workers read the client's functions and arguments with it, and
  write results with it.
- Functions, arguments and results: what that serializer makes of them; by default a cloudpickle. The id of an
  object is the MD5 of the owner's routing id and 16 bytes of anybody's choice.
- The result of a failed task: a pickle of the exception, with its traceback as `tblib` pickles it.
- An ObjectInstruction tells the scheduler that objects are there (`create`) or gone (`delete`), so that it can
  remove those of a client that has left, and tell workers what they need not keep any longer.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from hashlib import md5
from typing import Any

import cloudpickle
import tblib.pickling_support  # type: ignore[import-untyped]
from scaler.client.serializer.default import DefaultSerializer
from scaler.io.utility import deserialize, serialize
from scaler.protocol.capnp import ObjectInstruction as ScalerObjectInstruction
from scaler.protocol.capnp import ObjectMetadata
from scaler.utility.exceptions import TaskExceptionNotSerializableError

from rescind.payloads import OwnersFormat, describe_exception
from rescind.store import ObjectStore

_SERIALIZERS = 64
"""Clients whose serializer a process keeps."""
_MOST = 10_000
"""Objects that one instruction names; each takes 40 bytes of it."""

_Kind = ScalerObjectInstruction.ObjectInstructionType
_SERIALIZER_TAG = md5(b"serializer", usedforsecurity=False).digest()


def serializer_object_id(owner: bytes) -> bytes:
    """The id of the serializer of the client `owner`."""
    return md5(owner, usedforsecurity=False).digest() + _SERIALIZER_TAG


def serializer_object() -> bytes:
    """The serializer of clients that have no other: Scaler's default, cloudpickle."""
    data: bytes = cloudpickle.dumps(DefaultSerializer(), protocol=pickle.HIGHEST_PROTOCOL)
    return data


class ScalerFormat:
    """A `rescind.payloads.PayloadFormat`: each client's payloads in its own serialization. Not thread-safe."""

    def __init__(self, store: ObjectStore) -> None:
        """Read serializers from `store`."""
        self._store = store
        self._serializers: OrderedDict[bytes, Any] = OrderedDict()

    def of(self, owner: bytes) -> OwnersFormat:
        """See `PayloadFormat`. What it gives raises what the client's serializer raises, or what reading that does."""
        return _OfOwner(partial(self._serializer, owner))

    def dump_exception(self, error: BaseException) -> bytes:
        """See `PayloadFormat`. One that cannot travel becomes Scaler's `TaskExceptionNotSerializableError`."""
        try:
            tblib.pickling_support.install(error)
            pickled: bytes = cloudpickle.dumps(error)  # it reads as a pickle, and takes a class of __main__ along
            if isinstance(pickle.loads(pickled), BaseException):
                return pickled
        except Exception:
            pass  # it is described instead
        description, text = describe_exception(error)
        return pickle.dumps(TaskExceptionNotSerializableError(f"{description}\n\n{text}"))

    def _serializer(self, owner: bytes) -> Any:
        serializer = self._serializers.get(owner)
        if serializer is None:
            try:
                serializer = cloudpickle.loads(self._store.get(serializer_object_id(owner)))
            except BaseException as error:
                error.add_note("This happened when the worker read the serializer of the task's client.")
                raise
            self._serializers[owner] = serializer
            if len(self._serializers) > _SERIALIZERS:
                self._serializers.popitem(last=False)
        self._serializers.move_to_end(owner)
        return serializer


@dataclass(frozen=True, slots=True)
class _OfOwner:
    serializer: Callable[[], Any]

    def dump(self, value: Any) -> bytes:
        data: bytes = self.serializer().serialize(value)
        return data

    def load(self, data: bytes) -> Any:
        return self.serializer().deserialize(data)

    load_function = load


class Word(Enum):
    """What an ObjectInstruction says of its objects."""

    CREATE = _Kind.create
    DELETE = _Kind.delete


@dataclass(frozen=True, slots=True)
class Instruction:
    """An ObjectInstruction, read."""

    word: Word
    owner: bytes
    object_ids: tuple[bytes, ...]


def deleted(owner: bytes, object_ids: Sequence[bytes]) -> Iterator[bytes]:
    """The frames that say that objects are gone, each small enough for whoever receives it (M2)."""
    for first in range(0, len(object_ids), _MOST):
        yield write_instruction(Word.DELETE, owner, object_ids[first : first + _MOST])


def write_instruction(word: Word, owner: bytes, object_ids: Sequence[bytes], sizes: Sequence[int] = ()) -> bytes:
    """The frame of an ObjectInstruction. `sizes`: bytes of each object, where they are known."""
    types = ObjectMetadata.ObjectContentType
    created = word is Word.CREATE
    frame: bytes = serialize(
        ScalerObjectInstruction(
            instructionType=word.value,
            objectUser=owner,
            objectMetadata=ObjectMetadata(
                objectIds=list(object_ids),
                objectTypes=[
                    types.serializer if each == serializer_object_id(owner) else types.object for each in object_ids
                ]
                if created
                else [],
                objectNames=[b""] * len(object_ids) if created else [],
                objectSizes=list(sizes),
            ),
        )
    )
    return frame


def read_instruction(frame: bytes) -> Instruction | None:
    """What the frame of an ObjectInstruction says; None if that is nothing one can act on. Never raises."""
    try:
        read = deserialize(frame)
        word = Word(_Kind(int(read.instructionType)))
        return Instruction(word, bytes(read.objectUser), tuple(bytes(each) for each in read.objectMetadata.objectIds))
    except Exception:
        return None


class AnnouncedStore:
    """A client's `ObjectStore` in Scaler's storage: what comes and goes there is told to the scheduler. Thread-safe."""

    def __init__(self, store: ObjectStore, owner: bytes, tell: Callable[[bytes], None]) -> None:
        """Keep objects of the client `owner` in `store`; `tell` sends a frame, and does not wait.

        The client's serializer is stored at once. Raises what storing raises.
        """
        self._store = store
        self._tell = tell
        self.put(owner, serializer_object_id(owner), serializer_object())

    def put(self, owner: bytes, object_id: bytes, data: bytes) -> None:
        """See `ObjectStore.put`."""
        # First the word: an object that nobody knows of would stay if this process ended in between.
        self._tell(write_instruction(Word.CREATE, owner, [object_id], [len(data)]))
        self._store.put(owner, object_id, data)

    def get(self, object_id: bytes) -> bytes:
        """See `ObjectStore.get`."""
        return self._store.get(object_id)

    def delete(self, owner: bytes | None, object_ids: Iterable[bytes]) -> None:
        """See `ObjectStore.delete`."""
        doomed = list(object_ids)
        self._store.delete(owner, doomed)
        if owner is not None:
            for frame in deleted(owner, doomed):
                self._tell(frame)

    def release_owner(self, owner: bytes) -> None:
        """See `ObjectStore.release_owner`. The scheduler is not told: it releases a client that leaves by itself."""
        self._store.release_owner(owner)

    def count(self) -> int:
        """See `ObjectStore.count`."""
        return self._store.count()

    def close(self) -> None:
        """See `ObjectStore.close`."""
        self._store.close()
