"""Tasks that run to their end: results, errors, large payloads, many at once, in order and as they come."""

from __future__ import annotations

import concurrent.futures
import hashlib
import os
import traceback
from typing import Any

from rescind_conformance.interop import tasks
from rescind_conformance.interop.desk import PATIENCE, Desk, NotOffered
from rescind_conformance.interop.mixes import Kind
from rescind_conformance.interop.scenario import scenario


@scenario("results", "C2.4")
def results(desk: Desk) -> None:
    """Results of every kind come back, with positional and keyword arguments."""
    client = desk.client()
    values: list[Any] = [None, 0, -1, "text ✓", [1, {"two": [3.5, None]}], {"deep": [[[]]]}]
    if desk.in_python:
        values += [2**100, b"\x00bytes", ("tuple",), set(range(5))]
    futures = [client.submit(tasks.echo, value) for value in values]
    got = [future.result(PATIENCE) for future in futures]
    desk.check(got == values, "C2.4", f"results differ: {got!r}")
    named = client.submit(tasks.add, 1, two=2) if desk.in_python else client.submit(tasks.add, 1, 2)
    for future, expected in ((client.submit(tasks.add, 1), 11), (named, 3)):
        value = future.result(PATIENCE)
        desk.check(value == expected, "C2.4", f"add gave {value}, not {expected}")
        desk.check(future.done() and not future.cancelled(), "C8.1", "a future with a result is not done")


@scenario("exceptions", "W3.2")
def exceptions(desk: Desk) -> None:
    """An exception comes back as what it was, with the worker's traceback; the next task runs."""
    client = desk.client()
    error = client.submit(tasks.fail, "lost").exception(PATIENCE)
    desk.check(desk.is_error_of_fail(error, "lost"), "W3.2", f"the error came back as {error!r}")
    if desk.in_python:
        text = "".join(traceback.format_exception(error))
        desk.check("in fail" in text, "W3.2", f"the traceback does not show where it was raised:\n{text}")
    try:
        client.submit(tasks.fail, "again").result(PATIENCE)
    except Exception as raised:
        desk.check(desk.is_error_of_fail(raised, "again"), "C2.4", f"result() raised {raised!r}")
    else:
        desk.check(False, "C2.4", "result() of a task that failed did not raise")
    desk.check(client.submit(tasks.add, 1).result(PATIENCE) == 11, "W3.2", "the next task did not run")


@scenario("large-arguments", "C2.4", limit=240, in_python=True)
def large_arguments(desk: Desk) -> None:
    """A large argument and a large result travel whole."""
    client = desk.client()
    data = os.urandom(1_000_000) * max(1, desk.large_bytes // 1_000_000)
    digest, back = client.submit(tasks.digest_and_double, data).result(200)
    desk.check(digest == hashlib.sha256(data).hexdigest(), "C2.4", "the argument came to the task with other bytes")
    desk.check(back == data[::-1], "C2.4", f"the result has other bytes, or not {len(data)} of them: {len(back)}")


@scenario("many-small", "S1.1", limit=180)
def many_small(desk: Desk) -> None:
    """A thousand small tasks that are submitted at once settle, each once (fewer with --quick)."""
    client = desk.client()
    settled: list[object] = []
    futures = [client.submit(tasks.add, number, number) for number in range(desk.many)]
    for future in futures:
        future.add_done_callback(settled.append)
    got = [future.result(150) for future in futures]
    desk.check(got == list(range(0, 2 * desk.many, 2)), "C2.4", "results differ")
    desk.wait_until(lambda: len(settled) >= desk.many, "C8.1", "not every callback has run")
    desk.check(len(settled) == desk.many, "C8.1", f"{len(settled)} callbacks have run for {desk.many} futures")


@scenario("map", "C2.4", in_python=True)
def map_in_order(desk: Desk) -> None:
    """map gives the results in order."""
    client = desk.client()
    got = list(client.map(tasks.add, range(30), range(30)))
    desk.check(got == list(range(0, 60, 2)), "C2.4", f"results differ: {got}")


@scenario("as-completed", "C8.1", in_python=True)
def as_completed(desk: Desk) -> None:
    """as_completed gives each future once, the one that waits last; wait sees the first."""
    if desk.scheduler is Kind.TYPESCRIPT and desk.worker is Kind.SCALER:
        raise NotOffered("the scheduler in TypeScript never moves a task (S7.1): one behind the slow one stays there")
    client = desk.client()
    go = desk.path("go")
    slow = client.submit(tasks.note_and_wait, desk.path("note"), go, b"slow")
    quick = [client.submit(tasks.add, number) for number in range(9)]
    first = concurrent.futures.wait([slow, *quick], PATIENCE, concurrent.futures.FIRST_COMPLETED)
    desk.check(bool(first.done) and slow not in first.done, "C8.1", "wait did not see the first future")
    come = []
    for future in concurrent.futures.as_completed([slow, *quick], PATIENCE):
        come.append(future)
        if len(come) == len(quick):
            desk.let_go("go")
    desk.check(come[-1] is slow and len(set(come)) == 10, "C8.1", f"{len(set(come))} of 10 futures came")
    desk.check(slow.result(PATIENCE) == 4, "C2.4", "the slow one has another result")
    desk.check(sorted(one.result() for one in quick) == list(range(10, 19)), "C2.4", "results differ")


@scenario("process-dies", "W3.1")
def process_dies(desk: Desk) -> None:
    """The process of a task dies by itself: the caller gets an error, and the worker goes on."""
    client = desk.client()
    future = client.submit(tasks.die)
    error = future.exception(PATIENCE)
    desk.check(error is not None, "C2.4", "the future of a task whose process died has a result, None")
    got = client.submit(tasks.add, 1).result(PATIENCE)
    desk.check(got == 11, "W3.1", "the next task did not run")


@scenario("worker-killed", "S9.3", limit=120, slow=True)
def worker_killed(desk: Desk) -> None:
    """The worker is killed in mid-task: the task runs again on another one."""
    client = desk.client()
    future = client.submit(tasks.wait_once, desk.path("note"), desk.path("never"))
    desk.wait_for_file("note", "S9.9", "the task does not start")
    desk.step("the worker is killed, and another one is started")
    desk.ask("replace worker")
    got = future.result(100)
    desk.check(got == "again", "S9.3", f"the task gave {got!r}")


@scenario("worker-leaves", "S9.3")
def worker_leaves(desk: Desk) -> None:
    """The worker is told to leave in mid-task: it ends, and the task runs again on another one."""
    client = desk.client()
    future = client.submit(tasks.wait_once, desk.path("note"), desk.path("never"))
    pid = desk.wait_for_file("note", "S9.9", "the task does not start")
    desk.step("the worker is told to leave, and another one is started")
    desk.check(desk.ask("have worker leave"), "W4.2", "the worker still runs after it was told to leave")
    desk.wait_until_gone(pid, "W4.2", "the task's process still runs, and its worker has left")
    got = future.result(60)
    desk.check(got == "again", "S9.3", f"the task gave {got!r}")


@scenario("nested", "S9.9", limit=120, in_python=True)
def nested(desk: Desk) -> None:
    """Tasks submit tasks and wait for them, deeper than there are processes."""
    client = desk.client()
    if desk.kind is Kind.SCALER:
        future = client.submit(tasks.fibonacci_with_client, client, desk.depth)
    else:
        future = client.submit(tasks.fibonacci_by_address, desk.endpoint, desk.depth)
    got = future.result(100)
    expected = {4: 3, 6: 8}[desk.depth]
    desk.check(got == expected, "C2.4", f"fibonacci of {desk.depth} is {got}")


@scenario("storage-while-connected", "C3.2", in_python=True)
def storage_while_connected(desk: Desk) -> None:
    """What tasks have stored goes when they are over and read, though their client stays: only functions are left."""
    if desk.ask("objects in the storage") is None:
        raise NotOffered("only a scheduler and workers of ours look after what is stored")
    if desk.kind is Kind.SCALER:
        raise NotOffered("its client keeps what calls have stored until it leaves")
    client = desk.client()
    futures = [client.submit(tasks.echo, each) for each in range(20)]
    desk.check([future.result(PATIENCE) for future in futures] == list(range(20)), "C2.4", "results differ")
    error = client.submit(tasks.fail, "lost").exception(PATIENCE)
    desk.check(isinstance(error, KeyError), "W3.2", f"the error came back as {error!r}")
    told = {"one": 1, "ten": 10, "eleven": (tasks.add, "one", "ten"), "again": (tasks.echo, "eleven")}
    got = client.get(told, keys=["again"])
    desk.check(got == {"again": 11}, "C2.4", f"the graph gave {got}")
    running = client.submit(tasks.note_and_wait, desk.path("note"), desk.path("never"))
    desk.wait_for_file("note", "S1.1", "the task does not start")
    desk.check(desk.cancel(running), "C2.1", "cancel() returned False")
    del futures, error, running
    # echo, fail, add and note_and_wait, and what tells workers of Scaler how to read them
    desk.wait_until(
        lambda: desk.ask("objects in the storage") <= 5, "C3.2", "more than functions stays in the storage", seconds=20
    )
