"""Which peers of a run that was seen from outside have certainly got all that they were sent.

A fence (SPEC.md, section 7) shows it: a heartbeat that a peer sends when everything else that is in the run was
handled, and its echo. What was sent to the peer before the echo has come before it; what the scheduler did afterwards
need not be in a behaviour that explains the run, since nobody has seen anything of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rescind_conformance.model.recorded_run import Run, Said, Step

_HEARTBEATS = ("ClientHeartbeat", "WorkerHeartbeat")
_ANSWERS: tuple[Said, ...] = (
    ("ClientHeartbeatEcho",),
    ("WorkerHeartbeatEcho",),
    ("ClientDisconnect", "disconnect"),  # S9.6, S9.8, S11.5
)


@dataclass(frozen=True, slots=True)
class _Fence:
    """The positions of a heartbeat, and of its answer."""

    sent: int
    answered: int


def close_fenced_lanes(run: Run) -> None:
    """Say of each lane (`Lane.open`) whether all that was sent on it has been seen."""
    steps = sorted((step for lane in run.lanes for step in lane.steps), key=lambda step: step.position)
    answers: set[int] = set()
    fences = {peer: list(_fences(peer, steps, answers)) for peer in run.peers}
    last_seen = max((step.position for step in steps if step.kind == "to" and step.position not in answers), default=0)
    for peer in run.peers:
        is_fenced = bool(fences[peer]) and _is_last(peer, fences[peer][-1].sent, steps, fences)
        run.lanes[run.into[peer]].open = not (is_fenced and fences[peer][-1].sent > last_seen)


def _fences(peer: str, steps: list[Step], answers: set[int]) -> Iterator[_Fence]:
    """The fences of a peer. The positions of the answers are added to `answers`."""
    unanswered: list[int] = []
    for step in steps:
        if step.peer != peer:
            continue
        if step.kind == "from" and step.said[0] in _HEARTBEATS:
            unanswered.append(step.position)
        elif step.kind == "to" and step.said in _ANSWERS and unanswered:
            answers.add(step.position)
            yield _Fence(unanswered.pop(0), step.position)


def _is_last(peer: str, heartbeat: int, steps: list[Step], fences: dict[str, list[_Fence]]) -> bool:
    """Whether what others have sent was handled before this heartbeat was sent, if it certainly was at all."""
    for step in steps:
        if step.kind != "from" or step.peer == peer or step.said[0] in _HEARTBEATS:
            continue
        fence = next((each for each in fences[step.peer] if each.sent > step.position), None)
        if fence is not None and fence.answered > heartbeat:
            return False
    return True
