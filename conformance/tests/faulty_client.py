"""The reference client behind its adapter, with the fault that its first argument names.

Each fault is a function that bends one thing; its docstring, or its name, says what goes wrong.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import InvalidStateError
from typing import Any

import zmq

from rescind import client_session, scheduler_link, wire
from rescind.client_machine import ClientMachine, Dropped, EndRound, ReleaseResult, SetCancelled
from rescind.client_table import TRANSITIONS, CancelOutcome, FutureInput, FutureState
from rescind.future import CancelRound, ScalerFuture
from rescind.future_manager import ClientFutureManager
from rescind.messages import (
    CancelConfirmType,
    ClientDisconnect,
    DisconnectType,
    ObjectInstruction,
    TaskCancel,
    TaskCancelConfirm,
    TaskResultType,
)
from rescind.scheduler_link import SchedulerLink
from rescind_conformance.adapters import lines
from rescind_conformance.adapters.reference_client import ReferenceClient

FAULTS: dict[str, Callable[[], None]] = {}


def fault(bend: Callable[[], None]) -> Callable[[], None]:
    FAULTS[bend.__name__.replace("_", "-")] = bend
    return bend


def patch(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    """Replace an attribute by what `make` makes of it."""
    setattr(owner, name, make(getattr(owner, name)))


def without(*rows: tuple[FutureState, FutureInput]) -> None:
    """The client does nothing on these events in these states."""
    for row in rows:
        del TRANSITIONS[row]


def cancel_returns(change: Mapping[CancelOutcome, bool]) -> None:
    """`cancel()` returns something else when its round has ended so."""

    def make(cancel: Any) -> Any:
        def changed(self: ScalerFuture[Any], *args: Any, **options: Any) -> bool:
            returned = cancel(self, *args, **options)
            return change.get(self.cancel_outcome, returned) if self.cancel_outcome else returned

        return changed

    patch(ScalerFuture, "cancel", make)


def drop_instructions(drop: Callable[[Any, list[Any]], bool]) -> None:
    """Some of what the machine says is not done."""

    def make(handle: Any) -> Any:
        def changed(self: ClientMachine, event: Any) -> list[Any]:
            out = handle(self, event)
            return [each for each in out if not drop(each, out)]

        return changed

    patch(ClientMachine, "handle", make)


def decode_first(look: Callable[[bytes], None]) -> None:
    """Frames are looked at before they are decoded."""

    def make(decode: Any) -> Any:
        def changed(frame: bytes) -> Any:
            look(frame)
            return decode(frame)

        return changed

    wire_of_link = type("wire", (), {"decode": staticmethod(make(wire.decode)), "encode": staticmethod(wire.encode)})
    wire_of_link.WireError = wire.WireError  # type: ignore[attr-defined]
    patch(scheduler_link, "wire", lambda _: wire_of_link)


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


# --- leaving and losing


@fault
def disconnect_leaves_futures_pending() -> None:
    client_session.ClientSession.leave_now = lambda self: None  # type: ignore[method-assign]
    client_session.ClientSession.join = lambda self, *_, **__: None  # type: ignore[method-assign]


@fault
def a_dropped_connection_is_made_again() -> None:
    SchedulerLink._watch_connection = lambda self: None  # type: ignore[method-assign]


@fault
def silence_is_not_noticed() -> None:
    def make(init: Any) -> Any:
        def changed(self: SchedulerLink, *args: Any, scheduler_timeout: float, **options: Any) -> None:
            init(self, *args, scheduler_timeout=3600.0, **options)

        return changed

    patch(SchedulerLink, "__init__", make)


def ignore_disconnect(ignored: Callable[[ClientDisconnect], bool]) -> None:
    def make(on_message: Any) -> Any:
        def changed(self: ClientMachine, message: Any) -> None:
            if not (isinstance(message, ClientDisconnect) and ignored(message)):
                on_message(self, message)

        return changed

    patch(ClientMachine, "_on_message", make)


@fault
def client_disconnect_is_ignored() -> None:
    ignore_disconnect(lambda _: True)


@fault
def callbacks_run_in_the_receiving_thread() -> None:
    def make(init: Any) -> Any:
        def changed(self: ClientFutureManager, send: Any, **options: Any) -> None:
            init(self, send, **{**options, "run_callbacks": lambda job: job()})
            self._lock = threading.RLock()  # type: ignore[assignment]

        return changed

    patch(ClientFutureManager, "__init__", make)


@fault
def something_comes_before_the_heartbeat() -> None:
    def make(start: Any) -> Any:
        def changed(self: SchedulerLink) -> None:
            self._socket.send(wire.encode(ObjectInstruction()))
            start(self)

        return changed

    patch(SchedulerLink, "start", make)


@fault
def heartbeats_stop() -> None:
    def make(init: Any) -> Any:
        def changed(self: SchedulerLink, *args: Any, heartbeat_interval: float, **options: Any) -> None:
            init(self, *args, heartbeat_interval=3600.0, **options)

        return changed

    patch(SchedulerLink, "__init__", make)


# --- the connection and what comes over it


@fault
def no_routing_id() -> None:
    def make(setsockopt: Any) -> Any:
        def changed(self: Any, option: int, *value: Any) -> None:
            if option != zmq.ROUTING_ID:
                setsockopt(self, option, *value)

        return changed

    patch(zmq.Socket, "setsockopt", make)


@fault
def a_word_behind_each_message() -> None:
    class Encoder:
        WireError, decode = wire.WireError, staticmethod(wire.decode)

        @staticmethod
        def encode(message: Any) -> bytes:
            return wire.encode(message) + bytes(8)

    patch(scheduler_link, "wire", lambda _: Encoder)


@fault
def messages_are_handled_last_first() -> None:
    def receive_batch(self: SchedulerLink) -> bool:
        frames = []
        while self._socket.poll(20):  # wait for more, so that there is something to turn round
            frames += self._socket.recv_multipart()
        for frame in reversed(frames):
            self._last_heard = self._now
            self._user.on_message(wire.decode(frame))
        return False

    SchedulerLink._receive_batch = receive_batch  # type: ignore[method-assign]


@fault
def a_malformed_frame_ends_the_client() -> None:
    def look(frame: bytes) -> None:
        try:
            wire.decode(frame)
        except wire.WireError as error:
            if "member" not in error.reason:
                raise ValueError(str(error)) from error

    decode_first(look)


@fault
def long_frames_are_dropped() -> None:
    def look(frame: bytes) -> None:
        if len(frame) > 65_536:
            raise wire.WireError("too long", "more than 64 KiB")

    decode_first(look)


@fault
def an_unknown_member_ends_the_client() -> None:
    def look(frame: bytes) -> None:
        try:
            wire.decode(frame)
        except wire.WireError as error:
            if "member" in error.reason:
                raise ValueError(str(error)) from error

    decode_first(look)


@fault
def a_strangers_message_ends_the_client() -> None:
    def make(carry_out: Any) -> Any:
        def changed(self: ClientFutureManager, instruction: Any) -> Any:
            if isinstance(instruction, Dropped) and instruction.reason == "not for a client":
                raise TypeError(instruction.reason)
            return carry_out(self, instruction)

        return changed

    patch(ClientFutureManager, "_carry_out", make)


@fault
def several_segments_are_dropped() -> None:
    def look(frame: bytes) -> None:
        if frame[:4] != bytes(4):
            raise wire.WireError("several segments", "there is more than one")

    decode_first(look)


@fault
def task_ids_are_compared_in_part() -> None:
    def make(on_message: Any) -> Any:
        def changed(self: ClientMachine, message: Any) -> None:
            if isinstance(message, TaskCancelConfirm):
                for known in self._futures:
                    if known.startswith(message.task_id):
                        message = TaskCancelConfirm(known, message.cancel_confirm_type)
                        break
            on_message(self, message)

        return changed

    patch(ClientMachine, "_on_message", make)


@fault
def an_unknown_result_is_a_success() -> None:
    def make(set_result_ready: Any) -> Any:
        def changed(self: ScalerFuture[Any], object_id: Any = None, result_type: Any = None) -> Any:
            kind = result_type if isinstance(result_type, TaskResultType) else TaskResultType.SUCCESS
            return set_result_ready(self, object_id, kind)

        return changed

    patch(ScalerFuture, "set_result_ready", make)


@fault
def an_unknown_confirm_is_canceled() -> None:
    def make(on_message: Any) -> Any:
        def changed(self: ClientMachine, message: Any) -> None:
            if isinstance(message, TaskCancelConfirm) and not isinstance(
                message.cancel_confirm_type, CancelConfirmType
            ):
                message = TaskCancelConfirm(message.task_id, CancelConfirmType.CANCELED)
            on_message(self, message)

        return changed

    patch(ClientMachine, "_on_message", make)


@fault
def an_unknown_disconnect_is_ignored() -> None:
    ignore_disconnect(lambda message: not isinstance(message.disconnect_type, DisconnectType))


if __name__ == "__main__":
    lines.begin()
    FAULTS[sys.argv[1]]()
    ReferenceClient().serve()
