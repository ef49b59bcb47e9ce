"""Frames that every receiver must drop (M1, M3): bent messages about a task of the order, and the test vectors."""

from __future__ import annotations

from functools import cache

from rescind import wire
from rescind.messages import Message
from rescind.vectors import load
from rescind_conformance import frames

Garbage = tuple[str, tuple[bytes, ...]]
"""What it is, and the frames of one ZeroMQ message."""


def garbage(like: Message, number: int) -> Garbage:
    """One of them, the same for the same number; `like` has a task id, and would have an effect if it were whole."""
    whole = wire.encode(like)
    bent: list[Garbage] = [
        ("no frame but an empty one before it", (b"", whole)),
        ("the same frame twice in one message", (whole, whole)),
        *((note, (frame,)) for note, frame in frames.misframed(whole)),
        *((note, (frame,)) for note, frame in frames.misdirected(whole, 0, 0)),
        ("a member that nobody knows", (frames.with_member(whole, 99),)),
    ]
    choices = len(bent) + len(_vectors())
    number %= choices
    note, sent = bent[number] if number < len(bent) else _vectors()[number - len(bent)]
    return f"{note} ({sum(map(len, sent))} bytes)", sent


@cache
def _vectors() -> tuple[Garbage, ...]:
    return tuple((vector.name, (vector.frame,)) for vector in load() if vector.expect == "drop")
