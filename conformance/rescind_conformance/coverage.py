"""Requirements that bind a role and that no case checks, or not all of, with the reason."""

from __future__ import annotations

from collections.abc import Mapping

_KEYS = dict.fromkeys(
    (f"K{number}" for number in range(1, 8)),
    "the suite has the keys that it is given, and must not have those that are to be refused",
)
_SCHEDULER: Mapping[str, str] = {
    **_KEYS,
    "T1": "every case uses it: without a ROUTER that keeps routing ids apart, no message arrives",
    "T4": "binds clients and workers",
    "T7": "binds clients and workers",
    "S10.3": "the suite does not start schedulers anew, nor look into their stores",
    "S12.17": "what becomes of payloads is not in a scheduler's messages",
    "S12.19": "what a scheduler keeps in memory is not in its messages",
    "S11.2": "what a scheduler counts and logs is not in its messages",
    "E1": "binds those who change the schema",
    "E4": "binds those who change the schema",
}

_CLIENT: Mapping[str, str] = {
    **_KEYS,
    "T5": "binds schedulers",
    "T6": "an option of the subject's own sockets; its effect shows only beyond any bounded number of messages",
    "E1": "binds those who change the schema",
    "E3": "binds schedulers",
    "E4": "binds those who change the schema",
}

_WORKER: Mapping[str, str] = {
    **_KEYS,
    "T5": "binds schedulers",
    "T6": "an option of the subject's own sockets; its effect shows only beyond any bounded number of messages",
    "E1": "binds those who change the schema",
    "E3": "binds schedulers",
    "E4": "binds those who change the schema",
}

_IN_PART: Mapping[str, Mapping[str, str]] = {
    "scheduler": {},
    "client": {
        "C1.1": "that the time limit is 30 s where none is given: a case would last as long; given ones are checked",
        "C12.1": "how far below the time-out an interval of its own choice is: up to 30 s of 60 s will do",
    },
    "worker": {
        "W3.2": "that what is stored as the result is this error, or this value: only the client can read it",
        "W5.1": "how far below the time-out an interval of its own choice is: up to 30 s of 60 s will do",
    },
}


def not_observable(role: str) -> Mapping[str, str]:
    """The reasons, by requirement id. A test holds them and the cases against SPEC.md."""
    return {"scheduler": _SCHEDULER, "client": _CLIENT, "worker": _WORKER}[role]


def not_seen(role: str) -> Mapping[str, str]:
    """What no case sees of requirements that have cases, by requirement id. A test holds it against the cases."""
    return _IN_PART[role]
