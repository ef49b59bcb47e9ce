"""Which results of a client may still be read, and by whom; what nobody reads any more is released.

A result is held by the future that shows it until it has been read or the future is garbage, and by the
graph that it belongs to until nothing of that runs (C13.2). One object may be the error of several futures.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rescind.future import ScalerFuture


class ResultKeeper:
    """The books. Thread-safe without a lock, since futures become garbage anywhere, under any lock.

    Whoever lets go of an object removes itself first and looks who is left then: of several that let go at
    one moment at least one sees that it was the last. Two may; an object is then released twice, which does
    no harm, since its id is never used again.
    """

    def __init__(self, release: Callable[[Sequence[bytes]], None]) -> None:
        """`release` has objects deleted; it neither blocks nor takes a lock."""
        self._release = release
        self._unread: dict[bytes, weakref.ref[ScalerFuture[Any]]] = {}
        """Finished futures whose result is still in the store, by task id."""
        self._holders: dict[bytes, set[bytes]] = {}
        """By object id the ids of the tasks whose futures show it and of the graphs that may read it."""
        self._of_graphs: dict[bytes, list[bytes]] = {}
        """The objects that a graph holds."""

    def show(self, future: ScalerFuture[Any], object_id: bytes) -> None:
        """The future is about to be finished with this object."""
        task_id = future.task_id
        self._holders.setdefault(object_id, set()).add(task_id)
        self._unread[task_id] = weakref.ref(future, partial(self._on_collected, task_id, object_id))

    def hold(self, graph_id: bytes, object_ids: Iterable[bytes]) -> None:
        """Nodes of the graph may read these objects, until `end_graph`."""
        for each in object_ids:
            self._holders.setdefault(each, set()).add(graph_id)
            self._of_graphs.setdefault(graph_id, []).append(each)

    def let_go(self, task_id: bytes, object_id: bytes) -> None:
        """The future of this task has its result in memory, or has not taken it."""
        self._unread.pop(task_id, None)
        self._drop(object_id, task_id)

    def end_graph(self, graph_id: bytes) -> None:
        """Nothing of the graph reads anything any more."""
        for each in self._of_graphs.pop(graph_id, ()):
            self._drop(each, graph_id)

    def release(self, object_ids: Iterable[bytes]) -> None:
        """Release those of these objects that nobody holds; the others are when they are let go."""
        free = [each for each in object_ids if each not in self._holders]
        if free:
            self._release(free)

    def unread(self) -> Iterator[ScalerFuture[Any]]:
        """The futures whose result is still in the store."""
        for reference in list(self._unread.values()):
            if (future := reference()) is not None:
                yield future

    def __len__(self) -> int:
        """How many objects are held."""
        return len(self._holders)

    def _on_collected(self, task_id: bytes, object_id: bytes, _: object) -> None:
        """A finished future is garbage: nobody can ask for its result any more."""
        if self._unread.pop(task_id, None) is not None:
            self._drop(object_id, task_id)

    def _drop(self, object_id: bytes, holder: bytes) -> None:
        holders = self._holders.get(object_id)
        if holders is not None:
            holders.discard(holder)
            if holders:
                return
            self._holders.pop(object_id, None)
        self._release([object_id])
