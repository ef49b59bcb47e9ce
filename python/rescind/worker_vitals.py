"""What a worker's heartbeat says of its machine and its processes.

Read from `/proc` where there is one; elsewhere what the standard library knows, and 0 for the rest.
"""

from __future__ import annotations

import os
import platform
import resource
import sys
import time
from pathlib import Path

from rescind.messages import ProcessorStatus, Resource, WorkerHeartbeat

_PAGE_BYTES = resource.getpagesize()
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_MAXIMUM_CPU = 0xFFFF
_PROC = Path("/proc")


class CpuMeter:
    """CPU use of processes between one look and the next. Not thread-safe."""

    nothing = Resource()

    def __init__(self) -> None:
        self._last: dict[int, tuple[float, float]] = {}

    def resource(self, pid: int) -> Resource:
        """Memory in bytes, and CPU since the last call for `pid` in tenths of a percent; zeros where unknown."""
        try:
            # The command's name stands in parentheses and may hold anything.
            fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            return self._own() if pid == os.getpid() else self.nothing
        seconds = (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND
        return Resource(cpu=self._use(pid, seconds), rss=int(fields[21]) * _PAGE_BYTES)

    def forget(self, pid: int) -> None:
        """The process has ended."""
        self._last.pop(pid, None)

    def _own(self) -> Resource:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        unit = 1 if sys.platform == "darwin" else 1024
        return Resource(cpu=self._use(os.getpid(), usage.ru_utime + usage.ru_stime), rss=usage.ru_maxrss * unit)

    def _use(self, pid: int, seconds: float) -> int:
        now = time.monotonic()
        seconds_before, then = self._last.get(pid, (seconds, now))
        self._last[pid] = (seconds, now)
        if now <= then:
            return 0
        return min(_MAXIMUM_CPU, max(0, round((seconds - seconds_before) / (now - then) * 1000)))


class Vitals:
    """Makes the heartbeat but for the fields that the machine fills in. Not thread-safe."""

    def __init__(self) -> None:
        self._cpu = CpuMeter()
        self._hostname = platform.node()

    def heartbeat(self, processors: tuple[ProcessorStatus, ...], latency_microseconds: int) -> WorkerHeartbeat:
        """A heartbeat of this moment."""
        memory = _memory()
        sent, received = _network()
        return WorkerHeartbeat(
            agent=self._cpu.resource(os.getpid()),
            rss_free=memory.get("MemAvailable", 0),
            latency_microseconds=min(latency_microseconds, 0xFFFFFFFF),
            processors=processors,
            mem_limit=memory.get("MemTotal", 0),
            hostname=self._hostname,
            net_sent_bytes=sent,
            net_recv_bytes=received,
        )


def _memory() -> dict[str, int]:
    """Sizes in bytes by the names of `/proc/meminfo`."""
    try:
        lines = (_PROC / "meminfo").read_text().splitlines()
    except OSError:
        return {}
    return {name: int(rest.split()[0]) * 1024 for name, _, rest in (line.partition(":") for line in lines)}


def _network() -> tuple[int, int]:
    """Bytes sent and received on all interfaces."""
    try:
        lines = (_PROC / "net/dev").read_text().splitlines()[2:]
    except OSError:
        return 0, 0
    numbers = [[int(number) for number in line.rpartition(":")[2].split()] for line in lines]
    return sum(row[8] for row in numbers), sum(row[0] for row in numbers)
