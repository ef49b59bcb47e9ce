"""A skeleton of an adapter: copy it, and fill in what is marked TODO. What it says is told in ADAPTER.md.

It is written in Python with nothing but lines of JSON, so that it can be read as pseudo-code for any
language. As it stands it runs, and answers `unsupported` to everything:

    rescind conformance client --adapter 'python my_adapter.py client'
    rescind conformance worker --adapter 'python my_adapter.py worker'

For a client fill in `connect`, `submit`, `cancel`, `state` and `payload` first; for a worker `start`, `task`, `release`
and `running`.

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


def graph(command: Fields) -> Fields:
    # TODO, with the feature "graphs": submit a graph of calls, and add the callback of `submit` to the future of each
    # name in command["targets"]. Each entry of command["nodes"] is a call of any function: "task" is its name, and
    # "arguments" are the names of nodes whose results are its arguments, in order; give one without any a value.
    # Return {"task_ids": {name: task id of the future in hexadecimal, for each target}}.
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
    # TODO, with the feature "outcome": how the last round of the task ended (C5.2). Return {"outcome": one of these}:
    # "confirmed", "not found", "result discarded", "timed out", "disconnected", "refused", or None if there was none.
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
    # an error with that text. Return {"object_id": its id in hexadecimal}. Cases that send results need it.
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
    # routing id command["source"] would for its task command["task_id"] (both in hexadecimal). The function connects
    # to a socket of this program (below), says the task's name and waits for a byte; then it does one of these:
    #
    #     "return"      returns a value, such as a text
    #     "raise"       raises an error with the text "raised on purpose"
    #     "unstorable"  returns what your worker cannot store as a result, for example a lock
    #     "hold"        waits for another byte, then returns
    #     "spin"        looks for another byte again and again, without waiting, then returns
    #     "die"         ends its own process at once
    #     "spawn"       starts a process, which has the connection too, then does as "hold"
    #     "half"        has stored an object as your worker stores this task's result, and said its id behind the
    #                   task's name, before it waited; then does as "hold" (feature "release")
    #
    # Raise Unsupported for a body that you cannot provide.
    # Return {"function_id": its id in hexadecimal, "arguments": [the ids of its arguments in hexadecimal]}.
    raise Unsupported


# The socket of the functions. It tells when one has begun, lets it go on, and knows whether its process, or one that it
# has started, still exists: for as long as that is so, the connection is open.
#
#     bodies: list[tuple[str, socket.socket]] = []  # each connection, with the task's name
#
#     def attend(listener: socket.socket) -> None:  # in a thread, with a listening socket.AF_UNIX
#         while True:
#             connection, _ = listener.accept()
#             task, _, object_id = connection.recv(1000).decode().strip().partition(" ")
#             if not task:
#                 continue  # it has ended already
#             bodies.append((task, connection))
#             say({"event": "started", "task": task} | ({"object_id": object_id} if object_id else {}))
#             let_go(connection)  # not before: whatever the function does then comes after `started`
#
#     def let_go(connection: socket.socket) -> None:
#         try:
#             connection.sendall(b"!")
#         except OSError:
#             pass  # it has ended
#
#     def is_open(connection: socket.socket) -> bool:  # looks at this moment, and does not wait
#         try:
#             return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) != b""
#         except BlockingIOError:
#             return True
#         except OSError:
#             return False


def release(command: Fields) -> Fields:
    # TODO: let_go(connection) for each connection of command["task"]. Return {}, also if its function has ended.
    raise Unsupported


def running(command: Fields) -> Fields:
    # TODO: return {"returned": whether any connection of command["task"] is_open}. Look when you are asked: the suite
    # asks the moment that your worker has said that the task was ended, and what a thread has noted may be late.
    raise Unsupported


def leave(command: Fields) -> Fields:
    # TODO, with the feature "leave": ask the worker to leave, and return {} when it has gone. With the feature "drain",
    # and "drain" true in the command "start": it first finishes what runs.
    raise Unsupported


def exited(command: Fields) -> Fields:
    # TODO: return {"returned": whether the worker has ended}
    raise Unsupported


COMMANDS: dict[str, Callable[[Fields], Fields]] = {
    one.__name__: one
    for one in (
        *(connect, submit, graph, cancel, cancelled, state, result, outcome, cancel_in_callback, payload, disconnect),
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
    if sys.argv[1:] not in (["client"], ["worker"]):
        sys.exit(f"usage: python {sys.argv[0]} client|worker")
    # TODO: start, or open, the place where payloads are kept, and name it here; the suite puts it into each
    # heartbeat's echo, from which a client learns it. Name the features that your implementation has: "force",
    # "time-limit", "outcome", "graphs" of a client, "processes", "leave", "drain" of a worker, "timeouts", "release" of
    # either.
    say(
        {
            "event": "hello",
            "protocol": 1,
            "role": sys.argv[1],
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
    # everything that you have started: what has begun a session of its own nobody else can end.
    os._exit(0)


if __name__ == "__main__":
    main()
