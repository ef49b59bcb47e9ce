"""A run: episodes in several processes at once, until there were enough faults or it took long enough."""

from __future__ import annotations

import itertools
import json
import os
import selectors
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from rescind_conformance.faults.plan import KINDS
from rescind_conformance.process import SubjectUnavailable

_END_SECONDS: Final = 30.0
NO_DISK: Final = "this account may not mount one of its own. Run as root for that"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for."""

    seed: int
    faults: int | None
    """So many that took effect; None: `seconds` say."""
    seconds: float | None
    only: int | None
    """The number of the one episode that is played; None: they are counted from 0 on until it is enough."""
    per_episode: int
    jobs: int
    kinds: Sequence[str]
    output: Path
    """Where the folders of episodes go in which something was found."""


@dataclass(slots=True)
class Done:
    """What came of it."""

    episodes: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    """Faults that took effect."""
    in_time: int = 0
    """Those of them whose moment came."""
    counts: Counter[str] = field(default_factory=Counter)
    found: list[tuple[int, list[str]]] = field(default_factory=list)
    """Episodes in which something was found: their number, and what."""
    seconds: float = 0.0
    has_disk: bool = True

    @property
    def faults(self) -> int:
        """How many took effect."""
        return self.kinds.total()


class Run:
    """One run. For one thread."""

    def __init__(self, wanted: Wanted, on_episode: Callable[[Done], None]) -> None:
        self._wanted = wanted
        self._on_episode = on_episode
        self._numbers = itertools.count(wanted.only or 0)
        self.done = Done()

    def play(self) -> Done:
        """Until it is enough; every process has ended then. Raises `SubjectUnavailable`."""
        began = time.monotonic()
        with selectors.DefaultSelector() as selector, ExitStack() as stack:
            for _ in range(self._wanted.jobs):
                job = stack.enter_context(_job())
                assert job.stdout is not None
                selector.register(job.stdout, selectors.EVENT_READ, job)
            while selector.get_map():
                for key, _ in selector.select():
                    job = key.data
                    line = job.stdout.readline()
                    if not line:
                        raise SubjectUnavailable("a process that plays episodes has ended")
                    self._take(json.loads(line))
                    self.done.seconds = time.monotonic() - began
                    if self._enough():
                        selector.unregister(job.stdout)
                        job.stdin.close()
                    else:
                        self._give(job)
        return self.done

    def _take(self, said: dict[str, Any]) -> None:
        if "unavailable" in said:
            raise SubjectUnavailable(said["unavailable"])
        if "disk" in said:
            self.done.has_disk = self.done.has_disk and said["disk"]
            if not said["disk"] and {kind.target for kind in KINDS if kind.name in self._wanted.kinds} == {"store"}:
                raise SubjectUnavailable(f"no disk can be full: {NO_DISK}")
            return
        done = self.done
        done.episodes += 1
        done.kinds.update(said["kinds"])
        done.in_time += said["in_time"]
        done.counts.update(said["counts"])
        if said["told"]:
            done.found.append((said["episode"], said["told"]))
        self._on_episode(done)

    def _enough(self) -> bool:
        wanted = self._wanted
        if wanted.only is not None:
            return self.done.episodes > 0
        if wanted.faults is not None:
            return self.done.faults >= wanted.faults
        return wanted.seconds is not None and self.done.seconds >= wanted.seconds

    def _give(self, job: subprocess.Popen[str]) -> None:
        wanted = self._wanted
        order = {
            "seed": wanted.seed,
            "episode": next(self._numbers),
            "faults": wanted.per_episode,
            "kinds": list(wanted.kinds),
            "output": str(wanted.output.absolute()),
        }
        assert job.stdin is not None
        job.stdin.write(json.dumps(order) + "\n")
        job.stdin.flush()


@contextmanager
def _job() -> Iterator[subprocess.Popen[str]]:
    """A process that plays. At the end it is killed, and everything that it has started has ended."""
    reader, writer = os.pipe()
    job = subprocess.Popen(
        [sys.executable, "-m", "rescind_conformance.faults.job", str(writer), str(os.getpid())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        pass_fds=[writer],
        start_new_session=True,
    )
    os.close(writer)
    try:
        yield job
    finally:
        if job.stdin is None or not job.stdin.closed:
            job.kill()
        job.wait()
        # What it has started ends what it has started in turn, and has the other end open until then.
        with os.fdopen(reader, "rb") as stream, selectors.DefaultSelector() as selector:
            selector.register(stream, selectors.EVENT_READ)
            selector.select(_END_SECONDS)
