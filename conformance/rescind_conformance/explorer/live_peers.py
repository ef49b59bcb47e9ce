"""The peers of a scenario, played against a scheduler that runs: one message at a time, each fenced."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from rescind.messages import (
    ArgumentType,
    ClientDisconnect,
    ClientHeartbeat,
    GraphTask,
    Message,
    Task,
    WorkerDisconnectNotification,
    WorkerHeartbeat,
)
from rescind_conformance.explorer.scenario import RawPlan, Scenario
from rescind_conformance.findings import new_task_id
from rescind_conformance.peers import FakeClient, FakeWorker, Peer, Unreadable, task_id_of
from rescind_conformance.world import World


class LivePeers:
    """Clients and workers of `World`, in the order of the scenario. What they say and hear has the scenario's task
    ids; on the wire each order has fresh ones. For one thread.
    """

    def __init__(self, scenario: Scenario, world: World) -> None:
        """Connect all peers; those that are no raw clients are introduced, one after another."""
        self.world = world
        self.peers: list[Peer] = []
        self.inputs: list[str] = []
        """What the scheduler was sent, in words."""
        self.left_over = False
        """Something came about tasks that are not of this order."""
        self._fresh = {task: new_task_id() for task in scenario.names}
        self._known = {fresh: task for task, fresh in self._fresh.items()}
        world.names |= {self._fresh[task]: name for task, name in scenario.names.items()}
        for client in scenario.clients:
            self._join(world.client(introduced=False), raw=isinstance(client, RawPlan))
        for worker in scenario.workers:
            self._join(world.worker(worker.queue_size, introduced=False))

    def _join(self, peer: Peer, *, raw: bool = False) -> None:
        """What comes of its first heartbeat for others, they hear when they are fenced next."""
        self.peers.append(peer)
        if not raw:
            peer.silent = False
            self.world.fence([peer])

    def say(self, position: int, message: Message) -> dict[int, list[Message]]:
        """Send a message of one peer, and wait until all that it causes has come: by peer, what that is.

        Raises `Departure` where the scheduler does not go on.
        """
        peer = self.peers[position]
        translated = _translated(message, self._fresh)
        self.inputs.append(f"S <- {peer.name}  {self.world.describe(translated)}")
        match message:
            case ClientDisconnect() if isinstance(peer, FakeClient):
                peer.send(translated, fence=False)
                self.world.fence([peer], unanswered_is_fine=True)
                peer.gone = True
                self.world.settle(rounds=1)
            case WorkerDisconnectNotification() if isinstance(peer, FakeWorker):
                peer.leave()
            case _:
                peer.silent = False
                if isinstance(translated, Task):
                    translated = replace(translated, source=peer.routing_id)
                if not isinstance(message, ClientHeartbeat | WorkerHeartbeat):  # whose fence is one
                    peer.send(translated, fence=False)
                self.world.fence([peer])
                self.world.settle(rounds=1, fenced=peer)
        return {number: heard for number, other in enumerate(self.peers) if (heard := list(self._heard(other)))}

    def _heard(self, peer: Peer) -> Iterator[Message]:
        for message in peer.inbox:
            task_id = task_id_of(message)
            if isinstance(message, Unreadable) or (task_id is not None and task_id not in self._known):
                self.left_over = True
            else:
                yield _translated(message, self._known)
        peer.inbox.clear()


def _translated(message: Message, ids: dict[bytes, bytes]) -> Message:
    """The message under the other task id, and if it is a graph, all that it names."""
    task_id = task_id_of(message)
    if isinstance(message, GraphTask):
        targets = tuple(ids.get(target, target) for target in message.targets)
        message = replace(message, targets=targets, graph=tuple(_translated_node(node, ids) for node in message.graph))
    return message if task_id not in ids else replace(message, task_id=ids[task_id])  # type: ignore[arg-type]


def _translated_node(node: Task, ids: dict[bytes, bytes]) -> Task:
    arguments = tuple(
        replace(each, data=ids.get(each.data, each.data)) if each.type == ArgumentType.TASK else each
        for each in node.function_args
    )
    return replace(node, task_id=ids.get(node.task_id, node.task_id), function_args=arguments)
