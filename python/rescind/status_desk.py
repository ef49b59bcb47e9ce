"""How other threads ask a loop for its status, without reading its tables.

Who asks puts a question on a desk, wakes the loop that owns the tables, and waits for its answer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Final

Document = Mapping[str, object]
"""A status, ready for JSON; `python/OPERATING.md` names its members."""

_PATIENCE: Final = 5.0
"""Seconds that a loop may take to answer."""


class StatusDesk:
    """Where threads put the question for a status, and a loop its answer."""

    def __init__(self, wake: Callable[[], None]) -> None:
        """`wake` makes the loop call `answer` soon; from any thread, without waiting."""
        self._wake = wake
        self._lock = threading.Lock()
        self._questions: list[Future[Document]] = []

    def ask(self, seconds: float = _PATIENCE) -> Document:
        """The status of now; from any thread but the loop's. Raises `TimeoutError` if no answer comes in time."""
        question: Future[Document] = Future()
        with self._lock:
            self._questions.append(question)
            if len(self._questions) == 1:  # otherwise it has been woken already
                self._wake()
        try:
            return question.result(seconds)
        except TimeoutError:
            raise TimeoutError(f"no answer for {seconds:g} seconds: it is busy, or has ended") from None

    def answer(self, status: Callable[[], Document]) -> None:
        """Answer whoever has asked; from the loop's thread. `status` is called once, and not if nobody has."""
        with self._lock:
            questions, self._questions = self._questions, []
        if questions:
            document = status()
            for question in questions:
                question.set_result(document)
