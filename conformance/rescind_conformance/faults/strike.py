"""How a fault is done to the system, and how it is undone."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from rescind.messages import Message
from rescind_conformance.faults.nursery import Nursery
from rescind_conformance.faults.plan import Fault
from rescind_conformance.faults.system import System

_PATIENCE: Final = 0.12
"""Seconds for which the moment of a fault is waited for; then it strikes all the same."""
_HANG: Final = 60.0
_YEAR: Final = 365 * 86400.0


@dataclass(slots=True)
class Struck:
    """A fault that was drawn, and what came of it."""

    fault: Fault
    at: float
    """When: seconds, monotonic."""
    where: str = ""
    """Whom it befell; "": nobody, since there was nobody."""
    seen: bool = False
    """Whether its moment came."""

    @property
    def took_effect(self) -> bool:
        """Whether it counts."""
        return bool(self.where)


@dataclass(slots=True)
class _Heal:
    due: float
    action: Callable[[], object]
    restarts: str = ""
    """The place of what it starts again."""


@dataclass(slots=True)
class _Armed:
    fault: Fault
    struck: Struck
    done: threading.Event = field(default_factory=threading.Event)
    """The links' thread has done it: nothing of it is still to come."""


class Striker:
    """Does faults to a system. For one thread, beside that of the links."""

    def __init__(self, system: System, nursery: Nursery) -> None:
        self._system = system
        self._nursery = nursery
        self._heals: list[_Heal] = []
        self._armed: _Armed | None = None
        self._lock = threading.Lock()
        self.struck: list[Struck] = []
        """All so far."""
        system.links.on_message = self._on_message

    def strike(self, fault: Fault) -> None:
        """Wait for its moment, and do it."""
        armed = _Armed(fault, Struck(fault, 0.0))
        self.struck.append(armed.struck)
        if fault.moment.message is not None:
            with self._lock:
                self._armed = armed
            armed.done.wait(_PATIENCE)
        else:
            self._pause(fault.strength * 0.05)
        with self._lock:
            self._armed = None
        if not armed.struck.seen:
            self._do(armed.fault, armed.struck, "")
        elif not armed.done.wait(_HANG):
            raise RuntimeError(f"the links have not done this in {_HANG:g} s: {fault}")
        self.look_after()

    def look_after(self) -> bool:
        """Undo what is due, and start what has ended; whether anything is left to be undone."""
        now = time.monotonic()
        for heal in [each for each in self._heals if each.due <= now]:
            self._heals.remove(heal)
            heal.action()
        for place, member in list(self._system.members.items()):
            if member.child.ended() and not any(heal.restarts == place for heal in self._heals):
                self._system.start(place)
        return bool(self._heals)

    def heal(self) -> None:
        """Wait until everything is undone."""
        while self.look_after():
            self._pause(0.01)

    def _pause(self, seconds: float) -> None:
        threading.Event().wait(seconds)

    def _on_message(self, place: str, to_scheduler: bool, message: Message | None) -> None:
        """Called in the links' thread, before the message passes."""
        if self._armed is None:
            return
        with self._lock:
            armed = self._armed
            if armed is None or armed.struck.seen:
                return
            moment = armed.fault.moment
            role = "client" if place.startswith("c") else "worker"
            if (role, to_scheduler) != (moment.role, moment.to_scheduler) or not isinstance(
                message, moment.message or ()
            ):
                return
            armed.struck.seen = True
        if armed.fault.late:
            self._system.links.run_soon(lambda: self._do_armed(armed, place))
        else:
            self._do_armed(armed, place)

    def _do_armed(self, armed: _Armed, place: str) -> None:
        try:
            self._do(armed.fault, armed.struck, place)
        finally:
            armed.done.set()

    def _do(self, fault: Fault, struck: Struck, near: str) -> None:
        """`near`: the place of the peer whose message it is the moment of."""
        struck.at = time.monotonic()
        kind = fault.kind
        match kind.target:
            case "client" | "worker" | "scheduler" | "any":
                wanted = ("client", "worker", "scheduler") if kind.target == "any" else (kind.target,)
                places = [
                    place
                    for place, member in self._system.members.items()
                    if member.role in wanted and not member.stopped and not member.leaving and not member.child.ended()
                ]
                if places:
                    place = near if near in places else places[int(fault.pick * len(places))]
                    if self._befall(fault, place):
                        struck.where = self._system.members[place].name
            case "link":
                places = self._system.places("client") + self._system.places("worker")
                place = near if near in places else places[int(fault.pick * len(places))]
                was_open = self._system.links.is_open(place)
                if self._disturb(fault, place) and was_open:
                    struck.where = self._system.members[place].name
            case "store":
                # Who asks the nursery is one thread.
                self._heals.append(_Heal(0.0, lambda: self._fill(fault, struck)))
            case name:
                self._heals.append(_Heal(0.0, lambda: self._befall_below(fault, struck, name, near)))

    def _befall(self, fault: Fault, place: str) -> bool:
        member = self._system.members[place]
        match fault.kind.action:
            case "kill":
                done = member.child.send(signal.SIGKILL)
                member.leaving = done
                self._later(fault.seconds, lambda: self._restart(place), place)
            case "term":
                done = member.child.send(signal.SIGTERM)
                member.leaving = done
                self._later(fault.seconds, lambda: self._restart(place), place)
            case "stop":
                done = member.child.send(signal.SIGSTOP)
                member.stopped = done

                def go_on() -> None:
                    member.child.send(signal.SIGCONT)
                    member.stopped = False

                self._later(fault.seconds, go_on)
            case "clock":
                member.child.step_clock((fault.strength - 0.5) * 2 * _YEAR)
                done = True
            case _:
                self._system.order(place, "storm")
                done = True
        return done

    def _restart(self, place: str) -> None:
        """As soon as it has ended."""
        member = self._system.members[place]
        if not member.child.ended():
            self._later(0.01, lambda: self._restart(place), place)
            return
        self._system.start(place)

    def _disturb(self, fault: Fault, place: str) -> bool:
        links = self._system.links
        action = fault.kind.action
        match action:
            case "cut":
                links.cut(place, down=False)
                return True
            case "down":
                links.cut(place, down=True)
            case "delay":
                links.slow(place, 0.005 + 0.15 * fault.strength, 0.0)
            case "throttle":
                links.slow(place, 0.0, 1_000 + 20_000 * fault.strength)
            case _:
                for to_scheduler in (True, False):
                    if action in ("black-hole", "mute-out" if to_scheduler else "mute-in"):
                        links.mute(place, to_scheduler)
        self._later(fault.seconds, lambda: links.mend(place))
        return True

    def _fill(self, fault: Fault, struck: Struck) -> None:
        if self._nursery.disk("fill"):
            struck.where = "store"
            self._later(fault.seconds, lambda: self._nursery.disk("clear"))

    def _befall_below(self, fault: Fault, struck: Struck, name: str, near: str) -> None:
        workers = self._system.places("worker")
        start = workers.index(near) if near in workers else int(fault.pick * len(workers))
        for place in workers[start:] + workers[:start]:
            found = self._system.below(place, name)
            if not found:
                continue
            child = found[int(fault.pick * len(found))]
            number = signal.SIGKILL if fault.kind.action == "kill" else signal.SIGSTOP
            if child.send(number):
                struck.where = f"{name} of {self._system.members[place].name}"
            if number == signal.SIGSTOP:
                self._later(fault.seconds, partial(child.send, signal.SIGCONT))
            return

    def _later(self, seconds: float, action: Callable[[], object], place: str = "") -> None:
        self._heals.append(_Heal(time.monotonic() + seconds, action, place))
