"""What a scheduler shows of itself: the document of `/status`."""

from __future__ import annotations

from collections.abc import Callable
from heapq import nlargest
from typing import Final

from rescind.placement import WorkerRecord
from rescind.scheduler_machine import SchedulerMachine
from rescind.scheduler_tally import rounds
from rescind.scheduler_tasks import ClientRecord

_MOST_PEERS: Final = 1000
"""Of each role that are listed."""


def describe(machine: SchedulerMachine, now: float, name: Callable[[bytes], str]) -> dict[str, object]:
    """What the machine knows; in the thread that owns it. `now` as its events have it; `name` writes a routing id.

    It takes as long however many tasks there are, and grows with the peers: of each role, only those that have the most
    tasks are listed.
    """
    states, tally = machine.states, machine.tally
    ended = tally.ended()
    clients = [
        {
            "id": name(identity),
            "tasks": len(client.tasks),
            "graphs": len(client.graphs),
            "bytes": client.weight,
            "silent_seconds": round(now - client.last_seen, 3),
        }
        for identity, client in nlargest(_MOST_PEERS, machine.clients.items(), key=_load)
    ]
    workers = [
        {
            "id": name(identity),
            "tasks": len(worker.tasks),
            "queue_size": worker.queue_size,
            "silent_seconds": round(now - worker.last_seen, 3),
        }
        for identity, worker in nlargest(_MOST_PEERS, machine.workers.items(), key=_load)
    ]
    return {
        "phase": machine.phase,
        "tasks": states,
        "rounds": rounds(states),
        "graphs": machine.graphs,
        "accepted": sum(states.values()) + sum(ended.values()),
        "ended": ended,
        "cancels": tally.cancels(),
        "moves": tally.moves(),
        "held_bytes": sum(client.weight for client in machine.clients.values()),
        "peers": {"client": len(machine.clients), "worker": len(machine.workers)},
        "places": sum(worker.queue_size for worker in machine.workers.values()),
        "clients": clients,
        "workers": workers,
    }


def _load(peer: tuple[bytes, ClientRecord | WorkerRecord]) -> int:
    return len(peer[1].tasks)
