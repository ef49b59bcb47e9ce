"""The process in which a mix's client lives: plays scenarios, one after the other, as the runner orders.

It reads orders and answers from standard input and writes what it asks, where it stands and how a scenario ended to
standard output, a JSON object a line. What a client prints goes to standard error.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
import traceback
from typing import Any, TextIO

import cloudpickle

from rescind_conformance.interop import tasks
from rescind_conformance.interop.desk import Departed, Desk, NotOffered
from rescind_conformance.interop.scenario import Scenario, all_scenarios


def play(scenario: Scenario, desk: Desk) -> dict[str, Any]:
    """Play one scenario; how it ended."""
    began = time.monotonic()
    verdict: dict[str, Any]
    try:
        if scenario.in_python and not desk.in_python:
            raise NotOffered("only clients in Python have that, or are asked for it here")
        scenario.play(desk)
        verdict = {"verdict": "pass", "requirement": scenario.requirement, "text": ""}
    except NotOffered as missing:
        verdict = {"verdict": "not offered", "requirement": "", "text": str(missing)}
    except Departed as departed:
        verdict = {"verdict": "departed", "requirement": departed.requirement, "text": str(departed)}
    except BaseException as error:
        # What a client raises where nothing was to be raised is a departure of the mix, told with its traceback.
        text = f"{type(error).__name__}: {error}"
        verdict = {"verdict": "departed", "requirement": scenario.requirement, "text": text}
        verdict["traceback"] = traceback.format_exc()
    desk.step("the scenario is over; its clients disconnect")
    desk.close()
    return verdict | {"seconds": round(time.monotonic() - began, 3)}


def serve(stdin: TextIO, stdout: TextIO) -> None:
    """Play what is ordered until the input ends."""
    cloudpickle.register_pickle_by_value(tasks)
    scenarios = {one.name: one for one in all_scenarios()}
    for line in iter(stdin.readline, ""):
        order = json.loads(line)
        verdict = play(scenarios[order["scenario"]], Desk(order, stdin, stdout))
        stdout.write(json.dumps(verdict) + "\n")
        stdout.flush()


def main() -> None:
    """Keep the descriptor of standard output for the runner: clients and their tasks may print."""
    own = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        serve(sys.stdin, own)
    os._exit(0)  # a client that hangs in its threads must not keep the process


if __name__ == "__main__":
    main()
