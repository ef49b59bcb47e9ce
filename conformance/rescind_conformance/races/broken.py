"""What an order breaks: told as its messages, with the requirement, and written as a replay file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from rescind_conformance.known import KnownFailures
from rescind_conformance.races.fenced import fenced
from rescind_conformance.recording import Recording
from rescind_conformance.replay_file import replay_document
from rescind_conformance.report_document import SUBJECT_NAMES
from rescind_conformance.requirements import load_requirements
from rescind_conformance.runner import SuiteReport
from rescind_conformance.trace import Entry, trace_lines
from rescind_conformance.verdicts import CaseResult, Departure

_OTHERS: Final = {
    "scheduler": "--endpoint tcp://HOST:PORT   (where you have started it; or --machine FILE.py:NAME)",
    "client": "--machine FILE.py:NAME   (or --adapter COMMAND)",
    "worker": "--machine FILE.py:NAME   (or --adapter COMMAND)",
}
"""How to name a subject that has no name for a command line."""
DIRECTORY: Final = Path("rescind-races")
"""Where replay files go, unless another directory is given."""
Action = Mapping[str, Any]
"""Something that was done in an order: the name of a method of the order as `do`, and its arguments."""


@dataclass(frozen=True, slots=True)
class Tested:
    """What is put to the test, and where replay files go."""

    role: str
    name: str
    version: str
    replay_options: str
    """The options of `rescind conformance replay` that choose it, "" if none do."""
    directory: Path


@dataclass(frozen=True, slots=True)
class Seen:
    """How often an order broke a requirement when it was played again."""

    times: int
    runs: int

    def __str__(self) -> str:
        return f"{self.times} of {self.runs}"


@dataclass(frozen=True, slots=True)
class Story:
    """What happened in an order up to where a requirement was broken for certain."""

    departure: Departure
    actions: Sequence[Action]
    """All that was done."""
    length: int
    """How many messages were sent to the subject, calls made, and events brought about; fences do not count."""
    trace: Sequence[Entry]
    names: Mapping[bytes, str]
    recording: Recording | None
    log: str
    """The last lines that the subject wrote."""
    unfenced: bool = False
    """It is one of a scheduler that needs no fences."""
    seen: Seen | None = None
    """None: it was not played again."""


class RequirementBroken(AssertionError):
    """An order in which a subject breaks a requirement; the text tells all of it.

    Each requirement has a class of its own, so that Hypothesis shrinks the orders that break one apart from those that
    break another.
    """

    def __init__(self, tested: Tested, story: Story, replay: Path | None = None) -> None:
        super().__init__(_told(tested, story, replay))
        self.requirement = story.departure.requirement
        self.length = story.length
        """See `Story`."""
        self.story = story
        self.replay = replay
        """The file that `rescind conformance replay` plays."""


def broken(tested: Tested, story: Story, replay: Path | None = None) -> RequirementBroken:
    """The error that tells of an order."""
    return _class_for(story.departure.requirement)(tested, story, replay)


def with_replay(tested: Tested, story: Story) -> RequirementBroken:
    """The error that tells of an order whose replay file has been written. Raises `OSError`."""
    requirement = story.departure.requirement
    result = CaseResult(f"races.{requirement}", "an order that the race tests found", (requirement,), [story.departure])
    result.trace, result.names, result.role = list(story.trace), story.names, tested.role
    result.recording, result.actions, result.log = story.recording, story.actions, story.log
    if story.unfenced and story.recording is not None:
        replayable = fenced(story.trace, story.recording)
        position = len(story.trace) if story.departure.position is None else story.departure.position
        story.departure.position = replayable.positions[position]
        result.trace, result.recording = replayable.trace, replayable.recording
    report = SuiteReport(
        tested.role, tested.name, tested.version, tested.replay_options, [result], [], 0.0, KnownFailures()
    )
    path = tested.directory / f"{tested.role}.{requirement}.json"
    tested.directory.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(replay_document(report, result), indent=1) + "\n", encoding="utf-8")
    return broken(tested, story, path)


def _told(tested: Tested, story: Story, replay: Path | None) -> str:
    requirement = load_requirements()[story.departure.requirement]
    subject = SUBJECT_NAMES[tested.role]
    lines = [
        f"{requirement.id} ({requirement.level}) is broken by {tested.name}: {story.departure.text}",
        f"  {requirement.text}",
        f"The order ({subject} is the {tested.role} under test; completed heartbeats are left out):",
        *(f"  {line}" for line in trace_lines(story.trace, story.names)),
        *(["Its log ends:", *(f"  {line}" for line in story.log.splitlines())] if story.log else []),
    ]
    if story.seen is not None and story.seen.times < story.seen.runs:
        lines.append(f"It depends on how fast things happen: played again, the order broke it in {story.seen} runs.")
    if replay is not None:
        options = tested.replay_options or _OTHERS[tested.role]
        lines.append(f"To play it again: rescind conformance replay {replay} {options}")
    return "\n".join(lines)


@cache
def _class_for(requirement: str) -> type[RequirementBroken]:
    name = f"{requirement.replace('.', '_')}Broken"
    return type(name, (RequirementBroken,), {"__doc__": f"{requirement} is broken.", "__module__": __name__})
