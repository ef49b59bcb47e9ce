"""What a process uses: CPU time of its threads, and memory. Linux only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


class NotMeasurable(Exception):
    """The system does not tell; the text says what is missing."""


@dataclass(frozen=True, slots=True)
class CpuTime:
    """CPU time, user and system, in seconds."""

    total: float
    """Of all threads: the one that handles messages, and ZeroMQ's own."""
    main: float
    """Of the main thread alone."""

    def __sub__(self, earlier: CpuTime) -> CpuTime:
        return CpuTime(self.total - earlier.total, self.main - earlier.main)


def cpu_time(pid: int) -> CpuTime:
    """What a process has used so far. Exact to microseconds, unlike /proc/PID/stat, which counts in ticks of 10 ms.

    Raises `NotMeasurable` if the process has ended, or on a system that keeps no such count.
    """
    total, main = 0, None
    try:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            try:
                used = int((thread / "schedstat").read_text(encoding="ascii").split()[0])
            except (ProcessLookupError, FileNotFoundError):
                continue  # a thread that has just ended
            total += used
            if thread.name == str(pid):
                main = used
    except OSError as error:
        raise NotMeasurable(
            f"CPU time of process {pid} cannot be read ({error}): it has ended, or is no Linux's"
        ) from error
    if main is None:
        raise NotMeasurable(
            f"CPU time of process {pid} cannot be read: it has ended, or this is no Linux with schedstat"
        )
    return CpuTime(total / 1e9, main / 1e9)


def resident_bytes(pid: int) -> int:
    """The memory of a process that is not shared with a file: what it has allocated and touched. Raises as above."""
    try:
        text = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError as error:
        raise NotMeasurable(
            f"memory of process {pid} cannot be read ({error}): it has ended, or this is no Linux"
        ) from error
    for line in text.splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise NotMeasurable(f"/proc/{pid}/status has no RssAnon: memory cannot be measured on this system")
