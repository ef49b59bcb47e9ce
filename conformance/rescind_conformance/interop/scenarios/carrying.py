"""What Scaler's messages carry beside the task: priorities and capabilities, and what tasks write."""

from __future__ import annotations

import contextlib
import io

from rescind_conformance.interop import tasks
from rescind_conformance.interop.desk import PATIENCE, Desk
from rescind_conformance.interop.mixes import Kind
from rescind_conformance.interop.scenario import scenario


@scenario("task-fields", "S1.5", in_python=True)
def task_fields(desk: Desk) -> None:
    """Flags, with the priority, and capabilities of a Task come to the worker as the client sent them."""
    client = desk.client(stream_output=True)
    if desk.kind is Kind.REFERENCE:  # its client has no capabilities
        future = client.submit(tasks.add, 1)
    else:
        future = client.submit_verbose(tasks.add, (1,), {}, capabilities={"gpu": 2, "memory": -1})
    desk.check(future.result(PATIENCE) == 11, "C2.4", "the task has another result")
    sent, arrived = desk.ask("tasks as sent and as they arrived")
    desk.check(len(sent) == 1 == len(arrived), "S8.2", f"sent {len(sent)} times, arrived {len(arrived)} times")
    for field in ("capabilities", "metadata", "function_args", "func_object_id", "source"):
        one, other = sent[0][field], arrived[0][field]
        desk.check(one == other, "S1.5", f"{field} were sent as {one} and arrived as {other}")
    desk.check(bool(sent[0]["metadata"]), "S1.5", f"the client sent no flags: {sent[0]}")


@scenario("task-log", "S8.4", in_python=True)
def task_log(desk: Desk) -> None:
    """What a task writes is shown at a client that asked for it."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        client = desk.client(stream_output=True)
        client.submit(tasks.write_both, "streamed ✓").result(PATIENCE)
        desk.wait_until(
            lambda: "out streamed ✓" in out.getvalue() and "err streamed ✓" in err.getvalue(),
            "S8.4",
            "what the task wrote did not come to the client",
        )
