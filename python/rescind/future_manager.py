"""The owner of a client's futures: the shell around `ClientMachine`, thread-safe and without sockets.

Whatever happens to a future happens under one lock (first in the order that `future` names): the
machine takes the event, and its instructions are carried out before the next event is taken. So a
round exists before its TaskCancel is handed to the sender (C8.2), and nothing slips between a
decision and its effect. What is called under the lock (`send`, `Payloads`, `notify`) must not block.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from rescind.client_machine import (
    Cancel,
    ClientMachine,
    DeclaredLost,
    Deliver,
    Disconnect,
    Dropped,
    EndRound,
    Event,
    GraphEnded,
    Instruction,
    Received,
    ReleaseResult,
    Send,
    SetCancelled,
    ShowLog,
    ShutdownAnswered,
    Submit,
    SubmitGraph,
    TimeLimit,
    UseStorage,
)
from rescind.client_table import CancelOutcome
from rescind.drop_log import DropLog
from rescind.future import DEFAULT_CANCEL_TIMEOUT, CancelRound, ScalerFuture, deadline_of
from rescind.messages import GraphTask, Message, Task, TaskCancelConfirm, TaskResult
from rescind.result_keeper import ResultKeeper
from rescind.serial_thread import Job, SerialThread

logger = logging.getLogger(__name__)

Notice = ShowLog | UseStorage | ShutdownAnswered | DeclaredLost
"""An instruction of the machine that is not about a future."""


class Payloads(Protocol):
    """What the futures need of the object store."""

    def fetch(self, object_id: bytes) -> bytes:
        """Read an object; may block. Whatever it raises becomes the `__cause__` of `ResultLost`."""

    def release(self, object_ids: Sequence[bytes]) -> None:
        """Have objects deleted. Neither blocks nor locks: it may be called while garbage is collected."""

    def release_call(self, task: Task) -> None:
        """Have the function and the arguments of a task deleted that has ended. Does not block."""


class NoPayloads:
    """The object store of a client that has none: results that name no object are None."""

    def fetch(self, object_id: bytes) -> bytes:
        """Raise: there is nothing to read."""
        raise LookupError(f"there is no object store to read {object_id.hex()} from")

    def release(self, object_ids: Sequence[bytes]) -> None:
        """Nothing to do."""

    def release_call(self, task: Task) -> None:
        """Nothing to do."""


class ClientFutureManager:
    """Takes what callers and the scheduler say, and settles futures. Every method is thread-safe.

    It has no clock of its own: whoever waits for a round ends it at its time limit, and `expire` does
    so for rounds that nobody waits for.
    """

    def __init__(
        self,
        send: Callable[[Message], None],
        *,
        payloads: Payloads | None = None,
        run_callbacks: Callable[[Job], None] | None = None,
        notify: Callable[[Notice], None] | None = None,
    ) -> None:
        """Make a manager for one connection.

        `send` hands a message to the connection, in order. `payloads` is the object store (without it
        results are None). `run_callbacks` has a job run in order with the others and in a thread that
        may wait (without it a thread is started with the first job). `notify` takes what is not about
        a future. None of them may block, raise, or call back into the manager.
        """
        self._drops = DropLog(logger, logging.DEBUG)
        self.dropped = self._drops.counts
        """Messages that had no effect, by reason (C9.1)."""
        self._send = send
        self._payloads = payloads or NoPayloads()
        self.run_callbacks: Callable[[Job], None] = run_callbacks or SerialThread("rescind-callbacks").post
        """Has a job run by the thread that runs done-callbacks."""
        self._notify = notify or _ignore
        self._lock = threading.Lock()
        self._machine = ClientMachine()
        self._closed = False
        self._futures: dict[bytes, ScalerFuture[Any]] = {}
        """Those that are not settled."""
        self._in_round: dict[bytes, ScalerFuture[Any]] = {}
        self._graphs: dict[bytes, GraphTask] = {}
        """Those whose terminal message has not come."""
        self._results = ResultKeeper(self._payloads.release)

    @property
    def pending(self) -> int:
        """How many futures are not settled; never waits."""
        return len(self._futures)

    def pending_futures(self) -> list[ScalerFuture[Any]]:
        """The futures that are not settled, the one submitted first comes first."""
        with self._lock:
            return list(self._futures.values())

    # From callers

    def submit(self, task: Task) -> ScalerFuture[Any]:
        """Make a future for `task` and send the task; see `add_future`."""
        future: ScalerFuture[Any] = ScalerFuture(task, self)
        self.add_future(future)
        return future

    def add_future(self, future: ScalerFuture[Any]) -> None:
        """Send the future's task; the future is running from here on. One that is cancelled already is not sent.

        Raises `RuntimeError` after `refuse_new` or `disconnect`, and `ValueError` if its task id is in use.
        """
        with self._lock:
            if self._closed:
                raise RuntimeError("cannot schedule new futures after shutdown")
            if future.task_id in self._futures:
                raise ValueError(f"task id {future.task_id.hex()} is in use; a task id is never used twice")
            if future._begin() and future._task is not None:
                self._futures[future.task_id] = future
                self._handle(Submit(future._task))

    def add_graph(self, graph: GraphTask, futures: Sequence[ScalerFuture[Any]]) -> None:
        """Send the graph; `futures`, one for each target, are running from here on, and are settled one by one (C13.1).

        What the calls have stored is released when the graph has ended (C13.2). Raises `RuntimeError` after
        `refuse_new` or `disconnect`, and `ValueError` if an id is in use (C13.4).
        """
        with self._lock:
            if self._closed:
                raise RuntimeError("cannot schedule new futures after shutdown")
            for task_id in (graph.task_id, *(task.task_id for task in graph.graph)):
                if task_id in self._futures or task_id in self._graphs:
                    raise ValueError(f"task id {task_id.hex()} is in use; a task id is never used twice")
            for future in futures:
                future._task = None  # its payloads are the graph's
                future._begin()
                self._futures[future.task_id] = future
            self._graphs[graph.task_id] = graph
            self._handle(SubmitGraph(graph))

    def request_cancel(
        self, future: ScalerFuture[Any], *, force: bool = False, timeout: float | None = DEFAULT_CANCEL_TIMEOUT
    ) -> CancelRound | None:
        """Open a cancel round, or join the one that is open, without waiting for its end (C1.1, C6.2).

        `timeout` is in seconds. Returns None if the future is settled. Raises `ValueError` if `timeout` is
        negative or not a number.
        """
        deadline = deadline_of(timeout)
        with self._lock:
            current, opened = future._open_or_join_round(deadline, force)
            if opened and self._futures.get(future.task_id) is future:
                self._in_round[future.task_id] = future
                self._handle(Cancel(future.task_id, force))
            elif opened:
                # Never submitted: nobody else knows of it.
                future.set_cancel_confirmed(CancelOutcome.CONFIRMED)
            return current

    def end_by_time_limit(self, future: ScalerFuture[Any], current: CancelRound) -> None:
        """The time limit of the round `current` is reached: unless it has ended, the future is cancelled (C5.1)."""
        with self._lock:
            if future._round is current:
                self._handle(TimeLimit(future.task_id))

    def expire(self) -> None:
        """End every round whose time limit is reached, also those that nobody waits for (C5.1)."""
        if not self._in_round:
            return
        with self._lock:
            now = time.monotonic()
            for future in list(self._in_round.values()):
                if future._round is not None and future._round.deadline <= now:
                    self._handle(TimeLimit(future.task_id))

    def refuse_new(self) -> None:
        """Accept no future any more; those that are pending go on."""
        with self._lock:
            self._closed = True

    def disconnect(self, *, good_bye: bool = False) -> None:
        """Cancel every pending future at once, end every round and accept no future any more (C10.1, C10.2).

        With `good_bye` ClientDisconnect is sent. May be called again.
        """
        with self._lock:
            self._closed = True
            self._handle(Disconnect(good_bye))

    # From the scheduler: in the thread that receives, which none of these makes wait for a message

    def on_message(self, message: Message) -> None:
        """Take any message of the scheduler; what nobody waits for is dropped and counted (C9.1)."""
        with self._lock:
            self._handle(Received(message))

    def on_task_result(self, result: TaskResult) -> None:
        """Take a TaskResult."""
        self.on_message(result)

    def on_task_cancel_confirm(self, confirm: TaskCancelConfirm) -> None:
        """Take a TaskCancelConfirm."""
        self.on_message(confirm)

    # Results

    def fetch_result(self, object_id: bytes) -> bytes:
        """Read a result from the store; called by futures, without any lock of the manager."""
        return self._payloads.fetch(object_id)

    def result_was_read(self, future: ScalerFuture[Any]) -> None:
        """The future has its result in memory: its object is released, unless another future or a graph needs it."""
        if future._object_id is not None:
            self._results.let_go(future.task_id, future._object_id)

    def keep_results(self) -> None:
        """Read the results of finished futures into memory: the store is about to be left.

        A future that has its result keeps it, whoever leaves (C6.1, C8.1).
        """
        for future in self._results.unread():
            future._fetch()

    # Carrying out; the lock is held

    def _handle(self, event: Event) -> None:
        events = deque([event])
        while events:
            for instruction in self._machine.handle(events.popleft()):
                if (following := self._carry_out(instruction)) is not None:
                    events.append(following)

    def _carry_out(self, instruction: Instruction) -> Event | None:
        """Do what the machine says; returns the event that this is in turn, if any."""
        match instruction:
            case Send(message):
                self._send(message)
            case Deliver(result, graph_id):
                self._deliver(result, graph_id)
            case SetCancelled(task_id, outcome):
                self._forget(task_id).set_cancel_confirmed(outcome)
            case EndRound(task_id):
                # Refused and asked again with force in one step, so that no result slips in between (C6.3).
                if self._futures[task_id]._end_round_refused() is not None:
                    return Cancel(task_id, force=True)
                self._in_round.pop(task_id, None)
            case ReleaseResult(result):
                # A result that comes a second time names the object of the first, which may still be unread.
                self._results.release(result.results)
            case GraphEnded(graph_id):
                for task in self._graphs.pop(graph_id).graph:
                    self._payloads.release_call(task)
                self._results.end_graph(graph_id)
            case Dropped(reason, task_id):
                self._drops.note("scheduler", reason, task_id)
            case DeclaredLost():
                self._closed = True
                self._notify(instruction)
            case _:
                self._notify(instruction)
        return None

    def _deliver(self, result: TaskResult, graph_id: bytes) -> None:
        future = self._forget(result.task_id)
        object_id = result.results[0] if result.results else None
        if graph_id:
            self._results.hold(graph_id, result.results)
        if object_id is not None:
            # Before the future is seen to be finished: whoever reads it lets go of it.
            self._results.show(future, object_id)
        if not future.set_result_ready(object_id, result.result_type) and object_id is not None:
            self._results.let_go(result.task_id, object_id)
        self._results.release(result.results[1:])

    def _forget(self, task_id: bytes) -> ScalerFuture[Any]:
        """The future is settled: from here on only its users keep it alive."""
        future = self._futures.pop(task_id)
        self._in_round.pop(task_id, None)
        if future._task is not None:
            self._payloads.release_call(future._task)
            future._task = None
        return future


def _ignore(_: Notice) -> None:
    pass
