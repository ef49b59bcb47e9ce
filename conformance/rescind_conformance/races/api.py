"""The race tests as test cases."""

from __future__ import annotations

import unittest
import warnings
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Final

from hypothesis import HealthCheck, Phase, settings
from hypothesis.errors import Flaky
from hypothesis.stateful import run_state_machine_as_test

from rescind_conformance.command_line import adapter_opener, scheduler_opener
from rescind_conformance.commanded import CommandedScheduler
from rescind_conformance.races.bench import Bench
from rescind_conformance.races.broken import DIRECTORY, RequirementBroken, Tested, with_replay
from rescind_conformance.races.client_machine import ClientMachine
from rescind_conformance.races.client_rules import LiveClientRules, MachineClientRules
from rescind_conformance.races.machines import machine_option, name_of
from rescind_conformance.races.peer_bench import LivePeers, MachineClients, MachineWorkers
from rescind_conformance.races.rules import RaceRules
from rescind_conformance.races.scheduler_bench import LiveSchedulers, MachineFactory, MachineSchedulers
from rescind_conformance.races.scheduler_rules import LiveSchedulerRules, MachineSchedulerRules
from rescind_conformance.races.shortest import shortest
from rescind_conformance.races.worker_machine import WorkerMachine
from rescind_conformance.races.worker_rules import LiveWorkerRules, MachineWorkerRules
from rescind_conformance.subjects import Subject

DEADLINE = 5.0
"""Seconds after which what must come is taken as missing."""
MACHINE_EXAMPLES: Final = 5
"""So many times as many orders as Hypothesis's `max_examples` are played at a machine: they are quick."""
MACHINE_STEPS: Final = 50
"""The most rules in an order at a machine."""


class JudgedInPart(UserWarning):
    """Of some orders not everything could be judged: what they break may have been missed."""


class RaceTest(unittest.TestCase):
    """A test that plays random orders. Its `settings` may be replaced by others of Hypothesis."""

    __test__ = False  # only those that are made of it
    settings: ClassVar[settings]
    open_bench: ClassVar[Callable[[], Bench[Any]]]
    rules: ClassVar[type[RaceRules[Any]]]

    def test_races(self) -> None:
        """No order that is tried breaks a requirement."""
        bench = type(self).open_bench()
        played = type(f"{bench.tested.role.capitalize()}Races", (self.rules,), {"bench": bench})
        try:
            run_state_machine_as_test(played, settings=self.settings)
        except (RequirementBroken, Flaky, ExceptionGroup) as error:
            if not (found := _found(bench, error)):
                raise
            raise _told(bench, found) from None
        else:
            if (text := _only_in_part(bench)) is not None:
                warnings.warn(JudgedInPart(text), stacklevel=1)
        finally:
            bench.close()

    test_races.is_hypothesis_test = True  # type: ignore[attr-defined]


def scheduler_races(
    *,
    machine: MachineFactory | None = None,
    subject: str | Callable[[], Subject] | None = None,
    command: str | None = None,
    endpoint: str | None = None,
    known: Collection[str] = (),
    directory: Path | str = DIRECTORY,
    deadline: float = DEADLINE,
) -> type[RaceTest]:
    """A test case for a scheduler: exactly one of `machine`, `subject`, `command` and `endpoint`.

    `machine` makes a scheduler that does no I/O; `subject` is one that the suite can start, by its name or by a
    function that opens it; `command` is the command line that starts one, with `{endpoint}` for where it is to bind; at
    `endpoint` one runs already, idle and with no workers of its own. `known`: requirements that may be broken. Replay
    files go into `directory`. `deadline`: seconds after which an echo is taken as missing. Raises `ValueError`.
    """
    if sum(one is not None for one in (machine, subject, command, endpoint)) != 1:
        example = "Example: scheduler_races(subject='reference')"
        raise ValueError(f"give one of machine, subject, command and endpoint. {example}")
    if machine is not None:
        tested = Tested("scheduler", name_of(machine), "", machine_option(machine), Path(directory))
        return _machine_case(MachineSchedulerRules, lambda: MachineSchedulers(machine, tested, known))
    if command is not None:
        subject = partial(CommandedScheduler, command)
    opener = subject if callable(subject) else scheduler_opener(subject, endpoint)

    def open_bench() -> Bench[Any]:
        opened = opener()
        tested = Tested("scheduler", opened.name, opened.version, opened.replay_options, Path(directory))
        return LiveSchedulers(opened, tested, known, deadline)

    return _live_case(LiveSchedulerRules, open_bench, steps=30)


def client_races(
    *,
    machine: Callable[[], ClientMachine] | None = None,
    subject: str | Callable[[], Subject] | None = None,
    adapter: str | None = None,
    known: Collection[str] = (),
    directory: Path | str = DIRECTORY,
    deadline: float = DEADLINE,
) -> type[RaceTest]:
    """A test case for a client: exactly one of `machine`, `subject` and `adapter`.

    `machine` makes a client that does no I/O; `subject` is one that the suite has an adapter for, by its name, or a
    function that opens it; `adapter` is the command line of an adapter (ADAPTER.md). The rest: see `scheduler_races`.
    Raises `ValueError`.
    """
    _only(machine, subject, adapter, "client")
    if machine is None:
        return _live_case(LiveClientRules, _open_live("client", subject, adapter, known, directory, deadline), steps=20)
    tested = Tested("client", name_of(machine), "", machine_option(machine), Path(directory))
    return _machine_case(MachineClientRules, lambda: MachineClients(machine, tested, known))


def worker_races(
    *,
    machine: Callable[[], WorkerMachine] | None = None,
    subject: str | Callable[[], Subject] | None = None,
    adapter: str | None = None,
    known: Collection[str] = (),
    directory: Path | str = DIRECTORY,
    deadline: float = DEADLINE,
) -> type[RaceTest]:
    """A test case for a worker, as `client_races`. Raises `ValueError`."""
    _only(machine, subject, adapter, "worker")
    if machine is None:
        return _live_case(LiveWorkerRules, _open_live("worker", subject, adapter, known, directory, deadline), steps=6)
    tested = Tested("worker", name_of(machine), "", machine_option(machine), Path(directory))
    return _machine_case(MachineWorkerRules, lambda: MachineWorkers(machine, tested, known))


def _open_live(
    role: str,
    subject: str | Callable[[], Subject] | None,
    adapter: str | None,
    known: Collection[str],
    directory: Path | str,
    deadline: float,
) -> Callable[[], Bench[Any]]:
    opener = subject if callable(subject) else adapter_opener(role, subject, adapter)

    def open_bench() -> Bench[Any]:
        opened = opener()
        tested = Tested(role, opened.name, opened.version, opened.replay_options, Path(directory))
        return LivePeers(opened, tested, known, deadline)

    return open_bench


def _only(machine: object, subject: object, adapter: object, role: str) -> None:
    if sum(one is not None for one in (machine, subject, adapter)) != 1:
        raise ValueError(f"give one of machine, subject and adapter. Example: {role}_races(subject='reference')")


def _found(bench: Bench[Any], error: Exception) -> list[RequirementBroken]:
    """The orders that broke something, one for each requirement; none if the error is about something else as well."""
    if isinstance(error, RequirementBroken):
        return [error]
    if isinstance(error, Flaky):  # in another run of it nothing was broken, or something else
        return list(bench.found.values())
    assert isinstance(error, ExceptionGroup)
    errors, others = error.split(RequirementBroken)
    if errors is None or others is not None:
        return []
    return [each for each in errors.exceptions if isinstance(each, RequirementBroken)]


def _told(bench: Bench[Any], found: Sequence[RequirementBroken]) -> Exception:
    """What is raised: one error for each requirement, with the shortest order and its replay file."""
    in_part = _only_in_part(bench)
    shortened = [with_replay(bench.tested, shortest(bench, each)) for each in found]
    shortened.sort(key=lambda each: each.length)
    told = (
        shortened[0] if len(shortened) == 1 else ExceptionGroup(f"{len(shortened)} requirements are broken", shortened)
    )
    if in_part is not None:
        told.add_note(in_part)
    return told


def _only_in_part(bench: Bench[Any]) -> str | None:
    """How many orders could not be judged to the end; None: each was."""
    if not bench.undecided:
        return None
    return (
        f"{bench.undecided} of {bench.played} orders were judged only in part: what was seen could have happened in "
        "too many ways (RACES.md, 'What is not judged')"
    )


def _machine_case(rules: type[RaceRules[Any]], open_bench: Callable[[], Bench[Any]]) -> type[RaceTest]:
    """Without sockets: there is time for many orders."""
    phases = [phase for phase in Phase if phase is not Phase.explain]  # it explains by the lines of the rules
    return _test_case(
        rules,
        open_bench,
        phases=phases,
        stateful_step_count=MACHINE_STEPS,
        max_examples=MACHINE_EXAMPLES * settings().max_examples,
    )


def _live_case(rules: type[RaceRules[Any]], open_bench: Callable[[], Bench[Any]], *, steps: int) -> type[RaceTest]:
    """With processes: Hypothesis does not shrink, which takes it several minutes; `shortest` takes less than one."""
    phases = [phase for phase in Phase if phase not in (Phase.explain, Phase.shrink)]
    return _test_case(rules, open_bench, phases=phases, stateful_step_count=steps)


def _test_case(rules: type[RaceRules[Any]], open_bench: Callable[[], Bench[Any]], **chosen: Any) -> type[RaceTest]:
    given = settings(deadline=None, suppress_health_check=list(HealthCheck), **chosen)
    members = {"__test__": True, "settings": given, "open_bench": staticmethod(open_bench), "rules": rules}
    return type("RaceTest", (RaceTest,), members)
