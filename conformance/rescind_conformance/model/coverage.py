"""What of the model is taken: its actions, and the rows of its tables; and what is known to be taken nowhere."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from rescind_conformance.model.behaviour import parse
from rescind_conformance.model.system_runs import Run
from rescind_conformance.model.system_values import ModelStep, Words

Row = tuple[str, str, str]
"""Table, state, event."""

_TABLES = {"scheduler": "SchedulerTable", "client": "ClientTable", "worker": "WorkerTable"}

FAULTS: Final = (
    *(f"{fault} of a {role}" for fault in ("silence", "death", "departure", "cut") for role in ("client", "worker")),
    "crash of a worker",
    "time limit of a client",
)
"""What may go wrong, and with whom."""

OF_NODES: Final = frozenset(
    {("scheduler", "waiting", event) for event in ("ready", "skip", "cancel", "cancel, force", "owner lost", "close")}
    | {("scheduler", "queued", "skip")}
)
"""The model leaves graphs out."""
NEVER: Final = frozenset(
    {
        ("scheduler", "forcing", "cancelFailed"),
        ("worker", "ending", "cancel"),
        ("worker", "ending", "cancel, force"),
        *OF_NODES,
    }
)
"""Rows that nobody takes while all keep to SPEC.md; README.md says why."""


NEVER_IN_CONFIGURATIONS: Final = NEVER | {("worker", state, "finished") for state in ("ending", "leaving")}
"""Those, and the rows that the model has no step for, since nothing comes of them."""


def rows_of_tables(directory: Path) -> set[Row]:
    """Every row of Tables.tla, which is in `directory`."""
    text = (directory / "Tables.tla").read_text(encoding="utf-8")
    rows: set[Row] = set()
    for table, name in _TABLES.items():
        body = text.split(f"{name} == {{\n")[1].split("\n}")[0]
        for line in body.splitlines():
            state, event, *_ = re.findall(r'"([^"]*)"', line)
            rows.add((table, state, event))
    return rows


def fault(row: Row) -> str:
    """What goes wrong, as a run of TLC tells it in place of a row."""
    return f"{row[1]} of a {row[2]}"


def row_name(row: Row) -> str:
    """A row, for people."""
    return f"{row[0]}: {row[1]} + {row[2]}"


def rows_printed(lines: Iterable[str]) -> set[Row]:
    """The rows, and the faults, that Coverage.tla has made TLC print."""
    rows: set[Row] = set()
    for line in lines:
        match parse(line.strip('"').replace('\\"', '"')):
            case ("row", str(table), str(state), str(event)):
                rows.add((table, state, event))
    return rows


def never_taken(actions: set[str], rows: set[Row], directory: Path) -> list[str]:
    """What no configuration took, in words, but for what is known to be so: actions, faults, rows."""
    faults = {fault(row) for row in rows if row[0] == "fault"}
    left = rows_of_tables(directory) - rows - NEVER_IN_CONFIGURATIONS
    named = dict.fromkeys(name.split()[0] for name in ACTIONS)
    return [
        *(name for name in named if name not in actions),
        *(each for each in FAULTS if each not in faults),
        *sorted(map(row_name, left)),
    ]


# In runs

_FROM_CLIENTS = ("Task", "TaskCancel", "ClientHeartbeat", "ClientDisconnect")
_FROM_WORKERS = ("TaskResult", "TaskCancelConfirm", "WorkerHeartbeat", "WorkerDisconnectNotification")
_TO_CLIENTS = ("TaskCancelConfirm", "TaskResult", "ClientHeartbeatEcho", "ClientDisconnect")
_TO_WORKERS = ("Task", "TaskCancel", "WorkerHeartbeatEcho", "ClientDisconnect")

ACTIONS: Final = (
    *(f"Take {name}" for name in (*_FROM_CLIENTS, *_FROM_WORKERS)),
    *("Place", "SendEcho", "Move", "Miss", "ShutDown", "GraceOver"),
    *(f"ClientReads {name}" for name in _TO_CLIENTS),
    *("Submit", "Cancel cancel", "Cancel cancel, force", "Intrude cancel", "Intrude cancel, force"),
    *(f"WorkerReads {name}" for name in _TO_WORKERS),
    *("Start", "Finish", "Ended", "Leave", "Join", "Fence", "LearnOfLoss", "Notice"),
    *(f"Fails {each}" for each in FAULTS if each != "cut of a client"),
)
"""The model's actions, each with what it is about. A client whose connection drops has died, for all that it does."""


def action(step: ModelStep) -> str:
    """The action, with what it is about."""
    match step.do:
        case "Take" | "ClientReads" | "WorkerReads":
            return f"{step.do} {_kind(step.got)}"
        case "Cancel" | "Intrude":
            return f"{step.do} {step.word}"
        case "Fails":
            return f"Fails {step.word} of a {'client' if step.who.startswith('C') else 'worker'}"
        case _:
            return step.do


def _kind(messages: tuple[Words, ...]) -> str:
    return messages[0][0] if messages else "nothing"


def actions_of(runs: Iterable[Run]) -> Counter[str]:
    """How often each action is taken, those that are in no list included."""
    return Counter(action(step) for run in runs for step in run.model_steps)
