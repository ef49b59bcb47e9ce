"""Clients that leave, and clients that take the cluster with them."""

from __future__ import annotations

from pathlib import Path

from rescind_conformance.interop import tasks
from rescind_conformance.interop.desk import PATIENCE, Desk
from rescind_conformance.interop.mixes import Kind
from rescind_conformance.interop.scenario import scenario


@scenario("disconnect", "C10.1")
def disconnect(desk: Desk) -> None:
    """A client disconnects: its futures are cancelled, its tasks end, and others are served."""
    client = desk.client()
    ballast = b"." * 100_000
    running = client.submit(tasks.note_and_wait, desk.path("note"), desk.path("never"), ballast)
    pid = desk.wait_for_file("note", "S9.9", "the task does not start")
    others = [
        client.submit(tasks.note_and_wait, desk.path(f"note-{number}"), desk.path("never"), ballast)
        for number in range(desk.slots + 1)
    ]
    other = desk.client()
    desk.step("disconnect with tasks that run and tasks that wait")
    client.disconnect()
    desk.forget(client)
    for future in (running, *others):
        desk.check(future.done() and future.cancelled(), "C10.1", "a future is not cancelled after disconnect()")
    desk.wait_until_gone(pid, "S9.7", "a task of a client that has left still runs")
    got = other.submit(tasks.add, 1).result(PATIENCE)
    desk.check(got == 11, "S11.4", "another client is not served")
    # One that waited at the worker may have begun before its cancel came there; then it has been ended, too.
    for number in range(len(others)):
        note = Path(desk.path(f"note-{number}"))
        if note.exists():
            desk.wait_until_gone(int(note.read_text()), "S9.7", "a task of a client that has left was begun, and runs")


@scenario("client-shutdown", "S11.6", ends_system=True, in_python=True)
def client_shutdown(desk: Desk) -> None:
    """A client shuts the cluster down: it is told so, futures end, and scheduler and workers exit."""
    client = desk.client()
    running = client.submit(tasks.note_and_wait, desk.path("note"), desk.path("never"))
    desk.wait_for_file("note", "S9.9", "the task does not start")
    desk.step("the client asks to shut the cluster down")
    if desk.kind is Kind.REFERENCE:
        desk.check(client.shutdown_cluster(PATIENCE) is True, "S11.6", "the scheduler did not accept")
        client.disconnect()
    else:
        client.shutdown()
    desk.forget(client)
    desk.check(running.cancelled(), "C10.1", "a future is not cancelled after the shutdown")
    left = desk.ask("wait for the end")
    desk.check(not left, "S9.10", f"still running after the shutdown: {' and '.join(left)}")
