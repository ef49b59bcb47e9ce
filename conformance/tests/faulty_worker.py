"""The reference worker behind its adapter, with the fault that its first argument names.

Each fault is a function that bends one thing; its docstring, or its name, says what goes wrong. It is bent in
the adapter, from which the worker is forked; what the processes of tasks do is bent by code that they run first.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from typing import Any

import zmq
from lost_connections import connecting_again, keep_for_the_next, reconnecting, sending_what_is_kept

from rescind import wire, worker, worker_pool
from rescind.messages import (
    CancelConfirmType,
    ClientDisconnect,
    DisconnectType,
    Task,
    TaskCancel,
    TaskCancelConfirm,
    TaskResult,
    TaskResultType,
    WorkerDisconnectNotification,
    WorkerHeartbeat,
)
from rescind.scheduler_connection import SchedulerConnection
from rescind.worker_machine import Farewell, Finished, HeartbeatDue, Send, Start, WorkerMachine
from rescind.worker_table import TRANSITIONS, Action, AssignmentInput, AssignmentState, Transition
from rescind_conformance.adapters import reference_worker

FAULTS: dict[str, Callable[[], None]] = {}
QUEUED, RUNNING, ENDING, LEAVING, ENDED = AssignmentState
CANCELED, REFUSED, NOT_FOUND = CancelConfirmType
MACHINE: Any = WorkerMachine


def fault(bend: Callable[[], None]) -> Callable[[], None]:
    FAULTS[bend.__name__.replace("_", "-")] = bend
    return bend


def patch(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    """Replace an attribute by what `make` makes of it."""
    setattr(owner, name, make(getattr(owner, name)))


def row(state: AssignmentState, given: AssignmentInput, following: AssignmentState, action: Action) -> None:
    """Another row for the worker's table."""
    TRANSITIONS[state, given] = Transition(following, action)


def beside(name: str, also: Callable[..., None], *, first: bool = False) -> None:
    """The machine does something beside one of its methods, with the same arguments."""

    def make(method: Any) -> Any:
        def both(self: Any, *arguments: Any) -> None:
            if first:
                also(self, *arguments)
            method(self, *arguments)
            if not first:
                also(self, *arguments)

        return both

    patch(MACHINE, name, make)


def instead(name: str, when: Callable[..., bool]) -> None:
    """The machine does not do one of its methods, when this is true."""

    def make(method: Any) -> Any:
        def perhaps(self: Any, *arguments: Any) -> None:
            if not when(self, *arguments):
                method(self, *arguments)

        return perhaps

    patch(MACHINE, name, make)


def in_processes(code: str) -> None:
    """The processes that run tasks, and those that guard them, run this code first."""
    patch(worker_pool, "_SERVER", lambda server: server.replace("; from", f"; exec({code!r}); from", 1))


def slow_to_end() -> None:
    """Processes take a while to end."""
    in_processes(
        "import time, rescind.worker_process as p; end = p._end_descendants\n"
        "def slow(*arguments):\n  time.sleep(0.5)\n  end(*arguments)\n"
        "p._end_descendants = slow"
    )


# --- outcomes and answers


@fault
def a_task_has_both_outcomes() -> None:
    def also(self: Any, task_id: bytes, kind: CancelConfirmType) -> None:
        if kind is CANCELED:
            self._out.append(Send(TaskResult(task_id)))

    beside("_confirm", also)


@fault
def results_are_not_sent() -> None:
    row(RUNNING, AssignmentInput.FINISHED, ENDED, Action.NOTHING)


@fault
def the_answer_of_the_first_assignment_ends_the_second() -> None:
    """A task that is assigned again, having been cancelled, is taken for cancelled."""

    cancelled: set[bytes] = set()

    def on_task(method: Any) -> Any:
        def remember(self: Any, task: Task) -> None:
            if task.task_id in cancelled:
                self._confirm(task.task_id, CANCELED)
            else:
                method(self, task)

        return remember

    beside("_confirm", lambda self, task_id, kind: cancelled.add(task_id) if kind is CANCELED else None)
    patch(MACHINE, "_on_task", on_task)


@fault
def a_task_that_comes_twice_runs_twice() -> None:
    again: dict[bytes, Task] = {}

    def make(method: Any) -> Any:
        def keep(self: Any, task: Task) -> None:
            if task.task_id in self._assignments:
                again[task.task_id] = task
            else:
                method(self, task)

        return keep

    def also(self: Any, task_id: bytes, event: Finished) -> None:
        if task_id in again:
            self._on_task(again.pop(task_id))

    patch(MACHINE, "_on_task", make)
    beside("_on_finished", also)


@fault
def cancels_during_the_end_are_answered_too() -> None:
    slow_to_end()
    row(ENDING, AssignmentInput.CANCEL_FORCE, ENDING, Action.SEND_CANCELED)


@fault
def a_cancel_is_refused_while_the_task_is_ended() -> None:
    slow_to_end()
    row(ENDING, AssignmentInput.CANCEL, ENDING, Action.SEND_CANCEL_FAILED)


@fault
def repeated_refusals_are_swallowed() -> None:
    seen: set[bytes] = set()

    def again(self: Any, task_id: bytes, kind: CancelConfirmType) -> bool:
        known = kind is REFUSED and task_id in seen
        seen.add(task_id)
        return known

    instead("_confirm", again)


@fault
def a_cancelled_queued_task_starts() -> None:
    def apply(method: Any) -> Any:
        def forgetful(self: Any, assignment: Any, given: AssignmentInput, *rest: Any) -> None:
            if assignment.state is QUEUED and given in (AssignmentInput.CANCEL, AssignmentInput.CANCEL_FORCE):
                self._confirm(assignment.task.task_id, CANCELED)
            else:
                method(self, assignment, given, *rest)

        return forgetful

    patch(MACHINE, "_apply", apply)


@fault
def a_queued_task_refuses() -> None:
    def apply(method: Any) -> Any:
        def stubborn(self: Any, assignment: Any, given: AssignmentInput, *rest: Any) -> None:
            if assignment.state is QUEUED and given is AssignmentInput.CANCEL:
                self._confirm(assignment.task.task_id, REFUSED)
            else:
                method(self, assignment, given, *rest)

        return stubborn

    patch(MACHINE, "_apply", apply)


@fault
def canceled_comes_before_the_end() -> None:
    slow_to_end()

    def apply(self: Any, assignment: Any, given: AssignmentInput, *_: Any) -> None:
        if assignment.state is RUNNING and given is AssignmentInput.CANCEL_FORCE:
            self._confirm(assignment.task.task_id, CANCELED)

    row(ENDING, AssignmentInput.PROCESS_ENDED, ENDED, Action.NOTHING)
    beside("_apply", apply, first=True)


@fault
def processes_are_not_ended() -> None:
    row(RUNNING, AssignmentInput.CANCEL_FORCE, ENDED, Action.SEND_CANCELED)


@fault
def grandchildren_are_left() -> None:
    in_processes(
        "import os, signal, rescind.worker_process as p\n"
        "def careless(runner, reaped):\n"
        "  if not reaped:\n    os.kill(runner, signal.SIGKILL)\n    os.waitpid(runner, 0)\n"
        "p._end_descendants = careless"
    )


@fault
def spinning_tasks_are_only_asked() -> None:
    in_processes(
        "import os, signal, rescind.worker_process as p; kill = os.kill\n"
        "os.kill = lambda pid, number: kill(pid, signal.SIGCONT); os.killpg = lambda *_: None"
    )


@fault
def a_running_task_is_not_answered() -> None:
    row(RUNNING, AssignmentInput.CANCEL, RUNNING, Action.NOTHING)


@fault
def a_running_task_is_always_ended() -> None:
    row(RUNNING, AssignmentInput.CANCEL, ENDING, Action.END_PROCESS)


@fault
def an_unknown_task_is_not_answered() -> None:
    instead("_confirm", lambda self, task_id, kind: kind is NOT_FOUND)


@fault
def results_during_the_end_are_sent() -> None:
    slow_to_end()
    row(ENDING, AssignmentInput.FINISHED, ENDED, Action.SEND_RESULT)

    def make(end: Any) -> Any:
        def forgetful(self: Any, task_id: bytes) -> Any:
            ended = end(self, task_id)
            self._by_task[task_id].end_asked = False
            return ended

        return forgetful

    patch(worker_pool.ProcessPool, "end", make)


@fault
def half_a_result_is_left() -> None:
    patch(worker._Life, "_release_result", lambda method: lambda self, task: None)


@fault
def a_death_is_not_reported() -> None:
    row(RUNNING, AssignmentInput.PROCESS_ENDED, ENDED, Action.NOTHING)


@fault
def a_death_is_a_failure() -> None:
    def kind(send: Any) -> Any:
        def told(self: Any, message: Any) -> None:
            died = isinstance(message, TaskResult) and message.result_type == TaskResultType.FAILED_WORKER_DIED
            send(self, TaskResult(message.task_id, TaskResultType.FAILED) if died else message)

        return told

    patch(worker._Life, "_send", kind)


@fault
def a_raising_function_ends_the_worker() -> None:
    def also(self: Any, task_id: bytes, event: Finished) -> None:
        if event.result_type == TaskResultType.FAILED:
            raise RuntimeError("the function raised")

    beside("_on_finished", also, first=True)


@fault
def errors_have_no_payload() -> None:
    in_processes("import rescind.payloads as p; p.dump_exception = lambda error: 1 / 0")


# --- leaving


@fault
def a_leaving_worker_takes_tasks() -> None:
    """It does not leave before one has come: what it runs may end before it has read the Task behind `shutdown`."""
    taken: list[Task] = []

    def on_task(method: Any) -> Any:
        def eager(self: Any, task: Task) -> None:
            farewell, self._farewell = self._farewell, None
            method(self, task)
            self._farewell = farewell
            taken.extend([task] if farewell is not None else [])

        return eager

    def leave_when_empty(method: Any) -> Any:
        def later(self: Any) -> None:
            if taken:
                method(self)

        return later

    patch(MACHINE, "_on_task", on_task)
    patch(MACHINE, "_leave_when_empty", leave_when_empty)


@fault
def a_leaving_worker_starts_what_waits() -> None:
    row(QUEUED, AssignmentInput.LEAVE, QUEUED, Action.NOTHING)

    def apply(method: Any) -> Any:
        def keep(self: Any, assignment: Any, given: AssignmentInput, *rest: Any) -> None:
            if assignment.state is not QUEUED or given is not AssignmentInput.LEAVE:
                method(self, assignment, given, *rest)

        return keep

    patch(MACHINE, "_apply", apply)


@fault
def goodbye_comes_first() -> None:
    slow_to_end()

    def say(self: Any, farewell: Farewell) -> None:
        if farewell is Farewell.EXIT and self._farewell is None:
            self._out.append(Send(WorkerDisconnectNotification()))

    def once(send: Any) -> Any:
        said: list[bool] = []

        def told(self: Any, message: Any) -> None:
            if not said:
                send(self, message)
            if isinstance(message, WorkerDisconnectNotification):
                said.append(True)

        return told

    beside("_leave", say, first=True)
    patch(worker._Life, "_send", once)


@fault
def goodbye_is_not_said() -> None:
    def quiet(send: Any) -> Any:
        return lambda self, message: None if isinstance(message, WorkerDisconnectNotification) else send(self, message)

    patch(worker._Life, "_send", quiet)


@fault
def goodbye_is_not_the_last_word() -> None:
    def more(send: Any) -> Any:
        def told(self: Any, message: Any) -> None:
            send(self, message)
            if isinstance(message, WorkerDisconnectNotification):
                send(self, WorkerHeartbeat())

        return told

    patch(worker._Life, "_send", more)


@fault
def a_lost_worker_goes_on() -> None:
    lost = (DisconnectType.DISCONNECT,)
    instead("_on_message", lambda self, m: isinstance(m, ClientDisconnect) and m.disconnect_type in lost)


@fault
def an_unknown_disconnect_is_ignored() -> None:
    instead("_on_message", lambda self, m: isinstance(m, ClientDisconnect) and m.disconnect_type not in (0, 1))


@fault
def a_lost_worker_reports() -> None:
    slow_to_end()

    def say(self: Any, farewell: Farewell) -> None:
        for task_id, assignment in self._assignments.items():
            if assignment.state is RUNNING:
                self._confirm(task_id, CANCELED)

    beside("_leave", say, first=True)


# --- draining


@fault
def what_waits_is_begun_while_it_drains() -> None:
    def make(method: Any) -> Any:
        def hasty(self: Any) -> None:
            draining, self.draining = self.draining, False
            method(self)
            self.draining = draining

        return hasty

    patch(MACHINE, "_start_what_fits", make)


# --- liveness


@fault
def no_heartbeats_while_a_task_runs() -> None:
    instead("_on_heartbeat_due", lambda self, event: bool(self._occupied))


@fault
def heartbeats_wait_for_their_echo() -> None:
    def make(method: Any) -> Any:
        heard: list[float | None] = [None]

        def patient(self: Any, event: HeartbeatDue) -> None:
            if self._last_heard != heard[0] or heard[0] is None:
                heard[0] = self._last_heard
                method(self, event)

        return patient

    patch(MACHINE, "_on_heartbeat_due", make)


@fault
def something_comes_before_the_heartbeat() -> None:
    def make(run: Any) -> Any:
        def hasty(self: Any) -> Any:
            self._send(TaskCancelConfirm(b"?", NOT_FOUND))
            return run(self)

        return hasty

    patch(worker._Life, "run", make)


@fault
def silence_is_not_noticed() -> None:
    def forgive(self: Any, event: HeartbeatDue) -> None:
        self._last_heard = event.now

    beside("_on_heartbeat_due", forgive, first=True)


@fault
def a_dropped_connection_is_made_again() -> None:
    patch(SchedulerConnection, "_on_event", connecting_again)
    patch(zmq.Socket, "setsockopt", reconnecting)


@fault
def a_worker_ends_with_its_scheduler() -> None:
    patch(worker.Worker, "_pause_until", lambda method: lambda self, moment: False)


@fault
def a_worker_reports_to_the_next_scheduler() -> None:
    def make(run: Any) -> Any:
        def changed(self: worker._Life) -> Farewell:
            farewell: Farewell = run(self)
            for task_id in self.__dict__.get("ran", ()):
                keep_for_the_next(TaskResult(task_id, TaskResultType.FAILED_WORKER_DIED))
            return farewell

        return changed

    def noting(method: Any) -> Any:
        def changed(self: worker._Life, instruction: Any) -> None:
            if isinstance(instruction, Start):
                self.__dict__.setdefault("ran", []).append(instruction.task.task_id)
            method(self, instruction)

        return changed

    patch(worker._Life, "run", make)
    patch(worker._Life, "_carry_out", noting)
    patch(SchedulerConnection, "send", sending_what_is_kept)


# --- transport and messages


@fault
def no_routing_id() -> None:
    def make(setsockopt: Any) -> Any:
        return lambda self, option, value: None if option == zmq.ROUTING_ID else setsockopt(self, option, value)

    patch(zmq.Socket, "setsockopt", make)


@fault
def a_word_behind_each_message() -> None:
    patch(SchedulerConnection, "send", lambda send: lambda self, frame: send(self, frame + bytes(8)))


@fault
def answers_come_in_pairs_the_second_first() -> None:
    def make(send: Any) -> Any:
        kept: list[TaskCancelConfirm] = []

        def swap(self: Any, message: Any) -> None:
            if not isinstance(message, TaskCancelConfirm):
                send(self, message)
            elif not kept:
                kept.append(message)
            else:
                send(self, message)
                send(self, kept.pop())

        return swap

    patch(worker._Life, "_send", make)


@fault
def what_is_dropped_ends_the_worker() -> None:
    def make(method: Any) -> Any:
        def crash(self: Any, reason: str, *_: Any) -> None:
            raise RuntimeError(reason)

        return crash

    patch(worker.Worker, "count_dropped", make)


def decoding(make: Callable[[Any], Any]) -> None:
    """The worker decodes otherwise; the codec itself stays what it is."""

    class Codec:
        encode = staticmethod(wire.encode)
        decode = staticmethod(make(wire.decode))
        WireError = wire.WireError

    setattr(worker, "wire", Codec)  # noqa: B010  mypy sees a module there


@fault
def bytes_behind_a_message_are_ignored() -> None:
    def make(decode: Any) -> Any:
        def lenient(frame: bytes) -> Any:
            words = int.from_bytes(frame[4:8], "little")
            return decode(frame[: 8 + 8 * words] if frame[:4] == bytes(4) else frame)

        return lenient

    decoding(make)


@fault
def long_frames_are_dropped() -> None:
    def make(decode: Any) -> Any:
        def short(frame: bytes) -> Any:
            if len(frame) > 1 << 16:
                raise wire.WireError("too long")
            return decode(frame)

        return short

    decoding(make)


@fault
def only_one_segment_is_read() -> None:
    def make(decode: Any) -> Any:
        def simple(frame: bytes) -> Any:
            if frame[:4] != bytes(4):
                raise wire.WireError("several segments")
            return decode(frame)

        return simple

    decoding(make)


@fault
def longer_structs_are_dropped() -> None:
    def make(decode: Any) -> Any:
        def strict(frame: bytes) -> Any:
            if b"tomorrow" in frame:  # what the suite's later version says
                raise wire.WireError("unknown fields")
            return decode(frame)

        return strict

    decoding(make)


@fault
def ids_end_at_a_zero() -> None:
    def make(decode: Any) -> Any:
        def as_text(frame: bytes) -> Any:
            message = decode(frame)
            if isinstance(message, TaskCancel):
                return TaskCancel(message.task_id.rstrip(b"\0") or b"\0", message.force)
            return message

        return as_text

    decoding(make)


@fault
def unknown_arguments_are_object_ids() -> None:
    in_processes("import rescind.worker_process as p; p._object_of = lambda argument, position: argument.data")


# --- no fault


@fault
def somebody_looks_first_whether_the_scheduler_listens() -> None:
    def make(init: Any) -> Any:
        def looking(self: Any, context: Any, endpoint: str, *rest: Any) -> None:
            host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
            socket.create_connection((host, int(port))).close()
            init(self, context, endpoint, *rest)

        return looking

    patch(SchedulerConnection, "__init__", make)


if __name__ == "__main__":
    FAULTS[sys.argv[1]]()
    reference_worker.main()
