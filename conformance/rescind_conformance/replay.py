"""Plays a replay file against a scheduler: the same messages in the same order, and what it says to them."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from rescind import wire
from rescind.messages import Message
from rescind_conformance.findings import new_task_id
from rescind_conformance.peers import FakeWorker, Peer
from rescind_conformance.replay_file import CONNECTS, DIED, NO_ECHO, Step, UnreadableReplay
from rescind_conformance.trace import SCHEDULER, words
from rescind_conformance.verdicts import Departure
from rescind_conformance.world import World

Heard = dict[str, list[str]]
"""What each peer got in a step, in words."""

_GETS = re.compile(r"(?P<peer>[CW][0-9]+) gets (?P<what>.+)", re.DOTALL)
_SHORTEST_FRESH_ID = 8
"""Bytes. Shorter ids are parts of other texts, so they are left as they are."""
_LONG_WAIT = 8
"""So many fences in one step are the heartbeats of peers while the case waited for what only time brings."""


@dataclass(slots=True)
class Replayed:
    """What a replay has seen."""

    heard: list[Heard] = field(default_factory=list)
    """By step, as far as the replay came."""
    audited: set[str] = field(default_factory=set)
    """The requirements that the trace of the replay departs from."""


def play_steps(document: dict[str, Any], world: World) -> Replayed:
    """Do the steps of a replay file in a fresh world. Raises `UnreadableReplay`."""
    player = _Player(document, world)
    try:
        player.play()
    except (KeyError, TypeError, ValueError) as error:
        raise UnreadableReplay(f"step {len(player.seen.heard) + 1} cannot be done: {error!r}") from error
    return player.seen


def same_departures(document: dict[str, Any], seen: Replayed) -> list[bool]:
    """For each departure of the file, whether the replay has seen it again.

    A message that was missing is missing again, or one that should not have come has come again, by the end of the
    same step; one that was read off the trace is read off this one. Of every other: the subject said the same in that
    step.
    """
    recorded: list[Heard] = [step["heard"] for step in document["steps"]]
    return [_again(departure, recorded, seen) for departure in document["departures"]]


def differences(document: dict[str, Any], seen: Replayed) -> Iterator[str]:
    """Where the subject said something else than the recording's, a line for each peer and step."""
    for number, (step, heard) in enumerate(zip(document["steps"], seen.heard, strict=False), start=1):
        for peer in sorted({*step["heard"], *heard}):
            then, now = Counter(step["heard"].get(peer, [])), Counter(heard.get(peer, []))
            if then != now:
                yield f"step {number}, {peer}: recorded {_listed(then - now)}; now {_listed(now - then)} instead"
    if len(seen.heard) < len(document["steps"]):
        yield f"the replay ended after step {len(seen.heard)} of {len(document['steps'])}"


def _listed(messages: Counter[str]) -> str:
    return ", ".join(text if count == 1 else f"{text} ({count} times)" for text, count in messages.items()) or "nothing"


def _again(departure: dict[str, Any], recorded: list[Heard], seen: Replayed) -> bool:
    step = departure["step"]
    if departure["happened"].startswith(DIED):
        return any(DIED in heard.get(SCHEDULER, []) for heard in seen.heard)
    if not departure["expected"]:
        return departure["requirement"] in seen.audited
    match = _GETS.fullmatch(departure["expected"])
    if match is not None:
        then = _count(recorded, match["peer"], step)
        now = _count(seen.heard, match["peer"], step)
        if match["what"].startswith("nothing"):
            unwanted = [one for one in then if one in departure["happened"]]
            if unwanted:
                return all(now[one] >= then[one] for one in unwanted)
        elif " of " not in match["what"]:
            return now[match["what"]] <= then[match["what"]]
    return step < len(seen.heard) and _same(recorded[step], seen.heard[step])


def _same(one: Heard, other: Heard) -> bool:
    return all(Counter(one.get(peer, [])) == Counter(other.get(peer, [])) for peer in {*one, *other})


def _count(heard: list[Heard], peer: str, step: int) -> Counter[str]:
    return Counter(text for each in heard[: step + 1] for text in each.get(peer, []))


class _Player:
    def __init__(self, document: dict[str, Any], world: World) -> None:
        self._world = world
        self._steps: list[Step] = document["steps"]
        self._departures = document["departures"]
        self._peers: dict[str, Peer] = {}
        self._fresh: dict[str, str] = {}
        """Recorded ids and what stands for them now, in hexadecimal; both are equally long."""
        self._as_recorded = True
        """So far: then what is recorded is waited for."""
        self.seen = Replayed()
        self._rename(document["tasks"])

    def play(self) -> None:
        for number, step in enumerate(self._steps):
            begin = len(self._world.trace)
            failure = ""
            try:
                for action in step["do"]:
                    self._do(action)
                unanswered = [name for group in step["fences"][:_LONG_WAIT] for name in self._fence(group)]
                self._wait(number, begin)
            except Departure as departure:
                failure, unanswered = departure.text, []
            heard = self._heard(begin)
            for name in unanswered:
                heard.setdefault(name, []).append(NO_ECHO)
            if failure.startswith(DIED):
                heard.setdefault(SCHEDULER, []).append(DIED)
            self.seen.heard.append(heard)
            self._as_recorded = self._as_recorded and _same(step["heard"], heard)
            if failure:
                break
        self.seen.audited = {departure.requirement for departure in self._world.departures} | self._world.broken()

    def _do(self, action: dict[str, Any]) -> None:
        match action:
            case {"peer": name, "event": event} if event == CONNECTS:
                self._connect(name)
            case {"peer": name, "event": event}:
                self._world.happen(event, self._peers[name])
            case {"event": event}:
                self._world.happen(event)
            case {"peer": name, "queue_size": size}:
                peer = self._peers[name]
                assert isinstance(peer, FakeWorker)
                peer.queue_size = size
            case {"peer": name, "message": message}:
                self._peers[name].send(self._message(message), fence=False)
            case {"peer": name, "frames": frames, "note": note}:
                raw = [bytes.fromhex(self._renamed(frame)) for frame in frames]
                self._peers[name].send_frames(*raw, note=note, fence=False)

    def _connect(self, name: str) -> None:
        known = self._world.clients if name.startswith("C") else self._world.workers
        while len(known) < int(name[1:]):  # those that never said a word have no entry
            make = self._world.client if name.startswith("C") else self._world.worker
            peer = make(introduced=False)
            self._peers[peer.name] = peer

    def _message(self, recorded: dict[str, Any]) -> Message:
        for task_id in _task_ids(recorded):
            self._rename({"": task_id})
        for data in re.findall(r'"([0-9a-f]{64,})"', json.dumps(recorded)):
            self._rename_source(data)
        return wire.from_json(json.loads(self._renamed(json.dumps(recorded))))

    def _rename(self, tasks: dict[str, str]) -> None:
        for name, recorded in tasks.items():
            size = len(recorded) // 2
            if size >= _SHORTEST_FRESH_ID and recorded not in self._fresh:
                fresh = (new_task_id() * (size // 16 + 1))[:size]
                self._fresh[recorded] = fresh.hex()
                self._world.names[fresh] = name or f"task {recorded}"
            elif size < _SHORTEST_FRESH_ID:
                self._world.names.setdefault(bytes.fromhex(recorded), name or f"task {recorded}")

    def _rename_source(self, data: str) -> None:
        """A routing id of the recording, if it is one, stands for the peer's of that name."""
        if data in self._fresh:
            return
        parts = bytes.fromhex(data).split(b"|") if len(data) % 2 == 0 else []
        peer = self._peers.get(parts[1].decode(errors="replace")) if len(parts) == 3 else None
        if peer is not None and len(peer.routing_id) * 2 == len(data):
            self._fresh[data] = peer.routing_id.hex()
            old, new = (hashlib.md5(one).hexdigest() for one in (bytes.fromhex(data), peer.routing_id))
            self._fresh[old] = new

    def _renamed(self, text: str) -> str:
        for recorded, fresh in self._fresh.items():
            text = text.replace(recorded, fresh)
        return text

    def _fence(self, group: list[str]) -> list[str]:
        """Fence these peers; those that were not answered."""
        peers = [self._peers[name] for name in group if self._peers[name] in self._world.clients + self._world.workers]
        peers = [peer for peer in peers if not peer.socket.closed]
        self._world.fence(peers, unanswered_is_fine=True)
        late = [peer.name for peer in peers if peer.outstanding]
        for peer in peers:
            peer.outstanding = 0
        return late

    def _wait(self, number: int, begin: int) -> None:
        """Wait for what time brings: what is recorded, and what was missing although the case waited for it."""
        step = self._steps[number]
        waited = len(step["fences"]) > _LONG_WAIT
        fenced = {name for group in step["fences"] for name in group}
        unfenced = {action["peer"] for action in step["do"] if "peer" in action} - fenced  # such as a good-bye
        if not self._as_recorded or not (waited or unfenced):
            return  # the fences have shown that nothing more comes
        expected = [_GETS.fullmatch(one["expected"]) for one in self._departures if one["step"] == number]
        missing = [match for match in expected if waited and match and not match["what"].startswith("nothing")]

        def complete() -> bool:
            heard = self._heard(begin)
            recorded = all(
                not (Counter(texts) - Counter(heard.get(peer, [])) - Counter({NO_ECHO: len(texts)}))
                for peer, texts in step["heard"].items()
                if peer != SCHEDULER
            )
            return recorded and all(one["what"] in heard.get(one["peer"], []) for one in missing)

        if complete():
            return
        for name in fenced:
            self._peers[name].silent = False
        self._world.wait_until(complete)
        for name in fenced:
            self._peers[name].silent = True

    def _heard(self, begin: int) -> Heard:
        heard: Heard = {}
        for entry in self._world.trace[begin:]:
            if entry.sender == SCHEDULER and entry.receiver != SCHEDULER and not entry.fence:
                heard.setdefault(entry.receiver, []).append(words(entry, self._world.names))
        return heard


def _task_ids(value: Any) -> Iterator[str]:
    """Each `taskId` within a message's JSON."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == "taskId" and isinstance(inner, str):
                yield inner
            else:
                yield from _task_ids(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _task_ids(inner)
