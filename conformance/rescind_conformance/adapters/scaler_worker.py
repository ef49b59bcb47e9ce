"""The adapter for the worker of OpenGRIS Scaler: `python -m rescind_conformance.adapters.scaler_worker`.

A worker has one process for tasks, so that it does not have the feature `processes`.
"""

from __future__ import annotations

import contextlib
import multiprocessing.connection
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from rescind_conformance.adapters.scaler_storage import ScalerStorage  # before Scaler: it chooses the transport

# isort: split
import cloudpickle
import psutil
from scaler.client.serializer.default import DefaultSerializer
from scaler.config import defaults
from scaler.config.types.address import AddressConfig
from scaler.utility.identifiers import ClientID, ObjectID
from scaler.worker.agent.processor.processor import Processor
from scaler.worker.worker import Worker

from rescind_conformance.adapters import lines
from rescind_conformance.adapters.bodies import BODIES, BodyWatch
from rescind_conformance.subjects import version_of

_LONG = 86_400
"""Seconds: the time-out where the suite gives none."""


class ScalerWorker:
    """The worker, the store that it uses, and what its tasks do."""

    def __init__(self) -> None:
        self._storage = ScalerStorage()
        self._watch = BodyWatch(Path(mkdtemp()), lines.say)
        self._worker: Worker | None = None

    def serve(self) -> None:
        """Obey the suite until it has gone."""
        hello = {
            "role": "worker",
            "name": "opengris-scaler",
            "version": version_of("opengris-scaler"),
            "features": ["timeouts", "release", "leave"],
            "storage": self._storage.address,
        }
        commands: dict[str, lines.Command] = {
            "start": self.start,
            "task": self.task,
            "release": self.release,
            "running": self.running,
            "stored": self.stored,
            "leave": self.leave,
            "exited": self.exited,
        }
        lines.serve(hello, commands, waiting={"leave"}, at_end=self.close)

    def start(
        self,
        endpoint: str,
        processes: int,
        queue_size: int,
        heartbeat_interval: float = defaults.DEFAULT_HEARTBEAT_INTERVAL_SECONDS,
        scheduler_timeout: float = _LONG,
    ) -> None:
        """Start a worker, with Scaler's defaults for all that the suite does not choose."""
        if processes != 1:
            raise lines.Unsupported
        self._worker = Worker(
            event_loop="builtin",
            name="conformance",
            address=AddressConfig.from_string(endpoint),
            object_storage_address=None,
            preload=None,
            capabilities={},
            io_threads=defaults.DEFAULT_IO_THREADS,
            task_queue_size=queue_size,
            heartbeat_interval_seconds=heartbeat_interval,
            garbage_collect_interval_seconds=defaults.DEFAULT_GARBAGE_COLLECT_INTERVAL_SECONDS,
            trim_memory_threshold_bytes=defaults.DEFAULT_TRIM_MEMORY_THRESHOLD_BYTES,
            task_timeout_seconds=defaults.DEFAULT_TASK_TIMEOUT_SECONDS,
            death_timeout_seconds=scheduler_timeout,
            hard_processor_suspend=defaults.DEFAULT_HARD_PROCESSOR_SUSPEND,
            logging_paths=defaults.DEFAULT_LOGGING_PATHS,
            logging_level=defaults.DEFAULT_LOGGING_LEVEL,
            worker_manager_id=b"conformance",
        )
        self._worker.start()

    def task(self, task: str, body: str, task_id: str, source: str) -> dict[str, Any]:
        """Store the client's serializer, the function and its arguments, as Scaler's client does."""
        client = ClientID(bytes.fromhex(source))
        serializer = DefaultSerializer()
        self._storage.put(ObjectID.generate_serializer_object_id(client), cloudpickle.dumps(serializer))
        values: list[Any] = [BODIES[body], self._watch.address, task]
        if body == "half":
            values.append(partial(store_as_result, bytes.fromhex(source), bytes.fromhex(task_id)))
        object_ids = []
        for value in values:
            object_id = bytes(ObjectID.generate_object_id(client))
            self._storage.put(object_id, serializer.serialize(value))
            object_ids.append(object_id.hex())
        return {"function_id": object_ids[0], "arguments": object_ids[1:]}

    def release(self, task: str) -> None:
        """Let a body go on."""
        self._watch.release(task)

    def running(self, task: str) -> dict[str, Any]:
        """Whether a process of the body exists."""
        return {"returned": self._watch.running(task)}

    def stored(self, object_id: str) -> dict[str, Any]:
        """Whether the store has an object."""
        return {"returned": self._storage.stored(bytes.fromhex(object_id))}

    def leave(self) -> None:
        """SIGTERM, as its worker manager does."""
        assert self._worker is not None
        self._worker.terminate()
        multiprocessing.connection.wait([self._worker.sentinel])
        self._watch.look()

    def exited(self) -> dict[str, Any]:
        """Whether the worker has ended."""
        ended = self._worker is not None and bool(multiprocessing.connection.wait([self._worker.sentinel], 0))
        self._watch.look()
        return {"returned": ended}

    def close(self) -> None:
        """End everything at once."""
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._storage.close()


def store_as_result(source: bytes, task_id: bytes, data: bytes) -> bytes:
    """Store data as the result of the task that runs here, as the worker's own code does; the object's id."""
    processor = Processor.get_current_processor()
    assert processor is not None
    return bytes(processor._Processor__store_result(ClientID(source), task_id, data))


def main() -> None:
    """Obey the suite."""
    lines.begin()
    ScalerWorker().serve()


if __name__ == "__main__":
    main()
