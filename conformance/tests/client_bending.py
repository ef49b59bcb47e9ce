"""How the clients of `faulty_client.py` are made: each fault is a function that bends one thing of the reference.

Its docstring, or its name, says what goes wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rescind import scheduler_link, wire
from rescind.client_machine import ClientMachine
from rescind.client_table import TRANSITIONS, CancelOutcome, FutureInput, FutureState
from rescind.future import ScalerFuture
from rescind.messages import (
    ClientDisconnect,
)

FAULTS: dict[str, Callable[[], None]] = {}
"""By name, with dashes."""


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


def ignore_disconnect(ignored: Callable[[ClientDisconnect], bool]) -> None:
    def make(on_message: Any) -> Any:
        def changed(self: ClientMachine, message: Any) -> None:
            if not (isinstance(message, ClientDisconnect) and ignored(message)):
                on_message(self, message)

        return changed

    patch(ClientMachine, "_on_message", make)
