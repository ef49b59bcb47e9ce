"""A daemon thread that runs jobs one after another, in the order in which they were posted."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue

logger = logging.getLogger(__name__)

Job = Callable[[], object]


class SerialThread:
    """Runs what is posted to it; the thread starts with the first job. Every method is thread-safe.

    The client has one for done-callbacks, so that user code never runs in the thread that receives
    messages (C11.1), and one for the object store, whose writes may be slow.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._jobs: SimpleQueue[Job | None] | None = None
        self._thread: threading.Thread | None = None

    def post(self, job: Job) -> None:
        """Have `job` run; never waits for a job. What a job raises is logged, and the next one runs."""
        with self._lock:
            if self._jobs is None:
                self._jobs = SimpleQueue()
                self._thread = threading.Thread(target=_run, args=(self._jobs,), name=self._name, daemon=True)
                self._thread.start()
            self._jobs.put(job)

    def close(self) -> None:
        """Let the thread end after the jobs posted so far; does not wait. A later job starts another thread."""
        with self._lock:
            if self._jobs is not None:
                self._jobs.put(None)
                self._jobs = None

    def join(self) -> None:
        """Wait until the thread has ended; returns at once in that thread itself. Call `close` first."""
        with self._lock:
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()


def _run(jobs: SimpleQueue[Job | None]) -> None:
    while (job := jobs.get()) is not None:
        try:
            job()
        except BaseException:  # a job that raises SystemExit must not silence those that follow
            logger.exception("a job of %s failed", threading.current_thread().name)
        # Do not keep what the job held alive until the next one comes.
        del job
