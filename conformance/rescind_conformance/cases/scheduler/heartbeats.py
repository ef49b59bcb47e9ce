"""Section 4, "Heartbeats": the echo, and what it promises."""

from __future__ import annotations

from rescind.messages import Message, Task, TaskCancelConfirm
from rescind_conformance.case import Profile, case
from rescind_conformance.cases.scheduler.losses import handled_of_lost
from rescind_conformance.peers import CANCELED, Peer
from rescind_conformance.trace import Echoes
from rescind_conformance.world import World

BURST = 50


def heard_before_echo(peer: Peer, since: int) -> list[Message]:
    """What a peer was sent before its first echo after a place in the trace."""
    heard: list[Message] = []
    for entry in peer.world.trace[since:]:
        if entry.receiver == peer.name and entry.message is not None:
            if isinstance(entry.message, Echoes):
                break
            heard.append(entry.message)
    return heard


def comes_before_echo(peer: Peer, since: int, expected: list[Message]) -> None:
    """All of these stand before the echo."""
    heard = heard_before_echo(peer, since)
    missing = sum(message not in heard for message in expected)
    wanted = f"{peer.name} gets {len(expected)} messages, then the echo"
    peer.world.check("S10.2", not missing, wanted, f"{missing} of them were not before the echo")


def tasks_stand_before_echo(worker: Peer, since: int) -> None:
    """All of the burst has been dispatched to this worker, before its echo."""
    tasks = [message for message in heard_before_echo(worker, since) if isinstance(message, Task)]
    wanted = f"{worker.name} gets {BURST} tasks, then the echo"
    worker.world.check("S10.2", len(tasks) == BURST, wanted, f"{len(tasks)} of them were before the echo")


def echoed_once_each(world: World, peer: Peer) -> None:
    """Five heartbeats in one breath have five echoes, which say where payloads are kept."""
    seen = len(world.trace)
    for _ in range(5):
        peer.beat()
    world.wait_until(lambda: not peer.outstanding)
    heard = [entry.message for entry in world.trace[seen:] if entry.receiver == peer.name]
    echoes = [message for message in heard if isinstance(message, Echoes)]
    world.check("S10.1", len(echoes) >= 5, f"{peer.name} gets five echoes", f"it got {len(echoes)}", vital=True)
    for echo in echoes:
        known = bool(echo.object_storage_address.host)
        world.check("S10.1", known, "the echo carries where payloads are kept", "it names no host")


@case("S10.1", title="a client's heartbeats")
def client_heartbeats(world: World) -> None:
    """A client sends five heartbeats in one breath: one echo for each."""
    echoed_once_each(world, world.client())


@case("S10.1", title="a worker's heartbeats")
def worker_heartbeats(world: World) -> None:
    """A worker sends five heartbeats in one breath: one echo for each."""
    echoed_once_each(world, world.worker())


@case("S10.1", title="the heartbeats of workers without room")
def full_worker_heartbeats(world: World) -> None:
    """A worker that has as many tasks as it takes, and one that takes none, send five heartbeats in one breath: one
    echo for each.
    """
    owner, full = world.client(), world.worker(queue_size=1)
    world.dispatched(owner.submit())
    with world.unresponsive_means("S10.1"):
        for worker in (full, world.worker(queue_size=0)):
            echoed_once_each(world, worker)


@case("S10.1", title="a Task comes before any heartbeat")
def task_comes_first(world: World) -> None:
    """A client's first message is a Task. It owns the task, and gets its result."""
    world.worker()
    client = world.client(introduced=False)
    task = client.submit(fence=False)
    result = world.dispatched(task, "S10.1").finish(task)
    handled_of_lost(client)
    client.expect(result, "S10.1")


@case("S10.1", title="a client that sends a Task and nothing else", profile=Profile.SHORT_TIMEOUTS)
def registered_by_task(world: World) -> None:
    """A client sends a Task, never a heartbeat, and is killed. It was registered all the same: after the client
    time-out its task is cancelled with force, as that of any client.
    """
    world.worker()
    client = world.client(introduced=False)
    task = client.submit(fence=False)
    holder = world.dispatched(task, "S10.1")
    client.cut()
    world.wait_until(lambda: bool(holder.waiting(task)))
    holder.expect_cancel(task, "S10.1", force=True)


@case("S10.2", title="answers come before the echo")
def answers_before_echo(world: World) -> None:
    """A client cancels fifty waiting tasks and sends a heartbeat in the same breath. When the echo comes all has been
    said.
    """
    client = world.client()
    tasks = client.submit_many(BURST)
    seen = len(world.trace)
    for task in tasks:
        client.cancel(task, fence=False)
    world.fence([client])
    comes_before_echo(client, seen, [TaskCancelConfirm(task.id, CANCELED) for task in tasks])


@case("S10.2", title="results come before the owner's echo")
def results_before_echo(world: World) -> None:
    """A worker ends fifty tasks and has its echo; then the owner sends a heartbeat. Its echo comes behind the
    results.
    """
    owner, worker = world.client(), world.worker(queue_size=BURST)
    tasks = owner.submit_many(BURST)
    for task in tasks:
        world.dispatched(task)
    seen = len(world.trace)
    results: list[Message] = [worker.finish(task, fence=False) for task in tasks]
    world.fence([worker])
    world.fence([owner])
    comes_before_echo(owner, seen, results)


@case("S10.2", title="tasks come before the worker's echo")
def tasks_before_echo(world: World) -> None:
    """A client submits fifty tasks and has its echo; then a worker with room sends a heartbeat. Its echo comes behind
    the tasks.
    """
    owner, worker = world.client(), world.worker(queue_size=BURST)
    seen = len(world.trace)
    for _ in range(BURST):
        owner.submit(fence=False)
    world.fence([owner])
    world.fence([worker])
    tasks_stand_before_echo(worker, seen)


@case("S10.2", title="tasks that have waited come before the first echo")
def waiting_tasks_before_echo(world: World) -> None:
    """Fifty tasks wait, since there is no worker. Then one comes: the echo of its first heartbeat comes behind them."""
    world.client().submit_many(BURST)
    seen = len(world.trace)
    tasks_stand_before_echo(world.worker(queue_size=BURST), seen)
