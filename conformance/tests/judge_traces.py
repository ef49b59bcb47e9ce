"""Traces written by hand, that judge a judge: `load_traces` reads a file of them, `play` holds a judge against one.

A file is named after its requirement (`S4.2.txt`; `M1.scheduler.txt` where another party has `M1.txt`), or after
something else if all its traces are valid. It names the party that is judged, then has its traces (and may go on with
another party and the traces of that)::

    party: W1

    == valid: the result alone
    S -> W1  Task T1
    W1       started T1
    W1       finished T1
    W1 -> S  TaskResult T1 success

    == breaks W1.1: a result, then canceled
    S -> W1  Task T1
    W1       started T1
    W1       finished T1
    W1 -> S  TaskResult T1 success
    W1 -> S  TaskCancelConfirm T1 canceled   !

`!` ends the record at which the violation is certain. `! at rest`, alone on a line, says that it is found at rest
there; `at rest` that nothing is missing then. A valid trace is at rest at its end. What follows a `!` must break
nothing else: one wrong act is one violation. But where something may be missing or only late, the one is told when an
echo shows it, and the other when it comes: `! S4.1` ends a record at which that requirement is found broken, beside the
one in the title. `#` begins a comment. What stands below a line `== before each` begins
each trace that follows it in the file, up to the next such line.

Traces of a client or a worker begin after its first heartbeat, those of `party: W1 from its first message` with it.
`events: started, finished` below the title of a trace says that its recorder records these kinds of events only
(`none`: messages only); without it, all kinds of its party.

The scheduler is S, clients are C1, C2..., workers W1, W2..., and any other name will do. Messages are written in the
words of `rescind.trace.describe`, tasks are T1, T2...; what those words leave out may follow them::

    Task T1 | Task T1 needs gpu | Task T1 argument type 5 | Task T1 source C2 | Task T3 reads T1 T2
    GraphTask G1 of T1 T2 T3<T1,T2 [for T3]     (T3 depends on T1 and T2, and is a target)
    TaskCancel T1 | TaskCancel T1 force
    TaskCancelConfirm T1 canceled | cancelFailed | cancelNotFound | type 7
    TaskResult T1 success | failed | failedWorkerDied | type 7 [without payload | with two | with long | of T2]
    TaskLog T1 stdout 'text'
    WorkerHeartbeat queueSize 2 | WorkerHeartbeat queueSize 2 has gpu
    ClientDisconnect disconnect | shutdown | type 7
    ClientShutdownResponse accepted | refused
    ClientHeartbeat, ClientHeartbeatEcho, WorkerHeartbeatEcho, ObjectInstruction, WorkerDisconnectNotification
    malformed: why | unknown member: which

Events of the party::

    S   takes W1 as lost | takes W1 as lost dropped | close requested | grace over | W1 reads no more
    C1  calls cancel T1 | calls cancel T1 force #2 | cancel T1 returns True | cancel T1 #2 returns False
    C1  calls cancelled T1 #3 | cancelled T1 #3 returns True
    C1  time limit T1 | settled T1 cancelled | released T1 | calls disconnect
    W1  started T1 | finished T1 | finished T1 raised | process ended T1 | leave requested
    C1, W1  scheduler lost | scheduler lost dropped

`#2` numbers the calls of a client; without it, it is the first.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rescind.messages import (
    Argument,
    ArgumentType,
    CancelConfirmType,
    Capability,
    ClientDisconnect,
    ClientHeartbeat,
    ClientHeartbeatEcho,
    ClientShutdownResponse,
    DisconnectType,
    GraphTask,
    Message,
    ObjectInstruction,
    Task,
    TaskCancel,
    TaskCancelConfirm,
    TaskLog,
    TaskLogType,
    TaskResult,
    TaskResultType,
    WorkerDisconnectNotification,
    WorkerHeartbeat,
    WorkerHeartbeatEcho,
)
from rescind_conformance.judge.records import (
    SCHEDULER,
    EventKind,
    EventRecord,
    MessageRecord,
    PartyJudge,
    Record,
    Violation,
)

AT_REST = "at rest"
_COMMENT = re.compile(r"(^|\s)#(?![0-9]).*")
"""A number sign with a number behind it is the number of a call."""


class TraceError(ValueError):
    """A trace that cannot be read; the text names file, line and what is wrong."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a trace."""

    number: int
    text: str
    record: Record | None
    """None: a moment of rest."""
    marked: bool
    """The violation is found here."""
    beside: str = ""
    """Another requirement that is found broken here."""


@dataclass(slots=True)
class Trace:
    """One trace: valid, or with the one requirement that it breaks."""

    path: Path
    number: int
    """The line of its title."""
    title: str
    breaks: str
    """Empty: it is valid."""
    party: str
    """Who is judged: "S", "C1", "W1"..."""
    whole: bool
    """Whether it begins with the party's first message."""
    events: tuple[EventKind, ...] | None = None
    """The kinds that its recorder records; None: all of its party."""
    lines: list[Line] = field(default_factory=list)

    tasks: dict[bytes, str] = field(default_factory=dict)
    """The names of its tasks, by task id."""

    @property
    def name(self) -> str:
        """A short name for test ids."""
        return f"{self.path.stem}-{self.title.replace(' ', '-')}"


def load_traces(path: Path) -> list[Trace]:
    """The traces of a file. Raises `TraceError`."""
    traces: list[Trace] = []
    before = Trace(path, 0, "before each", "", "", whole=False)
    party, whole = "", False
    current: Trace | None = None
    for number, raw in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        text = _COMMENT.sub("", raw).rstrip()
        if not text:
            continue
        try:
            if text.startswith("party:"):
                party, _, rest = text.removeprefix("party:").strip().partition(" ")
                _expect(rest in ("", "from its first message"), "'party: NAME' or 'party: NAME from its first message'")
                whole = bool(rest)
            elif text.startswith("=="):
                _expect(bool(party), "a line 'party: NAME' before the first trace")
                if text == "== before each":
                    current = before = Trace(path, number, "before each", "", party, whole)
                else:
                    current = _title(path, number, text, party, whole)
                    if before.party == party:
                        current.lines, current.tasks = list(before.lines), dict(before.tasks)
                    traces.append(current)
            else:
                _expect(current is not None, "a line '== valid: ...' or '== breaks ID: ...' before the first record")
                assert current is not None
                _line(current, number, text)
        except TraceError as error:
            raise TraceError(f"{path.name}, line {number}: {error}: {raw!r}") from None
    for trace in traces:
        marks = sum(line.marked for line in trace.lines)
        if marks != (1 if trace.breaks else 0):
            where = f"{path.name}, line {trace.number}"
            raise TraceError(f"{where}: {'one ! is needed' if trace.breaks else 'a valid trace has no !'}")
    return traces


def play(trace: Trace, judge: PartyJudge) -> None:
    """Have the judge read the trace. `AssertionError` unless it finds what the trace says, where it says it."""
    lines = trace.lines
    if not trace.breaks and lines[-1].record is not None:
        lines = [*lines, Line(lines[-1].number, AT_REST, None, marked=False)]
    for line in lines:
        found = judge.rest() if line.record is None else judge.read(line.record)
        where = f"{trace.path.name}, line {line.number} ({line.text.strip()})"
        if line.marked:
            expected = f"{trace.breaks} was to be found"
            assert [violation.requirement for violation in found] == [trace.breaks], (
                f"{where}: {expected}, not {_words(found)}"
            )
        elif line.beside:
            assert [violation.requirement for violation in found] == [line.beside], (
                f"{where}: {line.beside} was to be found, and then {trace.breaks}, not {_words(found)}"
            )
        else:
            assert not found, f"{where}: nothing was to be found, not {_words(found)}"


def _words(found: list[Violation]) -> str:
    return "; ".join(f"{violation.requirement} ({violation.text})" for violation in found) or "nothing"


def _expect(right: bool, what: str) -> None:
    if not right:
        raise TraceError(f"expected {what}")


def _title(path: Path, number: int, text: str, party: str, whole: bool) -> Trace:
    match = re.fullmatch(r"==\s*(?:valid|breaks (?P<id>[A-Z][0-9.]+)):\s*(?P<title>\S.*)", text)
    if match is None:
        raise TraceError("expected '== valid: ...' or '== breaks ID: ...'")
    return Trace(path, number, match["title"], match["id"] or "", party, whole)


def _line(trace: Trace, number: int, text: str) -> None:
    if text.startswith("events:"):
        _expect(not trace.lines, "'events:' before the first record")
        kinds = [kind.strip() for kind in text.removeprefix("events:").split(",")]
        try:
            trace.events = () if kinds == ["none"] else tuple(EventKind(kind) for kind in kinds)
        except ValueError as error:
            raise TraceError(f"{error}; known are {', '.join(EventKind)}") from None
        return
    beside = ""
    if (match := re.fullmatch(r"(?P<said>.*\S)\s+! (?P<id>[A-Z][0-9.]+)", text)) is not None:
        _expect(bool(trace.breaks), "no requirement behind ! in a valid trace")
        text, beside = match["said"], match["id"]
    marked = text.endswith("!") or text.startswith("!")
    said = text.strip("!").strip()
    trace.tasks |= {name.encode(): name for name in _TASK_NAME.findall(said)}
    trace.lines.append(Line(number, said, None if said == AT_REST else _record(trace.party, said), marked, beside))


def _record(party: str, said: str) -> Record:
    at = _address(party)
    if (match := re.fullmatch(r"(\S+)\s*->\s*(\S+)\s+(\S.*)", said)) is not None:
        _expect(party in match.group(1, 2), f"a message that {party} sends or receives")
        message, note = _message(match[3])
        return MessageRecord(at, _address(match[1]), _address(match[2]), message, note)
    name, _, event = said.partition(" ")
    _expect(name == party, f"'FROM -> TO  MESSAGE' or '{party}  EVENT'")
    return _event(at, event.strip())


def _address(name: str) -> str:
    return SCHEDULER if name == "S" else name


_TASK_NAME = re.compile(r"\b[TG][0-9]+\b")


def _task(name: str) -> bytes:
    _expect(_TASK_NAME.fullmatch(name) is not None, "the name of a task, such as T1, or of a graph, such as G1")
    return name.encode()


# --- messages

_CONFIRMS = {
    "canceled": CancelConfirmType.CANCELED,
    "cancelFailed": CancelConfirmType.CANCEL_FAILED,
    "cancelNotFound": CancelConfirmType.CANCEL_NOT_FOUND,
}
_RESULTS = {
    "success": TaskResultType.SUCCESS,
    "failed": TaskResultType.FAILED,
    "failedWorkerDied": TaskResultType.FAILED_WORKER_DIED,
}
_LOGS = {"stdout": TaskLogType.STDOUT, "stderr": TaskLogType.STDERR}
_DISCONNECTS = {"disconnect": DisconnectType.DISCONNECT, "shutdown": DisconnectType.SHUTDOWN}


def _kind(words: str, known: Mapping[str, int]) -> int:
    if words.startswith("type ") and words.removeprefix("type ").isdecimal():
        return int(words.removeprefix("type "))
    _expect(words in known, f"one of {', '.join(known)}, or 'type N'")
    return known[words]


def _capabilities(words: str, verb: str) -> tuple[Capability, ...]:
    names = words.split()
    _expect(not names or names[0] == verb, f"'{verb} NAME'")
    return tuple(Capability(name, 1) for name in names[1:])


def _task_message(words: str) -> Message:
    name, _, rest = words.partition(" ")
    if rest.startswith("argument type "):
        return Task(_task(name), function_args=(Argument(int(rest.removeprefix("argument type ")), b"argument"),))
    argument = Argument(ArgumentType.OBJECT_ID, b"argument")
    if rest.startswith("source "):
        return Task(_task(name), rest.removeprefix("source ").encode(), function_args=(argument,))
    if rest.startswith("reads "):
        results = [Argument(ArgumentType.OBJECT_ID, _payload(each)) for each in rest.split()[1:]]
        return Task(_task(name), function_args=(argument, *results))
    return Task(_task(name), function_args=(argument,), capabilities=_capabilities(rest, "needs"))


def _payload(name: str) -> bytes:
    return f"result of {name}".encode()


def _cancel_message(words: str) -> Message:
    name, _, force = words.partition(" ")
    _expect(force in ("", "force"), "'TaskCancel T1' or 'TaskCancel T1 force'")
    return TaskCancel(_task(name), force == "force")


def _confirm_message(words: str) -> Message:
    name, _, kind = words.partition(" ")
    return TaskCancelConfirm(_task(name), _kind(kind, _CONFIRMS))


def _result_message(words: str) -> Message:
    name, _, kind = words.partition(" ")
    bare = kind.endswith(" without payload")
    kind, _, other = kind.removesuffix(" without payload").partition(" of ")
    if kind.endswith(" with long"):
        return TaskResult(_task(name), _kind(kind.removesuffix(" with long"), _RESULTS), results=(bytes(256),))
    number = _kind(kind.removesuffix(" with two"), _RESULTS)
    payload = () if bare or number == TaskResultType.FAILED_WORKER_DIED else (_payload(other or name),)
    return TaskResult(_task(name), number, results=payload * (2 if kind.endswith(" with two") else 1))


def _log_message(words: str) -> Message:
    match = re.fullmatch(r"(\S+) (stdout|stderr|type [0-9]+) ('.*')", words)
    if match is None:
        raise TraceError("expected \"TaskLog T1 stdout 'text'\"")
    return TaskLog(_task(match[1]), _kind(match[2], _LOGS), str(ast.literal_eval(match[3])))


def _graph_message(words: str) -> Message:
    name, _, rest = words.partition(" of ")
    nodes, _, targets = rest.partition(" for ")
    return GraphTask(_task(name), b"", tuple(map(_task, targets.split())), tuple(map(_node, nodes.split())))


def _node(words: str) -> Task:
    name, _, needs = words.partition("<")
    named = [Argument(ArgumentType.TASK, _task(each)) for each in needs.split(",") if each]
    return Task(_task(name), function_args=(Argument(ArgumentType.OBJECT_ID, b"argument"), *named))


def _heartbeat_message(words: str) -> Message:
    match = re.fullmatch(r"queueSize ([0-9]+) ?(.*)", words)
    if match is None:
        raise TraceError("expected 'WorkerHeartbeat queueSize N'")
    return WorkerHeartbeat(queue_size=int(match[1]), capabilities=_capabilities(match[2], "has"))


def _response_message(words: str) -> Message:
    _expect(words in ("accepted", "refused"), "'accepted' or 'refused'")
    return ClientShutdownResponse(words == "accepted")


_MESSAGES: dict[str, Callable[[str], Message]] = {
    "Task": _task_message,
    "TaskCancel": _cancel_message,
    "TaskCancelConfirm": _confirm_message,
    "TaskResult": _result_message,
    "TaskLog": _log_message,
    "GraphTask": _graph_message,
    "WorkerHeartbeat": _heartbeat_message,
    "ClientDisconnect": lambda words: ClientDisconnect(_kind(words, _DISCONNECTS)),
    "ClientShutdownResponse": _response_message,
}
_BARE_MESSAGES: dict[str, Message] = {
    "ObjectInstruction": ObjectInstruction(),
    "ClientHeartbeat": ClientHeartbeat(),
    "ClientHeartbeatEcho": ClientHeartbeatEcho(),
    "WorkerHeartbeatEcho": WorkerHeartbeatEcho(),
    "WorkerDisconnectNotification": WorkerDisconnectNotification(),
}


def _message(words: str) -> tuple[Message | None, str]:
    """The message and the note of its record."""
    if words.startswith(("malformed", "unknown member")):
        return None, words
    if words in _BARE_MESSAGES:
        return _BARE_MESSAGES[words], ""
    name, _, rest = words.partition(" ")
    _expect(name in _MESSAGES, f"one of {', '.join((*_MESSAGES, *_BARE_MESSAGES))}")
    return _MESSAGES[name](" ".join(rest.split()) if name != "TaskLog" else rest.strip()), ""


# --- events

_OF_TASK = r"(?P<task>\S+)"
_CALL = r"(?: #(?P<call>[0-9]+))?"
_VALUE = r" returns (?P<value>True|False)"
_EVENTS: tuple[tuple[str, EventKind], ...] = (
    (r"takes (?P<peer>\S+) as lost(?: (?P<outcome>dropped|silent))?", EventKind.PEER_LOST),
    (r"(?P<peer>\S+) reads no more", EventKind.UNSEEN),
    (r"drain requested", EventKind.DRAIN_REQUESTED),
    (r"close requested", EventKind.CLOSE_REQUESTED),
    (r"grace over", EventKind.GRACE_OVER),
    (rf"calls cancel {_OF_TASK}(?P<force> force)?{_CALL}", EventKind.CANCEL_CALLED),
    (rf"cancel {_OF_TASK}{_CALL}{_VALUE}", EventKind.CANCEL_RETURNED),
    (rf"calls cancelled {_OF_TASK}{_CALL}", EventKind.CANCELLED_CALLED),
    (rf"cancelled {_OF_TASK}{_CALL}{_VALUE}", EventKind.CANCELLED_RETURNED),
    (rf"time limit {_OF_TASK}", EventKind.TIME_LIMIT),
    (rf"settled {_OF_TASK} (?P<outcome>finished|cancelled)", EventKind.SETTLED),
    (rf"released {_OF_TASK}", EventKind.RESULT_RELEASED),
    (r"calls disconnect", EventKind.DISCONNECT_CALLED),
    (r"scheduler lost(?: (?P<outcome>dropped|silent))?", EventKind.SCHEDULER_LOST),
    (rf"started {_OF_TASK}", EventKind.STARTED),
    (rf"finished {_OF_TASK}(?: (?P<outcome>returned|raised))?", EventKind.FINISHED),
    (rf"process ended {_OF_TASK}", EventKind.PROCESS_ENDED),
    (r"leave requested", EventKind.LEAVE_REQUESTED),
)


def _event(at: str, words: str) -> EventRecord:
    words = " ".join(words.split())
    for pattern, kind in _EVENTS:
        match = re.fullmatch(pattern, words)
        if match is None:
            continue
        groups = {name: value for name, value in match.groupdict().items() if value}
        return EventRecord(
            at,
            kind,
            peer=_address(groups.get("peer", "")),
            task=_task(groups["task"]) if "task" in groups else b"",
            call=int(groups.get("call", "1")) if "returns" in words or "calls cancel" in words else 0,
            force="force" in groups,
            value=groups.get("value") == "True",
            outcome=groups.get("outcome", ""),
        )
    raise TraceError("expected an event, as listed in judge_traces.py")
