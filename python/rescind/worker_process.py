"""The processes that run tasks, from their own side; `worker_pool` is the worker's side.

Three kinds, none of which ever holds a socket of the scheduler:

- The *server*, one a worker: has imported what is slow to import, and forks a guard on demand, so that
  a new process costs milliseconds. If a guard is killed, it ends what that would have ended.
- A *guard*, one a slot: forks the runner and waits. When the worker asks for it, or is gone (its end of
  the `lifeline` closes either way, also by `kill -9`), or the runner has died, it ends the runner and
  everything the runner ever started, and then itself. It does so from outside of the runner, since a
  function may hold the interpreter's lock for ever. On Linux not even a process that has made itself a
  session of its own escapes, because orphans come to the guard; elsewhere the runner's process group ends.
- A *runner*: runs one task after another in its main thread.

The worker takes the end of the lifeline for the end of the process (W2.2): it closes after the last descendant
was reaped, since guard and server both have it open.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import gc
import io
import os
import pickle
import select
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

from rescind.allow_list import AllowList
from rescind.messages import Argument, ArgumentType, ObjectStorageAddress, Task, TaskLogType, TaskResultType
from rescind.payloads import OwnersFormat, OwnFormat, PayloadFormat, format_of
from rescind.store import ObjectStore, StorageNotFound, UnsupportedStorage, is_of_scaler, open_store
from rescind.task_flags import read_flags, running_with
from rescind.task_output import sent_line_by_line

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
_PROC = Path("/proc")
IMPORT_SCALER = b"s"
"""To the server: processes that are forked later will use Scaler's storage."""
_OWN_FORMAT = OwnFormat()


@dataclass(frozen=True, slots=True)
class Ready:
    """A runner to the worker: I take tasks."""

    pid: int


@dataclass(frozen=True, slots=True)
class RunTask:
    """The worker to a runner: run `task` and store its result as `result_id`.

    A new `life` of the worker means that stores are opened anew.
    """

    task: Task
    result_id: bytes
    storage: ObjectStorageAddress
    life: bytes
    scheduler: str = ""
    """The endpoint that the worker is connected to."""


@dataclass(frozen=True, slots=True)
class TaskEnded:
    """A runner to the worker: the function returned or raised, and its result is stored."""

    task_id: bytes
    result_type: TaskResultType
    results: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class TaskWrote:
    """A runner to the worker: the function wrote this, and its client asked for it."""

    task_id: bytes
    log_type: TaskLogType
    content: str


def serve(control_descriptor: int, allowed: Sequence[str] | None = None) -> None:
    """The server: forks a guard for each message with two descriptors (lifeline, tasks), until the worker is gone.

    `allowed`: what tasks may run, if not everything (`AllowList`).
    At the message `IMPORT_SCALER` it imports what those need who find payloads in Scaler's storage. Returns when
    every guard has ended.
    """
    control = socket.socket(fileno=control_descriptor)
    control.set_inheritable(False)
    _name_process("rescind-server")
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    woken, wake = _woken_by_children()
    gc.freeze()  # what is shared with the children stays shared
    lifelines: dict[int, int] = {}
    """By guard."""
    watched: list[int | socket.socket] = [woken, control]
    while control in watched or lifelines:
        readable, _, _ = select.select(watched, [], [])
        if woken in readable:
            _drain(woken)
            _bury_guards(lifelines)
        if control not in readable:
            continue
        request, descriptors, _, _ = socket.recv_fds(control, 1, 2)
        if not request:
            watched.remove(control)
        elif request == IMPORT_SCALER:
            with contextlib.suppress(ImportError):  # who opens such a store is told
                import rescind.scaler_payloads
                import rescind.scaler_store
                import rescind.scaler_tasks  # noqa: F401
            gc.freeze()
        else:
            lifeline, tasks = descriptors
            guard = os.fork()
            if guard == 0:
                for descriptor in (control.fileno(), woken, wake, *lifelines.values()):
                    os.close(descriptor)
                _never_return(_guard, lifeline, tasks, allowed)
            lifelines[guard] = lifeline
            os.close(tasks)


def _woken_by_children() -> tuple[int, int]:
    """A pipe that is readable when a child has ended."""
    woken, wake = os.pipe()
    for end in (woken, wake):
        os.set_blocking(end, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    return woken, wake


def _drain(woken: int) -> None:
    with contextlib.suppress(BlockingIOError):
        os.read(woken, 4096)


def _bury_guards(lifelines: dict[int, int]) -> None:
    """Reap guards that have ended. What one leaves that was killed has come to this process, and is ended here."""
    buried = []
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0] != 0:
            guard, status = ended
            if guard in lifelines:
                buried.append(lifelines.pop(guard))
                while status and sys.platform == "linux" and _end_orphans(lifelines):
                    pass  # what they had started in turn comes here now
    for lifeline in buried:
        os.close(lifeline)


def _end_orphans(guards: Container[int]) -> bool:
    """Kill and reap the children that are no guards; whether there were any."""
    orphans = [pid for pid in _own_children() if pid not in guards]
    for pid in orphans:
        _kill(os.kill, pid)
        os.waitpid(pid, 0)
    return bool(orphans)


def _never_return(body: Callable[..., None], *arguments: Any) -> NoReturn:
    """What a forked process does: it must not run on into its parent's code."""
    status = 1
    try:
        body(*arguments)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def _guard(lifeline: int, tasks: int, allowed: Sequence[str] | None) -> None:
    os.setsid()  # Ctrl-C in the worker's terminal is for the worker
    _name_process("rescind-guard")
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    woken, wake = _woken_by_children()
    guard = os.getpid()
    runner = os.fork()
    if runner == 0:
        for descriptor in (lifeline, woken, wake):
            os.close(descriptor)
        _never_return(_runner, guard, tasks, allowed)
    os.close(tasks)
    ended = False
    while not ended:
        readable, _, _ = select.select([lifeline, woken], [], [])
        if lifeline in readable:
            break
        _drain(woken)
        ended = _reap(runner)
    _end_descendants(runner, ended)


def _reap(runner: int) -> bool:
    """Reap what has ended; whether the runner has."""
    ended = False
    with contextlib.suppress(ChildProcessError):
        while (pid := os.waitpid(-1, os.WNOHANG)[0]) != 0:
            ended = ended or pid == runner
    return ended


def _end_descendants(runner: int, runner_reaped: bool) -> None:
    """Kill the runner's group and whatever else has become a child of this process, until there is nothing."""
    adopts = sys.platform == "linux"
    while True:
        if not runner_reaped:
            _kill(os.kill, runner)  # perhaps before it has a group
        if not (runner_reaped and adopts):  # an id that was reaped may be another's by now
            _kill(os.killpg, runner)
        for pid in _own_children() if adopts else ():
            _kill(os.kill, pid)
        try:
            runner_reaped = os.waitpid(-1, 0)[0] == runner or runner_reaped
        except ChildProcessError:
            return


def _kill(kill: Callable[[int, int], None], pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        kill(pid, signal.SIGKILL)


def _own_children() -> list[int]:
    try:
        return [int(pid) for pid in (_PROC / "thread-self/children").read_text().split()]
    except OSError:  # a kernel without that file
        return [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit() and _parent(entry) == os.getpid()]


def _parent(entry: Path) -> int:
    try:
        return int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _runner(guard: int, tasks: int, allowed: Sequence[str] | None) -> None:
    os.setsid()
    _name_process("rescind-task")
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != guard:
        return
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True)  # a task that is ended loses no line
    connection = Connection(tasks)
    connection.send_bytes(pickle.dumps(Ready(os.getpid())))
    open_here = _OpenStore(None if allowed is None else AllowList(allowed))
    while True:
        try:
            order = pickle.loads(connection.recv_bytes())
        except EOFError:
            return
        assert isinstance(order, RunTask)
        try:
            store, payloads = open_here.of(order)
        except (StorageNotFound, UnsupportedStorage):
            traceback.print_exc()
            ended = TaskEnded(order.task.task_id, TaskResultType.FAILED, ())
        else:
            flags = read_flags(order.task.metadata)
            tell = functools.partial(_tell_written, connection, order.task.task_id) if flags.stream_output else None
            with running_with(flags.priority), sent_line_by_line(tell), _seen_by_scaler(order):
                ended = run_task(store, order.task, order.result_id, payloads)
        _flush()
        connection.send_bytes(pickle.dumps(ended))


def _seen_by_scaler(order: RunTask) -> contextlib.AbstractContextManager[None]:
    if not is_of_scaler(order.storage):
        return contextlib.nullcontext()
    from rescind.scaler_tasks import seen_by_scaler

    return seen_by_scaler(order.task, order.scheduler, order.storage)


def _tell_written(connection: Connection, task_id: bytes, log_type: TaskLogType, content: str) -> None:
    with contextlib.suppress(OSError):  # the worker is gone, and this process with it
        connection.send_bytes(pickle.dumps(TaskWrote(task_id, log_type, content)))


class _OpenStore:
    """The store that the runner has open, for as long as the worker's life lasts."""

    def __init__(self, allowed: AllowList | None) -> None:
        self._allowed = allowed
        self._open: tuple[ObjectStore, PayloadFormat] | None = None
        self._key: tuple[ObjectStorageAddress, bytes] | None = None

    def of(self, order: RunTask) -> tuple[ObjectStore, PayloadFormat]:
        """The store of an order and the format of what is in it. Raises as `open_store` does."""
        key = (order.storage, order.life)
        if self._open is None or self._key != key:
            if self._open is not None:
                former, self._open = self._open[0], None
                former.close()
            # Nobody releases an owner here: what the process stores need not be remembered.
            store = open_store(order.storage, remembers=False)
            self._open, self._key = (store, format_of(order.storage, store, self._allowed)), key
        return self._open


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # the function may have closed or replaced it
            stream.flush()


def run_task(store: ObjectStore, task: Task, result_id: bytes, payloads: PayloadFormat = _OWN_FORMAT) -> TaskEnded:
    """Run the task's function and store its result, or the exception that says why there is none (W3.2).

    Catches everything, `SystemExit` and `KeyboardInterrupt` included. If not even the exception can be
    stored, it is printed to standard error and the answer has no result object. A process that the
    function has forked does not come back from here: only this one answers for the task (W1.1).
    """
    runner = os.getpid()
    owner = payloads.of(task.source)
    dump, dump_exception = owner.dump, payloads.dump_exception
    try:
        value = _call(store, task, owner)
        if os.getpid() != runner:
            _end_fork(None)
        store.put(task.source, result_id, dump(value))
        return TaskEnded(task.task_id, TaskResultType.SUCCESS, (result_id,))
    except BaseException as error:
        if os.getpid() != runner:
            _end_fork(error)
        error.__traceback__ = _without_own_frames(error.__traceback__)
        try:
            store.put(task.source, result_id, dump_exception(error))
            return TaskEnded(task.task_id, TaskResultType.FAILED, (result_id,))
        except Exception:
            traceback.print_exc()
            return TaskEnded(task.task_id, TaskResultType.FAILED, ())


def _end_fork(error: BaseException | None) -> NoReturn:
    """End a process that the function has forked, as the interpreter would at the end of a program."""
    status = 0
    if isinstance(error, SystemExit):
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
    elif error is not None:
        traceback.print_exception(error)
        status = 1
    _flush()
    os._exit(status & 0xFF)


def _call(store: ObjectStore, task: Task, owner: OwnersFormat) -> Any:
    function = _read_object(store, task.func_object_id, "function", owner.load_function)
    arguments = [
        _read_object(store, _object_of(argument, position), f"argument {position}", owner.load)
        for position, argument in enumerate(task.function_args)
    ]
    return function(*arguments)


def _object_of(argument: Argument, position: int) -> bytes:
    if argument.type == ArgumentType.OBJECT_ID:
        return argument.data
    if argument.type == ArgumentType.TASK:
        raise ValueError(
            f"argument {position} names another task, as in a graph: this worker does not run graphs. "
            "Submit the tasks one by one and pass results as arguments"
        )
    raise ValueError(
        f"argument {position} is of type {int(argument.type)}, which this worker does not know: "
        "the client follows a later version of the protocol; upgrade the worker"
    )


def _read_object(store: ObjectStore, object_id: bytes, what: str, load: Callable[[bytes], Any]) -> Any:
    try:
        return load(store.get(object_id))
    except BaseException as error:
        error.add_note(f"This happened when the worker read the task's {what}.")
        raise


def _without_own_frames(trace: TracebackType | None) -> TracebackType | None:
    """The traceback from the function on; the whole of it if the function never came to run."""
    inner = trace
    while inner is not None and inner.tb_frame.f_code.co_filename == __file__:
        inner = inner.tb_next
    return inner or trace


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, ctypes.c_ulong(value), 0, 0, 0)


def _name_process(name: str) -> None:
    """Shown by `ps -o comm`."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_NAME, name.encode(), 0, 0, 0)
