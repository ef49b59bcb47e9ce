"""The worker's side of the processes that run tasks: a number of slots, each with a process.

There are more of them for as long as tasks of a higher priority do not wait for those of a lower one.

Nothing here waits for a process, but `close`: a task may stop its process, or write what it likes to
every descriptor that it finds.
"""

from __future__ import annotations

import contextlib
import json
import logging
import pickle
import selectors
import socket
import subprocess
import sys
import time
from dataclasses import dataclass

from rescind.allow_list import AllowList
from rescind.message_pipe import MessagePipe
from rescind.messages import ObjectStorageAddress, ProcessorStatus, Task
from rescind.worker_machine import Finished, ProcessEnded, Wrote
from rescind.worker_process import IMPORT_SCALER, Ready, RunTask, TaskEnded, TaskWrote
from rescind.worker_vitals import CpuMeter

logger = logging.getLogger(__name__)

_SERVER = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[2]); control = int(sys.argv[1]); "
    "allowed = json.loads(sys.argv[3]); del sys.argv[1:]; "
    "from rescind.worker_process import serve; serve(control, allowed)"
)
_FAILED_STARTS = 5
"""Processes in a row that ended before they were ready: it will not get better by itself."""
_CLOSE_SECONDS = 10.0
Happened = Finished | Wrote | ProcessEnded


class CannotStartProcesses(RuntimeError):
    """The processes that run tasks end before they are ready; their standard error says why."""


@dataclass(slots=True, eq=False)
class _Process:
    lifeline: socket.socket
    tasks: MessagePipe
    tasks_open: bool = True
    ending: bool = False
    pid: int = 0


@dataclass(slots=True, eq=False)
class _Slot:
    process: _Process | None = None
    order: RunTask | None = None
    sent: bool = False
    end_asked: bool = False
    since: float = 0.0


class ProcessPool:
    """Keeps `processes` processes ready for tasks, and makes more where more are started. Not thread-safe.

    `fileno()` becomes readable when `collect` has something to do.
    """

    def __init__(self, processes: int, scheduler: str = "", allowed: AllowList | None = None) -> None:
        """`scheduler` is the endpoint that tasks are told to be running for; `allowed`: what they may run."""
        self._scheduler = scheduler
        self._allowed = None if allowed is None else allowed.entries
        self._selector = selectors.DefaultSelector()
        self._processes = processes
        self._slots = [_Slot() for _ in range(processes)]
        self._by_task: dict[bytes, _Slot] = {}
        self._server: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._imports_scaler = False
        self._failed_starts = 0
        self._cpu = CpuMeter()

    def fileno(self) -> int:
        """The descriptor to poll for reading."""
        return self._selector.fileno()

    def refill(self) -> None:
        """Start a process in each slot that has none, and end what is idle beyond the number that is kept ready.

        Raises `CannotStartProcesses`.
        """
        idle = [slot for slot in self._slots if slot.order is None]
        surplus = len(idle) - self._processes
        for slot in idle[: max(0, surplus)]:
            if slot.process is None:
                self._slots.remove(slot)
            else:
                self._end_process(slot.process)
        for slot in self._slots:
            if slot.process is None:
                slot.process = self._start_process(slot)

    def import_scaler(self) -> None:
        """Payloads are in Scaler's storage: have processes that are started later import the package beforehand."""
        if not self._imports_scaler:
            self._imports_scaler = True
            if self._control is not None:
                self._ask_to_import()

    def start(self, task: Task, result_id: bytes, storage: ObjectStorageAddress, life: bytes) -> None:
        """Run `task` in a slot without one, a new one if need be, as soon as the process there is ready.

        `refill` starts the process of a new slot. Its result is stored as `result_id`.
        """
        idle = [slot for slot in self._slots if slot.order is None]
        if not idle:
            idle.append(_Slot())
            self._slots += idle
        slot = next((slot for slot in idle if slot.process and slot.process.pid and not slot.process.ending), idle[0])
        slot.order, slot.since = RunTask(task, result_id, storage, life, self._scheduler), time.monotonic()
        self._by_task[task.task_id] = slot
        self._send_order(slot)

    def end(self, task_id: bytes) -> bool:
        """End the process of `task_id` and all that it started; `collect` says when it is gone.

        False if no process has to do with that task, so that nothing will be said.
        """
        slot = self._by_task.get(task_id)
        if slot is None:
            return False
        if slot.process is None:
            self._vacate(slot)
            return False
        slot.end_asked = True
        self._end_process(slot.process)
        return True

    def collect(self) -> list[Happened]:
        """What has happened since the last call, in order. Does not wait."""
        events: list[Happened] = []
        for key, ready in self._selector.select(0):
            slot: _Slot = key.data
            process = slot.process
            if process is None:
                continue  # gone by what came earlier in this very list
            if key.fileobj is process.tasks:
                if ready & selectors.EVENT_WRITE:
                    self._write(slot, process)
                if ready & selectors.EVENT_READ and process.tasks_open:
                    self._read(slot, process, events)
            elif key.fileobj is process.lifeline:
                self._bury(slot, process, events)
        return events

    def statuses(self) -> tuple[ProcessorStatus, ...]:
        """The processes, as the heartbeat reports them."""
        now = time.monotonic()
        return tuple(
            ProcessorStatus(
                pid=process.pid,
                initialized=process.pid != 0,
                has_task=slot.order is not None,
                resource=self._cpu.resource(process.pid) if process.pid else self._cpu.nothing,
                current_task_id=slot.order.task.task_id if slot.order else b"",
                task_age_seconds=int(now - slot.since) if slot.order else 0,
            )
            for slot in self._slots
            if (process := slot.process) is not None
        )

    def close(self) -> None:
        """End every process and wait until they are gone."""
        for slot in self._slots:
            if slot.process is not None:
                self._end_process(slot.process)
        deadline = time.monotonic() + _CLOSE_SECONDS
        while any(slot.process for slot in self._slots) and (left := deadline - time.monotonic()) > 0:
            if self._selector.select(left):
                self.collect()
        stuck = [slot.process.pid for slot in self._slots if slot.process]
        if stuck:
            logger.error("processes that do not end although they were killed: %s", stuck)
        if self._server is not None and self._control is not None:
            self._control.close()
            try:
                self._server.wait(1.0 if stuck else _CLOSE_SECONDS)
            except subprocess.TimeoutExpired:
                self._server.kill()
                self._server.wait()
        self._selector.close()

    def _start_process(self, slot: _Slot) -> _Process:
        if self._failed_starts >= _FAILED_STARTS:
            raise CannotStartProcesses(
                f"{_FAILED_STARTS} processes in a row ended before they were ready to run a task; "
                "their standard error says why"
            )
        lifeline, their_lifeline = socket.socketpair()
        tasks, their_tasks = socket.socketpair()
        with their_lifeline, their_tasks:
            try:
                socket.send_fds(self._server_control(), [b"+"], [their_lifeline.fileno(), their_tasks.fileno()])
            except OSError:
                logger.warning("the server of processes is gone; another will be started")
                self._discard_server()  # the lifeline closes below, and the slot is refilled
        lifeline.setblocking(False)
        process = _Process(lifeline, MessagePipe(tasks))
        self._selector.register(process.lifeline, selectors.EVENT_READ, slot)
        self._selector.register(process.tasks, selectors.EVENT_READ, slot)
        return process

    def _server_control(self) -> socket.socket:
        if self._server is not None and self._server.poll() is not None:
            self._discard_server()
        if self._control is None:
            self._control, theirs = socket.socketpair()
            with theirs:
                self._server = subprocess.Popen(
                    [
                        sys.executable,
                        "-c",
                        _SERVER,
                        str(theirs.fileno()),
                        json.dumps([entry for entry in sys.path if isinstance(entry, str)]),
                        json.dumps(self._allowed),
                    ],
                    stdin=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,  # Ctrl-C in the worker's terminal is for the worker
                )
            if self._imports_scaler:
                self._ask_to_import()
        return self._control

    def _ask_to_import(self) -> None:
        assert self._control is not None
        with contextlib.suppress(OSError):  # the server is gone, which whoever starts a process will see
            self._control.send(IMPORT_SCALER)

    def _discard_server(self) -> None:
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._server is not None:
            self._server.kill()
            self._server.wait()
            self._server = None

    def _send_order(self, slot: _Slot) -> None:
        process = slot.process
        if slot.order is None or process is None or process.ending or not process.pid:
            return  # sent when the process, or the one after it, is ready
        slot.sent = True
        process.tasks.queue(pickle.dumps(slot.order))
        self._write(slot, process)

    def _write(self, slot: _Slot, process: _Process) -> None:
        try:
            more = process.tasks.write()
        except OSError:
            self._end_process(process)
            return
        interest = selectors.EVENT_READ | (selectors.EVENT_WRITE if more else 0)
        self._selector.modify(process.tasks, interest, slot)

    def _read(self, slot: _Slot, process: _Process, events: list[Happened], *, everything: bool = False) -> None:
        try:
            for data in process.tasks.read(everything=everything):
                self._on_message(slot, process, pickle.loads(data), events)
        except Exception as error:
            if not isinstance(error, EOFError | OSError):
                logger.warning("process %d sent what is no message, and is ended: %r", process.pid, error)
            self._close_tasks(process)
            self._end_process(process)

    def _on_message(self, slot: _Slot, process: _Process, message: object, events: list[Happened]) -> None:
        match message:
            case Ready(pid):
                self._failed_starts = 0
                process.pid = pid
                self._send_order(slot)
            case TaskWrote(task_id, log_type, content) if slot.order and slot.order.task.task_id == task_id:
                events.append(Wrote(task_id, log_type, content))
            case TaskEnded(task_id, result_type, results) if slot.order and slot.order.task.task_id == task_id:
                # If its end was asked for, that end is what is waited for; it came a moment too late.
                if not slot.end_asked:
                    self._vacate(slot)
                    events.append(Finished(task_id, result_type, results))

    def _bury(self, slot: _Slot, process: _Process, events: list[Happened]) -> None:
        # It may have finished its task and said so before it ended.
        if process.tasks_open:
            self._read(slot, process, events, everything=True)
        self._close_tasks(process)
        self._selector.unregister(process.lifeline)
        process.lifeline.close()
        self._cpu.forget(process.pid)
        slot.process = None
        if not process.pid and not process.ending:
            self._failed_starts += 1
        if slot.order is not None and (slot.sent or slot.end_asked):
            events.append(ProcessEnded(slot.order.task.task_id))
            self._vacate(slot)

    def _vacate(self, slot: _Slot) -> None:
        if slot.order is not None:
            del self._by_task[slot.order.task.task_id]
        slot.order, slot.sent, slot.end_asked = None, False, False

    def _close_tasks(self, process: _Process) -> None:
        if process.tasks_open:
            process.tasks_open = False
            self._selector.unregister(process.tasks)
            process.tasks.close()

    def _end_process(self, process: _Process) -> None:
        if not process.ending:
            process.ending = True
            try:
                process.lifeline.shutdown(socket.SHUT_WR)
            except OSError:
                logger.debug("process %d has ended already", process.pid)
