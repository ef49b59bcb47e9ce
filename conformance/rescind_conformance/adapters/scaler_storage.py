"""Where OpenGRIS Scaler keeps payloads: its object storage server, started for one adapter."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import sys
import threading
import traceback
from typing import NoReturn

os.environ["SCALER_NETWORK_BACKEND"] = "zmq"  # read by Scaler when it is used; its parts must agree

from scaler.client.serializer.default import DefaultSerializer
from scaler.config.types.address import AddressConfig
from scaler.entry_points import object_storage_server
from scaler.io.network_backends import get_network_backend_from_env
from scaler.utility.identifiers import ClientID, ObjectID
from scaler.utility.serialization import serialize_failure

from rescind_conformance.subjects import free_port

_STARTED = "ObjectStorageServer: started"
_TAKEN = "EADDRINUSE"


class _Server:
    """The server, forked while nothing but this module's caller runs here: what it needs is imported."""

    def __init__(self, url: str) -> None:
        output, theirs = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            _serve(url, theirs)
        os.close(theirs)
        self.output = os.fdopen(output, encoding="utf-8", errors="replace")
        self.said = ""
        """Until it had started, or ended."""
        for line in self.output:
            self.said += line
            if _STARTED in line:
                return
        os.waitpid(self._pid, 0)

    def stop(self) -> None:
        """End it. Once."""
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)


def _serve(url: str, output: int) -> NoReturn:
    """In the process of the server, which has nothing of the adapter's: the suite sees when that has ended."""
    try:
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((nothing, 0), (output, 1), (output, 2)):
            os.dup2(source, target)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        sys.argv = ["scaler_object_storage_server", url]
        object_storage_server.main()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(1)


class ScalerStorage:
    """The server, and a connection to it. The server ends with the adapter's process group, or by `close`."""

    def __init__(self) -> None:
        """Start the server and wait for it. To be made before there are threads."""
        while True:
            port = free_port()
            url = f"tcp://127.0.0.1:{port}"
            self._server = _Server(url)
            if _STARTED in self._server.said:
                break
            if _TAKEN not in self._server.said:  # by somebody who found the same port free
                raise RuntimeError(f"the object storage server did not start; it said: {self._server.said}")
        self.address = {"scheme": "tcp", "host": "127.0.0.1", "port": port}
        """As `hello` names it."""
        threading.Thread(target=self._server.output.read, daemon=True).start()  # so that it never blocks
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
        self._server.stop()

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
