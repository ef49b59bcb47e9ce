"""What a scheduler's machine takes and gives: its settings, the events that happen to it, and its instructions."""

from __future__ import annotations

from rescind.messages import Message, ObjectStorageAddress
from rescind.value import value


@value
class SchedulerSettings:
    """What an operator may choose. Times are in seconds."""

    client_timeout: float = 60.0
    worker_timeout: float = 60.0
    max_attempts: int = 3
    """Workers that a task may be lost with before its owner is told failedWorkerDied (S9.4)."""
    max_tasks_per_client: int = 1_000_000
    max_nodes_per_graph: int = 10_000
    """A GraphTask is handled in one step, in which nobody else is served: so many tasks take about 0.2 seconds."""
    max_bytes_per_client: int = 1 << 30
    """Of the frames of the tasks that are held for it; a graph weighs what its nodes would."""
    max_tasks_per_worker: int = 10_000
    """Whatever its queueSize: what is assigned to it when its owner leaves counts for nobody else (S9.7)."""
    max_peers: int = 10_000
    remembered_lost_peers: int = 4096
    """How many lost peers' routing ids are still refused (S9.6, S9.8)."""
    accept_shutdown: bool = False
    """Whether a client's ClientDisconnect `shutdown` closes the cluster."""
    object_storage_address: ObjectStorageAddress = ObjectStorageAddress()

    @property
    def safe_queue(self) -> int:
        """Messages that should be able to wait for a peer, so that none is lost that reads: two steps full of them.

        A heartbeat makes room for as many Tasks as a worker may have, and the loss of their owner cancels each; the
        cancel of a graph is answered for each node.
        """
        return 2 * max(self.max_tasks_per_worker, self.max_nodes_per_graph)


@value
class Received:
    """A well-formed message came in over `sender`'s connection; `frame` is it as it stood on the wire."""

    sender: bytes
    message: Message
    frame: bytes
    now: float


@value
class TimePassed:
    """It is now `now` (seconds, monotonic): look for peers that have been silent for too long."""

    now: float


@value
class QueueFull:
    """More waits to be sent to `peer` than may, since it does not read; something was not sent (T6)."""

    peer: bytes


@value
class RebalanceDue:
    """Time to move queued tasks from crowded workers to idle ones."""


@value
class DrainRequested:
    """Take no more tasks, and begin an orderly shutdown when none is held any more (S9.12)."""


@value
class CloseRequested:
    """Begin an orderly shutdown: take no tasks, send the workers home (S9.10)."""


@value
class CloseExpired:
    """The grace of an orderly shutdown is over: settle what is left and stop."""


Event = Received | TimePassed | QueueFull | RebalanceDue | DrainRequested | CloseRequested | CloseExpired


@value
class Send:
    """Encode `message` and send it to `to`."""

    to: bytes
    message: Message


@value
class Forward:
    """Send `frame` to `to` as it is."""

    to: bytes
    frame: bytes


@value
class Dropped:
    """A message had no effect: count `reason` and log it with the sender (S11.2)."""

    sender: bytes
    reason: str
    task_id: bytes


@value
class Lost:
    """`peer` has been silent for longer than its time-out, or does not read (S9.1): tell the operator."""

    peer: bytes
    unread: bool = False


@value
class ReleaseOwner:
    """The client `owner` is gone: release every payload object that was kept for it."""

    owner: bytes


@value
class ReleaseObjects:
    """A worker that was declared lost has stored these, and nobody will ask for them."""

    object_ids: tuple[bytes, ...]


@value
class Draining:
    """No more tasks are taken: `CloseRequested` is due when the time to drain is over."""


@value
class Closing:
    """An orderly shutdown has begun: `CloseExpired` is due when its grace is over."""


@value
class Closed:
    """The orderly shutdown is complete: every task has had its terminal message."""


Instruction = Send | Forward | Dropped | Lost | ReleaseOwner | ReleaseObjects | Draining | Closing | Closed
