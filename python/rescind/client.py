"""The client: a `concurrent.futures.Executor` whose futures can be cancelled while their task runs."""

from __future__ import annotations

import concurrent.futures
import functools
import socket
import time
import uuid
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from rescind import call_graph
from rescind.chunk import chunks_of, run_chunk
from rescind.client_session import ClientSession, SchedulerLost
from rescind.curve import Role, read_peer_keys
from rescind.future import ScalerFuture, deadline_of
from rescind.messages import Task
from rescind.peer_options import check_endpoint, check_name, check_seconds, check_times

__all__ = ["Client", "MapResults", "SchedulerLost"]

P = ParamSpec("P")
T = TypeVar("T")


class Client(concurrent.futures.Executor):
    """Submits tasks to a scheduler. Every method is thread-safe and may be called from a done-callback.

    As a context manager it waits for its futures at the end, like any executor. A client that is
    garbage, or left behind at the interpreter's exit, says good-bye by itself; in the former case
    once its last future is settled. Functions, arguments and results are pickled (cloudpickle): a
    result is code of the worker that this process runs.

    A client does not survive a fork: the child has none of its threads, must not use it or wait for its
    futures, and makes a client of its own.
    """

    def __init__(
        self,
        address: str,
        *,
        name: str | None = None,
        heartbeat_interval: float = 2.0,
        scheduler_timeout: float = 60.0,
        connect_timeout: float = 10.0,
        stream_output: bool = False,
        curve: Path | str | None = None,
    ) -> None:
        """Connect to the scheduler at `address`, a ZeroMQ endpoint such as `tcp://127.0.0.1:6378`.

        `name` becomes part of the routing id, for logs; by default it is the host's. Times are in
        seconds: between heartbeats (C12.1); of silence after which the scheduler is lost (C10.2); to wait
        here for its first answer. With `stream_output`, what tasks write to their standard output and standard
        error is written to this process's, as it comes (S8.4). `curve`: the directory that `rescind keys` made for
        this client; the connection is then encrypted, and made to no other scheduler than the one with the key
        there. Raises `ConnectionError` without an answer or when keys stand in the way of the connection,
        `rescind.curve.KeysUnusable`, `ValueError` for arguments that cannot be,
        `rescind.store.UnsupportedStorage` or `StorageNotFound` if the payloads are where this client cannot reach them.
        """
        check_endpoint(address)
        name = socket.gethostname() if name is None else name
        check_name(name)
        check_times(heartbeat_interval, scheduler_timeout)
        check_seconds("connect_timeout", connect_timeout)
        self._session = ClientSession(
            address,
            name,
            heartbeat_interval=heartbeat_interval,
            scheduler_timeout=scheduler_timeout,
            stream_output=stream_output,
            keys=None if curve is None else read_peer_keys(curve, Role.CLIENT),
        )
        self._session.connect(connect_timeout)
        weakref.finalize(self, self._session.abandon).atexit = False

    @property
    def identity(self) -> bytes:
        """The routing id: the owner of this client's tasks and payloads."""
        return self._session.identity

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> ScalerFuture[T]:
        """Have `fn(*args, **kwargs)` run by a worker.

        Raises at once, with nothing left in the store: what pickling or storing raises; `TypeError` if
        `fn` cannot be called; `ValueError` for more than `call_store.MAX_ARGUMENTS` positional arguments;
        `SchedulerLost`; `RuntimeError` after `shutdown` or `disconnect`.
        """
        if not callable(fn):
            raise TypeError(f"fn must be callable, not {fn!r}")
        session = self._session
        session.check_usable()
        try:
            task = session.calls.write(fn, args, kwargs)
        except Exception:
            session.check_usable()  # closed in the meantime, and the store with it
            raise
        future: ScalerFuture[T] = ScalerFuture(task, session.manager)
        try:
            session.manager.add_future(future)
        except RuntimeError:
            session.release_call(task)
            session.check_usable()
            raise
        return future

    def get(
        self,
        graph: Mapping[str, Any],
        keys: Sequence[str],
        block: bool = True,
        capabilities: Mapping[str, int] | None = None,
        reserialize: bool = False,
    ) -> dict[str, Any]:
        """Have the part of a graph run that `keys` need; with `block` their results, otherwise their futures, by key.

        A node of the graph is a call, `(function, "name", ...)`, whose arguments are other nodes, or else a value:
        `{"a": 2, "b": (inc, "a"), "c": (add, "a", "b")}`. The results of inner nodes go from worker to worker.
        `capabilities` are what each call needs of its worker. `reserialize` is there for users of Scaler: here
        every call of `get` serializes the values anew.

        A node that fails fails what depends on it, with the same error, and nothing else. `cancel()` of a future is
        of this node, of what depends on it, and of what only it needs (C13.3); a scheduler of OpenGRIS Scaler
        cancels the whole graph instead, and may not answer before the time limit of `cancel()`. With `block` the
        first key in the order of `keys` that fails cancels the others, without force and without waiting,
        and its error is raised; so does whatever ends the wait, as Ctrl-C.

        Raises before anything is stored or sent (C13.4): `KeyError` for a name that is not in the graph and for
        a key that is asked for twice; `TypeError` for an argument that is no name; `graphlib.CycleError`;
        `ValueError` for capabilities that are not amounts by name, and for a graph that does not go into one message
        of 16 MiB, some 55,000 calls (a scheduler need not take more than 1 MiB, M2); and as `submit` does. A graph
        with more calls than the scheduler takes, 10,000 by default (S11.5), is refused: its futures are cancelled,
        as not found.
        """
        session = self._session
        session.check_usable()
        keys = list(keys)
        plan = call_graph.plan(graph, keys)
        futures: dict[str, Any] = self._submit_graph(plan, keys, capabilities or {})
        if not block:
            return futures
        results: dict[str, Any] = {}
        try:
            for key in keys:
                results[key] = futures[key].result()
            return results
        except BaseException:
            session.cancel_soon(list(futures.values()))
            raise
        finally:
            del futures  # an error, its traceback, this frame and the futures would be a cycle

    def _submit_graph(
        self, plan: call_graph.CallGraph, keys: Sequence[str], capabilities: Mapping[str, int]
    ) -> dict[str, ScalerFuture[Any]]:
        """Send what is to be run, if anything is; the futures in the order of `keys`."""
        session = self._session
        try:
            message = session.calls.write_graph(plan, keys, capabilities)
        except Exception:
            session.check_usable()  # closed in the meantime, and the store with it
            raise
        tasks = {task.task_id: task for task in message.graph}
        targets = iter(message.targets)
        futures: dict[str, ScalerFuture[Any]] = {}
        for key in keys:
            if key in plan.calls:
                futures[key] = ScalerFuture(tasks[next(targets)], session.manager)
            else:
                futures[key] = ScalerFuture(Task(uuid.uuid4().bytes), session.manager)
                futures[key].set_result(plan.data[key])
        if message.targets:
            try:
                session.manager.add_graph(message, [futures[key] for key in keys if key in plan.calls])
            except RuntimeError:
                for task in message.graph:
                    session.release_call(task)
                session.check_usable()
                raise
        return futures

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
    ) -> MapResults[T]:
        """The results of `fn` for each tuple of the iterables' items, in order; all are submitted at once.

        `timeout` is in seconds from this call; when it is over, `next` raises `TimeoutError`. `chunksize`
        calls make up one task. If a call raises, the time is over or the iterator is closed or
        garbage, the rest is cancelled (without force, and without waiting for the answers). Raises
        as `submit` does, and `ValueError` for a `timeout` below 0 or a `chunksize` below 1.
        """
        if chunksize < 1:
            raise ValueError(f"chunksize must be 1 or more, not {chunksize}")
        results: MapResults[T] = MapResults(deadline_of(timeout), chunksize > 1, self._session)
        calls = zip(*iterables, strict=False)
        try:
            if chunksize == 1:
                for arguments in calls:
                    results.add(self.submit(fn, *arguments))
            else:
                run = functools.partial(run_chunk, fn)
                for chunk in chunks_of(chunksize, calls):
                    results.add(self.submit(run, chunk))
        except BaseException:
            results.close()
            raise
        return results

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Accept no more futures, and leave once the pending ones are settled.

        With `cancel_futures` those whose task has not begun are cancelled (a round without force for
        each). With `wait` it returns when the client has left and every callback has run, except that
        in a callback it does not wait for the callbacks. May be called again. Results stay readable.
        """
        self._session.leave_when_idle()
        if cancel_futures:
            for future in self._session.manager.pending_futures():
                self._session.manager.request_cancel(future)
        if wait:
            self._session.join(callbacks=True)

    def disconnect(self) -> None:
        """Leave now: every pending future is cancelled (C10.1) and every `cancel()` that waits returns True.

        Returns when the client has left; callbacks may still run. Results of finished futures stay readable.
        """
        self._session.leave_now()
        self._session.join(callbacks=False)

    def shutdown_cluster(self, timeout: float | None = 10.0) -> bool:
        """Ask the scheduler to shut the whole cluster down; whether it will.

        Waits for the answer up to `timeout` seconds (None: without limit). If it will, pending futures are
        cancelled soon and the scheduler is lost then. Raises `TimeoutError` without an answer, `SchedulerLost`
        if the scheduler is lost first, `RuntimeError` after `shutdown` or `disconnect`, `ValueError` for a
        `timeout` below 0.
        """
        deadline_of(timeout)
        self._session.check_usable()
        return self._session.ask_shutdown(timeout)


class MapResults(Iterator[T]):
    """The results of `Client.map`, in order. Not to be used by several threads at once."""

    def __init__(self, deadline: float, chunked: bool, session: ClientSession) -> None:
        self._deadline = deadline
        self._chunked = chunked
        self._session = session
        self._futures: deque[ScalerFuture[Any]] = deque()
        self._ready: deque[T] = deque()

    def add(self, future: ScalerFuture[Any]) -> None:
        """Append the future of the next call, or of the next chunk of calls."""
        self._futures.append(future)

    def __next__(self) -> T:
        while not self._ready:
            if not self._futures:
                raise StopIteration
            timeout = None if self._deadline == float("inf") else max(0.0, self._deadline - time.monotonic())
            try:
                result = self._futures[0].result(timeout)
            except BaseException:
                self.close()
                raise
            self._futures.popleft()
            self._ready.extend(result if self._chunked else [result])
        return self._ready.popleft()

    def close(self) -> None:
        """Cancel what is not settled, without force and without waiting; then the iterator is at its end."""
        if self._futures:
            futures, self._futures = self._futures, deque()
            # In another thread, since this may be called while garbage is collected.
            self._session.cancel_soon(futures)

    def __del__(self) -> None:
        self.close()
