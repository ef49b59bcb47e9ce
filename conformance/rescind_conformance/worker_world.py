"""The world of a case for a worker: the suite plays the scheduler, and knows from the adapter what runs."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import zmq
from zmq.utils.monitor import parse_monitor_message

from rescind import wire
from rescind.messages import (
    Argument,
    ArgumentType,
    CancelConfirmType,
    Message,
    Task,
    TaskCancel,
    TaskCancelConfirm,
    TaskResult,
    TaskResultType,
    WorkerDisconnectNotification,
)
from rescind_conformance.adapter import Adapter
from rescind_conformance.adapter_calls import Call, Notice
from rescind_conformance.audit import Audit
from rescind_conformance.audit_client import RETURNS
from rescind_conformance.audit_worker import FORMER, STILL_RUNS, UNREADABLE, judge_worker_of
from rescind_conformance.findings import Conversation, new_task_id
from rescind_conformance.judge.records import EventKind, EventRecord
from rescind_conformance.judged_world import JudgedWorld
from rescind_conformance.peers import CANCEL_NOT_FOUND, Incoming, TaskRef
from rescind_conformance.trace import SCHEDULER, Entry

SOURCE = b"Client|conformance|" + b"0" * 32
"""The client for which the tasks are run, who is never there."""
_FENCE = "unknown"
_BETWEEN_LOOKS = 0.01
"""Seconds between two questions to the adapter about what only time brings."""


class WorkerWorld(JudgedWorld):
    """One worker under test, which `start` brings. For one thread.

    Its fence is a TaskCancel for a task that was never there: the worker answers it (W2.4), in order, so
    that it has handled everything before. It says nothing of what runs: whether a body has begun or its
    process still exists is asked of the adapter.
    """

    subject = "W1"
    _monitor: zmq.Socket[bytes] | None = None

    def __init__(self, conversation: Conversation, adapter: Adapter) -> None:
        self.bodies: dict[bytes, str] = {}
        """What the tasks do, by task id."""
        self._drains = False
        super().__init__(conversation, adapter)

    def start(
        self,
        *,
        processes: int = 1,
        queue_size: int = 10,
        brisk: bool = False,
        drains: bool = False,
        **options: float,
    ) -> None:
        """Have the worker start and wait for its first message; times (seconds) need feature `timeouts`.

        `brisk`: give it a short heartbeat interval if it can be given one, so that it comes back soon. `drains`: have
        it drain when it is to leave (feature `drain`).
        """
        if processes > 1:
            self.needs("processes")
        if options:
            self.needs("timeouts")
        if brisk and "timeouts" in self.features:
            options = {"heartbeat_interval": 0.1, **options}
        own: dict[str, Any] = {"processes": processes, "queue_size": queue_size}
        if drains:
            self.needs("drain")
            own["drain"] = self._drains = True
        self.ask("start", "start()", endpoint=self.endpoint, **own, **options)
        self.wait_for("W5.1", lambda: bool(self.routing_ids), "W1 sends something", lambda: "it did not", vital=True)

    # --- tasks

    def new_task(self, task_id: bytes | None = None) -> TaskRef:
        """See `Findings.new_task`; fences are not counted."""
        number = sum(name != _FENCE for name in self.names.values()) + 1
        task = TaskRef(task_id or new_task_id(), f"T{number}")
        self.names[task.id] = task.name
        return task

    def assign(self, body: str, task: TaskRef | None = None) -> TaskRef:
        """Send a Task that runs a body (see ADAPTER.md), and do not wait."""
        task = task or self.new_task()
        self.send(self.task_message(task, body))
        return task

    def task_message(self, task: TaskRef, body: str) -> Task:
        """The Task that runs a body; nothing is sent. It may be sent again: each is another assignment."""
        ids = {"task_id": task.id.hex(), "source": SOURCE.hex()}
        self.bodies[task.id] = body
        answer = self.ask("task", f"task({task.name}, {body})", task=task.name, body=body, **ids)
        arguments = tuple(Argument(ArgumentType.OBJECT_ID, bytes.fromhex(one)) for one in answer["arguments"])
        return Task(task.id, SOURCE, func_object_id=bytes.fromhex(answer["function_id"]), function_args=arguments)

    def unreadable_message(self, task: TaskRef) -> Task:
        """The Task whose function nobody has stored; nothing is sent."""
        message = self.task_message(task, "return")
        self.bodies[task.id] = UNREADABLE
        return replace(message, func_object_id=bytes(reversed(message.func_object_id)))

    def run(self, body: str, requirement: str = "W1.1") -> TaskRef:
        """`assign`, and wait until the body has begun."""
        task = self.assign(body)
        self.expect_started(task, requirement, vital=True)
        return task

    def cancel(self, task: TaskRef, *, force: bool = False) -> None:
        """Send a TaskCancel, and do not wait."""
        self.send(TaskCancel(task.id, force))

    def release(self, task: TaskRef) -> None:
        """Let a body that waits go on."""
        self.ask("release", f"release({task.name})", task=task.name)

    def leave(self) -> Call:
        """Have the worker leave of its own accord, and do not wait (feature `leave`)."""
        self.needs("leave")
        return self.call("leave", "leave()")

    # --- fences

    def fence(self) -> None:
        """See the class."""
        unknown = TaskRef(new_task_id(), _FENCE)
        self.names[unknown.id] = unknown.name
        answer = TaskCancelConfirm(unknown.id, CANCEL_NOT_FOUND)
        self.cancel(unknown)
        requirement = self._fence_failure or "W2.4"
        if requirement == "W2.4":
            self.expect(answer, requirement, vital=True)
            return
        self._wait(lambda: answer in self.inbox or self.gone)
        if answer in self.inbox:
            self.inbox.remove(answer)
            return
        happened = "its connection has ended" if self.gone else "it does not answer any more"
        raise self.depart(requirement, f"expected: W1 goes on; but {happened}", unresponsive=True)

    def pass_time(self, requirement: str) -> None:
        """Have all that waits for a free process begin: two tasks run to their end, one after the other.

        For workers with one process. A task that is still queued has begun when this returns.
        """
        for _ in range(2):
            task = self.run("return", requirement)
            self.expect_result(task, requirement)

    def come_to_rest(self) -> None:
        """A last fence, whose failure is not held against anybody."""
        if self.departures or self.gone or not self.routing_ids or WorkerDisconnectNotification() in self._said():
            return
        unknown = TaskRef(new_task_id(), _FENCE)
        self.names[unknown.id] = unknown.name
        self.cancel(unknown)
        answer = TaskCancelConfirm(unknown.id, CANCEL_NOT_FOUND)
        if self._wait(lambda: answer in self.inbox or self.gone) and answer in self.inbox:
            self.inbox.remove(answer)
            self._rest()

    # --- expectations

    def starts(self, task: TaskRef) -> int:
        """How often the body has begun."""
        return sum(one.kind == "started" and one.task == task.name for one in self.notices)

    def started(self, task: TaskRef) -> bool:
        """Whether the body has begun."""
        return self.starts(task) > 0

    def expect_started(self, task: TaskRef, requirement: str, *, times: int = 1, vital: bool = False) -> bool:
        """Check that the body begins, for that time."""
        return self.wait_for(
            requirement,
            lambda: self.starts(task) >= times or self.gone,
            f"{task.name} begins",
            lambda: "it does not",
            vital=vital,
        ) and self.check(requirement, self.starts(task) >= times, f"{task.name} begins", "W1 has gone", vital=vital)

    def expect_not_started(self, task: TaskRef, requirement: str, *, times: int = 0) -> bool:
        """Check that the body has not begun so far, or not more often; what has happened is asked of the adapter."""
        self.runs(task)
        begun = self.starts(task)
        return self.check(requirement, begun <= times, f"{task.name} does not begin", f"it began {begun} times")

    def expect_confirm(self, task: TaskRef, kind: CancelConfirmType, requirement: str, *, vital: bool = False) -> bool:
        """Check that a TaskCancelConfirm comes, and take it."""
        return self.expect(TaskCancelConfirm(task.id, kind), requirement, vital=vital)

    def expect_word(self, task: TaskRef, requirement: str, *, answer: bool = False) -> Incoming:
        """Check that something about the task has come (or an answer to a cancel), and leave it there: the first."""

        def come() -> list[Incoming]:
            return self.waiting(task, TaskCancelConfirm) if answer else self.waiting(task)

        expected = f"{'an answer' if answer else 'a word'} about {task.name} comes"
        self._wait(lambda: bool(come()) or self.gone)
        self.check(requirement, bool(come()), expected, "none does", vital=True)
        return come()[0]

    def expect_result(
        self, task: TaskRef, requirement: str, result_type: TaskResultType = TaskResultType.SUCCESS
    ) -> TaskResult | None:
        """Check that a TaskResult of this kind comes, and take it; whatever payloads it names."""
        self._wait(lambda: bool(self.waiting(task, TaskResult)) or self.gone)
        found = [message for message in self.waiting(task) if isinstance(message, TaskResult)]
        for message in found[:1]:
            self.inbox.remove(message)
        holds = bool(found) and found[0].result_type == result_type
        happened = ", ".join(map(self.describe, found or self.inbox)) or "nothing"
        wanted = self.describe(TaskResult(task.id, result_type))
        self.check(requirement, holds, f"W1 sends {wanted}", f"it sent {happened}")
        return found[0] if holds else None

    def wait_for_outcome(self, task: TaskRef) -> None:
        """Wait until a result has come; that none does is not this case's business."""
        self._wait(lambda: bool(self.waiting(task, TaskResult)) or self.gone)
        for message in self.waiting(task, TaskResult):
            self.inbox.remove(message)

    def runs(self, task: TaskRef) -> bool:
        """Whether any process of the body still exists."""
        return bool(self.ask("running", f"running({task.name})", task=task.name)["returned"])

    def has_ended(self, task: TaskRef) -> bool:
        """`runs` asked in passing, of which traces do not tell."""
        return not self.ask("running", "", task=task.name)["returned"]

    def expect_gone(self, task: TaskRef, requirement: str, *, vital: bool = False) -> bool:
        """Check that no process of the body exists any more, at this moment."""
        expected = f"no process of {task.name} is left"
        return self.check(requirement, not self.runs(task), expected, "one still exists", vital=vital)

    def expect_ended(self, task: TaskRef, requirement: str, *, vital: bool = False) -> bool:
        """Check that the processes of the body end."""
        came = self._poll("running", False, task=task.name)
        return self.check(requirement, came, f"what runs {task.name} ends", "its process still exists", vital=vital)

    def stored(self, object_id: bytes) -> bool:
        """Whether a payload object is in the store (feature `release`)."""
        return bool(self.ask("stored", "stored()", object_id=object_id.hex())["returned"])

    def expect_goodbye(self, requirement: str, *, vital: bool = False) -> bool:
        """Check that WorkerDisconnectNotification comes, and take it."""
        return self.expect(WorkerDisconnectNotification(), requirement, vital=vital)

    def left(self) -> None:
        """Wait until a worker that leaves has gone, and all that it sent has come. One that stays is waited for."""
        if self._poll("exited", True, unless=lambda: self.gone):
            self._wait(lambda: self.gone)

    def comes_back(self, former: int = 1) -> bool:
        """Wait until the worker has come back under another routing id, or has ended; whether it came back."""
        self._poll("exited", True, unless=lambda: len(self.routing_ids) > former)
        return len(self.routing_ids) > former

    def goes_on_as(self, former: bytes) -> bool:
        """After a dropped connection: whether the worker answers under its former routing id.

        It is asked until it answers, has come back as another, or has ended.
        """
        unknown = TaskRef(new_task_id(), _FENCE)
        self.names[unknown.id] = unknown.name
        question = TaskCancel(unknown.id)
        next_question = time.monotonic()

        def known() -> bool:
            nonlocal next_question
            if time.monotonic() >= next_question:  # before it has connected nobody hears it
                next_question = time.monotonic() + 10 * _BETWEEN_LOOKS
                self.trace.append(Entry(self._step, SCHEDULER, self.subject, question, FORMER))
                self._router.send_multipart([former, wire.encode(question)])
            return bool(self.waiting(unknown)) or len(self.routing_ids) > 1

        self._poll("exited", True, unless=known)
        answers = self.waiting(unknown)
        for answer in answers:
            self.inbox.remove(answer)
        return bool(answers)

    def after_goodbye(self) -> list[Message]:
        """What has come after the good-bye, heartbeats included."""
        said = self._said()
        if WorkerDisconnectNotification() not in said:
            return []
        return said[said.index(WorkerDisconnectNotification()) + 1 :]

    def _judged(self) -> Audit:
        return judge_worker_of(self.trace, self.names, self.bodies, at_rest=self._at_rest)

    def _record_of_call(self, call: Call) -> EventRecord | None:
        match call.command:
            case "release":
                task = self._id_of(call.fields["task"])
                return EventRecord(self.subject, EventKind.FINISHED, task=task, outcome="returned")
            case "leave":
                kind = EventKind.DRAIN_REQUESTED if self._drains else EventKind.LEAVE_REQUESTED
                return EventRecord(self.subject, kind)
            case _:
                return None

    def _record_of_answer(self, call: Call) -> EventRecord | None:
        if call.command != "running" or "returned" not in (call.answer or {}):
            return None
        assert call.answer is not None
        return self._record_of_process(call.fields["task"], call.answer["returned"] is True)

    def _record_of_process(self, name: str, runs: bool) -> EventRecord:
        outcome = STILL_RUNS if runs else ""
        return EventRecord(self.subject, EventKind.PROCESS_ENDED, task=self._id_of(name), outcome=outcome)

    def _record_of_notice(self, notice: Notice) -> EventRecord | None:
        if notice.kind != "started":
            return None
        return EventRecord(self.subject, EventKind.STARTED, task=self._id_of(notice.task))

    def _poll(self, command: str, wanted: bool, *, unless: Callable[[], bool] = lambda: False, **fields: Any) -> bool:
        """Ask the adapter until it says what is wanted, or something else comes true; whether it has said it."""

        said = False

        def over() -> bool:
            nonlocal said
            said = bool(self.ask(command, "", **fields)["returned"] is wanted)
            return said or unless()

        self.asked_until(over, _BETWEEN_LOOKS)
        seen = wanted if said else not wanted
        record = self._record_of_process(fields["task"], seen) if command == "running" else None
        self._note(f"{' '.join([command, *fields.values()])}: {seen}", record)
        return said

    # --- the connection

    def _watch_connections(self) -> None:
        # Not those whose handshake has succeeded: who looks first whether somebody listens, or gives an attempt up, has
        # connections that end without one.
        self._monitor = self._router.get_monitor_socket(zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED)
        self._poller.register(self._monitor, zmq.POLLIN)
        self._connections = 0
        self.gone = False

    def _pump(self, seconds: float) -> None:
        super()._pump(seconds)
        assert self._monitor is not None
        with contextlib.suppress(zmq.Again):
            while True:
                event = parse_monitor_message(self._monitor.recv_multipart(zmq.NOBLOCK))["event"]
                self._connections += 1 if event == zmq.EVENT_ACCEPTED else -1
                if (gone := self._connections <= 0) is not self.gone:
                    self._receive()  # what came before the end
                    self.gone = gone
                    if gone:
                        self._note("its connection ends")

    def _close_monitor(self) -> None:
        if self._monitor is not None:
            self._router.disable_monitor()  # before: ZeroMQ's thread would wait for somebody who reads it
            self._monitor.close(linger=0)
            self._monitor = None

    def drop_connection(self) -> None:
        self._close_monitor()
        super().drop_connection()

    def close(self) -> None:
        self._close_monitor()
        super().close()

    def _said(self) -> list[Message]:
        """What has come since the worker came under its present routing id."""
        since = max((n for n, entry in enumerate(self.trace) if entry.note == RETURNS), default=0)
        said = [entry.message for entry in self.trace[since:] if entry.sender == self.subject]
        return [message for message in said if message is not None]
