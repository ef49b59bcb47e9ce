"""The scheduler's machine, event by event, without sockets."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from hypothesis.strategies import DataObject, booleans, data, integers, sampled_from
from scheduler_system import System, confirm

from rescind.messages import (
    CancelConfirmType,
    ClientDisconnect,
    ClientHeartbeat,
    ClientHeartbeatEcho,
    ClientShutdownResponse,
    DisconnectType,
    GraphTask,
    Message,
    ObjectInstruction,
    Task,
    TaskCancel,
    TaskCancelConfirm,
    TaskLog,
    TaskResult,
    TaskResultType,
    WorkerDisconnectNotification,
    WorkerHeartbeat,
    WorkerHeartbeatEcho,
)
from rescind.scheduler_machine import (
    Closed,
    CloseExpired,
    CloseRequested,
    Closing,
    RebalanceDue,
    ReleaseOwner,
    SchedulerSettings,
    TimePassed,
)

CANCELED = CancelConfirmType.CANCELED
FAILED = CancelConfirmType.CANCEL_FAILED
NOT_FOUND = CancelConfirmType.CANCEL_NOT_FOUND
SHUTDOWN = DisconnectType.SHUTDOWN


@pytest.fixture
def system() -> System:
    return System()


def test_a_task_goes_to_the_least_loaded_worker_within_its_queue_size(system: System) -> None:
    system.worker(b"W1", queue_size=1)
    system.worker(b"W2", queue_size=2)
    for number in range(4):
        system.say(b"C1", Task(b"T%d" % number))
    sent = {worker: [m for m in system.heard(worker) if isinstance(m, Task)] for worker in (b"W1", b"W2")}
    assert [len(tasks) for tasks in sent.values()] == [1, 2]
    assert system.machine.counts["queued"] == 1


def test_an_undispatched_task_is_confirmed_at_once_and_never_dispatched(system: System) -> None:
    system.say(b"C1", Task(b"T1"))
    system.say(b"C1", TaskCancel(b"T1"))
    assert system.heard(b"C1") == [confirm(b"T1", CANCELED)]
    system.worker()
    assert not any(isinstance(message, Task) for message in system.heard(b"W1"))


@pytest.mark.parametrize("kind", list(CancelConfirmType))
@pytest.mark.parametrize("force", [False, True])
def test_a_dispatched_task_is_cancelled_at_its_holder_whose_answer_is_forwarded(
    system: System, kind: CancelConfirmType, force: bool
) -> None:
    system.dispatched()
    system.say(b"C1", TaskCancel(b"T1", force))
    assert system.boxes == {b"W1": [TaskCancel(b"T1", force)]}
    system.say(b"W1", confirm(b"T1", kind))
    assert system.heard(b"C1") == [confirm(b"T1", kind)]
    assert system.machine.counts["tasks"] == (1 if kind is FAILED else 0)


def test_a_refused_cancel_costs_neither_the_result_nor_another_round(system: System) -> None:
    system.dispatched()
    for force in (False, True):
        system.say(b"C1", TaskCancel(b"T1", force))
        system.say(b"W1", confirm(b"T1", FAILED))
        assert system.heard(b"W1") == [TaskCancel(b"T1", force)]
        assert system.heard(b"C1") == [confirm(b"T1", FAILED)]
    system.say(b"W1", TaskResult(b"T1"))
    assert system.heard(b"C1") == [TaskResult(b"T1")]


def test_a_result_that_crosses_a_cancel_is_the_terminal_message(system: System) -> None:
    system.dispatched()
    system.say(b"C1", TaskCancel(b"T1", force=True))
    system.say(b"W1", TaskResult(b"T1"))
    system.say(b"W1", confirm(b"T1", NOT_FOUND))
    assert system.heard(b"C1") == [TaskResult(b"T1")]
    assert system.dropped == ["unknown task"]


@pytest.mark.parametrize("dispatched", [False, True])
def test_another_clients_cancel_finds_nothing_and_does_nothing(system: System, dispatched: bool) -> None:
    if dispatched:
        system.dispatched()
    else:
        system.say(b"C1", Task(b"T1", source=b"C2"))
    system.say(b"C2", TaskCancel(b"T1", force=True))
    assert system.boxes == {b"C2": [confirm(b"T1", NOT_FOUND)]}
    assert system.machine.counts["tasks"] == 1


def test_cancels_of_one_owner_share_a_round(system: System) -> None:
    system.dispatched()
    for _ in range(3):
        system.say(b"C1", TaskCancel(b"T1"))
    assert system.heard(b"W1") == [TaskCancel(b"T1")]
    system.say(b"W1", confirm(b"T1", CANCELED))
    assert system.heard(b"C1") == [confirm(b"T1", CANCELED)]


def test_force_that_joins_is_passed_on_and_the_first_refusal_absorbed(system: System) -> None:
    system.dispatched()
    system.say(b"C1", TaskCancel(b"T1"))
    system.say(b"C1", TaskCancel(b"T1", force=True))
    system.say(b"C1", TaskCancel(b"T1", force=True))
    assert system.heard(b"W1") == [TaskCancel(b"T1"), TaskCancel(b"T1", force=True)]
    system.say(b"W1", confirm(b"T1", FAILED))
    assert system.heard(b"C1") == []
    system.say(b"W1", confirm(b"T1", CANCELED))
    assert system.heard(b"C1") == [confirm(b"T1", CANCELED)]


def rebalancing(system: System) -> tuple[bytes, bytes]:
    """Two tasks at W1, W2 idle, and T2 being taken back. Returns the task id and the former holder."""
    system.dispatched(b"T1")
    system.dispatched(b"T2")
    system.worker(b"W2")
    system.boxes.clear()
    system.happen(RebalanceDue())
    assert system.boxes == {b"W1": [TaskCancel(b"T2")]}
    system.boxes.clear()
    return b"T2", b"W1"


def test_a_task_that_its_holder_gives_back_is_placed_elsewhere_and_nobody_is_told(system: System) -> None:
    task_id, holder = rebalancing(system)
    system.happen(RebalanceDue())
    assert system.boxes == {}, "advice on a task in a round"
    system.say(holder, confirm(task_id, CANCELED))
    assert system.boxes == {b"W2": [Task(task_id)]}


def test_a_refused_move_is_not_asked_for_again(system: System) -> None:
    task_id, holder = rebalancing(system)
    system.say(holder, confirm(task_id, FAILED))
    system.boxes.clear()
    system.happen(RebalanceDue())
    assert system.heard(holder) == [TaskCancel(b"T1")]
    system.say(holder, TaskResult(task_id))
    assert system.heard(b"C1") == [TaskResult(task_id)]


@pytest.mark.parametrize("kind", list(CancelConfirmType))
def test_an_unforced_cancel_takes_the_rebalancing_round_over(system: System, kind: CancelConfirmType) -> None:
    task_id, holder = rebalancing(system)
    system.say(b"C1", TaskCancel(task_id))
    assert system.boxes == {}
    system.say(holder, confirm(task_id, kind))
    assert system.boxes == {b"C1": [confirm(task_id, kind)]}


def test_a_forced_cancel_is_not_swallowed_by_a_rebalancing_round(system: System) -> None:
    task_id, holder = rebalancing(system)
    system.say(b"C1", TaskCancel(task_id, force=True))
    assert system.heard(holder) == [TaskCancel(task_id, force=True)]
    system.say(holder, confirm(task_id, FAILED))
    assert system.boxes == {}
    system.say(holder, confirm(task_id, CANCELED))
    assert system.boxes == {b"C1": [confirm(task_id, CANCELED)]}


def test_rebalancing_ends_with_the_loss_of_the_holder(system: System) -> None:
    task_id, holder = rebalancing(system)
    system.say(holder, WorkerDisconnectNotification())
    assert Task(task_id) in system.heard(b"W2")
    system.say(holder, confirm(task_id, CANCELED))
    assert system.dropped == ["lost peer"]


@pytest.mark.parametrize(
    "message", [TaskResult(b"T1"), confirm(b"T1", CANCELED), confirm(b"T1", FAILED), TaskLog(b"T1")]
)
@pytest.mark.parametrize("sender", [b"C1", b"C2", b"W2", b"nobody"])
def test_only_the_holder_answers(system: System, message: Message, sender: bytes) -> None:
    system.dispatched()
    system.worker(b"W2")
    system.boxes.clear()
    system.say(b"C1", TaskCancel(b"T1"))
    assert system.heard(b"W1")
    system.say(sender, message)
    assert system.boxes == {}
    assert system.dropped == ["not the holder"]


def test_a_confirm_that_nobody_asked_for_is_dropped(system: System) -> None:
    system.dispatched()
    system.say(b"W1", confirm(b"T1", CANCELED))
    assert system.boxes == {}
    assert system.machine.counts["dispatched"] == 1


def test_losing_a_worker_settles_what_is_cancelled_and_places_the_rest_again(system: System) -> None:
    for name in (b"T1", b"T2", b"T3"):
        system.dispatched(name)
    system.say(b"C1", TaskCancel(b"T2"))
    system.boxes.clear()
    system.say(b"W1", WorkerDisconnectNotification())
    assert system.boxes == {b"C1": [confirm(b"T2", CANCELED)]}
    system.boxes.clear()
    system.worker(b"W2")
    assert system.heard(b"W2")[:2] == [Task(b"T1"), Task(b"T3")], "oldest first"


def test_a_task_that_keeps_losing_workers_is_reported() -> None:
    system = System(SchedulerSettings(max_attempts=2))
    system.dispatched()
    system.say(b"W1", WorkerDisconnectNotification())
    system.worker(b"W2")
    system.boxes.clear()
    system.say(b"W2", WorkerDisconnectNotification())
    assert system.boxes == {b"C1": [TaskResult(b"T1", TaskResultType.FAILED_WORKER_DIED)]}


def test_a_lost_worker_stays_lost_and_is_told_so(system: System) -> None:
    system.dispatched()
    system.now = 61.0
    system.say(b"C1", ClientHeartbeat())
    system.happen(TimePassed(61.0))
    system.boxes.clear()
    for _ in range(3):
        system.say(b"W1", WorkerHeartbeat(queue_size=5))
    assert system.heard(b"W1") == [ClientDisconnect(), ClientDisconnect(SHUTDOWN), ClientDisconnect(SHUTDOWN)]
    system.say(b"W1", TaskResult(b"T1"))
    assert system.boxes == {}
    assert system.machine.counts["queued"] == 1


def test_any_message_is_a_sign_of_life(system: System) -> None:
    system.dispatched()
    system.now = 59.0
    system.say(b"W1", TaskLog(b"T1"))
    system.say(b"C1", TaskCancel(b"T9"))
    system.happen(TimePassed(100.0))
    assert system.machine.counts["workers"] == system.machine.counts["clients"] == 1


def test_a_lost_clients_tasks_are_forgotten_or_cancelled_with_force(system: System) -> None:
    system.worker(queue_size=2)
    for name in (b"T1", b"T2", b"T3"):
        system.say(b"C1", Task(name))
    system.say(b"C1", TaskCancel(b"T2", force=True))
    system.boxes.clear()
    system.say(b"C1", ClientDisconnect())
    assert system.boxes == {b"W1": [TaskCancel(b"T1", force=True)]}
    assert system.others == [ReleaseOwner(b"C1")]
    system.boxes.clear()
    system.say(b"C2", Task(b"T4"))
    assert system.boxes == {}, "its places count as used until the holder's last word"
    system.say(b"W1", TaskResult(b"T1"))
    assert system.boxes == {b"W1": [Task(b"T4")]}
    system.say(b"W1", confirm(b"T2", CANCELED))
    assert b"C1" not in system.boxes


def test_a_client_lost_by_silence_is_told_and_stays_lost(system: System) -> None:
    system.say(b"C1", Task(b"T1"))
    system.happen(TimePassed(61.0))
    assert system.heard(b"C1") == [confirm(b"T1", NOT_FOUND)]
    system.say(b"C1", ClientHeartbeat())
    system.say(b"C1", Task(b"T2"))
    assert system.heard(b"C1") == [ClientDisconnect(), confirm(b"T2", NOT_FOUND)]


def test_refusals_tell_the_sender() -> None:
    system = System(SchedulerSettings(max_tasks_per_client=1, max_peers=2))
    system.say(b"C1", Task(b"T1"))
    system.say(b"C1", Task(b"T1"))
    assert system.boxes == {}, "a duplicate of its own is dropped"
    system.say(b"C1", Task(b"T2"))
    system.say(b"C1", GraphTask(b"T3", graph=(Task(b"T3"),)))
    system.say(b"C2", Task(b"T1"))
    assert system.heard(b"C1") == [confirm(b"T2", NOT_FOUND), confirm(b"T3", NOT_FOUND)]
    assert system.heard(b"C2") == [confirm(b"T1", NOT_FOUND)]
    system.say(b"C3", Task(b"T4"))
    assert system.heard(b"C3") == [confirm(b"T4", NOT_FOUND)]
    assert system.machine.counts["tasks"] == 1


def test_roles_do_not_mix(system: System) -> None:
    system.dispatched()
    for message in (Task(b"T2"), TaskCancel(b"T1", force=True), ClientDisconnect(), ClientHeartbeat()):
        system.say(b"W1", message)
    system.say(b"C1", WorkerHeartbeat(queue_size=5))
    system.say(b"C1", WorkerDisconnectNotification())
    for stranger in (ObjectInstruction(), ClientHeartbeatEcho(), WorkerHeartbeatEcho()):
        system.say(b"C1", stranger)
    assert system.boxes == {}
    assert system.machine.counts == {"tasks": 1, "clients": 1, "workers": 1, "dispatched": 1}


def test_an_echo_follows_what_the_heartbeat_and_all_before_it_cause(system: System) -> None:
    system.say(b"C1", Task(b"T1"))
    system.worker()
    assert system.heard(b"W1") == [Task(b"T1"), WorkerHeartbeatEcho()]
    system.say(b"C1", ClientHeartbeat())
    assert system.heard(b"C1") == [ClientHeartbeatEcho()]


def test_an_orderly_shutdown_settles_every_task(system: System) -> None:
    system.worker(queue_size=2)
    for name in (b"T1", b"T2", b"T3"):
        system.say(b"C1", Task(name))
    system.boxes.clear()
    system.happen(CloseRequested())
    assert system.boxes == {b"C1": [confirm(b"T3", CANCELED)], b"W1": [ClientDisconnect(SHUTDOWN)]}
    system.boxes.clear()
    system.say(b"C1", Task(b"T4"))
    system.say(b"W1", TaskResult(b"T1"))
    system.say(b"W2", WorkerHeartbeat(queue_size=1))
    system.say(b"W1", WorkerDisconnectNotification())
    assert system.heard(b"C1") == [confirm(b"T4", NOT_FOUND), TaskResult(b"T1"), confirm(b"T2", CANCELED)]
    assert system.heard(b"W2") == [ClientDisconnect(SHUTDOWN)]
    assert system.others == [Closing(), Closed()]


def test_the_end_of_the_grace_settles_what_is_left(system: System) -> None:
    system.dispatched()
    system.happen(CloseRequested())
    system.boxes.clear()
    system.happen(CloseExpired())
    assert system.boxes == {b"C1": [confirm(b"T1", CANCELED)]}
    assert system.others == [Closing(), Closed()]


@pytest.mark.parametrize("accept", [False, True])
def test_a_client_may_shut_the_cluster_down_only_where_that_is_allowed(accept: bool) -> None:
    system = System(SchedulerSettings(accept_shutdown=accept))
    system.worker()
    system.boxes.clear()
    system.say(b"C1", ClientDisconnect(SHUTDOWN))
    assert system.heard(b"C1") == [ClientShutdownResponse(accept)]
    assert system.heard(b"W1") == ([ClientDisconnect(SHUTDOWN)] if accept else [])


class RandomPeers(RuleBasedStateMachine):
    """Clients and workers that say anything at any time; faithful workers keep their own books."""

    clients = (b"C1", b"C2")
    workers = (b"W1", b"W2", b"W3")

    @initialize()
    def start(self) -> None:
        self.system = System(SchedulerSettings(max_attempts=2))
        self.submitted: dict[bytes, bytes] = {}
        self.terminal: dict[bytes, list[Message]] = {}
        self.asked: dict[bytes, int] = {}
        self.gone: set[bytes] = set()
        self.queue_sizes: dict[bytes, int] = {}

    def say(self, sender: bytes, message: Message) -> None:
        self.system.say(sender, message)
        self.observe()

    def observe(self) -> None:
        for client in self.clients:
            for message in self.system.heard(client):
                if isinstance(message, TaskResult):
                    self.terminal[message.task_id].append(message)
                elif isinstance(message, TaskCancelConfirm) and message.cancel_confirm_type != FAILED:
                    # An answer to a cancel of a task that is not held is no terminal message (S2.1).
                    held = message.task_id in self.terminal and self.submitted[message.task_id] == client
                    if held and not self.terminal[message.task_id]:
                        self.terminal[message.task_id].append(message)
                    else:
                        assert message.cancel_confirm_type == NOT_FOUND
                        assert self.asked.get(message.task_id, 0) > 0
        for worker in self.workers:
            for message in self.system.heard(worker):
                if isinstance(message, Task):
                    assert not self.terminal[message.task_id], "dispatched after its terminal message"

    @rule(client=sampled_from(clients))
    def submit(self, client: bytes) -> None:
        if client not in self.gone:
            task_id = b"T%d" % len(self.submitted)
            self.submitted[task_id] = client
            self.terminal[task_id] = []
            self.say(client, Task(task_id))

    @precondition(lambda self: self.submitted)
    @rule(choice=data(), client=sampled_from(clients), force=booleans())
    def cancel(self, choice: DataObject, client: bytes, force: bool) -> None:
        task_id = choice.draw(sampled_from(sorted(self.submitted)))
        self.asked[task_id] = self.asked.get(task_id, 0) + 1
        self.say(client, TaskCancel(task_id, force))

    @rule(worker=sampled_from(workers), queue_size=integers(0, 3))
    def heartbeat(self, worker: bytes, queue_size: int) -> None:
        self.queue_sizes[worker] = queue_size
        self.say(worker, WorkerHeartbeat(queue_size=queue_size))

    @precondition(lambda self: self.submitted)
    @rule(choice=data(), worker=sampled_from(workers), kind=sampled_from([*CancelConfirmType, None]))
    def answer(self, choice: DataObject, worker: bytes, kind: CancelConfirmType | None) -> None:
        task_id = choice.draw(sampled_from(sorted(self.submitted)))
        self.say(worker, TaskResult(task_id) if kind is None else confirm(task_id, kind))

    @rule()
    def rebalance(self) -> None:
        self.system.happen(RebalanceDue())
        self.observe()

    @rule(worker=sampled_from(workers))
    def lose_worker(self, worker: bytes) -> None:
        self.say(worker, WorkerDisconnectNotification())

    @rule()
    def lose_client(self) -> None:
        self.gone.add(b"C2")
        self.say(b"C2", ClientDisconnect())

    @invariant()
    def nobody_holds_more_than_its_share_and_no_task_is_in_two_places(self) -> None:
        if not hasattr(self, "system"):
            return
        machine = self.system.machine
        held = [task_id for worker in machine._workers.values() for task_id in worker.tasks]
        assert len(held) == len(set(held))
        assert not set(held) & set(machine._queue)
        assert set(held) | set(machine._queue) == set(machine._tasks)
        for task_id, ended in self.terminal.items():
            assert len(ended) <= 1
            if self.submitted[task_id] not in self.gone:
                assert (task_id in machine._tasks) == (not ended), "forgotten without a word, or held after it"
        if machine._queue:
            assert machine._placement.least_loaded() is None, "a task waits while a worker has room"
        states = Counter(task.state.value for task in machine._tasks.values())
        assert Counter(machine.states) == states, "what is computed from the rows taken is not what is there"
        refused = self.system.dropped.count("lost client")
        accepted = len(machine._tasks) + sum(machine.tally.ended().values())
        assert accepted == len(self.submitted) - refused

    def teardown(self) -> None:
        if not hasattr(self, "system"):
            return
        self.system.happen(CloseRequested())
        self.observe()
        self.system.happen(CloseExpired())
        self.observe()
        for task_id, ended in self.terminal.items():
            assert len(ended) == 1 or self.submitted[task_id] in self.gone
        assert not self.system.machine._tasks


TestRandomPeers = RandomPeers.TestCase
TestRandomPeers.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
