"""The future that a client hands out: `concurrent.futures.Future` with a cancel that is answered.

Its state lives in the base class, so that `concurrent.futures.wait`, `as_completed` and
`asyncio.wrap_future` work as with any future. Locks, in the order in which they may be taken:

1. the manager's lock, under which every future is settled and every cancel round begins and ends;
2. a future's condition (`_condition`), which guards its state and its round. `concurrent.futures.wait`
   holds the conditions of many futures at once, so nothing may take the manager's lock under one;
3. a future's load locks, under which its result is read and unpickled. Nothing takes another lock of
   this list under one of them.

User code (callbacks, unpickling) never runs under 1 or 2.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import math
import threading
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast

from rescind.client_table import CancelOutcome
from rescind.messages import Task, TaskResultType
from rescind.payloads import RemoteError, load

if TYPE_CHECKING:
    from rescind.future_manager import ClientFutureManager

logger = logging.getLogger(__name__)

T = TypeVar("T")

DEFAULT_CANCEL_TIMEOUT = 30.0
"""Seconds that `cancel()` waits for the end of its round unless told otherwise (C1.1)."""

# The names of the states as concurrent.futures writes them.
_PENDING, _RUNNING, _FINISHED, _CANCELLED = "PENDING", "RUNNING", "FINISHED", "CANCELLED_AND_NOTIFIED"
_SETTLED = (_FINISHED, _CANCELLED)


class WorkerDied(RuntimeError):
    """What ran the task died, or it was lost with too many workers (TaskResult `failedWorkerDied`)."""


class ResultLost(RuntimeError):
    """The task has succeeded or failed, but its result cannot be read from the object store (the `__cause__`)."""


@dataclass(slots=True, eq=False)
class CancelRound:
    """One cancel round of a future: one TaskCancel and one outcome for all who share it (C6.2).

    Guarded by the future's condition, which also wakes those who wait for `outcome`. Times are those
    of `time.monotonic`, in seconds.
    """

    force: bool
    deadline: float
    """The shortest of the time limits of those who share the round."""
    wants_force: bool = False
    """A call with force has joined: a refusal is followed by a round with force (C6.3)."""
    forced_deadline: float = math.inf
    """The shortest of the time limits of the calls with force."""
    outcome: CancelOutcome | None = None
    """None while the round is open."""
    follow_up: CancelRound | None = None
    """The round with force that was opened when this one was refused."""

    def join(self, deadline: float, force: bool) -> None:
        """Share the round; the caller holds the future's condition."""
        self.deadline = min(self.deadline, deadline)
        if force:
            self.wants_force = True
            self.forced_deadline = min(self.forced_deadline, deadline)


class ScalerFuture(concurrent.futures.Future[T]):
    """The outcome of a task. Every method is thread-safe, and may be called from a done-callback (C11.1).

    It differs from other futures in this:

    - `cancel()` asks the scheduler and waits for the answer; without force a task that runs refuses;
    - `cancelled()` waits while a cancel is being answered;
    - the result is read from the object store and unpickled when it is first asked for, in the thread
      that asks; if there are done-callbacks, in the thread that runs them, before the first of them.

    `await future` works in any event loop. If the awaiting asyncio task is cancelled, a cancel round is
    opened without waiting for its answer. `asyncio.wrap_future(future)` works too, but asyncio then calls
    `cancel()` in the event loop's thread, which stands still until the scheduler has answered.
    """

    def __init__(self, task: Task, manager: ClientFutureManager) -> None:
        super().__init__()
        self._task: Task | None = task
        self._task_id = task.task_id
        self._manager = manager
        self._round: CancelRound | None = None
        self._cancel_outcome: CancelOutcome | None = None
        self._done_callbacks: list[Callable[[concurrent.futures.Future[T]], object]]
        # The result: set before the state is FINISHED, afterwards guarded by the load locks.
        self._object_id: bytes | None = None
        self._result_type: TaskResultType | int = TaskResultType.SUCCESS
        self._fetch_lock = threading.Lock()
        self._load_lock = threading.Lock()
        self._payload: bytes | ResultLost | None = None
        self._fetched = False
        self._loaded = False

    @property
    def task_id(self) -> bytes:
        """The task's id on the wire: 16 bytes if the client made it."""
        return self._task_id

    @property
    def cancel_outcome(self) -> CancelOutcome | None:
        """How the last cancel round ended, or why the future is cancelled without one (C5.2); never waits.

        None if no round has ended yet and the future is not cancelled. `REFUSED` stays when the task
        then finishes.
        """
        with self._condition:
            return self._cancel_outcome

    def cancel(self, timeout: float | None = DEFAULT_CANCEL_TIMEOUT, *, force: bool = False) -> bool:
        """Ask the scheduler to cancel the task, and wait for the end of the round (C1.1 to C6.3).

        With `force` a task that runs is ended; without it, it refuses and goes on. `timeout` is in
        seconds, None waits without limit; when it is over the future is cancelled without an answer
        (0: the request is sent and nobody waits). Calls from several threads share one round: the
        shortest of their time limits ends it for all, and a call with force that shared a round
        without it asks again when that one is refused, within what is left of its time.

        Returns True if the future is cancelled, False if it has its result or the cancel was refused.
        Raises `ValueError` if `timeout` is negative or not a number.
        """
        current = self._manager.request_cancel(self, force=force, timeout=timeout)
        if current is not None and self._wait_for_end(current, follow=force) is CancelOutcome.REFUSED:
            return False
        with self._condition:
            return self._state == _CANCELLED

    def cancelled(self) -> bool:
        """Whether the future is cancelled; waits for the end of a cancel round that is open (C7.1)."""
        with self._condition:
            current = self._round
        if current is not None:
            self._wait_for_end(current, follow=True)
        with self._condition:
            return self._state == _CANCELLED

    def result(self, timeout: float | None = None) -> T:
        """The task's result; reads it from the object store at the first call.

        `timeout` is in seconds, None waits without limit; it bounds the wait for the task and for another
        thread that reads the result already, not the reading itself. Raises what the task raised, with the
        remote traceback as its `__cause__`; `concurrent.futures.CancelledError`; `TimeoutError`;
        `WorkerDied`; `ResultLost`; `RemoteError` for an error that cannot be shown as what it was.
        """
        try:
            self._make_ready(timeout)
            if self._state == _CANCELLED:
                raise concurrent.futures.CancelledError(*self._why_cancelled())
            if self._exception is not None:
                raise self._exception
            return cast(T, self._result)
        finally:
            # Break the reference cycle: exception, traceback, this frame, future, exception.
            self = None  # type: ignore[assignment]  # noqa: PLW0642

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """What the task raised, or None; otherwise like `result`."""
        with self._condition:
            if self._state == _FINISHED and not self._loaded and self._condition_held_by_caller():
                # `concurrent.futures.wait(return_when=FIRST_EXCEPTION)` asks while it holds the condition of
                # every future, only to compare with None: reading the store now would stop them all.
                return None if self._result_type == TaskResultType.SUCCESS else RemoteError("not read yet", "")
        self._make_ready(timeout)
        if self._state == _CANCELLED:
            raise concurrent.futures.CancelledError(*self._why_cancelled())
        return self._exception

    def __await__(self) -> Generator[Any, None, T]:
        return self._wait_in_event_loop().__await__()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} task={self._task_id.hex()} state={self._state.lower()}>"

    # What the manager calls when the machine has decided; each is done once and later calls change nothing (C8.1).

    def set_result_ready(
        self, object_id: bytes | None = None, result_type: TaskResultType | int = TaskResultType.SUCCESS
    ) -> bool:
        """The task ended by itself: the object `object_id` holds its result or error (None: it has none).

        Returns whether the future took it. It does not when it is settled, nor while a cancel round is
        open: then the round ends and the future is cancelled (C3.1).
        """
        with self._condition:
            if self._round is not None:
                self._settle(_CANCELLED, CancelOutcome.RESULT_DISCARDED)
                return False
            if self._state in _SETTLED:
                return False
            self._object_id, self._result_type = object_id, result_type
            return self._settle(_FINISHED)

    def set_cancel_confirmed(self, outcome: CancelOutcome = CancelOutcome.CONFIRMED) -> bool:
        """The future is cancelled; `outcome` says how. Returns whether this call settled it."""
        return self._settle(_CANCELLED, outcome)

    def set_canceled(self) -> bool:
        """The former name of `set_cancel_confirmed`, kept for users of Scaler."""
        return self.set_cancel_confirmed()

    def set_result(self, result: T) -> None:
        """Settle with a value at hand, for tests; an open cancel round discards it (C3.1).

        Raises `InvalidStateError` if the future is settled.
        """
        self._set_loaded(result, None)

    def set_exception(self, exception: BaseException | None) -> None:
        """Settle with an exception at hand; otherwise like `set_result`."""
        self._set_loaded(None, exception)

    # Called by the manager, under its lock.

    def _begin(self) -> bool:
        """The task is handed to the machine; False if the future was cancelled before."""
        with self._condition:
            if self._state != _PENDING:
                return False
            self._state = _RUNNING
            return True

    def _open_or_join_round(self, deadline: float, force: bool) -> tuple[CancelRound | None, bool]:
        """The round that the caller shares (None if the future is settled), and whether it is new."""
        with self._condition:
            if self._state in _SETTLED:
                return None, False
            opened = self._round is None
            if self._round is None:
                self._round = CancelRound(force, deadline)
            elif deadline < self._round.deadline:
                self._condition.notify_all()  # those who wait already wait for less long now
            self._round.join(deadline, force)
            return self._round, opened

    def _end_round_refused(self) -> CancelRound | None:
        """The cancel was refused (C4.1); the round with force that has to follow (C6.3), if any."""
        with self._condition:
            ended = self._round
            self._cancel_outcome = CancelOutcome.REFUSED
            self._round = None
            if ended is not None:
                ended.outcome = CancelOutcome.REFUSED
                if ended.wants_force and not ended.force:
                    self._round = CancelRound(True, ended.forced_deadline, True, ended.forced_deadline)
                    ended.follow_up = self._round
            self._condition.notify_all()
            return self._round

    def _settle(self, state: str, outcome: CancelOutcome | None = None) -> bool:
        with self._condition:
            if self._state in _SETTLED:
                return False
            self._state = state
            if outcome is not None:
                self._cancel_outcome = outcome
            if self._round is not None:
                self._round.outcome = outcome
                self._round = None
            for waiter in self._waiters:
                if state == _CANCELLED:
                    waiter.add_cancelled(self)
                elif self._result_type == TaskResultType.SUCCESS:
                    waiter.add_result(self)
                else:
                    waiter.add_exception(self)
            self._condition.notify_all()
            has_callbacks = bool(self._done_callbacks)
        if has_callbacks:
            self._manager.run_callbacks(self._load_and_run_callbacks)
        return True

    def _why_cancelled(self) -> tuple[str, ...]:
        """What a `CancelledError` says, where it may be that nobody has asked for it."""
        match self._cancel_outcome:
            case CancelOutcome.NOT_FOUND:
                return ("the scheduler does not hold this task: it has refused it, as its log says, or lost it",)
            case CancelOutcome.DISCONNECTED:
                return ("the client has disconnected, or lost its scheduler",)
            case _:
                return ()

    # Waiting

    def _wait_for_end(self, current: CancelRound, *, follow: bool) -> CancelOutcome:
        """Wait for the end of a round, and with `follow` of the one that follows it; end it at its time limit."""
        while True:
            with self._condition:
                while current.outcome is None and (left := current.deadline - time.monotonic()) > 0:
                    self._condition.wait(min(left, threading.TIMEOUT_MAX))
                outcome, follow_up = current.outcome, current.follow_up
            if outcome is None:
                self._manager.end_by_time_limit(self, current)
            elif follow and follow_up is not None:
                current = follow_up
            else:
                return outcome

    def _make_ready(self, timeout: float | None) -> None:
        """Wait until the future is settled and, if it is finished, loaded. Raises `TimeoutError`."""
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        with self._condition:
            while self._state not in _SETTLED:
                # In a loop: a round that ends refused wakes us too.
                if (left := deadline - time.monotonic()) <= 0:
                    raise TimeoutError
                self._condition.wait(min(left, threading.TIMEOUT_MAX))
        if self._state == _FINISHED:
            self._load(deadline)

    async def _wait_in_event_loop(self) -> T:
        loop = asyncio.get_running_loop()
        arrived = loop.create_future()

        def wake(_: object) -> None:
            with suppress(RuntimeError):  # the loop has been closed: nobody waits
                loop.call_soon_threadsafe(_arrive, arrived)

        self._call_when_loaded(wake)
        try:
            await arrived
        except asyncio.CancelledError:
            with self._condition, suppress(ValueError):
                self._done_callbacks.remove(wake)
            # The event loop must not stand still until the scheduler has answered: nobody waits for this round.
            self._manager.request_cancel(self)
            raise
        if self._state == _CANCELLED:
            raise asyncio.CancelledError(*self._why_cancelled())
        return self.result(0)

    def _condition_held_by_caller(self) -> bool:
        """Whether this thread held the condition before it was taken just now."""
        self._condition.release()
        try:
            return bool(self._condition._is_owned())  # type: ignore[attr-defined]
        finally:
            self._condition.acquire()

    # Loading the result

    def _load(self, deadline: float = math.inf) -> None:
        """Read and unpickle the result, once; raises `TimeoutError` if another thread takes too long over it."""
        if self._loaded:
            return
        if not self._load_lock.acquire(timeout=_seconds_to(deadline)):
            raise TimeoutError
        try:
            if not self._loaded:
                self._fetch(deadline)
                self._result, self._exception = self._interpret()
                self._payload = None
                self._loaded = True
        finally:
            self._load_lock.release()

    def _fetch(self, deadline: float = math.inf) -> None:
        """Read the pickled result, once, and have it released from the store."""
        if not self._fetch_lock.acquire(timeout=_seconds_to(deadline)):
            raise TimeoutError
        try:
            if not self._fetched:
                if self._object_id is not None:
                    try:
                        self._payload = self._manager.fetch_result(self._object_id)
                    except Exception as error:
                        self._payload = ResultLost(
                            f"the result of task {self._task_id.hex()} cannot be read: {error!r}"
                        )
                        self._payload.__cause__ = error
                self._fetched = True
                self._manager.result_was_read(self)
        finally:
            self._fetch_lock.release()

    def _interpret(self) -> tuple[Any, BaseException | None]:
        """The result or the exception, as the result's type says (M6: an unknown type is a failure)."""
        if isinstance(self._payload, ResultLost):
            return None, self._payload
        try:
            value = load(self._payload) if self._payload is not None else None
        except BaseException as error:  # unpickling runs the worker's code, which may say sys.exit()
            if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
                raise  # Ctrl-C, not the result
            error.add_note(f"Raised while the result of task {self._task_id.hex()} was unpickled.")
            return None, error
        task = f"task {self._task_id.hex()}"
        if self._result_type == TaskResultType.SUCCESS:
            return value, None
        cause = value if isinstance(value, BaseException) else None
        if self._result_type == TaskResultType.FAILED:
            what = "its worker could not store the error, and has it in its log"
            if self._payload is not None:
                what = f"its error is no exception but {value!r}"
            return None, cause or RemoteError(f"{task} failed; {what}", "")
        failure: Exception
        if self._result_type == TaskResultType.FAILED_WORKER_DIED:
            failure = WorkerDied(f"what ran {task} died, or it was lost with too many workers")
        else:
            failure = RemoteError(f"{task} ended with the unknown result type {int(self._result_type)}", "")
        failure.__cause__ = cause
        return None, failure

    def _set_loaded(self, result: Any, exception: BaseException | None) -> None:
        with self._condition:
            if self._state in _SETTLED:
                raise concurrent.futures.InvalidStateError(f"{self._state}: {self!r}")
            if self._round is not None:
                self._settle(_CANCELLED, CancelOutcome.RESULT_DISCARDED)
                return
            self._result, self._exception = result, exception
            self._result_type = TaskResultType.SUCCESS if exception is None else TaskResultType.FAILED
            self._fetched = self._loaded = True
            self._settle(_FINISHED)

    # Callbacks

    def _call_when_loaded(self, fn: Callable[[Any], object]) -> None:
        """Like `add_done_callback`, but never reads the store in the calling thread."""
        with self._condition:
            if self._state not in _SETTLED:
                self._done_callbacks.append(fn)
                return
            ready = self._state == _CANCELLED or self._loaded
        if ready:
            fn(self)
        else:

            def load_and_call() -> None:
                self._load()
                fn(self)

            self._manager.run_callbacks(load_and_call)

    def _load_and_run_callbacks(self) -> None:
        """Run in the callback thread: each callback once, in order; what one raises is logged (C8.1)."""
        if self._state == _FINISHED:
            self._load()
        with self._condition:
            callbacks, self._done_callbacks = self._done_callbacks, []
        for callback in callbacks:
            try:
                callback(self)
            except BaseException:  # even SystemExit: it would end the thread that runs everybody's callbacks
                logger.exception("exception calling callback for %r", self)

    def _get_snapshot(self) -> tuple[bool, bool, T | None, BaseException | None]:
        """What asyncio copies (Python 3.14 and later); it reads the attributes, so they must be loaded."""
        if self._state not in _SETTLED:
            return False, False, None, None
        if self._state == _CANCELLED:
            return True, True, None, None
        self._load()
        return True, False, self._result, self._exception


def _arrive(arrived: asyncio.Future[None]) -> None:
    if not arrived.done():
        arrived.set_result(None)


def deadline_of(timeout: float | None) -> float:
    """When a time limit of `timeout` seconds ends, as `time.monotonic` counts; None never ends.

    Raises `ValueError` if it is negative or not a number.
    """
    if timeout is None:
        return math.inf
    if not timeout >= 0:
        raise ValueError(f"timeout must be 0 seconds or more, or None for no limit, not {timeout}")
    return time.monotonic() + timeout


def _seconds_to(deadline: float) -> float:
    """How long to wait for a lock, as `Lock.acquire` takes it."""
    return min(max(0.0, deadline - time.monotonic()), threading.TIMEOUT_MAX)
