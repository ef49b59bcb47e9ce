"""What a worker with an allow-list has, in its tests."""

from __future__ import annotations

from os import getcwd as where
from subprocess import run
from typing import Any

VERSION = "1"
settings: list[str] = []


def double(value: Any, factor: int = 2) -> Any:
    return value * factor


def _hidden() -> str:
    return "hidden"


class Shelf:
    """Instances of it do harm when their state is set."""

    def __setstate__(self, state: Any) -> None:
        settings.append(f"state {state}")

    def __init__(self, *books: Any) -> None:
        settings.append(f"made {books}")
        self.books = books

    def append(self, book: Any) -> None:
        settings.append(f"append {book}")

    extend = append

    def __setitem__(self, key: Any, value: Any) -> None:
        settings.append(f"set {key}")

    @staticmethod
    def count(books: list[Any]) -> int:
        return len(books)


double_by_another_name = double
imported = (run, where)
