"""A scheduler that a command line starts, configured for each case by what the command line leaves open."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from rescind_conformance.case import LIMIT, LIMIT_BYTES, LIMIT_PLACES, LIMIT_QUEUE, TIMEOUT, Profile
from rescind_conformance.commanded import CommandedScheduler
from rescind_conformance.subjects import StartedScheduler

_LONG_SECONDS: Final = "86400"
_UNLIMITED: Final = "1000000"
_MANY_BYTES: Final = str(1 << 30)
_DEFAULTS: Final[Mapping[str, str]] = {
    "worker_timeout": _LONG_SECONDS,
    "client_timeout": _LONG_SECONDS,
    "rebalance_interval": "0",
    "accept_shutdown": "false",
    "max_tasks_per_client": _UNLIMITED,
    "max_peers": _UNLIMITED,
    "max_bytes_per_client": _MANY_BYTES,
    "max_tasks_per_worker": _UNLIMITED,
    "max_queue": _UNLIMITED,
    "drain": "0",
}
"""What a command line may leave open besides the endpoint, in braces, and what stands there in the default profile.
Times are in seconds; a `rebalance_interval` of 0 is never, a `drain` of 0 none."""
_SHORT: Final = {"worker_timeout": f"{TIMEOUT:g}", "client_timeout": f"{TIMEOUT:g}"}
_REBALANCING: Final = {"rebalance_interval": "0.1"}
_PROFILES: Final[Mapping[Profile, Mapping[str, str]]] = {
    Profile.DEFAULT: {},
    Profile.SHORT_TIMEOUTS: _SHORT,
    Profile.REBALANCING: _REBALANCING,
    Profile.RESTLESS: _SHORT | _REBALANCING,
    Profile.CLOSABLE: {"accept_shutdown": "true"},
    Profile.PROTECTED: {"accept_shutdown": "false"},
    Profile.LIMITED: {"max_tasks_per_client": str(LIMIT), "max_peers": str(LIMIT)},
    Profile.LIMITED_BYTES: {"max_bytes_per_client": str(LIMIT_BYTES)},
    Profile.LIMITED_PLACES: {"max_tasks_per_worker": str(LIMIT_PLACES)},
    Profile.LIMITED_QUEUES: {"max_queue": str(LIMIT_QUEUE)},
    Profile.DRAINING: {"drain": _LONG_SECONDS},
}
"""What a case of each profile needs; its absence in the command line makes the case unsupported."""

COMMAND_HELP: Final = (
    "Test the scheduler that this command line starts, afresh for each case. {endpoint} stands for where it is to "
    f"bind. {', '.join('{' + name + '}' for name in _DEFAULTS)}: what a case sets; "
    "the cases that set what is left out are unsupported."
)


class ProfiledScheduler(CommandedScheduler):
    """Its command line has `{endpoint}`, and the others of `_DEFAULTS` where the scheduler has such an option."""

    def __init__(self, command: str) -> None:
        """Raises `SubjectUnavailable` if no process can come of it."""
        super().__init__(command)
        self.replay_options = f"--command {shlex.quote(command)}"
        self.missing_options = {
            profile: f"its command line has no {{{name}}}"
            for profile, needs in _PROFILES.items()
            for name in needs
            if f"{{{name}}}" not in command
        }

    def launch(self, profile: Profile, directory: Path, log: Path) -> StartedScheduler:
        values = {**_DEFAULTS, **_PROFILES[profile]}
        words = list(self.words)
        for name, value in values.items():
            words = [word.replace(f"{{{name}}}", value) for word in words]
        return self.start(words, directory, log)
