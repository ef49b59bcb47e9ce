"""Futures and their manager without sockets: the races of SPEC.md's client, with real threads.

A test knows that a request is on its way when it takes the message from `Bench.sent`; no test sleeps.
Time limits given to `get` and `result` only bound a hang.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import sys
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION, CancelledError
from functools import partial
from queue import Empty, Queue
from random import Random
from typing import Any

import pytest

from rescind.client_table import CancelOutcome
from rescind.future import CancelRound, ResultLost, ScalerFuture, WorkerDied
from rescind.future_manager import ClientFutureManager
from rescind.messages import (
    CancelConfirmType,
    ClientDisconnect,
    Message,
    Task,
    TaskCancel,
    TaskCancelConfirm,
    TaskResult,
    TaskResultType,
)
from rescind.payloads import RemoteError, RemoteTraceback, dump, dump_exception

HANG = 20.0
CANCELED, FAILED, NOT_FOUND = (
    CancelConfirmType.CANCELED,
    CancelConfirmType.CANCEL_FAILED,
    CancelConfirmType.CANCEL_NOT_FOUND,
)


class Shelf:
    """Payloads in memory, which records what is asked of it."""

    def __init__(self) -> None:
        self.objects: dict[bytes, bytes] = {}
        self.reads: Counter[bytes] = Counter()
        self.readers: list[str] = []
        self.released: Queue[bytes] = Queue()
        self.released_calls: list[bytes] = []
        self.reading: Queue[bytes] = Queue()
        self.gate = threading.Event()
        self.gate.set()

    def fetch(self, object_id: bytes) -> bytes:
        self.reads[object_id] += 1
        self.readers.append(threading.current_thread().name)
        self.reading.put(object_id)
        assert self.gate.wait(HANG)
        return self.objects[object_id]

    def release(self, object_ids: Sequence[bytes]) -> None:
        for each in object_ids:
            self.objects.pop(each, None)
            self.released.put(each)

    def release_call(self, task: Task) -> None:
        self.released_calls.append(task.task_id)


class ObservedManager(ClientFutureManager):
    """Says when a call has opened or joined a round."""

    requested: Queue[CancelRound | None]

    def request_cancel(self, *args: Any, **kwargs: Any) -> CancelRound | None:
        current = super().request_cancel(*args, **kwargs)
        self.requested.put(current)
        return current


class Bench:
    """A manager whose scheduler is the test."""

    def __init__(self) -> None:
        self.sent: Queue[Message] = Queue()
        self.shelf = Shelf()
        self.manager = ObservedManager(self.sent.put, payloads=self.shelf)
        self.manager.requested = Queue()
        self.threads = concurrent.futures.ThreadPoolExecutor(32)
        self._numbers = iter(range(1, 1_000_000))

    def submit(self) -> ScalerFuture[Any]:
        future = self.manager.submit(Task(next(self._numbers).to_bytes(16, "big")))
        assert isinstance(self.sent.get(timeout=HANG), Task)
        return future

    def start(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> concurrent.futures.Future[Any]:
        return self.threads.submit(fn, *args, **kwargs)

    def start_cancel(self, future: ScalerFuture[Any], **kwargs: Any) -> concurrent.futures.Future[Any]:
        """Call `cancel` in another thread; returns when its TaskCancel has been sent."""
        call = self.start(future.cancel, **kwargs)
        assert self.next_sent() == TaskCancel(future.task_id, kwargs.get("force", False))
        assert self.manager.requested.get(timeout=HANG) is not None
        return call

    def join_cancel(self, future: ScalerFuture[Any], **kwargs: Any) -> concurrent.futures.Future[Any]:
        """Call `cancel` in another thread; returns when it shares the open round."""
        call = self.start(future.cancel, **kwargs)
        assert self.manager.requested.get(timeout=HANG) is not None
        return call

    def next_sent(self) -> Message:
        return self.sent.get(timeout=HANG)

    def nothing_sent(self) -> bool:
        try:
            raise AssertionError(self.sent.get_nowait())
        except Empty:
            return True

    def confirm(self, future: ScalerFuture[Any], kind: CancelConfirmType | int = CANCELED) -> None:
        self.manager.on_task_cancel_confirm(TaskCancelConfirm(future.task_id, kind))

    def finish(
        self,
        future: ScalerFuture[Any],
        value: Any = None,
        result_type: TaskResultType | int = TaskResultType.SUCCESS,
    ) -> bytes:
        object_id = b"result of " + future.task_id
        self.shelf.objects[object_id] = dump_exception(value) if isinstance(value, BaseException) else dump(value)
        self.manager.on_task_result(TaskResult(future.task_id, result_type, results=(object_id,)))
        return object_id


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.shelf.gate.set()
    made.manager.disconnect()
    made.threads.shutdown()


def entered(monkeypatch: pytest.MonkeyPatch, name: str) -> threading.Event:
    """An event that is set when a method of a future has been entered."""
    event = threading.Event()
    original = getattr(ScalerFuture, name)

    def observed(self: ScalerFuture[Any], *args: Any, **kwargs: Any) -> Any:
        event.set()
        return original(self, *args, **kwargs)

    monkeypatch.setattr(ScalerFuture, name, observed)
    return event


# C1, C2: a round is one request and ends with its answer


def test_cancel_returns_after_the_answer_and_not_before(bench: Bench) -> None:
    future = bench.submit()
    answered: list[bool] = []
    call = bench.start(lambda: (future.cancel(), bool(answered)))
    assert bench.next_sent() == TaskCancel(future.task_id, force=False)
    assert future.running()
    answered.append(True)
    bench.confirm(future)
    assert call.result(HANG) == (True, True)
    assert future.cancelled()
    assert future.done()
    assert not future.running()
    assert future.cancel_outcome is CancelOutcome.CONFIRMED
    with pytest.raises(CancelledError):
        future.result()
    with pytest.raises(CancelledError):
        future.exception()
    assert bench.nothing_sent()


@pytest.mark.parametrize(("kind", "outcome"), [(CANCELED, "confirmed"), (NOT_FOUND, "not found")])
@pytest.mark.parametrize("in_round", [True, False])
def test_confirms_cancel_the_future_in_a_round_and_without_one(
    bench: Bench, kind: CancelConfirmType, outcome: str, in_round: bool
) -> None:
    future = bench.submit()
    call = bench.start_cancel(future) if in_round else None
    bench.confirm(future, kind)
    assert call is None or call.result(HANG) is True
    assert future.cancelled()
    assert future.cancel_outcome == outcome
    assert future.cancel() is True
    assert bench.nothing_sent()


def test_an_answer_faster_than_the_sender_is_heard() -> None:
    # Field bug 21: the answer is there before the call that sent the request has returned.
    answers = Queue[TaskCancel]()
    manager = ClientFutureManager(lambda message: answers.put(message) if isinstance(message, TaskCancel) else None)

    def answer() -> None:
        while request := answers.get():
            manager.on_task_cancel_confirm(TaskCancelConfirm(request.task_id, CANCELED))

    answering = threading.Thread(target=answer, daemon=True)
    answering.start()
    for number in range(300):
        future = manager.submit(Task(number.to_bytes(16, "big")))
        assert future.cancel(timeout=HANG) is True
        assert future.cancel_outcome is CancelOutcome.CONFIRMED
    assert manager.pending == 0


def test_the_round_exists_when_the_request_is_handed_over() -> None:
    # C8.2, looked at from the sender: at that moment whoever waits must already have something to wait on.
    seen: list[bool] = []

    def send(message: Message) -> None:
        if isinstance(message, TaskCancel):
            seen.append(future._round is not None)

    manager = ClientFutureManager(send)
    future = manager.submit(Task(b"1"))
    assert future.cancel(timeout=0)
    assert seen == [True]


# C3: a result in an open round


def test_a_result_in_an_open_round_is_discarded_and_released(bench: Bench) -> None:
    future = bench.submit()
    call = bench.start_cancel(future)
    object_id = bench.finish(future, 7)
    assert call.result(HANG) is True
    assert future.cancel_outcome is CancelOutcome.RESULT_DISCARDED
    with pytest.raises(CancelledError):
        future.result()
    assert bench.shelf.released.get(timeout=HANG) == object_id
    assert not bench.shelf.reads


def test_a_result_handed_to_the_future_itself_in_an_open_round_is_discarded(bench: Bench) -> None:
    settings: list[Callable[[ScalerFuture[Any]], object]] = [
        lambda each: each.set_result_ready(None),
        lambda each: each.set_result(1),
    ]
    for settle in settings:
        future = bench.submit()
        call = bench.start_cancel(future)
        settle(future)
        assert call.result(HANG) is True
        assert future.cancel_outcome is CancelOutcome.RESULT_DISCARDED


# C4: refused


def test_a_refused_cancel_returns_false_and_the_result_follows(bench: Bench) -> None:
    future = bench.submit()
    call = bench.start_cancel(future)
    bench.confirm(future, FAILED)
    assert call.result(HANG) is False
    assert future.running()
    assert not future.cancelled()
    assert future.cancel_outcome is CancelOutcome.REFUSED
    bench.finish(future, "value")
    assert future.result(HANG) == "value"
    assert future.cancel_outcome is CancelOutcome.REFUSED


def test_after_a_refusal_another_round_may_be_opened(bench: Bench) -> None:
    future = bench.submit()
    refused = bench.start_cancel(future)
    bench.confirm(future, FAILED)
    assert refused.result(HANG) is False
    again = bench.start_cancel(future, force=True)
    bench.confirm(future)
    assert again.result(HANG) is True
    assert future.cancel_outcome is CancelOutcome.CONFIRMED


def test_a_refusal_wakes_nobody_who_waits_for_the_result(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    # Field bug 26: a wait without its predicate in a loop would end here.
    future = bench.submit()
    waiting = entered(monkeypatch, "_make_ready")
    reader = bench.start(future.result, HANG)
    assert waiting.wait(HANG)
    for _ in range(20):
        call = bench.start_cancel(future)
        bench.confirm(future, FAILED)
        assert call.result(HANG) is False
    bench.finish(future, "value")
    assert reader.result(HANG) == "value"


def test_an_unsolicited_refusal_or_an_unknown_confirm_changes_nothing(bench: Bench) -> None:
    future = bench.submit()
    bench.confirm(future, FAILED)
    bench.confirm(future, 9)
    assert future.running()
    assert future.cancel_outcome is None
    call = bench.start_cancel(future)
    bench.confirm(future, 9)
    assert future.running()
    bench.confirm(future)
    assert call.result(HANG) is True
    assert bench.manager.dropped == {"cancelFailed that nobody waits for": 1, "unknown confirm type": 2}


# C5: time limits


def test_at_the_time_limit_the_future_is_cancelled_and_late_answers_are_dropped(bench: Bench) -> None:
    future = bench.submit()
    assert future.cancel(timeout=0.01) is True
    assert bench.next_sent() == TaskCancel(future.task_id)
    assert future.cancelled()
    assert future.cancel_outcome is CancelOutcome.TIMED_OUT
    bench.confirm(future, FAILED)
    object_id = bench.finish(future, 1)
    assert bench.shelf.released.get(timeout=HANG) == object_id
    assert future.cancel_outcome is CancelOutcome.TIMED_OUT
    with pytest.raises(CancelledError):
        future.result()


def test_no_time_at_all_still_sends_the_request(bench: Bench) -> None:
    future = bench.submit()
    assert future.cancel(timeout=0, force=True) is True
    assert bench.next_sent() == TaskCancel(future.task_id, force=True)
    assert future.cancel_outcome is CancelOutcome.TIMED_OUT


@pytest.mark.parametrize("timeout", [-1, -0.001, float("nan")])
def test_a_time_limit_that_is_none_is_refused(bench: Bench, timeout: float) -> None:
    future = bench.submit()
    with pytest.raises(ValueError, match="timeout must be"):
        future.cancel(timeout=timeout)
    assert future.running()
    assert bench.nothing_sent()


def test_without_a_limit_it_waits_for_the_answer(bench: Bench) -> None:
    for timeout in (None, 1e12):
        future = bench.submit()
        call = bench.start_cancel(future, timeout=timeout)
        bench.confirm(future)
        assert call.result(HANG) is True


@pytest.mark.parametrize("longer", [None, 3600.0])
def test_the_shortest_time_limit_ends_the_round_for_all(bench: Bench, longer: float | None) -> None:
    future = bench.submit()
    patient = [bench.start_cancel(future, timeout=longer), bench.join_cancel(future, timeout=longer)]
    assert future.cancel(timeout=0.01) is True
    assert [call.result(HANG) for call in patient] == [True, True]
    assert future.cancel_outcome is CancelOutcome.TIMED_OUT
    assert bench.nothing_sent()


def test_a_round_that_nobody_waits_for_ends_at_its_time_limit(bench: Bench) -> None:
    future, other = bench.submit(), bench.submit()
    bench.manager.request_cancel(future, timeout=0)
    bench.manager.request_cancel(other, timeout=3600)
    assert future.running()
    bench.manager.expire()
    assert future.cancel_outcome is CancelOutcome.TIMED_OUT
    assert other.running()


def test_cancelled_ends_a_round_at_its_time_limit(bench: Bench) -> None:
    future = bench.submit()
    bench.manager.request_cancel(future, timeout=0.01)
    assert future.cancelled() is True
    assert future.cancel_outcome is CancelOutcome.TIMED_OUT


def test_a_time_limit_does_not_hit_a_later_round(bench: Bench) -> None:
    future = bench.submit()
    first = bench.manager.request_cancel(future, timeout=0)
    assert first is not None
    bench.confirm(future, FAILED)
    second = bench.manager.request_cancel(future, timeout=3600)
    bench.manager.end_by_time_limit(future, first)
    assert second is not None
    assert second.outcome is None
    assert future.running()


# C6: settled futures, shared rounds


def test_cancel_of_a_finished_future_changes_nothing(bench: Bench) -> None:
    future = bench.submit()
    bench.finish(future, 3)
    assert future.cancel() is False
    assert future.cancel(force=True, timeout=0) is False
    assert future.result() == 3
    assert future.cancel_outcome is None
    assert bench.nothing_sent()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [(CANCELED, True), (NOT_FOUND, True), (FAILED, False), ("result", True), ("disconnect", True)],
)
def test_calls_from_many_threads_share_one_round(bench: Bench, answer: CancelConfirmType | str, expected: bool) -> None:
    # Field bug 26: each of them must wake up.
    future = bench.submit()
    calls = [bench.start_cancel(future), *(bench.join_cancel(future) for _ in range(15))]
    match answer:
        case "result":
            bench.finish(future)
        case "disconnect":
            bench.manager.disconnect()
        case CancelConfirmType():
            bench.confirm(future, answer)
    assert [call.result(HANG) for call in calls] == [expected] * 16
    assert bench.nothing_sent()


def test_a_forced_call_that_shared_a_refused_round_asks_again(bench: Bench) -> None:
    future = bench.submit()
    unforced = bench.start_cancel(future)
    forced = [bench.join_cancel(future, force=True) for _ in range(3)]
    assert bench.nothing_sent()
    bench.confirm(future, FAILED)
    assert bench.next_sent() == TaskCancel(future.task_id, force=True)
    assert unforced.result(HANG) is False
    bench.confirm(future)
    assert [call.result(HANG) for call in forced] == [True] * 3
    assert bench.nothing_sent()


def test_a_forced_round_that_is_refused_is_not_repeated(bench: Bench) -> None:
    future = bench.submit()
    unforced = bench.start_cancel(future)
    forced = bench.join_cancel(future, force=True)
    bench.confirm(future, FAILED)
    assert bench.next_sent() == TaskCancel(future.task_id, force=True)
    also_forced = bench.join_cancel(future, force=True)
    bench.confirm(future, FAILED)
    assert [call.result(HANG) for call in (unforced, forced, also_forced)] == [False, False, False]
    assert bench.nothing_sent()


def test_the_second_round_of_a_forced_call_keeps_to_its_own_time(bench: Bench) -> None:
    future = bench.submit()
    bench.start_cancel(future, timeout=30)
    forced = bench.manager.request_cancel(future, force=True, timeout=3600)
    assert forced is not None
    bench.confirm(future, FAILED)
    assert forced.follow_up is not None
    assert forced.follow_up.deadline - forced.deadline > 3000


def test_between_the_refusal_and_the_forced_round_no_result_slips_in(bench: Bench) -> None:
    future = bench.submit()
    bench.start_cancel(future)
    forced = bench.join_cancel(future, force=True)
    bench.confirm(future, FAILED)
    bench.finish(future, 1)
    assert forced.result(HANG) is True
    assert future.cancel_outcome is CancelOutcome.RESULT_DISCARDED


def test_a_future_that_was_never_submitted_is_cancelled_without_a_word(bench: Bench) -> None:
    future: ScalerFuture[None] = ScalerFuture(Task(b"never"), bench.manager)
    assert future.cancel() is True
    bench.manager.add_future(future)
    assert bench.nothing_sent()
    assert bench.manager.pending == 0


# C7: cancelled() waits, done() and running() do not


@pytest.mark.parametrize(("kind", "expected"), [(CANCELED, True), (FAILED, False)])
def test_cancelled_waits_for_the_end_of_an_open_round(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, kind: CancelConfirmType, expected: bool
) -> None:
    future = bench.submit()
    assert future.cancelled() is False
    bench.manager.request_cancel(future)
    waiting = entered(monkeypatch, "_wait_for_end")
    asking = bench.start(future.cancelled)
    assert waiting.wait(HANG)
    assert future.done() is False
    assert future.running() is True
    bench.confirm(future, kind)
    assert asking.result(HANG) is expected


def test_cancelled_waits_for_the_forced_round_that_follows_a_refusal(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    future = bench.submit()
    bench.manager.request_cancel(future)
    bench.manager.request_cancel(future, force=True)
    waiting = entered(monkeypatch, "_wait_for_end")
    asking = bench.start(future.cancelled)
    assert waiting.wait(HANG)
    bench.confirm(future, FAILED)
    bench.confirm(future, CANCELED)
    assert asking.result(HANG) is True


# C8: settled once, everybody is woken, every callback runs once


def test_callbacks_run_once_in_order_and_not_in_the_receiving_thread(bench: Bench) -> None:
    future = bench.submit()
    seen: Queue[tuple[int, str, Any]] = Queue()

    def see(number: int, done: ScalerFuture[Any]) -> None:
        seen.put((number, threading.current_thread().name, done.result()))

    for number in range(3):
        future.add_done_callback(partial(see, number))
    bench.finish(future, "value")
    got = [seen.get(timeout=HANG) for _ in range(3)]
    assert [(number, value) for number, _, value in got] == [(0, "value"), (1, "value"), (2, "value")]
    assert {thread for _, thread, _ in got} == {"rescind-callbacks"}
    assert bench.shelf.readers == ["rescind-callbacks"]
    bench.finish(future, "again")
    bench.confirm(future)
    assert future.set_cancel_confirmed() is False
    assert future.set_canceled() is False
    assert future.set_result_ready(None) is False
    for settle in (future.set_result, future.set_exception):
        with pytest.raises(concurrent.futures.InvalidStateError):
            settle(None)
    future.add_done_callback(lambda _: seen.put((3, threading.current_thread().name, None)))
    assert seen.get_nowait() == (3, threading.current_thread().name, None)
    assert seen.empty()


def test_a_callback_that_raises_is_logged_and_the_next_ones_run(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    def fail(error: BaseException) -> None:
        raise error

    future, other = bench.submit(), bench.submit()
    ran = threading.Event()
    future.add_done_callback(lambda _: fail(ZeroDivisionError()))
    future.add_done_callback(lambda _: fail(SystemExit()))
    other.add_done_callback(lambda _: ran.set())
    bench.confirm(future)
    bench.confirm(other)
    assert ran.wait(HANG)
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [ZeroDivisionError, SystemExit]
    future.add_done_callback(lambda _: fail(ZeroDivisionError()))


def test_wait_and_as_completed_hear_of_every_kind_of_end(bench: Bench) -> None:
    good, bad, cancelled, refused = (bench.submit() for _ in range(4))
    everything = bench.start(concurrent.futures.wait, [good, bad, cancelled, refused], HANG, ALL_COMPLETED)
    order = bench.start(lambda: list(concurrent.futures.as_completed([good, bad, cancelled, refused], HANG)))
    first = bench.start(concurrent.futures.wait, [good, bad], HANG, FIRST_EXCEPTION)
    bench.finish(good, 1)
    bench.finish(bad, ValueError("no"), TaskResultType.FAILED)
    assert bad in first.result(HANG).done
    bench.confirm(cancelled)
    bench.manager.request_cancel(refused)
    bench.confirm(refused, FAILED)
    bench.finish(refused, 2)
    assert everything.result(HANG).not_done == set()
    assert set(order.result(HANG)) == {good, bad, cancelled, refused}
    assert concurrent.futures.wait([good], HANG, FIRST_COMPLETED).done == {good}


def test_waiting_for_the_first_exception_does_not_read_the_store_under_its_locks(bench: Bench) -> None:
    good, bad, pending = (bench.submit() for _ in range(3))
    bench.finish(good, 1)
    assert not concurrent.futures.wait([good, pending], 0, FIRST_EXCEPTION).not_done - {pending}
    bench.finish(bad, ValueError("no"), TaskResultType.FAILED)
    done = concurrent.futures.wait([good, bad, pending], HANG, FIRST_EXCEPTION)
    assert done.not_done == {pending}
    assert not bench.shelf.reads
    assert isinstance(bad.exception(), ValueError)
    assert good.exception() is None


def test_cancel_from_many_threads_while_everything_is_answered_at_random(bench: Bench) -> None:
    """Field bugs 21 to 24, 26: in every order, all agree, nobody hangs, and one request a round is sent."""
    for seed in range(60):
        random = Random(seed)
        future = bench.submit()
        callbacks: Queue[concurrent.futures.Future[Any]] = Queue()
        future.add_done_callback(callbacks.put_nowait)
        calls = [bench.start(future.cancel, HANG, force=random.random() < 0.3) for _ in range(6)]
        asking = [bench.start(future.cancelled) for _ in range(2)]
        reader = bench.start(future.exception, HANG)
        while not future.done():
            request = bench.next_sent()
            assert isinstance(request, TaskCancel)
            match random.randrange(3):
                case 0:
                    bench.confirm(future, FAILED)
                    if future._round is None and random.random() < 0.5:
                        bench.finish(future)
                    else:
                        # Perhaps nobody is left who asks again.
                        calls.append(bench.start(future.cancel, HANG))
                case 1:
                    bench.confirm(future, random.choice([CANCELED, NOT_FOUND]))
                case _:
                    bench.finish(future)
        answers = [call.result(HANG) for call in calls]
        final = future.cancelled()
        assert all(final for answer in answers if answer)
        for call in asking:
            assert not call.result(HANG) or final
        if final:
            assert isinstance(reader.exception(HANG), CancelledError)
        else:
            assert reader.result(HANG) is None
        assert callbacks.get(timeout=HANG) is future
        assert callbacks.empty()
        assert future.cancel() is final
        while not bench.sent.empty():
            assert isinstance(bench.next_sent(), TaskCancel)
    assert bench.manager.pending == 0


# C9, C10: strangers, the end


def test_messages_for_tasks_that_nobody_holds_are_dropped(bench: Bench) -> None:
    stranger: ScalerFuture[None] = ScalerFuture(Task(b"stranger"), bench.manager)
    for kind in (CANCELED, FAILED, NOT_FOUND, 9):
        bench.confirm(stranger, kind)
    object_id = bench.finish(stranger)
    assert bench.shelf.released.get(timeout=HANG) == object_id
    assert bench.manager.dropped.total() == 5
    assert not stranger.done()


def test_a_repeated_result_does_not_release_the_unread_one(bench: Bench) -> None:
    # A result's id follows from its task's: the repetition names the same object.
    future = bench.submit()
    bench.finish(future, "value")
    bench.finish(future, "value")
    assert future.result() == "value"


def test_what_nobody_asked_to_cancel_says_why_it_is_cancelled(bench: Bench) -> None:
    refused, left, asked = bench.submit(), bench.submit(), bench.submit()
    bench.manager.on_message(TaskCancelConfirm(refused.task_id, CancelConfirmType.CANCEL_NOT_FOUND))
    bench.manager.on_message(TaskCancelConfirm(asked.task_id, CancelConfirmType.CANCELED))
    bench.manager.disconnect()
    for future, text in ((refused, "refused it"), (left, "disconnected"), (asked, "")):
        with pytest.raises(CancelledError) as raised:
            future.result()
        assert text in str(raised.value)
        assert bool(text) == bool(str(raised.value))


def test_disconnecting_cancels_what_is_pending_and_ends_every_wait(bench: Bench) -> None:
    # Field bug 27: closed while cancel() waits in other threads.
    in_round, running, finished = (bench.submit() for _ in range(3))
    bench.finish(finished, "kept")
    calls = [bench.start_cancel(in_round, timeout=None), bench.join_cancel(in_round, force=True, timeout=None)]
    reader = bench.start(running.result)
    bench.manager.disconnect(good_bye=True)
    assert [call.result(HANG) for call in calls] == [True, True]
    assert isinstance(reader.exception(HANG), CancelledError)
    assert {in_round.cancel_outcome, running.cancel_outcome} == {CancelOutcome.DISCONNECTED}
    assert bench.next_sent() == ClientDisconnect()
    assert finished.result() == "kept"
    with pytest.raises(RuntimeError, match="after shutdown"):
        bench.manager.submit(Task(b"late"))
    bench.confirm(in_round)
    bench.finish(running)
    assert bench.manager.pending == 0


def test_being_given_up_by_the_scheduler_is_the_same(bench: Bench) -> None:
    future = bench.submit()
    call = bench.start_cancel(future)
    bench.manager.on_message(ClientDisconnect())
    assert call.result(HANG) is True
    assert future.cancel_outcome is CancelOutcome.DISCONNECTED
    with pytest.raises(RuntimeError):
        bench.manager.submit(Task(b"late"))


def test_a_task_id_is_not_used_twice(bench: Bench) -> None:
    future = bench.submit()
    with pytest.raises(ValueError, match="never used twice"):
        bench.manager.submit(Task(future.task_id))


# C11: from callbacks


def test_callbacks_may_cancel_and_read_any_future(bench: Bench) -> None:
    # Field bug 25: the callback waits for answers, so the thread that receives them must be another.
    first, second, third = (bench.submit() for _ in range(3))
    seen: Queue[tuple[Any, ...]] = Queue()

    def callback(done: concurrent.futures.Future[Any]) -> None:
        seen.put((done.cancel(), done.cancelled(), done.result()))
        seen.put((second.cancel(HANG), second.cancelled()))
        seen.put((third.result(HANG),))

    first.add_done_callback(callback)
    bench.finish(first, "one")
    assert seen.get(timeout=HANG) == (False, False, "one")
    assert bench.next_sent() == TaskCancel(second.task_id)
    bench.confirm(second)
    assert seen.get(timeout=HANG) == (True, True)
    bench.finish(third, "three")
    assert seen.get(timeout=HANG) == ("three",)


def test_callbacks_may_cancel_while_the_client_closes(bench: Bench) -> None:
    futures = [bench.submit() for _ in range(20)]
    seen: Queue[set[bool]] = Queue()
    for future in futures:
        future.add_done_callback(
            lambda done: seen.put({each.cancel() for each in futures} | {done.cancelled(), done.done()})
        )
    bench.manager.disconnect()
    assert [seen.get(timeout=HANG) for _ in futures] == [{True}] * 20


def test_a_callback_that_waits_does_not_keep_answers_from_being_taken(bench: Bench) -> None:
    blocked, other = bench.submit(), bench.submit()
    release = threading.Event()
    blocked.add_done_callback(lambda _: release.wait(HANG))
    bench.confirm(blocked)
    call = bench.start_cancel(other)
    bench.confirm(other)
    assert call.result(HANG) is True
    release.set()


# Results


def test_the_result_is_read_once_in_the_thread_that_asks_and_then_released(bench: Bench) -> None:
    future = bench.submit()
    object_id = bench.finish(future, {"a": 1})
    assert future.done()
    assert not bench.shelf.reads
    bench.shelf.gate.clear()
    readers = [bench.start(future.result, HANG) for _ in range(8)]
    assert bench.shelf.reading.get(timeout=HANG) == object_id
    with pytest.raises(TimeoutError):
        future.result(timeout=0.01)
    bench.shelf.gate.set()
    assert [reader.result(HANG) for reader in readers] == [{"a": 1}] * 8
    assert bench.shelf.reads[object_id] == 1
    assert bench.shelf.released.get(timeout=HANG) == object_id
    assert bench.shelf.released_calls == [future.task_id]


def test_a_slow_read_does_not_keep_other_answers_from_being_taken(bench: Bench) -> None:
    slow, other = bench.submit(), bench.submit()
    bench.shelf.gate.clear()
    object_id = bench.finish(slow, 1)
    reader = bench.start(slow.result, HANG)
    assert bench.shelf.reading.get(timeout=HANG) == object_id
    bench.confirm(other)
    assert other.cancelled()
    assert slow.cancel() is False
    assert slow.done()
    bench.shelf.gate.set()
    assert reader.result(HANG) == 1


def test_waiting_for_a_result_ends_at_its_time_limit(bench: Bench) -> None:
    future = bench.submit()
    for wait in (future.result, future.exception):
        for timeout in (0.01, 0, -1):
            with pytest.raises(TimeoutError):
                wait(timeout)


def test_remote_exceptions_are_raised_as_what_they_were(bench: Bench) -> None:
    future = bench.submit()
    try:
        raise LookupError("where")
    except LookupError as raised:
        bench.finish(future, raised, TaskResultType.FAILED)
    with pytest.raises(LookupError, match="where") as caught:
        future.result()
    assert isinstance(caught.value.__cause__, RemoteTraceback)
    assert "test_future.py" in str(caught.value.__cause__)
    assert future.exception() is caught.value


class Empty0(Exception):
    """An exception that counts as false."""

    def __len__(self) -> int:
        return 0


def test_an_exception_that_counts_as_false_is_raised_all_the_same(bench: Bench) -> None:
    future = bench.submit()
    future.set_exception(Empty0())
    with pytest.raises(Empty0):
        future.result()


def explode() -> None:
    raise ZeroDivisionError


class Exiting:
    """Ends the program where it is unpickled, or would."""

    def __reduce__(self) -> tuple[Any, ...]:
        return sys.exit, (3,)


class Explosive:
    def __reduce__(self) -> tuple[Any, ...]:
        return explode, ()


@pytest.mark.parametrize(
    ("value", "result_type", "error", "text"),
    [
        (None, TaskResultType.FAILED_WORKER_DIED, WorkerDied, "died"),
        (5, TaskResultType.FAILED, RemoteError, "no exception but 5"),
        (5, 77, RemoteError, "unknown result type 77"),
        (Explosive(), TaskResultType.SUCCESS, ZeroDivisionError, ""),
        (Exiting(), TaskResultType.SUCCESS, SystemExit, "3"),
    ],
)
def test_failures_that_are_no_exception_of_the_task(
    bench: Bench, value: Any, result_type: TaskResultType | int, error: type[BaseException], text: str
) -> None:
    future = bench.submit()
    told: Queue[object] = Queue()
    future.add_done_callback(told.put_nowait)
    bench.finish(future, value, result_type)
    assert told.get(timeout=HANG) is future
    for _ in range(2):
        with pytest.raises(error, match=text or None):
            future.result()


def test_a_dead_worker_need_not_have_left_an_object(bench: Bench) -> None:
    future = bench.submit()
    bench.manager.on_task_result(TaskResult(future.task_id, TaskResultType.FAILED_WORKER_DIED))
    assert isinstance(future.exception(), WorkerDied)


def test_a_result_that_is_not_in_the_store_says_so_for_ever(bench: Bench) -> None:
    future = bench.submit()
    object_id = bench.finish(future, 1)
    value = bench.shelf.objects.pop(object_id)
    with pytest.raises(ResultLost, match=future.task_id.hex()) as caught:
        future.result()
    assert isinstance(caught.value.__cause__, KeyError)
    bench.shelf.objects[object_id] = value
    with pytest.raises(ResultLost):
        future.result()


def test_an_interrupted_read_can_be_repeated(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    future = bench.submit()
    bench.finish(future, 1)

    def interrupt(_: bytes) -> bytes:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(bench.shelf, "fetch", interrupt)
        with pytest.raises(KeyboardInterrupt):
            future.result()
    assert future.result() == 1


def test_an_unread_result_is_released_with_its_future_and_nothing_is_kept(bench: Bench) -> None:
    future = bench.submit()
    reference = weakref.ref(future)
    object_id = bench.finish(future, "unread")
    del future
    gc.collect()
    assert reference() is None
    assert bench.shelf.released.get(timeout=HANG) == object_id
    kept = [value for value in vars(bench.manager).values() if isinstance(value, dict) and value]
    assert kept == []


def test_memory_does_not_grow_with_settled_futures(bench: Bench) -> None:
    futures = [bench.submit() for _ in range(50)]
    for number, future in enumerate(futures):
        if number % 2:
            bench.finish(future, number)
            future.result()
        else:
            bench.manager.request_cancel(future)
            bench.confirm(future)
    manager = bench.manager
    assert not manager.pending
    assert not manager._results
    assert not manager._in_round
    assert not manager._machine.pending


def test_results_are_kept_when_the_store_is_left(bench: Bench) -> None:
    future = bench.submit()
    object_id = bench.finish(future, "kept")
    bench.manager.keep_results()
    assert bench.shelf.released.get(timeout=HANG) == object_id
    assert not bench.shelf.objects
    assert future.result() == "kept"


# asyncio


def test_a_future_can_be_awaited(bench: Bench) -> None:
    async def run() -> None:
        good, bad, cancelled = (bench.submit() for _ in range(3))
        waiting = [asyncio.ensure_future(each) for each in (good, bad, cancelled)]
        await asyncio.sleep(0)
        bench.finish(good, 1)
        bench.finish(bad, ValueError("no"), TaskResultType.FAILED)
        bench.confirm(cancelled)
        first, second, third = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), HANG)
        assert first == 1
        assert isinstance(second, ValueError)
        assert isinstance(third, asyncio.CancelledError)
        assert await good == 1
        assert "MainThread" not in bench.shelf.readers
        late = bench.submit()
        bench.finish(late, "late")
        assert await asyncio.wait_for(late, HANG) == "late"
        assert "MainThread" not in bench.shelf.readers

    asyncio.run(run())


def test_cancelling_an_awaiting_task_opens_a_round_without_stopping_the_loop(bench: Bench) -> None:
    async def run() -> None:
        future = bench.submit()

        async def waits() -> None:
            await future

        task = asyncio.create_task(waits())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        # The answer comes only now: a loop that waited for it would have waited for ever.
        assert bench.next_sent() == TaskCancel(future.task_id, force=False)
        assert not future.done()
        bench.confirm(future)
        assert future.cancelled()
        assert future.cancel_outcome is CancelOutcome.CONFIRMED

    asyncio.run(run())


def test_a_future_can_be_wrapped(bench: Bench) -> None:
    async def run() -> None:
        good, bad, cancelled, finished = (bench.submit() for _ in range(4))
        bench.finish(finished, "before")
        waiting = [asyncio.wrap_future(each) for each in (good, bad, cancelled, finished)]
        bench.finish(good, 1)
        bench.finish(bad, ValueError("no"), TaskResultType.FAILED)
        bench.confirm(cancelled)
        first, second, third, fourth = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), HANG)
        assert (first, fourth) == (1, "before")
        assert isinstance(second, ValueError)
        assert isinstance(third, asyncio.CancelledError)

    asyncio.run(run())


def test_a_loop_that_was_closed_does_no_harm(bench: Bench) -> None:
    future, other = bench.submit(), bench.submit()
    loop = asyncio.new_event_loop()
    task = loop.create_task(future._wait_in_event_loop())
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    ran = threading.Event()
    other.add_done_callback(lambda _: ran.set())
    bench.finish(future)
    bench.finish(other)
    assert ran.wait(HANG)
    task._log_destroy_pending = False  # type: ignore[attr-defined]


def test_asyncio_of_later_pythons_gets_a_loaded_snapshot(bench: Bench) -> None:
    future, cancelled = bench.submit(), bench.submit()
    assert future._get_snapshot() == (False, False, None, None)
    bench.finish(future, "value")
    bench.confirm(cancelled)
    assert future._get_snapshot() == (True, False, "value", None)
    assert cancelled._get_snapshot() == (True, True, None, None)
