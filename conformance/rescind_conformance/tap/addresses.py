"""ZeroMQ endpoints as addresses of sockets: `tcp://host:port` and `ipc://path`."""

from __future__ import annotations

import contextlib
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class BadEndpoint(ValueError):
    """It cannot be used as an endpoint; the text says why and what to write."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a socket listens or connects."""

    family: socket.AddressFamily
    place: Any
    """As the system's calls take it."""

    def make(self) -> socket.socket:
        """A new socket of its family."""
        return socket.socket(self.family, socket.SOCK_STREAM)

    def connect(self, near: socket.socket) -> None:
        """Connect a socket; raises `BlockingIOError` if that is under way, `OSError` if it cannot be."""
        near.connect(self.place)

    def listen(self, backlog: int) -> socket.socket:
        """A socket that listens. Raises `OSError`."""
        made = self.make()
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind(self.place)
            made.listen(backlog)
        except OSError:
            made.close()
            raise
        return made

    def bound(self, listener: socket.socket) -> str:
        """The endpoint of a socket that listens here: with the port that it was given."""
        name = listener.getsockname()
        if self.family == socket.AF_UNIX:
            return f"ipc://{name}"
        host = f"[{name[0]}]" if ":" in name[0] else name[0]
        return f"tcp://{host}:{name[1]}"

    def remove(self) -> None:
        """Remove what listening has left in the file system."""
        if self.family == socket.AF_UNIX:
            with contextlib.suppress(OSError):
                Path(self.place).unlink()


def address_of(endpoint: str, *, to_bind: bool = False) -> Address:
    """The address of an endpoint. Raises `BadEndpoint`."""
    scheme, separator, rest = endpoint.partition("://")
    if scheme == "ipc" and rest:
        return Address(socket.AF_UNIX, rest)
    host, colon, port = rest.rpartition(":")
    if scheme != "tcp" or not separator or not colon or not port.isdecimal() or int(port) > 65535 or not host:
        raise BadEndpoint(f"{endpoint!r} is no endpoint; give one like tcp://127.0.0.1:6378 or ipc:///run/rescind")
    if port == "0" and not to_bind:
        raise BadEndpoint(f"{endpoint!r}: nobody listens at port 0; give the port that the scheduler listens at")
    host = host.removeprefix("[").removesuffix("]")
    if host == "*":
        if not to_bind:
            raise BadEndpoint(f"{endpoint!r}: * is for listening; say which host")
        host = "0.0.0.0"
    try:
        family, _, _, _, place = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise BadEndpoint(f"{endpoint!r}: there is no host {host!r} ({error.strerror})") from error
    return Address(family, place)
