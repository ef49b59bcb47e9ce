"""Where orders for clients and workers are played: machines that are made for each, or processes behind adapters."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from typing import Any

import zmq

from rescind_conformance.case import Profile
from rescind_conformance.findings import Conversation
from rescind_conformance.races.bench import Bench
from rescind_conformance.races.broken import Tested
from rescind_conformance.races.client_machine import ClientMachine, ClientMachineWorld
from rescind_conformance.races.client_order import ClientOrder
from rescind_conformance.races.names import Names
from rescind_conformance.races.peer_order import PeerOrder
from rescind_conformance.races.worker_machine import WorkerMachine, WorkerMachineWorld
from rescind_conformance.races.worker_order import WorkerOrder
from rescind_conformance.subjects import Subject

ORDERS: dict[str, Callable[[Any, Names], PeerOrder[Any]]] = {"client": ClientOrder, "worker": WorkerOrder}
"""By role, what makes an order of a world."""


class MachineClients(Bench[ClientOrder]):
    """A new machine for each order."""

    def __init__(self, factory: Callable[[], ClientMachine], tested: Tested, known: Collection[str]) -> None:
        super().__init__()
        self.tested = tested
        self.known = known
        self._factory = factory

    def begin(self) -> ClientOrder:
        return ClientOrder(ClientMachineWorld(self._factory()), Names(""))

    def end(self, order: ClientOrder) -> None:
        """Nothing is left."""


class MachineWorkers(Bench[WorkerOrder]):
    """A new machine for each order, and for each time that it comes back."""

    def __init__(self, factory: Callable[[], WorkerMachine], tested: Tested, known: Collection[str]) -> None:
        super().__init__()
        self.tested = tested
        self.known = known
        self._factory = factory

    def begin(self) -> WorkerOrder:
        return WorkerOrder(WorkerMachineWorld(self._factory), Names(""))

    def end(self, order: WorkerOrder) -> None:
        """Nothing is left."""


class LivePeers(Bench[PeerOrder[Any]]):
    """A new adapter process for each order."""

    repeatable = False

    def __init__(self, subject: Subject, tested: Tested, known: Collection[str], deadline: float) -> None:
        """`deadline`: seconds after which what must come is taken as missing."""
        super().__init__()
        self.tested = tested
        self.known = known
        self._subject = subject
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._conversation = Conversation(self._context, deadline, threading.Event())

    def begin(self) -> PeerOrder[Any]:
        world = self._subject.open(self._conversation, Profile.DEFAULT, [Profile.DEFAULT])
        return ORDERS[self.tested.role](world, Names(""))

    def end(self, order: PeerOrder[Any]) -> None:
        self._subject.leave(order.world)

    def close(self) -> None:
        self._subject.close()
        self._context.destroy(linger=0)
