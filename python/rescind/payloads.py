"""What payloads are: their ids, how values become bytes, and how exceptions travel with their traceback.

An object id has 32 bytes: the MD5 of the owner's routing id, then 16 bytes that say which object.
"""

from __future__ import annotations

import pickle
import traceback
import uuid
from collections.abc import Callable
from hashlib import blake2b, md5
from typing import Any, Protocol

import cloudpickle

from rescind.allow_list import AllowList
from rescind.messages import ObjectStorageAddress
from rescind.store import ObjectStore, UnsupportedStorage, is_of_scaler

NO_ALLOW_LIST = (
    "a worker with --allow cannot use Scaler's object storage, where each client's own code reads its payloads: "
    "serve without --object-storage-address, or start the worker without --allow"
)


def function_object_id(owner: bytes, pickled: bytes) -> bytes:
    """The id of a function: the same function of the same owner is stored once."""
    return _prefix(owner) + blake2b(pickled, digest_size=16).digest()


def argument_object_id(owner: bytes) -> bytes:
    """A new id for an argument."""
    return _prefix(owner) + uuid.uuid4().bytes


def result_object_id(owner: bytes) -> bytes:
    """A new id for the result of one assignment: what a worker that was declared lost stores is never taken for it."""
    return _prefix(owner) + uuid.uuid4().bytes


def _prefix(owner: bytes) -> bytes:
    return _md5(owner)


def _md5(data: bytes) -> bytes:
    return md5(data, usedforsecurity=False).digest()


def dump(value: Any) -> bytes:
    """The value as bytes. Raises whatever its pickling raises."""
    data: bytes = cloudpickle.dumps(value)
    return data


def load(data: bytes) -> Any:
    """The value again. This runs code that the author of `data` chose. Raises whatever that raises."""
    return pickle.loads(data)


class RemoteTraceback(Exception):
    """The traceback of the process where an exception was raised; its `str` is that text."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f'\n"""\n{self.text}"""'


class RemoteError(Exception):
    """Stands for an exception that cannot travel: `description` is its `repr`."""

    def __init__(self, description: str, remote_traceback: str) -> None:
        super().__init__(description, remote_traceback)
        self.description = description
        self.remote_traceback = remote_traceback

    def __str__(self) -> str:
        return self.description


class _Carried:
    """Pickles to the call that makes the exception again, wherever it is read."""

    def __init__(self, pickled: bytes | None, description: str, text: str) -> None:
        self._parts = (pickled, description, text)

    def __reduce__(self) -> tuple[Any, ...]:
        return _make_again, self._parts


def dump_exception(error: BaseException) -> bytes:
    """The exception as bytes: `load` gives it back with a `RemoteTraceback` as its `__cause__`.

    One that cannot be pickled, or not be made again where it is read, becomes a `RemoteError`. Never raises
    because of the exception.
    """
    description, text = describe_exception(error)
    try:
        pickled = dump(error)
        pickle.loads(pickled)
    except Exception:
        pickled = None
    return pickle.dumps(_Carried(pickled, description, text))


def describe_exception(error: BaseException) -> tuple[str, str]:
    """Its `repr` and its formatted traceback. Never raises, whatever the exception does when it is asked."""
    text = _quietly(lambda: "".join(traceback.format_exception(error)))
    return _quietly(lambda: repr(error)) or type(error).__name__, text


class OwnersFormat(Protocol):
    """How the values of one client become bytes and the other way round."""

    def dump(self, value: Any) -> bytes:
        """The value as bytes. Raises whatever that raises."""

    def load(self, data: bytes) -> Any:
        """The value again. This runs code that the author of `data` chose. Raises whatever that raises."""

    def load_function(self, data: bytes) -> Callable[..., Any]:
        """As `load`, of a task's function."""


class PayloadFormat(Protocol):
    """How values become bytes and the other way round."""

    def of(self, owner: bytes) -> OwnersFormat:
        """The format of the client whose routing id is `owner`. Raises nothing yet."""

    def dump_exception(self, error: BaseException) -> bytes:
        """The exception as bytes that `pickle.loads` reads. Never raises because of the exception."""


class OwnFormat:
    """The format of payloads in the embedded store, the same for every client: the functions of this module."""

    def of(self, owner: bytes) -> OwnersFormat:
        """See `PayloadFormat`."""
        return self

    def dump(self, value: Any) -> bytes:
        """See `dump`."""
        return dump(value)

    def load(self, data: bytes) -> Any:
        """See `load`."""
        return load(data)

    def load_function(self, data: bytes) -> Callable[..., Any]:
        """See `load`."""
        function: Callable[..., Any] = load(data)
        return function

    def dump_exception(self, error: BaseException) -> bytes:
        """See `dump_exception`."""
        return dump_exception(error)


class AllowedFormat(OwnFormat):
    """The same format for a worker that does not trust its clients: what it reads runs nothing."""

    def __init__(self, allowed: AllowList) -> None:
        self._allowed = allowed

    def load(self, data: bytes) -> Any:
        """See `AllowList.load`."""
        return self._allowed.load(data)

    def load_function(self, data: bytes) -> Callable[..., Any]:
        """See `AllowList.load_function`."""
        return self._allowed.load_function(data)


def format_of(address: ObjectStorageAddress, store: ObjectStore, allowed: AllowList | None = None) -> PayloadFormat:
    """The format of the payloads in `store`, which is at `address`; `allowed`: what may be run, if not everything.

    Raises `UnsupportedStorage` for an allow-list and Scaler's storage.
    """
    if allowed is not None and is_of_scaler(address):
        raise UnsupportedStorage(NO_ALLOW_LIST)
    if allowed is not None:
        return AllowedFormat(allowed)
    if not is_of_scaler(address):
        return OwnFormat()
    from rescind.scaler_payloads import ScalerFormat

    return ScalerFormat(store)


def _quietly(describe: Any) -> str:
    try:
        text: str = describe()
    except Exception as trouble:
        return f"(it cannot be described: {type(trouble).__name__})"
    return text


def _make_again(pickled: bytes | None, description: str, text: str) -> BaseException:
    made: Any = None
    if pickled is not None:
        try:
            made = pickle.loads(pickled)
        except Exception:
            made = None
    error = made if isinstance(made, BaseException) else RemoteError(description, text)
    error.__cause__ = RemoteTraceback(text)
    return error
