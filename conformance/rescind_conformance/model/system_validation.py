"""Whether runs of a system are behaviours of the model: TLC over SystemTrace.tla, for all of them in one start."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rescind_conformance.model.behaviour import Value, parse
from rescind_conformance.model.configurations import HOLDS, Configuration
from rescind_conformance.model.coverage import Row, rows_printed
from rescind_conformance.model.system_runs import Run, StepOfRun
from rescind_conformance.model.system_values import ModelStep, function, record, tla, told, written
from rescind_conformance.model.tlc import CannotCheck, Show, Tlc

FAULTS = ("silence", "death", "departure", "cut", "crash", "time limit")
_ROOT = "SystemTrace"
_MODULE = "RecordedRuns"
"""TLC computes what a module defines once, but what takes the place of a constant each time."""
_BUDGETS = ("Cancels", "Intrusions", "Moves", "Beats", "Failures", "Closes")
_ENOUGH = 1000
"""Of everything that the model bounds: a run is finite by itself."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A run that is no behaviour of the model."""

    run: Run
    number: int
    """The first step of the run, counted from 1, that no behaviour of the model explains."""
    step: StepOfRun
    action: ModelStep
    """Of that step, the action that the model does not take so."""
    differences: tuple[str, ...]
    """What the model does instead; nothing, if it does not take the action there at all."""

    def lines(self) -> list[str]:
        """The rejection, for people."""
        run = self.run
        lines = [f"{run.name}: step {self.number} of {len(run.steps)} is none of the model's:"]
        lines += [f"  {number:>3}  {step.said}" for number, step in enumerate(run.steps, start=1)][: self.number]
        lines.append(f"    as an action of the model: {told(self.action)}")
        lines += [f"    {each}" for each in self.differences or ("the model does not take this action there",)]
        return lines


@dataclass(slots=True)
class Validation:
    """What came of it."""

    runs: Sequence[Run]
    rejected: list[Rejected] = field(default_factory=list)
    rows: set[Row] = field(default_factory=set)
    """The rows of the tables that were taken: table, state, event. Rows named "fault": what went wrong, with whom."""
    seconds: float = 0.0
    states: int = 0

    @property
    def accepted(self) -> list[Run]:
        """Those that are behaviours of the model."""
        refused = {id(each.run) for each in self.rejected}
        return [run for run in self.runs if id(run) not in refused]


def validate_runs(tlc_directory: Path, runs: Sequence[Run], show: Show) -> Validation:
    """Check all runs. `tlc_directory` has the model's modules.

    Raises `CannotCheck` if TLC or Java is missing, or TLC could not say.
    """
    validation = Validation(runs)
    if not runs:
        return validation
    with tempfile.TemporaryDirectory(prefix="rescind-runs-") as scratch:
        for path in tlc_directory.glob("*.tla"):
            shutil.copy(path, scratch)
        (Path(scratch) / f"{_MODULE}.tla").write_text(module(runs), encoding="utf-8")
        tlc = Tlc(Path(scratch))
        try:
            checked = tlc.check(Configuration(_ROOT, _ROOT, configuration_text(runs), HOLDS), show)
        finally:
            tlc.stop()
    if checked.error is not None or checked.broken is not None:
        raise CannotCheck(f"TLC could not say: {checked.error or checked.broken}")
    validation.seconds, validation.states = checked.seconds, checked.states
    explained: list[dict[int, list[tuple[str, ...]]]] = [{} for _ in runs]
    validation.rows = rows_printed(checked.printed)
    for line in checked.printed:
        _read(parse(_unquoted(line)), explained)
    for run, seen in zip(runs, explained, strict=True):
        rejected = _rejected(run, seen)
        if rejected is not None:
            validation.rejected.append(rejected)
    return validation


def _unquoted(line: str) -> str:
    return line[1:-1].replace('\\"', '"')


def _read(value: Value, explained: list[dict[int, list[tuple[str, ...]]]]) -> None:
    match value:
        case ("explained", str(run), str(at), frozenset() as wrong):
            differences = tuple(sorted(_difference(each) for each in wrong))
            explained[int(run) - 1].setdefault(int(at), []).append(differences)


def _difference(value: Value) -> str:
    match value:
        case (str(what), model, recorded):
            return f"{what}: {_text(model)} in the model, {_text(recorded)} in the run"
    raise ValueError(f"not a difference: {value!r}")


def _text(value: Value) -> str:
    if isinstance(value, str):
        return value
    assert isinstance(value, tuple)
    parts = [_text(part) if isinstance(part, str) else f"({_text(part)})" for part in value]
    return " ".join(part for part in parts if part != "nobody") or "nothing"


def _rejected(run: Run, seen: dict[int, list[tuple[str, ...]]]) -> Rejected | None:
    steps = run.model_steps
    good = max((at for at, branches in seen.items() if () in branches), default=0)
    if good == len(steps):
        return None
    # Of several ways in which it might have gone, the one that differs least.
    branches = [each for each in seen.get(good + 1, []) if each]
    left = good
    for number, step in enumerate(run.steps, start=1):
        if left < len(step.model):
            return Rejected(run, number, step, step.model[left], min(branches, key=len, default=()))
        left -= len(step.model)
    raise AssertionError(run)


# What TLC reads


def module(runs: Sequence[Run]) -> str:
    """The runs as a module. Each different step is written once."""
    tasks = _tasks(runs)
    numbers: dict[str, int] = {}
    rows = []
    for run in runs:
        steps = tuple(numbers.setdefault(written(step, tasks), len(numbers) + 1) for step in run.model_steps)
        places = dict.fromkeys(_workers(runs), 0) | dict(run.places)
        rows.append(
            record(
                {
                    "places": function({worker: tla(count) for worker, count in places.items()}),
                    "losses": tla(run.losses),
                    "peers": _set(run.peers),
                    "rests": "TRUE" if run.to_its_end else "FALSE",
                    "steps": tla(steps),
                }
            )
        )
    return "\n".join(
        [
            f"---- MODULE {_MODULE} ----",
            "EXTENDS TLC",
            f"TheOwner == {function({task: tla(owner) for task, owner in _owners(runs).items()})}",
            f"Steps == <<\n{_joined(numbers)} >>",
            f"Recorded == <<\n{_joined(rows)} >>",
            "====",
            "",
        ]
    )


def configuration_text(runs: Sequence[Run]) -> str:
    """What TLC reads as its configuration file."""
    replaced = {
        "Owner": "TheOwner",
        "MayRunAgain": "MayRunAgainInRun",
        "Room": "RoomInRun",
        "First": "FirstInRun",
        "Used": "UsedAndTold",
    }
    values = {
        "Clients": _set(_clients(runs)),
        "Workers": _set(_workers(runs)),
        "Tasks": _set(_tasks(runs)),
        "Late": _set([*_workers(runs), *_tasks(runs)]),
        "Slots": "1",
        "QueueSize": "1",
        "MaxLosses": "1",
        "Faults": _set(FAULTS),
    } | dict.fromkeys(_BUDGETS, str(_ENOUGH))
    lines = ["SPECIFICATION Trace", "CONSTANTS"]
    lines += [f"    {name} = {value}" for name, value in values.items()]
    lines += [f"    {name} <- {by}" for name, by in replaced.items()]
    return "\n".join([*lines, "INVARIANT Tell", "PROPERTY IsOfTheModel", ""])


def _tasks(runs: Sequence[Run]) -> list[str]:
    return sorted(_owners(runs))


def _owners(runs: Sequence[Run]) -> dict[str, str]:
    return {task: owner for run in runs for task, owner in run.owners}


def _clients(runs: Sequence[Run]) -> list[str]:
    return sorted({client for run in runs for client in run.clients})


def _workers(runs: Sequence[Run]) -> list[str]:
    return sorted({worker for run in runs for worker, _ in run.places})


def _set(names: Iterable[str]) -> str:
    return "{" + ", ".join(map(tla, names)) + "}"


def _joined(rows: Iterable[str]) -> str:
    return ",\n".join(rows)
