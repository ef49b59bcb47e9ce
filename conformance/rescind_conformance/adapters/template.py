"""A skeleton of an adapter: copy it, and fill in what is marked TODO. What it says is told in ADAPTER.md.

It is written in Python with nothing but lines of JSON, so that it can be read as pseudo-code for any
language. As it stands it runs, and answers `unsupported` to everything:

    rescind conformance client --adapter 'python -m rescind_conformance.adapters.template client'
    rescind conformance worker --adapter 'python -m rescind_conformance.adapters.template worker'

An adapter in Python can be shorter: `rescind_conformance.adapters.lines` has all that is about lines, and
`reference_client.py` and `reference_worker.py` beside it show how it is used.
"""

import json
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

Fields = dict[str, Any]
"""A line: a JSON object."""

# What the suite calls a task ("T1", "T2"...), and your future for it.
futures: dict[str, Any] = {}

# Standard output belongs to the protocol. Whatever your implementation prints must go to standard error:
# keep the real output for `say`, and let everybody else print to the log.
output = os.fdopen(os.dup(1), "w", encoding="utf-8")
os.dup2(2, 1)
output_lock = threading.Lock()


def say(event: Fields) -> None:
    """One event: one line, written whole (threads must not mix theirs), and flushed at once."""
    with output_lock:
        output.write(json.dumps(event) + "\n")
        output.flush()


class Unsupported(Exception):
    """Your implementation has no such function: the case ends with the verdict "unsupported"."""


# --- A client's commands. Each takes the command's fields and returns the fields of `done`.


def connect(command: Fields) -> Fields:
    # TODO: make a client that connects to command["endpoint"], and return when it can be used. The suite
    # answers its heartbeat, as a scheduler does. With the feature "timeouts" the command may have
    # "heartbeat_interval" and "scheduler_timeout", in seconds. Return {}.
    raise Unsupported


def submit(command: Fields) -> Fields:
    # TODO: submit any function with any argument, for example abs(-1): nothing runs it.
    #
    #     future = client.submit(abs, -1)
    #     futures[command["task"]] = future
    #     future.add_done_callback(lambda future: say({
    #         "event": "settled",
    #         "task": command["task"],
    #         "outcome": "cancelled" if future.cancelled() else "finished",
    #     }))
    #     return {"task_id": future.task_id.hex()}
    #
    # The callback must say so *each time* that it is called: the suite counts.
    raise Unsupported


def cancel(command: Fields) -> Fields:
    # TODO: return {"returned": futures[command["task"]].cancel(...)}
    #
    # command["force"] is true only if you name the feature "force", and command["time_limit"] is a number of
    # seconds only if you name the feature "time-limit"; null means that your cancel() is given none.
    raise Unsupported


def cancelled(command: Fields) -> Fields:
    # TODO: return {"returned": futures[command["task"]].cancelled()}
    raise Unsupported


def state(command: Fields) -> Fields:
    # TODO: return {"settled": future.done(), "running": future.running()}; neither may wait.
    raise Unsupported


def result(command: Fields) -> Fields:
    # TODO: wait for the result, then return one of
    #
    #     {"outcome": "value", "text": str(value)}
    #     {"outcome": "error", "text": str(error)}
    #     {"outcome": "cancelled"}
    raise Unsupported


def outcome(command: Fields) -> Fields:
    # TODO, with the feature "outcome": how the last round of the task ended (C5.2).
    raise Unsupported


def cancel_in_callback(command: Fields) -> Fields:
    # TODO: add a done-callback to futures[command["of"]] that does this, with other = futures[command["task"]]:
    #
    #     returned = other.cancel()
    #     if other.cancelled():
    #         try reading other.result(), and ignore what it raises
    #
    # Wait until the callback has run to its end, then return {"returned": returned}.
    raise Unsupported


def payload(command: Fields) -> Fields:
    # TODO: store an object as your worker stores a result: the text command["text"], or, if command["error"],
    # an error with that text. Return {"object_id": its id in hexadecimal}.
    raise Unsupported


def stored(command: Fields) -> Fields:
    # TODO, with the feature "release": return {"returned": whether the store has command["object_id"]}.
    raise Unsupported


def disconnect(command: Fields) -> Fields:
    # TODO: disconnect now. Pending futures are cancelled; do not wait for them. Return {}.
    raise Unsupported


# --- A worker's commands.


def start(command: Fields) -> Fields:
    # TODO: start a worker that connects to command["endpoint"], runs command["processes"] tasks at once and takes
    # command["queue_size"] tasks. With the feature "timeouts" the command may have "heartbeat_interval" and
    # "scheduler_timeout", in seconds. Return {}.
    raise Unsupported


def task(command: Fields) -> Fields:
    # TODO: store a function that does what command["body"] says, and its arguments, as a client of yours with the
    # routing id command["source"] would for its task command["task_id"] (both in hexadecimal). When the function
    # begins it must make this program say {"event": "started", "task": command["task"]}: let it connect to a socket
    # of this program, and keep that connection open.
    #
    # Return {"function_id": its id in hexadecimal, "arguments": [the ids of its arguments in hexadecimal]}.
    raise Unsupported


def release(command: Fields) -> Fields:
    # TODO: let the function of command["task"] go on, which waits on its connection to this program. Return {}.
    raise Unsupported


def running(command: Fields) -> Fields:
    # TODO: return {"returned": whether the connection of the function of command["task"] is still open}
    raise Unsupported


def leave(command: Fields) -> Fields:
    # TODO, with the feature "leave": ask the worker to leave, and return {} when it has gone.
    raise Unsupported


def exited(command: Fields) -> Fields:
    # TODO: return {"returned": whether the worker has ended}
    raise Unsupported


COMMANDS: dict[str, Callable[[Fields], Fields]] = {
    one.__name__: one
    for one in (
        *(connect, submit, cancel, cancelled, state, result, outcome, cancel_in_callback, payload, disconnect),
        *(start, task, release, running, leave, exited),
        stored,
    )
}


def obey(command: Fields) -> None:
    """Do one command, and answer it with exactly one event."""
    try:
        do = COMMANDS.get(command["command"])
        if do is None:
            raise Unsupported  # of a later version of the suite
        answer = {"event": "done", **do(command)}
    except Unsupported:
        answer = {"event": "unsupported"}
    except Exception as error:  # your implementation raised: that is a finding, not an accident
        answer = {"event": "raised", "error": f"{type(error).__name__}: {error}"}
    say({**answer, "id": command["id"]})


def main() -> None:
    # TODO: start, or open, the place where payloads are kept, and name it here; the suite puts it into each
    # heartbeat's echo, from which a client learns it. Name the features that your implementation has.
    say(
        {
            "event": "hello",
            "protocol": 1,
            "role": sys.argv[1] if len(sys.argv) > 1 else "client",
            "name": "mine",
            "version": "0",
            "features": [],
            "storage": {"scheme": "file", "host": "/nowhere", "port": 0},
        }
    )
    for line in sys.stdin:
        # Each in a thread of its own: cancel() waits for an answer, and the suite goes on talking meanwhile.
        threading.Thread(target=obey, args=(json.loads(line),), daemon=True).start()
    # The suite has closed our standard input: the case is over. Do not wait for anything, just end, with
    # everything that you have started.
    os._exit(0)


if __name__ == "__main__":
    main()
