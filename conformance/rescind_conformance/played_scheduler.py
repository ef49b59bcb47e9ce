"""The worlds of the roles that are tested through an adapter: the suite plays the scheduler.

The subject is one client (C1) or one worker (W1). Its socket talks to a ROUTER of the suite, its adapter
obeys the suite's commands. What must come is waited for, up to a deadline. To see that something does
*not* come there are fences, as everywhere: each world says what serves as one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import zmq

from rescind import wire
from rescind.messages import (
    ClientHeartbeat,
    ClientHeartbeatEcho,
    Message,
    ObjectInstruction,
    ObjectStorageAddress,
    WorkerHeartbeat,
    WorkerHeartbeatEcho,
)
from rescind_conformance.adapter import Adapter
from rescind_conformance.adapter_calls import Call, Notice
from rescind_conformance.audit_client import DROPS, FALLS_SILENT, RESUMES, RETURNS
from rescind_conformance.findings import Conversation, Findings
from rescind_conformance.judge.records import EventRecord
from rescind_conformance.peers import Incoming, TaskRef, Unreadable, task_id_of
from rescind_conformance.trace import SCHEDULER, Entry
from rescind_conformance.world import NOT_FRAMING

_LONGEST_POLL = 0.2
"""Seconds between two looks whether the run is to end."""
_POLL_INTERVAL = 0.02
"""Seconds between two questions about what tells of itself by no event."""
_OF_THE_WAIT = 0.1
"""The part of a wait so far after which it is asked again: what came is seen late by that part of the wait at most."""
_WELL_BELOW = 30.0
"""Seconds: half of the usual time-out of a silent peer (SPEC.md's section 9)."""
Heartbeats = (ClientHeartbeat, WorkerHeartbeat)


class PlayedScheduler(Findings):
    """What the worlds of a client and of a worker share. For one thread.

    The deadline only bounds how long what must come is waited for.
    """

    subject: str
    """Its name in traces: C1 or W1."""

    def __init__(self, conversation: Conversation, adapter: Adapter) -> None:
        """`adapter` must be ready."""
        super().__init__()
        hello = adapter.hello
        self.features: frozenset[str] = frozenset(hello["features"])
        self.inbox: list[Incoming] = []
        """What came from the subject and no expectation has taken; heartbeats and payload bookkeeping are left out."""
        self.notices: list[Notice] = []
        """Everything that the adapter told unasked, in order."""
        self.routing_ids: list[bytes] = []
        """Under which the subject has come, in order: the last one is the present."""
        self.echoes = True
        """Whether heartbeats are echoed."""
        self.write_echo: Callable[[Message], bytes] = wire.encode
        """How an echo becomes a frame."""
        self.heartbeats = 0
        """How many have come."""
        self.storage = ObjectStorageAddress(**hello["storage"])
        self.resumed = False
        """Whether something has come under the routing id of a connection that was dropped (T4)."""
        self.gone = False
        """Whether the subject's connection has ended, as far as it is watched: nothing more comes over it."""
        self.adapter = adapter
        self._dropped_ids: set[bytes] = set()
        self._told: set[str] = set()
        """The tasks that the adapter has been told of."""
        self._fence_failure: str | None = None
        self._calls: dict[int, Call] = {}
        self._conversation = conversation
        self._step = 0
        self._open_router("tcp://127.0.0.1:*")

    # --- the adapter

    def call(self, command: str, told: str, /, **fields: Any) -> Call:
        """Send a command and do not wait. `told` says it in traces, which leave it out if it is ""."""
        number = self.adapter.command(command, **fields)
        call = Call(told or f"{command}()", command, number, fields, quiet=not told)
        self._calls[number] = call
        self._told.update([fields["task"]] if "task" in fields else fields.get("targets", ()))
        if told:
            self._note(f"{told} is called", self._record_of_call(call))
        return call

    def ask(self, command: str, told: str, requirement: str | None = None, /, **fields: Any) -> dict[str, Any]:
        """Send a command and wait for its answer; the answer.

        That it raises, or does not return, is a departure from `requirement`, and the case cannot go on;
        a harness error if there is none that says otherwise.
        """
        call = self.call(command, told, **fields)
        self._wait(lambda: call.returned)
        if call.answer is not None and call.answer["event"] == "done":
            return call.answer
        if requirement is None:
            raise self.adapter.fault(f"{call.in_words}, which the case cannot go on without")
        raise self.depart(requirement, f"expected: {call.text} returns; but {call.in_words}")

    def needs(self, *features: str) -> None:
        """End the case as unsupported unless the implementation has all of these optional features."""
        missing = ", ".join(sorted(set(features) - self.features))
        if missing:
            self.unsupported(f"its adapter does not name the feature {missing}", f"feature {missing}")

    # --- messages

    def send(self, message: Message, note: str = "") -> None:
        """Send a message to the subject; `note` tells in traces what its words do not."""
        self._step += 1
        self.trace.append(Entry(self._step, SCHEDULER, self.subject, message, note))
        self._router.send_multipart([self.routing_ids[-1], wire.encode(message)])

    def send_frames(self, *frames: bytes, note: str, means: Message | None = None) -> None:
        """Send frames of any kind to the subject; `note` and what it `means` (if anything) tell it in traces."""
        self._step += 1
        self.trace.append(Entry(self._step, SCHEDULER, self.subject, means, note))
        self._router.send_multipart([self.routing_ids[-1], *frames])

    def waiting(self, about: TaskRef | None = None, kind: type[Message] | None = None) -> list[Incoming]:
        """What has come (about one task, of one kind) and was not taken by an expectation."""
        return [
            message
            for message in self.inbox
            if (about is None or task_id_of(message) == about.id) and (kind is None or isinstance(message, kind))
        ]

    def expect(self, message: Message, requirement: str, *, vital: bool = False) -> bool:
        """Check that this message comes, and take it; if another of its kind about the same task comes, take that."""
        self._wait(lambda: message in self.inbox or bool(self._rivals(message)) or self.gone)
        holds = message in self.inbox
        rivals = self._rivals(message)
        taken = [message] if holds else rivals[:1]
        for one in taken:
            self.inbox.remove(one)
        expected = f"{self.subject} sends {self.describe(message)}"
        happened = ", ".join(map(self.describe, rivals or self.inbox)) or "nothing"
        return self.check(requirement, holds, expected, f"it sent {happened}", vital=vital)

    def expect_nothing(self, requirement: str, about: TaskRef | None = None) -> bool:
        """Fence, then check that nothing (about one task) has come that no expectation took; take it if it has."""
        with self.unresponsive_means(requirement):
            self.fence()
        found = self.waiting(about)
        for message in found:
            self.inbox.remove(message)
        happened = ", ".join(map(self.describe, found)) or "nothing"
        what = f"nothing about {about.name}" if about is not None else "nothing"
        return self.check(requirement, not found, f"{self.subject} sends {what} more", f"it sent {happened}")

    def fence(self) -> None:
        """Return when the subject has handled all that was sent to it, and all that it sent about it has come."""
        raise NotImplementedError

    @contextmanager
    def unresponsive_means(self, requirement: str) -> Iterator[None]:
        """Within: that a fence does not get through is a departure from this requirement; the outermost counts."""
        outer = self._fence_failure
        self._fence_failure = outer or requirement
        try:
            yield
        finally:
            self._fence_failure = outer

    def go_silent(self) -> None:
        """Echo no heartbeats and say nothing from now on; the connection stays."""
        self.echoes = False
        self.trace.append(Entry(self._step, SCHEDULER, SCHEDULER, None, FALLS_SILENT))

    def drop_connection(self) -> None:
        """Drop the connection and listen again at the same endpoint, as a scheduler that was restarted does."""
        endpoint = self.endpoint
        self._dropped_ids = set(self.routing_ids)
        self._poller.unregister(self._router)
        self._router.close(linger=0)
        self.trace.append(Entry(self._step, SCHEDULER, SCHEDULER, None, DROPS))
        self._open_router(endpoint)

    # --- time

    def wait_for(
        self,
        requirement: str,
        holds: Callable[[], bool],
        expected: str,
        happened: Callable[[], str],
        *,
        vital: bool = False,
    ) -> bool:
        """Check that a condition comes true before the deadline."""
        came = self._wait(holds)
        return self.check(requirement, came, expected, "" if came else happened(), vital=vital)

    @property
    def silence(self) -> float:
        """The scheduler time-out, in seconds, to ask for where the scheduler is to fall silent.

        As long as the suite waits for anything: however slow the machine, what comes before the silence comes in time.
        """
        return self._conversation.deadline

    def wait_out(self, noticed: Callable[[], bool]) -> None:
        """After `go_silent`: return when the subject has noticed it, or when `silence` is over and it must have."""
        end = time.monotonic() + self.silence
        with self._conversation.waiting() as waiting:
            while not noticed() and (left := end - time.monotonic()) > 0:
                waiting.go_on()
                self._pump(min(left, _LONGEST_POLL))

    def comes_to(self, count: Callable[[], int], wanted: int) -> bool:
        """Wait until a count has risen to this, or the subject has gone; whether it has. The deadline is for each step.

        How fast many things come is the machine's business.
        """
        while (seen := count()) < wanted and not self.gone:
            if not self._wait(lambda seen=seen: count() > seen or self.gone):  # type: ignore[misc]
                return False
        return count() >= wanted

    def expect_heartbeats(self, number: int, requirement: str, meanwhile: str = "", *, vital: bool = False) -> bool:
        """Check that so many more heartbeats come; how fast is not measured."""
        before = self.heartbeats
        came = self.comes_to(lambda: self.heartbeats, before + number)
        expected = f"{number} more heartbeats come{meanwhile}"
        return self.check(requirement, came, expected, f"{self.heartbeats - before} came", vital=vital)

    def poll_for(self, requirement: str, holds: Callable[[], bool], expected: str, happened: str) -> bool:
        """`wait_for` a condition of which no event tells, so that it must be asked again and again."""
        return self.check(requirement, self.asked_until(holds, _POLL_INTERVAL), expected, happened)

    def asked_until(self, holds: Callable[[], bool], interval: float) -> bool:
        """Ask until the answer is yes, or the deadline is there; the last answer. What does not come soon is asked for
        more and more seldom, at first every `interval` seconds.
        """
        begun = time.monotonic()
        deadline = begun + self._conversation.deadline
        with self._conversation.waiting() as waiting:
            while not (came := holds()) and (now := time.monotonic()) < deadline:
                waiting.go_on()
                pause = min(max(interval, (now - begun) * _OF_THE_WAIT), _LONGEST_POLL)
                self._pump(min(deadline - now, pause))
        return came

    def expect_usual_heartbeats(self, requirement: str) -> bool:
        """Check that the first heartbeat is followed by another well within the usual time-out.

        What comes at an interval that the implementation chooses may take longer than the deadline.
        """
        latest = time.monotonic() + _WELL_BELOW
        while not (came := self._wait(lambda: self.heartbeats >= 2)) and time.monotonic() < latest:
            pass
        expected = f"a second heartbeat comes within {_WELL_BELOW:g} s, half of the usual time-out"
        return self.check(requirement, came, expected, "it does not")

    def log_tail(self) -> str:
        return self.adapter.log_tail()

    def close(self) -> None:
        """Close the socket."""
        self._router.close(linger=0)

    def _wait(self, condition: Callable[[], bool]) -> bool:
        """Wait up to the deadline. Raises `AdapterFault` if the adapter is silent then: nothing can be said."""
        if self._wait_plainly(condition):
            return True
        probe = self._probe("ping")
        if not self._wait_plainly(lambda: probe.returned):
            raise self.adapter.silent()
        return condition()

    def _probe(self, command: str, **fields: Any) -> Call:
        """Send a command outside of what the case is about, and do not wait."""
        call = self.call(command, "", **fields)
        call.probe = True
        return call

    def _wait_plainly(self, condition: Callable[[], bool]) -> bool:
        deadline = time.monotonic() + self._conversation.deadline
        with self._conversation.waiting() as waiting:
            while not condition():
                waiting.go_on()
                if (left := deadline - time.monotonic()) <= 0:
                    return False
                self._pump(min(left, _LONGEST_POLL))
        return True

    def _pump(self, seconds: float) -> None:
        ready = dict(self._poller.poll(max(0, int(seconds * 1000) + 1)))
        if self._router in ready:
            self._receive()
        if self.adapter.output in ready:
            self._listen()

    def _receive(self) -> None:
        while True:
            try:
                routing_id, *frames = self._router.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            if routing_id not in self.routing_ids:
                self.routing_ids.append(routing_id)
                if len(self.routing_ids) > 1:
                    self._note(RETURNS)
            elif routing_id in self._dropped_ids and not self.resumed:
                self.resumed = True
                self._note(RESUMES)
            self._deliver(routing_id, frames)

    def _deliver(self, routing_id: bytes, frames: list[bytes]) -> None:
        try:
            if len(frames) != 1:
                raise wire.WireError("not one frame", f"{len(frames)} frames in one message")
            message = wire.decode(frames[0])
        except wire.WireError as error:
            self.trace.append(Entry(self._step, self.subject, SCHEDULER, None, f"unreadable: {error}"))
            if "member" in error.reason:
                return  # M3
            self.inbox.append(Unreadable(str(error)))
            if error.reason in NOT_FRAMING:
                return  # what it means is its case's business
            raise self.depart(
                "T2", f"expected: each message is one frame with one well-formed message; but it sent: {error}"
            ) from error
        heartbeat = isinstance(message, Heartbeats)
        self.trace.append(Entry(self._step, self.subject, SCHEDULER, message, fence=heartbeat))
        if not heartbeat:
            if not isinstance(message, ObjectInstruction):
                self.inbox.append(message)
            return
        self.heartbeats += 1
        if self.echoes:
            kind = ClientHeartbeatEcho if isinstance(message, ClientHeartbeat) else WorkerHeartbeatEcho
            echo = kind(self.storage)
            self.trace.append(Entry(self._step, SCHEDULER, self.subject, echo, fence=True))
            self._router.send_multipart([routing_id, self.write_echo(echo)])

    def _listen(self) -> None:
        for event in self.adapter.receive():
            if "id" in event:
                call = self._calls[event["id"]]
                if event["event"] == "unsupported" and not call.probe:
                    self.unsupported(f"its adapter does not support {call.text}", f"{call.command}()")
                call.answer = event
                if not call.quiet:
                    self._note(call.in_words, self._record_of_answer(call))
            else:
                notice = Notice(event["event"], event.get("task", ""), event.get("outcome", event.get("object_id", "")))
                if notice.task and notice.task not in self._told:
                    raise self.adapter.fault(f"{notice.kind} of the task {notice.task!r}, of which it was never told")
                self.notices.append(notice)
                self._note(f"{notice.task} {notice.kind} {notice.outcome}".rstrip(), self._record_of_notice(notice))
        if self.adapter.ended:
            self._poller.unregister(self.adapter.output)
            raise self.adapter.ended_early()

    def _rivals(self, message: Message) -> list[Incoming]:
        return [
            other for other in self.inbox if type(other) is type(message) and task_id_of(other) == task_id_of(message)
        ]

    def _note(self, event: str, record: EventRecord | None = None) -> None:
        self.trace.append(Entry(self._step, self.subject, self.subject, None, event, event=record))

    def _record_of_call(self, call: Call) -> EventRecord | None:
        """What a judge reads of a command that was given."""

    def _record_of_answer(self, call: Call) -> EventRecord | None:
        """What a judge reads of a command that was answered."""

    def _record_of_notice(self, notice: Notice) -> EventRecord | None:
        """What a judge reads of what the adapter told unasked."""

    def _open_router(self, endpoint: str) -> None:
        self._router = self._conversation.context.socket(zmq.ROUTER)
        for option in (zmq.SNDHWM, zmq.RCVHWM):
            self._router.setsockopt(option, 0)
        self._poller = zmq.Poller()
        self._poller.register(self._router, zmq.POLLIN)
        self._poller.register(self.adapter.output, zmq.POLLIN)
        self._watch_connections()
        while True:
            try:
                self._router.bind(endpoint)
                break
            except zmq.ZMQError as error:
                if error.errno != zmq.EADDRINUSE:
                    raise
                self._conversation.go_on()  # ZeroMQ is still closing the former socket
                self._router.poll(1)
        self.endpoint = self._router.get_string(zmq.LAST_ENDPOINT).rstrip("\0")

    def _watch_connections(self) -> None:
        """Called before anybody can connect, for those who want to know of connections."""
