"""Counterexamples of a walk as replay files: the system's part of the format of `replay_file` (EXPLORING.md)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rescind import wire
from rescind_conformance.explorer.cast import Cast
from rescind_conformance.explorer.counterexample import Counterexample, Told, tell
from rescind_conformance.explorer.order_diagram import order_svg, order_text
from rescind_conformance.explorer.scenario import Scenario
from rescind_conformance.explorer.scenario_json import scenario_from_json, scenario_to_json
from rescind_conformance.explorer.steps import Does, Step
from rescind_conformance.explorer.system import System
from rescind_conformance.judge.records import Violation
from rescind_conformance.replay_file import FORMAT, VERSION, UnreadableReplay
from rescind_conformance.subjects import version_of

ROLE: Final = "system"
"""The role of a replay file in which nobody is played: all parties are machines."""
_DRIVE: Final = "walk"
_WHY: Final = "each step of each party is taken in this order, over the reference's machines; what it sends is compared"


def write_orders(directory: Path, shown: Sequence[Counterexample]) -> list[Path]:
    """Write each as a replay file, with a diagram beside it as SVG and as text; the replay files' paths.

    Makes `directory`/replays; removes what an earlier walk has left there. Raises `OSError`.
    """
    replays = directory / "replays"
    replays.mkdir(parents=True, exist_ok=True)
    for old in replays.glob(f"{ROLE}.*"):
        old.unlink()
    paths: list[Path] = []
    for each in shown:
        stem = f"{ROLE}.{_case(each)}"
        paths.append(replays / f"{stem}.json")
        paths[-1].write_text(json.dumps(order_document(each), indent=1) + "\n", encoding="utf-8")
        (replays / f"{stem}.svg").write_text(order_svg(each), encoding="utf-8")
        (replays / f"{stem}.txt").write_text(order_text(each), encoding="utf-8")
    return paths


def order_document(shown: Counterexample) -> dict[str, Any]:
    """The replay file of a counterexample."""
    violation = shown.violation
    return {
        "format": FORMAT,
        "version": VERSION,
        "role": ROLE,
        "case": _case(shown),
        "title": shown.scenario.story,
        "profile": "default",
        "subject": {"name": "reference", "version": version_of("rescind"), "options": ""},
        "drive": _DRIVE,
        "why": _WHY,
        "departures": [
            {
                "requirement": violation.requirement,
                "text": violation.text,
                "expected": "",
                "happened": violation.text,
                "step": max(0, len(shown.steps) - 1),
                "at_rest": shown.at_rest,
                "shortest": shown.is_shortest,
            }
        ],
        "scenario": scenario_to_json(shown.scenario),
        "tasks": {name: task.hex() for task, name in shown.names.items()},
        "steps": [
            {"do": [_step_to_json(told.step)], "fences": [], "heard": _heard(told, shown.names)} for told in shown.steps
        ],
    }


@dataclass(frozen=True, slots=True)
class PlayedOrder:
    """What playing a counterexample's file again has shown."""

    scenario: Scenario
    steps: tuple[Told, ...]
    """Those that could be taken."""
    stuck: str
    """The step that could not be taken, in words; "" if all could."""
    found: tuple[Violation, ...]
    """What is wrong with any of the steps or, if all could be taken and nothing more has to happen, with their end."""
    differences: tuple[str, ...]
    """Where a step sent something else than in the file, a line each."""

    def again(self, document: Mapping[str, Any]) -> list[bool]:
        """For each departure of the file, whether its requirement is broken again."""
        broken = {violation.requirement for violation in self.found}
        return [departure["requirement"] in broken for departure in document["departures"]]


def play_order(document: Mapping[str, Any], cast: Cast | None = None) -> PlayedOrder:
    """Take the steps of a file that `order_document` has made, over the reference's machines or those of `cast`.

    It ends at the first step that cannot be taken. Raises `UnreadableReplay`.
    """
    try:
        scenario = scenario_from_json(document["scenario"])
        recorded = [(_step_from_json(step["do"][0]), dict(step["heard"])) for step in document["steps"]]
        return _play(System(scenario, cast), recorded)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise UnreadableReplay(f"{document['case']} cannot be played: {error!r}") from error


def _play(system: System, recorded: Sequence[tuple[Step, dict[str, Any]]]) -> PlayedOrder:
    names = system.scenario.names
    steps: list[Told] = []
    found: list[Violation] = []
    differences: list[str] = []
    state = system.initial
    stuck = ""
    for number, (step, heard) in enumerate(recorded, start=1):
        label = system.labels.of(step)
        following = system.follow(state, label)
        if following is None:
            stuck = f"step {number} cannot be taken: {step.words(names)}"
            break
        steps.append(tell(system, state, label))
        now = _heard(steps[-1], names)
        differences += [
            f"step {number}, {peer}: recorded {_listed(heard.get(peer))}; now {_listed(now.get(peer))}"
            for peer in sorted({*heard, *now})
            if heard.get(peer) != now.get(peer)
        ]
        found += system.findings[following.found]
        state = following.state
    if not stuck and system.is_at_rest(state):
        found += system.rest(state).found
    return PlayedOrder(system.scenario, tuple(steps), stuck, tuple(found), tuple(differences))


def _case(shown: Counterexample) -> str:
    return f"explore.{shown.scenario.name}.{shown.violation.requirement}"


def _heard(told: Told, names: Mapping[bytes, str]) -> dict[str, list[str]]:
    heard: dict[str, list[str]] = {}
    for each in told.sent:
        heard.setdefault(each.receiver, []).append(each.said(names))
    return heard


def _listed(said: list[str] | None) -> str:
    return ", ".join(said or ["nothing"])


def _step_to_json(step: Step) -> dict[str, Any]:
    fields = {
        "peer": step.actor,
        "event": step.does.value,
        "task": step.task.hex(),
        "force": step.force,
        "of": step.peer,
        "message": None if step.message is None else wire.to_json(step.message),
    }
    return {name: value for name, value in fields.items() if value}


def _step_from_json(value: Mapping[str, Any]) -> Step:
    message = value.get("message")
    return Step(
        str(value.get("peer", "")),
        Does(value["event"]),
        bytes.fromhex(value.get("task", "")),
        bool(value.get("force", False)),
        str(value.get("of", "")),
        None if message is None else wire.from_json(message),
    )
