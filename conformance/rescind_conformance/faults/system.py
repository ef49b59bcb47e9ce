"""A small system of real processes: a scheduler, workers, clients, and links between them that can be disturbed."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rescind_conformance.faults.link import Links
from rescind_conformance.faults.nursery import Child, Nursery, descendants
from rescind_conformance.faults.plan import Plan
from rescind_conformance.process import SubjectUnavailable, last_lines

PROCESSES: Final = 2
"""Of each worker."""
_TIMEOUT: Final = "1.0"
"""Seconds after which the scheduler gives a peer up."""
SCHEDULER = "s"
_FULL = "database or disk is full"


@dataclass(slots=True)
class Member:
    """A process that is there, or will be again."""

    role: str
    name: str
    """Of this life; workers and clients have another in each."""
    child: Child
    leaving: bool = False
    """It was killed, or told to leave."""
    stopped: bool = False


class System:
    """The processes. For one thread, but for what says otherwise."""

    def __init__(self, nursery: Nursery, folder: Path, store: Path, plan: Plan, options: Sequence[str] = ()) -> None:
        """Start everything. `store` is where the scheduler keeps its store. Raises `SubjectUnavailable`."""
        self.folder = folder
        self._store = store
        self._nursery = nursery
        self._plan = plan
        # An address of its own: what connects to others takes ports of 127.0.0.1, perhaps while the scheduler is away.
        number = os.getpid()
        self._endpoint = f"tcp://127.77.{number >> 8 & 0xFF}.{number & 0xFF}:6378"
        self.lives: dict[str, int] = {}
        self.former: list[Member] = []
        """Those that have ended."""
        self._below: list[Child] = []
        (folder / "bodies").mkdir()
        self.members: dict[str, Member] = {SCHEDULER: self._start_scheduler()}
        """By place: `s`, `w1`, `c1`..."""
        self.links = Links(self._endpoint)
        for number in range(plan.workers):
            self.start(f"w{number + 1}")
        for number in range(plan.clients):
            self.start(f"c{number + 1}")

    def start(self, place: str) -> None:
        """Start what belongs there; a member that was there before has ended."""
        before = self.members.get(place)
        if before is not None:
            self.former.append(before)
            if place == SCHEDULER:
                self.links.begin_life()
        if place == SCHEDULER:
            self.members[place] = self._start_scheduler()
            return
        name = self._name(place)
        if place.startswith("w"):
            options = ["worker", "--endpoint", self.links.endpoint, "--name", name, "--processes", str(PROCESSES)]
            arguments = [*options, *("--queue-size", "5", "--heartbeat-interval", "0.1", "--scheduler-timeout", "1.5")]
        else:
            arguments = [
                "client",
                self.links.endpoint,
                name,
                f"{self._plan.name}/{name}",
                str(self.folder),
                str(self._plan.patience),
            ]
        role = "worker" if place.startswith("w") else "client"
        self.members[place] = Member(role, name, self._spawn(name, arguments))

    def order(self, place: str, order: str) -> None:
        """Tell a client what to do next."""
        self.members[place].leaving |= order == "leave"
        path = self.folder / f"{self.members[place].name}.orders"
        with path.open("a", encoding="ascii") as stream:
            stream.write(order + "\n")

    def below(self, place: str, name: str) -> list[Child]:
        """The processes of this name that a worker has started."""
        member = self.members[place]
        if member.child.ended():
            return []
        below = [
            Child(pid, name, member.child.log, member.child.clock)
            for pid, (_, each) in sorted(descendants(member.child.pid).items())
            if each == name
        ]
        self._below += below
        return below

    def places(self, role: str) -> list[str]:
        """Where such members are."""
        return [place for place, member in self.members.items() if member.role == role]

    def end(self, place: str, seconds: float) -> bool:
        """Have a member end in order; whether it has, in time."""
        member = self.members[place]
        member.leaving = True
        member.child.send(signal.SIGTERM)
        return member.child.ended(seconds)

    def crashed(self) -> list[str]:
        """Which of those that have ended did not as they should."""
        found = []
        for member in (*self.former, *self.members.values()):
            if not member.child.ended():
                continue
            status = self._nursery.status(member.child)
            log = member.child.log.read_text(encoding="utf-8", errors="replace")
            # A worker also leaves when the scheduler tells it to (W4.2), but not otherwise (W5.4); and no scheduler can
            # start where the disk is full.
            expected = {0} if member.leaving or member.name in self.links.told_to_leave else set()
            expected |= {-signal.SIGKILL, -signal.SIGTERM} if member.leaving else set()
            expected |= {2} if _FULL in log else set()
            if status not in expected:
                found.append(
                    f"{member.name} ended with status {status}; its last lines:\n{last_lines(member.child.log)}"
                )
        return found

    def close(self) -> None:
        """End all that is left."""
        self._nursery.end_all()
        self.links.close()
        for child in (*(member.child for member in (*self.former, *self.members.values())), *self._below):
            child.forget()

    def _start_scheduler(self) -> Member:
        name = self._name(SCHEDULER)
        arguments = [
            *("scheduler", "--endpoint", self._endpoint, "--run-directory", str(self._store)),
            *("--worker-timeout", _TIMEOUT, "--client-timeout", _TIMEOUT, "--grace", "0.5"),
            *("--rebalance-interval", "0.1"),
        ]
        child = self._spawn(name, arguments)
        while "listening on" not in child.log.read_text(encoding="utf-8"):
            if child.ended(0.002):
                if _FULL in child.log.read_text(encoding="utf-8"):
                    break  # whoever looks after it will start it again
                raise SubjectUnavailable(f"the scheduler did not start; its last lines:\n{last_lines(child.log)}")
        return Member("scheduler", name, child)

    def _name(self, place: str) -> str:
        self.lives[place] = self.lives.get(place, 0) + 1
        return f"{place}.{self.lives[place]}"

    def _spawn(self, name: str, arguments: Sequence[str]) -> Child:
        log = self.folder / f"{name}.log"
        log.touch()
        return self._nursery.start(name, arguments, log, {})
