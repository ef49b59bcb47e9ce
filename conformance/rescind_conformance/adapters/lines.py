"""The lines of the adapter protocol, for adapters in Python: what ADAPTER.md says of lines, and nothing else.

```python
lines.begin()  # first of all
...
lines.serve(hello, {"submit": submit, "cancel": cancel}, waiting={"cancel"}, at_end=client.close)
```

A command is a function that takes the command's fields as keyword arguments and returns the fields of
`done`, or None if there are none. What it raises is told as `raised`.
"""

from __future__ import annotations

import inspect
import json
import os
import sys
import threading
import traceback
from collections.abc import Callable, Collection, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import IO, Any, NoReturn

Command = Callable[..., Mapping[str, Any] | None]


class Unsupported(Exception):
    """Raised by a command: the implementation has no such function. Answered with `unsupported`."""


def version_of(distribution: str) -> str:
    """The version of an installed package, for `hello`; "" if it is not installed as one."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""


_lock = threading.Lock()


def begin() -> None:
    """Keep standard input and output for the protocol; may be called again.

    From here on what is printed goes to the log, and nobody reads the suite's commands but `serve`.
    """
    _streams()


@cache
def _streams() -> tuple[IO[bytes], IO[bytes]]:
    streams = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    sys.stdout.flush()
    os.dup2(2, 1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return streams


def say(event: Mapping[str, Any]) -> None:
    """Write one event, whole and at once. Any thread."""
    line = json.dumps(event).encode() + b"\n"
    with _lock:
        output = _streams()[1]
        output.write(line)
        output.flush()


def serve(
    hello: Mapping[str, Any],
    commands: Mapping[str, Command],
    waiting: Collection[str] = (),
    at_end: Callable[[], object] = lambda: None,
) -> NoReturn:
    """Say `hello`, obey until the end of standard input, then do `at_end` and end this process at once.

    Commands named in `waiting` run each in a thread of its own, the others one after another in this one.
    """
    begin()
    status = 1
    try:
        say({"event": "hello", "protocol": 1, **hello})
        for line in _streams()[0]:
            fields = json.loads(line)
            number, name = fields.pop("id"), fields.pop("command")
            if name in waiting:
                threading.Thread(target=_obey, args=(number, commands.get(name), fields), daemon=True).start()
            else:
                _obey(number, commands.get(name), fields)
        status = 0
    except BrokenPipeError:
        status = 0  # the suite has gone
    except BaseException:
        traceback.print_exc()
    finally:
        # Not sys.exit: it would wait for threads that wait for the implementation.
        try:
            at_end()
        except BaseException:
            traceback.print_exc()
        sys.stderr.flush()
        os._exit(status)


def _obey(number: int, command: Command | None, fields: Mapping[str, Any]) -> None:
    """Do one command and answer it; a field that the command does not take is not supported."""
    try:
        if command is None:
            raise Unsupported
        try:
            bound = inspect.signature(command).bind(**fields)
        except TypeError as error:
            raise Unsupported from error
        answer = {"event": "done", "id": number, **(command(*bound.args, **bound.kwargs) or {})}
    except Unsupported:
        answer = {"event": "unsupported", "id": number}
    except Exception as error:
        traceback.print_exc()
        answer = {"event": "raised", "id": number, "error": f"{type(error).__name__}: {error}"}
    say(answer)
