"""What a worker runs for `Client.map` with chunks; kept apart so that a worker imports nothing of the client."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

T = TypeVar("T")


def run_chunk(fn: Callable[..., T], chunk: list[tuple[Any, ...]]) -> list[T]:
    """The results of `fn` for each tuple of arguments, in order."""
    return [fn(*arguments) for arguments in chunk]


def chunks_of(size: int, calls: Iterable[tuple[Any, ...]]) -> Iterator[list[tuple[Any, ...]]]:
    """`calls` in lists of `size`; the last one may be shorter."""
    remaining = iter(calls)
    while chunk := list(islice(remaining, size)):
        yield chunk
