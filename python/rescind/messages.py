"""The protocol's messages as plain values.

One frozen dataclass for each member of the envelope that the protocol uses; `wire` turns
them into frames and back. Field names are the schema's, in Python's spelling.
A value that an enumeration does not name is kept as the bare `int` that stood on the wire,
so that each receiver can do with it what SPEC.md says for that field (requirement M6).
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from rescind.value import value

MAX_TASK_ID_BYTES: Final = 255
"""The longest task id (M5)."""


class ArgumentType(IntEnum):
    """What an argument's bytes name."""

    TASK = 0
    OBJECT_ID = 1


class CancelConfirmType(IntEnum):
    """How a cancel round ended."""

    CANCELED = 0
    CANCEL_FAILED = 1
    CANCEL_NOT_FOUND = 2


class TaskResultType(IntEnum):
    """How a task ended."""

    SUCCESS = 0
    FAILED = 1
    FAILED_WORKER_DIED = 2


class TaskLogType(IntEnum):
    """Which stream of the task a log line was written to."""

    STDOUT = 0
    STDERR = 1


class DisconnectType(IntEnum):
    """Whether one connection ends or the whole cluster does."""

    DISCONNECT = 0
    SHUTDOWN = 1


@value
class Argument:
    """One argument of a task: an object's id, or (in a graph) another task's id."""

    type: ArgumentType | int
    data: bytes


@value
class Capability:
    """Something a task needs or a worker has, with an amount."""

    name: str
    value: int


@value
class Resource:
    """Use of a process: CPU in tenths of a percent, resident memory in bytes."""

    cpu: int = 0
    rss: int = 0


@value
class ProcessorStatus:
    """One process of a worker, as its heartbeat reports it."""

    pid: int = 0
    initialized: bool = False
    has_task: bool = False
    suspended: bool = False
    resource: Resource = Resource()
    current_task_id: bytes = b""
    task_age_seconds: int = 0


@value
class ObjectStorageAddress:
    """Where the payloads are kept."""

    host: str = ""
    port: int = 0
    scheme: str = ""


@value
class Task:
    """Client to scheduler: run this. Scheduler to worker: this is now yours."""

    task_id: bytes
    source: bytes = b""
    metadata: bytes = b""
    func_object_id: bytes = b""
    function_args: tuple[Argument, ...] = ()
    capabilities: tuple[Capability, ...] = ()


@value
class TaskCancel:
    """Owner to scheduler, scheduler to worker: opens or joins a cancel round."""

    task_id: bytes
    force: bool = False


@value
class TaskCancelConfirm:
    """Worker to scheduler, scheduler to owner: the answer to a cancel."""

    task_id: bytes
    cancel_confirm_type: CancelConfirmType | int


@value
class TaskResult:
    """Worker to scheduler, scheduler to owner: the task ended by itself."""

    task_id: bytes
    result_type: TaskResultType | int = TaskResultType.SUCCESS
    metadata: bytes = b""
    results: tuple[bytes, ...] = ()


@value
class TaskLog:
    """Worker to scheduler, scheduler to owner: what a task wrote."""

    task_id: bytes
    log_type: TaskLogType | int = TaskLogType.STDOUT
    content: str = ""


@value
class GraphTask:
    """Client to scheduler: tasks that depend on one another."""

    task_id: bytes
    source: bytes = b""
    targets: tuple[bytes, ...] = ()
    graph: tuple[Task, ...] = ()


@value
class ObjectInstruction:
    """Bookkeeping of payload objects, carried opaquely: outside of this protocol."""


@value
class ClientHeartbeat:
    """Client to scheduler: I am here; and the request of a fence."""

    resource: Resource = Resource()
    latency_microseconds: int = 0
    hostname: str = ""


@value
class ClientHeartbeatEcho:
    """Scheduler to client: the fence; carries where payloads are kept."""

    object_storage_address: ObjectStorageAddress = ObjectStorageAddress()


@value
class WorkerHeartbeat:
    """Worker to scheduler: I am here and hold up to `queue_size` tasks; the request of a fence."""

    agent: Resource = Resource()
    rss_free: int = 0
    queue_size: int = 0
    queued_tasks: int = 0
    latency_microseconds: int = 0
    task_lock: bool = False
    processors: tuple[ProcessorStatus, ...] = ()
    capabilities: tuple[Capability, ...] = ()
    worker_manager_id: bytes = b""
    mem_limit: int = 0
    hostname: str = ""
    net_sent_bytes: int = 0
    net_recv_bytes: int = 0


@value
class WorkerHeartbeatEcho:
    """Scheduler to worker: the fence; carries where payloads are kept."""

    object_storage_address: ObjectStorageAddress = ObjectStorageAddress()


@value
class ClientDisconnect:
    """Client to scheduler: good-bye, or shut the cluster down. Scheduler to worker: leave."""

    disconnect_type: DisconnectType | int = DisconnectType.DISCONNECT


@value
class ClientShutdownResponse:
    """Scheduler to client: whether the cluster will shut down."""

    accepted: bool


@value
class WorkerDisconnectNotification:
    """Worker to scheduler: good-bye; what I held is yours again."""


Message = (
    Task
    | TaskCancel
    | TaskCancelConfirm
    | TaskResult
    | TaskLog
    | GraphTask
    | ObjectInstruction
    | ClientHeartbeat
    | ClientHeartbeatEcho
    | WorkerHeartbeat
    | WorkerHeartbeatEcho
    | ClientDisconnect
    | ClientShutdownResponse
    | WorkerDisconnectNotification
)
