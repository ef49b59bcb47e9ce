"""What runs are drawn from: the explorer's scenarios, and some in which the rarest rows of the tables are less rare."""

from __future__ import annotations

from typing import Final

from rescind.scheduler_machine import SchedulerSettings
from rescind_conformance.explorer.scenario import CancelCall, ClientPlan, Scenario, SchedulerPlan, WorkerPlan
from rescind_conformance.explorer.scenarios import SCENARIOS

_BOTH = (CancelCall("T2"), CancelCall("T2", force=True))

_RARE = (
    Scenario(
        "rounds-and-losses",
        "a cancel of each kind and a move are under way as a worker dies; a task may not be lost with one",
        (ClientPlan(("T1", "T2"), _BOTH, disconnects=True),),
        (WorkerPlan(dies=True), WorkerPlan(comes=True)),
        SchedulerPlan(rebalances=1, settings=SchedulerSettings(max_attempts=1)),
    ),
    Scenario(
        "rounds-and-shutdown",
        "a cancel of each kind and a move are under way as the grace of a shutdown is over",
        (ClientPlan(("T1", "T2"), _BOTH, disconnects=True),),
        (WorkerPlan(), WorkerPlan(comes=True)),
        SchedulerPlan(rebalances=1, closes=True, grace_ends=True),
    ),
    Scenario(
        "rounds-and-departures",
        "a cancel of each kind and a move are under way as the worker leaves, which has dropped the task or ends it",
        (ClientPlan(("T1", "T2"), _BOTH, disconnects=True),),
        (WorkerPlan(leaves=True, late_finishes=1), WorkerPlan(comes=True)),
        SchedulerPlan(rebalances=1),
    ),
)

ROWS_FROM: Final = (*_RARE, *(SCENARIOS[name] for name in ("three-callers", "three-cancels", "crash-under-force")))
"""Those in which every row of the tables can be taken that the explorer's system takes at all."""
DRAWN: Final = SCENARIOS | {scenario.name: scenario for scenario in _RARE}
"""By name."""
