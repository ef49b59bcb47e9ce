"""Played peers from the outside: processes that are given orders and give answers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rescind_conformance.benchmark.contestants import Running
from rescind_conformance.benchmark.player import KEYS, SILENCE_SECONDS
from rescind_conformance.benchmark.process_use import CpuTime, NotMeasurable, cpu_time
from rescind_conformance.process import Process
from rescind_conformance.subjects import signals_wait

_PACKAGE = "rescind_conformance.benchmark"


class BenchmarkFailed(Exception):
    """A subject did not do what is measured, or the driver could not; the text says what happened instead."""


class Peer(Process):
    """A process of played peers. For one thread."""

    def __init__(self, folder: Path, name: str, module: str, *arguments: str, keys: Path | None = None) -> None:
        self.name = name
        command = [sys.executable, "-m", f"{_PACKAGE}.{module}", *arguments]
        self.frame_bytes = 0
        """Of a client: the length of each Task that it submits."""
        # What a client of Scaler's needs to know; the others do not look at it.
        environment = {"SCALER_NETWORK_BACKEND": "zmq", **({} if keys is None else {KEYS: str(keys)})}
        super().__init__(command, folder / f"{name}.log", environment, piped=True)

    def ask(self, order: str, **arguments: Any) -> dict[str, Any]:
        """Give an order and wait for its answer. Raises `BenchmarkFailed`."""
        self.tell(order, **arguments)
        return self.hear()

    def tell(self, order: str, **arguments: Any) -> None:
        """Give an order. Raises `BenchmarkFailed` if the process has ended."""
        try:
            self.stdin.write(json.dumps({"order": order, **arguments}).encode() + b"\n")
            self.stdin.flush()
        except OSError:
            self.hear()  # its last words, if it had any

    def hear(self) -> dict[str, Any]:
        """Wait for the next answer. It comes: a peer gives a silent subject up. Raises `BenchmarkFailed`."""
        line = self.stdout.readline()
        if not line:
            self._ended()
        heard: dict[str, Any] = json.loads(line)
        if "failed" in heard:
            raise BenchmarkFailed(heard["failed"])
        return heard

    def cpu(self) -> CpuTime:
        """The CPU time that it has used so far."""
        return cpu_time(self.pid)

    def close(self) -> None:
        """End it. May be called again."""
        self.stop()
        self.stdin.close()
        self.stdout.close()

    def _ended(self) -> None:
        try:
            status = str(self.wait(1.0))
        except subprocess.TimeoutExpired:
            status = "unknown"
        raise BenchmarkFailed(f"the {self.name} process has ended, status {status}; its last lines:\n{self.log_tail()}")


class Cast:
    """The peers that play with one instance. Use as a context manager: it ends them all."""

    def __init__(self, running: Running, folder: Path, silence: float = SILENCE_SECONDS) -> None:
        self._running = running
        self._folder = folder
        self._silence = silence
        self._peers: list[Peer] = []

    def client(self, name: str = "client") -> Peer:
        """A client that is served. Raises `BenchmarkFailed`."""
        return self._add(name, "client_player", name, str(self._silence))

    def workers(self, number: int, queue_size: int) -> Peer:
        """So many registered workers in one process. Raises `BenchmarkFailed`."""
        return self._add("workers", "worker_player", str(number), str(queue_size))

    def leave(self) -> None:
        """Have all of them say good-bye. Raises `BenchmarkFailed`."""
        for peer in self._peers:
            peer.ask("leave")

    def close(self) -> None:
        """End all of them."""
        for peer in self._peers:
            peer.close()

    def _add(self, name: str, module: str, *arguments: str) -> Peer:
        with signals_wait():
            peer = Peer(self._folder, name, module, self._running.endpoint, *arguments, keys=self._running.keys)
            self._peers.append(peer)
        peer.frame_bytes = peer.ask("ready").get("frame_bytes", 0)
        return peer


@contextmanager
def playing(running: Running, folder: Path, silence: float = SILENCE_SECONDS) -> Iterator[Cast]:
    """The peers that play with one instance; they end with the block, however that ends.

    `folder` takes their logs. A failure in the block becomes one that quotes the scheduler, if that has ended.
    """
    cast = Cast(running, folder, silence)
    try:
        yield cast
        cast.leave()
    except (BenchmarkFailed, NotMeasurable) as failed:
        last_words = running.last_words()
        if not last_words:
            raise
        raise BenchmarkFailed(f"{failed}\nThe scheduler has ended; its last lines:\n{last_words}") from failed
    finally:
        cast.close()
