"""Faults of clients in what a round, and a future, comes to."""

from __future__ import annotations

import threading
import time
from concurrent.futures import InvalidStateError
from typing import Any

from client_bending import cancel_returns, drop_instructions, fault, patch, without

from rescind.client_machine import ClientMachine, Dropped, EndRound, ReleaseResult, SetCancelled
from rescind.client_table import TRANSITIONS, CancelOutcome, FutureInput, FutureState
from rescind.future import CancelRound, ScalerFuture
from rescind.future_manager import ClientFutureManager
from rescind.messages import (
    TaskCancel,
)
from rescind.scheduler_link import SchedulerLink

# --- rounds


@fault
def cancel_returns_before_any_answer() -> None:
    def cancel(self: ScalerFuture[Any], timeout: float | None = 30.0, *, force: bool = False) -> bool:
        return self._manager.request_cancel(self, force=force, timeout=timeout) is not None or self.cancelled()

    ScalerFuture.cancel = cancel  # type: ignore[method-assign]


@fault
def cancel_never_returns() -> None:
    patch(
        ScalerFuture,
        "cancel",
        lambda cancel: lambda self, *_, **options: cancel(self, None) and threading.Event().wait(),
    )


@fault
def each_cancel_is_sent_twice() -> None:
    def make(send: Any) -> Any:
        def changed(self: SchedulerLink, message: Any) -> None:
            send(self, message)
            if isinstance(message, TaskCancel):
                send(self, message)

        return changed

    patch(SchedulerLink, "send", make)


@fault
def confirmed_means_false() -> None:
    cancel_returns({CancelOutcome.CONFIRMED: False})


@fault
def not_found_means_false() -> None:
    cancel_returns({CancelOutcome.NOT_FOUND: False})


@fault
def unasked_canceled_is_ignored() -> None:
    without((FutureState.RUNNING, FutureInput.CANCELED))


@fault
def refused_task_hangs() -> None:
    without((FutureState.RUNNING, FutureInput.CANCEL_NOT_FOUND))


@fault
def results_are_ignored() -> None:
    without((FutureState.RUNNING, FutureInput.RESULT))


@fault
def result_wins_over_cancel() -> None:
    TRANSITIONS[FutureState.CANCELING, FutureInput.RESULT] = TRANSITIONS[FutureState.RUNNING, FutureInput.RESULT]

    def make(set_result_ready: Any) -> Any:
        def changed(self: ScalerFuture[Any], *args: Any) -> bool:
            with self._condition:
                if self._round is not None:
                    self._round.outcome, self._round = CancelOutcome.REFUSED, None
            return set_result_ready(self, *args)  # type: ignore[no-any-return]

        return changed

    patch(ScalerFuture, "set_result_ready", make)


@fault
def discarded_result_is_kept() -> None:
    def drop(each: Any, out: list[Any]) -> bool:
        return isinstance(each, ReleaseResult) and any(isinstance(one, SetCancelled) for one in out)

    drop_instructions(drop)


@fault
def refusal_is_swallowed() -> None:
    without((FutureState.CANCELING, FutureInput.CANCEL_FAILED))


@fault
def refusal_costs_the_result() -> None:
    def make(handle: Any) -> Any:
        def changed(self: ClientMachine, event: Any) -> list[Any]:
            out: list[Any] = handle(self, event)
            for each in out:
                if isinstance(each, EndRound):
                    del self._futures[each.task_id]
            return out

        return changed

    patch(ClientMachine, "handle", make)


@fault
def refused_once_refused_for_ever() -> None:
    def make(cancel: Any) -> Any:
        def changed(self: ScalerFuture[Any], *args: Any, **options: Any) -> bool:
            return self.cancel_outcome is not CancelOutcome.REFUSED and cancel(self, *args, **options)

        return changed

    patch(ScalerFuture, "cancel", make)


@fault
def time_limit_means_false() -> None:
    cancel_returns({CancelOutcome.TIMED_OUT: False})


@fault
def time_limit_is_forgotten() -> None:
    ClientFutureManager.expire = lambda self: None  # type: ignore[method-assign]
    patch(
        ScalerFuture,
        "cancel",
        lambda cancel: lambda self, timeout=None, *, force=False: cancel(self, None, force=force),
    )


@fault
def every_outcome_is_confirmed() -> None:
    ScalerFuture.cancel_outcome = property(  # type: ignore[method-assign,assignment]
        lambda self: CancelOutcome.CONFIRMED if self._cancel_outcome is not None else None
    )


@fault
def finished_futures_are_cancelled_too() -> None:
    def make(request_cancel: Any) -> Any:
        def changed(self: ClientFutureManager, each: ScalerFuture[Any], **options: Any) -> Any:
            if each.done():
                self._send(TaskCancel(each.task_id))
            return request_cancel(self, each, **options)

        return changed

    patch(ClientFutureManager, "request_cancel", make)


# --- several calls


@fault
def each_thread_sends_its_own_cancel() -> None:
    def make(request_cancel: Any) -> Any:
        def changed(self: ClientFutureManager, each: ScalerFuture[Any], **options: Any) -> Any:
            current = each._round
            if current is not None:
                self._send(TaskCancel(each.task_id))
            return request_cancel(self, each, **options)

        return changed

    patch(ClientFutureManager, "request_cancel", make)


@fault
def the_second_thread_is_never_woken() -> None:
    def make(cancel: Any) -> Any:
        def changed(self: ScalerFuture[Any], *args: Any, **options: Any) -> bool:
            if self._round is not None:
                threading.Event().wait()
            return cancel(self, *args, **options)  # type: ignore[no-any-return]

        return changed

    patch(ScalerFuture, "cancel", make)


@fault
def the_first_time_limit_counts() -> None:
    def join(self: CancelRound, deadline: float, force: bool) -> None:
        self.wants_force |= force
        self.forced_deadline = min(self.forced_deadline, deadline)

    CancelRound.join = join  # type: ignore[method-assign]

    def make(cancel: Any) -> Any:
        def changed(self: ScalerFuture[Any], timeout: float | None = 30.0, *, force: bool = False) -> bool:
            if self._round is None or timeout == 30.0:
                return cancel(self, timeout, force=force)  # type: ignore[no-any-return]
            current = self._round
            with self._condition:
                self._condition.wait_for(lambda: current.outcome is not None, timeout)
            return True  # it is not asked again

        return changed

    patch(ScalerFuture, "cancel", make)


@fault
def force_does_not_ask_again() -> None:
    CancelRound.join = lambda self, deadline, force: None  # type: ignore[method-assign]


@fault
def cancelled_does_not_wait() -> None:
    ScalerFuture.cancelled = lambda self: self._state == "CANCELLED_AND_NOTIFIED"  # type: ignore[method-assign]


@fault
def done_waits() -> None:
    patch(ScalerFuture, "done", lambda done: lambda self: self.cancelled() or done(self))


# --- settling


@fault
def callbacks_run_twice() -> None:
    patch(ScalerFuture, "add_done_callback", lambda add: lambda self, fn: (add(self, fn), add(self, fn)))


@fault
def a_second_settling_raises() -> None:
    def make(carry_out: Any) -> Any:
        def changed(self: ClientFutureManager, instruction: Any) -> Any:
            if isinstance(instruction, Dropped):
                raise InvalidStateError(instruction.reason)
            return carry_out(self, instruction)

        return changed

    patch(ClientFutureManager, "_carry_out", make)


@fault
def readers_of_a_cancelled_task_hang() -> None:
    def make(make_ready: Any) -> Any:
        def changed(self: ScalerFuture[Any], timeout: float | None = None) -> None:
            waits = not self.done()
            make_ready(self, timeout)
            if waits and self._state == "CANCELLED_AND_NOTIFIED":
                threading.Event().wait()

        return changed

    patch(ScalerFuture, "_make_ready", make)


@fault
def the_waiter_is_made_after_the_request() -> None:
    def make(wait_for_end: Any) -> Any:
        def changed(self: ScalerFuture[Any], current: CancelRound, **options: Any) -> Any:
            time.sleep(0.02)  # the thread loses the processor at a bad moment
            if current.outcome is not None:
                threading.Event().wait()
            return wait_for_end(self, current, **options)

        return changed

    patch(ScalerFuture, "_wait_for_end", make)


@fault
def late_result_is_kept() -> None:
    def drop(each: Any, out: list[Any]) -> bool:
        return isinstance(each, ReleaseResult) and any(isinstance(one, Dropped) for one in out)

    drop_instructions(drop)
