"""Runs of the explorer's system in the words of the model: paths through a scenario, drawn at random, to their ends."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from rescind.messages import ClientHeartbeat, Task, TaskCancel
from rescind_conformance.explorer.cast import Bench, Cast
from rescind_conformance.explorer.counterexample import tell
from rescind_conformance.explorer.packed import State
from rescind_conformance.explorer.payload_store import Store
from rescind_conformance.explorer.scenario import RawPlan, Scenario
from rescind_conformance.explorer.steps import Does, Step
from rescind_conformance.explorer.system import System
from rescind_conformance.model.system_translation import Translation, name_of, submitted
from rescind_conformance.model.system_values import ModelStep


@dataclass(frozen=True, slots=True)
class StepOfRun:
    """One step of the explorer's system."""

    said: str
    """In the explorer's words."""
    model: tuple[ModelStep, ...]


@dataclass(frozen=True, slots=True)
class Run:
    """A run of a system, from before anybody has said a word to its end."""

    scenario: str
    seed: int
    towards: str
    """The row that it was led to before chance took over; empty for none."""
    clients: tuple[str, ...]
    owners: tuple[tuple[str, str], ...]
    """The tasks, and whose they are."""
    places: tuple[tuple[str, int], ...]
    """The workers, by routing id, and how many tasks each takes at once."""
    losses: int
    """Workers that a task is lost with before its owner is told (S9.4)."""
    to_its_end: bool
    """Nothing more happened after it."""
    steps: tuple[StepOfRun, ...]

    @property
    def name(self) -> str:
        """What it is called in reports."""
        return f"{self.scenario}, seed {self.seed}{f', towards {self.towards}' if self.towards else ''}"

    @property
    def peers(self) -> list[str]:
        """Whoever may take part, by routing id."""
        return [*self.clients, *(worker for worker, _ in self.places)]

    @property
    def model_steps(self) -> list[ModelStep]:
        """All of it in the words of the model."""
        return [each for step in self.steps for each in step.model]


def unfit(scenario: Scenario) -> str | None:
    """Why no run of the scenario can be one of the model; None where it can."""
    tasks = [task for task, _ in submitted(scenario)]
    if len(tasks) != len(set(tasks)):
        return "a task id is used twice, which the model leaves out"
    for plan in scenario.clients:
        said = plan.script if isinstance(plan, RawPlan) else () if plan.graph is None else (plan.graph,)
        foreign = [message for message in said if not isinstance(message, Task | TaskCancel | ClientHeartbeat)]
        if foreign:
            return f"a client sends a {type(foreign[0]).__name__} by itself, which the model leaves out"
    if any(plan.processes != 1 for plan in scenario.workers):
        return "a worker runs several tasks at once, and in the model's runs each runs one"
    return None


class _Chance:
    """Chooses steps.

    In each run every party has a haste of its own for each kind of step: where all are equally likely nothing is late.
    """

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)
        self._hastes: dict[tuple[str, Does], float] = {}

    def pick(self, system: System, labels: list[int]) -> int:
        steps = [system.labels[label] for label in labels]
        hastes = [self._haste(step.actor, step.does) for step in steps]
        return self._random.choices(labels, hastes)[0]

    def _haste(self, actor: str, does: Does) -> float:
        if (actor, does) not in self._hastes:
            self._hastes[actor, does] = 10 ** self._random.uniform(-2, 0)
        return self._hastes[actor, does]


class RunMaker:
    """Draws runs of one scenario. Not thread-safe."""

    def __init__(self, scenario: Scenario, cast: Cast | None = None) -> None:
        """`cast` is the reference, unless another is given."""
        self.scenario = scenario
        # Nobody judges: whether the steps are right is the model's to say.
        self._system = System(scenario, cast, Bench())
        self._settled: dict[str, str] = {}

    def draw(self, seed: int, along: Sequence[Step] = (), towards: str = "", *, to_its_end: bool = True) -> Run:
        """The run that belongs to `seed` and begins with the steps `along`, which lead `towards` something.

        If not `to_its_end`, it ends with these.

        Raises `NotInTheModel` for what the model has no word for, and `ValueError` where the steps cannot happen.
        """
        chance = _Chance(f"{self.scenario.name} {seed}")
        self._settled = {}
        system = self._system
        steps: list[StepOfRun] = []
        state: State = (
            system.scheduler_states.of(system.scheduler.start),
            system.stores.of(Store()),
            0,
            *system.configurations.initial(),
        )
        for label in system.prelude:
            state = self._take(state, label, steps)
        for step in along:
            state = self._take(state, system.labels.of(step), steps)
        while to_its_end:
            possible = system.successors(state, False)
            if possible:
                state = self._take(state, chance.pick(system, [each.label for each in possible]), steps)
            elif (rest := system.rest(state).goes_on) is not None:
                state = self._take(state, rest.label, steps)
            else:
                break
        return self._run(seed, towards, steps, to_its_end=to_its_end)

    def _run(self, seed: int, towards: str, steps: list[StepOfRun], *, to_its_end: bool) -> Run:
        places = {
            f"W{number}" if life == 0 else f"W{number}.{life + 1}": plan.queue_size
            for number, plan in enumerate(self.scenario.workers, start=1)
            for life in range(plan.lives)
        }
        owners = tuple((name_of(task, owner), owner) for task, owner in submitted(self.scenario))
        return Run(
            scenario=self.scenario.name,
            seed=seed,
            towards=towards,
            clients=tuple(f"C{number + 1}" for number in range(len(self.scenario.clients))),
            owners=owners,
            places=tuple(places.items()),
            losses=self.scenario.scheduler.settings.max_attempts,
            to_its_end=to_its_end,
            steps=tuple(steps),
        )

    def _take(self, state: State, label: int, steps: list[StepOfRun]) -> State:
        following = self._system.follow(state, label)
        if following is None:
            raise ValueError(f"{self._system.labels[label]} cannot happen there")
        told = tell(self._system, state, label)
        translated = Translation(self._system, state, following.state, told, self._settled)
        steps.append(StepOfRun(told.step.words(self.scenario.names), tuple(translated.steps())))
        return following.state
