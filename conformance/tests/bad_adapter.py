"""An adapter that misbehaves as its first argument says: before it has introduced itself, or at the first command."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from typing import Any

HELLO: Mapping[str, Any] = {
    "event": "hello",
    "protocol": 1,
    "role": "client",
    "name": "bad",
    "version": "1",
    "features": [],
    "storage": {"scheme": "none", "host": "", "port": 0},
}


LINES: Mapping[str, bytes] = {
    "settled of a list": b'{"event": "settled", "task": ["T1"], "outcome": "finished"}',
    "started of an object": b'{"event": "started", "task": {"T1": 1}}',
    "an id that is a list": b'{"event": "settled", "task": "T1", "outcome": "finished", "id": [1]}',
    "raised nothing": b'{"event": "raised", "id": 1, "error": null}',
    "half a character": b'{"event": "dance \\ud800"}',
    "half a character in bytes": b'{"event": "dance \xed\xa0\x80"}',
    "control characters": b"\x1b[31mdebug\x07",
    "raises half a character": b'{"event": "raised", "id": 1, "error": "OSError: \\ud800"}',
}
"""What it says to the first command, by fault."""


def write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def say(event: Mapping[str, Any]) -> None:
    write(json.dumps(event) + "\n")


def introduce(fault: str) -> None:
    match fault:
        case "hello: not JSON":
            write("Traceback: I am no JSON\n")
        case "hello: another role":
            say({**HELLO, "role": "worker"})
        case "hello: another protocol":
            say({**HELLO, "protocol": 7})
        case "hello: half of it":
            say({"event": "hello", "protocol": 1, "role": "client"})
        case "hello: something else":
            say({"event": "settled", "task": "T1", "outcome": "finished"})
        case "hello: not flushed":
            buffered = open(1, "w", closefd=False)  # noqa: SIM115  whose end would flush it
            buffered.write(json.dumps(HELLO) + "\n")
            time.sleep(600)
        case "hello: half a character in an address":
            say({**HELLO, "storage": {"scheme": "none", "host": "\ud800", "port": 0}})
        case "hello: twice":
            write((json.dumps(HELLO) + "\n") * 2)
        case "hello: exits":
            print("ImportError: no module named mine", file=sys.stderr)
            sys.exit(3)
        case "hello: late":
            time.sleep(1)
            say(HELLO)
        case "hello: silent":
            time.sleep(600)
        case "hello: floods":
            while True:
                write('{"event": "settled", "task": "T1", "outcome": "finished"}\n' * 1000)
        case "hello: never ends its line":
            while True:
                write("x" * 65536)
        case _:
            say(HELLO)


def answer(fault: str, number: int) -> None:
    done = {"event": "done", "id": number}
    match fault:
        case "not JSON":
            write("debug: started\n")
        case "not an object":
            write('["event", "done"]\n')
        case "not UTF-8":
            sys.stdout.buffer.write(b'{"event": "\xff\xfe"}\n')
            sys.stdout.buffer.flush()
        case "nested without end":
            write("[" * 100_000 + "\n")
        case "an unknown event":
            say({"event": "dance"})
        case "an answer without its id":
            say({"event": "done"})
        case "a field of another kind":
            say({"event": "done", "id": str(number)})
        case "a second answer":
            say(done)
            say(done)
        case "an answer to nobody":
            say({"event": "done", "id": 999})
        case "a second hello":
            say(HELLO)
        case "silent":
            pass
        case "crashes":
            print("Segmentation fault (core dumped)", file=sys.stderr, flush=True)
            os.abort()
        case "closes its output":
            os.close(1)
            time.sleep(600)
        case "floods":
            while True:
                write('{"event": "settled", "task": "T9", "outcome": "finished"}\n' * 1000)
        case "floods with answers to nobody":
            while True:
                write('{"event": "done", "id": 77}\n' * 1000)
        case "later: floods":
            while True:
                write('{"event": "settled", "task": "T1", "outcome": "finished"}\n' * 1000)
        case "never ends its line":
            while True:
                write("x" * 65536)
        case "later: a wrong field":
            say({**done, "task_id": "not hexadecimal"})
        case "later: an answer without its fields":
            say(done)
        case "raises":
            say({"event": "raised", "id": number, "error": "OSError: no route to host"})


def main(fault: str) -> None:
    introduce(fault)
    for line in sys.stdin:
        command = json.loads(line)
        if command["command"] == "connect" and fault.startswith("later: "):
            say({"event": "done", "id": command["id"]})
        elif fault == "later: answers nothing but unknown commands":
            if command["command"] == "ping":
                say({"event": "unsupported", "id": command["id"]})
        else:
            answer(fault, command["id"])
        if fault in LINES:
            sys.stdout.buffer.write(LINES[fault] + b"\n")
            sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(sys.argv[1])
