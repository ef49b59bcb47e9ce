"""A world whose peers have plain connections."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import zmq

from rescind_conformance.explorer.plain_dealer import Dealers
from rescind_conformance.findings import Conversation
from rescind_conformance.world import Instance, World


class LiveWorld(World):
    """As `World`, without keys: each peer's connection is a `PlainDealer`."""

    def __init__(
        self, conversation: Conversation, instance: Instance, on_sent: Callable[[tuple[bytes, ...]], None]
    ) -> None:
        """`on_sent` is told of each message that a peer sends, before."""
        super().__init__(conversation, instance)
        self._dealers = Dealers(on_sent)
        self._poller = cast("zmq.Poller", self._dealers)

    def dealer(self) -> zmq.Socket[bytes]:
        return cast("zmq.Socket[bytes]", self._dealers.dealer())

    def _pump(self, seconds: float) -> bool:
        ready = self._dealers.poll(max(0, int(seconds * 1000) + 1))
        self._look()
        for dealer in ready:
            peer = self._peers[cast("zmq.Socket[bytes]", dealer)]
            for frames in dealer.receive():
                self._deliver(peer, frames)
        return bool(ready)
