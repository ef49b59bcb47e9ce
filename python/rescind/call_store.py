"""A client's side of the object store: calls are written to it, results are read from it."""

from __future__ import annotations

import contextlib
import functools
import logging
import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from rescind.call_graph import CallGraph
from rescind.messages import Argument, ArgumentType, Capability, GraphTask, Task
from rescind.payloads import argument_object_id, dump, function_object_id
from rescind.store import ObjectStore, StoreFailed, StoreGone
from rescind.task_flags import TaskFlags, priority_here
from rescind.wire import WireError, encode

logger = logging.getLogger(__name__)

MAX_ARGUMENTS = 10_000
"""Positional arguments of one call: each costs some 72 bytes in the Task, whose frame every scheduler
accepts up to 1 MiB (M2)."""

_IDLE_FUNCTIONS = 256
"""Functions that are kept in the store although no pending task uses them."""


class CallStore:
    """Keeps the functions, arguments and results of one client. Thread-safe; its methods may block."""

    def __init__(self, store: ObjectStore, owner: bytes, *, stream_output: bool = False) -> None:
        """Keep objects in `store` for the client whose routing id is `owner`.

        `stream_output`: tasks are to send what they write.
        """
        self._stream_output = stream_output
        self._store = store
        self._owner = owner
        self._lock = threading.Lock()
        self._users: OrderedDict[bytes, int] = OrderedDict()
        """How many pending tasks use each shared function; the one used longest ago comes first."""
        self._undeleted: list[bytes] = []
        self._failing = False

    def write(self, fn: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Task:
        """Store a call and return the task that names it.

        Raises what pickling or storing raises, and `ValueError` for more than `MAX_ARGUMENTS` arguments;
        then nothing of the call stays in the store.
        """
        if len(args) > MAX_ARGUMENTS:
            raise ValueError(
                f"{len(args)} positional arguments: a task takes up to {MAX_ARGUMENTS}. Pass them as one list"
            )
        # Everything is pickled before anything is stored: an error leaves nothing behind.
        pickled_function = dump(functools.partial(fn, **kwargs) if kwargs else fn)
        pickled_arguments = [dump(argument) for argument in args]
        if kwargs:
            # Keyword arguments travel in the function; one that differs with each call must not be kept.
            function_id = argument_object_id(self._owner)
            self._store.put(self._owner, function_id, pickled_function)
        else:
            function_id = self._share(pickled_function)
        argument_ids = [argument_object_id(self._owner) for _ in args]
        task = Task(
            task_id=uuid.uuid4().bytes,
            source=self._owner,
            metadata=self._flags(),
            func_object_id=function_id,
            function_args=tuple(Argument(ArgumentType.OBJECT_ID, each) for each in argument_ids),
        )
        try:
            for object_id, data in zip(argument_ids, pickled_arguments, strict=True):
                self._store.put(self._owner, object_id, data)
        except BaseException:
            self.release([task])
            raise
        return task

    def write_graph(self, graph: CallGraph, keys: Sequence[str], capabilities: Mapping[str, int]) -> GraphTask:
        """Store the functions and the values of a graph, each value once; the GraphTask that names them.

        Its targets are those of `keys` that are calls, in this order. Every id is new (C13.4). Raises what
        pickling or storing raises, and `ValueError` for a graph that is too large for a message and for
        capabilities that are no amounts by name; then nothing of it stays in the store.
        """
        # A function that many nodes have is pickled once; it lives as long as `graph` does.
        pickled_functions = {id(call.function): b"" for call in graph.calls.values()}
        for call in graph.calls.values():
            pickled_functions[id(call.function)] = pickled_functions[id(call.function)] or dump(call.function)
        values = {name: (argument_object_id(self._owner), dump(graph.data[name])) for name in graph.arguments()}
        ids = {name: uuid.uuid4().bytes for name in graph.calls}
        message = GraphTask(
            task_id=uuid.uuid4().bytes,
            source=self._owner,
            targets=tuple(ids[key] for key in keys if key in ids),
            graph=tuple(
                Task(
                    task_id=ids[name],
                    source=self._owner,
                    metadata=self._flags(),
                    func_object_id=function_object_id(self._owner, pickled_functions[id(call.function)]),
                    function_args=tuple(
                        Argument(ArgumentType.TASK, ids[each])
                        if each in ids
                        else Argument(ArgumentType.OBJECT_ID, values[each][0])
                        for each in call.arguments
                    ),
                    capabilities=tuple(Capability(what, amount) for what, amount in capabilities.items()),
                )
                for name, call in graph.calls.items()
            ),
        )
        try:
            encode(message)
        except WireError as error:
            if error.reason in ("wrong type", "out of range"):
                raise ValueError(f"capabilities are amounts, of 64 bits, by name ({error})") from error
            raise ValueError(f"{len(ids)} calls do not go into one message ({error}): submit them in parts") from error
        stored: list[Task] = []
        try:
            for task, call in zip(message.graph, graph.calls.values(), strict=True):
                self._share(pickled_functions[id(call.function)])
                stored.append(replace(task, function_args=()))
            for object_id, data in values.values():
                self._store.put(self._owner, object_id, data)
        except BaseException:
            self.release(stored, [object_id for object_id, _ in values.values()])
            raise
        return message

    def _flags(self) -> bytes:
        return TaskFlags(priority=priority_here(), stream_output=self._stream_output).to_bytes()

    def read(self, object_id: bytes) -> bytes:
        """An object's bytes. Raises `rescind.store.ObjectMissing`."""
        return self._store.get(object_id)

    def release(self, calls: Iterable[Task] = (), object_ids: Iterable[bytes] = ()) -> None:
        """Delete what calls have stored that nobody else uses, and other objects, in one step.

        What the store cannot delete now is tried again the next time.
        """
        with self._lock:
            doomed, self._undeleted = [*self._undeleted, *object_ids], []
        for call in calls:
            doomed.extend(each.data for each in call.function_args if each.type == ArgumentType.OBJECT_ID)
            with self._lock:
                if call.func_object_id in self._users:
                    self._users[call.func_object_id] -= 1
                else:
                    doomed.append(call.func_object_id)
        if not doomed:
            return
        try:
            self._store.delete(self._owner, list(dict.fromkeys(doomed)))  # calls of a graph may share an argument
            self._failing = False
        except StoreGone:
            return  # there is nothing left to delete
        except StoreFailed as error:
            with self._lock:
                self._undeleted.extend(doomed)
            if not self._failing:
                logger.warning("payloads that nobody needs stay in the store for now: %s", error)
            self._failing = True

    def open_in_this_thread(self) -> None:
        """Open the file for the calling thread: what is open can be read even when its name is gone."""
        with contextlib.suppress(StoreFailed):  # whoever stores or reads something is told
            self._store.count()

    def close(self) -> None:
        """Delete everything of this client, refuse what its tasks still store, and close the store."""
        try:
            self._store.release_owner(self._owner)
        finally:
            self._store.close()

    def _share(self, pickled: bytes) -> bytes:
        """Store a function unless it is there, and count its user."""
        function_id = function_object_id(self._owner, pickled)
        # Storing and deleting happen under the lock: a function that is wanted again must not be deleted late.
        with self._lock:
            if function_id not in self._users:
                self._store.put(self._owner, function_id, pickled)
                self._users[function_id] = 0
                self._delete_idle()
            self._users[function_id] += 1
            self._users.move_to_end(function_id)
        return function_id

    def _delete_idle(self) -> None:
        excess = len(self._users) - _IDLE_FUNCTIONS
        if excess <= 0:
            return
        newest = next(reversed(self._users))
        idle = [each for each, users in self._users.items() if users == 0 and each != newest][:excess]
        for each in idle:
            del self._users[each]
        if idle:
            self._store.delete(self._owner, idle)
