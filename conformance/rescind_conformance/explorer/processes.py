"""Work that several processes share: each takes one piece after another, and says how far it is and what came of it."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event
from typing import Any, Generic, TypeVar

from rescind_conformance.command_end import end_on_signals
from rescind_conformance.process import SubjectUnavailable

Work = TypeVar("Work")
Progress = TypeVar("Progress")
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class _Done:
    found: Any


@dataclass(frozen=True, slots=True)
class _Failed:
    unavailable: bool
    text: str


Do = TypeVar("Do")


@contextlib.contextmanager
def unprepared(do: Do) -> Iterator[Do]:
    """For a `Crew` whose processes need nothing: `partial(unprepared, do)`."""
    yield do


class Crew(Generic[Work, Progress, Found]):
    """Processes, each with a pipe: work goes in, progress and what came of it come out. For one thread.

    The first Ctrl-C lets `show` raise `KeyboardInterrupt` in each process at its next call: what comes of that piece
    is still yielded, and nothing new is begun. The second one ends all.
    """

    def __init__(
        self,
        prepare: Callable[[], AbstractContextManager[Callable[[Work, Callable[[Progress], None]], Found]]],
        work: Sequence[Work],
        count: int,
    ) -> None:
        """`prepare` opens in each process what all pieces need there, and gives the function that does a piece of work;
        this calls its second argument, `show`, now and then. Both are functions of a module. `count`: so many
        processes at most.
        """
        self._waiting = list(work)
        self.interrupted = False
        """Whether Ctrl-C has ended it."""
        # Not forked: a thread may hold a lock, and those of ZeroMQ would not come along.
        context = multiprocessing.get_context("spawn")
        self._interrupted = context.Event()
        self._processes: dict[Connection, BaseProcess] = {}
        for _ in range(min(count, len(work))):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, prepare, self._interrupted), daemon=True)
            process.start()
            theirs.close()
            self._processes[ours] = process

    def run(self, show: Callable[[Progress], None]) -> Iterator[Found]:
        """What comes of each piece, in the order in which they are done.

        Raises `SubjectUnavailable` as what they do does, and `ChildProcessError` if a process was killed or something
        else was raised there. No process is left when it ends.
        """
        try:
            for pipe in list(self._processes):
                self._give(pipe)
            while self._processes:
                for pipe in self._ready():
                    said = self._hear(pipe)
                    if isinstance(said, _Done):
                        self._give(pipe)
                        yield said.found
                    else:
                        show(said)
        finally:
            for process in self._processes.values():
                process.terminate()
            for process in self._processes.values():
                process.join()

    def _ready(self) -> list[Connection]:
        while True:
            try:
                return [each for each in wait(list(self._processes)) if isinstance(each, Connection)]
            except KeyboardInterrupt:
                if self.interrupted:
                    raise
                self.interrupted = True
                self._interrupted.set()
                self._waiting.clear()

    def _hear(self, pipe: Connection) -> Any:
        try:
            said = pipe.recv()
        except (EOFError, ConnectionResetError):  # the latter where it has not read what it was given
            raise self._ended(pipe) from None
        if isinstance(said, _Failed):
            raise SubjectUnavailable(said.text) if said.unavailable else ChildProcessError(said.text)
        return said

    def _give(self, pipe: Connection) -> None:
        """The next piece, or nothing more to do."""
        try:
            if self._waiting:
                pipe.send(self._waiting.pop(0))
            else:
                pipe.send(None)
                self._processes.pop(pipe).join()
        except BrokenPipeError:
            raise self._ended(pipe) from None

    def _ended(self, pipe: Connection) -> ChildProcessError:
        process = self._processes[pipe]
        process.join()
        return ChildProcessError(f"a process of this run has ended with exit code {process.exitcode}")


def _serve(
    pipe: Connection,
    prepare: Callable[[], AbstractContextManager[Callable[[Any, Callable[[Any], None]], Any]]],
    interrupted: Event,
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent says it
    end_on_signals()

    def show(progress: object) -> None:
        if interrupted.is_set():
            raise KeyboardInterrupt
        try:
            pipe.send(progress)
        except BrokenPipeError:  # the parent was killed
            raise SystemExit(1) from None

    with contextlib.suppress(EOFError, BrokenPipeError), contextlib.ExitStack() as opened:  # the parent was killed
        do = _attempt(lambda: opened.enter_context(prepare()))
        while (work := pipe.recv()) is not None:
            pipe.send(do if isinstance(do, _Failed) else _attempt(partial(do.found, work, show)))


def _attempt(action: Callable[[], Any]) -> _Done | _Failed:
    try:
        return _Done(action())
    except SubjectUnavailable as error:
        return _Failed(True, str(error))
    except Exception:
        return _Failed(False, f"a process of this run has failed:\n{traceback.format_exc()}")
