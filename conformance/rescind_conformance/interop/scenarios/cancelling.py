"""Cancel, in each state that a task can be in."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from rescind import CancelOutcome
from rescind.messages import CancelConfirmType
from rescind_conformance.interop import tasks
from rescind_conformance.interop.desk import PATIENCE, Desk, NotOffered
from rescind_conformance.interop.mixes import Kind
from rescind_conformance.interop.scenario import scenario

_UNANSWERED = 6.0
"""Seconds after which a cancel has got no answer."""


def _occupy(desk: Desk, client: Any) -> list[Any]:
    """A task in each process; they go on when there is a file `go`."""
    running = [
        client.submit(tasks.note_and_wait, desk.path(f"runs-{number}"), desk.path("go")) for number in range(desk.slots)
    ]
    for number in range(desk.slots):
        desk.wait_for_file(f"runs-{number}", "S9.9", "a task does not start though a process is free")
    return running


def _check_cancelled(desk: Desk, future: Any, answer: bool, requirement: str) -> None:
    desk.check(answer is True, requirement, f"cancel() returned {answer}")
    desk.check(future.cancelled(), requirement, "cancel() returned True, and the future is not cancelled")


@scenario("cancel-queued", "W2.1")
def cancel_queued(desk: Desk) -> None:
    """A task that waits for a process is cancelled, and never runs."""
    client = desk.client()
    running = _occupy(desk, client)
    doomed = client.submit(tasks.note, desk.path("ran"))
    desk.step("cancel of the task that waits")
    _check_cancelled(desk, doomed, desk.cancel(doomed), "C2.1")
    desk.let_go("go")
    for future in running:
        future.result(PATIENCE)
    # What was behind it in the queue has run: so it would have, too.
    desk.check(client.submit(tasks.add, 1).result(PATIENCE) == 11, "S9.9", "the next task did not run")
    desk.check(not Path(desk.path("ran")).exists(), "W2.1", "the cancelled task ran")


@scenario("cancel-running", "W2.3")
def cancel_running(desk: Desk) -> None:
    """A cancel without force of a running task is refused, and its result comes."""
    if desk.kind is Kind.SCALER:
        raise NotOffered("Scaler's client always cancels with force")
    client = desk.client()
    running = _occupy(desk, client)
    desk.step("cancel without force of a running task")
    answer = running[0].cancel(timeout=_UNANSWERED, force=False)
    outcome = running[0].cancel_outcome
    desk.check(outcome is not CancelOutcome.TIMED_OUT, "S4.2", f"no answer to the TaskCancel within {_UNANSWERED:g} s")
    desk.check(answer is False, "C4.1", f"cancel() of a running task without force returned {answer}")
    desk.check(not running[0].cancelled(), "C4.1", "cancel() returned False, and the future is cancelled")
    desk.let_go("go")
    desk.check(running[0].result(PATIENCE) == 0, "C4.1", "the task that went on has another result")


@scenario("cancel-running-force", "W2.2")
def cancel_running_force(desk: Desk) -> None:
    """A cancel with force ends a running task: its process is gone when cancel() returns."""
    client = desk.client()
    doomed = _occupy(desk, client)[0]
    pid = desk.wait_for_file("runs-0", "S9.9", "the task does not start")
    desk.step("cancel with force of a running task")
    _check_cancelled(desk, doomed, desk.cancel(doomed), "C2.1")
    desk.wait_until_gone(pid, "W2.2", "the process of the cancelled task still runs")
    got = client.submit(tasks.add, 1).result(PATIENCE)  # in the place that has become free: the other one is taken
    desk.check(got == 11, "S9.9", "the next task did not run")
    desk.let_go("go")


@scenario("cancel-finished", "C6.1")
def cancel_finished(desk: Desk) -> None:
    """A cancel of a future that has its result, or its error, changes nothing."""
    client = desk.client()
    done, failed = client.submit(tasks.add, 1), client.submit(tasks.fail, "once")
    done.result(PATIENCE)
    failed.exception(PATIENCE)
    for future in (done, failed):
        desk.check(desk.cancel(future) is False, "C6.1", "cancel() of a future that is done returned True")
        desk.check(not future.cancelled(), "C6.1", "a future that was done is cancelled")
    desk.check(done.result(0) == 11, "C6.1", "the result is another after the cancel")
    desk.check(desk.is_error_of_fail(failed.exception(0), "once"), "C6.1", "the error is another after the cancel")


@scenario("cancel-crossing", "C3.1")
def cancel_crossing(desk: Desk) -> None:
    """A result crosses the cancel on its way to the worker: cancel() ends, and the result is never seen."""
    client = desk.client()
    future = client.submit(tasks.note_and_wait, desk.path("note"), desk.path("go"))
    desk.wait_for_file("note", "S9.9", "the task does not start")
    desk.ask("hold cancel")
    answers: list[bool] = []
    caller = threading.Thread(target=lambda: answers.append(desk.cancel(future)), daemon=True)
    caller.start()
    desk.step("the TaskCancel is on its way to the worker; the task ends first")
    desk.check(desk.ask("wait for what is held"), "S4.1", "no TaskCancel came for the worker")
    desk.let_go("go")
    caller.join(PATIENCE)
    _check_result_discarded(desk, client, future, answers)


@scenario("cancel-not-found", "C3.1")
def cancel_not_found(desk: Desk) -> None:
    """A cancel crosses the result on its way to the client: the task is not found any more, and cancel() ends."""
    client = desk.client()
    future = client.submit(tasks.note_and_wait, desk.path("note"), desk.path("go"))
    desk.wait_for_file("note", "S9.9", "the task does not start")
    desk.ask("hold result")
    desk.let_go("go")
    desk.step("the TaskResult is on its way to the client; the client cancels first")
    desk.check(desk.ask("wait for what is held"), "S2.1", "no TaskResult came for the client")
    answers = [desk.cancel(future)]
    _check_result_discarded(desk, client, future, answers)
    said = desk.ask("answers to cancels")
    desk.check(said == [CancelConfirmType.CANCEL_NOT_FOUND], "S2.1", f"the TaskCancel was answered with {said}")


def _check_result_discarded(desk: Desk, client: Any, future: Any, answers: list[bool]) -> None:
    """The result came while cancel() waited."""
    desk.check(bool(answers), "C1.1", "cancel() does not return")
    settled = "cancelled" if future.cancelled() else f"finished with {future.result(PATIENCE)!r}"
    desk.check(answers[0] == future.cancelled(), "C5.1", f"cancel() returned {answers[0]}, and the future is {settled}")
    desk.check(answers == [True], "C3.1", f"cancel() returned {answers[0]}, and the future is {settled}")
    got = client.submit(tasks.add, 1).result(PATIENCE)
    desk.check(got == 11, "S9.9", "the next task did not run")
