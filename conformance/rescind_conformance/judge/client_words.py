"""What the judge of a client says of futures and calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from rescind_conformance.judge.client_books import Call

OUTCOMES: Final = {True: "cancelled", False: "finished"}
"""What a future is settled as, by whether it is cancelled."""
_BECAUSE: Final[Mapping[str, str]] = {
    "C2.1": "its round was answered canceled",
    "C2.2": "its round was answered cancelNotFound",
    "C2.3": "the scheduler does not hold it",
    "C5.1": "the time limit was reached",
    "C6.1": "it was settled before",
    "C7.1": "no round is open",
    "C10.1": "the client disconnects",
    "C10.2": "the scheduler is lost",
    "M6": "a ClientDisconnect of any type is the loss of the scheduler",
}
"""Why a future is to be settled so, or a call to return so."""


def because(requirement: str, cancelled: bool) -> str:
    """Why a future is to be settled so, or a call to return so, by this requirement."""
    if requirement in ("C2.4", "C3.1"):
        return f"a result came while {'a' if cancelled else 'no'} round was open"
    if requirement == "C4.1":
        return "its round was refused"
    return _BECAUSE.get(requirement, "nothing is open")


def words_of(call: Call) -> str:
    """Which call it is; the name of the task follows."""
    return "cancel() of" if call.asks else "cancelled() of"
