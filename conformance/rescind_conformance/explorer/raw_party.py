"""A client in a walk that is no machine: it says what is written for it, in every order that its plan allows."""

from __future__ import annotations

from typing import NamedTuple

from rescind.messages import GraphTask, TaskResult
from rescind_conformance.explorer.payload_store import TAKE
from rescind_conformance.explorer.scenario import RawPlan
from rescind_conformance.explorer.steps import Does, Effects, Item, Local, Step, Turn
from rescind_conformance.judge.records import Violation


class RawEnv(NamedTuple):
    """What is known of such a client."""

    there: bool
    begun: bool
    script: tuple[object, ...]
    """What it has not said yet."""
    shuffled: bool
    drops: bool


class RawParty:
    """The client at position `peer`; its routing id is its name. Nobody judges it."""

    def __init__(self, peer: int, name: str, plan: RawPlan) -> None:
        self.peer = peer
        self.name = name
        graphs = [each for each in plan.script if isinstance(each, GraphTask)]
        nodes = {node.task_id for graph in graphs for node in graph.graph}
        self._inner = nodes - {target for graph in graphs for target in graph.targets}
        """Nodes whose results are released by the scheduler (S12.17)."""
        self.start = Local(-1, -1, RawEnv(True, False, plan.script, plan.shuffled, plan.drops))

    def life_name(self, life: int) -> str:
        """Its routing id."""
        return self.name

    def life(self, local: Local) -> int:
        """It has one life."""
        return 0

    def listens(self, local: Local) -> bool:
        """Whether what is sent to it arrives."""
        assert isinstance(local.env, RawEnv)
        return local.env.there

    def choices(self, local: Local) -> list[tuple[Step, bool]]:
        """What it may say next; it need not."""
        env = local.env
        assert isinstance(env, RawEnv)
        if not env.there:
            return []
        following = dict.fromkeys(env.script if env.shuffled and env.begun else env.script[:1])
        steps = [Step(self.name, Does.SAYS, message=message) for message in following]  # type: ignore[arg-type]
        if env.drops:
            steps.append(Step(self.name, Does.DROPS))
        return [(step, False) for step in steps]

    def act(self, local: Local, step: Step) -> tuple[Local, Effects] | None:
        """Say it."""
        env = local.env
        assert isinstance(env, RawEnv)
        turn = Turn(self.name)
        if step.does is Does.DROPS:
            if env.begun:
                turn.fall_silent()
            env = RawEnv(False, True, (), False, False)
        else:
            said = env.script.index(step.message)
            turn.send(self.peer, 0, Item(step.message))
            env = env._replace(begun=True, script=env.script[:said] + env.script[said + 1 :])
        return local._replace(env=env), turn.effects((), ())

    def receive(self, local: Local, item: Item) -> tuple[Local, Effects]:
        """It does not mind; results it reads."""
        turn = Turn(self.name)
        if item.message is None:
            local = local._replace(env=RawEnv(False, True, (), False, False))
        elif isinstance(item.message, TaskResult) and item.message.task_id not in self._inner:
            for name in item.message.results:
                turn.store(TAKE, name)
        return local, turn.effects((), ())

    def beat(self, local: Local) -> tuple[Local, Effects]:
        """It sends no heartbeats."""
        return local, Turn(self.name).effects((), ())

    def at_rest(self, local: Local, busy: bool) -> list[Violation]:
        """Nothing is expected of it."""
        return []
