"""Where OpenGRIS Scaler keeps payloads: its object storage server, started for one adapter."""

from __future__ import annotations

import asyncio
import itertools
import os
import subprocess
import threading

os.environ["SCALER_NETWORK_BACKEND"] = "zmq"  # read by Scaler when it is used; its parts must agree

from scaler.client.serializer.default import DefaultSerializer
from scaler.config.types.address import AddressConfig
from scaler.io.network_backends import get_network_backend_from_env
from scaler.utility.identifiers import ClientID, ObjectID
from scaler.utility.serialization import serialize_failure

from rescind_conformance.subjects import console_script, free_port

_STARTED = "ObjectStorageServer: started"
_TAKEN = "EADDRINUSE"


def _start(url: str) -> tuple[subprocess.Popen[str], str]:
    """A server, and what it said until it had started, or ended."""
    server = subprocess.Popen(
        [console_script("scaler_object_storage_server"), url],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert server.stdout is not None
    said = ""
    for line in server.stdout:
        said += line
        if _STARTED in line:
            break
    else:
        server.wait()
    return server, said


class ScalerStorage:
    """The server, and a connection to it. The server ends with the adapter's process group, or by `close`."""

    def __init__(self) -> None:
        """Start the server and wait for it. Raises `SubjectUnavailable` if Scaler is not installed."""
        while True:
            port = free_port()
            url = f"tcp://127.0.0.1:{port}"
            self._server, said = _start(url)
            if _STARTED in said:
                break
            if _TAKEN not in said:  # by somebody who found the same port free
                raise RuntimeError(f"the object storage server did not start; it said: {said}")
        self.address = {"scheme": "tcp", "host": "127.0.0.1", "port": port}
        """As `hello` names it."""
        assert self._server.stdout is not None
        threading.Thread(target=self._server.stdout.read, daemon=True).start()  # so that it never blocks
        self._url = AddressConfig.from_string(url)
        self._backend = get_network_backend_from_env()
        self._connection = self._backend.create_sync_object_storage_connector(b"conformance", self._url)
        self._looks = itertools.count()

    def put_result(self, owner: bytes, text: str, *, error: bool) -> bytes:
        """Store a result of a task of `owner` as Scaler's worker does; the object's id."""
        object_id = ObjectID.generate_object_id(ClientID(owner))
        payload = serialize_failure(RuntimeError(text)) if error else DefaultSerializer.serialize(text)
        self._connection.set_object(object_id, payload)
        return bytes(object_id)

    def put(self, object_id: bytes, data: bytes) -> None:
        """Store an object."""
        self._connection.set_object(ObjectID(object_id), data)

    def stored(self, object_id: bytes) -> bool:
        """Whether the server has an object."""
        return asyncio.run(self._look(ObjectID(object_id)))

    def close(self) -> None:
        """End the server."""
        self._server.kill()
        self._server.wait()

    async def _look(self, object_id: ObjectID) -> bool:
        """Reading waits for an object that is not there, but the server answers in order.

        So what is not answered before the next question is not there.
        """
        connection = self._backend.create_async_object_storage_connector(f"look {next(self._looks)}".encode())
        try:
            await connection.connect(self._url)
            read = asyncio.create_task(connection.get_object(object_id))
            fence = asyncio.create_task(connection.info_get_total())
            while not fence.done():
                await connection.routine()
                await asyncio.sleep(0)
            there = read.done()
            read.cancel()
            return there
        finally:
            connection.destroy()
