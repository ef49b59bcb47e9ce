"""A real client of one of the systems, and the jobs that it does with it.

python -m rescind_conformance.benchmark.system_player KIND ENDPOINT SLOTS FOLDER
"""

from __future__ import annotations

import concurrent.futures
import importlib
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rescind_conformance.benchmark.player import Orders, PlayFailed, serve
from rescind_conformance.benchmark.process_use import resident_bytes
from rescind_conformance.benchmark.system_tasks import block, mark, same, stand

LIMIT_SECONDS = 120.0
"""How long a result may take. Only bounds a hang."""
_POLL_SECONDS = 0.001
_STAND_SECONDS = 60.0


class Client:
    """What the jobs need of a client: the same of each kind."""

    kills = True
    """Whether a task that runs can be cancelled."""
    cancels = True
    """Whether each task that waits can be cancelled."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Submit a call; its future."""
        return self._client.submit(function, *arguments)

    def results(self, futures: Sequence[Any]) -> list[Any]:
        """The results, when all are there."""
        return [future.result(timeout=LIMIT_SECONDS) for future in futures]

    def chunks(self, function: Callable[..., Any], numbers: Sequence[int], size: int) -> list[Any] | None:
        """`map` with so many calls in a task; None where there is no such thing."""
        return None

    def cancel(self, future: Any) -> None:
        """Cancel a task that waits. Raises `PlayFailed` if it is not cancelled."""
        future.cancel()
        if not future.cancelled():
            raise PlayFailed("a task that waits could not be cancelled")

    def kill(self, future: Any) -> None:
        """Cancel a task that runs. Raises `PlayFailed` if it is not cancelled."""
        self.cancel(future)


class ReferenceClient(Client):
    """Ours."""

    def __init__(self, endpoint: str, slots: int) -> None:
        import rescind

        super().__init__(rescind.Client(endpoint))

    def chunks(self, function: Callable[..., Any], numbers: Sequence[int], size: int) -> list[Any] | None:
        return list(self._client.map(function, numbers, chunksize=size))

    def kill(self, future: Any) -> None:
        future.cancel(force=True)
        if not future.cancelled():
            raise PlayFailed("a task that runs could not be cancelled with force")


class ScalerClient(Client):
    """Scaler's. Its cancel always has force."""

    def __init__(self, endpoint: str, slots: int) -> None:
        from scaler import Client as Scaler

        super().__init__(Scaler(address=endpoint))


class DaskClient(Client):
    """Dask's. Its cancel returns before the scheduler has heard of it, and does not end what runs."""

    kills = False

    def __init__(self, endpoint: str, slots: int) -> None:
        distributed: Any = importlib.import_module("distributed")  # typed or not, from release to release
        client = distributed.Client(endpoint)
        client.wait_for_workers(slots, timeout=LIMIT_SECONDS)
        super().__init__(client)

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return self._client.submit(function, *arguments, pure=False)

    def results(self, futures: Sequence[Any]) -> list[Any]:
        # One by one they would be fetched by a request each: nobody does that.
        return list(self._client.gather(list(futures)))


class Pool(Client):
    """A process pool of Python's: no scheduler, and what has been handed on is not cancelled."""

    kills = False
    cancels = False

    def __init__(self, endpoint: str, slots: int) -> None:
        super().__init__(concurrent.futures.ProcessPoolExecutor(slots))

    def chunks(self, function: Callable[..., Any], numbers: Sequence[int], size: int) -> list[Any] | None:
        return list(self._client.map(function, numbers, chunksize=size))


CLIENTS: Mapping[str, Callable[[str, int], Client]] = {
    "reference": ReferenceClient,
    "opengris-scaler": ScalerClient,
    "dask": DaskClient,
    "process-pool": Pool,
}


class Jobs:
    """The jobs, an order each. Each raises `PlayFailed` where a result is wrong."""

    def __init__(self, client: Client, slots: int, folder: Path) -> None:
        self._client = client
        self._slots = slots
        self._folder = folder
        self._names = 0

    def ready(self) -> dict[str, Any]:
        """Every slot has run something."""
        self._occupy()()
        return {}

    def many(self, tasks: int) -> dict[str, Any]:
        """Submit many tasks that do nothing, and wait for all results."""
        began = time.perf_counter()
        futures = [self._client.submit(same, number) for number in range(tasks)]
        results = self._client.results(futures)
        seconds = time.perf_counter() - began
        if results != list(range(tasks)):
            raise PlayFailed("wrong results")
        return {"seconds": seconds}

    def alone(self, tasks: int) -> dict[str, Any]:
        """One task after the other, each when the one before has its result; the milliseconds of each."""
        found = []
        for number in range(tasks):
            began = time.perf_counter()
            if self._client.results([self._client.submit(same, number)]) != [number]:
                raise PlayFailed("a wrong result")
            found.append((time.perf_counter() - began) * 1000)
        return {"milliseconds": found}

    def chunks(self, tasks: int, size: int) -> dict[str, Any]:
        """As `many`, by `map` with so many calls in a task."""
        began = time.perf_counter()
        results = self._client.chunks(same, range(tasks), size)
        seconds = time.perf_counter() - began
        if results is not None and results != list(range(tasks)):
            raise PlayFailed("wrong results")
        return {"seconds": seconds if results is not None else None}

    def steady(self, tasks: int, window: int) -> dict[str, Any]:
        """Many tasks, so many at once, each result read and let go: how memory grows from a tenth of them on."""
        futures: deque[Any] = deque()
        early = 0
        for number in range(tasks):
            futures.append(self._client.submit(same, number))
            if len(futures) == window:
                self._read_one(futures, number - window + 1)
            if number == tasks // 10:
                early = resident_bytes(os.getpid())
        while futures:
            self._read_one(futures, tasks - len(futures))
        return {"grown": resident_bytes(os.getpid()) - early, "finished": tasks - tasks // 10}

    def _read_one(self, futures: deque[Any], expected: int) -> None:
        if self._client.results([futures.popleft()]) != [expected]:
            raise PlayFailed("a wrong result")

    def cancel_queued(self, tasks: int) -> dict[str, Any]:
        """While every slot is taken, submit many tasks and cancel every other one, newest first; the rest then runs."""
        if not self._client.cancels:
            return {}
        ran_path = self._new_path()
        release = self._occupy()
        futures = [self._client.submit(mark, str(ran_path), number) for number in range(tasks)]
        canceled = range(tasks - 1 - tasks % 2, 0, -2)
        began = time.perf_counter()
        for number in canceled:
            self._client.cancel(futures[number])
        calls = time.perf_counter() - began
        release()
        left = sorted(set(range(tasks)) - set(canceled))
        results = self._client.results([futures[number] for number in left])
        seconds = time.perf_counter() - began
        ran = [int(line) for line in ran_path.read_text(encoding="ascii").split()]
        if results != left or len(ran) != len(set(ran)) or not set(left) <= set(ran):
            raise PlayFailed("a task that was not cancelled ran not once, or gave a wrong result")
        return {"calls": calls, "seconds": seconds, "canceled": len(canceled), "ran": len(set(ran) & set(canceled))}

    def cancel_running(self, count: int) -> dict[str, Any]:
        """Cancel a task that runs, again and again; the milliseconds until it is known to have ended."""
        if not self._client.kills:
            return {"milliseconds": []}
        found = []
        for _ in range(count):
            begun = self._new_path()
            future = self._client.submit(stand, str(begun), _STAND_SECONDS)
            _wait_for(begun)
            began = time.perf_counter()
            self._client.kill(future)
            found.append((time.perf_counter() - began) * 1000)
            if self._client.submit(same, 1).result(timeout=LIMIT_SECONDS) != 1:
                raise PlayFailed("a wrong result after a cancel")
        return {"milliseconds": found}

    def _occupy(self) -> Callable[[], None]:
        """Take every slot; call the answer to free them."""
        release = self._new_path()
        begun = [self._new_path() for _ in range(self._slots)]
        futures = [self._client.submit(block, str(path), str(release)) for path in begun]
        for path in begun:
            _wait_for(path)
        return partial(_release, release, futures)

    def _new_path(self) -> Path:
        self._names += 1
        return self._folder / f"file-{self._names}"


def _release(path: Path, futures: list[Any]) -> None:
    path.touch()
    for future in futures:
        future.result(timeout=LIMIT_SECONDS)


def _wait_for(path: Path) -> None:
    deadline = time.monotonic() + LIMIT_SECONDS
    while not path.exists():
        if time.monotonic() > deadline:
            raise PlayFailed("a task did not begin")
        time.sleep(_POLL_SECONDS)


def main() -> None:
    """Serve the orders on standard input."""
    kind, endpoint, slots, folder = sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4])
    orders = Orders()
    jobs = Jobs(CLIENTS[kind](endpoint, slots), slots, folder)
    serve(
        orders,
        {
            "ready": jobs.ready,
            "many": jobs.many,
            "alone": jobs.alone,
            "chunks": jobs.chunks,
            "steady": jobs.steady,
            "cancel queued": jobs.cancel_queued,
            "cancel running": jobs.cancel_running,
        },
    )


if __name__ == "__main__":
    main()
