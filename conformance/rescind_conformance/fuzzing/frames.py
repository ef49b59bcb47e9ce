"""Messages that peers of the machines say, honest or not, drawn from few ids so that they collide."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final

from rescind import wire
from rescind.messages import (
    Argument,
    ArgumentType,
    Capability,
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
from rescind_conformance.fuzzing.choices import Choices

IDS: Final = tuple(bytes([65 + number]) * 16 for number in range(7))
"""Those of tasks and of graphs."""
PAYLOADS: Final = (b"p" * 32, b"q" * 32, b"")
_METADATA: Final = (b"", b"m", b"\x01" * 9)
_UNNAMED: Final = 4
"""A choice of so many values of an enumeration of three has one that it does not name (M6)."""
encode = lru_cache(maxsize=4096)(wire.encode)
decode = lru_cache(maxsize=4096)(wire.decode)


def _task(choices: Choices) -> Task:
    return Task(choices.one_of(IDS), b"C1", choices.one_of(_METADATA), PAYLOADS[0])


def node(choices: Choices, ids: Sequence[bytes]) -> Task:
    """A task of a graph, that depends on some of `ids`, or on none."""
    arguments = [
        Argument(ArgumentType.OBJECT_ID, PAYLOADS[0]) if choices.flag() else Argument(choices.number(3), each)
        for each in choices.some_of(ids, 2)
    ]
    return Task(choices.one_of(ids), b"", b"", PAYLOADS[1], tuple(arguments), (Capability("c", 1),))


def _graph(choices: Choices) -> GraphTask:
    nodes = tuple(node(choices, IDS) for _ in range(choices.number(6)))
    return GraphTask(choices.one_of(IDS), b"", choices.some_of(IDS, 3), nodes)


MESSAGES: Final[tuple[Callable[[Choices], Message], ...]] = (
    _task,
    lambda choices: TaskCancel(choices.one_of(IDS), choices.flag()),
    lambda choices: TaskCancelConfirm(choices.one_of(IDS), choices.number(_UNNAMED)),
    lambda choices: TaskResult(
        choices.one_of(IDS), choices.number(_UNNAMED), choices.one_of(_METADATA), choices.some_of(PAYLOADS, 2)
    ),
    lambda choices: TaskLog(choices.one_of(IDS), choices.number(3), "text"),
    _graph,
    lambda choices: ClientHeartbeat(),
    lambda choices: WorkerHeartbeat(queue_size=choices.number(4)),
    lambda choices: ClientDisconnect(choices.number(3)),
    lambda choices: WorkerDisconnectNotification(),
    lambda choices: ClientHeartbeatEcho(),
    lambda choices: WorkerHeartbeatEcho(),
    lambda choices: ClientShutdownResponse(choices.flag()),
    lambda choices: ObjectInstruction(),
)
TASK, CANCEL, CONFIRM, RESULT, LOG, GRAPH, CLIENT_BEAT, WORKER_BEAT, CLIENT_LEAVES, WORKER_LEAVES = range(10)


def any_message(choices: Choices, usual: Sequence[int]) -> Message:
    """One as the other side says it, mostly (`usual`: positions in `MESSAGES`); or any other.

    Enumerations hold their members, as after decoding.
    """
    kind = choices.number(4 * len(MESSAGES))
    make = MESSAGES[kind if kind < len(MESSAGES) else usual[kind % len(usual)]]
    return decode(encode(make(choices)))


def noise(choices: Choices) -> tuple[Message | None, str]:
    """What a frame that is damaged, or made up, says; or None, and why it is malformed."""
    damaged = bytearray(encode(MESSAGES[choices.number(len(MESSAGES))](choices)))
    for _ in range(choices.number(4)):
        damaged[(choices.number(256) * 8 + choices.number(8)) % len(damaged)] = choices.number(256)
    try:
        return wire.decode(bytes(damaged)), ""
    except wire.WireError as error:
        return None, str(error)
