"""What a tap is told to do to messages: delay, hold, drop, duplicate; which ones, how many, how often."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from rescind.messages import (
    ClientDisconnect,
    ClientHeartbeat,
    ClientHeartbeatEcho,
    ClientShutdownResponse,
    GraphTask,
    Message,
    ObjectInstruction,
    Task,
    TaskCancel,
    TaskCancelConfirm,
    TaskLog,
    TaskResult,
    WorkerDisconnectNotification,
    WorkerHeartbeat,
    WorkerHeartbeatEcho,
)
from rescind_conformance.tap.relay import Fate

_MESSAGES: Final[tuple[type[Message], ...]] = (
    Task,
    TaskCancel,
    TaskCancelConfirm,
    TaskResult,
    TaskLog,
    GraphTask,
    ObjectInstruction,
    ClientHeartbeat,
    ClientHeartbeatEcho,
    WorkerHeartbeat,
    WorkerHeartbeatEcho,
    ClientDisconnect,
    ClientShutdownResponse,
    WorkerDisconnectNotification,
)
_ANY, _UNREADABLE = "*", "malformed"
_KINDS: Final[Mapping[str, str]] = {
    name.lower(): name for name in (_ANY, _UNREADABLE, *(one.__name__ for one in _MESSAGES))
}
_WHAT = r"(?P<kind>[\w*]+)(?:@(?P<peer>[^\s:%=]+))?"
_NUMBER = r"(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)"
_RULE = re.compile(
    rf"{_WHAT}(?::(?P<count>[0-9]+))?(?:%(?P<percent>{_NUMBER}))?"
    rf"(?:=(?P<least>{_NUMBER})(?:\.\.(?P<most>{_NUMBER}))?)?"
)
_LONGEST_SECONDS = 3600.0


class BadRule(ValueError):
    """It cannot be understood; the text says why and what to write."""


class Action(StrEnum):
    """What is done to a message."""

    DELAY = "delay"
    HOLD = "hold"
    DROP = "drop"
    DUPLICATE = "duplicate"


@dataclass(frozen=True, slots=True)
class Sight:
    """A message, as rules see it."""

    message: Message | None
    """None: it is malformed."""
    peer: str
    """The peer at the other end than the scheduler: its short name, such as W1."""
    routing_id: str

    @property
    def kind(self) -> str:
        """Its name, as rules say it."""
        return _UNREADABLE if self.message is None else type(self.message).__name__

    @property
    def task(self) -> bytes | None:
        """The task that it is about."""
        return getattr(self.message, "task_id", None)


@dataclass(frozen=True, slots=True)
class Which:
    """Which messages are meant."""

    kind: str
    peer: str = ""
    """The role C or W, a short name such as W1, or how a routing id begins; "": all."""

    def means(self, sight: Sight) -> bool:
        """Whether this one."""
        if self.kind not in (_ANY, sight.kind):
            return False
        return (
            not self.peer
            or sight.peer == self.peer
            or sight.peer.rstrip("0123456789") == self.peer
            or (len(self.peer) > 2 and sight.routing_id.startswith(self.peer))
        )

    def __str__(self) -> str:
        return self.kind + (f"@{self.peer}" if self.peer else "")


@dataclass(slots=True)
class Rule:
    """One thing to do."""

    action: Action
    which: Which
    left: int | None = None
    """So many more; None: all."""
    percent: float = 100.0
    least: float = 0.0
    """Seconds of a delay, drawn between this and `most`."""
    most: float = 0.0
    until: Which | None = None
    """What ends a hold; None: only `release`."""


@dataclass(slots=True)
class _Hold:
    fate: Fate
    until: Which | None
    task: bytes | None


def parse_rule(action: Action, text: str) -> Rule:
    """A rule as options and lines of standard input write it. Raises `BadRule`."""
    what, _, until = (part.strip() for part in text.partition(" until "))
    found = _RULE.fullmatch(what)
    if found is None:
        raise BadRule(f"{action} {text!r}: write MESSAGE[@PEER][:COUNT][%PERCENT]{_REST[action]}")
    count, percent = found["count"], found["percent"]
    if count is not None and int(count) < 1:
        raise BadRule(f"{action} {text!r}: the count is 1 or more")
    rule = Rule(action, _which(found["kind"], found["peer"] or ""), None if count is None else int(count))
    if percent is not None:
        rule.percent = float(percent)
        if not 0 < rule.percent <= 100:
            raise BadRule(f"{action} {text!r}: the percentage is more than 0 and at most 100")
    if (found["least"] is not None) != (action is Action.DELAY):
        raise BadRule(f"{action} {text!r}: write MESSAGE[@PEER][:COUNT][%PERCENT]{_REST[action]}")
    if action is Action.DELAY:
        rule.least = float(found["least"])
        rule.most = float(found["most"]) if found["most"] else rule.least
        if not rule.least <= rule.most <= _LONGEST_SECONDS or rule.most == 0:
            raise BadRule(f"{action} {text!r}: the seconds go from the least to the most, which is 3600 or less")
    if until:
        again = re.fullmatch(_WHAT, until)
        if action is not Action.HOLD or again is None:
            raise BadRule(f"{action} {text!r}: only a hold has an end: MESSAGE until MESSAGE[@PEER]")
        rule.until = _which(again["kind"], again["peer"] or "")
    return rule


_REST = {Action.DELAY: "=SECONDS[..SECONDS]", Action.HOLD: " [until MESSAGE[@PEER]]", Action.DROP: ""}
_REST[Action.DUPLICATE] = ""


def _which(kind: str, peer: str) -> Which:
    known = _KINDS.get(kind.lower())
    if known is None:
        raise BadRule(f"there is no message {kind!r}; there are: {', '.join(_KINDS.values())}")
    return Which(known, peer)


@dataclass(slots=True)
class Rules:
    """Decides on each message. Not thread-safe."""

    draws: random.Random = field(default_factory=random.Random)
    on_release: Callable[[], None] = lambda: None
    """Called when something is held no more."""
    _rules: list[Rule] = field(default_factory=list)
    _holds: list[_Hold] = field(default_factory=list)

    def __bool__(self) -> bool:
        """Whether messages have to be looked at."""
        return bool(self._rules or self._holds)

    @property
    def held(self) -> int:
        """How many messages are held."""
        return len(self._holds)

    def add(self, rule: Rule) -> None:
        """From now on, this too."""
        self._rules.append(rule)

    def clear(self) -> None:
        """No rules any more; what is held goes."""
        self._rules.clear()
        self.release()

    def release(self) -> None:
        """What is held goes."""
        for one in self._holds:
            one.fate.held = False
        self._holds.clear()
        self.on_release()

    def decide(self, sight: Sight) -> tuple[Fate, str]:
        """What becomes of a message, and that in words; each rule that means it has its say."""
        fate, words = Fate(), []
        for rule in list(self._rules):
            if not rule.which.means(sight) or self.draws.random() * 100 >= rule.percent:
                continue
            if rule.left is not None:
                rule.left -= 1
                if rule.left == 0:
                    self._rules.remove(rule)
            words.append(self._apply(rule, fate, sight))
        if fate.copies == 0:
            return Fate(copies=0), "dropped"
        return fate, ", ".join(words)

    def passed(self, sight: Sight) -> None:
        """A message goes on: what waits for it goes after it."""
        for one in list(self._holds):
            if one.until is not None and one.until.means(sight) and one.task == sight.task:
                one.fate.held = False
                self._holds.remove(one)
                self.on_release()

    def _apply(self, rule: Rule, fate: Fate, sight: Sight) -> str:
        match rule.action:
            case Action.DELAY:
                seconds = self.draws.uniform(rule.least, rule.most)
                fate.seconds += seconds
                return f"delayed by {seconds:.3g} s"
            case Action.DROP:
                fate.copies = 0
            case Action.DUPLICATE:
                fate.copies += fate.copies > 0
                return "sent twice" if fate.copies == 2 else f"sent {fate.copies} times"
            case Action.HOLD:
                fate.held = True
                self._holds.append(_Hold(fate, rule.until, sight.task))
                return f"held until {rule.until or 'released'}"
        return ""
