"""How a connection is bent that ZeroMQ makes again, under the same routing id, when it has dropped."""

from __future__ import annotations

from typing import Any

import zmq


def connecting_again(on_event: Any) -> Any:
    """For `SchedulerConnection._on_event`: once the connection was made nothing more is noticed."""
    return lambda self, event, value: None if self.made else on_event(self, event, value)


def reconnecting(setsockopt: Any) -> Any:
    """For `zmq.Socket.setsockopt`: ZeroMQ tries again by itself."""
    return lambda self, option, value: setsockopt(self, option, 20 if option == zmq.RECONNECT_IVL else value)
