"""Which objects belong to whom, for a store that does not know it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from hashlib import md5

_RELEASED_OWNERS = 4096
"""How many owners that have been released are remembered."""


class ObjectLedger:
    """The ids of objects by owner; an id tells its owner by its first half. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._objects: dict[bytes, set[bytes]] = {}
        """By the MD5 of the owner's routing id."""
        self._released: OrderedDict[bytes, None] = OrderedDict()
        """The owner released last comes last."""

    def note(self, owner: bytes, object_ids: Iterable[bytes]) -> bool:
        """These are, or soon will be, there. False if `owner` was released; then they are not noted.

        Ids that are none of this owner are ignored.
        """
        with self._lock:
            if owner in self._released:
                return False
            own = {each for each in object_ids if belongs(each, owner)}
            if own:
                self._objects.setdefault(own_prefix(owner), set()).update(own)
        return True

    def forget(self, object_ids: Iterable[bytes]) -> None:
        """These are gone."""
        with self._lock:
            for each in object_ids:
                noted = self._objects.get(each[:16])
                if noted is not None:
                    noted.discard(each)
                    if not noted:
                        del self._objects[each[:16]]

    def release(self, owner: bytes) -> list[bytes]:
        """The owner's objects, which are no longer noted; later ones will not be."""
        with self._lock:
            self._released[owner] = None
            self._released.move_to_end(owner)
            if len(self._released) > _RELEASED_OWNERS:
                self._released.popitem(last=False)
            return list(self._objects.pop(own_prefix(owner), ()))

    def is_released(self, owner: bytes) -> bool:
        """Whether `release` was called for it, and it is still remembered."""
        with self._lock:
            return owner in self._released

    def __len__(self) -> int:
        """How many objects are noted."""
        with self._lock:
            return sum(len(each) for each in self._objects.values())


def belongs(object_id: bytes, owner: bytes) -> bool:
    """Whether it is an object id of `owner`: 32 bytes, the first half the MD5 of the owner's routing id."""
    return len(object_id) == 32 and object_id.startswith(own_prefix(owner))


def own_prefix(owner: bytes) -> bytes:
    """What the ids of the owner's objects begin with."""
    return md5(owner, usedforsecurity=False).digest()
