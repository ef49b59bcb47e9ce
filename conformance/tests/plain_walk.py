"""A second explorer, as plain as can be: it copies whole machines, remembers nothing, and counts orders."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Iterator
from typing import Any

from rescind import client_machine as client
from rescind import scheduler_machine as scheduler
from rescind import wire
from rescind import worker_machine as worker
from rescind.messages import ClientHeartbeat, Task, TaskResultType, WorkerHeartbeat
from rescind_conformance.explorer.scenario import ClientPlan, Scenario


class PlainWalk:
    """Clients that submit and cancel, workers that finish or end their tasks; nothing else."""

    def __init__(self, scenario: Scenario) -> None:
        self.scheduler = scheduler.SchedulerMachine()
        self.clients: dict[str, Any] = {}
        self.workers: dict[str, Any] = {}
        self.up: dict[str, deque[Any]] = {}
        self.down: dict[str, deque[Any]] = {}
        self.to_join: list[str] = []
        self.submits: dict[str, list[str]] = {}
        self.calls: dict[str, list[tuple[str, bool]]] = {}
        self.pending: dict[str, dict[str, list[bool]]] = {}
        """By client and task, the calls that wait, by their force; the first one has opened the round."""
        self.runs: dict[str, dict[bytes, bool]] = {}
        """By worker and task, whether it has been told to end."""
        for number, plan in enumerate(scenario.clients, start=1):
            assert isinstance(plan, ClientPlan)
            name = f"C{number}"
            self.clients[name] = client.ClientMachine()
            self.submits[name] = list(plan.submits)
            self.calls[name] = [(call.task, call.force) for call in plan.cancels for _ in range(call.times)]
            self.pending[name] = {}
            self._connect(name, ClientHeartbeat())
        for number, each in enumerate(scenario.workers, start=1):
            name = f"W{number}"
            self.workers[name] = worker.WorkerMachine(worker.WorkerSettings(each.processes, each.queue_size))
            self.runs[name] = {}
            if each.comes:
                self.up[name], self.down[name] = deque(), deque()
                self.to_join.append(name)
            else:
                self._connect(name, WorkerHeartbeat(queue_size=each.queue_size, task_lock=True))

    def orders(self) -> int:
        """How many orders there are in which everything happens that can."""
        steps = list(self._steps())
        return sum(self._after(step).orders() for step in steps) if steps else 1

    def _connect(self, name: str, message: Any) -> None:
        self.up[name], self.down[name] = deque([message]), deque()
        self._take(name)
        self._receive(name)

    def _after(self, step: tuple[Any, ...]) -> PlainWalk:
        after = copy.deepcopy(self)
        getattr(after, step[0])(*step[1:])
        return after

    def _steps(self) -> Iterator[tuple[Any, ...]]:
        yield from (("_take", name) for name, channel in self.up.items() if channel)
        yield from (("_receive", name) for name, channel in self.down.items() if channel)
        yield from (("_join", name) for name in self.to_join)
        for name in self.clients:
            if self.submits[name]:
                yield "_submit", name
            possible = {call for call in self.calls[name] if call[0] in self.pending[name]}
            yield from (("_cancel", name, *call) for call in possible)
        for name, runs in self.runs.items():
            yield from (("_end" if ending else "_finish", name, task) for task, ending in runs.items())

    def _take(self, name: str) -> None:
        message = self.up[name].popleft()
        event = scheduler.Received(name.encode(), message, wire.encode(message), 0.0)
        for each in self.scheduler.handle(event):
            if isinstance(each, scheduler.Send):
                self.down[each.to.decode()].append(each.message)
            elif isinstance(each, scheduler.Forward):
                self.down[each.to.decode()].append(wire.decode(each.frame))

    def _receive(self, name: str) -> None:
        message = self.down[name].popleft()
        if name in self.clients:
            self._feed_client(name, client.Received(message))
        else:
            self._feed_worker(name, worker.Received(message, 0.0))

    def _join(self, name: str) -> None:
        self.to_join.remove(name)
        self._feed_worker(name, worker.HeartbeatDue(WorkerHeartbeat(), 0.0))

    def _submit(self, name: str) -> None:
        task = self.submits[name].pop(0)
        self.pending[name][task] = []
        self._feed_client(name, client.Submit(Task(task.encode(), source=name.encode())))

    def _cancel(self, name: str, task: str, force: bool) -> None:
        self.calls[name].remove((task, force))
        self.pending[name][task].append(force)
        self._feed_client(name, client.Cancel(task.encode(), force))

    def _feed_client(self, name: str, event: Any) -> None:
        for each in self.clients[name].handle(event):
            match each:
                case client.Send(message):
                    self.up[name].append(message)
                case client.Deliver(result):
                    del self.pending[name][result.task_id.decode()]
                case client.SetCancelled(task_id):
                    del self.pending[name][task_id.decode()]
                case client.EndRound(task_id):
                    calls = self.pending[name][task_id.decode()]
                    again: list[bool] = [] if calls[0] else [force for force in calls if force]
                    self.pending[name][task_id.decode()] = again
                    if again:
                        self._feed_client(name, client.Cancel(task_id, True))

    def _finish(self, name: str, task_id: bytes) -> None:
        del self.runs[name][task_id]
        self._feed_worker(name, worker.Finished(task_id, TaskResultType.SUCCESS, ()))

    def _end(self, name: str, task_id: bytes) -> None:
        del self.runs[name][task_id]
        self._feed_worker(name, worker.ProcessEnded(task_id))

    def _feed_worker(self, name: str, event: Any) -> None:
        for each in self.workers[name].handle(event):
            match each:
                case worker.Send(message):
                    self.up[name].append(message)
                case worker.Start(task):
                    self.runs[name][task.task_id] = False
                case worker.EndProcess(task_id):
                    self.runs[name][task_id] = True
