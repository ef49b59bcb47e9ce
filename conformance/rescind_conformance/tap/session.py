"""One run of a tap: what passes is decided on in the relay's thread, and told in another, which may be slower."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from rescind import wire
from rescind.frame_shapes import Decoder
from rescind.messages import Message
from rescind.trace import PeerNames, TraceEvent, TraceRecord
from rescind_conformance.judge.records import SCHEDULER
from rescind_conformance.judge.tapped import CLOSED, OPENED, TAP
from rescind_conformance.tap.relay import Fate, Passage, Peer
from rescind_conformance.tap.rules import Rules, Sight


class Audience(Protocol):
    """Is told what passes, in the order in which it did, in the teller's thread."""

    def hear(self, record: TraceRecord | TraceEvent, remark: str) -> None:
        """A message or an event; `remark`: what was done to the message."""

    def unreachable(self) -> None:
        """A peer came, and the scheduler could not be reached."""


@dataclass(frozen=True, slots=True)
class _Said:
    time: float
    passage: Passage
    leg: str
    remark: str


class Session:
    """Implements the relay's `Watcher`. `close` may be called from any thread."""

    def __init__(self, rules: Rules, audience: Sequence[Audience]) -> None:
        """Start to tell the audience."""
        self._rules = rules
        self._audience = audience
        self._names = PeerNames()
        self._decoder = Decoder()
        self._remark = ""
        self._news: queue.SimpleQueue[_Said | TraceEvent | None] = queue.SimpleQueue()
        self._failed: Exception | None = None
        self.on_failure: Callable[[], None] = lambda: None
        """Called, in the teller's thread, when an audience has raised: nothing is told any more."""
        self._thread = threading.Thread(target=self._tell, name="tap-teller", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Return when everything is told. Raises what an audience raised."""
        self._news.put(None)
        self._thread.join()
        if self._failed is not None:
            raise self._failed

    def opened(self, peer: Peer) -> None:
        """Implements `Watcher`."""
        self._names.of(routing_id(peer))
        self._news.put(TraceEvent(time.monotonic(), TAP, OPENED, {"peer": routing_id(peer)}))

    def closed(self, peer: Peer, by_scheduler: bool) -> None:
        """Implements `Watcher`."""
        by = SCHEDULER if by_scheduler else "peer"
        self._news.put(TraceEvent(time.monotonic(), TAP, CLOSED, {"peer": routing_id(peer), "by": by}))

    def unreachable(self) -> None:
        """Implements `Watcher`."""
        self._news.put(TraceEvent(time.monotonic(), TAP, ""))

    def arrived(self, passage: Passage) -> Fate:
        """Implements `Watcher`."""
        self._remark = ""
        if not self._rules:
            return _GOES
        fate, self._remark = self._rules.decide(self._sight(passage))
        return fate

    def passed(self, passage: Passage, leg: str) -> None:
        """Implements `Watcher`."""
        if leg == "out":
            remark = "goes on" if passage.waits else "again"
        elif leg == "in" and not self._remark:
            remark = "waits behind another" if passage.waits else "its receiver has gone"
        else:
            remark = self._remark
        if self._audience:
            self._news.put(_Said(time.monotonic(), passage, leg, remark))
        if leg != "in" and self._rules:
            self._rules.passed(self._sight(passage))

    def _sight(self, passage: Passage) -> Sight:
        name = routing_id(passage.peer)
        return Sight(self._read(passage.frames, self._decoder)[0], self._names.of(name), name)

    def _tell(self) -> None:
        decoder = Decoder()
        while (one := self._news.get()) is not None:
            try:
                self._tell_one(one, decoder)
            except Exception as error:
                self._failed = error
                self.on_failure()
                return

    def _tell_one(self, one: _Said | TraceEvent, decoder: Decoder) -> None:
        if isinstance(one, TraceEvent):
            for each in self._audience:
                if one.event:
                    each.hear(one, "")
                else:
                    each.unreachable()
            return
        peer = routing_id(one.passage.peer)
        ends = (peer, SCHEDULER) if one.passage.to_scheduler else (SCHEDULER, peer)
        message, note = self._read(one.passage.frames, decoder)
        record = TraceRecord(one.time, *ends, message, note, TAP, one.leg)
        for each in self._audience:
            each.hear(record, one.remark)

    @staticmethod
    def _read(frames: tuple[bytes, ...], decoder: Decoder) -> tuple[Message | None, str]:
        return read_frames(frames, decoder.decode)


_GOES = Fate()


def read_frames(
    frames: tuple[bytes, ...], decode: Callable[[bytes], Message] = wire.decode
) -> tuple[Message | None, str]:
    """The message, or why it is none (M1, M3)."""
    if len(frames) != 1:
        return None, f"{len(frames)} frames in one message"
    try:
        return decode(frames[0]), ""
    except wire.WireError as error:
        return None, str(error)


def routing_id(peer: Peer) -> str:
    """A routing id as traces have it."""
    if not peer.routing_id:
        return f"connection {peer.number}"
    text = peer.routing_id.decode("ascii", "replace")
    return text if text.isprintable() else peer.routing_id.hex()
