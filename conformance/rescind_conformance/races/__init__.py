"""Race tests with Hypothesis: random orders against a scheduler, a client or a worker, shrunk to a minimal one.

```python
from rescind_conformance.races import scheduler_races

TestMyScheduler = scheduler_races(endpoint="tcp://127.0.0.1:6378")
```

conformance/RACES.md tells the rest.
"""

from __future__ import annotations

from typing import NoReturn

try:
    from rescind_conformance.races.api import RaceTest, client_races, scheduler_races, worker_races
    from rescind_conformance.races.broken import RequirementBroken
    from rescind_conformance.races.reference_client import ReferenceClient
    from rescind_conformance.races.reference_scheduler import ReferenceScheduler
    from rescind_conformance.races.reference_worker import ReferenceWorker
except ModuleNotFoundError as missing:
    if missing.name != "hypothesis":
        raise

    def __getattr__(name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        raise ImportError("the race tests need Hypothesis, which is not installed: pip install 'rescind[races]'")


__all__ = [
    "RaceTest",
    "ReferenceClient",
    "ReferenceScheduler",
    "ReferenceWorker",
    "RequirementBroken",
    "client_races",
    "scheduler_races",
    "worker_races",
]
