"""Values: dataclasses that nobody changes, and that cost little to make."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar, dataclass_transform

_T = TypeVar("_T")


@dataclass_transform(frozen_default=True)
def value(cls: type[_T]) -> type[_T]:
    """`dataclass(frozen=True, slots=True)` to a type checker.

    At run time nothing stops an assignment: the guard makes an instance five times as expensive, and several are made
    for each message.
    """
    return dataclass(slots=True, unsafe_hash=True)(cls)
