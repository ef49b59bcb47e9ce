"""One order of messages and calls at a client: what is there to choose from, and what the client has broken by then.

The client is a process behind its adapter, to which the suite talks over ZeroMQ with a fence after each message, or a
machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from rescind.messages import (
    CancelConfirmType,
    ClientDisconnect,
    ClientHeartbeat,
    ClientHeartbeatEcho,
    ClientShutdownResponse,
    Message,
    TaskCancel,
    TaskCancelConfirm,
    TaskResult,
    TaskResultType,
    WorkerDisconnectNotification,
    WorkerHeartbeat,
    WorkerHeartbeatEcho,
)
from rescind_conformance.audit import Placed
from rescind_conformance.audit_client import judge_client_of
from rescind_conformance.client_world import ClientWorld
from rescind_conformance.peers import TaskRef
from rescind_conformance.races.bench import action
from rescind_conformance.races.client_machine import ClientMachineWorld
from rescind_conformance.races.garbage import garbage
from rescind_conformance.races.peer_order import ABOUT_TASKS, CONFIRMS, ENDINGS, PeerOrder, pick
from rescind_conformance.trace import SCHEDULER

RESULTS: Final[Mapping[str, int]] = {kind.name: kind for kind in TaskResultType} | {"A RESULT OF AN UNKNOWN TYPE": 9}
NONSENSE: Final[Mapping[str, Message]] = {
    "ClientHeartbeat": ClientHeartbeat(),
    "WorkerHeartbeat": WorkerHeartbeat(),
    "WorkerHeartbeatEcho": WorkerHeartbeatEcho(),
    "WorkerDisconnectNotification": WorkerDisconnectNotification(),
    "ClientHeartbeatEcho": ClientHeartbeatEcho(),
    "ClientShutdownResponse": ClientShutdownResponse(accepted=False),
}
"""What only others are told, and what nobody has asked for."""
BRIEF: Final = 0.05
"""Seconds: the time limit of a `cancel()` that reaches it."""


@dataclass(slots=True)
class ClientOrder(PeerOrder[ClientWorld | ClientMachineWorld]):
    """What callers and the scheduler do."""

    gone: bool = False
    """Nothing reaches the client any more; its callers go on."""
    _asked: list[TaskRef] = field(default_factory=list)
    """Tasks with a TaskCancel that was not answered, the latest first."""
    _over: set[str] = field(default_factory=set)
    """Tasks that had a terminal message."""

    def owned(self, number: int) -> TaskRef | None:
        """A task that is not over; if there is none, one that is."""
        return pick([task for task in self.tasks if task.name not in self._over], number) or pick(self.tasks, number)

    def is_over(self, task: TaskRef) -> bool:
        """Whether it had a terminal message."""
        return task.name in self._over

    def asked(self, number: int) -> TaskRef | None:
        """A task with a TaskCancel that was not answered."""
        return pick(self._asked, number)

    # --- what happens: each is one action

    @action
    def connect(self) -> None:
        """The client begins."""
        self.length -= 1
        self.world.connect()

    @action
    def submit(self, *, task: str) -> None:
        """A caller submits a task."""
        if self.gone:
            return
        world = self.world
        made = world.submit(task) if isinstance(world, ClientWorld) else world.submit(task, self.names.task(task))
        self.tasks.insert(0, made)

    @action
    def cancel(self, *, task: str, force: bool, brief: bool = False) -> None:
        """A caller calls `cancel()`; `brief`: with a time limit that is reached before anything else happens."""
        world, wanted = self.world, self.named(task)
        if isinstance(world, ClientMachineWorld):
            world.start_cancel(wanted, force=force)
            if brief:
                world.reach_limit(wanted)
            return
        brief = brief and "time-limit" in world.features
        before = self._cancels_of(wanted)
        waits = brief or not (self.gone or wanted in self._asked)
        call = world.start_cancel(
            wanted, force=force and "force" in world.features, time_limit=BRIEF if brief else None
        )
        if waits:  # what it sends comes from a thread of its own
            expected = "it returns" if brief else "it returns, or a TaskCancel comes"
            requirement = "C5.1" if brief else "C1.1"
            world.wait_for(
                requirement,
                lambda: call.returned or (not brief and self._cancels_of(wanted) > before),
                f"{call.text} was called: {expected}",
                lambda: "neither happens",
                vital=True,
            )

    @action
    def ask(self, *, task: str) -> None:
        """A caller calls `cancelled()`."""
        world, wanted = self.world, self.named(task)
        if isinstance(world, ClientMachineWorld):
            world.ask(wanted)
        else:
            world.call("cancelled", f"cancelled({task})", task=task)

    @action
    def reach_limit(self, *, task: str) -> None:
        """The time limit of a `cancel()` is reached; only machines can be told so."""
        if isinstance(self.world, ClientMachineWorld):
            self.world.reach_limit(self.named(task))

    @action
    def say(self, *, word: str, task: str = "") -> None:
        """The scheduler says something, about a task if it is about one."""
        if self.gone:
            return
        message = self._message(word, self.named(task) if task else None)
        self.world.send(message)
        self.gone = isinstance(message, ClientDisconnect)

    @action
    def garble(self, *, task: str, number: int) -> None:
        """The scheduler sends frames that are no message about a task."""
        if not self.gone:
            note, frames = garbage(TaskResult(self.named(task).id), number)
            self.world.send_frames(*frames, note=note)

    @action
    def disconnect(self) -> None:
        """The caller disconnects."""
        if self.gone:
            return
        self.gone = True
        if isinstance(self.world, ClientMachineWorld):
            self.world.disconnect()
        else:
            self.world.call("disconnect", "disconnect()")

    @action
    def lose(self, *, dropped: bool) -> None:
        """The connection drops; or the scheduler is silent for too long, which only machines can be told."""
        if self.gone:
            return
        if isinstance(self.world, ClientMachineWorld):
            self.world.lose_scheduler(dropped=dropped)
        elif dropped:
            self.world.fence()  # what was sent must have arrived
            self.world.drop_connection()
        self.gone = dropped or isinstance(self.world, ClientMachineWorld)

    @action
    def send_together(self, *, count: int) -> None:
        """The next rules are played without waiting for what each causes."""
        self.length -= 1
        self._together = count

    # --- what comes of it

    def settle(self) -> list[Placed]:
        if isinstance(self.world, ClientMachineWorld):
            return self.world.violations()
        if not self.gone:
            self.world.fence()
        return []

    def end(self) -> list[Placed]:
        return self.world.violations() if isinstance(self.world, ClientMachineWorld) else self.audited()

    def judge(self) -> list[Placed]:
        world = self.world
        if isinstance(world, ClientMachineWorld):
            return world.violations()
        audit = judge_client_of(world.trace, world.names, features=world.features, at_rest=False)
        self.undecided = self.undecided or audit.undecided
        return list(audit.findings)

    def take_in(self) -> None:
        tasks = {task.id: task for task in self.tasks}
        for entry in self.world.trace[self._read :]:
            match entry.message:
                case TaskCancel(task_id) if entry.receiver == SCHEDULER and task_id in tasks:
                    self._asked.insert(0, tasks[task_id])
                case TaskCancelConfirm(task_id, CancelConfirmType.CANCEL_FAILED) if task_id in tasks:
                    self._asked = [task for task in self._asked if task.id != task_id]
                case TaskCancelConfirm(task_id) | TaskResult(task_id) if task_id in tasks:
                    self._asked = [task for task in self._asked if task.id != task_id]
                    self._over.add(tasks[task_id].name)
        self._read = len(self.world.trace)

    def _cancels_of(self, task: TaskRef) -> int:
        wanted = task.id
        return sum(isinstance(e.message, TaskCancel) and e.message.task_id == wanted for e in self.world.trace)

    def _message(self, word: str, task: TaskRef | None) -> Message:
        if word in ENDINGS:
            return ENDINGS[word]
        if word in NONSENSE:
            return NONSENSE[word]
        assert task is not None
        if word in CONFIRMS:
            return TaskCancelConfirm(task.id, CONFIRMS[word])
        if word in RESULTS:
            if isinstance(self.world, ClientWorld):
                return self.world.result(task, RESULTS[word])
            return TaskResult(task.id, RESULTS[word], b"", (self.names.task(f"the result of {task.name}"),))
        return ABOUT_TASKS[word](task.id)
