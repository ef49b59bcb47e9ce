"""A tap between peers and scheduler that keeps what was said, and can make a cancel and a result cross."""

from __future__ import annotations

import threading
import time

from rescind.messages import WorkerHeartbeat
from rescind.trace import PeerNames, TraceRecord
from rescind_conformance.judge.records import SCHEDULER
from rescind_conformance.tap.addresses import address_of
from rescind_conformance.tap.relay import Fate, Passage, Peer, Relay
from rescind_conformance.tap.rules import Action, Rules, Sight, parse_rule
from rescind_conformance.tap.session import read_frames, routing_id

_MOST_RECORDED = 20_000
"""Messages of one scenario; of more, the first ones are kept."""
_CANCEL_TO_WORKER = "TaskCancel@W:1 until TaskResult"
_RESULT_TO_CLIENT = "TaskResult@C:1 until TaskCancel"


class Proxy:
    """Runs in a thread of its own until `close`. `mark`, `recorded` and what holds may be called from any thread."""

    def __init__(self, scheduler: str) -> None:
        """Stand in front of the scheduler at this endpoint; `endpoint` is where peers connect."""
        self._rules = Rules()
        self._names = PeerNames()
        self._lock = threading.Lock()
        self._records: list[tuple[float, Passage]] = []
        self.is_held = threading.Event()
        """Set when what was to be held back has come."""
        self._relay = Relay(address_of("tcp://127.0.0.1:0", to_bind=True), address_of(scheduler), self)
        self._rules.on_release = self._relay.look_again
        self.endpoint = self._relay.endpoint
        self._thread = threading.Thread(target=self._relay.run, name="interop-proxy", daemon=True)
        self._thread.start()

    def mark(self) -> None:
        """Forget what was recorded, and whatever was to be held back."""
        with self._lock:
            self._records.clear()
        self.is_held.clear()
        self._relay.run_soon(self._rules.clear)

    def hold_cancel(self) -> None:
        """Hold the next TaskCancel to a worker back until that task's TaskResult has passed: the two cross."""
        self._hold(_CANCEL_TO_WORKER)

    def hold_result(self) -> None:
        """Hold the next TaskResult to a client back until that task's TaskCancel has passed: the two cross."""
        self._hold(_RESULT_TO_CLIENT)

    def _hold(self, rule: str) -> None:
        self.is_held.clear()
        self._relay.run_soon(lambda: self._rules.add(parse_rule(Action.HOLD, rule)))

    def recorded(self) -> list[TraceRecord]:
        """What was said since `mark`, in the order in which it was passed on."""
        with self._lock:
            records = list(self._records)
        return [_record(at, passage) for at, passage in records]

    def workers(self) -> set[str]:
        """The routing ids of the workers that have sent a heartbeat since `mark`."""
        return {record.sender for record in self.recorded() if isinstance(record.message, WorkerHeartbeat)}

    def close(self) -> None:
        """End it. May be called again."""
        self._relay.stop()
        self._thread.join()

    def opened(self, peer: Peer) -> None:
        """Implements `Watcher`."""

    def closed(self, peer: Peer, by_scheduler: bool) -> None:
        """Implements `Watcher`."""

    def unreachable(self) -> None:
        """Implements `Watcher`."""

    def arrived(self, passage: Passage) -> Fate:
        """Implements `Watcher`."""
        fate = self._rules.decide(self._sight(passage))[0] if self._rules else Fate()
        if fate.held:
            self.is_held.set()
        return fate

    def passed(self, passage: Passage, leg: str) -> None:
        """Implements `Watcher`."""
        if leg == "in":
            return
        with self._lock:
            if len(self._records) < _MOST_RECORDED:
                self._records.append((time.monotonic(), passage))
        if self._rules:
            self._rules.passed(self._sight(passage))

    def _sight(self, passage: Passage) -> Sight:
        name = routing_id(passage.peer)
        return Sight(read_frames(passage.frames)[0], self._names.of(name), name)


def _record(at: float, passage: Passage) -> TraceRecord:
    peer = routing_id(passage.peer)
    ends = (peer, SCHEDULER) if passage.to_scheduler else (SCHEDULER, peer)
    return TraceRecord(at, *ends, *read_frames(passage.frames))
