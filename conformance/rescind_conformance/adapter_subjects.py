"""Clients and workers under test, each behind its adapter."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from rescind_conformance.adapter import FEATURES, Adapter
from rescind_conformance.case import Profile
from rescind_conformance.client_world import ClientWorld
from rescind_conformance.findings import Conversation
from rescind_conformance.played_scheduler import PlayedScheduler
from rescind_conformance.process import SubjectUnavailable
from rescind_conformance.subjects import StartedSubject
from rescind_conformance.warm_start import Forkable
from rescind_conformance.worker_world import WorkerWorld

WORLDS: Mapping[str, type[PlayedScheduler]] = {"client": ClientWorld, "worker": WorkerWorld}

_MODULES: Mapping[str, str] = {"reference": "reference", "opengris-scaler": "scaler"}
SHIPPED = tuple(_MODULES)
"""The implementations with an adapter in this package, by the name that `--subject` takes."""


class AdapterSubject(StartedSubject[Adapter]):
    """A client or a worker behind an adapter, of which each case gets a fresh process."""

    def __init__(
        self,
        role: str,
        command: Sequence[str],
        replay_options: str,
        environment: Mapping[str, str] | None = None,
        program: Forkable | None = None,
    ) -> None:
        """`role` is "client" or "worker", `environment` is added to that of its processes. `program`: what the command
        stands for, to be forked. Starts the adapter once for its name and version.

        Raises `SubjectUnavailable` if that does not work.
        """
        super().__init__()
        self.role = role
        self.replay_options = replay_options
        self._command = command
        self._program = program
        self._environment = {"PYTHONUNBUFFERED": "1", **(environment or {})}
        try:
            first = self._launch(Profile.DEFAULT)
            first.wait_until_ready()
            self._spares.append((Profile.DEFAULT, first))
        except BaseException:
            self.close()
            raise
        self.name, self.version = first.hello["name"], first.hello["version"]
        if unknown := first.unknown_features():
            self.warnings = [
                f"the adapter's hello names features that this suite does not know: {', '.join(unknown)}. "
                f"There are: {', '.join(FEATURES)}"
            ]

    def launch(self, profile: Profile, directory: Path, log: Path) -> Adapter:
        warm = None if self._program is None else self.warm(self._program, self._environment)
        return Adapter(self.role, self._command, log, {**self._environment, "TMPDIR": str(directory)}, warm)

    def open(self, conversation: Conversation, profile: Profile, upcoming: Sequence[Profile]) -> PlayedScheduler:
        return WORLDS[self.role](conversation, self.acquire(profile, upcoming))

    def leave(self, world: PlayedScheduler) -> None:
        world.close()
        self.end(world.adapter)


def shipped_adapter(role: str, name: str, environment: Mapping[str, str] | None = None) -> AdapterSubject:
    """An implementation of `SHIPPED`; `environment` is added to that of its processes. Raises `SubjectUnavailable`."""
    module = f"rescind_conformance.adapters.{_MODULES[name]}_{role}"
    return AdapterSubject(role, [module], f"--subject {name}", environment, Forkable(f"{module}:main"))


def adapter_by_command(role: str, command: str) -> AdapterSubject:
    """An implementation behind the adapter that a command line starts. Raises `SubjectUnavailable`."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise SubjectUnavailable(f"the adapter's command is no command line ({error}): --adapter {command}") from error
    if not words:
        raise SubjectUnavailable("the adapter's command is empty: give one like --adapter 'python my_adapter.py'")
    return AdapterSubject(role, words, f"--adapter {shlex.quote(command)}")
