"""The Task Cancellation Protocol: reference client, scheduler and worker."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rescind.client import Client, SchedulerLost
    from rescind.client_table import CancelOutcome
    from rescind.future import ScalerFuture, WorkerDied
    from rescind.future import ScalerFuture as Future

__all__ = ["CancelOutcome", "Client", "Future", "ScalerFuture", "SchedulerLost", "WorkerDied"]

# Imported when first used: a scheduler or a worker starts without the client's dependencies.
_HOME = {
    "CancelOutcome": ("rescind.client_table", "CancelOutcome"),
    "Client": ("rescind.client", "Client"),
    "Future": ("rescind.future", "ScalerFuture"),
    "ScalerFuture": ("rescind.future", "ScalerFuture"),
    "SchedulerLost": ("rescind.client", "SchedulerLost"),
    "WorkerDied": ("rescind.future", "WorkerDied"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _HOME[name]
    return getattr(importlib.import_module(module), attribute)
