"""What a scheduler or worker tells whoever watches it, over HTTP: `/status` as JSON, `/metrics` for Prometheus.

What is made of a status is made in the thread of the one who asks.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import logging
import re
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Final

from rescind.status_desk import StatusDesk
from rescind.status_metrics import CONTENT_TYPE, exposition

logger = logging.getLogger(__name__)

_PATIENCE: Final = 5.0
"""Seconds that a peer may take to ask."""
_MOST_AT_ONCE: Final = 8
"""Questions that are served at once; the next connection is closed."""
_PLACES: Final = "/status (JSON) and /metrics (Prometheus) are here\n"


class AddressUnusable(OSError):
    """The address for the status cannot be bound; the text names it and says why."""


class StatusServer:
    """Serves the status from threads of its own until it is closed."""

    def __init__(self, address: str, desk: StatusDesk) -> None:
        """Bind `address`, as 127.0.0.1:9363; port 0 takes a free one. Raises `ValueError`, `AddressUnusable`."""
        host, port = _parse(address)
        try:
            self._server = _Server((host, port), desk)
        except OSError as error:
            raise AddressUnusable(
                f"cannot serve the status at {address}: {error.strerror or error}. Choose another --status"
            ) from error
        bound, port = self._server.server_address[:2]
        name = f"[{bound!s}]" if ":" in str(bound) else str(bound)
        self.url = f"http://{name}:{port}"
        if not ipaddress.ip_address(str(bound)).is_loopback:
            logger.warning(
                "%s can be reached from other machines, without keys: whoever reaches it sees routing ids and figures, "
                "and nothing else. Serve the status at 127.0.0.1, or keep others out",
                self.url,
            )
        threading.Thread(target=self._server.serve_forever, name="rescind-status", daemon=True).start()

    def close(self) -> None:
        """Serve no more."""
        with contextlib.suppress(OSError):  # wakes it on Linux; elsewhere it looks twice a second
            self._server.socket.shutdown(socket.SHUT_RDWR)
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, place: tuple[str, int], desk: StatusDesk) -> None:
        if ":" in place[0]:
            self.address_family = socket.AF_INET6
        self.desk = desk
        self._free = threading.BoundedSemaphore(_MOST_AT_ONCE)
        super().__init__(place, _Handler)

    def server_bind(self) -> None:
        """Bind, and no more: the library's own asks the name service who this is, which can take half a minute."""
        TCPServer.server_bind(self)

    def process_request(self, request: socket.socket | tuple[bytes, socket.socket], client_address: object) -> None:
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(
        self, request: socket.socket | tuple[bytes, socket.socket], client_address: object
    ) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: object, client_address: object) -> None:
        logger.debug("somebody who asked for the status has gone: %s", client_address)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = _PATIENCE

    def setup(self) -> None:
        """Bound the whole of the question, too, so that nobody holds a place by a byte now and then."""
        super().setup()
        self._asked_by = threading.Timer(self.timeout, self._hang_up)
        self._asked_by.daemon = True
        self._asked_by.start()

    def finish(self) -> None:
        """The connection ends, whether it was asked anything or not."""
        self._asked_by.cancel()
        super().finish()

    def _hang_up(self) -> None:
        with contextlib.suppress(OSError):  # it has ended
            self.connection.shutdown(socket.SHUT_RDWR)

    def do_GET(self) -> None:
        """Answer one question."""
        self._asked_by.cancel()
        path = self.path.partition("?")[0]
        if path not in ("/status", "/metrics"):
            self._say(200 if path == "/" else 404, "text/plain; charset=utf-8", _PLACES.encode())
            return
        try:
            document = self.server.desk.ask()
        except TimeoutError as error:
            self._say(503, "text/plain; charset=utf-8", f"{error}\n".encode())
            return
        if path == "/metrics":
            self._say(200, CONTENT_TYPE, exposition(document))
        else:
            self._say(200, "application/json", json.dumps(document).encode())

    def _say(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Whoever asks each second must not fill the log."""
        logger.debug(format, *args)


def _parse(address: str) -> tuple[str, int]:
    found = re.fullmatch(r"\[([^\]]+)\]:(\d{1,5})|([^:]+):(\d{1,5})", address)
    if found is not None and (port := int(found[2] or found[4])) <= 0xFFFF:
        return found[1] or found[3], port
    raise ValueError(f"{address!r} is no address for the status: give one like 127.0.0.1:9363")
