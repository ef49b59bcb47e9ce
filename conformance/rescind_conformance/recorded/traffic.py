"""Recordings as files: what passed between a scheduler and its peers, as bytes, and what there is to say about it.

A recording is a folder of `protocol/recorded`: `manifest.json`, `frames.jsonl` and, unless it is of other software,
`message.capnp`, the schema of that version without its comments. `protocol/recorded/README.md` describes them.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rescind import wire
from rescind.messages import Message
from rescind.trace import TraceEvent, TraceRecord
from rescind_conformance.judge.records import SCHEDULER
from rescind_conformance.judge.tapped import TAP

MANIFEST, FRAMES, SCHEMA = "manifest.json", "frames.jsonl", "message.capnp"


@dataclass(frozen=True, slots=True)
class Passed:
    """A frame that passed, or (no frame) what else happened to a connection."""

    time: float
    """Seconds since the recording began."""
    peer: str
    """The routing id of the client or worker, as traces have it."""
    to_scheduler: bool = False
    frame: bytes = b""
    leg: str = ""
    """ "in": it came from its sender; "out": it went to its receiver; "": both at once."""
    event: str = ""
    """ "connection opened" or "connection closed"."""
    by: str = ""
    """Of a connection that was closed: "scheduler" or "peer"."""

    @property
    def at_scheduler(self) -> bool:
        """Whether the scheduler sent or got it at this moment."""
        return not self.event and self.leg != ("in" if self.to_scheduler else "out")

    @property
    def at_peer(self) -> bool:
        """Whether the peer sent or got it at this moment."""
        return not self.event and self.leg != ("out" if self.to_scheduler else "in")

    def traced(self, decode: Callable[[bytes], Message] = wire.decode) -> TraceRecord | TraceEvent:
        """It as a tap's trace has it."""
        if self.event:
            details = {"peer": self.peer} | ({"by": self.by} if self.by else {})
            return TraceEvent(self.time, TAP, self.event, details)
        ends = (self.peer, SCHEDULER) if self.to_scheduler else (SCHEDULER, self.peer)
        try:
            return TraceRecord(self.time, *ends, decode(self.frame), "", TAP, self.leg)
        except wire.WireError as error:
            return TraceRecord(self.time, *ends, None, str(error), TAP, self.leg)


@dataclass(frozen=True, slots=True)
class Recording:
    """One folder."""

    folder: Path
    manifest: dict[str, Any]
    passed: list[Passed]
    """In the order in which it passed the tap."""

    @property
    def name(self) -> str:
        """The folder's."""
        return self.folder.name

    @property
    def schema(self) -> Path | None:
        """The schema of that version; None if it is not kept."""
        path = self.folder / SCHEMA
        return path if path.exists() else None

    def frames(self) -> list[Passed]:
        """Each message once, when it came from its sender."""
        return [one for one in self.passed if not one.event and one.leg != "out"]


def recordings_directory() -> Path:
    """`protocol/recorded` of a checkout. Raises `FileNotFoundError` where there is none."""
    directory = wire.schema_directory() / "recorded"
    if not directory.is_dir():
        raise FileNotFoundError(f"{directory} is not there: recordings are part of a checkout, not of the package")
    return directory


def load_all() -> list[Recording]:
    """Every recording of the checkout, in the order of their names. Raises as `load` does."""
    return [load(manifest.parent) for manifest in sorted(recordings_directory().glob(f"*/{MANIFEST}"))]


def load(folder: Path) -> Recording:
    """The recording in a folder. Raises `OSError`, or `ValueError` for what is none."""
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    lines = (folder / FRAMES).read_text(encoding="utf-8").splitlines()
    return Recording(folder, manifest, [_read(json.loads(line)) for line in lines])


def save(folder: Path, manifest: dict[str, Any], passed: Sequence[Passed], schema: str | None) -> None:
    """Write a recording. `schema`: the text of that version's `message.capnp`. Raises `OSError`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    lines = [json.dumps(_written(one), separators=(",", ":")) + "\n" for one in passed]
    (folder / FRAMES).write_text("".join(lines), encoding="utf-8")
    if schema is not None:
        bare = (line.partition("#")[0].rstrip() for line in schema.splitlines())
        (folder / SCHEMA).write_text("".join(f"{line}\n" for line in bare if line), encoding="utf-8")


def _written(one: Passed) -> dict[str, Any]:
    value: dict[str, Any] = {"time": round(one.time, 4), "peer": one.peer}
    if one.event:
        return value | {"event": one.event} | ({"by": one.by} if one.by else {})
    value |= {"to": SCHEDULER if one.to_scheduler else "peer"} | ({"leg": one.leg} if one.leg else {})
    return value | {"frame": base64.b64encode(one.frame).decode()}


def _read(value: dict[str, Any]) -> Passed:
    try:
        if "event" in value:
            return Passed(value["time"], value["peer"], event=value["event"], by=value.get("by", ""))
        frame = base64.b64decode(value["frame"], validate=True)
        return Passed(value["time"], value["peer"], value["to"] == SCHEDULER, frame, value.get("leg", ""))
    except (KeyError, TypeError) as error:
        raise ValueError(f"{value!r} is no line of a recording: {error}") from error
