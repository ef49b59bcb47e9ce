"""Machines that stand for a process, so that commands can take them for subjects."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

from rescind_conformance.case import Profile
from rescind_conformance.findings import Conversation, Findings
from rescind_conformance.process import SubjectUnavailable
from rescind_conformance.races.client_machine import ClientMachineWorld
from rescind_conformance.races.scheduler_machine import MachineWorld
from rescind_conformance.races.worker_machine import WorkerMachineWorld
from rescind_conformance.subjects import Subject

_WORLDS: dict[str, Callable[[Callable[[], Any]], Findings]] = {
    "scheduler": lambda factory: MachineWorld(factory()),
    "client": lambda factory: ClientMachineWorld(factory()),
    "worker": WorkerMachineWorld,
}


class MachineSubject(Subject):
    """A machine, of which each case gets a new one."""

    def __init__(self, role: str, factory: Callable[[], Any]) -> None:
        self.role = role
        self.name = name_of(factory)
        self.replay_options = machine_option(factory)
        self._factory = factory

    def open(self, conversation: Conversation, profile: Profile, upcoming: Sequence[Profile]) -> Findings:
        return _WORLDS[self.role](self._factory)

    def leave(self, world: Any) -> None:
        world.close()

    def close(self) -> None:
        pass


def machine_subject(role: str, named: str) -> MachineSubject:
    """The machine that is made by the function or class of this name, `FILE.py:NAME` or `MODULE:NAME`.

    Raises `SubjectUnavailable`.
    """
    where, _, name = named.rpartition(":")
    try:
        module = _load(Path(where)) if where.endswith(".py") else importlib.import_module(where)
        factory = reduce(getattr, name.split("."), module)
    except (ImportError, AttributeError, OSError, ValueError) as error:
        raise SubjectUnavailable(f"no machine {named}: {error}. Give one as FILE.py:NAME") from error
    return MachineSubject(role, factory)  # type: ignore[arg-type]


def _load(path: Path) -> Any:
    specification = importlib.util.spec_from_file_location(path.stem, path)
    if specification is None or specification.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(specification)
    sys.modules[path.stem] = module
    sys.path.insert(0, str(path.resolve().parent))  # what lies beside it, it may import
    specification.loader.exec_module(module)
    return module


def machine_option(factory: Callable[..., Any]) -> str:
    """The option of `rescind conformance replay` that makes a machine with this function; "" if it has no name."""
    name = getattr(factory, "__qualname__", "<none>")
    try:
        file = inspect.getsourcefile(factory)
    except TypeError:
        file = None
    if file is None or "<" in name:
        return ""
    return f"--machine {shlex.quote(f'{os.path.relpath(file)}:{name}')}"


def name_of(factory: Callable[..., Any]) -> str:
    """What reports call it."""
    name: str = getattr(factory, "__name__", type(factory).__name__)
    return name
