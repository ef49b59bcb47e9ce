"""Messages that have no effect: each is counted, and logged with whom it came from and which task it is about."""

from __future__ import annotations

import logging
from collections import Counter

_MAX_COMPLAINTS = 10_000
"""Peers and reasons that are counted apart, so that strangers cannot fill the memory."""


class DropLog:
    """Counts drops by reason and logs them, what one peer repeats ever more rarely (M1, S11.2). For one thread."""

    def __init__(self, logger: logging.Logger, level: int = logging.WARNING) -> None:
        self._logger = logger
        self._level = level
        self.counts: Counter[str] = Counter()
        """Messages that had no effect, by reason."""
        self._complaints: Counter[tuple[str, str]] = Counter()
        """The same by peer and reason, for the log."""

    def note(self, peer: str, reason: str, task_id: bytes = b"") -> None:
        """A message of `peer`, or to it, had no effect; `reason` is one of a few."""
        self.counts[reason] += 1
        if len(self._complaints) >= _MAX_COMPLAINTS:
            self._complaints.clear()
        self._complaints[peer, reason] += 1
        count = self._complaints[peer, reason]
        # A flood of the same complaint must not become a flood of log lines: log the 1st, 2nd, 4th, 8th...
        if count & (count - 1) == 0:
            task = task_id.hex()
            self._logger.log(
                self._level,
                "dropped: %s (peer %s, task %s, %d so far)",
                *(reason, peer, task or "-", count),
                extra={"reason": reason, "peer": peer, "task_id": task or None, "count": count},
            )
