"""Replay files: what was sent in a case, in order, and what the subject said to it (conformance/REPORTS.md)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from rescind import wire
from rescind.messages import WorkerHeartbeat
from rescind_conformance.audit import DRAINS, LOST, STOPPED
from rescind_conformance.case import Profile, all_cases
from rescind_conformance.recording import Recording
from rescind_conformance.report_document import split_text
from rescind_conformance.runner import SuiteReport
from rescind_conformance.trace import SCHEDULER, Entry, words
from rescind_conformance.verdicts import CaseResult

FORMAT: Final = "rescind-conformance-replay"
VERSION: Final = 1

CONNECTS = "connects"
"""The event of a peer's first connection. `World.happen` says which others a replay acts on."""

_TIMED = (Profile.SHORT_TIMEOUTS, Profile.REBALANCING, Profile.RESTLESS)

DRIVES: Final = {
    "scheduler": ("steps", "case"),
    "client": ("actions", "case"),
    "worker": ("actions", "case"),
    "system": ("walk",),
}
"""How a file of each role can be played. `system` has the orders that `explore` has found."""

NO_ECHO: Final = "no echo"
DIED: Final = "the scheduler died"

Step = dict[str, Any]


class UnreadableReplay(Exception):
    """A file that is no replay file; the text says which, and why."""


def replay_document(report: SuiteReport, result: CaseResult) -> dict[str, Any]:
    """The replay file of a case that departed."""
    steps, step_of = replay_steps(result.trace, result.names, result.recording)
    profiles = {case.name: case.profile for case in all_cases(result.role)}
    profile = profiles.get(result.case, Profile.DEFAULT)
    drive, why = _drive(result, profile)
    for one in result.departures:
        if one.unresponsive and result.trace:
            last = steps[-1]["heard"]
            steps[-1]["heard"] = {peer: [text for text in texts if text != NO_ECHO] for peer, texts in last.items()}
            steps[-1]["heard"][SCHEDULER] = [DIED]
    return {
        "format": FORMAT,
        "version": VERSION,
        "role": result.role,
        "case": result.case,
        "title": result.title,
        "profile": profile.value,
        "subject": {"name": report.subject, "version": report.subject_version, "options": report.replay_options},
        "drive": drive,
        "why": why,
        "departures": [
            {
                "requirement": one.requirement,
                "text": one.text,
                "expected": split_text(one.text)[0],
                "happened": split_text(one.text)[1],
                "step": step_of(len(result.trace) if one.position is None else one.position),
            }
            for one in result.departures
        ],
        "tasks": {name: task_id.hex() for task_id, name in result.names.items()},
        "actions": list(result.actions) if drive == "actions" else [],
        "steps": steps,
    }


def read_replay(path: Path) -> dict[str, Any]:
    """A replay file. Raises `UnreadableReplay`."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UnreadableReplay(f"{path} cannot be read: {error}") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise UnreadableReplay(f"{path} is not a replay file: --report DIR writes them to DIR/replays")
    if document.get("version") != VERSION:
        raise UnreadableReplay(f"{path} has version {document.get('version')!r}, this suite reads version {VERSION}")
    wanted = {"role": str, "case": str, "profile": str, "subject": dict, "drive": str, "tasks": dict}
    for name, kind in {**wanted, "departures": list, "steps": list}.items():
        if not isinstance(document.get(name), kind):
            raise UnreadableReplay(f"{path} has no usable {name!r}")
    role, drive = document["role"], document["drive"]
    if role not in DRIVES:
        raise UnreadableReplay(f"{path}: unknown role {role!r}; there are: {', '.join(DRIVES)}")
    if drive not in DRIVES[role]:
        raise UnreadableReplay(f"{path}: unknown drive {drive!r} of a {role}; there are: {', '.join(DRIVES[role])}")
    return document


def replay_steps(
    trace: Sequence[Entry], names: dict[bytes, str] | Any, recording: Recording | None
) -> tuple[list[Step], Any]:
    """The steps of a trace, and a function from a position in the trace to the number of its step.

    A step is what was done, then the fences, then what the subject said. It ends where something is done next.
    """
    builder = _Steps(names, recording)
    for index, entry in enumerate(trace):
        builder.add(index, entry)
    builder.close()
    begins = builder.begins

    def step_of(position: int) -> int:
        return max(0, sum(begin < position for begin in begins) - 1)

    return builder.steps, step_of


class _Steps:
    def __init__(self, names: Any, recording: Recording | None) -> None:
        self._names = names
        self._recording = recording
        self.steps: list[Step] = []
        self.begins: list[int] = []
        """The index in the trace where each step begins."""
        self._known: set[str] = set()
        self._queue_sizes: dict[str, int] = {}
        self._outstanding: Counter[str] = Counter()
        self._answering = False

    def add(self, index: int, entry: Entry) -> None:
        if entry.sender == SCHEDULER and entry.receiver != SCHEDULER:
            self._heard(index, entry)
        elif entry.fence:
            self._connect(index, entry.sender)
            self._beat(index, entry)
        else:
            step = self._open(index)
            if entry.sender == SCHEDULER:
                step["do"].append({"event": entry.note})
                return
            self._connect(index, entry.sender)
            step["do"].append({"peer": entry.sender, **self._action(index, entry)})

    def close(self) -> None:
        """Nothing follows: heartbeats that nobody answered are noted."""
        for peer, count in self._outstanding.items():
            if count:
                self.steps[-1]["heard"].setdefault(peer, []).append(NO_ECHO)
        self._outstanding.clear()

    def _open(self, index: int) -> Step:
        if self._answering or not self.steps:
            if self.steps:
                self.close()
            self.steps.append({"do": [], "fences": [], "heard": {}})
            self.begins.append(index)
            self._answering = False
        return self.steps[-1]

    def _connect(self, index: int, peer: str) -> None:
        if peer not in self._known:
            self._known.add(peer)
            self._open(index)["do"].append({"peer": peer, "event": CONNECTS})

    def _beat(self, index: int, entry: Entry) -> None:
        message = entry.message
        if isinstance(message, WorkerHeartbeat) and self._queue_sizes.get(entry.sender) != message.queue_size:
            self._queue_sizes[entry.sender] = message.queue_size
            self._open(index)["do"].append({"peer": entry.sender, "queue_size": message.queue_size})
        if not self.steps:
            self._open(index)
        fences = self.steps[-1]["fences"]
        if not fences or entry.sender in fences[-1]:
            fences.append([])
        fences[-1].append(entry.sender)
        self._outstanding[entry.sender] += 1
        self._answering = True

    def _heard(self, index: int, entry: Entry) -> None:
        if not self.steps:
            self._open(index)
        self._answering = True
        if entry.fence:
            self._outstanding[entry.receiver] -= 1
        elif entry.note != LOST:
            self.steps[-1]["heard"].setdefault(entry.receiver, []).append(words(entry, self._names))

    def _action(self, index: int, entry: Entry) -> dict[str, Any]:
        if entry.sender == entry.receiver:
            return {"event": entry.note}
        frames = self._recording.frames.get(index, ()) if self._recording is not None else ()
        if entry.message is not None and frames in ((), (wire.encode(entry.message),)):
            return {"message": wire.to_json(entry.message)}
        return {"frames": [frame.hex() for frame in frames], "note": entry.note}


def _drive(result: CaseResult, profile: Profile) -> tuple[str, str]:
    """How the file is played: by its steps, by its actions, or by running the case again; and why."""
    reason = ""
    if result.role != "scheduler" and result.actions:
        return "actions", "what was done is done again, in order; what the subject does about it is judged"
    if result.role != "scheduler":
        reason = f"commands to the {result.role}'s adapter are part of the order"
    elif result.recording is None or not result.recording.complete:
        reason = "the case floods, and its steps do not have each message"
    elif profile in _TIMED:
        reason = "the order depends on time-outs, or on the moment in which the subject moves a task"
    elif any(entry.sender == entry.receiver == SCHEDULER and entry.note in (STOPPED, DRAINS) for entry in result.trace):
        reason = "the subject's process is told to end"
    elif any("all of" in one.text for one in result.departures):
        reason = "what was lost are parts of messages that their text does not show"
    if reason:
        return "case", f"{reason}: the case itself is run again"
    return "steps", "each step is done in order, with fresh task ids; what the subject says to it is compared"
