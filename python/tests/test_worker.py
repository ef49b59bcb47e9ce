"""A real worker with real processes; the test is the scheduler, a plain ROUTER.

How a test knows where things stand without a clock: a TaskCancel for a task that nobody has is answered at
once and in order, which fences what the worker does in its own loop; and a task's function reports through
a named pipe that it has begun.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import re
import select
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

import cloudpickle
import psutil
import pytest
import zmq

from rescind import wire
from rescind.messages import (
    Argument,
    ArgumentType,
    CancelConfirmType,
    ClientDisconnect,
    DisconnectType,
    Message,
    ObjectStorageAddress,
    Task,
    TaskCancel,
    TaskCancelConfirm,
    TaskResult,
    TaskResultType,
    WorkerDisconnectNotification,
    WorkerHeartbeat,
    WorkerHeartbeatEcho,
)
from rescind.payloads import argument_object_id, dump, function_object_id, load
from rescind.store import ObjectMissing, SqliteStore
from rescind.worker import Worker
from rescind.worker_machine import Farewell, WorkerSettings
from rescind.worker_pool import CannotStartProcesses

# The functions below travel whole: the worker's processes cannot import this module.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

OWNER = b"Client|test|1"
HANG = 20.0
"""Seconds; only bounds how long a failing test takes."""
CANCELED = CancelConfirmType.CANCELED
REFUSED = CancelConfirmType.CANCEL_FAILED
NOT_FOUND = CancelConfirmType.CANCEL_NOT_FOUND
SUCCESS, FAILED, DIED = TaskResultType.SUCCESS, TaskResultType.FAILED, TaskResultType.FAILED_WORKER_DIED


class FakeScheduler:
    """Answers heartbeats and hands everything else to the test."""

    def __init__(self, directory: Path) -> None:
        path = directory / "objects.sqlite"
        self.store = SqliteStore(path)
        self.calls_stored: set[bytes] = set()
        self.storage: ObjectStorageAddress | None = ObjectStorageAddress(str(path), 0, "sqlite")
        self.worker = b""
        """Who spoke last."""
        self.heartbeat = WorkerHeartbeat()
        self.bind("tcp://127.0.0.1:0")

    def bind(self, endpoint: str) -> None:
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.router = self.context.socket(zmq.ROUTER)
        self.router.setsockopt(zmq.LINGER, 0)
        self.router.bind(endpoint)
        self.endpoint = self.router.getsockopt_string(zmq.LAST_ENDPOINT).rstrip("\0")

    def unbind(self) -> None:
        self.router.close()
        self.context.term()  # the endpoint is free when it returns

    def close(self) -> None:
        self.unbind()
        self.store.close()

    def hear(self, seconds: float = HANG) -> Message:
        """The next message, whatever it is."""
        assert self.router.poll(int(seconds * 1000)), "the worker is silent"
        self.worker, frame = self.router.recv_multipart()
        message = wire.decode(frame)
        if isinstance(message, WorkerHeartbeat):
            self.heartbeat = message
            if self.storage is not None:
                self.say(WorkerHeartbeatEcho(self.storage))
        return message

    def next(self) -> Message:
        """The next message that is no heartbeat."""
        deadline = time.monotonic() + HANG
        while isinstance(message := self.hear(), WorkerHeartbeat):
            assert time.monotonic() < deadline, "the worker sends nothing but heartbeats"
        return message

    def await_life(self, former: bytes = b"") -> bytes:
        """The routing id of the life that follows `former`; it speaks first of all by a heartbeat (W5.1)."""
        deadline = time.monotonic() + HANG
        while time.monotonic() < deadline:
            message = self.hear()
            if self.worker != former:
                assert isinstance(message, WorkerHeartbeat)
                return self.worker
        raise AssertionError("the worker does not come back")

    def results_stored(self) -> int:
        return self.store.count() - len(self.calls_stored)

    def say(self, message: Message) -> None:
        self.router.send_multipart([self.worker, wire.encode(message)])

    def cancel(self, task_id: bytes, *, force: bool = False) -> None:
        self.say(TaskCancel(task_id, force))

    def submit(self, function: Callable[..., Any], *arguments: Any, task_id: bytes | None = None) -> bytes:
        pickled = dump(function)
        function_id = function_object_id(OWNER, pickled)
        self.store.put(OWNER, function_id, pickled)
        self.calls_stored.add(function_id)
        passed = []
        for argument in arguments:
            object_id = argument_object_id(OWNER)
            self.store.put(OWNER, object_id, dump(argument))
            self.calls_stored.add(object_id)
            passed.append(Argument(ArgumentType.OBJECT_ID, object_id))
        task = Task(task_id or uuid.uuid4().bytes, OWNER, b"", function_id, tuple(passed))
        self.say(task)
        return task.task_id

    def expect_result(self, task_id: bytes, result_type: TaskResultType) -> Any:
        message = self.next()
        assert isinstance(message, TaskResult), message
        assert (message.task_id, message.result_type) == (task_id, result_type)
        return load(self.store.get(message.results[0])) if message.results else None

    def expect_confirm(self, task_id: bytes, confirm_type: CancelConfirmType) -> None:
        assert self.next() == TaskCancelConfirm(task_id, confirm_type)

    def fence(self) -> None:
        """Everything said so far has been handled, and nothing was sent about it that is not received."""
        nobodys = uuid.uuid4().bytes
        self.cancel(nobodys)
        self.expect_confirm(nobodys, NOT_FOUND)


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[FakeScheduler]:
    made = FakeScheduler(tmp_path)
    yield made
    made.close()


@contextmanager
def working(
    scheduler: FakeScheduler, processes: int = 1, heartbeat_interval: float = 0.05, scheduler_timeout: float = 60.0
) -> Iterator[Worker]:
    """A worker in a thread, which has made itself known; it leaves at the end and nothing of it remains."""
    settings = WorkerSettings(processes=processes, scheduler_timeout=scheduler_timeout)
    worker = Worker(scheduler.endpoint, settings, name="test", heartbeat_interval=heartbeat_interval)
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(worker.run)
        try:
            scheduler.await_life()
            yield worker
        finally:
            worker.stop()
            running.result(HANG)
    assert_nothing_left()


def assert_nothing_left() -> None:
    assert not children_of(os.getpid())


def children_of(pid: int) -> list[int]:
    """Its child processes, without the one that multiprocessing may have started for other tests."""
    tracker = resource_tracker._resource_tracker._pid  # type: ignore[attr-defined]
    return [child.pid for child in psutil.Process(pid).children() if child.pid != tracker]


class Reports:
    """A named pipe into which functions of tasks write what the test is to know."""

    def __init__(self, directory: Path) -> None:
        self.path = str(directory / "reports")
        os.mkfifo(self.path)
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_NONBLOCK)
        self._unread = b""

    def next(self) -> Any:
        while b"\n" not in self._unread:
            assert select.select([self._descriptor], [], [], HANG)[0], "the function does not report"
            self._unread += os.read(self._descriptor, 4096)
        line, _, self._unread = self._unread.partition(b"\n")
        return json.loads(line)

    def none(self) -> bool:
        return not self._unread and not select.select([self._descriptor], [], [], 0)[0]

    def close(self) -> None:
        os.close(self._descriptor)


@pytest.fixture
def reports(tmp_path: Path) -> Iterator[Reports]:
    made = Reports(tmp_path)
    yield made
    made.close()


def exists(pid: int) -> bool:
    """Whether there is such a process, a zombie included."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until_ended(pids: list[int]) -> None:
    """Until each of them has ended, if only as a zombie of a parent that does not look."""
    deadline = time.monotonic() + HANG
    for pid in pids:
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            assert select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))[0], f"{pid} lives on"
        finally:
            os.close(descriptor)


# What the tasks do ----------------------------------------------------------------------------------------------


def report(path: str, value: Any) -> None:
    with open(path, "w", encoding="utf-8") as pipe:
        pipe.write(json.dumps(value) + "\n")


def run_for_ever(path: str) -> None:
    report(path, os.getpid())
    while True:
        pass


def hold_the_interpreter_for_ever(path: str) -> None:
    report(path, os.getpid())
    re.match(r"(a|a)+$", "a" * 100 + "b")  # no other thread of the process gets to run


def run_for_ever_with_family(path: str) -> None:
    """A child in the same group, one in a session of its own, and an orphan in a session of its own."""
    sleep = [sys.executable, "-c", "import time; time.sleep(1000)"]
    script = f"import subprocess; print(subprocess.Popen({sleep!r}, start_new_session=True, stdout=-3).pid)"
    near = subprocess.Popen(sleep).pid
    far = subprocess.Popen(sleep, start_new_session=True).pid
    orphan = int(subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, check=True).stdout)
    report(path, [os.getpid(), os.getppid(), near, far, orphan])
    while True:
        pass


def wait_for_permission(path: str, permission: str) -> str:
    report(path, os.getpid())
    with open(permission, encoding="utf-8") as pipe:
        return pipe.read()


def leave_half_a_result(path: str, store: str, then_die: bool) -> None:
    frame = inspect.currentframe()
    while frame is not None and "result_id" not in frame.f_locals:
        frame = frame.f_back
    assert frame is not None, "nothing knows under which id the result will be stored"
    SqliteStore(store, create=False).put(OWNER, frame.f_locals["result_id"], b"half")
    report(path, os.getpid())
    if then_die:
        os._exit(3)
    while True:
        pass


def fork_and_return_in_both() -> str:
    return "child" if os.fork() == 0 else "parent"


def fork_and_exit_in_the_child() -> int:
    child = os.fork()
    if child == 0:
        sys.exit(7)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def write_to_every_socket() -> None:
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                os.write(int(name), b"\x01")


def stop_own_process_afterwards(permission: str) -> int:
    """Another thread stops the whole process, long after this function has returned."""

    def stop() -> None:
        with open(permission, encoding="utf-8") as pipe:
            pipe.read()
        os.kill(os.getpid(), signal.SIGSTOP)

    threading.Thread(target=stop).start()
    return os.getpid()


class HomeMade(Exception):
    """An exception that only the client knows."""


def raise_home_made() -> None:
    raise HomeMade("of the client's")


def process_id() -> int:
    return os.getpid()


# Ordinary work --------------------------------------------------------------------------------------------------


def test_functions_run_and_their_results_are_stored(scheduler: FakeScheduler) -> None:
    with working(scheduler, processes=2):
        assert scheduler.expect_result(scheduler.submit(divmod, 17, 5), SUCCESS) == (3, 2)
        assert scheduler.expect_result(scheduler.submit(lambda: None), SUCCESS) is None
        large = bytes(5_000_000)
        assert scheduler.expect_result(scheduler.submit(lambda data: data + b"!", large), SUCCESS) == large + b"!"
        runner = scheduler.expect_result(scheduler.submit(process_id), SUCCESS)
        assert runner != os.getpid()


def test_many_tasks_on_few_processes(scheduler: FakeScheduler) -> None:
    with working(scheduler, processes=2):
        submitted = {scheduler.submit(pow, number, 2): number**2 for number in range(50)}
        for _ in range(len(submitted)):
            message = scheduler.next()
            assert isinstance(message, TaskResult)
            assert load(scheduler.store.get(message.results[0])) == submitted.pop(message.task_id)


def test_heartbeats_tell_of_the_worker_and_its_processes(scheduler: FakeScheduler, reports: Reports) -> None:
    with working(scheduler, processes=1):
        task_id = scheduler.submit(run_for_ever, reports.path)
        pid = reports.next()
        queued = scheduler.submit(process_id)
        while not (scheduler.heartbeat.queued_tasks and scheduler.heartbeat.processors[0].resource.cpu):
            assert isinstance(scheduler.hear(), WorkerHeartbeat)
        heartbeat = scheduler.heartbeat
        (processor,) = heartbeat.processors
        assert (processor.pid, processor.initialized, processor.has_task) == (pid, True, True)
        assert processor.current_task_id == task_id
        assert processor.resource.rss > 1_000_000
        assert heartbeat.agent.rss > 1_000_000
        assert heartbeat.mem_limit >= heartbeat.rss_free > 1_000_000
        assert heartbeat.hostname
        assert heartbeat.latency_microseconds > 0
        scheduler.cancel(queued)
        scheduler.expect_confirm(queued, CANCELED)


def test_what_a_task_prints_goes_to_the_workers_output(
    scheduler: FakeScheduler, capfd: pytest.CaptureFixture[str]
) -> None:
    with working(scheduler):
        task_id = scheduler.submit(lambda: (print("to out"), print("to err", file=sys.stderr)))
        scheduler.expect_result(task_id, SUCCESS)
        captured = capfd.readouterr()
        assert ("to out\n" in captured.out, "to err\n" in captured.err) == (True, True)


# Failures of the function ---------------------------------------------------------------------------------------


def test_an_exception_comes_back_with_its_traceback(scheduler: FakeScheduler) -> None:
    with working(scheduler):
        error = scheduler.expect_result(scheduler.submit(raise_home_made), FAILED)
        assert (type(error), error.args) == (HomeMade, ("of the client's",))
        text = str(error.__cause__)
        assert "in raise_home_made" in text
        assert "worker_process" not in text


@pytest.mark.parametrize(
    ("function", "kind"),
    [
        (lambda: sys.exit(3), SystemExit),
        (lambda: os.kill(os.getpid(), signal.SIGINT), KeyboardInterrupt),
        (threading.Lock, TypeError),
    ],
    ids=["sys.exit", "KeyboardInterrupt", "result cannot be pickled"],
)
def test_what_fails_a_task_does_not_end_its_process(
    scheduler: FakeScheduler, function: Callable[[], Any], kind: type[BaseException]
) -> None:
    with working(scheduler):
        before = scheduler.expect_result(scheduler.submit(process_id), SUCCESS)
        assert type(scheduler.expect_result(scheduler.submit(function), FAILED)) is kind
        assert scheduler.expect_result(scheduler.submit(process_id), SUCCESS) == before


def test_a_task_that_cannot_be_read_fails_and_says_why(scheduler: FakeScheduler) -> None:
    with working(scheduler):
        missing = Task(b"1" * 16, OWNER, b"", b"no such object")
        scheduler.say(missing)
        error = scheduler.expect_result(missing.task_id, FAILED)
        assert type(error) is ObjectMissing
        assert "read the task's function" in str(error.__cause__)

        pickled = dump(process_id)
        scheduler.store.put(OWNER, b"function", pickled)
        for number, (argument_type, complaint) in enumerate([(ArgumentType.TASK, "graph"), (7, "type 7")]):
            task = Task(b"%016d" % number, OWNER, b"", b"function", (Argument(argument_type, b"x"),))
            scheduler.say(task)
            assert complaint in str(scheduler.expect_result(task.task_id, FAILED))


def test_only_the_process_that_was_given_the_task_answers_for_it(scheduler: FakeScheduler) -> None:
    """W1.1: what a function forks comes to its end without a word."""
    with working(scheduler):
        for function, value in ((fork_and_return_in_both, "parent"), (fork_and_exit_in_the_child, 7)):
            for _ in range(3):
                assert scheduler.expect_result(scheduler.submit(function), SUCCESS) == value


def test_a_task_that_writes_into_the_workers_sockets_harms_itself_at_most(scheduler: FakeScheduler) -> None:
    with working(scheduler):
        scheduler.submit(write_to_every_socket)
        assert isinstance(scheduler.next(), TaskResult)
        scheduler.fence()
        following = scheduler.submit(abs, -1)
        answer = scheduler.next()
        assert isinstance(answer, TaskResult)
        assert answer.task_id == following
        scheduler.fence()


def test_a_process_that_does_not_read_keeps_the_worker_from_nothing(scheduler: FakeScheduler, tmp_path: Path) -> None:
    """A task has left a thread that stops the process; a task with very many arguments is sent to it then."""
    permission = tmp_path / "permission"
    os.mkfifo(permission)
    with working(scheduler):
        pid = scheduler.expect_result(scheduler.submit(stop_own_process_afterwards, str(permission)), SUCCESS)
        permission.write_text("granted", encoding="utf-8")
        stopped_by = time.monotonic() + HANG
        while psutil.Process(pid).status() != psutil.STATUS_STOPPED:
            assert time.monotonic() < stopped_by
        stuck = scheduler.submit(max, *range(20_000))
        scheduler.fence()
        scheduler.cancel(stuck, force=True)
        scheduler.expect_confirm(stuck, CANCELED)
        assert scheduler.expect_result(scheduler.submit(abs, -1), SUCCESS) == 1


@pytest.mark.parametrize("number", [None, signal.SIGSEGV, signal.SIGKILL], ids=["os._exit", "SIGSEGV", "SIGKILL"])
def test_the_death_of_a_process_is_told_and_the_worker_goes_on(
    scheduler: FakeScheduler, number: signal.Signals | None
) -> None:
    with working(scheduler):
        kill = (lambda: os._exit(3)) if number is None else (lambda: os.kill(os.getpid(), number))
        for _ in range(2):
            assert scheduler.expect_result(scheduler.submit(kill), DIED) is None
        assert scheduler.expect_result(scheduler.submit(abs, -1), SUCCESS) == 1


def test_the_server_of_processes_may_die_as_well(scheduler: FakeScheduler) -> None:
    with working(scheduler):
        scheduler.expect_result(scheduler.submit(process_id), SUCCESS)
        (server,) = children_of(os.getpid())
        os.kill(server, signal.SIGKILL)
        for _ in range(2):
            assert scheduler.expect_result(scheduler.submit(lambda: os._exit(3)), DIED) is None
            assert scheduler.expect_result(scheduler.submit(abs, -1), SUCCESS) == 1


# Cancels --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", [run_for_ever, hold_the_interpreter_for_ever])
def test_force_ends_the_process_before_it_says_canceled(
    scheduler: FakeScheduler, reports: Reports, function: Callable[[str], None]
) -> None:
    """W2.2, field bug 29."""
    with working(scheduler):
        task_id = scheduler.submit(function, reports.path)
        pid = reports.next()
        assert exists(pid)
        scheduler.cancel(task_id, force=True)
        scheduler.expect_confirm(task_id, CANCELED)
        assert not exists(pid)
        scheduler.fence()
        assert scheduler.expect_result(scheduler.submit(abs, -1), SUCCESS) == 1


def test_force_ends_all_that_the_function_started(scheduler: FakeScheduler, reports: Reports) -> None:
    with working(scheduler):
        task_id = scheduler.submit(run_for_ever_with_family, reports.path)
        family = reports.next()
        assert all(exists(pid) for pid in family)
        scheduler.cancel(task_id, force=True)
        scheduler.expect_confirm(task_id, CANCELED)
        guard = family.pop(1)
        assert not [pid for pid in family if exists(pid)]
        wait_until_ended([guard])


def test_a_guard_that_is_killed_leaves_nothing(scheduler: FakeScheduler, reports: Reports) -> None:
    """W3.1, W2.2: what the function has started is gone when the worker says that it died."""
    with working(scheduler):
        task_id = scheduler.submit(run_for_ever_with_family, reports.path)
        family = reports.next()
        os.kill(family.pop(1), signal.SIGKILL)
        assert scheduler.expect_result(task_id, DIED) is None
        assert not [pid for pid in family if exists(pid)]
        assert scheduler.expect_result(scheduler.submit(abs, -1), SUCCESS) == 1


def test_without_force_a_running_task_refuses_and_goes_on(
    scheduler: FakeScheduler, reports: Reports, tmp_path: Path
) -> None:
    """W2.3, field bug 28."""
    permission = str(tmp_path / "permission")
    os.mkfifo(permission)
    with working(scheduler):
        task_id = scheduler.submit(wait_for_permission, reports.path, permission)
        reports.next()
        for _ in range(2):
            scheduler.cancel(task_id)
            scheduler.expect_confirm(task_id, REFUSED)
        Path(permission).write_text("granted", encoding="utf-8")
        assert scheduler.expect_result(task_id, SUCCESS) == "granted"
        scheduler.cancel(task_id)
        scheduler.expect_confirm(task_id, NOT_FOUND)


@pytest.mark.parametrize("force", [False, True])
def test_a_queued_task_never_starts(scheduler: FakeScheduler, reports: Reports, tmp_path: Path, force: bool) -> None:
    """W2.1, field bugs 1 and 2."""
    permission = str(tmp_path / "permission")
    os.mkfifo(permission)
    with working(scheduler):
        first = scheduler.submit(wait_for_permission, reports.path, permission)
        queued = scheduler.submit(run_for_ever, reports.path)
        last = scheduler.submit(abs, -1)
        reports.next()
        scheduler.cancel(queued, force=force)
        scheduler.expect_confirm(queued, CANCELED)
        Path(permission).write_text("granted", encoding="utf-8")
        scheduler.expect_result(first, SUCCESS)
        scheduler.expect_result(last, SUCCESS)
        assert reports.none()
        assert scheduler.results_stored() == 2


@pytest.mark.parametrize("dies", [False, True], ids=["forced", "dies"])
def test_half_a_result_is_released(scheduler: FakeScheduler, reports: Reports, tmp_path: Path, dies: bool) -> None:
    """W2.5, field bug 30."""
    assert scheduler.storage is not None
    with working(scheduler):
        task_id = scheduler.submit(leave_half_a_result, reports.path, scheduler.storage.host, dies)
        if dies:
            scheduler.expect_result(task_id, DIED)
        else:
            reports.next()
            scheduler.cancel(task_id, force=True)
            scheduler.expect_confirm(task_id, CANCELED)
        assert scheduler.results_stored() == 0


def test_force_just_as_the_function_returns_gives_one_outcome(scheduler: FakeScheduler) -> None:
    """W1.1, W1.2, W2.5. The moment closes in on the one at which the function has just returned, from both sides."""
    outcomes = Counter[type[Message]]()
    pause = 0.001
    with working(scheduler):
        for _ in range(80):
            task_id = scheduler.submit(abs, -1)
            moment = time.monotonic() + pause
            while time.monotonic() < moment:
                pass
            scheduler.cancel(task_id, force=True)
            message = scheduler.next()
            outcomes[type(message)] += 1
            if isinstance(message, TaskResult):
                pause /= 1.3
                assert load(scheduler.store.get(message.results[0])) == 1
                scheduler.expect_confirm(task_id, NOT_FOUND)
            else:
                pause *= 1.3
                assert message == TaskCancelConfirm(task_id, CANCELED)
                assert scheduler.results_stored() == outcomes[TaskResult]
            scheduler.fence()
    assert min(outcomes[TaskResult], outcomes[TaskCancelConfirm]) >= 10


# Leaving and coming back ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("told", [True, False], ids=["told by the scheduler", "stop"])
def test_it_leaves_in_order(scheduler: FakeScheduler, reports: Reports, told: bool) -> None:
    """W4.2: what runs has ended when the good-bye is said, and nothing comes after it."""
    worker = Worker(scheduler.endpoint, WorkerSettings(processes=2), heartbeat_interval=0.05)
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(worker.run)
        scheduler.await_life()
        for _ in range(3):
            scheduler.submit(run_for_ever, reports.path)
        pids = [reports.next(), reports.next()]
        if told:
            scheduler.say(ClientDisconnect(DisconnectType.SHUTDOWN))
        else:
            worker.stop()
        assert scheduler.next() == WorkerDisconnectNotification()
        assert not [pid for pid in pids if exists(pid)]
        assert running.result(HANG) is Farewell.EXIT
    assert scheduler.router.poll(0) == 0
    assert reports.none()
    assert_nothing_left()


def test_declared_lost_it_says_nothing_and_comes_back_as_another(scheduler: FakeScheduler, reports: Reports) -> None:
    """W4.3, field bug 18."""
    with working(scheduler) as worker:
        former = scheduler.worker
        scheduler.submit(run_for_ever, reports.path)
        pid = reports.next()
        scheduler.say(ClientDisconnect(DisconnectType.DISCONNECT))
        present = scheduler.await_life(former)
        assert present == worker.routing_id
        assert not exists(pid)
        assert scheduler.expect_result(scheduler.submit(abs, -1), SUCCESS) == 1
        assert scheduler.worker == present


def test_a_dropped_connection_ends_the_life(scheduler: FakeScheduler, reports: Reports) -> None:
    """T4, W5.3."""
    with working(scheduler):
        former = scheduler.worker
        scheduler.submit(run_for_ever, reports.path)
        pid = reports.next()
        scheduler.unbind()
        scheduler.bind(scheduler.endpoint)
        scheduler.await_life()
        assert scheduler.worker != former
        assert not exists(pid)
        assert scheduler.expect_result(scheduler.submit(abs, -1), SUCCESS) == 1


def test_a_silent_scheduler_is_lost(scheduler: FakeScheduler) -> None:
    """W5.2."""
    with working(scheduler, scheduler_timeout=0.2):
        former = scheduler.worker
        scheduler.storage = None  # no echo any more
        scheduler.await_life(former)


def test_the_scheduler_may_start_later(tmp_path: Path) -> None:
    scheduler = FakeScheduler(tmp_path)
    scheduler.unbind()
    worker = Worker(scheduler.endpoint, heartbeat_interval=0.05)
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(worker.run)
        scheduler.bind(scheduler.endpoint)
        assert scheduler.await_life() == worker.routing_id
        worker.stop()
        running.result(HANG)
    scheduler.close()


def test_stopped_without_a_scheduler_it_leaves_at_once(tmp_path: Path) -> None:
    worker = Worker(f"ipc://{tmp_path}/nobody")
    worker.stop()
    assert worker.run() is Farewell.EXIT
    worker.stop()


# Bad input ------------------------------------------------------------------------------------------------------


def test_garbage_is_counted_and_survived(scheduler: FakeScheduler) -> None:
    """M1, M3."""
    with working(scheduler) as worker:
        good = wire.encode(TaskCancel(b"x"))
        for frames in ([b""], [b"garbage"], [good[:-8]], [good, good]):
            scheduler.router.send_multipart([scheduler.worker, *frames])
        scheduler.say(WorkerHeartbeat())
        scheduler.fence()
        assert sum(worker.dropped.values()) == 5
        assert worker.dropped["not one frame"] == 1
        assert worker.dropped["not for a worker"] == 1


def test_tasks_wait_until_the_store_is_known(scheduler: FakeScheduler) -> None:
    known, scheduler.storage = scheduler.storage, None
    with working(scheduler):
        task_id = scheduler.submit(abs, -1)
        forced = scheduler.submit(abs, -2)
        scheduler.cancel(forced, force=True)
        scheduler.expect_confirm(forced, CANCELED)
        held = scheduler.submit(abs, -3)
        scheduler.fence()
        scheduler.storage = known
        assert scheduler.expect_result(task_id, SUCCESS) == 1
        assert scheduler.expect_result(held, SUCCESS) == 3


def test_without_a_store_tasks_fail_and_the_log_says_why(
    scheduler: FakeScheduler, caplog: pytest.LogCaptureFixture
) -> None:
    scheduler.storage = ObjectStorageAddress("127.0.0.1", 1234, "wss")
    with working(scheduler):
        for _ in range(2):
            assert scheduler.expect_result(scheduler.submit(abs, -1), FAILED) is None
    assert [record for record in caplog.messages if "'wss'" in record and "supported are 'sqlite'" in record]


def test_an_endpoint_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="give one like tcp://"):
        Worker("127.0.0.1").run()
    with pytest.raises(ValueError, match="at most 200"):
        Worker("tcp://127.0.0.1:1", name="n" * 201)


def test_where_no_process_can_start_it_says_good_bye_and_raises(
    scheduler: FakeScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    worker = Worker(scheduler.endpoint, heartbeat_interval=0.05)
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(worker.run)
        assert scheduler.next() == WorkerDisconnectNotification()
        with pytest.raises(CannotStartProcesses, match="standard error"):
            running.result(HANG)


# A worker that is a process of its own --------------------------------------------------------------------------


@contextmanager
def worker_process(scheduler: FakeScheduler) -> Iterator[subprocess.Popen[bytes]]:
    script = (
        "import sys; sys.path[:] = eval(sys.argv[2])\n"
        "from rescind.worker import Worker\n"
        "from rescind.worker_machine import WorkerSettings\n"
        "Worker(sys.argv[1], WorkerSettings(processes=2), heartbeat_interval=0.05).run()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, scheduler.endpoint, repr(sys.path)], start_new_session=True
    )
    try:
        scheduler.await_life()
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("function", [run_for_ever_with_family, hold_the_interpreter_for_ever])
def test_a_killed_worker_leaves_no_process(
    scheduler: FakeScheduler, reports: Reports, function: Callable[[str], None]
) -> None:
    with worker_process(scheduler) as worker:
        scheduler.submit(function, reports.path)
        reported = reports.next()
        (server,) = children_of(worker.pid)
        guards = children_of(server)
        assert len(guards) == 2
        runners = [pid for guard in guards for pid in children_of(guard)]
        worker.kill()
        wait_until_ended([server, *guards, *runners, *(reported if isinstance(reported, list) else [])])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_makes_it_leave_in_order(scheduler: FakeScheduler, reports: Reports, number: signal.Signals) -> None:
    with worker_process(scheduler) as worker:
        scheduler.submit(run_for_ever_with_family, reports.path)
        family = reports.next()
        (server,) = children_of(worker.pid)
        os.killpg(worker.pid, number)  # as a terminal does for Ctrl-C
        assert scheduler.next() == WorkerDisconnectNotification()
        assert worker.wait(HANG) == 0
        assert not [pid for pid in [server, *family] if exists(pid)]
