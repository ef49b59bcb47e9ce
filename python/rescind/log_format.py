"""How the logs of a scheduler or worker are written: text for people, or a JSON object a line for programs."""

from __future__ import annotations

import json
import logging
import sys
import threading
from datetime import UTC, datetime
from enum import StrEnum
from types import TracebackType
from typing import Final

logger = logging.getLogger(__name__)

FIELDS: Final = ("task_id", "peer", "reason", "count")
"""What a line has besides, where it exists."""


class LogFormat(StrEnum):
    """How a line is written."""

    TEXT = "text"
    JSON = "json"


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON, whatever its message contains."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {field: value for field in FIELDS if (value := getattr(record, field, None)) is not None}
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def _log_uncaught(what: str, error: tuple[type[BaseException], BaseException, TracebackType | None]) -> None:
    logger.critical("%s by an error that nobody expected: %s", what, error[1], exc_info=error)


def set_up_logging(verbose: bool, log_format: LogFormat) -> None:
    """Write logs to standard error: warnings and errors; if `verbose` also what goes well."""
    handler = logging.StreamHandler(sys.stderr)
    if log_format is LogFormat.JSON:
        handler.setFormatter(JsonFormatter())
        # What Python itself would write there, as lines of its own kind.
        logging.captureWarnings(True)
        sys.excepthook = lambda kind, error, trace: _log_uncaught("it ends", (kind, error, trace))
        threading.excepthook = lambda about: _log_uncaught(
            f"the thread {about.thread.name if about.thread else '?'} ends",
            (about.exc_type, about.exc_value or about.exc_type(), about.exc_traceback),
        )
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.INFO if verbose else logging.WARNING)
