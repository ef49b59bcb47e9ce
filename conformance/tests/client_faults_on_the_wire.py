"""Faults of clients in how they leave, lose the scheduler, and read and write messages."""

from __future__ import annotations

import threading
from typing import Any

import zmq
from client_bending import decode_first, fault, ignore_disconnect, patch
from lost_connections import connecting_again, keep_for_the_next, reconnecting, sending_what_is_kept

from rescind import client_session, scheduler_link, wire
from rescind.client_machine import ClientMachine, Dropped
from rescind.future import ScalerFuture
from rescind.future_manager import ClientFutureManager
from rescind.messages import (
    CancelConfirmType,
    ClientDisconnect,
    DisconnectType,
    ObjectInstruction,
    Task,
    TaskCancelConfirm,
    TaskResultType,
)
from rescind.scheduler_connection import SchedulerConnection
from rescind.scheduler_link import SchedulerLink

# --- leaving and losing


@fault
def disconnect_leaves_futures_pending() -> None:
    client_session.ClientSession.leave_now = lambda self: None  # type: ignore[method-assign]
    client_session.ClientSession.join = lambda self, *_, **__: None  # type: ignore[method-assign]


@fault
def a_dropped_connection_is_made_again() -> None:
    patch(SchedulerConnection, "_on_event", connecting_again)
    patch(zmq.Socket, "setsockopt", reconnecting)


@fault
def a_lost_client_says_good_bye_to_the_next_scheduler() -> None:
    def make(close: Any) -> Any:
        def changed(self: SchedulerConnection, *, orderly: bool) -> None:
            close(self, orderly=orderly)
            keep_for_the_next(ClientDisconnect(DisconnectType.DISCONNECT))

        return changed

    patch(SchedulerConnection, "close", make)
    patch(SchedulerConnection, "send", sending_what_is_kept)


@fault
def what_was_lost_is_submitted_again() -> None:
    def make(lose: Any) -> Any:
        def changed(self: client_session.ClientSession, cause: str) -> None:
            for future in self.manager.pending_futures():
                keep_for_the_next(Task(future.task_id))
            lose(self, cause)

        return changed

    patch(client_session.ClientSession, "on_lost", make)
    patch(SchedulerConnection, "send", sending_what_is_kept)


@fault
def silence_is_not_noticed() -> None:
    def make(init: Any) -> Any:
        def changed(self: SchedulerLink, *args: Any, scheduler_timeout: float, **options: Any) -> None:
            init(self, *args, scheduler_timeout=3600.0, **options)

        return changed

    patch(SchedulerLink, "__init__", make)


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
            self._connection.socket.send(wire.encode(ObjectInstruction()))
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
        while self._connection.socket.poll(20):  # wait for more, so that there is something to turn round
            frames += self._connection.socket.recv_multipart()
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
def longer_structs_are_dropped() -> None:
    def look(frame: bytes) -> None:
        if b"tomorrow" in frame:  # what the suite's later version says
            raise wire.WireError("unknown fields")

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
