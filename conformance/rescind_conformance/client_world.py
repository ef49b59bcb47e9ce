"""The world of a case for a client: the suite plays the scheduler and tells the client's adapter what to do."""

from __future__ import annotations

import time

from rescind.messages import (
    CancelConfirmType,
    ClientDisconnect,
    Task,
    TaskCancel,
    TaskCancelConfirm,
    TaskResult,
    TaskResultType,
)
from rescind_conformance.adapter import Adapter, AdapterFault
from rescind_conformance.adapter_calls import Call, Notice
from rescind_conformance.audit import Audit
from rescind_conformance.audit_client import DROPS, FALLS_SILENT, HANDLED, LIMITED, RETURNS, judge_client_of
from rescind_conformance.audit_peer import by_then
from rescind_conformance.findings import Conversation
from rescind_conformance.judge.records import EventKind, EventRecord
from rescind_conformance.judged_world import JudgedWorld
from rescind_conformance.peers import TaskRef, task_id_of
from rescind_conformance.trace import SCHEDULER
from rescind_conformance.verdicts import Departure

_MOMENT = 1.0
"""Seconds."""
_POLL_INTERVAL = 0.01
FENCE = "F"
"""The names of fences' tasks begin with it."""


_CALLED = {"cancel": EventKind.CANCEL_CALLED, "cancelled": EventKind.CANCELLED_CALLED}
_RETURNED = {"cancel": EventKind.CANCEL_RETURNED, "cancelled": EventKind.CANCELLED_RETURNED}


def _is_fence(name: str) -> bool:
    return name.startswith(FENCE)


class ClientWorld(JudgedWorld):
    """One client under test, which `connect` brings. For one thread.

    Its fence is a task: when the future of a task that was submitted and answered after all else is
    settled, the client has handled everything before (it handles messages in order, T3), and all that it
    had sent has come.
    """

    subject = "C1"

    def __init__(self, conversation: Conversation, adapter: Adapter) -> None:
        super().__init__(conversation, adapter)
        self._fences = 0
        self._submitted: set[bytes] = set()

    def connect(self, **options: float) -> None:
        """Have the client connect; `heartbeat_interval` and `scheduler_timeout` (seconds) need feature `timeouts`."""
        if options:
            self.needs("timeouts")
        self.ask("connect", "connect()", self._fence_failure, endpoint=self.endpoint, **options)

    def submit(self, name: str = "") -> TaskRef:
        """Have the client submit a task, and take its Task. A client that cannot do this cannot be tested."""
        name = name or f"T{len(self.names) + 1}"
        answer = self.ask("submit", f"submit({name})", self._fence_failure, task=name)
        task = TaskRef(bytes.fromhex(answer["task_id"]), name)
        self.names[task.id] = name
        self._submitted.add(task.id)

        def strangers() -> list[bytes]:
            return [one.task_id for one in self.inbox if isinstance(one, Task) and one.task_id not in self._submitted]

        self._wait(lambda: bool(self.waiting(task, Task) or strangers()))
        if not self.waiting(task, Task):
            if others := strangers():
                raise self.adapter.fault(
                    f"submit({name}) returned the task_id {task.id.hex()}, but the Task that came has {others[0].hex()}"
                )
            if self._fence_failure is None:
                raise self.adapter.fault(f"{name} was submitted, but no Task has come")
            raise self.depart(self._fence_failure, f"expected: C1 sends Task {name}; but it did not")
        for message in self.waiting(task, Task):
            self.inbox.remove(message)
        return task

    def submit_several(self, count: int) -> list[TaskRef]:
        """`submit`, so often."""
        return [self.submit() for _ in range(count)]

    def submit_at_once(self, count: int) -> list[TaskRef]:
        """So many calls of `submit()` that do not wait for one another, and their Tasks are taken."""
        calls = [self.call("submit", "", task=f"T{number + 1}") for number in range(count)]
        self._note(f"submit() is called {count} times")
        self.comes_to(lambda: sum(call.returned for call in calls), count)
        tasks = []
        for call in calls:
            if call.answer is None or call.answer["event"] != "done":
                raise self.depart("C8.1", f"expected: {call.text} returns; but {call.in_words}")
            task = TaskRef(bytes.fromhex(call.answer["task_id"]), call.fields["task"])
            self.names[task.id] = task.name
            self._submitted.add(task.id)
            tasks.append(task)
        expected = sorted(task.id for task in tasks)

        def came() -> list[bytes]:
            return [message.task_id for message in self.inbox if isinstance(message, Task)]

        self.comes_to(lambda: len(came()), count)
        happened = f"{len(came())} come"
        self.check("T3", sorted(came()) == expected, f"{count} Tasks come, one of each", happened, vital=True)
        self.inbox = [message for message in self.inbox if not isinstance(message, Task)]
        return tasks

    def start_cancel(self, task: TaskRef, *, force: bool = False, time_limit: float | None = None) -> Call:
        """Have a thread of the client call `cancel()`, and do not wait. `time_limit` is in seconds, None gives none.

        A client without the feature `force` has one kind of cancel only, which is meant by the one without.
        """
        if force:
            self.needs("force")
        if time_limit is not None:
            self.needs("time-limit")
        limit = "" if time_limit is None else f", {LIMITED} {time_limit:g} s"
        text = f"cancel({task.name}{', force' if force else ''}{limit})"
        return self.call("cancel", text, task=task.name, force=force, time_limit=time_limit)

    def open_round(self, task: TaskRef, *, force: bool = False, time_limit: float | None = None) -> Call:
        """`start_cancel`, and take its TaskCancel."""
        call = self.start_cancel(task, force=force, time_limit=time_limit)
        self.expect_cancel(task, "C1.1", force=force)
        return call

    def payload(self, text: str = "the result", *, error: bool = False) -> bytes:
        """The id of a result object that the client can read."""
        answer = self.ask("payload", "", error=error, text=text)
        return bytes.fromhex(answer["object_id"])

    def result(
        self, task: TaskRef, result_type: TaskResultType | int = TaskResultType.SUCCESS, text: str = ""
    ) -> TaskResult:
        """A TaskResult with a result object that says `text`; nothing is sent."""
        failed = result_type != TaskResultType.SUCCESS
        object_id = self.payload(text or f"the result of {task.name}", error=failed)
        return TaskResult(task.id, result_type, b"", (object_id,))

    def finish(
        self, task: TaskRef, result_type: TaskResultType | int = TaskResultType.SUCCESS, text: str = ""
    ) -> bytes:
        """Send a TaskResult with a result object that says `text`; the object's id."""
        result = self.result(task, result_type, text)
        self.send(result)
        return result.results[0]

    def confirm(self, task: TaskRef, kind: CancelConfirmType | int) -> None:
        """Send a TaskCancelConfirm."""
        self.send(TaskCancelConfirm(task.id, kind))

    def fence(self) -> None:
        """See the class."""
        with self.unresponsive_means("C8.1"):
            assert self._fence_failure is not None
            before = len(self.trace)
            self._fences += 1
            task = self.submit(f"{FENCE}{self._fences}")
            self.finish(task)
            self.expect_settled(task, "finished", self._fence_failure)
        del self.names[task.id]
        # One line tells of it; what else came in the meantime stays.
        since = [one for one in self.trace[before:] if task.name not in one.note and task_id_of(one.message) != task.id]
        self.trace[before:] = since
        self._note(f"{HANDLED} ({task.name})")

    # --- expectations

    def expect_cancel(self, task: TaskRef, requirement: str, *, force: bool = False) -> None:
        """Check that a TaskCancel comes, and take it; the case cannot go on without.

        Of a client without the feature `force` either flag will do.
        """
        self._wait(lambda: bool(self.waiting(task, TaskCancel)))
        came = self.waiting(task, TaskCancel)
        for message in came[:1]:
            self.inbox.remove(message)
        wanted = TaskCancel(task.id, force)
        holds = bool(came) and (came[0] == wanted or "force" not in self.features)
        happened = ", ".join(map(self.describe, came or self.inbox)) or "nothing"
        self.check(requirement, holds, f"C1 sends {self.describe(wanted)}", f"it sent {happened}", vital=True)

    def settled(self, task: TaskRef) -> list[str]:
        """What the done-callback of the task's future has told so far."""
        return [one.outcome for one in self.notices if one.kind == "settled" and one.task == task.name]

    def expect_settled(self, task: TaskRef, outcome: str, requirement: str, *, vital: bool = True) -> bool:
        """Check that the future is settled: `finished` or `cancelled`."""
        if not self._wait(lambda: bool(self.settled(task))):
            self._look_for_a_callback(task, requirement)
        seen = self.settled(task)
        happened = f"it is {seen[0]}" if seen else "it is not settled"
        return self.check(requirement, seen[:1] == [outcome], f"{task.name} is {outcome}", happened, vital=vital)

    def _look_for_a_callback(self, task: TaskRef, requirement: str) -> None:
        """Before the client is blamed: raise `AdapterFault` if it is the adapter that does not tell of settled futures.

        That is so if it has told of none in this case, not even of a fence's, though asked it says that they are.
        """
        probe = self._probe("state", task=task.name)
        self._wait(lambda: probe.returned)
        if not (probe.answer or {}).get("settled") or any(one.kind == "settled" for one in self.notices):
            return
        if not _is_fence(task.name):
            with self.unresponsive_means(requirement):
                self.fence()
            return
        raise self.adapter.fault(
            f'{task.name} is settled, but the adapter never wrote "settled": does submit() add the done-callback?'
        )

    def expect_returned(self, call: Call, value: bool, requirement: str, *, vital: bool = True) -> bool:
        """Check that a call returns, and what."""
        self._wait(lambda: call.returned)
        holds = call.answer is not None and call.answer.get("returned") is value
        return self.check(requirement, holds, f"{call.text} returns {value}", call.in_words, vital=vital)

    def expect_end(self, call: Call, requirement: str = "C1.1") -> None:
        """Check that a call returns, whatever it returns; the case cannot go on without."""
        self.wait_for(requirement, lambda: call.returned, f"{call.text} returns", lambda: "it waits on", vital=True)

    def expect_waits(self, call: Call, requirement: str, *, vital: bool = True) -> bool:
        """Fence, then check that a call has not returned."""
        with self.unresponsive_means(requirement):
            self.fence()
        return self.check(requirement, not call.returned, f"{call.text} waits", call.in_words, vital=vital)

    def expect_running_again(self, task: TaskRef) -> bool:
        """Check that `running()` says so of a future that is not settled, after a refusal."""
        running = self.ask("state", "", "C4.1", task=task.name)["running"]
        self._note(f"running({task.name}) returned {running}")
        return self.check("C4.1", running, f"{task.name} is running again", f"running() says {running}")

    def expect_state(self, task: TaskRef, requirement: str, *, settled: bool) -> bool:
        """Check what `done()` says, which never waits."""
        answer = self.ask("state", f"done({task.name})", requirement, task=task.name)
        seen = "settled" if answer["settled"] else "not settled"
        expected = "settled" if settled else "not settled"
        return self.check(requirement, answer["settled"] is settled, f"{task.name} is {expected}", f"it is {seen}")

    def expect_result(self, task: TaskRef, outcome: str, requirement: str, *, text: str | None = None) -> bool:
        """Check what `result()` gives: `value`, `error` or `cancelled`, and for the former two their text."""
        answer = self.ask("result", f"result({task.name})", requirement, task=task.name)
        holds = answer["outcome"] == outcome and (text is None or text in answer.get("text", ""))
        expected = f"the result of {task.name} is {outcome}" + (f" {text!r}" if text else "")
        happened = f"it is {answer['outcome']} {answer.get('text', '')!r}"
        return self.check(requirement, holds, expected, happened)

    def expect_outcome(self, task: TaskRef, outcome: str, requirement: str = "C5.2") -> bool:
        """Check how the last round ended (feature `outcome`)."""
        self.needs("outcome")
        answer = self.ask("outcome", f"outcome({task.name})", requirement, task=task.name)
        expected = f"the round of {task.name} ended: {outcome}"
        return self.check(requirement, answer["outcome"] == outcome, expected, f"it says: {answer['outcome']}")

    def expect_released(self, object_id: bytes, requirement: str) -> bool:
        """Check that a payload object goes from the store (feature `release`)."""
        self.needs("release")

        def gone() -> bool:
            return not self.ask("stored", "", object_id=object_id.hex())["returned"]

        return self.poll_for(requirement, gone, "the result's object is released", "it is still stored")

    def wait_a_moment_for_release(self, object_id: bytes) -> None:
        """Wait until a payload object has gone, and not for long: when it has, so have those that were to go before."""
        deadline = time.monotonic() + _MOMENT
        while self.ask("stored", "", object_id=object_id.hex())["returned"] and time.monotonic() < deadline:
            self._pump(_POLL_INTERVAL)

    def _record_of_call(self, call: Call) -> EventRecord | None:
        if call.command == "disconnect":
            return EventRecord(self.subject, EventKind.DISCONNECT_CALLED)
        if call.command == "cancel_in_callback":
            return by_then(self.subject, self._id_of(call.fields["task"]))
        if call.command not in _CALLED:
            return None
        task, force = self._id_of(call.fields["task"]), bool(call.fields.get("force"))
        return EventRecord(self.subject, _CALLED[call.command], task=task, call=call.number, force=force)

    def _record_of_answer(self, call: Call) -> EventRecord | None:
        if call.command == "disconnect":
            return EventRecord(self.subject, EventKind.DISCONNECT_CALLED, value=True)
        if call.command not in _RETURNED or "returned" not in (call.answer or {}):
            return None
        assert call.answer is not None
        task, value = self._id_of(call.fields["task"]), call.answer["returned"] is True
        return EventRecord(self.subject, _RETURNED[call.command], task=task, call=call.number, value=value)

    def _record_of_notice(self, notice: Notice) -> EventRecord | None:
        task = self._id_of(notice.task)
        return EventRecord(self.subject, EventKind.SETTLED, task=task, outcome=notice.outcome) if task else None

    def come_to_rest(self) -> None:
        """A last fence, whose failure is not held against anybody; then whatever is due by now."""
        if self.departures:
            return
        checked = set(self.checked)
        try:
            if self._is_there():
                self.fence()
        except (Departure, AdapterFault):
            self.departures.clear()
        else:
            self._rest()
        self.checked = checked  # by the case

    def _judged(self) -> Audit:
        return judge_client_of(self.trace, self.names, features=self.features, at_rest=self._at_rest)

    def _is_there(self) -> bool:
        """Whether the client is connected, and nothing has told it that it is not."""
        came = gone = False
        for entry in self.trace:
            event = entry.event.event if entry.event is not None else None
            came = came or (entry.sender == self.subject and entry.message is not None)
            if entry.note == RETURNS:
                gone = False
            elif entry.sender == SCHEDULER and entry.note in (DROPS, FALLS_SILENT):
                gone = True
            else:
                gone = gone or isinstance(entry.message, ClientDisconnect) or event is EventKind.DISCONNECT_CALLED
        return came and not gone
