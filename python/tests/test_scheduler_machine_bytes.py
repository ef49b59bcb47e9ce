"""The scheduler's machine and the bytes that peers make it hold, or send: S11.5, S12.1, S12.6, S12.7."""

from __future__ import annotations

import pytest
from scheduler_system import Frame, System

from rescind import wire
from rescind.messages import (
    Argument,
    ArgumentType,
    CancelConfirmType,
    Capability,
    ClientDisconnect,
    GraphTask,
    Message,
    Task,
    TaskCancel,
    TaskCancelConfirm,
    TaskResult,
    TaskResultType,
    WorkerHeartbeat,
)
from rescind.scheduler_graph import MAX_HANDED_ON
from rescind.scheduler_machine import Lost, QueueFull, SchedulerSettings

CANCELED, NOT_FOUND = CancelConfirmType.CANCELED, CancelConfirmType.CANCEL_NOT_FOUND
FAILED, DIED = TaskResultType.FAILED, TaskResultType.FAILED_WORKER_DIED


def weight(*tasks: Task) -> int:
    return sum(len(Frame.of(task)) for task in tasks)


def needs(task_id: bytes, *others: bytes, metadata: bytes = b"") -> Task:
    return Task(task_id, b"", metadata, b"", tuple(Argument(ArgumentType.TASK, each) for each in others))


def test_the_bytes_of_a_client_are_limited_and_free_again_when_its_tasks_end() -> None:
    tasks = [Task(b"T%d" % number) for number in range(4)]
    system = System(SchedulerSettings(max_bytes_per_client=weight(*tasks[:2])))
    for task in tasks[:3]:
        system.say(b"C1", task)
    assert system.heard(b"C1") == [TaskCancelConfirm(b"T2", NOT_FOUND)]
    assert system.dropped == ["too many bytes"]
    system.say(b"C2", tasks[3])
    system.say(b"C1", TaskCancel(b"T0"))
    system.say(b"C1", Task(b"T5"))
    assert system.heard(b"C1") == [TaskCancelConfirm(b"T0", CANCELED)]
    assert system.heard(b"C2") == []


@pytest.mark.parametrize("ends", [True, False])
def test_a_graph_weighs_until_its_last_word(ends: bool) -> None:
    graph = GraphTask(b"G", b"", (b"N1",), (Task(b"N1", metadata=bytes(1000)), Task(b"N2", metadata=bytes(1000))))
    system = System(SchedulerSettings(max_bytes_per_client=3000))
    system.say(b"C1", graph)
    if ends:
        system.say(b"C1", TaskCancel(b"G"))
    else:
        system.say(b"C1", TaskCancel(b"N1"))  # N2 still goes on
    system.heard(b"C1")
    again = GraphTask(b"H", b"", (b"N3",), (Task(b"N3", metadata=bytes(1000)),))
    system.say(b"C1", again)
    assert system.heard(b"C1") == (
        [] if ends else [TaskCancelConfirm(b"N3", NOT_FOUND), TaskCancelConfirm(b"H", NOT_FOUND)]
    )


def test_what_nobody_asks_for_any_more_takes_no_room() -> None:
    system = System()
    system.worker()
    system.dispatched(b"T1")
    system.say(b"C1", ClientDisconnect())
    assert system.machine._tasks[b"T1"].frame == b""


def test_tasks_that_a_worker_never_answers_for_take_its_places_and_no_more() -> None:
    system = System(SchedulerSettings(max_tasks_per_worker=3))
    system.worker(queue_size=2**32 - 1)
    for client in (b"C1", b"C2", b"C3"):
        for number in range(2):
            system.say(client, Task(b"%s-%d" % (client, number)))
        system.say(client, ClientDisconnect())
    assert system.machine.counts == {"tasks": 3, "clients": 0, "workers": 1, "abandoned": 3}
    system.say(b"C4", Task(b"T"))
    system.worker(queue_size=2**32 - 1)
    system.heard(b"W1")
    system.say(b"W1", TaskCancelConfirm(b"C1-0", CANCELED))
    assert system.heard(b"W1") == [Task(b"T")]


def test_a_node_whose_task_could_not_be_sent_is_refused() -> None:
    system = System()
    heavy = needs(b"B", *[b"A"] * 65_000)
    system.say(b"C1", GraphTask(b"G", b"", (b"B",), (Task(b"A"), heavy)))
    assert system.heard(b"C1") == [TaskCancelConfirm(b"B", NOT_FOUND), TaskCancelConfirm(b"G", NOT_FOUND)]
    assert system.dropped == ["too large a task in a graph"]


def test_what_a_node_is_reckoned_at_is_at_least_what_its_task_takes() -> None:
    arguments = tuple(Argument(ArgumentType.TASK, b"A") for _ in range(50))
    others = tuple(Argument(ArgumentType.OBJECT_ID, bytes(number)) for number in range(20))
    names = tuple(Capability("ü" * number, 1) for number in range(20))
    node = Task(b"B" * 255, bytes(3), bytes(5), bytes(7), (*arguments, *others), names)
    system = System()
    system.worker()
    system.say(b"C1", GraphTask(b"G", b"", (node.task_id,), (Task(b"A"), node)))
    reckoned = system.machine._graphs[b"G"].largest
    system.heard(b"W1")
    system.say(b"W1", TaskResult(b"A", results=(bytes(MAX_HANDED_ON),)))
    (sent,) = system.heard(b"W1")
    assert len(wire.encode(sent)) <= reckoned <= len(wire.encode(sent)) * 1.2


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (TaskResult(b"A", results=(bytes(255),)), []),
        (TaskResult(b"A", results=(bytes(256),)), [TaskResult(b"B", DIED), TaskResult(b"G", DIED)]),
        (
            TaskResult(b"A", FAILED, results=(bytes(255),)),
            [TaskResult(b"B", FAILED, results=(bytes(255),)), TaskResult(b"G", FAILED)],
        ),
        (TaskResult(b"A", FAILED, results=(bytes(128),) * 2), [TaskResult(b"B", FAILED), TaskResult(b"G", FAILED)]),
    ],
)
def test_long_payload_ids_are_forwarded_and_not_handed_on(result: TaskResult, expected: list[Message]) -> None:
    system = System()
    system.worker()
    system.say(b"C1", GraphTask(b"G", b"", (b"B",), (Task(b"A"), needs(b"B", b"A"))))
    system.heard(b"W1")
    system.say(b"W1", result)
    assert system.heard(b"C1") == [result, *expected]


def test_a_worker_whose_queue_is_full_is_lost() -> None:
    system = System()
    system.worker()
    system.dispatched(b"T1")
    system.dispatched(b"T2")
    system.say(b"C1", TaskCancel(b"T2"))
    system.worker(b"W2")
    system.boxes.clear()
    system.happen(QueueFull(b"W1"))
    assert system.others == [Lost(b"W1", unread=True)]
    assert system.heard(b"W2") == [Task(b"T1")]
    assert system.heard(b"C1") == [TaskCancelConfirm(b"T2", CANCELED)]
    system.say(b"W1", WorkerHeartbeat())
    assert system.heard(b"W1") == [ClientDisconnect()]


def test_a_client_whose_queue_is_full_is_lost_and_sent_no_more() -> None:
    system = System()
    system.worker()
    system.dispatched(b"T1")
    system.happen(QueueFull(b"C1"))
    assert system.others[0] == Lost(b"C1", unread=True)
    assert system.heard(b"W1") == [TaskCancel(b"T1", force=True)]
    assert system.heard(b"C1") == []


def test_the_queue_of_one_who_is_not_served_is_nobodys_loss() -> None:
    system = System()
    system.happen(QueueFull(b"X"))
    assert system.others == []
