"""A forwarder in a thread that does as a test tells it: what is lost, repeated or falsified must be noticed."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence

import zmq

from rescind import wire
from rescind.messages import (
    CancelConfirmType,
    ClientHeartbeat,
    ClientHeartbeatEcho,
    Message,
    Task,
    TaskCancel,
    TaskCancelConfirm,
    TaskResult,
    WorkerDisconnectNotification,
    WorkerHeartbeat,
    WorkerHeartbeatEcho,
)

Fault = Callable[[Message], Sequence[Message] | None]
"""What goes to the owner, or back to the sender, in place of a message that came; None: what should."""


@contextlib.contextmanager
def forwarding(fault: Fault) -> Iterator[str]:
    """Its endpoint; it ends with the block."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    router = context.socket(zmq.ROUTER)
    for option in (zmq.SNDHWM, zmq.RCVHWM, zmq.LINGER):
        router.setsockopt(option, 0)
    router.bind("tcp://127.0.0.1:0")
    endpoint = str(router.get_string(zmq.LAST_ENDPOINT))
    ended = threading.Event()
    thread = threading.Thread(target=_forward, args=(router, fault, ended))
    thread.start()
    try:
        yield endpoint
    finally:
        ended.set()
        thread.join()
        context.term()


def _forward(router: zmq.Socket[bytes], fault: Fault, ended: threading.Event) -> None:
    workers: list[bytes] = []
    places: dict[bytes, tuple[bytes, bytes | None]] = {}
    with router:
        while not ended.is_set():
            if not router.poll(20):
                continue
            sender, frame = router.recv_multipart()
            message = wire.decode(frame)
            to = sender
            instead = fault(message)
            match message:
                case ClientHeartbeat():
                    sent: Sequence[Message] = [ClientHeartbeatEcho()]
                case WorkerHeartbeat():
                    workers += [sender] if sender not in workers else []
                    sent = [WorkerHeartbeatEcho()]
                case Task(task_id=task_id):
                    places[task_id] = sender, workers[len(places) % len(workers)] if workers else None
                    to, sent = (sender if instead else places[task_id][1]) or b"", [message] if workers else []
                case TaskCancel(task_id=task_id):
                    to, sent = places[task_id][1] or sender, [message]
                    if to == sender:
                        sent = [TaskCancelConfirm(task_id, CancelConfirmType.CANCELED)]
                    elif instead:
                        to = sender
                case TaskResult(task_id=task_id) | TaskCancelConfirm(task_id=task_id):
                    to, sent = places[task_id][0], [message]
                case WorkerDisconnectNotification():
                    workers.remove(sender)
                    sent = []
                case _:
                    sent = []
            for one in sent if instead is None else instead:
                router.send_multipart([to, wire.encode(one)])
