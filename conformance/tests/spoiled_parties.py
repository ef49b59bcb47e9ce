"""Faulty schedulers, workers and clients, which `rescind faults` has to find: each function breaks one thing."""

from __future__ import annotations

import time
from types import SimpleNamespace

from rescind import scheduler, worker_pool, worker_process
from rescind.client_table import CancelOutcome
from rescind.future import ScalerFuture
from rescind.messages import Message, TaskCancel, TaskCancelConfirm, WorkerDisconnectNotification
from rescind.payload_keeper import EmbeddedPayloads
from rescind.scheduler_machine import Event, Instruction, Received, SchedulerMachine, Send, TimePassed
from rescind.worker import Worker
from rescind.worker_machine import Finished


def owes_answers_of_lost_workers() -> None:
    """The scheduler, S9.2: whoever cancelled what a lost worker had waits for ever."""
    handle = SchedulerMachine.handle

    def spoiled(self: SchedulerMachine, event: Event) -> list[Instruction]:
        instructions = handle(self, event)
        loses = isinstance(event, TimePassed) or (
            isinstance(event, Received) and isinstance(event.message, WorkerDisconnectNotification)
        )
        if not loses:
            return instructions
        return [
            one for one in instructions if not (isinstance(one, Send) and isinstance(one.message, TaskCancelConfirm))
        ]

    SchedulerMachine.handle = spoiled  # type: ignore[method-assign]


def _without(instructions: list[Instruction], kind: type[Message]) -> list[Instruction]:
    return [one for one in instructions if not (isinstance(one, Send) and isinstance(one.message, kind))]


def lets_tasks_of_lost_clients_run() -> None:
    """The scheduler, S9.7: a place at a worker is taken for ever."""
    handle = SchedulerMachine.handle

    def spoiled(self: SchedulerMachine, event: Event) -> list[Instruction]:
        before = set(self.clients)
        instructions = handle(self, event)
        if before <= set(self.clients):
            return instructions
        return _without(instructions, TaskCancel)

    SchedulerMachine.handle = spoiled  # type: ignore[method-assign]


def keeps_payloads_of_lost_clients() -> None:
    """The scheduler: what a client had stays in the store."""
    EmbeddedPayloads.release_owner = lambda self, owner: None  # type: ignore[method-assign]


def leaves_processes() -> None:
    """The worker, W2.2: it says `canceled`, and what ran the task goes on."""
    worker_process._end_descendants = lambda runner, runner_reaped: None
    worker_process._prctl = lambda option, value: None


def settles_what_was_lost() -> None:
    """The client, C10.2: a future whose scheduler is lost has a result."""
    confirm = ScalerFuture.set_cancel_confirmed

    def spoiled(self: ScalerFuture[object], outcome: CancelOutcome = CancelOutcome.CONFIRMED) -> bool:
        if outcome is not CancelOutcome.DISCONNECTED:
            return confirm(self, outcome)
        self.set_result("something")
        return True

    ScalerFuture.set_cancel_confirmed = spoiled  # type: ignore[method-assign,assignment]


def runs_twice() -> None:
    """The worker, W1.1: it gives a task to a process that has finished it once more."""
    collect = worker_pool.ProcessPool.collect

    def spoiled(self: worker_pool.ProcessPool) -> list[worker_pool.Happened]:
        orders = {task_id: slot.order for task_id, slot in self._by_task.items()}
        events = collect(self)
        again = [each for each in events if isinstance(each, Finished) and each.task_id[0] < 64]
        for each in again:
            if (order := orders.get(each.task_id)) is not None and each.task_id not in _AGAIN:
                _AGAIN.add(each.task_id)
                self.start(order.task, order.result_id, order.storage, order.life)
                events.remove(each)
        return events

    worker_pool.ProcessPool.collect = spoiled  # type: ignore[method-assign]


_AGAIN: set[bytes] = set()


def gives_up() -> None:
    """The worker, W5.4: it ends, as if it had been told to, when it has lost its scheduler."""
    Worker._pause_until = lambda self, moment: False  # type: ignore[method-assign]


def trusts_the_wall_clock() -> None:
    """The scheduler: it counts its time-outs by a clock that others set."""
    wall = SimpleNamespace(time=lambda: time.time(), monotonic=lambda: time.time())  # noqa: PLW0108 - replaced later
    setattr(scheduler, "time", wall)  # noqa: B010 - it is a module there
