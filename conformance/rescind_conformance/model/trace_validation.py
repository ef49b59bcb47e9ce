"""Has TLC hold recorded runs against protocol/model/Trace.tla, and reads what came of each."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from rescind_conformance.model.behaviour import Value, parse
from rescind_conformance.model.configurations import HOLDS, Configuration
from rescind_conformance.model.recorded_run import Run, Said, Step
from rescind_conformance.model.tlc import CannotCheck, Show, Tlc
from rescind_conformance.model.trace_rules import (
    ECHOES,
    TaskView,
    View,
    is_altered,
    rule_of_missing,
    rule_of_unexplained,
)
from rescind_conformance.model.trace_values import OTHER_ADDRESS

MOST_STATES = 5_000
"""So many states are looked at in search of an order that fits a run; one that needs more is not decided."""
ACTIONS = (
    *("Task", "GraphTask", "TaskCancel", "ClientHeartbeat", "ClientDisconnect"),
    *("TaskResult", "TaskCancelConfirm", "WorkerHeartbeat", "WorkerDisconnectNotification"),
    *("peer lost", "close requested", "grace over"),
    *("dispatch", "rebalance", "echo"),
)
"""What a run can be made of: messages that the scheduler handles, events, and what it decides by itself."""
_OF_TASKS = ("Task", "TaskCancel", "TaskCancelConfirm", "TaskResult")
_MODULES = ("Tables", "Scheduler", "Trace")
_CONFIGURATION = """\
SPECIFICATION Spec
CONSTANTS
    Runs <- RecordedRuns
    Explain = {explain}
    MostStates = {most}
INVARIANT Tell
CONSTRAINT Searched
VIEW View
"""


@dataclass(frozen=True, slots=True)
class Rejection:
    """Where no behaviour of the model goes on as the run does."""

    step: Step
    """The record that cannot be explained."""
    requirement: str
    """The requirement of SPEC.md that is broken."""
    text: str
    beyond: bool = False
    """It is not broken: the model's scheduler promises more than it asks for."""


@dataclass(slots=True)
class Validated:
    """What came of one run."""

    run: Run
    explained: bool = False
    """Whether it is a behaviour of the model."""
    undecided: bool = False
    """There were too many orders to look at."""
    rejection: Rejection | None = None
    rows: set[tuple[str, str]] = field(default_factory=set)
    """The rows of the scheduler's table that were taken, by state and event."""
    actions: set[str] = field(default_factory=set)
    """The messages, events and decisions of the model that it is made of."""


class TraceTlc(Tlc):
    """TLC for recorded runs. Threads may share one."""

    def _command(self, configuration: Configuration, path: Path, scratch: Path, workers: int) -> list[str]:
        java, *options = super()._command(configuration, path, scratch, workers)
        if "-coverage" in options:
            # TLC would count for each expression of all the records how often it is used, which takes minutes.
            at = options.index("-coverage")
            del options[at : at + 2]
        return [java, "-Xss64m", *options]  # S9.5: the fates of all tasks of a worker are one recursion


class Validator:
    """Validates runs, as one check of TLC for all of them. For one thread; `stop` may be called from any."""

    def __init__(self, model: Path) -> None:
        """`model`: the directory of the modules. Raises `CannotCheck` without Java or TLC."""
        self._directory = Path(tempfile.mkdtemp(prefix="rescind-validate-"))
        try:
            for module in _MODULES:
                shutil.copy(model / f"{module}.tla", self._directory)
            self._tlc = TraceTlc(self._directory)
        except BaseException:
            self.close()
            raise

    def validate(self, runs: Sequence[Run], show: Show = lambda name, states, depth: None) -> list[Validated]:
        """Hold each run against the model; then look once more at those that it cannot explain, for the reason.

        `show` is called as `Tlc.check` does. Raises `CannotCheck`.
        """
        validated = [Validated(run) for run in runs]
        self._decide(validated, [one.run for one in validated], show)
        # Few runs need what nobody saw, and there are many orders to look at with it.
        again = [one for one in _rejected(validated) if one.run.may_have_happened]
        self._decide(again, [one.run.with_what_nobody_saw() for one in again], show)
        # A search that was cut short may have been so behind the behaviour that explains the run.
        rejected = _rejected(validated)
        tried = [one.run.with_what_nobody_saw() for one in rejected]
        reached: dict[int, tuple[Value, ...]] = {}
        for words in self._check(tried, show, explain=True):
            if words[0] == "reached":
                reached[int(str(words[1])) - 1] = words
        for number, (one, run) in enumerate(zip(rejected, tried, strict=True)):
            one.rejection = _rejection(run, reached[number])
        return validated

    def _decide(self, validated: Sequence[Validated], runs: Sequence[Run], show: Show) -> None:
        """Hold runs against the model; each is that of one of `validated`."""
        for words in self._check(runs, show, explain=False):
            one = validated[int(str(words[1])) - 1]
            if words[0] == "explained":
                one.explained = True
                one.rows, one.actions = _taken(words[2])
            else:
                one.undecided = True

    def stop(self) -> None:
        """End TLC if it runs."""
        self._tlc.stop()

    def close(self) -> None:
        """Remove what was written."""
        shutil.rmtree(self._directory, ignore_errors=True)

    def _check(self, runs: Sequence[Run], show: Show, *, explain: bool) -> Iterator[tuple[Value, ...]]:
        """What Trace.tla tells of these runs."""
        if not runs:
            return
        (self._directory / "Recorded.tla").write_text(module_of(runs), encoding="utf-8")
        text = _CONFIGURATION.format(explain="TRUE" if explain else "FALSE", most=MOST_STATES)
        name = "the reasons" if explain else "the runs"
        checked = self._tlc.check(Configuration(name, "Recorded", text, HOLDS), show)
        if not checked.as_expected:
            raise CannotCheck(f"TLC could not read the runs:\n{checked.error or checked.broken}")
        for line in checked.printed:
            if line.startswith('"<<'):
                words = parse(line[1:-1].replace('\\"', '"'))
                assert isinstance(words, tuple)
                yield words


def module_of(runs: Sequence[Run]) -> str:
    """The module that has these runs."""
    definitions = [f"Run{number} ==\n  {run.text()}" for number, run in enumerate(runs, start=1)]
    names = ", ".join(f"Run{number}" for number in range(1, len(runs) + 1))
    return "\n".join(
        ["---- MODULE Recorded ----", "EXTENDS Trace", *definitions, f"RecordedRuns == <<{names}>>", "====", ""]
    )


def _rejected(validated: Sequence[Validated]) -> list[Validated]:
    return [one for one in validated if not one.explained and not one.undecided]


def _taken(value: Value) -> tuple[set[tuple[str, str]], set[str]]:
    assert isinstance(value, frozenset)
    pairs = {(str(pair[0]), str(pair[1])) for pair in value if isinstance(pair, tuple)}
    return {pair for pair in pairs if pair[0] != "action"}, {name for kind, name in pairs if kind == "action"}


# Why a run is rejected


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A record that the scheduler has received, and what the model's scheduler would send when it handles it."""

    step: Step
    out: tuple[tuple[str, Said], ...]
    events: Mapping[str, str]
    """The events of the table's rows, by the state that they begin in."""


def _rejection(run: Run, words: tuple[Value, ...]) -> Rejection:
    """What TLC has told of the furthest that a behaviour comes, as a reason."""
    _, _, goal_value, done_value, s, content, waiting_value = words
    assert isinstance(done_value, tuple)
    assert isinstance(waiting_value, frozenset)
    done = [int(str(number)) for number in done_value]
    view = _view(
        s, content, [step for lane, number in zip(run.lanes, done, strict=True) for step in lane.steps[:number]]
    )
    waiting = sorted(_waiting(run, waiting_value), key=lambda one: (one.step.position, one.out))
    following = run.at(int(str(goal_value))) if run.outside else run.lanes[0].steps[done[0]]
    assert following is not None
    # In the scheduler's own order what cannot be explained may be that it goes on to something else.
    goal = following if following.kind == "to" else None
    for _, alternatives in groupby(waiting, key=lambda one: one.step.position):
        # Of what it may do, what it seems to have begun.
        one, missing = max(((one, _missing(run, one, done)) for one in alternatives), key=lambda pair: pair[1].sent)
        if missing.said and (goal is None or _concerns(one.step, missing, goal, view)):
            receiver, said = missing.receiver, missing.said
            event = one.events.get(view.task(said).state, "")
            requirement = rule_of_missing(one.step.said, one.step.peer, said, event, view)
            state = f", whose state is {view.task(said).state}" if event else ""
            return Rejection(
                one.step, requirement, f"then {_words(receiver, said)}{state}; {_instead(run, one, missing, done)}"
            )
    if goal is not None:
        requirement = rule_of_unexplained(goal.said, goal.peer, view)
        if requirement == "S10.2" and not _dispatched_later(run, done, view):
            requirement = "S9.9"
        beyond = requirement == "S10.2" and _is_of_others(goal.peer, view)
        return Rejection(goal, requirement, _why_not(goal, view), beyond)
    if view.owed:
        return Rejection(following, "S10.1", f"before it, the echo to {', '.join(sorted(view.owed))}")
    if following.said == ("closed",) and view.mode == "open":
        return Rejection(following, "S9.10", "nobody has asked for a shutdown")
    if following.said == ("closed",) and view.mode == "closing":
        return Rejection(following, "S9.10", f"without a grace for {', '.join(_served_workers(view))}")
    if following.said[0] == "peer lost":
        return Rejection(following, "S9.1", f"{following.peer} is {view.peers[following.peer]}")
    mode = "has exited" if view.mode == "exited" else f"is {view.mode}"
    return Rejection(following, "S9.10", f"the scheduler {mode}")


def _served_workers(view: View) -> list[str]:
    return sorted(peer for peer, known in view.peers.items() if known == "served" and peer.startswith("W"))


def _concerns(step: Step, missing: _Missing, goal: Step, view: View) -> bool:
    """Whether what a record should have caused is why the next one that was sent, `goal`, cannot be explained."""
    receiver, said = missing.receiver, missing.said
    if len(goal.said) > 2 and view.peers.get(goal.peer) == "lost":
        return False  # S9.7: nothing explains that
    if goal.peer in (receiver, step.peer):
        return True
    return len(said) > 1 and len(goal.said) > 1 and said[1] == goal.said[1]


@dataclass(frozen=True, slots=True)
class _Missing:
    """The first message that would be sent and was not recorded next."""

    sent: int
    """How many would be sent before it and were."""
    receiver: str = ""
    said: Said = ()
    """Nothing, if nothing is missing."""


def _missing(run: Run, one: _Waiting, done: Sequence[int]) -> _Missing:
    following = {lane: list(run.lanes[lane].steps[number:]) for lane, number in enumerate(done)}
    if not run.outside:
        following[0] = following[0][1:]
    for number, (receiver, said) in enumerate(one.out):
        lane = run.into[receiver]
        total = sum(run.into[other] == lane for other, _ in one.out)
        next_steps = following[lane][:total]
        if len(next_steps) < total and run.lanes[lane].open:
            continue
        if not any(step.kind == "to" and (step.peer, step.said) == (receiver, said) for step in next_steps):
            return _Missing(number, receiver, said)
    return _Missing(len(one.out) + 1)


def _instead(run: Run, one: _Waiting, missing: _Missing, done: Sequence[int]) -> str:
    lane = run.into[missing.receiver]
    start = done[lane] if run.outside else done[lane] + 1
    start += sum(run.into[receiver] == lane for receiver, _ in one.out[: missing.sent])
    following = next((step for step in run.lanes[lane].steps[start:]), None)
    return f"instead, {following.position}: {following.words}" if following is not None else "but nothing follows"


def _dispatched_later(run: Run, done: Sequence[int], view: View) -> bool:
    """Whether one of the tasks that wait comes to a worker at all."""
    waiting = {name for name, task in view.tasks.items() if task.state == "queued"}
    left = (step for lane, number in zip(run.lanes, done, strict=True) for step in lane.steps[number:])
    return any(step.kind == "to" and step.said[0] == "Task" and step.said[1] in waiting for step in left)


def _is_of_others(client: str, view: View) -> bool:
    """Whether nothing that waits is so by a message of this client, before whose echo it should have been placed."""
    waiting = [task for task in view.tasks.values() if task.state == "queued"]
    return client.startswith("C") and all(task.owner != client for task in waiting)


def _why_not(goal: Step, view: View) -> str:
    task = view.task(goal.said)
    if goal.said[0] == "ClientShutdownResponse" and view.peers.get(goal.peer) != "lost":
        return f"{goal.peer} has not asked for a shutdown, or has its answer"
    if is_altered(goal.said, view) and task.state == "queued":
        return "the task was accepted with something else"
    if goal.said[-1] == OTHER_ADDRESS:
        return "echoes before it named another place for payloads, which does not change"
    if len(goal.said) > 1 and task.state == "new" and goal.said[0] in _OF_TASKS:
        return "the scheduler has accepted no such task"
    if len(goal.said) > 1 and task.owner:
        return f"the task is {task.state}" + (f" at {task.holder}" if task.holder != "nobody" else "")
    if goal.peer in view.owed and goal.said[0] in ECHOES and str(goal.said[0])[0] == goal.peer[0]:
        return "a task waits though a worker has room"
    known = f"{goal.peer} is {view.peers.get(goal.peer, 'nobody')}"
    if goal.said == ("ClientDisconnect", "disconnect") and view.is_first_heartbeat_of(goal.peer):
        return f"{known}, and has no echo to its heartbeat; one too many is only told so where there are limits (S11.5)"
    return f"{known}, and the scheduler is {view.mode}" if goal.said == ("ClientDisconnect", "shutdown") else known


def _words(receiver: str, said: Said) -> str:
    if said[0] == "ClientShutdownResponse":
        said = said[:1]  # of either kind
    return f"S -> {receiver}  {' '.join(str(part) for part in said)}"


def _view(s: Value, content: Value, explained: Sequence[Step]) -> View:
    assert isinstance(s, dict)
    tasks, peers, owed = s["task"], s["peer"], s["owed"]
    assert isinstance(owed, frozenset)
    known = {name: TaskView(task["state"], task["owner"], task["holder"]) for name, task in _fields(tasks)}
    came = [step for step in explained if step.kind == "from"]
    return View(
        known,
        {name: str(state) for name, state in _pairs(peers)},
        frozenset(map(str, owed)),
        str(s["mode"]),
        {name: str(text) for name, text in _pairs(content)},
        frozenset((step.peer, str(step.said[1]), str(step.said[2])) for step in came if step.said[0] == "Task"),
        frozenset(
            (step.peer, str(step.said[1]))
            for step in came
            if step.said[0] == "TaskCancel" and step.peer.startswith("W")
        ),
        any(step.said == ("ClientShutdownResponse", "refused") for step in explained),
        tuple((step.peer, step.said) for step in came if step.said[0] in _OF_TASKS),
        tuple(
            (step.peer, step.said) for step in explained if step.kind == "to" and step.said[0] in (*_OF_TASKS, *ECHOES)
        ),
    )


def _pairs(value: Value) -> Iterable[tuple[str, Value]]:
    return value.items() if isinstance(value, dict) else ()


def _fields(value: Value) -> Iterator[tuple[str, dict[str, str]]]:
    for name, fields in _pairs(value):
        yield name, {key: str(part) for key, part in _pairs(fields)}


def _waiting(run: Run, value: frozenset[Value]) -> Iterator[_Waiting]:
    for entry in value:
        assert isinstance(entry, tuple)
        position, out, rows = entry
        assert isinstance(out, tuple)
        assert isinstance(rows, frozenset)
        step = next(
            (
                each
                for lane in run.lanes
                for each in lane.steps
                if each.position == int(str(position)) and each.kind != "to"
            ),
            None,
        )
        if step is not None:
            sent = tuple((str(item[0]), _said(item[1])) for item in out if isinstance(item, tuple))
            events = {str(row[0]): str(row[1]) for row in rows if isinstance(row, tuple)}
            yield _Waiting(step, sent, events)


def _said(value: Value) -> Said:
    assert isinstance(value, tuple)
    return tuple(str(part) for part in value)
