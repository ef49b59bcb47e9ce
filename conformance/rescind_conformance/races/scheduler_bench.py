"""Where orders for schedulers are played: machines that are made for each, or subjects over ZeroMQ."""

from __future__ import annotations

import itertools
import threading
import uuid
from collections.abc import Callable, Collection
from typing import Final

from rescind_conformance.case import Profile
from rescind_conformance.findings import Conversation
from rescind_conformance.races.bench import Bench
from rescind_conformance.races.broken import Tested
from rescind_conformance.races.names import Names
from rescind_conformance.races.scheduler_machine import MachineWorld, SchedulerMachine
from rescind_conformance.races.scheduler_order import SchedulerOrder
from rescind_conformance.recording import Recorder
from rescind_conformance.subjects import RunningEndpoint, Subject
from rescind_conformance.world import World

MachineFactory = Callable[[], SchedulerMachine]
_PROFILE: Final = Profile.PROTECTED
_AHEAD: Final = 2
"""Processes that are started while an order is played."""


class MachineSchedulers(Bench[SchedulerOrder]):
    """A new machine for each order."""

    def __init__(self, factory: MachineFactory, tested: Tested, known: Collection[str]) -> None:
        super().__init__()
        self.tested = tested
        self.known = known
        self._factory = factory

    def begin(self) -> SchedulerOrder:
        return SchedulerOrder(MachineWorld(self._factory()), Names(""))

    def end(self, order: SchedulerOrder) -> None:
        order.world.close()


class LiveSchedulers(Bench[SchedulerOrder]):
    """A new process for each order; or one that runs already, which everybody leaves after each order."""

    repeatable = False

    def __init__(self, subject: Subject, tested: Tested, known: Collection[str], deadline: float) -> None:
        """`deadline`: seconds after which an echo is taken as missing."""
        super().__init__()
        self.tested = tested
        self.known = known
        self._subject = subject
        self._runs_already = isinstance(subject, RunningEndpoint)
        self._recorder = Recorder()
        self._conversation = Conversation(self._recorder.context, deadline, threading.Event())
        self._orders = itertools.count(1)
        self._run = uuid.uuid4().hex if self._runs_already else ""

    def begin(self) -> SchedulerOrder:
        profile = Profile.DEFAULT if self._runs_already else _PROFILE
        world = self._subject.open(self._conversation, profile, [profile] * _AHEAD)
        assert isinstance(world, World)
        self._recorder.begin(world.trace)
        prefix = f"{self._run} {next(self._orders)}" if self._runs_already else ""
        return SchedulerOrder(world, Names(prefix), self._recorder, may_be_asked_to_close=not self._runs_already)

    def end(self, order: SchedulerOrder) -> None:
        self._recorder.end()
        try:
            if self._runs_already:
                order.farewell()
        finally:
            self._subject.leave(order.world)

    def close(self) -> None:
        self._subject.close()
        self._recorder.context.destroy(linger=0)
