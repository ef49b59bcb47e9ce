"""Requirements that bind a role and that no case checks, with the reason."""

from __future__ import annotations

from collections.abc import Mapping

_SCHEDULER: Mapping[str, str] = {
    "T1": "every case uses it: without a ROUTER that keeps routing ids apart, no message arrives",
    "T4": "binds clients and workers",
    "S11.2": "what a scheduler counts and logs is not in its messages",
    "E1": "binds those who change the schema",
    "E2": "the sum of M3, M4 and M6, which have their own cases",
}

_CLIENT: Mapping[str, str] = {
    "T5": "binds schedulers",
    "T6": "an option of the subject's own sockets; its effect shows only beyond any bounded number of messages",
    "E1": "binds those who change the schema",
    "E2": "the sum of M3, M4 and M6, which have their own cases",
}

_WORKER: Mapping[str, str] = {
    "T5": "binds schedulers",
    "T6": "an option of the subject's own sockets; its effect shows only beyond any bounded number of messages",
    "E1": "binds those who change the schema",
    "E2": "the sum of M3, M4 and M6, which have their own cases",
}


def not_observable(role: str) -> Mapping[str, str]:
    """The reasons, by requirement id. A test holds them and the cases against SPEC.md."""
    return {"scheduler": _SCHEDULER, "client": _CLIENT, "worker": _WORKER}[role]
