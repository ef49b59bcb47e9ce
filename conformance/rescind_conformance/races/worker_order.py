"""One order of messages to a worker, and of what happens in it: what there is to choose from, and what it has broken.

The worker is a process behind its adapter, to which the suite talks over ZeroMQ with a fence after each message, or a
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
    Task,
    TaskCancel,
    TaskCancelConfirm,
    TaskResult,
    WorkerDisconnectNotification,
    WorkerHeartbeat,
    WorkerHeartbeatEcho,
)
from rescind_conformance.audit import Placed
from rescind_conformance.audit_worker import judge_worker_of
from rescind_conformance.peers import TaskRef
from rescind_conformance.races.bench import action
from rescind_conformance.races.garbage import garbage
from rescind_conformance.races.peer_order import ABOUT_TASKS, ENDINGS, PeerOrder, pick
from rescind_conformance.races.worker_machine import WorkerMachineWorld
from rescind_conformance.trace import SCHEDULER
from rescind_conformance.worker_world import WorkerWorld

NONSENSE: Final[Mapping[str, Message]] = {
    "ClientHeartbeat": ClientHeartbeat(),
    "ClientHeartbeatEcho": ClientHeartbeatEcho(),
    "ClientShutdownResponse": ClientShutdownResponse(accepted=False),
    "WorkerHeartbeat": WorkerHeartbeat(),
    "WorkerHeartbeatEcho": WorkerHeartbeatEcho(),
    "WorkerDisconnectNotification": WorkerDisconnectNotification(),
}
"""What only others are told, and an echo that nobody has asked for."""
BODIES: Final = ("hold", "return", "raise", "die")
"""What tasks do at a worker that is a process (ADAPTER.md)."""


@dataclass(slots=True)
class WorkerOrder(PeerOrder[WorkerWorld | WorkerMachineWorld]):
    """What the scheduler does, and what runs."""

    leaving: bool = False
    """It was told to go, and does not come back."""
    _processes: int = 1
    _held: list[TaskRef] = field(default_factory=list)
    """Tasks that were assigned and had no last word, the latest first."""
    _messages: dict[str, Task] = field(default_factory=dict)
    """The Task of each task."""

    def held(self, number: int) -> TaskRef | None:
        """A task that the worker has, as far as the scheduler knows."""
        return pick(self._held, number)

    def running(self, number: int, *, ending: bool, returned: bool = False) -> TaskRef | None:
        """A task that runs at a machine, and was told to end or not; `returned`: or its function has returned since."""
        world = self.world
        if not isinstance(world, WorkerMachineWorld):
            return None
        processes = {task: world.processes[task.id] for task in self.tasks if task.id in world.processes}
        return pick(
            [
                task
                for task, process in processes.items()
                if process.ending == ending and (returned or not process.finished)
            ],
            number,
        )

    # --- what happens: each is one action

    @action
    def start(self, *, processes: int) -> None:
        """The worker begins."""
        self.length -= 1
        if isinstance(self.world, WorkerMachineWorld):
            self._processes = processes
            self.world.start(processes=processes)
        else:
            self._processes = processes if "processes" in self.world.features else 1
            self.world.start(processes=self._processes, brisk=True)

    @action
    def assign(self, *, task: str, body: str) -> None:
        """The worker is given a task. At a machine what happens in it happens later, whatever its `body`."""
        made = TaskRef(self.names.task(task), task)
        self.world.names[made.id] = task
        world = self.world
        self._messages[task] = world.task_message(made, body) if isinstance(world, WorkerWorld) else Task(made.id)
        self.tasks.insert(0, made)
        world.send(self._messages[task])

    @action
    def assign_again(self, *, task: str) -> None:
        """The worker is given a task once more, whether it has it still or not."""
        self.world.send(self._messages[task])

    @action
    def say(self, *, word: str, task: str = "") -> None:
        """The scheduler says something, about a task if it is about one."""
        if word in ENDINGS:
            former = len(self.world.routing_ids) if isinstance(self.world, WorkerWorld) else 0
            self.world.send(ENDINGS[word])
            self._dismissed(shutdown=word == "shutdown", former=former)
        else:
            self.world.send(NONSENSE[word] if word in NONSENSE else ABOUT_TASKS[word](self.named(task).id))

    @action
    def garble(self, *, task: str, number: int) -> None:
        """The scheduler sends frames that are no message about a task."""
        note, frames = garbage(TaskCancel(self.named(task).id, force=True), number)
        self.world.send_frames(*frames, note=note)

    @action
    def finish(self, *, task: str, raised: bool) -> None:
        """The function of a task returns, or raises: at a machine; a body that holds is released."""
        wanted = self.named(task)
        if isinstance(self.world, WorkerWorld):
            self.world.release(wanted)
        elif wanted.id in self.world.processes and not self.world.processes[wanted.id].finished:
            self.world.finish(wanted.id, raised=raised)

    @action
    def end_process(self, *, task: str, dies: bool | None = None) -> None:
        """The process of a task ends, at a machine: as it was told to, or it dies; None: whichever it is."""
        wanted = self.named(task)
        if not isinstance(self.world, WorkerMachineWorld) or wanted.id not in self.world.processes:
            return
        if dies is None or dies is not self.world.processes[wanted.id].ending:
            self.world.end_process(wanted.id)

    @action
    def leave(self) -> None:
        """Its operator asks it to leave."""
        if isinstance(self.world, WorkerMachineWorld):
            self.world.leave()
        elif "leave" in self.world.features:
            self.world.leave()
            self.leaving = True

    @action
    def lose(self, *, dropped: bool) -> None:
        """The connection drops; or the scheduler is silent for too long, which only machines can be told."""
        world = self.world
        if isinstance(world, WorkerMachineWorld):
            if not world.gone:
                world.lose_scheduler(dropped=dropped)
        elif dropped and not self.leaving:
            world.fence()  # what was sent must have arrived
            former = len(world.routing_ids)
            world.drop_connection()
            self._dismissed(shutdown=False, former=former)

    @action
    def come_back(self) -> None:
        """A machine that has gone, and would come back, does; a process comes by itself."""
        if isinstance(self.world, WorkerMachineWorld) and self.world.returns:
            self.world.come_back(processes=self._processes)

    @action
    def send_together(self, *, count: int) -> None:
        """The next rules are played without waiting for what each causes."""
        self.length -= 1
        self._together = count

    # --- what comes of it

    def settle(self) -> list[Placed]:
        if isinstance(self.world, WorkerMachineWorld):
            return self.world.violations()
        if not self.leaving:
            self.world.fence()
        return []

    def end(self) -> list[Placed]:
        world = self.world
        if isinstance(world, WorkerMachineWorld):
            for task_id in [one for one, process in world.processes.items() if process.ending]:
                world.end_process(task_id)
            return world.violations()
        if self.leaving:
            world.left()
        elif not self.over:
            self._wait_for_what_is_due(world)
        return self.audited()

    def judge(self) -> list[Placed]:
        world = self.world
        if isinstance(world, WorkerMachineWorld):
            return world.violations()
        audit = judge_worker_of(world.trace, world.names, world.bodies, at_rest=False)
        self.undecided = self.undecided or audit.undecided
        return list(audit.findings)

    def take_in(self) -> None:
        tasks = {task.id: task for task in self.tasks}
        for entry in self.world.trace[self._read :]:
            match entry.message:
                case Task(task_id) if entry.sender == SCHEDULER and task_id in tasks:
                    self._over(task_id)
                    self._held.insert(0, tasks[task_id])
                case TaskCancelConfirm(_, CancelConfirmType.CANCEL_FAILED):
                    pass
                case TaskResult(task_id) | TaskCancelConfirm(task_id) if entry.receiver == SCHEDULER:
                    self._over(task_id)
                case ClientDisconnect() | WorkerDisconnectNotification():
                    self._held.clear()
        self._read = len(self.world.trace)

    def _wait_for_what_is_due(self, world: WorkerWorld) -> None:
        """What the worker has refused to cancel has begun, which its adapter may tell a little later; and what was
        cancelled with force ends.
        """
        world.fence()
        self.take_in()
        for task in list(self._held):
            since = max(n for n, entry in enumerate(world.trace) if entry.message == self._messages[task.name])
            words = [entry.message for entry in world.trace[since:]]
            if TaskCancel(task.id, force=True) in words:
                world.wait_for("W2.2", lambda task=task: self._ends(task), "it ends", lambda: "")  # type: ignore[misc]
            elif TaskCancelConfirm(task.id, CancelConfirmType.CANCEL_FAILED) in words:
                world.expect_started(task, "W2.3")
        world.departures.clear()  # whether it should have come the judge says

    def _ends(self, task: TaskRef) -> bool:
        self.take_in()
        return task not in self._held

    def _over(self, task_id: bytes) -> None:
        self._held = [task for task in self._held if task.id != task_id]

    def _dismissed(self, *, shutdown: bool, former: int) -> None:
        """A process that was told to go does, or comes back."""
        if not isinstance(self.world, WorkerWorld) or self.leaving:
            return
        self._held.clear()
        if shutdown:
            self.leaving = True
        elif not self.world.comes_back(former):
            self.over = True
