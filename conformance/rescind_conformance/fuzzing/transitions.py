"""Which rows of the machines' tables a life takes: code that looks them up is the same for all of them, so that what
an input reaches cannot be told by lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from rescind import client_machine, scheduler_tasks, worker_machine

_MACHINES: Final[tuple[Any, ...]] = (scheduler_tasks, client_machine, worker_machine)


class _Watched(dict[Any, Any]):
    def __init__(self, rows: dict[Any, Any], on_row: Callable[[object], None]) -> None:
        super().__init__(rows)
        self._on_row = on_row

    def __getitem__(self, key: Any) -> Any:
        self._on_row(_row(key))
        return super().__getitem__(key)


@contextmanager
def watched(on_row: Callable[[object], None]) -> Iterator[None]:
    """For the time of the block, `on_row` is told of each row that is taken, as `all_rows` has it."""
    before = [machine.TRANSITIONS for machine in _MACHINES]
    for machine in _MACHINES:
        machine.TRANSITIONS = _Watched(machine.TRANSITIONS, on_row)
    try:
        yield
    finally:
        for machine, rows in zip(_MACHINES, before, strict=True):
            machine.TRANSITIONS = rows


def all_rows() -> list[object]:
    """Of all machines: whose state it is, the state, and the input."""
    return [_row(key) for machine in _MACHINES for key in machine.TRANSITIONS]


def _row(key: tuple[Any, Any]) -> object:
    state, given = key
    return type(state).__name__, state, given  # states of several machines have the same name
